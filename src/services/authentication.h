/* The Authentication Service: logins by password, refresh tokens that rotate, sessions, and the keys that sign access
 * tokens.
 *
 * Lives on one loop, stands on serve/service.h, keeps everything in the store: any number of processes may run it side
 * by side. It believes a gateway's X-Product, X-User-ID and X-Forwarded-For, because only our own user reaches its
 * socket. What it never holds: a password after it was checked, a refresh token after it was sent.
 *
 * Files: authentication.c (life), flow.c (a request on its way), product_proof.c, login.c, refresh.c, logout.c,
 * sessions.c, discovery.c; under them passwords.c, rehash.c, throttle.c, signing_plan.c, signing_keys.c,
 * access_token.c, refresh_token.c, session_end.c. */
#ifndef SALLYPORT_SERVICES_AUTHENTICATION_H
#define SALLYPORT_SERVICES_AUTHENTICATION_H

#include "base/log.h"
#include "config/snapshot.h"
#include "crypto/seal.h"
#include "store/store.h"

struct audit;
struct counters;
struct authentication;

struct authentication_options {
    struct loop *loop;
    struct snapshot *snapshot; /* with `authentication.on`; the service takes a reference of its own */
    struct store *store;       /* of that loop; the service's own once authentication_new gave ERR_OK */
    const struct seal *seal;
    struct audit *audit;      /* may be NULL */
    struct log_producer *log; /* for access log lines; may be NULL */
    const char *socket_path;  /* NULL: AUTHENTICATION_SOCKET in the data folder */
    uint32_t grace_ms;        /* so long after a rotation the same client gets the same successor; 0: 10000 */
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
/* Waits for password hashes under way, frees the store, answers what is left. */
void authentication_free(struct authentication **a);

/* For status and metrics; by any thread. */
struct authentication_counts {
    uint64_t logins, logins_failed, logins_throttled, busy;
    uint64_t refreshes, refreshes_again, refreshes_refused, reuses;
    uint64_t logouts, sessions_ended, rehashed, proofs_refused;
};
void authentication_count(const struct authentication *a, struct authentication_counts *out);
/* sallyport_authentication_events_total{event}. */
void authentication_metrics(const struct authentication *a, struct buf *out);
/* The requests of its socket, for counters_render. */
const struct counters *authentication_counters(const struct authentication *a);

#endif
