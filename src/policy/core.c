#include "policy/core.h"

static const struct expr *unary(struct arena *mem, enum expr_kind kind, const struct expr *a, const struct expr *like)
{
    return a ? expr_make(mem, kind, a, NULL, NULL, like->at, like->end, NULL) : NULL;
}

static const struct expr *binary(struct arena *mem, enum expr_kind kind, const struct expr *a, const struct expr *b,
                                 uint32_t at, uint32_t end)
{
    if (!a || !b) return NULL;
    bool literals = a->kind == EXPR_LITERAL && b->kind == EXPR_LITERAL && a->value.kind == VALUE_BOOL &&
                    b->value.kind == VALUE_BOOL;
    if (literals && kind == EXPR_AND)
        return expr_literal(mem, value_bool(a->value.boolean && b->value.boolean), at, end);
    if (literals && kind == EXPR_OR)
        return expr_literal(mem, value_bool(a->value.boolean || b->value.boolean), at, end);
    return expr_make(mem, kind, a, b, NULL, at, end, NULL);
}

static const struct expr *has_path(struct arena *mem, const struct expr *object, const struct expr *e)
{
    const struct expr *all = NULL;
    for (uint32_t i = 0; i < e->names_n; i++) {
        struct expr *has = expr_new(mem, EXPR_HAS, 1, e->at, e->end);
        if (!has) return NULL;
        has->args[0] = object;
        has->names = &e->names[i];
        has->names_n = 1;
        if (!expr_done(has)) return NULL;
        all = all ? binary(mem, EXPR_AND, all, has, e->at, e->end) : has;
        if (!all) return NULL;
        if (i + 1 == e->names_n) break;
        struct expr *attr = expr_new(mem, EXPR_ATTR, 1, e->at, e->end);
        if (!attr) return NULL;
        attr->args[0] = object;
        attr->text = e->names[i];
        if (!expr_done(attr)) return NULL;
        object = attr;
    }
    return all;
}

static const struct expr *is_in(struct arena *mem, const struct expr *object, const struct expr *in,
                                const struct expr *e)
{
    struct expr *is = expr_new(mem, EXPR_IS, 1, e->at, e->end);
    if (!is || !in) return NULL;
    is->args[0] = object;
    is->text = e->text;
    if (!expr_done(is)) return NULL;
    return binary(mem, EXPR_AND, is, binary(mem, EXPR_IN, object, in, e->at, e->end), e->at, e->end);
}

const struct expr *expr_core(struct arena *mem, const struct expr *e)
{
    if (e->n == 0) return e;
    const struct expr *a = expr_core(mem, e->args[0]);
    if (!a) return NULL;
    if (e->kind == EXPR_HAS) return has_path(mem, a, e);
    const struct expr *b = e->n > 1 ? expr_core(mem, e->args[1]) : NULL;
    if (e->n > 1 && !b) return NULL;
    switch ((enum expr_kind)e->kind) {
    case EXPR_NE: return unary(mem, EXPR_NOT, binary(mem, EXPR_EQ, a, b, e->at, e->end), e);
    case EXPR_GT: return unary(mem, EXPR_NOT, binary(mem, EXPR_LE, a, b, e->at, e->end), e);
    case EXPR_GE: return unary(mem, EXPR_NOT, binary(mem, EXPR_LT, a, b, e->at, e->end), e);
    case EXPR_AND:
    case EXPR_OR: return binary(mem, (enum expr_kind)e->kind, a, b, e->at, e->end);
    case EXPR_IS:
        if (e->n > 1) return is_in(mem, a, b, e);
        break;
    case EXPR_LITERAL:
    case EXPR_VAR:
    case EXPR_NOT:
    case EXPR_NEG:
    case EXPR_IF:
    case EXPR_EQ:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL:
    case EXPR_IN:
    case EXPR_CONTAINS:
    case EXPR_CONTAINS_ALL:
    case EXPR_CONTAINS_ANY:
    case EXPR_IS_EMPTY:
    case EXPR_GET_TAG:
    case EXPR_HAS_TAG:
    case EXPR_ATTR:
    case EXPR_HAS:
    case EXPR_LIKE:
    case EXPR_SET:
    case EXPR_RECORD:
    case EXPR_CALL:
    case EXPR_UNKNOWN: break;
    }
    /* The same node with other children; itself if they are the same. */
    bool changed = a != e->args[0] || (b && b != e->args[1]);
    struct expr *copy = expr_new(mem, (enum expr_kind)e->kind, e->n, e->at, e->end);
    if (!copy) return NULL;
    const struct expr **args = copy->args;
    *copy = *e;
    copy->args = args;
    args[0] = a;
    if (b) args[1] = b;
    for (uint32_t i = 2; i < e->n; i++) {
        args[i] = expr_core(mem, e->args[i]);
        if (!args[i]) return NULL;
        changed = changed || args[i] != e->args[i];
    }
    if (!changed) return e;
    return expr_done(copy) ? copy : NULL;
}

static const struct expr *scope_list(struct arena *mem, const struct scope *s)
{
    struct expr *set = expr_new(mem, EXPR_SET, s->n, s->at, s->end);
    if (!set) return NULL;
    for (uint32_t i = 0; i < s->n; i++) {
        set->args[i] = expr_literal(mem, value_entity(s->list[i]), s->at, s->end);
        if (!set->args[i]) return NULL;
    }
    return expr_done(set) ? set : NULL;
}

static const struct expr *scope_entity(struct arena *mem, const struct scope *s, enum var var)
{
    static const str slots[] = {STR_INIT("?principal"), STR_INIT("?action"), STR_INIT("?resource"),
                                STR_INIT("?context")};
    if (!s->slot) return expr_literal(mem, value_entity(s->uid), s->at, s->end);
    struct expr *e = expr_new(mem, EXPR_UNKNOWN, 0, s->at, s->end);
    if (e) e->text = slots[var];
    return e;
}

const struct expr *scope_core(struct arena *mem, const struct scope *s, enum var var)
{
    if (s->kind == SCOPE_ANY) return expr_literal(mem, value_bool(true), s->at, s->end);
    struct expr *v = expr_new(mem, EXPR_VAR, 0, s->at, s->end), *is = NULL;
    if (!v) return NULL;
    v->sub = (uint8_t)var;
    if (s->kind == SCOPE_IS || s->kind == SCOPE_IS_IN) {
        is = expr_new(mem, EXPR_IS, 1, s->at, s->end);
        if (!is) return NULL;
        is->args[0] = v;
        is->text = s->type;
        if (!expr_done(is)) return NULL;
        if (s->kind == SCOPE_IS) return is;
    }
    const struct expr *right = s->kind == SCOPE_IN_LIST ? scope_list(mem, s) : scope_entity(mem, s, var);
    const struct expr *test = binary(mem, s->kind == SCOPE_EQ ? EXPR_EQ : EXPR_IN, v, right, s->at, s->end);
    return is ? binary(mem, EXPR_AND, is, test, s->at, s->end) : test;
}

const struct expr *conditions_core(struct arena *mem, const struct policy *p)
{
    const struct expr *all = NULL;
    for (uint32_t i = p->conditions_n; i > 0; i--) {
        const struct condition *c = &p->conditions[i - 1];
        const struct expr *body = expr_core(mem, c->body);
        if (body && c->unless) body = unary(mem, EXPR_NOT, body, c->body);
        if (!body) return NULL;
        all = all ? binary(mem, EXPR_AND, body, all, c->at, c->end) : body;
        if (!all) return NULL;
    }
    return all ? all : expr_literal(mem, value_bool(true), p->at, p->end);
}
