/* What the connections of one worker take from their owner: buffers, a scratch to write heads in, bounds. And the
 * sending half that server and client connections share. */
#ifndef SALLYPORT_HTTP_IO_H
#define SALLYPORT_HTTP_IO_H

#include "base/slab.h"
#include "http/h1.h"
#include "net/loop.h"
#include "net/transport.h"

struct http_io {
    struct loop *loop;
    struct slab buffers; /* pieces of buffer_size: an idle connection owns none */
    size_t buffer_size;  /* room for the largest head and a body's worth behind it */
    char *scratch;       /* one head is written here at a time, never across a return to the loop */
    size_t scratch_size;
    struct h1_limits limits;
    char date[48]; /* "Sun, 06 Nov 1994 08:49:37 GMT" of the second date_s */
    int64_t date_s;
};

/* max_buffers bounds what all connections together may hold. ERR_NO_MEMORY. */
MUST_USE enum err http_io_init(struct http_io *io, struct loop *loop, const struct h1_limits *limits, size_t body_room,
                               size_t max_buffers);
void http_io_close(struct http_io *io);

/* The Date of now (RFC 9110 §5.6.7), made once a second. */
str http_io_date(struct http_io *io);

/* Bytes that the socket did not take yet. Writers of bodies wait while there are any, so that it stays small. */
struct http_pending {
    char *p;
    size_t n, at;
};

static inline bool pending_any(const struct http_pending *o)
{
    return o->n > o->at;
}

/* Sends the pieces in order, behind what waits already; what the socket does not take is copied into *o.
 * ERR_CLOSED, ERR_NO_MEMORY. */
MUST_USE enum err pending_send(struct http_pending *o, int fd, struct tls_stream *tls, struct iovec *iov, int n,
                               uint64_t *counted);
/* Goes on with the remainder. ERR_OK: all gone, ERR_AGAIN, ERR_CLOSED. */
MUST_USE enum err pending_flush(struct http_pending *o, int fd, struct tls_stream *tls, uint64_t *counted);
void pending_free(struct http_pending *o);

/* Body bytes as they go on the wire: 1 piece as they are, or with the chunked coding around them, the last chunk and
 * the trailers behind. Fills iov (room for 4) and returns how many. `scratch` holds lines and trailers. */
int http_body_iov(struct iovec iov[4], struct h1_out *scratch, bool chunked, str data, bool end,
                  const struct fields *trailers);

/* Writes every field that is not marked to be dropped and is not framing. */
void http_out_fields(struct h1_out *o, const struct fields *f);

#endif
