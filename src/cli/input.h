/* Reading a whole file or standard input for a command, bounded. */
#ifndef SALLYPORT_CLI_INPUT_H
#define SALLYPORT_CLI_INPUT_H

#include "base/buf.h"

/* Appends all of the file (`path` "-": standard input) to `out`, up to the buffer's bound. ERR_IO (errno says why),
 * ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err input_read(const char *path, struct buf *out);

/* The same for a file that holds a secret: no symbolic link, a regular file of this user that nobody else may read.
 * ERR_DENIED if it is none; *why then says what is wrong. */
MUST_USE enum err input_read_secret(const char *path, struct buf *out, const char **why);

#endif
