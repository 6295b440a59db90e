/* What a snapshot has of the edge: limits, certificates, tracing. */
#include "config/compile.h"

#include "base/clock.h"
#include "config/certificates.h"
#include "crypto/digest.h"

#include <stdio.h>

#define room compile_room
#define keep compile_keep

/* --- limits --- */

/* The same number in every process and after every reload, as long as all of it is the same. Of its place too, for an
 * action may be named as another's second limit; not of its number there: no place has the same one twice. */
static uint64_t limit_id(const char *place, str name, const struct config_limit *l)
{
    char text[256];
    unsigned char digest[SHA256_LEN];
    uint64_t id = 0;
    int n = snprintf(text, sizeof text, "limit %s %.*s: %u %llu %u %u", place, STR_ARG(name), l->count,
                     (unsigned long long)l->period_ms, l->burst, (unsigned)l->per);
    sha256(str_make(text, (size_t)n), digest);
    memcpy(&id, digest, sizeof id);
    return id ? id : 1;
}

static str limit_name(struct compile *k, const char *place, str name, uint32_t index)
{
    bool product = strcmp(place, "product") == 0, edge = strcmp(place, "edge") == 0;
    if (edge) name = STR("edge");
    str text = index ? arena_printf(&k->s->mem, "%s%.*s-%u", product ? "product-" : "", STR_ARG(name), index + 1)
                     : arena_printf(&k->s->mem, "%s%.*s", product ? "product-" : "", STR_ARG(name));
    if (text.p) return text;
    k->d->lost = true;
    return STR("");
}

const struct snapshot_limit *compile_limits(struct compile *k, const char *place, str name,
                                            const struct config_limit *from, uint32_t n)
{
    if (n == 0) return NULL;
    struct snapshot_limit *all = room(k, n, sizeof *all);
    for (uint32_t i = 0; all && i < n; i++)
        all[i] = (struct snapshot_limit){.id = limit_id(place, name, &from[i]),
                                         .count = from[i].count,
                                         .period_ns = from[i].period_ms * UINT64_C(1000000),
                                         .burst = from[i].burst,
                                         .per = from[i].per,
                                         .name = limit_name(k, place, name, i)};
    return all;
}

/* --- TLS --- */

void compile_authorities(struct compile *k, const struct config_str *path, str *out)
{
    if (compile_file(k, path, "the file of authorities", out)) certificates_check_bundle(k->d, path, *out);
}

static void certificate(struct compile *k, const struct config_certificate *from, struct snapshot_certificate *to)
{
    to->cert_path = keep(k, from->cert.s);
    bool whole = compile_file(k, &from->cert, "the certificate", &to->cert_pem);
    whole = compile_secret(k, &from->key, "the private key", &to->key_pem) && whole;
    if (from->ocsp.s.n) whole = compile_file(k, &from->ocsp, "the OCSP answer", &to->ocsp_der) && whole;
    const struct certificate_files all = {.cert = &from->cert,
                                          .ocsp = &from->ocsp,
                                          .key_at = from->key.at,
                                          .cert_pem = to->cert_pem,
                                          .key_pem = to->key_pem,
                                          .ocsp_der = to->ocsp_der};
    if (whole) certificates_check(k->d, &all, clock_wall_s());
}

static void certificate_like(struct compile *k, const struct snapshot_certificate *from,
                             struct snapshot_certificate *to)
{
    to->cert_path = keep(k, from->cert_path);
    to->cert_pem = keep(k, from->cert_pem);
    to->key_pem = keep(k, from->key_pem);
    to->ocsp_der = keep(k, from->ocsp_der);
}

static void compile_tls(struct compile *k)
{
    const struct config_tls *from = &k->c->tls;
    struct snapshot *s = k->s;
    struct snapshot_certificate *all = room(k, from->n_certificates, sizeof *all);
    if (!all) return;
    s->tls.certificates = all;
    s->tls.n_certificates = from->n_certificates; /* at once, so that keys are wiped whatever happens */
    for (uint32_t i = 0; i < from->n_certificates; i++) {
        if (k->like)
            certificate_like(k, &k->like->tls.certificates[i], &all[i]);
        else
            certificate(k, &from->certificates[i], &all[i]);
    }
    s->tls.tls12 = from->minimum == 0;
    s->tls.tickets_s = from->tickets_s;
    if (k->like)
        s->tls.clients_ca_pem = keep(k, k->like->tls.clients_ca_pem);
    else if (from->clients_ca.s.n)
        compile_authorities(k, &from->clients_ca, &s->tls.clients_ca_pem);
}

/* --- tracing --- */

static void compile_tracing(struct compile *k)
{
    const struct config_tracing *from = &k->c->tracing;
    struct snapshot *s = k->s;
    struct snapshot_header *headers = room(k, from->n_headers, sizeof *headers);
    if (!headers) return;
    s->tracing.url = keep(k, from->otlp.s);
    s->tracing.sample_ppm = from->sample_ppm;
    s->tracing.headers = headers;
    s->tracing.n_headers = from->n_headers;
    for (uint32_t i = 0; i < from->n_headers; i++) {
        headers[i].name = keep(k, from->headers[i].name.s);
        if (k->like)
            headers[i].value = keep(k, k->like->tracing.headers[i].value);
        else
            compile_secret(k, &from->headers[i].value, "the value of a header for traces", &headers[i].value);
    }
    if (k->like)
        s->tracing.ca_pem = keep(k, k->like->tracing.ca_pem);
    else if (from->ca.s.n)
        compile_authorities(k, &from->ca, &s->tracing.ca_pem);
}

static str name_servers(struct compile *k)
{
    const struct config_list *from = &k->c->dns_servers;
    str all = STR("");
    for (uint32_t i = 0; i < from->n; i++)
        all = arena_printf(&k->s->mem, "%.*s%s%.*s", STR_ARG(all), i ? "," : "", STR_ARG(from->v[i].s));
    if (!all.p) k->d->lost = true;
    return all;
}

void compile_edge(struct compile *k)
{
    const struct config *c = k->c;
    struct snapshot *s = k->s;
    s->zone = keep(k, c->zone.s);
    s->dns_servers = name_servers(k);
    s->sandbox = c->sandbox == 0;
    s->edge_limits = compile_limits(k, "edge", STR(""), c->edge_limits, c->n_edge_limits);
    s->n_edge_limits = c->n_edge_limits;
    compile_tls(k);
    compile_tracing(k);
}

/* --- pinned certificates --- */

static void pins_of(struct compile *k, const struct config_product *from, uint32_t index)
{
    struct snapshot_product *to = (struct snapshot_product *)(uintptr_t)&k->s->products[index];
    unsigned char(*all)[SHA256_LEN] = room(k, from->n_certificates, sizeof *all);
    for (uint32_t i = 0; all && i < from->n_certificates; i++) {
        memcpy(all[i], from->certificates[i].sha256, SHA256_LEN);
        compile_put(k, &k->s->certificates, str_make((const char *)all[i], SHA256_LEN), to);
    }
    to->certificates = (const unsigned char(*)[SHA256_LEN])all;
    to->n_certificates = all ? from->n_certificates : 0;
}

void compile_certificates(struct compile *k)
{
    for (uint32_t i = 0; i < k->s->n_products; i++)
        if (k->c->products[i].n_certificates) pins_of(k, &k->c->products[i], i);
}
