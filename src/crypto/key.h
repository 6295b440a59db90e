/* Keys, signing and verifying by a closed list of algorithms. The only module (with digest and secret) that includes
 * OpenSSL's EVP and libsodium; nothing of theirs shows in a header.
 *
 * The key says which algorithms it may be used with, never the token: a key is made with a mask of algorithms, each
 * of which must suit its type and size, and whatever is not in the mask is refused before any arithmetic.
 *
 * `struct key` verifies: immutable, counted, shared by any number of threads. What a thread needs to verify fast
 * (initialised contexts) is its `struct verify_ctx`. `struct signer` holds a private key: one owner, one thread at a
 * time. Knows no JWK and no token: numbers come as big-endian bytes. */
#ifndef SALLYPORT_CRYPTO_KEY_H
#define SALLYPORT_CRYPTO_KEY_H

#include "base/str.h"

/* JWS algorithms (RFC 7518 §3.1, RFC 8037 §3.1). ALG_EDDSA is Ed25519 only. */
enum alg {
    ALG_INVALID = 0,
    ALG_RS256,
    ALG_RS384,
    ALG_RS512,
    ALG_PS256,
    ALG_PS384,
    ALG_PS512,
    ALG_ES256,
    ALG_ES384,
    ALG_ES512,
    ALG_EDDSA,
    ALG_HS256,
    ALG_HS384,
    ALG_HS512,
    ALG_COUNT
};

/* A set of algorithms is a uint32_t of these bits; ALG_INVALID is in no set. */
static inline uint32_t alg_bit(enum alg a)
{
    return a == ALG_INVALID || a >= ALG_COUNT ? 0 : (uint32_t)1 << a;
}

#define ALGS_RSA                                                                                                       \
    (1u << ALG_RS256 | 1u << ALG_RS384 | 1u << ALG_RS512 | 1u << ALG_PS256 | 1u << ALG_PS384 | 1u << ALG_PS512)
#define ALGS_EC        (1u << ALG_ES256 | 1u << ALG_ES384 | 1u << ALG_ES512)
#define ALGS_OKP       (1u << ALG_EDDSA)
#define ALGS_PUBLIC    (ALGS_RSA | ALGS_EC | ALGS_OKP)
#define ALGS_SYMMETRIC (1u << ALG_HS256 | 1u << ALG_HS384 | 1u << ALG_HS512)

/* The algorithm of that exact name ("EdDSA" and "Ed25519" are the same one), or ALG_INVALID: "none" in any spelling
 * is no algorithm. */
enum alg alg_from_name(str name);
/* "RS256"; "" for ALG_INVALID. */
const char *alg_name(enum alg a);

enum key_type { KEY_RSA, KEY_EC, KEY_OKP, KEY_OCT };
enum key_curve { CURVE_P256, CURVE_P384, CURVE_P521 };

enum key_fault {
    KEY_FAULT_NONE = 0,
    KEY_FAULT_ALG,      /* no algorithm of the mask suits this key */
    KEY_FAULT_SIZE,     /* RSA below 2048 or above 8192 bits, a secret shorter than the digest */
    KEY_FAULT_NUMBER,   /* a leading zero byte, an even modulus, a coordinate of the wrong length */
    KEY_FAULT_EXPONENT, /* e below 65537, even, or longer than 8 bytes */
    KEY_FAULT_NOT_ON_CURVE,
    KEY_FAULT_SMALL_ORDER, /* Ed25519: a point whose signatures prove nothing, or no canonical point */
    KEY_FAULT_MEMORY
};

/* A stable word for messages: "not_on_curve". */
const char *key_fault_name(enum key_fault f);

struct key;

/* Public keys and HMAC secrets. `algs` is what the key may be used with as far as its source says (a mask; bits that
 * do not suit the type, the curve or the size are dropped, and if none is left the key is refused). *out has one
 * reference and is written on ERR_OK only. ERR_DENIED (see *fault, which may be NULL), ERR_NO_MEMORY. */
MUST_USE enum err key_new_rsa(str n, str e, uint32_t algs, struct key **out, enum key_fault *fault);
MUST_USE enum err key_new_ec(enum key_curve curve, str x, str y, uint32_t algs, struct key **out,
                             enum key_fault *fault);
