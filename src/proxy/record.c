/* Always last: counters, the decision ring, the access log. */
#include "base/clock.h"
#include "net/tls_stream.h"
#include "proxy/exchange.h"
#include "serve/access_log.h"

static str text_of(const char *z)
{
    return z ? str_of(z) : STR_NONE;
}

/* A request that was permitted and came to nothing on the way is one that was permitted. */
static void meter(struct exchange *x, const struct outcome *o)
{
    struct meter_name of = {.product = o->product, .action = o->action, .caller = x->caller};
    if (x->product) of.product_mark = x->product->mark;
    if (x->action) of.action_mark = x->config->limits->marks[x->action->index];
    bool limited =
        x->reason == REASON_RATE_LIMITED || x->reason == REASON_QUOTA_EXHAUSTED || x->reason == REASON_QUOTA_UNKNOWN;
    enum meter_end end = x->effect == EFFECT_PERMIT ? METER_END_PERMITTED
                         : limited                  ? METER_END_LIMITED
                                                    : METER_END_DENIED;
    meter_request(x->worker->meter, &of, end, o->bytes_in, o->bytes_out);
}

void exchange_record(struct exchange *x)
{
    struct worker *w = x->worker;
    uint64_t now_ns = clock_mono_ns();
    uint64_t took_us = (now_ns - x->started_ns) / 1000;
    const struct snapshot *snap = x->config->snap;
    struct outcome o = {
        .unix_ms = x->started_ms,
        .duration_us = took_us < UINT32_MAX ? (uint32_t)took_us : UINT32_MAX,
        .generation = (uint32_t)snap->generation,
        .status = x->status,
        .reason = x->reason,
        .effect = x->effect,
        .gate = GATE,
        .caller = (uint8_t)x->caller,
        .credential = x->credential,
        .tls = x->down.tls ? x->down.tls->version : 0,
        .bytes_in = x->down.bytes_in,
        .bytes_out = x->down.bytes_out,
        .id = str_make(x->id, ULID_LEN),
        .trace_id = x->trace_id[0] ? str_make(x->trace_id, sizeof x->trace_id) : STR_NONE,
        .correlation_id = x->correlation,
        .method = x->down.request.method,
        .path = x->path.n ? x->path : x->down.request.path,
        .fault = text_of(x->fault),
    };
    o.remote = exchange_remote(x);
    if (x->action) o.action = x->action->name;
    if (x->product) o.product = x->product->name;
    if (x->upstream) o.upstream = x->upstream->text;
    o.attempts = (uint8_t)(x->attempts < UINT8_MAX ? x->attempts : UINT8_MAX);
    if (x->token) {
        const struct caller *who = &x->token->caller;
        o.client = who->client;
        o.issuer = snap->issuers[who->issuer].name;
        o.subject = who->user_id;
        o.roles = who->roles;
    }
    if (UNLIKELY(x->sampled)) exchange_span(x, now_ns);
    meter(x, &o);
    counters_request(w->counters, &o, x->decided_ns ? x->decided_ns - x->deciding_ns : 0);
    decision_ring_put(w->ring, &o);
    if (snap->log_access) access_log_write(w->log, &o, x->started_ms + took_us / 1000);
}
