/* A frame for our own HTTP services: a Unix socket with peer credentials, requests read whole, a table of handlers,
 * answers whenever they are ready.
 *
 * Only processes of our own user (or root) are let in: what the fields say of user, product and address is believed,
 * because a gateway wrote it. A body is read whole (64 kB); then the head is copied, so that a call stands on its own:
 * the client may leave while its handler still waits for a store. Every call is answered exactly once, by the handler,
 * also when nobody waits any more. Owner: one loop. Knows nothing of what is served. */
#ifndef SALLYPORT_SERVE_SERVICE_H
#define SALLYPORT_SERVE_SERVICE_H

#include "base/log.h"
#include "codec/json.h"
#include "http/message.h"
#include "net/loop.h"
#include "serve/counters.h"
#include "serve/reason.h"

#define SERVICE_BODY_MAX  65536
#define SERVICE_CALLS_MAX 4096 /* under way at once; what comes beyond is refused with 503 */

struct service;

/* One request, until it is answered. */
struct service_call {
    struct request request; /* a copy of the head */
    str body;
    str tail;         /* what stood for '*' in the route's path; empty without */
    str id;           /* decision id */
    uint64_t wall_ms; /* when it came */
    struct arena mem; /* the handler's as well; 256 kB */
    struct loop *loop;
    bool gone;     /* nobody waits: finish what must be finished, do not begin anything slow */
    bool answered; /* private */
    void (*ended)(struct service_call *call); /* the handler's, may be NULL: just before the call is freed */
    void *state;                              /* the handler's */
    str subject, fault;                       /* for the access log line; the handler may set them */
};

struct service_route {
    enum method method;
    const char *path;   /* "/authentication/sessions"; a last segment '*' stands for exactly one segment */
    const char *action; /* for the log: "authentication:sessions" */
    void (*run)(struct service_call *call, void *owner);
};

struct service_options {
    struct loop *loop;
    const char *socket_path; /* made with mode 0600; a live one of that name is never taken over */
    const struct service_route *routes;
    size_t n_routes;
    void *owner;
    uint32_t deadline_ms;     /* of a handler's answer; 0: 15000. Then 504 is answered and the call is gone */
    bool dev;                 /* problems show details */
    struct log_producer *log; /* access log lines; may be NULL */
};

/* ERR_CONFLICT: somebody answers at that socket. ERR_LIMIT (path), ERR_IO, ERR_NO_MEMORY. */
MUST_USE enum err service_new(const struct service_options *o, struct service **out);
/* No new connection and no new request; calls under way go on. */
void service_drain(struct service *s);
size_t service_calls(const struct service *s); /* under way */
/* Calls under way are gone; each is still to be answered, which frees it. */
void service_free(struct service **s);
const struct counters *service_counters(const struct service *s);

/* The one field of that id, or STR_NONE when it is absent or came twice. */
str service_field(const struct service_call *call, enum field_id id);
/* The same by name, without regard to case. */
str service_field_named(const struct service_call *call, str name);

/* The body as a JSON object; otherwise the call is answered (415, 400) and NULL is given. */
const struct json *service_json(struct service_call *call);

/* --- answers; each ends the call --- */
/* 200…: a JSON body, or none when it is empty. `cache`: the value of Cache-Control; NULL: no-store. The bytes are the
 * caller's again when it returns. */
void service_answer(struct service_call *call, uint16_t status, str json, const char *cache);
/* A problem (RFC 9457); retry_after_s 0: no Retry-After. `detail` is shown in dev only; may be empty. */
void service_refuse(struct service_call *call, enum reason reason, uint32_t retry_after_s, str detail);

#endif
