/* A connection's life:
 *
 *   HANDSHAKE (h1_conn_shake), with TLS ──► IDLE
 *   IDLE ──first byte──► HEAD ──whole head (read_head)──► BUSY ──stream_done──► IDLE (next_request)
 *                                                                          ├──► FLUSH, the answer still leaves ──► IDLE
 *                                                                          └──► LINGER (h1_conn_linger) ──► closed
 * Only HANDSHAKE and HEAD (head_ms), IDLE (idle_ms), LINGER (linger_ms, once the answer has left) and a pace that is
 * too slow have deadlines here (h1_pace.c). IDLE, FLUSH and LINGER own no stream; only IDLE owns no buffer. A closed
 * connection is freed by its task at the end of the turn, so that no event of the same turn meets freed memory. */
#include "http/h1_conn.h"

#include <stdlib.h>

#define TURN_MAX 32 /* heads, receives and chunks of one connection in a turn: then the others have theirs */

static void drive(struct h1_conn *c);
static void next_request(struct h1_conn *c);
static void head_late(struct h1_conn *c);
static const struct server_stream_ops ops;

/* --- opening and closing --- */

static void on_task(struct task *t)
{
    struct h1_conn *c = CONTAINER_OF(t, struct h1_conn, task);
    if (c->state != CONN_CLOSED) {
        c->left = TURN_MAX;
        drive(c);
        return;
    }
    if (c->stream) return; /* its handler was told; done will queue us again */
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    c->env->n_open--;
    if (UNLIKELY(c->tls != NULL)) tls_stream_free(&c->tls, false);
    slab_give(&c->env->conns, c);
}

static void on_time(struct timer *t)
{
    struct h1_conn *c = CONTAINER_OF(t, struct h1_conn, timer);
    if (!c->deadline_ms) return;
    if (h1_conn_now_ms(c) < c->deadline_ms) {
        h1_conn_arm(c);
        return;
    }
    c->deadline_ms = 0;
    switch ((enum h1_conn_state)c->state) {
    case CONN_HANDSHAKE:
        c->env->n_timed_out++;
        h1_conn_shake_late(c);
        break;
    case CONN_IDLE:
    case CONN_FLUSH:
    case CONN_LINGER:
    case CONN_CLOSED: h1_conn_close(c); break;
    case CONN_HEAD:
        c->env->n_timed_out++;
        head_late(c);
        break;
    case CONN_BUSY:
        c->env->n_timed_out++;
        c->stream->timed_out = true;
        if (!c->responded && c->in_pace.since_ms && c->env->handler->on_timeout)
            c->env->handler->on_timeout(c->stream); /* the rest of its body is not waited for: it hears why */
        else
            h1_conn_break(c);
        break;
    }
}

static void on_event(struct watch *w, uint32_t events)
{
    struct h1_conn *c = CONTAINER_OF(w, struct h1_conn, watch);
    if (events & EPOLLERR || (events & EPOLLHUP && c->state != CONN_BUSY)) {
        h1_conn_break(c);
        return;
    }
    c->left = TURN_MAX;
    if (events & (EPOLLIN | EPOLLRDHUP)) c->readable = true;
    if (UNLIKELY(c->tls != NULL) && events & EPOLLOUT && tls_stream_wants_out(c->tls)) c->readable = true;
    if (events & EPOLLRDHUP) {
        c->eof = true;
        if (c->stream) c->stream->client_ended = true;
    }
    if (events & EPOLLOUT && pending_any(&c->out)) {
        uint64_t sent = 0;
        enum err e = pending_flush(&c->out, c->watch.fd, c->tls, &sent);
        if (c->stream) c->stream->bytes_out += sent;
        h1_pace_moved(c, &c->out_pace, sent);
        if (e == ERR_CLOSED) {
            h1_conn_break(c);
            return;
        }
        if (e == ERR_AGAIN) h1_pace_wait(c, &c->out_pace);
        if (e == ERR_OK && c->state == CONN_LINGER) h1_conn_linger(c);
        if (e == ERR_OK && c->state == CONN_FLUSH) next_request(c);
        if (e == ERR_OK && c->stream && c->want_out) {
            c->want_out = false;
            c->env->handler->on_writable(c->stream);
        }
    }
    drive(c);
}

void server_env_init(struct server_env *env, struct http_io *io, uint32_t max_conns)
{
    *env = (struct server_env){.io = io};
    slab_init(&env->conns, sizeof(struct h1_conn), 64, max_conns);
}

