#include "proxy/limit_book.h"

#include "base/log_line.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>

#define POLICY_MORE 56 /* "\"" "\";q=" ten digits ";w=" twenty digits, and a NUL */
#define TOLD_MORE   96

/* What it all needs: one block. */
struct need {
    size_t rules, text;
};

static void count(struct need *need, const struct snapshot_limit *v, uint32_t n)
{
    need->rules += n;
    for (uint32_t i = 0; i < n; i++) need->text += 4 * v[i].name.n + POLICY_MORE + TOLD_MORE;
}

/* An item of a structured field (RFC 9651 §3.3.3): what our names are made of needs an escape only for '"' and '\'. */
static void put_name(struct log_line *l, str name)
{
    log_line_lit(l, "\"");
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '"' || name.p[i] == '\\') log_line_lit(l, "\\");
        if (name.p[i] >= 0x20 && name.p[i] < 0x7f) log_line_raw(l, str_make(name.p + i, 1));
    }
    log_line_lit(l, "\"");
}

/* draft-ietf-httpapi-ratelimit-headers §4: `q`, what may come at once, and `w`, the seconds in which it all comes
 * back. */
static void put_policy(char **at, struct limit_rule *r, uint32_t burst)
{
    struct log_line l = {*at, 0, 2 * r->name.n + POLICY_MORE, false};
    put_name(&l, r->name);
    r->item = str_make(l.p, l.n);
    log_line_lit(&l, ";q=");
    log_line_u64(&l, burst ? burst : 1);
    log_line_lit(&l, ";w=");
    log_line_u64(&l, (r->rate.horizon_ns + 999999999) / 1000000000);
    *at += l.n;
    r->policy = str_make(l.p, l.n);
}

/* For operators. */
static const char *put_told(char **at, const struct snapshot_limit *from)
{
    size_t room = from->name.n + TOLD_MORE;
    int n = snprintf(*at, room, "%.*s: %u in %llu s for each %s, %u at once", STR_ARG(from->name), from->count,
                     (unsigned long long)(from->period_ns / 1000000000), limit_per_name(from->per), from->burst);
    const char *told = *at;
    *at += n > 0 && (size_t)n < room ? (size_t)n + 1 : room;
    return told;
}

static struct limit_rules put(const struct snapshot_limit *from, uint32_t n, struct limit_rule **rule, char **text)
{
    struct limit_rules out = {*rule, n};
    for (uint32_t i = 0; i < n; i++) {
        struct limit_rule *r = (*rule)++;
        *r = (struct limit_rule){.id = from[i].id,
                                 .rate = limiter_rate_of(from[i].count, from[i].period_ns, from[i].burst),
                                 .per = from[i].per,
                                 .name = str_make(*text, from[i].name.n)};
        *text = str_put(*text, from[i].name);
        put_policy(text, r, from[i].burst);
        r->told = put_told(text, &from[i]);
    }
    return out;
}

enum err limit_book_new(const struct snapshot *snap, const struct quotas *quotas, struct limit_book **out)
{
    struct need need = {0};
    bool many = snap->n_edge_limits > LIMITS_EACH;
    count(&need, snap->edge_limits, snap->n_edge_limits);
    for (uint32_t i = 0; i < snap->n_actions; i++) {
        count(&need, snap->actions[i].limits, snap->actions[i].n_limits);
        many = many || snap->actions[i].n_limits > LIMITS_EACH;
    }
    for (uint32_t i = 0; i < snap->n_products; i++) {
        count(&need, snap->products[i].limits, snap->products[i].n_limits);
        many = many || snap->products[i].n_limits > LIMITS_EACH;
    }
    if (many) return ERR_LIMIT;
    size_t lists = (size_t)snap->n_actions + snap->n_products;
    struct limit_book *b =
        calloc(1, sizeof *b + lists * sizeof *b->actions + snap->n_products * sizeof *b->quotas +
                      snap->n_actions * sizeof *b->marks + need.rules * sizeof(struct limit_rule) + need.text);
    if (!b) return ERR_NO_MEMORY;
    b->actions = (struct limit_rules *)(void *)(b + 1);
    b->products = b->actions + snap->n_actions;
    b->quotas = (struct quota **)(void *)(b->actions + lists);
    b->marks = (uint64_t *)(void *)(b->quotas + snap->n_products);
    struct limit_rule *rule = (struct limit_rule *)(void *)(b->marks + snap->n_actions);
    char *text = (char *)(rule + need.rules);
    b->edge = put(snap->edge_limits, snap->n_edge_limits, &rule, &text);
    for (uint32_t i = 0; i < snap->n_actions; i++) {
        b->marks[i] = map_hash(snap->actions[i].name);
        b->actions[i] = put(snap->actions[i].limits, snap->actions[i].n_limits, &rule, &text);
    }
    for (uint32_t i = 0; i < snap->n_products; i++) {
        const struct snapshot_product *p = &snap->products[i];
        b->products[i] = put(p->limits, p->n_limits, &rule, &text);
        if (p->quota.requests && quotas) b->quotas[i] = quotas_find(quotas, p->mark);
    }
    *out = b;
    return ERR_OK;
}

void limit_book_free(struct limit_book **b)
{
    free(*b);
    *b = NULL;
}
