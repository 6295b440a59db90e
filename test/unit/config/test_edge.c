/* The edge in a snapshot: what the file says of it arrives, files and names come through the source, names that change
 * change nothing else, and certificates that cannot be shown are refused. */
#include "config_test.h"

#include "config/findings.h"
#include "config/snapshot.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64]; /* of certificates */

/* --- helpers --- */

static struct snapshot *build_by(const struct config *c, const struct config_source *source)
{
    struct diags d;
    struct buf out;
    struct snapshot *s = NULL;
    diags_init(&d, STR("t"));
    buf_init(&out, 1 << 20);
    enum err e = snapshot_build(c, source, 1, &d, &s);
    diags_print(&d, &out);
    if (e != ERR_OK) fail_msg("%s: %.*s", err_name(e), STR_ARG(buf_str(&out)));
    buf_free(&out);
    diags_free(&d);
    return s;
}

/* --- what the file says --- */

static const char whole[] =
    "sallyport: 1\n"
    "zone: a\n"
    "sandbox: off\n"
    "listen: {gateway: [\":8080\", {address: \"127.0.0.1:8443\", tls: true}], admin: none}\n"
    "store: {socket: \"unix:/run/s/data.sock\"}\n"
    "tls:\n"
    "  certificates: [{cert: public.pem, key: {file: public.key}, ocsp: public.ocsp}, {cert: wild.pem, key: {file: "
    "wild.key}}]\n"
    "  minimum: 1.3\n"
    "  tickets: 1h\n"
    "  clients: {ca: ca.pem}\n"
    "limit: [{rate: 1000/s, burst: 2000, per: address}, {rate: 100000/h}]\n"
    "tracing: {otlp: \"https://o.example/v1/traces\", sample: 0.05%, ca: ca.pem, headers: {X-Key: {env: "
    "SALLYPORT_TEST_SECRET}}}\n"
    "issuers:\n"
    "  machines: {issuer: m, audience: a, algorithms: ES256, keys: {url: \"https://m.example/jwks\"}, caller: "
    "service}\n"
    "products:\n"
    "  web: {may: [view]}\n"
    "  partner:\n"
    "    caller: third-party\n"
    "    certificates: [\"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"]\n"
    "    limit: {rate: 100/s, burst: 200, per: key}\n"
    "    quota: {requests: 5000000000, per: month}\n"
    "services:\n"
    "  plain: {instances: \"127.0.0.1:1\", implicit: false}\n"
    "  orders:\n"
    "    instances: [{address: \"10.0.0.1:8443\", weight: 3, zone: b}, {address: \"10.0.0.2:8443\", zone: a}, "
    "\"[::1]:1\"]\n"
    "    balance: hash\n"
    "    hash: \"header:X-Tenant\"\n"
    "    health: HEAD /healthz?x=1 every 2s\n"
    "    eject: {failures: 3, for: 30s, at_most: 20}\n"
    "    slow_start: 5s\n"
    "    pool: {open: 100, waiting: 0}\n"
    "    retry: {attempts: 0}\n"
    "    breaker: {errors: 30, concurrent: {third-party: 7}}\n"
    "    timeouts: {connect: 1s}\n"
    "    tls: {ca: ca.pem, name: orders.internal, cert: partner.pem, key: {file: partner.key}}\n"
    "  other: {instances: \"127.0.0.1:2\", eject: none, health: {request: GET /, every: 400ms}}\n"
    "timeouts: {connect: 2s, response: 9s}\n"
    "actions:\n"
    "  view:\n"
    "    match: GET /view\n"
    "    to: orders\n"
    "    accept: {user: [token, apikey], third-party: [signature, certificate]}\n"
    "    limit: [{rate: 5/m}, {rate: 7/d, burst: 2, per: action}]\n"
    "  open: {match: GET /open, to: plain, public: true}\n"
    "  old: {match: GET /old, to: plain, accept: apikey}\n";

static struct config *whole_config(void)
{
    assert_int_equal(setenv("SALLYPORT_TEST_SECRET", "hush", 1), 0);
    return parse_in(dir, whole);
}

