#include "config/check.h"

#include "base/map.h"
#include "config/pattern.h"
#include "config/route_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Names by kind, to find what is referred to. */
struct names {
    struct reader *r;
    struct map actions, services, products, roles;
};

static void PRINTF_LIKE(6, 7)
    complain(struct reader *r, const char *code, struct config_pos at, size_t width, str fix, const char *fmt, ...)
{
    char text[640];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    diag_add(r->d, DIAG_ERROR, code, at, (uint32_t)width, fix, "%s", text);
}

static void put_name(struct names *n, struct map *m, str name, const void *what)
{
    if (map_put(m, name, (void *)(uintptr_t)what, NULL) != ERR_OK) n->r->d->lost = true;
}

static void collect(struct names *n)
{
    const struct config *c = n->r->c;
    for (uint32_t i = 0; i < c->n_actions; i++) put_name(n, &n->actions, c->actions[i].name, &c->actions[i]);
    for (uint32_t i = 0; i < c->n_services; i++) put_name(n, &n->services, c->services[i].name, &c->services[i]);
    for (uint32_t i = 0; i < c->n_products; i++) put_name(n, &n->products, c->products[i].name, &c->products[i]);
    for (uint32_t i = 0; i < c->n_roles; i++) put_name(n, &n->roles, c->roles[i].name, &c->roles[i]);
}

/* "did you mean", or what can be done instead. */
static const char *nearest(struct names *n, str wrong, const struct map *among, bool invoke_too, const char *otherwise)
{
    struct value_nearest near = {0};
    const struct map_slot *slot;
    if (n->r->searches == 0) return otherwise;
    n->r->searches--;
    for (size_t i = 0; (slot = map_next(among, &i));) value_nearest(&near, wrong, slot->key);
    const struct config *c = n->r->c;
    for (uint32_t i = 0; invoke_too && i < c->n_services; i++) {
        str invoke = arena_printf(&n->r->d->mem, "%.*s:invoke", STR_ARG(c->services[i].name));
        if (invoke.p) value_nearest(&near, wrong, invoke);
    }
    return near.best.p ? read_did_you_mean(n->r, &near) : otherwise;
}

/* --- references --- */

/* An action's name, or "service:invoke". */
static void check_action_ref(struct names *n, const char *kind, str of, const struct config_str *ref)
{
    static const str invoke = STR_INIT(":invoke");
    if (map_get(&n->actions, ref->s)) return;
    const struct config_service *service = NULL;
    if (str_ends(ref->s, invoke)) service = map_get(&n->services, str_first(ref->s, ref->s.n - invoke.n));
    if (service && service->implicit) return;
    if (service) {
        complain(n->r, "no_implicit", ref->at, ref->s.n, STR("take out `implicit: false`, or name an action"),
                 "%s.%.*s names '%.*s', but the service has `implicit: false`", kind, STR_ARG(of), STR_ARG(ref->s));
        return;
    }
    const char *fix = nearest(n, ref->s, &n->actions, true, "declare it under `actions`");
    complain(n->r, "unknown_action", ref->at, ref->s.n, str_of(fix),
             "%s.%.*s names an action that does not exist: '%.*s'", kind, STR_ARG(of), STR_ARG(ref->s));
}

static void check_action_refs(struct names *n, const char *kind, str of, const struct config_list *list)
{
    for (uint32_t i = 0; i < list->n; i++) check_action_ref(n, kind, of, &list->v[i]);
}

static void check_refs(struct names *n)
{
    const struct config *c = n->r->c;
    for (uint32_t i = 0; i < c->n_products; i++)
        check_action_refs(n, "products", c->products[i].name, &c->products[i].may);
    for (uint32_t i = 0; i < c->n_roles; i++) check_action_refs(n, "roles", c->roles[i].name, &c->roles[i].actions);
    for (uint32_t i = 0; i < c->n_permissions; i++)
        check_action_refs(n, "permissions", c->permissions[i].name, &c->permissions[i].actions);
    for (uint32_t i = 0; i < c->n_actions; i++) {
        const struct config_action *a = &c->actions[i];
        if (!a->to.s.n || map_get(&n->services, a->to.s)) continue;
        const char *fix = nearest(n, a->to.s, &n->services, false, "declare it under `services`");
        complain(n->r, "unknown_service", a->to.at, a->to.s.n, str_of(fix),
                 "actions.%.*s leads to a service that does not exist: '%.*s'", STR_ARG(a->name), STR_ARG(a->to.s));
    }
}

