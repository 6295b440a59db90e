/* Private to http: looking for the end of a name or a value many bytes at once.
 *
 * Each scan has a portable form that defines what it means, and where there is SSE2 a faster one that must agree
 * (a unit test compares them). Nothing reads behind p + n. */
#ifndef SALLYPORT_HTTP_SCAN_H
#define SALLYPORT_HTTP_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* What a byte may be in a message; http_class[byte] is a set of these. */
enum {
    HTTP_TCHAR = 1, /* RFC 9110 §5.6.2 */
    HTTP_VALUE = 2  /* RFC 9110 §5.5 field-vchar, SP, HTAB */
};
extern const uint8_t http_class[256];

/* The longest name we know fits; longer ones are folded up to here. */
#define FIELD_FOLD 32

static inline size_t scan_value_portable(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && (http_class[(unsigned char)p[i]] & HTTP_VALUE)) i++;
    return i;
}

#if defined(__SSE2__)
static inline __m128i scan_load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Which of sixteen bytes may not stand in a value: controls but the tab, and DEL. */
static inline __m128i scan_value_bad(__m128i v)
{
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i bad = _mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), control);
    return _mm_or_si128(bad, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
}

/* Whether 64 bytes certainly are of a value. A tab is not seen as one here: then the narrower look decides. */
static inline bool scan_value_64(const char *p)
{
    const __m128i low = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f);
    __m128i a = scan_load(p), b = scan_load(p + 16), c = scan_load(p + 32), d = scan_load(p + 48);
    __m128i least = _mm_min_epu8(_mm_min_epu8(a, b), _mm_min_epu8(c, d));
    __m128i ab = _mm_or_si128(_mm_cmpeq_epi8(a, del), _mm_cmpeq_epi8(b, del));
    __m128i cd = _mm_or_si128(_mm_cmpeq_epi8(c, del), _mm_cmpeq_epi8(d, del));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(least, low), least);
    return _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(ab, cd))) == 0;
}
#endif

/* How many of the n bytes at p may stand in a field value. */
static inline size_t scan_value(const char *p, size_t n)
{
#if defined(__SSE2__)
    size_t i = 0;
    if (n < 16) return scan_value_portable(p, n);
    while (n - i >= 16) {
        unsigned stop = (unsigned)_mm_movemask_epi8(scan_value_bad(scan_load(p + i)));
        if (stop) return i + (size_t)__builtin_ctz(stop);
        i += 16;
        while (n - i >= 64 && scan_value_64(p + i)) i += 64; /* long values, tokens first of all */
    }
    /* the last sixteen, of which the first are known to be good */
    unsigned stop = (unsigned)_mm_movemask_epi8(scan_value_bad(scan_load(p + n - 16)));
    return stop ? n - 16 + (size_t)__builtin_ctz(stop) : n;
#else
    return scan_value_portable(p, n);
#endif
}

/* Copies the n bytes at p to `to`, where they do not overlap; whether all of them may stand in a field value. As every
 * byte goes through a register anyway, the look at it is nearly free. */
static inline bool scan_copy_value(char *to, const char *p, size_t n)
{
#if defined(__SSE2__)
    __m128i v, bad = _mm_setzero_si128();
    if (n >= 16) {
        for (size_t i = 0; n - i >= 16; i += 16) {
            v = scan_load(p + i);
            bad = _mm_or_si128(bad, scan_value_bad(v));
            _mm_storeu_si128((__m128i *)(void *)(to + i), v);
        }
        v = scan_load(p + n - 16);
        _mm_storeu_si128((__m128i *)(void *)(to + n - 16), v);
    } else if (n >= 8) {
        uint64_t a, b;
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
        memcpy(to, &a, 8);
        memcpy(to + n - 8, &b, 8);
        v = _mm_set_epi64x((long long)b, (long long)a);
    } else if (n >= 4) {
        uint32_t a, b;
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        memcpy(to, &a, 4);
        memcpy(to + n - 4, &b, 4);
        v = _mm_set_epi32((int)b, (int)a, (int)b, (int)a);
    } else {
        for (size_t i = 0; i < n; i++) to[i] = p[i];
        return scan_value_portable(p, n) == n;
    }
    return _mm_movemask_epi8(_mm_or_si128(bad, scan_value_bad(v))) == 0;
#else
    if (n) memcpy(to, p, n);
    return scan_value_portable(p, n) == n;
#endif
}