static void conn_open(struct server_env *env, int fd, const struct net_peer *peer, void *listener, bool tls)
{
    struct h1_conn *c = slab_take(&env->conns);
    env->n_accepted++;
    if (!c) {
        static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        struct watch w = {.fd = fd};
        size_t sent;
        env->n_refused++;
        if (!tls) (void)!net_send(fd, full, sizeof full - 1, &sent);
        watch_close(&w);
        return;
    }
    *c = (struct h1_conn){.watch = {on_event, fd},
                          .timer = {.on_time = on_time},
                          .task = {.run = on_task},
                          .env = env,
                          .peer = *peer,
                          .listener = listener,
                          .state = tls ? CONN_HANDSHAKE : CONN_IDLE,
                          .next = env->open,
                          .link = &env->open};
    if (env->open) env->open->link = &c->next;
    env->open = c;
    env->n_open++;
    if (watch_add(env->io->loop, &c->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP) != ERR_OK) {
        h1_conn_close(c);
        return;
    }
    /* a connection that says nothing gets no longer than a head */
    c->deadline_ms = h1_conn_now_ms(c) + env->timeouts.head_ms;
    h1_conn_arm(c);
}

void server_conn_open(struct server_env *env, int fd, const struct net_peer *peer, void *listener)
{
    conn_open(env, fd, peer, listener, false);
}

void server_conn_open_tls(struct server_env *env, int fd, const struct net_peer *peer, void *listener)
{
    conn_open(env, fd, peer, listener, true);
}

void server_env_drain(struct server_env *env)
{
    env->draining = true;
}

void server_env_close_idle(struct server_env *env)
{
    for (struct h1_conn *c = env->open; c; c = c->next)
        if (c->state == CONN_IDLE) h1_conn_close(c);
}

void server_env_close_all(struct server_env *env)
{
    for (struct h1_conn *c = env->open, *next; c; c = next) {
        next = c->next;
        h1_conn_break(c);
    }
}

/* --- reading heads --- */

/* Whether the connection may go on in this turn; if not, its task does in the next. */
static bool may_go_on(struct h1_conn *c)
{
    if (LIKELY(c->left)) {
        c->left--;
        return true;
    }
    loop_defer(c->env->io->loop, &c->task);
    return false;
}

enum err h1_conn_fill(struct h1_conn *c)
{
    struct http_io *io = c->env->io;
    if (!c->readable || !may_go_on(c)) return ERR_AGAIN;
    if (!c->in) c->in = slab_take(&io->buffers);
    size_t room = c->in ? io->buffer_size - c->to : 0, got = 0;
    if (!room) return ERR_LIMIT;
    enum err e = transport_recv(c->watch.fd, c->tls, c->in + c->to, room, &got);
    if (e == ERR_AGAIN) c->readable = false;
    if (e != ERR_OK) return e == ERR_IO ? ERR_CLOSED : e; /* a client that is gone, one way or the other */
    c->to += (uint32_t)got;
    /* a short read emptied the socket: the next byte makes an event; after a FIN none comes, so look again */
    if (got < room && !c->eof && transport_drained(c->tls)) c->readable = false;
    return ERR_OK;
}

static void begin(struct h1_conn *c, struct server_stream *s, const struct h1_head *head)
{
    c->stream = s;
    c->state = CONN_BUSY;
    c->requests++;
    c->framing = (uint8_t)head->framing;
    c->base = c->from = (uint32_t)head->size;
    c->keep = head->keep_alive;
    c->body_done = head->framing == H1_NO_BODY || (head->framing == H1_LENGTH && s->request.body == 0);
    c->body_left = head->framing == H1_LENGTH ? s->request.body : 0;
    c->chunked = (struct h1_chunked){0};
    c->chunk = STR_NONE;
    c->want_in = c->want_out = c->responded = c->answered = false;
    c->in_pace = c->out_pace = (struct h1_pace){0};
    c->deadline_ms = 0;
    s->ops = &ops;
    s->handler = c->env->handler;
    s->conn = c;
    s->peer = &c->peer;
    s->listener = c->listener;
    s->tls = c->tls_peer;
    s->head_size = head->size;
    s->bytes_in = head->size;
    s->bytes_out = 0;
    s->trailers.n = 0;
    s->timed_out = false;
    s->client_ended = c->eof;
}

