#include "roles/gateway_tracing.h"

#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "config/snapshot.h"
#include "serve/otlp.h"

#include <stdlib.h>

enum {
    BATCH = 128 << 10,     /* bytes that are sent without waiting for more */
    WAITING_MAX = 1 << 20, /* bytes that wait for their turn */
    SEND_MAX = WAITING_MAX + 4096,
    SPAN_MAX = 4096,   /* encoded, with its client span */
    LOOK_BUSY_MS = 50, /* a ring holds 512: at full sampling that is 10,000 requests a second and worker */
    LOOK_CALM_MS = 500,
    GATHER_MS = 1000, /* what came first waits so long for company */
    PAUSE_FIRST_MS = 1000,
    PAUSE_MAX_MS = 30000,
    ATTEMPTS = 6
};

/* A batch as it goes out, and the URL, fields and authorities that go with it. */
struct batch {
    struct buf body;
    struct snapshot *snap;
    uint64_t spans;
    unsigned attempts;
    struct fetch *fetch; /* under way */
};

struct gateway_tracing {
    struct fetch_env env;
    struct snapshot *snap; /* NULL: nothing is exported */
    struct span_ring *rings[GATEWAY_TRACING_RINGS];
    size_t n_rings;
    struct buf waiting; /* fields of a ScopeSpans */
    uint64_t waiting_spans, waiting_since_ms;
    struct batch sending;
    struct timer look, again;
    uint64_t exported, dropped, rejected, failures; /* spans, spans, spans, attempts */
    bool told;                                      /* that it does not work */
    bool hurry;                                     /* the process ends */
    struct fetch_header *headers;                   /* of the batch under way */
};

static void send_due(struct gateway_tracing *t);

/* --- the batch under way --- */

static void batch_over(struct gateway_tracing *t)
{
    buf_clear(&t->sending.body);
    snapshot_unref(&t->sending.snap);
    free(t->headers);
    t->headers = NULL;
    t->sending.spans = 0;
    t->sending.attempts = 0;
}

/* OTLP/HTTP, "Retryable Response Codes"; what has no status was not delivered, or may not have been. */
static bool worth_another_try(const struct fetch_result *r)
{
    switch (r->fault) {
    case FETCH_FAULT_STATUS: return r->status == 429 || r->status == 502 || r->status == 503 || r->status == 504;
    case FETCH_FAULT_NAME:
    case FETCH_FAULT_CONNECT:
    case FETCH_FAULT_CUT:
    case FETCH_FAULT_TIME:
    case FETCH_FAULT_TLS:
    case FETCH_FAULT_CERTIFICATE: /* it may be renewed while we wait */
    case FETCH_FAULT_BUSY:
    case FETCH_FAULT_MEMORY: return true;
    case FETCH_FAULT_NONE:
    case FETCH_FAULT_URL:
    case FETCH_FAULT_PLAIN:
    case FETCH_FAULT_ADDRESS:
    case FETCH_FAULT_TRUST:
    case FETCH_FAULT_ANSWER:
    case FETCH_FAULT_CODING:
    case FETCH_FAULT_REDIRECT:
    case FETCH_FAULT_SIZE: break;
    }
    return false;
}

static void delivered(struct gateway_tracing *t, str answer)
{
    uint64_t rejected = 0;
    if (otlp_rejected(answer, &rejected) != ERR_OK) rejected = 0; /* it said 200; what else it says is its own */
    if (rejected > t->sending.spans) rejected = t->sending.spans;
    t->rejected += rejected;
    t->exported += t->sending.spans - rejected;
    if (t->told) log_event(LOG_LEVEL_INFO, log_msg("traces are exported again"));
    t->told = false;
    batch_over(t);
}

