#include "unit.h"

#include "base/buf.h"
#include "codec/yaml.h"

static void scalars_have_the_core_types(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum yaml_type type;
    } rows[] = {
        {"null", YAML_NULL},
        {"~", YAML_NULL},
        {"Null", YAML_NULL},
        {"nULL", YAML_STRING},
        {"true", YAML_BOOL},
        {"False", YAML_BOOL},
        {"tRue", YAML_STRING},
        {"yes", YAML_STRING},
        {"no", YAML_STRING},
        {"on", YAML_STRING},
        {"off", YAML_STRING},
        {"y", YAML_STRING},
        {"0", YAML_INT},
        {"-17", YAML_INT},
        {"+3", YAML_INT},
        {"012", YAML_INT},
        {"0o17", YAML_STRING},
        {"0x1f", YAML_STRING},
        {"0b1", YAML_STRING},
        {"1_000", YAML_STRING},
        {"1:30", YAML_STRING},
        {"190:20:30", YAML_STRING},
        {"1.5", YAML_FLOAT},
        {".5", YAML_FLOAT},
        {"1.", YAML_FLOAT},
        {"1e3", YAML_FLOAT},
        {"-1E-3", YAML_FLOAT},
        {"1e", YAML_STRING},
        {".", YAML_STRING},
        {"-.inf", YAML_FLOAT},
        {".NaN", YAML_FLOAT},
        {".nAn", YAML_STRING},
        {"2001-12-14", YAML_STRING},
        {"\"5\"", YAML_STRING},
        {"'true'", YAML_STRING},
        {"|\n  12\n", YAML_STRING},
        {"<<", YAML_STRING},
        {"=", YAML_STRING},
        {"-", YAML_STRING},
        {"1 2", YAML_STRING},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena mem;
        struct yaml_errors errors;
        const struct yaml *v = NULL;
        char in[64];
        snprintf(in, sizeof in, "k: %s\n", rows[i].in);
        if (strcmp(rows[i].in, "-") == 0) snprintf(in, sizeof in, "k: '-'\n");
        arena_init(&mem, NULL, 0, 1 << 20);
        assert_err(yaml_parse(str_of(in), &yaml_limits_default, &mem, &errors, &v), ERR_OK);
        if (yaml_get(v, STR("k"))->type != rows[i].type)
            fail_msg("%s is %s", rows[i].in, yaml_type_name(yaml_get(v, STR("k"))->type));
        arena_reset(&mem);
    }
}

