#include "roles/gateway_dns.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/rand.h"
#include "fetch/address.h"
#include "net/dns.h"

#include <stdio.h>
#include <stdlib.h>

#define UNDER_WAY      16u    /* questions at once; the others wait in line */
#define BACKOFF_MS     1000u  /* after the first failure; doubles */
#define BACKOFF_MAX_MS 30000u /* also of "there is no such name", whatever its time to live */
#define GATHER_MS      50u    /* changes that come together are one snapshot */
#define AGAIN_MS       1000u  /* a snapshot could not be built */
#define FRESH_MS       5000u  /* how long an answer counts that nothing in force uses */

/* One name's life. What it is known to be changes only in on_answer().
 *
 *   entry_make() → idle ──want, timer──► in line ──ask_next()──► under way ──on_answer()──► idle, with a timer while it
 * is followed; names that nobody follows any more go in sweep(). */
struct entry {
    struct gateway_dns *names;
    struct entry *next, *line; /* all; those that wait to be asked */
    struct timer timer;
    struct dns_question *question;
    bool in_line, followed, keep;
    bool answered;        /* known or known not to be: an answer has come */
    bool wanted;          /* gateway_dns_want waits for it */
    uint64_t answered_ms; /* when */
    uint64_t due_ms;      /* when it is to be asked for again */
    enum dns_fault fault; /* of the last answer */
    unsigned streak;      /* failures in a row */
    size_t n;
    struct dns_address *v; /* the last good ones; texts behind them in the same piece of memory */
    bool srv;
    uint16_t port;
    str host;
    char text[];
};

struct gateway_dns {
    struct gateway_dns_env env;
    struct dns *dns;   /* NULL until there is a name */
    struct loop *loop; /* that dns is on: env.loop, but not in gateway_dns_first */
    str servers;       /* of the configuration; empty: the system's */
    char *servers_text;
    const struct snapshot *snap;  /* followed; borrowed, with a reference */
    struct entry *entries, *last; /* last: found or made */
    struct entry *line, **line_end;
    unsigned under_way;
    bool waiting, stopped;
    struct timer change, patience;
    struct task ready;
    uint64_t lookups, failures, changes;
};

/* --- entries --- */

/* Names are asked for in the order in which they were made: mostly it is the one behind the last. */
static struct entry *find(struct gateway_dns *n, str host, uint16_t port, bool srv)
{
    struct entry *const from[] = {n->last ? n->last->next : NULL, n->entries};
    for (size_t i = 0; i < ARRAY_LEN(from); i++)
        for (struct entry *e = from[i]; e; e = e->next)
            if (e->port == port && e->srv == srv && str_eq(e->host, host)) return n->last = e;
    return NULL;
}

static void on_time(struct timer *t);

static struct entry *entry_make(struct gateway_dns *n, str host, uint16_t port, bool srv)
{
    struct entry *e = find(n, host, port, srv);
    if (e) return e;
    e = calloc(1, sizeof *e + host.n + 1);
    if (!e) return NULL;
    if (host.n) memcpy(e->text, host.p, host.n);
    e->host = str_make(e->text, host.n);
    e->port = port;
    e->srv = srv;
    e->names = n;
    e->timer.on_time = on_time;
    struct entry **end = &n->entries;
    if (n->last) end = &n->last->next; /* near the end, if not there */
    while (*end) end = &(*end)->next;
    *end = e;
    n->last = e;
    return e;
}

static void leave_line(struct entry *e)
{
    struct gateway_dns *n = e->names;
    if (!e->in_line) return;
    struct entry **link = &n->line;
    while (*link != e) link = &(*link)->line;
    *link = e->line;
    if (n->line_end == &e->line) n->line_end = link;
    e->in_line = false;
}

static void give_up(struct entry *e)
{
    struct gateway_dns *n = e->names;
    leave_line(e);
    timer_clear(n->env.loop, &e->timer);
    if (!e->question) return;
    dns_cancel(&e->question);
    n->under_way--;
}

/* Those that nothing in force has, and nobody waits for. */
static void sweep(struct gateway_dns *n)
{
    struct entry **link = &n->entries;
    n->last = NULL;
    while (*link) {
        struct entry *e = *link;
        if (e->keep) {
            link = &e->next;
            continue;
        }
        *link = e->next;
        give_up(e);
        free(e->v);
        free(e);
    }
}

