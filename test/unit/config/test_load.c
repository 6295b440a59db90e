#include "config_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- what a file says arrives --- */

static const char whole[] =
    "sallyport: 1\n"
    "name: edge-1\n"
    "environment: dev\n"
    "listen: {gateway: [\":8080\", \"unix:/run/gw.sock\"], admin: \"[::1]:9000\"}\n"
    "data: state\n"
    "workers: 3\n"
    "trusted_hops: [\"10.0.0.0/8\", unix]\n"
    "hops: 5\n"
    "limits: {head: 8kB, target: 4096, fields: 64, body: 1MB, connections: 100, buffer: 8kB, keepalive_requests: 9}\n"
    "timeouts: {head: 1s, body_rate: 1, body_grace: 2s, idle: 3s, connect: 4s, response: 5s, total: 6m, drain: 0s}\n"
    "log: {access: false, level: error}\n"
    "issuers:\n"
    "  corp:\n"
    "    issuer: \"https://idp.example\"\n"
    "    audience: [api, web]\n"
    "    algorithms: [RS256, EdDSA]\n"
    "    typ: legacy\n"
    "    keys: {url: \"https://idp.example/jwks\", ca: ca.pem, private: true, refresh: 60s, min_interval: 5s}\n"
    "    default: true\n"
    "    products: [mobile-app]\n"
    "    roles: any\n"
    "    permissions: \"orders:read\"\n"
    "    claims: {user: uid, roles: [a.b, c], client: null, product: prod}\n"
    "    leeway: 5s\n"
    "  shared:\n"
    "    issuer: x\n"
    "    audience: api\n"
    "    algorithms: HS256\n"
    "    secret: {command: [vault, get]}\n"
    "products:\n"
    "  mobile-app:\n"
    "    keys:\n"
    "    - {id: abcdefgh, sha256: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eFF}\n"
    "    may: [viewOrder, \"orders:invoke\"]\n"
    "  other: {auth: token, may: viewOrder}\n"
    "services:\n"
    "  orders: {instances: [\"10.0.0.11:8080\", \"unix:/run/o.sock\"], pass: [cookie, apikey]}\n"
    "  web: {instances: \"web.internal:80\", implicit: false}\n"
    "actions:\n"
    "  viewOrder: {match: \"GET /orders/{id}\", to: orders, accept: [apikey], timeout: 5s, body: 0}\n"
    "  site: {match: [\"GET /s/{p*}\", \"POST /s/form\"], to: web, public: true, strip: /s}\n"
    "roles: {buyer: [viewOrder], nobody: []}\n"
    "permissions: {\"orders:read\": [viewOrder]}\n";

static void every_value_arrives(void **state)
{
    (void)state;
    struct config *c = parse_good(whole);
    assert_str(c->name.s, STR("edge-1"));
    assert_str(c->environment.s, STR("dev"));
    assert_int_equal(c->n_gateway, 2);
    assert_str(c->gateway[1].address.path, STR("/run/gw.sock"));
    assert_true(c->has_admin);
    assert_str(c->admin.host, STR("::1"));
    assert_str(c->data.s, STR("/etc/gw/state"));
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->n_hops_trusted, 2);
    assert_true(c->hops_trusted[1].any_unix);
    assert_int_equal(c->hops, 5);
    assert_int_equal(c->limits.head, 8192);
    assert_int_equal(c->limits.target, 4096);
    assert_int_equal(c->limits.fields, 64);
    assert_int_equal(c->limits.body, 1 << 20);
    assert_int_equal(c->limits.connections, 100);
    assert_int_equal(c->limits.buffer, 8192);
    assert_int_equal(c->limits.keepalive_requests, 9);
    const struct config_timeouts *t = &c->timeouts;
    assert_int_equal(t->head_ms, 1000);
    assert_int_equal(t->body_rate, 1);
    assert_int_equal(t->body_grace_ms, 2000);
    assert_int_equal(t->idle_ms, 3000);
    assert_int_equal(t->connect_ms, 4000);
    assert_int_equal(t->response_ms, 5000);
    assert_int_equal(t->total_ms, 360000);
    assert_int_equal(t->drain_ms, 0);
    assert_false(c->log_access);
    assert_int_equal(c->log_level, CONFIG_LOG_ERROR);
    config_free(&c);
}

