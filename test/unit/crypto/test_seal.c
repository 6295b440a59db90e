#include "unit.h"

#include "crypto/seal.h"

static struct seal seal_of(str source)
{
    struct seal s;
    assert_err(seal_init(&s, source), ERR_OK);
    return s;
}

#define SOURCE STR("0123456789abcdef0123456789abcdef")

static void what_is_sealed_opens_in_its_place_only(void **state)
{
    (void)state;
    struct seal s = seal_of(SOURCE), other = seal_of(STR("0123456789abcdef0123456789abcdeF"));
    struct secret out = {0};
    struct buf b, again;
    buf_init(&b, 4096);
    buf_init(&again, 4096);
    assert_err(seal_put(&s, STR("authentication/x"), STR("attack at dawn"), &b), ERR_OK);
    assert_int_equal(b.n, seal_text_len(14));
    assert_true(str_starts(buf_str(&b), STR("v1.")));
    assert_err(seal_put(&s, STR("authentication/x"), STR("attack at dawn"), &again), ERR_OK);
    assert_false(str_eq(buf_str(&b), buf_str(&again))); /* never the same text twice */
    assert_err(seal_open(&s, STR("authentication/x"), buf_str(&b), &out), ERR_OK);
    assert_str(secret_view(&out), STR("attack at dawn"));
    secret_free(&out);
    assert_err(seal_open(&s, STR("authentication/y"), buf_str(&b), &out), ERR_DENIED);
    assert_err(seal_open(&other, STR("authentication/x"), buf_str(&b), &out), ERR_DENIED);
    for (size_t i = 0; i < b.n; i++) {
        char was = b.p[i];
        b.p[i] = was == 'A' ? 'B' : 'A';
        enum err e = seal_open(&s, STR("authentication/x"), buf_str(&b), &out);
        if (e == ERR_OK) fail_msg("opens with byte %zu altered", i);
        assert_true(seal_open(&s, STR("authentication/x"), str_make(b.p, i), &out) != ERR_OK);
        b.p[i] = was;
    }
    assert_null(out.p);
    buf_free(&b);
    buf_free(&again);
}

static void bounds(void **state)
{
    static char big[SEAL_PLAIN_MAX + 1];
    (void)state;
    struct seal s;
    struct secret out = {0};
    struct buf b;
    assert_err(seal_init(&s, STR("too short")), ERR_DENIED);
    s = seal_of(SOURCE);
    buf_init(&b, 100000);
    assert_err(seal_put(&s, STR("p"), str_make(big, sizeof big), &b), ERR_LIMIT);
    assert_err(seal_put(&s, STR("p"), str_make(big, sizeof big - 1), &b), ERR_OK);
    assert_err(seal_open(&s, STR("p"), buf_str(&b), &out), ERR_OK);
    secret_free(&out);
    buf_free(&b);
    buf_init(&b, 20);
    assert_err(seal_put(&s, STR("p"), STR("x"), &b), ERR_LIMIT);
    buf_free(&b);
    assert_err(seal_open(&s, STR("p"), STR(""), &out), ERR_MALFORMED);
    assert_err(seal_open(&s, STR("p"), STR("v1."), &out), ERR_MALFORMED);
    assert_err(seal_open(&s, STR("p"), STR("v2.AAAA"), &out), ERR_MALFORMED);
    assert_err(seal_open(&s, STR("p"), STR("v1.===="), &out), ERR_MALFORMED);
}

static void tags_differ_by_purpose_message_and_key(void **state)
{
    (void)state;
    struct seal s = seal_of(SOURCE), other = seal_of(STR("0123456789abcdef0123456789abcdeF"));
    unsigned char a[32], b[32];
    seal_tag(&s, STR("p"), STR("m"), a);
    seal_tag(&s, STR("p"), STR("m"), b);
    assert_memory_equal(a, b, 32);
    seal_tag(&s, STR("q"), STR("m"), b);
    assert_memory_not_equal(a, b, 32);
    seal_tag(&s, STR("p"), STR("n"), b);
    assert_memory_not_equal(a, b, 32);
    seal_tag(&other, STR("p"), STR("m"), b);
    assert_memory_not_equal(a, b, 32);
}

static void no_memory(void **state)
{
    (void)state;
    struct seal s = seal_of(SOURCE);
    EACH_ALLOC_FAILING({
        struct buf b;
        struct secret out = {0};
        buf_init(&b, 4096);
        enum err e = seal_put(&s, STR("p"), STR("secret"), &b);
        if (e == ERR_OK) e = seal_open(&s, STR("p"), buf_str(&b), &out);
        assert_true(e == ERR_OK || e == ERR_NO_MEMORY);
        assert_int_equal(e == ERR_OK, out.p != NULL);
        secret_free(&out);
        buf_free(&b);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_sealed_opens_in_its_place_only),
                                       cmocka_unit_test(bounds),
                                       cmocka_unit_test(tags_differ_by_purpose_message_and_key),
                                       cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
