#include "proxy/limiter.h"

#include "proxy/words.h"

#include <stdlib.h>

#define GRACE_NS    UINT64_C(100000000) /* longer than the turns of two workers may lie apart */
#define HORIZON_MAX (WORD_MAX / 4)
#define TRIES       64

enum { TIER_OWN = 0, TIER_AMONG, TIER_EVERYBODY, TIERS };

/* The words of neighbours have a table of their own: a flood of subjects cannot take their room. */
struct limiter {
    struct words *own, *shared;
    _Atomic uint64_t crowded;
};

struct limiter_rate limiter_rate_of(uint32_t count, uint64_t period_ns, uint32_t burst)
{
    uint64_t n = count ? count : 1, interval = period_ns / n + (period_ns % n != 0);
    if (interval == 0) interval = 1;
    if (interval > HORIZON_MAX) interval = HORIZON_MAX;
    uint64_t most = HORIZON_MAX / interval, many = burst ? burst : 1;
    return (struct limiter_rate){interval, (many < most ? many : most) * interval};
}

enum err limiter_new(uint32_t slots, struct limiter **out)
{
    struct limiter *l = calloc(1, sizeof *l);
    enum err e = l ? words_new(slots, GRACE_NS, &l->own) : ERR_NO_MEMORY;
    if (e == ERR_OK) e = words_new(slots / 16 < 64 ? 64 : slots / 16, GRACE_NS, &l->shared);
    if (e == ERR_OK)
        *out = l;
    else
        limiter_free(&l);
    return e;
}

void limiter_free(struct limiter **out)
{
    struct limiter *l = *out;
    *out = NULL;
    if (!l) return;
    words_free(&l->own);
    words_free(&l->shared);
    free(l);
}

/* --- one charge --- */

static struct words *words_of(const struct limiter *l, unsigned tier)
{
    return tier == TIER_OWN ? l->own : l->shared;
}

static uint64_t key_of(const struct limiter_charge *c, unsigned tier)
{
    if (tier == TIER_OWN) return words_key(c->id, c->subject, TIER_OWN);
    return words_key(c->id, tier == TIER_AMONG ? c->among : 0, tier);
}

/* Neighbours share the horizon and step in smaller intervals. */
static uint64_t interval_of(const struct limiter_charge *c)
{
    static const uint64_t parts[TIERS] = {1, LIMITER_NEIGHBOURS, LIMITER_EVERYBODY};
    if (LIKELY(c->private_tier == TIER_OWN)) return c->rate.interval_ns;
    uint64_t interval = c->rate.interval_ns / parts[c->private_tier];
    return interval ? interval : 1;
}

/* The word behind one more request, and what there is to tell; 0: that would be too far ahead. */
static uint64_t step(struct limiter_charge *c, uint64_t word, uint64_t now_ns)
{
    uint64_t interval = interval_of(c), ahead = word > now_ns ? word - now_ns : 0, next = ahead + interval;
    if (next > c->rate.horizon_ns) {
        c->left = 0;
        c->whole_ns = ahead;
        c->retry_ns = next - c->rate.horizon_ns;
        return 0;
    }
    c->left = (c->rate.horizon_ns - next) / interval;
    c->whole_ns = next;
    c->retry_ns = 0;
    return now_ns + next;
}

/* Which word counts this charge, and what it says. A word of his own is his as long as it stands; a new one is made
 * only when it is taken, so looking costs nobody any room. */
static bool look(struct limiter *l, struct limiter_charge *c, uint64_t now_ns)
{
    struct word word = {NULL, 0};
    if (words_find(words_of(l, c->private_tier), c->private_key, &word) != ERR_OK) word.seen = 0;
    return step(c, word.seen, now_ns) != 0;
}

static void to_neighbours(struct limiter *l, struct limiter_charge *c)
{
    c->private_tier++;
    c->private_key = key_of(c, c->private_tier);
    atomic_fetch_add_explicit(&l->crowded, 1, memory_order_relaxed);
}

/* ERR_OK; ERR_DENIED; ERR_LIMIT: no room in this tier. */
static enum err take(struct limiter *l, struct limiter_charge *c, uint64_t now_ns)
{
    struct words *w = words_of(l, c->private_tier);
    struct word word;
    for (int tries = 0; tries < TRIES; tries++) {
        enum err e = words_find(w, c->private_key, &word);
        uint64_t next = step(c, e == ERR_OK ? word.seen : 0, now_ns);
        if (!next) return ERR_DENIED;
        if (e == ERR_OK) {
            if (LIKELY(words_change(&word, next))) return ERR_OK;
            continue;
        }
        e = words_enter(w, c->private_key, now_ns, next, &word);
        if (e != ERR_CONFLICT) return e;
    }
    return ERR_DENIED; /* so many are quicker that whoever waits would have been refused */
}

static void give(struct limiter *l, const struct limiter_charge *c, uint64_t now_ns)
{
    struct word word;
    uint64_t interval = interval_of(c);
    for (int tries = 0; tries < TRIES; tries++) {
        if (words_find(words_of(l, c->private_tier), c->private_key, &word) != ERR_OK) return;
        if (word.seen <= now_ns || word.seen <= interval) return; /* whole again, or nearly */
        if (words_change(&word, word.seen - interval)) return;
    }
}

/* --- all of a request --- */

void limiter_give(struct limiter *l, const struct limiter_charge *c, size_t n, uint64_t now_ns)
{
    for (size_t i = 0; i < n; i++) give(l, &c[i], now_ns);
}

static enum err look_at_all(struct limiter *l, struct limiter_charge *c, size_t n, uint64_t now_ns, size_t *which)
{
    bool refused = false;
    uint64_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        c[i].private_tier = TIER_OWN;
        c[i].private_key = key_of(&c[i], TIER_OWN);
        if (n == 1) return ERR_OK; /* a single one is looked at as it is taken */
        if (look(l, &c[i], now_ns)) continue;
        if (!refused || c[i].retry_ns > longest) {
            longest = c[i].retry_ns;
            *which = i;
        }
        refused = true;
    }
    return refused ? ERR_DENIED : ERR_OK;
}

enum err limiter_take(struct limiter *l, struct limiter_charge *c, size_t n, uint64_t now_ns, size_t *which)
{
    enum err e = look_at_all(l, c, n, now_ns, which);
    if (e != ERR_OK) return e;
    for (size_t i = 0; i < n; i++) {
        while ((e = take(l, &c[i], now_ns)) == ERR_LIMIT && c[i].private_tier + 1 < TIERS) to_neighbours(l, &c[i]);
        if (LIKELY(e == ERR_OK)) continue;
        if (e == ERR_LIMIT) c[i].retry_ns = c[i].whole_ns = UINT64_C(1000000000); /* not even a word for everybody */
        limiter_give(l, c, i, now_ns);
        *which = i;
        return ERR_DENIED;
    }
    return ERR_OK;
}

uint64_t limiter_crowded(const struct limiter *l)
{
    return atomic_load_explicit(&l->crowded, memory_order_relaxed);
}

size_t limiter_words(const struct limiter *l, uint64_t now_ns)
{
    return words_counting(l->own, now_ns) + words_counting(l->shared, now_ns);
}
