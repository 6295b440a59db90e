/* HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869). Nothing here allocates or keeps state; any thread. */
#ifndef SALLYPORT_CRYPTO_MAC_H
#define SALLYPORT_CRYPTO_MAC_H

#include "crypto/digest.h"

/* Any key, any message. */
void hmac_sha256(str key, str message, unsigned char out[SHA256_LEN]);

/* n bytes for the purpose `info`. ERR_LIMIT: n is more than 255 * 32. */
MUST_USE enum err hkdf_sha256(str key, str salt, str info, unsigned char *out, size_t n);

#endif
