#include "base/clock.h"
#include "base/log_line.h"
#include "base/log_sink.h"

#include <stdatomic.h>

static _Atomic int threshold = LOG_LEVEL_INFO;

static const char *const names[] = {"debug", "info", "warn", "error", "off"};

const char *log_level_name(enum log_level level)
{
    return (unsigned)level < ARRAY_LEN(names) ? names[level] : "error";
}

enum err log_level_of(str name, enum log_level *out)
{
    for (unsigned i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
        if (!str_eq(name, str_of(names[i]))) continue;
        *out = (enum log_level)i;
        return ERR_OK;
    }
    return ERR_MALFORMED;
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed) && level < LOG_LEVEL_OFF;
}

static void put_value(struct log_line *l, const struct log_field *f, bool text)
{
    char room[LOG_VALUE_MAX];
    switch (f->type) {
    case LOG_TYPE_U64: log_line_u64(l, f->value.u); return;
    case LOG_TYPE_I64: log_line_i64(l, f->value.i); return;
    case LOG_TYPE_BOOL: log_line_raw(l, f->value.b ? STR("true") : STR("false")); return;
    case LOG_TYPE_MSG:
    case LOG_TYPE_STR: break;
    }
    /* Cut before looking for secrets: then what is looked at is what is written. */
    str s = str_first(f->value.s, LOG_VALUE_MAX);
    if (s.n < f->value.s.n) l->cut = true;
    s = log_redact(s, room, sizeof room);
    if (text) {
        if (f->type == LOG_TYPE_MSG)
            log_line_json(l, s, LOG_VALUE_MAX, true);
        else
            log_line_word(l, s, LOG_VALUE_MAX);
        return;
    }
    log_line_lit(l, "\"");
    log_line_json(l, s, LOG_VALUE_MAX, false);
    log_line_lit(l, "\"");
}

/* A field for which there might not be room any more is left out whole. */
static void put_field(struct log_line *l, const struct log_field *f, bool text)
{
    str name = str_of(f->name);
    size_t value = 20; /* a number */
    if (f->type == LOG_TYPE_STR) value = f->value.s.n < LOG_VALUE_MAX / 6 ? f->value.s.n * 6 : LOG_VALUE_MAX;
    if (name.n + value + 16 > l->cap - l->n) {
        l->cut = true;
        return;
    }
    log_line_raw(l, text ? STR(" ") : STR(",\""));
    log_line_raw(l, name);
    log_line_raw(l, text ? STR("=") : STR("\":"));
    put_value(l, f, text);
}

/* sd-daemon(3), as syslog counts: 3 error, 4 warning, 6 informational, 7 debug. */
static str priority(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_DEBUG: return STR("<7>");
    case LOG_LEVEL_INFO: return STR("<6>");
    case LOG_LEVEL_WARN: return STR("<4>");
    case LOG_LEVEL_ERROR:
    case LOG_LEVEL_OFF: break;
    }
    return STR("<3>");
}

static const struct log_field *message(const struct log_field *fields, size_t n)
{
    static const struct log_field none = {"msg", LOG_TYPE_MSG, {.s = STR_INIT("")}};
    for (size_t i = 0; i < n; i++)
        if (fields[i].type == LOG_TYPE_MSG) return &fields[i];
    return &none;
}

size_t log_render(char out[LOG_LINE_MAX], enum log_level level, const char *role, uint64_t unix_ms, bool text,
                  const struct log_field *fields, size_t n)
{
    enum { TAIL = sizeof ",\"cut\":true}\n" };
    struct log_line l = {.p = out, .cap = LOG_LINE_MAX - TAIL};
    if (text) {
        log_line_time(&l, unix_ms);
        l.n -= CLOCK_RFC3339_LEN;
        memmove(l.p, l.p + 11, 12); /* the time of day is what one looks for on a terminal */
        l.n += 12;
        log_line_lit(&l, " ");
        log_line_raw(&l, str_of(log_level_name(level)));
        for (size_t i = strlen(log_level_name(level)); i < 6; i++) log_line_lit(&l, " ");
        put_value(&l, message(fields, n), true);
    } else {
        if (log_has_priority()) log_line_raw(&l, priority(level));
        log_line_lit(&l, "{\"ts\":\"");
        log_line_time(&l, unix_ms);
        log_line_lit(&l, "\",\"level\":\"");
        log_line_raw(&l, str_of(log_level_name(level)));
        log_line_lit(&l, "\",\"role\":\"");
        log_line_json(&l, str_of(role), 64, false);
        log_line_lit(&l, "\",\"msg\":");
        struct log_field msg = *message(fields, n);
        msg.type = LOG_TYPE_STR;
        put_value(&l, &msg, false);
    }
    for (size_t i = 0; i < n; i++)
        if (fields[i].type != LOG_TYPE_MSG) put_field(&l, &fields[i], text);
    l.cap = LOG_LINE_MAX;
    if (text)
        log_line_raw(&l, l.cut ? STR(" …\n") : STR("\n"));
    else
        log_line_raw(&l, l.cut ? STR(",\"cut\":true}\n") : STR("}\n"));
    return l.n;
}

void log_write(enum log_level level, const struct log_field *fields, size_t n)
{
    if (!log_enabled(level)) return;
    char line[LOG_LINE_MAX];
    size_t len = log_render(line, level, log_role(), clock_wall_ms(), log_is_text(), fields, n);
    log_sink_put(str_make(line, len));
}
