/* Times by key, in a bounded table that all workers share: what limits and the memory of nonces are made of.
 *
 * A word is a time in nanoseconds, found by a 64-bit keyed hash (nobody outside can aim at a place). Once its time has
 * passed, and a grace with it for workers whose turn began a little earlier, a word means the same as none, and only
 * then may its slot be another's: nothing that still counts is ever pushed out. A key has two buckets of eight slots;
 * are all of them in use by words that count, there is no room for it, and its user says what that means.
 *
 * Every change is one compare-and-swap of one 64-bit word. Exact: of any number of threads that enter the same new key
 * at once, one makes the word and the others find it. Nobody waits for another: who meets a word that is being entered
 * finishes it. No memory is asked for after words_new; pages are used when they are first written. Any thread. */
#ifndef SALLYPORT_PROXY_WORDS_H
#define SALLYPORT_PROXY_WORDS_H

#include "base/str.h"

#include <stdatomic.h>

#define WORD_MAX ((UINT64_C(1) << 62) - 1) /* the latest time: 146 years of nanoseconds */

struct word_slot {
    _Atomic uint64_t key;
    _Atomic uint64_t word; /* a time, or what words.c says */
};

/* A word as it was seen. */
struct word {
    struct word_slot *slot;
    uint64_t seen;
};

struct words;

/* slots: a power of two, 32 at least (else ERR_LIMIT); 16 bytes each. ERR_NO_MEMORY. */
MUST_USE enum err words_new(uint32_t slots, uint64_t grace_ns, struct words **out);
/* No thread may use it any more. NULL is fine. */
void words_free(struct words **w);

/* SipHash-1-3 of the numbers with the key of this process; never 0. c: below 2^56. */
uint64_t words_key(uint64_t a, uint64_t b, uint64_t c);

/* The word of that key, also one whose time has passed. ERR_NOT_FOUND. */
MUST_USE enum err words_find(struct words *w, uint64_t key, struct word *out);
/* Makes it, with that time (1 … WORD_MAX). ERR_CONFLICT: there is one, *out; ERR_LIMIT: there is no room. */
MUST_USE enum err words_enter(struct words *w, uint64_t key, uint64_t now_ns, uint64_t time_ns, struct word *out);
/* Another time for a word that is still as it was seen; false: it is not (look again). */
bool words_change(struct word *seen, uint64_t time_ns);

/* Slots whose time has not passed: counted by looking at all of them, for metrics and tests. */
size_t words_counting(const struct words *w, uint64_t now_ns);
size_t words_slots(const struct words *w);

#endif
