#include "roles/supervisor_private.h"

#include "config/authentication.h"
#include "roles/authentication.h"
#include "roles/data.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NEXT_PORTS  100
#define FIRST_GIVEN 3 /* SD_LISTEN_FDS_START */

static struct held *add(struct supervisor *s, const char *kind, const char *address, int fd)
{
    if (s->n_held == HANDED_MAX) {
        close(fd);
        return NULL;
    }
    struct held *h = &s->held[s->n_held++];
    *h = (struct held){.fd = fd, .file = {.fd = -1}, .fresh = true, .planned = true};
    snprintf(h->kind, sizeof h->kind, "%s", kind);
    snprintf(h->address, sizeof h->address, "%s", address);
    return h;
}

/* How many are held for the address, which are wanted from now on. */
static size_t want(struct supervisor *s, const char *kind, const char *address, bool *given)
{
    size_t n = 0;
    *given = false;
    for (size_t i = 0; i < s->n_held; i++) {
        struct held *h = &s->held[i];
        if (strcmp(h->kind, kind) != 0 || strcmp(h->address, address) != 0) continue;
        h->planned = true;
        *given |= h->given;
        n++;
    }
    return n;
}

/* --- of the service manager --- */

static bool same_address(int fd, const struct net_addr *want)
{
    struct sockaddr_storage got = {0};
    socklen_t len = sizeof got;
    if (getsockname(fd, (struct sockaddr *)&got, &len) != 0 || got.ss_family != want->ss.ss_family) return false;
    if (got.ss_family == AF_UNIX)
        return strcmp(((const struct sockaddr_un *)&got)->sun_path,
                      ((const struct sockaddr_un *)&want->ss)->sun_path) == 0;
    if (got.ss_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)&got, *b = (const void *)&want->ss;
        return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *a = (const void *)&got, *b = (const void *)&want->ss;
    return got.ss_family == AF_INET6 && a->sin6_port == b->sin6_port &&
           memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
}

static bool listens(int fd)
{
    int yes = 0, type = 0;
    socklen_t n = sizeof yes, m = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &n) == 0 && yes &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &m) == 0 && type == SOCK_STREAM;
}

