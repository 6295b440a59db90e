#include "roles/gateway_quota.h"

#include "base/log.h"
#include "base/metrics.h"
#include "store/record.h"

#include <stdio.h>
#include <stdlib.h>

#define LATE_MS    1000  /* an answer is missed */
#define QUICK_MS   1000  /* a block that was used up sooner was too small */
#define SLOW_MS    10000 /* one that lasted longer was too large */
#define TRIES      32
#define KEEP_S     (40 * 86400) /* an entry stays for so long behind its window */
#define BLOCK_PART 20
#define FIRST_PART 1000

/* One product's. Lives as long as `all`. */
struct lease {
    struct mail asked;
    struct gateway_quota *all;
    struct lease *next;
    struct quota *q;
    struct timer late;
    struct store_job job;
    bool busy, returning, returned;
    struct quota_span span; /* what the job is about */
    str key;
    struct record_key key_room;
    struct store_op op;
    char value[64];
    uint64_t used, booking, back; /* as read; this job's share of what it writes; what is given back */
    uint64_t block, granted_ms;
    uint64_t debt;           /* granted as credit in `debt_of`, not booked yet */
    int64_t debt_of, dry_of; /* begin of the window: of the debt; that is known to be exhausted */
    bool credited;
    unsigned tries;
};

struct gateway_quota {
    struct gateway_quota_options o;
    struct quotas *quotas;
    struct lease *leases;
    uint64_t n_leases, failures, credits;
    bool stopped;
};

static void begin(struct lease *l);

/* --- answers to the workers --- */

static uint64_t until_ms(const struct lease *l)
{
    return (uint64_t)l->span.until_s * 1000;
}

static void grant(struct lease *l, uint64_t n)
{
    quota_granted(l->q, until_ms(l), n);
    l->all->o.answered(l->all->o.ctx);
}

static void no_more(struct lease *l, enum quota_answer why)
{
    uint64_t again = loop_wall_ms(l->all->o.loop) + QUOTA_AGAIN_MS;
    if (why == QUOTA_EXHAUSTED) l->dry_of = l->span.from_s;
    quota_refused(l->q, why, until_ms(l), again);
    l->all->o.answered(l->all->o.ctx);
}

/* The store does not answer. */
static void without_store(struct lease *l)
{
    l->all->failures++;
    if (l->dry_of == l->span.from_s) {
        no_more(l, QUOTA_EXHAUSTED);
    } else if (!l->credited) {
        l->credited = true;
        l->all->credits++;
        if (l->debt_of != l->span.from_s) l->debt = 0; /* of a window that is over */
        l->debt_of = l->span.from_s;
        l->debt += l->block;
        log_event(LOG_LEVEL_WARN, log_msg("the store does not answer: a quota goes on for a block"),
                  log_str("product", str_of(l->q->name)), log_u64("requests", l->block));
        grant(l, l->block);
    } else {
        no_more(l, QUOTA_UNKNOWN);
    }
}

/* --- blocks --- */

static uint64_t at_least_one(uint64_t n)
{
    return n ? n : 1;
}

static void size_block(struct lease *l, uint64_t total)
{
    uint64_t least = at_least_one(total / FIRST_PART), most = at_least_one(total / BLOCK_PART);
    uint64_t now = loop_now_ms(l->all->o.loop), lasted = now - l->granted_ms;
    if (l->granted_ms && lasted < QUICK_MS) l->block *= 2;
    if (l->granted_ms && lasted > SLOW_MS) l->block /= 2;
    if (l->block < least) l->block = least;
    if (l->block > most) l->block = most;
}

/* --- the store --- */

static void done(struct lease *l)
{
    l->busy = false;
    timer_clear(l->all->o.loop, &l->late);
    store_job_clear(&l->job);
}

static void failed(struct lease *l)
{
    done(l);
    if (l->returning || l->all->stopped)
        l->returned = true; /* lost: as if the process had been killed */
    else
        without_store(l);
}

static void on_written(struct store_job *job)
{
    struct lease *l = CONTAINER_OF(job, struct lease, job);
    enum err e = job->err;
    if (e == ERR_CONFLICT && ++l->tries < TRIES) {
        done(l);
        begin(l);
        return;
    }
    if (e != ERR_OK) {
        failed(l);
        return;
    }
    done(l);
    l->credited = false;
    l->debt = 0;
    l->granted_ms = loop_now_ms(l->all->o.loop);
    if (l->returning)
        l->returned = true;
    else if (l->booking)
        grant(l, l->booking);
    else
        no_more(l, QUOTA_EXHAUSTED);
}

static void submit(struct lease *l, void (*then)(struct store_job *))
{
    l->job.done = then;
    store_submit(l->all->o.store, &l->job);
}

