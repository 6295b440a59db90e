/* The role `gateway`: gate 1. The control thread of a process that has workers.
 *
 * Wires what others are: reads the configuration, opens listeners, starts workers, keeps issuers' keys, answers the
 * admin listener and the control socket, reloads, drains. Holds no request and no policy. */
#ifndef SALLYPORT_ROLES_GATEWAY_H
#define SALLYPORT_ROLES_GATEWAY_H

#include "config/config.h"
#include "net/loop.h"

#include <stdio.h>

struct gateway;

struct gateway_options {
    const char *config_path; /* the file; with `text` only its name for messages */
    str text;                /* configuration as text instead of a file; .p NULL: none */
    const char *text_dir;    /* what its relative paths are relative to */
    const char *role;        /* as metrics and logs say it: "gateway" */
    const char *product;     /* only what concerns this product; NULL: all */
    struct config_overrides overrides;
    bool next_port;                                 /* a taken port is named and the next free one used */
    void (*on_ready)(struct gateway *g, void *ctx); /* everything listens */
    void (*on_stop)(void *ctx);                     /* the loop is about to go; may be NULL */
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

#endif
