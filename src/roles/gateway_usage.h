/* Metering on its way to the store: what the workers count (proxy/meter.h), by hour.
 *
 *   worker: meter_request ──► collect(), every 10 s and when an hour ends ──► sums of this hour ──► store
 *
 * An entry `usage/<hour>/<process>/<part>` of the space audit holds a part of the sums of one process, whole: it is
 * written again as they grow, so a write that may or may not have happened is simply repeated. Readers add up. What
 * was counted since the last write is lost when the process is killed: ten seconds, or longer while the store does not
 * answer. Hours that could not be written wait in bounded memory. Nothing of a request waits for any of it. */
#ifndef SALLYPORT_ROLES_GATEWAY_USAGE_H
#define SALLYPORT_ROLES_GATEWAY_USAGE_H

#include "net/loop.h"
#include "proxy/meter.h"

struct gateway_usage;
struct store;

/* `store`: of that loop, outlives it until gateway_usage_stop. ERR_NO_MEMORY. */
MUST_USE enum err gateway_usage_new(struct loop *loop, struct store *store, struct gateway_usage **out);
/* One more worker's; outlives it. ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err gateway_usage_meter(struct gateway_usage *u, const struct meter *m);
/* Counts and writes what there is; whether all of it is written. */
bool gateway_usage_gone(struct gateway_usage *u);
/* Another client of it from the next write on. */
void gateway_usage_store(struct gateway_usage *u, struct store *store);
void gateway_usage_stop(struct gateway_usage *u);
void gateway_usage_free(struct gateway_usage **u);

#endif
