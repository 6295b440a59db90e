#include "unit.h"

#include "identity/apikey.h"

static void fresh_keys_parse(void **state)
{
    (void)state;
    static const char *const envs[] = {"dev", "prod", "a", "0", "abcdefghijkl"};
    for (size_t i = 0; i < ARRAY_LEN(envs); i++) {
        char text[APIKEY_MAX_LEN], again[APIKEY_MAX_LEN];
        size_t n, again_n;
        struct apikey k;
        unsigned char digest[SHA256_LEN];
        assert_err(apikey_generate(str_of(envs[i]), text, &n), ERR_OK);
        assert_err(apikey_generate(str_of(envs[i]), again, &again_n), ERR_OK);
        str whole = {text, n};
        assert_false(str_eq(whole, str_make(again, again_n)));
        assert_err(apikey_parse(whole, &k), ERR_OK);
        assert_str(k.env, str_of(envs[i]));
        assert_int_equal(k.id.n, APIKEY_NEW_ID_LEN);
        assert_int_equal(k.secret.n, APIKEY_SECRET_LEN);
        sha256(whole, digest);
        assert_true(apikey_matches(whole, digest));
        assert_false(apikey_matches(str_make(again, again_n), digest));
        digest[31] ^= 1;
        assert_false(apikey_matches(whole, digest));
    }
}

static void envs_are_short_lower_case_words(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "Dev", "dev_", "de-v", "abcdefghijklm", "d v", "\xc3\xa9"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[APIKEY_MAX_LEN];
        size_t n = 42;
        assert_err(apikey_generate(str_of(bad[i]), text, &n), ERR_MALFORMED);
        assert_int_equal(n, 42);
    }
}

/* Whatever byte is changed, cut off or added: the checksum or the form does not hold. */
static void every_slip_is_noticed(void **state)
{
    (void)state;
    char text[APIKEY_MAX_LEN + 2];
    size_t n;
    struct apikey k;
    assert_err(apikey_generate(STR("dev"), text, &n), ERR_OK);
    str whole = {text, n};
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < 256; c++) {
            char was = text[i];
            text[i] = (char)c;
            assert_err(apikey_parse(whole, &k), (char)c == was ? ERR_OK : ERR_MALFORMED);
            text[i] = was;
        }
    for (size_t i = 0; i < n; i++) {
        assert_err(apikey_parse(str_first(whole, i), &k), ERR_MALFORMED);
        if (i) assert_err(apikey_parse(str_from(whole, i), &k), ERR_MALFORMED);
    }
    static const char more[] = "0a_ \n,\0";
    for (size_t i = 0; i < sizeof more; i++) {
        text[n] = more[i];
        assert_err(apikey_parse(str_make(text, n + 1), &k), ERR_MALFORMED);
    }
    static const char *const bad[] = {
        "",
        "sp_",
        "sp__",
        "sp___",
        "sp_dev_abcdefgh_",
        "SP_dev_abcdefgh_0000000000000000000000000000000",
        "sp_dev_ABCDEFGH_0000000000000000000000000000000",
        "sp_dev_abcdefg_00000000000000000000000000000000",
        "sp_dev_abcdefghabcdefghi_0000000000000000000000",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_err(apikey_parse(str_of(bad[i]), &k), ERR_MALFORMED);
}

static void ids_of_every_length_are_taken(void **state)
{
    (void)state;
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t len = APIKEY_ID_MIN - 1; len <= APIKEY_ID_MAX + 1; len++) {
        char text[APIKEY_MAX_LEN + 8];
        int n = snprintf(text, sizeof text, "sp_prod_%.*s_ABCDEFGHIJKLMNOPQRSTUVWX", (int)len, "a1b2c3d4e5f6g7h8i");
        assert_true(n > 0);
        uint32_t crc = crc32_of(str_make(text, (size_t)n));
        for (int i = APIKEY_CHECKSUM_LEN; i-- > 0; crc /= 62) text[n + i] = digits[crc % 62];
        struct apikey k;
        enum err want = len >= APIKEY_ID_MIN && len <= APIKEY_ID_MAX ? ERR_OK : ERR_MALFORMED;
        assert_err(apikey_parse(str_make(text, (size_t)n + APIKEY_CHECKSUM_LEN), &k), want);
        if (want == ERR_OK) assert_int_equal(k.id.n, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_keys_parse),
        cmocka_unit_test(envs_are_short_lower_case_words),
        cmocka_unit_test(every_slip_is_noticed),
        cmocka_unit_test(ids_of_every_length_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
