#include "base/log_line.h"

#include "base/clock.h"
#include "base/utf8.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* Two digits at a time. */
static const char pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static size_t digits_of(uint64_t v)
{
    if (v < 10000) return v < 10 ? 1 : v < 100 ? 2 : v < 1000 ? 3 : 4;
    size_t n = 4;
    while ((v /= 10) >= 1000) n++;
    return n;
}

void log_line_u64(struct log_line *l, uint64_t v)
{
    size_t n = digits_of(v);
    if (UNLIKELY(n > l->cap - l->n)) {
        l->cut = true;
        return;
    }
    char *p = l->p + (l->n += n);
    for (; v >= 100; v /= 100) memcpy(p -= 2, pairs + 2 * (v % 100), 2);
    if (v >= 10)
        memcpy(p - 2, pairs + 2 * v, 2);
    else
        p[-1] = (char)('0' + v);
}

void log_line_i64(struct log_line *l, int64_t v)
{
    if (v < 0) log_line_lit(l, "-");
    log_line_u64(l, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

/* Eight bytes at once: whether each is 0x20..0x7e and neither quote nor backslash. */
static inline bool plain8(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t quote = w ^ ones * '"', back = w ^ ones * '\\';
    /* A byte's high bit is set by: being 0x7f or above; being below 0x20; having become zero. A carry or borrow out of
     * a byte can only come from one that is a hit itself. */
    return !((w | (w + ones) | (w - ones * 0x20) | ((quote - ones) & ~quote) | ((back - ones) & ~back)) & high);
}

#if defined(__SSE2__)
/* Sixteen bytes at once, the same question. As signed numbers the bytes from 0x80 on lie below 0x20, too. */
static inline bool plain16(__m128i v)
{
    __m128i odd = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
    __m128i mark = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return _mm_movemask_epi8(_mm_or_si128(odd, mark)) == 0;
}

/* At least sixteen bytes of s as long as they are plain; how many. */
static inline size_t copy_plain16(char *to, str s)
{
    size_t i = 0;
    __m128i v;
    for (; i + 16 <= s.n; i += 16) {
        v = _mm_loadu_si128((const __m128i *)(const void *)(s.p + i));
        if (!plain16(v)) return i;
        _mm_storeu_si128((__m128i *)(void *)(to + i), v);
    }
    v = _mm_loadu_si128((const __m128i *)(const void *)(s.p + s.n - 16)); /* some of them for the second time */
    if (!plain16(v)) return i;
    _mm_storeu_si128((__m128i *)(void *)(to + s.n - 16), v);
    return s.n;
}
#endif

static inline bool plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* All of s, of fewer than eight bytes, if it is plain. */
static inline bool copy_short(char *to, str s)
{
    uint32_t head, tail;
    if (s.n < 4) {
        for (size_t i = 0; i < s.n; i++) {
            if (!plain((unsigned char)s.p[i])) return false;
            to[i] = s.p[i];
        }
        return true;
    }
    memcpy(&head, s.p, 4);
    memcpy(&tail, s.p + s.n - 4, 4); /* overlaps the head */
    if (!plain8((uint64_t)tail << 32 | head)) return false;
    memcpy(to, &head, 4);
    memcpy(to + s.n - 4, &tail, 4);
    return true;
}

/* Copies the plain beginning of s to `to`; its length. */
static size_t copy_plain(char *to, str s)
{
    size_t i = 0;
#if defined(__SSE2__)
    if (s.n >= 16) {
        i = copy_plain16(to, s);
        if (LIKELY(i == s.n)) return i;
    } else if (s.n >= 8) { /* both ends, which may meet in the middle */
        uint64_t a, b;
        memcpy(&a, s.p, 8);
        memcpy(&b, s.p + s.n - 8, 8);
        if (LIKELY(plain16(_mm_set_epi64x((long long)b, (long long)a)))) {
            memcpy(to, &a, 8);
            memcpy(to + s.n - 8, &b, 8);
            return s.n;
        }
    } else if (copy_short(to, s)) {
        return s.n;
    }
#else
    uint64_t w;
    if (s.n < 8) {
        if (copy_short(to, s)) return s.n;
    } else {
        for (; i + 8 <= s.n; i += 8) {
            memcpy(&w, s.p + i, 8);
            if (!plain8(w)) break;
            memcpy(to + i, &w, 8);
        }
        if (i + 8 > s.n) {
            memcpy(&w, s.p + s.n - 8, 8); /* the last eight, some of them for the second time */
            if (plain8(w)) {
                memcpy(to + s.n - 8, &w, 8);
                return s.n;
            }
        }
    }
#endif
    for (; i < s.n && plain((unsigned char)s.p[i]); i++) to[i] = s.p[i];
    return i;
}

bool log_line_deceives(const char *p, size_t len)
{
    const unsigned char *u = (const unsigned char *)p;
    if (len == 2) return u[0] == 0xc2 && u[1] < 0xa0;
    if (len != 3) return false;
    if (u[0] == 0xe2 && u[1] == 0x80) return (u[2] >= 0x8b && u[2] <= 0x8f) || (u[2] >= 0xa8 && u[2] <= 0xae);
    if (u[0] == 0xe2 && u[1] == 0x81) return u[2] >= 0xa0 && u[2] <= 0xaf;
    return u[0] == 0xef && u[1] == 0xbb && u[2] == 0xbf;
}

/* The escape for the character of `len` bytes at p (0: not UTF-8), at most 6 bytes; its length, or 0: as it is. */
static size_t escape(char out[6], const char *p, size_t len, bool visible)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)*p;
    unsigned code;
    if (len == 0)
        code = 0xfffd;
    else if (c == '"' || c == '\\' || c == '\n') {
        out[0] = '\\';
        out[1] = c == '\n' ? 'n' : (char)c;
        return 2;
    } else if (c < 0x20 || c == 0x7f)
        code = c;
    else if (visible && len == 2 && log_line_deceives(p, len))
        code = (unsigned char)p[1];
    else if (visible && len == 3 && log_line_deceives(p, len))
        code = (c & 15u) << 12 | ((unsigned char)p[1] & 63u) << 6 | ((unsigned char)p[2] & 63u);
    else
        return 0;
    out[0] = '\\';
    out[1] = 'u';
    for (int i = 0; i < 4; i++) out[2 + i] = hex[code >> (12 - 4 * i) & 15];
    return 6;
}

