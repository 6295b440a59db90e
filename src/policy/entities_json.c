/* Entities from JSON: the array is cut into its elements first, so that a million entities need the room of one
 * tree, not of a million. */
#include "codec/json.h"
#include "policy/entities.h"

#include <stdio.h>
#include <stdlib.h>

#define ENTITY_TEXT_MAX (16u << 20)

static const struct json_limits limits = {.max_bytes = ENTITY_TEXT_MAX,
                                          .max_depth = 64,
                                          .max_values = 1u << 20,
                                          .max_members = 1u << 16,
                                          .max_number = 30};
static const struct json_limits context_limits = {.max_bytes = 1u << 20,
                                                  .max_depth = 64,
                                                  .max_values = 1u << 16,
                                                  .max_members = 4096,
                                                  .max_number = 30};

struct loading {
    struct entities *es;
    const struct schema *schema;
    struct mistakes *m;
    struct arena scratch; /* the JSON tree of one entity */
    uint32_t base;        /* where that entity begins */
};

static enum err no_memory(struct loading *l)
{
    mistake(l->m, POLICY_FAULT_MEMORY, l->base, l->base, STR_NONE, "out of memory");
    return ERR_NO_MEMORY;
}

static size_t blanks(str s, size_t at)
{
    while (at < s.n && (s.p[at] == ' ' || s.p[at] == '\n' || s.p[at] == '\t' || s.p[at] == '\r')) at++;
    return at;
}

/* Where the value that begins at `at` ends: strings and brackets are all that must be understood for that. */
static size_t value_end(str s, size_t at)
{
    size_t open = 0;
    for (size_t i = at; i < s.n; i++) {
        switch (s.p[i]) {
        case '"':
            for (i++; i < s.n && s.p[i] != '"'; i++)
                if (s.p[i] == '\\') i++;
            break;
        case '{':
        case '[': open++; break;
        case '}':
        case ']':
            if (open == 0) return i;
            if (--open == 0) return i + 1;
            break;
        case ',':
            if (open == 0) return i;
            break;
        default: break;
        }
    }
    return s.n;
}

static enum err json_mistake(struct mistakes *m, enum err e, enum json_fault fault, size_t at)
{
    if (e == ERR_NO_MEMORY)
        mistake(m, POLICY_FAULT_MEMORY, (uint32_t)at, (uint32_t)at, STR_NONE, "out of memory");
    else
        mistake(m, e == ERR_LIMIT ? POLICY_FAULT_LIMIT : POLICY_FAULT_JSON, (uint32_t)at, (uint32_t)at + 1, STR_NONE,
                "this is not the JSON it should be: %s", json_fault_name(fault));
    return e;
}

static enum err object_expected(struct loading *l, const struct json *j, const char *what)
{
    mistake(l->m, POLICY_FAULT_JSON, l->base + j->offset, l->base + j->offset + 1, STR_NONE, "%ss are an object", what);
    return ERR_MALFORMED;
}

static size_t put(char *out, size_t at, size_t max, str s)
{
    size_t n = s.n < max ? s.n : max;
    if (n) memcpy(out + at, s.p, n);
    return at + n;
}

/* "attribute of User::alice", for messages; made for every entity, so by hand. */
static void describe(const struct uid *u, const char *what, char out[160])
{
    size_t n = put(out, 0, 20, str_of(what));
    n = put(out, n, 4, STR(" of "));
    n = put(out, n, 60, u->type);
    n = put(out, n, 2, STR("::"));
    out[put(out, n, 60, u->id)] = 0;
}

