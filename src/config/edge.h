/* What a configuration says about traffic at the edge: kinds of callers, limits, quotas, health, breakers.
 *
 * Plain values, the same in `struct config` and in the snapshot; texts live in the arena of whoever holds them. */
#ifndef SALLYPORT_CONFIG_EDGE_H
#define SALLYPORT_CONFIG_EDGE_H

#include "base/str.h"

/* Who a credential stands for. */
enum caller_kind {
    CALLER_NONE = 0, /* nobody proved anything: public routes */
    CALLER_USER,
    CALLER_SERVICE,
    CALLER_THIRD_PARTY,
    CALLER_KINDS
};

/* Credentials that suffice for an action. */
enum { ACCEPT_TOKEN = 1, ACCEPT_APIKEY = 2, ACCEPT_SIGNATURE = 4, ACCEPT_CERTIFICATE = 8 };
#define ACCEPT_BITS 4 /* how many there are */

enum balance_kind { BALANCE_LEAST_REQUEST = 0, BALANCE_ROUND_ROBIN, BALANCE_HASH };
enum hash_by { HASH_BY_USER = 0, HASH_BY_ADDRESS, HASH_BY_PRODUCT, HASH_BY_HEADER };

/* Who shares one bucket of a limit. */
enum limit_per {
    LIMIT_PER_USER = 0,
    LIMIT_PER_KEY,
    LIMIT_PER_PRODUCT,
    LIMIT_PER_ADDRESS,
    LIMIT_PER_CALLER, /* a kind of caller */
    LIMIT_PER_ACTION  /* all callers together */
};

enum quota_window { QUOTA_HOUR = 0, QUOTA_DAY, QUOTA_MONTH }; /* of UTC */

struct snapshot_quota {
    uint64_t requests; /* 0: none */
    enum quota_window window;
};

struct snapshot_health {
    bool on;
    str method, path;
    uint32_t every_ms, timeout_ms, healthy, unhealthy;
};

struct snapshot_eject {
    uint32_t failures; /* 0: off */
    uint32_t base_ms;
    uint32_t at_most; /* percent of the instances */
};

struct snapshot_breaker {
    bool on;
    uint32_t errors; /* percent */
    uint32_t of;     /* of at least so many requests */
    uint32_t window_ms, open_ms;
    uint32_t concurrent[CALLER_KINDS]; /* requests under way; 0: no bound */
};

struct snapshot_pool {
    uint32_t idle;    /* warm connections to an instance, of each worker */
    uint32_t open;    /* connections to an instance, of the whole process */
    uint32_t waiting; /* requests that wait for a connection to an instance, of each worker */
};

struct snapshot_retry {
    uint32_t attempts; /* more attempts after the first; 0: none */
    uint32_t budget;   /* percent of the requests that may be attempts */
};

const char *caller_kind_name(enum caller_kind k);   /* "user", "service", "third-party", "none" */
const char *credential_name(unsigned accept_bit);   /* "token", "apikey", "signature", "certificate"; "none" */
const char *limit_per_name(enum limit_per p);       /* "user" … "action" */
const char *quota_window_name(enum quota_window w); /* "hour", "day", "month" */

#endif
