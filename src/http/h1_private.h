/* Private to the HTTP/1 parser: field lines and what they say of the message as a whole. */
#ifndef SALLYPORT_HTTP_H1_PRIVATE_H
#define SALLYPORT_HTTP_H1_PRIVATE_H

#include "http/h1.h"

struct h1_cursor {
    const char *p, *end;
};

/* What the fields of a head say of its message, gathered on the way. */
struct h1_facts {
    str host;
    uint64_t length;
    uint8_t hosts; /* each counts to 1; a second one is refused */
    uint8_t lengths;
    uint8_t codings;
    uint8_t expects;
    uint8_t options; /* members of Connection, bounded */
    bool close, keep_alive, upgrade;
    bool request;
};

/* Sets the fault and gives the kind of failure that belongs to it. */
enum err h1_refuse(enum http_fault f, enum http_fault *fault);

/* Whether a head that was incomplete when scan->seen of its bytes were there is worth another parse: its end has
 * come, or something that cannot stand in a head. Looks at no byte twice. */
bool h1_worth_parsing(str in, const struct h1_scan *scan);

/* At p only the end of a line (CRLF) may stand; the cursor goes behind it. Another byte is the fault `otherwise`. */
enum err h1_line_end(struct h1_cursor *c, const char *p, enum http_fault otherwise, enum http_fault *fault);

/* Field lines up to and with the empty line (RFC 9112 §5). `facts` NULL: a trailer section, in which fields that
 * frame or route a message are refused and others that are not FIELD_PLAIN are marked as dropped.
 * ERR_AGAIN: the empty line is not there yet. */
enum err h1_field_lines(struct h1_cursor *c, uint32_t max, struct fields *out, struct h1_facts *facts,
                        enum http_fault *fault);

#endif
