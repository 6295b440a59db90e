/* What an administrator asks of the signing keys, through the store: every authentication process sees it, one carries
 * it out. Space authentication, signing-request/<ulid>. */
#ifndef SALLYPORT_SERVICES_SIGNING_REQUEST_H
#define SALLYPORT_SERVICES_SIGNING_REQUEST_H

#include "store/signing_key_record.h"

enum signing_request_kind {
    SIGNING_REQUEST_ROTATE = 0, /* a new key as soon as every verifier has it */
    SIGNING_REQUEST_RETIRE      /* that key verifies no longer; if it is the one that signs, a new one comes first */
};

struct signing_request {
    enum signing_request_kind kind;
    enum alg alg; /* ROTATE: ALG_INVALID: as it is now */
    str kid;      /* RETIRE */
    str by;
    uint64_t at_ms;
};

/* id: a ULID. Put it with STORE_ABSENT; it is gone when it was taken up. */
str signing_request_key(struct record_key *k, str id);
#define SIGNING_REQUEST_PREFIX STR("signing-request/")
MUST_USE enum err signing_request_put(struct buf *out, const struct signing_request *r);
MUST_USE enum err signing_request_read(str value, struct arena *mem, struct signing_request *out);

#endif
