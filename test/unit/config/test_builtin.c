/* The sections authentication, store, feed and seal, what they bring by themselves, and products of the store. */
#include "config_test.h"

#include "config/findings.h"
#include "config/product.h"
#include "config/snapshot.h"
#include "config/stored.h"
#include "identity/issuer.h"

#define AUTH "authentication: {issuer: \"https://a.example\"}\n"
#define APP                                                                                                            \
    "services: {app: {instances: \"127.0.0.1:1\", implicit: false}}\nactions: {hello: {match: GET /hello, to: app}}\n"

static const char whole[] = "sallyport: 1\n"
                            "data: /var/lib/s\n"
                            "authentication:\n"
                            "  issuer: https://a.example\n"
                            "  audience: [api, web]\n"
                            "  access_token: 5m\n"
                            "  refresh_token: 8h\n"
                            "  session: 2d\n"
                            "  algorithm: EdDSA\n"
                            "  rotate: 7d\n"
                            "  publish_ahead: 6h\n"
                            "  password: {memory: 64MB, passes: 3, concurrent: 4, queue: 0}\n"
                            "  throttle: {account: 5/h, address: 600/s}\n"
                            "  user_bases: [staff, users]\n"
                            "store: {engine: memory}\n"
                            "feed: {lease: 1m}\n"
                            "seal: {file: seal.txt}\n"
                            "products:\n"
                            "  web: {login: password, secret: signature, users: users, may: [hello]}\n"
                            "  desk: {login: password, secret: basic}\n"
                            "  plain: {may: [hello]}\n" APP "roles: {r: [hello]}\n";

static struct snapshot *snapshot_of(const struct config *c)
{
    struct diags d;
    struct snapshot *s = NULL;
    diags_init(&d, STR("t"));
    assert_err(snapshot_build(c, NULL, 7, &d, &s), ERR_OK);
    diags_free(&d);
    return s;
}

static void every_value_arrives(void **state)
{
    (void)state;
    struct config *c = parse_good(whole);
    struct snapshot *s = snapshot_of(c);
    config_free(&c);
    const struct authentication_settings *a = &s->authentication;
    assert_true(a->on && s->fed);
    assert_str(a->issuer, STR("https://a.example"));
    assert_int_equal(a->n_audience, 2);
    assert_str(a->audience[1], STR("web"));
    assert_int_equal(a->access_s, 300);
    assert_int_equal(a->refresh_s, 8 * 3600);
    assert_int_equal(a->session_s, 2 * 86400);
    assert_str(a->algorithm, STR("EdDSA"));
    assert_int_equal(a->rotate_s, 7 * 86400);
    assert_int_equal(a->publish_ahead_s, 6 * 3600);
    assert_int_equal(a->memory_kib, 65536);
    assert_int_equal(a->passes, 3);
    assert_int_equal(a->concurrent, 4);
    assert_int_equal(a->queue, 0);
    assert_int_equal(a->account.count, 5);
    assert_int_equal(a->account.window_s, 3600);
    assert_int_equal(a->address.count, 600);
    assert_int_equal(a->address.window_s, 1);
    assert_int_equal(a->n_user_bases, 2);
    assert_int_equal(s->engine, CONFIG_ENGINE_MEMORY);
    assert_int_equal(s->lease_ms, 60000);
    assert_int_equal(s->seal.provider, SECRET_FILE);
    assert_str(s->seal.value.s, STR("/etc/gw/seal.txt"));
    const struct snapshot_product *web = snapshot_product(s, STR("web")), *desk = snapshot_product(s, STR("desk"));
    assert_int_equal(web->login, LOGIN_PASSWORD);
    assert_int_equal(web->proof, PROOF_SIGNATURE);
    assert_str(web->users, STR("users"));
    assert_int_equal(desk->proof, PROOF_BASIC);
    assert_str(desk->users, STR("staff")); /* the first base */
    assert_int_equal(snapshot_product(s, STR("plain"))->login, LOGIN_NONE);
    char path[64];
    assert_err(snapshot_data_path(s, "data.sock", path, sizeof path), ERR_OK);
    assert_string_equal(path, "/var/lib/s/data.sock");
    assert_err(snapshot_data_path(s, "data.sock", path, 20), ERR_LIMIT);
    snapshot_unref(&s);
}

