/* datetime("2024-10-15T11:35:00.123+0100") and duration("1d2h3m4s5ms"). */
#include "policy/ext.h"

static bool digits(str s, size_t at, size_t n, int64_t *out)
{
    int64_t v = 0;
    if (s.n < at + n) return false;
    for (size_t i = at; i < at + n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        v = v * 10 + (s.p[i] - '0');
    }
    *out = v;
    return true;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar. */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool read_date(str s, int64_t *days)
{
    static const int64_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t y, m, d;
    if (!digits(s, 0, 4, &y) || s.n < 10 || s.p[4] != '-' || !digits(s, 5, 2, &m) || s.p[7] != '-' ||
        !digits(s, 8, 2, &d))
        return false;
    if (m < 1 || m > 12) return false;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d < 1 || d > lengths[m - 1] + (m == 2 && leap)) return false;
    *days = days_from_civil(y, m, d);
    return true;
}

/* "Z" or "+hhmm" or "-hhmm", all of s. */
static bool read_offset(str s, int64_t *seconds)
{
    int64_t h, m;
    if (str_eq(s, STR("Z"))) {
        *seconds = 0;
        return true;
    }
    if (s.n != 5 || (s.p[0] != '+' && s.p[0] != '-') || !digits(s, 1, 2, &h) || !digits(s, 3, 2, &m)) return false;
    if (h >= 24 || m >= 60) return false;
    *seconds = (h * 3600 + m * 60) * (s.p[0] == '+' ? 1 : -1);
    return true;
}

bool ext_parse_datetime(str s, int64_t *out)
{
    int64_t days, h = 0, m = 0, sec = 0, ms = 0, offset = 0;
    if (!read_date(s, &days)) return false;
    s = str_from(s, 10);
    if (s.n) {
        if (s.n < 9 || s.p[0] != 'T' || !digits(s, 1, 2, &h) || s.p[3] != ':' || !digits(s, 4, 2, &m) ||
            s.p[6] != ':' || !digits(s, 7, 2, &sec))
            return false;
        s = str_from(s, 9);
        if (s.n && s.p[0] == '.') {
            if (!digits(s, 1, 3, &ms)) return false;
            s = str_from(s, 4);
        }
        if (!read_offset(s, &offset) || h > 23 || m > 59 || sec > 59) return false;
    }
    *out = ((days * 24 + h) * 60 + m) * 60000 + sec * 1000 + ms - offset * 1000;
    return true;
}

bool ext_parse_duration(str s, int64_t *out)
{
    static const struct {
        str unit;
        int64_t ms;
    } units[] = {{STR_INIT("d"), 86400000},
                 {STR_INIT("h"), 3600000},
                 {STR_INIT("m"), 60000},
                 {STR_INIT("s"), 1000},
                 {STR_INIT("ms"), 1}};
    bool negative = s.n && s.p[0] == '-';
    s = str_from(s, negative);
    if (!s.n) return false;
    int64_t total = 0;
    for (size_t next = 0; s.n;) {
        uint64_t v = 0;
        size_t i = 0;
        for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
            if (__builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
                return false;
        if (!i) return false;
        s = str_from(s, i);
        size_t len = 0, u = next;
        while (len < s.n && s.p[len] >= 'a' && s.p[len] <= 'z') len++;
        while (u < ARRAY_LEN(units) && !str_eq(units[u].unit, str_first(s, len))) u++;
        if (u == ARRAY_LEN(units)) return false;
        /* Subtracting keeps the smallest value representable; its magnitude alone would not be. */
        int64_t part;
        if (negative) {
            if (v > (uint64_t)INT64_MAX + 1) return false;
            if (__builtin_mul_overflow((int64_t)(0 - v), units[u].ms, &part)) return false;
        } else if (v > INT64_MAX || __builtin_mul_overflow((int64_t)v, units[u].ms, &part)) {
            return false;
        }
        if (__builtin_add_overflow(total, part, &total)) return false;
        s = str_from(s, len);
        next = u + 1;
    }
    *out = total;
    return true;
}
