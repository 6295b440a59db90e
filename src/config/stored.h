/* Products of the store among those of the file. */
#ifndef SALLYPORT_CONFIG_STORED_H
#define SALLYPORT_CONFIG_STORED_H

#include "config/config.h"

/* `out` is `c` with the products of the store behind its own: a shallow copy, good while `c`, `stored` and `mem` are,
 * and not for config_free. Left out, and counted in *left_out if not NULL: one named like a product of the file (the
 * file's word counts) and those beyond CONFIG_MAX_NAMES. One that wants to log in where there is no Authentication
 * Service, or with a user base that is not there, is kept without its login. ERR_NO_MEMORY. */
MUST_USE enum err config_with_products(const struct config *c, const struct config_product *stored, uint32_t n,
                                       struct arena *mem, struct config *out, uint32_t *left_out);

#endif
