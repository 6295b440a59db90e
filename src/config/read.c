#include "config/read.h"

#include "base/map.h"

#include <stdarg.h>
#include <stdio.h>

/* --- saying where and what --- */

size_t read_push(struct reader *r, str name)
{
    size_t mark = r->path_n, room = sizeof r->path - 1 - mark;
    size_t dot = mark ? 1 : 0, n = name.n + dot > room ? 0 : name.n;
    if (n) {
        if (dot) r->path[mark] = '.';
        memcpy(r->path + mark + dot, name.p, n);
        r->path_n += dot + n;
        r->path[r->path_n] = 0;
    }
    return mark;
}

void read_pop(struct reader *r, size_t mark)
{
    r->path_n = mark;
    r->path[mark] = 0;
}

static uint32_t width_of(struct yaml_mark from, struct yaml_mark to)
{
    return from.line == to.line && to.column > from.column ? to.column - from.column : 1;
}

static void complain(struct reader *r, const char *code, struct config_pos at, uint32_t width, const char *fix,
                     const char *fmt, va_list args) PRINTF_LIKE(6, 0);
static void complain(struct reader *r, const char *code, struct config_pos at, uint32_t width, const char *fix,
                     const char *fmt, va_list args)
{
    char text[512];
    vsnprintf(text, sizeof text, fmt, args);
    diag_add(r->d, DIAG_ERROR, code, at, width, str_of(fix), "%s%s%s", r->path, r->path_n ? " " : "", text);
}

void read_complain(struct reader *r, const char *code, const struct yaml *v, const char *fix, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    uint32_t width = v->type == YAML_LIST || v->type == YAML_MAP ? 1 : width_of(v->at, v->end);
    complain(r, code, read_pos(v->at), width, fix, fmt, args);
    va_end(args);
}

void read_complain_key(struct reader *r, const char *code, const struct yaml *v, const char *fix, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    bool has_key = v->key_at.line != 0;
    complain(r, code, read_pos(has_key ? v->key_at : v->at), has_key ? (uint32_t)v->key.n : 1, fix, fmt, args);
    va_end(args);
}

const char *read_did_you_mean(struct reader *r, const struct value_nearest *n)
{
    if (!n->best.p) return "";
    str s = arena_printf(&r->d->mem, "did you mean '%.*s'?", STR_ARG(n->best));
    return s.p ? s.p : "";
}

void *read_alloc(struct reader *r, size_t count, size_t size)
{
    void *p = arena_array(r->mem, count ? count : 1, size);
    if (!p) r->d->lost = true;
    return p;
}

void read_hide(struct reader *r, const struct yaml *v)
{
    diag_hide(r->d, read_pos(v->at), read_pos(v->end));
}

/* --- scalars --- */

/* Whether there is a value to look at at all; complains about `key:` with nothing behind it. */
static bool has_value(struct reader *r, const struct yaml *v)
{
    if (v->type == YAML_REFUSED) return false;
    if (v->type != YAML_NULL) return true;
    read_complain_key(r, "no_value", v, "give it a value or leave the key out", "has no value");
    return false;
}

bool read_text(struct reader *r, const struct yaml *v, text_check *check, struct config_str *out)
{
    if (!has_value(r, v)) return false;
    if (v->type != YAML_STRING) {
        bool scalar = v->type != YAML_LIST && v->type != YAML_MAP;
        read_complain(r, "type", v, scalar ? "put it in quotes" : "", "must be text, not %s", yaml_type_name(v->type));
        return false;
    }
    if (value_has_control(v->text) || v->text.n == 0) {
        read_complain(r, "text", v, "", v->text.n ? "must be text without control characters" : "must not be empty");
        return false;
    }
    const char *why = check ? check(v->text.p, v->text.n) : NULL;
    if (why) {
        read_complain(r, "text", v, "", "must be %s", why);
        return false;
    }
    str copy = arena_copy(r->mem, v->text);
    if (!copy.p) {
        r->d->lost = true;
        return false;
    }
    *out = (struct config_str){copy, read_pos(v->at)};
    return true;
}

