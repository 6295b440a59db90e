/* What is wrong with a configuration: all mistakes at once, each with its place, its line and a hint.
 *
 * A `struct diags` collects; nothing is printed before the end, so that lines which may hold a secret can be kept
 * out of every message about them. Owner: the caller of config_load; one thread. Never aborts: when memory is out,
 * `lost` is set and counts as an error. */
#ifndef SALLYPORT_CONFIG_DIAG_H
#define SALLYPORT_CONFIG_DIAG_H

#include "base/arena.h"
#include "base/buf.h"

struct config_pos {
    uint32_t line, column; /* from 1, columns in characters; line 0: not from the file */
};

enum diag_level { DIAG_ERROR, DIAG_WARNING };

struct diag {
    enum diag_level level;
    struct config_pos at;
    uint32_t width;   /* characters the caret underlines, at least 1 */
    uint32_t order;   /* as reported */
    const char *code; /* a stable word: "unknown_key" */
    str text;         /* a sentence without full stop */
    str fix;          /* what to do about it; may be empty */
};

struct diags {
    struct arena mem;
    str file;   /* as named on the command line; for messages */
    str source; /* the file's bytes, or empty; borrowed from `mem` */
    struct diag *v;
    uint32_t n, cap;
    uint32_t errors, warnings; /* all that were reported, also those beyond the bound */
    struct diag_hidden *hidden;
    bool lost; /* memory ran out: something was not recorded */
};

/* At most this many are kept and shown; the rest is counted. */
#define DIAGS_MAX 1000

void diags_init(struct diags *d, str file);
void diags_free(struct diags *d);

/* Reports one. `fix` is a printf result made by the caller's arena or a literal, copied; may be STR_NONE. */
void diag_add(struct diags *d, enum diag_level level, const char *code, struct config_pos at, uint32_t width, str fix,
              const char *fmt, ...) PRINTF_LIKE(7, 8);

/* The source between the two places may hold a secret: no message shows it. */
void diag_hide(struct diags *d, struct config_pos from, struct config_pos to);

/* Sorts by place, then by order of report. */
void diags_sort(struct diags *d);

/* Everything as text for people: `file:line:column: error: text`, the source line, a caret, the fix. */
void diags_print(const struct diags *d, struct buf *out);
/* One JSON array of {"level","code","file","line","column","text","fix"}. */
void diags_print_json(const struct diags *d, struct buf *out);

static inline bool diags_ok(const struct diags *d)
{
    return d->errors == 0 && !d->lost;
}

#endif
