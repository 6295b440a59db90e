/* Private to http: interning of a name that is folded already (scan.h). */
#ifndef SALLYPORT_HTTP_FIELD_NAME_H
#define SALLYPORT_HTTP_FIELD_NAME_H

#include "http/message.h"
#include "http/scan.h"

/* n is the length of the whole name; fold holds its first FIELD_FOLD characters as scan_name writes them. */
enum field_id field_intern_folded(const char fold[FIELD_FOLD], size_t n);

#endif
