#include "config/secret_source.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAID_MAX 200 /* bytes of a command's stderr that are kept */

static enum err fail(struct secret_why *why, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
static enum err fail(struct secret_why *why, enum err e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why->text, sizeof why->text, fmt, args);
    va_end(args);
    return e;
}

/* The bytes without one newline at their end, as a secret; wipes the bytes. */
static enum err finish(char *bytes, size_t n, struct secret *out, struct secret_why *why)
{
    size_t kept = n;
    if (kept && bytes[kept - 1] == '\n') kept--;
    if (kept < n && kept && bytes[kept - 1] == '\r') kept--;
    enum err e = ERR_OK;
    if (n > SECRET_SOURCE_MAX)
        e = fail(why, ERR_LIMIT, "it is larger than 64 kB");
    else if (kept == 0)
        e = fail(why, ERR_MALFORMED, "it is empty");
    else if (secret_copy(str_make(bytes, kept), out) != ERR_OK)
        e = fail(why, ERR_NO_MEMORY, "out of memory");
    secret_wipe(bytes, n);
    return e;
}

/* --- files --- */

/* Opens for reading and looks at what was opened, not at the name. */
static enum err open_checked(const char *path, int *out, struct secret_why *why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        enum err e = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        return fail(why, e, "%s: %s", path, strerror(errno));
    }
    enum err e = ERR_OK;
    if (fstat(fd, &st) != 0)
        e = fail(why, ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        e = fail(why, ERR_IO, "%s: no regular file", path);
    else if (st.st_mode & (S_IROTH | S_IWOTH))
        e = fail(why, ERR_DENIED, "%s: everybody may %s it (mode %04o); chmod o= %s", path,
                 st.st_mode & S_IROTH ? "read" : "write", (unsigned)st.st_mode & 07777, path);
    if (e == ERR_OK)
        *out = fd;
    else
        close(fd);
    return e;
}

static enum err read_file(const char *path, struct secret *out, struct secret_why *why)
{
    int fd;
    enum err e = open_checked(path, &fd, why);
    if (e != ERR_OK) return e;
    size_t n = 0, room = SECRET_SOURCE_MAX + 3; /* one byte and a line end more than is taken */
    char *bytes = malloc(room);
    ssize_t got = bytes ? 1 : 0;
    while (got > 0 && n < room) {
        got = read(fd, bytes + n, room - n);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            n += (size_t)got;
    }
    if (!bytes)
        e = fail(why, ERR_NO_MEMORY, "out of memory");
    else if (got < 0)
        e = fail(why, ERR_IO, "%s: %s", path, strerror(errno));
    else
        e = finish(bytes, n, out, why);
    close(fd);
    free(bytes);
    return e;
}

/* Paths and names are NUL-terminated where they come from: config_str is made by arena_copy or arena_printf. */
static enum err from_credential(str name, struct secret *out, struct secret_why *why)
{
    char path[1300];
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    if (!dir || !*dir)
        return fail(why, ERR_NOT_FOUND, "CREDENTIALS_DIRECTORY is not set: systemd sets it with LoadCredential=");
    int n = snprintf(path, sizeof path, "%s/%.*s", dir, STR_ARG(name));
    if (n < 0 || (size_t)n >= sizeof path) return fail(why, ERR_LIMIT, "CREDENTIALS_DIRECTORY is too long");
    return read_file(path, out, why);
}

static enum err from_env(str name, struct secret *out, struct secret_why *why)
{
    const char *value = getenv(name.p);
    if (!value) return fail(why, ERR_NOT_FOUND, "the environment has no %.*s", STR_ARG(name));
    size_t n = strlen(value);
    char *copy = malloc(n + 1);
    if (!copy) return fail(why, ERR_NO_MEMORY, "out of memory");
    memcpy(copy, value, n + 1);
    enum err e = finish(copy, n, out, why);
    free(copy);
    return e;
}

/* --- commands --- */

/* A running command and what it has said so far. */
struct command {
    pid_t pid;
    int out_fd, err_fd; /* -1: closed */
    uint64_t deadline_ns;
    char *out; /* SECRET_SOURCE_MAX + 3 bytes */
    size_t out_n, said_n;
    char said[SAID_MAX];
};

