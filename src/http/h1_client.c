/* A connection's life:
 *
 *   CONNECTING (then SHAKING, with TLS) ──on_connect──► READY ──h1_client_start──► ASKING (no head yet) ──read_head──►
 * ANSWERING ▲                                                              │ └─── IDLE ◄──release, when both messages
 * were whole ───────────┘
 *
 * Any failure: the stream is detached, the connection closed, then on_failure; freed at the end of the turn. */
#include "http/h1_client.h"

#include "net/tls_upstream.h"

#include <stdlib.h>

enum state { CONNECTING, SHAKING, READY, ASKING, ANSWERING, IDLE, CLOSED };

#define TURN_MAX 32 /* receives and chunks of one connection in a turn: then the others have theirs */

struct h1_client {
    struct watch watch;
    struct task task;
    struct client_env *env;
    struct client_stream *stream;
    struct tls_stream *tls; /* NULL: clear text */
    const char *fault;      /* why TLS failed */
    void *pool;
    void (*on_connect)(struct h1_client *c, enum err e, void *user);
    void *user;
    struct h1_client *next;
    char *in;
    uint32_t base, from, to;
    struct h1_scan scan;
    struct h1_chunked chunked;
    uint64_t body_left;
    str chunk;
    struct http_pending out;
    uint64_t idle_since_ms;
    uint64_t asked_turn; /* of the loop */
    uint32_t uses;
    enum method method;
    uint8_t state, framing;
    uint8_t left; /* of TURN_MAX */
    bool readable, eof, keep, sent_all, chunked_up, body_done, want_in, want_out, any_byte;
};

static void drive(struct h1_client *c);
static const struct client_stream_ops ops;

void client_env_init(struct client_env *env, struct http_io *io, uint32_t max_conns)
{
    *env = (struct client_env){.io = io};
    slab_init(&env->conns, sizeof(struct h1_client), 16, max_conns);
}

uint32_t h1_client_uses(const struct h1_client *c)
{
    return c->uses;
}

struct h1_client *h1_client_next(const struct h1_client *c)
{
    return c->next;
}

void h1_client_set_next(struct h1_client *c, struct h1_client *next)
{
    c->next = next;
}

uint64_t h1_client_idle_since_ms(const struct h1_client *c)
{
    return c->idle_since_ms;
}

/* --- opening and closing --- */

static void buffer_give(struct h1_client *c)
{
    if (c->in) slab_give(&c->env->io->buffers, c->in);
    c->in = NULL;
    c->base = c->from = c->to = 0;
}

static void on_task(struct task *t)
{
    struct h1_client *c = CONTAINER_OF(t, struct h1_client, task);
    if (c->state != CLOSED) {
        c->left = TURN_MAX;
        drive(c);
        return;
    }
    c->env->n_open--;
    slab_give(&c->env->conns, c);
}

static void conn_close(struct h1_client *c)
{
    if (c->state == CLOSED) return;
    if (UNLIKELY(c->tls != NULL)) tls_stream_free(&c->tls, c->state == IDLE || c->state == READY);
    c->state = CLOSED;
    watch_close(&c->watch);
    pending_free(&c->out);
    buffer_give(c);
    loop_defer(c->env->io->loop, &c->task);
    if (c->pool && c->env->on_closed) c->env->on_closed(c->pool);
}

void h1_client_abandon(struct h1_client *c)
{
    conn_close(c);
}

static void fail(struct h1_client *c, enum client_failure why)
{
    struct client_stream *s = c->stream;
    c->stream = NULL;
    conn_close(c);
    if (!s) return;
    s->conn = NULL;
    s->handler->on_failure(s, why);
}

/* The connection broke: what that means depends on how far we were. */
static void broke(struct h1_client *c)
{
    if (c->any_byte)
        fail(c, CLIENT_FAILED_MIDWAY);
    else
        fail(c, c->uses ? CLIENT_FAILED_STALE : CLIENT_FAILED_BROKEN);
}

/* --- reading --- */

/* Whether the connection may go on in this turn; if not, its task does in the next. */
static bool may_go_on(struct h1_client *c)
{
    if (LIKELY(c->left)) {
        c->left--;
        return true;
    }
    loop_defer(c->env->io->loop, &c->task);
    return false;
}

static enum err fill(struct h1_client *c)
{
    struct http_io *io = c->env->io;
    if (!c->readable) return ERR_AGAIN;
    if (!may_go_on(c)) return ERR_AGAIN;
    if (!c->in) c->in = slab_take(&io->buffers);
    size_t room = c->in ? io->buffer_size - c->to : 0, got = 0;
    if (!room) return c->in ? ERR_LIMIT : ERR_NO_MEMORY;
    enum err e = transport_recv(c->watch.fd, c->tls, c->in + c->to, room, &got);
    if (e == ERR_AGAIN) c->readable = false;
    if (e != ERR_OK) return e;
    c->any_byte = true;
    c->to += (uint32_t)got;
    c->stream->bytes_in += got;
    if (got < room && !c->eof && transport_drained(c->tls)) c->readable = false;
    return ERR_OK;
}

