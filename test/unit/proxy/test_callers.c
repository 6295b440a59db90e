/* Which credential counts and whom it makes: every action's `accept` against everything that may have come. */
#include "unit.h"

#include "proxy/callers.h"

#define T ACCEPT_TOKEN
#define A ACCEPT_APIKEY
#define S ACCEPT_SIGNATURE
#define C ACCEPT_CERTIFICATE
#define N CALLER_NONE
#define U CALLER_USER
#define V CALLER_SERVICE
#define P CALLER_THIRD_PARTY

static bool kind_ok(enum caller_kind k)
{
    return k == CALLER_USER || k == CALLER_SERVICE || k == CALLER_THIRD_PARTY;
}

/* Said anew, the plain way: may this credential of that kind count? */
static bool counts(const uint8_t accept[CALLER_KINDS], const struct callers_verified *v, uint8_t credential)
{
    enum caller_kind k = credential == T ? v->of_token : v->of_product;
    return v->credentials & credential && kind_ok(k) && accept[k] & credential;
}

static void check(const uint8_t accept[CALLER_KINDS], const struct callers_verified *v)
{
    struct callers_choice got = {CALLER_NONE, 0};
    enum reason why = REASON_INTERNAL;
    const char *fault = NULL;
    enum err e = callers_choose(accept, v, &got, &why, &fault);
    bool any = counts(accept, v, T) || counts(accept, v, A) || counts(accept, v, S) || counts(accept, v, C);
    if ((e == ERR_OK) != any)
        fail_msg("accept %x %x %x, came %x of %u and %u: %s", accept[1], accept[2], accept[3], v->credentials,
                 v->of_token, v->of_product, err_name(e));
    if (e == ERR_OK) {
        assert_true(counts(accept, v, got.credential));
        assert_int_equal(got.kind, got.credential == T ? v->of_token : v->of_product);
        assert_true(got.credential == T || !counts(accept, v, T)); /* the token goes first */
    } else {
        assert_err(e, ERR_DENIED);
        assert_int_equal(got.kind, CALLER_NONE);
        assert_int_equal(got.credential, 0);
        assert_int_equal(reason_info(why)->status, 401);
        assert_int_equal(why == REASON_CALLER_NOT_ACCEPTED, fault != NULL);
    }
}

static void every_combination(void **state)
{
    (void)state;
    for (unsigned masks = 0; masks < 16 * 16 * 16; masks++) {
        /* nobody's place accepts everything: it must never be looked at */
        const uint8_t accept[CALLER_KINDS] = {15, masks & 15, masks >> 4 & 15, masks >> 8 & 15};
        for (unsigned came = 0; came < 16 * 16; came++) {
            struct callers_verified v = {came & 15, (enum caller_kind)(came >> 4 & 3),
                                         (enum caller_kind)(came >> 6 & 3)};
            check(accept, &v);
        }
    }
}

static void nothing_is_nobody(void **state)
{
    (void)state;
    const uint8_t none[CALLER_KINDS] = {0}, all[CALLER_KINDS] = {15, 15, 15, 15};
    struct callers_choice got = {CALLER_NONE, 0};
    enum reason why;
    const char *fault;
    const struct callers_verified nothing = {0}, everything = {15, CALLER_USER, CALLER_THIRD_PARTY};
    const struct callers_verified unknown = {15, (enum caller_kind)9, (enum caller_kind)17};
    assert_err(callers_choose(all, &nothing, &got, &why, &fault), ERR_DENIED);
    assert_err(callers_choose(none, &everything, &got, &why, &fault), ERR_DENIED);
    assert_err(callers_choose(none, &nothing, &got, &why, &fault), ERR_DENIED);
    assert_err(callers_choose(all, &unknown, &got, &why, &fault), ERR_DENIED);
    assert_int_equal(got.kind, CALLER_NONE);
}

