/* upstream WHERE [-e]: a keep-alive HTTP/1.1 server with one fixed answer, one thread, pipelining; for load and
 * measurements. With -e the answer's body is the head of the request, so that a check sees what arrived.
 * Requests must have no body. */
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

enum { ROOM = 16384, LISTENERS = 8 };

struct conn {
    int fd;
    size_t n;
    char in[ROOM];
};

static bool echo;
static char fixed[512];
static size_t fixed_n;

static bool send_all(int fd, const char *p, size_t n)
{
    return send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool answer(int fd, const char *head, size_t n)
{
    if (!echo) return send_all(fd, fixed, fixed_n);
    char out[ROOM + 256];
    int out_n =
        snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%.*s", n,
                 (int)n, head);
    return send_all(fd, out, (size_t)out_n);
}

/* Answers every whole head in the buffer; false when the connection is to be closed. */
static bool conn_readable(struct conn *c)
{
    ssize_t got = recv(c->fd, c->in + c->n, ROOM - c->n, 0);
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) return false;
    c->n += (size_t)got;
    char *at = c->in, *end;
    while ((end = memmem(at, (size_t)(c->in + c->n - at), "\r\n\r\n", 4))) {
        end += 4;
        if (!answer(c->fd, at, (size_t)(end - at))) return false;
        at = end;
    }
    c->n = (size_t)(c->in + c->n - at);
    if (c->n == ROOM) return false;
    memmove(c->in, at, c->n);
    return true;
}

static void accept_all(int epoll, int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct conn *c = calloc(1, sizeof *c);
        if (!c) exit(1);
        c->fd = fd;
        sock_watch(epoll, fd, c);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: upstream PORT|ADDRESS:PORT|/SOCKET … [-e]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    static const char body[] = "{\"ok\":true,\"msg\":\"hello from upstream, padding padding padding padding pad\"}\n";
    fixed_n = (size_t)snprintf(fixed, sizeof fixed,
                               "HTTP/1.1 200 OK\r\nServer: up\r\nContent-Type: application/json\r\n"
                               "X-Pad: aaaaaaaaaaaaaaaaaaaaaaaa\r\nContent-Length: %zu\r\n\r\n%s",
                               sizeof body - 1, body);
    int listeners[LISTENERS], n_listeners = 0, epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-e") == 0) {
            echo = true;
        } else if (n_listeners < LISTENERS) {
            listeners[n_listeners] = sock_listen(argv[i]);
            sock_watch(epoll, listeners[n_listeners], &listeners[n_listeners]);
            n_listeners++;
        }
    }
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            const int *listener = events[i].data.ptr;
            if (listener >= listeners && listener < listeners + n_listeners) {
                accept_all(epoll, *listener);
            } else if (!conn_readable(c)) {
                close(c->fd);
                free(c);
            }
        }
    }
}
