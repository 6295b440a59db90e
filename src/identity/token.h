/* The form of a compact JWS: three parts, a header of the token profile, a payload that is read once and trusted by
 * nobody until its signature holds. For the verifiers of this folder. */
#ifndef SALLYPORT_IDENTITY_TOKEN_H
#define SALLYPORT_IDENTITY_TOKEN_H

#include "identity/verify.h"

struct token_parts {
    str header, payload, signature; /* base64url */
    str signing_input;              /* header.payload, RFC 7515 §5.2 */
};

/* Cuts without decoding. JWT_FAULT_NONE, SIZE, FORM, ENCRYPTED. */
enum jwt_fault token_split(str token, struct token_parts *out);

/* What the header says, checked for form. It is signed with the payload, so none of it is proved yet; `alg` and `kid`
 * only choose among keys that are bound to an algorithm by themselves. */
struct token_header {
    enum alg alg;
    str typ, kid; /* .p NULL: absent */
};

/* JWT_FAULT_NONE, BASE64, HEADER, CRIT, ALG, MEMORY. */
enum jwt_fault token_header_read(str part, struct arena *mem, struct token_header *out);

/* Whether `typ` names an access token under the rule (RFC 9068 §4, RFC 7515 §4.1.9), without regard to case. */
bool token_typ_ok(enum typ_rule rule, str typ);

/* base64url, any bytes. JWT_FAULT_NONE, BASE64, MEMORY. */
enum jwt_fault token_decode(str part, struct arena *mem, str *out);

/* The payload as a JSON object. JWT_FAULT_NONE, BASE64, PAYLOAD, MEMORY. */
enum jwt_fault token_payload_read(str part, struct arena *mem, const struct json **unverified);

/* Key and signature. JWT_FAULT_NONE, BASE64, UNKNOWN_KID, KEY_MISMATCH, KEY_AMBIGUOUS, SIGNATURE, MEMORY. */
enum jwt_fault token_signature_check(struct verify_ctx *ctx, const struct keyset *keys, const struct token_parts *parts,
                                     const struct token_header *header);

#endif
