#include "codec/url.h"

#include "base/utf8.h"

enum {
    A_ = URL_UNRESERVED | URL_PATH | URL_TARGET | URL_HOST, /* letters beyond f, '-', '_' */
    X_ = A_ | URL_HEX,                                      /* digits and a-f */
    U_ = URL_UNRESERVED | URL_PATH | URL_TARGET,            /* '.', '~' */
    P_ = URL_PATH | URL_TARGET,                             /* ! $ & ' ( ) * + , = : @ / */
    T_ = URL_TARGET                                         /* ; ? % [ ] */
};

/* clang-format off */
const uint8_t url_class[256] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
    /*  !   "   #   $   %   &   '   (   )   *   +   ,   -   .   / */
    0,  P_, 0,  0,  P_, T_, P_, P_, P_, P_, P_, P_, P_, A_, U_, P_,
    /* 0-9                                  :   ;   <   =   >   ? */
    X_, X_, X_, X_, X_, X_, X_, X_, X_, X_, P_, T_, 0,  P_, 0,  T_,
    /* @ A-O */
    P_, X_, X_, X_, X_, X_, X_, A_, A_, A_, A_, A_, A_, A_, A_, A_,
    /* P-Z                                      [   \   ]   ^   _ */
    A_, A_, A_, A_, A_, A_, A_, A_, A_, A_, A_, T_, 0,  T_, 0,  A_,
    /* ` a-o */
    0,  X_, X_, X_, X_, X_, X_, A_, A_, A_, A_, A_, A_, A_, A_, A_,
    /* p-z                                      {   |   }   ~     */
    A_, A_, A_, A_, A_, A_, A_, A_, A_, A_, A_, 0,  0,  0,  U_, 0,
    /* 0x80 and above: none */
};
/* clang-format on */

static bool byte_is(char c, unsigned set)
{
    return (url_class[(unsigned char)c] & set) != 0;
}

static bool all_are(str s, unsigned set)
{
    for (size_t i = 0; i < s.n; i++)
        if (!byte_is(s.p[i], set)) return false;
    return true;
}

