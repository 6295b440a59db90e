/* Decisions: what became of each request, kept in memory for `why` and `tap`.
 *
 * `struct outcome` is what the last step of the street knows; the access log line and the ring are both made from
 * it. A ring belongs to one worker, which puts without lock, allocation or waiting; any thread may read
 * (a sequence number a slot tells a torn copy). Two lanes, so that permits never push a denial out. */
#ifndef SALLYPORT_SERVE_DECISION_H
#define SALLYPORT_SERVE_DECISION_H

#include "base/buf.h"
#include "base/rand.h"
#include "config/edge.h"
#include "policy/grants.h"
#include "serve/reason.h"

struct outcome {
    uint64_t unix_ms; /* when the request began */
    uint32_t duration_us;
    uint32_t generation; /* of the configuration that decided */
    uint16_t status;     /* as answered; 0 if nothing was */
    enum reason reason;
    enum effect effect; /* zero is DENY */
    uint8_t gate;
    uint8_t caller;               /* enum caller_kind */
    uint8_t credential;           /* the ACCEPT_* that made it; 0: none counted */
    uint8_t attempts;             /* to reach an instance; 1: the first did; 0: none was made */
    uint16_t tls;                 /* version the client speaks: 0x0303, 0x0304; 0: clear text */
    uint64_t bytes_in, bytes_out; /* of bodies */
    str id;                       /* ULID */
    str trace_id;                 /* 32 hex digits, or empty */
    str correlation_id;           /* empty: the same as id */
    str action, product, client;
    str issuer;  /* its name in the configuration */
    str subject; /* as X-User-ID has it: encoded, with its prefix */
    str roles;   /* as X-User-Roles and X-User-Permissions have them, those the issuer may assert */
    str method;
    str path;     /* canonical if it came so far, else as received; never the query */
    str upstream; /* the instance */
    str remote;   /* the client's address */
    str fault;    /* the module's finer cause ("content_length"), or empty */
};

/* --- the record: an outcome of fixed size that holds its texts --- */
enum decision_text { /* in order of importance: when room runs out the last are cut first */
                     DECISION_ACTION,
                     DECISION_METHOD,
                     DECISION_PRODUCT,
                     DECISION_ISSUER,
                     DECISION_FAULT,
                     DECISION_UPSTREAM,
                     DECISION_CORRELATION_ID, /* empty: the same as id */
                     DECISION_REMOTE,
                     DECISION_CLIENT,
                     DECISION_SUBJECT,
                     DECISION_PATH,
                     DECISION_ROLES,
                     DECISION_TEXTS
};

#define DECISION_RECORD_SIZE 512
#define DECISION_HEAD_SIZE   (8 + 4 + 4 + 2 + 2 + 2 + 1 + 1 + 2 + 1 + 1 + 1 + ULID_LEN + 32 + DECISION_TEXTS)
struct decision_record {
    uint64_t unix_ms;
    uint32_t duration_us, generation;
    uint16_t status, reason; /* enum reason */
    uint16_t cut;            /* bit by enum decision_text: that text is not whole */
    uint8_t gate, effect;
    uint16_t text_n; /* bytes of text in use */
    uint8_t caller, credential, attempts;
    char id[ULID_LEN];
    char trace_id[32]; /* NUL if there is none */
    uint8_t len[DECISION_TEXTS];
    char text[DECISION_RECORD_SIZE - DECISION_HEAD_SIZE]; /* one behind the other, in the order of the enum */
};
_Static_assert(sizeof(struct decision_record) == DECISION_RECORD_SIZE, "a record is 64 words");

void decision_record_make(struct decision_record *out, const struct outcome *o);
str decision_record_text(const struct decision_record *r, enum decision_text which);
bool decision_record_cut(const struct decision_record *r, enum decision_text which);
/* One JSON object, no line end. */
void decision_record_json(const struct decision_record *r, struct buf *out);

/* --- the ring --- */
#define DECISION_DENIALS 2048
#define DECISION_PERMITS 512
struct decision_ring;

/* 1.3 MB of address space; a page is used when it is first written. ERR_NO_MEMORY. */
MUST_USE enum err decision_ring_new(struct decision_ring **out);
void decision_ring_free(struct decision_ring **ring);

/* By the owning worker only. What is permitted and answered goes to the permits' lane; a denial, and a permit that
 * ended with a reason of its own (upstream, deadline), to the denials'. */
void decision_ring_put(struct decision_ring *ring, const struct outcome *o);

/* By any thread. ERR_NOT_FOUND: never seen, or pushed out since. */
MUST_USE enum err decision_ring_find(const struct decision_ring *ring, str id, struct decision_record *out);

/* The newest denial (or permit that ended badly); if there is none, the newest permit. ERR_NOT_FOUND: nothing yet. */
MUST_USE enum err decision_ring_last(const struct decision_ring *ring, struct decision_record *out);

/* Reading on from where one was. {0} starts with the oldest; decision_cursor_now with what comes next. */
struct decision_cursor {
    uint64_t next[2]; /* by lane */
    uint64_t missed;  /* records that were overwritten before they were read; the reader may reset it */
};
void decision_cursor_now(const struct decision_ring *ring, struct decision_cursor *c);
/* Up to max records, denials first; 0: nothing new. `deny_only` passes the permits' lane over. */
size_t decision_ring_read(const struct decision_ring *ring, struct decision_cursor *c, bool deny_only,
                          struct decision_record *out, size_t max);

#endif
