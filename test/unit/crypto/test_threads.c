/* Keys are shared between threads, contexts are not: every thread gets the right answers, and the last one to let go of
 * a key frees it. Worth most under the thread sanitizer. */
#include "unit.h"

#include "crypto/key.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 150, KINDS = 5 };

static const str message = STR_INIT("the same message for all");

struct shared {
    struct key *key;
    enum alg alg;
    unsigned char sig[SIGNATURE_MAX_LEN];
    size_t sig_n;
};

static struct shared shared[KINDS];

struct worker {
    pthread_t thread;
    struct key *mine[KINDS]; /* references of its own */
    unsigned wrong;
};

static void *work(void *of)
{
    struct worker *w = of;
    struct verify_ctx *ctx;
    if (verify_ctx_new(&ctx) != ERR_OK) return NULL;
    for (unsigned i = 0; i < ROUNDS * KINDS; i++) {
        const struct shared *s = &shared[i % KINDS];
        str sig = {(const char *)s->sig, s->sig_n};
        struct key *k = key_ref(w->mine[i % KINDS]);
        bool forged = i % 7 == 0;
        enum err e = key_verify(ctx, k, s->alg, forged ? STR("another message") : message, sig);
        w->wrong += e != (forged ? ERR_DENIED : ERR_OK);
        key_unref(&k);
        if (i % 100 == 99) verify_ctx_clear(ctx);
    }
    for (size_t k = 0; k < KINDS; k++) key_unref(&w->mine[k]);
    verify_ctx_free(&ctx);
    return NULL;
}

static void threads_share_keys(void **state)
{
    (void)state;
    static const enum alg algs[KINDS] = {ALG_RS256, ALG_PS256, ALG_ES256, ALG_EDDSA, ALG_HS256};
    static struct worker workers[THREADS];
    for (size_t k = 0; k < KINDS; k++) {
        struct signer *s;
        shared[k].alg = algs[k];
        assert_err(signer_generate(algs[k], 2048, &s), ERR_OK);
        assert_err(signer_sign(s, message, shared[k].sig, &shared[k].sig_n), ERR_OK);
        assert_err(signer_public(s, &shared[k].key), ERR_OK);
        if (k == 2) assert_true(key_prepare(shared[k].key));
        signer_free(&s);
    }
    for (size_t t = 0; t < THREADS; t++)
        for (size_t k = 0; k < KINDS; k++) workers[t].mine[k] = key_ref(shared[k].key);
    for (size_t k = 0; k < KINDS; k++) key_unref(&shared[k].key);
    for (size_t t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&workers[t].thread, NULL, work, &workers[t]), 0);
    for (size_t t = 0; t < THREADS; t++) {
        pthread_join(workers[t].thread, NULL);
        assert_int_equal(workers[t].wrong, 0);
        assert_null(workers[t].mine[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_share_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
