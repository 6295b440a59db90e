#include "roles/run.h"
#include "audit/audit.h"

#include "base/clock.h"
#include "base/log.h"
#include "crypto/password.h"
#include "crypto/secret.h"
#include "roles/administration.h"
#include "roles/authentication.h"
#include "roles/child.h"
#include "roles/data.h"
#include "roles/seal_key.h"
#include "roles/supervisor.h"
#include "store/local.h"
#include "store/remote.h"
#include "store/user_record.h"

#include <stdlib.h>
#include <unistd.h>

struct run {
    struct gateway_options caller;
    bool alone; /* the gateway: data and authentication are processes of their own */
    char data[4096];
    char address[4200], name[STORE_NAME_MAX]; /* alone: of the store, and ours there */
    struct seal seal;
    struct data_role *store;
    struct administration *administration;
    struct authentication_role *authentication;
};

/* A client of the store for whoever lives in this process; any thread. */
static struct store *store_new(void *ctx, struct loop *loop)
{
    struct run *r = ctx;
    struct store *s;
    enum err e = r->alone ? store_remote_new(loop, str_of(r->address), str_of(r->name), &s)
                          : store_local_new(data_role_keeper(r->store), loop, KEEPER_ALL, &s);
    return e == ERR_OK ? s : NULL;
}

/* --- start, in this order --- */

static enum err start_store(struct run *r, const struct snapshot *snap)
{
    char why[KEEPER_WHY];
    struct data_options o = {.data = r->data, .engine = snap->engine};
    if (r->alone) return ERR_OK;
    enum err e = data_role_start(&o, NULL, &r->store, why);
    if (e != ERR_OK) fprintf(stderr, "sallyport: %s\n", why[0] ? why : err_name(e));
    return e;
}

static bool authentication_here(void *ctx, struct authentication_counts *counts, bool *ready)
{
    const struct run *r = ctx;
    if (!r->authentication) return false;
    authentication_role_counts(r->authentication, counts);
    *ready = authentication_role_ready(r->authentication);
    return true;
}

static enum err open_administration(struct run *r, struct snapshot *snap)
{
    struct administration_options o = {.chain = r->alone ? "gateway" : "run",
                                       .data = r->data,
                                       .seal = &r->seal,
                                       .sealing = !r->alone,
                                       .store_new = store_new,
                                       .keeper = r->alone ? NULL : data_role_keeper(r->store),
                                       .authentication = r->alone ? NULL : authentication_here,
                                       .ctx = r};
    enum err e = administration_open(&o, &r->administration);
    if (e == ERR_OK) administration_snapshot(r->administration, snap);
    return e;
}

static enum err start_authentication(struct run *r, struct snapshot *snap)
{
    if (r->alone || !snap->authentication.on) return ERR_OK;
    struct authentication_role_options o = {.snapshot = snap,
                                            .seal = &r->seal,
                                            .audit = administration_audit(r->administration),
                                            .store_new = store_new,
                                            .ctx = r};
    enum err e = authentication_role_start(&o, &r->authentication);
    if (e != ERR_OK)
        fprintf(stderr, "sallyport: the Authentication Service at %s/" AUTHENTICATION_SOCKET ": %s\n", r->data,
                e == ERR_CONFLICT ? "another process answers there"
                : e == ERR_LIMIT  ? "the path is too long: choose a shorter `data`"
                                  : err_name(e));
    return e;
}

static enum err on_loaded(struct gateway *g, struct snapshot *snap, void *ctx)
{
    struct run *r = ctx;
    if (!snap->fed) return ERR_OK;
    if (!r->alone && (snap->store_socket.n || snap->authentication_socket.n)) {
        fprintf(stderr, "sallyport: `store.socket` and `authentication.socket` are other processes': start `sallyport "
                        "gateway`, or take them out\n");
        return ERR_CONFLICT;
    }
    enum err e = child_await_turn(); /* the store, the record and the service: one process at a time */
    if (e != ERR_OK) return e;
    if (snap->data.n >= sizeof r->data) return ERR_LIMIT;
    memcpy(r->data, snap->data.p, snap->data.n);
    if (snap->store_socket.n)
        snprintf(r->address, sizeof r->address, "unix:%.*s", STR_ARG(snap->store_socket));
    else
        snprintf(r->address, sizeof r->address, "unix:%s/" DATA_SOCKET, r->data);
    snprintf(r->name, sizeof r->name, "gateway/%ld", (long)getpid());
    e = seal_key_load(snap, &r->seal);
    if (e == ERR_OK) e = start_store(r, snap);
    if (e == ERR_OK) e = open_administration(r, snap);
    if (e == ERR_OK) e = start_authentication(r, snap);
    if (e == ERR_OK) e = administration_start(r->administration, gateway_loop(g));
    return e;
}

/* --- while it runs --- */

static void on_snapshot(struct snapshot *snap, void *ctx)
{
    struct run *r = ctx;
    char generation[32];
    int n = snprintf(generation, sizeof generation, "generation %llu", (unsigned long long)snap->generation);
    if (r->administration) administration_snapshot(r->administration, snap);
    audit_event(administration_audit(r->administration),
                &(struct audit_record){.event = AUDIT_CONFIGURATION, .detail = str_make(generation, (size_t)n)});
    if (r->authentication && authentication_role_reload(r->authentication, snap) != ERR_OK)
        log_event(LOG_LEVEL_ERROR, log_msg("the Authentication Service keeps its old configuration: no memory"));
}

