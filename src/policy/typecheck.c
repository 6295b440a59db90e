#include "policy/typecheck_internal.h"

#include "policy/core.h"

#include <stdarg.h>
#include <stdio.h>

#define CHECK_ROOM ((size_t)256 << 20)

void check_mistake(struct checker *c, enum policy_fault fault, const struct expr *e, str help, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (const struct mistake *x = c->m->first; x; x = x->next)
        if (x->at == e->at && x->end == e->end && x->fault == fault && str_eq(x->message, str_of(text)) &&
            str_eq(x->policy, c->m->policy))
            return;
    mistake(c->m, fault, e->at, e->end, help, "%s", text);
}

bool schema_action_in(const struct action_type *a, const struct action_type *ancestor)
{
    for (uint32_t i = 0; i < ancestor->descendants_n; i++)
        if (ancestor->descendants[i] == a) return true;
    return a == ancestor;
}

static bool is_action_type(str name)
{
    return str_eq(name, STR("Action")) || str_ends(name, STR("::Action"));
}

static bool descends(const struct schema *s, str a, str b)
{
    const struct entity_type *t = schema_entity(s, b);
    for (uint32_t i = 0; t && i < t->descendants_n; i++)
        if (str_eq(t->descendants[i], a)) return true;
    return false;
}

bool schema_type_in(const struct schema *s, str a, str b)
{
    if (str_eq(a, b) || descends(s, a, b)) return true;
    for (uint32_t i = 0; i < s->actions_n; i++) {
        const struct action_type *x = s->action_list[i];
        if (!str_eq(x->uid->type, b)) continue;
        for (uint32_t k = 0; k < x->descendants_n; k++)
            if (str_eq(x->descendants[k]->uid->type, a)) return true;
    }
    return false;
}

/* ---- names ---- */

static void unknown_type(struct checker *c, str name, uint32_t at, uint32_t end)
{
    str names[256];
    size_t n = 0;
    struct expr where = {.at = at, .end = end};
    for (uint32_t i = 0; i < c->schema->types_n && n < ARRAY_LEN(names); i++)
        names[n++] = c->schema->type_list[i]->name;
    check_mistake(c, POLICY_FAULT_UNKNOWN, &where, mistake_did_you_mean(c->m->mem, name, names, n),
                  "the schema knows no entity type `%.*s`", STR_ARG(name));
}

static void check_type_name(struct checker *c, str name, uint32_t at, uint32_t end)
{
    if (!is_action_type(name) && !schema_entity(c->schema, name)) unknown_type(c, name, at, end);
}

static void unknown_action(struct checker *c, const struct uid *u, const struct expr *where)
{
    str names[256];
    size_t n = 0;
    for (uint32_t i = 0; i < c->schema->actions_n && n < ARRAY_LEN(names); i++)
        names[n++] = c->schema->action_list[i]->uid->id;
    check_mistake(c, POLICY_FAULT_UNKNOWN, where, mistake_did_you_mean(c->m->mem, u->id, names, n),
                  "the schema knows no action %.*s::\"%.*s\"", STR_ARG(u->type), STR_ARG(u->id));
}

static void check_uid(struct checker *c, const struct uid *u, uint32_t at, uint32_t end)
{
    struct expr where = {.at = at, .end = end};
    if (uid_is_action(u)) {
        if (!schema_action(c->schema, u)) unknown_action(c, u, &where);
        return;
    }
    const struct entity_type *t = schema_entity(c->schema, u->type);
    if (!t) {
        unknown_type(c, u->type, at, end);
        return;
    }
    for (uint32_t i = 0; t->is_enum && i < t->choices_n; i++)
        if (str_eq(t->choices[i], u->id)) return;
    if (t->is_enum)
        check_mistake(c, POLICY_FAULT_UNKNOWN, &where, mistake_did_you_mean(c->m->mem, u->id, t->choices, t->choices_n),
                      "\"%.*s\" is none of the entities of %.*s", STR_ARG(u->id), STR_ARG(u->type));
}

