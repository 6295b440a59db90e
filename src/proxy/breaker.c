/* The word: 8 bits state and good trials, 56 bits of a time. OPEN: until when. HALF OPEN: when the trial under way
 * began, 0: none is. A trial that is never ended (there is no such path) is forgotten after open_ms, so that a breaker
 * cannot stay half open for ever.
 *
 * The window is a ring of buckets, each a word of epoch, requests and errors: whoever counts first in a new epoch
 * starts the bucket over, by compare and swap, so no count gets lost and none of the old window is left. */
#include "proxy/breaker.h"

#define STATE_BITS 2
#define GOOD_BITS  6
#define TIME_SHIFT (STATE_BITS + GOOD_BITS)

#define COUNT_BITS 20
#define COUNT_MAX  ((1u << COUNT_BITS) - 1)

static uint64_t word_of(enum breaker_state s, uint32_t good, uint64_t time_ms)
{
    return (uint64_t)s | (uint64_t)good << STATE_BITS | time_ms << TIME_SHIFT;
}

static enum breaker_state state_of(uint64_t word)
{
    return (enum breaker_state)(word & ((1u << STATE_BITS) - 1));
}

static uint32_t good_of(uint64_t word)
{
    return (uint32_t)(word >> STATE_BITS) & ((1u << GOOD_BITS) - 1);
}

static uint64_t time_of(uint64_t word)
{
    return word >> TIME_SHIFT;
}

/* --- the window --- */

static uint32_t epoch_of(const struct snapshot_breaker *settings, uint64_t now_ms)
{
    uint32_t each = settings->window_ms / BREAKER_BUCKETS;
    return (uint32_t)(now_ms / (each ? each : 1)) & ((1u << 24) - 1);
}

static uint64_t bucket_word(uint32_t epoch, uint32_t requests, uint32_t errors)
{
    return (uint64_t)epoch << 2 * COUNT_BITS | (uint64_t)requests << COUNT_BITS | errors;
}

static void count(struct breaker *b, uint32_t epoch, bool bad)
{
    _Atomic uint64_t *at = &b->bucket[epoch % BREAKER_BUCKETS];
    uint64_t was = atomic_load_explicit(at, memory_order_relaxed), next;
    do {
        uint32_t requests = (uint32_t)(was >> COUNT_BITS) & COUNT_MAX, errors = (uint32_t)was & COUNT_MAX;
        if ((uint32_t)(was >> 2 * COUNT_BITS) != epoch) requests = errors = 0;
        if (requests == COUNT_MAX) return; /* enough to judge by */
        next = bucket_word(epoch, requests + 1, errors + bad);
    } while (!atomic_compare_exchange_weak_explicit(at, &was, next, memory_order_relaxed, memory_order_relaxed));
}

static void sum(const struct breaker *b, uint32_t epoch, uint32_t *requests, uint32_t *errors)
{
    *requests = *errors = 0;
    for (uint32_t i = 0; i < BREAKER_BUCKETS; i++) {
        uint64_t word = atomic_load_explicit(&b->bucket[i], memory_order_relaxed);
        uint32_t age = (epoch - (uint32_t)(word >> 2 * COUNT_BITS)) & ((1u << 24) - 1);
        if (age >= BREAKER_BUCKETS) continue;
        *requests += (uint32_t)(word >> COUNT_BITS) & COUNT_MAX;
        *errors += (uint32_t)word & COUNT_MAX;
    }
}

void breaker_window(const struct breaker *b, const struct snapshot_breaker *settings, uint64_t now_ms,
                    uint32_t *requests, uint32_t *errors)
{
    sum(b, epoch_of(settings, now_ms), requests, errors);
}

static void forget_window(struct breaker *b)
{
    for (uint32_t i = 0; i < BREAKER_BUCKETS; i++) atomic_store_explicit(&b->bucket[i], 0, memory_order_relaxed);
}

/* --- states --- */

static bool swap(struct breaker *b, uint64_t *was, uint64_t next)
{
    return atomic_compare_exchange_strong_explicit(&b->word, was, next, memory_order_acq_rel, memory_order_relaxed);
}

/* Whether this request is a trial of a breaker that is not closed. */
static bool take_trial(struct breaker *b, const struct snapshot_breaker *settings, uint64_t now_ms, uint64_t word,
                       enum breaker_change *change)
{
    uint64_t time_ms = time_of(word);
    if (state_of(word) == BREAKER_OPEN) {
        if (now_ms < time_ms || !swap(b, &word, word_of(BREAKER_HALF_OPEN, 0, now_ms))) return false;
        *change = BREAKER_HALVED;
        return true;
    }
    if (time_ms && now_ms < time_ms + settings->open_ms) return false;
    return swap(b, &word, word_of(BREAKER_HALF_OPEN, good_of(word), now_ms));
}

