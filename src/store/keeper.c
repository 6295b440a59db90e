#include "store/keeper.h"

#include "store/job.h"
#include "store/keeper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* One turn of the keeper's loop: letters put jobs into the queue of their space; at the end of the turn every space
 * answers the reads that wait, then commits as many of the batches as the bounds allow. While it does, the next jobs
 * arrive: the busier it is, the larger the transactions. */

#define GROUP_MAX        256 /* batches a transaction */
#define GROUP_BYTES_MAX  ((size_t)4 << 20)
#define TICK_MS          1000
#define SWEEP_MAX        256
#define COMPACT_MAX      5000
#define COMPACT_EACH_MS  60000 /* for what is too old; what is too many goes at once */
#define COMPACT_AGAIN_MS 100

static struct keeper_client *client_of(const struct store_job *job)
{
    return job->private_loop;
}

/* --- answers --- */

static void on_answer(struct mail *m, void *owner)
{
    (void)owner;
    struct store_job *job = CONTAINER_OF(m, struct store_job, mail);
    job->done(job);
}

static void send_answer(struct store_job *job)
{
    job->mail.on_mail = on_answer;
    mail_post(client_of(job)->loop, &job->mail);
}

static void answer(struct keeper *k, struct store_job *job, enum err err)
{
    job->err = err;
    atomic_fetch_sub_explicit(&k->waiting, 1, memory_order_relaxed);
    send_answer(job);
}

/* --- reads --- */

struct range_walk {
    struct store_answer *answer;
    uint32_t left;
    bool more;
    enum err err;
};

static bool on_range_entry(void *ctx, const struct store_entry *e)
{
    struct range_walk *w = ctx;
    if (w->left) w->err = store_answer_add(w->answer, e);
    w->more = !w->left || w->err == ERR_LIMIT;
    if (w->more) w->err = ERR_OK;
    if (w->more || w->err != ERR_OK) return false;
    w->left--;
    return true;
}

static enum err read_range(struct engine *e, struct store_job *job, struct store_answer *a, int64_t now_s)
{
    struct range_walk w = {a, job->limit ? job->limit : STORE_RANGE_MAX, false, ERR_OK};
    enum err err = e->ops->range(e, job->from, job->to, job->reverse, now_s, on_range_entry, &w);
    if (err == ERR_OK) err = w.err;
    job->more = w.more;
    return err;
}

static enum err read_keys(struct engine *e, struct store_job *job, struct store_answer *a, int64_t now_s)
{
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < job->n_keys && err == ERR_OK; i++) {
        struct store_entry x;
        err = e->ops->get(e, job->keys[i], now_s, &x);
        if (err == ERR_OK && !x.version) x = (struct store_entry){.key = job->keys[i]};
        if (err == ERR_OK) err = store_answer_add(a, &x);
    }
    return err;
}

static void do_read(struct keeper *k, struct space *sp, struct store_job *job)
{
    struct engine *e = sp->engine;
    struct store_answer a;
    int64_t now_s = (int64_t)keeper_now_s(k);
    store_answer_init(&a);
    sp->reads++;
    if (job->kind == STORE_WATCHERS) {
        answer(k, job, keeper_watchers_answer(k, job));
        return;
    }
    enum err err = job->kind == STORE_GET ? read_keys(e, job, &a, now_s) : read_range(e, job, &a, now_s);
    if (err == ERR_OK) err = store_answer_give(&a, job);
    if (err == ERR_OK) job->at = e->ops->at(e);
    store_answer_drop(&a);
    answer(k, job, err == ERR_NO_MEMORY || err == ERR_LIMIT || err == ERR_OK ? err : ERR_IO);
}

/* --- batches --- */

static size_t bytes_of(const struct store_job *job)
{
    size_t n = 0;
    for (uint32_t i = 0; i < job->n_ops; i++) n += job->ops[i].key.n + job->ops[i].value.n;
    return n;
}

