#include "codec/yaml.h"

#include "base/map.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

const struct yaml_limits yaml_limits_default = {4u << 20, 32, 1u << 18};

#define DEPTH_MAX 64 /* what the stack below has room for */
#define FEW       8  /* maps up to this size are searched one by one for a duplicate */

/* A list or map that is not closed yet. */
struct frame {
    struct yaml *node;
    struct yaml *last; /* its newest child */
    bool has_key;      /* map: a key was read, its value comes next */
    bool drop;         /* that key is a duplicate: its value is read and left out */
    str key;
    struct yaml_mark key_at;
    struct map seen; /* map with more than FEW keys: key → struct yaml */
};

struct reader {
    const struct yaml_limits *limits;
    struct arena *mem;
    struct yaml_errors *errors;
    struct yaml *root;
    uint32_t depth, values;
    struct frame stack[DEPTH_MAX];
};

static struct yaml_mark mark_of(yaml_mark_t m)
{
    return (struct yaml_mark){(uint32_t)m.line + 1, (uint32_t)m.column + 1};
}

/* Notes a fault; its kind as an error. */
static enum err refuse(struct yaml_errors *errors, enum yaml_fault fault, struct yaml_mark at, uint32_t width,
                       const char *fmt, ...) PRINTF_LIKE(5, 6);
static enum err refuse(struct yaml_errors *errors, enum yaml_fault fault, struct yaml_mark at, uint32_t width,
                       const char *fmt, ...)
{
    if (errors->n < YAML_ERRORS_MAX) {
        struct yaml_error *e = &errors->v[errors->n++];
        *e = (struct yaml_error){.fault = fault, .at = at, .width = width};
        va_list args;
        va_start(args, fmt);
        vsnprintf(e->text, sizeof e->text, fmt, args);
        va_end(args);
    }
    if (fault == YAML_FAULT_MEMORY) return ERR_NO_MEMORY;
    bool bound = fault == YAML_FAULT_DEPTH || fault == YAML_FAULT_SIZE || fault == YAML_FAULT_VALUES;
    return bound ? ERR_LIMIT : ERR_MALFORMED;
}

/* A refusal that leaves a tree: reading goes on, so that the next one is found as well. */
static void note(struct reader *r, enum yaml_fault fault, struct yaml_mark at, uint32_t width, const char *text)
{
    enum err e = refuse(r->errors, fault, at, width, "%s", text);
    (void)e;
}

static enum err no_memory(struct reader *r)
{
    return refuse(r->errors, YAML_FAULT_MEMORY, (struct yaml_mark){0}, 0, "out of memory");
}

/* --- the type of a plain scalar: YAML 1.2 §10.3.2 --- */

static bool one_of(str s, const char *const *words)
{
    for (; *words; words++)
        if (str_eq(s, str_of(*words))) return true;
    return false;
}

static size_t digits_at(str s, size_t i)
{
    size_t n = 0;
    while (i + n < s.n && s.p[i + n] >= '0' && s.p[i + n] <= '9') n++;
    return n;
}

/* [-+]? ( \.[0-9]+ | [0-9]+ ( \.[0-9]* )? ) ( [eE][-+]?[0-9]+ )? ; *whole if it is [-+]?[0-9]+ */
static bool is_number(str s, bool *whole)
{
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
    size_t before = digits_at(s, i), after = 0;
    i += before;
    *whole = before && i == s.n;
    if (i < s.n && s.p[i] == '.') {
        after = digits_at(s, i + 1);
        i += 1 + after;
    }
    if (before + after == 0) return false;
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '-' || s.p[i] == '+')) i++;
        size_t exponent = digits_at(s, i);
        if (!exponent) return false;
        i += exponent;
    }
    return i == s.n;
}

static enum yaml_type plain_type(str s, bool *boolean)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const odd[] = {".inf",  ".Inf",  ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
                                      "-.Inf", "-.INF", ".nan", ".NaN",  ".NAN",  NULL};
    bool whole;
    if (one_of(s, nulls)) return YAML_NULL;
    *boolean = one_of(s, trues);
    if (*boolean || one_of(s, falses)) return YAML_BOOL;
    if (is_number(s, &whole)) return whole ? YAML_INT : YAML_FLOAT;
    return one_of(s, odd) ? YAML_FLOAT : YAML_STRING;
}

