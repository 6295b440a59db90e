#include "roles/process_private.h"

#include "base/log.h"
#include "base/metrics.h"

static bool started(void *ctx)
{
    const struct process *p = ctx;
    return p->started || p->draining;
}

static size_t checks(void *ctx, struct arena *mem, struct control_check *out)
{
    const struct process *p = ctx;
    size_t n = 0;
    out[n++] = (struct control_check){"configuration", p->config != NULL, STR("")};
    out[n++] = (struct control_check){"started", p->started, STR("")};
    out[n++] = (struct control_check){"not_draining", !p->draining, STR("")};
    if (p->started && p->role->checks) n += p->role->checks(p->ctx, mem, out + n);
    return n;
}

static void metrics(void *ctx, struct buf *out)
{
    const struct process *p = ctx;
    struct metric_label version = {"version", STR(SALLYPORT_VERSION)};
    if (p->started && p->role->metrics) p->role->metrics(p->ctx, out);
    metrics_family(out, "sallyport_build_info", METRIC_GAUGE, "The version that runs.");
    metrics_u64(out, "sallyport_build_info", &version, 1, 1);
    metrics_family(out, "sallyport_config_version", METRIC_GAUGE, "Generation of the configuration in force.");
    metrics_u64(out, "sallyport_config_version", NULL, 0, p->generation);
    metrics_family(out, "sallyport_config_reload_failures_total", METRIC_COUNTER, "Configurations refused on reload.");
    metrics_u64(out, "sallyport_config_reload_failures_total", NULL, 0, p->reload_failures);
    metrics_family(out, "sallyport_log_dropped_total", METRIC_COUNTER, "Log lines lost because nobody read them.");
    metrics_u64(out, "sallyport_log_dropped_total", NULL, 0, log_dropped());
    metrics_family(out, "sallyport_start_time_seconds", METRIC_GAUGE, "When the process started, Unix seconds.");
    metrics_u64(out, "sallyport_start_time_seconds", NULL, 0, p->started_ms / 1000);
}

static void status(void *ctx, struct arena *mem, struct control_status *out)
{
    const struct process *p = ctx;
    bool up = p->started;
    *out = (struct control_status){
        .name = p->config->name.s,
        .environment = p->config->environment.s,
        .config_file = str_of(p->options.config_path ? p->options.config_path : ""),
        .roles = str_of(p->role->name),
        .started_ms = p->started_ms,
        .loaded_ms = p->loaded_ms,
        .generation = p->generation,
        .workers = 0,
        .connections = up && p->role->connections ? p->role->connections(p->ctx) : 0,
        .ready = up && !p->draining,
        .draining = p->draining,
        .listeners = up && p->role->listeners ? p->role->listeners(p->ctx, mem) : STR(""),
    };
    if (p->admin_text[0])
        out->listeners =
            arena_printf(mem, "%.*s%sadmin %s", STR_ARG(out->listeners), out->listeners.n ? ", " : "", p->admin_text);
}

static size_t rings(void *ctx, const struct decision_ring **out)
{
    (void)ctx;
    (void)out;
    return 0; /* no request is decided here */
}

static bool facts(void *ctx, str action, struct arena *mem, struct control_facts *out)
{
    (void)ctx;
    (void)action;
    (void)mem;
    (void)out;
    return false;
}

static void reload(void *ctx, struct control_reply *reply)
{
    struct process *p = ctx;
    struct diags d;
    diags_init(&d, str_of(process_config_name(p)));
    if (process_reload(p, &d) == ERR_OK) {
        control_reload_done(reply, &(struct control_reload){.ok = true, .generation = p->generation});
    } else {
        struct buf text, json;
        buf_init(&text, 1 << 20);
        buf_init(&json, 1 << 20);
        diags_print(&d, &text);
        diags_print_json(&d, &json);
        control_reload_done(reply, &(struct control_reload){.generation = p->generation,
                                                            .text = buf_str(&text),
                                                            .findings = buf_str(&json)});
        buf_free(&text);
        buf_free(&json);
    }
    diags_free(&d);
}

static void reload_cancel(void *ctx, struct control_reply *reply)
{
    (void)ctx;
    (void)reply; /* every reload is answered before it returns */
}

static bool extra(void *ctx, const struct control_peer *peer, const struct request *request, str body,
                  struct control_reply *reply)
{
    const struct process *p = ctx;
    return p->started && p->role->extra(p->ctx, peer, request, body, reply);
}

static void extra_cancel(void *ctx, struct control_reply *reply, void *waiting)
{
    const struct process *p = ctx;
    if (p->role->extra_cancel) p->role->extra_cancel(p->ctx, reply, waiting);
}

void process_control_init(struct process *p)
{
    p->source = (struct control_source){.ctx = p,
                                        .started = started,
                                        .checks = checks,
                                        .metrics = metrics,
                                        .status = status,
                                        .rings = rings,
                                        .facts = facts,
                                        .reload = reload,
                                        .reload_cancel = reload_cancel};
    if (!p->role->extra) return;
    p->source.extra = extra;
    p->source.extra_cancel = extra_cancel;
}
