#include "roles/gateway_private.h"

#include "base/clock.h"
#include "base/pages.h"
#include "config/product.h"
#include "config/stored.h"
#include "crypto/secret.h"
#include "net/handed.h"
#include "roles/child.h"
#include "roles/gateway_check.h"
#include "roles/process.h"
#include "store/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define LAME_DUCK_MS   250 /* readiness is down, but connections are still taken */
#define SETTLE_TICK_MS 2
#define LAST_TRACES_MS 1000
#define FED_WAIT_MS    1000
#define FED_LOOK_MS    4
#define STORED_MEM     (64u << 20) /* products of the store, while a snapshot is built */

/* --- configuration in force --- */

/* `c` as it is in force: with the products of the store. `now` goes with `like`: addresses that names have since. */
static enum err build(struct gateway *g, const struct config *c, const struct snapshot *like,
                      const struct snapshot_addresses *now, struct diags *d, struct snapshot **out)
{
    const struct config_source *files = child_source();
    struct config_source source = files ? *files : (struct config_source){0};
    source.names = gateway_dns_names;
    source.names_ctx = g->dns;
    struct arena mem;
    struct config whole;
    const struct config_product *stored = NULL;
    uint32_t n = 0, left_out = 0;
    arena_init(&mem, NULL, 0, STORED_MEM);
    /* one product's gateway knows no other: neither of the file nor of the store */
    bool all = g->fed_by && !g->options.product;
    enum err e = all ? gateway_feed_products(g->fed_by, &mem, &stored, &n) : ERR_OK;
    if (e == ERR_OK) e = config_with_products(c, stored, n, &mem, &whole, &left_out);
    if (e != ERR_OK)
        d->lost = true;
    else
        e = now    ? snapshot_readdress(&whole, like, now, g->generations + 1, d, out)
            : like ? snapshot_rebuild(&whole, like, g->generations + 1, d, out)
                   : snapshot_build(&whole, &source, g->generations + 1, d, out);
    if (e == ERR_OK) g->generations++;
    if (e == ERR_OK && g->fed_by) gateway_feed_secrets(g->fed_by, *out);
    if (e == ERR_OK && left_out)
        log_event(LOG_LEVEL_WARN,
                  log_msg("products of the store are left out: the file has them, or there are too many"),
                  log_u64("products", left_out));
    arena_reset(&mem);
    return e;
}

static enum err load(struct gateway *g, struct diags *d, struct config **config, struct snapshot **out)
{
    const struct gateway_options *o = &g->options;
    struct config *c = NULL;
    enum err e = process_config_read(o->config_path, o->text_dir, &o->overrides, d, &c);
    if (e == ERR_OK && o->product) e = config_keep_product(c, str_of(o->product), d);
    if (e == ERR_OK && !g->snap)
        gateway_dns_first(g->dns, c);
    else if (e == ERR_OK && !gateway_dns_want(g->dns, c))
        e = ERR_AGAIN; /* new names: gateway_reload_again */
    if (e == ERR_OK) e = build(g, c, NULL, NULL, d, out);
    if (e == ERR_OK)
        *config = c;
    else
        config_free(&c);
    return e;
}

static struct worker_delivery *delivery(const struct gateway *g)
{
    struct worker_delivery *d = calloc(1, sizeof *d + g->n_keys * sizeof d->keysets[0]);
    if (!d) return NULL;
    d->snap = snapshot_ref(g->snap);
    d->instances = instance_set_ref(g->instances);
    d->tls = tls_set_ref(gateway_tls_set(g->tls));
    d->n = g->n_keys;
    for (uint32_t i = 0; i < g->n_keys; i++)
        if (g->keys[i].keys) d->keysets[i] = keyset_ref(g->keys[i].keys);
    return d;
}

static void drop(struct worker_delivery *d)
{
    for (uint32_t i = 0; i < d->n; i++) keyset_unref(&d->keysets[i]);
    instance_set_unref(&d->instances);
    tls_set_unref(&d->tls);
    snapshot_unref(&d->snap);
    free(d);
}

/* g->instances are those of g->snap. */
static enum err follow_instances(struct gateway *g)
{
    struct instance_set *now;
    if (gateway_limits_follow(g) != ERR_OK) return ERR_NO_MEMORY;
    if (g->instances && g->instances_of == g->snap->generation) return ERR_OK;
    enum err e = instance_set_new(g->registry, g->snap, loop_now_ms(g->loop), &now);
    if (e != ERR_OK) return e;
    instance_set_unref(&g->instances); /* behind the new one: what both name keeps its state */
    g->instances = now;
    g->instances_of = g->snap->generation;
    return ERR_OK;
}

