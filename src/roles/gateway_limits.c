#include "roles/gateway_limits.h"

#include "proxy/limiter.h"
#include "proxy/meter.h"
#include "roles/gateway_private.h"
#include "roles/gateway_quota.h"
#include "roles/gateway_usage.h"
#include "store/remote.h"

#include <stdio.h>
#include <stdlib.h>

#define GONE_MS 1000 /* longest that the end of a drain waits for the store */

struct gateway_limits {
    struct limiter *limiter;
    struct gateway_quota *quota;
    struct gateway_usage *usage; /* NULL: there is no store to keep it */
    struct store *own;           /* since the one of the feed is gone */
    uint64_t gone_by_ms;
};

static void answered(void *ctx)
{
    struct gateway *g = ctx;
    for (uint32_t w = 0; w < g->n_workers; w++)
        if (atomic_load(&g->workers[w]->waits_for_quota) && worker_quota_answer(g->workers[w]) != ERR_OK)
            return; /* no memory: who waits has a deadline */
}

static enum err make(struct gateway *g)
{
    struct gateway_limits *l = calloc(1, sizeof *l);
    if (!l) return ERR_NO_MEMORY;
    g->limits = l;
    struct store *store = g->fed_by ? gateway_feed_store(g->fed_by) : NULL;
    struct gateway_quota_options o = {.loop = g->loop, .store = store, .answered = answered, .ctx = g};
    enum err e = limiter_new(LIMITER_SLOTS, &l->limiter);
    if (e == ERR_OK) e = gateway_quota_new(&o, &l->quota);
    if (e == ERR_OK && store) e = gateway_usage_new(g->loop, store, &l->usage);
    for (uint32_t w = 0; w < g->n_workers && e == ERR_OK; w++) { /* none has been started yet */
        g->workers[w]->limiter = l->limiter;
        g->workers[w]->quotas = gateway_quota_all(l->quota);
        if (l->usage) e = gateway_usage_meter(l->usage, g->workers[w]->meter);
    }
    return e;
}

enum err gateway_limits_follow(struct gateway *g)
{
    enum err e = g->limits ? ERR_OK : make(g);
    return e == ERR_OK ? gateway_quota_follow(g->limits->quota, g->snap) : e;
}

bool gateway_limits_gone(struct gateway *g)
{
    struct gateway_limits *l = g->limits;
    uint64_t now = loop_now_ms(g->loop);
    if (!l) return true;
    if (!l->gone_by_ms) l->gone_by_ms = now + GONE_MS;
    bool quota = gateway_quota_gone(l->quota), usage = !l->usage || gateway_usage_gone(l->usage);
    return (quota && usage) || now >= l->gone_by_ms;
}

void gateway_limits_leave(struct gateway *g)
{
    struct gateway_limits *l = g->limits;
    char address[160];
    str elsewhere = g->snap->store_socket;
    int n = elsewhere.n ? snprintf(address, sizeof address, "unix:%.*s", STR_ARG(elsewhere))
                        : snprintf(address, sizeof address, "unix:%.*s/data.sock", STR_ARG(g->snap->data));
    if (!l || !l->usage || l->own || n < 0 || (size_t)n >= sizeof address) return;
    if (store_remote_new(g->loop, str_make(address, (size_t)n), STR("gateway"), &l->own) != ERR_OK) {
        gateway_limits_stop(g); /* as if we had been killed: a block is lost, and ten seconds of usage */
        return;
    }
    gateway_quota_store(l->quota, l->own);
    gateway_usage_store(l->usage, l->own);
}

void gateway_limits_stop(struct gateway *g)
{
    if (!g->limits) return;
    if (g->limits->quota) gateway_quota_stop(g->limits->quota);
    if (g->limits->usage) gateway_usage_stop(g->limits->usage);
    store_free(&g->limits->own);
}

void gateway_limits_free(struct gateway *g)
{
    struct gateway_limits *l = g->limits;
    g->limits = NULL;
    if (!l) return;
    gateway_usage_free(&l->usage);
    gateway_quota_free(&l->quota);
    limiter_free(&l->limiter);
    free(l);
}

void gateway_limits_metrics(const struct gateway *g, struct buf *out)
{
    const struct meter *all[CONTROL_RINGS_MAX];
    size_t n = 0;
    for (; n < g->n_workers && n < CONTROL_RINGS_MAX; n++) all[n] = g->workers[n]->meter;
    meter_render(all, n, out);
    metrics_family(out, "sallyport_limiter_crowded_total", METRIC_COUNTER,
                   "Requests counted with their neighbours because the table of limits had no room.");
    metrics_u64(out, "sallyport_limiter_crowded_total", NULL, 0, g->limits ? limiter_crowded(g->limits->limiter) : 0);
    if (g->limits) gateway_quota_metrics(g->limits->quota, out);
}
