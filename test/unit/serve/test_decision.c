/* Records hold what fits and say what does not; the ring is read whole, or not at all, while it is written. */
#include "unit.h"

#include "serve/decision.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

static char ids[64][ULID_LEN];

/* The i-th id: its number in the last digits. */
static str id_of(uint64_t i)
{
    char *id = ids[i % 64], text[ULID_LEN + 1];
    snprintf(text, sizeof text, "01J%023llu", (unsigned long long)i);
    memcpy(id, text, ULID_LEN);
    return str_make(id, ULID_LEN);
}

static const struct outcome whole = {
    .unix_ms = 1795171564123u,
    .duration_us = 912,
    .generation = 7,
    .status = 403,
    .reason = REASON_ACTION_NOT_GRANTED,
    .gate = 1,
    .trace_id = STR_INIT("0af7651916cd43dd8448eb211c80319c"),
    .correlation_id = STR_INIT("corr-1"),
    .action = STR_INIT("payOrder"),
    .product = STR_INIT("mobile-app"),
    .client = STR_INIT("web"),
    .issuer = STR_INIT("corp"),
    .subject = STR_INIT("corp:alice"),
    .roles = STR_INIT("support"),
    .method = STR_INIT("POST"),
    .path = STR_INIT("/orders/7/pay"),
    .upstream = STR_INIT("10.0.0.11:8080"),
    .remote = STR_INIT("192.0.2.1"),
    .fault = STR_INIT("none_such"),
};

