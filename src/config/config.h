/* The configuration as it was written, typed and checked, every value with its place in the file.
 *
 * Made by config_load from a YAML file (or config_parse from text), compiled into a snapshot by snapshot_build and
 * then thrown away: nothing that serves requests reads it. Checking reports every mistake at once (config/diag.h).
 * Reads no secret, resolves no name, opens no file but its own: that is snapshot_build's. One owner, control thread;
 * everything lives in the configuration's own arena. */
#ifndef SALLYPORT_CONFIG_CONFIG_H
#define SALLYPORT_CONFIG_CONFIG_H

#include "base/arena.h"
#include "config/authentication.h"
#include "config/diag.h"
#include "config/edge.h"
#include "crypto/key.h"

/* Bounds of what one file may hold. */
#define CONFIG_MAX_ACTIONS      20000
#define CONFIG_MAX_NAMES        4096 /* products, services, roles, permissions: each */
#define CONFIG_MAX_ISSUERS      256
#define CONFIG_MAX_SEGMENTS     32 /* of one pattern */
#define CONFIG_MAX_PARAMS       8  /* of one pattern */
#define CONFIG_MAX_WORKERS      64
#define CONFIG_MAX_LISTENERS    16
#define CONFIG_MAX_NETWORKS     64
#define CONFIG_MAX_CERTIFICATES 64
#define CONFIG_MAX_LIMITS       16 /* in one place */
#define CONFIG_MAX_PINS         64 /* of one product */

/* Algorithms of crypto/key.h that the Authentication Service signs with: bits of a mask. */
#define CONFIG_SIGNING_ALGS (1u << ALG_ES256 | 1u << ALG_ES384 | 1u << ALG_RS256 | 1u << ALG_PS256 | 1u << ALG_EDDSA)

/* Text and where it stands. */
struct config_str {
    str s;
    struct config_pos at;
};

struct config_list {
    const struct config_str *v;
    uint32_t n;
    bool any; /* `any` was written instead of a list */
    struct config_pos at;
};

enum address_kind { ADDRESS_TCP, ADDRESS_UNIX };

/* HOST:PORT, [v6]:PORT, :PORT or unix:/path. */
struct config_address {
    enum address_kind kind;
    str text; /* as written */
    str host; /* ADDRESS_TCP: name or number without brackets; empty: all addresses */
    str path; /* ADDRESS_UNIX: absolute */
    uint16_t port;
    struct config_pos at;
};

enum secret_provider { SECRET_NONE = 0, SECRET_FILE, SECRET_ENV, SECRET_CREDENTIAL, SECRET_COMMAND };

/* Where a secret comes from; never the secret itself. */
struct config_secret {
    enum secret_provider provider;
    struct config_str value; /* file (resolved path), variable or credential name */
    struct config_list argv; /* SECRET_COMMAND */
    struct config_pos at;
};

enum config_typ { CONFIG_TYP_AT_JWT = 0, CONFIG_TYP_LEGACY };
enum claim_kind { CLAIM_USER, CLAIM_ROLES, CLAIM_PERMISSIONS, CLAIM_CLIENT, CLAIM_PRODUCT, CLAIM_KINDS };

struct config_issuer {
    str name;
    struct config_pos at;
    struct config_str issuer;
    struct config_list audience;
    struct config_list algorithms; /* JWA names, all known */
    enum config_typ typ;
    struct config_str keys_file; /* resolved path; or .s.n == 0 */
    struct config_str keys_url;
    struct config_str keys_ca; /* resolved path */
    bool keys_private;
    uint32_t keys_refresh_ms, keys_min_interval_ms;
    struct config_secret secret;
    bool is_default;
    struct config_list products, roles, permissions;
    struct config_list claims[CLAIM_KINDS]; /* each a list of paths; may be empty */
    uint32_t leeway_s;
    enum caller_kind caller;   /* what its tokens make */
    bool builtin;              /* the Authentication Service: its keys come by the feed */
    struct config_list grants; /* actions that each of its users is granted; built-in only */
};

