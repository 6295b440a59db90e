/* What holds one space: a synchronous ordered map with numbered changes, in memory or in an SQLite file.
 *
 * Only the keeper (store/keeper.h) calls an engine, from its one thread; `check` and `backup` alone may run beside it
 * on another thread. An engine knows no clients, watchers or queues, reads no clock (the time is passed in, Unix
 * seconds) and has checked no bounds: who calls has (store/job.h).
 *
 * Invariants: changes are numbered without gaps; an entry's version is the number of the change that wrote it; the
 * newest change is never compacted away, so that the numbering survives. An entry whose time has come is absent for
 * every reader, though it lies there until it is swept. */
#ifndef SALLYPORT_STORE_ENGINE_H
#define SALLYPORT_STORE_ENGINE_H

#include "base/buf.h"
#include "base/rand.h"
#include "store/store.h"

#include <stdatomic.h>

struct engine {
    const struct engine_ops *ops;
};

/* A batch on its way through apply. */
struct engine_batch {
    const struct store_op *ops;
    uint32_t n_ops;
    struct engine_batch *next;
    enum err err;    /* of apply: ERR_OK, ERR_CONFLICT, or what apply returned */
    uint32_t failed; /* ERR_CONFLICT: which op */
    uint64_t number; /* ERR_OK: its last change, or where the space stands */
};

/* One line of the history: what became of a key, not what it held. */
struct engine_change {
    uint64_t number;
    str key;
    bool removed;
};

struct engine_status {
    struct store_position at;
    uint64_t floor;  /* changes up to and with it are compacted away */
    uint64_t bytes;  /* on the disk, or in memory */
    uint64_t syncs;  /* transactions that were made durable */
    uint64_t faults; /* times the disk or memory refused */
    char why[160];   /* the last refusal in words; "" none */
};

struct engine_history {
    uint64_t keep;   /* at most so many changes stay */
    int64_t after_s; /* those of this second and before it go */
    uint32_t most;   /* rows in one call */
};

/* What is called for each of many; false ends it. The slices are borrowed for the call. */
typedef bool engine_entry_fn(void *ctx, const struct store_entry *e);
typedef bool engine_change_fn(void *ctx, const struct engine_change *c);

struct engine_ops {
    /* All batches of the list in one durable transaction, one after another, each all or nothing by its conditions.
     * ERR_IO, ERR_NO_MEMORY: none of them happened. ERR_TIMEOUT: none happened here, but the disk refused in a way
     * that may show them after a crash. */
    enum err (*apply)(struct engine *e, struct engine_batch *first, int64_t now_s);
    /* version 0: absent. The slices live until the next call to the engine. */
    enum err (*get)(struct engine *e, str key, int64_t now_s, struct store_entry *out);
    /* [from, to) in the order of bytes, or backwards; `to` empty: no end. */
    enum err (*range)(struct engine *e, str from, str to, bool reverse, int64_t now_s, engine_entry_fn *fn, void *ctx);
    /* In order, behind `after`. ERR_NOT_FOUND: that part of the history is gone (or `after` is ahead of it). */
    enum err (*changes)(struct engine *e, uint64_t after, engine_change_fn *fn, void *ctx);
    /* Forgets old history; *more: `most` was reached. */
    enum err (*compact)(struct engine *e, const struct engine_history *h, bool *more);
    /* Removes at most `most` entries whose time has come, as changes of their own; *n of them. */
    enum err (*sweep)(struct engine *e, int64_t now_s, uint32_t most, uint32_t *n);
    /* Housekeeping that nobody waits for (a checkpoint), after answers were sent. */
    void (*tidy)(struct engine *e);
    /* Names that may hold a lease, kept over a restart: 0 forgets. An engine without a disk may forget all. */
    enum err (*lease_put)(struct engine *e, str name, uint32_t lease_ms);
    enum err (*leases)(struct engine *e, void (*fn)(void *ctx, str name, uint32_t lease_ms), void *ctx);
    /* Where the numbering stands now; cheap. */
    struct store_position (*at)(struct engine *e);
    uint64_t (*floor)(struct engine *e);
    void (*status)(struct engine *e, struct engine_status *out);
    void (*close)(struct engine *e);
};

/* A new epoch: random, never 0, below 2^53 so that it survives every reader of JSON. */
static inline uint64_t engine_epoch_draw(void)
{
    return (rand_u64() >> 11) | 1;
}

/* An engine that forgets: at most max_bytes of entries and history. ERR_NO_MEMORY. */
MUST_USE enum err engine_memory_open(size_t max_bytes, struct engine **out);

/* The file `path` (made, 0600, if there is none) of the space `name`. ERR_IO, ERR_NO_MEMORY, ERR_MALFORMED (damaged),
 * ERR_UNSUPPORTED (a file of another program, space or version); `why` (at least 160 bytes) says it in words. */
MUST_USE enum err engine_sqlite_open(const char *path, const char *name, struct engine **out, char *why);

/* --- whole files, on a thread of their own: beside the engine that serves the file, reading only --- */

/* What a restore does to a copy before it is served: see keeper.h. */
struct engine_restore {
    const char *copy; /* a copy of the backup; becomes the restored file */
    const char *now;  /* the file of today */
    const char *name; /* of the space */
    const str *prefixes;
    uint32_t n_prefixes;
    bool (*on_changed)(void *ctx, const struct store_entry *then, const struct store_entry *now, struct buf *value);
    void *ctx;
    const struct store_op *ops;
    uint32_t n_ops;
    int64_t now_s;
    atomic_bool *stop;
    /* what came of it */
    uint64_t changed;
    bool unsure;
    struct store_position at;
};

/* The whole file, and what we hold to be true of it. ERR_MALFORMED (damaged), ERR_UNSUPPORTED (not ours, not this
 * space), ERR_IO, ERR_NO_MEMORY, ERR_CLOSED (stopped); `why` (160 bytes) says it. */
MUST_USE enum err engine_sqlite_check(const char *path, const char *name, atomic_bool *stop, struct store_position *at,
                                      char *why);

/* What was committed when it began, into the file `to` that must not exist: checked and on the disk. As above. */
MUST_USE enum err engine_sqlite_backup(const char *path, const char *name, const char *to, atomic_bool *stop,
                                       struct store_position *at, char *why);

/* Gives the copy (checked before) a new epoch and everything it is to begin with; on the disk. As above; ERR_CONFLICT:
 * an op had a condition that did not hold. */
MUST_USE enum err engine_sqlite_restore(struct engine_restore *r, char *why);

#endif
