#include "config/keys_private.h"

static const struct key_def listen_keys[] =
    {{"gateway", SHAPE_CUSTOM, .read = read_gateway, .map = &keys_listener, .max = CONFIG_MAX_LISTENERS,
      .type = "address or map, or a list of them", .standard = "`\":8080\"`",
      .about = "Where requests come in: `HOST:PORT`, `[IPv6]:PORT`, `:PORT` (all addresses) or `unix:/path`. A port of "
               "0 is not taken. A map where one speaks TLS.",
      .example = "gateway: [\":8080\", {address: \":8443\", tls: true}]"},
     {"admin", SHAPE_CUSTOM, .read = read_admin, .type = "address, or `none`", .standard = "`127.0.0.1:8081`",
      .about = "Where health, metrics and the administration answer. `none` switches it off.",
      .example = "admin: \"127.0.0.1:9901\""},
     REFUSED("sidecar"),
     END};
static const struct key_map listen_map = {.keys = listen_keys};

static const struct key_def limits_keys[] =
    {{"head", SHAPE_SIZE, AT(struct config, limits.head), .min = KB, .max = 256 * KB, .standard = "`16kB`",
      .about = "The largest request head, all its fields together. At most `limits.buffer`.", .example = "head: 8kB"},
     {"target", SHAPE_SIZE, AT(struct config, limits.target), .min = 256, .max = 64 * KB, .standard = "`8kB`",
      .about = "The longest request target (path and query). At most `limits.head`.", .example = "target: 4kB"},
     {"fields", SHAPE_NUMBER, AT(struct config, limits.fields), .min = 10, .max = 256, .standard = "`100`",
      .about = "The most header fields of one message.", .example = "fields: 64"},
     {"body", SHAPE_SIZE64, AT(struct config, limits.body), .max = 1024 * GB, .standard = "`64MB`",
      .about = "The largest request body. An action may set its own with `body`.", .example = "body: 10MB"},
     {"connections", SHAPE_NUMBER, AT(struct config, limits.connections), .min = 16, .max = 1000000,
      .standard = "`16000`", .about = "The most client connections at once, all workers together.",
      .example = "connections: 4000"},
     {"buffer", SHAPE_SIZE, AT(struct config, limits.buffer), .min = 4 * KB, .max = 1 * MB, .standard = "`16kB`",
      .about = "The one buffer that a busy connection has for each direction.", .example = "buffer: 32kB"},
     {"keepalive_requests", SHAPE_NUMBER, AT(struct config, limits.keepalive_requests), .max = 1000000000,
      .standard = "`0`", .about = "Requests that one client connection may carry; 0 means any number.",
      .example = "keepalive_requests: 10000"},
     END};
static const struct key_map limits_map = {.keys = limits_keys};

static const struct key_def timeouts_keys[] = {
    {"head", SHAPE_MS, AT(struct config, timeouts.head_ms), .min = 100, .max = HOUR_MS, .standard = "`10s`",
     .about = "From the first byte of a request head to its last. A byte that arrives does not renew it.",
     .example = "head: 5s"},
    {"body_rate", SHAPE_NUMBER, AT(struct config, timeouts.body_rate), .max = 1000000000, .standard = "`240`",
     .about = "The least bytes a second that a client must send of a body, or take of an answer, once `body_grace` is "
              "over; 0: no least rate.",
     .example = "body_rate: 1000"},
    {"body_grace", SHAPE_MS, AT(struct config, timeouts.body_grace_ms), .min = 100, .max = HOUR_MS, .standard = "`10s`",
     .about = "How long a body may stall in all before `body_rate` counts.", .example = "body_grace: 20s"},
    {"idle", SHAPE_MS, AT(struct config, timeouts.idle_ms), .min = 100, .max = 24 * HOUR_MS, .standard = "`60s`",
     .about = "How long a kept-alive connection may wait for its next request.", .example = "idle: 30s"},
    {"connect", SHAPE_MS, AT(struct config, timeouts.connect_ms), .min = 10, .max = HOUR_MS, .standard = "`3s`",
     .about = "To open a connection to a service. If nobody answers, another instance gets as much again, once.",
     .example = "connect: 1s"},
    {"response", SHAPE_MS, AT(struct config, timeouts.response_ms), .min = 10, .max = HOUR_MS, .standard = "`30s`",
     .about = "From the request's last byte to the head of the service's answer.", .example = "response: 10s"},
    {"total", SHAPE_MS, AT(struct config, timeouts.total_ms), .min = 10, .max = 24 * HOUR_MS, .standard = "`300s`",
     .about = "The whole exchange. An action may set its own with `timeout`.", .example = "total: 60s"},
    {"drain", SHAPE_MS, AT(struct config, timeouts.drain_ms), .max = HOUR_MS, .standard = "`30s`",
     .about = "How long requests under way may take after SIGTERM.", .example = "drain: 10s"},
    END};
static const struct key_map timeouts_map = {.keys = timeouts_keys};

