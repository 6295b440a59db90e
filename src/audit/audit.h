/* The audit record: who did what, with what outcome, in a file that shows when it was tampered with.
 *
 * One chain a process. Each record is a JSON line that carries its sequence, its time and the SHA-256 of the line
 * before it, in segments `<folder>/<chain>-<number>.jsonl` (0600). A segment ends at its size or with the (UTC) day by
 * a *seal*, a line with an HMAC whose key is not in the folder; so does a chain when its process stops. The hash of the
 * last line goes to the store, space audit, `head/<place>/<chain>`, so that a cut-off tail is seen as well. verify is
 * read.h.
 *
 * Threads. audit_event may be called from any thread and never waits for the disk: it copies the record into a bounded
 * queue behind a lock that is never held over a write; the chain's own thread writes. What does not fit is counted, and
 * the count is a record itself. Identical refusals within a second become one record with a count.
 *
 * On the disk: a record given to audit_event_then (administrative changes, revocations) before its `done`; any other
 * within a second. What comes before a process is killed and after its last fsync may be lost; the chain then goes on
 * from the last whole line. Knows nothing of who decides. */
#ifndef SALLYPORT_AUDIT_AUDIT_H
#define SALLYPORT_AUDIT_AUDIT_H

#include "net/loop.h"

#define AUDIT_VALUE_MAX 512       /* bytes of one member of a record; longer ones are cut and end with an ellipsis */
#define AUDIT_LINE_MAX  32768     /* of a record as a line */
#define AUDIT_KEY_LEN   32        /* bytes */
#define AUDIT_CHAIN_MAX 32        /* of a chain's name: [a-z][a-z0-9-]* */
#define AUDIT_QUEUE_MAX (1 << 20) /* bytes waiting to be written */

/* Closed; names are stable and documented (docs/administration.md). */
enum audit_kind {
    /* people and programs at the gate */
    AUDIT_REFUSED = 0, /* "refused": a request, by the gateway */
    AUDIT_LOGIN,
    AUDIT_LOGIN_REFUSED,
    AUDIT_REFRESH,
    AUDIT_REFRESH_REFUSED,
    AUDIT_REFRESH_REUSED, /* a refresh token came a second time: its session is ended */
    AUDIT_LOGOUT,
    AUDIT_SESSION_ENDED, /* by its user or an administrator */
    /* administration */
    AUDIT_USER_ADDED,
    AUDIT_USER_CHANGED, /* roles, permissions */
    AUDIT_USER_PASSWORD,
    AUDIT_USER_DISABLED,
    AUDIT_USER_ENABLED,
    AUDIT_USER_DELETED,
    AUDIT_USERS_IMPORTED,
    AUDIT_PRODUCT_ADDED,
    AUDIT_PRODUCT_REMOVED,
    AUDIT_KEY_ADDED,
    AUDIT_KEY_DISABLED,
    AUDIT_KEY_CONFIRMED, /* enabled (again) */
    AUDIT_KEY_REMOVED,
    AUDIT_SECRET_SET,
    AUDIT_SECRET_REMOVED,
    AUDIT_SIGNING_KEY_MADE,    /* published, does not sign yet */
    AUDIT_SIGNING_KEY_SIGNS,   /* it is the one that signs now */
    AUDIT_SIGNING_KEY_REMOVED, /* nothing that it signed lives any more */
    AUDIT_REVOKED,
    AUDIT_REVOCATION_CONFIRMED, /* outcome failed: not by all who are live */
    AUDIT_DATA_BACKUP,
    AUDIT_DATA_RESTORED,
    AUDIT_ADMIN_REFUSED, /* an administrative request that was refused */
    AUDIT_CONFIGURATION, /* another one is in force; outcome refused: it was not taken */
    /* the chain's own */
    AUDIT_STARTED,
    AUDIT_STOPPED,
    AUDIT_LOST,   /* "records_lost": how many, in count */
    AUDIT_BROKEN, /* "chain_broken": at the start the files do not fit the head kept in the store */
    AUDIT_SEAL,
    AUDIT_KINDS
};

