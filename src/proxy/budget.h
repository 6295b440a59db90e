/* How many of a worker's requests to a service may be retries: a percentage of those of the last ten seconds.
 *
 * One worker's own, plain numbers; what is allowed beyond it for all workers together is service_retry_floor
 * (proxy/instance.h). Time is passed in. */
#ifndef SALLYPORT_PROXY_BUDGET_H
#define SALLYPORT_PROXY_BUDGET_H

#include "base/str.h"

#define BUDGET_SECONDS 10u

struct retry_budget {           /* {0}: nothing yet */
    uint64_t second;            /* the newest that is counted */
    uint32_t requests, retries; /* of the window */
    uint32_t requests_in[BUDGET_SECONDS], retries_in[BUDGET_SECONDS];
};

/* Lets what is older go. */
void budget_roll(struct retry_budget *b, uint64_t second);

/* A request, once, whatever becomes of it. */
static inline void budget_request(struct retry_budget *b, uint64_t now_ms)
{
    uint64_t second = now_ms / 1000;
    if (UNLIKELY(second != b->second)) budget_roll(b, second);
    b->requests++;
    b->requests_in[second % BUDGET_SECONDS]++;
}

/* Whether one more retry is within `percent` of the requests; then it is counted. */
bool budget_retry(struct retry_budget *b, uint32_t percent, uint64_t now_ms);

#endif
