/* The keys of a service: where it runs, how requests are spread, what protects it. */
#include "config/keys_private.h"

static const struct key_def instance_keys[] =
    {{"address", SHAPE_CUSTOM, .required = true, .read = read_instance_address, .type = "address", .about = "As above.",
      .example = "instances: [{address: \"orders.internal:8080\", weight: 3}]"},
     {"weight", SHAPE_NUMBER, AT(struct config_instance, weight), .min = 1, .max = 100, .standard = "`1`",
      .about = "Its share of the requests; that of each address where a name has several.", .example = "weight: 3"},
     {"zone", SHAPE_TEXT, AT(struct config_instance, zone), .check = check_name, .standard = "every one",
      .about = "Where it stands. Those in the gateway's own `zone` are preferred.", .example = "zone: b"},
     END};
static const struct key_map instance_map = {.keys = instance_keys};

static const struct key_def health_keys[] =
    {{"request", SHAPE_CUSTOM, .required = true, .read = read_health_request, .type = "`GET /path` or `HEAD /path`",
      .about = "What is asked. An answer of 2xx is healthy.", .example = "request: GET /healthz"},
     {"every", SHAPE_MS, AT(struct config_service, health.every_ms), .min = 100, .max = HOUR_MS, .standard = "`5s`",
      .about = "How often each instance is asked.", .example = "every: 2s"},
     {"timeout", SHAPE_MS, AT(struct config_service, health.timeout_ms), .min = 10, .max = HOUR_MS,
      .standard = "`1s`, at most `every`", .about = "How long the answer may take.", .example = "timeout: 500ms"},
     {"healthy", SHAPE_NUMBER, AT(struct config_service, health.healthy), .min = 1, .max = 100, .standard = "`2`",
      .about = "How many good answers in a row bring an instance back.", .example = "healthy: 1"},
     {"unhealthy", SHAPE_NUMBER, AT(struct config_service, health.unhealthy), .min = 1, .max = 100, .standard = "`3`",
      .about = "How many bad ones in a row take it out.", .example = "unhealthy: 2"},
     END};
static const struct key_map health_map = {.keys = health_keys};

static const struct key_def eject_keys[] =
    {{"failures", SHAPE_NUMBER, AT(struct config_service, eject.failures), .min = 1, .max = 1000, .standard = "`5`",
      .about = "How many requests in a row must fail.", .example = "failures: 3"},
     {"for", SHAPE_MS, AT(struct config_service, eject.base_ms), .min = 100, .max = HOUR_MS, .standard = "`10s`",
      .about = "How long it gets no requests; longer each time it happens again.", .example = "for: 30s"},
     {"at_most", SHAPE_NUMBER, AT(struct config_service, eject.at_most), .min = 1, .max = 100, .standard = "`50`",
      .about = "Percent of the instances that may be out at a time.", .example = "at_most: 30"},
     END};
static const struct key_map eject_map = {.keys = eject_keys};

static const struct key_def pool_keys[] =
    {{"idle", SHAPE_NUMBER, AT(struct config_service, pool.idle), .max = 65536, .standard = "`256`, at most `open`",
      .about = "Connections to an instance that each worker keeps open for the next requests.", .example = "idle: 32"},
     {"open", SHAPE_NUMBER, AT(struct config_service, pool.open), .min = 1, .max = 1000000, .standard = "`1024`",
      .about = "Connections to an instance at a time, all workers together.", .example = "open: 200"},
     {"waiting", SHAPE_NUMBER, AT(struct config_service, pool.waiting), .max = 1000000, .standard = "`16384`",
      .about = "Requests of each worker that may wait for one. The next is answered 503 `pool_exhausted`.",
      .example = "waiting: 50"},
     END};
static const struct key_map pool_map = {.keys = pool_keys};

static const struct key_def retry_keys[] =
    {{"attempts", SHAPE_NUMBER, AT(struct config_service, retry.attempts), .max = 10, .standard = "`2`",
      .about = "More attempts after the first; 0: none.", .example = "attempts: 1"},
     {"budget", SHAPE_NUMBER, AT(struct config_service, retry.budget), .max = 100, .standard = "`20`",
      .about = "How many percent of the requests they may be, so that they do not make an outage worse; 3 a second are "
               "always allowed.",
      .example = "budget: 10"},
     END};
