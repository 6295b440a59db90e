/* What only the files of this folder see of a key. */
#ifndef SALLYPORT_CRYPTO_KEY_PRIVATE_H
#define SALLYPORT_CRYPTO_KEY_PRIVATE_H

#include "crypto/digest.h"
#include "crypto/es256.h"
#include "crypto/key.h"
#include "crypto/secret.h"

#include <openssl/evp.h>
#include <stdatomic.h>

#define RSA_MIN_BITS   2048
#define RSA_MAX_BITS   8192
#define RSA_MAX_BYTES  (RSA_MAX_BITS / 8)
#define HMAC_MAX_BYTES 4096
#define EC_MAX_BYTES   66
#define ED25519_LEN    32

struct key {
    _Atomic uint32_t refs;
    uint64_t id; /* no two keys of a process share one */
    enum key_type type;
    enum key_curve curve;
    uint32_t algs, bits;
    EVP_PKEY *pkey;                  /* KEY_RSA, KEY_EC */
    struct es256_key *_Atomic es256; /* KEY_EC, P-256, once key_prepare was called; else NULL */
    unsigned char ed[ED25519_LEN];   /* KEY_OKP */
    struct secret secret;            /* KEY_OCT */
};

struct alg_info {
    const char *name;
    enum key_type type;
    enum digest digest;
    enum key_curve curve; /* KEY_EC */
    bool pss;             /* KEY_RSA */
};

/* `a` is in the list. */
const struct alg_info *alg_info(enum alg a);

/* Bytes of one coordinate: 32, 48, 66. */
size_t curve_bytes(enum key_curve c);
const char *curve_group(enum key_curve c);
/* The algorithm a curve belongs to. */
enum alg curve_alg(enum key_curve c);

/* The hash as EVP names it; cannot fail. */
const EVP_MD *digest_evp(enum digest d);
const char *digest_evp_name(enum digest d);

/* The parameter for a big-endian number; `out` has room for in.n bytes and lives as long as the parameter. */
OSSL_PARAM number_param(const char *name, str in, unsigned char *out);
/* A key of `type` ("RSA", "EC") from its numbers; `selection` is EVP_PKEY_PUBLIC_KEY or EVP_PKEY_KEYPAIR. NULL: no
 * key, or memory. */
EVP_PKEY *pkey_from(const char *type, int selection, OSSL_PARAM *params);

/* A context of that key, ready for signing or verifying with `a` (RSA: padding, PSS salt as long as the digest,
 * RFC 7518 §3.5). NULL: memory. */
EVP_PKEY_CTX *pkey_ctx_new(EVP_PKEY *pkey, enum alg a, bool sign);
/* The same for HMAC. */
EVP_MAC_CTX *mac_ctx_new(str secret, enum digest d);

#endif
