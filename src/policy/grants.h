/* Coarse grants as bitsets: which actions a role, a permission or a product is granted.
 *
 * A grantor is anything that carries grants; its index is stable within one snapshot. Built once while a snapshot
 * is compiled, read-only afterwards, shared by all threads. Knows nothing of tokens. Zero means DENY: an empty
 * grants value, an unknown grantor and an action out of range all grant nothing. */
#ifndef SALLYPORT_POLICY_GRANTS_H
#define SALLYPORT_POLICY_GRANTS_H

#include "base/arena.h"
#include "policy/decision.h"

struct grants {
    uint64_t *bits; /* grantors × words */
    uint32_t grantors, actions, words;
    bool direct; /* grantor `grantors + a` is granted exactly action a, and needs no bits for that */
};

/* Room for that many grantors and actions, all denied, in the arena. ERR_NO_MEMORY, ERR_LIMIT. */
MUST_USE enum err grants_init(struct grants *g, struct arena *mem, uint32_t grantors, uint32_t actions);

/* Out of range does nothing. */
void grants_add(struct grants *g, uint32_t grantor, uint32_t action);

/* Whether one of the n grantors is granted the action. */
enum effect grants_decide(const struct grants *g, const uint16_t *grantors, size_t n, uint32_t action);

#endif
