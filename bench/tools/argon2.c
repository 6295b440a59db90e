/* argon2 KIB PASSES TIMES: what one bare verification of a password costs here: CPU nanoseconds of this process for
 * each of TIMES calls of libsodium's crypto_pwhash_str_verify, as JSON.
 *
 * argon2 KIB PASSES: a hash for each line of standard input, ready to be imported. */
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMES_MAX 10000

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int hash_lines(unsigned long kib, unsigned long passes)
{
    char line[1024], hash[crypto_pwhash_STRBYTES];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (crypto_pwhash_str(hash, line, strcspn(line, "\n"), passes, kib * 1024) != 0) return 1;
        puts(hash);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static uint64_t took[TIMES_MAX];
    static const char password[] = "correct horse battery staple";
    char hash[crypto_pwhash_STRBYTES];
    unsigned long kib = argc > 1 ? strtoul(argv[1], NULL, 10) : 0, passes = argc > 2 ? strtoul(argv[2], NULL, 10) : 0,
                  times = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
    if (kib < 8 || passes < 1 || times < 1 || times > TIMES_MAX) {
        fprintf(stderr, "usage: argon2 KIB PASSES [TIMES]\n");
        return 2;
    }
    if (sodium_init() < 0) return 1;
    if (argc == 3) return hash_lines(kib, passes);
    if (crypto_pwhash_str(hash, password, strlen(password), passes, kib * 1024) != 0) return 1;
    uint64_t sum = 0;
    for (unsigned long i = 0; i < times; i++) {
        uint64_t start = cpu_ns();
        if (crypto_pwhash_str_verify(hash, password, strlen(password)) != 0) return 1;
        took[i] = cpu_ns() - start;
        sum += took[i];
    }
    qsort(took, times, sizeof *took, by_size);
    printf("{\"min_ns\": %llu, \"median_ns\": %llu, \"mean_ns\": %llu}\n", (unsigned long long)took[0],
           (unsigned long long)took[times / 2], (unsigned long long)(sum / times));
    return 0;
}
