#include "base/metrics.h"

#include "base/utf8.h"

const struct histogram_bounds histogram_request = {.n = 17,
                                                   .le_ns = {100000, 250000, 500000, 1000000, 2500000, 5000000,
                                                             10000000, 25000000, 50000000, 100000000, 250000000,
                                                             500000000, 1000000000, 2500000000, 5000000000, 10000000000,
                                                             30000000000},
                                                   .le = {"0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005",
                                                          "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5",
                                                          "5", "10", "30"}};

const struct histogram_bounds histogram_decision = {.n = 13,
                                                    .le_ns = {500, 1000, 2000, 5000, 10000, 20000, 50000, 100000,
                                                              200000, 500000, 1000000, 5000000, 10000000},
                                                    .le = {"0.0000005", "0.000001", "0.000002", "0.000005", "0.00001",
                                                           "0.00002", "0.00005", "0.0001", "0.0002", "0.0005", "0.001",
                                                           "0.005", "0.01"}};

void histogram_observe(struct histogram *h, const struct histogram_bounds *bounds, uint64_t ns)
{
    size_t i = 0;
    while (i < bounds->n && ns > bounds->le_ns[i]) i++;
    counter_add(&h->bucket[i], 1);
    counter_add(&h->sum_ns, ns);
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (size_t i = 0; i <= HISTOGRAM_MAX; i++) counter_add(&to->bucket[i], counter_get(&from->bucket[i]));
    counter_add(&to->sum_ns, counter_get(&from->sum_ns));
}

/* Backslash and line feed, and in a label's value the quote, are escaped; the format must be UTF-8. */
static void put_escaped(struct buf *out, str s, bool label)
{
    for (size_t i = 0; i < s.n;) {
        size_t len = utf8_length(str_from(s, i));
        char c = s.p[i];
        if (!len)
            buf_puts(out, "\xef\xbf\xbd");
        else if (c == '\\')
            buf_puts(out, "\\\\");
        else if (c == '\n')
            buf_puts(out, "\\n");
        else if (c == '"' && label)
            buf_puts(out, "\\\"");
        else
            buf_put(out, str_make(s.p + i, len));
        i += len ? len : 1;
    }
}

void metrics_family(struct buf *out, const char *name, enum metric_type type, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    buf_puts(out, "# HELP ");
    buf_puts(out, name);
    buf_putc(out, ' ');
    put_escaped(out, str_of(help), false);
    buf_puts(out, "\n# TYPE ");
    buf_puts(out, name);
    buf_putc(out, ' ');
    buf_puts(out, types[type]);
    buf_putc(out, '\n');
}

/* name_suffix{labels,le="…"} and a blank. */
static void put_series(struct buf *out, const char *name, const char *suffix, const struct metric_label *labels,
                       size_t n, const char *le)
{
    buf_puts(out, name);
    buf_puts(out, suffix);
    for (size_t i = 0; i < n; i++) {
        buf_putc(out, i ? ',' : '{');
        buf_puts(out, labels[i].name);
        buf_puts(out, "=\"");
        put_escaped(out, labels[i].value, true);
        buf_putc(out, '"');
    }
    if (le) {
        buf_puts(out, n ? ",le=\"" : "{le=\"");
        buf_puts(out, le);
        buf_putc(out, '"');
    }
    if (n || le) buf_putc(out, '}');
    buf_putc(out, ' ');
}

static void put_seconds(struct buf *out, uint64_t ns)
{
    buf_printf(out, "%llu.%09llu", (unsigned long long)(ns / 1000000000u), (unsigned long long)(ns % 1000000000u));
}

void metrics_u64(struct buf *out, const char *name, const struct metric_label *labels, size_t n, uint64_t value)
{
    put_series(out, name, "", labels, n, NULL);
    buf_put_u64(out, value);
    buf_putc(out, '\n');
}

void metrics_i64(struct buf *out, const char *name, const struct metric_label *labels, size_t n, int64_t value)
{
    put_series(out, name, "", labels, n, NULL);
    if (value < 0) buf_putc(out, '-');
    buf_put_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    buf_putc(out, '\n');
}

void metrics_seconds(struct buf *out, const char *name, const struct metric_label *labels, size_t n, uint64_t value_ns)
{
    put_series(out, name, "", labels, n, NULL);
    put_seconds(out, value_ns);
    buf_putc(out, '\n');
}

void metrics_histogram(struct buf *out, const char *name, const struct metric_label *labels, size_t n,
                       const struct histogram_bounds *bounds, const struct histogram *h)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= bounds->n; i++) {
        sum += counter_get(&h->bucket[i]);
        put_series(out, name, "_bucket", labels, n, i < bounds->n ? bounds->le[i] : "+Inf");
        buf_put_u64(out, sum);
        buf_putc(out, '\n');
    }
    put_series(out, name, "_sum", labels, n, NULL);
    put_seconds(out, counter_get(&h->sum_ns));
    buf_putc(out, '\n');
    put_series(out, name, "_count", labels, n, NULL);
    buf_put_u64(out, sum); /* what the buckets add up to, even if the writer goes on meanwhile */
    buf_putc(out, '\n');
}
