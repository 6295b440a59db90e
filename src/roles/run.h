/* `sallyport run`: every role that the configuration asks for, in one process; and `sallyport gateway` with what a
 * gateway needs beside it when there is a store.
 *
 * The gateway's control thread is the main thread. Before it listens, and in this order, come the sealing key, the data
 * role, the audit record, the Authentication Service (each on a thread of its own) and the administration; they end in
 * the reverse order, when no worker runs any more. They are reached as if they were elsewhere: the store through a
 * client, the service through its socket. A gateway alone has the store of the data role at its socket, and keeps its
 * own part of the audit record. */
#ifndef SALLYPORT_ROLES_RUN_H
#define SALLYPORT_ROLES_RUN_H

#include "roles/gateway.h"

/* As gateway_run; of the callbacks only on_ready and on_stop, with their ctx, are the caller's. */
int run_roles(const struct gateway_options *options);
int run_gateway_role(const struct gateway_options *options);

/* For on_ready of run_roles, where a throw-away user is wanted: puts one with that password and role into the base
 * "users", over one that is there. Takes as long as a password's hash; the store answers later. ERR_NO_MEMORY. */
MUST_USE enum err run_throw_away_user(struct gateway *g, str name, str password, str role);

#endif