static void check_expr_names(struct checker *c, const struct expr *e)
{
    if (e->kind == EXPR_LITERAL && e->value.kind == VALUE_ENTITY) check_uid(c, e->value.uid, e->at, e->end);
    if (e->kind == EXPR_IS) check_type_name(c, e->text, e->at, e->end);
    for (uint32_t i = 0; i < e->n; i++) check_expr_names(c, e->args[i]);
}

static void check_scope_names(struct checker *c, const struct scope *s)
{
    if (s->type.n) check_type_name(c, s->type, s->at, s->end);
    if (s->uid) check_uid(c, s->uid, s->at, s->end);
    for (uint32_t i = 0; i < s->n; i++) check_uid(c, s->list[i], s->at, s->end);
}

/* ---- whether any action applies ---- */

static bool scope_allows(const struct checker *c, const struct scope *s, str type)
{
    bool known = schema_entity(c->schema, type) != NULL;
    switch ((enum scope_kind)s->kind) {
    case SCOPE_ANY: return known;
    case SCOPE_EQ: return s->slot ? known : str_eq(type, s->uid->type);
    case SCOPE_IN: return s->slot ? known : str_eq(type, s->uid->type) || descends(c->schema, type, s->uid->type);
    case SCOPE_IS: return str_eq(type, s->type) && (known || is_action_type(type));
    case SCOPE_IS_IN:
        if (!str_eq(type, s->type)) return false;
        return s->slot ? known : str_eq(type, s->uid->type) || descends(c->schema, type, s->uid->type);
    case SCOPE_IN_LIST: break;
    }
    return false;
}

static bool action_fits(const struct checker *c, const struct scope *s, const struct action_type *a)
{
    if (s->kind == SCOPE_ANY) return true;
    if (s->kind == SCOPE_EQ) return uid_eq(s->uid, a->uid);
    bool found = false;
    uint32_t n = s->kind == SCOPE_IN_LIST ? s->n : 1;
    for (uint32_t i = 0; i < n; i++) {
        const struct action_type *b = schema_action(c->schema, s->kind == SCOPE_IN_LIST ? s->list[i] : s->uid);
        if (!b) return false;
        found = found || schema_action_in(a, b);
    }
    return found;
}

static void check_applies(struct checker *c, const struct policy *p)
{
    for (uint32_t i = 0; i < c->schema->actions_n; i++) {
        const struct action_type *a = c->schema->action_list[i];
        bool principal = false, resource = false;
        if (!action_fits(c, &p->action, a)) continue;
        for (uint32_t k = 0; k < a->principals_n && !principal; k++)
            principal = scope_allows(c, &p->principal, a->principals[k]);
        for (uint32_t k = 0; k < a->resources_n && !resource; k++)
            resource = scope_allows(c, &p->resource, a->resources[k]);
        if (principal && resource) return;
    }
    struct expr where = {.at = p->at, .end = p->end};
    check_mistake(
        c, POLICY_FAULT_IMPOSSIBLE, &where,
        STR("the schema's appliesTo says which types an action takes; did you mean `in` where there is `==`?"),
        "no action of the schema applies to this principal and this resource");
}

/* ---- types ---- */

static bool build_condition(struct arena *mem, const struct policy *p, const struct expr **out)
{
    const struct expr *principal = scope_core(mem, &p->principal, VAR_PRINCIPAL),
                      *action = scope_core(mem, &p->action, VAR_ACTION),
                      *resource = scope_core(mem, &p->resource, VAR_RESOURCE), *body = conditions_core(mem, p);
    if (!principal || !action || !resource || !body) return false;
    const struct expr *e = expr_make(mem, EXPR_AND, resource, body, NULL, p->at, p->end, NULL);
    e = e ? expr_make(mem, EXPR_AND, action, e, NULL, p->at, p->end, NULL) : NULL;
    e = e ? expr_make(mem, EXPR_AND, principal, e, NULL, p->at, p->end, NULL) : NULL;
    *out = e;
    return e != NULL;
}

