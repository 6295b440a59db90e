/* What there is to tell of services, instances and breakers: GET /v1/upstreams, and metrics. Reads what the workers
 * write (proxy/instance.h) and stops nobody. */
#include "roles/gateway_private.h"

static const struct instance_set *set_of(const struct gateway *g)
{
    bool same = g->instances && g->instances_of == g->snap->generation; /* else no memory for it: told when there is */
    return same ? g->instances : NULL;
}

static const char *balance_name(enum balance_kind k)
{
    switch (k) {
    case BALANCE_LEAST_REQUEST: return "least-request";
    case BALANCE_ROUND_ROBIN: return "round-robin";
    case BALANCE_HASH: return "hash";
    }
    return "least-request";
}

static const char *health_name(const struct instance *i)
{
    switch (atomic_load(&i->health)) {
    case INSTANCE_UP: return "up";
    case INSTANCE_DOWN: return "down";
    default: return "unknown";
    }
}

static uint64_t ejected_ms(const struct instance *i, uint64_t now_ms)
{
    uint64_t until = atomic_load(&i->ejected_until_ms);
    return until > now_ms ? until - now_ms : 0;
}

static uint64_t failed(const struct instance *i)
{
    uint64_t sum = 0;
    for (enum instance_outcome o = OUTCOME_CONNECT; o < OUTCOME_COUNT; o++) sum += instance_outcomes(i, o);
    return sum;
}

/* --- JSON --- */

static void text(struct buf *out, const char *name, str value)
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

static void put_instance(const struct snapshot_instance *from, const struct instance *i, str last_check,
                         uint64_t now_ms, struct buf *out)
{
    text(out, "{\"name\":", from->text);
    text(out, ",\"address\":", from->shown);
    text(out, ",\"zone\":", from->zone);
    number(out, ",\"weight\":", from->weight);
    number(out, ",\"priority\":", from->priority);
    text(out, ",\"health\":", str_of(health_name(i)));
    text(out, ",\"last_check\":", last_check);
    buf_puts(out, instance_serves(i, now_ms) ? ",\"serves\":true" : ",\"serves\":false");
    number(out, ",\"ejected_ms\":", ejected_ms(i, now_ms));
    number(out, ",\"ejections\":", atomic_load(&i->ejected_total));
    number(out, ",\"open\":", atomic_load(&i->open));
    number(out, ",\"in_flight\":", instance_in_flight(i));
    number(out, ",\"retries\":", instance_retries(i));
    number(out, ",\"failures_in_a_row\":", atomic_load(&i->failures));
    for (enum instance_outcome o = 0; o < OUTCOME_COUNT; o++) {
        buf_puts(out, o ? ",\"" : ",\"outcomes\":{\"");
        buf_puts(out, instance_outcome_name(o));
        number(out, "\":", instance_outcomes(i, o));
    }
    number(out, "},\"failed\":", failed(i));
    buf_putc(out, '}');
}

static void put_breaker(const struct snapshot_service *s, const struct breaker *b, enum caller_kind kind,
                        uint64_t now_ms, struct buf *out)
{
    uint32_t requests, errors;
    breaker_window(b, &s->breaker, now_ms, &requests, &errors);
    text(out, "{\"caller\":", str_of(caller_kind_name(kind)));
    text(out, ",\"state\":", str_of(breaker_state_name(breaker_state(b, now_ms))));
    number(out, ",\"requests\":", requests);
    number(out, ",\"errors\":", errors);
    number(out, ",\"in_flight\":", atomic_load(&b->in_flight));
    number(out, ",\"concurrent\":", s->breaker.concurrent[kind]);
    number(out, ",\"opened\":", atomic_load(&b->opened));
    number(out, ",\"refused\":", atomic_load(&b->refused));
    number(out, ",\"crowded\":", atomic_load(&b->crowded));
    buf_putc(out, '}');
}

