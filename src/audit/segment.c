#include "audit/segment.h"

#include "base/arena.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAIL = 2 * AUDIT_LINE_MAX, DIGITS = 6 };

void audit_segment_name(char out[SEGMENT_NAME_MAX], str chain, uint64_t number)
{
    (void)snprintf(out, SEGMENT_NAME_MAX, "%.*s-%06llu.jsonl", STR_ARG(str_first(chain, AUDIT_CHAIN_MAX)),
                   (unsigned long long)number);
}

bool audit_segment_name_read(str name, str *chain, uint64_t *number)
{
    static const str suffix = STR_INIT(".jsonl");
    char again[SEGMENT_NAME_MAX];
    if (!str_ends(name, suffix)) return false;
    str stem = str_first(name, name.n - suffix.n);
    const char *dash = stem.n ? memrchr(stem.p, '-', stem.n) : NULL;
    if (!dash) return false;
    str digits = str_from(stem, (size_t)(dash + 1 - stem.p)), before = str_first(stem, (size_t)(dash - stem.p));
    uint64_t n;
    if (digits.n < DIGITS || str_to_u64(digits, &n) != ERR_OK || n == 0 || !audit_chain_name_ok(before)) return false;
    audit_segment_name(again, before, n); /* one name a number */
    if (!str_eq(name, str_of(again))) return false;
    *chain = before;
    *number = n;
    return true;
}

/* --- opening --- */

static enum err open_folder(const char *path, int *out)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) return ERR_IO;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ERR_IO;
    /* Who else may write there could put a whole chain of his own in its place. */
    if (fstat(fd, &st) != 0 || (st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 022)) {
        close(fd);
        return ERR_DENIED;
    }
    *out = fd;
    return ERR_OK;
}

/* The highest number there is; 0: none. */
static enum err last_number(int folder, str chain, uint64_t *out)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0) close(fd);
        return errno == ENOMEM ? ERR_NO_MEMORY : ERR_IO;
    }
    uint64_t last = 0;
    const struct dirent *e;
    for (errno = 0; (e = readdir(d)); errno = 0) {
        str name;
        uint64_t n;
        if (audit_segment_name_read(str_of(e->d_name), &name, &n) && str_eq(name, chain) && n > last) last = n;
    }
    bool bad = errno != 0;
    closedir(d);
    if (bad) return ERR_IO;
    *out = last;
    return ERR_OK;
}

static enum err open_file(const struct audit_segment *s, uint64_t number, bool make, int *out)
{
    char name[SEGMENT_NAME_MAX];
    audit_segment_name(name, str_of(s->chain), number);
    int fd = openat(s->folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT | O_EXCL : 0), 0600);
    if (fd < 0) return make && errno == EEXIST ? ERR_CONFLICT : ERR_IO;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum err e = errno == EWOULDBLOCK ? ERR_CONFLICT : ERR_IO;
        close(fd);
        return e;
    }
    *out = fd;
    return ERR_OK;
}

static enum err read_at(int fd, char *p, size_t n, uint64_t at)
{
    while (n) {
        ssize_t r = pread(fd, p, n, (off_t)at);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return ERR_IO;
        p += r;
        n -= (size_t)r;
        at += (uint64_t)r;
    }
    return ERR_OK;
}

/* The last whole line of a file of `size` bytes, within `room`; *end: where whole lines end. Empty: it has none. */
static enum err last_line(int fd, uint64_t size, char room[TAIL], str *line, uint64_t *end)
{
    size_t n = size < TAIL ? (size_t)size : TAIL;
    enum err e = read_at(fd, room, n, size - n);
    if (e != ERR_OK) return e;
    const char *stop = n ? memrchr(room, '\n', n) : NULL;
    *line = STR_NONE;
    *end = stop ? size - n + (uint64_t)(stop + 1 - room) : size - n;
    if (!stop) return n == TAIL ? ERR_MALFORMED : ERR_OK;
    const char *before = stop > room ? memrchr(room, '\n', (size_t)(stop - room)) : NULL;
    if (!before && n == TAIL && stop - room > AUDIT_LINE_MAX) return ERR_MALFORMED;
    const char *from = before ? before + 1 : room;
    *line = str_make(from, (size_t)(stop - from));
    return ERR_OK;
}

static uint64_t day_of_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? (uint64_t)st.st_mtim.tv_sec / 86400 : 0;
}

