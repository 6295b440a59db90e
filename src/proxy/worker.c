#include "proxy/worker.h"

#include "proxy/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define IDLE_UPSTREAM_MS 60000
#define HOUSEKEEPING_MS  1000
#define DRAIN_TICK_MS    50
#define DRAIN_IDLE_MS    500 /* an idle client may still send a request that is on its way */
#define ACCEPT_AGAIN_MS  50
#define SCARCE_MS        200
#define ACCEPT_MAX       512 /* in one go: then those who are connected already have their turn */
#define SHAKING_MAX      512 /* handshakes at once: each may hold 100 kB */
#define TOKEN_SETS       1024u
#define TOKEN_BYTES      (16u << 20)
#define VERIFY_FIRST     (32u << 10)
#define VERIFY_CAP       (4u << 20)

static void set(struct counter *c, uint64_t v)
{
    atomic_store_explicit(&c->v, v, memory_order_release);
}

/* --- a snapshot in this worker's hands --- */

static void forget_upstream(struct worker *w, struct upstream *u)
{
    if (!u || !upstream_unref(u)) return;
    (void)map_remove(&w->upstreams, u->key);
    free(u);
}

static void snapshot_free(struct worker *w, struct worker_snapshot *s)
{
    uint32_t n = s->snap->n_services ? s->first_upstream[s->snap->n_services] : 0;
    for (uint32_t i = 0; i < n; i++) forget_upstream(w, s->upstreams[i]);
    for (uint32_t i = 0; i < s->snap->n_services; i++) balancer_free(&s->balancers[i]);
    instance_set_unref(&s->instances);
    tls_set_unref(&s->tls);
    for (uint32_t i = 0; i < s->snap->n_issuers; i++) keyset_unref(&s->keysets[i]);
    limit_book_free(&s->limits);
    snapshot_unref(&s->snap);
    free(s);
}

struct worker_snapshot *worker_snapshot_ref(struct worker *w)
{
    w->current->refs++;
    return w->current;
}

void worker_snapshot_unref(struct worker *w, struct worker_snapshot **s)
{
    struct worker_snapshot *gone = *s;
    *s = NULL;
    if (--gone->refs == 0) snapshot_free(w, gone);
}

static struct upstream *find_upstream(struct worker *w, struct instance *shared, const struct snapshot_instance *i,
                                      const struct snapshot_pool *bounds)
{
    struct upstream *u = map_get(&w->upstreams, str_make((const char *)&shared, sizeof shared));
    if (u) {
        u->refs++;
        u->bounds = *bounds;
        return u;
    }
    u = upstream_new(shared, w->index, w->loop, &i->addr, i->addr_len);
    if (!u) return NULL;
    u->bounds = *bounds;
    if (map_put(&w->upstreams, u->key, u, NULL) != ERR_OK) {
        free(u);
        return NULL;
    }
    return u;
}

#define HOP_LINES_ROOM(name) (2 * (name).n + 32) /* "Via: 1.1 name", "CDN-Loop: name" and their ends */

/* One block: the struct, then its arrays in the order of their alignment. */
static struct worker_snapshot *snapshot_alloc(const struct snapshot *snap, uint32_t instances)
{
    size_t need = sizeof(struct worker_snapshot) + snap->n_issuers * (sizeof(void *) + sizeof(struct issuer_keys)) +
                  (instances + (size_t)snap->n_services) * sizeof(void *) +
                  (size_t)snap->n_services * sizeof(struct retry_budget) +
                  ((size_t)snap->n_services + 1) * sizeof(uint32_t) + 2 * (snap->name.n + 4) +
                  2 * HOP_LINES_ROOM(snap->name);
    struct worker_snapshot *s = calloc(1, need);
    if (!s) return NULL;
    char *at = (char *)(s + 1);
    s->keysets = (struct keyset **)(void *)at;
    at += snap->n_issuers * sizeof(void *);
    s->keys = (struct issuer_keys *)(void *)at;
    at += snap->n_issuers * sizeof(struct issuer_keys);
    s->upstreams = (struct upstream **)(void *)at;
    at += instances * sizeof(void *);
    s->balancers = (struct balancer **)(void *)at;
    at += snap->n_services * sizeof(void *);
    s->budgets = (struct retry_budget *)(void *)at;
    at += snap->n_services * sizeof(struct retry_budget);
    s->first_upstream = (uint32_t *)(void *)at;
    at += ((size_t)snap->n_services + 1) * sizeof(uint32_t);
    for (int minor = 0; minor < 2; minor++) {
        memcpy(at, minor ? "1.1 " : "1.0 ", 4);
        memcpy(at + 4, snap->name.p, snap->name.n);
        s->via[minor] = str_make(at, snap->name.n + 4);
        at += snap->name.n + 4;
        struct h1_out o = {at, 0, HOP_LINES_ROOM(snap->name), true};
        h1_out_field(&o, field_name(FIELD_VIA), s->via[minor]);
        h1_out_field(&o, field_name(FIELD_CDN_LOOP), snap->name);
        if (o.ok) s->hop[minor] = str_make(o.p, o.n); /* else the fields are written one by one, and refused */
        at += HOP_LINES_ROOM(snap->name);
    }
    return s;
}