static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const struct key_def log_keys[] = {{"access", SHAPE_FLAG, AT(struct config, log_access), .standard = "`true`",
                                           .about = "One line for each request.", .example = "access: false"},
                                          {"level", SHAPE_CHOICE, AT(struct config, log_level), .choices = log_levels,
                                           .standard = "`info`", .about = "The least important events that are logged.",
                                           .example = "level: warn"},
                                          END};
static const struct key_map log_map = {.keys = log_keys};

static const struct key_map role_map = {.elem_size = sizeof(struct config_grant),
                                        .max = CONFIG_MAX_NAMES,
                                        .name_check = check_permission};
static const struct key_map permission_map = {.elem_size = sizeof(struct config_grant),
                                              .max = CONFIG_MAX_NAMES,
                                              .name_check = check_permission};

static const char *const engines[] = {"sqlite", "memory", NULL};
static const struct key_def store_keys[] =
    {{"engine", SHAPE_CHOICE, AT(struct config, engine), .choices = engines, .standard = "`sqlite`",
      .about = "`sqlite`: files in the data folder, durable. `memory`: everything is gone when the process ends.",
      .example = "engine: memory"},
     {"socket", SHAPE_CUSTOM, AT(struct config, store_socket), .read = read_socket, .type = "`unix:/path`",
      .standard = "`data.sock` in the data folder",
      .about = "Where the store of another process listens, for `sallyport gateway` and `sallyport authentication` "
               "with a data "
               "folder that is not that of `sallyport data`.",
      .example = "socket: \"unix:/run/sallyport/data.sock\""},
     END};
static const struct key_map store_map = {.keys = store_keys};

static const struct key_def feed_keys[] =
    {{"lease", SHAPE_MS, AT(struct config, lease_ms), .min = 1000, .max = 24 * HOUR_MS,
      .standard = "`authentication.access_token`, at most `15m`",
      .about = "How long the gateway goes on accepting credentials of the store, and users' tokens, when it hears "
               "nothing from the store. Whoever revokes something waits for no longer than that.",
      .example = "lease: 1m"},
     END};
static const struct key_map feed_map = {.keys = feed_keys};

static const struct key_def dns_keys[] =
    {{"servers", SHAPE_LIST, AT(struct config, dns_servers), .min = 1, .max = 8, .check = check_name_server,
      .standard = "those of `/etc/resolv.conf`",
      .about = "Name servers, as addresses, with a port if it is another than 53. The search list of "
               "`/etc/resolv.conf` and the names of `/etc/hosts` count in any case.",
      .example = "servers: [\"10.0.0.53\", \"[fd00::53]:5353\"]"},
     END};
static const struct key_map dns_map = {.keys = dns_keys};

