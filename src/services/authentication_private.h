/* What the files of the Authentication Service share: its parts, and a request on its way through them. */
#ifndef SALLYPORT_SERVICES_AUTHENTICATION_PRIVATE_H
#define SALLYPORT_SERVICES_AUTHENTICATION_PRIVATE_H

#include "audit/audit.h"
#include "base/metrics.h"
#include "identity/http_signature.h"
#include "net/socket.h"
#include "serve/service.h"
#include "services/authentication.h"
#include "services/passwords.h"
#include "services/session_end.h"
#include "services/signing_keys.h"
#include "services/throttle.h"
#include "store/product_record.h"
#include "store/revocation_record.h"
#include "store/session_record.h"

struct flow;

struct authentication {
    struct authentication_options o;
    struct snapshot *snapshot;
    struct service *service;
    struct passwords *passwords;
    struct offload *signers; /* one thread, for keys whose signatures take long */
    struct throttle *throttle;
    struct signing_keys *keys;
    struct http_signature_seen *seen;
    struct flow *flows;
    unsigned n_flows, n_slow; /* under way; of these, made to wait by the throttle */
    struct rehash *rehashes;
    unsigned n_rehash;
    unsigned n_looked; /* session_room.c */
    bool closing;
    char path[NET_TEXT_MAX];
    struct {
        struct counter logins, failed, throttled, busy, refreshes, again, refresh_refused, reuses, logouts, proofs,
            rehashed, ended;
    } counts;
};

/* The product a request comes from. */
struct flow_product {
    str name;
    enum product_login login;
    enum product_proof proof;
    str users; /* its base */
};

#define FLOW_KEYS 5
#define FLOW_OPS  4

/* One request on its way: a few jobs one after the other. Lives in the call's arena and goes with it. */
struct flow {
    struct authentication *a;
    struct service_call *call;
    struct snapshot *snapshot; /* a reference: a reload does not change the rules midway */
    const struct authentication_settings *settings;
    struct flow *next, **link;
    const char *name; /* "login": for the audit record */
    str address;      /* the client's */
    struct flow_product product;
    str signature_mark; /* key that remembers the request's signature for all processes; empty: not signed */
    int64_t signature_until_s;
    void (*step)(struct flow *f);   /* what comes after the job under way */
    void (*proved)(struct flow *f); /* product_prove's next */
    struct store_job job;
    str asked[FLOW_KEYS];
    struct record_key keys[FLOW_KEYS];
    struct store_op ops[FLOW_OPS];
    uint32_t n_ops;
    struct record_key op_keys[FLOW_OPS];
    struct signing_wait wait;
    struct timer timer;
    struct session_end end;
    struct room *room; /* session_room.c */
    unsigned tries;
    void *more;                    /* the flow's own state, in the call's arena */
    void (*ended)(struct flow *f); /* frees what it holds outside the arena; may be NULL */
};

/* Makes the flow of a call; the call is refused and NULL given when it cannot. */
struct flow *flow_new(struct authentication *a, struct service_call *call, const char *name, size_t more);
/* Answers. The flow is gone then. */
void flow_refuse(struct flow *f, enum reason reason, uint32_t retry_after_s, str detail);
void flow_answer(struct flow *f, uint16_t status, str json);
/* The store did not do it: 503, or 500 for what should never happen. */
void flow_store_failed(struct flow *f);
/* Reads keys of a space, then `step`: f->job has the entries. An error of the store ends the flow. */
void flow_get(struct flow *f, enum store_space space, uint32_t n_keys, void (*step)(struct flow *f));
void flow_get_keys(struct flow *f, enum store_space space, const str *keys, uint32_t n_keys,
                   void (*step)(struct flow *f));
void flow_range(struct flow *f, enum store_space space, str from, str to, uint32_t limit, void (*step)(struct flow *f));
/* Writes f->ops. Conflicts come to `step` too (f->job.err), other errors end the flow. */
void flow_write(struct flow *f, enum store_space space, void (*step)(struct flow *f));
/* Adds an op; its key may be built in f->op_keys[f->n_ops]. */
struct store_op *flow_op(struct flow *f, enum store_verb verb, enum store_condition condition, str key);
/* Adds what makes a session's batch right: the key that will sign still does, the signature was not seen before. */
void flow_session_conditions(struct flow *f);
/* After a conflict: which of those it was. False: another one. */
bool flow_turn_conflict(const struct flow *f);
bool flow_replay_conflict(const struct flow *f);
/* Looks up the signing keys again, then `step`; gives up after some tries. */
void flow_retry(struct flow *f, void (*step)(struct flow *f));
/* Copies into the call's arena; refuses when memory is out (then .p is NULL and the flow gone). */
bool flow_copy(struct flow *f, str *s);
uint64_t flow_now_ms(const struct flow *f);

