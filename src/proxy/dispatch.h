/* What the two files of dispatch share: dispatch_step.c (which instance, which connection, asking) and attempt.c (how
 * an attempt ended, whether there is another, what breakers and instances are told). */
#ifndef SALLYPORT_PROXY_DISPATCH_H
#define SALLYPORT_PROXY_DISPATCH_H

#include "proxy/exchange.h"

static inline const struct snapshot_service *dispatch_service(const struct exchange *x)
{
    return &x->config->snap->services[x->action->service];
}

static inline uint64_t dispatch_now(const struct exchange *x)
{
    return loop_now_ms(x->worker->loop);
}

static inline struct balance_ask dispatch_ask(const struct exchange *x)
{
    bool refuses = x->n_tried && x->upstream && x->upstream->refusals;
    return (struct balance_ask){dispatch_now(x), x->hash, x->tried, x->n_tried, refuses};
}

/* --- dispatch_step.c --- */
/* Its place among those that this request passes over from now on; false: there were too many. */
bool dispatch_pass_over(struct exchange *x);
/* Whether an instance that serves has not been tried. */
bool dispatch_has_other(struct exchange *x);

/* --- attempt.c --- */
/* Before anything else: whether there is an instance, and the service's breaker lets the request in. */
enum step attempt_begin(struct exchange *x);
/* x->upstream has the request from now on; before that another one had it, or none. */
void attempt_enter(struct exchange *x);
void attempt_leave(struct exchange *x);
/* Tells the instance how it went. */
void attempt_report(struct exchange *x, enum instance_outcome outcome);
/* One more attempt, with nothing sent so far; counted. */
bool attempt_again_unsent(struct exchange *x);

#endif
