/* W3C Trace Context: go on with the caller's trace if it is a good one, else begin a new one. */
#include "proxy/exchange.h"

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
}
