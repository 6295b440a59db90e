#include "world.h"

static const char *const schema_text = "entity Group in [Group]; entity User in [Group] = { age: Long, boss?: User, "
                                       "ip?: ipaddr, tags?: Set<String>, rec?: { x: decimal } } tags Long;\n"
                                       "entity Color enum [\"red\"]; action read; action view in [read] appliesTo { "
                                       "principal: User, resource: Color, context: { when?: datetime, who: User } };";

static enum err load(struct world *w, const char *json)
{
    enum err e = entities_load(&w->es, str_of(json), w->schema, &w->m);
    return e == ERR_OK ? entities_finish(&w->es, &w->m) : e;
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *name, *json;
        bool schema;
        enum policy_fault fault;
    } cases[] = {
        {"not an array", "{}", false, POLICY_FAULT_JSON},
        {"nothing", "", false, POLICY_FAULT_JSON},
        {"left open", "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{},\"parents\":[]}", false, POLICY_FAULT_JSON},
        {"something behind", "[] []", false, POLICY_FAULT_JSON},
        {"comma behind the last", "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{},\"parents\":[]},]", false,
         POLICY_FAULT_JSON},
        {"a string in the array", "[\"x\"]", false, POLICY_FAULT_JSON},
        {"no uid", "[{\"attrs\":{},\"parents\":[]}]", false, POLICY_FAULT_JSON},
        {"bad type name", "[{\"uid\":{\"type\":\"A b\",\"id\":\"a\"},\"attrs\":{},\"parents\":[]}]", false,
         POLICY_FAULT_JSON},
        {"unknown member", "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"atrs\":{},\"parents\":[]}]", false,
         POLICY_FAULT_JSON},
        {"null", "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":null},\"parents\":[]}]", false,
         POLICY_FAULT_JSON},
        {"fraction", "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":1.5},\"parents\":[]}]", false,
         POLICY_FAULT_JSON},
        {"2^63", "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":9223372036854775808},\"parents\":[]}]",
         false, POLICY_FAULT_JSON},
        {"attribute twice", "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":1,\"x\":1},\"parents\":[]}]",
         false, POLICY_FAULT_JSON},
        {"bad address",
         "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":{\"__extn\":{\"fn\":\"ip\",\"arg\":\"1.2.3\"}}},"
         "\"parents\":[]}]",
         false, POLICY_FAULT_JSON},
        {"unknown function",
         "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":{\"__extn\":{\"fn\":\"f\",\"arg\":\"1\"}}},"
         "\"parents\":[]}]",
         false, POLICY_FAULT_JSON},
        {"__expr", "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{\"x\":{\"__expr\":\"1\"}},\"parents\":[]}]",
         false, POLICY_FAULT_JSON},
        {"cycle",
         "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{},\"parents\":[{\"type\":\"A\",\"id\":\"b\"}]},{\"uid\":{"
         "\"type\":\"A\",\"id\":\"b\"},\"attrs\":{},\"parents\":[{\"type\":\"A\",\"id\":\"a\"}]}]",
         false, POLICY_FAULT_CYCLE},
        {"its own parent",
         "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{},\"parents\":[{\"type\":\"A\",\"id\":\"a\"}]}]", false,
         POLICY_FAULT_CYCLE},
        {"twice, different",
         "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{},\"parents\":[]},{\"uid\":{\"type\":\"A\",\"id\":\"a\"},"
         "\"attrs\":{\"x\":1},\"parents\":[]}]",
         false, POLICY_FAULT_DUPLICATE},
        {"action under a user",
         "[{\"uid\":{\"type\":\"Action\",\"id\":\"a\"},\"attrs\":{},\"parents\":[{\"type\":\"A\",\"id\":\"a\"}]}]",
         false, POLICY_FAULT_TYPE},
        {"unknown type", "[{\"uid\":{\"type\":\"A\",\"id\":\"a\"},\"attrs\":{},\"parents\":[]}]", true,
         POLICY_FAULT_UNKNOWN},
        {"unknown attribute",
         "[{\"uid\":{\"type\":\"User\",\"id\":\"a\"},\"attrs\":{\"age\":1,\"x\":1},\"parents\":[]}]", true,
         POLICY_FAULT_UNKNOWN},
        {"missing attribute", "[{\"uid\":{\"type\":\"User\",\"id\":\"a\"},\"attrs\":{},\"parents\":[]}]", true,
         POLICY_FAULT_TYPE},
        {"wrong type", "[{\"uid\":{\"type\":\"User\",\"id\":\"a\"},\"attrs\":{\"age\":\"1\"},\"parents\":[]}]", true,
         POLICY_FAULT_TYPE},
        {"wrong element",
         "[{\"uid\":{\"type\":\"User\",\"id\":\"a\"},\"attrs\":{\"age\":1,\"tags\":[1]},\"parents\":[]}]", true,
         POLICY_FAULT_TYPE},
        {"wrong tag",
         "[{\"uid\":{\"type\":\"User\",\"id\":\"a\"},\"attrs\":{\"age\":1},\"parents\":[],\"tags\":{\"t\":\"x\"}}]",
         true, POLICY_FAULT_TYPE},
        {"no tags allowed",
         "[{\"uid\":{\"type\":\"Group\",\"id\":\"a\"},\"attrs\":{},\"parents\":[],\"tags\":{\"t\":1}}]", true,
         POLICY_FAULT_UNKNOWN},
        {"wrong parent",
         "[{\"uid\":{\"type\":\"Group\",\"id\":\"a\"},\"attrs\":{},\"parents\":[{\"type\":\"User\",\"id\":\"u\"}]}]",
         true, POLICY_FAULT_TYPE},
        {"no such choice", "[{\"uid\":{\"type\":\"Color\",\"id\":\"blue\"},\"attrs\":{},\"parents\":[]}]", true,
         POLICY_FAULT_UNKNOWN},
        {"unknown action", "[{\"uid\":{\"type\":\"Action\",\"id\":\"x\"},\"attrs\":{},\"parents\":[]}]", true,
         POLICY_FAULT_UNKNOWN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_init(&w);
        if (cases[i].schema) assert_err(schema_parse(str_of(schema_text), &w.mem, &w.m, &w.schema), ERR_OK);
        enum err e = load(&w, cases[i].json);
        if (e != ERR_MALFORMED || mistakes_fault(&w.m) != cases[i].fault)
            fail_msg("%s: %s, %s", cases[i].name, err_name(e), policy_fault_name(mistakes_fault(&w.m)));
        world_free(&w);
    }
}

static const char *const good =
    "[{\"uid\":{\"__entity\":{\"type\":\"User\",\"id\":\"a\"}},\"attrs\":{\"age\":-9223372036854775808,\"boss\":{"
    "\"type\":\"User\",\"id\":\"b\"},\"ip\":\"10.0.0.1\",\"tags\":[\"x\",\"x\"],"
    "\"rec\":{\"x\":\"1.5\"}},\"parents\":[{\"type\":\"Group\",\"id\":\"g\"}],\"tags\":{\"n\":3}},\n"
    " {\"uid\":{\"type\":\"Group\",\"id\":\"g\"},\"attrs\":{},\"parents\":[{\"type\":\"Group\",\"id\":\"h\"}]} ,\n"
    " {\"uid\":{\"type\":\"Group\",\"id\":\"g\"},\"attrs\":{},\"parents\":[{\"type\":\"Group\",\"id\":\"h\"}]} ]\n";

/* With a schema the short forms are understood, and the schema's actions are there. */
static void reads_by_type(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    world_init(&w);
    assert_err(schema_parse(str_of(schema_text), &w.mem, &w.m, &w.schema), ERR_OK);
    assert_err(load(&w, good), ERR_OK);
    assert_int_equal(w.es.n, 4); /* two, and two actions */
    const struct entity *a = entities_find(&w.es, world_uid(&w, "User::\"a\""));
    buf_init(&b, 4096);
    for (uint32_t i = 0; i < a->attrs_n; i++) {
        buf_printf(&b, "%.*s=", STR_ARG(a->attrs[i].name));
        value_print(&a->attrs[i].value, &b);
        buf_putc(&b, ' ');
    }
    assert_str(buf_str(&b), STR("age=-9223372036854775808 boss=User::\"b\" ip=ip(\"10.0.0.1/32\") "
                                "rec={x: decimal(\"1.5000\")} tags=[\"x\"] "));
    assert_true(entity_is_in(a, world_uid(&w, "Group::\"h\"")));
    assert_false(entity_is_in(a, world_uid(&w, "Group::\"i\"")));
    assert_null(entities_find(&w.es, world_uid(&w, "Group::\"h\""))); /* only named */
    assert_non_null(entity_tag(a, STR("n")));
    assert_true(
        entity_is_in(entities_find(&w.es, world_uid(&w, "Action::\"view\"")), world_uid(&w, "Action::\"read\"")));
    buf_free(&b);
    world_free(&w);
}

static void context_by_type(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum err want;
    } cases[] = {{"{\"who\":{\"type\":\"User\",\"id\":\"a\"},\"when\":\"2024-01-01\"}", ERR_OK},
                 {"{\"who\":{\"type\":\"User\",\"id\":\"a\"}}", ERR_OK},
                 {"{\"when\":\"2024-01-01\"}", ERR_MALFORMED},
                 {"{\"who\":{\"type\":\"Group\",\"id\":\"a\"}}", ERR_MALFORMED},
                 {"{\"who\":{\"type\":\"User\",\"id\":\"a\"},\"x\":1}", ERR_MALFORMED},
                 {"{\"who\":{\"type\":\"User\",\"id\":\"a\"},\"when\":\"x\"}", ERR_MALFORMED},
                 {"[]", ERR_MALFORMED},
                 {"", ERR_MALFORMED}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct value v;
        world_init(&w);
        assert_err(schema_parse(str_of(schema_text), &w.mem, &w.m, &w.schema), ERR_OK);
        const struct type *t = schema_action(w.schema, world_uid(&w, "Action::\"view\""))->context;
        if (context_from_json(str_of(cases[i].json), t, &w.mem, &w.m, &v) != cases[i].want)
            fail_msg("%s", cases[i].json);
        world_free(&w);
    }
}

