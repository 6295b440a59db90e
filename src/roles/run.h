/* `sallyport run`: every role that the configuration asks for, in one process.
 *
 * The gateway's control thread is the main thread. Before it listens, and in this order, come the sealing key, the data
 * role and the Authentication Service, each on a thread of its own; they end in the reverse order, when no worker runs
 * any more. They are reached as if they were elsewhere: the store through a client, the service through its socket. */
#ifndef SALLYPORT_ROLES_RUN_H
#define SALLYPORT_ROLES_RUN_H

#include "roles/gateway.h"

/* As gateway_run; of the callbacks only on_ready and on_stop, with their ctx, are the caller's. */
int run_roles(const struct gateway_options *options);

#endif
