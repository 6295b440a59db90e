#include "policy/mistakes.h"

#include <stdio.h>

#define DISTANCE_TEXT_MAX 64

void mistakes_init(struct mistakes *m, struct arena *mem)
{
    *m = (struct mistakes){.mem = mem};
}

static struct mistake *add(struct mistakes *m, enum policy_fault fault, uint32_t at, uint32_t end, const char *fmt,
                           va_list args) __attribute__((format(printf, 5, 0)));

static struct mistake *add(struct mistakes *m, enum policy_fault fault, uint32_t at, uint32_t end, const char *fmt,
                           va_list args)
{
    char text[512];
    if (m->kept >= MISTAKES_MAX) return NULL;
    int len = vsnprintf(text, sizeof text, fmt, args);
    size_t n = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    struct mistake *x = arena_zalloc(m->mem, sizeof *x);
    if (!x) return NULL;
    *x = (struct mistake){.fault = fault, .at = at, .end = end < at ? at : end, .policy = m->policy};
    x->message = arena_copy(m->mem, str_make(text, n));
    if (!x->message.p) x->message = STR("out of memory");
    /* In the order of the text, whoever found them first. */
    struct mistake **place = &m->first;
    while (*place && (*place)->at <= at) place = &(*place)->next;
    x->next = *place;
    *place = x;
    m->kept++;
    return x;
}

void mistake(struct mistakes *m, enum policy_fault fault, uint32_t at, uint32_t end, str help, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct mistake *x = add(m, fault, at, end, fmt, args);
    va_end(args);
    m->n++;
    if (x && help.n) x->help = arena_copy(m->mem, help);
    if (x && !x->help.p) x->help.n = 0;
}

void mistake_warn(struct mistakes *m, enum policy_fault fault, uint32_t at, uint32_t end, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    struct mistake *x = add(m, fault, at, end, fmt, args);
    va_end(args);
    if (x) x->warning = true;
}

enum policy_fault mistakes_fault(const struct mistakes *m)
{
    for (const struct mistake *x = m->first; x; x = x->next)
        if (!x->warning) return x->fault;
    return m->n ? POLICY_FAULT_MEMORY : POLICY_FAULT_NONE;
}

enum err mistakes_err(const struct mistakes *m)
{
    if (!m->n) return ERR_OK;
    switch (mistakes_fault(m)) {
    case POLICY_FAULT_MEMORY: return ERR_NO_MEMORY;
    case POLICY_FAULT_LIMIT: return ERR_LIMIT;
    case POLICY_FAULT_NONE:
    case POLICY_FAULT_UTF8:
    case POLICY_FAULT_TOKEN:
    case POLICY_FAULT_ESCAPE:
    case POLICY_FAULT_NUMBER:
    case POLICY_FAULT_SYNTAX:
    case POLICY_FAULT_RESERVED:
    case POLICY_FAULT_SCOPE:
    case POLICY_FAULT_SLOT:
    case POLICY_FAULT_FUNCTION:
    case POLICY_FAULT_DUPLICATE:
    case POLICY_FAULT_JSON:
    case POLICY_FAULT_UNKNOWN:
    case POLICY_FAULT_TYPE:
    case POLICY_FAULT_IMPOSSIBLE:
    case POLICY_FAULT_CYCLE: break;
    }
    return ERR_MALFORMED;
}

static void print_place(const struct mistake *x, str file, str text, struct buf *out)
{
    uint32_t at = x->at < text.n ? x->at : (uint32_t)text.n;
    size_t line = 1, begin = 0;
    for (size_t i = 0; i < at; i++)
        if (text.p[i] == '\n') {
            line++;
            begin = i + 1;
        }
    size_t end = at; /* the place is always shown, whatever ends lines before it */
    while (end < text.n && text.p[end] != '\n' && text.p[end] != '\r') end++;
    size_t column = 1;
    for (size_t i = begin; i < at; i++) column += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    buf_put(out, file);
    buf_printf(out, ":%zu:%zu: %s", line, column, x->warning ? "warning: " : "");
    buf_put(out, x->message);
    buf_putc(out, '\n');
    /* A very long line is shown around the place only. */
    size_t from = at - begin > 100 ? at - 60 : begin;
    while (from > begin && ((unsigned char)text.p[from] & 0xc0) == 0x80) from--;
    if (end - from > 160) end = from + 160;
    buf_puts(out, "    ");
    for (size_t i = from; i < end; i++) buf_putc(out, (unsigned char)text.p[i] < 0x20 ? ' ' : text.p[i]);
    buf_puts(out, "\n    ");
    for (size_t i = from; i < at && i < end; i++)
        if (((unsigned char)text.p[i] & 0xc0) != 0x80) buf_putc(out, ' ');
    buf_putc(out, '^');
    for (size_t i = at + 1; i < x->end && i < end; i++)
        if (((unsigned char)text.p[i] & 0xc0) != 0x80) buf_putc(out, '~');
    buf_putc(out, '\n');
}

void mistakes_print(const struct mistakes *m, str file, str text, struct buf *out)
{
    for (const struct mistake *x = m->first; x; x = x->next) {
        if (text.p) {
            print_place(x, file, text, out);
        } else {
            buf_put(out, file);
            buf_puts(out, x->warning ? ": warning: " : ": ");
            buf_put(out, x->message);
            buf_putc(out, '\n');
        }
        if (x->help.n) {
            buf_puts(out, "    help: ");
            buf_put(out, x->help);
            buf_putc(out, '\n');
        }
    }
    uint32_t errors = 0;
    for (const struct mistake *x = m->first; x; x = x->next) errors += !x->warning;
    if (m->n > errors) {
        buf_put(out, file);
        buf_printf(out, ": and %u more\n", m->n - errors);
    }
}

unsigned text_distance(str a, str b, unsigned limit)
{
    unsigned row[DISTANCE_TEXT_MAX + 1];
    if (a.n > DISTANCE_TEXT_MAX || b.n > DISTANCE_TEXT_MAX) return limit + 1;
    if (a.n > b.n + limit || b.n > a.n + limit) return limit + 1;
    for (size_t j = 0; j <= b.n; j++) row[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            /* A difference of case alone counts as nothing, so that it always wins. */
            char x = a.p[i - 1], y = b.p[j - 1];
            if (x >= 'A' && x <= 'Z') x = (char)(x + 32);
            if (y >= 'A' && y <= 'Z') y = (char)(y + 32);
            unsigned best = diagonal + (x != y);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b.n] > limit ? limit + 1 : row[b.n];
}

str mistake_did_you_mean(struct arena *mem, str given, const str *candidates, size_t n)
{
    unsigned limit = given.n <= 3 ? 1 : given.n <= 8 ? 2 : 3, best = limit + 1;
    size_t which = n;
    for (size_t i = 0; i < n && i < 10000; i++) {
        unsigned d = text_distance(given, candidates[i], limit);
        if (d < best && !str_eq(given, candidates[i])) {
            best = d;
            which = i;
        }
    }
    if (which == n) return STR_NONE;
    return arena_printf(mem, "did you mean `%.*s`?", STR_ARG(candidates[which]));
}

const char *policy_fault_name(enum policy_fault f)
{
    static const char *const names[] = {"none",     "utf8",  "token",      "escape",   "number",    "syntax",
                                        "reserved", "scope", "slot",       "function", "duplicate", "json",
                                        "unknown",  "type",  "impossible", "cycle",    "limit",     "memory"};
    return (size_t)f < ARRAY_LEN(names) ? names[f] : "none";
}