static void services_are_as_written(void **state)
{
    (void)state;
    struct config *c = whole_config();
    struct snapshot *s = build_by(c, NULL);
    config_free(&c);
    const struct snapshot_service *orders = snapshot_service(s, STR("orders"));
    const struct snapshot_service *plain = snapshot_service(s, STR("plain")),
                                  *other = snapshot_service(s, STR("other"));
    assert_str(s->zone, STR("a"));
    assert_int_equal(s->n_instances, 5);
    assert_int_equal(plain->first_instance, 0);
    assert_int_equal(orders->first_instance, 1);
    assert_int_equal(other->first_instance, 4);
    assert_int_equal(orders->n_instances, 3);
    const struct snapshot_instance *i = orders->instances;
    assert_true(i[0].weight == 3 && !i[0].same_zone && i[1].weight == 1 && i[1].same_zone && i[2].same_zone);
    assert_str(i[0].zone, STR("b"));
    assert_str(i[2].host, STR("::1"));
    assert_true(i[0].name == SNAPSHOT_NO_NAME && s->n_names == 0);
    assert_int_equal(orders->balance, BALANCE_HASH);
    assert_int_equal(orders->hash_by, HASH_BY_HEADER);
    assert_str(orders->hash_header, STR("x-tenant"));
    assert_true(orders->health.on && orders->health.every_ms == 2000 && orders->health.timeout_ms == 1000);
    assert_str(orders->health.method, STR("HEAD"));
    assert_str(orders->health.path, STR("/healthz?x=1"));
    assert_true(orders->health.healthy == 2 && orders->health.unhealthy == 3);
    assert_true(orders->eject.failures == 3 && orders->eject.base_ms == 30000 && orders->eject.at_most == 20);
    assert_int_equal(orders->slow_start_ms, 5000);
    assert_true(orders->pool.idle == 100 && orders->pool.open == 100 && orders->pool.waiting == 0);
    assert_true(orders->retry.attempts == 0 && orders->retry.budget == 20);
    const struct snapshot_breaker *b = &orders->breaker;
    assert_true(b->on && b->errors == 30 && b->of == 20 && b->window_ms == 10000 && b->open_ms == 5000);
    assert_true(b->concurrent[CALLER_THIRD_PARTY] == 7 && b->concurrent[CALLER_USER] == 0);
    assert_true(orders->connect_ms == 1000 && orders->response_ms == 9000);
    assert_true(orders->tls.on && str_starts(orders->tls.ca_pem, STR("-----BEGIN CERTIFICATE")));
    assert_str(orders->tls.name, STR("orders.internal"));
    assert_true(str_starts(orders->tls.key_pem, STR("-----BEGIN ")) && orders->tls.cert_pem.n);
    assert_true(other->eject.failures == 0 && other->health.timeout_ms == 400);
    /* what nothing was said of */
    assert_true(!plain->health.on && !plain->breaker.on && !plain->tls.on && plain->balance == BALANCE_LEAST_REQUEST);
    assert_true(plain->eject.failures == 5 && plain->eject.base_ms == 10000 && plain->eject.at_most == 50);
    assert_true(plain->pool.idle == 256 && plain->pool.open == 1024 && plain->pool.waiting == 16384);
    assert_true(plain->retry.attempts == 2 && plain->retry.budget == 20 && plain->slow_start_ms == 0);
    assert_true(plain->connect_ms == 2000 && plain->response_ms == 9000);
    snapshot_unref(&s);
}

