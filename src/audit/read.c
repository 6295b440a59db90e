#include "audit/read.h"

#include "audit/chain.h"
#include "audit/head.h"
#include "audit/segment.h"
#include "base/arena.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 2 * AUDIT_LINE_MAX, ARENA = 1 << 20 };

/* --- which chains there are --- */
struct chains {
    size_t n;
    struct {
        char name[AUDIT_CHAIN_MAX + 1];
        uint64_t first, last, count;
    } of[AUDIT_CHAINS_MAX];
};

static enum err add_file(struct chains *all, str name, uint64_t number)
{
    size_t i = 0;
    while (i < all->n && str_cmp(str_of(all->of[i].name), name) < 0) i++;
    if (i == all->n || !str_eq(str_of(all->of[i].name), name)) {
        if (all->n == AUDIT_CHAINS_MAX) return ERR_LIMIT;
        memmove(&all->of[i + 1], &all->of[i], (all->n - i) * sizeof all->of[0]);
        all->n++;
        memset(&all->of[i], 0, sizeof all->of[i]);
        memcpy(all->of[i].name, name.p, name.n);
        all->of[i].first = all->of[i].last = number;
    }
    if (number < all->of[i].first) all->of[i].first = number;
    if (number > all->of[i].last) all->of[i].last = number;
    all->of[i].count++;
    return ERR_OK;
}

static enum err list_chains(const char *folder, struct chains *out)
{
    *out = (struct chains){0};
    DIR *d = opendir(folder);
    if (!d) return errno == ENOENT ? ERR_NOT_FOUND : errno == ENOMEM ? ERR_NO_MEMORY : ERR_IO;
    enum err e = ERR_OK;
    const struct dirent *f;
    for (errno = 0; e == ERR_OK && (f = readdir(d)); errno = 0) {
        str chain;
        uint64_t number;
        if (audit_segment_name_read(str_of(f->d_name), &chain, &number)) e = add_file(out, chain, number);
    }
    if (e == ERR_OK && errno) e = ERR_IO;
    closedir(d);
    return e;
}

static enum err open_segment(const char *folder, const char *chain, uint64_t number, int *out)
{
    char path[4096], name[SEGMENT_NAME_MAX];
    audit_segment_name(name, str_of(chain), number);
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return ERR_IO;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    *out = fd;
    return ERR_OK;
}

/* --- a file line by line --- */
struct lines {
    int fd;
    char room[PIECE];
    size_t at, n;
    bool end;
};

/* ERR_OK: *line (without its end). ERR_NOT_FOUND: no more; what is left without an end is *line. ERR_LIMIT: too long.
 */
static enum err next_line(struct lines *x, str *line)
{
    for (;;) {
        str rest = str_make(x->room + x->at, x->n - x->at);
        size_t n = str_find(rest, '\n');
        *line = str_first(rest, n);
        if (n > AUDIT_LINE_MAX) return ERR_LIMIT;
        if (n < rest.n) {
            x->at += n + 1;
            return ERR_OK;
        }
        if (x->end) return ERR_NOT_FOUND;
        memmove(x->room, x->room + x->at, rest.n);
        x->at = 0;
        x->n = rest.n;
        ssize_t r;
        do r = read(x->fd, x->room + x->n, sizeof x->room - x->n);
        while (r < 0 && errno == EINTR);
        if (r < 0) return ERR_IO;
        x->end = r == 0;
        x->n += (size_t)r;
    }
}

/* --- verifying --- */
struct verifier {
    const struct audit_verify_options *o;
    const struct audit_known_head *head; /* of this chain, or NULL */
    struct audit_verdict *v;
    struct audit_chain at;
    bool head_met;
    struct lines lines;
};

static void broken(struct verifier *x, const char *what)
{
    x->v->broken = true;
    (void)snprintf(x->v->what, sizeof x->v->what, "%s", what);
}

static void broken_sequence(struct verifier *x, uint64_t found)
{
    x->v->broken = true;
    (void)snprintf(x->v->what, sizeof x->v->what, "record %llu stands where %llu is due: %s", (unsigned long long)found,
                   (unsigned long long)(x->at.sequence + 1),
                   found > x->at.sequence + 1 ? "something was taken out before it" : "something was put in or moved");
}