static void what_is_left_out_has_good_values(void **state)
{
    (void)state;
    struct config *c = parse_good("sallyport: 1\n" AUTH);
    const struct config_authentication *a = &c->authentication;
    assert_true(a->on && c->fed);
    assert_int_equal(a->audience.n, 1);
    assert_str(a->audience.v[0].s, STR("https://a.example"));
    assert_int_equal(a->access_s, 600);
    assert_int_equal(a->refresh_s, 30 * 86400);
    assert_int_equal(a->session_s, 90 * 86400);
    assert_str(a->algorithm.s, STR("ES256"));
    assert_int_equal(a->publish_ahead_s, 3600);
    assert_int_equal(a->memory, 19 << 20);
    assert_int_equal(a->account.count, 10);
    assert_int_equal(a->account.window_s, 60);
    assert_int_equal(c->engine, CONFIG_ENGINE_SQLITE);
    assert_int_equal(c->lease_ms, 600000);
    assert_int_equal(c->seal.provider, SECRET_NONE);
    config_free(&c);
    /* what one value says, those that were not written follow */
    c = parse_good(
        "sallyport: 1\nauthentication: {issuer: \"https://a\", rotate: 2s, access_token: 1s, session: 60s}\n");
    assert_int_equal(c->authentication.publish_ahead_s, 1);
    assert_int_equal(c->authentication.refresh_s, 60);
    assert_int_equal(c->lease_ms, 1000);
    config_free(&c);
    c = parse_good("sallyport: 1\nauthentication: {issuer: \"https://a\", access_token: 1h}\n");
    assert_int_equal(c->lease_ms, 900000);
    config_free(&c);
    /* a store without logins */
    c = parse_good("sallyport: 1\nstore: {engine: sqlite}\n");
    assert_true(c->fed && !c->authentication.on && c->n_issuers == 0 && c->n_actions == 0);
    assert_int_equal(c->lease_ms, 900000);
    config_free(&c);
    c = parse_good("sallyport: 1\n");
    assert_false(c->fed);
    config_free(&c);
}

static void each_mistake_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in, *code, *text; /* parts of it */
    } rows[] = {
        {"no issuer", "authentication: {}\n", "missing_key", "issuer"},
        {"issuer is no URL", "authentication: {issuer: here}\n", "text", "https://"},
        {"issuer with a query", "authentication: {issuer: \"https://a/?x\"}\n", "text", "query"},
        {"a key misspelled", "authentication: {issuer: \"https://a\", acces_token: 1m}\n", "unknown_key",
         "access_token"},
        {"algorithm", "authentication: {issuer: \"https://a\", algorithm: HS256}\n", "text", "ES256"},
        {"life too short", "authentication: {issuer: \"https://a\", access_token: 10ms}\n", "time", "1s"},
        {"refresh before access", "authentication: {issuer: \"https://a\", refresh_token: 1m}\n", "lives", "before"},
        {"session before refresh", "authentication: {issuer: \"https://a\", refresh_token: 2d, session: 1d}\n", "lives",
         "session"},
        {"published longer than signing", "authentication: {issuer: \"https://a\", rotate: 1m, publish_ahead: 2m}\n",
         "lives", "publish_ahead"},
        {"rate", "authentication: {issuer: \"https://a\", throttle: {account: 10}}\n", "rate", "10/m"},
        {"rate of nothing", "authentication: {issuer: \"https://a\", throttle: {account: 0/m}}\n", "rate", "10/m"},
        {"base", "authentication: {issuer: \"https://a\", user_bases: [Users]}\n", "text", "a-z"},
        {"engine", "store: {engine: sqlit}\n", "choice", "did you mean 'sqlite'?"},
        {"lease", "feed: {lease: 10ms}\n", "time", "1s"},
        {"seal inline", "seal: hunter2hunter2\n", "secret_inline", "must not stand"},
        {"login without a service", "products: {p: {login: password}}\n", "login", "no Authentication Service"},
        {"login by token", AUTH "products: {p: {auth: token, login: password}}\n", "login", "auth: token"},
        {"login by what", AUTH "products: {p: {login: pasword}}\n", "choice", "did you mean 'password'?"},
        {"secret without login", AUTH "products: {p: {secret: basic}}\n", "login", "without `login`"},
        {"users without login", AUTH "products: {p: {users: users}}\n", "login", "without `login`"},
        {"unknown base", AUTH "products: {p: {login: password, users: user}}\n", "unknown_base",
         "did you mean 'users'?"},
        {"issuer's name taken",
         AUTH "issuers: {authentication: {issuer: x, audience: a, algorithms: RS256, keys: {file: k}}}\n", "taken",
         "issuers.authentication"},
        {"service's name taken", AUTH "services: {authentication: {instances: \"h:1\"}}\n", "taken",
         "services.authentication"},
        {"iss twice",
         AUTH "issuers: {i: {issuer: \"https://a.example\", audience: a, algorithms: RS256, keys: {file: k}}}\n",
         "twice", "issuer"},
        {"data too long",
         "data: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n" AUTH,
         "data", "shorter"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[2000];
        struct diags d;
        struct config *c;
        struct buf out;
        snprintf(text, sizeof text, "sallyport: 1\n%s", rows[i].in);
        enum err e = parse_text(text, &d, &c);
        buf_init(&out, 1 << 20);
        diags_print(&d, &out);
        buf_putc(&out, 0);
        bool found = false;
        for (uint32_t k = 0; k < d.n; k++) found |= strcmp(d.v[k].code, rows[i].code) == 0;
        if (e != ERR_MALFORMED || !found || !strstr(out.p, rows[i].text))
            fail_msg("%s: %s, no %s:\n%s", rows[i].name, err_name(e), rows[i].code, out.p);
        assert_null(strstr(out.p, "hunter2"));
        buf_free(&out);
        diags_free(&d);
        config_free(&c);
    }
}

