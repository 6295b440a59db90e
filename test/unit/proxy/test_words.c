#include "unit.h"

#include "proxy/replay.h"
#include "proxy/words.h"

#include <pthread.h>

static void a_word_is_there_until_it_has_passed_and_is_needed(void **state)
{
    (void)state;
    struct words *w = NULL;
    struct word at;
    assert_err(words_new(16, 0, &w), ERR_LIMIT);
    assert_err(words_new(48, 0, &w), ERR_LIMIT);
    assert_err(words_new(64, 10, &w), ERR_OK);
    uint64_t key = words_key(1, 2, 3);
    assert_int_equal(key, words_key(1, 2, 3));
    assert_int_not_equal(key, words_key(1, 3, 2));
    assert_err(words_find(w, key, &at), ERR_NOT_FOUND);
    assert_err(words_enter(w, key, 5, 100, &at), ERR_OK);
    assert_err(words_enter(w, key, 5, 200, &at), ERR_CONFLICT);
    assert_int_equal(at.seen, 100);
    struct word stale = at;
    assert_true(words_change(&at, 300));
    assert_false(words_change(&stale, 400));
    assert_int_equal(stale.seen, 300);
    assert_err(words_find(w, key, &at), ERR_OK);
    assert_int_equal(at.seen, 300);
    assert_int_equal(words_counting(w, 299), 1);
    assert_int_equal(words_counting(w, 300), 0);
    words_free(&w);
    words_free(&w);
}

/* What counts is never pushed out; what has passed makes room, behind its grace. */
static void a_full_table_gives_up_nothing_that_counts(void **state)
{
    (void)state;
    struct words *w = NULL;
    struct word at;
    uint64_t in[64], n = 0, refused = 0;
    assert_err(words_new(64, 10, &w), ERR_OK);
    for (uint64_t i = 0; i < 5000; i++) {
        uint64_t key = words_key(i, 0, 0);
        enum err e = words_enter(w, key, 1, 100, &at);
        if (e == ERR_OK)
            in[n++] = key;
        else
            refused += e == ERR_LIMIT;
    }
    assert_int_equal(n, 64);
    assert_int_equal(refused, 5000 - 64);
    for (uint64_t i = 0; i < n; i++) assert_err(words_find(w, in[i], &at), ERR_OK);
    assert_err(words_enter(w, words_key(9000, 0, 0), 109, 200, &at), ERR_LIMIT);
    assert_err(words_enter(w, words_key(9000, 0, 0), 110, 200, &at), ERR_OK);
    words_free(&w);
}

static void two_choices_fill_the_table_evenly(void **state)
{
    (void)state;
    struct words *w = NULL;
    struct word at;
    uint32_t n = 1u << 14, refused = 0;
    assert_err(words_new(n, 0, &w), ERR_OK);
    for (uint32_t i = 0; i < n / 4 * 3; i++) refused += words_enter(w, words_key(i, 7, 0), 1, 100, &at) != ERR_OK;
    assert_true(refused <= n / 1000);
    words_free(&w);
}

/* Four threads enter the same keys at the same time, in a table that is always being emptied: each key becomes one
 * word, and every step that was taken is in it. */
#define THREADS 4
#define KEYS    24
#define STEPS   40000
static struct words *shared;
static _Atomic uint64_t taken[KEYS];

static void *take_all(void *arg)
{
    uint64_t x = (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < STEPS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t k = (x >> 33) % KEYS, key = words_key(k, 42, 0);
        for (;;) {
            struct word at;
            enum err e = words_find(shared, key, &at);
            if (e == ERR_OK ? words_change(&at, at.seen + 1) : words_enter(shared, key, 1, 1001, &at) == ERR_OK) break;
        }
        taken[k]++;
    }
    return NULL;
}

static void of_many_who_enter_one_makes_the_word(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        pthread_t t[THREADS];
        memset(taken, 0, sizeof taken);
        assert_err(words_new(64, 0, &shared), ERR_OK);
        for (uintptr_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&t[i], NULL, take_all, (void *)(i + 1)), 0);
        for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
        for (uint64_t k = 0; k < KEYS; k++) {
            struct word at;
            assert_err(words_find(shared, words_key(k, 42, 0), &at), ERR_OK);
            assert_int_equal(at.seen, 1000 + taken[k]);
        }
        assert_int_equal(words_counting(shared, 1), KEYS);
        words_free(&shared);
    }
}

/* One slot after another changes its key under the readers' eyes: nobody's step may land in another's word. */
static _Atomic uint64_t clock_now;

