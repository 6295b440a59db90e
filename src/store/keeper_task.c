#include "store/keeper_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* How a restore stays all or nothing:
 *
 *   preparing   <space>.db.restore is copied, checked, changed, synced, for every space (helper thread).
 *               A start that finds such files and no note removes them.
 *   noted       restore.note names the spaces; it and the folder are synced. From here on it will happen.
 *   moving      per space: <space>.db-wal and .db become .before, <space>.db.restore becomes <space>.db; the folder is
 *               synced. A start that finds the note does this for every space that still has its .restore.
 *   done        the note is removed. */

#define NOTE     "restore.note"
#define COPY_BUF ((size_t)256 << 10)

static enum err say(char *why, enum err err, enum store_space s, const char *what, int error)
{
    snprintf(why, KEEPER_WHY, "%s.db: %s%s%s", store_space_name(s), what, error ? ": " : "",
             error ? strerror(error) : "");
    return err;
}

/* --- files --- */

enum err keeper_sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ERR_IO;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok ? ERR_OK : ERR_IO;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* What is not there is moved as well. */
static bool move(const char *from, const char *to)
{
    return rename(from, to) == 0 || errno == ENOENT;
}

static bool join(char out[KEEPER_PATH_MAX], const char *dir, enum store_space s, const char *more)
{
    int n = snprintf(out, KEEPER_PATH_MAX, "%s/%s.db%s", dir, store_space_name(s), more);
    return n > 0 && n < KEEPER_PATH_MAX;
}

static bool copy_bytes(int in, int out, atomic_bool *stop)
{
    char *block = malloc(COPY_BUF);
    ssize_t n = block ? 1 : -1;
    while (n > 0 && !atomic_load(stop)) {
        n = read(in, block, COPY_BUF);
        for (ssize_t at = 0, put; n > 0 && at < n; at += put) {
            put = write(out, block + at, (size_t)(n - at));
            if (put <= 0) {
                n = -1;
                break;
            }
        }
    }
    free(block);
    return n == 0 && fsync(out) == 0;
}

static bool copy_file(const char *from, const char *to, atomic_bool *stop)
{
    unlink(to);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = in >= 0 ? open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    bool ok = out >= 0 && copy_bytes(in, out, stop);
    int error = errno;
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    errno = error;
    return ok;
}

static void drop_copies(struct keeper *k, uint32_t spaces)
{
    char path[KEEPER_PATH_MAX];
    for (unsigned s = 0; s < STORE_SPACES; s++) {
        if (!(spaces & KEEPER_SPACE(s))) continue;
        keeper_space_path(k, (enum store_space)s, ".restore", path);
        unlink(path);
        keeper_space_path(k, (enum store_space)s, ".restore-journal", path);
        unlink(path);
    }
}

/* --- the swap --- */

static void note_path(const struct keeper *k, const char *more, char out[KEEPER_PATH_MAX + 32])
{
    snprintf(out, KEEPER_PATH_MAX + 32, "%s/" NOTE "%s", k->dir, more);
}

static enum err write_note(struct keeper *k, uint32_t spaces)
{
    char path[KEEPER_PATH_MAX + 32], part[KEEPER_PATH_MAX + 32], text[32];
    note_path(k, "", path);
    note_path(k, ".part", part);
    int n = snprintf(text, sizeof text, "%u\n", spaces);
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, text, (size_t)n) == n && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    ok = ok && rename(part, path) == 0;
    if (ok && keeper_sync_folder(k->dir) == ERR_OK) return ERR_OK;
    unlink(part);
    unlink(path);
    return ERR_IO;
}

static enum err move_space(struct keeper *k, enum store_space s)
{
    char copy[KEEPER_PATH_MAX], file[KEEPER_PATH_MAX], before[KEEPER_PATH_MAX], more[KEEPER_PATH_MAX];
    keeper_space_path(k, s, ".restore", copy);
    if (!exists(copy)) return ERR_OK; /* moved before a crash */
    keeper_space_path(k, s, "", file);
    keeper_space_path(k, s, ".before", before);
    /* the log first: it must never lie beside a file that is not its own */
    keeper_space_path(k, s, "-shm", more);
    unlink(more);
    keeper_space_path(k, s, "-wal", more);
    char before_log[KEEPER_PATH_MAX];
    keeper_space_path(k, s, ".before-wal", before_log);
    if (exists(file)) unlink(before_log); /* of an earlier restore */
    if (!move(more, before_log) || !move(file, before) || rename(copy, file) != 0) return ERR_IO;
    return keeper_sync_folder(k->dir);
}

