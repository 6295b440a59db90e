#include "roles/gateway_health.h"

#include "base/log.h"
#include "base/rand.h"
#include "http/h1_client.h"

#include <stdio.h>
#include <stdlib.h>

#define FIELDS_MAX  64
#define HEAD_MAX    8192
#define BODY_ROOM   4096
#define FIRST_MS    2000u /* first checks are spread over so much, or the interval if that is less */
#define TEXT_MAX    10    /* instances that /readyz names */
#define EXTRA_LINES "User-Agent: sallyport-health\r\nAccept: */*\r\nConnection: close\r\n"

/* One instance's life, while it is in force:
 *
 *   IDLE ──on_time()──► [IN_LINE ──begin_next()──►] CONNECTING ──on_connect()──► ASKING ──conclude()──► IDLE
 *   The deadline, and every failure, lead to conclude(), too. */
enum phase { IDLE, IN_LINE, CONNECTING, ASKING };

/* A check under way; freed at the end of the turn in which it was over, for a connection may still be on the stack. */
struct check {
    struct checker *checker;
    struct h1_client *conn;
    struct client_stream stream;
    struct task task;
    size_t body;
    struct field room[FIELDS_MAX];
};

struct checker {
    struct gateway_health *health;
    struct checker *next, *line;
    enum phase phase;
    struct check *check;
    struct timer timer, deadline;
    struct instance *instance; /* of health->set */
    struct tls_upstream *tls;  /* of health->tls; NULL: clear text */
    struct net_addr addr;
    uint32_t every_ms, timeout_ms, healthy, unhealthy;
    struct health_state state;
    uint64_t began_ms;
    char last[96];      /* how the last one ended */
    str service, shown; /* which instance */
    str method, path, query, authority, tls_name;
    bool has_query;
    char *texts; /* of the five */
    char text[]; /* of the two */
};

struct gateway_health {
    struct loop *loop;
    bool ready, stopped, beginning; /* ready: io, which is made with the first checker */
    struct http_io io;
    struct client_env client;
    struct instance_set *set;
    struct tls_set *tls;
    struct checker *checkers; /* in the order of the snapshot */
    struct checker *line, **line_end;
    unsigned open;
    uint64_t good, bad;
};

bool health_judge(struct health_state *s, bool good, uint32_t healthy, uint32_t unhealthy)
{
    bool against = good ? s->verdict != INSTANCE_UP : s->verdict != INSTANCE_DOWN;
    if (!against) {
        s->streak = 0;
        return false;
    }
    /* what is unknown has no good past to set against a bad result, nor the other way round */
    uint32_t need = !good ? unhealthy : s->verdict == INSTANCE_UNKNOWN ? 1 : healthy;
    if (++s->streak < need) return false;
    *s = (struct health_state){good ? INSTANCE_UP : INSTANCE_DOWN, 0};
    return true;
}

/* --- one check --- */

static void begin_next(struct gateway_health *h);

static void on_task(struct task *t)
{
    free(CONTAINER_OF(t, struct check, task));
}

/* Gives the check up, whatever it is at. */
static void let_go(struct checker *c)
{
    struct gateway_health *h = c->health;
    struct check *k = c->check;
    timer_clear(h->loop, &c->deadline);
    c->phase = IDLE;
    c->check = NULL;
    if (!k) return;
    h->open--;
    if (k->stream.conn)
        k->stream.ops->release(&k->stream);
    else if (k->conn)
        h1_client_abandon(k->conn);
    k->conn = NULL;
    loop_defer(h->loop, &k->task);
}

static void wait_for_next(struct checker *c)
{
    uint64_t now = loop_now_ms(c->health->loop), due = c->began_ms + c->every_ms - rand_u64() % (c->every_ms / 10 + 1);
    if (!c->health->stopped) timer_set(c->health->loop, &c->timer, due > now ? due : now + 1);
}

static void conclude(struct checker *c, bool good, const char *how, const char *detail)
{
    struct gateway_health *h = c->health;
    let_go(c);
    snprintf(c->last, sizeof c->last, "%s%s%s", how, *detail ? ": " : "", detail);
    if (good)
        h->good++;
    else
        h->bad++;
    if (health_judge(&c->state, good, c->healthy, c->unhealthy)) {
        if (!good)
            log_event(LOG_LEVEL_WARN, log_msg("health checks fail"), log_str("service", c->service),
                      log_str("instance", c->shown), log_str("error", str_of(c->last)));
        instance_set_health(c->instance, c->state.verdict, loop_now_ms(h->loop));
    }
    wait_for_next(c);
    begin_next(h);
}

static void on_deadline(struct timer *t)
{
    struct checker *c = CONTAINER_OF(t, struct checker, deadline);
    conclude(c, false, c->phase == CONNECTING ? "no connection in time" : "no whole answer in time", "");
}