static void *take_short(void *arg)
{
    uint64_t x = (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < STEPS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t tag = (x >> 33) % 4096, key = words_key(tag, 43, 0);
        uint64_t now = atomic_fetch_add(&clock_now, 4096) + 4096;
        struct word at;
        /* a time says of whom it is: its last twelve bits are the tag */
        uint64_t until = now + 4096 * 64 + tag;
        enum err e = words_enter(shared, key, now, until, &at);
        if (e == ERR_CONFLICT) {
            if ((at.seen & 4095) != tag) return arg;
            if (at.seen < until) (void)words_change(&at, until);
        }
    }
    return NULL;
}

static void no_step_lands_in_the_word_of_another(void **state)
{
    (void)state;
    pthread_t t[THREADS];
    atomic_store(&clock_now, 4096);
    assert_err(words_new(256, 0, &shared), ERR_OK);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, take_short, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
    for (uint64_t tag = 0; tag < 4096; tag++) {
        struct word at;
        if (words_find(shared, words_key(tag, 43, 0), &at) == ERR_OK) assert_int_equal(at.seen & 4095, tag);
    }
    words_free(&shared);
}

/* --- nonces --- */

static void a_nonce_counts_once(void **state)
{
    (void)state;
    struct replay *r = NULL;
    uint64_t s = 1000000000;
    assert_err(replay_new(64, &r), ERR_OK);
    assert_err(replay_note(r, STR("shop"), STR("n1"), 10 * s, 70 * s), ERR_OK);
    assert_err(replay_note(r, STR("shop"), STR("n1"), 10 * s, 70 * s), ERR_CONFLICT);
    assert_err(replay_note(r, STR("shop"), STR("n1"), 69 * s, 129 * s), ERR_CONFLICT);
    assert_err(replay_note(r, STR("shop"), STR("n1"), 9 * s, 69 * s), ERR_CONFLICT); /* the clock was set back */
    assert_err(replay_note(r, STR("shop"), STR("n2"), 10 * s, 70 * s), ERR_OK);
    assert_err(replay_note(r, STR("shopn"), STR("1"), 10 * s, 70 * s), ERR_OK);
    assert_err(replay_note(r, STR("other"), STR("n1"), 10 * s, 70 * s), ERR_OK);
    assert_err(replay_note(r, STR("shop"), STR("n1"), 70 * s, 130 * s), ERR_OK); /* it would not hold by now */
    assert_err(replay_note(r, STR("shop"), STR("n3"), 70 * s, 70 * s), ERR_MALFORMED);
    assert_err(replay_note(r, STR("shop"), STR("n3"), 70 * s, UINT64_MAX), ERR_MALFORMED);
    replay_free(&r);
    replay_free(&r);
}

static void a_full_memory_of_nonces_refuses_and_forgets_none(void **state)
{
    (void)state;
    struct replay *r = NULL;
    uint64_t s = 1000000000;
    int kept = 0;
    bool ok[4000];
    char nonce[16];
    assert_err(replay_new(256, &r), ERR_OK);
    for (int i = 0; i < 4000; i++) {
        enum err e = replay_note(r, STR("shop"), str_make(nonce, (size_t)snprintf(nonce, 16, "%d", i)), s, 61 * s);
        assert_true(e == ERR_OK || e == ERR_LIMIT);
        ok[i] = e == ERR_OK;
        kept += ok[i];
    }
    assert_int_equal(kept, 256);
    for (int i = 0; i < 4000; i++) {
        if (!ok[i]) continue;
        str n = str_make(nonce, (size_t)snprintf(nonce, 16, "%d", i));
        assert_err(replay_note(r, STR("shop"), n, 60 * s, 120 * s), ERR_CONFLICT);
    }
    replay_free(&r);
}

static _Atomic int first_uses;
static struct replay *nonces;

static void *use_all(void *arg)
{
    char nonce[16];
    (void)arg;
    for (int i = 0; i < 4000; i++)
        first_uses +=
            replay_note(nonces, STR("p"), str_make(nonce, (size_t)snprintf(nonce, 16, "%d", i)), 1, 1000) == ERR_OK;
    return NULL;
}

static void of_many_who_use_a_nonce_one_is_first(void **state)
{
    (void)state;
    pthread_t t[THREADS];
    assert_err(replay_new(1 << 14, &nonces), ERR_OK);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&t[i], NULL, use_all, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    assert_int_equal(first_uses, 4000);
    replay_free(&nonces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_is_there_until_it_has_passed_and_is_needed),
        cmocka_unit_test(a_full_table_gives_up_nothing_that_counts),
        cmocka_unit_test(two_choices_fill_the_table_evenly),
        cmocka_unit_test(of_many_who_enter_one_makes_the_word),
        cmocka_unit_test(no_step_lands_in_the_word_of_another),
        cmocka_unit_test(a_nonce_counts_once),
        cmocka_unit_test(a_full_memory_of_nonces_refuses_and_forgets_none),
        cmocka_unit_test(of_many_who_use_a_nonce_one_is_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
