/* The head of a chain in the store: space audit, `head/<place>/<chain>` → {"sequence","hash"}. Whoever cuts the tail
 * of the files off would have to reach the store too. The place stands for this machine and folder: gateways side by
 * side keep records of the same name, each in a folder of its own, and share one store. Private to audit, but for what
 * readers of heads need (read.h).
 *
 * Lives on the chain's thread and its loop. Until the old head has been read none is written: it is the evidence. */
#ifndef SALLYPORT_AUDIT_HEAD_H
#define SALLYPORT_AUDIT_HEAD_H

#include "audit/chain.h"
#include "audit/read.h"
#include "store/store.h"

#define HEAD_KEY_MAX   (AUDIT_HEAD_PREFIX_MAX + AUDIT_CHAIN_MAX)
#define HEAD_VALUE_MAX 160

struct audit_head {
    struct store *store; /* ours; NULL: no heads are kept */
    struct loop *loop;
    void (*on_known)(void *ctx, bool found, const struct audit_chain *at); /* once; at: what the store knows */
    void *ctx;
    struct timer again;
    struct store_job job;
    struct store_op op;
    str key;
    char key_text[HEAD_KEY_MAX], value[HEAD_VALUE_MAX];
    struct audit_chain latest;
    bool known, busy, dirty;
};

/* "head/0123456789abcdef/run"; the slice lives in room. */
str audit_head_key(char room[HEAD_KEY_MAX], const char *folder, str chain);
/* ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err audit_head_read(str value, struct audit_chain *out);

/* h->store, h->loop, h->key, h->on_known, h->ctx are set. Begins to read. */
void audit_head_start(struct audit_head *h);
/* Everything up to `at` is on the disk. */
void audit_head_set(struct audit_head *h, const struct audit_chain *at);
/* Waits (turning the loop) until what was set has been written, at most so long, and frees the store. */
void audit_head_finish(struct audit_head *h, uint64_t most_ms);

#endif
