#include "net/handed.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct handed {
    char name[HANDED_NAME];
    int fd; /* -1: taken */
} all[HANDED_MAX];
static size_t n_all;

enum err handed_give(str name, int fd)
{
    if (n_all == HANDED_MAX || name.n >= sizeof all[0].name) {
        close(fd);
        return ERR_LIMIT;
    }
    struct handed *h = &all[n_all++];
    *h = (struct handed){.fd = fd};
    memcpy(h->name, name.p, name.n);
    return ERR_OK;
}

int handed_take(str name)
{
    for (size_t i = 0; i < n_all; i++) {
        if (all[i].fd < 0 || !str_eq(str_of(all[i].name), name)) continue;
        int fd = all[i].fd;
        all[i].fd = -1;
        return fd;
    }
    return -1;
}

/* Two spellings of one path are the same file; a socket that was bound elsewhere is none of ours. */
int handed_unix(const char *path)
{
    struct stat want, got;
    if (stat(path, &want) != 0) return -1;
    for (size_t i = 0; i < n_all; i++) {
        struct sockaddr_un a = {0};
        socklen_t len = sizeof a - 1; /* a NUL stays behind the longest path */
        if (all[i].fd < 0 || strcmp(all[i].name, HANDED_UNIX) != 0) continue;
        if (getsockname(all[i].fd, (struct sockaddr *)&a, &len) != 0 || a.sun_family != AF_UNIX) continue;
        if (stat(a.sun_path, &got) != 0 || got.st_ino != want.st_ino || got.st_dev != want.st_dev) continue;
        int fd = all[i].fd;
        all[i].fd = -1;
        return fd;
    }
    return -1;
}

void handed_close(void)
{
    for (size_t i = 0; i < n_all; i++)
        if (all[i].fd >= 0) close(all[i].fd);
    n_all = 0;
}
