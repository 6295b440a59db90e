/* Which of a request's credentials counts, and what kind of caller it makes (a user, a service, a third party).
 *
 * Only what was verified is looked at: the kind comes from the issuer of the token or from the product of its own
 * credentials, never from what the client says of itself. A pure function of the action's `accept`; zero is nobody, and
 * nobody may do nothing. */
#ifndef SALLYPORT_PROXY_CALLERS_H
#define SALLYPORT_PROXY_CALLERS_H

#include "config/edge.h"
#include "serve/reason.h"

_Static_assert(SCHEME_BEARER == (int)ACCEPT_TOKEN && SCHEME_APIKEY == (int)ACCEPT_APIKEY &&
                   SCHEME_SIGNATURE == (int)ACCEPT_SIGNATURE && SCHEME_CERTIFICATE == (int)ACCEPT_CERTIFICATE,
               "a challenge names what an action accepts");

/* What came and holds. */
struct callers_verified {
    uint8_t credentials;                   /* ACCEPT_* */
    enum caller_kind of_token, of_product; /* CALLER_NONE without */
};

struct callers_choice {
    enum caller_kind kind;
    uint8_t credential; /* the one ACCEPT_* bit that counts */
};

/* ERR_OK: *out. ERR_DENIED: *why, and in *fault the kind that is not accepted, or NULL. A token goes before what only
 * speaks of the product; of those what proves most goes first. */
MUST_USE enum err callers_choose(const uint8_t accept[CALLER_KINDS], const struct callers_verified *v,
                                 struct callers_choice *out, enum reason *why, const char **fault);

#endif