static void issuers_arrive(void **state)
{
    (void)state;
    struct config *c = parse_good(whole);
    const struct config_issuer *i = &c->issuers[0];
    assert_int_equal(c->n_issuers, 2);
    assert_str(i->name, STR("corp"));
    assert_int_equal(i->at.line, 13);
    assert_int_equal(i->at.column, 3);
    assert_str(i->issuer.s, STR("https://idp.example"));
    assert_int_equal(i->audience.n, 2);
    assert_str(i->algorithms.v[1].s, STR("EdDSA"));
    assert_int_equal(i->typ, CONFIG_TYP_LEGACY);
    assert_str(i->keys_url.s, STR("https://idp.example/jwks"));
    assert_str(i->keys_ca.s, STR("/etc/gw/ca.pem"));
    assert_true(i->keys_private && i->is_default && i->roles.any);
    assert_int_equal(i->keys_refresh_ms, 60000);
    assert_int_equal(i->keys_min_interval_ms, 5000);
    assert_str(i->permissions.v[0].s, STR("orders:read"));
    assert_str(i->claims[CLAIM_USER].v[0].s, STR("uid"));
    assert_int_equal(i->claims[CLAIM_ROLES].n, 2);
    assert_int_equal(i->claims[CLAIM_CLIENT].n, 0); /* null is none */
    assert_int_equal(i->claims[CLAIM_PERMISSIONS].n, 2);
    assert_str(i->claims[CLAIM_PERMISSIONS].v[1].s, STR("scope")); /* not written: the default */
    assert_str(i->claims[CLAIM_PRODUCT].v[0].s, STR("prod"));
    assert_int_equal(i->leeway_s, 5);
    i = &c->issuers[1];
    assert_int_equal(i->secret.provider, SECRET_COMMAND);
    assert_str(i->secret.argv.v[1].s, STR("get"));
    assert_int_equal(i->claims[CLAIM_PRODUCT].n, 0);
    assert_int_equal(i->keys_refresh_ms, 300000);
    config_free(&c);
}

static void products_services_and_actions_arrive(void **state)
{
    (void)state;
    struct config *c = parse_good(whole);
    assert_str(c->products[0].keys[0].id, STR("abcdefgh"));
    assert_int_equal(c->products[0].keys[0].sha256[31], 0xff);
    assert_int_equal(c->products[0].may.n, 2);
    assert_int_equal(c->products[1].auth, PRODUCT_TOKEN);
    assert_int_equal(c->services[0].n_instances, 2);
    assert_int_equal(c->services[0].pass, PASS_COOKIE | PASS_APIKEY);
    assert_true(c->services[0].implicit);
    assert_false(c->services[1].implicit);
    assert_int_equal(c->actions[0].accept[CALLER_USER], ACCEPT_APIKEY);
    assert_int_equal(c->actions[0].timeout_ms, 5000);
    assert_int_equal(c->actions[0].body_max, 0);
    assert_true(c->actions[1].is_public);
    assert_int_equal(c->actions[1].accept[CALLER_USER], 0);
    assert_int_equal(c->actions[1].matches.n, 2);
    assert_str(c->actions[1].strip.s, STR("/s"));
    assert_true(c->actions[1].body_max == UINT64_MAX);
    assert_str(c->roles[1].name, STR("nobody"));
    assert_int_equal(c->permissions[0].actions.n, 1);
    config_free(&c);
}

