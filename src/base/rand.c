#include "base/rand.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

static _Thread_local struct {
    unsigned char b[2048];
    size_t left;
} pool;

#define REKEY_AFTER 1024 /* draws from the stream, then the kernel gives a new key */

static rand_stream *ids_stream;
static _Thread_local struct {
    unsigned char key[32];
    unsigned char b[2048];
    size_t left;
    unsigned draws;
} ids_pool;

/* A forked child must not hand out what its parent will. */
static void forget(void)
{
    explicit_bzero(&pool, sizeof pool);
    explicit_bzero(&ids_pool, sizeof ids_pool);
}

__attribute__((constructor)) static void at_fork(void)
{
    if (pthread_atfork(NULL, NULL, forget) != 0) abort();
}

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

void rand_ids_from(rand_stream *stream)
{
    ids_stream = stream;
}

static void ids_draw(void)
{
    unsigned char key[sizeof ids_pool.key], both[sizeof ids_pool.key + sizeof ids_pool.b];
    if (ids_pool.draws++ % REKEY_AFTER == 0) fill(ids_pool.key, sizeof ids_pool.key);
    memcpy(key, ids_pool.key, sizeof key);
    ids_stream(both, sizeof both, key);
    memcpy(ids_pool.key, both, sizeof key);
    memcpy(ids_pool.b, both + sizeof key, sizeof ids_pool.b);
    ids_pool.left = sizeof ids_pool.b;
    explicit_bzero(key, sizeof key);
    explicit_bzero(both, sizeof both);
}

static void ids_bytes(void *out, size_t n)
{
    if (!ids_stream) {
        rand_bytes(out, n);
        return;
    }
    if (UNLIKELY(ids_pool.left < n)) ids_draw();
    ids_pool.left -= n;
    memcpy(out, ids_pool.b + ids_pool.left, n);
    explicit_bzero(ids_pool.b + ids_pool.left, n);
}

uint64_t rand_u64(void)
{
    uint64_t v;
    rand_bytes(&v, sizeof v);
    return v;
}

static void ulid_write(char out[ULID_LEN], uint64_t unix_ms, const unsigned char r[10])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    for (int i = 9; i >= 0; i--, unix_ms >>= 5) out[i] = digits[unix_ms & 31];
    for (int half = 0; half < 2; half++) {
        uint64_t v = 0;
        for (int i = 0; i < 5; i++) v = v << 8 | r[half * 5 + i];
        for (int i = 7; i >= 0; i--, v >>= 5) out[10 + half * 8 + i] = digits[v & 31];
    }
}

void ulid_make(char out[ULID_LEN], uint64_t unix_ms)
{
    unsigned char r[10];
    rand_bytes(r, sizeof r);
    ulid_write(out, unix_ms, r);
}

/* Eight digits of four bytes: each nibble into a byte of its own, the high one of a byte first, then made a digit. */
static inline void hex8(char *out, uint32_t four)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t w = htole32(four);
    w = (w | w << 16) & 0x0000ffff0000ffffu;
    w = (w | w << 8) & 0x00ff00ff00ff00ffu;
    w = (w >> 4 | w << 8) & 0x0f0f0f0f0f0f0f0fu;
    uint64_t letters = (w + ones * 6) >> 4 & ones; /* 1 where the nibble is above 9 */
    w = htole64(w + ones * '0' + letters * ('a' - '0' - 10));
    memcpy(out, &w, 8);
}

static void hex(char *out, const unsigned char *r, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (; n >= 4; r += 4, out += 8, n -= 4) {
        uint32_t four;
        memcpy(&four, r, 4);
        hex8(out, four);
    }
    for (; n; r++, n--) {
        *out++ = digits[*r >> 4];
        *out++ = digits[*r & 15];
    }
}

void rand_hex(char *out, size_t n)
{
    unsigned char r[32];
    while (n) {
        size_t now = n < sizeof r ? n : sizeof r;
        rand_bytes(r, now);
        hex(out, r, now);
        out += 2 * now;
        n -= now;
    }
}

void rand_ids(struct rand_ids *out, uint64_t unix_ms)
{
    unsigned char r[16 + 8 + 10];
    ids_bytes(r, sizeof r);
    hex(out->trace, r, 16);
    hex(out->span, r + 16, 8);
    ulid_write(out->ulid, unix_ms, r + 24);
}
