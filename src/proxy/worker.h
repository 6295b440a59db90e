/* A worker: one thread with its own loop, listening sockets, pools, caches and counters.
 *
 * Shares nothing that is written with other workers. The control thread speaks to it by mail only; counters and the
 * decision ring are read from outside without stopping it. */
#ifndef SALLYPORT_PROXY_WORKER_H
#define SALLYPORT_PROXY_WORKER_H

#include "base/log.h"
#include "base/metrics.h"
#include "config/fed.h"
#include "config/feed.h"
#include "config/snapshot.h"
#include "http/h1_client.h"
#include "http/h1_server.h"
#include "identity/verify.h"
#include "net/loop.h"
#include "proxy/balance.h"
#include "proxy/budget.h"
#include "proxy/tls_set.h"
#include "proxy/token_cache.h"
#include "proxy/upstream.h"
#include "serve/counters.h"
#include "serve/decision.h"
#include "serve/span.h"

#include <pthread.h>

struct exchange;
struct limit_book;
struct limiter;
struct meter;
struct quotas;
struct replay; /* proxy/replay.h */

/* Keys of one issuer as this worker has them, and who waits for better ones. */
struct issuer_keys {
    uint64_t asked_ms;      /* when the control thread was last asked; 0: never */
    bool asking;            /* an answer is due */
    struct exchange *first; /* exchanges that wait for it */
};

/* A snapshot as one worker uses it: its own count, so that a request costs no atomic instruction. */
struct worker_snapshot {
    struct snapshot *snap;
    uint32_t refs;
    uint64_t serial;             /* unlike that of any other of this worker */
    struct keyset **keysets;     /* by issuer; NULL: not loaded */
    struct issuer_keys *keys;    /* by issuer */
    struct upstream **upstreams; /* all instances of all services */
    uint32_t *first_upstream;    /* by service: where its instances begin */
    struct limit_book *limits;
    struct instance_set *instances;
    struct balancer **balancers;  /* by service; NULL: it has no instance */
    struct retry_budget *budgets; /* by service */
    struct tls_set *tls;
    str via[2];           /* "1.0 name", "1.1 name" */
    str hop[2];           /* Via and CDN-Loop of a request that has neither, as field lines */
    bool tracing;         /* spans are exported */
    uint64_t sample_from; /* eight digits of a trace id from which on it is sampled; see trace_sample_from() */
};

/* What others may read at any time. */
struct worker_numbers {
    struct counter connections, accepted, refused, timed_out; /* clients */
    struct counter upstream_open, upstream_opened, retries;
    struct counter token_hits, token_misses, token_evictions, signatures;
    struct counter shaken[2][2], shake_failed[TLS_ENDS]; /* see struct server_env */
    struct counter snapshot;                             /* generation in use */
    struct counter feed;                                 /* number of the last feed record applied */
};

struct worker_listener {
    struct watch watch;
    struct timer again; /* accepting was put off: no descriptors */
    struct worker *worker;
    struct worker_listener *next;
    bool tls;
};

/* Called on a worker's thread: ask for fresh keys of an issuer. */
typedef void worker_keys_wanted(void *ctx, uint64_t generation, uint32_t issuer);

