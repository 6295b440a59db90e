/* What the policy commands share: reading files and loading policies, schemas and entities from them. */
#ifndef SALLYPORT_CLI_POLICY_FILES_H
#define SALLYPORT_CLI_POLICY_FILES_H

#include "base/arena.h"
#include "cli/cli.h"
#include "policy/ast.h"
#include "policy/entities.h"
#include "policy/schema.h"

/* The whole file ("-": standard input) in the arena. ERR_IO, ERR_LIMIT (above 1 GiB), ERR_NO_MEMORY. */
MUST_USE enum err policy_read_file(const char *path, struct arena *mem, str *out);

#endif
