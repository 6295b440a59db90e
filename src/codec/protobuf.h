/* The wire format of Protocol Buffers, as far as the messages need it that we speak: varints, fixed numbers, bytes,
 * messages in messages (protobuf.dev/programming-guides/encoding). No groups, no schema, no reflection.
 *
 * The writer appends to a capped buffer, whose stickiness is its error handling; the reader walks the fields of one
 * message without copying and never recurses: who wants what lies inside a field reads it as a message of its own. */
#ifndef SALLYPORT_CODEC_PROTOBUF_H
#define SALLYPORT_CODEC_PROTOBUF_H

#include "base/buf.h"

/* --- writing --- */
void protobuf_uint(struct buf *b, uint32_t field, uint64_t v); /* uint32, uint64, bool, enum */
void protobuf_int(struct buf *b, uint32_t field, int64_t v);   /* int64: ten bytes when negative */
void protobuf_fixed64(struct buf *b, uint32_t field, uint64_t v);
void protobuf_fixed32(struct buf *b, uint32_t field, uint32_t v);
void protobuf_bytes(struct buf *b, uint32_t field, str v);
/* A string must be UTF-8 (a reader may refuse the whole message otherwise): what is not becomes U+FFFD. */
void protobuf_text(struct buf *b, uint32_t field, str v);

/* A message within: what is appended between the two is its content. */
size_t protobuf_open(struct buf *b, uint32_t field);
void protobuf_close(struct buf *b, size_t opened);

/* --- reading --- */
enum protobuf_wire { PROTOBUF_VARINT = 0, PROTOBUF_FIXED64 = 1, PROTOBUF_BYTES = 2, PROTOBUF_FIXED32 = 5 };

struct protobuf_field {
    uint32_t number; /* 1 … 2^29 - 1 */
    enum protobuf_wire wire;
    uint64_t value; /* of the three kinds of number */
    str bytes;      /* of PROTOBUF_BYTES: a slice of the message */
};

/* The next field of *rest, which goes on behind it. ERR_NOT_FOUND: there is none left. ERR_MALFORMED: cut, a varint of
 * more than 64 bits, a number out of range, a group. */
MUST_USE enum err protobuf_next(str *rest, struct protobuf_field *out);

#endif