static void defaults_are_those_of_the_documents(void **state)
{
    (void)state;
    struct config *c = parse_good("sallyport: 1\n");
    assert_str(c->name.s, STR("sallyport"));
    assert_str(c->environment.s, STR("prod"));
    assert_str(c->gateway[0].address.text, STR(":8080"));
    assert_str(c->admin.text, STR("127.0.0.1:8081"));
    assert_str(c->data.s, STR("/etc/gw/.sallyport"));
    assert_true(c->workers >= 1 && c->workers <= 64);
    assert_int_equal(c->hops, 8);
    assert_int_equal(c->limits.head, 16384);
    assert_int_equal(c->limits.target, 8192);
    assert_int_equal(c->limits.fields, 100);
    assert_int_equal(c->limits.body, 64 << 20);
    assert_int_equal(c->limits.connections, 16000);
    assert_int_equal(c->limits.buffer, 16384);
    assert_int_equal(c->timeouts.head_ms, 10000);
    assert_int_equal(c->timeouts.body_rate, 240);
    assert_int_equal(c->timeouts.idle_ms, 60000);
    assert_int_equal(c->timeouts.connect_ms, 3000);
    assert_int_equal(c->timeouts.response_ms, 30000);
    assert_int_equal(c->timeouts.total_ms, 300000);
    assert_int_equal(c->timeouts.drain_ms, 30000);
    assert_true(c->log_access && c->log_level == CONFIG_LOG_INFO);
    config_free(&c);
}

/* --- one mistake, one report, at its place --- */

#define ISSUER "issuers: {i: {issuer: x, audience: a, algorithms: RS256, keys: {file: k}, "
#define HS     "issuers: {i: {issuer: x, audience: a, algorithms: HS256, secret: "

