/* What the files of the remote store share: remote.c (connection and questions), remote_watch.c (watches, leases). */
#ifndef SALLYPORT_STORE_REMOTE_PRIVATE_H
#define SALLYPORT_STORE_REMOTE_PRIVATE_H

#include "net/socket.h"
#include "store/remote.h"
#include "store/wire_link.h"

#define BUCKETS 256u

enum remote_state {
    IDLE = 0,   /* nobody wants anything */
    CONNECTING, /* the socket is not writable yet */
    GREETING,   /* hello is said */
    UP,
    PAUSE /* until the next attempt */
};

/* A job on its way. All are in the list of all, in the order of their deadlines; and each either waits or was sent. */
struct question {
    struct question *next, *before;     /* of all */
    struct question *next_waiting;      /* of those that wait */
    struct question *next_sent, **sent; /* of those that were sent, by id; sent NULL: it waits */
    struct store_job *job;
    uint64_t deadline_ms;
    uint32_t id;
    bool asked_before; /* a read whose connection broke */
};

struct remote_watch {
    struct remote_watch *next;
    struct remote *remote;
    struct store_watch *watch;
    uint32_t id;      /* of this connection; 0: the server was not told yet */
    bool resyncing;   /* between RESYNC_BEGIN and RESYNC_END */
    uint64_t told_ms; /* when it was: no beat is older */
    struct store_position confirmed;
};

struct remote {
    struct store store; /* first */
    struct loop *loop;
    struct net_addr address;
    char name[STORE_NAME_MAX];
    size_t name_n;
    enum remote_state state;
    struct watch connecting;
    struct wire_link link;
    struct timer pause, greet, deadline, beat;
    uint32_t spaces; /* that are served to us */
    uint64_t pause_ms, attempt_ms, heard_ms, connects;
    bool told;                               /* of a lost connection, in the log */
    struct question *first, *last;           /* all */
    struct question *waiting, **waiting_end; /* those that wait */
    struct question *sent[BUCKETS];          /* those that were sent */
    uint32_t n_questions, last_id;
    struct store_job *failed, **failed_end; /* ended before they became questions */
    struct task fail;
    struct remote_watch *watches;
    struct remote_watch *delivering; /* whose changes are handed over right now; NULL: it was stopped meanwhile */
    uint32_t n_watches;
};

static inline struct remote *remote_of(struct store *s)
{
    return CONTAINER_OF(s, struct remote, store);
}

/* --- remote.c --- */
/* Somebody wants something: a connection, if none stands and none was tried just now. */
void remote_want(struct remote *r);

/* --- remote_watch.c --- */
MUST_USE enum err remote_watch_start(struct store *s, struct store_watch *watch);
void remote_watch_stop(struct store *s, struct store_watch *watch);
void remote_watch_confirm(struct store *s, struct store_watch *watch, struct store_position at);
/* A connection stands: the server is told of all. */
void remote_watches_up(struct remote *r);
/* It is lost. */
void remote_watches_broke(struct remote *r);
void remote_on_beat_time(struct timer *t);
MUST_USE enum err remote_on_watching(struct remote *r, const struct wire_frame *f);
MUST_USE enum err remote_on_changes(struct remote *r, const struct wire_frame *f);
MUST_USE enum err remote_on_page(struct remote *r, const struct wire_frame *f);
MUST_USE enum err remote_on_beaten(struct remote *r, const struct wire_frame *f);

#endif
