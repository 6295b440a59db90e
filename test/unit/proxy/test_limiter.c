#include "unit.h"

#include "proxy/limiter.h"

#include <pthread.h>

#define S  UINT64_C(1000000000)
#define T0 (UINT64_C(1000) * S)

static struct limiter_charge charge(uint64_t id, uint64_t subject, uint32_t count, uint64_t period_ns, uint32_t burst)
{
    return (struct limiter_charge){.id = id, .subject = subject, .rate = limiter_rate_of(count, period_ns, burst)};
}

static struct limiter *make(void)
{
    struct limiter *l = NULL;
    assert_err(limiter_new(1024, &l), ERR_OK);
    return l;
}

static bool take(struct limiter *l, struct limiter_charge *c, uint64_t now)
{
    size_t which;
    return limiter_take(l, c, 1, now, &which) == ERR_OK;
}

static void rates_at_their_ends(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        uint64_t period;
        uint32_t burst;
        uint64_t interval, horizon;
    } t[] = {
        {1, S, 1, S, S},
        {100, S, 200, 10000000, 2 * S},
        {5, 60 * S, 5, 12 * S, 60 * S},
        {3, S, 3, 333333334, 1000000002}, /* rounded up: never more than declared */
        {1000000000, S, 1, 1, 1},
        {UINT32_MAX, S, 10, 1, 10}, /* no faster than one a nanosecond */
        {1, 86400 * S, 1, 86400 * S, 86400 * S},
        {1, 86400 * S, UINT32_MAX, 86400 * S, ((UINT64_C(1) << 60) - 1) / (86400 * S) * 86400 * S},
        {1, UINT64_MAX, UINT32_MAX, ((UINT64_C(1) << 62) - 1) / 4, ((UINT64_C(1) << 62) - 1) / 4},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct limiter_rate r = limiter_rate_of(t[i].count, t[i].period, t[i].burst);
        assert_int_equal(r.interval_ns, t[i].interval);
        if (i == 7)
            assert_true(r.horizon_ns <= (UINT64_C(1) << 60) && r.horizon_ns > UINT64_C(1) << 59);
        else
            assert_int_equal(r.horizon_ns, t[i].horizon);
    }
}

static void a_burst_then_the_rate(void **state)
{
    (void)state;
    struct limiter *l = make();
    struct limiter_charge c = charge(1, 1, 5, 60 * S, 5);
    for (uint64_t i = 0; i < 5; i++) {
        assert_true(take(l, &c, T0));
        assert_int_equal(limiter_left(&c), 4 - i);
        assert_int_equal(c.whole_ns, (i + 1) * 12 * S);
    }
    assert_false(take(l, &c, T0));
    assert_int_equal(c.retry_ns, 12 * S);
    assert_int_equal(limiter_left(&c), 0);
    assert_false(take(l, &c, T0 + 12 * S - 1));
    assert_int_equal(c.retry_ns, 1);
    assert_true(take(l, &c, T0 + 12 * S));
    assert_false(take(l, &c, T0 + 12 * S));
    /* a minute later there is the whole burst again, and not more */
    for (int i = 0; i < 5; i++) assert_true(take(l, &c, T0 + 1000 * S));
    assert_false(take(l, &c, T0 + 1000 * S));
    limiter_free(&l);
}

static void a_clock_that_steps_back_lets_nobody_in(void **state)
{
    (void)state;
    struct limiter *l = make();
    struct limiter_charge c = charge(1, 1, 1, S, 1);
    assert_true(take(l, &c, T0));
    assert_false(take(l, &c, T0 - 500 * S));
    assert_true(c.retry_ns >= 500 * S);
    assert_false(take(l, &c, 0));
    assert_true(take(l, &c, T0 + S));
    limiter_free(&l);
}

static void subjects_and_limits_are_apart(void **state)
{
    (void)state;
    struct limiter *l = make();
    struct limiter_charge a = charge(1, 1, 1, S, 1), b = charge(1, 2, 1, S, 1), c = charge(2, 1, 1, S, 1);
    assert_true(take(l, &a, T0));
    assert_true(take(l, &b, T0));
    assert_true(take(l, &c, T0));
    assert_false(take(l, &a, T0));
    assert_false(take(l, &b, T0));
    assert_false(take(l, &c, T0));
    limiter_free(&l);
}

static void all_or_none_and_the_longest_is_told(void **state)
{
    (void)state;
    struct limiter *l = make();
    size_t which = 9;
    struct limiter_charge c[3] = {charge(1, 1, 10, S, 10), charge(2, 1, 2, 60 * S, 2), charge(3, 1, 1, S, 2)};
    assert_err(limiter_take(l, c, 3, T0, &which), ERR_OK);
    assert_err(limiter_take(l, c, 3, T0, &which), ERR_OK);
    for (int i = 0; i < 50; i++) {
        assert_err(limiter_take(l, c, 3, T0, &which), ERR_DENIED);
        assert_int_equal(which, 1);
    }
    /* nobody was charged meanwhile: the first still has eight of ten */
    for (uint64_t i = 0; i < 8; i++) assert_true(take(l, &c[0], T0));
    assert_false(take(l, &c[0], T0));
    limiter_free(&l);
}

static void what_is_given_back_may_be_taken_again(void **state)
{
    (void)state;
    struct limiter *l = make();
    struct limiter_charge c = charge(1, 1, 1, S, 3);
    for (int i = 0; i < 3; i++) assert_true(take(l, &c, T0));
    limiter_give(l, &c, 1, T0);
    assert_true(take(l, &c, T0));
    assert_false(take(l, &c, T0));
    /* more than was taken is never given */
    for (int i = 0; i < 9; i++) limiter_give(l, &c, 1, T0);
    for (int i = 0; i < 3; i++) assert_true(take(l, &c, T0));
    assert_false(take(l, &c, T0));
    limiter_free(&l);
}