static void not_delivered(struct gateway_tracing *t, const struct fetch_result *r)
{
    struct batch *b = &t->sending;
    t->failures++;
    if (!t->told)
        log_event(LOG_LEVEL_WARN, log_msg("traces are not exported"), log_str("url", b->snap->tracing.url),
                  log_str("why", str_of(fetch_fault_text(r->fault))), log_str("detail", str_of(r->detail)));
    t->told = true;
    if (t->hurry || b->attempts >= ATTEMPTS || !worth_another_try(r)) {
        t->dropped += b->spans;
        batch_over(t);
        return;
    }
    uint64_t pause = (uint64_t)PAUSE_FIRST_MS << (b->attempts - 1);
    if (pause > PAUSE_MAX_MS) pause = PAUSE_MAX_MS;
    pause += rand_u64() % (pause / 2); /* many gateways that lost one collector do not come back at once */
    timer_set(t->env.loop, &t->again, loop_now_ms(t->env.loop) + pause);
}

static void on_sent(void *user, const struct fetch_result *r)
{
    struct gateway_tracing *t = user;
    t->sending.fetch = NULL;
    bool taken = r->fault == FETCH_FAULT_NONE || (r->fault == FETCH_FAULT_STATUS && r->status / 100 == 2);
    if (taken)
        delivered(t, r->fault == FETCH_FAULT_NONE ? r->body : STR(""));
    else
        not_delivered(t, r);
    send_due(t);
}

static void attempt(struct gateway_tracing *t)
{
    struct batch *b = &t->sending;
    const struct snapshot *s = b->snap;
    struct fetch_options o = {.ca_pem = s->tracing.ca_pem.n ? s->tracing.ca_pem : STR_NONE,
                              .private_ok = true, /* it is the configuration that names it */
                              .plain_ok = true,
                              .plain_private_ok = true,
                              .body = buf_str(&b->body),
                              .content_type = "application/x-protobuf",
                              .headers = t->headers,
                              .n_headers = s->tracing.n_headers};
    b->attempts++;
    if (fetch_start(&t->env, s->tracing.url, &o, on_sent, t, &b->fetch) == ERR_OK) return;
    b->fetch = NULL;
    not_delivered(t, &(struct fetch_result){.fault = FETCH_FAULT_MEMORY, .detail = ""});
}

static void on_again(struct timer *timer)
{
    attempt(CONTAINER_OF(timer, struct gateway_tracing, again));
}

/* Makes a batch of what waits, if it is time and none is under way. */
static void send_due(struct gateway_tracing *t)
{
    struct batch *b = &t->sending;
    if (!t->snap || b->spans || !t->waiting_spans) return;
    bool due = t->hurry || t->waiting.n >= BATCH || loop_now_ms(t->env.loop) - t->waiting_since_ms >= GATHER_MS;
    if (!due) return;
    b->spans = t->waiting_spans;
    struct otlp_resource who = {STR(SALLYPORT_VERSION), t->snap->name, t->snap->environment};
    otlp_request(&b->body, &who, buf_str(&t->waiting));
    t->headers = calloc(t->snap->tracing.n_headers + 1, sizeof *t->headers);
    bool whole = !b->body.bad && t->headers;
    for (uint32_t i = 0; whole && i < t->snap->tracing.n_headers; i++)
        t->headers[i] = (struct fetch_header){t->snap->tracing.headers[i].name, t->snap->tracing.headers[i].value};
    buf_clear(&t->waiting);
    t->waiting_spans = 0;
    b->snap = snapshot_ref(t->snap);
    if (whole) {
        attempt(t);
        return;
    }
    t->dropped += b->spans;
    batch_over(t);
}

/* --- what the workers have made --- */

static unsigned take(struct gateway_tracing *t, const struct span *s)
{
    size_t before = t->waiting.n;
    if (t->snap && before + SPAN_MAX <= WAITING_MAX) {
        unsigned n = otlp_put(&t->waiting, s);
        if (!t->waiting.bad) {
            if (!t->waiting_spans) t->waiting_since_ms = loop_now_ms(t->env.loop);
            t->waiting_spans += n;
            return 1;
        }
        t->waiting.bad = false;
        t->waiting.n = before;
    }
    t->dropped += s->upstream_ns ? 2 : 1;
    return 1;
}