/* --- events into the tree --- */

static struct frame *top(struct reader *r)
{
    return r->depth ? &r->stack[r->depth - 1] : NULL;
}

/* The earlier child of that key, or NULL. */
static enum err find_duplicate(struct frame *f, str key, const struct yaml **found)
{
    *found = NULL;
    if (f->node->count <= FEW) {
        for (const struct yaml *c = f->node->first; c && !*found; c = c->next)
            if (str_eq(c->key, key)) *found = c;
        return ERR_OK;
    }
    if (f->seen.n == 0)
        for (const struct yaml *c = f->node->first; c; c = c->next)
            if (map_put(&f->seen, c->key, (void *)(uintptr_t)c, NULL) != ERR_OK) return ERR_NO_MEMORY;
    *found = map_get(&f->seen, key);
    return ERR_OK;
}

/* Takes a scalar as the next key of the open map. */
static enum err take_key(struct reader *r, struct frame *f, const yaml_event_t *ev)
{
    str key = str_make((const char *)ev->data.scalar.value, ev->data.scalar.length);
    const struct yaml *earlier;
    f->key = arena_copy(r->mem, key);
    if (!f->key.p || find_duplicate(f, f->key, &earlier) != ERR_OK) return no_memory(r);
    f->key_at = mark_of(ev->start_mark);
    f->has_key = true;
    f->drop = earlier != NULL;
    if (!earlier) return ERR_OK;
    uint32_t n = r->errors->n;
    char text[160];
    snprintf(text, sizeof text, "the key '%.*s' stands here a second time; the first is in line %u, column %u",
             key.n > 64 ? 64 : (int)key.n, key.p, earlier->key_at.line, earlier->key_at.column);
    note(r, YAML_FAULT_DUPLICATE, f->key_at, (uint32_t)(ev->end_mark.column - ev->start_mark.column), text);
    if (r->errors->n > n) r->errors->v[n].other = earlier->key_at;
    return ERR_OK;
}

/* A new value of that type as the next child of what is open. */
static enum err add_value(struct reader *r, enum yaml_type type, const yaml_event_t *ev, struct yaml **out)
{
    struct frame *f = top(r);
    if (++r->values > r->limits->max_values)
        return refuse(r->errors, YAML_FAULT_VALUES, mark_of(ev->start_mark), 0, "more than %u values",
                      r->limits->max_values);
    struct yaml *v = arena_zalloc(r->mem, sizeof *v);
    if (!v) return no_memory(r);
    v->type = type;
    v->at = mark_of(ev->start_mark);
    v->end = mark_of(ev->end_mark);
    if (!f) {
        r->root = v;
    } else {
        v->key = f->key;
        v->key_at = f->key_at;
        bool drop = f->drop;
        f->has_key = f->drop = false;
        if (!drop) {
            if (f->last)
                f->last->next = v;
            else
                f->node->first = v;
            f->last = v;
            f->node->count++;
            if (f->seen.n && map_put(&f->seen, v->key, v, NULL) != ERR_OK) return no_memory(r);
        }
    }
    *out = v;
    return ERR_OK;
}

static enum err open_node(struct reader *r, enum yaml_type type, const yaml_event_t *ev)
{
    struct frame *f = top(r);
    struct yaml *v;
    if (f && f->node->type == YAML_MAP && !f->has_key)
        return refuse(r->errors, YAML_FAULT_KEY, mark_of(ev->start_mark), 0, "a key must be plain text, not %s",
                      yaml_type_name(type));
    if (r->depth >= r->limits->max_depth || r->depth >= DEPTH_MAX)
        return refuse(r->errors, YAML_FAULT_DEPTH, mark_of(ev->start_mark), 0,
                      "more than %u maps and lists inside each other", r->limits->max_depth);
    enum err e = add_value(r, type, ev, &v);
    if (e != ERR_OK) return e;
    r->stack[r->depth++] = (struct frame){.node = v};
    return ERR_OK;
}

static void close_node(struct reader *r, const yaml_event_t *ev)
{
    struct frame *f = top(r);
    f->node->end = mark_of(ev->end_mark);
    map_free(&f->seen);
    r->depth--;
}

