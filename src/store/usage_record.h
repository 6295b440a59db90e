/* What was used: `usage/<hour>/<process>/<part>` of the space audit, rows of counts of a product, an action and a kind
 * of caller. The hour is the Unix time of its begin, in ten digits, so that keys are in the order of time. */
#ifndef SALLYPORT_STORE_USAGE_RECORD_H
#define SALLYPORT_STORE_USAGE_RECORD_H

#include "store/record.h"

#define USAGE_COUNTS   6 /* requests, permitted, denied, limited, bytes in, bytes out */
#define USAGE_ROWS_MAX 48
#define USAGE_KEEP_S   (400 * 86400)
#define USAGE_HOUR_S   3600

struct usage_row {
    str product, action, caller; /* empty: not known, or no room for a row of its own */
    uint64_t counts[USAGE_COUNTS];
};

/* The name of a count: "requests" … "bytes_out". */
extern const char *const usage_count_names[USAGE_COUNTS];

str usage_record_key(struct record_key *k, int64_t hour_s, str process, uint32_t part);
/* "usage/<hour>/": where an hour begins. */
str usage_record_hour(struct record_key *k, int64_t hour_s);
/* Of a key. ERR_MALFORMED. */
MUST_USE enum err usage_record_hour_of(str key, int64_t *hour_s);

/* ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err usage_record_put(struct buf *b, const struct usage_row *rows, uint32_t n);
/* At most USAGE_ROWS_MAX rows. ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY. */
MUST_USE enum err usage_record_read(str value, struct arena *mem, struct usage_row *rows, uint32_t *n);

#endif
