#include "unit.h"

#include "crypto/digest.h"
#include "crypto/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/rsa.h>

/* Two signers of every algorithm, made once: fresh keys are slow. */
enum { EACH = 2, SIGNERS = (ALG_COUNT - 1) * EACH };

static struct signer *signers[SIGNERS];
static struct verify_ctx *ctx;

static struct signer *signer_for(enum alg a)
{
    return signers[((int)a - 1) * EACH];
}

static int make_signers(void **state)
{
    (void)state;
    assert_err(verify_ctx_new(&ctx), ERR_OK);
    for (int i = 0; i < SIGNERS; i++) {
        enum alg a = (enum alg)(i / EACH + 1);
        assert_err(signer_generate(a, 2048, &signers[i]), ERR_OK);
        assert_int_equal(signer_alg(signers[i]), a);
    }
    return 0;
}

static int free_signers(void **state)
{
    (void)state;
    for (int i = 0; i < SIGNERS; i++) signer_free(&signers[i]);
    verify_ctx_free(&ctx);
    return 0;
}

/* The verifying key of a signer with every algorithm its numbers could be used with, as a JWK without `alg` gives it.
 */
static struct key *wide_key(const struct signer *s)
{
    struct signer_numbers n = signer_numbers(s);
    struct key *k = NULL;
    switch (n.type) {
    case KEY_RSA: assert_err(key_new_rsa(n.rsa.n, n.rsa.e, UINT32_MAX, &k, NULL), ERR_OK); break;
    case KEY_EC: assert_err(key_new_ec(n.curve, n.x, n.y, UINT32_MAX, &k, NULL), ERR_OK); break;
    case KEY_OKP: assert_err(key_new_ed25519(n.x, &k, NULL), ERR_OK); break;
    case KEY_OCT: assert_err(key_new_hmac(n.secret, UINT32_MAX, &k, NULL), ERR_OK); break;
    }
    return k;
}

static const str message = STR_INIT("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9");

static void every_key_against_every_signature(void **state)
{
    (void)state;
    struct key *narrow[SIGNERS], *wide[SIGNERS];
    unsigned char sig[SIGNATURE_MAX_LEN];
    size_t n;
    for (int i = 0; i < SIGNERS; i++) {
        assert_err(signer_public(signers[i], &narrow[i]), ERR_OK);
        wide[i] = wide_key(signers[i]);
        assert_int_equal(key_algs(narrow[i]), alg_bit(signer_alg(signers[i])));
    }
    for (int round = 0; round < 2; round++) { /* the second meets contexts that have failed before */
        for (int s = 0; s < SIGNERS; s++) {
            assert_err(signer_sign(signers[s], message, sig, &n), ERR_OK);
            str signature = {(const char *)sig, n};
            for (int k = 0; k < SIGNERS; k++) {
                for (unsigned a = 0; a <= ALG_COUNT; a++) {
                    bool good = k == s && a == signer_alg(signers[s]);
                    enum err want = good ? ERR_OK : ERR_DENIED;
                    enum err by_narrow = key_verify(ctx, narrow[k], (enum alg)a, message, signature);
                    enum err by_wide = key_verify(ctx, wide[k], (enum alg)a, message, signature);
                    if (by_narrow != want || by_wide != want)
                        fail_msg("signer %d, key %d, alg %s: %s, %s", s, k, a < ALG_COUNT ? alg_name((enum alg)a) : "?",
                                 err_name(by_narrow), err_name(by_wide));
                }
            }
        }
    }
    for (int i = 0; i < SIGNERS; i++) {
        key_unref(&narrow[i]);
        key_unref(&wide[i]);
    }
}

