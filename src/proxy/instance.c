#include "proxy/instance.h"

#include "base/log.h"

#include <stdlib.h>

#define EJECTIONS_MAX  10u      /* what the time of an ejection is multiplied by at most */
#define FLOOR_EVERY_US 333333u  /* three retries a second, */
#define FLOOR_AHEAD_US 1000000u /* and those of a whole second at once */

struct instance_registry {
    pthread_mutex_t lock; /* of both maps and of the counts of their entries */
    struct map services, instances;
    unsigned workers;
};

/* --- the registry --- */

enum err instance_registry_new(unsigned workers, struct instance_registry **out)
{
    struct instance_registry *r = calloc(1, sizeof *r);
    if (!r) return ERR_NO_MEMORY;
    r->workers = workers;
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        free(r);
        return ERR_NO_MEMORY;
    }
    *out = r;
    return ERR_OK;
}

void instance_registry_free(struct instance_registry **out)
{
    struct instance_registry *r = *out;
    if (!r) return;
    map_free(&r->services);
    map_free(&r->instances);
    pthread_mutex_destroy(&r->lock);
    free(r);
    *out = NULL;
}

unsigned instance_registry_workers(const struct instance_registry *r)
{
    return r->workers;
}

/* Zeroed, at the start of a cache line. */
static void *room(size_t size)
{
    size_t whole = (size + 63) & ~(size_t)63;
    void *p = aligned_alloc(64, whole);
    if (p) memset(p, 0, whole);
    return p;
}

static void service_unref(struct instance_registry *r, struct service_state *s)
{
    if (!s || --s->refs > 0) return;
    (void)map_remove(&r->services, s->name);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* *known: others knew it before. NULL: memory. */
static struct service_state *service_find(struct instance_registry *r, str name, bool *known)
{
    struct service_state *s = map_get(&r->services, name);
    *known = s != NULL;
    if (s) {
        s->refs++;
        return s;
    }
    s = room(sizeof *s + name.n);
    if (!s) return NULL;
    memcpy(s + 1, name.p, name.n);
    s->name = str_make((char *)(s + 1), name.n);
    s->refs = 1;
    s->workers = r->workers;
    if (pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s);
        return NULL;
    }
    if (map_put(&r->services, s->name, s, NULL) != ERR_OK) {
        pthread_mutex_destroy(&s->lock);
        free(s);
        return NULL;
    }
    return s;
}

static void instance_unref(struct instance_registry *r, struct instance *i)
{
    if (!i || --i->refs > 0) return;
    (void)map_remove(&r->instances, i->key);
    service_unref(r, i->service);
    free(i);
}

static struct instance *instance_make(const struct instance_registry *r, struct service_state *s, str address)
{
    size_t cells = r->workers * sizeof(struct instance_cell);
    struct instance *i = room(sizeof *i + cells + s->name.n + 1 + address.n);
    if (!i) return NULL;
    char *text = (char *)i->cells + cells;
    memcpy(text, s->name.p, s->name.n);
    text[s->name.n] = ' ';
    memcpy(text + s->name.n + 1, address.p, address.n);
    i->key = str_make(text, s->name.n + 1 + address.n);
    i->text = str_from(i->key, s->name.n + 1);
    i->refs = 1;
    return i;
}

/* An address of a service that is new among known ones joins by a slow start. NULL: memory. */
static struct instance *instance_find(struct instance_registry *r, struct service_state *s, bool known, str address,
                                      uint64_t now_ms)
{
    char key[512];
    if (s->name.n + 1 + address.n > sizeof key) return NULL;
    memcpy(key, s->name.p, s->name.n);
    key[s->name.n] = ' ';
    memcpy(key + s->name.n + 1, address.p, address.n);
    struct instance *i = map_get(&r->instances, str_make(key, s->name.n + 1 + address.n));
    if (i) {
        i->refs++;
        return i;
    }
    i = instance_make(r, s, address);
    if (!i || map_put(&r->instances, i->key, i, NULL) != ERR_OK) {
        free(i);
        return NULL;
    }
    i->service = s;
    s->refs++;
    if (known) atomic_store_explicit(&i->serves_since_ms, now_ms, memory_order_relaxed);
    return i;
}

/* --- sets --- */

