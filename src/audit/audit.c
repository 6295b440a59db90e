/* Two queues: callers fill one while the chain's thread writes the other. An entry is the time, a length and the inside
 * of a record; the thread gives it its number and the hash of the line before it. All memory is there from the start.
 */
#include "audit/audit.h"

#include "audit/chain.h"
#include "audit/fold.h"
#include "audit/head.h"
#include "audit/record.h"
#include "audit/segment.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { SYNC_MS = 400, RETRY_MS = 1000, HEAD_MS = 2000, OUT_MAX = 65536, SEGMENT_BYTES = 16 << 20, DAY_S = 86400 };

struct entry {
    uint64_t ms;
    uint32_t n;
};

struct audit {
    /* shared, under the lock, which is never held over a system call but that of mail */
    pthread_mutex_t lock;
    struct buf queue;
    struct audit_wait *waits, **waits_end;
    struct audit_fold fold;
    uint64_t lost;
    bool posted; /* the thread has been told */
    struct mail news, stop;
    /* read by anybody */
    _Atomic bool ready;
    _Atomic uint64_t records, lost_ever, errors;
    /* the thread's own */
    pthread_t thread;
    struct loop *loop;
    struct timer sync_timer, fold_timer, retry_timer;
    struct buf taken, out;
    struct audit_segment segment;
    struct audit_chain chain; /* as written */
    struct audit_chain begin; /* as found */
    struct audit_head head;
    uint64_t segment_bytes;
    uint64_t unwritten, telling; /* records in `out`; how many lost ones a record in `out` tells of */
    bool unsynced, sealed;       /* sealed: the last line is one */
    unsigned char key[AUDIT_KEY_LEN];
    struct audit_options options;
};

/* --- the callers' side --- */

static void tell(struct audit *a)
{
    if (a->posted) return;
    a->posted = true;
    mail_post(a->loop, &a->news);
}

static void put_folded(void *ctx, str body)
{
    struct audit *a = ctx;
    struct entry e = {.ms = clock_wall_ms(), .n = (uint32_t)body.n};
    if (!buf_room(&a->queue, sizeof e + body.n)) {
        a->queue.bad = false;
        a->lost++;
        return;
    }
    buf_put(&a->queue, str_make((const char *)&e, sizeof e));
    buf_put(&a->queue, body);
}

/* Under the lock. The record is made where it is to lie and taken back if it is held back. */
static enum err enqueue(struct audit *a, const struct audit_record *r, bool may_fold)
{
    struct entry e = {.ms = clock_wall_ms()};
    size_t begin = a->queue.n, same = 0, body = begin + sizeof e;
    buf_put(&a->queue, str_make((const char *)&e, sizeof e));
    audit_record_put(r, &a->queue, &same);
    if (a->queue.bad) {
        a->queue.n = begin;
        a->queue.bad = false;
        a->lost++;
        return ERR_LIMIT;
    }
    if (may_fold && audit_fold_kind(r->event) &&
        audit_fold_hold(&a->fold, r->event, str_make(a->queue.p + body, same), r->count ? r->count : 1)) {
        a->queue.n = begin;
        return ERR_OK;
    }
    e.n = (uint32_t)(a->queue.n - body);
    memcpy(a->queue.p + begin, &e, sizeof e);
    return ERR_OK;
}

void audit_event(struct audit *a, const struct audit_record *r)
{
    if (!a) return;
    pthread_mutex_lock(&a->lock);
    (void)!enqueue(a, r, true);
    tell(a);
    pthread_mutex_unlock(&a->lock);
}

static void on_wait(struct mail *m, void *owner)
{
    struct audit_wait *w = CONTAINER_OF(m, struct audit_wait, mail);
    (void)owner;
    w->done(w);
}

static void end_wait(struct audit_wait *w, enum err e)
{
    w->err = e;
    w->mail.on_mail = on_wait;
    mail_post(w->loop, &w->mail);
}

