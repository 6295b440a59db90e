#include "proxy/tls_set.h"

#include <stdio.h>
#include <stdlib.h>

static enum err make_server(const struct snapshot *snap, const struct tls_set *like, struct tls_tickets *tickets,
                            struct tls_server **out, char why[256])
{
    uint32_t n = snap->tls.n_certificates;
    struct tls_server_certificate *all = calloc(n, sizeof *all);
    if (!all) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        const struct snapshot_certificate *c = &snap->tls.certificates[i];
        all[i] = (struct tls_server_certificate){c->cert_pem, c->key_pem, c->ocsp_der, c->cert_path};
    }
    struct tls_server_options o = {.certificates = all,
                                   .n = n,
                                   .tls12 = snap->tls.tls12,
                                   .tickets_s = snap->tls.tickets_s,
                                   .tickets = tickets,
                                   .clients_ca_pem = snap->tls.clients_ca_pem};
    enum err e = ERR_OK;
    if (like && like->server && tls_server_is(like->server, &o))
        *out = tls_server_ref(like->server);
    else
        e = tls_server_new(&o, out, why);
    free(all);
    return e;
}

static enum err make_upstream(const struct snapshot_service *service, const struct tls_set *like,
                              struct tls_upstream **out, char why[256])
{
    const struct snapshot_tls_client *t = &service->tls;
    struct tls_upstream_options o = {t->ca_pem, t->name, t->cert_pem, t->key_pem};
    for (uint32_t i = 0; like && i < like->n; i++) {
        if (!like->upstreams[i] || !tls_upstream_is(like->upstreams[i], &o)) continue;
        *out = tls_upstream_ref(like->upstreams[i]);
        return ERR_OK;
    }
    char inner[256];
    enum err e = tls_upstream_new(&o, out, inner);
    if (e != ERR_OK) snprintf(why, 256, "service %.*s: %.180s", STR_ARG(str_first(service->name, 60)), inner);
    return e;
}

enum err tls_set_new(const struct snapshot *snap, const struct tls_set *like, struct tls_tickets *tickets,
                     struct tls_set **out, char why[256])
{
    struct tls_set *s = calloc(1, sizeof *s + snap->n_services * sizeof s->upstreams[0]);
    snprintf(why, 256, "memory is out");
    if (!s) return ERR_NO_MEMORY;
    s->refs = 1;
    s->n = snap->n_services;
    enum err e = snap->tls.n_certificates ? make_server(snap, like, tickets, &s->server, why) : ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < s->n; i++)
        if (snap->services[i].tls.on) e = make_upstream(&snap->services[i], like, &s->upstreams[i], why);
    if (e != ERR_OK) {
        tls_set_unref(&s);
        return e;
    }
    *out = s;
    return ERR_OK;
}

struct tls_set *tls_set_ref(struct tls_set *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void tls_set_unref(struct tls_set **out)
{
    struct tls_set *s = *out;
    *out = NULL;
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) return;
    tls_server_unref(&s->server);
    for (uint32_t i = 0; i < s->n; i++) tls_upstream_unref(&s->upstreams[i]);
    free(s);
}
