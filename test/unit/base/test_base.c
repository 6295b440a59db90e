#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/pages.h"
#include "base/rand.h"
#include "base/utf8.h"

#include <stdio.h>

static void numbers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum err want;
        uint64_t value;
    } rows[] = {
        {"0", ERR_OK, 0},
        {"007", ERR_OK, 7},
        {"", ERR_MALFORMED, 0},
        {"+3", ERR_MALFORMED, 0},
        {"-1", ERR_MALFORMED, 0},
        {" 1", ERR_MALFORMED, 0},
        {"0x1", ERR_MALFORMED, 0},
        {"18446744073709551615", ERR_OK, UINT64_MAX},
        {"18446744073709551616", ERR_LIMIT, 0},
        {"99999999999999999999999", ERR_LIMIT, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t v = 42;
        assert_err(str_to_u64(str_of(rows[i].in), &v), rows[i].want);
        assert_int_equal(v, rows[i].want == ERR_OK ? rows[i].value : 42);
    }
}

static void slices_cut_and_trim(void **state)
{
    (void)state;
    str rest = STR("a,,b");
    assert_str(str_cut(&rest, ','), STR("a"));
    assert_str(str_cut(&rest, ','), STR(""));
    assert_str(str_cut(&rest, ','), STR("b"));
    assert_int_equal(rest.n, 0);
    assert_str(str_trim(STR(" \t x y\t ")), STR("x y"));
    assert_true(str_ieq(STR("X-User-ID"), STR("x-uSER-id")));
    assert_false(str_ieq(STR("X-User_ID"), STR("x-user-id")));
    assert_true(str_cmp(STR("ab"), STR("b")) < 0 && str_cmp(STR("ab"), STR("a")) > 0 && str_cmp(STR(""), STR("")) == 0);
}

/* Rooms of the exact size: a byte too many is seen by the address sanitizer, one behind the copy here. */
static void short_copies_are_whole(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 70; n++) {
        char *from = malloc(n + 1), *to = malloc(n + 1);
        assert_non_null(from);
        assert_non_null(to);
        for (size_t i = 0; i < n; i++) from[i] = (char)(i + 1);
        memset(to, '#', n + 1);
        assert_ptr_equal(str_put(to, str_make(from, n)), to + n);
        assert_memory_equal(to, from, n);
        assert_int_equal(to[n], '#');
        free(from);
        free(to);
    }
    assert_null(str_put(NULL, STR_NONE));
}

/* Resident pages of files and shared memory. */
static unsigned long file_pages(void)
{
    unsigned long size = 0, resident = 0, shared = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu %lu", &size, &resident, &shared) != 3) fail_msg("no /proc/self/statm");
    fclose(f);
    return shared;
}

static void the_start_is_forgotten_and_nothing_else(void **state)
{
    static const char *const relocated[] = {"written", "by", "the", "loader"};
    static char written[] = "by us";
    void (*volatile code)(void **) = numbers_are_exact;
    (void)state;
    written[0] = 'B';
    unsigned long before = file_pages();
    pages_forget_start();
    assert_true(file_pages() < before);
    assert_string_equal(relocated[before ? 3 : 0], "loader");
    assert_string_equal(written, "By us");
    code(state);
}

static void arena_keeps_its_cap(void **state)
{
    (void)state;
    char first[100];
    struct arena a;
    arena_init(&a, first, sizeof first, 10000);
    char *in_first = arena_alloc(&a, 16);
    assert_true(in_first >= first && in_first < first + sizeof first);
    size_t got = 0;
    while (arena_alloc(&a, 100)) got += 100;
    assert_true(got >= 5000 && got <= 10100);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_array(&a, SIZE_MAX / 2, 3));
    arena_reset(&a);
    assert_str(arena_copy(&a, STR("hello")), STR("hello"));
    assert_str(arena_printf(&a, "%d-%s", 7, "x"), STR("7-x"));
    arena_reset(&a);
    EACH_ALLOC_FAILING({
        struct arena b;
        arena_init(&b, NULL, 0, 1 << 20);
        void *p = arena_alloc(&b, 5000);
        assert_true(p || alloc_fail_hit());
        arena_reset(&b);
    });
}