/* How many of the n bytes at p are token characters. Writes the first FIELD_FOLD of them to `fold`, lower case,
 * '_' as '-', zeros behind; *under tells whether there was an '_' among those. */
static inline size_t scan_name_portable(const char *p, size_t n, char fold[FIELD_FOLD], bool *under)
{
    size_t i = 0;
    bool u = false;
    memset(fold, 0, FIELD_FOLD);
    while (i < n && (http_class[(unsigned char)p[i]] & HTTP_TCHAR)) {
        if (i < FIELD_FOLD) {
            char c = p[i];
            u = u || c == '_';
            fold[i] = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        i++;
    }
    *under = u;
    return i;
}

#if defined(__SSE2__)
/* Sixteen bytes of a name: which of them are not a letter, digit, '-' or '_'; and the bytes folded. */
static inline unsigned scan_name_16(const char *p, __m128i *folded, unsigned *under)
{
    const __m128i v = scan_load(p);
    const __m128i lower = _mm_or_si128(v, _mm_set1_epi8(0x20)); /* '_' becomes 0x7f, digits and '-' stay */
    __m128i alpha = _mm_sub_epi8(lower, _mm_set1_epi8('a'));
    alpha = _mm_cmpeq_epi8(_mm_min_epu8(alpha, _mm_set1_epi8(25)), alpha);
    __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
    digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
    const __m128i hyphen = _mm_set1_epi8('-');
    __m128i line = _mm_cmpeq_epi8(v, _mm_set1_epi8('_'));
    __m128i good = _mm_or_si128(_mm_or_si128(alpha, digit), _mm_or_si128(_mm_cmpeq_epi8(v, hyphen), line));
    *under = (unsigned)_mm_movemask_epi8(line);
    *folded = _mm_or_si128(_mm_andnot_si128(line, lower), _mm_and_si128(line, hyphen));
    return ~(unsigned)_mm_movemask_epi8(good) & 0xffffu;
}

/* The first k bytes of v, zeros behind. */
static inline __m128i scan_keep(__m128i v, unsigned k)
{
    static const uint8_t mask[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    return _mm_and_si128(v, _mm_loadu_si128((const __m128i *)(const void *)(mask + 16 - k)));
}
#endif

static inline size_t scan_name(const char *p, size_t n, char fold[FIELD_FOLD], bool *under)
{
#if defined(__SSE2__)
    __m128i a, b = _mm_setzero_si128();
    unsigned under_a, under_b = 0, stop, k = 16;
    if (n < 16) return scan_name_portable(p, n, fold, under);
    stop = scan_name_16(p, &a, &under_a);
    if (stop) {
        k = (unsigned)__builtin_ctz(stop);
        a = scan_keep(a, k);
        under_a &= (1u << k) - 1;
    } else {
        if (n < 32) return scan_name_portable(p, n, fold, under);
        stop = scan_name_16(p + 16, &b, &under_b);
        if (!stop) return scan_name_portable(p, n, fold, under);
        unsigned m = (unsigned)__builtin_ctz(stop);
        b = scan_keep(b, m);
        under_b &= (1u << m) - 1;
        k += m;
    }
    /* another token character (RFC 9110 has fifteen signs): rare, let the table look */
    if (http_class[(unsigned char)p[k]] & HTTP_TCHAR) return scan_name_portable(p, n, fold, under);
    _mm_storeu_si128((__m128i *)(void *)fold, a);
    _mm_storeu_si128((__m128i *)(void *)(fold + 16), b);
    *under = (under_a | under_b) != 0;
    return k;
#else
    return scan_name_portable(p, n, fold, under);
#endif
}

#endif
