#include "base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static _Thread_local struct {
    unsigned char b[512];
    size_t left;
} pool;

static void fill(void *out, size_t n)
{
    unsigned char *p = out;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) abort();
        p += got;
        n -= (size_t)got;
    }
}

void rand_bytes(void *out, size_t n)
{
    if (n > sizeof pool.b / 4) {
        fill(out, n);
        return;
    }
    if (pool.left < n) {
        fill(pool.b, sizeof pool.b);
        pool.left = sizeof pool.b;
    }
    pool.left -= n;
    memcpy(out, pool.b + pool.left, n);
    explicit_bzero(pool.b + pool.left, n); /* handed out once */
}

uint64_t rand_u64(void)
{
    uint64_t v;
    rand_bytes(&v, sizeof v);
    return v;
}

void ulid_make(char out[ULID_LEN], uint64_t unix_ms)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    unsigned char r[10];
    rand_bytes(r, sizeof r);
    for (int i = 9; i >= 0; i--, unix_ms >>= 5) out[i] = digits[unix_ms & 31];
    for (int half = 0; half < 2; half++) {
        uint64_t v = 0;
        for (int i = 0; i < 5; i++) v = v << 8 | r[half * 5 + i];
        for (int i = 7; i >= 0; i--, v >>= 5) out[10 + half * 8 + i] = digits[v & 31];
    }
}

void rand_hex(char *out, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char r[32];
    while (n) {
        size_t now = n < sizeof r ? n : sizeof r;
        rand_bytes(r, now);
        for (size_t i = 0; i < now; i++) {
            *out++ = digits[r[i] >> 4];
            *out++ = digits[r[i] & 15];
        }
        n -= now;
    }
}
