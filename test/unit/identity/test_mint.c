/* What is minted verifies; what is written as a JWK is read back. */
#include "forge.h"

#include "identity/verify.h"

static void every_private_jwk_is_read_back(void **state)
{
    (void)state;
    struct verify_ctx *ctx;
    assert_err(verify_ctx_new(&ctx), ERR_OK);
    for (unsigned a = 1; a < ALG_COUNT; a++) {
        struct signer *s, *again = NULL;
        struct buf b;
        struct arena mem;
        str kid;
        arena_init(&mem, NULL, 0, 1 << 20);
        buf_init(&b, 65536);
        assert_err(signer_generate((enum alg)a, 2048, &s), ERR_OK);
        jwk_put(&b, s, STR("a \"quoted\" kid"), true);
        assert_err(signer_from_jwk(buf_str(&b), &mem, &kid, &again), ERR_OK);
        assert_str(kid, STR("a \"quoted\" kid"));
        assert_int_equal(signer_alg(again), a);

        struct keyset *set;
        struct jwt_expect expect = {.typ = TYP_AT_JWT, .mode = JWT_MODE_JWS};
        enum jwt_fault fault = JWT_FAULT_NONE;
        struct buf token;
        buf_init(&token, 65536);
        buf_clear(&b);
        jwks_put(&b, s, kid);
        assert_null(memmem(b.p, b.n, "\"d\":", 4));
        assert_err(keyset_from_jwks(buf_str(&b), true, &set, NULL), ERR_OK);
        assert_int_equal(keyset_count(set), 1);
        buf_puts(&token, "Bearer ");
        assert_err(jws_mint(again, STR("at+jwt"), kid, STR("any \xff bytes"), &token), ERR_OK);
        assert_err(jwt_check(ctx, set, &expect, str_from(buf_str(&token), 7), 0, &mem, &fault), ERR_OK);
        keyset_unref(&set);
        buf_free(&token);
        buf_free(&b);
        arena_reset(&mem);
        signer_free(&s);
        signer_free(&again);
    }
    verify_ctx_free(&ctx);
}

static void broken_private_jwks_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"kty\":\"RSA\",\"alg\":\"RS256\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"x\":\"AA\",\"y\":\"AA\",\"d\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AA\",\"d\":\"AA\"}",
        "{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"AA\"}",
        "{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
        "{\"kty\":\"oct\",\"alg\":\"RS256\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct arena mem;
        struct signer *s = NULL;
        str kid;
        arena_init(&mem, NULL, 0, 1 << 20);
        assert_true(signer_from_jwk(str_of(bad[i]), &mem, &kid, &s) != ERR_OK);
        assert_null(s);
        arena_reset(&mem);
    }
    /* an algorithm that the key is not for */
    struct signer *es, *s = NULL;
    struct buf b;
    struct arena mem;
    str kid;
    arena_init(&mem, NULL, 0, 1 << 20);
    buf_init(&b, 4096);
    assert_err(signer_generate(ALG_ES256, 0, &es), ERR_OK);
    jwk_put(&b, es, STR_NONE, true);
    buf_putc(&b, '\0');
    char *alg = strstr(b.p, "ES256");
    memcpy(alg, "ES384", 5);
    assert_err(signer_from_jwk(str_of(b.p), &mem, &kid, &s), ERR_DENIED);
    assert_null(s);
    signer_free(&es);
    buf_free(&b);
    arena_reset(&mem);
}

