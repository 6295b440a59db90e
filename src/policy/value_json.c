/* JSON to values: {"__entity": {"type", "id"}}, {"__extn": {"fn", "arg"}}, and with an expected type their short
 * forms. Numbers are 64-bit integers, exactly; anything else JSON can say is refused. */
#include "codec/json.h"
#include "policy/entities.h"
#include "policy/ext.h"

static enum err bad(struct mistakes *m, const struct json *j, uint32_t base, const char *path, const char *what)
{
    uint32_t at = base + (j ? j->offset : 0);
    mistake(m, POLICY_FAULT_JSON, at, at + 1, STR_NONE, "%s: %s", path, what);
    return ERR_MALFORMED;
}

static enum err no_memory(struct mistakes *m, uint32_t base)
{
    mistake(m, POLICY_FAULT_MEMORY, base, base, STR_NONE, "out of memory");
    return ERR_NO_MEMORY;
}

struct reading {
    struct entities *es;
    struct arena *mem;
    struct mistakes *m;
    const char *path;
    uint32_t base;
    unsigned depth;
};

static enum err read_value(struct reading *r, const struct json *j, const struct type *type, struct value *out);

static enum err make_uid(struct reading *r, str type, str id, const struct uid **out)
{
    const struct uid *u;
    if (r->es) {
        struct entity *e = entities_intern(r->es, type, id);
        u = e ? &e->uid : NULL;
    } else {
        u = uid_new(r->mem, type, id);
    }
    if (!u) return no_memory(r->m, r->base);
    *out = u;
    return ERR_OK;
}

static enum err read_uid(struct reading *r, const struct json *j, const struct uid **out)
{
    const struct json *in = j && j->type == JSON_OBJECT && j->count == 1 ? json_get(j, STR("__entity")) : NULL;
    if (in) j = in;
    str type = json_text(json_get(j, STR("type"))), id = json_text(json_get(j, STR("id")));
    if (!type.p || !id.p) return bad(r->m, j, r->base, r->path, "an entity is {\"type\": …, \"id\": …}");
    if (!cedar_is_name(type)) return bad(r->m, j, r->base, r->path, "this is no entity type");
    return make_uid(r, type, id, out);
}

enum err uid_from_json(const struct json *j, struct entities *es, struct arena *mem, struct mistakes *m,
                       const char *path, uint32_t base, const struct uid **out)
{
    struct reading r = {es, mem, m, path, base, 0};
    return read_uid(&r, j, out);
}

static enum err call(struct reading *r, const struct json *j, enum ext_fn fn, const struct value *args, uint32_t n,
                     struct value *out)
{
    switch (ext_call(fn, args, n, r->mem, out)) {
    case EXT_FAULT_NONE: return ERR_OK;
    case EXT_FAULT_MEMORY: return no_memory(r->m, r->base);
    case EXT_FAULT_ARITY: return bad(r->m, j, r->base, r->path, "the wrong number of arguments for this function");
    case EXT_FAULT_TYPE: return bad(r->m, j, r->base, r->path, "an argument of the wrong type for this function");
    case EXT_FAULT_TEXT: return bad(r->m, j, r->base, r->path, "this text is no value of that type");
    case EXT_FAULT_OVERFLOW: break;
    }
    return bad(r->m, j, r->base, r->path, "the result does not fit 64 bits");
}

/* {"fn": …, "arg": …} or {"fn": …, "args": […]} */
static enum err read_call(struct reading *r, const struct json *j, struct value *out)
{
    str name = json_text(json_get(j, STR("fn")));
    const struct json *arg = json_get(j, STR("arg")), *args = json_get(j, STR("args"));
    struct value values[2];
    uint32_t n = 0;
    if (str_eq(name, STR("unknown")) && arg && arg->type == JSON_STRING) {
        str copy = arena_copy(r->mem, arg->text);
        if (!copy.p) return no_memory(r->m, r->base);
        *out = value_string(copy);
        out->kind = VALUE_UNKNOWN;
        return ERR_OK;
    }
    enum ext_fn fn = ext_find(name);
    if (fn == EXT_COUNT) return bad(r->m, j, r->base, r->path, "there is no such function");
    const struct json *x = arg ? arg : args && args->type == JSON_ARRAY ? args->first : NULL;
    for (; x; x = arg ? NULL : x->next) {
        if (n == ARRAY_LEN(values)) return bad(r->m, j, r->base, r->path, "too many arguments for this function");
        enum value_kind want = ext_table[fn].args[n];
        enum err e = read_value(r, x, want >= VALUE_DECIMAL ? type_ext(want) : NULL, &values[n++]);
        if (e != ERR_OK) return e;
    }
    return call(r, j, fn, values, n, out);
}

