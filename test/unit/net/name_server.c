#include "name_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { A = 1, CNAME = 5, SOA = 6, AAAA = 28, SRV = 33 };

void message_u16(struct message *m, unsigned v)
{
    m->p[m->n++] = (unsigned char)(v >> 8);
    m->p[m->n++] = (unsigned char)v;
}

void message_u32(struct message *m, uint32_t v)
{
    message_u16(m, v >> 16);
    message_u16(m, v & 0xffff);
}

void message_name(struct message *m, const char *name)
{
    while (*name) {
        size_t n = strcspn(name, ".");
        m->p[m->n++] = (unsigned char)n;
        memcpy(m->p + m->n, name, n);
        m->n += n;
        name += n + (name[n] == '.');
    }
    m->p[m->n++] = 0;
}

void message_count(struct message *m, size_t at)
{
    unsigned n = (unsigned)(m->p[at] << 8 | m->p[at + 1]) + 1;
    m->p[at] = (unsigned char)(n >> 8);
    m->p[at + 1] = (unsigned char)n;
}

void message_begin(struct message *m, uint16_t id, const char *name, unsigned type, unsigned rcode)
{
    m->n = 0;
    message_u16(m, id);
    message_u16(m, 0x8180 | rcode);
    message_u16(m, 1);
    for (int i = 0; i < 3; i++) message_u16(m, 0);
    message_name(m, name);
    message_u16(m, type);
    message_u16(m, 1);
}

static void rr(struct message *m, const char *name, unsigned type, uint32_t ttl)
{
    message_name(m, name);
    message_u16(m, type);
    message_u16(m, 1);
    message_u32(m, ttl);
}

void message_a(struct message *m, const char *name, uint32_t ttl, const char *ip)
{
    bool v6 = strchr(ip, ':');
    size_t n = v6 ? 16 : 4;
    rr(m, name, v6 ? AAAA : A, ttl);
    message_u16(m, (unsigned)n);
    int rc = inet_pton(v6 ? AF_INET6 : AF_INET, ip, m->p + m->n);
    assert(rc == 1);
    m->n += n;
    message_count(m, 6);
}

/* The length goes in front of what `fill` has appended since. */
static void close_data(struct message *m, size_t at)
{
    size_t n = m->n - at - 2;
    m->p[at] = (unsigned char)(n >> 8);
    m->p[at + 1] = (unsigned char)n;
}

void message_cname(struct message *m, const char *name, uint32_t ttl, const char *to)
{
    rr(m, name, CNAME, ttl);
    size_t at = m->n;
    message_u16(m, 0);
    message_name(m, to);
    close_data(m, at);
    message_count(m, 6);
}

void message_srv(struct message *m, const char *name, uint32_t ttl, unsigned priority, unsigned weight, unsigned port,
                 const char *target)
{
    rr(m, name, SRV, ttl);
    size_t at = m->n;
    message_u16(m, 0);
    message_u16(m, priority);
    message_u16(m, weight);
    message_u16(m, port);
    message_name(m, target);
    close_data(m, at);
    message_count(m, 6);
}

void message_soa(struct message *m, const char *zone, uint32_t ttl, uint32_t least)
{
    rr(m, zone, SOA, ttl);
    size_t at = m->n;
    message_u16(m, 0);
    message_name(m, "ns.test");
    message_name(m, "hostmaster.test");
    for (int i = 0; i < 4; i++) message_u32(m, 1);
    message_u32(m, least);
    close_data(m, at);
    message_count(m, 8);
}

/* --- what is answered --- */

static bool is(const char *name, const char *other)
{
    return strcasecmp(name, other) == 0;
}