static void commit_alone(struct keeper *k, struct engine *e, struct engine_batch *group, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        group[i].next = NULL;
        enum err err = e->ops->apply(e, &group[i], (int64_t)keeper_now_s(k));
        if (err != ERR_OK) group[i].err = err;
    }
}

/* One that cannot be written must not cost the others their answer: where a group fails, each is tried alone. */
static void commit(struct keeper *k, struct space *sp, struct store_job **jobs, uint32_t n)
{
    struct engine_batch group[GROUP_MAX];
    struct engine *e = sp->engine;
    for (uint32_t i = 0; i < n; i++)
        group[i] = (struct engine_batch){jobs[i]->ops, jobs[i]->n_ops, i + 1 < n ? &group[i + 1] : NULL, ERR_OK, 0, 0};
    enum err err = e->ops->apply(e, group, (int64_t)keeper_now_s(k));
    for (uint32_t i = 0; err != ERR_OK && i < n; i++) group[i].err = err;
    if (err != ERR_OK && err != ERR_TIMEOUT && n > 1) commit_alone(k, e, group, n);
    sp->commits++;
    sp->batches += n;
    if (n > sp->largest_commit) sp->largest_commit = n;
    for (uint32_t i = 0; i < n; i++) {
        struct store_job *job = jobs[i];
        sp->ops += job->n_ops;
        sp->conflicts += group[i].err == ERR_CONFLICT;
        job->failed = group[i].failed;
        if (group[i].err == ERR_OK) job->at = (struct store_position){e->ops->at(e).epoch, group[i].number};
        answer(k, job, group[i].err);
    }
}

/* Takes the batches of one transaction off the queue; true: some are left. */
static bool take_group(struct space *sp, struct store_job **jobs, uint32_t *n)
{
    size_t bytes = 0;
    *n = 0;
    while (sp->first && *n < GROUP_MAX && bytes < GROUP_BYTES_MAX) {
        struct store_job *job = sp->first;
        sp->first = job->next;
        bytes += bytes_of(job);
        jobs[(*n)++] = job;
    }
    if (!sp->first) sp->last = &sp->first;
    return sp->first != NULL;
}

/* Answers everything but batches, and leaves those in the queue. */
static void do_reads(struct keeper *k, struct space *sp)
{
    struct store_job **link = &sp->first;
    for (struct store_job *job; (job = *link);) {
        if (job->kind == STORE_BATCH && sp->engine) {
            link = &job->next;
            continue;
        }
        *link = job->next;
        if (sp->engine)
            do_read(k, sp, job);
        else
            answer(k, job, ERR_IO);
    }
    sp->last = link;
}

static bool too_long(const struct keeper *k, const struct space *sp)
{
    uint64_t keep = k->config.history_max;
    return sp->engine->ops->at(sp->engine).number - sp->floor > keep + keep / 8;
}

static void compact(struct keeper *k, struct space *sp)
{
    struct engine *e = sp->engine;
    struct engine_history h = {k->config.history_max, (int64_t)keeper_now_s(k) - k->config.history_s, COMPACT_MAX};
    sp->compacted_ms = loop_now_ms(k->loop);
    if (e->ops->compact(e, &h, &sp->compacting) != ERR_OK) sp->compacting = false;
    if (sp->compacting) keeper_again(k);
    sp->floor = e->ops->floor(e);
}

static void serve(struct keeper *k, enum store_space s)
{
    struct space *sp = &k->spaces[s];
    if (sp->frozen || !sp->first) return;
    do_reads(k, sp);
    if (!sp->first) return;
    struct store_job *jobs[GROUP_MAX];
    uint32_t n;
    if (take_group(sp, jobs, &n)) keeper_again(k);
    commit(k, sp, jobs, n);
    keeper_watches_feed(k, s);
    sp->engine->ops->tidy(sp->engine);
    /* not in every turn once it has failed: the tick tries again */
    if (too_long(k, sp) && loop_now_ms(k->loop) - sp->compacted_ms >= COMPACT_AGAIN_MS) compact(k, sp);
}

/* --- upkeep --- */

