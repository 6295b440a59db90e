#include "roles/refusals.h"

#include "audit/audit.h"
#include "base/metrics.h"
#include "serve/control.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_MS = 20, BATCH = 32, ROUNDS = DECISION_DENIALS / BATCH };

struct refusals {
    struct loop *loop;
    struct audit *audit;
    size_t (*rings)(void *ctx, const struct decision_ring **out);
    void *ctx;
    struct timer timer;
    struct decision_cursor cursors[CONTROL_RINGS_MAX]; /* {0}: from the ring's beginning */
};

static void record(struct refusals *r, const struct decision_record *d)
{
    char who[256], object[256];
    str subject = decision_record_text(d, DECISION_SUBJECT), issuer = decision_record_text(d, DECISION_ISSUER);
    str method = decision_record_text(d, DECISION_METHOD), path = decision_record_text(d, DECISION_PATH);
    int n = subject.n ? snprintf(who, sizeof who, "user %.*s (%.*s)", STR_ARG(subject), STR_ARG(issuer)) : 0;
    int m = snprintf(object, sizeof object, "%.*s %.*s", STR_ARG(method), STR_ARG(path));
    size_t who_n = (size_t)n < sizeof who ? (size_t)n : sizeof who - 1;
    size_t object_n = (size_t)m < sizeof object ? (size_t)m : sizeof object - 1;
    audit_event(r->audit, &(struct audit_record){.event = AUDIT_REFUSED,
                                                 .outcome = AUDIT_NO,
                                                 .who = str_make(who, who_n),
                                                 .from = decision_record_text(d, DECISION_REMOTE),
                                                 .product = decision_record_text(d, DECISION_PRODUCT),
                                                 .action = decision_record_text(d, DECISION_ACTION),
                                                 .reason = str_of(reason_code((enum reason)d->reason)),
                                                 .object = str_make(object, object_n),
                                                 .decision_id = str_make(d->id, sizeof d->id),
                                                 .detail = decision_record_text(d, DECISION_FAULT)});
}

/* More came than the ring holds: they are counted, each has its line in the access log. */
static void record_missed(struct refusals *r, uint64_t n)
{
    audit_event(r->audit, &(struct audit_record){.event = AUDIT_REFUSED,
                                                 .outcome = AUDIT_NO,
                                                 .reason = STR("various"),
                                                 .detail = STR("more than could be looked at; the access log has them"),
                                                 .count = n});
}

static void look(struct refusals *r)
{
    const struct decision_ring *rings[CONTROL_RINGS_MAX];
    struct decision_record batch[BATCH];
    uint64_t missed = 0;
    size_t n_rings = r->rings(r->ctx, rings);
    for (size_t i = 0; i < n_rings; i++) {
        size_t n = BATCH;
        for (size_t round = 0; n == BATCH && round < ROUNDS; round++) {
            n = decision_ring_read(rings[i], &r->cursors[i], true, batch, BATCH);
            for (size_t k = 0; k < n; k++)
                if (batch[k].effect == EFFECT_DENY) record(r, &batch[k]);
        }
        missed += r->cursors[i].missed;
        r->cursors[i].missed = 0;
    }
    if (missed) record_missed(r, missed);
}

static void on_time(struct timer *t)
{
    struct refusals *r = CONTAINER_OF(t, struct refusals, timer);
    look(r);
    timer_set(r->loop, t, loop_now_ms(r->loop) + LOOK_MS);
}

enum err refusals_new(struct loop *loop, struct audit *audit,
                      size_t (*rings)(void *ctx, const struct decision_ring **out), void *ctx, struct refusals **out)
{
    struct refusals *r = calloc(1, sizeof *r);
    if (!r) return ERR_NO_MEMORY;
    r->loop = loop;
    r->audit = audit;
    r->rings = rings;
    r->ctx = ctx;
    r->timer.on_time = on_time;
    timer_set(loop, &r->timer, loop_now_ms(loop) + LOOK_MS);
    *out = r;
    return ERR_OK;
}

void refusals_free(struct refusals **out)
{
    struct refusals *r = *out;
    if (!r) return;
    *out = NULL;
    timer_clear(r->loop, &r->timer);
    look(r);
    free(r);
}

void audit_metrics(const struct audit *a, struct buf *out)
{
    struct audit_counts n;
    if (!a) return;
    audit_count(a, &n);
    const struct {
        const char *name, *help;
        enum metric_type type;
        uint64_t value;
    } all[] = {
        {"sallyport_audit_records_total", "Records written into the audit record.", METRIC_COUNTER, n.records},
        {"sallyport_audit_lost_total", "Records that could not be kept; their number is a record.", METRIC_COUNTER,
         n.lost},
        {"sallyport_audit_errors_total", "Writes of the audit record that failed.", METRIC_COUNTER, n.errors},
        {"sallyport_audit_ready", "1 while the audit record can be written.", METRIC_GAUGE, audit_ready(a)},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metrics_family(out, all[i].name, all[i].type, all[i].help);
        metrics_u64(out, all[i].name, NULL, 0, all[i].value);
    }
}
