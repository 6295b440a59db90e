/* HTTP/1.x without I/O (RFC 9112): heads in, model out; the chunked coding both ways; heads written anew.
 *
 * Strict: what two readers could take differently is refused, and what is accepted is a subset of what Node's llhttp
 * accepts, with the same borders (a differential test holds us to it). In particular:
 * - Lines end in CRLF. Bare LF, bare CR, NUL and other controls, obs-fold, a space before the colon are refused.
 * - Versions 1.0 and 1.1; methods of method_known without CONNECT.
 * - Targets: "/path?query" in RFC 3986's characters and '[' ']' (what is raw and not of these must be percent-encoded:
 *   " # < > \ ^ ` { | } and all but visible ASCII); http:// and https:// with an authority that equals Host; "*" for
 *   OPTIONS. What the path means is for codec/url.h.
 * - Host: one that url_authority accepts; HTTP/1.0 may leave it out (then the authority is empty, or the target's).
 * - Content-Length: once, digits, no leading zero, below 2^63. Transfer-Encoding: once, "chunked", HTTP/1.1. Not both.
 * - Connection: at most 32 tokens a message. No tab behind it or the two above: llhttp does not trim it there.
 * - Expect: once, 100-continue; heeded in HTTP/1.1 if a body follows.
 * - Names with '_' for '-' ("Content_Length") frame nothing.
 * Slices of the result borrow from the input. */
#ifndef SALLYPORT_HTTP_H1_H
#define SALLYPORT_HTTP_H1_H

#include "http/message.h"

enum http_fault {
    HTTP_FAULT_NONE = 0,
    HTTP_FAULT_REQUEST_LINE,
    HTTP_FAULT_STATUS_LINE,
    HTTP_FAULT_METHOD, /* CONNECT, or a method outside method_known: 501 */
    HTTP_FAULT_TARGET,
    HTTP_FAULT_VERSION,       /* not HTTP/1.0 or 1.1: 400 */
    HTTP_FAULT_VERSION_MAJOR, /* HTTP/2.0 and up: 505 */
    HTTP_FAULT_LINE_END,      /* bare LF, bare CR */
    HTTP_FAULT_FIELD_NAME,
    HTTP_FAULT_FIELD_VALUE,
    HTTP_FAULT_FOLD,
    HTTP_FAULT_HOST,
    HTTP_FAULT_CONTENT_LENGTH,
    HTTP_FAULT_TRANSFER_ENCODING,
    HTTP_FAULT_CODING,      /* well-formed, a registered compression before "chunked": 501 */
    HTTP_FAULT_FRAMING,     /* Content-Length with Transfer-Encoding */
    HTTP_FAULT_EXPECT,      /* an expectation other than 100-continue: 417 */
    HTTP_FAULT_HEAD_SIZE,   /* 431 */
    HTTP_FAULT_TARGET_SIZE, /* 414 */
    HTTP_FAULT_FIELD_COUNT, /* 431 */
    HTTP_FAULT_CHUNK,       /* chunk size, extension, or missing CRLF */
    HTTP_FAULT_TRAILER,
    HTTP_FAULT_LATE, /* of a server connection: the head did not end in time; 408 */
    HTTP_FAULT_MEMORY
};
const char *http_fault_name(enum http_fault f); /* "content_length" */
uint16_t http_fault_status(enum http_fault f);  /* 400, 408, 414, 417, 431, 501, 505; 500 for MEMORY */

struct h1_limits {
    uint32_t max_head;   /* bytes of the whole head, default 16384 */
    uint32_t max_target; /* bytes of the request target, default 8192 */
    uint32_t max_fields; /* default 100 */
};
extern const struct h1_limits h1_limits_default;

/* How the body of a message is delimited. */
enum h1_framing { H1_NO_BODY = 0, H1_LENGTH, H1_CHUNKED, H1_UNTIL_CLOSE };

