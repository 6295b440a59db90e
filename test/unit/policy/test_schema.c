#include "world.h"

static const char *const schema_text =
    "type Address = { street: String, zip?: Long };\n"
    "entity Group in [Group];\n"
    "entity User in Group = { age: Long, name?: String, address?: Address, friends: Set<User>, ip: ipaddr } tags "
    "Set<String>;\n"
    "entity Photo in [Album] { owner: User, meta: { a?: Long } };\n"
    "entity Album;\n"
    "entity Color enum [\"red\", \"green\"];\n"
    "action read;\n"
    "@doc(\"x\") action view, \"edit it\" in [read] appliesTo { principal: [User], resource: [Photo, Album], context: "
    "{ hour: Long, note?: String } };\n"
    "namespace App { entity Person, Robot; action go appliesTo { principal: [Person, Robot], resource: User, context: "
    "Info }; type Info = { x: __cedar::Long, who: Person, u: User }; }\n";

static const char *const schema_json =
    "{\"\": {\"commonTypes\": {\"Address\": {\"type\": \"Record\", \"attributes\": {\"street\": {\"type\": "
    "\"String\"}, \"zip\": {\"type\": \"Long\", \"required\": false}}}},"
    "\"entityTypes\": {\"Group\": {\"memberOfTypes\": [\"Group\"]}, \"Album\": {}, \"Color\": {\"enum\": [\"red\", "
    "\"green\"]},"
    "\"User\": {\"memberOfTypes\": [\"Group\"], \"tags\": {\"type\": \"Set\", \"element\": {\"type\": \"String\"}}, "
    "\"shape\": {\"type\": \"Record\", \"attributes\": {"
    "\"age\": {\"type\": \"Long\"}, \"name\": {\"type\": \"String\", \"required\": false}, \"address\": {\"type\": "
    "\"Address\", \"required\": false},"
    "\"friends\": {\"type\": \"Set\", \"element\": {\"type\": \"Entity\", \"name\": \"User\"}}, \"ip\": {\"type\": "
    "\"Extension\", \"name\": \"ipaddr\"}}}},"
    "\"Photo\": {\"memberOfTypes\": [\"Album\"], \"shape\": {\"type\": \"Record\", \"attributes\": {\"owner\": "
    "{\"type\": \"EntityOrCommon\", \"name\": \"User\"},"
    "\"meta\": {\"type\": \"Record\", \"attributes\": {\"a\": {\"type\": \"Long\", \"required\": false}}}}}}},"
    "\"actions\": {\"read\": {}, \"view\": {\"memberOf\": [{\"id\": \"read\"}], \"appliesTo\": {\"principalTypes\": "
    "[\"User\"], \"resourceTypes\": [\"Photo\", \"Album\"],"
    "\"context\": {\"type\": \"Record\", \"attributes\": {\"hour\": {\"type\": \"Long\"}, \"note\": {\"type\": "
    "\"String\", \"required\": false}}}}}}}}";

static void print(const struct type *t, struct buf *b)
{
    buf_clear(b);
    type_print(t, b);
}

static void resolves(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    world_init(&w);
    assert_err(schema_parse(str_of(schema_text), &w.mem, &w.m, &w.schema), ERR_OK);
    buf_init(&b, 4096);
    print(schema_entity(w.schema, STR("User"))->shape, &b);
    assert_str(
        buf_str(&b),
        STR("{address?: {street: String, zip?: Long}, age: Long, friends: Set<User>, ip: ipaddr, name?: String}"));
    print(schema_entity(w.schema, STR("User"))->tags, &b);
    assert_str(buf_str(&b), STR("Set<String>"));
    const struct uid *go = world_uid(&w, "App::Action::\"go\"");
    print(schema_action(w.schema, go)->context, &b);
    assert_str(buf_str(&b), STR("{u: User, who: App::Person, x: Long}"));
    assert_str(schema_action(w.schema, go)->resources[0], STR("User"));
    const struct action_type *read = schema_action(w.schema, world_uid(&w, "Action::\"read\""));
    assert_int_equal(read->descendants_n, 2);
    assert_int_equal(read->principals_n, 0);
    const struct entity_type *group = schema_entity(w.schema, STR("Group"));
    assert_int_equal(group->descendants_n, 2); /* users, and groups */
    assert_true(schema_entity(w.schema, STR("Color"))->is_enum);
    assert_null(schema_entity(w.schema, STR("Person")));
    buf_free(&b);
    world_free(&w);
}

