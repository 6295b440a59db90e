/* The handlers of the admin listener and the control socket, without any connection: who may ask, what is answered,
 * what waits and what is followed. */
#include "unit.h"

#include "serve/control.h"

#include <jansson.h>

/* --- a role to ask --- */
static struct role {
    struct decision_ring *rings[2];
    bool started, keys_ok, reload_at_once, facts_known;
    struct control_reply *reloading, *waiting;
    int reloads, cancels, ready_calls;
    struct control_reload result;
} role;

static bool role_started(void *ctx)
{
    return ((struct role *)ctx)->started;
}

static size_t role_checks(void *ctx, struct arena *mem, struct control_check *out)
{
    struct role *r = ctx;
    out[0] = (struct control_check){"configuration", true, arena_printf(mem, "generation %d", 3)};
    out[1] = (struct control_check){"issuer:corp", r->keys_ok, r->keys_ok ? STR_NONE : STR("timeout\nforged: ok")};
    return 2;
}

static void role_metrics(void *ctx, struct buf *out)
{
    (void)ctx;
    buf_puts(out, "# TYPE sallyport_config_version gauge\nsallyport_config_version 3\n");
}

static void role_status(void *ctx, struct arena *mem, struct control_status *out)
{
    (void)ctx;
    (void)mem;
    *out = (struct control_status){.name = STR("sallyport"),
                                   .environment = STR("dev"),
                                   .roles = STR("gateway"),
                                   .config_file = STR("/tmp/\"quoted\".yaml"),
                                   .generation = 3,
                                   .workers = 2,
                                   .ready = true,
                                   .listeners = STR("gateway :8080")};
}

static size_t role_rings(void *ctx, const struct decision_ring **out)
{
    struct role *r = ctx;
    out[0] = r->rings[0];
    out[1] = r->rings[1];
    return 2;
}

static bool role_facts(void *ctx, str action, struct arena *mem, struct control_facts *out)
{
    (void)mem;
    if (!((struct role *)ctx)->facts_known || !str_eq(action, STR("payOrder"))) return false;
    *out = (struct control_facts){STR("POST /orders/{id}/pay"), STR("token"),      STR("orders"),
                                  STR("buyer, clerk"),          STR("orders:pay"), STR("mobile-app")};
    return true;
}

static void role_reload(void *ctx, struct control_reply *reply)
{
    struct role *r = ctx;
    r->reloads++;
    r->reloading = reply;
    if (r->reload_at_once) control_reload_done(reply, &r->result);
}

static void role_cancel(void *ctx, struct control_reply *reply)
{
    struct role *r = ctx;
    assert_ptr_equal(reply, r->reloading);
    r->cancels++;
    r->reloading = NULL;
}

static bool role_extra(void *ctx, const struct control_peer *peer, const struct request *q, str body,
                       struct control_reply *reply)
{
    struct role *r = ctx;
    assert_int_equal(peer->face, CONTROL_LOCAL);
    if (!str_starts(q->path, STR("/v1/users"))) return false;
    if (q->method_id != METHOD_GET && !control_is_json(q)) {
        control_reply_refuse(reply, REASON_MEDIA_TYPE_REFUSED);
    } else if (str_eq(control_query(q, STR("later")), STR("1"))) {
        r->waiting = reply;
        control_reply_wait(reply, &r->waiting);
    } else {
        buf_put(&reply->body, body);
        control_reply_done(reply, 201, STR("application/json"));
    }
    return true;
}

static void role_extra_cancel(void *ctx, struct control_reply *reply, void *waiting)
{
    struct role *r = ctx;
    assert_ptr_equal(reply, r->waiting);
    assert_ptr_equal(waiting, &r->waiting);
    r->waiting = NULL;
}

static const struct control_source source = {.ctx = &role,
                                             .started = role_started,
                                             .checks = role_checks,
                                             .metrics = role_metrics,
                                             .status = role_status,
                                             .rings = role_rings,
                                             .facts = role_facts,
                                             .reload = role_reload,
                                             .reload_cancel = role_cancel,
                                             .extra = role_extra,
                                             .extra_cancel = role_extra_cancel};
