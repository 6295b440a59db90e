/* Counters and histograms with one writer, and their text in Prometheus' exposition format 0.0.4.
 *
 * A counter belongs to one thread, which adds without a lock; any thread may read it (relaxed). Whoever renders
 * adds up the threads' copies. Knows no metric by name. */
#ifndef SALLYPORT_BASE_METRICS_H
#define SALLYPORT_BASE_METRICS_H

#include "base/buf.h"

#include <stdatomic.h>

struct counter {
    _Atomic uint64_t v;
};

/* By the owning thread only: a plain load and store, no locked instruction. */
static inline void counter_add(struct counter *c, uint64_t n)
{
    atomic_store_explicit(&c->v, atomic_load_explicit(&c->v, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void counter_sub(struct counter *c, uint64_t n) /* for gauges: connections open now */
{
    counter_add(c, 0 - n);
}
static inline uint64_t counter_get(const struct counter *c)
{
    return atomic_load_explicit(&c->v, memory_order_relaxed);
}

#define HISTOGRAM_MAX 20
struct histogram_bounds {
    size_t n;                      /* <= HISTOGRAM_MAX */
    uint64_t le_ns[HISTOGRAM_MAX]; /* ascending; +Inf is implied */
    const char *le[HISTOGRAM_MAX]; /* the same in seconds, as printed: "0.0005" */
};
extern const struct histogram_bounds histogram_request;  /* 100 µs … 30 s */
extern const struct histogram_bounds histogram_decision; /* 0.5 µs … 10 ms */

struct histogram {
    struct counter bucket[HISTOGRAM_MAX + 1]; /* not cumulative; the last is +Inf */
    struct counter sum_ns;
};

/* By the owning thread only. */
void histogram_observe(struct histogram *h, const struct histogram_bounds *bounds, uint64_t ns);
/* Adds what `from` holds now to `to` (which belongs to the calling thread). */
void histogram_merge(struct histogram *to, const struct histogram *from);

/* --- rendering --- */
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
struct metric_label {
    const char *name; /* a constant [a-zA-Z_][a-zA-Z0-9_]* */
    str value;        /* any bytes; escaped, and what is not UTF-8 replaced */
};

/* "# HELP" and "# TYPE"; once before the family's samples, which must follow without another family between. */
void metrics_family(struct buf *out, const char *name, enum metric_type type, const char *help);
void metrics_u64(struct buf *out, const char *name, const struct metric_label *labels, size_t n, uint64_t value);
void metrics_i64(struct buf *out, const char *name, const struct metric_label *labels, size_t n, int64_t value);
/* value_ns printed as seconds with nine decimals. */
void metrics_seconds(struct buf *out, const char *name, const struct metric_label *labels, size_t n, uint64_t value_ns);
/* _bucket (cumulative, with le), _sum and _count. */
void metrics_histogram(struct buf *out, const char *name, const struct metric_label *labels, size_t n,
                       const struct histogram_bounds *bounds, const struct histogram *h);

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

#endif
