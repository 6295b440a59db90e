#include "base/clock.h"
#include "store/job.h"
#include "store/sqlite_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Checks, backups and restores: connections of their own, which look (read only, no checkpoints) at files that may be
 * served, and write only to files that nobody else has yet. */

#define PAGES_A_STEP 1024
#define STEPS_A_LOOK 20000 /* virtual machine steps between two looks at `stop` */

static struct engine *base(struct sqlite_engine *e)
{
    return &e->engine;
}

static int on_progress(void *ctx)
{
    return atomic_load_explicit((atomic_bool *)ctx, memory_order_relaxed);
}

static enum err fail(struct sqlite_engine *e, enum err err, char *why)
{
    snprintf(why, sizeof e->why, "%s", e->why[0] ? e->why : err_name(err));
    if (e->code == SQLITE_INTERRUPT) return ERR_CLOSED;
    return err == ERR_IO && (e->code == SQLITE_CORRUPT || e->code == SQLITE_NOTADB) ? ERR_MALFORMED : err;
}

static enum err open_it(const char *path, const char *name, enum sqlite_open how, atomic_bool *stop,
                        struct sqlite_engine **out, char *why)
{
    enum err err = sqlite_engine_open(path, name, how, out, why);
    if (err != ERR_OK) return err;
    union {
        const atomic_bool *in;
        void *out;
    } plain = {.in = stop};
    sqlite3_progress_handler((*out)->db, STEPS_A_LOOK, on_progress, plain.out);
    return ERR_OK;
}

/* --- check --- */

/* Each answers in how many rows it is broken. */
static const struct {
    const char *sql, *why;
} truths[] = {
    {"SELECT (SELECT count(*) FROM change) <> (SELECT ifnull(max(number) - min(number) + 1, 0) FROM change)",
     "the changes are not numbered without gaps"},
    {"SELECT count(*) FROM entry WHERE typeof(key) <> 'blob' OR typeof(value) <> 'blob' OR typeof(version) <> "
     "'integer' "
     "OR typeof(expires) <> 'integer' OR length(key) NOT BETWEEN 1 AND 512 OR length(value) > 262144 OR version < 1 OR "
     "expires < 0 OR instr(key, x'00') > 0",
     "an entry is not of the form of an entry"},
    {"SELECT count(*) FROM entry WHERE version > (SELECT ifnull(max(number), 0) FROM change)",
     "an entry is newer than the last change"},
    {"SELECT count(*) FROM entry e WHERE version >= (SELECT min(number) FROM change) AND NOT EXISTS "
     "(SELECT 1 FROM change c WHERE c.number = e.version AND c.key = e.key AND c.removed = 0)",
     "an entry has no change that wrote it"},
};

static enum err integrity(struct sqlite_engine *e, char *why)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(e->db, "PRAGMA integrity_check(1)", -1, &s, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(s);
    const char *said = code == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    bool ok = said && strcmp(said, "ok") == 0;
    if (said && !ok) snprintf(why, sizeof e->why, "%s", said);
    sqlite3_finalize(s);
    if (ok) return ERR_OK;
    return said ? ERR_MALFORMED : fail(e, sqlite_refused(e, code), why);
}

static enum err hold_true(struct sqlite_engine *e, char *why)
{
    for (size_t i = 0; i < ARRAY_LEN(truths); i++) {
        sqlite3_stmt *s = NULL;
        int code = sqlite3_prepare_v2(e->db, truths[i].sql, -1, &s, NULL);
        if (code == SQLITE_OK) code = sqlite3_step(s);
        bool broken = code == SQLITE_ROW && sqlite3_column_int64(s, 0) != 0;
        sqlite3_finalize(s);
        if (code != SQLITE_ROW) return fail(e, sqlite_refused(e, code), why);
        if (!broken) continue;
        snprintf(why, sizeof e->why, "%s", truths[i].why);
        return ERR_MALFORMED;
    }
    return ERR_OK;
}

static enum err check(struct sqlite_engine *e, char *why)
{
    enum err err = sqlite_run(e, "BEGIN"); /* all questions of one moment */
    if (err != ERR_OK) return fail(e, err, why);
    err = integrity(e, why);
    return err == ERR_OK ? hold_true(e, why) : err;
}