/* Everything, to every worker: the answer to a first start, a reload, and to any gap. */
static enum err feed_snapshot(struct gateway *g)
{
    gateway_dns_follow(g->dns, g->snap);
    enum err e = follow_instances(g);
    if (e != ERR_OK) {
        g->feed_gap = true;
        return e;
    }
    gateway_health_follow(g->health, g->snap, g->instances, gateway_tls_set(g->tls));
    g->feed.number++;
    gateway_tracing_follow(g->tracing, g->snap);
    for (uint32_t w = 0; w < g->n_workers; w++) {
        struct worker_delivery *d = delivery(g);
        struct feed_record r = {.epoch = g->feed.epoch,
                                .number = g->feed.number,
                                .kind = FEED_SNAPSHOT,
                                .generation = g->snap->generation,
                                .payload = d};
        enum err one = d ? worker_feed(g->workers[w], &r) : ERR_NO_MEMORY;
        if (one != ERR_OK && d) drop(d);
        if (one != ERR_OK) e = one;
    }
    g->feed_gap = e != ERR_OK;
    if (g->fed_by && e == ERR_OK) gateway_feed_snapshot_sent(g->fed_by);
    return e;
}

void gateway_feed_again(struct gateway *g)
{
    (void)!feed_snapshot(g); /* or again, next time */
}

void gateway_feed_tables(struct gateway *g)
{
    g->feed.number++;
    for (uint32_t w = 0; w < g->n_workers; w++) {
        struct feed_record r = {.epoch = g->feed.epoch,
                                .number = g->feed.number,
                                .kind = FEED_TABLES,
                                .generation = g->snap->generation};
        if (worker_feed(g->workers[w], &r) != ERR_OK) g->feed_gap = true;
    }
}

static enum err rebuild(struct gateway *g, const struct snapshot_addresses *now)
{
    struct diags d;
    struct snapshot *snap = NULL;
    diags_init(&d, STR("(store)"));
    enum err e = build(g, g->config, g->snap, now, &d, &snap);
    if (e == ERR_OK) {
        snapshot_unref(&g->snap);
        g->snap = snap;
        if (g->options.on_snapshot) g->options.on_snapshot(snap, g->options.ctx);
        e = feed_snapshot(g);
        gateway_settle(g);
    } else {
        struct buf text;
        buf_init(&text, 1 << 20);
        diags_print(&d, &text);
        log_event(LOG_LEVEL_ERROR,
                  log_msg(now ? "other addresses of names cannot be taken in"
                              : "products of the store cannot be taken in"),
                  log_str("mistakes", buf_str(&text)));
        buf_free(&text);
    }
    diags_free(&d);
    return e;
}

enum err gateway_rebuild(struct gateway *g)
{
    return rebuild(g, NULL);
}

/* gateway_dns_env.changed: once it is in force, the rest is feed_snapshot's to do, or to do again. */
static enum err readdress(void *ctx, const struct snapshot_addresses *now)
{
    struct gateway *g = ctx;
    uint64_t before = g->snap->generation;
    (void)!rebuild(g, now);
    return g->snap->generation != before ? ERR_OK : ERR_NO_MEMORY;
}

void gateway_feed_keys(struct gateway *g, uint32_t issuer, struct keyset *keys)
{
    g->feed.number++;
    for (uint32_t w = 0; w < g->n_workers; w++) {
        struct keyset *one = keyset_ref(keys);
        struct feed_record r = {.epoch = g->feed.epoch,
                                .number = g->feed.number,
                                .kind = FEED_ISSUER_KEYS,
                                .index = issuer,
                                .generation = g->snap->generation,
                                .payload = one};
        if (worker_feed(g->workers[w], &r) == ERR_OK) continue;
        keyset_unref(&one);
        g->feed_gap = true;
    }
}

static bool same_listeners(const struct snapshot *a, const struct snapshot *b)
{
    if (a->n_listeners != b->n_listeners || !a->admin != !b->admin) return false;
    if (a->admin && !str_eq(a->admin->text, b->admin->text)) return false;
    for (uint32_t i = 0; i < a->n_listeners; i++)
        if (!str_eq(a->listeners[i].text, b->listeners[i].text) || a->listeners[i].tls != b->listeners[i].tls)
            return false;
    return true;
}

