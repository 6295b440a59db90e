/* The Authentication Service: logins by password, refresh tokens that rotate, sessions, and the keys that sign access
 * tokens.
 *
 * Lives on one loop, stands on serve/service.h, keeps everything in the store: any number of processes may run it side
 * by side. It believes a gateway's X-Product, X-User-ID and X-Forwarded-For, because only our own user reaches its
 * socket. What it never holds: a password after it was checked, a refresh token after it was sent.
 *
 * Files: authentication.c (life), login.c, refresh.c, sessions.c (logout, list, end), discovery.c, product_proof.c,
 * passwords.c, throttle.c, signing_keys.c, access_token.c. */
#ifndef SALLYPORT_SERVICES_AUTHENTICATION_H
#define SALLYPORT_SERVICES_AUTHENTICATION_H

#include "base/log.h"
#include "config/snapshot.h"
#include "crypto/seal.h"
#include "store/store.h"

struct audit;
struct authentication;

struct authentication_options {
    struct loop *loop;
    struct snapshot *snapshot; /* with `authentication.on`; the service takes a reference of its own */
    struct store *store;       /* of that loop; outlives the service */
    const struct seal *seal;
    struct audit *audit;     /* may be NULL */
    const char *socket_path; /* NULL: AUTHENTICATION_SOCKET in the data folder */
    uint32_t grace_ms;       /* so long after a rotation the same client gets the same successor; 0: 10000 */
};

/* ERR_CONFLICT: somebody answers at the socket. ERR_LIMIT, ERR_IO, ERR_NO_MEMORY. */
MUST_USE enum err authentication_new(const struct authentication_options *o, struct authentication **out);
/* Another configuration: counts from the next request on. ERR_NO_MEMORY: the old one stays. */
MUST_USE enum err authentication_reload(struct authentication *a, struct snapshot *snapshot);
/* No new request; authentication_idle tells when none is under way. */
void authentication_drain(struct authentication *a);
bool authentication_idle(const struct authentication *a);
/* Whether a key signs: logins can be answered. */
bool authentication_ready(const struct authentication *a);
/* Waits for password hashes under way; jobs of the store must have ended or the store must be freed after it. */
void authentication_free(struct authentication **a);

/* For status and metrics; by any thread. */
struct authentication_counts {
    uint64_t logins, logins_failed, logins_throttled, busy, refreshes, refreshes_again, refreshes_refused, reuses,
        logouts, proofs_refused, keys_made;
    uint64_t passwords_waiting, calls;
};
void authentication_count(const struct authentication *a, struct authentication_counts *out);
/* sallyport_authentication_…; and the service's own request counters. */
void authentication_metrics(const struct authentication *a, struct buf *out);

#endif
