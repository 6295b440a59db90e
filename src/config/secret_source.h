/* Fetching a secret from where the configuration says it is: a file, the environment, a systemd credential, or what a
 * command prints.
 *
 * Blocks (a command has five seconds): control thread only. The secret is in no message; what a command says on
 * stderr is, when it fails. */
#ifndef SALLYPORT_CONFIG_SECRET_SOURCE_H
#define SALLYPORT_CONFIG_SECRET_SOURCE_H

#include "config/config.h"
#include "crypto/secret.h"

#define SECRET_SOURCE_MAX        65536
#define SECRET_SOURCE_TIMEOUT_MS 5000

/* Why a secret could not be had, as a sentence. */
struct secret_why {
    char text[400];
};

/* One newline at the end does not count; an empty secret is none. *out is the caller's and written on ERR_OK only.
 * ERR_NOT_FOUND, ERR_DENIED (a file that everybody may read), ERR_LIMIT (larger than 64 kB), ERR_TIMEOUT, ERR_IO,
 * ERR_MALFORMED (empty), ERR_NO_MEMORY: *why says which and why. */
MUST_USE enum err secret_fetch(const struct config_secret *from, struct secret *out, struct secret_why *why);

/* Whether the file, if it is there, is one that secret_fetch would take. ERR_NOT_FOUND, ERR_DENIED, ERR_IO. */
MUST_USE enum err secret_file_check(str path, struct secret_why *why);

#endif
