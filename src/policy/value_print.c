#include "policy/value.h"

#include "base/utf8.h"
#include "policy/ext.h"

#include <inttypes.h>

static const str keywords[] = {STR_INIT("true"), STR_INIT("false"),  STR_INIT("if"), STR_INIT("then"),
                               STR_INIT("else"), STR_INIT("in"),     STR_INIT("is"), STR_INIT("like"),
                               STR_INIT("has"),  STR_INIT("__cedar")};

bool cedar_is_ident(str s)
{
    if (s.n == 0 || (s.p[0] >= '0' && s.p[0] <= '9')) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!ok) return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (str_eq(s, keywords[i])) return false;
    return true;
}

bool cedar_is_name(str s)
{
    for (;;) {
        size_t i = 0;
        while (i + 1 < s.n && !(s.p[i] == ':' && s.p[i + 1] == ':')) i++;
        if (i + 1 >= s.n) return cedar_is_ident(s);
        if (!cedar_is_ident(str_first(s, i))) return false;
        s = str_from(s, i + 2);
    }
}

const char *value_kind_name(enum value_kind k)
{
    static const char *const names[] = {"nothing",       "a boolean",  "a long",     "a string",
                                        "an entity",     "a set",      "a record",   "a decimal",
                                        "an IP address", "a datetime", "a duration", "unknown"};
    return (size_t)k < ARRAY_LEN(names) ? names[k] : "nothing";
}

void cedar_quote(str s, struct buf *out)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        switch (c) {
        case '"': buf_puts(out, "\\\""); break;
        case '\\': buf_puts(out, "\\\\"); break;
        case '\n': buf_puts(out, "\\n"); break;
        case '\r': buf_puts(out, "\\r"); break;
        case '\t': buf_puts(out, "\\t"); break;
        case 0: buf_puts(out, "\\0"); break;
        default:
            if (c < 0x20 || c == 0x7f)
                buf_printf(out, "\\u{%x}", c);
            else
                buf_putc(out, (char)c);
        }
    }
    buf_putc(out, '"');
}

void uid_print(const struct uid *u, struct buf *out)
{
    buf_put(out, u->type);
    buf_puts(out, "::");
    cedar_quote(u->id, out);
}

void value_print(const struct value *v, struct buf *out)
{
    switch ((enum value_kind)v->kind) {
    case VALUE_NONE: break;
    case VALUE_BOOL: buf_puts(out, v->boolean ? "true" : "false"); break;
    case VALUE_LONG: buf_printf(out, "%" PRId64, v->integer); break;
    case VALUE_STRING: cedar_quote(value_text(v), out); break;
    case VALUE_ENTITY: uid_print(v->uid, out); break;
    case VALUE_SET:
        buf_putc(out, '[');
        for (uint32_t i = 0; i < v->n; i++) {
            if (i) buf_puts(out, ", ");
            value_print(&v->items[i], out);
        }
        buf_putc(out, ']');
        break;
    case VALUE_RECORD:
        buf_putc(out, '{');
        for (uint32_t i = 0; i < v->n; i++) {
            if (i) buf_puts(out, ", ");
            if (cedar_is_ident(v->attrs[i].name))
                buf_put(out, v->attrs[i].name);
            else
                cedar_quote(v->attrs[i].name, out);
            buf_puts(out, ": ");
            value_print(&v->attrs[i].value, out);
        }
        buf_putc(out, '}');
        break;
    case VALUE_DECIMAL:
    case VALUE_IP:
    case VALUE_DATETIME:
    case VALUE_DURATION: ext_print(v, out); break;
    case VALUE_UNKNOWN:
        buf_puts(out, "unknown(");
        cedar_quote(value_text(v), out);
        buf_putc(out, ')');
        break;
    }
}

static void put_json_string(str s, struct buf *out)
{
    buf_putc(out, '"');
    buf_put_json(out, s);
    buf_putc(out, '"');
}

void value_print_json(const struct value *v, struct buf *out)
{
    switch ((enum value_kind)v->kind) {
    case VALUE_NONE: buf_puts(out, "null"); break;
    case VALUE_BOOL: buf_puts(out, v->boolean ? "true" : "false"); break;
    case VALUE_LONG: buf_printf(out, "%" PRId64, v->integer); break;
    case VALUE_STRING: put_json_string(value_text(v), out); break;
    case VALUE_ENTITY:
        buf_puts(out, "{\"__entity\":{\"type\":");
        put_json_string(v->uid->type, out);
        buf_puts(out, ",\"id\":");
        put_json_string(v->uid->id, out);
        buf_puts(out, "}}");
        break;
    case VALUE_SET:
        buf_putc(out, '[');
        for (uint32_t i = 0; i < v->n; i++) {
            if (i) buf_putc(out, ',');
            value_print_json(&v->items[i], out);
        }
        buf_putc(out, ']');
        break;
    case VALUE_RECORD:
        buf_putc(out, '{');
        for (uint32_t i = 0; i < v->n; i++) {
            if (i) buf_putc(out, ',');
            put_json_string(v->attrs[i].name, out);
            buf_putc(out, ':');
            value_print_json(&v->attrs[i].value, out);
        }
        buf_putc(out, '}');
        break;
    case VALUE_DECIMAL:
    case VALUE_IP:
    case VALUE_DATETIME:
    case VALUE_DURATION: ext_print_json(v, out); break;
    case VALUE_UNKNOWN:
        buf_puts(out, "{\"__extn\":{\"fn\":\"unknown\",\"arg\":");
        put_json_string(value_text(v), out);
        buf_puts(out, "}}");
        break;
    }
}
