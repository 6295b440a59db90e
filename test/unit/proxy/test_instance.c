/* What is shared of instances: who is ejected when and for how long, who comes back, what a reload keeps. */
#include "service.h"

static struct made_service m;

static void report(uint32_t i, enum instance_outcome outcome, uint32_t times, uint64_t now_ms)
{
    for (uint32_t k = 0; k < times; k++)
        instance_report(m.set->all[i], k % 2, outcome, &m.service.eject, m.set->all, m.service.n_instances, now_ms);
}

static bool serves(uint32_t i, uint64_t now_ms)
{
    (void)instance_return(m.set->all[i], now_ms);
    return instance_serves(m.set->all[i], now_ms);
}

static void failures_in_a_row(void **state)
{
    (void)state;
    make_service(&m, BALANCE_LEAST_REQUEST, NULL, 4, 1000);
    for (enum instance_outcome o = OUTCOME_CONNECT; o < OUTCOME_COUNT; o++) {
        report(0, o, 4, 1000);
        report(0, OUTCOME_ANSWERED, 1, 1000);
        instance_well(m.set->all[0]); /* begins anew */
        assert_true(serves(0, 1000));
    }
    report(0, OUTCOME_GARBAGE, 4, 1000);
    assert_true(serves(0, 1000));
    report(0, OUTCOME_TIMEOUT, 1, 1000); /* of any kind */
    assert_false(serves(0, 1000));
    assert_false(serves(0, 10999));
    assert_true(serves(0, 11000));
    report(0, OUTCOME_CLOSED, 1, 11000); /* one more is enough */
    assert_false(serves(0, 11000));
    assert_false(serves(0, 30999)); /* twice as long */
    assert_true(serves(0, 31000));
    instance_well(m.set->all[0]);
    report(0, OUTCOME_CLOSED, 4, 31000);
    assert_true(serves(0, 31000));
    report(0, OUTCOME_ANSWERED, 1, 31000); /* a head alone is no answer yet */
    report(0, OUTCOME_CLOSED, 1, 31000);
    assert_false(serves(0, 31000));
    assert_int_equal(instance_outcomes(m.set->all[0], OUTCOME_GARBAGE), 8);
    drop_service(&m);
}

static void longer_each_time_but_not_for_ever(void **state)
{
    uint64_t now = 1000;
    (void)state;
    make_service(&m, BALANCE_LEAST_REQUEST, NULL, 4, 1000);
    report(0, OUTCOME_CONNECT, 4, now);
    for (uint32_t n = 1; n <= 12; n++) {
        uint64_t want = 10000u * (n < 10 ? n : 10);
        report(0, OUTCOME_CONNECT, 1, now);
        assert_false(serves(0, now + want - 1));
        now += want;
        assert_true(serves(0, now));
    }
    now += 100001; /* well for as long as the longest: forgiven */
    report(0, OUTCOME_CONNECT, 5, now);
    assert_true(serves(0, now + 10000));
    drop_service(&m);
}

static void at_most(void **state)
{
    static const struct {
        uint32_t n, at_most, want;
    } rows[] = {{1, 50, 0},  {1, 100, 1}, {2, 50, 1}, {3, 50, 1}, {4, 50, 2},
                {10, 30, 3}, {5, 10, 1},  {5, 0, 0},  {4, 100, 4}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        make_service(&m, BALANCE_LEAST_REQUEST, NULL, rows[i].n, 1000);
        m.service.eject.at_most = rows[i].at_most;
        uint32_t out = 0;
        for (uint32_t k = 0; k < rows[i].n; k++) {
            report(k, OUTCOME_CONNECT, 50, 1000);
            out += !serves(k, 1000);
        }
        if (out != rows[i].want) fail_msg("%u of %u at %u %%, want %u", out, rows[i].n, rows[i].at_most, rows[i].want);
        drop_service(&m);
    }
}

