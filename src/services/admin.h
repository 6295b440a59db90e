/* The administration of a running product: what the command line asks on a control socket, answered over the store.
 *
 *   /v1/users …/{name}[/password|/grants|/disable|/enable]  /v1/users/import
 *   /v1/products …/{name}      /v1/secrets …/{product}       /v1/apikeys …/{id}[/disable|/enable]
 *   /v1/sessions …/{sid}       /v1/keys[/rotate|/retire]     /v1/revocations  /v1/confirmations
 *   /v1/usage
 *   /v1/audit[/verify]         /v1/data[/backup|/restore|/check]   /v1/authentication
 *
 * Who asks has been let in by the kernel's word (SO_PEERCRED: our own user or root); uid, pid and user name go into the
 * audit record of every change, which is on the disk before the answer is sent. Changes are not begun while the audit
 * record cannot be written. All input is checked strictly: a member that is not known is an error. A refusal is a
 * problem document with `place`, `detail` and `remedy`.
 *
 * Lives on one loop, allocates per request, keeps nothing. Any number of processes may serve it side by side: changes
 * are conditional batches. Knows no gateway and no worker. */
#ifndef SALLYPORT_SERVICES_ADMIN_H
#define SALLYPORT_SERVICES_ADMIN_H

#include "crypto/seal.h"
#include "serve/control.h"
#include "services/authentication.h"
#include "store/store.h"

struct admin;
struct audit;
struct keeper;
struct offload;
struct snapshot;

struct admin_options {
    struct loop *loop;
    struct store *store; /* of that loop, spaces identity, authentication, control; outlives it; NULL: there is none */
    struct keeper *keeper;   /* NULL: the data is kept by another process, which is told to whoever asks for /v1/data */
    const struct seal *seal; /* NULL: no secret of a product can be made here */
    const struct seal *record_seal; /* whose key signs the audit record's seals; NULL: `seal` */
    struct audit *audit;            /* NULL: nothing can be changed */
    struct offload *pool;           /* password hashes, reading of the audit record */
    const char *data;               /* path of the data folder: /v1/audit reads <data>/audit */
    /* The configuration in force, borrowed for the call. NULL, or NULL from it: what needs it is not checked. */
    const struct snapshot *(*snapshot)(void *ctx);
    /* Whether the Authentication Service runs in this process, what it counted, whether a key signs. NULL: it does not.
     */
    bool (*authentication)(void *ctx, struct authentication_counts *counts, bool *ready);
    void *ctx;
};

MUST_USE enum err admin_new(const struct admin_options *o, struct admin **out);
/* Waits for nothing: whoever still waits is answered by nobody. The store must be freed after it (its jobs end then),
 * or before. */
void admin_free(struct admin **a);

/* As `extra` and `extra_cancel` of serve/control.h: hand the calls on. */
bool admin_handle(struct admin *a, const struct control_peer *peer, const struct request *request, str body,
                  struct control_reply *reply);
void admin_cancel(struct admin *a, struct control_reply *reply, void *waiting);

/* The key of the audit record's seals (AUDIT_KEY_LEN bytes), from the one that seals secrets: for audit_open. */
#define ADMIN_AUDIT_KEY_LEN 32
void admin_audit_key(const struct seal *seal, unsigned char out[ADMIN_AUDIT_KEY_LEN]);
/* In the data folder. */
#define ADMIN_AUDIT_FOLDER "audit"

#endif