static void each_mistake_is_reported_at_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in, *code;
        uint32_t line, column;
        const char *fix; /* a part of it */
    } rows[] = {
        {"unknown key", "lisen: {}\n", "unknown_key", 2, 1, "did you mean 'listen'?"},
        {"unknown key, nothing near", "zzz: 1\n", "unknown_key", 2, 1, "known here: sallyport, name"},
        {"not enforced", "policy: x\n", "not_enforced", 2, 1, "take it out"},
        {"no value", "name:\n", "no_value", 2, 1, ""},
        {"a number as text", "name: 12\n", "type", 2, 7, "put it in quotes"},
        {"name", "name: a b\n", "text", 2, 7, ""},
        {"control character", "data: \"a\\nb\"\n", "text", 2, 7, ""},
        {"environment", "environment: Prod\n", "text", 2, 14, ""},
        {"port as number", "listen: {gateway: 8080}\n", "address", 2, 19, ""},
        {"empty list of addresses", "listen: {gateway: []}\n", "list", 2, 19, ""},
        {"address twice", "listen: {gateway: [\":1\", \":1\"]}\n", "twice", 2, 26, ""},
        {"admin like gateway", "listen: {gateway: \":1\", admin: \":1\"}\n", "twice", 2, 32, ""},
        {"a URL", "services: {s: {instances: \"http://x:1\"}}\n", "address", 2, 27, "no scheme"},
        {"an instance without host", "services: {s: {instances: \":1\"}}\n", "address", 2, 27, ""},
        {"workers", "workers: 65\n", "number", 2, 10, ""},
        {"workers as text", "workers: \"2\"\n", "number", 2, 10, ""},
        {"hops", "hops: 0\n", "number", 2, 7, ""},
        {"network", "trusted_hops: 10.0.0.1/8\n", "network", 2, 15, ""},
        {"size", "limits: {body: 1MiB}\n", "size", 2, 16, "write 1MB"},
        {"size bound", "limits: {head: 512}\n", "size", 2, 16, ""},
        {"head larger than buffer", "limits: {head: 32kB}\n", "limits", 2, 10, "one buffer"},
        {"target larger than head", "limits: {target: 32kB}\n", "limits", 2, 10, ""},
        {"time without unit", "timeouts: {idle: 10}\n", "time", 2, 18, "write 10s"},
        {"time unit", "timeouts: {idle: 10 sec}\n", "time", 2, 18, "write 10s"},
        {"time bound", "timeouts: {idle: 1000h}\n", "time", 2, 18, ""},
        {"flag", "log: {access: yes}\n", "type", 2, 15, "write true"},
        {"choice", "log: {level: warning}\n", "choice", 2, 14, "did you mean 'warn'?"},
        {"map", "log: true\n", "type", 2, 6, ""},
        {"named map", "roles: [a]\n", "type", 2, 8, ""},
        {"duplicate", "hops: 1\nhops: 2\n", "duplicate", 3, 1, ""},
        {"anchor", "hops: &x 1\n", "anchor", 2, 7, ""},
        {"alias", "data: *x\n", "alias", 2, 7, ""},
        {"tag", "data: !t x\n", "tag", 2, 7, ""},
        {"issuer without issuer", "issuers: {i: {audience: a, algorithms: RS256, keys: {file: k}}}\n", "missing_key", 2,
         11, "issuer: "},
        {"algorithm", "issuers: {i: {issuer: x, audience: a, algorithms: [none, RS256], keys: {file: k}}}\n", "text", 2,
         52, ""},
        {"both kinds", "issuers: {i: {issuer: x, audience: a, algorithms: [HS256, RS256], keys: {file: k}}}\n",
         "algorithms", 2, 51, ""},
        {"keys for HS", "issuers: {i: {issuer: x, audience: a, algorithms: HS256, keys: {file: k}}}\n", "key_source", 2,
         58, "{env: NAME}"},
        {"secret for RS", "issuers: {i: {issuer: x, audience: a, algorithms: RS256, secret: {env: K}}}\n", "key_source",
         2, 58, "keys: {file"},
        {"no keys", "issuers: {i: {issuer: x, audience: a, algorithms: RS256}}\n", "key_source", 2, 11, "keys: {file"},
        {"both sources", ISSUER "secret: {env: K}}}\n", "key_source", 2, 75, ""},
        {"file and url",
         "issuers: {i: {issuer: x, audience: a, algorithms: RS256, keys: {file: k, url: \"https://x\"}}}\n",
         "key_source", 2, 58, ""},
        {"ca for a file", "issuers: {i: {issuer: x, audience: a, algorithms: RS256, keys: {file: k, ca: c}}}\n",
         "key_source", 2, 74, ""},
        {"http", "issuers: {i: {issuer: x, audience: a, algorithms: RS256, keys: {url: \"http://x\"}}}\n", "text", 2,
         70, ""},
        {"leeway", ISSUER "leeway: 61s}}\n", "time", 2, 83, ""},
        {"leeway in parts", ISSUER "leeway: 500ms}}\n", "time", 2, 83, ""},
        {"no user claim", ISSUER "claims: {user: []}}}\n", "list", 2, 90, ""},
        {"unknown product", ISSUER "products: [p]}}\n", "unknown_product", 2, 86, ""},
        {"unknown role", ISSUER "roles: [buyr]}}\nroles: {buyer: []}\n", "unknown_role", 2, 83,
         "did you mean 'buyer'?"},
        {"inline secret", HS "hunter2}}\n", "secret_inline", 2, 66, "{file: PATH}, {env: NAME}, {credential: NAME}"},
        {"inline list", HS "[hunter2]}}\n", "secret_inline", 2, 66, "{file: PATH}"},
        {"two sources", HS "{env: K, file: k}}}\n", "secret", 2, 66, "{file: PATH}"},
        {"unknown source", HS "{value: hunter2}}}\n", "secret", 2, 66, "{file: PATH}"},
        {"secret as env", HS "{env: \"hunter2!\"}}}\n", "secret", 2, 72, ""},
        {"shell command", HS "{command: \"echo hunter2\"}}}\n", "secret", 2, 76, "no shell"},
        {"credential with a slash", HS "{credential: ../x}}}\n", "secret", 2, 79, ""},
        {"two defaults",
         "issuers:\n  a: {issuer: x, audience: a, algorithms: RS256, keys: {file: k}, default: true}\n"
         "  b: {issuer: y, audience: a, algorithms: RS256, keys: {file: k}, default: true}\n",
         "second_default", 4, 3, ""},
        {"the same iss",
         "issuers:\n  a: {issuer: x, audience: a, algorithms: RS256, keys: {file: k}}\n"
         "  b: {issuer: x, audience: a, algorithms: RS256, keys: {file: k}}\n",
         "twice", 4, 15, ""},
        {"key with the key in it", "products: {p: {keys: [sp_prod_hunter2]}}\n", "key", 2, 23, "sallyport key new"},
        {"key id",
         "products: {p: {keys: [{id: abc, sha256: "
         "ab00000000000000000000000000000000000000000000000000000000000000}]}}\n",
         "key", 2, 28, ""},
        {"key digest", "products: {p: {keys: [{id: abcdefgh, sha256: sp_prod_hunter2}]}}\n", "key", 2, 46, ""},
        {"key id twice",
         "products:\n"
         "  p: {keys: [{id: abcdefgh, sha256: ab00000000000000000000000000000000000000000000000000000000000000}]}\n"
         "  q: {keys: [{id: abcdefgh, sha256: ab00000000000000000000000000000000000000000000000000000000000000}]}\n",
         "twice", 4, 14, ""},
        {"keys of a token product", "products: {p: {auth: token, keys: []}}\n", "product", 2, 29, ""},
        {"may",
         "products: {p: {may: [viewOder]}}\nservices: {s: {instances: \"h:1\"}}\n"
         "actions: {viewOrder: {match: GET /x, to: s}}\n",
         "unknown_action", 2, 22, "did you mean 'viewOrder'?"},
        {"invoke", "products: {p: {may: [\"sv:invoke\"]}}\nservices: {svc: {instances: \"h:1\"}}\n", "unknown_action",
         2, 22, "did you mean 'svc:invoke'?"},
        {"invoke without implicit", "roles: {r: \"s:invoke\"}\nservices: {s: {instances: \"h:1\", implicit: false}}\n",
         "no_implicit", 2, 12, ""},
        {"may twice", "products: {p: {may: [\"s:invoke\", \"s:invoke\"]}}\nservices: {s: {instances: \"h:1\"}}\n",
         "twice", 2, 34, ""},
        {"role", "roles: {r: [x]}\n", "unknown_action", 2, 13, ""},
        {"permission", "permissions: {\"a:b\": [x]}\n", "unknown_action", 2, 23, ""},
        {"role name", "roles: {\"a\\tb\": []}\n", "name", 2, 9, ""},
        {"to", "actions: {a: {match: GET /x, to: ordrs}}\nservices: {orders: {instances: \"h:1\"}}\n",
         "unknown_service", 2, 34, "did you mean 'orders'?"},
        {"match", "actions: {a: {match: \"GET /x//y\", to: s}}\nservices: {s: {instances: \"h:1\"}}\n", "match", 2, 30,
         ""},
        {"match in capitals", "actions: {a: {match: get /x, to: s}}\nservices: {s: {instances: \"h:1\"}}\n", "match", 2,
         22, ""},
        {"conflict",
         "actions: {a: {match: GET /x, to: s}, b: {match: HEAD /x, to: s}}\n"
         "services: {s: {instances: \"h:1\"}}\n",
         "route_conflict", 2, 49, ""},
        {"strip", "actions: {a: {match: GET /x, to: s, strip: /y}}\nservices: {s: {instances: \"h:1\"}}\n", "strip", 2,
         22, ""},
        {"strip form", "actions: {a: {match: GET /x, to: s, strip: /x/}}\nservices: {s: {instances: \"h:1\"}}\n",
         "text", 2, 44, ""},
        {"public with accept",
         "actions: {a: {match: GET /x, to: s, public: true, accept: token}}\n"
         "services: {s: {instances: \"h:1\"}}\n",
         "public", 2, 51, ""},
        {"accept nothing", "actions: {a: {match: GET /x, to: s, accept: []}}\nservices: {s: {instances: \"h:1\"}}\n",
         "list", 2, 45, ""},
        {"no match", "actions: {a: {to: s}}\nservices: {s: {instances: \"h:1\"}}\n", "missing_key", 2, 11, "match: "},
        {"pass", "services: {s: {instances: \"h:1\", pass: cookies}}\n", "choice", 2, 40, "did you mean 'cookie'?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[1200];
        struct diags d;
        struct config *c;
        struct buf out;
        snprintf(text, sizeof text, "sallyport: 1\n%s", rows[i].in);
        assert_err(parse_text(text, &d, &c), ERR_MALFORMED);
        buf_init(&out, 1 << 20);
        diags_print(&d, &out);
        const struct diag *got = d.v;
        if (d.errors != 1 || strcmp(got->code, rows[i].code) != 0 || got->at.line != rows[i].line ||
            got->at.column != rows[i].column)
            fail_msg("%s: %s at %u:%u, %u errors\n%.*s", rows[i].name, got->code, got->at.line, got->at.column,
                     d.errors, STR_ARG(buf_str(&out)));
        if (!strstr(got->fix.p, rows[i].fix)) fail_msg("%s: fix '%s'", rows[i].name, got->fix.p);
        if (memmem(out.p, out.n, "hunter", 6))
            fail_msg("%s shows the secret:\n%.*s", rows[i].name, STR_ARG(buf_str(&out)));
        buf_clear(&out);
        diags_print_json(&d, &out);
        assert_true(!out.n || !memmem(out.p, out.n, "hunter", 6));
        buf_free(&out);
        diags_free(&d);
    }
}

