#include "roles/gateway_private.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "proxy/facts.h"
#include "roles/child.h"
#include "roles/gateway_check.h"
#include "roles/process.h"
#include "serve/control.h"

#include <unistd.h>

#define SETTLE_MS       2
#define SETTLE_SLOW_MS  100
#define SETTLE_AGAIN_MS 1000 /* a worker that had no memory for it, or no letter, gets it again */
#define SETTLE_MAX_MS   5000 /* who asked for the reload waits no longer */

static bool started(void *ctx)
{
    const struct gateway *g = ctx;
    return g->started || g->draining;
}

static size_t checks(void *ctx, struct arena *mem, struct control_check *out)
{
    struct gateway *g = ctx;
    size_t n = 0;
    out[n++] = (struct control_check){"configuration", g->snap != NULL && gateway_settled(g), STR("")};
    out[n++] = (struct control_check){"listeners", g->started, STR("")};
    out[n++] = (struct control_check){"not_draining", !g->draining, STR("")};
    /* an issuer without keys refuses its own tokens and nobody else's: told, but only all of them make us unready */
    bool any = g->n_keys == 0;
    str missing = STR_NONE;
    for (uint32_t i = 0; i < g->n_keys; i++) {
        bool fed =
            g->snap->issuers[i].source == KEY_SOURCE_FEED; /* its set is empty until its first key is published */
        if (g->keys[i].keys && (!fed || keyset_count(g->keys[i].keys)))
            any = true;
        else
            missing = g->snap->issuers[i].name;
    }
    str detail = missing.n ? arena_printf(mem, "no keys yet of issuer %.*s", STR_ARG(missing)) : STR("");
    out[n++] = (struct control_check){"issuer_keys", any, detail};
    out[n++] = process_sandbox_check();
    if (g->fed_by) {
        struct gateway_feed_status s;
        gateway_feed_status(g->fed_by, &s);
        out[n++] = (struct control_check){"feed", s.in_force, str_of(s.why)};
    }
    /* told only: what is down or cannot be looked up is a service's, and the others are served */
    struct gateway_dns_status names;
    gateway_dns_status(g->dns, &names);
    if (names.names)
        out[n++] = (struct control_check){"names", true,
                                          names.failing ? arena_printf(mem, "%u of %u cannot be looked up: %.*s",
                                                                       names.failing, names.names, STR_ARG(names.one))
                                                        : STR("")};
    out[n++] = (struct control_check){"upstreams", true, gateway_health_text(g->health, mem)};
    return n;
}

/* --- metrics --- */

struct worker_metric {
    const char *name, *help;
    enum metric_type type;
    size_t offset; /* in struct worker_numbers */
};

static const struct worker_metric worker_metrics[] = {
    {"sallyport_connections", "Client connections open now.", METRIC_GAUGE,
     offsetof(struct worker_numbers, connections)},
    {"sallyport_connections_accepted_total", "Client connections accepted.", METRIC_COUNTER,
     offsetof(struct worker_numbers, accepted)},
    {"sallyport_connections_refused_total", "Client connections refused for want of room.", METRIC_COUNTER,
     offsetof(struct worker_numbers, refused)},
    {"sallyport_connections_timed_out_total", "Client connections ended because the client was too slow.",
     METRIC_COUNTER, offsetof(struct worker_numbers, timed_out)},
    {"sallyport_upstream_connections", "Upstream connections open now.", METRIC_GAUGE,
     offsetof(struct worker_numbers, upstream_open)},
    {"sallyport_upstream_connections_opened_total", "Upstream connections opened.", METRIC_COUNTER,
     offsetof(struct worker_numbers, upstream_opened)},
    {"sallyport_upstream_retries_total", "Attempts to reach an upstream again.", METRIC_COUNTER,
     offsetof(struct worker_numbers, retries)},
    {"sallyport_token_cache_hits_total", "Tokens found verified.", METRIC_COUNTER,
     offsetof(struct worker_numbers, token_hits)},
    {"sallyport_token_cache_misses_total", "Tokens not found verified.", METRIC_COUNTER,
     offsetof(struct worker_numbers, token_misses)},
    {"sallyport_token_cache_evictions_total", "Verified tokens that made room for others.", METRIC_COUNTER,
     offsetof(struct worker_numbers, token_evictions)},
    {"sallyport_token_verifications_total", "Tokens taken through the whole verification.", METRIC_COUNTER,
     offsetof(struct worker_numbers, signatures)},
};

