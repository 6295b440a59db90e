#include "base/clock.h"
#include "config/builtin.h"
#include "config/check.h"
#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_MEM   (64u << 20)
#define TREE_MEM     (64u << 20)
#define MAX_SEARCHES 200
#define PIPE_MS      3000u /* for all of a configuration that comes through a pipe */

static const struct config_pos nowhere;

/* --- defaults --- */

static uint32_t usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n > CONFIG_MAX_WORKERS ? CONFIG_MAX_WORKERS : (uint32_t)n;
}

static void defaults(struct config *c)
{
    static struct config_listener everywhere = {{.kind = ADDRESS_TCP, .text = STR_INIT(":8080"), .port = 8080}, false};
    c->name.s = STR("sallyport");
    c->environment.s = STR("prod");
    c->data.s = STR("./.sallyport");
    c->gateway = &everywhere;
    c->n_gateway = 1;
    c->admin = (struct config_address){.kind = ADDRESS_TCP,
                                       .text = STR("127.0.0.1:8081"),
                                       .host = STR("127.0.0.1"),
                                       .port = 8081};
    c->has_admin = true;
    c->workers = usable_cores();
    c->hops = 8;
    c->limits = (struct config_limits){.head = 16384,
                                       .target = 8192,
                                       .fields = 100,
                                       .connections = 16000,
                                       .buffer = 16384,
                                       .body = UINT64_C(64) << 20};
    c->timeouts = (struct config_timeouts){.head_ms = 10000,
                                           .body_rate = 240,
                                           .body_grace_ms = 10000,
                                           .idle_ms = 60000,
                                           .connect_ms = 3000,
                                           .response_ms = 30000,
                                           .total_ms = 300000,
                                           .drain_ms = 30000};
    c->tls.tickets_s = 43200;
    c->tracing.sample_ppm = 10000;
    c->log_access = true;
    c->log_level = CONFIG_LOG_INFO;
}

/* --- what the command line says --- */

static bool override_address(struct reader *r, const char *option, const char *text, struct config_address *out)
{
    const char *why;
    str copy = arena_copy(r->mem, str_of(text));
    if (!copy.p) {
        r->d->lost = true;
        return false;
    }
    if (value_address(copy, false, out, &why) == ERR_OK) return true;
    diag_add(r->d, DIAG_ERROR, "option", nowhere, 1, STR_NONE, "--%s must be %s", option, why);
    return false;
}

static void override(struct reader *r, const struct config_overrides *o)
{
    struct config *c = r->c;
    struct config_listener *one;
    if (o->gateway && (one = read_alloc(r, 1, sizeof *one)) &&
        override_address(r, "listen", o->gateway, &one->address)) {
        c->gateway = one;
        c->n_gateway = 1;
    }
    if (o->admin && strcmp(o->admin, "none") == 0)
        c->has_admin = false;
    else if (o->admin && override_address(r, "admin", o->admin, &c->admin))
        c->has_admin = true;
    if (o->workers > CONFIG_MAX_WORKERS)
        diag_add(r->d, DIAG_ERROR, "option", nowhere, 1, STR_NONE, "--workers must be from 1 to %d",
                 CONFIG_MAX_WORKERS);
    else if (o->workers)
        c->workers = o->workers;
}

/* --- paths are relative to the file --- */

static str absolute(struct reader *r, str path)
{
    if (!path.n || path.p[0] == '/' || !r->c->dir.n || str_eq(r->c->dir, STR("."))) return path;
    if (str_starts(path, STR("./"))) path = str_from(path, 2);
    str joined = arena_printf(r->mem, "%.*s/%.*s", STR_ARG(r->c->dir), STR_ARG(path));
    if (!joined.p) r->d->lost = true;
    return joined;
}

static void absolute_secret(struct reader *r, struct config_secret *secret)
{
    if (secret->provider == SECRET_FILE) secret->value.s = absolute(r, secret->value.s);
}

