/* Is this token good, and what does it say? The token profile for user tokens, in the order form, header, key,
 * signature, claims: before the signature holds, nothing leaves this module but under a name that says `unverified`.
 *
 * Does no I/O, reads no clock, fetches no key: what is missing is named, and the caller may come back. One `struct
 * verifier` a thread. */
#ifndef SALLYPORT_IDENTITY_VERIFY_H
#define SALLYPORT_IDENTITY_VERIFY_H

#include "identity/issuer.h"
#include "identity/keyset.h"

#define TOKEN_MAX_LEN       16384
#define TOKEN_MAX_AUDIENCES 64
#define TOKEN_MAX_SUBJECT   256 /* characters */
#define TOKEN_MAX_VALUES    256 /* roles, and permissions, before what may not be asserted is left out */
#define TOKEN_SKEW_S        5   /* nbf and iat at a running gate */

/* Why a token was refused. JWT_FAULT_NONE is never set on a refusal. */
enum jwt_fault {
    JWT_FAULT_NONE = 0,
    JWT_FAULT_SIZE,             /* longer than 16 kB */
    JWT_FAULT_FORM,             /* not three parts */
    JWT_FAULT_ENCRYPTED,        /* five parts: a JWE */
    JWT_FAULT_BASE64,           /* a part is not canonical base64url */
    JWT_FAULT_HEADER,           /* the header is no strict JSON object, or a member has the wrong type */
    JWT_FAULT_CRIT,             /* `crit`, `b64`, `zip` or `enc`: extensions that we do not understand */
    JWT_FAULT_ALG,              /* no algorithm of ours ("none" too), or not one of this issuer's */
    JWT_FAULT_TYP,              /* another kind of token */
    JWT_FAULT_PAYLOAD,          /* the payload is no strict JSON object, or has more than 256 claims */
    JWT_FAULT_ISS,              /* `iss` missing, no string, or not the one expected */
    JWT_FAULT_UNKNOWN_ISSUER,   /* nobody configured that `iss` */
    JWT_FAULT_KEYS_UNAVAILABLE, /* the issuer's keys have not been loaded yet; its index is told */
    JWT_FAULT_UNKNOWN_KID,      /* its keys are there, but none of that name; its index is told */
    JWT_FAULT_KEY_MISMATCH,     /* a key of that name, but not for this algorithm */
    JWT_FAULT_KEY_AMBIGUOUS,    /* more than one key fits */
    JWT_FAULT_SIGNATURE,        /* not this key's signature of these bytes */
    JWT_FAULT_EXP,              /* `exp` missing or no finite number */
    JWT_FAULT_EXPIRED,
    JWT_FAULT_TIME,         /* `nbf` or `iat` is no finite number */
    JWT_FAULT_NOT_YET,      /* `nbf` is in the future */
    JWT_FAULT_ISSUED_LATER, /* `iat` is in the future */
    JWT_FAULT_AUD,          /* `aud` missing, malformed, too many, or none of ours */
    JWT_FAULT_SUB,          /* subject missing, blank, too long, or with control characters */
    JWT_FAULT_CLAIM,        /* another claim is malformed or holds control characters */
    JWT_FAULT_KIND,         /* an ID token, refresh token or event where an access token belongs */
    JWT_FAULT_PRODUCT,      /* names a product that its issuer may not vouch for */
    JWT_FAULT_BOUND,        /* bound to a key (`cnf`) and presented without it */
    JWT_FAULT_MEMORY
};

/* A stable word for logs and reason codes: "expired"; never NULL. */
const char *jwt_fault_name(enum jwt_fault f);

/* What a verified token says. Slices live in the arena it was verified with, or in the token itself. */
struct claims {
    uint32_t issuer; /* its index */
    str sub;         /* what the issuer's `user` path named */
    str client;      /* empty: none */
    str product;     /* one the issuer may vouch for; empty: the token names none and the issuer has not exactly one */
    const str *roles, *permissions; /* only what the issuer may assert, none empty, none twice */
    uint32_t n_roles, n_permissions;
    uint32_t filtered; /* roles and permissions left out: not this issuer's to assert, or no strings */
    int64_t exp_s;     /* the first second at which it is not good any more, the issuer's leeway included */
    int64_t iat_s;     /* 0: none */
    str jti, kid;      /* empty: none */
    str sid;           /* the session it belongs to (OpenID Connect Front-Channel Logout §3); empty: none */
    enum alg alg;
    uint64_t keyset; /* serial of the set its key came from */
};

/* What a refusal leaves for the caller. */
struct jwt_refusal {
    enum jwt_fault fault;
    bool has_issuer;    /* `issuer` is set: what the token claims, not what is proved */
    uint32_t issuer;    /* index of the unverified issuer */
    str unverified_kid; /* in the arena; empty: none */
};

/* What a worker verifies with. `keysets` is indexed by issuer->index; NULL entries are not loaded yet. All borrowed for
 * the time of a call. */
struct verifier {
    struct verify_ctx *ctx;
    const struct issuer *(*find)(const void *of, str unverified_iss); /* the issuer of exactly that iss, or NULL */
    const void *of;
    struct keyset *const *keysets;
    uint32_t n_keysets;
    int64_t skew_s; /* TOKEN_SKEW_S */
};

/* The token of a request. ERR_OK: every check passed and *out is written. Otherwise *why says which did not:
 * ERR_MALFORMED, ERR_LIMIT, ERR_DENIED; ERR_AGAIN for JWT_FAULT_KEYS_UNAVAILABLE; ERR_NO_MEMORY. */
MUST_USE enum err access_token_verify(const struct verifier *v, str token, int64_t now_s, struct arena *mem,
                                      struct claims *out, struct jwt_refusal *why);

/* Arena that a token of n bytes needs at most, roughly; a cap above it never refuses a good token. */
size_t token_arena_need(size_t token_n);

enum jwt_mode { JWT_MODE_JWT = 0, JWT_MODE_JWS /* header, key and signature only; the payload may be any bytes */ };

/* What `sallyport token verify` asks. .p NULL: not checked. */
struct jwt_expect {
    enum jwt_mode mode;
    str iss, aud;
    enum typ_rule typ;
    int64_t leeway_s; /* for `exp` */
    int64_t skew_s;   /* for `nbf` and `iat` */
};

/* Only checks. Errors as above. */
MUST_USE enum err jwt_check(struct verify_ctx *ctx, const struct keyset *keys, const struct jwt_expect *expect,
                            str token, int64_t now_s, struct arena *mem, enum jwt_fault *fault);

/* A token taken apart and NOT verified, for showing to people. */
struct unverified_token {
    const struct json *header;  /* an object */
    const struct json *payload; /* NULL: not JSON */
    str payload_text;
    str signature;
};
MUST_USE enum err jwt_read_unverified(str token, struct arena *mem, struct unverified_token *out,
                                      enum jwt_fault *fault);

#endif
