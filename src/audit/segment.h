/* The files of a chain: `<chain>-<number>.jsonl` in one folder, numbers from 1 without gaps. Private to audit. */
#ifndef SALLYPORT_AUDIT_SEGMENT_H
#define SALLYPORT_AUDIT_SEGMENT_H

#include "audit/chain.h"

#define SEGMENT_NAME_MAX (AUDIT_CHAIN_MAX + 32)

/* The file that is being written. One thread. */
struct audit_segment {
    int folder; /* O_PATH-like descriptor of the folder */
    int fd;     /* -1: none */
    uint64_t number;
    uint64_t size; /* bytes of whole lines */
    uint64_t day;  /* days since 1970 (UTC) of its first line; 0: it has none */
    uint64_t cut;  /* bytes of an unfinished line that were cut off when it was opened */
    char chain[AUDIT_CHAIN_MAX + 1];
};

/* "run-000001.jsonl" */
void audit_segment_name(char out[SEGMENT_NAME_MAX], str chain, uint64_t number);
/* The reverse; *chain is a slice of `name`. False: no segment's name. */
bool audit_segment_name_read(str name, str *chain, uint64_t *number);

/* Makes the folder if it must, finds the chain's last segment, locks it, cuts an unfinished line off, and says where
 * the chain stands. Nothing there: the first segment is made and *at is the chain's beginning. ERR_CONFLICT: another
 * process has it. ERR_DENIED: the folder is not ours alone. ERR_MALFORMED: its end is no line of ours. ERR_IO,
 * ERR_NO_MEMORY. */
MUST_USE enum err audit_segment_open(const char *folder, const char *chain, struct audit_segment *s,
                                     struct audit_chain *at);

/* Whole lines to the end of it, or nothing of them. ERR_IO (errno). */
MUST_USE enum err audit_segment_write(struct audit_segment *s, str lines);
MUST_USE enum err audit_segment_sync(struct audit_segment *s);

/* Goes on in a new file. The old one stays in use if that fails. ERR_IO. */
MUST_USE enum err audit_segment_next(struct audit_segment *s);

void audit_segment_close(struct audit_segment *s);

#endif
