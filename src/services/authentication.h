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
#include "config/config.h"
#include "crypto/key.h"
#include "crypto/password.h"
#include "crypto/seal.h"
#include "store/product_record.h"
#include "store/store.h"

struct audit;
struct authentication;

/* A product of the configuration file. Those made by command line are found in the store. */
struct authentication_product {
    str name;
    enum product_login login;
    str users; /* base */
    enum product_proof proof;
};

struct authentication_rate {
    uint32_t attempts;
    uint64_t window_ms;
};

/* Everything is borrowed and must outlive the service. */
struct authentication_settings {
    str issuer;             /* `iss` */
    bool issuer_is_default; /* its users are bare in X-User-ID; else "authentication:alice" */
    const str *audiences;
    uint32_t n_audiences;
    int64_t access_token_s;
    int64_t refresh_idle_s;    /* a refresh token that is not used so long is gone */
    int64_t session_s;         /* a session ends then in any case */
    uint64_t refresh_grace_ms; /* 10000: so long after a rotation the same client gets the same successor */
    enum alg algorithm;
    unsigned rsa_bits; /* 2048 when 0 */
    uint64_t rotate_ms, publish_ahead_ms;
    struct password_cost password;
    unsigned password_concurrent, password_queue;
    struct authentication_rate throttle_account, throttle_address;
    const str *user_bases;
    uint32_t n_user_bases;
    const struct authentication_product *products;
    uint32_t n_products;
    /* hops whose X-Forwarded-For entries are passed over when the client's address is looked for */
    const struct config_network *trusted;
    uint32_t n_trusted;
    bool dev;
};

/* Fills what is zero with the defaults of docs/configuration.md. */
void authentication_settings_default(struct authentication_settings *s);

struct authentication_options {
    const struct authentication_settings *settings;
    struct loop *loop;
    struct store *store; /* of that loop */
    const struct seal *seal;
    struct audit *audit;     /* may be NULL */
    const char *socket_path; /* <data>/authentication.sock */
};

/* ERR_CONFLICT: somebody answers at the socket. ERR_LIMIT, ERR_IO, ERR_NO_MEMORY. */
MUST_USE enum err authentication_new(const struct authentication_options *o, struct authentication **out);
/* No new request; *authentication_idle* tells when none is under way. */
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
