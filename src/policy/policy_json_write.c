#include "policy/policy_json.h"

static void put_string(str s, struct buf *out)
{
    buf_putc(out, '"');
    buf_put_json(out, s);
    buf_putc(out, '"');
}

static void put_uid(const struct uid *u, struct buf *out)
{
    buf_puts(out, "{\"type\":");
    put_string(u->type, out);
    buf_puts(out, ",\"id\":");
    put_string(u->id, out);
    buf_putc(out, '}');
}

static const char *const names[] = {[EXPR_NOT] = "!",
                                    [EXPR_NEG] = "neg",
                                    [EXPR_AND] = "&&",
                                    [EXPR_OR] = "||",
                                    [EXPR_EQ] = "==",
                                    [EXPR_NE] = "!=",
                                    [EXPR_LT] = "<",
                                    [EXPR_LE] = "<=",
                                    [EXPR_GT] = ">",
                                    [EXPR_GE] = ">=",
                                    [EXPR_ADD] = "+",
                                    [EXPR_SUB] = "-",
                                    [EXPR_MUL] = "*",
                                    [EXPR_IN] = "in",
                                    [EXPR_CONTAINS] = "contains",
                                    [EXPR_CONTAINS_ALL] = "containsAll",
                                    [EXPR_CONTAINS_ANY] = "containsAny",
                                    [EXPR_IS_EMPTY] = "isEmpty",
                                    [EXPR_GET_TAG] = "getTag",
                                    [EXPR_HAS_TAG] = "hasTag"};

static void put_operator(const struct expr *e, struct buf *out)
{
    buf_printf(out, "{\"%s\":{\"%s\":", names[e->kind], e->n == 1 ? "arg" : "left");
    expr_print_json(e->args[0], out);
    if (e->n > 1) {
        buf_puts(out, ",\"right\":");
        expr_print_json(e->args[1], out);
    }
    buf_puts(out, "}}");
}

static void put_list(const struct expr *e, struct buf *out)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < e->n; i++) {
        if (i) buf_putc(out, ',');
        expr_print_json(e->args[i], out);
    }
    buf_putc(out, ']');
}

/* {"." or "has": {"left": object.path…, "attr": name}}; the path may be empty. */
static void put_access(const char *op, const struct expr *object, const str *path, uint32_t n, str name,
                       struct buf *out)
{
    buf_printf(out, "{\"%s\":{\"left\":", op);
    if (n)
        put_access(".", object, path, n - 1, path[n - 1], out);
    else
        expr_print_json(object, out);
    buf_puts(out, ",\"attr\":");
    put_string(name, out);
    buf_puts(out, "}}");
}

/* A path is a chain of &&, as others write it. */
static void put_has(const struct expr *e, uint32_t n, struct buf *out)
{
    if (n == 1) {
        put_access("has", e->args[0], e->names, 0, e->names[0], out);
        return;
    }
    buf_puts(out, "{\"&&\":{\"left\":");
    put_has(e, n - 1, out);
    buf_puts(out, ",\"right\":");
    put_access("has", e->args[0], e->names, n - 1, e->names[n - 1], out);
    buf_puts(out, "}}");
}

static void put_like(const struct expr *e, struct buf *out)
{
    bool first = true;
    buf_puts(out, "{\"like\":{\"left\":");
    expr_print_json(e->args[0], out);
    buf_puts(out, ",\"pattern\":[");
    for (uint32_t i = 0; i < e->names_n; i++) {
        if (i) {
            buf_puts(out, first ? "\"Wildcard\"" : ",\"Wildcard\"");
            first = false;
        }
        if (!e->names[i].n) continue;
        buf_puts(out, first ? "{\"Literal\":" : ",{\"Literal\":");
        put_string(e->names[i], out);
        buf_putc(out, '}');
        first = false;
    }
    buf_puts(out, "]}}");
}

static void put_if(const struct expr *e, struct buf *out)
{
    buf_puts(out, "{\"if-then-else\":{\"if\":");
    expr_print_json(e->args[0], out);
    buf_puts(out, ",\"then\":");
    expr_print_json(e->args[1], out);
    buf_puts(out, ",\"else\":");
    expr_print_json(e->args[2], out);
    buf_puts(out, "}}");
}

static void put_is(const struct expr *e, struct buf *out)
{
    buf_puts(out, "{\"is\":{\"left\":");
    expr_print_json(e->args[0], out);
    buf_puts(out, ",\"entity_type\":");
    put_string(e->text, out);
    if (e->n > 1) {
        buf_puts(out, ",\"in\":");
        expr_print_json(e->args[1], out);
    }
    buf_puts(out, "}}");
}

static void put_record(const struct expr *e, struct buf *out)
{
    buf_puts(out, "{\"Record\":{");
    for (uint32_t i = 0; i < e->n; i++) {
        if (i) buf_putc(out, ',');
        put_string(e->names[i], out);
        buf_putc(out, ':');
        expr_print_json(e->args[i], out);
    }
    buf_puts(out, "}}");
}

