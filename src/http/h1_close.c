/* How a connection ends: at once, with its request told, or lingering: the answer leaves first, then what the client
 * still sends is read off. */
#include "http/h1_conn.h"

void h1_conn_close(struct h1_conn *c)
{
    if (c->state == CONN_CLOSED) return;
    /* "the end" is only said where it is one: never behind half an answer */
    if (UNLIKELY(c->state == CONN_HANDSHAKE))
        h1_conn_shaken(c);
    else if (UNLIKELY(c->tls != NULL) && c->state != CONN_BUSY && !c->stream && !c->broken && !pending_any(&c->out))
        tls_stream_end(c->tls);
    c->state = CONN_CLOSED;
    watch_close(&c->watch);
    timer_clear(c->env->io->loop, &c->timer);
    pending_free(&c->out);
    if (!c->stream) h1_conn_buffer_give(c);
    loop_defer(c->env->io->loop, &c->task);
}

void h1_conn_break(struct h1_conn *c)
{
    if (c->state == CONN_CLOSED) return;
    c->broken = true;
    struct server_stream *s = c->stream;
    h1_conn_close(c);
    if (s) c->env->handler->on_abort(s);
}

void h1_conn_reset_on_close(const struct h1_conn *c)
{
    struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void h1_conn_linger(struct h1_conn *c)
{
    c->state = CONN_LINGER;
    if (pending_any(&c->out)) {           /* the answer first, at a pace that is watched; then again */
        c->in_pace = (struct h1_pace){0}; /* of the request nothing is waited for any more */
        c->deadline_ms = 0;
        h1_pace_wait(c, &c->out_pace);
        return;
    }
    if (c->eof && !c->readable) {
        h1_conn_close(c);
        return;
    }
    if (c->tls) tls_stream_end(c->tls);
    (void)shutdown(c->watch.fd, SHUT_WR);
    c->deadline_ms = h1_conn_now_ms(c) + c->env->timeouts.linger_ms;
    h1_conn_arm(c);
    if (c->readable && !c->driving) loop_defer(c->env->io->loop, &c->task);
}

void h1_conn_linger_read(struct h1_conn *c)
{
    enum err e;
    do {
        c->from = c->to = 0;
        e = h1_conn_fill(c);
    } while (e == ERR_OK);
    if (e == ERR_AGAIN) return;
    if (pending_any(&c->out))
        c->readable = false;
    else
        h1_conn_close(c);
}
