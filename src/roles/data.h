/* The role `data`: the only one that opens a database. Keeps the spaces, answers store clients of this process by mail
 * (store/local.h) and of others at <data>/data.sock (store/listener.h).
 *
 * As a thread within a process of several roles (data_role_start), or as a process of its own (data_role_run). */
#ifndef SALLYPORT_ROLES_DATA_H
#define SALLYPORT_ROLES_DATA_H

#include "roles/process.h"
#include "store/listener.h"

#define DATA_SOCKET     "data.sock"     /* in the data folder: the store */
#define DATA_CLI_SOCKET "data-cli.sock" /* the control socket of a data process of its own */
#define DATA_FOLDER     "store"         /* in the data folder: the files */
#define DATA_UIDS_MAX   16

struct data_role;

struct data_options {
    const char *data; /* the data folder */
    enum config_engine engine;
    uint32_t spaces;              /* KEEPER_SPACE bits; 0: all */
    uint32_t uids[DATA_UIDS_MAX]; /* further users whose processes may come in */
    uint32_t n_uids;
};

/* Opens the store and listens: on `loop`, or with NULL on a thread of its own. `why` says in words what went wrong
 * (KEEPER_WHY bytes). ERR_CONFLICT: another process has the store or the socket. ERR_LIMIT: the path is too long.
 * ERR_IO, ERR_NO_MEMORY. */
MUST_USE enum err data_role_start(const struct data_options *options, struct loop *loop, struct data_role **out,
                                  char *why);
/* Every client of its keeper must have been freed. NULL is fine. */
void data_role_stop(struct data_role **r);

/* For store_local_new and keeper_task_submit, from any thread. */
struct keeper *data_role_keeper(struct data_role *r);
/* "unix:/…/data.sock"; lives as long as the role. */
str data_role_address(const struct data_role *r);
/* For the metrics of the process, from any thread. */
void data_role_metrics(struct data_role *r, struct buf *out);

/* A process of its own; the exit code as of process_run. `options->data` and `engine` come from the configuration. */
int data_role_run(const struct data_options *options, const struct process_options *process);

#endif
