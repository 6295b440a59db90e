/* Reading what the edge shows of itself: listeners, certificates, pins, traces. */
#include "config/read.h"

#include "http/message.h"

#include <stdio.h>

/* --- listeners --- */

void read_listener_address(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    (void)def;
    read_address(r, v, false, &((struct config_listener *)base)->address);
}

void read_gateway(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config *c = base;
    uint32_t n, got = 0;
    if (v->type == YAML_REFUSED) return;
    const struct yaml *item = read_items(v, &n);
    if (n == 0 || n > def->max) {
        read_complain(r, "list", v, "", n ? "must have at most %u addresses" : "must have at least one address",
                      (unsigned)def->max);
        return;
    }
    struct config_listener *all = read_alloc(r, n, sizeof *all);
    for (; all && item; item = read_next(v, item)) {
        struct config_listener *l = &all[got];
        *l = (struct config_listener){0};
        if (item->type == YAML_REFUSED) continue;
        if (item->type == YAML_MAP)
            read_map(r, def->map, item, l);
        else
            read_listener_address(r, NULL, item, l);
        if (!l->address.text.n) continue;
        bool twice = false;
        for (uint32_t i = 0; i < got && !twice; i++) twice = str_eq(all[i].address.text, l->address.text);
        if (twice)
            read_complain(r, "twice", item, "", "has '%.*s' twice", STR_ARG(l->address.text));
        else
            got++;
    }
    c->gateway = all;
    c->n_gateway = all ? got : 0;
}

/* --- TLS --- */

void read_certificates(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config *c = base;
    uint32_t n, got = 0;
    if (v->type == YAML_REFUSED) return;
    const struct yaml *item = read_items(v, &n);
    if (n == 0 || n > def->max) {
        read_complain(r, "list", v, "", n ? "must have at most %u certificates" : "must not be an empty list",
                      (unsigned)def->max);
        return;
    }
    struct config_certificate *all = read_alloc(r, n, sizeof *all);
    for (; all && item; item = read_next(v, item)) {
        all[got] = (struct config_certificate){.at = read_pos(item->at)};
        read_map(r, def->map, item, &all[got]);
        if (all[got].cert.s.n) got++;
    }
    c->tls.certificates = all;
    c->tls.n_certificates = all ? got : 0;
}

/* "1.3" is a number to YAML where it has no quotes; what is meant is clear. */
void read_tls_minimum(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config *c = base;
    (void)def;
    bool scalar = v->type == YAML_STRING || v->type == YAML_FLOAT;
    if (scalar && str_eq(v->text, STR("1.2")))
        c->tls.minimum = 0;
    else if (scalar && str_eq(v->text, STR("1.3")))
        c->tls.minimum = 1;
    else if (v->type != YAML_REFUSED)
        read_complain(r, "choice", v, "", "must be \"1.2\" or \"1.3\": older versions are not spoken");
}

void read_tls(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config *c = base;
    c->tls.on = v->type == YAML_MAP;
    c->tls.at = read_pos(v->key_at);
    read_map(r, def->map, v, base);
    const struct yaml *tickets = yaml_get(v, STR("tickets"));
    if (c->tls.tickets_s && c->tls.tickets_s < 60)
        read_complain(r, "tickets", tickets ? tickets : v, "`tickets: 0s` switches them off",
                      "has keys of tickets for less than a minute");
}

/* --- pins --- */

void read_pins(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_product *p = base;
    struct config_list list = {0};
    uint32_t n;
    read_list(r, &(struct key_def){.shape = SHAPE_LIST, .min = def->min, .max = def->max}, v, &list);
    p->certificates = read_alloc(r, list.n, sizeof *p->certificates);
    if (!p->certificates || !list.n) return;
    for (const struct yaml *item = read_items(v, &n); item; item = read_next(v, item)) {
        struct config_pin *pin = &p->certificates[p->n_certificates];
        if (item->type != YAML_STRING || p->n_certificates == list.n) continue;
        pin->at = read_pos(item->at);
        bool named = str_starts(item->text, STR("sha256:"));
        if (named && value_sha256(str_from(item->text, 7), pin->sha256) == ERR_OK)
            p->n_certificates++;
        else
            read_complain(r, "certificate", item,
                          "openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform der | sha256sum",
                          "must be \"sha256:\" and 64 hexadecimal digits: the SHA-256 of the certificate's public key");
    }
}

/* --- traces --- */

static bool written_by_us(str name)
{
    static const char *const ours[] =
        {"host",    "content-type", "content-length", "content-encoding", "connection", "transfer-encoding", "te",
         "trailer", "upgrade",      "expect"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (str_ieq(name, str_of(ours[i]))) return true;
    return false;
}

void read_trace_headers(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    static const struct key_def value = {.offset = offsetof(struct config_header, value)};
    struct config_tracing *t = &((struct config *)base)->tracing;
    if (v->type == YAML_REFUSED) return;
    if (v->type != YAML_MAP || v->count > def->max) {
        read_hide(r, v);
        read_complain(r, "type", v, "headers: {Authorization: {env: OTEL_TOKEN}}", "must be a map of at most %u fields",
                      (unsigned)def->max);
        return;
    }
    t->headers = read_alloc(r, v->count, sizeof *t->headers);
    for (const struct yaml *item = v->first; t->headers && item; item = item->next) {
        struct config_header *h = &t->headers[t->n_headers];
        size_t mark = read_push(r, item->key);
        if (item->key.n > 64 || !http_token_ok(item->key))
            read_complain_key(r, "name", item, "", "must be the name of a header field");
        else if (written_by_us(item->key))
            read_complain_key(r, "name", item, "take it out", "is a field that is written anyway");
        h->name = (struct config_str){arena_copy(r->mem, item->key), read_pos(item->key_at)};
        if (!h->name.s.p) r->d->lost = true;
        read_secret(r, &value, item, h);
        t->n_headers++;
        read_pop(r, mark);
    }
}

void read_tracing(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config *c = base;
    c->tracing.at = read_pos(v->key_at);
    read_map(r, def->map, v, base);
    const struct yaml *ca = yaml_get(v, STR("ca"));
    if (ca && str_starts(c->tracing.otlp.s, STR("http://")))
        read_complain_key(r, "tracing", ca, "an https:// URL, or no `ca`", "has a `ca`, but its URL is not https");
}

/* --- sockets --- */

void read_socket(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_address a = {0};
    struct config_str *out = (struct config_str *)(void *)((char *)base + def->offset);
    if (v->type == YAML_STRING && !str_starts(v->text, STR("unix:"))) {
        read_complain(r, "address", v, "unix:/run/sallyport/data.sock",
                      "must be unix: with an absolute path behind it");
        return;
    }
    if (read_address(r, v, false, &a)) *out = (struct config_str){a.path, a.at};
}