/* Names with plain answers. False: no such name. */
static bool plain(struct name_server *s, struct message *m, const char *q, unsigned type)
{
    char text[64];
    if (is(q, "a.test") || is(q, "s1.test")) {
        if (type == A) message_a(m, q, 7, "10.0.0.2");
        if (type == A) message_a(m, q, 9, "10.0.0.1");
        if (type == AAAA) message_a(m, q, 30, "fd00::1");
    } else if (is(q, "s2.test") || is(q, "v4.test") || is(q, "short.lan.test")) {
        if (type == A) message_a(m, q, 7, "10.0.0.3");
        if (type == AAAA) message_soa(m, "test", 100, 3);
    } else if (is(q, "twice.test")) {
        for (int i = 0; i < 3 && type == A; i++) message_a(m, q, 7, i == 1 ? "10.0.0.2" : "10.0.0.1");
    } else if (is(q, "zero.test")) {
        if (type == A) message_a(m, q, 0, "10.0.0.4");
    } else if (is(q, "old.test")) {
        if (type == A) message_a(m, q, 1000000, "10.0.0.4");
    } else if (is(q, "negative.test")) { /* a time to live with the highest bit set counts as 0 */
        if (type == A) message_a(m, q, 0x80000001u, "10.0.0.4");
    } else if (is(q, "alias.test")) {
        message_cname(m, q, 4, "A.test");
        if (type == A) message_a(m, "a.test", 7, "10.0.0.1");
    } else if (is(q, "loop.test")) {
        message_cname(m, q, 4, "loop2.test");
        message_cname(m, "loop2.test", 4, q);
    } else if (is(q, "foreign.test")) {
        if (type == A) message_a(m, "evil.test", 7, "6.6.6.6");
        if (type == A) message_a(m, q, 7, "10.0.0.5");
    } else if (is(q, "big.test") || is(q, "huge.test")) {
        int n = is(q, "big.test") ? 50 : 300;
        for (int i = 0; i < n && type == A; i++) {
            snprintf(text, sizeof text, "10.1.%d.%d", i / 100, i % 100 + 1);
            message_a(m, q, 7, text);
        }
    } else if (is(q, "change.test")) {
        snprintf(text, sizeof text, "10.2.0.%u", atomic_load(&s->turn));
        if (type == A) message_a(m, q, 1, text);
    } else if (is(q, "none.lan.test")) {
        return false;
    } else if (is(q, "_http._tcp.svc.test") && type == SRV) {
        message_srv(m, q, 20, 20, 0, 8003, "v4.test");
        message_srv(m, q, 20, 10, 40, 8002, "S2.test");
        message_srv(m, q, 20, 10, 60, 8001, "s1.test");
    } else if (is(q, "_http._tcp.half.test") && type == SRV) {
        message_srv(m, q, 20, 10, 1, 8001, "v4.test");
        message_srv(m, q, 20, 10, 1, 8002, "fail.test");
    } else if (is(q, "_http._tcp.not.test") && type == SRV) {
        message_srv(m, q, 20, 0, 0, 0, "");
    } else if (is(q, "_http._tcp.many.test") && type == SRV) {
        for (unsigned i = 0; i < 40; i++) message_srv(m, q, 20, i, 1, 8000 + i, "v4.test");
    } else {
        return false;
    }
    return true;
}

static void long_chain(struct message *m, const char *q)
{
    char from[64], to[64];
    message_cname(m, q, 4, "c0.test");
    for (int i = 0; i < 20; i++) {
        snprintf(from, sizeof from, "c%d.test", i);
        snprintf(to, sizeof to, "c%d.test", i + 1);
        message_cname(m, from, 4, to);
    }
    message_a(m, "c20.test", 4, "10.0.0.9");
}

/* How many messages go back; 0: silence. */
static unsigned answers(struct name_server *s, uint16_t id, const char *q, unsigned type, bool tcp, struct message m[2])
{
    message_begin(&m[0], id, q, type, 0);
    if (is(q, "dead.test")) return 0;
    if (is(q, "fail.test") || is(q, "fail.lan.test") ||
        ((is(q, "half.test") || is(q, "partly.test")) && type == AAAA)) {
        message_begin(&m[0], id, q, type, 2);
    } else if (is(q, "refused.test")) {
        message_begin(&m[0], id, q, type, 5);
    } else if (is(q, "half.test") || is(q, "partly.test")) {
        message_a(&m[0], q, is(q, "half.test") ? 7 : 3000, "10.0.0.6");
    } else if (is(q, "chain.test")) {
        long_chain(&m[0], q);
    } else if (is(q, "wrongid.test") || is(q, "wrongname.test")) { /* a forged one first */
        message_begin(&m[0], is(q, "wrongid.test") ? id ^ 1u : id, is(q, "wrongname.test") ? "evil.test" : q, type, 0);
        if (type == A) message_a(&m[0], q, 7, "6.6.6.6");
        message_begin(&m[1], id, q, type, 0);
        if (type == A) message_a(&m[1], q, 7, "10.0.0.7");
        return 2;
    } else if (is(q, "garbage.test")) { /* the head is right, what follows is not */
        message_u16(&m[0], 0xc0ff);
        for (int i = 0; i < 40; i++) message_u32(&m[0], 0xdeadbeefu * (uint32_t)i);
        message_count(&m[0], 6);
    } else if (!plain(s, &m[0], q, type)) {
        message_begin(&m[0], id, q, type, 3);
        message_soa(&m[0], "test", 60, 9);
    }
    if (!tcp && m[0].n > 512) { /* what does not fit is to be fetched over TCP */
        message_begin(&m[0], id, q, type, 0);
        m[0].p[2] |= 2;
    }
    return 1;
}

