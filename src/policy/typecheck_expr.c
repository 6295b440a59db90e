/* Types of expressions, one kind of request at a time.
 *
 * An answer without a type says that something is wrong inside; what is wrong has been told where it was found. */
#include "policy/capability.h"
#include "policy/core.h"
#include "policy/typecheck_internal.h"
#include "policy/types.h"

struct answer {
    const struct type *type;
    bool ok;
    const struct caps *caps;
};

static struct answer check(struct checker *c, const struct caps *prior, const struct expr *e);

static struct answer good(const struct type *t)
{
    return (struct answer){t, true, NULL};
}

static struct answer wrong(const struct type *t)
{
    return (struct answer){t, false, NULL};
}

/* What follows from something wrong is wrong, whatever type it has. */
static struct answer after(bool ok, struct answer a)
{
    return ok ? a : wrong(a.type);
}

/* ---- expectations ---- */

static void print_types(const struct type *t, char *out, size_t n)
{
    struct buf b;
    buf_init(&b, n - 1);
    type_print(t, &b);
    memcpy(out, b.p ? b.p : "", b.n);
    out[b.n] = 0;
    buf_free(&b);
}

enum expect {
    EXPECT_BOOL,
    EXPECT_LONG,
    EXPECT_STRING,
    EXPECT_ENTITY,
    EXPECT_SET,
    EXPECT_ENTITY_OR_RECORD,
    EXPECT_ENTITY_OR_SET,
    EXPECT_EXT
};

static bool meets(const struct type *t, enum expect want, enum value_kind ext)
{
    if (t->kind == TYPE_NEVER) return true;
    switch (want) {
    case EXPECT_BOOL: return type_is_bool(t);
    case EXPECT_LONG: return t->kind == TYPE_LONG;
    case EXPECT_STRING: return t->kind == TYPE_STRING;
    case EXPECT_ENTITY: return t->kind == TYPE_ENTITY;
    case EXPECT_SET: return t->kind == TYPE_SET;
    case EXPECT_ENTITY_OR_RECORD: return t->kind == TYPE_ENTITY || t->kind == TYPE_RECORD;
    case EXPECT_ENTITY_OR_SET:
        return t->kind == TYPE_ENTITY ||
               (t->kind == TYPE_SET && (t->element->kind == TYPE_ENTITY || t->element->kind == TYPE_NEVER));
    case EXPECT_EXT: return t->kind == TYPE_EXT && t->ext == ext;
    }
    return false;
}

static struct answer expect_ext(struct checker *c, const struct caps *prior, const struct expr *e, enum expect want,
                                enum value_kind ext, str help)
{
    static const char *const names[] =
        {"Bool", "Long", "String", "an entity", "a set", "an entity or a record", "an entity or a set of entities"};
    struct answer a = check(c, prior, e);
    if (!a.type) return wrong(NULL);
    if (meets(a.type, want, ext)) return a;
    char found[200];
    print_types(a.type, found, sizeof found);
    check_mistake(c, POLICY_FAULT_TYPE, e, help, "expected %s, found %s",
                  want == EXPECT_EXT ? value_kind_name(ext) : names[want], found);
    return wrong(NULL);
}

static struct answer expect(struct checker *c, const struct caps *prior, const struct expr *e, enum expect want)
{
    return expect_ext(c, prior, e, want, VALUE_NONE, STR_NONE);
}

static const struct type *join(struct checker *c, const struct expr *e, const struct type *a, const struct type *b)
{
    bool failed = false;
    char x[200], y[200];
    if (!a || !b) return NULL;
    const struct type *t = type_join(a, b, c->mem, &failed);
    if (failed) c->no_memory = true;
    if (t || failed) return t;
    print_types(a, x, sizeof x);
    print_types(b, y, sizeof y);
    check_mistake(c, POLICY_FAULT_TYPE, e, STR_NONE, "the types %s and %s do not go together", x, y);
    return NULL;
}

/* ---- literals and variables ---- */

static const struct type *entity_type_ref(struct checker *c, str name)
{
    struct type *t = arena_zalloc(c->mem, sizeof *t);
    if (!t) {
        c->no_memory = true;
        return NULL;
    }
    t->kind = TYPE_ENTITY;
    t->name = name;
    return t;
}