enum audit_outcome { AUDIT_OK = 0, AUDIT_NO /* "refused" */, AUDIT_FAILED /* by a fault of ours or of the system */ };

/* Borrowed for the call. Empty members are left out of the line. No secrets: what looks like a token or an API key is
 * written as "[redacted]". */
struct audit_record {
    enum audit_kind event;
    enum audit_outcome outcome;
    str who;         /* the actor: "uid 1000 (alice)", "user alice", "role authentication", "product web" */
    str from;        /* the address of the client, where there is one */
    str subject;     /* whom it is about: "alice", "staff/bob"; of a key, secret or signing key its id */
    str product;     /* */
    str action;      /* "orders:read" */
    str object;      /* what exactly: a path without query, a session id, a file */
    str decision_id; /* as in the access log */
    str reason;      /* a stable word: "token_expired" */
    str detail;      /* for people */
    uint64_t count;  /* how many, where that is what there is to say; 0 is left out */
};

const char *audit_kind_name(enum audit_kind k);       /* "login_refused" */
enum audit_kind audit_kind_of(str name);              /* AUDIT_KINDS when unknown */
const char *audit_outcome_name(enum audit_outcome o); /* "ok" "refused" "failed" */

struct audit;
struct store;

struct audit_options {
    const char *folder; /* made (0700) if it is not there */
    const char *chain;  /* "run", "gateway", "authentication", "data" */
    str key;            /* AUDIT_KEY_LEN bytes, copied: signs the seals */
    /* Makes the chain's client of the store, on the chain's own thread and for its loop; the chain frees it. NULL, or
     * NULL from it: heads are not kept. */
    struct store *(*store_new)(void *ctx, struct loop *loop);
    void *ctx;              /* alive until audit_close */
    uint64_t segment_bytes; /* 0: 16 MB */
};

enum audit_fault {
    AUDIT_FAULT_NONE = 0,
    AUDIT_FAULT_NAME,   /* the chain's name or the key's length */
    AUDIT_FAULT_FOLDER, /* cannot be made, is not ours alone, or is no folder */
    AUDIT_FAULT_TAKEN,  /* another process writes this chain */
    AUDIT_FAULT_FILE,   /* a segment cannot be opened, read or written; errno tells */
    AUDIT_FAULT_CHAIN,  /* the last segment does not end in a record that can be gone on from */
    AUDIT_FAULT_MEMORY
};
const char *audit_fault_text(enum audit_fault f); /* for people */

/* Goes on with the chain, or begins it; cuts a last line off that was not written whole (and records that). Starts the
 * thread. ERR_MALFORMED, ERR_DENIED, ERR_CONFLICT, ERR_IO, ERR_NO_MEMORY. */
MUST_USE enum err audit_open(const struct audit_options *o, struct audit **out, enum audit_fault *fault);

/* Any thread. `a` may be NULL: then nothing is recorded. */
void audit_event(struct audit *a, const struct audit_record *r);

/* Waiting for a record to be on the disk: embedded in its owner, which must not go before `done`. */
struct audit_wait {
    struct mail mail;                   /* private */
    struct audit_wait *next;            /* private */
    struct loop *loop;                  /* private */
    uint64_t turn;                      /* private */
    void (*done)(struct audit_wait *w); /* on the loop, exactly once, never from inside audit_event_then */
    enum err err;                       /* ERR_OK: on the disk. ERR_IO, ERR_LIMIT: it may not be recorded */
};
void audit_event_then(struct audit *a, const struct audit_record *r, struct loop *loop, struct audit_wait *w);

/* Any thread: n records could not even be handed over. */
void audit_lost(struct audit *a, uint64_t n);

/* Any thread: whether the last write succeeded. Who is about to change something asks first: what cannot be recorded
 * is not done. False for NULL. */
bool audit_ready(const struct audit *a);

struct audit_counts {
    uint64_t records, lost, errors; /* since audit_open */
};
void audit_count(const struct audit *a, struct audit_counts *out);

/* Writes what waits, a last record and a seal, ends the thread. Every wait is done before it returns, except those
 * whose loop turns no more. The store's keeper must still serve. Safe to repeat. */
void audit_close(struct audit **a);

#endif
