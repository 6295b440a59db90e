#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define NET_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NET_SANITIZED 1
#endif
#ifndef NET_SANITIZED
#define NET_SANITIZED 0
#endif

static enum err parse_unix(str path, struct net_addr *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->ss;
    if (path.n == 0 || str_has(path, '\0')) return ERR_MALFORMED;
    if (path.n >= sizeof un->sun_path) return ERR_LIMIT;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.n);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    return ERR_OK;
}

static enum err parse_port(str text, uint16_t *out)
{
    uint64_t v;
    if (text.n > 5 || str_to_u64(text, &v) != ERR_OK || v > 65535) return ERR_MALFORMED;
    *out = (uint16_t)v;
    return ERR_OK;
}

enum err net_addr_parse(str text, struct net_addr *out)
{
    struct net_addr a = {0};
    if (str_starts(text, STR("unix:"))) {
        enum err e = parse_unix(str_from(text, 5), &a);
        if (e == ERR_OK) *out = a;
        return e;
    }
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':') colon--;
    uint16_t port;
    if (colon == 0 || parse_port(str_from(text, colon), &port) != ERR_OK) return ERR_MALFORMED;
    str host = str_first(text, colon - 1);
    char z[INET6_ADDRSTRLEN + 2];
    if (host.n >= sizeof z) return ERR_MALFORMED;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a.ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.ss;
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        memcpy(z, host.p + 1, host.n - 2);
        z[host.n - 2] = 0;
        if (inet_pton(AF_INET6, z, &v6->sin6_addr) != 1) return ERR_MALFORMED;
    } else if (host.n == 0) {
        v6->sin6_addr = in6addr_any;
    } else {
        memcpy(z, host.p, host.n);
        z[host.n] = 0;
        if (inet_pton(AF_INET, z, &v4->sin_addr) != 1) return ERR_MALFORMED;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        a.len = sizeof *v4;
        *out = a;
        return ERR_OK;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    a.len = sizeof *v6;
    *out = a;
    return ERR_OK;
}

/* By hand: it stands in every log line and every forwarded request. */
static size_t v4_text(const uint8_t *ip, char *out)
{
    char *p = out;
    for (int i = 0; i < 4; i++) {
        if (i) *p++ = '.';
        if (ip[i] >= 100) *p++ = (char)('0' + ip[i] / 100);
        if (ip[i] >= 10) *p++ = (char)('0' + ip[i] / 10 % 10);
        *p++ = (char)('0' + ip[i] % 10);
    }
    *p = 0;
    return (size_t)(p - out);
}

size_t net_addr_text(const struct net_addr *a, char out[NET_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "?";
    int n;
    if (a->ss.ss_family == AF_UNIX) {
        n = snprintf(out, NET_TEXT_MAX, "unix:%s", ((const struct sockaddr_un *)&a->ss)->sun_path);
    } else if (a->ss.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->ss;
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        n = snprintf(out, NET_TEXT_MAX, "%s:%u", ip, ntohs(v4->sin_port));
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->ss;
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        n = snprintf(out, NET_TEXT_MAX, "[%s]:%u", ip, ntohs(v6->sin6_port));
    }
    return n < 0 ? 0 : n < NET_TEXT_MAX ? (size_t)n : NET_TEXT_MAX - 1;
}

size_t net_peer_ip_text(const struct net_peer *p, char out[NET_TEXT_MAX])
{
    static const char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\xff', '\xff'};
    if (p->family == 4) return v4_text(p->ip, out);
    if (p->family == 6 && memcmp(p->ip, mapped, 12) == 0) return v4_text(p->ip + 12, out);
    if (p->family == 6) return inet_ntop(AF_INET6, p->ip, out, NET_TEXT_MAX) ? strlen(out) : 0;
    memcpy(out, "unix", 5);
    return 4;
}

size_t net_peer_text(const struct net_peer *p, char out[NET_TEXT_MAX])
{
    char ip[NET_TEXT_MAX];
    size_t n = net_peer_ip_text(p, ip);
    if (p->family != 4 && p->family != 6) {
        memcpy(out, ip, n + 1);
        return n;
    }
    int w = memchr(ip, ':', n) ? snprintf(out, NET_TEXT_MAX, "[%.60s]:%u", ip, p->port)
                               : snprintf(out, NET_TEXT_MAX, "%.60s:%u", ip, p->port);
    return w < 0 ? 0 : (size_t)w;
}

void net_peer_sockaddr(const struct net_peer *p, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){.ss_family = AF_UNIX};
    if (p->family == 4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET};
        memcpy(&v4.sin_addr, p->ip, 4);
        memcpy(out, &v4, sizeof v4);
    } else if (p->family == 6) {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        memcpy(&v6.sin6_addr, p->ip, 16);
        memcpy(out, &v6, sizeof v6);
    }
}

static void no_delay(int fd)
{
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* fails on Unix sockets, which need none */
}

static bool stale_socket(const struct net_addr *a)
{
    struct stat st;
    if (stat(((const struct sockaddr_un *)&a->ss)->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)&a->ss, a->len) != 0 && errno == ECONNREFUSED;
    if (fd >= 0) close(fd);
    return dead;
}

static enum err refuse(int fd)
{
    int saved = errno;
    close(fd);
    errno = saved;
    return saved == EADDRINUSE ? ERR_CONFLICT : saved == EACCES ? ERR_DENIED : ERR_IO;
}

