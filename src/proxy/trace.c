/* W3C Trace Context: go on with the caller's trace if it is a good one, else begin a new one; and what is exported of
 * it, when tracing is configured.
 *
 * Whether a request is sampled is decided once, here. A trusted hop's word counts. Of a trace that begins here its own
 * id decides, so that whoever else samples by it decides alike; a stranger's trace goes on under our word and not his,
 * by digits of ours: nobody outside chooses to be traced. */
#include "base/clock.h"
#include "proxy/exchange.h"

#include <endian.h>
#include <time.h>

static bool hex_lower(str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f'))) return false;
    return true;
}

static bool all_zero(str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '0') return false;
    return true;
}

/* W3C Trace Context §3.2: version 00 has exactly 55 characters; a later version may go on after a dash. */
static bool traceparent_ok(str v)
{
    if (v.n < 55 || v.p[2] != '-' || v.p[35] != '-' || v.p[52] != '-') return false;
    str version = str_first(v, 2), trace = str_make(v.p + 3, 32), span = str_make(v.p + 36, 16);
    str flags = str_make(v.p + 53, 2);
    if (!hex_lower(version) || !hex_lower(trace) || !hex_lower(span) || !hex_lower(flags)) return false;
    if (str_eq(version, STR("ff")) || all_zero(trace) || all_zero(span)) return false;
    return str_eq(version, STR("00")) ? v.n == 55 : v.n == 55 || v.p[55] == '-';
}

/* Digits '0' to '9' stand before 'a' to 'f' in ASCII too, so eight of them compare as one number as they are. */
static uint64_t eight_digits(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return be64toh(v);
}

uint64_t trace_sample_from(uint32_t ppm)
{
    static const char digits[] = "0123456789abcdef";
    char text[8];
    if (ppm == 0) return UINT64_MAX;
    if (ppm > 1000000) ppm = 1000000;
    uint64_t from = ((UINT64_C(1000000) - ppm) << 32) / 1000000;
    for (unsigned i = 0; i < sizeof text; i++) text[i] = digits[from >> (28 - 4 * i) & 15];
    return eight_digits(text);
}

/* W3C Trace Context §3.2.2.5.1: the lowest bit of the flags. Letters are even where their code is odd. */
static bool flag_sampled(char digit)
{
    return digit <= '9' ? digit & 1 : !(digit & 1);
}

/* The digits of a trace id that are random in every trace (Trace Context level 2 §3.2.2.3.1), the upper eight. */
enum { RANDOM_AT = 18 };

static void sample(struct exchange *x, const struct rand_ids *ids, const struct field *in)
{
    const struct worker_snapshot *c = x->config;
    if (!x->trace_goes_on)
        x->sampled = eight_digits(x->trace_id + RANDOM_AT) >= c->sample_from;
    else if (exchange_hop_trusted(x))
        x->sampled = flag_sampled(in->value.p[54]);
    else
        x->sampled = eight_digits(ids->span) >= c->sample_from;
    memcpy(x->traceparent + 53, x->sampled ? "01" : "00", 2);
    if (LIKELY(!x->sampled)) return;
    x->trace.dispatched_ns = 0;
    rand_hex(x->trace.span, sizeof x->trace.span / 2);
    if (x->trace_goes_on)
        memcpy(x->trace.parent, in->value.p + 36, sizeof x->trace.parent);
    else
        x->trace.parent[0] = 0;
}

void exchange_ids(struct exchange *x)
{
    const struct fields *f = &x->down.request.fields;
    const struct field *in = fields_get(f, FIELD_TRACEPARENT);
    struct rand_ids ids;
    char *t = x->traceparent;
    rand_ids(&ids, x->started_ms);
    memcpy(x->id, ids.ulid, ULID_LEN);
    x->correlation = str_make(x->id, ULID_LEN);
    x->trace_goes_on = in && fields_count(f, FIELD_TRACEPARENT) == 1 && traceparent_ok(in->value);
    memcpy(x->trace_id, x->trace_goes_on ? in->value.p + 3 : ids.trace, 32);
    memcpy(t, "00-", 3);
    memcpy(t + 3, x->trace_id, 32);
    t[35] = '-';
    memcpy(t + 36, ids.span, 16);
    t[52] = '-';
    memcpy(t + 53, x->trace_goes_on ? in->value.p + 53 : "01", 2);
    if (x->config->tracing) sample(x, &ids, in);
}

/* --- what is exported --- */

static uint64_t wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* "/orders/{id}" of "GET /orders/{id}"; of an action with several it is not known which one it was. */
static str route_template(str match)
{
    str rest = match;
    str_cut(&rest, ' ');
    return str_find(rest, ',') < rest.n ? STR_NONE : rest;
}

void exchange_span(struct exchange *x, uint64_t now_ns)
{
    struct span *s = span_ring_room(x->worker->spans);
    if (!s) return;
    uint64_t end = wall_ns();
    *s = (struct span){.begin_ns = end - (now_ns - x->started_ns),
                       .end_ns = end,
                       .bytes_out = x->down.bytes_out,
                       .status = x->status,
                       .reason = (uint16_t)x->reason,
                       .attempts = x->attempts < UINT16_MAX ? (uint16_t)x->attempts : UINT16_MAX,
                       .gate = GATE,
                       .effect = (uint8_t)x->effect,
                       .minor = x->down.request.minor,
                       .tls = x->down.tls != NULL};
    if (x->trace.dispatched_ns && x->upstream) s->upstream_ns = end - (now_ns - x->trace.dispatched_ns);
    span_id_of(x->trace_id, s->trace_id, sizeof s->trace_id);
    span_id_of(x->trace.span, s->id, sizeof s->id);
    span_id_of(x->traceparent + 36, s->upstream_id, sizeof s->upstream_id);
    if (x->trace.parent[0]) span_id_of(x->trace.parent, s->parent, sizeof s->parent);
    memcpy(s->decision, x->id, sizeof s->decision);
    const struct request *r = &x->down.request;
    const str texts[SPAN_TEXTS] = {[SPAN_ACTION] = x->action ? x->action->name : STR_NONE,
                                   [SPAN_METHOD] = r->method,
                                   [SPAN_PRODUCT] = x->product ? x->product->name : STR_NONE,
                                   [SPAN_ROUTE] = x->action ? route_template(x->action->match) : STR_NONE,
                                   [SPAN_UPSTREAM] = x->upstream ? x->upstream->text : STR_NONE,
                                   [SPAN_FAULT] = x->fault ? str_of(x->fault) : STR_NONE,
                                   [SPAN_AUTHORITY] = r->authority,
                                   [SPAN_PATH] = x->path.n ? x->path : r->path};
    span_texts(s, texts);
    span_ring_put(x->worker->spans);
}
