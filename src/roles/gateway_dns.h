/* The names that instances of services have: looked up before a configuration that has new ones comes into force, and
 * kept fresh from then on. A name is asked for again when its time to live is over; other addresses are another
 * snapshot.
 *
 * What is in force stays in force until something better is known: a name server that is away, refuses, or says that
 * there is no such name takes no instance away (the idea of RFC 8767). Questions are spread in time and bounded; only
 * gateway_dns_first waits. Owner: the control thread. Knows no connection and no worker. */
#ifndef SALLYPORT_ROLES_GATEWAY_DNS_H
#define SALLYPORT_ROLES_GATEWAY_DNS_H

#include "config/snapshot.h"
#include "net/loop.h"

struct gateway_dns;

struct gateway_dns_env {
    struct loop *loop;
    const char *hosts_path, *resolv_path; /* NULL: the system's */
    /* The addresses of names of the snapshot that was last followed have changed: builds another one and follows that.
     * ERR_OK; else it is called again later. */
    enum err (*changed)(void *ctx, const struct snapshot_addresses *now);
    /* What gateway_dns_want has waited for is there. */
    void (*ready)(void *ctx);
    void *ctx;
};

/* ERR_NO_MEMORY. */
MUST_USE enum err gateway_dns_new(const struct gateway_dns_env *env, struct gateway_dns **out);
/* NULL is fine. */
void gateway_dns_free(struct gateway_dns **n);

/* --- before a configuration is compiled --- */

/* Looks up what is not known of its names. True: nothing is missing, or what is missing could not be found out either.
 * False: env->ready follows, in DNS_TIMEOUT_MS at most; the question is then to be asked again. */
bool gateway_dns_want(struct gateway_dns *n, const struct config *c);
/* The same before the loop runs: waits for them, all at once, in DNS_TIMEOUT_MS at most. */
void gateway_dns_first(struct gateway_dns *n, const struct config *c);
/* config_source.names; the ctx is a struct gateway_dns. */
enum err gateway_dns_names(void *names, str host, uint16_t port, bool srv, struct source_address out[SOURCE_ADDRS],
                           size_t *count, char why[SOURCE_WHY]);

/* --- from then on --- */

/* That snapshot is in force from now on: its names are followed, and no others. */
void gateway_dns_follow(struct gateway_dns *n, const struct snapshot *snap);
/* No more questions and no more changes: the gateway drains. */
void gateway_dns_stop(struct gateway_dns *n);

struct gateway_dns_status {
    uint32_t names, failing;
    str one;                             /* of those that fail; empty: none */
    uint64_t lookups, failures, changes; /* so far */
};
void gateway_dns_status(const struct gateway_dns *n, struct gateway_dns_status *out);

#endif
