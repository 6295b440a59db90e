#include "proxy/meter.h"

#include "base/map.h"

#include <stdlib.h>

#define PROBES 16

enum err meter_new(struct meter **out)
{
    struct meter *m = calloc(1, sizeof *m); /* zero pages until they are written */
    if (!m) return ERR_NO_MEMORY;
    atomic_store(&m->rows[0].key, 1);
    atomic_store(&m->n_used, 1);
    *out = m;
    return ERR_OK;
}

void meter_free(struct meter **m)
{
    free(*m);
    *m = NULL;
}

static uint8_t copy(char *to, str s)
{
    size_t n = s.n < METER_NAME_MAX ? s.n : METER_NAME_MAX;
    if (n) memcpy(to, s.p, n);
    return (uint8_t)n;
}

/* The marks are keyed hashes: no more than stirring is needed. */
static inline uint64_t key_of(const struct meter_name *of)
{
    uint64_t a = (of->product_mark + (uint64_t)of->caller + 1) * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t b = (a ^ (a >> 32) ^ of->action_mark) * UINT64_C(0xff51afd7ed558ccd);
    return (b ^ (b >> 29)) | 2; /* neither free nor the first row's */
}

static struct meter_row *row_of(struct meter *m, const struct meter_name *of)
{
    uint64_t key = key_of(of);
    for (unsigned i = 0; i < PROBES; i++) {
        struct meter_row *r = &m->rows[((key >> 16) + i) % METER_ROWS];
        uint64_t has = atomic_load_explicit(&r->key, memory_order_relaxed);
        if (LIKELY(has == key)) return r;
        if (has != 0) continue;
        r->caller = (uint8_t)of->caller;
        r->product_n = copy(r->product, of->product);
        r->action_n = copy(r->action, of->action);
        atomic_store_explicit(&r->key, key, memory_order_relaxed);
        uint32_t n = atomic_load_explicit(&m->n_used, memory_order_relaxed);
        m->used[n] = (uint16_t)(r - m->rows);
        atomic_store_explicit(&m->n_used, n + 1, memory_order_release); /* from now on it may be read */
        return r;
    }
    return &m->rows[0];
}

void meter_request(struct meter *m, const struct meter_name *of, enum meter_end end, uint64_t bytes_in,
                   uint64_t bytes_out)
{
    if (UNLIKELY(!m)) return;
    struct meter_row *r = row_of(m, of);
    counter_add(&r->counts[METER_REQUESTS], 1);
    counter_add(&r->counts[end], 1);
    if (bytes_in) counter_add(&r->counts[METER_BYTES_IN], bytes_in);
    if (bytes_out) counter_add(&r->counts[METER_BYTES_OUT], bytes_out);
}

void meter_limited(struct meter *m, str limit)
{
    if (!m) return;
    uint64_t key = map_hash(limit);
    for (unsigned i = 0; i < METER_LIMITS; i++) {
        struct meter_limit *l = &m->limits[(key + i) % METER_LIMITS];
        uint64_t has = atomic_load_explicit(&l->key, memory_order_relaxed);
        if (has == 0) {
            l->name_n = copy(l->name, limit);
            atomic_store_explicit(&l->key, key, memory_order_release);
        } else if (has != key) {
            continue;
        }
        counter_add(&l->refused, 1);
        return;
    }
}

/* --- reading --- */

static const struct meter_limit *find(const struct meter *m, uint64_t key)
{
    for (unsigned i = 0; i < METER_LIMITS; i++) {
        const struct meter_limit *l = &m->limits[(key + i) % METER_LIMITS];
        uint64_t has = atomic_load_explicit(&l->key, memory_order_acquire);
        if (has == key) return l;
        if (has == 0) return NULL;
    }
    return NULL;
}

/* Each limit once, where the first worker has it that does. */
void meter_render(const struct meter *const *all, size_t n, struct buf *out)
{
    metrics_family(out, "sallyport_limited_total", METRIC_COUNTER, "Requests that a limit or a quota refused.");
    for (size_t w = 0; w < n; w++) {
        for (size_t i = 0; i < METER_LIMITS; i++) {
            const struct meter_limit *l = &all[w]->limits[i];
            uint64_t key = atomic_load_explicit(&l->key, memory_order_acquire), sum = 0;
            bool seen = key == 0;
            for (size_t k = 0; k < w && !seen; k++) seen = find(all[k], key) != NULL;
            if (seen) continue;
            for (size_t k = w; k < n; k++) {
                const struct meter_limit *of = find(all[k], key);
                if (of) sum += counter_get(&of->refused);
            }
            struct metric_label label = {"limit", str_make(l->name, l->name_n)};
            metrics_u64(out, "sallyport_limited_total", &label, 1, sum);
        }
    }
}
