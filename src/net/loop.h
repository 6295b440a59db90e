/* The event loop: edge-triggered epoll, a timer wheel, mail from other threads, work for the end of a turn.
 *
 * Owner: one thread runs a loop and only that thread touches what is registered with it; mail_post is the one
 * door for others. Nothing here allocates after loop_new. Knows nothing of HTTP.
 *
 * One turn: wait → deliver mail → events → timers → deferred tasks. A callback never frees what a later event of
 * the same turn may name: it closes (watch_close) and defers the freeing to a task. */
#ifndef SALLYPORT_NET_LOOP_H
#define SALLYPORT_NET_LOOP_H

#include "base/str.h"

#include <sys/epoll.h>

struct loop;

/* A descriptor that is watched, embedded in its owner. */
struct watch {
    void (*on_event)(struct watch *w, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR */
    int fd;                                             /* -1: closed; events left over are not delivered */
};

/* A timer, embedded in its owner; {0} is an idle one. Resolution 8 ms, never early. */
struct timer {
    struct timer *next, **link;
    uint64_t at_ms; /* when, on the loop's monotonic clock */
    void (*on_time)(struct timer *t);
};

/* Work for the end of the turn, once; deferred by such work: of the next turn. {0} is an idle one. */
struct task {
    struct task *next;
    void (*run)(struct task *t);
    bool queued;
};

/* A letter from another thread. The sender owns it until mail_post, the receiver from on_mail on. */
struct mail {
    struct mail *next;
    void (*on_mail)(struct mail *m, void *owner);
};

/* `owner` is what on_mail gets. NULL when the system or memory refuses. */
struct loop *loop_new(void *owner);
void loop_free(struct loop **l);

/* Turns until loop_stop. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* One turn that waits at most max_wait_ms (-1: for ever). */
void loop_turn(struct loop *l, int max_wait_ms);

/* The clocks as they stood when this turn began. */
uint64_t loop_now_ms(const struct loop *l);  /* monotonic */
uint64_t loop_now_ns(const struct loop *l);  /* monotonic */
uint64_t loop_turns(const struct loop *l);   /* how many there were: what an event tells was so when its turn began */
uint64_t loop_wall_ms(const struct loop *l); /* Unix milliseconds */

/* Watches w->fd, edge-triggered, until watch_close. ERR_IO. */
MUST_USE enum err watch_add(struct loop *l, struct watch *w, uint32_t events);
/* Closes the descriptor and forgets it; safe to repeat. */
void watch_close(struct watch *w);
/* The same, and what this turn still has for it is forgotten: its memory may go right away. The way to close what other
 * processes may have, too: listening sockets. */
void watch_drop(struct loop *l, struct watch *w);
/* Forgets the descriptor without closing it and returns it. */
int watch_release(struct loop *l, struct watch *w);

void timer_set(struct loop *l, struct timer *t, uint64_t at_ms);
void timer_clear(struct loop *l, struct timer *t);
static inline bool timer_is_set(const struct timer *t)
{
    return t->link != NULL;
}

void loop_defer(struct loop *l, struct task *t);
/* Takes it back; an idle one too. */
void loop_undefer(struct loop *l, struct task *t);

/* From any thread. Letters of one sender arrive in order. */
void mail_post(struct loop *l, struct mail *m);
/* On the loop's own thread: takes back the letters that `mine` knows and that have arrived but were not delivered; a
 * list in the order of arrival. For who goes away and has made sure that no more of them will be sent. */
struct mail *mail_take_back(struct loop *l, bool (*mine)(struct mail *m, void *whose), void *whose);

/* Called at the end of every turn, after the tasks (NULL: none). */
void loop_on_turn_end(struct loop *l, void (*fn)(void *owner));

#endif
