/* Counters, histograms and their text: what a scraper would read back. */
#include "unit.h"

#include "base/metrics.h"
#include "exposition.h"

static void counters_count(void **state)
{
    (void)state;
    struct counter c = {0};
    counter_add(&c, 3);
    counter_add(&c, 4);
    counter_sub(&c, 5);
    assert_int_equal(counter_get(&c), 2);
}

/* A value on a bound belongs to that bound's bucket, one above it to the next. */
static void bounds_are_inclusive(void **state)
{
    (void)state;
    const struct histogram_bounds *const all[] = {&histogram_request, &histogram_decision};
    for (size_t k = 0; k < ARRAY_LEN(all); k++) {
        const struct histogram_bounds *b = all[k];
        assert_true(b->n <= HISTOGRAM_MAX);
        for (size_t i = 0; i < b->n; i++) {
            struct histogram h = {0};
            histogram_observe(&h, b, b->le_ns[i]);
            assert_int_equal(counter_get(&h.bucket[i]), 1);
            histogram_observe(&h, b, b->le_ns[i] + 1);
            assert_int_equal(counter_get(&h.bucket[i + 1]), 1);
            assert_int_equal(counter_get(&h.sum_ns), 2 * b->le_ns[i] + 1);
            if (i) assert_true(b->le_ns[i] > b->le_ns[i - 1]);
            char text[32]; /* the label says the same number */
            double seconds = strtod(b->le[i], NULL);
            snprintf(text, sizeof text, "%.0f", seconds * 1e9);
            assert_int_equal(strtoull(text, NULL, 10), b->le_ns[i]);
        }
    }
}

static void rendered_text_is_valid(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    const struct metric_label hostile[] = {{"action", STR("a\"b\\c\nd\xff\xc3\xa9")}, {"role", STR("gateway")}};
    metrics_family(&b, "sallyport_requests_total", METRIC_COUNTER, "Requests.\nSecond \\ line");
    metrics_u64(&b, "sallyport_requests_total", hostile, 2, UINT64_MAX);
    metrics_u64(&b, "sallyport_requests_total", hostile + 1, 1, 7);
    metrics_family(&b, "sallyport_clock_skew", METRIC_GAUGE, "Skew");
    metrics_i64(&b, "sallyport_clock_skew", NULL, 0, INT64_MIN);
    metrics_family(&b, "sallyport_up_seconds", METRIC_GAUGE, "Up");
    metrics_seconds(&b, "sallyport_up_seconds", NULL, 0, 1234567890123u);
    metrics_family(&b, "sallyport_request_duration_seconds", METRIC_HISTOGRAM, "How long");
    struct histogram one = {0}, sum = {0};
    histogram_observe(&one, &histogram_request, 1000);
    histogram_observe(&one, &histogram_request, 400000);
    histogram_observe(&one, &histogram_request, UINT64_C(60000000000));
    histogram_merge(&sum, &one);
    histogram_merge(&sum, &one);
    metrics_histogram(&b, "sallyport_request_duration_seconds", hostile + 1, 1, &histogram_request, &sum);
    metrics_histogram(&b, "sallyport_request_duration_seconds", NULL, 0, &histogram_request, &one);
    assert_false(b.bad);
    const char *fault = exposition_fault(buf_str(&b));
    if (fault) fail_msg("%s", fault);
    str text = buf_str(&b);
    assert_true(exposition_value(text, "sallyport_requests_total{role=\"gateway\"}") == 7);
    assert_true(
        exposition_value(text,
                         "sallyport_requests_total{action=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\xc3\xa9\",role=\"gateway\"}") >
        1e19);
    assert_true(exposition_value(text, "sallyport_up_seconds") == 1234.567890123);
    assert_true(exposition_value(text, "sallyport_clock_skew") == (double)INT64_MIN);
    assert_true(exposition_value(text, "sallyport_request_duration_seconds_bucket{role=\"gateway\",le=\"0.0001\"}") ==
                2);
    assert_true(exposition_value(text, "sallyport_request_duration_seconds_bucket{role=\"gateway\",le=\"0.0005\"}") ==
                4);
    assert_true(exposition_value(text, "sallyport_request_duration_seconds_bucket{role=\"gateway\",le=\"+Inf\"}") == 6);
    assert_true(exposition_value(text, "sallyport_request_duration_seconds_count{role=\"gateway\"}") == 6);
    buf_free(&b);
}

/* The checker itself refuses what a scraper would. */
static void checker_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "# TYPE a counter\na 1",                                          /* no line end */
        "a 1\n",                                                          /* no type */
        "# TYPE a counter\na 1\na 2\n",                                   /* twice */
        "# TYPE a counter\nb 1\n",                                        /* not its family */
        "# TYPE a counter\na -1\n",                                       /* negative */
        "# TYPE a counter\na{x=\"\\t\"} 1\n",                             /* escape */
        "# TYPE a counter\na{x=1} 1\n",                                   /* no quotes */
        "# TYPE a counter\na 1\n# TYPE b gauge\nb 1\n# TYPE a counter\n", /* interrupted */
        "# TYPE a counter\na x\n",                                        /* no number */
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_count 2\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!exposition_fault(str_of(bad[i]))) fail_msg("accepted: %s", bad[i]);
    assert_null(exposition_fault(STR("# HELP a x\n# TYPE a gauge\na{x=\"\\\\\",y=\"\"} -1.5e3\n")));
}

static void allocation_failure_is_noticed(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    struct histogram h = {0};
    EACH_ALLOC_FAILING({
        metrics_family(&b, "a", METRIC_HISTOGRAM, "help");
        metrics_histogram(&b, "a", NULL, 0, &histogram_request, &h);
        assert_int_equal(b.bad, alloc_fail_hit());
        buf_free(&b);
        b.bad = false;
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_count),
        cmocka_unit_test(bounds_are_inclusive),
        cmocka_unit_test(rendered_text_is_valid),
        cmocka_unit_test(checker_refuses),
        cmocka_unit_test(allocation_failure_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
