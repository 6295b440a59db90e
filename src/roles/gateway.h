/* The role `gateway`: gate 1. The control thread of a process that has workers.
 *
 * Wires what others are: reads the configuration, opens listeners, starts workers, keeps issuers' keys, answers the
 * admin listener and the control socket, reloads, drains. Holds no request and no policy. */
#ifndef SALLYPORT_ROLES_GATEWAY_H
#define SALLYPORT_ROLES_GATEWAY_H

#include "config/config.h"
#include "http/message.h"
#include "net/loop.h"

#include <stdio.h>

struct gateway;
struct snapshot;
struct store;
struct control_peer;
struct control_reply;
struct decision_ring;

struct gateway_options {
    const char *config_path; /* the file; with `text` only its name for messages */
    str text;                /* configuration as text instead of a file; .p NULL: none */
    const char *text_dir;    /* what its relative paths are relative to */
    const char *role;        /* as metrics and logs say it: "gateway" */
    const char *product;     /* only what concerns this product; NULL: all */
    struct config_overrides overrides;
    bool no_sandbox;
    bool same_image;                                /* roles/supervisor.h */
    bool next_port;                                 /* a taken port is named and the next free one used */
    void (*on_ready)(struct gateway *g, void *ctx); /* everything listens */
    void (*on_stop)(void *ctx);                     /* the loop is about to go; may be NULL */
    /* What else lives in this process; all may be NULL. on_loaded: the configuration is good, the data folder is there,
     * nothing listens yet; it has said on stderr what keeps it from starting. on_snapshot: another one is in force, and
     * the one before may go. on_unload: the last call, no worker runs any more. */
    enum err (*on_loaded)(struct gateway *g, struct snapshot *snap, void *ctx);
    void (*on_snapshot)(struct snapshot *snap, void *ctx);
    void (*on_unload)(void *ctx);
    /* Another process takes over and waits for what only one may have: it is to be closed now. The workers go on with
     * what is under way. on_unload still comes. */
    void (*on_hand_over)(void *ctx);
    /* The client of the store for the gateway's own loop, which frees it; asked for when there is a store. NULL: that
     * of the data role at its socket in the data folder. */
    struct store *(*store_new)(void *ctx, struct loop *loop);
    /* Further metrics, and what else the control socket serves (serve/control.h). */
    void (*metrics)(void *ctx, struct buf *out);
    bool (*extra)(void *ctx, const struct control_peer *peer, const struct request *request, str body,
                  struct control_reply *reply);
    void (*extra_cancel)(void *ctx, struct control_reply *reply, void *waiting);
    void *ctx;
};

/* Runs until it is told to end (SIGTERM, SIGINT). The process's exit code: 0 drained, 1 could not start, 78 the
 * configuration is refused (said on stderr). */
int gateway_run(const struct gateway_options *options);

/* For on_ready: where it really listens. The texts live as long as the gateway. */
str gateway_address(const struct gateway *g, size_t i); /* "127.0.0.1:8080"; empty behind the last */
str gateway_admin_address(const struct gateway *g);     /* empty: none */
const char *gateway_socket(const struct gateway *g);
struct loop *gateway_loop(struct gateway *g);
void *gateway_ctx(struct gateway *g); /* of its options */
/* The decision rings of its workers, as serve/control.h wants them: `gateway` is a struct gateway. */
size_t gateway_rings(void *gateway, const struct decision_ring **out);

#endif
