#include "proxy/exchange.h"

#include "base/clock.h"

static step_fn *const street[] = {edge_step, route_step, authenticate_step, authorize_step, limit_step,
                                  body_step, stamp_step, dispatch_step,     relay_step};

struct server_stream *exchange_new(void *worker)
{
    struct worker *w = worker;
    struct exchange *x = slab_take(&w->exchanges);
    if (!x) return NULL;
    /* all but the rooms at the end, which are written before they are read */
    memset(x, 0, offsetof(struct exchange, first));
    x->worker = w;
    x->down.request.fields.v = x->request_fields;
    x->down.request.fields.cap = w->io.limits.max_fields < EXCHANGE_FIELDS ? w->io.limits.max_fields : EXCHANGE_FIELDS;
    x->down.trailers.v = x->trailers_up;
    x->down.trailers.cap = EXCHANGE_TRAILERS;
    return &x->down;
}

void exchange_free(void *worker, struct server_stream *s)
{
    struct worker *w = worker;
    slab_give(&w->exchanges, CONTAINER_OF(s, struct exchange, down));
}

/* The timer is set to the stage's end or the total deadline, whichever comes first, and not moved when a stage ends
 * early: it looks again when it fires. */
static void on_time(struct timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, timer);
    uint64_t now = loop_now_ms(x->worker->loop);
    if (now >= x->deadline_ms) {
        exchange_refuse(x, REASON_DEADLINE, NULL);
        return;
    }
    if (x->stage == STAGE_NONE || now < x->stage_until_ms) {
        exchange_stage(x, (int)x->stage, x->stage_until_ms);
        return;
    }
    switch (x->stage) {
    case STAGE_LINE: dispatch_line_late(x); break;
    case STAGE_CONNECT: dispatch_connect_late(x); break;
    case STAGE_ANSWER: exchange_refuse(x, REASON_UPSTREAM_TIMEOUT, NULL); break;
    case STAGE_BODY: exchange_refuse(x, REASON_REQUEST_TIMEOUT, NULL); break;
    case STAGE_KEYS: /* with what there is */
    case STAGE_QUOTA:
        authenticate_cancel(x);
        exchange_resume(x);
        break;
    case STAGE_BACKOFF:
    case STAGE_NONE:
        x->stage = STAGE_NONE;
        exchange_resume(x);
        break;
    }
}

void exchange_stage(struct exchange *x, int stage, uint64_t until_ms)
{
    x->stage = (uint8_t)stage;
    x->stage_until_ms = until_ms;
    uint64_t at = stage != STAGE_NONE && until_ms < x->deadline_ms ? until_ms : x->deadline_ms;
    if (at == UINT64_MAX || (timer_is_set(&x->timer) && x->timer.at_ms <= at)) return;
    timer_set(x->worker->loop, &x->timer, at);
}

/* What every exchange has before its first step. */
static void begin(struct exchange *x)
{
    struct worker *w = x->worker;
    x->config = worker_snapshot_ref(w);
    arena_init(&x->mem, x->first, sizeof x->first, EXCHANGE_CAP);
    x->started_ns = loop_now_ns(w->loop);
    if (w->begun++ % TIMED_DECISIONS == 0) x->deciding_ns = clock_mono_ns();
    x->started_ms = loop_wall_ms(w->loop);
    x->timer.on_time = on_time;
    x->deadline_ms = UINT64_MAX;
    exchange_ids(x);
}

str exchange_remote(struct exchange *x)
{
    char ip[NET_TEXT_MAX];
    if (!x->remote.p) x->remote = arena_copy(&x->mem, str_make(ip, net_peer_ip_text(x->down.peer, ip)));
    return x->remote;
}

static void run(struct exchange *x)
{
    while (x->step < ARRAY_LEN(street)) {
        enum step next = street[x->step](x);
        if (next == STEP_WAIT) return;
        if (next == STEP_REFUSE) {
            refuse_respond(x);
            break;
        }
        x->step++;
    }
    exchange_end(x);
}

static void on_request(struct server_stream *s)
{
    struct exchange *x = CONTAINER_OF(s, struct exchange, down);
    begin(x);
    run(x);
}

static enum reason reason_of_fault(enum http_fault f)
{
    switch (http_fault_status(f)) {
    case 408: return REASON_REQUEST_TIMEOUT;
    case 414: return REASON_TARGET_TOO_LONG;
    case 417: return REASON_EXPECTATION_FAILED;
    case 431: return REASON_HEAD_TOO_LARGE;
    case 501: return f == HTTP_FAULT_METHOD ? REASON_METHOD_UNKNOWN : REASON_CODING_UNSUPPORTED;
    case 505: return REASON_VERSION_UNSUPPORTED;
    default: return REASON_REQUEST_MALFORMED;
    }
}

static void on_malformed(struct server_stream *s, int fault)
{
    struct exchange *x = CONTAINER_OF(s, struct exchange, down);
    begin(x);
    refuse(x, reason_of_fault((enum http_fault)fault), http_fault_name((enum http_fault)fault));
    refuse_respond(x);
    exchange_end(x);
}

void exchange_resume(struct exchange *x)
{
    run(x);
}

enum step refuse(struct exchange *x, enum reason reason, const char *fault)
{
    x->reason = reason;
    x->fault = fault;
    return STEP_REFUSE;
}

void exchange_refuse(struct exchange *x, enum reason reason, const char *fault)
{
    refuse(x, reason, fault);
    if (!x->responding) refuse_respond(x);
    exchange_end(x);
}

void exchange_end(struct exchange *x)
{
    struct worker *w = x->worker;
    if (x->ending) return;
    x->ending = true;
    timer_clear(w->loop, &x->timer);
    authenticate_cancel(x);
    dispatch_cancel(x);
    limit_end(x);
    exchange_record(x);
    if (x->token) token_cache_unpin(&w->tokens, x->token);
    worker_snapshot_unref(w, &x->config);
    if (x->mem.blocks) arena_reset(&x->mem);
    if (UNLIKELY(x->held.p != NULL)) held_body_free(x);
    x->down.ops->done(&x->down);
}

static void on_abort(struct server_stream *s)
{
    struct exchange *x = CONTAINER_OF(s, struct exchange, down);
    if (!x->responding || !x->answer_ended) {
        refuse(x, s->timed_out ? REASON_REQUEST_TIMEOUT : REASON_CLIENT_CLOSED, NULL);
        x->status = x->responding ? x->status : 0;
    }
    exchange_end(x);
}

static void on_timeout(struct server_stream *s)
{
    exchange_refuse(CONTAINER_OF(s, struct exchange, down), REASON_REQUEST_TIMEOUT, NULL);
}

static void on_readable(struct server_stream *s)
{
    struct exchange *x = CONTAINER_OF(s, struct exchange, down);
    if (UNLIKELY(x->stage == STAGE_BODY))
        exchange_resume(x);
    else
        relay_client_readable(x);
}

static void on_writable(struct server_stream *s)
{
    relay_client_writable(CONTAINER_OF(s, struct exchange, down));
}

const struct server_handler exchange_handler = {
    .on_request = on_request,
    .on_malformed = on_malformed,
    .on_readable = on_readable,
    .on_writable = on_writable,
    .on_abort = on_abort,
    .on_timeout = on_timeout,
};
