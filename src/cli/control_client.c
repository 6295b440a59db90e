#include "cli/control_client.h"

#include "base/clock.h"
#include "http/h1.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIELDS = 64, PIECE = 16384, ANSWER_MS = 10000 };

static const struct h1_limits limits = {.max_head = PIECE, .max_target = 8192, .max_fields = FIELDS};

/* --- finding it --- */
static const char *const places[] = {"./.sallyport/cli.sock", "/run/sallyport/cli.sock", "/var/lib/sallyport/cli.sock"};

/* 0, or errno. A full queue counts as nobody: connect() must not hang. */
static int dial(const char *path, int *fd)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 2};
    if (strlen(path) >= sizeof a.sun_path) return ENAMETOOLONG;
    memcpy(a.sun_path, path, strlen(path));
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0) return errno;
    (void)setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(*fd, (const struct sockaddr *)&a, sizeof a) == 0) return 0;
    int e = errno;
    close(*fd);
    *fd = -1;
    return e;
}

static enum err explain_dial(struct control_client *c, int e)
{
    const char *what = strerror(e);
    if (e == ENOENT) what = "there is no such socket, so nothing runs that was told to make it";
    if (e == ECONNREFUSED) what = "nobody listens there: it is left over from a process that is gone, or no socket";
    if (e == ENAMETOOLONG) what = "the path is too long for a socket";
    if (e == EACCES || e == EPERM) what = "not permitted: run this as the user that the product runs as, or as root";
    (void)snprintf(c->problem, sizeof c->problem, "%.100s: %s", c->where, what);
    if (e == EACCES || e == EPERM) return ERR_DENIED;
    return e == ENOENT || e == ECONNREFUSED ? ERR_NOT_FOUND : ERR_IO;
}

static enum err dial_named(struct control_client *c, const char *path)
{
    (void)snprintf(c->where, sizeof c->where, "%s", path);
    int e = dial(path, &c->fd);
    return e ? explain_dial(c, e) : ERR_OK;
}

enum err control_client_open(const char *option, struct control_client *c)
{
    *c = (struct control_client){.fd = -1};
    if (!option) option = getenv("SALLYPORT_SOCKET");
    if (option && *option) return dial_named(c, option);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        (void)snprintf(c->where, sizeof c->where, "%s", places[i]);
        int e = dial(places[i], &c->fd);
        if (!e) return ERR_OK;
        if (e != ENOENT && e != ECONNREFUSED && e != ENOTDIR) return explain_dial(c, e);
    }
    (void)snprintf(
        c->problem, sizeof c->problem,
        "nothing runs here: nobody answers at %s, %s or %s. Start it (`sallyport dev`, `sallyport run`), or name "
        "its socket with --socket or SALLYPORT_SOCKET",
        places[0], places[1], places[2]);
    return ERR_NOT_FOUND;
}

