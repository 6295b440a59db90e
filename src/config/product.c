#include "config/product.h"

static bool list_has(const struct config_list *l, str name)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].s, name)) return true;
    return false;
}

/* Only the entries that `keep` says, in an array of the configuration's own. */
static enum err list_filter(struct config *c, struct config_list *l, bool (*keep)(const void *ctx, str name),
                            const void *ctx)
{
    struct config_str *v = arena_array(&c->mem, (size_t)l->n + 1, sizeof *v);
    uint32_t n = 0;
    if (!v) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < l->n; i++)
        if (keep(ctx, l->v[i].s)) v[n++] = l->v[i];
    l->v = v;
    l->n = n;
    return ERR_OK;
}

struct kept {
    const struct config *config;
    const struct config_product *product;
};

static bool action_kept(const void *ctx, str name)
{
    const struct kept *k = ctx;
    for (uint32_t i = 0; i < k->config->n_actions; i++)
        if (str_eq(k->config->actions[i].name, name)) return true;
    return str_ends(name, STR(":invoke")) && list_has(&k->product->may, name);
}

static void keep_routes(struct config *c, const struct config_product *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_actions; i++)
        if (c->actions[i].is_public || list_has(&p->may, c->actions[i].name)) c->actions[n++] = c->actions[i];
    c->n_actions = n;
    for (uint32_t i = 0; i < c->n_services; i++) {
        struct config_service *s = &c->services[i];
        bool granted = false;
        for (uint32_t k = 0; k < p->may.n && !granted; k++) {
            str m = p->may.v[k].s;
            granted = m.n == s->name.n + 7 && str_starts(m, s->name) && str_ends(m, STR(":invoke"));
        }
        s->implicit = s->implicit && granted;
    }
}

static enum err keep_grants(struct config *c, const struct config_product *p, struct config_grant *grants, uint32_t n)
{
    const struct kept k = {c, p};
    for (uint32_t i = 0; i < n; i++)
        if (list_filter(c, &grants[i].actions, action_kept, &k) != ERR_OK) return ERR_NO_MEMORY;
    return ERR_OK;
}

static enum err keep_issuers(struct config *c, const struct config_product *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_issuers; i++) {
        struct config_issuer *s = &c->issuers[i];
        if (!s->products.any && !list_has(&s->products, p->name)) continue;
        struct config_str *only = arena_array(&c->mem, 1, sizeof *only);
        if (!only) return ERR_NO_MEMORY;
        *only = (struct config_str){p->name, s->products.at};
        s->products = (struct config_list){.v = only, .n = 1, .at = s->products.at};
        c->issuers[n++] = *s;
    }
    c->n_issuers = n;
    return ERR_OK;
}

enum err config_keep_product(struct config *c, str product, struct diags *d)
{
    struct config_product *p = NULL;
    for (uint32_t i = 0; i < c->n_products; i++)
        if (str_eq(c->products[i].name, product)) p = &c->products[i];
    if (!p) {
        diag_add(d, DIAG_ERROR, "unknown_product", (struct config_pos){0}, 0, STR("name one of `products`"),
                 "there is no product %.*s", STR_ARG(product));
        return ERR_NOT_FOUND;
    }
    keep_routes(c, p);
    enum err e = keep_grants(c, p, c->roles, c->n_roles);
    if (e == ERR_OK) e = keep_grants(c, p, c->permissions, c->n_permissions);
    if (e == ERR_OK) e = keep_issuers(c, p);
    if (e != ERR_OK) {
        diag_add(d, DIAG_ERROR, "no_memory", (struct config_pos){0}, 0, STR_NONE, "no memory");
        return e;
    }
    c->products[0] = *p;
    c->n_products = 1;
    return ERR_OK;
}
