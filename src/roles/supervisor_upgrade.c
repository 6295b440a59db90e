/* Another version takes over, in the process that is there:
 *
 *   1 trial     the new program is executed beside, reads the configuration and ends with TRIAL_GOOD;
 *   2 exec      this process executes it in its place: same process id, sockets and wards inherited, the rest told in a
 *               memory file (below). The old program is kept open;
 *   3 start     the new parent starts a new serving process, while the old one serves;
 *   4 turn      what only one may have (the store) the old one gives up when the new one has come to that point;
 *               connections wait in the queues of the sockets meanwhile;
 *   5 drain     the new one is ready: the old one ends what is under way.
 *
 * Where 3 or 4 fails the process executes the old program again, which goes on with the old serving process, or with a
 * new one of its own version when that has given up its part. What is told is text, so that versions can differ. */
#include "roles/supervisor_private.h"

#include "base/log.h"
#include "base/pages.h"
#include "serve/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TRIAL_VARIABLE   "SALLYPORT_UPGRADE_TRIAL"
#define UPGRADE_VARIABLE "SALLYPORT_UPGRADE_STATE"
#define TRIAL_GOOD       86
#define TRIAL_MS         60000
#define STATE_MAX        (1u << 20)
#define STATE_FIRST      "sallyport-upgrade 1"

/* --- 1: the trial --- */

bool upgrade_trial(const struct supervisor_options *o, int *code)
{
    if (!getenv(TRIAL_VARIABLE)) return false;
    struct plan *plan = malloc(sizeof *plan);
    int fd = memfd_create("sallyport", MFD_CLOEXEC);
    unsetenv(TRIAL_VARIABLE);
    *code = 1;
    if (plan && fd >= 0 && bundle_make(&o->bundle, true, fd) == ERR_OK && bundle_plan(fd, plan) == ERR_OK)
        *code = plan->code ? (int)plan->code : TRIAL_GOOD;
    if (fd >= 0) close(fd);
    free(plan);
    return true;
}

static void trial_run(struct supervisor *s, int out)
{
    supervisor_forked(s);
    if (dup2(out, 1) < 0 || dup2(out, 2) < 0 || setenv(TRIAL_VARIABLE, "1", 1) != 0) _exit(71);
    execv(s->program, s->argv);
    fprintf(stderr, "%s: %s\n", s->program, strerror(errno));
    fflush(stderr);
    _exit(71);
}

/* Why it cannot even be tried; NULL: it can. */
static const char *impossible(const struct supervisor *s)
{
    int wards = 0;
    for (int i = 0; i < WARDS_MAX; i++) wards += s->wards[i].pid != 0;
    if (s->o.same_image) return "`sallyport dev` is not replaced while it runs";
    if (s->old_binary >= 0 || s->trial) return "another upgrade is under way";
    if (s->reader || s->coming >= 0) return "the configuration is being read: try again";
    if (!s->serving || s->serving->life != LIFE_SERVING || s->next) return "nobody serves right now: try again";
    return wards + 1 < WARDS_MAX ? NULL : "too many earlier processes still drain: try again later";
}

void upgrade_begin(struct supervisor *s, pid_t asker)
{
    int out[2];
    const char *why = impossible(s);
    if (why) {
        pid_t first = s->asker; /* whose answer is still due */
        s->asker = asker;
        upgrade_refused(s, "%s", why);
        s->asker = first;
        return;
    }
    s->asker = asker;
    s->trial_n = 0;
    if (pipe2(out, O_CLOEXEC | O_NONBLOCK) != 0) {
        upgrade_refused(s, "no pipe: %s", strerror(errno));
        return;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) trial_run(s, out[1]);
    close(out[1]);
    if (pid < 0) {
        close(out[0]);
        upgrade_refused(s, "cannot start a process: %s", strerror(errno));
        return;
    }
    s->trial = pid;
    s->trial_out = out[0];
    s->trial_deadline_ms = supervisor_now_ms() + TRIAL_MS;
    log_event(LOG_LEVEL_INFO, log_msg("upgrade: the program is tried"), log_str("program", str_of(s->program)));
}

/* What it says is kept as far as a reason goes; the rest is read and dropped. */
void upgrade_trial_says(struct supervisor *s)
{
    char more[1024];
    ssize_t n;
    while ((n = read(s->trial_out, more, sizeof more)) > 0) {
        size_t room = sizeof s->trial_said - 1 - s->trial_n, take = (size_t)n < room ? (size_t)n : room;
        memcpy(s->trial_said + s->trial_n, more, take);
        s->trial_n += take;
    }
    if (n < 0 && errno == EAGAIN) return;
    close(s->trial_out);
    s->trial_out = -1;
}

