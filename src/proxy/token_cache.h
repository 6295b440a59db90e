/* Verified tokens, so that the second request of a user costs no signature.
 *
 * One a worker, no locks. An entry is found by a hash and is a hit only if the whole token is equal; it ends at the
 * token's `exp`, when its issuer's keys change or when the configuration does. Whether it was revoked meanwhile is its
 * user's to ask, for which an entry remembers its marks and when it was asked last. Bounded in entries and bytes, and
 * scan-resistant: within a set a token that was never seen again makes room first, so that a flood of new tokens
 * does not push out the ones in use. Holds no proof of possession: that is checked each time. */
#ifndef SALLYPORT_PROXY_TOKEN_CACHE_H
#define SALLYPORT_PROXY_TOKEN_CACHE_H

#include "base/slab.h"
#include "config/snapshot.h"
#include "identity/verify.h"

/* Who is calling, as the token said, ready to be written into headers. Lives as long as its entry. */
struct caller {
    str user_id;     /* encoded, with its issuer's prefix */
    str roles;       /* encoded list */
    str permissions; /* encoded list */
    str client;      /* encoded; may be empty */
    str lines;       /* the four as field lines, ready to be sent; who has no value has no line */
    str product;     /* as named by the token; may be empty */
    const struct snapshot_product *known_product; /* of that name, in the snapshot of the entry; may be NULL */
    uint32_t issuer;                              /* index in the snapshot */
    enum caller_kind kind;                        /* what tokens of that issuer make */
    uint32_t n_grantors;
    const uint16_t *grantors; /* of the roles and permissions that grant something */
    int64_t exp_s;
};

/* What a revocation may speak of (config/fed.h); 0: the token has no such thing. */
enum { MARK_TOKEN = 0, MARK_SESSION, MARK_USER, MARK_PRODUCT, MARKS };

struct token_entry {
    struct caller caller;
    uint64_t hash;
    str token;
    uint64_t snapshot; /* serial of the worker's snapshot it was judged by */
    uint64_t keyset;   /* serial of the key set it was verified with */
    uint64_t checked;  /* serial of the revocations it was last compared with; 0: not yet */
    uint64_t marks[MARKS];
    int64_t iat_s; /* 0: none, which is before any revocation */
    size_t size;
    uint32_t pins;
    uint8_t hits;
    bool linked; /* in the table */
};

/* Entries come from slabs of these sizes: tokens come and go all day, and an allocator that serves them in every size
 * slowly spreads over more and more pages. A larger entry is allocated by itself. */
#define TOKEN_CACHE_SIZES 8

struct token_cache {
    struct slab slabs[TOKEN_CACHE_SIZES];
    struct token_entry **ways; /* sets × TOKEN_CACHE_WAYS */
    uint32_t sets;
    size_t bytes, max_bytes;
    uint64_t found, missed, evicted;
};

#define TOKEN_CACHE_WAYS 8

/* sets: a power of two. The table is made with the first entry. */
void token_cache_init(struct token_cache *c, uint32_t sets, size_t max_bytes);
/* No entry may be pinned. */
void token_cache_free(struct token_cache *c);

/* The entry, pinned, or NULL. `keysets` by issuer index. */
struct token_entry *token_cache_find(struct token_cache *c, str token, int64_t now_s, uint64_t snapshot,
                                     struct keyset *const *keysets);

/* Makes an entry of what was verified, pinned; kept for others if there is room for it. NULL: memory. */
struct token_entry *token_cache_put(struct token_cache *c, str token, const struct claims *claims,
                                    const struct snapshot *snap, uint64_t serial);

void token_cache_unpin(struct token_cache *c, struct token_entry *e);

#endif