/* Both forms say the same. */
static void json_and_text_agree(void **state)
{
    (void)state;
    struct world a, b;
    world_init(&a);
    world_init(&b);
    assert_err(schema_parse(str_of(schema_text), &a.mem, &a.m, &a.schema), ERR_OK);
    assert_err(schema_parse_json(str_of(schema_json), &b.mem, &b.m, &b.schema), ERR_OK);
    for (uint32_t i = 0; i < b.schema->types_n; i++) {
        const struct entity_type *x = b.schema->type_list[i], *y = schema_entity(a.schema, x->name);
        assert_non_null(y);
        assert_true(type_eq(x->shape, y->shape));
        assert_int_equal(x->tags != NULL, y->tags != NULL);
        assert_int_equal(x->descendants_n, y->descendants_n);
        assert_int_equal(x->choices_n, y->choices_n);
    }
    for (uint32_t i = 0; i < b.schema->actions_n; i++) {
        const struct action_type *x = b.schema->action_list[i], *y = schema_action(a.schema, x->uid);
        assert_non_null(y);
        assert_true(type_eq(x->context, y->context));
        assert_int_equal(x->principals_n, y->principals_n);
    }
    world_free(&a);
    world_free(&b);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *name, *input;
        enum policy_fault fault;
    } cases[] = {
        {"unknown type", "entity A = { x: Strin };", POLICY_FAULT_UNKNOWN},
        {"unknown parent", "entity A in [B];", POLICY_FAULT_UNKNOWN},
        {"a common type is no parent", "type B = Long; entity A in [B];", POLICY_FAULT_UNKNOWN},
        {"twice", "entity A; entity A;", POLICY_FAULT_DUPLICATE},
        {"action twice", "action a; action a;", POLICY_FAULT_DUPLICATE},
        {"type twice", "type A = Long; type A = Long;", POLICY_FAULT_DUPLICATE},
        {"attribute twice", "entity A = { x: Long, x: Long };", POLICY_FAULT_DUPLICATE},
        {"a type in itself", "type A = { b: B }; type B = Set<A>; entity X = { a: A };", POLICY_FAULT_CYCLE},
        {"an action in itself", "action a in [b]; action b in [a];", POLICY_FAULT_CYCLE},
        {"unknown action", "action a in [b];", POLICY_FAULT_UNKNOWN},
        {"language's own name", "type Long = String;", POLICY_FAULT_RESERVED},
        {"Action declared", "entity Action;", POLICY_FAULT_RESERVED},
        {"hides an outer type", "entity A; namespace N { entity A; }", POLICY_FAULT_DUPLICATE},
        {"context no record", "entity A; action a appliesTo { principal: A, resource: A, context: Long };",
         POLICY_FAULT_UNKNOWN},
        {"common context no record",
         "entity A; type C = Long; action a appliesTo { principal: A, resource: A, context: C };", POLICY_FAULT_TYPE},
        {"no resource", "entity A; action a appliesTo { principal: A };", POLICY_FAULT_SYNTAX},
        {"empty principals", "entity A; action a appliesTo { principal: [], resource: A };", POLICY_FAULT_SYNTAX},
        {"member of an enumerated type", "entity E enum [\"a\"]; entity A in [E];", POLICY_FAULT_TYPE},
        {"actions as principals", "entity A; action a appliesTo { principal: Action, resource: A };",
         POLICY_FAULT_UNKNOWN},
        {"empty enumeration", "entity E enum [];", POLICY_FAULT_SYNTAX},
        {"no semicolon", "entity A", POLICY_FAULT_SYNTAX},
        {"namespace left open", "namespace N { entity A;", POLICY_FAULT_SYNTAX},
        {"keyword", "entity if;", POLICY_FAULT_RESERVED},
        {"nonsense", "entty A;", POLICY_FAULT_SYNTAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_init(&w);
        enum err e = schema_parse(str_of(cases[i].input), &w.mem, &w.m, &w.schema);
        if (strcmp(cases[i].name, "context no record") == 0) {
            /* `Long` names a builtin: not a record, told as a type mistake */
            assert_err(e, ERR_MALFORMED);
        } else if (e != ERR_MALFORMED || mistakes_fault(&w.m) != cases[i].fault) {
            fail_msg("%s: %s, %s", cases[i].name, err_name(e), policy_fault_name(mistakes_fault(&w.m)));
        }
        world_free(&w);
    }
}

