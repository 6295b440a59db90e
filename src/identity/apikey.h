/* API keys: `sp_<env>_<id>_<secret><checksum>`.
 *
 *   env       [a-z0-9]{1,12}    the environment, so that a test key is not taken for a real one
 *   id        [a-z0-9]{8,16}    names the key; public
 *   secret    [0-9A-Za-z]{24}   142 random bits
 *   checksum  [0-9A-Za-z]{6}    CRC-32 of everything before it in base 62: secret scanners can tell a key from noise
 *
 * What is stored is the SHA-256 of the whole text: the secret is random, so nothing slower is needed. No I/O. */
#ifndef SALLYPORT_IDENTITY_APIKEY_H
#define SALLYPORT_IDENTITY_APIKEY_H

#include "crypto/digest.h"

#define APIKEY_SECRET_LEN   24
#define APIKEY_CHECKSUM_LEN 6
#define APIKEY_ENV_MAX      12
#define APIKEY_ID_MIN       8
#define APIKEY_ID_MAX       16
#define APIKEY_NEW_ID_LEN   12
#define APIKEY_MAX_LEN      (3 + APIKEY_ENV_MAX + 1 + APIKEY_ID_MAX + 1 + APIKEY_SECRET_LEN + APIKEY_CHECKSUM_LEN)

struct apikey {
    str env, id, secret; /* slices of the text */
};

/* Takes the whole text, nothing before or behind it; the checksum must be right. ERR_MALFORMED. */
MUST_USE enum err apikey_parse(str text, struct apikey *out);

/* A fresh key into `text` (not terminated); *n its length. ERR_MALFORMED: no good env. */
MUST_USE enum err apikey_generate(str env, char text[APIKEY_MAX_LEN], size_t *n);

/* Whether the text is the key with that digest, in constant time. */
bool apikey_matches(str text, const unsigned char sha256_of_key[SHA256_LEN]);

#endif
