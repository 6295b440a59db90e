/* What the tests of src/config share: text to configuration, and the codes that were reported. */
#ifndef SALLYPORT_TEST_CONFIG_TEST_H
#define SALLYPORT_TEST_CONFIG_TEST_H

#include "unit.h"

#include "config/config.h"

/* Parses; on success *out is the caller's. The reports are in d, which the caller frees. */
static inline enum err parse_text(const char *text, struct diags *d, struct config **out)
{
    *out = NULL;
    diags_init(d, STR("t.yaml"));
    return config_parse(str_of(text), STR("/etc/gw"), NULL, d, out);
}

/* Parses what must be good. */
static inline struct config *parse_good(const char *text)
{
    struct diags d;
    struct config *c;
    struct buf out;
    enum err e = parse_text(text, &d, &c);
    buf_init(&out, 1 << 20);
    diags_print(&d, &out);
    if (e != ERR_OK) fail_msg("%s: %.*s", err_name(e), STR_ARG(buf_str(&out)));
    buf_free(&out);
    diags_free(&d);
    return c;
}

/* The whole file, NUL-terminated; the caller frees. */
static inline char *read_whole(const char *path, size_t *n)
{
    *n = 0;
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *n = fread(text, 1, (1 << 20) - 1, f);
    text[*n] = 0;
    fclose(f);
    return text;
}

/* Parses what must be good; relative paths are in `where`. */
static inline struct config *parse_in(const char *where, const char *text)
{
    struct diags d;
    struct buf out;
    struct config *c = NULL;
    diags_init(&d, STR("t"));
    buf_init(&out, 1 << 20);
    enum err e = config_parse(str_of(text), str_of(where), NULL, &d, &c);
    diags_print(&d, &out);
    if (e != ERR_OK) fail_msg("%s: %.*s", err_name(e), STR_ARG(buf_str(&out)));
    buf_free(&out);
    diags_free(&d);
    return c;
}

#ifdef CERTS
/* Certificates for tests (test/support/tls_certs.sh) in a folder of their own, and gone behind the tests. */
static inline int make_certificates(char dir[64])
{
    char command[256];
    snprintf(dir, 64, "/tmp/sallyport-certificates-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(command, sizeof command, "sh %s %s", CERTS, dir);
    return system(command);
}

static inline int remove_certificates(const char *dir)
{
    char command[256];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}
#endif

#endif
