/* Which instance, which connection? A warm one of the instance that is chosen, else a new one if there may be one, else
 * a place in line. What fails before anything was sent goes to another instance; when there is none it waits for as
 * long as connecting may take: so a service that restarts costs its callers time, not errors. An instance that does not
 * even refuse takes all of that time; another then gets as much again, once. */
#include "proxy/dispatch.h"

#define TLS_TOLD_MS    10000
#define BACKOFFS_MAX   16
#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 200

bool dispatch_has_other(struct exchange *x)
{
    struct balance_ask ask = dispatch_ask(x);
    return balancer_has_other(x->config->balancers[x->action->service], &ask);
}

bool dispatch_pass_over(struct exchange *x)
{
    if (x->n_tried == DISPATCH_TRIED) return false;
    x->tried[x->n_tried++] = x->instance;
    return true;
}

static void tell_panic(const struct exchange *x, struct service_state *s, bool panic)
{
    if (panic) atomic_fetch_add_explicit(&s->panics, 1, memory_order_relaxed);
    if (atomic_exchange(&s->panicking, panic) == panic) return;
    log_event(panic ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO,
              log_msg(panic ? "no instance serves: all are tried" : "instances serve again"),
              log_str("service", dispatch_service(x)->name));
}

static void choose(struct exchange *x)
{
    struct worker_snapshot *c = x->config;
    uint32_t service = x->action->service;
    struct service_state *state = c->instances->services[service];
    struct balance_ask ask = dispatch_ask(x);
    bool panic;
    attempt_leave(x);
    x->instance = balancer_choose(c->balancers[service], &ask, &panic);
    x->upstream = c->upstreams[c->first_upstream[service] + x->instance];
    attempt_enter(x);
    if (UNLIKELY(panic || atomic_load_explicit(&state->panicking, memory_order_relaxed))) tell_panic(x, state, panic);
}

/* --- waiting --- */

/* An instance that was away is back: who stands in line at another that still is need not wait for that one. */
static void call_others(struct exchange *x)
{
    struct worker_snapshot *c = x->config;
    uint32_t first = c->first_upstream[x->action->service], n = dispatch_service(x)->n_instances;
    for (uint32_t i = 0; i < n; i++)
        if (c->upstreams[first + i] != x->upstream) upstream_disperse(c->upstreams[first + i]);
}

static void on_turn(struct upstream_waiter *who, bool here)
{
    struct exchange *x = CONTAINER_OF(who, struct exchange, in_line);
    x->stage = STAGE_NONE;
    /* while an instance refuses it is as well to knock at another one: nobody may be in line there */
    x->stay = here && !x->upstream->refusals;
    x->turn = true;
    if (!x->stay) x->n_tried = 0;
    exchange_resume(x);
}

static enum step stand_in_line(struct exchange *x)
{
    x->turn = false;
    x->in_line.on_turn = on_turn;
    if (upstream_wait(x->upstream, &x->in_line) != ERR_OK) {
        atomic_fetch_add_explicit(&x->upstream->instance->service->pool_refusals, 1, memory_order_relaxed);
        return refuse(x, REASON_POOL_EXHAUSTED, "waiting");
    }
    exchange_stage(x, STAGE_LINE, x->connect_until_ms);
    return STEP_WAIT;
}

void dispatch_line_late(struct exchange *x)
{
    bool refuses = x->upstream->refusals > 0;
    if (!refuses) atomic_fetch_add_explicit(&x->upstream->instance->service->pool_refusals, 1, memory_order_relaxed);
    exchange_refuse(x, refuses ? REASON_UPSTREAM_CONNECT : REASON_POOL_EXHAUSTED, refuses ? "refused" : "timeout");
}

/* We ourselves have no descriptor or no memory for a connection: a little later, perhaps. */
static enum step back_off(struct exchange *x)
{
    uint64_t now = dispatch_now(x), wait = (uint64_t)BACKOFF_MIN_MS << (x->backoffs < 8 ? x->backoffs : 8);
    if (wait > BACKOFF_MAX_MS) wait = BACKOFF_MAX_MS;
    if (++x->backoffs >= BACKOFFS_MAX || now + wait >= x->connect_until_ms)
        return refuse(x, REASON_OVERLOADED, "connections");
    x->stay = x->turn = true;
    exchange_stage(x, STAGE_BACKOFF, now + wait);
    return STEP_WAIT;
}

