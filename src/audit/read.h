/* Reading the audit record: is it whole, and what does it say. Files only; any thread; blocking.
 *
 * Needs nothing of the process that writes: it may be running (then the last line may be unfinished, which is no
 * fault), or gone. What the store knows of the chains' heads is told by the caller. */
#ifndef SALLYPORT_AUDIT_READ_H
#define SALLYPORT_AUDIT_READ_H

#include "audit/audit.h"
#include "base/buf.h"

#define AUDIT_CHAINS_MAX 16

/* How one chain was found. */
struct audit_verdict {
    char chain[AUDIT_CHAIN_MAX + 1];
    uint64_t records, seals;  /* that are in order */
    uint64_t segments, first; /* how many files; number of the first (not 1: earlier ones are not here) */
    uint64_t unsealed;        /* records behind the last seal */
    uint64_t unfinished;      /* bytes of a last line without an end */
    bool keyed;               /* the seals were checked with a key */
    bool head_known;          /* and the end with what the store knows */
    bool broken;              /* then: */
    char file[AUDIT_CHAIN_MAX + 32];
    uint64_t line;  /* from 1 */
    char what[200]; /* in words */
};

struct audit_known_head {
    char chain[AUDIT_CHAIN_MAX + 1];
    uint64_t sequence;
    char hash[64];
};

struct audit_verify_options {
    const char *folder;
    str key;                              /* AUDIT_KEY_LEN bytes; empty: seals are not checked */
    const struct audit_known_head *heads; /* what the store knew *before* the files were opened */
    size_t n_heads;
    bool later; /* a first segment with another number than 1 is fine: older ones are kept elsewhere */
};

/* All chains of the folder, in the order of their names; stops at the first fault of each. ERR_NOT_FOUND: no folder.
 * ERR_IO (errno), ERR_NO_MEMORY, ERR_LIMIT: more than AUDIT_CHAINS_MAX. */
MUST_USE enum err audit_verify(const struct audit_verify_options *o, struct audit_verdict out[AUDIT_CHAINS_MAX],
                               size_t *n);

/* A head as the store has it (space audit, `head/<place>/<chain>`). ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err audit_known_head_read(str key, str value, struct audit_known_head *out);
/* "head/<place>/": what the store has of the chains of this folder on this machine. The slice lives in room. */
#define AUDIT_PLACE_BYTES     8
#define AUDIT_HEAD_PREFIX_MAX (5 + 2 * AUDIT_PLACE_BYTES + 1 + 1)
str audit_head_prefix(char room[AUDIT_HEAD_PREFIX_MAX], const char *folder);

/* Where a reader of all chains of a folder stands. {0}: at the beginning. */
struct audit_cursor {
    size_t n;
    struct {
        char chain[AUDIT_CHAIN_MAX + 1];
        uint64_t number, offset;
    } at[AUDIT_CHAINS_MAX];
};
/* "run:3:1024,data:1:0", at most AUDIT_CURSOR_TEXT characters with its NUL. */
#define AUDIT_CURSOR_TEXT (AUDIT_CHAINS_MAX * (AUDIT_CHAIN_MAX + 44))
void audit_cursor_put(const struct audit_cursor *c, char out[AUDIT_CURSOR_TEXT]);
MUST_USE enum err audit_cursor_read(str text, struct audit_cursor *out);

/* Such that about the last `records` of each chain follow. ERR_NOT_FOUND, ERR_IO, ERR_NO_MEMORY. */
MUST_USE enum err audit_cursor_last(const char *folder, uint64_t records, struct audit_cursor *out);

/* Appends whole lines that follow, of one chain after the other, as long as they fit `most` bytes, and moves on; none:
 * that is all for now. `kind`: only those (AUDIT_KINDS: all). *more: there is more at once. ERR_NOT_FOUND, ERR_IO,
 * ERR_NO_MEMORY. */
MUST_USE enum err audit_read_on(const char *folder, struct audit_cursor *c, enum audit_kind kind, size_t most,
                                struct buf *out, bool *more);

#endif
