#include "unit.h"

#include "base/buf.h"
#include "proxy/meter.h"
#include "proxy/quota.h"

#include <pthread.h>

#define HOUR_MS UINT64_C(3600000)

static _Atomic int asked;

static void wanted(void *ctx, struct quota *q)
{
    (void)ctx;
    (void)q;
    asked++;
}

static struct quotas *make(uint64_t requests, struct quota **q)
{
    struct quotas *all = NULL;
    asked = 0;
    assert_err(quotas_new(wanted, NULL, &all), ERR_OK);
    assert_err(quotas_put(all, STR("shop"), 7, requests, QUOTA_HOUR, q), ERR_OK);
    return all;
}

static void windows_of_utc(void **state)
{
    (void)state;
    static const struct {
        enum quota_window w;
        int64_t now, from, until;
    } t[] = {
        {QUOTA_HOUR, 0, 0, 3600},
        {QUOTA_HOUR, 3599, 0, 3600},
        {QUOTA_HOUR, 3600, 3600, 7200},
        {QUOTA_DAY, 86399, 0, 86400},
        {QUOTA_DAY, 1795132800, 1795132800, 1795219200}, /* 2026-11-20 */
        {QUOTA_MONTH, 0, 0, 31 * 86400},
        {QUOTA_MONTH, 1795132800, 1793491200, 1796083200}, /* November 2026 */
        {QUOTA_MONTH, 1798761599, 1796083200, 1798761600}, /* the last second of 2026 */
        {QUOTA_MONTH, 1798761600, 1798761600, 1801440000}, /* the first of 2027 */
        {QUOTA_MONTH, 1835308800, 1832976000, 1835481600}, /* February 2028 has 29 days */
        {QUOTA_MONTH, 4107542399, 4105123200, 4107542400}, /* February 2100 has 28 */
        {QUOTA_MONTH, 951782400, 949363200, 951868800},    /* February 2000 had 29 */
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct quota_span s = quota_span_of(t[i].w, t[i].now);
        if (s.from_s != t[i].from || s.until_s != t[i].until)
            fail_msg("%zu: %lld to %lld", i, (long long)s.from_s, (long long)s.until_s);
    }
    /* every day of four centuries is in a month that holds it, and months follow each other */
    int64_t until = 0;
    for (int64_t day = 0; day < 146097; day++) {
        struct quota_span s = quota_span_of(QUOTA_MONTH, day * 86400 + 5);
        assert_true(s.from_s <= day * 86400 && day * 86400 < s.until_s);
        assert_true(s.from_s == until || s.until_s == until || until == 0);
        until = s.until_s;
    }
}

static void a_lease_is_counted_down_and_asked_for_in_time(void **state)
{
    (void)state;
    struct quota *q;
    struct quotas *all = make(100, &q);
    assert_int_equal(quota_take(all, q, 10), QUOTA_WAIT);
    assert_int_equal(asked, 1);
    assert_int_equal(quota_take(all, q, 10), QUOTA_WAIT); /* asked for once */
    assert_int_equal(asked, 1);
    quota_granted(q, HOUR_MS, 4);
    assert_int_equal(quota_take(all, q, 10), QUOTA_LET);
    assert_int_equal(asked, 1);
    assert_int_equal(quota_take(all, q, 10), QUOTA_LET); /* half of it */
    assert_int_equal(asked, 2);
    assert_int_equal(quota_take(all, q, 10), QUOTA_LET);
    assert_int_equal(quota_take(all, q, 10), QUOTA_LET);
    assert_int_equal(quota_take(all, q, 10), QUOTA_WAIT);
    quota_give(q);
    assert_int_equal(quota_take(all, q, 10), QUOTA_LET);
    quota_refused(q, QUOTA_EXHAUSTED, HOUR_MS, 2000);
    assert_int_equal(quota_take(all, q, 1999), QUOTA_EXHAUSTED);
    assert_int_equal(asked, 2);
    assert_int_equal(quota_take(all, q, 2000), QUOTA_EXHAUSTED); /* it is asked again, and nobody waits for it */
    assert_int_equal(asked, 3);
    quota_granted(q, HOUR_MS, 1);
    assert_int_equal(quota_take(all, q, 2001), QUOTA_LET);
    quotas_free(&all);
}

static void the_next_window_begins_with_nothing(void **state)
{
    (void)state;
    struct quota *q;
    struct quotas *all = make(100, &q);
    quota_granted(q, HOUR_MS, 50);
    assert_int_equal(quota_take(all, q, HOUR_MS - 1), QUOTA_LET);
    assert_int_equal(quota_take(all, q, HOUR_MS), QUOTA_WAIT);
    assert_int_equal(asked, 1);
    quota_granted(q, 2 * HOUR_MS, 2);
    assert_int_equal(quota_left(q, 2 * HOUR_MS), 2); /* not 51: what was left is gone */
    assert_int_equal(quota_left(q, HOUR_MS), 0);
    assert_int_equal(quota_take(all, q, HOUR_MS - 5), QUOTA_LET); /* a clock that is set back */
    assert_int_equal(quota_withdraw(q), 1);
    assert_int_equal(quota_withdraw(q), 0);
    quota_refused(q, QUOTA_UNKNOWN, 3 * HOUR_MS, 2 * HOUR_MS + 1000);
    assert_int_equal(quota_take(all, q, 2 * HOUR_MS), QUOTA_UNKNOWN);
    quotas_free(&all);
}

