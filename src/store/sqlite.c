#include "store/sqlite_private.h"

#include <stdio.h>
#include <sys/stat.h>

/* One connection does all writing and all checkpoints of a file, in WAL mode with synchronous=FULL: a commit is durable
 * when it is answered. Nobody checkpoints by itself (wal_autocheckpoint=0); `tidy` does, after the answers are sent.
 *
 * A commit that fails at its fsync leaves whole, valid frames in the log, which a crash would replay though we said
 * that nothing happened. So after a failed commit a small mark is committed at once: it takes the place of those
 * frames. When even that fails the engine is `unsure` and says ERR_TIMEOUT, until a commit succeeds (which takes their
 * place too).
 *
 * A full disk: the log cannot grow, but what it holds can be moved into the file; then it starts from its beginning.
 * So a refused transaction is tried once more behind a checkpoint. */

static struct sqlite_engine *of(struct engine *e)
{
    return CONTAINER_OF(e, struct sqlite_engine, engine);
}

enum err sqlite_refused(struct sqlite_engine *e, int code)
{
    e->faults++;
    e->code = code & 0xff;
    snprintf(e->why, sizeof e->why, "%s", e->db ? sqlite3_errmsg(e->db) : sqlite3_errstr(code));
    return e->code == SQLITE_NOMEM ? ERR_NO_MEMORY : ERR_IO;
}

enum err sqlite_step_done(struct sqlite_engine *e, sqlite3_stmt *s)
{
    int code = sqlite3_step(s);
    sqlite3_reset(s);
    return code == SQLITE_DONE ? ERR_OK : sqlite_refused(e, code);
}

static enum err run(struct sqlite_engine *e, enum sqlite_statement which)
{
    return sqlite_step_done(e, e->statements[which]);
}

