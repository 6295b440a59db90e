#include "unit.h"

#include "services/throttle.h"

static struct throttle *make(void)
{
    struct throttle *t;
    assert_err(throttle_new((struct throttle_rate){10, 60000}, (struct throttle_rate){60, 60000}, &t), ERR_OK);
    return t;
}

/* Failed attempts that were let through, of n. */
static unsigned fail_times(struct throttle *t, const char *name, const char *address, unsigned n, uint64_t now)
{
    unsigned through = 0;
    struct throttle_attempt who = throttle_attempt(STR("users"), str_of(name), str_of(address));
    for (unsigned i = 0; i < n; i++) {
        uint32_t delay;
        uint64_t retry = 0;
        enum err e = throttle_begin(t, &who, now, &delay, &retry);
        if (e == ERR_OK)
            through++;
        else
            assert_true(retry > 0 && retry <= 60000);
    }
    return through;
}

static void so_many_in_a_window(void **state)
{
    struct throttle *t = make();
    (void)state;
    assert_int_equal(fail_times(t, "alice", "192.0.2.1", 50, 1000), 10);
    assert_int_equal(fail_times(t, "alice", "192.0.2.1", 50, 1000 + 5999), 0);
    assert_int_equal(fail_times(t, "alice", "192.0.2.1", 50, 1000 + 6000), 1);
    assert_int_equal(fail_times(t, "alice", "192.0.2.1", 50, 1000 + 1000000), 10);
    assert_int_equal(fail_times(t, "bob", "192.0.2.1", 5, 1000 + 1000000), 5);
    assert_int_equal(fail_times(t, "alice", "192.0.2.2", 5, 1000 + 1000000), 5);
    throttle_free(&t);
}

static void an_address_tries_many_accounts(void **state)
{
    struct throttle *t = make();
    unsigned through = 0;
    char name[16];
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "user%u", i);
        through += fail_times(t, name, "192.0.2.1", 1, 1000);
    }
    assert_int_equal(through, 60);
    assert_int_equal(fail_times(t, "x", "2001:db8:1:2:3:4:5:6", 1, 1000), 1);
    throttle_free(&t);
}

static void a_v6_household_is_one_address(void **state)
{
    struct throttle *t = make();
    char address[64];
    unsigned through = 0;
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(address, sizeof address, "2001:db8:1:2::%x", i);
        through += fail_times(t, "alice", address, 1, 1000);
    }
    assert_int_equal(through, 10);
    assert_int_equal(fail_times(t, "alice", "2001:db8:1:3::1", 1, 1000), 1);
    throttle_free(&t);
}

static void a_good_login_costs_nothing(void **state)
{
    struct throttle *t = make();
    struct throttle_attempt who = throttle_attempt(STR("users"), STR("alice"), STR("192.0.2.1"));
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t delay;
        uint64_t retry;
        assert_err(throttle_begin(t, &who, 1000, &delay, &retry), ERR_OK);
        assert_int_equal(delay, 0);
        throttle_good(t, &who, 1000);
    }
    throttle_free(&t);
}

static void an_account_under_attack_is_slow_for_strangers_only(void **state)
{
    struct throttle *t = make();
    char address[32];
    uint32_t delay = 0;
    uint64_t retry;
    (void)state;
    struct throttle_attempt owner = throttle_attempt(STR("users"), STR("alice"), STR("198.51.100.1"));
    assert_err(throttle_begin(t, &owner, 1000, &delay, &retry), ERR_OK);
    throttle_good(t, &owner, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(address, sizeof address, "10.0.%u.%u", i / 250, i % 250);
        struct throttle_attempt who = throttle_attempt(STR("users"), STR("alice"), str_of(address));
        assert_err(throttle_begin(t, &who, 1000, &delay, &retry), ERR_OK); /* never refused */
    }
    assert_int_equal(delay, 2000);
    assert_err(throttle_begin(t, &owner, 1000, &delay, &retry), ERR_OK);
    assert_int_equal(delay, 0);
    throttle_void(t, &owner, 1000);
    /* and it is over soon after the attack is */
    struct throttle_attempt other = throttle_attempt(STR("users"), STR("alice"), STR("198.51.100.2"));
    assert_err(throttle_begin(t, &other, 1000 + 120000, &delay, &retry), ERR_OK);
    assert_int_equal(delay, 0);
    throttle_free(&t);
}

static void a_flood_of_names_forgets_no_attacked_account(void **state)
{
    struct throttle *t = make();
    char name[32], address[32];
    (void)state;
    assert_int_equal(fail_times(t, "alice", "192.0.2.1", 50, 1000), 10);
    for (unsigned i = 0; i < 200000; i++) {
        uint32_t delay;
        uint64_t retry;
        snprintf(name, sizeof name, "u%u", i);
        snprintf(address, sizeof address, "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
        struct throttle_attempt who = throttle_attempt(STR("users"), str_of(name), str_of(address));
        (void)!throttle_begin(t, &who, 1000, &delay, &retry);
    }
    assert_int_equal(fail_times(t, "alice", "192.0.2.1", 5, 1000), 0);
    throttle_free(&t);
}

static void wrong_secrets_count_against_the_address(void **state)
{
    struct throttle *t = make();
    uint64_t retry = 0;
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        assert_err(throttle_address(t, STR("192.0.2.1"), 1000, &retry), ERR_OK);
        throttle_address_failed(t, STR("192.0.2.1"), 1000);
    }
    assert_err(throttle_address(t, STR("192.0.2.1"), 1000, &retry), ERR_LIMIT);
    assert_true(retry > 0 && retry <= 1000);
    assert_int_equal(fail_times(t, "alice", "192.0.2.1", 1, 1000), 0);
    throttle_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(so_many_in_a_window),
                                       cmocka_unit_test(an_address_tries_many_accounts),
                                       cmocka_unit_test(a_v6_household_is_one_address),
                                       cmocka_unit_test(a_good_login_costs_nothing),
                                       cmocka_unit_test(an_account_under_attack_is_slow_for_strangers_only),
                                       cmocka_unit_test(a_flood_of_names_forgets_no_attacked_account),
                                       cmocka_unit_test(wrong_secrets_count_against_the_address)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
