#include "net/unix_socket.h"

#include "net/handed.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(UNIX_SOCKET_PATH == sizeof(((struct sockaddr_un *)0)->sun_path), "paths of the system's length");

static enum err make_folder(const char *path)
{
    char folder[UNIX_SOCKET_PATH];
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

static enum err bind_and_listen(int fd, const struct sockaddr_un *a, mode_t mode)
{
    /* On Linux the mode set before bind() is the mode the name is made with: it is never open to others. */
    if (fchmod(fd, 0600) != 0) return ERR_IO;
    if (bind(fd, (const struct sockaddr *)a, sizeof *a) != 0) return errno == EADDRINUSE ? ERR_CONFLICT : ERR_IO;
    if (chmod(a->sun_path, mode) == 0 && listen(fd, 64) == 0) return ERR_OK;
    unlink(a->sun_path);
    return ERR_IO;
}

enum err unix_socket_open(const char *path, bool others, struct unix_socket *out)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct unix_socket s = {.fd = -1};
    struct stat st;
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof a.sun_path) return ERR_LIMIT;
    memcpy(a.sun_path, path, len);
    memcpy(s.path, path, len);
    s.fd = handed_unix(path);
    if (s.fd >= 0) { /* the name is whose who opened it */
        *out = s;
        return ERR_OK;
    }
    enum err e = make_folder(path);
    if (e == ERR_OK) e = clear_name(&a);
    if (e != ERR_OK) return e;
    s.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s.fd < 0) return ERR_IO;
    e = bind_and_listen(s.fd, &a, others ? 0666 : 0600);
    if (e != ERR_OK) {
        int saved = errno;
        close(s.fd);
        errno = saved;
        return e;
    }
    if (lstat(path, &st) == 0) {
        s.device = st.st_dev;
        s.inode = st.st_ino;
    }
    *out = s;
    return ERR_OK;
}

void unix_socket_close(struct unix_socket *s)
{
    struct stat st;
    if (s->inode && lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode) unlink(s->path);
    s->inode = 0;
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

bool unix_socket_peer(int fd, uint32_t *uid, int32_t *pid)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || n != sizeof who) return false;
    *uid = who.uid;
    *pid = who.pid;
    return true;
}

bool unix_socket_peer_ok(int fd)
{
    uint32_t uid;
    int32_t pid;
    return unix_socket_peer(fd, &uid, &pid) && (uid == geteuid() || uid == 0);
}