static void what_is_refused_is_named_and_placed(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        enum err want;
        enum yaml_fault fault;
        uint32_t line, column;
    } rows[] = {
        {"plain", "a: 1\n", ERR_OK, YAML_FAULT_NONE, 0, 0},
        {"explicit document", "---\na: 1\n...\n", ERR_OK, YAML_FAULT_NONE, 0, 0},
        {"empty", "", ERR_MALFORMED, YAML_FAULT_EMPTY, 1, 1},
        {"only a comment", "# nothing\n", ERR_MALFORMED, YAML_FAULT_EMPTY, 1, 1},
        {"two documents", "a: 1\n---\nb: 2\n", ERR_MALFORMED, YAML_FAULT_DOCUMENTS, 2, 1},
        {"anchor", "a: &x 1\n", ERR_MALFORMED, YAML_FAULT_ANCHOR, 1, 4},
        {"anchor of a map", "a: &x {b: 1}\n", ERR_MALFORMED, YAML_FAULT_ANCHOR, 1, 4},
        {"anchor of a key", "&x a: 1\n", ERR_MALFORMED, YAML_FAULT_ANCHOR, 1, 1},
        {"alias", "a: *x\n", ERR_MALFORMED, YAML_FAULT_ALIAS, 1, 4},
        {"alias as key", "*x : 1\n", ERR_MALFORMED, YAML_FAULT_ALIAS, 1, 1},
        {"tag", "a: !!str 1\n", ERR_MALFORMED, YAML_FAULT_TAG, 1, 4},
        {"tag of a list", "a: !x [1]\n", ERR_MALFORMED, YAML_FAULT_TAG, 1, 4},
        {"directive", "%YAML 1.2\n---\na: 1\n", ERR_MALFORMED, YAML_FAULT_DIRECTIVE, 1, 1},
        {"tag directive", "%TAG ! tag:x,1:\n---\na: 1\n", ERR_MALFORMED, YAML_FAULT_DIRECTIVE, 1, 1},
        {"duplicate key", "a: 1\nb: 2\na: 3\n", ERR_MALFORMED, YAML_FAULT_DUPLICATE, 3, 1},
        {"duplicate key, two spellings", "a: 1\n\"\\x61\": 3\n", ERR_MALFORMED, YAML_FAULT_DUPLICATE, 2, 1},
        {"duplicate key inside", "x: {a: 1, a: 1}\n", ERR_MALFORMED, YAML_FAULT_DUPLICATE, 1, 11},
        {"list as key", "? [a]\n: 1\n", ERR_MALFORMED, YAML_FAULT_KEY, 1, 3},
        {"map as key", "{{a: 1}: 2}\n", ERR_MALFORMED, YAML_FAULT_KEY, 1, 2},
        {"tab", "a:\n\tb: 1\n", ERR_MALFORMED, YAML_FAULT_SYNTAX, 2, 1},
        {"open list", "a: [1, 2\n", ERR_MALFORMED, YAML_FAULT_SYNTAX, 2, 1},
        {"open quote", "a: \"x\n", ERR_MALFORMED, YAML_FAULT_SYNTAX, 2, 1},
        {"bad indent", "a:\n  b: 1\n c: 2\n", ERR_MALFORMED, YAML_FAULT_SYNTAX, 3, 2},
        {"control character", "a: x\x01y\n", ERR_MALFORMED, YAML_FAULT_SYNTAX, 1, 5},
        {"at sign", "a: @x\n", ERR_MALFORMED, YAML_FAULT_SYNTAX, 1, 4},
        {"byte order mark",
         "\xef\xbb\xbf"
         "a: 1\n",
         ERR_MALFORMED, YAML_FAULT_UTF8, 1, 1},
        {"not UTF-8", "a: 1\nb: \xc3\xa9\xff\n", ERR_MALFORMED, YAML_FAULT_UTF8, 2, 5},
        {"overlong", "a: \xc0\xaf\n", ERR_MALFORMED, YAML_FAULT_UTF8, 1, 4},
        {"surrogate", "a: \xed\xa0\x80\n", ERR_MALFORMED, YAML_FAULT_UTF8, 1, 4},
        {"utf-16",
         "\xff\xfe"
         "a",
         ERR_MALFORMED, YAML_FAULT_UTF8, 1, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena mem;
        struct yaml_errors errors;
        const struct yaml *v = NULL;
        arena_init(&mem, NULL, 0, 1 << 20);
        enum err e = yaml_parse(str_of(rows[i].in), &yaml_limits_default, &mem, &errors, &v);
        if (e != rows[i].want) fail_msg("%s: got %s", rows[i].name, err_name(e));
        assert_int_equal(v != NULL, e == ERR_OK);
        enum yaml_fault fault = errors.n ? errors.v[0].fault : YAML_FAULT_NONE;
        if (fault != rows[i].fault) fail_msg("%s: got %s", rows[i].name, yaml_fault_name(fault));
        if (errors.n && (errors.v[0].at.line != rows[i].line || errors.v[0].at.column != rows[i].column))
            fail_msg("%s: at %u:%u (%s)", rows[i].name, errors.v[0].at.line, errors.v[0].at.column, errors.v[0].text);
        arena_reset(&mem);
    }
}

static void many_keys_are_told_apart(void **state)
{
    (void)state;
    struct buf in;
    buf_init(&in, 1 << 20);
    for (int i = 0; i < 3000; i++) buf_printf(&in, "key%d: %d\n", i, i);
    struct arena mem;
    struct yaml_errors errors;
    const struct yaml *v = NULL;
    arena_init(&mem, NULL, 0, 8 << 20);
    assert_err(yaml_parse(buf_str(&in), &yaml_limits_default, &mem, &errors, &v), ERR_OK);
    assert_int_equal(v->count, 3000);
    arena_reset(&mem);
    for (int i = 0; i < 3000; i += 7) {
        size_t n = in.n;
        buf_printf(&in, "key%d: again\n", i);
        assert_err(yaml_parse(buf_str(&in), &yaml_limits_default, &mem, &errors, &v), ERR_MALFORMED);
        assert_int_equal(errors.n, 1);
        assert_int_equal(errors.v[0].fault, YAML_FAULT_DUPLICATE);
        assert_int_equal(errors.v[0].at.line, 3001);
        assert_int_equal(errors.v[0].other.line, i + 1);
        in.n = n;
        arena_reset(&mem);
    }
    buf_free(&in);
}

