/* Traces on their way out of the gateway: takes the workers' spans, keeps them in bounded memory, and posts them in
 * batches to the collector that the configuration names (OTLP over HTTP, protobuf).
 *
 *   worker: span_ring ──► look(), every 50 to 500 ms ──► waiting (encoded, WAITING_MAX) ──► sending ──► fetch
 *
 * One batch is under way at a time. What cannot be delivered is tried again with growing pauses, and given up in the
 * end; what there is no room for is dropped and counted. No request ever waits for any of it. Owner: the control
 * thread. */
#ifndef SALLYPORT_ROLES_GATEWAY_TRACING_H
#define SALLYPORT_ROLES_GATEWAY_TRACING_H

#include "base/buf.h"
#include "fetch/fetch.h"

struct gateway_tracing;
struct snapshot;
struct span_ring;

/* `env` must outlive it. ERR_NO_MEMORY. */
MUST_USE enum err gateway_tracing_new(const struct fetch_env *env, struct gateway_tracing **out);
void gateway_tracing_free(struct gateway_tracing **t);

/* One more worker's ring; it must outlive `t`. Before gateway_tracing_follow. At most GATEWAY_TRACING_RINGS. */
#define GATEWAY_TRACING_RINGS 64
void gateway_tracing_ring(struct gateway_tracing *t, struct span_ring *ring);

/* This snapshot is the one in force; takes a reference while it exports for it. Without `tracing` it rests. */
void gateway_tracing_follow(struct gateway_tracing *t, struct snapshot *snap);

/* Sends what there is without waiting for a full batch; for the end of a process. */
void gateway_tracing_flush(struct gateway_tracing *t);
/* Nothing is left to be sent, or nothing more is tried. */
bool gateway_tracing_idle(const struct gateway_tracing *t);

/* The last attempt failed, and none has got through since. */
bool gateway_tracing_failing(const struct gateway_tracing *t);
void gateway_tracing_metrics(const struct gateway_tracing *t, struct buf *out);

#endif
