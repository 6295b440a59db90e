#include "policy/eval.h"

#include "base/map.h"

#include <stdlib.h>

struct run {
    const struct compiled *c;
    struct facts facts;
    const struct policy_request *q;
    struct value vars[4];
    uint32_t fault_at; /* the step that failed */
};

static enum eval_fault step(struct run *r, uint32_t i, struct value *out);

static enum eval_fault failed(struct run *r, uint32_t i, enum eval_fault f)
{
    r->fault_at = i;
    return f;
}

static enum eval_fault boolean(struct run *r, uint32_t i, bool *out)
{
    struct value v;
    enum eval_fault f = step(r, i, &v);
    if (f != EVAL_FAULT_NONE) return f;
    if (v.kind != VALUE_BOOL) return failed(r, i, EVAL_FAULT_TYPE);
    *out = v.boolean;
    return EVAL_FAULT_NONE;
}

/* The left side decides whether the right is looked at; either must be a boolean. */
static enum eval_fault logic(struct run *r, const struct op *o, struct value *out)
{
    bool v = false, stop = o->kind == EXPR_OR;
    enum eval_fault f = boolean(r, o->a, &v);
    if (f == EVAL_FAULT_NONE && v != stop) f = boolean(r, o->b, &v);
    if (f == EVAL_FAULT_NONE) *out = value_bool(v);
    return f;
}

static enum eval_fault list(struct run *r, uint32_t i, struct value *out)
{
    const struct op *o = &r->c->ops[i];
    struct value small[4], *args = small;
    if (o->n > ARRAY_LEN(small)) args = arena_array(r->facts.scratch, o->n, sizeof *args);
    if (!args) return failed(r, i, EVAL_FAULT_MEMORY);
    for (uint32_t k = 0; k < o->n; k++) {
        enum eval_fault f = step(r, r->c->children[o->a + k], &args[k]);
        if (f != EVAL_FAULT_NONE) return f;
    }
    enum eval_fault f = op_apply(&r->facts, r->c->origin[i], args, o->n, out);
    return f == EVAL_FAULT_NONE ? f : failed(r, i, f);
}

static enum eval_fault is_type(struct run *r, uint32_t i, struct value *out)
{
    const struct op *o = &r->c->ops[i];
    struct value a, b;
    bool yes;
    enum eval_fault f = step(r, o->a, &a);
    if (f != EVAL_FAULT_NONE) return f;
    if (a.kind != VALUE_ENTITY) return failed(r, i, EVAL_FAULT_TYPE);
    yes = str_eq(a.uid->type, r->c->origin[i]->text);
    if (yes && o->n > 1) {
        f = step(r, o->b, &b);
        if (f == EVAL_FAULT_NONE) {
            f = op_in(&r->facts, a.uid, &b, &yes);
            if (f != EVAL_FAULT_NONE) r->fault_at = i;
        }
    }
    if (f == EVAL_FAULT_NONE) *out = value_bool(yes);
    return f;
}

static enum eval_fault step(struct run *r, uint32_t i, struct value *out)
{
    const struct op *o = &r->c->ops[i];
    struct value a, b;
    enum eval_fault f;
    bool yes;
    switch (o->kind) {
    case OP_CONSTANT: *out = r->c->constants[o->a]; return EVAL_FAULT_NONE;
    case EXPR_VAR: *out = r->vars[o->sub]; return EVAL_FAULT_NONE;
    case EXPR_AND:
    case EXPR_OR: return logic(r, o, out);
    case EXPR_IF: f = boolean(r, o->a, &yes); return f == EVAL_FAULT_NONE ? step(r, yes ? o->b : o->c, out) : f;
    case EXPR_SET:
    case EXPR_RECORD:
    case EXPR_CALL: return list(r, i, out);
    case EXPR_IS: return is_type(r, i, out);
    case EXPR_UNKNOWN: return failed(r, i, EVAL_FAULT_UNKNOWN);
    case EXPR_ATTR:
        f = step(r, o->a, &a);
        if (f != EVAL_FAULT_NONE) return f;
        f = op_attr(&r->facts, &a, r->c->texts[o->b], out);
        break;
    default:
        f = step(r, o->a, &a);
        if (f != EVAL_FAULT_NONE) return f;
        if (o->n == 1) {
            f = op_apply(&r->facts, r->c->origin[i], &a, 1, out);
            break;
        }
        f = step(r, o->b, &b);
        if (f != EVAL_FAULT_NONE) return f;
        f = op_binary(&r->facts, (enum expr_kind)o->kind, &a, &b, out);
        break;
    }
    return f == EVAL_FAULT_NONE ? f : failed(r, i, f);
}