enum err sqlite_run(struct sqlite_engine *e, const char *sql)
{
    int code = sqlite3_exec(e->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? ERR_OK : sqlite_refused(e, code);
}

/* Bound without a copy: the caller's bytes live until the statement is reset. */
static void bind(sqlite3_stmt *s, int at, str bytes)
{
    (void)sqlite3_bind_blob(s, at, bytes.n ? bytes.p : "", (int)bytes.n, SQLITE_STATIC);
}

static str column(sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_blob(s, at);
    int n = sqlite3_column_bytes(s, at);
    return p && n > 0 ? str_make(p, (size_t)n) : STR("");
}

static struct store_entry entry_of(sqlite3_stmt *s)
{
    return (struct store_entry){column(s, 0), column(s, 1), (uint64_t)sqlite3_column_int64(s, 2),
                                sqlite3_column_int64(s, 3)};
}

static bool gone(const struct store_entry *x, int64_t now_s)
{
    return x->expires_s && x->expires_s <= now_s;
}

/* --- writing --- */

static enum err judge(struct sqlite_engine *e, struct engine_batch *b, int64_t now_s)
{
    sqlite3_stmt *s = e->statements[SQL_GET];
    for (uint32_t i = 0; i < b->n_ops; i++) {
        const struct store_op *op = &b->ops[i];
        if (op->condition == STORE_ANY) continue;
        bind(s, 1, op->key);
        int code = sqlite3_step(s);
        uint64_t version = 0;
        if (code == SQLITE_ROW) {
            int64_t expires_s = sqlite3_column_int64(s, 3);
            if (!expires_s || expires_s > now_s) version = (uint64_t)sqlite3_column_int64(s, 2);
        }
        sqlite3_reset(s);
        if (code != SQLITE_ROW && code != SQLITE_DONE) return sqlite_refused(e, code);
        bool holds = op->condition == STORE_ABSENT    ? version == 0
                     : op->condition == STORE_PRESENT ? version != 0
                                                      : version == op->version;
        if (!holds) {
            b->failed = i;
            return ERR_CONFLICT;
        }
    }
    return ERR_OK;
}

static enum err remember(struct sqlite_engine *e, str key, bool removed, int64_t now_s)
{
    sqlite3_stmt *s = e->statements[SQL_REMEMBER];
    sqlite3_bind_int64(s, 1, (int64_t)(e->at.number + 1));
    bind(s, 2, key);
    sqlite3_bind_int(s, 3, removed);
    sqlite3_bind_int64(s, 4, now_s);
    enum err err = sqlite_step_done(e, s);
    if (err == ERR_OK) e->at.number++;
    return err;
}

static enum err put(struct sqlite_engine *e, const struct store_op *op, int64_t now_s)
{
    sqlite3_stmt *s = e->statements[SQL_PUT];
    bind(s, 1, op->key);
    bind(s, 2, op->value);
    sqlite3_bind_int64(s, 3, (int64_t)(e->at.number + 1));
    sqlite3_bind_int64(s, 4, op->expires_s);
    enum err err = sqlite_step_done(e, s);
    return err == ERR_OK ? remember(e, op->key, false, now_s) : err;
}

/* What is not there is no change. */
static enum err take_away(struct sqlite_engine *e, str key, int64_t now_s)
{
    sqlite3_stmt *s = e->statements[SQL_DELETE];
    bind(s, 1, key);
    sqlite3_bind_int64(s, 2, now_s);
    enum err err = sqlite_step_done(e, s);
    return err == ERR_OK && sqlite3_changes(e->db) > 0 ? remember(e, key, true, now_s) : err;
}

enum err sqlite_write(struct sqlite_engine *e, struct engine_batch *b, int64_t now_s)
{
    b->err = judge(e, b, now_s);
    for (uint32_t i = 0; i < b->n_ops && b->err == ERR_OK; i++) {
        const struct store_op *op = &b->ops[i];
        if (op->verb == STORE_PUT) b->err = put(e, op, now_s);
        if (op->verb == STORE_DELETE) b->err = take_away(e, op->key, now_s);
    }
    b->number = e->at.number;
    return b->err;
}

static void checkpoint(struct sqlite_engine *e)
{
    int left = 0, moved = 0;
    /* what cannot be moved now stays in the log and is durable there */
    if (sqlite3_wal_checkpoint_v2(e->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &left, &moved) == SQLITE_OK && left == moved)
        e->log_frames = 0;
}

static void rollback(struct sqlite_engine *e, uint64_t number)
{
    if (!sqlite3_get_autocommit(e->db)) (void)sqlite3_step(e->statements[SQL_ROLLBACK]);
    sqlite3_reset(e->statements[SQL_ROLLBACK]);
    e->at.number = number;
}

/* Takes the place of a failed commit in the log, so that nothing can bring it back. */
static bool take_its_place(struct sqlite_engine *e)
{
    bool ok = run(e, SQL_BEGIN) == ERR_OK && run(e, SQL_MARK) == ERR_OK && run(e, SQL_COMMIT) == ERR_OK;
    if (ok)
        e->unsure = false;
    else
        rollback(e, e->at.number);
    return ok;
}

/* ERR_TIMEOUT: refused at the commit itself, and nothing could be put in its place. */
static enum err commit(struct sqlite_engine *e, uint64_t before)
{
    enum err err = run(e, SQL_COMMIT);
    if (err == ERR_OK) {
        e->syncs++;
        if (e->at.number != before) e->unsure = false;
        return ERR_OK;
    }
    bool full = e->code == SQLITE_FULL; /* the frame that would commit it is the last, and was not written whole */
    rollback(e, before);
    if (full || take_its_place(e)) return err;
    e->unsure = true;
    return ERR_TIMEOUT;
}

static enum err transaction(struct sqlite_engine *e, struct engine_batch *first, int64_t now_s)
{
    uint64_t before = e->at.number;
    enum err err = run(e, SQL_BEGIN);
    for (struct engine_batch *b = first; b && err == ERR_OK; b = b->next) {
        err = sqlite_write(e, b, now_s);
        if (err == ERR_CONFLICT) err = ERR_OK; /* it alone: it has changed nothing */
    }
    if (err == ERR_OK) return commit(e, before);
    rollback(e, before);
    return err;
}

static enum err sqlite_apply(struct engine *engine, struct engine_batch *first, int64_t now_s)
{
    struct sqlite_engine *e = of(engine);
    enum err err = transaction(e, first, now_s);
    if (err == ERR_IO) {
        checkpoint(e);
        err = transaction(e, first, now_s);
    }
    if (err == ERR_OK) return ERR_OK;
    for (struct engine_batch *b = first; b; b = b->next) b->err = err;
    return err;
}

/* --- reading --- */

/* A statement that is not reset holds a transaction open: so the row is copied. */
static enum err keep(struct sqlite_engine *e, struct store_entry *x)
{
    buf_clear(&e->got);
    buf_put(&e->got, x->key);
    buf_put(&e->got, x->value);
    if (e->got.bad) return ERR_NO_MEMORY;
    x->value = str_make(e->got.p + x->key.n, x->value.n);
    x->key = str_make(e->got.p, x->key.n);
    return ERR_OK;
}

static enum err sqlite_get(struct engine *engine, str key, int64_t now_s, struct store_entry *out)
{
    struct sqlite_engine *e = of(engine);
    sqlite3_stmt *s = e->statements[SQL_GET];
    struct store_entry x = {0};
    enum err err = ERR_OK;
    bind(s, 1, key);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) x = entry_of(s);
    if (x.version && gone(&x, now_s)) x = (struct store_entry){0};
    if (x.version) err = keep(e, &x);
    sqlite3_reset(s);
    if (code != SQLITE_ROW && code != SQLITE_DONE) return sqlite_refused(e, code);
    if (err == ERR_OK) *out = x;
    return err;
}

