/* The route table: from a method and a canonical path to an action, at a cost that the number of routes does not
 * change.
 *
 * A trie whose edges live in one hash table, so that a step costs one probe whatever the fan-out. Part of a
 * snapshot: read-only, shared by all threads. Knows nothing of who is calling. The path is taken in the one form
 * that codec/url.h makes canonical; nothing is decoded here.
 *
 * Precedence: segment by segment from the left, literal before {name} before {name*}; among what matches so, the
 * method must match too. An explicit action's path, whatever its methods, hides the implicit routes. */
#ifndef SALLYPORT_CONFIG_ROUTE_H
#define SALLYPORT_CONFIG_ROUTE_H

#include "base/arena.h"
#include "http/message.h"

#define ROUTE_PARAMS_MAX 8

struct route_table;

enum route_match {
    ROUTE_NONE = 0, /* no such path */
    ROUTE_METHOD,   /* the path is known, the method is not: `allow` says which are; `action` is one that is there */
    ROUTE_FOUND
};

struct route_param {
    str name;  /* lives as long as the snapshot */
    str value; /* a slice of the path; for {name*} the rest without its leading '/' */
};

struct route {
    enum route_match match;
    uint32_t action;  /* index into the snapshot's actions */
    uint16_t allow;   /* ROUTE_METHOD: bits 1 << METHOD_*; methods outside the enum are not told */
    uint8_t n_params; /* in the order of the pattern */
    str forward;      /* the path to send upstream: a slice of the path behind the stripped prefix, or "/" */
    struct route_param params[ROUTE_PARAMS_MAX];
};

/* `path` begins with '/', without query, canonical. Always fills *out. METHOD_CONNECT and METHOD_TRACE match no
 * route. GET routes answer HEAD. Never allocates, never fails; at most one look at each byte a trie branch. */
void route_find(const struct route_table *table, enum method method, str method_text, str path, struct route *out);

#endif
