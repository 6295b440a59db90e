/* A pool of equal-sized pieces: taken and given back without touching the allocator once warm.
 *
 * Owner: one thread. Pieces are handed out last in, first out, so that the warm ones are used first. Memory goes
 * back to the system only when the slab is freed; the bound keeps it in check. */
#ifndef SALLYPORT_BASE_SLAB_H
#define SALLYPORT_BASE_SLAB_H

#include "base/str.h"

struct slab_chunk;

struct slab {
    size_t size;   /* bytes of a piece, a multiple of 16 */
    size_t batch;  /* pieces a chunk */
    size_t max;    /* most pieces there may be */
    size_t total;  /* pieces there are */
    size_t in_use; /* pieces out */
    void *free;
    struct slab_chunk *chunks;
};

void slab_init(struct slab *s, size_t size, size_t batch, size_t max);

/* Every piece must have come back, or be forgotten by its user. */
void slab_free(struct slab *s);

/* Not zeroed. NULL when the bound is reached or memory is out. */
void *slab_take(struct slab *s);
void slab_give(struct slab *s, void *piece);

#endif