static void the_edge_is_as_written(void **state)
{
    (void)state;
    struct config *c = whole_config();
    struct snapshot *s = build_by(c, NULL);
    assert_true(!s->sandbox && !s->listeners[0].tls && s->listeners[1].tls);
    assert_str(s->store_socket, STR("/run/s/data.sock"));
    assert_int_equal(s->authentication_socket.n, 0);
    assert_int_equal(s->tls.n_certificates, 2);
    assert_true(s->tls.certificates[0].ocsp_der.n > 100 && s->tls.certificates[1].ocsp_der.n == 0);
    assert_true(str_ends(s->tls.certificates[1].cert_path, STR("/wild.pem")));
    assert_true(!s->tls.tls12 && s->tls.tickets_s == 3600 && s->tls.clients_ca_pem.n > 100);
    assert_int_equal(s->n_edge_limits, 2);
    assert_str(s->edge_limits[0].name, STR("edge"));
    assert_str(s->edge_limits[1].name, STR("edge-2"));
    assert_true(s->edge_limits[0].count == 1000 && s->edge_limits[0].burst == 2000);
    assert_true(s->edge_limits[0].period_ns == 1000000000 && s->edge_limits[0].per == LIMIT_PER_ADDRESS);
    assert_true(s->edge_limits[1].burst == 100000 && s->edge_limits[1].period_ns == UINT64_C(3600000000000));
    assert_int_equal(s->tracing.sample_ppm, 500);
    assert_str(s->tracing.headers[0].name, STR("X-Key"));
    assert_str(s->tracing.headers[0].value, STR("hush"));
    assert_int_equal(s->issuers[0].caller, CALLER_SERVICE);
    const struct snapshot_product *web = snapshot_product(s, STR("web")),
                                  *partner = snapshot_product(s, STR("partner"));
    assert_true(web->caller == CALLER_USER && web->quota.requests == 0 && web->n_limits == 0);
    assert_true(partner->caller == CALLER_THIRD_PARTY && partner->quota.requests == 5000000000);
    assert_int_equal(partner->quota.window, QUOTA_MONTH);
    assert_true(partner->n_limits == 1 && partner->limits[0].per == LIMIT_PER_KEY);
    assert_str(partner->limits[0].name, STR("product-partner"));
    assert_int_equal(partner->n_certificates, 1);
    assert_ptr_equal(snapshot_certificate_product(s, partner->certificates[0]), partner);
    assert_null(snapshot_certificate_product(s, (const unsigned char[32]){0x9f, 0x86}));
    const struct snapshot_action *view = snapshot_action(s, STR("view")), *open = snapshot_action(s, STR("open"));
    const struct snapshot_action *old = snapshot_action(s, STR("old"));
    assert_true(view->accept[CALLER_NONE] == 0 && view->accept[CALLER_USER] == (ACCEPT_TOKEN | ACCEPT_APIKEY));
    assert_true(view->accept[CALLER_SERVICE] == 0);
    assert_int_equal(view->accept[CALLER_THIRD_PARTY], ACCEPT_SIGNATURE | ACCEPT_CERTIFICATE);
    assert_int_equal(snapshot_action_accepts_any(open), 0);
    for (int k = CALLER_USER; k < CALLER_KINDS; k++) assert_int_equal(old->accept[k], ACCEPT_APIKEY);
    assert_true(view->n_limits == 2 && view->limits[0].per == LIMIT_PER_USER && view->limits[0].burst == 5);
    assert_true(view->limits[1].burst == 2 && view->limits[1].period_ns == UINT64_C(86400000000000));
    assert_str(view->limits[1].name, STR("view-2"));
    snapshot_unref(&s);
    config_free(&c);
}

/* A bucket that fills goes on filling over a reload, and a limit that was changed begins anew. */
static void a_limit_is_known_again(void **state)
{
    (void)state;
    struct config *c = whole_config();
    struct snapshot *s = build_by(c, NULL), *again = build_by(c, NULL), *like = NULL;
    struct diags d;
    diags_init(&d, STR("t"));
    assert_err(snapshot_rebuild(c, s, 2, &d, &like), ERR_OK);
    assert_true(s->edge_limits[0].id != s->edge_limits[1].id && s->edge_limits[0].id != 0);
    assert_true(s->edge_limits[0].id == again->edge_limits[0].id && s->edge_limits[0].id == like->edge_limits[0].id);
    assert_true(like->tls.certificates[0].key_pem.p != s->tls.certificates[0].key_pem.p);
    assert_str(like->tls.certificates[0].key_pem, s->tls.certificates[0].key_pem);
    assert_str(like->tls.clients_ca_pem, s->tls.clients_ca_pem);
    assert_str(like->services[1].tls.key_pem, s->services[1].tls.key_pem);
    assert_str(like->tracing.headers[0].value, STR("hush"));
    snapshot_unref(&like);
    snapshot_unref(&again);
    struct config_limit first = c->edge_limits[0];
    c->edge_limits[0] = c->edge_limits[1];
    c->edge_limits[1] = first;
    again = build_by(c, NULL);
    assert_true(s->edge_limits[0].id == again->edge_limits[1].id && s->edge_limits[1].id == again->edge_limits[0].id);
    snapshot_unref(&again);
    c->edge_limits[0] = c->edge_limits[1];
    c->edge_limits[1] =
        (struct config_limit){.count = 100000, .period_ms = 3600000, .burst = 100000, .per = LIMIT_PER_ADDRESS};
    c->edge_limits[0].burst++;
    again = build_by(c, NULL);
    assert_true(s->edge_limits[0].id != again->edge_limits[0].id && s->edge_limits[1].id == again->edge_limits[1].id);
    snapshot_unref(&again);
    snapshot_unref(&s);
    diags_free(&d);
    config_free(&c);
}

