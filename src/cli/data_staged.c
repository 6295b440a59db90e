#include "cli/data_staged.h"

#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME 80
#define PREFIX    "/staged-"

/* Nothing that the product answers is a name here: a file is that of a space, and the spaces are known. */
static void name_of(unsigned space, const char *more, char out[FILE_NAME])
{
    snprintf(out, FILE_NAME, "%s.db%s", store_space_name((enum store_space)space), more);
}

int staged_open(const struct cli_args *args, struct staged *s)
{
    struct admin_answer a = {0};
    s->dir[0] = 0;
    int code = admin_ask(args, "POST", "/v1/data/stage", STR("{}"), ADMIN_ASK_MS, &a);
    if (code == CLI_OK) {
        str dir = member_text(a.v, "dir");
        const char *last = dir.n && dir.n < sizeof s->dir ? memrchr(dir.p, '/', dir.n) : NULL;
        if (last && dir.p[0] == '/' && !memchr(dir.p, 0, dir.n) &&
            str_starts(str_from(dir, (size_t)(last - dir.p)), STR(PREFIX)))
            memcpy(s->dir, dir.p, dir.n), s->dir[dir.n] = 0;
        else
            code = cli_failure(args, "the product names no folder to pass it through");
    }
    admin_answer_free(&a);
    return code;
}

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static bool copy_bytes(int in, int out)
{
    static char bytes[1 << 18];
    for (;;) {
        ssize_t n = read(in, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n == 0;
        for (ssize_t at = 0; at < n;) {
            ssize_t put = write(out, bytes + at, (size_t)(n - at));
            if (put < 0 && errno != EINTR) return false;
            if (put > 0) at += put;
        }
    }
}

/* Beside, then in its place: whole or not at all. A link is not followed on either side. `owner`: whose it becomes. */
static bool copy_file(int from, int to, const char *name, const char *part, const struct stat *owner)
{
    struct stat st;
    int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), out = -1;
    bool ok = in >= 0 && fstat(in, &st) == 0;
    if (ok && !S_ISREG(st.st_mode)) ok = (errno = EINVAL, false);
    if (ok) {
        (void)unlinkat(to, part, 0);
        out = openat(to, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        ok = out >= 0 && copy_bytes(in, out) && fsync(out) == 0;
    }
    if (ok && owner && owner->st_uid != geteuid()) ok = fchown(out, owner->st_uid, owner->st_gid) == 0;
    if (ok) ok = renameat(to, part, to, name) == 0;
    int saved = errno;
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    if (!ok && out >= 0) (void)unlinkat(to, part, 0);
    errno = saved;
    return ok;
}

static int failed(const struct cli_args *args, const char *path)
{
    return cli_failure(args, "backup: %s: %s", path, strerror(errno));
}

static bool has_space(const struct json *spaces, unsigned space)
{
    for (const struct json *v = spaces ? spaces->first : NULL; v; v = v->next)
        if (str_eq(member_text(v, "space"), str_of(store_space_name((enum store_space)space)))) return true;
    return false;
}

int staged_take_out(const struct cli_args *args, const struct staged *s, const char *to, const struct json *spaces)
{
    char name[FILE_NAME], part[FILE_NAME];
    if (mkdir(to, 0700) != 0 && errno != EEXIST) return failed(args, to);
    int in = open_folder(s->dir), out = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = in >= 0 && out >= 0;
    for (unsigned i = 0; ok && i < STORE_SPACES; i++) {
        if (!has_space(spaces, i)) continue;
        name_of(i, "", name);
        name_of(i, ".part", part);
        ok = copy_file(in, out, name, part, NULL);
    }
    if (ok) ok = fsync(out) == 0;
    int code = ok ? CLI_OK : failed(args, to);
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    return code;
}

int staged_put_in(const struct cli_args *args, const struct staged *s, const char *from)
{
    char name[FILE_NAME], part[FILE_NAME];
    struct stat owner;
    int in = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC), out = open_folder(s->dir);
    bool ok = in >= 0 && out >= 0 && fstat(out, &owner) == 0;
    for (unsigned i = 0; ok && i < STORE_SPACES; i++) {
        name_of(i, "", name);
        name_of(i, ".part", part);
        ok = copy_file(in, out, name, part, &owner) || errno == ENOENT; /* the product knows what has to be there */
    }
    int code = ok ? CLI_OK : failed(args, from);
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    return code;
}

void staged_close(struct staged *s)
{
    static const char *const more[] = {"", ".part", "-wal", "-shm", "-journal"};
    char name[FILE_NAME];
    int dir = s->dir[0] ? open_folder(s->dir) : -1;
    for (unsigned i = 0; dir >= 0 && i < STORE_SPACES; i++)
        for (size_t k = 0; k < ARRAY_LEN(more); k++) {
            name_of(i, more[k], name);
            (void)unlinkat(dir, name, 0);
        }
    if (dir >= 0) close(dir);
    if (s->dir[0]) (void)rmdir(s->dir);
    s->dir[0] = 0;
}
