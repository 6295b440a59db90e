#include "config/findings_private.h"

#include "base/map.h"
#include "config/pattern.h"
#include "config/values.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What is known of an action, explicit or implicit. */
struct reach {
    bool may_by_key;   /* a product with keys may ask for it */
    bool may_by_token; /* a product known by token may */
    bool may;          /* any product names it */
    bool granted;      /* a role or permission that some issuer may assert grants it */
    bool named;        /* some role or permission names it, asserted or not */
};

struct findings {
    const struct config *c;
    struct diags *d;
    struct map actions;  /* name → place in `reach` + 1 */
    struct reach *reach; /* of the actions, then of the services' implicit routes */
    bool *vouched;       /* by product: an issuer may vouch for it */
    bool *role_asserted, *permission_asserted;
    bool *service_used;
    struct map roles, permissions, products; /* name → place + 1 */
    str *invoke_names;
    struct arena mem;
};

void finding(struct diags *d, const char *code, struct config_pos at, size_t width, str fix, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    diag_add(d, DIAG_WARNING, code, at, width ? (uint32_t)width : 1, fix, "%s", text);
}

/* --- an index of names --- */

static void put(struct findings *f, struct map *m, str name, size_t place)
{
    if (map_put(m, name, (void *)(uintptr_t)(place + 1), NULL) != ERR_OK) f->d->lost = true;
}

/* Place, or SIZE_MAX. */
static size_t place_of(const struct map *m, str name)
{
    return (size_t)(uintptr_t)map_get(m, name) - 1;
}

static bool prepare(struct findings *f)
{
    const struct config *c = f->c;
    arena_init(&f->mem, NULL, 0, 64u << 20);
    f->reach = arena_array(&f->mem, (size_t)c->n_actions + c->n_services + 1, sizeof *f->reach);
    f->vouched = arena_array(&f->mem, (size_t)c->n_products + 1, 1);
    f->role_asserted = arena_array(&f->mem, (size_t)c->n_roles + 1, 1);
    f->permission_asserted = arena_array(&f->mem, (size_t)c->n_permissions + 1, 1);
    f->service_used = arena_array(&f->mem, (size_t)c->n_services + 1, 1);
    f->invoke_names = arena_array(&f->mem, (size_t)c->n_services + 1, sizeof *f->invoke_names);
    if (!f->reach || !f->vouched || !f->role_asserted || !f->permission_asserted || !f->service_used ||
        !f->invoke_names)
        return false;
    for (uint32_t i = 0; i < c->n_actions; i++) put(f, &f->actions, c->actions[i].name, i);
    for (uint32_t i = 0; i < c->n_services; i++) {
        f->invoke_names[i] = arena_printf(&f->mem, "%.*s:invoke", STR_ARG(c->services[i].name));
        if (!f->invoke_names[i].p) return false;
        if (c->services[i].implicit) put(f, &f->actions, f->invoke_names[i], c->n_actions + i);
    }
    for (uint32_t i = 0; i < c->n_roles; i++) put(f, &f->roles, c->roles[i].name, i);
    for (uint32_t i = 0; i < c->n_permissions; i++) put(f, &f->permissions, c->permissions[i].name, i);
    for (uint32_t i = 0; i < c->n_products; i++) put(f, &f->products, c->products[i].name, i);
    return !f->d->lost;
}

/* --- who reaches what --- */

static void mark_asserted(const struct config_list *may, const struct map *index, bool *asserted, uint32_t n)
{
    if (may->any) memset(asserted, 1, n);
    for (uint32_t i = 0; i < may->n; i++) {
        size_t at = place_of(index, may->v[i].s);
        if (at != SIZE_MAX) asserted[at] = true;
    }
}

static void mark_granted(struct findings *f, const struct config_grant *grants, const bool *asserted, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < grants[i].actions.n; k++) {
            size_t at = place_of(&f->actions, grants[i].actions.v[k].s);
            if (at == SIZE_MAX) continue;
            f->reach[at].named = true;
            f->reach[at].granted |= asserted[i];
        }
}

