/* The breaker's states, with time passed in: what opens it, who tries, what closes it, and that one kind of caller
 * harms no other. */
#include "unit.h"

#include "proxy/breaker.h"

#include <pthread.h>

static const struct snapshot_breaker settings =
    {.on = true, .errors = 50, .of = 10, .window_ms = 8000, .open_ms = 5000, .concurrent = {[CALLER_THIRD_PARTY] = 2}};
static struct breaker b;
static enum breaker_change change;

static enum breaker_answer begin(uint64_t now_ms, struct breaker_hold *hold)
{
    return breaker_begin(&b, &settings, CALLER_USER, now_ms, hold, &change);
}

/* One request from beginning to end; its answer by the breaker. */
static enum breaker_answer ask(uint64_t now_ms, bool good)
{
    struct breaker_hold hold;
    enum breaker_answer answer = begin(now_ms, &hold);
    enum breaker_change first = change;
    if (answer == BREAKER_PASSED) change = breaker_tell(&b, &settings, now_ms, good, &hold);
    if (change == BREAKER_SAME) change = first;
    breaker_end(&b, &hold);
    return answer;
}

static void ask_many(uint32_t n, uint64_t now_ms, bool good)
{
    for (uint32_t i = 0; i < n; i++) (void)ask(now_ms, good);
}

static void reset(void)
{
    memset(&b, 0, sizeof b);
}

/* --- what opens it --- */

static void opens(void **state)
{
    static const struct {
        const char *name;
        struct {
            uint32_t good, bad;
            uint64_t at_ms;
        } v[3];
        enum breaker_state want;
    } rows[] = {
        {"nothing", {{0}}, BREAKER_CLOSED},
        {"too few to judge by", {{0, 9, 1000}}, BREAKER_CLOSED},
        {"all of enough", {{0, 10, 1000}}, BREAKER_OPEN},
        {"half of enough", {{5, 5, 1000}}, BREAKER_OPEN},
        {"less than half", {{6, 5, 1000}}, BREAKER_CLOSED},
        {"good ones only", {{1000, 0, 1000}}, BREAKER_CLOSED},
        {"many good ones before", {{100, 0, 1000}, {0, 99, 2000}}, BREAKER_CLOSED},
        {"as many bad ones behind", {{100, 0, 1000}, {0, 100, 2000}}, BREAKER_OPEN},
        {"over several buckets", {{0, 4, 1000}, {0, 3, 4000}, {0, 3, 8000}}, BREAKER_OPEN},
        {"the first have left the window", {{0, 4, 1000}, {0, 3, 8900}, {0, 3, 9100}}, BREAKER_CLOSED},
        {"good ones that have left it help no more", {{100, 0, 1000}, {0, 10, 9100}}, BREAKER_OPEN},
        {"a bucket that comes round again begins anew", {{0, 9, 1000}, {0, 9, 9000}}, BREAKER_CLOSED},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        reset();
        uint64_t last = 0;
        for (size_t k = 0; k < ARRAY_LEN(rows[i].v); k++) {
            ask_many(rows[i].v[k].good, rows[i].v[k].at_ms, true);
            ask_many(rows[i].v[k].bad, rows[i].v[k].at_ms, false);
            if (rows[i].v[k].at_ms) last = rows[i].v[k].at_ms;
        }
        print_message("%s\n", rows[i].name);
        assert_int_equal(breaker_state(&b, last), rows[i].want);
        struct breaker_hold hold;
        assert_int_equal(begin(last, &hold), rows[i].want == BREAKER_CLOSED ? BREAKER_PASSED : BREAKER_REFUSED);
        breaker_end(&b, &hold);
    }
}

static void opened(uint64_t now_ms)
{
    reset();
    ask_many(9, now_ms, false);
    assert_int_equal(ask(now_ms, false), BREAKER_PASSED);
    assert_int_equal(change, BREAKER_OPENED);
}

/* --- half open --- */

