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

/* A key of any parts with the checksum that belongs to them. */
static str with_checksum(char *text, size_t room, const char *id, const char *secret)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    int n = snprintf(text, room, "sp_prod_%s_%s", id, secret);
    assert_true(n > 0 && (size_t)n + APIKEY_CHECKSUM_LEN <= room);
    uint32_t crc = crc32_of(str_make(text, (size_t)n));
    for (int i = APIKEY_CHECKSUM_LEN; i-- > 0; crc /= 62) text[n + i] = digits[crc % 62];
    return str_make(text, (size_t)n + APIKEY_CHECKSUM_LEN);
}

static void a_right_checksum_is_not_enough(void **state)
{
    (void)state;
    static const struct {
        const char *id, *secret;
        enum err want;
    } rows[] = {
        {"abcdefgh", "ABCDEFGHIJKLMNOPQRSTUVWX", ERR_OK},
        {"abcdefgh", "ABCDEFGHIJKLMNOPQRSTUVW-", ERR_MALFORMED},
        {"abcdefgh", "ABCDEFGHIJKL NOPQRSTUVWX", ERR_MALFORMED},
        {"abcdefgh", "ABCDEFGHIJKL_NOPQRSTUVWX", ERR_MALFORMED},
        {"abcdefgh", "ABCDEFGHIJKL\nNOPQRSTUVWX", ERR_MALFORMED},
        {"abcdefgh", "ABCDEFGHIJKL\xffNOPQRSTUVWX", ERR_MALFORMED},
        {"abcdefgh", "ABCDEFGHIJKLMNOPQRSTUVW", ERR_MALFORMED},
        {"abcdefgh", "ABCDEFGHIJKLMNOPQRSTUVWXY", ERR_MALFORMED},
        {"abcdefg", "ABCDEFGHIJKLMNOPQRSTUVWX", ERR_MALFORMED},
        {"abcdefghijklmnop", "ABCDEFGHIJKLMNOPQRSTUVWX", ERR_OK},
        {"abcdefghijklmnopq", "ABCDEFGHIJKLMNOPQRSTUVWX", ERR_MALFORMED},
        {"Abcdefgh", "ABCDEFGHIJKLMNOPQRSTUVWX", ERR_MALFORMED},
        {"abcd-fgh", "ABCDEFGHIJKLMNOPQRSTUVWX", ERR_MALFORMED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[APIKEY_MAX_LEN + 8];
        struct apikey k;
        enum err e = apikey_parse(with_checksum(text, sizeof text, rows[i].id, rows[i].secret), &k);
        if (e != rows[i].want) fail_msg("%s %s: %s", rows[i].id, rows[i].secret, err_name(e));
        if (e == ERR_OK) assert_str(k.id, str_of(rows[i].id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_keys_parse),
        cmocka_unit_test(envs_are_short_lower_case_words),
        cmocka_unit_test(every_slip_is_noticed),
        cmocka_unit_test(a_right_checksum_is_not_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
