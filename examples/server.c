#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX  (32u * 1024)
#define BODY_MAX  (1024u * 1024)
#define INPUT_MAX (HEAD_MAX + 2 * BODY_MAX) /* chunked bodies are larger on the wire than in memory */

/* One client connection. `in` holds what was received and not yet used up, `out` what is not yet sent. */
struct conn {
    int fd;
    char *in, *out;
    size_t in_n, in_cap;
    size_t out_n, out_cap, out_sent;
    size_t head_n;  /* length of the current request's head once it is whole, else 0 */
    bool continued; /* 100 was sent for the current request */
    bool closing;   /* close when `out` is sent */
    size_t drained; /* bytes thrown away since then, plus one: see flush() */
};

static volatile sig_atomic_t stopped;

static void on_signal(int signo)
{
    (void)signo;
    stopped = 1;
}

/* --- growing buffers --- */

static bool append(char **p, size_t *n, size_t *cap, const char *bytes, size_t len)
{
    if (len > *cap - *n) {
        size_t want = *cap == 0 ? 1024 : *cap;
        while (want - *n < len) want *= 2;
        char *grown = realloc(*p, want);
        if (grown == NULL) return false;
        *p = grown;
        *cap = want;
    }
    memcpy(*p + *n, bytes, len);
    *n += len;
    return true;
}

static bool send_later(struct conn *c, const char *bytes, size_t len)
{
    return append(&c->out, &c->out_n, &c->out_cap, bytes, len);
}

void reply_text(struct reply *r, const char *text)
{
    if (!append(&r->body, &r->body_n, &r->body_cap, text, strlen(text))) r->failed = true;
}

void reply_bytes(struct reply *r, const char *bytes, size_t n)
{
    if (!append(&r->body, &r->body_n, &r->body_cap, bytes, n)) r->failed = true;
}

void reply_json(struct reply *r, const char *text)
{
    if (text == NULL) {
        reply_text(r, "null");
        return;
    }
    reply_text(r, "\"");
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char ch = (unsigned char)*p;
        char piece[8];
        if (ch == '"' || ch == '\\')
            snprintf(piece, sizeof piece, "\\%c", ch);
        else if (ch < 0x20 || ch > 0x7e) /* what is not ASCII may not be UTF-8 either: show the byte */
            snprintf(piece, sizeof piece, "\\u%04x", ch);
        else
            snprintf(piece, sizeof piece, "%c", ch);
        reply_text(r, piece);
    }
    reply_text(r, "\"");
}

/* --- requests --- */

const char *request_field(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->fields_n; i++)
        if (strcasecmp(r->fields[i].name, name) == 0) return r->fields[i].value;
    return NULL;
}

size_t request_segments(const struct request *r, char seg[][SEGMENT_MAX], size_t max)
{
    size_t n = 0;
    for (const char *p = r->path; *p == '/';) {
        size_t len = strcspn(++p, "/");
        if (n == max || len >= SEGMENT_MAX) return max + 1;
        memcpy(seg[n], p, len);
        seg[n++][len] = '\0';
        p += len;
    }
    return n;
}

/* Cuts the head at `head` (its last empty line included, NUL behind it) into `r`, in place. False: malformed. */
static bool parse_head(char *head, struct request *r)
{
    char *line_end = strstr(head, "\r\n");
    if (line_end == NULL) return false;
    *line_end = '\0';
    char *target = strchr(head, ' ');
    char *version = target == NULL ? NULL : strchr(target + 1, ' ');
    if (version == NULL) return false;
    *target++ = '\0';
    *version++ = '\0';
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0) return false;
    char *query = strchr(target, '?');
    if (query != NULL) *query++ = '\0';
    r->method = head;
    r->path = target;
    r->query = query == NULL ? "" : query;
    r->fields_n = 0;
    for (char *p = line_end + 2; *p != '\0' && strncmp(p, "\r\n", 2) != 0;) {
        char *end = strstr(p, "\r\n"), *colon = strchr(p, ':');
        if (end == NULL || colon == NULL || colon > end || r->fields_n == REQUEST_FIELDS_MAX) return false;
        char *value = colon + 1 + strspn(colon + 1, " \t");
        *colon = '\0';
        *end = '\0';
        for (char *tail = end; tail > value && (tail[-1] == ' ' || tail[-1] == '\t');) *--tail = '\0';
        r->fields[r->fields_n++] = (struct request_field){p, value};
        p = end + 2;
    }
    return true;
}

enum body_state { BODY_DONE, BODY_MORE, BODY_BAD, BODY_LARGE };

/* Decodes the chunked body that `in` begins with into itself (what is decoded is never longer). *used: bytes of `in`
 * it took. Trailer fields are read past. */