static enum err attributes(struct loading *l, const struct json *j, const char *what, const struct type *shape,
                           const struct type *tag, const struct entity *e, const struct attr **out, uint32_t *out_n)
{
    char path[160];
    if (!j || j->count == 0) return j && j->type != JSON_OBJECT ? object_expected(l, j, what) : ERR_OK;
    if (j->type != JSON_OBJECT) return object_expected(l, j, what);
    describe(&e->uid, what, path);
    struct attr *attrs = arena_array(l->es->mem, j->count, sizeof *attrs);
    uint32_t n = 0;
    if (!attrs && j->count) return no_memory(l);
    for (const struct json *x = j->first; x; x = x->next, n++) {
        const struct type_attr *want = shape ? type_attr(shape, x->name) : NULL;
        const struct type *type = want ? want->type : tag;
        if (l->schema && !uid_is_action(&e->uid) && !type) {
            mistake(l->m, POLICY_FAULT_UNKNOWN, l->base + x->offset, l->base + x->offset + 1, STR_NONE,
                    "%s: the schema knows no `%.*s`", path, STR_ARG(x->name));
            return ERR_MALFORMED;
        }
        attrs[n].name = entities_name(l->es, x->name);
        if (!attrs[n].name.p) return no_memory(l);
        enum err err = value_from_json(x, type, l->es, l->es->mem, l->m, path, l->base, &attrs[n].value);
        if (err != ERR_OK) return err;
    }
    struct value record;
    if (!value_record(attrs, n, &record)) return ERR_MALFORMED; /* the JSON reader refuses doubles before */
    *out = attrs;
    *out_n = n;
    return ERR_OK;
}

static enum err read_parents(struct loading *l, const struct json *j, struct entity *e)
{
    if (!j) return ERR_OK;
    if (j->type != JSON_ARRAY) {
        mistake(l->m, POLICY_FAULT_JSON, l->base + j->offset, l->base + j->offset + 1, STR_NONE,
                "parents must be an array");
        return ERR_MALFORMED;
    }
    const struct uid **parents = arena_array(l->es->mem, j->count, sizeof(const struct uid *));
    uint32_t n = 0;
    if (!parents && j->count) return no_memory(l);
    for (const struct json *x = j->first; x; x = x->next) {
        enum err err = uid_from_json(x, l->es, l->es->mem, l->m, "parents", l->base, &parents[n++]);
        if (err != ERR_OK) return err;
        if (uid_is_action(&e->uid) && !uid_is_action(parents[n - 1])) {
            mistake(l->m, POLICY_FAULT_TYPE, l->base + x->offset, l->base + x->offset + 1, STR_NONE,
                    "only actions can be the parents of an action");
            return ERR_MALFORMED;
        }
    }
    e->parents = parents;
    e->parents_n = n;
    return ERR_OK;
}

/* What reading by type did not already make sure of. */
static enum err conform(struct loading *l, const struct entity *e, const struct entity_type *t)
{
    for (uint32_t i = 0; i < t->shape->n; i++) {
        const struct type_attr *a = &t->shape->attrs[i];
        const struct value *v = entity_attr(e, a->name);
        if (v ? value_has_type(v, a->type, l->schema) : !a->required) continue;
        mistake(l->m, POLICY_FAULT_TYPE, l->base, l->base + 1, STR_NONE, "%.*s::\"%.*s\": the attribute `%.*s` is %s",
                STR_ARG(e->uid.type), STR_ARG(e->uid.id), STR_ARG(a->name), v ? "not of its type" : "missing");
        return ERR_MALFORMED;
    }
    for (uint32_t i = 0; i < e->parents_n; i++) {
        bool ok = false;
        const struct entity_type *p = schema_entity(l->schema, e->parents[i]->type);
        for (uint32_t k = 0; p && k < p->descendants_n && !ok; k++) ok = str_eq(p->descendants[k], t->name);
        if (ok) continue;
        mistake(l->m, POLICY_FAULT_TYPE, l->base, l->base + 1, STR_NONE, "%.*s::\"%.*s\": a %.*s cannot be in a %.*s",
                STR_ARG(e->uid.type), STR_ARG(e->uid.id), STR_ARG(t->name), STR_ARG(e->parents[i]->type));
        return ERR_MALFORMED;
    }
    for (uint32_t i = 0; t->is_enum && i <= t->choices_n; i++) {
        if (i < t->choices_n && str_eq(t->choices[i], e->uid.id)) break;
        if (i < t->choices_n) continue;
        mistake(l->m, POLICY_FAULT_UNKNOWN, l->base, l->base + 1, STR_NONE, "\"%.*s\" is none of the entities of %.*s",
                STR_ARG(e->uid.id), STR_ARG(t->name));
        return ERR_MALFORMED;
    }
    return ERR_OK;
}