static void take_framing(struct h1_client *c, const struct h1_head *head, const struct response *r)
{
    c->state = ANSWERING;
    c->framing = (uint8_t)head->framing;
    c->keep = head->keep_alive && head->framing != H1_UNTIL_CLOSE;
    c->base = c->from = c->from + (uint32_t)head->size;
    c->body_left = head->framing == H1_LENGTH ? r->body : 0;
    c->body_done = head->framing == H1_NO_BODY || (head->framing == H1_LENGTH && r->body == 0);
    c->chunked = (struct h1_chunked){0};
    c->chunk = STR_NONE;
}

/* One head out of the buffer; false when nothing more is to be done now. */
static bool read_head(struct h1_client *c)
{
    struct client_stream *s = c->stream;
    struct h1_head head = {0};
    enum http_fault fault;
    enum err e = ERR_AGAIN;
    if (c->from < c->to)
        e = h1_parse_response(str_make(c->in + c->from, c->to - c->from), &c->scan, &c->env->io->limits, c->method,
                              &s->response, &head, &fault);
    if (e == ERR_AGAIN) {
        if (c->from) { /* interim heads lay before it: their room is free again */
            memmove(c->in, c->in + c->from, c->to - c->from);
            c->to -= c->from;
            c->from = 0;
        }
        e = fill(c);
        if (e == ERR_OK) return true;
        if (e != ERR_AGAIN) broke(c);
        return false;
    }
    c->scan = (struct h1_scan){0};
    if (e != ERR_OK || s->response.status == 101) {
        fail(c, CLIENT_FAILED_GARBAGE);
        return false;
    }
    if (s->response.status < 200) {
        c->from += (uint32_t)head.size;
        if (s->response.status != 100 && s->handler->on_interim) s->handler->on_interim(s);
        return c->stream == s;
    }
    take_framing(c, &head, &s->response);
    s->handler->on_response(s);
    return false;
}

static void drive(struct h1_client *c)
{
    if (c->state == ASKING && c->readable) {
        while (read_head(c)) {
        }
    } else if (c->state == ANSWERING && c->want_in && (c->readable || c->from < c->to)) {
        c->want_in = false;
        c->stream->handler->on_readable(c->stream);
    }
}

/* --- connecting --- */

static void connected(struct h1_client *c, enum err e)
{
    c->state = READY;
    if (e != ERR_OK) {
        c->state = CONNECTING; /* there was nothing to say goodbye to */
        conn_close(c);
    }
    c->on_connect(c, e, c->user);
}

static void shake(struct h1_client *c)
{
    enum err e = tls_stream_handshake(c->tls, loop_wall_ms(c->env->io->loop) / 1000);
    if (e == ERR_AGAIN) return;
    if (e != ERR_OK) c->fault = tls_stream_reason(c->tls);
    c->readable = true; /* tickets may have come along */
    connected(c, e);
}