static struct instance_set *set_alloc(struct instance_registry *r, const struct snapshot *snap)
{
    size_t n = 0, services = snap->n_services;
    for (uint32_t i = 0; i < snap->n_services; i++) n += snap->services[i].n_instances;
    struct instance_set *s = calloc(1, sizeof *s + (n + services) * sizeof(void *) + (services + 1) * sizeof(uint32_t));
    if (!s) return NULL;
    s->registry = r;
    s->refs = 1;
    s->n_services = snap->n_services;
    s->n = (uint32_t)n;
    s->services = (struct service_state **)(void *)(s->all + n);
    s->first = (uint32_t *)(void *)(s->services + services);
    return s;
}

/* What no longer is checked or judged has no verdict any more. */
static void forget_verdicts(struct instance *i, const struct snapshot_service *from)
{
    bool moved = false;
    if (!from->health.on) moved = atomic_exchange(&i->health, INSTANCE_UNKNOWN) == INSTANCE_DOWN;
    if (!from->eject.failures) moved |= atomic_exchange(&i->ejected_until_ms, 0) != 0;
    if (moved) atomic_fetch_add(&i->service->version, 1);
}

enum err instance_set_new(struct instance_registry *r, const struct snapshot *snap, uint64_t now_ms,
                          struct instance_set **out)
{
    struct instance_set *s = set_alloc(r, snap);
    if (!s) return ERR_NO_MEMORY;
    bool whole = true;
    uint32_t at = 0;
    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < snap->n_services && whole; i++) {
        const struct snapshot_service *from = &snap->services[i];
        bool known;
        s->first[i] = at;
        s->services[i] = service_find(r, from->name, &known);
        whole = s->services[i] != NULL;
        for (uint32_t k = 0; k < from->n_instances && whole; k++, at++) {
            s->all[at] = instance_find(r, s->services[i], known, from->instances[k].shown, now_ms);
            whole = s->all[at] != NULL;
            if (whole) forget_verdicts(s->all[at], from);
        }
    }
    s->first[snap->n_services] = at;
    pthread_mutex_unlock(&r->lock);
    if (!whole) {
        instance_set_unref(&s);
        return ERR_NO_MEMORY;
    }
    *out = s;
    return ERR_OK;
}

struct instance_set *instance_set_ref(struct instance_set *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void instance_set_unref(struct instance_set **out)
{
    struct instance_set *s = *out;
    *out = NULL;
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) return;
    pthread_mutex_lock(&s->registry->lock);
    for (uint32_t i = 0; i < s->n; i++) instance_unref(s->registry, s->all[i]);
    for (uint32_t i = 0; i < s->n_services; i++) service_unref(s->registry, s->services[i]);
    pthread_mutex_unlock(&s->registry->lock);
    free(s);
}

/* --- health and ejection --- */

static void moved(struct instance *i)
{
    atomic_fetch_add_explicit(&i->service->version, 1, memory_order_release);
}

void instance_set_health(struct instance *i, enum instance_health health, uint64_t now_ms)
{
    if (atomic_load_explicit(&i->health, memory_order_relaxed) == health) return;
    uint8_t before = atomic_exchange(&i->health, (uint8_t)health);
    if (before == health) return;
    if (health == INSTANCE_DOWN) {
        log_event(LOG_LEVEL_WARN, log_msg("an instance is down"), log_str("service", i->service->name),
                  log_str("instance", i->text));
    } else if (before == INSTANCE_DOWN) {
        atomic_store(&i->failures, 0);
        atomic_store(&i->ejected_until_ms, 0);
        atomic_store(&i->serves_since_ms, now_ms);
        log_event(LOG_LEVEL_INFO, log_msg("an instance is up again"), log_str("service", i->service->name),
                  log_str("instance", i->text));
    }
    moved(i);
}

bool instance_return(struct instance *i, uint64_t now_ms)
{
    uint64_t until = atomic_load_explicit(&i->ejected_until_ms, memory_order_acquire);
    if (!until || until > now_ms) return false;
    atomic_store(&i->serves_since_ms, now_ms); /* before it serves */
    atomic_store(&i->returned_ms, now_ms);
    if (!atomic_compare_exchange_strong(&i->ejected_until_ms, &until, 0)) return false;
    moved(i);
    log_event(LOG_LEVEL_INFO, log_msg("an instance is back after its ejection"), log_str("service", i->service->name),
              log_str("instance", i->text));
    return true;
}

