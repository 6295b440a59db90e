/* What every role that runs as a process of its own shares: one loop, the configuration, signals, the data folder, the
 * log, a control socket, the service manager's notices. The role is a table of callbacks; it knows what is served.
 *
 * The parent (roles/supervisor.h) hears the signals, reads files and opens sockets. Everything runs on the thread of
 * process_run.
 */
#ifndef SALLYPORT_ROLES_PROCESS_H
#define SALLYPORT_ROLES_PROCESS_H

#include "config/snapshot.h"
#include "net/loop.h"
#include "roles/bundle.h"
#include "serve/control.h"

struct process;

struct process_role {
    const char *name;   /* "data": in logs, metrics and status; a constant */
    const char *socket; /* the control socket's name in the data folder: "data-cli.sock" */
    enum bundle_role kind;
    bool snapshot; /* needs the compiled configuration (process_snapshot), with the secrets it names */
    /* Opens what it serves. What keeps it from that it says on stderr, as "sallyport: …". */
    enum err (*start)(struct process *p, void *ctx);
    /* Told to end: calls process_end when what is under way has ended, or at once. NULL: at once. */
    void (*drain)(struct process *p, void *ctx);
    /* The last call, also when start failed: frees what it opened. */
    void (*stop)(struct process *p, void *ctx);
    /* A new configuration is loaded and good; process_config and process_snapshot still give the old one. ERR_OK: it is
     * in force from now on. Else it stays as it was, and what is wrong goes to `d`. NULL: nothing that this role reads
     * can change while it runs. */
    enum err (*reload)(struct process *p, void *ctx, const struct config *config, struct snapshot *snap,
                       struct diags *d);
    /* The rest may be NULL. */
    size_t (*checks)(void *ctx, struct arena *mem,
                     struct control_check *out); /* of readiness, besides the common ones */
    void (*metrics)(void *ctx, struct buf *out);
    str (*listeners)(void *ctx, struct arena *mem); /* "data unix:/…/data.sock" */
    uint64_t (*connections)(void *ctx);
    bool (*extra)(void *ctx, const struct control_peer *peer, const struct request *request, str body,
                  struct control_reply *reply); /* serve/control.h */
    void (*extra_cancel)(void *ctx, struct control_reply *reply, void *waiting);
};

struct process_options {
    const char *config_path;           /* the file; with `text` only its name for messages */
    str text;                          /* configuration as text instead of a file; .p NULL: none */
    const char *text_dir;              /* what its relative paths are relative to */
    struct config_overrides overrides; /* `admin`: an admin listener there; without it the process has none, for
                                          `listen.admin` is the gateway's */
    bool no_sandbox;
    bool others; /* processes of other users may connect to the store */
};

/* Opens log, data folder and control socket, then the role. Runs until it is told to end. The process's exit code: 0
 * ended as told, 1 could not start, 78 the configuration is refused (said on stderr). */
int process_run(const struct process_role *role, void *ctx, const struct process_options *options);

struct loop *process_loop(struct process *p);
const struct config *process_config(const struct process *p);
struct snapshot *process_snapshot(const struct process *p); /* NULL unless role.snapshot; borrowed */
const char *process_data(const struct process *p);          /* absolute path of the data folder, which is there */
bool process_draining(const struct process *p);
/* The loop stops at the end of this turn. */
void process_end(struct process *p);

/* --- pieces for a role that has a life of its own (roles/gateway.h) --- */

/* As many descriptors as the system allows. */
void process_raise_limits(void);
/* The configuration as the parent has read it. `path` is the file's name, `text_dir` the folder of one that has none.
 */
MUST_USE enum err process_config_read(const char *path, const char *text_dir, const struct config_overrides *overrides,
                                      struct diags *d, struct config **out);
/* What there is to say of the sandbox: to the log, once; to who asks whether it is ready. */
void process_sandbox_told(void);
struct control_check process_sandbox_check(void);
str process_sandbox_text(void); /* "on", "off", or what is missing */
/* Makes the folder (0700) and makes sure that nobody else can rename in it. Says on stderr what is wrong. */
MUST_USE enum err process_data_folder(str data);
/* Prints what was found in a configuration on stderr. */
void process_print_mistakes(const struct diags *d);

#endif
