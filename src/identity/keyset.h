/* A set of keys as an issuer publishes it (RFC 7517), and the choice of the one key that a token may be verified with.
 *
 * Immutable, counted (atomic), read by any thread. What is unknown or unfit in a set is left out with the reason why;
 * a set of which nothing is left is still a set. Does no I/O and follows no address in a key (`x5u` and the like). */
#ifndef SALLYPORT_IDENTITY_KEYSET_H
#define SALLYPORT_IDENTITY_KEYSET_H

#include "base/arena.h"
#include "codec/json.h"
#include "crypto/key.h"

#define KEYSET_MAX_KEYS 256 /* of one set; a longer one is refused whole */

/* Why a JWK was left out. */
enum jwk_fault {
    JWK_FAULT_NONE = 0,
    JWK_FAULT_FORM,      /* no object, or a member of the wrong type or not canonical base64url */
    JWK_FAULT_TYPE,      /* a kty or curve that we do not know */
    JWK_FAULT_MISSING,   /* a member that its kty needs is not there */
    JWK_FAULT_USE,       /* `use` is not "sig", or `key_ops` is without "verify" */
    JWK_FAULT_ALG,       /* `alg` is unknown or does not suit the key */
    JWK_FAULT_PRIVATE,   /* holds a private key: it is no secret any more */
    JWK_FAULT_SYMMETRIC, /* kty "oct" where only public keys are allowed */
    JWK_FAULT_SIZE,      /* RSA below 2048 bits, a secret shorter than its digest */
    JWK_FAULT_NUMBER,    /* numbers that are no key: exponent, modulus, length */
    JWK_FAULT_POINT,     /* not on the curve, or of small order */
    JWK_FAULT_MEMORY
};

/* A stable word for messages: "not_for_signatures"; never NULL. */
const char *jwk_fault_name(enum jwk_fault f);

struct jwk_note {
    uint32_t index; /* in the set as it was written */
    enum jwk_fault fault;
    str kid; /* cut to 64 bytes; may be empty */
};

struct keyset;

/* Reads a JWKS document ({"keys": […]}, at most 256 kB). `symmetric`: whether kty "oct" is allowed. *out has one
 * reference and is written on ERR_OK only; *fault (may be NULL) says what is wrong with the JSON, JSON_FAULT_NONE if it
 * is JSON but no key set. ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err keyset_from_jwks(str json, bool symmetric, struct keyset **out, enum json_fault *fault);

/* The same from a value already read (nothing of it is kept). */
MUST_USE enum err keyset_from_json(const struct json *jwks, bool symmetric, struct keyset **out);

/* One shared secret that fits whatever kid a token names, for the algorithms of the mask (HS* only) it is long enough
 * for. ERR_DENIED: too short for all of them. ERR_NO_MEMORY. */
MUST_USE enum err keyset_from_secret(str secret, uint32_t algs, struct keyset **out);

struct keyset *keyset_ref(struct keyset *s);
/* Lets go and sets *s to NULL. Any thread; NULL is fine. */
void keyset_unref(struct keyset **s);

/* key_prepare for the first KEYSET_PREPARED keys it does something for: slow, not on a loop. How many. */
#define KEYSET_PREPARED 8
unsigned keyset_prepare(const struct keyset *s);

/* A number no other set of this process has. */
uint64_t keyset_serial(const struct keyset *s);
/* Whether both hold the same keys under the same names: a refresh that brought nothing new. */
bool keyset_equal(const struct keyset *a, const struct keyset *b);
/* Keys that can be chosen. */
size_t keyset_count(const struct keyset *s);
/* The algorithms for which there is a key. */
uint32_t keyset_algs(const struct keyset *s);
/* What was left out; lives as long as the set. */
const struct jwk_note *keyset_notes(const struct keyset *s, size_t *n);

/* The one key for `alg` and `kid` (.p NULL: the token names none). ERR_OK: *out lives as long as the set.
 * ERR_NOT_FOUND: no key of that name at all, or, without a name, none that suits. ERR_DENIED: keys of that name, but
 * none may be used with `alg`. ERR_CONFLICT: more than one suits; neither is chosen. */
MUST_USE enum err keyset_choose(const struct keyset *s, enum alg alg, str kid, const struct key **out);

#endif
