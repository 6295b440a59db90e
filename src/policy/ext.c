#include "policy/ext.h"

#include <inttypes.h>
#include <stdlib.h>

#define DAY_MS INT64_C(86400000)

const struct ext_info ext_table[EXT_COUNT] = {
    [EXT_IP] = {STR_INIT("ip"), false, 1, {VALUE_STRING}, VALUE_IP},
    [EXT_IS_IPV4] = {STR_INIT("isIpv4"), true, 1, {VALUE_IP}, VALUE_BOOL},
    [EXT_IS_IPV6] = {STR_INIT("isIpv6"), true, 1, {VALUE_IP}, VALUE_BOOL},
    [EXT_IS_LOOPBACK] = {STR_INIT("isLoopback"), true, 1, {VALUE_IP}, VALUE_BOOL},
    [EXT_IS_MULTICAST] = {STR_INIT("isMulticast"), true, 1, {VALUE_IP}, VALUE_BOOL},
    [EXT_IS_IN_RANGE] = {STR_INIT("isInRange"), true, 2, {VALUE_IP, VALUE_IP}, VALUE_BOOL},
    [EXT_DECIMAL] = {STR_INIT("decimal"), false, 1, {VALUE_STRING}, VALUE_DECIMAL},
    [EXT_LESS_THAN] = {STR_INIT("lessThan"), true, 2, {VALUE_DECIMAL, VALUE_DECIMAL}, VALUE_BOOL},
    [EXT_LESS_THAN_OR_EQUAL] = {STR_INIT("lessThanOrEqual"), true, 2, {VALUE_DECIMAL, VALUE_DECIMAL}, VALUE_BOOL},
    [EXT_GREATER_THAN] = {STR_INIT("greaterThan"), true, 2, {VALUE_DECIMAL, VALUE_DECIMAL}, VALUE_BOOL},
    [EXT_GREATER_THAN_OR_EQUAL] = {STR_INIT("greaterThanOrEqual"), true, 2, {VALUE_DECIMAL, VALUE_DECIMAL}, VALUE_BOOL},
    [EXT_DATETIME] = {STR_INIT("datetime"), false, 1, {VALUE_STRING}, VALUE_DATETIME},
    [EXT_DURATION] = {STR_INIT("duration"), false, 1, {VALUE_STRING}, VALUE_DURATION},
    [EXT_OFFSET] = {STR_INIT("offset"), true, 2, {VALUE_DATETIME, VALUE_DURATION}, VALUE_DATETIME},
    [EXT_DURATION_SINCE] = {STR_INIT("durationSince"), true, 2, {VALUE_DATETIME, VALUE_DATETIME}, VALUE_DURATION},
    [EXT_TO_DATE] = {STR_INIT("toDate"), true, 1, {VALUE_DATETIME}, VALUE_DATETIME},
    [EXT_TO_TIME] = {STR_INIT("toTime"), true, 1, {VALUE_DATETIME}, VALUE_DURATION},
    [EXT_TO_MILLISECONDS] = {STR_INIT("toMilliseconds"), true, 1, {VALUE_DURATION}, VALUE_LONG},
    [EXT_TO_SECONDS] = {STR_INIT("toSeconds"), true, 1, {VALUE_DURATION}, VALUE_LONG},
    [EXT_TO_MINUTES] = {STR_INIT("toMinutes"), true, 1, {VALUE_DURATION}, VALUE_LONG},
    [EXT_TO_HOURS] = {STR_INIT("toHours"), true, 1, {VALUE_DURATION}, VALUE_LONG},
    [EXT_TO_DAYS] = {STR_INIT("toDays"), true, 1, {VALUE_DURATION}, VALUE_LONG},
};

enum ext_fn ext_find(str name)
{
    for (int i = 0; i < EXT_COUNT; i++)
        if (str_eq(ext_table[i].name, name)) return (enum ext_fn)i;
    return EXT_COUNT;
}

static enum ext_fault make(enum ext_fn fn, str s, struct arena *mem, struct value *out)
{
    struct value v = {.kind = (uint8_t)ext_table[fn].result};
    bool ok;
    if (fn == EXT_IP) {
        uint8_t bytes[16] = {0};
        ok = ext_parse_ip(s, bytes, &v.v6, &v.prefix);
        if (ok) {
            uint8_t *copy = arena_alloc(mem, sizeof bytes);
            if (!copy) return EXT_FAULT_MEMORY;
            memcpy(copy, bytes, sizeof bytes);
            v.ip = copy;
        }
    } else if (fn == EXT_DECIMAL) {
        ok = ext_parse_decimal(s, &v.integer);
    } else if (fn == EXT_DATETIME) {
        ok = ext_parse_datetime(s, &v.integer);
    } else {
        ok = ext_parse_duration(s, &v.integer);
    }
    if (!ok) return EXT_FAULT_TEXT;
    *out = v;
    return EXT_FAULT_NONE;
}

