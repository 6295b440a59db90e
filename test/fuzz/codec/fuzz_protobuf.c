/* Whatever is accepted can be written again, and is read back the same; nothing is read behind the end. */
#include "codec/protobuf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) abort();
}

static void write_field(struct buf *b, const struct protobuf_field *f)
{
    switch (f->wire) {
    case PROTOBUF_VARINT: protobuf_uint(b, f->number, f->value); break;
    case PROTOBUF_FIXED64: protobuf_fixed64(b, f->number, f->value); break;
    case PROTOBUF_FIXED32: protobuf_fixed32(b, f->number, (uint32_t)f->value); break;
    case PROTOBUF_BYTES: protobuf_bytes(b, f->number, f->bytes); break;
    }
}

static void message(str in, unsigned depth)
{
    struct buf b;
    struct protobuf_field f, g;
    str rest = in;
    buf_init(&b, 1 << 20);
    while (protobuf_next(&rest, &f) == ERR_OK) {
        check(f.number > 0 && f.number < 1u << 29 && rest.n <= in.n);
        size_t from = b.n;
        write_field(&b, &f);
        check(!b.bad);
        str back = str_from(buf_str(&b), from);
        check(protobuf_next(&back, &g) == ERR_OK && back.n == 0);
        check(g.number == f.number && g.wire == f.wire);
        check(f.wire == PROTOBUF_BYTES ? str_eq(f.bytes, g.bytes) : f.value == g.value);
        if (f.wire != PROTOBUF_BYTES) continue;
        size_t opened = protobuf_open(&b, f.number);
        protobuf_text(&b, 1, f.bytes);
        protobuf_close(&b, opened);
        if (depth < 8) message(f.bytes, depth + 1);
    }
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    message(str_make((const char *)data, size), 0);
    return 0;
}
