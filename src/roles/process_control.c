#include "roles/process_private.h"

#include "base/log.h"
#include "base/metrics.h"
#include "roles/child.h"

#include <stdio.h>
#include <unistd.h>

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
    out[n++] = process_sandbox_check();
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
        .pid = (int32_t)getpid(),
        .parent_pid = child_parent(),
        .sandbox = process_sandbox_text(),
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

/* --- reload and upgrade: the parent reads, and decides --- */

static void reload(void *ctx, struct control_reply *reply)
{
    struct process *p = ctx;
    if (p->reload_reply || p->draining) {
        control_reload_done(reply,
                            &(struct control_reload){.generation = p->generation,
                                                     .text = p->draining ? STR("it drains\n")
                                                                         : STR("another reload is under way\n")});
        return;
    }
    p->reload_reply = reply;
    child_want_bundle();
}

static void reload_cancel(void *ctx, struct control_reply *reply)
{
    struct process *p = ctx;
    if (p->reload_reply == reply) p->reload_reply = NULL;
}

static void answer(struct process *p, bool ok, str text, str findings)
{
    struct control_reply *reply = p->reload_reply;
    if (!child_answered()) return; /* it was read before he asked */
    p->reload_reply = NULL;
    if (reply)
        control_reload_done(reply, &(struct control_reload){.ok = ok,
                                                            .generation = p->generation,
                                                            .text = text,
                                                            .findings = findings});
}

static void refuse(struct process *p, str text, str findings)
{
    p->reload_failures++;
    process_reload_refused(text);
    answer(p, false, text, findings);
    child_reloaded(false); /* behind it: what it says lies in the bundle */
}

void process_bundle(void *ctx)
{
    struct process *p = ctx;
    struct diags d;
    str text, findings;
    child_reloading();
    if (!child_config(&text, &findings)) {
        refuse(p, text, findings);
        return;
    }
    diags_init(&d, str_of(process_config_name(p)));
    if (process_reload(p, &d) == ERR_OK) {
        answer(p, true, STR_NONE, STR_NONE);
    } else {
        struct buf lines, json;
        buf_init(&lines, 1 << 20);
        buf_init(&json, 1 << 20);
        diags_print(&d, &lines);
        diags_print_json(&d, &json);
        answer(p, false, buf_str(&lines), buf_str(&json));
        buf_free(&lines);
        buf_free(&json);
    }
    diags_free(&d);
}

void process_no_bundle(void *ctx, str why)
{
    char text[WIRE_TEXT + 64];
    int n = snprintf(text, sizeof text, "the configuration cannot be read: %.*s\n", STR_ARG(why));
    refuse(ctx, str_make(text, (size_t)n), STR("[]"));
}

static void upgrade(void *ctx, struct control_reply *reply)
{
    struct process *p = ctx;
    bool busy = p->upgrade_reply != NULL;
    if (!busy) p->upgrade_reply = reply;
    if (busy || !child_want_upgrade()) {
        if (!busy) p->upgrade_reply = NULL;
        control_upgrade_done(reply, false, STR("another upgrade is under way"));
    }
}

static void upgrade_cancel(void *ctx, struct control_reply *reply)
{
    struct process *p = ctx;
    if (p->upgrade_reply == reply) p->upgrade_reply = NULL;
}

void process_upgraded(void *ctx, bool done, str text)
{
    struct process *p = ctx;
    struct control_reply *reply = p->upgrade_reply;
    p->upgrade_reply = NULL;
    if (reply) control_upgrade_done(reply, done, text);
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
                                        .reload_cancel = reload_cancel,
                                        .upgrade = upgrade,
                                        .upgrade_cancel = upgrade_cancel};
    if (!p->role->extra) return;
    p->source.extra = extra;
    p->source.extra_cancel = extra_cancel;
}