struct h1_head {
    size_t size;             /* bytes of the head, its empty line included */
    enum h1_framing framing; /* a length of 0 is H1_NO_BODY */
    bool keep_alive;         /* the message allows another behind it */
};

/* Remembers how far an incomplete head was looked at; {0} before the first call for a message. */
struct h1_scan {
    size_t seen;
};

/* Parses the request head that `in` begins with (leading empty lines: at most one CRLF is passed over).
 * `out->fields.v` must have room for limits->max_fields (out->fields.cap). Costs one pass over the bytes, and for
 * a head that trickles in, at most two looks at each byte more. Unless ERR_OK nothing but fields.v is written.
 * ERR_AGAIN: more bytes needed. ERR_MALFORMED / ERR_LIMIT / ERR_UNSUPPORTED with *fault: answer and close. */
MUST_USE enum err h1_parse_request(str in, struct h1_scan *scan, const struct h1_limits *limits, struct request *out,
                                   struct h1_head *head, enum http_fault *fault);

/* The same for a response to a request of method `to`. No empty line before it; status 100..599; the reason and the
 * blank before it may be missing. Responses to HEAD and 1xx, 204 and 304 have H1_NO_BODY and body 0 whatever they
 * announce (Content-Length stays among the fields); 1xx and 204 that announce a coding are refused, such that announce
 * a length are the last on their connection (keep_alive false), and so is 101. */
MUST_USE enum err h1_parse_response(str in, struct h1_scan *scan, const struct h1_limits *limits, enum method to,
                                    struct response *out, struct h1_head *head, enum http_fault *fault);

/* --- the chunked coding, decoded in place of nothing: data is returned as slices of the input --- */
struct h1_chunked {
    uint64_t left; /* bytes of the current chunk still to come */
    uint8_t state; /* private to h1_chunked.c; 0 at the start */
    uint8_t digits;
    uint32_t trailer; /* bytes of the trailer section that were looked at */
};

/* Eats from `in`: *used bytes are done with; *data is the body bytes among them (may be empty). ERR_OK with
 * *end == false: call again with what is left (if *used == 0 and data is empty: more input needed).
 * *end == true: the last chunk and the trailer section are done; trailers (if not NULL) holds the fields, borrowed
 * from `in`: the trailer section is only consumed when it is whole. Chunk extensions are refused, and sizes of more
 * than 16 digits or from 2^63 on. Trailers: 32 fields, 8 kB (HTTP_FAULT_FIELD_COUNT, _HEAD_SIZE); of class FIELD_HOP:
 * refused; of others than FIELD_PLAIN: marked as dropped.
 * ERR_MALFORMED / ERR_LIMIT with *fault; not to be called again then. */
MUST_USE enum err h1_chunked_decode(struct h1_chunked *c, str in, const struct h1_limits *limits, size_t *used,
                                    str *data, bool *end, struct fields *trailers, enum http_fault *fault);

/* "1a4\r\n" for a chunk of n bytes; returns the length (at most 18). */
#define H1_CHUNK_LINE_MAX 18
size_t h1_chunk_line(char out[H1_CHUNK_LINE_MAX], uint64_t n);

/* --- writing --- */
/* A fixed room that a head is written into. ok goes false when it is too small or a value is refused. */
struct h1_out {
    char *p;
    size_t n, cap;
    bool ok;
};
/* Each checks the room. Names are trusted to be tokens; a value with a control character in it is not written and ok
 * goes false. What h1_out_raw is given is trusted whole. */
void h1_out_request_line(struct h1_out *o, str method, str path, str query, bool has_query);
void h1_out_status_line(struct h1_out *o, uint16_t status); /* our own reason phrase */
void h1_out_field(struct h1_out *o, str name, str value);
void h1_out_field_u64(struct h1_out *o, str name, uint64_t value);
void h1_out_raw(struct h1_out *o, str bytes);
void h1_out_end(struct h1_out *o);
str http_reason(uint16_t status); /* "Not Found"; "" when unknown */

#endif
