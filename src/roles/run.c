#include "roles/run.h"

#include "audit/audit.h"
#include "net/offload.h"
#include "roles/authentication.h"
#include "roles/data.h"
#include "roles/refusals.h"
#include "roles/seal_key.h"
#include "services/admin.h"
#include "store/local.h"

#include <stdlib.h>

#define ADMIN_THREADS 2
#define ADMIN_QUEUE   64

struct run {
    struct gateway_options caller;
    struct gateway *gateway;
    struct snapshot *snap; /* in force; borrowed from the gateway */
    char data[4096];
    struct seal seal;
    struct data_role *store;
    struct audit *audit;
    struct authentication_role *authentication;
    struct offload *pool;
    struct store *admin_store;
    struct admin *admin;
    struct refusals *refusals;
};

/* A client of the store for whoever lives in this process; any thread. */
static struct store *store_new(void *ctx, struct loop *loop)
{
    struct run *r = ctx;
    struct store *s;
    return store_local_new(data_role_keeper(r->store), loop, KEEPER_ALL, &s) == ERR_OK ? s : NULL;
}

/* --- start, in this order --- */

static enum err start_store(struct run *r, const struct snapshot *snap)
{
    char why[KEEPER_WHY];
    struct data_options o = {.data = r->data, .engine = snap->engine};
    enum err e = data_role_start(&o, NULL, &r->store, why);
    if (e != ERR_OK) fprintf(stderr, "sallyport: %s\n", why[0] ? why : err_name(e));
    return e;
}

static enum err start_audit(struct run *r)
{
    unsigned char key[ADMIN_AUDIT_KEY_LEN];
    char folder[sizeof r->data + sizeof "/" ADMIN_AUDIT_FOLDER];
    enum audit_fault fault = AUDIT_FAULT_NONE;
    admin_audit_key(&r->seal, key);
    snprintf(folder, sizeof folder, "%s/" ADMIN_AUDIT_FOLDER, r->data);
    struct audit_options o = {.folder = folder,
                              .chain = "run",
                              .key = str_make((const char *)key, sizeof key),
                              .store_new = store_new,
                              .ctx = r};
    enum err e = audit_open(&o, &r->audit, &fault);
    secret_wipe(key, sizeof key);
    if (e != ERR_OK) fprintf(stderr, "sallyport: the audit record in %s: %s\n", folder, audit_fault_text(fault));
    return e;
}

static enum err start_authentication(struct run *r, struct snapshot *snap)
{
    if (!snap->authentication.on) return ERR_OK;
    struct authentication_role_options o = {.snapshot = snap,
                                            .seal = &r->seal,
                                            .audit = r->audit,
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

static const struct snapshot *snapshot_now(void *ctx)
{
    return ((struct run *)ctx)->snap;
}

static bool authentication_here(void *ctx, struct authentication_counts *counts, bool *ready)
{
    const struct run *r = ctx;
    if (!r->authentication) return false;
    authentication_role_counts(r->authentication, counts);
    *ready = authentication_role_ready(r->authentication);
    return true;
}

static enum err start_admin(struct run *r)
{
    r->pool = offload_new(ADMIN_THREADS, ADMIN_QUEUE);
    r->admin_store = r->pool ? store_new(r, gateway_loop(r->gateway)) : NULL;
    if (!r->admin_store) return ERR_NO_MEMORY;
    struct admin_options o = {.loop = gateway_loop(r->gateway),
                              .store = r->admin_store,
                              .keeper = data_role_keeper(r->store),
                              .seal = &r->seal,
                              .audit = r->audit,
                              .pool = r->pool,
                              .data = r->data,
                              .snapshot = snapshot_now,
                              .authentication = authentication_here,
                              .ctx = r};
    return admin_new(&o, &r->admin);
}

static enum err on_loaded(struct gateway *g, struct snapshot *snap, void *ctx)
{
    struct run *r = ctx;
    r->gateway = g;
    r->snap = snap;
    if (!snap->fed) return ERR_OK;
    if (snap->data.n >= sizeof r->data) return ERR_LIMIT;
    memcpy(r->data, snap->data.p, snap->data.n);
    enum err e = seal_key_load(snap, &r->seal);
    if (e == ERR_OK) e = start_store(r, snap);
    if (e == ERR_OK) e = start_audit(r);
    if (e == ERR_OK) e = start_authentication(r, snap);
    if (e == ERR_OK) e = start_admin(r);
    return e;
}

/* --- while it runs --- */

static void on_snapshot(struct snapshot *snap, void *ctx)
{
    struct run *r = ctx;
    r->snap = snap;
    if (r->authentication && authentication_role_reload(r->authentication, snap) != ERR_OK)
        log_event(LOG_LEVEL_ERROR, log_msg("the Authentication Service keeps its old configuration: no memory"));
}

static void on_ready(struct gateway *g, void *ctx)
{
    struct run *r = ctx;
    if (r->audit && refusals_new(gateway_loop(g), r->audit, gateway_rings, g, &r->refusals) != ERR_OK)
        log_event(LOG_LEVEL_ERROR, log_msg("refusals are not recorded: no memory"));
    if (r->caller.on_ready) r->caller.on_ready(g, r->caller.ctx);
}

static void metrics(void *ctx, struct buf *out)
{
    struct run *r = ctx;
    if (r->store) data_role_metrics(r->store, out);
    if (r->authentication) authentication_role_metrics(r->authentication, out);
    if (r->audit) audit_metrics(r->audit, out);
}

static bool extra(void *ctx, const struct control_peer *peer, const struct request *request, str body,
                  struct control_reply *reply)
{
    struct run *r = ctx;
    return r->admin && admin_handle(r->admin, peer, request, body, reply);
}

static void extra_cancel(void *ctx, struct control_reply *reply, void *waiting)
{
    struct run *r = ctx;
    admin_cancel(r->admin, reply, waiting);
}

/* --- the end, the other way round --- */

/* The loop still turns, and nobody asks any more. */
static void on_unload(void *ctx)
{
    struct run *r = ctx;
    refusals_free(&r->refusals);
    admin_free(&r->admin);
    store_free(&r->admin_store);
    offload_free(&r->pool);
    authentication_role_stop(&r->authentication);
    audit_close(&r->audit);
    data_role_stop(&r->store);
    seal_wipe(&r->seal);
}

static void on_stop(void *ctx)
{
    struct run *r = ctx;
    if (r->caller.on_stop) r->caller.on_stop(r->caller.ctx);
}

int run_roles(const struct gateway_options *options)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r) return 1;
    r->caller = *options;
    struct gateway_options o = *options;
    o.on_ready = on_ready;
    o.on_stop = on_stop;
    o.on_loaded = on_loaded;
    o.on_snapshot = on_snapshot;
    o.on_unload = on_unload;
    o.store_new = store_new;
    o.metrics = metrics;
    o.extra = extra;
    o.extra_cancel = extra_cancel;
    o.ctx = r;
    int code = gateway_run(&o);
    free(r);
    return code;
}
