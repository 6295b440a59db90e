/* What the files of the administration share: a call, its steps, its answers. Private to services/admin*.c.
 *
 * A call goes from step to step: each step asks something (the store, the audit record, the pool, a timer) and names
 * the step that comes next; the last one answers. Where the asker goes away, the steps go on. What a step needs of an
 * answer of the store it copies into the call's arena before it asks the next thing. */
#ifndef SALLYPORT_SERVICES_ADMIN_PRIVATE_H
#define SALLYPORT_SERVICES_ADMIN_PRIVATE_H

#include "audit/audit.h"
#include "codec/json.h"
#include "config/snapshot.h"
#include "net/offload.h"
#include "services/admin.h"
#include "services/session_end.h"
#include "store/apikey_record.h"
#include "store/keeper.h"
#include "store/product_record.h"
#include "store/revocation_record.h"
#include "store/session_record.h"
#include "store/signing_key_record.h"
#include "store/user_record.h"

#define ADMIN_PATH_MAX   5
#define ADMIN_PAGE       100 /* entries of one answer, unless fewer are asked for */
#define ADMIN_PAGE_MAX   200
#define ADMIN_RETRIES    8 /* of a conditional change that somebody else came before */
#define ADMIN_ARENA_MAX  (8u << 20)
#define ADMIN_IMPORT_MAX 256 /* users of one call */
#define ADMIN_WAIT_MS    10000
#define ADMIN_WAIT_MAX   60000

struct admin {
    struct admin_options o;
    struct admin_call *calls;
    struct admin_call *dead; /* answered in this turn: freed at its end, for a step may still look at its call */
    struct task reap;
    bool closing;
};

/* Waiting for enforcers (admin_revoke.c). */
struct admin_confirmation {
    struct store_position at;
    uint64_t since_ms; /* Unix ms: when the change was begun */
    uint64_t until_ms; /* loop clock: answer then whatever has come */
    uint32_t pause_ms;
    bool complete;
    str confirmed, missing; /* JSON arrays, in the arena */
    uint64_t ms;            /* from since_ms to the last confirmation */
};

struct admin_revoking;

struct admin_call {
    struct admin *admin;
    struct admin_call *next, **link;
    struct control_reply *reply; /* NULL: the asker is gone */
    struct arena mem;
    /* what is asked; everything lives in the arena */
    enum method method;
    str path[ADMIN_PATH_MAX]; /* behind /v1/ */
    uint32_t n_path;
    str query;
    const struct json *body; /* an object, or NULL */
    str who;                 /* "uid 1000 (alice), pid 4711" */
    uint64_t now_ms;
    /* the step that comes next, and what it waits for */
    void (*then)(struct admin_call *c);
    struct store_job job;
    bool job_used;
    struct audit_wait wait;
    struct timer timer;
    struct offload_job work;
    void (*work_run)(struct admin_call *c); /* on a thread of the pool: touches its own arena only */
    struct keeper_task task;
    struct session_end session;
    uint32_t tries;
    /* for the handlers: what they keep from step to step */
    void *own;
    struct admin_confirmation confirm;
    struct admin_revoking *revoking;     /* admin_revoke.c */
    void (*after)(struct admin_call *c); /* the step behind a part that several handlers share */
    struct buf answer;                   /* JSON; the reply's, while somebody listens */
};

/* --- steps: the call may be over when one of them returns; its memory stays until the end of the turn --- */
void admin_submit(struct admin_call *c, const struct store_job *job, void (*then)(struct admin_call *c));
void admin_get(struct admin_call *c, enum store_space space, const str *keys, uint32_t n,
               void (*then)(struct admin_call *c));
/* Of the prefix, behind `after` (a whole key, or empty). */
void admin_page(struct admin_call *c, enum store_space space, str prefix, str after, uint32_t limit,
                void (*then)(struct admin_call *c));
void admin_batch(struct admin_call *c, enum store_space space, const struct store_op *ops, uint32_t n,
                 void (*then)(struct admin_call *c));
/* What a store job came to, where it is neither ERR_OK nor a conflict that the step expects: answers and true. */
bool admin_store_failed(struct admin_call *c);
/* Refusals of changes are recorded too, by admin_refuse. When it cannot be written, the call is answered here. */
void admin_record(struct admin_call *c, const struct audit_record *r, void (*then)(struct admin_call *c));
void admin_work(struct admin_call *c, void (*run)(struct admin_call *c), void (*then)(struct admin_call *c));
void admin_sleep(struct admin_call *c, uint32_t ms, void (*then)(struct admin_call *c));
void admin_task(struct admin_call *c, void (*then)(struct admin_call *c));

