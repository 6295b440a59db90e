/* The ring between a worker and the control thread, and what OTLP makes of a span. */
#include "unit.h"

#include "codec/protobuf.h"
#include "serve/otlp.h"

#include <pthread.h>

static void texts(void **state)
{
    (void)state;
    struct span s = {0};
    char big[300];
    memset(big, 'p', sizeof big);
    str t[SPAN_TEXTS] = {[SPAN_ACTION] = STR("viewOrder"),
                         [SPAN_ROUTE] = STR("/orders/{id}"),
                         [SPAN_AUTHORITY] = str_make(big, sizeof big),
                         [SPAN_PATH] = str_make(big, sizeof big)};
    span_texts(&s, t);
    assert_str(span_text(&s, SPAN_ACTION), STR("viewOrder"));
    assert_str(span_text(&s, SPAN_METHOD), STR(""));
    assert_str(span_text(&s, SPAN_ROUTE), STR("/orders/{id}"));
    assert_int_equal(span_text(&s, SPAN_AUTHORITY).n, 255);
    assert_int_equal(span_text(&s, SPAN_PATH).n, sizeof s.text - 255 - 21); /* cut where the room ends */
}

static void ring_is_bounded(void **state)
{
    (void)state;
    struct span_ring *r;
    assert_err(span_ring_new(&r), ERR_OK);
    assert_null(span_ring_peek(r));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < SPAN_RING; i++) {
            struct span *s = span_ring_room(r);
            assert_non_null(s);
            s->begin_ns = i;
            assert_int_equal(span_ring_peek(r) != NULL, i > 0); /* not before it is whole */
            span_ring_put(r);
        }
        assert_null(span_ring_room(r));
        assert_int_equal(span_ring_dropped(r), round + 1);
        for (unsigned i = 0; i < SPAN_RING; i++) {
            assert_int_equal(span_ring_peek(r)->begin_ns, i);
            span_ring_took(r);
        }
        assert_null(span_ring_peek(r));
    }
    span_ring_free(&r);
    span_ring_free(&r);
}

enum { MANY = 200000 };

static void *writer(void *arg)
{
    struct span_ring *r = arg;
    for (uint64_t i = 1; i <= MANY; i++) {
        struct span *s = span_ring_room(r);
        if (!s) continue;
        s->begin_ns = i;
        memset(s->text, (int)(i & 0x7f), sizeof s->text);
        s->end_ns = i;
        span_ring_put(r);
    }
    return NULL;
}

/* Whole, in order, and none but the counted ones missing. */
static void two_threads(void **state)
{
    (void)state;
    struct span_ring *r;
    pthread_t thread;
    uint64_t seen = 0, last = 0;
    assert_err(span_ring_new(&r), ERR_OK);
    assert_int_equal(pthread_create(&thread, NULL, writer, r), 0);
    while (seen + span_ring_dropped(r) < MANY) {
        const struct span *s = span_ring_peek(r);
        if (!s) continue;
        assert_true(s->begin_ns > last);
        assert_int_equal(s->begin_ns, s->end_ns);
        assert_int_equal(s->text[sizeof s->text - 1], s->begin_ns & 0x7f);
        last = s->begin_ns;
        seen++;
        span_ring_took(r);
    }
    pthread_join(thread, NULL);
    assert_int_equal(seen + span_ring_dropped(r), MANY);
    span_ring_free(&r);
}

/* --- OTLP --- */

/* The first field of that number in message m. */
static bool find(str m, uint32_t number, struct protobuf_field *out)
{
    while (protobuf_next(&m, out) == ERR_OK)
        if (out->number == number) return true;
    return false;
}

static str inside(str m, uint32_t number)
{
    struct protobuf_field f;
    return find(m, number, &f) ? f.bytes : STR_NONE;
}

