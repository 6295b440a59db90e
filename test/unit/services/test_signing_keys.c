/* Keys that follow each other, while logins and refreshes go on: every token holds under what was published when it
 * was made, and under nothing once its key is gone. */
#include "harness.h"

#include "base/clock.h"
#include "identity/verify.h"
#include "services/signing_request.h"

static struct harness h;

static int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

/* The keys as a gateway is told of them. */
static struct keyset *published(void)
{
    struct arena mem;
    const struct json *jwks;
    struct keyset *keys = NULL;
    str value = harness_get(&h, STORE_CONTROL, ISSUER_KEYS_KEY);
    arena_init(&mem, NULL, 0, 1 << 20);
    assert_true(value.n > 0);
    assert_err(issuer_keys_read(value, &mem, &jwks, NULL), ERR_OK);
    assert_err(keyset_from_json(jwks, false, &keys), ERR_OK);
    arena_reset(&mem);
    return keys;
}

static enum jwt_fault check(const struct keyset *keys, const char *token)
{
    struct verify_ctx *ctx;
    struct arena mem;
    enum jwt_fault fault = JWT_FAULT_NONE;
    assert_err(verify_ctx_new(&ctx), ERR_OK);
    arena_init(&mem, NULL, 0, 1 << 20);
    struct jwt_expect expect = {.iss = STR("https://api.example.com"), .aud = STR("api"), .typ = TYP_AT_JWT};
    (void)!jwt_check(ctx, keys, &expect, str_of(token), (int64_t)(clock_wall_ms() / 1000), &mem, &fault);
    arena_reset(&mem);
    verify_ctx_free(&ctx);
    return fault;
}

static void check_published(const char *token)
{
    struct keyset *keys = published();
    enum jwt_fault fault = check(keys, token);
    if (fault != JWT_FAULT_NONE) fail_msg("a fresh token is refused: %s", jwt_fault_name(fault));
    keyset_unref(&keys);
}

static unsigned current_kid(char out[64])
{
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    assert_int_equal(a.status, 200);
    struct arena mem;
    struct unverified_token t;
    enum jwt_fault fault;
    arena_init(&mem, NULL, 0, 1 << 20);
    assert_err(jwt_read_unverified(str_of(member(&a, "access_token", 0)), &mem, &t, &fault), ERR_OK);
    snprintf(out, 64, "%.*s", STR_ARG(json_text(json_get(t.header, STR("kid")))));
    arena_reset(&mem);
    check_published(member(&a, "access_token", 0));
    return 0;
}

static void rotation_under_load_loses_no_token(void **state)
{
    char first[64], last[64], kept[16384];
    struct answer a;
    unsigned n = 0, kids = 0;
    (void)state;
    harness_start(&h, "  access_token: 1s\n  rotate: 1s\n  publish_ahead: 1s\n");
    harness_user(&h, "users", "alice", "correct horse", false);
    harness_second(&h);
    harness_wait_ready(&h);
    current_kid(first);
    snprintf(last, sizeof last, "%s", first);
    a = harness_login(&h, "web", "alice", "correct horse");
    snprintf(kept, sizeof kept, "%s", member(&a, "access_token", 0));
    char token[128];
    snprintf(token, sizeof token, "%s", member(&a, "refresh_token", 0));
    /* six seconds, or as long as a slow machine takes for so many rounds */
    uint64_t from = clock_mono_ns(), until = from + 6000000000u, latest = from + 90000000000u;
    for (; clock_mono_ns() < (n > 50 && kids >= 3 ? until : latest); n++) {
        char kid[64];
        h.use_second = n % 2;
        a = harness_refresh(&h, "web", token);
        if (a.status != 200) fail_msg("refresh %u: %s", n, a.body);
        snprintf(token, sizeof token, "%s", member(&a, "refresh_token", 0));
        check_published(member(&a, "access_token", 1));
        if (n % 8) continue;
        current_kid(kid);
        kids += strcmp(kid, last) != 0;
        snprintf(last, sizeof last, "%s", kid);
    }
    if (kids < 3) fail_msg("only %u rotations in %u rounds", kids, n);
    if (n <= 50) fail_msg("only %u rounds", n);
}

/* Another key than `old` signs, soon. */
static void another_kid(const char *old, char out[64])
{
    for (unsigned i = 0; i < 200; i++) {
        current_kid(out);
        if (strcmp(old, out) != 0) return;
        harness_run(&h, 50);
    }
    fail_msg("%s signs still", old);
}