static void another_measure_is_asked_for_anew(void **state)
{
    (void)state;
    struct quota *q, *again;
    struct quotas *all = make(100, &q);
    quota_granted(q, HOUR_MS, 50);
    assert_err(quotas_put(all, STR("shop"), 7, 100, QUOTA_HOUR, &again), ERR_OK);
    assert_ptr_equal(q, again);
    assert_int_equal(quota_left(q, HOUR_MS), 50);
    assert_err(quotas_put(all, STR("shop"), 7, 200, QUOTA_HOUR, &again), ERR_OK);
    assert_int_equal(quota_take(all, q, 10), QUOTA_WAIT);
    assert_err(quotas_put(all, STR("shop"), 7, 0, QUOTA_HOUR, &again), ERR_OK); /* no quota any more */
    assert_int_equal(quota_take(all, q, 10), QUOTA_LET);
    /* many, also of one chain */
    for (uint64_t m = 8; m < 4000; m++) assert_err(quotas_put(all, STR("other"), m, 1, QUOTA_DAY, &again), ERR_OK);
    for (uint64_t m = 7; m < 4000; m++) assert_int_equal(quotas_find(all, m)->mark, m);
    assert_null(quotas_find(all, 5000));
    size_t n = 0;
    for (struct quota *e = quotas_next(all, NULL); e; e = quotas_next(all, e)) n++;
    assert_int_equal(n, 3993);
    quotas_free(&all);
}

#define THREADS 4
static struct quotas *shared;
static struct quota *one;
static _Atomic uint64_t let;

static void *take_all(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50000; i++)
        if (quota_take(shared, one, 5) == QUOTA_LET) let++;
    return NULL;
}

/* While leases come, one after the other. */
static void of_what_was_granted_each_is_taken_once(void **state)
{
    (void)state;
    pthread_t t[THREADS];
    shared = make(1000000, &one);
    uint64_t granted = 0;
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&t[i], NULL, take_all, NULL), 0);
    for (int i = 0; i < 300; i++) {
        quota_granted(one, HOUR_MS, 100);
        granted += 100;
    }
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    assert_int_equal(let + quota_withdraw(one), granted);
    quotas_free(&shared);
}

/* --- meters --- */

static void what_ends_is_counted_in_its_row(void **state)
{
    (void)state;
    struct meter *m = NULL;
    assert_err(meter_new(&m), ERR_OK);
    struct meter_name a = {STR("shop"), STR("view"), 11, 12, CALLER_USER}, b = a, none = {0};
    b.caller = CALLER_SERVICE;
    meter_request(m, &a, METER_END_PERMITTED, 10, 100);
    meter_request(m, &a, METER_END_LIMITED, 20, 200);
    meter_request(m, &b, METER_END_DENIED, 0, 0);
    meter_request(m, &none, METER_END_DENIED, 1, 2);
    meter_request(NULL, &a, METER_END_DENIED, 1, 2);
    assert_int_equal(m->n_used, 4); /* one for those that find no row */
    const struct meter_row *r = &m->rows[m->used[1]];
    assert_str(str_make(r->product, r->product_n), STR("shop"));
    assert_str(str_make(r->action, r->action_n), STR("view"));
    static const uint64_t want[METER_COUNTS] = {2, 1, 0, 1, 30, 300};
    for (int k = 0; k < METER_COUNTS; k++) assert_int_equal(counter_get(&r->counts[k]), want[k]);
    assert_int_equal(m->rows[m->used[2]].caller, CALLER_SERVICE);
    assert_int_equal(m->rows[m->used[3]].product_n, 0);
    meter_free(&m);
}

static void a_full_meter_loses_no_request(void **state)
{
    (void)state;
    struct meter *m = NULL;
    assert_err(meter_new(&m), ERR_OK);
    for (uint64_t i = 0; i < 20000; i++) {
        struct meter_name n = {STR("p"), STR("a"), i * UINT64_C(0x9e3779b97f4a7c15) + 1, i, CALLER_USER};
        meter_request(m, &n, METER_END_PERMITTED, 0, 0);
    }
    uint64_t sum = 0;
    assert_true(m->n_used <= METER_ROWS);
    for (uint32_t i = 0; i < m->n_used; i++) sum += counter_get(&m->rows[m->used[i]].counts[METER_REQUESTS]);
    assert_int_equal(sum, 20000);
    assert_true(counter_get(&m->rows[0].counts[METER_REQUESTS]) > 10000);
    meter_free(&m);
}

static void limits_are_told_once_for_all_workers(void **state)
{
    (void)state;
    struct meter *m[2] = {NULL, NULL};
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 2; i++) assert_err(meter_new(&m[i]), ERR_OK);
    meter_limited(m[0], STR("user"));
    meter_limited(m[1], STR("edge"));
    for (int i = 0; i < 3; i++) meter_limited(m[1], STR("user"));
    for (int i = 0; i < 2000; i++) {
        char name[16];
        meter_limited(m[0],
                      str_make(name, (size_t)snprintf(name, sizeof name, "x%d", i))); /* more than there is room */
    }
    meter_render((const struct meter *const *)m, 2, &b);
    buf_putc(&b, '\0');
    assert_non_null(strstr(b.p, "sallyport_limited_total{limit=\"user\"} 4\n"));
    assert_non_null(strstr(b.p, "sallyport_limited_total{limit=\"edge\"} 1\n"));
    const char *first = strstr(b.p, "limit=\"user\"");
    assert_null(strstr(first + 1, "limit=\"user\""));
    buf_free(&b);
    for (int i = 0; i < 2; i++) meter_free(&m[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_of_utc),
        cmocka_unit_test(a_lease_is_counted_down_and_asked_for_in_time),
        cmocka_unit_test(the_next_window_begins_with_nothing),
        cmocka_unit_test(another_measure_is_asked_for_anew),
        cmocka_unit_test(of_what_was_granted_each_is_taken_once),
        cmocka_unit_test(what_ends_is_counted_in_its_row),
        cmocka_unit_test(a_full_meter_loses_no_request),
        cmocka_unit_test(limits_are_told_once_for_all_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