static bool crowded(struct breaker *b, uint32_t bound, struct breaker_hold *hold)
{
    if (!bound) return false;
    if (atomic_fetch_add_explicit(&b->in_flight, 1, memory_order_relaxed) < bound) {
        hold->counted = true;
        return false;
    }
    atomic_fetch_sub_explicit(&b->in_flight, 1, memory_order_relaxed);
    return true;
}

enum breaker_answer breaker_begin(struct breaker *b, const struct snapshot_breaker *settings, enum caller_kind kind,
                                  uint64_t now_ms, struct breaker_hold *hold, enum breaker_change *change)
{
    *change = BREAKER_SAME;
    *hold = (struct breaker_hold){0};
    if (!settings->on) return BREAKER_PASSED;
    /* first the bound: who is refused by it must not hold the trial */
    if (crowded(b, settings->concurrent[kind], hold)) {
        atomic_fetch_add_explicit(&b->crowded, 1, memory_order_relaxed);
        return BREAKER_CROWDED;
    }
    uint64_t word = atomic_load_explicit(&b->word, memory_order_acquire);
    if (UNLIKELY(state_of(word) != BREAKER_CLOSED)) {
        if (!take_trial(b, settings, now_ms, word, change)) {
            atomic_fetch_add_explicit(&b->refused, 1, memory_order_relaxed);
            breaker_end(b, hold);
            return BREAKER_REFUSED;
        }
        hold->trial = true;
    }
    hold->passed = true;
    return BREAKER_PASSED;
}

static enum breaker_change tell_trial(struct breaker *b, const struct snapshot_breaker *settings, uint64_t now_ms,
                                      bool good)
{
    uint64_t word = atomic_load_explicit(&b->word, memory_order_acquire);
    if (state_of(word) != BREAKER_HALF_OPEN) return BREAKER_SAME;
    uint32_t so_far = good_of(word) + 1;
    if (!good) {
        if (!swap(b, &word, word_of(BREAKER_OPEN, 0, now_ms + settings->open_ms))) return BREAKER_SAME;
        atomic_fetch_add_explicit(&b->opened, 1, memory_order_relaxed);
        return BREAKER_OPENED;
    }
    if (so_far < BREAKER_TRIALS) {
        (void)swap(b, &word, word_of(BREAKER_HALF_OPEN, so_far, 0));
        return BREAKER_SAME;
    }
    forget_window(b); /* before it closes: what made it open counts no more */
    return swap(b, &word, word_of(BREAKER_CLOSED, 0, 0)) ? BREAKER_CLOSED_AGAIN : BREAKER_SAME;
}

enum breaker_change breaker_tell(struct breaker *b, const struct snapshot_breaker *settings, uint64_t now_ms, bool good,
                                 struct breaker_hold *hold)
{
    if (!hold->passed) return BREAKER_SAME;
    bool trial = hold->trial;
    hold->passed = hold->trial = false;
    if (UNLIKELY(trial)) return tell_trial(b, settings, now_ms, good);
    if (!settings->on) return BREAKER_SAME;
    uint32_t epoch = epoch_of(settings, now_ms), requests, errors;
    count(b, epoch, !good);
    if (LIKELY(good)) return BREAKER_SAME;
    /* those that began before it opened change nothing any more */
    uint64_t word = atomic_load_explicit(&b->word, memory_order_acquire);
    if (state_of(word) != BREAKER_CLOSED) return BREAKER_SAME;
    sum(b, epoch, &requests, &errors);
    if (requests < settings->of || (uint64_t)errors * 100 < (uint64_t)requests * settings->errors) return BREAKER_SAME;
    if (!swap(b, &word, word_of(BREAKER_OPEN, 0, now_ms + settings->open_ms))) return BREAKER_SAME;
    atomic_fetch_add_explicit(&b->opened, 1, memory_order_relaxed);
    return BREAKER_OPENED;
}

void breaker_end(struct breaker *b, struct breaker_hold *hold)
{
    if (hold->counted) atomic_fetch_sub_explicit(&b->in_flight, 1, memory_order_relaxed);
    if (UNLIKELY(hold->trial)) {
        uint64_t word = atomic_load_explicit(&b->word, memory_order_acquire);
        if (state_of(word) == BREAKER_HALF_OPEN) (void)swap(b, &word, word_of(BREAKER_HALF_OPEN, good_of(word), 0));
    }
    *hold = (struct breaker_hold){0};
}

enum breaker_state breaker_state(const struct breaker *b, uint64_t now_ms)
{
    uint64_t word = atomic_load_explicit(&b->word, memory_order_acquire);
    enum breaker_state s = state_of(word);
    return s == BREAKER_OPEN && now_ms >= time_of(word) ? BREAKER_HALF_OPEN : s;
}

const char *breaker_state_name(enum breaker_state s)
{
    switch (s) {
    case BREAKER_CLOSED: return "closed";
    case BREAKER_OPEN: return "open";
    case BREAKER_HALF_OPEN: return "half-open";
    }
    return "closed";
}
