/* Floods: refusals that are the same become one record a second with a count; when too many differ, one a kind. Private
 * to audit; who calls holds the lock. Fixed memory. */
#ifndef SALLYPORT_AUDIT_FOLD_H
#define SALLYPORT_AUDIT_FOLD_H

#include "audit/audit.h"
#include "base/buf.h"

enum { FOLD_SLOTS = 128, FOLD_SAME_MAX = 768, FOLD_FROM = 1000 /* ms a window */ };

struct audit_fold {
    uint64_t seed;
    bool open;  /* there is something to tell at the end of the window */
    uint32_t n; /* slots in use */
    struct {
        uint64_t hash, count; /* count: of those that were held back */
        uint32_t same_n;
        char same[FOLD_SAME_MAX]; /* first part of the record (record.h) */
    } slots[FOLD_SLOTS];
    uint64_t more[AUDIT_KINDS]; /* held back when the slots were full */
};

void audit_fold_init(struct audit_fold *f);
/* Whether records of this kind may be held back at all. */
bool audit_fold_kind(enum audit_kind k);
/* count: for how many it stands. True: it is counted and must not be written. False: it is the first of its like in
 * this window. */
bool audit_fold_hold(struct audit_fold *f, enum audit_kind kind, str same, uint64_t count);
/* The window is over: calls `put` with the body of each record to be written, then begins anew. */
void audit_fold_end(struct audit_fold *f, void (*put)(void *ctx, str body), void *ctx);

#endif
