/* When keys come and go: what is to be done next, decided from the keys that there are. Pure: no store, no clock.
 *
 *   (none) ──► next      made ahead of its time, published
 *   next   ──► current   once its time has come and every live verifier has it; the one before it becomes old
 *   current──► old       verifies until the last token that it signed is gone
 *   old    ──► (none)
 *
 * Every transition is one conditional batch that also counts the *turn* up: of two processes that decide at once, one
 * loses and looks again. A session is written under the condition that the turn is the one its token will be signed
 * in; so no token is ever signed by a key that was retired before. */
#ifndef SALLYPORT_SERVICES_SIGNING_PLAN_H
#define SALLYPORT_SERVICES_SIGNING_PLAN_H

#include "services/signing_request.h"

#define SIGNING_KEYS_MAX    24 /* by schedule; while there are as many, the next one waits until an old one is gone */
#define SIGNING_KEYS_ROOM   48 /* by request */
#define SIGNING_RETIRE_MARK 1  /* verify_until_s of a current key that is to go at once when its successor signs */

/* One key as the store has it. */
struct signing_plan_key {
    char kid[SIGNING_KID_MAX];
    size_t kid_n;
    struct signing_key_record record; /* its jwk in the plan's arena */
    uint64_t version;
    bool readable; /* its seal opens */
};

struct signing_plan {
    struct signing_plan_key keys[SIGNING_KEYS_ROOM];
    unsigned n;
    bool has_request;
    struct signing_request request; /* the oldest one */
    char request_id[RECORD_NAME_MAX];
    size_t request_id_n;
    uint64_t request_version;
    uint64_t turn, turn_version; /* version 0: there is none yet */
    enum alg sticky;             /* by request, as long as `sticky_over` is still what the configuration says */
    enum alg sticky_over;
};

#define SIGNING_TURN_KEY STR("signing-turn")

struct signing_policy {
    enum alg alg;
    uint64_t rotate_ms, ahead_ms;
    int64_t token_s; /* life of an access token */
};

enum signing_step {
    SIGNING_WAIT = 0, /* nothing before at_ms */
    SIGNING_MAKE,     /* a key of `alg`, state next, to sign from at_ms */
    SIGNING_PROMOTE,  /* keys[key] signs from now on, if every verifier has it */
    SIGNING_REMOVE,   /* keys[key] is gone */
    SIGNING_HURRY,    /* keys[key] (next) signs as soon as it may */
    SIGNING_MARK,     /* keys[key] (current) is to go at once when its successor signs */
    SIGNING_DROP,     /* the request is answered; nothing else */
    SIGNING_STUCK     /* the current key does not open: another seal; somebody must decide */
};

struct signing_action {
    enum signing_step step;
    unsigned key;
    uint64_t at_ms;
    enum alg alg;
    bool takes_request; /* the request is done with it */
};

/* The entries of the range "signing-"; strings of *p live in `mem`, *p is zero before. What cannot be read is logged
 * and passed over. ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err signing_plan_read(const struct store_entry *entries, uint32_t n, struct arena *mem,
                                    struct signing_plan *p);
/* The algorithm that new keys have. */
enum alg signing_plan_alg(const struct signing_plan *p, const struct signing_policy *policy);
struct signing_action signing_plan_next(const struct signing_plan *p, const struct signing_policy *policy,
                                        uint64_t now_ms);
/* The key in that state, or -1. */
int signing_plan_find(const struct signing_plan *p, enum signing_key_state state);
/* The second from which nothing signed until now_ms lives any more. */
int64_t signing_plan_until(const struct signing_policy *policy, uint64_t now_ms);

#endif
