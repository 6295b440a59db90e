/* What the configuration says about a decision, in words: for problems in dev mode and for `why`. */
#ifndef SALLYPORT_PROXY_FACTS_H
#define SALLYPORT_PROXY_FACTS_H

#include "proxy/exchange.h"

/* "action payOrder is granted to roles buyer; may: mobile-app", cut to cap; empty when there is no action. */
str facts_rule(const struct exchange *x, char *room, size_t cap);

/* Names, separated by ", ", of the roles, permissions and products that are granted the action. */
struct action_facts {
    str roles, permissions, products;
};
/* .p NULL in a member: memory. */
void facts_of(const struct snapshot *snap, const struct snapshot_action *a, struct arena *mem,
              struct action_facts *out);

#endif