/* The value of a span's attribute: an AnyValue; .p NULL: there is none. */
static str attribute_of(str span, const char *key)
{
    struct protobuf_field f;
    while (protobuf_next(&span, &f) == ERR_OK)
        if (f.number == 9 && str_eq(inside(f.bytes, 1), str_of(key))) return inside(f.bytes, 2);
    return STR_NONE;
}

static void assert_text(str span, const char *key, const char *want)
{
    str got = inside(attribute_of(span, key), 1);
    if (!str_eq(got, str_of(want))) fail_msg("%s: got \"%.*s\", want \"%s\"", key, STR_ARG(got), want);
}

static void assert_number(str span, const char *key, uint64_t want)
{
    struct protobuf_field f = {0};
    if (!find(attribute_of(span, key), 3, &f) || f.value != want)
        fail_msg("%s: %llu", key, (unsigned long long)f.value);
}

static struct span sample(void)
{
    struct span s = {.begin_ns = 1000,
                     .end_ns = 4000,
                     .upstream_ns = 2000,
                     .bytes_out = 9,
                     .status = 200,
                     .reason = REASON_GRANTED,
                     .attempts = 1,
                     .gate = 1,
                     .effect = EFFECT_PERMIT,
                     .minor = 1};
    span_id_of("0af7651916cd43dd8448eb211c80319c", s.trace_id, 16);
    span_id_of("00f067aa0ba902b7", s.id, 8);
    span_id_of("b7ad6b7169203331", s.upstream_id, 8);
    memcpy(s.decision, "01ARZ3NDEKTSV4RRFFQ69G5FAV", ULID_LEN);
    str t[SPAN_TEXTS] = {[SPAN_ACTION] = STR("viewOrder"),  [SPAN_METHOD] = STR("GET"),
                         [SPAN_PRODUCT] = STR("shop"),      [SPAN_ROUTE] = STR("/orders/{id}"),
                         [SPAN_UPSTREAM] = STR("[::1]:80"), [SPAN_AUTHORITY] = STR("api.example.com:8080"),
                         [SPAN_PATH] = STR("/orders/7")};
    span_texts(&s, t);
    return s;
}