static json_t *as_json(const struct decision_record *r)
{
    struct buf b;
    buf_init(&b, 65536);
    decision_record_json(r, &b);
    assert_false(b.bad);
    json_error_t e;
    json_t *j = json_loadb(b.p, b.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (!j) fail_msg("%s in %.*s", e.text, (int)b.n, b.p);
    buf_free(&b);
    return j;
}

static str text_of(const json_t *j, const char *name)
{
    const json_t *v = json_object_get(j, name);
    return json_is_string(v) ? str_make(json_string_value(v), json_string_length(v)) : STR_NONE;
}

/* It is kept once, and told all the same. */
static void a_correlation_id_may_be_the_decisions_own(void **state)
{
    (void)state;
    struct outcome o = whole;
    struct decision_record r;
    o.id = o.correlation_id = id_of(42);
    decision_record_make(&r, &o);
    assert_int_equal(r.len[DECISION_CORRELATION_ID], 0);
    json_t *j = as_json(&r);
    assert_str(text_of(j, "correlation_id"), o.id);
    json_decref(j);
}

static void record_gives_back_what_went_in(void **state)
{
    (void)state;
    struct outcome o = whole;
    struct decision_record r;
    o.id = id_of(42);
    memset(&r, 0xa5, sizeof r);
    decision_record_make(&r, &o);
    const str want[DECISION_TEXTS] = {
        [DECISION_ACTION] = o.action,
        [DECISION_METHOD] = o.method,
        [DECISION_PRODUCT] = o.product,
        [DECISION_ISSUER] = o.issuer,
        [DECISION_FAULT] = o.fault,
        [DECISION_UPSTREAM] = o.upstream,
        [DECISION_CORRELATION_ID] = o.correlation_id,
        [DECISION_REMOTE] = o.remote,
        [DECISION_CLIENT] = o.client,
        [DECISION_SUBJECT] = o.subject,
        [DECISION_PATH] = o.path,
        [DECISION_ROLES] = o.roles,
    };
    for (unsigned i = 0; i < DECISION_TEXTS; i++) {
        assert_str(decision_record_text(&r, (enum decision_text)i), want[i]);
        assert_false(decision_record_cut(&r, (enum decision_text)i));
    }
    json_t *j = as_json(&r);
    assert_str(text_of(j, "ts"), STR("2026-11-20T10:46:04.123Z"));
    assert_str(text_of(j, "decision_id"), o.id);
    assert_str(text_of(j, "trace_id"), o.trace_id);
    assert_str(text_of(j, "decision"), STR("deny"));
    assert_str(text_of(j, "reason"), STR("action_not_granted"));
    assert_str(text_of(j, "correlation_id"), o.correlation_id);
    assert_str(text_of(j, "sub"), o.subject);
    assert_str(text_of(j, "path"), o.path);
    assert_str(text_of(j, "roles"), o.roles);
    assert_int_equal(json_integer_value(json_object_get(j, "status")), 403);
    assert_int_equal(json_integer_value(json_object_get(j, "generation")), 7);
    assert_int_equal(json_integer_value(json_object_get(j, "duration_us")), 912);
    assert_int_equal(json_integer_value(json_object_get(j, "gate")), 1);
    assert_null(json_object_get(j, "cut"));
    json_decref(j);
}

static void zero_outcome_is_a_denial(void **state)
{
    (void)state;
    struct decision_record r;
    decision_record_make(&r, &(struct outcome){0});
    json_t *j = as_json(&r);
    assert_str(text_of(j, "decision"), STR("deny"));
    assert_str(text_of(j, "reason"), STR("internal_error"));
    json_decref(j);
    struct outcome o = {.effect = (enum effect)77}; /* only PERMIT permits */
    decision_record_make(&r, &o);
    assert_int_equal(r.effect, EFFECT_DENY);
}

/* Every text as long as can be, in many lengths: never beyond the record, never half a character, always said. */
static void what_is_too_long_is_cut_and_said(void **state)
{
    (void)state;
    static char euro[3000];
    for (size_t i = 0; i + 3 <= sizeof euro; i += 3) memcpy(euro + i, "\xe2\x82\xac", 3);
    for (size_t n = 0; n < 700; n += 3) {
        str s = str_make(euro, n);
        struct outcome o = {.action = s,
                            .product = s,
                            .client = s,
                            .issuer = s,
                            .subject = s,
                            .roles = s,
                            .method = s,
                            .path = s,
                            .upstream = s,
                            .remote = s,
                            .fault = s,
                            .correlation_id = s};
        struct decision_record r;
        decision_record_make(&r, &o);
        assert_true(r.text_n <= sizeof r.text);
        size_t sum = 0;
        for (unsigned i = 0; i < DECISION_TEXTS; i++) {
            str got = decision_record_text(&r, (enum decision_text)i);
            assert_int_equal(got.n % 3, 0);
            assert_memory_equal(got.p, euro, got.n);
            assert_int_equal(decision_record_cut(&r, (enum decision_text)i), got.n < n);
            sum += got.n;
        }
        assert_int_equal(sum, r.text_n);
        json_t *j = as_json(&r);
        assert_int_equal(json_array_size(json_object_get(j, "cut")), (size_t)__builtin_popcount(r.cut));
        json_decref(j);
    }
}

static void credentials_in_a_path_are_not_kept(void **state)
{
    (void)state;
    struct outcome o = whole;
    struct decision_record r;
    o.path = STR("/login/sp_dev_abcdefgh_0123456789abcdefABCDEF");
    o.correlation_id = STR("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl");
    decision_record_make(&r, &o);
    assert_str(decision_record_text(&r, DECISION_PATH), STR("/login/[redacted]"));
    assert_str(decision_record_text(&r, DECISION_CORRELATION_ID), STR("[redacted]"));
}

static void hostile_bytes_stay_json(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char bytes[3] = {(char)c, '"', (char)c};
        struct outcome o = whole;
        struct decision_record r;
        o.path = o.subject = o.roles = o.correlation_id = o.method = str_make(bytes, 3);
        decision_record_make(&r, &o);
        json_t *j = as_json(&r);
        if (c < 0x80) assert_str(text_of(j, "path"), o.path);
        json_decref(j);
    }
}

static struct decision_ring *new_ring(void)
{
    struct decision_ring *ring;
    assert_err(decision_ring_new(&ring), ERR_OK);
    return ring;
}

static void put(struct decision_ring *ring, uint64_t i, enum effect effect, enum reason reason)
{
    struct outcome o = whole;
    o.id = id_of(i);
    o.unix_ms = i;
    o.effect = effect;
    o.reason = reason;
    decision_ring_put(ring, &o);
}

