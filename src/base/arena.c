#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_block {
    struct arena_block *next;
    size_t size;
};

#define ALIGN     16u
#define BLOCK_MIN 4096u

static size_t round_up(size_t n)
{
    return (n + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
}

static void use_first(struct arena *a)
{
    size_t skew = a->first ? (ALIGN - ((uintptr_t)a->first & (ALIGN - 1))) & (ALIGN - 1) : 0;
    a->at = a->first;
    a->end = a->first;
    if (a->first && a->first_n > skew) {
        a->at = a->first + skew;
        a->end = a->first + a->first_n;
    }
}

void arena_init(struct arena *a, void *first, size_t first_n, size_t cap)
{
    *a = (struct arena){.first = first, .first_n = first_n, .cap = cap};
    use_first(a);
}

static void *alloc_slow(struct arena *a, size_t n)
{
    size_t head = round_up(sizeof(struct arena_block));
    size_t want = n + head > BLOCK_MIN ? n + head : BLOCK_MIN;
    if (!a->blocks || n + head <= BLOCK_MIN) {
        /* grow geometrically, so that large arenas need few blocks */
        size_t grown = a->used < 1u << 20 ? a->used : 1u << 20;
        if (grown > want) want = grown;
    }
    if (want > a->cap - a->used) want = n + head;
    if (want > a->cap - a->used) return NULL;
    struct arena_block *b = malloc(want);
    if (!b) return NULL;
    b->next = a->blocks;
    b->size = want;
    a->blocks = b;
    a->used += want;
    a->at = (char *)b + head;
    a->end = (char *)b + want;
    void *p = a->at;
    a->at += n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2) return NULL;
    n = round_up(n ? n : 1);
    if (LIKELY((size_t)(a->end - a->at) >= n)) {
        void *p = a->at;
        a->at += n;
        return p;
    }
    return alloc_slow(a, n);
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    if (p) memset(p, 0, n);
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) return NULL;
    return arena_zalloc(a, n);
}

str arena_copy(struct arena *a, str s)
{
    char *p = s.n < SIZE_MAX / 2 ? arena_alloc(a, s.n + 1) : NULL;
    if (!p) return STR_NONE;
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return str_make(p, s.n);
}

str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *p = n >= 0 ? arena_alloc(a, (size_t)n + 1) : NULL;
    if (!p) return STR_NONE;
    va_start(args, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, args);
    va_end(args);
    return str_make(p, (size_t)n);
}

void arena_reset(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->used = 0;
    use_first(a);
}
