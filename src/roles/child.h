/* The serving process' side of its parent (roles/supervisor.h): what it was started with, what it is told, what it
 * asks.
 *
 * There is one parent, so there is one of these in a process. child_enter comes first, before any thread and before a
 * byte of the network is read: it receives the bundle and the listening sockets and shuts the sandbox. From child_watch
 * on everything happens on the thread of that loop. */
#ifndef SALLYPORT_ROLES_CHILD_H
#define SALLYPORT_ROLES_CHILD_H

#include "config/source.h"
#include "net/loop.h"
#include "roles/wire.h"

#define CHILD_VARIABLE "SALLYPORT_CHILD" /* in the environment: the descriptor of the pair */

struct child_events {
    void (*bundle)(void *ctx);                        /* another one: child_config and child_source have it now */
    void (*no_bundle)(void *ctx, str why);            /* it could not be had */
    void (*drain)(void *ctx, unsigned how);           /* WIRE_DRAIN_… */
    void (*hand_over)(void *ctx);                     /* then child_freed; NULL: like WIRE_DRAIN_TAKEN_OVER */
    void (*upgraded)(void *ctx, bool done, str text); /* answers child_want_upgrade; may be NULL */
    void *ctx;
};

/* Whether the environment says that this process is one that serves. Takes the variable out. */
bool child_called(int *fd);
/* Takes the descriptor over. ERR_CLOSED: the parent is gone; ERR_MALFORMED, ERR_IO. */
MUST_USE enum err child_enter(int fd);

/* The configuration as text; false: what is wrong with it, as text and as JSON. Borrowed until child_ready or
 * child_reloaded. */
bool child_config(str *text, str *findings);
/* Files and secrets as the parent read them for that configuration. NULL: there is no parent. */
const struct config_source *child_source(void);

/* Before something is opened that only one process may have: blocks until another one has given it up. ERR_CLOSED:
 * told to end instead. */
MUST_USE enum err child_await_turn(void);
/* ERR_IO. */
MUST_USE enum err child_watch(struct loop *loop, const struct child_events *events);
void child_unwatch(struct loop *loop);

void child_ready(uint64_t generation);
void child_want_bundle(void);
/* Whether what came was read after the last question: one that was read before, for somebody else, is no answer. */
bool child_answered(void);
void child_reloading(void);
void child_reloaded(bool in_force);
void child_ending(void);
void child_freed(void);
/* False: this one cannot be replaced while it runs. */
bool child_want_upgrade(void);
int32_t child_parent(void); /* its process id; 0: none */

#endif
