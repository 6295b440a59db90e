#include "config/source.h"

#include "config/secret_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- files --- */

static enum err fail(char why[SOURCE_WHY], enum err e, str path, const char *text)
{
    snprintf(why, SOURCE_WHY, "%.*s: %s", STR_ARG(path), text);
    return e;
}

static enum err read_all(int fd, str path, size_t max, struct buf *out, char why[SOURCE_WHY])
{
    size_t got = 0;
    for (;;) {
        char *room = buf_room(out, 16384);
        if (!room) return fail(why, ERR_NO_MEMORY, path, "out of memory");
        ssize_t n = read(fd, room, 16384);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(why, ERR_IO, path, strerror(errno));
        if (n == 0) return ERR_OK;
        out->n += (size_t)n;
        got += (size_t)n;
        if (got > max) return fail(why, ERR_LIMIT, path, "it is too large");
    }
}

static enum err direct_file(str path, size_t max, struct buf *out, char why[SOURCE_WHY])
{
    struct stat st;
    size_t before = out->n;
    /* whoever reads here answers everything else: neither a pipe nor a device may keep it waiting */
    int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return fail(why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, path, strerror(errno));
    enum err e;
    if (fstat(fd, &st) != 0)
        e = fail(why, ERR_IO, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        e = fail(why, ERR_DENIED, path, "no regular file");
    else
        e = read_all(fd, path, max, out, why);
    close(fd);
    if (e != ERR_OK) out->n = before;
    return e;
}

enum err source_file(const struct config_source *s, str path, size_t max, struct buf *out, char why[SOURCE_WHY])
{
    return s && s->file ? s->file(s->ctx, path.p, max, out, why) : direct_file(path, max, out, why);
}

/* --- secrets --- */

enum err source_secret(const struct config_source *s, const struct config_secret *from, struct secret *out,
                       char why[SOURCE_WHY])
{
    if (!s || !s->secret) {
        struct secret_why said;
        enum err e = secret_fetch(from, out, &said);
        if (e != ERR_OK) snprintf(why, SOURCE_WHY, "%.*s", SOURCE_WHY - 1, said.text);
        return e;
    }
    struct buf text;
    buf_init(&text, SECRET_SOURCE_MAX + 4096);
    enum err e = s->secret(s->ctx, from, SECRET_SOURCE_MAX, &text, why);
    if (e == ERR_OK && text.n == 0) {
        snprintf(why, SOURCE_WHY, "it is empty");
        e = ERR_MALFORMED;
    }
    if (e == ERR_OK) e = secret_copy(buf_str(&text), out);
    if (e == ERR_NO_MEMORY) snprintf(why, SOURCE_WHY, "out of memory");
    if (text.p) secret_wipe(text.p, text.n);
    buf_free(&text);
    return e;
}

/* --- what there is to read --- */

struct listing {
    void (*file)(void *ctx, str path);
    void (*secret)(void *ctx, const struct config_secret *s);
    void *ctx;
};

static void list_file(const struct listing *l, const struct config_str *path)
{
    if (path->s.n) l->file(l->ctx, path->s);
}

static void list_secret(const struct listing *l, const struct config_secret *s)
{
    if (s->provider != SECRET_NONE) l->secret(l->ctx, s);
}

void source_list(const struct config *c, void (*file)(void *ctx, str path),
                 void (*secret)(void *ctx, const struct config_secret *s), void *ctx)
{
    const struct listing l = {file, secret, ctx};
    list_secret(&l, &c->seal);
    for (uint32_t i = 0; i < c->n_issuers; i++) {
        list_file(&l, &c->issuers[i].keys_file);
        list_file(&l, &c->issuers[i].keys_ca);
        list_secret(&l, &c->issuers[i].secret);
    }
    for (uint32_t i = 0; i < c->n_products; i++) list_secret(&l, &c->products[i].mac_key);
    for (uint32_t i = 0; i < c->n_services; i++) {
        list_file(&l, &c->services[i].tls.ca);
        list_file(&l, &c->services[i].tls.cert);
        list_secret(&l, &c->services[i].tls.key);
    }
    for (uint32_t i = 0; i < c->tls.n_certificates; i++) {
        list_file(&l, &c->tls.certificates[i].cert);
        list_file(&l, &c->tls.certificates[i].ocsp);
        list_secret(&l, &c->tls.certificates[i].key);
    }
    list_file(&l, &c->tls.clients_ca);
    list_file(&l, &c->tracing.ca);
    for (uint32_t i = 0; i < c->tracing.n_headers; i++) list_secret(&l, &c->tracing.headers[i].value);
}
