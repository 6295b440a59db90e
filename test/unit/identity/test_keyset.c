#include "forge.h"

#include "identity/keyset.h"
#include "identity/verify.h"

static struct signer *rsa, *rsa2, *es, *es2, *ed, *hs;

static int make_signers(void **state)
{
    (void)state;
    assert_err(signer_generate(ALG_RS256, 2048, &rsa), ERR_OK);
    assert_err(signer_generate(ALG_RS256, 2048, &rsa2), ERR_OK);
    assert_err(signer_generate(ALG_ES256, 0, &es), ERR_OK);
    assert_err(signer_generate(ALG_ES256, 0, &es2), ERR_OK);
    assert_err(signer_generate(ALG_EDDSA, 0, &ed), ERR_OK);
    assert_err(signer_generate(ALG_HS256, 0, &hs), ERR_OK);
    return 0;
}

static int free_signers(void **state)
{
    (void)state;
    signer_free(&rsa);
    signer_free(&rsa2);
    signer_free(&es);
    signer_free(&es2);
    signer_free(&ed);
    signer_free(&hs);
    return 0;
}

static void put_number(struct buf *b, const char *name, str bytes)
{
    buf_printf(b, ",\"%s\":\"", name);
    forge_part(b, bytes.p, bytes.n);
    buf_putc(b, '"');
}

/* A public JWK of the signer with whatever else is to stand in it: `more` is ",\"kid\":\"1\"" or nothing. */
static void put_jwk(struct buf *b, const struct signer *s, const char *more)
{
    struct signer_numbers n = signer_numbers(s);
    switch (n.type) {
    case KEY_RSA:
        buf_puts(b, "{\"kty\":\"RSA\"");
        put_number(b, "n", n.rsa.n);
        put_number(b, "e", n.rsa.e);
        break;
    case KEY_EC:
        buf_puts(b, "{\"kty\":\"EC\",\"crv\":\"P-256\"");
        put_number(b, "x", n.x);
        put_number(b, "y", n.y);
        break;
    case KEY_OKP:
        buf_puts(b, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\"");
        put_number(b, "x", n.x);
        break;
    case KEY_OCT:
        buf_puts(b, "{\"kty\":\"oct\"");
        put_number(b, "k", n.secret);
        break;
    }
    buf_puts(b, more);
    buf_putc(b, '}');
}

static struct keyset *set_of(bool symmetric, size_t n, struct signer *const *s, const char *const *more)
{
    struct buf b;
    struct keyset *set = NULL;
    buf_init(&b, 1 << 20);
    buf_puts(&b, "{\"keys\":[");
    for (size_t i = 0; i < n; i++) {
        if (i) buf_putc(&b, ',');
        put_jwk(&b, s[i], more[i]);
    }
    buf_puts(&b, "]}");
    assert_err(keyset_from_jwks(buf_str(&b), symmetric, &set, NULL), ERR_OK);
    buf_free(&b);
    return set;
}

