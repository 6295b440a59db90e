/* Verified TLS to a service: whose certificates count for it, what name they must be for, what we show of ourselves.
 * There is no way to ask without verification.
 *
 * A `struct tls_upstream` is immutable, counted, and used by any number of threads; made by the control thread from the
 * configuration. Knows no address and no pool. */
#ifndef SALLYPORT_NET_TLS_UPSTREAM_H
#define SALLYPORT_NET_TLS_UPSTREAM_H

#include "net/tls_stream.h"

struct tls_upstream;

struct tls_upstream_options {
    str ca_pem; /* the authorities that count, and nobody else; empty: the system's */
    str name;   /* a DNS name or an IP address: for whom a certificate must be; also in SNI if it is a name */
    str cert_pem, key_pem; /* what we show when asked; both or neither */
};

/* One reference. `why` tells people what is wrong with the files. ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err tls_upstream_new(const struct tls_upstream_options *o, struct tls_upstream **out, char why[256]);
/* Whether it was made from the same. */
bool tls_upstream_is(const struct tls_upstream *u, const struct tls_upstream_options *o);
/* Whether it says for whom a certificate must be; NULL does not. */
bool tls_upstream_named(const struct tls_upstream *u);
struct tls_upstream *tls_upstream_ref(struct tls_upstream *u);
void tls_upstream_unref(struct tls_upstream **u);

/* The last session with one instance, kept by one thread so that the next connection costs less; {0} is none. */
struct tls_session {
    void *session;
    uint64_t of; /* private: a session is only good for the trust that it was made in */
};
void tls_session_free(struct tls_session *s);

/* A stream to ask over; `name` (if not empty) instead of the options' name. `session` may be NULL; else it must outlive
 * the stream. ERR_MALFORMED: no usable name. ERR_NO_MEMORY. */
MUST_USE enum err tls_upstream_stream(struct tls_upstream *u, str name, int fd, struct tls_session *session,
                                      struct tls_stream **out);

#endif
