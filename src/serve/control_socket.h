/* The Unix socket of the command line: made so that only its owner (and root) gets in. */
#ifndef SALLYPORT_SERVE_CONTROL_SOCKET_H
#define SALLYPORT_SERVE_CONTROL_SOCKET_H

#include "base/str.h"

/* Makes the folder (0700) if it is not there, removes a dead socket of that name (never a live one, never anything
 * that is no socket), binds with mode 0600 and listens, non-blocking and close-on-exec.
 * ERR_LIMIT: the path is too long; ERR_CONFLICT: somebody answers there, or something else has the name; ERR_IO. */
MUST_USE enum err control_socket_open(const char *path, int *out_fd);

/* Whether the process at the other end runs as our user or as root (SO_PEERCRED). */
bool control_socket_peer_ok(int fd);
/* Who that process was when it connected. False: it cannot be told. */
bool control_socket_peer(int fd, uint32_t *uid, int32_t *pid);

/* Closes and removes the name if it is still ours. */
void control_socket_close(const char *path, int *fd);

#endif
