#include "serve/control.h"

#include "base/metrics.h"
#include "codec/json.h"
#include "serve/problem.h"
#include "serve/why.h"

#include <stdlib.h>

enum { ARENA_FIRST = 4096, ARENA_MAX = 1 << 20, FOLLOW_BATCH = 64, FOLLOW_FULL = 256 << 10 };

static void reply_text(struct control_reply *r, uint16_t status, str type, str text)
{
    r->status = status;
    r->content_type = type;
    buf_put(&r->body, text);
}

static void reply_problem(struct control_reply *r, enum reason reason)
{
    char body[PROBLEM_MAX];
    size_t n = problem_body(&(struct problem){.reason = reason}, body, sizeof body);
    buf_clear(&r->body);
    reply_text(r, reason_info(reason)->status, STR(PROBLEM_CONTENT_TYPE), str_make(body, n));
}

/* --- who may ask: Host and Origin --- */

/* ":8081" of "[::1]:8081"; ":80" when there is none. */
static str port_of(str authority)
{
    for (size_t i = authority.n; i-- > 0 && authority.p[i] != ']';)
        if (authority.p[i] == ':') return str_from(authority, i);
    return STR(":80");
}

static str host_of(str authority)
{
    str port = port_of(authority);
    return str_ends(authority, port) ? str_first(authority, authority.n - port.n) : authority;
}

/* Numbers and brackets only: nothing that is looked up, so nothing that can be pointed elsewhere. */
static bool ip_literal(str host)
{
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') return true;
    bool dot = false;
    for (size_t i = 0; i < host.n; i++) {
        if (host.p[i] != '.' && (host.p[i] < '0' || host.p[i] > '9')) return false;
        dot |= host.p[i] == '.';
    }
    return dot;
}

static bool every_address(str host)
{
    return host.n == 0 || str_eq(host, STR("[::]")) || str_eq(host, STR("0.0.0.0")) || str_eq(host, STR("*"));
}

static bool is_ours(const struct control_peer *peer, str authority)
{
    str port = port_of(authority), host = host_of(authority), our_host = host_of(peer->local);
    for (size_t i = 0; i < peer->also_n; i++)
        if (str_ieq(authority, peer->also[i])) return true;
    if (!str_eq(port, port_of(peer->local))) return false;
    if (str_ieq(host, STR("localhost")) || str_ieq(host, our_host)) return true;
    if (every_address(our_host)) return ip_literal(host);
    /* A loopback listener is reached under either of its names. */
    return (str_eq(our_host, STR("127.0.0.1")) || str_eq(our_host, STR("[::1]"))) &&
           (str_eq(host, STR("127.0.0.1")) || str_eq(host, STR("[::1]")));
}

static bool origin_is_ours(const struct control_peer *peer, str origin)
{
    return str_starts(origin, STR("http://")) && is_ours(peer, str_from(origin, 7));
}

static bool may_ask(const struct control_peer *peer, const struct request *q, struct control_reply *r)
{
    uint32_t origins = fields_count(&q->fields, FIELD_ORIGIN);
    if (peer->face == CONTROL_ADMIN && !is_ours(peer, q->authority)) {
        reply_problem(r, REASON_HOST_REFUSED);
        return false;
    }
    /* No browser speaks to a Unix socket, so there an Origin is never right. */
    if (origins == 0) return true;
    if (origins == 1 && peer->face == CONTROL_ADMIN &&
        origin_is_ours(peer, fields_get(&q->fields, FIELD_ORIGIN)->value))
        return true;
    reply_problem(r, REASON_ORIGIN_REFUSED);
    return false;
}

/* --- the query --- */

/* The value of `name`; "" if it stands alone; .p == NULL if it is not there. */
str control_query(const struct request *q, str name)
{
    for (str rest = q->query; q->has_query && rest.n;) {
        str value = str_cut(&rest, '&'), key = str_cut(&value, '=');
        if (str_eq(key, name)) return value.p ? value : STR("");
    }
    return STR_NONE;
}

static bool query_flag(const struct request *q, str name)
{
    str v = control_query(q, name);
    return v.p && (v.n == 0 || str_eq(v, STR("1")) || str_eq(v, STR("true")));
}

/* --- health and metrics --- */

