/* What the files of the gateway role share: gateway.c (life), gateway_keys.c (issuers' keys), gateway_feed.c (what the
 * store feeds), gateway_control.c
 * (what the admin listener and the control socket tell). */
#ifndef SALLYPORT_ROLES_GATEWAY_PRIVATE_H
#define SALLYPORT_ROLES_GATEWAY_PRIVATE_H

#include "config/diag.h"
#include "config/snapshot.h"
#include "fetch/jwks.h"
#include "identity/keyset.h"
#include "net/offload.h"
#include "net/socket.h"
#include "proxy/replay.h"
#include "proxy/worker.h"
#include "roles/gateway.h"
#include "roles/gateway_dns.h"
#include "roles/gateway_feed.h"
#include "roles/gateway_health.h"
#include "roles/gateway_limits.h"
#include "roles/gateway_tracing.h"
#include "serve/control_listener.h"

#define LISTENERS_MAX      16
#define GATEWAY_DIGEST_HEX 64 /* SHA-256 */

/* Keys of one issuer, as the control thread has them. */
struct gateway_keys {
    struct gateway *gateway;
    uint32_t index;
    struct keyset *keys;        /* NULL: not loaded */
    struct jwks *jwks;          /* NULL: from a file or a secret */
    uint64_t wanted_at_attempt; /* attempts when a worker asked; its answer is due when one has ended since */
    bool wanted;
    bool prepared; /* keyset_prepare was asked for */
};

struct gateway {
    struct gateway_options options;
    struct loop *loop;
    struct offload *pool;
    struct fetch_env fetch;
    struct config *config; /* what snap was built from, without the products of the store */
    struct fed *fed;       /* what the store feeds; NULL: nothing */
    struct gateway_feed *fed_by;
    struct replay *replay; /* signatures that were taken, of all workers */
    struct gateway_tracing *tracing;
    struct gateway_tls *tls;
    uint64_t traces_until_ms; /* while draining: when the last spans must have left */
    bool feed_gap;            /* a record did not reach a worker: everything anew */
    struct snapshot *snap;
    struct gateway_keys *keys; /* by issuer of snap */
    uint32_t n_keys;
    struct gateway_limits *limits;
    struct instance_registry *registry;
    struct instance_set *instances; /* of snap, once it has been sent */
    uint64_t instances_of;          /* its generation */
    struct worker **workers;
    uint32_t n_workers, n_drained;
    struct feed_position feed; /* the last record that was sent */
    uint64_t generations;      /* last generation given out, refused ones included */
    struct gateway_dns *dns;
    struct gateway_health *health;
    struct control_server *control;
    struct control_source source;
    char socket_path[128];
    str addresses[LISTENERS_MAX];
    char address_text[LISTENERS_MAX][NET_TEXT_MAX];
    size_t n_addresses;
    char admin_text[NET_TEXT_MAX];
    struct prepare *prepares;
    uint32_t preparing; /* key sets on their way through keyset_prepare */
    bool start_over;    /* the first of them are ready */
    struct timer open_timer;
    uint64_t open_until_ms; /* connections are taken then, whatever the store says */
    struct timer keys_timer, prepare_timer, reload_timer, drain_timer;
    bool handing_over; /* drains, and stays until the other process serves: who asked for it is answered here */
    struct control_reply *upgrade_reply;
    struct control_reply *reload_reply; /* waits until every worker has the new configuration */
    uint64_t settle_since_ms, settle_again_ms;
    uint64_t started_ms, loaded_ms, reload_failures;
    uint64_t failures_before;        /* reload_failures when the configuration in force was taken */
    char digest[GATEWAY_DIGEST_HEX]; /* of its text; NUL: it is of no file */
    bool started, draining;
    int exit_code;
};

/* --- gateway_keys.c --- */
/* Key sets for every issuer of `snap`: from files and secrets at once, by URL in the background; those of issuers that
 * stay what they were are taken over. Mistakes go to `d`. ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err gateway_keys_make(struct gateway *g, const struct snapshot *snap, struct diags *d,
                                    struct gateway_keys **out);
void gateway_keys_free(struct gateway_keys **k, uint32_t n);
/* What was under way when the pool ended: nobody will tell of it any more. */
void gateway_keys_forget(struct gateway *g);
/* Starts the fetching of what comes by URL; called once the snapshot is the one in force. */
void gateway_keys_start(struct gateway *g);
/* The store has fed the public keys of the Authentication Service; NULL: there are none. Borrowed. */
void gateway_keys_fed(struct gateway *g, struct keyset *keys);
/* worker_keys_wanted */
void gateway_keys_wanted(void *ctx, uint64_t generation, uint32_t issuer);

/* --- gateway_tls.c --- */
MUST_USE enum err gateway_tls_new(struct gateway *g, struct gateway_tls **out);
void gateway_tls_free(struct gateway_tls **t);
/* The TLS of `snap`; what is wrong with it goes to `d`. ERR_MALFORMED, ERR_NO_MEMORY. */
MUST_USE enum err gateway_tls_make(struct gateway_tls *t, const struct snapshot *snap, struct diags *d,
                                   struct tls_set **out);
/* It is in force now; the reference is handed over. */
void gateway_tls_take(struct gateway_tls *t, struct tls_set **set);
/* The one in force; borrowed. */
struct tls_set *gateway_tls_set(const struct gateway_tls *t);
void gateway_tls_metrics(const struct gateway_tls *t, struct buf *out);

/* --- gateway.c --- */
/* One feed record to every worker; `fill` makes the payload for each. */
void gateway_feed_keys(struct gateway *g, uint32_t issuer, struct keyset *keys);
/* The word that the tables have changed, to every worker. */
void gateway_feed_tables(struct gateway *g);
/* Everything to every worker, behind a gap. */
void gateway_feed_again(struct gateway *g);
/* A snapshot of the configuration in force with the products that the store has now. ERR_OK: on its way. */
MUST_USE enum err gateway_rebuild(struct gateway *g);
/* Loads the configuration anew and swaps it whole or not at all. ERR_OK: on its way to the workers. ERR_AGAIN: it has
 * names that are not known yet; gateway_reload_again follows when they have been looked up. */
MUST_USE enum err gateway_reload(struct gateway *g, struct diags *d);
/* For the log: it was refused. */
void gateway_reload_refused(const struct gateway *g, str mistakes);
bool gateway_settled(const struct gateway *g);
/* Ends: WIRE_DRAIN_… */
void gateway_drain(struct gateway *g, unsigned how);

/* --- gateway_parent.c --- */
/* Listens to what the parent says. */
MUST_USE enum err gateway_follow_parent(struct gateway *g);

/* --- gateway_control.c --- */
/* Watches, after a reload, that every worker takes what was sent; sends it again to those that could not. */
void gateway_settle(struct gateway *g);
/* The names that a reload waits for are there: `gateway` is a struct gateway. */
void gateway_reload_again(void *gateway);
void gateway_control_init(struct gateway *g);
/* To who asked for the reload, if anybody did. */
void gateway_answer_reload(struct gateway *g, const struct control_reload *result);

/* --- gateway_upstreams.c --- */
/* GET /v1/upstreams; `ctx` is a struct gateway. */
void gateway_upstreams(void *ctx, struct buf *out);
void gateway_upstreams_metrics(const struct gateway *g, struct buf *out);

#endif
