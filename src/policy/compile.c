#include "policy/compile.h"

#include "base/map.h"
#include "policy/ops.h"

#include <stdlib.h>

#define COMPILED_MAX ((size_t)4 << 30)

struct compiler {
    struct compiled *c;
    uint32_t constants_n, children_n, conditions_n, texts_n;
    enum err err;
};

/* ---- expressions ---- */

struct totals {
    size_t ops, children, attrs;
};

static void count(const struct expr *e, struct totals *t)
{
    t->ops++;
    t->attrs += e->kind == EXPR_ATTR;
    if (e->n > 3 || e->kind == EXPR_SET || e->kind == EXPR_RECORD || e->kind == EXPR_CALL) t->children += e->n;
    for (uint32_t i = 0; i < e->n; i++) count(e->args[i], t);
}

/* Whether constant operands give a constant: not if entities come into it. */
static bool foldable(const struct compiler *k, const struct expr *e, const uint32_t *ops)
{
    switch ((enum expr_kind)e->kind) {
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_IF:
    case EXPR_IN:
    case EXPR_GET_TAG:
    case EXPR_HAS_TAG:
    case EXPR_UNKNOWN:
    case EXPR_VAR:
    case EXPR_LITERAL: return false;
    case EXPR_IS:
        if (e->n > 1) return false;
        break;
    case EXPR_HAS:
        /* a path may lead through an entity */
        return false;
    case EXPR_NOT:
    case EXPR_NEG:
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL:
    case EXPR_CONTAINS:
    case EXPR_CONTAINS_ALL:
    case EXPR_CONTAINS_ANY:
    case EXPR_IS_EMPTY:
    case EXPR_ATTR:
    case EXPR_LIKE:
    case EXPR_SET:
    case EXPR_RECORD:
    case EXPR_CALL: break;
    }
    for (uint32_t i = 0; i < e->n; i++) {
        const struct op *o = &k->c->ops[ops[i]];
        if (o->kind != OP_CONSTANT) return false;
        if (e->kind == EXPR_ATTR && k->c->constants[o->a].kind == VALUE_ENTITY) return false;
    }
    return true;
}

static uint32_t emit(struct compiler *k, const struct expr *e, struct op o)
{
    uint32_t at = k->c->ops_n++;
    k->c->ops[at] = o;
    k->c->origin[at] = e;
    return at;
}

static uint32_t emit_constant(struct compiler *k, const struct expr *e, struct value v)
{
    k->c->constants[k->constants_n] = v;
    return emit(k, e, (struct op){.kind = OP_CONSTANT, .a = k->constants_n++});
}

static uint32_t compile_expr(struct compiler *k, const struct expr *e);

static bool fold(struct compiler *k, const struct expr *e, const uint32_t *ops, uint32_t *out)
{
    struct facts none = {.scratch = &k->c->mem};
    struct value small[4], v, *args = small;
    if (!foldable(k, e, ops)) return false;
    if (e->n > ARRAY_LEN(small)) args = arena_array(&k->c->mem, e->n, sizeof *args);
    if (!args) return false;
    for (uint32_t i = 0; i < e->n; i++) args[i] = k->c->constants[k->c->ops[ops[i]].a];
    if (op_apply(&none, e, args, e->n, &v) != EVAL_FAULT_NONE) return false;
    *out = emit_constant(k, e, v);
    return true;
}

static uint32_t compile_list(struct compiler *k, const struct expr *e)
{
    /* The children's places are kept apart until all of them, and theirs, are written. */
    uint32_t *ops = e->n ? arena_array(&k->c->mem, e->n, sizeof *ops) : NULL, at;
    if (e->n && !ops) {
        k->err = ERR_NO_MEMORY;
        return 0;
    }
    for (uint32_t i = 0; i < e->n; i++) ops[i] = compile_expr(k, e->args[i]);
    if (k->err != ERR_OK) return 0;
    if (fold(k, e, ops, &at)) return at;
    uint32_t first = k->children_n;
    for (uint32_t i = 0; i < e->n; i++) k->c->children[k->children_n++] = ops[i];
    return emit(k, e, (struct op){.kind = e->kind, .sub = e->sub, .n = e->n, .a = first});
}

static uint32_t compile_expr(struct compiler *k, const struct expr *e)
{
    uint32_t ops[3] = {0}, at;
    if (k->err != ERR_OK) return 0;
    if (e->kind == EXPR_LITERAL) return emit_constant(k, e, e->value);
    if (e->kind == EXPR_SET || e->kind == EXPR_RECORD || e->kind == EXPR_CALL) return compile_list(k, e);
    for (uint32_t i = 0; i < e->n; i++) ops[i] = compile_expr(k, e->args[i]);
    if (k->err != ERR_OK) return 0;
    if (e->n && fold(k, e, ops, &at)) return at;
    if (e->kind == EXPR_ATTR) {
        k->c->texts[k->texts_n] = e->text;
        ops[1] = k->texts_n++;
    }
    return emit(k, e, (struct op){.kind = e->kind, .sub = e->sub, .n = e->n, .a = ops[0], .b = ops[1], .c = ops[2]});
}

