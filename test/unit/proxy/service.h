/* A service of a snapshot and the shared state of its instances, without any configuration, for the tests of this
 * folder. */
#ifndef SALLYPORT_TEST_PROXY_SERVICE_H
#define SALLYPORT_TEST_PROXY_SERVICE_H

#include "unit.h"

#include "base/log.h"
#include "proxy/balance.h"

#define MEMBERS_MAX 400

struct member {
    uint32_t weight;
    bool elsewhere; /* another zone */
    uint16_t priority;
};

struct made_service {
    struct snapshot snap;
    struct snapshot_service service;
    struct snapshot_instance instances[MEMBERS_MAX];
    char text[MEMBERS_MAX][32];
    struct instance_registry *registry;
    struct instance_set *set;
};

static inline void make_service(struct made_service *m, enum balance_kind balance, const struct member *v, uint32_t n,
                                uint64_t now_ms)
{
    log_set_level(LOG_LEVEL_OFF); /* who comes and goes is not news here */
    memset(m, 0, sizeof *m);
    for (uint32_t i = 0; i < n; i++) {
        int len = snprintf(m->text[i], sizeof m->text[i], "10.0.%u.%u:80", i / 250, i % 250);
        m->instances[i] = (struct snapshot_instance){.shown = str_make(m->text[i], (size_t)len),
                                                     .weight = v ? v[i].weight : 1,
                                                     .same_zone = !v || !v[i].elsewhere,
                                                     .priority = v ? v[i].priority : 0};
    }
    m->service = (struct snapshot_service){.name = STR("orders"),
                                           .instances = m->instances,
                                           .n_instances = n,
                                           .balance = balance,
                                           .health = {.on = true},
                                           .eject = {.failures = 5, .base_ms = 10000, .at_most = 50}};
    m->snap.services = &m->service;
    m->snap.n_services = 1;
    assert_err(instance_registry_new(2, &m->registry), ERR_OK);
    assert_err(instance_set_new(m->registry, &m->snap, now_ms, &m->set), ERR_OK);
}

static inline void drop_service(struct made_service *m)
{
    instance_set_unref(&m->set);
    instance_registry_free(&m->registry);
}

#endif
