#include "json_oracle.h"

#include <jansson.h>

static void put_string(struct buf *b, const char *p, size_t n)
{
    buf_printf(b, "s%zu:", n);
    buf_put(b, str_make(p, n));
}

static void put(struct buf *b, json_t *v)
{
    size_t i;
    const char *name;
    json_t *child;
    switch (json_typeof(v)) {
    case JSON_NULL: buf_putc(b, 'n'); break;
    case JSON_TRUE: buf_putc(b, 't'); break;
    case JSON_FALSE: buf_putc(b, 'f'); break;
    case JSON_INTEGER: buf_printf(b, "i%" JSON_INTEGER_FORMAT ";", json_integer_value(v)); break;
    case JSON_REAL: buf_printf(b, "r%.17g;", json_real_value(v)); break;
    case JSON_STRING: put_string(b, json_string_value(v), json_string_length(v)); break;
    case JSON_ARRAY:
        buf_putc(b, '[');
        json_array_foreach(v, i, child) put(b, child);
        buf_putc(b, ']');
        break;
    case JSON_OBJECT:
        buf_putc(b, '{');
        json_object_foreach(v, name, child)
        {
            put_string(b, name, strlen(name));
            put(b, child);
        }
        buf_putc(b, '}');
        break;
    }
}

enum oracle json_oracle(str in, struct buf *canonical, const char **why)
{
    static json_error_t error;
    buf_clear(canonical);
    json_t *v = json_loadb(in.p, in.n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (why) *why = v ? "" : error.text;
    if (!v) {
        enum json_error_code code = json_error_code(&error);
        bool own_limit = code == json_error_null_byte_in_key || code == json_error_numeric_overflow ||
                         code == json_error_stack_overflow || code == json_error_out_of_memory;
        return own_limit ? ORACLE_CANNOT_SAY : ORACLE_REFUSES;
    }
    put(canonical, v);
    json_decref(v);
    return ORACLE_ACCEPTS;
}