static void delivery_drop(struct worker_delivery *d)
{
    for (uint32_t i = 0; i < d->n; i++) keyset_unref(&d->keysets[i]);
    instance_set_unref(&d->instances);
    tls_set_unref(&d->tls);
    snapshot_unref(&d->snap);
    free(d);
}

/* The pools, warm ones where there are any, and who chooses among them. False: memory. */
static bool make_upstreams(struct worker *w, struct worker_snapshot *s)
{
    const struct snapshot *snap = s->snap;
    bool whole = true;
    uint32_t at = 0;
    for (uint32_t i = 0; i < snap->n_services; i++) {
        const struct snapshot_service *service = &snap->services[i];
        s->first_upstream[i] = at;
        if (service->n_instances) {
            s->balancers[i] = balancer_new(service, s->instances->all + at, w->index, rand_u64());
            whole = whole && s->balancers[i];
        }
        for (uint32_t k = 0; k < service->n_instances; k++, at++) {
            s->upstreams[at] = find_upstream(w, s->instances->all[at], &service->instances[k], &service->pool);
            if (s->upstreams[at])
                upstream_secure(s->upstreams[at], i < s->tls->n ? s->tls->upstreams[i] : NULL,
                                service->instances[k].host);
            whole = whole && s->upstreams[at];
        }
    }
    s->first_upstream[snap->n_services] = at;
    return whole;
}

/* Takes the delivery over. NULL: memory; the delivery is given up all the same. */
static struct worker_snapshot *snapshot_make(struct worker *w, struct worker_delivery *d)
{
    struct snapshot *snap = d->snap;
    struct worker_snapshot *s = snapshot_alloc(snap, d->instances->n);
    if (!s) {
        delivery_drop(d);
        return NULL;
    }
    s->snap = snap;
    s->refs = 1;
    s->serial = ++w->serials;
    s->tracing = snap->tracing.url.n > 0;
    s->sample_from = trace_sample_from(snap->tracing.sample_ppm);
    s->instances = d->instances;
    s->tls = d->tls;
    for (uint32_t i = 0; i < d->n && i < snap->n_issuers; i++) s->keysets[i] = d->keysets[i];
    free(d);
    if (limit_book_new(snap, w->quotas, &s->limits) != ERR_OK || !make_upstreams(w, s)) {
        snapshot_free(w, s);
        return NULL;
    }
    return s;
}

static void take_limits(struct worker *w, const struct snapshot *snap)
{
    const struct config_timeouts *t = &snap->timeouts;
    w->io.limits = (struct h1_limits){snap->limits.head, snap->limits.target, snap->limits.fields};
    w->server.timeouts = (struct h1_timeouts){t->idle_ms, t->head_ms, t->body_grace_ms, t->body_rate, 2000};
    w->server.max_requests = snap->limits.keepalive_requests;
}

static void wake_all(struct worker *w, struct worker_snapshot *s)
{
    s->refs++;
    for (uint32_t i = 0; i < s->snap->n_issuers; i++) authenticate_wake(&s->keys[i]);
    worker_snapshot_unref(w, &s);
}

