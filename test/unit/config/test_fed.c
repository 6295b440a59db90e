#include "unit.h"

#include "base/map.h"
#include "base/rand.h"
#include "config/fed.h"

#include <pthread.h>

static struct fed *make(void)
{
    struct fed *f;
    assert_err(fed_new(&f), ERR_OK);
    return f;
}

static struct fed_key key_of(unsigned n, str product)
{
    struct fed_key k = {.product = product, .expires_s = (int64_t)n, .disabled = n % 3 == 0};
    memset(k.sha256, (int)n, sizeof k.sha256);
    return k;
}

static str id_of(unsigned n, char room[16])
{
    return str_make(room, (size_t)snprintf(room, 16, "key%08u", n));
}

static void keys_come_change_and_go(void **state)
{
    (void)state;
    struct fed *f = make();
    struct fed_key k = key_of(7, STR("shop"));
    assert_null(fed_key_find(f, STR("key00000")));
    assert_err(fed_key_put(f, STR("key00000"), &k), ERR_OK);
    const struct fed_key *got = fed_key_find(f, STR("key00000"));
    assert_non_null(got);
    assert_str(got->id, STR("key00000"));
    assert_str(got->product, STR("shop"));
    assert_memory_equal(got->sha256, k.sha256, sizeof k.sha256);
    assert_int_equal(got->expires_s, 7);
    assert_false(got->disabled);
    k.disabled = true;
    assert_err(fed_key_put(f, STR("key00000"), &k), ERR_OK);
    assert_true(fed_key_find(f, STR("key00000"))->disabled);
    assert_false(got->disabled); /* who still looks at the old one sees it whole */
    assert_int_equal(fed_keys(f), 1);
    fed_key_remove(f, STR("key00000"));
    fed_key_remove(f, STR("key00000"));
    fed_key_remove(f, STR("key99999"));
    assert_null(fed_key_find(f, STR("key00000")));
    assert_int_equal(fed_keys(f), 0);
    size_t held = fed_bytes(f);
    fed_seal(f, 3);
    fed_reclaim(f, 2);
    assert_int_equal(fed_bytes(f), held);
    fed_reclaim(f, 3);
    assert_true(fed_bytes(f) < held);
    fed_free(&f);
    assert_null(f);
    fed_free(&f);
}

/* A random story beside a plain array; the tables grow, fill with what is gone, and are made anew on the way. */
static void keys_and_marks_are_what_was_written(void **state)
{
    (void)state;
    enum { N = 3000, STEPS = 120000 };
    static struct {
        bool there;
        unsigned value;
    } keys[N], marks[N];
    struct fed *f = make();
    char room[16];
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned n = (unsigned)(rand_u64() % N), v = step + 1;
        uint64_t mark = fed_mark(FED_TOKEN, STR_NONE, id_of(n, room));
        struct fed_key k = key_of(v, STR("shop"));
        switch (rand_u64() % 8) {
        case 0:
        case 1:
            assert_err(fed_key_put(f, id_of(n, room), &k), ERR_OK);
            keys[n].there = true;
            keys[n].value = v;
            break;
        case 2:
        case 3:
            fed_key_remove(f, id_of(n, room));
            keys[n].there = false;
            break;
        case 4:
        case 5:
            assert_err(fed_mark_put(f, mark, v), ERR_OK);
            marks[n].there = true;
            marks[n].value = v;
            break;
        default:
            fed_mark_remove(f, mark);
            marks[n].there = false;
            break;
        }
        if (step % 64 == 0) {
            fed_seal(f, step + 1);
            fed_reclaim(f, step + 1);
        }
        if (step % 997) continue;
        for (unsigned i = 0; i < N; i++) {
            const struct fed_key *got = fed_key_find(f, id_of(i, room));
            int64_t before = fed_before(f, fed_mark(FED_TOKEN, STR_NONE, id_of(i, room)));
            assert_int_equal(got != NULL, keys[i].there);
            if (got) assert_int_equal(got->expires_s, keys[i].value);
            assert_true(before == (marks[i].there ? (int64_t)marks[i].value : FED_NOT_MARKED));
        }
    }
    fed_free(&f);
}

