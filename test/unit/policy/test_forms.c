/* The other forms of policies: JSON, laid out text, and what partial evaluation leaves. */
#include "world.h"

#include "policy/format.h"
#include "policy/partial.h"
#include "policy/policy_json.h"
#include "policy/print.h"

static void json_of_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"permit(principal, action, resource);", "{\"effect\":\"permit\",\"principal\":{\"op\":\"All\"},\"action\":{"
                                                 "\"op\":\"All\"},\"resource\":{\"op\":\"All\"},\"conditions\":[]}"},
        {"@a @b(\"c\") forbid(principal == A::\"x\", action in [Action::\"a\", Action::\"b\"], resource is T in "
         "A::\"y\") unless { context has \"a b\" };",
         "{\"effect\":\"forbid\",\"principal\":{\"op\":\"==\",\"entity\":{\"type\":\"A\",\"id\":\"x\"}},\"action\":{"
         "\"op\":\"in\",\"entities\":[{\"type\":\"Action\",\"id\":\"a\"},{\"type\":\"Action\",\"id\":\"b\"}]},"
         "\"resource\":{\"op\":\"is\",\"entity_type\":\"T\",\"in\":{\"entity\":{\"type\":\"A\",\"id\":\"y\"}}},"
         "\"conditions\":[{\"kind\":\"unless\",\"body\":{\"has\":{\"left\":{\"Var\":\"context\"},\"attr\":\"a b\"}}}],"
         "\"annotations\":{\"a\":null,\"b\":\"c\"}}"},
        {"permit(principal, action, resource) when { if -(3) > -3 then principal.a like \"x*\" else "
         "ip(\"::1\").isIpv6() };",
         "{\"effect\":\"permit\",\"principal\":{\"op\":\"All\"},\"action\":{\"op\":\"All\"},\"resource\":{\"op\":"
         "\"All\"},\"conditions\":[{\"kind\":\"when\",\"body\":{\"if-then-else\":{\"if\":{\">\":{\"left\":{\"neg\":"
         "{\"arg\":{\"Value\":3}}},\"right\":{\"Value\":-3}}},\"then\":{\"like\":{\"left\":{\".\":{\"left\":{\"Var\":"
         "\"principal\"},\"attr\":\"a\"}},\"pattern\":[{\"Literal\":\"x\"},\"Wildcard\"]}},\"else\":{\"isIpv6\":"
         "[{\"ip\":[{\"Value\":\"::1\"}]}]}}}}]}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world a, b;
        struct buf x, y;
        world_init(&a);
        world_init(&b);
        buf_init(&x, 65536);
        buf_init(&y, 65536);
        assert_err(policies_parse(str_of(cases[i].text), 0, &a.mem, &a.m, &a.set), ERR_OK);
        policy_print_json(a.set.policies[0], &x);
        assert_str(buf_str(&x), str_of(cases[i].json));
        assert_err(policies_parse_json(buf_str(&x), &b.mem, &b.m, &b.set), ERR_OK);
        buf_clear(&x);
        policy_print(a.set.policies[0], &x);
        policy_print(b.set.policies[0], &y);
        assert_str(buf_str(&y), buf_str(&x));
        buf_free(&x);
        buf_free(&y);
        world_free(&a);
        world_free(&b);
    }
}

static const char *const set_json =
    "{\"staticPolicies\":{\"s\":\"permit(principal, action, "
    "resource);\"},\"templates\":{\"t\":{\"effect\":\"permit\",\"principal\":{\"op\":\"==\",\"slot\":\"?principal\"},"
    "\"action\":{\"op\":\"All\"},"
    "\"resource\":{\"op\":\"in\",\"slot\":\"?resource\"},\"conditions\":[{\"kind\":\"when\",\"body\":{\"Value\":{\"a\":"
    "[1,{\"__extn\":{\"fn\":\"ip\",\"arg\":\"1.2.3.4\"}}]}}}]}},"
    "\"templateLinks\":[{\"templateId\":\"t\",\"newId\":\"l\",\"values\":{\"?principal\":{\"type\":\"U\",\"id\":\"a\"},"
    "\"?resource\":{\"__entity\":{\"type\":\"R\",\"id\":\"b\"}}}}]}";

static void policy_sets(void **state)
{
    (void)state;
    struct world a, b;
    struct buf x, y;
    world_init(&a);
    world_init(&b);
    buf_init(&x, 65536);
    buf_init(&y, 65536);
    assert_err(policies_parse_json(str_of(set_json), &a.mem, &a.m, &a.set), ERR_OK);
    assert_int_equal(a.set.n, 2);
    assert_int_equal(a.set.templates_n, 1);
    policies_print_json(&a.set, &x);
    assert_err(policies_parse_json(buf_str(&x), &b.mem, &b.m, &b.set), ERR_OK);
    policies_print_json(&b.set, &y);
    assert_str(buf_str(&y), buf_str(&x));
    buf_free(&x);
    buf_free(&y);
    world_free(&a);
    world_free(&b);
}

