/* Making a route table: patterns in, conflicts told, one frozen table in a snapshot's arena out.
 *
 * Private to src/config. One thread. Patterns and names are borrowed until route_build has copied what it keeps. */
#ifndef SALLYPORT_CONFIG_ROUTE_BUILD_H
#define SALLYPORT_CONFIG_ROUTE_BUILD_H

#include "config/pattern.h"
#include "config/route.h"

/* Methods outside METHOD_* that one path may know: they are looked through one by one. */
#define ROUTE_OTHERS_MAX 16

/* What a pattern leads to. */
struct route_entry {
    uint32_t next; /* another entry of the same shape: index + 1, or 0 */
    uint32_t action;
    uint16_t methods; /* bits 1 << METHOD_* */
    uint16_t strip;   /* bytes cut off the path */
    bool any_method;
    uint8_t n_others, n_params;
    const str *others;
    const str *params; /* names */
};

/* What is behind some segments. Node 0 is the root of the explicit routes, node 1 that of the implicit ones. */
struct route_node {
    uint32_t end;   /* entries of patterns that end here: index + 1 */
    uint32_t rest;  /* entries of patterns that end here in {name*} */
    uint32_t param; /* the node behind {name}, or 0 */
    uint32_t edges; /* how many literal segments lead on */
};

/* A literal segment from one node to another, in a hash table of all edges; child 0: free. */
struct route_edge {
    uint32_t parent, child;
    str text;
};

struct route_table {
    uint64_t seed;
    const struct route_node *nodes;
    const struct route_edge *edges;
    const struct route_entry *entries;
    uint32_t n_nodes, n_entries;
    uint32_t mask; /* slots of the edge table - 1 */
};

uint64_t route_hash(uint64_t seed, uint32_t parent, str text);

struct route_builder;

MUST_USE enum err route_builder_new(struct route_builder **out);
void route_builder_free(struct route_builder **b);

/* Adds a match. `strip` is how many bytes of the path are cut off. ERR_CONFLICT: `*other` is the entry (numbered from
 * 0 in the order of adding) that matches the same already. ERR_LIMIT (ROUTE_OTHERS_MAX), ERR_NO_MEMORY. */
MUST_USE enum err route_add(struct route_builder *b, const struct pattern *p, uint32_t action, size_t strip,
                            uint32_t *other);
/* Adds /{service}/…, with the prefix stripped. */
MUST_USE enum err route_add_implicit(struct route_builder *b, str service, uint32_t action);

/* The table, with everything it needs, in `mem`. ERR_NO_MEMORY. */
MUST_USE enum err route_build(const struct route_builder *b, struct arena *mem, struct route_table **out);

#endif
