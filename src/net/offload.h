/* Slow work beside the loops: a few threads that run jobs and mail the result back.
 *
 * For what would hold up a loop: name lookups, password hashes, later store jobs. A job is owned by the pool from
 * offload_submit until its `done` runs on the loop that submitted it. Bounded: a full queue refuses. */
#ifndef SALLYPORT_NET_OFFLOAD_H
#define SALLYPORT_NET_OFFLOAD_H

#include "net/loop.h"

struct offload;

struct offload_job {
    struct mail mail;                      /* private */
    struct offload_job *next;              /* private */
    struct loop *loop;                     /* private: whom to tell */
    void (*run)(struct offload_job *job);  /* on a pool thread; may block */
    void (*done)(struct offload_job *job); /* on the submitting loop, exactly once */
};

/* Threads start with the first job. NULL when memory is out. */
struct offload *offload_new(unsigned threads, unsigned max_queued);
/* Waits for running jobs; queued ones are not run and their `done` is not called. */
void offload_free(struct offload **o);

/* ERR_LIMIT: the queue is full. ERR_NO_MEMORY: no thread could be started. */
MUST_USE enum err offload_submit(struct offload *o, struct loop *loop, struct offload_job *job);

#endif
