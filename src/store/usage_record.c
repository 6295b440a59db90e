#include "store/usage_record.h"

#include <stdio.h>

const char *const usage_count_names[USAGE_COUNTS] = {"requests", "permitted", "denied",
                                                     "limited",  "bytes_in",  "bytes_out"};

#define DIGITS 10

str usage_record_hour(struct record_key *k, int64_t hour_s)
{
    char hour[32];
    if (hour_s < 0 || hour_s > INT64_C(9999999999)) return STR_NONE;
    int n = snprintf(hour, sizeof hour, "%0*lld", DIGITS, (long long)hour_s);
    return record_key_join(k, (const str[]){STR("usage"), str_make(hour, (size_t)n), STR("")}, 3);
}

str usage_record_key(struct record_key *k, int64_t hour_s, str process, uint32_t part)
{
    char hour[32], number[16];
    if (hour_s < 0 || hour_s > INT64_C(9999999999)) return STR_NONE;
    int n = snprintf(hour, sizeof hour, "%0*lld", DIGITS, (long long)hour_s);
    int m = snprintf(number, sizeof number, "%u", part);
    return record_key_join(k,
                           (const str[]){STR("usage"), str_make(hour, (size_t)n), process, str_make(number, (size_t)m)},
                           4);
}

enum err usage_record_hour_of(str key, int64_t *hour_s)
{
    uint64_t n;
    if (!str_starts(key, STR("usage/")) || key.n < 6 + DIGITS + 1 || key.p[6 + DIGITS] != '/') return ERR_MALFORMED;
    if (str_to_u64(str_first(str_from(key, 6), DIGITS), &n) != ERR_OK) return ERR_MALFORMED;
    *hour_s = (int64_t)n;
    return ERR_OK;
}

enum err usage_record_put(struct buf *b, const struct usage_row *rows, uint32_t n)
{
    size_t start = b->n;
    if (n > USAGE_ROWS_MAX) return ERR_LIMIT;
    record_begin(b);
    buf_puts(b, "\"rows\":[");
    for (uint32_t i = 0; i < n; i++) {
        const str names[] = {rows[i].product, rows[i].action, rows[i].caller};
        buf_puts(b, i ? ",[" : "[");
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            buf_puts(b, k ? ",\"" : "\"");
            buf_put_json(b, names[k]);
            buf_putc(b, '"');
        }
        for (size_t k = 0; k < USAGE_COUNTS; k++) {
            buf_putc(b, ',');
            buf_put_u64(b, rows[i].counts[k]);
        }
        buf_putc(b, ']');
    }
    buf_putc(b, ']');
    return record_end(b, start);
}

static enum err read_row(const struct json *v, struct usage_row *row)
{
    if (v->type != JSON_ARRAY || v->count != 3 + USAGE_COUNTS) return ERR_MALFORMED;
    str *const names[] = {&row->product, &row->action, &row->caller};
    const struct json *at = v->first;
    for (size_t k = 0; k < ARRAY_LEN(names); k++, at = at->next) {
        if (at->type != JSON_STRING) return ERR_MALFORMED;
        *names[k] = at->text;
    }
    for (size_t k = 0; k < USAGE_COUNTS; k++, at = at->next)
        if (at->type != JSON_NUMBER || str_to_u64(at->text, &row->counts[k]) != ERR_OK) return ERR_MALFORMED;
    return ERR_OK;
}

enum err usage_record_read(str value, struct arena *mem, struct usage_row *rows, uint32_t *n)
{
    struct record_reader r;
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    const struct json *all = json_get(r.object, STR("rows"));
    if (!all || all->type != JSON_ARRAY) return ERR_MALFORMED;
    if (all->count > USAGE_ROWS_MAX) return ERR_LIMIT;
    uint32_t count = 0;
    for (const struct json *v = all->first; v; v = v->next) {
        e = read_row(v, &rows[count++]);
        if (e != ERR_OK) return e;
    }
    *n = count;
    return ERR_OK;
}
