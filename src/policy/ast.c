#include "policy/ast.h"

const str var_names[4] = {STR_INIT("principal"), STR_INIT("action"), STR_INIT("resource"), STR_INIT("context")};

struct expr *expr_new(struct arena *mem, enum expr_kind kind, uint32_t n, uint32_t at, uint32_t end)
{
    struct expr *e = arena_zalloc(mem, sizeof *e);
    if (!e) return NULL;
    e->kind = (uint8_t)kind;
    e->depth = 1;
    e->n = n;
    e->at = at;
    e->end = end;
    if (n) {
        e->args = arena_array(mem, n, sizeof *e->args);
        if (!e->args) return NULL;
    }
    return e;
}

bool expr_done(struct expr *e)
{
    uint16_t depth = 0;
    for (uint32_t i = 0; i < e->n; i++)
        if (e->args[i]->depth > depth) depth = e->args[i]->depth;
    if (depth >= EXPR_DEPTH_MAX) return false;
    e->depth = (uint16_t)(depth + 1);
    return true;
}

struct expr *expr_make(struct arena *mem, enum expr_kind kind, const struct expr *a, const struct expr *b,
                       const struct expr *c, uint32_t at, uint32_t end, bool *deep)
{
    uint32_t n = c ? 3 : b ? 2 : a ? 1 : 0;
    struct expr *e = expr_new(mem, kind, n, at, end);
    if (!e) return NULL;
    if (n > 0) e->args[0] = a;
    if (n > 1) e->args[1] = b;
    if (n > 2) e->args[2] = c;
    if (!expr_done(e)) {
        if (deep) *deep = true;
        return NULL;
    }
    return e;
}

struct expr *expr_literal(struct arena *mem, struct value v, uint32_t at, uint32_t end)
{
    struct expr *e = expr_new(mem, EXPR_LITERAL, 0, at, end);
    if (e) e->value = v;
    return e;
}

bool expr_eq(const struct expr *a, const struct expr *b)
{
    if (a == b) return true;
    if (a->kind != b->kind || a->sub != b->sub || a->n != b->n || a->names_n != b->names_n) return false;
    if (a->kind == EXPR_LITERAL) return value_eq(&a->value, &b->value);
    if (a->kind == EXPR_ATTR || a->kind == EXPR_IS || a->kind == EXPR_UNKNOWN) {
        if (!str_eq(a->text, b->text)) return false;
    } else {
        for (uint32_t i = 0; i < a->names_n; i++)
            if (!str_eq(a->names[i], b->names[i])) return false;
    }
    for (uint32_t i = 0; i < a->n; i++)
        if (!expr_eq(a->args[i], b->args[i])) return false;
    return true;
}

str policy_annotation(const struct policy *p, str name)
{
    for (uint32_t i = 0; i < p->annotations_n; i++)
        if (str_eq(p->annotations[i].name, name)) return p->annotations[i].value;
    return STR_NONE;
}

const struct policy *policy_find(const struct policy_set *set, str id)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (str_eq(set->policies[i]->id, id)) return set->policies[i];
    for (uint32_t i = 0; i < set->templates_n; i++)
        if (str_eq(set->templates[i]->id, id)) return set->templates[i];
    return NULL;
}

/* Doubles at powers of two: the arrays have no capacity of their own to remember. */
static enum err append(struct arena *mem, const struct policy ***list, uint32_t *n, const struct policy *p)
{
    if ((*n & (*n - 1)) == 0) {
        const struct policy **grown = arena_array(mem, *n ? (size_t)*n * 2 : 1, sizeof(const struct policy *));
        if (!grown) return ERR_NO_MEMORY;
        for (uint32_t i = 0; i < *n; i++) grown[i] = (*list)[i];
        *list = grown;
    }
    (*list)[(*n)++] = p;
    return ERR_OK;
}

enum err policy_set_add(struct policy_set *set, struct policy *p)
{
    if (policy_is_template(p)) return append(set->mem, &set->templates, &set->templates_n, p);
    p->index = set->n;
    return append(set->mem, &set->policies, &set->n, p);
}

enum err policy_link_fresh(struct policy_set *set, const struct policy *template, str id, const struct uid *principal,
                           const struct uid *resource)
{
    if (template->principal.slot != (principal != NULL) || template->resource.slot != (resource != NULL))
        return ERR_MALFORMED;
    struct policy *p = arena_alloc(set->mem, sizeof *p);
    if (!p) return ERR_NO_MEMORY;
    *p = *template;
    p->id = arena_copy(set->mem, id);
    if (!p->id.p) return ERR_NO_MEMORY;
    p->template = template;
    if (principal) p->principal.uid = uid_new(set->mem, principal->type, principal->id);
    if (resource) p->resource.uid = uid_new(set->mem, resource->type, resource->id);
    if ((principal && !p->principal.uid) || (resource && !p->resource.uid)) return ERR_NO_MEMORY;
    p->principal.slot = p->resource.slot = false;
    return policy_set_add(set, p);
}

enum err policy_link(struct policy_set *set, const struct policy *template, str id, const struct uid *principal,
                     const struct uid *resource)
{
    if (template->principal.slot != (principal != NULL) || template->resource.slot != (resource != NULL))
        return ERR_MALFORMED;
    if (policy_find(set, id)) return ERR_CONFLICT;
    return policy_link_fresh(set, template, id, principal, resource);
}