/* --- answers: the last step --- */
/* c->answer as it is. */
void admin_done(struct admin_call *c, uint16_t status);

enum admin_problem {
    ADMIN_INPUT = 0, /* 422 */
    ADMIN_MALFORMED, /* 400: no JSON, or not the media type */
    ADMIN_UNKNOWN,   /* 404 */
    ADMIN_METHOD,    /* 405 */
    ADMIN_EXISTS,    /* 409 */
    ADMIN_CHANGED,   /* 409: somebody else was quicker */
    ADMIN_ELSEWHERE, /* 421: another process does that */
    ADMIN_STORE,     /* 503 */
    ADMIN_AUDIT,     /* 503 */
    ADMIN_FAILED     /* 500 */
};
/* place: the member or path it is about, may be NULL. */
void admin_refuse(struct admin_call *c, enum admin_problem p, const char *place, const char *remedy, const char *fmt,
                  ...) PRINTF_LIKE(5, 6);
void admin_no_memory(struct admin_call *c);

/* --- what is asked --- */
const struct snapshot *admin_snapshot(const struct admin_call *c); /* may be NULL */
/* Every member of the body is one of `names` (ends with NULL), and there is a body: else answers and false. */
bool admin_members(struct admin_call *c, const char *const *names);
bool admin_has(const struct admin_call *c, const char *name);
/* The text of a member; *out stays what it is when there is none. False: it is no string; answered. */
bool admin_text(struct admin_call *c, const char *name, bool required, str *out);
bool admin_number(struct admin_call *c, const char *name, int64_t min, int64_t max, int64_t *out);
bool admin_flag(struct admin_call *c, const char *name, bool *out);
/* A list of strings, each `ok`; in the arena. */
bool admin_list(struct admin_call *c, const char *name, bool (*ok)(str), const char *what, const str **out,
                uint32_t *n);
/* A member of the query; .p == NULL: none. Not decoded: values that need it have no place in a query here. */
str admin_query(const struct admin_call *c, const char *name);
/* `limit` of the query. */
bool admin_limit(struct admin_call *c, uint32_t *out);
/* A base that there is: of the query or body member "base", else the first of the configuration. */
bool admin_base(struct admin_call *c, str said, str *out);
bool admin_user_name(struct admin_call *c, str said, str *out);
/* A copy with a NUL behind it. False: memory is out; it is answered, and *out (which may be the call's) is not touched.
 */
bool admin_copy(struct admin_call *c, str s, str *out);
int64_t admin_now_s(const struct admin_call *c);

/* --- shared parts --- */
/* Waits (at most c->confirm.until_ms) until every live enforcer has what stands at c->confirm.at; then c->after. */
void admin_confirm(struct admin_call *c, struct store_position at);
bool admin_confirm_options(struct admin_call *c); /* `wait_ms` of the body */
/* ,"complete":…,"ms":…,"confirmed":[…],"missing":[…],"at":{…} */
void admin_put_confirmation(struct admin_call *c);
/* Writes a revocation, then waits for the enforcers; then c->after. */
void admin_revoke(struct admin_call *c, const struct revocation_target *target, str reason, int64_t end_s);
/* The same of a user of our own, whose sessions are ended besides. */
void admin_revoke_user(struct admin_call *c, str base, str name, str reason);
/* How long a revocation of tokens of ours is kept. */
int64_t admin_revocation_end_s(const struct admin_call *c);

/* --- handlers: the path has been matched; method and members are theirs --- */
void admin_users(struct admin_call *c);
void admin_import(struct admin_call *c);
void admin_products(struct admin_call *c);
void admin_secrets(struct admin_call *c);
void admin_apikeys(struct admin_call *c);
void admin_sessions(struct admin_call *c);
void admin_signing_keys(struct admin_call *c);
void admin_revocations(struct admin_call *c);
void admin_confirmations(struct admin_call *c);
void admin_usage(struct admin_call *c);
void admin_audit(struct admin_call *c);
void admin_data(struct admin_call *c);
void admin_authentication(struct admin_call *c);

#endif
