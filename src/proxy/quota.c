#include "proxy/quota.h"

#include <stdlib.h>

#define CHAINS 1024

struct quotas {
    quota_wanted *wanted;
    void *ctx;
    uint32_t n;
    struct quota *_Atomic chains[CHAINS];
};

enum err quotas_new(quota_wanted *wanted, void *ctx, struct quotas **out)
{
    struct quotas *q = calloc(1, sizeof *q);
    if (!q) return ERR_NO_MEMORY;
    q->wanted = wanted;
    q->ctx = ctx;
    *out = q;
    return ERR_OK;
}

void quotas_free(struct quotas **out)
{
    struct quotas *q = *out;
    *out = NULL;
    if (!q) return;
    for (size_t i = 0; i < CHAINS; i++) {
        struct quota *e = atomic_load(&q->chains[i]);
        while (e) {
            struct quota *next = atomic_load(&e->next);
            free(e);
            e = next;
        }
    }
    free(q);
}

/* --- the control thread --- */

static struct quota *entry_new(str product, uint64_t mark)
{
    struct quota *e = aligned_alloc(64, sizeof *e);
    if (!e) return NULL;
    memset(e, 0, sizeof *e);
    e->mark = mark;
    size_t n = product.n < QUOTA_NAME_MAX ? product.n : QUOTA_NAME_MAX;
    memcpy(e->name, product.p, n);
    return e;
}

enum err quotas_put(struct quotas *q, str product, uint64_t mark, uint64_t requests, enum quota_window window,
                    struct quota **out)
{
    struct quota *e = quotas_find(q, mark);
    bool fresh = !e;
    if (fresh && q->n >= QUOTAS_MAX) return ERR_LIMIT;
    if (fresh) e = entry_new(product, mark);
    if (!e) return ERR_NO_MEMORY;
    if (!fresh && (atomic_load(&e->requests) != requests || atomic_load(&e->window) != (unsigned)window)) {
        atomic_store(&e->left, 0); /* of another measure: asked for anew */
        atomic_store(&e->until_ms, 0);
        atomic_store(&e->dry_ms, 0);
    }
    atomic_store(&e->requests, requests);
    atomic_store(&e->window, (unsigned)window);
    if (fresh) {
        struct quota *_Atomic *chain = &q->chains[mark % CHAINS];
        atomic_store(&e->next, atomic_load(chain));
        atomic_store_explicit(chain, e, memory_order_release);
        q->n++;
    }
    *out = e;
    return ERR_OK;
}

struct quota *quotas_next(struct quotas *q, const struct quota *before)
{
    struct quota *e = before ? atomic_load(&before->next) : NULL;
    for (size_t i = before ? before->mark % CHAINS + 1 : 0; !e && i < CHAINS; i++) e = atomic_load(&q->chains[i]);
    return e;
}

void quota_granted(struct quota *q, uint64_t until_ms, uint64_t n)
{
    int64_t more = n < INT64_MAX / 2 ? (int64_t)n : INT64_MAX / 2;
    if (atomic_load(&q->until_ms) == until_ms) {
        more += atomic_fetch_add(&q->left, more);
    } else {
        atomic_store(&q->left, 0);
        atomic_store(&q->until_ms, until_ms);
        atomic_store(&q->left, more);
    }
    atomic_store(&q->low, more / 2);
    atomic_store(&q->dry_ms, 0);
    atomic_store(&q->asking, false);
}

void quota_refused(struct quota *q, enum quota_answer why, uint64_t until_ms, uint64_t again_ms)
{
    if (atomic_load(&q->until_ms) != until_ms) {
        atomic_store(&q->left, 0);
        atomic_store(&q->until_ms, until_ms);
    }
    atomic_store(&q->low, 0);
    atomic_store(&q->state, (unsigned)why);
    atomic_store(&q->dry_ms, again_ms);
    atomic_store(&q->asking, false);
}

uint64_t quota_left(const struct quota *q, uint64_t until_ms)
{
    int64_t left = atomic_load(&q->until_ms) == until_ms ? atomic_load(&q->left) : 0;
    return left > 0 ? (uint64_t)left : 0;
}

uint64_t quota_withdraw(struct quota *q)
{
    int64_t left = atomic_exchange(&q->left, 0);
    return left > 0 ? (uint64_t)left : 0;
}

/* --- any thread --- */

struct quota *quotas_find(const struct quotas *q, uint64_t mark)
{
    struct quota *e = atomic_load_explicit(&q->chains[mark % CHAINS], memory_order_acquire);
    while (e && e->mark != mark) e = atomic_load(&e->next);
    return e;
}

static void ask(struct quotas *all, struct quota *q)
{
    if (!atomic_load_explicit(&q->asking, memory_order_relaxed) && !atomic_exchange(&q->asking, true))
        all->wanted(all->ctx, q);
}

/* None is left: whether that is known, or has to be asked. */
static enum quota_answer none_left(struct quotas *all, struct quota *q, uint64_t now_ms)
{
    uint64_t dry = atomic_load(&q->dry_ms);
    if (!dry) {
        ask(all, q);
        return QUOTA_WAIT;
    }
    if (now_ms >= dry) ask(all, q); /* this one is not kept waiting for it */
    return (enum quota_answer)atomic_load(&q->state);
}

enum quota_answer quota_take(struct quotas *all, struct quota *q, uint64_t now_ms)
{
    if (atomic_load_explicit(&q->requests, memory_order_relaxed) == 0) return QUOTA_LET;
    if (UNLIKELY(now_ms >= atomic_load(&q->until_ms))) { /* the next window, or nothing was granted yet */
        uint64_t dry = atomic_load(&q->dry_ms);
        if (dry && now_ms < dry && atomic_load(&q->state) == QUOTA_UNKNOWN) return QUOTA_UNKNOWN;
        ask(all, q);
        return QUOTA_WAIT;
    }
    int64_t left = atomic_load_explicit(&q->left, memory_order_relaxed);
    do {
        if (left <= 0) return none_left(all, q, now_ms);
    } while (!atomic_compare_exchange_weak(&q->left, &left, left - 1));
    if (UNLIKELY(left - 1 <= atomic_load_explicit(&q->low, memory_order_relaxed))) {
        uint64_t dry = atomic_load(&q->dry_ms);
        if (!dry || now_ms >= dry) ask(all, q);
    }
    return QUOTA_LET;
}

void quota_give(struct quota *q)
{
    atomic_fetch_add(&q->left, 1);
}

uint64_t quota_until_ms(const struct quota *q)
{
    return atomic_load(&q->until_ms);
}

/* --- the calendar --- */

/* Days since 1970 of the first of a month (proleptic Gregorian; years as of March make leap days the last). */
static int64_t days_of(int64_t year, int64_t month)
{
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct quota_span quota_span_of(enum quota_window w, int64_t now_s)
{
    int64_t length = w == QUOTA_HOUR ? 3600 : 86400;
    int64_t from = now_s - ((now_s % length) + length) % length;
    if (w != QUOTA_MONTH) return (struct quota_span){from, from + length};
    int64_t day = from / 86400, year = 1970 + day / 366, month = 1;
    while (days_of(year + 1, 1) <= day) year++;
    while (month < 12 && days_of(year, month + 1) <= day) month++;
    int64_t until = month == 12 ? days_of(year + 1, 1) : days_of(year, month + 1);
    return (struct quota_span){days_of(year, month) * 86400, until * 86400};
}
