#include "unit.h"

#include "identity/issuer.h"
#include "proxy/token_cache.h"

/* A snapshot of one issuer, by hand: the cache looks at nothing else. */
static struct issuer issuer = {.name = STR_INIT("corp"), .prefix = STR_INIT("corp")};
static struct snapshot_issuer issuers[] = {{.name = STR_INIT("corp"), .issuer = &issuer}};
static struct snapshot snap = {.issuers = issuers, .n_issuers = 1};

static struct keyset *keys_of(const char *secret)
{
    struct keyset *k = NULL;
    assert_err(keyset_from_secret(str_of(secret), ALGS_SYMMETRIC, &k), ERR_OK);
    return k;
}

static const char secret[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static struct token_entry *put(struct token_cache *c, str token, struct keyset *k, uint64_t serial, int64_t exp_s)
{
    static const str roles[] = {STR_INIT("a,b"), STR_INIT("buyer")};
    struct claims claims = {.sub = STR("x:y"),
                            .client = STR("web"),
                            .product = STR("app"),
                            .roles = roles,
                            .n_roles = 2,
                            .exp_s = exp_s,
                            .keyset = keyset_serial(k)};
    struct token_entry *e = token_cache_put(c, token, &claims, &snap, serial);
    assert_non_null(e);
    return e;
}

static void a_hit_is_the_whole_token_at_its_time(void **state)
{
    (void)state;
    struct token_cache c;
    struct keyset *k = keys_of(secret), *other = keys_of(secret);
    token_cache_init(&c, 4, 1 << 20);
    str token = STR("head.payload.0123456789012345678901234567890123456789");
    str twin = STR("HEAD.payload.0123456789012345678901234567890123456789"); /* the same end: the same hash */
    assert_null(token_cache_find(&c, token, 10, 1, &k));
    struct token_entry *e = put(&c, token, k, 1, 100);
    assert_str(e->caller.user_id, STR("corp:x%3Ay"));
    assert_str(e->caller.roles, STR("a%2Cb,buyer"));
    assert_str(e->caller.client, STR("web"));
    assert_str(e->caller.product, STR("app"));
    assert_str(e->caller.lines, STR("X-User-ID: corp:x%3Ay\r\nX-User-Roles: a%2Cb,buyer\r\nX-Client-ID: web\r\n"));
    token_cache_unpin(&c, e);

    e = token_cache_find(&c, token, 99, 1, &k);
    assert_non_null(e);
    token_cache_unpin(&c, e);
    assert_null(token_cache_find(&c, twin, 99, 1, &k));
    assert_null(token_cache_find(&c, token, 100, 1, &k)); /* at exp it is expired */
    assert_null(token_cache_find(&c, token, 99, 1, &k));  /* and gone */

    token_cache_unpin(&c, put(&c, token, k, 1, 100));
    assert_null(token_cache_find(&c, token, 99, 2, &k)); /* another configuration */
    token_cache_unpin(&c, put(&c, token, k, 2, 100));
    assert_null(token_cache_find(&c, token, 99, 2, &other)); /* other keys */
    struct keyset *none = NULL;
    token_cache_unpin(&c, put(&c, token, k, 2, 100));
    assert_null(token_cache_find(&c, token, 99, 2, &none)); /* no keys any more */
    token_cache_free(&c);
    assert_int_equal(c.bytes, 0);
    keyset_unref(&k);
    keyset_unref(&other);
}

static str numbered(char room[64], int i)
{
    int n = snprintf(room, 64, "t.%06d.%044d", i, i);
    return str_make(room, (size_t)n);
}

static void a_flood_of_new_tokens_leaves_those_in_use(void **state)
{
    (void)state;
    enum { USED = 64, FLOOD = 50000 };
    struct token_cache c;
    struct keyset *k = keys_of(secret);
    char room[64];
    token_cache_init(&c, 64, 1 << 20);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < USED; i++) {
            struct token_entry *e = token_cache_find(&c, numbered(room, i), 1, 1, &k);
            token_cache_unpin(&c, e ? e : put(&c, numbered(room, i), k, 1, 100));
        }
    for (int i = 0; i < FLOOD; i++) token_cache_unpin(&c, put(&c, numbered(room, 1000 + i), k, 1, 100));
    int kept = 0;
    for (int i = 0; i < USED; i++) {
        struct token_entry *e = token_cache_find(&c, numbered(room, i), 1, 1, &k);
        if (e) token_cache_unpin(&c, e);
        kept += e != NULL;
    }
    assert_true(kept >= USED * 9 / 10);
    assert_true(c.bytes <= 1 << 20);
    token_cache_free(&c);
    assert_int_equal(c.bytes, 0);
    keyset_unref(&k);
}

static void the_bound_in_bytes_holds_and_a_pinned_entry_outlives_its_place(void **state)
{
    (void)state;
    struct token_cache c;
    struct keyset *k = keys_of(secret);
    char room[64];
    token_cache_init(&c, 1, 2000);
    struct token_entry *pinned = put(&c, numbered(room, 0), k, 1, 100);
    for (int i = 1; i < 100; i++) token_cache_unpin(&c, put(&c, numbered(room, i), k, 1, 100));
    assert_true(c.bytes <= 2000 + pinned->size);
    assert_str(pinned->caller.client, STR("web"));
    token_cache_unpin(&c, pinned);
    token_cache_free(&c);
    assert_int_equal(c.bytes, 0);
    EACH_ALLOC_FAILING({
        struct claims claims = {.sub = STR("x"), .exp_s = 5, .keyset = keyset_serial(k)};
        token_cache_init(&c, 1, 2000);
        struct token_entry *e = token_cache_put(&c, STR("t"), &claims, &snap, 1);
        assert_true(e || alloc_fail_hit());
        if (e) token_cache_unpin(&c, e);
        token_cache_free(&c);
    });
    keyset_unref(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hit_is_the_whole_token_at_its_time),
        cmocka_unit_test(a_flood_of_new_tokens_leaves_those_in_use),
        cmocka_unit_test(the_bound_in_bytes_holds_and_a_pinned_entry_outlives_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
