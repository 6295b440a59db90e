#include "policy/print.h"

/* How tightly an expression holds together, loosest first: the levels of the grammar. */
enum level {
    LEVEL_IF,
    LEVEL_OR,
    LEVEL_AND,
    LEVEL_RELATION,
    LEVEL_ADD,
    LEVEL_MULT,
    LEVEL_UNARY,
    LEVEL_MEMBER,
    LEVEL_PRIMARY
};

static enum level level_of(const struct expr *e)
{
    switch ((enum expr_kind)e->kind) {
    case EXPR_IF: return LEVEL_IF;
    case EXPR_OR: return LEVEL_OR;
    case EXPR_AND: return LEVEL_AND;
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:
    case EXPR_IN:
    case EXPR_LIKE:
    case EXPR_IS: return LEVEL_RELATION;
    case EXPR_HAS:
        for (uint32_t i = 0; e->names_n > 1 && i < e->names_n; i++)
            if (!cedar_is_ident(e->names[i])) return LEVEL_AND;
        return LEVEL_RELATION;
    case EXPR_ADD:
    case EXPR_SUB: return LEVEL_ADD;
    case EXPR_MUL: return LEVEL_MULT;
    case EXPR_NOT:
    case EXPR_NEG: return LEVEL_UNARY;
    case EXPR_LITERAL: return e->value.kind == VALUE_LONG && e->value.integer < 0 ? LEVEL_UNARY : LEVEL_PRIMARY;
    case EXPR_VAR:
    case EXPR_CONTAINS:
    case EXPR_CONTAINS_ALL:
    case EXPR_CONTAINS_ANY:
    case EXPR_IS_EMPTY:
    case EXPR_GET_TAG:
    case EXPR_HAS_TAG:
    case EXPR_ATTR:
    case EXPR_SET:
    case EXPR_RECORD:
    case EXPR_CALL:
    case EXPR_UNKNOWN: break;
    }
    return LEVEL_MEMBER;
}

static void print_at(const struct expr *e, enum level least, struct buf *out)
{
    bool parens = level_of(e) < least;
    if (parens) buf_putc(out, '(');
    expr_print(e, out);
    if (parens) buf_putc(out, ')');
}

static void print_binary(const struct expr *e, const char *op, enum level left, enum level right, struct buf *out)
{
    print_at(e->args[0], left, out);
    buf_printf(out, " %s ", op);
    print_at(e->args[1], right, out);
}

static void print_key(str name, struct buf *out)
{
    if (cedar_is_ident(name))
        buf_put(out, name);
    else
        cedar_quote(name, out);
}

static void print_list(const struct expr *e, uint32_t from, struct buf *out)
{
    for (uint32_t i = from; i < e->n; i++) {
        if (i > from) buf_puts(out, ", ");
        expr_print(e->args[i], out);
    }
}

static void print_method(const struct expr *e, str name, struct buf *out)
{
    print_at(e->args[0], LEVEL_MEMBER, out);
    buf_putc(out, '.');
    buf_put(out, name);
    buf_putc(out, '(');
    print_list(e, 1, out);
    buf_putc(out, ')');
}

static void print_attr(str name, struct buf *out)
{
    if (cedar_is_ident(name)) {
        buf_putc(out, '.');
        buf_put(out, name);
        return;
    }
    buf_putc(out, '[');
    cedar_quote(name, out);
    buf_putc(out, ']');
}

/* A path can be written with dots only if all its names are identifiers; else it is spelled out. */
static void print_has(const struct expr *e, struct buf *out)
{
    if (level_of(e) == LEVEL_RELATION) {
        print_at(e->args[0], LEVEL_ADD, out);
        buf_puts(out, " has ");
        for (uint32_t i = 0; i < e->names_n; i++) {
            if (i) buf_putc(out, '.');
            print_key(e->names[i], out);
        }
        return;
    }
    for (uint32_t i = 0; i < e->names_n; i++) {
        if (i) buf_puts(out, " && ");
        print_at(e->args[0], i ? LEVEL_MEMBER : LEVEL_ADD, out);
        for (uint32_t k = 0; k < i; k++) print_attr(e->names[k], out);
        buf_puts(out, " has ");
        print_key(e->names[i], out);
    }
}

static void print_like(const struct expr *e, struct buf *out)
{
    print_at(e->args[0], LEVEL_ADD, out);
    buf_puts(out, " like \"");
    for (uint32_t i = 0; i < e->names_n; i++) {
        struct buf piece;
        if (i) buf_putc(out, '*');
        buf_init(&piece, (e->names[i].n + 1) * 8);
        cedar_quote(e->names[i], &piece);
        for (size_t k = 1; k + 1 < piece.n; k++) {
            if (piece.p[k] == '*') buf_putc(out, '\\');
            buf_putc(out, piece.p[k]);
        }
        if (piece.bad) out->bad = true;
        buf_free(&piece);
    }
    buf_putc(out, '"');
}

static void print_is(const struct expr *e, struct buf *out)
{
    print_at(e->args[0], LEVEL_ADD, out);
    buf_puts(out, " is ");
    buf_put(out, e->text);
    if (e->n < 2) return;
    buf_puts(out, " in ");
    print_at(e->args[1], LEVEL_ADD, out);
}

static void print_record(const struct expr *e, struct buf *out)
{
    buf_putc(out, '{');
    for (uint32_t i = 0; i < e->n; i++) {
        if (i) buf_puts(out, ", ");
        print_key(e->names[i], out);
        buf_puts(out, ": ");
        expr_print(e->args[i], out);
    }
    buf_putc(out, '}');
}

