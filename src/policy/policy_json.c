#include "policy/policy_json.h"

#include "base/map.h"
#include "codec/json.h"
#include "policy/entities.h"
#include "policy/parse.h"

static const struct json_limits limits = {.max_bytes = 256u << 20,
                                          .max_depth = JSON_DEPTH_MAX,
                                          .max_values = 16u << 20,
                                          .max_members = 1u << 20,
                                          .max_number = 30};

struct reader {
    struct arena *mem;
    struct mistakes *m;
};

static void *bad(struct reader *r, const struct json *j, const char *what)
{
    uint32_t at = j ? j->offset : 0;
    mistake(r->m, POLICY_FAULT_JSON, at, at + 1, STR_NONE, "%s", what);
    return NULL;
}

/* A member that is not among the words (separated by blanks) is a slip, and a slip must not change what is decided. */
static bool only(struct reader *r, const struct json *j, const char *words)
{
    for (const struct json *x = j && j->type == JSON_OBJECT ? j->first : NULL; x; x = x->next) {
        bool known = false;
        for (str rest = str_of(words); rest.n && !known;) known = str_eq(str_cut(&rest, ' '), x->name);
        if (known) continue;
        mistake(r->m, POLICY_FAULT_JSON, x->offset, x->offset + 1, STR_NONE, "there is no member `%.*s` here",
                STR_ARG(x->name));
        return false;
    }
    return true;
}

static void *no_memory(struct reader *r)
{
    mistake(r->m, POLICY_FAULT_MEMORY, 0, 0, STR_NONE, "out of memory");
    return NULL;
}

static const struct expr *read_expr(struct reader *r, const struct json *j);

static const struct expr *finished(struct reader *r, const struct json *j, struct expr *e)
{
    if (!e) return no_memory(r);
    for (uint32_t i = 0; i < e->n; i++)
        if (!e->args[i]) return NULL; /* its mistake is told */
    return expr_done(e) ? e : bad(r, j, "nested too deeply");
}

static const struct expr *literal(struct reader *r, struct value v, const struct json *j)
{
    const struct expr *e = expr_literal(r->mem, v, j->offset, j->offset + 1);
    return e ? e : no_memory(r);
}

static str copy(struct reader *r, str s)
{
    str c = arena_copy(r->mem, s);
    if (!c.p) no_memory(r);
    return c;
}

static const struct uid *read_uid(struct reader *r, const struct json *j)
{
    const struct uid *u = NULL;
    if (!j) return bad(r, j, "an entity is missing");
    return uid_from_json(j, NULL, r->mem, r->m, "entity", 0, &u) == ERR_OK ? u : NULL;
}

/* ---- values: the data form of JSON, as expressions ---- */

static const struct expr *read_value(struct reader *r, const struct json *j);

static const struct expr *read_value_list(struct reader *r, const struct json *j, enum expr_kind kind, uint8_t sub,
                                          const struct json *first, uint32_t n)
{
    struct expr *e = expr_new(r->mem, kind, n, j->offset, j->offset + 1);
    uint32_t i = 0;
    if (!e) return no_memory(r);
    e->sub = sub;
    for (const struct json *x = first; x && i < n; x = x->next) e->args[i++] = read_value(r, x);
    return finished(r, j, e);
}

static const struct expr *read_value_call(struct reader *r, const struct json *j)
{
    const struct json *arg = json_get(j, STR("arg")), *args = json_get(j, STR("args"));
    enum ext_fn fn = ext_find(json_text(json_get(j, STR("fn"))));
    if (fn == EXT_COUNT) return bad(r, j, "there is no such function");
    if (arg) return read_value_list(r, j, EXPR_CALL, (uint8_t)fn, arg, 1);
    if (!args || args->type != JSON_ARRAY) return bad(r, j, "a function call needs args");
    return read_value_list(r, j, EXPR_CALL, (uint8_t)fn, args->first, args->count);
}

