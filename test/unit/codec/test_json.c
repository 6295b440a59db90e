#include "unit.h"

#include "base/buf.h"
#include "codec/json.h"

#include <time.h>

/* One document read from a copy of exactly its size. */
struct reading {
    struct arena mem;
    char *copy;
    const struct json *root;
    enum err err;
    enum json_fault fault;
    size_t at;
};

static void reading_end(struct reading *r)
{
    arena_reset(&r->mem);
    free(r->copy);
}

static struct reading reading_of(str in, const struct json_limits *limits)
{
    struct reading r = {.at = 12345};
    arena_init(&r.mem, NULL, 0, 64u << 20);
    r.copy = malloc(in.n ? in.n : 1);
    assert_non_null(r.copy);
    if (in.n) memcpy(r.copy, in.p, in.n);
    r.err = json_parse(str_make(r.copy, in.n), limits, &r.mem, &r.root, &r.fault, &r.at);
    if (r.err != ERR_OK) assert_null(r.root);
    return r;
}

static const struct json_limits small = {.max_bytes = 200,
                                         .max_depth = 3,
                                         .max_values = 8,
                                         .max_members = 4,
                                         .max_number = 6};

static void table(void **state)
{
    (void)state;
    static const struct {
        str in;
        enum err want;
        enum json_fault fault;
        size_t at;
    } rows[] = {
        {STR_INIT("{}"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("[]"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT(" \t\r\n[ ] \t\r\n"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("null"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("-0.0e+1"), ERR_LIMIT, JSON_FAULT_NUMBER, 0},
        {STR_INIT("-0.0e1"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("123456"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("[1234567]"), ERR_LIMIT, JSON_FAULT_NUMBER, 1},
        {STR_INIT("\"\""), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("[[[]]]"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("[[[1]]]"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("[[[[]]]]"), ERR_LIMIT, JSON_FAULT_DEPTH, 3},
        {STR_INIT("[{\"a\":[{}]}]"), ERR_LIMIT, JSON_FAULT_DEPTH, 7},
        {STR_INIT("[1,2,3,4]"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("[1,2,3,4,5]"), ERR_LIMIT, JSON_FAULT_MEMBERS, 9},
        {STR_INIT("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1}"), ERR_LIMIT, JSON_FAULT_MEMBERS, 29},
        {STR_INIT("[[1,2,3],[1,2]]"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("[[1,2,3],[1,2,3]]"), ERR_LIMIT, JSON_FAULT_MEMBERS, 14},
        {STR_INIT(""), ERR_MALFORMED, JSON_FAULT_TRAILING, 0},
        {STR_INIT("  "), ERR_MALFORMED, JSON_FAULT_TRAILING, 2},
        {STR_INIT("1 2"), ERR_MALFORMED, JSON_FAULT_TRAILING, 2},
        {STR_INIT("{}{}"), ERR_MALFORMED, JSON_FAULT_TRAILING, 2},
        {STR_INIT("{}\0"), ERR_MALFORMED, JSON_FAULT_TRAILING, 2},
        {STR_INIT("{},"), ERR_MALFORMED, JSON_FAULT_TRAILING, 2},
        {STR_INIT("01"), ERR_MALFORMED, JSON_FAULT_TRAILING, 1},
        {STR_INIT("\xef\xbb\xbf{}"), ERR_MALFORMED, JSON_FAULT_UTF8, 0},
        {STR_INIT("{\"a\":1,\"a\":2}"), ERR_MALFORMED, JSON_FAULT_DUPLICATE, 11},
        {STR_INIT("{\"a\":1,\"b\":{},\"\\u0061\":1}"), ERR_MALFORMED, JSON_FAULT_DUPLICATE, 23},
        {STR_INIT("{\"\":1,\"\":1}"), ERR_MALFORMED, JSON_FAULT_DUPLICATE, 9},
        {STR_INIT("[{\"x\":{\"k\":1,\"k\":1}}]"), ERR_MALFORMED, JSON_FAULT_DUPLICATE, 17},
        {STR_INIT("{\"a\":{\"a\":{}},\"b\":1}"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("{\"a\\u0000b\":1,\"a\":2}"), ERR_OK, JSON_FAULT_NONE, 0},
        {STR_INIT("{\"a\\u0000b\":1,\"a\\u0000b\":2}"), ERR_MALFORMED, JSON_FAULT_DUPLICATE, 25},
        {STR_INIT("\"\xff\""), ERR_MALFORMED, JSON_FAULT_UTF8, 1},
        {STR_INIT("\"\xc0\xaf\""), ERR_MALFORMED, JSON_FAULT_UTF8, 1},
        {STR_INIT("\"\xed\xa0\x80\""), ERR_MALFORMED, JSON_FAULT_UTF8, 1},
        {STR_INIT("\"\xf4\x90\x80\x80\""), ERR_MALFORMED, JSON_FAULT_UTF8, 1},
        {STR_INIT("\"abcdefgh\xe2\x82\""), ERR_MALFORMED, JSON_FAULT_UTF8, 9},
        {STR_INIT("\"\\ud800\""), ERR_MALFORMED, JSON_FAULT_UTF8, 3},
        {STR_INIT("\"\\udc00\""), ERR_MALFORMED, JSON_FAULT_UTF8, 3},
        {STR_INIT("\"\\ud800\\u0041\""), ERR_MALFORMED, JSON_FAULT_UTF8, 3},
        {STR_INIT("\"\\ud800\\ue000\""), ERR_MALFORMED, JSON_FAULT_UTF8, 3},
        {STR_INIT("\"\\ud800\\udbff\""), ERR_MALFORMED, JSON_FAULT_UTF8, 3},
        {STR_INIT("\"\\ud800x\\udc00\""), ERR_MALFORMED, JSON_FAULT_UTF8, 3},
        {STR_INIT("\"\\u12g4\""), ERR_MALFORMED, JSON_FAULT_SYNTAX, 3},
        {STR_INIT("\"\\u12\""), ERR_MALFORMED, JSON_FAULT_SYNTAX, 3},
        {STR_INIT("\"\\x41\""), ERR_MALFORMED, JSON_FAULT_SYNTAX, 2},
        {STR_INIT("\"\\\xc3\xa9\""), ERR_MALFORMED, JSON_FAULT_UTF8, 3},
        {STR_INIT("\"\\"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 1},
        {STR_INIT("\"\\\""), ERR_MALFORMED, JSON_FAULT_SYNTAX, 3},
        {STR_INIT("\"tab\tin\""), ERR_MALFORMED, JSON_FAULT_SYNTAX, 4},
        {STR_INIT("\"nul\0in\""), ERR_MALFORMED, JSON_FAULT_SYNTAX, 4},
        {STR_INIT("[1,]"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 3},
        {STR_INIT("[,1]"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 1},
        {STR_INIT("[1 2]"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 3},
        {STR_INIT("{\"a\":1,}"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 7},
        {STR_INIT("{,}"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 1},
        {STR_INIT("{\"a\" 1}"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 5},
        {STR_INIT("{\"a\":}"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 5},
        {STR_INIT("{a:1}"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 1},
        {STR_INIT("{1:1}"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 1},
        {STR_INIT("[}"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 1},
        {STR_INIT("{]"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 1},
        {STR_INIT("]"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 0},
        {STR_INIT("'a'"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 0},
        {STR_INIT("nul"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 0},
        {STR_INIT("True"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 0},
        {STR_INIT("[1/**/]"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 2},
        {STR_INIT("+1"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 0},
        {STR_INIT("-"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 1},
        {STR_INIT("1."), ERR_MALFORMED, JSON_FAULT_SYNTAX, 2},
        {STR_INIT(".5"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 0},
        {STR_INIT("1e"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 2},
        {STR_INIT("1e+"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 3},
        {STR_INIT("0x10"), ERR_MALFORMED, JSON_FAULT_TRAILING, 1},
        {STR_INIT("NaN"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 0},
        {STR_INIT("[\f]"), ERR_MALFORMED, JSON_FAULT_SYNTAX, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reading r = reading_of(rows[i].in, &small);
        if (r.err != rows[i].want || r.fault != rows[i].fault)
            fail_msg("%.*s: %s, %s", STR_ARG(rows[i].in), err_name(r.err), json_fault_name(r.fault));
        if (r.err != ERR_OK && r.at != rows[i].at)
            fail_msg("%.*s: at %zu, want %zu", STR_ARG(rows[i].in), r.at, rows[i].at);
        reading_end(&r);
    }
}

static void size_is_bounded_before_any_work(void **state)
{
    (void)state;
    char in[201];
    memset(in, ' ', sizeof in);
    in[0] = '1';
    struct reading r = reading_of(str_make(in, 200), &small);
    assert_err(r.err, ERR_OK);
    reading_end(&r);
    r = reading_of(str_make(in, 201), &small);
    assert_err(r.err, ERR_LIMIT);
    assert_int_equal(r.fault, JSON_FAULT_SIZE);
    assert_int_equal(r.mem.used, 0);
    reading_end(&r);
}

static void depth_beyond_the_own_bound_is_refused(void **state)
{
    (void)state;
    char in[2 * (JSON_DEPTH_MAX + 1)];
    struct json_limits wide = json_limits_document;
    wide.max_depth = UINT32_MAX;
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(in, '[', depth);
        memset(in + depth, ']', depth);
        struct reading r = reading_of(str_make(in, 2 * depth), &wide);
        assert_int_equal(r.fault, depth > JSON_DEPTH_MAX ? JSON_FAULT_DEPTH : JSON_FAULT_NONE);
        reading_end(&r);
    }
}

#define CLAIMS                                                                                                         \
    "{\"iss\":\"https://idp.example\",\"sub\":\"a\\u006cice \\ud83d\\ude00 \\\"\\\\\\/\\b\\f\\n\\r\\t\","              \
    "\"aud\":[\"api\",\"\xc3\xa9t\xc3\xa9\"],\"exp\":1924992000.5,\"n\":-7,\"ok\":true,\"no\":false,\"nil\":null,"     \
    "\"realm\":{\"roles\":[],\"deep\":[{\"x\":[[0]]}]},\"last\":\"plain text beyond eight\"}"

static void tree_is_as_written(void **state)
{
    (void)state;
    struct reading r = reading_of(STR(CLAIMS), &json_limits_token);
    assert_err(r.err, ERR_OK);
    const struct json *v = r.root;
    assert_int_equal(v->type, JSON_OBJECT);
    assert_int_equal(v->count, 10);
    assert_str(json_text(json_get(v, STR("iss"))), STR("https://idp.example"));
    assert_str(json_text(json_get(v, STR("sub"))), STR("alice \xf0\x9f\x98\x80 \"\\/\b\f\n\r\t"));
    const struct json *aud = json_get(v, STR("aud"));
    assert_int_equal(aud->type, JSON_ARRAY);
    assert_int_equal(aud->count, 2);
    assert_str(json_text(aud->first), STR("api"));
    assert_null(aud->first->name.p);
    assert_str(json_text(aud->first->next), STR("\xc3\xa9t\xc3\xa9"));
    assert_null(aud->first->next->next);
    assert_str(json_get(v, STR("exp"))->text, STR("1924992000.5"));
    assert_int_equal(json_get(v, STR("ok"))->type, JSON_TRUE);
    assert_int_equal(json_get(v, STR("no"))->type, JSON_FALSE);
    assert_int_equal(json_get(v, STR("nil"))->type, JSON_NULL);
    const struct json *realm = json_get(v, STR("realm"));
    assert_int_equal(json_get(realm, STR("roles"))->count, 0);
    assert_null(json_get(realm, STR("roles"))->first);
    const struct json *x = json_get(json_get(realm, STR("deep"))->first, STR("x"));
    assert_str(x->first->first->text, STR("0"));
    assert_null(realm->first->next->next);
    assert_str(json_text(realm->next), STR("plain text beyond eight"));
    assert_null(realm->next->next);
    for (const struct json *m = v->first; m; m = m->next) /* offsets point at the values */
        assert_int_equal(r.copy[m->offset - 1], ':');
    assert_null(json_get(v, STR("is")));
    assert_null(json_get(aud, STR("0")));
    assert_null(json_get(NULL, STR("x")));
    assert_null(json_text(json_get(v, STR("n"))).p);
    assert_null(json_text(NULL).p);
    reading_end(&r);
}

static void no_prefix_is_a_document(void **state)
{
    (void)state;
    const str all = STR(CLAIMS);
    for (size_t n = 0; n < all.n; n++) {
        struct reading r = reading_of(str_first(all, n), &json_limits_token);
        assert_err(r.err, ERR_MALFORMED);
        assert_true(r.at <= n);
        reading_end(&r);
    }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct buf b; /* large enough for several blocks and for the set of names */
    buf_init(&b, 1 << 20);
    buf_puts(&b, "{");
    for (int i = 0; i < 300; i++) buf_printf(&b, "\"k\\u006e%d\":[%d,{\"x\":\"\\n\"}],", i, i);
    buf_puts(&b, "\"end\":0}");
    assert_false(b.bad);
    EACH_ALLOC_FAILING({
        struct arena mem;
        arena_init(&mem, NULL, 0, 1 << 20);
        const struct json *root = NULL;
        enum json_fault fault = JSON_FAULT_NONE;
        enum err e = json_parse(buf_str(&b), &json_limits_document, &mem, &root, &fault, NULL);
        assert_err(e, alloc_fail_hit() ? ERR_NO_MEMORY : ERR_OK);
        assert_int_equal(fault, alloc_fail_hit() ? JSON_FAULT_MEMORY : JSON_FAULT_NONE);
        assert_true(e == ERR_OK ? root->count == 301 : root == NULL);
        arena_reset(&mem);
    });
    for (size_t cap = 0; cap < 8192; cap += 64) { /* the arena's own cap likewise */
        char first[512];
        struct arena mem;
        arena_init(&mem, first, sizeof first, cap);
        const struct json *root = NULL;
        assert_err(json_parse(buf_str(&b), &json_limits_document, &mem, &root, NULL, NULL), ERR_NO_MEMORY);
        arena_reset(&mem);
    }
    buf_free(&b);
}

/* With little memory the answer is that there is not enough of it, never that the names differ. */
static void duplicates_are_not_lost_to_want_of_memory(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096);
    for (int i = 0; i < 40; i++) buf_printf(&b, "%c\"n%d\":1", i ? ',' : '{', i == 39 ? 0 : i);
    buf_puts(&b, "}");
    static char room[8192];
    bool found = false;
    for (size_t n = 0; n < sizeof room; n += 16) {
        struct arena mem;
        arena_init(&mem, room, n, 0);
        const struct json *root;
        enum json_fault fault;
        enum err e = json_parse(buf_str(&b), &json_limits_token, &mem, &root, &fault, NULL);
        assert_err(e, fault == JSON_FAULT_DUPLICATE ? ERR_MALFORMED : ERR_NO_MEMORY);
        found |= fault == JSON_FAULT_DUPLICATE;
    }
    assert_true(found);
    buf_free(&b);
}

/* Of this thread: whoever else is busy on the machine does not count. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* n members whose names agree in length, first and middle byte; the name at `at` is that at `same_as`. */
static void put_members(struct buf *b, int n, int same_as, int at)
{
    for (int i = 0; i < n; i++) buf_printf(b, "%c\"aaaaaaaaaaaaaaaaaaa%04x\":1", i ? ',' : '{', i == at ? same_as : i);
    buf_puts(b, "}");
}

/* The least of a few readings, in nanoseconds. */
static uint64_t cost(const struct buf *b)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 9; i++) {
        uint64_t from = cpu_ns();
        struct reading r = reading_of(buf_str(b), &json_limits_document);
        uint64_t took = cpu_ns() - from;
        assert_err(r.err, ERR_OK);
        reading_end(&r);
        if (took < least) least = took;
    }
    return least;
}

/* A duplicate is found wherever the two stand, and sixteen times the members cost about sixteen times as much:
 * with each compared to each it would be 256 times. */
static void many_members_cost_no_square(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    static const struct {
        int same_as, at;
    } rows[] = {{0, 4095}, {0, 1}, {2047, 2048}, {4094, 4095}, {17, 3000}};
    for (size_t row = 0; row < ARRAY_LEN(rows); row++) {
        buf_clear(&b);
        put_members(&b, 4096, rows[row].same_as, rows[row].at);
        struct reading r = reading_of(buf_str(&b), &json_limits_document);
        assert_int_equal(r.fault, JSON_FAULT_DUPLICATE);
        reading_end(&r);
    }
    buf_clear(&b);
    put_members(&b, 256, -1, -1);
    uint64_t few = cost(&b);
    buf_clear(&b);
    put_members(&b, 4096, -1, -1);
    assert_in_range(cost(&b) / few, 1, 64);
    buf_free(&b);
}

/* Many small objects behind a large one cost what both cost alone, though they use its scratch. */
static void a_large_object_slows_no_later_one(void **state)
{
    (void)state;
    struct buf large, small_ones, both;
    buf_init(&large, 1 << 20);
    buf_init(&small_ones, 1 << 20);
    buf_init(&both, 1 << 20);
    put_members(&large, 4096, -1, -1);
    buf_puts(&small_ones, "[0");
    for (int n = 0; n < 1200; n++) {
        for (int i = 0; i < 17; i++) buf_printf(&small_ones, "%s\"%c\":0", i ? "," : ",{", 'a' + i);
        buf_puts(&small_ones, "}");
    }
    buf_puts(&small_ones, "]");
    buf_puts(&both, "[");
    buf_put(&both, buf_str(&large));
    buf_put(&both, str_from(buf_str(&small_ones), 2));
    assert_false(both.bad);
    uint64_t apart = cost(&large) + cost(&small_ones);
    assert_in_range(cost(&both), 0, apart * 2);
    buf_free(&large);
    buf_free(&small_ones);
    buf_free(&both);
}

/* Each number of members around the change of method, each pair of places. */
static void duplicates_are_found_at_every_place(void **state)
{
    (void)state;
    for (int n = 2; n <= 34; n++)
        for (int a = 0; a < n; a++)
            for (int b = a + 1; b < n; b++) {
                struct buf text;
                buf_init(&text, 4096);
                for (int i = 0; i < n; i++) buf_printf(&text, "%c\"n%d\":1", i ? ',' : '{', i == b ? a : i);
                buf_puts(&text, "}");
                struct reading r = reading_of(buf_str(&text), &json_limits_token);
                assert_int_equal(r.fault, JSON_FAULT_DUPLICATE);
                reading_end(&r);
                buf_free(&text);
            }
}

static void integers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum err want;
        int64_t value;
    } rows[] = {
        {"0", ERR_OK, 0},
        {"-0", ERR_OK, 0},
        {"9223372036854775807", ERR_OK, INT64_MAX},
        {"-9223372036854775808", ERR_OK, INT64_MIN},
        {"9223372036854775808", ERR_LIMIT, 0},
        {"-9223372036854775809", ERR_LIMIT, 0},
        {"18446744073709551616", ERR_LIMIT, 0},
        {"99999999999999999999999999999", ERR_LIMIT, 0},
        {"1.0", ERR_MALFORMED, 0},
        {"1e3", ERR_MALFORMED, 0},
        {"1E3", ERR_MALFORMED, 0},
        {"\"1\"", ERR_MALFORMED, 0},
        {"null", ERR_MALFORMED, 0},
        {"[1]", ERR_MALFORMED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reading r = reading_of(str_of(rows[i].in), &json_limits_token);
        int64_t v = 42;
        assert_err(json_int(r.root, &v), rows[i].want);
        assert_int_equal(v, rows[i].want == ERR_OK ? rows[i].value : 42);
        reading_end(&r);
    }
    int64_t v;
    assert_err(json_int(NULL, &v), ERR_MALFORMED);
}

static void dates_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum err want;
        int64_t value;
        bool fraction;
    } rows[] = {
        {"0", ERR_OK, 0, false},
        {"-0", ERR_OK, 0, false},
        {"1924992000", ERR_OK, 1924992000, false},
        {"1924992000.0", ERR_OK, 1924992000, false},
        {"1924992000.99999999999", ERR_OK, 1924992000, true},
        {"-1.5", ERR_OK, -2, true},
        {"-1.0", ERR_OK, -1, false},
        {"-0.1", ERR_OK, -1, true},
        {"1e3", ERR_OK, 1000, false},
        {"1E+3", ERR_OK, 1000, false},
        {"0.5e1", ERR_OK, 5, false},
        {"0.0001e10", ERR_OK, 1000000, false},
        {"12345e-2", ERR_OK, 123, true},
        {"12300e-2", ERR_OK, 123, false},
        {"1e-400", ERR_OK, 0, true},
        {"-1e-400", ERR_OK, -1, true},
        {"0e999999999999999999999999", ERR_OK, 0, false},
        {"0e-999999999999999999999999", ERR_OK, 0, false},
        {"1e-999999999999999999999999", ERR_OK, 0, true},
        {"1e999999999999999999999999", ERR_LIMIT, 0, false},
        {"0.00000001e999999999999999999", ERR_LIMIT, 0, false},
        {"1e400", ERR_LIMIT, 0, false},
        {"1e15", ERR_OK, 1000000000000000, false},
        {"1e16", ERR_LIMIT, 0, false},
        {"9007199254740991", ERR_OK, 9007199254740991, false},
        {"9007199254740991.5", ERR_OK, 9007199254740991, true},
        {"9007199254740992", ERR_LIMIT, 0, false},
        {"-9007199254740991", ERR_OK, -9007199254740991, false},
        {"-9007199254740992", ERR_LIMIT, 0, false},
        {"18446744073709551617", ERR_LIMIT, 0, false},
        {"\"1924992000\"", ERR_MALFORMED, 0, false},
        {"true", ERR_MALFORMED, 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reading r = reading_of(str_of(rows[i].in), &json_limits_token);
        assert_err(r.err, ERR_OK);
        int64_t v = 42;
        bool fraction = false;
        enum err e = json_date(r.root, &v, &fraction);
        if (e != rows[i].want || v != (e == ERR_OK ? rows[i].value : 42) || fraction != rows[i].fraction)
            fail_msg("%s: %s, %lld, %d", rows[i].in, err_name(e), (long long)v, fraction);
        reading_end(&r);
    }
}

/* Every byte at every place of a string, around the width of a machine word: the same verdict as byte by byte. */
static void strings_end_where_they_end(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 18; len++)
        for (size_t place = 0; place < len; place++)
            for (int c = 0; c < 256; c++) {
                char in[24];
                memset(in, 'x', sizeof in);
                in[0] = in[len + 1] = '"';
                in[1 + place] = (char)c;
                struct reading r = reading_of(str_make(in, len + 2), &json_limits_token);
                bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
                bool escaped_quote = c == '\\' && place + 1 == len;
                assert_true((r.err == ERR_OK) == plain);
                if (plain) assert_int_equal(r.root->text.n, len);
                if (c == '"') assert_int_equal(r.fault, JSON_FAULT_TRAILING);
                if (c >= 0x80) assert_int_equal(r.fault, JSON_FAULT_UTF8);
                if (c < 0x20 || escaped_quote) assert_int_equal(r.fault, JSON_FAULT_SYNTAX);
                reading_end(&r);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(size_is_bounded_before_any_work),
        cmocka_unit_test(depth_beyond_the_own_bound_is_refused),
        cmocka_unit_test(tree_is_as_written),
        cmocka_unit_test(no_prefix_is_a_document),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(duplicates_are_not_lost_to_want_of_memory),
        cmocka_unit_test(many_members_cost_no_square),
        cmocka_unit_test(a_large_object_slows_no_later_one),
        cmocka_unit_test(duplicates_are_found_at_every_place),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(dates_are_exact),
        cmocka_unit_test(strings_end_where_they_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
