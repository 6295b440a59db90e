#include "config/stored.h"

#include "config/builtin.h"

static bool in_file(const struct config *c, str name)
{
    for (uint32_t i = 0; i < c->n_products; i++)
        if (str_eq(c->products[i].name, name)) return true;
    return false;
}

static bool base_known(const struct config *c, str base)
{
    const struct config_list *bases = &c->authentication.user_bases;
    for (uint32_t i = 0; i < bases->n; i++)
        if (str_eq(bases->v[i].s, base)) return true;
    return false;
}

/* What end_product and the check of the file's products do for those. */
static enum err complete(const struct config *c, struct arena *mem, struct config_product *p)
{
    p->stored = true;
    if (p->login == LOGIN_NONE) return ERR_OK;
    if (c->authentication.on && !p->users.s.n) p->users.s = c->authentication.user_bases.v[0].s;
    if (!c->authentication.on || p->auth == PRODUCT_TOKEN || !base_known(c, p->users.s)) {
        p->login = LOGIN_NONE;
        return ERR_OK;
    }
    struct config_str *may = arena_array(mem, (size_t)p->may.n + AUTHENTICATION_ACTIONS, sizeof *may);
    if (!may) return ERR_NO_MEMORY;
    if (p->may.n) memcpy(may, p->may.v, p->may.n * sizeof *may);
    for (uint32_t i = 0; i < AUTHENTICATION_ACTIONS; i++) may[p->may.n + i].s = builtin_login_actions[i];
    p->may.v = may;
    p->may.n += AUTHENTICATION_ACTIONS;
    return ERR_OK;
}

enum err config_with_products(const struct config *c, const struct config_product *stored, uint32_t n,
                              struct arena *mem, struct config *out, uint32_t *left_out)
{
    struct config_product *all = arena_array(mem, (size_t)c->n_products + n + 1, sizeof *all);
    uint32_t at = c->n_products;
    if (!all) return ERR_NO_MEMORY;
    if (at) memcpy(all, c->products, at * sizeof *all);
    for (uint32_t i = 0; i < n; i++) {
        if (at >= CONFIG_MAX_NAMES || in_file(c, stored[i].name)) continue;
        all[at] = stored[i];
        if (complete(c, mem, &all[at]) != ERR_OK) return ERR_NO_MEMORY;
        at++;
    }
    if (left_out) *left_out = n - (at - c->n_products);
    *out = *c;
    out->products = all;
    out->n_products = at;
    return ERR_OK;
}