static enum err sqlite_range(struct engine *engine, str from, str to, bool reverse, int64_t now_s, engine_entry_fn *fn,
                             void *ctx)
{
    struct sqlite_engine *e = of(engine);
    sqlite3_stmt *s = e->statements[to.n ? reverse ? SQL_BACK : SQL_RANGE : reverse ? SQL_BACK_OPEN : SQL_RANGE_OPEN];
    bind(s, 1, from);
    if (to.n) bind(s, 2, to);
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        struct store_entry x = entry_of(s);
        if (!gone(&x, now_s) && !fn(ctx, &x)) break;
    }
    sqlite3_reset(s);
    return code == SQLITE_ROW || code == SQLITE_DONE ? ERR_OK : sqlite_refused(e, code);
}

static enum err sqlite_changes(struct engine *engine, uint64_t after, engine_change_fn *fn, void *ctx)
{
    struct sqlite_engine *e = of(engine);
    if (after < e->floor || after > e->at.number) return ERR_NOT_FOUND;
    sqlite3_stmt *s = e->statements[SQL_CHANGES];
    sqlite3_bind_int64(s, 1, (int64_t)after);
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        struct engine_change c = {(uint64_t)sqlite3_column_int64(s, 0), column(s, 1), sqlite3_column_int(s, 2) != 0};
        if (!fn(ctx, &c)) break;
    }
    sqlite3_reset(s);
    return code == SQLITE_ROW || code == SQLITE_DONE ? ERR_OK : sqlite_refused(e, code);
}

/* --- upkeep --- */

enum err sqlite_read_span(struct sqlite_engine *e)
{
    sqlite3_stmt *s = e->statements[SQL_SPAN];
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        bool any = sqlite3_column_type(s, 0) != SQLITE_NULL;
        e->floor = any ? (uint64_t)sqlite3_column_int64(s, 0) - 1 : 0;
        e->at.number = any ? (uint64_t)sqlite3_column_int64(s, 1) : 0;
    }
    sqlite3_reset(s);
    return code == SQLITE_ROW ? ERR_OK : sqlite_refused(e, code);
}

static enum err sqlite_compact(struct engine *engine, const struct engine_history *h, bool *more)
{
    struct sqlite_engine *e = of(engine);
    sqlite3_stmt *s = e->statements[SQL_COMPACT];
    sqlite3_bind_int64(s, 1, (int64_t)e->at.number);
    sqlite3_bind_int64(s, 2, e->at.number > h->keep ? (int64_t)(e->at.number - h->keep) : 0);
    sqlite3_bind_int64(s, 3, h->after_s);
    sqlite3_bind_int64(s, 4, h->most);
    enum err err = sqlite_step_done(e, s);
    if (err == ERR_IO) checkpoint(e); /* a full disk: room in the log for the next try */
    if (err != ERR_OK) return err;
    *more = sqlite3_changes(e->db) == (int)h->most;
    return sqlite_read_span(e);
}

/* The keys are read one by one: a statement must not walk what is being changed under it. */
static enum err sweep_one(struct sqlite_engine *e, int64_t now_s, bool *found)
{
    sqlite3_stmt *due = e->statements[SQL_DUE], *s = e->statements[SQL_DELETE];
    sqlite3_bind_int64(due, 1, now_s);
    sqlite3_bind_int64(due, 2, 1);
    int code = sqlite3_step(due);
    char key[STORE_KEY_MAX];
    str got = code == SQLITE_ROW ? str_first(column(due, 0), sizeof key) : STR("");
    if (got.n) memcpy(key, got.p, got.n);
    sqlite3_reset(due);
    *found = code == SQLITE_ROW;
    if (code == SQLITE_DONE) return ERR_OK;
    if (code != SQLITE_ROW) return sqlite_refused(e, code);
    bind(s, 1, str_make(key, got.n));
    sqlite3_bind_int64(s, 2, INT64_MIN); /* whatever its time */
    enum err err = sqlite_step_done(e, s);
    return err == ERR_OK ? remember(e, str_make(key, got.n), true, now_s) : err;
}

