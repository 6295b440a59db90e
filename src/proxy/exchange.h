/* One request's life: an array of steps, run in order, resumable and cancellable.
 *
 *   exchange_start ──► route ► authenticate ► authorize ► limit ► body ► stamp ► dispatch ► relay ──► exchange_end
 *                        │ STEP_REFUSE at any: exchange_refuse (an RFC 9457 problem) ─────────────────────┘
 *
 * STEP_WAIT: somebody will call exchange_resume, which runs the same step again; until then the exchange may be
 * cancelled (the client is gone, a deadline passed). Logging is always last. */
#ifndef SALLYPORT_PROXY_EXCHANGE_H
#define SALLYPORT_PROXY_EXCHANGE_H

#include "http/stream.h"
#include "proxy/callers.h"
#include "proxy/held_body.h"
#include "proxy/limit_book.h"
#include "proxy/meter.h"
#include "proxy/worker.h"
#include "serve/reason.h"

#define EXCHANGE_FIELDS   256 /* most a head may have (the configuration's bound ends there) */
#define EXCHANGE_STAMPS   24  /* fields that we add */
#define EXCHANGE_TRAILERS 32
#define EXCHANGE_ARENA    2048
#define EXCHANGE_CAP      (128u * 1024)
#define DISPATCH_TRIED    4 /* instances that one request passes over at most */
#define GATE              1
#define TIMED_DECISIONS   8 /* one in so many: two looks at the clock are a hundredth of a request */

enum step { STEP_NEXT, STEP_WAIT, STEP_REFUSE };
typedef enum step step_fn(struct exchange *x);

struct exchange {
    struct server_stream down; /* first: the connection knows us by it */
    struct client_stream up;
    struct worker *worker;
    struct worker_snapshot *config;
    struct arena mem;
    uint8_t step;
    bool ending;     /* exchange_end was reached */
    bool responding; /* the answer's head has left */

    uint64_t started_ns, started_ms;  /* when the loop told of it: what waits behind others in a turn waits here, too */
    uint64_t deciding_ns, decided_ns; /* of requests whose decision is timed, else 0 */
    uint64_t deadline_ms;
    enum reason reason;
    enum effect effect;
    uint16_t status;
    const char *fault; /* finer cause, a constant; may be NULL */

    /* route */
    const struct snapshot_action *action;
    struct route route;
    str path;     /* canonical, or empty while it is not known */
    bool relayed; /* it has a Via or a CDN-Loop */
    /* authenticate */
    const struct snapshot_product *product;
    struct token_entry *token; /* pinned; NULL: no token */
    str unverified_token;
    struct exchange *next_waiting, **waiting_link; /* in issuer_keys.first */
    bool waited_for_keys;
    bool asked_for_body;     /* 100 (Continue) was said for a signed body */
    uint8_t credential;      /* the ACCEPT_* that counts; 0: none */
    enum caller_kind caller; /* whom it makes */
    str signed_digest; /* Content-Digest that the body must have before it is forwarded; empty: it is not signed */
    struct held_body held;
    /* who we are in the logs and traces of others */
    char id[ULID_LEN];
    char trace_id[32];
    char traceparent[55];
    bool trace_goes_on; /* the caller's trace, not one of our own: tracestate may pass, too */
    bool sampled;       /* its spans are exported */
    str correlation;
    str remote; /* the client's address; empty until it was asked for */
    /* limit */
    struct quota *quota; /* one request was taken of it */
    uint64_t quota_until_ms;
    uint32_t retry_s; /* of a refusal: Retry-After */
    str ratelimit, ratelimit_policy;
    /* dispatch */
    struct upstream *upstream;
    struct h1_client *conn; /* connected, not yet asked */
    struct h1_client *connecting;
    struct timer timer;
    enum {
        STAGE_NONE = 0,
        STAGE_KEYS,
        STAGE_QUOTA,
        STAGE_BODY,
        STAGE_LINE,
        STAGE_CONNECT,
        STAGE_BACKOFF,
        STAGE_ANSWER
    } stage;
    uint64_t stage_until_ms, connect_until_ms;
    const char *connect_fault; /* of the last attempt to connect, if TLS failed; a constant */
    struct upstream_waiter in_line;
    struct breaker_hold breaker;
    uint64_t hash;                    /* of what the service balances by */
    uint32_t instance;                /* x->upstream among those of its service */
    uint32_t tried[DISPATCH_TRIED];   /* what failed already, or has no room */
    uint32_t attempts;                /* to reach an instance; one that was answered at once has 1 */
    uint8_t n_tried, again, backoffs; /* again: of service->retry.attempts */
    bool dispatching;                 /* dispatch has begun */
    bool under_way;                   /* counted in x->upstream's in_flight */
    bool stay;                        /* the next attempt is at the same instance */
    bool turn;                        /* it has stood in line, or goes on: it need not now */
    bool fresh;                       /* no pooled connection any more: one failed stale */
    bool attempt_failed;              /* the last attempt to connect */
    bool answered_well;               /* by the instance; not 502, 503, 504 */
    bool connected_late;              /* an instance let all the time for connecting pass; another has its turn */
    /* relay */
    uint64_t body_seen;
    bool up_started, up_done, up_closed, body_taken, answer_begun, answer_ended;