static void on_ready(struct gateway *g, void *ctx)
{
    struct run *r = ctx;
    if (r->administration && administration_follow(r->administration, gateway_rings, g) != ERR_OK)
        log_event(LOG_LEVEL_ERROR, log_msg("refusals are not recorded: no memory"));
    if (r->caller.on_ready) r->caller.on_ready(g, r->caller.ctx);
}

static void metrics(void *ctx, struct buf *out)
{
    struct run *r = ctx;
    if (r->store) data_role_metrics(r->store, out);
    if (r->authentication) authentication_role_metrics(r->authentication, out);
    administration_metrics(r->administration, out);
}

static bool extra(void *ctx, const struct control_peer *peer, const struct request *request, str body,
                  struct control_reply *reply)
{
    struct run *r = ctx;
    return administration_extra(r->administration, peer, request, body, reply);
}

static void extra_cancel(void *ctx, struct control_reply *reply, void *waiting)
{
    struct run *r = ctx;
    administration_cancel(r->administration, reply, waiting);
}

/* --- a user to try things with --- */

struct new_user {
    struct store_job job;
    struct store_op op;
    struct record_key key;
    struct buf value;
};

static void on_user(struct store_job *job)
{
    struct new_user *u = CONTAINER_OF(job, struct new_user, job);
    if (job->err != ERR_OK)
        log_event(LOG_LEVEL_ERROR, log_msg("the throw-away user could not be made"),
                  log_str("error", str_of(err_name(job->err))));
    store_job_clear(job);
    buf_free(&u->value);
    free(u);
}

enum err run_throw_away_user(struct gateway *g, str name, str password, str role)
{
    struct run *r = gateway_ctx(g);
    struct new_user *u = calloc(1, sizeof *u);
    char hash[PASSWORD_HASH_MAX];
    uint64_t now_ms = clock_wall_ms();
    struct store *store = administration_store(r->administration);
    if (!u) return ERR_NO_MEMORY;
    buf_init(&u->value, RECORD_MAX);
    enum err e = password_hash(password, (struct password_cost){(size_t)19 << 20, 2}, hash);
    struct user_record user = {.sub = name,
                               .password = str_of(hash),
                               .roles = &role,
                               .n_roles = 1,
                               .created_ms = now_ms,
                               .changed_ms = now_ms,
                               .password_ms = now_ms};
    if (e == ERR_OK) e = user_record_put(&u->value, &user);
    secret_wipe(hash, sizeof hash);
    if (e != ERR_OK) {
        buf_free(&u->value);
        free(u);
        return e;
    }
    u->op = (struct store_op){.verb = STORE_PUT,
                              .key = user_record_key(&u->key, user_base_default, name),
                              .value = buf_str(&u->value)};
    u->job =
        (struct store_job){.kind = STORE_BATCH, .space = STORE_IDENTITY, .ops = &u->op, .n_ops = 1, .done = on_user};
    store_submit(store, &u->job);
    return ERR_OK;
}

/* --- the end, the other way round --- */

static void close_all(struct run *r)
{
    administration_stop(r->administration);
    authentication_role_stop(&r->authentication);
    administration_close(&r->administration);
    data_role_stop(&r->store);
}

static void on_hand_over(void *ctx)
{
    close_all(ctx);
}

static void on_unload(void *ctx)
{
    struct run *r = ctx;
    close_all(r);
    seal_wipe(&r->seal);
}

static void on_stop(void *ctx)
{
    struct run *r = ctx;
    if (r->caller.on_stop) r->caller.on_stop(r->caller.ctx);
}

static int serve(void *ctx)
{
    return gateway_run(ctx);
}

static int start(const struct gateway_options *options, bool alone)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r) return 1;
    r->caller = *options;
    r->alone = alone;
    struct gateway_options o = *options;
    o.on_ready = on_ready;
    o.on_stop = on_stop;
    o.on_loaded = on_loaded;
    o.on_snapshot = on_snapshot;
    o.on_unload = on_unload;
    o.on_hand_over = on_hand_over;
    o.store_new = store_new;
    o.metrics = metrics;
    o.extra = extra;
    o.extra_cancel = extra_cancel;
    o.ctx = r;
    struct supervisor_options s = {.bundle = {.role = alone ? BUNDLE_GATEWAY : BUNDLE_RUN,
                                              .config_path = o.config_path,
                                              .text = o.text,
                                              .text_dir = o.text_dir,
                                              .overrides = o.overrides},
                                   .no_sandbox = o.no_sandbox,
                                   .next_port = o.next_port,
                                   .same_image = o.same_image,
                                   .serve = serve,
                                   .ctx = &o};
    int code = supervisor_run(&s);
    free(r);
    return code;
}

int run_roles(const struct gateway_options *options)
{
    return start(options, false);
}

int run_gateway_role(const struct gateway_options *options)
{
    return start(options, true);
}