static const struct control control = {&source};

static int setup(void **state)
{
    (void)state;
    memset(&role, 0, sizeof role);
    role.started = role.keys_ok = role.facts_known = true;
    return decision_ring_new(&role.rings[0]) == ERR_OK && decision_ring_new(&role.rings[1]) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    decision_ring_free(&role.rings[0]);
    decision_ring_free(&role.rings[1]);
    return 0;
}

/* --- asking --- */
struct question {
    const char *method, *path, *query, *host, *origin, *type, *body;
};

static void on_ready(void *arg)
{
    (void)arg;
    role.ready_calls++;
}

static void ask(enum control_face face, const char *local, struct question q, struct control_reply *r)
{
    struct field room[8];
    const struct control_peer peer = {.face = face, .local = str_of(local)};
    struct request request = {.method = str_of(q.method),
                              .path = str_of(q.path),
                              .query = str_of(q.query),
                              .has_query = q.query,
                              .authority = str_of(q.host),
                              .fields = {room, 0, 8}};
    request.method_id = method_of(request.method);
    if (q.origin) assert_err(fields_append(&request.fields, FIELD_ORIGIN, STR("Origin"), str_of(q.origin)), ERR_OK);
    if (q.type)
        assert_err(fields_append(&request.fields, FIELD_CONTENT_TYPE, STR("Content-Type"), str_of(q.type)), ERR_OK);
    memset(r, 0xa5, sizeof *r);
    r->ready = on_ready;
    r->ready_arg = NULL;
    control_handle(&control, &peer, &request, str_of(q.body), r);
}

static uint16_t status_of(enum control_face face, const char *local, struct question q)
{
    struct control_reply r;
    ask(face, local, q, &r);
    uint16_t status = r.status;
    assert_int_equal(r.next, CONTROL_DONE);
    control_reply_free(&r);
    control_reply_free(&r);
    return status;
}

