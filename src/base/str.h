/* Slices: a pointer and a length, passed by value, not terminated.
 *
 * A `str` borrows; whoever made the bytes owns them. The empty slice has n == 0 and any p.
 * All comparisons here are plain; secrets are compared with crypto/secret.h. */
#ifndef SALLYPORT_BASE_STR_H
#define SALLYPORT_BASE_STR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct str {
    const char *p;
    size_t n;
} str;

#define STR(lit) ((str){(lit), sizeof(lit) - 1})
#define STR_INIT(lit)                                                                                                  \
    {                                                                                                                  \
        (lit), sizeof(lit) - 1                                                                                         \
    }
#define STR_NONE ((str){NULL, 0})
/* printf: "%.*s" with STR_ARG(s); slices longer than INT_MAX are cut. */
#define STR_ARG(s) (int)((s).n > 0x7fffffff ? 0x7fffffff : (s).n), (s).p

static inline str str_of(const char *z)
{
    return (str){z, z ? strlen(z) : 0};
}

static inline str str_make(const char *p, size_t n)
{
    return (str){p, n};
}

static inline bool str_eq(str a, str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Order by bytes, then by length: <0, 0, >0. */
int str_cmp(str a, str b);

/* Equal without regard to ASCII case. */
bool str_ieq(str a, str b);

static inline bool str_starts(str s, str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool str_ends(str s, str suffix)
{
    return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* The slice from `at` on; empty if `at` lies behind the end. */
static inline str str_from(str s, size_t at)
{
    return at >= s.n ? (str){s.n ? s.p + s.n : s.p, 0} : (str){s.p + at, s.n - at}; /* nothing is added to NULL */
}

/* Copies s to `to`, where it does not overlap, and returns the end of the copy. Short ones, which most are, need no
 * call: their two ends are copied, which may meet in the middle. */
static inline __attribute__((always_inline)) char *str_put(char *to, str s)
{
    const char *p = s.p;
    size_t n = s.n;
    if (n > 32) {
        memcpy(to, p, n);
    } else if (n >= 16) {
        memcpy(to, p, 16);
        memcpy(to + n - 16, p + n - 16, 16);
    } else if (n >= 8) {
        uint64_t a, b;
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
        memcpy(to, &a, 8);
        memcpy(to + n - 8, &b, 8);
    } else if (n >= 4) {
        uint32_t a, b;
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        memcpy(to, &a, 4);
        memcpy(to + n - 4, &b, 4);
    } else if (n) {
        char a = p[0], b = p[n / 2], c = p[n - 1];
        to[0] = a;
        to[n / 2] = b;
        to[n - 1] = c;
    }
    return n ? to + n : to;
}

/* At most the first n bytes. */
static inline str str_first(str s, size_t n)
{
    return (str){s.p, n < s.n ? n : s.n};
}

/* Position of the byte c, or s.n if it is not there. */
static inline size_t str_find(str s, char c)
{
    const char *q = s.n ? memchr(s.p, c, s.n) : NULL;
    return q ? (size_t)(q - s.p) : s.n;
}

static inline bool str_has(str s, char c)
{
    return str_find(s, c) < s.n;
}

/* Cuts the part before the first `sep` off *rest and returns it; without `sep` returns all and leaves *rest
 * empty. Loop: while (rest.n) { part = str_cut(&rest, ','); … } */
str str_cut(str *rest, char sep);

/* Without leading and trailing SP and HTAB (RFC 9110 §5.6.3 OWS). */
str str_trim(str s);

/* Decimal digits only, no sign, no blank, at least one digit, no overflow. ERR_MALFORMED or ERR_LIMIT. */
MUST_USE enum err str_to_u64(str s, uint64_t *out);

#endif
