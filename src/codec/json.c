#include "codec/json.h"

#include "base/map.h"
#include "base/utf8.h"

#define BATCH 8 /* nodes taken from the arena at once */

/* One pass over the bytes, no recursion: `open` holds the containers that the current place lies in, at most
 * JSON_DEPTH_MAX of them. Every step moves `at` forward or fails, so the work is linear in the input; member names
 * are compared when their object closes. */
struct reader {
    const char *begin, *at, *end;
    const struct json_limits *limits;
    struct arena *mem;
    const struct json **tail; /* where the next value is hung up */
    uint32_t depth, values;
    enum json_fault fault;
    struct json *spare; /* nodes of the last batch that are still free */
    uint32_t n_spare;
    const struct json **set; /* scratch of names_differ_many, reused */
    size_t set_cap;
    struct json *open[JSON_DEPTH_MAX];
};

const struct json_limits json_limits_token = {.max_bytes = 16384,
                                              .max_depth = 32,
                                              .max_values = 4096,
                                              .max_members = 256,
                                              .max_number = 30};
const struct json_limits json_limits_document = {.max_bytes = 262144,
                                                 .max_depth = 32,
                                                 .max_values = 65536,
                                                 .max_members = 4096,
                                                 .max_number = 30};

static bool fail(struct reader *r, enum json_fault fault)
{
    r->fault = fault;
    return false;
}

static bool fail_at(struct reader *r, const char *at, enum json_fault fault)
{
    r->at = at;
    return fail(r, fault);
}

/* RFC 8259 §2: these four and nothing else. */
static inline void skip_blank(struct reader *r)
{
    const char *p = r->at;
    /* what sends documents to us writes them without blanks: the first test alone decides */
    while (p < r->end && (unsigned char)*p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
    r->at = p;
}

/* The first byte from p on that is a quote, a backslash, a control or not ASCII; `end` if there is none. */
static inline const char *plain_end(const char *p, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    /* Eight bytes at once. In each mask the lowest flagged byte is a true hit: a borrow only reaches bytes above. */
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t v, quote, slash, hit;
        memcpy(&v, p, 8);
        quote = v ^ ones * '"';
        slash = v ^ ones * '\\';
        hit = (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | (v - ones * 0x20) | v) & high;
        if (hit) return p + (__builtin_ctzll(hit) >> 3);
        p += 8;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80) p++;
    return p;
}

/* Four hex digits, or -1. */
static int hex4(const char *p, const char *end)
{
    if (end - p < 4) return -1;
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return -1;
        v = v << 4 | d;
    }
    return v;
}

static char *put_utf8(char *o, unsigned c)
{
    if (c < 0x80) {
        *o++ = (char)c;
        return o;
    }
    if (c < 0x800) {
        *o++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *o++ = (char)(0xe0 | c >> 12);
        } else {
            *o++ = (char)(0xf0 | c >> 18);
            *o++ = (char)(0x80 | (c >> 12 & 63));
        }
        *o++ = (char)(0x80 | (c >> 6 & 63));
    }
    *o++ = (char)(0x80 | (c & 63));
    return o;
}

/* \uXXXX at p ('u' is passed already), or a pair of surrogates. Gives where it ends, NULL on failure. */
static const char *unescape_u(struct reader *r, const char *p, const char *end, char **o)
{
    int c = hex4(p, end);
    if (c < 0) {
        fail_at(r, p, JSON_FAULT_SYNTAX);
        return NULL;
    }
    unsigned code = (unsigned)c;
    p += 4;
    if (code >= 0xd800 && code < 0xe000) {
        int low = code < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;
        if (low < 0xdc00 || low > 0xdfff) {
            fail_at(r, p - 4, JSON_FAULT_UTF8);
            return NULL;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + ((unsigned)low - 0xdc00);
        p += 6;
    }
    *o = put_utf8(*o, code);
    return p;
}

/* The text with its escapes replaced, in the arena: never longer than it was. */
static bool unescape(struct reader *r, str *text)
{
    const char *p = text->p, *end = p + text->n;
    char *out = arena_alloc(r->mem, text->n), *o = out;
    if (!out) return fail_at(r, p, JSON_FAULT_MEMORY);
    while (p < end) {
        size_t plain = str_find(str_make(p, (size_t)(end - p)), '\\');
        memcpy(o, p, plain);
        o += plain;
        p += plain;
        if (p == end) break;
        char c = p[1]; /* there is one: the closing quote was found behind it */
        p += 2;
        switch (c) {
        case '"':
        case '\\':
        case '/': *o++ = c; break;
        case 'b': *o++ = '\b'; break;
        case 'f': *o++ = '\f'; break;
        case 'n': *o++ = '\n'; break;
        case 'r': *o++ = '\r'; break;
        case 't': *o++ = '\t'; break;
        case 'u':
            p = unescape_u(r, p, end, &o);
            if (!p) return false;
            break;
        default: return fail_at(r, p - 1, JSON_FAULT_SYNTAX);
        }
    }
    *text = str_make(out, (size_t)(o - out));
    return true;
}

/* At an opening quote: the decoded text, of the input itself where nothing is escaped. */
static bool read_string(struct reader *r, str *out)
{
    const char *from = r->at + 1, *p = from;
    bool escaped = false;
    for (;;) {
        p = plain_end(p, r->end);
        if (p == r->end) return fail_at(r, p, JSON_FAULT_SYNTAX);
        if (*p == '"') break;
        if (*p == '\\') {
            if (r->end - p < 2) return fail_at(r, p, JSON_FAULT_SYNTAX);
            escaped = true;
            p += 2;
        } else if ((unsigned char)*p < 0x80) {
            return fail_at(r, p, JSON_FAULT_SYNTAX); /* a raw control */
        } else {
            size_t n = utf8_length(str_make(p, (size_t)(r->end - p)));
            if (!n) return fail_at(r, p, JSON_FAULT_UTF8);
            p += n;
        }
    }
    r->at = p + 1;
    *out = str_make(from, (size_t)(p - from));
    if (!escaped) return true;
    const char *after = r->at;
    if (!unescape(r, out)) return false;
    r->at = after;
    return true;
}

static inline const char *digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p;
}