static struct answer check_literal(struct checker *c, const struct expr *e)
{
    const struct uid *u = e->value.uid;
    bool known;
    switch ((enum value_kind)e->value.kind) {
    case VALUE_BOOL: return good(type_simple(e->value.boolean ? TYPE_TRUE : TYPE_FALSE));
    case VALUE_LONG: return good(type_simple(TYPE_LONG));
    case VALUE_STRING: return good(type_simple(TYPE_STRING));
    case VALUE_ENTITY:
        known = uid_is_action(u) ? schema_action(c->schema, u) != NULL : schema_entity(c->schema, u->type) != NULL;
        /* who does not know the type is told by the check of names */
        return known ? good(entity_type_ref(c, u->type)) : wrong(NULL);
    case VALUE_NONE:
    case VALUE_SET:
    case VALUE_RECORD:
    case VALUE_DECIMAL:
    case VALUE_IP:
    case VALUE_DATETIME:
    case VALUE_DURATION:
    case VALUE_UNKNOWN: break;
    }
    return wrong(NULL);
}

static struct answer check_var(struct checker *c, const struct expr *e)
{
    switch ((enum var)e->sub) {
    case VAR_PRINCIPAL: return good(entity_type_ref(c, c->env->principal));
    case VAR_ACTION: return good(entity_type_ref(c, c->env->action->uid->type));
    case VAR_RESOURCE: return good(entity_type_ref(c, c->env->resource));
    case VAR_CONTEXT: return good(c->env->action->context);
    }
    return wrong(NULL);
}

static struct answer check_slot(struct checker *c, const struct expr *e)
{
    return good(
        entity_type_ref(c, str_eq(e->text, STR("?principal")) ? c->env->principal_slot : c->env->resource_slot));
}

/* ---- choices ---- */

static struct answer check_if(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer test = expect(c, prior, e->args[0], EXPECT_BOOL), r;
    if (test.type && test.type->kind == TYPE_TRUE) {
        r = check(c, caps_union(c->mem, &c->no_memory, prior, test.caps), e->args[1]);
        if (r.ok) r.caps = caps_union(c->mem, &c->no_memory, r.caps, test.caps);
        return after(test.ok, r);
    }
    if (test.type && test.type->kind == TYPE_FALSE) return after(test.ok, check(c, prior, e->args[2]));
    struct answer yes = check(c, caps_union(c->mem, &c->no_memory, prior, test.caps), e->args[1]);
    if (yes.ok) yes.caps = caps_union(c->mem, &c->no_memory, yes.caps, test.caps);
    struct answer no = check(c, prior, e->args[2]);
    const struct type *t = join(c, e, yes.type, no.type);
    r = t ? good(t) : wrong(NULL);
    r.caps = caps_both(c->mem, &c->no_memory, no.caps, yes.caps);
    return after(test.ok && yes.ok && no.ok, r);
}

static struct answer check_and(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = expect(c, prior, e->args[0], EXPECT_BOOL);
    if (a.type && a.type->kind == TYPE_FALSE) return after(a.ok, good(a.type));
    struct answer b = expect(c, caps_union(c->mem, &c->no_memory, prior, a.caps), e->args[1], EXPECT_BOOL);
    struct answer r = wrong(type_simple(TYPE_BOOL));
    if (a.type && b.type) {
        r = good(type_simple(TYPE_BOOL));
        if (b.type->kind == TYPE_FALSE) {
            r.type = b.type;
        } else {
            r.caps = caps_union(c->mem, &c->no_memory, a.caps, b.caps);
            if (b.type->kind == TYPE_TRUE) {
                r.type = a.type;
            } else if (a.type->kind == TYPE_TRUE) {
                r.type = b.type;
                r.caps = b.caps;
            }
        }
    }
    return after(a.ok && b.ok, r);
}

static struct answer check_or(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = expect(c, prior, e->args[0], EXPECT_BOOL);
    if (a.type && a.type->kind == TYPE_TRUE) return a;
    struct answer b = expect(c, prior, e->args[1], EXPECT_BOOL);
    struct answer r = wrong(type_simple(TYPE_BOOL));
    if (a.type && b.type) {
        r = good(type_simple(TYPE_BOOL));
        if (b.type->kind == TYPE_TRUE) {
            r.type = b.type;
            r.caps = b.caps;
        } else if (b.type->kind == TYPE_FALSE) {
            r.type = a.type;
            r.caps = a.caps;
        } else if (a.type->kind == TYPE_FALSE) {
            r.type = b.type;
            r.caps = b.caps;
        } else {
            r.caps = caps_both(c->mem, &c->no_memory, b.caps, a.caps);
        }
    }
    return after(a.ok && b.ok, r);
}

