/* Sockets: addresses as text and back, listening, accepting, connecting, scattered writes. Non-blocking and
 * close-on-exec throughout; TCP_NODELAY on every TCP connection. Knows nothing of loops or protocols. */
#ifndef SALLYPORT_NET_SOCKET_H
#define SALLYPORT_NET_SOCKET_H

#include "base/str.h"

#include <sys/socket.h>
#include <sys/uio.h>

/* A peer's address in little room: kept for each connection. */
struct net_peer {
    uint8_t family; /* 0 unknown, 1 Unix, 4, 6 */
    uint8_t pad;
    uint16_t port;
    uint8_t ip[16]; /* IPv4 in the first four */
};

struct net_addr {
    struct sockaddr_storage ss;
    socklen_t len;
};

#define NET_TEXT_MAX 128

/* "127.0.0.1:80", "[::1]:80", ":80" (all addresses, IPv6 dual-stack if there is one), "unix:/path". Numeric only.
 * ERR_MALFORMED, ERR_LIMIT (path too long). */
MUST_USE enum err net_addr_parse(str text, struct net_addr *out);
/* The text form, NUL-terminated; returns its length. */
size_t net_addr_text(const struct net_addr *a, char out[NET_TEXT_MAX]);
size_t net_peer_text(const struct net_peer *p, char out[NET_TEXT_MAX]);
/* The address back as the system has it, without the port. */
void net_peer_sockaddr(const struct net_peer *p, struct sockaddr_storage *out);
/* "127.0.0.1" without the port; "unix". */
size_t net_peer_ip_text(const struct net_peer *p, char out[NET_TEXT_MAX]);

/* A listening socket. `shared`: SO_REUSEPORT, for one socket a worker. A stale Unix socket file is replaced only if
 * nobody answers on it; a new one gets mode 0660. ERR_CONFLICT (in use), ERR_DENIED, ERR_IO; errno tells. */
MUST_USE enum err net_listen(const struct net_addr *a, bool shared, int *fd);

/* ERR_AGAIN: none waiting. ERR_LIMIT: out of descriptors. ERR_IO. */
MUST_USE enum err net_accept(int listen_fd, int *fd, struct net_peer *peer);

/* Begins to connect. *done: already connected. ERR_CLOSED (refused), ERR_LIMIT (descriptors), ERR_AGAIN (Unix socket
 * whose queue is full), ERR_IO. */
MUST_USE enum err net_connect(const struct net_addr *a, int *fd, bool *done);
/* The outcome once the socket is writable. ERR_OK, ERR_CLOSED (refused), ERR_TIMEOUT, ERR_IO. */
MUST_USE enum err net_connect_result(int fd);

/* ERR_OK with *got > 0; ERR_AGAIN; ERR_CLOSED (the peer has ended its stream); ERR_IO (reset, timed out …: what came
 * before may not be all). */
MUST_USE enum err net_recv(int fd, void *buf, size_t n, size_t *got);
/* ERR_OK with *sent <= the sum (less: the socket is full); ERR_CLOSED. */
MUST_USE enum err net_send(int fd, const void *p, size_t n, size_t *sent);
MUST_USE enum err net_sendv(int fd, struct iovec *iov, int n, size_t *sent);

#endif