/* What only a new process can change: sockets, threads and the sizes that buffers were made with. */
static const char *needs_restart(const struct snapshot *a, const struct snapshot *b)
{
    if (!same_listeners(a, b)) return "listen";
    if (!str_eq(a->data, b->data)) return "data";
    if (a->workers != b->workers) return "workers";
    if (a->authentication.on != b->authentication.on) return "authentication";
    if (a->fed != b->fed || a->engine != b->engine) return "store";
    if (a->lease_ms != b->lease_ms) return "feed.lease";
    if (a->limits.head != b->limits.head) return "limits.head";
    if (a->limits.buffer != b->limits.buffer) return "limits.buffer";
    if (a->limits.connections != b->limits.connections) return "limits.connections";
    return NULL;
}

static enum err swap(struct gateway *g, struct diags *d)
{
    struct config *config = NULL;
    struct snapshot *snap = NULL;
    struct gateway_keys *keys = NULL;
    struct tls_set *tls = NULL;
    enum err e = load(g, d, &config, &snap);
    const char *fixed = e == ERR_OK ? needs_restart(g->snap, snap) : NULL;
    if (fixed) {
        diag_add(d, DIAG_ERROR, "needs_restart", (struct config_pos){0}, 0,
                 STR("restart the gateway, or take the change back"), "%s cannot change while the gateway runs", fixed);
        e = ERR_UNSUPPORTED;
    }
    if (e == ERR_OK) e = gateway_tls_make(g->tls, snap, d, &tls);
    if (e == ERR_OK) e = gateway_keys_make(g, snap, d, &keys);
    if (e == ERR_AGAIN) return e;
    if (e != ERR_OK) {
        g->reload_failures++;
        tls_set_unref(&tls);
        snapshot_unref(&snap);
        config_free(&config);
        return e;
    }
    gateway_keys_free(&g->keys, g->n_keys);
    snapshot_unref(&g->snap);
    config_free(&g->config);
    g->snap = snap;
    g->config = config;
    g->keys = keys;
    g->n_keys = snap->n_issuers;
    gateway_tls_take(g->tls, &tls);
    g->loaded_ms = clock_wall_ms();
    gateway_check_loaded(g);
    log_set_level((enum log_level)snap->log_level);
    if (g->options.on_snapshot) g->options.on_snapshot(snap, g->options.ctx);
    (void)!feed_snapshot(g); /* or again, until every worker has it */
    gateway_settle(g);
    gateway_keys_start(g);
    return ERR_OK;
}

/* The same for the parent and the log, whoever asked. */
enum err gateway_reload(struct gateway *g, struct diags *d)
{
    enum err e = swap(g, d);
    if (e == ERR_AGAIN) return e;
    if (e == ERR_OK) {
        log_event(LOG_LEVEL_INFO, log_msg("configuration reloaded"), log_u64("generation", g->snap->generation));
    } else {
        struct buf text;
        buf_init(&text, 1 << 20);
        diags_print(d, &text);
        gateway_reload_refused(g, buf_str(&text));
        buf_free(&text);
    }
    child_reloaded(e == ERR_OK);
    return e;
}

void gateway_reload_refused(const struct gateway *g, str mistakes)
{
    log_event(LOG_LEVEL_ERROR, log_msg("configuration refused: the old one stays"),
              log_u64("generation", g->snap->generation), log_str("mistakes", mistakes));
}

bool gateway_settled(const struct gateway *g)
{
    for (uint32_t w = 0; w < g->n_workers; w++)
        if (counter_get(&g->workers[w]->numbers.snapshot) != g->snap->generation) return false;
    return true;
}

/* --- listening, on what the parent has opened --- */

static void bound_address(int fd, struct net_addr *a)
{
    struct net_addr got = {.len = sizeof got.ss};
    if (getsockname(fd, (struct sockaddr *)&got.ss, &got.len) == 0 && got.ss.ss_family != AF_UNIX) *a = got;
}

/* One socket a worker; those beyond go round, and of a single one (a Unix socket, one of the service manager) all
 * accept from its queue. */