static enum err apply_snapshot(struct worker *w, struct worker_delivery *d)
{
    struct worker_snapshot *s = snapshot_make(w, d);
    if (!s) {
        log_event(LOG_LEVEL_ERROR, log_msg("a worker keeps its old configuration: no memory"),
                  log_u64("worker", w->index));
        return ERR_NO_MEMORY;
    }
    struct worker_snapshot *old = w->current;
    w->current = s;
    take_limits(w, s->snap);
    w->server.tls = s->tls->server; /* for handshakes that begin from now on */
    counter_add(&w->numbers.snapshot, s->snap->generation - counter_get(&w->numbers.snapshot));
    if (!old) return ERR_OK;
    wake_all(w, old); /* whoever waits for keys of the old one is judged by what there was */
    worker_snapshot_unref(w, &old);
    return ERR_OK;
}

/* --- keys --- */

bool worker_want_keys(struct worker *w, struct worker_snapshot *s, uint32_t issuer)
{
    const struct snapshot_issuer *i = &s->snap->issuers[issuer];
    struct issuer_keys *k = &s->keys[issuer];
    uint64_t now = loop_now_ms(w->loop);
    if (i->source != KEY_SOURCE_URL || s != w->current) return false;
    if (k->asking) return true;
    if (k->asked_ms && now - k->asked_ms < i->min_interval_ms) return false;
    k->asking = true;
    k->asked_ms = now;
    w->keys_wanted(w->keys_wanted_ctx, s->snap->generation, issuer);
    return true;
}

static void apply_keys(struct worker *w, uint64_t generation, uint32_t issuer, struct keyset *keys)
{
    struct worker_snapshot *s = w->current;
    if (!s || s->snap->generation != generation || issuer >= s->snap->n_issuers) {
        keyset_unref(&keys);
        return;
    }
    if (keys) {
        keyset_unref(&s->keysets[issuer]);
        s->keysets[issuer] = keys;
        verify_ctx_clear(w->verifier.ctx); /* a withdrawn key's material does not linger */
    }
    s->keys[issuer].asking = false;
    s->refs++;
    authenticate_wake(&s->keys[issuer]);
    worker_snapshot_unref(w, &s);
}

/* --- mail --- */

enum letter { LETTER_FEED, LETTER_KEYS_ANSWER, LETTER_QUOTA_ANSWER, LETTER_OPEN, LETTER_DRAIN };

struct worker_mail {
    struct mail mail;
    enum letter kind;
    struct feed_record record;
    uint32_t drain_ms;
};

static void drop_payload(const struct feed_record *r)
{
    if (r->kind == FEED_ISSUER_KEYS) {
        struct keyset *k = r->payload;
        keyset_unref(&k);
    } else if (r->kind == FEED_SNAPSHOT) {
        delivery_drop(r->payload);
    }
}

/* One record of the feed. What is old is dropped; behind a gap only a whole snapshot counts. */
static void worker_apply(struct worker *w, const struct feed_record *r)
{
    enum feed_step step = feed_check(&w->feed, r);
    if (step == FEED_OLD || (step == FEED_RESYNC && r->kind != FEED_SNAPSHOT)) {
        drop_payload(r);
        return;
    }
    switch (r->kind) {
    case FEED_SNAPSHOT:
        if (apply_snapshot(w, r->payload) != ERR_OK) return; /* a gap: it is sent again */
        break;
    case FEED_ISSUER_KEYS: apply_keys(w, r->generation, r->index, r->payload); break;
    case FEED_TABLES:
        w->fed_serial++;
        w->fed_until_ns = 0; /* looked up again: it may have been taken back */
        break;
    case FEED_NONE: break;
    }
    feed_advance(&w->feed, r);
    set(&w->numbers.feed, r->number);
    if (w->on_applied) w->on_applied(w->keys_wanted_ctx);
}

static void begin_accepting(struct worker *w);
static void begin_drain(struct worker *w, uint32_t drain_ms);

static void on_mail(struct mail *m, void *owner)
{
    struct worker *w = owner;
    struct worker_mail *letter = CONTAINER_OF(m, struct worker_mail, mail);
    switch (letter->kind) {
    case LETTER_FEED: worker_apply(w, &letter->record); break;
    case LETTER_KEYS_ANSWER: apply_keys(w, letter->record.generation, letter->record.index, NULL); break;
    case LETTER_QUOTA_ANSWER: limit_wake(w); break;
    case LETTER_OPEN: begin_accepting(w); break;
    case LETTER_DRAIN: begin_drain(w, letter->drain_ms); break;
    }
    free(letter);
}

