/* API keys that were made by the command line: space control, apikey/<id>. The key itself is shown once and kept
 * nowhere; enforcers compare its SHA-256. */
#ifndef SALLYPORT_STORE_APIKEY_RECORD_H
#define SALLYPORT_STORE_APIKEY_RECORD_H

#include "store/record.h"

struct apikey_record {
    str product;
    unsigned char sha256[SHA256_LEN]; /* of the whole text (identity/apikey.h) */
    uint64_t created_ms;
    int64_t expires_s; /* 0: never; *at* that second it is no good any more */
    str disabled;      /* why it is refused; empty: it is not */
    str label;         /* may be empty */
};

/* [a-z0-9]{8,16} */
bool apikey_record_id_ok(str id);
str apikey_record_key(struct record_key *k, str id);
#define APIKEY_RECORD_PREFIX STR("apikey/")
MUST_USE enum err apikey_record_key_read(str key, str *id);
MUST_USE enum err apikey_record_put(struct buf *out, const struct apikey_record *a);
MUST_USE enum err apikey_record_read(str value, struct arena *mem, struct apikey_record *out);

#endif
