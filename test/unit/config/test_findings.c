#include "config_test.h"

#include "config/findings.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define ISSUER(more)                                                                                                   \
    "issuers: {corp: {issuer: x, audience: a, algorithms: RS256, keys: {file: k}, products: [p], " more "}}\n"
#define PRODUCT(may)                                                                                                   \
    "products: {p: {keys: [{id: abcdefgh, sha256: "                                                                    \
    "ab00000000000000000000000000000000000000000000000000000000000000}], "                                             \
    "may: " may "}}\n"
#define SERVICE  "services: {s: {instances: \"h:1\", implicit: false}}\n"
#define IMPLICIT "services: {s: {instances: \"h:1\"}}\n"
#define ACTION   "actions: {view: {match: GET /x, to: s}}\n"

static struct diags findings_of(const char *text)
{
    struct config *c = parse_good(text);
    struct diags d;
    diags_init(&d, STR("t.yaml"));
    config_findings(c, &d);
    config_free(&c);
    return d;
}

struct row {
    const char *name, *in, *codes; /* in order of place */
};

static void expect(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char text[2000];
        struct buf codes, out;
        snprintf(text, sizeof text, "sallyport: 1\n%s", rows[i].in);
        struct diags d = findings_of(text);
        buf_init(&codes, 1000);
        buf_init(&out, 1 << 20);
        diags_print(&d, &out);
        for (uint32_t k = 0; k < d.n; k++) {
            buf_printf(&codes, "%s%s", k ? " " : "", d.v[k].code);
            if (!d.v[k].fix.n) fail_msg("%s: no fix: %s", rows[i].name, d.v[k].text.p);
        }
        if (!str_eq(buf_str(&codes), str_of(rows[i].codes)))
            fail_msg("%s: got '%.*s'\n%.*s", rows[i].name, STR_ARG(buf_str(&codes)), STR_ARG(buf_str(&out)));
        assert_int_equal(d.errors, 0);
        buf_free(&codes);
        buf_free(&out);
        diags_free(&d);
    }
}

static void each_finding_is_found_and_nothing_else(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"nothing to say", ISSUER("roles: [r]") PRODUCT("[view]") SERVICE ACTION "roles: {r: [view]}\n", ""},
        {"a permission of the action's name", ISSUER("permissions: [view]") PRODUCT("[view]") SERVICE ACTION, ""},
        {"any permission", ISSUER("permissions: any") PRODUCT("[view]") SERVICE ACTION, ""},
        {"empty", "", "empty"},
        {"no product may",
         ISSUER("permissions: any") PRODUCT("[other]") SERVICE
         "actions: {view: {match: GET /x, to: s}, other: {match: GET /y, to: s}}\n",
         "ungranted"},
        {"no role grants", ISSUER("roles: [r]") PRODUCT("[view]") SERVICE ACTION "roles: {r: []}\n", "ungranted"},
        {"a role that nobody may assert",
         ISSUER("permissions: [view]") PRODUCT("[view]") SERVICE ACTION "roles: {r: [view]}\n", "unasserted"},
        {"a permission that nobody may assert",
         ISSUER("permissions: [view]") PRODUCT("[view]") SERVICE ACTION "permissions: {\"a:b\": [view]}\n",
         "unasserted"},
        {"any role", ISSUER("roles: any") PRODUCT("[view]") SERVICE ACTION "roles: {r: [view]}\n", ""},
        {"keys alone are enough", PRODUCT("[view]") SERVICE "actions: {view: {match: GET /x, to: s, accept: apikey}}\n",
         ""},
        {"keys only, product by token",
         ISSUER("permissions: any") "products: {p: {auth: token, may: view}}\n" SERVICE
                                    "actions: {view: {match: GET /x, to: s, accept: apikey}}\n",
         "ungranted"},
        {"public", PRODUCT("[view]") SERVICE "actions: {view: {match: GET /x, to: s, public: true}}\n", "public"},
        {"service that nothing leads to",
         ISSUER("permissions: any")
             PRODUCT("[view]") "services: {s: {instances: \"h:1\", implicit: false}, t: {instances: \"h:1\"}}\n" ACTION,
         "unreached"},
        {"implicit route granted",
         ISSUER("roles: [r]") PRODUCT("[\"s:invoke\"]") IMPLICIT "roles: {r: [\"s:invoke\"]}\n", "implicit"},
        {"implicit route of a product, of no user",
         ISSUER("roles: [r]") PRODUCT("[view, \"s:invoke\"]") IMPLICIT ACTION "roles: {r: [view]}\n", "ungranted"},
        {"implicit route hidden",
         ISSUER("permissions: any") PRODUCT("[view, \"s:invoke\"]") IMPLICIT
         "actions: {view: {match: \"GET /{rest*}\", to: s}}\n",
         "unreachable"},
        {"implicit route hidden below",
         ISSUER("permissions: any") PRODUCT("[view, \"s:invoke\"]") IMPLICIT
         "actions: {view: {match: \"GET /s/{rest*}\", to: s}}\n",
         "unreachable"},
        {"implicit route in part hidden",
         ISSUER("permissions: any") PRODUCT("[view, \"s:invoke\"]") IMPLICIT
         "actions: {view: {match: \"GET /s/a/{rest*}\", to: s}}\n",
         "implicit"},
        {"product without keys", ISSUER("permissions: any") "products: {p: {may: [view]}}\n" SERVICE ACTION, "product"},
        {"product that may nothing",
         ISSUER("permissions: any") PRODUCT("[]") IMPLICIT "actions: {view: {match: GET /x, to: s, public: true}}\n",
         "product public"},
        {"product that no issuer vouches for",
         ISSUER("permissions: any") "products: {p: {auth: token, may: view}, q: {auth: token, may: view}}\n" SERVICE
             ACTION,
         "product"},
        {"product by key whose users nobody vouches for",
         "issuers: {corp: {issuer: x, audience: a, algorithms: RS256, keys: {file: k}, permissions: any}}\n" PRODUCT(
             "[view]") SERVICE ACTION,
         "issuer product"},
        {"issuer that may assert nothing",
         ISSUER("leeway: 0s") PRODUCT("[view]") SERVICE
         "actions: {view: {match: GET /x, to: s, accept: [token, apikey]}}\n",
         "issuer"},
        {"permission that grants nothing", ISSUER("permissions: [view, viw]") PRODUCT("[view]") SERVICE ACTION,
         "permission"},
        {"admin for everybody",
         "listen: {admin: \":9000\"}\n" ISSUER("permissions: any") PRODUCT("[view]") SERVICE ACTION, "admin"},
        {"everybody trusted", "trusted_hops: \"::/0\"\n" ISSUER("permissions: any") PRODUCT("[view]") SERVICE ACTION,
         "trusted_hops"},
    };
    expect(rows, ARRAY_LEN(rows));
}

