/* A configuration reduced to one product: what `gateway --product P` receives. */
#ifndef SALLYPORT_CONFIG_PRODUCT_H
#define SALLYPORT_CONFIG_PRODUCT_H

#include "config/config.h"

/* Keeps the product with its keys, the issuers that may vouch for it, the actions it may use and the public ones, and
 * of roles and permissions what they grant among those. Everything else is gone: not known, not routable. Issuers keep
 * only this product among those they vouch for. ERR_NOT_FOUND: no such product (an error in `d`). */
MUST_USE enum err config_keep_product(struct config *c, str product, struct diags *d);

#endif
