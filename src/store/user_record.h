/* Users: space identity, user/<base>/<name>.
 *
 * The subject of a user is the name in the base "users", else "<base>/<name>": names have no '/', so that no two users
 * share one. A deleted user leaves its subject behind (deleted_ms), so that nobody inherits it unasked. */
#ifndef SALLYPORT_STORE_USER_RECORD_H
#define SALLYPORT_STORE_USER_RECORD_H

#include "store/record.h"

#define USER_NAME_MAX    128
#define USER_BASE_MAX    32
#define USER_SUBJECT_MAX (USER_BASE_MAX + 1 + USER_NAME_MAX)
#define USER_PHC_MAX     512

struct user_record {
    str sub;
    str password;                   /* a hash as crypto/password.h has it; empty: no login by password */
    const str *roles, *permissions; /* at most RECORD_NAMES_MAX each */
    uint32_t n_roles, n_permissions;
    bool disabled;
    uint64_t created_ms, changed_ms, password_ms;
    uint64_t deleted_ms; /* 0: not deleted; else only sub counts */
};

/* 1..128 bytes of [a-z0-9._@+-], upper case folded to lower; `out` has room for name.n bytes of a name not longer than
 * USER_NAME_MAX; the slice returned lives there. ERR_MALFORMED. */
MUST_USE enum err user_name_fold(str name, char out[USER_NAME_MAX], str *folded);
/* [a-z][a-z0-9-]{0,31} */
bool user_base_ok(str base);

/* The default base's name: "users". */
extern const str user_base_default;

/* base and name have been checked. */
str user_record_key(struct record_key *k, str base, str name);
/* "user/<base>/": everything of a base. */
str user_record_prefix(struct record_key *k, str base);
/* Splits a key into base and name. ERR_MALFORMED. */
MUST_USE enum err user_record_key_read(str key, str *base, str *name);

/* The subject of (base, name) in `room`. */
str user_subject(char room[USER_SUBJECT_MAX], str base, str name);
/* The reverse. ERR_MALFORMED: no subject of ours. */
MUST_USE enum err user_of_subject(str sub, str *base, str *name);

/* ERR_MALFORMED: something that may not stand in a record. ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err user_record_put(struct buf *out, const struct user_record *u);
/* ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err user_record_read(str value, struct arena *mem, struct user_record *out);

#endif
