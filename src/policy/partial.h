/* Partial evaluation: what is left of a policy set when part of the request is not known.
 *
 * Unknown may be the principal, the action, the resource, the context as a whole, and any attribute given as
 * {"__extn": {"fn": "unknown", "arg": "name"}}. A policy is then true, false, erring, or leaves a residual: an
 * expression that is true for exactly those completions for which the policy applies. An unknown variable stands in it
 * as itself, so that the residual is a policy; an unknown attribute as unknown("name"). */
#ifndef SALLYPORT_POLICY_PARTIAL_H
#define SALLYPORT_POLICY_PARTIAL_H

#include "policy/ast.h"
#include "policy/ops.h"

struct partial_request {
    const struct uid *principal, *action, *resource; /* NULL: unknown */
    str principal_type, resource_type;               /* of an unknown one, if known; else empty */
    const struct value *context;                     /* NULL: unknown; may hold unknowns */
    const struct entity *own;                        /* as in struct policy_request */
    uint32_t own_n;
};

enum partial_truth { PARTIAL_FALSE, PARTIAL_TRUE, PARTIAL_ERROR, PARTIAL_RESIDUAL };

struct partial_policy {
    const struct policy *policy;
    enum partial_truth truth;
    enum eval_fault fault;
    const struct policy *residual; /* RESIDUAL: same id and annotations, open scope, one condition */
};

struct partial_decision {
    bool decided;                          /* no completion can change it */
    enum effect effect;                    /* if decided */
    const struct partial_policy *policies; /* all, in the order of the set */
    uint32_t n;
};

/* Everything made lives in the arena. ERR_NO_MEMORY. */
MUST_USE enum err partial_decide(const struct policy_set *set, const struct entities *es,
                                 const struct partial_request *q, struct arena *mem, struct partial_decision *out);

/* Whether the policy may be, or must be, among the reasons of the final decision. */
bool partial_may_determine(const struct partial_decision *d, const struct partial_policy *p);
bool partial_must_determine(const struct partial_decision *d, const struct partial_policy *p);

#endif