/* Values to JSON and back are the same values. */
static void json_round_trip(void **state)
{
    (void)state;
    static const char *const cases[] =
        {"{\"a\": [1, -2, 9223372036854775807], \"b\": {\"c\": true, \"d\": \"x\\u0000\\\"\"}}",
         "{\"u\": {\"__entity\": {\"type\": \"N::User\", \"id\": \"\"}}}",
         "{\"i\": {\"__extn\": {\"fn\": \"ip\", \"arg\": \"abcd:ef01::/64\"}}, \"j\": {\"__extn\": {\"fn\": \"ip\", "
         "\"arg\": \"1.2.3.4\"}}}",
         "{\"d\": {\"__extn\": {\"fn\": \"decimal\", \"arg\": \"-922337203685477.5808\"}}, \"e\": {\"__extn\": "
         "{\"fn\": \"decimal\", \"arg\": \"-0.5\"}}}",
         "{\"t\": {\"__extn\": {\"fn\": \"datetime\", \"arg\": \"0000-01-01T00:00:00.001+2359\"}}}",
         "{\"t\": {\"__extn\": {\"fn\": \"offset\", \"args\": [{\"__extn\": {\"fn\": \"datetime\", \"arg\": "
         "\"1970-01-01\"}}, {\"__extn\": {\"fn\": \"duration\", \"arg\": \"-1ms\"}}]}}}",
         "{\"q\": {\"__extn\": {\"fn\": \"unknown\", \"arg\": \"later\"}}}",
         "{}"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct buf b;
        struct value v, again, copy;
        world_init(&w);
        buf_init(&b, 65536);
        assert_err(context_from_json(str_of(cases[i]), NULL, &w.mem, &w.m, &v), ERR_OK);
        value_print_json(&v, &b);
        assert_err(context_from_json(buf_str(&b), NULL, &w.mem, &w.m, &again), ERR_OK);
        if (!value_eq(&v, &again)) fail_msg("%s became %.*s", cases[i], STR_ARG(buf_str(&b)));
        assert_err(value_copy(&v, &w.mem, &copy), ERR_OK);
        assert_true(value_eq(&v, &copy));
        buf_free(&b);
        world_free(&w);
    }
}

