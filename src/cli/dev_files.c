#include "cli/dev_files.h"

#include "identity/mint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 65536

enum err dev_file_write(const char *path, str text, mode_t mode)
{
    char temp[4096];
    int n = snprintf(temp, sizeof temp, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof temp) return ERR_LIMIT;
    (void)unlink(temp);
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) return ERR_IO;
    size_t at = 0;
    while (at < text.n) {
        ssize_t w = write(fd, text.p + at, text.n - at);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) break;
        at += (size_t)w;
    }
    bool whole = at == text.n && fsync(fd) == 0;
    close(fd);
    if (whole && rename(temp, path) == 0) return ERR_OK;
    (void)unlink(temp);
    return ERR_IO;
}

enum err dev_folder_make(const char *data, const char **why)
{
    struct stat st;
    *why = NULL;
    if (mkdir(data, 0700) != 0 && errno != EEXIST) return ERR_IO;
    if (stat(data, &st) != 0) return ERR_IO;
    if (!S_ISDIR(st.st_mode))
        *why = "it is no folder";
    else if (st.st_uid != geteuid())
        *why = "it belongs to somebody else";
    else if (st.st_mode & (S_IWGRP | S_IWOTH))
        *why = "others may write into it (chmod go-w)";
    return *why ? ERR_DENIED : ERR_OK;
}

static enum err write_in(const char *data, const char *name, str text, mode_t mode)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", data, name);
    return n < 0 || (size_t)n >= sizeof path ? ERR_LIMIT : dev_file_write(path, text, mode);
}

enum err dev_issuer_make(const char *data, str aud, str product)
{
    struct arena mem;
    struct dev_issuer issuer = {0};
    struct buf text;
    arena_init(&mem, NULL, 0, 1 << 16);
    buf_init(&text, TEXT_MAX);
    enum err e = dev_issuer_new(&mem, STR(DEV_ISSUER_URL), aud, product, &issuer);
    if (e == ERR_OK) {
        dev_issuer_put(&text, &issuer);
        e = write_in(data, "dev-issuer.jwk", buf_str(&text), 0600);
        explicit_bzero(text.p, text.n);
        buf_clear(&text);
        jwks_put(&text, issuer.signer, issuer.kid);
        if (e == ERR_OK) e = write_in(data, "dev-issuer.jwks", buf_str(&text), 0644);
        dev_issuer_free(&issuer);
    }
    buf_free(&text);
    arena_reset(&mem);
    return e;
}
