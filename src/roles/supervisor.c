#include "roles/supervisor_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/pages.h"
#include "roles/child.h"
#include "roles/process.h"
#include "serve/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACK_OFF_MS     100 /* before one that died is started again; doubles */
#define BACK_OFF_MAX_MS 10000
#define CALM_MS         10000  /* who served so long did not die of its start */
#define READER_MS       120000 /* for all files and commands */
#define KILL_MS         3000   /* after having been told to end at once */
#define READ_EVERY_MS   50     /* a child that asks and asks does not keep the machine busy */

static struct supervisor supervisor; /* too large for a stack, and there is one */

uint64_t supervisor_now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

/* --- processes --- */

struct ward *supervisor_ward(struct supervisor *s, pid_t pid)
{
    for (int i = 0; i < WARDS_MAX && pid > 0; i++)
        if (s->wards[i].pid == pid) return &s->wards[i];
    return NULL;
}

void supervisor_tell(struct supervisor *s, struct ward *w, enum wire_kind kind, uint64_t number, str text)
{
    (void)s;
    if (w->fd < 0) return;
    /* one that does not read is one that does not serve; a closed end is told by its death */
    if (wire_send(w->fd, kind, number, text, NULL, 0, false) == ERR_AGAIN) kill(w->pid, SIGKILL);
}

void supervisor_drain(struct supervisor *s, struct ward *w, unsigned how)
{
    w->life = LIFE_DRAINING;
    w->deadline_ms = how == WIRE_DRAIN_NOW ? supervisor_now_ms() + KILL_MS : 0;
    supervisor_tell(s, w, WIRE_DRAIN, how, STR(""));
}

/* --- the configuration --- */

static void reader_run(struct supervisor *s, enum purpose purpose)
{
    supervisor_forked(s);
    (void)prctl(PR_SET_NAME, "sallyport-read", 0, 0, 0);
    enum err e = bundle_make(&s->o.bundle, purpose == FOR_START, s->coming);
    if (e != ERR_OK && purpose == FOR_START)
        fprintf(stderr, "sallyport: the configuration cannot be read: %s\n", err_name(e));
    fflush(NULL);
    _exit(e == ERR_OK ? 0 : 1);
}

static void no_bundle(struct supervisor *s, const char *why);