/* A chain of a thousand, each with all above it; and a fan that would make too many. */
static void long_chains(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    buf_init(&b, 64 << 20);
    for (unsigned n = 1000; n <= 30000; n *= 30) {
        world_init(&w);
        buf_clear(&b);
        buf_putc(&b, '[');
        for (unsigned i = 0; i < n; i++)
            buf_printf(&b, "%s{\"uid\":{\"type\":\"A\",\"id\":\"%u\"},\"attrs\":{},\"parents\":[%s%u%s]}", i ? "," : "",
                       i, i + 1 < n ? "{\"type\":\"A\",\"id\":\"" : "", i + 1, i + 1 < n ? "\"}" : "");
        /* the last one's parents must be empty */
        b.n -= 2 + (size_t)snprintf(NULL, 0, "%u", n);
        buf_puts(&b, "]}]");
        assert_err(entities_load(&w.es, buf_str(&b), NULL, &w.m), ERR_OK);
        enum err e = entities_finish(&w.es, &w.m);
        if (n == 1000) {
            assert_err(e, ERR_OK);
            assert_int_equal(entities_find(&w.es, world_uid(&w, "A::\"0\""))->ancestors_n, 999);
            assert_true(entity_is_in(entities_find(&w.es, world_uid(&w, "A::\"0\"")), world_uid(&w, "A::\"999\"")));
        } else {
            assert_true(e == ERR_LIMIT || e == ERR_NO_MEMORY);
        }
        world_free(&w);
    }
    buf_free(&b);
}

