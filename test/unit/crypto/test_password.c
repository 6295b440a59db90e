#include "unit.h"

#include "crypto/password.h"

static const struct password_cost cost = {8192, 1}; /* the least there is: this is no test of slowness */

static void a_hash_is_of_its_password_only(void **state)
{
    char a[PASSWORD_HASH_MAX], b[PASSWORD_HASH_MAX];
    (void)state;
    assert_err(password_hash(STR("correct horse"), cost, a), ERR_OK);
    assert_err(password_hash(STR("correct horse"), cost, b), ERR_OK);
    assert_string_not_equal(a, b);
    assert_true(str_starts(str_of(a), STR("$argon2id$v=19$m=8,t=1,p=1$")));
    assert_err(password_verify(str_of(a), STR("correct horse")), ERR_OK);
    assert_err(password_verify(str_of(a), STR("correct horsf")), ERR_DENIED);
    assert_err(password_verify(str_of(a), STR("")), ERR_DENIED);
    assert_err(password_hash(STR_NONE, cost, a), ERR_OK);
    assert_err(password_verify(str_of(a), STR_NONE), ERR_OK);
    static char longest[PASSWORD_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_err(password_hash(str_make(longest, PASSWORD_MAX), cost, a), ERR_OK);
    assert_err(password_verify(str_of(a), str_make(longest, PASSWORD_MAX)), ERR_OK);
    assert_err(password_verify(str_of(a), str_make(longest, PASSWORD_MAX - 1)), ERR_DENIED);
    assert_err(password_hash(str_make(longest, PASSWORD_MAX + 1), cost, a), ERR_LIMIT);
    assert_err(password_verify(str_of(a), str_make(longest, PASSWORD_MAX + 1)), ERR_LIMIT);
}

/* Made by the reference implementation's command line. */
static void hashes_made_elsewhere(void **state)
{
    static const str four =
        STR_INIT("$argon2id$v=19$m=64,t=3,p=4$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6");
    static const str eight =
        STR_INIT("$argon2id$v=19$m=8192,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$PAhvwIsyEVEXn992OruhOQu16/mpyKxOmlVcrONIth8");
    struct password_cost c;
    unsigned lanes;
    (void)state;
    assert_err(password_verify(four, STR("lanes horse")), ERR_OK);
    assert_err(password_verify(four, STR("lanes horsf")), ERR_DENIED);
    assert_err(password_verify(eight, STR("correct horse")), ERR_OK);
    assert_err(password_hash_read(four, &c, &lanes), ERR_OK);
    assert_int_equal(c.memory, 65536);
    assert_int_equal(c.passes, 3);
    assert_int_equal(lanes, 4);
    assert_false(password_needs_rehash(eight, (struct password_cost){8192 * 1024, 2}));
    assert_false(password_needs_rehash(eight, (struct password_cost){4096 * 1024, 1}));
    assert_true(password_needs_rehash(eight, (struct password_cost){8192 * 1024, 3}));
    assert_true(password_needs_rehash(eight, (struct password_cost){8193 * 1024, 2}));
    assert_true(password_needs_rehash(four, (struct password_cost){65536, 3})); /* four lanes are not ours */
    assert_true(password_needs_rehash(STR("x"), cost));
}

static void what_is_no_hash(void **state)
{
    static const struct {
        const char *text;
        enum err want;
    } cases[] = {
        {"", ERR_MALFORMED},
        {"correct horse", ERR_MALFORMED},
        {"$argon2i$v=19$m=8192,t=2,p=1$c29tZXNhbHQxMjM0NTY3OA$7NuoqbXqYVwOzGeowrPiQd/4OuA/dkonZQsmdtSaNvU",
         ERR_MALFORMED},
        {"$argon2id$v=16$m=64,t=3,p=4$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6", ERR_MALFORMED},
        {"$argon2id$v=19$m=064,t=3,p=4$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6", ERR_MALFORMED},
        {"$argon2id$v=19$m=64,t=3,p=4$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6$x", ERR_MALFORMED},
        {"$argon2id$v=19$m=64,t=3,p=4$c29t$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6", ERR_MALFORMED},
        {"$argon2id$v=19$m=64,t=3,p=4$c29tZXNhbHQxMjM0NTY3OA$7uddwCOy", ERR_MALFORMED},
        {"$argon2id$v=19$m=64,t=3,p=4,keyid=x$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6", ERR_MALFORMED},
        {"$argon2id$v=19$m=99999999999,t=3,p=4$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6", ERR_MALFORMED},
        /* well formed, but nothing that we would compute */
        {"$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6", ERR_LIMIT},
        {"$argon2id$v=19$m=64,t=21,p=4$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6", ERR_LIMIT},
        {"$argon2id$v=19$m=64,t=3,p=5$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6", ERR_LIMIT},
        {"$argon2id$v=19$m=31,t=3,p=4$c29tZXNhbHQxMjM0NTY3OA$7uddwCOyfHNGUSY/3p3ex2BgIhbHieX6", ERR_LIMIT}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum err e = password_verify(str_of(cases[i].text), STR("lanes horse"));
        if (e != cases[i].want) fail_msg("%s: %s", cases[i].text, err_name(e));
        assert_err(password_hash_read(str_of(cases[i].text), NULL, NULL), cases[i].want);
    }
}

static void nobody_knows_the_dummy(void **state)
{
    char a[PASSWORD_HASH_MAX], b[PASSWORD_HASH_MAX];
    struct password_cost c;
    (void)state;
    assert_err(password_dummy(cost, a), ERR_OK);
    assert_err(password_dummy(cost, b), ERR_OK);
    assert_string_not_equal(a, b);
    assert_err(password_hash_read(str_of(a), &c, NULL), ERR_OK);
    assert_int_equal(c.memory, cost.memory);
    assert_err(password_verify(str_of(a), STR("")), ERR_DENIED);
    assert_err(password_dummy((struct password_cost){1, 1}, a), ERR_LIMIT);
    assert_err(password_dummy((struct password_cost){8192, 0}, a), ERR_LIMIT);
    assert_err(password_hash(STR("x"), (struct password_cost){8191, 1}, a), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_hash_is_of_its_password_only),
                                       cmocka_unit_test(hashes_made_elsewhere), cmocka_unit_test(what_is_no_hash),
                                       cmocka_unit_test(nobody_knows_the_dummy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
