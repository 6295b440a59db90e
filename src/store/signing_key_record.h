/* Keys that sign access tokens: space authentication, signing-key/<kid>; and what verifiers are told of them: space
 * control, issuer-keys/authentication.
 *
 * next ──► current ──► old ──► gone. A key is published while it is `next`, signs while it is `current`, and verifies
 * until verify_until_s once it is `old`. */
#ifndef SALLYPORT_STORE_SIGNING_KEY_RECORD_H
#define SALLYPORT_STORE_SIGNING_KEY_RECORD_H

#include "crypto/key.h"
#include "store/record.h"

#define SIGNING_KID_MAX 32

enum signing_key_state { SIGNING_KEY_NEXT = 0, SIGNING_KEY_CURRENT, SIGNING_KEY_OLD };
const char *signing_key_state_name(enum signing_key_state s); /* "next" */

struct signing_key_record {
    enum alg alg;
    enum signing_key_state state;
    str jwk;                /* the private JWK, sealed (crypto/seal.h) under "authentication/signing-key/<kid>" */
    uint64_t created_ms;    /* and published */
    uint64_t sign_from_ms;  /* NEXT: not before; CURRENT, OLD: since */
    uint64_t retired_ms;    /* OLD: since */
    int64_t verify_until_s; /* OLD: its last token is gone then */
};

/* 1..32 of [0-9A-Za-z_-] */
bool signing_kid_ok(str kid);
str signing_key_record_key(struct record_key *k, str kid);
#define SIGNING_KEY_PREFIX STR("signing-key/")
MUST_USE enum err signing_key_record_key_read(str key, str *kid);

MUST_USE enum err signing_key_record_put(struct buf *out, const struct signing_key_record *r);
MUST_USE enum err signing_key_record_read(str value, struct arena *mem, struct signing_key_record *out);

/* Space control: {"turn":7,"jwks":{"keys":[…]}}, public keys only. The turn grows with every change of the keys: nobody
 * writes an older set over a newer one. */
#define ISSUER_KEYS_KEY STR("issuer-keys/authentication")
/* `jwks` is the text of a JWKS. */
MUST_USE enum err issuer_keys_put(struct buf *out, str jwks, uint64_t turn);
/* The JWKS as a JSON value (for keyset_from_json); `turn` may be NULL. ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err issuer_keys_read(str value, struct arena *mem, const struct json **jwks, uint64_t *turn);

#endif
