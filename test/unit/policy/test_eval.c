#include "world.h"

#include "base/rand.h"

static const char *const entities =
    "[{\"uid\":{\"type\":\"User\",\"id\":\"alice\"},\"attrs\":{\"age\":21,\"name\":\"Alice\",\"boss\":{\"__entity\":{"
    "\"type\":\"User\",\"id\":\"bob\"}},"
    "\"tags\":[\"a\",\"b\"],\"rec\":{\"x\":{\"y\":1}},\"ip\":{\"__extn\":{\"fn\":\"ip\",\"arg\":\"10.1.2.3\"}}},"
    "\"parents\":[{\"type\":\"Group\",\"id\":\"staff\"}],\"tags\":{\"t\":\"v\"}},"
    "{\"uid\":{\"type\":\"User\",\"id\":\"bob\"},\"attrs\":{\"age\":50},\"parents\":[]},"
    "{\"uid\":{\"type\":\"Group\",\"id\":\"staff\"},\"attrs\":{},\"parents\":[{\"type\":\"Group\",\"id\":\"all\"}]},"
    "{\"uid\":{\"type\":\"Group\",\"id\":\"all\"},\"attrs\":{},\"parents\":[]}]";

/* Each expression as the condition of a policy: true, false, or why there is no answer. */
static void expressions(void **state)
{
    (void)state;
    static const struct {
        const char *expr, *want;
    } cases[] = {
        {"true", "true"},
        {"1 == 1", "true"},
        {"1 == \"1\"", "false"},
        {"[1, 2, 1] == [2, 1]", "true"},
        {"{a: 1, b: [2]} == {b: [2, 2], a: 1}", "true"},
        {"{a: 1} == {a: 1, b: 2}", "false"},
        {"ip(\"127.0.0.1\") == ip(\"127.0.0.1/32\")", "true"},
        {"decimal(\"1.0\") == decimal(\"1.0000\")", "true"},
        {"datetime(\"2024-10-15\") == datetime(\"2024-10-15T00:00:00Z\")", "true"},
        {"9223372036854775807 + 1 == 0", "overflow"},
        {"-9223372036854775808 - 1 == 0", "overflow"},
        {"-(-9223372036854775808) == 0", "overflow"},
        {"4611686018427387904 * 2 == 0", "overflow"},
        {"9223372036854775807 + 0 == 9223372036854775807", "true"},
        {"9007199254740993 == 9007199254740992", "false"},
        {"1 < \"a\"", "type"},
        {"1 < 1", "false"},
        {"1 <= 1", "true"},
        {"1 > 1", "false"},
        {"1 >= 1", "true"},
        {"-1 >= 1", "false"},
        {"2 <= 1", "false"},
        {"duration(\"1h\") <= duration(\"60m\")", "true"},
        {"ip(\"10.0.0.0/8\").isInRange(ip(\"10.0.0.0/8\"))", "true"},
        {"ip(\"10.0.0.1\").isInRange(ip(\"10.0.0.0/31\"))", "true"},
        {"ip(\"10.0.0.2\").isInRange(ip(\"10.0.0.0/31\"))", "false"},
        {"ip(\"0.0.0.0\").isInRange(ip(\"0.0.0.0/0\"))", "true"},
        {"datetime(\"2024-01-01\") < datetime(\"2024-01-02\")", "true"},
        {"datetime(\"2024-01-01\") < duration(\"1d\")", "type"},
        {"decimal(\"1.0\") < decimal(\"2.0\")", "type"},
        {"1 && true", "type"},
        {"false && 1", "false"},
        {"true || 1", "true"},
        {"true && 1", "type"},
        {"if 1 then true else false", "type"},
        {"if true then true else 1 + \"a\"", "true"},
        {"!1", "type"},
        {"principal.age > 20", "true"},
        {"principal.nope == 1", "attribute"},
        {"resource.age == 1", "entity"},
        {"context.nope == 1", "attribute"},
        {"\"a\".b == 1", "type"},
        {"principal has age", "true"},
        {"principal has nope", "false"},
        {"resource has age", "false"},
        {"principal has rec.x.y", "true"},
        {"principal has rec.x.z", "false"},
        {"principal has boss.age", "true"},
        {"principal has boss.boss.age", "false"},
        {"principal has age.x", "type"},
        {"1 has a", "type"},
        {"principal.boss.age == 50", "true"},
        {"principal in Group::\"staff\"", "true"},
        {"principal in Group::\"all\"", "true"},
        {"principal in principal", "true"},
        {"resource in resource", "true"},
        {"principal in Group::\"none\"", "false"},
        {"principal in [Group::\"none\", Group::\"all\"]", "true"},
        {"principal in []", "false"},
        {"principal in [Group::\"all\", 1]", "type"},
        {"principal in 1", "type"},
        {"1 in principal", "type"},
        {"resource in [resource, 1]", "type"},
        {"principal is User", "true"},
        {"principal is User in Group::\"all\"", "true"},
        {"principal is Group in 1", "false"},
        {"principal is User in 1", "type"},
        {"1 is User", "type"},
        {"principal.name like \"A*e\"", "true"},
        {"principal.name like \"a*\"", "false"},
        {"\"a*b\" like \"a\\*b\"", "true"},
        {"\"axb\" like \"a\\*b\"", "false"},
        {"\"\" like \"\"", "true"},
        {"\"\" like \"*\"", "true"},
        {"\"abcabc\" like \"*bc\"", "true"},
        {"\"abc\" like \"abc*abc\"", "false"},
        {"\"aXbYc\" like \"a*b*c\"", "true"},
        {"1 like \"a\"", "type"},
        {"principal.tags.contains(\"a\")", "true"},
        {"principal.tags.containsAll([\"b\", \"a\"])", "true"},
        {"principal.tags.containsAll([])", "true"},
        {"principal.tags.containsAny([\"z\", \"b\"])", "true"},
        {"principal.tags.containsAny([])", "false"},
        {"principal.tags.isEmpty()", "false"},
        {"[].isEmpty()", "true"},
        {"principal.age.contains(1)", "type"},
        {"principal.tags.containsAll(1)", "type"},
        {"principal.hasTag(\"t\")", "true"},
        {"principal.hasTag(\"u\")", "false"},
        {"resource.hasTag(\"t\")", "false"},
        {"principal.getTag(\"t\") == \"v\"", "true"},
        {"principal.getTag(\"u\") == \"v\"", "tag"},
        {"resource.getTag(\"t\") == \"v\"", "entity"},
        {"principal.hasTag(1)", "type"},
        {"principal.ip.isInRange(ip(\"10.0.0.0/8\"))", "true"},
        {"ip(\"10.0.0.0/8\").isInRange(ip(\"10.1.0.0/16\"))", "false"},
        {"ip(\"::1\").isLoopback()", "true"},
        {"ip(\"::1/127\").isLoopback()", "false"},
        {"ip(\"127.0.0.0/7\").isLoopback()", "false"},
        {"ip(\"ff00::/8\").isMulticast()", "true"},
        {"ip(\"1.2.3.4\").isInRange(ip(\"::/0\"))", "false"},
        {"ip(\"nope\").isIpv4()", "extension"},
        {"ip(1).isIpv4()", "type"},
        {"ip(\"1.2.3.4\", \"1.2.3.4\").isIpv4()", "extension"},
        {"decimal(\"1.5\").lessThan(decimal(\"1.50\"))", "false"},
        {"decimal(\"1.5\").lessThanOrEqual(decimal(\"1.50\"))", "true"},
        {"decimal(\"1.23456\") == decimal(\"1.2\")", "extension"},
        {"duration(\"1d2h\").toHours() == 26", "true"},
        {"duration(\"-1d\").toMilliseconds() == -86400000", "true"},
        {"datetime(\"1969-12-31T23:59:59.999Z\").toTime() == duration(\"23h59m59s999ms\")", "true"},
        {"datetime(\"1969-12-31T23:00:00Z\").toDate() == datetime(\"1969-12-31\")", "true"},
        {"datetime(\"2024-10-15T11:35:00+0100\") == datetime(\"2024-10-15T10:35:00Z\")", "true"},
        {"datetime(\"2024-10-15\").offset(duration(\"9223372036854775807ms\")) == 1", "extension"},
        {"context.n + 1 == 8", "true"},
        {"context[\"a b\"] == \"c\"", "true"},
        {"action == Action::\"view\"", "true"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        char text[1024];
        world_init(&w);
        snprintf(text, sizeof text, "permit(principal, action, resource) when { %s };", cases[i].expr);
        world_load(&w, text, entities);
        struct policy_request q =
            world_request(&w, "User::\"alice\"", "Action::\"view\"", "Photo::\"p\"", "{\"n\": 7, \"a b\": \"c\"}");
        struct decision d;
        assert_err(decide(&w.decider, &w.es, &q, &d), ERR_OK);
        const char *got = d.errors_n                  ? eval_fault_name(w.decider.failures[0].fault)
                          : d.effect == EFFECT_PERMIT ? "true"
                                                      : "false";
        if (strcmp(got, cases[i].want) != 0) fail_msg("%s: %s, want %s", cases[i].expr, got, cases[i].want);
        /* the other evaluator, which works on the tree, says the same */
        struct value v = {0};
        const struct expr *at;
        enum eval_fault f = evaluate_expr(w.set.policies[0]->conditions[0].body, &w.es, &q, &w.mem, &v, &at);
        got = f ? eval_fault_name(f) : v.kind != VALUE_BOOL ? "type" : v.boolean ? "true" : "false";
        if (strcmp(got, cases[i].want) != 0) fail_msg("%s: tree says %s, want %s", cases[i].expr, got, cases[i].want);
        world_free(&w);
    }
}

static void decisions(void **state)
{
    (void)state;
    static const struct {
        const char *name, *policies, *want;
    } cases[] = {
        {"nothing permits", "", "deny"},
        {"one permits", "permit(principal, action, resource);", "allow policy0"},
        {"forbid wins", "permit(principal, action, resource);forbid(principal, action, resource);", "deny policy1"},
        {"all reasons", "permit(principal, action, resource);permit(principal is User, action, resource);",
         "allow policy0 policy1"},
        {"an error counts for nothing", "permit(principal, action, resource) when { 1 + \"a\" == 2 };",
         "deny | policy0"},
        {"an erring forbid does not forbid",
         "permit(principal, action, resource);forbid(principal, action, resource) when { context.nope };",
         "allow policy0 | policy1"},
        {"all errors",
         "forbid(principal, action, resource) when { 1 };permit(principal == User::\"alice\", action, resource) unless "
         "{ 2 };",
         "deny | policy0 policy1"},
        {"unless", "permit(principal, action, resource) unless { principal.age < 18 };", "allow policy0"},
        {"first condition false hides the second's error",
         "permit(principal, action, resource) when { false } when { 1 };", "deny"},
        {"scope eq", "permit(principal == User::\"bob\", action, resource);", "deny"},
        {"scope in, at a distance", "permit(principal in Group::\"all\", action, resource);", "allow policy0"},
        {"scope in itself", "permit(principal in User::\"alice\", action, resource);", "allow policy0"},
        {"scope is", "permit(principal is Group, action, resource);", "deny"},
        {"scope is in", "permit(principal is User in Group::\"staff\", action, resource);", "allow policy0"},
        {"action list", "permit(principal, action in [Action::\"edit\", Action::\"view\"], resource);",
         "allow policy0"},
        {"action list twice the same", "permit(principal, action in [Action::\"view\", Action::\"view\"], resource);",
         "allow policy0"},
        {"empty action list", "permit(principal, action in [], resource);", "deny"},
        {"scope and error: the scope first", "permit(principal == User::\"bob\", action, resource) when { 1 };",
         "deny"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        world_init(&w);
        world_load(&w, cases[i].policies, entities);
        struct policy_request q = world_request(&w, "User::\"alice\"", "Action::\"view\"", "Photo::\"p\"", NULL);
        str got = world_decide(&w, &q);
        if (!str_eq(got, str_of(cases[i].want))) fail_msg("%s: %.*s", cases[i].name, STR_ARG(got));
        assert_str(world_decide(&w, &q), str_of(cases[i].want)); /* a decider can be used again */
        world_free(&w);
    }
}

static void zero_is_deny(void **state)
{
    (void)state;
    struct decision d = {0};
    assert_int_equal(d.effect, EFFECT_DENY);
}

/* What one request brings along is seen first, and only by it; its ancestors come from the store. */
static void own_entities(void **state)
{
    (void)state;
    struct world w;
    struct entity own[2];
    struct value record;
    world_init(&w);
    world_load(&w, "permit(principal in Group::\"all\", action, resource) when { resource.owner == principal };",
               entities);
    struct policy_request q = world_request(&w, "User::\"new\"", "Action::\"view\"", "Photo::\"p\"", NULL);
    assert_str(world_decide(&w, &q), STR("deny"));
    const struct uid *parents[] = {world_uid(&w, "Group::\"staff\""), world_uid(&w, "Role::\"r\"")};
    struct attr owner = {STR("owner"), value_entity(q.principal)};
    assert_true(value_record(&owner, 1, &record));
    assert_err(entity_make(q.principal, NULL, parents, 2, &w.es, &w.mem, &own[0]), ERR_OK);
    assert_err(entity_make(q.resource, &record, NULL, 0, &w.es, &w.mem, &own[1]), ERR_OK);
    assert_int_equal(own[0].ancestors_n, 3);
    q.own = own;
    q.own_n = 2;
    assert_str(world_decide(&w, &q), STR("allow policy0"));
    q.own_n = 1;
    assert_str(world_decide(&w, &q), STR("deny | policy0"));
    world_free(&w);
}

/* Whatever the index leaves out would not have fitted: many policies, all kinds of scopes, against a plain scan. */
static void index_against_scan(void **state)
{
    (void)state;
    static const char *const principals[] = {"principal",
                                             "principal == User::\"%u\"",
                                             "principal in Group::\"%u\"",
                                             "principal is User",
                                             "principal is User in Group::\"%u\"",
                                             "principal is Group"};
    static const char *const actions[] = {"action", "action == Action::\"%u\"", "action in Action::\"%u\"",
                                          "action in [Action::\"%u\", Action::\"1\"]", "action in []"};
    static const char *const resources[] = {"resource", "resource == Photo::\"%u\"", "resource in Album::\"%u\"",
                                            "resource is Photo", "resource is Photo in Album::\"%u\""};
    struct world w;
    struct buf p, e;
    world_init(&w);
    buf_init(&p, 1 << 20);
    buf_init(&e, 1 << 20);
    for (unsigned i = 0; i < 600; i++) {
        uint64_t r = rand_u64();
        unsigned n = (unsigned)(r >> 40) % 8;
        buf_puts(&p, r & 1 ? "permit(" : "forbid(");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_printf(&p, principals[(r >> 1) % 6], n);
        buf_puts(&p, ", ");
        buf_printf(&p, actions[(r >> 8) % 5], n);
        buf_puts(&p, ", ");
        buf_printf(&p, resources[(r >> 16) % 5], n);
#pragma GCC diagnostic pop
        buf_puts(&p, r & 2 ? ") when { context.nope };" : ");");
    }
    buf_putc(&e, '[');
    for (unsigned i = 0; i < 8; i++)
        buf_printf(&e,
                   "%s{\"uid\":{\"type\":\"User\",\"id\":\"%u\"},\"attrs\":{},\"parents\":[{\"type\":\"Group\",\"id\":"
                   "\"%u\"},{\"type\":\"Group\",\"id\":\"%u\"}]},"
                   "{\"uid\":{\"type\":\"Photo\",\"id\":\"%u\"},\"attrs\":{},\"parents\":[{\"type\":\"Album\",\"id\":"
                   "\"%u\"}]},"
                   "{\"uid\":{\"type\":\"Action\",\"id\":\"%u\"},\"attrs\":{},\"parents\":[%s]}",
                   i ? "," : "", i, i / 2, i * 3 % 8, i, i * 5 % 8, i, i ? "{\"type\":\"Action\",\"id\":\"0\"}" : "");
    buf_puts(&e, "]");
    buf_putc(&p, 0);
    buf_putc(&e, 0);
    world_load(&w, p.p, e.p);
    struct facts f = {.entities = &w.es, .scratch = &w.mem};
    for (unsigned i = 0; i < 512; i++) {
        char pr[32], ac[32], re[32];
        snprintf(pr, sizeof pr, "%s::\"%u\"", i % 7 ? "User" : "Group", i % 8);
        snprintf(ac, sizeof ac, "Action::\"%u\"", i / 8 % 8);
        snprintf(re, sizeof re, "Photo::\"%u\"", i / 64 % 8);
        struct policy_request q = world_request(&w, pr, ac, re, NULL);
        struct decision d;
        uint32_t permits = 0, forbids = 0, errors = 0;
        for (uint32_t k = 0; k < w.set.n; k++) {
            const struct policy *x = w.set.policies[k];
            if (!scope_fits(x, &q, &f)) continue;
            if (x->conditions_n)
                errors++;
            else if (x->effect == EFFECT_PERMIT)
                permits++;
            else
                forbids++;
        }
        assert_err(decide(&w.decider, &w.es, &q, &d), ERR_OK);
        assert_int_equal(d.errors_n, errors);
        assert_int_equal(d.reasons_n, forbids ? forbids : permits);
        assert_int_equal(d.effect, !forbids && permits ? EFFECT_PERMIT : EFFECT_DENY);
        for (uint32_t k = 1; k < d.reasons_n; k++) assert_true(d.reasons[k - 1]->index < d.reasons[k]->index);
        assert_true(w.decider.judged < w.set.n);
    }
    buf_free(&p);
    buf_free(&e);
    world_free(&w);
}

/* Sets made while deciding beyond all bounds fail the decision; it is not an allow. */
static void scratch_is_bounded(void **state)
{
    (void)state;
    struct world w;
    struct buf b;
    world_init(&w);
    buf_init(&b, 64 << 20);
    buf_puts(&b, "permit(principal, action, resource) unless { [");
    for (unsigned i = 0; i < 3000; i++) {
        buf_puts(&b, "[");
        for (unsigned k = 0; k < 200; k++) buf_puts(&b, "context,");
        buf_puts(&b, "],");
    }
    buf_puts(&b, "].isEmpty() };");
    buf_putc(&b, 0);
    world_load(&w, b.p, NULL);
    struct policy_request q = world_request(&w, "User::\"a\"", "Action::\"v\"", "Photo::\"p\"", NULL);
    struct decision d;
    assert_err(decide(&w.decider, &w.es, &q, &d), ERR_LIMIT);
    assert_int_equal(d.effect, EFFECT_DENY);
    buf_free(&b);
    world_free(&w);
}

static void every_allocation(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_load(&w,
               "permit(principal in Group::\"all\", action in [Action::\"view\", Action::\"x\"], resource) when { "
               "[principal.age, 1].contains(21) };",
               entities);
    struct policy_request q = world_request(&w, "User::\"alice\"", "Action::\"view\"", "Photo::\"p\"", NULL);
    EACH_ALLOC_FAILING({
        struct compiled *c = NULL;
        struct decider d = {0};
        struct decision out = {0};
        enum err e = compile(&w.set, &c);
        if (e == ERR_OK) e = decider_init(&d, c);
        if (e == ERR_OK) e = decide(&d, &w.es, &q, &out);
        if (e == ERR_OK)
            assert_int_equal(out.effect, EFFECT_PERMIT);
        else
            assert_true(alloc_fail_hit());
        decider_free(&d);
        compiled_free(&c);
    })
    world_free(&w);
}

/* Nothing is asked of the heap while deciding. */
static void decides_without_allocating(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_load(&w,
               "permit(principal in Group::\"all\", action, resource) when { [principal.age, 1].contains(21) && {a: "
               "principal}.a == principal };",
               entities);
    struct policy_request q = world_request(&w, "User::\"alice\"", "Action::\"view\"", "Photo::\"p\"", NULL);
    struct decision d;
    alloc_fail_at(0);
    enum err e = decide(&w.decider, &w.es, &q, &d);
    bool hit = alloc_fail_hit();
    alloc_fail_at(-1);
    assert_err(e, ERR_OK);
    assert_false(hit);
    assert_int_equal(d.effect, EFFECT_PERMIT);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions),        cmocka_unit_test(decisions),
        cmocka_unit_test(zero_is_deny),       cmocka_unit_test(own_entities),
        cmocka_unit_test(index_against_scan), cmocka_unit_test(scratch_is_bounded),
        cmocka_unit_test(every_allocation),   cmocka_unit_test(decides_without_allocating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