/* One JWK in a set: how it fares. */
static void unfit_keys_are_left_out(void **state)
{
    (void)state;
    struct {
        const char *name;
        const struct signer *s;
        const char *more;
        bool symmetric;
        enum jwk_fault want;
        uint32_t algs;
    } rows[] = {
        {"RSA", rsa, "", false, JWK_FAULT_NONE, ALGS_RSA},
        {"RSA with kid", rsa, ",\"kid\":\"1\"", false, JWK_FAULT_NONE, ALGS_RSA},
        {"RSA PS512", rsa, ",\"alg\":\"PS512\",\"use\":\"sig\"", false, JWK_FAULT_NONE, 1u << ALG_PS512},
        {"RSA HS256", rsa, ",\"alg\":\"HS256\"", true, JWK_FAULT_ALG, 0},
        {"RSA ES256", rsa, ",\"alg\":\"ES256\"", false, JWK_FAULT_ALG, 0},
        {"RSA none", rsa, ",\"alg\":\"none\"", false, JWK_FAULT_ALG, 0},
        {"RSA for encryption", rsa, ",\"alg\":\"RSA-OAEP\"", false, JWK_FAULT_ALG, 0},
        {"alg null", rsa, ",\"alg\":null", false, JWK_FAULT_FORM, 0},
        {"alg a list", rsa, ",\"alg\":[\"RS256\"]", false, JWK_FAULT_FORM, 0},
        {"use enc", rsa, ",\"use\":\"enc\"", false, JWK_FAULT_USE, 0},
        {"use Sig", rsa, ",\"use\":\"Sig\"", false, JWK_FAULT_USE, 0},
        {"use a number", rsa, ",\"use\":1", false, JWK_FAULT_FORM, 0},
        {"verify", es, ",\"key_ops\":[\"sign\",\"verify\"]", false, JWK_FAULT_NONE, 1u << ALG_ES256},
        {"sign only", es, ",\"key_ops\":[\"sign\"]", false, JWK_FAULT_USE, 0},
        {"no operation", es, ",\"key_ops\":[]", false, JWK_FAULT_USE, 0},
        {"verify twice", es, ",\"key_ops\":[\"verify\",\"verify\"]", false, JWK_FAULT_FORM, 0},
        {"verify as text", es, ",\"key_ops\":\"verify\"", false, JWK_FAULT_FORM, 0},
        {"a number among them", es, ",\"key_ops\":[\"verify\",1]", false, JWK_FAULT_FORM, 0},
        {"use and operation differ", es, ",\"use\":\"enc\",\"key_ops\":[\"verify\"]", false, JWK_FAULT_USE, 0},
        {"EC", es, "", false, JWK_FAULT_NONE, 1u << ALG_ES256},
        {"EC ES384", es, ",\"alg\":\"ES384\"", false, JWK_FAULT_ALG, 0},
        {"private EC", es, ",\"d\":\"AAAA\"", false, JWK_FAULT_PRIVATE, 0},
        {"private RSA", rsa, ",\"p\":\"AAAA\"", false, JWK_FAULT_PRIVATE, 0},
        {"private OKP", ed, ",\"d\":null", false, JWK_FAULT_PRIVATE, 0},
        {"OKP", ed, "", false, JWK_FAULT_NONE, 1u << ALG_EDDSA},
        {"OKP EdDSA", ed, ",\"alg\":\"EdDSA\"", false, JWK_FAULT_NONE, 1u << ALG_EDDSA},
        {"OKP Ed25519", ed, ",\"alg\":\"Ed25519\"", false, JWK_FAULT_NONE, 1u << ALG_EDDSA},
        {"OKP ES256", ed, ",\"alg\":\"ES256\"", false, JWK_FAULT_ALG, 0},
        {"oct where only public keys are", hs, "", false, JWK_FAULT_SYMMETRIC, 0},
        {"oct", hs, "", true, JWK_FAULT_NONE, 1u << ALG_HS256},
        {"oct HS512, too short", hs, ",\"alg\":\"HS512\"", true, JWK_FAULT_SIZE, 0},
        {"oct RS256", hs, ",\"alg\":\"RS256\"", true, JWK_FAULT_ALG, 0},
        {"kid a number", rsa, ",\"kid\":1", false, JWK_FAULT_FORM, 0},
        {"addresses are not looked at", rsa, ",\"x5u\":\"https://evil.example\",\"x5c\":[1]", false, JWK_FAULT_NONE,
         ALGS_RSA},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct keyset *set = set_of(rows[i].symmetric, 1,
                                    (struct signer *const[]){(struct signer *)(uintptr_t)rows[i].s}, &rows[i].more);
        size_t n;
        const struct jwk_note *notes = keyset_notes(set, &n);
        enum jwk_fault got = n ? notes[0].fault : JWK_FAULT_NONE;
        if (got != rows[i].want)
            fail_msg("%s: %s, want %s", rows[i].name, jwk_fault_name(got), jwk_fault_name(rows[i].want));
        assert_int_equal(keyset_count(set), got == JWK_FAULT_NONE);
        assert_int_equal(keyset_algs(set), rows[i].algs);
        keyset_unref(&set);
    }
}