static void judge(struct verifier *x, enum chain_fault fault, uint64_t found)
{
    switch (fault) {
    case CHAIN_FAULT_NONE: break;
    case CHAIN_FAULT_FORM: broken(x, "is no record of ours"); break;
    case CHAIN_FAULT_SEQUENCE: broken_sequence(x, found); break;
    case CHAIN_FAULT_HASH:
        broken(x, "does not continue the record before it: that one or this one was changed, or one between taken out");
        break;
    case CHAIN_FAULT_SEAL:
        broken(x, "this seal was not made with our key: it, or what is before it, was rewritten");
        break;
    }
}

static void meet_head(struct verifier *x)
{
    if (!x->head || x->at.sequence != x->head->sequence) return;
    x->head_met = true;
    if (memcmp(x->at.hash, x->head->hash, CHAIN_HASH_LEN) != 0)
        broken(x, "is another record than the one whose hash the store keeps: the end was rewritten");
}

static enum err check_line(struct verifier *x, str line)
{
    char first[4096];
    struct arena mem;
    struct chain_line read = {0};
    enum chain_fault fault;
    arena_init(&mem, first, sizeof first, ARENA);
    enum err e = audit_chain_check(&x->at, line, x->o->key, &mem, &read, &fault);
    if (e == ERR_OK) {
        x->v->records++;
        x->v->unsealed = read.seal ? 0 : x->v->unsealed + 1;
        x->v->seals += read.sealed;
        meet_head(x);
    } else if (e == ERR_MALFORMED) {
        judge(x, fault, read.sequence);
        e = ERR_OK;
    }
    arena_reset(&mem);
    return e;
}

/* The first segment that is here need not be the chain's first: then its own word on where it begins must do. */
static enum err begin_later(struct verifier *x, str line)
{
    char first[4096];
    struct arena mem;
    arena_init(&mem, first, sizeof first, ARENA);
    enum err e = audit_chain_before(line, &mem, &x->at);
    arena_reset(&mem);
    if (e == ERR_MALFORMED) {
        broken(x, "is no record of ours");
        e = ERR_OK;
    }
    return e;
}

static enum err check_lines(struct verifier *x, bool last, bool later)
{
    str line;
    enum err e;
    x->v->line = 0;
    while ((e = next_line(&x->lines, &line)) == ERR_OK) {
        x->v->line++;
        if (later && x->v->line == 1) e = begin_later(x, line);
        if (e == ERR_OK && !x->v->broken) e = check_line(x, line);
        if (e != ERR_OK || x->v->broken) return e;
    }
    if (e == ERR_LIMIT) {
        x->v->line++;
        broken(x, "is longer than a record of ours can be");
        return ERR_OK;
    }
    if (e != ERR_NOT_FOUND) return e;
    if (line.n && !last) {
        x->v->line++;
        broken(x, "has no end, and there is a segment behind it");
    } else {
        x->v->unfinished = line.n;
    }
    return ERR_OK;
}

static void name_file(struct audit_verdict *v, uint64_t number)
{
    char name[SEGMENT_NAME_MAX]; /* in between: else gcc 12 believes at -O3 that there is no room */
    audit_segment_name(name, str_of(v->chain), number);
    memcpy(v->file, name, sizeof v->file);
}

static enum err check_segment(struct verifier *x, uint64_t number, bool last)
{
    enum err e = open_segment(x->o->folder, x->v->chain, number, &x->lines.fd);
    name_file(x->v, number);
    if (e == ERR_NOT_FOUND) {
        x->v->line = 0;
        broken(x, "this segment is missing");
        return ERR_OK;
    }
    if (e != ERR_OK) return e;
    x->lines.at = x->lines.n = 0;
    x->lines.end = false;
    bool later = number == x->v->first && number > 1;
    e = check_lines(x, last, later);
    close(x->lines.fd);
    if (e == ERR_OK && !x->v->broken) x->v->segments++;
    return e;
}

static void check_end(struct verifier *x)
{
    if (!x->head) return;
    x->v->head_known = true;
    if (x->head_met || x->at.sequence > x->head->sequence) return;
    x->v->line++;
    x->v->broken = true;
    (void)snprintf(x->v->what, sizeof x->v->what,
                   "the end is cut off: the store knows record %llu, here the last is %llu",
                   (unsigned long long)x->head->sequence, (unsigned long long)x->at.sequence);
}

static enum err check_chain(struct verifier *x, uint64_t first, uint64_t last)
{
    audit_chain_begin(str_of(x->v->chain), &x->at);
    x->v->first = first;
    x->v->keyed = x->o->key.n > 0;
    name_file(x->v, first);
    if (first > 1 && !x->o->later) {
        name_file(x->v, 1);
        broken(x, "the segments before the first one here are missing");
        return ERR_OK;
    }
    enum err e = ERR_OK;
    for (uint64_t n = first; n <= last && e == ERR_OK && !x->v->broken; n++) e = check_segment(x, n, n == last);
    if (e == ERR_OK && !x->v->broken) check_end(x);
    return e;
}