static void render_workers(const struct gateway *g, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(worker_metrics); i++) {
        const struct worker_metric *m = &worker_metrics[i];
        uint64_t sum = 0;
        for (uint32_t w = 0; w < g->n_workers; w++)
            sum +=
                counter_get((const struct counter *)(const void *)((const char *)&g->workers[w]->numbers + m->offset));
        metrics_family(out, m->name, m->type, m->help);
        metrics_u64(out, m->name, NULL, 0, sum);
    }
}

static void render_issuers(struct gateway *g, struct buf *out)
{
    metrics_family(out, "sallyport_issuer_keys", METRIC_GAUGE, "Keys that tokens of the issuer can be verified with.");
    for (uint32_t i = 0; i < g->n_keys; i++) {
        struct metric_label l = {"issuer", g->snap->issuers[i].name};
        metrics_u64(out, "sallyport_issuer_keys", &l, 1, g->keys[i].keys ? keyset_count(g->keys[i].keys) : 0);
    }
    metrics_family(out, "sallyport_issuer_fetch_failures_total", METRIC_COUNTER, "Attempts to fetch keys that failed.");
    for (uint32_t i = 0; i < g->n_keys; i++) {
        struct metric_label l = {"issuer", g->snap->issuers[i].name};
        struct jwks_status s = {0};
        if (g->keys[i].jwks) jwks_status(g->keys[i].jwks, &s);
        metrics_u64(out, "sallyport_issuer_fetch_failures_total", &l, 1, s.failures);
    }
}

static void render_feed(const struct gateway *g, struct buf *out)
{
    struct gateway_feed_status s;
    gateway_feed_status(g->fed_by, &s);
    uint64_t age_s = s.age_ms == UINT64_MAX ? UINT64_MAX : s.age_ms / 1000;
    metrics_family(out, "sallyport_feed_age_seconds", METRIC_GAUGE, "How long ago the store was last heard.");
    if (age_s != UINT64_MAX) metrics_u64(out, "sallyport_feed_age_seconds", NULL, 0, age_s);
    metrics_family(out, "sallyport_feed_number", METRIC_GAUGE,
                   "The last change of the store that every worker has applied.");
    metrics_u64(out, "sallyport_feed_number", NULL, 0, s.at.number);
    metrics_family(out, "sallyport_feed_in_force", METRIC_GAUGE,
                   "1 while what the store feeds is whole and its lease holds.");
    metrics_u64(out, "sallyport_feed_in_force", NULL, 0, s.in_force);
    metrics_family(out, "sallyport_feed_resyncs_total", METRIC_COUNTER, "How often everything came anew.");
    metrics_u64(out, "sallyport_feed_resyncs_total", NULL, 0, s.resyncs);
    metrics_family(out, "sallyport_feed_apikeys", METRIC_GAUGE, "API keys of the store.");
    metrics_u64(out, "sallyport_feed_apikeys", NULL, 0, s.keys);
    metrics_family(out, "sallyport_feed_revocations", METRIC_GAUGE, "Revocations in force.");
    metrics_u64(out, "sallyport_feed_revocations", NULL, 0, s.revocations);
    metrics_family(out, "sallyport_feed_bytes", METRIC_GAUGE,
                   "Memory of API keys and revocations, once for all workers.");
    metrics_u64(out, "sallyport_feed_bytes", NULL, 0, s.bytes);
}

