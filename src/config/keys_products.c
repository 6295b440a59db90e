/* The keys of products and actions: who may call, and what. */
#include "config/keys_private.h"

static const struct key_def product_keys_keys[] = {{"id", SHAPE_TEXT, .required = true, .type = "8 to 16 of `a-z0-9`",
                                                    .about = "The key's public id.", .example = "id: k7d2m4q8x0ab"},
                                                   {"sha256", SHAPE_TEXT, .required = true,
                                                    .type = "64 hexadecimal digits",
                                                    .about = "SHA-256 of the whole key.",
                                                    .example = "sha256: 9f86d081884c7d65…"},
                                                   END};
static const struct key_map product_keys_map = {.keys = product_keys_keys};

const char *const caller_kinds[] = {"user", "service", "third-party", NULL};
static const char *const auth_kinds[] = {"apikey", "token", NULL};
static const char *const login_kinds[] = {"none", "password", NULL};
static const char *const proof_kinds[] = {"none", "basic", "signature", NULL};
static const char *const quota_windows[] = {"hour", "day", "month", NULL};
static const struct key_def quota_keys[] = {{"requests", SHAPE_NUMBER64, .required = true,
                                             AT(struct config_product, quota.requests), .min = 1,
                                             .max = UINT64_C(1000000000000), .about = "So many requests.",
                                             .example = "requests: 1000000"},
                                            {"per", SHAPE_CHOICE, .required = true,
                                             AT(struct config_product, quota.window), .choices = quota_windows,
                                             .about = "In each hour, day or month of UTC.", .example = "per: month"},
                                            END};
static const struct key_map quota_map = {.keys = quota_keys};

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
    {"caller", SHAPE_CUSTOM, AT(struct config_product, caller), .read = read_caller, .choices = caller_kinds,
     .type = "`user`, `service`, `third-party`", .standard = "`user`",
     .about =
         "Which kind of caller its own credentials make: apikey, signature, certificate. A user's token makes what "
         "its issuer says.",
     .example = "caller: third-party"},
    {"certificates", SHAPE_CUSTOM, .read = read_pins, .max = CONFIG_MAX_PINS, .type = "text, or a list of texts",
     .standard = "none",
     .about = "Its client certificates: `sha256:` and the SHA-256 of the certificate's public key "
              "(SubjectPublicKeyInfo). They must also come from an authority of `tls.clients`.",
     .example = "certificates: \"sha256:9f86d081884c7d65…\""},
    {"signature", SHAPE_CUSTOM, AT(struct config_product, mac_key), .read = read_secret, .map = &keys_secret,
     .type = "map of one key", .standard = "the apisecret of the product in the store, if it has one",
     .about = "Where the key comes from that its requests are signed with (RFC 9421, HMAC-SHA256): at least 32 bytes.",
     .example = "signature: {file: partner.mac}"},
    {"limit", SHAPE_CUSTOM, AT(struct config_product, limits),
     .count_offset = offsetof(struct config_product, n_limits), .read = read_limits, .map = &keys_product_limit,
     .max = CONFIG_MAX_LIMITS, .type = "map, or a list of maps", .standard = "none",
     .about = "How often it may ask, for all actions together.",
     .example = "limit: {rate: 100/s, burst: 200, per: key}"},
    {"quota", SHAPE_MAP, .map = &quota_map, .standard = "none",
     .about = "How much it may ask for in a longer time. Counted in the store, so there must be one.",
     .example = "quota: {requests: 1000000, per: month}"},
    REFUSED("limits"),
    REFUSED("tier"),
    REFUSED("tiers"),
    REFUSED("signed"),
    END};
const struct key_map keys_product = {.keys = product_keys,
                                     .elem_size = sizeof(struct config_product),
                                     .max = CONFIG_MAX_NAMES,
                                     .name_check = check_name,
                                     .end = end_product};

static const char *const accept_kinds[] = {"token", "apikey", "signature", "certificate", NULL};
#define ACCEPT_OF(key, kind, who)                                                                                      \
    {                                                                                                                  \
        key, SHAPE_MASK, AT(struct config_action, accept[kind]),                                                       \
            .choices = accept_kinds, .min = 1, .standard = "that kind may not call",                                   \
            .about = "Which credential of " who " is enough.", .example = "accept: {" key ": token}"                   \
    }
static const struct key_def accept_keys[] = {ACCEPT_OF("user", CALLER_USER, "a user"),
                                             ACCEPT_OF("service", CALLER_SERVICE, "a service"),
                                             ACCEPT_OF("third-party", CALLER_THIRD_PARTY, "a third party"), END};
static const struct key_map accept_map = {.keys = accept_keys};

static const struct key_def action_keys[] =
    {{"match", SHAPE_CUSTOM, .required = true, .read = read_matches, .min = 1, .max = 64,
      .type = "match, or a list of them",
      .about = "`METHOD /pattern` or `METHOD,METHOD /pattern`; see *Patterns* above.",
      .example = "match: \"GET /orders/{id}\""},
     {"to", SHAPE_TEXT, .required = true, AT(struct config_action, to), .about = "The service that answers.",
      .example = "to: orders"},
     {"public", SHAPE_FLAG, AT(struct config_action, is_public), .standard = "`false`",
      .about = "Anyone may, and no credential is looked at.", .example = "public: true"},
     {"accept", SHAPE_CUSTOM, .read = read_accept, .map = &accept_map, .choices = accept_kinds, .min = 1,
      .type = "one or a list of `token`, `apikey`, `signature`, `certificate`, or a map from kinds of callers to those",
      .standard = "`token`",
      .about = "Which credential of a caller is enough: a `token`, or what a product has of its own: its `apikey`, a "
               "`signature` of the request, its client `certificate`. In a map, a kind that is not there may not call; "
               "see *Who calls* above.",
      .example = "accept: {user: token, third-party: [signature, certificate]}"},
     {"strip", SHAPE_TEXT, AT(struct config_action, strip), .check = check_strip, .type = "path", .standard = "nothing",
      .about = "Prefix that is taken off the path before it is forwarded; every `match` must begin with it.",
      .example = "strip: /shop"},
     {"timeout", SHAPE_MS, AT(struct config_action, timeout_ms), .min = 10, .max = 24 * HOUR_MS,
      .standard = "`timeouts.total`", .about = "The whole exchange.", .example = "timeout: 5s"},
     {"body", SHAPE_SIZE64, AT(struct config_action, body_max), .max = 1024 * GB, .standard = "`limits.body`",
      .about = "The largest request body.", .example = "body: 1MB"},
     REFUSED("object"),
     {"limit", SHAPE_CUSTOM, AT(struct config_action, limits), .count_offset = offsetof(struct config_action, n_limits),
      .read = read_limits, .map = &keys_action_limit, .max = CONFIG_MAX_LIMITS, .type = "map, or a list of maps",
      .standard = "none", .about = "How often it may be asked for.", .example = "limit: {rate: 5/m, per: user}"},
     REFUSED("limits"),
     REFUSED("quota"),
     REFUSED("breaker"),
     REFUSED("retries"),
     REFUSED("via"),
     REFUSED("fresh"),
     REFUSED("stale"),
     REFUSED("upgrade"),
     END};
const struct key_map keys_action = {.keys = action_keys,
                                    .elem_size = sizeof(struct config_action),
                                    .max = CONFIG_MAX_ACTIONS,
                                    .name_check = check_action_name,
                                    .begin = begin_action,
                                    .end = end_action};
