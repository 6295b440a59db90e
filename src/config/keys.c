#include "config/keys.h"

#include "codec/url.h"
#include "config/pattern.h"
#include "config/read.h"
#include "crypto/key.h"
#include "identity/issuer.h"

#include <stdio.h>

#define KB UINT64_C(1024)
#define MB (KB * 1024)
#define GB (MB * 1024)

#define AT(type, member) .offset = offsetof(type, member)
#define REFUSED(key)                                                                                                   \
    {                                                                                                                  \
        .name = key, .shape = SHAPE_REFUSED                                                                            \
    }
#define END                                                                                                            \
    {                                                                                                                  \
        .name = NULL                                                                                                   \
    }

/* --- checks of texts: what is wrong, as a sentence behind "must be" --- */

static const char *check_name(const char *text, size_t n)
{
    return value_name_ok(str_make(text, n)) ? NULL : "1 to 64 letters, digits, '_' or '-', a letter first";
}

static const char *check_action_name(const char *text, size_t n)
{
    return value_action_name_ok(str_make(text, n)) ? NULL : "1 to 64 letters, digits, '_', '-' or '.', a letter first";
}

/* Roles and permissions are what issuers write: any text. */
static const char *check_permission(const char *text, size_t n)
{
    bool ok = n >= 1 && n <= 256 && !value_has_control(str_make(text, n));
    return ok ? NULL : "1 to 256 characters without control characters";
}

static const char *check_gateway_name(const char *text, size_t n)
{
    return n <= 64 && http_token_ok(str_make(text, n))
               ? NULL
               : "at most 64 characters of an HTTP token (letters, digits, - . _)";
}

static const char *check_environment(const char *text, size_t n)
{
    return value_lower_ok(str_make(text, n), 1, 12) ? NULL : "1 to 12 characters of a-z and 0-9";
}

static const char *check_long(const char *text, size_t n)
{
    (void)text;
    return n <= 2048 ? NULL : "at most 2048 bytes";
}

static const char *check_path(const char *text, size_t n)
{
    (void)text;
    return n <= 1024 ? NULL : "a path of at most 1024 bytes";
}

static const char *check_https(const char *text, size_t n)
{
    struct url url;
    bool ok = url_parse(str_make(text, n), &url, NULL) == ERR_OK && url.tls;
    return ok ? NULL : "an https:// URL without user and fragment";
}

static const char *check_algorithm(const char *text, size_t n)
{
    return alg_from_name(str_make(text, n)) != ALG_INVALID
               ? NULL
               : "one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512";
}

/* Those that the Authentication Service signs with. */
static const char *check_signing_algorithm(const char *text, size_t n)
{
    uint32_t bit = alg_bit(alg_from_name(str_make(text, n)));
    return bit & CONFIG_SIGNING_ALGS ? NULL : "one of ES256, ES384, RS256, PS256, EdDSA";
}

static const char *check_own_issuer(const char *text, size_t n)
{
    struct url url;
    str s = str_make(text, n);
    bool ok = n <= 512 && url_parse(s, &url, NULL) == ERR_OK && !str_has(s, '?');
    return ok ? NULL : "an https:// URL of at most 512 bytes, without query and fragment";
}

static const char *check_user_base(const char *text, size_t n)
{
    return value_user_base_ok(str_make(text, n)) ? NULL : "1 to 32 characters of a-z, 0-9 and '-', a letter first";
}

static const char *check_claim(const char *text, size_t n)
{
    char room[512];
    struct arena mem;
    struct claim_path path;
    arena_init(&mem, room, sizeof room, 0);
    bool ok = n <= 256 && claim_path_parse(&mem, str_make(text, n), &path) == ERR_OK;
    return ok ? NULL : "a claim of at most 256 bytes and 8 steps";
}

static const char *check_strip(const char *text, size_t n)
{
    return pattern_prefix_ok(str_make(text, n)) ? NULL
                                                : "a path of literal segments without a slash at its end, such as /api";
}