static void read_flag(struct reader *r, const struct yaml *v, bool *out)
{
    if (!has_value(r, v)) return;
    if (v->type == YAML_BOOL) {
        *out = v->boolean;
        return;
    }
    static const char *const yes[] = {"yes", "on", "y", NULL};
    bool meant = v->type == YAML_STRING && !v->quoted;
    for (size_t i = 0; meant && yes[i]; i++)
        if (str_ieq(v->text, str_of(yes[i]))) {
            read_complain(r, "type", v, "write true", "must be true or false");
            return;
        }
    read_complain(r, "type", v, "", "must be true or false, not %s", yaml_type_name(v->type));
}

static void read_number(struct reader *r, const struct key_def *def, const struct yaml *v, uint64_t *out)
{
    int64_t n;
    if (!has_value(r, v)) return;
    if (yaml_int(v, &n) != ERR_OK || n < 0 || (uint64_t)n < def->min || (uint64_t)n > def->max) {
        read_complain(r, "number", v, "", "must be a whole number from %llu to %llu", (unsigned long long)def->min,
                      (unsigned long long)def->max);
        return;
    }
    *out = (uint64_t)n;
}

/* What the author may have meant with "10 sec" or "16KiB", as a fix; "" when it cannot be told. */
static const char *unit_fix(struct reader *r, str s, const char *const *units)
{
    size_t digits = 0, at;
    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9') digits++;
    for (at = digits; at < s.n && s.p[at] == ' ';) at++;
    if (digits == 0 || digits > 12) return "";
    for (; *units; units++) {
        bool millis = str_ieq(str_first(str_from(s, at), 2), STR("ms"));
        bool same = at == s.n || ((s.p[at] | 0x20) == ((*units)[0] | 0x20) && (!millis || (*units)[1] == 's'));
        if (!same) continue;
        str fix = arena_printf(&r->d->mem, "write %.*s%s", (int)digits, s.p, *units);
        return fix.p ? fix.p : "";
    }
    return "";
}

static void read_size(struct reader *r, const struct key_def *def, const struct yaml *v, uint64_t *out)
{
    static const char *const units[] = {"kB", "MB", "GB", "B", NULL};
    char least[VALUE_TEXT], most[VALUE_TEXT];
    uint64_t n;
    if (!has_value(r, v)) return;
    bool scalar = v->type == YAML_INT || v->type == YAML_STRING;
    if (scalar && value_size(v->text, &n) == ERR_OK && n >= def->min && n <= def->max) {
        *out = n;
        return;
    }
    value_size_text(def->min, least);
    value_size_text(def->max, most);
    bool form = scalar && value_size(v->text, &n) == ERR_OK;
    read_complain(r, "size", v, scalar && !form ? unit_fix(r, v->text, units) : "", "must be a size from %s to %s",
                  least, most);
}

/* Into milliseconds; `unit_ms` 1000: whole seconds only. */
static bool read_time(struct reader *r, const struct key_def *def, const struct yaml *v, uint64_t unit_ms,
                      uint64_t *out)
{
    static const char *const units[] = {"s", "ms", "m", "h", "d", NULL};
    char least[VALUE_TEXT], most[VALUE_TEXT];
    uint64_t n;
    if (!has_value(r, v)) return false;
    bool scalar = v->type == YAML_INT || v->type == YAML_STRING;
    bool form = scalar && value_duration(v->text, &n) == ERR_OK;
    if (form && n >= def->min * unit_ms && n <= def->max * unit_ms && n % unit_ms == 0) {
        *out = n / unit_ms;
        return true;
    }
    value_duration_text(def->min * unit_ms, least);
    value_duration_text(def->max * unit_ms, most);
    read_complain(r, "time", v, scalar && !form ? unit_fix(r, v->text, units) : "", "must be a time from %s to %s%s",
                  least, most, unit_ms == 1000 ? " in whole seconds" : "");
    return false;
}