/* Reads the body off, to its end or to the bound, and concludes. */
static void read_off(struct check *k)
{
    struct client_stream *s = &k->stream;
    uint16_t status = s->response.status;
    char how[32];
    bool end = false;
    while (!end && k->body <= HEALTH_BODY_MAX) {
        str data;
        enum err e = s->ops->peek(s, &data, &end);
        if (e == ERR_AGAIN) return;
        if (e != ERR_OK) {
            conclude(k->checker, false, "the answer broke off", "");
            return;
        }
        k->body += data.n;
        s->ops->consume(s, data.n);
    }
    snprintf(how, sizeof how, "status %u", status);
    conclude(k->checker, status >= 200 && status <= 299, how, "");
}

static void on_readable(struct client_stream *s)
{
    read_off(CONTAINER_OF(s, struct check, stream));
}

static void on_writable(struct client_stream *s)
{
    (void)s; /* the request left in one piece, or is on its way */
}

static void on_failure(struct client_stream *s, enum client_failure why)
{
    struct check *k = CONTAINER_OF(s, struct check, stream);
    k->conn = NULL; /* it is gone already */
    conclude(k->checker, false,
             why == CLIENT_FAILED_GARBAGE  ? "the answer is no HTTP/1.1"
             : why == CLIENT_FAILED_MIDWAY ? "the answer broke off"
                                           : "the connection broke",
             "");
}

static const struct client_handler handler = {.on_response = on_readable,
                                              .on_readable = on_readable,
                                              .on_writable = on_writable,
                                              .on_failure = on_failure};

static void on_connect(struct h1_client *conn, enum err e, void *user)
{
    struct check *k = user;
    struct checker *c = k->checker;
    if (e != ERR_OK) {
        k->conn = NULL;
        const char *why = h1_client_fault(conn);
        conclude(c, false, *why ? "TLS" : e == ERR_CLOSED ? "the connection was refused" : "no connection", why);
        return;
    }
    struct request r = {.method_id = method_of(c->method),
                        .method = c->method,
                        .authority = c->authority,
                        .path = c->path,
                        .query = c->query,
                        .has_query = c->has_query,
                        .ready = {STR(EXTRA_LINES)},
                        .minor = 1};
    k->stream = (struct client_stream){.handler = &handler};
    k->stream.response.fields = (struct fields){.v = k->room, .cap = FIELDS_MAX};
    c->phase = ASKING;
    e = h1_client_start(conn, &k->stream, &r, STR_NONE, true);
    if (e == ERR_OK) return;
    if (e != ERR_LIMIT) k->conn = NULL; /* it is gone; when the head does not fit it is not */
    conclude(c, false, "the request could not be sent", "");
}

static void begin(struct checker *c)
{
    struct gateway_health *h = c->health;
    struct check *k = calloc(1, sizeof *k);
    c->began_ms = loop_now_ms(h->loop);
    if (!k) { /* ours, not the instance's */
        wait_for_next(c);
        return;
    }
    k->checker = c;
    k->task.run = on_task;
    c->check = k;
    c->phase = CONNECTING;
    h->open++;
    timer_set(h->loop, &c->deadline, c->began_ms + c->timeout_ms);
    struct client_tls tls = {.upstream = c->tls, .name = c->tls_name};
    enum err e = c->tls ? h1_client_open_tls(&h->client, &c->addr, &tls, NULL, on_connect, k, &k->conn)
                        : h1_client_open(&h->client, &c->addr, NULL, on_connect, k, &k->conn);
    if (e == ERR_OK) return;
    k->conn = NULL;
    if (e == ERR_CLOSED || e == ERR_IO) {
        conclude(c, false, e == ERR_CLOSED ? "the connection was refused" : "no connection", "");
        return;
    }
    let_go(c); /* no descriptor, no memory: that is no word on the instance */
    wait_for_next(c);
}

/* --- turns --- */

static void leave_line(struct checker *c)
{
    struct gateway_health *h = c->health;
    if (c->phase != IN_LINE) return;
    struct checker **link = &h->line;
    while (*link != c) link = &(*link)->line;
    *link = c->line;
    if (h->line_end == &c->line) h->line_end = link;
    c->phase = IDLE;
}

static void begin_next(struct gateway_health *h)
{
    if (h->beginning) return; /* one that failed at once: the loop below goes on */
    h->beginning = true;
    while (h->line && h->open < HEALTH_OPEN_MAX) {
        struct checker *c = h->line;
        leave_line(c);
        begin(c);
    }
    h->beginning = false;
}

static void on_time(struct timer *t)
{
    struct checker *c = CONTAINER_OF(t, struct checker, timer);
    struct gateway_health *h = c->health;
    c->phase = IN_LINE;
    c->line = NULL;
    *h->line_end = c;
    h->line_end = &c->line;
    begin_next(h);
}

