#include "unit.h"

#include "config/values.h"

static void sizes_and_times(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum err size, time;
        uint64_t bytes, ms;
    } rows[] = {
        {"0", ERR_OK, ERR_MALFORMED, 0, 0},
        {"4096", ERR_OK, ERR_MALFORMED, 4096, 0},
        {"1B", ERR_OK, ERR_MALFORMED, 1, 0},
        {"16kB", ERR_OK, ERR_MALFORMED, 16384, 0},
        {"64MB", ERR_OK, ERR_MALFORMED, 64 << 20, 0},
        {"2GB", ERR_OK, ERR_MALFORMED, UINT64_C(2) << 30, 0},
        {"16KB", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"16kb", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"16k", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"16 kB", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"16kB ", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"1.5MB", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"-1", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"+1kB", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"kB", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"99999999999999999999", ERR_LIMIT, ERR_LIMIT, 0, 0},
        {"18446744073709551615kB", ERR_LIMIT, ERR_MALFORMED, 0, 0},
        {"18446744073709551615h", ERR_MALFORMED, ERR_LIMIT, 0, 0},
        {"500ms", ERR_MALFORMED, ERR_OK, 0, 500},
        {"10s", ERR_MALFORMED, ERR_OK, 0, 10000},
        {"5m", ERR_MALFORMED, ERR_OK, 0, 300000},
        {"1h", ERR_MALFORMED, ERR_OK, 0, 3600000},
        {"1M", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"1m30s", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
        {"10sec", ERR_MALFORMED, ERR_MALFORMED, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t bytes = 0, ms = 0;
        enum err size = value_size(str_of(rows[i].in), &bytes), time = value_duration(str_of(rows[i].in), &ms);
        if (size != rows[i].size || time != rows[i].time || bytes != rows[i].bytes || ms != rows[i].ms)
            fail_msg("'%s': %s %llu, %s %llu", rows[i].in, err_name(size), (unsigned long long)bytes, err_name(time),
                     (unsigned long long)ms);
    }
}

static void numbers_are_written_as_they_are_read(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, 512, 1000, 1024, 1025, 16384, 1 << 20, 3 << 20, UINT64_C(1) << 40, 90000};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        char text[VALUE_TEXT];
        uint64_t back = 1;
        value_size_text(numbers[i], text);
        assert_err(value_size(str_of(text), &back), ERR_OK);
        assert_true(back == numbers[i]);
        value_duration_text(numbers[i], text);
        assert_err(value_duration(str_of(text), &back), ERR_OK);
        assert_true(back == numbers[i]);
    }
    char text[VALUE_TEXT];
    value_size_text(16384, text);
    assert_string_equal(text, "16kB");
    value_duration_text(300000, text);
    assert_string_equal(text, "5m");
}

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum err want, with_host; /* where ":8080" is fine; where it is not */
        enum address_kind kind;
        const char *host;
        uint16_t port;
    } rows[] = {
        {":8080", ERR_OK, ERR_MALFORMED, ADDRESS_TCP, "", 8080},
        {"127.0.0.1:80", ERR_OK, ERR_OK, ADDRESS_TCP, "127.0.0.1", 80},
        {"orders.internal:65535", ERR_OK, ERR_OK, ADDRESS_TCP, "orders.internal", 65535},
        {"[::1]:8080", ERR_OK, ERR_OK, ADDRESS_TCP, "::1", 8080},
        {"unix:/run/x.sock", ERR_OK, ERR_OK, ADDRESS_UNIX, "/run/x.sock", 0},
        {"", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {":", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {":0", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {":08080", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {":65536", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {":80a", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {"127.0.0.1", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {"127.0.0.1:", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {"::1:8080", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {"http://x:80", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {"user@x:80", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {"x:80/path", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_TCP, "", 0},
        {"unix:x.sock", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_UNIX, "", 0},
        {"unix:/", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_UNIX, "", 0},
        {"unix:", ERR_MALFORMED, ERR_MALFORMED, ADDRESS_UNIX, "", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_address a = {0};
        const char *why = NULL;
        enum err e = value_address(str_of(rows[i].in), false, &a, &why);
        if (e != rows[i].want) fail_msg("'%s': %s", rows[i].in, err_name(e));
        if (e == ERR_OK) {
            assert_int_equal(a.kind, rows[i].kind);
            assert_str(a.kind == ADDRESS_UNIX ? a.path : a.host, str_of(rows[i].host));
            assert_int_equal(a.port, rows[i].port);
        } else {
            assert_non_null(why);
        }
        assert_err(value_address(str_of(rows[i].in), true, &a, &why), rows[i].with_host);
    }
    char longest[5 + 109];
    struct config_address a;
    const char *why;
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "unix:/", 6);
    assert_err(value_address(str_make(longest, 5 + 107), false, &a, &why), ERR_OK);
    assert_err(value_address(str_make(longest, 5 + 108), false, &a, &why), ERR_MALFORMED);
}

static void networks(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum err want;
        unsigned bits;
    } rows[] = {
        {"10.0.0.0/8", ERR_OK, 8},
        {"192.0.2.7", ERR_OK, 32},
        {"0.0.0.0/0", ERR_OK, 0},
        {"2001:db8::/32", ERR_OK, 32},
        {"::1", ERR_OK, 128},
        {"fe80::/10", ERR_OK, 10},
        {"unix", ERR_OK, 0},
        {"10.0.0.1/8", ERR_MALFORMED, 0},
        {"10.0.0.0/33", ERR_MALFORMED, 0},
        {"2001:db8::/129", ERR_MALFORMED, 0},
        {"2001:db8::1/64", ERR_MALFORMED, 0},
        {"10.0.0.0/", ERR_MALFORMED, 0},
        {"10.0.0/8", ERR_MALFORMED, 0},
        {"010.0.0.0/8", ERR_MALFORMED, 0},
        {"", ERR_MALFORMED, 0},
        {"localhost", ERR_MALFORMED, 0},
        {"10.0.0.0/8/8", ERR_MALFORMED, 0},
        {"Unix", ERR_MALFORMED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_network n = {0};
        const char *why;
        enum err e = value_network(str_of(rows[i].in), &n, &why);
        if (e != rows[i].want || n.bits != rows[i].bits) fail_msg("'%s': %s /%u", rows[i].in, err_name(e), n.bits);
    }
}

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool name, action;
    } rows[] = {
        {"a", true, true},     {"mobile-app_2", true, true}, {"view.order", false, true},
        {"", false, false},    {"2a", false, false},         {"-a", false, false},
        {"a b", false, false}, {"a:b", false, false},        {"\xc3\xa9", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (value_name_ok(str_of(rows[i].in)) != rows[i].name) fail_msg("%s", rows[i].in);
        if (value_action_name_ok(str_of(rows[i].in)) != rows[i].action) fail_msg("%s", rows[i].in);
    }
    assert_false(value_name_ok(STR("a\0b")));
    char longest[65];
    memset(longest, 'x', sizeof longest);
    assert_true(value_name_ok(str_make(longest, 64)));
    assert_false(value_name_ok(str_make(longest, 65)));
    unsigned char digest[32] = {0};
    assert_err(value_sha256(STR("00ff00FF"
                                "00000000"
                                "00000000"
                                "00000000"
                                "00000000"
                                "00000000"
                                "00000000"
                                "000000aB"),
                            digest),
               ERR_OK);
    assert_int_equal(digest[1], 0xff);
    assert_int_equal(digest[31], 0xab);
    assert_err(value_sha256(STR("00"), digest), ERR_MALFORMED);
    assert_err(value_sha256(STR("0g000000"
                                "00000000"
                                "00000000"
                                "00000000"
                                "00000000"
                                "00000000"
                                "00000000"
                                "00000000"),
                            digest),
               ERR_MALFORMED);
}

static void distances(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned want;
    } rows[] = {
        {"", "", 0},
        {"abc", "abc", 0},
        {"abc", "ABC", 0},
        {"abc", "ab", 1},
        {"abc", "abd", 1},
        {"abc", "acb", 1},
        {"abcd", "badc", 2},
        {"viewOder", "viewOrder", 1},
        {"", "abc", 3},
        {"kitten", "sitting", 3},
        {"instnces", "instances", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (value_distance(str_of(rows[i].a), str_of(rows[i].b)) != rows[i].want)
            fail_msg("%s %s", rows[i].a, rows[i].b);
        if (value_distance(str_of(rows[i].b), str_of(rows[i].a)) != rows[i].want)
            fail_msg("%s %s", rows[i].b, rows[i].a);
    }
    char longest[100];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(value_distance(str_make(longest, 65), STR("x")), UINT32_MAX);
    assert_int_equal(value_distance(str_make(longest, 64), str_make(longest, 60)), 4);

    struct value_nearest near = {0};
    value_nearest(&near, STR("limts"), STR("listen"));
    value_nearest(&near, STR("limts"), STR("limits"));
    value_nearest(&near, STR("limts"), STR("hops"));
    assert_str(near.best, STR("limits"));
    near = (struct value_nearest){0};
    value_nearest(&near, STR("xyz"), STR("limits"));
    value_nearest(&near, STR("a"), STR("b"));
    assert_null(near.best.p);
}

static void controls_and_secret_words(void **state)
{
    (void)state;
    assert_false(value_has_control(STR("plain \xc3\xa9 \xe2\x82\xac")));
    assert_true(value_has_control(STR("a\nb")));
    assert_true(value_has_control(STR("a\x7f")));
    assert_true(value_has_control(STR("\xc2\x85"))); /* NEL, a C1 control */
    assert_false(value_has_control(STR("\xc2\xa0")));
    assert_true(value_sounds_secret(STR("  clientSecret: x")));
    assert_true(value_sounds_secret(STR("a sp_prod_k")));
    assert_false(value_sounds_secret(STR("listen: {gateway: x}")));
}

static void rates_have_a_window(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        uint32_t count, window_s; /* 0: refused */
    } rows[] = {{"1/s", 1, 1},       {"5/m", 5, 60},  {"20/h", 20, 3600}, {"1000000/d", 1000000, 86400},
                {"1000001/s", 0, 0}, {"0/s", 0, 0},   {"5", 0, 0},        {"5/", 0, 0},
                {"/s", 0, 0},        {"5/w", 0, 0},   {"5 / s", 0, 0},    {"-5/s", 0, 0},
                {"5/s/m", 0, 0},     {"5.5/s", 0, 0}, {"", 0, 0},         {"5/S", 0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config_rate r = {0};
        enum err e = value_day_rate(str_of(rows[i].in), &r);
        if ((e == ERR_OK) != (rows[i].window_s != 0) || r.count != rows[i].count || r.window_s != rows[i].window_s)
            fail_msg("%s: %s, %u in %u s", rows[i].in, err_name(e), r.count, r.window_s);
        /* attempts to log in are not counted over days */
        bool shorter = rows[i].window_s && rows[i].window_s < 86400;
        assert_int_equal(value_rate(str_of(rows[i].in), &r) == ERR_OK, shorter);
    }
}

static void percentages_are_millionths(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        int64_t ppm; /* -1: refused */
    } rows[] = {{"0%", 0},         {"1%", 10000},      {"100%", 1000000},   {"0.0001%", 1},
                {"12.5%", 125000}, {"99.99%", 999900}, {"100.0%", 1000000}, {"100.0001%", -1},
                {"101%", -1},      {"0.00001%", -1},   {".5%", -1},         {"5.%", -1},
                {"%", -1},         {"", -1},           {"1", -1},           {"-1%", -1},
                {"1.2.3%", -1},    {"1 %", -1},        {"1%%", -1},         {"99999999999999999999%", -1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t ppm = 7;
        enum err e = value_percent(str_of(rows[i].in), &ppm);
        if (e == ERR_OK ? ppm != rows[i].ppm : rows[i].ppm != -1 || ppm != 7)
            fail_msg("%s: %s, %u", rows[i].in, err_name(e), ppm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_have_a_window),
        cmocka_unit_test(percentages_are_millionths),
        cmocka_unit_test(sizes_and_times),
        cmocka_unit_test(numbers_are_written_as_they_are_read),
        cmocka_unit_test(addresses),
        cmocka_unit_test(networks),
        cmocka_unit_test(names),
        cmocka_unit_test(distances),
        cmocka_unit_test(controls_and_secret_words),
    };
    return cmocka_run_group_tests_name("config/values", tests, NULL, NULL);
}