static void buf_is_sticky(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 300);
    for (int i = 0; i < 40; i++) buf_put(&b, STR("0123456789"));
    assert_true(b.bad);
    assert_true(b.n <= 300);
    size_t n = b.n;
    buf_putc(&b, 'x');
    assert_int_equal(b.n, n);
    buf_clear(&b);
    buf_printf(&b, "%s=%d", "a", 1);
    buf_put_u64(&b, 1844674407370955161u);
    assert_str(buf_str(&b), STR("a=11844674407370955161"));
    buf_consume(&b, 4);
    assert_str(buf_str(&b), STR("844674407370955161"));
    buf_free(&b);
}

static void json_text_always_parses(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096);
    buf_put_json(&b, STR("q\" b\\ n\n c\x01 \x7f ok \xc3\xa9 bad \xff\xc0\xaf \xed\xa0\x80 end"));
    assert_str(buf_str(&b), STR("q\\\" b\\\\ n\\n c\\u0001 \\u007f ok \xc3\xa9 bad \\ufffd\\ufffd\\ufffd "
                                "\\ufffd\\ufffd\\ufffd end"));
    buf_free(&b);
}

static void map_finds_what_was_put(void **state)
{
    (void)state;
    enum { N = 5000 };
    static char keys[N][12];
    struct map m = {0};
    for (long i = 0; i < N; i++) {
        snprintf(keys[i], sizeof keys[i], "k%ld", i);
        assert_err(map_put(&m, str_of(keys[i]), (void *)(i + 1), NULL), ERR_OK);
    }
    for (long i = 0; i < N; i += 3) assert_ptr_equal(map_remove(&m, str_of(keys[i])), (void *)(i + 1));
    for (long i = 0; i < N; i++) assert_ptr_equal(map_get(&m, str_of(keys[i])), i % 3 == 0 ? NULL : (void *)(i + 1));
    size_t n = 0, at = 0;
    while (map_next(&m, &at)) n++;
    assert_int_equal(n, m.n);
    void *old = NULL;
    assert_err(map_put(&m, STR("k1"), (void *)9, &old), ERR_OK);
    assert_ptr_equal(old, (void *)2);
    map_free(&m);
    EACH_ALLOC_FAILING({
        struct map f = {0};
        enum err e = map_put(&f, STR("a"), NULL, NULL);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && alloc_fail_hit()));
        map_free(&f);
    });
}

static void utf8_is_strict(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] =
        {"\x80",     "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
         "\xe2\x82", "\xff",     "a\xc3"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) assert_true(utf8_valid(str_of(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(utf8_valid(str_of(bad[i])));
}

static void ids_and_times_have_their_form(void **state)
{
    (void)state;
    char id[ULID_LEN], again[ULID_LEN], t[CLOCK_RFC3339_LEN];
    ulid_make(id, 1469918176385);
    ulid_make(again, 1469918176385);
    assert_memory_equal(id, "01ARYZ6S41", 10); /* the example of the ULID description */
    assert_memory_not_equal(id + 10, again + 10, 16);
    clock_rfc3339(t, 1469918176385);
    assert_memory_equal(t, "2016-07-30T22:36:16.385Z", sizeof t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_exact),       cmocka_unit_test(slices_cut_and_trim),
        cmocka_unit_test(short_copies_are_whole),  cmocka_unit_test(the_start_is_forgotten_and_nothing_else),
        cmocka_unit_test(arena_keeps_its_cap),     cmocka_unit_test(buf_is_sticky),
        cmocka_unit_test(json_text_always_parses), cmocka_unit_test(map_finds_what_was_put),
        cmocka_unit_test(utf8_is_strict),          cmocka_unit_test(ids_and_times_have_their_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
