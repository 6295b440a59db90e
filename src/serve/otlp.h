/* Spans as OTLP has them (opentelemetry-proto 1.x, trace service): records in, protobuf out. No I/O.
 *
 * One request is one server span and, if it went on to a service, one client span below it, whatever the number of
 * attempts. Attributes by the semantic conventions of HTTP spans (OpenTelemetry 1.23 and later), and ours under
 * `sallyport.`. */
#ifndef SALLYPORT_SERVE_OTLP_H
#define SALLYPORT_SERVE_OTLP_H

#include "serve/span.h"

/* Who exports: the resource of every span. */
struct otlp_resource {
    str version, instance, environment;
};

/* Appends the one or two spans of `s`, as fields of a ScopeSpans message; returns how many. */
unsigned otlp_put(struct buf *out, const struct span *s);

/* An ExportTraceServiceRequest around spans that were put. Appends. */
void otlp_request(struct buf *out, const struct otlp_resource *who, str spans);

/* What a collector answered with 200: how many spans it did not take. ERR_MALFORMED: no ExportTraceServiceResponse. */
MUST_USE enum err otlp_rejected(str body, uint64_t *out);

#endif
