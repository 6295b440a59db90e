#include "serve/service.h"

#include "base/clock.h"
#include "base/rand.h"
#include "http/h1_server.h"
#include "net/unix_socket.h"
#include "serve/access_log.h"
#include "serve/problem.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECTIONS 1024
#define FIELDS      100
#define DEADLINE_MS 15000
#define CALL_ARENA  ((size_t)256 * 1024)

struct service {
    struct service_options o;
    struct http_io io;
    struct server_env env;
    struct watch watch;
    struct unix_socket socket; /* its descriptor is the watch's */
    struct counters *counters;
    struct call *open;
    size_t n_open;
};

/* A call, public part first. It outlives its stream when the client leaves, and the service when that is freed. */
struct call {
    struct service_call pub;
    struct service *service; /* NULL: freed */
    struct stream *stream;   /* NULL: the client is gone, or was answered by the deadline */
    const struct service_route *route;
    struct timer deadline;
    struct call *next, **link; /* among service->open */
    uint64_t begun_ns;
    char *body; /* what pub.body is a slice of; NULL: no body */
    char id[ULID_LEN];
};

struct stream {
    struct server_stream down;
    struct service *service;
    struct call *call;
    struct buf body;
    struct field fields[FIELDS], out[8];
};

static struct stream *of(struct server_stream *s)
{
    return CONTAINER_OF(s, struct stream, down);
}

static struct call *call_of(struct service_call *pub)
{
    return CONTAINER_OF(pub, struct call, pub);
}

/* --- answering --- */

static struct response response(struct stream *x, uint16_t status, str type, str cache)
{
    struct response r = {.status = status, .fields = {x->out, 0, ARRAY_LEN(x->out)}};
    if (type.n) (void)!fields_append(&r.fields, FIELD_CONTENT_TYPE, STR("Content-Type"), type);
    (void)!fields_append(&r.fields, FIELD_OTHER, STR("Cache-Control"), cache);
    (void)!fields_append(&r.fields, FIELD_OTHER, STR("X-Content-Type-Options"), STR("nosniff"));
    return r;
}

static void respond(struct stream *x, struct response *r, str body)
{
    r->body = body.n;
    if (x->down.request.method_id == METHOD_HEAD) body.n = 0;
    (void)!x->down.ops->respond(&x->down, r, body, true);
    x->down.ops->done(&x->down);
}

struct refusal {
    enum reason reason;
    uint32_t retry_after_s;
    str id, detail, allow;
};

static void respond_problem(struct stream *x, const struct refusal *f)
{
    char body[PROBLEM_MAX], challenge[CHALLENGE_MAX], retry[16];
    const struct reason_info *info = reason_info(f->reason);
    struct problem p = {.reason = f->reason,
                        .decision_id = f->id,
                        .detail = f->detail,
                        .dev = x->service->o.dev && f->detail.n};
    size_t n = problem_body(&p, body, sizeof body), c = problem_challenge(f->reason, 0, challenge, sizeof challenge);
    struct response r = response(x, info->status ? info->status : 500, STR(PROBLEM_CONTENT_TYPE), STR("no-store"));
    if (c) (void)!fields_append(&r.fields, FIELD_WWW_AUTHENTICATE, STR("WWW-Authenticate"), str_make(challenge, c));
    if (f->allow.n) (void)!fields_append(&r.fields, FIELD_OTHER, STR("Allow"), f->allow);
    if (f->retry_after_s) {
        int k = snprintf(retry, sizeof retry, "%u", f->retry_after_s);
        (void)!fields_append(&r.fields, FIELD_RETRY_AFTER, STR("Retry-After"), str_make(retry, (size_t)k));
    }
    respond(x, &r, str_make(body, n));
}

/* The log line and the counters of a call that is answered, or whose client left. */
static void account(struct call *c, uint16_t status, enum reason reason)
{
    struct service *s = c->service;
    const struct service_call *pub = &c->pub;
    uint64_t us = (clock_mono_ns() - c->begun_ns) / 1000;
    str trace = service_field(pub, FIELD_TRACEPARENT); /* 00-<32 hex digits>-<16>-<2>; our gateway's */
    struct outcome o = {.unix_ms = pub->wall_ms,
                        .duration_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us,
                        .status = status,
                        .reason = reason,
                        .effect = reason_is_permit(reason) ? EFFECT_PERMIT : EFFECT_DENY,
                        .bytes_in = pub->body.n,
                        .id = pub->id,
                        .trace_id = trace.n == 55 ? str_make(trace.p + 3, 32) : STR_NONE,
                        .correlation_id = service_field(pub, FIELD_X_CORRELATION_ID),
                        .action = str_of(c->route->action),
                        .product = service_field(pub, FIELD_X_PRODUCT),
                        .subject = pub->subject,
                        .method = pub->request.method,
                        .path = pub->request.path,
                        .remote = STR("unix"),
                        .fault = pub->fault};
    counters_request(s->counters, &o, 0);
    if (s->o.log) access_log_write(s->o.log, &o, loop_wall_ms(pub->loop));
}

