/* The admin listener and the control socket: connections of the control thread that answer by serve/control.h.
 *
 * Owner: the control thread; never on the data path. A request body is read whole (bounded), a followed stream is
 * looked at every 100 ms and waits for a slow reader without piling up. */
#ifndef SALLYPORT_SERVE_CONTROL_LISTENER_H
#define SALLYPORT_SERVE_CONTROL_LISTENER_H

#include "net/loop.h"
#include "serve/control.h"

struct control_server;

/* `source` and `loop` must outlive it. ERR_NO_MEMORY. */
MUST_USE enum err control_server_new(struct loop *loop, const struct control_source *source,
                                     struct control_server **out);
void control_server_free(struct control_server **s);

/* Takes over a listening TCP socket; `local` is its address as text ("127.0.0.1:8081"), copied. ERR_NO_MEMORY, ERR_IO.
 */
MUST_USE enum err control_server_admin(struct control_server *s, int listen_fd, str local);
/* Makes the Unix socket at `path` (see net/unix_socket.h). */
/* No new connections: another process takes them. Those that are there are answered. */
void control_server_deaf(struct control_server *s);
MUST_USE enum err control_server_local(struct control_server *s, const char *path);

#endif
