/* The keys that sign access tokens, kept in the store and in step with every other process that signs.
 *
 * Follows space authentication ("signing-…"), does what services/signing_plan.h says is due, publishes the public
 * halves (space control, issuer-keys/authentication) and lets a new key sign only when every live verifier has
 * confirmed it or holds no lease any more. One job of the store at a time; everything is decided by conditional
 * writes. Owner: one loop. */
#ifndef SALLYPORT_SERVICES_SIGNING_KEYS_H
#define SALLYPORT_SERVICES_SIGNING_KEYS_H

#include "crypto/seal.h"
#include "services/signing_plan.h"

struct audit;
struct offload;

/* A private key, counted by this loop only; it may be used by one other thread while a reference is held. */
struct signing_key {
    unsigned refs;
    enum alg alg;
    struct signer *signer;
    char kid[SIGNING_KID_MAX];
    size_t kid_n;
};
struct signing_key *signing_key_ref(struct signing_key *k);
void signing_key_unref(struct signing_key **k);
/* Opens the seal; one reference. NULL: another seal, no key, or no memory. */
struct signing_key *signing_key_open(const struct seal *seal, const struct signing_plan_key *p);
/* Where a key is sealed for. */
str signing_key_place(struct record_key *room, str kid);

struct signing_keys;

struct signing_keys_options {
    struct loop *loop;
    struct store *store;
    const struct seal *seal;
    struct audit *audit;
    struct offload *pool; /* RSA keys are made there: that takes up to a second */
    struct signing_policy policy;
};

/* Begins at once. ERR_NO_MEMORY, ERR_LIMIT. */
MUST_USE enum err signing_keys_new(const struct signing_keys_options *o, struct signing_keys **out);
void signing_keys_policy(struct signing_keys *k, const struct signing_policy *policy);
/* Its watch must still be possible to stop: before the store is freed. A job under way ends with the store. */
void signing_keys_stop(struct signing_keys *k);
void signing_keys_free(struct signing_keys **k);

/* The key that signs, without a reference; NULL: there is none yet. */
struct signing_key *signing_keys_current(const struct signing_keys *k);
/* The condition under which it does: {STORE_CHECK, STORE_VERSION} on SIGNING_TURN_KEY in the batch of a session. */
uint64_t signing_keys_turn_version(const struct signing_keys *k);
/* The JWKS of all keys that verify. */
str signing_keys_jwks(const struct signing_keys *k);
uint64_t signing_keys_made(const struct signing_keys *k);

/* The condition did not hold: looks again and says when it has. */
struct signing_wait {
    struct signing_wait *next;
    void (*ready)(struct signing_wait *w);
};
void signing_keys_again(struct signing_keys *k, struct signing_wait *w);

#endif