/* "a, b or c" */
static void choices_text(const char *const *choices, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; choices[i] && n < room; i++) {
        const char *before = i == 0 ? "" : choices[i + 1] ? ", " : " or ";
        int wrote = snprintf(out + n, room - n, "%s%s", before, choices[i]);
        n += wrote > 0 ? (size_t)wrote : 0;
    }
}

bool read_choice(struct reader *r, const char *const *choices, const struct yaml *v, unsigned *out)
{
    char all[256] = "";
    struct value_nearest near = {0};
    if (!has_value(r, v)) return false;
    for (unsigned i = 0; choices[i]; i++) {
        if (v->type == YAML_STRING && str_eq(v->text, str_of(choices[i]))) {
            *out = i;
            return true;
        }
        if (v->type == YAML_STRING) value_nearest(&near, v->text, str_of(choices[i]));
    }
    choices_text(choices, all, sizeof all);
    read_complain(r, "choice", v, read_did_you_mean(r, &near), "must be %s", all);
    return false;
}

/* --- lists --- */

const struct yaml *read_items(const struct yaml *v, uint32_t *n)
{
    *n = v->type == YAML_LIST ? v->count : 1;
    return v->type == YAML_LIST ? v->first : v;
}

void read_mask(struct reader *r, const struct key_def *def, const struct yaml *v, uint8_t *out)
{
    uint32_t n;
    if (!has_value(r, v)) return;
    const struct yaml *item = read_items(v, &n);
    if (n < def->min) read_complain(r, "list", v, "", "must not be an empty list");
    for (; item; item = read_next(v, item)) {
        unsigned bit;
        if (!read_choice(r, def->choices, item, &bit)) continue;
        if (*out >> bit & 1) read_complain(r, "twice", item, "", "has '%s' twice", def->choices[bit]);
        *out |= (uint8_t)(1u << bit);
    }
}

static void tell_twice(struct reader *r, const struct config_str *second)
{
    diag_add(r->d, DIAG_ERROR, "twice", second->at, (uint32_t)second->s.n, STR_NONE, "%s has '%.*s' twice", r->path,
             STR_ARG(second->s));
}

/* Complains about what stands twice in a list. Most lists are short and need no map for that. */
static void check_twice(struct reader *r, const struct config_list *list)
{
    struct map seen = {0};
    for (uint32_t i = 0; i < list->n && list->n <= 8; i++) {
        uint32_t k = 0;
        while (k < i && !str_eq(list->v[k].s, list->v[i].s)) k++;
        if (k < i) tell_twice(r, &list->v[i]);
    }
    for (uint32_t i = 0; i < list->n && list->n > 8; i++) {
        void *old = NULL;
        if (map_put(&seen, list->v[i].s, (void *)(uintptr_t)list, &old) != ERR_OK) {
            r->d->lost = true;
            break;
        }
        if (old) tell_twice(r, &list->v[i]);
    }
    map_free(&seen);
}

void read_list(struct reader *r, const struct key_def *def, const struct yaml *v, struct config_list *out)
{
    uint32_t n;
    if (!has_value(r, v)) return;
    bool any_allowed = def->shape == SHAPE_LIST_ANY;
    if (any_allowed && v->type == YAML_STRING && str_eq(v->text, STR("any"))) {
        *out = (struct config_list){.any = true, .at = read_pos(v->at)};
        return;
    }
    if (v->type != YAML_LIST && v->type != YAML_STRING) {
        bool scalar = v->type != YAML_MAP;
        read_complain(r, "type", v, scalar ? "put it in quotes" : "", "must be text or a list of texts%s, not %s",
                      any_allowed ? ", or any" : "", yaml_type_name(v->type));
        return;
    }
    const struct yaml *item = read_items(v, &n);
    uint64_t max = def->max ? def->max : CONFIG_MAX_ACTIONS;
    if (n < def->min || n > max) {
        if (n > max)
            read_complain(r, "list", v, "", "must have at most %llu entries", (unsigned long long)max);
        else
            read_complain(r, "list", v, "", "must not be an empty list");
        return;
    }
    struct config_str *texts = read_alloc(r, n, sizeof *texts);
    struct config_list list = {.v = texts, .at = read_pos(v->at)};
    if (!texts) return;
    for (; item; item = read_next(v, item))
        if (read_text(r, item, def->check, &texts[list.n])) list.n++;
    check_twice(r, &list);
    *out = list;
}