static enum err listen_for_workers(struct gateway *g, uint32_t index)
{
    const struct snapshot_listener *l = &g->snap->listeners[index];
    struct net_addr a = {.len = l->addr_len};
    char name[HANDED_NAME];
    memcpy(&a.ss, &l->addr, sizeof a.ss);
    int n = snprintf(name, sizeof name, "gateway/%u", index), fd, last = -1;
    enum err e = ERR_OK;
    uint32_t w = 0;
    for (; e == ERR_OK && (fd = handed_take(str_make(name, (size_t)n))) >= 0; w++) {
        bound_address(last = fd, &a);
        e = worker_listen(g->workers[w % g->n_workers], fd, l->tls);
    }
    if (last < 0) {
        fprintf(stderr, "sallyport: no socket was opened for %.*s\n", STR_ARG(l->text));
        return ERR_NOT_FOUND;
    }
    for (; e == ERR_OK && w < g->n_workers; w++) {
        int one = fcntl(last, F_DUPFD_CLOEXEC, 0);
        e = one < 0 ? ERR_IO : worker_listen(g->workers[w], one, l->tls);
    }
    if (g->n_addresses < LISTENERS_MAX) {
        char *text = g->address_text[g->n_addresses];
        g->addresses[g->n_addresses++] = str_make(text, net_addr_text(&a, text));
    }
    return e;
}

static enum err open_control(struct gateway *g)
{
    const struct snapshot *snap = g->snap;
    enum err e = control_server_new(g->loop, &g->source, &g->control);
    int fd = handed_take(STR("admin"));
    if (e == ERR_OK && fd >= 0) {
        struct net_addr a = {.len = sizeof a.ss};
        bound_address(fd, &a);
        e = control_server_admin(g->control, fd, str_make(g->admin_text, net_addr_text(&a, g->admin_text)));
    }
    if (e != ERR_OK) return e;
    int n = snprintf(g->socket_path, sizeof g->socket_path, "%.*s/cli.sock", STR_ARG(snap->data));
    e = n < 0 || (size_t)n >= sizeof g->socket_path ? ERR_LIMIT : control_server_local(g->control, g->socket_path);
    if (e != ERR_OK)
        fprintf(stderr, "sallyport: cannot open the control socket %s: %s\n", g->socket_path,
                e == ERR_LIMIT ? "its path is too long: choose a shorter `data`" : strerror(errno));
    return e;
}

/* --- draining --- */

static void on_drained(void *ctx, unsigned index)
{
    struct gateway *g = ctx;
    (void)index;
    __atomic_add_fetch(&g->n_drained, 1, __ATOMIC_RELEASE);
}

/* The last spans get a moment to leave. */
static bool traces_gone(struct gateway *g)
{
    uint64_t now = loop_now_ms(g->loop);
    if (!g->traces_until_ms) {
        gateway_tracing_flush(g->tracing);
        g->traces_until_ms = now + LAST_TRACES_MS;
    }
    return gateway_tracing_idle(g->tracing) || now >= g->traces_until_ms;
}

static void on_drain_time(struct timer *t)
{
    struct gateway *g = CONTAINER_OF(t, struct gateway, drain_timer);
    if (g->draining && !g->started) { /* the lame duck's time is over */
        if (__atomic_load_n(&g->n_drained, __ATOMIC_ACQUIRE) == g->n_workers && !g->handing_over && traces_gone(g) &&
            gateway_limits_gone(g)) {
            loop_stop(g->loop);
            return;
        }
    } else {
        g->started = false;
        for (uint32_t w = 0; w < g->n_workers; w++)
            if (worker_drain(g->workers[w], g->snap->timeouts.drain_ms) != ERR_OK) loop_stop(g->loop);
    }
    timer_set(g->loop, t, loop_now_ms(g->loop) + 20);
}

static void drain_at_once(struct gateway *g)
{
    for (uint32_t w = 0; w < g->n_workers; w++)
        if (worker_drain(g->workers[w], 0) != ERR_OK) loop_stop(g->loop);
    g->started = false;
    timer_set(g->loop, &g->drain_timer, loop_now_ms(g->loop) + 1);
}

void gateway_drain(struct gateway *g, unsigned how)
{
    bool first = !g->draining;
    g->draining = true;
    gateway_dns_stop(g->dns);
    gateway_health_stop(g->health);
    if (how == WIRE_DRAIN_NOW) {
        drain_at_once(g);
        return;
    }
    if (!first) return;
    child_ending();
    log_event(LOG_LEVEL_INFO,
              log_msg(how == WIRE_DRAIN_TAKEN_OVER ? "draining: another process has taken over" : "draining"),
              log_u64("drain_ms", g->snap->timeouts.drain_ms));
    bool lame = how == WIRE_DRAIN_SIGNAL && g->snap->timeouts.drain_ms > 4 * LAME_DUCK_MS;
    timer_set(g->loop, &g->drain_timer, loop_now_ms(g->loop) + (lame ? LAME_DUCK_MS : 1));
}

/* --- start and end --- */