static void mark_issuer(struct findings *f, const struct config_issuer *issuer)
{
    const struct config *c = f->c;
    if (issuer->products.any) memset(f->vouched, 1, c->n_products);
    for (uint32_t i = 0; i < issuer->products.n; i++) {
        size_t at = place_of(&f->products, issuer->products.v[i].s);
        if (at != SIZE_MAX) f->vouched[at] = true;
    }
    mark_asserted(&issuer->roles, &f->roles, f->role_asserted, c->n_roles);
    mark_asserted(&issuer->permissions, &f->permissions, f->permission_asserted, c->n_permissions);
    /* a permission named like an action grants it */
    for (uint32_t i = 0; issuer->permissions.any && i < c->n_actions + c->n_services; i++) f->reach[i].granted = true;
    for (uint32_t i = 0; i < issuer->permissions.n; i++) {
        size_t at = place_of(&f->actions, issuer->permissions.v[i].s);
        if (at != SIZE_MAX) f->reach[at].granted = true;
    }
}

static void mark(struct findings *f)
{
    const struct config *c = f->c;
    for (uint32_t i = 0; i < c->n_issuers; i++) mark_issuer(f, &c->issuers[i]);
    mark_granted(f, c->roles, f->role_asserted, c->n_roles);
    mark_granted(f, c->permissions, f->permission_asserted, c->n_permissions);
    for (uint32_t i = 0; i < c->n_products; i++) {
        const struct config_product *p = &c->products[i];
        for (uint32_t k = 0; k < p->may.n; k++) {
            size_t at = place_of(&f->actions, p->may.v[k].s);
            if (at == SIZE_MAX) continue;
            f->reach[at].may = true;
            f->reach[at].may_by_key |= p->auth == PRODUCT_APIKEY;
            f->reach[at].may_by_token |= p->auth == PRODUCT_TOKEN;
            if (at >= c->n_actions) f->service_used[at - c->n_actions] = true;
        }
    }
    struct map services = {0};
    for (uint32_t i = 0; i < c->n_services; i++) put(f, &services, c->services[i].name, i);
    for (uint32_t i = 0; i < c->n_actions; i++) {
        size_t at = place_of(&services, c->actions[i].to.s);
        if (at != SIZE_MAX) f->service_used[at] = true;
    }
    map_free(&services);
}

/* What any kind of caller may use. */
static uint8_t accepted_by(const struct config_action *a)
{
    return a->accept[CALLER_USER] | a->accept[CALLER_SERVICE] | a->accept[CALLER_THIRD_PARTY];
}

/* --- findings --- */

static void look_at_action(struct findings *f, const struct config_action *a, const struct reach *r)
{
    if (a->builtin) return; /* public by design, or granted by `login` */
    if (a->is_public) {
        finding(f->d, "public", a->at, a->name.n, STR("take out `public: true` if that is not meant"),
                "'%.*s' is public: anybody may, without key and token: %.*s%s", STR_ARG(a->name),
                STR_ARG(a->matches.n ? a->matches.v[0].s : STR("")), a->matches.n > 1 ? " and more" : "");
        return;
    }
    if (!r->may)
        finding(f->d, "ungranted", a->at, a->name.n, STR("add it to the `may` of a product"),
                "nobody can ask for '%.*s': no product may", STR_ARG(a->name));
    else if (accepted_by(a) == ACCEPT_TOKEN && !r->granted)
        finding(f->d, "ungranted", a->at, a->name.n,
                r->named ? STR("let an issuer assert a role or permission that grants it")
                         : STR("add it to a role or permission that an issuer may assert"),
                "nobody is granted '%.*s': no user can have a role or permission for it", STR_ARG(a->name));
    else if (accepted_by(a) == ACCEPT_APIKEY && !r->may_by_key)
        finding(f->d, "ungranted", a->at, a->name.n,
                STR("accept tokens, or let a product with `auth: apikey` ask for it"),
                "nobody can ask for '%.*s': it takes API keys only, and no product that may ask for it has keys",
                STR_ARG(a->name));
}

/* An explicit action that matches every path below /service. */
static const struct config_action *who_hides(const struct config *c, str service)
{
    for (uint32_t i = 0; i < c->n_actions; i++)
        for (uint32_t k = 0; k < c->actions[i].matches.n; k++) {
            struct pattern p;
            const char *why;
            size_t at;
            if (pattern_parse(c->actions[i].matches.v[k].s, &p, &why, &at) != ERR_OK) continue;
            const struct segment *first = &p.segments[0], *last = &p.segments[p.n_segments - 1];
            if (last->kind != SEGMENT_REST || p.n_segments > 2) continue;
            bool here = p.n_segments == 1 || first->kind == SEGMENT_PARAM || str_eq(first->text, service);
            if (here) return &c->actions[i];
        }
    return NULL;
}

