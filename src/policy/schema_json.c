/* The JSON schema form: {"Namespace": {"entityTypes", "actions", "commonTypes"}}. */
#include "codec/json.h"
#include "policy/schema_raw.h"

static const struct json_limits limits = {.max_bytes = 64u << 20,
                                          .max_depth = TYPE_DEPTH_MAX * 2,
                                          .max_values = 4u << 20,
                                          .max_members = 1u << 18,
                                          .max_number = 30};

struct reader {
    struct raw_schema *raw;
    struct arena *mem;
    struct mistakes *m;
    str space;
};

static bool bad(struct reader *r, const struct json *j, const char *what)
{
    uint32_t at = j ? j->offset : 0;
    mistake(r->m, POLICY_FAULT_JSON, at, at + 1, STR_NONE, "%s", what);
    return false;
}

static void *fresh(struct reader *r, size_t n)
{
    void *x = arena_zalloc(r->mem, n);
    if (!x) mistake(r->m, POLICY_FAULT_MEMORY, 0, 0, STR_NONE, "out of memory");
    return x;
}

static bool copy(struct reader *r, str s, str *out)
{
    *out = arena_copy(r->mem, s);
    if (!out->p) mistake(r->m, POLICY_FAULT_MEMORY, 0, 0, STR_NONE, "out of memory");
    return out->p != NULL;
}

/* No member but those named: a slip would otherwise go unseen. */
static bool only(struct reader *r, const struct json *j, const str *known, size_t n)
{
    if (!j || j->type != JSON_OBJECT) return bad(r, j, "an object was expected");
    for (const struct json *x = j->first; x; x = x->next) {
        size_t i = 0;
        while (i < n && !str_eq(known[i], x->name)) i++;
        if (i < n) continue;
        mistake(r->m, POLICY_FAULT_JSON, x->offset, x->offset + 1, mistake_did_you_mean(r->m->mem, x->name, known, n),
                "there is no member `%.*s` here", STR_ARG(x->name));
        return false;
    }
    return true;
}

static const struct raw_type *read_type(struct reader *r, const struct json *j, unsigned depth);

static bool read_attrs(struct reader *r, const struct json *j, struct raw_type *t, unsigned depth)
{
    struct raw_attr *first = NULL, **tail = &first;
    if (!j || j->type != JSON_OBJECT) return bad(r, j, "a record needs its attributes");
    for (const struct json *x = j->first; x; x = x->next) {
        struct raw_attr *a = fresh(r, sizeof *a);
        const struct json *required = json_get(x, STR("required"));
        if (!a || !copy(r, x->name, &a->name)) return false;
        if (required && required->type != JSON_TRUE && required->type != JSON_FALSE)
            return bad(r, required, "required is true or false");
        a->required = !required || required->type == JSON_TRUE;
        a->at = x->offset;
        a->end = x->offset + 1;
        a->type = read_type(r, x, depth + 1);
        if (!a->type) return false;
        RAW_APPEND(tail, a);
        t->n++;
    }
    t->attrs = first;
    return true;
}

static bool named(struct reader *r, const struct json *j, struct raw_type *t, enum raw_kind kind)
{
    str name = json_text(json_get(j, STR("name")));
    if (!name.n) return bad(r, j, "this type needs a name");
    t->kind = (uint8_t)kind;
    return copy(r, name, &t->name);
}

