/* Who is chosen how often, with fixed seeds: shares by weight, level and load; the hash stays put. */
#include "service.h"

#include "base/clock.h"

#include <math.h>

static struct made_service m;

static struct balancer *open_balancer(enum balance_kind kind, const struct member *v, uint32_t n)
{
    make_service(&m, kind, v, n, 1000);
    struct balancer *b = balancer_new(&m.service, m.set->all, 0, 0x5eed);
    assert_non_null(b);
    return b;
}

static void close_balancer(struct balancer **b)
{
    balancer_free(b);
    drop_service(&m);
}

static uint32_t choose(struct balancer *b, uint64_t hash, uint64_t now_ms)
{
    bool panic;
    return balancer_choose(b, &(struct balance_ask){.now_ms = now_ms, .hash = hash}, &panic);
}

static void count(struct balancer *b, uint32_t n, uint32_t *got, uint64_t now_ms)
{
    char key[32];
    memset(got, 0, MEMBERS_MAX * sizeof *got);
    for (uint32_t i = 0; i < n; i++) {
        int len = snprintf(key, sizeof key, "user-%u", i);
        got[choose(b, balance_hash(str_make(key, (size_t)len)), now_ms)]++;
    }
}

/* Pearson's statistic against the expected shares, by its bound at p = 0.001 (Wilson and Hilferty's approximation). */
static void assert_shares(const uint32_t *got, const double *share, uint32_t n, uint32_t draws)
{
    double chi = 0, freedom = -1;
    for (uint32_t i = 0; i < n; i++) {
        double want = share[i] * draws;
        if (want < 1e-9) {
            assert_int_equal(got[i], 0);
            continue;
        }
        chi += (got[i] - want) * (got[i] - want) / want;
        freedom++;
    }
    double t = 2 / (9 * freedom), bound = freedom * pow(1 - t + 3.09 * sqrt(t), 3);
    if (freedom > 0 && chi > bound) fail_msg("chi-square %.1f, at most %.1f", chi, bound);
}

/* --- shares --- */

#define SAME  false
#define OTHER true
#define W(w)                                                                                                           \
    {                                                                                                                  \
        w, SAME, 0                                                                                                     \
    }
#define FAR(w)                                                                                                         \
    {                                                                                                                  \
        w, OTHER, 0                                                                                                    \
    }