static void check_issuer_refs(struct names *n, const struct config_issuer *issuer)
{
    for (uint32_t i = 0; i < issuer->products.n; i++) {
        const struct config_str *p = &issuer->products.v[i];
        if (map_get(&n->products, p->s)) continue;
        const char *fix = nearest(n, p->s, &n->products, false, "declare it under `products`");
        complain(n->r, "unknown_product", p->at, p->s.n, str_of(fix),
                 "issuers.%.*s.products names a product that does not exist: '%.*s'", STR_ARG(issuer->name),
                 STR_ARG(p->s));
    }
    for (uint32_t i = 0; i < issuer->roles.n; i++) {
        const struct config_str *role = &issuer->roles.v[i];
        if (map_get(&n->roles, role->s)) continue;
        const char *fix = nearest(n, role->s, &n->roles, false,
                                  "declare it under `roles`; a role with [] grants nothing and still reaches services");
        complain(n->r, "unknown_role", role->at, role->s.n, str_of(fix),
                 "issuers.%.*s.roles names a role that does not exist: '%.*s'", STR_ARG(issuer->name),
                 STR_ARG(role->s));
    }
}

/* --- nothing twice --- */

static void check_issuers(struct names *n)
{
    const struct config *c = n->r->c;
    const struct config_issuer *first_default = NULL;
    struct map by_iss = {0};
    for (uint32_t i = 0; i < c->n_issuers; i++) {
        const struct config_issuer *issuer = &c->issuers[i];
        void *other = NULL;
        check_issuer_refs(n, issuer);
        if (issuer->is_default && first_default)
            complain(n->r, "second_default", issuer->at, issuer->name.n, STR("leave `default: true` with one of them"),
                     "issuers.%.*s is a second default: '%.*s' in line %u is one already", STR_ARG(issuer->name),
                     STR_ARG(first_default->name), first_default->at.line);
        else if (issuer->is_default)
            first_default = issuer;
        if (!issuer->issuer.s.n) continue;
        if (map_put(&by_iss, issuer->issuer.s, (void *)(uintptr_t)issuer, &other) != ERR_OK) n->r->d->lost = true;
        const struct config_issuer *before = other;
        if (before)
            complain(n->r, "twice", issuer->issuer.at, issuer->issuer.s.n,
                     STR("a token could not be told to be of one or the other"),
                     "issuers.%.*s.issuer is the same as that of '%.*s' in line %u", STR_ARG(issuer->name),
                     STR_ARG(before->name), before->issuer.at.line);
    }
    map_free(&by_iss);
}

static void check_keys(struct names *n)
{
    const struct config *c = n->r->c;
    struct map by_id = {0};
    for (uint32_t i = 0; i < c->n_products; i++)
        for (uint32_t k = 0; k < c->products[i].n_keys; k++) {
            const struct config_key *key = &c->products[i].keys[k];
            void *other = NULL;
            if (map_put(&by_id, key->id, (void *)(uintptr_t)key, &other) != ERR_OK) n->r->d->lost = true;
            const struct config_key *before = other;
            if (before)
                complain(n->r, "twice", key->at, 1, STR("give every key an id of its own"),
                         "products.%.*s.keys has the id '%.*s', which stands in line %u too",
                         STR_ARG(c->products[i].name), STR_ARG(key->id), before->at.line);
        }
    map_free(&by_id);
}

static void check_addresses(struct reader *r)
{
    const struct config *c = r->c;
    for (uint32_t i = 0; c->has_admin && i < c->n_gateway; i++)
        if (str_eq(c->gateway[i].address.text, c->admin.text))
            complain(r, "twice", c->admin.at.line ? c->admin.at : c->gateway[i].address.at, c->admin.text.n,
                     STR("the administration has an address of its own, or is `none`"),
                     "listen.admin is the address of the gateway: '%.*s'", STR_ARG(c->admin.text));
}

