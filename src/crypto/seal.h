/* Sealing what the store keeps but nobody who reads the store may know: XChaCha20-Poly1305 (libsodium) with a random
 * nonce and associated data.
 *
 * The associated data is where the text stands ("authentication/signing-key/k1"): moved to another place it does not
 * open. The text is "v1." and base64url of nonce, box and tag. A key seals any number of texts: 192-bit nonces do not
 * meet. Immutable after seal_init: sealing and opening from many threads is fine. */
#ifndef SALLYPORT_CRYPTO_SEAL_H
#define SALLYPORT_CRYPTO_SEAL_H

#include "base/buf.h"
#include "crypto/secret.h"

#define SEAL_SOURCE_MIN 32 /* bytes of what the key is made from */
#define SEAL_PLAIN_MAX  16384

struct seal {
    unsigned char key[32];
};

/* The key is HKDF-SHA256 of `source` (a file's content, surrounding blanks cut by the caller). ERR_DENIED: fewer than
 * SEAL_SOURCE_MIN bytes. ERR_NO_MEMORY. */
MUST_USE enum err seal_init(struct seal *s, str source);
void seal_wipe(struct seal *s);

/* Appends the sealed text. ERR_LIMIT (SEAL_PLAIN_MAX, or the buffer's bound), ERR_NO_MEMORY. */
MUST_USE enum err seal_put(const struct seal *s, str place, str plain, struct buf *out);

/* ERR_OK: *out holds what was sealed, for the same place and with the same key; the caller frees it. ERR_MALFORMED: no
 * sealed text. ERR_DENIED: another key, another place, or altered. ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err seal_open(const struct seal *s, str place, str text, struct secret *out);

/* 32 bytes that only a holder of the key can compute, for a purpose ("refresh token") and a message: to know again what
 * was made here without keeping it. */
void seal_tag(const struct seal *s, str purpose, str message, unsigned char out[32]);

/* Characters of the text that n bytes become. */
size_t seal_text_len(size_t n);

#endif
