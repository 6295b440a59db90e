/* What a policy says and what a decision is: shared by grants and the Cedar language. Zero is DENY. */
#ifndef SALLYPORT_POLICY_DECISION_H
#define SALLYPORT_POLICY_DECISION_H

#include "base/str.h"

enum effect { EFFECT_DENY = 0, EFFECT_PERMIT };

struct policy;

/* A decision = effect + why. The arrays live in the decider that made it, until its next decision. {0} is DENY
 * for no reason. */
struct decision {
    enum effect effect;
    uint32_t reasons_n;                  /* determining policies: the forbids, or else the permits, that matched */
    uint32_t errors_n;                   /* policies whose condition could not be computed: they count for nothing */
    const struct policy *const *reasons; /* in the order of the policy set */
    const struct policy *const *errors;
};

#endif
