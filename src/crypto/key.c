/* Keys: the list of algorithms, and numbers made into keys once so that verifying never has to. */
#include "crypto/key_private.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

static const struct alg_info infos[ALG_COUNT] = {
    [ALG_INVALID] = {.name = ""},
    [ALG_RS256] = {.name = "RS256", .type = KEY_RSA, .digest = DIGEST_SHA256},
    [ALG_RS384] = {.name = "RS384", .type = KEY_RSA, .digest = DIGEST_SHA384},
    [ALG_RS512] = {.name = "RS512", .type = KEY_RSA, .digest = DIGEST_SHA512},
    [ALG_PS256] = {.name = "PS256", .type = KEY_RSA, .digest = DIGEST_SHA256, .pss = true},
    [ALG_PS384] = {.name = "PS384", .type = KEY_RSA, .digest = DIGEST_SHA384, .pss = true},
    [ALG_PS512] = {.name = "PS512", .type = KEY_RSA, .digest = DIGEST_SHA512, .pss = true},
    [ALG_ES256] = {.name = "ES256", .type = KEY_EC, .digest = DIGEST_SHA256, .curve = CURVE_P256},
    [ALG_ES384] = {.name = "ES384", .type = KEY_EC, .digest = DIGEST_SHA384, .curve = CURVE_P384},
    [ALG_ES512] = {.name = "ES512", .type = KEY_EC, .digest = DIGEST_SHA512, .curve = CURVE_P521},
    [ALG_EDDSA] = {.name = "EdDSA", .type = KEY_OKP},
    [ALG_HS256] = {.name = "HS256", .type = KEY_OCT, .digest = DIGEST_SHA256},
    [ALG_HS384] = {.name = "HS384", .type = KEY_OCT, .digest = DIGEST_SHA384},
    [ALG_HS512] = {.name = "HS512", .type = KEY_OCT, .digest = DIGEST_SHA512},
};

const struct alg_info *alg_info(enum alg a)
{
    return &infos[a];
}

enum alg alg_from_name(str name)
{
    for (unsigned a = ALG_INVALID + 1; a < ALG_COUNT; a++)
        if (name.n == 5 && memcmp(name.p, infos[a].name, 5) == 0) return (enum alg)a;
    return str_eq(name, STR("Ed25519")) ? ALG_EDDSA : ALG_INVALID; /* RFC 9864 §2.2 */
}

const char *alg_name(enum alg a)
{
    return a < ALG_COUNT ? infos[a].name : "";
}

const char *key_fault_name(enum key_fault f)
{
    switch (f) {
    case KEY_FAULT_NONE: return "none";
    case KEY_FAULT_ALG: return "algorithm";
    case KEY_FAULT_SIZE: return "size";
    case KEY_FAULT_NUMBER: return "number";
    case KEY_FAULT_EXPONENT: return "exponent";
    case KEY_FAULT_NOT_ON_CURVE: return "not_on_curve";
    case KEY_FAULT_SMALL_ORDER: return "small_order";
    case KEY_FAULT_MEMORY: return "out_of_memory";
    }
    return "unknown";
}

size_t curve_bytes(enum key_curve c)
{
    return c == CURVE_P256 ? 32 : c == CURVE_P384 ? 48 : EC_MAX_BYTES;
}

const char *curve_group(enum key_curve c)
{
    return c == CURVE_P256 ? "P-256" : c == CURVE_P384 ? "P-384" : "P-521";
}

enum alg curve_alg(enum key_curve c)
{
    return c == CURVE_P256 ? ALG_ES256 : c == CURVE_P384 ? ALG_ES384 : ALG_ES512;
}

const EVP_MD *digest_evp(enum digest d)
{
    return d == DIGEST_SHA256 ? EVP_sha256() : d == DIGEST_SHA384 ? EVP_sha384() : EVP_sha512();
}

const char *digest_evp_name(enum digest d)
{
    return d == DIGEST_SHA256 ? "SHA256" : d == DIGEST_SHA384 ? "SHA384" : "SHA512";
}

