#include "policy/ops.h"

const struct entity *facts_entity(const struct facts *f, const struct uid *uid)
{
    for (size_t i = 0; i < ARRAY_LEN(f->known); i++)
        if (f->known[i].uid == uid) return f->known[i].entity;
    for (uint32_t i = 0; i < f->own_n; i++)
        if (uid_eq(&f->own[i].uid, uid)) return &f->own[i];
    return f->entities ? entities_find(f->entities, uid) : NULL;
}

bool op_like(str text, const str *pieces, uint32_t n)
{
    /* The first and the last piece are anchored; each one between is best taken where it first occurs. */
    if (n == 1) return str_eq(text, pieces[0]);
    if (!str_starts(text, pieces[0])) return false;
    text = str_from(text, pieces[0].n);
    if (!str_ends(text, pieces[n - 1])) return false;
    text = str_first(text, text.n - pieces[n - 1].n);
    for (uint32_t i = 1; i + 1 < n; i++) {
        if (pieces[i].n == 0) continue;
        const char *at = text.n ? memmem(text.p, text.n, pieces[i].p, pieces[i].n) : NULL;
        if (!at) return false;
        text = str_from(text, (size_t)(at - text.p) + pieces[i].n);
    }
    return true;
}

enum eval_fault op_attr(const struct facts *f, const struct value *v, str name, struct value *out)
{
    const struct value *found;
    if (v->kind == VALUE_RECORD) {
        found = value_attr(v->attrs, v->n, name);
    } else if (v->kind == VALUE_ENTITY) {
        const struct entity *e = facts_entity(f, v->uid);
        if (!e) return EVAL_FAULT_ENTITY;
        found = entity_attr(e, name);
    } else {
        return EVAL_FAULT_TYPE;
    }
    if (!found) return EVAL_FAULT_ATTRIBUTE;
    if (found->kind == VALUE_UNKNOWN) return EVAL_FAULT_UNKNOWN;
    *out = *found;
    return EVAL_FAULT_NONE;
}

enum eval_fault op_has(const struct facts *f, const struct value *v, const str *names, uint32_t n, bool *out)
{
    struct value at = *v;
    for (uint32_t i = 0; i < n; i++) {
        const struct value *found = NULL;
        if (at.kind == VALUE_RECORD) {
            found = value_attr(at.attrs, at.n, names[i]);
        } else if (at.kind == VALUE_ENTITY) {
            const struct entity *e = facts_entity(f, at.uid);
            if (e) found = entity_attr(e, names[i]);
        } else {
            return at.kind == VALUE_UNKNOWN ? EVAL_FAULT_UNKNOWN : EVAL_FAULT_TYPE;
        }
        if (!found) {
            *out = false;
            return EVAL_FAULT_NONE;
        }
        at = *found;
    }
    *out = true;
    return EVAL_FAULT_NONE;
}

/* Few candidates in the set: ask for each. Many: look our own few ancestors up in the set. */
static bool in_set(const struct entity *e, const struct uid *u, const struct value *set)
{
    struct value self = value_entity(u);
    if (e && set->n > e->ancestors_n + 4) {
        if (value_set_has(set, &self)) return true;
        for (uint32_t i = 0; i < e->ancestors_n; i++) {
            struct value a = value_entity(e->ancestors[i]);
            if (value_set_has(set, &a)) return true;
        }
        return false;
    }
    for (uint32_t i = 0; i < set->n; i++)
        if (uid_eq(u, set->items[i].uid) || (e && entity_is_in(e, set->items[i].uid))) return true;
    return false;
}

enum eval_fault op_in(const struct facts *f, const struct uid *u, const struct value *b, bool *out)
{
    if (b->kind == VALUE_ENTITY) {
        if (uid_eq(u, b->uid)) {
            *out = true;
            return EVAL_FAULT_NONE;
        }
        const struct entity *e = facts_entity(f, u);
        *out = e && entity_is_in(e, b->uid);
        return EVAL_FAULT_NONE;
    }
    if (b->kind != VALUE_SET) return EVAL_FAULT_TYPE;
    /* Sorted by kind first: if both ends are entities, all are. */
    if (b->n && (b->items[0].kind != VALUE_ENTITY || b->items[b->n - 1].kind != VALUE_ENTITY)) return EVAL_FAULT_TYPE;
    *out = in_set(facts_entity(f, u), u, b);
    return EVAL_FAULT_NONE;
}

