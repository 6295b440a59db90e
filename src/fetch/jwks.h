/* The key set of one issuer, fetched in the background and kept fresh.
 *
 * It is fetched at once, then every refresh_ms (less up to a tenth, so that many do not come at the same time). When
 * it fails it is tried again after 0.5 s, doubling to 30 s, and what was loaded before stays in use. An unknown key id
 * may ask for it to be fetched sooner, at most once in min_interval_ms whoever asks and how often. Owner: one loop.
 * Knows nothing of keys: whoever owns it reads the document and may refuse it. */
#ifndef SALLYPORT_FETCH_JWKS_H
#define SALLYPORT_FETCH_JWKS_H

#include "fetch/fetch.h"

#define JWKS_REFRESH_MS      300000u
#define JWKS_MIN_INTERVAL_MS 10000u

struct jwks_options {
    str name;                 /* of the issuer, for logs; copied */
    str url;                  /* copied */
    str ca_file;              /* empty: the system's authorities; copied */
    str ca_pem;               /* the content of that file where another process has read it; copied */
    bool private_ok;          /* the provider may have a loopback or private address */
    bool plain_ok;            /* http:// to loopback, for development only */
    uint32_t refresh_ms;      /* 0: JWKS_REFRESH_MS */
    uint32_t min_interval_ms; /* 0: JWKS_MIN_INTERVAL_MS */

    /* A document came: takes it (copying what it needs) or refuses it with a short constant in *why; then what was
     * taken before stays. Called on the loop; must not free the jwks. */
    enum err (*take)(void *user, str json, const char **why);
    void *user;
};

struct jwks_status {
    bool loaded;            /* a document was taken at some time */
    bool failing;           /* the last attempt failed */
    bool fetching;          /* an attempt is under way */
    uint64_t attempts;      /* begun */
    uint64_t failures;      /* ended without a document taken */
    uint64_t last_ok_ms;    /* Unix milliseconds; 0: never */
    uint64_t last_try_ms;   /* when the last attempt began; 0: never */
    uint64_t next_in_ms;    /* until the next attempt; 0 while one is under way */
    const char *last_error; /* "" if there never was one; lives until the next attempt ends. For operators only */
};

struct jwks;

/* The first attempt is made in the loop's next turn. ERR_NO_MEMORY. */
MUST_USE enum err jwks_new(const struct fetch_env *env, const struct jwks_options *options, struct jwks **out);
void jwks_free(struct jwks **j);

/* A token named a key that the set does not hold. Cheap; call it as often as that happens. */
void jwks_want(struct jwks *j);

void jwks_status(const struct jwks *j, struct jwks_status *out);

#endif
