/* What a connection moves its bytes through: a non-blocking socket, with a TLS stream over it or without.
 *
 * Whoever has none (tls NULL) pays one predictable branch. With one, the errors mean the same as those of net_recv and
 * net_send, and that TLS may have to read in order to write never shows: the socket is watched both ways, and after an
 * event the same call is made again. Knows nothing of loops and of what is spoken inside. */
#ifndef SALLYPORT_NET_TRANSPORT_H
#define SALLYPORT_NET_TRANSPORT_H

#include "net/socket.h"
#include "net/tls_stream.h"

/* ERR_OK with *got > 0; ERR_AGAIN; ERR_CLOSED (the peer said that it has ended); ERR_IO (reset, or with TLS: an end
 * that anybody may have made; what came before may not be all). */
MUST_USE static inline enum err transport_recv(int fd, struct tls_stream *tls, void *buf, size_t n, size_t *got)
{
    if (LIKELY(!tls)) return net_recv(fd, buf, n, got);
    return tls_stream_recv(tls, buf, n, got);
}

/* After ERR_OK with less than was asked for: whether nothing more is to be had before the next event. */
static inline bool transport_drained(const struct tls_stream *tls)
{
    return LIKELY(!tls) || tls_stream_drained(tls);
}

/* ERR_OK with *sent <= the sum (less: the socket is full; call again with what is left, and nothing else before it);
 * ERR_CLOSED. */
MUST_USE static inline enum err transport_send(int fd, struct tls_stream *tls, const void *p, size_t n, size_t *sent)
{
    if (LIKELY(!tls)) return net_send(fd, p, n, sent);
    struct iovec one = {(void *)(uintptr_t)p, n};
    return tls_stream_sendv(tls, &one, 1, sent);
}

MUST_USE static inline enum err transport_sendv(int fd, struct tls_stream *tls, struct iovec *iov, int n, size_t *sent)
{
    if (LIKELY(!tls)) return net_sendv(fd, iov, n, sent);
    return tls_stream_sendv(tls, iov, n, sent);
}

#endif
