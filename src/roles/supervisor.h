/* The parent: a small process that never reads a byte of the network, and starts, feeds, watches and replaces the one
 * that serves.
 *
 * It opens the listening sockets (or takes those of the service manager) and keeps them, so that clients wait while
 * there is nobody to serve them; has files and secrets read by a process that lives only for that; takes the signals;
 * speaks with the service manager; starts a serving process that died again; and replaces itself and it by another
 * version (roles/supervisor_upgrade.c). What serves does it in `serve`, behind child_enter (roles/child.h). */
#ifndef SALLYPORT_ROLES_SUPERVISOR_H
#define SALLYPORT_ROLES_SUPERVISOR_H

#include "roles/bundle.h"

struct supervisor_options {
    struct bundle_options bundle;
    bool no_sandbox;
    bool next_port;  /* a taken port is named and the next free one used */
    bool same_image; /* what serves is a copy of this process, with what its caller has made; no other version can take
                      * over. Else it is this program, executed anew with the same arguments */
    bool others;     /* processes of other users may connect to the store */
    int (*serve)(void *ctx); /* in the process that serves; gives its exit code */
    void *ctx;
};

/* In the parent: until everything has ended. In the process that serves: as long as `serve`. The exit code: 0 ended as
 * told, 1 could not start, 78 the configuration is refused. */
int supervisor_run(const struct supervisor_options *o);

#endif
