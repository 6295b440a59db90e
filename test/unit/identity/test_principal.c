#include "unit.h"

#include "identity/issuer.h"
#include "identity/principal.h"

static void values_are_safe_in_headers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in, *want; /* as part of a principal */
    } rows[] = {
        {"plain", "alice", "alice"},
        {"mail", "alice@idp.example", "alice@idp.example"},
        {"percent", "100%", "100%25"},
        {"already encoded", "a%2Cb", "a%252Cb"},
        {"list separator", "a,b", "a%2Cb"},
        {"prefix separator", "other:alice", "other%3Aalice"},
        {"blank", " a b ", "%20a%20b%20"},
        {"line", "a\r\nX-User-Roles: admin", "a%0D%0AX-User-Roles%3A%20admin"},
        {"tab, DEL", "\t\x7f", "%09%7F"},
        {"UTF-8", "J\xc3\xbcrgen", "J%C3%BCrgen"},
        {"bad UTF-8", "\xff\xfe", "%FF%FE"},
        {"signs", "!\"#$&'()*+-./;<=>?@[\\]^_`{|}~", "!\"#$&'()*+-./;<=>?@[\\]^_`{|}~"},
        {"nothing", "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[256], back[256];
        size_t n;
        str in = str_of(rows[i].in);
        char *end = principal_part_encode(in, out);
        str got = str_make(out, (size_t)(end - out));
        assert_str(got, str_of(rows[i].want));
        assert_int_equal(principal_part_encoded_len(in), got.n);
        assert_err(principal_part_decode(got, back, &n), ERR_OK);
        assert_str(str_make(back, n), in);
        end = header_value_encode(in, out);
        got = str_make(out, (size_t)(end - out));
        assert_int_equal(header_value_encoded_len(in), got.n);
        assert_true(str_has(in, ':') == str_has(got, ':'));
        assert_err(header_value_decode(got, back, &n), ERR_OK);
        assert_str(str_make(back, n), in);
    }
}

/* All values of up to two bytes: decode(encode(x)) = x, nothing unsafe in between, and no two look the same. */
static void encoding_is_injective(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 256 + 65536; v++) {
        char in[2] = {(char)(v < 256 ? v : (v - 256) >> 8), (char)(v - 256)}, out[6], back[6];
        str value = {in, v < 256 ? 1 : 2};
        size_t n, back_n;
        n = (size_t)(principal_part_encode(value, out) - out);
        for (size_t i = 0; i < n; i++) assert_true(out[i] > 0x20 && out[i] < 0x7f && out[i] != ',' && out[i] != ':');
        assert_err(principal_part_decode(str_make(out, n), back, &back_n), ERR_OK);
        assert_str(str_make(back, back_n), value);
        n = (size_t)(header_value_encode(value, out) - out);
        for (size_t i = 0; i < n; i++) assert_true(out[i] > 0x20 && out[i] < 0x7f && out[i] != ',');
        assert_err(header_value_decode(str_make(out, n), back, &back_n), ERR_OK);
        assert_str(str_make(back, back_n), value);
    }
}

/* And the other way round: of all texts, only what the encoder writes is taken. */
static void only_one_spelling_is_decoded(void **state)
{
    (void)state;
    static const char *const bad[] = {"%",   "%2",  "%2c",  "%2g", "%G0",   "%41", "%61lice", "a b",
                                      "a,b", "a:b", "\xc3", "%%",  "a\x7f", "\n",  "%2 C",    "+%C3%bc"};
    char out[16];
    size_t n = 42;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(principal_part_decode(str_of(bad[i]), out, &n), ERR_MALFORMED);
    assert_err(header_value_decode(STR("a%3Ab"), out, &n), ERR_MALFORMED);
    assert_int_equal(n, 42);
    for (unsigned v = 0; v < 1u << 24; v += v % 7 + 1) {
        char text[3] = {(char)v, (char)(v >> 8), (char)(v >> 16)}, back[3], again[9];
        size_t back_n;
        if (principal_part_decode(str_make(text, 3), back, &back_n) != ERR_OK) continue;
        size_t again_n = (size_t)(principal_part_encode(str_make(back, back_n), again) - again);
        assert_str(str_make(again, again_n), str_make(text, 3));
    }
}