static void on_event(struct watch *w, uint32_t events)
{
    struct h1_client *c = CONTAINER_OF(w, struct h1_client, watch);
    c->left = TURN_MAX;
    if (c->state == CONNECTING) {
        enum err e = net_connect_result(w->fd);
        if (e == ERR_OK && !(events & EPOLLOUT)) return;
        if (e == ERR_OK && events & EPOLLIN) e = ERR_CLOSED; /* it ended, or speaks first: no HTTP server does */
        if (e == ERR_OK && c->tls) {
            c->state = SHAKING;
            shake(c);
            return;
        }
        connected(c, e);
        return;
    }
    if (c->state == SHAKING) {
        shake(c);
        return;
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->readable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->eof = true;
    if (UNLIKELY(c->tls != NULL)) {
        if (events & EPOLLOUT && tls_stream_wants_out(c->tls)) c->readable = true;
        if (c->state == IDLE && c->readable && !c->eof && tls_stream_quiet(c->tls)) c->readable = false;
    }
    if (c->state == IDLE && c->readable) {
        conn_close(c); /* ended, or said something unasked: nothing of it may reach the next request */
        c->env->on_idle_closed(c, c->pool);
        return;
    }
    if (UNLIKELY(c->state == ASKING && c->readable && c->asked_turn == loop_turns(c->env->io->loop)) &&
        !(c->tls && !c->eof && tls_stream_quiet(c->tls))) {
        fail(c, CLIENT_FAILED_UNREAD); /* as above: this turn began, and so that was said, before we asked */
        return;
    }
    if (events & EPOLLOUT && pending_any(&c->out) && c->stream) {
        enum err e = pending_flush(&c->out, w->fd, c->tls, &c->stream->bytes_out);
        if (e == ERR_CLOSED && !c->readable) {
            broke(c);
            return;
        }
        if (e == ERR_OK && c->want_out) {
            c->want_out = false;
            c->stream->handler->on_writable(c->stream);
        }
    }
    drive(c);
}

static enum err open_conn(struct client_env *env, const struct net_addr *to, const struct client_tls *tls, void *pool,
                          void (*on_connect)(struct h1_client *c, enum err e, void *user), void *user,
                          struct h1_client **out)
{
    int fd;
    bool done;
    enum err e = net_connect(to, &fd, &done);
    if (e != ERR_OK) return e;
    struct watch w = {.fd = fd, .on_event = on_event};
    struct h1_client *c = slab_take(&env->conns);
    if (!c) {
        watch_close(&w);
        return ERR_LIMIT;
    }
    *c = (struct h1_client){.watch = w,
                            .task = {.run = on_task},
                            .env = env,
                            .pool = pool,
                            .on_connect = on_connect,
                            .user = user,
                            .fault = "",
                            .state = CONNECTING};
    e = tls ? tls_upstream_stream(tls->upstream, tls->name, fd, tls->session, &c->tls) : ERR_OK;
    if (e != ERR_OK) {
        watch_close(&c->watch);
        slab_give(&env->conns, c);
        return e;
    }
    env->n_open++;
    env->n_opened++;
    if (watch_add(env->io->loop, &c->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP) != ERR_OK) {
        c->pool = NULL; /* nobody has had it */
        conn_close(c);
        return ERR_IO;
    }
    *out = c; /* a connection made at once is told by the first event, too */
    return ERR_OK;
}

enum err h1_client_open(struct client_env *env, const struct net_addr *to, void *pool,
                        void (*on_connect)(struct h1_client *c, enum err e, void *user), void *user,
                        struct h1_client **out)
{
    return open_conn(env, to, NULL, pool, on_connect, user, out);
}

enum err h1_client_open_tls(struct client_env *env, const struct net_addr *to, const struct client_tls *tls, void *pool,
                            void (*on_connect)(struct h1_client *c, enum err e, void *user), void *user,
                            struct h1_client **out)
{
    return open_conn(env, to, tls, pool, on_connect, user, out);
}

const struct tls_upstream *h1_client_tls(const struct h1_client *c)
{
    return c->tls ? tls_stream_upstream(c->tls) : NULL;
}

const char *h1_client_fault(const struct h1_client *c)
{
    return c->fault;
}

/* --- asking --- */

static struct iovec piece(const char *p, size_t n)
{
    return (struct iovec){(void *)(uintptr_t)p, n};
}

static enum err put(struct h1_client *c, struct client_stream *s, struct iovec *iov, int n)
{
    enum err e = pending_send(&c->out, c->watch.fd, c->tls, iov, n, &s->bytes_out);
    return e == ERR_OK || e == ERR_NO_MEMORY ? e : ERR_CLOSED;
}

static void write_head(struct h1_client *c, struct h1_out *o, const struct request *r)
{
    h1_out_request_line(o, r->method, r->path, r->query, r->has_query);
    h1_out_field(o, STR("Host"), r->authority);
    http_out_fields(o, &r->fields);
    for (size_t i = 0; i < ARRAY_LEN(r->ready); i++) h1_out_raw(o, r->ready[i]);
    c->chunked_up = r->body == BODY_UNKNOWN;
    if (c->chunked_up)
        h1_out_field(o, STR("Transfer-Encoding"), STR("chunked"));
    else if (r->body || r->method_id == METHOD_POST || r->method_id == METHOD_PUT || r->method_id == METHOD_PATCH)
        h1_out_field_u64(o, STR("Content-Length"), r->body);
    h1_out_end(o);
}

enum err h1_client_start(struct h1_client *c, struct client_stream *s, const struct request *r, str body, bool end)
{
    struct h1_out o = {c->env->io->scratch, 0, c->env->io->scratch_size, true};
    struct iovec iov[5];
    int n = 1;
    write_head(c, &o, r);
    if (!c->chunked_up && body.n && body.n <= 4096 && o.cap - o.n > body.n) {
        h1_out_raw(&o, body);
        iov[0] = piece(o.p, o.n);
    } else {
        iov[0] = piece(o.p, o.n);
        n += http_body_iov(iov + 1, &o, c->chunked_up, body, end, NULL);
    }
    if (!o.ok) return ERR_LIMIT;
    c->method = r->method_id;
    c->sent_all = end;
    c->state = ASKING;
    c->asked_turn = loop_turns(c->env->io->loop);
    c->scan = (struct h1_scan){0};
    c->want_in = c->want_out = c->any_byte = false;
    s->ops = &ops;
    s->conn = c;
    s->bytes_in = s->bytes_out = 0;
    s->trailers.n = 0;
    enum err e = put(c, s, iov, n);
    if (e != ERR_OK) {
        s->conn = NULL;
        conn_close(c);
        return e;
    }
    c->stream = s;
    return ERR_OK;
}

static enum err stream_write(struct client_stream *s, str data, bool end, const struct fields *trailers)
{
    struct h1_client *c = s->conn;
    if (!c) return ERR_CLOSED;
    if (pending_any(&c->out)) {
        c->want_out = true;
        return ERR_AGAIN;
    }
    struct iovec iov[4];
    struct h1_out o = {c->env->io->scratch, 0, c->env->io->scratch_size, true};
    int n = http_body_iov(iov, &o, c->chunked_up, data, end, trailers);
    if (!o.ok) return ERR_LIMIT;
    enum err e = n ? put(c, s, iov, n) : ERR_OK;
    if (e == ERR_OK) c->sent_all = end;
    return e;
}

/* --- the answer's body --- */

static void make_room(struct h1_client *c)
{
    if (c->from == c->to) c->from = c->to = c->base;
    if (c->to == c->env->io->buffer_size && c->from > c->base) {
        memmove(c->in + c->base, c->in + c->from, c->to - c->from);
        c->to -= c->from - c->base;
        c->from = c->base;
    }
}

static enum err want_body(struct h1_client *c)
{
    enum err e = fill(c);
    if (e == ERR_AGAIN) c->want_in = true;
    return e == ERR_LIMIT ? ERR_NO_MEMORY : e;
}

static enum err peek_chunked(struct h1_client *c, struct client_stream *s, str *data, bool *end)
{
    while (!c->chunk.n && !c->body_done) {
        if (c->from < c->to && !may_go_on(c)) {
            c->want_in = true;
            return ERR_AGAIN;
        }
        size_t used = 0;
        enum http_fault fault;
        enum err e = h1_chunked_decode(&c->chunked, str_make(c->in + c->from, c->to - c->from), &c->env->io->limits,
                                       &used, &c->chunk, &c->body_done, s->trailers.v ? &s->trailers : NULL, &fault);
        if (e != ERR_OK) return e;
        c->from += (uint32_t)used;
        if (c->chunk.n || c->body_done || used) continue;
        make_room(c);
        e = want_body(c);
        if (e != ERR_OK) return e == ERR_IO ? ERR_CLOSED : e;
    }
    *data = c->chunk;
    *end = c->body_done;
    return ERR_OK;
}

static enum err stream_peek(struct client_stream *s, str *data, bool *end)
{
    struct h1_client *c = s->conn;
    if (!c) return ERR_CLOSED;
    if (c->framing == H1_CHUNKED) return peek_chunked(c, s, data, end);
    if (!c->body_done && c->from == c->to) {
        make_room(c);
        enum err e = want_body(c);
        if (e == ERR_CLOSED && c->framing == H1_UNTIL_CLOSE)
            c->body_done = true;
        else if (e != ERR_OK)
            return e == ERR_IO ? ERR_CLOSED : e;
    }
    size_t n = c->body_done ? 0 : c->to - c->from;
    if (c->framing == H1_LENGTH && n > c->body_left) n = (size_t)c->body_left;
    *data = str_make(c->in + c->from, n);
    *end = c->body_done || (c->framing == H1_LENGTH && n == c->body_left);
    return ERR_OK;
}

static void stream_consume(struct client_stream *s, size_t n)
{
    struct h1_client *c = s->conn;
    if (c->framing == H1_CHUNKED) {
        c->chunk = str_from(c->chunk, n);
        return;
    }
    c->from += (uint32_t)n;
    if (c->framing != H1_LENGTH) return;
    c->body_left -= n;
    if (c->body_left == 0) c->body_done = true;
}

static void stream_release(struct client_stream *s)
{
    struct h1_client *c = s->conn;
    if (!c) return;
    s->conn = NULL;
    c->stream = NULL;
    bool whole = c->state == ANSWERING && c->body_done && !c->chunk.n && c->sent_all && !pending_any(&c->out);
    if (UNLIKELY(c->tls != NULL) && c->readable && !c->eof && tls_stream_quiet(c->tls)) c->readable = false;
    if (!whole || !c->keep || c->from != c->to || c->readable || c->eof) {
        conn_close(c);
        return;
    }
    buffer_give(c);
    c->uses++;
    c->state = IDLE;
    c->idle_since_ms = loop_now_ms(c->env->io->loop);
    c->env->on_idle(c, c->pool);
}

static const struct client_stream_ops ops = {stream_write, stream_peek, stream_consume, stream_release};
