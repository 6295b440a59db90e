/* May they? The product must be granted the action, and so must the user when it is the token that is accepted. */
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
        bool by_user = x->token && a->accept[CALLER_USER] & ACCEPT_TOKEN;
        if (by_user) {
            const struct caller *who = &x->token->caller;
            if (grants_decide(&snap->grants, who->grantors, who->n_grantors, a->index) != EFFECT_PERMIT)
                return refuse(x, REASON_ACTION_NOT_GRANTED, NULL);
        } else if (!(a->accept[CALLER_USER] & ACCEPT_APIKEY)) {
            return refuse(x, REASON_TOKEN_MISSING, NULL);
        }
        x->reason = by_user ? REASON_GRANTED : REASON_GRANTED_APIKEY;
    }
    x->effect = EFFECT_PERMIT;
    return STEP_NEXT;
}
