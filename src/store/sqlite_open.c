#include "store/sqlite_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CACHE_KB 8192
#define BUSY_MS  2000 /* somebody looks into the file with tools of their own */

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
    [SQL_PUT] = ("INSERT INTO entry(key, value, version, expires) VALUES(?1, ?2, ?3, ?4) "
                 "ON CONFLICT(key) DO UPDATE SET value = ?2, version = ?3, expires = ?4"),
    [SQL_DELETE] = "DELETE FROM entry WHERE key = ?1 AND (expires = 0 OR expires > ?2)",
    [SQL_REMEMBER] = "INSERT INTO change(number, key, removed, at) VALUES(?1, ?2, ?3, ?4)",
    [SQL_RANGE] = "SELECT key, value, version, expires FROM entry WHERE key >= ?1 AND key < ?2 ORDER BY key",
    [SQL_RANGE_OPEN] = "SELECT key, value, version, expires FROM entry WHERE key >= ?1 ORDER BY key",
    [SQL_BACK] = "SELECT key, value, version, expires FROM entry WHERE key >= ?1 AND key < ?2 ORDER BY key DESC",
    [SQL_BACK_OPEN] = "SELECT key, value, version, expires FROM entry WHERE key >= ?1 ORDER BY key DESC",
    [SQL_CHANGES] = "SELECT number, key, removed FROM change WHERE number > ?1 ORDER BY number",
    [SQL_SPAN] = "SELECT (SELECT min(number) FROM change), (SELECT max(number) FROM change)",
    /* the newest stays: it holds the numbering */
    [SQL_COMPACT] = ("DELETE FROM change WHERE number IN (SELECT number FROM change WHERE number < ?1 AND "
                     "(number <= ?2 OR at <= ?3) ORDER BY number LIMIT ?4)"),
    [SQL_DUE] = "SELECT key FROM entry WHERE expires > 0 AND expires <= ?1 ORDER BY expires LIMIT ?2",
    [SQL_MARK] = "UPDATE meta SET value = value + 1 WHERE name = 'marks'",
};

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
    if (err != ERR_OK) (void)sqlite3_exec(e->db, "ROLLBACK", NULL, NULL, NULL);
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
    if (err == ERR_OK) err = sqlite_read_span(e);
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
    e->engine.ops = &sqlite_engine_ops;
    e->checkpoint_frames = CHECKPOINT_FRAMES;
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
    if (err == ERR_IO && (e->code == SQLITE_CORRUPT || e->code == SQLITE_NOTADB)) err = ERR_MALFORMED;
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

void sqlite_engine_close(struct sqlite_engine *e)
{
    for (unsigned i = 0; i < SQL_STATEMENTS; i++) sqlite3_finalize(e->statements[i]);
    sqlite3_close(e->db);
    buf_free(&e->got);
    free(e);
}