static void every_flipped_byte_is_seen(void **state)
{
    (void)state;
    for (unsigned a = 1; a < ALG_COUNT; a++) {
        struct key *k;
        unsigned char sig[SIGNATURE_MAX_LEN];
        size_t n;
        assert_err(signer_public(signer_for((enum alg)a), &k), ERR_OK);
        assert_err(signer_sign(signer_for((enum alg)a), message, sig, &n), ERR_OK);
        str whole = {(const char *)sig, n};
        for (size_t i = 0; i < n; i++) {
            sig[i] ^= 1;
            assert_err(key_verify(ctx, k, (enum alg)a, message, whole), ERR_DENIED);
            sig[i] ^= 0x81;
            assert_err(key_verify(ctx, k, (enum alg)a, message, whole), ERR_DENIED);
            sig[i] ^= 0x80;
        }
        for (size_t i = 0; i < n; i++)
            assert_err(key_verify(ctx, k, (enum alg)a, message, str_first(whole, i)), ERR_DENIED);
        sig[n] = 0;
        assert_err(key_verify(ctx, k, (enum alg)a, message, str_make(whole.p, n + 1)), ERR_DENIED);
        assert_err(key_verify(ctx, k, (enum alg)a, STR_NONE, whole), ERR_DENIED);
        assert_err(key_verify(ctx, k, (enum alg)a, message, whole), ERR_OK);
        key_unref(&k);
    }
}

/* Group order and field prime of a curve, from OpenSSL; big-endian, `len` bytes. */
static void curve_numbers(enum key_curve c, size_t len, unsigned char *order, unsigned char *prime)
{
    static const int nids[] = {NID_X9_62_prime256v1, NID_secp384r1, NID_secp521r1};
    EC_GROUP *g = EC_GROUP_new_by_curve_name(nids[c]);
    BN_bn2binpad(EC_GROUP_get0_order(g), order, (int)len);
    BN_bn2binpad(EC_GROUP_get0_field(g), prime, (int)len);
    EC_GROUP_free(g);
}

/* a += b, both `len` bytes big-endian; false on overflow. */
static bool add_numbers(unsigned char *a, const unsigned char *b, size_t len)
{
    unsigned carry = 0;
    for (size_t i = len; i-- > 0; carry >>= 8) {
        carry += (unsigned)a[i] + b[i];
        a[i] = (unsigned char)carry;
    }
    return carry == 0;
}

static void ecdsa_takes_only_r_and_s_in_range(void **state)
{
    (void)state;
    static const enum alg algs[] = {ALG_ES256, ALG_ES384, ALG_ES512};
    for (size_t c = 0; c < ARRAY_LEN(algs); c++) {
        struct key *k;
        unsigned char sig[SIGNATURE_MAX_LEN], bad[SIGNATURE_MAX_LEN], order[66], prime[66];
        size_t n;
        assert_err(signer_public(signer_for(algs[c]), &k), ERR_OK);
        assert_err(signer_sign(signer_for(algs[c]), message, sig, &n), ERR_OK);
        size_t half = n / 2;
        curve_numbers((enum key_curve)c, half, order, prime);
        for (size_t which = 0; which < 2; which++) {
            unsigned char *part = bad + which * half;
            str whole = {(const char *)bad, n};
            memcpy(bad, sig, n);
            memset(part, 0, half);
            assert_err(key_verify(ctx, k, algs[c], message, whole), ERR_DENIED); /* 0 */
            memcpy(part, order, half);
            assert_err(key_verify(ctx, k, algs[c], message, whole), ERR_DENIED); /* n */
            memset(part, 0xff, half);
            assert_err(key_verify(ctx, k, algs[c], message, whole), ERR_DENIED); /* the largest */
            memcpy(bad, sig, n);
            if (add_numbers(part, order, half)) /* the same residue, out of range */
                assert_err(key_verify(ctx, k, algs[c], message, whole), ERR_DENIED);
            else
                assert_true(c < 2);
        }
        memset(bad, 0, n);
        assert_err(key_verify(ctx, k, algs[c], message, str_make((char *)bad, n)), ERR_DENIED);
        key_unref(&k);
    }
}

static void ecdsa_in_der_is_refused(void **state)
{
    (void)state;
    struct key *k;
    unsigned char der[SIGNATURE_MAX_LEN], digest[SHA256_LEN];
    size_t n = sizeof der;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    unsigned char point[65];
    size_t point_n;
    assert_int_equal(EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &point_n), 1);
    assert_err(key_new_ec(CURVE_P256, str_make((char *)point + 1, 32), str_make((char *)point + 33, 32), UINT32_MAX, &k,
                          NULL),
               ERR_OK);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pkey, NULL);
    sha256(message, digest);
    /* a DER signature is 70 to 72 bytes long, sometimes less: 64 of them would be the length of the raw form */
    for (int i = 0; i < 50; i++) {
        n = sizeof der;
        assert_int_equal(EVP_PKEY_sign_init(c), 1);
        assert_int_equal(EVP_PKEY_sign(c, der, &n, digest, sizeof digest), 1);
        assert_err(key_verify(ctx, k, ALG_ES256, message, str_make((char *)der, n)), ERR_DENIED);
        assert_err(key_verify(ctx, k, ALG_ES256, message, str_make((char *)der, 64)), ERR_DENIED);
    }
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(pkey);
    key_unref(&k);
}

