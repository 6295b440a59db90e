/* Policies without sugar: what the validator and partial evaluation work on.
 *
 * a != b becomes !(a == b), > and >= become !(<=) and !(<), has a.b.c a chain of &&, x is T in y an &&, and && and
 * || of two literals the literal. The scope becomes expressions too. */
#ifndef SALLYPORT_POLICY_CORE_H
#define SALLYPORT_POLICY_CORE_H

#include "policy/ast.h"

/* NULL without memory or if the result would be nested too deeply. */
const struct expr *expr_core(struct arena *mem, const struct expr *e);

/* One scope as an expression; a slot becomes EXPR_UNKNOWN "?principal". */
const struct expr *scope_core(struct arena *mem, const struct scope *s, enum var var);

/* All conditions as one: true if there are none. */
const struct expr *conditions_core(struct arena *mem, const struct policy *p);

#endif
