#include "config_test.h"

#include "config/feed.h"
#include "config/snapshot.h"
#include "identity/issuer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

static const char text[] =
    "sallyport: 1\n"
    "name: edge\n"
    "listen: {gateway: [\":8080\", \"127.0.0.1:81\", \"unix:/run/gw.sock\"], admin: none}\n"
    "trusted_hops: [\"10.0.0.0/8\", \"192.0.2.128/25\", \"2001:db8::/33\", \"203.0.113.7\"]\n"
    "timeouts: {total: 60s}\n"
    "issuers:\n"
    "  corp: {issuer: iss1, audience: [api], algorithms: [RS256, ES256], keys: {file: keys.jwks}, default: true,\n"
    "         products: [app], roles: [buyer], permissions: any}\n"
    "  other: {issuer: iss2, audience: api, algorithms: HS256, typ: legacy, secret: {env: SALLYPORT_TEST_SECRET},\n"
    "          claims: {product: product}, leeway: 3s}\n"
    "  far: {issuer: iss3, audience: api, algorithms: EdDSA, keys: {url: \"https://x.example/jwks\", ca: ca.pem}}\n"
    "products:\n"
    "  app:\n"
    "    keys:\n"
    "    - {id: abcdefgh, sha256: ab00000000000000000000000000000000000000000000000000000000000001}\n"
    "    - {id: abcdefgi, sha256: ab00000000000000000000000000000000000000000000000000000000000002}\n"
    "    may: [view, \"business:invoke\"]\n"
    "  tok: {auth: token, may: pay}\n"
    "services:\n"
    "  orders: {instances: [\"10.0.0.11:8080\", \"unix:/run/o.sock\"], pass: authorization, implicit: false}\n"
    "  business: {instances: \"[::1]:9000\"}\n"
    "actions:\n"
    "  view: {match: \"GET /api/orders/{id}\", to: orders, strip: /api, timeout: 5s, body: 10}\n"
    "  pay: {match: \"POST /api/orders/{id}\", to: orders, accept: [token, apikey]}\n"
    "  site: {match: \"GET /\", to: business, public: true}\n"
    "roles: {buyer: [view, pay], clerk: [\"business:invoke\"]}\n"
    "permissions: {\"orders:read\": [view], pay: [view]}\n";

#define SECRET "0123456789abcdef0123456789abcdef"

static struct snapshot *build(void)
{
    struct config *c = parse_good(text);
    struct diags d;
    struct buf out;
    struct snapshot *s = NULL;
    diags_init(&d, STR("t"));
    buf_init(&out, 1 << 20);
    assert_int_equal(setenv("SALLYPORT_TEST_SECRET", SECRET, 1), 0);
    enum err e = snapshot_build(c, NULL, 42, &d, &s);
    diags_print(&d, &out);
    if (e != ERR_OK) fail_msg("%s: %.*s", err_name(e), STR_ARG(buf_str(&out)));
    buf_free(&out);
    diags_free(&d);
    config_free(&c); /* the snapshot borrows nothing from it */
    return s;
}

static void services_and_listeners_are_there(void **state)
{
    (void)state;
    struct snapshot *s = build();
    assert_int_equal(s->generation, 42);
    assert_str(s->name, STR("edge"));
    assert_str(s->data, STR("/etc/gw/.sallyport"));
    assert_int_equal(s->n_listeners, 3);
    assert_null(s->admin);
    struct sockaddr_in6 in6;
    memcpy(&in6, &s->listeners[0].addr, sizeof in6);
    assert_true(s->listeners[0].all && in6.sin6_family == AF_INET6 && in6.sin6_port == htons(8080));
    assert_int_equal(s->listeners[1].addr.ss_family, AF_INET);
    assert_false(s->listeners[1].all);
    assert_int_equal(s->listeners[2].kind, ADDRESS_UNIX);
    struct sockaddr_un un;
    memcpy(&un, &s->listeners[2].addr, sizeof un);
    assert_string_equal(un.sun_path, "/run/gw.sock");
    assert_int_equal(s->listeners[2].addr_len, offsetof(struct sockaddr_un, sun_path) + sizeof "/run/gw.sock");

    const struct snapshot_service *orders = snapshot_service(s, STR("orders"));
    assert_int_equal(orders->n_instances, 2);
    assert_str(orders->instances[0].text, STR("10.0.0.11:8080"));
    assert_str(orders->instances[0].shown, STR("10.0.0.11:8080"));
    assert_str(orders->instances[1].shown, STR("unix:/run/o.sock"));
    assert_str(snapshot_service(s, STR("business"))->instances[0].shown, STR("[::1]:9000"));
    assert_null(snapshot_service(s, STR("none")));
    snapshot_unref(&s);
    assert_null(s);
    snapshot_unref(&s);
}

