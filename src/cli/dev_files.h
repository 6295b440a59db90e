/* The files of a data folder that `sallyport dev` and `token mint --dev` share: the throw-away issuer.
 *
 * `dev-issuer.jwk` is its private key, for its user only; `dev-issuer.jwks` is what a configuration names under
 * `issuers`. Whoever does not name it there does not trust it. */
#ifndef SALLYPORT_CLI_DEV_FILES_H
#define SALLYPORT_CLI_DEV_FILES_H

#include "base/str.h"

#include <sys/types.h>

#define DEV_ISSUER_URL "https://dev.sallyport.invalid"

/* Writes whole or not at all: beside it first, then in its place. ERR_IO (errno), ERR_LIMIT: the path is too long. */
MUST_USE enum err dev_file_write(const char *path, str text, mode_t mode);

/* Makes the folder (0700) if it is not there, and a fresh issuer in it. The same errors, and ERR_NO_MEMORY. */
MUST_USE enum err dev_issuer_make(const char *data, str aud, str product);

#endif
