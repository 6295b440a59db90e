/* The counters of requests that one worker keeps: requests by action, decision and status; denials by reason;
 * durations. Bounded: what would exceed the table is counted under action or code "other".
 *
 * One writer, any reader (relaxed). Labels are actions and codes of ours, never a path or a user. */
#ifndef SALLYPORT_SERVE_COUNTERS_H
#define SALLYPORT_SERVE_COUNTERS_H

#include "base/metrics.h"
#include "serve/decision.h"

struct counters;

/* ERR_NO_MEMORY. Address space for 16,384 series is set aside; a page is used when it is first written. */
MUST_USE enum err counters_new(struct counters **out);
void counters_free(struct counters **c);

/* By the owning worker, once a request. decision_ns: the time from head to decision; 0: there was none. */
void counters_request(struct counters *c, const struct outcome *o, uint64_t decision_ns);

/* By any thread: sallyport_requests_total{role,action,decision,code}, sallyport_callers_total{caller,credential},
 * sallyport_denies_total{gate,policy} (policy: the reason code), sallyport_request_duration_seconds and
 * sallyport_decision_duration_seconds{gate} (a sample), added up over the n workers' counters. */
void counters_render(const struct counters *const *all, size_t n, const char *role, unsigned gate, struct buf *out);

#endif