/* "orders.internal:8080", "srv:_http._tcp.orders.internal" */
static str shown(const struct entry *e, char out[300])
{
    int n = e->srv ? snprintf(out, 300, "srv:%.*s", STR_ARG(e->host))
                   : snprintf(out, 300, "%.*s:%u", STR_ARG(e->host), e->port);
    return str_make(out, n < 300 ? (size_t)n : 299);
}

/* --- what is known --- */

static bool same_place(const struct dns_address *a, const struct dns_address *b)
{
    return a->addr.len == b->addr.len && memcmp(&a->addr.ss, &b->addr.ss, a->addr.len) == 0;
}

static bool among(const struct dns_address *v, size_t n, const struct dns_address *a)
{
    for (size_t i = 0; i < n; i++)
        if (same_place(&v[i], a)) return true;
    return false;
}

static bool same_set(const struct dns_address *a, size_t n, const struct dns_address *b, size_t m)
{
    if (n != m) return false;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < m && !(same_place(&a[i], &b[k]) && a[i].priority == b[k].priority && a[i].weight == b[k].weight &&
                          str_eq(a[i].host, b[k].host)))
            k++;
        if (k == m) return false;
    }
    return true;
}

static enum err remember(struct entry *e, const struct dns_address *v, size_t n)
{
    size_t texts = 0;
    for (size_t i = 0; i < n; i++) texts += v[i].host.n;
    struct dns_address *copy = malloc(n * sizeof *copy + texts + 1);
    if (!copy) return ERR_NO_MEMORY;
    char *at = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        copy[i] = v[i];
        copy[i].host = str_make(at, v[i].host.n);
        at = str_put(at, v[i].host);
    }
    free(e->v);
    e->v = copy;
    e->n = n;
    return ERR_OK;
}

/* What may be connected to, with what could not be asked for this time as it was. */
static size_t merge(const struct entry *e, const struct dns_answer *a, struct dns_address out[DNS_ADDRESSES_MAX],
                    size_t *never)
{
    size_t n = 0;
    *never = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (address_classify(&a->v[i].addr) == ADDRESS_NEVER)
            ++*never;
        else
            out[n++] = a->v[i];
    }
    for (size_t i = 0; i < e->n && n < DNS_ADDRESSES_MAX; i++)
        for (size_t f = 0; f < a->n_failed; f++)
            if (a->failed[f] == e->v[i].origin && !among(out, n, &e->v[i])) {
                out[n++] = e->v[i];
                break;
            }
    return n;
}

/* For the log: what is in `a` and not in `b`. */
static str missing_in(struct buf *out, const struct dns_address *a, size_t n, const struct dns_address *b, size_t m)
{
    char text[NET_TEXT_MAX];
    buf_init(out, 512);
    for (size_t i = 0; i < n; i++) {
        if (among(b, m, &a[i])) continue;
        net_addr_text(&a[i].addr, text);
        buf_printf(out, "%s%s", out->n ? " " : "", text);
    }
    return buf_str(out);
}

static void log_change(const struct entry *e, const struct dns_address *v, size_t n)
{
    struct buf added, removed;
    char name[300];
    log_event(LOG_LEVEL_INFO, log_msg("a name has other addresses"), log_str("name", shown(e, name)),
              log_str("added", missing_in(&added, v, n, e->v, e->n)),
              log_str("removed", missing_in(&removed, e->v, e->n, v, n)), log_u64("addresses", n));
    buf_free(&added);
    buf_free(&removed);
}

/* --- a change on its way into force --- */

static void change_soon(struct gateway_dns *n, uint64_t ms)
{
    if (!timer_is_set(&n->change) && !n->stopped) timer_set(n->env.loop, &n->change, loop_now_ms(n->env.loop) + ms);
}

static void on_change(struct timer *t)
{
    struct gateway_dns *n = CONTAINER_OF(t, struct gateway_dns, change);
    const struct snapshot *snap = n->snap; /* followed: on the way there is a change only for those */
    uint32_t room = 0;
    for (uint32_t i = 0; i < snap->n_names; i++) {
        const struct entry *e = find(n, snap->names[i].host, snap->names[i].port, snap->names[i].srv);
        if (e) room += (uint32_t)e->n;
    }
    struct snapshot_addresses *now = calloc(1, sizeof *now + room * sizeof now->v[0]);
    if (!now) {
        change_soon(n, AGAIN_MS);
        return;
    }
    for (uint32_t i = 0; i < snap->n_names; i++) {
        const struct entry *e = find(n, snap->names[i].host, snap->names[i].port, snap->names[i].srv);
        for (size_t k = 0; e && k < e->n; k++) {
            const struct dns_address *a = &e->v[k];
            now->v[now->n++] = (struct snapshot_address){.name = i,
                                                         .addr = a->addr.ss,
                                                         .len = a->addr.len,
                                                         .priority = a->priority,
                                                         .weight = a->weight,
                                                         .host = a->host};
        }
    }
    if (n->env.changed(n->env.ctx, now) == ERR_OK)
        n->changes++;
    else
        change_soon(n, AGAIN_MS);
    free(now);
}

