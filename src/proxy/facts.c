#include "proxy/facts.h"

#include "base/buf.h"

#include <stdio.h>

static void put_name(struct buf *b, str name)
{
    if (b->n) buf_puts(b, ", ");
    buf_put(b, name);
}

static bool granted(const struct snapshot *snap, uint16_t grantor, const struct snapshot_action *a)
{
    return grants_decide(&snap->grants, &grantor, 1, a->index) == EFFECT_PERMIT;
}

static str map_names(const struct snapshot *snap, const struct map *m, bool roles, const struct snapshot_action *a,
                     struct arena *mem)
{
    struct buf b;
    buf_init(&b, 65536);
    size_t i = 0;
    for (const struct map_slot *s = map_next(m, &i); s; s = map_next(m, &i)) {
        uint16_t g = roles ? snapshot_role(snap, s->key) : snapshot_permission(snap, s->key);
        if (g != SNAPSHOT_NO_GRANTOR && granted(snap, g, a)) put_name(&b, s->key);
    }
    str out = arena_copy(mem, buf_str(&b));
    buf_free(&b);
    return out;
}

void facts_of(const struct snapshot *snap, const struct snapshot_action *a, struct arena *mem, struct action_facts *out)
{
    struct buf b;
    buf_init(&b, 65536);
    for (uint32_t i = 0; i < snap->n_products; i++)
        if (granted(snap, snap->products[i].grantor, a)) put_name(&b, snap->products[i].name);
    out->products = arena_copy(mem, buf_str(&b));
    buf_free(&b);
    out->roles = map_names(snap, &snap->roles, true, a, mem);
    out->permissions = map_names(snap, &snap->permissions, false, a, mem);
}

str facts_rule(const struct exchange *x, char *room, size_t cap)
{
    if (!x->action) return STR_NONE;
    struct arena mem;
    struct action_facts f = {0};
    arena_init(&mem, NULL, 0, 1 << 18);
    facts_of(x->config->snap, x->action, &mem, &f);
    int n = snprintf(room, cap, "action %.*s is granted to roles [%.*s], permissions [%.*s], products [%.*s]",
                     STR_ARG(x->action->name), STR_ARG(f.roles), STR_ARG(f.permissions), STR_ARG(f.products));
    arena_reset(&mem);
    return str_make(room, n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1);
}