static void resolve_edge_paths(struct reader *r)
{
    struct config *c = r->c;
    for (uint32_t i = 0; i < c->n_services; i++) {
        struct config_tls_client *t = &c->services[i].tls;
        t->ca.s = absolute(r, t->ca.s);
        t->cert.s = absolute(r, t->cert.s);
        absolute_secret(r, &t->key);
    }
    for (uint32_t i = 0; i < c->tls.n_certificates; i++) {
        struct config_certificate *one = &c->tls.certificates[i];
        one->cert.s = absolute(r, one->cert.s);
        one->ocsp.s = absolute(r, one->ocsp.s);
        absolute_secret(r, &one->key);
    }
    c->tls.clients_ca.s = absolute(r, c->tls.clients_ca.s);
    c->tracing.ca.s = absolute(r, c->tracing.ca.s);
    for (uint32_t i = 0; i < c->tracing.n_headers; i++) absolute_secret(r, &c->tracing.headers[i].value);
}

static void resolve_paths(struct reader *r, const char *data)
{
    struct config *c = r->c;
    c->data.s = data ? arena_copy(r->mem, str_of(data)) : absolute(r, c->data.s);
    if (!c->data.s.p) r->d->lost = true;
    absolute_secret(r, &c->seal);
    for (uint32_t i = 0; i < c->n_issuers; i++) {
        struct config_issuer *issuer = &c->issuers[i];
        issuer->keys_file.s = absolute(r, issuer->keys_file.s);
        issuer->keys_ca.s = absolute(r, issuer->keys_ca.s);
        absolute_secret(r, &issuer->secret);
    }
    for (uint32_t i = 0; i < c->n_products; i++) absolute_secret(r, &c->products[i].mac_key);
    resolve_edge_paths(r);
}

/* --- text to tree to configuration --- */

/* Libyaml's words for a slip that everybody makes. */
static str syntax_hint(str line)
{
    if (str_has(line, '\t')) return STR("indent with blanks");
    if (str_has(line, '{') || str_has(line, '['))
        return STR("inside { } and [ ], text with { } [ ] , or ': ' needs quotes");
    return STR_NONE;
}

static void tell_yaml_errors(struct diags *d, const struct yaml_errors *errors)
{
    for (uint32_t i = 0; i < errors->n; i++) {
        const struct yaml_error *e = &errors->v[i];
        str rest = d->source, line = {0}, fix = STR_NONE;
        for (uint32_t k = 0; k < e->at.line; k++) line = str_cut(&rest, '\n');
        if (e->fault == YAML_FAULT_SYNTAX) fix = syntax_hint(line);
        if (e->fault == YAML_FAULT_SYNTAX && value_sounds_secret(line))
            diag_hide(d, (struct config_pos){e->at.line, 1}, (struct config_pos){e->at.line, UINT32_MAX});
        diag_add(d, DIAG_ERROR, yaml_fault_name(e->fault), read_pos(e->at), e->width, fix, "%s", e->text);
    }
}

static enum err read_tree(struct reader *r, const struct config_overrides *o)
{
    static const struct config_overrides none;
    struct yaml_errors errors;
    struct arena tree;
    const struct yaml *root;
    arena_init(&tree, NULL, 0, TREE_MEM);
    enum err e = yaml_parse_all(r->d->source, &yaml_limits_default, &tree, &errors, &root);
    tell_yaml_errors(r->d, &errors);
    if (e == ERR_OK) {
        if (!o) o = &none;
        read_config(r, root);
        builtin_add(r, root);
        check_config(r, root);
        override(r, o);
        resolve_paths(r, o->data);
        builtin_address(r);
    }
    arena_reset(&tree);
    return e;
}

static enum err parse_source(str dir, const struct config_overrides *o, struct diags *d, struct config **out)
{
    struct config *c = calloc(1, sizeof *c);
    if (!c) {
        d->lost = true;
        return ERR_NO_MEMORY;
    }
    arena_init(&c->mem, NULL, 0, CONFIG_MEM);
    defaults(c);
    struct reader r = {.d = d, .mem = &c->mem, .c = c, .searches = MAX_SEARCHES};
    c->dir = arena_copy(&c->mem, dir);
    enum err e = c->dir.p ? read_tree(&r, o) : ERR_NO_MEMORY;
    if (e == ERR_NO_MEMORY) d->lost = true;
    diags_sort(d);
    if (diags_ok(d)) {
        *out = c;
        return ERR_OK;
    }
    config_free(&c);
    return d->lost ? ERR_NO_MEMORY : e == ERR_OK ? ERR_MALFORMED : e;
}