static enum err sqlite_sweep(struct engine *engine, int64_t now_s, uint32_t most, uint32_t *n)
{
    struct sqlite_engine *e = of(engine);
    sqlite3_stmt *due = e->statements[SQL_DUE];
    sqlite3_bind_int64(due, 1, now_s);
    sqlite3_bind_int64(due, 2, 1);
    int code = sqlite3_step(due);
    sqlite3_reset(due);
    *n = 0;
    if (code != SQLITE_ROW) return code == SQLITE_DONE ? ERR_OK : sqlite_refused(e, code);
    uint64_t before = e->at.number;
    uint32_t swept = 0;
    bool found = true;
    enum err err = run(e, SQL_BEGIN);
    while (err == ERR_OK && found && swept < most) {
        err = sweep_one(e, now_s, &found);
        swept += found;
    }
    if (err == ERR_OK) {
        err = commit(e, before);
        if (err == ERR_OK) *n = swept;
        return err;
    }
    rollback(e, before);
    if (err == ERR_IO) checkpoint(e);
    return err;
}

static void sqlite_tidy(struct engine *engine)
{
    struct sqlite_engine *e = of(engine);
    if (e->log_frames >= e->checkpoint_frames) checkpoint(e);
}

static enum err sqlite_lease_put(struct engine *engine, str name, uint32_t lease_ms)
{
    struct sqlite_engine *e = of(engine);
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(e->db,
                                  lease_ms ? "INSERT INTO lease(name, lease_ms) VALUES(?1, ?2) "
                                             "ON CONFLICT(name) DO UPDATE SET lease_ms = max(lease_ms, ?2)"
                                           : "DELETE FROM lease WHERE name = ?1 AND ?2 = 0",
                                  -1, &s, NULL);
    if (code != SQLITE_OK) return sqlite_refused(e, code);
    bind(s, 1, name);
    sqlite3_bind_int64(s, 2, lease_ms);
    enum err err = sqlite_step_done(e, s);
    sqlite3_finalize(s);
    return err;
}

static enum err sqlite_leases(struct engine *engine, void (*fn)(void *ctx, str name, uint32_t lease_ms), void *ctx)
{
    struct sqlite_engine *e = of(engine);
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(e->db, "SELECT name, lease_ms FROM lease", -1, &s, NULL);
    if (code != SQLITE_OK) return sqlite_refused(e, code);
    while ((code = sqlite3_step(s)) == SQLITE_ROW) fn(ctx, column(s, 0), (uint32_t)sqlite3_column_int64(s, 1));
    sqlite3_finalize(s);
    return code == SQLITE_DONE ? ERR_OK : sqlite_refused(e, code);
}

static struct store_position sqlite_at(struct engine *e)
{
    return of(e)->at;
}

static uint64_t sqlite_floor(struct engine *e)
{
    return of(e)->floor;
}

static uint64_t size_of(const char *path, const char *more)
{
    char full[4096];
    struct stat st;
    int n = snprintf(full, sizeof full, "%s%s", path, more);
    return n > 0 && (size_t)n < sizeof full && stat(full, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void sqlite_status(struct engine *engine, struct engine_status *out)
{
    struct sqlite_engine *e = of(engine);
    const char *path = sqlite3_db_filename(e->db, "main");
    *out = (struct engine_status){e->at,    e->floor,  path ? size_of(path, "") + size_of(path, "-wal") : 0,
                                  e->syncs, e->faults, ""};
    memcpy(out->why, e->why, sizeof out->why);
}

static void sqlite_close_engine(struct engine *e)
{
    sqlite_engine_close(of(e));
}

const struct engine_ops sqlite_engine_ops = {
    .apply = sqlite_apply,
    .get = sqlite_get,
    .range = sqlite_range,
    .changes = sqlite_changes,
    .compact = sqlite_compact,
    .sweep = sqlite_sweep,
    .tidy = sqlite_tidy,
    .lease_put = sqlite_lease_put,
    .leases = sqlite_leases,
    .at = sqlite_at,
    .floor = sqlite_floor,
    .status = sqlite_status,
    .close = sqlite_close_engine,
};
