/* The TLS of one configuration: how we answer, and how we ask each service.
 *
 * Made by the control thread from a snapshot, handed to the workers with it, counted. What has not changed is shared
 * with the one before: connections, sessions and pools go on. Knows no connection. */
#ifndef SALLYPORT_PROXY_TLS_SET_H
#define SALLYPORT_PROXY_TLS_SET_H

#include "config/snapshot.h"
#include "net/tls_server.h"
#include "net/tls_upstream.h"

struct tls_set {
    _Atomic uint32_t refs;
    struct tls_server *server; /* NULL: no certificate is configured */
    uint32_t n;
    struct tls_upstream *upstreams[]; /* by service; NULL: clear text */
};

/* One reference. `like`: the one before, or NULL. `why`: whose file is wrong and how. ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err tls_set_new(const struct snapshot *snap, const struct tls_set *like, struct tls_tickets *tickets,
                              struct tls_set **out, char why[256]);
struct tls_set *tls_set_ref(struct tls_set *s);
/* NULL is fine. */
void tls_set_unref(struct tls_set **s);

#endif