static enum err read_ext(struct reading *r, const struct json *j, enum value_kind kind, struct value *out)
{
    static const uint8_t makers[][2] = {{VALUE_IP, EXT_IP},
                                        {VALUE_DECIMAL, EXT_DECIMAL},
                                        {VALUE_DATETIME, EXT_DATETIME},
                                        {VALUE_DURATION, EXT_DURATION}};
    struct value v;
    enum err e;
    if (j->type == JSON_STRING) {
        enum ext_fn fn = EXT_IP;
        for (size_t i = 0; i < ARRAY_LEN(makers); i++)
            if (makers[i][0] == kind) fn = (enum ext_fn)makers[i][1];
        struct value text = value_string(j->text);
        e = call(r, j, fn, &text, 1, &v);
    } else {
        const struct json *in = json_get(j, STR("__extn"));
        e = read_call(r, in ? in : j, &v);
    }
    if (e != ERR_OK) return e;
    if (v.kind != kind && v.kind != VALUE_UNKNOWN)
        return bad(r->m, j, r->base, r->path, "a value of another extension type was expected");
    *out = v;
    return ERR_OK;
}

static enum err read_array(struct reading *r, const struct json *j, const struct type *element, struct value *out)
{
    struct value *items = arena_array(r->mem, j->count, sizeof *items);
    uint32_t n = 0;
    if (!items && j->count) return no_memory(r->m, r->base);
    for (const struct json *x = j->first; x; x = x->next) {
        enum err e = read_value(r, x, element, &items[n++]);
        if (e != ERR_OK) return e;
    }
    *out = value_set(items, n);
    return ERR_OK;
}

static enum err read_record(struct reading *r, const struct json *j, const struct type *type, struct value *out)
{
    struct attr *attrs = arena_array(r->mem, j->count, sizeof *attrs);
    uint32_t n = 0;
    if (!attrs && j->count) return no_memory(r->m, r->base);
    for (const struct json *x = j->first; x; x = x->next, n++) {
        const struct type_attr *want = type ? type_attr(type, x->name) : NULL;
        if (type && !want) {
            mistake(r->m, POLICY_FAULT_UNKNOWN, r->base + x->offset, r->base + x->offset + 1, STR_NONE,
                    "%s: the schema knows no attribute `%.*s` here", r->path, STR_ARG(x->name));
            return ERR_MALFORMED;
        }
        attrs[n].name = r->es ? entities_name(r->es, x->name) : arena_copy(r->mem, x->name);
        if (!attrs[n].name.p) return no_memory(r->m, r->base);
        enum err e = read_value(r, x, want ? want->type : NULL, &attrs[n].value);
        if (e != ERR_OK) return e;
    }
    for (uint32_t i = 0; type && i < type->n; i++)
        if (type->attrs[i].required && !json_get(j, type->attrs[i].name)) {
            mistake(r->m, POLICY_FAULT_TYPE, r->base + j->offset, r->base + j->offset + 1, STR_NONE,
                    "%s: the attribute `%.*s` is missing", r->path, STR_ARG(type->attrs[i].name));
            return ERR_MALFORMED;
        }
    if (!value_record(attrs, n, out)) return bad(r->m, j, r->base, r->path, "a name is there twice");
    return ERR_OK;
}

static enum err read_object(struct reading *r, const struct json *j, const struct type *type, struct value *out)
{
    const struct json *only = j->count == 1 ? j->first : NULL;
    if (only && only->type == JSON_OBJECT && str_eq(only->name, STR("__extn")) && only->count >= 2 &&
        json_text(json_get(only, STR("fn"))).p && (!type || type->kind != TYPE_RECORD))
        return read_call(r, only, out);
    if (only && only->type == JSON_OBJECT && str_eq(only->name, STR("__entity")) && only->count >= 2 &&
        (!type || type->kind != TYPE_RECORD)) {
        const struct uid *u;
        enum err e = read_uid(r, only, &u);
        if (e == ERR_OK) *out = value_entity(u);
        return e;
    }
    if (only && only->type == JSON_STRING && str_eq(only->name, STR("__expr")))
        return bad(r->m, j, r->base, r->path, "__expr is no longer part of the language");
    return read_record(r, j, type, out);
}

static bool is_unknown(const struct json *j)
{
    const struct json *c = j->type == JSON_OBJECT && j->count == 1 ? json_get(j, STR("__extn")) : NULL;
    return c && str_eq(json_text(json_get(c, STR("fn"))), STR("unknown"));
}