static enum eval_fault compare(enum expr_kind kind, const struct value *a, const struct value *b, struct value *out)
{
    bool ordered = a->kind == VALUE_LONG || a->kind == VALUE_DATETIME || a->kind == VALUE_DURATION;
    if (!ordered || a->kind != b->kind) return EVAL_FAULT_TYPE;
    int64_t x = a->integer, y = b->integer;
    *out = value_bool(kind == EXPR_LT ? x < y : kind == EXPR_LE ? x <= y : kind == EXPR_GT ? x > y : x >= y);
    return EVAL_FAULT_NONE;
}

static enum eval_fault arithmetic(enum expr_kind kind, const struct value *a, const struct value *b, struct value *out)
{
    int64_t r;
    if (a->kind != VALUE_LONG || b->kind != VALUE_LONG) return EVAL_FAULT_TYPE;
    bool overflow = kind == EXPR_ADD   ? __builtin_add_overflow(a->integer, b->integer, &r)
                    : kind == EXPR_SUB ? __builtin_sub_overflow(a->integer, b->integer, &r)
                                       : __builtin_mul_overflow(a->integer, b->integer, &r);
    if (overflow) return EVAL_FAULT_OVERFLOW;
    *out = value_long(r);
    return EVAL_FAULT_NONE;
}

static enum eval_fault tag(const struct facts *f, enum expr_kind kind, const struct value *a, const struct value *b,
                           struct value *out)
{
    if (a->kind != VALUE_ENTITY || b->kind != VALUE_STRING) return EVAL_FAULT_TYPE;
    const struct entity *e = facts_entity(f, a->uid);
    const struct value *v = e ? entity_tag(e, value_text(b)) : NULL;
    if (kind == EXPR_HAS_TAG) {
        *out = value_bool(v != NULL);
        return EVAL_FAULT_NONE;
    }
    if (!v) return e ? EVAL_FAULT_TAG : EVAL_FAULT_ENTITY;
    if (v->kind == VALUE_UNKNOWN) return EVAL_FAULT_UNKNOWN;
    *out = *v;
    return EVAL_FAULT_NONE;
}

enum eval_fault op_binary(const struct facts *f, enum expr_kind kind, const struct value *a, const struct value *b,
                          struct value *out)
{
    bool yes;
    switch (kind) {
    case EXPR_EQ: *out = value_bool(value_eq(a, b)); return EVAL_FAULT_NONE;
    case EXPR_NE: *out = value_bool(!value_eq(a, b)); return EVAL_FAULT_NONE;
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE: return compare(kind, a, b, out);
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL: return arithmetic(kind, a, b, out);
    case EXPR_IN: {
        if (a->kind != VALUE_ENTITY) return EVAL_FAULT_TYPE;
        enum eval_fault fault = op_in(f, a->uid, b, &yes);
        if (fault == EVAL_FAULT_NONE) *out = value_bool(yes);
        return fault;
    }
    case EXPR_CONTAINS:
        if (a->kind != VALUE_SET) return EVAL_FAULT_TYPE;
        *out = value_bool(value_set_has(a, b));
        return EVAL_FAULT_NONE;
    case EXPR_CONTAINS_ALL:
    case EXPR_CONTAINS_ANY:
        if (a->kind != VALUE_SET || b->kind != VALUE_SET) return EVAL_FAULT_TYPE;
        *out = value_bool(kind == EXPR_CONTAINS_ALL ? value_set_within(b, a) : value_sets_meet(a, b));
        return EVAL_FAULT_NONE;
    case EXPR_GET_TAG:
    case EXPR_HAS_TAG: return tag(f, kind, a, b, out);
    case EXPR_LITERAL:
    case EXPR_VAR:
    case EXPR_NOT:
    case EXPR_NEG:
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_IF:
    case EXPR_IS_EMPTY:
    case EXPR_ATTR:
    case EXPR_HAS:
    case EXPR_LIKE:
    case EXPR_IS:
    case EXPR_SET:
    case EXPR_RECORD:
    case EXPR_CALL:
    case EXPR_UNKNOWN: break;
    }
    return EVAL_FAULT_TYPE;
}