#define MACHINES                                                                                                       \
    "issuers: {m: {issuer: x, audience: a, algorithms: RS256, keys: {file: k}, products: [p], permissions: any, "      \
    "caller: service}}\n"
#define KEYED                                                                                                          \
    "keys: [{id: abcdefgh, sha256: ab00000000000000000000000000000000000000000000000000000000000000}], may: [view]"
#define PIN "sha256:ab00000000000000000000000000000000000000000000000000000000000000"
#define CLIENTS                                                                                                        \
    "tls: {certificates: {cert: a, key: {file: b}}, clients: {ca: c}}\nlisten: {gateway: {address: \":1\", tls: "      \
    "true}}\n"
#define VIEW(more)  "actions: {view: {match: GET /x, to: s, " more "}}\n"
#define THIRD(more) "products: {p: {caller: third-party, may: [view], " more "}}\n"

static void each_finding_at_the_edge(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"limits that differ",
         "limit: [{rate: 10/s, burst: 99}, {rate: 100/m}]\nproducts: {p: {" KEYED
         ", limit: [{rate: 100/s, per: product}, {rate: 10/s, per: key}]}}\n" SERVICE VIEW("accept: apikey"),
         ""},
        {"a limit above another",
         "limit: [{rate: 10/s}, {rate: 700/m}]\nproducts: {p: {" KEYED "}}\n" SERVICE VIEW("accept: apikey"), "limit"},
        {"at once less, in the long run more",
         "limit: [{rate: 10/s}, {rate: 700/m, burst: 5}]\nproducts: {p: {" KEYED "}}\n" SERVICE VIEW("accept: apikey"),
         ""},
        {"a key's above its product's",
         "products: {p: {" KEYED
         ", limit: [{rate: 10/s, per: product}, {rate: 10/s, per: key}]}}\n" SERVICE VIEW("accept: apikey"),
         "limit"},
        {"a user's above everybody's",
         ISSUER("permissions: any") PRODUCT("[view]")
             SERVICE VIEW("limit: [{rate: 10/s, per: user}, {rate: 9/s, per: action}]"),
         "limit"},
        {"an address's beside a user's",
         ISSUER("permissions: any") PRODUCT("[view]")
             SERVICE VIEW("limit: [{rate: 10/s, per: user}, {rate: 9/s, per: address}]"),
         ""},
        {"a quota that cannot be reached",
         "store: {}\nproducts: {p: {" KEYED
         ", limit: {rate: 1/m}, quota: {requests: 1442, per: day}}}\n" SERVICE VIEW("accept: apikey"),
         "limit"},
        {"a quota that can",
         "store: {}\nproducts: {p: {" KEYED
         ", limit: {rate: 1/m}, quota: {requests: 1441, per: day}}}\n" SERVICE VIEW("accept: apikey"),
         ""},
        {"a third party with what is accepted",
         CLIENTS THIRD("keys: [], certificates: \"" PIN
                       "\"") "store: {}\n" SERVICE VIEW("accept: {third-party: certificate}"),
         ""},
        {"a third party with what is not",
         THIRD("signature: {env: K}") "store: {}\n" SERVICE VIEW("accept: {third-party: [certificate, token]}"),
         "credential credential"},
        {"a third party of whom tokens are wanted",
         THIRD("signature: {env: K}") "store: {}\n" SERVICE VIEW("accept: token"), "product credential ungranted"},
        {"a service's token", MACHINES PRODUCT("[view]") SERVICE VIEW("accept: {service: token}"), ""},
        {"a service's token where users' are wanted", MACHINES PRODUCT("[view]") SERVICE VIEW("accept: {user: token}"),
         "credential"},
        {"a kind that nobody is of",
         ISSUER("permissions: any") PRODUCT("[view]") SERVICE VIEW("accept: {user: token, service: token}"),
         "credential"},
        {"a certificate that nobody has",
         ISSUER("permissions: any") PRODUCT("[view]") SERVICE VIEW("accept: [token, certificate]"), "credential"},
        {"a breaker for nobody",
         ISSUER("permissions: any") PRODUCT("[view]") "services: {s: {instances: \"h:1\", implicit: false, breaker: "
                                                      "{concurrent: {service: 5}}}}\n" ACTION,
         "breaker"},
        {"a breaker that never closes in",
         ISSUER("permissions: any") PRODUCT("[view]") "limits: {connections: 100}\n"
                                                      "services: {s: {instances: \"h:1\", implicit: false, breaker: "
                                                      "{concurrent: {user: 100}}}}\n" ACTION,
         "breaker"},
        {"a breaker that does",
         ISSUER("permissions: any") PRODUCT("[view]") "limits: {connections: 100}\n"
                                                      "services: {s: {instances: \"h:1\", implicit: false, breaker: "
                                                      "{concurrent: {user: 99}}}}\n" ACTION,
         ""},
        {"zones without one's own",
         ISSUER("permissions: any")
             PRODUCT("[view]") "services: {s: {instances: {address: \"h:1\", zone: b}, implicit: false}}\n" ACTION,
         "zone"},
        {"a zone of its own, and nobody in it",
         "zone: a\n" ISSUER("permissions: any")
             PRODUCT("[view]") "services: {s: {instances: {address: \"h:1\", zone: b}, implicit: false}}\n" ACTION,
         "zone"},
        {"certificates that nobody sees",
         "tls: {certificates: {cert: a, key: {file: b}}}\n" ISSUER("permissions: any") PRODUCT("[view]") SERVICE ACTION,
         "tls"},
        {"client certificates that are nobody's", CLIENTS ISSUER("permissions: any") PRODUCT("[view]") SERVICE ACTION,
         "tls"},
        {"secrets in the clear",
         "tracing: {otlp: \"http://o.example\", headers: {A: {env: B}}}\n" ISSUER("permissions: any") PRODUCT("[view]")
             SERVICE ACTION,
         "tracing"},
        {"secrets on this machine",
         "tracing: {otlp: \"http://127.0.0.1:1\", headers: {A: {env: B}}}\n" ISSUER("permissions: any")
             PRODUCT("[view]") SERVICE ACTION,
         ""},
        {"no sandbox", "sandbox: off\n" ISSUER("permissions: any") PRODUCT("[view]") SERVICE ACTION, "sandbox"},
    };
    expect(rows, ARRAY_LEN(rows));
}

