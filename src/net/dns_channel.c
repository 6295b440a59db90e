#include "net/dns_channel.h"

#include <ares.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>

#define SOCKETS    32 /* one for UDP and one for TCP of each server */
#define TRIES      2
#define ROUNDS     16 /* of reading in one turn: then the loop's others have theirs */
#define EDNS_BYTES 1232
#define LOOK_MS    1000 /* how often resolv.conf is looked at */
#define SEARCH_MAX 8

struct socket {
    struct watch watch;
    struct dns_channel *channel;
    bool in, out; /* what c-ares waits for */
};

/* What a file was when it was read. */
struct mark {
    uint64_t device, inode, size;
    int64_t s, ns;
};

struct dns_channel {
    struct loop *loop;
    ares_channel ares;
    const char *servers, *resolv; /* of text, or NULL */
    uint32_t timeout_ms;
    size_t under_way;
    struct socket sockets[SOCKETS];
    struct timer timer;
    struct task task;
    struct mark mark;
    uint64_t looked_ms;
    unsigned ndots;
    size_t n_search;
    char search[SEARCH_MAX][DNS_NAME_MAX + 1];
    char text[];
};

struct query {
    struct dns_channel *channel;
    void (*done)(void *arg, enum dns_fault fault, const unsigned char *p, size_t n);
    void *arg;
};

/* --- sockets and time --- */

