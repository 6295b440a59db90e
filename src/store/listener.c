#include "store/listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/socket.h"
#include "net/unix_socket.h"
#include "store/job.h"
#include "store/wire_link.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define UIDS_MAX    16
#define AGAIN_MS    100                /* out of descriptors: look again */
#define REQUEST_MEM ((size_t)64 << 10) /* arrays of one request: 1,000 slices, or 256 operations */
#define OUT_MAX     (2 * STORE_LISTENER_BUDGET + 2 * WIRE_BODY_MAX)

struct client;

/* A watch of a client. A page stays the keeper's until its frames were put into the link and NEXT has come. */
struct client_watch {
    struct client_watch *next;
    struct client *client;
    struct keeper_watch *watch;
    uint32_t id;
    const struct keeper_page *page; /* not dealt with yet, or NULL */
    uint32_t page_at;               /* changes of it that are in the link */
    bool page_sent;                 /* all of them: NEXT may come */
};

struct client {
    struct wire_link link;
    struct client *next, **at; /* of the listener's list */
    struct store_listener *listener;
    struct timer hello;
    bool welcome;
    char name[STORE_NAME_MAX];
    size_t name_n;
    uint32_t uid;
    int32_t pid;
    uint32_t spaces;
    struct client_watch *watches;
    struct request *requests;
    struct request *waiting; /* the frame that the link will show again, or NULL */
    uint32_t n_watches, n_requests;
    size_t weight; /* of the requests under way */
};

/* A job for a client. Its body follows it in the same memory. */
struct request {
    struct store_job job;
    struct request *next, **at; /* of the client's list */
    struct store_listener *listener;
    struct client *client; /* NULL: gone */
    uint32_t id;
    size_t weight;
    struct arena mem;
    char body[];
};

struct store_listener {
    struct loop *loop;
    struct keeper_client *keeper;
    uint32_t spaces;
    uint32_t uids[UIDS_MAX], n_uids;
    struct unix_socket socket;
    struct watch watch;
    struct timer again;
    struct client *clients;
    uint32_t orphans;
    struct {
        _Atomic uint64_t connections, watches, requests, accepted, refused, malformed, answered;
    } n;
};

static void count(_Atomic uint64_t *c, int64_t by)
{
    atomic_fetch_add_explicit(c, (uint64_t)by, memory_order_relaxed);
}

/* --- requests --- */

/* What the answer may weigh at most. */
static size_t answer_max(const struct store_job *job)
{
    size_t n = 0;
    switch (job->kind) {
    case STORE_GET: n = job->n_keys; break;
    case STORE_RANGE: n = job->limit ? job->limit : STORE_RANGE_MAX; break;
    case STORE_WATCHERS: return STORE_RANGE_MAX * 2 * STORE_NAME_MAX;
    case STORE_BATCH: return WIRE_HEAD * 8;
    }
    size_t each = STORE_VALUE_MAX + STORE_KEY_MAX + 64;
    return n < WIRE_BODY_MAX / each ? n * each : WIRE_BODY_MAX;
}

static void request_free(struct request *r)
{
    struct store_listener *l = r->listener;
    if (r->client) {
        *r->at = r->next;
        if (r->next) r->next->at = r->at;
        r->client->n_requests--;
        r->client->weight -= r->weight;
        count(&l->n.requests, -1);
    } else {
        l->orphans--;
    }
    store_job_clear(&r->job);
    arena_reset(&r->mem);
    free(r);
}

static void on_done(struct store_job *job)
{
    struct request *r = CONTAINER_OF(job, struct request, job);
    struct client *c = r->client;
    if (c) {
        wire_put_answer(wire_link_out(&c->link), r->id, job);
        count(&r->listener->n.answered, 1);
    }
    request_free(r);
    if (c) wire_link_resume(&c->link);
}

/* Without asking the keeper. */
static void answer_err(struct client *c, uint32_t id, enum err e)
{
    struct store_job job = {.err = e};
    wire_put_answer(wire_link_out(&c->link), id, &job);
    count(&c->listener->n.answered, 1);
}

static bool room_for(const struct client *c, size_t weight)
{
    size_t held = c->weight + wire_link_backlog(&c->link);
    if (!held) return true; /* one is always let in: none is larger than the budget */
    return c->n_requests < STORE_LISTENER_REQUESTS && held + weight <= STORE_LISTENER_BUDGET;
}

static void waiting_drop(struct client *c)
{
    struct request *r = c->waiting;
    if (!r) return;
    arena_reset(&r->mem);
    free(r);
    c->waiting = NULL;
}

