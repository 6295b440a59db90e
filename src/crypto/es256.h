/* ES256 with a table for the key: half the time of what libcrypto takes for a key it sees as any other.
 *
 * libcrypto knows multiples of the curve's generator by a table, those of a public key it computes anew each time: of
 * the 73 us of a check they are 50. A group whose generator is the key's point can have such a table of its own (150
 * kB, 25 ms to make). So only the frame of ECDSA's verification (FIPS 186-4 §6.4, SEC 1 §4.1.4) is ours; inverses,
 * multiples and the sum are libcrypto's, and nothing here is secret. Private to this folder. */
#ifndef SALLYPORT_CRYPTO_ES256_H
#define SALLYPORT_CRYPTO_ES256_H

#include "base/str.h"

#include <openssl/evp.h>

#define ES256_SIGNATURE_LEN 64 /* r and s, big-endian */
#define ES256_DIGEST_LEN    32

/* A public key with its table; immutable, read by any thread. */
struct es256_key;
/* What one thread computes in; holds nothing of any key. */
struct es256_ctx;

/* From a P-256 key that has been checked. NULL: memory, or a libcrypto that has no such tables. */
struct es256_key *es256_key_new(EVP_PKEY *pkey);
void es256_key_free(struct es256_key *k);

/* NULL: memory. */
struct es256_ctx *es256_ctx_new(void);
void es256_ctx_free(struct es256_ctx *c);

/* ERR_OK: 0 < r,s < n, and the signature is of this digest under this key. ERR_DENIED: it is not. ERR_NO_MEMORY:
 * libcrypto failed on the way, nothing was decided. */
MUST_USE enum err es256_verify(struct es256_ctx *c, const struct es256_key *k,
                               const unsigned char sig[ES256_SIGNATURE_LEN],
                               const unsigned char digest[ES256_DIGEST_LEN]);

#endif
