/* Reading limits and rates, and what they must be by themselves. */
#include "config/read.h"

#include <stdio.h>

/* So long may a full bucket take to empty: times stay far from the end of 64 bits of nanoseconds. */
#define REFILL_MAX_MS (UINT64_C(366) * 86400000)

void read_limit_rate(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_limit *l = base;
    struct config_str text;
    struct config_rate rate;
    (void)def;
    if (v->type == YAML_REFUSED) return;
    if (v->type == YAML_INT) {
        str fix = arena_printf(&r->d->mem, "write %.*s/s or %.*s/m", STR_ARG(v->text), STR_ARG(v->text));
        read_complain(r, "rate", v, fix.p ? fix.p : "", "must say in which time: a rate such as 10/m");
        return;
    }
    if (!read_text(r, v, NULL, &text)) return;
    if (value_day_rate(text.s, &rate) != ERR_OK) {
        read_complain(r, "rate", v, "", "must be a rate from 1/d to 1000000/s, such as 100/s, 5/m, 20/h or 500/d");
        return;
    }
    l->count = rate.count;
    l->period_ms = (uint64_t)rate.window_s * 1000;
}

void read_limit_per(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    struct config_limit *l = base;
    unsigned at;
    if (!read_choice(r, def->choices, v, &at)) return;
    for (unsigned p = LIMIT_PER_USER; p <= LIMIT_PER_ACTION; p++)
        if (strcmp(def->choices[at], limit_per_name((enum limit_per)p)) == 0) l->per = (enum limit_per)p;
}

void begin_edge_limit(void *elem)
{
    ((struct config_limit *)elem)->per = LIMIT_PER_ADDRESS;
}

void begin_product_limit(void *elem)
{
    ((struct config_limit *)elem)->per = LIMIT_PER_PRODUCT;
}

void begin_action_limit(void *elem)
{
    ((struct config_limit *)elem)->per = LIMIT_PER_USER;
}

/* false: it is left out. */
static bool finish(struct reader *r, const struct yaml *v, struct config_limit *l)
{
    if (!l->count) return false;
    if (!l->burst) l->burst = l->count;
    if ((uint64_t)l->burst * l->period_ms / l->count <= REFILL_MAX_MS) return true;
    const struct yaml *burst = yaml_get(v, STR("burst"));
    read_complain(r, "limits", burst ? burst : v, "a smaller burst, or a higher rate",
                  "has a burst that takes longer than a year to be there again at this rate");
    return false;
}

void read_limits(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    uint32_t n, got = 0;
    if (v->type == YAML_REFUSED) return;
    const struct yaml *item = read_items(v, &n);
    if (n == 0 || n > CONFIG_MAX_LIMITS) {
        read_complain(r, "list", v, "", n ? "must have at most %d limits" : "must not be an empty list",
                      CONFIG_MAX_LIMITS);
        return;
    }
    struct config_limit *all = read_alloc(r, n, sizeof *all);
    for (; all && item; item = read_next(v, item)) {
        struct config_limit *l = &all[got];
        *l = (struct config_limit){.at = read_pos(item->at)};
        def->map->begin(l);
        read_map(r, def->map, item, l);
        if (item->type != YAML_MAP || !finish(r, item, l)) continue;
        bool twice = false;
        for (uint32_t i = 0; i < got && !twice; i++)
            twice = all[i].per == l->per && all[i].count == l->count && all[i].period_ms == l->period_ms &&
                    all[i].burst == l->burst;
        if (twice)
            read_complain(r, "twice", item, "", "has the same limit twice");
        else
            got++;
    }
    memcpy((char *)base + def->offset, &all, sizeof all);
    memcpy((char *)base + def->count_offset, &got, sizeof got);
}

/* "12.5%": up to four digits behind the point. */
void read_percent(struct reader *r, const struct key_def *def, const struct yaml *v, void *base)
{
    uint32_t ppm = 0;
    if (v->type == YAML_REFUSED) return;
    if (v->type == YAML_STRING && value_percent(v->text, &ppm) == ERR_OK) {
        memcpy((char *)base + def->offset, &ppm, sizeof ppm);
        return;
    }
    str fix = STR("");
    if (v->type == YAML_INT || v->type == YAML_FLOAT) fix = arena_printf(&r->d->mem, "write %.*s%%", STR_ARG(v->text));
    read_complain(r, "percent", v, fix.p ? fix.p : "", "must be a percentage from 0%% to 100%%, such as 1%% or 0.05%%");
}
