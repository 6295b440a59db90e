/* Unix sockets that only their owner (and root) gets into, and who is at the other end of one. */
#ifndef SALLYPORT_NET_UNIX_SOCKET_H
#define SALLYPORT_NET_UNIX_SOCKET_H

#include "base/str.h"

#define UNIX_SOCKET_PATH 108

/* A listening one, embedded in its owner; {.fd = -1} is none. The descriptor may be the owner's to close (a watch):
 * then it sets fd to -1 before unix_socket_close. */
struct unix_socket {
    int fd;
    char path[UNIX_SOCKET_PATH];
    uint64_t device, inode; /* what the name stood for: another's name is never removed */
};

/* One that was handed to this process (net/handed.h) is taken, and its name is never removed here. Else
 * makes the folder (0700) if it is not there, removes a dead socket of that name (never a live one, never anything
 * that is no socket), binds and listens, non-blocking and close-on-exec. Mode 0600; `others`: 0666, for a server that
 * asks for the peer's identity before it reads a byte. ERR_LIMIT: the path is too long; ERR_CONFLICT: somebody answers
 * there, or something else has the name; ERR_IO. */
MUST_USE enum err unix_socket_open(const char *path, bool others, struct unix_socket *out);
/* Closes, and removes the name if it is still ours. Safe to repeat. */
void unix_socket_close(struct unix_socket *s);

/* Who the process at the other end was when it connected (or, of a connection that we made, when it began to listen):
 * SO_PEERCRED. False: it cannot be told. */
bool unix_socket_peer(int fd, uint32_t *uid, int32_t *pid);
/* Whether that is our own user or root. */
bool unix_socket_peer_ok(int fd);

#endif
