/* An arena: many small allocations, one free, a hard cap.
 *
 * Owner: whoever embeds the struct. One thread at a time. Memory is aligned to 16 bytes and not zeroed
 * unless asked. The first block may be the caller's (then the common case touches no allocator). */
#ifndef SALLYPORT_BASE_ARENA_H
#define SALLYPORT_BASE_ARENA_H

#include "base/str.h"

struct arena_block;

struct arena {
    char *at, *end;             /* free room of the current block */
    char *first;                /* the caller's block, or NULL */
    size_t first_n;             /* its size */
    struct arena_block *blocks; /* blocks we allocated, newest first */
    size_t used;                /* bytes of blocks we allocated */
    size_t cap;                 /* hard bound on `used` */
};

/* `first` (may be NULL with first_n 0) is borrowed for the arena's life; cap bounds what is allocated beyond it. */
void arena_init(struct arena *a, void *first, size_t first_n, size_t cap);

/* NULL when the cap is reached or memory is out; callers answer ERR_NO_MEMORY or ERR_LIMIT. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);

/* count * size with overflow check, zeroed. */
void *arena_array(struct arena *a, size_t count, size_t size);

/* A copy of s in the arena with a NUL behind it (not counted); .p is NULL when memory is out. */
str arena_copy(struct arena *a, str s);

/* printf into the arena; .p is NULL when memory is out. */
str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Frees every allocated block; the arena can be used again. All its memory is gone. */
void arena_reset(struct arena *a);

#endif
