/* Private keys: making them, taking them from their numbers, signing. */
#include "crypto/key_private.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { RSA_NUMBERS = 8, RSA_GENERATE_MAX_BITS = 4096 };

struct signer {
    enum alg alg;
    EVP_PKEY_CTX *pkey;
    EVP_MAC_CTX *mac;
    struct secret store; /* all the numbers, private ones too; for Ed25519: seed, then public key */
    struct signer_numbers numbers;
};

static const char *const rsa_names[RSA_NUMBERS] = {OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
                                                   OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
                                                   OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
                                                   OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};

static str *rsa_member(struct rsa_private *k, size_t i)
{
    str *members[RSA_NUMBERS] = {&k->n, &k->e, &k->d, &k->p, &k->q, &k->dp, &k->dq, &k->qi};
    return members[i];
}

static struct signer *signer_alloc(enum alg alg, enum key_type type, size_t store)
{
    struct signer *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->alg = alg;
    s->numbers.type = type;
    if (secret_new(store, &s->store) == ERR_OK) return s;
    free(s);
    return NULL;
}

void signer_free(struct signer **s)
{
    if (!*s) return;
    EVP_PKEY_CTX_free((*s)->pkey);
    EVP_MAC_CTX_free((*s)->mac);
    secret_free(&(*s)->store);
    free(*s);
    *s = NULL;
}

enum alg signer_alg(const struct signer *s)
{
    return s->alg;
}

struct signer_numbers signer_numbers(const struct signer *s)
{
    return s->numbers;
}

/* Copies `in` to store + *at and moves *at; the slice of the copy. */
static str put(struct signer *s, size_t *at, str in)
{
    unsigned char *p = s->store.p + *at;
    if (in.n) memcpy(p, in.p, in.n);
    *at += in.n;
    return (str){(const char *)p, in.n};
}

/* A signer must be able to make what its own public half accepts: this refuses halves that do not belong together. */
static enum err try_out(struct signer *s)
{
    unsigned char sig[SIGNATURE_MAX_LEN];
    size_t n = 0;
    struct key *key = NULL;
    struct verify_ctx *ctx = NULL;
    enum err e = signer_sign(s, STR("try"), sig, &n);
    if (e == ERR_OK) e = signer_public(s, &key);
    if (e == ERR_OK) e = verify_ctx_new(&ctx);
    if (e == ERR_OK) e = key_verify(ctx, key, s->alg, STR("try"), (str){(const char *)sig, n});
    verify_ctx_free(&ctx);
    key_unref(&key);
    return e;
}

/* The end of every constructor: gives the signer away if it works, else frees it. */
static enum err finish(struct signer *s, struct signer **out)
{
    enum err e = try_out(s);
    if (e == ERR_OK)
        *out = s;
    else
        signer_free(&s);
    return e;
}

enum err signer_new_hmac(str secret, enum alg alg, struct signer **out)
{
    if (!(ALGS_SYMMETRIC & alg_bit(alg))) return ERR_DENIED;
    struct signer *s = signer_alloc(alg, KEY_OCT, secret.n);
    if (!s) return ERR_NO_MEMORY;
    size_t at = 0;
    s->numbers.secret = put(s, &at, secret);
    s->mac = mac_ctx_new(secret, alg_info(alg)->digest);
    return finish(s, out);
}

enum err signer_new_ed25519(str x, str seed, struct signer **out)
{
    if (x.n != ED25519_LEN || seed.n != crypto_sign_SEEDBYTES) return ERR_DENIED;
    struct signer *s = signer_alloc(ALG_EDDSA, KEY_OKP, ED25519_LEN + crypto_sign_SEEDBYTES);
    if (!s) return ERR_NO_MEMORY;
    size_t at = 0;
    s->numbers.d = put(s, &at, seed); /* seed||public is what libsodium calls the secret key */
    s->numbers.x = put(s, &at, x);
    return finish(s, out);
}

enum err signer_new_ec(enum key_curve curve, str x, str y, str d, struct signer **out)
{
    size_t len = curve_bytes(curve), at = 0;
    if (x.n != len || y.n != len || d.n != len) return ERR_DENIED;
    struct signer *s = signer_alloc(curve_alg(curve), KEY_EC, 3 * len);
    if (!s) return ERR_NO_MEMORY;
    s->numbers.curve = curve;
    s->numbers.x = put(s, &at, x);
    s->numbers.y = put(s, &at, y);
    s->numbers.d = put(s, &at, d);