static void points_off_the_curve_are_no_keys(void **state)
{
    (void)state;
    static const enum alg algs[] = {ALG_ES256, ALG_ES384, ALG_ES512};
    for (size_t c = 0; c < ARRAY_LEN(algs); c++) {
        struct signer_numbers n = signer_numbers(signer_for(algs[c]));
        unsigned char x[67] = {0}, y[67] = {0}, order[66], prime[66];
        size_t len = n.x.n;
        struct key *k = NULL;
        enum key_fault fault;
        curve_numbers((enum key_curve)c, len, order, prime);
        str sx = {(char *)x, len}, sy = {(char *)y, len};
        assert_err(key_new_ec(n.curve, sx, sy, UINT32_MAX, &k, &fault), ERR_DENIED); /* (0,0) */
        assert_int_equal(fault, KEY_FAULT_NOT_ON_CURVE);
        memcpy(x, n.x.p, len);
        memcpy(y, n.y.p, len);
        y[len - 1] ^= 1;
        assert_err(key_new_ec(n.curve, sx, sy, UINT32_MAX, &k, &fault), ERR_DENIED);
        assert_int_equal(fault, KEY_FAULT_NOT_ON_CURVE);
        y[len - 1] ^= 1;
        if (add_numbers(x, prime, len)) /* the same point written with x >= p */
            assert_err(key_new_ec(n.curve, sx, sy, UINT32_MAX, &k, &fault), ERR_DENIED);
        memcpy(x, n.x.p, len);
        assert_err(key_new_ec(n.curve, str_make((char *)x, len + 1), sy, UINT32_MAX, &k, &fault), ERR_DENIED);
        assert_int_equal(fault, KEY_FAULT_NUMBER);
        assert_err(key_new_ec(n.curve, str_first(sx, len - 1), sy, UINT32_MAX, &k, &fault), ERR_DENIED);
        assert_err(key_new_ec((enum key_curve)((c + 1) % 3), sx, sy, UINT32_MAX, &k, &fault), ERR_DENIED);
        assert_err(key_new_ec(n.curve, sx, sy, ALGS_RSA | ALGS_SYMMETRIC | ALGS_OKP, &k, &fault), ERR_DENIED);
        assert_int_equal(fault, KEY_FAULT_ALG);
        assert_null(k);
        assert_err(key_new_ec(n.curve, sx, sy, UINT32_MAX, &k, &fault), ERR_OK);
        assert_int_equal(key_algs(k), alg_bit(algs[c]));
        key_unref(&k);
    }
}

