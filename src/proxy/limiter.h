/* Rate limits, exact in one process: each is one word (GCRA, the virtual scheduling of ITU-T I.371) in a table that the
 * workers share.
 *
 * The word is the time at which the subject's allowance is whole again. A request moves it on by the interval of the
 * rate and is refused where that would lead further than the burst: so `burst` at once, and then `rate`. Found by the
 * limit's id and a number for the subject; the id stays while a limit stays what it was, so a reload forgets nothing.
 *
 * When the table is full. A word is given to another only once its time has passed, so nobody who floods the table
 * gets rid of his own words or of another's. A newcomer who finds no room is counted with his neighbours, all those of
 * his network or product who found none either, in words of their own that may use LIMITER_NEIGHBOURS times the rate;
 * if those are full too, with everybody who is left. So who brings thousands of addresses shares little with himself,
 * and who is known already, or comes from elsewhere, is not concerned.
 *
 * Knows no request and no clock: time is given, in nanoseconds of one clock. Any thread; nobody waits. */
#ifndef SALLYPORT_PROXY_LIMITER_H
#define SALLYPORT_PROXY_LIMITER_H

#include "proxy/words.h"

#define LIMITER_SLOTS      (1u << 20) /* of a gateway: 16 MB of addresses, used page by page */
#define LIMITER_NEIGHBOURS 16
#define LIMITER_EVERYBODY  256

struct limiter;

/* What a rate comes to. Interval: nanoseconds a request, rounded up, so that never more is let through than was
 * declared: rates of more than 1000000/s are kept to within a thousandth, and no rate exceeds 1000000000/s.
 * Horizon: as far ahead as the word may lead, burst × interval, at most 36 years. */
struct limiter_rate {
    uint64_t interval_ns, horizon_ns;
    double per_ns; /* 1 / interval_ns: tells which of several is the tightest without dividing */
};
/* count, burst: at least 1; period: at least 1 ns. */
struct limiter_rate limiter_rate_of(uint32_t count, uint64_t period_ns, uint32_t burst);

/* One limit that a request has to pass. */
struct limiter_charge {
    uint64_t id;      /* of the limit */
    uint64_t subject; /* who is counted: an address, the hash of a name */
    uint64_t among;   /* with whom he is counted when there is no room: a network, a product */
    struct limiter_rate rate;
    /* told */
    uint64_t room_ns;  /* of the horizon that is left: limiter_left */
    uint64_t whole_ns; /* until then from now, the allowance is whole again */
    uint64_t retry_ns; /* refused: from now on until one would be let through */
    struct limiter_found {
        struct words *in;
        struct word word; /* {NULL, 0}: there is none yet */
        uint64_t key;
        uint64_t interval_ns;
        uint8_t tier;
    } found; /* private */
};

/* slots: a power of two, 64 at least. ERR_NO_MEMORY. */
MUST_USE enum err limiter_new(uint32_t slots, struct limiter **out);
/* NULL is fine. */
void limiter_free(struct limiter **l);

/* All or none: every charge is looked at before any is taken, and what was taken when another thread was quicker is
 * given back. ERR_OK: all are taken. ERR_DENIED: *which (of several the one that lasts longest) refuses, with retry_ns.
 * `room_ns`, `whole_ns` are told in both cases. */
MUST_USE enum err limiter_take(struct limiter *l, struct limiter_charge *c, size_t n, uint64_t now_ns, size_t *which);
/* How many requests would still be let through now. */
uint64_t limiter_left(const struct limiter_charge *c);
/* The one of n with the least left. */
size_t limiter_tightest(const struct limiter_charge *c, size_t n);
/* Gives back what limiter_take has taken. */
void limiter_give(struct limiter *l, const struct limiter_charge *c, size_t n, uint64_t now_ns);

/* How often somebody was counted with his neighbours because there was no room. */
uint64_t limiter_crowded(const struct limiter *l);
/* Words that count now: looks at all. */
size_t limiter_words(const struct limiter *l, uint64_t now_ns);

#endif