/* The frame as a request that waits to be let in. ERR_NO_MEMORY, ERR_MALFORMED. */
static enum err request_new(struct client *c, const struct wire_frame *f)
{
    struct request *r = calloc(1, sizeof *r + f->body.n + 1);
    if (!r) return ERR_NO_MEMORY;
    memcpy(r->body, f->body.p, f->body.n);
    arena_init(&r->mem, NULL, 0, REQUEST_MEM);
    c->waiting = r;
    enum err e = wire_request(str_make(r->body, f->body.n), &r->mem, &r->job);
    if (e != ERR_OK) {
        waiting_drop(c);
        return e;
    }
    r->listener = c->listener;
    r->client = c;
    r->id = f->id;
    r->job.done = on_done;
    r->weight = f->body.n + answer_max(&r->job);
    return ERR_OK;
}

static enum err on_request(struct client *c, const struct wire_frame *f)
{
    struct store_listener *l = c->listener;
    enum err e = c->waiting ? ERR_OK : l->orphans >= STORE_LISTENER_ORPHANS ? ERR_LIMIT : request_new(c, f);
    struct request *r = c->waiting;
    if (e == ERR_MALFORMED) return e;
    if (e == ERR_OK && wire_link_mute(&c->link) && r->job.kind != STORE_BATCH) { /* nobody is there to be told */
        waiting_drop(c);
        return ERR_OK;
    }
    if (e == ERR_OK && !(c->spaces & KEEPER_SPACE(r->job.space))) e = ERR_DENIED;
    if (e == ERR_OK) e = store_job_check(&r->job);
    if (e == ERR_OK && !room_for(c, r->weight)) return ERR_AGAIN; /* it stays, and so does the frame */
    if (e != ERR_OK) {
        waiting_drop(c);
        answer_err(c, f->id, e);
        return ERR_OK;
    }
    c->waiting = NULL;
    r->next = c->requests;
    r->at = &c->requests;
    if (r->next) r->next->at = &r->next;
    c->requests = r;
    c->n_requests++;
    c->weight += r->weight;
    count(&l->n.requests, 1);
    keeper_submit(l->keeper, &r->job);
    return ERR_OK;
}

/* --- watches --- */

/* As much of the pages as the link may hold. */
static void send_pages(struct client *c)
{
    for (struct client_watch *w = c->watches; w; w = w->next) {
        if (!w->page || w->page_sent) continue;
        while (w->page_at < w->page->n) {
            if (wire_link_backlog(&c->link) > STORE_LISTENER_BUDGET / 2) return;
            w->page_at += wire_put_changes(wire_link_out(&c->link), w->id, w->page->changes + w->page_at,
                                           w->page->n - w->page_at);
        }
        wire_put_position(wire_link_out(&c->link), WIRE_PAGE, w->id, w->page->at);
        w->page_sent = true;
    }
}

static void on_page(void *owner, const struct keeper_page *page)
{
    struct client_watch *w = owner;
    w->page = page;
    w->page_at = 0;
    w->page_sent = false;
    send_pages(w->client);
}

static void on_beat(void *owner, uint64_t tag, uint64_t held_ms)
{
    struct client_watch *w = owner;
    wire_put_beaten(wire_link_out(&w->client->link), w->id, &(struct wire_beaten){tag, held_ms});
}

static struct client_watch **find(struct client *c, uint32_t id)
{
    struct client_watch **w = &c->watches;
    while (*w && (*w)->id != id) w = &(*w)->next;
    return w;
}

static enum err watch_start(struct client *c, uint32_t id, const struct wire_watch *asked)
{
    struct store_listener *l = c->listener;
    if (!(c->spaces & KEEPER_SPACE(asked->space))) return ERR_DENIED;
    if (c->n_watches >= STORE_LISTENER_WATCHES || asked->lease_ms > KEEPER_LEASE_MAX_MS) return ERR_LIMIT;
    struct client_watch *w = calloc(1, sizeof *w);
    if (!w) return ERR_NO_MEMORY;
    w->client = c;
    w->id = id;
    struct keeper_watch_spec spec = {.space = asked->space,
                                     .prefix = asked->prefix,
                                     .name = asked->name,
                                     .lease_ms = asked->lease_ms,
                                     .from = asked->from,
                                     .confirmed = asked->confirmed,
                                     .owner = w,
                                     .on_page = on_page,
                                     .on_beat = on_beat};
    enum err e = keeper_watch_start(l->keeper, &spec, &w->watch);
    if (e != ERR_OK) {
        free(w);
        return e;
    }
    w->next = c->watches;
    c->watches = w;
    c->n_watches++;
    count(&l->n.watches, 1);
    return ERR_OK;
}

static enum err on_watch(struct client *c, const struct wire_frame *f)
{
    struct wire_watch asked;
    enum err e = wire_watch(f->body, &asked);
    if (e != ERR_OK) return e;
    if (*find(c, f->id)) return ERR_MALFORMED; /* that number is taken */
    wire_put_watching(wire_link_out(&c->link), f->id, watch_start(c, f->id, &asked));
    return ERR_OK;
}

