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

/* Makes the folder (0700) if it is not there; one that is must be ours alone to write, since who may write there says
 * whom the issuer's users are. ERR_DENIED: *why says what is wrong with it; ERR_IO (errno; *why is NULL). */
MUST_USE enum err dev_folder_make(const char *data, const char **why);

/* A fresh issuer in a folder that dev_folder_make has made or looked at. As dev_file_write, and ERR_NO_MEMORY. */
MUST_USE enum err dev_issuer_make(const char *data, str aud, str product);

#endif