static void every_prefix(void **state)
{
    (void)state;
    for (size_t i = 0; i + 1 < strlen(good); i++) {
        struct world w;
        world_init(&w);
        char *copy = malloc(i + 1);
        assert_non_null(copy);
        memcpy(copy, good, i);
        if (entities_load(&w.es, str_make(copy, i), NULL, &w.m) == ERR_OK)
            fail_msg("the first %zu bytes are accepted", i);
        free(copy);
        world_free(&w);
    }
}

static void every_allocation(void **state)
{
    (void)state;
    struct world s;
    world_init(&s);
    assert_err(schema_parse(str_of(schema_text), &s.mem, &s.m, &s.schema), ERR_OK);
    EACH_ALLOC_FAILING({
        struct arena mem;
        struct mistakes m;
        struct entities es;
        arena_init(&mem, NULL, 0, 64u << 20);
        mistakes_init(&m, &mem);
        entities_init(&es, &mem);
        enum err e = entities_load(&es, str_of(good), s.schema, &m);
        if (e == ERR_OK) e = entities_finish(&es, &m);
        if (e != ERR_OK) assert_true(alloc_fail_hit());
        entities_free(&es);
        arena_reset(&mem);
    })
    world_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses),          cmocka_unit_test(reads_by_type), cmocka_unit_test(context_by_type),
        cmocka_unit_test(json_round_trip),  cmocka_unit_test(long_chains),   cmocka_unit_test(every_prefix),
        cmocka_unit_test(every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