static enum err post(struct worker *w, struct worker_mail letter)
{
    struct worker_mail *m = malloc(sizeof *m);
    if (!m) return ERR_NO_MEMORY;
    *m = letter;
    m->mail.on_mail = on_mail;
    mail_post(w->loop, &m->mail);
    return ERR_OK;
}

enum err worker_feed(struct worker *w, const struct feed_record *r)
{
    return post(w, (struct worker_mail){.kind = LETTER_FEED, .record = *r});
}

enum err worker_keys_answer(struct worker *w, uint64_t generation, uint32_t issuer)
{
    return post(w, (struct worker_mail){.kind = LETTER_KEYS_ANSWER,
                                        .record = {.generation = generation, .index = issuer}});
}

enum err worker_quota_answer(struct worker *w)
{
    return post(w, (struct worker_mail){.kind = LETTER_QUOTA_ANSWER});
}

enum err worker_open(struct worker *w)
{
    return post(w, (struct worker_mail){.kind = LETTER_OPEN});
}

enum err worker_drain(struct worker *w, uint32_t drain_ms)
{
    return post(w, (struct worker_mail){.kind = LETTER_DRAIN, .drain_ms = drain_ms});
}

/* --- accepting --- */

/* Until when the process takes no new clients, because the requests of those it has lack descriptors: one that is freed
 * for a request must not go to whoever knocks next. Of all workers; written only when there are none left. */
static _Atomic uint64_t scarce_until_ms;

static void accept_some(struct worker_listener *l, unsigned max)
{
    struct worker *w = l->worker;
    if (UNLIKELY(atomic_load_explicit(&scarce_until_ms, memory_order_relaxed) > loop_now_ms(w->loop)) && !w->draining) {
        timer_set(w->loop, &l->again, loop_now_ms(w->loop) + ACCEPT_AGAIN_MS);
        return;
    }
    for (unsigned n = 0;; n++) {
        if (n == max) {
            timer_set(w->loop, &l->again, loop_now_ms(w->loop) + 1);
            return;
        }
        struct net_peer peer;
        int fd;
        enum err e = net_accept(l->watch.fd, &fd, &peer);
        if (e == ERR_OK) {
            if (l->tls)
                server_conn_open_tls(&w->server, fd, &peer, l);
            else
                server_conn_open(&w->server, fd, &peer, l);
            continue;
        }
        /* out of descriptors: those who wait stay in the queue, we look again soon */
        if (e != ERR_AGAIN && !w->draining) timer_set(w->loop, &l->again, loop_now_ms(w->loop) + ACCEPT_AGAIN_MS);
        return;
    }
}

static void on_connection(struct watch *watch, uint32_t events)
{
    (void)events;
    accept_some(CONTAINER_OF(watch, struct worker_listener, watch), ACCEPT_MAX);
}

static void on_accept_again(struct timer *t)
{
    accept_some(CONTAINER_OF(t, struct worker_listener, again), ACCEPT_MAX);
}

enum err worker_listen(struct worker *w, int fd, bool tls)
{
    struct worker_listener *l = calloc(1, sizeof *l);
    if (!l) return ERR_NO_MEMORY;
    *l = (struct worker_listener){{on_connection, fd}, {.on_time = on_accept_again}, w, w->listeners, tls};
    enum err e = w->held ? ERR_OK : watch_add(w->loop, &l->watch, EPOLLIN);
    if (e != ERR_OK) {
        free(l);
        return e;
    }
    w->listeners = l;
    return ERR_OK;
}

static void begin_accepting(struct worker *w)
{
    if (!w->held || w->draining) return;
    w->held = false;
    for (struct worker_listener *l = w->listeners; l; l = l->next)
        if (watch_add(w->loop, &l->watch, EPOLLIN) != ERR_OK) /* those in its queue are looked at all the same */
            timer_set(w->loop, &l->again, loop_now_ms(w->loop) + ACCEPT_AGAIN_MS);
}

/* --- housekeeping and draining --- */

