/* Password hashes beside the loop: so many at once, so many waiting, no more. */
#ifndef SALLYPORT_SERVICES_PASSWORDS_H
#define SALLYPORT_SERVICES_PASSWORDS_H

#include "crypto/password.h"
#include "net/offload.h"

struct passwords;

/* Threads start with the first job. ERR_LIMIT: no good cost. ERR_NO_MEMORY. */
MUST_USE enum err passwords_new(struct loop *loop, struct password_cost cost, unsigned concurrent, unsigned queue,
                                struct passwords **out);
/* Another cost from now on. ERR_LIMIT: no good cost; the old one stays. */
MUST_USE enum err passwords_set(struct passwords *p, struct password_cost cost);
/* Waits for checks under way and lets their `done` run. Those that still waited are not run, nor is their `done`. */
void passwords_free(struct passwords **p);

/* One check, embedded in its owner, who keeps it until `done`. The password is wiped when it has run. */
struct password_check {
    struct offload_job job;       /* private */
    struct passwords *passwords;  /* private */
    struct password_cost cost;    /* private */
    bool dummy;                   /* private */
    char hash[PASSWORD_HASH_MAX]; /* what to compare with; empty: there is none, and as much is computed */
    char password[PASSWORD_MAX];  /* */
    size_t password_n;
    bool make; /* also makes a new hash if the old one fell behind (after a good comparison) */
    void (*done)(struct password_check *c);
    void *owner;                  /* of `done` */
    enum err err;                 /* ERR_OK: it is the password; ERR_DENIED; ERR_NO_MEMORY */
    char made[PASSWORD_HASH_MAX]; /* the new hash; empty: none was needed */
};

/* ERR_OK: `done` follows. ERR_LIMIT: too many wait; nothing was kept. ERR_NO_MEMORY. */
MUST_USE enum err passwords_check(struct passwords *p, struct password_check *c);
/* Whether a good hash should be made anew. */
bool passwords_outdated(const struct passwords *p, str hash);
/* Checks under way or waiting. */
unsigned passwords_waiting(const struct passwords *p);

#endif