static void watch_end(struct client *c, struct client_watch **at, bool keep_lease)
{
    struct client_watch *w = *at;
    *at = w->next;
    keeper_watch_stop(&w->watch, keep_lease);
    c->n_watches--;
    count(&c->listener->n.watches, -1);
    free(w);
}

/* A watch that was refused is not there, and its client may not know that yet: what is said of it is passed over. */
static enum err on_watch_frame(struct client *c, const struct wire_frame *f)
{
    struct client_watch **at = find(c, f->id), *w = *at;
    struct store_position position = {0};
    uint64_t tag = 0;
    enum err e = f->type == WIRE_CONFIRM ? wire_position(f->body, &position)
                 : f->type == WIRE_BEAT  ? wire_beat(f->body, &tag)
                                         : wire_bare(f->body);
    if (e != ERR_OK || !w) return e;
    if (f->type == WIRE_CONFIRM) {
        keeper_watch_confirm(w->watch, position);
    } else if (f->type == WIRE_BEAT) {
        keeper_watch_beat(w->watch, tag);
    } else if (f->type == WIRE_UNWATCH) {
        watch_end(c, at, false);
    } else {
        if (!w->page || !w->page_sent) return ERR_MALFORMED;
        w->page = NULL;
        keeper_watch_next(w->watch);
    }
    return ERR_OK;
}

/* --- connections --- */

static void client_gone(struct client *c)
{
    struct store_listener *l = c->listener;
    while (c->watches) watch_end(c, &c->watches, true);
    for (struct request *r = c->requests; r; r = r->next) { /* they come back to nobody */
        r->client = NULL;
        l->orphans++;
        count(&l->n.requests, -1);
    }
    waiting_drop(c);
    timer_clear(l->loop, &c->hello);
    *c->at = c->next;
    if (c->next) c->next->at = c->at;
    count(&l->n.connections, -1);
    free(c);
}

static void on_end(struct wire_link *link, enum err why)
{
    struct client *c = CONTAINER_OF(link, struct client, link);
    if (why == ERR_MALFORMED) {
        count(&c->listener->n.malformed, 1);
        log_event(LOG_LEVEL_WARN, log_msg("store client broke the protocol: hung up"),
                  log_str("client", str_make(c->name, c->name_n)), log_i64("pid", c->pid), log_u64("uid", c->uid),
                  log_str("fault", str_of(wire_fault_name(link->fault))));
    }
    client_gone(c);
}

static enum err on_hello(struct client *c, const struct wire_frame *f)
{
    struct wire_hello h;
    if (f->type != WIRE_HELLO || wire_hello(f->body, &h) != ERR_OK) return ERR_MALFORMED;
    if (h.version != WIRE_VERSION) {
        wire_put_refused(wire_link_out(&c->link), &(struct wire_refused){WIRE_VERSION, ERR_UNSUPPORTED});
        return ERR_UNSUPPORTED;
    }
    memcpy(c->name, h.name.p, h.name.n);
    c->name_n = h.name.n;
    c->spaces = h.spaces & c->listener->spaces;
    c->welcome = true;
    c->link.max_body = WIRE_BODY_MAX;
    timer_clear(c->listener->loop, &c->hello);
    wire_put_welcome(wire_link_out(&c->link), &(struct wire_welcome){WIRE_VERSION, c->spaces});
    return ERR_OK;
}

static enum err on_frame(struct wire_link *link, const struct wire_frame *f)
{
    struct client *c = CONTAINER_OF(link, struct client, link);
    if (!c->welcome) return on_hello(c, f);
    if (wire_link_backlog(link) > STORE_LISTENER_BUDGET) return ERR_AGAIN; /* it does not read what it asks for */
    switch (f->type) {
    case WIRE_REQUEST: return on_request(c, f);
    case WIRE_WATCH: return on_watch(c, f);
    case WIRE_NEXT:
    case WIRE_CONFIRM:
    case WIRE_BEAT:
    case WIRE_UNWATCH: return on_watch_frame(c, f);
    case WIRE_HELLO:
    case WIRE_WELCOME:
    case WIRE_REFUSED:
    case WIRE_ANSWER:
    case WIRE_WATCHING:
    case WIRE_CHANGES:
    case WIRE_PAGE:
    case WIRE_BEATEN: break;
    }
    return ERR_MALFORMED;
}

static void on_sent(struct wire_link *link)
{
    send_pages(CONTAINER_OF(link, struct client, link));
    wire_link_resume(link);
}

static void on_hello_time(struct timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, hello);
    wire_link_close(&c->link);
    client_gone(c);
}