static void refuses_json(void **state)
{
    (void)state;
    static const char *const cases[] =
        {"",
         "[]",
         "{\"N\": 1}",
         "{\"\": {\"entityTypes\": {}}}",
         "{\"\": {\"entityTypes\": {}, \"actions\": {}, \"x\": 1}}",
         "{\"\": {\"entityTypes\": {\"A\": {\"shape\": {\"type\": \"Nope\"}}}, \"actions\": {}}}",
         "{\"\": {\"entityTypes\": {\"A\": {\"shape\": {\"type\": \"Set\"}}}, \"actions\": {}}}",
         ("{\"\": {\"entityTypes\": {\"A\": {\"shape\": {\"type\": \"Record\", \"attributes\": {}, "
          "\"additionalAttributes\": true}}}, \"actions\": {}}}"),
         "{\"\": {\"entityTypes\": {\"if\": {}}, \"actions\": {}}}",
         "{\"a b\": {\"entityTypes\": {}, \"actions\": {}}}",
         "{\"\": {\"entityTypes\": {}, \"actions\": {\"a\": {\"appliesTo\": {\"principalTypes\": []}}}}}"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_init(&w);
        if (schema_parse_json(str_of(cases[i]), &w.mem, &w.m, &w.schema) != ERR_MALFORMED)
            fail_msg("%s: accepted", cases[i]);
        assert_true(w.m.n > 0);
        world_free(&w);
    }
}