static void the_version_is_asked_for(void **state)
{
    (void)state;
    static const char *const bad[] = {"name: x\n",        "sallyport: 2\n",   "sallyport: \"1\"\n",
                                      "sallyport: 1.0\n", "- sallyport: 1\n", "sallyport\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct diags d;
        struct config *c;
        if (parse_text(bad[i], &d, &c) != ERR_MALFORMED || d.errors != 1) fail_msg("%s", bad[i]);
        diags_free(&d);
    }
}

/* --- golden reports --- */

/* Every golden/NAME.yaml is refused or remarked upon with exactly golden/NAME.txt. With UPDATE_GOLDEN=1 in the
 * environment the reports are written instead of compared: read the difference before you commit it. */
static void reports_read_as_they_should(void **state)
{
    (void)state;
    const char *dir = SOURCE_ROOT "/test/unit/config/golden";
    DIR *list = opendir(dir);
    assert_non_null(list);
    unsigned seen = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        char in[512], want_path[512], name[256];
        if (!str_ends(str_of(entry->d_name), STR(".yaml"))) continue;
        snprintf(name, sizeof name, "%.*s", (int)(strlen(entry->d_name) - 5), entry->d_name);
        snprintf(in, sizeof in, "%s/%s.yaml", dir, name);
        snprintf(want_path, sizeof want_path, "%s/%s.txt", dir, name);
        struct diags d;
        struct config *c = NULL;
        struct buf out;
        diags_init(&d, str_of(entry->d_name));
        buf_init(&out, 1 << 20);
        enum err e = config_load(in, NULL, NULL, &d, &c);
        assert_int_equal(e == ERR_OK, c != NULL);
        diags_print(&d, &out);
        config_free(&c);
        diags_free(&d);
        assert_true(!out.n || !memmem(out.p, out.n, "hunter", 6)); /* what stands for a secret in these files */
        if (getenv("UPDATE_GOLDEN")) {
            FILE *f = fopen(want_path, "wb");
            assert_non_null(f);
            assert_int_equal(fwrite(out.p, 1, out.n, f), out.n);
            fclose(f);
        }
        size_t n = 0;
        char *want = read_whole(want_path, &n);
        if (!want) fail_msg("%s is missing", want_path);
        if (!str_eq(buf_str(&out), str_make(want, n))) fail_msg("%s: got\n%.*s", name, STR_ARG(buf_str(&out)));
        free(want);
        buf_free(&out);
        seen++;
    }
    closedir(list);
    assert_true(seen >= 4);
}