/* Whoever chooses names well gets no bucket of another's. */
static void limits_of_different_places_are_different(void **state)
{
    (void)state;
    struct config *c =
        parse_in("/nowhere", "sallyport: 1\n"
                             "limit: [{rate: 5/s}, {rate: 5/s, burst: 6}]\n"
                             "products: {edge: {limit: {rate: 5/s, per: address}}}\n"
                             "services: {s: {instances: \"127.0.0.1:1\"}}\n"
                             "actions:\n"
                             "  edge: {match: GET /1, to: s, limit: {rate: 5/s, per: address}}\n"
                             "  edge-2: {match: GET /2, to: s, limit: {rate: 5/s, burst: 6, per: address}}\n"
                             "  product-edge: {match: GET /3, to: s, limit: {rate: 5/s, per: address}}\n");
    struct snapshot *s = build_by(c, NULL);
    uint64_t ids[] = {s->edge_limits[0].id,       s->edge_limits[1].id,       s->products[0].limits[0].id,
                      s->actions[0].limits[0].id, s->actions[1].limits[0].id, s->actions[2].limits[0].id};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        for (size_t k = 0; k < i; k++) assert_true(ids[i] != ids[k]);
    snapshot_unref(&s);
    config_free(&c);
}

/* --- the source --- */

struct asked {
    char text[2000];
    bool fail;
};

static void note(struct asked *a, const char *what, str name)
{
    size_t n = strlen(a->text);
    const char *slash = memrchr(name.p, '/', name.n);
    if (slash) name = str_from(name, (size_t)(slash + 1 - name.p));
    snprintf(a->text + n, sizeof a->text - n, "%s %.*s\n", what, STR_ARG(name));
}

static enum err give(struct asked *a, str name, struct buf *out, char why[SOURCE_WHY])
{
    char path[256];
    size_t n;
    snprintf(path, sizeof path, "%s/%.*s", dir, STR_ARG(name));
    if (a->fail) {
        snprintf(why, SOURCE_WHY, "nobody sent it");
        return ERR_NOT_FOUND;
    }
    char *text = read_whole(path, &n);
    buf_put(out, text ? str_make(text, n) : STR("hush"));
    free(text);
    return ERR_OK;
}

static enum err give_file(void *ctx, const char *path, size_t max, struct buf *out, char why[SOURCE_WHY])
{
    assert_int_equal(max, SOURCE_FILE_MAX);
    note(ctx, "file", str_of(path));
    return give(ctx, str_of(strrchr(path, '/') + 1), out, why);
}

static enum err give_secret(void *ctx, const struct config_secret *s, size_t max, struct buf *out, char why[SOURCE_WHY])
{
    (void)max;
    note(ctx, "secret", s->value.s);
    const char *slash = strrchr(s->value.s.p, '/');
    return give(ctx, str_of(slash ? slash + 1 : s->value.s.p), out, why);
}

static void list_file(void *ctx, str path)
{
    note(ctx, "file", path);
}

static void list_secret(void *ctx, const struct config_secret *s)
{
    note(ctx, "secret", s->value.s);
}

/* Nothing is opened that the source does not give, and all that is asked for is in the list. */
static void everything_comes_through_the_source(void **state)
{
    (void)state;
    struct asked asked = {.text = ""}, listed = {.text = ""};
    const struct config_source source = {.file = give_file, .secret = give_secret, .ctx = &asked};
    struct config *c = parse_in("/nowhere", whole);
    struct snapshot *s = build_by(c, &source);
    assert_int_equal(s->tls.n_certificates, 2);
    source_list(c, list_file, list_secret, &listed);
    str rest = str_of(asked.text);
    unsigned lines = 0;
    for (str line = str_cut(&rest, '\n'); line.n; line = str_cut(&rest, '\n'), lines++)
        if (!memmem(listed.text, strlen(listed.text), line.p, line.n + 1))
            fail_msg("%.*s is not in the list: %s", STR_ARG(line), listed.text);
    assert_int_equal(lines, 11); /* one file of authorities is there for three things */
    snapshot_unref(&s);
    struct diags d;
    diags_init(&d, STR("t"));
    asked.fail = true;
    assert_err(snapshot_build(c, &source, 1, &d, &s), ERR_MALFORMED);
    assert_int_equal(d.errors, 11);
    diags_free(&d);
    config_free(&c);
}

