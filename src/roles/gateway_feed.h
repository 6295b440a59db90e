/* The gateway as a watcher of the store: what is in space control becomes what its workers decide by.
 *
 * One watch with a lease. API keys and revocations go into the tables that all workers read (config/fed.h); keys of the
 * Authentication Service into its issuer's key set; products into a new snapshot, at most every 20 ms. A change is
 * confirmed to the store when every worker has applied the feed record that followed it, never before. One record is
 * under way at a time: what comes meanwhile goes with the next, so a flood of changes costs the workers few letters.
 * Apisecrets that products sign requests with go into the snapshot as well (gateway_secrets.h).
 *
 * Fail closed: until the first whole view is in force, when the lease is over, and when something could not be taken in
 * (no memory, beyond the bounds), nothing is accepted that the store could have taken back. Owner: the control thread.
 */
#ifndef SALLYPORT_ROLES_GATEWAY_FEED_H
#define SALLYPORT_ROLES_GATEWAY_FEED_H

#include "config/config.h"
#include "identity/keyset.h"
#include "store/store.h"

struct gateway;
struct snapshot;
struct gateway_feed;

struct gateway_feed_status {
    bool in_force;            /* a whole view is, and its lease holds */
    const char *why;          /* not: why, in words; a constant */
    bool linked;              /* a connection to the store stands */
    struct store_position at; /* what every worker has applied */
    uint64_t age_ms;          /* since the store was last heard, as far as the lease counts it; UINT64_MAX: never */
    size_t keys, revocations, products, bytes;
    uint64_t resyncs;
};

/* Takes the store over, in any case. Watching begins with gateway_feed_start. ERR_NO_MEMORY. */
MUST_USE enum err gateway_feed_new(struct gateway *g, struct store *store, struct gateway_feed **out);
/* ERR_NO_MEMORY, ERR_LIMIT. */
MUST_USE enum err gateway_feed_start(struct gateway_feed *f);
/* Another process follows the store from now on: this one's client of it goes. What was fed counts until the lease
 * ends.
 */
void gateway_feed_leave(struct gateway_feed *f);
/* Its client of the store, for who has other business there. */
struct store *gateway_feed_store(const struct gateway_feed *f);
/* The lease is given back. NULL is fine. Workers may still read what was fed. */
void gateway_feed_free(struct gateway_feed **f);

/* On a worker's thread: it has applied a record. */
void gateway_feed_applied(void *gateway);

/* Products of the store, for the next snapshot: an array in `mem`. ERR_NO_MEMORY. */
MUST_USE enum err gateway_feed_products(const struct gateway_feed *f, struct arena *mem,
                                        const struct config_product **out, uint32_t *n);
/* Gives a new snapshot, which nobody else has yet, the apisecrets that its products sign requests with. */
void gateway_feed_secrets(struct gateway_feed *f, struct snapshot *snap);
/* Public keys of the Authentication Service as last fed, borrowed; NULL: none. */
struct keyset *gateway_feed_keys_now(const struct gateway_feed *f);
/* A snapshot with the products of now is on its way to the workers, whoever made it. */
void gateway_feed_snapshot_sent(struct gateway_feed *f);

void gateway_feed_status(const struct gateway_feed *f, struct gateway_feed_status *out);

#endif