static void texts_that_are_no_keys(void **state)
{
    (void)state;
    static const struct {
        const char *name, *jwk;
        enum jwk_fault want;
    } rows[] = {
        {"a number", "1", JWK_FAULT_FORM},
        {"a list", "[]", JWK_FAULT_FORM},
        {"nothing", "{}", JWK_FAULT_MISSING},
        {"unknown type", "{\"kty\":\"XYZ\"}", JWK_FAULT_TYPE},
        {"case", "{\"kty\":\"rsa\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", JWK_FAULT_TYPE},
        {"type a number", "{\"kty\":1}", JWK_FAULT_FORM},
        {"no modulus", "{\"kty\":\"RSA\",\"e\":\"AQAB\"}", JWK_FAULT_MISSING},
        {"no exponent", "{\"kty\":\"RSA\",\"n\":\"AQAB\"}", JWK_FAULT_MISSING},
        {"small", "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", JWK_FAULT_SIZE},
        {"padding", "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQ==\"}", JWK_FAULT_FORM},
        {"tail bits", "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AR\"}", JWK_FAULT_FORM},
        {"plus", "{\"kty\":\"RSA\",\"n\":\"AQ+B\",\"e\":\"AQAB\"}", JWK_FAULT_FORM},
        {"number", "{\"kty\":\"RSA\",\"n\":65537,\"e\":\"AQAB\"}", JWK_FAULT_FORM},
        {"no curve", "{\"kty\":\"EC\",\"x\":\"AQAB\",\"y\":\"AQAB\"}", JWK_FAULT_MISSING},
        {"other curve", "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AQAB\",\"y\":\"AQAB\"}", JWK_FAULT_TYPE},
        {"curve a number", "{\"kty\":\"EC\",\"crv\":256,\"x\":\"AQAB\",\"y\":\"AQAB\"}", JWK_FAULT_FORM},
        {"short x", "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}", JWK_FAULT_NUMBER},
        {"no point",
         "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
         "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         JWK_FAULT_POINT},
        {"X25519", "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AQAB\"}", JWK_FAULT_TYPE},
        {"Ed448", "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AQAB\"}", JWK_FAULT_TYPE},
        {"short Ed25519", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}", JWK_FAULT_NUMBER},
        {"small order", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
         JWK_FAULT_POINT},
        {"empty secret", "{\"kty\":\"oct\",\"k\":\"\"}", JWK_FAULT_SIZE},
        {"eight bits of secret", "{\"kty\":\"oct\",\"k\":\"AQ\",\"alg\":\"HS256\"}", JWK_FAULT_SIZE},
        {"secret a number", "{\"kty\":\"oct\",\"k\":1}", JWK_FAULT_FORM},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512];
        struct keyset *set;
        size_t n;
        snprintf(text, sizeof text, "{\"keys\":[%s]}", rows[i].jwk);
        assert_err(keyset_from_jwks(str_of(text), true, &set, NULL), ERR_OK);
        const struct jwk_note *notes = keyset_notes(set, &n);
        assert_int_equal(n, 1);
        if (notes[0].fault != rows[i].want) fail_msg("%s: %s", rows[i].name, jwk_fault_name(notes[0].fault));
        assert_int_equal(keyset_count(set), 0);
        keyset_unref(&set);
    }
}