bool worker_reclaim(struct worker *w)
{
    atomic_store_explicit(&scarce_until_ms, loop_now_ms(w->loop) + SCARCE_MS, memory_order_relaxed);
    size_t i = 0;
    for (const struct map_slot *s = map_next(&w->upstreams, &i); s; s = map_next(&w->upstreams, &i)) {
        struct h1_client *c = upstream_take(s->value);
        if (!c) continue;
        h1_client_abandon(c);
        return true;
    }
    return false;
}

static void publish(struct worker *w)
{
    struct worker_numbers *n = &w->numbers;
    set(&n->connections, w->server.n_open);
    set(&n->accepted, w->server.n_accepted);
    set(&n->refused, w->server.n_refused);
    set(&n->timed_out, w->server.n_timed_out);
    for (size_t i = 0; i < 4; i++) set(&n->shaken[i / 2][i % 2], w->server.n_shaken[i / 2][i % 2]);
    for (size_t i = 0; i < TLS_ENDS; i++) set(&n->shake_failed[i], w->server.n_shake_failed[i]);
    set(&n->upstream_open, w->client.n_open);
    set(&n->upstream_opened, w->client.n_opened);
    set(&n->token_hits, w->tokens.found);
    set(&n->token_misses, w->tokens.missed);
    set(&n->token_evictions, w->tokens.evicted);
}

static void drained(struct worker *w)
{
    if (w->drained) return;
    w->drained = true;
    server_env_close_all(&w->server);
    if (w->on_drained) w->on_drained(w->keys_wanted_ctx, w->index);
    loop_stop(w->loop);
}

static void begin_drain(struct worker *w, uint32_t drain_ms)
{
    uint64_t now = loop_now_ms(w->loop);
    if (!w->draining) {
        w->draining = true;
        w->drain_from_ms = now;
        for (struct worker_listener *l = w->listeners; l; l = l->next) {
            accept_some(l, 16 * ACCEPT_MAX); /* who is in the queue has been promised a connection */
            timer_clear(w->loop, &l->again);
            watch_drop(w->loop, &l->watch);
        }
        server_env_drain(&w->server);
    }
    w->drain_until_ms = now + drain_ms;
    timer_set(w->loop, &w->housekeeping, now + 1);
}

static void on_housekeeping(struct timer *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, housekeeping);
    uint64_t now = loop_now_ms(w->loop);
    if (w->draining) {
        if (now >= w->drain_from_ms + DRAIN_IDLE_MS || now >= w->drain_until_ms) server_env_close_idle(&w->server);
        if (w->server.n_open == 0 || now >= w->drain_until_ms) {
            drained(w);
            return;
        }
    }
    size_t i = 0;
    for (const struct map_slot *s = map_next(&w->upstreams, &i); s; s = map_next(&w->upstreams, &i)) {
        struct upstream *u = s->value;
        if (now > IDLE_UPSTREAM_MS) upstream_reap(u, now - IDLE_UPSTREAM_MS);
        (void)instance_return(u->instance, now); /* also where nobody asks for it meanwhile */
    }
    publish(w);
    timer_set(w->loop, t, now + (w->draining ? DRAIN_TICK_MS : HOUSEKEEPING_MS));
}

/* At most one line a second: who knocks is not to fill our disk. All are counted. */
static void on_shake_failed(void *owner, const struct net_peer *peer, enum tls_end end, const char *reason)
{
    struct worker *w = owner;
    uint64_t now = loop_now_ms(w->loop);
    char text[NET_TEXT_MAX];
    if (end == TLS_END_CLOSED || now < w->shake_told_ms + 1000) return;
    w->shake_told_ms = now;
    log_event(end == TLS_END_CERTIFICATE ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
              log_msg(end == TLS_END_CERTIFICATE ? "a client's certificate is refused" : "a handshake of TLS failed"),
              log_str("client", str_make(text, net_peer_ip_text(peer, text))), log_str("reason", str_of(reason)));
}

static void on_turn_end(void *owner)
{
    struct worker *w = owner;
    if (w->log) log_turn(w->log);
}