static bool read_question(const unsigned char *p, size_t n, char name[256], unsigned *type)
{
    size_t at = 12, to = 0;
    while (at < n && p[at]) {
        unsigned k = p[at++];
        if (k > 63 || at + k >= n || to + k + 2 > 255) return false;
        if (to) name[to++] = '.';
        memcpy(name + to, p + at, k);
        to += k;
        at += k;
    }
    if (at + 5 > n) return false;
    name[to] = 0;
    *type = (unsigned)(p[at + 1] << 8 | p[at + 2]);
    return true;
}

static void serve(struct name_server *s, struct message m[2], int fd, bool tcp)
{
    unsigned char in[1024], length[2];
    char name[256];
    unsigned type;
    struct sockaddr_in from;
    socklen_t from_n = sizeof from;
    ssize_t got = tcp ? recv(fd, length, 2, MSG_WAITALL) : 0;
    got = tcp ? recv(fd, in, got == 2 && length[0] < 3 ? (size_t)(length[0] << 8 | length[1]) : 0, MSG_WAITALL)
              : recvfrom(fd, in, sizeof in, 0, (struct sockaddr *)&from, &from_n);
    if (got < 12 || !read_question(in, (size_t)got, name, &type)) return;
    atomic_fetch_add(&s->queries, 1);
    if (tcp) atomic_fetch_add(&s->tcp_queries, 1);
    unsigned n = answers(s, (uint16_t)(in[0] << 8 | in[1]), name, type, tcp, m);
    for (unsigned i = 0; i < n; i++) {
        if (!tcp) {
            (void)!sendto(fd, m[i].p, m[i].n, 0, (struct sockaddr *)&from, from_n);
            continue;
        }
        unsigned char head[2] = {(unsigned char)(m[i].n >> 8), (unsigned char)m[i].n};
        (void)!send(fd, head, 1, MSG_NOSIGNAL); /* in small pieces: whoever reads must wait for the rest */
        usleep(2000);
        (void)!send(fd, head + 1, 1, MSG_NOSIGNAL);
        (void)!send(fd, m[i].p, m[i].n / 2, MSG_NOSIGNAL);
        usleep(2000);
        (void)!send(fd, m[i].p + m[i].n / 2, m[i].n - m[i].n / 2, MSG_NOSIGNAL);
    }
}

struct caller {
    struct name_server *server;
    int fd;
};

/* One connection, until its other end goes: on a thread of its own, so that nobody waits for anybody. */
static void *run_connection(void *arg)
{
    static _Thread_local struct message m[2];
    struct caller *c = arg;
    struct pollfd on[2] = {{.fd = c->server->stop[0], .events = POLLIN}, {.fd = c->fd, .events = POLLIN}};
    char more;
    while (poll(on, 2, -1) > 0 && !on[0].revents && recv(c->fd, &more, 1, MSG_PEEK) == 1)
        serve(c->server, m, c->fd, true);
    close(c->fd);
    c->fd = -1;
    return NULL;
}

static void *run(void *arg)
{
    static _Thread_local struct message m[2];
    static struct caller callers[512];
    struct name_server *s = arg;
    size_t n = 0;
    struct pollfd on[3] = {{.fd = s->stop[0], .events = POLLIN},
                           {.fd = s->udp, .events = POLLIN},
                           {.fd = s->tcp, .events = POLLIN}};
    while (poll(on, 3, -1) > 0 && !on[0].revents) {
        if (on[1].revents) serve(s, m, s->udp, false);
        if (!on[2].revents) continue;
        pthread_t thread;
        callers[n] = (struct caller){s, accept(s->tcp, NULL, NULL)};
        assert(n + 1 < sizeof callers / sizeof callers[0]);
        int rc = pthread_create(&thread, NULL, run_connection, &callers[n++]);
        assert(rc == 0);
        pthread_detach(thread);
    }
    return NULL;
}

void name_server_start(struct name_server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    pthread_t thread;
    int rc = -1;
    memset(s, 0, sizeof *s);
    for (int i = 0; i < 20 && rc != 0; i++) { /* a port that is free for both */
        s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        at.sin_port = 0;
        rc = bind(s->tcp, (struct sockaddr *)&at, sizeof at);
        if (rc == 0) rc = getsockname(s->tcp, (struct sockaddr *)&at, &n);
        if (rc == 0) rc = bind(s->udp, (struct sockaddr *)&at, sizeof at);
        if (rc == 0) break;
        close(s->udp);
        close(s->tcp);
    }
    assert(rc == 0);
    rc = listen(s->tcp, 8) | pipe(s->stop);
    assert(rc == 0);
    s->port = ntohs(at.sin_port);
    rc = pthread_create(&thread, NULL, run, s);
    assert(rc == 0);
    s->thread = (unsigned long)thread;
}

void name_server_stop(struct name_server *s)
{
    (void)!write(s->stop[1], "x", 1);
    pthread_join((pthread_t)s->thread, NULL);
    close(s->udp);
    close(s->tcp);
    close(s->stop[0]);
    close(s->stop[1]);
}
