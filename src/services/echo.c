#include "services/echo.h"

#include "base/buf.h"
#include "http/h1_server.h"

#include <netinet/in.h>
#include <stdlib.h>

#define FIELDS   128
#define BODY_MAX 32768

struct echo {
    struct http_io io;
    struct server_env env;
    struct watch watch;
};

struct echo_stream {
    struct server_stream down; /* first */
    struct field fields[FIELDS], out[2];
};

enum err echo_bind(int *fd, unsigned *port)
{
    struct net_addr a;
    struct sockaddr_in got;
    socklen_t len = sizeof got;
    enum err e = net_addr_parse(STR("127.0.0.1:0"), &a);
    if (e == ERR_OK) e = net_listen(&a, false, fd);
    if (e != ERR_OK) return e;
    if (getsockname(*fd, (struct sockaddr *)&got, &len) != 0) return ERR_IO;
    *port = ntohs(got.sin_port);
    return ERR_OK;
}

static struct server_stream *stream_new(void *owner)
{
    (void)owner;
    struct echo_stream *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->down.request.fields = (struct fields){x->fields, 0, FIELDS};
    return &x->down;
}

static void stream_free(void *owner, struct server_stream *s)
{
    (void)owner;
    free(CONTAINER_OF(s, struct echo_stream, down));
}

static void member(struct buf *b, str name, str value, bool first)
{
    buf_puts(b, first ? "\n  \"" : ",\n  \"");
    buf_put_json(b, name);
    buf_puts(b, "\": \"");
    buf_put_json(b, value);
    buf_putc(b, '"');
}

static void describe(const struct request *r, struct buf *b)
{
    buf_putc(b, '{');
    member(b, STR("method"), r->method, true);
    member(b, STR("path"), r->path, false);
    for (uint32_t i = 0; i < r->fields.n; i++) {
        enum field_class c = field_class_of((enum field_id)r->fields.v[i].id);
        bool tracing = r->fields.v[i].id == FIELD_TRACEPARENT;
        if (c == FIELD_IDENTITY || c == FIELD_FORWARDING || tracing)
            member(b, r->fields.v[i].name, r->fields.v[i].value, false);
    }
    buf_puts(b, "\n}\n");
}

static void answer(struct server_stream *s, uint16_t status)
{
    struct echo_stream *x = CONTAINER_OF(s, struct echo_stream, down);
    struct buf body;
    buf_init(&body, BODY_MAX);
    if (status == 200) describe(&s->request, &body);
    struct response r = {.status = status, .fields = {x->out, 0, 2}, .body = body.n};
    (void)!fields_append(&r.fields, FIELD_CONTENT_TYPE, STR("Content-Type"), STR("application/json"));
    bool head = s->request.method_id == METHOD_HEAD;
    (void)!s->ops->respond(s, &r, str_make(body.p, head ? 0 : body.n), true);
    buf_free(&body);
    s->ops->done(s);
}

/* Reads a body off before it answers, as an application would. */
static void on_request(struct server_stream *s)
{
    bool end = false;
    while (!end) {
        str data = STR_NONE;
        enum err e = s->ops->peek(s, &data, &end);
        if (e == ERR_AGAIN) return;
        if (e == ERR_CLOSED) {
            s->ops->done(s);
            return;
        }
        if (e != ERR_OK) {
            answer(s, 400);
            return;
        }
        s->ops->consume(s, data.n);
    }
    answer(s, 200);
}

static void on_malformed(struct server_stream *s, int fault)
{
    (void)fault;
    answer(s, 400);
}

static void on_writable(struct server_stream *s)
{
    (void)s;
}

static void on_abort(struct server_stream *s)
{
    s->ops->done(s);
}

static const struct server_handler handler = {.on_request = on_request,
                                              .on_malformed = on_malformed,
                                              .on_readable = on_request,
                                              .on_writable = on_writable,
                                              .on_abort = on_abort};

static void on_connection(struct watch *w, uint32_t events)
{
    struct echo *e = CONTAINER_OF(w, struct echo, watch);
    struct net_peer peer;
    int fd;
    (void)events;
    while (net_accept(w->fd, &fd, &peer) == ERR_OK) server_conn_open(&e->env, fd, &peer, NULL);
}

enum err echo_start(struct loop *loop, int fd, struct echo **out)
{
    struct h1_limits limits = {32768, 16384, FIELDS};
    struct echo *e = calloc(1, sizeof *e);
    if (!e || http_io_init(&e->io, loop, &limits, 16384, 512) != ERR_OK) {
        free(e);
        return ERR_NO_MEMORY;
    }
    server_env_init(&e->env, &e->io, 256);
    e->env.handler = &handler;
    e->env.stream_new = stream_new;
    e->env.stream_free = stream_free;
    e->env.owner = e;
    e->env.timeouts =
        (struct h1_timeouts){.idle_ms = 120000, .head_ms = 10000, .grace_ms = 30000, .rate = 64, .linger_ms = 1000};
    e->watch = (struct watch){on_connection, fd};
    *out = e;
    return watch_add(loop, &e->watch, EPOLLIN);
}

void echo_free(struct echo **out)
{
    struct echo *e = *out;
    if (!e) return;
    server_env_close_all(&e->env);
    watch_close(&e->watch);
    loop_turn(e->io.loop, 0);
    slab_free(&e->env.conns);
    http_io_close(&e->io);
    free(e);
    *out = NULL;
}