static bool read_type_kind(struct reader *r, const struct json *j, str kind, struct raw_type *t, unsigned depth)
{
    static const struct {
        str name;
        uint8_t kind;
    } simple[] = {{STR_INIT("Long"), TYPE_LONG},
                  {STR_INIT("String"), TYPE_STRING},
                  {STR_INIT("Boolean"), TYPE_BOOL},
                  {STR_INIT("Bool"), TYPE_BOOL}};
    for (size_t i = 0; i < ARRAY_LEN(simple); i++)
        if (str_eq(simple[i].name, kind)) {
            t->kind = RAW_PRIMITIVE;
            t->primitive = type_simple((enum type_kind)simple[i].kind);
            return true;
        }
    if (str_eq(kind, STR("Set"))) {
        const struct json *element = json_get(j, STR("element"));
        if (!element) return bad(r, j, "a set needs its element's type");
        t->kind = RAW_SET;
        t->element = read_type(r, element, depth + 1);
        return t->element != NULL;
    }
    if (str_eq(kind, STR("Record"))) {
        const struct json *open = json_get(j, STR("additionalAttributes"));
        if (open && open->type != JSON_FALSE)
            return bad(r, open, "records with additional attributes are not supported");
        t->kind = RAW_RECORD;
        return read_attrs(r, json_get(j, STR("attributes")), t, depth);
    }
    if (str_eq(kind, STR("Entity"))) return named(r, j, t, RAW_ENTITY);
    if (str_eq(kind, STR("EntityOrCommon"))) return named(r, j, t, RAW_NAME);
    if (str_eq(kind, STR("Extension"))) {
        str name = json_text(json_get(j, STR("name")));
        t->kind = RAW_NAME;
        t->name = arena_printf(r->mem, "__cedar::%.*s", STR_ARG(name));
        return t->name.p != NULL;
    }
    t->kind = RAW_NAME;
    return copy(r, kind, &t->name);
}

static const struct raw_type *read_type(struct reader *r, const struct json *j, unsigned depth)
{
    static const str known[] = {STR_INIT("type"),       STR_INIT("element"),
                                STR_INIT("attributes"), STR_INIT("additionalAttributes"),
                                STR_INIT("name"),       STR_INIT("required"),
                                STR_INIT("annotations")};
    if (depth > TYPE_DEPTH_MAX) return (void)bad(r, j, "types nested too deeply"), NULL;
    if (!only(r, j, known, ARRAY_LEN(known))) return NULL;
    struct raw_type *t = fresh(r, sizeof *t);
    str kind = json_text(json_get(j, STR("type")));
    if (!t) return NULL;
    if (!kind.n) return (void)bad(r, j, "a type needs its type"), NULL;
    t->at = j->offset;
    t->end = j->offset + 1;
    return read_type_kind(r, j, kind, t, depth) ? t : NULL;
}

static bool read_names(struct reader *r, const struct json *j, bool ids, struct raw_name **out)
{
    struct raw_name **tail = out;
    if (!j || j->type == JSON_NULL) return true;
    if (j->type != JSON_ARRAY) return bad(r, j, "an array was expected");
    for (const struct json *x = j->first; x; x = x->next) {
        struct raw_name *n = fresh(r, sizeof *n);
        if (!n) return false;
        if (x->type != JSON_STRING) return bad(r, x, "a string was expected");
        if (!copy(r, x->text, ids ? &n->id : &n->path)) return false;
        n->at = x->offset;
        n->end = x->offset + 1;
        RAW_APPEND(tail, n);
    }
    return true;
}

static bool read_entity(struct reader *r, const struct json *j)
{
    static const str known[] = {STR_INIT("memberOfTypes"), STR_INIT("shape"), STR_INIT("tags"), STR_INIT("enum"),
                                STR_INIT("annotations")};
    const struct json *shape = json_get(j, known[1]), *tags = json_get(j, known[2]), *choices = json_get(j, known[3]);
    if (!only(r, j, known, ARRAY_LEN(known))) return false;
    struct raw_entity *e = fresh(r, sizeof *e);
    if (!e || !copy(r, j->name, &e->name)) return false;
    if (!cedar_is_ident(e->name)) return bad(r, j, "the name of a type is an identifier");
    e->space = r->space;
    e->at = j->offset;
    e->end = j->offset + 1;
    e->is_enum = choices != NULL;
    if (!read_names(r, json_get(j, known[0]), false, &e->parents) || !read_names(r, choices, true, &e->choices))
        return false;
    if (choices && !e->choices) return bad(r, choices, "an enumerated type needs at least one entity");
    if (shape && !(e->shape = read_type(r, shape, 0))) return false;
    if (tags && !(e->tags = read_type(r, tags, 0))) return false;
    RAW_APPEND(r->raw->entities_tail, e);
    return true;
}