/* RFC 8259 §6. */
static bool read_number(struct reader *r, str *out)
{
    const char *p = r->at, *from;
    if (p < r->end && *p == '-') p++;
    from = p;
    p = p < r->end && *p == '0' ? p + 1 : digits(p, r->end);
    if (p == from) return fail_at(r, p, JSON_FAULT_SYNTAX);
    if (p < r->end && *p == '.') {
        from = ++p;
        p = digits(p, r->end);
        if (p == from) return fail_at(r, p, JSON_FAULT_SYNTAX);
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < r->end && (*p == '+' || *p == '-')) p++;
        from = p;
        p = digits(p, r->end);
        if (p == from) return fail_at(r, p, JSON_FAULT_SYNTAX);
    }
    size_t n = (size_t)(p - r->at);
    if (n > r->limits->max_number) return fail(r, JSON_FAULT_NUMBER);
    *out = str_make(r->at, n);
    r->at = p;
    return true;
}

static bool read_word(struct reader *r, str word)
{
    if (!str_starts(str_make(r->at, (size_t)(r->end - r->at)), word)) return fail(r, JSON_FAULT_SYNTAX);
    r->at += word.n;
    return true;
}

/* At the quote of a member's name: the name, and on to its value. */
static bool read_name(struct reader *r, str *name)
{
    if (*r->at != '"') return fail(r, JSON_FAULT_SYNTAX);
    if (!read_string(r, name)) return false;
    skip_blank(r);
    if (r->at == r->end || *r->at != ':') return fail(r, JSON_FAULT_SYNTAX);
    r->at++;
    skip_blank(r);
    return true;
}

/* A few members: each against those before it, but only if a bit made of its name was seen. */
#define FEW 16

static bool names_differ_few(struct reader *r, const struct json *object)
{
    uint64_t seen = 0;
    for (const struct json *m = object->first; m; m = m->next) {
        unsigned tag = (unsigned)m->name.n;
        if (tag) tag += (unsigned char)m->name.p[0] * 7u + (unsigned char)m->name.p[tag / 2] * 13u;
        uint64_t bit = (uint64_t)1 << (tag & 63);
        if (seen & bit)
            for (const struct json *o = object->first; o != m; o = o->next)
                if (str_eq(o->name, m->name)) return fail_at(r, r->begin + m->offset, JSON_FAULT_DUPLICATE);
        seen |= bit;
    }
    return true;
}

/* Many: a set under a keyed hash, so that no choice of names makes it slow. The scratch is kept for the next
 * object; only the part that this one needs is cleared, so the sum stays linear. */
static bool names_differ_many(struct reader *r, const struct json *object)
{
    size_t cap = 4 * FEW;
    while (cap < (size_t)object->count * 2) cap *= 2;
    if (cap > r->set_cap) {
        const struct json **set = arena_alloc(r->mem, cap * sizeof *set);
        if (!set) return fail(r, JSON_FAULT_MEMORY);
        r->set = set;
        r->set_cap = cap;
    }
    for (size_t i = 0; i < cap; i++) r->set[i] = NULL;
    for (const struct json *m = object->first; m; m = m->next) {
        size_t i = map_hash(m->name) & (cap - 1);
        for (; r->set[i]; i = (i + 1) & (cap - 1))
            if (str_eq(r->set[i]->name, m->name)) return fail_at(r, r->begin + m->offset, JSON_FAULT_DUPLICATE);
        r->set[i] = m;
    }
    return true;
}

/* From behind a value, or behind an opening bracket, to where the next value begins: over closing brackets, one
 * comma and a member's name. At depth 0 the outermost value is complete. */