static const char *const on_off[] = {"on", "off", NULL};
static const struct key_def root_keys[] =
    {{"sallyport", SHAPE_CUSTOM, .required = true, .read = read_version, .type = "`1`",
      .about = "The version of the configuration's form.", .example = "sallyport: 1"},
     {"name", SHAPE_PLAIN, AT(struct config, name), .check = check_gateway_name, .standard = "`sallyport`",
      .about = "This gateway's name in `Via` and `CDN-Loop`. Gateways behind each other need different ones.",
      .example = "name: edge-1"},
     {"environment", SHAPE_PLAIN, AT(struct config, environment), .check = check_environment, .standard = "`prod`",
      .about = "The environment in its API keys, `sp_prod_…`: a key of another environment is refused.",
      .example = "environment: dev"},
     {"listen", SHAPE_MAP, .map = &listen_map, .about = "Addresses that it listens on.",
      .example = "listen: {gateway: \":8080\", admin: none}"},
     {"zone", SHAPE_TEXT, AT(struct config, zone), .check = check_name, .standard = "none",
      .about = "Where this gateway stands. Instances of the same zone are preferred.", .example = "zone: a"},
     {"data", SHAPE_PLAIN, AT(struct config, data), .check = check_path, .type = "path", .standard = "`./.sallyport`",
      .about = "Folder of the control socket and of what is kept.", .example = "data: /var/lib/sallyport"},
     {"workers", SHAPE_NUMBER, AT(struct config, workers), .min = 1, .max = CONFIG_MAX_WORKERS,
      .standard = "one a usable core", .about = "Threads that serve requests.", .example = "workers: 2"},
     {"trusted_hops", SHAPE_CUSTOM, .read = read_networks, .max = CONFIG_MAX_NETWORKS,
      .type = "network, or a list of them", .standard = "none",
      .about = "From whom `Forwarded` and `X-Forwarded-*` are believed: networks, addresses, `unix` for whoever comes "
               "by a Unix socket.",
      .example = "trusted_hops: [\"10.0.0.0/8\", unix]"},
     {"hops", SHAPE_NUMBER, AT(struct config, hops), .min = 1, .max = 64, .standard = "`8`",
      .about = "The most gateways that a request may have passed (`CDN-Loop`, `Via`).", .example = "hops: 4"},
     {"limits", SHAPE_MAP, .map = &limits_map, .about = "Bounds of what a client may send.",
      .example = "limits: {head: 8kB, body: 10MB}"},
     {"timeouts", SHAPE_MAP, .map = &timeouts_map, .about = "How long things may take.",
      .example = "timeouts: {idle: 30s}"},
     {"tls", SHAPE_CUSTOM, .read = read_tls, .map = &keys_tls, .type = "map", .standard = "none",
      .about = "What the gateway shows of itself on listeners with `tls: true`; see *TLS* above.",
      .example = "tls: {certificates: [{cert: public.pem, key: {file: public.key}}]}"},
     {"limit", SHAPE_CUSTOM, AT(struct config, edge_limits), .count_offset = offsetof(struct config, n_edge_limits),
      .read = read_limits, .map = &keys_edge_limit, .max = CONFIG_MAX_LIMITS, .type = "map, or a list of maps",
      .standard = "none", .about = "How often anybody may ask at all, before any credential is looked at.",
      .example = "limit: {rate: 1000/s, burst: 2000, per: address}"},
     {"tracing", SHAPE_CUSTOM, .read = read_tracing, .map = &keys_tracing, .type = "map", .standard = "none",
      .about = "Where traces of requests go (OpenTelemetry).",
      .example = "tracing: {otlp: \"http://127.0.0.1:4318/v1/traces\", sample: 1%}"},
     {"dns", SHAPE_MAP, .map = &dns_map, .about = "Who is asked for the addresses of instances that are names.",
      .example = "dns: {servers: [\"10.0.0.53\"]}"},
     {"sandbox", SHAPE_CHOICE, AT(struct config, sandbox), .choices = on_off, .standard = "`on`",
      .about = "Whether the process that serves gives up what it does not need: other files, programs, new listening "
               "sockets.",
      .example = "sandbox: off"},
     {"log", SHAPE_MAP, .map = &log_map, .about = "What is logged.", .example = "log: {level: warn}"},
     {"authentication", SHAPE_CUSTOM, .read = read_authentication, .map = &keys_authentication, .type = "map",
      .standard = "none",
      .about =
          "The Authentication Service: users who log in here with a password. It brings its issuer, its service and "
          "its actions; see *Users who log in here* above.",
      .example = "authentication: {issuer: \"https://api.example.com\"}"},
     {"store", SHAPE_MAP, .map = &store_map,
      .about = "Where users, sessions, API keys made at run time and revocations are kept. There is one as soon as "
               "`authentication`, `store` or `feed` is written.",
      .example = "store: {engine: sqlite}"},
     {"feed", SHAPE_MAP, .map = &feed_map, .about = "How changes in the store reach the gateway.",
      .example = "feed: {lease: 1m}"},
     {"seal", SHAPE_CUSTOM, AT(struct config, seal), .read = read_secret, .map = &keys_secret, .type = "map of one key",
      .standard = "the file `seal.key` in the data folder, made at the first start",
      .about = "Where the key comes from that seals signing keys and secrets in the store: at least 32 bytes.",
      .example = "seal: {credential: sallyport-seal}"},
     {"issuers", SHAPE_NAMED, AT(struct config, issuers), .count_offset = offsetof(struct config, n_issuers),
      .map = &keys_issuer, .standard = "none",
      .about = "Whose tokens are believed, and how far. The name is the prefix of its users.",
      .example = "issuers: {corp: {issuer: …}}"},
     {"products", SHAPE_NAMED, AT(struct config, products), .count_offset = offsetof(struct config, n_products),
      .map = &keys_product, .standard = "none", .about = "Who may call at all.",
      .example = "products: {mobile-app: {may: [viewOrder]}}"},
     {"services", SHAPE_NAMED, AT(struct config, services), .count_offset = offsetof(struct config, n_services),
      .map = &keys_service, .standard = "none", .about = "What stands behind the gateway.",
      .example = "services: {orders: {instances: \"10.0.0.11:8080\"}}"},
     {"actions", SHAPE_NAMED, AT(struct config, actions), .count_offset = offsetof(struct config, n_actions),
      .map = &keys_action, .standard = "none",
      .about = "What a consumer can do: a route with a name that products and roles are granted.",
      .example = "actions: {viewOrder: {match: \"GET /orders/{id}\", to: orders}}"},
     {"roles", SHAPE_NAMED, AT(struct config, roles), .count_offset = offsetof(struct config, n_roles),
      .map = &role_map, .standard = "none", .about = "Which actions a role of a user is granted.",
      .example = "roles: {buyer: [viewOrder, payOrder]}"},
     {"permissions", SHAPE_NAMED, AT(struct config, permissions),
      .count_offset = offsetof(struct config, n_permissions), .map = &permission_map, .standard = "none",
      .about = "Which actions a permission of a user is granted. A permission named like an action grants that action "
               "without being listed.",
      .example = "permissions: {\"orders:read\": [viewOrder]}"},
     REFUSED("policy"),
     REFUSED("policies"),
     REFUSED("objects"),
     REFUSED("quota"),
     REFUSED("tiers"),
     REFUSED("breaker"),
     REFUSED("login"),
     REFUSED("identity"),
     REFUSED("audit"),
     REFUSED("tenants"),
     REFUSED("calls"),
     END};

const struct key_map config_keys = {.keys = root_keys};