static void a_report_is_bounded_and_clean(void **state)
{
    (void)state;
    struct buf in, out;
    struct diags d;
    struct config *c = NULL;
    buf_init(&in, 1 << 20);
    buf_init(&out, 4 << 20);
    buf_puts(&in, "sallyport: 1\nroles:\n");
    for (int i = 0; i < 2500; i++) buf_printf(&in, "  r%d: [none%d]\n", i, i);
    diags_init(&d, STR("many.yaml"));
    assert_err(config_parse(buf_str(&in), STR("."), NULL, &d, &c), ERR_MALFORMED);
    assert_int_equal(d.errors, 2500);
    assert_int_equal(d.n, DIAGS_MAX);
    diags_print(&d, &out);
    assert_true(str_ends(buf_str(&out), STR("and 1500 more\n")));
    diags_free(&d);
    /* a terminal sees no escape, and a long line is cut around the caret */
    buf_clear(&in);
    buf_clear(&out);
    buf_puts(&in, "sallyport: 1\nx: \"");
    for (int i = 0; i < 300; i++) buf_puts(&in, "\xc3\xa9");
    buf_puts(&in, "\"\n\"\\e[31m\": 1\nroles: {");
    for (int i = 0; i < 100; i++) buf_printf(&in, "a%d: [], ", i);
    buf_puts(&in, "b: x}\n");
    diags_init(&d, STR("odd\x1b.yaml"));
    assert_err(config_parse(buf_str(&in), STR("."), NULL, &d, &c), ERR_MALFORMED);
    diags_print(&d, &out);
    assert_null(memchr(out.p, 0x1b, out.n));
    for (str rest = buf_str(&out); rest.n;) assert_true(str_cut(&rest, '\n').n < 400);
    diags_free(&d);
    buf_free(&in);
    buf_free(&out);
}

