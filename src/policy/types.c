#include "policy/types.h"

static bool within_record(const struct type *a, const struct type *b)
{
    if (a->n != b->n) return false;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct type_attr *x = &a->attrs[i], *y = &b->attrs[i];
        if (!str_eq(x->name, y->name) || x->required != y->required || !type_within(x->type, y->type)) return false;
    }
    return true;
}

bool type_within(const struct type *a, const struct type *b)
{
    if (a == b || a->kind == TYPE_NEVER) return true;
    if ((a->kind == TYPE_FALSE || a->kind == TYPE_TRUE) && b->kind == TYPE_BOOL) return true;
    if (a->kind != b->kind) return false;
    switch ((enum type_kind)a->kind) {
    case TYPE_NEVER:
    case TYPE_FALSE:
    case TYPE_TRUE:
    case TYPE_BOOL:
    case TYPE_LONG:
    case TYPE_STRING: return true;
    case TYPE_ENTITY: return str_eq(a->name, b->name);
    case TYPE_EXT: return a->ext == b->ext;
    case TYPE_SET: return type_within(a->element, b->element);
    case TYPE_RECORD: return within_record(a, b);
    }
    return false;
}

static const struct type *join_record(const struct type *a, const struct type *b, struct arena *mem, bool *failed)
{
    if (a->n != b->n) return NULL;
    struct type *t = arena_zalloc(mem, sizeof *t);
    struct type_attr *attrs = arena_array(mem, a->n, sizeof *attrs);
    if (!t || (a->n && !attrs)) {
        *failed = true;
        return NULL;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        const struct type_attr *x = &a->attrs[i], *y = &b->attrs[i];
        if (!str_eq(x->name, y->name) || x->required != y->required) return NULL;
        attrs[i] = (struct type_attr){x->name, type_join(x->type, y->type, mem, failed), x->required};
        if (!attrs[i].type) return NULL;
    }
    *t = (struct type){.kind = TYPE_RECORD, .n = a->n, .attrs = attrs};
    return t;
}

const struct type *type_join(const struct type *a, const struct type *b, struct arena *mem, bool *failed)
{
    if (type_within(a, b)) return b;
    if (type_within(b, a)) return a;
    if (type_is_bool(a) && type_is_bool(b)) return type_simple(TYPE_BOOL);
    if (a->kind != b->kind) return NULL;
    if (a->kind == TYPE_RECORD) return join_record(a, b, mem, failed);
    if (a->kind != TYPE_SET) return NULL;
    const struct type *element = type_join(a->element, b->element, mem, failed);
    struct type *t = element ? arena_zalloc(mem, sizeof *t) : NULL;
    if (element && !t) *failed = true;
    if (!t) return NULL;
    *t = (struct type){.kind = TYPE_SET, .element = element};
    return t;
}
