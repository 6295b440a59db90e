/* Listening sockets that another process has opened for this one, by name.
 *
 * A process that may not bind is given its sockets once, before it starts anything (handed_give), and everybody who
 * wants to listen looks here first. One thread at a time: the table is filled and emptied while a process starts. */
#ifndef SALLYPORT_NET_HANDED_H
#define SALLYPORT_NET_HANDED_H

#include "base/str.h"

#define HANDED_MAX  1280 /* 16 listeners of 64 workers, and the others */
#define HANDED_NAME 32
#define HANDED_UNIX "unix" /* the name of those found by handed_unix */

/* Takes the descriptor. ERR_LIMIT (and it is closed): too many, or the name is too long. */
MUST_USE enum err handed_give(str name, int fd);
/* The next one of that name, in the order in which they were given; the caller's from now on. -1: none is left. */
int handed_take(str name);
/* The one that is bound to this path, however the path is written. -1: none. */
int handed_unix(const char *path);
/* Closes what nobody wanted. */
void handed_close(void);

#endif
