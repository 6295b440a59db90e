/* A hash map from byte strings to pointers: open addressing, SipHash-2-4 with a random key per process, so
 * that nobody outside can choose colliding keys.
 *
 * Keys and values are borrowed: they must outlive the map. One thread, or read-only from many. */
#ifndef SALLYPORT_BASE_MAP_H
#define SALLYPORT_BASE_MAP_H

#include "base/str.h"

struct map_slot {
    uint64_t hash; /* 0: free */
    str key;
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t n, cap; /* entries; slots, a power of two or 0 */
};

/* The keyed hash (never 0). Same input, same answer for the life of the process. */
uint64_t map_hash(str key);

/* {0} is an empty map too. */
void map_free(struct map *m);

/* Adds or replaces. ERR_NO_MEMORY. `old`, if not NULL, gets the value that was there or NULL. */
MUST_USE enum err map_put(struct map *m, str key, void *value, void **old);

/* The value, or NULL. */
void *map_get(const struct map *m, str key);
void *map_get_hashed(const struct map *m, str key, uint64_t hash);

/* Removes and returns the value, or NULL. */
void *map_remove(struct map *m, str key);

/* Every entry, in no order: for (size_t i = 0; (s = map_next(m, &i));) … ; the map must not change meanwhile. */
const struct map_slot *map_next(const struct map *m, size_t *i);

#endif
