/* HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869). Any thread; keys are compared and wiped by crypto/secret.h. */
#ifndef SALLYPORT_CRYPTO_MAC_H
#define SALLYPORT_CRYPTO_MAC_H

#include "crypto/digest.h"

/* Any key, any message. ERR_NO_MEMORY. */
MUST_USE enum err hmac_sha256(str key, str message, unsigned char out[SHA256_LEN]);

/* n bytes (at most 255 * 32) for the purpose `info`. ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err hkdf_sha256(str key, str salt, str info, unsigned char *out, size_t n);

#endif