/* --- asking --- */

static void ask_next(struct gateway_dns *n);

/* Less up to a tenth, so that many gateways do not ask as one. */
static uint64_t jitter(uint64_t ms)
{
    return ms - rand_u64() % (ms / 10 + 1);
}

static uint64_t pause_ms(const struct entry *e, const struct dns_answer *a)
{
    uint64_t wait = BACKOFF_MS;
    bool whole = a->fault == DNS_FAULT_NONE && !a->n_failed;
    if (whole) return a->ttl_ms;
    if (a->fault <= DNS_FAULT_NAME) return a->ttl_ms < BACKOFF_MAX_MS ? a->ttl_ms : BACKOFF_MAX_MS;
    for (unsigned i = 1; i < e->streak && wait < BACKOFF_MAX_MS; i++) wait *= 2;
    return wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS;
}

static void failed(struct entry *e, enum dns_fault fault)
{
    char name[300];
    e->names->failures++;
    if (e->streak == 0 || fault != e->fault) /* once for each cause, not for each attempt */
        log_event(LOG_LEVEL_WARN, log_msg("a name cannot be looked up"), log_str("name", shown(e, name)),
                  log_str("error", str_of(dns_fault_text(fault))), log_u64("addresses_kept", e->n));
    e->streak++;
}

static void succeeded(struct entry *e, const struct dns_address *v, size_t n)
{
    char name[300];
    if (e->streak) log_event(LOG_LEVEL_INFO, log_msg("a name can be looked up again"), log_str("name", shown(e, name)));
    e->streak = 0;
    if (same_set(e->v, e->n, v, n)) return;
    if (e->followed) log_change(e, v, n);
    if (remember(e, v, n) == ERR_OK && e->followed) change_soon(e->names, GATHER_MS);
}

static bool still_wanted(const struct gateway_dns *n)
{
    for (const struct entry *e = n->entries; e; e = e->next)
        if (e->wanted) return true;
    return false;
}

static void on_ready(struct task *t)
{
    struct gateway_dns *n = CONTAINER_OF(t, struct gateway_dns, ready);
    n->env.ready(n->env.ctx);
}

static void wait_over(struct gateway_dns *n)
{
    n->waiting = false;
    timer_clear(n->env.loop, &n->patience);
    loop_defer(n->env.loop, &n->ready);
}

/* Whoever waits goes on without what has not come. */
static void out_of_time(struct gateway_dns *n)
{
    for (struct entry *e = n->entries; e; e = e->next) {
        if (!e->wanted) continue;
        e->wanted = false;
        if (!e->answered) e->fault = DNS_FAULT_TIME;
        e->answered = true;
        e->answered_ms = e->due_ms = loop_now_ms(n->loop);
    }
}

static void on_patience(struct timer *t)
{
    struct gateway_dns *n = CONTAINER_OF(t, struct gateway_dns, patience);
    out_of_time(n);
    if (n->waiting) wait_over(n);
}

static void on_answer(void *user, const struct dns_answer *a)
{
    struct entry *e = user;
    struct gateway_dns *n = e->names;
    struct dns_address v[DNS_ADDRESSES_MAX];
    size_t never, count = merge(e, a, v, &never);
    struct dns_answer as = *a; /* as we see it */
    e->question = NULL;
    n->under_way--;
    if (a->fault == DNS_FAULT_NONE && count == 0) as.fault = DNS_FAULT_NAME;
    if (never) {
        char name[300];
        log_event(LOG_LEVEL_WARN, log_msg("a name has addresses that are never connected to: they are left out"),
                  log_str("name", shown(e, name)), log_u64("addresses", never));
    }
    if (as.fault)
        failed(e, as.fault);
    else
        succeeded(e, v, count);
    e->fault = as.fault;
    e->answered = true;
    e->answered_ms = loop_now_ms(n->loop);
    e->wanted = false;
    e->due_ms = e->answered_ms + jitter(pause_ms(e, &as));
    if (e->followed && !n->stopped) timer_set(n->env.loop, &e->timer, e->due_ms);
    if (n->waiting && !still_wanted(n)) wait_over(n);
    ask_next(n);
}

