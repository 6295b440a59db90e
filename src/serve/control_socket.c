#include "serve/control_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Which inode a listening socket of ours was bound to, so that closing it never removes a successor's name. */
static struct {
    int fd;
    dev_t dev;
    ino_t ino;
} bound[8];

static enum err make_folder(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return ERR_OK;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    return mkdir(folder, 0700) == 0 || errno == EEXIST ? ERR_OK : ERR_IO;
}

/* Clears the name: nothing there, or a socket on which nobody listens any more. */
static enum err clear_name(const struct sockaddr_un *a)
{
    struct stat st;
    if (lstat(a->sun_path, &st) != 0) return errno == ENOENT ? ERR_OK : ERR_IO;
    if (!S_ISSOCK(st.st_mode)) return ERR_CONFLICT;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return ERR_IO;
    int answer = connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 ? 0 : errno;
    close(fd);
    if (answer != ECONNREFUSED) return ERR_CONFLICT;
    return unlink(a->sun_path) == 0 || errno == ENOENT ? ERR_OK : ERR_IO;
}

static void remember(int fd, const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0) return;
    for (size_t i = 0; i < ARRAY_LEN(bound); i++) {
        if (bound[i].ino) continue;
        bound[i].fd = fd;
        bound[i].dev = st.st_dev;
        bound[i].ino = st.st_ino;
        return;
    }
}

enum err control_socket_open(const char *path, int *out_fd)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof a.sun_path) return ERR_LIMIT;
    memcpy(a.sun_path, path, len);
    enum err e = make_folder(path);
    if (e == ERR_OK) e = clear_name(&a);
    if (e != ERR_OK) return e;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return ERR_IO;
    /* On Linux the mode set before bind() is the mode the name is made with: it is never open to others. */
    if (fchmod(fd, 0600) != 0 || bind(fd, (const struct sockaddr *)&a, sizeof a) != 0) {
        e = errno == EADDRINUSE ? ERR_CONFLICT : ERR_IO;
        close(fd);
        return e;
    }
    if (chmod(path, 0600) != 0 || listen(fd, 64) != 0) {
        unlink(path);
        close(fd);
        return ERR_IO;
    }
    remember(fd, path);
    *out_fd = fd;
    return ERR_OK;
}

bool control_socket_peer(int fd, uint32_t *uid, int32_t *pid)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || n != sizeof who) return false;
    *uid = who.uid;
    *pid = who.pid;
    return true;
}

bool control_socket_peer_ok(int fd)
{
    uint32_t uid;
    int32_t pid;
    return control_socket_peer(fd, &uid, &pid) && (uid == geteuid() || uid == 0);
}

void control_socket_close(const char *path, int *fd)
{
    struct stat st;
    if (*fd < 0) return;
    for (size_t i = 0; i < ARRAY_LEN(bound); i++) {
        if (!bound[i].ino || bound[i].fd != *fd) continue;
        if (lstat(path, &st) == 0 && st.st_dev == bound[i].dev && st.st_ino == bound[i].ino) unlink(path);
        bound[i].ino = 0;
    }
    close(*fd);
    *fd = -1;
}
