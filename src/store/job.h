/* What every kind of store shares about jobs: the bounds a job must keep, the memory of its answer, its end.
 *
 * For the makers of stores (local, remote, the listener behind the remote), not for their users. Nothing here is
 * shared between threads: a job is with one thread at a time. */
#ifndef SALLYPORT_STORE_JOB_H
#define SALLYPORT_STORE_JOB_H

#include "base/buf.h"
#include "store/store.h"

/* Whether the job keeps the bounds of store.h: ERR_LIMIT, ERR_MALFORMED, or ERR_OK. Looks at nothing but the question;
 * what comes off a wire is judged by it too. */
MUST_USE enum err store_job_check(const struct store_job *job);

/* 1 to STORE_KEY_MAX bytes, none of them NUL: ERR_LIMIT, ERR_MALFORMED. */
MUST_USE enum err store_key_check(str key);

/* The memory of an answer while it grows. {0} with init; then either given to a job or dropped. */
struct store_answer {
    struct store_entry *entries; /* their slices are offsets into `bytes` until it is given */
    uint32_t n, cap;
    struct buf bytes;
};

void store_answer_init(struct store_answer *a);
/* Copies the entry. ERR_LIMIT: STORE_BATCH_MAX bytes or STORE_RANGE_MAX entries are full (a RANGE then has more);
 * ERR_NO_MEMORY. */
MUST_USE enum err store_answer_add(struct store_answer *a, const struct store_entry *e);
/* The answer becomes the job's (freed by store_job_clear). ERR_NO_MEMORY: then it is dropped. */
MUST_USE enum err store_answer_give(struct store_answer *a, struct store_job *job);
void store_answer_drop(struct store_answer *a);

/* Resets what came of a job, at submission. Answers of an earlier turn must have been cleared. */
void store_job_reset(struct store_job *job);

/* The end of a prefix as a range: *to is the least string behind every string that starts with `prefix`, written into
 * room[STORE_KEY_MAX]; empty when there is none. */
str store_prefix_end(str prefix, char room[STORE_KEY_MAX]);

#endif