static enum err open_dns(struct gateway_dns *n)
{
    char servers[1024];
    struct dns_options o = {.hosts_path = n->env.hosts_path, .resolv_path = n->env.resolv_path};
    if (n->dns) return ERR_OK;
    if (n->servers.n && n->servers.n < sizeof servers) {
        memcpy(servers, n->servers.p, n->servers.n);
        servers[n->servers.n] = 0;
        o.servers = servers;
    }
    return dns_new(n->loop, &o, &n->dns);
}

static void ask_next(struct gateway_dns *n)
{
    while (n->line && n->under_way < UNDER_WAY) {
        struct entry *e = n->line;
        leave_line(e);
        n->lookups++;
        enum err r = open_dns(n);
        if (r == ERR_OK) r = dns_ask(n->dns, e->host, e->port, e->srv, on_answer, e, &e->question);
        n->under_way++;
        if (r == ERR_OK) continue;
        /* what cannot be asked now is a failure like others */
        on_answer(e, &(struct dns_answer){.fault = r == ERR_MALFORMED ? DNS_FAULT_NAME : DNS_FAULT_MEMORY,
                                          .ttl_ms = BACKOFF_MAX_MS});
        return; /* it has asked on */
    }
}

static void line_up(struct entry *e)
{
    struct gateway_dns *n = e->names;
    if (e->in_line || e->question) return;
    e->line = NULL;
    e->in_line = true;
    *n->line_end = e;
    n->line_end = &e->line;
}

static void on_time(struct timer *t)
{
    struct entry *e = CONTAINER_OF(t, struct entry, timer);
    line_up(e);
    ask_next(e->names);
}

/* --- before a configuration is compiled --- */

static bool is_name(const struct config_instance *i)
{
    struct net_addr a;
    char text[320];
    if (i->srv) return true;
    if (i->address.kind != ADDRESS_TCP || i->address.host.n == 0) return false;
    bool v6 = str_has(i->address.host, ':');
    int n = snprintf(text, sizeof text, "%s%.*s%s:1", v6 ? "[" : "", STR_ARG(i->address.host), v6 ? "]" : "");
    return n < 0 || (size_t)n >= sizeof text || net_addr_parse(str_make(text, (size_t)n), &a) != ERR_OK;
}

/* Whether other servers are asked from now on; questions under way are asked anew. */
static bool take_servers(struct gateway_dns *n, str servers)
{
    if (str_eq(n->servers, servers)) return false;
    char *copy = malloc(servers.n + 1);
    if (!copy) return false;
    str_put(copy, servers);
    free(n->servers_text);
    n->servers_text = copy;
    n->servers = str_make(copy, servers.n);
    for (struct entry *e = n->entries; e; e = e->next) {
        if (!e->question) continue;
        dns_cancel(&e->question);
        n->under_way--;
        line_up(e);
    }
    dns_free(&n->dns);
    return true;
}

/* Puts what is not known into the line. */
static bool line_up_missing(struct gateway_dns *n, const struct config *c)
{
    bool missing = false;
    for (uint32_t s = 0; s < c->n_services; s++)
        for (uint32_t i = 0; i < c->services[s].n_instances; i++) {
            const struct config_instance *one = &c->services[s].instances[i];
            if (!is_name(one)) continue;
            struct entry *e = entry_make(n, one->address.host, one->address.port, one->srv);
            if (!e) continue; /* the snapshot says so, too */
            bool old = !e->followed && loop_now_ms(n->loop) - e->answered_ms > FRESH_MS;
            if (e->answered && !old) continue;
            e->wanted = missing = true;
            line_up(e);
        }
    return missing;
}

bool gateway_dns_want(struct gateway_dns *n, const struct config *c)
{
    if (!line_up_missing(n, c)) return true;
    if (!n->waiting) timer_set(n->env.loop, &n->patience, loop_now_ms(n->env.loop) + DNS_TIMEOUT_MS);
    n->waiting = true;
    ask_next(n);
    return false;
}