static unsigned hex_value(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

/* The byte that the escape at s[i] stands for. */
static bool escape_at(str s, size_t i, unsigned char *c)
{
    if (s.n - i < 3 || s.p[i] != '%' || !byte_is(s.p[i + 1], URL_HEX) || !byte_is(s.p[i + 2], URL_HEX)) return false;
    *c = (unsigned char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
    return true;
}

const char *path_fault_name(enum path_fault f)
{
    static const char *const names[] = {"none",         "form",      "byte",          "escape",
                                        "encoded",      "double",    "empty_segment", "dot_segment",
                                        "trailing_dot", "parameter", "utf8",          "memory"};
    return (unsigned)f < ARRAY_LEN(names) ? names[f] : "unknown";
}

/* The common case: no escapes, nothing that would be refused. Says no when in doubt. */
static bool path_is_plain(str s)
{
    if (s.n == 0 || s.p[0] != '/') return false;
    char before = '/';
    for (size_t i = 1; i < s.n; i++) {
        char c = s.p[i];
        if (!byte_is(c, URL_PATH)) return false;
        if (c == '/' && (before == '/' || before == '.')) return false;
        before = c;
    }
    return before != '.';
}

/* The walk over a path that is not plain: it sees the canonical characters one after the other, so that what is
 * hidden behind an escape is judged like what stands in the open. */
struct path_walk {
    size_t segment; /* canonical characters of this segment so far */
    size_t dots;    /* of these, how many dots in a row end it */
    int hex;        /* hex digits behind the last %25, -1 when there was something else */
    bool changes;   /* the canonical form is not the input */
};

static enum path_fault segment_end(struct path_walk *w, bool last)
{
    if (w->segment == 0 && !last) return PATH_FAULT_EMPTY_SEGMENT;
    if (w->dots && w->dots == w->segment && w->dots <= 2) return PATH_FAULT_DOT_SEGMENT;
    if (w->dots) return PATH_FAULT_TRAILING_DOT;
    w->segment = 0;
    return PATH_FAULT_NONE;
}

static enum path_fault walk_raw(struct path_walk *w, char c)
{
    if (c == ';') return PATH_FAULT_PARAMETER;
    if (!byte_is(c, URL_PATH)) return PATH_FAULT_BYTE;
    w->hex = byte_is(c, URL_HEX) && w->hex >= 0 ? w->hex + 1 : -1;
    if (w->hex == 2) return PATH_FAULT_DOUBLE;
    if (c == '/') return segment_end(w, false);
    w->segment++;
    w->dots = c == '.' ? w->dots + 1 : 0;
    return PATH_FAULT_NONE;
}

/* Escapes from %80 on: one whole character. C1 controls are controls. */
static enum path_fault walk_utf8(struct path_walk *w, str s, size_t i, size_t *used)
{
    char c[4];
    size_t n = 0;
    unsigned char byte;
    while (n < sizeof c && i + 3 * n < s.n && escape_at(s, i + 3 * n, &byte)) c[n++] = (char)byte;
    size_t len = utf8_length(str_make(c, n));
    if (!len) return PATH_FAULT_UTF8;
    if (len == 2 && (unsigned char)c[0] == 0xc2 && (unsigned char)c[1] < 0xa0) return PATH_FAULT_ENCODED;
    w->segment++;
    w->dots = 0;
    w->hex = -1;
    *used = 3 * len;
    return PATH_FAULT_NONE;
}

static enum path_fault walk_escape(struct path_walk *w, str s, size_t i, size_t *used)
{
    unsigned char c;
    *used = 3;
    if (!escape_at(s, i, &c)) return PATH_FAULT_ESCAPE;
    if (url_class[c] & URL_UNRESERVED) {
        w->changes = true;
        return walk_raw(w, (char)c);
    }
    if (c < 0x20 || c == 0x7f || c == '/' || c == '\\') return PATH_FAULT_ENCODED;
    if (c == ';') return PATH_FAULT_PARAMETER;
    if (c >= 0x80) {
        enum path_fault f = walk_utf8(w, s, i, used);
        if (f) return f;
    } else {
        w->segment++;
        w->dots = 0;
        w->hex = c == '%' ? 0 : -1;
    }
    for (size_t k = i; k < i + *used; k++)
        if (s.p[k] >= 'a' && s.p[k] <= 'f') w->changes = true;
    return PATH_FAULT_NONE;
}

static enum path_fault path_check(str s, bool *changes)
{
    struct path_walk w = {.hex = -1};
    if (s.n == 0 || s.p[0] != '/') return PATH_FAULT_FORM;
    for (size_t i = 1; i < s.n;) {
        size_t used = 1;
        enum path_fault f = s.p[i] == '%' ? walk_escape(&w, s, i, &used) : walk_raw(&w, s.p[i]);
        if (f) return f;
        i += used;
    }
    *changes = w.changes;
    return segment_end(&w, true);
}

/* s has passed path_check: every '%' begins a good escape. */
static size_t path_write(str s, char *to)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c;
        if (s.p[i] != '%' || !escape_at(s, i, &c)) {
            to[n++] = s.p[i];
            continue;
        }
        if (url_class[c] & URL_UNRESERVED) {
            to[n++] = (char)c;
        } else {
            to[n++] = '%';
            to[n++] = "0123456789ABCDEF"[c >> 4];
            to[n++] = "0123456789ABCDEF"[c & 15];
        }
        i += 2;
    }
    return n;
}

enum err path_canonical(str raw, struct arena *mem, str *out, enum path_fault *fault)
{
    if (LIKELY(path_is_plain(raw))) {
        *out = raw;
        return ERR_OK;
    }
    bool changes = false;
    enum path_fault f = path_check(raw, &changes);
    if (f) {
        if (fault) *fault = f;
        return ERR_MALFORMED;
    }
    if (!changes) {
        *out = raw;
        return ERR_OK;
    }
    char *to = arena_alloc(mem, raw.n);
    if (!to) {
        if (fault) *fault = PATH_FAULT_MEMORY;
        return ERR_NO_MEMORY;
    }
    *out = str_make(to, path_write(raw, to));
    return ERR_OK;
}

bool path_literal_ok(str segment)
{
    return segment.n && all_are(segment, URL_UNRESERVED) && segment.p[segment.n - 1] != '.';
}

enum err percent_decode(str s, struct arena *mem, str *out)
{
    if (!str_has(s, '%')) {
        *out = s;
        return ERR_OK;
    }
    char *to = arena_alloc(mem, s.n);
    if (!to) return ERR_NO_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '%') {
            if (!escape_at(s, i, &c)) return ERR_MALFORMED;
            i += 2;
        }
        if (c == 0) return ERR_MALFORMED;
        to[n++] = (char)c;
    }
    *out = str_make(to, n);
    return ERR_OK;
}

bool url_query_ok(str query)
{
    return all_are(query, URL_TARGET);
}
