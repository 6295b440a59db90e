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
    struct control_reply *reload_reply, *upgrade_reply;
    struct task free_role;
    uint64_t started_ms, loaded_ms, generation, reload_failures;
    bool begun, started, draining;
    bool handing, freed; /* to another process, which waits; done */
    int exit_code;
};

/* --- process.c --- */
/* Loads the configuration anew and hands it to the role, whole or not at all. */
MUST_USE enum err process_reload(struct process *p, struct diags *d);
void process_reload_refused(str mistakes); /* for the log */
const char *process_config_name(const struct process *p);

/* --- process_control.c --- */
void process_control_init(struct process *p);
/* child_events */
void process_bundle(void *ctx);
void process_no_bundle(void *ctx, str why);
void process_upgraded(void *ctx, bool done, str text);

#endif
