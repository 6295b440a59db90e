#include "store/remote.h"

#include "base/log.h"
#include "net/socket.h"
#include "net/unix_socket.h"
#include "store/job.h"
#include "store/wire_link.h"

#include <stdlib.h>

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 5000
#define GREET_MS     5000                          /* for the server's welcome */
#define BEAT_MAX_MS  5000                          /* between two beats, and one third of a lease at most */
#define SILENCE_MS   15000                         /* a server that answers no beat for so long is lost */
#define BACKLOG      STORE_BATCH_MAX               /* further questions wait while so much waits to be sent */
#define OUT_MAX      (BACKLOG + 4 * WIRE_BODY_MAX) /* never reached unless the server stops reading for long */
#define BUCKETS      256u

enum state {
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
    enum state state;
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

static struct remote *of(struct store *s)
{
    return CONTAINER_OF(s, struct remote, store);
}

static void connect_now(struct remote *r);

/* --- questions --- */

static void list_add(struct remote *r, struct question *q)
{
    q->next = NULL;
    q->before = r->last;
    if (r->last)
        r->last->next = q;
    else
        r->first = q;
    r->last = q;
    r->n_questions++;
}

static void wait_last(struct remote *r, struct question *q)
{
    q->next_waiting = NULL;
    *r->waiting_end = q;
    r->waiting_end = &q->next_waiting;
}

static void unwait(struct remote *r, struct question *q)
{
    struct question **at = &r->waiting;
    while (*at && *at != q) at = &(*at)->next_waiting;
    if (!*at) return;
    *at = q->next_waiting;
    if (!*at) r->waiting_end = at;
}

static void unsend(struct question *q)
{
    *q->sent = q->next_sent;
    if (q->next_sent) q->next_sent->sent = q->sent;
    q->sent = NULL;
}

/* Takes it out of everything; its job is free to be told. */
static struct store_job *question_free(struct remote *r, struct question *q)
{
    struct store_job *job = q->job;
    if (q->sent)
        unsend(q);
    else
        unwait(r, q);
    if (q->before)
        q->before->next = q->next;
    else
        r->first = q->next;
    if (q->next)
        q->next->before = q->before;
    else
        r->last = q->before;
    r->n_questions--;
    free(q);
    return job;
}

static void end_with(struct remote *r, struct question *q, enum err err)
{
    struct store_job *job = question_free(r, q);
    job->err = err;
    job->done(job);
}

static void set_deadline(struct remote *r)
{
    if (r->first)
        timer_set(r->loop, &r->deadline, r->first->deadline_ms);
    else
        timer_clear(r->loop, &r->deadline);
}

static void on_deadline(struct timer *t)
{
    struct remote *r = CONTAINER_OF(t, struct remote, deadline);
    while (r->first && r->first->deadline_ms <= loop_now_ms(r->loop)) end_with(r, r->first, ERR_TIMEOUT);
    set_deadline(r);
}

static void send_questions(struct remote *r)
{
    while (r->state == UP && r->waiting && wire_link_backlog(&r->link) < BACKLOG) {
        struct question *q = r->waiting;
        unwait(r, q);
        q->id = ++r->last_id;
        struct question **bucket = &r->sent[q->id % BUCKETS];
        q->next_sent = *bucket;
        q->sent = bucket;
        if (*bucket) (*bucket)->sent = &q->next_sent;
        *bucket = q;
        wire_put_request(wire_link_out(&r->link), q->id, q->job);
    }
}

static void on_fail(struct task *t)
{
    struct remote *r = CONTAINER_OF(t, struct remote, fail);
    while (r->failed) {
        struct store_job *job = r->failed;
        r->failed = job->next;
        if (!r->failed) r->failed_end = &r->failed;
        job->done(job);
    }
}

/* Later, for no `done` comes from inside of store_submit. */
static void fail(struct remote *r, struct store_job *job, enum err err)
{
    job->err = err;
    job->next = NULL;
    *r->failed_end = job;
    r->failed_end = &job->next;
    loop_defer(r->loop, &r->fail);
}

/* Who asks during a long pause need not wait for its end. */
static void want_connection(struct remote *r)
{
    uint64_t now = loop_now_ms(r->loop);
    if (r->state == IDLE || (r->state == PAUSE && now >= r->attempt_ms + PAUSE_MIN_MS)) connect_now(r);
}

static void submit(struct store *s, struct store_job *job)
{
    struct remote *r = of(s);
    struct question *q = NULL;
    enum err e = store_job_check(job);
    if (e == ERR_OK && r->n_questions >= STORE_REMOTE_JOBS) e = ERR_LIMIT;
    if (e == ERR_OK && !(q = calloc(1, sizeof *q))) e = ERR_NO_MEMORY;
    if (e != ERR_OK) {
        fail(r, job, e);
        return;
    }
    q->job = job;
    q->deadline_ms = loop_now_ms(r->loop) + STORE_REMOTE_DEADLINE_MS;
    list_add(r, q);
    wait_last(r, q);
    if (r->first == q) set_deadline(r);
    want_connection(r);
    send_questions(r);
}

static enum err copy_entries(struct wire_answer *a, struct store_job *job)
{
    struct store_answer answer;
    struct store_entry entry;
    enum err e = ERR_OK;
    store_answer_init(&answer);
    while (e == ERR_OK && a->n_entries) {
        e = wire_answer_entry(a, &entry);
        if (e == ERR_OK) e = store_answer_add(&answer, &entry);
    }
    if (e == ERR_OK) return store_answer_give(&answer, job);
    store_answer_drop(&answer);
    return e == ERR_LIMIT ? ERR_MALFORMED : e; /* more than a keeper ever answers */
}

static enum err on_answer(struct remote *r, const struct wire_frame *f)
{
    struct wire_answer a;
    enum err e = wire_answer(f->body, &a);
    if (e != ERR_OK) return e;
    struct question *q = r->sent[f->id % BUCKETS];
    while (q && q->id != f->id) q = q->next_sent;
    if (!q) return ERR_OK; /* its time was over */
    struct store_job *job = q->job;
    if (a.err == ERR_OK && job->kind != STORE_BATCH) {
        e = copy_entries(&a, job);
        if (e == ERR_MALFORMED) return e;
        if (e != ERR_OK) a.err = e;
    }
    job->failed = a.err == ERR_CONFLICT ? a.failed : 0;
    job->at = a.at;
    job->more = a.err == ERR_OK && a.more;
    end_with(r, q, a.err);
    set_deadline(r);
    send_questions(r);
    return ERR_OK;
}

/* What was sent when the connection broke: what reads is asked once more, before anything else. */
static void questions_broke(struct remote *r)
{
    struct question *again = NULL, *next;
    for (struct question *q = r->last; q; q = q->before) { /* backwards: so they come to stand in their order */
        if (!q->sent || q->job->kind == STORE_BATCH || q->asked_before) continue;
        unsend(q);
        q->asked_before = true;
        q->next_waiting = again ? again : r->waiting;
        if (!again && !r->waiting) r->waiting_end = &q->next_waiting;
        again = q;
    }
    if (again) r->waiting = again;
    do { /* from the start each time: whoever is told may ask something new */
        for (next = r->first; next && !next->sent;) next = next->next;
        if (next) end_with(r, next, ERR_CLOSED);
    } while (next);
    set_deadline(r);
}

/* --- watches --- */

static uint64_t beat_every(const struct remote *r)
{
    uint64_t ms = BEAT_MAX_MS;
    for (const struct remote_watch *w = r->watches; w; w = w->next)
        if (w->watch->lease_ms && w->watch->lease_ms / 3 < ms) ms = w->watch->lease_ms / 3;
    return ms ? ms : 1;
}

static void beat(struct remote *r, struct remote_watch *w)
{
    wire_put_beat(wire_link_out(&r->link), w->id, loop_now_ms(r->loop)); /* the tag is when it was said */
}

static void tell_watch(struct remote *r, struct remote_watch *w)
{
    const struct store_watch *s = w->watch;
    w->id = ++r->last_id;
    w->told_ms = loop_now_ms(r->loop);
    wire_put_watch(wire_link_out(&r->link), w->id,
                   &(struct wire_watch){.space = s->space,
                                        .prefix = s->prefix,
                                        .name = s->name,
                                        .lease_ms = s->lease_ms,
                                        .from = s->seen,
                                        .confirmed = w->confirmed});
    beat(r, w);
}

static void on_beat_time(struct timer *t)
{
    struct remote *r = CONTAINER_OF(t, struct remote, beat);
    uint64_t now = loop_now_ms(r->loop);
    if (r->state != UP || !r->watches) return;
    if (now > r->heard_ms + SILENCE_MS) {
        r->link.on_end(&r->link, ERR_TIMEOUT);
        return;
    }
    for (struct remote_watch *w = r->watches; w; w = w->next) {
        if (!w->id)
            tell_watch(r, w); /* it was refused: perhaps there is room now */
        else
            beat(r, w);
    }
    timer_set(r->loop, t, now + beat_every(r));
}

static enum err watch_start(struct store *s, struct store_watch *watch)
{
    struct remote *r = of(s);
    if (r->n_watches >= STORE_REMOTE_WATCHES) return ERR_LIMIT;
    struct remote_watch *w = calloc(1, sizeof *w);
    if (!w) return ERR_NO_MEMORY;
    w->remote = r;
    w->watch = watch;
    w->confirmed = watch->from;
    w->next = r->watches;
    r->watches = w;
    r->n_watches++;
    watch->impl = w;
    if (r->state == UP) {
        uint64_t at = loop_now_ms(r->loop) + beat_every(r);
        tell_watch(r, w);
        if (!timer_is_set(&r->beat) || r->beat.at_ms > at) timer_set(r->loop, &r->beat, at);
    }
    want_connection(r);
    return ERR_OK;
}

static void watch_stop(struct store *s, struct store_watch *watch)
{
    struct remote *r = of(s);
    struct remote_watch *w = watch->impl, **at = &r->watches;
    if (r->state == UP && w->id) wire_put_bare(wire_link_out(&r->link), WIRE_UNWATCH, w->id);
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    r->n_watches--;
    if (r->delivering == w) r->delivering = NULL;
    free(w);
}

static void watch_confirm(struct store *s, struct store_watch *watch, struct store_position at)
{
    struct remote *r = of(s);
    struct remote_watch *w = watch->impl;
    w->confirmed = at;
    if (r->state == UP && w->id) wire_put_position(wire_link_out(&r->link), WIRE_CONFIRM, w->id, at);
}

/* NULL: stopped, and the server did not know yet when it wrote the frame. */
static struct remote_watch *find_watch(struct remote *r, uint32_t id)
{
    struct remote_watch *w = r->watches;
    while (w && w->id != id) w = w->next;
    return w;
}

static enum err on_watching(struct remote *r, const struct wire_frame *f)
{
    enum err answer = ERR_OK, e = wire_watching(f->body, &answer);
    struct remote_watch *w = find_watch(r, f->id);
    if (e != ERR_OK || !w) return e;
    if (answer != ERR_OK) {
        log_event(LOG_LEVEL_WARN, log_msg("the store refuses a watch: asked again later"),
                  log_str("watcher", w->watch->name), log_str("why", str_of(err_name(answer))));
        w->id = 0;
        return ERR_OK;
    }
    w->watch->up = true;
    if (w->watch->on_link) w->watch->on_link(w->watch, true);
    return ERR_OK;
}

static void deliver(struct remote_watch *w, const struct store_change *c)
{
    struct store_watch *s = w->watch;
    if (c->kind == STORE_RESYNC_BEGIN) {
        w->resyncing = true;
        s->seen = (struct store_position){0};
    }
    if (c->kind == STORE_RESYNC_END) w->resyncing = false;
    if (!w->resyncing) s->seen = c->at;
    s->on_change(s, c);
}

static enum err on_changes(struct remote *r, const struct wire_frame *f)
{
    struct remote_watch *w = find_watch(r, f->id);
    str body = f->body;
    struct store_change c;
    enum err e;
    r->delivering = w;
    while ((e = wire_change(&body, &c)) == ERR_OK)
        if (r->delivering) deliver(w, &c);
    r->delivering = NULL;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err on_page(struct remote *r, const struct wire_frame *f)
{
    struct store_position at = {0};
    enum err e = wire_position(f->body, &at);
    struct remote_watch *w = find_watch(r, f->id);
    if (e != ERR_OK || !w) return e;
    if (!w->resyncing && at.epoch) w->watch->seen = at; /* what others changed is behind us, too */
    wire_put_bare(wire_link_out(&r->link), WIRE_NEXT, w->id);
    return ERR_OK;
}

static enum err on_beaten(struct remote *r, const struct wire_frame *f)
{
    struct wire_beaten b;
    enum err e = wire_beaten(f->body, &b);
    struct remote_watch *w = find_watch(r, f->id);
    if (e != ERR_OK || !w) return e;
    if (b.tag < w->told_ms || b.tag > loop_now_ms(r->loop)) return ERR_MALFORMED; /* no beat of ours */
    uint64_t until = b.tag + w->watch->lease_ms;
    until = b.held_ms < until ? until - b.held_ms : 0;
    if (!w->watch->lease_ms || until <= w->watch->fresh_until_ms) return ERR_OK;
    w->watch->fresh_until_ms = until;
    if (w->watch->on_fresh) w->watch->on_fresh(w->watch);
    return ERR_OK;
}

/* Each is marked before it is told: whoever is told may stop any of them. */
static void watches_broke(struct remote *r)
{
    struct remote_watch *w;
    for (w = r->watches; w; w = w->next) w->id = 0;
    do {
        for (w = r->watches; w && !w->watch->up;) w = w->next;
        if (!w) return;
        w->watch->up = false;
        if (w->watch->on_link) w->watch->on_link(w->watch, false);
    } while (w);
}

/* --- the connection --- */

static void on_pause(struct timer *t)
{
    struct remote *r = CONTAINER_OF(t, struct remote, pause);
    r->state = IDLE;
    if (r->first || r->watches) connect_now(r);
}

static void pause_then_again(struct remote *r)
{
    r->state = PAUSE;
    timer_clear(r->loop, &r->greet);
    timer_set(r->loop, &r->pause, loop_now_ms(r->loop) + r->pause_ms);
    r->pause_ms = r->pause_ms * 2 < PAUSE_MAX_MS ? r->pause_ms * 2 : PAUSE_MAX_MS;
}

static void lost(struct remote *r, const char *why)
{
    bool was_up = r->state == UP;
    if (was_up || !r->told)
        log_event(LOG_LEVEL_WARN,
                  log_msg(was_up ? "lost the data role: connecting again" : "cannot reach the data role"),
                  log_str("why", str_of(why)));
    r->told = true;
    timer_clear(r->loop, &r->beat);
    watch_drop(r->loop, &r->connecting);
    wire_link_close(&r->link);
    if (was_up) r->pause_ms = PAUSE_MIN_MS;
    pause_then_again(r);
    if (!was_up) return;
    watches_broke(r);
    questions_broke(r);
}

static void on_end(struct wire_link *link, enum err why)
{
    struct remote *r = CONTAINER_OF(link, struct remote, link);
    lost(r, why == ERR_MALFORMED ? "it does not speak our protocol" : err_name(why));
}

static enum err on_welcome(struct remote *r, const struct wire_frame *f)
{
    struct wire_welcome w;
    struct wire_refused refused;
    if (f->type == WIRE_REFUSED && wire_refused(f->body, &refused) == ERR_OK) {
        log_event(LOG_LEVEL_ERROR, log_msg("the data role speaks another version of the protocol"),
                  log_u64("ours", WIRE_VERSION), log_u64("its", refused.version));
        r->pause_ms = PAUSE_MAX_MS;
        return ERR_UNSUPPORTED;
    }
    if (f->type != WIRE_WELCOME || wire_welcome(f->body, &w) != ERR_OK || w.version != WIRE_VERSION)
        return ERR_MALFORMED;
    timer_clear(r->loop, &r->greet);
    r->spaces = w.spaces;
    r->state = UP;
    r->pause_ms = PAUSE_MIN_MS;
    r->connects++;
    if (r->told) log_event(LOG_LEVEL_INFO, log_msg("connected to the data role"));
    r->told = false;
    for (struct remote_watch *one = r->watches; one; one = one->next) tell_watch(r, one);
    timer_set(r->loop, &r->beat, loop_now_ms(r->loop) + beat_every(r));
    send_questions(r);
    return ERR_OK;
}

static enum err on_frame(struct wire_link *link, const struct wire_frame *f)
{
    struct remote *r = CONTAINER_OF(link, struct remote, link);
    r->heard_ms = loop_now_ms(r->loop);
    if (r->state == GREETING) return on_welcome(r, f);
    switch (f->type) {
    case WIRE_ANSWER: return on_answer(r, f);
    case WIRE_WATCHING: return on_watching(r, f);
    case WIRE_CHANGES: return on_changes(r, f);
    case WIRE_PAGE: return on_page(r, f);
    case WIRE_BEATEN: return on_beaten(r, f);
    case WIRE_HELLO:
    case WIRE_REQUEST:
    case WIRE_WATCH:
    case WIRE_NEXT:
    case WIRE_CONFIRM:
    case WIRE_BEAT:
    case WIRE_UNWATCH:
    case WIRE_WELCOME:
    case WIRE_REFUSED: break;
    }
    return ERR_MALFORMED;
}

static void on_sent(struct wire_link *link)
{
    send_questions(CONTAINER_OF(link, struct remote, link));
}

static void on_greet_time(struct timer *t)
{
    lost(CONTAINER_OF(t, struct remote, greet), "it says nothing");
}

static void say_hello(struct remote *r, int fd)
{
    if (!unix_socket_peer_ok(fd)) {
        struct watch other = {.fd = fd};
        watch_close(&other);
        lost(r, "a process of another user has its socket");
        return;
    }
    if (wire_link_open(&r->link, r->loop, fd, OUT_MAX) != ERR_OK) {
        lost(r, "no descriptors");
        return;
    }
    r->state = GREETING;
    r->heard_ms = loop_now_ms(r->loop);
    timer_set(r->loop, &r->greet, r->heard_ms + GREET_MS);
    wire_put_hello(wire_link_out(&r->link),
                   &(struct wire_hello){WIRE_VERSION, (1u << STORE_SPACES) - 1, str_make(r->name, r->name_n)});
}

static void on_connecting(struct watch *w, uint32_t events)
{
    struct remote *r = CONTAINER_OF(w, struct remote, connecting);
    (void)events;
    if (net_connect_result(w->fd) == ERR_OK)
        say_hello(r, watch_release(r->loop, w));
    else
        lost(r, "nobody listens");
}

static void connect_now(struct remote *r)
{
    int fd;
    bool done;
    timer_clear(r->loop, &r->pause);
    r->attempt_ms = loop_now_ms(r->loop);
    if (net_connect(&r->address, &fd, &done) != ERR_OK) {
        lost(r, "nobody listens");
        return;
    }
    if (done) {
        say_hello(r, fd);
        return;
    }
    r->state = CONNECTING;
    r->connecting = (struct watch){on_connecting, fd};
    timer_set(r->loop, &r->greet, r->attempt_ms + GREET_MS);
    if (watch_add(r->loop, &r->connecting, EPOLLOUT) != ERR_OK) lost(r, "no descriptors");
}

/* --- life --- */

static void remote_free(struct store *s)
{
    struct remote *r = of(s);
    wire_link_close(&r->link); /* takes of leases that are already written still leave */
    watch_drop(r->loop, &r->connecting);
    r->state = PAUSE; /* nobody connects any more */
    r->attempt_ms = UINT64_MAX - PAUSE_MIN_MS;
    struct timer *timers[] = {&r->pause, &r->greet, &r->deadline, &r->beat};
    for (size_t i = 0; i < ARRAY_LEN(timers); i++) timer_clear(r->loop, timers[i]);
    while (r->first) end_with(r, r->first, ERR_CLOSED);
    on_fail(&r->fail);
    while (r->watches) {
        struct store_watch *w = r->watches->watch;
        watch_stop(s, w);
        w->impl = NULL;
        w->up = false;
    }
    timer_clear(r->loop, &r->deadline);
    loop_undefer(r->loop, &r->fail);
    free(r);
}

static const struct store_ops remote_ops = {.submit = submit,
                                            .watch_start = watch_start,
                                            .watch_stop = watch_stop,
                                            .watch_confirm = watch_confirm,
                                            .free = remote_free};

enum err store_remote_new(struct loop *loop, str address, str name, struct store **out)
{
    struct net_addr a;
    enum err e = str_starts(address, STR("unix:")) ? net_addr_parse(address, &a) : ERR_MALFORMED;
    if (e == ERR_OK && name.n > STORE_NAME_MAX) e = ERR_LIMIT;
    if (e == ERR_OK && !name.n) e = ERR_MALFORMED;
    for (size_t i = 0; e == ERR_OK && i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~') e = ERR_MALFORMED;
    if (e != ERR_OK) return e;
    struct remote *r = calloc(1, sizeof *r);
    if (!r) return ERR_NO_MEMORY;
    r->store = (struct store){&remote_ops, loop};
    r->loop = loop;
    r->address = a;
    memcpy(r->name, name.p, name.n);
    r->name_n = name.n;
    r->connecting.fd = -1;
    r->link = (struct wire_link){.from = WIRE_OF_SERVER,
                                 .max_body = WIRE_BODY_MAX,
                                 .on_frame = on_frame,
                                 .on_end = on_end,
                                 .on_sent = on_sent};
    r->pause.on_time = on_pause;
    r->greet.on_time = on_greet_time;
    r->deadline.on_time = on_deadline;
    r->beat.on_time = on_beat_time;
    r->fail.run = on_fail;
    r->waiting_end = &r->waiting;
    r->failed_end = &r->failed;
    r->pause_ms = PAUSE_MIN_MS;
    *out = &r->store;
    return ERR_OK;
}

bool store_remote_up(const struct store *s)
{
    return ((const struct remote *)(const void *)s)->state == UP;
}

uint64_t store_remote_connects(const struct store *s)
{
    return ((const struct remote *)(const void *)s)->connects;
}