static void values_know_their_place(void **state)
{
    (void)state;
    static const char in[] = "# comment\n"
                             "é: {b: [x, \"é y\", 3], c:\n"
                             "    'd'}\n"
                             "last: |\n"
                             "  one\n"
                             "  two\n";
    struct arena mem;
    struct yaml_errors errors;
    const struct yaml *v;
    arena_init(&mem, NULL, 0, 1 << 20);
    assert_err(yaml_parse(str_of(in), &yaml_limits_default, &mem, &errors, &v), ERR_OK);
    const struct yaml *a = yaml_get(v, STR("é")), *b = yaml_get(a, STR("b")), *c = yaml_get(a, STR("c"));
    assert_int_equal(a->key_at.line, 2);
    assert_int_equal(a->key_at.column, 1);
    assert_int_equal(a->at.column, 4);
    assert_int_equal(b->at.column, 8); /* in characters: é is one */
    assert_int_equal(b->count, 3);
    const struct yaml *quoted = b->first->next;
    assert_str(quoted->text, STR("é y"));
    assert_true(quoted->quoted);
    assert_int_equal(quoted->at.column, 12);
    assert_int_equal(quoted->end.column, 17);
    assert_int_equal(c->at.line, 3);
    assert_str(yaml_get(v, STR("last"))->text, STR("one\ntwo\n"));
    int64_t n;
    assert_err(yaml_int(quoted->next, &n), ERR_OK);
    assert_int_equal(n, 3);
    assert_err(yaml_int(quoted, &n), ERR_MALFORMED);
    assert_null(yaml_get(v, STR("none")));
    assert_null(yaml_get(quoted, STR("none")));
    assert_null(yaml_get(NULL, STR("none")));
    arena_reset(&mem);
}

static void integers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum err want;
        int64_t value;
    } rows[] = {
        {"9223372036854775807", ERR_OK, INT64_MAX},
        {"-9223372036854775807", ERR_OK, -INT64_MAX},
        {"9223372036854775808", ERR_LIMIT, 0},
        {"99999999999999999999999", ERR_LIMIT, 0},
        {"+0007", ERR_OK, 7},
        {"1.0", ERR_MALFORMED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena mem;
        struct yaml_errors errors;
        const struct yaml *v;
        int64_t n = 0;
        arena_init(&mem, NULL, 0, 1 << 20);
        assert_err(yaml_parse(str_of(rows[i].in), &yaml_limits_default, &mem, &errors, &v), ERR_OK);
        assert_err(yaml_int(v, &n), rows[i].want);
        assert_true(n == rows[i].value);
        arena_reset(&mem);
    }
}

static enum err parse_with(const struct yaml_limits *limits, str in, enum yaml_fault *fault)
{
    struct arena mem;
    struct yaml_errors errors;
    const struct yaml *v;
    arena_init(&mem, NULL, 0, 8 << 20);
    enum err e = yaml_parse(in, limits, &mem, &errors, &v);
    *fault = errors.n ? errors.v[0].fault : YAML_FAULT_NONE;
    arena_reset(&mem);
    return e;
}

static void bounds_hold_exactly(void **state)
{
    (void)state;
    enum yaml_fault fault;
    struct yaml_limits limits = yaml_limits_default;
    char in[300] = "";
    for (uint32_t depth = 30; depth <= 35; depth++) {
        memset(in, '[', depth);
        memset(in + depth, ']', depth);
        assert_err(parse_with(&limits, str_make(in, 2 * depth), &fault), depth <= 32 ? ERR_OK : ERR_LIMIT);
        assert_int_equal(fault, depth <= 32 ? YAML_FAULT_NONE : YAML_FAULT_DEPTH);
    }
    memset(in, '[', sizeof in); /* and a bomb that never closes */
    assert_err(parse_with(&limits, str_make(in, sizeof in), &fault), ERR_LIMIT);
    limits.max_values = 4; /* the list itself counts */
    assert_err(parse_with(&limits, STR("[1, 2, 3]"), &fault), ERR_OK);
    assert_err(parse_with(&limits, STR("[1, 2, 3, 4]"), &fault), ERR_LIMIT);
    assert_int_equal(fault, YAML_FAULT_VALUES);
    limits.max_bytes = 4;
    assert_err(parse_with(&limits, STR("a: 1"), &fault), ERR_OK);
    assert_err(parse_with(&limits, STR("a: 12"), &fault), ERR_LIMIT);
    assert_int_equal(fault, YAML_FAULT_SIZE);
}