/* The i-th type a template's slot can hold for a variable of that type; false behind the last. */
static bool slot_type(const struct schema *s, const struct scope *scope, str var, uint32_t i, str *out)
{
    if (!scope->slot) {
        *out = STR("");
        return i == 0;
    }
    if (scope->kind == SCOPE_EQ || i == 0) {
        *out = var;
        return i == 0;
    }
    uint32_t at = 0;
    for (uint32_t k = 0; k < s->types_n; k++)
        if (descends(s, var, s->type_list[k]->name) && ++at == i) {
            *out = s->type_list[k]->name;
            return true;
        }
    return false;
}

static void check_env(struct checker *c, const struct policy *p, const struct expr *condition, struct request_env env,
                      bool *all_false)
{
    for (uint32_t i = 0; slot_type(c->schema, &p->principal, env.principal, i, &env.principal_slot); i++)
        for (uint32_t k = 0; slot_type(c->schema, &p->resource, env.resource, k, &env.resource_slot); k++) {
            bool ok;
            c->env = &env;
            const struct type *t = check_condition(c, condition, &ok);
            if (!t || t->kind != TYPE_FALSE) *all_false = false;
            arena_reset(c->mem);
        }
}

static enum err check_policy(struct checker *c, struct arena *kept, const struct policy *p)
{
    const struct expr *condition;
    bool all_false = true;
    c->m->policy = p->id;
    if (!build_condition(kept, p, &condition)) return ERR_NO_MEMORY;
    check_scope_names(c, &p->principal);
    check_scope_names(c, &p->action);
    check_scope_names(c, &p->resource);
    for (uint32_t i = 0; i < p->conditions_n; i++) check_expr_names(c, p->conditions[i].body);
    check_applies(c, p);
    for (uint32_t i = 0; i < c->schema->actions_n; i++) {
        const struct action_type *a = c->schema->action_list[i];
        for (uint32_t k = 0; k < a->principals_n; k++)
            for (uint32_t r = 0; r < a->resources_n; r++)
                check_env(c, p, condition,
                          (struct request_env){.action = a, .principal = a->principals[k], .resource = a->resources[r]},
                          &all_false);
    }
    if (all_false) mistake_warn(c->m, POLICY_FAULT_IMPOSSIBLE, p->at, p->end, "this policy can never apply");
    return c->no_memory ? ERR_NO_MEMORY : ERR_OK;
}

/* A link's template was checked; what fills its slots is not yet. */
static void check_link(struct checker *c, const struct policy *p)
{
    c->m->policy = p->id;
    if (p->template->principal.slot) check_type_name(c, p->principal.uid->type, p->at, p->end);
    if (p->template->resource.slot) check_type_name(c, p->resource.uid->type, p->at, p->end);
    check_applies(c, p);
}

enum err policies_validate(const struct policy_set *set, const struct schema *schema, struct mistakes *m)
{
    struct arena scratch, kept;
    struct checker c = {.schema = schema, .mem = &scratch, .m = m};
    uint32_t before = m->n;
    enum err e = ERR_OK;
    arena_init(&scratch, NULL, 0, CHECK_ROOM);
    arena_init(&kept, NULL, 0, CHECK_ROOM);
    for (uint32_t i = 0; i < set->n + set->templates_n && e == ERR_OK; i++) {
        const struct policy *p = i < set->n ? set->policies[i] : set->templates[i - set->n];
        if (p->template)
            check_link(&c, p);
        else
            e = check_policy(&c, &kept, p);
        arena_reset(&scratch);
        arena_reset(&kept);
    }
    m->policy = STR_NONE;
    if (e == ERR_NO_MEMORY) mistake(m, POLICY_FAULT_MEMORY, 0, 0, STR_NONE, "out of memory");
    return e == ERR_OK && m->n != before ? mistakes_err(m) : e;
}