enum err engine_sqlite_check(const char *path, const char *name, atomic_bool *stop, struct store_position *at,
                             char *why)
{
    struct sqlite_engine *e = NULL;
    enum err err = open_it(path, name, OPEN_LOOK, stop, &e, why);
    if (err != ERR_OK) return err;
    err = check(e, why);
    if (err == ERR_OK) *at = e->at;
    sqlite_engine_close(e);
    return err;
}

/* --- backup --- */

static enum err copy_pages(struct sqlite_engine *e, sqlite3 *to, atomic_bool *stop, char *why)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", e->db, "main");
    int code = b ? SQLITE_OK : sqlite3_errcode(to);
    bool stopped = false;
    while (code == SQLITE_OK && !stopped) {
        code = sqlite3_backup_step(b, PAGES_A_STEP);
        stopped = atomic_load(stop);
    }
    if (b) sqlite3_backup_finish(b);
    /* one file: without the mark that it has a log */
    if (code == SQLITE_DONE) code = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    if (code == SQLITE_DONE || code == SQLITE_OK)
        code = stopped ? SQLITE_INTERRUPT : sqlite3_exec(to, "DELETE FROM lease", NULL, NULL, NULL);
    if (code == SQLITE_OK) return ERR_OK;
    snprintf(why, sizeof e->why, "%s", sqlite3_errstr(code));
    return stopped ? ERR_CLOSED : code == SQLITE_NOMEM ? ERR_NO_MEMORY : ERR_IO;
}

static enum err sync_file(const char *path, char *why)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    if (ok) return ERR_OK;
    snprintf(why, 160, "cannot be brought to the disk");
    return ERR_IO;
}

static enum err backup_to(struct sqlite_engine *e, const char *to, atomic_bool *stop, char *why)
{
    sqlite3 *db = NULL;
    int fd = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        snprintf(why, sizeof e->why, "the file of the backup cannot be made");
        return ERR_IO;
    }
    close(fd);
    /* a transaction of ours keeps what we read as it is, over all steps */
    enum err err = sqlite_run(e, "BEGIN; SELECT count(*) FROM meta");
    if (err != ERR_OK) return fail(e, err, why);
    int code = sqlite3_open_v2(to, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) {
        err = copy_pages(e, db, stop, why);
    } else {
        snprintf(why, sizeof e->why, "%s", sqlite3_errstr(code));
        err = ERR_IO;
    }
    sqlite3_close(db);
    return err == ERR_OK ? sync_file(to, why) : err;
}

enum err engine_sqlite_backup(const char *path, const char *name, const char *to, atomic_bool *stop,
                              struct store_position *at, char *why)
{
    struct sqlite_engine *e = NULL;
    enum err err = open_it(path, name, OPEN_LOOK, stop, &e, why);
    if (err != ERR_OK) return err;
    err = backup_to(e, to, stop, why);
    sqlite_engine_close(e);
    /* what was never read back is no backup */
    return err == ERR_OK ? engine_sqlite_check(to, name, stop, at, why) : err;
}

/* --- restore --- */

struct compare {
    struct engine_restore *r;
    struct sqlite_engine *then, *now; /* now: NULL when the file of today cannot be read */
    struct buf entry, value;          /* the entry that is looked at: it must not change under the statement */
    struct store_entry e;
    bool found;
};

static bool take_one(void *ctx, const struct store_entry *e)
{
    struct compare *c = ctx;
    buf_clear(&c->entry);
    buf_put(&c->entry, e->key);
    buf_put(&c->entry, e->value);
    c->found = true;
    c->e = *e;
    c->e.key = str_make(c->entry.p, e->key.n);
    c->e.value = str_make(c->entry.p + e->key.n, e->value.n);
    return false;
}

static enum err replace(struct compare *c)
{
    struct store_op op = {STORE_PUT, STORE_ANY, 0, c->e.key, buf_str(&c->value), c->e.expires_s};
    struct engine_batch b = {.ops = &op, .n_ops = 1};
    return sqlite_write(c->then, &b, c->r->now_s);
}