static void texts_that_are_no_sets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err want;
        enum json_fault fault;
    } rows[] = {
        {"", ERR_MALFORMED, JSON_FAULT_TRAILING},
        {"[]", ERR_MALFORMED, JSON_FAULT_NONE},
        {"{}", ERR_MALFORMED, JSON_FAULT_NONE},
        {"{\"keys\":{}}", ERR_MALFORMED, JSON_FAULT_NONE},
        {"{\"keys\":null}", ERR_MALFORMED, JSON_FAULT_NONE},
        {"{\"Keys\":[]}", ERR_MALFORMED, JSON_FAULT_NONE},
        {"{\"keys\":[]}x", ERR_MALFORMED, JSON_FAULT_TRAILING},
        {"{\"keys\":[],\"keys\":[]}", ERR_MALFORMED, JSON_FAULT_DUPLICATE},
        {"{\"keys\":[{\"kty\":\"RSA\",\"kty\":\"oct\"}]}", ERR_MALFORMED, JSON_FAULT_DUPLICATE},
        {"<html>", ERR_MALFORMED, JSON_FAULT_SYNTAX},
        {"{\"keys\":[]}", ERR_OK, JSON_FAULT_NONE},
        {" {\"other\":1,\"keys\":[ ]}\n", ERR_OK, JSON_FAULT_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct keyset *set = NULL;
        enum json_fault fault;
        assert_err(keyset_from_jwks(str_of(rows[i].text), true, &set, &fault), rows[i].want);
        assert_int_equal(fault, rows[i].fault);
        assert_true((set != NULL) == (rows[i].want == ERR_OK));
        keyset_unref(&set);
    }
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int over = 0; over < 2; over++) {
        struct keyset *set = NULL;
        buf_clear(&b);
        buf_puts(&b, "{\"keys\":[{}");
        for (int i = 1; i < KEYSET_MAX_KEYS + over; i++) buf_puts(&b, ",{}");
        buf_puts(&b, "]}");
        assert_err(keyset_from_jwks(buf_str(&b), true, &set, NULL), over ? ERR_LIMIT : ERR_OK);
        keyset_unref(&set);
    }
    buf_free(&b);
}

