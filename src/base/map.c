#include "base/map.h"

#include "base/rand.h"

#include <pthread.h>
#include <stdlib.h>

static uint64_t sip_key[2];
static pthread_once_t sip_once = PTHREAD_ONCE_INIT;

static void sip_init(void)
{
    rand_bytes(sip_key, sizeof sip_key);
}

static inline uint64_t rotl(uint64_t x, unsigned b)
{
    return (x << b) | (x >> (64 - b));
}

#define SIP_ROUND                                                                                                      \
    do {                                                                                                               \
        v0 += v1, v1 = rotl(v1, 13), v1 ^= v0, v0 = rotl(v0, 32);                                                      \
        v2 += v3, v3 = rotl(v3, 16), v3 ^= v2;                                                                         \
        v0 += v3, v3 = rotl(v3, 21), v3 ^= v0;                                                                         \
        v2 += v1, v1 = rotl(v1, 17), v1 ^= v2, v2 = rotl(v2, 32);                                                      \
    } while (0)

/* SipHash-2-4 (Aumasson and Bernstein, 2012). */
uint64_t map_hash(str key)
{
    if (UNLIKELY(!(sip_key[0] | sip_key[1]))) pthread_once(&sip_once, sip_init);
    uint64_t v0 = sip_key[0] ^ 0x736f6d6570736575u, v1 = sip_key[1] ^ 0x646f72616e646f6du;
    uint64_t v2 = sip_key[0] ^ 0x6c7967656e657261u, v3 = sip_key[1] ^ 0x7465646279746573u;
    size_t i = 0;
    for (; i + 8 <= key.n; i += 8) {
        uint64_t m;
        memcpy(&m, key.p + i, 8);
        v3 ^= m;
        SIP_ROUND;
        SIP_ROUND;
        v0 ^= m;
    }
    uint64_t last = (uint64_t)key.n << 56;
    for (unsigned shift = 0; i < key.n; i++, shift += 8) last |= (uint64_t)(unsigned char)key.p[i] << shift;
    v3 ^= last;
    SIP_ROUND;
    SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    for (int r = 0; r < 4; r++) SIP_ROUND;
    uint64_t h = v0 ^ v1 ^ v2 ^ v3;
    return h ? h : 1;
}

void map_free(struct map *m)
{
    free(m->slots);
    *m = (struct map){0};
}

static struct map_slot *probe(const struct map *m, str key, uint64_t hash)
{
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_slot *s = &m->slots[i];
        if (s->hash == 0 || (s->hash == hash && str_eq(s->key, key))) return s;
    }
}

static enum err grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? m->cap * 2 : 16, .n = m->n};
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots) return ERR_NO_MEMORY;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].hash) *probe(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
    free(m->slots);
    *m = bigger;
    return ERR_OK;
}

enum err map_put(struct map *m, str key, void *value, void **old)
{
    if ((m->n + 1) * 4 > m->cap * 3) {
        enum err e = grow(m);
        if (e != ERR_OK) return e;
    }
    uint64_t hash = map_hash(key);
    struct map_slot *s = probe(m, key, hash);
    if (old) *old = s->hash ? s->value : NULL;
    if (!s->hash) m->n++;
    *s = (struct map_slot){hash, key, value};
    return ERR_OK;
}

void *map_get_hashed(const struct map *m, str key, uint64_t hash)
{
    if (m->cap == 0) return NULL;
    const struct map_slot *s = probe(m, key, hash);
    return s->hash ? s->value : NULL;
}

void *map_get(const struct map *m, str key)
{
    return m->cap ? map_get_hashed(m, key, map_hash(key)) : NULL;
}

void *map_remove(struct map *m, str key)
{
    if (m->cap == 0) return NULL;
    struct map_slot *s = probe(m, key, map_hash(key));
    if (!s->hash) return NULL;
    void *value = s->value;
    /* close the gap: move back every entry of the run that may not stay behind a free slot */
    size_t hole = (size_t)(s - m->slots), mask = m->cap - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].hash; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue;
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = (struct map_slot){0};
    m->n--;
    return value;
}

const struct map_slot *map_next(const struct map *m, size_t *i)
{
    while (*i < m->cap) {
        const struct map_slot *s = &m->slots[(*i)++];
        if (s->hash) return s;
    }
    return NULL;
}
