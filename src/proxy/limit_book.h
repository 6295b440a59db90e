/* The limits of a snapshot, worked out for requests: rates as intervals, policies as text, the quotas of products.
 *
 * Made by a worker with its snapshot and gone with it; immutable. The words that count are elsewhere (limiter.h), found
 * by the limits' ids, so a new book with the same limits forgets nothing. */
#ifndef SALLYPORT_PROXY_LIMIT_BOOK_H
#define SALLYPORT_PROXY_LIMIT_BOOK_H

#include "config/snapshot.h"
#include "proxy/limiter.h"
#include "proxy/quota.h"

#define LIMITS_EACH 16 /* most limits of an action, of a product, of the edge */

struct limit_rule {
    uint64_t id;
    struct limiter_rate rate;
    enum limit_per per;
    str name;         /* "payOrder" */
    str item;         /* "\"payOrder\"": what the policy begins with */
    str policy;       /* "\"payOrder\";q=5;w=60" */
    const char *told; /* "payOrder: 5 in 60 s for each user, 5 at once" */
};

struct limit_rules {
    const struct limit_rule *v;
    uint32_t n;
};

struct limit_book {
    struct limit_rules edge;
    struct limit_rules *actions, *products; /* by index of the snapshot */
    struct quota **quotas;                  /* of products; NULL: none */
    uint64_t *marks;                        /* keyed hashes of the actions' names */
};

/* `quotas`: where the products' are found; may be NULL, then there are none. More than LIMITS_EACH in a place:
 * ERR_LIMIT. ERR_NO_MEMORY. */
MUST_USE enum err limit_book_new(const struct snapshot *snap, const struct quotas *quotas, struct limit_book **out);
void limit_book_free(struct limit_book **b);

#endif