    unsigned char point[1 + 2 * EC_MAX_BYTES] = {4}, scalar[EC_MAX_BYTES];
    memcpy(point + 1, s->store.p, 2 * len);
    char group[8];
    snprintf(group, sizeof group, "%s", curve_group(curve));
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * len),
                           number_param(OSSL_PKEY_PARAM_PRIV_KEY, d, scalar), OSSL_PARAM_construct_end()};
    EVP_PKEY *pkey = pkey_from("EC", EVP_PKEY_KEYPAIR, params);
    secret_wipe(scalar, sizeof scalar);
    s->pkey = pkey ? pkey_ctx_new(pkey, s->alg, true) : NULL;
    EVP_PKEY_free(pkey);
    return finish(s, out);
}

enum err signer_new_rsa(const struct rsa_private *k, enum alg alg, struct signer **out)
{
    if (!(ALGS_RSA & alg_bit(alg))) return ERR_DENIED;
    struct rsa_private from = *k;
    size_t total = 0, at = 0;
    for (size_t i = 0; i < RSA_NUMBERS; i++) {
        str m = *rsa_member(&from, i);
        if (m.n == 0 || m.n > RSA_MAX_BYTES) return ERR_DENIED;
        total += m.n;
    }
    struct signer *s = signer_alloc(alg, KEY_RSA, total);
    struct secret reversed = {0};
    if (!s || secret_new(total, &reversed) != ERR_OK) {
        signer_free(&s);
        return ERR_NO_MEMORY;
    }
    OSSL_PARAM params[RSA_NUMBERS + 1];
    for (size_t i = 0; i < RSA_NUMBERS; i++) {
        params[i] = number_param(rsa_names[i], *rsa_member(&from, i), reversed.p + at);
        *rsa_member(&s->numbers.rsa, i) = put(s, &at, *rsa_member(&from, i));
    }
    params[RSA_NUMBERS] = OSSL_PARAM_construct_end();
    EVP_PKEY *pkey = pkey_from("RSA", EVP_PKEY_KEYPAIR, params);
    secret_free(&reversed);
    s->pkey = pkey ? pkey_ctx_new(pkey, alg, true) : NULL;
    EVP_PKEY_free(pkey);
    return finish(s, out);
}

/* A number of a key as big-endian bytes, `width` of them or, with 0, as few as needed. ERR_NO_MEMORY. */
static enum err number_of(const EVP_PKEY *pkey, const char *name, int width, struct secret *out)
{
    BIGNUM *bn = NULL;
    if (EVP_PKEY_get_bn_param(pkey, name, &bn) != 1) return ERR_NO_MEMORY;
    int n = width ? width : BN_num_bytes(bn);
    enum err e = secret_new((size_t)n, out);
    if (e == ERR_OK) BN_bn2binpad(bn, out->p, n);
    BN_clear_free(bn);
    return e;
}

static enum err generate_rsa(enum alg alg, unsigned bits, struct signer **out)
{
    if (bits < RSA_MIN_BITS || bits > RSA_GENERATE_MAX_BITS) return ERR_UNSUPPORTED;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
    if (!pkey) return ERR_NO_MEMORY;
    struct secret numbers[RSA_NUMBERS] = {0};
    struct rsa_private k = {0};
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < RSA_NUMBERS; i++) {
        e = number_of(pkey, rsa_names[i], 0, &numbers[i]);
        if (e == ERR_OK) *rsa_member(&k, i) = secret_view(&numbers[i]);
    }
    EVP_PKEY_free(pkey);
    if (e == ERR_OK) e = signer_new_rsa(&k, alg, out);
    for (size_t i = 0; i < RSA_NUMBERS; i++) secret_free(&numbers[i]);
    return e;
}

