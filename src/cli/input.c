#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err read_all(int fd, struct buf *out)
{
    for (;;) {
        size_t left = out->max - out->n, part = left < 65536 ? left : 65536;
        char probe, *room = part ? buf_room(out, part) : &probe;
        if (!room) return ERR_NO_MEMORY;
        ssize_t n = read(fd, room, part ? part : 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ERR_IO;
        if (n == 0) return ERR_OK;
        if (!part) return ERR_LIMIT;
        out->n += (size_t)n;
    }
}

enum err input_read(const char *path, struct buf *out)
{
    if (strcmp(path, "-") == 0) return read_all(STDIN_FILENO, out);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return ERR_IO;
    enum err e = read_all(fd, out);
    int saved = errno;
    close(fd);
    errno = saved;
    return e;
}

static const char *objection(const struct stat *st)
{
    if (!S_ISREG(st->st_mode)) return "it is no regular file";
    if (st->st_uid != geteuid()) return "it belongs to somebody else";
    if (st->st_mode & (S_IRWXG | S_IRWXO)) return "others may read it (its mode should be 0600)";
    return NULL;
}

enum err input_read_secret(const char *path, struct buf *out, const char **why)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        if (errno != ELOOP) return ERR_IO;
        *why = "it is a symbolic link";
        return ERR_DENIED;
    }
    enum err e = ERR_IO;
    if (fstat(fd, &st) == 0) {
        const char *wrong = objection(&st);
        if (wrong) *why = wrong;
        e = wrong ? ERR_DENIED : read_all(fd, out);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return e;
}
