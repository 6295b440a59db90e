/* Active health checks: a request now and then to each instance of a service that asks for it.
 *
 * One checker an instance, on the control thread's loop; what it finds goes into the instance's shared state
 * (proxy/instance.h), where the workers read it. Checks are spread over their interval and at most HEALTH_OPEN_MAX are
 * under way; a checker lives as long as its instance is in force, so a reload forgets nothing. An answer is judged by
 * its status, 2xx; its body is bounded and thrown away. Knows nothing of requests that are relayed. */
#ifndef SALLYPORT_ROLES_GATEWAY_HEALTH_H
#define SALLYPORT_ROLES_GATEWAY_HEALTH_H

#include "base/arena.h"
#include "base/buf.h"
#include "proxy/instance.h"
#include "proxy/tls_set.h"

struct gateway_health;
struct loop;

#define HEALTH_OPEN_MAX 64
#define HEALTH_BODY_MAX 65536 /* of an answer that is read; behind it the connection is closed */

/* --- the judgement: results in a row. Pure. --- */

struct health_state {
    enum instance_health verdict;
    uint32_t streak; /* results in a row that speak against the verdict */
};

/* Takes one result in: true when the verdict changed. The first good one of an unknown instance makes it UP at once;
 * else `healthy` good ones in a row, or `unhealthy` bad ones (0 counts as 1). */
bool health_judge(struct health_state *s, bool good, uint32_t healthy, uint32_t unhealthy);

/* --- the checkers --- */

/* ERR_NO_MEMORY. */
MUST_USE enum err gateway_health_new(struct loop *loop, struct gateway_health **out);
/* Checks under way are given up. NULL is fine. */
void gateway_health_free(struct gateway_health **h);

/* That snapshot is in force: its instances are checked from now on, and no others. `set` is that of the snapshot, `tls`
 * too (NULL: clear text everywhere); both are kept by reference. */
void gateway_health_follow(struct gateway_health *h, const struct snapshot *snap, struct instance_set *set,
                           struct tls_set *tls);
/* No more checks: the gateway drains. What was found stays. */
void gateway_health_stop(struct gateway_health *h);

void gateway_health_metrics(const struct gateway_health *h, struct buf *out);
/* For /readyz?verbose: "2 of 5 checked instances are down: orders 10.0.0.11:8080 (status 503), …"; empty when none is.
 * In `mem`. */
str gateway_health_text(const struct gateway_health *h, struct arena *mem);
/* Why the last check of that instance failed, or when it was good: "status 503"; empty: it is not checked, or was not
 * yet. Borrowed. */
str gateway_health_last(const struct gateway_health *h, str service, str instance);

#endif
