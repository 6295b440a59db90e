#include "net/dns.h"

#include "net/dns_channel.h"
#include "net/dns_hosts.h"
#include "net/dns_message.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#define HOSTS_TTL_S 10 /* of what the hosts file says */
#define NOTHING_S   5  /* of a negative answer that does not say how long it is good */

/* A question's life. It is freed when it is over and no query of it is under way: c-ares cannot take one back.
 *
 *   dns_ask() → NEW ──begin()──► [SERVICE ──on_service()──►] HOSTS ──on_part(), the last one──► OVER
 *   HOSTS comes back to itself with the next name of the search list; the deadline and dns_cancel lead to OVER from
 *   anywhere. */
enum state { NEW, SERVICE, HOSTS, OVER };

enum { V4, V6, FAMILIES };
static const enum dns_type types[FAMILIES] = {DNS_TYPE_A, DNS_TYPE_AAAA};

/* One query. */
struct part {
    struct dns_question *question;
    uint8_t target, family;
    bool waiting, failed;
};

/* A host whose addresses are wanted. */
struct target {
    char name[DNS_NAME_MAX + 1];
    uint16_t priority, weight, port;
    struct part parts[FAMILIES];
};

struct dns_question {
    struct dns *dns;
    struct dns_question *next, **link;
    void (*done)(void *user, const struct dns_answer *a);
    void *user;
    struct task task;
    struct timer deadline;
    enum state state;
    bool service, left_out;
    enum dns_fault fault; /* the first that a part ended with */
    uint32_t ttl_s;
    unsigned pending; /* queries under way */
    size_t candidate; /* of the search list */
    str host;
    uint16_t port;
    size_t n, n_targets;
    struct dns_address v[DNS_ADDRESSES_MAX];
    struct target *targets; /* 1, or DNS_TARGETS_MAX of a service */
    char text[DNS_NAME_MAX + 2];
};

struct dns {
    struct loop *loop;
    struct dns_channel *channel;
    const char *hosts;
    uint32_t timeout_ms;
    size_t n;
    struct dns_question *questions;
    struct dns_message message; /* the one that is being read */
    char text[];
};

const char *dns_fault_text(enum dns_fault f)
{
    switch (f) {
    case DNS_FAULT_NONE: return "no fault";
    case DNS_FAULT_NAME: return "no such name, or it has no address";
    case DNS_FAULT_SERVER: return "the name servers refuse or fail, or none can be reached";
    case DNS_FAULT_TIME: return "no answer in time";
    case DNS_FAULT_ANSWER: return "an answer that is not well formed";
    case DNS_FAULT_MEMORY: return "out of memory";
    }
    return "unknown fault";
}

/* --- the end --- */

static void release(struct dns_question *q)
{
    if (q->pending) return;
    if (q->next) q->next->link = q->link;
    *q->link = q->next;
    q->dns->n--;
    free(q->targets);
    free(q);
}

static void over(struct dns_question *q)
{
    q->state = OVER;
    q->done = NULL;
    timer_clear(q->dns->loop, &q->deadline);
    loop_undefer(q->dns->loop, &q->task);
}

/* FNV-1a: which target, which family. */
uint32_t dns_origin(str host, bool v6)
{
    uint32_t h = (2166136261u ^ (v6 ? 1u : 0u)) * 16777619u;
    for (size_t i = 0; i < host.n; i++) h = (h ^ (unsigned char)host.p[i]) * 16777619u;
    return h;
}

static int by_place(const void *pa, const void *pb)
{
    const struct dns_address *a = pa, *b = pb;
    if (a->priority != b->priority) return a->priority < b->priority ? -1 : 1;
    if (a->addr.ss.ss_family != b->addr.ss.ss_family) return a->addr.ss.ss_family < b->addr.ss.ss_family ? -1 : 1;
    int order = memcmp(&a->addr.ss, &b->addr.ss, a->addr.len); /* as long as each other: one family */
    return order ? order : a->weight != b->weight ? (a->weight > b->weight ? -1 : 1) : 0;
}

