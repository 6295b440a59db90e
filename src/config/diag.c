#include "config/diag.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DIAGS_MEM (64u << 20) /* the source (4 MB at most) and the reports */
#define SHOW_MAX  150u        /* characters of a source line that are shown */
#define LEAD      60u         /* of these, before the caret when the line is longer */

/* A part of the source that is never shown. */
struct diag_hidden {
    struct diag_hidden *next;
    struct config_pos from, to;
};

void diags_init(struct diags *d, str file)
{
    *d = (struct diags){0};
    arena_init(&d->mem, NULL, 0, DIAGS_MEM);
    d->file = arena_copy(&d->mem, file);
    if (!d->file.p) d->lost = true;
}

void diags_free(struct diags *d)
{
    free(d->v);
    arena_reset(&d->mem);
    *d = (struct diags){0};
}

static bool make_room(struct diags *d)
{
    if (d->n < d->cap) return true;
    uint32_t cap = d->cap ? d->cap * 2 : 16;
    struct diag *v = realloc(d->v, cap * sizeof *v);
    if (!v) return false;
    d->v = v;
    d->cap = cap;
    return true;
}

void diag_add(struct diags *d, enum diag_level level, const char *code, struct config_pos at, uint32_t width, str fix,
              const char *fmt, ...)
{
    if (level == DIAG_ERROR)
        d->errors++;
    else
        d->warnings++;
    if (d->n >= DIAGS_MAX) return;
    va_list args;
    va_start(args, fmt);
    struct buf text;
    buf_init(&text, 4096);
    buf_vprintf(&text, fmt, args);
    va_end(args);
    struct diag one = {level, at, width ? width : 1, d->errors + d->warnings, code, STR_NONE, STR("")};
    one.text = arena_copy(&d->mem, buf_str(&text));
    if (fix.n) one.fix = arena_copy(&d->mem, fix);
    if (text.bad || !one.text.p || !one.fix.p || !make_room(d))
        d->lost = true;
    else
        d->v[d->n++] = one;
    buf_free(&text);
}

void diag_hide(struct diags *d, struct config_pos from, struct config_pos to)
{
    struct diag_hidden *h = arena_alloc(&d->mem, sizeof *h);
    if (!h) {
        d->lost = true;
        return;
    }
    *h = (struct diag_hidden){d->hidden, from, to};
    d->hidden = h;
}

static int by_place(const void *a, const void *b)
{
    const struct diag *x = a, *y = b;
    if (x->at.line != y->at.line) return x->at.line < y->at.line ? -1 : 1;
    if (x->at.column != y->at.column) return x->at.column < y->at.column ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

void diags_sort(struct diags *d)
{
    if (d->n) qsort(d->v, d->n, sizeof *d->v, by_place);
}

/* --- for people --- */

/* Text on its way to a terminal: no control characters, nothing that is not UTF-8. */
static void put_clean(struct buf *out, str s)
{
    for (size_t i = 0; i < s.n;) {
        size_t len = utf8_length(str_from(s, i));
        unsigned char c = (unsigned char)s.p[i];
        bool c1 = len == 2 && c == 0xc2 && (unsigned char)s.p[i + 1] < 0xa0;
        if (!len || c < 0x20 || c == 0x7f || c1)
            buf_putc(out, c == '\t' ? ' ' : '?');
        else
            buf_put(out, str_make(s.p + i, len));
        i += len ? len : 1;
    }
}

/* Bytes of the first n characters of s. */
static size_t bytes_of(str s, size_t n)
{
    size_t i = 0;
    for (; n && i < s.n; n--) {
        size_t len = utf8_length(str_from(s, i));
        i += len ? len : 1;
    }
    return i;
}

/* Line `line` of the source, without what must not be shown; *cut when something was left out at its end. */
static str visible_line(const struct diags *d, uint32_t line, bool *cut)
{
    str rest = d->source, s = {0};
    for (uint32_t i = 0; i < line; i++) s = str_cut(&rest, '\n');
    if (str_ends(s, STR("\r"))) s.n--;
    *cut = false;
    for (const struct diag_hidden *h = d->hidden; h; h = h->next) {
        if (line < h->from.line || line > h->to.line) continue;
        size_t keep = line == h->from.line ? bytes_of(s, h->from.column - 1) : 0;
        s = str_first(s, keep);
        *cut = true;
    }
    return s;
}

static void put_blanks(struct buf *out, size_t n)
{
    while (n--) buf_putc(out, ' ');
}

static void put_source(const struct diags *d, const struct diag *one, struct buf *out)
{
    bool cut;
    str s = visible_line(d, one->at.line, &cut);
    uint32_t column = one->at.column ? one->at.column - 1 : 0, skip = 0;
    if (column > SHOW_MAX - LEAD / 2) skip = column - LEAD;
    s = str_from(s, bytes_of(s, skip));
    size_t shown = bytes_of(s, SHOW_MAX);
    buf_printf(out, "%5u | %s", one->at.line, skip ? "…" : "");
    put_clean(out, str_first(s, shown));
    buf_puts(out, cut || shown < s.n ? "…\n      | " : "\n      | ");
    put_blanks(out, column - skip + (skip ? 1 : 0));
    buf_putc(out, '^');
    for (uint32_t i = 1; i < one->width && i < SHOW_MAX - LEAD; i++) buf_putc(out, '~');
    buf_putc(out, '\n');
}

static const char *level_name(enum diag_level level)
{
    return level == DIAG_ERROR ? "error" : "warning";
}

void diags_print(const struct diags *d, struct buf *out)
{
    for (uint32_t i = 0; i < d->n; i++) {
        const struct diag *one = &d->v[i];
        put_clean(out, d->file);
        if (one->at.line) buf_printf(out, ":%u:%u", one->at.line, one->at.column);
        buf_printf(out, ": %s: ", level_name(one->level));
        put_clean(out, one->text);
        buf_putc(out, '\n');
        if (one->at.line && d->source.n) put_source(d, one, out);
        if (!one->fix.n) continue;
        buf_puts(out, "      = ");
        put_clean(out, one->fix);
        buf_putc(out, '\n');
    }
    uint32_t all = d->errors + d->warnings;
    if (all > d->n) buf_printf(out, "and %u more\n", all - d->n);
    if (d->lost) buf_puts(out, "error: out of memory: not everything could be reported\n");
}

void diags_print_json(const struct diags *d, struct buf *out)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < d->n; i++) {
        const struct diag *one = &d->v[i];
        buf_printf(out, "%s{\"level\":\"%s\",\"code\":\"%s\",\"file\":\"", i ? ",\n " : "", level_name(one->level),
                   one->code);
        buf_put_json(out, d->file);
        buf_printf(out, "\",\"line\":%u,\"column\":%u,\"text\":\"", one->at.line, one->at.column);
        buf_put_json(out, one->text);
        buf_puts(out, "\",\"fix\":\"");
        buf_put_json(out, one->fix);
        buf_puts(out, "\"}");
    }
    buf_puts(out, "]\n");
}
