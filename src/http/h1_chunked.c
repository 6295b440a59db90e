/* The chunked coding (RFC 9112 §7.1): a state machine over bytes, the data handed out as slices of the input.
 *
 *   SIZE  --hex digits-->  SIZE  --CR-->  SIZE_LF  --LF, size > 0-->  DATA  --all of it-->  DATA_CR  --CR-->
 *   DATA_LF  --LF-->  SIZE;     SIZE_LF  --LF, size 0-->  TRAILER  --empty line-->  DONE
 *
 * Extensions are refused: nobody needs them and they have hidden requests before. */
#include "http/h1_private.h"

enum { SIZE = 0, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, DONE };

#define DIGITS_MAX         16 /* leading zeros count */
#define TRAILER_BYTES_MAX  8192
#define TRAILER_FIELDS_MAX 32

static enum http_fault size_byte(struct h1_chunked *c, char b)
{
    unsigned v = 0;
    if (b >= '0' && b <= '9') {
        v = (unsigned)(b - '0');
    } else if ((b | 0x20) >= 'a' && (b | 0x20) <= 'f') {
        v = (unsigned)((b | 0x20) - 'a') + 10;
    } else if (b == '\r' && c->digits) {
        c->state = SIZE_LF;
        return c->left > INT64_MAX ? HTTP_FAULT_CHUNK : HTTP_FAULT_NONE;
    } else {
        return b == '\n' ? HTTP_FAULT_LINE_END : HTTP_FAULT_CHUNK;
    }
    if (c->digits++ >= DIGITS_MAX) return HTTP_FAULT_CHUNK;
    c->left = c->left << 4 | v;
    return HTTP_FAULT_NONE;
}

/* One byte of the lines around the data. */
static enum http_fault line_byte(struct h1_chunked *c, char b)
{
    switch (c->state) {
    case SIZE: return size_byte(c, b);
    case SIZE_LF:
        if (b != '\n') return HTTP_FAULT_LINE_END;
        c->state = c->left ? DATA : TRAILER;
        return HTTP_FAULT_NONE;
    case DATA_CR:
        if (b != '\r') return b == '\n' ? HTTP_FAULT_LINE_END : HTTP_FAULT_CHUNK;
        c->state = DATA_LF;
        return HTTP_FAULT_NONE;
    case DATA_LF:
        if (b != '\n') return HTTP_FAULT_LINE_END;
        c->state = SIZE;
        c->digits = 0;
        return HTTP_FAULT_NONE;
    default: return HTTP_FAULT_CHUNK;
    }
}

/* The trailer section, when `in` holds all of it; *size is its length. */
static enum err trailer_read(struct h1_chunked *c, str in, const struct h1_limits *limits, struct fields *out,
                             size_t *size, enum http_fault *fault)
{
    struct h1_scan scan = {c->trailer};
    struct field room[TRAILER_FIELDS_MAX];
    struct fields f = {.v = out ? out->v : room, .cap = out ? out->cap : TRAILER_FIELDS_MAX};
    size_t bound = limits->max_head < TRAILER_BYTES_MAX ? limits->max_head : TRAILER_BYTES_MAX;
    uint32_t max = limits->max_fields < TRAILER_FIELDS_MAX ? limits->max_fields : TRAILER_FIELDS_MAX;
    struct h1_cursor cursor = {in.p, in.p + (in.n < bound ? in.n : bound)};

    /* An empty section is two bytes: shorter than what h1_worth_parsing looks for. */
    bool wait = c->trailer > 1 && c->trailer <= in.n && in.n < bound && !h1_worth_parsing(in, &scan);
    enum err e = wait ? ERR_AGAIN : h1_field_lines(&cursor, max, &f, NULL, fault);
    if (e == ERR_AGAIN && in.n >= bound) return h1_refuse(HTTP_FAULT_HEAD_SIZE, fault);
    if (e == ERR_AGAIN) c->trailer = (uint32_t)in.n;
    if (e != ERR_OK) return e;
    *size = (size_t)(cursor.p - in.p);
    if (out) out->n = f.n;
    return ERR_OK;
}

enum err h1_chunked_decode(struct h1_chunked *c, str in, const struct h1_limits *limits, size_t *used, str *data,
                           bool *end, struct fields *trailers, enum http_fault *fault)
{
    size_t i = 0;
    str got = str_make(in.p, 0);
    while (i < in.n && c->state < TRAILER) {
        if (c->state == DATA) {
            if (got.n) break; /* one slice a call */
            got = str_make(in.p + i, c->left < in.n - i ? (size_t)c->left : in.n - i);
            c->left -= got.n;
            i += got.n;
            if (c->left == 0) c->state = DATA_CR;
            continue;
        }
        enum http_fault f = line_byte(c, in.p[i]);
        if (f) return h1_refuse(f, fault);
        i++;
    }
    if (c->state == TRAILER && i < in.n) {
        size_t size = 0;
        enum err e = trailer_read(c, str_from(in, i), limits, trailers, &size, fault);
        if (e == ERR_OK) {
            c->state = DONE;
            i += size;
        } else if (e != ERR_AGAIN) {
            return e;
        }
    }
    *used = i;
    *data = got;
    *end = c->state == DONE;
    return ERR_OK;
}

size_t h1_chunk_line(char out[H1_CHUNK_LINE_MAX], uint64_t n)
{
    size_t digits = n ? (size_t)(67 - __builtin_clzll(n)) / 4 : 1;
    for (size_t i = digits; i > 0; i--, n >>= 4) out[i - 1] = "0123456789abcdef"[n & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