/* ---- attributes ---- */

static const struct type *attributes_of(const struct checker *c, const struct type *t)
{
    if (t->kind == TYPE_RECORD) return t;
    const struct entity_type *et = t->kind == TYPE_ENTITY ? schema_entity(c->schema, t->name) : NULL;
    return et ? et->shape : NULL;
}

static void unknown_attribute(struct checker *c, const struct expr *e, const struct type *t, const struct type *shape)
{
    str names[128];
    size_t n = 0;
    char on[200];
    for (uint32_t i = 0; shape && i < shape->n && n < ARRAY_LEN(names); i++) names[n++] = shape->attrs[i].name;
    print_types(t, on, sizeof on);
    check_mistake(c, POLICY_FAULT_UNKNOWN, e, mistake_did_you_mean(c->m->mem, e->text, names, n),
                  "there is no attribute `%.*s` in %s", STR_ARG(e->text), on);
}

static struct answer check_attr(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = expect(c, prior, e->args[0], EXPECT_ENTITY_OR_RECORD);
    if (!a.type) return wrong(NULL);
    const struct type *shape = attributes_of(c, a.type);
    const struct type_attr *attr = shape ? type_attr(shape, e->text) : NULL;
    if (!attr) {
        unknown_attribute(c, e, a.type, shape);
        return wrong(NULL);
    }
    if (attr->required || caps_has(prior, e->args[0], e->text, NULL)) return after(a.ok, good(attr->type));
    check_mistake(c, POLICY_FAULT_TYPE, e, STR("test for it first: e has attribute && …"),
                  "the attribute `%.*s` may be missing", STR_ARG(e->text));
    return wrong(attr->type);
}

static struct answer check_has(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = expect(c, prior, e->args[0], EXPECT_ENTITY_OR_RECORD);
    str name = e->names[0];
    if (!a.type) return wrong(type_simple(TYPE_BOOL));
    const struct type *shape = attributes_of(c, a.type);
    const struct type_attr *attr = shape ? type_attr(shape, name) : NULL;
    if (!attr) return after(a.ok, good(type_simple(a.type->kind == TYPE_NEVER ? TYPE_BOOL : TYPE_FALSE)));
    bool sure = (attr->required && a.type->kind == TYPE_RECORD) || caps_has(prior, e->args[0], name, NULL);
    struct answer r = good(type_simple(sure ? TYPE_TRUE : TYPE_BOOL));
    r.caps = caps_one(c->mem, &c->no_memory, e->args[0], name, NULL);
    return after(a.ok, r);
}

/* The type of the tags, or NULL: the entity can have none. */
static const struct type *tags_of(const struct checker *c, const struct type *t)
{
    const struct entity_type *et = t->kind == TYPE_ENTITY ? schema_entity(c->schema, t->name) : NULL;
    return et ? et->tags : NULL;
}

static struct answer check_tag(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = expect(c, prior, e->args[0], EXPECT_ENTITY), b = expect(c, prior, e->args[1], EXPECT_STRING);
    bool ok = a.ok && b.ok;
    if (!a.type) return wrong(NULL);
    const struct type *tags = tags_of(c, a.type);
    bool sure = caps_has(prior, e->args[0], STR_NONE, e->args[1]);
    if (e->kind == EXPR_HAS_TAG) {
        struct answer r = good(type_simple(!tags ? TYPE_FALSE : sure ? TYPE_TRUE : TYPE_BOOL));
        r.caps = caps_one(c->mem, &c->no_memory, e->args[0], STR_NONE, e->args[1]);
        return after(ok, r);
    }
    if (!sure) {
        check_mistake(c, POLICY_FAULT_TYPE, e, STR("test for it first: e.hasTag(…) && …"), "the tag may be missing");
        return wrong(NULL);
    }
    if (!tags) {
        check_mistake(c, POLICY_FAULT_TYPE, e, STR_NONE, "a %.*s has no tags", STR_ARG(a.type->name));
        return wrong(NULL);
    }
    return after(ok, good(tags));
}

