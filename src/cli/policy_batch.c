#include "cli/policy_batch.h"

#include "cli/policy_files.h"
#include "codec/json.h"
#include "policy/eval.h"
#include "policy/format.h"
#include "policy/parse.h"
#include "policy/partial.h"
#include "policy/policy_json.h"
#include "policy/print.h"
#include "policy/typecheck.h"

#include <stdlib.h>

#define TASK_MEMORY ((size_t)2 << 30)

static const struct json_limits limits = {.max_bytes = 256u << 20,
                                          .max_depth = JSON_DEPTH_MAX,
                                          .max_values = 1u << 20,
                                          .max_members = 1u << 16,
                                          .max_number = 30};

struct task {
    struct arena mem;
    const struct json *j;
    struct mistakes m;
    struct policy_set set;
    struct schema *schema;
    struct entities es;
    struct policy_request q;
    const struct value *context;
    struct buf out;
};

static str text_of(const struct task *t, const char *name)
{
    return json_text(json_get(t->j, str_of(name)));
}

static bool load_policies(struct task *t)
{
    str text = text_of(t, "policies");
    enum err e = policy_is_json(text) ? policies_parse_json(text, &t->mem, &t->m, &t->set)
                                      : policies_parse(text, 0, &t->mem, &t->m, &t->set);
    return e == ERR_OK;
}

static bool load_schema(struct task *t)
{
    str text = text_of(t, "schema");
    if (!text.p) return true;
    enum err e = policy_is_json(text) ? schema_parse_json(text, &t->mem, &t->m, &t->schema)
                                      : schema_parse(text, &t->mem, &t->m, &t->schema);
    return e == ERR_OK;
}

static bool load_uid(struct task *t, const char *name, const struct uid **out)
{
    const struct json *j = json_get(t->j, str_of(name));
    if (!j || j->type == JSON_NULL) return true;
    return uid_from_json(j, NULL, &t->mem, &t->m, name, 0, out) == ERR_OK;
}

static bool load_request(struct task *t)
{
    str entities = text_of(t, "entities"), context = text_of(t, "context");
    if (entities.p && entities_load(&t->es, entities, t->schema, &t->m) != ERR_OK) return false;
    if (entities_finish(&t->es, &t->m) != ERR_OK) return false;
    if (!load_uid(t, "principal", &t->q.principal) || !load_uid(t, "action", &t->q.action) ||
        !load_uid(t, "resource", &t->q.resource))
        return false;
    const struct action_type *a = t->schema && t->q.action ? schema_action(t->schema, t->q.action) : NULL;
    if (context.p && context_from_json(context, a ? a->context : NULL, &t->mem, &t->m, &t->q.context) != ERR_OK)
        return false;
    if (context.p) t->context = &t->q.context;
    return true;
}

static void put_string(struct buf *b, str s)
{
    buf_putc(b, '"');
    buf_put_json(b, s);
    buf_putc(b, '"');
}

static void put_ids(struct buf *b, const char *name, const struct policy *const *list, uint32_t n)
{
    buf_printf(b, ",\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++) {
        if (i) buf_putc(b, ',');
        put_string(b, list[i]->id);
    }
    buf_putc(b, ']');
}

static void put_error(struct task *t)
{
    const struct mistake *x = t->m.first;
    buf_printf(&t->out, "{\"error\":\"%s\",\"message\":", policy_fault_name(mistakes_fault(&t->m)));
    put_string(&t->out, x ? x->message : STR("refused"));
    buf_printf(&t->out, ",\"at\":%u}", x ? x->at : 0);
}

static bool authorize(struct task *t)
{
    struct compiled *c = NULL;
    struct decider d = {0};
    struct decision out;
    if (!load_policies(t) || !load_schema(t) || !load_request(t)) return false;
    if (!t->q.principal || !t->q.action || !t->q.resource || !t->context) return false;
    enum err e = compile(&t->set, &c);
    if (e == ERR_OK) e = decider_init(&d, c);
    if (e == ERR_OK) e = decide(&d, &t->es, &t->q, &out);
    if (e == ERR_OK) {
        buf_printf(&t->out, "{\"decision\":\"%s\"", out.effect == EFFECT_PERMIT ? "allow" : "deny");
        put_ids(&t->out, "reasons", out.reasons, out.reasons_n);
        put_ids(&t->out, "errors", out.errors, out.errors_n);
        buf_putc(&t->out, '}');
    }
    decider_free(&d);
    compiled_free(&c);
    return e == ERR_OK;
}

static void put_truth(struct buf *b, const char *name, const struct partial_decision *d, enum partial_truth truth)
{
    bool first = true;
    buf_printf(b, ",\"%s\":[", name);
    for (uint32_t i = 0; i < d->n; i++) {
        if (d->policies[i].truth != truth) continue;
        if (!first) buf_putc(b, ',');
        first = false;
        put_string(b, d->policies[i].policy->id);
    }
    buf_putc(b, ']');
}

static void put_determining(struct buf *b, const char *name, const struct partial_decision *d,
                            bool (*test)(const struct partial_decision *, const struct partial_policy *))
{
    bool first = true;
    buf_printf(b, ",\"%s\":[", name);
    for (uint32_t i = 0; i < d->n; i++) {
        if (!test(d, &d->policies[i])) continue;
        if (!first) buf_putc(b, ',');
        first = false;
        put_string(b, d->policies[i].policy->id);
    }
    buf_putc(b, ']');
}

