/* A word (bit 63 clear) is a time; 0 is a free slot. With bit 63 it is a slot on its way to another key:
 *
 *   free or passed ──claim()──► MOVING ──key written──► ENTERING | stamp ──settle()──► a time
 *                                                            └──────── settle() ──────► free (another slot has the key)
 *
 * MOVING belongs to the thread that set it, and only that one writes the slot's key; it may take its time, the slot is
 * merely nobody's meanwhile. ENTERING belongs to whoever meets it. Invariants:
 *   1 A slot's key changes only while its word is MOVING, and only a word that does not count becomes MOVING.
 *   2 A word is changed by compare-and-swap from what was seen with the key; a slot that has moved on has a later time,
 *     or another stamp, so the swap fails.
 *   3 A key has one word that counts at most. Who makes ENTERING a time has looked at all slots of the key behind the
 *     moment when his was to be seen, and has undone every other that was entering. Of two that enter, each is seen by
 *     the one who looks later; the swap decides between undoing and making. */
#include "proxy/words.h"

#include "base/rand.h"

#include <pthread.h>
#include <stdlib.h>

#define BUCKET   8
#define SLOTS    (2 * BUCKET)
#define TRIES    64 /* under contention each try is somebody's success; then as if there were no room */
#define MOVING   UINT64_MAX
#define ENTERING (UINT64_C(1) << 63)
#define LINE     64

struct words {
    struct word_slot *slots; /* on a cache line */
    uint64_t mask;           /* of bucket numbers */
    uint64_t grace_ns;
    size_t n;
    void *memory;
    _Alignas(LINE) _Atomic uint64_t stamps;
};

enum err words_new(uint32_t slots, uint64_t grace_ns, struct words **out)
{
    if (slots < 2 * SLOTS || (slots & (slots - 1)) != 0) return ERR_LIMIT;
    struct words *w = aligned_alloc(LINE, sizeof *w);
    void *memory = calloc((size_t)slots * sizeof(struct word_slot) + LINE, 1); /* zero pages until they are written */
    if (!w || !memory) {
        free(w);
        free(memory);
        return ERR_NO_MEMORY;
    }
    *w = (struct words){.mask = slots / BUCKET - 1, .grace_ns = grace_ns, .n = slots, .memory = memory};
    uintptr_t at = ((uintptr_t)memory + LINE - 1) & ~(uintptr_t)(LINE - 1);
    w->slots = (struct word_slot *)at;
    *out = w;
    return ERR_OK;
}

void words_free(struct words **out)
{
    struct words *w = *out;
    *out = NULL;
    if (!w) return;
    free(w->memory);
    free(w);
}

/* --- the hash --- */

static uint64_t sip_key[2];
static pthread_once_t sip_once = PTHREAD_ONCE_INIT;

static void sip_init(void)
{
    rand_bytes(sip_key, sizeof sip_key);
    sip_key[0] |= 1; /* says that it is there */
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
#define SIP_WORD(m)                                                                                                    \
    do {                                                                                                               \
        v3 ^= (m);                                                                                                     \
        SIP_ROUND;                                                                                                     \
        v0 ^= (m);                                                                                                     \
    } while (0)

/* SipHash-1-3 (Aumasson and Bernstein): one round a word is enough where no hash is ever shown. */
uint64_t words_key(uint64_t a, uint64_t b, uint64_t c)
{
    if (UNLIKELY(!__atomic_load_n(&sip_key[0], __ATOMIC_ACQUIRE))) pthread_once(&sip_once, sip_init);
    uint64_t v0 = sip_key[0] ^ 0x736f6d6570736575u, v1 = sip_key[1] ^ 0x646f72616e646f6du;
    uint64_t v2 = sip_key[0] ^ 0x6c7967656e657261u, v3 = sip_key[1] ^ 0x7465646279746573u;
    SIP_WORD(a);
    SIP_WORD(b);
    SIP_WORD(UINT64_C(16) << 56 ^ c); /* what is left of a third word, and the length */
    v2 ^= 0xff;
    SIP_ROUND;
    SIP_ROUND;
    SIP_ROUND;
    uint64_t h = v0 ^ v1 ^ v2 ^ v3;
    return h ? h : 1;
}

/* --- looking --- */

struct place {
    struct word_slot *half[2];
};

static inline struct place place_of(const struct words *w, uint64_t key)
{
    uint64_t a = key & w->mask, b = (key >> 32) & w->mask;
    if (a == b) b ^= 1;
    return (struct place){{w->slots + a * BUCKET, w->slots + b * BUCKET}};
}

static inline struct word_slot *slot_of(const struct place *p, unsigned i)
{
    return p->half[i / BUCKET] + i % BUCKET;
}

/* The slot's word, if it is that key's and the two were there at the same time; else 0. */
static inline uint64_t word_of(struct word_slot *s, uint64_t key)
{
    for (;;) {
        if (atomic_load_explicit(&s->key, memory_order_acquire) != key) return 0;
        uint64_t word = atomic_load(&s->word);
        if (word == MOVING || word == 0) return 0;
        if (LIKELY(atomic_load_explicit(&s->key, memory_order_acquire) == key && atomic_load(&s->word) == word))
            return word;
    }
}

enum err words_find(struct words *w, uint64_t key, struct word *out)
{
    struct place p = place_of(w, key);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct word_slot *s = slot_of(&p, i);
        uint64_t word = word_of(s, key);
        if (word == 0 || word & ENTERING) continue;
        *out = (struct word){s, word};
        return ERR_OK;
    }
    return ERR_NOT_FOUND;
}