/* The verdict on one condition of a policy about a User and a Photo. */
static void verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *condition;
        bool valid;
        enum policy_fault fault;
    } cases[] = {
        {"principal.age > 17", true, POLICY_FAULT_NONE},
        {"principal.agee > 17", false, POLICY_FAULT_UNKNOWN},
        {"principal.age == \"a\"", false, POLICY_FAULT_TYPE},
        {"principal.name == \"a\"", false, POLICY_FAULT_TYPE},
        {"principal has name && principal.name == \"a\"", true, POLICY_FAULT_NONE},
        {"principal has name || principal.name == \"a\"", false, POLICY_FAULT_TYPE},
        {"!(principal has name) || principal.name == \"a\"", false, POLICY_FAULT_TYPE},
        {"if principal has name then principal.name == \"a\" else false", true, POLICY_FAULT_NONE},
        {"if principal has name then false else principal.name == \"a\"", false, POLICY_FAULT_TYPE},
        {"(principal has name && true) && principal.name == \"a\"", true, POLICY_FAULT_NONE},
        {"(principal has name || principal has name) && principal.name == \"a\"", true, POLICY_FAULT_NONE},
        {"(principal has name || principal has address.zip) && principal.name == \"a\"", false, POLICY_FAULT_TYPE},
        {"(principal has address.zip || principal has name) && principal.name == \"a\"", false, POLICY_FAULT_TYPE},
        {"(principal has name || true) && principal.name == \"a\"", false, POLICY_FAULT_TYPE},
        {"principal has address.zip && principal.address.zip == 1", true, POLICY_FAULT_NONE},
        {"principal has address && principal.address.zip == 1", false, POLICY_FAULT_TYPE},
        {"resource.owner has name && principal.name == \"a\"", false, POLICY_FAULT_TYPE},
        {"principal has nope", true, POLICY_FAULT_NONE},
        {"principal has nope && principal.nope == 1", true, POLICY_FAULT_NONE},
        {"principal.hasTag(\"a\") && principal.getTag(\"a\").contains(\"b\")", true, POLICY_FAULT_NONE},
        {"principal.getTag(\"a\").contains(\"b\")", false, POLICY_FAULT_TYPE},
        {"principal.hasTag(\"a\") && principal.getTag(\"b\").contains(\"b\")", false, POLICY_FAULT_TYPE},
        {"resource.hasTag(\"a\") && resource.getTag(\"a\") == 1", true, POLICY_FAULT_NONE},
        {"[principal.age, \"a\"].contains(1)", false, POLICY_FAULT_TYPE},
        {"[].isEmpty()", false, POLICY_FAULT_TYPE},
        {"principal.friends.contains(resource.owner)", true, POLICY_FAULT_NONE},
        {"principal.friends.contains(resource)", false, POLICY_FAULT_TYPE},
        {"principal in Group::\"a\"", true, POLICY_FAULT_NONE},
        {"principal in Nope::\"a\"", false, POLICY_FAULT_UNKNOWN},
        {"principal in [Group::\"a\", Photo::\"b\"]", false, POLICY_FAULT_TYPE},
        {"principal == resource", true, POLICY_FAULT_NONE}, /* never equal, but no mistake */
        {"{a: principal.age} == {a: 1}", true, POLICY_FAULT_NONE},
        {"{a: principal.age} == {b: 1}", false, POLICY_FAULT_TYPE},
        {"1", false, POLICY_FAULT_TYPE},
        {"principal.age + principal.age > 1", true, POLICY_FAULT_NONE},
        {"principal.age + true > 1", false, POLICY_FAULT_TYPE},
        {"false && principal.nope", true, POLICY_FAULT_NONE},
        {"true || principal.nope", true, POLICY_FAULT_NONE},
        {"principal is Photo && principal.nope", true, POLICY_FAULT_NONE},
        {"principal is Nope", false, POLICY_FAULT_UNKNOWN},
        {"action == Action::\"view\" && context.hour > 1", true, POLICY_FAULT_NONE},
        {"action == Action::\"nope\"", false, POLICY_FAULT_UNKNOWN},
        {"action in [Action::\"read\"]", true, POLICY_FAULT_NONE},
        {"principal.ip.isInRange(ip(\"10.0.0.0/8\"))", true, POLICY_FAULT_NONE},
        {"principal.ip.isInRange(ip(\"10.0.0.0/99\"))", false, POLICY_FAULT_TYPE},
        {"principal has name && ip(principal.name).isIpv4()", false, POLICY_FAULT_TYPE},
        {"principal.ip.isInRange()", false, POLICY_FAULT_TYPE},
        {"resource == Color::\"blue\"", false, POLICY_FAULT_UNKNOWN},
        {"context.note == \"a\"", false, POLICY_FAULT_TYPE},
        {"context has hour && context.hour == 1", true, POLICY_FAULT_NONE},
        {"principal.age like \"a\"", false, POLICY_FAULT_TYPE},
        {"resource.meta has a && resource.meta.a == 1", true, POLICY_FAULT_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        char text[512];
        world_init(&w);
        assert_err(schema_parse(str_of(schema_text), &w.mem, &w.m, &w.schema), ERR_OK);
        snprintf(text, sizeof text,
                 "permit(principal is User, action == Action::\"view\", resource is Photo) when { %s };",
                 cases[i].condition);
        assert_err(policies_parse(str_of(text), 0, &w.mem, &w.m, &w.set), ERR_OK);
        enum err e = policies_validate(&w.set, w.schema, &w.m);
        if ((e == ERR_OK) != cases[i].valid || mistakes_fault(&w.m) != cases[i].fault)
            fail_msg("%s: %s, %s", cases[i].condition, err_name(e), policy_fault_name(mistakes_fault(&w.m)));
        world_free(&w);
    }
}