/* --- connecting --- */

/* It is there and is not who it should be. Told of at most every ten seconds: requests have their own lines. */
static void tell_tls(const struct exchange *x, struct upstream *u, const char *why)
{
    uint64_t now = dispatch_now(x);
    if (u->tls_told_ms && now < u->tls_told_ms + TLS_TOLD_MS) return;
    u->tls_told_ms = now;
    log_event(LOG_LEVEL_ERROR, log_msg("TLS to a service failed"), log_str("service", dispatch_service(x)->name),
              log_str("instance", u->text), log_str("reason", str_of(why)));
}

static void on_connect(struct h1_client *c, enum err e, void *user)
{
    struct exchange *x = user;
    x->connecting = NULL;
    x->stage = STAGE_NONE;
    if (UNLIKELY(h1_client_fault(c)[0] && e != ERR_OK)) {
        tell_tls(x, x->upstream, h1_client_fault(c));
        x->connect_fault = e == ERR_DENIED ? "certificate" : "tls";
    }
    if (e == ERR_OK) {
        if (UNLIKELY(x->upstream->refusals)) call_others(x);
        upstream_connected(x->upstream);
        x->conn = c;
    } else {
        x->attempt_failed = true;
    }
    exchange_resume(x);
}

/* STEP_NEXT: look for another way at once, x->stay says where. */
static enum step connect_failed(struct exchange *x)
{
    const char *fault = x->connect_fault;
    x->connect_fault = NULL;
    if (UNLIKELY(fault != NULL))
        upstream_connected(x->upstream); /* it is not away: there is nothing to wait for */
    else
        upstream_refused(x->upstream, dispatch_now(x));
    attempt_report(x, OUTCOME_CONNECT);
    if (!dispatch_service(x)->retry.attempts) return refuse(x, REASON_UPSTREAM_CONNECT, fault);
    if (dispatch_pass_over(x)) {
        if (dispatch_has_other(x) && attempt_again_unsent(x)) return STEP_NEXT;
        x->n_tried--; /* it is the one to wait for */
    }
    return fault ? refuse(x, REASON_UPSTREAM_CONNECT, fault) : stand_in_line(x);
}

static enum step connect_new(struct exchange *x)
{
    struct worker *w = x->worker;
    struct upstream *u = x->upstream;
    x->attempts++;
    struct client_tls tls = {u->tls, &u->session, tls_upstream_named(u->tls) ? STR_NONE : str_of(u->tls_name)};
    enum err e = u->tls ? h1_client_open_tls(&w->client, &u->addr, &tls, u, on_connect, x, &x->connecting)
                        : h1_client_open(&w->client, &u->addr, u, on_connect, x, &x->connecting);
    if (e == ERR_OK) {
        exchange_stage(x, STAGE_CONNECT, x->connect_until_ms);
        return STEP_WAIT;
    }
    upstream_not_opened(u);
    if (e == ERR_LIMIT && worker_reclaim(w)) return back_off(x);
    if (e == ERR_LIMIT || e == ERR_NO_MEMORY) return refuse(x, REASON_OVERLOADED, "connections");
    return connect_failed(x);
}

void dispatch_connect_late(struct exchange *x)
{
    h1_client_abandon(x->connecting);
    x->connecting = NULL;
    upstream_refused(x->upstream, dispatch_now(x));
    attempt_report(x, OUTCOME_CONNECT);
    if (x->connected_late || !dispatch_pass_over(x) || !dispatch_has_other(x) || !attempt_again_unsent(x)) {
        exchange_refuse(x, REASON_UPSTREAM_CONNECT, "timeout");
        return;
    }
    x->connected_late = true;
    x->stage = STAGE_NONE;
    x->connect_until_ms = dispatch_now(x) + dispatch_service(x)->connect_ms;
    exchange_resume(x);
}

/* --- asking --- */

