#include "policy/partial.h"

#include "policy/core.h"

/* What evaluating an expression comes to: a value, a failure, or an expression that is left. */
struct outcome {
    enum { OUT_VALUE, OUT_FAULT, OUT_REST } kind;
    enum eval_fault fault;
    struct value value;
    const struct expr *rest;
};

struct partial {
    struct arena *mem;
    struct facts facts;
    const struct partial_request *q;
    bool no_memory;
};

static struct outcome out_value(struct value v)
{
    return (struct outcome){.kind = OUT_VALUE, .value = v};
}

static struct outcome out_fault(enum eval_fault f)
{
    return (struct outcome){.kind = OUT_FAULT, .fault = f};
}

static struct outcome out_rest(struct partial *p, const struct expr *e)
{
    if (!e) {
        p->no_memory = true;
        return out_fault(EVAL_FAULT_MEMORY);
    }
    return (struct outcome){.kind = OUT_REST, .rest = e};
}

static struct outcome evaluate(struct partial *p, const struct expr *e);

static const struct expr *unknown(struct partial *p, str name, const struct expr *like)
{
    struct expr *u = expr_new(p->mem, EXPR_UNKNOWN, 0, like->at, like->end);
    if (u) u->text = name;
    return u;
}

/* Whether a value holds something unknown, at any depth. */
static bool has_unknown(const struct value *v)
{
    if (v->kind == VALUE_UNKNOWN) return true;
    for (uint32_t i = 0; v->kind == VALUE_SET && i < v->n; i++)
        if (has_unknown(&v->items[i])) return true;
    for (uint32_t i = 0; v->kind == VALUE_RECORD && i < v->n; i++)
        if (has_unknown(&v->attrs[i].value)) return true;
    return false;
}

/* A value as an expression: its unknowns become unknown("…"). */
static const struct expr *lift(struct partial *p, const struct value *v, const struct expr *like)
{
    if (v->kind == VALUE_UNKNOWN) return unknown(p, value_text(v), like);
    if (!has_unknown(v)) return expr_literal(p->mem, *v, like->at, like->end);
    bool set = v->kind == VALUE_SET;
    struct expr *e = expr_new(p->mem, set ? EXPR_SET : EXPR_RECORD, v->n, like->at, like->end);
    str *names = arena_array(p->mem, v->n, sizeof *names);
    if (!e || !names) return NULL;
    for (uint32_t i = 0; i < v->n; i++) {
        e->args[i] = lift(p, set ? &v->items[i] : &v->attrs[i].value, like);
        if (!e->args[i]) return NULL;
        if (!set) names[i] = v->attrs[i].name;
    }
    if (!set) {
        e->names = names;
        e->names_n = v->n;
    }
    return expr_done(e) ? e : NULL;
}

static struct outcome known(struct partial *p, struct value v, const struct expr *like)
{
    return has_unknown(&v) ? out_rest(p, lift(p, &v, like)) : out_value(v);
}

/* What an outcome is as an operand of something that is left. A failure stays the expression it was: it fails again
 * when all is known. */
static const struct expr *as_expr(struct partial *p, struct outcome o, const struct expr *was)
{
    if (o.kind == OUT_REST) return o.rest;
    return o.kind == OUT_VALUE ? expr_literal(p->mem, o.value, was->at, was->end) : was;
}

static struct outcome variable(struct partial *p, const struct expr *e)
{
    const struct uid *known_uid[] = {p->q->principal, p->q->action, p->q->resource};
    /* an unknown variable is left as itself, so that a residual reads as a policy */
    if (e->sub == VAR_CONTEXT) return p->q->context ? known(p, *p->q->context, e) : out_rest(p, e);
    return known_uid[e->sub] ? out_value(value_entity(known_uid[e->sub])) : out_rest(p, e);
}

/* Whether the outcome can be nothing but a boolean. */
static bool surely_bool(const struct expr *e)
{
    switch ((enum expr_kind)e->kind) {
    case EXPR_LITERAL: return e->value.kind == VALUE_BOOL;
    case EXPR_NOT:
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:
    case EXPR_IN:
    case EXPR_CONTAINS:
    case EXPR_CONTAINS_ALL:
    case EXPR_CONTAINS_ANY:
    case EXPR_IS_EMPTY:
    case EXPR_HAS_TAG:
    case EXPR_HAS:
    case EXPR_LIKE:
    case EXPR_IS: return true;
    case EXPR_CALL: return ext_table[e->sub].result == VALUE_BOOL;
    case EXPR_IF: return surely_bool(e->args[1]) && surely_bool(e->args[2]);
    case EXPR_VAR:
    case EXPR_NEG:
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL:
    case EXPR_GET_TAG:
    case EXPR_ATTR:
    case EXPR_SET:
    case EXPR_RECORD:
    case EXPR_UNKNOWN: break;
    }
    return false;
}