/* Noted by name for now; take_given looks at the plan. */
void sockets_given(struct supervisor *s)
{
    uint64_t pid, n;
    const char *who = getenv("LISTEN_PID"), *many = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    bool ours = who && many && str_to_u64(str_of(who), &pid) == ERR_OK && pid == (uint64_t)getpid() &&
                str_to_u64(str_of(many), &n) == ERR_OK && n <= CONFIG_MAX_LISTENERS + 1;
    str left = str_of(names ? names : "");
    for (int fd = FIRST_GIVEN; ours && fd < FIRST_GIVEN + (int)n; fd++) {
        str name = str_cut(&left, ':');
        int flags = fcntl(fd, F_GETFL);
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (!listens(fd) || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
            fprintf(stderr, "sallyport: descriptor %d of the service manager is no listening stream socket\n", fd);
            continue;
        }
        char kind[16];
        snprintf(kind, sizeof kind, "given:%.*s", (int)(name.n < 9 ? name.n : 9), name.n ? name.p : "");
        struct held *h = add(s, kind, "", fd);
        if (h) h->given = true;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

/* By its address; else the first one left of that name. */
static bool take_given(struct supervisor *s, const char *kind, const struct plan_address *a)
{
    char name[32];
    struct held *found = NULL;
    snprintf(name, sizeof name, "given:%s", kind);
    for (size_t i = 0; i < s->n_held && !found; i++)
        if (str_starts(str_of(s->held[i].kind), STR("given:")) && same_address(s->held[i].fd, &a->addr))
            found = &s->held[i];
    for (size_t i = 0; i < s->n_held && !found; i++)
        if (strcmp(s->held[i].kind, name) == 0) found = &s->held[i];
    if (!found) return false;
    snprintf(found->kind, sizeof found->kind, "%s", kind);
    snprintf(found->address, sizeof found->address, "%s", a->text);
    found->planned = true;
    return true;
}

/* --- opening --- */

static void set_port(struct net_addr *a, unsigned port)
{
    if (a->ss.ss_family == AF_INET)
        ((struct sockaddr_in *)&a->ss)->sin_port = htons((uint16_t)port);
    else if (a->ss.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->ss)->sin6_port = htons((uint16_t)port);
}

static unsigned port_of(const struct net_addr *a)
{
    struct sockaddr_in6 any; /* the port stands at the same place in both */
    memcpy(&any, &a->ss, sizeof any);
    return a->ss.ss_family == AF_UNIX ? 0 : ntohs(any.sin6_port);
}

/* Opens one exclusively: with SO_REUSEPORT alone a second gateway of the same user would share the port unseen. */
static enum err open_exclusive(struct supervisor *s, struct net_addr *a, int *fd)
{
    unsigned first = port_of(a);
    char text[NET_TEXT_MAX];
    for (unsigned port = first;; port++) {
        set_port(a, port);
        enum err e = net_listen(a, false, fd);
        int saved = errno;
        net_addr_text(a, text);
        if (e == ERR_OK) {
            if (port != first) fprintf(stderr, "sallyport: port %u is taken: using %u\n", first, port);
            return e;
        }
        bool next = e == ERR_CONFLICT && s->o.next_port && first && port < first + NEXT_PORTS && port < 65535;
        if (next) continue;
        fprintf(stderr, "sallyport: cannot listen on %s: %s%s\n", text, strerror(saved),
                e == ERR_CONFLICT ? " (another process has it: end that one, or change `listen`)" : "");
        return e;
    }
}

static void bound_address(int fd, struct net_addr *a)
{
    struct net_addr got = {.len = sizeof got.ss};
    if (getsockname(fd, (struct sockaddr *)&got.ss, &got.len) == 0 && got.ss.ss_family != AF_UNIX) *a = got;
}

static void note_name(struct held *h, const struct net_addr *a)
{
    struct stat st;
    const char *path = ((const struct sockaddr_un *)&a->ss)->sun_path;
    if (lstat(path, &st) != 0) return;
    snprintf(h->file.path, sizeof h->file.path, "%s", path);
    h->file.device = st.st_dev;
    h->file.inode = st.st_ino;
}

/* As many as there are workers: one each, so that the kernel deals connections out. One more worker than before means
 * one more socket; a worker less leaves its socket to another. */
static enum err open_gateway(struct supervisor *s, const struct plan_address *l)
{
    struct net_addr a = l->addr;
    bool given;
    size_t n = want(s, "gateway", l->text, &given);
    enum err e = ERR_OK;
    int fd;
    if (n == 0 && take_given(s, "gateway", l)) return ERR_OK;
    if (given || (n && a.ss.ss_family == AF_UNIX)) return ERR_OK;
    if (n == 0) {
        e = open_exclusive(s, &a, &fd);
        if (e != ERR_OK) return e;
        if (a.ss.ss_family == AF_UNIX) {
            struct held *h = add(s, "gateway", l->text, fd);
            if (h) note_name(h, &a);
            return h ? ERR_OK : ERR_LIMIT;
        }
        bound_address(fd, &a);
        close(fd);
    } else {
        for (size_t i = 0; i < s->n_held; i++)
            if (!strcmp(s->held[i].kind, "gateway") && !strcmp(s->held[i].address, l->text))
                bound_address(s->held[i].fd, &a);
    }
    for (; n < s->plan.workers && e == ERR_OK; n++) {
        e = net_listen(&a, true, &fd);
        if (e == ERR_OK && !add(s, "gateway", l->text, fd)) e = ERR_LIMIT;
        if (e != ERR_OK) fprintf(stderr, "sallyport: cannot listen on %s: %s\n", l->text, strerror(errno));
    }
    return e;
}

static enum err open_admin(struct supervisor *s)
{
    struct net_addr a = s->plan.admin.addr;
    bool given;
    int fd;
    if (!s->plan.admin_on || want(s, "admin", s->plan.admin.text, &given)) return ERR_OK;
    if (take_given(s, "admin", &s->plan.admin)) return ERR_OK;
    enum err e = open_exclusive(s, &a, &fd);
    if (e != ERR_OK) return e;
    return add(s, "admin", s->plan.admin.text, fd) ? ERR_OK : ERR_LIMIT;
}

static void complain(const char *name, const char *path, enum err e)
{
    bool control = strstr(name, "cli.sock") != NULL;
    const char *why = e == ERR_LIMIT ? "its path is too long: choose a shorter `data`" : strerror(errno);
    if (control && e == ERR_CONFLICT)
        fprintf(stderr, "sallyport: another one runs here: it answers at %s\n", path);
    else if (control)
        fprintf(stderr, "sallyport: cannot open the control socket %s: %s\n", path, why);
    else if (strcmp(name, AUTHENTICATION_SOCKET) == 0)
        fprintf(stderr, "sallyport: the Authentication Service at %s: %s\n", path,
                e == ERR_CONFLICT ? "another process answers there" : why);
    else
        fprintf(stderr, "sallyport: the socket of the store %s: %s\n", path,
                e == ERR_CONFLICT ? "another process has it" : why);
}

static enum err open_unix(struct supervisor *s, const char *name, bool others)
{
    struct unix_socket file;
    char path[4200];
    bool given;
    snprintf(path, sizeof path, "%s/%s", s->plan.data, name);
    if (strlen(path) < NET_TEXT_MAX && want(s, HANDED_UNIX, path, &given)) return ERR_OK;
    enum err e = unix_socket_open(path, others, &file);
    if (e != ERR_OK) {
        complain(name, path, e);
        return e;
    }
    struct held *h = add(s, HANDED_UNIX, path, file.fd);
    if (!h) return ERR_LIMIT;
    h->file = file;
    h->file.fd = -1;
    return ERR_OK;
}

enum err sockets_open(struct supervisor *s)
{
    const struct plan *p = &s->plan;
    enum bundle_role role = s->o.bundle.role;
    enum err e = ERR_OK;
    for (size_t i = 0; i < s->n_held; i++) s->held[i].planned = false;
    if (!p->good) return ERR_OK; /* who is started says why not */
    e = open_unix(s,             /* first: by it one finds out best that another one runs here */
                  role == BUNDLE_DATA             ? DATA_CLI_SOCKET
                  : role == BUNDLE_AUTHENTICATION ? AUTHENTICATION_CLI_SOCKET
                                                  : "cli.sock",
                  false);
    if (e == ERR_OK && (role == BUNDLE_DATA || (role == BUNDLE_RUN && p->fed)))
        e = open_unix(s, DATA_SOCKET, s->o.others);
    if (e == ERR_OK && (role == BUNDLE_AUTHENTICATION || role == BUNDLE_RUN) && p->authentication)
        e = open_unix(s, AUTHENTICATION_SOCKET, false);
    if (e == ERR_OK) e = open_admin(s);
    for (uint32_t i = 0; i < p->n_listeners && e == ERR_OK; i++) e = open_gateway(s, &p->listeners[i]);
    return e;
}

/* --- handing over --- */

/* All of one kind and address, under a name, as many in a message as go. */
static enum err hand(const struct supervisor *s, int to, const char *kind, const char *address, const char *name)
{
    int fds[WIRE_FDS];
    size_t n = 0;
    enum err e = ERR_OK;
    for (size_t i = 0; i < s->n_held && e == ERR_OK; i++) {
        const struct held *h = &s->held[i];
        if (strcmp(h->kind, kind) != 0 || (address && strcmp(h->address, address) != 0) || !h->planned) continue;
        fds[n++] = h->fd;
        if (n < WIRE_FDS) continue;
        e = wire_send(to, WIRE_SOCKETS, 0, str_of(name), fds, n, false);
        n = 0;
    }
    if (e == ERR_OK && n) e = wire_send(to, WIRE_SOCKETS, 0, str_of(name), fds, n, false);
    return e;
}

enum err sockets_hand(const struct supervisor *s, int to)
{
    enum err e = hand(s, to, HANDED_UNIX, NULL, HANDED_UNIX);
    if (e == ERR_OK && s->plan.admin_on) e = hand(s, to, "admin", s->plan.admin.text, "admin");
    for (uint32_t i = 0; i < s->plan.n_listeners && e == ERR_OK; i++) {
        char name[HANDED_NAME];
        snprintf(name, sizeof name, "gateway/%u", i);
        e = hand(s, to, "gateway", s->plan.listeners[i].text, name);
    }
    return e;
}

void sockets_forget(struct supervisor *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n_held; i++) {
        struct held *h = &s->held[i];
        h->fresh = false;
        if (h->planned) {
            s->held[kept++] = *h;
            continue;
        }
        close(h->fd);
        unix_socket_close(&h->file);
    }
    s->n_held = kept;
}

void sockets_close(struct supervisor *s)
{
    for (size_t i = 0; i < s->n_held; i++) {
        close(s->held[i].fd);
        unix_socket_close(&s->held[i].file);
    }
    s->n_held = 0;
}
