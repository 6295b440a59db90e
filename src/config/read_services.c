/* Reading what a service has: instances, health checks, ejection, breaker, hash, TLS. */
#include "config/read.h"

#include "codec/url.h"
#include "http/message.h"

#include <stdio.h>

/* --- defaults --- */

void begin_service(void *elem)
{
    struct config_service *s = elem;
    s->implicit = true;
    s->eject = (struct snapshot_eject){.failures = 5, .base_ms = 10000, .at_most = 50};
    s->pool = (struct snapshot_pool){.idle = 256, .open = 1024, .waiting = 16384};
    s->retry = (struct snapshot_retry){.attempts = 2, .budget = 20};
}

/* --- instances --- */

static void read_srv(struct reader *r, const struct yaml *v, struct config_address *out)
{
    struct config_str text;
    enum host_kind kind;
    if (!read_text(r, v, NULL, &text)) return;
    str name = str_from(text.s, 4);
    bool service = name.n > 1 && name.p[0] == '_' && str_has(name, '.');
    if (!service || url_host(name, &kind) != ERR_OK || kind != HOST_NAME) {
        read_complain(r, "address", v, "srv:_http._tcp.orders.internal",
                      "must have the name of a service behind 'srv:' (RFC 2782), without a port");
        return;
    }
    *out = (struct config_address){.kind = ADDRESS_TCP, .text = text.s, .host = name, .at = text.at};
}

void read_instance_address(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_instance *i = base;
    (void)def;
    if (v->type == YAML_REFUSED) return;
    i->srv = v->type == YAML_STRING && str_starts(v->text, STR("srv:"));
    if (i->srv)
        read_srv(r, v, &i->address);
    else
        read_address(r, v, true, &i->address);
}

static bool read_instance(struct reader *r, const struct key_map *map, const struct yaml *v, struct config_instance *i)
{
    *i = (struct config_instance){.weight = 1};
    if (v->type != YAML_MAP) {
        read_instance_address(r, NULL, v, i);
        return i->address.text.n > 0;
    }
    read_map(r, map, v, i);
    const struct yaml *weight = yaml_get(v, STR("weight"));
    if (i->srv && weight)
        read_complain_key(r, "address", weight, "leave it out: the name's records have weights",
                          "has a weight of its own beside 'srv:'");
    return i->address.text.n > 0;
}

void read_instances(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_service *s = base;
    uint32_t n, got = 0;
    if (v->type == YAML_REFUSED) return;
    const struct yaml *item = read_items(v, &n);
    if (n == 0 || n > def->max) {
        read_complain(r, "list", v, "", n ? "must have at most %u addresses" : "must have at least one address",
                      (unsigned)def->max);
        return;
    }
    struct config_instance *all = read_alloc(r, n, sizeof *all);
    for (; all && item; item = read_next(v, item)) {
        if (item->type == YAML_REFUSED || !read_instance(r, def->map, item, &all[got])) continue;
        bool twice = false;
        for (uint32_t i = 0; i < got && !twice; i++) twice = str_eq(all[i].address.text, all[got].address.text);
        if (twice)
            read_complain(r, "twice", item, "", "has '%.*s' twice", STR_ARG(all[got].address.text));
        else
            got++;
    }
    s->instances = all;
    s->n_instances = all ? got : 0;
}

/* --- health --- */

static bool request_ok(str text, struct snapshot_health *h)
{
    str path = text, method = str_cut(&path, ' ');
    if (!str_eq(method, STR("GET")) && !str_eq(method, STR("HEAD"))) return false;
    if (path.n == 0 || path.n > 1024 || path.p[0] != '/') return false;
    for (size_t i = 0; i < path.n; i++)
        if (!(url_class[(unsigned char)path.p[i]] & URL_TARGET)) return false;
    h->method = method;
    h->path = path;
    return true;
}

void read_health_request(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_service *s = base;
    struct config_str text;
    (void)def;
    if (read_text(r, v, NULL, &text) && !request_ok(text.s, &s->health))
        read_complain(r, "health", v, "GET /healthz", "must be GET or HEAD and a path");
}

/* "GET /healthz every 2s" */
static void read_short_health(struct reader *r, const struct key_def *every, const struct yaml *v,
                              struct config_service *s)
{
    struct config_str text;
    uint64_t ms = s->health.every_ms;
    if (!read_text(r, v, NULL, &text)) return;
    str request = text.s, word = STR(" every ");
    for (size_t at = 0; at + word.n < text.s.n; at++) {
        if (!str_starts(str_from(text.s, at), word)) continue;
        request = str_first(text.s, at);
        if (value_duration(str_from(text.s, at + word.n), &ms) != ERR_OK || ms < every->min || ms > every->max) {
            read_complain(r, "health", v, "", "must have a time from 100ms to 1h behind 'every'");
            return;
        }
        break;
    }
    s->health.every_ms = (uint32_t)ms;
    if (s->health.timeout_ms > s->health.every_ms) s->health.timeout_ms = s->health.every_ms;
    if (!request_ok(request, &s->health))
        read_complain(r, "health", v, "GET /healthz every 2s",
                      "must be GET or HEAD, a path, and how often it is asked");
}