static int execute_in_place(struct supervisor *s, int binary, const char *reason);

void upgrade_trial_ended(struct supervisor *s, int status)
{
    if (s->trial_out >= 0) upgrade_trial_says(s);
    if (s->trial_out >= 0) close(s->trial_out);
    s->trial_out = -1;
    s->trial = 0;
    while (s->trial_n && (unsigned char)s->trial_said[s->trial_n - 1] <= ' ') s->trial_n--;
    s->trial_said[s->trial_n] = 0;
    if (s->ending) return;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != TRIAL_GOOD) {
        bool late = supervisor_now_ms() >= s->trial_deadline_ms;
        if (late)
            upgrade_refused(s, "%s did not end its trial in time", s->program);
        else if (WIFSIGNALED(status))
            upgrade_refused(s, "%s died in its trial by signal %d%s%s", s->program, WTERMSIG(status),
                            s->trial_n ? ": " : "", s->trial_said);
        else if (WEXITSTATUS(status) == 0)
            upgrade_refused(s, "%s is no program that can take over", s->program);
        else
            upgrade_refused(s, "%s", s->trial_n ? s->trial_said : "the program failed its trial and said nothing");
        return;
    }
    s->old_binary = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    if (s->old_binary < 0) {
        upgrade_refused(s, "the program that runs cannot be kept: %s", strerror(errno));
        return;
    }
    int why = execute_in_place(s, -1, NULL);
    close(s->old_binary);
    s->old_binary = -1;
    upgrade_refused(s, "%s: %s", s->program, strerror(why));
}

/* --- 2: told to the other program --- */

static const char *life_name(const struct supervisor *s, const struct ward *w)
{
    return w == s->serving ? (w->life == LIFE_DRAINING ? "handing-over" : "serving") : "draining";
}

static void put_state(const struct supervisor *s, const char *reason, struct buf *out)
{
    buf_puts(out, STATE_FIRST "\n");
    buf_printf(out, "from " SALLYPORT_VERSION "\n");
    if (reason) buf_printf(out, "back %s\n", reason);
    if (!reason) buf_printf(out, "binary %d\n", s->old_binary);
    buf_printf(out, "bundle %d\nasker %ld\n", s->bundle, (long)s->asker);
    for (int i = 0; i < WARDS_MAX; i++) {
        const struct ward *w = &s->wards[i];
        if (w->pid && w != s->next && w->fd >= 0)
            buf_printf(out, "ward %ld %d %s %d\n", (long)w->pid, w->fd, life_name(s, w), w->freed);
    }
    for (size_t i = 0; i < s->n_held; i++) {
        const struct held *h = &s->held[i];
        if (!(reason && h->fresh))
            buf_printf(out, "socket %d %d %llu %llu %s %s\n", h->fd, h->given, (unsigned long long)h->file.device,
                       (unsigned long long)h->file.inode, h->kind, h->address);
    }
}

/* What the other program gets besides; the rest is closed by exec. */
static void keep_open(const struct supervisor *s, bool keep, bool back)
{
    int flag = keep ? 0 : FD_CLOEXEC;
    for (size_t i = 0; i < s->n_held; i++)
        if (!(back && s->held[i].fresh)) (void)fcntl(s->held[i].fd, F_SETFD, flag);
    for (int i = 0; i < WARDS_MAX; i++)
        if (s->wards[i].pid && s->wards[i].fd >= 0) (void)fcntl(s->wards[i].fd, F_SETFD, flag);
    if (s->bundle >= 0) (void)fcntl(s->bundle, F_SETFD, flag);
    if (s->old_binary >= 0) (void)fcntl(s->old_binary, F_SETFD, flag);
}

