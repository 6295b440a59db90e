#include "unit.h"

#include "base/rand.h"
#include "crypto/digest.h"
#include "crypto/secret.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void digests_agree_with_openssl(void **state)
{
    (void)state;
    static char text[300];
    const EVP_MD *const judges[] = {EVP_sha256(), EVP_sha384(), EVP_sha512()};
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 7);
    for (size_t n = 0; n <= sizeof text; n++)
        for (unsigned d = 0; d < ARRAY_LEN(judges); d++) {
            unsigned char got[DIGEST_MAX_LEN], want[DIGEST_MAX_LEN];
            unsigned want_n;
            digest_of((enum digest)d, str_make(text, n), got);
            assert_int_equal(EVP_Digest(text, n, want, &want_n, judges[d], NULL), 1);
            assert_int_equal(want_n, digest_len((enum digest)d));
            assert_memory_equal(got, want, want_n);
        }
    unsigned char a[SHA256_LEN], b[SHA256_LEN];
    sha256(STR("x"), a);
    digest_of(DIGEST_SHA256, STR("x"), b);
    assert_memory_equal(a, b, sizeof a);
}

static void crc_has_its_check_value(void **state)
{
    (void)state;
    assert_int_equal(crc32_of(STR("123456789")), 0xcbf43926u);
    assert_int_equal(crc32_of(STR("")), 0);
}

static void digests_allocate_nothing(void **state)
{
    (void)state;
    unsigned char out[DIGEST_MAX_LEN];
    alloc_fail_at(0);
    for (unsigned d = 0; d < 3; d++) digest_of((enum digest)d, STR("some text"), out);
    sha256(STR("some text"), out);
    bool hit = alloc_fail_hit();
    alloc_fail_at(-1);
    assert_false(hit);
}

static void secrets_are_compared_whole(void **state)
{
    (void)state;
    char a[64], b[64];
    memset(a, 'x', sizeof a);
    memcpy(b, a, sizeof b);
    assert_true(secret_equal(a, b, sizeof a));
    assert_true(secret_equal(NULL, NULL, 0));
    for (size_t i = 0; i < sizeof b; i++) {
        b[i] ^= 0x40;
        assert_false(secret_equal(a, b, sizeof b));
        b[i] ^= 0x40;
    }
    assert_true(secret_equal_str(STR("same"), STR("same")));
    assert_false(secret_equal_str(STR("same"), STR("sam")));
    assert_false(secret_equal_str(STR(""), STR("x")));
}

static void secrets_go_away(void **state)
{
    (void)state;
    struct secret s;
    assert_err(secret_copy(STR("hush"), &s), ERR_OK);
    assert_str(secret_view(&s), STR("hush"));
    unsigned char *p = s.p;
    secret_wipe(s.p, s.n);
    assert_memory_equal(p, "\0\0\0\0", 4);
    secret_free(&s);
    assert_null(s.p);
    secret_free(&s);
    secret_free(NULL);
    assert_err(secret_copy(STR(""), &s), ERR_OK);
    secret_free(&s);
    static char large[65537];
    assert_err(secret_copy(str_make(large, 65536), &s), ERR_OK);
    secret_free(&s);
    assert_err(secret_copy(str_make(large, 65537), &s), ERR_LIMIT);
    assert_err(secret_new_random(65537, &s), ERR_LIMIT);
    EACH_ALLOC_FAILING({
        struct secret r = {0};
        enum err e = secret_new_random(1000, &r);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && !r.p));
        secret_free(&r);
    });
}

static void random_digits_are_even(void **state)
{
    (void)state;
    enum { N = 62 * 2000 };
    static char text[N];
    unsigned count[256] = {0};
    secret_base62(text, N);
    for (size_t i = 0; i < N; i++) count[(unsigned char)text[i]]++;
    unsigned kinds = 0;
    for (int c = 0; c < 256; c++) {
        if (!count[c]) continue;
        kinds++;
        assert_true((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
        /* 2000 expected, standard deviation 45: eight of them never happen */
        assert_in_range(count[c], 2000 - 360, 2000 + 360);
    }
    assert_int_equal(kinds, 62);
    struct secret a, b;
    assert_err(secret_new_random(600, &a), ERR_OK);
    assert_err(secret_new_random(600, &b), ERR_OK);
    assert_memory_not_equal(a.p, b.p, 600);
    assert_memory_not_equal(a.p, a.p + 300, 300);
    secret_free(&a);
    secret_free(&b);
}

static int ids_by_time_and_text(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct rand_ids));
}

/* Every draw of the stream has a key of its own, and a forked child starts anew: nothing is handed out twice. */
static void ids_of_the_stream_are_never_the_same(void **state)
{
    (void)state;
    enum { N = 20000, HALF = N / 2 };
    static struct rand_ids got[N];
    int pipe_fds[2];
    assert_err(secret_ids_stream(), ERR_OK);
    rand_ids(&got[0], 1); /* the pool is begun: without a fresh start the child would hand out its rest */
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        for (size_t i = 0; i < HALF; i++) {
            struct rand_ids ids;
            rand_ids(&ids, 1);
            for (size_t put = 0; put < sizeof ids;) {
                ssize_t n = write(pipe_fds[1], (char *)&ids + put, sizeof ids - put);
                if (n <= 0) _exit(1);
                put += (size_t)n;
            }
        }
        _exit(0);
    }
    close(pipe_fds[1]);
    for (size_t i = 1; i < HALF; i++) rand_ids(&got[i], 1);
    for (size_t at = 0; at < HALF * sizeof *got;) {
        ssize_t n = read(pipe_fds[0], (char *)&got[HALF] + at, HALF * sizeof *got - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    close(pipe_fds[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    qsort(got, N, sizeof *got, ids_by_time_and_text);
    for (size_t i = 1; i < N; i++) assert_memory_not_equal(&got[i - 1], &got[i], sizeof *got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_agree_with_openssl),
        cmocka_unit_test(crc_has_its_check_value),
        cmocka_unit_test(digests_allocate_nothing),
        cmocka_unit_test(secrets_are_compared_whole),
        cmocka_unit_test(secrets_go_away),
        cmocka_unit_test(random_digits_are_even),
        cmocka_unit_test(ids_of_the_stream_are_never_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