/* ---- scope ---- */

static bool entity_in(const struct facts *f, const struct uid *u, const struct uid *in)
{
    if (uid_eq(u, in)) return true;
    const struct entity *e = facts_entity(f, u);
    return e && entity_is_in(e, in);
}

static bool fits(const struct scope *s, const struct uid *u, const struct facts *f)
{
    switch ((enum scope_kind)s->kind) {
    case SCOPE_ANY: return true;
    case SCOPE_EQ: return uid_eq(u, s->uid);
    case SCOPE_IN: return entity_in(f, u, s->uid);
    case SCOPE_IS: return str_eq(u->type, s->type);
    case SCOPE_IS_IN: return str_eq(u->type, s->type) && entity_in(f, u, s->uid);
    case SCOPE_IN_LIST:
        for (uint32_t i = 0; i < s->n; i++)
            if (entity_in(f, u, s->list[i])) return true;
        return false;
    }
    return false;
}

bool scope_fits(const struct policy *p, const struct policy_request *q, const struct facts *f)
{
    return fits(&p->principal, q->principal, f) && fits(&p->action, q->action, f) && fits(&p->resource, q->resource, f);
}

/* ---- decisions ---- */

enum err decider_init(struct decider *d, const struct compiled *c)
{
    size_t n = (size_t)c->policies_n + 1;
    *d = (struct decider){.compiled = c};
    d->room = malloc(DECIDER_ROOM);
    d->seen = calloc(n, sizeof *d->seen);
    d->permits = calloc(n, sizeof *d->permits);
    d->forbids = calloc(n, sizeof *d->forbids);
    d->failures = calloc(n, sizeof *d->failures);
    d->reasons = calloc(n, sizeof *d->reasons);
    d->errors = calloc(n, sizeof *d->errors);
    if (!d->room || !d->seen || !d->permits || !d->forbids || !d->failures || !d->reasons || !d->errors) {
        decider_free(d);
        return ERR_NO_MEMORY;
    }
    arena_init(&d->scratch, d->room, DECIDER_ROOM, DECIDER_ROOM_MAX);
    return ERR_OK;
}

void decider_free(struct decider *d)
{
    if (d->room) arena_reset(&d->scratch);
    free(d->room);
    free(d->seen);
    free(d->permits);
    free(d->forbids);
    free(d->failures);
    free(d->reasons);
    free(d->errors);
    *d = (struct decider){0};
}

struct tally {
    struct run run;
    struct decider *d;
    uint32_t permits_n, forbids_n;
    bool out_of_memory;
};

/* Hashes first; what they do not settle is looked at in full. */
static bool flat_fits(const struct compiled_policy *cp, const struct tally *t)
{
    const struct scope *full[] = {&cp->policy->principal, &cp->policy->action, &cp->policy->resource};
    for (size_t i = 0; i < 3; i++) {
        const struct uid *u = t->run.facts.known[i].uid;
        const struct entity *e = t->run.facts.known[i].entity;
        const struct compiled_scope *s = &cp->scopes[i];
        if (cp->kinds[i] == SCOPE_ANY) continue;
        if (cp->kinds[i] == SCOPE_EQ) {
            if (s->hash != u->hash || !uid_eq(s->uid, u)) return false;
        } else if (cp->kinds[i] == SCOPE_IN) {
            if (!(s->hash == u->hash && uid_eq(s->uid, u)) && !(e && entity_is_in(e, s->uid))) return false;
        } else if (!fits(full[i], u, &t->run.facts)) {
            return false;
        }
    }
    return true;
}

static void judge(struct tally *t, uint32_t index)
{
    struct decider *d = t->d;
    const struct compiled_policy *cp = &d->compiled->policies[index];
    if (cp->multi) {
        if (d->seen[index] == d->generation) return;
        d->seen[index] = d->generation;
    }
    d->judged++;
    if (!flat_fits(cp, t)) return;
    for (uint32_t i = 0; i < cp->conditions_n; i++) {
        const struct compiled_condition *cond = &d->compiled->conditions[cp->conditions + i];
        bool yes;
        enum eval_fault f = boolean(&t->run, cond->op, &yes);
        if (f == EVAL_FAULT_MEMORY) t->out_of_memory = true;
        if (f != EVAL_FAULT_NONE) {
            d->failures[d->errors_n++] = (struct failure){index, f, d->compiled->origin[t->run.fault_at]};
            return;
        }
        if (yes == cond->unless) return;
    }
    if (cp->permit)
        d->permits[t->permits_n++] = index;
    else
        d->forbids[t->forbids_n++] = index;
}

