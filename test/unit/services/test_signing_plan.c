#include "unit.h"

#include "services/signing_plan.h"

#define HOUR ((uint64_t)3600 * 1000)
#define NOW  ((uint64_t)1700000000000)

static const struct signing_policy policy = {.alg = ALG_ES256,
                                             .rotate_ms = 24 * HOUR,
                                             .ahead_ms = HOUR,
                                             .token_s = 600};

static struct signing_plan plan;

static int start(void **state)
{
    (void)state;
    memset(&plan, 0, sizeof plan);
    return 0;
}

static struct signing_plan_key *add(const char *kid, enum signing_key_state s, enum alg alg, uint64_t from_ms)
{
    struct signing_plan_key *k = &plan.keys[plan.n++];
    *k = (struct signing_plan_key){.kid_n = strlen(kid), .readable = true};
    memcpy(k->kid, kid, k->kid_n);
    k->record = (struct signing_key_record){.alg = alg, .state = s, .sign_from_ms = from_ms, .created_ms = from_ms};
    return k;
}

static struct signing_action next(uint64_t now)
{
    return signing_plan_next(&plan, &policy, now);
}

static void ask(enum signing_request_kind kind, enum alg alg, const char *kid)
{
    plan.has_request = true;
    plan.request = (struct signing_request){.kind = kind, .alg = alg, .kid = str_of(kid)};
}

static void the_first_key_signs_as_soon_as_it_may(void **state)
{
    (void)state;
    struct signing_action a = next(NOW);
    assert_int_equal(a.step, SIGNING_MAKE);
    assert_int_equal(a.alg, ALG_ES256);
    assert_int_equal(a.at_ms, NOW);
    add("n", SIGNING_KEY_NEXT, ALG_ES256, NOW);
    assert_int_equal(next(NOW).step, SIGNING_PROMOTE);
}

static void a_successor_comes_ahead_of_its_time(void **state)
{
    (void)state;
    add("c", SIGNING_KEY_CURRENT, ALG_ES256, NOW);
    struct signing_action a = next(NOW);
    assert_int_equal(a.step, SIGNING_WAIT);
    assert_int_equal(a.at_ms, NOW + 23 * HOUR);
    assert_int_equal(next(NOW + 23 * HOUR - 1).step, SIGNING_WAIT);
    a = next(NOW + 23 * HOUR);
    assert_int_equal(a.step, SIGNING_MAKE);
    assert_int_equal(a.at_ms, NOW + 24 * HOUR);
    a = next(NOW + 100 * HOUR); /* nobody was running */
    assert_int_equal(a.step, SIGNING_MAKE);
    assert_int_equal(a.at_ms, NOW + 100 * HOUR);
    add("n", SIGNING_KEY_NEXT, ALG_ES256, NOW + 24 * HOUR);
    assert_int_equal(next(NOW + 24 * HOUR - 1).step, SIGNING_WAIT);
    a = next(NOW + 24 * HOUR);
    assert_int_equal(a.step, SIGNING_PROMOTE);
    assert_int_equal(a.key, 1);
}

static void an_old_key_goes_when_its_tokens_have(void **state)
{
    (void)state;
    add("c", SIGNING_KEY_CURRENT, ALG_ES256, NOW);
    int64_t until = signing_plan_until(&policy, NOW);
    assert_true(until >= (int64_t)(NOW / 1000) + 600 + 10);
    add("o", SIGNING_KEY_OLD, ALG_ES256, NOW - HOUR)->record.verify_until_s = until;
    struct signing_action a = next(NOW);
    assert_int_equal(a.step, SIGNING_WAIT);
    assert_int_equal(a.at_ms, (uint64_t)until * 1000);
    a = next((uint64_t)until * 1000);
    assert_int_equal(a.step, SIGNING_REMOVE);
    assert_int_equal(a.key, 1);
}

static void another_algorithm_in_the_configuration(void **state)
{
    (void)state;
    add("c", SIGNING_KEY_CURRENT, ALG_RS256, NOW);
    struct signing_action a = next(NOW + 1);
    assert_int_equal(a.step, SIGNING_MAKE);
    assert_int_equal(a.alg, ALG_ES256);
    assert_int_equal(a.at_ms, NOW + 1 + HOUR);
    add("n", SIGNING_KEY_NEXT, ALG_RS256, NOW + HOUR); /* one that never signed is no use */
    a = next(NOW + 1);
    assert_int_equal(a.step, SIGNING_REMOVE);
    assert_int_equal(a.key, 1);
    /* what an administrator asked for holds until the configuration says something else */
    plan.n = 1;
    plan.sticky = ALG_RS256;
    plan.sticky_over = ALG_ES256;
    assert_int_equal(next(NOW + 1).step, SIGNING_WAIT);
    plan.sticky_over = ALG_ES384;
    assert_int_equal(next(NOW + 1).step, SIGNING_MAKE);
}

