/* Between log.c and log_sink.c only: how a finished line leaves the thread that made it. */
#ifndef SALLYPORT_BASE_LOG_SINK_H
#define SALLYPORT_BASE_LOG_SINK_H

#include "base/log.h"

/* By way of the thread's producer, else the shared one, else (no sink is open) straight to the descriptor. */
void log_sink_put(str line);

/* One event as a line in out, '\n' included; its length. */
size_t log_render(char out[LOG_LINE_MAX], enum log_level level, const char *role, uint64_t unix_ms, bool text,
                  const struct log_field *fields, size_t n);

#endif