/* --- names --- */

static struct sockaddr_storage ip4(const char *text, uint16_t port)
{
    struct sockaddr_storage ss = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, text, &in.sin_addr), 1);
    memcpy(&ss, &in, sizeof in);
    return ss;
}

static enum err names(void *ctx, str host, uint16_t port, bool srv, struct source_address out[SOURCE_ADDRS], size_t *n,
                      char why[SOURCE_WHY])
{
    (void)ctx;
    *n = 0;
    if (str_eq(host, STR("late.test"))) return ERR_AGAIN;
    if (str_eq(host, STR("none.test"))) {
        snprintf(why, SOURCE_WHY, "no such name");
        return ERR_NOT_FOUND;
    }
    if (srv) {
        assert_int_equal(port, 0);
        out[0] = (struct source_address){ip4("10.0.0.9", 1009), sizeof(struct sockaddr_in), 20, 0, "far.test"};
        out[1] = (struct source_address){ip4("10.0.0.8", 1008), sizeof(struct sockaddr_in), 10, 65535, "near.test"};
        out[2] = (struct source_address){ip4("10.0.0.7", 1007), sizeof(struct sockaddr_in), 10, 6553, "near2.test"};
        *n = 3;
        return ERR_OK;
    }
    assert_int_equal(port, 80);
    out[0] = (struct source_address){.addr = ip4("10.0.0.2", port), .len = sizeof(struct sockaddr_in)};
    out[1] = (struct source_address){.addr = ip4("10.0.0.1", port), .len = sizeof(struct sockaddr_in)};
    out[2] = out[0];
    *n = 3;
    return ERR_OK;
}

static const char named[] = "sallyport: 1\n"
                            "services:\n"
                            "  a: {instances: [\"10.9.9.9:80\", {address: \"two.test:80\", weight: 4, zone: z}, "
                            "\"10.9.9.8:80\", \"srv:_http._tcp.test\"]}\n"
                            "  b: {instances: \"late.test:80\"}\n"
                            "  c: {instances: [\"none.test:80\", \"unix:/run/c\"]}\n";

static void assert_shown(const struct snapshot_service *s, const char *want)
{
    char got[512] = "";
    for (uint32_t i = 0; i < s->n_instances; i++) {
        size_t n = strlen(got);
        const struct snapshot_instance *v = &s->instances[i];
        snprintf(got + n, sizeof got - n, "%s%.*s*%u", i ? " " : "", STR_ARG(v->shown), v->weight);
    }
    assert_string_equal(got, want);
}

static struct snapshot_addresses *addresses(uint32_t n)
{
    struct snapshot_addresses *a = calloc(1, sizeof *a + n * sizeof a->v[0]);
    assert_non_null(a);
    a->n = n;
    return a;
}

