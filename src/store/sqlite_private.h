/* The inside of the SQLite engine, for sqlite.c (one connection that serves) and sqlite_copy.c (checks, backups and
 * restores, which open their own). */
#ifndef SALLYPORT_STORE_SQLITE_PRIVATE_H
#define SALLYPORT_STORE_SQLITE_PRIVATE_H

#include "base/buf.h"
#include "store/engine.h"

#include <sqlite3.h>

#define FILE_ID      0x53507274 /* application_id: "SPrt" */
#define FILE_VERSION 1          /* user_version */

#define CHECKPOINT_FRAMES 1000 /* 4 MB of log */

extern const struct engine_ops sqlite_engine_ops;

enum sqlite_open {
    OPEN_SERVE, /* made if there is none; WAL */
    OPEN_LOOK,  /* reads only, never checkpoints: beside a connection that serves */
    OPEN_COPY   /* a file of our own that nobody else has: one file, no WAL */
};

enum sqlite_statement {
    SQL_BEGIN = 0,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_GET,
    SQL_PUT,
    SQL_DELETE,
    SQL_REMEMBER,
    SQL_RANGE,
    SQL_RANGE_OPEN,
    SQL_BACK,
    SQL_BACK_OPEN,
    SQL_CHANGES,
    SQL_SPAN,
    SQL_COMPACT,
    SQL_DUE,
    SQL_MARK,
    SQL_STATEMENTS
};

struct sqlite_engine {
    struct engine engine;
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_STATEMENTS];
    struct store_position at;
    uint64_t floor;
    int log_frames;        /* in the WAL, as of the last commit */
    int checkpoint_frames; /* from how many on it is emptied */
    uint64_t syncs, faults;
    int code;       /* of the last refusal */
    bool unsure;    /* a commit failed in a way that a crash might still show; cleared by the next that succeeds */
    struct buf got; /* what `get` answered last */
    char why[160];
};

/* Opens, prepares and reads where it stands. As engine_sqlite_open; on an error nothing is left open. */
MUST_USE enum err sqlite_engine_open(const char *path, const char *name, enum sqlite_open how,
                                     struct sqlite_engine **out, char *why);
void sqlite_engine_close(struct sqlite_engine *e);

/* What kind of failure a result code is; notes it in the engine. */
enum err sqlite_refused(struct sqlite_engine *e, int code);

/* One batch within a transaction that somebody else began. Not ERR_OK or ERR_CONFLICT: roll back. */
MUST_USE enum err sqlite_write(struct sqlite_engine *e, struct engine_batch *b, int64_t now_s);

/* Reads the first and the last number of the history. */
MUST_USE enum err sqlite_read_span(struct sqlite_engine *e);

/* Runs SQL that answers nothing. */
MUST_USE enum err sqlite_run(struct sqlite_engine *e, const char *sql);

/* Steps a bound statement that answers nothing and resets it. */
MUST_USE enum err sqlite_step_done(struct sqlite_engine *e, sqlite3_stmt *s);

#endif
