/* What a configuration must be as a whole: names that are referred to exist, nothing is there twice, no two routes
 * match the same. Private to src/config. */
#ifndef SALLYPORT_CONFIG_CHECK_H
#define SALLYPORT_CONFIG_CHECK_H

#include "config/read.h"

void check_config(struct reader *r, const struct yaml *root);

/* The same of what is at the edge: listeners, certificates, limits, quotas (config/check_edge.c). */
void check_edge(struct reader *r);

#endif
