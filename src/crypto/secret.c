#include "crypto/secret.h"

#include "base/rand.h"

#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

enum { SECRET_MAX = 65536 };

enum err secret_new(size_t n, struct secret *out)
{
    if (n > SECRET_MAX) return ERR_LIMIT;
    unsigned char *p = calloc(1, n ? n : 1);
    if (!p) return ERR_NO_MEMORY;
    *out = (struct secret){p, n};
    return ERR_OK;
}

enum err secret_copy(str bytes, struct secret *out)
{
    enum err e = secret_new(bytes.n, out);
    if (e == ERR_OK && bytes.n) memcpy(out->p, bytes.p, bytes.n);
    return e;
}

/* Straight from the kernel: no buffer keeps what becomes a key. Without a random source there is no going on. */
static void fill(unsigned char *p, size_t n)
{
    while (n) {
        size_t part = n < 256 ? n : 256; /* getentropy(3) gives no more at once */
        if (getentropy(p, part) != 0) abort();
        p += part;
        n -= part;
    }
}

static void chacha20(unsigned char *out, size_t n, const unsigned char key[crypto_stream_chacha20_KEYBYTES])
{
    static const unsigned char nonce[crypto_stream_chacha20_NONCEBYTES]; /* a key is used once */
    if (crypto_stream_chacha20(out, n, nonce, key) != 0) abort();
}

enum err secret_ids_stream(void)
{
    if (sodium_init() < 0) return ERR_NO_MEMORY;
    rand_ids_from(chacha20);
    return ERR_OK;
}

enum err secret_new_random(size_t n, struct secret *out)
{
    enum err e = secret_new(n, out);
    if (e == ERR_OK) fill(out->p, n);
    return e;
}

void secret_free(struct secret *s)
{
    if (!s || !s->p) return;
    secret_wipe(s->p, s->n);
    free(s->p);
    *s = (struct secret){0};
}

void secret_wipe(void *p, size_t n)
{
    if (n) explicit_bzero(p, n);
}

bool secret_equal(const void *a, const void *b, size_t n)
{
    return n == 0 || sodium_memcmp(a, b, n) == 0;
}

bool secret_equal_str(str a, str b)
{
    return a.n == b.n && secret_equal(a.p, b.p, a.n);
}

void secret_base62(char *out, size_t n)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char pool[64];
    size_t at = sizeof pool;
    for (size_t i = 0; i < n;) {
        if (at == sizeof pool) {
            fill(pool, sizeof pool);
            at = 0;
        }
        unsigned char b = pool[at++];
        if (b < 4 * 62) out[i++] = digits[b % 62]; /* 248..255 would favour the first digits */
    }
    secret_wipe(pool, sizeof pool);
}
