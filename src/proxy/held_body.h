/* A request body that is held back whole until it has been checked, then given on as if it came from the client.
 *
 * It takes one buffer of the worker's pool, so what all of them may hold is bounded, and so is each (limits.buffer).
 * Behind it the exchange's stream is the same to whoever reads it: the operations of the connection with peek and
 * consume put in front. Trailers do not go on: nothing speaks for them. */
#ifndef SALLYPORT_PROXY_HELD_BODY_H
#define SALLYPORT_PROXY_HELD_BODY_H

#include "http/stream.h"

struct exchange;

struct held_body {
    const struct server_stream_ops *ops; /* the connection's; NULL: nothing is held */
    char *p;
    uint32_t n, at; /* bytes there are; those that were taken */
};

/* Takes in what has come. ERR_OK: the body is whole, in *body, and the stream gives it from now on. ERR_AGAIN: there is
 * more to come (on_readable tells). ERR_LIMIT: larger than `max`, or than the action takes. ERR_NO_MEMORY: no buffer;
 * ERR_MALFORMED, ERR_CLOSED: as peek. */
MUST_USE enum err held_body_take(struct exchange *x, size_t max, str *body);
/* The buffer goes back; called when the exchange ends. */
void held_body_free(struct exchange *x);

#endif
