/* URLs and paths: one canonical form of a path, allowed bytes of a query, our own strict absolute URLs.
 *
 * A path that a client sends is either brought into one canonical form, which decides and is what is forwarded,
 * or it is refused. Nothing here opens a connection or knows what a path means. Slices borrow from the input or
 * live in the given arena. */
#ifndef SALLYPORT_CODEC_URL_H
#define SALLYPORT_CODEC_URL_H

#include "base/arena.h"

/* What a byte may stand for; url_class[byte] is a set of these. */
enum {
    URL_UNRESERVED = 1, /* RFC 3986 §2.3 */
    URL_PATH = 2,       /* may stand raw in a canonical path: unreserved, sub-delims without ';', and : @ / */
    URL_TARGET = 4,     /* may stand raw in a request target or query: URL_PATH and ; ? % [ ] */
    URL_HEX = 8,
    URL_HOST = 16 /* letters, digits, '-' and '_' */
};
extern const uint8_t url_class[256];

enum path_fault {
    PATH_FAULT_NONE = 0,
    PATH_FAULT_FORM,    /* does not begin with '/' */
    PATH_FAULT_BYTE,    /* a raw byte that may not stand in a path (non-ASCII, blank, \ " < > ^ ` { | } [ ] ? #) */
    PATH_FAULT_ESCAPE,  /* '%' without two hex digits */
    PATH_FAULT_ENCODED, /* %2f, %5c, %00, another encoded control */
    PATH_FAULT_DOUBLE,  /* %25 with two hex digits behind it: decoding twice would tell another path */
    PATH_FAULT_EMPTY_SEGMENT, /* "//" */
    PATH_FAULT_DOT_SEGMENT,   /* "." or "..", encoded or not */
    PATH_FAULT_TRAILING_DOT,  /* a segment that ends in '.': some file systems do not see the dot */
    PATH_FAULT_PARAMETER,     /* ';' or %3b: some applications cut the segment there */
    PATH_FAULT_UTF8,          /* escapes above %7f that are not well-formed UTF-8 */
    PATH_FAULT_MEMORY
};
const char *path_fault_name(enum path_fault f); /* "dot_segment" */

/* The one form of an absolute path (RFC 3986 §6.2.2): escapes of unreserved characters are decoded, the hex digits
 * of the others are upper case; everything that two readers may take differently is refused. Letters keep their
 * case and a trailing slash stays: "/a", "/A" and "/a/" are three paths. Escapes of the reserved characters that
 * may also stand raw (%3A and ':') stay apart too, as RFC 3986 §2.2 has it; see path_literal_ok.
 * A path that has the form already is returned as it is, without a copy; otherwise the copy is in `mem`.
 * ERR_MALFORMED, ERR_NO_MEMORY; fault may be NULL. Idempotent. */
MUST_USE enum err path_canonical(str raw, struct arena *mem, str *out, enum path_fault *fault);

/* Whether a segment written in configuration has no second spelling: only unreserved characters. A literal such as
 * "orders:pay" could also arrive as "orders%3Apay", which is another canonical path but the same to an application. */
bool path_literal_ok(str segment);

/* Decodes every escape of a segment or query value that is to be looked at, not forwarded. Without '%' the input
 * itself is returned. ERR_MALFORMED (bad escape, or NUL comes out), ERR_NO_MEMORY. */
MUST_USE enum err percent_decode(str s, struct arena *mem, str *out);

/* Whether a query (without its '?') may be passed on: RFC 3986 §3.4 and '[' ']', which form libraries send raw.
 * Escapes in it are not looked at. */
bool url_query_ok(str query);

/* --- hosts --- */

enum host_kind { HOST_NAME = 0, HOST_IPV4, HOST_IPV6 };

/* A host name (letters, digits, '-', '_', labels of 1..63, 253 in all, one dot may end it), a canonical dotted quad,
 * or an IPv6 address in brackets without a zone. What other software might read as a number ("1", "0x7f.1",
 * "010.0.0.1") is refused. */
MUST_USE enum err url_host(str host, enum host_kind *kind);

struct authority {
    str host; /* IPv6 without its brackets */
    enum host_kind kind;
    uint16_t port; /* 0: none was given */
};
/* HOST or HOST:PORT, port 1..65535 without leading zeros. No userinfo. ERR_MALFORMED. */
MUST_USE enum err url_authority(str s, struct authority *out);

/* --- absolute URLs of our own outbound calls --- */

#define URL_MAX 2048

enum url_fault {
    URL_FAULT_NONE = 0,
    URL_FAULT_SIZE,
    URL_FAULT_SCHEME,   /* neither http:// nor https:// */
    URL_FAULT_USERINFO, /* '@' in the authority */
    URL_FAULT_HOST,     /* host or port */
    URL_FAULT_PATH,     /* a byte or escape that may not stand there */
    URL_FAULT_FRAGMENT
};
const char *url_fault_name(enum url_fault f); /* "userinfo" */

struct url {
    bool tls;      /* https */
    str authority; /* as written: what Host says */
    str host;      /* IPv6 without its brackets */
    enum host_kind kind;
    uint16_t port; /* 80 or 443 when none was given */
    str target;    /* path and query as written; "/" when there is no path and no query */
    str path;      /* "/" when empty */
    str query;
    bool has_query;
};

/* A whole absolute URL. A query without a path ("http://h?x") is refused. ERR_MALFORMED, ERR_LIMIT (SIZE). */
MUST_USE enum err url_parse(str s, struct url *out, enum url_fault *fault);

#endif