static bool advance(struct reader *r, bool opened, str *name)
{
    while (r->depth) {
        struct json *in = r->open[r->depth - 1];
        bool object = in->type == JSON_OBJECT;
        skip_blank(r);
        if (r->at == r->end) return fail(r, JSON_FAULT_SYNTAX);
        if (*r->at == (object ? '}' : ']')) {
            r->at++;
            if (object && !(in->count <= FEW ? names_differ_few(r, in) : names_differ_many(r, in))) return false;
            r->depth--;
            r->tail = &in->next;
            opened = false;
            continue;
        }
        if (!opened) {
            if (*r->at != ',') return fail(r, JSON_FAULT_SYNTAX);
            r->at++;
            skip_blank(r);
            if (r->at == r->end) return fail(r, JSON_FAULT_SYNTAX);
        }
        return !object || read_name(r, name);
    }
    return true;
}

static bool open_container(struct reader *r, struct json *v)
{
    if (r->depth >= r->limits->max_depth || r->depth >= JSON_DEPTH_MAX) return fail(r, JSON_FAULT_DEPTH);
    v->type = *r->at == '{' ? JSON_OBJECT : JSON_ARRAY;
    r->at++;
    r->open[r->depth++] = v;
    r->tail = &v->first;
    return true;
}

static bool read_value(struct reader *r, struct json *v)
{
    r->tail = &v->next;
    switch (r->at < r->end ? *r->at : 0) {
    case '{':
    case '[': return open_container(r, v);
    case '"': v->type = JSON_STRING; return read_string(r, &v->text);
    case 't': v->type = JSON_TRUE; return read_word(r, STR("true"));
    case 'f': v->type = JSON_FALSE; return read_word(r, STR("false"));
    case 'n': v->type = JSON_NULL; return read_word(r, STR("null"));
    default: v->type = JSON_NUMBER; return read_number(r, &v->text);
    }
}

/* Nodes come a few at a time: the arena is asked less often. */
static inline struct json *new_node(struct reader *r)
{
    if (r->n_spare == 0) {
        r->spare = arena_alloc(r->mem, BATCH * sizeof *r->spare);
        if (!r->spare) return NULL;
        r->n_spare = BATCH;
    }
    r->n_spare--;
    return r->spare++;
}

static bool read_document(struct reader *r)
{
    str name = STR_NONE;
    if (str_starts(str_make(r->at, (size_t)(r->end - r->at)), STR("\xef\xbb\xbf"))) return fail(r, JSON_FAULT_UTF8);
    skip_blank(r);
    if (r->at == r->end) return fail(r, JSON_FAULT_TRAILING);
    do {
        struct json *in = r->depth ? r->open[r->depth - 1] : NULL;
        if (r->values++ == r->limits->max_values) return fail(r, JSON_FAULT_MEMBERS);
        if (in && in->count++ == r->limits->max_members) return fail(r, JSON_FAULT_MEMBERS);
        struct json *v = new_node(r);
        if (!v) return fail(r, JSON_FAULT_MEMORY);
        bool member = in && in->type == JSON_OBJECT;
        *v = (struct json){.offset = (uint32_t)(r->at - r->begin), .name = member ? name : STR_NONE};
        *r->tail = v;
        if (!read_value(r, v)) return false;
        bool opened = v->type >= JSON_ARRAY;
        if (!advance(r, opened, &name)) return false;
    } while (r->depth);
    skip_blank(r);
    return r->at == r->end || fail(r, JSON_FAULT_TRAILING);
}

static enum err fault_err(enum json_fault f)
{
    switch (f) {
    case JSON_FAULT_DEPTH:
    case JSON_FAULT_SIZE:
    case JSON_FAULT_MEMBERS:
    case JSON_FAULT_NUMBER: return ERR_LIMIT;
    case JSON_FAULT_MEMORY: return ERR_NO_MEMORY;
    case JSON_FAULT_NONE:
    case JSON_FAULT_SYNTAX:
    case JSON_FAULT_TRAILING:
    case JSON_FAULT_UTF8:
    case JSON_FAULT_DUPLICATE: break;
    }
    return ERR_MALFORMED;
}

enum err json_parse(str in, const struct json_limits *limits, struct arena *mem, const struct json **out,
                    enum json_fault *fault, size_t *at)
{
    const struct json *root = NULL;
    struct reader r;
    /* member by member: clearing `open` as well would cost more than a small document */
    r.begin = r.at = in.n ? in.p : "";
    r.end = r.begin + in.n;
    r.limits = limits;
    r.mem = mem;
    r.tail = &root;
    r.depth = r.values = r.n_spare = 0;
    r.spare = NULL;
    r.fault = JSON_FAULT_NONE;
    r.set = NULL;
    r.set_cap = 0;

    bool ok = in.n <= limits->max_bytes ? read_document(&r) : fail_at(&r, r.begin + limits->max_bytes, JSON_FAULT_SIZE);
    if (fault) *fault = r.fault;
    if (!ok) {
        if (at) *at = (size_t)(r.at - r.begin);
        return fault_err(r.fault);
    }
    *out = root;
    return ERR_OK;
}