static bool read_member_of(struct reader *r, const struct json *j, struct raw_action *a)
{
    struct raw_name **tail = &a->parents;
    if (!j || j->type == JSON_NULL) return true;
    if (j->type != JSON_ARRAY) return bad(r, j, "memberOf is an array");
    for (const struct json *x = j->first; x; x = x->next) {
        struct raw_name *n = fresh(r, sizeof *n);
        str id = json_text(json_get(x, STR("id"))), type = json_text(json_get(x, STR("type")));
        if (!n) return false;
        if (!id.p) return bad(r, x, "an action is named by its id");
        if (!copy(r, id, &n->id) || (type.n && !copy(r, type, &n->path))) return false;
        n->at = x->offset;
        n->end = x->offset + 1;
        RAW_APPEND(tail, n);
    }
    return true;
}

static bool read_action(struct reader *r, const struct json *j)
{
    static const str known[] = {STR_INIT("memberOf"), STR_INIT("appliesTo"), STR_INIT("attributes"),
                                STR_INIT("annotations")};
    static const str applies_known[] = {STR_INIT("principalTypes"), STR_INIT("resourceTypes"), STR_INIT("context")};
    const struct json *applies = json_get(j, known[1]), *context;
    if (!only(r, j, known, ARRAY_LEN(known))) return false;
    struct raw_action *a = fresh(r, sizeof *a);
    if (!a || !copy(r, j->name, &a->id)) return false;
    a->space = r->space;
    a->at = j->offset;
    a->end = j->offset + 1;
    if (!read_member_of(r, json_get(j, known[0]), a)) return false;
    if (applies && applies->type != JSON_NULL) {
        if (!only(r, applies, applies_known, ARRAY_LEN(applies_known))) return false;
        a->applies = true;
        if (!json_get(applies, applies_known[0]) || !json_get(applies, applies_known[1]))
            return bad(r, applies, "appliesTo needs principalTypes and resourceTypes");
        if (!read_names(r, json_get(applies, applies_known[0]), false, &a->principals)) return false;
        if (!read_names(r, json_get(applies, applies_known[1]), false, &a->resources)) return false;
        context = json_get(applies, applies_known[2]);
        if (context && !(a->context = read_type(r, context, 0))) return false;
    }
    RAW_APPEND(r->raw->actions_tail, a);
    return true;
}

static bool read_common(struct reader *r, const struct json *j)
{
    struct raw_common *c = fresh(r, sizeof *c);
    if (!c || !copy(r, j->name, &c->name)) return false;
    if (!cedar_is_ident(c->name)) return bad(r, j, "the name of a type is an identifier");
    c->space = r->space;
    c->at = j->offset;
    c->end = j->offset + 1;
    c->type = read_type(r, j, 0);
    if (!c->type) return false;
    RAW_APPEND(r->raw->commons_tail, c);
    return true;
}

static void read_namespace(struct reader *r, const struct json *j)
{
    static const str known[] = {STR_INIT("entityTypes"), STR_INIT("actions"), STR_INIT("commonTypes"),
                                STR_INIT("annotations")};
    if (j->name.n && !cedar_is_name(j->name)) {
        bad(r, j, "this is no name of a namespace");
        return;
    }
    if (!copy(r, j->name, &r->space) || !only(r, j, known, ARRAY_LEN(known))) return;
    const struct json *types = json_get(j, known[0]), *actions = json_get(j, known[1]),
                      *commons = json_get(j, known[2]);
    if (!types || !actions || types->type != JSON_OBJECT || actions->type != JSON_OBJECT) {
        bad(r, j, "a namespace needs entityTypes and actions");
        return;
    }
    for (const struct json *x = types->first; x; x = x->next) (void)read_entity(r, x);
    for (const struct json *x = actions->first; x; x = x->next) (void)read_action(r, x);
    for (const struct json *x = commons ? commons->first : NULL; x; x = x->next) (void)read_common(r, x);
}

enum err schema_parse_json(str text, struct arena *mem, struct mistakes *m, struct schema **out)
{
    struct raw_schema raw;
    struct reader r = {&raw, mem, m, STR("")};
    const struct json *j;
    enum json_fault fault;
    size_t at = 0;
    uint32_t before = m->n;
    raw_schema_init(&raw);
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
    if (j->type != JSON_OBJECT) bad(&r, j, "a schema is an object from namespace to declarations");
    for (const struct json *x = j->first; x; x = x->next) read_namespace(&r, x);
    if (m->n != before) return mistakes_err(m);
    return schema_build(&raw, mem, m, out);
}