static void principals_of_two_issuers_differ(void **state)
{
    (void)state;
    struct arena mem;
    arena_init(&mem, NULL, 0, 1 << 16);
    assert_str(principal_encode(STR_NONE, STR("alice"), &mem), STR("alice"));
    assert_str(principal_encode(STR("other"), STR("alice"), &mem), STR("other:alice"));
    assert_str(principal_encode(STR_NONE, STR("other:alice"), &mem), STR("other%3Aalice"));
    assert_str(principal_encode(STR("a"), STR("b:c"), &mem), STR("a:b%3Ac"));
    assert_str(header_list_encode(NULL, 0, &mem), STR(""));
    assert_str(header_list_encode((str[]){STR("buyer")}, 1, &mem), STR("buyer"));
    assert_str(header_list_encode((str[]){STR("a,b"), STR("c d"), STR("orders:read")}, 3, &mem),
               STR("a%2Cb,c%20d,orders:read"));
    arena_reset(&mem);
    EACH_ALLOC_FAILING({
        struct arena a;
        arena_init(&a, NULL, 0, 1 << 16);
        str p = principal_encode(STR("other"), STR("alice"), &a);
        assert_true(p.p || alloc_fail_hit());
        arena_reset(&a);
    });
}

static void sets_hold_what_was_put(void **state)
{
    (void)state;
    struct arena mem;
    struct name_set s;
    arena_init(&mem, NULL, 0, 1 << 20);
    static const str names[] = {STR_INIT("b"), STR_INIT("a"), STR_INIT("ab"),
                                STR_INIT("z"), STR_INIT(""),  STR_INIT("b")};
    assert_err(name_set_make(&mem, names, ARRAY_LEN(names), false, &s), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) assert_true(name_set_has(&s, names[i]));
    static const char *const no[] = {"c", "A", "aa", "abc", "zz", "0"};
    for (size_t i = 0; i < ARRAY_LEN(no); i++) assert_false(name_set_has(&s, str_of(no[i])));
    assert_err(name_set_make(&mem, NULL, 0, false, &s), ERR_OK);
    assert_false(name_set_has(&s, STR("a")));
    assert_false(name_set_has(&s, STR("")));
    assert_err(name_set_make(&mem, NULL, 0, true, &s), ERR_OK);
    assert_true(name_set_has(&s, STR("a")));
    assert_false(name_set_has(&(struct name_set){0}, STR("a")));
    arena_reset(&mem);
}

static void paths_are_parsed_once(void **state)
{
    (void)state;
    struct arena mem;
    struct claim_path p;
    arena_init(&mem, NULL, 0, 1 << 20);
    assert_err(claim_path_parse(&mem, STR("roles"), &p), ERR_OK);
    assert_int_equal(p.n_parts, 0);
    assert_err(claim_path_parse(&mem, STR("realm_access.roles"), &p), ERR_OK);
    assert_str(p.whole, STR("realm_access.roles"));
    assert_int_equal(p.n_parts, 2);
    assert_str(p.parts[0], STR("realm_access"));
    assert_str(p.parts[1], STR("roles"));
    assert_err(claim_path_parse(&mem, STR("https://a.b.c.d.e.f.g.h.i/roles"), &p), ERR_OK);
    assert_int_equal(p.n_parts, 0);
    assert_err(claim_path_parse(&mem, STR("a.b.c.d.e.f.g.h.i"), &p), ERR_LIMIT);
    assert_err(claim_path_parse(&mem, STR("a..b"), &p), ERR_OK);
    assert_int_equal(p.n_parts, 3);
    assert_err(claim_path_parse(&mem, STR(""), &p), ERR_MALFORMED);
    arena_reset(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_safe_in_headers),   cmocka_unit_test(encoding_is_injective),
        cmocka_unit_test(only_one_spelling_is_decoded), cmocka_unit_test(principals_of_two_issuers_differ),
        cmocka_unit_test(sets_hold_what_was_put),       cmocka_unit_test(paths_are_parsed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