static void rsa_keys_have_bounds(void **state)
{
    (void)state;
    static unsigned char odd[1030];
    memset(odd, 0xff, sizeof odd);
    const char *o = (const char *)odd;
    struct signer_numbers good = signer_numbers(signer_for(ALG_RS256));
    unsigned char even[256], zero_first[257] = {0};
    memcpy(even, good.rsa.n.p, 256);
    even[255] &= 0xfe;
    memcpy(zero_first + 1, good.rsa.n.p, 256);
    static unsigned char bits_2047[256];
    memset(bits_2047, 0x7f, 256);
    const struct {
        const char *name;
        str n, e;
        enum err want;
        enum key_fault fault;
    } rows[] = {
        {"good", good.rsa.n, good.rsa.e, ERR_OK, KEY_FAULT_NONE},
        {"8192 bits", str_make(o, 1024), STR("\x01\x00\x01"), ERR_OK, KEY_FAULT_NONE},
        {"8200 bits", str_make(o, 1025), STR("\x01\x00\x01"), ERR_DENIED, KEY_FAULT_SIZE},
        {"1024 bits", str_make(o, 128), STR("\x01\x00\x01"), ERR_DENIED, KEY_FAULT_SIZE},
        {"2047 bits", str_make((char *)bits_2047, 256), STR("\x01\x00\x01"), ERR_DENIED, KEY_FAULT_SIZE},
        {"no modulus", STR_NONE, STR("\x01\x00\x01"), ERR_DENIED, KEY_FAULT_SIZE},
        {"even modulus", str_make((char *)even, 256), STR("\x01\x00\x01"), ERR_DENIED, KEY_FAULT_NUMBER},
        {"leading zero", str_make((char *)zero_first, 257), STR("\x01\x00\x01"), ERR_DENIED, KEY_FAULT_NUMBER},
        {"e = 0", good.rsa.n, STR("\x00"), ERR_DENIED, KEY_FAULT_NUMBER},
        {"no e", good.rsa.n, STR_NONE, ERR_DENIED, KEY_FAULT_EXPONENT},
        {"e = 1", good.rsa.n, STR("\x01"), ERR_DENIED, KEY_FAULT_EXPONENT},
        {"e = 3", good.rsa.n, STR("\x03"), ERR_DENIED, KEY_FAULT_EXPONENT},
        {"e = 65535", good.rsa.n, STR("\xff\xff"), ERR_DENIED, KEY_FAULT_EXPONENT},
        {"e = 65536", good.rsa.n, STR("\x01\x00\x00"), ERR_DENIED, KEY_FAULT_EXPONENT},
        {"e with a zero", good.rsa.n, STR("\x00\x01\x00\x01"), ERR_DENIED, KEY_FAULT_NUMBER},
        {"e = 65539", good.rsa.n, STR("\x01\x00\x03"), ERR_OK, KEY_FAULT_NONE},
        {"e of 9 bytes", good.rsa.n, STR("\x01\x00\x00\x00\x00\x00\x00\x00\x01"), ERR_DENIED, KEY_FAULT_EXPONENT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct key *k = NULL;
        enum key_fault fault = KEY_FAULT_NONE;
        enum err e = key_new_rsa(rows[i].n, rows[i].e, UINT32_MAX, &k, &fault);
        if (e != rows[i].want || fault != rows[i].fault)
            fail_msg("%s: %s, %s", rows[i].name, err_name(e), key_fault_name(fault));
        assert_true((e == ERR_OK) == (k != NULL));
        if (k) assert_int_equal(key_algs(k), ALGS_RSA);
        key_unref(&k);
    }
}

/* What somebody with the private key, but other habits, would sign. */
static size_t sign_rsa(EVP_PKEY *pkey, const EVP_MD *md, int padding, int salt, unsigned char *out)
{
    unsigned char digest[64];
    unsigned digest_n;
    size_t n = SIGNATURE_MAX_LEN;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pkey, NULL);
    assert_int_equal(EVP_Digest(message.p, message.n, digest, &digest_n, md, NULL), 1);
    assert_int_equal(EVP_PKEY_sign_init(c), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, padding), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature_md(c, md), 1);
    if (padding == RSA_PKCS1_PSS_PADDING) assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(c, salt), 1);
    assert_int_equal(EVP_PKEY_sign(c, out, &n, digest, digest_n), 1);
    EVP_PKEY_CTX_free(c);
    return n;
}