static void trials_close_it(void **state)
{
    (void)state;
    opened(1000);
    assert_int_equal(ask(5999, true), BREAKER_REFUSED);
    assert_int_equal(breaker_state(&b, 6000), BREAKER_HALF_OPEN);
    assert_int_equal(ask(6000, true), BREAKER_PASSED);
    assert_int_equal(change, BREAKER_HALVED);
    for (uint32_t i = 1; i < BREAKER_TRIALS; i++) {
        assert_int_equal(breaker_state(&b, 6000), BREAKER_HALF_OPEN);
        assert_int_equal(ask(6000 + i, true), BREAKER_PASSED);
    }
    assert_int_equal(change, BREAKER_CLOSED_AGAIN);
    assert_int_equal(breaker_state(&b, 6010), BREAKER_CLOSED);
    ask_many(9, 6010, false); /* what made it open is forgotten: these are too few by themselves */
    assert_int_equal(breaker_state(&b, 6010), BREAKER_CLOSED);
    ask_many(20, 6010, false);
    assert_int_equal(breaker_state(&b, 6010), BREAKER_OPEN);
    assert_int_equal(atomic_load(&b.opened), 2);
}

static void a_bad_trial_opens_it(void **state)
{
    (void)state;
    opened(1000);
    assert_int_equal(ask(6000, true), BREAKER_PASSED);
    assert_int_equal(ask(6001, false), BREAKER_PASSED);
    assert_int_equal(change, BREAKER_OPENED);
    assert_int_equal(ask(11000, true), BREAKER_REFUSED);
    assert_int_equal(ask(11001, true), BREAKER_PASSED); /* and the good one before that does not count any more */
    assert_int_equal(ask(11002, true), BREAKER_PASSED);
    assert_int_equal(breaker_state(&b, 11002), BREAKER_HALF_OPEN);
}

static void one_trial_at_a_time(void **state)
{
    struct breaker_hold trial, other;
    (void)state;
    opened(1000);
    assert_int_equal(begin(6000, &trial), BREAKER_PASSED);
    for (uint64_t t = 6000; t < 6100; t += 10) assert_int_equal(ask(t, true), BREAKER_REFUSED);
    breaker_end(&b, &trial); /* its client left: it tells nothing, and another may try */
    assert_int_equal(breaker_state(&b, 6100), BREAKER_HALF_OPEN);
    assert_int_equal(begin(6100, &trial), BREAKER_PASSED);
    assert_int_equal(breaker_tell(&b, &settings, 6200, true, &trial), BREAKER_SAME);
    assert_int_equal(breaker_tell(&b, &settings, 6200, false, &trial), BREAKER_SAME); /* one word a request */
    assert_int_equal(begin(6200, &other), BREAKER_PASSED); /* its answer goes on; the trial is over */
    breaker_end(&b, &trial);
    assert_int_equal(begin(6201, &trial), BREAKER_REFUSED); /* the other one still is */
    breaker_end(&b, &other);
}

/* Requests of before it opened end while it is half open: they neither close nor open it. */
static void late_words(void **state)
{
    struct breaker_hold early[2], trial;
    (void)state;
    reset();
    assert_int_equal(begin(900, &early[0]), BREAKER_PASSED);
    assert_int_equal(begin(900, &early[1]), BREAKER_PASSED);
    ask_many(10, 1000, false);
    assert_int_equal(begin(6000, &trial), BREAKER_PASSED);
    assert_int_equal(breaker_tell(&b, &settings, 6001, false, &early[0]), BREAKER_SAME);
    assert_int_equal(breaker_tell(&b, &settings, 6001, true, &early[1]), BREAKER_SAME);
    assert_int_equal(breaker_state(&b, 6001), BREAKER_HALF_OPEN);
    assert_int_equal(breaker_tell(&b, &settings, 6002, true, &trial), BREAKER_SAME);
    breaker_end(&b, &trial);
}

