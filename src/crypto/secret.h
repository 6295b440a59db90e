/* Bytes that nobody may see: copied into memory of their own, wiped when they go, compared in constant time.
 *
 * Does not know where a secret comes from. A `struct secret` has one owner; reading it from many threads is fine. */
#ifndef SALLYPORT_CRYPTO_SECRET_H
#define SALLYPORT_CRYPTO_SECRET_H

#include "base/str.h"

struct secret {
    unsigned char *p;
    size_t n;
};

/* n zero bytes (at most 64 kB). ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err secret_new(size_t n, struct secret *out);

/* A copy of `bytes` (at most 64 kB; empty is fine). ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err secret_copy(str bytes, struct secret *out);

/* n bytes (at most 64 kB) from the kernel's random source. ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err secret_new_random(size_t n, struct secret *out);

/* Wipes, frees, sets to {0}. {0} and NULL are fine. */
void secret_free(struct secret *s);

static inline str secret_view(const struct secret *s)
{
    return (str){(const char *)s->p, s->n};
}

/* Overwrites n bytes; not removed by the optimiser. */
void secret_wipe(void *p, size_t n);

/* Whether n bytes are the same, in a time that depends on n only. */
bool secret_equal(const void *a, const void *b, size_t n);

/* The same for slices; their lengths are no secret. */
bool secret_equal_str(str a, str b);

/* Makes rand_ids (base/rand.h) draw from ChaCha20. Before any other thread starts; to be called again is fine.
 * ERR_NO_MEMORY: the library cannot be set up; ids go on coming from the kernel. */
MUST_USE enum err secret_ids_stream(void);

/* n characters of [0-9A-Za-z] from the kernel's random source, all equally likely; not terminated. */
void secret_base62(char *out, size_t n);

#endif