enum eval_fault op_call(const struct facts *f, enum ext_fn fn, const struct value *args, uint32_t n, struct value *out)
{
    switch (ext_call(fn, args, n, f->scratch, out)) {
    case EXT_FAULT_NONE: return EVAL_FAULT_NONE;
    case EXT_FAULT_TYPE: return EVAL_FAULT_TYPE;
    case EXT_FAULT_MEMORY: return EVAL_FAULT_MEMORY;
    case EXT_FAULT_ARITY:
    case EXT_FAULT_TEXT:
    case EXT_FAULT_OVERFLOW: break;
    }
    return EVAL_FAULT_EXTENSION;
}

static enum eval_fault gather(const struct facts *f, const struct expr *e, const struct value *args, uint32_t n,
                              struct value *out)
{
    if (e->kind == EXPR_SET) {
        struct value *items = arena_array(f->scratch, n, sizeof *items);
        if (n && !items) return EVAL_FAULT_MEMORY;
        for (uint32_t i = 0; i < n; i++) items[i] = args[i];
        *out = value_set(items, n);
        return EVAL_FAULT_NONE;
    }
    struct attr *attrs = arena_array(f->scratch, n, sizeof *attrs);
    if (n && !attrs) return EVAL_FAULT_MEMORY;
    for (uint32_t i = 0; i < n; i++) attrs[i] = (struct attr){e->names[i], args[i]};
    return value_record(attrs, n, out) ? EVAL_FAULT_NONE : EVAL_FAULT_TYPE;
}

static enum eval_fault unary(const struct facts *f, const struct expr *e, const struct value *a, struct value *out)
{
    bool yes;
    enum eval_fault fault;
    switch (e->kind) {
    case EXPR_NOT:
        if (a->kind != VALUE_BOOL) return EVAL_FAULT_TYPE;
        *out = value_bool(!a->boolean);
        return EVAL_FAULT_NONE;
    case EXPR_NEG:
        if (a->kind != VALUE_LONG) return EVAL_FAULT_TYPE;
        if (a->integer == INT64_MIN) return EVAL_FAULT_OVERFLOW;
        *out = value_long(-a->integer);
        return EVAL_FAULT_NONE;
    case EXPR_IS_EMPTY:
        if (a->kind != VALUE_SET) return EVAL_FAULT_TYPE;
        *out = value_bool(a->n == 0);
        return EVAL_FAULT_NONE;
    case EXPR_ATTR: return op_attr(f, a, e->text, out);
    case EXPR_HAS:
        fault = op_has(f, a, e->names, e->names_n, &yes);
        if (fault == EVAL_FAULT_NONE) *out = value_bool(yes);
        return fault;
    case EXPR_LIKE:
        if (a->kind != VALUE_STRING) return EVAL_FAULT_TYPE;
        *out = value_bool(op_like(value_text(a), e->names, e->names_n));
        return EVAL_FAULT_NONE;
    case EXPR_IS:
        if (a->kind != VALUE_ENTITY) return EVAL_FAULT_TYPE;
        *out = value_bool(str_eq(a->uid->type, e->text));
        return EVAL_FAULT_NONE;
    default: return EVAL_FAULT_TYPE;
    }
}

enum eval_fault op_apply(const struct facts *f, const struct expr *e, const struct value *args, uint32_t n,
                         struct value *out)
{
    if (e->kind == EXPR_SET || e->kind == EXPR_RECORD) return gather(f, e, args, n, out);
    if (e->kind == EXPR_CALL) return op_call(f, (enum ext_fn)e->sub, args, n, out);
    if (n == 1) return unary(f, e, args, out);
    if (n == 2) return op_binary(f, (enum expr_kind)e->kind, &args[0], &args[1], out);
    return EVAL_FAULT_TYPE;
}

const char *eval_fault_name(enum eval_fault f)
{
    static const char *const names[] = {"none",   "type",      "overflow", "attribute", "tag",
                                        "entity", "extension", "unknown",  "memory"};
    return (size_t)f < ARRAY_LEN(names) ? names[f] : "none";
}