static void actions_are_there_and_routed(void **state)
{
    (void)state;
    struct snapshot *s = build();
    assert_int_equal(s->n_actions, 4);
    const struct snapshot_action *view = snapshot_action(s, STR("view"));
    assert_int_equal(view->index, 0);
    assert_int_equal(view->service, 0);
    assert_int_equal(view->accept[CALLER_USER], ACCEPT_TOKEN);
    assert_int_equal(view->timeout_ms, 5000);
    assert_int_equal(view->body_max, 10);
    assert_int_equal(view->pass, PASS_AUTHORIZATION);
    assert_false(view->proof);
    const struct snapshot_action *pay = snapshot_action(s, STR("pay"));
    assert_int_equal(pay->accept[CALLER_USER], ACCEPT_TOKEN | ACCEPT_APIKEY);
    assert_int_equal(pay->timeout_ms, 60000);
    assert_int_equal(pay->body_max, 64 << 20);
    assert_true(snapshot_action(s, STR("site"))->is_public);
    assert_int_equal(snapshot_action(s, STR("site"))->accept[CALLER_USER], 0);
    const struct snapshot_action *invoke = snapshot_action(s, STR("business:invoke"));
    assert_true(invoke->implicit && !invoke->is_public);
    assert_int_equal(invoke->index, 3);
    assert_int_equal(invoke->service, 1);
    assert_int_equal(invoke->accept[CALLER_USER], ACCEPT_TOKEN);
    assert_null(snapshot_action(s, STR("orders:invoke")));

    struct route got;
    route_find(s->routes, METHOD_GET, STR("GET"), STR("/api/orders/7"), &got);
    assert_int_equal(got.match, ROUTE_FOUND);
    assert_int_equal(got.action, view->index);
    assert_str(got.forward, STR("/orders/7"));
    assert_str(got.params[0].name, STR("id"));
    route_find(s->routes, METHOD_POST, STR("POST"), STR("/business/a/b"), &got);
    assert_int_equal(got.action, invoke->index);
    assert_str(got.forward, STR("/a/b"));
    route_find(s->routes, METHOD_GET, STR("GET"), STR("/orders/7"), &got);
    assert_int_equal(got.match, ROUTE_NONE);
    snapshot_unref(&s);
}

static bool granted(const struct snapshot *s, uint16_t grantor, const char *action)
{
    const struct snapshot_action *a = snapshot_action(s, str_of(action));
    assert_non_null(a);
    return grants_decide(&s->grants, &grantor, 1, a->index) == EFFECT_PERMIT;
}