/* --- maps --- */

static void read_key(struct reader *r, const struct key_def *def, const struct yaml *v, void *base);

/* A value below an unknown key could be a secret under a misspelt name. */
static bool may_be_secret(const struct reader *r, str key)
{
    str path = str_make(r->path, r->path_n);
    if (str_starts(path, STR("issuers")) || str_starts(path, STR("products"))) return true;
    return value_sounds_secret(key) || str_ieq(str_from(key, key.n > 3 ? key.n - 3 : 0), STR("key"));
}

static void unknown_key(struct reader *r, const struct key_map *map, const struct yaml *v)
{
    struct value_nearest near = {0};
    struct buf known;
    bool search = r->searches > 0;
    if (search) r->searches--;
    buf_init(&known, 2048);
    buf_puts(&known, "known here: ");
    for (const struct key_def *def = map->keys; def->name && search; def++) {
        if (def->shape == SHAPE_REFUSED) continue;
        buf_printf(&known, "%s%s", def == map->keys ? "" : ", ", def->name);
        value_nearest(&near, v->key, str_of(def->name));
    }
    buf_putc(&known, 0);
    if (may_be_secret(r, v->key)) read_hide(r, v);
    const char *fix = near.best.p ? read_did_you_mean(r, &near) : !search || known.bad ? "" : known.p;
    size_t mark = r->path_n;
    diag_add(r->d, DIAG_ERROR, "unknown_key", read_pos(v->key_at), (uint32_t)v->key.n, str_of(fix),
             "unknown key '%.*s'%s%.*s", v->key.n > 80 ? 80 : (int)v->key.n, v->key.p, mark ? " in " : "", (int)mark,
             r->path);
    buf_free(&known);
}

static void missing_key(struct reader *r, const struct key_def *def, const struct yaml *v)
{
    char fix[160];
    snprintf(fix, sizeof fix, "for example: %s", def->example);
    read_complain_key(r, "missing_key", v, fix, "%s '%s'", r->path_n ? "needs" : "the file needs", def->name);
}

void read_map(struct reader *r, const struct key_map *map, const struct yaml *v, void *base)
{
    if (!has_value(r, v)) return;
    if (v->type != YAML_MAP) {
        read_complain(r, "type", v, "", "must be a map, not %s", yaml_type_name(v->type));
        return;
    }
    for (const struct yaml *c = v->first; c; c = c->next) {
        const struct key_def *def = map->keys;
        while (def->name && !str_eq(c->key, str_of(def->name))) def++;
        if (def->name)
            read_key(r, def, c, base);
        else
            unknown_key(r, map, c);
    }
    for (const struct key_def *def = map->keys; def->name; def++)
        if (def->required && !yaml_get(v, str_of(def->name))) missing_key(r, def, v);
}

/* One entry of a SHAPE_NAMED map. */
static void read_entry(struct reader *r, const struct key_def *def, const struct yaml *v, void *elem)
{
    const struct key_map *map = def->map;
    struct config_named *named = elem;
    const char *why = map->name_check(v->key.p, v->key.n);
    if (why) read_complain_key(r, "name", v, "", "must be named with %s", why);
    named->name = arena_copy(r->mem, v->key);
    named->at = read_pos(v->key_at);
    if (!named->name.p) r->d->lost = true;
    if (map->begin) map->begin(elem);
    if (!map->keys) {
        static const struct key_def actions = {.shape = SHAPE_LIST};
        read_list(r, &actions, v, &((struct config_grant *)elem)->actions);
        return;
    }
    read_map(r, map, v, elem);
    if (map->end && v->type == YAML_MAP) map->end(r, v, elem);
}