static bool same_attrs(const struct attr *a, const struct attr *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!str_eq(a[i].name, b[i].name) || !value_eq(&a[i].value, &b[i].value)) return false;
    return true;
}

/* The same entity again is no harm if it says the same. */
static bool same_entity(const struct entity *a, const struct entity *b)
{
    if (a->attrs_n != b->attrs_n || a->tags_n != b->tags_n || a->parents_n != b->parents_n) return false;
    for (uint32_t i = 0; i < a->parents_n; i++) {
        uint32_t j = 0;
        while (j < b->parents_n && a->parents[i] != b->parents[j]) j++;
        if (j == b->parents_n) return false;
    }
    return same_attrs(a->attrs, b->attrs, a->attrs_n) && same_attrs(a->tags, b->tags, a->tags_n);
}

static enum err read_entity(struct loading *l, const struct json *j)
{
    static const str members[] = {STR_INIT("uid"), STR_INIT("attrs"), STR_INIT("parents"), STR_INIT("tags")};
    const struct uid *uid;
    struct entity fresh = {0};
    if (j->type != JSON_OBJECT) {
        mistake(l->m, POLICY_FAULT_JSON, l->base, l->base + 1, STR_NONE, "an entity is an object");
        return ERR_MALFORMED;
    }
    for (const struct json *x = j->first; x; x = x->next) {
        size_t i = 0;
        while (i < ARRAY_LEN(members) && !str_eq(members[i], x->name)) i++;
        if (i < ARRAY_LEN(members)) continue;
        mistake(l->m, POLICY_FAULT_JSON, l->base + x->offset, l->base + x->offset + 1,
                mistake_did_you_mean(l->m->mem, x->name, members, ARRAY_LEN(members)), "an entity has no member `%.*s`",
                STR_ARG(x->name));
        return ERR_MALFORMED;
    }
    enum err err = uid_from_json(json_get(j, members[0]), l->es, l->es->mem, l->m, "uid", l->base, &uid);
    if (err != ERR_OK) return err;
    struct entity *e = entities_intern(l->es, uid->type, uid->id);
    if (!e) return no_memory(l);
    fresh.uid = e->uid;
    const struct entity_type *t = l->schema ? schema_entity(l->schema, uid->type) : NULL;
    bool is_action = uid_is_action(uid);
    if (l->schema && !t && !(is_action && schema_action(l->schema, uid))) {
        mistake(l->m, POLICY_FAULT_UNKNOWN, l->base, l->base + 1, STR_NONE, "the schema knows no %s %.*s",
                is_action ? "action like this in" : "entity type", STR_ARG(uid->type));
        return ERR_MALFORMED;
    }
    err = attributes(l, json_get(j, members[1]), "attribute", t ? t->shape : NULL, NULL, &fresh, &fresh.attrs,
                     &fresh.attrs_n);
    if (err == ERR_OK)
        err =
            attributes(l, json_get(j, members[3]), "tag", NULL, t ? t->tags : NULL, &fresh, &fresh.tags, &fresh.tags_n);
    if (err == ERR_OK) err = read_parents(l, json_get(j, members[2]), &fresh);
    if (err == ERR_OK && t) err = conform(l, &fresh, t);
    if (err != ERR_OK) return err;
    if (e->defined) {
        if (same_entity(e, &fresh)) return ERR_OK;
        mistake(l->m, POLICY_FAULT_DUPLICATE, l->base, l->base + 1, STR_NONE, "%.*s::\"%.*s\" is there twice",
                STR_ARG(uid->type), STR_ARG(uid->id));
        return ERR_MALFORMED;
    }
    fresh.defined = true;
    *e = fresh;
    l->es->n++;
    return ERR_OK;
}