static enum err move_all(struct keeper *k, uint32_t spaces)
{
    char note[KEEPER_PATH_MAX + 32];
    enum err err = ERR_OK;
    for (unsigned s = 0; s < STORE_SPACES && err == ERR_OK; s++)
        if (spaces & KEEPER_SPACE(s)) err = move_space(k, (enum store_space)s);
    if (err != ERR_OK) return err;
    note_path(k, "", note);
    unlink(note);
    return keeper_sync_folder(k->dir);
}

enum err keeper_restore_resume(struct keeper *k, char *why)
{
    char note[KEEPER_PATH_MAX + 32], text[32] = "";
    uint64_t spaces = 0;
    note_path(k, "", note);
    int fd = open(note, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        drop_copies(k, KEEPER_ALL);
        return ERR_OK;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    str s = str_trim(str_make(text, n > 1 ? (size_t)n - 1 : 0));
    if (str_to_u64(s, &spaces) == ERR_OK && spaces <= KEEPER_ALL && move_all(k, (uint32_t)spaces) == ERR_OK)
        return ERR_OK;
    snprintf(why, KEEPER_WHY, "a restore was interrupted and cannot be finished: see " NOTE " in the store's folder");
    return ERR_IO;
}

/* --- on the helper's thread --- */

static enum err check_one(struct keeper *k, struct keeper_task *t, enum store_space s, char *why)
{
    char path[KEEPER_PATH_MAX];
    if (k->config.engine == KEEPER_MEMORY) return ERR_OK;
    keeper_space_path(k, s, "", path);
    return engine_sqlite_check(path, store_space_name(s), &k->stop, &t->status[s].at, why);
}

static enum err backup_one(struct keeper *k, struct keeper_task *t, enum store_space s, char *why)
{
    char path[KEEPER_PATH_MAX], to[KEEPER_PATH_MAX], part[KEEPER_PATH_MAX];
    struct stat st;
    keeper_space_path(k, s, "", path);
    if (!join(to, t->dir, s, "") || !join(part, t->dir, s, ".part")) return ERR_LIMIT;
    unlink(part);
    enum err err = engine_sqlite_backup(path, store_space_name(s), part, &k->stop, &t->status[s].at, why);
    if (err == ERR_OK && (rename(part, to) != 0 || keeper_sync_folder(t->dir) != ERR_OK)) {
        snprintf(why, 160, "%s", strerror(errno));
        err = ERR_IO;
    }
    if (err == ERR_OK && stat(to, &st) == 0) t->status[s].bytes = (uint64_t)st.st_size;
    if (err != ERR_OK) unlink(part);
    return err;
}

struct naming {
    struct keeper_task *task;
    enum store_space space;
};

static bool on_changed(void *ctx, const struct store_entry *then, const struct store_entry *now, struct buf *value)
{
    struct naming *n = ctx;
    return n->task->on_changed(n->task, n->space, then, now, value);
}

static uint32_t prefixes_of(const struct keeper_task *t, enum store_space s, str *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < t->n_compare; i++)
        if (t->compare[i].space == s) out[n++] = t->compare[i].prefix;
    return n;
}

static enum err restore_one(struct keeper *k, struct keeper_task *t, enum store_space s, char *why)
{
    char from[KEEPER_PATH_MAX], copy[KEEPER_PATH_MAX], now[KEEPER_PATH_MAX];
    str prefixes[KEEPER_COMPARE_MAX];
    struct naming naming = {t, s};
    struct store_position at;
    keeper_space_path(k, s, ".restore", copy);
    keeper_space_path(k, s, "", now);
    if (!join(from, t->dir, s, "")) return ERR_LIMIT;
    if (!copy_file(from, copy, &k->stop)) {
        snprintf(why, 160, "cannot be copied: %s", strerror(errno));
        return ERR_IO;
    }
    enum err err = engine_sqlite_check(copy, store_space_name(s), &k->stop, &at, why);
    if (err != ERR_OK) return err;
    struct engine_restore r = {
        .copy = copy,
        .now = now,
        .name = store_space_name(s),
        .prefixes = prefixes,
        .n_prefixes = prefixes_of(t, s, prefixes),
        .on_changed = on_changed,
        .ctx = &naming,
        .ops = t->ops[s],
        .n_ops = t->n_ops[s],
        .now_s = (int64_t)(t->now_ms / 1000),
        .stop = &k->stop,
    };
    err = engine_sqlite_restore(&r, why);
    t->changed += r.changed;
    t->unsure |= r.unsure;
    t->status[s].at = r.at;
    return err;
}

