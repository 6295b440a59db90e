/* The closed list of reasons a request ends with: stable codes, in one table.
 *
 * The table drives the problem a client gets, WWW-Authenticate, the metrics' label, `sallyport why` and
 * docs/reasons.md. A code is never renamed and never reused. Zero is our own fault (500): whoever forgets to say
 * why refuses. Knows nothing of how a reason came about. */
#ifndef SALLYPORT_SERVE_REASON_H
#define SALLYPORT_SERVE_REASON_H

#include "base/str.h"

enum reason {
    REASON_INTERNAL = 0,
    /* permitted */
    REASON_GRANTED,        /* a role or permission of the user, and the product */
    REASON_GRANTED_APIKEY, /* the product's key alone was enough */
    REASON_PUBLIC,         /* the action is public */
    /* the request itself */
    REASON_REQUEST_MALFORMED,
    REASON_PATH_REFUSED,
    REASON_UPGRADE_REFUSED,
    REASON_EXPECTATION_FAILED,
    REASON_TARGET_TOO_LONG,
    REASON_HEAD_TOO_LARGE,
    REASON_BODY_TOO_LARGE,
    REASON_BODY_MALFORMED,
    REASON_CODING_UNSUPPORTED,
    REASON_VERSION_UNSUPPORTED,
    REASON_REQUEST_TIMEOUT, /* head or body came too slowly */
    REASON_LOOP_DETECTED,
    REASON_HOP_LIMIT,
    /* the route */
    REASON_NO_ROUTE,
    REASON_METHOD_NOT_ALLOWED,
    REASON_METHOD_UNKNOWN, /* not one that could be declared at all */
    /* who is calling */
    REASON_NO_CREDENTIAL, /* neither token nor key, either would do */
    REASON_APIKEY_MISSING,
    REASON_APIKEY_MALFORMED, /* also: sent twice */
    REASON_APIKEY_UNKNOWN,
    REASON_APIKEY_DISABLED,
    REASON_APIKEY_EXPIRED,
    REASON_TOKEN_MISSING,
    REASON_TOKEN_MALFORMED, /* also: Authorization sent twice, not a compact JWS, beyond the bounds of form */
    REASON_TOKEN_TYPE,
    REASON_TOKEN_ALGORITHM,
    REASON_TOKEN_KEY_UNKNOWN,
    REASON_TOKEN_SIGNATURE,
    REASON_TOKEN_ISSUER_UNKNOWN,
    REASON_TOKEN_AUDIENCE,
    REASON_TOKEN_EXPIRED,
    REASON_TOKEN_REVOKED,
    REASON_TOKEN_NOT_YET_VALID,
    REASON_TOKEN_CLAIMS,  /* a required claim is missing or has the wrong form */
    REASON_TOKEN_PRODUCT, /* its issuer may not vouch for the product, or it names none */
    REASON_CLAIM_UNSAFE,  /* a claim that cannot be carried in a header */
    REASON_PRODUCT_MISMATCH,
    REASON_KEYS_UNAVAILABLE,
    REASON_FEED_STALE, /* nothing was heard from the store for longer than the lease: what was revoked is not known */
    /* may they */
    REASON_ACTION_NOT_GRANTED,
    REASON_PRODUCT_NOT_GRANTED,
    /* how often */
    REASON_RATE_LIMITED,    /* of the edge, the action or the product; `fault` names the limit */
    REASON_QUOTA_EXHAUSTED, /* of the product, until its window ends */
    REASON_QUOTA_UNKNOWN,   /* what is left of it cannot be learned: the store does not answer */
    /* permitted, but it did not come to an answer */
    REASON_UPSTREAM_NONE,    /* no instance to send it to */
    REASON_UPSTREAM_CONNECT, /* refused, unreachable, or not within timeouts.connect */
    REASON_UPSTREAM_CLOSED,  /* closed before its response was whole */
    REASON_UPSTREAM_GARBAGE, /* what it sent is not a response we accept */
    REASON_UPSTREAM_TIMEOUT, /* no response head within timeouts.response */
    REASON_DEADLINE,         /* timeouts.total */
    REASON_CLIENT_CLOSED,    /* logged only: nobody is left to answer */
    /* ourselves */
    REASON_OVERLOADED,
    REASON_DRAINING,
    /* who is calling, in another way than by token and key */
    REASON_CALLER_NOT_ACCEPTED, /* it holds, but is not accepted here of that kind of caller */
    REASON_SIGNATURE_MISSING,
    REASON_SIGNATURE_WRONG,
    REASON_CERTIFICATE_MISSING,
    REASON_CERTIFICATE_UNKNOWN,
    /* permitted, but its service has no room for it now */
    REASON_POOL_EXHAUSTED,    /* no connection free in time, or too many wait for one already */
    REASON_BREAKER_OPEN,      /* of that kind of caller */
    REASON_CONCURRENCY_LIMIT, /* too many of that kind of caller under way */
    /* admin listener and control socket */
    REASON_HOST_REFUSED,
    REASON_ORIGIN_REFUSED,
    REASON_MEDIA_TYPE_REFUSED,
    REASON_NOT_FOUND,
    REASON_DECISION_UNKNOWN,
    REASON_CONFIG_REFUSED,
    /* the Authentication Service */
    REASON_LOGIN_FAILED, /* unknown user, wrong password, disabled: the same to whoever asks */
    REASON_LOGIN_THROTTLED,
    REASON_LOGIN_NOT_ALLOWED, /* the product has no logins */
    REASON_PRODUCT_PROOF_MISSING,
    REASON_PRODUCT_PROOF_WRONG,
    REASON_SIGNATURE_REPLAYED,
    REASON_REFRESH_INVALID,
    REASON_REFRESH_REUSED,
    REASON_PASSWORDS_BUSY,
    REASON_STORE_UNAVAILABLE,
    REASON_SIGNING_KEY_NONE,
    REASON_COUNT
};