/* --- bounds that depend on each other --- */

static void check_limits(struct reader *r, const struct yaml *root)
{
    const struct config_limits *l = &r->c->limits;
    const struct yaml *limits = yaml_get(root, STR("limits"));
    const struct yaml *head = yaml_get(limits, STR("head")), *buffer = yaml_get(limits, STR("buffer"));
    const struct yaml *target = yaml_get(limits, STR("target"));
    size_t mark = read_push(r, STR("limits"));
    if (l->head > l->buffer && (head || buffer))
        read_complain_key(r, "limits", head ? head : buffer, "a head must fit into one buffer",
                          "has a head (%u bytes) larger than its buffer (%u bytes)", l->head, l->buffer);
    if (l->target > l->head && (head || target))
        read_complain_key(r, "limits", target ? target : head, "the target is a part of the head",
                          "has a target (%u bytes) larger than its head (%u bytes)", l->target, l->head);
    read_pop(r, mark);
}

/* --- routes --- */

/* Which match an entry of the table was made from. */
struct origin {
    const struct config_action *action;
    const struct config_str *match;
};

static void check_strip(struct reader *r, const struct config_action *a, const struct config_str *match,
                        const struct pattern *p)
{
    if (!a->strip.s.n || pattern_has_prefix(p, a->strip.s)) return;
    complain(r, "strip", match->at, match->s.n, STR("strip cuts off what every match of the action begins with"),
             "actions.%.*s strips '%.*s', but this match does not begin with it", STR_ARG(a->name),
             STR_ARG(a->strip.s));
}

static void add_route(struct reader *r, struct route_builder *b, struct origin *origins, uint32_t *n_origins,
                      struct origin o)
{
    struct pattern p;
    const char *why;
    size_t at;
    uint32_t other = 0;
    if (pattern_parse(o.match->s, &p, &why, &at) != ERR_OK) return; /* told already */
    check_strip(r, o.action, o.match, &p);
    enum err e = route_add(b, &p, (uint32_t)(o.action - r->c->actions), o.action->strip.s.n, &other);
    if (e == ERR_OK) {
        origins[(*n_origins)++] = o;
    } else if (e == ERR_CONFLICT) {
        const struct origin *first = &origins[other];
        complain(r, "route_conflict", o.match->at, o.match->s.n, STR("two actions cannot share a route: change one"),
                 "actions.%.*s matches '%.*s', and so does '%.*s' of action '%.*s' in line %u, column %u",
                 STR_ARG(o.action->name), STR_ARG(o.match->s), STR_ARG(first->match->s), STR_ARG(first->action->name),
                 first->match->at.line, first->match->at.column);
    } else if (e == ERR_LIMIT) {
        complain(r, "limit", o.match->at, o.match->s.n, STR(""),
                 "actions.%.*s: this path has more than %d methods outside the usual ones", STR_ARG(o.action->name),
                 ROUTE_OTHERS_MAX);
    } else {
        r->d->lost = true;
    }
}

static void check_routes(struct reader *r)
{
    const struct config *c = r->c;
    struct route_builder *b;
    uint32_t n = 0, n_origins = 0;
    for (uint32_t i = 0; i < c->n_actions; i++) n += c->actions[i].matches.n;
    struct origin *origins = calloc(n ? n : 1, sizeof *origins);
    if (!origins || route_builder_new(&b) != ERR_OK) {
        free(origins);
        r->d->lost = true;
        return;
    }
    for (uint32_t i = 0; i < c->n_actions; i++)
        for (uint32_t k = 0; k < c->actions[i].matches.n; k++)
            add_route(r, b, origins, &n_origins, (struct origin){&c->actions[i], &c->actions[i].matches.v[k]});
    route_builder_free(&b);
    free(origins);
}

void check_config(struct reader *r, const struct yaml *root)
{
    struct names n = {.r = r};
    collect(&n);
    check_refs(&n);
    check_issuers(&n);
    check_keys(&n);
    check_addresses(r);
    check_limits(r, root);
    check_edge(r);
    check_routes(r);
    map_free(&n.actions);
    map_free(&n.services);
    map_free(&n.products);
    map_free(&n.roles);
}