/* --- who is checked --- */

static void checker_free(struct checker *c)
{
    leave_line(c);
    let_go(c);
    timer_clear(c->health->loop, &c->timer);
    free(c->texts);
    free(c);
}

static bool is_checker_of(const struct checker *c, str service, str shown)
{
    return str_eq(c->shown, shown) && str_eq(c->service, service);
}

/* Takes the checker of that instance out of the list; mostly it is the first. */
static struct checker *take(struct checker **list, str service, str shown)
{
    while (*list && !is_checker_of(*list, service, shown)) list = &(*list)->next;
    struct checker *c = *list;
    if (c) *list = c->next;
    return c;
}

static struct checker *checker_new(struct gateway_health *h, str service, str shown)
{
    struct checker *c = calloc(1, sizeof *c + service.n + shown.n + 1);
    if (!c) return NULL;
    char *at = str_put(c->text, service);
    str_put(at, shown);
    c->service = str_make(c->text, service.n);
    c->shown = str_make(at, shown.n);
    c->health = h;
    c->timer.on_time = on_time;
    c->deadline.on_time = on_deadline;
    return c;
}

/* "orders.internal:8080" as written; of an SRV name the target with its port. */
static str authority_of(const struct snapshot_instance *i, char out[320])
{
    const char *colon = i->shown.n ? memrchr(i->shown.p, ':', i->shown.n) : NULL;
    if (str_starts(i->shown, STR("unix:"))) return STR("localhost");
    if (!str_starts(i->text, STR("srv:")) || !colon) return i->text;
    int n = snprintf(out, 320, "%.*s%.*s", STR_ARG(i->host), (int)(i->shown.p + i->shown.n - colon), colon);
    return str_make(out, n < 320 ? (size_t)n : 319);
}

/* Settings as they are now. ERR_NO_MEMORY: the former ones stay. */
static enum err take_settings(struct checker *c, const struct snapshot_service *s, const struct snapshot_instance *i)
{
    char room[320];
    const struct snapshot_health *from = &s->health;
    size_t mark = str_find(from->path, '?');
    str authority = authority_of(i, room), name = s->tls.name.n ? s->tls.name : i->host;
    char *at = malloc(from->method.n + from->path.n + authority.n + name.n + 1);
    if (!at) return ERR_NO_MEMORY;
    free(c->texts);
    c->texts = at;
    c->method = str_make(at, from->method.n);
    at = str_put(at, from->method);
    c->path = str_make(at, mark);
    c->has_query = mark < from->path.n;
    c->query = c->has_query ? str_make(at + mark + 1, from->path.n - mark - 1) : STR_NONE;
    at = str_put(at, from->path);
    c->authority = str_make(at, authority.n);
    at = str_put(at, authority);
    c->tls_name = str_make(at, name.n);
    str_put(at, name);
    c->every_ms = from->every_ms;
    c->timeout_ms = from->timeout_ms;
    c->healthy = from->healthy;
    c->unhealthy = from->unhealthy;
    c->addr = (struct net_addr){.len = i->addr_len};
    memcpy(&c->addr.ss, &i->addr, sizeof c->addr.ss);
    return ERR_OK;
}

static void on_idle(struct h1_client *conn, void *pool)
{
    (void)pool;
    h1_client_abandon(conn); /* each check makes its own: that an instance still accepts is a part of it */
}

static enum err make_ready(struct gateway_health *h)
{
    const struct h1_limits limits = {.max_head = HEAD_MAX, .max_target = HEAD_MAX / 2, .max_fields = FIELDS_MAX};
    if (h->ready) return ERR_OK;
    enum err e = http_io_init(&h->io, h->loop, &limits, BODY_ROOM, HEALTH_OPEN_MAX);
    if (e != ERR_OK) return e;
    client_env_init(&h->client, &h->io, 2 * HEALTH_OPEN_MAX); /* those that end in this turn count until its end */
    h->client.on_idle = on_idle;
    h->client.on_idle_closed = on_idle;
    h->ready = true;
    return ERR_OK;
}

/* One instance of a service with checks. */
static struct checker *follow(struct gateway_health *h, struct checker **before, const struct snapshot_service *s,
                              const struct snapshot_instance *i)
{
    struct checker *c = take(before, s->name, i->shown);
    bool fresh = !c;
    if (fresh) c = checker_new(h, s->name, i->shown);
    if (!c) return NULL;
    uint32_t every = c->every_ms;
    if (take_settings(c, s, i) != ERR_OK && fresh) {
        checker_free(c);
        return NULL;
    }
    uint32_t spread = c->every_ms < FIRST_MS ? c->every_ms : FIRST_MS;
    uint64_t soon = loop_now_ms(h->loop) + rand_u64() % (spread + 1);
    if (fresh || (c->phase == IDLE && every != c->every_ms)) timer_set(h->loop, &c->timer, soon);
    return c;
}