static void print_call(const struct expr *e, struct buf *out)
{
    const struct ext_info *info = &ext_table[e->sub];
    if (info->method && e->n) {
        print_method(e, info->name, out);
        return;
    }
    buf_put(out, info->name);
    buf_putc(out, '(');
    print_list(e, 0, out);
    buf_putc(out, ')');
}

static void print_unary(const struct expr *e, char op, struct buf *out)
{
    const struct expr *a = e->args[0];
    /* -(3) is a negation, -3 a literal */
    bool number = a->kind == EXPR_LITERAL && a->value.kind == VALUE_LONG;
    buf_putc(out, op);
    if (op == '-' && number) buf_putc(out, '(');
    print_at(a, op == '-' && number ? LEVEL_UNARY : LEVEL_MEMBER, out);
    if (op == '-' && number) buf_putc(out, ')');
}

void expr_print(const struct expr *e, struct buf *out)
{
    static const char *const relations[] = {[EXPR_EQ] = "==", [EXPR_NE] = "!=", [EXPR_LT] = "<", [EXPR_LE] = "<=",
                                            [EXPR_GT] = ">",  [EXPR_GE] = ">=", [EXPR_IN] = "in"};
    switch ((enum expr_kind)e->kind) {
    case EXPR_LITERAL: value_print(&e->value, out); break;
    case EXPR_VAR: buf_put(out, var_names[e->sub]); break;
    case EXPR_NOT: print_unary(e, '!', out); break;
    case EXPR_NEG: print_unary(e, '-', out); break;
    case EXPR_AND: print_binary(e, "&&", LEVEL_AND, LEVEL_RELATION, out); break;
    case EXPR_OR: print_binary(e, "||", LEVEL_OR, LEVEL_AND, out); break;
    case EXPR_ADD: print_binary(e, "+", LEVEL_ADD, LEVEL_MULT, out); break;
    case EXPR_SUB: print_binary(e, "-", LEVEL_ADD, LEVEL_MULT, out); break;
    case EXPR_MUL: print_binary(e, "*", LEVEL_MULT, LEVEL_UNARY, out); break;
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE:
    case EXPR_GT:
    case EXPR_GE:
    case EXPR_IN: print_binary(e, relations[e->kind], LEVEL_ADD, LEVEL_ADD, out); break;
    case EXPR_IF:
        buf_puts(out, "if ");
        expr_print(e->args[0], out);
        buf_puts(out, " then ");
        expr_print(e->args[1], out);
        buf_puts(out, " else ");
        expr_print(e->args[2], out);
        break;
    case EXPR_CONTAINS: print_method(e, STR("contains"), out); break;
    case EXPR_CONTAINS_ALL: print_method(e, STR("containsAll"), out); break;
    case EXPR_CONTAINS_ANY: print_method(e, STR("containsAny"), out); break;
    case EXPR_IS_EMPTY: print_method(e, STR("isEmpty"), out); break;
    case EXPR_GET_TAG: print_method(e, STR("getTag"), out); break;
    case EXPR_HAS_TAG: print_method(e, STR("hasTag"), out); break;
    case EXPR_ATTR:
        print_at(e->args[0], LEVEL_MEMBER, out);
        print_attr(e->text, out);
        break;
    case EXPR_HAS: print_has(e, out); break;
    case EXPR_LIKE: print_like(e, out); break;
    case EXPR_IS: print_is(e, out); break;
    case EXPR_SET:
        buf_putc(out, '[');
        print_list(e, 0, out);
        buf_putc(out, ']');
        break;
    case EXPR_RECORD: print_record(e, out); break;
    case EXPR_CALL: print_call(e, out); break;
    case EXPR_UNKNOWN:
        buf_puts(out, "unknown(");
        cedar_quote(e->text, out);
        buf_putc(out, ')');
        break;
    }
}

static void print_scope(const struct scope *s, enum var var, struct buf *out)
{
    buf_put(out, var_names[var]);
    if (s->type.n) {
        buf_puts(out, " is ");
        buf_put(out, s->type);
    }
    if (s->kind == SCOPE_EQ) buf_puts(out, " == ");
    if (s->kind == SCOPE_IN || s->kind == SCOPE_IS_IN || s->kind == SCOPE_IN_LIST) buf_puts(out, " in ");
    if (s->slot) buf_printf(out, "?%s", var_names[var].p);
    if (s->uid) uid_print(s->uid, out);
    if (s->kind != SCOPE_IN_LIST) return;
    buf_putc(out, '[');
    for (uint32_t i = 0; i < s->n; i++) {
        if (i) buf_puts(out, ", ");
        uid_print(s->list[i], out);
    }
    buf_putc(out, ']');
}

void policy_print(const struct policy *p, struct buf *out)
{
    for (uint32_t i = 0; i < p->annotations_n; i++) {
        buf_putc(out, '@');
        buf_put(out, p->annotations[i].name);
        if (!p->annotations[i].bare) {
            buf_putc(out, '(');
            cedar_quote(p->annotations[i].value, out);
            buf_putc(out, ')');
        }
        buf_putc(out, '\n');
    }
    buf_puts(out, p->effect == EFFECT_PERMIT ? "permit (" : "forbid (");
    print_scope(&p->principal, VAR_PRINCIPAL, out);
    buf_puts(out, ", ");
    print_scope(&p->action, VAR_ACTION, out);
    buf_puts(out, ", ");
    print_scope(&p->resource, VAR_RESOURCE, out);
    buf_putc(out, ')');
    for (uint32_t i = 0; i < p->conditions_n; i++) {
        buf_puts(out, p->conditions[i].unless ? "\nunless { " : "\nwhen { ");
        expr_print(p->conditions[i].body, out);
        buf_puts(out, " }");
    }
    buf_puts(out, ";\n");
}