/* What came is no request, or not in time. The answer is its connection's last. */
static void malformed(struct h1_conn *c, struct server_stream *s, enum http_fault fault)
{
    uint32_t n = s->request.fields.cap;
    struct field *v = s->request.fields.v;
    s->request = (struct request){.fields = {v, 0, n}, .minor = 1};
    begin(c, s, &(struct h1_head){.size = c->to});
    s->timed_out = fault == HTTP_FAULT_LATE;
    c->env->handler->on_malformed(s, (int)fault);
}

/* RFC 9110 §15.5.9 */
static void head_late(struct h1_conn *c)
{
    struct server_stream *s = c->env->stream_new(c->env->owner);
    if (s)
        malformed(c, s, HTTP_FAULT_LATE);
    else
        h1_conn_close(c);
}

/* Tries to make a request of what is in the buffer. False: nothing more to do now. */
static bool read_head(struct h1_conn *c)
{
    struct server_env *env = c->env;
    if (c->from == c->to || c->scan.seen) {
        enum err e = h1_conn_fill(c);
        if (e == ERR_AGAIN || e == ERR_CLOSED || e == ERR_LIMIT) {
            if (e != ERR_AGAIN)
                h1_conn_close(c);
            else if (c->from == c->to)
                h1_conn_buffer_give(c);
            return false;
        }
    }
    if (!may_go_on(c)) return false;
    struct server_stream *s = env->stream_new(env->owner);
    if (!s) {
        env->n_refused++;
        h1_conn_close(c);
        return false;
    }
    struct h1_head head = {0};
    enum http_fault fault = HTTP_FAULT_NONE;
    enum err e = h1_parse_request(str_make(c->in, c->to), &c->scan, &env->io->limits, &s->request, &head, &fault);
    if (e == ERR_AGAIN) {
        env->stream_free(env->owner, s);
        if (c->state == CONN_IDLE) {
            c->state = CONN_HEAD;
            c->deadline_ms = h1_conn_now_ms(c) + env->timeouts.head_ms;
            h1_conn_arm(c);
        }
        c->scan.seen = c->scan.seen ? c->scan.seen : 1;
        return c->readable;
    }
    c->scan = (struct h1_scan){0};
    if (e != ERR_OK) {
        malformed(c, s, fault);
        return true;
    }
    begin(c, s, &head);
    env->handler->on_request(s);
    return true;
}

static void drive(struct h1_conn *c)
{
    if (c->driving) return;
    c->driving = true;
    bool more = true;
    while (more) {
        more = false;
        switch ((enum h1_conn_state)c->state) {
        case CONN_HANDSHAKE:
            if (c->readable) more = h1_conn_shake(c);
            break;
        case CONN_IDLE:
        case CONN_HEAD:
            if (c->readable || c->from < c->to) more = read_head(c);
            break;
        case CONN_BUSY:
            if (c->want_in && (c->readable || c->from < c->to)) {
                c->want_in = false;
                c->env->handler->on_readable(c->stream);
                more = c->state != CONN_BUSY; /* it may have ended there, with another request at hand */
            }
            break;
        case CONN_LINGER:
            if (c->readable) h1_conn_linger_read(c);
            break;
        case CONN_FLUSH:
        case CONN_CLOSED: break;
        }
    }
    c->driving = false;
}

/* --- the stream's calls --- */

static enum err want_body(struct h1_conn *c)
{
    uint32_t before = c->to;
    enum err e = h1_conn_fill(c);
    if (e == ERR_OK) h1_pace_moved(c, &c->in_pace, c->to - before);
    if (e == ERR_AGAIN) {
        c->want_in = true;
        if (!c->readable) h1_pace_wait(c, &c->in_pace);
    }
    return e == ERR_LIMIT ? ERR_NO_MEMORY : e;
}

static void make_room(struct h1_conn *c)
{
    if (c->from == c->to) c->from = c->to = c->base;
    if (c->to == c->env->io->buffer_size && c->from > c->base) {
        memmove(c->in + c->base, c->in + c->from, c->to - c->from);
        c->to -= c->from - c->base;
        c->from = c->base;
    }
}