static void render_names(const struct gateway *g, struct buf *out)
{
    struct gateway_dns_status s;
    gateway_dns_status(g->dns, &s);
    metrics_family(out, "sallyport_dns_names", METRIC_GAUGE, "Names that instances have.");
    metrics_u64(out, "sallyport_dns_names", NULL, 0, s.names);
    metrics_family(out, "sallyport_dns_names_failing", METRIC_GAUGE,
                   "Names that could not be looked up lately: their instances stay as they were.");
    metrics_u64(out, "sallyport_dns_names_failing", NULL, 0, s.failing);
    metrics_family(out, "sallyport_dns_lookups_total", METRIC_COUNTER, "Names looked up.");
    metrics_u64(out, "sallyport_dns_lookups_total", NULL, 0, s.lookups);
    metrics_family(out, "sallyport_dns_failures_total", METRIC_COUNTER, "Names looked up without success.");
    metrics_u64(out, "sallyport_dns_failures_total", NULL, 0, s.failures);
    metrics_family(out, "sallyport_dns_changes_total", METRIC_COUNTER,
                   "Snapshots made because names have other addresses.");
    metrics_u64(out, "sallyport_dns_changes_total", NULL, 0, s.changes);
}

static void metrics(void *ctx, struct buf *out)
{
    struct gateway *g = ctx;
    const struct counters *all[CONTROL_RINGS_MAX];
    size_t n = 0;
    for (; n < g->n_workers && n < CONTROL_RINGS_MAX; n++) all[n] = g->workers[n]->counters;
    counters_render(all, n, g->options.role, GATE, out);
    render_workers(g, out);
    render_issuers(g, out);
    gateway_upstreams_metrics(g, out);
    gateway_tls_metrics(g->tls, out);
    gateway_limits_metrics(g, out);
    if (g->fed_by) render_feed(g, out);
    if (g->tracing) gateway_tracing_metrics(g->tracing, out);
    render_names(g, out);
    gateway_health_metrics(g->health, out);
    if (g->options.metrics) g->options.metrics(g->options.ctx, out);
    struct metric_label version = {"version", STR(SALLYPORT_VERSION)};
    metrics_family(out, "sallyport_build_info", METRIC_GAUGE, "The version that runs.");
    metrics_u64(out, "sallyport_build_info", &version, 1, 1);
    metrics_family(out, "sallyport_config_version", METRIC_GAUGE, "Generation of the configuration in force.");
    metrics_u64(out, "sallyport_config_version", NULL, 0, g->snap->generation);
    metrics_family(out, "sallyport_config_reload_failures_total", METRIC_COUNTER, "Configurations refused on reload.");
    metrics_u64(out, "sallyport_config_reload_failures_total", NULL, 0, g->reload_failures);
    metrics_family(out, "sallyport_log_dropped_total", METRIC_COUNTER, "Log lines lost because nobody read them.");
    metrics_u64(out, "sallyport_log_dropped_total", NULL, 0, log_dropped());
    metrics_family(out, "sallyport_time_seconds", METRIC_GAUGE, "This machine's clock, Unix seconds.");
    metrics_seconds(out, "sallyport_time_seconds", NULL, 0, clock_wall_ms() * 1000000);
    metrics_family(out, "sallyport_start_time_seconds", METRIC_GAUGE, "When the process started, Unix seconds.");
    metrics_u64(out, "sallyport_start_time_seconds", NULL, 0, g->started_ms / 1000);
}