/* ---- comparisons ---- */

/* What the action variable stands for, or the entity of a literal; NULL for anything else. */
static const struct uid *literal_uid(const struct checker *c, const struct expr *e)
{
    if (e->kind == EXPR_VAR && e->sub == VAR_ACTION) return c->env->action->uid;
    return e->kind == EXPR_LITERAL && e->value.kind == VALUE_ENTITY ? e->value.uid : NULL;
}

static struct answer check_eq(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = check(c, prior, e->args[0]), b = check(c, prior, e->args[1]);
    bool ok = a.ok && b.ok;
    if (a.type && b.type && a.type->kind == TYPE_ENTITY && b.type->kind == TYPE_ENTITY &&
        !str_eq(a.type->name, b.type->name))
        return after(ok, good(type_simple(TYPE_FALSE)));
    const struct uid *x = literal_uid(c, e->args[0]), *y = literal_uid(c, e->args[1]);
    bool x_literal = x || e->args[0]->kind == EXPR_LITERAL, y_literal = y || e->args[1]->kind == EXPR_LITERAL;
    if (x_literal && y_literal) {
        bool same = x && y ? uid_eq(x, y) : !x && !y && value_eq(&e->args[0]->value, &e->args[1]->value);
        return after(ok, good(type_simple(same ? TYPE_TRUE : TYPE_FALSE)));
    }
    const struct type *t = type_simple(TYPE_BOOL);
    if (a.type && b.type && !join(c, e, a.type, b.type)) return wrong(t);
    return after(ok, good(t));
}

static bool comparable(const struct type *t)
{
    return t->kind == TYPE_LONG || (t->kind == TYPE_EXT && (t->ext == VALUE_DATETIME || t->ext == VALUE_DURATION));
}

static struct answer check_less(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = check(c, prior, e->args[0]), b = check(c, prior, e->args[1]);
    const struct type *t = type_simple(TYPE_BOOL);
    if (!a.type || !b.type) return wrong(t);
    bool fits = a.type->kind == TYPE_NEVER   ? comparable(b.type)
                : b.type->kind == TYPE_NEVER ? comparable(a.type)
                                             : comparable(a.type) && type_eq(a.type, b.type);
    if (fits) return after(a.ok && b.ok, good(t));
    char x[200], y[200];
    print_types(a.type, x, sizeof x);
    print_types(b.type, y, sizeof y);
    if (a.type->kind != TYPE_NEVER || b.type->kind != TYPE_NEVER)
        check_mistake(c, POLICY_FAULT_TYPE, e,
                      STR("only longs, datetimes and durations have an order, and only among themselves"),
                      "%s and %s cannot be compared", x, y);
    return wrong(t);
}

/* The literal entities of one operand of `in`; false if there is anything else. */
static bool literal_uids(const struct checker *c, const struct expr *e, uint32_t *n)
{
    if (literal_uid(c, e)) {
        *n = 1;
        return true;
    }
    if (e->kind != EXPR_SET) return false;
    for (uint32_t i = 0; i < e->n; i++)
        if (!literal_uid(c, e->args[i])) return false;
    *n = e->n;
    return true;
}

static struct answer action_in(struct checker *c, const struct uid *action, const struct expr *in, uint32_t n)
{
    const struct action_type *a = schema_action(c->schema, action);
    bool any = false, found = false;
    for (uint32_t i = 0; i < n; i++) {
        const struct uid *u = literal_uid(c, in->kind == EXPR_SET ? in->args[i] : in);
        if (!uid_is_action(u)) continue;
        const struct action_type *b = schema_action(c->schema, u);
        if (!b) return wrong(type_simple(TYPE_BOOL));
        any = true;
        found = found || (a && schema_action_in(a, b));
    }
    return good(type_simple(any && found ? TYPE_TRUE : TYPE_FALSE));
}