static void grants_are_exact(void **state)
{
    (void)state;
    struct snapshot *s = build();
    static const char *const actions[] = {"view", "pay", "site", "business:invoke"};
    const struct {
        uint16_t grantor;
        bool want[4];
    } rows[] = {
        {snapshot_product(s, STR("app"))->grantor, {true, false, false, true}},
        {snapshot_product(s, STR("tok"))->grantor, {false, true, false, false}},
        {snapshot_role(s, STR("buyer")), {true, true, false, false}},
        {snapshot_role(s, STR("clerk")), {false, false, false, true}},
        {snapshot_permission(s, STR("orders:read")), {true, false, false, false}},
        {snapshot_permission(s, STR("pay")), {true, true, false, false}}, /* listed, and named like the action */
        {snapshot_permission(s, STR("view")), {true, false, false, false}},
        {snapshot_permission(s, STR("business:invoke")), {false, false, false, true}},
        {SNAPSHOT_NO_GRANTOR, {false, false, false, false}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t k = 0; k < ARRAY_LEN(actions); k++)
            if (granted(s, rows[i].grantor, actions[k]) != rows[i].want[k]) fail_msg("row %zu, %s", i, actions[k]);
    /* the same name as a role and as a permission are two things */
    assert_int_equal(snapshot_role(s, STR("view")), SNAPSHOT_NO_GRANTOR);
    assert_int_equal(snapshot_role(s, STR("orders:read")), SNAPSHOT_NO_GRANTOR);
    assert_int_equal(snapshot_permission(s, STR("buyer")), SNAPSHOT_NO_GRANTOR);
    assert_int_equal(snapshot_role(s, STR("")), SNAPSHOT_NO_GRANTOR);
    snapshot_unref(&s);
}

static void products_keys_and_issuers_are_there(void **state)
{
    (void)state;
    struct snapshot *s = build();
    const struct snapshot_key *key = snapshot_key(s, STR("abcdefgi"));
    assert_int_equal(key->sha256[31], 2);
    assert_int_equal(key->product, snapshot_product(s, STR("app"))->index);
    assert_null(snapshot_key(s, STR("abcdefgj")));
    assert_int_equal(snapshot_product(s, STR("tok"))->auth, PRODUCT_TOKEN);

    const struct snapshot_issuer *corp = snapshot_issuer(s, STR("iss1"));
    assert_int_equal(corp->source, KEY_SOURCE_FILE);
    assert_str(corp->file, STR("/etc/gw/keys.jwks"));
    assert_str(corp->issuer->prefix, STR(""));
    assert_int_equal(corp->issuer->algs, 1u << ALG_RS256 | 1u << ALG_ES256);
    assert_true(name_set_has(&corp->issuer->roles, STR("buyer")) && !name_set_has(&corp->issuer->roles, STR("clerk")));
    assert_true(corp->issuer->permissions.any && !corp->issuer->roles.any);
    assert_true(name_set_has(&corp->issuer->products, STR("app")));
    assert_int_equal(corp->issuer->roles_paths.n, 2);
    assert_str(corp->issuer->roles_paths.v[1].whole, STR("realm_access.roles"));
    assert_int_equal(corp->issuer->product.n, 0);
    const struct snapshot_issuer *other = snapshot_issuer(s, STR("iss2"));
    assert_int_equal(other->source, KEY_SOURCE_SECRET);
    assert_str(other->secret, STR(SECRET));
    assert_str(other->issuer->prefix, STR("other"));
    assert_int_equal(other->issuer->typ, TYP_LEGACY);
    assert_int_equal(other->issuer->leeway_s, 3);
    assert_int_equal(other->issuer->product.n, 1);
    assert_false(name_set_has(&other->issuer->products, STR("app")));
    const struct snapshot_issuer *far = snapshot_issuer(s, STR("iss3"));
    assert_int_equal(far->source, KEY_SOURCE_URL);
    assert_str(far->url, STR("https://x.example/jwks"));
    assert_str(far->ca, STR("/etc/gw/ca.pem"));
    assert_int_equal(far->refresh_ms, 300000);
    assert_null(snapshot_issuer(s, STR("iss")));
    for (uint32_t i = 0; i < s->n_issuers; i++) assert_int_equal(s->issuers[i].issuer->index, i);
    snapshot_unref(&s);
}

static bool trusted(const struct snapshot *s, const char *address)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (inet_pton(AF_INET, address, &in4.sin_addr) == 1)
        memcpy(&ss, &in4, sizeof in4);
    else if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1)
        memcpy(&ss, &in6, sizeof in6);
    else
        memcpy(&ss, &un, sizeof un);
    return snapshot_hop_trusted(s, (struct sockaddr *)&ss);
}