static void serve_live(const struct control *c, const struct request *q, struct control_reply *r)
{
    (void)c;
    (void)q;
    reply_text(r, 200, STR("text/plain; charset=utf-8"), STR("ok\n"));
}

static void serve_started(const struct control *c, const struct request *q, struct control_reply *r)
{
    (void)q;
    bool ok = c->source->started(c->source->ctx);
    reply_text(r, ok ? 200 : 503, STR("text/plain; charset=utf-8"), ok ? STR("ok\n") : STR("not started\n"));
}

/* "[+] configuration: generation 3" a line for each check, then the verdict. */
static void put_check(struct buf *out, const struct control_check *k)
{
    buf_puts(out, k->ok ? "[+] " : "[-] ");
    buf_puts(out, k->name);
    if (k->detail.n) buf_puts(out, ": ");
    for (size_t i = 0; i < k->detail.n; i++) buf_putc(out, (unsigned char)k->detail.p[i] < 0x20 ? ' ' : k->detail.p[i]);
    buf_putc(out, '\n');
}

static void serve_ready(const struct control *c, const struct request *q, struct control_reply *r)
{
    char first[ARENA_FIRST];
    struct arena mem;
    struct control_check checks[CONTROL_CHECKS_MAX];
    arena_init(&mem, first, sizeof first, ARENA_MAX);
    size_t n = c->source->checks(c->source->ctx, &mem, checks);
    bool ready = true, verbose = query_flag(q, STR("verbose"));
    for (size_t i = 0; i < n; i++) {
        ready &= checks[i].ok;
        if (verbose) put_check(&r->body, &checks[i]);
    }
    arena_reset(&mem);
    reply_text(r, ready ? 200 : 503, STR("text/plain; charset=utf-8"), ready ? STR("ready\n") : STR("not ready\n"));
}

static void serve_metrics(const struct control *c, const struct request *q, struct control_reply *r)
{
    (void)q;
    reply_text(r, 200, STR(METRICS_CONTENT_TYPE), STR_NONE);
    c->source->metrics(c->source->ctx, &r->body);
}

/* --- status --- */

static void member(struct buf *out, const char *name, str value)
{
    buf_puts(out, name);
    buf_putc(out, '"');
    buf_put_json(out, value);
    buf_putc(out, '"');
}

static void number(struct buf *out, const char *name, uint64_t value)
{
    buf_puts(out, name);
    buf_put_u64(out, value);
}

static void serve_status(const struct control *c, const struct request *q, struct control_reply *r)
{
    (void)q;
    char first[ARENA_FIRST];
    struct arena mem;
    struct control_status s = {0};
    arena_init(&mem, first, sizeof first, ARENA_MAX);
    c->source->status(c->source->ctx, &mem, &s);
    reply_text(r, 200, STR("application/json"), STR_NONE);
    struct buf *b = &r->body;
    member(b, "{\"version\":", STR(SALLYPORT_VERSION));
    member(b, ",\"name\":", s.name);
    member(b, ",\"environment\":", s.environment);
    member(b, ",\"roles\":", s.roles);
    member(b, ",\"config_file\":", s.config_file);
    member(b, ",\"listeners\":", s.listeners);
    number(b, ",\"started_ms\":", s.started_ms);
    number(b, ",\"loaded_ms\":", s.loaded_ms);
    number(b, ",\"generation\":", s.generation);
    number(b, ",\"workers\":", s.workers);
    number(b, ",\"connections\":", s.connections);
    if (s.pid > 0) number(b, ",\"pid\":", (uint64_t)s.pid);
    if (s.parent_pid > 0) number(b, ",\"parent_pid\":", (uint64_t)s.parent_pid);
    if (s.sandbox.n) member(b, ",\"sandbox\":", s.sandbox);
    buf_puts(b, s.ready ? ",\"ready\":true" : ",\"ready\":false");
    buf_puts(b, s.draining ? ",\"draining\":true}\n" : ",\"draining\":false}\n");
    arena_reset(&mem);
}

static void serve_check(const struct control *c, const struct request *q, struct control_reply *r)
{
    (void)q;
    char first[ARENA_FIRST];
    struct arena mem;
    if (!c->source->check) {
        reply_problem(r, REASON_NOT_FOUND);
        return;
    }
    arena_init(&mem, first, sizeof first, ARENA_MAX);
    reply_text(r, 200, STR("application/json"), STR_NONE);
    c->source->check(c->source->ctx, &mem, &r->body);
    arena_reset(&mem);
}