static void look_at_service(struct findings *f, const struct config_service *s, uint32_t index)
{
    if (s->builtin) return;
    const struct reach *r = &f->reach[f->c->n_actions + index];
    if (!f->service_used[index])
        finding(f->d, "unreached", s->at, s->name.n, STR("add an action that leads to it, or take it out"),
                "nothing leads to the service '%.*s': no action, and no product may '%.*s:invoke'", STR_ARG(s->name),
                STR_ARG(s->name));
    if (!s->implicit || !r->may) return;
    const struct config_action *hides = who_hides(f->c, s->name);
    if (hides)
        finding(f->d, "unreachable", s->at, s->name.n,
                STR("explicit actions win: narrow its pattern, or set `implicit: false`"),
                "the implicit route /%.*s/… cannot be reached: action '%.*s' in line %u matches every path there",
                STR_ARG(s->name), STR_ARG(hides->name), hides->at.line);
    else if (r->granted)
        finding(f->d, "implicit", s->at, s->name.n, STR("name the actions one by one where that is too much"),
                "everything below /%.*s is granted to whoever has '%.*s:invoke'", STR_ARG(s->name), STR_ARG(s->name));
    else
        finding(f->d, "ungranted", s->at, s->name.n, STR("add it to a role or permission that an issuer may assert"),
                "a product may '%.*s:invoke', but no user can have a role or permission for it", STR_ARG(s->name));
}

/* Whether the product may ask for something that only a user's token opens. */
static bool needs_users(const struct findings *f, const struct config_product *p)
{
    for (uint32_t i = 0; i < p->may.n; i++) {
        size_t at = place_of(&f->actions, p->may.v[i].s);
        bool explicit = at < f->c->n_actions;
        if (at != SIZE_MAX && (!explicit || accepted_by(&f->c->actions[at]) == ACCEPT_TOKEN)) return true;
    }
    return false;
}

static void look_at_product(struct findings *f, const struct config_product *p, uint32_t index)
{
    if (p->may.n == 0)
        finding(f->d, "product", p->at, p->name.n, STR("list actions under `may`"), "the product '%.*s' may nothing",
                STR_ARG(p->name));
    if (p->auth == PRODUCT_APIKEY && p->n_keys == 0 && !f->c->fed) { /* with a store they can be made at run time */
        char fix[128];
        snprintf(fix, sizeof fix, "`sallyport key new %.*s` prints a key and its line", STR_ARG(p->name));
        finding(f->d, "product", p->at, p->name.n, str_of(fix), "the product '%.*s' has no keys: nobody can call as it",
                STR_ARG(p->name));
    }
    if (!f->vouched[index] && (p->auth == PRODUCT_TOKEN || needs_users(f, p)))
        finding(f->d, "product", p->at, p->name.n, STR("add it to the `products` of an issuer"),
                "no issuer may vouch for the product '%.*s': no user's token is good for it", STR_ARG(p->name));
}

static void look_at_issuer(struct findings *f, const struct config_issuer *i)
{
    if (i->products.n == 0 && !i->products.any)
        finding(f->d, "issuer", i->at, i->name.n, STR("list the products it may vouch for under `products`"),
                "the issuer '%.*s' may vouch for no product: its tokens open nothing", STR_ARG(i->name));
    if (i->roles.n + i->permissions.n == 0 && !i->roles.any && !i->permissions.any)
        finding(f->d, "issuer", i->at, i->name.n, STR("list them under `roles` or `permissions`, or write `any`"),
                "the issuer '%.*s' may assert no role and no permission: its users are granted nothing",
                STR_ARG(i->name));
    for (uint32_t k = 0; k < i->permissions.n; k++) {
        const struct config_str *p = &i->permissions.v[k];
        if (place_of(&f->permissions, p->s) != SIZE_MAX || place_of(&f->actions, p->s) != SIZE_MAX) continue;
        struct value_nearest near = {0};
        const struct map_slot *slot;
        for (size_t at = 0; (slot = map_next(&f->permissions, &at));) value_nearest(&near, p->s, slot->key);
        for (size_t at = 0; k < 100 && (slot = map_next(&f->actions, &at));) value_nearest(&near, p->s, slot->key);
        char fix[160] = "list it under `permissions`, or name an action";
        if (near.best.p) snprintf(fix, sizeof fix, "did you mean '%.*s'?", STR_ARG(near.best));
        finding(f->d, "permission", p->at, p->s.n, str_of(fix),
                "'%.*s' grants nothing: there is no such permission and no action of that name", STR_ARG(p->s));
    }
}

