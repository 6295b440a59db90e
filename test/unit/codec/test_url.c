#include "unit.h"

#include "codec/url.h"

#define S(x) STR_INIT(x)

static const struct {
    const char *name;
    str in;
    const char *out; /* NULL: refused */
    enum path_fault fault;
} paths[] = {
    {"root", S("/"), "/", 0},
    {"plain", S("/orders/12/items"), "/orders/12/items", 0},
    {"a trailing slash stays", S("/orders/"), "/orders/", 0},
    {"case stays", S("/Orders/A"), "/Orders/A", 0},
    {"reserved bytes stay raw", S("/a!$&'()*+,=:@b/-._~z"), "/a!$&'()*+,=:@b/-._~z", 0},
    {"dots inside and before", S("/.well-known/a.b..c/...d"), "/.well-known/a.b..c/...d", 0},
    {"unreserved is decoded", S("/%41%7a%2D%5f%7E%30"), "/Az-_~0", 0},
    {"digits become upper case", S("/%3a%2b%c3%a9"), "/%3A%2B%C3%A9", 0},
    {"canonical already", S("/%3A%20%23%3F%C3%A9%E2%82%AC%F0%9F%98%80"), "/%3A%20%23%3F%C3%A9%E2%82%AC%F0%9F%98%80", 0},
    {"canonical, a letter behind the escape", S("/%C3%A9b/%3Af"), "/%C3%A9b/%3Af", 0},
    {"a dot that is decoded inside", S("/a%2eb"), "/a.b", 0},
    {"the first character that is no control", S("/%C2%A0"), "/%C2%A0", 0},
    {"a percent sign", S("/100%25/x"), "/100%25/x", 0},
    {"a percent sign and one digit", S("/%254"), "/%254", 0},
    {"two percent signs", S("/%25%25"), "/%25%25", 0},

    {"empty", S(""), NULL, PATH_FAULT_FORM},
    {"star", S("*"), NULL, PATH_FAULT_FORM},
    {"relative", S("a/b"), NULL, PATH_FAULT_FORM},
    {"encoded slash first", S("%2fa"), NULL, PATH_FAULT_FORM},
    {"two slashes first", S("//a"), NULL, PATH_FAULT_EMPTY_SEGMENT},
    {"two slashes inside", S("/a//b"), NULL, PATH_FAULT_EMPTY_SEGMENT},
    {"two slashes last", S("/a//"), NULL, PATH_FAULT_EMPTY_SEGMENT},
    {"only slashes", S("//"), NULL, PATH_FAULT_EMPTY_SEGMENT},
    {"dot", S("/."), NULL, PATH_FAULT_DOT_SEGMENT},
    {"dot inside", S("/a/./b"), NULL, PATH_FAULT_DOT_SEGMENT},
    {"two dots", S("/.."), NULL, PATH_FAULT_DOT_SEGMENT},
    {"two dots inside", S("/a/../b"), NULL, PATH_FAULT_DOT_SEGMENT},
    {"two dots and a slash", S("/a/../"), NULL, PATH_FAULT_DOT_SEGMENT},
    {"encoded dots", S("/a/%2e%2e/b"), NULL, PATH_FAULT_DOT_SEGMENT},
    {"half encoded dots", S("/a/.%2E/b"), NULL, PATH_FAULT_DOT_SEGMENT},
    {"other half", S("/a/%2E."), NULL, PATH_FAULT_DOT_SEGMENT},
    {"encoded dot", S("/%2e/"), NULL, PATH_FAULT_DOT_SEGMENT},
    {"three dots", S("/a/.../b"), NULL, PATH_FAULT_TRAILING_DOT},
    {"trailing dot", S("/a."), NULL, PATH_FAULT_TRAILING_DOT},
    {"trailing dot inside", S("/a./b"), NULL, PATH_FAULT_TRAILING_DOT},
    {"trailing dot encoded", S("/a%2e/b"), NULL, PATH_FAULT_TRAILING_DOT},
    {"encoded slash", S("/a%2fb"), NULL, PATH_FAULT_ENCODED},
    {"encoded slash, upper case", S("/a%2Fb"), NULL, PATH_FAULT_ENCODED},
    {"encoded backslash", S("/a%5cb"), NULL, PATH_FAULT_ENCODED},
    {"encoded NUL", S("/a%00"), NULL, PATH_FAULT_ENCODED},
    {"encoded LF", S("/a%0a"), NULL, PATH_FAULT_ENCODED},
    {"encoded unit separator", S("/a%1F"), NULL, PATH_FAULT_ENCODED},
    {"encoded DEL", S("/a%7f"), NULL, PATH_FAULT_ENCODED},
    {"the last control", S("/a%c2%9f"), NULL, PATH_FAULT_ENCODED},
    {"encoded C1", S("/a%c2%85"), NULL, PATH_FAULT_ENCODED},
    {"backslash", S("/a\\b"), NULL, PATH_FAULT_BYTE},
    {"backslashes and dots", S("/..\\..\\x"), NULL, PATH_FAULT_BYTE},
    {"blank", S("/a b"), NULL, PATH_FAULT_BYTE},
    {"quote", S("/a\"b"), NULL, PATH_FAULT_BYTE},
    {"brace", S("/{a}"), NULL, PATH_FAULT_BYTE},
    {"bracket", S("/[a]"), NULL, PATH_FAULT_BYTE},
    {"fragment", S("/a#b"), NULL, PATH_FAULT_BYTE},
    {"query", S("/a?b"), NULL, PATH_FAULT_BYTE},
    {"raw NUL", S("/a\0b"), NULL, PATH_FAULT_BYTE},
    {"raw LF", S("/a\nb"), NULL, PATH_FAULT_BYTE},
    {"raw UTF-8", S("/\xc3\xa9"), NULL, PATH_FAULT_BYTE},
    {"parameter", S("/a;x=1/b"), NULL, PATH_FAULT_PARAMETER},
    {"dots and a parameter", S("/..;/b"), NULL, PATH_FAULT_PARAMETER},
    {"encoded parameter", S("/a%3bx"), NULL, PATH_FAULT_PARAMETER},
    {"double slash", S("/a%252fb"), NULL, PATH_FAULT_DOUBLE},
    {"double dot", S("/%252e%252e/"), NULL, PATH_FAULT_DOUBLE},
    {"double, a digit encoded", S("/a%25%32fb"), NULL, PATH_FAULT_DOUBLE},
    {"double, both digits encoded", S("/a%25%32%46b"), NULL, PATH_FAULT_DOUBLE},
    {"triple", S("/a%25252fb"), NULL, PATH_FAULT_DOUBLE},
    {"escape without digits", S("/a%"), NULL, PATH_FAULT_ESCAPE},
    {"escape with one digit", S("/a%2"), NULL, PATH_FAULT_ESCAPE},
    {"escape with no hex", S("/a%zz"), NULL, PATH_FAULT_ESCAPE},
    {"escape with half hex", S("/a%2g"), NULL, PATH_FAULT_ESCAPE},
    {"escape over the slash", S("/a%2/f"), NULL, PATH_FAULT_ESCAPE},
    {"%u", S("/a%u002f"), NULL, PATH_FAULT_ESCAPE},
    {"overlong slash", S("/a%c0%af"), NULL, PATH_FAULT_UTF8},
    {"overlong dot", S("/%c0%ae%c0%ae/"), NULL, PATH_FAULT_UTF8},
    {"overlong in three", S("/%e0%80%af"), NULL, PATH_FAULT_UTF8},
    {"surrogate", S("/%ed%a0%80"), NULL, PATH_FAULT_UTF8},
    {"above the last", S("/%f4%90%80%80"), NULL, PATH_FAULT_UTF8},
    {"continuation alone", S("/%80"), NULL, PATH_FAULT_UTF8},
    {"cut short", S("/%e2%82"), NULL, PATH_FAULT_UTF8},
    {"cut by a letter", S("/%c3a"), NULL, PATH_FAULT_UTF8},
    {"cut by an encoded letter", S("/%c3%41"), NULL, PATH_FAULT_UTF8},
    {"%ff", S("/%ff"), NULL, PATH_FAULT_UTF8},
};