/* Members become the sorted names and children of a record. */
static const struct expr *read_members(struct reader *r, const struct json *j, bool data)
{
    struct expr *e = expr_new(r->mem, EXPR_RECORD, j->count, j->offset, j->offset + 1);
    str *names = arena_array(r->mem, j->count, sizeof *names);
    uint32_t n = 0;
    if (!e || (j->count && !names)) return no_memory(r);
    if (j->count > 4096) return bad(r, j, "a record with more than 4096 members");
    for (const struct json *x = j->first; x; x = x->next, n++) {
        str name = copy(r, x->name);
        const struct expr *v = data ? read_value(r, x) : read_expr(r, x);
        if (!name.p || !v) return NULL;
        uint32_t i = n;
        for (; i > 0 && str_cmp(names[i - 1], name) > 0; i--) {
            names[i] = names[i - 1];
            e->args[i] = e->args[i - 1];
        }
        names[i] = name;
        e->args[i] = v;
    }
    e->names = names;
    e->names_n = n;
    return finished(r, j, e);
}

static const struct expr *read_value(struct reader *r, const struct json *j)
{
    const struct json *only = j->type == JSON_OBJECT && j->count == 1 ? j->first : NULL;
    int64_t i;
    str s;
    switch (j->type) {
    case JSON_TRUE:
    case JSON_FALSE: return literal(r, value_bool(j->type == JSON_TRUE), j);
    case JSON_NUMBER:
        if (json_int(j, &i) != ERR_OK) return bad(r, j, "a number must be a 64-bit integer");
        return literal(r, value_long(i), j);
    case JSON_STRING: s = copy(r, j->text); return s.p ? literal(r, value_string(s), j) : NULL;
    case JSON_ARRAY: return read_value_list(r, j, EXPR_SET, 0, j->first, j->count);
    case JSON_OBJECT:
        if (only && only->type == JSON_OBJECT && str_eq(only->name, STR("__entity"))) {
            const struct uid *u = read_uid(r, only);
            return u ? literal(r, value_entity(u), j) : NULL;
        }
        if (only && only->type == JSON_OBJECT && str_eq(only->name, STR("__extn"))) return read_value_call(r, only);
        return read_members(r, j, true);
    case JSON_NULL: break;
    }
    return bad(r, j, "null is no Cedar value");
}

/* ---- expressions ---- */

static const struct {
    str name;
    uint8_t kind, n;
} operators[] = {
    {STR_INIT("!"), EXPR_NOT, 1},
    {STR_INIT("neg"), EXPR_NEG, 1},
    {STR_INIT("isEmpty"), EXPR_IS_EMPTY, 1},
    {STR_INIT("=="), EXPR_EQ, 2},
    {STR_INIT("!="), EXPR_NE, 2},
    {STR_INIT("in"), EXPR_IN, 2},
    {STR_INIT("<"), EXPR_LT, 2},
    {STR_INIT("<="), EXPR_LE, 2},
    {STR_INIT(">"), EXPR_GT, 2},
    {STR_INIT(">="), EXPR_GE, 2},
    {STR_INIT("&&"), EXPR_AND, 2},
    {STR_INIT("||"), EXPR_OR, 2},
    {STR_INIT("+"), EXPR_ADD, 2},
    {STR_INIT("-"), EXPR_SUB, 2},
    {STR_INIT("*"), EXPR_MUL, 2},
    {STR_INIT("contains"), EXPR_CONTAINS, 2},
    {STR_INIT("containsAll"), EXPR_CONTAINS_ALL, 2},
    {STR_INIT("containsAny"), EXPR_CONTAINS_ANY, 2},
    {STR_INIT("getTag"), EXPR_GET_TAG, 2},
    {STR_INIT("hasTag"), EXPR_HAS_TAG, 2},
};

static const struct expr *read_operator(struct reader *r, const struct json *j, enum expr_kind kind, uint32_t n)
{
    struct expr *e = expr_new(r->mem, kind, n, j->offset, j->offset + 1);
    if (!e) return no_memory(r);
    if (!only(r, j, n == 1 ? "arg" : "left right")) return NULL;
    e->args[0] = read_expr(r, json_get(j, n == 1 ? STR("arg") : STR("left")));
    if (n > 1 && e->args[0]) e->args[1] = read_expr(r, json_get(j, STR("right")));
    return finished(r, j, e);
}

