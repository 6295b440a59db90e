/* A key with a table and the same key without one judge alike: libcrypto's own verification is the oracle. */
#include "unit.h"

#include "crypto/key_private.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/rand.h>

enum { KEYS = 4, MESSAGES = 150 };

static struct verify_ctx *ctx;

struct pair {
    struct signer *signer;
    struct key *plain, *ready;
};

static void pair_make(struct pair *p)
{
    assert_err(signer_generate(ALG_ES256, 0, &p->signer), ERR_OK);
    struct signer_numbers n = signer_numbers(p->signer);
    assert_err(key_new_ec(CURVE_P256, n.x, n.y, alg_bit(ALG_ES256), &p->plain, NULL), ERR_OK);
    assert_err(key_new_ec(CURVE_P256, n.x, n.y, alg_bit(ALG_ES256), &p->ready, NULL), ERR_OK);
    assert_true(key_prepare(p->ready));
    assert_true(key_prepare(p->ready)); /* again: nothing to do */
    assert_non_null(atomic_load(&p->ready->es256));
    assert_null(atomic_load(&p->plain->es256));
}

static void pair_free(struct pair *p)
{
    signer_free(&p->signer);
    key_unref(&p->plain);
    key_unref(&p->ready);
}

/* What both say; they must say the same. */
static enum err both(const struct pair *p, str message, const unsigned char *sig, size_t n)
{
    str s = str_make((const char *)sig, n);
    enum err e = key_verify(ctx, p->plain, ALG_ES256, message, s);
    assert_err(key_verify(ctx, p->ready, ALG_ES256, message, s), e);
    return e;
}

static void good_and_altered_signatures(void **state)
{
    (void)state;
    for (unsigned k = 0; k < KEYS; k++) {
        struct pair p;
        pair_make(&p);
        for (unsigned i = 0; i < MESSAGES; i++) {
            unsigned char text[40], sig[SIGNATURE_MAX_LEN], random[2];
            size_t n;
            assert_int_equal(RAND_bytes(text, sizeof text), 1);
            assert_int_equal(RAND_bytes(random, sizeof random), 1);
            str message = str_make((const char *)text, i % sizeof text);
            assert_err(signer_sign(p.signer, message, sig, &n), ERR_OK);
            assert_int_equal(n, ES256_SIGNATURE_LEN);
            assert_err(both(&p, message, sig, n), ERR_OK);
            assert_err(both(&p, message, sig, n - 1), ERR_DENIED);
            assert_err(both(&p, STR("another"), sig, n), ERR_DENIED);
            sig[random[0] % 64] ^= (unsigned char)(1u << (random[1] % 8));
            assert_err(both(&p, message, sig, n), ERR_DENIED);
        }
        pair_free(&p);
    }
}

static void another_key_signs_nothing(void **state)
{
    (void)state;
    struct pair a, b;
    unsigned char sig[SIGNATURE_MAX_LEN];
    size_t n;
    pair_make(&a);
    pair_make(&b);
    assert_err(signer_sign(a.signer, STR("text"), sig, &n), ERR_OK);
    assert_err(both(&a, STR("text"), sig, n), ERR_OK);
    assert_err(both(&b, STR("text"), sig, n), ERR_DENIED);
    pair_free(&a);
    pair_free(&b);
}

/* Everything at the ends of the ranges, alone and together with everything else. */
static void numbers_at_the_edges(void **state)
{
    (void)state;
    struct pair p;
    EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    const BIGNUM *order = EC_GROUP_get0_order(g);
    BIGNUM *field = BN_new(), *edge[12];
    unsigned char good[SIGNATURE_MAX_LEN], sig[64];
    size_t n;
    pair_make(&p);
    assert_int_equal(EC_GROUP_get_curve(g, field, NULL, NULL, NULL), 1);
    assert_err(signer_sign(p.signer, STR("edges"), good, &n), ERR_OK);
    for (unsigned i = 0; i < ARRAY_LEN(edge); i++) edge[i] = BN_new();
    assert_int_equal(BN_set_word(edge[1], 1), 1);
    assert_int_equal(BN_sub(edge[2], order, BN_value_one()), 1);
    assert_non_null(BN_copy(edge[3], order));
    assert_int_equal(BN_add(edge[4], order, BN_value_one()), 1);
    assert_int_equal(BN_sub(edge[5], field, BN_value_one()), 1);
    assert_non_null(BN_copy(edge[6], field));
    assert_int_equal(BN_sub(edge[7], field, order), 1); /* the least x that has a second name */
    assert_int_equal(BN_rshift1(edge[8], order), 1);
    assert_int_equal(BN_lshift(edge[9], BN_value_one(), 255), 1);
    memset(sig, 0xff, sizeof sig);
    assert_non_null(BN_bin2bn(sig, 32, edge[10]));
    assert_non_null(BN_bin2bn(good, 32, edge[11]));
    for (unsigned r = 0; r < ARRAY_LEN(edge); r++)
        for (unsigned s = 0; s < ARRAY_LEN(edge); s++) {
            BN_bn2binpad(edge[r], sig, 32);
            BN_bn2binpad(edge[s], sig + 32, 32);
            assert_err(both(&p, STR("edges"), sig, sizeof sig), ERR_DENIED);
        }
    /* the other s of the same signature is as good (RFC 6979 §2.4 does not forbid it) */
    memcpy(sig, good, 64);
    BIGNUM *other = BN_bin2bn(good + 32, 32, NULL);
    assert_int_equal(BN_sub(other, order, other), 1);
    BN_bn2binpad(other, sig + 32, 32);
    assert_err(both(&p, STR("edges"), sig, sizeof sig), ERR_OK);
    BN_free(other);
    for (unsigned i = 0; i < ARRAY_LEN(edge); i++) BN_free(edge[i]);
    BN_free(field);
    EC_GROUP_free(g);
    pair_free(&p);
}