/* What the short forms need the type for; everything else is read by its own form and compared afterwards. */
static enum err read_typed(struct reading *r, const struct json *j, const struct type *type, struct value *out,
                           bool *done)
{
    *done = true;
    if (type && !is_unknown(j)) {
        if (type->kind == TYPE_ENTITY) {
            const struct uid *u;
            enum err e = read_uid(r, j, &u);
            if (e == ERR_OK) *out = value_entity(u);
            return e;
        }
        if (type->kind == TYPE_EXT) return read_ext(r, j, (enum value_kind)type->ext, out);
    }
    *done = false;
    return ERR_OK;
}

static enum err read_value(struct reading *r, const struct json *j, const struct type *type, struct value *out)
{
    bool done;
    if (r->depth >= VALUE_DEPTH_MAX) return bad(r->m, j, r->base, r->path, "nested too deeply");
    enum err e = read_typed(r, j, type, out, &done);
    if (done || e != ERR_OK) return e;
    int64_t i;
    str copy;
    switch (j->type) {
    case JSON_NULL: return bad(r->m, j, r->base, r->path, "null is no Cedar value");
    case JSON_TRUE:
    case JSON_FALSE: *out = value_bool(j->type == JSON_TRUE); return ERR_OK;
    case JSON_NUMBER:
        if (json_int(j, &i) != ERR_OK) return bad(r->m, j, r->base, r->path, "a number must be a 64-bit integer");
        *out = value_long(i);
        return ERR_OK;
    case JSON_STRING:
        copy = arena_copy(r->mem, j->text);
        if (!copy.p) return no_memory(r->m, r->base);
        *out = value_string(copy);
        return ERR_OK;
    case JSON_ARRAY:
    case JSON_OBJECT:
        r->depth++;
        if (j->type == JSON_ARRAY)
            e = read_array(r, j, type && type->kind == TYPE_SET ? type->element : NULL, out);
        else
            e = read_object(r, j, type && type->kind == TYPE_RECORD ? type : NULL, out);
        r->depth--;
        return e;
    }
    return ERR_INVARIANT;
}

enum err value_from_json(const struct json *j, const struct type *type, struct entities *es, struct arena *mem,
                         struct mistakes *m, const char *path, uint32_t base, struct value *out)
{
    struct reading r = {es, mem, m, path, base, 0};
    struct value v;
    enum err e = read_value(&r, j, type, &v);
    if (e != ERR_OK) return e;
    if (type && !value_has_type(&v, type, NULL)) {
        struct buf b;
        buf_init(&b, 256);
        type_print(type, &b);
        mistake(m, POLICY_FAULT_TYPE, base + j->offset, base + j->offset + 1, STR_NONE, "%s: expected %.*s, found %s",
                path, STR_ARG(buf_str(&b)), value_kind_name((enum value_kind)v.kind));
        buf_free(&b);
        return ERR_MALFORMED;
    }
    *out = v;
    return ERR_OK;
}

static bool record_has_type(const struct value *v, const struct type *t, const struct schema *schema)
{
    uint32_t required = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct type_attr *a = type_attr(t, v->attrs[i].name);
        if (!a || !value_has_type(&v->attrs[i].value, a->type, schema)) return false;
        required += a->required;
    }
    for (uint32_t i = 0; i < t->n; i++) required -= t->attrs[i].required;
    return required == 0;
}

bool value_has_type(const struct value *v, const struct type *t, const struct schema *schema)
{
    if (v->kind == VALUE_UNKNOWN) return true;
    switch ((enum type_kind)t->kind) {
    case TYPE_NEVER: return false;
    case TYPE_FALSE: return v->kind == VALUE_BOOL && !v->boolean;
    case TYPE_TRUE: return v->kind == VALUE_BOOL && v->boolean;
    case TYPE_BOOL: return v->kind == VALUE_BOOL;
    case TYPE_LONG: return v->kind == VALUE_LONG;
    case TYPE_STRING: return v->kind == VALUE_STRING;
    case TYPE_EXT: return v->kind == t->ext;
    case TYPE_ENTITY: {
        if (v->kind != VALUE_ENTITY || !str_eq(v->uid->type, t->name)) return false;
        const struct entity_type *et = schema ? schema_entity(schema, t->name) : NULL;
        if (!et || !et->is_enum) return true;
        for (uint32_t i = 0; i < et->choices_n; i++)
            if (str_eq(et->choices[i], v->uid->id)) return true;
        return false;
    }
    case TYPE_SET:
        if (v->kind != VALUE_SET) return false;
        for (uint32_t i = 0; i < v->n; i++)
            if (!value_has_type(&v->items[i], t->element, schema)) return false;
        return true;
    case TYPE_RECORD: return v->kind == VALUE_RECORD && record_has_type(v, t, schema);
    }
    return false;
}
