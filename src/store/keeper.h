/* The heart of the data role: owns the engines of the spaces it was opened with, and all that is known about who
 * watches them. No sockets, no configuration, no meaning of any key.
 *
 * One thread of its own does all reading and writing, so that a read that is asked for after a write was answered sees
 * it. What waits when it comes round is committed as one transaction a space (group commit), then answered by mail,
 * each job on the loop of its client. Slow work (check, backup, copying of a restore) goes on a second thread that only
 * reads.
 *
 * Use: keeper_new; clients (keeper_client_new, or a whole `struct store` by store/local.h) from any thread, each used
 * by the thread of its loop; all clients freed; keeper_free.
 *
 * Watching: a watcher asks for pages. A page is read from the engine when it is asked for, and at most one is under way
 * a watcher, so a slow one costs its position and nothing else; the next page comes when there is something to say and
 * keeper_watch_next was called. A watcher with a lease beats; each beat that is answered renews the lease on both
 * sides, here never earlier than there. Who beats but does not confirm what it was told is not renewed for longer than
 * a lease: `held_ms` tells it how old the oldest thing is that it owes. */
#ifndef SALLYPORT_STORE_KEEPER_H
#define SALLYPORT_STORE_KEEPER_H

#include "base/buf.h"
#include "store/store.h"

struct keeper;
struct keeper_client;
struct keeper_watch;

#define KEEPER_SPACE(s)     (1u << (unsigned)(s))
#define KEEPER_ALL          (KEEPER_SPACE(STORE_SPACES) - 1)
#define KEEPER_QUEUE_MAX    8192 /* jobs that wait, of all clients: more are ERR_LIMIT */
#define KEEPER_WATCHERS_MAX 4096
#define KEEPER_LEASE_MAX_MS (24u * 3600 * 1000)
#define KEEPER_WHY          200
#define KEEPER_COMPARE_MAX  16

enum keeper_engine { KEEPER_MEMORY = 0, KEEPER_SQLITE };

struct keeper_config {
    enum keeper_engine engine;
    const char *dir;      /* of the files <space>.db; made 0700 if there is none; not used by KEEPER_MEMORY */
    uint32_t spaces;      /* KEEPER_SPACE bits */
    size_t memory_max;    /* KEEPER_MEMORY: bytes a space; 0: 256 MB */
    uint32_t history_s;   /* changes are kept so long; 0: one hour */
    uint32_t history_max; /* and so many of them; 0: 100,000 */
};

/* ERR_CONFLICT: another process has the folder. ERR_IO, ERR_NO_MEMORY. `why` (KEEPER_WHY bytes) says it in words. A
 * space that is damaged does not keep the others from opening: its jobs are ERR_IO and its status says why, so that
 * it can be restored. */
MUST_USE enum err keeper_new(const struct keeper_config *config, struct keeper **out, char *why);
/* Every client must have been freed. Tasks still under way end with ERR_CLOSED (their mail is sent). */
void keeper_free(struct keeper **k);

/* What keeps a space from being served: "" nothing; otherwise words. For the role that starts. */
void keeper_why(struct keeper *k, enum store_space s, char out[KEEPER_WHY]);

/* --- clients: the way in for one loop --- */

MUST_USE enum err keeper_client_new(struct keeper *k, struct loop *loop, uint32_t spaces, struct keeper_client **out);
/* Its jobs end (ERR_CLOSED, or what came of them) before it returns; it waits for the transaction under way. Its
 * watches must have been stopped. */
void keeper_client_free(struct keeper_client **c);

/* As store_submit. */
void keeper_submit(struct keeper_client *c, struct store_job *job);

/* --- watching --- */

struct keeper_page {
    const struct store_change *changes;
    uint32_t n;
    struct store_position at; /* where the watcher stands behind this page: resume there; {0} within a resync */
};

/* The slices are copied. Both calls come on the client's loop. */
struct keeper_watch_spec {
    enum store_space space;
    str prefix, name;
    uint32_t lease_ms;
    struct store_position from;      /* go on behind it; the first page comes at once, even an empty one */
    struct store_position confirmed; /* what is in force there already */
    void *owner;
    void (*on_page)(void *owner, const struct keeper_page *page); /* the page lives until keeper_watch_next */
    void (*on_beat)(void *owner, uint64_t tag, uint64_t held_ms); /* the lease holds until (sent at + lease − held) */
};

