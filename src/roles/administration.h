/* What the processes that are administered share: the audit record and, on their control socket, services/admin.h.
 *
 * Opened once the data folder and the way to the store are known, before the services that write into the record are
 * started; the administration begins on the loop of the control socket. Whoever refuses requests (workers) is read
 * behind: its decision rings are looked at many times a second, and every denial becomes a record. A worker never waits
 * and never knows. */
#ifndef SALLYPORT_ROLES_ADMINISTRATION_H
#define SALLYPORT_ROLES_ADMINISTRATION_H

#include "serve/decision.h"
#include "services/admin.h"

struct administration;
struct config_secret;

struct administration_options {
    const char *chain;       /* of the audit record: "run", "gateway", "authentication", "data" */
    const char *data;        /* the data folder; copied */
    const struct seal *seal; /* outlives it */
    bool sealing;            /* the administration may make secrets; else the key only signs the record */
    /* Makes a client of the store for that loop, by its thread; called for the loop of the control socket and, on the
     * record's own thread, for the record's. */
    struct store *(*store_new)(void *ctx, struct loop *loop);
    struct keeper *keeper; /* NULL: the data is kept elsewhere */
    bool (*authentication)(void *ctx, struct authentication_counts *counts, bool *ready); /* NULL: not here */
    void *ctx;
};

/* Opens the record. Says on stderr what is wrong. */
MUST_USE enum err administration_open(const struct administration_options *o, struct administration **out);
struct audit *administration_audit(struct administration *a);
/* The configuration in force: at the start and after each reload; takes a reference. NULL: none is known. */
void administration_snapshot(struct administration *a, struct snapshot *snap);
/* Begins to answer. ERR_NO_MEMORY. */
MUST_USE enum err administration_start(struct administration *a, struct loop *loop);
/* Its client of the store, from administration_start on. */
struct store *administration_store(struct administration *a);
/* Records the denials of these rings from now on (roles/refusals.h). ERR_NO_MEMORY. */
MUST_USE enum err administration_follow(struct administration *a,
                                        size_t (*rings)(void *ctx, const struct decision_ring **out), void *ctx);
/* Ends what lives on the loop: before the loop goes. Safe to repeat. */
void administration_stop(struct administration *a);
/* Ends the record: when nobody writes into it any more, while the store still serves. NULL is fine. */
void administration_close(struct administration **a);

/* For the control socket (serve/control.h). */
bool administration_extra(struct administration *a, const struct control_peer *peer, const struct request *request,
                          str body, struct control_reply *reply);
void administration_cancel(struct administration *a, struct control_reply *reply, void *waiting);
void administration_metrics(const struct administration *a, struct buf *out);

#endif