/* Returns only when it failed, with errno. `binary`: the program to go back to; -1: the one at its path. */
static int execute_in_place(struct supervisor *s, int binary, const char *reason)
{
    extern char **environ;
    char number[16];
    struct buf text;
    int fd = memfd_create("sallyport-upgrade", 0);
    if (fd < 0) return errno;
    buf_init(&text, STATE_MAX);
    put_state(s, reason, &text);
    snprintf(number, sizeof number, "%d", fd);
    int why = text.bad ? ENOMEM : 0;
    if (!why && write(fd, text.p, text.n) != (ssize_t)text.n) why = EIO;
    if (!why && setenv(UPGRADE_VARIABLE, number, 1) != 0) why = ENOMEM;
    buf_free(&text);
    if (!why) {
        keep_open(s, true, reason != NULL);
        fflush(NULL);
        if (binary >= 0)
            (void)fexecve(binary, s->argv, environ);
        else
            (void)execve(s->program, s->argv, environ);
        why = errno;
        keep_open(s, false, reason != NULL);
    }
    unsetenv(UPGRADE_VARIABLE);
    close(fd);
    return why;
}

/* --- 3: in the other program --- */

static bool number(str *line, uint64_t *out)
{
    return str_to_u64(str_cut(line, ' '), out) == ERR_OK;
}

static bool descriptor(uint64_t n, int *out)
{
    if (n > INT32_MAX || fcntl((int)n, F_SETFD, FD_CLOEXEC) != 0) return false;
    *out = (int)n;
    return true;
}

static void copy_text(char *to, size_t room, str text)
{
    snprintf(to, room, "%.*s", (int)(text.n < room ? text.n : room - 1), text.n ? text.p : "");
}

static bool take_ward(struct supervisor *s, str line)
{
    uint64_t pid, fd, freed;
    struct ward *w = NULL;
    for (int i = 0; i < WARDS_MAX && !w; i++)
        if (!s->wards[i].pid) w = &s->wards[i];
    if (!w || !number(&line, &pid) || !number(&line, &fd) || !descriptor(fd, &w->fd)) return false;
    str life = str_cut(&line, ' ');
    if (!number(&line, &freed)) return false;
    uint64_t now = supervisor_now_ms();
    w->pid = (pid_t)pid;
    w->freed = freed == 1;
    w->since_ms = w->alive_ms = now;
    w->life = str_eq(life, STR("serving")) ? LIFE_SERVING : LIFE_DRAINING;
    if (!str_eq(life, STR("draining"))) s->serving = w;
    return true;
}

static bool take_socket(struct supervisor *s, str line)
{
    uint64_t fd, given, device, inode;
    if (s->n_held == HANDED_MAX || !number(&line, &fd) || !number(&line, &given) || !number(&line, &device) ||
        !number(&line, &inode))
        return false;
    struct held *h = &s->held[s->n_held];
    *h = (struct held){.given = given == 1, .file = {.fd = -1, .device = device, .inode = inode}};
    if (!descriptor(fd, &h->fd)) return false;
    copy_text(h->kind, sizeof h->kind, str_cut(&line, ' '));
    copy_text(h->address, sizeof h->address, line);
    str path = str_of(h->address);
    if (str_starts(path, STR("unix:"))) path = str_from(path, 5);
    if (inode) copy_text(h->file.path, sizeof h->file.path, path);
    s->n_held++;
    return true;
}

static bool take_line(struct supervisor *s, str line, char reason[REASON_MAX], bool *back)
{
    uint64_t n;
    str what = str_cut(&line, ' ');
    if (str_eq(what, STR("ward"))) return take_ward(s, line);
    if (str_eq(what, STR("socket"))) return take_socket(s, line);
    if (str_eq(what, STR("binary"))) return number(&line, &n) && descriptor(n, &s->old_binary);
    if (str_eq(what, STR("bundle"))) return number(&line, &n) && descriptor(n, &s->bundle);
    if (str_eq(what, STR("from"))) copy_text(s->from, sizeof s->from, line);
    if (str_eq(what, STR("asker"))) {
        if (!number(&line, &n)) return false;
        s->asker = (pid_t)n;
    }
    if (str_eq(what, STR("back"))) {
        copy_text(reason, REASON_MAX, line);
        *back = true;
    }
    return true; /* what a later version tells and this one does not know does not hinder it */
}

/* After what only one may have has been given up, or was about to be: one of this version again. */
static void serve_again(struct supervisor *s)
{
    s->restart_ms = 0;
    if (bundle_plan(s->bundle, &s->plan) == ERR_OK && sockets_open(s) == ERR_OK)
        s->next = supervisor_spawn(s, s->bundle, s->serving != NULL && !s->serving->freed);
    if (s->next && s->next->deadline_ms) return;
    log_event(LOG_LEVEL_ERROR, log_msg("no process can be started that serves again: tried again soon"));
    s->restart_ms = supervisor_now_ms() + 1000;
}