static void set_timer(struct dns_channel *c)
{
    struct timeval room, *left = ares_timeout(c->ares, NULL, &room);
    timer_clear(c->loop, &c->timer);
    if (!left || !c->under_way) return;
    uint64_t ms = (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1;
    timer_set(c->loop, &c->timer, loop_now_ms(c->loop) + ms);
}

/* What is ready now. c-ares reads a part of what there is, and our events come only once: so it is asked for. */
static bool pump_once(struct dns_channel *c)
{
    struct pollfd ready[SOCKETS];
    struct socket *of[SOCKETS];
    nfds_t n = 0;
    for (size_t i = 0; i < SOCKETS; i++) {
        struct socket *s = &c->sockets[i];
        if (s->watch.fd < 0) continue;
        of[n] = s;
        ready[n++] =
            (struct pollfd){.fd = s->watch.fd, .events = (short)((s->in ? POLLIN : 0) | (s->out ? POLLOUT : 0))};
    }
    if (!n || poll(ready, n, 0) <= 0) return false;
    for (nfds_t i = 0; i < n; i++) {
        short got = ready[i].revents;
        if (!got || of[i]->watch.fd != ready[i].fd) continue; /* closed by what came before */
        ares_process_fd(c->ares, got & (POLLIN | POLLERR | POLLHUP) ? ready[i].fd : ARES_SOCKET_BAD,
                        got & (POLLOUT | POLLERR | POLLHUP) ? ready[i].fd : ARES_SOCKET_BAD);
    }
    return true;
}

static void pump(struct dns_channel *c)
{
    unsigned rounds = 0;
    while (rounds < ROUNDS && pump_once(c)) rounds++;
    if (rounds == ROUNDS) loop_defer(c->loop, &c->task);
    set_timer(c);
}

static void on_event(struct watch *w, uint32_t events)
{
    (void)events;
    pump(CONTAINER_OF(w, struct socket, watch)->channel);
}

static void on_task(struct task *t)
{
    pump(CONTAINER_OF(t, struct dns_channel, task));
}

static void on_time(struct timer *t)
{
    struct dns_channel *c = CONTAINER_OF(t, struct dns_channel, timer);
    ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    pump(c);
}

/* c-ares tells what it waits for; nothing: it closes the descriptor right after. */
static void on_state(void *arg, ares_socket_t fd, int in, int out)
{
    struct dns_channel *c = arg;
    struct socket *s = NULL, *vacant = NULL;
    for (size_t i = 0; i < SOCKETS; i++) {
        if (c->sockets[i].watch.fd == fd) s = &c->sockets[i];
        if (c->sockets[i].watch.fd < 0 && !vacant) vacant = &c->sockets[i];
    }
    if (!in && !out) {
        if (s) (void)watch_release(c->loop, &s->watch);
        return;
    }
    if (!s && vacant) {
        s = vacant;
        *s = (struct socket){.watch = {on_event, fd}, .channel = c};
        if (watch_add(c->loop, &s->watch, EPOLLIN | EPOLLOUT) != ERR_OK) s->watch.fd = -1;
    }
    if (!s || s->watch.fd < 0) return; /* its queries run into their time */
    s->in = in;
    s->out = out;
    loop_defer(c->loop, &c->task); /* it may be ready already: no event would tell */
}

/* --- settings --- */

static struct mark look(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return (struct mark){0};
    return (struct mark){st.st_dev, st.st_ino, (uint64_t)st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

/* The search list as c-ares has read it; what cannot be a name is left out. */
static void take_search(struct dns_channel *c, ares_channel from)
{
    struct ares_options o;
    int mask;
    c->n_search = 0;
    c->ndots = 1;
    if (ares_save_options(from, &o, &mask) != ARES_SUCCESS) return;
    if (o.ndots >= 0) c->ndots = (unsigned)o.ndots;
    for (int i = 0; i < o.ndomains && c->n_search < SEARCH_MAX; i++) {
        str name = str_of(o.domains[i]);
        if (name.n && name.p[name.n - 1] == '.') name.n--;
        if (!dns_name_ok(name)) continue;
        memcpy(c->search[c->n_search], name.p, name.n);
        c->search[c->n_search++][name.n] = 0;
    }
    ares_destroy_options(&o);
}

static int count_servers(ares_channel ares)
{
    struct ares_addr_port_node *all = NULL;
    int n = 0;
    if (ares_get_servers_ports(ares, &all) != ARES_SUCCESS) return 0;
    for (const struct ares_addr_port_node *a = all; a; a = a->next) n++;
    ares_free_data(all);
    return n;
}

static enum err open_ares(struct dns_channel *c, uint32_t try_ms, ares_channel *out)
{
    char lookups[] = "b"; /* the hosts file is ours to read, and further files of the system's are not asked */
    struct ares_options o = {.flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
                             .timeout = (int)try_ms,
                             .tries = TRIES,
                             .lookups = lookups,
                             .sock_state_cb = on_state,
                             .sock_state_cb_data = c,
                             .ednspsz = EDNS_BYTES};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
               ARES_OPT_EDNSPSZ | ARES_OPT_NOROTATE;
    char path[256];
    if (c->resolv) {
        snprintf(path, sizeof path, "%s", c->resolv);
        o.resolvconf_path = path;
        mask |= ARES_OPT_RESOLVCONF;
    }
    int rc = ares_init_options(out, &o, mask);
    if (rc == ARES_SUCCESS && c->servers) {
        rc = ares_set_servers_ports_csv(*out, c->servers);
        if (rc != ARES_SUCCESS || count_servers(*out) == 0) {
            ares_destroy(*out);
            return rc == ARES_ENOMEM ? ERR_NO_MEMORY : ERR_MALFORMED;
        }
    }
    return rc == ARES_SUCCESS ? ERR_OK : rc == ARES_ENOMEM ? ERR_NO_MEMORY : ERR_IO;
}

/* A query tries each server TRIES times, the second time twice as long: all of it in timeout_ms. How many servers there
 * are is known only when they have been read. */
static enum err open_channel(struct dns_channel *c, ares_channel *out)
{
    ares_channel probe;
    enum err e = open_ares(c, 1000, &probe);
    if (e != ERR_OK) return e;
    int n = count_servers(probe);
    take_search(c, probe);
    ares_destroy(probe);
    return open_ares(c, c->timeout_ms / (3u * (n > 0 ? (uint32_t)n : 1)), out);
}

void dns_channel_refresh(struct dns_channel *c)
{
    const char *path = c->resolv ? c->resolv : "/etc/resolv.conf";
    uint64_t now = loop_now_ms(c->loop);
    if (c->under_way || now < c->looked_ms + LOOK_MS) return;
    c->looked_ms = now;
    struct mark mark = look(path);
    ares_channel fresh;
    if (memcmp(&mark, &c->mark, sizeof mark) == 0) return;
    c->mark = mark;
    if (open_channel(c, &fresh) != ERR_OK) return; /* what we have is better than nothing */
    ares_destroy(c->ares);
    c->ares = fresh;
}

/* Addresses only, each with a port or without: c-ares takes more than that for one. */
static bool servers_ok(const char *list)
{
    str rest = str_of(list);
    do {
        char text[INET6_ADDRSTRLEN];
        unsigned char ip[16];
        struct net_addr a;
        str one = str_cut(&rest, ',');
        bool port = net_addr_parse(one, &a) == ERR_OK && one.p[0] != ':' && a.ss.ss_family != AF_UNIX;
        if (port) continue;
        if (one.n == 0 || one.n >= sizeof text) return false;
        memcpy(text, one.p, one.n);
        text[one.n] = 0;
        if (inet_pton(AF_INET, text, ip) != 1 && inet_pton(AF_INET6, text, ip) != 1) return false;
    } while (rest.n);
    return true;
}

enum err dns_channel_new(struct loop *loop, const struct dns_options *o, struct dns_channel **out)
{
    size_t servers = o->servers ? strlen(o->servers) + 1 : 0, resolv = o->resolv_path ? strlen(o->resolv_path) + 1 : 0;
    if (o->servers && !servers_ok(o->servers)) return ERR_MALFORMED;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) return ERR_NO_MEMORY;
    struct dns_channel *c = calloc(1, sizeof *c + servers + resolv);
    if (!c) {
        ares_library_cleanup();
        return ERR_NO_MEMORY;
    }
    if (servers) c->servers = memcpy(c->text, o->servers, servers);
    if (resolv) c->resolv = memcpy(c->text + servers, o->resolv_path, resolv);
    c->loop = loop;
    c->timeout_ms = o->timeout_ms ? o->timeout_ms : DNS_TIMEOUT_MS;
    c->timer.on_time = on_time;
    c->task.run = on_task;
    c->looked_ms = loop_now_ms(loop);
    for (size_t i = 0; i < SOCKETS; i++) c->sockets[i].watch.fd = -1;
    c->mark = look(c->resolv ? c->resolv : "/etc/resolv.conf");
    enum err e = open_channel(c, &c->ares);
    if (e != ERR_OK) {
        ares_library_cleanup();
        free(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

void dns_channel_free(struct dns_channel **out)
{
    struct dns_channel *c = *out;
    if (!c) return;
    *out = NULL;
    ares_destroy(c->ares);
    timer_clear(c->loop, &c->timer);
    loop_undefer(c->loop, &c->task);
    for (size_t i = 0; i < SOCKETS; i++) (void)watch_release(c->loop, &c->sockets[i].watch);
    ares_library_cleanup();
    free(c);
}

/* --- queries --- */

static enum dns_fault fault_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
    case ARES_ENODATA:
    case ARES_ENOTFOUND: return DNS_FAULT_NONE;
    case ARES_ESERVFAIL:
    case ARES_EFORMERR:
    case ARES_ENOTIMP:
    case ARES_EREFUSED:
    case ARES_ECONNREFUSED: return DNS_FAULT_SERVER; /* c-ares itself does not tell these apart in the end */
    case ARES_ENOMEM: return DNS_FAULT_MEMORY;
    case ARES_ETIMEOUT:
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED: return DNS_FAULT_TIME;
    default: return DNS_FAULT_ANSWER;
    }
}

static void on_query(void *arg, int status, int timeouts, unsigned char *p, int n)
{
    struct query *q = arg, copy = *q;
    enum dns_fault fault = fault_of(status);
    (void)timeouts;
    if (fault == DNS_FAULT_NONE && (!p || n <= 0)) fault = DNS_FAULT_ANSWER; /* judged by c-ares alone: not ours */
    copy.channel->under_way--;
    free(q);
    copy.done(copy.arg, fault, fault ? NULL : p, fault ? 0 : (size_t)n);
}

void dns_channel_query(struct dns_channel *c, const char *name, enum dns_type type,
                       void (*done)(void *arg, enum dns_fault fault, const unsigned char *p, size_t n), void *arg)
{
    struct query *q = malloc(sizeof *q);
    if (!q) {
        done(arg, DNS_FAULT_MEMORY, NULL, 0);
        return;
    }
    *q = (struct query){c, done, arg};
    c->under_way++;
    ares_query(c->ares, name, 1 /* IN */, (int)type, on_query, q);
    set_timer(c);
}

/* resolv.conf(5): a name with as many dots as ndots says is tried as it is first, others last. */
bool dns_channel_candidate(const struct dns_channel *c, str host, size_t i, char out[DNS_NAME_MAX + 1])
{
    bool whole = host.n && host.p[host.n - 1] == '.';
    if (whole) host.n--;
    size_t n = whole ? 0 : c->n_search;
    unsigned dots = 0;
    for (size_t k = 0; k < host.n; k++) dots += host.p[k] == '.';
    bool first = dots >= c->ndots;
    if (i > n || host.n > DNS_NAME_MAX) return false;
    bool plain = whole || (first ? i == 0 : i == n);
    const char *domain = plain ? "" : c->search[first ? i - 1 : i];
    if (host.n + 1 + strlen(domain) > DNS_NAME_MAX) {
        out[0] = 0; /* cannot be: passed over */
        return true;
    }
    snprintf(out, DNS_NAME_MAX + 1, "%.*s%s%s", STR_ARG(host), plain ? "" : ".", domain);
    return true;
}
