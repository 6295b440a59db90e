/* What the policy commands share: reading files and loading policies, schemas and entities from them. Mistakes are
 * told on stderr with file, line and caret. */
#ifndef SALLYPORT_CLI_POLICY_FILES_H
#define SALLYPORT_CLI_POLICY_FILES_H

#include "base/arena.h"
#include "base/buf.h"
#include "cli/cli.h"
#include "policy/ast.h"
#include "policy/entities.h"
#include "policy/mistakes.h"
#include "policy/schema.h"

#define POLICY_OUTPUT_MAX ((size_t)1 << 30)

/* The whole file ("-": standard input) in the arena. ERR_IO, ERR_LIMIT (above 1 GiB), ERR_NO_MEMORY. */
MUST_USE enum err policy_read_file(const char *path, struct arena *mem, str *out);

/* Each reads one file, JSON if its first character is { or [, and complains if it is wrong. `text` (may be NULL)
 * gets the file for later messages. */
MUST_USE enum err policy_load(const char *path, struct arena *mem, struct policy_set *out, str *text);
MUST_USE enum err policy_load_schema(const char *path, struct arena *mem, struct schema **out);
MUST_USE enum err policy_load_entities(const char *path, const struct schema *schema, struct entities *es);

/* "cannot read FILE" or the mistakes, on stderr. */
void policy_complain(const struct mistakes *m, const char *path, str text);

bool policy_is_json(str text);

/* Writes the buffer to stdout; false (and a complaint) if it is not whole. */
bool policy_put(struct buf *b);

#endif