/* --- upstreams --- */

static void serve_upstreams(const struct control *c, const struct request *q, struct control_reply *r)
{
    (void)q;
    if (!c->source->upstreams) {
        reply_problem(r, REASON_NOT_FOUND);
        return;
    }
    reply_text(r, 200, STR("application/json"), STR_NONE);
    c->source->upstreams(c->source->ctx, &r->body);
    if (r->body.bad) reply_problem(r, REASON_INTERNAL);
}

/* --- decisions --- */

static void explain(const struct control *c, const struct decision_record *d, struct control_reply *r)
{
    char first[ARENA_FIRST];
    struct arena mem;
    struct control_facts facts = {0};
    struct control_status s = {0};
    arena_init(&mem, first, sizeof first, ARENA_MAX);
    str action = decision_record_text(d, DECISION_ACTION);
    bool known = action.n && c->source->facts(c->source->ctx, action, &mem, &facts);
    c->source->status(c->source->ctx, &mem, &s);
    reply_text(r, 200, STR("application/json"), STR_NONE);
    why_json(d, known ? &facts : NULL, s.generation, &r->body);
    arena_reset(&mem);
}

/* The later of two, denials (and what else lies in their lane) before permits. */
static bool later(const struct decision_record *a, const struct decision_record *b)
{
    bool a_smooth = reason_is_permit((enum reason)a->reason), b_smooth = reason_is_permit((enum reason)b->reason);
    return a_smooth != b_smooth ? b_smooth : a->unix_ms > b->unix_ms;
}

static bool find_last(const struct decision_ring *const *rings, size_t n, struct decision_record *out)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        struct decision_record d;
        if (decision_ring_last(rings[i], &d) != ERR_OK || (any && !later(&d, out))) continue;
        *out = d;
        any = true;
    }
    return any;
}

static void serve_decision(const struct control *c, str id, struct control_reply *r)
{
    const struct decision_ring *rings[CONTROL_RINGS_MAX];
    struct decision_record d;
    size_t n = c->source->rings(c->source->ctx, rings);
    bool found = str_eq(id, STR("last")) && find_last(rings, n, &d);
    for (size_t i = 0; i < n && !found && id.n == ULID_LEN; i++) found = decision_ring_find(rings[i], id, &d) == ERR_OK;
    if (found)
        explain(c, &d, r);
    else
        reply_problem(r, REASON_DECISION_UNKNOWN);
}

static void serve_follow(const struct control *c, const struct request *q, struct control_reply *r)
{
    const struct decision_ring *rings[CONTROL_RINGS_MAX];
    if (!query_flag(q, STR("follow"))) {
        reply_problem(r, REASON_NOT_FOUND);
        return;
    }
    reply_text(r, 200, STR("application/x-ndjson"), STR_NONE);
    if (q->method_id == METHOD_HEAD) return;
    r->deny_only = query_flag(q, STR("deny"));
    r->rings_n = c->source->rings(c->source->ctx, rings);
    for (size_t i = 0; i < r->rings_n; i++) decision_cursor_now(rings[i], &r->cursors[i]);
    r->next = CONTROL_FOLLOW;
}

static int by_time(const void *a, const void *b)
{
    const struct decision_record *x = a, *y = b;
    return (x->unix_ms > y->unix_ms) - (x->unix_ms < y->unix_ms);
}

size_t control_follow(struct control_reply *r)
{
    const struct decision_ring *rings[CONTROL_RINGS_MAX];
    struct decision_record batch[FOLLOW_BATCH];
    const struct control_source *source = r->control->source;
    size_t lines = 0, n;
    if (r->body.bad && r->body.n == 0) buf_clear(&r->body); /* memory was out the last time */
    size_t rings_n = source->rings(source->ctx, rings);
    if (rings_n > r->rings_n) rings_n = r->rings_n;
    do {
        n = 0;
        for (size_t i = 0; i < rings_n && r->body.n < FOLLOW_FULL; i++) {
            n += decision_ring_read(rings[i], &r->cursors[i], r->deny_only, batch + n, FOLLOW_BATCH - n);
            if (!r->cursors[i].missed) continue;
            number(&r->body, "{\"missed\":", r->cursors[i].missed);
            buf_puts(&r->body, "}\n");
            r->cursors[i].missed = 0;
        }
        qsort(batch, n, sizeof *batch, by_time);
        for (size_t i = 0; i < n; i++) {
            decision_record_json(&batch[i], &r->body);
            buf_putc(&r->body, '\n');
        }
        lines += n;
    } while (n);
    return lines;
}

