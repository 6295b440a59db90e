/* A snapshot: the configuration compiled into what requests need, immutable and counted.
 *
 * Everything is an array and is named by its index; an index is good within one snapshot only. Built by the control
 * thread, handed to the workers as a feed record, read by all threads without a lock; each holder has a reference
 * (an atomic count), and the last one to let go frees it whole: a snapshot has its own arena. Secrets in it are
 * wiped then. Knows no connection and no request. */
#ifndef SALLYPORT_CONFIG_SNAPSHOT_H
#define SALLYPORT_CONFIG_SNAPSHOT_H

#include "base/map.h"
#include "config/config.h"
#include "config/route.h"
#include "config/source.h"
#include "policy/grants.h"

#include <stdatomic.h>
#include <sys/socket.h>

struct fed_key; /* config/fed.h */
struct issuer;  /* identity/issuer.h */

#define SNAPSHOT_NO_GRANTOR UINT16_MAX
#define SNAPSHOT_NO_NAME    UINT32_MAX

struct snapshot_listener {
    enum address_kind kind;
    str text;                     /* as configured: ":8080", "unix:/run/gw.sock" */
    struct sockaddr_storage addr; /* ":8080" is [::]:8080 */
    socklen_t addr_len;
    bool all; /* all addresses: without IPv6 in the kernel, bind 0.0.0.0 instead */
    bool tls;
};

/* A token bucket: `count` in `period_ns`, `burst` at once. */
struct snapshot_limit {
    uint64_t id; /* the same across reloads while its place, rate, burst and per are; a hash of them */
    uint32_t count;
    uint64_t period_ns;
    uint32_t burst;
    enum limit_per per;
    str name; /* for RateLimit-Policy: "payOrder", "payOrder-2"; of the edge "edge"; of a product "product-NAME" */
};

struct snapshot_tls_client {
    bool on;
    str ca_pem;            /* empty: the system's authorities */
    str name;              /* empty: the instance's host */
    str cert_pem, key_pem; /* contents; the key is wiped with the snapshot. Empty: no certificate of ours */
};

struct snapshot_instance {
    str text;  /* as configured: "orders.internal:8080" */
    str shown; /* the address: "10.0.0.11:8080"; the same as `text` unless a host name was resolved */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    uint32_t weight; /* 1 to 100 */
    str zone;
    bool same_zone;    /* as the gateway; also when one of them has none */
    str host;          /* name for TLS: no port, no brackets; empty for a Unix socket */
    uint16_t priority; /* SRV; 0 is first */
    uint32_t name;     /* index of the name that it was looked up by, or SNAPSHOT_NO_NAME */
};

/* What has to be looked up again now and then. */
struct snapshot_name {
    str text; /* "orders.internal:8080" or "srv:_http._tcp.orders.internal" */
    bool srv;
    str host;
    uint16_t port; /* 0 for SRV */
    uint32_t service;
    uint32_t weight;
    str zone;
};

struct snapshot_service {
    str name;
    uint32_t index;
    const struct snapshot_instance *instances; /* none only when no name of it could be resolved */
    uint32_t n_instances;
    uint32_t first_instance; /* of all services' instances in a row */
    enum balance_kind balance;
    enum hash_by hash_by;
    str hash_header; /* HASH_BY_HEADER: in lower case */
    struct snapshot_health health;
    struct snapshot_eject eject;
    uint32_t slow_start_ms;
    struct snapshot_pool pool;
    struct snapshot_retry retry;
    struct snapshot_breaker breaker;
    uint32_t connect_ms, response_ms; /* always set */
    struct snapshot_tls_client tls;
};

struct snapshot_action {
    str name;  /* "viewOrder", "business:invoke" */
    str match; /* "GET /orders/{id}", for people; separated by ", " */
    uint32_t index;
    uint32_t service;
    bool is_public;
    bool implicit;                /* /{service}/{rest} */
    uint8_t accept[CALLER_KINDS]; /* ACCEPT_*; 0: that kind may not call; all 0 when public */
    str strip;                    /* what route_find cuts off the path; may be empty */
    uint32_t timeout_ms;          /* of the whole exchange; always set */
    uint64_t body_max;            /* always set */
    uint8_t pass;                 /* PASS_*: credentials that its service needs to see */
    bool proof;                   /* Authorization is no token here: the service judges it */
    const struct snapshot_limit *limits;
    uint32_t n_limits;
};

