/* One worker's side of an instance: its idle connections, who waits for one, and how to knock while it refuses.
 *
 * An upstream is known by its instance and outlives a configuration that still names it, so that a reload keeps its
 * warm connections. How many connections are open is bounded for all workers together (proxy/instance.h); so that none
 * of them sits on all, a worker keeps at most its share of them idle. Who finds no room stands in line, first come,
 * first served. Choosing among instances is balance's; refuses to know requests. */
#ifndef SALLYPORT_PROXY_UPSTREAM_H
#define SALLYPORT_PROXY_UPSTREAM_H

#include "http/h1_client.h"
#include "net/tls_upstream.h"
#include "proxy/instance.h"

struct upstream;

/* A place in line, embedded in who waits; {0} is none. */
struct upstream_waiter {
    struct upstream_waiter *next, **link;
    struct upstream *upstream; /* NULL: not in line */
    /* Out of the line, and may stand in line anew. `here`: this one has room; else others are worth a look. */
    void (*on_turn)(struct upstream_waiter *who, bool here);
};

struct upstream {
    struct instance *instance;
    struct instance_cell *cell; /* of this worker */
    str text;                   /* the address shown */
    str key;                    /* the pointer's bytes: for the worker's map */
    struct net_addr addr;
    struct loop *loop;
    struct snapshot_pool bounds; /* of the newest configuration that names it */
    uint32_t refs;               /* snapshots of this worker that name it */
    uint32_t n_idle, n_waiting;
    struct h1_client *idle; /* newest first */
    struct upstream_waiter *first, **last;
    struct task wake;
    struct timer look;
    /* knocking: while the last attempt to connect was refused only one is made at a time, with pauses */
    uint32_t refusals;
    bool knocking;
    uint32_t disperse; /* so many of the line go elsewhere */
    uint64_t knock_at_ms;
    /* TLS: as the newest configuration has it */
    struct tls_upstream *tls;   /* NULL: clear text */
    struct tls_session session; /* the last one with it, for the next connection */
    char tls_name[256];         /* its host: whom its certificate is for, if the configuration names nobody */
    uint64_t tls_told_ms;       /* when it was last told that TLS failed */
};

/* One reference. NULL: memory. */
struct upstream *upstream_new(struct instance *i, unsigned worker, struct loop *loop, const void *sockaddr, size_t len);
/* Lets go; the last one closes the idle connections. True: it is gone (the caller forgets and frees it). */
bool upstream_unref(struct upstream *u);

/* From now on connections are made with `tls` (NULL: clear text); those made otherwise are given up. `host` is what its
 * certificate must be for when `tls` names nobody. */
void upstream_secure(struct upstream *u, struct tls_upstream *tls, str host);

/* The warmest idle connection, or NULL. */
struct h1_client *upstream_take(struct upstream *u);

enum upstream_room {
    UPSTREAM_ROOM = 0, /* open one: it counts from now on, and is given back when it closes */
    UPSTREAM_FULL,     /* as many are open as may be */
    UPSTREAM_REFUSES   /* somebody knocks, or it is not yet time to */
};
/* `now_ms` on the loop's clock. */
enum upstream_room upstream_room(struct upstream *u, uint64_t now_ms);
/* The opening has not begun after all. */
void upstream_not_opened(struct upstream *u);
/* How the attempt to connect ended. (A connection that failed is given back by its closing.) */
void upstream_connected(struct upstream *u);
void upstream_refused(struct upstream *u, uint64_t now_ms);
/* Who was connecting went away before it ended. */
void upstream_attempt_left(struct upstream *u);

/* Into the line. ERR_LIMIT: it is as long as it may be. */
MUST_USE enum err upstream_wait(struct upstream *u, struct upstream_waiter *who);
/* Another instance of the service came back: who waits here for one that refuses looks there. */
void upstream_disperse(struct upstream *u);
/* Out of the line, if it is in one. */
void upstream_leave(struct upstream_waiter *who);

/* client_env callbacks; `pool` is the upstream. */
void upstream_on_idle(struct h1_client *c, void *pool);
void upstream_on_idle_closed(struct h1_client *c, void *pool);
void upstream_on_closed(void *pool);
/* Closes what has been idle since before that time. */
void upstream_reap(struct upstream *u, uint64_t before_ms);

#endif