static uint32_t action_at(const struct snapshot *s, const char *method, const char *path)
{
    struct route got;
    route_find(s->routes, method_of(str_of(method)), str_of(method), str_of(path), &got);
    return got.match == ROUTE_FOUND ? got.action : UINT32_MAX;
}

static bool product_may(const struct snapshot *s, const char *product, const char *action)
{
    uint16_t g = snapshot_product(s, str_of(product))->grantor;
    return grants_decide(&s->grants, &g, 1, snapshot_action(s, str_of(action))->index) == EFFECT_PERMIT;
}

static void the_service_brings_its_issuer_its_routes_and_its_grants(void **state)
{
    (void)state;
    struct config *c = parse_good(whole);
    struct snapshot *s = snapshot_of(c);
    config_free(&c);
    const struct snapshot_service *service = snapshot_service(s, STR("authentication"));
    assert_str(service->instances[0].text, STR("unix:/var/lib/s/authentication.sock"));
    const struct snapshot_issuer *issuer = snapshot_issuer(s, STR("https://a.example"));
    assert_int_equal(issuer->source, KEY_SOURCE_FEED);
    assert_str(issuer->name, STR("authentication"));
    assert_str(issuer->issuer->prefix, STR("")); /* no other is the default */
    assert_int_equal(issuer->issuer->algs, CONFIG_SIGNING_ALGS);
    assert_int_equal(issuer->issuer->typ, TYP_AT_JWT);
    assert_true(name_set_has(&issuer->issuer->products, STR("anything")));
    static const struct {
        const char *method, *path, *action;
        uint8_t accept;
        bool is_public, proof;
    } routes[] = {
        {"POST", "/authentication/login", "authentication:login", ACCEPT_APIKEY, false, true},
        {"POST", "/authentication/refresh", "authentication:refresh", ACCEPT_APIKEY, false, true},
        {"POST", "/authentication/logout", "authentication:logout", ACCEPT_APIKEY, false, true},
        {"GET", "/authentication/sessions", "authentication:sessions", ACCEPT_TOKEN, false, false},
        {"DELETE", "/authentication/sessions", "authentication:sessions", ACCEPT_TOKEN, false, false},
        {"DELETE", "/authentication/sessions/abc", "authentication:sessions", ACCEPT_TOKEN, false, false},
        {"GET", "/.well-known/jwks.json", "authentication:keys", 0, true, false},
        {"GET", "/.well-known/openid-configuration", "authentication:keys", 0, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct snapshot_action *a = snapshot_action(s, str_of(routes[i].action));
        assert_non_null(a);
        assert_int_equal(action_at(s, routes[i].method, routes[i].path), a->index);
        assert_int_equal(a->accept[CALLER_USER], routes[i].accept);
        assert_int_equal(a->is_public, routes[i].is_public);
        assert_int_equal(a->proof, routes[i].proof);
        assert_int_equal(a->service, service->index);
        if (a->proof) assert_true(a->pass & PASS_AUTHORIZATION);
        if (a->is_public) continue;
        assert_true(product_may(s, "web", routes[i].action));
        assert_true(product_may(s, "desk", routes[i].action));
        assert_false(product_may(s, "plain", routes[i].action));
    }
    assert_int_equal(action_at(s, "GET", "/authentication/login"), UINT32_MAX);
    assert_int_equal(action_at(s, "GET", "/authentication/x"), UINT32_MAX);
    /* each user of ours may see his sessions, and nothing else comes with that */
    uint32_t sessions = snapshot_action(s, STR("authentication:sessions"))->index;
    assert_int_equal(grants_decide(&s->grants, &issuer->grantor, 1, sessions), EFFECT_PERMIT);
    for (uint32_t a = 0; a < s->n_actions; a++)
        assert_int_equal(grants_decide(&s->grants, &issuer->grantor, 1, a) == EFFECT_PERMIT, a == sessions);
    snapshot_unref(&s);
}

static void the_file_comes_first(void **state)
{
    (void)state;
    /* another default, a route of its own where a built-in one would be */
    struct diags d;
    struct config *c;
    const char *text =
        "sallyport: 1\n" AUTH
        "issuers: {corp: {issuer: x, audience: a, algorithms: HS256, secret: {env: SALLYPORT_TEST_SECRET}, "
        "default: true}}\n"
        "services: {app: {instances: \"127.0.0.1:1\", implicit: false}}\n"
        "actions: {mine: {match: [\"GET /.well-known/{x}\", \"POST /authentication/login\"], to: app, public: true},\n"
        "          all: {match: \"* /{rest*}\", to: app}}\n";
    assert_err(parse_text(text, &d, &c), ERR_OK);
    assert_int_equal(d.n, 1);
    assert_string_equal(d.v[0].code, "taken");
    diags_free(&d);
    assert_int_equal(setenv("SALLYPORT_TEST_SECRET", "0123456789abcdef0123456789abcdef", 1), 0);
    struct snapshot *s = snapshot_of(c);
    assert_str(snapshot_issuer(s, STR("https://a.example"))->issuer->prefix, STR("authentication"));
    assert_int_equal(snapshot_issuer(s, STR("x"))->grantor, SNAPSHOT_NO_GRANTOR);
    assert_int_equal(action_at(s, "POST", "/authentication/login"), snapshot_action(s, STR("mine"))->index);
    assert_int_equal(action_at(s, "POST", "/authentication/logout"),
                     snapshot_action(s, STR("authentication:logout"))->index);
    assert_int_equal(action_at(s, "GET", "/.well-known/jwks.json"),
                     snapshot_action(s, STR("authentication:keys"))->index); /* a literal wins over {x} */
    assert_int_equal(action_at(s, "GET", "/.well-known/else"), snapshot_action(s, STR("mine"))->index);
    snapshot_unref(&s);
    config_free(&c);
}

static void one_products_gateway_keeps_its_logins(void **state)
{
    (void)state;
    struct config *c = parse_good(whole);
    struct diags d;
    diags_init(&d, STR("t"));
    assert_err(config_keep_product(c, STR("web"), &d), ERR_OK);
    diags_free(&d);
    struct snapshot *s = snapshot_of(c);
    assert_true(product_may(s, "web", "authentication:login"));
    assert_non_null(snapshot_action(s, STR("authentication:keys")));
    const struct snapshot_issuer *issuer = snapshot_issuer(s, STR("https://a.example"));
    assert_true(name_set_has(&issuer->issuer->products, STR("web")));
    assert_false(name_set_has(&issuer->issuer->products, STR("desk")));
    snapshot_unref(&s);
    config_free(&c);
}

static void products_of_the_store_come_behind_those_of_the_file(void **state)
{
    (void)state;
    struct config *c = parse_good(whole), merged;
    struct config_str hello = {.s = STR("hello")}, none = {.s = STR("nothing")};
    const struct config_product stored[] = {
        {.name = STR("plain"), .may = {.v = &none, .n = 1}},
        {.name = STR("kiosk"), .login = LOGIN_PASSWORD, .users.s = STR("staff"), .may = {.v = &hello, .n = 1}},
        {.name = STR("odd"), .login = LOGIN_PASSWORD, .users.s = STR("nobody"), .may = {.v = &none, .n = 1}},
        {.name = STR("tok"), .auth = PRODUCT_TOKEN, .login = LOGIN_PASSWORD, .may = {.v = &hello, .n = 1}},
    };
    struct arena mem;
    struct snapshot *first = snapshot_of(c), *s = NULL;
    struct diags d;
    uint32_t left_out;
    arena_init(&mem, NULL, 0, 1 << 20);
    diags_init(&d, STR("t"));
    assert_err(config_with_products(c, stored, ARRAY_LEN(stored), &mem, &merged, &left_out), ERR_OK);
    assert_int_equal(left_out, 1);
    assert_int_equal(c->n_products, 3);
    assert_err(snapshot_rebuild(&merged, first, 8, &d, &s), ERR_OK);
    arena_reset(&mem);
    config_free(&c);
    assert_int_equal(s->n_products, 6);
    assert_false(snapshot_product(s, STR("plain"))->stored);
    assert_true(product_may(s, "plain", "hello"));
    assert_true(snapshot_product(s, STR("kiosk"))->stored);
    assert_str(snapshot_product(s, STR("kiosk"))->users, STR("staff"));
    assert_true(product_may(s, "kiosk", "hello") && product_may(s, "kiosk", "authentication:login"));
    assert_int_equal(snapshot_product(s, STR("odd"))->login, LOGIN_NONE);
    assert_false(product_may(s, "odd", "hello") || product_may(s, "odd", "authentication:login"));
    assert_int_equal(snapshot_product(s, STR("tok"))->login, LOGIN_NONE);
    /* the rest is what it was, in memory of its own */
    snapshot_unref(&first);
    assert_str(snapshot_service(s, STR("app"))->instances[0].shown, STR("127.0.0.1:1"));
    assert_str(s->listeners[0].text, STR(":8080"));
    assert_str(s->admin->text, STR("127.0.0.1:8081"));
    snapshot_unref(&s);
    diags_free(&d);
}

static void findings_of_logins(void **state)
{
    (void)state;
    static const struct {
        const char *in, *codes;
    } rows[] = {
        {AUTH "products: {p: {login: password, may: [hello]}}\n" APP "roles: {r: [hello]}\n", ""},
        {AUTH, "login"},
        {"authentication: {issuer: \"http://a\"}\nproducts: {p: {login: password, may: [hello]}}\n" APP
         "roles: {r: [hello]}\n",
         "issuer"},
        {"authentication: {issuer: \"https://a\", password: {memory: 8MB}}\nproducts: {p: {login: password, may: "
         "[hello]}}\n" APP "roles: {r: [hello]}\n",
         "password"},
        {AUTH "store: {engine: memory}\nproducts: {p: {login: password, may: [hello]}}\n" APP "roles: {r: [hello]}\n",
         "memory"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[2000];
        struct diags d;
        struct buf codes;
        snprintf(text, sizeof text, "sallyport: 1\n%s", rows[i].in);
        struct config *c = parse_good(text);
        diags_init(&d, STR("t"));
        config_findings(c, &d);
        buf_init(&codes, 1000);
        for (uint32_t k = 0; k < d.n; k++) buf_printf(&codes, "%s%s", k ? " " : "", d.v[k].code);
        if (!str_eq(buf_str(&codes), str_of(rows[i].codes)))
            fail_msg("%s: got '%.*s'", rows[i].in, STR_ARG(buf_str(&codes)));
        buf_free(&codes);
        diags_free(&d);
        config_free(&c);
    }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct config_str hello = {.s = STR("hello")};
    const struct config_product stored = {.name = STR("kiosk"), .login = LOGIN_PASSWORD, .may = {.v = &hello, .n = 1}};
    EACH_ALLOC_FAILING({
        struct diags d;
        struct config *c = NULL;
        struct config merged;
        struct snapshot *s = NULL;
        struct arena mem;
        arena_init(&mem, NULL, 0, 1 << 20);
        enum err e = parse_text(whole, &d, &c);
        if (e == ERR_OK) e = config_with_products(c, &stored, 1, &mem, &merged, NULL);
        if (e == ERR_OK) e = snapshot_build(&merged, NULL, 1, &d, &s);
        if (alloc_fail_hit()) {
            assert_true(e == ERR_NO_MEMORY || e == ERR_MALFORMED);
            assert_null(s);
        } else {
            assert_err(e, ERR_OK);
        }
        snapshot_unref(&s);
        arena_reset(&mem);
        config_free(&c);
        diags_free(&d);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_arrives),
        cmocka_unit_test(what_is_left_out_has_good_values),
        cmocka_unit_test(each_mistake_is_told),
        cmocka_unit_test(the_service_brings_its_issuer_its_routes_and_its_grants),
        cmocka_unit_test(the_file_comes_first),
        cmocka_unit_test(one_products_gateway_keeps_its_logins),
        cmocka_unit_test(products_of_the_store_come_behind_those_of_the_file),
        cmocka_unit_test(findings_of_logins),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