static void call_end(struct call *c)
{
    if (c->pub.ended) c->pub.ended(&c->pub);
    if (c->body) explicit_bzero(c->body, c->pub.body.n); /* passwords come this way */
    if (c->service) {
        timer_clear(c->pub.loop, &c->deadline);
        *c->link = c->next;
        if (c->next) c->next->link = c->link;
        c->service->n_open--;
    }
    arena_reset(&c->pub.mem);
    free(c);
}

/* Takes the stream off the call: from here on nobody waits for it. */
static struct stream *let_go(struct call *c)
{
    struct stream *x = c->stream;
    c->stream = NULL;
    c->pub.gone = true;
    if (x) x->call = NULL;
    return x;
}

void service_answer(struct service_call *pub, uint16_t status, str json, const char *cache)
{
    struct call *c = call_of(pub);
    struct stream *x = let_go(c);
    if (x) {
        struct response r =
            response(x, status, json.n ? STR("application/json") : STR_NONE, cache ? str_of(cache) : STR("no-store"));
        account(c, status, REASON_GRANTED);
        respond(x, &r, json);
    }
    call_end(c);
}

void service_refuse(struct service_call *pub, enum reason reason, uint32_t retry_after_s, str detail)
{
    struct call *c = call_of(pub);
    struct stream *x = let_go(c);
    if (x) {
        struct refusal f = {.reason = reason, .retry_after_s = retry_after_s, .id = pub->id, .detail = detail};
        account(c, reason_info(reason)->status, reason);
        respond_problem(x, &f);
    }
    call_end(c);
}

static void on_deadline(struct timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, deadline);
    struct stream *x = let_go(c);
    if (!x) return;
    account(c, reason_info(REASON_DEADLINE)->status, REASON_DEADLINE);
    respond_problem(x, &(struct refusal){.reason = REASON_DEADLINE, .id = c->pub.id});
}

/* --- finding the handler --- */

/* Whether the path is the route's; *tail is what stood for its '*'. */
static bool matches(const char *pattern, str path, str *tail)
{
    str p = str_of(pattern);
    *tail = STR_NONE;
    if (!str_ends(p, STR("/*"))) return str_eq(p, path);
    str head = str_first(p, p.n - 1), rest = str_from(path, head.n);
    if (!str_starts(path, head) || !rest.n || str_has(rest, '/')) return false;
    *tail = rest;
    return true;
}

static bool method_fits(enum method route, enum method asked)
{
    return route == asked || (route == METHOD_GET && asked == METHOD_HEAD);
}

/* NULL: *reason says why; `allow` has the methods of a path that is known. */
static const struct service_route *find(const struct service *s, const struct request *r, str *tail, struct buf *allow)
{
    static const char *const names[] = {[METHOD_GET] = "GET, HEAD",
                                        [METHOD_POST] = "POST",
                                        [METHOD_PUT] = "PUT",
                                        [METHOD_DELETE] = "DELETE",
                                        [METHOD_PATCH] = "PATCH"};
    for (size_t i = 0; i < s->o.n_routes; i++) {
        const struct service_route *route = &s->o.routes[i];
        if (!matches(route->path, r->path, tail)) continue;
        if (method_fits(route->method, r->method_id)) return route;
        if (allow->n) buf_puts(allow, ", ");
        if (route->method < ARRAY_LEN(names) && names[route->method]) buf_puts(allow, names[route->method]);
    }
    return NULL;
}

/* --- the call --- */

static bool copy_into(struct arena *mem, str *s)
{
    if (!s->n) {
        *s = STR_NONE;
        return true;
    }
    *s = arena_copy(mem, *s);
    return s->p != NULL;
}

static bool copy_body(struct call *c, str body)
{
    if (!body.n) return true;
    c->body = arena_alloc(&c->pub.mem, body.n);
    if (!c->body) return false;
    memcpy(c->body, body.p, body.n);
    c->pub.body = str_make(c->body, body.n);
    return true;
}