void audit_event_then(struct audit *a, const struct audit_record *r, struct loop *loop, struct audit_wait *w)
{
    w->loop = loop;
    w->next = NULL;
    if (!a) {
        end_wait(w, ERR_OK);
        return;
    }
    pthread_mutex_lock(&a->lock);
    enum err e = enqueue(a, r, false);
    if (e == ERR_OK) {
        *a->waits_end = w;
        a->waits_end = &w->next;
    }
    tell(a);
    pthread_mutex_unlock(&a->lock);
    if (e != ERR_OK) end_wait(w, e);
}

void audit_lost(struct audit *a, uint64_t n)
{
    if (!a || !n) return;
    pthread_mutex_lock(&a->lock);
    a->lost += n;
    tell(a);
    pthread_mutex_unlock(&a->lock);
}

bool audit_ready(const struct audit *a)
{
    return a && atomic_load_explicit(&a->ready, memory_order_relaxed);
}

void audit_count(const struct audit *a, struct audit_counts *out)
{
    *out = (struct audit_counts){0};
    if (!a) return;
    out->records = atomic_load_explicit(&a->records, memory_order_relaxed);
    out->lost = atomic_load_explicit(&a->lost_ever, memory_order_relaxed);
    out->errors = atomic_load_explicit(&a->errors, memory_order_relaxed);
}

/* --- the thread's side: lines into the file --- */

static void failed(struct audit *a, const char *what)
{
    int why = errno;
    atomic_fetch_add_explicit(&a->errors, 1, memory_order_relaxed);
    if (atomic_exchange_explicit(&a->ready, false, memory_order_relaxed))
        log_event(LOG_LEVEL_ERROR, log_msg("audit record cannot be written"), log_str("what", str_of(what)),
                  log_str("error", str_of(strerror(why))));
    timer_set(a->loop, &a->retry_timer, loop_now_ms(a->loop) + RETRY_MS);
}

static void works(struct audit *a)
{
    if (!atomic_exchange_explicit(&a->ready, true, memory_order_relaxed))
        log_event(LOG_LEVEL_INFO, log_msg("audit record is written again"));
}

/* What stands in `out` goes to the file; on failure nothing of it is there and the chain is back where it was. */
static enum err write_out(struct audit *a, const struct audit_chain *before)
{
    if (!a->out.n) return ERR_OK;
    enum err e = audit_segment_write(&a->segment, buf_str(&a->out));
    if (e == ERR_OK) {
        atomic_fetch_add_explicit(&a->records, a->unwritten, memory_order_relaxed);
        atomic_fetch_add_explicit(&a->lost_ever, a->telling, memory_order_relaxed);
        a->unsynced = true;
    } else {
        a->chain = *before;
        failed(a, "write");
        pthread_mutex_lock(&a->lock);
        a->lost += a->unwritten + a->telling;
        pthread_mutex_unlock(&a->lock);
    }
    buf_clear(&a->out);
    a->unwritten = a->telling = 0;
    return e;
}

static enum err sync_now(struct audit *a)
{
    timer_clear(a->loop, &a->sync_timer);
    if (!a->unsynced) return ERR_OK;
    enum err e = audit_segment_sync(&a->segment);
    if (e != ERR_OK) {
        failed(a, "sync");
        return e;
    }
    a->unsynced = false;
    works(a);
    audit_head_set(&a->head, &a->chain);
    return ERR_OK;
}

static void put_line(struct audit *a, uint64_t ms, str body)
{
    if (a->segment.size == 0 && a->out.n == 0) a->segment.day = ms / 1000 / DAY_S;
    audit_chain_put(&a->chain, ms, body, &a->out);
    a->sealed = false;
}

static void put_seal(struct audit *a, uint64_t ms)
{
    if (a->segment.size == 0 && a->out.n == 0) a->segment.day = ms / 1000 / DAY_S;
    audit_chain_seal(&a->chain, ms, str_make((const char *)a->key, sizeof a->key), &a->out);
    a->sealed = !a->out.bad;
    a->out.bad = false; /* without a seal the chain goes on all the same */
}

static bool segment_over(const struct audit *a, uint64_t ms)
{
    uint64_t size = a->segment.size + a->out.n;
    return size && (size >= a->segment_bytes || a->segment.day != ms / 1000 / DAY_S);
}

