/* One record as the inside of a JSON object. Private to audit. */
#ifndef SALLYPORT_AUDIT_RECORD_H
#define SALLYPORT_AUDIT_RECORD_H

#include "audit/audit.h"
#include "base/buf.h"

/* Appends `"event":"login",…`: the part that says what it is about first (its length in *same, counted from where it
 * begins), then what differs from time to time. Two records with the same first part are folded into one. */
void audit_record_put(const struct audit_record *r, struct buf *out, size_t *same);

#endif
