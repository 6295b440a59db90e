/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef SALLYPORT_BASE_UTF8_H
#define SALLYPORT_BASE_UTF8_H

#include "base/str.h"

/* Length in bytes (1..4) of the well-formed character s begins with; 0 if it begins with none. */
static inline size_t utf8_length(str s)
{
    if (s.n == 0) return 0;
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (s.n < len) return 0;
    unsigned lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    unsigned hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < lo || p[1] > hi) return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return len;
}

/* Whether all of s is well formed. */
static inline bool utf8_valid(str s)
{
    for (size_t i = 0; i < s.n;) {
        size_t len = (unsigned char)s.p[i] < 0x80 ? 1 : utf8_length(str_from(s, i));
        if (!len) return false;
        i += len;
    }
    return true;
}

#endif
