/* The parts of the findings. Private to src/config. */
#ifndef SALLYPORT_CONFIG_FINDINGS_PRIVATE_H
#define SALLYPORT_CONFIG_FINDINGS_PRIVATE_H

#include "config/findings.h"

void finding(struct diags *d, const char *code, struct config_pos at, size_t width, str fix, const char *fmt, ...)
    PRINTF_LIKE(6, 7);

/* Whether anything of this machine only reaches it. */
bool finding_is_loopback(str host);

/* Limits, breakers, kinds of callers, TLS (config/findings_edge.c). */
void findings_of_edge(const struct config *c, struct diags *d);

#endif