static void rsa_signatures_have_one_form(void **state)
{
    (void)state;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    unsigned char n_bytes[256], e_bytes[3], sig[SIGNATURE_MAX_LEN];
    BIGNUM *n = NULL, *e = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e), 1);
    BN_bn2binpad(n, n_bytes, 256);
    BN_bn2binpad(e, e_bytes, 3);
    BN_free(n);
    BN_free(e);
    struct key *k;
    assert_err(key_new_rsa(str_make((char *)n_bytes, 256), str_make((char *)e_bytes, 3), UINT32_MAX, &k, NULL), ERR_OK);
    const struct {
        const char *name;
        const EVP_MD *md;
        int padding, salt;
        enum alg alg;
        enum err want;
    } rows[] = {
        {"RS256", EVP_sha256(), RSA_PKCS1_PADDING, 0, ALG_RS256, ERR_OK},
        {"RS256 with SHA-1", EVP_sha1(), RSA_PKCS1_PADDING, 0, ALG_RS256, ERR_DENIED},
        {"RS256 with SHA-224", EVP_sha224(), RSA_PKCS1_PADDING, 0, ALG_RS256, ERR_DENIED},
        {"RS256 with SHA-512", EVP_sha512(), RSA_PKCS1_PADDING, 0, ALG_RS256, ERR_DENIED},
        {"PS256", EVP_sha256(), RSA_PKCS1_PSS_PADDING, 32, ALG_PS256, ERR_OK},
        {"PS256 without salt", EVP_sha256(), RSA_PKCS1_PSS_PADDING, 0, ALG_PS256, ERR_DENIED},
        {"PS256 with a short salt", EVP_sha256(), RSA_PKCS1_PSS_PADDING, 20, ALG_PS256, ERR_DENIED},
        {"PS256 with the longest salt", EVP_sha256(), RSA_PKCS1_PSS_PADDING, -3, ALG_PS256, ERR_DENIED},
        {"PS384", EVP_sha384(), RSA_PKCS1_PSS_PADDING, 48, ALG_PS384, ERR_OK},
        {"PS384 with SHA-256", EVP_sha256(), RSA_PKCS1_PSS_PADDING, 48, ALG_PS384, ERR_DENIED},
        {"PS512", EVP_sha512(), RSA_PKCS1_PSS_PADDING, 64, ALG_PS512, ERR_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t sig_n = sign_rsa(pkey, rows[i].md, rows[i].padding, rows[i].salt, sig);
        enum err got = key_verify(ctx, k, rows[i].alg, message, str_make((char *)sig, sig_n));
        if (got != rows[i].want) fail_msg("%s: %s", rows[i].name, err_name(got));
    }
    /* s + n is the same number modulo n */
    size_t sig_n;
    do sig_n = sign_rsa(pkey, EVP_sha256(), RSA_PKCS1_PSS_PADDING, 32, sig);
    while (!add_numbers(sig, n_bytes, 256));
    assert_err(key_verify(ctx, k, ALG_PS256, message, str_make((char *)sig, sig_n)), ERR_DENIED);
    memset(sig, 0, 256);
    assert_err(key_verify(ctx, k, ALG_RS256, message, str_make((char *)sig, 256)), ERR_DENIED);
    sig[255] = 1;
    assert_err(key_verify(ctx, k, ALG_RS256, message, str_make((char *)sig, 256)), ERR_DENIED);
    EVP_PKEY_free(pkey);
    key_unref(&k);
}