static void look_at_grants(struct findings *f, const char *kind, const struct config_grant *grants,
                           const bool *asserted, uint32_t n)
{
    for (uint32_t i = 0; i < n && f->c->n_issuers; i++) {
        if (asserted[i]) continue;
        char fix[96];
        snprintf(fix, sizeof fix, "add it to the `%ss` of an issuer", kind);
        finding(f->d, "unasserted", grants[i].at, grants[i].name.n, str_of(fix),
                "no issuer may assert the %s '%.*s': nobody can have it", kind, STR_ARG(grants[i].name));
    }
}

bool finding_is_loopback(str host)
{
    return str_starts(host, STR("127.")) || str_eq(host, STR("::1")) || str_eq(host, STR("localhost"));
}

static void look_at_edges(struct findings *f)
{
    const struct config *c = f->c;
    if (c->has_admin && c->admin.kind != ADDRESS_UNIX && !finding_is_loopback(c->admin.host))
        finding(f->d, "admin", c->admin.at, c->admin.text.n, STR("use 127.0.0.1 or a Unix socket"),
                "the administration listens beyond this machine: '%.*s'", STR_ARG(c->admin.text));
    for (uint32_t i = 0; i < c->n_hops_trusted; i++)
        if (!c->hops_trusted[i].any_unix && c->hops_trusted[i].bits == 0)
            finding(f->d, "trusted_hops", (struct config_pos){0}, 1, STR("name the networks of your own proxies"),
                    "trusted_hops has a network of prefix length 0: everybody's forwarding headers are believed");
    if (c->n_actions == 0 && c->n_services == 0)
        finding(f->d, "empty", (struct config_pos){0}, 1, STR("declare `services` and `actions`"),
                "there is no service and no action: every request is refused");
}

static void look_at_authentication(struct findings *f)
{
    const struct config *c = f->c;
    const struct config_authentication *a = &c->authentication;
    if (!a->on) return;
    bool anybody = false;
    for (uint32_t i = 0; i < c->n_products; i++) anybody |= c->products[i].login != LOGIN_NONE;
    if (!anybody)
        finding(f->d, "login", a->at, 14, STR("write login: password for a product"),
                "nobody logs in here: no product of this file has `login`");
    if (!str_starts(a->issuer.s, STR("https://")))
        finding(f->d, "issuer", a->issuer.at, a->issuer.s.n, STR("write the https:// URL that clients use"),
                "the issuer is no https:// URL: clients that look up its keys will not trust it");
    if (a->memory * a->passes < (UINT64_C(38) << 20))
        finding(f->d, "password", a->at, 14, STR("memory: 19MB and passes: 2 are the least that is advised"),
                "passwords are cheap to try: argon2id with %llu MB and %u pass%s",
                (unsigned long long)(a->memory >> 20), a->passes, a->passes == 1 ? "" : "es");
    if (c->engine == CONFIG_ENGINE_MEMORY)
        finding(f->d, "memory", (struct config_pos){0}, 1, STR("write engine: sqlite, or leave it out"),
                "the store is kept in memory: users, sessions and keys are gone when the process ends");
}

void config_findings(const struct config *c, struct diags *d)
{
    struct findings f = {.c = c, .d = d};
    if (prepare(&f)) {
        mark(&f);
        look_at_edges(&f);
        findings_of_edge(c, d);
        look_at_authentication(&f);
        for (uint32_t i = 0; i < c->n_issuers; i++) look_at_issuer(&f, &c->issuers[i]);
        for (uint32_t i = 0; i < c->n_products; i++) look_at_product(&f, &c->products[i], i);
        for (uint32_t i = 0; i < c->n_services; i++) look_at_service(&f, &c->services[i], i);
        for (uint32_t i = 0; i < c->n_actions; i++) look_at_action(&f, &c->actions[i], &f.reach[i]);
        look_at_grants(&f, "role", c->roles, f.role_asserted, c->n_roles);
        look_at_grants(&f, "permission", c->permissions, f.permission_asserted, c->n_permissions);
    } else {
        d->lost = true;
    }
    map_free(&f.actions);
    map_free(&f.roles);
    map_free(&f.permissions);
    map_free(&f.products);
    arena_reset(&f.mem);
    diags_sort(d);
}
