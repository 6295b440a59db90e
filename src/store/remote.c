#include "store/remote_private.h"

#include "base/log.h"
#include "net/unix_socket.h"
#include "store/job.h"

#include <stdlib.h>

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 5000
#define GREET_MS     5000                          /* for the server's welcome */
#define BACKLOG      STORE_BATCH_MAX               /* further questions wait while so much waits to be sent */
#define OUT_MAX      (BACKLOG + 4 * WIRE_BODY_MAX) /* never reached unless the server stops reading for long */

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
void remote_want(struct remote *r)
{
    uint64_t now = loop_now_ms(r->loop);
    if (r->state == IDLE || (r->state == PAUSE && now >= r->attempt_ms + PAUSE_MIN_MS)) connect_now(r);
}

static void submit(struct store *s, struct store_job *job)
{
    struct remote *r = remote_of(s);
    enum err e = store_job_check(job);
    if (e == ERR_OK && r->n_questions >= STORE_REMOTE_JOBS) e = ERR_LIMIT;
    struct question *q = e == ERR_OK ? calloc(1, sizeof *q) : NULL;
    if (!q) {
        fail(r, job, e == ERR_OK ? ERR_NO_MEMORY : e);
        return;
    }
    q->job = job;
    q->deadline_ms = loop_now_ms(r->loop) + STORE_REMOTE_DEADLINE_MS;
    list_add(r, q);
    wait_last(r, q);
    if (r->first == q) set_deadline(r);
    remote_want(r);
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
    remote_watches_broke(r);
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
    remote_watches_up(r);
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
    case WIRE_WATCHING: return remote_on_watching(r, f);
    case WIRE_CHANGES: return remote_on_changes(r, f);
    case WIRE_PAGE: return remote_on_page(r, f);
    case WIRE_BEATEN: return remote_on_beaten(r, f);
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
    struct remote *r = remote_of(s);
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
        remote_watch_stop(s, w);
        w->impl = NULL;
        w->up = false;
    }
    timer_clear(r->loop, &r->deadline);
    loop_undefer(r->loop, &r->fail);
    free(r);
}

static const struct store_ops remote_ops = {.submit = submit,
                                            .watch_start = remote_watch_start,
                                            .watch_stop = remote_watch_stop,
                                            .watch_confirm = remote_watch_confirm,
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
    r->beat.on_time = remote_on_beat_time;
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
