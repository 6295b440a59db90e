/* The way into a keeper for other processes: a Unix socket that speaks store/wire.h.
 *
 * Owner: one thread, that of `loop`. Only processes of our own user, of root, or of the users that are named get in
 * (SO_PEERCRED, asked before a byte is read). A client costs at most: a frame, STORE_LISTENER_BUDGET bytes of questions
 * and answers, and STORE_LISTENER_WATCHES pages that stay where they are until it has read; one that asks more or reads
 * slower is not read from meanwhile, and nobody else notices. What breaks the protocol is hung up on. */
#ifndef SALLYPORT_STORE_LISTENER_H
#define SALLYPORT_STORE_LISTENER_H

#include "store/keeper.h"

#define STORE_LISTENER_CONNECTIONS 384
#define STORE_LISTENER_REQUESTS    64                /* under way for one client */
#define STORE_LISTENER_WATCHES     64                /* of one client */
#define STORE_LISTENER_BUDGET      ((size_t)4 << 20) /* bytes of questions and of answers, at their largest */
#define STORE_LISTENER_ORPHANS     1024              /* requests under way for clients that are gone */
#define STORE_LISTENER_HELLO_MS    5000              /* to say hello */

struct store_listener;

struct store_listener_options {
    const char *path; /* of the socket */
    struct keeper *keeper;
    uint32_t spaces;      /* KEEPER_SPACE bits that are served here */
    const uint32_t *uids; /* further users whose processes may come in; copied */
    uint32_t n_uids;
};

struct store_listener_numbers {
    uint64_t connections, watches, requests;         /* now */
    uint64_t accepted, refused, malformed, answered; /* so far */
};

/* The keeper must outlive it. ERR_CONFLICT: somebody answers at that socket. ERR_LIMIT: the path is too long, or too
 * many users. ERR_IO, ERR_NO_MEMORY. */
MUST_USE enum err store_listener_new(struct loop *loop, const struct store_listener_options *options,
                                     struct store_listener **out);
/* No further clients, and those there are lose their connection: they come again when somebody listens again. Leases
 * stay. Waits for the transaction under way. */
void store_listener_free(struct store_listener **l);

/* From any thread. */
void store_listener_numbers(const struct store_listener *l, struct store_listener_numbers *out);

#endif