struct snapshot_product {
    str name;
    uint32_t index;
    enum product_auth auth;
    uint16_t grantor;
    enum product_login login;
    enum product_proof proof;
    str users;               /* its user base, always set when login is not LOGIN_NONE */
    bool stored;             /* comes from the store, not from the file */
    uint64_t mark;           /* of revocations of the whole product (config/fed.h) */
    enum caller_kind caller; /* what its own credentials make: apikey, signature, certificate */
    const struct snapshot_limit *limits;
    uint32_t n_limits;
    struct snapshot_quota quota;
    const unsigned char (*certificates)[32]; /* SHA-256 of the SubjectPublicKeyInfo of its client certificates */
    uint32_t n_certificates;
    str mac_key;  /* of the signatures of its requests; empty: it cannot sign. Wiped when the snapshot goes */
    bool mac_fed; /* it comes from the store */
};

struct snapshot_key {
    str id;
    uint32_t product;
    unsigned char sha256[32]; /* of the whole key text */
};

enum key_source { KEY_SOURCE_FILE, KEY_SOURCE_URL, KEY_SOURCE_SECRET, KEY_SOURCE_FEED /* the store's feed */ };

struct snapshot_issuer {
    str name;
    uint32_t index;
    const struct issuer *issuer; /* what a token of it must look like and what it may assert */
    enum key_source source;
    str file;            /* KEY_SOURCE_FILE: path of a JWKS */
    str url, ca;         /* KEY_SOURCE_URL: https; ca: path of a PEM bundle, or empty for the system's */
    bool may_be_private; /* the URL may lead to a private address */
    uint32_t refresh_ms, min_interval_ms;
    str secret;              /* KEY_SOURCE_SECRET: the bytes; wiped when the snapshot goes */
    uint16_t grantor;        /* of what each of its users is granted, or SNAPSHOT_NO_GRANTOR */
    enum caller_kind caller; /* what its tokens make */
};

/* One certificate of the gateway; contents. The key is wiped with the snapshot. */
struct snapshot_certificate {
    str cert_pem, key_pem, ocsp_der; /* ocsp_der may be empty */
    str cert_path;
};

struct snapshot_header {
    str name, value; /* the value is wiped with the snapshot: it may be a secret */
};

struct snapshot {
    _Atomic uint32_t refs;
    uint64_t generation;
    struct arena mem;

    str name, environment, data; /* data: path of the data folder */
    const struct snapshot_listener *listeners;
    const struct snapshot_listener *admin; /* NULL: none */
    uint32_t n_listeners;
    uint32_t workers, hops;
    struct config_limits limits;
    struct config_timeouts timeouts;
    bool log_access;
    enum config_log_level log_level;
    const struct config_network *networks; /* see snapshot_hop_trusted */
    uint32_t n_networks;

    struct authentication_settings authentication;
    bool fed; /* there is a store, and the gateway follows its feed */
    enum config_engine engine;
    uint32_t lease_ms;         /* of the feed; set when fed */
    struct config_secret seal; /* where the sealing key comes from; SECRET_NONE: seal.key in the data folder */
    str store_socket, authentication_socket; /* absolute paths; empty: in the data folder */

    str zone;        /* empty: none */
    str dns_servers; /* "10.0.0.53,[fd00::53]:5353"; empty: the system's */
    struct {
        const struct snapshot_certificate
            *certificates; /* at least one when a listener has TLS; the first is the default */
        uint32_t n_certificates;
        bool tls12;         /* TLS 1.2 too */
        uint32_t tickets_s; /* how often their keys change; 0: no tickets */
        str clients_ca_pem; /* empty: no client certificate is asked for */
    } tls;
    const struct snapshot_limit *edge_limits; /* `limit` of the file: before any credential is looked at */
    uint32_t n_edge_limits;
    struct {
        str url;             /* empty: no tracing */
        str ca_pem;          /* empty: the system's authorities */
        uint32_t sample_ppm; /* of traces, in millionths */
        const struct snapshot_header *headers;
        uint32_t n_headers;
    } tracing;
    bool sandbox;

    const struct snapshot_service *services;
    const struct snapshot_action *actions; /* explicit ones first, then the implicit ones */
    const struct snapshot_product *products;
    const struct snapshot_key *keys;
    const struct snapshot_issuer *issuers;
    const struct snapshot_name *names;
    uint32_t n_services, n_actions, n_products, n_keys, n_issuers, n_names;
    uint32_t n_instances; /* of all services */

    struct route_table *routes;
    struct grants grants;
    /* read through the functions below */
    struct map services_by_name, actions_by_name, products_by_name, keys_by_id, issuers_by_iss;
    struct map roles, permissions, certificates;
};

