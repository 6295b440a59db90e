#include "roles/bundle.h"

#include "config/lookup.h"
#include "config/secret_source.h"
#include "roles/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC      0x53504231u       /* "SPB1" */
#define BUNDLE_MAX ((size_t)1 << 28) /* of certificates by the thousand, too */

enum entry_kind { ENTRY_CONFIG = 1, ENTRY_MISTAKES, ENTRY_FINDINGS, ENTRY_FILE, ENTRY_SECRET };

/* Behind the plan, one after the other: this, the key, the bytes, the sentence; each entry at a multiple of eight. */
struct entry {
    uint32_t kind, err;
    uint32_t key_n, bytes_n, why_n, pad;
};

/* --- making --- */

struct maker {
    struct buf out;
    bool lost;
};

static void wipe_free(struct buf *b)
{
    if (b->p) secret_wipe(b->p, b->cap);
    buf_free(b);
}

/* Secrets lie in here: what a growing buffer would leave behind on the heap goes with the process that makes it. */
static void put(struct maker *m, enum entry_kind kind, enum err err, str key, str bytes, const char *why)
{
    struct entry e = {.kind = kind,
                      .err = (uint32_t)err,
                      .key_n = (uint32_t)key.n,
                      .bytes_n = (uint32_t)bytes.n,
                      .why_n = (uint32_t)strlen(why)};
    if (key.n > UINT32_MAX || bytes.n > UINT32_MAX) m->lost = true;
    buf_put(&m->out, str_make((const char *)&e, sizeof e));
    buf_put(&m->out, key);
    buf_put(&m->out, bytes);
    buf_put(&m->out, str_of(why));
    while (m->out.n % 8) buf_putc(&m->out, 0);
}

/* What a secret is found by: its provider and all the words of its source. */
static void secret_key(const struct config_secret *s, struct buf *out)
{
    buf_putc(out, (char)('0' + (int)s->provider));
    buf_put(out, s->value.s);
    for (uint32_t i = 0; s->provider == SECRET_COMMAND && i < s->argv.n; i++) {
        buf_putc(out, 0);
        buf_put(out, s->argv.v[i].s);
    }
}

static bool has(const struct maker *m, enum entry_kind kind, str key);

static void take_file(void *ctx, str path)
{
    struct maker *m = ctx;
    char why[SOURCE_WHY] = "";
    struct buf text;
    if (has(m, ENTRY_FILE, path)) return;
    buf_init(&text, SOURCE_FILE_MAX + 65536);
    enum err e = source_file(NULL, path, SOURCE_FILE_MAX, &text, why);
    put(m, ENTRY_FILE, e, path, e == ERR_OK ? buf_str(&text) : STR(""), why);
    wipe_free(&text);
}

static void take_secret(void *ctx, const struct config_secret *s)
{
    struct maker *m = ctx;
    char why[SOURCE_WHY] = "";
    struct secret secret;
    struct buf key;
    buf_init(&key, 1 << 20);
    secret_key(s, &key);
    if (key.bad) {
        m->lost = true;
    } else if (!has(m, ENTRY_SECRET, buf_str(&key))) {
        enum err e = source_secret(NULL, s, &secret, why);
        put(m, ENTRY_SECRET, e, buf_str(&key), e == ERR_OK ? secret_view(&secret) : STR(""), why);
        if (e == ERR_OK) secret_free(&secret);
    }
    buf_free(&key);
}

static enum err plan_addresses(const struct config *c, struct plan *p)
{
    struct lookup_addr found[LOOKUP_MAX];
    const char *why;
    size_t n;
    for (uint32_t i = 0; i <= c->n_gateway && i <= CONFIG_MAX_LISTENERS; i++) {
        bool admin = i == c->n_gateway;
        const struct config_address *from = admin ? &c->admin : &c->gateway[i].address;
        struct plan_address *to = admin ? &p->admin : &p->listeners[i];
        if (admin && !c->has_admin) break;
        enum err e = lookup_address(from, found, &n, &why);
        if (e != ERR_OK) return e; /* who compiles it says so, with its place */
        memcpy(&to->addr.ss, &found[0].addr, sizeof to->addr.ss);
        to->addr.len = found[0].len;
        snprintf(to->text, sizeof to->text, "%.*s",
                 (int)(sizeof to->text - 1 < from->text.n ? sizeof to->text - 1 : from->text.n), from->text.p);
    }
    p->admin_on = c->has_admin;
    p->n_listeners = c->n_gateway < CONFIG_MAX_LISTENERS ? c->n_gateway : CONFIG_MAX_LISTENERS;
    return ERR_OK;
}

