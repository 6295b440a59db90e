#include "base/slab.h"

#include <stdlib.h>

/* A piece that is not out is poison to the address sanitizer, so that pooling hides no use after the end. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_POISON 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SLAB_POISON 1
#endif
#ifdef SLAB_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

struct slab_chunk {
    struct slab_chunk *next;
    size_t pieces;
};

void slab_init(struct slab *s, size_t size, size_t batch, size_t max)
{
    *s = (struct slab){.size = (size + 15) & ~(size_t)15, .batch = batch ? batch : 1, .max = max};
}

void slab_free(struct slab *s)
{
    while (s->chunks) {
        struct slab_chunk *c = s->chunks;
        s->chunks = c->next;
        ASAN_UNPOISON_MEMORY_REGION(c, sizeof *c + c->pieces * s->size);
        free(c);
    }
    slab_init(s, s->size, s->batch, s->max);
}

static bool grow(struct slab *s)
{
    size_t room = s->max - s->total;
    size_t n = s->batch < room ? s->batch : room;
    struct slab_chunk *c = n ? malloc(sizeof *c + n * s->size) : NULL;
    if (!c) return false;
    c->next = s->chunks;
    c->pieces = n;
    s->chunks = c;
    s->total += n;
    /* the first piece of the chunk comes out first: link from the back */
    for (size_t i = n; i-- > 0;) {
        void **piece = (void **)(void *)((char *)(c + 1) + i * s->size);
        *piece = s->free;
        s->free = piece;
        ASAN_POISON_MEMORY_REGION(piece, s->size);
    }
    return true;
}

void *slab_take(struct slab *s)
{
    if (UNLIKELY(!s->free) && !grow(s)) return NULL;
    void *piece = s->free;
    ASAN_UNPOISON_MEMORY_REGION(piece, s->size);
    memcpy(&s->free, piece, sizeof s->free);
    s->in_use++;
    return piece;
}

void slab_give(struct slab *s, void *piece)
{
    memcpy(piece, &s->free, sizeof s->free);
    ASAN_POISON_MEMORY_REGION(piece, s->size);
    s->free = piece;
    s->in_use--;
}
