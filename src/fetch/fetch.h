/* The one outbound client of our own code: one GET of a small document, or one POST of one, with the rules that keep
 * it from being turned against the inside of the network.
 *
 * https only, the certificate always verified; no redirects, no proxies, no cookies, no compression; the address
 * connected to is the one that was checked; link-local and metadata addresses never, loopback and private ones only
 * when declared; at most FETCH_MAX_BYTES and FETCH_MAX_MS for everything, name lookup included.
 *
 * Owner: one loop. A request frees itself after its `done`. Knows nothing of what the document means. */
#ifndef SALLYPORT_FETCH_FETCH_H
#define SALLYPORT_FETCH_FETCH_H

#include "net/offload.h"

#define FETCH_MAX_BYTES (256u * 1024)
#define FETCH_MAX_MS    5000u
#define FETCH_MAX_SEND  (4u << 20)

enum fetch_fault {
    FETCH_FAULT_NONE = 0,
    FETCH_FAULT_URL,         /* no absolute http(s) URL of ours */
    FETCH_FAULT_PLAIN,       /* http:// where it is not allowed */
    FETCH_FAULT_NAME,        /* the name does not resolve */
    FETCH_FAULT_ADDRESS,     /* every address of it is one that may not be connected to */
    FETCH_FAULT_CONNECT,     /* refused or unreachable */
    FETCH_FAULT_TRUST,       /* the file of certification authorities cannot be read */
    FETCH_FAULT_TLS,         /* no TLS that we speak */
    FETCH_FAULT_CERTIFICATE, /* not accepted: name, time, issuer */
    FETCH_FAULT_ANSWER,      /* no HTTP/1 that we accept */
    FETCH_FAULT_CODING,      /* a Content-Encoding that was not asked for */
    FETCH_FAULT_REDIRECT,    /* 3xx: never followed */
    FETCH_FAULT_STATUS,      /* anything else but 200 */
    FETCH_FAULT_SIZE,        /* larger than allowed */
    FETCH_FAULT_CUT,         /* ended before it was whole */
    FETCH_FAULT_TIME,        /* not whole in time */
    FETCH_FAULT_BUSY,        /* too many lookups wait already, or no descriptor is left */
    FETCH_FAULT_MEMORY
};

/* For people: "the certificate is not accepted". Never NULL. */
const char *fetch_fault_text(enum fetch_fault f);

struct fetch_env {
    struct loop *loop;
    struct offload *pool; /* for name lookups */
};

struct fetch_header {
    str name, value;
};

struct fetch_options {
    const char *ca_file;   /* PEM; NULL: the system's authorities. Read anew for each request */
    str ca_pem;            /* the same as content, borrowed for fetch_start's turn and the next; .p NULL: see ca_file */
    const char *accept;    /* the Accept field, a constant; NULL: any */
    bool private_ok;       /* loopback and private addresses too */
    bool plain_ok;         /* http:// to loopback addresses; for development only */
    bool plain_private_ok; /* http:// to private addresses too; only for what the configuration names itself */
    str body;              /* POST this, of at most FETCH_MAX_SEND bytes; borrowed until `done`. .p NULL: GET */
    const char *content_type;           /* of the body, a constant */
    const struct fetch_header *headers; /* more fields; what is no field's name or value refuses the request (URL) */
    size_t n_headers;
    uint32_t max_bytes;  /* 0 or more than FETCH_MAX_BYTES: that */
    uint32_t timeout_ms; /* 0 or more than FETCH_MAX_MS: that */
};

struct fetch_result {
    enum fetch_fault fault;
    uint16_t status;    /* 0: there was no answer */
    str body;           /* whole, when fault is NONE; lives during the call */
    const char *detail; /* private: for logs, never for callers outside; may be "" */
};

struct fetch;

/* Copies the url and the options (the strings in them are borrowed until `done`). `done` comes later, from the loop,
 * exactly once; *out is dead when it returns. ERR_NO_MEMORY. */
MUST_USE enum err fetch_start(const struct fetch_env *env, str url, const struct fetch_options *options,
                              void (*done)(void *user, const struct fetch_result *r), void *user, struct fetch **out);

/* `done` will not be called. Not from within `done`. */
void fetch_cancel(struct fetch **f);

#endif