static enum err resume_from(int fd, char room[TAIL], struct audit_chain *at, uint64_t *end, bool *has_line)
{
    struct stat st;
    struct arena mem;
    str line;
    if (fstat(fd, &st) != 0) return ERR_IO;
    enum err e = last_line(fd, (uint64_t)st.st_size, room, &line, end);
    if (e != ERR_OK) return e;
    *has_line = line.n > 0;
    if (!*has_line) return ERR_OK;
    arena_init(&mem, NULL, 0, 1 << 20);
    e = audit_chain_resume(line, &mem, at);
    arena_reset(&mem);
    return e;
}

/* The last segment may be empty: then the one before it says where the chain stands. */
static enum err resume(struct audit_segment *s, struct audit_chain *at)
{
    bool has_line = false;
    uint64_t end = 0;
    struct stat st;
    char *room = malloc(TAIL);
    if (!room) return ERR_NO_MEMORY;
    enum err e = fstat(s->fd, &st) == 0 ? resume_from(s->fd, room, at, &end, &has_line) : ERR_IO;
    if (e == ERR_OK && end < (uint64_t)st.st_size) {
        s->cut = (uint64_t)st.st_size - end;
        if (ftruncate(s->fd, (off_t)end) != 0) e = ERR_IO;
    }
    s->size = end;
    if (e == ERR_OK && has_line) s->day = day_of_file(s->fd);
    if (e == ERR_OK && !has_line && s->number > 1) {
        int before;
        e = open_file(s, s->number - 1, false, &before);
        if (e == ERR_OK) {
            e = resume_from(before, room, at, &end, &has_line);
            close(before);
            if (e == ERR_OK && !has_line) e = ERR_MALFORMED;
        }
    }
    free(room);
    return e;
}

enum err audit_segment_open(const char *folder, const char *chain, struct audit_segment *s, struct audit_chain *at)
{
    struct audit_segment x = {.folder = -1, .fd = -1, .number = 1};
    struct audit_chain c;
    uint64_t last = 0;
    (void)snprintf(x.chain, sizeof x.chain, "%s", chain);
    audit_chain_begin(str_of(chain), &c);
    enum err e = open_folder(folder, &x.folder);
    if (e == ERR_OK) e = last_number(x.folder, str_of(chain), &last);
    if (e == ERR_OK) {
        if (last) x.number = last;
        e = open_file(&x, x.number, last == 0, &x.fd);
    }
    if (e == ERR_OK && last) e = resume(&x, &c);
    if (e == ERR_OK && fsync(x.folder) != 0) e = ERR_IO;
    if (e != ERR_OK) {
        audit_segment_close(&x);
        return e;
    }
    *s = x;
    *at = c;
    return ERR_OK;
}

/* --- writing --- */

enum err audit_segment_write(struct audit_segment *s, str lines)
{
    uint64_t at = s->size;
    while (lines.n) {
        ssize_t n = pwrite(s->fd, lines.p, lines.n, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            int why = n == 0 ? ENOSPC : errno;
            if (ftruncate(s->fd, (off_t)s->size) != 0) s->cut++; /* the next start cuts it off */
            errno = why;
            return ERR_IO;
        }
        at += (uint64_t)n;
        lines = str_from(lines, (size_t)n);
    }
    s->size = at;
    return ERR_OK;
}

enum err audit_segment_sync(struct audit_segment *s)
{
    return fdatasync(s->fd) == 0 ? ERR_OK : ERR_IO;
}

enum err audit_segment_next(struct audit_segment *s)
{
    int fd;
    enum err e = open_file(s, s->number + 1, true, &fd);
    if (e == ERR_OK && fsync(s->folder) != 0) {
        char name[SEGMENT_NAME_MAX];
        audit_segment_name(name, str_of(s->chain), s->number + 1);
        (void)unlinkat(s->folder, name, 0);
        close(fd);
        e = ERR_IO;
    }
    if (e != ERR_OK) return e;
    close(s->fd);
    s->fd = fd;
    s->number++;
    s->size = 0;
    s->day = 0;
    return ERR_OK;
}

void audit_segment_close(struct audit_segment *s)
{
    if (s->fd >= 0) close(s->fd);
    if (s->folder >= 0) close(s->folder);
    s->fd = s->folder = -1;
}