EVP_PKEY_CTX *pkey_ctx_new(EVP_PKEY *pkey, enum alg a, bool sign)
{
    const struct alg_info *info = alg_info(a);
    const EVP_MD *md = digest_evp(info->digest);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    if (!c) return NULL;
    bool good = (sign ? EVP_PKEY_sign_init(c) : EVP_PKEY_verify_init(c)) == 1;
    if (good && info->type == KEY_RSA) {
        good = EVP_PKEY_CTX_set_rsa_padding(c, info->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1;
        if (good && info->pss)
            good = EVP_PKEY_CTX_set_rsa_pss_saltlen(c, (int)digest_len(info->digest)) == 1 &&
                   EVP_PKEY_CTX_set_rsa_mgf1_md(c, md) == 1;
    }
    if (good && EVP_PKEY_CTX_set_signature_md(c, md) == 1) return c;
    EVP_PKEY_CTX_free(c);
    return NULL;
}

EVP_MAC_CTX *mac_ctx_new(str secret, enum digest d)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *c = mac ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac); /* the context keeps its own reference */
    if (!c) return NULL;
    char name[8]; /* the parameter's pointer is not const */
    snprintf(name, sizeof name, "%s", digest_evp_name(d));
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    if (EVP_MAC_init(c, (const unsigned char *)secret.p, secret.n, params) == 1) return c;
    EVP_MAC_CTX_free(c);
    return NULL;
}

static enum err refuse(enum key_fault *fault, enum key_fault why)
{
    if (fault) *fault = why;
    return why == KEY_FAULT_MEMORY ? ERR_NO_MEMORY : ERR_DENIED;
}

static struct key *key_alloc(enum key_type type, uint32_t algs, uint32_t bits)
{
    static _Atomic uint64_t last_id;
    struct key *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    atomic_init(&k->refs, 1);
    k->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    k->type = type;
    k->algs = algs;
    k->bits = bits;
    return k;
}

static uint32_t bit_length(str n)
{
    if (!n.n) return 0;
    uint32_t top = (unsigned char)n.p[0], bits = 0;
    for (; top; top >>= 1) bits++;
    return (uint32_t)(n.n - 1) * 8 + bits;
}

/* OSSL_PARAM wants integers in the machine's order. */
OSSL_PARAM number_param(const char *name, str in, unsigned char *out)
{
    for (size_t i = 0; i < in.n; i++)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        out[i] = (unsigned char)in.p[in.n - 1 - i];
#else
        out[i] = (unsigned char)in.p[i];
#endif
    return OSSL_PARAM_construct_BN(name, out, in.n);
}

EVP_PKEY *pkey_from(const char *type, int selection, OSSL_PARAM *params)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!c || EVP_PKEY_fromdata_init(c) != 1 || EVP_PKEY_fromdata(c, &pkey, selection, params) != 1) pkey = NULL;
    EVP_PKEY_CTX_free(c);
    return pkey;
}

/* Whether a failed OpenSSL call failed for want of memory; empties its error queue. */
static bool out_of_memory(void)
{
    bool memory = false;
    for (unsigned long code; (code = ERR_get_error());) memory |= ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    return memory;
}

enum err key_new_rsa(str n, str e, uint32_t algs, struct key **out, enum key_fault *fault)
{
    algs &= ALGS_RSA;
    if (!algs) return refuse(fault, KEY_FAULT_ALG);
    uint32_t bits = bit_length(n);
    /* RFC 7518 §6.3.1: as few octets as needed */
    if (n.n && n.p[0] == 0) return refuse(fault, KEY_FAULT_NUMBER);
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS) return refuse(fault, KEY_FAULT_SIZE);
    if (!(n.p[n.n - 1] & 1)) return refuse(fault, KEY_FAULT_NUMBER);
    if (e.n && e.p[0] == 0) return refuse(fault, KEY_FAULT_NUMBER);
    if (e.n > 8 || bit_length(e) < 17 || !(e.p[e.n - 1] & 1)) return refuse(fault, KEY_FAULT_EXPONENT);

    unsigned char modulus[RSA_MAX_BYTES], exponent[8];
    OSSL_PARAM params[] = {number_param(OSSL_PKEY_PARAM_RSA_N, n, modulus),
                           number_param(OSSL_PKEY_PARAM_RSA_E, e, exponent), OSSL_PARAM_construct_end()};
    EVP_PKEY *pkey = pkey_from("RSA", EVP_PKEY_PUBLIC_KEY, params);
    if (!pkey) return refuse(fault, out_of_memory() ? KEY_FAULT_MEMORY : KEY_FAULT_NUMBER);
    struct key *k = key_alloc(KEY_RSA, algs, bits);
    if (!k) {
        EVP_PKEY_free(pkey);
        return refuse(fault, KEY_FAULT_MEMORY);
    }
    k->pkey = pkey;
    *out = k;
    return ERR_OK;
}

enum err key_new_ec(enum key_curve curve, str x, str y, uint32_t algs, struct key **out, enum key_fault *fault)
{
    size_t len = curve_bytes(curve);
    algs &= alg_bit(curve_alg(curve));
    if (!algs) return refuse(fault, KEY_FAULT_ALG);
    if (x.n != len || y.n != len) return refuse(fault, KEY_FAULT_NUMBER); /* RFC 7518 §6.2.1.2 */