/* r = ±digest / d makes both halves of the sum the same point, or opposite ones: doubling, and infinity. */
static void halves_that_meet(void **state)
{
    (void)state;
    struct pair p;
    EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    const BIGNUM *order = EC_GROUP_get0_order(g);
    BN_CTX *bn = BN_CTX_new();
    unsigned char digest[SHA256_LEN], sig[64];
    pair_make(&p);
    sha256(STR("meet"), digest);
    str d = signer_numbers(p.signer).d;
    BIGNUM *z = BN_bin2bn(digest, sizeof digest, NULL), *secret = BN_bin2bn((const unsigned char *)d.p, (int)d.n, NULL);
    BIGNUM *r = BN_mod_inverse(NULL, secret, order, bn);
    assert_int_equal(BN_mod_mul(r, r, z, order, bn), 1);
    for (unsigned sign = 0; sign < 2; sign++) {
        BN_bn2binpad(r, sig, 32);
        for (unsigned s = 1; s < 20; s++) {
            memset(sig + 32, 0, 32);
            sig[63] = (unsigned char)s;
            sig[40] = (unsigned char)(s * 7);
            assert_err(both(&p, STR("meet"), sig, sizeof sig), ERR_DENIED);
        }
        assert_int_equal(BN_sub(r, order, r), 1);
    }
    BN_free(z);
    BN_free(secret);
    BN_free(r);
    BN_CTX_free(bn);
    EC_GROUP_free(g);
    pair_free(&p);
}

/* With the digest chosen freely a small s can be had: s + order fits the field then, and names the same number. */
static void a_number_above_the_order_is_no_second_name(void **state)
{
    (void)state;
    struct pair p;
    EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *point = EC_POINT_new(g);
    const BIGNUM *order = EC_GROUP_get0_order(g);
    BN_CTX *bn = BN_CTX_new();
    BIGNUM *k = BN_new(), *r = BN_new(), *z = BN_new(), *s = BN_new();
    unsigned char digest[32], sig[64];
    pair_make(&p);
    str d = signer_numbers(p.signer).d;
    BIGNUM *secret = BN_bin2bn((const unsigned char *)d.p, (int)d.n, NULL);
    assert_int_equal(BN_set_word(k, 123456789), 1);
    assert_int_equal(BN_set_word(s, 5), 1);
    assert_int_equal(EC_POINT_mul(g, point, k, NULL, NULL, bn), 1);
    assert_int_equal(EC_POINT_get_affine_coordinates(g, point, r, NULL, bn), 1);
    assert_int_equal(BN_nnmod(r, r, order, bn), 1);
    assert_int_equal(BN_mod_mul(z, s, k, order, bn), 1);
    assert_int_equal(BN_mod_mul(secret, secret, r, order, bn), 1);
    assert_int_equal(BN_mod_sub(z, z, secret, order, bn), 1);
    BN_bn2binpad(z, digest, 32);
    BN_bn2binpad(r, sig, 32);
    BN_bn2binpad(s, sig + 32, 32);
    struct es256_ctx *c = es256_ctx_new();
    assert_err(es256_verify(c, atomic_load(&p.ready->es256), sig, digest), ERR_OK);
    assert_int_equal(BN_add(s, s, order), 1);
    BN_bn2binpad(s, sig + 32, 32);
    assert_err(es256_verify(c, atomic_load(&p.ready->es256), sig, digest), ERR_DENIED);
    es256_ctx_free(c);
    BIGNUM *all[] = {k, r, z, s, secret};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) BN_free(all[i]);
    BN_CTX_free(bn);
    EC_POINT_free(point);
    EC_GROUP_free(g);
    pair_free(&p);
}

static void other_keys_have_none(void **state)
{
    (void)state;
    static const enum alg algs[] = {ALG_RS256, ALG_ES384, ALG_EDDSA, ALG_HS256};
    for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
        struct signer *s;
        struct key *k;
        assert_err(signer_generate(algs[i], 2048, &s), ERR_OK);
        assert_err(signer_public(s, &k), ERR_OK);
        assert_false(key_prepare(k));
        signer_free(&s);
        key_unref(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_and_altered_signatures),
        cmocka_unit_test(another_key_signs_nothing),
        cmocka_unit_test(numbers_at_the_edges),
        cmocka_unit_test(halves_that_meet),
        cmocka_unit_test(a_number_above_the_order_is_no_second_name),
        cmocka_unit_test(other_keys_have_none),
    };
    if (verify_ctx_new(&ctx) != ERR_OK) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    verify_ctx_free(&ctx);
    return failed;
}
