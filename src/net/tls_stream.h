/* A TLS connection over a connected, non-blocking socket, either side of it (libssl; TLS 1.2 and 1.3).
 *
 * Made by tls_server.h (we answer) or tls_upstream.h (we ask). Owner: one thread. The stream borrows the descriptor and
 * does not close it. No function waits: ERR_AGAIN means that the call is to be repeated after an event of the socket,
 * which is watched both ways. Knows nothing of loops, of addresses or of what is spoken inside. */
#ifndef SALLYPORT_NET_TLS_STREAM_H
#define SALLYPORT_NET_TLS_STREAM_H

#include "base/str.h"

#include <sys/uio.h>

struct tls_stream;

/* What the handshake told of the other side; lives as long as the stream. */
struct tls_peer {
    uint16_t version;              /* 0x0303: TLS 1.2, 0x0304: TLS 1.3 */
    bool resumed;                  /* from a ticket */
    bool certificate;              /* it showed one, verified: authority, purpose, time */
    unsigned char spki_sha256[32]; /* of its public key; zero without one */
};
/* "1.3"; "" for what is neither. */
str tls_version_text(uint16_t version);

/* What it was made from, or NULL: to be compared with. */
struct tls_upstream;
const struct tls_upstream *tls_stream_upstream(const struct tls_stream *s);

/* Says goodbye (close_notify) if `polite`, the handshake was done and the socket takes it at once. *s is NULL then;
 * NULL is fine. Whoever has not sent everything must not be polite: it says that the end is the end. */
void tls_stream_free(struct tls_stream **s, bool polite);
/* Only the goodbye; nothing can be sent behind it. */
void tls_stream_end(struct tls_stream *s);

/* `now_s`: Unix seconds (keys of tickets go by it). ERR_OK: both sides agree and whatever was to be verified is.
 * ERR_AGAIN. ERR_DENIED: the peer's certificate is not accepted. ERR_MALFORMED: no TLS that we speak. ERR_CLOSED: the
 * peer went away. Of an error other than ERR_AGAIN tls_stream_reason tells more. */
MUST_USE enum err tls_stream_handshake(struct tls_stream *s, uint64_t now_s);
/* Once the handshake is done; before it NULL. */
const struct tls_peer *tls_stream_peer(const struct tls_stream *s);
/* Why the last failure: "certificate has expired". A constant, for logs; never NULL. */
const char *tls_stream_reason(const struct tls_stream *s);

/* See transport.h. */
MUST_USE enum err tls_stream_recv(struct tls_stream *s, void *buf, size_t n, size_t *got);
bool tls_stream_drained(const struct tls_stream *s);
/* Whether the peer has said nothing for us, and has not ended; what it told TLS (tickets) is taken in. */
bool tls_stream_quiet(struct tls_stream *s);
/* Whether reading goes on only once the socket takes bytes again: then to be called after that event, too. */
bool tls_stream_wants_out(const struct tls_stream *s);
MUST_USE enum err tls_stream_sendv(struct tls_stream *s, struct iovec *iov, int n, size_t *sent);

#endif
