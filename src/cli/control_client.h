/* Asking the running product over its control socket: blocking HTTP/1.1 on a Unix socket, each call in bounded time.
 *
 * Which socket: the one named (--socket, else SALLYPORT_SOCKET), else the first of ./.sallyport/cli.sock,
 * /run/sallyport/cli.sock and /var/lib/sallyport/cli.sock at which somebody answers. Knows nothing of what the answers
 * mean. */
#ifndef SALLYPORT_CLI_CONTROL_CLIENT_H
#define SALLYPORT_CLI_CONTROL_CLIENT_H

#include "base/buf.h"

#define CONTROL_ANSWER_MAX ((size_t)16 << 20)

struct control_client {
    int fd;
    char where[108];   /* the socket that answered, or was tried last */
    char problem[320]; /* what went wrong, in words for the user; empty while nothing did */
};

/* `option` is the argument of --socket, or NULL. On failure client->problem says what was tried and what to do.
 * ERR_NOT_FOUND: nobody there; ERR_DENIED; ERR_IO. */
MUST_USE enum err control_client_open(const char *option, struct control_client *client);
void control_client_close(struct control_client *client);

/* One request and its whole answer; `json` may be empty. Once a client. ERR_TIMEOUT, ERR_CLOSED (it hung up: it
 * answers its own user and root only), ERR_MALFORMED, ERR_LIMIT, ERR_IO; client->problem tells. */
MUST_USE enum err control_client_ask(struct control_client *client, const char *method, const char *path, str json,
                                     uint32_t timeout_ms, uint16_t *status, struct buf *body);

/* The same for an answer without end: each line of a 200 goes to on_line until that returns false (ERR_OK), `for_ms`
 * (0: no bound) have passed (ERR_OK), or the other side ends (ERR_CLOSED). Another status: its body in *body. */
MUST_USE enum err control_client_follow(struct control_client *client, const char *path, uint64_t for_ms,
                                        bool (*on_line)(void *ctx, str line), void *ctx, uint16_t *status,
                                        struct buf *body);

#endif