struct worker {
    unsigned index;
    pthread_t thread;
    bool started;
    struct loop *loop;
    struct http_io io;
    struct server_env server;
    struct client_env client;
    struct slab exchanges;
    struct map upstreams; /* by instance */
    struct worker_snapshot *current;
    uint64_t serials;
    uint64_t begun; /* requests */
    struct feed_position feed;
    const struct fed *fed; /* NULL: the configuration's files are all there is */
    uint64_t fed_serial;   /* of what was told of it; 0 for ever without it */
    uint64_t fed_until_ns; /* its lease as last looked up; UINT64_MAX without it */
    struct replay *replay; /* of signed requests; one for all workers. NULL: none is taken */
    struct token_cache tokens;
    struct verifier verifier;
    struct arena verify_mem;
    void *verify_first;
    struct limiter *limiter;          /* of all workers; NULL: where there is a limit, it refuses */
    struct quotas *quotas;            /* likewise; NULL: no product has one */
    struct exchange *first_for_quota; /* exchanges that wait for a lease */
    _Atomic bool waits_for_quota;     /* there are some: worker_quota_answer is wanted */
    struct meter *meter;
    struct counters *counters;
    struct decision_ring *ring;
    struct span_ring *spans;
    struct log_producer *log;
    struct worker_numbers numbers;
    struct worker_listener *listeners;
    bool held; /* set before worker_listen: who comes waits in the kernel's queue until worker_open */
    struct timer housekeeping;
    uint64_t shake_told_ms; /* when a failed handshake was last told of */
    uint64_t drain_from_ms, drain_until_ms;
    bool draining, drained;
    worker_keys_wanted *keys_wanted;
    void *keys_wanted_ctx;
    void (*on_drained)(void *ctx, unsigned index); /* on the worker's thread */
    void (*on_applied)(void *ctx);                 /* likewise: numbers.feed went on; may be NULL */
};

/* Made by the control thread, in the configuration of `snap` (borrowed; a first FEED_SNAPSHOT must follow). `fed`: what
 * the store feeds, outlives the worker; NULL: nothing does. ERR_NO_MEMORY, ERR_IO. */
MUST_USE enum err worker_new(unsigned index, const struct snapshot *snap, const struct fed *fed, struct worker **out);
/* Takes the listening socket over. Before worker_start only. */
MUST_USE enum err worker_listen(struct worker *w, int fd, bool tls);
MUST_USE enum err worker_start(struct worker *w);
/* One that is held takes connections from now on. ERR_NO_MEMORY: it goes on waiting; ask again. */
MUST_USE enum err worker_open(struct worker *w);

/* What a FEED_SNAPSHOT record carries to a worker: the snapshot with the keys there are for it and what is known
 * of its instances, so that no request falls between them. References are handed over. */
struct worker_delivery {
    struct snapshot *snap;
    struct instance_set *instances; /* of that snapshot */
    struct tls_set *tls;            /* likewise */
    uint32_t n;
    struct keyset *keysets[]; /* by issuer; NULL: not loaded */
};

/* A feed record for this worker (FEED_SNAPSHOT: struct worker_delivery *, freed by the worker; FEED_ISSUER_KEYS: struct
 * keyset *); what its payload owns is handed over. Any thread. ERR_NO_MEMORY: nothing was taken. */
MUST_USE enum err worker_feed(struct worker *w, const struct feed_record *r);
/* The answer to keys_wanted when there is nothing new: whoever waits goes on with what there is. */
MUST_USE enum err worker_keys_answer(struct worker *w, uint64_t generation, uint32_t issuer);
/* No new connections; requests under way get until drain_ms from now, then on_drained and the thread ends. */
MUST_USE enum err worker_drain(struct worker *w, uint32_t drain_ms);

/* A lease of a quota was granted or refused: whoever waits looks again. */
MUST_USE enum err worker_quota_answer(struct worker *w);

void worker_join(struct worker *w);
void worker_free(struct worker **w);

/* --- for the steps --- */
/* trace.c: hexadecimal digits, read as one big-endian number, from which on so many millionths of all are. UINT64_MAX,
 * which no digits reach, for none. */
uint64_t trace_sample_from(uint32_t ppm);
struct worker_snapshot *worker_snapshot_ref(struct worker *w);
void worker_snapshot_unref(struct worker *w, struct worker_snapshot **s);
/* Closes an idle upstream connection, so that another can be opened behind this turn. False: there is none. */
bool worker_reclaim(struct worker *w);
/* Asks for fresh keys unless that was done lately. True: an answer will come, x may wait. */
bool worker_want_keys(struct worker *w, struct worker_snapshot *s, uint32_t issuer);

#endif
