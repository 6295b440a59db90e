/* Shared by typecheck.c and typecheck_expr.c only. */
#ifndef SALLYPORT_POLICY_TYPECHECK_INTERNAL_H
#define SALLYPORT_POLICY_TYPECHECK_INTERNAL_H

#include "policy/typecheck.h"

/* One kind of request the schema allows. */
struct request_env {
    const struct action_type *action;
    str principal, resource;           /* entity types */
    str principal_slot, resource_slot; /* what a template's slots hold; empty if it has none */
};

struct checker {
    const struct schema *schema;
    const struct request_env *env;
    struct arena *mem; /* types and capabilities made on the way */
    struct mistakes *m;
    bool no_memory;
};

/* Adds a mistake unless the same one is there already (each environment would find it anew). */
void check_mistake(struct checker *c, enum policy_fault fault, const struct expr *e, str help, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/* The type of a core expression that must be a boolean; NULL if it has none. *ok: it checks. */
const struct type *check_condition(struct checker *c, const struct expr *e, bool *ok);

/* Whether an entity of type a may be in one of type b, by the hierarchies of the schema. */
bool schema_type_in(const struct schema *s, str a, str b);

/* Whether the action is the other one or a descendant of it. */
bool schema_action_in(const struct action_type *a, const struct action_type *ancestor);

#endif