static void probe(struct tally *t, enum key_kind kind, uint64_t hash)
{
    const struct compiled *c = t->d->compiled;
    const struct key_slot *s = compiled_find(c, key_hash(kind, hash));
    for (uint32_t i = 0; s && i < s->n; i++) judge(t, c->postings[s->first + i]);
}

static void probe_in(struct tally *t, enum key_kind kind, const struct uid *u)
{
    if (!t->d->compiled->has_key[kind]) return;
    probe(t, kind, u->hash);
    const struct entity *e = facts_entity(&t->run.facts, u);
    for (uint32_t i = 0; e && i < e->ancestors_n; i++) probe(t, kind, e->ancestors[i]->hash);
}

static void probe_all(struct tally *t, const struct policy_request *q)
{
    const struct compiled *c = t->d->compiled;
    for (uint32_t i = 0; i < c->any_n; i++) judge(t, c->postings[c->any_first + i]);
    if (c->has_key[KEY_PRINCIPAL_EQ]) probe(t, KEY_PRINCIPAL_EQ, q->principal->hash);
    if (c->has_key[KEY_ACTION_EQ]) probe(t, KEY_ACTION_EQ, q->action->hash);
    if (c->has_key[KEY_RESOURCE_EQ]) probe(t, KEY_RESOURCE_EQ, q->resource->hash);
    probe_in(t, KEY_PRINCIPAL_IN, q->principal);
    probe_in(t, KEY_ACTION_IN, q->action);
    probe_in(t, KEY_RESOURCE_IN, q->resource);
    if (c->has_key[KEY_PRINCIPAL_TYPE]) probe(t, KEY_PRINCIPAL_TYPE, map_hash(q->principal->type));
    if (c->has_key[KEY_RESOURCE_TYPE]) probe(t, KEY_RESOURCE_TYPE, map_hash(q->resource->type));
}

static void swap_bytes(char *a, char *b, size_t n)
{
    char tmp[sizeof(struct failure)];
    memcpy(tmp, a, n);
    memcpy(a, b, n);
    memcpy(b, tmp, n);
}

/* Sorts things that begin with a policy's index, in place: a few by insertion, many as a heap. */
static void in_order(void *list, uint32_t n, size_t size)
{
    char *p = list;
#define INDEX(i) (*(const uint32_t *)(const void *)(p + (i)*size))
    if (n <= 16) {
        for (uint32_t i = 1; i < n; i++)
            for (uint32_t j = i; j > 0 && INDEX(j - 1) > INDEX(j); j--)
                swap_bytes(p + (j - 1) * size, p + j * size, size);
        return;
    }
    for (uint32_t start = n / 2, end = n; end > 1;) {
        if (start)
            start--;
        else
            swap_bytes(p + --end * size, p, size);
        for (uint32_t root = start, child; (child = 2 * root + 1) < end; root = child) {
            if (child + 1 < end && INDEX(child) < INDEX(child + 1)) child++;
            if (INDEX(root) >= INDEX(child)) break;
            swap_bytes(p + root * size, p + child * size, size);
        }
    }
#undef INDEX
}

static void prepare(struct run *r, struct decider *d, const struct entities *es, const struct policy_request *q)
{
    *r = (struct run){.c = d->compiled,
                      .facts = {.entities = es, .own = q->own, .own_n = q->own_n, .scratch = &d->scratch},
                      .q = q};
    r->vars[VAR_PRINCIPAL] = value_entity(q->principal);
    r->vars[VAR_ACTION] = value_entity(q->action);
    r->vars[VAR_RESOURCE] = value_entity(q->resource);
    r->vars[VAR_CONTEXT] = q->context;
    const struct uid *uids[] = {q->principal, q->action, q->resource};
    const struct entity *found[3];
    for (size_t i = 0; i < 3; i++) found[i] = facts_entity(&r->facts, uids[i]);
    for (size_t i = 0; i < 3; i++) {
        r->facts.known[i].uid = uids[i];
        r->facts.known[i].entity = found[i];
    }
}

