#include "serve/control_listener.h"

#include "http/h1_server.h"
#include "net/unix_socket.h"
#include "serve/problem.h"

#include <stdlib.h>

#define CONNECTIONS 64
#define FIELDS      64
#define FOLLOW_MS   100
#define FACES       2

struct face {
    struct watch watch;
    struct control_server *server;
    struct server_env env; /* its own connections: a crowd at the admin listener does not lock the operator out */
    struct control_peer peer;
    char local[NET_TEXT_MAX];
    bool open;
};

struct control_server {
    struct loop *loop;
    struct http_io io;
    struct control control;
    struct face faces[FACES];
    struct unix_socket socket; /* of the local face; its descriptor is the watch's */
};

struct control_stream {
    struct server_stream down; /* first */
    struct control_server *server;
    struct buf body;
    struct control_reply reply;
    struct timer timer;
    bool handled, following;
    struct field fields[FIELDS], out[8];
};

static struct control_stream *of(struct server_stream *s)
{
    return CONTAINER_OF(s, struct control_stream, down);
}

static struct server_stream *stream_new(void *owner)
{
    struct control_stream *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->server = owner;
    x->down.request.fields = (struct fields){x->fields, 0, FIELDS};
    buf_init(&x->body, CONTROL_BODY_MAX);
    return &x->down;
}

static void stream_free(void *owner, struct server_stream *s)
{
    (void)owner;
    buf_free(&of(s)->body);
    free(of(s));
}

static void end(struct control_stream *x)
{
    timer_clear(x->server->loop, &x->timer);
    if (x->handled) control_reply_free(&x->reply);
    x->down.ops->done(&x->down);
}

static struct response response(struct control_stream *x, uint16_t status, str type)
{
    struct response r = {.status = status, .fields = {x->out, 0, ARRAY_LEN(x->out)}};
    (void)!fields_append(&r.fields, FIELD_CONTENT_TYPE, STR("Content-Type"), type);
    (void)!fields_append(&r.fields, FIELD_OTHER, STR("Cache-Control"), STR("no-store"));
    (void)!fields_append(&r.fields, FIELD_OTHER, STR("X-Content-Type-Options"), STR("nosniff"));
    return r;
}

static void refuse(struct control_stream *x, enum reason reason)
{
    char body[PROBLEM_MAX];
    size_t n = problem_body(&(struct problem){.reason = reason}, body, sizeof body);
    struct response r = response(x, reason_info(reason)->status, STR(PROBLEM_CONTENT_TYPE));
    r.body = n;
    (void)!x->down.ops->respond(&x->down, &r, str_make(body, n), true);
    end(x);
}

/* --- following: what has come since, unless the reader is still busy with the last lot --- */

static void follow(struct control_stream *x)
{
    if (x->down.client_ended) { /* one that goes away while nothing happens would never be met by a write */
        end(x);
        return;
    }
    control_follow(&x->reply);
    if (x->reply.body.n) {
        enum err e = x->down.ops->write(&x->down, buf_str(&x->reply.body), false, NULL);
        if (e != ERR_OK && e != ERR_AGAIN) {
            end(x);
            return;
        }
        if (e == ERR_OK) buf_clear(&x->reply.body);
    }
    timer_set(x->server->loop, &x->timer, loop_now_ms(x->server->loop) + FOLLOW_MS);
}

static void on_time(struct timer *t)
{
    struct control_stream *x = CONTAINER_OF(t, struct control_stream, timer);
    follow(x);
}

static void answer(struct control_stream *x)
{
    struct control_reply *reply = &x->reply;
    struct response r = response(x, reply->status, reply->content_type);
    if (reply->allow.n) (void)!fields_append(&r.fields, FIELD_OTHER, STR("Allow"), reply->allow);
    if (reply->next == CONTROL_FOLLOW) {
        r.body = BODY_UNKNOWN;
        x->following = true;
        if (x->down.ops->respond(&x->down, &r, STR_NONE, false) != ERR_OK) {
            end(x);
            return;
        }
        x->timer.on_time = on_time;
        follow(x);
        return;
    }
    str body = buf_str(&reply->body);
    r.body = body.n;
    if (x->down.request.method_id == METHOD_HEAD) body.n = 0;
    (void)!x->down.ops->respond(&x->down, &r, body, true);
    end(x);
}

static void on_reply(void *arg)
{
    answer(arg);
}

/* The credentials of whoever connected wait in the room of an address that a Unix socket does not have. */
struct creds {
    uint32_t uid;
    int32_t pid;
    bool known;
};
_Static_assert(sizeof(struct creds) <= sizeof((struct net_peer *)0)->ip, "credentials fit a peer");

static void note_creds(int fd, struct net_peer *peer)
{
    struct creds c = {0};
    c.known = unix_socket_peer(fd, &c.uid, &c.pid);
    memcpy(peer->ip, &c, sizeof c);
}