static const struct {
    const char *name;
    enum balance_kind kind;
    uint32_t n;
    struct member v[6];
    unsigned down; /* bit by member */
    double share[6];
} cases[] = {
    {"even", BALANCE_LEAST_REQUEST, 4, {W(1), W(1), W(1), W(1)}, 0, {.25, .25, .25, .25}},
    {"by weight", BALANCE_LEAST_REQUEST, 3, {W(1), W(2), W(5)}, 0, {.125, .25, .625}},
    {"one is down", BALANCE_LEAST_REQUEST, 3, {W(1), W(1), W(2)}, 1, {0, 1 / 3.0, 2 / 3.0}},
    {"all are down: all serve", BALANCE_LEAST_REQUEST, 2, {W(1), W(3)}, 3, {.25, .75}},
    {"own zone only", BALANCE_LEAST_REQUEST, 4, {W(1), W(1), FAR(1), FAR(1)}, 0, {.5, .5, 0, 0}},
    {"own zone at 3/4 carries all (1.05)",
     BALANCE_LEAST_REQUEST,
     6,
     {W(1), W(1), W(1), W(1), FAR(1), FAR(1)},
     1,
     {0, 1 / 3.0, 1 / 3.0, 1 / 3.0, 0, 0}},
    {"own zone at 1/2 carries 0.7, the rest goes over",
     BALANCE_LEAST_REQUEST,
     4,
     {W(1), W(1), FAR(1), FAR(1)},
     1,
     {0, .7, .15, .15}},
    {"own zone gone", BALANCE_LEAST_REQUEST, 3, {W(1), FAR(1), FAR(3)}, 1, {0, .25, .75}},
    {"both zones at 1/3 carry 0.93 together: in proportion",
     BALANCE_LEAST_REQUEST,
     6,
     {W(1), W(1), W(1), FAR(1), FAR(1), FAR(1)},
     033,
     {0, 0, .5, 0, 0, .5}},
    {"first priority only", BALANCE_LEAST_REQUEST, 3, {{1, SAME, 10}, {1, SAME, 10}, {1, SAME, 20}}, 0, {.5, .5, 0}},
    {"priority goes before zone",
     BALANCE_LEAST_REQUEST,
     3,
     {{1, OTHER, 10}, {1, SAME, 20}, {1, SAME, 10}},
     4,
     {1, 0, 0}},
    {"round robin by weight", BALANCE_ROUND_ROBIN, 3, {W(1), W(2), W(5)}, 0, {.125, .25, .625}},
    {"round robin, one is down", BALANCE_ROUND_ROBIN, 3, {W(1), W(2), W(5)}, 4, {1 / 3.0, 2 / 3.0, 0}},
    {"round robin, priority", BALANCE_ROUND_ROBIN, 2, {{1, SAME, 2}, {1, SAME, 1}}, 0, {0, 1}},
    {"hash, even", BALANCE_HASH, 4, {W(1), W(1), W(1), W(1)}, 0, {.25, .25, .25, .25}},
    {"hash, by weight", BALANCE_HASH, 3, {W(1), W(2), W(5)}, 0, {.125, .25, .625}},
    {"hash, one is down: the others take it by weight", BALANCE_HASH, 3, {W(1), W(1), W(2)}, 1, {0, 1 / 3.0, 2 / 3.0}},
    {"hash, half of the own zone", BALANCE_HASH, 4, {W(1), W(1), FAR(1), FAR(1)}, 1, {0, .7, .15, .15}},
};

static void shares(void **state)
{
    enum { DRAWS = 20000 };
    uint32_t got[MEMBERS_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct balancer *b = open_balancer(cases[i].kind, cases[i].v, cases[i].n);
        for (uint32_t k = 0; k < cases[i].n; k++)
            if (cases[i].down >> k & 1) instance_set_health(m.set->all[k], INSTANCE_DOWN, 1000);
        count(b, DRAWS, got, 1000);
        print_message("%s\n", cases[i].name);
        assert_shares(got, cases[i].share, cases[i].n, DRAWS);
        close_balancer(&b);
    }
}

/* --- load --- */

static void of_two_the_less_loaded(void **state)
{
    uint32_t got[MEMBERS_MAX];
    static const struct member by_weight[] = {W(1), W(3)};
    (void)state;
    struct balancer *b = open_balancer(BALANCE_LEAST_REQUEST, NULL, 2);
    counter_add(&m.set->all[0]->cells[0].in_flight, 1);
    counter_add(&m.set->all[1]->cells[1].in_flight, 9); /* another worker's: its own affair */
    count(b, 1000, got, 1000);
    assert_int_equal(got[0], 0);
    close_balancer(&b);

    b = open_balancer(BALANCE_LEAST_REQUEST, by_weight, 2); /* three there are as much as one here */
    counter_add(&m.set->all[0]->cells[0].in_flight, 2);
    counter_add(&m.set->all[1]->cells[0].in_flight, 5);
    count(b, 1000, got, 1000);
    assert_int_equal(got[0], 0);
    close_balancer(&b);

    /* many: the load stays even, far better than by one draw, and the slow one keeps only its backlog */
    b = open_balancer(BALANCE_LEAST_REQUEST, NULL, 10);
    for (uint32_t i = 0; i < 10000; i++) counter_add(&m.set->all[choose(b, 0, 1000)]->cells[0].in_flight, 1);
    for (uint32_t i = 0; i < 10; i++) {
        uint64_t n = counter_get(&m.set->all[i]->cells[0].in_flight);
        assert_in_range(n, 990, 1010);
    }
    close_balancer(&b);
}

