/* Connections to one instance of a service: the idle ones of this worker.
 *
 * An upstream is known by its address and outlives a configuration that still names it, so that a reload keeps its
 * warm connections. Choosing among instances is dispatch's; this is only the pool. */
#ifndef SALLYPORT_PROXY_UPSTREAM_H
#define SALLYPORT_PROXY_UPSTREAM_H

#include "http/h1_client.h"

struct upstream {
    str text; /* the address as shown; owned */
    struct net_addr addr;
    uint32_t refs; /* snapshots of this worker that name it */
    uint32_t n_idle;
    uint32_t waiting;       /* exchanges that wait to try again after a failed attempt */
    struct h1_client *idle; /* newest first */
};

#define UPSTREAM_IDLE_MAX    256
#define UPSTREAM_WAITING_MAX 256

/* One reference. NULL: memory. */
struct upstream *upstream_new(str text, const void *sockaddr, size_t len);
/* Lets go; the last one closes the idle connections. True: it is gone (the caller forgets it). */
bool upstream_unref(struct upstream *u);

/* The warmest idle connection, or NULL. */
struct h1_client *upstream_take(struct upstream *u);
/* client_env callbacks; `pool` is the upstream. */
void upstream_on_idle(struct h1_client *c, void *pool);
void upstream_on_idle_closed(struct h1_client *c, void *pool);
/* Closes what has been idle since before that time. */
void upstream_reap(struct upstream *u, uint64_t before_ms);

#endif
