/* What one worker counts for metering: requests and bytes of each product, action and kind of caller; and how often
 * each limit refused.
 *
 * Rows are found by a hash, made when their first request ends, and stay: there are only as many as the configuration
 * has names for. Bounded: what finds no row is counted in the first one, which has no names. One writer, the worker;
 * any thread reads, without stopping it. Knows no time: who reads says of which hour it was. */
#ifndef SALLYPORT_PROXY_METER_H
#define SALLYPORT_PROXY_METER_H

#include "base/metrics.h"
#include "config/edge.h"

#define METER_ROWS     4096 /* 1 MB of addresses, used page by page */
#define METER_LIMITS   512
#define METER_NAME_MAX 80

enum {
    METER_REQUESTS = 0,
    METER_PERMITTED,
    METER_DENIED,
    METER_LIMITED,
    METER_BYTES_IN,
    METER_BYTES_OUT,
    METER_COUNTS
};

struct meter_row {
    _Atomic uint64_t key; /* 0: not in use */
    struct counter counts[METER_COUNTS];
    uint8_t caller; /* enum caller_kind */
    uint8_t product_n, action_n;
    char product[METER_NAME_MAX], action[METER_NAME_MAX];
};

struct meter_limit {
    _Atomic uint64_t key;
    struct counter refused;
    uint8_t name_n;
    char name[METER_NAME_MAX];
};

struct meter {
    _Atomic uint32_t n_used;           /* rows that have been made */
    uint16_t used[METER_ROWS];         /* which */
    struct meter_row rows[METER_ROWS]; /* the first: all that found no row */
    struct meter_limit limits[METER_LIMITS];
};

/* Of whom it is: names may be empty. Marks: keyed hashes of the names (0 with an empty one). */
struct meter_name {
    str product, action;
    uint64_t product_mark, action_mark;
    enum caller_kind caller;
};

enum meter_end { METER_END_PERMITTED = METER_PERMITTED, METER_END_DENIED, METER_END_LIMITED };

/* ERR_NO_MEMORY. */
MUST_USE enum err meter_new(struct meter **out);
void meter_free(struct meter **m);

/* --- the worker; m may be NULL --- */
void meter_request(struct meter *m, const struct meter_name *of, enum meter_end end, uint64_t bytes_in,
                   uint64_t bytes_out);
void meter_limited(struct meter *m, str limit);

/* --- any thread: sallyport_limited_total{limit} --- */
void meter_render(const struct meter *const *all, size_t n, struct buf *out);

#endif