static const struct expr *read_has(struct reader *r, const struct json *j)
{
    const struct json *attr = json_get(j, STR("attr"));
    bool path = attr && attr->type == JSON_ARRAY;
    uint32_t n = path ? attr->count : 1, i = 0;
    struct expr *e = expr_new(r->mem, EXPR_HAS, 1, j->offset, j->offset + 1);
    str *names = arena_array(r->mem, n + 1, sizeof *names);
    if (!e || !names) return no_memory(r);
    if (!only(r, j, "left attr")) return NULL;
    if (n == 0 || n >= EXPR_DEPTH_MAX) return bad(r, j, "has needs an attribute");
    for (const struct json *x = path ? attr->first : attr; x; x = path ? x->next : NULL) {
        if (!json_text(x).p) return bad(r, x, "an attribute is a string");
        names[i] = copy(r, x->text);
        if (!names[i++].p) return NULL;
    }
    if (i == 0) return bad(r, j, "has needs an attribute");
    e->names = names;
    e->names_n = i;
    e->args[0] = read_expr(r, json_get(j, STR("left")));
    return finished(r, j, e);
}

static const struct expr *read_attr(struct reader *r, const struct json *j)
{
    struct expr *e = expr_new(r->mem, EXPR_ATTR, 1, j->offset, j->offset + 1);
    str name = json_text(json_get(j, STR("attr")));
    if (!e) return no_memory(r);
    if (!only(r, j, "left attr")) return NULL;
    if (!name.p) return bad(r, j, "an attribute is a string");
    e->text = copy(r, name);
    if (!e->text.p) return NULL;
    e->args[0] = read_expr(r, json_get(j, STR("left")));
    return finished(r, j, e);
}

/* Literals next to each other are one piece. */
static const struct expr *read_like(struct reader *r, const struct json *j)
{
    const struct json *pattern = json_get(j, STR("pattern"));
    struct expr *e = expr_new(r->mem, EXPR_LIKE, 1, j->offset, j->offset + 1);
    if (!only(r, j, "left pattern")) return NULL;
    if (!pattern || pattern->type != JSON_ARRAY) return bad(r, j, "like needs a pattern, an array");
    str *pieces = arena_array(r->mem, pattern->count + 1, sizeof *pieces);
    uint32_t n = 0;
    if (!e || !pieces) return no_memory(r);
    pieces[0] = STR("");
    for (const struct json *x = pattern->first; x; x = x->next) {
        str text = json_text(json_get(x, STR("Literal")));
        if (str_eq(json_text(x), STR("Wildcard"))) {
            pieces[++n] = STR("");
        } else if (text.p) {
            pieces[n] = arena_printf(r->mem, "%.*s%.*s", STR_ARG(pieces[n]), STR_ARG(text));
            if (!pieces[n].p) return no_memory(r);
        } else {
            return bad(r, x, "a pattern is made of \"Wildcard\" and {\"Literal\": …}");
        }
    }
    e->names = pieces;
    e->names_n = n + 1;
    e->args[0] = read_expr(r, json_get(j, STR("left")));
    return finished(r, j, e);
}

static const struct expr *read_is(struct reader *r, const struct json *j)
{
    const struct json *in = json_get(j, STR("in"));
    struct expr *e = expr_new(r->mem, EXPR_IS, in ? 2 : 1, j->offset, j->offset + 1);
    str type = json_text(json_get(j, STR("entity_type")));
    if (!e) return no_memory(r);
    if (!only(r, j, "left entity_type in")) return NULL;
    if (!cedar_is_name(type)) return bad(r, j, "is needs an entity type");
    e->text = copy(r, type);
    if (!e->text.p) return NULL;
    e->args[0] = read_expr(r, json_get(j, STR("left")));
    if (in && e->args[0]) e->args[1] = read_expr(r, in);
    return finished(r, j, e);
}

static const struct expr *read_if(struct reader *r, const struct json *j)
{
    struct expr *e = expr_new(r->mem, EXPR_IF, 3, j->offset, j->offset + 1);
    static const str parts[] = {STR_INIT("if"), STR_INIT("then"), STR_INIT("else")};
    if (!e) return no_memory(r);
    if (!only(r, j, "if then else")) return NULL;
    for (int i = 0; i < 3; i++) {
        e->args[i] = read_expr(r, json_get(j, parts[i]));
        if (!e->args[i]) return NULL;
    }
    return finished(r, j, e);
}

