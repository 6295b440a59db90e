#include "roles/wire.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC 0x53504331u /* "SPC1" */

_Static_assert(sizeof(struct wire_message) == 1016, "one layout for all versions");

enum err wire_pair(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0 ? ERR_OK : ERR_IO;
}

bool wire_is(int fd, int32_t pid)
{
    int type = 0;
    struct ucred who;
    socklen_t n = sizeof type, m = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_SEQPACKET &&
           getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &m) == 0 && m == sizeof who && who.pid == pid;
}

enum err wire_send(int fd, enum wire_kind kind, uint64_t number, str text, const int *fds, size_t n_fds, bool wait)
{
    struct wire_message m = {.magic = MAGIC, .kind = kind, .number = number};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS * sizeof(int))] = {0};
    struct iovec iov = {&m, sizeof m};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > WIRE_FDS) return ERR_LIMIT;
    memcpy(m.text, text.n ? text.p : "", text.n < WIRE_TEXT ? text.n : WIRE_TEXT - 1);
    if (n_fds) {
        h.msg_control = control;
        h.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    ssize_t sent;
    do sent = sendmsg(fd, &h, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    while (sent < 0 && errno == EINTR);
    if (sent == (ssize_t)sizeof m) return ERR_OK;
    if (sent < 0 && (errno == EAGAIN || errno == ENOBUFS)) return ERR_AGAIN;
    return sent < 0 && (errno == EPIPE || errno == ECONNRESET) ? ERR_CLOSED : ERR_IO;
}

static size_t take_fds(struct msghdr *h, int *fds)
{
    size_t n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0)) continue;
        size_t bytes = c->cmsg_len - CMSG_LEN(0);
        for (size_t i = 0; (i + 1) * sizeof(int) <= bytes; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (n < WIRE_FDS)
                fds[n++] = fd;
            else
                close(fd);
        }
    }
    return n;
}

enum err wire_receive(int fd, bool wait, struct wire_message *out, int *fds, size_t *n_fds)
{
    struct wire_message m;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(WIRE_FDS * sizeof(int))];
    struct iovec iov = {&m, sizeof m};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fds) {
        h.msg_control = control;
        h.msg_controllen = sizeof control;
    }
    ssize_t got;
    do got = recvmsg(fd, &h, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    while (got < 0 && errno == EINTR);
    if (got < 0) return errno == EAGAIN ? ERR_AGAIN : errno == ECONNRESET ? ERR_CLOSED : ERR_IO;
    size_t n = fds ? take_fds(&h, fds) : 0;
    bool good = got == (ssize_t)sizeof m && !(h.msg_flags & MSG_TRUNC) && m.magic == MAGIC && !m.text[WIRE_TEXT - 1];
    if (!good) {
        while (n) close(fds[--n]);
        return got == 0 ? ERR_CLOSED : ERR_MALFORMED;
    }
    *out = m;
    if (fds) *n_fds = n;
    return ERR_OK;
}
