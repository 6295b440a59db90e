#include "config/certificates.h"

#include "crypto/x509.h"

#include <time.h>

#define SOON_S (14 * 86400)

static void error(struct diags *d, const struct config_str *file, const char *fix, const char *what,
                  enum x509_fault fault)
{
    diag_add(d, DIAG_ERROR, "certificate", file->at, (uint32_t)file->s.n, str_of(fix), "%s %.*s is not usable: %s",
             what, STR_ARG(file->s), x509_fault_text(fault));
}

static void warn(struct diags *d, const struct config_str *file, const char *fix, const char *fmt, int64_t when_s)
{
    char date[32] = "";
    struct tm tm;
    time_t t = (time_t)when_s;
    if (gmtime_r(&t, &tm)) strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &tm);
    diag_add(d, DIAG_WARNING, "certificate", file->at, (uint32_t)file->s.n, str_of(fix), "%.*s %s %s", STR_ARG(file->s),
             fmt, date);
}

static void check_time(struct diags *d, const struct config_str *file, const struct x509_chain *c, int64_t now_s)
{
    int64_t from = x509_chain_not_before_s(c), until = x509_chain_not_after_s(c);
    if (until < now_s)
        warn(d, file, "clients will refuse it: put a new one there, then `sallyport reload`", "has expired:", until);
    else if (until - now_s < SOON_S)
        warn(d, file, "put a new one there, then `sallyport reload`", "expires soon:", until);
    if (from > now_s) warn(d, file, "look at the clock, or wait", "is not valid yet, but from", from);
}

/* NULL: told. */
static struct x509_chain *chain_of(struct diags *d, const struct config_str *cert, str pem)
{
    struct x509_chain *c = NULL;
    enum x509_fault fault = X509_FAULT_NONE;
    enum err e = x509_chain_parse(pem, &c, &fault);
    if (e == ERR_OK) return c;
    if (e == ERR_NO_MEMORY)
        d->lost = true;
    else
        error(d, cert, "it must be PEM: the certificate first", "the certificate", fault);
    return NULL;
}

static void check_key(struct diags *d, const struct certificate_files *f, const struct x509_chain *c)
{
    struct x509_key *key = NULL;
    enum x509_fault fault = X509_FAULT_NONE;
    enum err e = x509_key_parse(f->key_pem, &key, &fault);
    if (e == ERR_NO_MEMORY) {
        d->lost = true;
    } else if (e != ERR_OK) {
        diag_add(d, DIAG_ERROR, "certificate", f->key_at, 1, STR_NONE, "the private key of %.*s is not usable: %s",
                 STR_ARG(f->cert->s), x509_fault_text(fault));
    } else if (!x509_key_fits(key, c)) {
        diag_add(d, DIAG_ERROR, "certificate", f->key_at, 1, STR("they come in pairs: look which belong together"),
                 "this private key is not that of the certificate %.*s", STR_ARG(f->cert->s));
    }
    x509_key_free(&key);
}

static void check_ocsp(struct diags *d, const struct certificate_files *f, const struct x509_chain *c, int64_t now_s)
{
    int64_t until = 0;
    enum x509_fault fault = X509_FAULT_NONE;
    enum err e = x509_ocsp_check(c, f->ocsp_der, &until, &fault);
    if (e == ERR_NO_MEMORY)
        d->lost = true;
    else if (e != ERR_OK)
        error(d, f->ocsp, "fetch it anew, or leave `ocsp` out", "the OCSP answer", fault);
    else if (until && until < now_s)
        warn(d, f->ocsp, "fetch it anew, then `sallyport reload`", "is not stapled any more: it ended at", until);
}

void certificates_check(struct diags *d, const struct certificate_files *f, int64_t now_s)
{
    struct x509_chain *c = chain_of(d, f->cert, f->cert_pem);
    if (!c) return;
    check_time(d, f->cert, c, now_s);
    check_key(d, f, c);
    if (f->ocsp_der.n) check_ocsp(d, f, c, now_s);
    x509_chain_free(&c);
}

void certificates_check_chain(struct diags *d, const struct config_str *cert, str cert_pem, int64_t now_s)
{
    struct x509_chain *c = chain_of(d, cert, cert_pem);
    if (c) check_time(d, cert, c, now_s);
    x509_chain_free(&c);
}

void certificates_check_bundle(struct diags *d, const struct config_str *path, str pem)
{
    struct x509_chain *c = NULL;
    enum x509_fault fault = X509_FAULT_NONE;
    enum err e = x509_bundle_parse(pem, &c, &fault);
    if (e == ERR_NO_MEMORY)
        d->lost = true;
    else if (e != ERR_OK)
        error(d, path, "it must be PEM: the authorities' certificates", "the file of authorities", fault);
    x509_chain_free(&c);
}