static void put_residuals(struct buf *b, const struct partial_decision *d)
{
    bool first = true;
    buf_puts(b, ",\"residuals\":{");
    for (uint32_t i = 0; i < d->n; i++) {
        struct buf text;
        if (d->policies[i].truth != PARTIAL_RESIDUAL) continue;
        if (!first) buf_putc(b, ',');
        first = false;
        put_string(b, d->policies[i].policy->id);
        buf_puts(b, ":{\"json\":");
        policy_print_json(d->policies[i].residual, b);
        buf_puts(b, ",\"text\":");
        buf_init(&text, POLICY_OUTPUT_MAX);
        policy_print(d->policies[i].residual, &text);
        put_string(b, buf_str(&text));
        buf_free(&text);
        buf_putc(b, '}');
    }
    buf_putc(b, '}');
}

static bool partial(struct task *t)
{
    struct partial_decision d;
    if (!load_policies(t) || !load_schema(t) || !load_request(t)) return false;
    struct partial_request q = {.principal = t->q.principal,
                                .action = t->q.action,
                                .resource = t->q.resource,
                                .context = t->context};
    if (partial_decide(&t->set, &t->es, &q, &t->mem, &d) != ERR_OK) return false;
    buf_printf(&t->out, "{\"decision\":%s", !d.decided ? "null" : d.effect == EFFECT_PERMIT ? "\"allow\"" : "\"deny\"");
    put_truth(&t->out, "satisfied", &d, PARTIAL_TRUE);
    put_truth(&t->out, "errored", &d, PARTIAL_ERROR);
    put_determining(&t->out, "may", &d, partial_may_determine);
    put_determining(&t->out, "must", &d, partial_must_determine);
    put_residuals(&t->out, &d);
    buf_putc(&t->out, '}');
    return true;
}

static bool validate(struct task *t)
{
    if (!load_policies(t) || !load_schema(t) || !t->schema) return false;
    enum err e = policies_validate(&t->set, t->schema, &t->m);
    if (e != ERR_OK && e != ERR_MALFORMED) return false;
    buf_printf(&t->out, "{\"valid\":%s", e == ERR_OK ? "true" : "false");
    if (e != ERR_OK) {
        buf_puts(&t->out, ",\"message\":");
        put_string(&t->out, t->m.first->message);
    }
    buf_putc(&t->out, '}');
    return true;
}

static bool to_json(struct task *t)
{
    if (!load_policies(t)) return false;
    policies_print_json(&t->set, &t->out);
    return true;
}

static void put_texts(struct buf *out, const char *name, const struct policy **list, uint32_t n)
{
    buf_printf(out, "\"%s\":{", name);
    for (uint32_t i = 0; i < n; i++) {
        struct buf text;
        buf_init(&text, POLICY_OUTPUT_MAX);
        policy_print(list[i], &text);
        if (i) buf_putc(out, ',');
        put_string(out, list[i]->id);
        buf_putc(out, ':');
        put_string(out, buf_str(&text));
        buf_free(&text);
    }
    buf_putc(out, '}');
}

static bool to_text(struct task *t)
{
    if (!load_policies(t)) return false;
    buf_putc(&t->out, '{');
    put_texts(&t->out, "policies", t->set.policies, t->set.n);
    buf_putc(&t->out, ',');
    put_texts(&t->out, "templates", t->set.templates, t->set.templates_n);
    buf_putc(&t->out, '}');
    return true;
}

static bool format(struct task *t)
{
    struct buf text;
    buf_init(&text, POLICY_OUTPUT_MAX);
    bool ok = policies_format(text_of(t, "policies"), &t->mem, &t->m, &text) == ERR_OK;
    if (ok) {
        buf_puts(&t->out, "{\"text\":");
        put_string(&t->out, buf_str(&text));
        buf_putc(&t->out, '}');
    }
    buf_free(&text);
    return ok;
}

static bool schema(struct task *t)
{
    if (!load_schema(t) || !t->schema) return false;
    buf_printf(&t->out, "{\"types\":%u,\"actions\":%u}", t->schema->types_n, t->schema->actions_n);
    return true;
}

static const struct {
    const char *name;
    bool (*run)(struct task *t);
} operations[] = {{"authorize", authorize}, {"partial", partial}, {"validate", validate}, {"json", to_json},
                  {"text", to_text},        {"format", format},   {"schema", schema}};

static void answer(str line, FILE *out)
{
    struct task t = {0};
    arena_init(&t.mem, NULL, 0, TASK_MEMORY);
    mistakes_init(&t.m, &t.mem);
    entities_init(&t.es, &t.mem);
    buf_init(&t.out, POLICY_OUTPUT_MAX);
    bool ok = false;
    if (json_parse(line, &limits, &t.mem, &t.j, NULL, NULL) == ERR_OK)
        for (size_t i = 0; i < ARRAY_LEN(operations); i++)
            if (str_eq(text_of(&t, "op"), str_of(operations[i].name))) ok = operations[i].run(&t);
    if (!ok) {
        buf_clear(&t.out);
        put_error(&t);
    }
    fprintf(out, "%.*s\n", STR_ARG(buf_str(&t.out)));
    buf_free(&t.out);
    entities_free(&t.es);
    schema_free(&t.schema);
    arena_reset(&t.mem);
}

bool policy_batch(FILE *in, FILE *out)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    while ((n = getline(&line, &room, in)) > 0) {
        answer(str_make(line, (size_t)n), out);
        fflush(out);
    }
    free(line);
    return !ferror(in) && !ferror(out);
}
