/* What a token of one issuer must look like and what it may say: a description compiled from the configuration.
 *
 * Immutable once filled; owned by the snapshot's arena, which outlives every reader. Holds no key: the keys of an
 * issuer change while its description stays. */
#ifndef SALLYPORT_IDENTITY_ISSUER_H
#define SALLYPORT_IDENTITY_ISSUER_H

#include "base/arena.h"
#include "crypto/key.h"

/* The `typ` header (SECURITY profile): AT_JWT takes "at+jwt" (RFC 9068 §4), LEGACY also what older providers write. */
enum typ_rule { TYP_AT_JWT = 0, TYP_LEGACY };

/* A set of names for which membership is asked; sorted. {0} is the empty set. */
struct name_set {
    bool any; /* every name is a member */
    const str *names;
    uint32_t n;
};

/* Copies and sorts `names` (the bytes stay the caller's, same life as the arena). ERR_NO_MEMORY. */
MUST_USE enum err name_set_make(struct arena *mem, const str *names, size_t n, bool any, struct name_set *out);
bool name_set_has(const struct name_set *s, str name);

/* Where a claim is found: first as one member of that whole name ("https://x.example/roles"), else, if the name has
 * dots, step by step ("realm_access.roles"). */
struct claim_path {
    str whole;
    const str *parts; /* NULL without dots */
    uint32_t n_parts;
};

#define CLAIM_PATH_MAX_PARTS 8

/* `text` stays the caller's. ERR_MALFORMED: empty. ERR_LIMIT: too many parts. ERR_NO_MEMORY. */
MUST_USE enum err claim_path_parse(struct arena *mem, str text, struct claim_path *out);

struct claim_paths {
    const struct claim_path *v;
    uint32_t n;
};

struct issuer {
    uint32_t index;       /* in the snapshot */
    str name;             /* "corp" */
    str prefix;           /* of its principals: its name; empty for the default issuer */
    str iss;              /* exactly what `iss` must be */
    const str *audiences; /* at least one; one of them must be in `aud` */
    uint32_t n_audiences;
    uint32_t algs; /* a mask; symmetric ones only for an issuer with a shared secret */
    enum typ_rule typ;
    int64_t leeway_s;                             /* for `exp` */
    struct name_set products, roles, permissions; /* what it may vouch for */
    /* user, client and product: the first path that is there; roles and permissions: all of them together */
    struct claim_paths user, client, product, roles_paths, permissions_paths;
};

#endif