static void marks_tell_apart_what_they_speak_of(void **state)
{
    (void)state;
    const uint64_t all[] = {fed_mark(FED_TOKEN, STR_NONE, STR("a")),   fed_mark(FED_SESSION, STR_NONE, STR("a")),
                            fed_mark(FED_USER, STR("a"), STR("a")),    fed_mark(FED_USER, STR("aa"), STR("")),
                            fed_mark(FED_USER, STR(""), STR("aa")),    fed_mark(FED_USER, STR("b"), STR("a")),
                            fed_mark(FED_PRODUCT, STR_NONE, STR("a")), fed_mark(FED_ALL, STR_NONE, STR_NONE)};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        assert_true(all[i] != 0);
        for (size_t k = 0; k < i; k++) assert_true(all[i] != all[k]);
    }
    assert_true(fed_mark(FED_USER, STR("a"), STR("x")) == fed_mark(FED_USER, STR("a"), STR("x")));
    struct fed *f = make();
    for (size_t i = 0; i < ARRAY_LEN(all); i++) assert_true(fed_before(f, all[i]) == FED_NOT_MARKED);
    assert_err(fed_mark_put(f, all[0], INT64_MIN), ERR_OK);
    assert_true(fed_before(f, all[0]) != FED_NOT_MARKED);
    assert_err(fed_mark_put(f, all[1], INT64_MAX), ERR_OK);
    assert_true(fed_before(f, all[1]) == INT64_MAX);
    fed_free(&f);
}

/* Readers see the old tables whole until the new ones are, and nothing in between. */
static void everything_anew_replaces_at_once(void **state)
{
    (void)state;
    struct fed *f = make();
    struct fed_key k = key_of(1, STR("shop"));
    uint64_t old = fed_mark(FED_TOKEN, STR_NONE, STR("old")), new = fed_mark(FED_TOKEN, STR_NONE, STR("new"));
    assert_err(fed_key_put(f, STR("oldkey00"), &k), ERR_OK);
    assert_err(fed_mark_put(f, old, 1), ERR_OK);
    for (int turn = 0; turn < 2; turn++) { /* begun, given up, begun again */
        assert_err(fed_fill_begin(f), ERR_OK);
        assert_err(fed_key_put(f, STR("newkey00"), &k), ERR_OK);
        assert_err(fed_key_put(f, STR("gonekey0"), &k), ERR_OK);
        assert_err(fed_mark_put(f, new, 2), ERR_OK);
        for (unsigned i = 0; i < 1000; i++) {
            char room[16];
            assert_err(fed_key_put(f, id_of(i, room), &k), ERR_OK);
            assert_err(fed_mark_put(f, fed_mark(FED_TOKEN, STR_NONE, id_of(i, room)), 3), ERR_OK);
        }
        fed_key_remove(f, STR("gonekey0"));
        assert_non_null(fed_key_find(f, STR("oldkey00")));
        assert_null(fed_key_find(f, STR("newkey00")));
        assert_true(fed_before(f, old) == 1);
        assert_true(fed_before(f, new) == FED_NOT_MARKED);
    }
    fed_fill_end(f);
    assert_null(fed_key_find(f, STR("oldkey00")));
    assert_null(fed_key_find(f, STR("gonekey0")));
    assert_non_null(fed_key_find(f, STR("newkey00")));
    assert_true(fed_before(f, old) == FED_NOT_MARKED);
    assert_true(fed_before(f, new) == 2);
    assert_int_equal(fed_keys(f), 1001);
    assert_int_equal(fed_marks(f), 1001);
    fed_fill_end(f); /* nothing was begun */
    assert_int_equal(fed_keys(f), 1001);
    fed_free(&f);
}

static void a_million_revocations_fit(void **state)
{
    (void)state;
    enum { N = 1000000 };
    struct fed *f = make();
    for (uint64_t i = 1; i <= N; i++) {
        assert_err(fed_mark_put(f, i * UINT64_C(0x9e3779b97f4a7c15), (int64_t)i), ERR_OK);
        if (i % 1000 == 0) {
            fed_seal(f, i);
            fed_reclaim(f, i);
        }
    }
    for (uint64_t i = 1; i <= N; i++) assert_true(fed_before(f, i * UINT64_C(0x9e3779b97f4a7c15)) == (int64_t)i);
    assert_int_equal(fed_marks(f), N);
    if (fed_bytes(f) > 32u << 20) fail_msg("%zu bytes", fed_bytes(f));
    for (uint64_t i = 1; i <= N; i++) fed_mark_remove(f, i * UINT64_C(0x9e3779b97f4a7c15));
    assert_int_equal(fed_marks(f), 0);
    for (uint64_t i = 1; i <= 300000; i++) /* and the room comes back */
        assert_err(fed_mark_put(f, i * UINT64_C(0x9e3779b97f4a7c17), 1), ERR_OK);
    fed_seal(f, N + 1);
    fed_reclaim(f, N + 1);
    if (fed_bytes(f) > 10u << 20) fail_msg("%zu bytes", fed_bytes(f));
    fed_free(&f);
}