/* The schema's actions are entities too; what the data says of one must be what the schema says. */
static enum err add_actions(struct loading *l)
{
    for (uint32_t i = 0; i < l->schema->actions_n; i++) {
        const struct action_type *a = l->schema->action_list[i];
        struct entity *e = entities_intern(l->es, a->uid->type, a->uid->id);
        const struct uid **parents = arena_array(l->es->mem, a->parents_n, sizeof(const struct uid *));
        if (!e || (a->parents_n && !parents)) return no_memory(l);
        for (uint32_t k = 0; k < a->parents_n; k++) {
            const struct entity *p = entities_intern(l->es, a->parents[k]->type, a->parents[k]->id);
            if (!p) return no_memory(l);
            parents[k] = &p->uid;
        }
        l->es->n += !e->defined;
        e->defined = true;
        e->parents = parents;
        e->parents_n = a->parents_n;
    }
    return ERR_OK;
}

static enum err one(struct loading *l, str text, size_t from, size_t to)
{
    const struct json *j;
    enum json_fault fault;
    size_t at = 0;
    l->base = (uint32_t)from;
    enum err err = json_parse(str_make(text.p + from, to - from), &limits, &l->scratch, &j, &fault, &at);
    if (err != ERR_OK) return json_mistake(l->m, err, fault, from + at);
    err = read_entity(l, j);
    arena_reset(&l->scratch);
    return err;
}

static enum err elements(struct loading *l, str text)
{
    size_t at = blanks(text, 0);
    enum err err = ERR_OK;
    bool more = at < text.n && text.p[at] == '[';
    if (!more) return json_mistake(l->m, ERR_MALFORMED, JSON_FAULT_SYNTAX, at);
    at = blanks(text, at + 1);
    if (at < text.n && text.p[at] == ']') more = false;
    while (more) {
        size_t end = value_end(text, at);
        enum err e = one(l, text, at, end);
        if (e == ERR_NO_MEMORY || e == ERR_LIMIT) return e;
        if (e != ERR_OK) err = e;
        if (l->m->n >= MISTAKES_MAX) return err;
        at = blanks(text, end);
        more = at < text.n && text.p[at] == ',';
        if (more) at = blanks(text, at + 1);
    }
    if (at >= text.n || text.p[at] != ']') return json_mistake(l->m, ERR_MALFORMED, JSON_FAULT_SYNTAX, at);
    at = blanks(text, at + 1);
    if (at < text.n) return json_mistake(l->m, ERR_MALFORMED, JSON_FAULT_TRAILING, at);
    return err;
}

enum err entities_load(struct entities *es, str json, const struct schema *schema, struct mistakes *m)
{
    struct loading l = {.es = es, .schema = schema, .m = m};
    if (json.n > ENTITIES_TEXT_MAX) return json_mistake(m, ERR_LIMIT, JSON_FAULT_SIZE, 0);
    size_t room = 64 << 10;
    char *first = malloc(room);
    if (!first) return no_memory(&l);
    arena_init(&l.scratch, first, room, (size_t)256 << 20);
    enum err err = elements(&l, json);
    arena_reset(&l.scratch);
    free(first);
    if (err == ERR_OK && schema) err = add_actions(&l);
    return err;
}

enum err context_from_json(str text, const struct type *type, struct arena *mem, struct mistakes *m, struct value *out)
{
    const struct json *j;
    enum json_fault fault;
    size_t at = 0;
    struct value v;
    enum err err = json_parse(text, &context_limits, mem, &j, &fault, &at);
    if (err != ERR_OK) return json_mistake(m, err, fault, at);
    err = value_from_json(j, type, NULL, mem, m, "context", 0, &v);
    if (err != ERR_OK) return err;
    if (v.kind != VALUE_RECORD) {
        mistake(m, POLICY_FAULT_JSON, 0, 1, STR_NONE, "the context must be an object");
        return ERR_MALFORMED;
    }
    *out = v;
    return ERR_OK;
}
