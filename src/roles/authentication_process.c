/* `sallyport authentication`: the role as a process of its own. Its store is that of the data role at its socket in the
 * data folder; its part of the audit record is the chain "authentication". */
#include "audit/audit.h"
#include "roles/authentication.h"
#include "roles/data.h"
#include "roles/process.h"
#include "roles/seal_key.h"
#include "services/admin.h"
#include "store/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_MS 50 /* how often it is looked whether everything has ended */

struct authentication_process {
    struct authentication *service;
    struct process *process;
    struct seal seal;
    struct audit *audit;
    struct timer look;
    char address[4200], name[STORE_NAME_MAX];
};

static struct store *store_at_socket(void *ctx, struct loop *loop)
{
    struct authentication_process *a = ctx;
    struct store *s;
    return store_remote_new(loop, str_of(a->address), str_of(a->name), &s) == ERR_OK ? s : NULL;
}

static enum err open_audit(struct authentication_process *a, const char *data)
{
    unsigned char key[ADMIN_AUDIT_KEY_LEN];
    char folder[4200];
    enum audit_fault fault = AUDIT_FAULT_NONE;
    admin_audit_key(&a->seal, key);
    snprintf(folder, sizeof folder, "%s/audit", data);
    struct audit_options o = {.folder = folder,
                              .chain = "authentication",
                              .key = str_make((const char *)key, sizeof key),
                              .store_new = store_at_socket,
                              .ctx = a};
    enum err e = audit_open(&o, &a->audit, &fault);
    secret_wipe(key, sizeof key);
    if (e != ERR_OK) fprintf(stderr, "sallyport: the audit record in %s: %s\n", folder, audit_fault_text(fault));
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
    snprintf(a->address, sizeof a->address, "unix:%s/" DATA_SOCKET, process_data(p));
    snprintf(a->name, sizeof a->name, "authentication/%ld", (long)getpid());
    enum err e = seal_key_load(snap, &a->seal);
    if (e == ERR_OK) e = open_audit(a, process_data(p));
    if (e != ERR_OK) return e;
    struct store *store = store_at_socket(a, process_loop(p));
    struct authentication_options o = {.loop = process_loop(p),
                                       .snapshot = snap,
                                       .store = store,
                                       .seal = &a->seal,
                                       .audit = a->audit};
    e = store ? authentication_new(&o, &a->service) : ERR_NO_MEMORY;
    if (e != ERR_OK) {
        store_free(&store);
        fprintf(stderr, "sallyport: %s/" AUTHENTICATION_SOCKET ": %s\n", process_data(p),
                e == ERR_CONFLICT ? "another process answers there" : err_name(e));
    }
    return e;
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
    authentication_free(&a->service);
    audit_close(&a->audit);
    seal_wipe(&a->seal);
}

static enum err reload(struct process *p, void *ctx, const struct config *config, struct snapshot *snap,
                       struct diags *d)
{
    struct authentication_process *a = ctx;
    (void)p;
    (void)config;
    (void)d;
    return snap->authentication.on ? authentication_reload(a->service, snap) : ERR_UNSUPPORTED;
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
}

static str listeners(void *ctx, struct arena *mem)
{
    const struct authentication_process *a = ctx;
    return arena_printf(mem, "authentication unix:%s/" AUTHENTICATION_SOCKET, process_data(a->process));
}

int authentication_role_run(const struct process_options *process)
{
    static const struct process_role role = {.name = "authentication",
                                             .socket = "authentication-cli.sock",
                                             .snapshot = true,
                                             .start = start,
                                             .drain = drain,
                                             .stop = stop,
                                             .reload = reload,
                                             .checks = checks,
                                             .metrics = metrics,
                                             .listeners = listeners};
    struct authentication_process *a = calloc(1, sizeof *a);
    if (!a) return 1;
    int code = process_run(&role, a, process);
    free(a);
    return code;
}
