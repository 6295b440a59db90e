/* What the process knows of the instances of services, shared by all its threads: health, ejection, open connections,
 * counters; and for each service what its instances have in common: breakers, the floor of its retries.
 *
 * One registry, made by the control thread; entries are known by service and address and outlive a configuration that
 * still names them. A *set* is what one snapshot needs of it, counted, in the flat order of the snapshot: services by
 * index, their instances one behind the other. Workers read and write atomics only and never wait here; what changes
 * who serves is rare and takes a lock. Times are the monotonic clock in milliseconds, the same in all loops, passed
 * in. Refuses to know connections, requests and how one is chosen. */
#ifndef SALLYPORT_PROXY_INSTANCE_H
#define SALLYPORT_PROXY_INSTANCE_H

#include "base/metrics.h"
#include "config/snapshot.h"
#include "proxy/breaker.h"

#include <pthread.h>

enum instance_health { INSTANCE_UNKNOWN = 0 /* serves */, INSTANCE_UP, INSTANCE_DOWN };

/* How an attempt ended. What is not of the instance's making (the client left, a limit of ours) is none of these. */
enum instance_outcome {
    OUTCOME_ANSWERED = 0, /* any answer but those: also an application's 500 */
    OUTCOME_CONNECT,      /* refused, unreachable, too late */
    OUTCOME_CLOSED,       /* broke before or in the answer */
    OUTCOME_GARBAGE,
    OUTCOME_TIMEOUT,     /* no answer's head in time */
    OUTCOME_UNAVAILABLE, /* answered 502, 503 or 504 */
    OUTCOME_COUNT
};

/* What one worker counts of one instance: it alone writes, anybody reads. */
struct instance_cell {
    _Alignas(64) struct counter outcomes[OUTCOME_COUNT];
    struct counter in_flight;
    struct counter retries; /* attempts that were followed by another one */
};

struct instance {
    struct service_state *service;
    str key;  /* "orders 10.0.0.11:8080": what it is known by; owned */
    str text; /* the address shown: "10.0.0.11:8080" */
    uint32_t refs;
    /* written by whoever finds out */
    _Alignas(64) _Atomic uint32_t failures; /* in a row, by the gateway's own traffic */
    _Atomic uint32_t ejections;             /* lately: what the time of the next one is multiplied by */
    _Atomic uint64_t ejected_until_ms;      /* 0: not ejected */
    _Atomic uint64_t returned_ms;           /* when the last ejection ended */
    _Atomic uint64_t serves_since_ms;       /* 0: always did; else its slow start counts from here */
    _Atomic uint64_t ejected_total;
    _Atomic uint8_t health; /* enum instance_health */
    /* written by every connection that opens and closes */
    _Alignas(64) _Atomic uint32_t open; /* connections of all workers to it */
    struct instance_cell cells[];       /* by worker */
};

struct service_state {
    str name;
    uint32_t refs;
    unsigned workers;               /* cells of each of its instances */
    pthread_mutex_t lock;           /* of ejections: how many at a time is a promise */
    _Atomic uint32_t version;       /* moves when who serves may have changed */
    _Atomic uint64_t retry_floor;   /* GCRA: when the next retry beyond the percentage is due, in us */
    _Atomic uint64_t panics;        /* requests sent although no instance served */
    _Atomic uint64_t retries_over;  /* retries that the budget did not allow */
    _Atomic uint64_t pool_refusals; /* requests that found no connection and no room to wait */
    _Atomic bool panicking;
    struct breaker breakers[CALLER_KINDS];
};

struct instance_registry;

/* What one snapshot needs: services by index, instances flat. */
struct instance_set {
    _Atomic uint32_t refs;
    struct instance_registry *registry;
    uint32_t n_services, n;
    struct service_state **services;
    uint32_t *first; /* by service: where its instances begin; n_services + 1 */
    struct instance *all[];
};

/* Control thread. `workers`: how many there are for the life of the process. ERR_NO_MEMORY. */
MUST_USE enum err instance_registry_new(unsigned workers, struct instance_registry **out);
/* When no set is left. */
void instance_registry_free(struct instance_registry **r);
unsigned instance_registry_workers(const struct instance_registry *r);

/* Finds or makes what `snap` names. An instance that joins a service which is known already begins its slow start.
 * ERR_NO_MEMORY. */
MUST_USE enum err instance_set_new(struct instance_registry *r, const struct snapshot *snap, uint64_t now_ms,
                                   struct instance_set **out);
/* Any thread. */
struct instance_set *instance_set_ref(struct instance_set *s);
void instance_set_unref(struct instance_set **s);

/* Whether it is to be sent requests. */
static inline bool instance_serves(const struct instance *i, uint64_t now_ms)
{
    return atomic_load_explicit(&i->health, memory_order_relaxed) != INSTANCE_DOWN &&
           atomic_load_explicit(&i->ejected_until_ms, memory_order_relaxed) <= now_ms;
}

/* The word of active checks; any thread. A change is logged here, moves the version, and one for the better ends an
 * ejection and begins the slow start. The same again costs a load. */
void instance_set_health(struct instance *i, enum instance_health health, uint64_t now_ms);

/* A worker tells how an attempt ended; of an answer it tells when its head is there, and again should it break off.
 * Counts, and ejects when there were too many failures in a row: unless more of
 * `peers` (the instances of its service, itself among them) than settings->at_most percent would be out then. */
void instance_report(struct instance *i, unsigned worker, enum instance_outcome outcome,
                     const struct snapshot_eject *settings, struct instance *const *peers, uint32_t n_peers,
                     uint64_t now_ms);

/* An answer of it came whole: what failed before that was not in a row. */
static inline void instance_well(struct instance *i)
{
    if (UNLIKELY(atomic_load_explicit(&i->failures, memory_order_relaxed)))
        atomic_store_explicit(&i->failures, 0, memory_order_relaxed);
}

/* Takes an instance back whose time is over; true: it was. Called by whoever looks at it after that time. */
bool instance_return(struct instance *i, uint64_t now_ms);

/* Room for one more connection of at most `max` in the whole process; the caller gives it back. */
static inline bool instance_open_take(struct instance *i, uint32_t max)
{
    uint32_t n = atomic_fetch_add_explicit(&i->open, 1, memory_order_relaxed);
    if (LIKELY(n < max)) return true;
    atomic_fetch_sub_explicit(&i->open, 1, memory_order_relaxed);
    return false;
}
static inline void instance_open_give(struct instance *i)
{
    atomic_fetch_sub_explicit(&i->open, 1, memory_order_relaxed);
}

/* One retry more than the percentage allows, at least three a second in the whole process. */
bool service_retry_floor(struct service_state *s, uint64_t now_ms);

/* Sums over all workers. */
uint64_t instance_outcomes(const struct instance *i, enum instance_outcome o);
uint64_t instance_in_flight(const struct instance *i);
uint64_t instance_retries(const struct instance *i);
const char *instance_outcome_name(enum instance_outcome o); /* "connect" */

#endif
