#include "serve/span.h"

#include "base/metrics.h"

#include <sys/mman.h>

struct span_ring {
    _Atomic uint64_t written;
    struct counter dropped;
    char apart[64]; /* the two sides write to lines of their own */
    _Atomic uint64_t taken;
    char apart_too[64];
    struct span slots[SPAN_RING];
};

void span_texts(struct span *s, const str texts[SPAN_TEXTS])
{
    size_t at = 0;
    for (unsigned i = 0; i < SPAN_TEXTS; i++) {
        str t = str_first(texts[i], UINT8_MAX);
        t = str_first(t, sizeof s->text - at);
        if (t.n) memcpy(s->text + at, t.p, t.n);
        s->len[i] = (uint8_t)t.n;
        at += t.n;
    }
    s->text_n = (uint16_t)at;
}

str span_text(const struct span *s, enum span_text which)
{
    size_t at = 0;
    for (unsigned i = 0; i < (unsigned)which; i++) at += s->len[i];
    return str_make(s->text + at, s->len[which]);
}

static unsigned digit(char c)
{
    if (c >= '0' && c <= '9') return (unsigned)(c - '0');
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 0;
}

void span_id_of(const char *hex, unsigned char *out, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = (unsigned char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
}

enum err span_ring_new(struct span_ring **out)
{
    struct span_ring *r =
        mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r == MAP_FAILED) return ERR_NO_MEMORY;
    *out = r;
    return ERR_OK;
}

void span_ring_free(struct span_ring **ring)
{
    if (*ring) munmap(*ring, sizeof **ring);
    *ring = NULL;
}

struct span *span_ring_room(struct span_ring *r)
{
    uint64_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    if (written - atomic_load_explicit(&r->taken, memory_order_acquire) >= SPAN_RING) {
        counter_add(&r->dropped, 1);
        return NULL;
    }
    return &r->slots[written % SPAN_RING];
}

void span_ring_put(struct span_ring *r)
{
    uint64_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    atomic_store_explicit(&r->written, written + 1, memory_order_release);
}

const struct span *span_ring_peek(const struct span_ring *r)
{
    uint64_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed);
    if (taken == atomic_load_explicit(&r->written, memory_order_acquire)) return NULL;
    return &r->slots[taken % SPAN_RING];
}

void span_ring_took(struct span_ring *r)
{
    uint64_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed);
    atomic_store_explicit(&r->taken, taken + 1, memory_order_release);
}

uint64_t span_ring_dropped(const struct span_ring *r)
{
    return counter_get(&r->dropped);
}
