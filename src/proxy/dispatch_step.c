/* Which connection? A warm one of the instance whose turn it is, else a new one. What fails before anything can have
 * been processed is tried again, on the next instance and after a pause, for as long as connecting may take: so an
 * upstream that restarts costs its callers time, not errors. One that does not even refuse takes all of that time;
 * another instance then gets as much again, once. */
#include "proxy/exchange.h"

#define ATTEMPTS_MAX 16
#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 200

static void count_waiting(struct exchange *x, bool waiting)
{
    if (x->counted_waiting == waiting) return;
    x->counted_waiting = waiting;
    if (waiting)
        x->upstream->waiting++;
    else
        x->upstream->waiting--;
}

static void choose(struct exchange *x)
{
    struct worker_snapshot *c = x->config;
    const struct snapshot_service *s = &c->snap->services[x->action->service];
    count_waiting(x, false);
    struct upstream *const *all = c->upstreams + c->first_upstream[s->index], *failed = x->upstream;
    x->upstream = all[c->turn[s->index]++ % s->n_instances];
    if (UNLIKELY(x->upstream == failed)) x->upstream = all[c->turn[s->index]++ % s->n_instances];
}

static void on_connect(struct h1_client *c, enum err e, void *user)
{
    struct exchange *x = user;
    x->connecting = NULL;
    x->stage = STAGE_NONE;
    if (e == ERR_OK)
        x->conn = c;
    else
        x->attempt_failed = true;
    exchange_resume(x);
}

/* Another attempt after a pause, or the end of trying. */
static enum step pause(struct exchange *x, enum reason reason)
{
    struct worker *w = x->worker;
    uint64_t now = loop_now_ms(w->loop);
    uint64_t wait = (uint64_t)PAUSE_MIN_MS << (x->attempts < 8 ? x->attempts : 8);
    if (wait > PAUSE_MAX_MS) wait = PAUSE_MAX_MS;
    x->attempts++;
    bool crowded = !x->counted_waiting && x->upstream->waiting >= UPSTREAM_WAITING_MAX;
    if (x->attempts >= ATTEMPTS_MAX || crowded || now + wait >= x->connect_until_ms) return refuse(x, reason, NULL);
    counter_add(&w->numbers.retries, 1);
    count_waiting(x, true);
    exchange_stage(x, STAGE_BACKOFF, now + wait);
    return STEP_WAIT;
}

static enum step connect_new(struct exchange *x)
{
    struct worker *w = x->worker;
    enum err e = h1_client_open(&w->client, &x->upstream->addr, x->upstream, on_connect, x, &x->connecting);
    if (e == ERR_OK) {
        exchange_stage(x, STAGE_CONNECT, x->connect_until_ms);
        return STEP_WAIT;
    }
    if (e == ERR_LIMIT && worker_reclaim(w)) return pause(x, REASON_OVERLOADED);
    if (e == ERR_LIMIT || e == ERR_NO_MEMORY) return refuse(x, REASON_OVERLOADED, "connections");
    return pause(x, REASON_UPSTREAM_CONNECT);
}

/* The head and what there is of the body. */
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
        x->fresh = x->fresh || reused;
        return pause(x, REASON_UPSTREAM_CONNECT);
    }
    x->down.ops->consume(&x->down, body.n);
    x->body_seen = body.n;
    x->body_taken = r.body != 0;
    x->up_started = true;
    x->up_done = end && !trailing;
    count_waiting(x, false);
    exchange_stage(x, STAGE_ANSWER, loop_now_ms(x->worker->loop) + x->config->snap->timeouts.response_ms);
    return STEP_NEXT;
}

void dispatch_connect_late(struct exchange *x)
{
    const struct snapshot_service *s = &x->config->snap->services[x->action->service];
    h1_client_abandon(x->connecting);
    x->connecting = NULL;
    if (x->connected_late || s->n_instances < 2) {
        exchange_refuse(x, REASON_UPSTREAM_CONNECT, "timeout");
        return;
    }
    x->connected_late = true;
    x->stage = STAGE_NONE;
    x->attempts++;
    x->connect_until_ms = loop_now_ms(x->worker->loop) + x->config->snap->timeouts.connect_ms;
    counter_add(&x->worker->numbers.retries, 1);
    exchange_resume(x);
}

enum step dispatch_step(struct exchange *x)
{
    if (x->conn) return ask(x);
    if (!x->connect_until_ms) x->connect_until_ms = loop_now_ms(x->worker->loop) + x->config->snap->timeouts.connect_ms;
    if (x->attempt_failed) {
        x->attempt_failed = false;
        return pause(x, REASON_UPSTREAM_CONNECT);
    }
    /* a service whose names do not resolve yet has none */
    if (x->config->snap->services[x->action->service].n_instances == 0) return refuse(x, REASON_UPSTREAM_NONE, NULL);
    choose(x);
    x->conn = x->fresh ? NULL : upstream_take(x->upstream);
    return x->conn ? ask(x) : connect_new(x);
}

/* Whether asking again cannot make anything happen twice (RFC 9110 §9.2.2). */
static bool may_repeat(const struct exchange *x, enum client_failure why)
{
    if (x->responding || x->body_taken) return false;
    return (why == CLIENT_FAILED_STALE || why == CLIENT_FAILED_BROKEN) &&
           method_is_idempotent(x->down.request.method_id);
}

void dispatch_failed(struct exchange *x, enum client_failure why)
{
    enum reason reason = why == CLIENT_FAILED_GARBAGE ? REASON_UPSTREAM_GARBAGE : REASON_UPSTREAM_CLOSED;
    if (!may_repeat(x, why)) {
        exchange_refuse(x, reason, NULL);
        return;
    }
    x->up_started = x->up_done = false;
    x->stage = STAGE_NONE;
    x->fresh = true;
    x->step = STEP_OF_DISPATCH;
    /* time spent waiting for the answer does not count as connecting */
    uint64_t until = loop_now_ms(x->worker->loop) + x->config->snap->timeouts.connect_ms;
    if (!x->attempts) x->connect_until_ms = until;
    if (why == CLIENT_FAILED_STALE) {
        x->attempts++;
        exchange_resume(x);
        return;
    }
    enum step next = pause(x, reason);
    if (next == STEP_REFUSE) exchange_refuse(x, reason, NULL);
}

void dispatch_cancel(struct exchange *x)
{
    if (x->upstream) count_waiting(x, false);
    if (x->connecting) h1_client_abandon(x->connecting);
    if (x->conn) h1_client_abandon(x->conn);
    if (x->up.conn) x->up.ops->release(&x->up);
    x->connecting = x->conn = NULL;
}
