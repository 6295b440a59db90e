/* The ring: two lanes of slots, each guarded by a sequence number of its own.
 *
 * The i-th record ever put into a lane lies in slot i % n. Its number is 2i + 1 while it is written and 2i + 2 when it
 * is whole, so a reader knows of a slot both whether it is torn and whether it is still the record it looks for.
 * Every word is an atomic of its own, stored with release and loaded with acquire: whoever reads one new word also
 * sees the number that went before it. On x86-64 these are ordinary moves. */
#include "serve/decision.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { WORDS = DECISION_RECORD_SIZE / 8, TEXT_AT = offsetof(struct decision_record, text), DENIALS = 0, PERMITS = 1 };

struct slot {
    _Atomic uint64_t number;
    _Atomic uint64_t word[WORDS];
};

struct lane {
    struct slot *slots;
    uint64_t n;            /* slots */
    _Atomic uint64_t head; /* records ever put, the one being written not counted */
};

struct decision_ring {
    struct lane lanes[2];
};

enum { MAPPED = (DECISION_DENIALS + DECISION_PERMITS) * sizeof(struct slot) };

enum err decision_ring_new(struct decision_ring **out)
{
    struct decision_ring *r = calloc(1, sizeof *r);
    if (!r) return ERR_NO_MEMORY;
    void *m = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) {
        free(r);
        return ERR_NO_MEMORY;
    }
    r->lanes[DENIALS].slots = m;
    r->lanes[DENIALS].n = DECISION_DENIALS;
    r->lanes[PERMITS].slots = r->lanes[DENIALS].slots + DECISION_DENIALS;
    r->lanes[PERMITS].n = DECISION_PERMITS;
    *out = r;
    return ERR_OK;
}

void decision_ring_free(struct decision_ring **ring)
{
    if (!*ring) return;
    munmap((*ring)->lanes[DENIALS].slots, MAPPED);
    free(*ring);
    *ring = NULL;
}

void decision_ring_put(struct decision_ring *ring, const struct outcome *o)
{
    struct decision_record r;
    decision_record_make(&r, o);
    bool smooth = o->effect == EFFECT_PERMIT && reason_is_permit(o->reason);
    struct lane *lane = &ring->lanes[smooth ? PERMITS : DENIALS];
    uint64_t i = atomic_load_explicit(&lane->head, memory_order_relaxed);
    struct slot *s = &lane->slots[i % lane->n];
    size_t end = TEXT_AT + r.text_n, words = (end + 7) / 8;
    memset((char *)&r + end, 0, words * 8 - end);
    atomic_store_explicit(&s->number, 2 * i + 1, memory_order_relaxed);
    for (size_t k = 0; k < words; k++) {
        uint64_t w;
        memcpy(&w, (const char *)&r + 8 * k, 8);
        atomic_store_explicit(&s->word[k], w, memory_order_release);
    }
    atomic_store_explicit(&s->number, 2 * i + 2, memory_order_release);
    atomic_store_explicit(&lane->head, i + 1, memory_order_release);
}

/* Copies words [from, to) of record i; false when it is not there (any more), or was written to meanwhile. */
static bool copy(const struct lane *lane, uint64_t i, struct decision_record *out, size_t from, size_t to)
{
    const struct slot *s = &lane->slots[i % lane->n];
    if (atomic_load_explicit(&s->number, memory_order_acquire) != 2 * i + 2) return false;
    for (size_t k = from; k < to; k++) {
        uint64_t w = atomic_load_explicit(&s->word[k], memory_order_acquire);
        memcpy((char *)out + 8 * k, &w, 8);
    }
    return atomic_load_explicit(&s->number, memory_order_relaxed) == 2 * i + 2;
}

static uint64_t oldest(const struct lane *lane, uint64_t head)
{
    return head > lane->n ? head - lane->n : 0;
}

enum err decision_ring_find(const struct decision_ring *ring, str id, struct decision_record *out)
{
    enum {
        ID_FROM = offsetof(struct decision_record, id) / 8,
        ID_TO = (offsetof(struct decision_record, id) + ULID_LEN + 7) / 8
    };
    for (size_t l = 0; l < ARRAY_LEN(ring->lanes); l++) {
        const struct lane *lane = &ring->lanes[l];
        uint64_t head = atomic_load_explicit(&lane->head, memory_order_acquire);
        for (uint64_t i = head, end = oldest(lane, head); i-- > end;) {
            struct decision_record r;
            if (!copy(lane, i, &r, ID_FROM, ID_TO) || !str_ieq(str_make(r.id, ULID_LEN), id)) continue;
            if (!copy(lane, i, &r, 0, WORDS)) break;
            *out = r;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

enum err decision_ring_last(const struct decision_ring *ring, struct decision_record *out)
{
    for (size_t l = 0; l < ARRAY_LEN(ring->lanes); l++) {
        const struct lane *lane = &ring->lanes[l];
        uint64_t head = atomic_load_explicit(&lane->head, memory_order_acquire);
        for (uint64_t i = head, end = oldest(lane, head); i-- > end;) {
            struct decision_record r;
            if (!copy(lane, i, &r, 0, WORDS)) continue;
            *out = r;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

void decision_cursor_now(const struct decision_ring *ring, struct decision_cursor *c)
{
    *c = (struct decision_cursor){0};
    for (size_t l = 0; l < ARRAY_LEN(ring->lanes); l++)
        c->next[l] = atomic_load_explicit(&ring->lanes[l].head, memory_order_acquire);
}

size_t decision_ring_read(const struct decision_ring *ring, struct decision_cursor *c, bool deny_only,
                          struct decision_record *out, size_t max)
{
    size_t n = 0;
    for (size_t l = 0; l < (deny_only ? 1u : 2u); l++) {
        const struct lane *lane = &ring->lanes[l];
        uint64_t head = atomic_load_explicit(&lane->head, memory_order_acquire);
        uint64_t from = oldest(lane, head);
        if (c->next[l] < from) {
            c->missed += from - c->next[l];
            c->next[l] = from;
        }
        for (; c->next[l] < head && n < max; c->next[l]++) {
            if (!copy(lane, c->next[l], &out[n], 0, WORDS))
                c->missed++;
            else if (!deny_only || out[n].effect == EFFECT_DENY)
                n++;
        }
    }
    return n;
}