/* --- readers beside the writer --- */

enum { STABLE = 64 };
static _Atomic bool stop;
static _Atomic uint64_t taken; /* what this reader has gone on from */
static _Atomic uint64_t told;

static void *read_on(void *arg)
{
    const struct fed *f = arg;
    char room[16];
    uint64_t seen = 0;
    while (!atomic_load(&stop)) {
        for (unsigned i = 0; i < STABLE; i++) {
            const struct fed_key *k = fed_key_find(f, id_of(i, room));
            /* always there, always whole */
            if (!k || k->product.n != 4 || memcmp(k->product.p, "shop", 4) != 0)
                return "a key that stays was not found";
            for (size_t b = 1; b < sizeof k->sha256; b++)
                if (k->sha256[b] != k->sha256[0]) return "half of a key";
            if (fed_before(f, fed_mark(FED_TOKEN, STR_NONE, id_of(i, room))) < 1)
                return "a mark that stays was not found";
        }
        seen = atomic_load(&told);
        atomic_store(&taken, seen); /* as a worker between two turns */
    }
    return NULL;
}

static void readers_never_miss_what_stays(void **state)
{
    (void)state;
    struct fed *f = make();
    pthread_t reader;
    char room[16];
    void *why = NULL;
    for (unsigned i = 0; i < STABLE; i++) {
        struct fed_key k = key_of(i, STR("shop"));
        assert_err(fed_key_put(f, id_of(i, room), &k), ERR_OK);
        assert_err(fed_mark_put(f, fed_mark(FED_TOKEN, STR_NONE, id_of(i, room)), 1), ERR_OK);
    }
    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&reader, NULL, read_on, f), 0);
    for (uint64_t step = 1; step < 20000; step++) {
        unsigned n = (unsigned)(rand_u64() % 4096);
        struct fed_key k = key_of((unsigned)step, STR("shop"));
        bool stays = n < STABLE;
        if (!stays && rand_u64() % 2) {
            fed_key_remove(f, id_of(n, room));
            fed_mark_remove(f, fed_mark(FED_TOKEN, STR_NONE, id_of(n, room)));
        } else {
            assert_err(fed_key_put(f, id_of(n, room), &k), ERR_OK);
            assert_err(fed_mark_put(f, fed_mark(FED_TOKEN, STR_NONE, id_of(n, room)), (int64_t)step), ERR_OK);
        }
        if (step % 5000 == 0) { /* everything anew */
            assert_err(fed_fill_begin(f), ERR_OK);
            for (unsigned i = 0; i < STABLE; i++) {
                assert_err(fed_key_put(f, id_of(i, room), &k), ERR_OK);
                assert_err(fed_mark_put(f, fed_mark(FED_TOKEN, STR_NONE, id_of(i, room)), 1), ERR_OK);
            }
            fed_fill_end(f);
        }
        fed_seal(f, step);
        atomic_store(&told, step);
        fed_reclaim(f, atomic_load(&taken));
    }
    atomic_store(&stop, true);
    pthread_join(reader, &why);
    if (why) fail_msg("%s", (const char *)why);
    fed_free(&f);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    char room[16];
    EACH_ALLOC_FAILING({
        struct fed *f = NULL;
        enum err e = fed_new(&f);
        struct fed_key k = key_of(1, STR("shop"));
        for (unsigned i = 0; i < 200 && e == ERR_OK; i++) {
            e = fed_key_put(f, id_of(i, room), &k);
            if (e == ERR_OK) e = fed_mark_put(f, fed_mark(FED_TOKEN, STR_NONE, id_of(i, room)), 1);
            if (e == ERR_OK) continue;
            /* what was there is there */
            if (i) assert_non_null(fed_key_find(f, id_of(i - 1, room)));
            if (i) assert_true(fed_before(f, fed_mark(FED_TOKEN, STR_NONE, id_of(i - 1, room))) == 1);
        }
        if (e == ERR_OK) e = fed_fill_begin(f);
        if (e == ERR_OK) e = fed_key_put(f, STR("newkey00"), &k);
        if (e == ERR_OK) fed_fill_end(f);
        assert_err(e, alloc_fail_hit() ? ERR_NO_MEMORY : ERR_OK);
        fed_free(&f);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_change_and_go),
        cmocka_unit_test(keys_and_marks_are_what_was_written),
        cmocka_unit_test(marks_tell_apart_what_they_speak_of),
        cmocka_unit_test(everything_anew_replaces_at_once),
        cmocka_unit_test(a_million_revocations_fit),
        cmocka_unit_test(readers_never_miss_what_stays),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
