#include "proxy/callers.h"

static bool is_kind(enum caller_kind k)
{
    return k > CALLER_NONE && k < CALLER_KINDS;
}

/* Nothing came: if only one thing would do, that is what is missing. */
static enum reason missing(uint8_t any)
{
    switch (any) {
    case ACCEPT_TOKEN: return REASON_TOKEN_MISSING;
    case ACCEPT_APIKEY: return REASON_APIKEY_MISSING;
    case ACCEPT_SIGNATURE: return REASON_SIGNATURE_MISSING;
    case ACCEPT_CERTIFICATE: return REASON_CERTIFICATE_MISSING;
    default: return REASON_NO_CREDENTIAL;
    }
}

/* What came holds, and is not enough, or not what is wanted. A key without the token it goes with, and the other way
 * round, are half of something good. */
static enum reason not_enough(const uint8_t accept[CALLER_KINDS], const struct callers_verified *v)
{
    bool token = v->credentials & ACCEPT_TOKEN;
    if (!token && is_kind(v->of_product) && accept[v->of_product] == ACCEPT_TOKEN) return REASON_TOKEN_MISSING;
    if (v->credentials == ACCEPT_TOKEN && is_kind(v->of_token) && accept[v->of_token] == ACCEPT_APIKEY)
        return REASON_APIKEY_MISSING;
    return REASON_CALLER_NOT_ACCEPTED;
}

enum err callers_choose(const uint8_t accept[CALLER_KINDS], const struct callers_verified *v,
                        struct callers_choice *out, enum reason *why, const char **fault)
{
    static const uint8_t of_product[] = {ACCEPT_SIGNATURE, ACCEPT_CERTIFICATE, ACCEPT_APIKEY};
    bool token = v->credentials & ACCEPT_TOKEN;
    *fault = NULL;
    if (token && is_kind(v->of_token) && accept[v->of_token] & ACCEPT_TOKEN) {
        *out = (struct callers_choice){v->of_token, ACCEPT_TOKEN};
        return ERR_OK;
    }
    for (size_t i = 0; is_kind(v->of_product) && i < ARRAY_LEN(of_product); i++) {
        if (!(v->credentials & accept[v->of_product] & of_product[i])) continue;
        *out = (struct callers_choice){v->of_product, of_product[i]};
        return ERR_OK;
    }
    if (v->credentials) {
        *why = not_enough(accept, v);
        if (*why == REASON_CALLER_NOT_ACCEPTED) *fault = caller_kind_name(token ? v->of_token : v->of_product);
    } else {
        *why = missing(accept[CALLER_USER] | accept[CALLER_SERVICE] | accept[CALLER_THIRD_PARTY]);
    }
    return ERR_DENIED;
}