/* Whether one more may be out. Of several instances one always may; a single one only if all may: leaving it out
 * helps nobody. */
static bool room_for_ejection(const struct snapshot_eject *settings, struct instance *const *peers, uint32_t n,
                              uint64_t now_ms)
{
    uint32_t out = 0, most = (uint32_t)((uint64_t)n * settings->at_most / 100);
    if (!most && n > 1 && settings->at_most) most = 1;
    for (uint32_t k = 0; k < n; k++)
        out += atomic_load_explicit(&peers[k]->ejected_until_ms, memory_order_relaxed) > now_ms;
    return out < most;
}

/* Under the service's lock: two workers that find out together must not both have room. */
static uint64_t eject(struct instance *i, const struct snapshot_eject *settings, struct instance *const *peers,
                      uint32_t n_peers, uint64_t now_ms)
{
    if (atomic_load(&i->ejected_until_ms) > now_ms || !room_for_ejection(settings, peers, n_peers, now_ms)) return 0;
    uint64_t longest = (uint64_t)settings->base_ms * EJECTIONS_MAX;
    uint32_t before = atomic_load(&i->ejections);
    if (now_ms - atomic_load(&i->returned_ms) > longest) before = 0; /* it was well for long */
    uint32_t count = before < EJECTIONS_MAX ? before + 1 : EJECTIONS_MAX;
    uint64_t time_ms = (uint64_t)settings->base_ms * count;
    atomic_store(&i->ejections, count);
    atomic_fetch_add(&i->ejected_total, 1);
    atomic_store(&i->failures, settings->failures - 1); /* when it is back, one more is enough */
    atomic_store(&i->ejected_until_ms, now_ms + time_ms);
    moved(i);
    return time_ms;
}

void instance_report(struct instance *i, unsigned worker, enum instance_outcome outcome,
                     const struct snapshot_eject *settings, struct instance *const *peers, uint32_t n_peers,
                     uint64_t now_ms)
{
    counter_add(&i->cells[worker].outcomes[outcome], 1);
    if (LIKELY(outcome == OUTCOME_ANSWERED)) return;
    uint32_t failures = atomic_fetch_add(&i->failures, 1) + 1;
    if (!settings->failures || failures < settings->failures) return;
    pthread_mutex_lock(&i->service->lock);
    uint64_t time_ms = eject(i, settings, peers, n_peers, now_ms);
    pthread_mutex_unlock(&i->service->lock);
    if (!time_ms) return;
    log_event(LOG_LEVEL_WARN, log_msg("an instance is ejected"), log_str("service", i->service->name),
              log_str("instance", i->text), log_str("cause", str_of(instance_outcome_name(outcome))),
              log_u64("failures", failures), log_u64("for_ms", time_ms));
}

bool service_retry_floor(struct service_state *s, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000, due = atomic_load_explicit(&s->retry_floor, memory_order_relaxed), next;
    do {
        uint64_t from = due > now_us ? due : now_us;
        next = from + FLOOR_EVERY_US;
        if (next > now_us + FLOOR_AHEAD_US) return false;
    } while (!atomic_compare_exchange_weak_explicit(&s->retry_floor, &due, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* --- sums --- */

uint64_t instance_outcomes(const struct instance *i, enum instance_outcome o)
{
    uint64_t sum = 0;
    for (unsigned w = 0; w < i->service->workers; w++) sum += counter_get(&i->cells[w].outcomes[o]);
    return sum;
}

uint64_t instance_in_flight(const struct instance *i)
{
    uint64_t sum = 0;
    for (unsigned w = 0; w < i->service->workers; w++) sum += counter_get(&i->cells[w].in_flight);
    return sum;
}

uint64_t instance_retries(const struct instance *i)
{
    uint64_t sum = 0;
    for (unsigned w = 0; w < i->service->workers; w++) sum += counter_get(&i->cells[w].retries);
    return sum;
}

const char *instance_outcome_name(enum instance_outcome o)
{
    static const char *const names[OUTCOME_COUNT] = {"answered", "connect", "closed",
                                                     "garbage",  "timeout", "unavailable"};
    return (unsigned)o < OUTCOME_COUNT ? names[o] : "answered";
}
