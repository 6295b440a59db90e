/* The feed: numbered changes on their way from the control thread to every worker.
 *
 * A record carries a whole snapshot, the new keys of one issuer, or the word that the tables of API keys and
 * revocations, which all threads share (config/fed.h), have changed. It has an epoch (who numbers) and a number (where
 * we are): a receiver that sees a gap or a new epoch asks for everything anew. The numbering is the control thread's
 * own; what the store numbers is confirmed there once every worker has applied the record that followed it.
 *
 * A record is plain data that is copied into a mailbox; what its pointer owns is handed over with it. */
#ifndef SALLYPORT_CONFIG_FEED_H
#define SALLYPORT_CONFIG_FEED_H

#include "base/str.h"

enum feed_kind {
    FEED_NONE = 0,
    FEED_SNAPSHOT,    /* a counted reference to a snapshot; the receiver swaps between turns */
    FEED_ISSUER_KEYS, /* new keys of the issuer `index` of snapshot `generation`; ignored if that one is gone */
    FEED_TABLES       /* the shared tables have changed: what was judged by them before is judged anew */
};

struct feed_record {
    uint64_t epoch;  /* of the numbering; changes when its maker starts anew */
    uint64_t number; /* from 1, without gaps */
    enum feed_kind kind;
    uint32_t index;      /* FEED_ISSUER_KEYS: which issuer */
    uint64_t generation; /* the snapshot this record belongs to */
    void *payload;       /* FEED_SNAPSHOT: struct snapshot *; FEED_ISSUER_KEYS: struct key_set * or what it becomes */
};

/* Where a receiver is; {0} at the start. */
struct feed_position {
    uint64_t epoch, number;
};

enum feed_step {
    FEED_APPLY = 0, /* the next one; or a snapshot behind a gap or of a new epoch, which brings everything */
    FEED_OLD,       /* seen already: drop it */
    FEED_RESYNC     /* something behind a gap or of a new epoch: drop it and ask for a snapshot */
};

/* Whether `r` is the next record for a receiver at `at`. */
enum feed_step feed_check(const struct feed_position *at, const struct feed_record *r);
/* The receiver has applied `r`. */
void feed_advance(struct feed_position *at, const struct feed_record *r);

#endif