/* --- files, overrides --- */

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    struct diags d;
    struct config *c = NULL;
    diags_init(&d, STR("none.yaml"));
    assert_err(config_load("/none/none.yaml", NULL, NULL, &d, &c), ERR_IO);
    assert_int_equal(d.errors, 1);
    diags_free(&d);
    diags_init(&d, STR("/"));
    assert_err(config_load("/", NULL, NULL, &d, &c), ERR_IO);
    diags_free(&d);

    char path[] = "/tmp/sallyport-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (4 << 20) + 1), 0);
    diags_init(&d, STR("big"));
    assert_err(config_load(path, NULL, NULL, &d, &c), ERR_LIMIT);
    assert_int_equal(d.errors, 1);
    diags_free(&d);
    assert_int_equal(ftruncate(fd, 64 << 20), 0);
    diags_init(&d, STR("bigger"));
    assert_err(config_load(path, NULL, NULL, &d, &c), ERR_LIMIT);
    assert_int_equal(d.errors, 1);
    diags_free(&d);
    close(fd);
    unlink(path);
}

static void the_command_line_wins(void **state)
{
    (void)state;
    struct diags d;
    struct config *c = NULL;
    struct config_overrides o = {.gateway = "127.0.0.1:1", .admin = "none", .data = "here", .workers = 7};
    diags_init(&d, STR("t"));
    assert_err(config_parse(STR(whole), STR("/etc/gw"), &o, &d, &c), ERR_OK);
    assert_int_equal(c->n_gateway, 1);
    assert_str(c->gateway[0].address.text, STR("127.0.0.1:1"));
    assert_false(c->has_admin);
    assert_str(c->data.s, STR("here")); /* as whoever typed it sees the file system */
    assert_int_equal(c->workers, 7);
    config_free(&c);
    diags_free(&d);
    o = (struct config_overrides){.gateway = "8080", .admin = ":1x", .workers = 65};
    diags_init(&d, STR("t"));
    assert_err(config_parse(STR(whole), STR("/etc/gw"), &o, &d, &c), ERR_MALFORMED);
    assert_int_equal(d.errors, 3);
    diags_free(&d);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    static const char bad[] = "sallyport: 1\nlisen: 1\nissuers: {i: {secrt: hunter, roles: [a, a]}}\n"
                              "products: {p: {may: [x, y]}}\nservices: {x: {instances: \"h:1\"}}\n";
    static const char *const texts[] = {whole, bad};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        EACH_ALLOC_FAILING({
            struct diags d;
            struct config *c;
            struct buf out;
            enum err e = parse_text(texts[i], &d, &c);
            if (alloc_fail_hit()) {
                assert_true(e == ERR_NO_MEMORY || e == ERR_MALFORMED);
                assert_false(diags_ok(&d));
                assert_null(c);
            } else {
                assert_err(e, i == 0 ? ERR_OK : ERR_MALFORMED);
            }
            buf_init(&out, 1 << 20);
            diags_print(&d, &out); /* with no memory either */
            if (out.n) assert_true(!out.n || !memmem(out.p, out.n, "hunter", 6));
            buf_free(&out);
            diags_free(&d);
            config_free(&c);
        });
    }
}

