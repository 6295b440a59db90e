/* Deciding: the compiled policies, the tree, and partial evaluation with all known must agree. The input is policy
 * text, then a NUL byte, then a context as JSON. */
#include "policy/eval.h"
#include "policy/parse.h"
#include "policy/partial.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const str entities_json = STR_INIT(
    "[{\"uid\":{\"type\":\"U\",\"id\":\"a\"},\"attrs\":{\"n\":1,\"s\":\"x\",\"l\":[1,2],\"r\":{\"a\":true},\"u\":{\"__"
    "entity\":{\"type\":\"U\",\"id\":\"b\"}}},\"parents\":[{\"type\":\"G\",\"id\":\"g\"}],\"tags\":{\"t\":1}},"
    "{\"uid\":{\"type\":\"G\",\"id\":\"g\"},\"attrs\":{},\"parents\":[{\"type\":\"G\",\"id\":\"h\"}]}]");

/* 1 applies, 0 does not, -1 fails: by the tree alone. */
static int by_tree(const struct policy *p, const struct entities *es, const struct policy_request *q, struct arena *mem)
{
    struct facts f = {.entities = es, .scratch = mem};
    if (!scope_fits(p, q, &f)) return 0;
    for (uint32_t i = 0; i < p->conditions_n; i++) {
        struct value v;
        const struct expr *at;
        if (evaluate_expr(p->conditions[i].body, es, q, mem, &v, &at) != EVAL_FAULT_NONE || v.kind != VALUE_BOOL)
            return -1;
        if (v.boolean == p->conditions[i].unless) return 0;
    }
    return 1;
}

static bool listed(const struct policy *p, const struct policy *const *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == p) return true;
    return false;
}

static void compare(const struct policy_set *set, const struct entities *es, const struct policy_request *q,
                    struct arena *mem)
{
    struct compiled *c = NULL;
    struct decider d = {0};
    struct decision out;
    struct partial_decision rest;
    if (compile(set, &c) != ERR_OK || decider_init(&d, c) != ERR_OK) abort();
    struct partial_request pq = {.principal = q->principal,
                                 .action = q->action,
                                 .resource = q->resource,
                                 .context = &q->context};
    enum err e = decide(&d, es, q, &out), pe = partial_decide(set, es, &pq, mem, &rest);
    for (uint32_t i = 0; e == ERR_OK && i < set->n; i++) {
        const struct policy *p = set->policies[i];
        int truth = by_tree(p, es, q, mem);
        if ((truth < 0) != listed(p, out.errors, out.errors_n)) abort();
        if (truth > 0 && p->effect == EFFECT_DENY && out.effect != EFFECT_DENY) abort();
        if (truth > 0 && (p->effect == out.effect) && !listed(p, out.reasons, out.reasons_n)) abort();
        if (truth <= 0 && listed(p, out.reasons, out.reasons_n)) abort();
        if (pe != ERR_OK || rest.policies[i].truth == PARTIAL_RESIDUAL) continue; /* a context may hold unknowns */
        if ((rest.policies[i].truth == PARTIAL_ERROR) != (truth < 0) ||
            (rest.policies[i].truth == PARTIAL_TRUE) != (truth > 0))
            abort();
    }
    decider_free(&d);
    compiled_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str all = str_make((const char *)data, size), text = str_first(all, str_find(all, 0)),
        context = str_from(all, text.n + 1);
    struct arena mem;
    struct mistakes m;
    struct policy_set set;
    struct entities es;
    arena_init(&mem, NULL, 0, 256u << 20);
    mistakes_init(&m, &mem);
    entities_init(&es, &mem);
    if (size < 4096 && policies_parse(text, 0, &mem, &m, &set) == ERR_OK) {
        struct policy_request q = {uid_new(&mem, STR("U"), STR("a")),
                                   uid_new(&mem, STR("Action"), STR("v")),
                                   uid_new(&mem, STR("G"), STR("g")),
                                   {0},
                                   NULL,
                                   0};
        if (entities_load(&es, entities_json, NULL, &m) != ERR_OK || entities_finish(&es, &m) != ERR_OK) abort();
        if (context_from_json(context, NULL, &mem, &m, &q.context) != ERR_OK &&
            context_from_json(STR("{}"), NULL, &mem, &m, &q.context) != ERR_OK)
            abort();
        compare(&set, &es, &q, &mem);
    }
    entities_free(&es);
    arena_reset(&mem);
    return 0;
}