static void status(void *ctx, struct arena *mem, struct control_status *out)
{
    struct gateway *g = ctx;
    uint64_t connections = 0;
    for (uint32_t w = 0; w < g->n_workers; w++) connections += counter_get(&g->workers[w]->numbers.connections);
    *out = (struct control_status){
        .name = g->snap->name,
        .environment = g->snap->environment,
        .config_file = str_of(g->options.config_path ? g->options.config_path : ""),
        .roles = STR("gateway"),
        .started_ms = g->started_ms,
        .loaded_ms = g->loaded_ms,
        .generation = g->snap->generation,
        .workers = g->n_workers,
        .connections = connections,
        .ready = g->started && !g->draining,
        .draining = g->draining,
        .pid = (int32_t)getpid(),
        .parent_pid = child_parent(),
        .sandbox = process_sandbox_text(),
    };
    str text = STR("");
    for (size_t i = 0; i < g->n_addresses; i++)
        text = arena_printf(mem, "%.*s%sgateway %.*s", STR_ARG(text), text.n ? ", " : "", STR_ARG(g->addresses[i]));
    if (g->admin_text[0]) text = arena_printf(mem, "%.*s, admin %s", STR_ARG(text), g->admin_text);
    out->listeners = text;
}

size_t gateway_rings(void *gateway, const struct decision_ring **out)
{
    const struct gateway *g = gateway;
    size_t n = 0;
    for (; n < g->n_workers && n < CONTROL_RINGS_MAX; n++) out[n] = g->workers[n]->ring;
    return n;
}

/* "token, apikey"; where kinds of callers differ "user: token; third-party: apikey, signature". */
static str accepted(const struct snapshot_action *a, struct arena *mem)
{
    const uint8_t *by = a->accept;
    bool same = by[CALLER_USER] == by[CALLER_SERVICE] && by[CALLER_USER] == by[CALLER_THIRD_PARTY];
    str text = STR("");
    if (a->is_public) return STR("public");
    for (unsigned k = CALLER_USER; k < CALLER_KINDS && text.p; k++) {
        const char *sep = text.n ? "; " : "";
        if (!by[k]) continue;
        if (!same) text = arena_printf(mem, "%.*s%s%s: ", STR_ARG(text), sep, caller_kind_name((enum caller_kind)k));
        sep = "";
        for (unsigned bit = 1; bit < 1u << ACCEPT_BITS; bit <<= 1) {
            if (!(by[k] & bit)) continue;
            text = arena_printf(mem, "%.*s%s%s", STR_ARG(text), sep, credential_name(bit));
            sep = ", ";
        }
        if (same) break;
    }
    return text.p ? text : STR("");
}

static bool facts(void *ctx, str action, struct arena *mem, struct control_facts *out)
{
    const struct gateway *g = ctx;
    const struct snapshot_action *a = snapshot_action(g->snap, action);
    if (!a) return false;
    struct action_facts f = {0};
    facts_of(g->snap, a, mem, &f);
    *out = (struct control_facts){.match = a->match,
                                  .accept = accepted(a, mem),
                                  .service = g->snap->services[a->service].name,
                                  .roles = f.roles,
                                  .permissions = f.permissions,
                                  .products = f.products};
    return true;
}

/* --- reload --- */

void gateway_answer_reload(struct gateway *g, const struct control_reload *result)
{
    struct control_reply *reply = g->reload_reply;
    if (!child_answered()) return; /* it was read before he asked */
    g->reload_reply = NULL;
    if (reply) control_reload_done(reply, result);
}

static void on_settle(struct timer *t)
{
    struct gateway *g = CONTAINER_OF(t, struct gateway, reload_timer);
    uint64_t now = loop_now_ms(g->loop), waited = now - g->settle_since_ms;
    if (gateway_settled(g)) {
        gateway_answer_reload(g, &(struct control_reload){.ok = true, .generation = g->snap->generation});
        return;
    }
    if (g->draining || waited >= SETTLE_MAX_MS)
        gateway_answer_reload(g,
                              &(struct control_reload){.late = true,
                                                       .generation = g->snap->generation,
                                                       .text = STR(
                                                           "not every worker has taken the new configuration yet: it "
                                                           "is out of memory, or stuck\n")});
    if (g->draining) return;
    if (now >= g->settle_again_ms) {
        log_event(LOG_LEVEL_ERROR, log_msg("a worker has not taken the configuration: it is sent again"),
                  log_u64("generation", g->snap->generation), log_u64("waited_ms", waited));
        g->settle_again_ms = now + (waited < SETTLE_MAX_MS ? SETTLE_AGAIN_MS : waited);
        gateway_feed_again(g);
    }
    timer_set(g->loop, t, now + (waited < SETTLE_AGAIN_MS ? SETTLE_MS : SETTLE_SLOW_MS));
}