static void put_service(const struct gateway *g, const struct snapshot_service *s, const struct instance_set *set,
                        uint64_t now_ms, struct buf *out)
{
    const struct service_state *state = set->services[s->index];
    text(out, "{\"name\":", s->name);
    text(out, ",\"balance\":", str_of(balance_name(s->balance)));
    buf_puts(out, atomic_load(&state->panicking) ? ",\"panic\":true" : ",\"panic\":false");
    number(out, ",\"panics\":", atomic_load(&state->panics));
    number(out, ",\"retries_refused\":", atomic_load(&state->retries_over));
    number(out, ",\"pool_refusals\":", atomic_load(&state->pool_refusals));
    buf_puts(out, ",\"instances\":[");
    for (uint32_t i = 0; i < s->n_instances; i++) {
        if (i) buf_putc(out, ',');
        str last_check = gateway_health_last(g->health, s->name, s->instances[i].shown);
        put_instance(&s->instances[i], set->all[set->first[s->index] + i], last_check, now_ms, out);
    }
    buf_puts(out, "],\"breakers\":[");
    for (unsigned k = 0; k < CALLER_KINDS && s->breaker.on; k++) {
        if (k) buf_putc(out, ',');
        put_breaker(s, &state->breakers[k], (enum caller_kind)k, now_ms, out);
    }
    buf_puts(out, "]}");
}

void gateway_upstreams(void *ctx, struct buf *out)
{
    const struct gateway *g = ctx;
    const struct instance_set *set = set_of(g);
    uint64_t now_ms = loop_now_ms(g->loop);
    text(out, "{\"zone\":", g->snap->zone);
    number(out, ",\"generation\":", g->snap->generation);
    buf_puts(out, ",\"services\":[");
    for (uint32_t i = 0; set && i < g->snap->n_services; i++) {
        if (i) buf_putc(out, ',');
        put_service(g, &g->snap->services[i], set, now_ms, out);
    }
    buf_puts(out, "]}\n");
}

/* --- metrics --- */

struct renderer {
    const struct gateway *g;
    const struct instance_set *set;
    uint64_t now_ms;
    struct buf *out;
};

static void each_instance(const struct renderer *r, const char *name, enum metric_type type, const char *help,
                          uint64_t (*value)(const struct instance *i, uint64_t now_ms))
{
    metrics_family(r->out, name, type, help);
    for (uint32_t i = 0; i < r->set->n; i++) {
        const struct instance *of = r->set->all[i];
        const struct metric_label l[] = {{"service", of->service->name}, {"upstream", of->text}};
        metrics_u64(r->out, name, l, ARRAY_LEN(l), value(of, r->now_ms));
    }
}

static uint64_t open_now(const struct instance *i, uint64_t now_ms)
{
    (void)now_ms;
    return atomic_load(&i->open);
}

static uint64_t in_flight_now(const struct instance *i, uint64_t now_ms)
{
    (void)now_ms;
    return instance_in_flight(i);
}

static uint64_t serves_now(const struct instance *i, uint64_t now_ms)
{
    return instance_serves(i, now_ms);
}

static uint64_t ejections(const struct instance *i, uint64_t now_ms)
{
    (void)now_ms;
    return atomic_load(&i->ejected_total);
}

static uint64_t retries(const struct instance *i, uint64_t now_ms)
{
    (void)now_ms;
    return instance_retries(i);
}

static void render_outcomes(const struct renderer *r)
{
    metrics_family(r->out, "sallyport_upstream_requests_total", METRIC_COUNTER,
                   "Attempts at instances by how they ended; unavailable: answered 502, 503 or 504.");
    for (uint32_t i = 0; i < r->set->n; i++)
        for (enum instance_outcome o = 0; o < OUTCOME_COUNT; o++) {
            const struct instance *of = r->set->all[i];
            const struct metric_label l[] = {{"service", of->service->name},
                                             {"upstream", of->text},
                                             {"outcome", str_of(instance_outcome_name(o))}};
            metrics_u64(r->out, "sallyport_upstream_requests_total", l, ARRAY_LEN(l), instance_outcomes(of, o));
        }
}

