#include "store/record.h"

#include "base/utf8.h"

static const struct json_limits limits = {.max_bytes = RECORD_MAX,
                                          .max_depth = 8,
                                          .max_values = 1024,
                                          .max_members = 256,
                                          .max_number = 20};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool record_name_ok(str s)
{
    if (s.n == 0 || s.n > RECORD_NAME_MAX || !is_letter(s.p[0])) return false;
    for (size_t i = 1; i < s.n; i++)
        if (!is_letter(s.p[i]) && !is_digit(s.p[i]) && s.p[i] != '_' && s.p[i] != '-') return false;
    return true;
}

bool record_grant_ok(str s)
{
    if (s.n == 0 || s.n > RECORD_NAME_MAX) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c <= ' ' || c > '~' || c == '"' || c == ',' || c == '\\') return false;
    }
    return true;
}

bool record_text_ok(str s)
{
    if (s.n > RECORD_TEXT_MAX || !utf8_valid(s)) return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f) return false;
    return true;
}

str record_key_join(struct record_key *k, const str *parts, size_t n)
{
    k->n = 0;
    for (size_t i = 0; i < n; i++) {
        size_t slash = i ? 1 : 0;
        if (parts[i].n + slash > sizeof k->p - k->n) return STR_NONE;
        if (slash) k->p[k->n++] = '/';
        if (parts[i].n) memcpy(k->p + k->n, parts[i].p, parts[i].n);
        k->n += parts[i].n;
    }
    return str_make(k->p, k->n);
}

str record_key_end(struct record_key *k, str prefix)
{
    if (prefix.n == 0 || prefix.n > sizeof k->p) return STR_NONE;
    memcpy(k->p, prefix.p, prefix.n);
    k->n = prefix.n;
    k->p[k->n - 1]++; /* '/' becomes '0' */
    return str_make(k->p, k->n);
}

/* --- writing --- */

void record_begin(struct buf *b)
{
    buf_putc(b, '{');
}

static void put_name(struct buf *b, const char *name)
{
    buf_puts(b, b->n && b->p[b->n - 1] == '{' ? "\"" : ",\"");
    buf_puts(b, name);
    buf_puts(b, "\":");
}

void record_put_str(struct buf *b, const char *name, str value)
{
    if (!value.n) return;
    put_name(b, name);
    buf_putc(b, '"');
    buf_put_json(b, value);
    buf_putc(b, '"');
}

void record_put_u64(struct buf *b, const char *name, uint64_t value)
{
    put_name(b, name);
    buf_put_u64(b, value);
}

void record_put_i64(struct buf *b, const char *name, int64_t value)
{
    put_name(b, name);
    buf_printf(b, "%lld", (long long)value);
}

void record_put_true(struct buf *b, const char *name, bool value)
{
    if (!value) return;
    put_name(b, name);
    buf_puts(b, "true");
}

void record_put_list(struct buf *b, const char *name, const str *values, uint32_t n)
{
    put_name(b, name);
    buf_putc(b, '[');
    for (uint32_t i = 0; i < n; i++) {
        buf_puts(b, i ? ",\"" : "\"");
        buf_put_json(b, values[i]);
        buf_putc(b, '"');
    }
    buf_putc(b, ']');
}

void record_put_digest(struct buf *b, const char *name, const unsigned char digest[SHA256_LEN])
{
    static const char hex[] = "0123456789abcdef";
    char text[2 * SHA256_LEN];
    for (size_t i = 0; i < SHA256_LEN; i++) {
        text[2 * i] = hex[digest[i] >> 4];
        text[2 * i + 1] = hex[digest[i] & 15];
    }
    record_put_str(b, name, str_make(text, sizeof text));
}

enum err record_end(struct buf *b, size_t start)
{
    buf_putc(b, '}');
    if (b->bad) return b->n + 1 >= b->max ? ERR_LIMIT : ERR_NO_MEMORY;
    return b->n - start > RECORD_MAX ? ERR_LIMIT : ERR_OK;
}

/* --- reading --- */

enum err record_open(struct record_reader *r, str value, struct arena *mem)
{
    const struct json *v;
    enum err e = json_parse(value, &limits, mem, &v, NULL, NULL);
    if (e != ERR_OK) return e;
    if (v->type != JSON_OBJECT) return ERR_MALFORMED;
    *r = (struct record_reader){.object = v, .mem = mem};
    return ERR_OK;
}

void record_refuse(struct record_reader *r)
{
    if (r->err == ERR_OK) r->err = ERR_MALFORMED;
}

str record_str_if(struct record_reader *r, const char *name)
{
    const struct json *v = json_get(r->object, str_of(name));
    if (!v) return STR_NONE;
    if (v->type != JSON_STRING) {
        record_refuse(r);
        return STR_NONE;
    }
    return v->text;
}

str record_str(struct record_reader *r, const char *name)
{
    str s = record_str_if(r, name);
    if (!s.n) record_refuse(r);
    return s;
}

int64_t record_i64_if(struct record_reader *r, const char *name)
{
    const struct json *v = json_get(r->object, str_of(name));
    int64_t n = 0;
    if (v && json_int(v, &n) != ERR_OK) record_refuse(r);
    return n;
}

uint64_t record_u64_if(struct record_reader *r, const char *name)
{
    int64_t n = record_i64_if(r, name);
    if (n >= 0) return (uint64_t)n;
    record_refuse(r);
    return 0;
}

uint64_t record_u64(struct record_reader *r, const char *name)
{
    if (!json_get(r->object, str_of(name))) record_refuse(r);
    return record_u64_if(r, name);
}

bool record_true(struct record_reader *r, const char *name)
{
    const struct json *v = json_get(r->object, str_of(name));
    if (!v) return false;
    if (v->type != JSON_TRUE && v->type != JSON_FALSE) record_refuse(r);
    return v->type == JSON_TRUE;
}

void record_list(struct record_reader *r, const char *name, const str **values, uint32_t *n)
{
    const struct json *v = json_get(r->object, str_of(name));
    *values = NULL;
    *n = 0;
    if (!v) return;
    if (v->type != JSON_ARRAY || v->count > RECORD_NAMES_MAX) {
        record_refuse(r);
        return;
    }
    str *out = arena_array(r->mem, v->count ? v->count : 1, sizeof *out);
    if (!out) {
        if (r->err == ERR_OK) r->err = ERR_NO_MEMORY;
        return;
    }
    uint32_t i = 0;
    for (const struct json *m = v->first; m; m = m->next) {
        out[i] = json_text(m);
        if (!record_grant_ok(out[i++])) record_refuse(r);
    }
    *values = out;
    *n = v->count;
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool record_digest_if(struct record_reader *r, const char *name, unsigned char out[SHA256_LEN])
{
    str s = record_str_if(r, name);
    memset(out, 0, SHA256_LEN);
    if (!s.p) return false;
    if (s.n != 2 * SHA256_LEN) {
        record_refuse(r);
        return false;
    }
    for (size_t i = 0; i < SHA256_LEN; i++) {
        int high = hex_of(s.p[2 * i]), low = hex_of(s.p[2 * i + 1]);
        if (high < 0 || low < 0) {
            record_refuse(r);
            return false;
        }
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

void record_digest(struct record_reader *r, const char *name, unsigned char out[SHA256_LEN])
{
    if (!record_digest_if(r, name, out)) record_refuse(r);
}