void expr_print_json(const struct expr *e, struct buf *out)
{
    switch ((enum expr_kind)e->kind) {
    case EXPR_LITERAL:
        buf_puts(out, "{\"Value\":");
        value_print_json(&e->value, out);
        buf_putc(out, '}');
        break;
    case EXPR_VAR: buf_printf(out, "{\"Var\":\"%s\"}", var_names[e->sub].p); break;
    case EXPR_NOT:
    case EXPR_NEG:
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL:
    case EXPR_IN:
    case EXPR_CONTAINS:
    case EXPR_CONTAINS_ALL:
    case EXPR_CONTAINS_ANY:
    case EXPR_IS_EMPTY:
    case EXPR_GET_TAG:
    case EXPR_HAS_TAG: put_operator(e, out); break;
    case EXPR_IF: put_if(e, out); break;
    case EXPR_ATTR: put_access(".", e->args[0], NULL, 0, e->text, out); break;
    case EXPR_HAS: put_has(e, e->names_n, out); break;
    case EXPR_LIKE: put_like(e, out); break;
    case EXPR_IS: put_is(e, out); break;
    case EXPR_SET:
        buf_puts(out, "{\"Set\":");
        put_list(e, out);
        buf_putc(out, '}');
        break;
    case EXPR_RECORD: put_record(e, out); break;
    case EXPR_CALL:
        buf_putc(out, '{');
        put_string(ext_table[e->sub].name, out);
        buf_putc(out, ':');
        put_list(e, out);
        buf_putc(out, '}');
        break;
    case EXPR_UNKNOWN:
        buf_puts(out, "{\"unknown\":[{\"Value\":");
        put_string(e->text, out);
        buf_puts(out, "}]}");
        break;
    }
}

static void put_reference(const struct scope *s, enum var var, struct buf *out)
{
    if (s->slot) {
        buf_printf(out, "\"slot\":\"?%s\"", var_names[var].p);
        return;
    }
    buf_puts(out, "\"entity\":");
    put_uid(s->uid, out);
}

static void put_scope(const struct scope *s, enum var var, struct buf *out)
{
    buf_printf(out, "\"%s\":{\"op\":", var_names[var].p);
    switch ((enum scope_kind)s->kind) {
    case SCOPE_ANY: buf_puts(out, "\"All\""); break;
    case SCOPE_EQ:
    case SCOPE_IN:
        buf_puts(out, s->kind == SCOPE_EQ ? "\"==\"," : "\"in\",");
        put_reference(s, var, out);
        break;
    case SCOPE_IS:
    case SCOPE_IS_IN:
        buf_puts(out, "\"is\",\"entity_type\":");
        put_string(s->type, out);
        if (s->kind == SCOPE_IS_IN) {
            buf_puts(out, ",\"in\":{");
            put_reference(s, var, out);
            buf_putc(out, '}');
        }
        break;
    case SCOPE_IN_LIST:
        /* a list of one is written as that one */
        if (s->n == 1) {
            buf_puts(out, "\"in\",\"entity\":");
            put_uid(s->list[0], out);
            break;
        }
        buf_puts(out, "\"in\",\"entities\":[");
        for (uint32_t i = 0; i < s->n; i++) {
            if (i) buf_putc(out, ',');
            put_uid(s->list[i], out);
        }
        buf_putc(out, ']');
        break;
    }
    buf_puts(out, "},");
}

void policy_print_json(const struct policy *p, struct buf *out)
{
    buf_printf(out, "{\"effect\":\"%s\",", p->effect == EFFECT_PERMIT ? "permit" : "forbid");
    put_scope(&p->principal, VAR_PRINCIPAL, out);
    put_scope(&p->action, VAR_ACTION, out);
    put_scope(&p->resource, VAR_RESOURCE, out);
    buf_puts(out, "\"conditions\":[");
    for (uint32_t i = 0; i < p->conditions_n; i++) {
        buf_printf(out, "%s{\"kind\":\"%s\",\"body\":", i ? "," : "", p->conditions[i].unless ? "unless" : "when");
        expr_print_json(p->conditions[i].body, out);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
    if (p->annotations_n) {
        buf_puts(out, ",\"annotations\":{");
        for (uint32_t i = 0; i < p->annotations_n; i++) {
            if (i) buf_putc(out, ',');
            put_string(p->annotations[i].name, out);
            buf_putc(out, ':');
            if (p->annotations[i].bare)
                buf_puts(out, "null");
            else
                put_string(p->annotations[i].value, out);
        }
        buf_putc(out, '}');
    }
    buf_putc(out, '}');
}

static void put_link(const struct policy *p, struct buf *out)
{
    buf_puts(out, "{\"templateId\":");
    put_string(p->template->id, out);
    buf_puts(out, ",\"newId\":");
    put_string(p->id, out);
    buf_puts(out, ",\"values\":{");
    if (p->template->principal.slot) {
        buf_puts(out, "\"?principal\":");
        put_uid(p->principal.uid, out);
    }
    if (p->template->resource.slot) {
        buf_puts(out, p->template->principal.slot ? ",\"?resource\":" : "\"?resource\":");
        put_uid(p->resource.uid, out);
    }
    buf_puts(out, "}}");
}

void policies_print_json(const struct policy_set *set, struct buf *out)
{
    bool first = true;
    buf_puts(out, "{\"staticPolicies\":{");
    for (uint32_t i = 0; i < set->n; i++) {
        if (set->policies[i]->template) continue;
        if (!first) buf_putc(out, ',');
        first = false;
        put_string(set->policies[i]->id, out);
        buf_putc(out, ':');
        policy_print_json(set->policies[i], out);
    }
    buf_puts(out, "},\"templates\":{");
    for (uint32_t i = 0; i < set->templates_n; i++) {
        if (i) buf_putc(out, ',');
        put_string(set->templates[i]->id, out);
        buf_putc(out, ':');
        policy_print_json(set->templates[i], out);
    }
    buf_puts(out, "},\"templateLinks\":[");
    first = true;
    for (uint32_t i = 0; i < set->n; i++) {
        if (!set->policies[i]->template) continue;
        if (!first) buf_putc(out, ',');
        first = false;
        put_link(set->policies[i], out);
    }
    buf_puts(out, "]}");
}