#define JSON(principal, condition)                                                                                     \
    "{\"effect\":\"permit\",\"principal\":" principal ",\"action\":{\"op\":\"All\"},\"resource\":{\"op\":\"All\"},"    \
    "\"conditions\":[{\"kind\":\"when\",\"body\":" condition "}]}"
#define ALL "{\"op\":\"All\"}"

static void refuses_json(void **state)
{
    (void)state;
    static const char *const cases[] =
        {"",
         "{}",
         "[]",
         "{\"effect\":\"permit\"}",
         JSON("{\"op\":\"<\"}", "{\"Value\":true}"),
         JSON("{\"op\":\"==\"}", "{\"Value\":true}"),
         JSON("{\"op\":\"==\",\"slot\":\"?resource\"}", "{\"Value\":true}"),
         JSON("{\"op\":\"is\",\"entity_type\":\"a b\"}", "{\"Value\":true}"),
         JSON(ALL, "{\"Value\":null}"),
         JSON(ALL, "{\"Value\":1.5}"),
         JSON(ALL, "{\"Var\":\"foo\"}"),
         JSON(ALL, "{\"Slot\":\"?principal\"}"),
         JSON(ALL, "{\"foo\":{}}"),
         JSON(ALL, "{\"==\":{\"left\":{\"Value\":1}}}"),
         JSON(ALL, "{\"has\":{\"left\":{\"Value\":1},\"attr\":[]}}"),
         JSON(ALL, "{\"like\":{\"left\":{\"Value\":\"a\"},\"pattern\":[1]}}"),
         JSON(ALL, "{\"ip\":1}"),
         JSON(ALL, "{\"is\":{\"left\":{\"Var\":\"principal\"},\"entity_type\":\"if\"}}"),
         JSON(ALL, "{\"!\":{\"arg\":{\"Value\":true}},\"x\":1}"),
         JSON(ALL, "{\"==\":{\"left\":{\"Value\":1},\"right\":{\"Value\":1},\"x\":1}}"),
         JSON(ALL, "{\"Value\":true}],\"foo\":[{\"Value\":1}"),
         "{\"effect\":\"permit\",\"principal\":{\"op\":\"All\"},\"action\":{\"op\":\"All\"},\"resource\":{\"op\":"
         "\"All\"}}",
         "{\"effect\":\"permit\",\"principal\":{\"op\":\"All\"},\"action\":{\"op\":\"All\"},\"resource\":{\"op\":"
         "\"All\"},\"conditions\":[],\"annotations\":{\"a b\":\"c\"}}",
         "{\"effect\":\"permit\",\"principal\":{\"op\":\"All\"},\"action\":{\"op\":\"==\",\"slot\":\"?action\"},"
         "\"resource\":{\"op\":\"All\"},\"conditions\":[]}",
         "{\"staticPolicies\":{\"a\":\"permit(principal == ?principal, action, resource);\"}}",
         "{\"templates\":{\"a\":\"permit(principal, action, resource);\"}}",
         "{\"staticPolicies\":{},\"templateLinks\":[{\"templateId\":\"x\",\"newId\":\"y\",\"values\":{}}]}"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_init(&w);
        if (policies_parse_json(str_of(cases[i]), &w.mem, &w.m, &w.set) != ERR_MALFORMED)
            fail_msg("%s: accepted", cases[i]);
        assert_true(w.m.n > 0);
        world_free(&w);
    }
}

static void deep_json(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    buf_init(&b, 64 << 20);
    for (unsigned n = 200; n <= 200000; n *= 1000) {
        world_init(&w);
        buf_clear(&b);
        buf_puts(&b, "{\"effect\":\"permit\",\"principal\":{\"op\":\"All\"},\"action\":{\"op\":\"All\"},\"resource\":{"
                     "\"op\":\"All\"},\"conditions\":[{\"kind\":\"when\",\"body\":");
        for (unsigned i = 0; i < n; i++) buf_puts(&b, "{\"!\":{\"arg\":");
        buf_puts(&b, "{\"Value\":true}");
        for (unsigned i = 0; i < n; i++) buf_puts(&b, "}}");
        buf_puts(&b, "}]}");
        assert_err(policies_parse_json(buf_str(&b), &w.mem, &w.m, &w.set), n == 200 ? ERR_OK : ERR_LIMIT);
        world_free(&w);
    }
    buf_free(&b);
}

