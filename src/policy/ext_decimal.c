/* decimal("12.34"): digits on both sides of the point, at most four behind it, in 64 bits of ten-thousandths. */
#include "policy/ext.h"

bool ext_parse_decimal(str s, int64_t *out)
{
    bool negative = s.n && s.p[0] == '-';
    size_t i = negative, whole = 0, fraction = 0;
    uint64_t v = 0;
    bool overflow = false;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, whole++)
        overflow |=
            __builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v);
    if (!whole || i >= s.n || s.p[i++] != '.') return false;
    for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, fraction++)
        overflow |=
            __builtin_mul_overflow(v, UINT64_C(10), &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v);
    if (i != s.n || !fraction || fraction > 4) return false;
    for (; fraction < 4; fraction++) overflow |= __builtin_mul_overflow(v, UINT64_C(10), &v);
    if (overflow || v > (uint64_t)INT64_MAX + negative) return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}
