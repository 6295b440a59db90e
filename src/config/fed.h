/* What the store feeds a gateway: API keys made at run time and revocations, in one table for all threads of the
 * process, and the lease that says until when they are known to be all there are.
 *
 * One thread writes (the control thread), any number read without a lock and without waiting. What is written shows to
 * readers at once; what a reader has remembered of it (a token that was looked at already) it looks at again when a
 * feed record (FEED_TABLES) tells it to. Memory that a reader may still be looking at is kept until every reader has
 * taken a later record: fed_seal, fed_reclaim. So a million revocations are there once, not once a worker: 16 bytes
 * each in a table that is never fuller than 7/8 and, when it grows, half as large again.
 *
 * A revocation is found by a 64-bit keyed hash of what it speaks of, not by its text: nobody outside can make two
 * collide, and if two ever did, a token too many would be refused. Knows no store, no clock and no request. */
#ifndef SALLYPORT_CONFIG_FED_H
#define SALLYPORT_CONFIG_FED_H

#include "base/str.h"
#include "crypto/digest.h"

#include <stdatomic.h>

#define FED_KEYS_MAX  (1u << 20)
#define FED_MARKS_MAX (1u << 22)

struct fed;

/* Immutable once it can be found, but for the hint. */
struct fed_key {
    str id, product;
    unsigned char sha256[SHA256_LEN]; /* of the whole key text */
    int64_t expires_s;                /* 0: never; at that second it is none any more */
    bool disabled;
    _Atomic uint64_t
        hint; /* for readers: generation << 16 | product index + 1 of the snapshot it was last looked up in */
};

enum fed_kind { FED_TOKEN = 1, FED_SESSION, FED_USER, FED_PRODUCT, FED_ALL };

/* The mark of what a revocation speaks of; never 0. `issuer`: of a user only, by its name in the configuration. */
uint64_t fed_mark(enum fed_kind kind, str issuer, str value);

#define FED_NOT_MARKED INT64_MIN

/* ERR_NO_MEMORY. */
MUST_USE enum err fed_new(struct fed **out);
/* No reader may be left. NULL is fine. */
void fed_free(struct fed **f);

/* --- readers: any thread --- */
/* Good until the reader takes its next feed record. NULL: there is none. */
const struct fed_key *fed_key_find(const struct fed *f, str id);
/* Up to which second of issue tokens with that mark are refused, or FED_NOT_MARKED. */
int64_t fed_before(const struct fed *f, uint64_t mark);
/* Monotonic clock: until when the tables are known to be complete. 0: not yet. */
uint64_t fed_until_ns(const struct fed *f);

/* --- the writer. ERR_LIMIT: more than the bounds above; ERR_NO_MEMORY --- */
MUST_USE enum err fed_key_put(struct fed *f, str id, const struct fed_key *key); /* copied; its `id` is not looked at */
void fed_key_remove(struct fed *f, str id);
MUST_USE enum err fed_mark_put(struct fed *f, uint64_t mark, int64_t before_s);
void fed_mark_remove(struct fed *f, uint64_t mark);
void fed_until_set(struct fed *f, uint64_t until_ns);

/* Everything anew: between the two, writing fills tables that nobody reads yet, and readers go on with the old ones;
 * fed_fill_end puts the new ones in their place. Beginning again drops what was filled. */
MUST_USE enum err fed_fill_begin(struct fed *f);
void fed_fill_end(struct fed *f);

/* What was taken out since the last call may be freed once every reader has taken the feed record `number`. */
void fed_seal(struct fed *f, uint64_t number);
/* Every reader has taken the record `number`. */
void fed_reclaim(struct fed *f, uint64_t number);

size_t fed_keys(const struct fed *f);
size_t fed_marks(const struct fed *f);
/* Bytes held, what waits to be freed included. */
size_t fed_bytes(const struct fed *f);

#endif
