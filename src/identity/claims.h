/* The claims of a payload whose signature holds: times, audience, subject, and what an issuer may say of its users.
 * For the verifiers of this folder. */
#ifndef SALLYPORT_IDENTITY_CLAIMS_H
#define SALLYPORT_IDENTITY_CLAIMS_H

#include "identity/verify.h"

/* The registered members, found in one pass over the payload; NULL: absent. */
struct claims_found {
    const struct json *iss, *sub, *aud, *exp, *nbf, *iat, *jti, *sid, *cnf;
    bool other_kind; /* members that only ID tokens, refresh tokens and events have */
};

struct claims_found claims_find(const struct json *payload);

/* What every mode of verifying asks of them. */
struct claims_rule {
    const str *audiences; /* NULL: not checked, if well formed */
    uint32_t n_audiences;
    enum typ_rule typ;
    int64_t now_s, leeway_s, skew_s;
};

/* Times, audience, subject, kind. exp_s (the first second it is not good any more) and iat_s (0: none) are written on
 * JWT_FAULT_NONE only. */
enum jwt_fault claims_check(const struct claims_found *found, const struct claims_rule *rule, int64_t *exp_s,
                            int64_t *iat_s);

/* sub, client, product, roles and permissions of `out`, by the issuer's paths and what it may assert. */
enum jwt_fault claims_map(const struct json *payload, const struct issuer *issuer, struct arena *mem,
                          struct claims *out);

#endif