static void handle(struct control_stream *x)
{
    const struct face *f = x->down.listener;
    struct control_peer peer = f->peer;
    if (peer.face == CONTROL_LOCAL) {
        struct creds c;
        memcpy(&c, x->down.peer->ip, sizeof c);
        peer.known = c.known;
        peer.uid = c.uid;
        peer.pid = c.pid;
    }
    x->handled = true;
    x->reply.ready = on_reply;
    x->reply.ready_arg = x;
    control_handle(&x->server->control, &peer, &x->down.request, buf_str(&x->body), &x->reply);
    if (x->reply.next != CONTROL_WAIT) answer(x);
}

/* --- events of the connection --- */

static void on_readable(struct server_stream *s)
{
    struct control_stream *x = of(s);
    bool last = false;
    while (!last) {
        str data = STR_NONE;
        enum err e = s->ops->peek(s, &data, &last);
        if (e == ERR_AGAIN) return;
        if (e == ERR_CLOSED) {
            end(x);
            return;
        }
        buf_put(&x->body, data);
        if (e != ERR_OK || x->body.bad) {
            refuse(x, e != ERR_OK ? REASON_BODY_MALFORMED : REASON_BODY_TOO_LARGE);
            return;
        }
        s->ops->consume(s, data.n);
    }
    handle(x);
}

static void on_malformed(struct server_stream *s, int fault)
{
    refuse(of(s), fault == HTTP_FAULT_LATE ? REASON_REQUEST_TIMEOUT : REASON_REQUEST_MALFORMED);
}

static void on_writable(struct server_stream *s)
{
    (void)s; /* the timer looks again */
}

static void on_abort(struct server_stream *s)
{
    end(of(s));
}

static const struct server_handler handler = {.on_request = on_readable,
                                              .on_malformed = on_malformed,
                                              .on_readable = on_readable,
                                              .on_writable = on_writable,
                                              .on_abort = on_abort};

static void on_connection(struct watch *w, uint32_t events)
{
    struct face *f = CONTAINER_OF(w, struct face, watch);
    struct net_peer peer;
    int fd;
    (void)events;
    while (net_accept(w->fd, &fd, &peer) == ERR_OK) {
        struct watch refused = {.fd = fd};
        if (f->peer.face == CONTROL_LOCAL && !unix_socket_peer_ok(fd)) {
            watch_close(&refused);
            continue;
        }
        if (f->peer.face == CONTROL_LOCAL) note_creds(fd, &peer);
        server_conn_open(&f->env, fd, &peer, f);
    }
}

enum err control_server_new(struct loop *loop, const struct control_source *source, struct control_server **out)
{
    struct control_server *s = calloc(1, sizeof *s);
    if (!s) return ERR_NO_MEMORY;
    struct h1_limits limits = {16384, 8192, FIELDS};
    s->loop = loop;
    s->control.source = source;
    s->socket.fd = -1;
    if (http_io_init(&s->io, loop, &limits, 16384, (size_t)FACES * CONNECTIONS) != ERR_OK) {
        free(s);
        return ERR_NO_MEMORY;
    }
    s->io.buffers.batch = 1;
    for (size_t i = 0; i < FACES; i++) {
        struct server_env *env = &s->faces[i].env;
        s->faces[i].watch.fd = -1;
        server_env_init(env, &s->io, CONNECTIONS);
        env->conns.batch = 4;
        env->handler = &handler;
        env->stream_new = stream_new;
        env->stream_free = stream_free;
        env->owner = s;
        env->timeouts =
            (struct h1_timeouts){.idle_ms = 60000, .head_ms = 5000, .grace_ms = 30000, .rate = 64, .linger_ms = 1000};
    }
    *out = s;
    return ERR_OK;
}

static enum err open_face(struct control_server *s, struct face *f, enum control_face kind, int fd)
{
    f->watch = (struct watch){on_connection, fd};
    f->server = s;
    f->peer.face = kind;
    f->open = true;
    return watch_add(s->loop, &f->watch, EPOLLIN);
}

enum err control_server_admin(struct control_server *s, int listen_fd, str local)
{
    struct face *f = &s->faces[0];
    if (local.n >= sizeof f->local) return ERR_LIMIT;
    memcpy(f->local, local.p, local.n);
    f->peer.local = str_make(f->local, local.n);
    return open_face(s, f, CONTROL_ADMIN, listen_fd);
}

enum err control_server_local(struct control_server *s, const char *path)
{
    enum err e = unix_socket_open(path, false, &s->socket);
    if (e != ERR_OK) return e;
    int fd = s->socket.fd;
    s->socket.fd = -1;
    return open_face(s, &s->faces[1], CONTROL_LOCAL, fd);
}

void control_server_deaf(struct control_server *s)
{
    for (size_t i = 0; i < FACES; i++) watch_drop(s->loop, &s->faces[i].watch);
}

void control_server_free(struct control_server **out)
{
    struct control_server *s = *out;
    if (!s) return;
    for (size_t i = 0; i < FACES; i++) server_env_close_all(&s->faces[i].env);
    unix_socket_close(&s->socket);
    for (size_t i = 0; i < FACES; i++) watch_drop(s->loop, &s->faces[i].watch);
    loop_turn(s->loop, 0); /* lets connections free themselves */
    for (size_t i = 0; i < FACES; i++) slab_free(&s->faces[i].env.conns);
    http_io_close(&s->io);
    free(s);
    *out = NULL;
}
