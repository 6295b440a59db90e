#include "config/keys.h"
#include "config/values.h"

#include <stdio.h>

/* --- every key, by path --- */

struct walk {
    void (*each)(const char *path, const struct key_def *def, void *arg);
    void *arg;
};

/* Not deeper than the table is: issuers.*.keys.file. */
static void walk_map(const struct walk *w, const char *above, const struct key_map *map)
{
    for (const struct key_def *def = map->keys; def && def->name; def++) {
        char path[128], below[136];
        snprintf(path, sizeof path, "%s%s%s", above, *above ? "." : "", def->name);
        w->each(path, def, w->arg);
        if (!def->map) continue;
        snprintf(below, sizeof below, "%s%s", path, def->shape == SHAPE_NAMED ? ".*" : "");
        walk_map(w, below, def->map);
    }
}

void config_keys_each(void (*each)(const char *path, const struct key_def *def, void *arg), void *arg)
{
    const struct walk w = {each, arg};
    walk_map(&w, "", &config_keys);
}

/* --- as a table in Markdown --- */

static void put_choices(struct buf *out, const struct key_def *def)
{
    for (size_t i = 0; def->choices[i]; i++) buf_printf(out, "%s`%s`", i ? ", " : "", def->choices[i]);
}

static void put_type(struct buf *out, const struct key_def *def)
{
    if (def->type) {
        buf_puts(out, def->type);
        return;
    }
    switch (def->shape) {
    case SHAPE_FLAG: buf_puts(out, "`true` or `false`"); break;
    case SHAPE_NUMBER:
    case SHAPE_NUMBER64: buf_puts(out, "number"); break;
    case SHAPE_SIZE:
    case SHAPE_SIZE64: buf_puts(out, "size"); break;
    case SHAPE_MS: buf_puts(out, "time"); break;
    case SHAPE_SECONDS: buf_puts(out, "time, whole seconds"); break;
    case SHAPE_TEXT:
    case SHAPE_PLAIN:
    case SHAPE_CUSTOM: buf_puts(out, "text"); break;
    case SHAPE_CHOICE: put_choices(out, def); break;
    case SHAPE_MASK:
        buf_puts(out, "one or a list of ");
        put_choices(out, def);
        break;
    case SHAPE_LIST: buf_puts(out, "text, or a list of texts"); break;
    case SHAPE_LIST_ANY: buf_puts(out, "text, a list of texts, or `any`"); break;
    case SHAPE_MAP: buf_puts(out, "map"); break;
    case SHAPE_NAMED:
        buf_puts(out, def->map->keys ? "map from names to maps" : "map from names to lists of actions");
        break;
    case SHAPE_REFUSED: break;
    }
}

static void put_bound(struct buf *out, const struct key_def *def)
{
    char least[VALUE_TEXT] = "", most[VALUE_TEXT] = "";
    switch (def->shape) {
    case SHAPE_NUMBER:
    case SHAPE_NUMBER64:
        buf_printf(out, "%llu to %llu", (unsigned long long)def->min, (unsigned long long)def->max);
        return;
    case SHAPE_SIZE:
    case SHAPE_SIZE64:
        value_size_text(def->min, least);
        value_size_text(def->max, most);
        break;
    case SHAPE_MS:
        value_duration_text(def->min, least);
        value_duration_text(def->max, most);
        break;
    case SHAPE_SECONDS:
        value_duration_text(def->min * 1000, least);
        value_duration_text(def->max * 1000, most);
        break;
    case SHAPE_LIST:
    case SHAPE_LIST_ANY:
    case SHAPE_CUSTOM:
        if (def->max) buf_printf(out, "at most %llu", (unsigned long long)def->max);
        return;
    case SHAPE_NAMED: buf_printf(out, "at most %u", def->map->max); return;
    case SHAPE_FLAG:
    case SHAPE_TEXT:
    case SHAPE_PLAIN:
    case SHAPE_CHOICE:
    case SHAPE_MASK:
    case SHAPE_MAP:
    case SHAPE_REFUSED: return;
    }
    buf_printf(out, "%s to %s", least, most);
}

static void put_row(const char *path, const struct key_def *def, void *arg)
{
    struct buf *out = arg;
    if (def->shape == SHAPE_REFUSED) return;
    const char *star = strchr(path, '*');
    /* the name stands for itself: issuers.NAME.keys */
    if (star)
        buf_printf(out, "| `%.*sNAME%s` | ", (int)(star - path), path, star + 1);
    else
        buf_printf(out, "| `%s` | ", path);
    put_type(out, def);
    buf_printf(out, " | %s | ", def->required ? "required" : def->standard ? def->standard : "");
    put_bound(out, def);
    buf_printf(out, " | %s | `%s` |\n", def->about, def->example);
}

static void put_refused(const char *path, const struct key_def *def, void *arg)
{
    struct buf *out = arg;
    if (def->shape != SHAPE_REFUSED) return;
    const char *star = strchr(path, '*');
    if (star)
        buf_printf(out, "- `%.*sNAME%s`\n", (int)(star - path), path, star + 1);
    else
        buf_printf(out, "- `%s`\n", path);
}

void config_keys_markdown(struct buf *out)
{
    buf_puts(out, "| key | value | default | bound | meaning | example |\n|---|---|---|---|---|---|\n");
    config_keys_each(put_row, out);
}

void config_keys_refused_markdown(struct buf *out)
{
    config_keys_each(put_refused, out);
}
