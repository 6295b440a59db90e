/* Whatever a configuration file holds: it is taken or refused with a reason, reports always print and parse back, and
 * of what is taken every route can be found. Nothing is run, opened or resolved. */
#include "codec/json.h"
#include "config/findings.h"
#include "config/route_build.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) abort();
}

static void check_reports(const struct diags *d)
{
    struct buf out;
    struct arena mem;
    const struct json *v;
    static const struct json_limits limits = {16 << 20, 8, 1 << 20, 1 << 20, 30};
    buf_init(&out, 16 << 20);
    diags_print(d, &out);
    check(!out.bad);
    for (size_t i = 0; i < out.n; i++) check((unsigned char)out.p[i] >= 0x20 || out.p[i] == '\n');
    buf_clear(&out);
    diags_print_json(d, &out);
    arena_init(&mem, NULL, 0, 256 << 20);
    check(!out.bad && json_parse(buf_str(&out), &limits, &mem, &v, NULL, NULL) == ERR_OK && v->count == d->n);
    arena_reset(&mem);
    buf_free(&out);
}

/* A request that the pattern matches: its first method, and a path with "p" in the braces. */
static void ask(const struct route_table *t, const struct pattern *p)
{
    struct buf path;
    struct route got;
    enum method m = METHOD_GET;
    str text = STR("GET");
    if (!p->any_method && p->n_others)
        m = METHOD_OTHER, text = p->others[0];
    else if (!p->any_method)
        while (!(p->methods >> m & 1)) m++;
    buf_init(&path, 1 << 20);
    for (size_t i = 0; i < p->n_segments; i++) {
        buf_putc(&path, '/');
        buf_put(&path, p->segments[i].kind == SEGMENT_LITERAL ? p->segments[i].text : STR("p"));
    }
    route_find(t, m, text, buf_str(&path), &got);
    check(got.match == ROUTE_FOUND);
    for (size_t i = 0; i < got.n_params; i++)
        check(got.params[i].value.p >= path.p && got.params[i].value.p + got.params[i].value.n <= path.p + path.n);
    buf_free(&path);
}

static void check_routes(const struct config *c)
{
    struct route_builder *b;
    struct route_table *t;
    struct arena mem;
    arena_init(&mem, NULL, 0, 64 << 20);
    check(route_builder_new(&b) == ERR_OK);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < c->n_actions; i++)
            for (uint32_t k = 0; k < c->actions[i].matches.n; k++) {
                struct pattern p;
                const char *why;
                size_t at;
                uint32_t other;
                check(pattern_parse(c->actions[i].matches.v[k].s, &p, &why, &at) == ERR_OK);
                if (pass == 0)
                    check(route_add(b, &p, i, 0, &other) == ERR_OK);
                else
                    ask(t, &p);
            }
        if (pass == 0) check(route_build(b, &mem, &t) == ERR_OK);
    }
    route_builder_free(&b);
    arena_reset(&mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diags d;
    struct config *c = NULL;
    diags_init(&d, STR("fuzz.yaml"));
    enum err e = config_parse(str_make((const char *)data, size), STR("/etc/gw"), NULL, &d, &c);
    check((e == ERR_OK) == (c != NULL) && (e == ERR_OK) == diags_ok(&d));
    if (c) {
        config_findings(c, &d);
        check(d.errors == 0);
        check_routes(c);
    }
    check_reports(&d);
    config_free(&c);
    diags_free(&d);
    return 0;
}
