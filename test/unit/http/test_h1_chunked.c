#include "unit.h"

#include "http/h1.h"

struct decoded {
    enum err err;
    enum http_fault fault;
    bool end;
    size_t used;
    char data[20000];
    size_t n;
    struct field fields[40];
    struct fields trailers;
    char *copy; /* what the trailers borrow from */
};

/* Decodes `in` as it arrives in pieces: what was not used stays at the front of what comes next. */
static void decode(struct decoded *d, str in, size_t first, size_t step, bool with_trailers)
{
    struct h1_chunked c = {0};
    size_t from = 0, to = first < in.n ? first : in.n;
    d->err = ERR_OK;
    d->end = false;
    d->n = d->used = 0;
    d->trailers = (struct fields){d->fields, 0, ARRAY_LEN(d->fields)};
    for (;;) {
        size_t used = 0;
        str data = STR_NONE;
        free(d->copy);
        d->copy = malloc(to - from + 1);
        assert_non_null(d->copy);
        memcpy(d->copy, in.p + from, to - from);
        d->err = h1_chunked_decode(&c, str_make(d->copy, to - from), &h1_limits_default, &used, &data, &d->end,
                                   with_trailers ? &d->trailers : NULL, &d->fault);
        if (d->err != ERR_OK) return;
        assert_true(used <= to - from && data.n <= used);
        if (data.n) memcpy(d->data + d->n, data.p, data.n);
        d->n += data.n;
        d->used += used;
        from += used;
        if (d->end) return;
        if (used) continue; /* call again with what is left */
        if (to == in.n) return;
        to = in.n - to < step ? in.n : to + step;
    }
}

#define S(x) STR_INIT(x)