static const struct audit_known_head *head_of(const struct audit_verify_options *o, const char *chain)
{
    for (size_t i = 0; i < o->n_heads; i++)
        if (strcmp(o->heads[i].chain, chain) == 0) return &o->heads[i];
    return NULL;
}

/* A chain that the store knows and of which no file is left. */
static enum err add_vanished(const struct audit_verify_options *o, struct chains *all)
{
    for (size_t i = 0; i < o->n_heads; i++) {
        bool here = false;
        for (size_t j = 0; j < all->n; j++) here |= strcmp(all->of[j].name, o->heads[i].chain) == 0;
        if (here) continue;
        enum err e = add_file(all, str_of(o->heads[i].chain), 1);
        if (e != ERR_OK) return e;
    }
    return ERR_OK;
}

enum err audit_verify(const struct audit_verify_options *o, struct audit_verdict out[AUDIT_CHAINS_MAX], size_t *n)
{
    struct chains all;
    enum err e = list_chains(o->folder, &all);
    if (e == ERR_OK) e = add_vanished(o, &all);
    if (e != ERR_OK) return e;
    struct verifier *x = calloc(1, sizeof *x);
    if (!x) return ERR_NO_MEMORY;
    for (size_t i = 0; i < all.n && e == ERR_OK; i++) {
        out[i] = (struct audit_verdict){0};
        memcpy(out[i].chain, all.of[i].name, sizeof out[i].chain);
        x->o = o;
        x->v = &out[i];
        x->head = head_of(o, out[i].chain);
        x->head_met = false;
        e = check_chain(x, all.of[i].first, all.of[i].last);
    }
    free(x);
    if (e == ERR_OK) *n = all.n;
    return e;
}

enum err audit_known_head_read(str key, str value, struct audit_known_head *out)
{
    struct audit_chain at;
    size_t prefix = AUDIT_HEAD_PREFIX_MAX - 1;
    if (key.n <= prefix || !str_starts(key, STR("head/")) || key.p[prefix - 1] != '/') return ERR_MALFORMED;
    str name = str_from(key, prefix);
    if (!audit_chain_name_ok(name)) return ERR_MALFORMED;
    enum err e = audit_head_read(value, &at);
    if (e != ERR_OK) return e;
    *out = (struct audit_known_head){.sequence = at.sequence};
    memcpy(out->chain, name.p, name.n);
    memcpy(out->hash, at.hash, sizeof out->hash);
    return ERR_OK;
}

/* --- reading on --- */
void audit_cursor_put(const struct audit_cursor *c, char out[AUDIT_CURSOR_TEXT])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < c->n; i++)
        n += (size_t)snprintf(out + n, AUDIT_CURSOR_TEXT - n, "%s%s:%llu:%llu", i ? "," : "", c->at[i].chain,
                              (unsigned long long)c->at[i].number, (unsigned long long)c->at[i].offset);
}

enum err audit_cursor_read(str text, struct audit_cursor *out)
{
    struct audit_cursor c = {0};
    while (text.n) {
        str rest = str_cut(&text, ','), chain = str_cut(&rest, ':'), number = str_cut(&rest, ':');
        if (c.n == AUDIT_CHAINS_MAX) return ERR_LIMIT;
        if (!audit_chain_name_ok(chain) || str_to_u64(number, &c.at[c.n].number) != ERR_OK || !c.at[c.n].number ||
            str_to_u64(rest, &c.at[c.n].offset) != ERR_OK || c.at[c.n].offset > INT64_MAX)
            return ERR_MALFORMED;
        chain = str_first(chain, AUDIT_CHAIN_MAX); /* it is no longer; gcc cannot know */
        memcpy(c.at[c.n].chain, chain.p, chain.n);
        c.n++;
    }
    *out = c;
    return ERR_OK;
}

/* Chains that are new begin at their first segment. */
static void join(struct audit_cursor *c, const struct chains *all)
{
    for (size_t i = 0; i < all->n; i++) {
        size_t j = 0;
        while (j < c->n && strcmp(c->at[j].chain, all->of[i].name) != 0) j++;
        if (j < c->n || c->n == AUDIT_CHAINS_MAX) continue;
        memcpy(c->at[j].chain, all->of[i].name, sizeof c->at[j].chain);
        c->at[j].number = all->of[i].first;
        c->at[j].offset = 0;
        c->n++;
    }
}

