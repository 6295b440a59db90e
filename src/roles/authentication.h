/* The role `authentication`: the Authentication Service on a loop of its own, as a thread of `sallyport run` or as a
 * process. Wires only: reads its settings out of the configuration, opens its client of the store, starts, stops. */
#ifndef SALLYPORT_ROLES_AUTHENTICATION_H
#define SALLYPORT_ROLES_AUTHENTICATION_H

#include "crypto/seal.h"
#include "net/loop.h"
#include "services/authentication.h"

#define AUTHENTICATION_CLI_SOCKET "authentication-cli.sock" /* the control socket of such a process of its own */

struct process_options;

struct audit;
struct authentication_role;

struct authentication_role_options {
    struct snapshot *snapshot; /* with a section `authentication`; the role takes a reference of its own */
    const struct seal *seal;
    struct audit *audit;
    /* Makes the role's client of the store, on its thread and for its loop; the role frees it. NULL: it cannot. */
    struct store *(*store_new)(void *ctx, struct loop *loop);
    void *ctx;
};

/* Starts the thread; returns when its socket answers. ERR_CONFLICT, ERR_LIMIT, ERR_IO, ERR_NO_MEMORY; it is logged
 * which. */
MUST_USE enum err authentication_role_start(const struct authentication_role_options *o,
                                            struct authentication_role **out);
/* Any thread: another configuration, in force when the role's loop takes it up. ERR_NO_MEMORY. */
MUST_USE enum err authentication_role_reload(struct authentication_role *r, struct snapshot *snapshot);
/* Finishes calls under way (at most 5 s), ends the thread. NULL is fine. */
void authentication_role_stop(struct authentication_role **r);
/* Any thread: whether a key signs. */
bool authentication_role_ready(const struct authentication_role *r);
/* Any thread. */
void authentication_role_metrics(const struct authentication_role *r, struct buf *out);
void authentication_role_counts(const struct authentication_role *r, struct authentication_counts *out);

/* `sallyport authentication [--config FILE]`: the process. Its exit code. */
int authentication_role_run(const struct process_options *process);

#endif
