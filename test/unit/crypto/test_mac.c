#include "unit.h"

#include "crypto/mac.h"

static void hex(const char *text, unsigned char *out, size_t *n)
{
    *n = strlen(text) / 2;
    for (size_t i = 0; i < *n; i++) {
        unsigned v;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &v), 1);
        out[i] = (unsigned char)v;
    }
}

/* RFC 4231 §4.2, §4.3, §4.7 */
static void hmac_is_that_of_the_standard(void **state)
{
    static const struct {
        const char *key, *message, *want;
    } cases[] = {{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
                  "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
                 {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
                  "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned char key[64], message[64], want[64], got[SHA256_LEN];
        size_t k, m, w;
        hex(cases[i].key, key, &k);
        hex(cases[i].message, message, &m);
        hex(cases[i].want, want, &w);
        hmac_sha256(str_make((const char *)key, k), str_make((const char *)message, m), got);
        assert_memory_equal(got, want, w);
    }
    unsigned char key[131], got[SHA256_LEN], want[SHA256_LEN];
    size_t w;
    memset(key, 0xaa, sizeof key);
    hmac_sha256(str_make((const char *)key, sizeof key), STR("Test Using Larger Than Block-Size Key - Hash Key First"),
                got);
    hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", want, &w);
    assert_memory_equal(got, want, w);
}

/* RFC 5869 A.1, A.3 */
static void hkdf_is_that_of_the_standard(void **state)
{
    static const struct {
        const char *key, *salt, *info, *want;
    } cases[] = {{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
                  "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
                 {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
                  "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned char key[64], salt[64], info[64], want[64], got[64];
        size_t k, s, n, w;
        hex(cases[i].key, key, &k);
        hex(cases[i].salt, salt, &s);
        hex(cases[i].info, info, &n);
        hex(cases[i].want, want, &w);
        assert_err(hkdf_sha256(str_make((const char *)key, k), str_make((const char *)salt, s),
                               str_make((const char *)info, n), got, w),
                   ERR_OK);
        assert_memory_equal(got, want, w);
    }
    static unsigned char many[255 * 32 + 1];
    assert_err(hkdf_sha256(STR("k"), STR(""), STR(""), many, sizeof many - 1), ERR_OK);
    assert_err(hkdf_sha256(STR("k"), STR(""), STR(""), many, sizeof many), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hmac_is_that_of_the_standard),
                                       cmocka_unit_test(hkdf_is_that_of_the_standard)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