static bool copy_head(struct call *c, const struct request *from)
{
    struct arena *mem = &c->pub.mem;
    struct request *to = &c->pub.request;
    *to = *from;
    to->fields = (struct fields){arena_array(mem, from->fields.n ? from->fields.n : 1, sizeof *to->fields.v),
                                 from->fields.n, from->fields.n};
    if (!to->fields.v || !copy_into(mem, &to->method) || !copy_into(mem, &to->authority) ||
        !copy_into(mem, &to->path) || !copy_into(mem, &to->query))
        return false;
    for (uint32_t i = 0; i < from->fields.n; i++) {
        to->fields.v[i] = from->fields.v[i];
        if (!copy_into(mem, &to->fields.v[i].name) || !copy_into(mem, &to->fields.v[i].value)) return false;
    }
    return true;
}

static struct call *call_new(struct stream *x, const struct service_route *route)
{
    struct service *s = x->service;
    struct call *c = s->n_open < SERVICE_CALLS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) return NULL;
    arena_init(&c->pub.mem, NULL, 0, CALL_ARENA);
    c->pub.loop = s->o.loop;
    c->pub.wall_ms = loop_wall_ms(s->o.loop);
    if (!copy_head(c, &x->down.request) || !copy_body(c, buf_str(&x->body)) ||
        !matches(route->path, c->pub.request.path, &c->pub.tail)) {
        arena_reset(&c->pub.mem);
        free(c);
        return NULL;
    }
    ulid_make(c->id, c->pub.wall_ms);
    c->pub.id = str_make(c->id, ULID_LEN);
    c->begun_ns = clock_mono_ns();
    c->route = route;
    c->service = s;
    c->stream = x;
    x->call = c;
    c->next = s->open;
    if (c->next) c->next->link = &c->next;
    c->link = &s->open;
    s->open = c;
    s->n_open++;
    c->deadline.on_time = on_deadline;
    timer_set(s->o.loop, &c->deadline, loop_now_ms(s->o.loop) + s->o.deadline_ms);
    return c;
}

static void dispatch(struct stream *x)
{
    struct buf allow;
    str tail;
    buf_init(&allow, 128);
    const struct service_route *route = find(x->service, &x->down.request, &tail, &allow);
    if (!route) {
        enum reason why = allow.n ? REASON_METHOD_NOT_ALLOWED : REASON_NOT_FOUND;
        respond_problem(x, &(struct refusal){.reason = why, .allow = buf_str(&allow)});
    }
    buf_free(&allow);
    if (!route) return;
    struct call *c = call_new(x, route);
    if (!c)
        respond_problem(x, &(struct refusal){.reason = REASON_OVERLOADED, .retry_after_s = 1});
    else
        route->run(&c->pub, x->service->o.owner);
}

str service_field_named(const struct service_call *call, str name)
{
    const struct fields *f = &call->request.fields;
    str found = STR_NONE;
    for (uint32_t i = 0; i < f->n; i++) {
        if (!str_ieq(f->v[i].name, name)) continue;
        if (found.p) return STR_NONE;
        found = f->v[i].value;
    }
    return found;
}

str service_field(const struct service_call *call, enum field_id id)
{
    const struct field *f = fields_get(&call->request.fields, id);
    return f && fields_count(&call->request.fields, id) == 1 ? f->value : STR_NONE;
}

const struct json *service_json(struct service_call *call)
{
    static const struct json_limits limits = {.max_bytes = SERVICE_BODY_MAX,
                                              .max_depth = 8,
                                              .max_values = 1024,
                                              .max_members = 64,
                                              .max_number = 20};
    str type = service_field(call, FIELD_CONTENT_TYPE);
    str media = str_trim(str_cut(&type, ';'));
    const struct json *v = NULL;
    if (!str_ieq(media, STR("application/json"))) {
        service_refuse(call, REASON_MEDIA_TYPE_REFUSED, 0, STR_NONE);
        return NULL;
    }
    enum err e = json_parse(call->body, &limits, &call->mem, &v, NULL, NULL);
    if (e == ERR_OK && v->type == JSON_OBJECT) return v;
    service_refuse(call, e == ERR_NO_MEMORY ? REASON_OVERLOADED : REASON_BODY_MALFORMED, 0,
                   STR("the body must be one JSON object"));
    return NULL;
}

/* --- events of the connection --- */

static struct server_stream *stream_new(void *owner)
{
    struct stream *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->service = owner;
    x->down.request.fields = (struct fields){x->fields, 0, FIELDS};
    buf_init(&x->body, SERVICE_BODY_MAX);
    return &x->down;
}

static void stream_free(void *owner, struct server_stream *s)
{
    struct stream *x = of(s);
    (void)owner;
    if (x->body.p) explicit_bzero(x->body.p, x->body.cap); /* passwords come this way */
    buf_free(&x->body);
    free(x);
}

