/* A worker's counters: what was counted is what a scraper reads, added up over workers and bounded. */
#include "unit.h"

#include "exposition.h"
#include "serve/counters.h"

#include <pthread.h>
#include <stdatomic.h>

static void count(struct counters *c, const char *action, enum effect effect, enum reason reason, uint16_t status)
{
    struct outcome o =
        {.action = str_of(action), .effect = effect, .reason = reason, .status = status, .duration_us = 300, .gate = 1};
    counters_request(c, &o, 1500);
}

static void render(struct counters **all, size_t n, struct buf *b)
{
    const struct counters *view[4];
    for (size_t i = 0; i < n; i++) view[i] = all[i];
    buf_init(b, 16 << 20);
    counters_render(view, n, "gateway", 1, b);
    assert_false(b->bad);
    const char *fault = exposition_fault(buf_str(b));
    if (fault) fail_msg("%s", fault);
}

static void workers_are_added_up(void **state)
{
    (void)state;
    struct counters *w[2];
    struct buf b;
    for (int i = 0; i < 2; i++) assert_err(counters_new(&w[i]), ERR_OK);
    count(w[0], "viewOrder", EFFECT_PERMIT, REASON_GRANTED, 200);
    count(w[0], "viewOrder", EFFECT_PERMIT, REASON_GRANTED, 200);
    count(w[0], "viewOrder", EFFECT_PERMIT, REASON_GRANTED, 404);
    count(w[1], "viewOrder", EFFECT_PERMIT, REASON_GRANTED, 200);
    count(w[1], "viewOrder", EFFECT_DENY, REASON_TOKEN_EXPIRED, 401);
    count(w[1], "", EFFECT_DENY, REASON_NO_ROUTE, 404);
    count(w[0], "", EFFECT_DENY, REASON_CLIENT_CLOSED, 0);
    render(w, 2, &b);
    str t = buf_str(&b);
#define REQUESTS(action, decision, code)                                                                               \
    exposition_value(t, "sallyport_requests_total{role=\"gateway\",action=\"" action "\",decision=\"" decision         \
                        "\",code=\"" code "\"}")
    assert_true(REQUESTS("viewOrder", "permit", "200") == 3);
    assert_true(REQUESTS("viewOrder", "permit", "404") == 1);
    assert_true(REQUESTS("viewOrder", "deny", "401") == 1);
    assert_true(REQUESTS("none", "deny", "404") == 1);
    assert_true(REQUESTS("none", "deny", "0") == 1);
    assert_true(exposition_value(t, "sallyport_denies_total{gate=\"1\",policy=\"token_expired\"}") == 1);
    assert_true(exposition_value(t, "sallyport_denies_total{gate=\"1\",policy=\"granted\"}") == -1);
    assert_true(exposition_value(t, "sallyport_request_duration_seconds_count{role=\"gateway\"}") == 7);
    assert_true(exposition_value(t, "sallyport_request_duration_seconds_bucket{role=\"gateway\",le=\"0.0005\"}") == 7);
    assert_true(exposition_value(t, "sallyport_decision_duration_seconds_bucket{gate=\"1\",le=\"0.000001\"}") == 0);
    assert_true(exposition_value(t, "sallyport_decision_duration_seconds_bucket{gate=\"1\",le=\"0.000002\"}") == 7);
    buf_free(&b);
    for (int i = 0; i < 2; i++) counters_free(&w[i]);
    counters_free(&w[0]);
}

/* The same place in memory may hold another name after a reload: a name is known by its letters. */
static void a_name_is_not_its_address(void **state)
{
    (void)state;
    struct counters *c;
    struct buf b;
    char name[16] = "first";
    assert_err(counters_new(&c), ERR_OK);
    count(c, name, EFFECT_PERMIT, REASON_GRANTED, 200);
    memcpy(name, "other1", 7);
    count(c, name, EFFECT_PERMIT, REASON_GRANTED, 200);
    memcpy(name, "first", 6);
    count(c, name, EFFECT_PERMIT, REASON_GRANTED, 200);
    render(&c, 1, &b);
    str t = buf_str(&b);
    assert_true(REQUESTS("first", "permit", "200") == 2);
    assert_true(REQUESTS("other1", "permit", "200") == 1);
    buf_free(&b);
    counters_free(&c);
}

static void table_is_bounded(void **state)
{
    (void)state;
    enum { N = 40000 };
    struct counters *c;
    assert_err(counters_new(&c), ERR_OK);
    char name[80];
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "action%u", i);
        count(c, name, EFFECT_PERMIT, REASON_GRANTED, (uint16_t)(i % 2000)); /* statuses beyond 999 too */
    }
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    count(c, name, EFFECT_DENY, REASON_NO_ROUTE, 404); /* longer than any name can be */
    struct buf b;
    const struct counters *view = c;
    buf_init(&b, 16 << 20);
    counters_render(&view, 1, "gateway", 1, &b);
    assert_false(b.bad);
    double sum = 0;
    size_t lines = 0;
    for (str rest = buf_str(&b); rest.n;) {
        str line = str_cut(&rest, '\n');
        if (!str_starts(line, STR("sallyport_requests_total{"))) continue;
        const char *blank = memrchr(line.p, ' ', line.n);
        char value[32];
        snprintf(value, sizeof value, "%.*s", (int)(line.p + line.n - blank - 1), blank + 1);
        sum += strtod(value, NULL);
        lines++;
    }
    assert_true(sum == N + 1); /* nothing is lost, only lumped together */
    assert_true(lines <= 16384);
    buf_free(&b);
    counters_free(&c);
}

static void *keep_counting(void *arg)
{
    struct counters *c = arg;
    char name[16];
    for (unsigned i = 0; i < 200000; i++) {
        snprintf(name, sizeof name, "a%u", i % 500);
        count(c, name, EFFECT_PERMIT, REASON_GRANTED, 200);
    }
    return NULL;
}

static void rendered_while_counting(void **state)
{
    (void)state;
    struct counters *c;
    pthread_t writer;
    assert_err(counters_new(&c), ERR_OK);
    assert_int_equal(pthread_create(&writer, NULL, keep_counting, c), 0);
    for (int i = 0; i < 10; i++) {
        struct buf b;
        render(&c, 1, &b);
        buf_free(&b);
    }
    pthread_join(writer, NULL);
    struct buf b;
    render(&c, 1, &b);
    str t = buf_str(&b);
    assert_true(REQUESTS("a7", "permit", "200") == 400);
    buf_free(&b);
    counters_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_are_added_up),
        cmocka_unit_test(a_name_is_not_its_address),
        cmocka_unit_test(table_is_bounded),
        cmocka_unit_test(rendered_while_counting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