static void files_are_looked_at(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-lint-XXXXXX", path[64], text[600];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/secret", dir);
    snprintf(text, sizeof text,
             "sallyport: 1\nissuers: {a: {issuer: x, audience: a, algorithms: HS256, secret: {file: %s}},\n"
             " b: {issuer: y, audience: a, algorithms: RS256, keys: {file: %s/none.jwks}},\n"
             " c: {issuer: z, audience: a, algorithms: HS256, secret: {command: [touch, %s/ran]}}}\n",
             path, dir, dir);
    struct config *c = parse_good(text);
    static const struct {
        mode_t mode; /* 0: no file */
        unsigned errors, warnings;
    } rows[] = {{0, 0, 2}, {0600, 0, 1}, {0644, 1, 1}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct diags d;
        diags_init(&d, STR("t"));
        if (rows[i].mode) {
            int fd = open(path, O_WRONLY | O_CREAT, 0600);
            assert_true(fd >= 0);
            assert_int_equal(fchmod(fd, rows[i].mode), 0);
            close(fd);
        }
        config_file_findings(c, &d);
        assert_int_equal(d.errors, rows[i].errors);
        assert_int_equal(d.warnings, rows[i].warnings);
        diags_free(&d);
    }
    snprintf(text, sizeof text, "%s/ran", dir);
    assert_int_not_equal(access(text, F_OK), 0); /* lint runs nothing */
    unlink(path);
    rmdir(dir);
    config_free(&c);
}