static void scopes(void **state)
{
    (void)state;
    static const struct {
        const char *policy;
        bool valid;
    } cases[] = {
        {"permit(principal, action, resource);", true},
        {"permit(principal == User::\"a\", action == Action::\"view\", resource);", true},
        {"permit(principal == Photo::\"a\", action == Action::\"view\", resource);", false},
        {"permit(principal in Group::\"a\", action == Action::\"view\", resource);", true},
        {"permit(principal == Group::\"a\", action == Action::\"view\", resource);", false},
        {"permit(principal, action in Action::\"read\", resource in Album::\"a\");", true},
        {"permit(principal, action == Action::\"read\", resource);", false}, /* applies to nothing */
        {"permit(principal is User in Group::\"a\", action, resource);", true},
        {"permit(principal is Album, action, resource);", false},
        {"permit(principal, action in [], resource);", false},
        {"permit(principal in ?principal, action, resource == ?resource) when { principal.age > 1 };", false},
        {"permit(principal in ?principal, action == Action::\"view\", resource == ?resource) when { principal.age > 1 "
         "};",
         true},
        {"permit(principal is App::Robot, action == App::Action::\"go\", resource) when { resource.age > context.x };",
         true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_init(&w);
        assert_err(schema_parse(str_of(schema_text), &w.mem, &w.m, &w.schema), ERR_OK);
        assert_err(policies_parse(str_of(cases[i].policy), 0, &w.mem, &w.m, &w.set), ERR_OK);
        enum err e = policies_validate(&w.set, w.schema, &w.m);
        if ((e == ERR_OK) != cases[i].valid) fail_msg("%s: %s", cases[i].policy, err_name(e));
        world_free(&w);
    }
}

static void deep_types_are_bounded(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    world_init(&w);
    buf_init(&b, 10 << 20);
    buf_puts(&b, "entity A = { a: ");
    for (int i = 0; i < 100000; i++) buf_puts(&b, "Set<");
    assert_err(schema_parse(buf_str(&b), &w.mem, &w.m, &w.schema), ERR_LIMIT);
    world_free(&w);
    /* through names, too */
    world_init(&w);
    buf_clear(&b);
    buf_puts(&b, "type T0 = Long; entity A = { a: T500 };");
    for (int i = 1; i <= 500; i++) buf_printf(&b, "type T%d = Set<T%d>;", i, i - 1);
    assert_err(schema_parse(buf_str(&b), &w.mem, &w.m, &w.schema), ERR_LIMIT);
    world_free(&w);
    /* and in breadth: each doubles the one before */
    world_init(&w);
    buf_clear(&b);
    buf_puts(&b, "type T0 = Long; entity A = { a: T40 };");
    for (int i = 1; i <= 40; i++) buf_printf(&b, "type T%d = {a: T%d, b: T%d};", i, i - 1, i - 1);
    assert_err(schema_parse(buf_str(&b), &w.mem, &w.m, &w.schema), ERR_LIMIT);
    buf_free(&b);
    world_free(&w);
}

static void every_prefix(void **state)
{
    (void)state;
    for (size_t i = 0; i <= strlen(schema_text); i++) {
        struct world w;
        world_init(&w);
        char *copy = malloc(i + 1);
        assert_non_null(copy);
        memcpy(copy, schema_text, i);
        enum err e = schema_parse(str_make(copy, i), &w.mem, &w.m, &w.schema);
        assert_true(e == ERR_OK || w.m.n > 0);
        free(copy);
        world_free(&w);
    }
}

static void every_allocation(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    assert_err(policies_parse(STR("permit(principal, action, resource is Photo) when { principal has name && "
                                  "principal.name == \"a\" && [1].contains(context.hour) };"),
                              0, &w.mem, &w.m, &w.set),
               ERR_OK);
    for (int json = 0; json < 2; json++)
        EACH_ALLOC_FAILING({
            struct arena mem;
            struct mistakes m;
            struct schema *s = NULL;
            arena_init(&mem, NULL, 0, 64u << 20);
            mistakes_init(&m, &mem);
            enum err e = json ? schema_parse_json(str_of(schema_json), &mem, &m, &s)
                              : schema_parse(str_of(schema_text), &mem, &m, &s);
            if (e == ERR_OK) e = policies_validate(&w.set, s, &m);
            if (e != ERR_OK) assert_true(alloc_fail_hit() || !json);
            schema_free(&s);
            arena_reset(&mem);
        })
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolves),
        cmocka_unit_test(json_and_text_agree),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_json),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(scopes),
        cmocka_unit_test(deep_types_are_bounded),
        cmocka_unit_test(every_prefix),
        cmocka_unit_test(every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
