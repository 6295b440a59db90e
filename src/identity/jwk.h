/* One JWK (RFC 7517) read from JSON: only its own numbers count, never an address or certificate in it. */
#ifndef SALLYPORT_IDENTITY_JWK_H
#define SALLYPORT_IDENTITY_JWK_H

#include "identity/keyset.h"

/* What a verifying key needs of a JWK. */
struct jwk {
    struct key *key;
    str kid; /* .p NULL: none; lives as long as the JSON */
};

/* `symmetric`: whether kty "oct" is allowed. *out has one reference on the key. ERR_DENIED: unfit, see *fault;
 * ERR_NO_MEMORY. *kid (written always) is the name as far as it could be read, for messages. */
MUST_USE enum err jwk_read(const struct json *v, bool symmetric, str *kid, struct jwk *out, enum jwk_fault *fault);

#define JWK_NUMBER_MAX 4096 /* bytes of one number or secret */

/* The bytes of a base64url member; room: JWK_NUMBER_MAX. Canonical only. JWK_FAULT_NONE, MISSING, FORM. */
enum jwk_fault jwk_bytes(const struct json *v, str name, unsigned char *room, str *out);
/* The curve of that exact name. JWK_FAULT_NONE, MISSING, FORM, TYPE. */
enum jwk_fault jwk_curve(const struct json *v, enum key_curve *out);

#endif
