/* What the service will see: first everything goes that the client may not say, then we say it. */
#include "base/clock.h"
#include "proxy/exchange.h"

bool exchange_hop_trusted(const struct exchange *x)
{
    const struct snapshot *snap = x->config->snap;
    struct sockaddr_storage ss;
    if (!snap->n_networks) return false;
    net_peer_sockaddr(x->down.peer, &ss);
    return snapshot_hop_trusted(snap, (const struct sockaddr *)&ss);
}

static bool passes(const struct field *f, uint8_t pass, bool trusted)
{
    if (f->twin) return false; /* X_User_ID: an application may take it for X-User-ID */
    enum field_id id = (enum field_id)f->id;
    switch (field_class_of(id)) {
    case FIELD_HOP:
    case FIELD_OVERRIDE: return false;
    case FIELD_IDENTITY: return false;
    case FIELD_CREDENTIAL:
        return (id == FIELD_AUTHORIZATION && pass & PASS_AUTHORIZATION) || (id == FIELD_COOKIE && pass & PASS_COOKIE) ||
               (id == FIELD_APIKEY && pass & PASS_APIKEY);
    case FIELD_FORWARDING: /* those that we extend are written anew */
        return trusted && id != FIELD_X_FORWARDED_FOR && id != FIELD_VIA && id != FIELD_CDN_LOOP;
    case FIELD_PLAIN: break;
    }
    return id != FIELD_TRACEPARENT && id != FIELD_TRACESTATE && id != FIELD_BAGGAGE;
}

/* "a, b" of all fields of that id and `last`; `last` alone when there are none. .p NULL: memory. */
static str extend(struct exchange *x, enum field_id id, str last)
{
    const struct fields *f = &x->down.request.fields;
    size_t n = last.n;
    for (uint32_t i = 0; i < f->n; i++)
        if (f->v[i].id == id && !f->v[i].twin) n += f->v[i].value.n + 2;
    if (n == last.n) return last;
    char *out = arena_alloc(&x->mem, n), *at = out;
    if (!out) return STR_NONE;
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->v[i].id != id || f->v[i].twin) continue;
        memcpy(at, f->v[i].value.p, f->v[i].value.n);
        at += f->v[i].value.n;
        memcpy(at, ", ", 2);
        at += 2;
    }
    memcpy(at, last.p, last.n);
    return str_make(out, n);
}

/* Values that we make or have encoded are good by construction; the others were checked by the parser. */
static void put(struct fields *f, enum field_id id, str value)
{
    if (!value.n || f->n >= f->cap) return;
    f->v[f->n++] = (struct field){.name = field_name(id), .value = value, .id = (uint16_t)id};
}

static enum step put_identity(struct exchange *x, struct fields *f)
{
    if (x->token) x->down.request.ready[0] = x->token->caller.lines;
    if (x->product) put(f, FIELD_X_PRODUCT, x->product->name);
    put(f, FIELD_X_ACTION, x->action->name);
    put(f, FIELD_X_CORRELATION_ID, x->correlation);
    return STEP_NEXT;
}

static enum step put_forwarding(struct exchange *x, struct fields *f, bool trusted)
{
    const struct request *r = &x->down.request;
    unsigned minor = r->minor ? 1 : 0;
    str remote = exchange_remote(x);
    str forwarded_for = trusted ? extend(x, FIELD_X_FORWARDED_FOR, remote) : remote;
    if (!remote.p || !forwarded_for.p) return refuse(x, REASON_HEAD_TOO_LARGE, "forwarding");
    put(f, FIELD_X_FORWARDED_FOR, forwarded_for);
    if (!trusted || !fields_get(f, FIELD_X_FORWARDED_HOST)) put(f, FIELD_X_FORWARDED_HOST, r->authority);
    if (!trusted || !fields_get(f, FIELD_X_FORWARDED_PROTO)) put(f, FIELD_X_FORWARDED_PROTO, exchange_scheme(x));
    if (!x->relayed && x->config->hop[minor].n) {
        x->down.request.ready[1] = x->config->hop[minor];
        return STEP_NEXT;
    }
    str via = extend(x, FIELD_VIA, x->config->via[minor]), loop = extend(x, FIELD_CDN_LOOP, x->config->snap->name);
    if (!via.p || !loop.p) return refuse(x, REASON_HEAD_TOO_LARGE, "forwarding");
    put(f, FIELD_VIA, via);
    put(f, FIELD_CDN_LOOP, loop);
    return STEP_NEXT;
}

enum step stamp_step(struct exchange *x)
{
    struct fields *f = &x->down.request.fields;
    uint8_t pass = x->action->pass;
    bool trusted = exchange_hop_trusted(x);
    const struct field *correlation = fields_get(f, FIELD_X_CORRELATION_ID);
    if (trusted && correlation && correlation->value.n && correlation->value.n <= 128)
        x->correlation = correlation->value;
    fields_drop_nominated(f);
    for (uint32_t i = 0; i < f->n; i++) {
        struct field *v = &f->v[i];
        if (v->id == FIELD_TRACESTATE && x->trace_goes_on && !v->twin && !v->drop) continue;
        v->drop = v->drop || !passes(v, pass, trusted);
    }
    f->cap += EXCHANGE_STAMPS;
    enum step next = put_forwarding(x, f, trusted);
    if (next != STEP_NEXT) return next;
    if (x->sampled) x->trace.dispatched_ns = clock_mono_ns();
    put(f, FIELD_TRACEPARENT, str_make(x->traceparent, sizeof x->traceparent));
    return put_identity(x, f);
}