enum err config_parse(str text, str dir, const struct config_overrides *o, struct diags *d, struct config **out)
{
    d->source = arena_copy(&d->mem, text);
    if (!d->source.p) {
        d->lost = true;
        return ERR_NO_MEMORY;
    }
    return parse_source(dir, o, d, out);
}

/* --- the file --- */

/* Whether there is more to come from a pipe. Who reloads answers everything else, so nothing may keep him waiting. */
static bool wait_for_pipe(int fd, uint64_t until_ns)
{
    uint64_t now = clock_mono_ns();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (now >= until_ns) return false;
    return poll(&p, 1, (int)((until_ns - now) / 1000000) + 1) >= 0 || errno == EINTR;
}

/* ERR_TIMEOUT: a pipe whose other end says nothing more and stays open. */
static enum err read_fd(int fd, struct buf *out)
{
    uint64_t until_ns = clock_mono_ns() + PIPE_MS * UINT64_C(1000000);
    for (;;) {
        char *room = buf_room(out, 65536);
        if (!room) return out->n + 65536 > out->max ? ERR_LIMIT : ERR_NO_MEMORY;
        ssize_t n = read(fd, room, 65536);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN && wait_for_pipe(fd, until_ns)) continue;
        if (n < 0 && errno == EAGAIN) return ERR_TIMEOUT;
        if (n < 0) return ERR_IO;
        if (n == 0) return ERR_OK;
        out->n += (size_t)n;
    }
}

static enum err read_file(const char *path, struct diags *d)
{
    struct buf text;
    buf_init(&text, yaml_limits_default.max_bytes + 2 * 65536);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    enum err e = fd < 0 ? ERR_IO : read_fd(fd, &text);
    if (e == ERR_IO)
        diag_add(d, DIAG_ERROR, "file", nowhere, 1,
                 errno == ENOENT ? STR("`sallyport dev --save FILE` writes a first one") : STR_NONE,
                 "cannot be read: %s", strerror(errno));
    if (e == ERR_TIMEOUT)
        diag_add(d, DIAG_ERROR, "file", nowhere, 1, STR_NONE, "it is a pipe whose writer did not end within %u seconds",
                 PIPE_MS / 1000);
    if (e == ERR_LIMIT)
        diag_add(d, DIAG_ERROR, "size", nowhere, 1, STR_NONE, "larger than %u bytes", yaml_limits_default.max_bytes);
    if (fd >= 0) close(fd);
    if (e == ERR_OK) d->source = arena_copy(&d->mem, buf_str(&text));
    if (e == ERR_OK && !d->source.p) e = ERR_NO_MEMORY;
    if (e == ERR_NO_MEMORY) d->lost = true;
    buf_free(&text);
    return e;
}

/* The file out of a source. */
static enum err sourced_file(const char *path, const struct config_source *source, struct diags *d)
{
    char why[SOURCE_WHY];
    struct buf text;
    buf_init(&text, yaml_limits_default.max_bytes + 2 * 65536);
    enum err e = source_file(source, str_of(path), yaml_limits_default.max_bytes, &text, why);
    if (e != ERR_OK) diag_add(d, DIAG_ERROR, "file", nowhere, 1, STR_NONE, "cannot be read: %s", why);
    if (e == ERR_OK) d->source = arena_copy(&d->mem, buf_str(&text));
    if (e == ERR_OK && !d->source.p) e = ERR_NO_MEMORY;
    if (e == ERR_NO_MEMORY) d->lost = true;
    buf_free(&text);
    return e;
}

enum err config_load(const char *path, const struct config_source *source, const struct config_overrides *o,
                     struct diags *d, struct config **out)
{
    enum err e = source && source->file ? sourced_file(path, source, d) : read_file(path, d);
    if (e != ERR_OK) return e;
    const char *slash = strrchr(path, '/');
    str dir = slash == path ? STR("/") : slash ? str_make(path, (size_t)(slash - path)) : STR(".");
    return parse_source(dir, o, d, out);
}

void config_free(struct config **c)
{
    if (!*c) return;
    arena_reset(&(*c)->mem);
    free(*c);
    *c = NULL;
}