/* ERR_DENIED (not a space of this client), ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err keeper_watch_start(struct keeper_client *c, const struct keeper_watch_spec *spec,
                                     struct keeper_watch **out);
/* The page was dealt with (its memory goes); the next one, please. */
void keeper_watch_next(struct keeper_watch *w);
/* Renews the lease; the tag comes back with on_beat. Of two that cross, only the later is answered. */
void keeper_watch_beat(struct keeper_watch *w, uint64_t tag);
void keeper_watch_confirm(struct keeper_watch *w, struct store_position at);
/* No call comes after it. keep_lease: the watcher was lost rather than stopped; it counts as away until its lease ends.
 */
void keeper_watch_stop(struct keeper_watch **w, bool keep_lease);

/* --- tasks of the operator: asynchronous, `done` on the given loop --- */

struct keeper_space_status {
    bool served;              /* opened by this keeper */
    char why[KEEPER_WHY];     /* not "": damaged or refused, jobs are ERR_IO */
    struct store_position at; /* epoch and last change */
    uint64_t floor;           /* changes up to and with it are compacted away */
    uint64_t bytes;           /* of the file and its log, or of memory */
    uint64_t batches, ops, conflicts, commits, largest_commit, reads, swept, faults;
    uint32_t watchers, away;
    char fault[160]; /* the last that the disk or memory refused, in words; "" nothing */
};

enum keeper_task_kind { KEEPER_STATUS = 0, KEEPER_CHECK, KEEPER_BACKUP, KEEPER_RESTORE };

/* What a restore looks at, entry by entry, before anything of it is served. */
struct keeper_compare {
    enum store_space space;
    str prefix;
};

struct keeper_task {
    struct mail mail; /* private */
    /* what is asked: the caller's, unchanged until done */
    enum keeper_task_kind kind;
    uint32_t spaces; /* KEEPER_SPACE bits, all of them served here */
    const char *dir; /* BACKUP: folder (made 0700) that gets <space>.db; RESTORE: folder they are in */
    /* RESTORE: for every entry of the backup under one of these prefixes that is not what the space holds today (`now`,
     * version 0: gone; NULL: the space of today cannot be read, so all are named) on_changed is called, on a thread of
     * the keeper. It may append a value: true puts it in the entry's place, in the transaction that opens the
     * restored space. false with value->bad set ends the restore with ERR_NO_MEMORY. */
    const struct keeper_compare *compare;
    uint32_t n_compare;
    bool (*on_changed)(struct keeper_task *t, enum store_space s, const struct store_entry *then,
                       const struct store_entry *now, struct buf *value);
    /* RESTORE: put in the same transaction, behind that; conditions must be STORE_ANY. */
    const struct store_op *ops[STORE_SPACES];
    uint32_t n_ops[STORE_SPACES];
    void (*done)(struct keeper_task *t);
    void *owner; /* the caller's own */
    /* what came of it, valid from done on */
    enum err err; /* CHECK: ERR_MALFORMED, a space is damaged. RESTORE, BACKUP: nothing changed unless ERR_OK. */
    char why[KEEPER_WHY];                            /* names the space and what is wrong */
    struct keeper_space_status status[STORE_SPACES]; /* STATUS; BACKUP: at and bytes of what was saved; RESTORE: at */
    uint64_t changed;                                /* RESTORE: how often on_changed was called */
    bool unsure;              /* RESTORE: the space of today could not be read: every entry counted as changed */
    struct keeper_task *next; /* private */
    struct loop *loop;        /* private */
    uint64_t now_ms;          /* private */
};

/* ERR_MALFORMED (a space that is not served here, no dir), ERR_CLOSED. Tasks run one after another; STATUS does not
 * wait for them. ERR_UNSUPPORTED comes with done: backup and restore of KEEPER_MEMORY.
 *
 * BACKUP holds what was committed when it began, without stopping anything; each file appears whole or not at all.
 * RESTORE of several spaces is all or nothing, over a crash too: every backup is checked, copied beside its space and
 * given a new epoch; then a note of the spaces is made durable; then the copies take the places of the files, which
 * stay as <space>.db.before; then the note goes. A start that finds the note finishes the work. Jobs of these spaces
 * wait meanwhile. */
MUST_USE enum err keeper_task_submit(struct keeper *k, struct loop *loop, struct keeper_task *t);

#endif