static void read_named(struct reader *r, const struct key_def *def, const struct yaml *v, char *base)
{
    if (!has_value(r, v)) return;
    if (v->type != YAML_MAP) {
        read_complain(r, "type", v, "", "must be a map from names to what they are, not %s", yaml_type_name(v->type));
        return;
    }
    if (v->count > def->map->max) {
        read_complain_key(r, "limit", v, "", "must have at most %u entries", def->map->max);
        return;
    }
    char *elems = read_alloc(r, v->count, def->map->elem_size);
    if (!elems) return;
    uint32_t n = 0;
    for (const struct yaml *c = v->first; c; c = c->next) {
        size_t mark = read_push(r, c->key);
        read_entry(r, def, c, elems + (size_t)n++ * def->map->elem_size);
        read_pop(r, mark);
    }
    memcpy(base + def->offset, &elems, sizeof elems);
    memcpy(base + def->count_offset, &n, sizeof n);
}

static void refused_key(struct reader *r, const struct yaml *v)
{
    diag_add(r->d, DIAG_ERROR, "not_enforced", read_pos(v->key_at), (uint32_t)v->key.n, STR("take it out"),
             "%s is not enforced in this version, so it is refused rather than ignored", r->path);
}

static void read_value(struct reader *r, const struct key_def *def, const struct yaml *v, char *base)
{
    void *at = base + def->offset;
    uint64_t wide = 0;
    unsigned choice;
    struct config_str text;
    if (def->nullable && v->type == YAML_NULL) {
        *(struct config_list *)at = (struct config_list){.at = read_pos(v->at)};
        return;
    }
    switch (def->shape) {
    case SHAPE_FLAG: read_flag(r, v, at); break;
    case SHAPE_NUMBER64: read_number(r, def, v, at); break;
    case SHAPE_NUMBER:
        wide = *(uint32_t *)at;
        read_number(r, def, v, &wide);
        *(uint32_t *)at = (uint32_t)wide;
        break;
    case SHAPE_SIZE64: read_size(r, def, v, at); break;
    case SHAPE_SIZE:
        wide = *(uint32_t *)at;
        read_size(r, def, v, &wide);
        *(uint32_t *)at = (uint32_t)wide;
        break;
    case SHAPE_MS:
        if (read_time(r, def, v, 1, &wide)) *(uint32_t *)at = (uint32_t)wide;
        break;
    case SHAPE_SECONDS:
        if (read_time(r, def, v, 1000, &wide)) *(uint32_t *)at = (uint32_t)wide;
        break;
    case SHAPE_TEXT:
        if (read_text(r, v, def->check, &text)) *(struct config_str *)at = text;
        break;
    case SHAPE_PLAIN:
        if (read_text(r, v, def->check, &text)) *(str *)at = text.s;
        break;
    case SHAPE_CHOICE:
        if (read_choice(r, def->choices, v, &choice)) *(unsigned *)at = choice;
        break;
    case SHAPE_MASK: read_mask(r, def, v, at); break;
    case SHAPE_LIST:
    case SHAPE_LIST_ANY: read_list(r, def, v, at); break;
    case SHAPE_MAP: read_map(r, def->map, v, base); break;
    case SHAPE_NAMED: read_named(r, def, v, base); break;
    case SHAPE_CUSTOM: def->read(r, def, v, base); break;
    case SHAPE_REFUSED: refused_key(r, v); break;
    }
}

static void read_key(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    size_t mark = read_push(r, v->key);
    read_value(r, def, v, base);
    read_pop(r, mark);
}

void read_config(struct reader *r, const struct yaml *root)
{
    if (root->type == YAML_MAP)
        read_map(r, &config_keys, root, r->c);
    else if (root->type != YAML_REFUSED)
        diag_add(r->d, DIAG_ERROR, "type", read_pos(root->at), 1, STR("see docs/configuration.md for an example"),
                 "a configuration is a map of keys, not %s", yaml_type_name(root->type));
}