static void switched_off(void **state)
{
    (void)state;
    make_service(&m, BALANCE_LEAST_REQUEST, NULL, 2, 1000);
    m.service.eject.failures = 0;
    report(0, OUTCOME_CONNECT, 1000, 1000);
    assert_true(serves(0, 1000));
    drop_service(&m);
}

static void health(void **state)
{
    (void)state;
    make_service(&m, BALANCE_LEAST_REQUEST, NULL, 2, 1000);
    struct instance *i = m.set->all[0];
    uint32_t version = atomic_load(&i->service->version);
    instance_set_health(i, INSTANCE_UNKNOWN, 1000);
    assert_int_equal(atomic_load(&i->service->version), version);
    instance_set_health(i, INSTANCE_DOWN, 1000);
    assert_int_not_equal(atomic_load(&i->service->version), version);
    assert_false(serves(0, 1000));
    report(0, OUTCOME_CONNECT, 5, 1000);
    instance_set_health(i, INSTANCE_UP, 2000); /* somebody has seen it: that ends the ejection, too */
    assert_true(serves(0, 2000));
    assert_int_equal(atomic_load(&i->serves_since_ms), 2000);
    drop_service(&m);
}

static void reload(void **state)
{
    struct instance_set *next;
    (void)state;
    make_service(&m, BALANCE_LEAST_REQUEST, NULL, 2, 1000);
    struct instance *kept = m.set->all[0];
    report(0, OUTCOME_CONNECT, 5, 1000);
    instance_set_health(m.set->all[1], INSTANCE_DOWN, 1000);
    m.service.n_instances = 3;
    int len = snprintf(m.text[2], sizeof m.text[2], "10.0.0.9:80");
    m.instances[2] = (struct snapshot_instance){.shown = str_make(m.text[2], (size_t)len), .weight = 1};
    assert_err(instance_set_new(m.registry, &m.snap, 5000, &next), ERR_OK);
    instance_set_unref(&m.set);
    m.set = next;
    assert_ptr_equal(m.set->all[0], kept);
    assert_false(serves(0, 5000)); /* what is known of it stays */
    assert_false(serves(1, 5000));
    assert_true(serves(2, 5000));
    assert_int_equal(atomic_load(&m.set->all[2]->serves_since_ms), 5000); /* who joins starts slowly */
    assert_int_equal(atomic_load(&kept->serves_since_ms), 0);

    m.service.health.on = false; /* nobody checks any more, nobody ejects any more: nobody is out */
    m.service.eject.failures = 0;
    assert_err(instance_set_new(m.registry, &m.snap, 6000, &next), ERR_OK);
    instance_set_unref(&m.set);
    m.set = next;
    assert_true(serves(0, 6000) && serves(1, 6000));
    drop_service(&m);
}

static void open_connections(void **state)
{
    (void)state;
    make_service(&m, BALANCE_LEAST_REQUEST, NULL, 1, 1000);
    assert_true(instance_open_take(m.set->all[0], 2));
    assert_true(instance_open_take(m.set->all[0], 2));
    assert_false(instance_open_take(m.set->all[0], 2));
    instance_open_give(m.set->all[0]);
    assert_true(instance_open_take(m.set->all[0], 2));
    assert_int_equal(atomic_load(&m.set->all[0]->open), 2);
    drop_service(&m);
}

static void memory(void **state)
{
    (void)state;
    make_service(&m, BALANCE_LEAST_REQUEST, NULL, 3, 1000);
    EACH_ALLOC_FAILING({
        struct instance_registry *r = NULL;
        struct instance_set *s = NULL;
        enum err e = instance_registry_new(2, &r);
        if (e == ERR_OK) e = instance_set_new(r, &m.snap, 1000, &s);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && !s));
        instance_set_unref(&s);
        instance_registry_free(&r);
    });
    drop_service(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row),
        cmocka_unit_test(longer_each_time_but_not_for_ever),
        cmocka_unit_test(at_most),
        cmocka_unit_test(switched_off),
        cmocka_unit_test(health),
        cmocka_unit_test(reload),
        cmocka_unit_test(open_connections),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