void gateway_dns_first(struct gateway_dns *n, const struct config *c)
{
    struct loop *loop = loop_new(NULL);
    if (!loop) return;
    n->loop = loop;
    char servers[1024] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < c->dns_servers.n && at < sizeof servers; i++)
        at +=
            (size_t)snprintf(servers + at, sizeof servers - at, "%s%.*s", i ? "," : "", STR_ARG(c->dns_servers.v[i].s));
    (void)take_servers(n, str_of(servers));
    if (line_up_missing(n, c)) {
        uint64_t until = loop_now_ms(loop) + DNS_TIMEOUT_MS;
        ask_next(n);
        while (still_wanted(n) && loop_now_ms(loop) < until) loop_turn(loop, 100);
        out_of_time(n);
    }
    for (struct entry *e = n->entries; e; e = e->next) give_up(e);
    dns_free(&n->dns);
    n->loop = n->env.loop;
    loop_free(&loop);
}

enum err gateway_dns_names(void *names, str host, uint16_t port, bool srv, struct source_address out[SOURCE_ADDRS],
                           size_t *count, char why[SOURCE_WHY])
{
    const struct entry *e = find(names, host, port, srv);
    if (!e || !e->answered) return ERR_AGAIN;
    size_t n = e->n < SOURCE_ADDRS ? e->n : SOURCE_ADDRS;
    snprintf(why, SOURCE_WHY, "%s", dns_fault_text(e->fault));
    if (n == 0) return ERR_NOT_FOUND;
    for (size_t i = 0; i < n; i++) {
        const struct dns_address *a = &e->v[i];
        out[i] = (struct source_address){.addr = a->addr.ss,
                                         .len = a->addr.len,
                                         .priority = a->priority,
                                         .weight = a->weight};
        snprintf(out[i].host, sizeof out[i].host, "%.*s", STR_ARG(a->host));
    }
    *count = n;
    return ERR_OK;
}

/* --- from then on --- */

void gateway_dns_follow(struct gateway_dns *n, const struct snapshot *snap)
{
    uint64_t now = loop_now_ms(n->env.loop);
    bool anew = take_servers(n, snap->dns_servers);
    n->snap = snap;
    if (n->stopped) return;
    for (struct entry *e = n->entries; e; e = e->next) e->keep = e->wanted;
    for (uint32_t i = 0; i < snap->n_names; i++) {
        const struct snapshot_name *name = &snap->names[i];
        struct entry *e = entry_make(n, name->host, name->port, name->srv);
        if (!e) continue; /* again with the next snapshot */
        e->keep = true;
        if (e->followed && !anew) continue;
        e->followed = true;
        uint64_t soon = now + rand_u64() % DNS_TTL_MIN_MS;
        timer_set(n->env.loop, &e->timer, !anew && e->due_ms > soon ? e->due_ms : soon);
    }
    for (struct entry *e = n->entries; e; e = e->next)
        if (!e->keep) e->followed = false;
    sweep(n);
    ask_next(n);
}

void gateway_dns_stop(struct gateway_dns *n)
{
    n->stopped = true;
    n->waiting = false;
    timer_clear(n->env.loop, &n->change);
    timer_clear(n->env.loop, &n->patience);
    loop_undefer(n->env.loop, &n->ready);
    for (struct entry *e = n->entries; e; e = e->next) give_up(e);
}

enum err gateway_dns_new(const struct gateway_dns_env *env, struct gateway_dns **out)
{
    struct gateway_dns *n = calloc(1, sizeof *n);
    if (!n) return ERR_NO_MEMORY;
    n->env = *env;
    n->loop = env->loop;
    n->line_end = &n->line;
    n->change.on_time = on_change;
    n->patience.on_time = on_patience;
    n->ready.run = on_ready;
    *out = n;
    return ERR_OK;
}

void gateway_dns_free(struct gateway_dns **out)
{
    struct gateway_dns *n = *out;
    if (!n) return;
    *out = NULL;
    gateway_dns_stop(n);
    for (struct entry *e = n->entries; e; e = e->next) e->keep = false;
    sweep(n);
    dns_free(&n->dns);
    free(n->servers_text);
    free(n);
}

void gateway_dns_status(const struct gateway_dns *n, struct gateway_dns_status *out)
{
    *out = (struct gateway_dns_status){.lookups = n->lookups, .failures = n->failures, .changes = n->changes};
    for (const struct entry *e = n->entries; e; e = e->next) {
        if (!e->followed) continue;
        out->names++;
        if (!e->streak) continue;
        out->failing++;
        out->one = e->host;
    }
}