void gateway_health_follow(struct gateway_health *h, const struct snapshot *snap, struct instance_set *set,
                           struct tls_set *tls)
{
    struct checker *before = h->checkers, **end = &h->checkers;
    struct instance_set *set_before = h->set;
    struct tls_set *tls_before = h->tls;
    if (h->stopped || set == set_before) return;
    h->set = instance_set_ref(set);
    h->tls = tls ? tls_set_ref(tls) : NULL;
    for (uint32_t s = 0; s < snap->n_services; s++) {
        const struct snapshot_service *service = &snap->services[s];
        bool on = service->health.on && service->n_instances && make_ready(h) == ERR_OK;
        for (uint32_t i = 0; i < service->n_instances; i++) {
            struct instance *instance = set->all[set->first[s] + i];
            struct checker *c = on ? follow(h, &before, service, &service->instances[i]) : NULL;
            if (!c) {
                instance_set_health(instance, INSTANCE_UNKNOWN, loop_now_ms(h->loop));
                continue;
            }
            c->instance = instance;
            c->tls = h->tls && s < h->tls->n ? h->tls->upstreams[s] : NULL;
            instance_set_health(instance, c->state.verdict, loop_now_ms(h->loop));
            *end = c;
            end = &c->next;
        }
    }
    *end = NULL;
    for (struct checker *c = before, *next; c; c = next) {
        next = c->next;
        checker_free(c);
    }
    instance_set_unref(&set_before);
    tls_set_unref(&tls_before);
    begin_next(h);
}

void gateway_health_stop(struct gateway_health *h)
{
    h->stopped = true;
    for (struct checker *c = h->checkers; c; c = c->next) {
        leave_line(c);
        let_go(c);
        timer_clear(h->loop, &c->timer);
    }
}

enum err gateway_health_new(struct loop *loop, struct gateway_health **out)
{
    struct gateway_health *h = calloc(1, sizeof *h);
    if (!h) return ERR_NO_MEMORY;
    h->loop = loop;
    h->line_end = &h->line;
    *out = h;
    return ERR_OK;
}

void gateway_health_free(struct gateway_health **out)
{
    struct gateway_health *h = *out;
    if (!h) return;
    *out = NULL;
    gateway_health_stop(h);
    for (struct checker *c = h->checkers, *next; c; c = next) {
        next = c->next;
        checker_free(c);
    }
    if (h->ready && h->client.n_open == 0) { /* else the loop ended before they could free themselves */
        slab_free(&h->client.conns);
        http_io_close(&h->io);
    }
    instance_set_unref(&h->set);
    tls_set_unref(&h->tls);
    free(h);
}

/* --- what is told --- */

void gateway_health_metrics(const struct gateway_health *h, struct buf *out)
{
    if (!h->checkers) return;
    metrics_family(out, "sallyport_upstream_healthy", METRIC_GAUGE,
                   "0 while an instance's health checks fail, 1 otherwise; of services that have checks.");
    for (const struct checker *c = h->checkers; c; c = c->next) {
        struct metric_label l[] = {{"service", c->service}, {"upstream", c->shown}};
        metrics_u64(out, "sallyport_upstream_healthy", l, 2, c->state.verdict != INSTANCE_DOWN);
    }
    metrics_family(out, "sallyport_health_checks_total", METRIC_COUNTER, "Health checks, by how they ended.");
    metrics_u64(out, "sallyport_health_checks_total", &(struct metric_label){"result", STR("good")}, 1, h->good);
    metrics_u64(out, "sallyport_health_checks_total", &(struct metric_label){"result", STR("bad")}, 1, h->bad);
}

str gateway_health_text(const struct gateway_health *h, struct arena *mem)
{
    unsigned down = 0, all = 0;
    str names = STR(""), text;
    for (const struct checker *c = h->checkers; c; c = c->next) {
        all++;
        if (c->state.verdict != INSTANCE_DOWN) continue;
        if (down++ < TEXT_MAX)
            names = arena_printf(mem, "%.*s%s%.*s %.*s (%s)", STR_ARG(names), names.n ? ", " : "", STR_ARG(c->service),
                                 STR_ARG(c->shown), c->last);
    }
    if (!down) return STR("");
    text = arena_printf(mem, "%u of %u checked instances are down: %.*s%s", down, all, STR_ARG(names),
                        down > TEXT_MAX ? ", …" : "");
    return text.p ? text : STR("");
}

str gateway_health_last(const struct gateway_health *h, str service, str instance)
{
    for (const struct checker *c = h->checkers; c; c = c->next)
        if (is_checker_of(c, service, instance)) return str_of(c->last);
    return STR("");
}
