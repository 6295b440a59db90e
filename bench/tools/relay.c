/* relay WHERE UPSTREAM: the floor. A reverse proxy that only finds the end of a head and passes the bytes on, over
 * pooled keep-alive connections: four socket calls a request, epoll_wait shared by all that are ready. It checks
 * nothing and must never serve anything but a benchmark. */
#include "sock.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 8192 };

struct conn {
    int fd; /* -1: closed during this turn */
    bool up;
    size_t n;
    struct conn *peer; /* the other side of the request under way */
    struct conn *next; /* in a list */
    char in[ROOM];
};

static int epoll;
static const char *upstream;
static struct conn *idle;  /* upstream connections without a request */
static struct conn *spare; /* free structures */

static struct conn *conn_new(int fd, bool up)
{
    struct conn *c = spare;
    if (c)
        spare = c->next;
    else
        c = malloc(sizeof *c);
    if (!c) exit(1);
    c->fd = fd;
    c->up = up;
    c->n = 0;
    c->peer = NULL;
    sock_watch(epoll, fd, c);
    return c;
}

static struct conn *upstream_take(void)
{
    struct conn *c = idle;
    if (c) {
        idle = c->next;
        return c;
    }
    int fd = sock_connect(upstream);
    sock_nonblock(fd);
    return conn_new(fd, true);
}

static void conn_close(struct conn *c)
{
    for (struct conn **at = &idle; c->up && *at; at = &(*at)->next) {
        if (*at != c) continue;
        *at = c->next;
        break;
    }
    if (c->peer) c->peer->peer = NULL;
    close(c->fd);
    c->fd = -1;
    c->next = spare;
    spare = c;
}

static void pass(struct conn *from, struct conn *to)
{
    if (to->fd >= 0 && send(to->fd, from->in, from->n, MSG_NOSIGNAL) != (ssize_t)from->n) perror("send");
    from->n = 0;
}

static void request_ready(struct conn *client)
{
    struct conn *up = upstream_take();
    up->peer = client;
    client->peer = up;
    up->n = 0;
    pass(client, up);
}

static void response_readable(struct conn *up, const char *head_end)
{
    const char *length = memmem(up->in, (size_t)(head_end - up->in), "Content-Length: ", 16);
    size_t whole = (size_t)(head_end + 4 - up->in) + (length ? strtoul(length + 16, NULL, 10) : 0);
    if (up->n < whole) return;
    if (up->peer) {
        pass(up, up->peer);
        up->peer->peer = NULL;
    }
    up->peer = NULL;
    up->n = 0;
    up->next = idle;
    idle = up;
}

static void readable(struct conn *c)
{
    ssize_t got = recv(c->fd, c->in + c->n, ROOM - c->n, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        conn_close(c);
        return;
    }
    c->n += (size_t)got;
    const char *head_end = memmem(c->in, c->n, "\r\n\r\n", 4);
    if (!head_end) return;
    if (c->up)
        response_readable(c, head_end);
    else
        request_ready(c);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: relay PORT|/SOCKET UPSTREAM\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    upstream = argv[2];
    int listener = sock_listen(argv[1]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    sock_watch(epoll, listener, NULL);
    for (;;) {
        struct epoll_event events[512];
        int n = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c && c->fd >= 0)
                readable(c);
            else if (!c)
                for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;)
                    conn_new(fd, false);
        }
    }
}
