/* What a gateway has of limits beside its workers: the words of rates, which all of them share, the leases of quotas
 * (gateway_quota.c) and what is metered (gateway_usage.c), both kept in the space audit of the store, which no gateway
 * watches. Owner: the control thread. */
#ifndef SALLYPORT_ROLES_GATEWAY_LIMITS_H
#define SALLYPORT_ROLES_GATEWAY_LIMITS_H

#include "base/buf.h"

struct gateway;
struct gateway_limits;

/* Made with the first call. A snapshot is about to be sent to the workers: its quotas can be found from now on.
 * ERR_NO_MEMORY, ERR_LIMIT. */
MUST_USE enum err gateway_limits_follow(struct gateway *g);
/* At the end of a drain, again and again until true: what is left of leases is given back, what was counted is
 * written; or there was no time for it. */
bool gateway_limits_gone(struct gateway *g);
/* The store's client goes to another process; what is left is given back to that one. Before gateway_feed_leave. */
void gateway_limits_leave(struct gateway *g);
/* Before the store's client goes. No worker asks any more. */
void gateway_limits_stop(struct gateway *g);
/* No worker may be left. */
void gateway_limits_free(struct gateway *g);

void gateway_limits_metrics(const struct gateway *g, struct buf *out);

#endif