/* Ends the segment by a seal and goes on in the next; where that cannot be done, in the same one. */
static enum err next_segment(struct audit *a, uint64_t ms, struct audit_chain *before)
{
    if (!a->sealed) put_seal(a, ms);
    enum err e = write_out(a, before);
    *before = a->chain;
    if (e == ERR_OK) e = sync_now(a);
    if (e != ERR_OK) return e;
    if (audit_segment_next(&a->segment) != ERR_OK) {
        failed(a, "next segment");
        a->segment.day = ms / 1000 / DAY_S;
    }
    return ERR_OK;
}

/* Goes with the next write: if that fails they are lost again. */
static void put_lost(struct audit *a, uint64_t n)
{
    char text[512];
    size_t same;
    struct buf b = {.p = text, .cap = sizeof text, .max = sizeof text}; /* nothing is allocated */
    audit_record_put(&(struct audit_record){.event = AUDIT_LOST,
                                            .outcome = AUDIT_FAILED,
                                            .detail = STR("records that could not be kept"),
                                            .count = n},
                     &b, &same);
    put_line(a, clock_wall_ms(), buf_str(&b));
    a->telling += n;
}

/* All entries of `taken`. ERR_IO: the last of them, or all, are not written. */
static enum err write_taken(struct audit *a, uint64_t lost)
{
    struct audit_chain before = a->chain;
    enum err worst = ERR_OK;
    if (lost) put_lost(a, lost);
    for (size_t at = 0; at < a->taken.n;) {
        struct entry e;
        memcpy(&e, a->taken.p + at, sizeof e);
        str body = str_make(a->taken.p + at + sizeof e, e.n);
        at += sizeof e + e.n;
        if (segment_over(a, e.ms) && next_segment(a, e.ms, &before) != ERR_OK) worst = ERR_IO;
        if (a->out.n + body.n + 512 > OUT_MAX) {
            if (write_out(a, &before) != ERR_OK) worst = ERR_IO;
            before = a->chain;
        }
        put_line(a, e.ms, body);
        a->unwritten++;
    }
    if (write_out(a, &before) != ERR_OK) worst = ERR_IO;
    return worst;
}

/* A record of the chain's own. */
static void put_own(struct audit *a, const struct audit_record *r)
{
    pthread_mutex_lock(&a->lock);
    (void)!enqueue(a, r, false);
    pthread_mutex_unlock(&a->lock);
}

static void drain(struct audit *a)
{
    pthread_mutex_lock(&a->lock);
    uint64_t lost = a->lost;
    a->lost = 0;
    struct buf full = a->queue;
    struct audit_wait *waits = a->waits;
    a->queue = a->taken;
    a->taken = full;
    a->waits = NULL;
    a->waits_end = &a->waits;
    bool folds = a->fold.open;
    pthread_mutex_unlock(&a->lock);

    enum err e = write_taken(a, lost);
    buf_clear(&a->taken);
    if (waits && e == ERR_OK) e = sync_now(a);
    while (waits) {
        struct audit_wait *w = waits;
        waits = w->next;
        end_wait(w, e);
    }
    uint64_t now = loop_now_ms(a->loop);
    if (a->unsynced && !timer_is_set(&a->sync_timer)) timer_set(a->loop, &a->sync_timer, now + SYNC_MS);
    if (folds && !timer_is_set(&a->fold_timer)) timer_set(a->loop, &a->fold_timer, now + FOLD_FROM);
}

/* --- the thread: mail and timers --- */

/* Only here may the letter be sent again: drain() also runs while it is still on its way. */
static void on_news(struct mail *m, void *owner)
{
    struct audit *a = owner;
    (void)m;
    pthread_mutex_lock(&a->lock);
    a->posted = false;
    pthread_mutex_unlock(&a->lock);
    drain(a);
}

static void on_sync(struct timer *t)
{
    (void)!sync_now(CONTAINER_OF(t, struct audit, sync_timer));
}