static void what_leaves_a_tree_is_reported_together(void **state)
{
    (void)state;
    struct arena mem;
    struct yaml_errors errors;
    const struct yaml *v = NULL;
    arena_init(&mem, NULL, 0, 1 << 20);
    str in = STR("a: &x 1\nb: *x\na: 2\nc: !t 3\nd: 4\n");
    assert_err(yaml_parse(in, &yaml_limits_default, &mem, &errors, &v), ERR_MALFORMED);
    assert_null(v);
    assert_err(yaml_parse_all(in, &yaml_limits_default, &mem, &errors, &v), ERR_OK);
    static const enum yaml_fault want[] = {YAML_FAULT_ANCHOR, YAML_FAULT_ALIAS, YAML_FAULT_DUPLICATE, YAML_FAULT_TAG};
    assert_int_equal(errors.n, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) assert_int_equal(errors.v[i].fault, want[i]);
    assert_str(yaml_get(v, STR("a"))->text, STR("1")); /* the first one stays */
    assert_int_equal(yaml_get(v, STR("b"))->type, YAML_REFUSED);
    assert_int_equal(yaml_get(v, STR("c"))->type, YAML_REFUSED);
    assert_int_equal(v->count, 4);
    /* more than there is room for: still refused, and the first ones are told */
    struct buf many;
    buf_init(&many, 4096);
    for (int i = 0; i < 40; i++) buf_puts(&many, "a: 1\n");
    assert_err(yaml_parse(buf_str(&many), &yaml_limits_default, &mem, &errors, &v), ERR_MALFORMED);
    assert_int_equal(errors.n, YAML_ERRORS_MAX);
    buf_free(&many);
    arena_reset(&mem);
}

static const char sample[] = "sallyport: 1\n"
                             "listen: {gateway: [\":8080\", 'unix:/x'], admin: none}\n"
                             "text: |\n  é one\n  two\n"
                             "folded: >-\n  a\n  b\n"
                             "list:\n- a\n- {b: c, d: [1, 2.5, true, ~]}\n"
                             "m: {k1: 1, k2: 2, k3: 3, k4: 4, k5: 5, k6: 6, k7: 7, k8: 8, k9: 9, k10: 10}\n";

static void every_prefix_and_every_changed_byte_is_survived(void **state)
{
    (void)state;
    char copy[sizeof sample];
    enum yaml_fault fault;
    for (size_t n = 0; n < sizeof sample; n++) {
        enum err e = parse_with(&yaml_limits_default, str_make(sample, n), &fault);
        assert_int_equal(e == ERR_OK, fault == YAML_FAULT_NONE);
    }
    static const char bytes[] = "\x00\n\t\"'[]{}&*!%:#-\xff\xc3";
    for (size_t n = 0; n + 1 < sizeof sample; n++)
        for (size_t b = 0; b + 1 < sizeof bytes; b++) {
            memcpy(copy, sample, sizeof sample);
            copy[n] = bytes[b];
            enum err e = parse_with(&yaml_limits_default, str_make(copy, sizeof sample - 1), &fault);
            assert_int_equal(e == ERR_OK, fault == YAML_FAULT_NONE);
        }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    EACH_ALLOC_FAILING({
        struct arena mem;
        struct yaml_errors errors;
        const struct yaml *v = NULL;
        arena_init(&mem, NULL, 0, 1 << 20);
        enum err e = yaml_parse(STR(sample), &yaml_limits_default, &mem, &errors, &v);
        if (alloc_fail_hit()) {
            assert_err(e, ERR_NO_MEMORY);
            assert_null(v);
            assert_int_equal(errors.v[errors.n - 1].fault, YAML_FAULT_MEMORY);
        } else {
            assert_err(e, ERR_OK);
        }
        arena_reset(&mem);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_have_the_core_types),
        cmocka_unit_test(what_is_refused_is_named_and_placed),
        cmocka_unit_test(many_keys_are_told_apart),
        cmocka_unit_test(values_know_their_place),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(bounds_hold_exactly),
        cmocka_unit_test(what_leaves_a_tree_is_reported_together),
        cmocka_unit_test(every_prefix_and_every_changed_byte_is_survived),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("codec/yaml", tests, NULL, NULL);
}
