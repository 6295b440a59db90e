/* The store as everybody but the data role sees it: conditional batches over ordered keys, ranges, a time to live,
 * and a numbered feed of changes that can be watched.
 *
 * A `struct store` is a client: of a keeper in this process (store/local.h) or of a data role elsewhere
 * (store/remote.h). Both keep the same promises. Everything is asynchronous: a job is the caller's until store_submit,
 * the store's until its `done`, which runs exactly once, on the loop the client was made for, never from inside
 * store_submit. Nothing here blocks, and no caller sees a database.
 *
 * A space is a file (or schema) of its own. Within a space changes are numbered from 1 without gaps; the epoch is drawn
 * anew whenever the numbering may have gone back (a restored backup), so that (epoch, number) never means two things.
 * The version of an entry is the number of the change that wrote it. An expired entry is absent for every reader at
 * once; its removal shows in the feed when it is swept.
 *
 * Promise: ERR_OK of a batch means that it is on the disk and survives a crash. ERR_TIMEOUT and ERR_CLOSED of a batch
 * mean that it may have happened or not; conditions make it safe to try again. */
#ifndef SALLYPORT_STORE_STORE_H
#define SALLYPORT_STORE_STORE_H

#include "net/loop.h"

#define STORE_KEY_MAX   512                  /* bytes of a key, at least 1; any bytes but NUL */
#define STORE_VALUE_MAX ((size_t)256 * 1024) /* bytes of a value */
#define STORE_OPS_MAX   256                  /* of a batch */
#define STORE_BATCH_MAX ((size_t)1 << 20)    /* bytes of keys and values of a batch, and of what a read answers */
#define STORE_RANGE_MAX 1000                 /* entries of one answer */
#define STORE_NAME_MAX  64                   /* of a watcher */

enum store_space {
    STORE_IDENTITY = 0,   /* users */
    STORE_AUTHENTICATION, /* sessions, signing keys (sealed) */
    STORE_CONTROL,        /* what enforcers are fed with: products, API keys, issuers' keys, revocations */
    STORE_AUDIT,          /* heads of the audit chains */
    STORE_TENANTS,        /* of services */
    STORE_SPACES
};

/* "identity", …; STORE_SPACES when unknown. */
const char *store_space_name(enum store_space s);
enum store_space store_space_of(str name);

/* Where a change stands; {0} is before everything. */
struct store_position {
    uint64_t epoch, number;
};

struct store_entry {
    str key, value;
    uint64_t version;  /* 0: there is no such entry */
    int64_t expires_s; /* Unix seconds; *at* that second it is gone; 0: never */
};

enum store_verb { STORE_CHECK = 0 /* nothing but its condition */, STORE_PUT, STORE_DELETE };
enum store_condition {
    STORE_ANY = 0,
    STORE_ABSENT,  /* there is no such entry */
    STORE_PRESENT, /* there is one */
    STORE_VERSION  /* its version is op.version (0: absent) */
};

struct store_op {
    enum store_verb verb;
    enum store_condition condition;
    uint64_t version;
    str key, value;
    int64_t expires_s; /* STORE_PUT: 0 never */
};

enum store_kind {
    STORE_GET,     /* keys → entries, one a key, in their order */
    STORE_RANGE,   /* [from, to) → entries in the order of bytes; `to` empty: no end */
    STORE_BATCH,   /* ops: all or nothing, each condition against what was before the batch */
    STORE_WATCHERS /* of the space: key = name, value = "connected" or "away", version = confirmed number, expires_s =
                      when its lease ends at the latest (0: it holds none); in the order of names, from `from` on, cut
                      by `limit` and `more` as a range is */
};

struct store_result; /* private: memory of an answer */