static enum err peek_chunked(struct h1_conn *c, struct server_stream *s, str *data, bool *end)
{
    for (;;) {
        if (c->chunk.n) break;
        if (c->from < c->to && !may_go_on(c)) {
            c->want_in = true;
            return ERR_AGAIN;
        }
        size_t used = 0;
        enum http_fault fault;
        str got = STR_NONE;
        bool last = false;
        enum err e = h1_chunked_decode(&c->chunked, str_make(c->in + c->from, c->to - c->from), &c->env->io->limits,
                                       &used, &got, &last, s->trailers.v ? &s->trailers : NULL, &fault);
        if (e != ERR_OK) {
            c->keep = false;
            return e;
        }
        c->from += (uint32_t)used;
        c->chunk = got;
        c->body_done = last;
        if (last || got.n) break;
        if (used) continue;
        if (c->to == c->env->io->buffer_size || c->from == c->to) make_room(c);
        e = want_body(c);
        if (e != ERR_OK) return e;
    }
    *data = c->chunk;
    *end = c->body_done;
    return ERR_OK;
}

static enum err stream_peek(struct server_stream *s, str *data, bool *end)
{
    struct h1_conn *c = s->conn;
    if (c->state == CONN_CLOSED) return ERR_CLOSED;
    if (c->framing == H1_CHUNKED && !(c->body_done && !c->chunk.n)) return peek_chunked(c, s, data, end);
    if (!c->body_done && c->from == c->to) {
        make_room(c);
        enum err e = want_body(c);
        if (e != ERR_OK) return e;
    }
    size_t n = c->to - c->from;
    if (c->body_done)
        n = 0;
    else if (n > c->body_left)
        n = (size_t)c->body_left;
    *data = str_make(c->in + c->from, n);
    *end = n == c->body_left;
    return ERR_OK;
}

static void stream_consume(struct server_stream *s, size_t n)
{
    struct h1_conn *c = s->conn;
    s->bytes_in += n;
    if (c->framing == H1_CHUNKED) {
        c->chunk = str_from(c->chunk, n);
        return;
    }
    c->from += (uint32_t)n;
    c->body_left -= n;
    if (c->body_left == 0) c->body_done = true;
}

static struct h1_out scratch(const struct h1_conn *c)
{
    return (struct h1_out){c->env->io->scratch, 0, c->env->io->scratch_size, true};
}

static struct iovec piece(const char *p, size_t n)
{
    return (struct iovec){(void *)(uintptr_t)p, n};
}

/* What is left goes out when the socket can take it; the pace of the reader is watched meanwhile. */
static enum err put(struct h1_conn *c, struct iovec *iov, int n)
{
    enum err e = pending_send(&c->out, c->watch.fd, c->tls, iov, n, &c->stream->bytes_out);
    if (e != ERR_OK) { /* part of it may have left: nothing can stand behind that */
        c->broken = true;
        return ERR_CLOSED;
    }
    if (UNLIKELY(pending_any(&c->out))) h1_pace_wait(c, &c->out_pace);
    return ERR_OK;
}

static enum err stream_interim(struct server_stream *s, const struct response *r)
{
    struct h1_conn *c = s->conn;
    if (c->state == CONN_CLOSED || c->broken) return ERR_CLOSED;
    if (s->request.minor == 0) return ERR_OK; /* RFC 9110 §15.2: never to a 1.0 client */
    if (pending_any(&c->out)) return ERR_AGAIN;
    struct h1_out o = scratch(c);
    h1_out_status_line(&o, r->status);
    http_out_fields(&o, &r->fields);
    h1_out_end(&o);
    struct iovec iov = piece(o.p, o.n);
    return o.ok ? put(c, &iov, 1) : ERR_LIMIT;
}

/* Whether the rest of the request body is at hand, so that the connection can go on behind it. */
static bool body_at_hand(const struct h1_conn *c)
{
    return c->body_done || (c->framing == H1_LENGTH && c->body_left <= c->to - c->from);
}

static void out_framing(struct h1_conn *c, struct h1_out *o, const struct response *r, str data, bool end)
{
    const struct request *q = &c->stream->request;
    bool bodiless = r->status < 200 || r->status == 204 || r->status == 304;
    uint64_t length = r->body;
    if (length == BODY_UNKNOWN && end && q->method_id != METHOD_HEAD) length = data.n;
    c->chunked_out = c->close_out = false;
    if (r->status == 204 || r->status < 200) {
        /* RFC 9110 §8.6: no Content-Length here */
    } else if (length != BODY_UNKNOWN) {
        if (!(r->status == 304 && length == 0)) h1_out_field_u64(o, STR("Content-Length"), length);
    } else if (!bodiless && q->method_id != METHOD_HEAD) {
        if (q->minor >= 1) {
            h1_out_field(o, STR("Transfer-Encoding"), STR("chunked"));
            c->chunked_out = true;
        } else {
            c->close_out = true;
            c->keep = false;
        }
    }
    if (!c->keep)
        h1_out_field(o, STR("Connection"), STR("close"));
    else if (q->minor == 0)
        h1_out_field(o, STR("Connection"), STR("keep-alive"));
}

