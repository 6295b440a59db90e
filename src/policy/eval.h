/* Decisions: a compiled policy set, entities and one request to allow or deny, with reasons and errors.
 *
 * A decider is one thread's scratch: its arena is emptied at each decision, its arrays are reused, so that a
 * decision allocates nothing from the heap as long as its sets and records fit the first block. */
#ifndef SALLYPORT_POLICY_EVAL_H
#define SALLYPORT_POLICY_EVAL_H

#include "policy/compile.h"
#include "policy/ops.h"

#define DECIDER_ROOM     16384      /* bytes for values made while deciding, before the heap is asked */
#define DECIDER_ROOM_MAX (8u << 20) /* and at most this */

struct policy_request {
    const struct uid *principal, *action, *resource;
    struct value context;     /* a record */
    const struct entity *own; /* what this request alone knows (entity_make); a few, looked at first */
    uint32_t own_n;
};

/* A policy that could not be computed: why, and at which expression. */
struct failure {
    uint32_t policy; /* its index */
    enum eval_fault fault;
    const struct expr *at;
};

struct decider {
    const struct compiled *compiled;
    struct arena scratch;
    char *room;
    uint32_t *seen, generation;              /* by policy: judged in this decision */
    uint32_t *permits, *forbids;             /* indices of what matched */
    struct failure *failures;                /* of the last decision, as its errors */
    const struct policy **reasons, **errors; /* what the decision shows */
    uint32_t errors_n;
    uint32_t judged; /* policies whose scope was looked at, for measuring */
};

/* ERR_NO_MEMORY. The compiled set must outlive the decider. */
MUST_USE enum err decider_init(struct decider *d, const struct compiled *c);
void decider_free(struct decider *d);

/* Decides. *out is DENY whatever happens unless this returns ERR_OK; its arrays are the decider's. ERR_LIMIT: the
 * scratch memory was not enough. */
MUST_USE enum err decide(struct decider *d, const struct entities *es, const struct policy_request *q,
                         struct decision *out);

/* Whether the policy's scope fits the request. */
bool scope_fits(const struct policy *p, const struct policy_request *q, const struct facts *f);

/* One condition of a policy alone (for coverage): its truth, or why it has none. */
enum eval_fault evaluate_condition(struct decider *d, const struct entities *es, const struct policy_request *q,
                                   uint32_t condition, bool *out, const struct expr **fault_at);

/* The value of one expression. */
enum eval_fault evaluate_expr(const struct expr *e, const struct entities *es, const struct policy_request *q,
                              struct arena *mem, struct value *out, const struct expr **fault_at);

#endif
