/* What the parts of the edge must be together. */
#include "base/map.h"
#include "config/check.h"

#include <stdio.h>

static void complain(struct reader *r, const char *code, struct config_pos at, size_t width, const char *fix,
                     const char *fmt, ...) PRINTF_LIKE(6, 7);
static void complain(struct reader *r, const char *code, struct config_pos at, size_t width, const char *fix,
                     const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    diag_add(r->d, DIAG_ERROR, code, at, width ? (uint32_t)width : 1, str_of(fix), "%s", text);
}

/* --- TLS and client certificates --- */

static void check_listeners(struct reader *r)
{
    const struct config *c = r->c;
    for (uint32_t i = 0; i < c->n_gateway; i++) {
        const struct config_address *a = &c->gateway[i].address;
        if (c->gateway[i].tls && !c->tls.on)
            complain(r, "no_tls", a->at, a->text.n,
                     "tls: {certificates: [{cert: public.pem, key: {file: public.key}}]}",
                     "listen.gateway speaks TLS at '%.*s', but there is no section `tls` with a certificate",
                     STR_ARG(a->text));
    }
}

static void check_pins(struct reader *r)
{
    const struct config *c = r->c;
    struct map seen = {0};
    for (uint32_t i = 0; i < c->n_products; i++) {
        const struct config_product *p = &c->products[i];
        if (p->n_certificates && !c->tls.clients_ca.s.n)
            complain(
                r, "no_clients", p->certificates[0].at, 1, "tls: {clients: {ca: partners.pem}}",
                "products.%.*s pins client certificates, but clients are asked for none: there is no `tls.clients`",
                STR_ARG(p->name));
        for (uint32_t k = 0; k < p->n_certificates; k++) {
            const struct config_pin *pin = &p->certificates[k];
            void *other = NULL;
            if (map_put(&seen, str_make((const char *)pin->sha256, sizeof pin->sha256), (void *)(uintptr_t)pin,
                        &other) != ERR_OK)
                r->d->lost = true;
            const struct config_pin *before = other;
            if (before)
                complain(r, "twice", pin->at, 1, "a certificate says which product calls: it can be of one only",
                         "products.%.*s.certificates has one that stands in line %u too", STR_ARG(p->name),
                         before->at.line);
        }
    }
    map_free(&seen);
}

/* --- limits --- */

static bool known_without_credential(enum limit_per per)
{
    return per == LIMIT_PER_ADDRESS || per == LIMIT_PER_ACTION;
}

static void check_public_limits(struct reader *r)
{
    const struct config *c = r->c;
    for (uint32_t i = 0; i < c->n_actions; i++) {
        const struct config_action *a = &c->actions[i];
        for (uint32_t k = 0; k < a->n_limits && a->is_public; k++)
            if (!known_without_credential(a->limits[k].per))
                complain(r, "limit_per", a->limits[k].at, 1, "write per: address or per: action",
                         "actions.%.*s.limit counts per %s, but the action is public: nobody is known there",
                         STR_ARG(a->name), limit_per_name(a->limits[k].per));
    }
}

static void check_quotas(struct reader *r)
{
    const struct config *c = r->c;
    for (uint32_t i = 0; i < c->n_products; i++) {
        const struct config_product *p = &c->products[i];
        if (p->quota.requests && !c->fed)
            complain(r, "no_store", p->at, p->name.n, "write store: {engine: sqlite}",
                     "products.%.*s has a `quota`, but there is no store to count it in", STR_ARG(p->name));
    }
}

/* --- sockets --- */

static void check_sockets(struct reader *r)
{
    const struct config *c = r->c;
    const struct config_str *store = &c->store_socket, *own = &c->authentication_socket;
    if (store->s.n && str_eq(store->s, own->s))
        complain(r, "twice", own->at, own->s.n + 5, "each has a socket of its own",
                 "authentication.socket is store.socket too: '%.*s'", STR_ARG(own->s));
}

void check_edge(struct reader *r)
{
    check_listeners(r);
    check_pins(r);
    check_public_limits(r);
    check_quotas(r);
    check_sockets(r);
}