static enum err one(struct keeper *k, struct keeper_task *t, enum store_space s, char *why)
{
    switch (t->kind) {
    case KEEPER_CHECK: return check_one(k, t, s, why);
    case KEEPER_BACKUP: return backup_one(k, t, s, why);
    case KEEPER_RESTORE: return restore_one(k, t, s, why);
    case KEEPER_STATUS: break;
    }
    return ERR_OK;
}

static void on_helper(struct offload_job *job)
{
    struct keeper *k = CONTAINER_OF(job, struct keeper, helping);
    struct keeper_task *t = k->running;
    char why[160];
    if (t->kind == KEEPER_BACKUP && mkdir(t->dir, 0700) != 0 && errno != EEXIST) {
        snprintf(t->why, sizeof t->why, "%s: %s", t->dir, strerror(errno));
        t->err = ERR_IO;
    }
    for (unsigned s = 0; s < STORE_SPACES && t->err == ERR_OK; s++) {
        if (!(t->spaces & KEEPER_SPACE(s))) continue;
        why[0] = '\0';
        t->err = one(k, t, (enum store_space)s, why);
        if (t->err != ERR_OK) (void)say(t->why, t->err, (enum store_space)s, why[0] ? why : err_name(t->err), 0);
    }
}

/* --- on the keeper's thread --- */

static void on_task_done(struct mail *m, void *owner)
{
    (void)owner;
    struct keeper_task *t = CONTAINER_OF(m, struct keeper_task, mail);
    t->done(t);
}

static void finish(struct keeper_task *t)
{
    t->mail.on_mail = on_task_done;
    mail_post(t->loop, &t->mail);
}

static void freeze(struct keeper *k, uint32_t spaces, bool frozen)
{
    for (unsigned s = 0; s < STORE_SPACES; s++)
        if (spaces & KEEPER_SPACE(s)) k->spaces[s].frozen = frozen;
}

static void close_all(struct keeper *k, uint32_t spaces)
{
    for (unsigned s = 0; s < STORE_SPACES; s++) {
        struct space *sp = &k->spaces[s];
        if (!(spaces & KEEPER_SPACE(s)) || !sp->engine) continue;
        sp->engine->ops->close(sp->engine);
        sp->engine = NULL;
    }
}

static void open_all(struct keeper *k, struct keeper_task *t)
{
    for (unsigned s = 0; s < STORE_SPACES; s++) {
        if (!(t->spaces & KEEPER_SPACE(s))) continue;
        if (keeper_open_space(k, (enum store_space)s)) continue;
        t->err = ERR_IO;
        snprintf(t->why, sizeof t->why, "%s", k->spaces[s].why);
    }
}

/* Whether the copies may be dropped if it failed: nothing was begun. */
static bool swap(struct keeper *k, struct keeper_task *t)
{
    t->err = write_note(k, t->spaces);
    if (t->err != ERR_OK) {
        snprintf(t->why, sizeof t->why, "the note of the restore cannot be written: %s", strerror(errno));
        return true;
    }
    close_all(k, t->spaces);
    t->err = move_all(k, t->spaces);
    if (t->err != ERR_OK) { /* the note stays: the next start finishes it */
        snprintf(t->why, sizeof t->why, "the restore is not finished, start the process again: %s", strerror(errno));
        pthread_mutex_lock(&k->lock);
        for (unsigned s = 0; s < STORE_SPACES; s++)
            if (t->spaces & KEEPER_SPACE(s)) memcpy(k->spaces[s].why, t->why, sizeof t->why);
        pthread_mutex_unlock(&k->lock);
        return false;
    }
    open_all(k, t);
    return false;
}

static void start_next(struct keeper *k);