static void write_used(struct lease *l, uint64_t version, uint64_t used)
{
    int n = snprintf(l->value, sizeof l->value, "{\"used\":%llu}", (unsigned long long)used);
    l->op = (struct store_op){.verb = STORE_PUT,
                              .condition = STORE_VERSION,
                              .version = version,
                              .key = l->key,
                              .value = str_make(l->value, (size_t)n),
                              .expires_s = l->span.until_s + KEEP_S};
    l->job = (struct store_job){.kind = STORE_BATCH, .space = STORE_AUDIT, .ops = &l->op, .n_ops = 1};
    submit(l, on_written);
}

static enum err read_used(const struct store_entry *e, uint64_t *used)
{
    *used = 0;
    if (!e->version) return ERR_OK;
    char room[1024];
    struct arena mem;
    struct record_reader r;
    arena_init(&mem, room, sizeof room, 4096);
    enum err err = record_open(&r, e->value, &mem);
    if (err == ERR_OK) *used = record_u64(&r, "used");
    if (err == ERR_OK) err = r.err;
    arena_reset(&mem);
    return err;
}

/* What to book: the debt, and as much as makes what is in hand a block, but only half of what is left: others share
 * it. */
static void judge(struct lease *l, uint64_t version, uint64_t used)
{
    uint64_t total = atomic_load(&l->q->requests), debt = l->debt_of == l->span.from_s ? l->debt : 0;
    uint64_t left = total > used ? total - used : 0;
    if (debt > left) debt = left;
    left -= debt;
    size_block(l, total);
    uint64_t held = quota_left(l->q, until_ms(l)), most = l->block > held ? l->block - held : 1;
    l->booking = left ? at_least_one(left / 2) : 0;
    if (l->booking > most) l->booking = most;
    if (l->booking || debt) {
        write_used(l, version, used + debt + l->booking);
        return;
    }
    done(l);
    l->credited = false;
    l->debt = 0;
    no_more(l, QUOTA_EXHAUSTED);
}

static void on_read(struct store_job *job)
{
    struct lease *l = CONTAINER_OF(job, struct lease, job);
    uint64_t used = 0;
    if (job->err != ERR_OK || read_used(&job->entries[0], &used) != ERR_OK) {
        if (job->err == ERR_OK)
            log_event(LOG_LEVEL_ERROR, log_msg("the booking of a quota cannot be read"), log_str("key", l->key));
        failed(l);
        return;
    }
    uint64_t version = job->entries[0].version;
    store_job_clear(job);
    if (!l->returning) {
        judge(l, version, used);
        return;
    }
    uint64_t debt = l->debt_of == l->span.from_s ? l->debt : 0;
    used += debt;
    write_used(l, version, used > l->back ? used - l->back : 0);
}

static void begin(struct lease *l)
{
    if (l->busy || l->all->stopped) return;
    enum quota_window w = (enum quota_window)atomic_load(&l->q->window);
    struct quota_span now = quota_span_of(w, (int64_t)(loop_wall_ms(l->all->o.loop) / 1000));
    /* a clock that is set back stays in the window it is in: nothing is granted twice */
    if (!l->returning && (now.from_s >= l->span.from_s || l->span.until_s - l->span.from_s != now.until_s - now.from_s))
        l->span = now;
    if (!l->all->o.store) {
        bool had = quota_until_ms(l->q) == until_ms(l);
        if (had)
            no_more(l, QUOTA_EXHAUSTED);
        else
            grant(l, atomic_load(&l->q->requests));
        return;
    }
    char from[24];
    int n = snprintf(from, sizeof from, "%lld", (long long)l->span.from_s);
    l->key_room.n = 0;
    l->key = record_key_join(&l->key_room,
                             (const str[]){STR("quota"), str_of(l->q->name), str_of(quota_window_name(w)),
                                           str_make(from, (size_t)n)},
                             4);
    l->busy = true;
    if (!timer_is_set(&l->late)) timer_set(l->all->o.loop, &l->late, loop_now_ms(l->all->o.loop) + LATE_MS);
    if (!l->block) size_block(l, atomic_load(&l->q->requests));
    l->job = (struct store_job){.kind = STORE_GET, .space = STORE_AUDIT, .keys = &l->key, .n_keys = 1};
    submit(l, on_read);
}

/* Nobody waits longer than that; the job goes on. */
static void on_late(struct timer *t)
{
    struct lease *l = CONTAINER_OF(t, struct lease, late);
    if (l->busy && !l->returning) without_store(l);
}

/* --- asked --- */

static void on_asked(struct mail *m, void *owner)
{
    struct lease *l = CONTAINER_OF(m, struct lease, asked);
    (void)owner;
    if (l->busy) {
        if (!timer_is_set(&l->late)) without_store(l); /* it was late already, and still is */
        return;
    }
    l->tries = 0;
    begin(l);
}

