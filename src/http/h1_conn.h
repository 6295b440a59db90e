/* Private to the HTTP/1.1 connections that we answer: what one of them is, and what the parts call of each other.
 * h1_server.c walks it through its states, h1_shake.c through the handshake of TLS, h1_pace.c has its deadlines,
 * h1_close.c its end. */
#ifndef SALLYPORT_HTTP_H1_CONN_H
#define SALLYPORT_HTTP_H1_CONN_H

#include "http/h1_server.h"

enum h1_conn_state { CONN_IDLE, CONN_HEAD, CONN_BUSY, CONN_FLUSH, CONN_LINGER, CONN_CLOSED, CONN_HANDSHAKE };

/* Whose turn it is, told in time: how long we waited for the other side, and what it moved. */
struct h1_pace {
    uint64_t since_ms; /* waiting since, 0: not waiting */
    uint64_t waited_ms;
    uint64_t bytes;
};

struct h1_conn {
    struct watch watch;
    struct timer timer;
    struct task task;
    struct server_env *env;
    struct h1_conn *next, **link;
    struct server_stream *stream;
    void *listener;
    struct tls_stream *tls;          /* NULL: clear text, or nothing has come yet */
    const struct tls_peer *tls_peer; /* once the handshake is done */
    char *in;                        /* a buffer, or NULL */
    uint32_t base;                   /* where the body area begins: the head lies before it */
    uint32_t from, to;               /* unread bytes */
    uint32_t requests;
    struct h1_scan scan;
    struct h1_chunked chunked;
    uint64_t body_left; /* of a body with a length */
    str chunk;          /* decoded bytes not consumed yet */
    struct http_pending out;
    struct h1_pace in_pace, out_pace;
    uint64_t deadline_ms; /* 0: none */
    struct net_peer peer;
    struct h1_conn *shake_next, **shake_link; /* in env->shaking, in the order of their first byte */
    uint8_t state, framing;
    bool readable, eof, broken; /* bytes may wait; the client ended its side; the socket failed */
    bool keep;                  /* the connection may carry another request */
    bool body_done, want_in, want_out;
    bool responded, answered; /* the answer's head, all of it, is written */
    bool chunked_out, close_out;
    bool driving;
    uint8_t left; /* of TURN_MAX */
};

static inline uint64_t h1_conn_now_ms(const struct h1_conn *c)
{
    return loop_now_ms(c->env->io->loop);
}

static inline void h1_conn_buffer_give(struct h1_conn *c)
{
    if (c->in) slab_give(&c->env->io->buffers, c->in);
    c->in = NULL;
    c->base = c->from = c->to = 0;
}

/* --- h1_server.c --- */

/* More bytes into the buffer. ERR_AGAIN: none now; ERR_LIMIT: no room or no buffer; ERR_CLOSED. */
MUST_USE enum err h1_conn_fill(struct h1_conn *c);

/* --- h1_shake.c --- */

/* A connection of which the client's first bytes of TLS are there, or more of them. True: it is done, the connection
 * may have a request. */
MUST_USE bool h1_conn_shake(struct h1_conn *c);
/* It is over, one way or the other. */
void h1_conn_shaken(struct h1_conn *c);
/* It took too long. */
void h1_conn_shake_late(struct h1_conn *c);

/* --- h1_pace.c --- */

/* Makes sure that the timer fires at the deadline or before. It may fire early (deadlines only ever move later on the
 * hot path): who hears it looks again. */
static inline void h1_conn_arm(struct h1_conn *c)
{
    if (!c->deadline_ms) return;
    if (timer_is_set(&c->timer) && c->timer.at_ms <= c->deadline_ms) return;
    timer_set(c->env->io->loop, &c->timer, c->deadline_ms);
}

/* The client is waited for in this direction (&c->in_pace or &c->out_pace), from now on or still. Without a least rate
 * the handler's deadlines are all there is; an answer that nobody handles any more has ours. */
void h1_pace_wait(struct h1_conn *c, struct h1_pace *p);
/* It moved so many bytes: the wait is over, and counts to what it may take in all. */
void h1_pace_moved(struct h1_conn *c, struct h1_pace *p, uint64_t bytes);

/* --- h1_close.c --- */

/* At once. The connection is freed by its task at the end of the turn; before that, once its handler has let go. */
void h1_conn_close(struct h1_conn *c);
/* The socket failed while a request may be under way: the handler is told, and lets go of the stream by calling done.
 */
void h1_conn_break(struct h1_conn *c);
/* When what is left of the answer has gone. Bytes that nobody reads would make the close a reset, which may overtake
 * the answer: so they are read off, for a while. */
void h1_conn_linger(struct h1_conn *c);
void h1_conn_linger_read(struct h1_conn *c);
/* An answer that only the close would end, and that is not whole, must not look like one. */
void h1_conn_reset_on_close(const struct h1_conn *c);

#endif
