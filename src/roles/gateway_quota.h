/* The leases of quotas: how a gateway takes from the store, in blocks, what its workers count down (proxy/quota.h).
 *
 *   worker: quota_take ──mail──► ask ──GET──► judge ──PUT, if unchanged──► quota_granted ──mail──► every worker
 *                                 │  ERR_CONFLICT: another gateway was quicker; again
 *                                 └─ no answer for a second: credit, once; then quota_refused(QUOTA_UNKNOWN)
 *
 * `quota/<product>/<window>/<its begin>` of the space audit holds how much is booked. A block is as much as a second
 * needs, never more than a twentieth of the quota; what is left of one is given back at the end of a drain, and lost
 * when the process is killed.
 *
 * While the store does not answer, a gateway goes on within its block, then within one more that it books later
 * (so all gateways together may let through at most a block each too many), and then refuses. Where it is known that
 * the quota is exhausted there is no credit. Without a store each process counts for itself, in memory. */
#ifndef SALLYPORT_ROLES_GATEWAY_QUOTA_H
#define SALLYPORT_ROLES_GATEWAY_QUOTA_H

#include "base/buf.h"
#include "config/snapshot.h"
#include "net/loop.h"
#include "proxy/quota.h"

struct gateway_quota;
struct store;

struct gateway_quota_options {
    struct loop *loop;
    struct store *store;         /* of that loop; outlives it until gateway_quota_stop; NULL: there is none */
    void (*answered)(void *ctx); /* a lease was granted or refused: workers look again */
    void *ctx;
};

MUST_USE enum err gateway_quota_new(const struct gateway_quota_options *o, struct gateway_quota **out);
/* For the workers. */
struct quotas *gateway_quota_all(struct gateway_quota *g);
/* The products' quotas of this snapshot are in force. ERR_NO_MEMORY, ERR_LIMIT. */
MUST_USE enum err gateway_quota_follow(struct gateway_quota *g, const struct snapshot *snap);
/* Begins to give back what is left; whether that is done. */
bool gateway_quota_gone(struct gateway_quota *g);
/* Another client of it from the next job on. */
void gateway_quota_store(struct gateway_quota *g, struct store *store);
/* No job is under way any more and no letter comes. */
void gateway_quota_stop(struct gateway_quota *g);
void gateway_quota_free(struct gateway_quota **g);

void gateway_quota_metrics(const struct gateway_quota *g, struct buf *out);

#endif
