#include "roles/seal_key.h"

#include "base/rand.h"
#include "codec/base64url.h"
#include "config/secret_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* 32 random bytes as text, written beside and put in place at once: two processes that start together end up with the
 * same key, and a crash leaves a whole file or none. */
static enum err make_file(const char *path)
{
    char temporary[4200], text[64];
    unsigned char random[32];
    struct stat st;
    if (stat(path, &st) == 0) return ERR_OK;
    rand_bytes(random, sizeof random);
    base64url_encode(random, sizeof random, text);
    size_t n = base64url_encoded_len(sizeof random);
    text[n++] = '\n';
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    if (ok) ok = link(temporary, path) == 0 || errno == EEXIST;
    int saved = errno;
    if (fd >= 0) unlink(temporary);
    secret_wipe(random, sizeof random);
    secret_wipe(text, sizeof text);
    errno = saved;
    return ok ? ERR_OK : ERR_IO;
}

static enum err own_file_ok(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return ERR_IO;
    return (st.st_uid == geteuid() || st.st_uid == 0) && !(st.st_mode & (S_IRWXG | S_IRWXO)) ? ERR_OK : ERR_DENIED;
}

enum err seal_key_load_from(const struct config_secret *where, const char *data, struct seal *out)
{
    char path[4096];
    struct config_secret from = *where;
    struct secret secret;
    struct secret_why why;
    if (from.provider == SECRET_NONE) {
        int n = snprintf(path, sizeof path, "%s/" SEAL_KEY_FILE, data);
        enum err e = n > 0 && (size_t)n < sizeof path ? make_file(path) : ERR_LIMIT;
        if (e == ERR_OK) e = own_file_ok(path);
        if (e != ERR_OK) {
            fprintf(stderr, "sallyport: the sealing key %s %s\n", path,
                    e == ERR_DENIED  ? "can be read by others: chmod 600, and make a new one if somebody has"
                    : e == ERR_LIMIT ? "has too long a path: choose a shorter `data`"
                                     : strerror(errno));
            return e;
        }
        from = (struct config_secret){.provider = SECRET_FILE, .value.s = str_of(path)};
    }
    enum err e = secret_fetch(&from, &secret, &why);
    if (e != ERR_OK) {
        fprintf(stderr, "sallyport: the sealing key cannot be had: %s\n", why.text);
        return e;
    }
    e = seal_init(out, str_trim(secret_view(&secret)));
    secret_free(&secret);
    if (e == ERR_DENIED) fprintf(stderr, "sallyport: the sealing key is too short: 32 bytes at least\n");
    return e;
}

enum err seal_key_load(const struct snapshot *snap, struct seal *out)
{
    char data[4096];
    enum err e = snapshot_data_path(snap, ".", data, sizeof data);
    if (e != ERR_OK) {
        fprintf(stderr, "sallyport: the sealing key has too long a path: choose a shorter `data`\n");
        return e;
    }
    data[strlen(data) - 2] = 0;
    return seal_key_load_from(&snap->seal, data, out);
}