static void upkeep(struct keeper *k, enum store_space s)
{
    struct space *sp = &k->spaces[s];
    if (!sp->engine || sp->frozen) return;
    uint32_t swept = 0;
    if (sp->engine->ops->sweep(sp->engine, (int64_t)keeper_now_s(k), SWEEP_MAX, &swept) == ERR_OK && swept) {
        sp->swept += swept;
        keeper_watches_feed(k, s);
        sp->engine->ops->tidy(sp->engine);
    }
    if (swept == SWEEP_MAX) timer_set(k->loop, &k->tick, loop_now_ms(k->loop) + 1);
    if (too_long(k, sp) || loop_now_ms(k->loop) - sp->compacted_ms >= COMPACT_EACH_MS) compact(k, sp);
}

static void on_tick(struct timer *t)
{
    struct keeper *k = CONTAINER_OF(t, struct keeper, tick);
    timer_set(k->loop, &k->tick, loop_now_ms(k->loop) + TICK_MS);
    for (unsigned s = 0; s < STORE_SPACES; s++) {
        upkeep(k, (enum store_space)s);
        keeper_watches_tick(k, (enum store_space)s);
    }
}

static void on_again(struct task *t)
{
    (void)t; /* that the loop turns is all that was wanted */
}

void keeper_again(struct keeper *k)
{
    loop_defer(k->loop, &k->again);
}

static void on_turn_end(void *owner)
{
    struct keeper *k = owner;
    for (unsigned s = 0; s < STORE_SPACES; s++) {
        serve(k, (enum store_space)s);
        if (k->spaces[s].compacting && k->spaces[s].engine && !k->spaces[s].frozen) compact(k, &k->spaces[s]);
    }
}

/* --- life --- */

void keeper_space_path(const struct keeper *k, enum store_space s, const char *more, char out[KEEPER_PATH_MAX])
{
    snprintf(out, KEEPER_PATH_MAX, "%s/%s.db%s", k->dir, store_space_name(s), more);
}

bool keeper_open_space(struct keeper *k, enum store_space s)
{
    struct space *sp = &k->spaces[s];
    char path[KEEPER_PATH_MAX], why[160] = "memory is out";
    enum err err;
    if (k->config.engine == KEEPER_MEMORY) {
        err = engine_memory_open(k->config.memory_max, &sp->engine);
    } else {
        keeper_space_path(k, s, "", path);
        err = engine_sqlite_open(path, store_space_name(s), &sp->engine, why);
    }
    if (err == ERR_OK) err = keeper_watches_opened(k, s);
    if (err == ERR_OK) sp->floor = sp->engine->ops->floor(sp->engine);
    if (err != ERR_OK && sp->engine) {
        sp->engine->ops->close(sp->engine);
        sp->engine = NULL;
        snprintf(why, sizeof why, "the leases of its watchers cannot be read: %s", err_name(err));
    }
    pthread_mutex_lock(&k->lock);
    if (err == ERR_OK)
        sp->why[0] = '\0';
    else
        snprintf(sp->why, sizeof sp->why, "%s.db: %s", store_space_name(s), why);
    pthread_mutex_unlock(&k->lock);
    return err == ERR_OK;
}

void keeper_why(struct keeper *k, enum store_space s, char out[KEEPER_WHY])
{
    pthread_mutex_lock(&k->lock);
    snprintf(out, KEEPER_WHY, "%s", k->spaces[s].why);
    pthread_mutex_unlock(&k->lock);
}

static void *run(void *arg)
{
    struct keeper *k = arg;
    loop_run(k->loop);
    return NULL;
}