struct store_job {
    struct mail mail; /* private */
    /* what is asked: the caller's, alive and unchanged until done */
    enum store_kind kind;
    enum store_space space;
    const str *keys;
    uint32_t n_keys;
    str from, to;
    uint32_t limit; /* 0: STORE_RANGE_MAX */
    bool reverse;   /* from the end of the range */
    const struct store_op *ops;
    uint32_t n_ops;
    void (*done)(struct store_job *job);
    /* what came of it: from done until store_job_clear */
    enum err err;                      /* below */
    uint32_t failed;                   /* ERR_CONFLICT: the first op whose condition did not hold */
    struct store_position at;          /* BATCH: of its last change; else: as of when it was read */
    const struct store_entry *entries; /* of reads */
    uint32_t n_entries;
    bool more; /* RANGE: limit or bytes cut it short; go on behind the last key */
    struct store_result *result;
    struct store_job *next; /* private */
    void *private_loop;     /* private */
};
/* err: ERR_OK · ERR_CONFLICT (a condition) · ERR_LIMIT (a bound above, or the queue is full: nothing happened) ·
 * ERR_MALFORMED (an empty key, a NUL in it) · ERR_DENIED (the space is not served to this client) · ERR_NO_MEMORY ·
 * ERR_IO (the disk refused; nothing happened) · ERR_TIMEOUT, ERR_CLOSED (see the promise). */

enum store_change_kind {
    STORE_CHANGED,      /* entry is what the key holds now */
    STORE_REMOVED,      /* entry.key holds nothing now */
    STORE_RESYNC_BEGIN, /* forget everything: what there is follows as STORE_CHANGED, from any epoch and number */
    STORE_RESYNC_END    /* that was all; at = where it stands */
};

struct store_change {
    enum store_change_kind kind;
    struct store_position at;
    struct store_entry entry; /* borrowed for the call */
};

/* One watcher of one prefix of a space, embedded in its owner. Set what the caller sets, then store_watch_start.
 * Changes come in order, none twice, none missed; where history was compacted away, or the epoch is another, or at the
 * start from {0}, everything comes anew between RESYNC_BEGIN and RESYNC_END. A lost connection is made anew by itself
 * with growing pauses (100 ms … 5 s) and goes on from where it was. What changes while a resync is under way may be
 * told within it and once more behind its end. A lease is renewed for who confirms: a watcher that owes a confirmation
 * for longer than its lease lets it end, here and there. */
struct store_watch {
    enum store_space space;
    str prefix;                 /* may be empty; alive until stop */
    str name;                   /* who watches, unique in the deployment: "gateway/host/4711"; alive until stop */
    uint32_t lease_ms;          /* 0: none. Else: whoever waits for a change to have reached all counts on this watcher
                                   to refuse once it has heard nothing for so long */
    struct store_position from; /* go on behind it */
    void (*on_change)(struct store_watch *w, const struct store_change *c);
    void (*on_link)(struct store_watch *w, bool up); /* may be NULL */
    void (*on_fresh)(struct store_watch *w);         /* may be NULL: fresh_until_ms is later now */
    /* kept by the store: */
    struct store_position seen; /* the last that was delivered */
    uint64_t fresh_until_ms;    /* loop clock: until then the lease holds (sent-at of the last answered beat + lease) */
    bool up;
    struct store_watch *next; /* private */
    void *impl;               /* private */
};

struct store;

struct store_ops {
    void (*submit)(struct store *s, struct store_job *job);
    enum err (*watch_start)(struct store *s, struct store_watch *w);
    void (*watch_stop)(struct store *s, struct store_watch *w);
    void (*watch_confirm)(struct store *s, struct store_watch *w, struct store_position at);
    void (*free)(struct store *s);
};

struct store {
    const struct store_ops *ops;
    struct loop *loop;
};

void store_submit(struct store *s, struct store_job *job);
/* Frees what the answer holds. Safe to repeat, and on {0}. */
void store_job_clear(struct store_job *job);

/* ERR_NO_MEMORY; ERR_LIMIT: too many watchers, or a name too long. */
MUST_USE enum err store_watch_start(struct store *s, struct store_watch *w);
/* No call comes after it. Its lease is given back. */
void store_watch_stop(struct store *s, struct store_watch *w);
/* What was delivered up to `at` is in force at this watcher: who waits for that is told. */
void store_watch_confirm(struct store *s, struct store_watch *w, struct store_position at);

/* Jobs still under way end with ERR_CLOSED before it returns. NULL is fine. */
void store_free(struct store **s);

#endif
