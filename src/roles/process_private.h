/* What the files of a role's own process share: process.c (life), process_control.c (what the control socket tells). */
#ifndef SALLYPORT_ROLES_PROCESS_PRIVATE_H
#define SALLYPORT_ROLES_PROCESS_PRIVATE_H

#include "net/socket.h"
#include "roles/process.h"
#include "serve/control_listener.h"

struct process {
    const struct process_role *role;
    void *ctx;
    struct process_options options;
    struct loop *loop;
    struct config *config;
    struct snapshot *snap;
    char data[4096];
    struct control_server *control;
    struct control_source source;
    char socket_path[128], admin_text[NET_TEXT_MAX];
    struct watch signals;
    uint64_t started_ms, loaded_ms, generation, reload_failures;
    bool begun, started, draining;
    int exit_code;
};

/* --- process.c --- */
/* Loads the configuration anew and hands it to the role, whole or not at all. */
MUST_USE enum err process_reload(struct process *p, struct diags *d);
const char *process_config_name(const struct process *p);

/* --- process_control.c --- */
void process_control_init(struct process *p);

#endif
