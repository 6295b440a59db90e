/* TLS of the gateway as the control thread sees it: contexts of a configuration, the tickets' keys, and the dates that
 * somebody has to be told of before they pass. */
#include "base/clock.h"
#include "base/metrics.h"
#include "roles/gateway_private.h"

#include <stdlib.h>

#define LOOK_MS  60000
#define DAY_S    86400
#define TOLD_MAX 64 /* certificates whose dates are told of; nobody has more */

/* What was told already, so that it is told once: a date belongs to one certificate of one configuration. */
struct told {
    int64_t not_after_s, ocsp_until_s;
    uint8_t stage; /* 0: more than 14 days are left; 1: less; 2: less than 3; 3: none */
    bool ocsp;
};

struct gateway_tls {
    struct gateway *gateway;
    struct tls_tickets *tickets;
    struct tls_set *set;
    struct timer timer;
    struct told told[TOLD_MAX];
};

static void look_at_certificate(struct told *t, const struct tls_certificate_facts *f, int64_t now_s)
{
    static const char *const messages[] = {"", "a certificate expires in less than 14 days",
                                           "a certificate expires in less than 3 days", "a certificate has expired"};
    if (t->not_after_s != f->not_after_s) *t = (struct told){.not_after_s = f->not_after_s};
    int64_t left = f->not_after_s - now_s;
    uint8_t stage = left < 0 ? 3 : left < 3 * DAY_S ? 2 : left < 14 * DAY_S ? 1 : 0;
    if (stage > t->stage)
        log_event(stage == 1 ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, log_msg(messages[stage]),
                  log_str("certificate", f->label), log_str("name", f->name),
                  log_u64("not_after_s", (uint64_t)(f->not_after_s < 0 ? 0 : f->not_after_s)));
    t->stage = stage;
    if (t->ocsp_until_s != f->ocsp_until_s) t->ocsp = false;
    t->ocsp_until_s = f->ocsp_until_s;
    if (!f->ocsp || !f->ocsp_until_s || now_s < f->ocsp_until_s || t->ocsp) return;
    t->ocsp = true;
    log_event(LOG_LEVEL_WARN, log_msg("an OCSP answer is past its time: it is no longer stapled"),
              log_str("certificate", f->label), log_u64("next_update_s", (uint64_t)f->ocsp_until_s));
}

static void look(struct gateway_tls *t)
{
    uint64_t now_s = clock_wall_ms() / 1000;
    const struct tls_server *s = t->set ? t->set->server : NULL;
    if (t->gateway->snap) tls_tickets_turn(t->tickets, t->gateway->snap->tls.tickets_s, now_s);
    for (size_t i = 0; s && i < tls_server_certificates(s) && i < TOLD_MAX; i++) {
        struct tls_certificate_facts f = tls_server_certificate_facts(s, i);
        look_at_certificate(&t->told[i], &f, (int64_t)now_s);
    }
    timer_set(t->gateway->loop, &t->timer, loop_now_ms(t->gateway->loop) + LOOK_MS);
}

static void on_time(struct timer *timer)
{
    look(CONTAINER_OF(timer, struct gateway_tls, timer));
}

enum err gateway_tls_new(struct gateway *g, struct gateway_tls **out)
{
    struct gateway_tls *t = calloc(1, sizeof *t);
    if (!t) return ERR_NO_MEMORY;
    t->gateway = g;
    t->timer.on_time = on_time;
    enum err e = tls_tickets_new(&t->tickets);
    if (e != ERR_OK) {
        free(t);
        return e;
    }
    *out = t;
    return ERR_OK;
}

void gateway_tls_free(struct gateway_tls **out)
{
    struct gateway_tls *t = *out;
    *out = NULL;
    if (!t) return;
    if (t->gateway->loop) timer_clear(t->gateway->loop, &t->timer);
    tls_set_unref(&t->set);
    tls_tickets_unref(&t->tickets);
    free(t);
}

enum err gateway_tls_make(struct gateway_tls *t, const struct snapshot *snap, struct diags *d, struct tls_set **out)
{
    char why[256];
    enum err e = tls_set_new(snap, t->set, t->tickets, out, why);
    if (e != ERR_OK)
        diag_add(d, DIAG_ERROR, "tls", (struct config_pos){0}, 0, STR("look at the files that `tls` names"), "TLS: %s",
                 why);
    return e;
}

void gateway_tls_take(struct gateway_tls *t, struct tls_set **set)
{
    tls_set_unref(&t->set);
    t->set = *set;
    *set = NULL;
    look(t);
}

struct tls_set *gateway_tls_set(const struct gateway_tls *t)
{
    return t->set;
}

/* --- metrics --- */

static void handshake(struct buf *out, const struct gateway *g, str version, str resumed, str result, size_t offset)
{
    struct metric_label l[] = {{"version", version}, {"resumed", resumed}, {"result", result}};
    uint64_t sum = 0;
    for (uint32_t w = 0; w < g->n_workers; w++)
        sum += counter_get((const struct counter *)(const void *)((const char *)&g->workers[w]->numbers + offset));
    metrics_u64(out, "sallyport_tls_handshakes_total", l, ARRAY_LEN(l), sum);
}

static void render_handshakes(const struct gateway *g, struct buf *out)
{
    static const str versions[] = {STR_INIT("1.2"), STR_INIT("1.3")}, resumed[] = {STR_INIT("no"), STR_INIT("yes")};
    static const str ends[TLS_ENDS] = {[TLS_END_CERTIFICATE] = STR_INIT("certificate"),
                                       [TLS_END_FAILED] = STR_INIT("failed"),
                                       [TLS_END_CLOSED] = STR_INIT("closed"),
                                       [TLS_END_LATE] = STR_INIT("late"),
                                       [TLS_END_CROWDED] = STR_INIT("crowded")};
    metrics_family(out, "sallyport_tls_handshakes_total", METRIC_COUNTER,
                   "Handshakes of TLS with clients, by version, by whether a session was resumed, by how they ended.");
    for (size_t v = 0; v < 2; v++)
        for (size_t r = 0; r < 2; r++)
            handshake(out, g, versions[v], resumed[r], STR("ok"), offsetof(struct worker_numbers, shaken[v][r]));
    for (size_t i = 0; i < TLS_ENDS; i++)
        handshake(out, g, STR(""), STR(""), ends[i], offsetof(struct worker_numbers, shake_failed[i]));
}

void gateway_tls_metrics(const struct gateway_tls *t, struct buf *out)
{
    const struct tls_server *s = t->set ? t->set->server : NULL;
    if (!s) return;
    render_handshakes(t->gateway, out);
    metrics_family(out, "sallyport_tls_certificate_not_after_seconds", METRIC_GAUGE,
                   "When a certificate of ours expires, Unix seconds.");
    for (size_t i = 0; i < tls_server_certificates(s); i++) {
        struct tls_certificate_facts f = tls_server_certificate_facts(s, i);
        struct metric_label l[] = {{"certificate", f.label}, {"name", f.name}};
        metrics_i64(out, "sallyport_tls_certificate_not_after_seconds", l, ARRAY_LEN(l), f.not_after_s);
    }
}
