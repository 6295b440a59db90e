#include "profile.h"

struct signer *profile_signers[ALG_COUNT];
struct keyset *profile_public, *profile_every;
struct verify_ctx *profile_ctx;
struct buf profile_text;

static struct keyset *make_set(bool symmetric)
{
    struct buf b;
    struct keyset *set = NULL;
    buf_init(&b, 1 << 20);
    buf_puts(&b, "{\"keys\":[");
    for (unsigned a = 1; a < ALG_COUNT; a++) {
        if (a > 1) buf_putc(&b, ',');
        jwk_put(&b, profile_signers[a], str_of(alg_name((enum alg)a)), false);
    }
    buf_puts(&b, "]}");
    assert_err(keyset_from_jwks(buf_str(&b), symmetric, &set, NULL), ERR_OK);
    buf_free(&b);
    return set;
}

int profile_set_up(void **state)
{
    (void)state;
    for (unsigned a = 1; a < ALG_COUNT; a++)
        assert_err(signer_generate((enum alg)a, 2048, &profile_signers[a]), ERR_OK);
    assert_err(verify_ctx_new(&profile_ctx), ERR_OK);
    buf_init(&profile_text, 1 << 20);
    profile_public = make_set(false);
    profile_every = make_set(true);
    assert_int_equal(keyset_count(profile_public), 10);
    assert_int_equal(keyset_count(profile_every), 13);
    return 0;
}

int profile_tear_down(void **state)
{
    (void)state;
    for (unsigned a = 1; a < ALG_COUNT; a++) signer_free(&profile_signers[a]);
    keyset_unref(&profile_public);
    keyset_unref(&profile_every);
    verify_ctx_free(&profile_ctx);
    buf_free(&profile_text);
    return 0;
}

enum jwt_fault profile_check_with(const struct keyset *keys, const struct jwt_expect *expect, str token)
{
    struct arena mem;
    enum jwt_fault fault = JWT_FAULT_NONE;
    arena_init(&mem, NULL, 0, token_arena_need(token.n));
    enum err e = jwt_check(profile_ctx, keys, expect, token, NOW, &mem, &fault);
    arena_reset(&mem);
    assert_true((e == ERR_OK) == (fault == JWT_FAULT_NONE));
    return fault;
}

enum jwt_fault profile_check(str token)
{
    static const struct jwt_expect expect = {.typ = TYP_LEGACY,
                                             .iss = STR_INIT("https://idp.example"),
                                             .aud = STR_INIT("api")};
    return profile_check_with(profile_every, &expect, token);
}

enum jwt_fault profile_check_jws(str token)
{
    static const struct jwt_expect expect = {.typ = TYP_LEGACY, .mode = JWT_MODE_JWS};
    return profile_check_with(profile_every, &expect, token);
}

void expect_fault(const char *name, enum jwt_fault got, enum jwt_fault want)
{
    if (got != want) fail_msg("%s: %s, want %s", name, jwt_fault_name(got), jwt_fault_name(want));
}
