/* A growable byte buffer that cannot be made without a maximum.
 *
 * Errors are sticky: after one failed append `bad` is set and every later append does nothing, so that a
 * writer checks once at its end. Owner: whoever embeds the struct; buf_free releases. */
#ifndef SALLYPORT_BASE_BUF_H
#define SALLYPORT_BASE_BUF_H

#include "base/str.h"

#include <stdarg.h>

struct buf {
    char *p;
    size_t n;   /* bytes in use */
    size_t cap; /* bytes allocated */
    size_t max; /* hard bound on n */
    bool bad;   /* an append was refused (bound or memory): the content is not whole */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);

/* n = 0 and bad = false; keeps the memory. */
void buf_clear(struct buf *b);

void buf_put(struct buf *b, str s);
void buf_putc(struct buf *b, char c);
void buf_puts(struct buf *b, const char *z);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
void buf_put_u64(struct buf *b, uint64_t v);

/* The inside of a JSON string (no quotes): escapes quote, backslash and controls; bytes that are not UTF-8
 * become U+FFFD, so that the line always parses. */
void buf_put_json(struct buf *b, str s);

/* Room for n more bytes at b->p + b->n, or NULL (and bad is set). The caller adds to b->n what it wrote. */
char *buf_room(struct buf *b, size_t n);

/* Drops the first n bytes (moves the rest). */
void buf_consume(struct buf *b, size_t n);

static inline str buf_str(const struct buf *b)
{
    return str_make(b->p, b->n);
}

#endif