/* --- turns --- */

static void turns_are_smooth(void **state)
{
    static const struct member v[] = {W(5), W(1), W(2)};
    uint32_t seen[3] = {0}, last[3] = {0};
    (void)state;
    struct balancer *b = open_balancer(BALANCE_ROUND_ROBIN, v, 3);
    for (uint32_t turn = 1; turn <= 800; turn++) {
        uint32_t i = choose(b, 0, 1000);
        /* nobody waits longer than its share says, give or take one, nor comes sooner */
        if (last[i]) assert_in_range((turn - last[i]) * v[i].weight, v[i].weight == 5 ? 5 : 6, 8 + 2 * v[i].weight);
        last[i] = turn;
        seen[i]++;
        for (uint32_t k = 0; k < 3; k++) {
            double want = turn * v[k].weight / 8.0;
            assert_true(fabs(seen[k] - want) <= 1);
        }
    }
    close_balancer(&b);
}

static void turns_go_on_when_one_leaves_and_comes_back(void **state)
{
    uint32_t got[MEMBERS_MAX];
    (void)state;
    struct balancer *b = open_balancer(BALANCE_ROUND_ROBIN, NULL, 3);
    count(b, 3000, got, 1000);
    instance_set_health(m.set->all[1], INSTANCE_DOWN, 1000);
    count(b, 3000, got, 1000);
    assert_int_equal(got[0], 1500);
    instance_set_health(m.set->all[1], INSTANCE_UP, 1000);
    count(b, 300, got, 1000); /* what it missed it does not make up for */
    for (uint32_t i = 0; i < 3; i++) assert_in_range(got[i], 99, 101);
    close_balancer(&b);
}

/* --- hash --- */

enum { KEYS = 20000 };

static void map_keys(struct balancer *b, uint16_t *to)
{
    char key[32];
    for (uint32_t i = 0; i < KEYS; i++) {
        int len = snprintf(key, sizeof key, "user-%u", i);
        to[i] = (uint16_t)choose(b, balance_hash(str_make(key, (size_t)len)), 1000);
    }
}

static void who_goes_moves_nobody_else(void **state)
{
    static uint16_t before[KEYS], gone[KEYS], back[KEYS];
    (void)state;
    struct balancer *b = open_balancer(BALANCE_HASH, NULL, 10);
    map_keys(b, before);
    instance_set_health(m.set->all[3], INSTANCE_DOWN, 1000);
    map_keys(b, gone);
    instance_set_health(m.set->all[3], INSTANCE_UP, 1000);
    map_keys(b, back);
    uint32_t to[10] = {0};
    for (uint32_t i = 0; i < KEYS; i++) {
        if (before[i] != 3) assert_int_equal(gone[i], before[i]);
        if (before[i] == 3) assert_int_not_equal(gone[i], 3);
        if (before[i] == 3) to[gone[i]]++;
        assert_int_equal(back[i], before[i]);
    }
    for (uint32_t i = 0; i < 10; i++) /* its keys are spread: about a ninth of two thousand each */
        if (i != 3) assert_in_range(to[i], 140, 320);
    close_balancer(&b);
}

static void nearly_all_down(void **state)
{
    uint32_t got[MEMBERS_MAX];
    (void)state;
    struct balancer *b = open_balancer(BALANCE_HASH, NULL, 300);
    for (uint32_t i = 0; i < 300; i++)
        if (i != 7) instance_set_health(m.set->all[i], INSTANCE_DOWN, 1000);
    count(b, 1000, got, 1000);
    assert_int_equal(got[7], 1000);
    close_balancer(&b);
}