static enum err scalar(struct reader *r, const yaml_event_t *ev, bool refused)
{
    struct frame *f = top(r);
    if (f && f->node->type == YAML_MAP && !f->has_key) return take_key(r, f, ev);
    str text = str_make((const char *)ev->data.scalar.value, ev->data.scalar.length);
    bool quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE, boolean = false;
    enum yaml_type type = refused ? YAML_REFUSED : quoted ? YAML_STRING : plain_type(text, &boolean);
    struct yaml *v;
    enum err e = add_value(r, type, ev, &v);
    if (e != ERR_OK) return e;
    v->text = arena_copy(r->mem, text);
    if (!v->text.p) return no_memory(r);
    v->quoted = quoted;
    v->boolean = boolean;
    return ERR_OK;
}

static enum err alias(struct reader *r, const yaml_event_t *ev)
{
    struct frame *f = top(r);
    struct yaml *v;
    if (f && f->node->type == YAML_MAP && !f->has_key)
        return refuse(r->errors, YAML_FAULT_ALIAS, mark_of(ev->start_mark), 0, "an alias cannot be a key");
    note(r, YAML_FAULT_ALIAS, mark_of(ev->start_mark), 0, "aliases (*name) are refused: write the value out");
    return add_value(r, YAML_REFUSED, ev, &v);
}

/* Notes the anchor and the tag of a value; whether the value has a tag, so that its type is not known. */
static bool decorated(struct reader *r, const yaml_event_t *ev, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor) note(r, YAML_FAULT_ANCHOR, mark_of(ev->start_mark), 0, "anchors (&name) are refused");
    if (tag) note(r, YAML_FAULT_TAG, mark_of(ev->start_mark), 0, "tags (!name) are refused");
    return tag != NULL;
}

/* One event. *end is set with the end of the stream. */
static enum err take(struct reader *r, const yaml_event_t *ev, bool *end)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->root)
            return refuse(r->errors, YAML_FAULT_DOCUMENTS, mark_of(ev->start_mark), 0,
                          "a second document begins here; one file holds one configuration");
        if (ev->data.document_start.version_directive ||
            ev->data.document_start.tag_directives.start != ev->data.document_start.tag_directives.end)
            note(r, YAML_FAULT_DIRECTIVE, mark_of(ev->start_mark), 0, "directives (%NAME) are refused");
        return ERR_OK;
    case YAML_ALIAS_EVENT: return alias(r, ev);
    case YAML_SCALAR_EVENT: return scalar(r, ev, decorated(r, ev, ev->data.scalar.anchor, ev->data.scalar.tag));
    case YAML_SEQUENCE_START_EVENT:
        decorated(r, ev, ev->data.sequence_start.anchor, ev->data.sequence_start.tag);
        return open_node(r, YAML_LIST, ev);
    case YAML_MAPPING_START_EVENT:
        decorated(r, ev, ev->data.mapping_start.anchor, ev->data.mapping_start.tag);
        return open_node(r, YAML_MAP, ev);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: close_node(r, ev); return ERR_OK;
    case YAML_STREAM_END_EVENT: *end = true; return ERR_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT: return ERR_OK;
    }
    return ERR_OK;
}

/* --- what libyaml refuses, in our words --- */

/* Place of the byte `at`, for faults that libyaml does not place. */
static struct yaml_mark mark_at(str in, size_t at)
{
    struct yaml_mark m = {1, 1};
    for (size_t i = 0; i < at && i < in.n; i++) {
        if (in.p[i] == '\n')
            m = (struct yaml_mark){m.line + 1, 1};
        else if (((unsigned char)in.p[i] & 0xc0) != 0x80)
            m.column++;
    }
    return m;
}

static enum err syntax(struct reader *r, const yaml_parser_t *p, str in)
{
    if (p->error == YAML_MEMORY_ERROR) return no_memory(r);
    const char *problem = p->problem ? p->problem : "not YAML";
    if (p->error == YAML_READER_ERROR)
        return refuse(r->errors, YAML_FAULT_SYNTAX, mark_at(in, p->problem_offset), 0, "%s", problem);
    struct yaml_mark at = mark_of(p->problem_mark);
    if (p->problem_mark.index < in.n && strstr(problem, "cannot start any token")) {
        /* the index counts characters; looking at the byte is right for ASCII, and only words a hint otherwise */
        char c = in.p[p->problem_mark.index];
        if (c == '\t')
            problem = "a tab cannot indent; use blanks";
        else if (c == '@' || c == '`' || c == '%')
            problem = "text that begins with this character needs quotes";
    }
    if (!p->context) return refuse(r->errors, YAML_FAULT_SYNTAX, at, 0, "%s", problem);
    struct yaml_mark began = mark_of(p->context_mark);
    if (began.line == at.line && began.column == at.column)
        return refuse(r->errors, YAML_FAULT_SYNTAX, at, 0, "%s %s", problem, p->context);
    return refuse(r->errors, YAML_FAULT_SYNTAX, at, 0, "%s %s that begins in line %u, column %u", problem, p->context,
                  began.line, began.column);
}