/* Sorted, and no address twice: the one of the better priority and the greater weight counts. */
static void tidy(struct dns_question *q)
{
    size_t kept = 0;
    qsort(q->v, q->n, sizeof q->v[0], by_place);
    for (size_t i = 0; i < q->n; i++) {
        size_t k = 0;
        while (k < kept && (q->v[k].addr.len != q->v[i].addr.len ||
                            memcmp(&q->v[k].addr.ss, &q->v[i].addr.ss, q->v[i].addr.len) != 0))
            k++;
        if (k == kept) q->v[kept++] = q->v[i];
    }
    q->n = kept;
}

static uint32_t clamp_ttl(uint32_t ttl_s)
{
    uint64_t ms = (uint64_t)ttl_s * 1000;
    return ms < DNS_TTL_MIN_MS ? DNS_TTL_MIN_MS : ms > DNS_TTL_MAX_MS ? DNS_TTL_MAX_MS : (uint32_t)ms;
}

static void answer(struct dns_question *q)
{
    uint32_t failed[DNS_TARGETS_MAX * FAMILIES];
    struct dns_answer a = {.failed = failed, .left_out = q->left_out};
    for (size_t t = 0; t < q->n_targets; t++)
        for (unsigned f = 0; f < FAMILIES; f++) {
            const struct part *p = &q->targets[t].parts[f];
            if (p->waiting || p->failed)
                failed[a.n_failed++] = dns_origin(str_of(q->service ? q->targets[t].name : q->text), f == V6);
        }
    tidy(q);
    a.v = q->v;
    a.n = q->n;
    if (!a.n) a.fault = q->fault ? q->fault : DNS_FAULT_NAME;
    if (!a.fault || a.fault == DNS_FAULT_NAME) a.ttl_ms = clamp_ttl(q->ttl_s == UINT32_MAX ? NOTHING_S : q->ttl_s);
    void (*done)(void *user, const struct dns_answer *a) = q->done;
    over(q);
    if (done) done(q->user, &a);
    release(q);
}

static void on_deadline(struct timer *t)
{
    struct dns_question *q = CONTAINER_OF(t, struct dns_question, deadline);
    if (!q->fault) q->fault = DNS_FAULT_TIME;
    answer(q);
}

/* --- addresses --- */

static void add(struct dns_question *q, const struct target *t, const void *ip, unsigned family)
{
    if (q->n == DNS_ADDRESSES_MAX) {
        q->left_out = true;
        return;
    }
    str name = str_of(q->service ? t->name : q->text);
    struct dns_address *a = &q->v[q->n++];
    *a = (struct dns_address){.priority = t->priority,
                              .weight = t->weight,
                              .origin = dns_origin(name, family == V6),
                              .host = name};
    dns_ip(ip, family == V6, t->port, &a->addr);
}

/* What this machine knows without asking. */
static bool known_here(struct dns_question *q, const struct target *t)
{
    struct net_addr found[DNS_HOSTS_MAX];
    str name = str_of(t->name);
    size_t n = dns_hosts_find(q->dns->hosts, name, found);
    for (size_t i = 0; i < n; i++) {
        unsigned char ip[16];
        bool v6 = found[i].ss.ss_family == AF_INET6;
        memcpy(ip,
               (const char *)&found[i].ss +
                   (v6 ? offsetof(struct sockaddr_in6, sin6_addr) : offsetof(struct sockaddr_in, sin_addr)),
               v6 ? 16 : 4);
        add(q, t, ip, v6 ? V6 : V4);
    }
    if (!n && (str_ieq(name, STR("localhost")) || str_ends(name, STR(".localhost")))) {
        add(q, t, "\x7f\0\0\1", V4);
        n = 1;
    }
    if (n && q->ttl_s > HOSTS_TTL_S) q->ttl_s = HOSTS_TTL_S;
    return n > 0;
}

