/* A signed body is looked at before any of it leaves: taken in whole, compared with the digest that was signed, and
 * only then forwarded. What may ask and how much is decided by now, so strangers make us hold nothing. */
#include "identity/http_signature.h"
#include "proxy/exchange.h"

static enum step take(struct exchange *x)
{
    size_t max = x->config->snap->limits.buffer;
    uint64_t announced = x->down.request.body;
    str body;
    if (announced != BODY_UNKNOWN && announced > max) return refuse(x, REASON_BODY_TOO_LARGE, "signed");
    enum err e = held_body_take(x, max, &body);
    if (e == ERR_AGAIN) {
        if (x->down.request.expect_continue && !x->asked_for_body)
            (void)!x->down.ops->interim(&x->down, &(struct response){.status = 100});
        x->asked_for_body = true;
        exchange_stage(x, STAGE_BODY, x->deadline_ms);
        return STEP_WAIT;
    }
    if (e == ERR_LIMIT) return refuse(x, REASON_BODY_TOO_LARGE, "signed");
    if (e == ERR_NO_MEMORY) return refuse(x, REASON_OVERLOADED, "buffers");
    if (e == ERR_CLOSED) return refuse(x, REASON_CLIENT_CLOSED, NULL);
    if (e != ERR_OK) return refuse(x, REASON_BODY_MALFORMED, NULL);
    x->stage = STAGE_NONE;
    if (content_digest_check(x->signed_digest, body) != ERR_OK)
        return refuse(x, REASON_SIGNATURE_WRONG, http_signature_fault_name(HTTP_SIGNATURE_FAULT_DIGEST));
    return STEP_NEXT;
}

enum step body_step(struct exchange *x)
{
    return LIKELY(!x->signed_digest.n) ? STEP_NEXT : take(x);
}