/* What WWW-Authenticate says with the reason. */
enum reason_challenge {
    CHALLENGE_NONE = 0,
    CHALLENGE_BEARER,             /* Bearer realm, reason */
    CHALLENGE_INVALID_TOKEN,      /* …, error="invalid_token" (RFC 6750 §3.1) */
    CHALLENGE_INSUFFICIENT_SCOPE, /* …, error="insufficient_scope" */
    CHALLENGE_APIKEY,             /* ApiKey realm, reason */
    CHALLENGE_SIGNATURE,          /* Signature realm, reason: RFC 9421 */
    CHALLENGE_ACCEPTED            /* every scheme that is accepted there; where that is not known Bearer and ApiKey */
};

/* What may be accepted: the bits of config's ACCEPT_*. A client certificate has no scheme of its own. */
enum { SCHEME_BEARER = 1, SCHEME_APIKEY = 2, SCHEME_SIGNATURE = 4, SCHEME_CERTIFICATE = 8 };

struct reason_info {
    const char *code; /* "token_expired": stable, [a-z_]+ */
    uint16_t status;  /* 0 for the reasons of a permit: the upstream's own */
    bool close;       /* the connection cannot be trusted to be in step after it */
    enum reason_challenge challenge;
    const char *title;   /* outward: short, names no rule */
    const char *explain; /* to the operator: what happened; a whole sentence, at most 256 bytes */
    const char *remedy;  /* to the operator: what to do; {action} {product} {method} {path} {upstream} are filled in */
};

/* Never NULL; what is out of range is REASON_INTERNAL. */
const struct reason_info *reason_info(enum reason r);
const char *reason_code(enum reason r);
/* ERR_NOT_FOUND. */
MUST_USE enum err reason_of(str code, enum reason *out);
/* Whether it is one of those a permit that went well ends with. */
bool reason_is_permit(enum reason r);

#endif