static struct answer check_in(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = expect_ext(c, prior, e->args[0], EXPECT_ENTITY, VALUE_NONE,
                                 STR("to look for something in a set use .contains()"));
    struct answer b = expect(c, prior, e->args[1], EXPECT_ENTITY_OR_SET);
    const struct uid *u = literal_uid(c, e->args[0]);
    uint32_t n = 0;
    if (!a.ok || !b.ok) return wrong(type_simple(TYPE_BOOL));
    if (u && uid_is_action(u) && literal_uids(c, e->args[1], &n)) return action_in(c, u, e->args[1], n);
    const struct type *in = b.type->kind == TYPE_SET ? b.type->element : b.type;
    bool never =
        a.type->kind == TYPE_ENTITY && in->kind == TYPE_ENTITY && !schema_type_in(c->schema, a.type->name, in->name);
    return good(type_simple(never ? TYPE_FALSE : TYPE_BOOL));
}

/* ---- sets, records, functions ---- */

static struct answer check_contains(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = expect_ext(c, prior, e->args[0], EXPECT_SET, VALUE_NONE,
                                 STR("for entities use `in`, for records `has`, for strings `like`"));
    struct answer b = e->kind == EXPR_CONTAINS ? check(c, prior, e->args[1]) : expect(c, prior, e->args[1], EXPECT_SET);
    const struct type *t = type_simple(TYPE_BOOL), *left = a.type;
    if (left && e->kind == EXPR_CONTAINS) left = left->kind == TYPE_SET ? left->element : NULL;
    if (left && b.type && !join(c, e, left, b.type)) return wrong(t);
    return after(a.ok && b.ok, good(t));
}

static struct answer check_set(struct checker *c, const struct caps *prior, const struct expr *e)
{
    const struct type *element = type_simple(TYPE_NEVER);
    bool ok = true, told = false;
    for (uint32_t i = 0; i < e->n; i++) {
        struct answer a = check(c, prior, e->args[i]);
        ok = ok && a.ok;
        if (!a.type) told = true;
        if (!told) {
            element = join(c, e, element, a.type);
            told = !element;
        }
    }
    if (e->n == 0) {
        check_mistake(c, POLICY_FAULT_TYPE, e, STR_NONE, "a set without elements has no type");
        return wrong(NULL);
    }
    if (told) return wrong(NULL);
    struct type *t = arena_zalloc(c->mem, sizeof *t);
    if (!t) {
        c->no_memory = true;
        return wrong(NULL);
    }
    *t = (struct type){.kind = TYPE_SET, .element = element};
    return after(ok, good(t));
}

static struct answer check_record(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct type *t = arena_zalloc(c->mem, sizeof *t);
    struct type_attr *attrs = arena_array(c->mem, e->n, sizeof *attrs);
    bool ok = true, typed = true;
    if (!t || (e->n && !attrs)) {
        c->no_memory = true;
        return wrong(NULL);
    }
    for (uint32_t i = 0; i < e->n; i++) {
        struct answer a = check(c, prior, e->args[i]);
        ok = ok && a.ok;
        typed = typed && a.type;
        attrs[i] = (struct type_attr){e->names[i], a.type, true};
    }
    if (!typed) return wrong(NULL);
    *t = (struct type){.kind = TYPE_RECORD, .n = e->n, .attrs = attrs};
    return after(ok, good(t));
}

static const struct type *kind_type(enum value_kind k)
{
    if (k == VALUE_BOOL) return type_simple(TYPE_BOOL);
    if (k == VALUE_LONG) return type_simple(TYPE_LONG);
    if (k == VALUE_STRING) return type_simple(TYPE_STRING);
    return type_ext(k);
}

