/* The two clocks. Domain code never reads them: time is passed in. */
#ifndef SALLYPORT_BASE_CLOCK_H
#define SALLYPORT_BASE_CLOCK_H

#include "base/str.h"

uint64_t clock_mono_ns(void); /* monotonic nanoseconds, for durations */
uint64_t clock_wall_ms(void); /* Unix milliseconds */
int64_t clock_wall_s(void);   /* Unix seconds */

/* "2026-11-20T10:46:04.123Z" (24 bytes, not terminated), RFC 3339. */
#define CLOCK_RFC3339_LEN 24
void clock_rfc3339(char out[CLOCK_RFC3339_LEN], uint64_t unix_ms);

#endif
