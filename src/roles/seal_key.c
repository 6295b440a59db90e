#include "roles/seal_key.h"

#include "base/rand.h"
#include "codec/base64url.h"
#include "config/secret_source.h"
#include "roles/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEAL_CHECK_FILE "seal.check" /* by which a data folder knows its key */
#define TEXT_LEN        44           /* base64url of 32 bytes, and a newline */

static void text_of(const unsigned char bytes[32], char text[64])
{
    base64url_encode(bytes, 32, text);
    text[TEXT_LEN - 1] = '\n';
}

/* Written beside and put in place at once: two processes that start together end up with the same file, and a crash
 * leaves a whole one or none. */
static enum err make_file(const char *path, const char *text, size_t n)
{
    char temporary[4200];
    snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    if (ok) ok = link(temporary, path) == 0 || errno == EEXIST;
    int saved = errno;
    if (fd >= 0) unlink(temporary);
    errno = saved;
    return ok ? ERR_OK : ERR_IO;
}

static bool there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 || errno != ENOENT;
}

/* 32 random bytes, unless there is a key. A folder that had one gets no other behind its owner's back: nothing that
 * was sealed would open, and the audit record would be sealed by two. (The check is looked for first: it is written
 * after the key.) */
static enum err make_key(const char *path, const char *check)
{
    char text[64];
    unsigned char random[32];
    bool had = there(check);
    if (there(path)) return ERR_OK;
    if (had) return ERR_NOT_FOUND;
    rand_bytes(random, sizeof random);
    text_of(random, text);
    enum err e = make_file(path, text, TEXT_LEN);
    int saved = errno;
    secret_wipe(random, sizeof random);
    secret_wipe(text, sizeof text);
    errno = saved;
    return e;
}

/* Whether it is the key that the folder began with; the first one is. */
static enum err check_key(const char *path, const struct seal *seal)
{
    char want[64], got[64];
    unsigned char tag[32];
    seal_tag(seal, STR("data folder"), STR("seal.check"), tag);
    text_of(tag, want);
    enum err e = there(path) ? ERR_OK : make_file(path, want, TEXT_LEN);
    int fd = e == ERR_OK ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    ssize_t n = fd >= 0 ? read(fd, got, sizeof got) : -1;
    if (fd >= 0) close(fd);
    if (n < 0) {
        fprintf(stderr, "sallyport: %s: %s\n", path, strerror(errno));
        return ERR_IO;
    }
    if (n == TEXT_LEN && secret_equal(want, got, TEXT_LEN)) return ERR_OK;
    fprintf(
        stderr,
        "sallyport: this is not the sealing key that the data folder began with (%s): give it the right one. If that "
        "is lost, remove this file, start, and make anew what it sealed: `keys rotate`, `secret new`\n",
        path);
    return ERR_DENIED;
}

/* Whoever has the key leaves no core file with it. */
static void no_core(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) != 0) return;
    limit.rlim_cur = 0;
    (void)setrlimit(RLIMIT_CORE, &limit);
}

static enum err own_file_ok(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return ERR_IO;
    return (st.st_uid == geteuid() || st.st_uid == 0) && !(st.st_mode & (S_IRWXG | S_IRWXO)) ? ERR_OK : ERR_DENIED;
}

enum err seal_key_load_from(const struct config_secret *where, const char *data, struct seal *out)
{
    char path[4096], check[4096];
    struct config_secret from = *where;
    struct secret secret;
    char why[SOURCE_WHY];
    int n = snprintf(check, sizeof check, "%s/" SEAL_CHECK_FILE, data);
    bool fits = n > 0 && (size_t)n < sizeof check; /* the longer one of the two */
    no_core();
    if (from.provider == SECRET_NONE) {
        snprintf(path, sizeof path, "%s/" SEAL_KEY_FILE, data);
        enum err e = fits ? make_key(path, check) : ERR_LIMIT;
        if (e == ERR_OK) e = own_file_ok(path);
        if (e != ERR_OK) {
            fprintf(stderr, "sallyport: the sealing key %s %s\n", path,
                    e == ERR_NOT_FOUND ? "is gone, and this data folder is sealed with it: put it back. If it is lost, "
                                         "remove `" SEAL_CHECK_FILE "` beside it, start, and make anew what it sealed: "
                                         "`keys rotate`, `secret new`"
                    : e == ERR_DENIED  ? "can be read by others: chmod 600, and make a new one if somebody has"
                    : e == ERR_LIMIT   ? "has too long a path: choose a shorter `data`"
                                       : strerror(errno));
            return e;
        }
        from = (struct config_secret){.provider = SECRET_FILE, .value.s = str_of(path)};
    }
    /* one of the data folder is read here; every other one its parent has read */
    enum err e = source_secret(where->provider == SECRET_NONE ? NULL : child_source(), &from, &secret, why);
    if (e != ERR_OK) {
        fprintf(stderr, "sallyport: the sealing key cannot be had: %s\n", why);
        return e;
    }
    e = seal_init(out, str_trim(secret_view(&secret)));
    secret_free(&secret);
    if (e == ERR_DENIED)
        fprintf(stderr, "sallyport: the sealing key (%s) is too short: 32 bytes at least\n",
                where->provider == SECRET_NONE ? path : "`seal`");
    if (e == ERR_OK && !fits) e = ERR_LIMIT;
    if (e == ERR_OK) e = check_key(check, out);
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