static void end_window(struct audit *a)
{
    pthread_mutex_lock(&a->lock);
    audit_fold_end(&a->fold, put_folded, a);
    pthread_mutex_unlock(&a->lock);
    drain(a);
}

static void on_fold(struct timer *t)
{
    end_window(CONTAINER_OF(t, struct audit, fold_timer));
}

/* The number of what was lost is the first thing that is tried again; without any, an fsync. */
static void on_retry(struct timer *t)
{
    struct audit *a = CONTAINER_OF(t, struct audit, retry_timer);
    drain(a);
    (void)!sync_now(a);
    if (!atomic_load_explicit(&a->ready, memory_order_relaxed) && !timer_is_set(&a->retry_timer)) works(a);
}

static void on_head(void *ctx, bool found, const struct audit_chain *at)
{
    struct audit *a = ctx;
    char text[160];
    bool same = at->sequence != a->begin.sequence || memcmp(at->hash, a->begin.hash, CHAIN_HASH_LEN) == 0;
    if (!found || (at->sequence <= a->begin.sequence && same)) return;
    int n = snprintf(text, sizeof text, "the store knows record %llu, the files ended with %llu%s",
                     (unsigned long long)at->sequence, (unsigned long long)a->begin.sequence,
                     same ? "" : ", and that is another one");
    log_event(LOG_LEVEL_ERROR, log_msg("audit record was tampered with"), log_str("detail", str_make(text, (size_t)n)));
    put_own(a, &(struct audit_record){.event = AUDIT_BROKEN,
                                      .outcome = AUDIT_FAILED,
                                      .detail = str_make(text, (size_t)n),
                                      .count = at->sequence - a->begin.sequence});
    drain(a);
}

static void put_started(struct audit *a)
{
    char text[96] = "";
    int n = 0;
    if (a->segment.cut)
        n = snprintf(text, sizeof text, "%llu bytes of an unfinished record were cut off",
                     (unsigned long long)a->segment.cut);
    put_own(a, &(struct audit_record){.event = AUDIT_STARTED,
                                      .who = STR("sallyport " SALLYPORT_VERSION),
                                      .detail = str_make(text, (size_t)n)});
}

static void on_stop(struct mail *m, void *owner)
{
    struct audit *a = owner;
    (void)m;
    timer_clear(a->loop, &a->fold_timer);
    end_window(a);
    put_own(a, &(struct audit_record){.event = AUDIT_STOPPED});
    drain(a);
    struct audit_chain before = a->chain;
    put_seal(a, clock_wall_ms());
    (void)!write_out(a, &before);
    (void)!sync_now(a);
    audit_head_finish(&a->head, HEAD_MS);
    drain(a); /* whoever came in between */
    timer_clear(a->loop, &a->sync_timer);
    timer_clear(a->loop, &a->retry_timer);
    timer_clear(a->loop, &a->fold_timer);
    (void)!sync_now(a);
    loop_stop(a->loop);
}

static void *run(void *arg)
{
    struct audit *a = arg;
    put_started(a);
    drain(a);
    if (a->options.store_new) a->head.store = a->options.store_new(a->options.ctx, a->loop);
    audit_head_start(&a->head);
    loop_run(a->loop);
    return NULL;
}

/* --- opening and closing --- */

const char *audit_fault_text(enum audit_fault f)
{
    switch (f) {
    case AUDIT_FAULT_NONE: return "nothing is wrong";
    case AUDIT_FAULT_NAME: return "a chain has a name of [a-z][a-z0-9-]* and a key of 32 bytes";
    case AUDIT_FAULT_FOLDER: return "its folder cannot be made, or others than its owner may write there";
    case AUDIT_FAULT_TAKEN: return "another process writes this chain";
    case AUDIT_FAULT_FILE: return "a segment cannot be opened or written";
    case AUDIT_FAULT_CHAIN:
        return "the last segment does not end in a record; `sallyport audit verify` names the place";
    case AUDIT_FAULT_MEMORY: return "out of memory";
    }
    return "unknown";
}

