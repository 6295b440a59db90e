/* The chain as text: each line names the hash of the line before it; a seal is a line that only the key's holder
 * writes. No files, no threads. Private to audit. */
#ifndef SALLYPORT_AUDIT_CHAIN_H
#define SALLYPORT_AUDIT_CHAIN_H

#include "audit/audit.h"
#include "base/arena.h"
#include "base/buf.h"
#include "crypto/digest.h"

#define CHAIN_HASH_LEN (2 * SHA256_LEN) /* lower-case hex */

/* Where a chain stands: behind its last line. */
struct audit_chain {
    uint64_t sequence; /* of the last line; 0: there is none */
    char hash[CHAIN_HASH_LEN];
};

/* [a-z][a-z0-9-]*, at most AUDIT_CHAIN_MAX. */
bool audit_chain_name_ok(str name);

/* Before the first line: a hash of the chain's name, so that the lines of one chain are none of another. */
void audit_chain_begin(str name, struct audit_chain *c);

/* Appends one line, '\n' included, and moves on; on a failed append (out->bad) it stays. */
void audit_chain_put(struct audit_chain *c, uint64_t unix_ms, str body, struct buf *out);
void audit_chain_seal(struct audit_chain *c, uint64_t unix_ms, str key, struct buf *out);

enum chain_fault {
    CHAIN_FAULT_NONE = 0,
    CHAIN_FAULT_FORM,     /* no line of ours */
    CHAIN_FAULT_SEQUENCE, /* another number than the one that is due */
    CHAIN_FAULT_HASH,     /* does not continue the line before it */
    CHAIN_FAULT_SEAL      /* the key did not make this seal */
};

struct chain_line {
    uint64_t sequence;
    str time, event;   /* slices of the line, or of mem */
    bool seal, sealed; /* it is a seal; its MAC was checked */
};

/* Whether `line` (without its '\n') is the one behind *c, which then moves on. `key` empty: MACs are not checked.
 * ERR_MALFORMED, ERR_NO_MEMORY; *out holds what could be read. */
MUST_USE enum err audit_chain_check(struct audit_chain *c, str line, str key, struct arena *mem, struct chain_line *out,
                                    enum chain_fault *fault);

/* The same without a chain: the position behind `line`, as far as its own word goes. ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err audit_chain_resume(str line, struct arena *mem, struct audit_chain *out);
/* And the position before it. */
MUST_USE enum err audit_chain_before(str line, struct arena *mem, struct audit_chain *out);

#endif