static void one_word_counts(void **state)
{
    struct breaker_hold hold;
    uint32_t requests, errors;
    (void)state;
    reset();
    assert_int_equal(begin(1000, &hold), BREAKER_PASSED);
    for (int i = 0; i < 50; i++) assert_int_equal(breaker_tell(&b, &settings, 1000, i == 0, &hold), BREAKER_SAME);
    breaker_end(&b, &hold);
    breaker_window(&b, &settings, 1000, &requests, &errors);
    assert_int_equal(requests, 1);
    assert_int_equal(errors, 0);
}

/* --- the bound of those under way --- */

static void crowd(void **state)
{
    struct breaker_hold hold[4];
    (void)state;
    reset();
    for (int i = 0; i < 2; i++)
        assert_int_equal(breaker_begin(&b, &settings, CALLER_THIRD_PARTY, 1000, &hold[i], &change), BREAKER_PASSED);
    assert_int_equal(breaker_begin(&b, &settings, CALLER_THIRD_PARTY, 1000, &hold[2], &change), BREAKER_CROWDED);
    breaker_end(&b, &hold[2]); /* who was refused holds nothing */
    assert_int_equal(breaker_begin(&b, &settings, CALLER_THIRD_PARTY, 1000, &hold[2], &change), BREAKER_CROWDED);
    breaker_end(&b, &hold[0]);
    breaker_end(&b, &hold[0]); /* twice is once */
    assert_int_equal(breaker_begin(&b, &settings, CALLER_THIRD_PARTY, 1000, &hold[2], &change), BREAKER_PASSED);
    assert_int_equal(breaker_begin(&b, &settings, CALLER_THIRD_PARTY, 1000, &hold[3], &change), BREAKER_CROWDED);
    assert_int_equal(atomic_load(&b.crowded), 3);
    assert_int_equal(atomic_load(&b.in_flight), 2);
}

static void off(void **state)
{
    static const struct snapshot_breaker none = {.on = false};
    struct breaker_hold hold;
    (void)state;
    reset();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(breaker_begin(&b, &none, CALLER_USER, 1000, &hold, &change), BREAKER_PASSED);
        assert_int_equal(breaker_tell(&b, &none, 1000, false, &hold), BREAKER_SAME);
        breaker_end(&b, &hold);
    }
    assert_int_equal(breaker_state(&b, 1000), BREAKER_CLOSED);
}

/* --- threads --- */

static void *hammer(void *arg)
{
    uint64_t *passed = arg;
    for (int i = 0; i < 20000; i++) {
        struct breaker_hold hold;
        enum breaker_change c;
        if (breaker_begin(&b, &settings, CALLER_THIRD_PARTY, 6000, &hold, &c) != BREAKER_PASSED) continue;
        ++*passed;
        (void)breaker_tell(&b, &settings, 6000, true, &hold);
        breaker_end(&b, &hold);
    }
    return NULL;
}

static void two_threads(void **state)
{
    pthread_t other;
    uint64_t passed[2] = {0};
    uint32_t requests, errors;
    (void)state;
    reset();
    assert_int_equal(pthread_create(&other, NULL, hammer, &passed[1]), 0);
    hammer(&passed[0]);
    pthread_join(other, NULL);
    breaker_window(&b, &settings, 6000, &requests, &errors);
    assert_int_equal(requests, passed[0] + passed[1]); /* none is lost */
    assert_int_equal(errors, 0);
    assert_int_equal(atomic_load(&b.in_flight), 0);
    assert_int_equal(passed[0] + passed[1], 40000); /* two at a time may be, and no more are */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens),
        cmocka_unit_test(trials_close_it),
        cmocka_unit_test(a_bad_trial_opens_it),
        cmocka_unit_test(one_trial_at_a_time),
        cmocka_unit_test(late_words),
        cmocka_unit_test(one_word_counts),
        cmocka_unit_test(crowd),
        cmocka_unit_test(off),
        cmocka_unit_test(two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