static void what_the_refused_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t accept[CALLER_KINDS];
        uint8_t came;
        enum caller_kind of_token, of_product;
        enum reason want;
        const char *fault;
    } cases[] =
        {{"nothing, for a token", {0, T, T, T}, 0, N, N, REASON_TOKEN_MISSING, NULL},
         {"nothing, for a key", {0, A, A, A}, 0, N, N, REASON_APIKEY_MISSING, NULL},
         {"nothing, for a signature", {0, 0, 0, S}, 0, N, N, REASON_SIGNATURE_MISSING, NULL},
         {"nothing, for a certificate", {0, 0, 0, C}, 0, N, N, REASON_CERTIFICATE_MISSING, NULL},
         {"nothing, for either", {0, T | A, T | A, T | A}, 0, N, N, REASON_NO_CREDENTIAL, NULL},
         {"nothing, for one of each kind", {0, T, 0, S}, 0, N, N, REASON_NO_CREDENTIAL, NULL},
         {"a key without its token", {0, T, T, T}, A, N, U, REASON_TOKEN_MISSING, NULL},
         {"a token without its key", {0, A, A, A}, T, U, N, REASON_APIKEY_MISSING, NULL},
         {"a key where it must sign", {0, T, T, S}, A, N, P, REASON_CALLER_NOT_ACCEPTED, "third-party"},
         {"a key where only users may", {0, T, 0, 0}, A, N, P, REASON_CALLER_NOT_ACCEPTED, "third-party"},
         {"a certificate where only users may", {0, T, 0, 0}, C, N, V, REASON_CALLER_NOT_ACCEPTED, "service"},
         {"a service's token where only users may", {0, T, 0, 0}, T, V, N, REASON_CALLER_NOT_ACCEPTED, "service"},
         {"a user's token where only third parties may", {0, 0, 0, A}, T, U, N, REASON_CALLER_NOT_ACCEPTED, "user"},
         {"token and key, neither accepted", {0, S, 0, 0}, T | A, U, P, REASON_CALLER_NOT_ACCEPTED, "user"},
         {"where nobody may", {0}, T | A | S | C, U, U, REASON_CALLER_NOT_ACCEPTED, "user"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct callers_verified v = {cases[i].came, cases[i].of_token, cases[i].of_product};
        struct callers_choice got;
        enum reason why = REASON_INTERNAL;
        const char *fault = "untouched";
        assert_err(callers_choose(cases[i].accept, &v, &got, &why, &fault), ERR_DENIED);
        if (why != cases[i].want) fail_msg("%s: %s", cases[i].name, reason_code(why));
        assert_str(fault ? str_of(fault) : STR("-"), cases[i].fault ? str_of(cases[i].fault) : STR("-"));
    }
}

static void who_counts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint8_t accept[CALLER_KINDS];
        uint8_t came;
        enum caller_kind of_token, of_product, kind;
        uint8_t credential;
    } cases[] =
        {{"a user of a partner's app is a user", {0, T, 0, A}, T | A, CALLER_USER, CALLER_THIRD_PARTY, CALLER_USER, T},
         {"the same where users may not: the partner",
          {0, 0, 0, A},
          T | A,
          CALLER_USER,
          CALLER_THIRD_PARTY,
          CALLER_THIRD_PARTY,
          A},
         {"what proves most", {0, 0, 0, A | S | C}, A | S | C, CALLER_NONE, CALLER_THIRD_PARTY, CALLER_THIRD_PARTY, S},
         {"a certificate before a key", {0, 0, A | C, 0}, A | C, CALLER_NONE, CALLER_SERVICE, CALLER_SERVICE, C},
         {"a key beside a signature that is not asked for",
          {0, 0, 0, A},
          A | S,
          CALLER_NONE,
          CALLER_THIRD_PARTY,
          CALLER_THIRD_PARTY,
          A}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct callers_verified v = {cases[i].came, cases[i].of_token, cases[i].of_product};
        struct callers_choice got = {CALLER_NONE, 0};
        enum reason why;
        const char *fault;
        assert_err(callers_choose(cases[i].accept, &v, &got, &why, &fault), ERR_OK);
        if (got.kind != cases[i].kind || got.credential != cases[i].credential)
            fail_msg("%s: %s by %s", cases[i].name, caller_kind_name(got.kind), credential_name(got.credential));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination),
        cmocka_unit_test(nothing_is_nobody),
        cmocka_unit_test(what_the_refused_are_told),
        cmocka_unit_test(who_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
