/* What the Authentication Service brings into a configuration by itself: an issuer, a service, actions and who is
 * granted them. Private to src/config.
 *
 * Added behind reading and before checking, so that names and routes are judged together with those of the file. A
 * route that the file has written itself stays the file's. */
#ifndef SALLYPORT_CONFIG_BUILTIN_H
#define SALLYPORT_CONFIG_BUILTIN_H

#include "config/read.h"

/* Defaults of the sections, what their keys must be together, and the built-in parts. */
void builtin_add(struct reader *r, const struct yaml *root);

/* The address of the built-in service, once the data folder is known. */
void builtin_address(struct reader *r);

/* What a product with `login` may besides what it lists; `out`, of AUTHENTICATION_ACTIONS names. */
#define AUTHENTICATION_ACTIONS 4
extern const str builtin_login_actions[AUTHENTICATION_ACTIONS];

#endif