/* Which key a header gets. `want` is the index into the set, or the error. */
static void one_key_is_chosen_or_none(void **state)
{
    (void)state;
    struct signer *const keys[] = {rsa, rsa2, es, es2, ed};
    static const char *const more[] = {",\"kid\":\"a\",\"alg\":\"RS256\"", ",\"kid\":\"a\",\"alg\":\"PS256\"",
                                       ",\"kid\":\"b\"", ",\"kid\":\"b\"", ",\"kid\":\"\""};
    struct keyset *set = set_of(false, ARRAY_LEN(keys), keys, more);
    const struct {
        enum alg alg;
        const char *kid;
        enum err want;
        const struct signer *signer;
    } rows[] = {
        {ALG_RS256, "a", ERR_OK, rsa},
        {ALG_PS256, "a", ERR_OK, rsa2},
        {ALG_RS512, "a", ERR_DENIED, NULL},
        {ALG_HS256, "a", ERR_DENIED, NULL},
        {ALG_ES256, "a", ERR_DENIED, NULL},
        {ALG_ES256, "b", ERR_CONFLICT, NULL},
        {ALG_RS256, "A", ERR_NOT_FOUND, NULL},
        {ALG_RS256, "a ", ERR_NOT_FOUND, NULL},
        {ALG_EDDSA, "", ERR_OK, ed},
        {ALG_RS256, NULL, ERR_OK, rsa},
        {ALG_PS256, NULL, ERR_OK, rsa2},
        {ALG_ES256, NULL, ERR_CONFLICT, NULL},
        {ALG_EDDSA, NULL, ERR_OK, ed},
        {ALG_ES384, NULL, ERR_NOT_FOUND, NULL},
        {ALG_INVALID, "a", ERR_DENIED, NULL},
        {ALG_RS256, "../a", ERR_NOT_FOUND, NULL},
        {ALG_RS256, "a' OR 1=1", ERR_NOT_FOUND, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct key *got = NULL;
        enum err e = keyset_choose(set, rows[i].alg, rows[i].kid ? str_of(rows[i].kid) : STR_NONE, &got);
        if (e != rows[i].want) fail_msg("row %zu: %s", i, err_name(e));
        assert_true((got != NULL) == (e == ERR_OK));
        if (!got) continue;
        unsigned char sig[SIGNATURE_MAX_LEN];
        struct verify_ctx *ctx;
        size_t n;
        /* only the key itself verifies what its signer signed; both RSA signers sign RS256 here */
        if (rows[i].alg == ALG_PS256) continue;
        assert_err(signer_sign((struct signer *)(uintptr_t)rows[i].signer, STR("m"), sig, &n), ERR_OK);
        assert_err(verify_ctx_new(&ctx), ERR_OK);
        assert_err(key_verify(ctx, got, rows[i].alg, STR("m"), str_make((char *)sig, n)), ERR_OK);
        verify_ctx_free(&ctx);
    }
    const struct key *got = NULL;
    assert_err(keyset_choose(set, ALG_RS256, str_make("a\0", 2), &got), ERR_NOT_FOUND);
    assert_null(got);
    keyset_unref(&set);
}

static void a_shared_secret_answers_to_any_name(void **state)
{
    (void)state;
    struct keyset *set = NULL;
    const struct key *key = NULL, *same = NULL;
    assert_err(keyset_from_secret(STR("0123456789abcdef0123456789abcdef"), ALGS_SYMMETRIC, &set), ERR_OK);
    assert_err(keyset_choose(set, ALG_HS256, STR("whatever"), &key), ERR_OK);
    assert_err(keyset_choose(set, ALG_HS256, STR_NONE, &same), ERR_OK);
    assert_ptr_equal(key, same);
    assert_err(keyset_choose(set, ALG_HS512, STR("whatever"), &key), ERR_DENIED);
    assert_err(keyset_choose(set, ALG_RS256, STR_NONE, &key), ERR_NOT_FOUND);
    keyset_unref(&set);
    assert_err(keyset_from_secret(STR("short"), ALGS_SYMMETRIC, &set), ERR_DENIED);
    assert_err(keyset_from_secret(STR("0123456789abcdef0123456789abcdef"), ALGS_RSA, &set), ERR_DENIED);
    assert_err(keyset_from_secret(STR("0123456789abcdef0123456789abcdef"), 1u << ALG_HS512, &set), ERR_DENIED);
    assert_null(set);
}

static void a_refresh_that_brings_nothing_new_is_recognised(void **state)
{
    (void)state;
    struct signer *const two[] = {rsa, es}, *const swapped[] = {es, rsa}, *const other[] = {rsa, es2};
    static const char *const kids[] = {",\"kid\":\"1\"", ",\"kid\":\"2\""}, *const bare[] = {"", ",\"kid\":\"2\""},
                             *const ps[] = {",\"kid\":\"1\",\"alg\":\"PS256\"", ",\"kid\":\"2\""};
    struct keyset *a = set_of(false, 2, two, kids), *b = set_of(false, 2, two, kids);
    struct keyset *others[] = {set_of(false, 2, swapped, kids), set_of(false, 2, other, kids),
                               set_of(false, 1, two, kids), set_of(false, 2, two, bare), set_of(false, 2, two, ps)};
    assert_true(keyset_equal(a, b));
    assert_int_not_equal(keyset_serial(a), keyset_serial(b));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        assert_false(keyset_equal(a, others[i]));
        keyset_unref(&others[i]);
    }
    struct keyset *again = keyset_ref(a);
    keyset_unref(&a);
    assert_null(a);
    assert_true(keyset_equal(again, b));
    keyset_unref(&again);
    keyset_unref(&b);
    keyset_unref(&b);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_puts(&b, "{\"keys\":[");
    put_jwk(&b, rsa, ",\"kid\":\"1\"");
    buf_putc(&b, ',');
    put_jwk(&b, es, ",\"kid\":\"2\"");
    buf_putc(&b, ',');
    put_jwk(&b, ed, ",\"use\":\"enc\"");
    buf_putc(&b, ',');
    put_jwk(&b, hs, "");
    buf_puts(&b, "]}");
    EACH_ALLOC_FAILING({
        struct keyset *set = NULL;
        enum err e = keyset_from_jwks(buf_str(&b), true, &set, NULL);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && !set && alloc_fail_hit()));
        if (set) assert_int_equal(keyset_count(set), 3);
        keyset_unref(&set);
    });
    buf_free(&b);
    EACH_ALLOC_FAILING({
        struct keyset *set = NULL;
        enum err e = keyset_from_secret(STR("0123456789abcdef0123456789abcdef"), ALGS_SYMMETRIC, &set);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && !set && alloc_fail_hit()));
        keyset_unref(&set);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unfit_keys_are_left_out),
        cmocka_unit_test(texts_that_are_no_keys),
        cmocka_unit_test(texts_that_are_no_sets),
        cmocka_unit_test(one_key_is_chosen_or_none),
        cmocka_unit_test(a_shared_secret_answers_to_any_name),
        cmocka_unit_test(a_refresh_that_brings_nothing_new_is_recognised),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, make_signers, free_signers);
}
