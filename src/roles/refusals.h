/* What gateways refuse, into the audit record: the decision rings of the workers are looked at fifty times a second,
 * and every denial becomes a record (identical ones are folded there). A worker never waits, and never knows; when more
 * comes than a ring holds, how many were passed over is recorded instead.
 *
 * Owner: the control thread. */
#ifndef SALLYPORT_ROLES_REFUSALS_H
#define SALLYPORT_ROLES_REFUSALS_H

#include "net/loop.h"
#include "serve/decision.h"

struct audit;
struct buf;
struct refusals;

/* `rings` as in serve/control.h: there may be more of them later, never fewer. Begins with what is there. The record
 * must outlive it. ERR_NO_MEMORY. */
MUST_USE enum err refusals_new(struct loop *loop, struct audit *audit,
                               size_t (*rings)(void *ctx, const struct decision_ring **out), void *ctx,
                               struct refusals **out);
/* Looks a last time: before the rings go. NULL is fine. */
void refusals_free(struct refusals **r);

/* sallyport_audit_…; `a` may be NULL. Any thread. */
void audit_metrics(const struct audit *a, struct buf *out);

#endif
