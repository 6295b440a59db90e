#include "services/authentication_private.h"

#include <stdio.h>
#include <stdlib.h>

#define SIGNERS_QUEUE 256
#define SEEN          65536 /* signatures in the window of a minute: a thousand a second */

static const struct service_route routes[] = {
    {METHOD_POST, "/authentication/login", AUTHENTICATION_LOGIN, login_run},
    {METHOD_POST, "/authentication/refresh", AUTHENTICATION_REFRESH, refresh_run},
    {METHOD_POST, "/authentication/logout", AUTHENTICATION_LOGOUT, logout_run},
    {METHOD_GET, "/authentication/sessions", AUTHENTICATION_SESSIONS, sessions_run},
    {METHOD_DELETE, "/authentication/sessions", AUTHENTICATION_SESSIONS, sessions_delete_run},
    {METHOD_DELETE, "/authentication/sessions/*", AUTHENTICATION_SESSIONS, session_delete_run},
    {METHOD_GET, "/.well-known/jwks.json", AUTHENTICATION_KEYS, jwks_run},
    {METHOD_GET, "/.well-known/openid-configuration", AUTHENTICATION_KEYS, discovery_run},
};

static struct signing_policy policy_of(const struct authentication_settings *s)
{
    return (struct signing_policy){.alg = alg_from_name(s->algorithm),
                                   .rotate_ms = (uint64_t)s->rotate_s * 1000,
                                   .ahead_ms = (uint64_t)s->publish_ahead_s * 1000,
                                   .token_s = s->access_s};
}

static struct throttle_rate rate_of(struct config_rate r)
{
    return (struct throttle_rate){.count = r.count, .window_ms = (uint64_t)r.window_s * 1000};
}

static enum err open_parts(struct authentication *a)
{
    const struct authentication_settings *s = &a->snapshot->authentication;
    struct loop *loop = a->o.loop;
    struct password_cost cost = {.memory = (size_t)s->memory_kib * 1024, .passes = s->passes};
    enum err e = passwords_new(loop, cost, s->concurrent, s->queue, &a->passwords);
    if (e == ERR_OK) e = throttle_new(rate_of(s->account), rate_of(s->address), &a->throttle);
    if (e == ERR_OK) e = http_signature_seen_new(SEEN, &a->seen);
    if (e != ERR_OK) return e;
    a->signers = offload_new(1, SIGNERS_QUEUE);
    if (!a->signers) return ERR_NO_MEMORY;
    const struct service_options service = {.loop = loop,
                                            .socket_path = a->path,
                                            .routes = routes,
                                            .n_routes = ARRAY_LEN(routes),
                                            .owner = a,
                                            .dev = str_eq(a->snapshot->environment, STR("dev")),
                                            .log = a->o.log};
    e = service_new(&service, &a->service);
    if (e != ERR_OK) return e;
    const struct signing_keys_options keys = {.loop = loop,
                                              .store = a->o.store,
                                              .seal = a->o.seal,
                                              .audit = a->o.audit,
                                              .pool = a->signers,
                                              .policy = policy_of(s)};
    return signing_keys_new(&keys, &a->keys);
}

/* Ends what is under way, in an order in which nothing comes back to what is gone: checks of passwords, then jobs of
 * the store (which frees them by ending), then the calls that waited for neither. */
static void close_parts(struct authentication *a)
{
    a->closing = true;
    if (a->service) service_drain(a->service);
    if (a->keys) signing_keys_stop(a->keys); /* before its pool goes */
    passwords_free(&a->passwords);
    if (a->signers) offload_free(&a->signers);
    loop_turn(a->o.loop, 0);
    store_free(&a->o.store);
    while (a->flows) flow_refuse(a->flows, REASON_DRAINING, 1, STR_NONE);
    while (a->rehashes) rehash_drop(a->rehashes);
    signing_keys_free(&a->keys);
    service_free(&a->service);
    http_signature_seen_free(&a->seen);
    throttle_free(&a->throttle);
    snapshot_unref(&a->snapshot);
}