/* Time plays no part: what has expired since is compared like the rest. */
static enum err compare_one(struct compare *c)
{
    struct store_entry now = {0};
    if (c->now) {
        if (base(c->now)->ops->get(base(c->now), c->e.key, 0, &now) != ERR_OK) return ERR_AGAIN;
        if (now.version && str_eq(now.value, c->e.value) && now.expires_s == c->e.expires_s) return ERR_OK;
    }
    c->r->changed++;
    buf_clear(&c->value);
    bool put = c->r->on_changed(c->r->ctx, &c->e, c->now ? &now : NULL, &c->value);
    if (c->value.bad) return ERR_NO_MEMORY;
    return put ? replace(c) : ERR_OK;
}

/* ERR_AGAIN: the file of today stopped being readable. */
static enum err compare_prefix(struct compare *c, str prefix)
{
    char room[STORE_KEY_MAX], from[STORE_KEY_MAX + 1];
    str to = store_prefix_end(prefix, room);
    size_t n = prefix.n;
    memcpy(from, prefix.p, n);
    for (;;) {
        c->found = false;
        enum err err = base(c->then)->ops->range(base(c->then), str_make(from, n), to, false, 0, take_one, c);
        if (err == ERR_OK && c->entry.bad) err = ERR_NO_MEMORY;
        if (err != ERR_OK || !c->found) return err;
        err = atomic_load(c->r->stop) ? ERR_CLOSED : compare_one(c);
        if (err != ERR_OK) return err;
        n = c->e.key.n;
        memcpy(from, c->e.key.p, n);
        from[n++] = '\0'; /* the least string behind it */
    }
}

static enum err compare_all(struct compare *c)
{
    enum err err = ERR_OK;
    c->r->changed = 0;
    c->r->unsure = c->now == NULL;
    for (uint32_t i = 0; i < c->r->n_prefixes && err == ERR_OK; i++) err = compare_prefix(c, c->r->prefixes[i]);
    return err;
}

/* Only a file that is sound from end to end can say what has not changed. */
static struct sqlite_engine *open_now(struct engine_restore *r)
{
    struct sqlite_engine *now = NULL;
    struct store_position at;
    char why[160];
    if (engine_sqlite_check(r->now, r->name, r->stop, &at, why) != ERR_OK) return NULL;
    return open_it(r->now, r->name, OPEN_LOOK, r->stop, &now, why) == ERR_OK ? now : NULL;
}

static enum err compare(struct engine_restore *r, struct sqlite_engine *then)
{
    struct compare c = {.r = r, .then = then};
    if (!r->n_prefixes) return ERR_OK;
    buf_init(&c.entry, STORE_KEY_MAX + STORE_VALUE_MAX);
    buf_init(&c.value, STORE_VALUE_MAX);
    c.now = open_now(r);
    enum err err = compare_all(&c);
    if (c.now) sqlite_engine_close(c.now);
    c.now = NULL;
    if (err == ERR_AGAIN) err = compare_all(&c);
    buf_free(&c.entry);
    buf_free(&c.value);
    return err;
}

static enum err new_epoch(struct sqlite_engine *e)
{
    char sql[160];
    e->at.epoch = engine_epoch_draw();
    sqlite3_snprintf(sizeof sql, sql, "UPDATE meta SET value = %lld WHERE name = 'epoch'; DELETE FROM lease",
                     (long long)e->at.epoch);
    return sqlite_run(e, sql);
}

static enum err put_ops(struct engine_restore *r, struct sqlite_engine *e)
{
    struct engine_batch b = {.ops = r->ops, .n_ops = r->n_ops};
    return r->n_ops ? sqlite_write(e, &b, r->now_s) : ERR_OK;
}

enum err engine_sqlite_restore(struct engine_restore *r, char *why)
{
    struct sqlite_engine *e = NULL;
    enum err err = open_it(r->copy, r->name, OPEN_COPY, r->stop, &e, why);
    if (err != ERR_OK) return err;
    err = sqlite_run(e, "BEGIN IMMEDIATE");
    if (err == ERR_OK) err = new_epoch(e);
    if (err == ERR_OK) err = compare(r, e);
    if (err == ERR_OK) err = put_ops(r, e);
    if (err == ERR_OK) err = sqlite_run(e, "COMMIT");
    if (err != ERR_OK) err = fail(e, err, why);
    r->at = e->at;
    sqlite_engine_close(e);
    return err == ERR_OK ? sync_file(r->copy, why) : err;
}