static enum err plan_data(const struct config *c, struct plan *p)
{
    char here[4096] = "";
    str data = c->data.s;
    bool relative = !data.n || data.p[0] != '/';
    if (relative && !getcwd(here, sizeof here)) return ERR_LIMIT;
    int n = snprintf(p->data, sizeof p->data, "%s%s%.*s", here, relative ? "/" : "", STR_ARG(data));
    if (n > 0 && (size_t)n < sizeof p->data) return process_data_folder(str_make(p->data, (size_t)n));
    fprintf(stderr, "sallyport: the path of the data folder is too long\n");
    return ERR_LIMIT;
}

static enum err plan_of(const struct bundle_options *o, const struct config *c, struct plan *p)
{
    bool gates = o->role == BUNDLE_RUN || o->role == BUNDLE_GATEWAY;
    p->good = true;
    p->sandbox = c->sandbox == 0;
    p->fed = c->fed;
    p->authentication = c->authentication.on;
    p->workers = c->workers;
    if (plan_addresses(c, p) != ERR_OK) p->n_listeners = 0, p->admin_on = false;
    if (!gates) {
        p->n_listeners = 0;
        p->admin_on = p->admin_on && o->overrides.admin; /* `listen.admin` is the gateway's */
    }
    return plan_data(c, p);
}

/* The mistakes, for whoever asked: as lines and as JSON. */
static void put_mistakes(struct maker *m, const struct diags *d)
{
    struct buf text, json;
    buf_init(&text, 1 << 20);
    buf_init(&json, 1 << 20);
    diags_print(d, &text);
    diags_print_json(d, &json);
    put(m, ENTRY_MISTAKES, ERR_MALFORMED, STR(""), buf_str(&text), "");
    put(m, ENTRY_FINDINGS, ERR_MALFORMED, STR(""), buf_str(&json), "");
    buf_free(&text);
    buf_free(&json);
}

static enum err write_all(int fd, str bytes)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return ERR_IO;
        bytes = str_from(bytes, (size_t)n);
    }
    return ERR_OK;
}

enum err bundle_make(const struct bundle_options *o, bool first, int fd)
{
    struct plan *plan = calloc(1, sizeof *plan);
    struct maker m = {0};
    struct config *c = NULL;
    struct diags d;
    if (!plan) return ERR_NO_MEMORY;
    diags_init(&d, str_of(o->config_path ? o->config_path : "(text)"));
    buf_init(&m.out, BUNDLE_MAX);
    plan->magic = MAGIC;
    enum err e = o->text.p ? config_parse(o->text, str_of(o->text_dir), &o->overrides, &d, &c)
                           : config_load(o->config_path, NULL, &o->overrides, &d, &c);
    if (e != ERR_OK && first) {
        process_print_mistakes(&d);
        plan->code = 78;
    } else if (e != ERR_OK) {
        put_mistakes(&m, &d);
    } else if (plan_of(o, c, plan) != ERR_OK) {
        plan->code = 1;
    } else {
        put(&m, ENTRY_CONFIG, ERR_OK, STR(""), d.source, "");
        source_list(c, take_file, take_secret, &m);
    }
    e = m.lost || m.out.bad ? ERR_LIMIT : write_all(fd, str_make((const char *)plan, sizeof *plan));
    if (e == ERR_OK) e = write_all(fd, buf_str(&m.out));
    wipe_free(&m.out);
    config_free(&c);
    diags_free(&d);
    free(plan);
    return e;
}

enum err bundle_plan(int fd, struct plan *out)
{
    ssize_t n = pread(fd, out, sizeof *out, 0);
    if (n < 0) return ERR_IO;
    return n == (ssize_t)sizeof *out && out->magic == MAGIC ? ERR_OK : ERR_MALFORMED;
}

/* --- looking into one --- */

struct bundle {
    char *p;
    size_t n;
    struct config_source source;
};

