/* Capabilities: what a test before has made sure of. Behind `e has a &&` the optional attribute a of e may be read,
 * behind `e.hasTag(t) &&` the tag t.
 *
 * A set is a tree in an arena that is only ever added to; NULL is the empty one. Expressions are compared by shape.
 * Functions that make one set *failed if memory is out, and then give what they can. */
#ifndef SALLYPORT_POLICY_CAPABILITY_H
#define SALLYPORT_POLICY_CAPABILITY_H

#include "policy/ast.h"

struct caps;

const struct caps *caps_union(struct arena *mem, bool *failed, const struct caps *a, const struct caps *b);
const struct caps *caps_both(struct arena *mem, bool *failed, const struct caps *a, const struct caps *b);

/* That `on` has the attribute, or if `tag` is given that tag. */
const struct caps *caps_one(struct arena *mem, bool *failed, const struct expr *on, str attr, const struct expr *tag);
bool caps_has(const struct caps *s, const struct expr *on, str attr, const struct expr *tag);

#endif
