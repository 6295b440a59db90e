#include "roles/data.h"

#include "base/log.h"
#include "base/metrics.h"
#include "net/unix_socket.h"
#include "roles/administration.h"
#include "roles/seal_key.h"
#include "store/local.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct data_role {
    struct keeper *keeper;
    struct store_listener *listener;
    struct loop *loop; /* of the listener */
    bool own;          /* the loop is ours, and so is the thread */
    pthread_t thread;
    struct mail stop;
    char address[sizeof "unix:" + UNIX_SOCKET_PATH];
};

static void say(char *why, const char *what, const char *path, enum err e)
{
    snprintf(why, KEEPER_WHY, "%s %.100s: %s", what, path,
             e == ERR_LIMIT      ? "the path is too long: choose a shorter `data`"
             : e == ERR_CONFLICT ? "another process has it"
             : e == ERR_IO       ? strerror(errno)
                                 : err_name(e));
}

static enum err open_store(struct data_role *r, const struct data_options *o, char *why)
{
    char dir[4096];
    int n = snprintf(dir, sizeof dir, "%s/" DATA_FOLDER, o->data);
    if (n < 0 || (size_t)n >= sizeof dir) {
        say(why, "the store", o->data, ERR_LIMIT);
        return ERR_LIMIT;
    }
    struct keeper_config config = {.engine = o->engine == CONFIG_ENGINE_MEMORY ? KEEPER_MEMORY : KEEPER_SQLITE,
                                   .dir = dir,
                                   .spaces = o->spaces ? o->spaces : KEEPER_ALL};
    enum err e = keeper_new(&config, &r->keeper, why);
    if (e != ERR_OK) return e;
    for (unsigned s = 0; s < STORE_SPACES; s++) {
        char damage[KEEPER_WHY];
        if (!(config.spaces & KEEPER_SPACE(s))) continue;
        keeper_why(r->keeper, (enum store_space)s, damage);
        if (damage[0])
            log_event(LOG_LEVEL_ERROR, log_msg("a space of the store cannot be served"),
                      log_str("space", str_of(store_space_name((enum store_space)s))), log_str("why", str_of(damage)));
    }
    return ERR_OK;
}

static enum err open_socket(struct data_role *r, const struct data_options *o, char *why)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/" DATA_SOCKET, o->data);
    struct store_listener_options options = {.path = path,
                                             .keeper = r->keeper,
                                             .spaces = o->spaces ? o->spaces : KEEPER_ALL,
                                             .uids = o->uids,
                                             .n_uids = o->n_uids};
    bool fits = n > 0 && (size_t)n + sizeof "unix:" <= sizeof r->address;
    enum err e = fits ? store_listener_new(r->loop, &options, &r->listener) : ERR_LIMIT;
    if (e != ERR_OK)
        say(why, "the socket of the store", path, e);
    else
        snprintf(r->address, sizeof r->address, "unix:%.*s", (int)(sizeof r->address - sizeof "unix:"), path);
    return e;
}

static void on_stop(struct mail *m, void *owner)
{
    struct data_role *r = CONTAINER_OF(m, struct data_role, stop);
    (void)owner;
    loop_stop(r->loop);
}

static void *serve(void *arg)
{
    struct data_role *r = arg;
    log_set_role("data");
    loop_run(r->loop);
    return NULL;
}

enum err data_role_start(const struct data_options *options, struct loop *loop, struct data_role **out, char *why)
{
    struct data_role *r = calloc(1, sizeof *r);
    why[0] = 0;
    if (!r) return ERR_NO_MEMORY;
    r->loop = loop ? loop : loop_new(r);
    enum err e = r->loop ? open_store(r, options, why) : ERR_NO_MEMORY;
    if (e == ERR_OK) e = open_socket(r, options, why);
    if (e == ERR_OK && !loop) {
        r->own = pthread_create(&r->thread, NULL, serve, r) == 0;
        if (!r->own) e = ERR_NO_MEMORY;
    }
    if (e == ERR_OK) {
        *out = r;
        return ERR_OK;
    }
    store_listener_free(&r->listener);
    keeper_free(&r->keeper);
    if (!loop) loop_free(&r->loop);
    free(r);
    return e;
}

void data_role_stop(struct data_role **out)
{
    struct data_role *r = *out;
    if (!r) return;
    if (r->own) {
        r->stop.on_mail = on_stop;
        mail_post(r->loop, &r->stop);
        pthread_join(r->thread, NULL);
    }
    store_listener_free(&r->listener);
    keeper_free(&r->keeper);
    if (r->own) loop_free(&r->loop);
    free(r);
    *out = NULL;
}

struct keeper *data_role_keeper(struct data_role *r)
{
    return r->keeper;
}

str data_role_address(const struct data_role *r)
{
    return str_of(r->address);
}