static enum body_state chunked_body(char *in, size_t n, size_t *body_n, size_t *used)
{
    size_t at = 0, out = 0;
    for (;;) {
        char *eol = memmem(in + at, n - at, "\r\n", 2);
        if (eol == NULL) return n - at > 64 ? BODY_BAD : BODY_MORE;
        char *end;
        errno = 0;
        if (strspn(in + at, "0123456789abcdefABCDEF") == 0) return BODY_BAD;
        unsigned long size = strtoul(in + at, &end, 16);
        if (errno != 0 || end != eol) return BODY_BAD;
        if (size > BODY_MAX - out) return BODY_LARGE;
        at = (size_t)(eol - in) + 2;
        if (size == 0) break;
        if (n - at < size + 2) return BODY_MORE;
        if (memcmp(in + at + size, "\r\n", 2) != 0) return BODY_BAD;
        memmove(in + out, in + at, size);
        out += size;
        at += size + 2;
    }
    for (;;) { /* the trailer section ends with an empty line */
        char *eol = memmem(in + at, n - at, "\r\n", 2);
        if (eol == NULL) return n - at > HEAD_MAX ? BODY_BAD : BODY_MORE;
        bool last = eol == in + at;
        at = (size_t)(eol - in) + 2;
        if (last) break;
    }
    in[out] = '\0'; /* there is room: the last chunk's line was longer than nothing */
    *body_n = out;
    *used = at;
    return BODY_DONE;
}

/* What the body will be, told from the head alone; the bytes behind the head stay untouched until it is whole. A
 * chunked body is first tried on a copy, because it may not be there yet. */
static enum body_state read_body(struct conn *c, const struct request *r, char **body, size_t *body_n, size_t *used)
{
    char *rest = c->in + c->head_n;
    size_t n = c->in_n - c->head_n;
    const char *coding = request_field(r, "transfer-encoding"), *length = request_field(r, "content-length");
    if (coding != NULL) {
        if (length != NULL || strcasecmp(coding, "chunked") != 0) return BODY_BAD;
        *body = malloc(n + 1);
        if (*body == NULL) return BODY_LARGE;
        memcpy(*body, rest, n);
        (*body)[n] = '\0';
        return chunked_body(*body, n, body_n, used);
    }
    uint64_t want = 0;
    for (const char *p = length; p != NULL && *p != '\0'; p++) {
        if (*p < '0' || *p > '9') return BODY_BAD;
        want = want * 10 + (uint64_t)(*p - '0');
        if (want > BODY_MAX) return BODY_LARGE;
    }
    if (n < want) return BODY_MORE;
    *body = malloc(want + 1);
    if (*body == NULL) return BODY_LARGE;
    memcpy(*body, rest, want);
    (*body)[want] = '\0';
    *body_n = *used = (size_t)want;
    return BODY_DONE;
}

/* --- answering --- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    default: return "Internal Server Error";
    }
}

static void answer(struct conn *c, const struct reply *r, bool with_body)
{
    char head[2048];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s\r\n",
                     r->status, reason_of(r->status), r->type == NULL ? "application/json" : r->type, r->body_n,
                     r->extra == NULL ? "" : r->extra, c->closing ? "Connection: close\r\n" : "");
    bool ok = n > 0 && (size_t)n < sizeof head && send_later(c, head, (size_t)n);
    if (ok && with_body && r->body_n > 0) ok = send_later(c, r->body, r->body_n);
    if (!ok) c->closing = true;
}

static void answer_error(struct conn *c, int status)
{
    struct reply r = {.status = status};
    c->closing = true;
    reply_text(&r, "{\"error\": ");
    reply_json(&r, reason_of(status));
    reply_text(&r, "}\n");
    answer(c, &r, true);
    free(r.body);
}

static bool wants_close(const struct request *r, const char *version_1_0)
{
    const char *connection = request_field(r, "connection");
    if (connection != NULL && strcasestr(connection, "close") != NULL) return true;
    return version_1_0 != NULL && (connection == NULL || strcasestr(connection, "keep-alive") == NULL);
}

/* Answers the request at the front of `in` if it is there as a whole; true: look again, there may be another. */
static bool serve_one(const struct server *s, struct conn *c)
{
    if (c->head_n == 0) {
        char *end = c->in_n == 0 ? NULL : memmem(c->in, c->in_n, "\r\n\r\n", 4);
        if (end == NULL) {
            if (c->in_n > HEAD_MAX) answer_error(c, 400);
            return false;
        }
        c->head_n = (size_t)(end - c->in) + 4;
    }
    bool again = false;
    struct request r = {0};
    char *body = NULL;
    size_t used = 0;
    char *head = strndup(c->in, c->head_n); /* cut in place, so on a copy; also ends at a NUL */
    const char *old = head == NULL ? NULL : strstr(head, " HTTP/1.0\r\n");
    if (head == NULL || strlen(head) != c->head_n || !parse_head(head, &r)) {
        answer_error(c, 400);
        goto out;
    }
    switch (read_body(c, &r, &body, &r.body_n, &used)) {
    case BODY_MORE:
        if (request_field(&r, "expect") != NULL && !c->continued)
            c->continued = send_later(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        if (c->in_n >= INPUT_MAX) answer_error(c, 413);
        break;
    case BODY_BAD: answer_error(c, 400); break;
    case BODY_LARGE: answer_error(c, 413); break;
    case BODY_DONE: {
        struct reply reply = {.status = 200};
        r.body = body;
        c->closing = wants_close(&r, old);
        s->handle(&r, &reply);
        if (reply.failed)
            answer_error(c, 500);
        else
            answer(c, &reply, strcmp(r.method, "HEAD") != 0);
        free(reply.body);
        used += c->head_n;
        memmove(c->in, c->in + used, c->in_n - used);
        c->in_n -= used;
        c->head_n = 0;
        c->continued = false;
        again = !c->closing;
        break;
    }
    }
out:
    free(body);
    free(head);
    return again;
}

/* --- sockets --- */

static bool flush(struct conn *c)
{
    while (c->out_sent < c->out_n) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_n - c->out_sent, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        c->out_sent += (size_t)n;
    }
    c->out_n = c->out_sent = 0;
    if (c->closing && c->drained == 0) { /* to close with bytes unread would be a reset, and take the answer with it */
        shutdown(c->fd, SHUT_WR);
        c->drained = 1;
    }
    return true;
}