static bool let_in(const struct store_listener *l, int fd, uint32_t *uid, int32_t *pid)
{
    if (!unix_socket_peer(fd, uid, pid)) return false;
    if (*uid == geteuid() || *uid == 0) return true;
    for (uint32_t i = 0; i < l->n_uids; i++)
        if (l->uids[i] == *uid) return true;
    return false;
}

/* ERR_OK: the descriptor belongs to a client now. */
static enum err client_new(struct store_listener *l, int fd)
{
    uint32_t uid = 0;
    int32_t pid = 0;
    bool known = let_in(l, fd, &uid, &pid);
    if (!known) {
        log_event(LOG_LEVEL_WARN, log_msg("store client of another user: refused"), log_u64("uid", uid),
                  log_i64("pid", pid));
        return ERR_DENIED;
    }
    if (atomic_load_explicit(&l->n.connections, memory_order_relaxed) >= STORE_LISTENER_CONNECTIONS) return ERR_LIMIT;
    struct client *c = calloc(1, sizeof *c);
    if (!c) return ERR_NO_MEMORY;
    c->listener = l;
    c->uid = uid;
    c->pid = pid;
    c->link.from = WIRE_OF_CLIENT;
    c->link.max_body = WIRE_HELLO_MAX;
    c->link.on_frame = on_frame;
    c->link.on_end = on_end;
    c->link.on_sent = on_sent;
    if (wire_link_open(&c->link, l->loop, fd, OUT_MAX) != ERR_OK) {
        free(c);
        return ERR_OK; /* the link has closed it */
    }
    c->next = l->clients;
    c->at = &l->clients;
    if (c->next) c->next->at = &c->next;
    l->clients = c;
    c->hello.on_time = on_hello_time;
    timer_set(l->loop, &c->hello, loop_now_ms(l->loop) + STORE_LISTENER_HELLO_MS);
    count(&l->n.connections, 1);
    count(&l->n.accepted, 1);
    return ERR_OK;
}

static void accept_all(struct store_listener *l)
{
    struct net_peer peer;
    int fd;
    enum err e;
    while ((e = net_accept(l->watch.fd, &fd, &peer)) == ERR_OK) {
        if (client_new(l, fd) == ERR_OK) continue;
        struct watch refused = {.fd = fd};
        watch_close(&refused);
        count(&l->n.refused, 1);
    }
    if (e != ERR_AGAIN) timer_set(l->loop, &l->again, loop_now_ms(l->loop) + AGAIN_MS);
}

static void on_again(struct timer *t)
{
    accept_all(CONTAINER_OF(t, struct store_listener, again));
}

static void on_connection(struct watch *w, uint32_t events)
{
    (void)events;
    accept_all(CONTAINER_OF(w, struct store_listener, watch));
}

enum err store_listener_new(struct loop *loop, const struct store_listener_options *options,
                            struct store_listener **out)
{
    if (options->n_uids > UIDS_MAX) return ERR_LIMIT;
    struct store_listener *l = calloc(1, sizeof *l);
    if (!l) return ERR_NO_MEMORY;
    l->loop = loop;
    l->spaces = options->spaces;
    l->n_uids = options->n_uids;
    for (uint32_t i = 0; i < options->n_uids; i++) l->uids[i] = options->uids[i];
    l->socket.fd = l->watch.fd = -1;
    l->watch.on_event = on_connection;
    l->again.on_time = on_again;
    enum err e = keeper_client_new(options->keeper, loop, options->spaces, &l->keeper);
    if (e == ERR_OK) e = unix_socket_open(options->path, options->n_uids > 0, &l->socket);
    if (e == ERR_OK) {
        l->watch.fd = l->socket.fd;
        l->socket.fd = -1;
        e = watch_add(loop, &l->watch, EPOLLIN);
    }
    if (e != ERR_OK) {
        store_listener_free(&l);
        return e;
    }
    *out = l;
    return ERR_OK;
}

void store_listener_free(struct store_listener **out)
{
    struct store_listener *l = *out;
    if (!l) return;
    watch_drop(l->loop, &l->watch);
    unix_socket_close(&l->socket);
    timer_clear(l->loop, &l->again);
    while (l->clients) {
        struct client *c = l->clients;
        wire_link_close(&c->link);
        client_gone(c);
    }
    keeper_client_free(&l->keeper); /* requests under way end here */
    free(l);
    *out = NULL;
}

void store_listener_numbers(const struct store_listener *l, struct store_listener_numbers *out)
{
#define GET(name) .name = atomic_load_explicit(&l->n.name, memory_order_relaxed)
    *out = (struct store_listener_numbers){GET(connections), GET(watches),   GET(requests), GET(accepted),
                                           GET(refused),     GET(malformed), GET(answered)};
#undef GET
}
