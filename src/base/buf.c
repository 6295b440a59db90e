#include "base/buf.h"

#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->bad = false;
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->bad) return NULL;
    if (LIKELY(b->p && b->cap - b->n >= n)) return b->p + b->n;
    if (n > b->max - b->n) {
        b->bad = true;
        return NULL;
    }
    size_t cap = b->cap ? b->cap : 256;
    while (cap < b->n + n) cap = cap < SIZE_MAX / 2 ? cap * 2 : b->n + n;
    if (cap > b->max) cap = b->max;
    char *p = realloc(b->p, cap);
    if (!p) {
        b->bad = true;
        return NULL;
    }
    b->p = p;
    b->cap = cap;
    return p + b->n;
}

void buf_put(struct buf *b, str s)
{
    char *p = s.n ? buf_room(b, s.n) : NULL;
    if (!p) return;
    memcpy(p, s.p, s.n);
    b->n += s.n;
}

void buf_putc(struct buf *b, char c)
{
    char *p = buf_room(b, 1);
    if (!p) return;
    *p = c;
    b->n++;
}

void buf_puts(struct buf *b, const char *z)
{
    buf_put(b, str_of(z));
}

void buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *p = n >= 0 ? buf_room(b, (size_t)n + 1) : NULL; /* vsnprintf ends with a NUL that is not counted */
    if (p) {
        vsnprintf(p, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    buf_vprintf(b, fmt, args);
    va_end(args);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
    char d[20];
    size_t n = 0;
    do {
        d[sizeof d - ++n] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_put(b, str_make(d + sizeof d - n, n));
}

void buf_put_json(struct buf *b, str s)
{
    static const char hex[] = "0123456789abcdef";
    size_t from = 0, i = 0;
    while (i < s.n) {
        unsigned char c = (unsigned char)s.p[i];
        size_t len = c < 0x80 ? 1 : utf8_length(str_from(s, i));
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && len) {
            i += len;
            continue;
        }
        buf_put(b, str_make(s.p + from, i - from));
        if (c == '"' || c == '\\') {
            buf_putc(b, '\\');
            buf_putc(b, (char)c);
        } else if (c == '\n') {
            buf_puts(b, "\\n");
        } else if (c < 0x80) {
            buf_puts(b, "\\u00");
            buf_putc(b, hex[c >> 4]);
            buf_putc(b, hex[c & 15]);
        } else {
            buf_puts(b, "\\ufffd");
        }
        from = ++i;
    }
    if (from < s.n) buf_put(b, str_make(s.p + from, s.n - from));
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->n) {
        b->n = 0;
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}
