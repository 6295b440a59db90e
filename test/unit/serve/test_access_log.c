/* The access log: each line parses back as what happened, whatever the client sent. jansson is the oracle.
 * `test_access_log --bench` times a typical line. */
#include "unit.h"

#include "serve/access_log.h"

#include <fcntl.h>
#include <jansson.h>
#include <time.h>
#include <unistd.h>

static const struct outcome typical = {
    .unix_ms = 1795171564123u,
    .duration_us = 1234,
    .generation = 7,
    .status = 200,
    .reason = REASON_GRANTED,
    .effect = EFFECT_PERMIT,
    .gate = 1,
    .bytes_in = 120,
    .bytes_out = 4096,
    .id = STR_INIT("01JDC4Z0V8QZ9GJ2N6YB7M3K5T"),
    .trace_id = STR_INIT("0af7651916cd43dd8448eb211c80319c"),
    .correlation_id = STR_INIT("01JDC4Z0V8QZ9GJ2N6YB7M3K5T"),
    .action = STR_INIT("business:invoke"),
    .product = STR_INIT("mobile-app"),
    .client = STR_INIT("web-client"),
    .issuer = STR_INIT("corp"),
    .subject = STR_INIT("corp:alice"),
    .roles = STR_INIT("buyer"),
    .method = STR_INIT("GET"),
    .path = STR_INIT("/business/myclass/myoperation"),
    .upstream = STR_INIT("127.0.0.1:9000"),
    .remote = STR_INIT("192.0.2.17"),
};

static json_t *line_of(const struct outcome *o)
{
    char line[LOG_LINE_MAX];
    size_t n = access_log_line(line, o, o->unix_ms, "gateway", false);
    assert_true(n > 0 && n <= sizeof line);
    assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
    json_error_t e;
    json_t *j = json_loadb(line, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (!j) fail_msg("%s in %.*s", e.text, (int)n, line);
    return j;
}

static str text_of(const json_t *j, const char *name)
{
    const json_t *v = json_object_get(j, name);
    return json_is_string(v) ? str_make(json_string_value(v), json_string_length(v)) : STR_NONE;
}

static void a_foreign_correlation_id_is_told(void **state)
{
    (void)state;
    struct outcome o = typical;
    o.correlation_id = STR("req-7");
    json_t *j = line_of(&o);
    assert_str(text_of(j, "correlation_id"), STR("req-7"));
    json_decref(j);
}

static void typical_line(void **state)
{
    (void)state;
    json_t *j = line_of(&typical);
    assert_str(text_of(j, "ts"), STR("2026-11-20T10:46:04.123Z"));
    assert_str(text_of(j, "level"), STR("info"));
    assert_str(text_of(j, "role"), STR("gateway"));
    assert_str(text_of(j, "msg"), STR("access"));
    assert_str(text_of(j, "trace_id"), typical.trace_id);
    assert_str(text_of(j, "decision_id"), typical.id);
    assert_null(json_object_get(j, "correlation_id")); /* the decision's own */
    assert_str(text_of(j, "action"), typical.action);
    assert_str(text_of(j, "product"), typical.product);
    assert_str(text_of(j, "client"), typical.client);
    assert_str(text_of(j, "issuer"), typical.issuer);
    assert_str(text_of(j, "sub"), typical.subject);
    assert_str(text_of(j, "method"), typical.method);
    assert_str(text_of(j, "path"), typical.path);
    assert_str(text_of(j, "decision"), STR("permit"));
    assert_str(text_of(j, "reason"), STR("granted"));
    assert_str(text_of(j, "upstream"), typical.upstream);
    assert_str(text_of(j, "remote"), typical.remote);
    assert_int_equal(json_integer_value(json_object_get(j, "gate")), 1);
    assert_int_equal(json_integer_value(json_object_get(j, "status")), 200);
    assert_int_equal(json_integer_value(json_object_get(j, "duration_us")), 1234);
    assert_int_equal(json_integer_value(json_object_get(j, "bytes_in")), 120);
    assert_int_equal(json_integer_value(json_object_get(j, "bytes_out")), 4096);
    json_decref(j);
}

static void nothing_known_is_still_a_line(void **state)
{
    (void)state;
    json_t *j = line_of(&(struct outcome){.bytes_in = UINT64_MAX / 2, .duration_us = UINT32_MAX});
    assert_str(text_of(j, "decision"), STR("deny"));
    assert_str(text_of(j, "reason"), STR("internal_error"));
    assert_non_null(json_object_get(j, "trace_id"));
    assert_non_null(json_object_get(j, "decision_id"));
    assert_null(json_object_get(j, "sub"));
    json_decref(j);
}

/* Every text set to every byte, and to lengths that exceed each bound, also where each byte needs six. */
static void hostile_values_parse_back(void **state)
{
    (void)state;
    static char big[6000];
    for (unsigned c = 0; c < 256; c++) {
        static const size_t lengths[] = {1, 7, 8, 9, 63, 64, 65, 255, 256, 257, 1535, 1536, 1537, sizeof big};
        memset(big, (int)c, sizeof big);
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
            str s = str_make(big, lengths[i]);
            struct outcome o = typical;
            o.id = o.trace_id = o.correlation_id = o.action = o.product = o.client = o.issuer = o.subject = s;
            o.method = o.path = o.upstream = o.remote = o.fault = s;
            o.bytes_in = o.bytes_out = UINT64_MAX / 2; /* the most that jansson reads */
            json_t *j = line_of(&o);
            if (c < 0x80 && lengths[i] < 10) assert_str(text_of(j, "path"), s);
            if (lengths[i] > 1536) assert_true(json_is_true(json_object_get(j, "cut")));
            assert_non_null(json_object_get(j, "fault"));
            json_decref(j);
        }
    }
}