/* Any thread. */
static void wanted(void *ctx, struct quota *q)
{
    struct gateway_quota *g = ctx;
    struct lease *l = q->owner;
    mail_post(g->o.loop, &l->asked);
}

/* --- life --- */

enum err gateway_quota_new(const struct gateway_quota_options *o, struct gateway_quota **out)
{
    struct gateway_quota *g = calloc(1, sizeof *g);
    if (!g) return ERR_NO_MEMORY;
    g->o = *o;
    enum err e = quotas_new(wanted, g, &g->quotas);
    if (e != ERR_OK)
        free(g);
    else
        *out = g;
    return e;
}

struct quotas *gateway_quota_all(struct gateway_quota *g)
{
    return g->quotas;
}

static enum err follow_one(struct gateway_quota *g, const struct snapshot_product *p)
{
    struct quota *q;
    enum err e = quotas_put(g->quotas, p->name, p->mark, p->quota.requests, p->quota.window, &q);
    if (e != ERR_OK || q->owner) return e;
    struct lease *l = calloc(1, sizeof *l);
    if (!l) return ERR_NO_MEMORY;
    *l = (struct lease){.asked = {.on_mail = on_asked},
                        .all = g,
                        .next = g->leases,
                        .q = q,
                        .late = {.on_time = on_late}};
    l->debt_of = l->dry_of = -1;
    g->leases = l;
    g->n_leases++;
    q->owner = l; /* before any worker is told of it */
    atomic_store(&q->asking, true);
    begin(l); /* the first request is not to wait */
    return ERR_OK;
}

enum err gateway_quota_follow(struct gateway_quota *g, const struct snapshot *snap)
{
    for (struct lease *l = g->leases; l; l = l->next) {
        const struct snapshot_product *p = snapshot_product(snap, str_of(l->q->name));
        if (!p || !p->quota.requests) atomic_store(&l->q->requests, 0);
    }
    for (uint32_t i = 0; i < snap->n_products; i++) {
        enum err e = snap->products[i].quota.requests ? follow_one(g, &snap->products[i]) : ERR_OK;
        if (e != ERR_OK) return e;
    }
    return ERR_OK;
}

bool gateway_quota_gone(struct gateway_quota *g)
{
    bool all = true;
    for (struct lease *l = g->leases; l && g->o.store; l = l->next) {
        if (!l->returning && !l->busy) {
            l->returning = true;
            l->back = quota_until_ms(l->q) == until_ms(l) ? quota_withdraw(l->q) : 0;
            l->returned = l->back == 0 && (l->debt == 0 || l->debt_of != l->span.from_s);
            if (!l->returned) begin(l);
        }
        all = all && l->returned;
    }
    return all;
}

static bool is_asked(struct mail *m, void *whose)
{
    struct gateway_quota *g = whose;
    for (struct lease *l = g->leases; l; l = l->next)
        if (m == &l->asked) return true;
    return false;
}

void gateway_quota_store(struct gateway_quota *g, struct store *store)
{
    g->o.store = store;
}

void gateway_quota_stop(struct gateway_quota *g)
{
    g->stopped = true;
    for (struct lease *l = g->leases; l; l = l->next) timer_clear(g->o.loop, &l->late);
    (void)mail_take_back(g->o.loop, is_asked, g);
}

void gateway_quota_free(struct gateway_quota **out)
{
    struct gateway_quota *g = *out;
    *out = NULL;
    if (!g) return;
    while (g->leases) {
        struct lease *l = g->leases;
        g->leases = l->next;
        store_job_clear(&l->job);
        free(l);
    }
    quotas_free(&g->quotas);
    free(g);
}

void gateway_quota_metrics(const struct gateway_quota *g, struct buf *out)
{
    if (!g->n_leases) return;
    metrics_family(out, "sallyport_quota_left", METRIC_GAUGE, "Requests left of the lease that this process holds.");
    for (const struct lease *l = g->leases; l; l = l->next) {
        struct metric_label label = {"product", str_of(l->q->name)};
        int64_t left = atomic_load(&l->q->left);
        metrics_u64(out, "sallyport_quota_left", &label, 1, left > 0 ? (uint64_t)left : 0);
    }
    metrics_family(out, "sallyport_quota_store_failures_total", METRIC_COUNTER,
                   "Leases of quotas that the store did not answer for in time.");
    metrics_u64(out, "sallyport_quota_store_failures_total", NULL, 0, g->failures);
    metrics_family(out, "sallyport_quota_credits_total", METRIC_COUNTER,
                   "Blocks let through while the store did not answer, to be booked later.");
    metrics_u64(out, "sallyport_quota_credits_total", NULL, 0, g->credits);
}