/* Another member in the configuration: by another order in the file nothing moves, by one more little does. */
static void membership(void **state)
{
    static uint16_t before[KEYS], after[KEYS];
    (void)state;
    struct balancer *b = open_balancer(BALANCE_HASH, NULL, 10);
    map_keys(b, before);
    close_balancer(&b);

    make_service(&m, BALANCE_HASH, NULL, 10, 1000);
    struct instance *turned[10];
    for (uint32_t i = 0; i < 10; i++) turned[i] = m.set->all[9 - i];
    b = balancer_new(&m.service, turned, 0, 1);
    map_keys(b, after);
    for (uint32_t i = 0; i < KEYS; i++) assert_int_equal(9 - after[i], before[i]);
    close_balancer(&b);

    b = open_balancer(BALANCE_HASH, NULL, 11);
    map_keys(b, after);
    uint32_t moved = 0, to_new = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        moved += after[i] != before[i];
        to_new += after[i] == 10;
    }
    assert_in_range(to_new, KEYS / 11 - 300, KEYS / 11 + 300);
    assert_in_range(moved, to_new, to_new + KEYS / 20); /* beyond what must move at most 5 % */
    close_balancer(&b);
}

static void hash_of_a_key(void **state)
{
    static const struct {
        str key;
        uint64_t hash;
    } rows[] = {
        /* several gateways must agree, of other versions too: these never change */
        {STR_INIT(""), 0x0b8b9311fc276b6fu},
        {STR_INIT("alice"), 0xcb31b375f08cd3cdu},
        {STR_INIT("10.0.0.1"), 0xa85b11f679e6af12u},
        {STR_INIT("a key that is longer than one word"), 0xd1efeaba8c3783fdu},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (balance_hash(rows[i].key) != rows[i].hash)
            fail_msg("\"%.*s\": 0x%016llx", STR_ARG(rows[i].key), (unsigned long long)balance_hash(rows[i].key));
}

/* --- time --- */

static void slow_start(void **state)
{
    uint32_t got[MEMBERS_MAX];
    static const struct {
        uint64_t age_ms;
        double share;
    } rows[] = {{0, .1 / 1.1}, {5000, .5 / 1.5}, {10000, .5}, {60000, .5}};
    (void)state;
    struct balancer *b = open_balancer(BALANCE_LEAST_REQUEST, NULL, 2);
    m.service.slow_start_ms = 10000;
    count(b, 1, got, 1000);
    instance_set_health(m.set->all[1], INSTANCE_DOWN, 1000);
    instance_set_health(m.set->all[1], INSTANCE_UP, 2000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        count(b, 20000, got, 2000 + rows[i].age_ms);
        assert_shares(got, (double[]){1 - rows[i].share, rows[i].share}, 2, 20000);
    }
    close_balancer(&b);
}

static void ejected_until(void **state)
{
    uint32_t got[MEMBERS_MAX];
    (void)state;
    struct balancer *b = open_balancer(BALANCE_LEAST_REQUEST, NULL, 2);
    for (int i = 0; i < 5; i++)
        instance_report(m.set->all[0], 0, OUTCOME_CLOSED, &m.service.eject, m.set->all, 2, 1000);
    count(b, 100, got, 10999);
    assert_int_equal(got[0], 0);
    count(b, 100, got, 11000); /* nobody told that its time is over: the clock does */
    assert_in_range(got[0], 20, 80);
    close_balancer(&b);
}

/* --- others --- */

static void not_what_was_tried(void **state)
{
    static const enum balance_kind kinds[] = {BALANCE_LEAST_REQUEST, BALANCE_ROUND_ROBIN, BALANCE_HASH};
    bool panic;
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct balancer *b = open_balancer(kinds[k], NULL, 5);
        instance_set_health(m.set->all[4], INSTANCE_DOWN, 1000);
        for (uint32_t i = 0; i < 200; i++) {
            uint32_t tried[4] = {0, 1, 2, 3};
            struct balance_ask ask = {1000, i * 0x9e3779b97f4a7c15u, tried, 3, false};
            assert_int_equal(balancer_choose(b, &ask, &panic), 3); /* not 4, which is down */
            assert_true(balancer_has_other(b, &ask));
            ask.n_tried = 4;
            assert_false(balancer_has_other(b, &ask));
            assert_in_range(balancer_choose(b, &ask, &panic), 0, 3); /* one of them again */
            assert_false(panic);
        }
        close_balancer(&b);
    }
}

