#include "base/str.h"

const char *err_name(enum err e)
{
    static const char *const names[] = {"ok",          "malformed", "limit",    "denied",    "not_found",
                                        "again",       "closed",    "timeout",  "no_memory", "io",
                                        "unsupported", "conflict",  "invariant"};
    return (unsigned)e < ARRAY_LEN(names) ? names[e] : "unknown";
}

int str_cmp(str a, str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

bool str_ieq(str a, str b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

str str_cut(str *rest, char sep)
{
    size_t at = str_find(*rest, sep);
    str part = str_first(*rest, at);
    *rest = str_from(*rest, at + 1);
    return part;
}

str str_trim(str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) s = str_from(s, 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

enum err str_to_u64(str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0) return ERR_MALFORMED;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return ERR_MALFORMED;
        if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return ERR_LIMIT;
    }
    *out = v;
    return ERR_OK;
}