void data_role_metrics(struct data_role *r, struct buf *out)
{
    struct store_listener_numbers n;
    store_listener_numbers(r->listener, &n);
    const struct {
        const char *name, *help;
        enum metric_type type;
        uint64_t value;
    } all[] = {
        {"sallyport_store_clients", "Store clients of other processes, now.", METRIC_GAUGE, n.connections},
        {"sallyport_store_watches", "Watches of such clients, now.", METRIC_GAUGE, n.watches},
        {"sallyport_store_requests", "Their requests under way, now.", METRIC_GAUGE, n.requests},
        {"sallyport_store_clients_accepted_total", "Store clients let in.", METRIC_COUNTER, n.accepted},
        {"sallyport_store_clients_refused_total", "Store clients of other users, or one too many.", METRIC_COUNTER,
         n.refused},
        {"sallyport_store_clients_malformed_total", "Store clients that broke the protocol.", METRIC_COUNTER,
         n.malformed},
        {"sallyport_store_answers_total", "Requests of such clients that were answered.", METRIC_COUNTER, n.answered},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metrics_family(out, all[i].name, all[i].type, all[i].help);
        metrics_u64(out, all[i].name, NULL, 0, all[i].value);
    }
}

/* --- a process of its own --- */

struct data_process {
    struct data_options options;
    struct data_role *role;
    struct seal seal; /* signs the record; opens no secret here */
    struct administration *administration;
};

static uint32_t served(const struct data_process *d)
{
    return d->options.spaces ? d->options.spaces : KEEPER_ALL;
}

static struct store *store_new(void *ctx, struct loop *loop)
{
    struct data_process *d = ctx;
    struct store *s;
    return store_local_new(d->role->keeper, loop, served(d), &s) == ERR_OK ? s : NULL;
}

/* Without the space of the record's heads nothing can be recorded, and so nothing administered here. */
static enum err start_administration(struct data_process *d, struct process *p)
{
    if (!(served(d) & KEEPER_SPACE(STORE_AUDIT))) return ERR_OK;
    struct administration_options o = {.chain = "data",
                                       .data = d->options.data,
                                       .seal = &d->seal,
                                       .store_new = store_new,
                                       .keeper = d->role->keeper,
                                       .ctx = d};
    enum err e = seal_key_load_from(&process_config(p)->seal, process_data(p), &d->seal);
    if (e == ERR_OK) e = administration_open(&o, &d->administration);
    return e == ERR_OK ? administration_start(d->administration, process_loop(p)) : e;
}

static enum err start(struct process *p, void *ctx)
{
    struct data_process *d = ctx;
    char why[KEEPER_WHY];
    d->options.data = process_data(p);
    d->options.engine = process_config(p)->engine;
    enum err e = data_role_start(&d->options, process_loop(p), &d->role, why);
    if (e != ERR_OK && why[0]) fprintf(stderr, "sallyport: %s\n", why);
    return e == ERR_OK ? start_administration(d, p) : e;
}

static void stop(struct process *p, void *ctx)
{
    struct data_process *d = ctx;
    (void)p;
    administration_stop(d->administration);
    administration_close(&d->administration);
    data_role_stop(&d->role);
    seal_wipe(&d->seal);
}

static bool extra(void *ctx, const struct control_peer *peer, const struct request *request, str body,
                  struct control_reply *reply)
{
    struct data_process *d = ctx;
    return administration_extra(d->administration, peer, request, body, reply);
}

static void extra_cancel(void *ctx, struct control_reply *reply, void *waiting)
{
    struct data_process *d = ctx;
    administration_cancel(d->administration, reply, waiting);
}

static size_t checks(void *ctx, struct arena *mem, struct control_check *out)
{
    struct data_process *d = ctx;
    size_t n = 0;
    for (unsigned s = 0; s < STORE_SPACES; s++) {
        char why[KEEPER_WHY];
        if (d->options.spaces && !(d->options.spaces & KEEPER_SPACE(s))) continue;
        keeper_why(d->role->keeper, (enum store_space)s, why);
        str name = arena_printf(mem, "space:%s", store_space_name((enum store_space)s));
        out[n++] = (struct control_check){name.p ? name.p : "space", !why[0], arena_copy(mem, str_of(why))};
    }
    return n;
}

static void metrics(void *ctx, struct buf *out)
{
    struct data_process *d = ctx;
    data_role_metrics(d->role, out);
    if (d->administration) administration_metrics(d->administration, out);
}

static str listeners(void *ctx, struct arena *mem)
{
    const struct data_process *d = ctx;
    return arena_printf(mem, "data %s", d->role->address);
}

static uint64_t connections(void *ctx)
{
    const struct data_process *d = ctx;
    struct store_listener_numbers n;
    store_listener_numbers(d->role->listener, &n);
    return n.connections;
}

int data_role_run(const struct data_options *options, const struct process_options *process)
{
    static const struct process_role role = {.name = "data",
                                             .socket = DATA_CLI_SOCKET,
                                             .kind = BUNDLE_DATA,
                                             .start = start,
                                             .stop = stop,
                                             .checks = checks,
                                             .metrics = metrics,
                                             .listeners = listeners,
                                             .connections = connections,
                                             .extra = extra,
                                             .extra_cancel = extra_cancel};
    struct data_process d = {.options = *options};
    struct process_options with = *process;
    with.others = options->n_uids > 0;
    return process_run(&role, &d, &with);
}