static enum err generate_ec(enum alg alg, struct signer **out)
{
    static const char *const names[] = {OSSL_PKEY_PARAM_EC_PUB_X, OSSL_PKEY_PARAM_EC_PUB_Y, OSSL_PKEY_PARAM_PRIV_KEY};
    enum key_curve curve = alg_info(alg)->curve;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curve_group(curve));
    if (!pkey) return ERR_NO_MEMORY;
    struct secret n[3] = {0};
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < 3; i++) e = number_of(pkey, names[i], (int)curve_bytes(curve), &n[i]);
    EVP_PKEY_free(pkey);
    if (e == ERR_OK) e = signer_new_ec(curve, secret_view(&n[0]), secret_view(&n[1]), secret_view(&n[2]), out);
    for (size_t i = 0; i < 3; i++) secret_free(&n[i]);
    return e;
}

enum err signer_generate(enum alg alg, unsigned rsa_bits, struct signer **out)
{
    if (!alg_bit(alg)) return ERR_UNSUPPORTED;
    enum key_type type = alg_info(alg)->type;
    if (type == KEY_RSA) return generate_rsa(alg, rsa_bits, out);
    if (type == KEY_EC) return generate_ec(alg, out);
    struct secret fresh;
    enum err e = secret_new_random(type == KEY_OCT ? digest_len(alg_info(alg)->digest) : crypto_sign_SEEDBYTES, &fresh);
    if (e != ERR_OK) return e;
    if (type == KEY_OCT) {
        e = signer_new_hmac(secret_view(&fresh), alg, out);
    } else {
        unsigned char pk[crypto_sign_PUBLICKEYBYTES], sk[crypto_sign_SECRETKEYBYTES];
        crypto_sign_seed_keypair(pk, sk, fresh.p);
        secret_wipe(sk, sizeof sk);
        e = signer_new_ed25519((str){(const char *)pk, sizeof pk}, secret_view(&fresh), out);
    }
    secret_free(&fresh);
    return e;
}

/* DER to r||s. */
static enum err raw_from_der(const unsigned char *der, size_t n, size_t half, unsigned char *out)
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    bool good = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, (int)half) > 0 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + half, (int)half) > 0;
    ECDSA_SIG_free(sig);
    return good ? ERR_OK : ERR_NO_MEMORY;
}

enum err signer_sign(struct signer *s, str message, unsigned char *out, size_t *out_n)
{
    const struct alg_info *info = alg_info(s->alg);
    const unsigned char *m = (const unsigned char *)message.p;
    size_t n = SIGNATURE_MAX_LEN;
    if (info->type == KEY_OKP) {
        crypto_sign_detached(out, NULL, m, message.n, s->store.p);
        n = crypto_sign_BYTES;
    } else if (info->type == KEY_OCT) {
        if (!s->mac || EVP_MAC_init(s->mac, NULL, 0, NULL) != 1 || EVP_MAC_update(s->mac, m, message.n) != 1 ||
            EVP_MAC_final(s->mac, out, &n, n) != 1)
            return ERR_NO_MEMORY;
    } else {
        unsigned char digest[DIGEST_MAX_LEN], der[SIGNATURE_MAX_LEN];
        bool ec = info->type == KEY_EC;
        digest_of(info->digest, message, digest);
        if (!s->pkey || EVP_PKEY_sign(s->pkey, ec ? der : out, &n, digest, digest_len(info->digest)) != 1) {
            ERR_clear_error();
            return s->pkey ? ERR_NO_MEMORY : ERR_DENIED;
        }
        if (ec) {
            size_t half = curve_bytes(info->curve);
            enum err e = raw_from_der(der, n, half, out);
            if (e != ERR_OK) return e;
            n = 2 * half;
        }
    }
    *out_n = n;
    return ERR_OK;
}

enum err signer_public(const struct signer *s, struct key **out)
{
    const struct signer_numbers *n = &s->numbers;
    switch (n->type) {
    case KEY_RSA: return key_new_rsa(n->rsa.n, n->rsa.e, alg_bit(s->alg), out, NULL);
    case KEY_EC: return key_new_ec(n->curve, n->x, n->y, alg_bit(s->alg), out, NULL);
    case KEY_OKP: return key_new_ed25519(n->x, out, NULL);
    case KEY_OCT: return key_new_hmac(n->secret, alg_bit(s->alg), out, NULL);
    }
    return ERR_INVARIANT;
}