MUST_USE enum err key_new_ed25519(str x, struct key **out, enum key_fault *fault);
MUST_USE enum err key_new_hmac(str secret, uint32_t algs, struct key **out, enum key_fault *fault);

struct key *key_ref(struct key *k);
/* Lets go and sets *k to NULL; the last one frees (secrets are wiped). Any thread; NULL is fine. */
void key_unref(struct key **k);

/* Makes every later check with the key faster, in every thread, where that can be done: P-256 keys, which take 25 ms
 * and 150 kB for it. Not on a loop. False: nothing to do, or no memory; the key is as good as before. Any thread. */
bool key_prepare(struct key *k);

/* Whether both are the same key for the same algorithms. */
bool key_equal(const struct key *a, const struct key *b);

enum key_type key_type(const struct key *k);
uint32_t key_algs(const struct key *k);
uint32_t key_bits(const struct key *k);

/* What one thread verifies with: initialised contexts of the keys it has met, reused. Bounded; a key it has not met
 * for long makes room. Holds what it needs of a key itself: keys may go before it. */
struct verify_ctx;

/* ERR_NO_MEMORY. */
MUST_USE enum err verify_ctx_new(struct verify_ctx **out);
/* Drops what it keeps of all keys. Call it when a key set has been replaced, so that a withdrawn key's material does
 * not linger; what is needed is made anew. */
void verify_ctx_clear(struct verify_ctx *ctx);
void verify_ctx_free(struct verify_ctx **ctx);

/* ERR_OK: `sig` is the signature of `message` under `key` and `alg`, in exactly the form of RFC 7518 §3 (RSA: length
 * of the modulus; ECDSA: r||s of fixed length, 0 < r,s < n; Ed25519: S < L) and nothing else. Nothing of ours is
 * allocated once the context has met the key. ERR_DENIED: it is not, or the key may not be used with `alg`.
 * ERR_NO_MEMORY. */
MUST_USE enum err key_verify(struct verify_ctx *ctx, const struct key *key, enum alg alg, str message, str sig);

/* A key that signs; its public half is a `struct key`. */
struct signer;

#define SIGNATURE_MAX_LEN 1024 /* RSA-8192 */

/* Fresh keys: RS*, PS* (`rsa_bits` 2048..4096, otherwise ignored), ES*, EdDSA, HS* (a secret as long as the digest).
 * ERR_UNSUPPORTED, ERR_NO_MEMORY. */
MUST_USE enum err signer_generate(enum alg alg, unsigned rsa_bits, struct signer **out);

/* From numbers. RSA takes the two primes as well (RFC 7518 §6.3.2). EC and Ed25519 compute nothing: the public half
 * must belong to the private one, which is tried out. ERR_DENIED, ERR_NO_MEMORY. */
struct rsa_private {
    str n, e, d, p, q, dp, dq, qi;
};
MUST_USE enum err signer_new_rsa(const struct rsa_private *k, enum alg alg, struct signer **out);
MUST_USE enum err signer_new_ec(enum key_curve curve, str x, str y, str d, struct signer **out);
MUST_USE enum err signer_new_ed25519(str x, str seed, struct signer **out);
MUST_USE enum err signer_new_hmac(str secret, enum alg alg, struct signer **out);

void signer_free(struct signer **s);
enum alg signer_alg(const struct signer *s);

/* Signs. `out` has room for SIGNATURE_MAX_LEN bytes; *out_n is written on ERR_OK only. ERR_NO_MEMORY. */
MUST_USE enum err signer_sign(struct signer *s, str message, unsigned char *out, size_t *out_n);

/* The numbers of the key as big-endian bytes; they live as long as the signer. What a type does not have is empty.
 * Private members are secrets. */
struct signer_numbers {
    enum key_type type;
    enum key_curve curve; /* KEY_EC */
    str x, y, d;          /* KEY_EC; KEY_OKP: x and the seed d */
    struct rsa_private rsa;
    str secret; /* KEY_OCT */
};
struct signer_numbers signer_numbers(const struct signer *s);

/* The verifying half, with one reference. ERR_NO_MEMORY. */
MUST_USE enum err signer_public(const struct signer *s, struct key **out);

#endif
