#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id, uint64_t unit_ns)
{
    struct timespec t;
    clock_gettime(id, &t);
    return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec) / unit_ns;
}

uint64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC, 1);
}

uint64_t clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME, 1000000);
}

int64_t clock_wall_s(void)
{
    return (int64_t)read_clock(CLOCK_REALTIME, 1000000000);
}

void clock_rfc3339(char out[CLOCK_RFC3339_LEN], uint64_t unix_ms)
{
    time_t s = (time_t)(unix_ms / 1000);
    struct tm t;
    char text[64] = "1970-01-01T00:00:00.000Z";
    if (gmtime_r(&s, &t))
        snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                 t.tm_hour, t.tm_min, t.tm_sec, (unsigned)(unix_ms % 1000));
    memcpy(out, text, CLOCK_RFC3339_LEN);
}