/* From the first character on that is not plain, or that may not have room. */
static __attribute__((noinline)) void json_slow(struct log_line *l, str s, size_t room, bool visible)
{
    char *to = l->p + l->n;
    size_t used = 0;
    for (size_t i = 0; i < s.n;) {
        char e[6];
        size_t len = utf8_length(str_from(s, i));
        size_t n = escape(e, s.p + i, len, visible);
        const char *from = n ? e : s.p + i;
        if (!n) n = len;
        if (n > room - used) {
            l->cut = true;
            break;
        }
        memcpy(to + used, from, n);
        used += n;
        i += len ? len : 1;
    }
    l->n += used;
}

void log_line_json(struct log_line *l, str s, size_t max_out, bool visible)
{
    size_t room = l->cap - l->n, done = 0;
    if (room > max_out) room = max_out;
    if (LIKELY(s.n <= room)) {
        done = copy_plain(l->p + l->n, s);
        l->n += done;
        if (LIKELY(done == s.n)) return;
    }
    json_slow(l, str_from(s, done), room - done, visible);
}

void log_line_word(struct log_line *l, str s, size_t max_out)
{
    bool word = s.n > 0 && s.n <= max_out;
    for (size_t i = 0; word && i < s.n; i++) word = plain((unsigned char)s.p[i]) && s.p[i] != ' ' && s.p[i] != '=';
    if (word) {
        log_line_raw(l, s);
        return;
    }
    log_line_lit(l, "\"");
    log_line_json(l, s, max_out, true);
    log_line_lit(l, "\"");
}

void log_line_time(struct log_line *l, uint64_t unix_ms)
{
    static _Thread_local uint64_t second = UINT64_MAX;
    static _Thread_local char text[CLOCK_RFC3339_LEN];
    uint64_t s = unix_ms / 1000;
    unsigned ms = (unsigned)(unix_ms % 1000);
    if (UNLIKELY(s != second)) {
        clock_rfc3339(text, s * 1000);
        second = s;
    }
    if (UNLIKELY(sizeof text > l->cap - l->n)) {
        l->cut = true;
        return;
    }
    char *p = l->p + l->n;
    memcpy(p, text, 20); /* and not changed before it is read again: that would make the processor wait */
    p[20] = (char)('0' + ms / 100);
    p[21] = (char)('0' + ms / 10 % 10);
    p[22] = (char)('0' + ms % 10);
    p[23] = 'Z';
    l->n += sizeof text;
}