static const struct expr *read_list(struct reader *r, const struct json *j, enum expr_kind kind, uint8_t sub)
{
    if (j->type != JSON_ARRAY) return bad(r, j, "an array was expected");
    struct expr *e = expr_new(r->mem, kind, j->count, j->offset, j->offset + 1);
    uint32_t n = 0;
    if (!e) return no_memory(r);
    e->sub = sub;
    for (const struct json *x = j->first; x; x = x->next)
        if (!(e->args[n++] = read_expr(r, x))) return NULL;
    return finished(r, j, e);
}

static const struct expr *read_var(struct reader *r, const struct json *j)
{
    for (int i = 0; i < 4; i++) {
        if (!str_eq(json_text(j), var_names[i])) continue;
        struct expr *e = expr_new(r->mem, EXPR_VAR, 0, j->offset, j->offset + 1);
        if (!e) return no_memory(r);
        e->sub = (uint8_t)i;
        return e;
    }
    return bad(r, j, "there is no such variable");
}

static const struct expr *read_expr(struct reader *r, const struct json *j)
{
    if (!j || j->type != JSON_OBJECT || j->count != 1) return bad(r, j, "an expression is an object with one member");
    const struct json *in = j->first;
    str name = in->name;
    if (str_eq(name, STR("Value"))) return read_value(r, in);
    if (str_eq(name, STR("Var"))) return read_var(r, in);
    if (str_eq(name, STR("Slot"))) return bad(r, j, "a slot cannot be used in a condition");
    if (str_eq(name, STR("Set"))) return read_list(r, in, EXPR_SET, 0);
    if (str_eq(name, STR("Record")))
        return in->type == JSON_OBJECT ? read_members(r, in, false) : bad(r, in, "a record is an object");
    if (str_eq(name, STR("."))) return read_attr(r, in);
    if (str_eq(name, STR("has"))) return read_has(r, in);
    if (str_eq(name, STR("like"))) return read_like(r, in);
    if (str_eq(name, STR("is"))) return read_is(r, in);
    if (str_eq(name, STR("if-then-else"))) return read_if(r, in);
    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (str_eq(name, operators[i].name))
            return read_operator(r, in, (enum expr_kind)operators[i].kind, operators[i].n);
    enum ext_fn fn = ext_find(name);
    return fn == EXT_COUNT ? bad(r, j, "there is no such operator or function")
                           : read_list(r, in, EXPR_CALL, (uint8_t)fn);
}

/* ---- policies ---- */

static bool read_reference(struct reader *r, const struct json *j, enum var var, struct scope *s)
{
    str slot = json_text(json_get(j, STR("slot")));
    if (slot.p) {
        bool right = slot.n && slot.p[0] == '?' && str_eq(str_from(slot, 1), var_names[var]) && var != VAR_ACTION;
        s->slot = true;
        return right || bad(r, j, "this slot cannot be used here");
    }
    s->uid = read_uid(r, json_get(j, STR("entity")));
    return s->uid != NULL;
}

static bool read_action_list(struct reader *r, const struct json *j, struct scope *s)
{
    const struct uid **list = arena_array(r->mem, j->count, sizeof(const struct uid *));
    if (j->type != JSON_ARRAY) return bad(r, j, "entities is an array");
    if (j->count && !list) return no_memory(r);
    for (const struct json *x = j->first; x; x = x->next)
        if (!(list[s->n++] = read_uid(r, x))) return false;
    s->kind = SCOPE_IN_LIST;
    s->list = list;
    return true;
}

static bool read_scope(struct reader *r, const struct json *j, enum var var, struct scope *s)
{
    str op = json_text(json_get(j, STR("op")));
    if (!j || !op.p) return bad(r, j, "the scope needs principal, action and resource, each with an op");
    s->at = j->offset;
    s->end = j->offset + 1;
    if (str_eq(op, STR("All"))) return true;
    if (str_eq(op, STR("=="))) {
        s->kind = SCOPE_EQ;
        return read_reference(r, j, var, s);
    }
    if (str_eq(op, STR("in"))) {
        const struct json *list = json_get(j, STR("entities"));
        if (var == VAR_ACTION && list) return read_action_list(r, list, s);
        s->kind = SCOPE_IN;
        return read_reference(r, j, var, s);
    }
    if (!str_eq(op, STR("is")) || var == VAR_ACTION) return bad(r, j, "there is no such op here");
    const struct json *in = json_get(j, STR("in"));
    str type = json_text(json_get(j, STR("entity_type")));
    if (!cedar_is_name(type)) return bad(r, j, "is needs an entity type");
    s->type = copy(r, type);
    s->kind = in ? SCOPE_IS_IN : SCOPE_IS;
    return s->type.p && (!in || read_reference(r, in, var, s));
}

