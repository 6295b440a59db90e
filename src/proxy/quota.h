/* Quotas of products: so many requests an hour, day or month of UTC, counted by all gateways together.
 *
 * A gateway does not ask the store for each request. It takes a *lease*, so many requests that are booked as used
 * before the first of them is let through, and lets its workers count that down; when half of it is used, it asks for
 * the next. So never more is let through than the quota, and what a killed process had not used of its lease is lost.
 * What to do when no lease can be had is its owner's (roles/gateway_quota.c), which grants all there is.
 *
 * An entry is one object for all workers of a process, found by the product's mark, and stays until the process ends:
 * there are as many as products that ever had a quota. Workers take and give; the control thread alone puts and grants.
 * Knows no store and no clock. */
#ifndef SALLYPORT_PROXY_QUOTA_H
#define SALLYPORT_PROXY_QUOTA_H

#include "config/edge.h"

#include <stdatomic.h>

#define QUOTAS_MAX     (1u << 16)
#define QUOTA_AGAIN_MS 1000 /* how long `exhausted` is believed: another gateway may have given some back */
#define QUOTA_NAME_MAX 64

struct quotas;

struct quota {
    struct quota *_Atomic next; /* private */
    uint64_t mark;
    char name[QUOTA_NAME_MAX + 1]; /* of the product */
    void *owner;                   /* the granter's; set before the entry can be found */
    _Atomic uint64_t requests;     /* as configured; 0: it has none any more */
    _Atomic unsigned window;       /* enum quota_window */
    _Alignas(64) _Atomic int64_t left;
    _Atomic int64_t low;       /* ask for more from here on down */
    _Atomic uint64_t until_ms; /* Unix: the end of the window that `left` is of; 0: nothing was granted yet */
    _Atomic uint64_t dry_ms;   /* Unix: until then there is no more to be had, `state` says why */
    _Atomic unsigned state;    /* enum quota_answer: QUOTA_EXHAUSTED, QUOTA_UNKNOWN */
    _Atomic bool asking;
};

enum quota_answer {
    QUOTA_EXHAUSTED = 0, /* until the window ends */
    QUOTA_UNKNOWN,       /* what is left cannot be learned now */
    QUOTA_WAIT,          /* more was asked for: quotas' wake comes */
    QUOTA_LET
};

/* On any thread, once until quota_granted or quota_refused: this one needs a lease. */
typedef void quota_wanted(void *ctx, struct quota *q);

/* ERR_NO_MEMORY. */
MUST_USE enum err quotas_new(quota_wanted *wanted, void *ctx, struct quotas **out);
/* No worker may be left. NULL is fine. */
void quotas_free(struct quotas **q);

/* --- the control thread --- */
/* The entry of that product, made if there is none (`owner` is what it gets then). ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err quotas_put(struct quotas *q, str product, uint64_t mark, uint64_t requests, enum quota_window window,
                             struct quota **out);
/* Every entry: NULL for the first. */
struct quota *quotas_next(struct quotas *q, const struct quota *before);
/* n more in the window that ends at until_ms (0: not one); what was left of an earlier window is gone. */
void quota_granted(struct quota *q, uint64_t until_ms, uint64_t n);
/* Nothing is to be had: exhausted in the window that ends then, or unknown. `again_ms`: Unix, when to ask again. */
void quota_refused(struct quota *q, enum quota_answer why, uint64_t until_ms, uint64_t again_ms);
/* What is left of the lease of the window that ends then. */
uint64_t quota_left(const struct quota *q, uint64_t until_ms);
/* Takes all that is left of the lease: it is to be given back to the store. */
uint64_t quota_withdraw(struct quota *q);

/* --- any thread --- */
/* NULL: it has none. */
struct quota *quotas_find(const struct quotas *q, uint64_t mark);
/* One request. QUOTA_LET: taken. */
enum quota_answer quota_take(struct quotas *all, struct quota *q, uint64_t now_ms);
/* The request was not sent on after all. */
void quota_give(struct quota *q);
/* Unix ms: when the window ends; 0: not known. */
uint64_t quota_until_ms(const struct quota *q);

/* The window of UTC that holds `now_s`. */
struct quota_span {
    int64_t from_s, until_s;
};
struct quota_span quota_span_of(enum quota_window w, int64_t now_s);

#endif