    char first[EXCHANGE_ARENA];
    struct field request_fields[EXCHANGE_FIELDS + EXCHANGE_STAMPS];
    struct field response_fields[EXCHANGE_FIELDS + EXCHANGE_STAMPS];
    struct field trailers_up[EXCHANGE_TRAILERS], trailers_down[EXCHANGE_TRAILERS];
    struct { /* written when `sampled` is set, read only then */
        uint64_t dispatched_ns;
        char span[16], parent[16]; /* parent: NUL when the trace begins here */
    } trace;
};

extern const struct server_handler exchange_handler;

/* server_env callbacks */
struct server_stream *exchange_new(void *worker);
void exchange_free(void *worker, struct server_stream *s);

/* Runs the street from the step where it waits. */
void exchange_resume(struct exchange *x);
/* Refuses from outside the street (deadlines, failures of the upstream). */
void exchange_refuse(struct exchange *x, enum reason reason, const char *fault);
/* Lets go of everything, records, and gives the stream back. */
void exchange_end(struct exchange *x);
/* Waits for that stage until then; the total deadline holds all the same. */
void exchange_stage(struct exchange *x, int stage, uint64_t until_ms);
/* STEP_REFUSE with a reason. */
enum step refuse(struct exchange *x, enum reason reason, const char *fault);

/* the street */
step_fn edge_step, route_step, authenticate_step, authorize_step, limit_step, body_step, stamp_step, dispatch_step,
    relay_step;

/* The client's address as text, kept in the exchange; .p NULL: memory. */
str exchange_remote(struct exchange *x);
/* The client's address behind the hops that are ours; one connection may bring many. */
void exchange_client_address(const struct exchange *x, struct net_peer *out);
/* limit: whoever waits for a lease of a quota looks again */
void limit_wake(struct worker *w);
/* limit: a request that was never sent on costs nothing of its quota */
void limit_end(struct exchange *x);
/* RateLimit and RateLimit-Policy of a limited action, into its answer */
void limit_tell(const struct exchange *x, struct fields *f);
/* stamp: whether the peer is a hop whose word about others counts */
bool exchange_hop_trusted(const struct exchange *x);
/* "https" or "http", as we were asked. */
static inline str exchange_scheme(const struct exchange *x)
{
    return UNLIKELY(x->down.tls != NULL) ? STR("https") : STR("http");
}
/* Whether what was fed by the store is known to be all there is, now. */
bool exchange_fed_fresh(struct exchange *x);
/* trace.c: the decision id, the trace, and until somebody trusted says otherwise the correlation id */
void exchange_ids(struct exchange *x);
/* trace.c: the spans of a sampled request, to the control thread. `now_ns`: monotonic. */
void exchange_span(struct exchange *x, uint64_t now_ns);
/* authenticate: waiting for keys */
void authenticate_wake(struct issuer_keys *k);
void authenticate_cancel(struct exchange *x);
/* dispatch: the attempt did not bring an answer; tries again where that is safe */
#define STEP_OF_DISPATCH 7
void dispatch_failed(struct exchange *x, enum client_failure why);
/* dispatch: the attempt to connect, the place in line took all the time there is for it */
void dispatch_connect_late(struct exchange *x);
void dispatch_line_late(struct exchange *x);
/* dispatch: the head of the service's answer is there */
void dispatch_answered(struct exchange *x);
/* Lets go of instance, connection and breaker, telling them how it ended. */
void dispatch_cancel(struct exchange *x);
extern const struct client_handler relay_handler;
/* relay: the client's side moved */
void relay_client_readable(struct exchange *x);
void relay_client_writable(struct exchange *x);
/* refuse.c: writes the problem as the whole answer */
void refuse_respond(struct exchange *x);
/* record.c */
void exchange_record(struct exchange *x);

#endif
