#include "proxy/held_body.h"

#include "proxy/exchange.h"

/* --- the stream with the body in front --- */

static struct exchange *of(struct server_stream *s)
{
    return CONTAINER_OF(s, struct exchange, down);
}

static enum err held_peek(struct server_stream *s, str *data, bool *end)
{
    const struct held_body *h = &of(s)->held;
    *data = str_make(h->p + h->at, h->n - h->at);
    *end = true;
    return ERR_OK;
}

static void held_consume(struct server_stream *s, size_t n)
{
    of(s)->held.at += (uint32_t)n; /* the connection counted these when we took them */
}

static enum err held_interim(struct server_stream *s, const struct response *r)
{
    return of(s)->held.ops->interim(s, r);
}

static enum err held_respond(struct server_stream *s, const struct response *r, str data, bool end)
{
    return of(s)->held.ops->respond(s, r, data, end);
}

static enum err held_write(struct server_stream *s, str data, bool end, const struct fields *trailers)
{
    return of(s)->held.ops->write(s, data, end, trailers);
}

static void held_done(struct server_stream *s)
{
    of(s)->held.ops->done(s);
}

static const struct server_stream_ops held_ops = {held_peek,    held_consume, held_interim,
                                                  held_respond, held_write,   held_done};

/* --- taking it in --- */

enum err held_body_take(struct exchange *x, size_t max, str *body)
{
    struct held_body *h = &x->held;
    struct server_stream *s = &x->down;
    size_t room = x->worker->io.buffer_size < max ? x->worker->io.buffer_size : max;
    if (room > x->action->body_max) room = (size_t)x->action->body_max;
    if (!h->p && !(h->p = slab_take(&x->worker->io.buffers))) return ERR_NO_MEMORY;
    for (bool end = false; !end;) {
        str data = STR_NONE;
        enum err e = s->ops->peek(s, &data, &end);
        if (e != ERR_OK) return e == ERR_LIMIT ? ERR_MALFORMED : e; /* of the framing */
        if (data.n > room - h->n) return ERR_LIMIT;
        if (data.n) memcpy(h->p + h->n, data.p, data.n);
        h->n += (uint32_t)data.n;
        s->ops->consume(s, data.n);
    }
    h->ops = s->ops;
    s->ops = &held_ops;
    s->trailers.n = 0;
    s->request.body = h->n;
    s->request.expect_continue = false;
    *body = str_make(h->p, h->n);
    return ERR_OK;
}

void held_body_free(struct exchange *x)
{
    if (x->held.p) slab_give(&x->worker->io.buffers, x->held.p);
    x->held.p = NULL;
}