/* "100/s", with what it allows at once and who shares it. */
struct config_limit {
    uint32_t count;
    uint64_t period_ms;
    uint32_t burst;
    enum limit_per per;
    struct config_pos at;
};

struct config_pin {
    unsigned char sha256[32]; /* of the SubjectPublicKeyInfo */
    struct config_pos at;
};

struct config_key {
    str id;
    unsigned char sha256[32];
    struct config_pos at;
};

enum product_auth { PRODUCT_APIKEY = 0, PRODUCT_TOKEN };

struct config_product {
    str name;
    struct config_pos at;
    enum product_auth auth;
    struct config_key *keys;
    uint32_t n_keys;
    struct config_list may; /* action names, "service:invoke" among them */
    enum product_login login;
    enum product_proof proof;
    struct config_str users; /* its user base; empty: the first of authentication.user_bases */
    bool stored;             /* comes from the store, not from the file */
    enum caller_kind caller; /* what its own credentials make; CALLER_NONE is read as CALLER_USER */
    struct config_pin *certificates;
    uint32_t n_certificates;
    struct config_secret mac_key; /* of its signatures; SECRET_NONE: the apisecret that the store has, if any */
    struct config_limit *limits;
    uint32_t n_limits;
    struct snapshot_quota quota;
};

/* Credentials an application declares that it needs to see. */
enum { PASS_AUTHORIZATION = 1, PASS_COOKIE = 2, PASS_APIKEY = 4 };

struct config_instance {
    struct config_address address; /* of an SRV name: text, host and no port */
    bool srv;
    uint32_t weight; /* 1 to 100 */
    struct config_str zone;
};

struct config_tls_client {
    bool on;
    struct config_pos at;
    struct config_str ca, cert; /* resolved paths */
    struct config_str name;
    struct config_secret key;
};

struct config_service {
    str name;
    struct config_pos at;
    struct config_instance *instances;
    uint32_t n_instances;
    uint8_t pass; /* PASS_* */
    bool implicit, builtin;
    enum balance_kind balance;
    enum hash_by hash_by;
    struct config_str hash_header; /* in lower case */
    struct snapshot_health health;
    struct snapshot_eject eject;
    uint32_t slow_start_ms;
    struct snapshot_pool pool;
    struct snapshot_retry retry;
    struct snapshot_breaker breaker;
    struct config_pos breaker_at, health_at;
    uint32_t connect_ms, response_ms; /* 0: those of `timeouts` */
    struct config_tls_client tls;
};

struct config_action {
    str name;
    struct config_pos at;
    struct config_list matches; /* "GET /orders/{id}", each of good form */
    struct config_str to;       /* a service's name */
    bool is_public;
    uint8_t accept[CALLER_KINDS]; /* ACCEPT_*; all 0 when public */
    struct config_str strip;      /* "" or "/prefix" */
    uint32_t timeout_ms;          /* 0: timeouts.total */
    uint64_t body_max;            /* UINT64_MAX: limits.body */
    bool builtin;
    bool proof;   /* Authorization is for the service, which judges it: no token, and passed on */
    uint8_t pass; /* PASS_*: what the service sees here besides what it always does */
    struct config_limit *limits;
    uint32_t n_limits;
};

/* A role or a permission and the actions it grants. */
struct config_grant {
    str name;
    struct config_pos at;
    struct config_list actions;
};

struct config_network {
    bool any_unix; /* "unix": whoever comes in by a Unix socket */
    uint8_t family_v6, bits;
    unsigned char address[16]; /* 4 or 16 bytes, network order, host bits zero */
};

struct config_limits {
    uint32_t head, target, fields, connections, buffer;
    uint64_t body;
    uint32_t keepalive_requests; /* 0: no bound */
};

struct config_timeouts {
    uint32_t head_ms, body_rate, body_grace_ms, idle_ms, connect_ms, response_ms, total_ms, drain_ms;
};