static void each_service(const struct renderer *r, const char *name, const char *help, size_t offset)
{
    metrics_family(r->out, name, METRIC_COUNTER, help);
    for (uint32_t i = 0; i < r->set->n_services; i++) {
        struct service_state *s = r->set->services[i];
        _Atomic uint64_t *value = (_Atomic uint64_t *)(void *)((char *)s + offset);
        const struct metric_label l = {"service", s->name};
        metrics_u64(r->out, name, &l, 1, atomic_load(value));
    }
}

static uint64_t not_closed(struct breaker *b, uint64_t now_ms)
{
    return breaker_state(b, now_ms) != BREAKER_CLOSED;
}

static uint64_t opened(struct breaker *b, uint64_t now_ms)
{
    (void)now_ms;
    return atomic_load(&b->opened);
}

static uint64_t refused(struct breaker *b, uint64_t now_ms)
{
    (void)now_ms;
    return atomic_load(&b->refused);
}

static uint64_t crowded(struct breaker *b, uint64_t now_ms)
{
    (void)now_ms;
    return atomic_load(&b->crowded);
}

static void each_breaker(const struct renderer *r, const char *name, enum metric_type type, const char *help,
                         uint64_t (*value)(struct breaker *b, uint64_t now_ms))
{
    metrics_family(r->out, name, type, help);
    for (uint32_t i = 0; i < r->set->n_services; i++) {
        struct service_state *s = r->set->services[i];
        for (unsigned k = 0; k < CALLER_KINDS && r->g->snap->services[i].breaker.on; k++) {
            const struct metric_label l[] = {{"service", s->name},
                                             {"caller", str_of(caller_kind_name((enum caller_kind)k))}};
            metrics_u64(r->out, name, l, ARRAY_LEN(l), value(&s->breakers[k], r->now_ms));
        }
    }
}

void gateway_upstreams_metrics(const struct gateway *g, struct buf *out)
{
    const struct renderer r = {g, set_of(g), loop_now_ms(g->loop), out};
    if (!r.set) return;
    render_outcomes(&r);
    each_instance(&r, "sallyport_upstream_open", METRIC_GAUGE, "Connections open to an instance now.", open_now);
    each_instance(&r, "sallyport_upstream_in_flight", METRIC_GAUGE, "Requests that an instance has now.",
                  in_flight_now);
    each_instance(&r, "sallyport_upstream_serves", METRIC_GAUGE,
                  "1 while an instance is sent requests; 0: found down, or ejected.", serves_now);
    each_instance(&r, "sallyport_upstream_ejections_total", METRIC_COUNTER,
                  "How often an instance was left out for failing.", ejections);
    each_instance(&r, "sallyport_upstream_failovers_total", METRIC_COUNTER,
                  "Attempts at an instance that were followed by another one.", retries);
    each_service(&r, "sallyport_upstream_panics_total", "Requests sent although no instance served.",
                 offsetof(struct service_state, panics));
    each_service(&r, "sallyport_upstream_retries_refused_total", "Retries beyond the budget: not made.",
                 offsetof(struct service_state, retries_over));
    each_service(&r, "sallyport_upstream_pool_refusals_total", "Requests that found no connection in time.",
                 offsetof(struct service_state, pool_refusals));
    each_breaker(&r, "sallyport_breaker_open", METRIC_GAUGE, "1 while a breaker is not closed.", not_closed);
    each_breaker(&r, "sallyport_breaker_opened_total", METRIC_COUNTER, "How often a breaker opened.", opened);
    each_breaker(&r, "sallyport_breaker_refused_total", METRIC_COUNTER, "Requests refused by an open breaker.",
                 refused);
    each_breaker(&r, "sallyport_breaker_crowded_total", METRIC_COUNTER,
                 "Requests refused because too many of that kind of caller were under way.", crowded);
}
