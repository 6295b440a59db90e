#include "exposition.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERIES = 20000, FAMILIES = 256 };

static struct {
    str series[SERIES];
    size_t series_n;
    str families[FAMILIES];
    str types[FAMILIES];
    size_t families_n;
    char fault[300];
    /* the histogram series being read */
    str buckets_of;
    double last, inf;
    bool have_inf;
} c;

static const char *wrong(const char *what, str line)
{
    snprintf(c.fault, sizeof c.fault, "%s: %.*s", what, (int)(line.n > 200 ? 200 : line.n), line.p);
    return c.fault;
}

static size_t name_length(str s, bool colon)
{
    size_t n = 0;
    while (n < s.n && (isalnum((unsigned char)s.p[n]) || s.p[n] == '_' || (colon && s.p[n] == ':'))) n++;
    return n && !isdigit((unsigned char)s.p[0]) ? n : 0;
}

/* The length of "{…}", 0 if malformed. */
static size_t labels_length(str s)
{
    size_t i = 1;
    while (i < s.n && s.p[i] != '}') {
        size_t n = name_length(str_from(s, i), false);
        if (!n || i + n + 1 >= s.n || s.p[i + n] != '=' || s.p[i + n + 1] != '"') return 0;
        for (i += n + 2; i < s.n && s.p[i] != '"'; i++) {
            if (s.p[i] != '\\') continue;
            if (++i >= s.n || (s.p[i] != '\\' && s.p[i] != '"' && s.p[i] != 'n')) return 0;
        }
        if (i++ >= s.n) return 0;
        if (i < s.n && s.p[i] == ',')
            i++;
        else if (i >= s.n || s.p[i] != '}')
            return 0;
    }
    return i < s.n ? i + 1 : 0;
}

static const char *comment(str line)
{
    str rest = str_from(line, 2);
    str kind = str_cut(&rest, ' '), name = str_cut(&rest, ' ');
    if (name_length(name, true) != name.n) return wrong("name of a family", line);
    if (str_eq(kind, STR("HELP"))) return NULL;
    if (!str_eq(kind, STR("TYPE"))) return wrong("neither HELP nor TYPE", line);
    for (size_t i = 0; i < c.families_n; i++)
        if (str_eq(c.families[i], name)) return wrong("family twice, or interrupted", line);
    if (c.families_n == FAMILIES) return wrong("too many families", line);
    if (!str_eq(rest, STR("counter")) && !str_eq(rest, STR("gauge")) && !str_eq(rest, STR("histogram")))
        return wrong("type", line);
    c.families[c.families_n] = name;
    c.types[c.families_n++] = rest;
    return NULL;
}

static str without(str name, const char *suffix)
{
    str s = str_of(suffix);
    return str_ends(name, s) ? str_first(name, name.n - s.n) : STR_NONE;
}

/* Everything of a bucket's labels before le, which our writer puts last. */
static const char *bucket(str series, str labels, double value, str line)
{
    const char *le = memmem(labels.p, labels.n, ",le=\"", 5);
    if (!le && str_starts(labels, STR("{le=\""))) le = labels.p;
    if (!le++) return wrong("bucket without le", line);
    str of = str_make(series.p, (size_t)(le - series.p));
    if (!str_eq(of, c.buckets_of)) {
        if (c.buckets_of.n && !c.have_inf) return wrong("histogram without +Inf", line);
        c.buckets_of = of;
        c.last = 0;
    }
    if (value < c.last) return wrong("buckets not cumulative", line);
    c.last = value;
    c.have_inf = strncmp(le, "le=\"+Inf\"", 9) == 0;
    if (c.have_inf) c.inf = value;
    return NULL;
}

static const char *sample(str line)
{
    size_t n = name_length(line, true);
    if (!n) return wrong("name", line);
    str name = str_first(line, n), labels = str_make(line.p + n, 0);
    if (n < line.n && line.p[n] == '{') {
        labels.n = labels_length(str_from(line, n));
        if (!labels.n) return wrong("labels", line);
    }
    str series = str_first(line, n + labels.n), value = str_from(line, n + labels.n);
    if (value.n < 2 || value.p[0] != ' ' || str_has(str_from(value, 1), ' ')) return wrong("blank before value", line);
    char text[64], *end;
    snprintf(text, sizeof text, "%.*s", STR_ARG(str_from(value, 1)));
    double v = strtod(text, &end);
    if (*end || end == text) return wrong("value", line);
    if (!c.families_n) return wrong("sample before TYPE", line);
    str family = c.families[c.families_n - 1];
    bool histogram = str_eq(c.types[c.families_n - 1], STR("histogram"));
    bool in = histogram ? str_eq(without(name, "_bucket"), family) || str_eq(without(name, "_sum"), family) ||
                              str_eq(without(name, "_count"), family)
                        : str_eq(name, family);
    if (!in) return wrong("sample outside its family", line);
    for (size_t i = 0; i < c.series_n; i++)
        if (str_eq(c.series[i], series)) return wrong("series twice", line);
    if (c.series_n == SERIES) return wrong("too many series", line);
    c.series[c.series_n++] = series;
    if (histogram && str_ends(name, STR("_bucket"))) return bucket(series, labels, v, line);
    if (histogram && str_ends(name, STR("_count")) && (!c.have_inf || v != c.inf)) return wrong("count", line);
    if (str_eq(c.types[c.families_n - 1], STR("counter")) && v < 0) return wrong("negative counter", line);
    return NULL;
}

const char *exposition_fault(str text)
{
    memset(&c, 0, sizeof c);
    if (!str_ends(text, STR("\n"))) return wrong("no line end at the end", text);
    while (text.n) {
        str line = str_cut(&text, '\n');
        const char *fault = line.n == 0 ? NULL : str_starts(line, STR("# ")) ? comment(line) : sample(line);
        if (fault) return fault;
    }
    return NULL;
}

double exposition_value(str text, const char *series)
{
    str want = str_of(series);
    while (text.n) {
        str line = str_cut(&text, '\n');
        if (!str_starts(line, want) || line.n <= want.n || line.p[want.n] != ' ') continue;
        char value[64];
        snprintf(value, sizeof value, "%.*s", STR_ARG(str_from(line, want.n + 1)));
        return strtod(value, NULL);
    }
    return -1;
}