/* Reads once, answers what is there; false: the connection is done with. While an answer waits to be sent nothing is
 * read, so a client that only asks and never listens costs one buffer. */
static bool turn(const struct server *s, struct conn *c)
{
    if (c->out_n == 0) {
        char bytes[16384];
        ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
        if (n == 0) return false;
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        if (c->closing) return (c->drained += (size_t)n) <= INPUT_MAX;
        if (!append(&c->in, &c->in_n, &c->in_cap, bytes, (size_t)n)) return false;
    }
    do {
        if (!flush(c)) return false;
    } while (c->out_n == 0 && !c->closing && serve_one(s, c));
    return flush(c);
}

static void watch(int epoll, int op, struct conn *c)
{
    struct epoll_event event = {.events = c->out_n > 0 ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, op, c->fd, &event) != 0) perror("epoll_ctl");
}

static void conn_free(struct conn *c)
{
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static int listen_on(int *port, bool any)
{
    for (; *port <= 65535; ++*port) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
        struct sockaddr_in addr = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)*port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (fd < 0) return -1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0 && listen(fd, 1024) == 0) return fd;
        int why = errno;
        close(fd);
        errno = why;
        if (!any || why != EADDRINUSE) return -1;
    }
    return -1;
}

static void accept_all(int epoll, int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct conn *c = calloc(1, sizeof *c);
        int on = 1;
        if (c == NULL) {
            close(fd);
            continue;
        }
        c->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(epoll, EPOLL_CTL_ADD, c);
    }
}

static int serve(const struct server *s, int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}; /* NULL is the listener */
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) return 1;
    while (!stopped) {
        struct epoll_event ready[64];
        int n = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = ready[i].data.ptr;
            if (c == NULL)
                accept_all(epoll, listener);
            else if (turn(s, c))
                watch(epoll, EPOLL_CTL_MOD, c);
            else
                conn_free(c);
        }
    }
    return 0;
}

static void usage(const struct server *s, FILE *to)
{
    fprintf(to, "%s: %s\nusage: %s [--port N] [--port-auto]", s->name, s->summary, s->name);
    for (const struct server_option *o = s->options; o != NULL && o->name != NULL; o++)
        fprintf(to, " [%s %s]", o->name, o->what);
    fprintf(to, "\n");
}

/* Whether `name` is one of the server's own options, which then has that value. */
static bool take_option(const struct server *s, const char *name, const char *value)
{
    for (const struct server_option *o = s->options; o != NULL && o->name != NULL; o++) {
        if (strcmp(o->name, name) != 0 || value == NULL) continue;
        *o->value = value;
        return true;
    }
    return false;
}

/* -1: go on; else the exit code. */
static int read_arguments(const struct server *s, int argc, char **argv, int *port, bool *any)
{
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        if (strcmp(argv[i], "--port-auto") == 0) {
            *any = true;
        } else if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            long n = strtol(argv[++i], &end, 10);
            if (*end != '\0' || n < 1 || n > 65535) {
                fprintf(stderr, "%s: --port: a number from 1 to 65535\n", s->name);
                return 2;
            }
            *port = (int)n;
        } else if (take_option(s, argv[i], argv[i + 1])) {
            i++;
        } else {
            bool help = strcmp(argv[i], "--help") == 0;
            usage(s, help ? stdout : stderr);
            return help ? 0 : 2;
        }
    }
    return -1;
}

int server_main(const struct server *s, int argc, char **argv)
{
    int port = s->default_port;
    bool any = false;
    int code = read_arguments(s, argc, argv, &port, &any);
    if (code >= 0) return code;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    int listener = listen_on(&port, any);
    if (listener < 0) {
        fprintf(stderr, "%s: cannot listen on 127.0.0.1:%d: %s\n", s->name, port, strerror(errno));
        return 1;
    }
    printf("%s listening on http://127.0.0.1:%d\n", s->name, port);
    fflush(stdout);
    return serve(s, listener);
}