static struct outcome node(struct partial *p, const struct expr *was, const struct expr *a, const struct expr *b,
                           const struct expr *c)
{
    if (!a || (was->n > 1 && !b) || (was->n > 2 && !c)) return out_rest(p, NULL);
    struct expr *e = expr_new(p->mem, (enum expr_kind)was->kind, was->n, was->at, was->end);
    if (!e) return out_rest(p, NULL);
    const struct expr **args = e->args;
    *e = *was;
    e->args = args;
    args[0] = a;
    if (was->n > 1) args[1] = b;
    if (was->n > 2) args[2] = c;
    return out_rest(p, expr_done(e) ? e : NULL);
}

static struct outcome logic(struct partial *p, const struct expr *e)
{
    bool stop = e->kind == EXPR_OR;
    struct outcome a = evaluate(p, e->args[0]);
    if (a.kind == OUT_FAULT) return a;
    if (a.kind == OUT_VALUE) {
        if (a.value.kind != VALUE_BOOL) return out_fault(EVAL_FAULT_TYPE);
        if (a.value.boolean == stop) return a;
    }
    struct outcome b = evaluate(p, e->args[1]);
    if (a.kind == OUT_REST) {
        /* neutral on the right: only the left is left, if it is a boolean anyway */
        if (b.kind == OUT_VALUE && b.value.kind == VALUE_BOOL && b.value.boolean != stop && surely_bool(a.rest))
            return a;
        return node(p, e, a.rest, as_expr(p, b, e->args[1]), NULL);
    }
    if (b.kind == OUT_VALUE && b.value.kind != VALUE_BOOL) return out_fault(EVAL_FAULT_TYPE);
    if (b.kind == OUT_REST && !surely_bool(b.rest))
        return node(p, e, expr_literal(p->mem, value_bool(!stop), e->at, e->end), b.rest, NULL);
    return b;
}

static struct outcome conditional(struct partial *p, const struct expr *e)
{
    struct outcome test = evaluate(p, e->args[0]);
    if (test.kind == OUT_FAULT) return test;
    if (test.kind == OUT_VALUE) {
        if (test.value.kind != VALUE_BOOL) return out_fault(EVAL_FAULT_TYPE);
        return evaluate(p, e->args[test.value.boolean ? 1 : 2]);
    }
    struct outcome yes = evaluate(p, e->args[1]), no = evaluate(p, e->args[2]);
    return node(p, e, test.rest, as_expr(p, yes, e->args[1]), as_expr(p, no, e->args[2]));
}

/* A record that is left may still tell that it has or has not an attribute, if its other parts cannot fail. */
static bool cannot_fail(const struct expr *e)
{
    if (e->kind == EXPR_LITERAL || e->kind == EXPR_UNKNOWN || e->kind == EXPR_VAR) return true;
    if (e->kind != EXPR_SET && e->kind != EXPR_RECORD) return false;
    for (uint32_t i = 0; i < e->n; i++)
        if (!cannot_fail(e->args[i])) return false;
    return true;
}

static struct outcome of_record(struct partial *p, const struct expr *e, const struct expr *record)
{
    str name = e->kind == EXPR_HAS ? e->names[0] : e->text;
    for (uint32_t i = 0; i < record->n; i++) {
        if (!str_eq(record->names[i], name)) continue;
        if (e->kind == EXPR_HAS) return out_value(value_bool(true));
        const struct expr *x = record->args[i];
        return x->kind == EXPR_LITERAL ? out_value(x->value) : out_rest(p, x);
    }
    return e->kind == EXPR_HAS ? out_value(value_bool(false)) : out_fault(EVAL_FAULT_ATTRIBUTE);
}

static bool is_type_known(const struct partial *p, const struct expr *rest, str *type)
{
    if (rest->kind != EXPR_VAR) return false;
    *type = rest->sub == VAR_PRINCIPAL  ? p->q->principal_type
            : rest->sub == VAR_RESOURCE ? p->q->resource_type
                                        : STR("");
    return type->n > 0;
}