static const struct key_map retry_map = {.keys = retry_keys};

#define CONCURRENT(key, kind)                                                                                          \
    {                                                                                                                  \
        key, SHAPE_NUMBER, AT(struct config_service, breaker.concurrent[kind]),                                        \
            .max = 1000000, .standard = "`0`",                                                                         \
            .about = "Requests of that kind of caller that may be under way at a time; 0: any number.",                \
            .example = "concurrent: {" key ": 100}"                                                                    \
    }
static const struct key_def concurrent_keys[] = {CONCURRENT("user", CALLER_USER), CONCURRENT("service", CALLER_SERVICE),
                                                 CONCURRENT("third-party", CALLER_THIRD_PARTY), END};
static const struct key_map concurrent_map = {.keys = concurrent_keys};

static const struct key_def breaker_keys[] =
    {{"errors", SHAPE_NUMBER, AT(struct config_service, breaker.errors), .min = 1, .max = 100, .standard = "`50`",
      .about = "At how many percent of failed requests it opens.", .example = "errors: 30"},
     {"of", SHAPE_NUMBER, AT(struct config_service, breaker.of), .min = 1, .max = 1000000, .standard = "`20`",
      .about = "Of at least so many requests in `window`.", .example = "of: 100"},
     {"window", SHAPE_MS, AT(struct config_service, breaker.window_ms), .min = 1000, .max = HOUR_MS,
      .standard = "`10s`", .about = "Over which time they are counted.", .example = "window: 30s"},
     {"open", SHAPE_MS, AT(struct config_service, breaker.open_ms), .min = 100, .max = HOUR_MS, .standard = "`5s`",
      .about = "How long it stays open before one request tries again.", .example = "open: 10s"},
     {"concurrent", SHAPE_MAP, .map = &concurrent_map, .standard = "no bound",
      .about = "How many requests may be under way, by kind of caller.", .example = "concurrent: {third-party: 50}"},
     END};
static const struct key_map breaker_map = {.keys = breaker_keys};

static const struct key_def service_timeouts_keys[] =
    {{"connect", SHAPE_MS, AT(struct config_service, connect_ms), .min = 10, .max = HOUR_MS,
      .standard = "`timeouts.connect`", .about = "To open a connection to it.", .example = "connect: 500ms"},
     {"response", SHAPE_MS, AT(struct config_service, response_ms), .min = 10, .max = HOUR_MS,
      .standard = "`timeouts.response`", .about = "From the request's last byte to the head of its answer.",
      .example = "response: 5s"},
     END};
static const struct key_map service_timeouts_map = {.keys = service_timeouts_keys};

static const struct key_def service_tls_keys[] =
    {{"ca", SHAPE_TEXT, AT(struct config_service, tls.ca), .check = check_path, .type = "path",
      .standard = "the system's", .about = "PEM file of the authorities that its certificate must come from.",
      .example = "ca: internal-ca.pem"},
     {"name", SHAPE_CUSTOM, .read = read_server_name, .type = "host name", .standard = "the host of the instance",
      .about = "The name that must be in its certificate, and that it is asked by (SNI).",
      .example = "name: orders.internal"},
     {"cert", SHAPE_TEXT, AT(struct config_service, tls.cert), .check = check_path, .type = "path",
      .about = "PEM file of a certificate that the gateway shows it. Goes with `key`.", .example = "cert: gw.pem"},
     {"key", SHAPE_CUSTOM, AT(struct config_service, tls.key), .read = read_secret, .map = &keys_secret,
      .type = "map of one key", .about = "Where the private key of `cert` comes from, in PEM.",
      .example = "key: {file: gw.key}"},
     END};
static const struct key_map service_tls_map = {.keys = service_tls_keys};