static enum err read_events(struct reader *r, str in)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return no_memory(r);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)in.p, in.n);
    enum err e = ERR_OK;
    for (bool end = false; !end && e == ERR_OK;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&parser, &ev)) {
            e = syntax(r, &parser, in);
            break;
        }
        e = take(r, &ev, &end);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&parser);
    while (r->depth) map_free(&r->stack[--r->depth].seen);
    return e;
}

static enum err check_bytes(str in, const struct yaml_limits *limits, struct yaml_errors *errors)
{
    if (in.n > limits->max_bytes)
        return refuse(errors, YAML_FAULT_SIZE, (struct yaml_mark){0}, 0, "larger than %u bytes", limits->max_bytes);
    if (str_starts(in, STR("\xef\xbb\xbf")))
        return refuse(errors, YAML_FAULT_UTF8, (struct yaml_mark){1, 1}, 0, "a byte order mark: save without it");
    for (size_t i = 0; i < in.n;) {
        size_t len = utf8_length(str_from(in, i));
        if (!len) return refuse(errors, YAML_FAULT_UTF8, mark_at(in, i), 0, "not UTF-8");
        i += len;
    }
    return ERR_OK;
}

enum err yaml_parse_all(str in, const struct yaml_limits *limits, struct arena *mem, struct yaml_errors *errors,
                        const struct yaml **out)
{
    errors->n = 0;
    enum err e = check_bytes(in, limits, errors);
    if (e != ERR_OK) return e;
    struct reader r = {.limits = limits, .mem = mem, .errors = errors};
    e = read_events(&r, in);
    if (e != ERR_OK) return e;
    if (!r.root) return refuse(errors, YAML_FAULT_EMPTY, (struct yaml_mark){1, 1}, 0, "empty: there is no document");
    *out = r.root;
    return ERR_OK;
}

enum err yaml_parse(str in, const struct yaml_limits *limits, struct arena *mem, struct yaml_errors *errors,
                    const struct yaml **out)
{
    const struct yaml *root;
    enum err e = yaml_parse_all(in, limits, mem, errors, &root);
    if (e != ERR_OK) return e;
    if (errors->n) return ERR_MALFORMED;
    *out = root;
    return ERR_OK;
}

/* --- looking at the tree --- */

const char *yaml_fault_name(enum yaml_fault f)
{
    static const char *const names[] = {"none",      "syntax", "utf8",  "empty",  "documents",
                                        "key",       "depth",  "size",  "values", "memory",
                                        "directive", "anchor", "alias", "tag",    "duplicate"};
    return (unsigned)f < ARRAY_LEN(names) ? names[f] : "unknown";
}

const char *yaml_type_name(enum yaml_type t)
{
    static const char *const names[] = {"nothing", "true or false", "a whole number", "a number",
                                        "text",    "a list",        "a map",          "a refused value"};
    return (unsigned)t < ARRAY_LEN(names) ? names[t] : "unknown";
}

const struct yaml *yaml_get(const struct yaml *v, str key)
{
    if (!v || v->type != YAML_MAP) return NULL;
    for (const struct yaml *c = v->first; c; c = c->next)
        if (str_eq(c->key, key)) return c;
    return NULL;
}

enum err yaml_int(const struct yaml *v, int64_t *out)
{
    if (!v || v->type != YAML_INT) return ERR_MALFORMED;
    bool minus = v->text.p[0] == '-';
    uint64_t n;
    enum err e = str_to_u64(str_from(v->text, minus || v->text.p[0] == '+' ? 1 : 0), &n);
    if (e != ERR_OK) return e;
    if (n > (uint64_t)INT64_MAX) return ERR_LIMIT;
    *out = minus ? -(int64_t)n : (int64_t)n;
    return ERR_OK;
}