/* The head and what there is of the body. STEP_NEXT with nothing asked (x->up_started false): look for another way. */
static enum step ask(struct exchange *x)
{
    struct request r = x->down.request;
    str body = STR_NONE;
    bool end = r.body == 0;
    if (!end) {
        enum err e = x->down.ops->peek(&x->down, &body, &end);
        if (e == ERR_CLOSED) return refuse(x, REASON_CLIENT_CLOSED, NULL);
        if (e == ERR_AGAIN && r.expect_continue)
            (void)!x->down.ops->interim(&x->down, &(struct response){.status = 100});
        if (e == ERR_NO_MEMORY) return refuse(x, REASON_OVERLOADED, "buffers");
        if (e != ERR_OK && e != ERR_AGAIN) return refuse(x, REASON_BODY_MALFORMED, NULL);
        if (body.n > x->action->body_max) return refuse(x, REASON_BODY_TOO_LARGE, NULL);
    }
    bool reused = h1_client_uses(x->conn) > 0;
    struct h1_client *c = x->conn;
    r.path = x->route.forward;
    x->conn = NULL;
    x->up.handler = &relay_handler;
    x->up.response.fields = (struct fields){x->response_fields, 0, EXCHANGE_FIELDS};
    x->up.trailers = (struct fields){x->trailers_down, 0, EXCHANGE_TRAILERS};
    /* a body that ends here goes without trailers: those come by way of relay */
    bool trailing = end && x->down.trailers.n > 0;
    enum err e = h1_client_start(c, &x->up, &r, body, end && !trailing);
    if (e == ERR_LIMIT) {
        h1_client_abandon(c);
        return refuse(x, REASON_HEAD_TOO_LARGE, "forwarded");
    }
    if (e == ERR_NO_MEMORY) return refuse(x, REASON_OVERLOADED, "buffers");
    if (e != ERR_OK) { /* the kernel took nothing of it */
        if (!reused) return connect_failed(x);
        x->fresh = x->stay = x->turn = true;
        return STEP_NEXT;
    }
    x->down.ops->consume(&x->down, body.n);
    x->body_seen = body.n;
    x->body_taken = r.body != 0;
    x->up_started = true;
    x->up_done = end && !trailing;
    exchange_stage(x, STAGE_ANSWER, dispatch_now(x) + dispatch_service(x)->response_ms);
    return STEP_NEXT;
}

/* Room for another connection; an idle one that this request may not use, for it needs a new one, makes room for it. */
static enum upstream_room room_for(struct exchange *x)
{
    struct upstream *u = x->upstream;
    enum upstream_room room = upstream_room(u, dispatch_now(x));
    struct h1_client *idle = room == UPSTREAM_FULL ? upstream_take(u) : NULL;
    if (!idle) return room;
    h1_client_abandon(idle);
    return upstream_room(u, dispatch_now(x));
}

/* A connection of x->upstream, and the question. STEP_NEXT with nothing asked: look for another way. */
static enum step go(struct exchange *x)
{
    struct upstream *u = x->upstream;
    enum upstream_room room = u->refusals ? UPSTREAM_REFUSES : UPSTREAM_FULL;
    if (LIKELY(!u->first) || x->turn) { /* else who stands in line comes first */
        if (!x->fresh && (x->conn = upstream_take(u))) {
            x->attempts++;
            return ask(x);
        }
        room = room_for(x);
        if (room == UPSTREAM_ROOM) return connect_new(x);
    }
    /* another one may have room; but a hash means this one, unless it is away */
    bool elsewhere = room == UPSTREAM_REFUSES || dispatch_service(x)->balance != BALANCE_HASH;
    if (elsewhere && dispatch_pass_over(x)) {
        if (dispatch_has_other(x)) return STEP_NEXT;
        x->n_tried--;
    }
    return stand_in_line(x);
}

enum step dispatch_step(struct exchange *x)
{
    enum step next = STEP_NEXT;
    if (!x->dispatching) {
        next = attempt_begin(x);
        if (next != STEP_NEXT) return next;
        x->dispatching = true;
        x->connect_until_ms = dispatch_now(x) + dispatch_service(x)->connect_ms;
    }
    if (x->conn) next = ask(x);
    if (x->attempt_failed) {
        x->attempt_failed = false;
        next = connect_failed(x);
    }
    /* ends: each round passes one over, or makes x->fresh true, or asks, waits, refuses */
    while (next == STEP_NEXT && !x->up_started) {
        if (!x->stay) choose(x);
        x->stay = false;
        next = go(x);
    }
    return next;
}