/* --- the tables --- */

static const struct key_def listen_keys[] =
    {{"gateway", SHAPE_CUSTOM, .read = read_gateway, .max = CONFIG_MAX_LISTENERS, .type = "address, or a list of them",
      .standard = "`\":8080\"`",
      .about = "Where requests come in: `HOST:PORT`, `[IPv6]:PORT`, `:PORT` (all addresses) or `unix:/path`. A port of "
               "0 is not taken.",
      .example = "gateway: [\":8080\", \"unix:/run/sallyport/gw.sock\"]"},
     {"admin", SHAPE_CUSTOM, .read = read_admin, .type = "address, or `none`", .standard = "`127.0.0.1:8081`",
      .about = "Where health, metrics and the administration answer. `none` switches it off.",
      .example = "admin: \"127.0.0.1:9901\""},
     REFUSED("sidecar"),
     REFUSED("tls"),
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

#define HOUR_MS 3600000
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

static const struct key_def issuer_keys_keys[] =
    {{"file", SHAPE_TEXT, AT(struct config_issuer, keys_file), .check = check_path, .type = "path",
      .about = "A JWKS file. Read again on reload.", .example = "keys: {file: keys.jwks}"},
     {"url", SHAPE_TEXT, AT(struct config_issuer, keys_url), .check = check_https, .type = "https URL",
      .about = "Where the issuer publishes its JWKS. The gateway starts without it and fetches until it is there.",
      .example = "keys: {url: \"https://idp.example/jwks\"}"},
     {"ca", SHAPE_TEXT, AT(struct config_issuer, keys_ca), .check = check_path, .type = "path",
      .standard = "the system's", .about = "PEM file of the authorities that the URL's certificate must come from.",
      .example = "ca: idp-ca.pem"},
     {"private", SHAPE_FLAG, AT(struct config_issuer, keys_private), .standard = "`false`",
      .about = "The URL may lead to a private or loopback address. Link-local addresses are refused all the same.",
      .example = "private: true"},
     {"refresh", SHAPE_MS, AT(struct config_issuer, keys_refresh_ms), .min = 1000, .max = 24 * HOUR_MS,
      .standard = "`300s`", .about = "How often the keys are fetched again.", .example = "refresh: 10m"},
     {"min_interval", SHAPE_MS, AT(struct config_issuer, keys_min_interval_ms), .min = 1000, .max = HOUR_MS,
      .standard = "`10s`",
      .about = "The least time between two fetches, however many unknown keys tokens name. At most `refresh`.",
      .example = "min_interval: 30s"},
     END};
static const struct key_map issuer_keys_map = {.keys = issuer_keys_keys};

static const struct key_def secret_keys[] =
    {{"file", SHAPE_TEXT, .type = "path", .check = check_path,
      .about = "A file that not everybody may read. One newline at its end does not count.",
      .example = "secret: {file: /etc/sallyport/corp.secret}"},
     {"env", SHAPE_TEXT, .type = "text", .about = "An environment variable.", .example = "secret: {env: CORP_SECRET}"},
     {"credential", SHAPE_TEXT, .type = "text",
      .about = "A systemd credential: a file of that name in `$CREDENTIALS_DIRECTORY`.",
      .example = "secret: {credential: corp}"},
     {"command", SHAPE_LIST, .type = "list of texts", .min = 1, .max = 64,
      .about = "A program and its arguments, run without a shell and without input; what it prints within 5 seconds, "
               "at most 64 kB, is the secret. One newline at its end does not count.",
      .example = "secret: {command: [vault, kv, get, -field=key, kv/corp]}"},
     END};
static const struct key_map secret_map = {.keys = secret_keys};

static const struct key_def claims_keys[] =
    {{"user", SHAPE_LIST, AT(struct config_issuer, claims[CLAIM_USER]), .min = 1, .max = 16, .check = check_claim,
      .standard = "`sub`", .about = "The user's id: the first of these claims that is there.",
      .example = "user: [uid, sub]"},
     {"roles", SHAPE_LIST, AT(struct config_issuer, claims[CLAIM_ROLES]), .nullable = true, .max = 16,
      .check = check_claim, .standard = "`[roles, realm_access.roles]`",
      .about = "The user's roles: all of these claims together.", .example = "roles: \"https://api.example/roles\""},
     {"permissions", SHAPE_LIST, AT(struct config_issuer, claims[CLAIM_PERMISSIONS]), .nullable = true, .max = 16,
      .check = check_claim, .standard = "`[permissions, scope]`",
      .about = "The user's permissions: all of these claims together. Text is split at blanks.",
      .example = "permissions: scope"},
     {"client", SHAPE_LIST, AT(struct config_issuer, claims[CLAIM_CLIENT]), .nullable = true, .max = 16,
      .check = check_claim, .standard = "`[client_id, azp]`",
      .about = "The client that the user works with: the first that is there.", .example = "client: azp"},
     {"product", SHAPE_LIST, AT(struct config_issuer, claims[CLAIM_PRODUCT]), .nullable = true, .max = 16,
      .check = check_claim, .standard = "`null`",
      .about = "The product, for products with `auth: token`; `null`: the only product that the issuer may vouch for.",
      .example = "product: product"},
     END};
static const struct key_map claims_map = {.keys = claims_keys};

static const char *const typ_rules[] = {"at+jwt", "legacy", NULL};
static const struct key_def issuer_keys[] =
    {{"issuer", SHAPE_TEXT, .required = true, AT(struct config_issuer, issuer), .check = check_long,
      .about = "What `iss` of a token must be, character by character.", .example = "issuer: \"https://idp.example\""},
     {"audience", SHAPE_LIST, .required = true, AT(struct config_issuer, audience), .min = 1, .max = 64,
      .check = check_long, .about = "One of these must be in `aud`.", .example = "audience: [api]"},
     {"algorithms", SHAPE_LIST, .required = true, AT(struct config_issuer, algorithms), .min = 1, .max = 13,
      .check = check_algorithm,
      .about = "Signature algorithms that are accepted: RS, PS and ES 256, 384 and 512, EdDSA; or HS 256, 384 and 512, "
               "which need `secret`.",
      .example = "algorithms: [RS256, ES256]"},
     {"typ", SHAPE_CHOICE, AT(struct config_issuer, typ), .choices = typ_rules, .standard = "`at+jwt`",
      .about = "What the token's `typ` must be. `legacy` also takes tokens without `typ` or with `JWT`, as older "
               "providers make them.",
      .example = "typ: legacy"},
     {"keys", SHAPE_MAP, .map = &issuer_keys_map, .about = "Where the public keys come from: a file or a URL.",
      .example = "keys: {file: keys.jwks}"},
     {"secret", SHAPE_CUSTOM, AT(struct config_issuer, secret), .read = read_secret, .map = &secret_map,
      .type = "map of one key",
      .about = "Where the shared secret for HS algorithms comes from. It never stands in this file.",
      .example = "secret: {env: CORP_SECRET}"},
     {"default", SHAPE_FLAG, AT(struct config_issuer, is_default), .standard = "`false`",
      .about = "Users of this issuer appear without its prefix: `X-User-ID: alice` instead of `corp:alice`. At most "
               "one issuer.",
      .example = "default: true"},
     {"products", SHAPE_LIST, AT(struct config_issuer, products), .standard = "none",
      .about = "Products that its tokens may be used with.", .example = "products: [mobile-app]"},
     {"roles", SHAPE_LIST_ANY, AT(struct config_issuer, roles), .check = check_permission, .standard = "none",
      .about = "Roles that it may assert; others in its tokens are left out. `any`: all.", .example = "roles: [buyer]"},
     {"permissions", SHAPE_LIST_ANY, AT(struct config_issuer, permissions), .check = check_permission,
      .standard = "none", .about = "Permissions that it may assert; others are left out. `any`: all.",
      .example = "permissions: any"},
     {"claims", SHAPE_MAP, .map = &claims_map,
      .about = "Where in a token things stand. A name with dots is looked for whole first, then step by step.",
      .example = "claims: {roles: realm_access.roles}"},
     {"leeway", SHAPE_SECONDS, AT(struct config_issuer, leeway_s), .max = 60, .standard = "`0s`",
      .about = "How long after `exp` a token is still taken.", .example = "leeway: 5s"},
     REFUSED("introspection"),
     REFUSED("discovery"),
     REFUSED("require"),
     END};
static const struct key_map issuer_map = {.keys = issuer_keys,
                                          .elem_size = sizeof(struct config_issuer),
                                          .max = CONFIG_MAX_ISSUERS,
                                          .name_check = check_name,
                                          .begin = begin_issuer,
                                          .end = end_issuer};

static const struct key_def product_keys_keys[] = {{"id", SHAPE_TEXT, .required = true, .type = "8 to 16 of `a-z0-9`",
                                                    .about = "The key's public id.", .example = "id: k7d2m4q8x0ab"},
                                                   {"sha256", SHAPE_TEXT, .required = true,
                                                    .type = "64 hexadecimal digits",
                                                    .about = "SHA-256 of the whole key.",
                                                    .example = "sha256: 9f86d081884c7d65…"},
                                                   END};
static const struct key_map product_keys_map = {.keys = product_keys_keys};

static const char *const auth_kinds[] = {"apikey", "token", NULL};
static const char *const login_kinds[] = {"none", "password", NULL};
static const char *const proof_kinds[] = {"none", "basic", "signature", NULL};
static const struct key_def product_keys[] = {
    {"auth", SHAPE_CHOICE, AT(struct config_product, auth), .choices = auth_kinds, .standard = "`apikey`",
     .about = "How a request is known to be this product's: by a key in the `apikey` field, or by the user's token.",
     .example = "auth: token"},
    {"keys", SHAPE_CUSTOM, .read = read_product_keys, .map = &product_keys_map, .max = 4096, .type = "list of maps",
     .standard = "none", .about = "Its API keys. `sallyport key new PRODUCT` prints a key and the line for here.",
     .example = "keys: [{id: k7d2m4q8x0ab, sha256: …}]"},
    {"may", SHAPE_LIST, AT(struct config_product, may), .standard = "none",
     .about = "Actions that requests of this product may ask for; `SERVICE:invoke` is the implicit route of a service.",
     .example = "may: [viewOrder, \"business:invoke\"]"},
    {"login", SHAPE_CHOICE, AT(struct config_product, login), .choices = login_kinds, .standard = "`none`",
     .about = "How its users log in here: with a password, at the Authentication Service (`authentication`).",
     .example = "login: password"},
    {"users", SHAPE_TEXT, AT(struct config_product, users), .check = check_user_base,
     .standard = "the first of `authentication.user_bases`",
     .about = "The user base that its users are of. A user of another base cannot log in.", .example = "users: staff"},
    {"secret", SHAPE_CHOICE, AT(struct config_product, proof), .choices = proof_kinds, .standard = "`none`",
     .about = "How it proves its apisecret when its users log in, refresh and log out: `basic` (RFC 7617) or "
              "`signature` (RFC 9421, HMAC-SHA256). The apisecret itself stands in the store: `sallyport secret new "
              "PRODUCT` makes it.",
     .example = "secret: signature"},
    REFUSED("limit"),
    REFUSED("limits"),
    REFUSED("quota"),
    REFUSED("tier"),
    REFUSED("tiers"),
    REFUSED("signed"),
    END};
static const struct key_map product_map = {.keys = product_keys,
                                           .elem_size = sizeof(struct config_product),
                                           .max = CONFIG_MAX_NAMES,
                                           .name_check = check_name,
                                           .end = end_product};

static const char *const pass_kinds[] = {"authorization", "cookie", "apikey", NULL};
static const struct key_def service_keys[] =
    {{"instances", SHAPE_CUSTOM, .required = true, .read = read_instances, .max = 256,
      .type = "address, or a list of them",
      .about = "Where it runs: `HOST:PORT`, `[IPv6]:PORT` or `unix:/path`. Names are resolved when the configuration "
               "is loaded.",
      .example = "instances: [\"10.0.0.11:8080\", \"10.0.0.12:8080\"]"},
     {"pass", SHAPE_MASK, AT(struct config_service, pass), .choices = pass_kinds, .standard = "none",
      .about = "Credentials of the client that this service needs to see; without it they are taken off.",
      .example = "pass: [cookie]"},
     {"implicit", SHAPE_FLAG, AT(struct config_service, implicit), .standard = "`true`",
      .about = "Whether `/SERVICE/…` leads here for whoever is granted `SERVICE:invoke` (nobody unless you say so); "
               "the prefix is taken off.",
      .example = "implicit: false"},
     REFUSED("health"),
     REFUSED("calls"),
     REFUSED("via"),
     REFUSED("weights"),
     REFUSED("weight"),
     REFUSED("breaker"),
     REFUSED("balance"),
     REFUSED("retries"),
     REFUSED("tier"),
     REFUSED("tls"),
     REFUSED("limit"),
     REFUSED("limits"),
     REFUSED("verify"),
     REFUSED("originate"),
     END};
static const struct key_map service_map = {.keys = service_keys,
                                           .elem_size = sizeof(struct config_service),
                                           .max = CONFIG_MAX_NAMES,
                                           .name_check = check_name,
                                           .begin = begin_service};

static const char *const accept_kinds[] = {"token", "apikey", NULL};
static const struct key_def action_keys[] =
    {{"match", SHAPE_CUSTOM, .required = true, .read = read_matches, .min = 1, .max = 64,
      .type = "match, or a list of them",
      .about = "`METHOD /pattern` or `METHOD,METHOD /pattern`; see *Patterns* below.",
      .example = "match: \"GET /orders/{id}\""},
     {"to", SHAPE_TEXT, .required = true, AT(struct config_action, to), .about = "The service that answers.",
      .example = "to: orders"},
     {"public", SHAPE_FLAG, AT(struct config_action, is_public), .standard = "`false`",
      .about = "Anyone may, and no credential is looked at.", .example = "public: true"},
     {"accept", SHAPE_MASK, AT(struct config_action, accept[CALLER_USER]), .choices = accept_kinds, .min = 1,
      .standard = "`token`",
      .about = "Which credential of a caller is enough: a user's `token`, the product's `apikey` alone, or either.",
      .example = "accept: [token, apikey]"},
     {"strip", SHAPE_TEXT, AT(struct config_action, strip), .check = check_strip, .type = "path", .standard = "nothing",
      .about = "Prefix that is taken off the path before it is forwarded; every `match` must begin with it.",
      .example = "strip: /shop"},
     {"timeout", SHAPE_MS, AT(struct config_action, timeout_ms), .min = 10, .max = 24 * HOUR_MS,
      .standard = "`timeouts.total`", .about = "The whole exchange.", .example = "timeout: 5s"},
     {"body", SHAPE_SIZE64, AT(struct config_action, body_max), .max = 1024 * GB, .standard = "`limits.body`",
      .about = "The largest request body.", .example = "body: 1MB"},
     REFUSED("object"),
     REFUSED("limit"),
     REFUSED("limits"),
     REFUSED("quota"),
     REFUSED("breaker"),
     REFUSED("retries"),
     REFUSED("via"),
     REFUSED("fresh"),
     REFUSED("stale"),
     REFUSED("upgrade"),
     END};
static const struct key_map action_map = {.keys = action_keys,
                                          .elem_size = sizeof(struct config_action),
                                          .max = CONFIG_MAX_ACTIONS,
                                          .name_check = check_action_name,
                                          .begin = begin_action,
                                          .end = end_action};

static const struct key_map role_map = {.elem_size = sizeof(struct config_grant),
                                        .max = CONFIG_MAX_NAMES,
                                        .name_check = check_permission};
static const struct key_map permission_map = {.elem_size = sizeof(struct config_grant),
                                              .max = CONFIG_MAX_NAMES,
                                              .name_check = check_permission};

#define OURS(member) AT(struct config, authentication.member)
#define DAY_S        86400u
static const struct key_def password_keys[] =
    {{"memory", SHAPE_SIZE64, OURS(memory), .min = 8 * MB, .max = 1 * GB, .standard = "`19MB`",
      .about = "Memory that the hash of a password (argon2id) takes.", .example = "memory: 64MB"},
     {"passes", SHAPE_NUMBER, OURS(passes), .min = 1, .max = 20, .standard = "`2`",
      .about = "How often that memory is gone through. When memory or passes rise, a password is hashed anew at its "
               "user's next login.",
      .example = "passes: 3"},
     {"concurrent", SHAPE_NUMBER, OURS(concurrent), .min = 1, .max = 64, .standard = "`2`",
      .about = "Hashes under way at the same time: they take that many cores and that much memory at most.",
      .example = "concurrent: 4"},
     {"queue", SHAPE_NUMBER, OURS(queue), .max = 10000, .standard = "`64`",
      .about = "Logins that may wait for it. The next one is told to come again (503).", .example = "queue: 200"},
     END};
static const struct key_map password_map = {.keys = password_keys};

static const struct key_def throttle_keys[] =
    {{"account", SHAPE_CUSTOM, OURS(account), .read = read_rate, .type = "rate", .standard = "`10/m`",
      .about = "Attempts to log in to one account: so many in a second (`s`), minute (`m`) or hour (`h`).",
      .example = "account: 5/m"},
     {"address", SHAPE_CUSTOM, OURS(address), .read = read_rate, .type = "rate", .standard = "`60/m`",
      .about = "Attempts to log in from one address.", .example = "address: 600/m"},
     END};
static const struct key_map throttle_map = {.keys = throttle_keys};

static const struct key_def authentication_keys[] = {
    {"issuer", SHAPE_TEXT, .required = true, OURS(issuer), .check = check_own_issuer,
     .about = "`iss` of the tokens that are issued here: the URL that clients know this gateway by.",
     .example = "issuer: \"https://api.example.com\""},
    {"audience", SHAPE_LIST, OURS(audience), .min = 1, .max = 16, .check = check_long, .standard = "the issuer",
     .about = "`aud` of those tokens.", .example = "audience: [api]"},
    {"access_token", SHAPE_SECONDS, OURS(access_s), .min = 1, .max = DAY_S, .standard = "`10m`",
     .about = "How long an access token is good.", .example = "access_token: 5m"},
    {"refresh_token", SHAPE_SECONDS, OURS(refresh_s), .min = 1, .max = 3650 * DAY_S, .standard = "`30d`",
     .about = "How long a session may lie idle: a refresh token that is not used for so long is none any more.",
     .example = "refresh_token: 8h"},
    {"session", SHAPE_SECONDS, OURS(session_s), .min = 1, .max = 3650 * DAY_S, .standard = "`90d`",
     .about = "How long a session lasts at most, used or not.", .example = "session: 30d"},
    {"algorithm", SHAPE_TEXT, OURS(algorithm), .check = check_signing_algorithm, .standard = "`ES256`",
     .about = "What new signing keys are for: ES256, ES384, RS256, PS256 or EdDSA. Keys there are stay good.",
     .example = "algorithm: EdDSA"},
    {"rotate", SHAPE_SECONDS, OURS(rotate_s), .min = 1, .max = 3650 * DAY_S, .standard = "`30d`",
     .about = "How long a key signs before the next one does.", .example = "rotate: 7d"},
    {"publish_ahead", SHAPE_SECONDS, OURS(publish_ahead_s), .min = 1, .max = 30 * DAY_S,
     .standard = "`1h`, at most half of `rotate`",
     .about = "How long the next key is published before it signs, so that whoever verifies knows it by then.",
     .example = "publish_ahead: 6h"},
    {"password", SHAPE_MAP, .map = &password_map, .about = "What a password costs to try.",
     .example = "password: {memory: 64MB, passes: 3}"},
    {"throttle", SHAPE_MAP, .map = &throttle_map, .about = "How often logging in may be tried.",
     .example = "throttle: {account: 10/m, address: 60/m}"},
    {"user_bases", SHAPE_LIST, OURS(user_bases), .min = 1, .max = 64, .check = check_user_base, .standard = "`[users]`",
     .about = "Separate sets of users. Names of the base `users` are subjects as they are, others carry their base: "
              "`staff/alice`.",
     .example = "user_bases: [users, staff]"},
    END};
static const struct key_map authentication_map = {.keys = authentication_keys};

static const char *const engines[] = {"sqlite", "memory", NULL};
static const struct key_def store_keys[] =
    {{"engine", SHAPE_CHOICE, AT(struct config, engine), .choices = engines, .standard = "`sqlite`",
      .about = "`sqlite`: files in the data folder, durable. `memory`: everything is gone when the process ends.",
      .example = "engine: memory"},
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
     {"log", SHAPE_MAP, .map = &log_map, .about = "What is logged.", .example = "log: {level: warn}"},
     {"authentication", SHAPE_CUSTOM, .read = read_authentication, .map = &authentication_map, .type = "map",
      .standard = "none",
      .about =
          "The Authentication Service: users who log in here with a password. It brings its issuer, its service and "
          "its actions; see *Users who log in here* below.",
      .example = "authentication: {issuer: \"https://api.example.com\"}"},
     {"store", SHAPE_MAP, .map = &store_map,
      .about = "Where users, sessions, API keys made at run time and revocations are kept. There is one as soon as "
               "`authentication`, `store` or `feed` is written.",
      .example = "store: {engine: sqlite}"},
     {"feed", SHAPE_MAP, .map = &feed_map, .about = "How changes in the store reach the gateway.",
      .example = "feed: {lease: 1m}"},
     {"seal", SHAPE_CUSTOM, AT(struct config, seal), .read = read_secret, .map = &secret_map, .type = "map of one key",
      .standard = "the file `seal.key` in the data folder, made at the first start",
      .about = "Where the key comes from that seals signing keys and secrets in the store: at least 32 bytes.",
      .example = "seal: {credential: sallyport-seal}"},
     {"issuers", SHAPE_NAMED, AT(struct config, issuers), .count_offset = offsetof(struct config, n_issuers),
      .map = &issuer_map, .standard = "none",
      .about = "Whose tokens are believed, and how far. The name is the prefix of its users.",
      .example = "issuers: {corp: {issuer: …}}"},
     {"products", SHAPE_NAMED, AT(struct config, products), .count_offset = offsetof(struct config, n_products),
      .map = &product_map, .standard = "none", .about = "Who may call at all.",
      .example = "products: {mobile-app: {may: [viewOrder]}}"},
     {"services", SHAPE_NAMED, AT(struct config, services), .count_offset = offsetof(struct config, n_services),
      .map = &service_map, .standard = "none", .about = "What stands behind the gateway.",
      .example = "services: {orders: {instances: \"10.0.0.11:8080\"}}"},
     {"actions", SHAPE_NAMED, AT(struct config, actions), .count_offset = offsetof(struct config, n_actions),
      .map = &action_map, .standard = "none",
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
     REFUSED("limit"),
     REFUSED("quota"),
     REFUSED("tiers"),
     REFUSED("breaker"),
     REFUSED("login"),
     REFUSED("tls"),
     REFUSED("identity"),
     REFUSED("audit"),
     REFUSED("tenants"),
     REFUSED("calls"),
     END};

const struct key_map config_keys = {.keys = root_keys};