static struct compiled_policy flat_policy(const struct policy *p, uint32_t conditions)
{
    const struct scope *scopes[] = {&p->principal, &p->action, &p->resource};
    struct compiled_policy c = {.policy = p,
                                .conditions = conditions,
                                .conditions_n = p->conditions_n,
                                .permit = p->effect == EFFECT_PERMIT};
    for (size_t i = 0; i < 3; i++) {
        c.kinds[i] = scopes[i]->kind;
        if (scopes[i]->kind == SCOPE_EQ || scopes[i]->kind == SCOPE_IN)
            c.scopes[i] = (struct compiled_scope){scopes[i]->uid->hash, scopes[i]->uid};
    }
    return c;
}

static enum err compile_policies(struct compiler *k)
{
    struct compiled *c = k->c;
    struct totals t = {0};
    size_t conditions = 0;
    for (uint32_t i = 0; i < c->policies_n; i++) {
        const struct policy *p = c->set->policies[i];
        conditions += p->conditions_n;
        for (uint32_t j = 0; j < p->conditions_n; j++) count(p->conditions[j].body, &t);
    }
    if (t.ops > UINT32_MAX / 2 || t.children > UINT32_MAX / 2) return ERR_LIMIT;
    c->policies = arena_array(&c->mem, c->policies_n + 1, sizeof *c->policies);
    c->conditions = arena_array(&c->mem, conditions + 1, sizeof *c->conditions);
    c->ops = arena_array(&c->mem, t.ops + 1, sizeof *c->ops);
    c->origin = arena_array(&c->mem, t.ops + 1, sizeof(const struct expr *));
    c->constants = arena_array(&c->mem, t.ops + 1, sizeof *c->constants);
    c->children = arena_array(&c->mem, t.children + 1, sizeof *c->children);
    c->texts = arena_array(&c->mem, t.attrs + 1, sizeof *c->texts);
    if (!c->policies || !c->conditions || !c->ops || !c->origin || !c->constants || !c->children || !c->texts)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < c->policies_n; i++) {
        const struct policy *p = c->set->policies[i];
        c->policies[i] = flat_policy(p, k->conditions_n);
        for (uint32_t j = 0; j < p->conditions_n; j++) {
            uint32_t op = compile_expr(k, p->conditions[j].body);
            c->conditions[k->conditions_n++] = (struct compiled_condition){op, p->conditions[j].unless};
        }
    }
    return k->err;
}

/* ---- the index ---- */

#define OPTIONS_MAX 4

/* The ways to file a policy: each is one key, or for a list of actions several. */
struct options {
    struct {
        enum key_kind kind;
        const struct uid *const *list;
        uint32_t n;
        const struct uid *one;
        str type;
    } of[OPTIONS_MAX];
    uint32_t n;
};

static void scope_options(const struct scope *s, enum key_kind eq, enum key_kind in, enum key_kind type,
                          struct options *o)
{
    switch ((enum scope_kind)s->kind) {
    case SCOPE_ANY: break;
    case SCOPE_EQ:
    case SCOPE_IN:
        o->of[o->n].kind = s->kind == SCOPE_EQ ? eq : in;
        o->of[o->n++].one = s->uid;
        break;
    case SCOPE_IS_IN:
    case SCOPE_IS:
        if (s->kind == SCOPE_IS_IN) {
            o->of[o->n].kind = in;
            o->of[o->n++].one = s->uid;
            break;
        }
        o->of[o->n].kind = type;
        o->of[o->n++].type = s->type;
        break;
    case SCOPE_IN_LIST:
        o->of[o->n].kind = in;
        o->of[o->n].list = s->list;
        o->of[o->n++].n = s->n;
        break;
    }
}

static struct options options_of(const struct policy *p)
{
    struct options o = {0};
    scope_options(&p->principal, KEY_PRINCIPAL_EQ, KEY_PRINCIPAL_IN, KEY_PRINCIPAL_TYPE, &o);
    scope_options(&p->resource, KEY_RESOURCE_EQ, KEY_RESOURCE_IN, KEY_RESOURCE_TYPE, &o);
    scope_options(&p->action, KEY_ACTION_EQ, KEY_ACTION_IN, KEY_ACTION_IN, &o);
    return o;
}

static uint32_t option_keys(const struct options *o, uint32_t i)
{
    return o->of[i].list ? o->of[i].n : 1;
}

static uint64_t option_key(const struct options *o, uint32_t i, uint32_t j)
{
    uint64_t h = o->of[i].list ? o->of[i].list[j]->hash : o->of[i].one ? o->of[i].one->hash : map_hash(o->of[i].type);
    return key_hash(o->of[i].kind, h);
}

