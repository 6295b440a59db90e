#include "world.h"

#include "policy/print.h"

#define P "permit (principal, action, resource) "

/* What is refused, why, and where. */
static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *name, *input;
        enum err err;
        enum policy_fault fault;
        uint32_t at;
    } cases[] = {
        {"effect", "allow(principal, action, resource);", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 0},
        {"no semicolon", "permit(principal, action, resource)", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 35},
        {"order of the scope", "permit(action, principal, resource);", ERR_MALFORMED, POLICY_FAULT_SCOPE, 7},
        {"a fourth", "permit(principal, action, resource, context);", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 36},
        {"only two", "permit(principal, action);", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 24},
        {"type with colon", "permit(principal: User, action, resource);", ERR_MALFORMED, POLICY_FAULT_SCOPE, 16},
        {"less in scope", "permit(principal < User::\"a\", action, resource);", ERR_MALFORMED, POLICY_FAULT_SCOPE, 17},
        {"one equals", "permit(principal = User::\"a\", action, resource);", ERR_MALFORMED, POLICY_FAULT_SCOPE, 17},
        {"is with ==", "permit(principal is User == User::\"a\", action, resource);", ERR_MALFORMED, POLICY_FAULT_SCOPE,
         25},
        {"action is", "permit(principal, action is Action, resource);", ERR_MALFORMED, POLICY_FAULT_SCOPE, 25},
        {"action of another type", "permit(principal, action == User::\"a\", resource);", ERR_MALFORMED,
         POLICY_FAULT_SCOPE, 25},
        {"the other's slot", "permit(principal == ?resource, action, resource);", ERR_MALFORMED, POLICY_FAULT_SLOT, 20},
        {"slot for the action", "permit(principal, action == ?action, resource);", ERR_MALFORMED, POLICY_FAULT_SYNTAX,
         28},
        {"slot in a condition", P "when { ?principal == principal };", ERR_MALFORMED, POLICY_FAULT_SLOT, 44},
        {"set of principals", "permit(principal in [User::\"a\"], action, resource);", ERR_MALFORMED,
         POLICY_FAULT_SYNTAX, 20},
        {"empty condition", P "when { };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 44},
        {"unknown variable", P "when { foo };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 44},
        {"unknown function", P "when { foo(1) };", ERR_MALFORMED, POLICY_FAULT_FUNCTION, 44},
        {"unknown method", P "when { context.foo(1) };", ERR_MALFORMED, POLICY_FAULT_FUNCTION, 52},
        {"method as function", P "when { contains([1], 1) };", ERR_MALFORMED, POLICY_FAULT_FUNCTION, 44},
        {"function as method", P "when { \"1.0\".decimal() };", ERR_MALFORMED, POLICY_FAULT_FUNCTION, 50},
        {"argument missing", P "when { [1].contains() };", ERR_MALFORMED, POLICY_FAULT_FUNCTION, 48},
        {"call of a value", P "when { principal(1) };", ERR_MALFORMED, POLICY_FAULT_FUNCTION, 53},
        {"chained comparison", P "when { 1 < 2 < 3 };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 50},
        {"division", P "when { 4 / 2 == 2 };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 46},
        {"remainder", P "when { 4 % 2 == 2 };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 46},
        {"five nots", P "when { !!!!!true };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 44},
        {"2^63", P "when { 9223372036854775808 == 1 };", ERR_MALFORMED, POLICY_FAULT_NUMBER, 44},
        {"-2^63 in parentheses", P "when { -(9223372036854775808) == 1 };", ERR_MALFORMED, POLICY_FAULT_NUMBER, 46},
        {"2^64 and more", P "when { 99999999999999999999 == 1 };", ERR_MALFORMED, POLICY_FAULT_NUMBER, 44},
        {"keyword as attribute", P "when { context.if };", ERR_MALFORMED, POLICY_FAULT_RESERVED, 52},
        {"keyword as type", P "when { principal is in };", ERR_MALFORMED, POLICY_FAULT_RESERVED, 57},
        {"our own namespace", P "when { __cedar::A::\"x\" == principal };", ERR_MALFORMED, POLICY_FAULT_RESERVED, 44},
        {"key twice", P "when { {a: 1, \"a\": 2} == 1 };", ERR_MALFORMED, POLICY_FAULT_DUPLICATE, 51},
        {"annotation twice", "@a(\"1\") @a(\"2\") " P ";", ERR_MALFORMED, POLICY_FAULT_DUPLICATE, 9},
        {"string without end", P "when { \"a };", ERR_MALFORMED, POLICY_FAULT_TOKEN, 44},
        {"stray character", P "when { # };", ERR_MALFORMED, POLICY_FAULT_TOKEN, 44},
        {"one ampersand", P "when { true & true };", ERR_MALFORMED, POLICY_FAULT_TOKEN, 49},
        {"escape", P "when { \"\\q\" == 1 };", ERR_MALFORMED, POLICY_FAULT_ESCAPE, 45},
        {"escape above 7F", P "when { \"\\xff\" == 1 };", ERR_MALFORMED, POLICY_FAULT_ESCAPE, 45},
        {"surrogate escape", P "when { \"\\u{d800}\" == 1 };", ERR_MALFORMED, POLICY_FAULT_ESCAPE, 45},
        {"escape of seven digits", P "when { \"\\u{0000041}\" == 1 };", ERR_MALFORMED, POLICY_FAULT_ESCAPE, 45},
        {"star escaped outside a pattern", P "when { \"\\*\" == 1 };", ERR_MALFORMED, POLICY_FAULT_ESCAPE, 45},
        {"carriage return in a string", P "when { \"a\rb\" == 1 };", ERR_MALFORMED, POLICY_FAULT_ESCAPE, 46},
        {"not UTF-8", P "when { \"\xff\" == 1 };", ERR_MALFORMED, POLICY_FAULT_UTF8, 45},
        {"not before minus", P "when { !-1 };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 45},
        {"like without a string", P "when { \"a\" like context };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 53},
        {"index by a number", P "when { context[1] };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 52},
        {"has a number", P "when { context has 1 };", ERR_MALFORMED, POLICY_FAULT_SYNTAX, 56},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_init(&w);
        enum err e = policies_parse(str_of(cases[i].input), 0, &w.mem, &w.m, &w.set);
        if (e != cases[i].err || mistakes_fault(&w.m) != cases[i].fault || w.m.first->at != cases[i].at)
            fail_msg("%s: %s, %s at %u", cases[i].name, err_name(e), policy_fault_name(mistakes_fault(&w.m)),
                     w.m.first ? w.m.first->at : 0);
        world_free(&w);
    }
}

/* Text to tree to text: the second is the normal form of the first and reads as itself. */
static void prints_what_it_read(void **state)
{
    (void)state;
    static const struct {
        const char *input, *want;
    } cases[] = {
        {"1+2*3-4", "1 + 2 * 3 - 4"},
        {"(1+2)*3", "(1 + 2) * 3"},
        {"1-(2-3)", "1 - (2 - 3)"},
        {"-1", "-1"},
        {"- 1", "-1"},
        {"-(1)", "-(1)"},
        {"--1", "-(-1)"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"-context.a", "-context.a"},
        {"(-1).a", "(-1).a"},
        {"!!true", "!(!true)"},
        {"true&&false||true", "true && false || true"},
        {"true&&(false||true)", "true && (false || true)"},
        {"true&&(false&&true)", "true && (false && true)"},
        {"(if true then 1 else 2)==1", "(if true then 1 else 2) == 1"},
        {"if true then if false then 1 else 2 else 3", "if true then if false then 1 else 2 else 3"},
        {"context[\"a\"]", "context.a"},
        {"context[\"a b\"].c", "context[\"a b\"].c"},
        {"context has a.b.c", "context has a.b.c"},
        {"context has \"a b\"", "context has \"a b\""},
        {"principal is A::B", "principal is A::B"},
        {"principal is A :: B in [ C::\"d\" , ]", "principal is A::B in [C::\"d\"]"},
        {"\"x\" like \"a*\\*\\\\\"", "\"x\" like \"a*\\*\\\\\""},
        {"\"x\" like \"**\"", "\"x\" like \"**\""},
        {"{b:1,\"a b\":2,a:3}", "{a: 3, \"a b\": 2, b: 1}"},
        {"ip(\"1.2.3.4\").isInRange(ip(\"1.0.0.0/8\"))", "ip(\"1.2.3.4\").isInRange(ip(\"1.0.0.0/8\"))"},
        {"[1,2,].containsAll([])", "[1, 2].containsAll([])"},
        {"principal in resource", "principal in resource"},
        {"\"\\u{41}\\x42\\n\\0\"", "\"AB\\n\\0\""},
        {"\"\\u{1F6_00}\"", "\"\xf0\x9f\x98\x80\""},
        {"true // comment\n && false", "true && false"},
        {"true\xc2\xa0&&\xe3\x80\x80"
         "false",
         "true && false"},
        {"action::resource::\"x\" == context", "action::resource::\"x\" == context"},
        {"context.permit.when", "context.permit.when"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct buf b;
        const struct expr *e, *again;
        world_init(&w);
        buf_init(&b, 4096);
        if (expr_parse(str_of(cases[i].input), &w.mem, &w.m, &e) != ERR_OK) fail_msg("%s: refused", cases[i].input);
        expr_print(e, &b);
        assert_str(buf_str(&b), str_of(cases[i].want));
        assert_err(expr_parse(buf_str(&b), &w.mem, &w.m, &again), ERR_OK);
        if (!expr_eq(e, again)) fail_msg("%s: another tree", cases[i].input);
        buf_free(&b);
        world_free(&w);
    }
}

static void reads_policies(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    world_init(&w);
    const char *text =
        "@id(\"one\") @bare permit(principal in ?principal, action in [Action::\"a\", N::Action::\"b\"], resource is T "
        "in ?resource)\n"
        "unless { false } when { true };forbid(principal == A::\"b\", action == Action::\"\", resource,);";
    assert_err(policies_parse(str_of(text), PARSE_ID_ANNOTATION, &w.mem, &w.m, &w.set), ERR_OK);
    assert_int_equal(w.set.n, 1);
    assert_int_equal(w.set.templates_n, 1);
    assert_str(w.set.templates[0]->id, STR("one"));
    assert_str(w.set.policies[0]->id, STR("policy1"));
    assert_str(policy_annotation(w.set.templates[0], STR("bare")), STR(""));
    assert_null(policy_annotation(w.set.templates[0], STR("none")).p);
    buf_init(&b, 4096);
    policy_print(w.set.templates[0], &b);
    assert_str(buf_str(&b), STR("@id(\"one\")\n@bare\npermit (principal in ?principal, action in [Action::\"a\", "
                                "N::Action::\"b\"], resource is T in ?resource)\n"
                                "unless { false }\nwhen { true };\n"));
    buf_free(&b);
    world_free(&w);
}

static void ids_must_differ(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    const char *text = "@id(\"a\") " P "; @id(\"a\") " P ";";
    assert_err(policies_parse(str_of(text), PARSE_ID_ANNOTATION, &w.mem, &w.m, &w.set), ERR_MALFORMED);
    assert_int_equal(mistakes_fault(&w.m), POLICY_FAULT_DUPLICATE);
    world_free(&w);
    world_init(&w);
    assert_err(policies_parse(str_of(text), 0, &w.mem, &w.m, &w.set), ERR_OK);
    world_free(&w);
}

static void tells_all_mistakes(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    world_init(&w);
    const char *text =
        "permti(principal, action, resource);\n" P "when { context.a = 1 };\n" P ";\n" P "when { contxt.a };\n";
    assert_err(policies_parse(str_of(text), 0, &w.mem, &w.m, &w.set), ERR_MALFORMED);
    assert_int_equal(w.m.n, 3);
    buf_init(&b, 65536);
    mistakes_print(&w.m, STR("p.cedar"), str_of(text), &b);
    assert_str(buf_str(&b), STR("p.cedar:1:1: expected `permit` or `forbid`, found `permti`\n"
                                "    permti(principal, action, resource);\n"
                                "    ^~~~~~\n"
                                "    help: did you mean `permit`?\n"
                                "p.cedar:2:55: `=` is no operator\n"
                                "    permit (principal, action, resource) when { context.a = 1 };\n"
                                "                                                          ^\n"
                                "    help: did you mean `==`?\n"
                                "p.cedar:4:45: there is no variable `contxt`\n"
                                "    permit (principal, action, resource) when { contxt.a };\n"
                                "                                                ^~~~~~\n"
                                "    help: did you mean `context`?\n"));
    buf_free(&b);
    world_free(&w);
}

/* A bare carriage return once ended the line before the place that was to be shown. */
static void shows_places_behind_a_carriage_return(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    char text[400];
    world_init(&w);
    memset(text, ' ', sizeof text);
    text[10] = '\r';
    text[399] = '#';
    assert_err(policies_parse(str_make(text, sizeof text), 0, &w.mem, &w.m, &w.set), ERR_MALFORMED);
    buf_init(&b, 65536);
    mistakes_print(&w.m, STR("p"), str_make(text, sizeof text), &b);
    assert_true(str_has(buf_str(&b), '#'));
    buf_free(&b);
    world_free(&w);
}

static void nested(struct buf *b, const char *open, const char *close, unsigned n)
{
    buf_puts(b, P "when { ");
    for (unsigned i = 0; i < n; i++) buf_puts(b, open);
    buf_puts(b, "true");
    for (unsigned i = 0; i < n; i++) buf_puts(b, close);
    buf_puts(b, " };");
}

/* Depth is bounded whatever it is made of, and what is within the bound is read. */
static void depth_is_bounded(void **state)
{
    (void)state;
    static const char *const shapes[][2] =
        {{"(", ")"},         {"[", "]"},       {"{a: ", "}"}, {"!(", ")"}, {"if true then ", " else true"},
         {"true && (", ")"}, {"true && ", ""}, {"ip(", ")"},  {"", ".a"},  {"", " + 1"}};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (unsigned deep = 0; deep < 2; deep++) {
            struct world w;
            struct buf b;
            world_init(&w);
            buf_init(&b, 10 << 20);
            nested(&b, shapes[i][0], shapes[i][1], deep ? 200000 : EXPR_DEPTH_MAX / 2 - 2);
            enum err e = policies_parse(buf_str(&b), 0, &w.mem, &w.m, &w.set);
            if (e != (deep ? ERR_LIMIT : ERR_OK)) fail_msg("%s %u: %s", shapes[i][0], deep, err_name(e));
            buf_free(&b);
            world_free(&w);
        }
}

static const char *const rich = "@id(\"a\") @b permit(principal in User::\"a\", action in [Action::\"v\"], resource is "
                                "T in A::\"x\") when { if principal.a[\"b c\"] has d.e "
                                "then [1, -2, {a: \"\\u{41}\"}].contains(ip(\"1.2.3.4\")) else context.x like \"a*b\" "
                                "|| principal is T in resource && 1 + 2 * 3 > 4 };"
                                "forbid(principal == ?principal, action, resource) unless { context.getTag(\"a\") };";

/* Every prefix of a text is refused or read; nothing is read beyond it. */
static void every_prefix(void **state)
{
    (void)state;
    size_t n = strlen(rich);
    for (size_t i = 0; i <= n; i++) {
        struct world w;
        char *copy = malloc(i + 1);
        world_init(&w);
        assert_non_null(copy);
        memcpy(copy, rich, i);
        enum err e = policies_parse(str_make(copy, i), 0, &w.mem, &w.m, &w.set);
        assert_true(e == ERR_OK || w.m.n > 0);
        free(copy);
        world_free(&w);
    }
}

static void every_allocation(void **state)
{
    (void)state;
    EACH_ALLOC_FAILING({
        struct arena mem;
        struct mistakes m;
        struct policy_set set;
        arena_init(&mem, NULL, 0, 64u << 20);
        mistakes_init(&m, &mem);
        enum err e = policies_parse(str_of(rich), 0, &mem, &m, &set);
        if (e != ERR_OK) assert_true(alloc_fail_hit());
        if (e == ERR_OK) assert_int_equal(set.n + set.templates_n, 2);
        arena_reset(&mem);
    })
}

static void links_templates(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_load(&w, "permit(principal == ?principal, action, resource in ?resource);", NULL);
    const struct policy *t = w.set.templates[0];
    const struct uid *a = world_uid(&w, "User::\"a\""), *b = world_uid(&w, "Album::\"b\"");
    assert_err(policy_link(&w.set, t, STR("l"), a, NULL), ERR_MALFORMED);
    assert_err(policy_link(&w.set, t, STR("policy0"), a, b), ERR_CONFLICT);
    assert_err(policy_link(&w.set, t, STR("l"), a, b), ERR_OK);
    assert_err(policy_link(&w.set, t, STR("l"), a, b), ERR_CONFLICT);
    assert_int_equal(w.set.n, 1);
    assert_ptr_equal(w.set.policies[0]->template, t);
    assert_true(uid_eq(w.set.policies[0]->resource.uid, b));
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses),
        cmocka_unit_test(prints_what_it_read),
        cmocka_unit_test(reads_policies),
        cmocka_unit_test(ids_must_differ),
        cmocka_unit_test(tells_all_mistakes),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(every_prefix),
        cmocka_unit_test(every_allocation),
        cmocka_unit_test(shows_places_behind_a_carriage_return),
        cmocka_unit_test(links_templates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