static void json_every_allocation(void **state)
{
    (void)state;
    EACH_ALLOC_FAILING({
        struct arena mem;
        struct mistakes m;
        struct policy_set set;
        arena_init(&mem, NULL, 0, 64u << 20);
        mistakes_init(&m, &mem);
        enum err e = policies_parse_json(str_of(set_json), &mem, &m, &set);
        if (e != ERR_OK) assert_true(alloc_fail_hit());
        arena_reset(&mem);
    })
}

static void lays_out(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {"permit(principal,action,resource);", "permit (principal, action, resource);\n"},
        {"permit(principal,action,resource)when{true}unless{!false};",
         "permit (principal, action, resource)\nwhen { true }\nunless { !false };\n"},
        {"// a\npermit(principal,action,resource);// b\n// c\nforbid(principal,action,resource);\n\n// d",
         "// a\npermit (principal, action, resource); // b\n\n// c\nforbid (principal, action, resource);\n\n// d\n"},
        {"@a@b(\"c\")permit(principal==A::\"b\",action,resource);",
         "@a\n@b(\"c\")\npermit (principal == A::\"b\", action, resource);\n"},
        {"permit(principal,action,resource)when{context.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&&context."
         "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb||!principal.c&&-1 - -2==-3};",
         "permit (principal, action, resource)\nwhen {\n  context.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa &&\n  "
         "context.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb ||\n  !principal.c && -1 - -2 == -3\n};\n"},
        {"permit(principal,action,resource)when{[1,{a:2,\"b\":{}}].contains(context[\"x\"])};",
         "permit (principal, action, resource)\nwhen { [1, { a: 2, \"b\": {} }].contains(context[\"x\"]) };\n"},
        {"permit(principal,action "
         "in[Action::\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",Action::\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"],"
         "resource);",
         "permit (\n  principal,\n  action in [\n    Action::\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\n    "
         "Action::\"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"\n  ],\n  resource\n);\n"},
        {"permit(principal,action,resource)when{true// why\n&&false};",
         "permit (principal, action, resource)\nwhen {\n  true // why\n  &&\n  false\n};\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct buf b, again;
        world_init(&w);
        buf_init(&b, 65536);
        buf_init(&again, 65536);
        assert_err(policies_format(str_of(cases[i].text), &w.mem, &w.m, &b), ERR_OK);
        assert_str(buf_str(&b), str_of(cases[i].want));
        assert_err(policies_format(buf_str(&b), &w.mem, &w.m, &again), ERR_OK);
        assert_str(buf_str(&again), buf_str(&b));
        buf_free(&b);
        buf_free(&again);
        world_free(&w);
    }
}

