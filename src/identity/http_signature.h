/* HTTP message signatures (RFC 9421) with HMAC-SHA256, as a product proves its apisecret by them; and Content-Digest
 * (RFC 9530).
 *
 * Strict and bounded: one signature a message is looked at, its components must cover what was asked (@method, the
 * target, the digest of a body), its parameters must say when, by whom and how. No I/O, no clock, no key lookup: the
 * caller is told the keyid, finds the key and asks again. What is here before http_signature_verify is unverified. */
#ifndef SALLYPORT_IDENTITY_HTTP_SIGNATURE_H
#define SALLYPORT_IDENTITY_HTTP_SIGNATURE_H

#include "base/arena.h"
#include "crypto/digest.h"

#define HTTP_SIGNATURE_COMPONENTS_MAX 32
#define HTTP_SIGNATURE_INPUT_MAX      4096 /* bytes of Signature-Input, and of Signature */
#define HTTP_SIGNATURE_BASE_MAX       32768
#define HTTP_SIGNATURE_WINDOW_S       30 /* `created` may lie that far from now, either way */

enum http_signature_fault {
    HTTP_SIGNATURE_FAULT_NONE = 0,
    HTTP_SIGNATURE_FAULT_MISSING,   /* no Signature-Input or no Signature */
    HTTP_SIGNATURE_FAULT_FORM,      /* not the structured fields they must be (RFC 8941) */
    HTTP_SIGNATURE_FAULT_LABEL,     /* not exactly one signature, or under another label than its input */
    HTTP_SIGNATURE_FAULT_COMPONENT, /* a component that we do not know, or that comes twice, or is not in the message */
    HTTP_SIGNATURE_FAULT_COVERAGE,  /* @method, the target or content-digest is not covered */
    HTTP_SIGNATURE_FAULT_PARAMETER, /* created, keyid or alg is missing, or one has the wrong type */
    HTTP_SIGNATURE_FAULT_ALGORITHM, /* not hmac-sha256 */
    HTTP_SIGNATURE_FAULT_KEYID,     /* names somebody else */
    HTTP_SIGNATURE_FAULT_TIME,      /* created outside the window, or expired */
    HTTP_SIGNATURE_FAULT_DIGEST,    /* Content-Digest is missing, malformed, or not of this body */
    HTTP_SIGNATURE_FAULT_SIGNATURE, /* not made with this key over this message */
    HTTP_SIGNATURE_FAULT_REPLAYED,  /* seen before */
    HTTP_SIGNATURE_FAULT_BUSY,      /* too many signatures in the window to remember another */
    HTTP_SIGNATURE_FAULT_MEMORY
};
const char *http_signature_fault_name(enum http_signature_fault f); /* "coverage" */

/* The message as the client sent it; `path` begins with '/'. */
struct http_signature_field {
    str name, value;
};
struct http_signature_message {
    str method, scheme, authority, path, query; /* authority: as in Host */
    bool has_query;
    const struct http_signature_field *fields; /* in the order they came */
    size_t n_fields;
    str body;
    bool body_follows; /* it is not here yet: Content-Digest must be covered, and the caller checks it against the body
                          (content_digest_check) once that is there, before anything is done with it */
};

struct http_signature {
    str keyid;             /* unverified until http_signature_verify */
    str nonce;             /* empty: none */
    int64_t created_s;     /* */
    int64_t expires_s;     /* 0: none */
    str label;             /* */
    str base;              /* what is signed (§2.5), in the arena */
    str digest;            /* the value of Content-Digest, of the message's fields; empty when it is not covered */
    unsigned char mac[32]; /* */
};

/* Reads the fields, checks everything but key, time and replay, and makes the signature base. Slices live in `mem`.
 * ERR_NOT_FOUND (MISSING), ERR_MALFORMED, ERR_DENIED, ERR_LIMIT, ERR_NO_MEMORY; *fault says which. */
MUST_USE enum err http_signature_read(const struct http_signature_message *m, struct arena *mem,
                                      struct http_signature *unverified, enum http_signature_fault *fault);

/* ERR_OK: made with `key` within the window around now_s. ERR_DENIED (*fault), ERR_NO_MEMORY. */
MUST_USE enum err http_signature_verify(const struct http_signature *s, str keyid, str key, int64_t now_s,
                                        enum http_signature_fault *fault);

/* Signatures seen within the window: a bounded table. Ask after http_signature_verify: a stranger fills nothing. */
struct http_signature_seen;
/* Room for n signatures (rounded up). ERR_NO_MEMORY. */
MUST_USE enum err http_signature_seen_new(size_t n, struct http_signature_seen **out);
void http_signature_seen_free(struct http_signature_seen **s);
/* ERR_OK: the first time, and remembered. ERR_CONFLICT: seen before. ERR_LIMIT: no room; the caller refuses. */
MUST_USE enum err http_signature_first(struct http_signature_seen *seen, const struct http_signature *s, int64_t now_s);

/* --- signing --- */

struct http_signature_fields {
    str digest; /* of Content-Digest; empty: there is no body */
    str input, signature;
};
/* What to send with the message, whose own fields are not looked at: method, target and body are signed. `keyid` and
 * `nonce` without quotes and backslashes. ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err http_signature_make(const struct http_signature_message *m, str keyid, str key, str nonce,
                                      int64_t created_s, struct arena *mem, struct http_signature_fields *out);

/* --- Content-Digest --- */

struct buf;
/* Appends the value of the field: sha-256 of the body. */
void content_digest_put(struct buf *out, str body);
/* ERR_OK: every digest of ours in `value` (sha-256, sha-512; at least one) is of this body. ERR_MALFORMED, ERR_DENIED.
 */
MUST_USE enum err content_digest_check(str value, str body);

#endif