/* --- redaction --- */
static bool base64url(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static size_t run(str s, size_t at, bool (*in)(char))
{
    size_t n = 0;
    while (at + n < s.n && in(s.p[at + n])) n++;
    return n;
}

/* The length of the compact JWS that begins at `at`, 0 if none does. The header is the base64url of `{"`. A token
 * without its last part (cut off, or unsigned) counts too. */
static size_t jws_at(str s, size_t at)
{
    if (!str_starts(str_from(s, at), STR("eyJ"))) return 0;
    size_t head = run(s, at, base64url);
    if (head < 8 || at + head >= s.n || s.p[at + head] != '.') return 0;
    size_t payload = run(s, at + head + 1, base64url);
    if (payload < 8) return 0;
    size_t n = head + 1 + payload;
    if (at + n < s.n && s.p[at + n] == '.') n += 1 + run(s, at + n + 1, base64url);
    return n;
}

/* API keys: sp_<env 1..12>_<id 8..16>_<16 or more>. Refresh tokens: sr_<session 16>_<16 or more>. Apisecrets: ss_<32 or
 * more>. */
static size_t key_at(str s, size_t at)
{
    static const struct {
        str mark;
        size_t n_parts;
        struct {
            size_t min, max;
        } part[3];
    } kinds[] = {{STR_INIT("sp_"), 3, {{1, 12}, {8, 16}, {16, SIZE_MAX}}},
                 {STR_INIT("sr_"), 2, {{16, 16}, {16, SIZE_MAX}}},
                 {STR_INIT("ss_"), 1, {{32, SIZE_MAX}}}};
    size_t k = 0, n = 3;
    while (k < ARRAY_LEN(kinds) && !str_starts(str_from(s, at), kinds[k].mark)) k++;
    if (k == ARRAY_LEN(kinds)) return 0;
    for (size_t i = 0;; i++) {
        size_t len = run(s, at + n, alnum);
        if (len < kinds[k].part[i].min || len > kinds[k].part[i].max) return 0;
        n += len;
        if (i + 1 == kinds[k].n_parts) return n;
        if (at + n >= s.n || s.p[at + n] != '_') return 0;
        n++;
    }
}

/* Where the next secret begins, from `from` on; s.n when there is none. */
static size_t find_secret(str s, size_t from, size_t *len)
{
    for (size_t i = from; i + LOG_SECRET_MIN <= s.n; i++) {
        if (s.p[i] != 'e' && s.p[i] != 's') continue;
        *len = s.p[i] == 'e' ? jws_at(s, i) : key_at(s, i);
        if (*len) return i;
    }
    return s.n;
}

/* Whether a token's or a key's first three characters stand in s, found by the last of them, the rarest. Most values
 * are cleared by two scans at the speed of memory. */
static bool holds(str s, char first, const char *second, char third)
{
    for (const char *p = s.p + 2, *end = s.p + s.n; (p = memchr(p, third, (size_t)(end - p))); p++)
        if (p[-2] == first && p[-1] && strchr(second, p[-1])) return true;
    return false;
}

static __attribute__((noinline)) str redact_slow(str s, char *room, size_t cap)
{
    size_t len = 0, at = find_secret(s, 0, &len);
    if (at == s.n) return s;
    struct log_line out = {.p = room, .cap = cap};
    size_t from = 0;
    while (at < s.n && !out.cut) {
        log_line_raw(&out, str_first(str_make(s.p + from, at - from), cap - out.n));
        log_line_lit(&out, "[redacted]");
        from = at + len;
        at = find_secret(s, from, &len);
    }
    if (!out.cut) log_line_raw(&out, str_first(str_from(s, from), cap - out.n));
    return str_make(room, out.n);
}

bool log_may_hold_secret(str s)
{
    return holds(s, 'e', "y", 'J') || holds(s, 's', "prs", '_');
}

str log_redact(str s, char *room, size_t cap)
{
    if (LIKELY(s.n < LOG_SECRET_MIN || !log_may_hold_secret(s))) return s;
    return redact_slow(s, room, cap);
}
