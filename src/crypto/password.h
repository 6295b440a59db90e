/* Passwords: argon2id hashes in PHC text (RFC 9106; "$argon2id$v=19$m=19456,t=2,p=1$salt$hash").
 *
 * Slow on purpose (19 MiB and two passes: 18 ms): run it beside a loop. Any thread. Nothing here knows a user. Hashes
 * that were made elsewhere are verified with their own parameters, up to the caps below: above them a hash is refused
 * before any work, so that a record cannot make us allocate at will. */
#ifndef SALLYPORT_CRYPTO_PASSWORD_H
#define SALLYPORT_CRYPTO_PASSWORD_H

#include "base/str.h"

#define PASSWORD_MAX        1024 /* bytes of a password */
#define PASSWORD_HASH_MAX   256  /* bytes of the text */
#define PASSWORD_MEMORY_MIN 8192 /* bytes: argon2 has no less for one lane */
#define PASSWORD_MEMORY_MAX ((size_t)1024 * 1024 * 1024)
#define PASSWORD_PASSES_MAX 20
#define PASSWORD_LANES_MAX  4 /* of imported hashes; they are computed one after the other */

struct password_cost {
    size_t memory; /* bytes, a multiple of 1024 */
    unsigned passes;
};

/* Whether the cost is one that we make hashes of. */
bool password_cost_ok(struct password_cost c);

/* The hash of `password` with a fresh salt, terminated. ERR_LIMIT: too long, or no good cost. ERR_NO_MEMORY. */
MUST_USE enum err password_hash(str password, struct password_cost c, char out[PASSWORD_HASH_MAX]);

/* ERR_OK: `hash` is of this password. ERR_DENIED: it is not. ERR_MALFORMED: no argon2id hash of version 19 in PHC text.
 * ERR_LIMIT: parameters above the caps, or the password too long. ERR_NO_MEMORY. */
MUST_USE enum err password_verify(str hash, str password);

/* Whether the text is a hash that password_verify would compute: ERR_OK, ERR_MALFORMED, ERR_LIMIT. *cost may be NULL;
 * *lanes too. Costs nothing. */
MUST_USE enum err password_hash_read(str hash, struct password_cost *cost, unsigned *lanes);

/* Whether a good hash is weaker than `c` (or not in the form we make): time to make it anew. */
bool password_needs_rehash(str hash, struct password_cost c);

/* A hash of that cost in the same form that fits no password anybody knows (its bytes are random; nothing is computed):
 * verify against it for a user that does not exist, so that the time is the same. ERR_LIMIT: no good cost. */
MUST_USE enum err password_dummy(struct password_cost c, char out[PASSWORD_HASH_MAX]);

#endif