/* The entry at *at, or NULL at the end; every length is looked at, though who made it is one of ours. */
static const struct entry *next_entry(str all, size_t *at, str *key, str *bytes, str *why)
{
    const struct entry *e;
    if (all.n - *at < sizeof *e) return NULL;
    e = (const struct entry *)(const void *)(all.p + *at);
    size_t left = all.n - *at - sizeof *e;
    if (e->key_n > left || e->bytes_n > left - e->key_n || e->why_n > left - e->key_n - e->bytes_n) return NULL;
    const char *p = all.p + *at + sizeof *e;
    *key = str_make(p, e->key_n);
    *bytes = str_make(p + e->key_n, e->bytes_n);
    *why = str_make(p + e->key_n + e->bytes_n, e->why_n);
    size_t used = sizeof *e + e->key_n + e->bytes_n + e->why_n;
    used = (used + 7) & ~(size_t)7;
    *at = used > all.n - *at ? all.n : *at + used;
    return e;
}

static const struct entry *find(str all, enum entry_kind kind, str want, str *bytes, str *why)
{
    size_t at = 0;
    str key;
    for (const struct entry *e; (e = next_entry(all, &at, &key, bytes, why));)
        if (e->kind == kind && str_eq(key, want)) return e;
    return NULL;
}

static bool has(const struct maker *m, enum entry_kind kind, str key)
{
    str bytes, why;
    return m->out.n && find(buf_str(&m->out), kind, key, &bytes, &why);
}

static str entries(const struct bundle *b)
{
    return str_make(b->p + sizeof(struct plan), b->n - sizeof(struct plan));
}

static enum err replay(const struct bundle *b, enum entry_kind kind, str key, size_t max, struct buf *out,
                       char why[SOURCE_WHY])
{
    str bytes, said;
    const struct entry *e = find(entries(b), kind, key, &bytes, &said);
    if (!e) {
        snprintf(why, SOURCE_WHY, "the parent process has not read it");
        return ERR_NOT_FOUND;
    }
    snprintf(why, SOURCE_WHY, "%.*s", STR_ARG(said));
    if (e->err != ERR_OK) return (enum err)e->err;
    if (bytes.n > max) {
        snprintf(why, SOURCE_WHY, "%.*s: it is too large", STR_ARG(key));
        return ERR_LIMIT;
    }
    buf_put(out, bytes);
    return out->bad ? ERR_NO_MEMORY : ERR_OK;
}

static enum err replay_file(void *ctx, const char *path, size_t max, struct buf *out, char why[SOURCE_WHY])
{
    return replay(ctx, ENTRY_FILE, str_of(path), max, out, why);
}

static enum err replay_secret(void *ctx, const struct config_secret *s, size_t max, struct buf *out,
                              char why[SOURCE_WHY])
{
    struct buf key;
    buf_init(&key, 1 << 20);
    secret_key(s, &key);
    enum err e = key.bad ? ERR_NO_MEMORY : replay(ctx, ENTRY_SECRET, buf_str(&key), max, out, why);
    buf_free(&key);
    return e;
}

enum err bundle_open(int fd, struct bundle **out)
{
    struct stat st;
    struct plan *plan = malloc(sizeof *plan);
    struct bundle *b = calloc(1, sizeof *b);
    enum err e = plan && b ? bundle_plan(fd, plan) : ERR_NO_MEMORY;
    if (e == ERR_OK && (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof *plan || (size_t)st.st_size > 2 * BUNDLE_MAX))
        e = ERR_MALFORMED;
    if (e == ERR_OK) {
        b->n = (size_t)st.st_size;
        b->p = mmap(NULL, b->n, PROT_READ, MAP_PRIVATE, fd, 0);
        if (b->p == MAP_FAILED) e = ERR_IO;
    }
    close(fd);
    free(plan);
    if (e != ERR_OK) {
        free(b);
        return e;
    }
    b->source = (struct config_source){.file = replay_file, .secret = replay_secret, .ctx = b};
    *out = b;
    return ERR_OK;
}

void bundle_free(struct bundle **b)
{
    if (!*b) return;
    munmap((*b)->p, (*b)->n);
    free(*b);
    *b = NULL;
}

void bundle_rest(struct bundle *b)
{
    (void)madvise(b->p, b->n, MADV_DONTNEED);
}

const struct config_source *bundle_source(const struct bundle *b)
{
    return &b->source;
}

bool bundle_config(const struct bundle *b, str *text, str *findings)
{
    str why;
    *findings = STR_NONE;
    if (find(entries(b), ENTRY_CONFIG, STR(""), text, &why)) return true;
    if (!find(entries(b), ENTRY_MISTAKES, STR(""), text, &why)) *text = STR("the configuration could not be read\n");
    if (!find(entries(b), ENTRY_FINDINGS, STR(""), findings, &why)) *findings = STR("[]");
    return false;
}