static void next_candidate(struct dns_question *q);

static void on_part(void *arg, enum dns_fault fault, const unsigned char *p, size_t n)
{
    struct part *part = arg;
    struct dns_question *q = part->question;
    struct dns_message *m = &q->dns->message;
    struct target *t = &q->targets[part->target];
    part->waiting = false;
    q->pending--;
    if (q->state == OVER) {
        release(q);
        return;
    }
    if (!fault && dns_message_read(p, n, str_of(t->name), types[part->family], m) != ERR_OK) fault = DNS_FAULT_ANSWER;
    part->failed = fault != DNS_FAULT_NONE;
    if (fault && !q->fault) q->fault = fault;
    if (!fault) {
        if (m->ttl_s < q->ttl_s) q->ttl_s = m->ttl_s;
        for (size_t i = 0; i < m->n; i++) add(q, t, m->v[i].ip, part->family);
        q->left_out |= m->left_out;
    }
    if (q->pending) return;
    if (q->n || q->service)
        answer(q);
    else
        next_candidate(q);
}

/* Both families of one host, unless it is known here. The last part to come back goes on with the question: `pending`
 * is held up meanwhile by whoever calls, so that it is not one of these. */
static void ask_host(struct dns_question *q, size_t i)
{
    struct target *t = &q->targets[i];
    for (unsigned f = 0; f < FAMILIES; f++) {
        t->parts[f] = (struct part){.question = q, .target = (uint8_t)i, .family = (uint8_t)f, .waiting = true};
        q->pending++;
        dns_channel_query(q->dns->channel, t->name, types[f], on_part, &t->parts[f]);
    }
}

/* The next name of the search list. One that could not be asked for is passed over, but remembered as the fault; when
 * the servers are silent the others would be, too. */
static void next_candidate(struct dns_question *q)
{
    struct target *t = &q->targets[0];
    while (q->fault != DNS_FAULT_TIME && dns_channel_candidate(q->dns->channel, q->host, q->candidate, t->name)) {
        q->candidate++;
        if (!t->name[0]) continue;
        q->state = HOSTS;
        q->pending++;
        ask_host(q, 0);
        if (--q->pending) return;
        if (q->n) break;
    }
    answer(q);
}

/* --- services --- */

static int by_priority(const void *pa, const void *pb)
{
    const struct dns_record *a = pa, *b = pb;
    if (a->priority != b->priority) return a->priority < b->priority ? -1 : 1;
    return a->weight != b->weight ? (a->weight > b->weight ? -1 : 1) : strcmp(a->target, b->target);
}

static void take_targets(struct dns_question *q, struct dns_message *m)
{
    qsort(m->v, m->n, sizeof m->v[0], by_priority);
    q->left_out |= m->left_out;
    for (size_t i = 0; i < m->n; i++) {
        const struct dns_record *r = &m->v[i];
        if (!r->target[0] || r->port == 0) continue; /* RFC 2782: "." says that the service is not there */
        if (q->n_targets == DNS_TARGETS_MAX) {
            q->left_out = true;
            return;
        }
        struct target *t = &q->targets[q->n_targets++];
        *t = (struct target){.priority = r->priority, .weight = r->weight, .port = r->port};
        memcpy(t->name, r->target, sizeof t->name);
    }
}

static void on_service(void *arg, enum dns_fault fault, const unsigned char *p, size_t n)
{
    struct dns_question *q = arg;
    struct dns_message *m = &q->dns->message;
    q->pending--;
    if (q->state == OVER) {
        release(q);
        return;
    }
    if (!fault && dns_message_read(p, n, str_of(q->text), DNS_TYPE_SRV, m) != ERR_OK) fault = DNS_FAULT_ANSWER;
    if (fault) {
        q->fault = fault;
        answer(q);
        return;
    }
    q->ttl_s = m->ttl_s;
    take_targets(q, m);
    q->state = HOSTS;
    q->pending++;
    for (size_t i = 0; i < q->n_targets; i++)
        if (!known_here(q, &q->targets[i])) ask_host(q, i);
    if (--q->pending == 0) answer(q);
}