static void paths_have_one_form_or_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct arena mem;
        arena_init(&mem, NULL, 0, 1 << 16);
        char *copy = malloc(paths[i].in.n + 1);
        assert_non_null(copy);
        memcpy(copy, paths[i].in.p, paths[i].in.n);
        str in = str_make(copy, paths[i].in.n), out = STR("before");
        enum path_fault fault = PATH_FAULT_NONE;
        enum err e = path_canonical(in, &mem, &out, &fault);
        if ((e == ERR_OK) != (paths[i].out != NULL) || fault != paths[i].fault)
            fail_msg("%s: %s (%s)", paths[i].name, err_name(e), path_fault_name(fault));
        assert_str(out, paths[i].out ? str_of(paths[i].out) : STR("before"));
        if (e == ERR_OK) {
            /* canonical in, the same slice out, and nothing allocated for it */
            str again;
            assert_err(path_canonical(out, NULL, &again, &fault), ERR_OK);
            assert_ptr_equal(again.p, out.p);
            assert_int_equal(again.n, out.n);
            if (str_eq(in, out)) assert_ptr_equal(in.p, out.p);
        }
        arena_reset(&mem);
        free(copy);
    }
}

static void memory_may_be_out(void **state)
{
    (void)state;
    EACH_ALLOC_FAILING({
        struct arena mem;
        arena_init(&mem, NULL, 0, 1 << 16);
        str out = STR("before");
        enum path_fault fault = PATH_FAULT_NONE;
        enum err e = path_canonical(STR("/%41"), &mem, &out, &fault);
        assert_err(e, alloc_fail_hit() ? ERR_NO_MEMORY : ERR_OK);
        assert_str(out, e == ERR_OK ? STR("/A") : STR("before"));
        assert_int_equal(fault, e == ERR_OK ? PATH_FAULT_NONE : PATH_FAULT_MEMORY);
        e = percent_decode(STR("%41"), &mem, &out);
        assert_true(e == ERR_OK || alloc_fail_hit());
        arena_reset(&mem);
    });
}