bool words_change(struct word *seen, uint64_t time_ns)
{
    if (!atomic_compare_exchange_strong(&seen->slot->word, &seen->seen, time_ns)) return false;
    seen->seen = time_ns;
    return true;
}

/* --- entering --- */

static bool passed(const struct words *w, uint64_t word, uint64_t now_ns)
{
    return !(word & ENTERING) && (word == 0 || word + w->grace_ns <= now_ns);
}

/* Whether a word of the key counts already (*out), or is entering (the first of them: *out). */
enum look { LOOK_NONE, LOOK_THERE, LOOK_ENTERING };

static enum look look(const struct place *p, uint64_t key, struct word *out)
{
    enum look found = LOOK_NONE;
    for (unsigned i = 0; i < SLOTS; i++) {
        struct word_slot *s = slot_of(p, i);
        uint64_t word = word_of(s, key);
        if (word == 0) continue;
        if (!(word & ENTERING)) {
            *out = (struct word){s, word};
            return LOOK_THERE;
        }
        if (found == LOOK_NONE) *out = (struct word){s, word};
        found = LOOK_ENTERING;
    }
    return found;
}

/* A slot for the key, ENTERING, in its first bucket or, when that fills, in the emptier one. ERR_LIMIT; ERR_AGAIN:
 * another thread was quicker. */
static enum err claim(struct words *w, const struct place *p, uint64_t key, uint64_t now_ns, struct word *out)
{
    struct word first[2] = {{NULL, 0}, {NULL, 0}};
    unsigned room[2] = {0, 0};
    for (unsigned i = 0; i < SLOTS; i++) {
        struct word_slot *s = slot_of(p, i);
        uint64_t word = atomic_load(&s->word);
        if (!passed(w, word, now_ns)) continue;
        if (room[i / BUCKET]++ == 0) first[i / BUCKET] = (struct word){s, word};
    }
    /* the first as long as it is half empty: then a word is found at the first look */
    struct word *at = &first[room[0] < BUCKET / 2 && room[1] > room[0]];
    if (!at->slot) return ERR_LIMIT;
    if (!atomic_compare_exchange_strong(&at->slot->word, &at->seen, MOVING)) return ERR_AGAIN;
    uint64_t stamp = atomic_fetch_add_explicit(&w->stamps, 1, memory_order_relaxed);
    uint64_t entering = ENTERING | (stamp & (WORD_MAX >> 1));
    atomic_store_explicit(&at->slot->key, key, memory_order_release);
    atomic_store(&at->slot->word, entering);
    *out = (struct word){at->slot, entering};
    return ERR_OK;
}

static void undo(struct word *entering)
{
    uint64_t seen = entering->seen;
    (void)atomic_compare_exchange_strong(&entering->slot->word, &seen, 0);
}

/* Makes what is entering at `mine` a word, unless the key has one. ERR_OK, ERR_CONFLICT (*out), ERR_AGAIN. */
static enum err settle(const struct place *p, uint64_t key, struct word mine, uint64_t time_ns, struct word *out)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct word_slot *s = slot_of(p, i);
        uint64_t word = word_of(s, key);
        if (word == 0 || (s == mine.slot && word == mine.seen)) continue;
        if (!(word & ENTERING)) {
            if (s != mine.slot) undo(&mine);
            *out = (struct word){s, word};
            return ERR_CONFLICT;
        }
        if (s < mine.slot) { /* of two that enter, the one with the lower address goes on */
            undo(&mine);
            return ERR_AGAIN;
        }
        uint64_t seen = word;
        if (!atomic_compare_exchange_strong(&s->word, &seen, 0)) return ERR_AGAIN; /* it may be a word by now */
    }
    if (!atomic_compare_exchange_strong(&mine.slot->word, &mine.seen, time_ns)) return ERR_AGAIN;
    *out = (struct word){mine.slot, time_ns};
    return ERR_OK;
}

enum err words_enter(struct words *w, uint64_t key, uint64_t now_ns, uint64_t time_ns, struct word *out)
{
    struct place p = place_of(w, key);
    struct word claimed = {NULL, 0};
    for (unsigned tries = 0; tries < TRIES; tries++) {
        struct word at;
        enum look found = look(&p, key, &at);
        enum err e = found == LOOK_THERE ? ERR_CONFLICT : ERR_OK;
        if (e == ERR_CONFLICT) *out = at;
        if (found == LOOK_NONE) {
            e = claim(w, &p, key, now_ns, &at);
            if (e == ERR_OK) claimed = at;
        }
        if (e == ERR_OK) e = settle(&p, key, at, time_ns, out);
        if (e == ERR_AGAIN) continue;
        if (e != ERR_OK && claimed.slot) undo(&claimed); /* if nobody has, yet */
        return e;
    }
    if (claimed.slot) undo(&claimed);
    return ERR_LIMIT;
}

/* --- counting --- */

size_t words_counting(const struct words *w, uint64_t now_ns)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        uint64_t word = atomic_load_explicit(&w->slots[i].word, memory_order_relaxed);
        n += word != 0 && (word & ENTERING || word > now_ns);
    }
    return n;
}

size_t words_slots(const struct words *w)
{
    return w->n;
}