enum err authentication_new(const struct authentication_options *o, struct authentication **out)
{
    struct authentication *a = calloc(1, sizeof *a);
    if (!a) return ERR_NO_MEMORY;
    a->o = *o;
    a->snapshot = snapshot_ref(o->snapshot);
    int n = o->socket_path
                ? snprintf(a->path, sizeof a->path, "%s", o->socket_path)
                : snprintf(a->path, sizeof a->path, "%.*s/%s", STR_ARG(a->snapshot->data), AUTHENTICATION_SOCKET);
    enum err e = n > 0 && (size_t)n < sizeof a->path ? open_parts(a) : ERR_LIMIT;
    if (e == ERR_OK) {
        *out = a;
        return ERR_OK;
    }
    a->o.store = NULL; /* stays the caller's */
    close_parts(a);
    free(a);
    return e;
}

enum err authentication_reload(struct authentication *a, struct snapshot *snapshot)
{
    const struct authentication_settings *s = &snapshot->authentication;
    struct snapshot *old = a->snapshot;
    a->snapshot = snapshot_ref(snapshot);
    snapshot_unref(&old);
    struct signing_policy policy = policy_of(s);
    signing_keys_policy(a->keys, &policy);
    throttle_set(a->throttle, rate_of(s->account), rate_of(s->address));
    return passwords_set(a->passwords, (struct password_cost){(size_t)s->memory_kib * 1024, s->passes});
}

void authentication_drain(struct authentication *a)
{
    service_drain(a->service);
}

bool authentication_idle(const struct authentication *a)
{
    return a->n_flows == 0 && a->n_rehash == 0 && service_calls(a->service) == 0;
}

bool authentication_ready(const struct authentication *a)
{
    return signing_keys_current(a->keys) != NULL;
}

void authentication_free(struct authentication **a)
{
    if (!*a) return;
    close_parts(*a);
    free(*a);
    *a = NULL;
}

void authentication_count(const struct authentication *a, struct authentication_counts *out)
{
    *out = (struct authentication_counts){.logins = counter_get(&a->counts.logins),
                                          .logins_failed = counter_get(&a->counts.failed),
                                          .logins_throttled = counter_get(&a->counts.throttled),
                                          .busy = counter_get(&a->counts.busy),
                                          .refreshes = counter_get(&a->counts.refreshes),
                                          .refreshes_again = counter_get(&a->counts.again),
                                          .refreshes_refused = counter_get(&a->counts.refresh_refused),
                                          .reuses = counter_get(&a->counts.reuses),
                                          .logouts = counter_get(&a->counts.logouts),
                                          .sessions_ended = counter_get(&a->counts.ended),
                                          .rehashed = counter_get(&a->counts.rehashed),
                                          .proofs_refused = counter_get(&a->counts.proofs)};
}

void authentication_metrics(const struct authentication *a, struct buf *out)
{
    struct authentication_counts c;
    authentication_count(a, &c);
    const struct {
        const char *event;
        uint64_t value;
    } events[] = {{"login", c.logins},
                  {"login_failed", c.logins_failed},
                  {"login_throttled", c.logins_throttled},
                  {"passwords_busy", c.busy},
                  {"refresh", c.refreshes},
                  {"refresh_again", c.refreshes_again},
                  {"refresh_refused", c.refreshes_refused},
                  {"refresh_reused", c.reuses},
                  {"logout", c.logouts},
                  {"session_ended", c.sessions_ended},
                  {"password_rehashed", c.rehashed},
                  {"product_proof_refused", c.proofs_refused}};
    metrics_family(out, "sallyport_authentication_events_total", METRIC_COUNTER,
                   "What the Authentication Service did, by kind.");
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        struct metric_label label = {"event", str_of(events[i].event)};
        metrics_u64(out, "sallyport_authentication_events_total", &label, 1, events[i].value);
    }
}

const struct counters *authentication_counters(const struct authentication *a)
{
    return service_counters(a->service);
}