enum err upgrade_resume(struct supervisor *s, bool *resumed)
{
    uint64_t fd;
    char reason[REASON_MAX] = "";
    bool back = false;
    const char *where = getenv(UPGRADE_VARIABLE);
    char *text = where ? malloc(STATE_MAX) : NULL;
    if (!where) return ERR_OK;
    ssize_t n = text && str_to_u64(str_of(where), &fd) == ERR_OK ? pread((int)fd, text, STATE_MAX, 0) : -1;
    unsetenv(UPGRADE_VARIABLE);
    if (n >= 0) close((int)fd);
    str left = str_make(text, n > 0 ? (size_t)n : 0);
    bool good = n > 0 && str_eq(str_cut(&left, '\n'), STR(STATE_FIRST));
    while (good && left.n) good = take_line(s, str_cut(&left, '\n'), reason, &back);
    free(text);
    if (!good || (!back && s->old_binary < 0)) {
        fprintf(stderr, "sallyport: what the version before has left cannot be understood\n");
        return ERR_MALFORMED;
    }
    *resumed = true;
    s->served = true;
    if (!back) {
        supervisor_read(s, FOR_UPGRADE);
        return ERR_OK;
    }
    if (bundle_plan(s->bundle, &s->plan) != ERR_OK || sockets_open(s) != ERR_OK)
        log_event(LOG_LEVEL_ERROR, log_msg("upgrade: the plan from before cannot be read"));
    upgrade_refused(s, "%s", reason);
    if (!s->serving || s->serving->life != LIFE_SERVING) serve_again(s);
    return ERR_OK;
}

/* --- 4, 5: how it ends --- */

static void answer(struct supervisor *s, bool done, const char *text)
{
    struct ward *w = supervisor_ward(s, s->asker);
    s->asker = 0;
    if (w) supervisor_tell(s, w, WIRE_UPGRADED, done, str_of(text));
}

void upgrade_refused(struct supervisor *s, const char *fmt, ...)
{
    char text[REASON_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    log_event(LOG_LEVEL_ERROR, log_msg("upgrade refused: the version that runs goes on"),
              log_str("version", STR(SALLYPORT_VERSION)), log_str("reason", str_of(text)));
    answer(s, false, text);
}

static void give_up_next(struct supervisor *s)
{
    if (s->reader) kill(s->reader, SIGKILL);
    if (s->next) kill(s->next->pid, SIGKILL);
    if (s->coming >= 0) close(s->coming);
    s->coming = -1;
    s->purpose = FOR_NOTHING;
}

void upgrade_back(struct supervisor *s, const char *fmt, ...)
{
    char text[REASON_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if (*p == '\n') *p = ' ';
    give_up_next(s);
    if (s->old_binary >= 0) {
        int why = execute_in_place(s, s->old_binary, text);
        log_event(LOG_LEVEL_ERROR, log_msg("upgrade: the program from before cannot be executed again"),
                  log_str("error", str_of(strerror(why))));
        close(s->old_binary);
        s->old_binary = -1;
        upgrade_refused(s, "%s", text);
    }
    s->next = NULL;
    if (s->serving && s->serving->life == LIFE_SERVING) return;
    if (s->serving) supervisor_drain(s, s->serving, WIRE_DRAIN_TAKEN_OVER); /* it has nothing to serve with any more */
    s->serving = NULL;
    s->restart_ms = supervisor_now_ms() + 1000;
}

void upgrade_done(struct supervisor *s)
{
    char text[200];
    struct ward *old = s->serving;
    bool upgrade = s->old_binary >= 0;
    s->serving = s->next;
    s->next = NULL;
    s->asked = 0;
    if (upgrade) {
        close(s->old_binary);
        s->old_binary = -1;
        if (s->bundle >= 0) close(s->bundle);
        s->bundle = s->coming;
        s->coming = -1;
    }
    sockets_forget(s);
    s->back_off_ms = 0;
    snprintf(text, sizeof text, "version %.60s took over from %.60s", SALLYPORT_VERSION, s->from);
    log_event(LOG_LEVEL_INFO, log_msg(upgrade ? "upgraded" : "serving again"),
              log_str("version", STR(SALLYPORT_VERSION)), log_str("from", str_of(s->from)),
              log_u64("pid", (uint64_t)s->serving->pid));
    if (upgrade) answer(s, true, text);
    if (old) supervisor_drain(s, old, WIRE_DRAIN_TAKEN_OVER);
    notify_ready();
    pages_forget_start();
}
