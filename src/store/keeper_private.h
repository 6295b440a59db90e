/* The inside of the keeper: keeper.c (life, clients, jobs), keeper_page.c (what watchers are told), keeper_watch.c
 * (watchers and leases), keeper_task.c (what
 * operators ask for). Everything here belongs to the keeper's thread, but for what says otherwise. */
#ifndef SALLYPORT_STORE_KEEPER_PRIVATE_H
#define SALLYPORT_STORE_KEEPER_PRIVATE_H

#include "net/offload.h"
#include "store/engine.h"
#include "store/keeper.h"

#include <pthread.h>
#include <stdatomic.h>

#define KEEPER_DIR_MAX  3000
#define KEEPER_PATH_MAX (KEEPER_DIR_MAX + 72)

#define KEEPER_PAGE_CHANGES 256
#define KEEPER_PAGE_BYTES   ((size_t)64 << 10) /* a single larger entry makes a larger page */

struct space {
    bool served;
    bool frozen;           /* a restore has it: its jobs wait */
    struct engine *engine; /* NULL: damaged, jobs are ERR_IO */
    struct store_job *first, **last;
    struct keeper_watch *watches; /* and those that are away */
    bool compacting;              /* more to forget at once */
    uint64_t compacted_ms, floor;
    uint64_t batches, ops, conflicts, commits, largest_commit, reads, swept;
    char why[KEEPER_WHY];
};

struct keeper {
    struct loop *loop;
    pthread_t thread;
    struct keeper_config config;
    char dir[KEEPER_DIR_MAX];
    int lock_fd;
    struct space spaces[STORE_SPACES];
    struct timer tick;
    struct task again; /* something is left for the next turn */
    struct mail halt;
    bool halting;
    _Atomic uint32_t waiting; /* jobs; written by clients too */
    _Atomic uint32_t watchers;
    /* what clients and the keeper both write: notes of watches, the end of a client, words for keeper_why */
    pthread_mutex_t lock;
    pthread_cond_t client_gone;
    /* tasks */
    struct offload *helper;
    struct offload_job helping;
    struct keeper_task *tasks, **tasks_last, *running;
    atomic_bool stop; /* the helper is to give up */
};

struct keeper_client {
    struct keeper *keeper;
    struct loop *loop;
    uint32_t spaces;
    struct mail closing;
    bool gone;   /* under the keeper's lock: it will not touch this client again */
    bool closed; /* the client's thread: on its way out */
    struct store_job *returned;
};

struct keeper_watch {
    struct keeper *keeper;
    struct keeper_client *client; /* not once it is stopped */
    enum store_space space;
    char name[STORE_NAME_MAX];
    size_t name_n;
    char prefix[STORE_KEY_MAX];
    size_t prefix_n;
    uint32_t lease_ms;
    void *owner;
    void (*on_page)(void *owner, const struct keeper_page *page);
    void (*on_beat)(void *owner, uint64_t tag, uint64_t held_ms);

    /* notes to the keeper, under its lock */
    struct mail note;
    bool noted, stop, keep_lease, want_next, want_beat, has_confirmed;
    uint64_t beat_tag;
    struct store_position confirmed_at;
    /* letters to the client, under the keeper's lock where both see them */
    struct mail page_mail, beat_mail;
    bool beat_sent;
    uint64_t answer_tag, answer_held_ms;

    /* the page: the keeper's while `hungry`, else the client's */
    struct keeper_page page;
    struct store_change *changes;
    struct buf bytes;

    /* the keeper's */
    struct keeper_watch *next;
    bool known; /* in its space's list */
    bool hungry, told, away, lease_kept;
    bool resync;
    struct store_position at, resync_at; /* behind what was looked through; where the resync stands */
    char cursor[STORE_KEY_MAX + 1];
    size_t cursor_n;
    uint64_t delivered, confirmed, told_number;
    uint64_t lease_until_ms;
    uint64_t owed_number, owed_since_ms, later_since_ms;
};

static inline uint64_t keeper_now_s(const struct keeper *k)
{
    return loop_wall_ms(k->loop) / 1000;
}

/* Another turn at once. */
void keeper_again(struct keeper *k);
/* Opens the space's engine; false: it says why in the space. */
bool keeper_open_space(struct keeper *k, enum store_space s);
void keeper_space_path(const struct keeper *k, enum store_space s, const char *more, char out[KEEPER_PATH_MAX]);

/* The engine that serves the watcher's space now, or NULL. */
static inline struct engine *keeper_engine_of(const struct keeper_watch *w)
{
    const struct space *sp = &w->keeper->spaces[w->space];
    return sp->frozen ? NULL : sp->engine;
}

/* keeper_page.c: sends the next page to a watcher that is hungry, if there is anything to tell. */
void keeper_page_feed(struct keeper_watch *w);

/* keeper_watch.c */
/* To be called whenever the space moves on or the watcher does. */
void keeper_watch_reckon(struct keeper_watch *w, struct store_position head);
void keeper_watches_feed(struct keeper *k, enum store_space s);
void keeper_watches_tick(struct keeper *k, enum store_space s);
/* Who held a lease when the space was closed is away, until it has come back or its lease is over. A space whose leases
 * are not known must not be served: ERR_NO_MEMORY, ERR_IO. */
MUST_USE enum err keeper_watches_opened(struct keeper *k, enum store_space s);
enum err keeper_watchers_answer(struct keeper *k, struct store_job *job);
void keeper_watches_count(const struct keeper *k, enum store_space s, uint32_t *connected, uint32_t *away);
void keeper_watches_free(struct keeper *k);

/* keeper_task.c */
/* Makes durable which files the folder holds. ERR_IO. */
MUST_USE enum err keeper_sync_folder(const char *dir);
/* A restore that a crash interrupted is finished, or what is left of one is removed. ERR_IO. */
MUST_USE enum err keeper_restore_resume(struct keeper *k, char *why);
void keeper_tasks_halt(struct keeper *k);

#endif