static void names_become_instances(void **state)
{
    (void)state;
    const struct config_source source = {.names = names};
    struct config *c = parse_in("/nowhere", named);
    struct diags d;
    struct snapshot *s = NULL;
    diags_init(&d, STR("t"));
    assert_err(snapshot_build(c, &source, 1, &d, &s), ERR_OK);
    assert_true(d.errors == 0 && d.warnings == 1); /* none.test */
    assert_shown(&s->services[0], "10.9.9.9:80*1 10.0.0.1:80*4 10.0.0.2:80*4 10.9.9.8:80*1 10.0.0.7:1007*10 "
                                  "10.0.0.8:1008*100 10.0.0.9:1009*1");
    assert_shown(&s->services[1], "");
    assert_shown(&s->services[2], "unix:/run/c*1");
    assert_int_equal(s->n_names, 4);
    assert_str(s->names[0].host, STR("two.test"));
    assert_true(s->names[0].port == 80 && s->names[0].weight == 4 && s->names[0].service == 0 && !s->names[0].srv);
    assert_true(s->names[1].srv && s->names[1].port == 0);
    assert_str(s->names[1].text, STR("srv:_http._tcp.test"));
    assert_str(s->names[1].host, STR("_http._tcp.test"));
    assert_true(s->names[2].service == 1 && s->names[3].service == 2);
    const struct snapshot_instance *i = s->services[0].instances;
    assert_true(i[1].name == 0 && i[3].name == SNAPSHOT_NO_NAME && i[4].name == 1);
    assert_true(i[4].priority == 10 && i[6].priority == 20);
    assert_str(i[5].host, STR("near.test"));
    assert_str(i[1].host, STR("two.test"));
    assert_str(i[1].zone, STR("z"));

    /* other addresses for two of the names: only those change */
    struct snapshot_addresses *now = addresses(4);
    struct snapshot *next = NULL, *last = NULL;
    now->v[0] = (struct snapshot_address){.name = 2, .addr = ip4("10.0.0.5", 80), .len = sizeof(struct sockaddr_in)};
    now->v[1] = (struct snapshot_address){.name = 0, .addr = ip4("10.0.0.4", 80), .len = sizeof(struct sockaddr_in)};
    now->v[2] = (struct snapshot_address){.name = 0, .addr = ip4("10.0.0.3", 80), .len = sizeof(struct sockaddr_in)};
    now->v[3] = now->v[1];
    assert_err(snapshot_readdress(c, s, now, 2, &d, &next), ERR_OK);
    snapshot_unref(&s);
    assert_shown(&next->services[0], "10.9.9.9:80*1 10.0.0.3:80*4 10.0.0.4:80*4 10.9.9.8:80*1 10.0.0.7:1007*10 "
                                     "10.0.0.8:1008*100 10.0.0.9:1009*1");
    assert_shown(&next->services[1], "10.0.0.5:80*1");
    assert_shown(&next->services[2], "unix:/run/c*1");
    assert_true(next->services[1].first_instance == 7 && next->n_instances == 9 && next->n_names == 4);
    now->n = 1;
    now->v[0] = (struct snapshot_address){.name = 1,
                                          .addr = ip4("10.0.0.7", 1007),
                                          .len = sizeof(struct sockaddr_in),
                                          .priority = 3,
                                          .weight = 7,
                                          .host = STR("near2.test")};
    assert_err(snapshot_readdress(c, next, now, 3, &d, &last), ERR_OK);
    assert_shown(&last->services[0], "10.9.9.9:80*1 10.0.0.3:80*4 10.0.0.4:80*4 10.9.9.8:80*1 10.0.0.7:1007*7");
    assert_str(last->services[0].instances[4].host, STR("near2.test"));
    assert_shown(&last->services[1], "10.0.0.5:80*1");
    snapshot_unref(&last);
    EACH_ALLOC_FAILING({
        struct diags each;
        diags_init(&each, STR("t"));
        enum err e = snapshot_readdress(c, next, now, 3, &each, &last);
        if (alloc_fail_hit())
            assert_true(e == ERR_NO_MEMORY && !last);
        else
            assert_err(e, ERR_OK);
        snapshot_unref(&last);
        diags_free(&each);
    })
    snapshot_unref(&next);
    free(now);
    diags_free(&d);
    config_free(&c);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    struct config *c = whole_config();
    struct snapshot *s = NULL;
    EACH_ALLOC_FAILING({
        struct diags d;
        diags_init(&d, STR("t"));
        enum err e = snapshot_build(c, NULL, 1, &d, &s);
        if (alloc_fail_hit())
            assert_true(e != ERR_OK && !s);
        else
            assert_err(e, ERR_OK);
        snapshot_unref(&s);
        diags_free(&d);
    })
    config_free(&c);
}

static int set_up(void **state)
{
    (void)state;
    return make_certificates(dir);
}

static int tear_down(void **state)
{
    (void)state;
    return remove_certificates(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services_are_as_written),
        cmocka_unit_test(the_edge_is_as_written),
        cmocka_unit_test(a_limit_is_known_again),
        cmocka_unit_test(limits_of_different_places_are_different),
        cmocka_unit_test(everything_comes_through_the_source),
        cmocka_unit_test(names_become_instances),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("config/edge", tests, set_up, tear_down);
}
