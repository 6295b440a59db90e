#include "unit.h"

#include "codec/protobuf.h"

/* Reads a copy of exactly that size, so that a sanitizer sees a byte too far. */
static enum err first_of(str in, struct protobuf_field *out, size_t *left)
{
    char *exact = malloc(in.n ? in.n : 1);
    assert_non_null(exact);
    if (in.n) memcpy(exact, in.p, in.n);
    str rest = str_make(exact, in.n);
    enum err e = protobuf_next(&rest, out);
    *left = rest.n;
    if (e != ERR_OK) assert_ptr_equal(rest.p, exact); /* nothing is taken of what is refused */
    free(exact);
    return e;
}

static void reads(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        str in;
        enum err want;
        uint32_t number;
        uint64_t value;
    } rows[] = {
        {"nothing", STR_INIT(""), ERR_NOT_FOUND, 0, 0},
        {"150 as the documentation has it", STR_INIT("\x08\x96\x01"), ERR_OK, 1, 150},
        {"zero", STR_INIT("\x10\x00"), ERR_OK, 2, 0},
        {"zero, longer than it need be", STR_INIT("\x10\x80\x00"), ERR_OK, 2, 0},
        {"2^64-1", STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), ERR_OK, 1, UINT64_MAX},
        {"a bit more than 64", STR_INIT("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), ERR_MALFORMED, 0, 0},
        {"eleven bytes", STR_INIT("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), ERR_MALFORMED, 0, 0},
        {"no value", STR_INIT("\x08"), ERR_MALFORMED, 0, 0},
        {"half a value", STR_INIT("\x08\x96"), ERR_MALFORMED, 0, 0},
        {"half a tag", STR_INIT("\x88"), ERR_MALFORMED, 0, 0},
        {"field 0", STR_INIT("\x00\x01"), ERR_MALFORMED, 0, 0},
        {"the last field there may be", STR_INIT("\xf8\xff\xff\xff\x0f\x01"), ERR_OK, (1u << 29) - 1, 1},
        {"one more", STR_INIT("\x80\x80\x80\x80\x10\x01"), ERR_MALFORMED, 0, 0},
        {"a group begins", STR_INIT("\x0b"), ERR_MALFORMED, 0, 0},
        {"a group ends", STR_INIT("\x0c"), ERR_MALFORMED, 0, 0},
        {"kind 6", STR_INIT("\x0e\x01"), ERR_MALFORMED, 0, 0},
        {"kind 7", STR_INIT("\x0f\x01"), ERR_MALFORMED, 0, 0},
        {"fixed64", STR_INIT("\x09\x01\x02\x00\x00\x00\x00\x00\x80"), ERR_OK, 1, 0x8000000000000201u},
        {"fixed64, cut", STR_INIT("\x09\x01\x02\x00\x00\x00\x00\x00"), ERR_MALFORMED, 0, 0},
        {"fixed32", STR_INIT("\x0d\x01\x02\x00\x80"), ERR_OK, 1, 0x80000201u},
        {"fixed32, cut", STR_INIT("\x0d\x01\x02\x00"), ERR_MALFORMED, 0, 0},
        {"bytes, empty", STR_INIT("\x0a\x00"), ERR_OK, 1, 0},
        {"bytes longer than the message", STR_INIT("\x0a\x03xy"), ERR_MALFORMED, 0, 0},
        {"a length near 2^64", STR_INIT("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01xy"), ERR_MALFORMED, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct protobuf_field f = {.number = 77};
        size_t left;
        enum err e = first_of(rows[i].in, &f, &left);
        if (e != rows[i].want) fail_msg("%s: %s", rows[i].name, err_name(e));
        if (e != ERR_OK) {
            assert_int_equal(f.number, 77);
            continue;
        }
        if (f.number != rows[i].number || f.value != rows[i].value || left) fail_msg("%s: other", rows[i].name);
    }
}

static void writes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096);
    protobuf_uint(&b, 1, 150);
    protobuf_int(&b, 2, -1);
    protobuf_fixed64(&b, 3, 0x0102030405060708u);
    protobuf_fixed32(&b, 4, 0x01020304u);
    protobuf_text(&b, 5, STR("gr\xc3\xbc\xc3\x9f"));
    assert_str(buf_str(&b), STR("\x08\x96\x01"
                                "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                "\x19\x08\x07\x06\x05\x04\x03\x02\x01"
                                "\x25\x04\x03\x02\x01"
                                "\x2a\x06gr\xc3\xbc\xc3\x9f"));
    buf_clear(&b);
    protobuf_text(&b, 1,
                  STR("a\xff"
                      "b\xc3"));
    assert_str(buf_str(&b), STR("\x0a\x08"
                                "a\xef\xbf\xbd"
                                "b\xef\xbf\xbd"));
    buf_free(&b);
}

/* A message in a message in a message, around the lengths where the length itself grows by a byte. */
static void nests(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16370, 16384, 70000};
    char *content = malloc(70000);
    assert_non_null(content);
    memset(content, 'x', 70000);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf b;
        struct protobuf_field f;
        buf_init(&b, 1 << 20);
        size_t one = protobuf_open(&b, 1), two = protobuf_open(&b, 2);
        protobuf_bytes(&b, 3, str_make(content, sizes[i]));
        protobuf_close(&b, two);
        protobuf_uint(&b, 4, 7);
        protobuf_close(&b, one);
        assert_false(b.bad);
        str rest = buf_str(&b);
        assert_err(protobuf_next(&rest, &f), ERR_OK);
        assert_int_equal(rest.n, 0);
        str inner = f.bytes;
        assert_err(protobuf_next(&inner, &f), ERR_OK);
        assert_int_equal(f.number, 2);
        str innermost = f.bytes;
        assert_err(protobuf_next(&inner, &f), ERR_OK);
        assert_int_equal(f.value, 7);
        assert_int_equal(inner.n, 0);
        assert_err(protobuf_next(&innermost, &f), ERR_OK);
        assert_str(f.bytes, str_make(content, sizes[i]));
        assert_int_equal(innermost.n, 0);
        buf_free(&b);
    }
    free(content);
}