/* Compiles; resolves host names, reads files and fetches secrets by `source` (NULL: directly), so it may take seconds:
 * control thread only. A service's name that does not resolve is a warning; it is looked up again later. *out has one
 * reference and is written on ERR_OK only. Mistakes go to `d`, all at once. ERR_MALFORMED, ERR_LIMIT, ERR_IO,
 * ERR_NO_MEMORY: each with at least one error in `d`. */
MUST_USE enum err snapshot_build(const struct config *c, const struct config_source *source, uint64_t generation,
                                 struct diags *d, struct snapshot **out);

/* The same when nothing but products and what they may has changed since `like` was built: the addresses, files and
 * secrets of that one are taken, so nothing is looked up and nothing waits. */
MUST_USE enum err snapshot_rebuild(const struct config *c, const struct snapshot *like, uint64_t generation,
                                   struct diags *d, struct snapshot **out);

/* Whether there is an action that takes signatures of this product, and that it may ask for. */
bool snapshot_product_signs(const struct snapshot *s, const struct snapshot_product *p);
/* The key of a product's signatures as the store has it (copied); that of the file stays. To be called by its maker
 * before anybody else has the snapshot. ERR_CONFLICT: the file has one. ERR_NO_MEMORY. */
MUST_USE enum err snapshot_put_mac_key(struct snapshot *s, uint32_t product, str key);

/* An address that a name was resolved to. */
struct snapshot_address {
    uint32_t name; /* index in `like->names` */
    struct sockaddr_storage addr;
    socklen_t len;
    uint16_t priority; /* SRV */
    uint32_t weight;   /* SRV: as in DNS, 0 to 65535; not looked at otherwise */
    str host;          /* SRV: the target; not looked at otherwise */
};

struct snapshot_addresses {
    uint32_t n;
    struct snapshot_address v[];
};

/* snapshot_rebuild with new addresses for the names in `now`; a name that is not in it keeps what it had. Whatever
 * comes in any order, instances are in the order of their names, then priority, then address. */
MUST_USE enum err snapshot_readdress(const struct config *c, const struct snapshot *like,
                                     const struct snapshot_addresses *now, uint64_t generation, struct diags *d,
                                     struct snapshot **out);

struct snapshot *snapshot_ref(struct snapshot *s);
/* Lets go and sets *s to NULL. NULL is fine. Any thread. */
void snapshot_unref(struct snapshot **s);

/* Whether forwarding headers of whoever is at `addr` are believed. NULL and unknown families are not. */
bool snapshot_hop_trusted(const struct snapshot *s, const struct sockaddr *addr);

/* The key of that id, or NULL. The caller compares the digest in constant time. */
const struct snapshot_key *snapshot_key(const struct snapshot *s, str id);
/* The issuer whose `iss` is exactly that, or NULL. */
const struct snapshot_issuer *snapshot_issuer(const struct snapshot *s, str iss);
const struct snapshot_action *snapshot_action(const struct snapshot *s, str name);
const struct snapshot_product *snapshot_product(const struct snapshot *s, str name);
const struct snapshot_service *snapshot_service(const struct snapshot *s, str name);
/* The product that pinned a client certificate with that key, or NULL. */
const struct snapshot_product *snapshot_certificate_product(const struct snapshot *s,
                                                            const unsigned char spki_sha256[32]);

/* ACCEPT_* that some kind of caller may use; 0: public, or nobody may call. */
static inline uint8_t snapshot_action_accepts_any(const struct snapshot_action *a)
{
    return a->accept[CALLER_USER] | a->accept[CALLER_SERVICE] | a->accept[CALLER_THIRD_PARTY];
}

/* The data folder as an absolute path with `name` in it, "/var/lib/sallyport/data.sock", NUL-terminated.
 * ERR_LIMIT: longer than `room`. */
MUST_USE enum err snapshot_data_path(const struct snapshot *s, const char *name, char *out, size_t room);

/* The product that a key of the store is of, or NULL: there is none of that name. */
const struct snapshot_product *snapshot_fed_product(const struct snapshot *s, const struct fed_key *key);

/* The grantor of a role or permission that a token asserts, or SNAPSHOT_NO_GRANTOR when it grants nothing. A
 * permission named like an action grants that action. */
uint16_t snapshot_role(const struct snapshot *s, str name);
uint16_t snapshot_permission(const struct snapshot *s, str name);

#endif