/* Moves back over the last segment by so many lines, within the piece that is read at once; `records` at most. */
static enum err back(const char *folder, const char *chain, uint64_t number, uint64_t records, uint64_t *offset)
{
    int fd;
    struct stat st;
    enum err e = open_segment(folder, chain, number, &fd);
    if (e != ERR_OK) return e;
    char *room = malloc(PIECE);
    ssize_t n = -1;
    uint64_t from = 0;
    if (room && fstat(fd, &st) == 0) {
        from = (uint64_t)st.st_size > PIECE ? (uint64_t)st.st_size - PIECE : 0;
        n = pread(fd, room, PIECE, (off_t)from);
    }
    e = !room ? ERR_NO_MEMORY : n < 0 ? ERR_IO : ERR_OK;
    if (e == ERR_OK) {
        size_t at = (size_t)n;
        while (at && room[at - 1] != '\n') at--; /* an unfinished line */
        uint64_t seen = 0;
        size_t begin = at;
        while (at && seen < records) {
            at--;
            while (at && room[at - 1] != '\n') at--;
            if (at == 0 && from) break; /* perhaps not where a line begins */
            begin = at;
            seen++;
        }
        *offset = from + begin;
    }
    free(room);
    close(fd);
    return e;
}

enum err audit_cursor_last(const char *folder, uint64_t records, struct audit_cursor *out)
{
    struct chains all;
    struct audit_cursor c = {0};
    enum err e = list_chains(folder, &all);
    if (e != ERR_OK) return e;
    join(&c, &all);
    for (size_t i = 0; i < c.n && e == ERR_OK; i++) {
        c.at[i].number = all.of[i].last;
        e = back(folder, c.at[i].chain, c.at[i].number, records, &c.at[i].offset);
    }
    if (e == ERR_OK) *out = c;
    return e;
}

static bool wanted(str line, enum audit_kind kind)
{
    char text[64];
    if (kind == AUDIT_KINDS) return true;
    int n = snprintf(text, sizeof text, ",\"event\":\"%s\"", audit_kind_name(kind));
    return memmem(line.p, line.n, text, (size_t)n) != NULL;
}

/* One segment from where the cursor stands. *full: `most` was reached. */
static enum err read_segment(struct lines *x, uint64_t *offset, enum audit_kind kind, size_t most, struct buf *out,
                             bool *full)
{
    str line;
    enum err e;
    if (lseek(x->fd, (off_t)*offset, SEEK_SET) < 0) return ERR_IO;
    x->at = x->n = 0;
    x->end = false;
    uint64_t looked = 0;
    while ((e = next_line(x, &line)) == ERR_OK) {
        if (out->n + line.n + 1 > most || looked > (4 << 20)) {
            *full = true;
            return ERR_OK;
        }
        looked += line.n + 1;
        *offset += line.n + 1;
        if (!wanted(line, kind)) continue;
        buf_put(out, line);
        buf_putc(out, '\n');
        if (out->bad) return ERR_NO_MEMORY;
    }
    if (e == ERR_LIMIT) { /* not a file of ours any more: `verify` says so, a reader only must not hang */
        *offset = INT64_MAX;
        return ERR_OK;
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err audit_read_on(const char *folder, struct audit_cursor *c, enum audit_kind kind, size_t most, struct buf *out,
                       bool *more)
{
    struct chains all;
    *more = false;
    enum err e = list_chains(folder, &all);
    if (e != ERR_OK) return e;
    join(c, &all);
    struct lines *x = malloc(sizeof *x);
    if (!x) return ERR_NO_MEMORY;
    for (size_t i = 0; i < c->n && e == ERR_OK && !*more; i++) {
        for (;;) {
            e = open_segment(folder, c->at[i].chain, c->at[i].number, &x->fd);
            if (e != ERR_OK) break;
            e = read_segment(x, &c->at[i].offset, kind, most, out, more);
            close(x->fd);
            uint64_t last = 0;
            for (size_t j = 0; j < all.n; j++)
                if (strcmp(all.of[j].name, c->at[i].chain) == 0) last = all.of[j].last;
            if (e != ERR_OK || *more || c->at[i].number >= last) break;
            c->at[i].number++;
            c->at[i].offset = 0;
        }
        if (e == ERR_NOT_FOUND) e = ERR_OK; /* moved away while we read */
    }
    free(x);
    return e;
}