static bool only_actions(struct reader *r, const struct json *j, const struct scope *s)
{
    bool ok = !s->uid || uid_is_action(s->uid);
    for (uint32_t i = 0; i < s->n; i++) ok = ok && uid_is_action(s->list[i]);
    return ok || bad(r, j, "the action's type must end in Action");
}

static bool read_conditions(struct reader *r, const struct json *j, struct policy *p)
{
    if (!j || j->type != JSON_ARRAY) return bad(r, j, "conditions, an array, are missing");
    struct condition *list = arena_array(r->mem, j->count, sizeof *list);
    if (j->count && !list) return no_memory(r);
    for (const struct json *x = j->first; x; x = x->next) {
        str kind = json_text(json_get(x, STR("kind")));
        bool unless = str_eq(kind, STR("unless"));
        if (!only(r, x, "kind body")) return false;
        if (!unless && !str_eq(kind, STR("when"))) return bad(r, x, "a condition is of the kind when or unless");
        const struct expr *body = read_expr(r, json_get(x, STR("body")));
        if (!body) return false;
        list[p->conditions_n++] = (struct condition){unless, body, x->offset, x->offset + 1};
    }
    p->conditions = list;
    return true;
}

/* Keywords, too, can name an annotation. */
static bool is_any_ident(str s)
{
    char room[64];
    if (s.n + 1 >= sizeof room) return cedar_is_ident(s);
    room[0] = '_';
    if (s.n) memcpy(room + 1, s.p, s.n);
    return s.n && !(s.p[0] >= '0' && s.p[0] <= '9') &&
           (cedar_is_ident(str_make(room, s.n + 1)) || str_eq(s, STR("_cedar")));
}

static bool read_annotations(struct reader *r, const struct json *j, struct policy *p)
{
    if (!j) return true;
    if (j->type != JSON_OBJECT) return bad(r, j, "annotations is an object");
    struct annotation *list = arena_array(r->mem, j->count, sizeof *list);
    if (j->count && !list) return no_memory(r);
    for (const struct json *x = j->first; x; x = x->next) {
        if (x->type != JSON_NULL && x->type != JSON_STRING) return bad(r, x, "an annotation is a string or null");
        if (!is_any_ident(x->name)) return bad(r, x, "an annotation's name is an identifier");
        struct annotation a = {copy(r, x->name), copy(r, x->text), x->type == JSON_NULL};
        if (!a.name.p || (x->text.n && !a.value.p)) return false;
        list[p->annotations_n++] = a;
    }
    p->annotations = list;
    return true;
}

static struct policy *read_policy(struct reader *r, const struct json *j)
{
    struct policy *p = arena_zalloc(r->mem, sizeof *p);
    str effect = json_text(json_get(j, STR("effect")));
    if (!p) return no_memory(r);
    if (!str_eq(effect, STR("permit")) && !str_eq(effect, STR("forbid")))
        return bad(r, j, "effect is permit or forbid");
    if (!only(r, j, "effect principal action resource conditions annotations")) return NULL;
    p->effect = str_eq(effect, STR("permit")) ? EFFECT_PERMIT : EFFECT_DENY;
    p->at = j->offset;
    p->end = j->offset + 1;
    const struct json *action = json_get(j, STR("action"));
    bool ok = read_scope(r, json_get(j, STR("principal")), VAR_PRINCIPAL, &p->principal) &&
              read_scope(r, action, VAR_ACTION, &p->action) && only_actions(r, action, &p->action) &&
              read_scope(r, json_get(j, STR("resource")), VAR_RESOURCE, &p->resource) &&
              read_conditions(r, json_get(j, STR("conditions")), p) &&
              read_annotations(r, json_get(j, STR("annotations")), p);
    return ok ? p : NULL;
}

/* A policy as an object or as text. */
static struct policy *read_either(struct reader *r, const struct json *j, str id)
{
    struct policy *p = NULL;
    if (j->type == JSON_STRING) {
        struct policy_set one;
        if (policies_parse(j->text, 0, r->mem, r->m, &one) != ERR_OK) return NULL;
        if (one.n + one.templates_n != 1) return bad(r, j, "exactly one policy was expected");
        p = arena_alloc(r->mem, sizeof *p);
        if (!p) return no_memory(r);
        *p = one.n ? *one.policies[0] : *one.templates[0];
    } else {
        p = read_policy(r, j);
    }
    if (p) p->id = copy(r, id);
    return p && p->id.p ? p : NULL;
}

