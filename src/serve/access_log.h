/* One line of access log a request, from the outcome of a request.
 *
 * Keys: ts level role msg="access" trace_id decision_id gate method path status decision reason duration_us
 * bytes_in bytes_out, then those that are known of correlation_id (only when it is not the decision_id) caller
 * credential action product client issuer sub upstream remote fault. A value that is too long is cut and "cut":true
 * stands at the line's end. On a terminal a line of text. */
#ifndef SALLYPORT_SERVE_ACCESS_LOG_H
#define SALLYPORT_SERVE_ACCESS_LOG_H

#include "base/log.h"
#include "serve/decision.h"

/* No allocation, no waiting; `end_ms` (Unix milliseconds now) is the line's ts. `p` may be NULL: nothing happens. */
void access_log_write(struct log_producer *p, const struct outcome *o, uint64_t end_ms);

/* The line itself, at most LOG_LINE_MAX bytes with its '\n'; returns its length. */
size_t access_log_line(char out[LOG_LINE_MAX], const struct outcome *o, uint64_t end_ms, const char *role, bool text);

#endif