/* What can be said although an operand is left. */
static bool shortcut(struct partial *p, const struct expr *e, const struct outcome *args, struct outcome *out)
{
    const struct expr *rest = args[0].rest;
    str type;
    if ((e->kind == EXPR_ATTR || e->kind == EXPR_HAS) && rest->kind == EXPR_RECORD && cannot_fail(rest)) {
        *out = of_record(p, e, rest);
        return true;
    }
    if (e->kind == EXPR_IS && is_type_known(p, rest, &type)) {
        *out = out_value(value_bool(str_eq(type, e->text)));
        return true;
    }
    if (e->kind == EXPR_EQ) {
        const struct outcome *r = args[0].kind == OUT_REST ? &args[0] : &args[1],
                             *v = r == &args[0] ? &args[1] : &args[0];
        if (v->kind == OUT_VALUE && v->value.kind == VALUE_ENTITY && is_type_known(p, r->rest, &type) &&
            !str_eq(type, v->value.uid->type)) {
            *out = out_value(value_bool(false));
            return true;
        }
    }
    return false;
}

static struct outcome apply(struct partial *p, const struct expr *e, const struct outcome *args)
{
    struct value small[4], v, *values = e->n <= 4 ? small : arena_array(p->mem, e->n, sizeof *values);
    if (!values) return out_rest(p, NULL);
    for (uint32_t i = 0; i < e->n; i++) values[i] = args[i].value;
    /* What the entities hold may be unknown, too. */
    if (e->kind == EXPR_ATTR || e->kind == EXPR_GET_TAG) {
        const struct entity *en = values[0].kind == VALUE_ENTITY ? facts_entity(&p->facts, values[0].uid) : NULL;
        const struct value *found = NULL;
        if (en && e->kind == EXPR_ATTR) found = entity_attr(en, e->text);
        if (en && e->kind == EXPR_GET_TAG && values[1].kind == VALUE_STRING)
            found = entity_tag(en, value_text(&values[1]));
        if (found && has_unknown(found)) return out_rest(p, lift(p, found, e));
    }
    enum eval_fault f = op_apply(&p->facts, e, values, e->n, &v);
    if (f == EVAL_FAULT_MEMORY) p->no_memory = true;
    return f == EVAL_FAULT_NONE ? out_value(v) : out_fault(f);
}

static struct outcome operands(struct partial *p, const struct expr *e)
{
    struct outcome small[3], shortened, *args = e->n <= 3 ? small : arena_array(p->mem, e->n, sizeof *args);
    bool all = true;
    if (e->n && !args) return out_rest(p, NULL);
    for (uint32_t i = 0; i < e->n; i++) {
        args[i] = evaluate(p, e->args[i]);
        if (args[i].kind == OUT_FAULT) return args[i];
        all = all && args[i].kind == OUT_VALUE;
    }
    if (all) return apply(p, e, args);
    if ((args[0].kind == OUT_REST || e->kind == EXPR_EQ) && e->n <= 2 && e->kind != EXPR_SET &&
        e->kind != EXPR_RECORD && e->kind != EXPR_CALL && shortcut(p, e, args, &shortened))
        return shortened;
    struct expr *rest = expr_new(p->mem, (enum expr_kind)e->kind, e->n, e->at, e->end);
    if (!rest) return out_rest(p, NULL);
    const struct expr **children = rest->args;
    *rest = *e;
    rest->args = children;
    for (uint32_t i = 0; i < e->n; i++) {
        children[i] = as_expr(p, args[i], e->args[i]);
        if (!children[i]) return out_rest(p, NULL);
    }
    return out_rest(p, expr_done(rest) ? rest : NULL);
}

static struct outcome evaluate(struct partial *p, const struct expr *e)
{
    if (p->no_memory) return out_fault(EVAL_FAULT_MEMORY);
    if (e->kind == EXPR_LITERAL) return known(p, e->value, e);
    if (e->kind == EXPR_VAR) return variable(p, e);
    if (e->kind == EXPR_UNKNOWN) return out_rest(p, e);
    if (e->kind == EXPR_AND || e->kind == EXPR_OR) return logic(p, e);
    if (e->kind == EXPR_IF) return conditional(p, e);
    return operands(p, e);
}

