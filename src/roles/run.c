#include "roles/run.h"

#include "base/log.h"
#include "roles/authentication.h"
#include "roles/data.h"
#include "roles/seal_key.h"
#include "store/local.h"

#include <stdlib.h>

struct run {
    struct gateway_options caller;
    char data[4096];
    struct seal seal;
    struct data_role *store;
    struct authentication_role *authentication;
};

static struct store *store_new(void *ctx, struct loop *loop)
{
    struct run *r = ctx;
    struct store *s;
    return store_local_new(data_role_keeper(r->store), loop, KEEPER_ALL, &s) == ERR_OK ? s : NULL;
}

static enum err start_store(struct run *r, const struct snapshot *snap)
{
    char why[KEEPER_WHY];
    struct data_options o = {.data = r->data, .engine = snap->engine};
    enum err e = data_role_start(&o, NULL, &r->store, why);
    if (e != ERR_OK) fprintf(stderr, "sallyport: %s\n", why[0] ? why : err_name(e));
    return e;
}

static enum err start_authentication(struct run *r, struct snapshot *snap)
{
    if (!snap->authentication.on) return ERR_OK;
    struct authentication_role_options o = {.snapshot = snap, .seal = &r->seal, .store_new = store_new, .ctx = r};
    enum err e = authentication_role_start(&o, &r->authentication);
    if (e != ERR_OK)
        fprintf(stderr, "sallyport: %s/" AUTHENTICATION_SOCKET ": %s\n", r->data,
                e == ERR_CONFLICT ? "another process answers there" : err_name(e));
    return e;
}

static enum err on_loaded(struct gateway *g, struct snapshot *snap, void *ctx)
{
    struct run *r = ctx;
    (void)g;
    if (!snap->fed) return ERR_OK;
    if (snap->data.n >= sizeof r->data) return ERR_LIMIT;
    memcpy(r->data, snap->data.p, snap->data.n);
    enum err e = seal_key_load(snap, &r->seal);
    if (e == ERR_OK) e = start_store(r, snap);
    if (e == ERR_OK) e = start_authentication(r, snap);
    return e;
}

static void on_unload(void *ctx)
{
    struct run *r = ctx;
    authentication_role_stop(&r->authentication);
    data_role_stop(&r->store);
    seal_wipe(&r->seal);
}

static void on_reload(struct snapshot *snap, void *ctx)
{
    struct run *r = ctx;
    if (r->authentication && snap->authentication.on && authentication_role_reload(r->authentication, snap) != ERR_OK)
        log_event(LOG_LEVEL_ERROR, log_msg("the Authentication Service did not hear of the new configuration"));
}

static void on_ready(struct gateway *g, void *ctx)
{
    struct run *r = ctx;
    if (r->caller.on_ready) r->caller.on_ready(g, r->caller.ctx);
}

static void on_stop(void *ctx)
{
    struct run *r = ctx;
    if (r->caller.on_stop) r->caller.on_stop(r->caller.ctx);
}

static void metrics(void *ctx, struct buf *out)
{
    struct run *r = ctx;
    if (r->store) data_role_metrics(r->store, out);
    if (r->authentication) authentication_role_metrics(r->authentication, out);
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
    o.on_unload = on_unload;
    o.on_reload = on_reload;
    o.store_new = store_new;
    o.metrics = metrics;
    o.ctx = r;
    int code = gateway_run(&o);
    free(r);
    return code;
}