static enum err load_first(struct gateway *g)
{
    struct diags d;
    diags_init(&d, str_of(g->options.config_path ? g->options.config_path : "(text)"));
    struct tls_set *tls = NULL;
    enum err e = gateway_tls_new(g, &g->tls);
    if (e == ERR_OK) e = load(g, &d, &g->config, &g->snap);
    if (e == ERR_OK) e = gateway_tls_make(g->tls, g->snap, &d, &tls);
    if (e == ERR_OK) gateway_tls_take(g->tls, &tls);
    if (e == ERR_OK) e = gateway_keys_make(g, g->snap, &d, &g->keys);
    process_print_mistakes(&d);
    diags_free(&d);
    if (e == ERR_OK)
        g->n_keys = g->snap->n_issuers;
    else
        g->exit_code = 78;
    g->loaded_ms = clock_wall_ms();
    gateway_check_loaded(g);
    return e;
}

static enum err start_workers(struct gateway *g)
{
    const struct snapshot *snap = g->snap;
    g->workers = calloc(snap->workers, sizeof *g->workers);
    if (!g->workers || instance_registry_new(snap->workers, &g->registry) != ERR_OK) return ERR_NO_MEMORY;
    if (replay_new(REPLAY_SLOTS, &g->replay) != ERR_OK) return ERR_NO_MEMORY;
    for (; g->n_workers < snap->workers; g->n_workers++) {
        enum err e = worker_new(g->n_workers, snap, g->fed, &g->workers[g->n_workers]);
        if (e != ERR_OK) return e;
        struct worker *w = g->workers[g->n_workers];
        w->keys_wanted = gateway_keys_wanted;
        w->keys_wanted_ctx = g;
        w->on_drained = on_drained;
        w->replay = g->replay;
        w->held = g->fed_by != NULL;
        if (g->fed_by) w->on_applied = gateway_feed_applied;
        gateway_tracing_ring(g->tracing, w->spans);
    }
    for (uint32_t i = 0; i < snap->n_listeners; i++) {
        enum err e = listen_for_workers(g, i);
        if (e != ERR_OK) return e;
    }
    enum err e = feed_snapshot(g); /* the first letter in each box: before any connection is looked at */
    for (uint32_t w = 0; w < g->n_workers && e == ERR_OK; w++) e = worker_start(g->workers[w]);
    return e;
}

/* The store: of this process, or of a data role at its socket. */
static enum err follow_store(struct gateway *g)
{
    struct store *store = NULL;
    char address[160];
    str elsewhere = g->snap->store_socket;
    int n = elsewhere.n ? snprintf(address, sizeof address, "unix:%.*s", STR_ARG(elsewhere))
                        : snprintf(address, sizeof address, "unix:%.*s/data.sock", STR_ARG(g->snap->data));
    if (!g->snap->fed) return ERR_OK;
    enum err e = fed_new(&g->fed);
    if (e != ERR_OK) return e;
    if (g->options.store_new)
        e = (store = g->options.store_new(g->options.ctx, g->loop)) ? ERR_OK : ERR_NO_MEMORY;
    else
        e = store_remote_new(g->loop, str_make(address, (size_t)n), STR("gateway"), &store);
    if (e == ERR_LIMIT)
        fprintf(stderr, "sallyport: cannot reach the store at %s: its path is too long: choose a shorter `data`\n",
                address);
    return e == ERR_OK ? gateway_feed_new(g, store, &g->fed_by) : e;
}

static enum err start(struct gateway *g)
{
    process_raise_limits();
    if (secret_ids_stream() != ERR_OK) return ERR_NO_MEMORY;
    g->loop = loop_new(g);
    g->pool = offload_new(2, 64);
    if (!g->loop || !g->pool) return ERR_NO_MEMORY;
    g->fetch = (struct fetch_env){g->loop, g->pool};
    struct gateway_dns_env names = {.loop = g->loop, .changed = readdress, .ready = gateway_reload_again, .ctx = g};
    if (gateway_dns_new(&names, &g->dns) != ERR_OK || gateway_health_new(g->loop, &g->health) != ERR_OK)
        return ERR_NO_MEMORY;
    enum err e = gateway_tracing_new(&g->fetch, &g->tracing);
    if (e == ERR_OK) e = load_first(g);
    if (e == ERR_OK) e = process_data_folder(g->snap->data);
    if (e != ERR_OK) return e;
    struct log_options log = {.fd = 2, .level = (enum log_level)g->snap->log_level, .role = g->options.role};
    if (log_open(&log) != ERR_OK) return ERR_NO_MEMORY;
    process_sandbox_told();
    gateway_control_init(g);
    if (g->options.on_loaded) e = g->options.on_loaded(g, g->snap, g->options.ctx);
    if (e == ERR_OK) e = follow_store(g);
    if (e == ERR_OK) e = open_control(g);
    if (e == ERR_OK) e = start_workers(g);
    if (e == ERR_OK && g->fed_by) e = gateway_feed_start(g->fed_by);
    if (e == ERR_OK) e = gateway_follow_parent(g);
    return e;
}