void supervisor_read(struct supervisor *s, enum purpose purpose)
{
    if (s->reader) {
        s->reload_again = true;
        return;
    }
    s->purpose = purpose;
    s->reading_for = s->asked;
    s->read_ms = supervisor_now_ms();
    s->coming = memfd_create("sallyport", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    fflush(NULL);
    pid_t pid = s->coming >= 0 ? fork() : -1;
    if (pid == 0) reader_run(s, purpose);
    if (pid < 0) {
        no_bundle(s, strerror(errno));
        return;
    }
    s->reader = pid;
    s->reader_deadline_ms = supervisor_now_ms() + READER_MS;
}

static void drop_coming(struct supervisor *s)
{
    if (s->coming >= 0) close(s->coming);
    s->coming = -1;
}

static void finish(struct supervisor *s, int code)
{
    s->code = code;
    s->finished = true;
}

static void no_bundle(struct supervisor *s, const char *why)
{
    enum purpose purpose = s->ending ? FOR_NOTHING : s->purpose;
    s->purpose = FOR_NOTHING;
    drop_coming(s);
    if (purpose == FOR_START) {
        fprintf(stderr, "sallyport: the configuration cannot be read: %s\n", why);
        finish(s, 1);
    } else if (purpose == FOR_RELOAD && s->serving) {
        supervisor_tell(s, s->serving, WIRE_NO_BUNDLE, s->reading_for, str_of(why));
    } else if (purpose == FOR_UPGRADE) {
        upgrade_back(s, "the configuration cannot be read: %s", why);
    }
}

static void take_coming(struct supervisor *s)
{
    if (s->bundle >= 0) close(s->bundle);
    s->bundle = s->coming;
    s->coming = -1;
}

static void first_bundle(struct supervisor *s)
{
    if (s->plan.code) {
        finish(s, (int)s->plan.code);
        return;
    }
    if (sockets_open(s) != ERR_OK) {
        finish(s, 1);
        return;
    }
    take_coming(s);
    s->serving = supervisor_spawn(s, s->bundle, false);
    if (s->serving) return;
    fprintf(stderr, "sallyport: cannot start a process: %s\n", strerror(errno));
    finish(s, 1);
}

static void next_bundle(struct supervisor *s)
{
    if (s->plan.code || !s->plan.good) {
        upgrade_back(s, "the configuration was refused");
    } else if (sockets_open(s) != ERR_OK) {
        upgrade_back(s, "it cannot listen where the configuration says");
    } else {
        s->next = supervisor_spawn(s, s->coming, true);
        if (!s->next) upgrade_back(s, "cannot start a process: %s", strerror(errno));
    }
}

static void read_done(struct supervisor *s, int status)
{
    struct plan plan;
    s->reader = 0;
    if (s->ending || status != 0 || bundle_plan(s->coming, &plan) != ERR_OK) {
        no_bundle(s, s->reader_deadline_ms <= supervisor_now_ms() ? "its files or commands took too long"
                                                                  : "the process that reads it failed");
        return;
    }
    (void)fcntl(s->coming, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    enum purpose purpose = s->purpose;
    s->purpose = FOR_NOTHING;
    if (purpose == FOR_RELOAD) {
        /* what is listened on stays: the one who serves refuses a configuration that wants it otherwise */
        if (s->serving &&
            wire_send(s->serving->fd, WIRE_BUNDLE, s->reading_for, STR(""), &s->coming, 1, false) == ERR_OK)
            return;
        drop_coming(s);
        return;
    }
    s->plan = plan;
    if (purpose == FOR_START) first_bundle(s);
    if (purpose == FOR_UPGRADE) next_bundle(s);
}

/* --- what the serving processes say --- */

static void ready(struct supervisor *s, struct ward *w)
{
    bool first = !s->served;
    w->life = LIFE_SERVING;
    w->deadline_ms = 0;
    w->since_ms = supervisor_now_ms();
    s->served = true;
    if (w == s->next) {
        upgrade_done(s);
        return;
    }
    sockets_forget(s);
    notify_ready();
    if (!first)
        log_event(LOG_LEVEL_WARN, log_msg("serving again"), log_u64("pid", (uint64_t)w->pid));
    else
        pages_forget_start();
}

static void waits(struct supervisor *s, struct ward *w)
{
    struct ward *old = s->serving;
    w->life = LIFE_WAITING;
    if (w != s->next || !old || old->freed) {
        supervisor_tell(s, w, WIRE_OPEN, 0, STR(""));
        return;
    }
    old->life = LIFE_DRAINING;
    old->deadline_ms = supervisor_now_ms() + HAND_OVER_MS;
    supervisor_tell(s, old, WIRE_HAND_OVER, 0, STR(""));
}

static void freed(struct supervisor *s, struct ward *w)
{
    if (w->freed || w != s->serving || w->life != LIFE_DRAINING) return;
    w->freed = true;
    w->deadline_ms = 0;
    if (s->next && s->next->life == LIFE_WAITING) supervisor_tell(s, s->next, WIRE_OPEN, 0, STR(""));
}

static void reloaded(struct supervisor *s, struct ward *w, bool in_force)
{
    if (w != s->serving || s->reader) return;
    if (in_force && s->coming >= 0) take_coming(s);
    drop_coming(s);
    notify_ready();
}

static void heard(struct supervisor *s, struct ward *w, const struct wire_message *m)
{
    w->alive_ms = supervisor_now_ms();
    switch (m->kind) {
    case WIRE_READY:
        if (w->life == LIFE_STARTING || w->life == LIFE_WAITING) ready(s, w);
        break;
    case WIRE_WAITS:
        if (w->life == LIFE_STARTING) waits(s, w);
        break;
    case WIRE_FREED: freed(s, w); break;
    case WIRE_WANT_BUNDLE:
        if (w == s->serving) s->asked = m->number;
        if (w == s->serving && w->life == LIFE_SERVING && s->old_binary < 0)
            s->reload_again = true;
        else
            supervisor_tell(s, w, WIRE_NO_BUNDLE, m->number, STR("another process is about to take over"));
        break;
    case WIRE_RELOADING: notify_reloading(clock_mono_ns()); break;
    case WIRE_RELOADED: reloaded(s, w, m->number == 1); break;
    case WIRE_WANT_UPGRADE:
        if (w == s->serving) upgrade_begin(s, w->pid);
        break;
    default: break; /* WIRE_ALIVE, WIRE_ENDING, and what a later version says */
    }
}

static void hear(struct supervisor *s, struct ward *w)
{
    struct wire_message m;
    pid_t pid = w->pid;
    for (int i = 0; i < 64 && w->pid == pid && w->fd >= 0; i++) {
        enum err e = wire_receive(w->fd, false, &m, NULL, NULL);
        if (e == ERR_AGAIN) return;
        if (e == ERR_OK) {
            heard(s, w, &m);
            continue;
        }
        if (e == ERR_MALFORMED) kill(w->pid, SIGKILL); /* ours never does that */
        close(w->fd);
        w->fd = -1;
    }
}

/* --- their ends --- */

static const char *ending_text(int status, char out[64])
{
    if (WIFSIGNALED(status))
        snprintf(out, 64, "signal %d", WTERMSIG(status));
    else
        snprintf(out, 64, "exit status %d", WEXITSTATUS(status));
    return out;
}

static void serving_ended(struct supervisor *s, const struct ward *gone, int status)
{
    char text[64];
    uint64_t now = supervisor_now_ms();
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    s->serving = NULL;
    if (s->ending) {
        bool ours = WIFSIGNALED(status) && s->told > 1; /* it was told twice, and the second time it was killed */
        s->code = ours ? 0 : code;
        return;
    }
    if (!s->served) {
        if (WIFSIGNALED(status)) fprintf(stderr, "sallyport: it died at its start: %s\n", ending_text(status, text));
        finish(s, code);
        return;
    }
    if (s->asker == gone->pid) s->asker = 0;
    if (!s->reader) drop_coming(s); /* nobody will say what became of it */
    if (gone->life == LIFE_SERVING && now - gone->since_ms >= CALM_MS) s->back_off_ms = 0;
    s->back_off_ms = !s->back_off_ms                        ? BACK_OFF_MS
                     : s->back_off_ms * 2 > BACK_OFF_MAX_MS ? BACK_OFF_MAX_MS
                                                            : s->back_off_ms * 2;
    s->restart_ms = now + s->back_off_ms;
    log_event(LOG_LEVEL_ERROR, log_msg("the serving process died: it is started again, clients wait"),
              log_u64("pid", (uint64_t)gone->pid), log_str("by", str_of(ending_text(status, text))),
              log_u64("in_ms", s->back_off_ms));
    notify_status(STR("the serving process died and is started again"));
}

static void ward_ended(struct supervisor *s, struct ward *w, int status)
{
    char text[64];
    if (w->fd >= 0) hear(s, w); /* what it said last */
    struct ward gone = *w;
    if (w->fd >= 0) close(w->fd);
    *w = (struct ward){.fd = -1};
    if (w == s->next) {
        s->next = NULL;
        if (!s->ending) upgrade_back(s, "it ended before it served: %s", ending_text(status, text));
    } else if (w == s->serving && s->next && !s->ending) {
        s->serving = NULL; /* the one that takes over is there, or on its way */
        if (s->next->life == LIFE_WAITING) supervisor_tell(s, s->next, WIRE_OPEN, 0, STR(""));
    } else if (w == s->serving) {
        serving_ended(s, &gone, status);
    }
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct ward *w = supervisor_ward(s, pid);
        if (w)
            ward_ended(s, w, status);
        else if (pid == s->reader)
            read_done(s, status);
        else if (pid == s->trial)
            upgrade_trial_ended(s, status);
    }
}

/* --- signals --- */

static void end(struct supervisor *s)
{
    s->ending = true;
    s->told++;
    if (s->told == 1) notify_stopping();
    s->restart_ms = 0;
    if (s->reader) kill(s->reader, SIGKILL);
    if (s->trial) kill(s->trial, SIGKILL);
    for (int i = 0; i < WARDS_MAX; i++) {
        struct ward *w = &s->wards[i];
        if (!w->pid) continue;
        if (s->told > 1)
            supervisor_drain(s, w, WIRE_DRAIN_NOW);
        else if (w->life != LIFE_DRAINING)
            supervisor_drain(s, w, WIRE_DRAIN_SIGNAL);
    }
}

static void take_signals(struct supervisor *s)
{
    struct signalfd_siginfo i;
    while (read(s->signals, &i, sizeof i) == (ssize_t)sizeof i) {
        if (i.ssi_signo == SIGTERM || i.ssi_signo == SIGINT) end(s);
        if (i.ssi_signo == SIGUSR2 && !s->ending) upgrade_begin(s, 0);
        if (i.ssi_signo != SIGHUP || s->ending) continue;
        s->reload_again = true;
    }
    reap(s);
}

static bool open_signals(struct supervisor *s)
{
    static const int all[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        signal(all[i], SIG_DFL); /* one that is ignored (nohup) would not be told */
        sigaddset(&set, all[i]);
    }
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return s->signals >= 0;
}

/* --- time --- */

/* The service manager hears of us while somebody serves who is alive, or is being started. */
static void watchdog(struct supervisor *s, uint64_t now)
{
    struct ward *w = s->serving;
    if (!s->watchdog_ms) return;
    if (w && w->life == LIFE_SERVING && now - w->alive_ms > s->watchdog_ms / 4 * 3) {
        log_event(LOG_LEVEL_ERROR, log_msg("the serving process gives no sign of life: it is ended"),
                  log_u64("pid", (uint64_t)w->pid), log_u64("silent_ms", now - w->alive_ms));
        kill(w->pid, SIGKILL);
        w->alive_ms = now;
    }
    if (now - s->notified_ms < s->watchdog_ms / 4) return;
    s->notified_ms = now;
    notify_alive();
}

static void start_again(struct supervisor *s, uint64_t now)
{
    s->restart_ms = 0;
    s->asked = 0; /* it counts its own questions */
    s->serving = supervisor_spawn(s, s->bundle, false);
    if (!s->serving) s->restart_ms = now + BACK_OFF_MAX_MS;
}

/* Asked for, and somebody is there to take it. */
static bool reload_due(const struct supervisor *s)
{
    return s->reload_again && !s->reader && s->coming < 0 && s->old_binary < 0 && s->serving &&
           s->serving->life == LIFE_SERVING;
}

static void on_time(struct supervisor *s)
{
    uint64_t now = supervisor_now_ms();
    for (int i = 0; i < WARDS_MAX; i++) {
        struct ward *w = &s->wards[i];
        if (!w->pid || !w->deadline_ms || now < w->deadline_ms) continue;
        log_event(LOG_LEVEL_ERROR,
                  log_msg(w->life != LIFE_DRAINING ? "a process does not begin to serve: it is killed"
                          : s->told > 1            ? "a process does not end at once: it is killed"
                                                   : "a process does not give up the store: it is killed"),
                  log_u64("pid", (uint64_t)w->pid));
        kill(w->pid, SIGKILL);
        w->deadline_ms = now + KILL_MS;
    }
    if (s->reader && now >= s->reader_deadline_ms) kill(s->reader, SIGKILL);
    if (s->trial && now >= s->trial_deadline_ms) kill(s->trial, SIGKILL);
    if (s->restart_ms && now >= s->restart_ms && !s->ending) start_again(s, now);
    if (reload_due(s) && now >= s->read_ms + READ_EVERY_MS) {
        s->reload_again = false;
        supervisor_read(s, FOR_RELOAD);
    }
    watchdog(s, now);
}

static void sooner(uint64_t *at, uint64_t other)
{
    if (other && other < *at) *at = other;
}

static int wait_ms(const struct supervisor *s)
{
    uint64_t now = supervisor_now_ms(), at = UINT64_MAX;
    for (int i = 0; i < WARDS_MAX; i++)
        if (s->wards[i].pid) sooner(&at, s->wards[i].deadline_ms);
    if (s->reader) sooner(&at, s->reader_deadline_ms);
    if (s->trial) sooner(&at, s->trial_deadline_ms);
    sooner(&at, s->restart_ms);
    if (s->watchdog_ms) sooner(&at, now + s->watchdog_ms / 8);
    if (reload_due(s)) sooner(&at, s->read_ms + READ_EVERY_MS);
    if (at == UINT64_MAX) return -1;
    return at <= now ? 0 : at - now > 60000 ? 60000 : (int)(at - now) + 1;
}

/* --- life --- */

static void turn(struct supervisor *s)
{
    struct pollfd p[WARDS_MAX + 2];
    struct ward *who[WARDS_MAX];
    nfds_t n = 0;
    for (int i = 0; i < WARDS_MAX; i++) {
        if (!s->wards[i].pid || s->wards[i].fd < 0) continue;
        who[n] = &s->wards[i];
        p[n++] = (struct pollfd){.fd = s->wards[i].fd, .events = POLLIN};
    }
    nfds_t wards = n;
    p[n++] = (struct pollfd){.fd = s->signals, .events = POLLIN};
    if (s->trial && s->trial_out >= 0) p[n++] = (struct pollfd){.fd = s->trial_out, .events = POLLIN};
    if (poll(p, n, wait_ms(s)) > 0) {
        for (nfds_t i = 0; i < wards; i++)
            if (p[i].revents && who[i]->fd == p[i].fd) hear(s, who[i]);
        if (n > wards + 1 && p[wards + 1].revents) upgrade_trial_says(s);
        if (p[wards].revents) take_signals(s);
    }
    on_time(s);
}

static bool anybody(const struct supervisor *s)
{
    for (int i = 0; i < WARDS_MAX; i++)
        if (s->wards[i].pid) return true;
    return false;
}

static uint64_t watchdog_wanted(void)
{
    uint64_t us = 0, pid = (uint64_t)getpid();
    const char *text = getenv("WATCHDOG_USEC"), *who = getenv("WATCHDOG_PID");
    if (!text || str_to_u64(str_of(text), &us) != ERR_OK || us < 100000) return 0;
    if (who && (str_to_u64(str_of(who), &pid) != ERR_OK || pid != (uint64_t)getpid())) return 0;
    return us / 1000;
}

static int parent_run(struct supervisor *s)
{
    bool resumed = false;
    if (!program_find(s) || !open_signals(s)) {
        fprintf(stderr, "sallyport: cannot start: %s\n", s->argv ? strerror(errno) : "/proc is not there");
        return 1;
    }
    log_set_role("parent");
    s->watchdog_ms = watchdog_wanted();
    process_raise_limits();
    enum err e = upgrade_resume(s, &resumed);
    if (e != ERR_OK) return 1;
    if (!resumed) {
        sockets_given(s);
        supervisor_read(s, FOR_START);
    }
    while (!s->finished && (!s->ending || anybody(s))) turn(s);
    sockets_close(s);
    free(s->argv);
    free(s->program);
    return s->code;
}

int supervisor_run(const struct supervisor_options *o)
{
    struct supervisor *s = &supervisor;
    int fd, code = 1;
    if (child_called(&fd)) {
        if (fd < 0 || child_enter(fd) != ERR_OK) {
            fprintf(stderr, "sallyport: " CHILD_VARIABLE " is set, and there is no parent process\n");
            return 1;
        }
        return o->serve(o->ctx);
    }
    if (upgrade_trial(o, &code)) return code;
    s->o = *o; /* the rest is zero as it stands; to write all of it would take a third of a megabyte */
    s->signals = s->bundle = s->coming = s->old_binary = s->trial_out = -1;
    for (int i = 0; i < WARDS_MAX; i++) s->wards[i].fd = -1;
    return parent_run(s);
}
