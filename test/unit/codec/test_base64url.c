#include "unit.h"

#include "codec/base64url.h"

/* Decodes from a copy of exactly that size into a room of exactly the promised size, so that a sanitizer sees a
 * byte too far on either side. */
static enum err decode(str in, unsigned char *out, size_t *n)
{
    char *exact = malloc(in.n ? in.n : 1);
    unsigned char *room = malloc(base64url_decoded_max(in.n));
    assert_true(exact && room);
    if (in.n) memcpy(exact, in.p, in.n);
    enum err e = base64url_decode(str_make(exact, in.n), room, n);
    if (e == ERR_OK) memcpy(out, room, *n);
    free(exact);
    free(room);
    return e;
}

static void table(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        enum err want;
        str bytes;
    } rows[] = {
        {"empty", "", ERR_OK, STR_INIT("")},
        {"one byte", "Zg", ERR_OK, STR_INIT("f")},
        {"two bytes", "Zm8", ERR_OK, STR_INIT("fo")},
        {"three bytes", "Zm9v", ERR_OK, STR_INIT("foo")},
        {"six bytes", "Zm9vYmFy", ERR_OK, STR_INIT("foobar")},
        {"both of its own characters", "-_-_", ERR_OK, STR_INIT("\xfb\xff\xbf")},
        {"zeros", "AAAA", ERR_OK, STR_INIT("\0\0\0")},
        {"4n+1", "A", ERR_MALFORMED, STR_INIT("")},
        {"4n+1, longer", "Zm9vY", ERR_MALFORMED, STR_INIT("")},
        {"padding 2", "Zg==", ERR_MALFORMED, STR_INIT("")},
        {"padding 1", "Zm8=", ERR_MALFORMED, STR_INIT("")},
        {"padding alone", "====", ERR_MALFORMED, STR_INIT("")},
        {"half the padding", "Zg=", ERR_MALFORMED, STR_INIT("")},
        {"plus", "Zm+v", ERR_MALFORMED, STR_INIT("")},
        {"slash", "Zm/v", ERR_MALFORMED, STR_INIT("")},
        {"blank before", " Zm9v", ERR_MALFORMED, STR_INIT("")},
        {"blank in four", "Zm v", ERR_MALFORMED, STR_INIT("")},
        {"new line behind", "Zm9v\r\n", ERR_MALFORMED, STR_INIT("")},
        {"new line in the tail", "Zg\n", ERR_MALFORMED, STR_INIT("")},
        {"dot", "Zm.v", ERR_MALFORMED, STR_INIT("")},
        {"high byte", "Zm\xc3\xa9", ERR_MALFORMED, STR_INIT("")},
        {"tail bits of one byte", "Zh", ERR_MALFORMED, STR_INIT("")},
        {"highest tail bit of one byte", "Zo", ERR_MALFORMED, STR_INIT("")},
        {"tail bits of two bytes", "Zm9", ERR_MALFORMED, STR_INIT("")},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char out[64] = {0};
        size_t n = 77;
        enum err e = decode(str_of(rows[i].in), out, &n);
        if (e != rows[i].want) fail_msg("%s: %s", rows[i].name, err_name(e));
        if (e == ERR_OK)
            assert_str(str_make((char *)out, n), rows[i].bytes);
        else
            assert_int_equal(n, 77); /* outputs only on success */
    }
}

/* Every byte value at every place of a group and of both tails: exactly the 64 characters pass. */
static void alphabet_is_closed(void **state)
{
    (void)state;
    const str alphabet = STR("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    for (size_t len = 2; len <= 9; len++) {
        if (len % 4 == 1) continue;
        for (size_t place = 0; place < len; place++) {
            unsigned accepted = 0;
            for (int c = 0; c < 256; c++) {
                char in[16];
                memset(in, 'A', sizeof in);
                in[place] = (char)c;
                unsigned char out[16];
                size_t n;
                if (decode(str_make(in, len), out, &n) != ERR_OK) continue;
                accepted++;
                assert_true(str_has(alphabet, (char)c));
            }
            bool last = place == len - 1;
            assert_int_equal(accepted, last && len % 4 == 2 ? 4 : last && len % 4 == 3 ? 16 : 64);
        }
    }
}

/* decode(encode(x)) = x for every length, and no other text stands for the same bytes. */
static void round_trip_is_the_only_one(void **state)
{
    (void)state;
    unsigned char bytes[200], back[208];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 167 + 13);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        char text[300];
        memset(text, '#', sizeof text);
        base64url_encode(bytes, n, text);
        size_t len = base64url_encoded_len(n), got;
        assert_int_equal(text[len], '#');
        assert_err(decode(str_make(text, len), back, &got), ERR_OK);
        assert_int_equal(got, n);
        assert_memory_equal(back, bytes, n);
        assert_true(got <= base64url_decoded_max(len));
        for (size_t cut = 0; cut < len; cut++) { /* every prefix: refused, or the bytes that are whole in it */
            if (decode(str_make(text, cut), back, &got) != ERR_OK) continue;
            assert_int_equal(base64url_encoded_len(got), cut);
            assert_memory_equal(back, bytes, got);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(alphabet_is_closed),
        cmocka_unit_test(round_trip_is_the_only_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