/* What an administrator asks for. */
static void request(const char *kind, const char *member_text)
{
    struct record_key room;
    char value[256];
    snprintf(value, sizeof value, "{\"kind\":\"%s\"%s,\"by\":\"uid 0\",\"at_ms\":1}", kind, member_text);
    harness_put(&h, STORE_AUTHENTICATION, signing_request_key(&room, STR("01ARZ3NDEKTSV4RRFFQ69G5FAV")), str_of(value),
                0);
    for (unsigned i = 0; i < 1000 && harness_count(&h, STORE_AUTHENTICATION, SIGNING_REQUEST_PREFIX); i++)
        harness_run(&h, 10);
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, SIGNING_REQUEST_PREFIX), 0);
    harness_run(&h, 300);
}

static void an_administrator_rotates_and_retires(void **state)
{
    char one[64], two[64], three[64], four[64], text[128], old[8192];
    (void)state;
    harness_start(&h, NULL);
    harness_user(&h, "users", "alice", "correct horse", false);
    harness_wait_ready(&h);
    current_kid(one);
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    snprintf(old, sizeof old, "%s", member(&a, "access_token", 0));
    request("rotate", "");
    another_kid(one, two);
    check_published(old);
    request("rotate", ",\"alg\":\"EdDSA\"");
    another_kid(two, three);
    a = harness_ask(&h, "GET", "/.well-known/openid-configuration", NULL, NULL);
    assert_non_null(strstr(a.body, "\"id_token_signing_alg_values_supported\":[\"EdDSA\"]"));
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, SIGNING_KEY_PREFIX), 3);
    snprintf(text, sizeof text, ",\"kid\":\"%s\"", one);
    request("retire", text); /* an old one: gone at once */
    struct keyset *keys = published();
    assert_int_equal(check(keys, old), JWT_FAULT_UNKNOWN_KID);
    keyset_unref(&keys);
    snprintf(text, sizeof text, ",\"kid\":\"%s\"", three);
    request("retire", text); /* the one that signs: another first */
    another_kid(three, four);
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, SIGNING_KEY_PREFIX), 2);
    request("retire", ",\"kid\":\"nobody\"");
    request("nonsense", "");
    current_kid(one);
    assert_string_equal(one, four);
    request("rotate", ",\"alg\":\"RS256\""); /* signed beside the loop */
    another_kid(four, one);
}

/* A gateway that holds a lease and has not confirmed: the new key does not sign until the lease has ended. */
static void on_change(struct store_watch *w, const struct store_change *c)
{
    (void)w;
    (void)c;
}

static void a_new_key_waits_for_gateways(void **state)
{
    char one[64], two[64];
    (void)state;
    harness_start(&h, NULL);
    harness_user(&h, "users", "alice", "correct horse", false);
    harness_wait_ready(&h);
    current_kid(one);
    struct store_watch w = {.space = STORE_CONTROL,
                            .name = STR("gateway/test/1"),
                            .lease_ms = 60000,
                            .on_change = on_change};
    assert_err(store_watch_start(h.store, &w), ERR_OK);
    harness_run(&h, 100);
    store_watch_confirm(h.store, &w, w.seen);
    harness_run(&h, 50);
    request("rotate", "");
    current_kid(two);
    assert_string_equal(one, two); /* it has not said that it has the new one */
    store_watch_confirm(h.store, &w, w.seen);
    another_kid(one, two);
    store_watch_stop(h.store, &w);
}

static void keys_survive_a_restart_sealed(void **state)
{
    char one[64], two[64];
    (void)state;
    harness_start(&h, NULL);
    harness_user(&h, "users", "alice", "correct horse", false);
    harness_wait_ready(&h);
    current_kid(one);
    harness_second(&h);
    harness_wait_ready(&h);
    h.use_second = true;
    current_kid(two);
    assert_string_equal(one, two);
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, SIGNING_KEY_PREFIX), 1);
    struct record_key room;
    str value = harness_get(&h, STORE_AUTHENTICATION, signing_key_record_key(&room, str_of(one)));
    assert_non_null(memmem(value.p, value.n, "\"jwk\":\"v1.", 10));
    assert_null(memmem(value.p, value.n, "\"d\":", 4));
}

#define T(f) cmocka_unit_test_teardown(f, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {T(rotation_under_load_loses_no_token), T(an_administrator_rotates_and_retires),
                                       T(a_new_key_waits_for_gateways), T(keys_survive_a_restart_sealed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