    unsigned char point[1 + 2 * EC_MAX_BYTES] = {4}; /* uncompressed, SEC 1 §2.3.3 */
    memcpy(point + 1, x.p, len);
    memcpy(point + 1 + len, y.p, len);
    char group[8];
    snprintf(group, sizeof group, "%s", curve_group(curve));
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                           OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * len),
                           OSSL_PARAM_construct_end()};
    EVP_PKEY *pkey = pkey_from("EC", EVP_PKEY_PUBLIC_KEY, params);
    EVP_PKEY_CTX *check = pkey ? EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL) : NULL;
    bool good = check && EVP_PKEY_public_check(check) == 1;
    EVP_PKEY_CTX_free(check);
    struct key *k = good ? key_alloc(KEY_EC, algs, curve == CURVE_P521 ? 521 : (uint32_t)len * 8) : NULL;
    if (!k) {
        EVP_PKEY_free(pkey);
        return refuse(fault, good || out_of_memory() ? KEY_FAULT_MEMORY : KEY_FAULT_NOT_ON_CURVE);
    }
    k->curve = curve;
    k->pkey = pkey;
    *out = k;
    return ERR_OK;
}

enum err key_new_ed25519(str x, struct key **out, enum key_fault *fault)
{
    if (x.n != ED25519_LEN) return refuse(fault, KEY_FAULT_NUMBER);
    /* canonical, on the curve, in the group of the base point: no small order, no mixed one either */
    if (!crypto_core_ed25519_is_valid_point((const unsigned char *)x.p)) return refuse(fault, KEY_FAULT_SMALL_ORDER);
    struct key *k = key_alloc(KEY_OKP, ALGS_OKP, 256);
    if (!k) return refuse(fault, KEY_FAULT_MEMORY);
    memcpy(k->ed, x.p, ED25519_LEN);
    *out = k;
    return ERR_OK;
}

enum err key_new_hmac(str secret, uint32_t algs, struct key **out, enum key_fault *fault)
{
    algs &= ALGS_SYMMETRIC;
    if (!algs) return refuse(fault, KEY_FAULT_ALG);
    /* RFC 7518 §3.2: as long as the digest or longer */
    for (unsigned a = ALG_HS256; a <= ALG_HS512; a++)
        if (secret.n < digest_len(infos[a].digest)) algs &= ~alg_bit((enum alg)a);
    if (!algs || secret.n > HMAC_MAX_BYTES) return refuse(fault, KEY_FAULT_SIZE);
    struct key *k = key_alloc(KEY_OCT, algs, (uint32_t)secret.n * 8);
    if (!k) return refuse(fault, KEY_FAULT_MEMORY);
    if (secret_copy(secret, &k->secret) != ERR_OK) {
        key_unref(&k);
        return refuse(fault, KEY_FAULT_MEMORY);
    }
    *out = k;
    return ERR_OK;
}

struct key *key_ref(struct key *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void key_unref(struct key **k)
{
    struct key *gone = *k;
    *k = NULL;
    if (!gone || atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel) != 1) return;
    EVP_PKEY_free(gone->pkey);
    es256_key_free(atomic_load_explicit(&gone->es256, memory_order_relaxed));
    secret_free(&gone->secret);
    free(gone);
}

bool key_prepare(struct key *k)
{
    if (k->type != KEY_EC || k->curve != CURVE_P256) return false;
    if (atomic_load_explicit(&k->es256, memory_order_acquire)) return true;
    struct es256_key *made = es256_key_new(k->pkey), *none = NULL;
    if (!made) return false;
    if (!atomic_compare_exchange_strong_explicit(&k->es256, &none, made, memory_order_release, memory_order_relaxed))
        es256_key_free(made); /* another thread was faster */
    return true;
}

bool key_equal(const struct key *a, const struct key *b)
{
    if (a->type != b->type || a->algs != b->algs || a->bits != b->bits) return false;
    switch (a->type) {
    case KEY_RSA:
    case KEY_EC: return EVP_PKEY_eq(a->pkey, b->pkey) == 1;
    case KEY_OKP: return memcmp(a->ed, b->ed, sizeof a->ed) == 0;
    case KEY_OCT: return secret_equal_str(secret_view(&a->secret), secret_view(&b->secret));
    }
    return false;
}

enum key_type key_type(const struct key *k)
{
    return k->type;
}

uint32_t key_algs(const struct key *k)
{
    return k->algs;
}

uint32_t key_bits(const struct key *k)
{
    return k->bits;
}