static const struct {
    const char *name;
    str in;
    enum err err;
    enum http_fault fault;
    const char *data;
    size_t rest; /* bytes behind the body */
    uint32_t trailers;
} cases[] = {
    {"empty", S("0\r\n\r\n"), ERR_OK, 0, "", 0, 0},
    {"one", S("5\r\nhello\r\n0\r\n\r\n"), ERR_OK, 0, "hello", 0, 0},
    {"two, and a request behind", S("5\r\nhello\r\nB\r\n, the world\r\n0\r\n\r\nGET / "), ERR_OK, 0, "hello, the world",
     6, 0},
    {"hex of both cases", S("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"), ERR_OK, 0, "01234567890123456789", 0,
     0},
    {"data that looks like lines", S("7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n"), ERR_OK, 0, "0\r\n\r\n\r\n", 0, 0},
    {"leading zeros", S("0000000000000001\r\nx\r\n0000000000000000\r\n\r\n"), ERR_OK, 0, "x", 0, 0},
    {"trailers", S("1\r\nx\r\n0\r\nA: b\r\nX-User-ID: eve\r\n\r\n"), ERR_OK, 0, "x", 0, 2},

    {"seventeen digits", S("00000000000000001\r\nx\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"2^63", S("8000000000000000\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"2^64-1", S("ffffffffffffffff\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"2^64+1", S("10000000000000001\r\nx\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"no size", S("\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"extension", S("1;a=b\r\nx\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"extension of the last", S("1\r\nx\r\n0;a\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"blank behind the size", S("1 \r\nx\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"blank before the size", S(" 1\r\nx\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"0x", S("0x1\r\nx\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"plus", S("+1\r\nx\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"minus", S("-1\r\nx\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"no digit", S("g\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"NUL", S("1\0\r\nx\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"size ends in LF", S("1\nx\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_LINE_END, NULL, 0, 0},
    {"size ends in CR", S("1\rx\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_LINE_END, NULL, 0, 0},
    {"data longer than said", S("1\r\nxy\r\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_CHUNK, NULL, 0, 0},
    {"data ends in LF", S("1\r\nx\n0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_LINE_END, NULL, 0, 0},
    {"data ends in CR", S("1\r\nx\r0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_LINE_END, NULL, 0, 0},
    {"end is LF", S("0\r\n\n"), ERR_MALFORMED, HTTP_FAULT_LINE_END, NULL, 0, 0},
    {"last ends in LF", S("0\n\r\n"), ERR_MALFORMED, HTTP_FAULT_LINE_END, NULL, 0, 0},
    {"end is CR", S("0\r\n\rX"), ERR_MALFORMED, HTTP_FAULT_LINE_END, NULL, 0, 0},
    {"trailer without colon", S("0\r\nabc\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_FIELD_NAME, NULL, 0, 0},
    {"trailer fold", S("0\r\na: b\r\n c\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_FOLD, NULL, 0, 0},
    {"trailer ends in LF", S("0\r\na: b\n\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_LINE_END, NULL, 0, 0},
    {"trailer NUL", S("0\r\na: b\0\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_FIELD_VALUE, NULL, 0, 0},
    {"trailer Content-Length", S("0\r\nContent-Length: 5\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_TRAILER, NULL, 0, 0},
    {"trailer Transfer-Encoding", S("0\r\nTransfer_Encoding: chunked\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_TRAILER, NULL,
     0, 0},
    {"trailer Host", S("0\r\nA: b\r\nHost: a\r\n\r\n"), ERR_MALFORMED, HTTP_FAULT_TRAILER, NULL, 0, 0},
};

static bool has_end(str in)
{
    return in.n >= 4 && memcmp(in.p + in.n - 4, "\r\n\r\n", 4) == 0;
}

static void bodies_are_decoded_however_they_arrive(void **state)
{
    (void)state;
    static struct decoded d;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        str in = cases[i].in;
        for (size_t first = 0; first <= in.n; first++) {
            for (size_t step = 1; step <= in.n; step = step == 1 ? in.n : in.n + 1) {
                decode(&d, in, first, step, first % 2 == 0);
                /* a trailer section that is not whole may still be waited for */
                if (d.err == ERR_OK && !d.end && cases[i].err != ERR_OK && !has_end(in)) continue;
                if (d.err != cases[i].err || (d.err != ERR_OK && d.fault != cases[i].fault))
                    fail_msg("%s: cut at %zu: %s (%s)", cases[i].name, first, err_name(d.err),
                             http_fault_name(d.fault));
                if (d.err != ERR_OK) continue;
                assert_true(d.end);
                assert_int_equal(in.n - d.used, cases[i].rest);
                assert_str(str_make(d.data, d.n), str_of(cases[i].data));
                if (first % 2 == 0) assert_int_equal(d.trailers.n, cases[i].trailers);
            }
        }
    }
    free(d.copy);
    d.copy = NULL;
}

static void only_hex_digits_make_a_size(void **state)
{
    (void)state;
    for (int b = 0; b < 256; b++) {
        struct h1_chunked c = {0};
        size_t used;
        str data;
        bool end;
        enum http_fault fault;
        char text[] = {(char)b, '\r'};
        enum err e = h1_chunked_decode(&c, str_make(text, 2), &h1_limits_default, &used, &data, &end, NULL, &fault);
        int v = b >= '0' && b <= '9'   ? b - '0'
                : b >= 'a' && b <= 'f' ? b - 'a' + 10
                : b >= 'A' && b <= 'F' ? b - 'A' + 10
                                       : -1;
        assert_err(e, v < 0 ? ERR_MALFORMED : ERR_OK);
        if (v >= 0) assert_int_equal(c.left, v);
    }
}

static void trailers_are_fields(void **state)
{
    (void)state;
    static struct decoded d;
    decode(&d, STR("0\r\nGrpc-Status: 0 \r\nX_User_ID: eve\r\nAuthorization: x\r\n\r\n"), 5, 1, true);
    assert_true(d.end);
    assert_str(d.fields[0].name, STR("Grpc-Status"));
    assert_str(d.fields[0].value, STR("0"));
    assert_false(d.fields[0].drop);
    assert_int_equal(d.fields[1].id, FIELD_X_USER_ID);
    assert_true(d.fields[1].drop);
    assert_true(d.fields[2].drop);
    free(d.copy);
    d.copy = NULL;
}

static void trailers_are_bounded(void **state)
{
    (void)state;
    static struct decoded d;
    static char text[12000];
    for (size_t fields = 31; fields <= 33; fields++) {
        size_t n = (size_t)snprintf(text, sizeof text, "0\r\n");
        for (size_t i = 0; i < fields; i++) n += (size_t)snprintf(text + n, sizeof text - n, "A: b\r\n");
        n += (size_t)snprintf(text + n, sizeof text - n, "\r\n");
        decode(&d, str_make(text, n), 1, 7, true);
        assert_err(d.err, fields <= 32 ? ERR_OK : ERR_LIMIT);
        assert_int_equal(d.end, fields <= 32);
        decode(&d, str_make(text, n), n, n, false);
        assert_err(d.err, fields <= 32 ? ERR_OK : ERR_LIMIT);
    }
    memset(text, 'a', sizeof text);
    memcpy(text, "0\r\nA: ", 6);
    for (size_t size = 8192; size <= 8193; size++) { /* the whole section with its empty line */
        memcpy(text + 3 + size - 4, "\r\n\r\n", 4);
        decode(&d, str_make(text, 3 + size), 1, 1, true);
        assert_err(d.err, size == 8192 ? ERR_OK : ERR_LIMIT);
        memset(text + 3 + size - 4, 'a', 4);
    }
    decode(&d, str_make(text, sizeof text), 1, 1, true);
    assert_err(d.err, ERR_LIMIT);
    free(d.copy);
    d.copy = NULL;
}

static void big_chunks_are_counted_not_kept(void **state)
{
    (void)state;
    struct h1_chunked c = {0};
    size_t used;
    str data;
    bool end;
    enum http_fault fault;
    static char block[4096];
    assert_err(h1_chunked_decode(&c, STR("7fffffffffffffff\r\n"), &h1_limits_default, &used, &data, &end, NULL, &fault),
               ERR_OK);
    assert_int_equal(used, 18);
    for (int i = 0; i < 100; i++) {
        assert_err(h1_chunked_decode(&c, str_make(block, sizeof block), &h1_limits_default, &used, &data, &end, NULL,
                                     &fault),
                   ERR_OK);
        assert_ptr_equal(data.p, block);
        assert_int_equal(data.n, sizeof block);
        assert_false(end);
    }
    assert_true(c.left == INT64_MAX - 100 * sizeof block);
}

static void chunk_lines(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *line;
    } lines[] = {{0, "0\r\n"},
                 {1, "1\r\n"},
                 {15, "f\r\n"},
                 {16, "10\r\n"},
                 {0x1a4, "1a4\r\n"},
                 {0xffff, "ffff\r\n"},
                 {1u << 31, "80000000\r\n"},
                 {UINT64_MAX, "ffffffffffffffff\r\n"}};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char out[H1_CHUNK_LINE_MAX];
        assert_str(str_make(out, h1_chunk_line(out, lines[i].n)), str_of(lines[i].line));
    }
}

/* What is written is read back, whatever the sizes and however it arrives. */
static void what_is_written_is_read(void **state)
{
    (void)state;
    static struct decoded d;
    static char text[12000], want[8000];
    unsigned seed = 7;
    for (int round = 0; round < 100; round++) {
        size_t n = 0, m = 0;
        for (int i = 0; i < 20; i++) {
            seed = seed * 1103515245 + 12345;
            size_t size = 1 + (seed >> 16) % 300;
            n += h1_chunk_line(text + n, size);
            memset(text + n, 'a' + i, size);
            memset(want + m, 'a' + i, size);
            n += size;
            m += size;
            memcpy(text + n, "\r\n", 2);
            n += 2;
        }
        memcpy(text + n, "0\r\n\r\n", 5);
        n += 5;
        seed = seed * 1103515245 + 12345;
        decode(&d, str_make(text, n), (seed >> 16) % 100, 1 + (seed >> 20) % 100, false);
        assert_true(d.end && d.used == n);
        assert_int_equal(d.n, m);
        assert_memory_equal(d.data, want, m);
    }
    free(d.copy);
    d.copy = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_decoded_however_they_arrive),
        cmocka_unit_test(only_hex_digits_make_a_size),
        cmocka_unit_test(trailers_are_fields),
        cmocka_unit_test(trailers_are_bounded),
        cmocka_unit_test(big_chunks_are_counted_not_kept),
        cmocka_unit_test(chunk_lines),
        cmocka_unit_test(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