static void credentials_are_taken_out(void **state)
{
    (void)state;
    struct outcome o = typical;
    o.path = STR("/x/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl/y");
    o.correlation_id = STR("sp_prod_abcd1234_0123456789abcdefABCDEF");
    json_t *j = line_of(&o);
    assert_str(text_of(j, "path"), STR("/x/[redacted]/y"));
    assert_str(text_of(j, "correlation_id"), STR("[redacted]"));
    json_decref(j);
}

static void text_form(void **state)
{
    (void)state;
    char line[LOG_LINE_MAX];
    size_t n = access_log_line(line, &typical, typical.unix_ms, "gateway", true);
    assert_str(str_make(line, n),
               STR("10:46:04.123 access GET /business/myclass/myoperation 200 permit granted 1.234ms "
                   "business:invoke mobile-app corp:alice 01JDC4Z0V8QZ9GJ2N6YB7M3K5T\n"));
    static char big[6000];
    for (unsigned c = 0; c < 256; c++) {
        memset(big, (int)c, sizeof big);
        struct outcome o = typical;
        o.path = o.method = o.subject = o.action = o.product = o.id = str_make(big, sizeof big);
        n = access_log_line(line, &o, o.unix_ms, "gateway", true);
        assert_true(n <= sizeof line && line[n - 1] == '\n');
        for (size_t i = 0; i + 1 < n; i++) assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
    }
}

static void written_through_the_log_without_allocation(void **state)
{
    (void)state;
    int p[2];
    char got[8192];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    const struct log_options options = {.fd = p[1], .form = LOG_FORM_JSON, .level = LOG_LEVEL_INFO, .role = "gateway"};
    assert_err(log_open(&options), ERR_OK);
    access_log_write(NULL, &typical, 0);
    struct log_producer *own = log_attach();
    assert_non_null(own);
    alloc_fail_at(0);
    for (int i = 0; i < 10; i++) access_log_write(own, &typical, typical.unix_ms);
    log_turn(own);
    bool hit = alloc_fail_hit();
    alloc_fail_at(-1);
    assert_false(hit);
    log_detach();
    assert_err(log_close(), ERR_OK);
    ssize_t n = read(p[0], got, sizeof got);
    assert_true(n > 0);
    str rest = str_make(got, (size_t)n);
    char want[LOG_LINE_MAX];
    size_t want_n = access_log_line(want, &typical, typical.unix_ms, "gateway", false);
    for (int i = 0; i < 10; i++) assert_str(str_cut(&rest, '\n'), str_make(want, want_n - 1));
    assert_int_equal(rest.n, 0);
    close(p[0]);
    close(p[1]);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* CPU-ns a line of this thread: formatting alone, and into the log with a sink that writes to /dev/null. */
static int bench(unsigned n)
{
    char line[LOG_LINE_MAX];
    uint64_t sum = 0, t = cpu_ns();
    for (unsigned i = 0; i < n; i++)
        sum += access_log_line(line, &typical, typical.unix_ms + i / 100, "gateway", false);
    printf("line     %5.1f ns (%llu bytes)\n", (double)(cpu_ns() - t) / n, (unsigned long long)(sum / n));
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    const struct log_options options = {.fd = null, .form = LOG_FORM_JSON, .level = LOG_LEVEL_INFO, .role = "gateway"};
    if (log_open(&options) != ERR_OK) return 1;
    struct log_producer *own = log_attach();
    t = cpu_ns();
    for (unsigned i = 0; i < n; i++) {
        access_log_write(own, &typical, typical.unix_ms + i / 100);
        if (i % 8 == 0) log_turn(own);
    }
    printf("written  %5.1f ns, %llu dropped\n", (double)(cpu_ns() - t) / n, (unsigned long long)log_dropped());
    log_detach();
    log_close();
    struct decision_ring *ring;
    if (decision_ring_new(&ring) != ERR_OK) return 1;
    t = cpu_ns();
    for (unsigned i = 0; i < n; i++) decision_ring_put(ring, &typical);
    printf("ring     %5.1f ns\n", (double)(cpu_ns() - t) / n);
    decision_ring_free(&ring);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "--bench") == 0)
        return bench(argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000000);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_foreign_correlation_id_is_told),
        cmocka_unit_test(typical_line),
        cmocka_unit_test(nothing_known_is_still_a_line),
        cmocka_unit_test(hostile_values_parse_back),
        cmocka_unit_test(credentials_are_taken_out),
        cmocka_unit_test(text_form),
        cmocka_unit_test(written_through_the_log_without_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