static const char *const pass_kinds[] = {"authorization", "cookie", "apikey", NULL};
static const char *const balance_kinds[] = {"least-request", "round-robin", "hash", NULL};
static const struct key_def service_keys[] = {
    {"instances", SHAPE_CUSTOM, .required = true, .read = read_instances, .map = &instance_map, .max = 256,
     .type = "address or map, or a list of them",
     .about = "Where it runs: `HOST:PORT`, `[IPv6]:PORT`, `unix:/path` or `srv:_service._tcp.NAME`. Every address of a "
              "name is an instance; names are looked up again when their records expire.",
     .example = "instances: [\"10.0.0.11:8080\", {address: \"orders.internal:8080\", weight: 3, zone: b}]"},
    {"pass", SHAPE_MASK, AT(struct config_service, pass), .choices = pass_kinds, .standard = "none",
     .about = "Credentials of the client that this service needs to see; without it they are taken off.",
     .example = "pass: [cookie]"},
    {"implicit", SHAPE_FLAG, AT(struct config_service, implicit), .standard = "`true`",
     .about = "Whether `/SERVICE/…` leads here for whoever is granted `SERVICE:invoke` (nobody unless you say so); "
              "the prefix is taken off.",
     .example = "implicit: false"},
    {"balance", SHAPE_CHOICE, AT(struct config_service, balance), .choices = balance_kinds,
     .standard = "`least-request`",
     .about = "Which instance gets a request: of two picked by chance the one with fewer requests under way, each in "
              "turn, or always the same for the same `hash`.",
     .example = "balance: round-robin"},
    {"hash", SHAPE_CUSTOM, .read = read_hash, .type = "`user`, `address`, `product`, `\"header:NAME\"`",
     .about = "With `balance: hash`: by what an instance is chosen.", .example = "hash: \"header:X-Tenant\""},
    {"health", SHAPE_CUSTOM, .read = read_health, .map = &health_map, .type = "text, or a map", .standard = "none",
     .about = "A request that each instance is asked now and then: `GET /path every TIME`, or a map. Who does not "
              "answer 2xx gets no requests.",
     .example = "health: GET /healthz every 2s"},
    {"eject", SHAPE_CUSTOM, .read = read_eject, .map = &eject_map, .type = "map, or `none`",
     .standard = "`{failures: 5, for: 10s, at_most: 50}`",
     .about = "An instance whose requests fail in a row gets none for a while.",
     .example = "eject: {failures: 3, for: 30s}"},
    {"slow_start", SHAPE_MS, AT(struct config_service, slow_start_ms), .max = HOUR_MS, .standard = "`0s`",
     .about = "How long an instance that is new or back takes to get its whole share.", .example = "slow_start: 30s"},
    {"pool", SHAPE_MAP, .map = &pool_map, .about = "Bounds of the connections to each instance.",
     .example = "pool: {open: 200, waiting: 50}"},
    {"retry", SHAPE_MAP, .map = &retry_map,
     .about = "Requests that may be repeated (GET, HEAD, OPTIONS, PUT, DELETE) are tried again when no instance took "
              "them or the connection broke.",
     .example = "retry: {attempts: 1}"},
    {"breaker", SHAPE_CUSTOM, .read = read_breaker, .map = &breaker_map, .type = "map", .standard = "none",
     .about = "When too many requests fail, the next are answered 503 `breaker_open` at once. Each kind of caller has "
              "its own.",
     .example = "breaker: {errors: 50, of: 20, window: 10s, open: 5s}"},
    {"timeouts", SHAPE_MAP, .map = &service_timeouts_map, .standard = "those of the file",
     .about = "How long it may take.", .example = "timeouts: {connect: 1s, response: 10s}"},
    {"tls", SHAPE_CUSTOM, .read = read_service_tls, .map = &service_tls_map, .type = "map", .standard = "none",
     .about = "Requests go to it by TLS, and its certificate is verified. `{}` is enough where the system's "
              "authorities know it.",
     .example = "tls: {ca: internal-ca.pem}"},
    REFUSED("calls"),
    REFUSED("via"),
    REFUSED("tier"),
    REFUSED("limit"),
    REFUSED("limits"),
    REFUSED("verify"),
    REFUSED("originate"),
    END};
const struct key_map keys_service = {.keys = service_keys,
                                     .elem_size = sizeof(struct config_service),
                                     .max = CONFIG_MAX_NAMES,
                                     .name_check = check_name,
                                     .begin = begin_service,
                                     .end = end_service};
