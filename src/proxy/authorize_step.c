/* May they? The product must be granted the action, and so must the user when it is the token that counts. */
#include "proxy/exchange.h"

enum step authorize_step(struct exchange *x)
{
    const struct snapshot *snap = x->config->snap;
    const struct snapshot_action *a = x->action;
    if (a->is_public) {
        x->reason = REASON_PUBLIC;
    } else {
        if (!x->product || grants_decide(&snap->grants, &x->product->grantor, 1, a->index) != EFFECT_PERMIT)
            return refuse(x, REASON_PRODUCT_NOT_GRANTED, NULL);
        /* the credential that counts is asked for once more: who has none got here by a mistake of ours */
        if (!(a->accept[x->caller] & x->credential)) return refuse(x, REASON_CALLER_NOT_ACCEPTED, NULL);
        bool by_token = x->credential == ACCEPT_TOKEN;
        if (by_token) {
            const struct caller *who = &x->token->caller;
            if (grants_decide(&snap->grants, who->grantors, who->n_grantors, a->index) != EFFECT_PERMIT)
                return refuse(x, REASON_ACTION_NOT_GRANTED, NULL);
        }
        x->reason = by_token ? REASON_GRANTED : REASON_GRANTED_APIKEY;
    }
    x->effect = EFFECT_PERMIT;
    return STEP_NEXT;
}