static int64_t day_part(int64_t ms)
{
    int64_t r = ms % DAY_MS;
    return r < 0 ? r + DAY_MS : r;
}

enum ext_fault ext_call(enum ext_fn fn, const struct value *args, uint32_t n, struct arena *mem, struct value *out)
{
    const struct ext_info *info = &ext_table[fn];
    if (n != info->arity) return EXT_FAULT_ARITY;
    for (uint32_t i = 0; i < n; i++)
        if (args[i].kind != info->args[i]) return EXT_FAULT_TYPE;
    const struct value *a = &args[0], *b = n > 1 ? &args[1] : NULL;
    struct value v = {.kind = (uint8_t)info->result};
    switch (fn) {
    case EXT_IP:
    case EXT_DECIMAL:
    case EXT_DATETIME:
    case EXT_DURATION: return make(fn, value_text(a), mem, out);
    case EXT_IS_IPV4: v.boolean = !a->v6; break;
    case EXT_IS_IPV6: v.boolean = a->v6; break;
    case EXT_IS_LOOPBACK: v.boolean = ext_ip_is_loopback(a); break;
    case EXT_IS_MULTICAST: v.boolean = ext_ip_is_multicast(a); break;
    case EXT_IS_IN_RANGE: v.boolean = ext_ip_in_range(a, b); break;
    case EXT_LESS_THAN: v.boolean = a->integer < b->integer; break;
    case EXT_LESS_THAN_OR_EQUAL: v.boolean = a->integer <= b->integer; break;
    case EXT_GREATER_THAN: v.boolean = a->integer > b->integer; break;
    case EXT_GREATER_THAN_OR_EQUAL: v.boolean = a->integer >= b->integer; break;
    case EXT_OFFSET:
        if (__builtin_add_overflow(a->integer, b->integer, &v.integer)) return EXT_FAULT_OVERFLOW;
        break;
    case EXT_DURATION_SINCE:
        if (__builtin_sub_overflow(a->integer, b->integer, &v.integer)) return EXT_FAULT_OVERFLOW;
        break;
    case EXT_TO_DATE:
        if (__builtin_sub_overflow(a->integer, day_part(a->integer), &v.integer)) return EXT_FAULT_OVERFLOW;
        break;
    case EXT_TO_TIME: v.integer = day_part(a->integer); break;
    case EXT_TO_MILLISECONDS: v.integer = a->integer; break;
    case EXT_TO_SECONDS: v.integer = a->integer / 1000; break;
    case EXT_TO_MINUTES: v.integer = a->integer / 60000; break;
    case EXT_TO_HOURS: v.integer = a->integer / 3600000; break;
    case EXT_TO_DAYS: v.integer = a->integer / DAY_MS; break;
    case EXT_COUNT: return EXT_FAULT_ARITY;
    }
    *out = v;
    return EXT_FAULT_NONE;
}

/* The inside of the constructor's string literal. */
static void print_text(const struct value *v, struct buf *out)
{
    if (v->kind == VALUE_IP) {
        ext_ip_print(v, out);
    } else if (v->kind == VALUE_DECIMAL) {
        uint64_t abs = v->integer < 0 ? -(uint64_t)v->integer : (uint64_t)v->integer;
        buf_printf(out, "%s%" PRIu64 ".%04" PRIu64, v->integer < 0 ? "-" : "", abs / 10000, abs % 10000);
    } else {
        buf_printf(out, "%" PRId64 "ms", v->integer);
    }
}

void ext_print(const struct value *v, struct buf *out)
{
    /* A datetime of any size reads back only as an offset from the epoch. */
    if (v->kind == VALUE_DATETIME) buf_puts(out, "datetime(\"1970-01-01\").offset(duration(\"");
    if (v->kind == VALUE_IP) buf_puts(out, "ip(\"");
    if (v->kind == VALUE_DECIMAL) buf_puts(out, "decimal(\"");
    if (v->kind == VALUE_DURATION) buf_puts(out, "duration(\"");
    print_text(v, out);
    buf_puts(out, v->kind == VALUE_DATETIME ? "\"))" : "\")");
}

void ext_print_json(const struct value *v, struct buf *out)
{
    if (v->kind == VALUE_DATETIME) {
        buf_puts(out,
                 "{\"__extn\":{\"fn\":\"offset\",\"args\":[{\"__extn\":{\"fn\":\"datetime\",\"arg\":\"1970-01-01\"}},"
                 "{\"__extn\":{\"fn\":\"duration\",\"arg\":\"");
        print_text(v, out);
        buf_puts(out, "\"}}]}}");
        return;
    }
    buf_printf(out, "{\"__extn\":{\"fn\":\"%s\",\"arg\":\"",
               v->kind == VALUE_IP        ? "ip"
               : v->kind == VALUE_DECIMAL ? "decimal"
                                          : "duration");
    print_text(v, out);
    buf_puts(out, "\"}}");
}