enum err decide(struct decider *d, const struct entities *es, const struct policy_request *q, struct decision *out)
{
    struct tally t = {.d = d};
    *out = (struct decision){0};
    arena_reset(&d->scratch);
    d->errors_n = d->judged = 0;
    if (++d->generation == 0) {
        memset(d->seen, 0, d->compiled->policies_n * sizeof *d->seen);
        d->generation = 1;
    }
    prepare(&t.run, d, es, q);
    probe_all(&t, q);
    if (t.out_of_memory) return ERR_LIMIT;
    bool permit = t.forbids_n == 0 && t.permits_n > 0;
    uint32_t *reasons = permit ? d->permits : d->forbids, n = permit ? t.permits_n : t.forbids_n;
    in_order(reasons, n, sizeof *reasons);
    in_order(d->failures, d->errors_n, sizeof *d->failures);
    for (uint32_t i = 0; i < n; i++) d->reasons[i] = d->compiled->policies[reasons[i]].policy;
    for (uint32_t i = 0; i < d->errors_n; i++) d->errors[i] = d->compiled->policies[d->failures[i].policy].policy;
    *out = (struct decision){.effect = permit ? EFFECT_PERMIT : EFFECT_DENY,
                             .reasons = d->reasons,
                             .reasons_n = n,
                             .errors = d->errors,
                             .errors_n = d->errors_n};
    return ERR_OK;
}

enum eval_fault evaluate_condition(struct decider *d, const struct entities *es, const struct policy_request *q,
                                   uint32_t condition, bool *out, const struct expr **fault_at)
{
    struct run r;
    prepare(&r, d, es, q);
    enum eval_fault f = boolean(&r, d->compiled->conditions[condition].op, out);
    if (f != EVAL_FAULT_NONE) *fault_at = d->compiled->origin[r.fault_at];
    return f;
}

enum eval_fault evaluate_expr(const struct expr *e, const struct entities *es, const struct policy_request *q,
                              struct arena *mem, struct value *out, const struct expr **fault_at)
{
    struct value args[3];
    struct facts facts = {.entities = es, .own = q->own, .own_n = q->own_n, .scratch = mem};
    enum eval_fault f = EVAL_FAULT_NONE;
    *fault_at = e;
    if (e->kind == EXPR_LITERAL) {
        *out = e->value;
        return f;
    }
    if (e->kind == EXPR_UNKNOWN) return EVAL_FAULT_UNKNOWN;
    if (e->kind == EXPR_VAR) {
        const struct uid *u = e->sub == VAR_PRINCIPAL ? q->principal : e->sub == VAR_ACTION ? q->action : q->resource;
        *out = e->sub == VAR_CONTEXT ? q->context : value_entity(u);
        return f;
    }
    struct value *all = e->n > 3 ? arena_array(mem, e->n, sizeof *all) : args;
    if (!all) return EVAL_FAULT_MEMORY;
    bool lazy = e->kind == EXPR_AND || e->kind == EXPR_OR || e->kind == EXPR_IF || (e->kind == EXPR_IS && e->n > 1);
    for (uint32_t i = 0; i < (lazy ? 1 : e->n); i++) {
        f = evaluate_expr(e->args[i], es, q, mem, &all[i], fault_at);
        if (f != EVAL_FAULT_NONE) return f;
    }
    *fault_at = e;
    if (!lazy) return op_apply(&facts, e, all, e->n, out);
    if (e->kind == EXPR_IS) {
        if (all[0].kind != VALUE_ENTITY) return EVAL_FAULT_TYPE;
        bool yes = str_eq(all[0].uid->type, e->text);
        if (yes) {
            f = evaluate_expr(e->args[1], es, q, mem, &all[1], fault_at);
            if (f == EVAL_FAULT_NONE) f = op_in(&facts, all[0].uid, &all[1], &yes);
        }
        if (f == EVAL_FAULT_NONE) *out = value_bool(yes);
        return f;
    }
    if (all[0].kind != VALUE_BOOL) return EVAL_FAULT_TYPE;
    if (e->kind == EXPR_IF) return evaluate_expr(e->args[all[0].boolean ? 1 : 2], es, q, mem, out, fault_at);
    if (all[0].boolean == (e->kind == EXPR_OR)) {
        *out = all[0];
        return f;
    }
    f = evaluate_expr(e->args[1], es, q, mem, out, fault_at);
    if (f == EVAL_FAULT_NONE && out->kind != VALUE_BOOL) f = EVAL_FAULT_TYPE;
    return f;
}
