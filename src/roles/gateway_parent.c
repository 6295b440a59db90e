/* What the gateway does when its parent says something (roles/child.h). */
#include "roles/gateway_private.h"

#include "base/log.h"
#include "roles/child.h"

/* What the parent could not read at all, or found mistakes in: told as it has found them. */
static void refuse(struct gateway *g, str text, str findings)
{
    g->reload_failures++;
    gateway_reload_refused(g, text);
    gateway_answer_reload(g, &(struct control_reload){.generation = g->snap->generation,
                                                      .text = text,
                                                      .findings = findings});
    child_reloaded(false); /* behind it: what it says lies in the bundle */
}

static void on_bundle(void *ctx)
{
    struct gateway *g = ctx;
    str text, findings;
    child_reloading();
    if (!child_config(&text, &findings)) {
        refuse(g, text, findings);
        return;
    }
    gateway_reload_again(g);
}

static void on_no_bundle(void *ctx, str why)
{
    struct gateway *g = ctx;
    char text[WIRE_TEXT + 64];
    int n = snprintf(text, sizeof text, "the configuration cannot be read: %.*s\n", STR_ARG(why));
    refuse(g, str_make(text, (size_t)n), STR("[]"));
}

static void on_drain(void *ctx, unsigned how)
{
    struct gateway *g = ctx;
    g->handing_over = false;
    if (how == WIRE_DRAIN_TAKEN_OVER) control_server_deaf(g->control);
    gateway_drain(g, how);
}

/* The store, the Authentication Service and the record go now; workers go on with what is under way, and with what they
 * were fed until its lease is over. */
static void on_hand_over(void *ctx)
{
    struct gateway *g = ctx;
    control_server_deaf(g->control);
    g->handing_over = true;
    gateway_drain(g, WIRE_DRAIN_TAKEN_OVER);
    gateway_limits_leave(g);
    if (g->fed_by) gateway_feed_leave(g->fed_by);
    if (g->options.on_hand_over) g->options.on_hand_over(g->options.ctx);
    child_freed();
}

static void on_upgraded(void *ctx, bool done, str text)
{
    struct gateway *g = ctx;
    struct control_reply *reply = g->upgrade_reply;
    g->upgrade_reply = NULL;
    if (reply) control_upgrade_done(reply, done, text);
}

enum err gateway_follow_parent(struct gateway *g)
{
    struct child_events on = {.bundle = on_bundle,
                              .no_bundle = on_no_bundle,
                              .drain = on_drain,
                              .hand_over = on_hand_over,
                              .upgraded = on_upgraded,
                              .ctx = g};
    return child_watch(g->loop, &on);
}