/* --- reload --- */

static bool json_body_ok(str body)
{
    char first[ARENA_FIRST];
    struct arena mem;
    const struct json *v;
    if (body.n == 0) return true;
    arena_init(&mem, first, sizeof first, ARENA_MAX);
    bool ok = json_parse(body, &json_limits_token, &mem, &v, NULL, NULL) == ERR_OK && v->type == JSON_OBJECT;
    arena_reset(&mem);
    return ok;
}

/* RFC 9110 §8.3: parameters may follow. */
bool control_is_json(const struct request *q)
{
    if (fields_count(&q->fields, FIELD_CONTENT_TYPE) != 1) return false;
    str type = fields_get(&q->fields, FIELD_CONTENT_TYPE)->value;
    return str_ieq(str_trim(str_cut(&type, ';')), STR("application/json"));
}

static void serve_upgrade(const struct control *c, const struct request *q, str body, struct control_reply *r)
{
    if (!control_is_json(q)) {
        reply_problem(r, REASON_MEDIA_TYPE_REFUSED);
    } else if (!json_body_ok(body)) {
        reply_problem(r, REASON_REQUEST_MALFORMED);
    } else {
        r->upgrading = true;
        c->source->upgrade(c->source->ctx, r);
        if (r->upgrading) r->next = CONTROL_WAIT;
    }
}

void control_upgrade_done(struct control_reply *r, bool done, str text)
{
    if (!r->upgrading) return;
    r->upgrading = false;
    reply_text(r, done ? 200 : 409, STR("application/json"), STR_NONE);
    member(&r->body, "{\"text\":", text);
    buf_puts(&r->body, "}\n");
    r->next = CONTROL_DONE;
    if (!r->inside && r->ready) r->ready(r->ready_arg);
}

static void serve_reload(const struct control *c, const struct request *q, str body, struct control_reply *r)
{
    if (!control_is_json(q)) {
        reply_problem(r, REASON_MEDIA_TYPE_REFUSED);
    } else if (!json_body_ok(body)) {
        reply_problem(r, REASON_REQUEST_MALFORMED);
    } else {
        r->waiting = true;
        c->source->reload(c->source->ctx, r);
        if (r->waiting) r->next = CONTROL_WAIT;
    }
}

void control_reload_done(struct control_reply *r, const struct control_reload *result)
{
    if (!r->waiting) return;
    r->waiting = false;
    struct buf *b = &r->body;
    const struct reason_info *info = reason_info(result->late ? REASON_OVERLOADED : REASON_CONFIG_REFUSED);
    if (result->ok) {
        reply_text(r, 200, STR("application/json"), STR_NONE);
        number(b, "{\"generation\":", result->generation);
    } else {
        reply_text(r, info->status, STR(PROBLEM_CONTENT_TYPE), STR("{\"type\":\"urn:sallyport:problem:"));
        buf_puts(b, info->code);
        member(b, "\",\"title\":", str_of(info->title));
        number(b, ",\"status\":", info->status);
        member(b, ",\"code\":", str_of(info->code));
        number(b, ",\"generation\":", result->generation);
        member(b, ",\"text\":", result->text);
        buf_puts(b, ",\"findings\":");
        buf_put(b, result->findings.n ? str_trim(result->findings) : STR("[]"));
    }
    buf_puts(b, "}\n");
    if (b->bad) reply_problem(r, REASON_INTERNAL);
    if (r->inside) return;
    r->next = CONTROL_DONE;
    r->ready(r->ready_arg);
}

/* --- what others answer --- */

void control_reply_wait(struct control_reply *r, void *waiting)
{
    r->extra_waits = true;
    r->extra_waiting = waiting;
}

