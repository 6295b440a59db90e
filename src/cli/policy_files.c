#include "cli/policy_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 30)

enum err policy_read_file(const char *path, struct arena *mem, str *out)
{
    int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) return ERR_IO;
    size_t room = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 65536, n = 0;
    enum err e = room <= FILE_MAX ? ERR_OK : ERR_LIMIT;
    char *p = e == ERR_OK ? arena_alloc(mem, room) : NULL;
    if (e == ERR_OK && !p) e = ERR_NO_MEMORY;
    while (e == ERR_OK) {
        if (n == room) {
            char *grown = room * 2 <= FILE_MAX ? arena_alloc(mem, room * 2) : NULL;
            if (!grown) {
                e = ERR_LIMIT;
                break;
            }
            memcpy(grown, p, n);
            p = grown;
            room *= 2;
        }
        ssize_t got = read(fd, p + n, room - n);
        if (got == 0) break;
        if (got < 0 && errno != EINTR) e = ERR_IO;
        if (got > 0) n += (size_t)got;
    }
    close(fd);
    if (e == ERR_OK) *out = str_make(p, n);
    return e;
}