/* Who still serves refuses connections: those that were left out may be well again, those found down are not. */
static void the_last_resort(void **state)
{
    static const enum balance_kind kinds[] = {BALANCE_LEAST_REQUEST, BALANCE_ROUND_ROBIN, BALANCE_HASH};
    bool panic;
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        struct balancer *b = open_balancer(kinds[k], NULL, 3);
        instance_set_health(m.set->all[2], INSTANCE_DOWN, 1000);
        atomic_store(&m.set->all[1]->ejected_until_ms, 9000);
        const uint32_t tried[] = {0, 1};
        struct balance_ask ask = {1000, 7, tried, 1, false};
        assert_false(balancer_has_other(b, &ask));
        assert_int_equal(balancer_choose(b, &ask, &panic), 0);
        ask.last_resort = true;
        assert_true(balancer_has_other(b, &ask));
        assert_int_equal(balancer_choose(b, &ask, &panic), 1);
        assert_false(panic);
        ask.n_tried = 2; /* the one that is down is no resort */
        assert_false(balancer_has_other(b, &ask));
        assert_int_equal(balancer_choose(b, &ask, &panic), 0);
        close_balancer(&b);
    }
}

static void memory(void **state)
{
    static const enum balance_kind kinds[] = {BALANCE_LEAST_REQUEST, BALANCE_ROUND_ROBIN, BALANCE_HASH};
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        make_service(&m, kinds[k], NULL, 3, 1000);
        EACH_ALLOC_FAILING({
            struct balancer *b = balancer_new(&m.service, m.set->all, 0, 1);
            assert_true(b || alloc_fail_hit());
            if (b) (void)choose(b, 1, 1000);
            balancer_free(&b);
        });
        drop_service(&m);
    }
}

/* Told, not judged: the time of one choice. (What a request pays in instructions is told by bench.) */
static void time_of_a_choice(void **state)
{
    enum { ROUNDS = 1000000 };
    static const enum balance_kind kinds[] = {BALANCE_LEAST_REQUEST, BALANCE_ROUND_ROBIN, BALANCE_HASH};
    static const char *const names[] = {"least-request", "round-robin", "hash"};
    static const uint32_t sizes[] = {1, 3, 32, 400};
    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
            struct balancer *b = open_balancer(kinds[k], NULL, sizes[s]);
            uint64_t sum = 0, from = clock_mono_ns();
            for (uint64_t i = 0; i < ROUNDS; i++) sum += choose(b, i * 0x9e3779b97f4a7c15u, 1000);
            uint64_t took = clock_mono_ns() - from;
            print_message("%s of %u: %.1f ns (%u)\n", names[k], sizes[s], (double)took / ROUNDS, (unsigned)(sum % 7));
            close_balancer(&b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares),
        cmocka_unit_test(of_two_the_less_loaded),
        cmocka_unit_test(turns_are_smooth),
        cmocka_unit_test(turns_go_on_when_one_leaves_and_comes_back),
        cmocka_unit_test(who_goes_moves_nobody_else),
        cmocka_unit_test(nearly_all_down),
        cmocka_unit_test(membership),
        cmocka_unit_test(hash_of_a_key),
        cmocka_unit_test(slow_start),
        cmocka_unit_test(ejected_until),
        cmocka_unit_test(not_what_was_tried),
        cmocka_unit_test(the_last_resort),
        cmocka_unit_test(memory),
        cmocka_unit_test(time_of_a_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
