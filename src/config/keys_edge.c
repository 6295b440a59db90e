/* The keys of limits, of TLS in front, and of traces. */
#include "config/keys_private.h"

/* --- limits --- */

static const char *const per_address[] = {"address", NULL};
static const char *const per_product[] = {"user", "key", "product", "address", NULL};
static const char *const per_any[] = {"user", "key", "product", "address", "caller", "action", NULL};

#define RATE                                                                                                           \
    {                                                                                                                  \
        "rate", SHAPE_CUSTOM,                                                                                          \
            .required = true, AT(struct config_limit, count), .read = read_limit_rate, .type = "rate",                 \
            .about = "So many requests in a second (`s`), minute (`m`), hour (`h`) or day (`d`); a million at most.",  \
            .example = "rate: 100/s"                                                                                   \
    }
#define BURST                                                                                                          \
    {                                                                                                                  \
        "burst", SHAPE_NUMBER, AT(struct config_limit, burst),                                                         \
            .min = 1, .max = 1000000, .standard = "as many as `rate` counts",                                          \
            .about = "How many of them may come at once.", .example = "burst: 200"                                     \
    }

static const struct key_def edge_limit_keys[] = {RATE,
                                                 BURST,
                                                 {"per", SHAPE_CUSTOM, AT(struct config_limit, per),
                                                  .read = read_limit_per, .choices = per_address, .type = "`address`",
                                                  .standard = "`address`",
                                                  .about = "Before any credential is looked at, nothing else is known.",
                                                  .example = "per: address"},
                                                 END};
const struct key_map keys_edge_limit = {.keys = edge_limit_keys, .begin = begin_edge_limit};

static const struct key_def product_limit_keys[] = {RATE,
                                                    BURST,
                                                    {"per", SHAPE_CUSTOM, AT(struct config_limit, per),
                                                     .read = read_limit_per, .choices = per_product,
                                                     .type = "`user`, `key`, `product`, `address`",
                                                     .standard = "`product`", .about = "Who shares one count.",
                                                     .example = "per: key"},
                                                    END};
const struct key_map keys_product_limit = {.keys = product_limit_keys, .begin = begin_product_limit};

static const struct key_def action_limit_keys[] =
    {RATE,
     BURST,
     {"per", SHAPE_CUSTOM, AT(struct config_limit, per), .read = read_limit_per, .choices = per_any,
      .type = "`user`, `key`, `product`, `address`, `caller`, `action`", .standard = "`user`",
      .about = "Who shares one count: `caller` is a kind of caller, `action` all callers together.",
      .example = "per: user"},
     END};
const struct key_map keys_action_limit = {.keys = action_limit_keys, .begin = begin_action_limit};

/* --- TLS in front --- */

static const struct key_def listener_keys[] = {{"address", SHAPE_CUSTOM, .required = true,
                                                .read = read_listener_address, .type = "address", .about = "As above.",
                                                .example = "gateway: {address: \":8443\", tls: true}"},
                                               {"tls", SHAPE_FLAG, AT(struct config_listener, tls),
                                                .standard = "`false`",
                                                .about = "TLS only, with the certificates of the section `tls`.",
                                                .example = "tls: true"},
                                               END};
const struct key_map keys_listener = {.keys = listener_keys};

static const struct key_def certificate_keys[] =
    {{"cert", SHAPE_TEXT, .required = true, AT(struct config_certificate, cert), .check = check_path, .type = "path",
      .about = "PEM file: the certificate, then those of the authorities in between.", .example = "cert: public.pem"},
     {"key", SHAPE_CUSTOM, .required = true, AT(struct config_certificate, key), .read = read_secret,
      .map = &keys_secret, .type = "map of one key",
      .about = "Where its private key comes from, in PEM. Nobody but the gateway may read the file.",
      .example = "key: {file: public.key}"},
     {"ocsp", SHAPE_TEXT, AT(struct config_certificate, ocsp), .check = check_path, .type = "path",
      .about = "DER file of an OCSP response that is stapled. Read again on reload.",
      .example = "ocsp: public.ocsp.der"},
     END};
static const struct key_map certificate_map = {.keys = certificate_keys};

static const struct key_def clients_keys[] =
    {{"ca", SHAPE_TEXT, .required = true, AT(struct config, tls.clients_ca), .check = check_path, .type = "path",
      .about = "PEM file of the authorities that client certificates must come from.", .example = "ca: partners.pem"},
     END};
static const struct key_map clients_map = {.keys = clients_keys};

static const struct key_def tls_keys[] = {
    {"certificates", SHAPE_CUSTOM, .required = true, .read = read_certificates, .map = &certificate_map, .min = 1,
     .max = CONFIG_MAX_CERTIFICATES, .type = "map, or a list of maps",
     .about = "By the name that a client asks for (SNI) the one that has it is chosen; without a name, or when none "
              "has it, the first.",
     .example = "certificates: [{cert: public.pem, key: {file: public.key}}]"},
    {"minimum", SHAPE_CUSTOM, AT(struct config, tls.minimum), .read = read_tls_minimum, .type = "`\"1.2\"`, `\"1.3\"`",
     .standard = "`\"1.2\"`", .about = "The oldest version that is spoken.", .example = "minimum: \"1.3\""},
    {"tickets", SHAPE_SECONDS, AT(struct config, tls.tickets_s), .max = 7 * DAY_S, .standard = "`12h`",
     .about = "How long one key seals session tickets, at least a minute; its tickets are good as long again. `0s`: no "
              "tickets.",
     .example = "tickets: 1h"},
    {"clients", SHAPE_MAP, .map = &clients_map, .standard = "none is asked",
     .about = "Clients are asked for a certificate. Who has none is not refused: actions say whether it is needed.",
     .example = "clients: {ca: partners.pem}"},
    END};
const struct key_map keys_tls = {.keys = tls_keys};

/* --- traces --- */

static const struct key_def tracing_keys[] =
    {{"otlp", SHAPE_TEXT, .required = true, AT(struct config, tracing.otlp), .check = check_url, .type = "URL",
      .about = "Where traces go (OTLP over HTTP, JSON).", .example = "otlp: \"http://127.0.0.1:4318/v1/traces\""},
     {"sample", SHAPE_CUSTOM, AT(struct config, tracing.sample_ppm), .read = read_percent, .type = "percent",
      .standard = "`1%`",
      .about = "Which part of all traces is kept, from `0%` to `100%`, four digits behind the point.",
      .example = "sample: 0.1%"},
     {"ca", SHAPE_TEXT, AT(struct config, tracing.ca), .check = check_path, .type = "path", .standard = "the system's",
      .about = "PEM file of the authorities that the certificate of an https URL must come from.",
      .example = "ca: otel.pem"},
     {"headers", SHAPE_CUSTOM, .read = read_trace_headers, .max = 16, .type = "map from fields to secret sources",
      .standard = "none", .about = "Fields that go with the traces. Their values are secrets.",
      .example = "headers: {Authorization: {env: OTEL_TOKEN}}"},
     END};
const struct key_map keys_tracing = {.keys = tracing_keys};