/* --- life --- */

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", w->index % 1000);
    (void)pthread_setname_np(pthread_self(), name);
    log_set_role("gateway");
    w->log = log_attach();
    timer_set(w->loop, &w->housekeeping, loop_now_ms(w->loop) + HOUSEKEEPING_MS);
    loop_run(w->loop);
    publish(w);
    log_detach();
    w->log = NULL; /* its room went with it; turns that only tidy up log nothing */
    return NULL;
}

static const struct issuer *find_issuer(const void *of, str unverified_iss)
{
    const struct snapshot_issuer *i = snapshot_issuer(of, unverified_iss);
    return i ? i->issuer : NULL;
}

enum err worker_new(unsigned index, const struct snapshot *snap, const struct fed *fed, struct worker **out)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w) return ERR_NO_MEMORY;
    uint32_t conns = (snap->limits.connections + snap->workers - 1) / snap->workers;
    struct h1_limits limits = {snap->limits.head, snap->limits.target, snap->limits.fields};
    w->index = index;
    w->fed = fed;
    w->fed_serial = fed ? 1 : 0;
    w->fed_until_ns = fed ? 0 : UINT64_MAX;
    w->housekeeping.on_time = on_housekeeping;
    w->loop = loop_new(w);
    w->verify_first = malloc(VERIFY_FIRST);
    if (!w->loop || !w->verify_first ||
        http_io_init(&w->io, w->loop, &limits, snap->limits.buffer, 2 * (size_t)conns) ||
        verify_ctx_new(&w->verifier.ctx) || counters_new(&w->counters) || decision_ring_new(&w->ring) ||
        span_ring_new(&w->spans) || meter_new(&w->meter)) {
        worker_free(&w);
        return ERR_NO_MEMORY;
    }
    loop_on_turn_end(w->loop, on_turn_end);
    server_env_init(&w->server, &w->io, conns);
    w->server.handler = &exchange_handler;
    w->server.stream_new = exchange_new;
    w->server.stream_free = exchange_free;
    w->server.owner = w;
    w->server.on_shake_failed = on_shake_failed;
    w->server.max_shaking = conns < 2 * SHAKING_MAX ? (conns + 1) / 2 : SHAKING_MAX;
    client_env_init(&w->client, &w->io, conns);
    w->client.on_idle = upstream_on_idle;
    w->client.on_idle_closed = upstream_on_idle_closed;
    w->client.on_closed = upstream_on_closed;
    slab_init(&w->exchanges, sizeof(struct exchange), 8, conns);
    take_limits(w, snap);
    token_cache_init(&w->tokens, TOKEN_SETS, TOKEN_BYTES);
    arena_init(&w->verify_mem, w->verify_first, VERIFY_FIRST, VERIFY_CAP);
    w->verifier.find = find_issuer;
    w->verifier.skew_s = TOKEN_SKEW_S;
    *out = w;
    return ERR_OK;
}

enum err worker_start(struct worker *w)
{
    if (pthread_create(&w->thread, NULL, worker_main, w) != 0) return ERR_NO_MEMORY;
    w->started = true;
    return ERR_OK;
}

void worker_join(struct worker *w)
{
    if (w->started) pthread_join(w->thread, NULL);
    w->started = false;
}

void worker_free(struct worker **out)
{
    struct worker *w = *out;
    if (!w) return;
    if (w->current) {
        server_env_close_all(&w->server);
        worker_snapshot_unref(w, &w->current);
    }
    while (w->listeners) {
        struct worker_listener *l = w->listeners;
        w->listeners = l->next;
        watch_drop(w->loop, &l->watch);
        free(l);
    }
    if (w->loop) loop_turn(w->loop, 0);                    /* lets connections free themselves, and letters arrive */
    if (w->current) worker_snapshot_unref(w, &w->current); /* one of those letters */
    token_cache_free(&w->tokens);
    map_free(&w->upstreams);
    slab_free(&w->server.conns);
    slab_free(&w->client.conns);
    slab_free(&w->exchanges);
    if (w->io.scratch) http_io_close(&w->io);
    arena_reset(&w->verify_mem);
    free(w->verify_first);
    if (w->verifier.ctx) verify_ctx_free(&w->verifier.ctx);
    meter_free(&w->meter);
    counters_free(&w->counters);
    decision_ring_free(&w->ring);
    span_ring_free(&w->spans);
    loop_free(&w->loop);
    free(w);
    *out = NULL;
}
