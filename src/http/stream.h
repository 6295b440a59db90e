/* One request and its answer on a connection, whatever HTTP version carries it.
 *
 * Two halves: `struct server_stream` (we answer) and `struct client_stream` (we ask). Both are moved by calls
 * that never block and by events; a body is never buffered beyond one connection buffer a direction: who does
 * not consume stops the reading, who gets ERR_AGAIN from a write waits for `on_writable`.
 *
 * The maker embeds the stream in its own object. Events may be delivered from inside a call only where said. */
#ifndef SALLYPORT_HTTP_STREAM_H
#define SALLYPORT_HTTP_STREAM_H

#include "http/message.h"
#include "net/socket.h"

struct server_stream;
struct client_stream;
struct tls_peer; /* net/tls_stream.h */

/* --- server side --- */

struct server_stream_ops {
    /* Request body bytes at hand, borrowed until consume. ERR_OK (*end: these are the last), ERR_AGAIN (on_readable
     * follows), ERR_CLOSED (the client is gone), ERR_MALFORMED / ERR_LIMIT (bad framing: refuse with 400). */
    enum err (*peek)(struct server_stream *s, str *data, bool *end);
    void (*consume)(struct server_stream *s, size_t n);
    /* A 1xx head now. ERR_AGAIN: not sent, output is pending (drop it). */
    enum err (*interim)(struct server_stream *s, const struct response *r);
    /* The head of the answer and as much body as is at hand. `end`: nothing follows. Takes everything or fails:
     * ERR_CLOSED. Once only. */
    enum err (*respond)(struct server_stream *s, const struct response *r, str data, bool end);
    /* More body; takes all of data, or ERR_AGAIN (on_writable follows), ERR_CLOSED. With `end`, trailers may be given.
     */
    enum err (*write)(struct server_stream *s, str data, bool end, const struct fields *trailers);
    /* The exchange is over. With the answer whole, the connection goes on (after reading off or cutting a request body
     * that was not taken); otherwise it is closed. `s` is given back through server_env.stream_free. */
    void (*done)(struct server_stream *s);
};

struct server_handler {
    /* The request head is there, in s->request. The handler now owns the stream until ops->done. */
    void (*on_request)(struct server_stream *s);
    /* What came is no acceptable request, or none in time (enum http_fault): answer and call done; the connection ends
     * then. s->request is empty but for its fields' room. */
    void (*on_malformed)(struct server_stream *s, int fault);
    void (*on_readable)(struct server_stream *s); /* peek will tell something new */
    void (*on_writable)(struct server_stream *s); /* everything pending has left */
    void (*on_abort)(struct server_stream *s);    /* the connection broke; call done */
    void (*on_timeout)(struct server_stream *s);  /* its body came too slowly, nothing is answered yet: answer and call
                                                     done. NULL: on_abort instead */
};

struct server_stream {
    const struct server_stream_ops *ops;
    const struct server_handler *handler;
    void *conn;                   /* private to the connection */
    const struct net_peer *peer;  /* who connected */
    const struct tls_peer *tls;   /* and how: NULL is clear text (net/tls_stream.h) */
    void *listener;               /* the owner's tag of the listener it came by */
    struct request request;       /* slices live until done; fields.v is the maker's room */
    struct fields trailers;       /* of the request, there once peek said *end; v is the maker's room or NULL */
    size_t head_size;             /* bytes of the request head, for accounting */
    uint64_t bytes_in, bytes_out; /* on the wire, heads included */
    bool timed_out;               /* the client was too slow, either way; told before on_abort */
    bool client_ended;            /* it sends nothing more; it may still read */
};

/* --- client side --- */

enum client_failure {
    CLIENT_FAILED_NONE = 0,
    CLIENT_FAILED_CONNECT, /* nothing was sent */
    CLIENT_FAILED_UNREAD,  /* a reused connection had ended before we asked on it: nobody has read what was sent */
    CLIENT_FAILED_STALE,   /* a reused connection broke before any byte of an answer */
    CLIENT_FAILED_BROKEN,  /* the connection broke before any byte of an answer */
    CLIENT_FAILED_MIDWAY,  /* it broke after the answer had begun */
    CLIENT_FAILED_GARBAGE  /* what came is no HTTP answer, or breaks framing */
};

struct client_stream_ops {
    /* More request body; takes all of data, or ERR_AGAIN (on_writable follows), ERR_CLOSED (an answer may come all the
     * same), ERR_NO_MEMORY (some of it may have left: release it). */
    enum err (*write)(struct client_stream *c, str data, bool end, const struct fields *trailers);
    /* Body bytes of the answer at hand, as server_stream_ops.peek; ERR_CLOSED: it broke off. */
    enum err (*peek)(struct client_stream *c, str *data, bool *end);
    void (*consume)(struct client_stream *c, size_t n);
    /* Detaches the stream; the connection is kept for reuse if the exchange was whole, else closed. */
    void (*release)(struct client_stream *c);
};

struct client_handler {
    void (*on_response)(struct client_stream *c); /* the final head is there, in c->response */
    void (*on_interim)(struct client_stream *c);  /* a 1xx head other than 100 and 101, in c->response */
    void (*on_readable)(struct client_stream *c);
    void (*on_writable)(struct client_stream *c);
    void (*on_failure)(struct client_stream *c, enum client_failure why); /* the stream is detached already */
};

struct client_stream {
    const struct client_stream_ops *ops;
    const struct client_handler *handler;
    void *conn;               /* private to the connection; NULL when detached */
    struct response response; /* fields.v is the maker's room; slices live until release */
    struct fields trailers;   /* of the answer, there once peek said *end; v is the maker's room or NULL */
    uint64_t bytes_in, bytes_out;
};

#endif