/* The thread takes no signals: they are for who waits for them. */
static bool start_thread(struct keeper *k)
{
    sigset_t everything, before;
    sigfillset(&everything);
    pthread_sigmask(SIG_SETMASK, &everything, &before);
    bool ok = pthread_create(&k->thread, NULL, run, k) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

static enum err refuse(char *why, enum err err, const char *what)
{
    snprintf(why, KEEPER_WHY, "%s: %s", what, errno ? strerror(errno) : err_name(err));
    return err;
}

/* The folder is ours alone, and no other process keeps it. */
static enum err take_folder(struct keeper *k, char *why)
{
    char path[KEEPER_PATH_MAX + 8];
    errno = 0;
    bool made = mkdir(k->dir, 0700) == 0;
    if (!made && errno != EEXIST) return refuse(why, ERR_IO, "the folder of the store");
    snprintf(path, sizeof path, "%s/..", k->dir);
    if (made && keeper_sync_folder(path) != ERR_OK) return refuse(why, ERR_IO, "the folder of the store");
    snprintf(path, sizeof path, "%s/lock", k->dir);
    k->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (k->lock_fd < 0) return refuse(why, ERR_IO, "the lock of the store's folder");
    if (flock(k->lock_fd, LOCK_EX | LOCK_NB) == 0) return keeper_restore_resume(k, why);
    if (errno != EWOULDBLOCK) return refuse(why, ERR_IO, "the lock of the store's folder");
    snprintf(why, KEEPER_WHY, "another process has the store's folder open");
    return ERR_CONFLICT;
}

static enum err start(struct keeper *k, char *why)
{
    errno = 0;
    k->loop = loop_new(k);
    if (!k->loop) return refuse(why, ERR_NO_MEMORY, "the store's loop");
    k->helper = offload_new(1, 4);
    if (!k->helper) return refuse(why, ERR_NO_MEMORY, "the store's helper");
    enum err err = k->config.engine == KEEPER_SQLITE ? take_folder(k, why) : ERR_OK;
    if (err != ERR_OK) return err;
    for (unsigned s = 0; s < STORE_SPACES; s++)
        if (k->spaces[s].served) (void)keeper_open_space(k, (enum store_space)s);
    loop_on_turn_end(k->loop, on_turn_end);
    timer_set(k->loop, &k->tick, loop_now_ms(k->loop) + TICK_MS);
    errno = 0;
    return start_thread(k) ? ERR_OK : refuse(why, ERR_NO_MEMORY, "the store's thread");
}

static void release(struct keeper *k)
{
    keeper_watches_free(k);
    for (unsigned s = 0; s < STORE_SPACES; s++)
        if (k->spaces[s].engine) k->spaces[s].engine->ops->close(k->spaces[s].engine);
    offload_free(&k->helper);
    loop_free(&k->loop);
    if (k->lock_fd >= 0) close(k->lock_fd);
    pthread_cond_destroy(&k->client_gone);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

enum err keeper_new(const struct keeper_config *config, struct keeper **out, char *why)
{
    why[0] = '\0';
    struct keeper *k = calloc(1, sizeof *k);
    if (!k) return ERR_NO_MEMORY;
    k->config = *config;
    k->lock_fd = -1;
    if (!k->config.memory_max) k->config.memory_max = (size_t)256 << 20;
    if (!k->config.history_s) k->config.history_s = 3600;
    if (!k->config.history_max) k->config.history_max = 100000;
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->client_gone, NULL);
    k->tick.on_time = on_tick;
    k->again.run = on_again;
    k->tasks_last = &k->tasks;
    for (unsigned s = 0; s < STORE_SPACES; s++) {
        k->spaces[s].served = config->spaces & KEEPER_SPACE(s);
        k->spaces[s].last = &k->spaces[s].first;
    }
    size_t n = config->dir ? strlen(config->dir) : 0;
    if (config->engine == KEEPER_SQLITE && (n == 0 || n >= KEEPER_DIR_MAX)) {
        snprintf(why, KEEPER_WHY, "the store's folder has no name, or too long a one");
        release(k);
        return ERR_IO;
    }
    if (n && n < sizeof k->dir) memcpy(k->dir, config->dir, n);
    enum err err = start(k, why);
    if (err == ERR_OK)
        *out = k;
    else
        release(k);
    return err;
}

static void on_halt(struct mail *m, void *owner)
{
    (void)m;
    struct keeper *k = owner;
    k->halting = true;
    keeper_tasks_halt(k);
}

void keeper_free(struct keeper **k)
{
    if (!*k) return;
    atomic_store(&(*k)->stop, true);
    (*k)->halt.on_mail = on_halt;
    mail_post((*k)->loop, &(*k)->halt);
    pthread_join((*k)->thread, NULL);
    release(*k);
    *k = NULL;
}

/* --- clients --- */

enum err keeper_client_new(struct keeper *k, struct loop *loop, uint32_t spaces, struct keeper_client **out)
{
    struct keeper_client *c = calloc(1, sizeof *c);
    if (!c) return ERR_NO_MEMORY;
    c->keeper = k;
    c->loop = loop;
    c->spaces = spaces;
    *out = c;
    return ERR_OK;
}

static void on_job(struct mail *m, void *owner)
{
    struct keeper *k = owner;
    struct store_job *job = CONTAINER_OF(m, struct store_job, mail);
    struct space *sp = &k->spaces[job->space];
    job->next = NULL;
    *sp->last = job;
    sp->last = &job->next;
}

void keeper_submit(struct keeper_client *c, struct store_job *job)
{
    struct keeper *k = c->keeper;
    job->private_loop = c;
    job->err = store_job_check(job);
    if (job->err == ERR_OK && !(c->spaces & KEEPER_SPACE(job->space) && k->spaces[job->space].served))
        job->err = ERR_DENIED;
    if (c->closed) { /* from a `done` that keeper_client_free calls */
        job->err = ERR_CLOSED;
        job->next = c->returned;
        c->returned = job;
        return;
    }
    if (job->err == ERR_OK && atomic_fetch_add_explicit(&k->waiting, 1, memory_order_relaxed) >= KEEPER_QUEUE_MAX) {
        atomic_fetch_sub_explicit(&k->waiting, 1, memory_order_relaxed);
        job->err = ERR_LIMIT;
    }
    if (job->err != ERR_OK) {
        send_answer(job);
        return;
    }
    job->mail.on_mail = on_job;
    mail_post(k->loop, &job->mail);
}

/* The keeper's thread: whatever of this client waits is given back, and it is forgotten. */
static void on_closing(struct mail *m, void *owner)
{
    struct keeper *k = owner;
    struct keeper_client *c = CONTAINER_OF(m, struct keeper_client, closing);
    for (unsigned s = 0; s < STORE_SPACES; s++) {
        struct store_job **link = &k->spaces[s].first;
        for (struct store_job *job; (job = *link);) {
            if (client_of(job) != c) {
                link = &job->next;
                continue;
            }
            *link = job->next;
            job->err = ERR_CLOSED;
            job->next = c->returned;
            c->returned = job;
            atomic_fetch_sub_explicit(&k->waiting, 1, memory_order_relaxed);
        }
        k->spaces[s].last = link;
    }
    pthread_mutex_lock(&k->lock);
    c->gone = true;
    pthread_cond_broadcast(&k->client_gone);
    pthread_mutex_unlock(&k->lock);
}

static bool is_answer_of(struct mail *m, void *whose)
{
    return m->on_mail == on_answer && client_of(CONTAINER_OF(m, struct store_job, mail)) == whose;
}

void keeper_client_free(struct keeper_client **client)
{
    struct keeper_client *c = *client;
    if (!c) return;
    struct keeper *k = c->keeper;
    c->closing.on_mail = on_closing;
    mail_post(k->loop, &c->closing);
    pthread_mutex_lock(&k->lock);
    while (!c->gone) pthread_cond_wait(&k->client_gone, &k->lock);
    pthread_mutex_unlock(&k->lock);
    c->closed = true;
    struct mail *m = mail_take_back(c->loop, is_answer_of, c);
    while (m) {
        struct mail *next = m->next;
        m->on_mail(m, NULL);
        m = next;
    }
    while (c->returned) {
        struct store_job *job = c->returned;
        c->returned = job->next;
        job->done(job);
    }
    free(c);
    *client = NULL;
}
