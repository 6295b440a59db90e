/* Sessions: space authentication, session/<sid>, with an index session-of/<base>/<name>/<sid> written in the same
 * batch.
 *
 * One session is one login: its refresh tokens follow each other as a family of which one is good, and the one before
 * it for the time of a grace. The tokens themselves are not in the store, only their SHA-256 (they are random: nothing
 * slower is needed) and, sealed, the newest one, for the client that did not hear the answer. */
#ifndef SALLYPORT_STORE_SESSION_RECORD_H
#define SALLYPORT_STORE_SESSION_RECORD_H

#include "store/user_record.h"

#define SESSION_ID_LEN     16 /* [0-9A-Za-z] */
#define SESSION_SECRET_LEN 32 /* [0-9A-Za-z] */
#define SESSION_CLIENT_MAX 64
/* "sr_" sid '_' secret */
#define REFRESH_TOKEN_LEN (3 + SESSION_ID_LEN + 1 + SESSION_SECRET_LEN)

struct session_record {
    str sub, base, name; /* who */
    str product;         /* by which product they logged in */
    str client;          /* what the client called itself; may be empty */
    uint64_t created_ms, used_ms;
    uint64_t rotated_ms; /* when `current` was made */
    uint32_t generation; /* of the family, from 1 */
    unsigned char current[SHA256_LEN];
    bool has_previous;
    unsigned char previous[SHA256_LEN];
    str successor;     /* the secret of `current`, sealed (crypto/seal.h); empty: none kept */
    int64_t expires_s; /* the session's absolute end; the entry itself goes earlier when it is not used */
};

bool session_id_ok(str sid);
str session_record_key(struct record_key *k, str sid);
str session_of_key(struct record_key *k, str base, str name, str sid);
/* "session-of/<base>/<name>/": everything of a user. */
str session_of_prefix(struct record_key *k, str base, str name);
/* The sid at the end of either key. ERR_MALFORMED. */
MUST_USE enum err session_key_read(str key, str *sid);

/* A refresh token taken apart. ERR_MALFORMED. */
MUST_USE enum err refresh_token_read(str text, str *sid, str *secret);
/* The text, not terminated. */
void refresh_token_put(char out[REFRESH_TOKEN_LEN], str sid, str secret);

MUST_USE enum err session_record_put(struct buf *out, const struct session_record *s);
MUST_USE enum err session_record_read(str value, struct arena *mem, struct session_record *out);

#endif
