#include "net/loop.h"

#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS  256
#define TICK_MS 8u
#define LEVELS  4u
#define SLOTS   64u

struct loop {
    int epoll_fd;
    bool stopped;
    bool timers_pending; /* at least one timer was ever set */
    void *owner;
    uint64_t now_ns, now_ms, wall_ms, turns;
    uint64_t tick; /* every timer due at or before this tick has fired */
    struct timer *wheel[LEVELS][SLOTS];
    uint64_t filled[LEVELS]; /* bit i: wheel[level][i] is not empty */
    struct task *tasks, **tasks_end;
    struct task *running; /* those of this turn that are still to run */
    void (*on_turn_end)(void *owner);
    struct watch wake;
    _Atomic(struct mail *) inbox;  /* newest first */
    struct mail *held, **held_end; /* taken from the inbox, not yet delivered; oldest first */
    int n_events;                  /* of this turn */
    struct epoll_event events[EVENTS];
};

static void read_clocks(struct loop *l)
{
    l->now_ns = clock_mono_ns();
    l->now_ms = l->now_ns / 1000000u;
    l->wall_ms = clock_wall_ms();
}

static void on_wake(struct watch *w, uint32_t events)
{
    (void)events;
    uint64_t n;
    while (read(w->fd, &n, sizeof n) < 0 && errno == EINTR) {
    }
}

struct loop *loop_new(void *owner)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->owner = owner;
    l->tasks_end = &l->tasks;
    l->held_end = &l->held;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake = (struct watch){on_wake, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (l->epoll_fd < 0 || l->wake.fd < 0 || watch_add(l, &l->wake, EPOLLIN) != ERR_OK) {
        loop_free(&l);
        return NULL;
    }
    read_clocks(l);
    l->tick = loop_now_ms(l) / TICK_MS;
    return l;
}

void loop_free(struct loop **l)
{
    if (!*l) return;
    if ((*l)->epoll_fd >= 0) close((*l)->epoll_fd);
    watch_close(&(*l)->wake);
    free(*l);
    *l = NULL;
}

uint64_t loop_now_ns(const struct loop *l)
{
    return l->now_ns;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

uint64_t loop_turns(const struct loop *l)
{
    return l->turns;
}

uint64_t loop_wall_ms(const struct loop *l)
{
    return l->wall_ms;
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

void loop_on_turn_end(struct loop *l, void (*fn)(void *owner))
{
    l->on_turn_end = fn;
}

/* --- descriptors --- */

enum err watch_add(struct loop *l, struct watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events | EPOLLET, .data.ptr = w};
    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &e) == 0 ? ERR_OK : ERR_IO;
}

void watch_close(struct watch *w)
{
    if (w->fd < 0) return;
    close(w->fd); /* the only descriptor of its file: epoll forgets it */
    w->fd = -1;
}