static void the_dev_issuer_survives_its_file(void **state)
{
    (void)state;
    struct arena mem;
    struct dev_issuer made, read;
    struct buf file, token, jwks;
    struct keyset *set;
    struct verify_ctx *ctx;
    enum jwt_fault fault = JWT_FAULT_NONE;
    arena_init(&mem, NULL, 0, 1 << 20);
    buf_init(&file, 65536);
    buf_init(&token, 65536);
    buf_init(&jwks, 65536);
    assert_err(dev_issuer_new(&mem, STR("sallyport-dev"), STR("sallyport"), STR("dev"), &made), ERR_OK);
    dev_issuer_put(&file, &made);
    jwks_put(&jwks, made.signer, made.kid);
    assert_err(dev_issuer_read(buf_str(&file), &mem, &read), ERR_OK);
    assert_str(read.kid, made.kid);
    assert_str(read.iss, STR("sallyport-dev"));
    assert_str(read.aud, STR("sallyport"));
    assert_str(read.product, STR("dev"));
    static const str roles[] = {STR_INIT("buyer"), STR_INIT("with \"quotes\"")};
    struct mint_claims c = {.sub = STR("alice"), .roles = roles, .n_roles = 2, .now_s = 1000, .ttl_s = 60};
    assert_err(dev_issuer_mint(&read, &c, &token), ERR_OK);
    assert_err(keyset_from_jwks(buf_str(&jwks), false, &set, NULL), ERR_OK);
    assert_err(verify_ctx_new(&ctx), ERR_OK);
    struct jwt_expect expect = {.typ = TYP_AT_JWT, .iss = STR("sallyport-dev"), .aud = STR("sallyport")};
    assert_err(jwt_check(ctx, set, &expect, buf_str(&token), 1059, &mem, &fault), ERR_OK);
    assert_err(jwt_check(ctx, set, &expect, buf_str(&token), 1060, &mem, &fault), ERR_DENIED);
    assert_int_equal(fault, JWT_FAULT_EXPIRED);
    struct unverified_token t;
    assert_err(jwt_read_unverified(buf_str(&token), &mem, &t, &fault), ERR_OK);
    assert_str(json_text(json_get(t.header, STR("typ"))), STR("at+jwt"));
    assert_int_equal(json_get(t.payload, STR("roles"))->count, 2);
    assert_str(json_text(json_get(t.payload, STR("client_id"))), STR("sallyport-cli"));
    assert_int_equal(json_text(json_get(t.payload, STR("jti"))).n, 26);
    assert_int_equal(t.signature.n, 64);

    static const char *const bad[] = {"", "{}", "{\"kid\":\"k\",\"iss\":\"i\",\"aud\":\"a\"}", "not JSON"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct dev_issuer d = {0};
        assert_true(dev_issuer_read(str_of(bad[i]), &mem, &d) != ERR_OK);
        assert_null(d.signer);
    }
    keyset_unref(&set);
    verify_ctx_free(&ctx);
    dev_issuer_free(&made);
    dev_issuer_free(&read);
    buf_free(&file);
    buf_free(&token);
    buf_free(&jwks);
    arena_reset(&mem);
}

static void what_does_not_fit_is_an_error(void **state)
{
    (void)state;
    struct signer *s;
    struct buf small;
    assert_err(signer_generate(ALG_EDDSA, 0, &s), ERR_OK);
    buf_init(&small, 100);
    assert_err(jws_mint(s, STR("at+jwt"), STR("k"), STR("a payload that together with its signature is too long"),
                        &small),
               ERR_LIMIT);
    buf_free(&small);
    EACH_ALLOC_FAILING({
        struct buf b;
        buf_init(&b, 4096);
        enum err e = jws_mint(s, STR("at+jwt"), STR("k"), STR("payload"), &b);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && alloc_fail_hit()));
        buf_free(&b);
    });
    signer_free(&s);
    const struct mint_claims c = {.sub = STR("alice"), .now_s = 1000, .ttl_s = 60};
    EACH_ALLOC_FAILING({
        struct arena mem;
        struct dev_issuer d = {0};
        struct dev_issuer again = {0};
        struct buf file;
        struct buf token;
        arena_init(&mem, NULL, 0, 1 << 20);
        buf_init(&file, 4096);
        buf_init(&token, 4096);
        enum err e = dev_issuer_new(&mem, STR("i"), STR("a"), STR("p"), &d);
        if (e == ERR_OK) dev_issuer_put(&file, &d);
        if (e == ERR_OK && file.bad) e = ERR_NO_MEMORY;
        if (e == ERR_OK) e = dev_issuer_read(buf_str(&file), &mem, &again);
        if (e == ERR_OK) e = dev_issuer_mint(&again, &c, &token);
        assert_true(e == ERR_OK || alloc_fail_hit());
        dev_issuer_free(&d);
        dev_issuer_free(&again);
        buf_free(&file);
        buf_free(&token);
        arena_reset(&mem);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_private_jwk_is_read_back),
        cmocka_unit_test(broken_private_jwks_are_refused),
        cmocka_unit_test(the_dev_issuer_survives_its_file),
        cmocka_unit_test(what_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