void gateway_settle(struct gateway *g)
{
    g->settle_since_ms = loop_now_ms(g->loop);
    g->settle_again_ms = g->settle_since_ms + SETTLE_AGAIN_MS;
    g->reload_timer.on_time = on_settle;
    timer_set(g->loop, &g->reload_timer, g->settle_since_ms + SETTLE_MS);
}

/* Reloads for whoever g->reload_reply is, if for anybody. */
static void reload_now(struct gateway *g)
{
    struct diags d;
    diags_init(&d, str_of(g->options.config_path ? g->options.config_path : "(text)"));
    enum err e = gateway_reload(g, &d);
    if (e != ERR_OK && e != ERR_AGAIN) {
        struct buf text, json;
        buf_init(&text, 1 << 20);
        buf_init(&json, 1 << 20);
        diags_print(&d, &text);
        diags_print_json(&d, &json);
        gateway_answer_reload(g, &(struct control_reload){.generation = g->snap->generation,
                                                          .text = buf_str(&text),
                                                          .findings = buf_str(&json)});
        buf_free(&text);
        buf_free(&json);
    }
    diags_free(&d);
}

void gateway_reload_again(void *gateway)
{
    reload_now(gateway);
}

static void reload(void *ctx, struct control_reply *reply)
{
    struct gateway *g = ctx;
    if (g->reload_reply || g->draining) {
        control_reload_done(reply,
                            &(struct control_reload){.generation = g->snap->generation,
                                                     .text = g->draining ? STR("it drains\n")
                                                                         : STR("another reload is under way\n")});
        return;
    }
    g->reload_reply = reply;
    child_want_bundle();
}

static void reload_cancel(void *ctx, struct control_reply *reply)
{
    struct gateway *g = ctx;
    if (g->reload_reply == reply) g->reload_reply = NULL;
}

static void upgrade(void *ctx, struct control_reply *reply)
{
    struct gateway *g = ctx;
    bool busy = g->upgrade_reply != NULL;
    if (!busy) g->upgrade_reply = reply;
    if (busy || !child_want_upgrade()) {
        if (!busy) g->upgrade_reply = NULL;
        control_upgrade_done(reply, false, STR("another upgrade is under way"));
    }
}

static void upgrade_cancel(void *ctx, struct control_reply *reply)
{
    struct gateway *g = ctx;
    if (g->upgrade_reply == reply) g->upgrade_reply = NULL;
}

static bool extra(void *ctx, const struct control_peer *peer, const struct request *q, str body,
                  struct control_reply *reply)
{
    const struct gateway_options *o = &((const struct gateway *)ctx)->options;
    return o->extra(o->ctx, peer, q, body, reply);
}

static void extra_cancel(void *ctx, struct control_reply *reply, void *waiting)
{
    const struct gateway_options *o = &((const struct gateway *)ctx)->options;
    o->extra_cancel(o->ctx, reply, waiting);
}

void gateway_control_init(struct gateway *g)
{
    g->source = (struct control_source){.ctx = g,
                                        .started = started,
                                        .checks = checks,
                                        .metrics = metrics,
                                        .status = status,
                                        .check = gateway_check,
                                        .rings = gateway_rings,
                                        .facts = facts,
                                        .upstreams = gateway_upstreams,
                                        .reload = reload,
                                        .reload_cancel = reload_cancel,
                                        .upgrade = upgrade,
                                        .upgrade_cancel = upgrade_cancel};
    if (g->options.extra) {
        g->source.extra = extra;
        g->source.extra_cancel = extra_cancel;
    }
}