static void on_readable(struct server_stream *s)
{
    struct stream *x = of(s);
    bool last = false;
    if (x->call) return; /* read whole already */
    while (!last) {
        str data = STR_NONE;
        enum err e = s->ops->peek(s, &data, &last);
        if (e == ERR_AGAIN) return;
        if (e == ERR_CLOSED) {
            s->ops->done(s);
            return;
        }
        buf_put(&x->body, data);
        if (e != ERR_OK || x->body.bad) {
            enum reason why = e != ERR_OK ? REASON_BODY_MALFORMED : REASON_BODY_TOO_LARGE;
            respond_problem(x, &(struct refusal){.reason = why});
            return;
        }
        s->ops->consume(s, data.n);
    }
    dispatch(x);
}

static void on_malformed(struct server_stream *s, int fault)
{
    respond_problem(of(s), &(struct refusal){.reason = fault == HTTP_FAULT_LATE ? REASON_REQUEST_TIMEOUT
                                                                                : REASON_REQUEST_MALFORMED});
}

static void on_writable(struct server_stream *s)
{
    (void)s; /* answers are whole */
}

static void on_abort(struct server_stream *s)
{
    struct stream *x = of(s);
    if (x->call) {
        account(x->call, 0, REASON_CLIENT_CLOSED);
        (void)let_go(x->call);
    }
    s->ops->done(s);
}

static const struct server_handler handler = {.on_request = on_readable,
                                              .on_malformed = on_malformed,
                                              .on_readable = on_readable,
                                              .on_writable = on_writable,
                                              .on_abort = on_abort};

static void on_connection(struct watch *w, uint32_t events)
{
    struct service *s = CONTAINER_OF(w, struct service, watch);
    struct net_peer peer;
    int fd;
    (void)events;
    while (net_accept(w->fd, &fd, &peer) == ERR_OK) {
        struct watch refused = {.fd = fd};
        if (unix_socket_peer_ok(fd))
            server_conn_open(&s->env, fd, &peer, NULL);
        else
            watch_close(&refused);
    }
}

/* --- life --- */

static void server_init(struct service *s)
{
    server_env_init(&s->env, &s->io, CONNECTIONS);
    s->io.buffers.batch = 1;
    s->env.conns.batch = 4;
    s->env.handler = &handler;
    s->env.stream_new = stream_new;
    s->env.stream_free = stream_free;
    s->env.owner = s;
    s->env.timeouts =
        (struct h1_timeouts){.idle_ms = 120000, .head_ms = 5000, .grace_ms = 10000, .rate = 64, .linger_ms = 1000};
}

enum err service_new(const struct service_options *o, struct service **out)
{
    static const struct h1_limits limits = {32768, 8192, FIELDS};
    struct service *s = calloc(1, sizeof *s);
    if (!s) return ERR_NO_MEMORY;
    s->o = *o;
    if (!s->o.deadline_ms) s->o.deadline_ms = DEADLINE_MS;
    s->socket.fd = -1;
    s->watch = (struct watch){on_connection, -1};
    enum err e = counters_new(&s->counters);
    if (e == ERR_OK) e = http_io_init(&s->io, o->loop, &limits, 16384, CONNECTIONS);
    if (e != ERR_OK) {
        counters_free(&s->counters);
        free(s);
        return e;
    }
    server_init(s);
    e = unix_socket_open(o->socket_path, false, &s->socket);
    if (e == ERR_OK) {
        s->watch.fd = s->socket.fd;
        s->socket.fd = -1;
        e = watch_add(o->loop, &s->watch, EPOLLIN);
    }
    if (e != ERR_OK)
        service_free(&s);
    else
        *out = s;
    return e;
}

void service_drain(struct service *s)
{
    watch_drop(s->o.loop, &s->watch);
    unix_socket_close(&s->socket);
    server_env_drain(&s->env);
    server_env_close_idle(&s->env);
}

size_t service_calls(const struct service *s)
{
    return s->n_open;
}

void service_free(struct service **out)
{
    struct service *s = *out;
    if (!s) return;
    server_env_close_all(&s->env); /* every call is gone now */
    for (struct call *c = s->open; c; c = c->next) {
        timer_clear(s->o.loop, &c->deadline);
        c->service = NULL;
    }
    watch_drop(s->o.loop, &s->watch);
    unix_socket_close(&s->socket);
    loop_turn(s->o.loop, 0); /* lets connections free themselves */
    slab_free(&s->env.conns);
    http_io_close(&s->io);
    counters_free(&s->counters);
    free(s);
    *out = NULL;
}

const struct counters *service_counters(const struct service *s)
{
    return s->counters;
}