void read_health(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_service *s = base;
    if (v->type == YAML_REFUSED) return;
    s->health_at = read_pos(v->key_at);
    s->health =
        (struct snapshot_health){.on = true, .every_ms = 5000, .timeout_ms = 1000, .healthy = 2, .unhealthy = 3};
    if (v->type != YAML_MAP) {
        const struct key_def *every = def->map->keys;
        while (strcmp(every->name, "every") != 0) every++;
        read_short_health(r, every, v, s);
        return;
    }
    read_map(r, def->map, v, s);
    if (s->health.timeout_ms <= s->health.every_ms) return;
    if (yaml_get(v, STR("timeout")))
        read_complain_key(r, "health", v, "", "has a timeout longer than `every`: the next one would begin before");
    else
        s->health.timeout_ms = s->health.every_ms;
}

/* --- ejection, breaker --- */

void read_eject(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_service *s = base;
    if (v->type == YAML_STRING && str_eq(v->text, STR("none")))
        s->eject = (struct snapshot_eject){0};
    else if (v->type == YAML_STRING)
        read_complain(r, "choice", v, "", "must be none, or a map of `failures`, `for` and `at_most`");
    else
        read_map(r, def->map, v, s);
}

void read_breaker(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_service *s = base;
    s->breaker_at = read_pos(v->key_at);
    s->breaker = (struct snapshot_breaker){.on = true, .errors = 50, .of = 20, .window_ms = 10000, .open_ms = 5000};
    read_map(r, def->map, v, s);
}

/* --- hash --- */

void read_hash(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    static const char *const by[] = {"user", "address", "product"};
    struct config_service *s = base;
    struct config_str text;
    (void)def;
    if (!read_text(r, v, NULL, &text)) return;
    for (unsigned i = 0; i < ARRAY_LEN(by); i++) {
        if (!str_eq(text.s, str_of(by[i]))) continue;
        s->hash_by = (enum hash_by)i;
        return;
    }
    str field = str_from(text.s, str_starts(text.s, STR("header:")) ? 7 : text.s.n);
    if (field.n == 0 || field.n > 64 || !http_token_ok(field)) {
        read_complain(r, "choice", v, "", "must be user, address, product or \"header:NAME\"");
        return;
    }
    char *low = read_alloc(r, field.n + 1, 1);
    if (!low) return;
    for (size_t i = 0; i < field.n; i++)
        low[i] = (char)(field.p[i] >= 'A' && field.p[i] <= 'Z' ? field.p[i] | 0x20 : field.p[i]);
    s->hash_by = HASH_BY_HEADER;
    s->hash_header = (struct config_str){str_make(low, field.n), text.at};
}

/* --- TLS --- */

static const char *check_server_name(const char *text, size_t n)
{
    enum host_kind kind;
    bool ok = url_host(str_make(text, n), &kind) == ERR_OK && kind == HOST_NAME;
    return ok ? NULL : "a host name";
}

void read_server_name(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_service *s = base;
    (void)def;
    read_text(r, v, check_server_name, &s->tls.name);
}

void read_service_tls(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_service *s = base;
    s->tls.on = true;
    s->tls.at = read_pos(v->key_at);
    read_map(r, def->map, v, s);
    if (v->type != YAML_MAP) return;
    const struct yaml *cert = yaml_get(v, STR("cert")), *key = yaml_get(v, STR("key"));
    if (!cert != !key)
        read_complain_key(r, "tls", cert ? cert : key, "", "has a `%s` without its `%s`", cert ? "cert" : "key",
                          cert ? "key" : "cert");
}

/* --- together --- */

static void check_balance(struct reader *r, const struct yaml *v, const struct config_service *s)
{
    const struct yaml *hash = yaml_get(v, STR("hash")), *balance = yaml_get(v, STR("balance"));
    if (s->balance == BALANCE_HASH && !hash)
        read_complain_key(r, "balance", balance, "hash: user, address, product or \"header:NAME\"",
                          "has `balance: hash` and does not say by what: it needs `hash`");
    if (hash && s->balance != BALANCE_HASH)
        read_complain_key(r, "balance", hash, "write balance: hash, or leave `hash` out",
                          "has `hash`, but nobody looks at it without `balance: hash`");
}

static void check_pool(struct reader *r, const struct yaml *v, struct config_service *s)
{
    const struct yaml *pool = yaml_get(v, STR("pool")), *idle = yaml_get(pool, STR("idle"));
    if (s->pool.idle <= s->pool.open) return;
    if (idle)
        read_complain_key(r, "pool", idle, "", "has a pool that keeps more connections (idle) than it opens (open)");
    else
        s->pool.idle = s->pool.open;
}

void end_service(struct reader *r, const struct yaml *v, void *elem)
{
    struct config_service *s = elem;
    check_balance(r, v, s);
    check_pool(r, v, s);
    for (uint32_t i = 0; s->tls.on && !s->tls.name.s.n && i < s->n_instances; i++)
        if (s->instances[i].address.kind == ADDRESS_UNIX) {
            read_complain_key(r, "tls", yaml_get(v, STR("tls")), "name: orders.internal",
                              "needs `tls.name`: an instance at a Unix socket has no host name to verify");
            break;
        }
}
