/* Field lines (RFC 9112 §5), and the meaning of those that frame a message. One pass, no copies. */
#include "http/field_name.h"
#include "http/h1_private.h"

/* More members than any honest Connection has; each costs a look at every field later on. */
#define CONNECTION_OPTIONS_MAX 32

static const struct {
    const char *name;
    uint16_t status;
    enum err err;
} faults[] = {
    [HTTP_FAULT_NONE] = {"none", 200, ERR_OK},
    [HTTP_FAULT_REQUEST_LINE] = {"request_line", 400, ERR_MALFORMED},
    [HTTP_FAULT_STATUS_LINE] = {"status_line", 400, ERR_MALFORMED},
    [HTTP_FAULT_METHOD] = {"method", 501, ERR_UNSUPPORTED},
    [HTTP_FAULT_TARGET] = {"target", 400, ERR_MALFORMED},
    [HTTP_FAULT_VERSION] = {"version", 400, ERR_MALFORMED},
    [HTTP_FAULT_VERSION_MAJOR] = {"version_major", 505, ERR_UNSUPPORTED},
    [HTTP_FAULT_LINE_END] = {"line_end", 400, ERR_MALFORMED},
    [HTTP_FAULT_FIELD_NAME] = {"field_name", 400, ERR_MALFORMED},
    [HTTP_FAULT_FIELD_VALUE] = {"field_value", 400, ERR_MALFORMED},
    [HTTP_FAULT_FOLD] = {"fold", 400, ERR_MALFORMED},
    [HTTP_FAULT_HOST] = {"host", 400, ERR_MALFORMED},
    [HTTP_FAULT_CONTENT_LENGTH] = {"content_length", 400, ERR_MALFORMED},
    [HTTP_FAULT_TRANSFER_ENCODING] = {"transfer_encoding", 400, ERR_MALFORMED},
    [HTTP_FAULT_CODING] = {"coding", 501, ERR_UNSUPPORTED},
    [HTTP_FAULT_FRAMING] = {"framing", 400, ERR_MALFORMED},
    [HTTP_FAULT_EXPECT] = {"expect", 417, ERR_UNSUPPORTED},
    [HTTP_FAULT_HEAD_SIZE] = {"head_size", 431, ERR_LIMIT},
    [HTTP_FAULT_TARGET_SIZE] = {"target_size", 414, ERR_LIMIT},
    [HTTP_FAULT_FIELD_COUNT] = {"field_count", 431, ERR_LIMIT},
    [HTTP_FAULT_CHUNK] = {"chunk", 400, ERR_MALFORMED},
    [HTTP_FAULT_TRAILER] = {"trailer", 400, ERR_MALFORMED},
    [HTTP_FAULT_LATE] = {"late", 408, ERR_TIMEOUT},
    [HTTP_FAULT_MEMORY] = {"memory", 500, ERR_NO_MEMORY},
};

const char *http_fault_name(enum http_fault f)
{
    return (unsigned)f < ARRAY_LEN(faults) ? faults[f].name : "unknown";
}

uint16_t http_fault_status(enum http_fault f)
{
    return (unsigned)f < ARRAY_LEN(faults) ? faults[f].status : 500;
}

enum err h1_refuse(enum http_fault f, enum http_fault *fault)
{
    *fault = f;
    return faults[f].err;
}

bool h1_worth_parsing(str in, const struct h1_scan *scan)
{
    size_t at = scan->seen > 3 ? scan->seen - 3 : 0;
    for (;;) {
        at += str_find(str_from(in, at), '\n');
        if (at >= in.n) return false;
        if (at == 0 || in.p[at - 1] != '\r') return true;
        if (in.n - at > 2 && in.p[at + 1] == '\r' && in.p[at + 2] == '\n') return true;
        at++;
    }
}

/* --- fields that say something of the whole message --- */

/* Not every parser takes a tab behind Connection, Content-Length and Transfer-Encoding for a blank: some then see
 * another value, or none. */
static bool tab_behind(str value)
{
    for (const char *p = value.p + value.n; *p != '\r'; p++)
        if (*p == '\t') return true;
    return false;
}

/* Digits only, no list, no leading zero (somebody in between may read octal), below 2^63. */
static enum http_fault note_length(struct h1_facts *x, str value)
{
    if (x->lengths++ || tab_behind(value)) return HTTP_FAULT_CONTENT_LENGTH;
    if (value.n > 1 && value.p[0] == '0') return HTTP_FAULT_CONTENT_LENGTH;
    if (str_to_u64(value, &x->length) != ERR_OK || x->length > INT64_MAX) return HTTP_FAULT_CONTENT_LENGTH;
    return HTTP_FAULT_NONE;
}

/* RFC 9112 §6.1. "chunked" alone is what we do; a compression before it is honest and refused as not supported;
 * everything else might be an attempt at being read in two ways. */
static enum http_fault note_coding(struct h1_facts *x, str value)
{
    static const str compressions[] = {STR_INIT("gzip"), STR_INIT("x-gzip"), STR_INIT("compress"),
                                       STR_INIT("x-compress"), STR_INIT("deflate")};
    if (x->codings++ || tab_behind(value)) return HTTP_FAULT_TRANSFER_ENCODING;
    if (str_ieq(value, STR("chunked"))) return HTTP_FAULT_NONE;
    str rest = value, first = str_cut(&rest, ',');
    bool compression = false;
    for (size_t i = 0; i < ARRAY_LEN(compressions); i++) compression = compression || str_ieq(first, compressions[i]);
    return compression && str_ieq(str_trim(rest), STR("chunked")) ? HTTP_FAULT_CODING : HTTP_FAULT_TRANSFER_ENCODING;
}

