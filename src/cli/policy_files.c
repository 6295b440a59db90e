#include "cli/policy_files.h"

#include "policy/parse.h"
#include "policy/policy_json.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 30)

enum err policy_read_file(const char *path, struct arena *mem, str *out)
{
    int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) return ERR_IO;
    size_t room = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 65536, n = 0;
    enum err e = room <= FILE_MAX ? ERR_OK : ERR_LIMIT;
    char *p = e == ERR_OK ? arena_alloc(mem, room) : NULL;
    if (e == ERR_OK && !p) e = ERR_NO_MEMORY;
    while (e == ERR_OK) {
        if (n == room) {
            char *grown = room * 2 <= FILE_MAX ? arena_alloc(mem, room * 2) : NULL;
            if (!grown) {
                e = ERR_LIMIT;
                break;
            }
            memcpy(grown, p, n);
            p = grown;
            room *= 2;
        }
        ssize_t got = read(fd, p + n, room - n);
        if (got == 0) break;
        if (got < 0 && errno != EINTR) e = ERR_IO;
        if (got > 0) n += (size_t)got;
    }
    close(fd);
    if (e == ERR_OK) *out = str_make(p, n);
    return e;
}

bool policy_is_json(str text)
{
    size_t i = 0;
    while (i < text.n && (text.p[i] == ' ' || text.p[i] == '\n' || text.p[i] == '\t' || text.p[i] == '\r')) i++;
    return i < text.n && (text.p[i] == '{' || text.p[i] == '[');
}

void policy_complain(const struct mistakes *m, const char *path, str text)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    mistakes_print(m, str_of(path), text, &b);
    fprintf(stderr, "%.*s", STR_ARG(buf_str(&b)));
    buf_free(&b);
}

bool policy_put(struct buf *b)
{
    bool ok = !b->bad && fwrite(b->p ? b->p : "", 1, b->n, stdout) == b->n;
    if (!ok) fprintf(stderr, "the output is too long or cannot be written\n");
    buf_free(b);
    return ok;
}

static enum err read_or_say(const char *path, struct arena *mem, str *text)
{
    enum err e = policy_read_file(path, mem, text);
    if (e == ERR_IO) fprintf(stderr, "%s: %s\n", path, strerror(errno));
    if (e != ERR_OK && e != ERR_IO) fprintf(stderr, "%s: %s\n", path, err_name(e));
    return e;
}

enum err policy_load(const char *path, struct arena *mem, struct policy_set *out, str *text_out)
{
    struct mistakes m;
    str text;
    enum err e = read_or_say(path, mem, &text);
    if (e != ERR_OK) return e;
    mistakes_init(&m, mem);
    e = policy_is_json(text) ? policies_parse_json(text, mem, &m, out)
                             : policies_parse(text, PARSE_ID_ANNOTATION, mem, &m, out);
    if (m.first) policy_complain(&m, path, text);
    if (text_out) *text_out = text;
    return e;
}

enum err policy_load_schema(const char *path, struct arena *mem, struct schema **out)
{
    struct mistakes m;
    str text;
    enum err e = read_or_say(path, mem, &text);
    if (e != ERR_OK) return e;
    mistakes_init(&m, mem);
    e = policy_is_json(text) ? schema_parse_json(text, mem, &m, out) : schema_parse(text, mem, &m, out);
    if (m.first) policy_complain(&m, path, text);
    return e;
}

enum err policy_load_entities(const char *path, const struct schema *schema, struct entities *es)
{
    struct mistakes m;
    struct arena file;
    str text;
    arena_init(&file, NULL, 0, FILE_MAX * 2);
    enum err e = read_or_say(path, &file, &text);
    if (e == ERR_OK) {
        mistakes_init(&m, es->mem);
        e = entities_load(es, text, schema, &m);
        if (e == ERR_OK) e = entities_finish(es, &m);
        if (m.first) policy_complain(&m, path, text);
    }
    arena_reset(&file);
    return e;
}