static void destroy(struct audit *a)
{
    int why = errno;
    loop_free(&a->loop);
    audit_segment_close(&a->segment);
    buf_free(&a->queue);
    buf_free(&a->taken);
    buf_free(&a->out);
    pthread_mutex_destroy(&a->lock);
    explicit_bzero(a->key, sizeof a->key);
    free(a);
    errno = why;
}

/* Room for everything at once; pages are used when they are first written. */
static bool reserve(struct buf *b, size_t n)
{
    buf_init(b, n);
    return buf_room(b, n) != NULL;
}

static enum err start_thread(struct audit *a)
{
    sigset_t everything, before;
    sigfillset(&everything);
    pthread_sigmask(SIG_SETMASK, &everything, &before);
    int e = pthread_create(&a->thread, NULL, run, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e) return ERR_NO_MEMORY;
    pthread_setname_np(a->thread, "audit");
    return ERR_OK;
}

static enum audit_fault fault_of(enum err e)
{
    switch (e) { /* NOLINT(clang-diagnostic-switch-enum): of segment_open's errors */
    case ERR_OK: return AUDIT_FAULT_NONE;
    case ERR_CONFLICT: return AUDIT_FAULT_TAKEN;
    case ERR_DENIED: return AUDIT_FAULT_FOLDER;
    case ERR_MALFORMED: return AUDIT_FAULT_CHAIN;
    case ERR_NO_MEMORY: return AUDIT_FAULT_MEMORY;
    case ERR_IO:
    case ERR_LIMIT:
    case ERR_NOT_FOUND:
    case ERR_AGAIN:
    case ERR_CLOSED:
    case ERR_TIMEOUT:
    case ERR_UNSUPPORTED:
    case ERR_INVARIANT: break;
    }
    return AUDIT_FAULT_FILE;
}

static enum err prepare(struct audit *a)
{
    a->loop = loop_new(a);
    if (!a->loop || !reserve(&a->queue, AUDIT_QUEUE_MAX) || !reserve(&a->taken, AUDIT_QUEUE_MAX) ||
        !reserve(&a->out, OUT_MAX + AUDIT_LINE_MAX))
        return ERR_NO_MEMORY;
    a->head.loop = a->loop;
    enum err e = audit_segment_open(a->options.folder, a->options.chain, &a->segment, &a->chain);
    if (e != ERR_OK) return e;
    a->begin = a->chain;
    a->head.key = audit_head_key(a->head.key_text, a->options.folder, str_of(a->options.chain));
    return start_thread(a);
}

enum err audit_open(const struct audit_options *o, struct audit **out, enum audit_fault *fault)
{
    *fault = AUDIT_FAULT_NAME;
    if (!audit_chain_name_ok(str_of(o->chain)) || o->key.n != AUDIT_KEY_LEN) return ERR_MALFORMED;
    *fault = AUDIT_FAULT_MEMORY;
    struct audit *a = calloc(1, sizeof *a);
    if (!a) return ERR_NO_MEMORY;
    pthread_mutex_init(&a->lock, NULL);
    a->options = *o;
    a->segment = (struct audit_segment){.folder = -1, .fd = -1};
    a->segment_bytes = o->segment_bytes ? o->segment_bytes : SEGMENT_BYTES;
    a->waits_end = &a->waits;
    a->news.on_mail = on_news;
    a->stop.on_mail = on_stop;
    a->head.on_known = on_head;
    a->head.ctx = a;
    a->sync_timer.on_time = on_sync;
    a->fold_timer.on_time = on_fold;
    a->retry_timer.on_time = on_retry;
    a->ready = true;
    memcpy(a->key, o->key.p, sizeof a->key);
    audit_fold_init(&a->fold);
    enum err e = prepare(a);
    *fault = fault_of(e);
    if (e != ERR_OK) {
        destroy(a);
        return e;
    }
    a->options.folder = a->options.chain = NULL; /* the caller's */
    *out = a;
    return ERR_OK;
}

void audit_close(struct audit **out)
{
    struct audit *a = *out;
    if (!a) return;
    *out = NULL;
    mail_post(a->loop, &a->stop);
    pthread_join(a->thread, NULL);
    destroy(a);
}