static void as_otlp(void **state)
{
    (void)state;
    struct span s = sample();
    struct buf spans, b;
    struct protobuf_field f;
    buf_init(&spans, 1 << 16);
    buf_init(&b, 1 << 16);
    assert_int_equal(otlp_put(&spans, &s), 2);
    otlp_request(&b, &(struct otlp_resource){STR("9.9"), STR("gw-1"), STR("prod")}, buf_str(&spans));
    assert_false(b.bad);
    str resource_spans = inside(buf_str(&b), 1), scope_spans = inside(resource_spans, 2);
    assert_str(inside(inside(scope_spans, 1), 1), STR("sallyport"));
    str server = inside(scope_spans, 2), rest = scope_spans, client = STR_NONE;
    while (protobuf_next(&rest, &f) == ERR_OK)
        if (f.number == 2) client = f.bytes; /* the last */
    assert_str(inside(server, 1), str_make((const char *)s.trace_id, 16));
    assert_str(inside(client, 1), str_make((const char *)s.trace_id, 16));
    assert_str(inside(server, 2), str_make((const char *)s.id, 8));
    assert_null(inside(server, 4).p); /* it begins here */
    assert_str(inside(client, 2), str_make((const char *)s.upstream_id, 8));
    assert_str(inside(client, 4), str_make((const char *)s.id, 8));
    assert_str(inside(server, 5), STR("GET /orders/{id}"));
    assert_str(inside(client, 5), STR("GET"));
    assert_true(find(server, 6, &f) && f.value == 2);
    assert_true(find(client, 6, &f) && f.value == 3);
    assert_true(find(server, 7, &f) && f.value == 1000);
    assert_true(find(client, 7, &f) && f.value == 2000);
    assert_true(find(client, 8, &f) && f.value == 4000);
    assert_false(find(server, 15, &f)); /* no error */
    assert_text(server, "http.request.method", "GET");
    assert_text(server, "http.route", "/orders/{id}");
    assert_text(server, "url.path", "/orders/7");
    assert_text(server, "url.scheme", "http");
    assert_text(server, "server.address", "api.example.com");
    assert_number(server, "server.port", 8080);
    assert_number(server, "http.response.status_code", 200);
    assert_text(server, "sallyport.decision_id", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_text(server, "sallyport.action", "viewOrder");
    assert_text(server, "sallyport.product", "shop");
    assert_text(client, "server.address", "[::1]");
    assert_number(client, "server.port", 80);
    assert_null(attribute_of(client, "http.request.resend_count").p);
    buf_free(&b);
    buf_free(&spans);
}

static void failures(void **state)
{
    (void)state;
    struct span s = sample();
    struct buf b;
    struct protobuf_field f;
    buf_init(&b, 1 << 16);
    s.upstream_ns = 0; /* refused before it went anywhere */
    s.status = 503;
    s.effect = EFFECT_DENY;
    s.reason = REASON_OVERLOADED;
    assert_int_equal(otlp_put(&b, &s), 1);
    str span = inside(buf_str(&b), 2);
    assert_true(find(inside(span, 15), 3, &f) && f.value == 2);
    assert_text(span, "error.type", "overloaded");
    buf_clear(&b);
    s = sample();
    s.status = 404; /* the service's own: no error of the server's span, one of the client's */
    s.attempts = 3;
    assert_int_equal(otlp_put(&b, &s), 2);
    str rest = buf_str(&b);
    assert_err(protobuf_next(&rest, &f), ERR_OK);
    assert_null(inside(f.bytes, 15).p);
    assert_err(protobuf_next(&rest, &f), ERR_OK);
    assert_text(f.bytes, "error.type", "404");
    assert_number(f.bytes, "http.request.resend_count", 2);
    buf_free(&b);
}

/* A path may hold what looks like a key, and anything a client likes to call a method. */
static void nothing_secret(void **state)
{
    (void)state;
    struct span s = sample();
    struct buf b;
    str t[SPAN_TEXTS] = {[SPAN_METHOD] = STR("FROBNICATE"),
                         [SPAN_PATH] = STR("/x/sp_prod_abcdefgh_0123456789abcdef0123456789abcdef0123/y"),
                         [SPAN_AUTHORITY] = STR("\xff\xfe")};
    span_texts(&s, t);
    s.upstream_ns = 0;
    buf_init(&b, 1 << 16);
    otlp_put(&b, &s);
    str span = inside(buf_str(&b), 2);
    assert_text(span, "url.path", "/x/[redacted]/y");
    assert_text(span, "http.request.method", "_OTHER");
    assert_text(span, "server.address", "\xef\xbf\xbd\xef\xbf\xbd");
    buf_free(&b);
}

static void answers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        str body;
        enum err want;
        uint64_t rejected;
    } rows[] = {
        {"empty: all taken", STR_INIT(""), ERR_OK, 0},
        {"an empty partial success", STR_INIT("\x0a\x00"), ERR_OK, 0},
        {"three not taken, with a reason", STR_INIT("\x0a\x06\x08\x03\x12\x02no"), ERR_OK, 3},
        {"something of tomorrow beside it", STR_INIT("\x10\x01\x0a\x02\x08\x05"), ERR_OK, 5},
        {"not protobuf", STR_INIT("ok\n"), ERR_MALFORMED, 0},
        {"cut within", STR_INIT("\x0a\x01\x08"), ERR_MALFORMED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t n = 77;
        enum err e = otlp_rejected(rows[i].body, &n);
        if (e != rows[i].want || n != (e == ERR_OK ? rows[i].rejected : 77)) fail_msg("%s", rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),   cmocka_unit_test(ring_is_bounded), cmocka_unit_test(two_threads),
        cmocka_unit_test(as_otlp), cmocka_unit_test(failures),        cmocka_unit_test(nothing_secret),
        cmocka_unit_test(answers),
    };
    return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
