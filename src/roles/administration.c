#include "roles/administration.h"

#include "audit/audit.h"
#include "config/snapshot.h"
#include "crypto/secret.h"
#include "net/offload.h"
#include "roles/refusals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { POOL_THREADS = 2, POOL_QUEUE = 64 };

struct administration {
    struct administration_options o;
    char data[4096];
    struct audit *audit;
    struct admin *admin;
    struct store *store;
    struct offload *pool;
    struct loop *loop;
    struct snapshot *snap;
    struct refusals *refusals;
};

/* --- the record --- */

static enum err open_record(struct administration *a, const char *chain)
{
    char folder[4200];
    unsigned char key[ADMIN_AUDIT_KEY_LEN];
    enum audit_fault fault = AUDIT_FAULT_NONE;
    (void)snprintf(folder, sizeof folder, "%s/" ADMIN_AUDIT_FOLDER, a->data);
    admin_audit_key(a->o.seal, key);
    struct audit_options o = {.folder = folder,
                              .chain = chain,
                              .key = str_make((const char *)key, sizeof key),
                              .store_new = a->o.store_new,
                              .ctx = a->o.ctx};
    errno = 0;
    enum err e = audit_open(&o, &a->audit, &fault);
    int why = errno;
    secret_wipe(key, sizeof key);
    if (e != ERR_OK)
        fprintf(stderr, "sallyport: the audit record %s (%s): %s%s%s\n", folder, chain, audit_fault_text(fault),
                e == ERR_IO && why ? ": " : "", e == ERR_IO && why ? strerror(why) : "");
    return e;
}

enum err administration_open(const struct administration_options *o, struct administration **out)
{
    struct administration *a = calloc(1, sizeof *a);
    if (!a) return ERR_NO_MEMORY;
    a->o = *o;
    (void)snprintf(a->data, sizeof a->data, "%s", o->data);
    a->o.data = a->data;
    enum err e = open_record(a, o->chain);
    a->o.chain = NULL; /* the caller's */
    if (e != ERR_OK) {
        free(a);
        return e;
    }
    *out = a;
    return ERR_OK;
}

struct audit *administration_audit(struct administration *a)
{
    return a ? a->audit : NULL;
}

void administration_close(struct administration **out)
{
    struct administration *a = *out;
    if (!a) return;
    *out = NULL;
    administration_stop(a);
    audit_close(&a->audit);
    snapshot_unref(&a->snap);
    free(a);
}

/* --- the administration --- */

void administration_snapshot(struct administration *a, struct snapshot *snap)
{
    snapshot_unref(&a->snap);
    if (snap) a->snap = snapshot_ref(snap);
}

static const struct snapshot *snapshot_now(void *ctx)
{
    const struct administration *a = ctx;
    return a->snap;
}

static bool authentication_now(void *ctx, struct authentication_counts *counts, bool *ready)
{
    struct administration *a = ctx;
    return a->o.authentication(a->o.ctx, counts, ready);
}

enum err administration_start(struct administration *a, struct loop *loop)
{
    a->loop = loop;
    a->store = a->o.store_new(a->o.ctx, loop);
    a->pool = offload_new(POOL_THREADS, POOL_QUEUE);
    struct admin_options o = {.loop = loop,
                              .store = a->store,
                              .keeper = a->o.keeper,
                              .seal = a->o.sealing ? a->o.seal : NULL,
                              .record_seal = a->o.seal,
                              .audit = a->audit,
                              .pool = a->pool,
                              .data = a->data,
                              .snapshot = snapshot_now,
                              .authentication = a->o.authentication ? authentication_now : NULL,
                              .ctx = a};
    return a->store && a->pool ? admin_new(&o, &a->admin) : ERR_NO_MEMORY;
}

struct store *administration_store(struct administration *a)
{
    return a->store;
}

void administration_stop(struct administration *a)
{
    if (!a) return;
    refusals_free(&a->refusals);
    offload_free(&a->pool);
    admin_free(&a->admin);
    store_free(&a->store);
    a->loop = NULL;
}

bool administration_extra(struct administration *a, const struct control_peer *peer, const struct request *request,
                          str body, struct control_reply *reply)
{
    return a && a->admin && admin_handle(a->admin, peer, request, body, reply);
}

void administration_cancel(struct administration *a, struct control_reply *reply, void *waiting)
{
    if (a && a->admin) admin_cancel(a->admin, reply, waiting);
}

/* --- denials --- */

enum err administration_follow(struct administration *a, size_t (*rings)(void *ctx, const struct decision_ring **out),
                               void *ctx)
{
    return refusals_new(a->loop, a->audit, rings, ctx, &a->refusals);
}

void administration_metrics(const struct administration *a, struct buf *out)
{
    if (a) audit_metrics(a->audit, out);
}
