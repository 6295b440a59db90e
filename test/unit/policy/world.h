/* Policies, entities and a schema from text, for tests of deciding. */
#ifndef SALLYPORT_TEST_POLICY_WORLD_H
#define SALLYPORT_TEST_POLICY_WORLD_H

#include "../../support/unit.h"
#include "policy/eval.h"
#include "policy/parse.h"
#include "policy/typecheck.h"

struct world {
    struct arena mem;
    struct mistakes m;
    struct policy_set set;
    struct schema *schema;
    struct entities es;
    struct compiled *compiled;
    struct decider decider;
};

static inline void world_init(struct world *w)
{
    *w = (struct world){0};
    arena_init(&w->mem, NULL, 0, 256u << 20);
    mistakes_init(&w->m, &w->mem);
    entities_init(&w->es, &w->mem);
}

static inline void world_free(struct world *w)
{
    decider_free(&w->decider);
    compiled_free(&w->compiled);
    entities_free(&w->es);
    schema_free(&w->schema);
    arena_reset(&w->mem);
}

static inline const struct uid *world_uid(struct world *w, const char *text)
{
    const struct uid *u;
    assert_err(uid_parse(str_of(text), &w->mem, &w->m, &u), ERR_OK);
    return u;
}

/* Policies and entities (may be NULL) that must be right. */
static inline void world_load(struct world *w, const char *policies, const char *entities)
{
    assert_err(policies_parse(str_of(policies), 0, &w->mem, &w->m, &w->set), ERR_OK);
    if (entities) assert_err(entities_load(&w->es, str_of(entities), w->schema, &w->m), ERR_OK);
    assert_err(entities_finish(&w->es, &w->m), ERR_OK);
    assert_err(compile(&w->set, &w->compiled), ERR_OK);
    assert_err(decider_init(&w->decider, w->compiled), ERR_OK);
}

static inline struct policy_request world_request(struct world *w, const char *principal, const char *action,
                                                  const char *resource, const char *context)
{
    struct policy_request q = {world_uid(w, principal), world_uid(w, action), world_uid(w, resource), {0}, NULL, 0};
    assert_err(context_from_json(str_of(context ? context : "{}"), NULL, &w->mem, &w->m, &q.context), ERR_OK);
    return q;
}

/* "allow policy0 policy2 | policy1": decision, reasons, errors. */
static inline str world_decide(struct world *w, const struct policy_request *q)
{
    struct decision d;
    struct buf b;
    assert_err(decide(&w->decider, &w->es, q, &d), ERR_OK);
    buf_init(&b, 65536);
    buf_puts(&b, d.effect == EFFECT_PERMIT ? "allow" : "deny");
    for (uint32_t i = 0; i < d.reasons_n; i++) buf_printf(&b, " %.*s", STR_ARG(d.reasons[i]->id));
    if (d.errors_n) buf_puts(&b, " |");
    for (uint32_t i = 0; i < d.errors_n; i++) buf_printf(&b, " %.*s", STR_ARG(d.errors[i]->id));
    str out = arena_copy(&w->mem, buf_str(&b));
    buf_free(&b);
    return out;
}

#endif