static const struct expr *whole(struct arena *mem, const struct policy *p)
{
    const struct scope *scopes[] = {&p->principal, &p->action, &p->resource};
    const struct expr *e = conditions_core(mem, p);
    for (int i = 2; e && i >= 0; i--) {
        const struct expr *s = scope_core(mem, scopes[i], (enum var)i);
        e = s ? expr_make(mem, EXPR_AND, s, e, NULL, p->at, p->end, NULL) : NULL;
    }
    return e;
}

static const struct policy *residual(struct arena *mem, const struct policy *p, const struct expr *rest)
{
    struct policy *r = arena_zalloc(mem, sizeof *r);
    struct condition *c = arena_zalloc(mem, sizeof *c);
    if (!r || !c) return NULL;
    *c = (struct condition){false, rest, p->at, p->end};
    *r = (struct policy){.id = p->id,
                         .effect = p->effect,
                         .annotations = p->annotations,
                         .annotations_n = p->annotations_n,
                         .conditions = c,
                         .conditions_n = 1,
                         .index = p->index,
                         .at = p->at,
                         .end = p->end};
    return r;
}

static void conclude(struct partial_decision *d)
{
    bool counts[2][4] = {{false}};
    for (uint32_t i = 0; i < d->n; i++) counts[d->policies[i].policy->effect][d->policies[i].truth] = true;
    bool forbid = counts[EFFECT_DENY][PARTIAL_TRUE], maybe_forbid = counts[EFFECT_DENY][PARTIAL_RESIDUAL];
    bool permit = counts[EFFECT_PERMIT][PARTIAL_TRUE], maybe_permit = counts[EFFECT_PERMIT][PARTIAL_RESIDUAL];
    d->effect = EFFECT_DENY;
    d->decided = true;
    if (forbid || (!permit && !maybe_permit)) return;
    if (permit && !maybe_forbid)
        d->effect = EFFECT_PERMIT;
    else
        d->decided = false;
}

enum err partial_decide(const struct policy_set *set, const struct entities *es, const struct partial_request *q,
                        struct arena *mem, struct partial_decision *out)
{
    struct partial p = {.mem = mem,
                        .facts = {.entities = es, .own = q->own, .own_n = q->own_n, .scratch = mem},
                        .q = q};
    struct partial_policy *list = arena_array(mem, (size_t)set->n + 1, sizeof *list);
    if (!list) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < set->n; i++) {
        const struct expr *e = whole(mem, set->policies[i]);
        if (!e) return ERR_NO_MEMORY;
        struct outcome o = evaluate(&p, e);
        if (p.no_memory) return ERR_NO_MEMORY;
        list[i] = (struct partial_policy){.policy = set->policies[i], .truth = PARTIAL_ERROR, .fault = o.fault};
        if (o.kind == OUT_VALUE && o.value.kind == VALUE_BOOL)
            list[i].truth = o.value.boolean ? PARTIAL_TRUE : PARTIAL_FALSE;
        if (o.kind == OUT_VALUE && o.value.kind != VALUE_BOOL) list[i].fault = EVAL_FAULT_TYPE;
        if (o.kind != OUT_REST) continue;
        list[i].truth = PARTIAL_RESIDUAL;
        list[i].residual = residual(mem, set->policies[i], o.rest);
        if (!list[i].residual) return ERR_NO_MEMORY;
    }
    struct partial_decision d = {.policies = list, .n = set->n};
    conclude(&d);
    *out = d;
    return ERR_OK;
}

static bool any(const struct partial_decision *d, enum effect effect, enum partial_truth truth)
{
    for (uint32_t i = 0; i < d->n; i++)
        if (d->policies[i].policy->effect == effect && d->policies[i].truth == truth) return true;
    return false;
}

bool partial_may_determine(const struct partial_decision *d, const struct partial_policy *p)
{
    if (p->truth != PARTIAL_TRUE && p->truth != PARTIAL_RESIDUAL) return false;
    return p->policy->effect == EFFECT_DENY || !any(d, EFFECT_DENY, PARTIAL_TRUE);
}

bool partial_must_determine(const struct partial_decision *d, const struct partial_policy *p)
{
    if (p->truth != PARTIAL_TRUE) return false;
    return p->policy->effect == EFFECT_DENY ||
           (!any(d, EFFECT_DENY, PARTIAL_TRUE) && !any(d, EFFECT_DENY, PARTIAL_RESIDUAL));
}