/* --- the beginning --- */

static void begin(struct task *task)
{
    struct dns_question *q = CONTAINER_OF(task, struct dns_question, task);
    dns_channel_refresh(q->dns->channel);
    if (!q->service) {
        struct target *t = q->targets;
        q->n_targets = 1;
        t->port = q->port;
        memcpy(t->name, q->host.p, q->host.n);
        t->name[q->host.n - (q->host.p[q->host.n - 1] == '.')] = 0;
        if (known_here(q, t))
            answer(q);
        else
            next_candidate(q);
        return;
    }
    q->state = SERVICE;
    q->pending++;
    dns_channel_query(q->dns->channel, q->text, DNS_TYPE_SRV, on_service, q);
}

enum err dns_ask(struct dns *d, str host, uint16_t port, bool service,
                 void (*done)(void *user, const struct dns_answer *a), void *user, struct dns_question **out)
{
    str name = host.n && host.p[host.n - 1] == '.' ? str_first(host, host.n - 1) : host;
    if (!dns_name_ok(name)) return ERR_MALFORMED;
    if (d->n >= DNS_QUESTIONS_MAX) return ERR_LIMIT;
    struct dns_question *q = calloc(1, sizeof *q);
    if (q) q->targets = calloc(service ? DNS_TARGETS_MAX : 1, sizeof *q->targets);
    if (!q || !q->targets) {
        free(q);
        return ERR_NO_MEMORY;
    }
    q->dns = d;
    q->done = done;
    q->user = user;
    q->service = service;
    q->port = port;
    q->ttl_s = UINT32_MAX;
    /* a service's name is a whole one; a host's dot at the end says so to the search list */
    q->host = service ? name : host;
    memcpy(q->text, q->host.p, q->host.n);
    q->host = str_make(q->text, q->host.n);
    q->task.run = begin;
    q->deadline.on_time = on_deadline;
    q->next = d->questions;
    q->link = &d->questions;
    if (q->next) q->next->link = &q->next;
    d->questions = q;
    d->n++;
    timer_set(d->loop, &q->deadline, loop_now_ms(d->loop) + d->timeout_ms);
    loop_defer(d->loop, &q->task);
    *out = q;
    return ERR_OK;
}

void dns_cancel(struct dns_question **out)
{
    struct dns_question *q = *out;
    *out = NULL;
    if (!q || q->state == OVER) return;
    over(q);
    release(q);
}

size_t dns_under_way(const struct dns *d)
{
    return d->n;
}

enum err dns_new(struct loop *loop, const struct dns_options *o, struct dns **out)
{
    const char *hosts = o->hosts_path ? o->hosts_path : "/etc/hosts";
    struct dns *d = calloc(1, sizeof *d + strlen(hosts) + 1);
    if (!d) return ERR_NO_MEMORY;
    d->loop = loop;
    d->timeout_ms = o->timeout_ms ? o->timeout_ms : DNS_TIMEOUT_MS;
    d->hosts = memcpy(d->text, hosts, strlen(hosts) + 1);
    enum err e = dns_channel_new(loop, o, &d->channel);
    if (e != ERR_OK) {
        free(d);
        return e;
    }
    *out = d;
    return ERR_OK;
}

void dns_free(struct dns **out)
{
    struct dns *d = *out;
    if (!d) return;
    *out = NULL;
    for (struct dns_question *q = d->questions, *next; q; q = next) {
        next = q->next;
        if (q->state != OVER) over(q);
        release(q);
    }
    dns_channel_free(&d->channel); /* what is left under way comes back from here, and goes */
    free(d);
}
