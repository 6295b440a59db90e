/* Revocations: space control, revoked/<kind>/<value>, with a time to live as long as the tokens they speak of.
 *
 *   token/<jti>            one token
 *   session/<sid>          what one login was given
 *   user/<issuer>/<sub>    everything of a user; issuer: its name in the configuration, "authentication" for ours
 *   product/<name>         everything of a product
 *   all/                   everything
 *
 * A token is refused when its iat is at or before before_s. Values are percent-encoded as identity/principal.h has it,
 * '/' besides: a value never looks like another key. */
#ifndef SALLYPORT_STORE_REVOCATION_RECORD_H
#define SALLYPORT_STORE_REVOCATION_RECORD_H

#include "store/record.h"

enum revocation_kind {
    REVOCATION_TOKEN = 0,
    REVOCATION_SESSION,
    REVOCATION_USER,
    REVOCATION_PRODUCT,
    REVOCATION_ALL,
    REVOCATION_KINDS
};
const char *revocation_kind_name(enum revocation_kind k); /* "token" */
/* REVOCATION_KINDS when unknown. */
enum revocation_kind revocation_kind_of(str name);

/* What is revoked. */
struct revocation_target {
    enum revocation_kind kind;
    str issuer; /* USER only: its name */
    str value;  /* jti, sid, sub or product; empty for ALL */
};

#define REVOCATION_ISSUER_OWN STR("authentication")
#define REVOCATION_PREFIX     STR("revoked/")

/* An empty slice: too long for a key, or a value is missing. */
str revocation_record_key(struct record_key *k, const struct revocation_target *t);
/* The reverse, decoded into `mem`. ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err revocation_record_key_read(str key, struct arena *mem, struct revocation_target *out);

struct revocation_record {
    int64_t before_s; /* tokens with iat <= before_s are refused */
    str reason, by;   /* may be empty */
    uint64_t at_ms;
};
MUST_USE enum err revocation_record_put(struct buf *out, const struct revocation_record *r);
MUST_USE enum err revocation_record_read(str value, struct arena *mem, struct revocation_record *out);

#endif
