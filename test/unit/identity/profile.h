/* What the tests of the token profile share: a key of every algorithm, named after it, and one question: what is wrong
 * with this token? */
#ifndef SALLYPORT_TEST_PROFILE_H
#define SALLYPORT_TEST_PROFILE_H

#include "forge.h"

#include "identity/verify.h"

enum { NOW = 1700000000 };

#define ES256_HEADER "{\"alg\":\"ES256\",\"kid\":\"ES256\"}"
#define GOOD_PAYLOAD "{\"iss\":\"https://idp.example\",\"aud\":\"api\",\"sub\":\"alice\",\"exp\":1700000060}"

extern struct signer *profile_signers[ALG_COUNT];
extern struct keyset *profile_public; /* the asymmetric keys */
extern struct keyset *profile_every;  /* the secrets too */
extern struct verify_ctx *profile_ctx;
extern struct buf profile_text; /* where tokens are made */

int profile_set_up(void **state);
int profile_tear_down(void **state);

enum jwt_fault profile_check_with(const struct keyset *keys, const struct jwt_expect *expect, str token);
/* As issuer https://idp.example, audience api, typ legacy. */
enum jwt_fault profile_check(str token);
/* In jws mode, typ legacy. */
enum jwt_fault profile_check_jws(str token);

void expect_fault(const char *name, enum jwt_fault got, enum jwt_fault want);

#endif