static void stop(struct gateway *g)
{
    for (uint32_t w = 0; w < g->n_workers; w++) {
        if (!g->workers[w]) continue;
        if (g->workers[w]->started && worker_drain(g->workers[w], 0) == ERR_OK) worker_join(g->workers[w]);
    }
    if (g->loop) child_unwatch(g->loop);
    if (g->options.on_stop && g->loop) g->options.on_stop(g->options.ctx);
    gateway_tracing_free(&g->tracing);
    gateway_tls_free(&g->tls);
    gateway_health_free(&g->health);
    gateway_dns_free(&g->dns);
    gateway_keys_free(&g->keys, g->n_keys);
    control_server_free(&g->control);
    gateway_limits_stop(g);
    gateway_feed_free(&g->fed_by);
    if (g->options.on_unload) g->options.on_unload(g->options.ctx);
    for (uint32_t w = 0; w < g->n_workers; w++) worker_free(&g->workers[w]);
    free(g->workers);
    gateway_limits_free(g);
    instance_set_unref(&g->instances);
    instance_registry_free(&g->registry);
    fed_free(&g->fed);
    replay_free(&g->replay);
    snapshot_unref(&g->snap);
    config_free(&g->config);
    offload_free(&g->pool);
    gateway_keys_forget(g);
    loop_free(&g->loop);
    (void)log_close();
}

/* What the store feeds comes within milliseconds of the start. Who connects meanwhile waits in the kernel's queue
 * rather than being refused for it; so a process that takes over from another loses no request. Without the store it
 * opens all the same: public routes and the file's keys need nobody. */
static void on_open_time(struct timer *t)
{
    struct gateway *g = CONTAINER_OF(t, struct gateway, open_timer);
    struct gateway_feed_status s = {.in_force = true};
    if (g->draining) return;
    if (g->fed_by) gateway_feed_status(g->fed_by, &s);
    bool late = loop_now_ms(g->loop) >= g->open_until_ms, all = s.in_force || late;
    for (uint32_t w = 0; g->fed_by && all && w < g->n_workers; w++) all = worker_open(g->workers[w]) == ERR_OK;
    if (all)
        child_ready(g->snap->generation);
    else
        timer_set(g->loop, t, loop_now_ms(g->loop) + FED_LOOK_MS);
}

int gateway_run(const struct gateway_options *options)
{
    struct gateway g = {.options = *options, .exit_code = 1};
    g.feed.epoch = rand_u64() | 1;
    g.started_ms = clock_wall_ms();
    g.drain_timer.on_time = on_drain_time;
    enum err e = start(&g);
    if (e == ERR_NO_MEMORY) fprintf(stderr, "sallyport: no memory\n");
    if (e == ERR_OK) {
        gateway_keys_start(&g);
        g.started = true;
        log_event(LOG_LEVEL_INFO, log_msg("ready"), log_str("gateway", g.addresses[0]),
                  log_str("admin", str_of(g.admin_text)), log_u64("workers", g.n_workers),
                  log_u64("generation", g.snap->generation));
        if (options->on_ready) options->on_ready(&g, options->ctx);
        pages_forget_start();
        g.open_until_ms = loop_now_ms(g.loop) + (g.fed_by ? FED_WAIT_MS : 0);
        g.open_timer.on_time = on_open_time;
        on_open_time(&g.open_timer);
        loop_run(g.loop);
        g.exit_code = 0;
    }
    stop(&g);
    return g.exit_code;
}

str gateway_address(const struct gateway *g, size_t i)
{
    return i < g->n_addresses ? g->addresses[i] : STR_NONE;
}

str gateway_admin_address(const struct gateway *g)
{
    return str_of(g->admin_text);
}

const char *gateway_socket(const struct gateway *g)
{
    return g->socket_path;
}

void *gateway_ctx(struct gateway *g)
{
    return g->options.ctx;
}

struct loop *gateway_loop(struct gateway *g)
{
    return g->loop;
}
