#include "codec/protobuf.h"

#include "base/utf8.h"

#include <endian.h>

enum { VARINT_MAX = 10, FIELD_MAX = (1 << 29) - 1 };

static size_t varint(char out[VARINT_MAX], uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) out[n++] = (char)(v | 0x80);
    out[n++] = (char)v;
    return n;
}

static void put_varint(struct buf *b, uint64_t v)
{
    char room[VARINT_MAX];
    buf_put(b, str_make(room, varint(room, v)));
}

static void put_tag(struct buf *b, uint32_t field, enum protobuf_wire wire)
{
    put_varint(b, (uint64_t)field << 3 | (uint64_t)wire);
}

void protobuf_uint(struct buf *b, uint32_t field, uint64_t v)
{
    put_tag(b, field, PROTOBUF_VARINT);
    put_varint(b, v);
}

void protobuf_int(struct buf *b, uint32_t field, int64_t v)
{
    protobuf_uint(b, field, (uint64_t)v);
}

void protobuf_fixed64(struct buf *b, uint32_t field, uint64_t v)
{
    v = htole64(v);
    put_tag(b, field, PROTOBUF_FIXED64);
    buf_put(b, str_make((const char *)&v, sizeof v));
}

void protobuf_fixed32(struct buf *b, uint32_t field, uint32_t v)
{
    v = htole32(v);
    put_tag(b, field, PROTOBUF_FIXED32);
    buf_put(b, str_make((const char *)&v, sizeof v));
}

void protobuf_bytes(struct buf *b, uint32_t field, str v)
{
    put_tag(b, field, PROTOBUF_BYTES);
    put_varint(b, v.n);
    buf_put(b, v);
}

void protobuf_text(struct buf *b, uint32_t field, str v)
{
    if (utf8_valid(v)) {
        protobuf_bytes(b, field, v);
        return;
    }
    size_t opened = protobuf_open(b, field);
    while (v.n) {
        size_t n = utf8_length(v);
        buf_put(b, n ? str_first(v, n) : STR("\xef\xbf\xbd"));
        v = str_from(v, n ? n : 1);
    }
    protobuf_close(b, opened);
}

/* One byte is kept for the length, which is enough for most; a longer one moves what was written meanwhile. */
size_t protobuf_open(struct buf *b, uint32_t field)
{
    put_tag(b, field, PROTOBUF_BYTES);
    buf_putc(b, 0);
    return b->n;
}

void protobuf_close(struct buf *b, size_t opened)
{
    char length[VARINT_MAX];
    if (b->bad) return;
    size_t content = b->n - opened, n = varint(length, content);
    if (n > 1 && !buf_room(b, n - 1)) return;
    memmove(b->p + opened + n - 1, b->p + opened, content);
    memcpy(b->p + opened - 1, length, n);
    b->n += n - 1;
}

/* Ten bytes at most, and of the tenth only its lowest bit: more is no 64-bit number. */
static enum err take_varint(str *rest, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_MAX && i < rest->n; i++) {
        unsigned char c = (unsigned char)rest->p[i];
        if (i == VARINT_MAX - 1 && c > 1) return ERR_MALFORMED;
        v |= (uint64_t)(c & 0x7f) << (7 * i);
        if (c & 0x80) continue;
        *rest = str_from(*rest, i + 1);
        *out = v;
        return ERR_OK;
    }
    return ERR_MALFORMED;
}

static enum err take_bytes(str *rest, size_t n, str *out)
{
    if (n > rest->n) return ERR_MALFORMED;
    *out = str_first(*rest, n);
    *rest = str_from(*rest, n);
    return ERR_OK;
}

static enum err take_value(str *rest, struct protobuf_field *f)
{
    uint64_t n, wide;
    uint32_t narrow;
    str raw;
    switch (f->wire) {
    case PROTOBUF_VARINT: return take_varint(rest, &f->value);
    case PROTOBUF_FIXED64:
        if (take_bytes(rest, sizeof wide, &raw) != ERR_OK) return ERR_MALFORMED;
        memcpy(&wide, raw.p, sizeof wide);
        f->value = le64toh(wide);
        return ERR_OK;
    case PROTOBUF_FIXED32:
        if (take_bytes(rest, sizeof narrow, &raw) != ERR_OK) return ERR_MALFORMED;
        memcpy(&narrow, raw.p, sizeof narrow);
        f->value = le32toh(narrow);
        return ERR_OK;
    case PROTOBUF_BYTES:
        if (take_varint(rest, &n) != ERR_OK || n > rest->n) return ERR_MALFORMED;
        return take_bytes(rest, (size_t)n, &f->bytes);
    }
    return ERR_MALFORMED; /* groups, and what was never given out */
}

enum err protobuf_next(str *rest, struct protobuf_field *out)
{
    struct protobuf_field f = {0};
    str at = *rest;
    uint64_t tag;
    if (!at.n) return ERR_NOT_FOUND;
    if (take_varint(&at, &tag) != ERR_OK || tag >> 3 == 0 || tag >> 3 > FIELD_MAX) return ERR_MALFORMED;
    f.number = (uint32_t)(tag >> 3);
    f.wire = (enum protobuf_wire)(tag & 7);
    if (take_value(&at, &f) != ERR_OK) return ERR_MALFORMED;
    *rest = at;
    *out = f;
    return ERR_OK;
}