static void ed25519_is_strict(void **state)
{
    (void)state;
    /* the order of the group, little-endian (RFC 8032 §5.1): 2^252 + 27742317777372353535851937790883648493 */
    static const unsigned char l[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                        0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    struct key *k;
    unsigned char sig[SIGNATURE_MAX_LEN];
    size_t n;
    unsigned carry = 0;
    assert_err(signer_public(signer_for(ALG_EDDSA), &k), ERR_OK);
    assert_err(signer_sign(signer_for(ALG_EDDSA), message, sig, &n), ERR_OK);
    assert_int_equal(n, 64);
    for (int i = 0; i < 32; i++, carry >>= 8) {
        carry += (unsigned)sig[32 + i] + l[i];
        sig[32 + i] = (unsigned char)carry;
    }
    assert_err(key_verify(ctx, k, ALG_EDDSA, message, str_make((char *)sig, n)), ERR_DENIED);
    key_unref(&k);

    static const struct {
        const char *name;
        unsigned char first, between, last;
    } keys[] = {
        {"y = 0", 0, 0, 0},
        {"y = 0, other sign", 0, 0, 0x80},
        {"identity", 1, 0, 0},
        {"identity, other sign", 1, 0, 0x80},
        {"order 2", 0xec, 0xff, 0x7f},
        {"y = p", 0xed, 0xff, 0x7f},
        {"y = p + 1", 0xee, 0xff, 0x7f},
        {"no point", 2, 0, 0},
        {"all ones", 0xff, 0xff, 0xff},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        enum key_fault fault = KEY_FAULT_NONE;
        unsigned char x[32];
        memset(x, keys[i].between, sizeof x);
        x[0] = keys[i].first;
        x[31] = keys[i].last;
        k = NULL;
        enum err e = key_new_ed25519(str_make((char *)x, sizeof x), &k, &fault);
        if (e != ERR_DENIED || fault != KEY_FAULT_SMALL_ORDER || k) fail_msg("%s is taken", keys[i].name);
    }
    assert_err(key_new_ed25519(STR("short"), &k, NULL), ERR_DENIED);
}

static void secrets_are_as_long_as_the_digest(void **state)
{
    (void)state;
    static const char bytes[5000];
    static const struct {
        size_t n;
        uint32_t asked, given;
    } rows[] = {
        {0, UINT32_MAX, 0},
        {1, UINT32_MAX, 0},
        {31, UINT32_MAX, 0},
        {32, UINT32_MAX, 1u << ALG_HS256},
        {47, UINT32_MAX, 1u << ALG_HS256},
        {48, UINT32_MAX, 1u << ALG_HS256 | 1u << ALG_HS384},
        {63, 1u << ALG_HS512, 0},
        {64, UINT32_MAX, ALGS_SYMMETRIC},
        {64, ALGS_PUBLIC, 0},
        {4096, UINT32_MAX, ALGS_SYMMETRIC},
        {4097, UINT32_MAX, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct key *k = NULL;
        enum err e = key_new_hmac(str_make(bytes, rows[i].n), rows[i].asked, &k, NULL);
        assert_err(e, rows[i].given ? ERR_OK : ERR_DENIED);
        if (k) assert_int_equal(key_algs(k), rows[i].given);
        key_unref(&k);
    }
}

static void names_are_exact(void **state)
{
    (void)state;
    for (unsigned a = 1; a < ALG_COUNT; a++) assert_int_equal(alg_from_name(str_of(alg_name((enum alg)a))), a);
    assert_int_equal(alg_from_name(STR("Ed25519")), ALG_EDDSA);
    static const char *const no[] = {"",         "none", "None",    "NONE",    "nOnE",   "none ", "rs256",  "RS256 ",
                                     " RS256",   "RS25", "RS2566",  "HS1",     "ES256K", "Ed448", "EDDSA",  "ed25519",
                                     "RSA-OAEP", "dir",  "A128GCM", "RS256\n", "RS1",    "MD5",   "Ed2551", "Ed25519 "};
    for (size_t i = 0; i < ARRAY_LEN(no); i++) assert_int_equal(alg_from_name(str_of(no[i])), ALG_INVALID);
    assert_int_equal(alg_from_name(str_make("none\0", 5)), ALG_INVALID);
    assert_int_equal(alg_from_name(str_make("\0\0\0\0\0", 5)), ALG_INVALID);
    assert_int_equal(alg_bit(ALG_INVALID), 0);
    assert_string_equal(alg_name(ALG_COUNT), "");
}

/* More keys than a thread keeps contexts for, in changing order: the answer never depends on what was met before. */
static void contexts_make_room(void **state)
{
    (void)state;
    enum { N = 1500 };
    static struct key *keys[N];
    static unsigned char macs[N][32];
    for (int i = 0; i < N; i++) {
        unsigned char secret[32] = {(unsigned char)i, (unsigned char)(i >> 8)};
        struct signer *s;
        size_t n;
        str text = {(char *)secret, sizeof secret};
        assert_err(signer_new_hmac(text, ALG_HS256, &s), ERR_OK);
        assert_err(signer_sign(s, message, macs[i], &n), ERR_OK);
        assert_err(signer_public(s, &keys[i]), ERR_OK);
        signer_free(&s);
    }
    for (unsigned i = 0; i < 6 * N; i++) {
        unsigned k = i < 3 * N ? i % N : i * 2654435761u % N, other = (k + 1) % N;
        assert_err(key_verify(ctx, keys[k], ALG_HS256, message, str_make((char *)macs[k], 32)), ERR_OK);
        assert_err(key_verify(ctx, keys[k], ALG_HS256, message, str_make((char *)macs[other], 32)), ERR_DENIED);
    }
    verify_ctx_clear(ctx);
    assert_err(key_verify(ctx, keys[7], ALG_HS256, message, str_make((char *)macs[7], 32)), ERR_OK);
    for (int i = 0; i < N; i++) key_unref(&keys[i]);
    /* the contexts outlive the keys */
    verify_ctx_clear(ctx);
}

static void keys_are_compared(void **state)
{
    (void)state;
    for (int i = 0; i < SIGNERS; i++)
        for (int j = 0; j < SIGNERS; j++) {
            struct key *a, *b;
            assert_err(signer_public(signers[i], &a), ERR_OK);
            assert_err(signer_public(signers[j], &b), ERR_OK);
            assert_int_equal(key_equal(a, b), i == j);
            key_unref(&a);
            key_unref(&b);
        }
}

static void halves_must_belong_together(void **state)
{
    (void)state;
    struct signer *s = NULL;
    struct signer_numbers a = signer_numbers(signers[(ALG_ES256 - 1) * EACH]),
                          b = signer_numbers(signers[(ALG_ES256 - 1) * EACH + 1]);
    assert_err(signer_new_ec(CURVE_P256, a.x, a.y, a.d, &s), ERR_OK);
    signer_free(&s);
    assert_err(signer_new_ec(CURVE_P256, a.x, a.y, b.d, &s), ERR_DENIED);
    a = signer_numbers(signers[(ALG_EDDSA - 1) * EACH]);
    b = signer_numbers(signers[(ALG_EDDSA - 1) * EACH + 1]);
    assert_err(signer_new_ed25519(a.x, a.d, &s), ERR_OK);
    signer_free(&s);
    assert_err(signer_new_ed25519(a.x, b.d, &s), ERR_DENIED);
    a = signer_numbers(signers[(ALG_RS256 - 1) * EACH]);
    b = signer_numbers(signers[(ALG_RS256 - 1) * EACH + 1]);
    assert_err(signer_new_rsa(&a.rsa, ALG_PS384, &s), ERR_OK);
    signer_free(&s);
    struct rsa_private mixed = b.rsa;
    mixed.n = a.rsa.n;
    assert_err(signer_new_rsa(&mixed, ALG_RS256, &s), ERR_DENIED);
    assert_err(signer_new_hmac(STR("short"), ALG_HS256, &s), ERR_DENIED);
    assert_err(signer_new_hmac(STR("0123456789abcdef0123456789abcdef"), ALG_RS256, &s), ERR_DENIED);
    assert_err(signer_generate(ALG_INVALID, 2048, &s), ERR_UNSUPPORTED);
    assert_err(signer_generate(ALG_RS256, 1024, &s), ERR_UNSUPPORTED);
    assert_null(s);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    static const enum alg algs[] = {ALG_RS256, ALG_ES256, ALG_EDDSA, ALG_HS256};
    for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
        struct signer *from = signer_for(algs[i]);
        unsigned char sig[SIGNATURE_MAX_LEN];
        size_t n;
        assert_err(signer_sign(from, message, sig, &n), ERR_OK);
        EACH_ALLOC_FAILING({
            struct verify_ctx *c = NULL;
            struct key *k = NULL;
            enum err e = verify_ctx_new(&c);
            if (e == ERR_OK) e = signer_public(from, &k);
            if (e == ERR_OK) e = key_verify(c, k, algs[i], message, str_make((char *)sig, n));
            assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && alloc_fail_hit()));
            key_unref(&k);
            verify_ctx_free(&c);
        });
        if (algs[i] == ALG_RS256) continue; /* generating two thousand bits once a try is slow and shows no more */
        EACH_ALLOC_FAILING({
            struct signer *s = NULL;
            enum err e = signer_generate(algs[i], 0, &s);
            assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && alloc_fail_hit()));
            signer_free(&s);
        });
    }
    struct rsa_private k = signer_numbers(signer_for(ALG_RS256)).rsa;
    EACH_ALLOC_FAILING({
        struct signer *s = NULL;
        enum err e = signer_new_rsa(&k, ALG_RS256, &s);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && alloc_fail_hit()));
        signer_free(&s);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_against_every_signature),
        cmocka_unit_test(every_flipped_byte_is_seen),
        cmocka_unit_test(ecdsa_takes_only_r_and_s_in_range),
        cmocka_unit_test(ecdsa_in_der_is_refused),
        cmocka_unit_test(points_off_the_curve_are_no_keys),
        cmocka_unit_test(rsa_keys_have_bounds),
        cmocka_unit_test(rsa_signatures_have_one_form),
        cmocka_unit_test(ed25519_is_strict),
        cmocka_unit_test(secrets_are_as_long_as_the_digest),
        cmocka_unit_test(names_are_exact),
        cmocka_unit_test(contexts_make_room),
        cmocka_unit_test(keys_are_compared),
        cmocka_unit_test(halves_must_belong_together),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, make_signers, free_signers);
}