static void literals_have_no_second_spelling(void **state)
{
    (void)state;
    assert_true(path_literal_ok(STR("orders-v1.2_x~")));
    static const char *const bad[] = {"", "a:b", "a@b", "a%20", "a/b", "a.", "..", "a b", "a+b", "\xc3\xa9"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(path_literal_ok(str_of(bad[i])));
}

static void escapes_are_decoded(void **state)
{
    (void)state;
    struct arena mem;
    arena_init(&mem, NULL, 0, 1 << 16);
    str out, in = STR("plain");
    assert_err(percent_decode(in, &mem, &out), ERR_OK);
    assert_ptr_equal(out.p, in.p);
    assert_err(percent_decode(STR("%41%2f%c3%A9%25+"), &mem, &out), ERR_OK);
    assert_str(out, STR("A/\xc3\xa9%+"));
    static const char *const bad[] = {"%", "%4", "a%4g", "%00"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_err(percent_decode(str_of(bad[i]), &mem, &out), ERR_MALFORMED);
    assert_err(percent_decode(str_make("%41\0", 4), &mem, &out), ERR_MALFORMED);
    arena_reset(&mem);
}

static void tables_are_the_grammar(void **state)
{
    (void)state;
    for (int b = 0; b < 256; b++) {
        bool digit = b >= '0' && b <= '9', hex = digit || (b >= 'a' && b <= 'f') || (b >= 'A' && b <= 'F');
        bool alnum = digit || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z');
        bool unreserved = alnum || (b && strchr("-._~", b));
        bool path = unreserved || (b && strchr("!$&'()*+,=:@/", b));
        unsigned want = (unreserved ? URL_UNRESERVED : 0) | (path ? URL_PATH : 0) | (hex ? URL_HEX : 0) |
                        (path || (b && strchr(";?%[]", b)) ? URL_TARGET : 0) |
                        (alnum || b == '-' || b == '_' ? URL_HOST : 0);
        assert_int_equal(url_class[b], want);
    }
}

static void queries_are_checked_for_bytes(void **state)
{
    (void)state;
    assert_true(url_query_ok(STR("")));
    assert_true(url_query_ok(STR("a=b&c[]=%20%zz;d?/:@!$'()*+,-._~")));
    static const char *const bad[] = {"a b", "a#b", "\"", "<", ">", "\\", "^", "`", "{", "|", "}", "\x7f", "\xc3\xa9"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(url_query_ok(str_of(bad[i])));
    assert_false(url_query_ok(str_make("a\0", 2)));
}

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123"

static void hosts_are_names_or_canonical_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        enum host_kind kind;
    } good[] = {
        {"a", HOST_NAME},
        {"a.example", HOST_NAME},
        {"a.example.", HOST_NAME},
        {"A-b_c.9x", HOST_NAME},
        {"1.2.3.4x", HOST_NAME},
        {"0xg", HOST_NAME},
        {"xn--bcher-kva.example", HOST_NAME},
        {L63 "." L63 "." L63 "."
             "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1",
         HOST_NAME},
        {"1.2.3.4", HOST_IPV4},
        {"0.0.0.0", HOST_IPV4},
        {"255.255.255.255", HOST_IPV4},
        {"[::]", HOST_IPV6},
        {"[::1]", HOST_IPV6},
        {"[1::]", HOST_IPV6},
        {"[2001:db8:0:1:2:3:4:5]", HOST_IPV6},
        {"[2001:DB8::5]", HOST_IPV6},
        {"[::ffff:1.2.3.4]", HOST_IPV6},
        {"[1:2:3:4:5:6:1.2.3.4]", HOST_IPV6},
        {"[1:2:3:4:5:6:7::]", HOST_IPV6},
        {"[::2:3:4:5:6:7:8]", HOST_IPV6},
    };
    static const char *const bad[] = {"", ".", "..", ".a", "a..b", "a..", "-a", "a b", "a/b", "a@b", "a%41", "a,b",
                                      "a;b", "a\xc3\xa9", "a:", L63 "4", L63 "4.a", "a." L63 "4",
                                      L63 "." L63 "." L63 "."
                                          "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12",
                                      /* numbers that are not dotted quads */
                                      "1", "1.", "127.1", "1.2.3", "1.2.3.4.5", "1.2.3.4.", "256.1.1.1", "01.2.3.4",
                                      "1.2.3.04", "0x7f000001", "0x7f.0.0.1", "a.0x1", "a.1", "0x", "2130706433",
                                      "1.2.3.1000",
                                      /* IPv6 */
                                      "[", "[]", "]", "[:]", "[:::]", "[::1", "::1", "[1]", "[1:2:3:4:5:6:7]",
                                      "[1:2:3:4:5:6:7:8:9]", "[1::2::3]", "[12345::]", "[::g]", "[fe80::1%eth0]",
                                      "[1:2:3:4:5:6:7:8::]", "[::1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:]",
                                      "[:1:2:3:4:5:6:7]", "[1.2.3.4]", "[::1.2.3]", "[::01.2.3.4]",
                                      "[1:2:3:4:5:6:7:1.2.3.4]", "[::1.2.3.4:1]", "[[::1]]", "[::1]x", "[v1.a]"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        enum host_kind kind = (enum host_kind)9;
        if (url_host(str_of(good[i].host), &kind) != ERR_OK || kind != good[i].kind)
            fail_msg("%s: %d", good[i].host, (int)kind);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        enum host_kind kind;
        if (url_host(str_of(bad[i]), &kind) != ERR_MALFORMED) fail_msg("%s is taken", bad[i]);
    }
}

static void authorities_split(void **state)
{
    (void)state;
    struct authority a;
    assert_err(url_authority(STR("a.example"), &a), ERR_OK);
    assert_int_equal(a.port, 0);
    assert_err(url_authority(STR("a.example:65535"), &a), ERR_OK);
    assert_str(a.host, STR("a.example"));
    assert_int_equal(a.port, 65535);
    assert_err(url_authority(STR("[::1]:1"), &a), ERR_OK);
    assert_str(a.host, STR("::1"));
    assert_int_equal(a.kind, HOST_IPV6);
    assert_int_equal(a.port, 1);
    static const char *const bad[] = {"",        ":80",     "a:",           "a:0",      "a:00080",
                                      "a:65536", "a:99999", "a:8080808080", "a:+1",     "a:1a",
                                      "a:1:1",   "u@a",     "u:p@a",        "[::1]a:1", "[::1]1",
                                      "[::1",    "a:0x50",  "a: 80",        "a:80 "};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (url_authority(str_of(bad[i]), &a) != ERR_MALFORMED) fail_msg("%s is taken", bad[i]);
}

static void urls_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool tls;
        const char *host;
        uint16_t port;
        const char *authority, *target, *path, *query;
    } good[] = {
        {"https://idp.example", true, "idp.example", 443, "idp.example", "/", "/", NULL},
        {"http://idp.example/", false, "idp.example", 80, "idp.example", "/", "/", NULL},
        {"HTTPS://h:8443/a/b%20c;v=1?d=/?&[x]", true, "h", 8443, "h:8443", "/a/b%20c;v=1?d=/?&[x]", "/a/b%20c;v=1",
         "d=/?&[x]"},
        {"http://[::1]:80/?", false, "::1", 80, "[::1]:80", "/?", "/", ""},
        {"http://a/%20", false, "a", 80, "a", "/%20", "/%20", NULL},
        {"http://10.0.0.1:9/k", false, "10.0.0.1", 9, "10.0.0.1:9", "/k", "/k", NULL},
    };
    static const struct {
        const char *in;
        enum url_fault fault;
    } bad[] = {
        {"", URL_FAULT_SCHEME},
        {"/a", URL_FAULT_SCHEME},
        {"ftp://a/", URL_FAULT_SCHEME},
        {"file:///etc/passwd", URL_FAULT_SCHEME},
        {"http:/a", URL_FAULT_SCHEME},
        {"https:a", URL_FAULT_SCHEME},
        {" http://a/", URL_FAULT_SCHEME},
        {"http://", URL_FAULT_HOST},
        {"http:///a", URL_FAULT_HOST},
        {"http://a b/", URL_FAULT_HOST},
        {"http://a?x", URL_FAULT_HOST},
        {"http://a\\b/", URL_FAULT_HOST},
        {"http://0x7f.1/", URL_FAULT_HOST},
        {"http://2130706433/", URL_FAULT_HOST},
        {"http://0177.0.0.1/", URL_FAULT_HOST},
        {"http://a:0/", URL_FAULT_HOST},
        {"http://a:/", URL_FAULT_HOST},
        {"http://u@a/", URL_FAULT_USERINFO},
        {"http://u:p@a/", URL_FAULT_USERINFO},
        {"http://good.example@evil.example/", URL_FAULT_USERINFO},
        {"http://a/#x", URL_FAULT_FRAGMENT},
        {"http://a#@b/", URL_FAULT_FRAGMENT},
        {"http://a/ b", URL_FAULT_PATH},
        {"http://a/%", URL_FAULT_PATH},
        {"http://a/%zz", URL_FAULT_PATH},
        {"http://a/\xc3\xa9", URL_FAULT_PATH},
        {"http://a/\r\nX: y", URL_FAULT_PATH},
        {"http://a/%20\"", URL_FAULT_PATH},
        {"http://a/?\"", URL_FAULT_PATH},
    };
    struct url u;
    enum url_fault fault;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_err(url_parse(str_of(good[i].in), &u, &fault), ERR_OK);
        assert_int_equal(u.tls, good[i].tls);
        assert_str(u.host, str_of(good[i].host));
        assert_int_equal(u.port, good[i].port);
        assert_str(u.authority, str_of(good[i].authority));
        assert_str(u.target, str_of(good[i].target));
        assert_str(u.path, str_of(good[i].path));
        assert_int_equal(u.has_query, good[i].query != NULL);
        assert_str(u.query, str_of(good[i].query));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        fault = URL_FAULT_NONE;
        if (url_parse(str_of(bad[i].in), &u, &fault) != ERR_MALFORMED || fault != bad[i].fault)
            fail_msg("%s: %s", bad[i].in, url_fault_name(fault));
    }
    static char big[URL_MAX + 1];
    memset(big, 'a', sizeof big);
    memcpy(big, "http://a/", 9);
    assert_err(url_parse(str_make(big, URL_MAX), &u, &fault), ERR_OK);
    assert_err(url_parse(str_make(big, URL_MAX + 1), &u, &fault), ERR_LIMIT);
    assert_int_equal(fault, URL_FAULT_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_have_one_form_or_none),
        cmocka_unit_test(memory_may_be_out),
        cmocka_unit_test(literals_have_no_second_spelling),
        cmocka_unit_test(escapes_are_decoded),
        cmocka_unit_test(tables_are_the_grammar),
        cmocka_unit_test(queries_are_checked_for_bytes),
        cmocka_unit_test(hosts_are_names_or_canonical_addresses),
        cmocka_unit_test(authorities_split),
        cmocka_unit_test(urls_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