static void permits_do_not_push_denials_out(void **state)
{
    (void)state;
    struct decision_ring *ring = new_ring();
    struct decision_record r;
    put(ring, 1, EFFECT_DENY, REASON_TOKEN_EXPIRED);
    put(ring, 2, EFFECT_PERMIT, REASON_UPSTREAM_CONNECT); /* permitted, but worth keeping */
    for (uint64_t i = 10; i < 10000; i++) put(ring, i, EFFECT_PERMIT, REASON_GRANTED);
    assert_err(decision_ring_find(ring, id_of(1), &r), ERR_OK);
    assert_int_equal(r.reason, REASON_TOKEN_EXPIRED);
    assert_err(decision_ring_find(ring, id_of(2), &r), ERR_OK);
    assert_err(decision_ring_find(ring, id_of(9999), &r), ERR_OK);
    assert_err(decision_ring_find(ring, id_of(10000 - DECISION_PERMITS), &r), ERR_OK);
    assert_err(decision_ring_find(ring, id_of(9999 - DECISION_PERMITS), &r), ERR_NOT_FOUND);
    assert_err(decision_ring_find(ring, STR("short"), &r), ERR_NOT_FOUND);
    for (uint64_t i = 20000; i < 20000 + DECISION_DENIALS; i++) put(ring, i, EFFECT_DENY, REASON_NO_ROUTE);
    assert_err(decision_ring_find(ring, id_of(1), &r), ERR_NOT_FOUND);
    assert_err(decision_ring_find(ring, STR("01j00000000000000000020000"), &r), ERR_OK); /* case does not matter */
    decision_ring_free(&ring);
    decision_ring_free(&ring);
    assert_null(ring);
}

static void cursor_misses_nothing_that_is_there(void **state)
{
    (void)state;
    struct decision_ring *ring = new_ring();
    static struct decision_record out[DECISION_DENIALS];
    struct decision_cursor c = {0}, now;
    assert_int_equal(decision_ring_read(ring, &c, false, out, 8), 0);
    for (uint64_t i = 1; i <= 20; i++)
        put(ring, i, i % 2 ? EFFECT_DENY : EFFECT_PERMIT, i % 2 ? REASON_NO_ROUTE : REASON_GRANTED);
    decision_cursor_now(ring, &now);
    assert_int_equal(decision_ring_read(ring, &now, false, out, 8), 0);
    assert_int_equal(decision_ring_read(ring, &c, false, out, 8), 8);
    assert_int_equal(decision_ring_read(ring, &c, false, out, 100), 12);
    assert_int_equal(decision_ring_read(ring, &c, false, out, 100), 0);
    assert_int_equal(c.missed, 0);
    put(ring, 21, EFFECT_PERMIT, REASON_UPSTREAM_CLOSED);
    put(ring, 22, EFFECT_PERMIT, REASON_GRANTED);
    put(ring, 23, EFFECT_DENY, REASON_NO_ROUTE);
    struct decision_cursor d = now;
    assert_int_equal(decision_ring_read(ring, &d, true, out, 100), 1);
    assert_int_equal(out[0].unix_ms, 23);
    assert_int_equal(decision_ring_read(ring, &now, false, out, 100), 3);
    for (uint64_t i = 100; i < 100 + DECISION_DENIALS + 50; i++) put(ring, i, EFFECT_DENY, REASON_NO_ROUTE);
    assert_int_equal(decision_ring_read(ring, &now, false, out, ARRAY_LEN(out)), DECISION_DENIALS);
    assert_int_equal(now.missed, 50);
    assert_int_equal(out[0].unix_ms, 150);
    decision_ring_free(&ring);
}

/* One writes as fast as it can, two read: no reader ever sees a mixture of two records. */
struct race {
    struct decision_ring *ring;
    _Atomic bool stop;
    _Atomic uint64_t reads, torn;
};

enum { RACE_PUTS = 400000 };

static void fill(struct outcome *o, uint64_t i, char text[200], char id[ULID_LEN + 1])
{
    snprintf(id, ULID_LEN + 1, "01J%023llu", (unsigned long long)i);
    size_t n = 1 + i % 199;
    memset(text, 'a' + (int)(i % 26), n);
    *o = (struct outcome){.unix_ms = i,
                          .duration_us = (uint32_t)i,
                          .generation = (uint32_t)(i * 7),
                          .effect = EFFECT_PERMIT, /* the shorter lane */
                          .reason = REASON_GRANTED,
                          .id = str_make(id, ULID_LEN),
                          .path = str_make(text, n)};
}