static unsigned sweep(struct gateway_tracing *t)
{
    unsigned any = 0;
    for (size_t i = 0; i < t->n_rings; i++) {
        const struct span *s;
        for (unsigned n = 0; n < SPAN_RING && (s = span_ring_peek(t->rings[i])); n++) {
            any += take(t, s);
            span_ring_took(t->rings[i]);
        }
    }
    return any;
}

static void on_look(struct timer *timer)
{
    struct gateway_tracing *t = CONTAINER_OF(timer, struct gateway_tracing, look);
    unsigned any = sweep(t);
    send_due(t);
    if (t->snap) timer_set(t->env.loop, timer, loop_now_ms(t->env.loop) + (any ? LOOK_BUSY_MS : LOOK_CALM_MS));
}

/* --- life --- */

enum err gateway_tracing_new(const struct fetch_env *env, struct gateway_tracing **out)
{
    struct gateway_tracing *t = calloc(1, sizeof *t);
    if (!t) return ERR_NO_MEMORY;
    t->env = *env;
    t->look.on_time = on_look;
    t->again.on_time = on_again;
    buf_init(&t->waiting, WAITING_MAX);
    buf_init(&t->sending.body, SEND_MAX);
    *out = t;
    return ERR_OK;
}

void gateway_tracing_free(struct gateway_tracing **t)
{
    if (!*t) return;
    timer_clear((*t)->env.loop, &(*t)->look);
    timer_clear((*t)->env.loop, &(*t)->again);
    fetch_cancel(&(*t)->sending.fetch);
    batch_over(*t);
    buf_free(&(*t)->waiting);
    buf_free(&(*t)->sending.body);
    snapshot_unref(&(*t)->snap);
    free(*t);
    *t = NULL;
}

void gateway_tracing_ring(struct gateway_tracing *t, struct span_ring *ring)
{
    if (t->n_rings < GATEWAY_TRACING_RINGS) t->rings[t->n_rings++] = ring;
}

void gateway_tracing_follow(struct gateway_tracing *t, struct snapshot *snap)
{
    snapshot_unref(&t->snap);
    if (snap->tracing.url.n) t->snap = snapshot_ref(snap);
    if (t->snap && !timer_is_set(&t->look)) timer_set(t->env.loop, &t->look, loop_now_ms(t->env.loop) + LOOK_CALM_MS);
    if (t->snap) return;
    (void)sweep(t); /* nobody wants them any more */
    t->dropped += t->waiting_spans;
    t->waiting_spans = 0;
    buf_free(&t->waiting);
    buf_init(&t->waiting, WAITING_MAX);
    timer_clear(t->env.loop, &t->look);
}

void gateway_tracing_flush(struct gateway_tracing *t)
{
    t->hurry = true;
    (void)sweep(t);
    if (timer_is_set(&t->again)) {
        timer_clear(t->env.loop, &t->again);
        attempt(t);
    }
    send_due(t);
}

bool gateway_tracing_idle(const struct gateway_tracing *t)
{
    return !t->snap || (!t->waiting_spans && !t->sending.spans);
}

bool gateway_tracing_failing(const struct gateway_tracing *t)
{
    return t->snap && t->told;
}

void gateway_tracing_metrics(const struct gateway_tracing *t, struct buf *out)
{
    uint64_t dropped = t->dropped;
    for (size_t i = 0; i < t->n_rings; i++) dropped += span_ring_dropped(t->rings[i]);
    metrics_family(out, "sallyport_trace_spans_total", METRIC_COUNTER,
                   "Spans by what became of them: exported, dropped here, rejected by the collector.");
    const struct {
        str result;
        uint64_t n;
    } rows[] = {{STR("exported"), t->exported}, {STR("dropped"), dropped}, {STR("rejected"), t->rejected}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct metric_label l = {"result", rows[i].result};
        metrics_u64(out, "sallyport_trace_spans_total", &l, 1, rows[i].n);
    }
    metrics_family(out, "sallyport_trace_export_failures_total", METRIC_COUNTER,
                   "Batches of spans that the collector did not take at one attempt.");
    metrics_u64(out, "sallyport_trace_export_failures_total", NULL, 0, t->failures);
}