static void on_helped(struct offload_job *job)
{
    struct keeper *k = CONTAINER_OF(job, struct keeper, helping);
    struct keeper_task *t = k->running;
    k->running = NULL;
    if (t->kind == KEEPER_RESTORE) {
        bool untouched = t->err != ERR_OK || swap(k, t);
        if (untouched) drop_copies(k, t->spaces);
        freeze(k, t->spaces, false);
        for (unsigned s = 0; s < STORE_SPACES; s++)
            if (t->spaces & KEEPER_SPACE(s)) keeper_watches_feed(k, (enum store_space)s);
        keeper_again(k);
    }
    finish(t);
    start_next(k);
}

static void start_next(struct keeper *k)
{
    while (k->tasks && !k->running) {
        struct keeper_task *t = k->tasks;
        k->tasks = t->next;
        if (!k->tasks) k->tasks_last = &k->tasks;
        if (k->halting) t->err = ERR_CLOSED;
        if (t->err == ERR_OK && k->config.engine == KEEPER_MEMORY && t->kind != KEEPER_CHECK) t->err = ERR_UNSUPPORTED;
        if (t->err == ERR_OK) {
            k->running = t;
            if (t->kind == KEEPER_RESTORE) freeze(k, t->spaces, true);
            t->now_ms = loop_wall_ms(k->loop);
            k->helping.run = on_helper;
            k->helping.done = on_helped;
            enum err err = offload_submit(k->helper, k->loop, &k->helping);
            if (err == ERR_OK) return; /* the helper's from here on */
            t->err = err;
            k->running = NULL;
            freeze(k, t->spaces, false);
        }
        finish(t);
    }
    if (k->halting && !k->running) loop_stop(k->loop);
}

void keeper_tasks_halt(struct keeper *k)
{
    start_next(k);
}

static void tell_status(struct keeper *k, enum store_space s, struct keeper_space_status *out)
{
    struct space *sp = &k->spaces[s];
    struct engine_status st = {0};
    if (sp->engine) sp->engine->ops->status(sp->engine, &st);
    *out = (struct keeper_space_status){
        .served = sp->served,
        .at = st.at,
        .floor = st.floor,
        .bytes = st.bytes,
        .batches = sp->batches,
        .ops = sp->ops,
        .conflicts = sp->conflicts,
        .commits = sp->commits,
        .largest_commit = sp->largest_commit,
        .reads = sp->reads,
        .swept = sp->swept,
        .faults = st.faults,
    };
    memcpy(out->why, sp->why, sizeof out->why);
    memcpy(out->fault, st.why, sizeof st.why);
    keeper_watches_count(k, s, &out->watchers, &out->away);
}

static void on_task(struct mail *m, void *owner)
{
    struct keeper *k = owner;
    struct keeper_task *t = CONTAINER_OF(m, struct keeper_task, mail);
    if (t->kind == KEEPER_STATUS) {
        for (unsigned s = 0; s < STORE_SPACES; s++) tell_status(k, (enum store_space)s, &t->status[s]);
        finish(t);
        return;
    }
    t->next = NULL;
    *k->tasks_last = t;
    k->tasks_last = &t->next;
    start_next(k);
}

enum err keeper_task_submit(struct keeper *k, struct loop *loop, struct keeper_task *t)
{
    uint32_t served = 0;
    for (unsigned s = 0; s < STORE_SPACES; s++)
        if (k->spaces[s].served) served |= KEEPER_SPACE(s);
    if (t->kind != KEEPER_STATUS && (!t->spaces || t->spaces & ~served)) return ERR_MALFORMED;
    if ((t->kind == KEEPER_BACKUP || t->kind == KEEPER_RESTORE) && !t->dir) return ERR_MALFORMED;
    if (t->kind == KEEPER_RESTORE && (t->n_compare > KEEPER_COMPARE_MAX || (t->n_compare && !t->on_changed)))
        return ERR_MALFORMED;
    if (atomic_load(&k->stop)) return ERR_CLOSED;
    t->err = ERR_OK;
    t->why[0] = '\0';
    t->changed = 0;
    t->unsure = false;
    memset(t->status, 0, sizeof t->status);
    t->loop = loop;
    t->mail.on_mail = on_task;
    mail_post(k->loop, &t->mail);
    return ERR_OK;
}
