/* Which instance of a service is next: least request of two, round robin, or by a hash; by weight, by level.
 *
 * A balancer is one worker's, of one service of one snapshot. It reads the shared state of the instances
 * (proxy/instance.h) and keeps lists of who serves, made anew in place when that has changed; choosing allocates
 * nothing and writes nothing that others read. Levels are what is tried before what: an SRV priority, and inside it the
 * own zone before the others. Times are monotonic milliseconds. Refuses to know requests and connections. */
#ifndef SALLYPORT_PROXY_BALANCE_H
#define SALLYPORT_PROXY_BALANCE_H

#include "proxy/instance.h"

struct balancer;

#define BALANCE_NONE UINT32_MAX

struct balance_ask {
    uint64_t now_ms;
    uint64_t hash;         /* BALANCE_HASH: balance_hash of the key; else not looked at */
    const uint32_t *tried; /* what failed this request already: chosen only when nobody else serves */
    uint32_t n_tried;
    bool last_resort; /* who serves refuses connections: then also those that were left out for their failures, which
                         may be over; never those that a check found down */
};

/* `all`: the n_instances of `s`, at least one, borrowed as `s` is. `seed`: of its draws. NULL: memory. */
struct balancer *balancer_new(const struct snapshot_service *s, struct instance *const *all, unsigned worker,
                              uint64_t seed);
void balancer_free(struct balancer **b);

/* An index into `all`. Always gives one: when nobody serves, all do (*panic). */
uint32_t balancer_choose(struct balancer *b, const struct balance_ask *ask, bool *panic);

/* Whether somebody who serves is not among `tried`. Does not change who is next. */
bool balancer_has_other(struct balancer *b, const struct balance_ask *ask);

/* The hash of a key: the same in every process and version, so that several gateways agree. */
uint64_t balance_hash(str key);

#endif
