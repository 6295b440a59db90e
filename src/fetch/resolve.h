/* A host name looked up by the system's resolver on the offload pool, so that no loop waits for it.
 *
 * Owner: the loop that asked. Gives addresses in the resolver's order, none left out: what may be done with them is
 * the caller's to judge. */
#ifndef SALLYPORT_FETCH_RESOLVE_H
#define SALLYPORT_FETCH_RESOLVE_H

#include "net/offload.h"
#include "net/socket.h"

#define RESOLVE_MAX 8 /* addresses of one name that are looked at */

struct resolve;

/* `done` comes later on the loop, exactly once: n addresses (they live during the call), or n == 0 and why.
 * ERR_MALFORMED: no host name. ERR_LIMIT: the pool is full. ERR_NO_MEMORY. */
MUST_USE enum err resolve_start(struct offload *pool, struct loop *loop, str host, uint16_t port,
                                void (*done)(void *user, const struct net_addr *list, size_t n, const char *why),
                                void *user, struct resolve **out);

/* `done` will not be called; the lookup itself ends when the resolver returns, and frees itself then. */
void resolve_cancel(struct resolve **r);

#endif
