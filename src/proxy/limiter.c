#include "proxy/limiter.h"

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
    return (struct limiter_rate){interval, (many < most ? many : most) * interval, 1.0 / (double)interval};
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

/* The word that counts him in that tier. Neighbours share the horizon and step in smaller intervals. */
static void in_tier(const struct limiter *l, struct limiter_charge *c, uint8_t tier)
{
    static const uint64_t parts[TIERS] = {1, LIMITER_NEIGHBOURS, LIMITER_EVERYBODY};
    const uint64_t who[TIERS] = {c->subject, c->among, 0};
    uint64_t interval = c->rate.interval_ns / parts[tier];
    c->found = (struct limiter_found){.in = l->shared,
                                      .key = words_key(c->id, who[tier], tier),
                                      .interval_ns = interval ? interval : 1,
                                      .tier = tier};
}

static inline void find(const struct limiter *l, struct limiter_charge *c)
{
    struct limiter_found *f = &c->found;
    f->in = l->own;
    f->key = words_key(c->id, c->subject, TIER_OWN);
    f->interval_ns = c->rate.interval_ns;
    f->tier = TIER_OWN;
    if (words_find(f->in, f->key, &f->word) != ERR_OK) f->word = (struct word){NULL, 0};
}

/* The word behind one more request, and what there is to tell; 0: that would be too far ahead. */
static inline uint64_t step(struct limiter_charge *c, uint64_t now_ns)
{
    uint64_t word = c->found.word.seen, ahead = word > now_ns ? word - now_ns : 0, next = ahead + c->found.interval_ns;
    if (UNLIKELY(next > c->rate.horizon_ns)) {
        c->room_ns = 0;
        c->whole_ns = ahead;
        c->retry_ns = next - c->rate.horizon_ns;
        return 0;
    }
    c->room_ns = c->rate.horizon_ns - next;
    c->whole_ns = next;
    c->retry_ns = 0;
    return now_ns + next;
}

/* Takes one by the word that was found, or as it is by now. ERR_OK; ERR_DENIED; ERR_LIMIT: no room in this tier. */
static enum err take(struct limiter_charge *c, uint64_t now_ns)
{
    struct limiter_found *f = &c->found;
    for (int tries = 0; tries < TRIES; tries++) {
        uint64_t next = step(c, now_ns);
        if (UNLIKELY(!next)) return ERR_DENIED;
        if (LIKELY(f->word.slot != NULL)) {
            if (LIKELY(words_change(&f->word, next))) return ERR_OK;
        } else {
            enum err e = words_enter(f->in, f->key, now_ns, next, &f->word);
            if (e == ERR_CONFLICT) continue;
            return e;
        }
        if (words_find(f->in, f->key, &f->word) != ERR_OK) f->word = (struct word){NULL, 0};
    }
    return ERR_DENIED; /* so many are quicker that whoever waits would have been refused */
}

static enum err take_somewhere(struct limiter *l, struct limiter_charge *c, uint64_t now_ns)
{
    enum err e = take(c, now_ns);
    while (UNLIKELY(e == ERR_LIMIT) && c->found.tier + 1 < TIERS) {
        in_tier(l, c, (uint8_t)(c->found.tier + 1));
        atomic_fetch_add_explicit(&l->crowded, 1, memory_order_relaxed);
        if (words_find(c->found.in, c->found.key, &c->found.word) != ERR_OK) c->found.word = (struct word){NULL, 0};
        e = take(c, now_ns);
    }
    if (e == ERR_LIMIT) c->retry_ns = c->whole_ns = UINT64_C(1000000000); /* not even a word for everybody */
    return e;
}

static void give(const struct limiter_charge *c, uint64_t now_ns)
{
    struct word word;
    for (int tries = 0; tries < TRIES; tries++) {
        if (words_find(c->found.in, c->found.key, &word) != ERR_OK) return;
        if (word.seen <= now_ns || word.seen <= c->found.interval_ns) return; /* whole again, or nearly */
        if (words_change(&word, word.seen - c->found.interval_ns)) return;
    }
}

/* --- all of a request --- */

void limiter_give(struct limiter *l, const struct limiter_charge *c, size_t n, uint64_t now_ns)
{
    (void)l;
    for (size_t i = 0; i < n; i++) give(&c[i], now_ns);
}

/* A word of his own is his as long as it stands; a new one is made only when it is taken, so looking costs nobody any
 * room. */
static enum err look_at_all(struct limiter_charge *c, size_t n, uint64_t now_ns, size_t *which)
{
    bool refused = false;
    uint64_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        if (LIKELY(step(&c[i], now_ns))) continue;
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
    for (size_t i = 0; i < n; i++) find(l, &c[i]);
    enum err e = n > 1 ? look_at_all(c, n, now_ns, which) : ERR_OK; /* a single one is looked at as it is taken */
    if (e != ERR_OK) return e;
    for (size_t i = 0; i < n; i++) {
        e = take_somewhere(l, &c[i], now_ns);
        if (LIKELY(e == ERR_OK)) continue;
        limiter_give(l, c, i, now_ns);
        *which = i;
        return ERR_DENIED;
    }
    return ERR_OK;
}

uint64_t limiter_left(const struct limiter_charge *c)
{
    return c->room_ns / (c->found.interval_ns ? c->found.interval_ns : 1);
}

size_t limiter_tightest(const struct limiter_charge *c, size_t n)
{
    size_t least = 0;
    for (size_t i = 1; i < n; i++)
        if ((double)c[i].room_ns * c[i].rate.per_ns < (double)c[least].room_ns * c[least].rate.per_ns) least = i;
    return least;
}

uint64_t limiter_crowded(const struct limiter *l)
{
    return atomic_load_explicit(&l->crowded, memory_order_relaxed);
}

size_t limiter_words(const struct limiter *l, uint64_t now_ns)
{
    return words_counting(l->own, now_ns) + words_counting(l->shared, now_ns);
}
