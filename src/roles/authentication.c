#include "roles/authentication.h"

#include "base/log.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#define DRAIN_MS 5000
#define LOOK_MS  50 /* how often it is looked whether everything has ended */

struct authentication_role {
    struct authentication_role_options o;
    struct snapshot *snapshot;
    struct loop *loop;
    struct authentication *service;
    struct log_producer *log;
    pthread_t thread;
    sem_t started;
    enum err err; /* of the start */
    struct mail stop;
    struct timer look;
    uint64_t give_up_ms;
    atomic_bool ready;
};

static void on_turn_end(void *owner)
{
    struct authentication_role *r = owner;
    atomic_store_explicit(&r->ready, r->service && authentication_ready(r->service), memory_order_relaxed);
    if (r->log) log_turn(r->log);
}

static enum err open_service(struct authentication_role *r)
{
    r->log = r->snapshot->log_access ? log_attach() : NULL;
    struct store *store = r->o.store_new(r->o.ctx, r->loop);
    if (!store) return ERR_NO_MEMORY;
    struct authentication_options o = {.loop = r->loop,
                                       .snapshot = r->snapshot,
                                       .store = store,
                                       .seal = r->o.seal,
                                       .audit = r->o.audit,
                                       .log = r->log};
    enum err e = authentication_new(&o, &r->service);
    if (e != ERR_OK) store_free(&store);
    return e;
}

static void *serve(void *arg)
{
    struct authentication_role *r = arg;
    log_set_role("authentication");
    r->err = open_service(r);
    bool good = r->err == ERR_OK;
    if (!good)
        log_event(LOG_LEVEL_ERROR, log_msg("the Authentication Service cannot start"),
                  log_str("error", str_of(err_name(r->err))));
    sem_post(&r->started); /* of a start that failed nothing is touched behind it but by the join */
    if (good) {
        loop_run(r->loop);
        loop_on_turn_end(r->loop, NULL); /* it asks a service that is on its way out */
        authentication_free(&r->service);
    }
    if (r->log) log_detach();
    return NULL;
}

static void role_free(struct authentication_role *r)
{
    snapshot_unref(&r->snapshot);
    loop_free(&r->loop);
    sem_destroy(&r->started);
    free(r);
}

enum err authentication_role_start(const struct authentication_role_options *o, struct authentication_role **out)
{
    struct authentication_role *r = calloc(1, sizeof *r);
    if (!r) return ERR_NO_MEMORY;
    r->o = *o;
    r->loop = loop_new(r);
    if (!r->loop || sem_init(&r->started, 0, 0) != 0) {
        loop_free(&r->loop);
        free(r);
        return ERR_NO_MEMORY;
    }
    r->snapshot = snapshot_ref(o->snapshot);
    loop_on_turn_end(r->loop, on_turn_end);
    if (pthread_create(&r->thread, NULL, serve, r) != 0) {
        role_free(r);
        return ERR_NO_MEMORY;
    }
    while (sem_wait(&r->started) != 0) {
    } /* a signal */
    enum err e = r->err;
    if (e == ERR_OK) {
        *out = r;
        return ERR_OK;
    }
    pthread_join(r->thread, NULL);
    role_free(r);
    return e;
}

struct reload {
    struct mail mail;
    struct authentication_role *role;
    struct snapshot *snapshot;
};

static void on_reload(struct mail *m, void *owner)
{
    struct reload *l = CONTAINER_OF(m, struct reload, mail);
    (void)owner;
    if (l->role->service && authentication_reload(l->role->service, l->snapshot) != ERR_OK)
        log_event(LOG_LEVEL_ERROR, log_msg("the Authentication Service kept a part of its old settings"));
    snapshot_unref(&l->snapshot);
    free(l);
}

enum err authentication_role_reload(struct authentication_role *r, struct snapshot *snapshot)
{
    struct reload *l = calloc(1, sizeof *l);
    if (!l) return ERR_NO_MEMORY;
    *l = (struct reload){.mail = {.on_mail = on_reload}, .role = r, .snapshot = snapshot_ref(snapshot)};
    mail_post(r->loop, &l->mail);
    return ERR_OK;
}

static void on_look(struct timer *t)
{
    struct authentication_role *r = CONTAINER_OF(t, struct authentication_role, look);
    if (authentication_idle(r->service) || loop_now_ms(r->loop) >= r->give_up_ms)
        loop_stop(r->loop);
    else
        timer_set(r->loop, &r->look, loop_now_ms(r->loop) + LOOK_MS);
}

static void on_stop(struct mail *m, void *owner)
{
    struct authentication_role *r = CONTAINER_OF(m, struct authentication_role, stop);
    (void)owner;
    authentication_drain(r->service);
    r->give_up_ms = loop_now_ms(r->loop) + DRAIN_MS;
    r->look.on_time = on_look;
    on_look(&r->look);
}

void authentication_role_stop(struct authentication_role **out)
{
    struct authentication_role *r = *out;
    if (!r) return;
    r->stop.on_mail = on_stop;
    mail_post(r->loop, &r->stop);
    pthread_join(r->thread, NULL);
    role_free(r);
    *out = NULL;
}

bool authentication_role_ready(const struct authentication_role *r)
{
    return atomic_load_explicit(&r->ready, memory_order_relaxed);
}

void authentication_role_metrics(const struct authentication_role *r, struct buf *out)
{
    authentication_metrics(r->service, out);
}

void authentication_role_counts(const struct authentication_role *r, struct authentication_counts *out)
{
    authentication_count(r->service, out);
}