/* The section as it was read; the snapshot has it as struct authentication_settings. */
struct config_authentication {
    bool on;
    struct config_pos at;
    struct config_str issuer;
    struct config_list audience;
    uint32_t access_s, refresh_s, session_s;
    struct config_str algorithm;
    uint32_t rotate_s, publish_ahead_s;
    uint64_t memory; /* bytes */
    uint32_t passes, concurrent, queue;
    struct config_rate account, address;
    struct config_list user_bases;
};

struct config_listener {
    struct config_address address;
    bool tls;
};

struct config_certificate {
    struct config_str cert; /* resolved path */
    struct config_secret key;
    struct config_str ocsp; /* resolved path; may be empty */
    struct config_pos at;
};

struct config_tls {
    bool on;
    struct config_pos at;
    struct config_certificate *certificates;
    uint32_t n_certificates;
    unsigned minimum;             /* 0: 1.2, 1: 1.3 */
    uint32_t tickets_s;           /* 0: none */
    struct config_str clients_ca; /* resolved path; may be empty */
};

struct config_header {
    struct config_str name;
    struct config_secret value;
};

struct config_tracing {
    struct config_str otlp; /* empty: none */
    struct config_pos at;
    uint32_t sample_ppm;
    struct config_str ca; /* resolved path */
    struct config_header *headers;
    uint32_t n_headers;
};

enum config_log_level { CONFIG_LOG_DEBUG, CONFIG_LOG_INFO, CONFIG_LOG_WARN, CONFIG_LOG_ERROR };

struct config {
    struct arena mem;
    str dir; /* what relative paths are relative to */
    struct config_str name, environment, data;
    struct config_listener *gateway;
    uint32_t n_gateway;
    struct config_address admin;
    bool has_admin;
    uint32_t workers;
    struct config_network *hops_trusted;
    uint32_t n_hops_trusted;
    uint32_t hops;
    struct config_limits limits;
    struct config_timeouts timeouts;
    bool log_access;
    enum config_log_level log_level;
    struct config_issuer *issuers;
    struct config_product *products;
    struct config_service *services;
    struct config_action *actions;
    struct config_grant *roles, *permissions;
    uint32_t n_issuers, n_products, n_services, n_actions, n_roles, n_permissions;
    struct config_authentication authentication;
    bool fed; /* one of `authentication`, `store`, `feed` is there: there is a store, and the gateway follows it */
    enum config_engine engine;
    uint32_t lease_ms;                                     /* always set when fed */
    struct config_secret seal;                             /* SECRET_NONE: seal.key in the data folder */
    struct config_str store_socket, authentication_socket; /* absolute paths; empty: in the data folder */
    struct config_str zone;
    struct config_list dns_servers; /* empty: the system's */
    struct config_tls tls;
    struct config_limit *edge_limits; /* LIMIT_PER_ADDRESS */
    uint32_t n_edge_limits;
    struct config_tracing tracing;
    unsigned sandbox; /* 0: on */
};

/* What the command line sets over the file; NULL and 0 leave the file's word. */
struct config_overrides {
    const char *gateway; /* one address */
    const char *admin;   /* an address or "none" */
    const char *data;
    uint32_t workers;
};

struct config_source; /* config/source.h */

/* Reads and checks the file, by `source` (NULL: directly). *out is written on ERR_OK only; `d` (initialised by the
 * caller with the file's name) has the mistakes, and warnings also on ERR_OK. `o` may be NULL. ERR_MALFORMED,
 * ERR_LIMIT, ERR_IO, ERR_NO_MEMORY: each with at least one error in `d`. */
MUST_USE enum err config_load(const char *path, const struct config_source *source, const struct config_overrides *o,
                              struct diags *d, struct config **out);

/* The same from text; relative paths are taken from `dir`. */
MUST_USE enum err config_parse(str text, str dir, const struct config_overrides *o, struct diags *d,
                               struct config **out);

/* NULL is fine. */
void config_free(struct config **c);

#endif
