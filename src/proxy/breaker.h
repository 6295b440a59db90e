/* A circuit breaker: of one service and one kind of caller, shared by all workers, atomics only.
 *
 *   CLOSED ──breaker_end: too many errors in the window──► OPEN ──open_ms later──► HALF OPEN
 *     ▲                                                     ▲                         │ one request at a time
 *     └────────── as many in a row were good ───────────────┼──── one was bad ────────┘
 *
 * Beside that a bound of how many requests of that kind the service has at a time, whatever the state. A request that
 * passed breaker_begin tells once how it went, if it went far enough, and always leaves by breaker_end. Settings and
 * time are passed in, so a reload is in force at once. Knows no request; refuses to know why one was bad. */
#ifndef SALLYPORT_PROXY_BREAKER_H
#define SALLYPORT_PROXY_BREAKER_H

#include "config/edge.h"

#include <stdatomic.h>

#define BREAKER_BUCKETS 8u /* of its window */
#define BREAKER_TRIALS  3u /* good ones in a row that close it */

enum breaker_state { BREAKER_CLOSED = 0, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    _Alignas(64) _Atomic uint64_t word;                    /* state, trials that were good, a time; 0: closed */
    _Atomic uint32_t in_flight;                            /* counted only while there is a breaker */
    _Atomic uint64_t opened, refused, crowded;             /* ever */
    _Alignas(64) _Atomic uint64_t bucket[BREAKER_BUCKETS]; /* epoch, requests, errors */
};

/* What a request holds; {0}: nothing. */
struct breaker_hold {
    bool passed;  /* and has told nothing yet */
    bool counted; /* in in_flight */
    bool trial;
};

enum breaker_answer { BREAKER_REFUSED = 0, BREAKER_CROWDED, BREAKER_PASSED };
/* What has become of it by that; to be logged by who knows names. */
enum breaker_change { BREAKER_SAME = 0, BREAKER_OPENED, BREAKER_HALVED, BREAKER_CLOSED_AGAIN };

/* Whether a request may go to the service now. *change: HALVED when this is the first trial. */
enum breaker_answer breaker_begin(struct breaker *b, const struct snapshot_breaker *settings, enum caller_kind kind,
                                  uint64_t now_ms, struct breaker_hold *hold, enum breaker_change *change);
/* The service has answered (good), or it is certain that it will not in a way that is its own making (bad). The first
 * word of a request counts. */
enum breaker_change breaker_tell(struct breaker *b, const struct snapshot_breaker *settings, uint64_t now_ms, bool good,
                                 struct breaker_hold *hold);
/* The request is over. Without a word before, it tells nothing: a trial is given back for another. */
void breaker_end(struct breaker *b, struct breaker_hold *hold);

/* As it is at that time; an OPEN one whose time is over is HALF OPEN. */
enum breaker_state breaker_state(const struct breaker *b, uint64_t now_ms);
const char *breaker_state_name(enum breaker_state s); /* "half-open" */
/* Requests and errors in the window. */
void breaker_window(const struct breaker *b, const struct snapshot_breaker *settings, uint64_t now_ms,
                    uint32_t *requests, uint32_t *errors);

#endif
