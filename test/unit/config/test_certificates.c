/* Certificates that cannot be shown are refused before a configuration is in force, and by lint. */
#include "config_test.h"

#include "config/findings.h"
#include "config/snapshot.h"

#include <sys/stat.h>

static char dir[64];

static void copy_file(const char *from, const char *to, mode_t mode)
{
    char path[128];
    size_t n;
    snprintf(path, sizeof path, "%s/%s", dir, from);
    char *text = read_whole(path, &n);
    snprintf(path, sizeof path, "%s/%s", dir, to);
    FILE *f = fopen(path, "w");
    assert_true(text && f && fwrite(text, 1, n, f) == n && fclose(f) == 0 && chmod(path, mode) == 0);
    free(text);
}

static void certificates_that_cannot_be_shown(void **state)
{
    (void)state;
    static const struct {
        const char *name, *certificate, *clients, *says;
        unsigned errors, warnings;
    } rows[] = {
        {"good", "cert: public.pem, key: {file: public.key}, ocsp: public.ocsp", "ca.pem", "", 0, 0},
        {"RSA", "cert: exact.pem, key: {file: exact.key}", "both.pem", "", 0, 0},
        {"another's key", "cert: public.pem, key: {file: second.key}", "ca.pem", "not that of the certificate", 1, 0},
        {"another kind of key", "cert: public.pem, key: {file: exact.key}", "ca.pem", "not that of", 1, 0},
        {"no certificate", "cert: public.key, key: {file: public.key}", "ca.pem", "it must be PEM", 1, 0},
        {"no key", "cert: public.pem, key: {file: none.key}", "ca.pem", "private key of", 1, 0},
        {"a key with a pass phrase", "cert: public.pem, key: {file: encrypted.key}", "ca.pem", "pass phrase", 1, 0},
        {"a curve that is not used", "cert: big.pem, key: {file: big.key}", "ca.pem", "not usable", 1, 0},
        {"a key for everybody", "cert: public.pem, key: {file: open.key}", "ca.pem", "everybody may read it", 1, 0},
        {"expired", "cert: expired.pem, key: {file: expired.key}", "ca.pem", "has expired: 20", 0, 1},
        {"soon", "cert: soon.pem, key: {file: soon.key}", "ca.pem", "expires soon: 20", 0, 1},
        {"another's OCSP answer", "cert: public.pem, key: {file: public.key}, ocsp: second.ocsp", "ca.pem", "OCSP", 1,
         0},
        {"revoked", "cert: public.pem, key: {file: public.key}, ocsp: revoked.ocsp", "ca.pem", "OCSP", 1, 0},
        {"no OCSP answer", "cert: public.pem, key: {file: public.key}, ocsp: ca.pem", "ca.pem", "OCSP", 1, 0},
        {"no authorities", "cert: public.pem, key: {file: public.key}", "public.key", "file of authorities", 1, 0},
    };
    char text[1000];
    copy_file("public.key", "open.key", 0644);
    copy_file("ca.pem", "none.key", 0600);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(text, sizeof text,
                 "sallyport: 1\nlisten: {gateway: {address: \":8443\", tls: true}}\n"
                 "tls: {certificates: {%s}, clients: {ca: %s}}\n",
                 rows[i].certificate, rows[i].clients);
        for (int linted = 0; linted < 2; linted++) {
            struct config *c = parse_in(dir, text);
            struct snapshot *s = NULL;
            struct diags d;
            struct buf out;
            diags_init(&d, STR("t"));
            buf_init(&out, 1 << 16);
            if (linted)
                config_file_findings(c, &d);
            else
                assert_err(snapshot_build(c, NULL, 1, &d, &s), rows[i].errors ? ERR_MALFORMED : ERR_OK);
            diags_print(&d, &out);
            buf_putc(&out, 0);
            if (d.errors != rows[i].errors || d.warnings != rows[i].warnings || !strstr(out.p, rows[i].says))
                fail_msg("%s (%s): %s", rows[i].name, linted ? "lint" : "build", out.p);
            if (strstr(out.p, "PRIVATE KEY")) fail_msg("%s: a key is shown", rows[i].name);
            buf_free(&out);
            diags_free(&d);
            snapshot_unref(&s);
            config_free(&c);
        }
    }
}

static void a_service_shows_its_own_certificate(void **state)
{
    (void)state;
    struct diags d;
    struct snapshot *s = NULL;
    struct config *c = parse_in(dir, "sallyport: 1\nservices: {s: {instances: \"127.0.0.1:1\", tls: {ca: ca.pem, "
                                     "cert: partner.pem, key: {file: partner2.key}}}}\n");
    diags_init(&d, STR("t"));
    assert_err(snapshot_build(c, NULL, 1, &d, &s), ERR_MALFORMED);
    assert_int_equal(d.errors, 1);
    diags_free(&d);
    config_free(&c);
}

static int set_up(void **state)
{
    (void)state;
    return make_certificates(dir);
}

static int tear_down(void **state)
{
    (void)state;
    return remove_certificates(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_that_cannot_be_shown),
        cmocka_unit_test(a_service_shows_its_own_certificate),
    };
    return cmocka_run_group_tests_name("config/certificates", tests, set_up, tear_down);
}
