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

#endif