void flow_audit(struct flow *f, enum audit_kind event, enum audit_outcome outcome, str subject, const char *reason,
                str object);

/* product_proof.c: finds the product (X-Product), checks what it must prove, then `next`. */
void product_prove(struct flow *f, void (*next)(struct flow *f));

/* flow.c: the client's address: the last of X-Forwarded-For that is no trusted hop. */
str flow_address(const struct snapshot *snapshot, str forwarded_for);

/* access_token.c */
struct access_token {
    /* the caller's, alive until done */
    str sub, client, product, sid;
    const str *roles, *permissions;
    uint32_t n_roles, n_permissions;
    uint64_t iat_ms;
    void (*done)(struct access_token *t);
    void *owner;
    /* what came of it; free with access_token_free */
    enum err err; /* ERR_AGAIN: no key signs; ERR_LIMIT: too long, or too many wait */
    struct buf text;
    int64_t life_s;
    /* private */
    struct offload_job job;
    struct signing_key *key;
    struct buf payload;
};
/* `done` may run before it returns. */
void access_token_make(struct flow *f, struct access_token *t);
void access_token_free(struct access_token *t);

/* refresh_token.c: secrets that we can know again without keeping them. */
void refresh_secret_make(const struct seal *seal, str sid, char out[SESSION_SECRET_LEN]);
/* Whether we made it, for that session. */
bool refresh_secret_ours(const struct seal *seal, str sid, str secret);
/* Seals the secret of a successor, into the call's arena. */
MUST_USE enum err refresh_secret_seal(struct flow *f, str sid, str secret, str *sealed);
MUST_USE enum err refresh_secret_open(struct flow *f, str sid, str sealed, char out[SESSION_SECRET_LEN]);

/* rehash.c: after a good login with a hash of old parameters, makes a new one beside the loop and puts it in the place
 * of the old by a conditional write. NULL: not needed, or enough of it is under way. */
struct rehash;
struct rehash *rehash_begin(struct authentication *a, str base, str name, const struct store_entry *user, str hash,
                            str password);
/* The password was right: go. Otherwise rehash_drop. Both take it over; NULL is fine. */
void rehash_go(struct rehash *r);
void rehash_drop(struct rehash *r);

/* A user as login and refresh need one. */
struct flow_user {
    struct user_record record; /* in the call's arena */
    uint64_t version;
    bool there; /* neither unknown nor deleted */
};
/* From an entry of space identity; false: refused, the flow is gone. */
bool flow_user_read(struct flow *f, const struct store_entry *e, struct flow_user *out);

/* Ends a session on behalf of a flow, then `step`: f->end has what came of it; a fault of the store ends the flow. */
void flow_session_end(struct flow *f, str sid, str base, str name, const char *reason, void (*step)(struct flow *f));

/* session_room.c: makes sure that the user may have another session, then `next`. */
struct room;
/* What the index of sessions holds for one, in the call's arena. ERR_NO_MEMORY. */
MUST_USE enum err session_index_put(struct flow *f, uint64_t used_ms, str *value);
void session_make_room(struct flow *f, str base, str name, void (*next)(struct flow *f));

/* The answer of login and refresh. */
void tokens_answer(struct flow *f, struct access_token *t, str refresh_token, int64_t refresh_expires_s);
/* When an entry of a session goes: its idle time from now, at most its absolute end. */
int64_t session_entry_expires(const struct flow *f, const struct session_record *s);

/* the handlers */
void login_run(struct service_call *call, void *owner);
void refresh_run(struct service_call *call, void *owner);
void logout_run(struct service_call *call, void *owner);
void sessions_run(struct service_call *call, void *owner);
void session_delete_run(struct service_call *call, void *owner);
void sessions_delete_run(struct service_call *call, void *owner);
void jwks_run(struct service_call *call, void *owner);
void discovery_run(struct service_call *call, void *owner);

#endif