static void rotating_by_request(void **state)
{
    (void)state;
    add("c", SIGNING_KEY_CURRENT, ALG_ES256, NOW);
    ask(SIGNING_REQUEST_ROTATE, ALG_INVALID, "");
    struct signing_action a = next(NOW);
    assert_int_equal(a.step, SIGNING_MAKE);
    assert_int_equal(a.at_ms, NOW);
    assert_true(a.takes_request);
    add("n", SIGNING_KEY_NEXT, ALG_ES256, NOW + HOUR);
    a = next(NOW);
    assert_int_equal(a.step, SIGNING_HURRY);
    assert_true(a.takes_request);
    ask(SIGNING_REQUEST_ROTATE, ALG_EDDSA, "");
    a = next(NOW);
    assert_int_equal(a.step, SIGNING_REMOVE);
    assert_int_equal(a.key, 1);
    assert_false(a.takes_request);
    plan.n = 1;
    a = next(NOW);
    assert_int_equal(a.step, SIGNING_MAKE);
    assert_int_equal(a.alg, ALG_EDDSA);
}

static void retiring_by_request(void **state)
{
    (void)state;
    add("c", SIGNING_KEY_CURRENT, ALG_ES256, NOW);
    add("o", SIGNING_KEY_OLD, ALG_ES256, NOW)->record.verify_until_s = (int64_t)(NOW / 1000) + 1000;
    ask(SIGNING_REQUEST_RETIRE, ALG_INVALID, "o");
    struct signing_action a = next(NOW);
    assert_int_equal(a.step, SIGNING_REMOVE);
    assert_int_equal(a.key, 1);
    assert_true(a.takes_request);
    ask(SIGNING_REQUEST_RETIRE, ALG_INVALID, "c");
    a = next(NOW);
    assert_int_equal(a.step, SIGNING_MAKE); /* never without one that signs */
    assert_false(a.takes_request);
    add("n", SIGNING_KEY_NEXT, ALG_ES256, NOW);
    a = next(NOW);
    assert_int_equal(a.step, SIGNING_MARK);
    assert_int_equal(a.key, 0);
    assert_true(a.takes_request);
    ask(SIGNING_REQUEST_RETIRE, ALG_INVALID, "nobody");
    assert_int_equal(next(NOW).step, SIGNING_DROP);
}

static void too_many_old_ones_hold_the_next_up(void **state)
{
    char kid[16];
    (void)state;
    add("c", SIGNING_KEY_CURRENT, ALG_ES256, NOW - 30 * HOUR);
    for (unsigned i = 1; i < SIGNING_KEYS_MAX; i++) {
        snprintf(kid, sizeof kid, "o%u", i);
        add(kid, SIGNING_KEY_OLD, ALG_ES256, NOW)->record.verify_until_s = (int64_t)(NOW / 1000) + (int64_t)i;
    }
    struct signing_action a = next(NOW);
    assert_int_equal(a.step, SIGNING_WAIT);
    assert_int_equal(a.at_ms, NOW + 1000);
    assert_int_equal(next(NOW + 1000).step, SIGNING_REMOVE);
    plan.n--;
    assert_int_equal(next(NOW).step, SIGNING_MAKE);
}

static void a_key_of_another_seal(void **state)
{
    (void)state;
    add("c", SIGNING_KEY_CURRENT, ALG_ES256, NOW)->readable = false;
    assert_int_equal(next(NOW).step, SIGNING_STUCK);
    ask(SIGNING_REQUEST_ROTATE, ALG_INVALID, ""); /* somebody decided */
    assert_int_equal(next(NOW).step, SIGNING_MAKE);
    plan.has_request = false;
    add("n", SIGNING_KEY_NEXT, ALG_ES256, NOW);
    assert_int_equal(next(NOW).step, SIGNING_PROMOTE);
    plan.keys[1].readable = false; /* whoever has the wrong seal touches nothing */
    assert_int_equal(next(NOW).step, SIGNING_STUCK);
    plan.keys[0].readable = true;
    assert_int_equal(next(NOW).step, SIGNING_REMOVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(the_first_key_signs_as_soon_as_it_may, start),
                                       cmocka_unit_test_setup(a_successor_comes_ahead_of_its_time, start),
                                       cmocka_unit_test_setup(an_old_key_goes_when_its_tokens_have, start),
                                       cmocka_unit_test_setup(another_algorithm_in_the_configuration, start),
                                       cmocka_unit_test_setup(rotating_by_request, start),
                                       cmocka_unit_test_setup(retiring_by_request, start),
                                       cmocka_unit_test_setup(too_many_old_ones_hold_the_next_up, start),
                                       cmocka_unit_test_setup(a_key_of_another_seal, start)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