static atomic_bool opened;

/* in two pieces */
static void *writer(void *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    atomic_store(&opened, true);
    fputs("sallyport: 1\nname: pip", f);
    fflush(f);
    usleep(20000);
    fputs("ed\n", f);
    fclose(f);
    return NULL;
}

static void a_pipe_is_read_but_not_waited_for_for_ever(void **state)
{
    (void)state;
    char path[] = "/tmp/sallyport-pipe-XXXXXX";
    assert_non_null(mkdtemp(path));
    char fifo[64];
    snprintf(fifo, sizeof fifo, "%s/fifo", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    for (int kind = 0; kind < 3; kind++) { /* nobody writes; somebody does; somebody holds it open */
        struct diags d;
        struct config *c = NULL;
        pthread_t t;
        /* who holds it to read lets the writer begin before anybody else reads; who holds it to write ends nothing */
        int held = kind ? open(fifo, (kind == 1 ? O_RDONLY | O_NONBLOCK : O_RDWR) | O_CLOEXEC) : -1;
        if (kind == 1) {
            assert_int_equal(pthread_create(&t, NULL, writer, fifo), 0);
            while (!atomic_load(&opened)) usleep(1000);
        }
        diags_init(&d, STR("fifo"));
        enum err e = config_load(fifo, NULL, NULL, &d, &c);
        if (kind == 1) {
            assert_err(e, ERR_OK);
            assert_str(c->name.s, STR("piped"));
            assert_int_equal(pthread_join(t, NULL), 0);
        } else {
            assert_err(e, kind == 2 ? ERR_TIMEOUT : ERR_MALFORMED);
            assert_false(diags_ok(&d));
        }
        if (held >= 0) close(held);
        config_free(&c);
        diags_free(&d);
    }
    assert_int_equal(unlink(fifo), 0);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_arrives),
        cmocka_unit_test(issuers_arrive),
        cmocka_unit_test(products_services_and_actions_arrive),
        cmocka_unit_test(defaults_are_those_of_the_documents),
        cmocka_unit_test(each_mistake_is_reported_at_its_place),
        cmocka_unit_test(the_version_is_asked_for),
        cmocka_unit_test(reports_read_as_they_should),
        cmocka_unit_test(a_report_is_bounded_and_clean),
        cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(a_pipe_is_read_but_not_waited_for_for_ever),
        cmocka_unit_test(the_command_line_wins),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("config/load", tests, NULL, NULL);
}