static void hops_are_trusted_by_their_network(void **state)
{
    (void)state;
    struct snapshot *s = build();
    static const struct {
        const char *address;
        bool want;
    } rows[] = {
        {"10.0.0.1", true},
        {"10.255.255.255", true},
        {"11.0.0.0", false},
        {"9.255.255.255", false},
        {"192.0.2.128", true},
        {"192.0.2.127", false},
        {"203.0.113.7", true},
        {"203.0.113.6", false},
        {"::ffff:10.1.2.3", true},
        {"::ffff:11.1.2.3", false},
        {"2001:db8::1", true},
        {"2001:db8:7fff::1", true},
        {"2001:db8:8000::1", false},
        {"2001:db9::1", false},
        {"::10.0.0.1", false},
        {"a00::", false},
        {"unix", false},
        {"0.0.0.0", false},
        {"::", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (trusted(s, rows[i].address) != rows[i].want) fail_msg("%s", rows[i].address);
    assert_false(snapshot_hop_trusted(s, NULL));
    snapshot_unref(&s);

    struct config *c = parse_good("sallyport: 1\ntrusted_hops: unix\n");
    struct diags d;
    diags_init(&d, STR("t"));
    assert_err(snapshot_build(c, NULL, 1, &d, &s), ERR_OK);
    assert_true(trusted(s, "unix"));
    assert_false(trusted(s, "127.0.0.1"));
    snapshot_unref(&s);
    config_free(&c);
    diags_free(&d);
}

static void the_last_holder_frees(void **state)
{
    (void)state;
    struct snapshot *s = build(), *second = snapshot_ref(s);
    snapshot_unref(&s);
    assert_str(second->name, STR("edge")); /* the sanitizers watch */
    snapshot_unref(&second);
}

static void what_fails_outside_is_reported_together(void **state)
{
    (void)state;
    static const char bad[] = "sallyport: 1\n"
                              "issuers:\n"
                              "  a: {issuer: a, audience: a, algorithms: HS512, secret: {env: SALLYPORT_TEST_SECRET}}\n"
                              "  b: {issuer: b, audience: a, algorithms: HS256, secret: {env: SALLYPORT_TEST_NONE}}\n"
                              "services: {s: {instances: [\"no-such-host.invalid:1\", \"127.0.0.1:1\"]}}\n";
    struct config *c = parse_good(bad);
    struct snapshot *s = NULL;
    struct diags d;
    struct buf out;
    diags_init(&d, STR("t"));
    buf_init(&out, 1 << 20);
    assert_int_equal(setenv("SALLYPORT_TEST_SECRET", SECRET, 1), 0);
    assert_err(snapshot_build(c, NULL, 1, &d, &s), ERR_MALFORMED);
    assert_null(s);
    assert_int_equal(d.errors, 2);
    assert_int_equal(d.warnings, 1);
    diags_print(&d, &out);
    assert_non_null(memmem(out.p, out.n, "64 bytes at least", 17));
    assert_non_null(memmem(out.p, out.n, "SALLYPORT_TEST_NONE", 19));
    assert_non_null(memmem(out.p, out.n, "no-such-host.invalid:1", 22));
    assert_null(memmem(out.p, out.n, SECRET, 8));
    buf_free(&out);
    diags_free(&d);
    config_free(&c);
}

static void a_name_brings_each_of_its_addresses_once(void **state)
{
    (void)state;
    struct config *c =
        parse_good("sallyport: 1\nservices: {s: {instances: [\"127.0.0.9:1\", \"localhost:7\", \"127.0.0.8:1\"]}}\n");
    struct snapshot *s;
    struct diags d;
    diags_init(&d, STR("t"));
    assert_err(snapshot_build(c, NULL, 1, &d, &s), ERR_OK);
    const struct snapshot_service *v = &s->services[0];
    assert_true(v->n_instances >= 3);
    assert_str(v->instances[1].text, STR("localhost:7"));
    assert_true(str_ends(v->instances[1].shown, STR(":7")) && !str_eq(v->instances[1].shown, STR("localhost:7")));
    assert_str(v->instances[v->n_instances - 1].shown, STR("127.0.0.8:1"));
    for (uint32_t i = 0; i < v->n_instances; i++)
        for (uint32_t k = 0; k < i; k++) assert_false(str_eq(v->instances[i].shown, v->instances[k].shown));
    snapshot_unref(&s);
    config_free(&c);
    diags_free(&d);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct config *c = parse_good(text);
    assert_int_equal(setenv("SALLYPORT_TEST_SECRET", SECRET, 1), 0);
    EACH_ALLOC_FAILING({
        struct diags d;
        struct snapshot *s = NULL;
        diags_init(&d, STR("t"));
        enum err e = snapshot_build(c, NULL, 1, &d, &s);
        if (alloc_fail_hit()) {
            assert_err(e, ERR_NO_MEMORY);
            assert_null(s);
            assert_false(diags_ok(&d));
        } else {
            assert_err(e, ERR_OK);
        }
        snapshot_unref(&s);
        diags_free(&d);
    });
    config_free(&c);
}

static void small_configurations_are_small(void **state)
{
    (void)state;
    struct snapshot *s = build();
    assert_true(s->mem.used <= 16384);
    snapshot_unref(&s);
}

static void thousands_of_actions_need_no_square_of_bits(void **state)
{
    (void)state;
    struct buf in;
    buf_init(&in, 4 << 20);
    buf_puts(&in, "sallyport: 1\nservices: {s: {instances: \"127.0.0.1:1\"}}\nactions:\n");
    for (int i = 0; i < 10000; i++) buf_printf(&in, "  a%d: {match: \"GET /x%d/{id}\", to: s}\n", i, i);
    buf_putc(&in, 0);
    struct config *c = parse_good(in.p);
    struct snapshot *s;
    struct diags d;
    diags_init(&d, STR("t"));
    assert_err(snapshot_build(c, NULL, 1, &d, &s), ERR_OK);
    assert_true(s->mem.used < 6 << 20);
    uint16_t last = snapshot_permission(s, STR("a9999"));
    assert_true(granted(s, last, "a9999") && !granted(s, last, "a9998") && !granted(s, last, "s:invoke"));
    snapshot_unref(&s);
    config_free(&c);
    diags_free(&d);
    buf_free(&in);
}

static void records_come_in_order(void **state)
{
    (void)state;
    struct feed_position at = {0};
    const struct {
        struct feed_record r;
        enum feed_step want;
    } rows[] = {
        {{.epoch = 7, .number = 1, .kind = FEED_ISSUER_KEYS}, FEED_RESYNC}, /* nothing to put them on */
        {{.epoch = 7, .number = 1, .kind = FEED_SNAPSHOT}, FEED_APPLY},
        {{.epoch = 7, .number = 2, .kind = FEED_ISSUER_KEYS}, FEED_APPLY},
        {{.epoch = 7, .number = 2, .kind = FEED_ISSUER_KEYS}, FEED_OLD},
        {{.epoch = 7, .number = 1, .kind = FEED_SNAPSHOT}, FEED_OLD},
        {{.epoch = 7, .number = 4, .kind = FEED_ISSUER_KEYS}, FEED_RESYNC},
        {{.epoch = 7, .number = 5, .kind = FEED_SNAPSHOT}, FEED_APPLY},
        {{.epoch = 8, .number = 6, .kind = FEED_ISSUER_KEYS}, FEED_RESYNC},
        {{.epoch = 8, .number = 1, .kind = FEED_SNAPSHOT}, FEED_APPLY},
        {{.epoch = 8, .number = 2, .kind = FEED_ISSUER_KEYS}, FEED_APPLY},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum feed_step step = feed_check(&at, &rows[i].r);
        if (step != rows[i].want) fail_msg("row %zu: %d", i, (int)step);
        if (step == FEED_APPLY) feed_advance(&at, &rows[i].r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services_and_listeners_are_there),
        cmocka_unit_test(actions_are_there_and_routed),
        cmocka_unit_test(grants_are_exact),
        cmocka_unit_test(products_keys_and_issuers_are_there),
        cmocka_unit_test(hops_are_trusted_by_their_network),
        cmocka_unit_test(the_last_holder_frees),
        cmocka_unit_test(what_fails_outside_is_reported_together),
        cmocka_unit_test(a_name_brings_each_of_its_addresses_once),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(small_configurations_are_small),
        cmocka_unit_test(thousands_of_actions_need_no_square_of_bits),
        cmocka_unit_test(records_come_in_order),
    };
    return cmocka_run_group_tests_name("config/snapshot", tests, NULL, NULL);
}