enum err net_listen(const struct net_addr *a, bool shared, int *out)
{
    struct net_addr any = *a;
    int one = 1, zero = 0;
    int fd = socket(any.ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 && errno == EAFNOSUPPORT && any.ss.ss_family == AF_INET6) {
        /* no IPv6 here: ":80" still means all addresses */
        struct sockaddr_in6 v6;
        memcpy(&v6, &any.ss, sizeof v6);
        if (!IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) return ERR_IO;
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6.sin6_port};
        any = (struct net_addr){.len = sizeof v4};
        memcpy(&any.ss, &v4, sizeof v4);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    if (fd < 0) return ERR_IO;
    if (any.ss.ss_family == AF_UNIX) {
        if (stale_socket(&any)) unlink(((struct sockaddr_un *)&any.ss)->sun_path);
        mode_t before = umask(0117);
        int rc = bind(fd, (struct sockaddr *)&any.ss, any.len);
        umask(before);
        if (rc != 0) return refuse(fd);
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (shared) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
        if (any.ss.ss_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
        no_delay(fd); /* inherited by what is accepted */
        if (bind(fd, (struct sockaddr *)&any.ss, any.len) != 0) return refuse(fd);
    }
    if (listen(fd, 4096) != 0) return refuse(fd);
    *out = fd;
    return ERR_OK;
}

static void peer_of(const struct sockaddr_storage *ss, struct net_peer *p)
{
    *p = (struct net_peer){.family = 1};
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)ss;
        p->family = 4;
        p->port = ntohs(v4->sin_port);
        memcpy(p->ip, &v4->sin_addr, 4);
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)ss;
        p->family = 6;
        p->port = ntohs(v6->sin6_port);
        memcpy(p->ip, &v6->sin6_addr, 16);
    }
}

enum err net_accept(int listen_fd, int *out, struct net_peer *peer)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof ss;
    int fd;
    do {
        fd = accept4(listen_fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0) {
        if (errno == EAGAIN) return ERR_AGAIN;
        return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ? ERR_LIMIT : ERR_IO;
    }
    peer_of(&ss, peer);
    *out = fd;
    return ERR_OK;
}

enum err net_connect(const struct net_addr *a, int *out, bool *done)
{
    int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return errno == EMFILE || errno == ENFILE ? ERR_LIMIT : ERR_IO;
    if (a->ss.ss_family != AF_UNIX) no_delay(fd);
    if (connect(fd, (const struct sockaddr *)&a->ss, a->len) == 0) {
        *done = true;
    } else if (errno == EINPROGRESS) {
        *done = false;
    } else {
        int e = errno;
        close(fd);
        return e == EAGAIN ? ERR_AGAIN : e == ECONNREFUSED || e == ENOENT ? ERR_CLOSED : ERR_IO;
    }
    *out = fd;
    return ERR_OK;
}

enum err net_connect_result(int fd)
{
    int e = 0;
    socklen_t len = sizeof e;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0) return ERR_IO;
    return e == 0 ? ERR_OK : e == ECONNREFUSED || e == ECONNRESET ? ERR_CLOSED : e == ETIMEDOUT ? ERR_TIMEOUT : ERR_IO;
}

/* The two calls that every request makes four times. The library's recv and send are points at which a thread may be
 * cancelled, and in a program with threads each of them pays for that with two locked instructions; nobody here cancels
 * threads. Where the kernel has no such calls of their own, or a sanitizer wants to see them, the library's serve. */
static ssize_t plain_recv(int fd, void *buf, size_t n)
{
#if defined(SYS_recvfrom) && !NET_SANITIZED
    return syscall(SYS_recvfrom, fd, buf, n, 0, NULL, NULL);
#else
    return recv(fd, buf, n, 0);
#endif
}

static ssize_t plain_send(int fd, const void *p, size_t n)
{
#if defined(SYS_sendto) && !NET_SANITIZED
    return syscall(SYS_sendto, fd, p, n, MSG_NOSIGNAL, NULL, 0);
#else
    return send(fd, p, n, MSG_NOSIGNAL);
#endif
}

enum err net_recv(int fd, void *buf, size_t n, size_t *got)
{
    ssize_t r;
    do {
        r = plain_recv(fd, buf, n);
    } while (UNLIKELY(r < 0 && errno == EINTR));
    if (r > 0) {
        *got = (size_t)r;
        return ERR_OK;
    }
    if (r == 0) return ERR_CLOSED;
    return errno == EAGAIN ? ERR_AGAIN : ERR_IO;
}

enum err net_send(int fd, const void *p, size_t n, size_t *sent)
{
    ssize_t r;
    do {
        r = plain_send(fd, p, n);
    } while (UNLIKELY(r < 0 && errno == EINTR));
    if (UNLIKELY(r < 0) && errno != EAGAIN) return ERR_CLOSED;
    *sent = r < 0 ? 0 : (size_t)r;
    return ERR_OK;
}

enum err net_sendv(int fd, struct iovec *iov, int n, size_t *sent)
{
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)n};
    ssize_t r;
    do {
        r = sendmsg(fd, &m, MSG_NOSIGNAL);
    } while (UNLIKELY(r < 0 && errno == EINTR));
    if (UNLIKELY(r < 0) && errno != EAGAIN) return ERR_CLOSED;
    *sent = r < 0 ? 0 : (size_t)r;
    return ERR_OK;
}
