/* TLS for connections that we answer: certificates, chosen by name (SNI) and by what the client can verify; tickets;
 * stapled OCSP answers; certificates of clients.
 *
 * A `struct tls_server` is immutable and counted: made by the control thread, used by all workers; connections keep the
 * one that they began with, so that a new one harms none. Time is passed in as Unix seconds. Knows no configuration and
 * no connection. */
#ifndef SALLYPORT_NET_TLS_SERVER_H
#define SALLYPORT_NET_TLS_SERVER_H

#include "net/tls_stream.h"
#include "net/tls_tickets.h"

struct tls_server;

struct tls_server_certificate {
    str cert_pem, key_pem; /* leaf first; the caller wipes the key */
    str ocsp_der;          /* to be stapled; may be empty */
    str label;             /* for people: its path */
};

struct tls_server_options {
    const struct tls_server_certificate *certificates; /* the first is shown to who names none of them */
    size_t n;
    bool tls12;                  /* 1.2 as well as 1.3 */
    uint32_t tickets_s;          /* rotation of the tickets' keys; 0: no tickets */
    struct tls_tickets *tickets; /* NULL: no tickets */
    str clients_ca_pem;          /* whose certificates of clients are accepted; empty: none is asked for */
};

/* One reference. `why` tells people which certificate is wrong and how. ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err tls_server_new(const struct tls_server_options *o, struct tls_server **out, char why[256]);
/* Whether it was made from the same. */
bool tls_server_is(const struct tls_server *s, const struct tls_server_options *o);
struct tls_server *tls_server_ref(struct tls_server *s);
void tls_server_unref(struct tls_server **s);

/* A stream to answer over. ERR_NO_MEMORY. */
MUST_USE enum err tls_server_stream(struct tls_server *t, int fd, struct tls_stream **out);

/* What there is to tell of a certificate. */
struct tls_certificate_facts {
    str label, name; /* the first name it is for */
    int64_t not_after_s;
    int64_t ocsp_until_s; /* 0: nothing is stapled, or it does not say */
    bool ocsp;
};
size_t tls_server_certificates(const struct tls_server *s);
struct tls_certificate_facts tls_server_certificate_facts(const struct tls_server *s, size_t i);

#endif