/* A bound on work, not on time: what lint allocates for a thousand routes. */
static void a_thousand_routes_are_a_small_thing(void **state)
{
    (void)state;
    struct buf in;
    buf_init(&in, 4 << 20);
    buf_puts(&in, "sallyport: 1\n" ISSUER("permissions: any") "services:\n");
    for (int i = 0; i < 50; i++) buf_printf(&in, "  s%d: {instances: \"127.0.0.1:1\", implicit: false}\n", i);
    buf_puts(&in, "actions:\n");
    for (int i = 0; i < 1000; i++) buf_printf(&in, "  a%d: {match: \"GET /x%d/{id}/y\", to: s%d}\n", i, i, i % 50);
    buf_puts(&in, "products: {p: {may: [");
    for (int i = 0; i < 1000; i++) buf_printf(&in, "%sa%d", i ? ", " : "", i);
    buf_puts(&in, "]}}\n");
    buf_putc(&in, 0);
    struct config *c = parse_good(in.p), *again = NULL;
    struct diags d;
    diags_init(&d, STR("t"));
    alloc_fail_at(400); /* the 401st would fail */
    assert_err(config_parse(str_of(in.p), STR("."), NULL, &d, &again), ERR_OK);
    config_findings(again, &d);
    assert_false(alloc_fail_hit());
    alloc_fail_at(-1);
    assert_true(c->mem.used < 2 << 20);
    assert_int_equal(d.warnings, 1); /* the product has no keys */
    diags_free(&d);
    config_free(&again);
    config_free(&c);
    buf_free(&in);
}

/* What people copy: good, and remarked upon only where the example means it. */
static void the_examples_are_good(void **state)
{
    (void)state;
    const char *dir = SOURCE_ROOT "/examples/config";
    DIR *list = opendir(dir);
    assert_non_null(list);
    unsigned seen = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        char path[512];
        struct diags d;
        struct config *c = NULL;
        struct buf out;
        if (!str_ends(str_of(entry->d_name), STR(".yaml"))) continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        diags_init(&d, str_of(entry->d_name));
        buf_init(&out, 1 << 20);
        enum err e = config_load(path, NULL, NULL, &d, &c);
        if (e == ERR_OK) config_findings(c, &d);
        diags_print(&d, &out);
        if (e != ERR_OK) fail_msg("%.*s", STR_ARG(buf_str(&out)));
        for (uint32_t i = 0; i < d.n; i++)
            if (strcmp(d.v[i].code, "public") != 0 && strcmp(d.v[i].code, "implicit") != 0)
                fail_msg("%.*s", STR_ARG(buf_str(&out)));
        buf_free(&out);
        config_free(&c);
        diags_free(&d);
        seen++;
    }
    closedir(list);
    assert_true(seen >= 5);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct config *c = parse_good("sallyport: 1\n" ISSUER("permissions: [viw]") PRODUCT("[view, \"s:invoke\"]")
                                      IMPLICIT ACTION "roles: {r: [view]}\n");
    EACH_ALLOC_FAILING({
        struct diags d;
        diags_init(&d, STR("t"));
        config_findings(c, &d);
        if (alloc_fail_hit())
            assert_false(diags_ok(&d));
        else
            assert_true(diags_ok(&d) && d.warnings == 4);
        diags_free(&d);
    });
    config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_finding_is_found_and_nothing_else),
        cmocka_unit_test(each_finding_at_the_edge),
        cmocka_unit_test(files_are_looked_at),
        cmocka_unit_test(a_thousand_routes_are_a_small_thing),
        cmocka_unit_test(the_examples_are_good),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("config/findings", tests, NULL, NULL);
}