void control_reply_done(struct control_reply *r, uint16_t status, str content_type)
{
    r->extra_waits = false;
    r->status = status;
    r->content_type = content_type;
    if (r->body.bad) reply_problem(r, REASON_INTERNAL);
    if (r->inside) return;
    r->next = CONTROL_DONE;
    r->ready(r->ready_arg);
}

void control_reply_refuse(struct control_reply *r, enum reason reason)
{
    reply_problem(r, reason);
    control_reply_done(r, r->status, r->content_type);
}

static bool serve_extra(const struct control *c, const struct control_peer *peer, const struct request *q, str body,
                        struct control_reply *r)
{
    if (peer->face != CONTROL_LOCAL || !c->source->extra || !c->source->extra(c->source->ctx, peer, q, body, r))
        return false;
    if (r->extra_waits) r->next = CONTROL_WAIT;
    return true;
}

/* --- the table of addresses --- */

static const struct address {
    str path;
    void (*serve)(const struct control *c, const struct request *q, struct control_reply *r);
    bool local_only;
} addresses[] = {
    {STR_INIT("/livez"), serve_live, false},         {STR_INIT("/readyz"), serve_ready, false},
    {STR_INIT("/startupz"), serve_started, false},   {STR_INIT("/metrics"), serve_metrics, false},
    {STR_INIT("/v1/status"), serve_status, true},    {STR_INIT("/v1/check"), serve_check, true},
    {STR_INIT("/v1/decisions"), serve_follow, true}, {STR_INIT("/v1/upstreams"), serve_upstreams, true},
};

static bool method_ok(const struct request *q, bool write, struct control_reply *r)
{
    if (write ? q->method_id == METHOD_POST : q->method_id == METHOD_GET || q->method_id == METHOD_HEAD) return true;
    reply_problem(r, REASON_METHOD_NOT_ALLOWED);
    r->allow = write ? STR("POST") : STR("GET, HEAD");
    return false;
}

static void dispatch(const struct control *c, const struct control_peer *peer, const struct request *q, str body,
                     struct control_reply *r)
{
    static const str decisions = STR_INIT("/v1/decisions/"), reload = STR_INIT("/v1/reload"),
                     upgrade = STR_INIT("/v1/upgrade");
    bool local = peer->face == CONTROL_LOCAL;
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        if (!str_eq(q->path, addresses[i].path) || (addresses[i].local_only && !local)) continue;
        if (method_ok(q, false, r)) addresses[i].serve(c, q, r);
        return;
    }
    if (local && str_eq(q->path, reload)) {
        if (method_ok(q, true, r)) serve_reload(c, q, body, r);
    } else if (local && str_eq(q->path, upgrade) && c->source->upgrade) {
        if (method_ok(q, true, r)) serve_upgrade(c, q, body, r);
    } else if (local && str_starts(q->path, decisions)) {
        if (method_ok(q, false, r)) serve_decision(c, str_from(q->path, decisions.n), r);
    } else if (!serve_extra(c, peer, q, body, r)) {
        reply_problem(r, REASON_NOT_FOUND);
    }
}

void control_handle(const struct control *c, const struct control_peer *peer, const struct request *q, str body,
                    struct control_reply *r)
{
    void (*ready)(void *) = r->ready;
    void *arg = r->ready_arg;
    memset(r, 0, sizeof *r);
    r->ready = ready;
    r->ready_arg = arg;
    r->control = c;
    r->inside = true;
    buf_init(&r->body, CONTROL_REPLY_MAX);
    if (may_ask(peer, q, r)) dispatch(c, peer, q, body, r);
    if (r->body.bad) reply_problem(r, REASON_INTERNAL); /* buf_clear made room again, or the body stays empty */
    r->inside = false;
}

void control_reply_free(struct control_reply *r)
{
    if (r->waiting) {
        r->waiting = false;
        r->control->source->reload_cancel(r->control->source->ctx, r);
    }
    if (r->upgrading) {
        r->upgrading = false;
        r->control->source->upgrade_cancel(r->control->source->ctx, r);
    }
    if (r->extra_waits) {
        r->extra_waits = false;
        r->control->source->extra_cancel(r->control->source->ctx, r, r->extra_waiting);
    }
    buf_free(&r->body);
}
