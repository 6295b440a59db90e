/* A service for first steps: answers every request with the identity it was told, as JSON.
 *
 * `sallyport dev` puts it behind the gateway when no application was named. Loopback only; runs on a loop it is
 * given. Knows nothing of tokens: it shows what a naive service sees. */
#ifndef SALLYPORT_SERVICES_ECHO_H
#define SALLYPORT_SERVICES_ECHO_H

#include "net/socket.h"

struct loop;
struct echo;

/* A free port of 127.0.0.1, bound before there is a loop: the configuration names it. ERR_IO. */
MUST_USE enum err echo_bind(int *fd, unsigned *port);
/* Takes the bound descriptor over and answers on `loop`. ERR_NO_MEMORY, ERR_IO. */
MUST_USE enum err echo_start(struct loop *loop, int fd, struct echo **out);
void echo_free(struct echo **e);

#endif
