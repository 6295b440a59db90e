#include "sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

int number_of(const char *text, int max)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 0 || n > max) {
        fprintf(stderr, "'%s' is no number from 0 to %d\n", text, max);
        exit(2);
    }
    return (int)n;
}

static socklen_t address_of(const char *where, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (where[0] == '/') {
        struct sockaddr_un *un = (struct sockaddr_un *)out;
        size_t n = strlen(where);
        if (n >= sizeof un->sun_path) {
            fprintf(stderr, "the path of the socket is too long\n");
            exit(2);
        }
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, where, n);
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
    }
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    in->sin_family = AF_INET;
    const char *port = strchr(where, ':');
    char host[16] = "127.0.0.1";
    if (port) snprintf(host, sizeof host, "%.*s", (int)(port - where), where);
    in->sin_port = htons((uint16_t)number_of(port ? port + 1 : where, 65535));
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1) die(where);
    return sizeof *in;
}

void sock_nonblock(int fd)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) die("fcntl");
}

static int sock_make(const char *where, struct sockaddr_storage *a)
{
    int fd = socket(a->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) die("socket");
    if (where[0] != '/') setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* accepted sockets inherit it */
    return fd;
}

int sock_listen(const char *where)
{
    struct sockaddr_storage a;
    socklen_t n = address_of(where, &a);
    int fd = sock_make(where, &a), one = 1;
    if (where[0] == '/') unlink(where);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 4096) != 0) die(where);
    sock_nonblock(fd);
    return fd;
}

int sock_connect(const char *where)
{
    struct sockaddr_storage a;
    socklen_t n = address_of(where, &a);
    int fd = sock_make(where, &a);
    if (connect(fd, (struct sockaddr *)&a, n) != 0) die(where);
    return fd;
}

void sock_watch(int epoll, int fd, void *data)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0) die("epoll_ctl");
}