static enum err stream_respond(struct server_stream *s, const struct response *r, str data, bool end)
{
    struct h1_conn *c = s->conn;
    struct server_env *env = c->env;
    if (c->state == CONN_CLOSED || c->broken) return ERR_CLOSED;
    if (c->keep && (env->draining || (env->max_requests && c->requests >= env->max_requests) || !body_at_hand(c)))
        c->keep = false;
    struct h1_out o = scratch(c);
    h1_out_status_line(&o, r->status);
    http_out_fields(&o, &r->fields);
    if (!fields_get(&r->fields, FIELD_DATE)) h1_out_field(&o, STR("Date"), http_io_date(env->io));
    out_framing(c, &o, r, data, end);
    h1_out_end(&o);
    c->responded = true;
    c->answered = end;
    struct iovec iov[5];
    int n = 1;
    if (!c->chunked_out && data.n && data.n <= 4096 && o.cap - o.n > data.n) {
        h1_out_raw(&o, data); /* one piece costs less than two */
    } else {
        size_t head = o.n;
        n += http_body_iov(iov + 1, &o, c->chunked_out, data, end, NULL);
        iov[0] = piece(o.p, head);
    }
    if (n == 1) iov[0] = piece(o.p, o.n);
    if (!o.ok) {
        c->broken = true; /* no answer at all: the next one must not be taken for it */
        return ERR_LIMIT;
    }
    return put(c, iov, n);
}

static enum err stream_write(struct server_stream *s, str data, bool end, const struct fields *trailers)
{
    struct h1_conn *c = s->conn;
    if (c->state == CONN_CLOSED || c->broken) return ERR_CLOSED;
    if (pending_any(&c->out)) {
        c->want_out = true;
        return ERR_AGAIN;
    }
    c->answered = end;
    struct iovec iov[4];
    struct h1_out o = scratch(c);
    int n = http_body_iov(iov, &o, c->chunked_out, data, end, trailers);
    if (!o.ok) {
        c->broken = true;
        return ERR_LIMIT;
    }
    return n ? put(c, iov, n) : ERR_OK;
}

/* Behind a whole answer: the bytes of the next request, if any, move to the front. */
static void next_request(struct h1_conn *c)
{
    c->state = CONN_IDLE;
    if (c->from == c->to) {
        h1_conn_buffer_give(c);
    } else {
        memmove(c->in, c->in + c->from, c->to - c->from);
        c->to -= c->from;
        c->from = c->base = 0;
    }
    c->deadline_ms = h1_conn_now_ms(c) + c->env->timeouts.idle_ms;
    h1_conn_arm(c);
    if ((c->from < c->to || c->readable) && !c->driving) loop_defer(c->env->io->loop, &c->task);
}

static void stream_done(struct server_stream *s)
{
    struct h1_conn *c = s->conn;
    bool whole = c->responded && c->answered && !c->broken;
    if (whole && !c->body_done && c->framing == H1_LENGTH && body_at_hand(c)) {
        c->from += (uint32_t)c->body_left;
        c->body_done = true;
    }
    c->stream = NULL;
    c->env->stream_free(c->env->owner, s);
    if (c->state == CONN_CLOSED) {
        h1_conn_buffer_give(c);
        loop_defer(c->env->io->loop, &c->task);
    } else if (!whole) {
        if (c->responded && c->close_out) h1_conn_reset_on_close(c);
        h1_conn_close(c);
    } else if (c->keep && c->body_done && !pending_any(&c->out)) {
        next_request(c);
    } else if (c->keep && c->body_done) {
        c->state = CONN_FLUSH;
        h1_pace_wait(c, &c->out_pace);
    } else {
        h1_conn_linger(c);
    }
}

static const struct server_stream_ops ops = {stream_peek,    stream_consume, stream_interim,
                                             stream_respond, stream_write,   stream_done};
