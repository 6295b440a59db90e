/* A TLS client over a connected, non-blocking socket (libssl; TLS 1.2 and 1.3). The peer's certificate and name are
 * always verified: there is no way to ask otherwise.
 *
 * Owner: one thread. The stream borrows the descriptor and does not close it. No function waits: ERR_AGAIN means the
 * socket is to be watched (both ways: TLS may read in order to write) and the call repeated after an event. Knows
 * nothing of loops, of addresses or of what is spoken inside. */
#ifndef SALLYPORT_NET_TLS_CLIENT_H
#define SALLYPORT_NET_TLS_CLIENT_H

#include "base/str.h"

/* Whose certificates count, and how TLS is spoken. Immutable; must outlive the streams made from it. */
struct tls_trust;

/* `ca_file`: PEM, and nobody else is trusted; NULL: the system's certification authorities, read as they are needed.
 * ERR_NOT_FOUND: the file cannot be read or holds no certificate. ERR_NO_MEMORY. */
MUST_USE enum err tls_trust_new(const char *ca_file, struct tls_trust **out);
/* The same with the certificates as text, PEM. */
MUST_USE enum err tls_trust_new_pem(str ca_pem, struct tls_trust **out);
void tls_trust_free(struct tls_trust **t);

struct tls_client;

/* `host` is a DNS name, or an IP address (no brackets) if host_is_ip: what the certificate must be for (RFC 9525
 * §6.3: subject alternative names only, a wildcard only as the whole leftmost label). A DNS name also goes into SNI
 * (RFC 6066 §3). ALPN offers http/1.1. ERR_MALFORMED: no usable name. ERR_NO_MEMORY. */
MUST_USE enum err tls_client_new(struct tls_trust *trust, int fd, str host, bool host_is_ip, struct tls_client **out);
/* Says goodbye if the socket takes it at once. */
void tls_client_free(struct tls_client **c);

/* ERR_OK: both sides agree and the certificate holds. ERR_AGAIN. ERR_DENIED: the certificate is not accepted.
 * ERR_MALFORMED: no TLS that we speak. ERR_CLOSED: the peer went away. */
MUST_USE enum err tls_client_handshake(struct tls_client *c);

/* ERR_OK with *got > 0. ERR_AGAIN. ERR_CLOSED: see tls_client_ended. ERR_MALFORMED. */
MUST_USE enum err tls_client_read(struct tls_client *c, void *buf, size_t n, size_t *got);
/* ERR_OK with 0 < *sent <= n. ERR_AGAIN: call again with the same bytes. ERR_CLOSED, ERR_MALFORMED. */
MUST_USE enum err tls_client_write(struct tls_client *c, const void *p, size_t n, size_t *sent);

/* Whether the peer said that nothing follows (close_notify). Without it an end may have been made by anybody. */
bool tls_client_ended(const struct tls_client *c);
/* Why the last ERR_DENIED or ERR_MALFORMED: "certificate has expired". For logs; never NULL. */
const char *tls_client_reason(const struct tls_client *c);

#endif
