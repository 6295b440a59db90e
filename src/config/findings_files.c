/* Findings in the files that a configuration names. */
#include "base/clock.h"
#include "config/certificates.h"
#include "config/findings_private.h"
#include "config/secret_source.h"
#include "config/source.h"

#include <unistd.h>

#define NOT_WITHOUT "the gateway does not start without it"

static void look_at_file(struct diags *d, const struct config_str *file, const char *what)
{
    if (!file->s.n || access(file->s.p, R_OK) == 0) return;
    finding(d, "file", file->at, 1, STR(NOT_WITHOUT), "%s cannot be read: %.*s", what, STR_ARG(file->s));
}

/* false: it cannot be had, or is somewhere that is not looked at. */
static bool look_at_secret(struct diags *d, const struct config_secret *secret)
{
    struct secret_why why;
    if (secret->provider != SECRET_FILE) return false;
    enum err e = secret_file_check(secret->value.s, &why);
    if (e == ERR_DENIED)
        diag_add(d, DIAG_ERROR, "secret", secret->at, 1, STR_NONE, "a secret that is none: %s", why.text);
    else if (e != ERR_OK)
        finding(d, "file", secret->at, 1, STR(NOT_WITHOUT), "the secret cannot be read: %s", why.text);
    return e == ERR_OK;
}

static bool read_file(struct diags *d, const struct config_str *file, const char *what, struct buf *out)
{
    char why[SOURCE_WHY];
    buf_init(out, SOURCE_FILE_MAX + 32768);
    if (!file->s.n) return false;
    enum err e = source_file(NULL, file->s, SOURCE_FILE_MAX, out, why);
    if (e == ERR_NO_MEMORY) d->lost = true;
    if (e != ERR_OK) finding(d, "file", file->at, 1, STR(NOT_WITHOUT), "%s cannot be read: %s", what, why);
    return e == ERR_OK;
}

static void look_at_authorities(struct diags *d, const struct config_str *file)
{
    struct buf pem;
    if (read_file(d, file, "the file of authorities", &pem)) certificates_check_bundle(d, file, buf_str(&pem));
    buf_free(&pem);
}

/* The key is read only to be compared, and only when it is a file. */
static void look_at_pair(struct diags *d, const struct config_str *cert, const struct config_secret *key,
                         const struct config_str *ocsp)
{
    static const struct config_str none;
    struct buf cert_pem, ocsp_der;
    struct secret secret = {0};
    struct secret_why why;
    bool has_cert = read_file(d, cert, "the certificate", &cert_pem);
    read_file(d, ocsp ? ocsp : &none, "the OCSP answer", &ocsp_der);
    bool has_key = look_at_secret(d, key) && secret_fetch(key, &secret, &why) == ERR_OK;
    const struct certificate_files all = {.cert = cert,
                                          .ocsp = ocsp,
                                          .key_at = key->at,
                                          .cert_pem = buf_str(&cert_pem),
                                          .key_pem = secret_view(&secret),
                                          .ocsp_der = buf_str(&ocsp_der)};
    if (has_cert && has_key)
        certificates_check(d, &all, clock_wall_s());
    else if (has_cert)
        certificates_check_chain(d, cert, buf_str(&cert_pem), clock_wall_s());
    secret_free(&secret);
    buf_free(&cert_pem);
    buf_free(&ocsp_der);
}

void config_file_findings(const struct config *c, struct diags *d)
{
    look_at_secret(d, &c->seal);
    for (uint32_t i = 0; i < c->n_issuers; i++) {
        look_at_file(d, &c->issuers[i].keys_file, "the key set");
        look_at_file(d, &c->issuers[i].keys_ca, "the file of authorities");
        look_at_secret(d, &c->issuers[i].secret);
    }
    for (uint32_t i = 0; i < c->n_products; i++) look_at_secret(d, &c->products[i].mac_key);
    for (uint32_t i = 0; i < c->n_services; i++) {
        const struct config_tls_client *t = &c->services[i].tls;
        look_at_authorities(d, &t->ca);
        if (t->cert.s.n) look_at_pair(d, &t->cert, &t->key, NULL);
    }
    for (uint32_t i = 0; i < c->tls.n_certificates; i++) {
        const struct config_certificate *one = &c->tls.certificates[i];
        look_at_pair(d, &one->cert, &one->key, one->ocsp.s.n ? &one->ocsp : NULL);
    }
    look_at_authorities(d, &c->tls.clients_ca);
    look_at_authorities(d, &c->tracing.ca);
    for (uint32_t i = 0; i < c->tracing.n_headers; i++) look_at_secret(d, &c->tracing.headers[i].value);
    diags_sort(d);
}