static struct answer check_call(struct checker *c, const struct caps *prior, const struct expr *e)
{
    const struct ext_info *info = &ext_table[e->sub];
    const struct type *t = kind_type(info->result);
    bool ok = true;
    if (e->n != info->arity) {
        check_mistake(c, POLICY_FAULT_TYPE, e, STR_NONE, "%.*s takes %u argument%s, not %u", STR_ARG(info->name),
                      info->arity - info->method, info->arity - info->method == 1 ? "" : "s", e->n - info->method);
        ok = false;
    }
    if (!info->method) {
        struct value v;
        const struct expr *a = e->n == 1 ? e->args[0] : NULL;
        if (a && a->kind == EXPR_LITERAL && a->value.kind == VALUE_STRING &&
            ext_call((enum ext_fn)e->sub, &a->value, 1, c->mem, &v) != EXT_FAULT_NONE) {
            check_mistake(c, POLICY_FAULT_TYPE, a, STR_NONE, "this is no %.*s", STR_ARG(info->name));
            ok = false;
        }
        bool literals = true;
        for (uint32_t i = 0; i < e->n; i++) literals = literals && e->args[i]->kind == EXPR_LITERAL;
        if (!literals) {
            check_mistake(c, POLICY_FAULT_TYPE, e, STR_NONE, "the argument of %.*s must be a string literal",
                          STR_ARG(info->name));
            ok = false;
        }
    }
    if (!ok) {
        for (uint32_t i = 0; i < e->n; i++) (void)check(c, prior, e->args[i]);
        return wrong(t);
    }
    for (uint32_t i = 0; i < e->n; i++) {
        enum value_kind want = info->args[i];
        struct answer a =
            expect_ext(c, prior, e->args[i], want == VALUE_STRING ? EXPECT_STRING : EXPECT_EXT, want, STR_NONE);
        ok = ok && a.ok;
    }
    return after(ok, good(t));
}

static struct answer check_not(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = expect(c, prior, e->args[0], EXPECT_BOOL);
    if (!a.type) return wrong(type_simple(TYPE_BOOL));
    enum type_kind k = a.type->kind == TYPE_TRUE ? TYPE_FALSE : a.type->kind == TYPE_FALSE ? TYPE_TRUE : TYPE_BOOL;
    return after(a.ok, good(type_simple(k)));
}

static struct answer check_is(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a = expect(c, prior, e->args[0], EXPECT_ENTITY);
    if (!a.type || a.type->kind != TYPE_ENTITY) return wrong(type_simple(TYPE_BOOL));
    return after(a.ok, good(type_simple(str_eq(a.type->name, e->text) ? TYPE_TRUE : TYPE_FALSE)));
}

static struct answer check(struct checker *c, const struct caps *prior, const struct expr *e)
{
    struct answer a, b;
    switch ((enum expr_kind)e->kind) {
    case EXPR_LITERAL: return check_literal(c, e);
    case EXPR_VAR: return check_var(c, e);
    case EXPR_UNKNOWN: return check_slot(c, e);
    case EXPR_IF: return check_if(c, prior, e);
    case EXPR_AND: return check_and(c, prior, e);
    case EXPR_OR: return check_or(c, prior, e);
    case EXPR_NOT: return check_not(c, prior, e);
    case EXPR_NEG: return after(expect(c, prior, e->args[0], EXPECT_LONG).ok, good(type_simple(TYPE_LONG)));
    case EXPR_IS_EMPTY: return after(expect(c, prior, e->args[0], EXPECT_SET).ok, good(type_simple(TYPE_BOOL)));
    case EXPR_LIKE: return after(expect(c, prior, e->args[0], EXPECT_STRING).ok, good(type_simple(TYPE_BOOL)));
    case EXPR_EQ: return check_eq(c, prior, e);
    case EXPR_LT:
    case EXPR_LE: return check_less(c, prior, e);
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL:
        a = expect(c, prior, e->args[0], EXPECT_LONG);
        b = expect(c, prior, e->args[1], EXPECT_LONG);
        return after(a.ok && b.ok, good(type_simple(TYPE_LONG)));
    case EXPR_IN: return check_in(c, prior, e);
    case EXPR_CONTAINS:
    case EXPR_CONTAINS_ALL:
    case EXPR_CONTAINS_ANY: return check_contains(c, prior, e);
    case EXPR_GET_TAG:
    case EXPR_HAS_TAG: return check_tag(c, prior, e);
    case EXPR_ATTR: return check_attr(c, prior, e);
    case EXPR_HAS: return check_has(c, prior, e);
    case EXPR_IS: return check_is(c, prior, e);
    case EXPR_SET: return check_set(c, prior, e);
    case EXPR_RECORD: return check_record(c, prior, e);
    case EXPR_CALL: return check_call(c, prior, e);
    case EXPR_NE:
    case EXPR_GT:
    case EXPR_GE: break; /* sugar: not in a core expression */
    }
    return wrong(NULL);
}

const struct type *check_condition(struct checker *c, const struct expr *e, bool *ok)
{
    struct answer a = expect(c, NULL, e, EXPECT_BOOL);
    *ok = a.ok;
    return a.type;
}
