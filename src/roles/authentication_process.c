/* `sallyport authentication`: the role as a process of its own. Its store is that of the data role at its socket in the
 * data folder; its part of the audit record is the chain "authentication". */
#include "roles/administration.h"
#include "roles/authentication.h"
#include "roles/data.h"
#include "roles/process.h"
#include "roles/seal_key.h"
#include "store/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_MS 50 /* how often it is looked whether everything has ended */

struct authentication_process {
    struct authentication *service;
    struct process *process;
    struct seal seal;
    struct administration *administration;
    struct timer look;
    char address[4200], name[STORE_NAME_MAX];
};

static struct store *store_at_socket(void *ctx, struct loop *loop)
{
    struct authentication_process *a = ctx;
    struct store *s;
    return store_remote_new(loop, str_of(a->address), str_of(a->name), &s) == ERR_OK ? s : NULL;
}

static bool counts_now(void *ctx, struct authentication_counts *counts, bool *ready)
{
    const struct authentication_process *a = ctx;
    if (!a->service) return false;
    authentication_count(a->service, counts);
    *ready = authentication_ready(a->service);
    return true;
}

static enum err open_administration(struct authentication_process *a, struct process *p)
{
    struct administration_options o = {.chain = "authentication",
                                       .data = process_data(p),
                                       .seal = &a->seal,
                                       .sealing = true,
                                       .store_new = store_at_socket,
                                       .authentication = counts_now,
                                       .ctx = a};
    enum err e = administration_open(&o, &a->administration);
    if (e == ERR_OK) administration_snapshot(a->administration, process_snapshot(p));
    return e;
}

static enum err start(struct process *p, void *ctx)
{
    struct authentication_process *a = ctx;
    struct snapshot *snap = process_snapshot(p);
    a->process = p;
    if (!snap->authentication.on) {
        fprintf(stderr, "sallyport: the configuration has no section `authentication`\n");
        return ERR_NOT_FOUND;
    }
    if (snap->store_socket.n)
        snprintf(a->address, sizeof a->address, "unix:%.*s", STR_ARG(snap->store_socket));
    else
        snprintf(a->address, sizeof a->address, "unix:%s/" DATA_SOCKET, process_data(p));
    snprintf(a->name, sizeof a->name, "authentication/%ld", (long)getpid());
    enum err e = seal_key_load(snap, &a->seal);
    if (e == ERR_OK) e = open_administration(a, p);
    if (e != ERR_OK) return e;
    struct store *store = store_at_socket(a, process_loop(p));
    struct authentication_options o = {.loop = process_loop(p),
                                       .snapshot = snap,
                                       .store = store,
                                       .seal = &a->seal,
                                       .audit = administration_audit(a->administration)};
    e = store ? authentication_new(&o, &a->service) : ERR_NO_MEMORY;
    if (e != ERR_OK) {
        store_free(&store);
        fprintf(stderr, "sallyport: %s/" AUTHENTICATION_SOCKET ": %s\n", process_data(p),
                e == ERR_CONFLICT ? "another process answers there" : err_name(e));
        return e;
    }
    return administration_start(a->administration, process_loop(p));
}

static void on_process_look(struct timer *t)
{
    struct authentication_process *a = CONTAINER_OF(t, struct authentication_process, look);
    struct loop *loop = process_loop(a->process);
    if (!a->service || authentication_idle(a->service))
        process_end(a->process);
    else
        timer_set(loop, &a->look, loop_now_ms(loop) + LOOK_MS);
}

static void drain(struct process *p, void *ctx)
{
    struct authentication_process *a = ctx;
    (void)p;
    if (a->service) authentication_drain(a->service);
    a->look.on_time = on_process_look;
    on_process_look(&a->look);
}

static void stop(struct process *p, void *ctx)
{
    struct authentication_process *a = ctx;
    timer_clear(process_loop(p), &a->look);
    administration_stop(a->administration);
    authentication_free(&a->service);
    administration_close(&a->administration);
    seal_wipe(&a->seal);
}

static enum err reload(struct process *p, void *ctx, const struct config *config, struct snapshot *snap,
                       struct diags *d)
{
    struct authentication_process *a = ctx;
    (void)p;
    (void)config;
    if (!snap->authentication.on)
        diag_add(d, DIAG_ERROR, "needs_restart", (struct config_pos){0}, 0,
                 STR("end the role, or take the change back"),
                 "the section authentication is gone while the Authentication Service runs");
    enum err e = snap->authentication.on ? authentication_reload(a->service, snap) : ERR_UNSUPPORTED;
    if (e == ERR_OK) administration_snapshot(a->administration, snap);
    return e;
}

static size_t checks(void *ctx, struct arena *mem, struct control_check *out)
{
    struct authentication_process *a = ctx;
    bool ready = a->service && authentication_ready(a->service);
    (void)mem;
    out[0] = (struct control_check){"signing_key", ready,
                                    ready ? STR_NONE : STR("no key signs yet, or the store does not answer")};
    return 1;
}

static void metrics(void *ctx, struct buf *out)
{
    const struct authentication_process *a = ctx;
    if (a->service) authentication_metrics(a->service, out);
    administration_metrics(a->administration, out);
}

static bool extra(void *ctx, const struct control_peer *peer, const struct request *request, str body,
                  struct control_reply *reply)
{
    struct authentication_process *a = ctx;
    return administration_extra(a->administration, peer, request, body, reply);
}

static void extra_cancel(void *ctx, struct control_reply *reply, void *waiting)
{
    struct authentication_process *a = ctx;
    administration_cancel(a->administration, reply, waiting);
}

static str listeners(void *ctx, struct arena *mem)
{
    const struct authentication_process *a = ctx;
    return arena_printf(mem, "authentication unix:%s/" AUTHENTICATION_SOCKET, process_data(a->process));
}

int authentication_role_run(const struct process_options *process)
{
    static const struct process_role role = {.name = "authentication",
                                             .socket = AUTHENTICATION_CLI_SOCKET,
                                             .kind = BUNDLE_AUTHENTICATION,
                                             .snapshot = true,
                                             .start = start,
                                             .drain = drain,
                                             .stop = stop,
                                             .reload = reload,
                                             .checks = checks,
                                             .metrics = metrics,
                                             .listeners = listeners,
                                             .extra = extra,
                                             .extra_cancel = extra_cancel};
    struct authentication_process *a = calloc(1, sizeof *a);
    if (!a) return 1;
    int code = process_run(&role, a, process);
    free(a);
    return code;
}