/* --- against a plain model: a list of words, no table --- */

#define SUBJECTS 40
struct model {
    uint64_t tat[SUBJECTS];
};

static bool model_take(struct model *m, uint64_t subject, struct limiter_rate r, uint64_t now)
{
    uint64_t from = m->tat[subject] > now ? m->tat[subject] : now;
    if (from + r.interval_ns - now > r.horizon_ns) return false;
    m->tat[subject] = from + r.interval_ns;
    return true;
}

static void it_does_what_a_plain_model_does(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        uint64_t period;
        uint32_t burst;
        uint64_t pace; /* mean time between requests */
    } t[] = {{1000000000, S, 100, 3}, {1, 86400 * S, 1, 600 * S},     {7, S, 3, S / 100},        {1000, S, 2000, 30000},
             {5, 60 * S, 5, S / 4},   {UINT32_MAX, S, UINT32_MAX, 1}, {1, 86400 * S, 50, 60 * S}};
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct limiter *l = make();
        struct model m = {{0}};
        uint64_t now = T0, let = 0;
        for (int n = 0; n < 30000; n++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            now += x % (2 * t[i].pace + 1);
            if (x >> 40 % 64 == 7)
                now -= t[i].pace < now ? t[i].pace : 0; /* now and then a worker's turn began earlier */
            uint64_t subject = (x >> 20) % SUBJECTS;
            struct limiter_charge c = charge(i + 1, subject, t[i].count, t[i].period, t[i].burst);
            bool want = model_take(&m, subject, c.rate, now), got = take(l, &c, now);
            if (got != want) fail_msg("rate %zu, request %d: %s", i, n, got ? "let through" : "refused");
            let += got;
        }
        assert_true(let > 0);
        limiter_free(&l);
    }
}

/* --- threads --- */

#define THREADS 4
static struct limiter *shared;
static _Atomic uint64_t let[64];
static struct limiter_charge common;

static void *hammer(void *arg)
{
    uint64_t x = (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15u + 7;
    for (int i = 0; i < 60000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint64_t subject = x % 64;
        struct limiter_charge c[2] = {common, common};
        size_t which;
        c[0].subject = c[1].subject = subject;
        c[1].id++;
        let[subject] += limiter_take(shared, c, 2, T0, &which) == ERR_OK;
    }
    return NULL;
}

/* Two limits a request, the second tighter: at one time exactly the burst is let through, however many ask. */
static void four_threads_count_exactly(void **state)
{
    (void)state;
    for (int round = 0; round < 8; round++) {
        pthread_t t[THREADS];
        memset(let, 0, sizeof let);
        shared = make();
        common = charge(1, 0, 500, S, 500);
        for (uintptr_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&t[i], NULL, hammer, (void *)(i + 1)), 0);
        for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
        for (int i = 0; i < 64; i++) assert_int_equal(let[i], 500);
        assert_int_equal(limiter_words(shared, T0), 128);
        limiter_free(&shared);
    }
}

/* --- a flood --- */

static void a_flood_of_addresses_unlocks_nobody_and_locks_nobody_out(void **state)
{
    (void)state;
    struct limiter *l = make();
    size_t which;
    /* five an hour: a word counts for long */
    struct limiter_charge known = charge(1, 1, 5, 3600 * S, 5), attacker = charge(1, 2, 5, 3600 * S, 5);
    known.among = 100;
    attacker.among = 200;
    assert_true(take(l, &known, T0));
    while (take(l, &attacker, T0)) {
    }
    uint64_t through = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        struct limiter_charge c = charge(1, 1000 + i, 5, 3600 * S, 5);
        c.among = 200; /* all from his network */
        through += limiter_take(l, &c, 1, T0, &which) == ERR_OK;
    }
    /* as many as there was room for, and then what sixteen may */
    assert_true(through <= 1024 + 16 * 5);
    assert_true(limiter_crowded(l) > 100000);
    assert_false(take(l, &attacker, T0));
    for (int i = 0; i < 4; i++) assert_true(take(l, &known, T0)); /* who was known has what he had */
    assert_false(take(l, &known, T0));
    struct limiter_charge newcomer = charge(1, 7, 5, 3600 * S, 5); /* from elsewhere */
    newcomer.among = 300;
    for (int i = 0; i < 5; i++) assert_true(take(l, &newcomer, T0));
    /* and once the time has passed there is room for all */
    assert_true(take(l, &attacker, T0 + 3600 * S));
    assert_true(limiter_words(l, T0 + 7300 * S) == 0);
    limiter_free(&l);
}

static void without_memory_there_is_none(void **state)
{
    (void)state;
    EACH_ALLOC_FAILING({
        struct limiter *l = NULL;
        enum err e = limiter_new(64, &l);
        assert_true(e == ERR_OK ? l != NULL : e == ERR_NO_MEMORY && !l);
        limiter_free(&l);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_at_their_ends),
        cmocka_unit_test(a_burst_then_the_rate),
        cmocka_unit_test(a_clock_that_steps_back_lets_nobody_in),
        cmocka_unit_test(subjects_and_limits_are_apart),
        cmocka_unit_test(all_or_none_and_the_longest_is_told),
        cmocka_unit_test(what_is_given_back_may_be_taken_again),
        cmocka_unit_test(it_does_what_a_plain_model_does),
        cmocka_unit_test(four_threads_count_exactly),
        cmocka_unit_test(a_flood_of_addresses_unlocks_nobody_and_locks_nobody_out),
        cmocka_unit_test(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
