/* Retries are a percentage of the requests of the last ten seconds, and beyond that three a second. */
#include "service.h"

#include "proxy/budget.h"

static uint32_t retries(struct retry_budget *b, uint32_t percent, uint64_t now_ms)
{
    uint32_t n = 0;
    while (n < 100000 && budget_retry(b, percent, now_ms)) n++;
    return n;
}

static void percentage(void **state)
{
    static const struct {
        uint32_t requests, percent, want;
    } rows[] = {{0, 20, 0}, {4, 20, 0}, {5, 20, 1}, {100, 20, 20}, {1000, 1, 10}, {100, 0, 0}, {10, 100, 10}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct retry_budget b = {0};
        for (uint32_t k = 0; k < rows[i].requests; k++) budget_request(&b, 5000);
        assert_int_equal(retries(&b, rows[i].percent, 5000), rows[i].want);
    }
}

static void window(void **state)
{
    struct retry_budget b = {0};
    (void)state;
    for (uint64_t s = 1; s <= 10; s++)
        for (int k = 0; k < 100; k++) budget_request(&b, s * 1000);
    assert_int_equal(b.requests, 1000);
    assert_int_equal(retries(&b, 20, 10999), 200);
    assert_int_equal(retries(&b, 20, 19999), 0); /* the requests have left, the retries of second 10 have not */
    for (int k = 0; k < 2000; k++) budget_request(&b, 19999);
    assert_int_equal(retries(&b, 20, 19999), 2100 / 5 - 200);
    assert_int_equal(retries(&b, 20, 20000), 2000 / 5 - 220); /* now they have, too */
    budget_roll(&b, 1000000);
    assert_int_equal(b.requests + b.retries, 0);
}

static void at_least_three_a_second(void **state)
{
    struct made_service m;
    uint32_t n = 0;
    (void)state;
    make_service(&m, BALANCE_LEAST_REQUEST, NULL, 1, 1000);
    struct service_state *s = m.set->services[0];
    for (uint64_t t = 100000; t < 110000; t++) n += service_retry_floor(s, t);
    assert_in_range(n, 30, 33);
    n = 0;
    for (int k = 0; k < 100; k++) n += service_retry_floor(s, 200000); /* after a rest those of one second at once */
    assert_int_equal(n, 3);
    drop_service(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentage),
        cmocka_unit_test(window),
        cmocka_unit_test(at_least_three_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