static struct key_slot *slot(const struct compiled *c, uint64_t key)
{
    uint32_t mask = c->slots_n - 1, at = (uint32_t)key & mask;
    while (c->slots[at].hash && c->slots[at].hash != key) at = (at + 1) & mask;
    return &c->slots[at];
}

const struct key_slot *compiled_find(const struct compiled *c, uint64_t key)
{
    const struct key_slot *s = slot(c, key);
    return s->hash ? s : NULL;
}

/* The option whose keys are shared by the fewest policies; o->n if there is none. */
static uint32_t rarest(const struct compiled *c, const struct options *o)
{
    uint64_t best = UINT64_MAX;
    uint32_t which = o->n;
    for (uint32_t i = 0; i < o->n; i++) {
        uint64_t sum = 0;
        for (uint32_t j = 0; j < option_keys(o, i); j++) sum += slot(c, option_key(o, i, j))->n;
        if (sum < best) {
            best = sum;
            which = i;
        }
    }
    return which;
}

/* A fresh table, for the keys chosen only: it is what decisions probe, so it had better be small. */
static enum err file_policies(struct compiled *c, const uint8_t *chosen)
{
    size_t keys = 1;
    for (uint32_t i = 0; i < c->policies_n; i++) {
        struct options o = options_of(c->policies[i].policy);
        if (chosen[i] >= o.n) continue;
        keys += option_keys(&o, chosen[i]);
        c->has_key[o.of[chosen[i]].kind] = true;
        c->policies[i].multi = option_keys(&o, chosen[i]) > 1;
    }
    c->slots_n = 16;
    while (c->slots_n < keys * 2) c->slots_n *= 2;
    c->slots = arena_array(&c->mem, c->slots_n, sizeof *c->slots);
    if (!c->slots) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < c->policies_n; i++) {
        struct options o = options_of(c->policies[i].policy);
        for (uint32_t j = 0; chosen[i] < o.n && j < option_keys(&o, chosen[i]); j++) {
            uint64_t key = option_key(&o, chosen[i], j);
            struct key_slot *s = slot(c, key);
            s->hash = key;
            s->first++;
        }
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < c->slots_n; i++) {
        uint32_t n = c->slots[i].first;
        c->slots[i].first = at;
        at += n;
    }
    c->any_first = at;
    for (uint32_t i = 0; i < c->policies_n; i++) {
        struct options o = options_of(c->policies[i].policy);
        if (chosen[i] >= o.n) c->postings[c->any_first + c->any_n++] = i;
        for (uint32_t j = 0; chosen[i] < o.n && j < option_keys(&o, chosen[i]); j++) {
            struct key_slot *s = slot(c, option_key(&o, chosen[i], j));
            c->postings[s->first + s->n++] = i;
        }
    }
    return ERR_OK;
}

static enum err build_index(struct compiled *c)
{
    size_t keys = 1;
    for (uint32_t i = 0; i < c->policies_n; i++) {
        struct options o = options_of(c->policies[i].policy);
        for (uint32_t k = 0; k < o.n; k++) keys += option_keys(&o, k);
    }
    if (keys > UINT32_MAX / 4) return ERR_LIMIT;
    c->slots_n = 16;
    while (c->slots_n < keys * 2) c->slots_n *= 2;
    c->slots = arena_array(&c->mem, c->slots_n, sizeof *c->slots);
    c->postings = arena_array(&c->mem, keys + c->policies_n, sizeof *c->postings);
    uint8_t *chosen = arena_array(&c->mem, c->policies_n + 1, 1);
    if (!c->slots || !c->postings || !chosen) return ERR_NO_MEMORY;
    /* How many policies ask for each key decides where each is filed. */
    for (uint32_t i = 0; i < c->policies_n; i++) {
        struct options o = options_of(c->policies[i].policy);
        for (uint32_t k = 0; k < o.n; k++)
            for (uint32_t j = 0; j < option_keys(&o, k); j++) {
                uint64_t key = option_key(&o, k, j);
                struct key_slot *s = slot(c, key);
                s->hash = key;
                s->n++;
            }
    }
    for (uint32_t i = 0; i < c->policies_n; i++) {
        struct options o = options_of(c->policies[i].policy);
        chosen[i] = (uint8_t)rarest(c, &o);
    }
    return file_policies(c, chosen);
}

enum err compile(const struct policy_set *set, struct compiled **out)
{
    struct compiled *c = calloc(1, sizeof *c);
    if (!c) return ERR_NO_MEMORY;
    arena_init(&c->mem, NULL, 0, COMPILED_MAX);
    c->set = set;
    c->policies_n = set->n;
    struct compiler k = {.c = c};
    enum err e = compile_policies(&k);
    if (e == ERR_OK) e = build_index(c);
    if (e != ERR_OK) {
        compiled_free(&c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

void compiled_free(struct compiled **c)
{
    if (!*c) return;
    arena_reset(&(*c)->mem);
    free(*c);
    *c = NULL;
}