static json_t *json_of(const struct buf *b)
{
    json_error_t e;
    json_t *j = json_loadb(b->p, b->n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (!j) fail_msg("%s in %.*s", e.text, (int)b->n, b->p);
    return j;
}

static void only_our_own_names_are_answered(void **state)
{
    (void)state;
    static const struct {
        const char *local, *host, *origin;
        uint16_t want;
    } t[] = {
        {"127.0.0.1:8081", "127.0.0.1:8081", NULL, 200},
        {"127.0.0.1:8081", "localhost:8081", NULL, 200},
        {"127.0.0.1:8081", "LocalHost:8081", NULL, 200},
        {"127.0.0.1:8081", "[::1]:8081", NULL, 200},
        {"127.0.0.1:8081", "127.0.0.1:8082", NULL, 421},
        {"127.0.0.1:8081", "127.0.0.1", NULL, 421},
        {"127.0.0.1:8081", "evil.example:8081", NULL, 421},
        {"127.0.0.1:8081", "127.0.0.1.evil.example:8081", NULL, 421},
        {"127.0.0.1:8081", "localhost.evil.example:8081", NULL, 421},
        {"127.0.0.1:8081", "10.0.0.1:8081", NULL, 421},
        {"127.0.0.1:8081", "", NULL, 421},
        {"10.0.0.5:8081", "10.0.0.5:8081", NULL, 200},
        {"10.0.0.5:8081", "10.0.0.6:8081", NULL, 421},
        {":8081", "10.0.0.6:8081", NULL, 200},
        {"[::]:8081", "[2001:db8::1]:8081", NULL, 200},
        {"0.0.0.0:8081", "10.0.0.6.evil.example:8081", NULL, 421},
        {"0.0.0.0:8081", "2130706433:8081", NULL, 421},
        {"127.0.0.1:80", "127.0.0.1", NULL, 200},
        {"127.0.0.1:8081", "127.0.0.1:8081", "http://127.0.0.1:8081", 200},
        {"127.0.0.1:8081", "127.0.0.1:8081", "http://localhost:8081", 200},
        {"127.0.0.1:8081", "127.0.0.1:8081", "http://evil.example", 403},
        {"127.0.0.1:8081", "127.0.0.1:8081", "http://127.0.0.1:9999", 403},
        {"127.0.0.1:8081", "127.0.0.1:8081", "http://localhost:8081.evil.example", 403},
        {"127.0.0.1:8081", "127.0.0.1:8081", "https://127.0.0.1:8081", 403},
        {"127.0.0.1:8081", "127.0.0.1:8081", "null", 403},
        {"127.0.0.1:8081", "127.0.0.1:8081", "", 403},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct question q = {"GET", "/livez", NULL, t[i].host, t[i].origin, NULL, NULL};
        uint16_t got = status_of(CONTROL_ADMIN, t[i].local, q);
        if (got != t[i].want) fail_msg("%s asked as %s from %s: %u", t[i].local, t[i].host, t[i].origin, got);
    }
    /* On the control socket the name says nothing, and a page cannot be there. */
    assert_int_equal(status_of(CONTROL_LOCAL, "", (struct question){"GET", "/livez", NULL, "x", NULL, NULL, NULL}),
                     200);
    assert_int_equal(status_of(CONTROL_LOCAL, "",
                               (struct question){"GET", "/livez", NULL, "x", "http://x", NULL, NULL}),
                     403);
}

static void addresses_and_methods(void **state)
{
    (void)state;
    static const struct {
        enum control_face face;
        const char *method, *path, *query, *type, *body;
        uint16_t want;
    } t[] = {
        {CONTROL_ADMIN, "GET", "/livez", NULL, NULL, NULL, 200},
        {CONTROL_ADMIN, "HEAD", "/livez", NULL, NULL, NULL, 200},
        {CONTROL_ADMIN, "POST", "/livez", NULL, NULL, NULL, 405},
        {CONTROL_ADMIN, "GET", "/livez/", NULL, NULL, NULL, 404},
        {CONTROL_ADMIN, "GET", "/startupz", NULL, NULL, NULL, 200},
        {CONTROL_ADMIN, "GET", "/readyz", NULL, NULL, NULL, 200},
        {CONTROL_ADMIN, "GET", "/metrics", NULL, NULL, NULL, 200},
        {CONTROL_ADMIN, "GET", "/", NULL, NULL, NULL, 404},
        {CONTROL_ADMIN, "GET", "*", NULL, NULL, NULL, 404},
        {CONTROL_ADMIN, "GET", "/v1/status", NULL, NULL, NULL, 404}, /* not for pages and neighbours */
        {CONTROL_ADMIN, "GET", "/v1/decisions", "follow=1", NULL, NULL, 404},
        {CONTROL_ADMIN, "GET", "/v1/decisions/01J00000000000000000000001", NULL, NULL, NULL, 404},
        {CONTROL_ADMIN, "POST", "/v1/reload", NULL, "application/json", "{}", 404},
        {CONTROL_LOCAL, "GET", "/v1/status", NULL, NULL, NULL, 200},
        {CONTROL_LOCAL, "GET", "/v1/decisions", NULL, NULL, NULL, 404},
        {CONTROL_LOCAL, "GET", "/v1/decisions", "follow=0", NULL, NULL, 404},
        {CONTROL_LOCAL, "GET", "/v1/decisions/", NULL, NULL, NULL, 404},
        {CONTROL_LOCAL, "GET", "/v1/decisions/nonsense", NULL, NULL, NULL, 404},
        {CONTROL_LOCAL, "DELETE", "/v1/decisions/nonsense", NULL, NULL, NULL, 405},
        {CONTROL_LOCAL, "GET", "/v1/reload", NULL, "application/json", "{}", 405},
        {CONTROL_LOCAL, "POST", "/v1/reload", NULL, NULL, NULL, 415},
        {CONTROL_LOCAL, "POST", "/v1/reload", NULL, "text/plain", "{}", 415},
        {CONTROL_LOCAL, "POST", "/v1/reload", NULL, "application/x-www-form-urlencoded", "a=b", 415},
        {CONTROL_LOCAL, "POST", "/v1/reload", NULL, "application/json", "{\"a\":1,\"a\":2}", 400},
        {CONTROL_LOCAL, "POST", "/v1/reload", NULL, "application/json", "[]", 400},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct question q = {t[i].method, t[i].path, t[i].query, "127.0.0.1:8081", NULL, t[i].type, t[i].body};
        uint16_t got = status_of(t[i].face, "127.0.0.1:8081", q);
        if (got != t[i].want) fail_msg("%s %s: %u, want %u", t[i].method, t[i].path, got, t[i].want);
    }
    assert_int_equal(role.reloads, 0);
    struct control_reply r;
    ask(CONTROL_ADMIN, ":1", (struct question){"POST", "/metrics", NULL, "127.0.0.1:1", NULL, NULL, NULL}, &r);
    assert_str(r.allow, STR("GET, HEAD"));
    control_reply_free(&r);
}

static void readiness_tells_what_is_missing(void **state)
{
    (void)state;
    struct control_reply r;
    struct question q = {"GET", "/readyz", "verbose", "127.0.0.1:8081", NULL, NULL, NULL};
    ask(CONTROL_ADMIN, "127.0.0.1:8081", q, &r);
    assert_int_equal(r.status, 200);
    assert_str(buf_str(&r.body), STR("[+] configuration: generation 3\n[+] issuer:corp\nready\n"));
    control_reply_free(&r);
    role.keys_ok = false;
    ask(CONTROL_ADMIN, "127.0.0.1:8081", q, &r);
    assert_int_equal(r.status, 503);
    assert_str(buf_str(&r.body),
               STR("[+] configuration: generation 3\n[-] issuer:corp: timeout forged: ok\nnot ready\n"));
    control_reply_free(&r);
    q.query = NULL;
    ask(CONTROL_ADMIN, "127.0.0.1:8081", q, &r);
    assert_str(buf_str(&r.body), STR("not ready\n"));
    control_reply_free(&r);
    role.started = false;
    q.path = "/startupz";
    assert_int_equal(status_of(CONTROL_ADMIN, "127.0.0.1:8081", q), 503);
}

static void status_is_json(void **state)
{
    (void)state;
    struct control_reply r;
    ask(CONTROL_LOCAL, "", (struct question){"GET", "/v1/status", NULL, "localhost", NULL, NULL, NULL}, &r);
    json_t *j = json_of(&r.body);
    assert_string_equal(json_string_value(json_object_get(j, "config_file")), "/tmp/\"quoted\".yaml");
    assert_int_equal(json_integer_value(json_object_get(j, "generation")), 3);
    assert_true(json_is_true(json_object_get(j, "ready")));
    json_decref(j);
    control_reply_free(&r);
}

/* --- decisions --- */
static void decide(int ring, const char *id, uint64_t ms, enum effect effect, enum reason reason)
{
    struct outcome o = {.id = str_of(id),
                        .unix_ms = ms,
                        .effect = effect,
                        .reason = reason,
                        .status = 403,
                        .gate = 1,
                        .method = STR("POST"),
                        .path = STR("/orders/7/pay"),
                        .action = STR("payOrder"),
                        .product = STR("mobile-app"),
                        .subject = STR("corp:alice"),
                        .roles = STR("support")};
    decision_ring_put(role.rings[ring], &o);
}

static void decision_is_explained(void **state)
{
    (void)state;
    static const struct {
        enum effect effect;
        enum reason reason;
        const char *rule;
    } t[] = {
        {EFFECT_DENY, REASON_ACTION_NOT_GRANTED,
         "action payOrder is granted to roles buyer, clerk and permission orders:pay; this token carries support"},
        {EFFECT_PERMIT, REASON_GRANTED,
         "action payOrder is granted to roles buyer, clerk and permission orders:pay; this token carries support"},
        {EFFECT_DENY, REASON_PRODUCT_NOT_GRANTED,
         "action payOrder may be performed by product mobile-app; this request is of product mobile-app"},
        {EFFECT_DENY, REASON_TOKEN_MISSING, "action payOrder accepts token"},
        {EFFECT_DENY, REASON_NO_ROUTE, "no action matches POST /orders/7/pay"},
        {EFFECT_PERMIT, REASON_UPSTREAM_CONNECT, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        char id[ULID_LEN + 1], path[64];
        snprintf(id, sizeof id, "01J%023zu", i);
        snprintf(path, sizeof path, "/v1/decisions/%s", id);
        decide((int)(i % 2), id, 1, t[i].effect, t[i].reason);
        struct control_reply r;
        ask(CONTROL_LOCAL, "", (struct question){"GET", path, NULL, "localhost", NULL, NULL, NULL}, &r);
        assert_int_equal(r.status, 200);
        json_t *j = json_of(&r.body);
        assert_string_equal(json_string_value(json_object_get(j, "rule")), t[i].rule);
        assert_string_equal(json_string_value(json_object_get(j, "explanation")), reason_info(t[i].reason)->explain);
        const char *remedy = json_string_value(json_object_get(j, "remedy"));
        assert_null(strstr(remedy, "{action}"));
        if (t[i].reason == REASON_PRODUCT_NOT_GRANTED)
            assert_non_null(strstr(remedy, "add payOrder to `products.mobile-app.may`"));
        const json_t *d = json_object_get(j, "decision");
        assert_string_equal(json_string_value(json_object_get(d, "decision_id")), id);
        assert_string_equal(json_string_value(json_object_get(json_object_get(j, "action"), "service")), "orders");
        json_decref(j);
        control_reply_free(&r);
    }
    role.facts_known = false; /* the action is gone since */
    struct control_reply r;
    ask(CONTROL_LOCAL, "",
        (struct question){"GET", "/v1/decisions/01J00000000000000000000000", NULL, "x", NULL, NULL, NULL}, &r);
    json_t *j = json_of(&r.body);
    assert_true(json_is_null(json_object_get(j, "action")));
    assert_string_equal(json_string_value(json_object_get(j, "rule")), "");
    json_decref(j);
    control_reply_free(&r);
}

/* The last denial, whichever worker made it; a permit only while there is none. */
static void last_means_the_last_denial(void **state)
{
    (void)state;
    struct question q = {"GET", "/v1/decisions/last", NULL, "localhost", NULL, NULL, NULL};
    static const struct {
        int ring;
        const char *id;
        uint64_t ms;
        enum effect effect;
        enum reason reason;
        const char *want;
    } t[] = {
        {0, "01J00000000000000000000001", 10, EFFECT_PERMIT, REASON_GRANTED, "01J00000000000000000000001"},
        {1, "01J00000000000000000000002", 20, EFFECT_PERMIT, REASON_PUBLIC, "01J00000000000000000000002"},
        {0, "01J00000000000000000000003", 15, EFFECT_DENY, REASON_NO_ROUTE, "01J00000000000000000000003"},
        {1, "01J00000000000000000000004", 30, EFFECT_DENY, REASON_NO_ROUTE, "01J00000000000000000000004"},
        {0, "01J00000000000000000000005", 25, EFFECT_DENY, REASON_NO_ROUTE, "01J00000000000000000000004"},
        {0, "01J00000000000000000000006", 99, EFFECT_PERMIT, REASON_GRANTED, "01J00000000000000000000004"},
    };
    assert_int_equal(status_of(CONTROL_LOCAL, "", q), 404);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct control_reply r;
        decide(t[i].ring, t[i].id, t[i].ms, t[i].effect, t[i].reason);
        ask(CONTROL_LOCAL, "", q, &r);
        json_t *j = json_of(&r.body);
        assert_string_equal(json_string_value(json_object_get(json_object_get(j, "decision"), "decision_id")),
                            t[i].want);
        json_decref(j);
        control_reply_free(&r);
    }
}

static size_t lines_of(const struct buf *b, const char *with)
{
    size_t n = 0;
    for (str rest = buf_str(b); rest.n;) {
        str line = str_cut(&rest, '\n');
        const struct buf one = {.p = (char *)(uintptr_t)line.p, .n = line.n};
        json_decref(json_of(&one));
        n += memmem(line.p, line.n, with, strlen(with)) != NULL;
    }
    return n;
}

static void following_tells_what_comes_next(void **state)
{
    (void)state;
    struct control_reply all, denials;
    struct question q = {"GET", "/v1/decisions", "follow=1", "localhost", NULL, NULL, NULL};
    decide(0, "01J00000000000000000000001", 1, EFFECT_DENY, REASON_NO_ROUTE);
    ask(CONTROL_LOCAL, "", q, &all);
    q.query = "follow=1&deny=1";
    ask(CONTROL_LOCAL, "", q, &denials);
    assert_int_equal(all.next, CONTROL_FOLLOW);
    assert_int_equal(all.status, 200);
    assert_int_equal(control_follow(&all), 0);
    decide(0, "01J00000000000000000000003", 30, EFFECT_PERMIT, REASON_GRANTED);
    decide(1, "01J00000000000000000000002", 20, EFFECT_DENY, REASON_TOKEN_EXPIRED);
    decide(1, "01J00000000000000000000004", 40, EFFECT_PERMIT, REASON_UPSTREAM_CONNECT);
    assert_int_equal(control_follow(&all), 3);
    assert_int_equal(lines_of(&all.body, "decision_id"), 3);
    const char *second = memmem(all.body.p, all.body.n, "00002\"", 6),
               *third = memmem(all.body.p, all.body.n, "00003\"", 6);
    assert_true(second && third && second < third); /* by time, whatever worker */
    assert_int_equal(control_follow(&denials), 1);
    assert_int_equal(lines_of(&denials.body, "token_expired"), 1);
    buf_clear(&all.body);
    for (int i = 0; i < 3000; i++) decide(0, "01J00000000000000000000005", 50, EFFECT_DENY, REASON_NO_ROUTE);
    /* A reader who does not read costs no memory: it is told what it missed. */
    size_t got = 0, n;
    while ((n = control_follow(&all))) {
        assert_true(all.body.n < (512 << 10));
        got += lines_of(&all.body, "decision_id");
        if (got == n) { /* first lot: not sent yet, so nothing more comes */
            assert_int_equal(control_follow(&all), 0);
        }
        buf_clear(&all.body);
    }
    assert_in_range(got, DECISION_DENIALS - 1, DECISION_DENIALS);
    control_reply_free(&all);
    control_reply_free(&denials);
    q.method = "HEAD";
    assert_int_equal(status_of(CONTROL_LOCAL, "", q), 200);
}

/* --- reload --- */
static void reload_now_later_or_never(void **state)
{
    (void)state;
    struct control_reply r;
    struct question q = {"POST", "/v1/reload", NULL, "localhost", NULL, "application/json; charset=utf-8", "{}"};
    role.reload_at_once = true;
    role.result = (struct control_reload){.ok = true, .generation = 4};
    ask(CONTROL_LOCAL, "", q, &r);
    assert_int_equal(r.next, CONTROL_DONE);
    assert_int_equal(r.status, 200);
    assert_str(buf_str(&r.body), STR("{\"generation\":4}\n"));
    control_reply_free(&r);
    assert_int_equal(role.ready_calls, 0);

    role.reload_at_once = false;
    ask(CONTROL_LOCAL, "", q, &r);
    assert_int_equal(r.next, CONTROL_WAIT);
    const struct control_reload refused = {.ok = false,
                                           .generation = 4,
                                           .text = STR("a.yaml:3:1: error: \"x\"\n  ^\n"),
                                           .findings = STR("[{\"code\":\"unknown_key\"}]\n")};
    control_reload_done(&r, &refused);
    assert_int_equal(role.ready_calls, 1);
    assert_int_equal(r.next, CONTROL_DONE);
    assert_int_equal(r.status, 422);
    json_t *j = json_of(&r.body);
    assert_string_equal(json_string_value(json_object_get(j, "code")), "config_refused");
    assert_string_equal(json_string_value(json_object_get(j, "text")), "a.yaml:3:1: error: \"x\"\n  ^\n");
    assert_int_equal(json_array_size(json_object_get(j, "findings")), 1);
    json_decref(j);
    control_reload_done(&r, &refused); /* once is enough */
    assert_int_equal(role.ready_calls, 1);
    control_reply_free(&r);
    assert_int_equal(role.cancels, 0);

    ask(CONTROL_LOCAL, "", q, &r);
    control_reply_free(&r);
    control_reply_free(&r);
    assert_int_equal(role.cancels, 1);
    assert_null(role.reloading);
    assert_int_equal(role.reloads, 3);
}

static void others_answer_what_we_do_not_serve(void **state)
{
    (void)state;
    struct control_reply r;
    struct question q = {"DELETE", "/v1/users/alice", NULL, "localhost", NULL, "application/json", "{\"a\":1}"};
    ask(CONTROL_ADMIN, "127.0.0.1:1", (struct question){"GET", q.path, NULL, "127.0.0.1:1", NULL, NULL, NULL}, &r);
    assert_int_equal(r.status, 404); /* the control socket's only */
    control_reply_free(&r);

    ask(CONTROL_LOCAL, "", q, &r);
    assert_int_equal(r.next, CONTROL_DONE);
    assert_int_equal(r.status, 201);
    assert_str(buf_str(&r.body), STR("{\"a\":1}"));
    control_reply_free(&r);

    ask(CONTROL_LOCAL, "", (struct question){"POST", "/v1/nothing", NULL, "localhost", NULL, NULL, NULL}, &r);
    assert_int_equal(r.status, 404);
    control_reply_free(&r);
    ask(CONTROL_LOCAL, "", (struct question){"PUT", q.path, NULL, "localhost", NULL, "text/plain", "x"}, &r);
    assert_int_equal(r.status, 415);
    control_reply_free(&r);

    q.query = "later=1";
    ask(CONTROL_LOCAL, "", q, &r);
    assert_int_equal(r.next, CONTROL_WAIT);
    assert_int_equal(role.ready_calls, 0);
    buf_puts(&r.body, "half of an answer");
    control_reply_refuse(&r, REASON_CONFIG_REFUSED);
    assert_int_equal(role.ready_calls, 1);
    assert_int_equal(r.next, CONTROL_DONE);
    assert_int_equal(r.status, 422);
    assert_true(str_starts(buf_str(&r.body), STR("{\"type\"")));
    role.waiting = NULL;
    control_reply_free(&r);

    ask(CONTROL_LOCAL, "", q, &r);
    assert_ptr_equal(role.waiting, &r);
    control_reply_free(&r); /* the asker has gone */
    assert_null(role.waiting);
    control_reply_free(&r);
}

static void lack_of_memory_is_an_answer(void **state)
{
    (void)state;
    static const char *const paths[] = {"/livez", "/readyz", "/metrics", "/v1/status",
                                        "/v1/decisions/01J00000000000000000000001"};
    decide(0, "01J00000000000000000000001", 1, EFFECT_DENY, REASON_NO_ROUTE);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        EACH_ALLOC_FAILING({
            struct control_reply r;
            ask(CONTROL_LOCAL, "", (struct question){"GET", paths[i], "verbose", "localhost", NULL, NULL, NULL}, &r);
            assert_int_equal(r.status, alloc_fail_hit() ? 500 : 200);
            control_reply_free(&r);
        });
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(only_our_own_names_are_answered),    TEST(addresses_and_methods),
        TEST(readiness_tells_what_is_missing),    TEST(status_is_json),
        TEST(last_means_the_last_denial),         TEST(decision_is_explained),
        TEST(following_tells_what_comes_next),    TEST(reload_now_later_or_never),
        TEST(others_answer_what_we_do_not_serve), TEST(lack_of_memory_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
