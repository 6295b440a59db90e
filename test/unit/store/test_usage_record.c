#include "unit.h"

#include "store/usage_record.h"

static void keys_are_in_the_order_of_time(void **state)
{
    (void)state;
    struct record_key a, b, c;
    str first = usage_record_key(&a, 3600, STR("01J"), 0), later = usage_record_key(&b, 1795132800, STR("01A"), 17);
    assert_str(first, STR("usage/0000003600/01J/0"));
    assert_str(later, STR("usage/1795132800/01A/17"));
    assert_true(str_cmp(first, later) < 0);
    str hour = usage_record_hour(&c, 1795132800);
    assert_str(hour, STR("usage/1795132800/"));
    assert_true(str_starts(later, hour));
    int64_t s = 0;
    assert_err(usage_record_hour_of(later, &s), ERR_OK);
    assert_int_equal(s, 1795132800);
    static const char *const bad[] = {"usage/", "usage/12345678", "usage/123456789x/a/0", "quota/1795132800/a",
                                      "usage/1795132800"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_err(usage_record_hour_of(str_of(bad[i]), &s), ERR_MALFORMED);
    assert_int_equal(usage_record_hour(&c, -1).n, 0);
    assert_int_equal(usage_record_hour(&c, INT64_C(10000000000)).n, 0);
}

static void what_is_put_is_read(void **state)
{
    (void)state;
    struct usage_row rows[USAGE_ROWS_MAX], got[USAGE_ROWS_MAX];
    char name[80];
    memset(name, 'n', sizeof name);
    for (uint32_t i = 0; i < USAGE_ROWS_MAX; i++) {
        rows[i] = (struct usage_row){str_make(name, sizeof name), str_make(name, sizeof name), STR("third-party"), {0}};
        for (int k = 0; k < USAGE_COUNTS; k++) rows[i].counts[k] = UINT64_MAX - (uint64_t)k;
    }
    rows[1] = (struct usage_row){STR(""), STR("a\"b\\"), STR("none"), {1, 2, 3, 4, 5, 6}};
    struct buf b;
    struct arena mem;
    uint32_t n = 0;
    buf_init(&b, RECORD_MAX + 1);
    assert_err(usage_record_put(&b, rows, USAGE_ROWS_MAX), ERR_OK); /* as many as there may be, as long as can be */
    arena_init(&mem, NULL, 0, 1 << 20);
    assert_err(usage_record_read(buf_str(&b), &mem, got, &n), ERR_OK);
    assert_int_equal(n, USAGE_ROWS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        assert_str(got[i].product, rows[i].product);
        assert_str(got[i].action, rows[i].action);
        assert_str(got[i].caller, rows[i].caller);
        assert_memory_equal(got[i].counts, rows[i].counts, sizeof rows[i].counts);
    }
    assert_err(usage_record_put(&b, rows, USAGE_ROWS_MAX + 1), ERR_LIMIT);
    arena_reset(&mem);
    buf_free(&b);
}

static void what_was_not_written_so_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"rows\":1}",
        "{\"rows\":[1]}",
        "{\"rows\":[[]]}",
        "{\"rows\":[[\"p\",\"a\",\"user\",1,2,3,4,5]]}",
        "{\"rows\":[[\"p\",\"a\",\"user\",1,2,3,4,5,6,7]]}",
        "{\"rows\":[[1,\"a\",\"user\",1,2,3,4,5,6]]}",
        "{\"rows\":[[\"p\",\"a\",\"user\",\"1\",2,3,4,5,6]]}",
        "{\"rows\":[[\"p\",\"a\",\"user\",-1,2,3,4,5,6]]}",
        "{\"rows\":[[\"p\",\"a\",\"user\",1.5,2,3,4,5,6]]}",
        "{\"rows\":[[\"p\",\"a\",\"user\",18446744073709551616,2,3,4,5,6]]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct usage_row got[USAGE_ROWS_MAX];
        struct arena mem;
        uint32_t n = 7;
        arena_init(&mem, NULL, 0, 1 << 20);
        if (usage_record_read(str_of(bad[i]), &mem, got, &n) == ERR_OK) fail_msg("%s", bad[i]);
        assert_int_equal(n, 7);
        arena_reset(&mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_in_the_order_of_time),
        cmocka_unit_test(what_is_put_is_read),
        cmocka_unit_test(what_was_not_written_so_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