static enum err read_group(struct reader *r, const struct json *j, bool templates, struct map *ids,
                           struct policy_set *set)
{
    void *old;
    if (!j) return ERR_OK;
    if (j->type != JSON_OBJECT) return bad(r, j, "an object from id to policy was expected"), ERR_OK;
    for (const struct json *x = j->first; x; x = x->next) {
        struct policy *p = read_either(r, x, x->name);
        if (!p) continue;
        if (policy_is_template(p) != templates) {
            bad(r, x, templates ? "a template needs a slot" : "a static policy can have no slot");
            continue;
        }
        if (map_put(ids, p->id, p, &old) != ERR_OK || policy_set_add(set, p) != ERR_OK) return ERR_NO_MEMORY;
        if (old) bad(r, x, "another policy has this id");
    }
    return ERR_OK;
}

static enum err read_links(struct reader *r, const struct json *j, struct map *ids, struct policy_set *set)
{
    if (!j) return ERR_OK;
    if (j->type != JSON_ARRAY) return bad(r, j, "templateLinks is an array"), ERR_OK;
    for (const struct json *x = j->first; x; x = x->next) {
        const struct json *values = json_get(x, STR("values")), *pj = json_get(values, STR("?principal")),
                          *rj = json_get(values, STR("?resource"));
        const struct policy *t = map_get(ids, json_text(json_get(x, STR("templateId"))));
        str id = json_text(json_get(x, STR("newId")));
        const struct uid *principal = pj ? read_uid(r, pj) : NULL, *resource = rj ? read_uid(r, rj) : NULL;
        if ((pj && !principal) || (rj && !resource)) continue;
        if (!t || !policy_is_template(t) || !id.p) {
            bad(r, x, "a link needs the templateId of a template and a newId");
            continue;
        }
        if (map_get(ids, id)) {
            bad(r, x, "another policy has this id");
            continue;
        }
        enum err e = policy_link_fresh(set, t, id, principal, resource);
        if (e == ERR_NO_MEMORY) return e;
        if (e != ERR_OK) {
            bad(r, x, "the values do not fit the template's slots");
            continue;
        }
        struct policy *linked = (struct policy *)(uintptr_t)set->policies[set->n - 1];
        if (map_put(ids, linked->id, linked, NULL) != ERR_OK) return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

enum err policies_parse_json(str text, struct arena *mem, struct mistakes *m, struct policy_set *out)
{
    struct reader r = {mem, m};
    struct policy_set set = {.mem = mem};
    struct map ids = {0};
    const struct json *j;
    enum json_fault fault;
    size_t at = 0;
    uint32_t before = m->n;
    enum err e = json_parse(text, &limits, mem, &j, &fault, &at);
    if (e != ERR_OK) {
        mistake(m,
                e == ERR_NO_MEMORY ? POLICY_FAULT_MEMORY
                : e == ERR_LIMIT   ? POLICY_FAULT_LIMIT
                                   : POLICY_FAULT_JSON,
                (uint32_t)at, (uint32_t)at + 1, STR_NONE, "this is not the JSON it should be: %s",
                json_fault_name(fault));
        return e;
    }
    if (json_get(j, STR("effect"))) {
        struct policy *p = read_either(&r, j, STR("policy0"));
        if (p) e = policy_set_add(&set, p);
    } else if (!json_get(j, STR("staticPolicies")) && !json_get(j, STR("templates"))) {
        bad(&r, j, "a policy, or a policy set with staticPolicies, was expected");
    } else {
        e = read_group(&r, json_get(j, STR("staticPolicies")), false, &ids, &set);
        if (e == ERR_OK) e = read_group(&r, json_get(j, STR("templates")), true, &ids, &set);
        if (e == ERR_OK) e = read_links(&r, json_get(j, STR("templateLinks")), &ids, &set);
    }
    map_free(&ids);
    if (e == ERR_OK && m->n != before) e = mistakes_err(m);
    if (e == ERR_OK) *out = set;
    return e;
}