static enum http_fault note_connection(struct h1_facts *x, str value)
{
    str rest = value;
    if (str_has(value, '\t') || tab_behind(value)) return HTTP_FAULT_FIELD_VALUE;
    if (str_eq(value, STR("keep-alive"))) { /* what nearly all say */
        x->keep_alive = true;
        return HTTP_FAULT_NONE;
    }
    while (rest.n) {
        str option = str_trim(str_cut(&rest, ','));
        if (x->options++ >= CONNECTION_OPTIONS_MAX) return HTTP_FAULT_FIELD_VALUE;
        if (option.n == 0) continue;
        if (!http_token_ok(option)) return HTTP_FAULT_FIELD_VALUE;
        x->close = x->close || str_ieq(option, STR("close"));
        x->keep_alive = x->keep_alive || str_ieq(option, STR("keep-alive"));
    }
    return HTTP_FAULT_NONE;
}

static enum http_fault note(struct h1_facts *x, const struct field *f)
{
    switch (f->id) {
    case FIELD_CONTENT_LENGTH: return note_length(x, f->value);
    case FIELD_TRANSFER_ENCODING: return note_coding(x, f->value);
    case FIELD_CONNECTION: return note_connection(x, f->value);
    case FIELD_UPGRADE: x->upgrade = true; break;
    case FIELD_HOST: x->host = f->value; return x->request && x->hosts++ ? HTTP_FAULT_HOST : HTTP_FAULT_NONE;
    case FIELD_EXPECT:
        if (!x->request) break;
        return x->expects++ || !str_ieq(f->value, STR("100-continue")) ? HTTP_FAULT_EXPECT : HTTP_FAULT_NONE;
    default: break;
    }
    return HTTP_FAULT_NONE;
}

static enum http_fault note_trailer(struct field *f)
{
    enum field_class class = field_class_of(f->id);
    if (class == FIELD_HOP) return HTTP_FAULT_TRAILER;
    f->drop = class != FIELD_PLAIN;
    return HTTP_FAULT_NONE;
}

/* --- lines --- */

enum err h1_line_end(struct h1_cursor *c, const char *p, enum http_fault otherwise, enum http_fault *fault)
{
    if (p == c->end) return ERR_AGAIN;
    if (*p == '\n') return h1_refuse(HTTP_FAULT_LINE_END, fault);
    if (*p != '\r') return h1_refuse(otherwise, fault);
    if (p + 1 == c->end) return ERR_AGAIN;
    if (p[1] != '\n') return h1_refuse(HTTP_FAULT_LINE_END, fault);
    c->p = p + 2;
    return ERR_OK;
}

static inline const char *skip_blanks(const char *p, const char *end)
{
    if (LIKELY(end - p > 1 && *p == ' ' && (unsigned char)p[1] > ' ')) return p + 1;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    return p;
}

/* The name at p up to its colon. */
static inline enum err name_read(const char *p, const char *end, size_t *n, enum field_id *id, bool *twin,
                                 enum http_fault *fault)
{
    char fold[FIELD_FOLD];
    bool under;
    if (LIKELY(end - p >= 2 * 16)) {
        *id = field_intern_line(p, n, twin);
        if (*id != FIELD_OTHER) return ERR_OK;
    }
    *n = scan_name(p, (size_t)(end - p), fold, &under);
    if (UNLIKELY(p + *n == end)) return ERR_AGAIN;
    if (UNLIKELY(*n == 0 || p[*n] != ':'))
        return h1_refuse(p[*n] == '\n' ? HTTP_FAULT_LINE_END : HTTP_FAULT_FIELD_NAME, fault);
    *id = field_intern_folded(fold, *n);
    *twin = under && *id != FIELD_OTHER;
    return ERR_OK;
}

static inline enum err field_line(struct h1_cursor *c, struct field *out, enum http_fault *fault)
{
    const char *p = c->p;
    enum field_id id;
    bool twin;
    size_t n;
    enum err e = name_read(p, c->end, &n, &id, &twin, fault);
    if (UNLIKELY(e != ERR_OK)) return e;

    const char *value = skip_blanks(p + n + 1, c->end);
    const char *stop = value + scan_value(value, (size_t)(c->end - value));
    e = h1_line_end(c, stop, HTTP_FAULT_FIELD_VALUE, fault);
    if (UNLIKELY(e != ERR_OK)) return e;
    while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
    *out = (struct field){.name = {p, n}, .value = {value, (size_t)(stop - value)}, .id = (uint16_t)id, .twin = twin};
    return ERR_OK;
}

enum err h1_field_lines(struct h1_cursor *c, uint32_t max, struct fields *out, struct h1_facts *facts,
                        enum http_fault *fault)
{
    for (;;) {
        if (c->p == c->end) return ERR_AGAIN;
        if (UNLIKELY(!(http_class[(unsigned char)*c->p] & HTTP_TCHAR))) {
            if (*c->p == ' ' || *c->p == '\t') return h1_refuse(HTTP_FAULT_FOLD, fault);
            if (*c->p != '\r' && *c->p != '\n') return h1_refuse(HTTP_FAULT_FIELD_NAME, fault);
            return h1_line_end(c, c->p, HTTP_FAULT_LINE_END, fault);
        }
        if (out->n >= max || out->n >= out->cap) return h1_refuse(HTTP_FAULT_FIELD_COUNT, fault);

        struct field *f = &out->v[out->n];
        enum err e = field_line(c, f, fault);
        if (UNLIKELY(e != ERR_OK)) return e;
        out->n++;
        if (f->id == FIELD_OTHER || (f->id > FIELD_HOST && facts)) continue;
        enum http_fault bad = !facts ? note_trailer(f) : f->twin ? HTTP_FAULT_NONE : note(facts, f);
        if (UNLIKELY(bad)) return h1_refuse(bad, fault);
    }
}
