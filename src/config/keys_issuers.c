/* The keys of an issuer, and of a secret's source. */
#include "config/keys_private.h"

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
const struct key_map keys_secret = {.keys = secret_keys};

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
     {"secret", SHAPE_CUSTOM, AT(struct config_issuer, secret), .read = read_secret, .map = &keys_secret,
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
     {"caller", SHAPE_CUSTOM, AT(struct config_issuer, caller), .read = read_caller, .choices = caller_kinds,
      .type = "`user`, `service`, `third-party`", .standard = "`user`",
      .about = "Which kind of caller its tokens make.", .example = "caller: service"},
     REFUSED("introspection"),
     REFUSED("discovery"),
     REFUSED("require"),
     END};
const struct key_map keys_issuer = {.keys = issuer_keys,
                                    .elem_size = sizeof(struct config_issuer),
                                    .max = CONFIG_MAX_ISSUERS,
                                    .name_check = check_name,
                                    .begin = begin_issuer,
                                    .end = end_issuer};
