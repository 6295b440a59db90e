/* How types relate in the strict validator. */
#ifndef SALLYPORT_POLICY_TYPES_H
#define SALLYPORT_POLICY_TYPES_H

#include "policy/schema.h"

/* Whether every value of a is one of b (strictly: records with the same attributes, the same entity type). */
bool type_within(const struct type *a, const struct type *b);

/* The least type that holds the values of both, or NULL if there is none. *failed: no memory. */
const struct type *type_join(const struct type *a, const struct type *b, struct arena *mem, bool *failed);

static inline bool type_is_bool(const struct type *t)
{
    return t->kind <= TYPE_BOOL; /* nothing, too, is a boolean */
}

#endif
