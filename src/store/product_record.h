/* Products that were made by the command line: space control, product/<name>; and the apisecret of any product, from
 * the file or from here: space control, secret/<name> (which enforcers do not read). */
#ifndef SALLYPORT_STORE_PRODUCT_RECORD_H
#define SALLYPORT_STORE_PRODUCT_RECORD_H

#include "store/record.h"

enum product_record_auth { PRODUCT_RECORD_APIKEY = 0, PRODUCT_RECORD_TOKEN };
enum product_record_login { PRODUCT_RECORD_LOGIN_NONE = 0, PRODUCT_RECORD_LOGIN_PASSWORD };
/* How a product proves its apisecret at login, refresh and logout. */
enum product_record_proof { PRODUCT_RECORD_PROOF_NONE = 0, PRODUCT_RECORD_PROOF_BASIC, PRODUCT_RECORD_PROOF_SIGNATURE };

const char *product_record_auth_name(enum product_record_auth a);   /* "apikey" "token" */
const char *product_record_login_name(enum product_record_login l); /* "none" "password" */
const char *product_record_proof_name(enum product_record_proof p); /* "none" "basic" "signature" */

struct product_record {
    enum product_record_auth auth;
    enum product_record_login login;
    str users; /* the base of its users; set when login is not none */
    enum product_record_proof proof;
    const str *may; /* actions */
    uint32_t n_may;
    uint64_t created_ms;
};

/* The name has been checked (record_name_ok). */
str product_record_key(struct record_key *k, str name);
#define PRODUCT_RECORD_PREFIX STR("product/")
MUST_USE enum err product_record_key_read(str key, str *name);
MUST_USE enum err product_record_put(struct buf *out, const struct product_record *p);
MUST_USE enum err product_record_read(str value, struct arena *mem, struct product_record *out);

/* An apisecret is 16..256 visible ASCII characters; those we make are "ss_" and 40 of [0-9A-Za-z]. */
#define PRODUCT_SECRET_MIN     16
#define PRODUCT_SECRET_MAX     256
#define PRODUCT_SECRET_NEW_LEN 43
bool product_secret_text_ok(str secret);
void product_secret_generate(char out[PRODUCT_SECRET_NEW_LEN]);

struct product_secret_record {
    unsigned char sha256[SHA256_LEN]; /* of the text, for Basic */
    str mac_key; /* the text, sealed under "control/secret/<name>": its bytes are the key of HMAC-SHA256 signatures */
    uint64_t created_ms;
    str disabled; /* why it proves nothing; empty: it is not */
};
str product_secret_key(struct record_key *k, str name);
MUST_USE enum err product_secret_put(struct buf *out, const struct product_secret_record *s);
MUST_USE enum err product_secret_read(str value, struct arena *mem, struct product_secret_record *out);

#endif
