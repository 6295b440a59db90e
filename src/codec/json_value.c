/* What is asked of a JSON value once it is read: members, texts, exact numbers. */
#include "codec/json.h"

const char *json_fault_name(enum json_fault f)
{
    switch (f) {
    case JSON_FAULT_NONE: return "none";
    case JSON_FAULT_SYNTAX: return "syntax";
    case JSON_FAULT_TRAILING: return "trailing_or_empty";
    case JSON_FAULT_UTF8: return "bad_utf8";
    case JSON_FAULT_DUPLICATE: return "duplicate_member";
    case JSON_FAULT_DEPTH: return "too_deep";
    case JSON_FAULT_SIZE: return "too_large";
    case JSON_FAULT_MEMBERS: return "too_many_values";
    case JSON_FAULT_NUMBER: return "number_too_long";
    case JSON_FAULT_MEMORY: return "out_of_memory";
    }
    return "unknown";
}

const struct json *json_get(const struct json *v, str name)
{
    if (!v || v->type != JSON_OBJECT) return NULL;
    for (const struct json *m = v->first; m; m = m->next)
        if (str_eq(m->name, name)) return m;
    return NULL;
}

str json_text(const struct json *v)
{
    return v && v->type == JSON_STRING ? v->text : STR_NONE;
}

enum err json_int(const struct json *v, int64_t *out)
{
    if (!v || v->type != JSON_NUMBER) return ERR_MALFORMED;
    bool negative = str_starts(v->text, STR("-"));
    uint64_t n;
    enum err e = str_to_u64(str_from(v->text, negative), &n); /* refuses '.', 'e' and 'E' */
    if (e != ERR_OK) return e;
    if (n > (uint64_t)INT64_MAX + negative) return ERR_LIMIT;
    *out = negative ? (int64_t)(0 - n) : (int64_t)n;
    return ERR_OK;
}

/* A number as written, taken apart: value = 0.D1 D2 D3 … × 10^point, over `digits`, which may hold one '.'. */
struct decimal {
    bool negative;
    str digits;
    int64_t point;
};

static struct decimal take_apart(str t)
{
    struct decimal d = {.negative = str_starts(t, STR("-"))};
    t = str_from(t, d.negative);
    size_t n = 0;
    while (n < t.n && t.p[n] != 'e' && t.p[n] != 'E') n++;
    d.digits = str_first(t, n);
    d.point = (int64_t)str_find(d.digits, '.');

    str exponent = str_from(t, n + 1);
    bool down = str_starts(exponent, STR("-"));
    if (down || str_starts(exponent, STR("+"))) exponent = str_from(exponent, 1);
    int64_t e = 0;
    /* no input is so long that an exponent beyond 10^12 could be made up for by digits */
    for (size_t i = 0; i < exponent.n && e < 1000000000000; i++) e = e * 10 + (exponent.p[i] - '0');
    d.point += down ? -e : e;
    return d;
}

enum err json_date(const struct json *v, int64_t *out, bool *fraction)
{
    if (!v || v->type != JSON_NUMBER) return ERR_MALFORMED;
    const uint64_t bound = (uint64_t)1 << 53;
    struct decimal d = take_apart(v->text);
    uint64_t whole = 0;
    bool rest = false, zero = true;
    int64_t place = 0; /* how many digits were looked at */
    for (size_t i = 0; i < d.digits.n; i++) {
        if (d.digits.p[i] == '.') continue;
        unsigned digit = (unsigned)(d.digits.p[i] - '0');
        if (digit) zero = false;
        if (place++ >= d.point) {
            rest |= digit != 0;
        } else {
            whole = whole * 10 + digit;
            if (whole >= bound) return ERR_LIMIT;
        }
    }
    for (; !zero && place < d.point; place++) {
        whole *= 10; /* not 0 here: all digits were in front of the point */
        if (whole >= bound) return ERR_LIMIT;
    }
    *out = d.negative ? -(int64_t)whole - rest : (int64_t)whole;
    *fraction = rest;
    return ERR_OK;
}