/* The policy's fate, and the residual's condition. */
static void residuals(void **state)
{
    (void)state;
    static const struct {
        const char *condition, *want;
    } cases[] = {
        {"true", "true"},
        {"false", "false"},
        {"1", "error"},
        {"principal.age > 20", "true"},
        {"resource.owner == principal", "resource.owner == User::\"alice\""},
        {"principal.age > 20 && resource.public", "true && resource.public"},
        {"resource.x == 1 && principal.age > 20", "resource.x == 1"},
        {"principal.age < 20 && resource.public", "false"},
        {"principal.age < 20 || resource.x == 1", "resource.x == 1"},
        {"resource.x == 1 || principal.age > 20", "resource.x == 1 || true"},
        {"resource.x == 1 && 1 + \"a\" == 2", "resource.x == 1 && 1 + \"a\" == 2"},
        {"resource.x && true", "resource.x && true"},
        {"resource.x || false", "resource.x || false"},
        {"resource is Photo", "true"},
        {"resource is User", "false"},
        {"resource == User::\"alice\"", "false"},
        {"resource == Photo::\"p\"", "resource == Photo::\"p\""},
        {"context.known + 1 == 4", "true"},
        {"context.later == 1", "unknown(\"later\") == 1"},
        {"context has later", "true"},
        {"context has never", "false"},
        {"[context.later, 1].contains(1)", "[unknown(\"later\"), 1].contains(1)"},
        {"principal.secret == 1", "unknown(\"secret\") == 1"},
        {"if resource.x then principal.age else 3 == 3", "true && (if resource.x then 21 else true)"},
        {"principal in resource.group", "User::\"alice\" in resource.group"},
        {"!(resource.x == 1)", "!(resource.x == 1)"},
        {"resource has a.b", "resource has a && resource.a has b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        char text[512];
        struct value context;
        struct partial_decision d;
        struct buf b;
        world_init(&w);
        buf_init(&b, 4096);
        snprintf(text, sizeof text, "permit(principal, action, resource) when { %s };", cases[i].condition);
        world_load(&w, text,
                   "[{\"uid\":{\"type\":\"User\",\"id\":\"alice\"},\"attrs\":{\"age\":21,\"secret\":{\"__extn\":{"
                   "\"fn\":\"unknown\",\"arg\":\"secret\"}}},\"parents\":[]}]");
        assert_err(context_from_json(STR("{\"known\":3,\"later\":{\"__extn\":{\"fn\":\"unknown\",\"arg\":\"later\"}}}"),
                                     NULL, &w.mem, &w.m, &context),
                   ERR_OK);
        struct partial_request q = {.principal = world_uid(&w, "User::\"alice\""),
                                    .action = world_uid(&w, "Action::\"v\""),
                                    .resource_type = STR("Photo"),
                                    .context = &context};
        assert_err(partial_decide(&w.set, &w.es, &q, &w.mem, &d), ERR_OK);
        const struct partial_policy *p = &d.policies[0];
        if (p->truth == PARTIAL_RESIDUAL)
            expr_print(p->residual->conditions[0].body, &b);
        else
            buf_puts(&b, p->truth == PARTIAL_TRUE ? "true" : p->truth == PARTIAL_FALSE ? "false" : "error");
        if (!str_eq(buf_str(&b), str_of(cases[i].want))) fail_msg("%s: %.*s", cases[i].condition, STR_ARG(buf_str(&b)));
        assert_int_equal(d.decided, p->truth != PARTIAL_RESIDUAL);
        assert_int_equal(d.effect, p->truth == PARTIAL_TRUE ? EFFECT_PERMIT : EFFECT_DENY);
        buf_free(&b);
        world_free(&w);
    }
}

static void partial_conclusions(void **state)
{
    (void)state;
    static const struct {
        const char *policies;
        bool decided;
        enum effect effect;
    } cases[] = {
        {"permit(principal, action, resource);forbid(principal, action, resource == P::\"x\");", false, EFFECT_DENY},
        {"permit(principal, action, resource == P::\"x\");", false, EFFECT_DENY},
        {"permit(principal, action, resource);permit(principal, action, resource == P::\"x\");", true, EFFECT_PERMIT},
        {"forbid(principal, action, resource);permit(principal, action, resource == P::\"x\");", true, EFFECT_DENY},
        {"forbid(principal, action, resource == P::\"x\");", true, EFFECT_DENY},
        {"", true, EFFECT_DENY},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct partial_decision d;
        world_init(&w);
        world_load(&w, cases[i].policies, NULL);
        struct partial_request q = {.principal = world_uid(&w, "U::\"a\""), .action = world_uid(&w, "Action::\"v\"")};
        assert_err(partial_decide(&w.set, &w.es, &q, &w.mem, &d), ERR_OK);
        assert_int_equal(d.decided, cases[i].decided);
        assert_int_equal(d.effect, cases[i].effect);
        world_free(&w);
    }
}

/* Layout and residuals when memory runs out: an answer that is whole, or none. */
static void other_allocations(void **state)
{
    (void)state;
    static const char *const text = "permit(principal, action, resource == P::\"x\") when { resource.a has b.c && "
                                    "[resource, principal].contains(context) };";
    struct world w;
    world_init(&w);
    world_load(&w, text, NULL);
    struct partial_request q = {.principal = world_uid(&w, "U::\"a\""), .action = world_uid(&w, "Action::\"v\"")};
    EACH_ALLOC_FAILING({
        struct arena mem;
        struct mistakes m;
        struct buf b;
        struct partial_decision d;
        arena_init(&mem, NULL, 0, 64u << 20);
        mistakes_init(&m, &mem);
        buf_init(&b, 65536);
        enum err e = policies_format(str_of(text), &mem, &m, &b);
        if (e == ERR_OK) e = partial_decide(&w.set, NULL, &q, &mem, &d);
        if (e != ERR_OK) assert_true(alloc_fail_hit());
        if (e == ERR_OK) assert_int_equal(d.policies[0].truth, PARTIAL_RESIDUAL);
        buf_free(&b);
        arena_reset(&mem);
    })
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_of_text), cmocka_unit_test(policy_sets),           cmocka_unit_test(refuses_json),
        cmocka_unit_test(deep_json),    cmocka_unit_test(json_every_allocation), cmocka_unit_test(lays_out),
        cmocka_unit_test(residuals),    cmocka_unit_test(other_allocations),     cmocka_unit_test(partial_conclusions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