void control_client_close(struct control_client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

/* --- speaking --- */
static enum err complain(struct control_client *c, enum err e)
{
    const char *what = "cannot be read";
    if (e == ERR_TIMEOUT) what = "does not answer in time";
    if (e == ERR_CLOSED) what = "hung up; it answers the user it runs as, and root";
    if (e == ERR_MALFORMED || e == ERR_UNSUPPORTED) what = "does not speak HTTP: is this a socket of the product?";
    if (e == ERR_LIMIT) what = "says more than is taken";
    if (e == ERR_NO_MEMORY) what = "cannot be read: out of memory";
    (void)snprintf(c->problem, sizeof c->problem, "%.100s %s", c->where, what);
    return e;
}

static enum err send_all(struct control_client *c, str s)
{
    while (s.n) {
        ssize_t n = send(c->fd, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : ERR_IO;
        s = str_from(s, (size_t)n);
    }
    return ERR_OK;
}

/* Appends what arrives to `in`, until the monotonic instant `until` (0: without end). */
static enum err receive(struct control_client *c, uint64_t until_ns, struct buf *in)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    for (;;) {
        int wait = -1;
        if (until_ns) {
            uint64_t now = clock_mono_ns();
            if (now >= until_ns) return ERR_TIMEOUT;
            uint64_t ms = (until_ns - now + 999999) / 1000000;
            wait = ms < 1000000 ? (int)ms : 1000000;
        }
        int ready = poll(&p, 1, wait);
        if (ready < 0 && errno != EINTR) return ERR_IO;
        if (ready <= 0) continue;
        char *room = buf_room(in, PIECE);
        if (!room) return ERR_NO_MEMORY;
        ssize_t n = recv(c->fd, room, PIECE, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == ECONNRESET ? ERR_CLOSED : ERR_IO;
        if (n == 0) return ERR_CLOSED;
        in->n += (size_t)n;
        return ERR_OK;
    }
}

static enum err send_request(struct control_client *c, const char *method, const char *path, str json)
{
    struct buf b;
    buf_init(&b, 65536);
    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, path);
    if (json.n) buf_printf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n", json.n);
    buf_puts(&b, "\r\n");
    buf_put(&b, json);
    enum err e = b.bad ? ERR_NO_MEMORY : send_all(c, buf_str(&b));
    buf_free(&b);
    return e;
}

/* An answer on its way in. */
struct incoming {
    struct buf in;
    struct h1_scan scan;
    struct h1_head head;
    struct h1_chunked chunked;
    uint64_t left; /* of a body of known length */
    uint16_t status;
    bool got_head, end;
};

static enum err take_head(struct incoming *x, enum method to)
{
    struct field room[FIELDS];
    struct response r = {.fields = {room, 0, FIELDS}};
    enum http_fault fault;
    enum err e = h1_parse_response(buf_str(&x->in), &x->scan, &limits, to, &r, &x->head, &fault);
    if (e != ERR_OK) return e;
    x->status = r.status;
    x->left = x->head.framing == H1_LENGTH ? r.body : 0;
    x->end = x->head.framing == H1_NO_BODY || (x->head.framing == H1_LENGTH && !r.body);
    x->got_head = true;
    buf_consume(&x->in, x->head.size);
    return ERR_OK;
}

/* Moves body bytes at hand to `out`. */
static enum err take_body(struct incoming *x, struct buf *out)
{
    enum http_fault fault;
    while (!x->end && x->in.n) {
        str data = buf_str(&x->in);
        size_t used = data.n;
        enum err e = ERR_OK;
        if (x->head.framing == H1_CHUNKED) {
            e = h1_chunked_decode(&x->chunked, buf_str(&x->in), &limits, &used, &data, &x->end, NULL, &fault);
        } else if (x->head.framing == H1_LENGTH) {
            data = str_first(data, (size_t)x->left);
            used = data.n;
            x->left -= data.n;
            x->end = x->left == 0;
        }
        if (e != ERR_OK) return e;
        buf_put(out, data);
        if (out->bad) return ERR_LIMIT;
        if (!used && !data.n) return ERR_OK;
        buf_consume(&x->in, used);
    }
    return ERR_OK;
}

/* Receives until there is a head. */
static enum err await_head(struct control_client *c, struct incoming *x, enum method to, uint64_t until_ns)
{
    enum err e;
    while ((e = take_head(x, to)) == ERR_AGAIN) {
        e = receive(c, until_ns, &x->in);
        if (e != ERR_OK) return e;
    }
    return e;
}

/* Receives until the body is whole. */
static enum err await_body(struct control_client *c, struct incoming *x, uint64_t until_ns, struct buf *body)
{
    for (;;) {
        enum err e = take_body(x, body);
        if (e != ERR_OK || x->end) return e;
        e = receive(c, until_ns, &x->in);
        if (e == ERR_CLOSED && x->head.framing == H1_UNTIL_CLOSE) return ERR_OK;
        if (e != ERR_OK) return e;
    }
}

enum err control_client_ask(struct control_client *c, const char *method, const char *path, str json,
                            uint32_t timeout_ms, uint16_t *status, struct buf *body)
{
    struct incoming x = {0};
    uint64_t until = clock_mono_ns() + (uint64_t)timeout_ms * 1000000u;
    buf_init(&x.in, CONTROL_ANSWER_MAX);
    enum err e = send_request(c, method, path, json);
    if (e == ERR_OK) e = await_head(c, &x, method_of(str_of(method)), until);
    if (e == ERR_OK) e = await_body(c, &x, until, body);
    if (e == ERR_OK) *status = x.status;
    buf_free(&x.in);
    return e == ERR_OK ? e : complain(c, e);
}

/* Whole lines go out; what is left begins the next one. False: enough. */
static bool give_lines(struct buf *text, bool (*on_line)(void *ctx, str line), void *ctx)
{
    str rest = buf_str(text);
    bool more = true;
    while (more && str_has(rest, '\n')) {
        str line = str_cut(&rest, '\n');
        if (line.n) more = on_line(ctx, line);
    }
    buf_consume(text, text->n - rest.n);
    return more;
}

enum err control_client_follow(struct control_client *c, const char *path, uint64_t for_ms,
                               bool (*on_line)(void *ctx, str line), void *ctx, uint16_t *status, struct buf *body)
{
    struct incoming x = {0};
    uint64_t start = clock_mono_ns(), until = for_ms ? start + for_ms * 1000000u : 0;
    buf_init(&x.in, CONTROL_ANSWER_MAX);
    enum err e = send_request(c, "GET", path, STR_NONE);
    if (e == ERR_OK) e = await_head(c, &x, METHOD_GET, start + (uint64_t)ANSWER_MS * 1000000u);
    if (e == ERR_OK) *status = x.status;
    if (e == ERR_OK && x.status != 200) e = await_body(c, &x, start + (uint64_t)ANSWER_MS * 1000000u, body);
    bool more = e == ERR_OK && x.status == 200;
    while (more) {
        e = take_body(&x, body);
        if (e == ERR_OK) more = give_lines(body, on_line, ctx);
        if (e != ERR_OK || !more) break;
        e = x.end ? ERR_CLOSED : receive(c, until, &x.in);
        if (e == ERR_TIMEOUT) more = false;
        if (e == ERR_TIMEOUT)
            e = ERR_OK;
        else if (e != ERR_OK)
            break;
    }
    buf_free(&x.in);
    if (e == ERR_CLOSED && x.got_head) {
        (void)snprintf(c->problem, sizeof c->problem, "%.100s: the product ended, or dropped the connection", c->where);
        return e;
    }
    return e == ERR_OK ? e : complain(c, e);
}
