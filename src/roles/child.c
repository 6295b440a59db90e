#include "roles/child.h"

#include "base/log.h"
#include "net/handed.h"
#include "roles/bundle.h"
#include "roles/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static struct child {
    struct watch watch; /* fd: of the pair, also before it is watched */
    struct loop *loop;
    struct child_events events;
    struct bundle *bundle, *coming; /* in force; being looked at */
    struct timer beat;
    uint64_t beat_ms;
    int32_t parent;
    uint64_t asked, answered; /* questions for a bundle; the last one before this bundle was read */
    bool wait, bare, draining;
} child = {.watch = {.fd = -1}};

bool child_called(int *out)
{
    uint64_t fd;
    const char *text = getenv(CHILD_VARIABLE);
    if (!text) return false;
    bool good = str_to_u64(str_of(text), &fd) == ERR_OK && fd < 1 << 20 && wire_is((int)fd, getppid());
    unsetenv(CHILD_VARIABLE);
    *out = good ? (int)fd : -1;
    return true;
}

/* --- the start --- */

static enum err take_bundle(int fd)
{
    struct bundle *b;
    enum err e = bundle_open(fd, &b);
    if (e != ERR_OK) return e;
    bundle_free(&child.coming);
    child.coming = b;
    return ERR_OK;
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++) close(fds[i]);
}

/* One message of the start. */
static enum err started_with(const struct wire_message *m, const int *fds, size_t n, struct plan *plan)
{
    enum err e = ERR_MALFORMED;
    size_t used = 0;
    if (m->kind == WIRE_START && n == 1) {
        used = 1;
        child.wait = m->number & WIRE_START_WAIT;
        child.bare = m->number & WIRE_START_NO_SANDBOX;
        e = bundle_plan(fds[0], plan);
        if (e == ERR_OK)
            e = take_bundle(fds[0]);
        else
            close(fds[0]);
    } else if (m->kind == WIRE_SOCKETS) {
        for (e = ERR_OK; used < n && e == ERR_OK; used++) e = handed_give(str_of(m->text), fds[used]);
    } else if (m->kind == WIRE_GO) {
        child.beat_ms = m->number;
        e = ERR_OK;
    }
    close_all(fds + used, n - used);
    return e;
}

/* The terminal's Ctrl-C and a service manager's SIGTERM reach every process of the group: the parent hears them and
 * says what is to be done. */
static void leave_signals_to_parent(void)
{
    static const int all[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) signal(all[i], SIG_IGN);
}

enum err child_enter(int fd)
{
    struct wire_message m = {.kind = WIRE_NONE};
    struct plan *plan = calloc(1, sizeof *plan);
    int fds[WIRE_FDS];
    size_t n = 0;
    enum err e = plan ? ERR_OK : ERR_NO_MEMORY;
    child.watch.fd = fd;
    child.parent = getppid();
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)prctl(PR_SET_NAME, "sallyport-serve", 0, 0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    leave_signals_to_parent();
    if (e == ERR_OK && !wire_is(fd, child.parent)) e = ERR_CLOSED; /* it died before we asked to die with it */
    while (e == ERR_OK && m.kind != WIRE_GO) {
        e = wire_receive(fd, true, &m, fds, &n);
        if (e == ERR_OK) e = started_with(&m, fds, n, plan);
    }
    if (e == ERR_OK && !child.coming) e = ERR_MALFORMED;
    if (e == ERR_OK && plan->good) {
        (void)setenv("SQLITE_TMPDIR", plan->data, 1); /* the sandbox has no other folder */
        if (plan->sandbox && !child.bare) e = sandbox_shut(plan->data);
    }
    free(plan);
    return e;
}

bool child_config(str *text, str *findings)
{
    const struct bundle *b = child.coming ? child.coming : child.bundle;
    if (b) return bundle_config(b, text, findings);
    *text = STR("there is no configuration\n");
    *findings = STR("[]");
    return false;
}

const struct config_source *child_source(void)
{
    const struct bundle *b = child.coming ? child.coming : child.bundle;
    return b ? bundle_source(b) : NULL;
}

/* What is in force stays at hand for what is made from it later, and takes no memory until then. */
static void settle(bool in_force)
{
    if (!in_force && child.bundle) {
        bundle_free(&child.coming);
        return;
    }
    if (child.coming) {
        bundle_free(&child.bundle);
        child.bundle = child.coming;
        child.coming = NULL;
    }
    if (child.bundle) bundle_rest(child.bundle);
}

