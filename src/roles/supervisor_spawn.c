/* How one that serves is made: a copy of this process, executed anew so that it has another address space, with nothing
 * of the environment that may be a secret. And which program that is. */
#include "roles/child.h"
#include "roles/supervisor_private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* --- which program --- */

static char **own_arguments(void)
{
    static char text[1 << 16];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    size_t n = 0;
    if (fd >= 0) close(fd);
    if (got <= 0 || got == (ssize_t)sizeof text - 1) return NULL;
    for (ssize_t i = 0; i < got; i++) n += !text[i];
    char **argv = calloc(n + 1, sizeof *argv);
    for (size_t i = 0, at = 0; argv && i < n; i++) {
        argv[i] = text + at;
        at += strlen(text + at) + 1;
    }
    return argv;
}

/* By the name it was started with, as a package or an administrator puts another version in its place; by itself when
 * that name says nothing. */
static char *own_program(const char *name)
{
    char here[4096], path[8300];
    const char *dirs = getenv("PATH");
    if (name[0] == '/') return strdup(name);
    if (strchr(name, '/') && getcwd(here, sizeof here)) {
        snprintf(path, sizeof path, "%s/%.4000s", here, name);
        return strdup(path);
    }
    str left = str_of(dirs ? dirs : "");
    while (left.n && !strchr(name, '/')) {
        str dir = str_cut(&left, ':');
        snprintf(path, sizeof path, "%.*s/%.255s", (int)(dir.n < 4000 ? dir.n : 4000), dir.p, name);
        if (dir.n && path[0] == '/' && access(path, X_OK) == 0) return strdup(path);
    }
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    return n > 0 ? strndup(path, (size_t)n) : NULL;
}

bool program_find(struct supervisor *s)
{
    s->argv = own_arguments();
    if (s->argv) s->program = own_program(s->argv[0] ? s->argv[0] : "");
    if (s->program && stat(s->program, &s->program_is) != 0) s->program_is = (struct stat){0};
    return s->argv && s->program;
}

/* --- the copy --- */

void supervisor_forked(struct supervisor *s)
{
    sigset_t none;
    sigemptyset(&none);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    signal(SIGPIPE, SIG_DFL);
    for (int i = 0; i < WARDS_MAX; i++)
        if (s->wards[i].pid && s->wards[i].fd >= 0) close(s->wards[i].fd);
    close(s->signals);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* What a serving process gets to see of the environment: nothing that may be a secret of somebody. */
static bool passes(const char *variable)
{
    static const str begin[] = {STR_INIT("LD_"),
                                STR_INIT("LC_"),
                                STR_INIT("LANG"),
                                STR_INIT("TZ="),
                                STR_INIT("PATH="),
                                STR_INIT("HOME="),
                                STR_INIT("TERM="),
                                STR_INIT("NO_COLOR"),
                                STR_INIT("MALLOC_"),
                                STR_INIT("GLIBC_TUN"),
                                STR_INIT("ASAN_OPT"),
                                STR_INIT("LSAN_OPT"),
                                STR_INIT("TSAN_OPT"),
                                STR_INIT("UBSAN_OPT"),
                                STR_INIT("GCOV_"),
                                STR_INIT("LLVM_PROFILE"),
                                STR_INIT("OPENSSL_"),
                                STR_INIT("SSL_CERT_"),
                                STR_INIT("RES_OPTIONS"),
                                STR_INIT("LOCALDOMAIN"),
                                STR_INIT("COUNT_"),
                                STR_INIT("JOURNAL_STREAM="),
                                STR_INIT("SALLYPORT_TEST_"),
                                STR_INIT(CHILD_VARIABLE "=")};
    for (size_t i = 0; i < ARRAY_LEN(begin); i++)
        if (str_starts(str_of(variable), begin[i])) return true;
    return false;
}

static bool same_program(const struct supervisor *s)
{
    struct stat now;
    const struct stat *then = &s->program_is;
    return then->st_ino && stat(s->program, &now) == 0 && now.st_ino == then->st_ino && now.st_dev == then->st_dev &&
           now.st_size == then->st_size && now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

static void execute_again(struct supervisor *s, int fd)
{
    extern char **environ;
    char number[16];
    size_t n = 0, kept = 0;
    snprintf(number, sizeof number, "%d", fd);
    if (fcntl(fd, F_SETFD, 0) != 0 || setenv(CHILD_VARIABLE, number, 1) != 0) _exit(71);
    while (environ[n]) n++;
    char **env = calloc(n + 1, sizeof *env);
    for (size_t i = 0; env && i < n; i++)
        if (passes(environ[i])) env[kept++] = environ[i];
    /* another address space, laid out anew: who makes one die learns nothing of the next. By its path as long as the
     * same file is there (tools that follow a program know no other way), else what still runs here. */
    if (env && same_program(s)) execve(s->program, s->argv, env);
    if (env) execve("/proc/self/exe", s->argv, env);
    fprintf(stderr, "sallyport: cannot execute itself: %s\n", strerror(errno));
    _exit(71);
}

/* The copy goes on from here with what its caller has made. */
static void serve_here(struct supervisor *s, int fd)
{
    enum err e = child_enter(fd);
    exit(e == ERR_OK ? s->o.serve(s->o.ctx) : 1);
}

struct ward *supervisor_spawn(struct supervisor *s, int bundle, bool wait)
{
    struct ward *w = NULL;
    int fds[2];
    for (int i = 0; i < WARDS_MAX && !w; i++)
        if (!s->wards[i].pid) w = &s->wards[i];
    if (!w || wire_pair(fds) != ERR_OK) return NULL;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        supervisor_forked(s);
        close(fds[0]);
        if (!s->o.same_image) execute_again(s, fds[1]);
        serve_here(s, fds[1]);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return NULL;
    }
    uint64_t now = supervisor_now_ms();
    *w = (struct ward){.pid = pid, .fd = fds[0], .life = LIFE_STARTING, .since_ms = now, .alive_ms = now};
    w->deadline_ms = now + START_MS;
    uint64_t bits = (wait ? WIRE_START_WAIT : 0) | (s->o.no_sandbox ? WIRE_START_NO_SANDBOX : 0);
    uint64_t beat = s->watchdog_ms ? s->watchdog_ms / 4 + 1 : 0;
    enum err e = wire_send(w->fd, WIRE_START, bits, STR(""), &bundle, 1, false);
    if (e == ERR_OK) e = sockets_hand(s, w->fd);
    if (e == ERR_OK) e = wire_send(w->fd, WIRE_GO, beat, STR(""), NULL, 0, false);
    if (e != ERR_OK) kill(pid, SIGKILL); /* its end is told like any other */
    return w;
}