void watch_drop(struct loop *l, struct watch *w)
{
    for (int i = 0; i < l->n_events; i++)
        if (l->events[i].data.ptr == w) l->events[i].data.ptr = NULL;
    /* another process may have the file, too: then epoll forgets it only when it is told */
    if (w->fd >= 0) (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    watch_close(w);
}

int watch_release(struct loop *l, struct watch *w)
{
    int fd = w->fd;
    if (fd >= 0) (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    w->fd = -1;
    return fd;
}

/* --- timers: a hierarchical wheel. Level 0 holds what is due within 64 ticks, one slot a tick; a slot of level
 * n covers 64^n ticks and is spread over the level below when its time begins. --- */

static uint64_t due_tick(const struct timer *t)
{
    return (t->at_ms + TICK_MS - 1) / TICK_MS;
}

static void wheel_put(struct loop *l, struct timer *t)
{
    uint64_t due = due_tick(t);
    if (due <= l->tick) due = l->tick + 1;
    uint64_t away = due - l->tick;
    unsigned level = 0;
    while (level < LEVELS - 1 && away >> (6 * (level + 1))) level++;
    if (away >> (6 * LEVELS)) due = l->tick + (UINT64_C(1) << (6 * LEVELS)) - 1; /* far away: looked at again then */
    unsigned slot = (unsigned)(due >> (6 * level)) & (SLOTS - 1);
    struct timer **head = &l->wheel[level][slot];
    t->next = *head;
    t->link = head;
    if (*head) (*head)->link = &t->next;
    *head = t;
    l->filled[level] |= UINT64_C(1) << slot;
}

static void wheel_take(struct timer *t)
{
    *t->link = t->next;
    if (t->next) t->next->link = t->link;
    t->next = NULL;
    t->link = NULL;
}

void timer_set(struct loop *l, struct timer *t, uint64_t at_ms)
{
    if (t->link) wheel_take(t);
    t->at_ms = at_ms;
    wheel_put(l, t);
    l->timers_pending = true;
}

void timer_clear(struct loop *l, struct timer *t)
{
    (void)l;
    if (t->link) wheel_take(t);
}

static void spread(struct loop *l, unsigned level)
{
    unsigned slot = (unsigned)(l->tick >> (6 * level)) & (SLOTS - 1);
    struct timer *t = l->wheel[level][slot];
    l->wheel[level][slot] = NULL;
    l->filled[level] &= ~(UINT64_C(1) << slot);
    while (t) {
        struct timer *next = t->next;
        uint64_t due = due_tick(t);
        if (due <= l->tick) { /* due this very tick: level 0 is looked at right after */
            struct timer **head = &l->wheel[0][l->tick & (SLOTS - 1)];
            t->next = *head;
            t->link = head;
            if (*head) (*head)->link = &t->next;
            *head = t;
        } else {
            wheel_put(l, t);
        }
        t = next;
    }
}

static void fire(struct loop *l)
{
    struct timer **head = &l->wheel[0][l->tick & (SLOTS - 1)];
    /* move the list to a local head first: a callback may set timers into this very slot */
    struct timer *due = *head;
    *head = NULL;
    l->filled[0] &= ~(UINT64_C(1) << (l->tick & (SLOTS - 1)));
    if (due) due->link = &due;
    while (due) {
        struct timer *t = due;
        wheel_take(t);
        t->on_time(t);
    }
}

static void run_timers(struct loop *l)
{
    uint64_t now = loop_now_ms(l) / TICK_MS;
    if (!l->timers_pending) {
        l->tick = now;
        return;
    }
    while (l->tick < now) {
        /* nothing on level 0 until the next spread: jump to it */
        if (!l->filled[0]) {
            uint64_t border = (l->tick | (SLOTS - 1));
            if (border >= now) {
                l->tick = now;
                return;
            }
            l->tick = border;
        }
        l->tick++;
        for (unsigned level = LEVELS - 1; level > 0; level--)
            if (!(l->tick & ((UINT64_C(1) << (6 * level)) - 1))) spread(l, level);
        fire(l);
    }
}

/* Milliseconds until a timer may be due, -1 if there is none. */
static int next_timer_ms(const struct loop *l)
{
    if (!l->timers_pending) return -1;
    uint64_t best = UINT64_MAX;
    for (unsigned level = 0; level < LEVELS; level++) {
        if (!l->filled[level]) continue;
        unsigned here = (unsigned)(l->tick >> (6 * level)) & (SLOTS - 1);
        unsigned from = (here + 1) & (SLOTS - 1);
        uint64_t turned = from ? (l->filled[level] >> from) | (l->filled[level] << (SLOTS - from)) : l->filled[level];
        uint64_t away = (uint64_t)__builtin_ctzll(turned) + 1;
        uint64_t tick = ((l->tick >> (6 * level)) + away) << (6 * level);
        if (tick < best) best = tick;
    }
    if (best == UINT64_MAX) return -1;
    uint64_t now = loop_now_ms(l), at = best * TICK_MS;
    uint64_t wait = at > now ? at - now : 0;
    return wait > 60000 ? 60000 : (int)wait;
}

/* --- deferred tasks and mail --- */

void loop_defer(struct loop *l, struct task *t)
{
    if (t->queued) return;
    t->queued = true;
    t->next = NULL;
    *l->tasks_end = t;
    l->tasks_end = &t->next;
}

static void run_tasks(struct loop *l)
{
    /* what these defer is for the next turn: who always has more to do must let events come in between */
    l->running = l->tasks;
    l->tasks = NULL;
    l->tasks_end = &l->tasks;
    while (l->running) {
        struct task *t = l->running;
        l->running = t->next;
        t->queued = false;
        t->run(t);
    }
}

static bool take_out(struct task **link, struct task *t)
{
    while (*link && *link != t) link = &(*link)->next;
    if (!*link) return false;
    *link = t->next;
    return true;
}

void loop_undefer(struct loop *l, struct task *t)
{
    if (!t->queued) return;
    t->queued = false;
    if (take_out(&l->running, t)) return;
    (void)take_out(&l->tasks, t);
    l->tasks_end = &l->tasks;
    while (*l->tasks_end) l->tasks_end = &(*l->tasks_end)->next;
}

void mail_post(struct loop *l, struct mail *m)
{
    struct mail *first = atomic_load_explicit(&l->inbox, memory_order_relaxed);
    do {
        m->next = first;
    } while (!atomic_compare_exchange_weak_explicit(&l->inbox, &first, m, memory_order_release, memory_order_relaxed));
    if (!first) {
        uint64_t one = 1;
        while (write(l->wake.fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
}

/* Moves what has arrived behind what is held, in the order of arrival. */
static void collect(struct loop *l)
{
    struct mail *newest = atomic_load_explicit(&l->inbox, memory_order_relaxed);
    if (LIKELY(!newest)) return;
    newest = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire);
    struct mail *oldest = NULL, *last = newest;
    while (newest) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    *l->held_end = oldest;
    l->held_end = &last->next;
}

/* What arrives meanwhile is for the next turn: its sender has rung. */
static void deliver(struct loop *l)
{
    collect(l);
    while (l->held) {
        struct mail *m = l->held;
        l->held = m->next;
        if (!l->held) l->held_end = &l->held;
        m->on_mail(m, l->owner);
    }
}

struct mail *mail_take_back(struct loop *l, bool (*mine)(struct mail *m, void *whose), void *whose)
{
    collect(l);
    struct mail *taken = NULL, **taken_end = &taken, **link = &l->held;
    while (*link) {
        struct mail *m = *link;
        if (!mine(m, whose)) {
            link = &m->next;
            continue;
        }
        *link = m->next;
        m->next = NULL;
        *taken_end = m;
        taken_end = &m->next;
    }
    l->held_end = link;
    return taken;
}

void loop_turn(struct loop *l, int max_wait_ms)
{
    int wait = next_timer_ms(l);
    if (wait < 0 || (max_wait_ms >= 0 && max_wait_ms < wait)) wait = max_wait_ms;
    /* A letter that came while the last turn delivered has rung, but that turn may have heard it ring. */
    if (l->tasks || l->held || atomic_load_explicit(&l->inbox, memory_order_relaxed)) wait = 0;
    l->n_events = epoll_wait(l->epoll_fd, l->events, EVENTS, wait);
    read_clocks(l);
    l->turns++;
    deliver(l);
    for (int i = 0; i < l->n_events; i++) {
        struct watch *w = l->events[i].data.ptr;
        if (w && w->fd >= 0) w->on_event(w, l->events[i].events);
    }
    l->n_events = 0;
    run_timers(l);
    run_tasks(l);
    if (l->on_turn_end) l->on_turn_end(l->owner);
}

void loop_run(struct loop *l)
{
    l->stopped = false;
    while (!l->stopped) loop_turn(l, -1);
}
