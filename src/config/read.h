/* From the YAML tree into typed configuration, by the table of keys: types, bounds, unknown keys.
 *
 * Private to src/config. Never stops at a mistake: it is reported, the value keeps its default, and reading goes on. */
#ifndef SALLYPORT_CONFIG_READ_H
#define SALLYPORT_CONFIG_READ_H

#include "codec/yaml.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/values.h"

struct reader {
    struct diags *d;
    struct arena *mem; /* of the configuration */
    struct config *c;
    char path[256]; /* where we are: "services.orders" */
    size_t path_n;
    uint32_t searches; /* how many more "did you mean" are looked for: bounds the work a broken file can cause */
};

/* What every struct behind SHAPE_NAMED begins with. */
struct config_named {
    str name;
    struct config_pos at;
};

static inline struct config_pos read_pos(struct yaml_mark m)
{
    return (struct config_pos){m.line, m.column};
}

/* Reads the whole tree into r->c. */
void read_config(struct reader *r, const struct yaml *root);

/* Reads a map by its table into the struct at `base`. */
void read_map(struct reader *r, const struct key_map *map, const struct yaml *v, void *base);

/* A text without control characters, copied into the configuration; false after a complaint. */
bool read_text(struct reader *r, const struct yaml *v, text_check *check, struct config_str *out);

/* One text or a list of texts, by def->check, min and max; with SHAPE_LIST_ANY also the word `any`. */
void read_list(struct reader *r, const struct key_def *def, const struct yaml *v, struct config_list *out);

/* One of the words; false after a complaint. */
bool read_choice(struct reader *r, const char *const *choices, const struct yaml *v, unsigned *out);

/* One or a list of def->choices as bits. */
void read_mask(struct reader *r, const struct key_def *def, const struct yaml *v, uint8_t *out);

/* HOST:PORT and its kin; false after a complaint. */
bool read_address(struct reader *r, const struct yaml *v, bool need_host, struct config_address *out);

/* The values of "one or a list": how many there are and the first of them. A text alone is a list of one. */
const struct yaml *read_items(const struct yaml *v, uint32_t *n);
static inline const struct yaml *read_next(const struct yaml *list, const struct yaml *item)
{
    return item == list ? NULL : item->next;
}

/* Complains about a value, at its place; the text goes behind the path of the value: "must be …". */
void read_complain(struct reader *r, const char *code, const struct yaml *v, const char *fix, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
/* The same about a key. */
void read_complain_key(struct reader *r, const char *code, const struct yaml *v, const char *fix, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/* One step down and back: names the place in messages. */
size_t read_push(struct reader *r, str name);
void read_pop(struct reader *r, size_t mark);

/* "did you mean 'x'?" in the arena of the reports, or "" when nothing was near enough. */
const char *read_did_you_mean(struct reader *r, const struct value_nearest *n);

/* Zeroed memory of the configuration, or NULL with d->lost set. */
void *read_alloc(struct reader *r, size_t count, size_t size);

/* Keeps the value out of every message: it may be a secret that was written in the wrong place. */
void read_hide(struct reader *r, const struct yaml *v);

/* --- what the table's functions are --- */
void read_version(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_gateway(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_admin(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_networks(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_instances(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_matches(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_secret(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_product_keys(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_rate(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_authentication(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_limits(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_limit_rate(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_limit_per(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_percent(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_instance_address(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_health(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_health_request(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_eject(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_breaker(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_hash(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_server_name(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_service_tls(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_listener_address(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_certificates(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_tls_minimum(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_tls(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_pins(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_trace_headers(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_tracing(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_socket(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_caller(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void read_accept(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);
void begin_edge_limit(void *elem);
void begin_product_limit(void *elem);
void begin_action_limit(void *elem);
void end_service(struct reader *r, const struct yaml *v, void *elem);
void begin_issuer(void *elem);
void begin_service(void *elem);
void begin_action(void *elem);
void end_issuer(struct reader *r, const struct yaml *v, void *elem);
void end_product(struct reader *r, const struct yaml *v, void *elem);
void end_action(struct reader *r, const struct yaml *v, void *elem);

#endif
