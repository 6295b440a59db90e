/* The strict validator: policies against a schema, before anything is decided.
 *
 * A policy that passes cannot fail at run time except by integer overflow, a missing entity, or the like; the
 * verdicts are those of Cedar 4.10's strict mode. Every policy is checked once for each kind of request the schema
 * allows. */
#ifndef SALLYPORT_POLICY_TYPECHECK_H
#define SALLYPORT_POLICY_TYPECHECK_H

#include "policy/ast.h"
#include "policy/mistakes.h"
#include "policy/schema.h"

/* Checks policies and templates, and what links put into slots. Mistakes carry the policy's id. ERR_OK: all are
 * valid (there may be warnings). ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err policies_validate(const struct policy_set *set, const struct schema *schema, struct mistakes *m);

#endif