static enum err spawn(const struct config_list *argv, struct command *c, struct secret_why *why)
{
    extern char **environ;
    char *args[65];
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    for (uint32_t i = 0; i < argv->n; i++) args[i] = (char *)(uintptr_t)argv->v[i].s.p;
    args[argv->n] = NULL;
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
        if (out[0] >= 0) close(out[0]), close(out[1]);
        return fail(why, ERR_IO, "no pipe: %s", strerror(errno));
    }
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    /* a group of its own, so that whatever it starts ends with it; signals as a shell would give them */
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    int rc = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!rc) rc = posix_spawn_file_actions_adddup2(&files, out[1], 1);
    if (!rc) rc = posix_spawn_file_actions_adddup2(&files, err[1], 2);
    if (!rc) rc = posix_spawnp(&c->pid, args[0], &files, &attr, args, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    close(out[1]);
    close(err[1]);
    c->out_fd = out[0];
    c->err_fd = err[0];
    if (!rc) return ERR_OK;
    close(out[0]);
    close(err[0]);
    return fail(why, rc == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", args[0], strerror(rc));
}

/* Reads what there is; closes at the end. What goes beyond the room is read and dropped. */
static void drain(int *fd, char *into, size_t room, size_t *n)
{
    char dropped[512];
    bool full = *n == room;
    ssize_t got = read(*fd, full ? dropped : into + *n, full ? sizeof dropped : room - *n);
    if (got > 0 && !full) *n += (size_t)got;
    secret_wipe(dropped, sizeof dropped);
    if (got > 0 || (got < 0 && errno == EINTR)) return;
    close(*fd);
    *fd = -1;
}

static int ms_left(const struct command *c)
{
    uint64_t now = clock_mono_ns();
    return now >= c->deadline_ns ? 0 : (int)((c->deadline_ns - now) / 1000000) + 1;
}

/* Until it has closed both its outputs. false: the deadline came first. */
static bool listen_to(struct command *c)
{
    while (c->out_fd >= 0 || c->err_fd >= 0) {
        struct pollfd p[2] = {{.fd = c->out_fd, .events = POLLIN}, {.fd = c->err_fd, .events = POLLIN}};
        int left = ms_left(c);
        if (left == 0) return false;
        if (poll(p, 2, left) <= 0) continue;
        if (p[0].revents) drain(&c->out_fd, c->out, SECRET_SOURCE_MAX + 3, &c->out_n);
        if (p[1].revents) drain(&c->err_fd, c->said, sizeof c->said, &c->said_n);
    }
    return true;
}

/* Its exit status; -1 when the deadline comes first or nobody knows. */
static int wait_for(struct command *c, bool in_time)
{
    int status = -1;
    pid_t got = 0;
    while (in_time && got == 0) {
        got = waitpid(c->pid, &status, WNOHANG);
        if (got < 0 && errno == EINTR) got = 0;
        if (got != 0) break;
        in_time = ms_left(c) > 0;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    if (got == c->pid) return status;
    if (got == 0) kill(-c->pid, SIGKILL);
    while (got == 0 && waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return -1;
}

static enum err judge(const struct command *c, const char *name, bool in_time, int status, struct secret_why *why)
{
    size_t n = c->said_n;
    while (n && (c->said[n - 1] == '\n' || c->said[n - 1] == ' ')) n--;
    if (!in_time) return fail(why, ERR_TIMEOUT, "%s took longer than 5 seconds", name);
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0) return ERR_OK;
    if (status != -1 && WIFEXITED(status))
        return fail(why, ERR_IO, "%s ended with status %d%s%.*s", name, WEXITSTATUS(status), n ? ": " : "", (int)n,
                    c->said);
    if (status != -1 && WIFSIGNALED(status))
        return fail(why, ERR_IO, "%s was ended by signal %d%s%.*s", name, WTERMSIG(status), n ? ": " : "", (int)n,
                    c->said);
    return fail(why, ERR_TIMEOUT, "%s did not end within 5 seconds", name);
}

static enum err from_command(const struct config_list *argv, struct secret *out, struct secret_why *why)
{
    struct command c = {.deadline_ns = clock_mono_ns() + SECRET_SOURCE_TIMEOUT_MS * UINT64_C(1000000)};
    c.out = malloc(SECRET_SOURCE_MAX + 3);
    if (!c.out) return fail(why, ERR_NO_MEMORY, "out of memory");
    enum err e = spawn(argv, &c, why);
    if (e == ERR_OK) {
        bool in_time = listen_to(&c);
        int status = wait_for(&c, in_time);
        if (c.out_fd >= 0) close(c.out_fd);
        if (c.err_fd >= 0) close(c.err_fd);
        e = judge(&c, argv->v[0].s.p, in_time, status, why);
        if (e == ERR_OK) e = finish(c.out, c.out_n, out, why);
    }
    secret_wipe(c.out, c.out_n);
    free(c.out);
    return e;
}

enum err secret_fetch(const struct config_secret *from, struct secret *out, struct secret_why *why)
{
    switch (from->provider) {
    case SECRET_FILE: return read_file(from->value.s.p, out, why);
    case SECRET_ENV: return from_env(from->value.s, out, why);
    case SECRET_CREDENTIAL: return from_credential(from->value.s, out, why);
    case SECRET_COMMAND: return from_command(&from->argv, out, why);
    case SECRET_NONE: break;
    }
    return fail(why, ERR_NOT_FOUND, "no source");
}

enum err secret_file_check(str path, struct secret_why *why)
{
    int fd = -1;
    enum err e = open_checked(path.p, &fd, why);
    if (e == ERR_OK) close(fd);
    return e;
}