/* --- what it says --- */

static void say(enum wire_kind kind, uint64_t number)
{
    (void)!wire_send(child.watch.fd, kind, number, STR(""), NULL, 0, true); /* a parent that is gone takes us along */
}

void child_ready(uint64_t generation)
{
    settle(true);
    say(WIRE_READY, generation);
}

void child_want_bundle(void)
{
    say(WIRE_WANT_BUNDLE, ++child.asked);
}

bool child_answered(void)
{
    return child.answered >= child.asked;
}

void child_reloading(void)
{
    say(WIRE_RELOADING, 0);
}

void child_reloaded(bool in_force)
{
    settle(in_force);
    say(WIRE_RELOADED, in_force);
}

void child_ending(void)
{
    say(WIRE_ENDING, 0);
}

void child_freed(void)
{
    say(WIRE_FREED, 0);
}

bool child_want_upgrade(void)
{
    if (child.draining) return false;
    say(WIRE_WANT_UPGRADE, 0);
    return true;
}

int32_t child_parent(void)
{
    return child.watch.fd >= 0 ? child.parent : 0;
}

enum err child_await_turn(void)
{
    struct wire_message m;
    if (!child.wait) return ERR_OK;
    child.wait = false;
    say(WIRE_WAITS, 0);
    for (;;) {
        enum err e = wire_receive(child.watch.fd, true, &m, NULL, NULL);
        if (e != ERR_OK) return e;
        if (m.kind == WIRE_OPEN) return ERR_OK;
        if (m.kind == WIRE_DRAIN) return ERR_CLOSED;
    }
}

/* --- what it is told --- */

static void told(const struct wire_message *m, const int *fds, size_t n)
{
    const struct child_events *on = &child.events;
    size_t used = 0;
    switch (m->kind) {
    case WIRE_BUNDLE:
        if (n == 0) break;
        used = 1;
        child.answered = m->number;
        if (take_bundle(fds[0]) == ERR_OK)
            on->bundle(on->ctx);
        else
            on->no_bundle(on->ctx, STR("what the parent process has read cannot be used"));
        break;
    case WIRE_NO_BUNDLE:
        child.answered = m->number;
        on->no_bundle(on->ctx, str_of(m->text));
        break;
    case WIRE_DRAIN:
        child.draining = true;
        on->drain(on->ctx, (unsigned)m->number);
        break;
    case WIRE_HAND_OVER:
        child.draining = true;
        if (on->hand_over)
            on->hand_over(on->ctx);
        else
            on->drain(on->ctx, WIRE_DRAIN_TAKEN_OVER);
        break;
    case WIRE_UPGRADED:
        if (on->upgraded) on->upgraded(on->ctx, m->number == 1, str_of(m->text));
        break;
    default: break; /* of a later version */
    }
    close_all(fds + used, n - used);
}

static void on_parent(struct watch *w, uint32_t events)
{
    struct wire_message m;
    int fds[WIRE_FDS];
    size_t n = 0;
    (void)events;
    for (;;) {
        enum err e = wire_receive(w->fd, false, &m, fds, &n);
        if (e == ERR_AGAIN) return;
        if (e != ERR_OK) break;
        told(&m, fds, n);
        if (w->fd < 0) return;
    }
    log_event(LOG_LEVEL_ERROR, log_msg("the parent process is gone: ending at once"));
    watch_close(w);
    child.events.drain(child.events.ctx, WIRE_DRAIN_NOW);
}

static void on_beat(struct timer *t)
{
    say(WIRE_ALIVE, 0);
    timer_set(child.loop, t, loop_now_ms(child.loop) + child.beat_ms);
}

enum err child_watch(struct loop *loop, const struct child_events *events)
{
    child.loop = loop;
    child.events = *events;
    child.watch.on_event = on_parent;
    child.beat.on_time = on_beat;
    if (child.beat_ms) timer_set(loop, &child.beat, loop_now_ms(loop) + child.beat_ms);
    return watch_add(loop, &child.watch, EPOLLIN | EPOLLRDHUP);
}

void child_unwatch(struct loop *loop)
{
    timer_clear(loop, &child.beat);
    if (child.watch.fd >= 0) child.watch.fd = watch_release(loop, &child.watch);
}