static bool is_whole(const struct decision_record *r)
{
    char text[200], id[ULID_LEN + 1];
    struct outcome o;
    fill(&o, r->unix_ms, text, id);
    return str_eq(str_make(r->id, ULID_LEN), o.id) && str_eq(decision_record_text(r, DECISION_PATH), o.path) &&
           r->duration_us == (uint32_t)r->unix_ms && r->generation == (uint32_t)(r->unix_ms * 7);
}

static void *race_follow(void *arg)
{
    struct race *race = arg;
    struct decision_cursor c = {0};
    struct decision_record out[64];
    uint64_t last = 0, seen = 0;
    for (bool stop = false; !stop;) {
        stop = atomic_load(&race->stop);
        for (size_t n; (n = decision_ring_read(race->ring, &c, false, out, ARRAY_LEN(out)));) {
            for (size_t i = 0; i < n; i++) {
                if (!is_whole(&out[i]) || out[i].unix_ms <= last) atomic_fetch_add(&race->torn, 1);
                last = out[i].unix_ms;
            }
            seen += n;
        }
    }
    if (seen + c.missed != RACE_PUTS) atomic_fetch_add(&race->torn, 1);
    atomic_fetch_add(&race->reads, seen);
    return NULL;
}

/* Reads where the writer is about to write, again and again: the oldest records there are. */
static void *race_oldest(void *arg)
{
    struct race *race = arg;
    struct decision_record out[4], again;
    while (!atomic_load(&race->stop)) {
        struct decision_cursor c = {0};
        size_t n = decision_ring_read(race->ring, &c, false, out, ARRAY_LEN(out));
        for (size_t i = 0; i < n; i++)
            if (!is_whole(&out[i])) atomic_fetch_add(&race->torn, 1);
        if (!n || decision_ring_find(race->ring, str_make(out[n - 1].id, ULID_LEN), &again) != ERR_OK) continue;
        if (again.unix_ms != out[n - 1].unix_ms || !is_whole(&again)) atomic_fetch_add(&race->torn, 1);
    }
    return NULL;
}

static void readers_never_see_a_torn_record(void **state)
{
    (void)state;
    struct race race = {.ring = new_ring()};
    pthread_t follower, finder;
    assert_int_equal(pthread_create(&follower, NULL, race_follow, &race), 0);
    assert_int_equal(pthread_create(&finder, NULL, race_oldest, &race), 0);
    for (uint64_t i = 1; i <= RACE_PUTS; i++) {
        char text[200], id[ULID_LEN + 1];
        struct outcome o;
        fill(&o, i, text, id);
        decision_ring_put(race.ring, &o);
    }
    atomic_store(&race.stop, true);
    pthread_join(follower, NULL);
    pthread_join(finder, NULL);
    assert_int_equal(race.torn, 0);
    assert_true(race.reads > 0);
    decision_ring_free(&race.ring);
}

static void ring_survives_lack_of_memory(void **state)
{
    (void)state;
    EACH_ALLOC_FAILING({
        struct decision_ring *ring = NULL;
        enum err e = decision_ring_new(&ring);
        assert_err(e, alloc_fail_hit() ? ERR_NO_MEMORY : ERR_OK);
        if (ring) put(ring, 1, EFFECT_DENY, REASON_NO_ROUTE);
        decision_ring_free(&ring);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_correlation_id_may_be_the_decisions_own),
        cmocka_unit_test(record_gives_back_what_went_in),
        cmocka_unit_test(zero_outcome_is_a_denial),
        cmocka_unit_test(what_is_too_long_is_cut_and_said),
        cmocka_unit_test(credentials_in_a_path_are_not_kept),
        cmocka_unit_test(hostile_bytes_stay_json),
        cmocka_unit_test(permits_do_not_push_denials_out),
        cmocka_unit_test(cursor_misses_nothing_that_is_there),
        cmocka_unit_test(readers_never_see_a_torn_record),
        cmocka_unit_test(ring_survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
