/* Private to http: interning of a name that is folded already (scan.h). */
#ifndef SALLYPORT_HTTP_FIELD_NAME_H
#define SALLYPORT_HTTP_FIELD_NAME_H

#include "http/message.h"
#include "http/scan.h"

/* n is the length of the whole name; fold holds its first FIELD_FOLD characters as scan_name writes them. */
enum field_id field_intern_folded(const char fold[FIELD_FOLD], size_t n);

/* A field line begins at p and at least 2 * 16 bytes may be read there: if it begins with a name we know and a colon,
 * that name's id, its length and whether it is a twin. FIELD_OTHER: look at it the long way. It looks at the sixteen
 * or thirty-two bytes at once and asks of none of them what it may be: equal to a name we know is good enough. */
#if defined(__SSE2__)
enum field_id field_intern_line(const char *p, size_t *n, bool *twin);
#else
static inline enum field_id field_intern_line(const char *p, size_t *n, bool *twin)
{
    (void)p, (void)n, (void)twin;
    return FIELD_OTHER;
}
#endif

#endif