/* Cut at every byte, a message is refused or ends: nothing is read behind it. */
static void cut_everywhere(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096);
    protobuf_uint(&b, 1, UINT64_MAX);
    protobuf_bytes(&b, 2, STR("hello"));
    protobuf_fixed64(&b, 3, 9);
    for (size_t n = 0; n <= b.n; n++) {
        char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, b.p, n);
        str rest = str_make(exact, n);
        struct protobuf_field f;
        enum err e;
        while ((e = protobuf_next(&rest, &f)) == ERR_OK) continue;
        assert_err(e, n == 0 || n == 11 || n == 18 || n == 27 ? ERR_NOT_FOUND : ERR_MALFORMED);
        free(exact);
    }
    buf_free(&b);
}

/* What does not fit leaves the buffer bad, and nothing else. */
static void full(void **state)
{
    (void)state;
    for (size_t max = 0; max < 40; max++) {
        struct buf b;
        buf_init(&b, max);
        size_t one = protobuf_open(&b, 1);
        protobuf_text(&b, 2, STR("0123456789\xff"));
        protobuf_close(&b, one);
        assert_int_equal(b.bad, max < 17);
        assert_true(b.n <= max);
        buf_free(&b);
    }
    EACH_ALLOC_FAILING({
        struct buf b;
        buf_init(&b, 1 << 16);
        size_t one = protobuf_open(&b, 1);
        for (unsigned i = 0; i < 300; i++) protobuf_uint(&b, 2, i);
        protobuf_close(&b, one);
        buf_free(&b);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),          cmocka_unit_test(writes), cmocka_unit_test(nests),
        cmocka_unit_test(cut_everywhere), cmocka_unit_test(full),
    };
    return cmocka_run_group_tests_name("protobuf", tests, NULL, NULL);
}
