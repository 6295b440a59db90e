#include "store/sqlite_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

#define CHECKPOINT_FRAMES 1000 /* 4 MB of log */
#define CACHE_KB          8192
#define BUSY_MS           2000 /* somebody looks into the file with tools of their own */

static const char schema[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE entry(key BLOB PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL, expires INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX entry_expires ON entry(expires) WHERE expires > 0;"
    "CREATE TABLE change(number INTEGER PRIMARY KEY, key BLOB NOT NULL, removed INTEGER NOT NULL, at INTEGER NOT NULL);"
    "CREATE TABLE lease(name BLOB PRIMARY KEY, lease_ms INTEGER NOT NULL) WITHOUT ROWID;";

static const char *const texts[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_GET] = "SELECT key, value, version, expires FROM entry WHERE key = ?1",
    [SQL_PUT] = "INSERT INTO entry(key, value, version, expires) VALUES(?1, ?2, ?3, ?4) "
                "ON CONFLICT(key) DO UPDATE SET value = ?2, version = ?3, expires = ?4",
    [SQL_DELETE] = "DELETE FROM entry WHERE key = ?1 AND (expires = 0 OR expires > ?2)",
    [SQL_REMEMBER] = "INSERT INTO change(number, key, removed, at) VALUES(?1, ?2, ?3, ?4)",
    [SQL_RANGE] = "SELECT key, value, version, expires FROM entry WHERE key >= ?1 AND key < ?2 ORDER BY key",
    [SQL_RANGE_OPEN] = "SELECT key, value, version, expires FROM entry WHERE key >= ?1 ORDER BY key",
    [SQL_BACK] = "SELECT key, value, version, expires FROM entry WHERE key >= ?1 AND key < ?2 ORDER BY key DESC",
    [SQL_BACK_OPEN] = "SELECT key, value, version, expires FROM entry WHERE key >= ?1 ORDER BY key DESC",
    [SQL_CHANGES] = "SELECT number, key, removed FROM change WHERE number > ?1 ORDER BY number",
    [SQL_SPAN] = "SELECT (SELECT min(number) FROM change), (SELECT max(number) FROM change)",
    /* the newest stays: it holds the numbering */
    [SQL_COMPACT] = "DELETE FROM change WHERE number IN (SELECT number FROM change WHERE number < ?1 AND "
                    "(number <= ?2 OR at <= ?3) ORDER BY number LIMIT ?4)",
    [SQL_DUE] = "SELECT key FROM entry WHERE expires > 0 AND expires <= ?1 ORDER BY expires LIMIT ?2",
    [SQL_MARK] = "UPDATE meta SET value = value + 1 WHERE name = 'marks'",
};

static struct sqlite_engine *of(struct engine *e)
{
    return CONTAINER_OF(e, struct sqlite_engine, engine);
}

enum err sqlite_refused(struct sqlite_engine *e, int code)
{
    e->faults++;
    snprintf(e->why, sizeof e->why, "%s", e->db ? sqlite3_errmsg(e->db) : sqlite3_errstr(code));
    return (code & 0xff) == SQLITE_NOMEM ? ERR_NO_MEMORY : ERR_IO;
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
static enum err delete (struct sqlite_engine *e, str key, int64_t now_s) {
    sqlite3_stmt *s = e->statements[SQL_DELETE]; bind(s, 1, key); sqlite3_bind_int64(s, 2, now_s);
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
    if (!ok) rollback(e, e->at.number);
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
    rollback(e, before);
    e->unsure = !take_its_place(e);
    return e->unsure ? ERR_TIMEOUT : err;
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

static enum err read_span(struct sqlite_engine *e)
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
    if (err != ERR_OK) return err;
    *more = sqlite3_changes(e->db) == (int)h->most;
    return read_span(e);
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
    return err;
}

static void sqlite_tidy(struct engine *engine)
{
    struct sqlite_engine *e = of(engine);
    if (e->log_frames >= CHECKPOINT_FRAMES) checkpoint(e);
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

void sqlite_engine_close(struct sqlite_engine *e)
{
    for (unsigned i = 0; i < SQL_STATEMENTS; i++) sqlite3_finalize(e->statements[i]);
    sqlite3_close(e->db);
    buf_free(&e->got);
    free(e);
}

static void sqlite_close_engine(struct engine *e)
{
    sqlite_engine_close(of(e));
}

static const struct engine_ops sqlite_ops = {
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
    .status = sqlite_status,
    .close = sqlite_close_engine,
};

/* --- opening --- */

/* One integer that the SQL answers; ERR_NOT_FOUND without a row. */
static enum err number_of(struct sqlite_engine *e, const char *sql, int64_t *out)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(e->db, sql, -1, &s, NULL);
    if (code == SQLITE_OK) code = sqlite3_step(s);
    if (code == SQLITE_ROW) *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return code == SQLITE_ROW ? ERR_OK : code == SQLITE_DONE ? ERR_NOT_FOUND : sqlite_refused(e, code);
}

/* SQLite keeps the mode it has where it cannot change it (a file system without shared memory). */
static enum err in_wal(struct sqlite_engine *e)
{
    int64_t wal = 0;
    enum err err = sqlite_run(e, "PRAGMA journal_mode=WAL");
    if (err == ERR_OK) err = number_of(e, "SELECT journal_mode = 'wal' FROM pragma_journal_mode", &wal);
    if (err != ERR_OK || wal) return err;
    snprintf(e->why, sizeof e->why, "the file system cannot hold a write-ahead log");
    return ERR_UNSUPPORTED;
}

static int on_commit(void *ctx, sqlite3 *db, const char *name, int frames)
{
    (void)db;
    (void)name;
    ((struct sqlite_engine *)ctx)->log_frames = frames;
    return SQLITE_OK;
}

static enum err set_up(struct sqlite_engine *e, enum sqlite_open how)
{
    sqlite3_extended_result_codes(e->db, 1);
    sqlite3_busy_timeout(e->db, BUSY_MS);
    sqlite3_db_config(e->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(e->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(e->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(e->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    char pragmas[256];
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA cache_size=-%d; "
             "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=%d",
             CACHE_KB, 4 * CHECKPOINT_FRAMES * 4096);
    enum err err = sqlite_run(e, pragmas);
    if (how == OPEN_LOOK) sqlite3_db_config(e->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (err == ERR_OK && how == OPEN_SERVE) {
        err = in_wal(e);
        sqlite3_wal_hook(e->db, on_commit, e);
    }
    if (err == ERR_OK && how == OPEN_COPY) err = sqlite_run(e, "PRAGMA journal_mode=DELETE");
    return err;
}

static enum err make_schema(struct sqlite_engine *e, const char *name)
{
    char *sql =
        sqlite3_mprintf("BEGIN IMMEDIATE; %s INSERT INTO meta VALUES('space', %Q), ('epoch', %lld), ('marks', 0);"
                        "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
                        schema, name, (long long)engine_epoch_draw(), FILE_ID, FILE_VERSION);
    if (!sql) return ERR_NO_MEMORY;
    enum err err = sqlite_run(e, sql);
    sqlite3_free(sql);
    if (err != ERR_OK) rollback(e, 0);
    return err;
}

/* A file of ours, of this version and space: else ERR_UNSUPPORTED. */
static enum err recognise(struct sqlite_engine *e, const char *name, bool make)
{
    int64_t tables = 0, id = 0, version = 0, same = 0;
    enum err err = number_of(e, "SELECT count(*) FROM sqlite_schema", &tables);
    if (err == ERR_OK && !tables && make) err = make_schema(e, name);
    if (err == ERR_OK) err = number_of(e, "PRAGMA application_id", &id);
    if (err == ERR_OK) err = number_of(e, "PRAGMA user_version", &version);
    if (err != ERR_OK) return err;
    if (id != FILE_ID || version != FILE_VERSION) {
        snprintf(e->why, sizeof e->why, "not a file of this program, or of another version of it");
        return ERR_UNSUPPORTED;
    }
    char sql[128];
    sqlite3_snprintf(sizeof sql, sql, "SELECT value = %Q FROM meta WHERE name = 'space'", name);
    err = number_of(e, sql, &same);
    if (err == ERR_OK && same) return ERR_OK;
    if (err == ERR_OK || err == ERR_NOT_FOUND) {
        snprintf(e->why, sizeof e->why, "the file is not of the space %s", name);
        return ERR_UNSUPPORTED;
    }
    return err;
}

static enum err prepare(struct sqlite_engine *e, const char *name, enum sqlite_open how)
{
    int64_t epoch = 0;
    enum err err = set_up(e, how);
    if (err == ERR_OK) err = recognise(e, name, how == OPEN_SERVE);
    for (unsigned i = 0; i < SQL_STATEMENTS && err == ERR_OK; i++) {
        int code = sqlite3_prepare_v3(e->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &e->statements[i], NULL);
        if (code != SQLITE_OK) err = sqlite_refused(e, code);
    }
    if (err == ERR_OK) err = number_of(e, "SELECT value FROM meta WHERE name = 'epoch'", &epoch);
    if (err == ERR_OK) err = read_span(e);
    if (err != ERR_OK) return err == ERR_NOT_FOUND ? ERR_UNSUPPORTED : err;
    e->at.epoch = (uint64_t)epoch;
    return ERR_OK;
}

/* Ours alone, before SQLite makes it for everybody; the log takes the same mode. */
static bool make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return false;
    close(fd);
    return true;
}

enum err sqlite_engine_open(const char *path, const char *name, enum sqlite_open how, struct sqlite_engine **out,
                            char *why)
{
    struct sqlite_engine *e = calloc(1, sizeof *e);
    if (!e) return ERR_NO_MEMORY;
    e->engine.ops = &sqlite_ops;
    buf_init(&e->got, STORE_KEY_MAX + STORE_VALUE_MAX);
    enum err err = ERR_OK;
    if (how == OPEN_SERVE && !make_private(path)) {
        snprintf(e->why, sizeof e->why, "cannot be made or opened");
        err = ERR_IO;
    }
    if (err == ERR_OK) {
        int flags = how == OPEN_LOOK ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
        int code = sqlite3_open_v2(path, &e->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, NULL);
        err = code == SQLITE_OK ? prepare(e, name, how) : sqlite_refused(e, code);
    }
    if (err == ERR_OK) {
        *out = e;
        return ERR_OK;
    }
    snprintf(why, sizeof e->why, "%s", e->why);
    sqlite_engine_close(e);
    return err;
}

enum err engine_sqlite_open(const char *path, const char *name, struct engine **out, char *why)
{
    struct sqlite_engine *e = NULL;
    enum err err = sqlite_engine_open(path, name, OPEN_SERVE, &e, why);
    if (err == ERR_OK) *out = &e->engine;
    return err;
}
