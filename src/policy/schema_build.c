/* Raw declarations to a schema: every name resolved once, hierarchies closed, nothing left to look up by guessing. */
#include "policy/schema_raw.h"

#include <stdlib.h>

struct builder {
    const struct raw_schema *raw;
    struct arena *mem;
    struct mistakes *m;
    struct schema *s;
    struct map commons;  /* full name → struct raw_common */
    struct map entities; /* full name → struct raw_entity */
};

static enum err no_memory(struct builder *b)
{
    mistake(b->m, POLICY_FAULT_MEMORY, 0, 0, STR_NONE, "out of memory");
    return ERR_NO_MEMORY;
}

static str qualify(struct builder *b, str space, str name)
{
    return space.n ? arena_printf(b->mem, "%.*s::%.*s", STR_ARG(space), STR_ARG(name)) : name;
}

static const struct type *builtin(str name)
{
    static const struct {
        str name;
        uint8_t kind, ext;
    } table[] = {{STR_INIT("Bool"), TYPE_BOOL, 0},
                 {STR_INIT("Long"), TYPE_LONG, 0},
                 {STR_INIT("String"), TYPE_STRING, 0},
                 {STR_INIT("ipaddr"), TYPE_EXT, VALUE_IP},
                 {STR_INIT("decimal"), TYPE_EXT, VALUE_DECIMAL},
                 {STR_INIT("datetime"), TYPE_EXT, VALUE_DATETIME},
                 {STR_INIT("duration"), TYPE_EXT, VALUE_DURATION}};
    if (str_starts(name, STR("__cedar::"))) name = str_from(name, 9);
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eq(table[i].name, name))
            return table[i].kind == TYPE_EXT ? type_ext((enum value_kind)table[i].ext)
                                             : type_simple((enum type_kind)table[i].kind);
    return NULL;
}

static bool is_path(str name)
{
    for (size_t i = 0; i + 1 < name.n; i++)
        if (name.p[i] == ':' && name.p[i + 1] == ':') return true;
    return false;
}

/* ---- types ---- */

static const struct type *resolve(struct builder *b, str space, const struct raw_type *raw, unsigned depth);

static const struct type *entity_ref(struct builder *b, str name)
{
    struct type *t = arena_zalloc(b->mem, sizeof *t);
    if (!t) return (void)no_memory(b), NULL;
    t->kind = TYPE_ENTITY;
    t->name = name;
    return t;
}

static const struct type *resolve_common(struct builder *b, struct raw_common *c, unsigned depth)
{
    if (c->resolved || c->failed) return c->resolved;
    if (c->busy) {
        mistake(b->m, POLICY_FAULT_CYCLE, c->at, c->end, STR_NONE, "the type %.*s contains itself", STR_ARG(c->name));
        return NULL;
    }
    c->busy = true;
    c->resolved = resolve(b, c->space, c->type, depth + 1);
    c->busy = false;
    c->failed = !c->resolved;
    return c->resolved;
}

/* A type of that full name, or NULL without a mistake. *failed: there is one, but it is wrong. */
static const struct type *lookup(struct builder *b, str full, bool entity_only, unsigned depth, bool *failed)
{
    struct raw_common *c = entity_only ? NULL : map_get(&b->commons, full);
    const struct raw_entity *e = map_get(&b->entities, full);
    const struct type *t = NULL;
    if (c) {
        t = resolve_common(b, c, depth);
        *failed = !t;
    } else if (e) {
        t = entity_ref(b, full);
        *failed = !t;
    } else if (str_eq(full, STR("Action")) || str_ends(full, STR("::Action"))) {
        /* the type of actions exists where a namespace has some */
        for (uint32_t i = 0; i < b->s->actions_n; i++)
            if (str_eq(b->s->action_list[i]->uid->type, full)) return entity_ref(b, full);
    }
    return t;
}

static void unknown_type(struct builder *b, str name, uint32_t at, uint32_t end)
{
    str names[256];
    size_t n = 0;
    static const str builtins[] = {STR_INIT("Bool"),    STR_INIT("Long"),     STR_INIT("String"),  STR_INIT("ipaddr"),
                                   STR_INIT("decimal"), STR_INIT("datetime"), STR_INIT("duration")};
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++) names[n++] = builtins[i];
    for (const struct raw_entity *e = b->raw->entities; e && n < ARRAY_LEN(names); e = e->next) names[n++] = e->name;
    for (const struct raw_common *c = b->raw->commons; c && n < ARRAY_LEN(names); c = c->next) names[n++] = c->name;
    mistake(b->m, POLICY_FAULT_UNKNOWN, at, end, mistake_did_you_mean(b->mem, name, names, n),
            "there is no type `%.*s`", STR_ARG(name));
}

static const struct type *resolve_name(struct builder *b, str space, str name, bool entity_only, uint32_t at,
                                       uint32_t end, unsigned depth)
{
    bool failed = false;
    const struct type *t = NULL;
    if (!is_path(name) && space.n) {
        str full = qualify(b, space, name);
        if (!full.p) return (void)no_memory(b), NULL;
        t = lookup(b, full, entity_only, depth, &failed);
    }
    if (!t && !failed) t = lookup(b, name, entity_only, depth, &failed);
    if (!t && !failed && !entity_only) t = builtin(name);
    if (!t && !failed) unknown_type(b, name, at, end);
    return t;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct type_attr *)a)->name, ((const struct type_attr *)b)->name);
}

/* A record of two of a type, of which a record has two, of which …: small to write, too large to look at. */
static bool sized(struct builder *b, struct type *t, const struct raw_type *raw)
{
    uint64_t size = 1;
    if (t->kind == TYPE_SET) size += t->element->size + 1;
    for (uint32_t i = 0; i < t->n; i++) size += t->attrs[i].type->size + 1;
    if (size > TYPE_SIZE_MAX) {
        mistake(b->m, POLICY_FAULT_LIMIT, raw->at, raw->end, STR_NONE, "a type of more than %d parts", TYPE_SIZE_MAX);
        return false;
    }
    t->size = (uint32_t)size;
    return true;
}

static const struct type *resolve_record(struct builder *b, str space, const struct raw_type *raw, unsigned depth)
{
    struct type *t = arena_zalloc(b->mem, sizeof *t);
    struct type_attr *attrs = arena_array(b->mem, raw->n, sizeof *attrs);
    uint32_t n = 0;
    bool ok = true;
    if (!t || (raw->n && !attrs)) return (void)no_memory(b), NULL;
    for (const struct raw_attr *a = raw->attrs; a; a = a->next, n++) {
        attrs[n] = (struct type_attr){a->name, resolve(b, space, a->type, depth + 1), a->required};
        ok = ok && attrs[n].type;
    }
    if (n) qsort(attrs, n, sizeof *attrs, by_name);
    for (uint32_t i = 1; i < n; i++)
        if (str_eq(attrs[i - 1].name, attrs[i].name)) {
            mistake(b->m, POLICY_FAULT_DUPLICATE, raw->at, raw->end, STR_NONE, "the attribute `%.*s` is there twice",
                    STR_ARG(attrs[i].name));
            ok = false;
        }
    t->kind = TYPE_RECORD;
    t->n = n;
    t->attrs = attrs;
    return ok && sized(b, t, raw) ? t : NULL;
}

static const struct type *resolve(struct builder *b, str space, const struct raw_type *raw, unsigned depth)
{
    if (depth > TYPE_DEPTH_MAX) {
        mistake(b->m, POLICY_FAULT_LIMIT, raw->at, raw->end, STR_NONE, "types nested deeper than %d", TYPE_DEPTH_MAX);
        return NULL;
    }
    switch ((enum raw_kind)raw->kind) {
    case RAW_PRIMITIVE: return raw->primitive;
    case RAW_NAME: return resolve_name(b, space, raw->name, false, raw->at, raw->end, depth);
    case RAW_ENTITY: return resolve_name(b, space, raw->name, true, raw->at, raw->end, depth);
    case RAW_RECORD: return resolve_record(b, space, raw, depth);
    case RAW_SET: {
        struct type *t = arena_zalloc(b->mem, sizeof *t);
        if (!t) return (void)no_memory(b), NULL;
        t->kind = TYPE_SET;
        t->element = resolve(b, space, raw->element, depth + 1);
        return t->element && sized(b, t, raw) ? t : NULL;
    }
    }
    return NULL;
}

static const struct type *empty_record(void)
{
    static const struct type t = {.kind = TYPE_RECORD};
    return &t;
}

static const struct type *resolve_shape(struct builder *b, str space, const struct raw_type *raw)
{
    if (!raw) return empty_record();
    const struct type *t = resolve(b, space, raw, 0);
    if (t && t->kind != TYPE_RECORD) {
        mistake(b->m, POLICY_FAULT_TYPE, raw->at, raw->end, STR_NONE, "this must be a record");
        return NULL;
    }
    return t;
}

/* The full names of a list of entity types. */
static const str *resolve_list(struct builder *b, str space, const struct raw_name *list, uint32_t *out_n)
{
    uint32_t n = 0, kept = 0;
    for (const struct raw_name *x = list; x; x = x->next) n++;
    str *names = arena_array(b->mem, n + 1, sizeof *names);
    if (!names) return (void)no_memory(b), NULL;
    for (const struct raw_name *x = list; x; x = x->next) {
        const struct type *t = resolve_name(b, space, x->path, true, x->at, x->end, 0);
        /* actions have a type, but no place among principals, resources and parents */
        if (t && !map_get(&b->entities, t->name))
            unknown_type(b, t->name, x->at, x->end);
        else if (t)
            names[kept++] = t->name;
    }
    *out_n = kept;
    return names;
}

/* ---- declarations ---- */

static enum err declare(struct builder *b)
{
    static const str reserved[] = {STR_INIT("Bool"), STR_INIT("Boolean"), STR_INIT("Entity"), STR_INIT("Extension"),
                                   STR_INIT("Long"), STR_INIT("Record"),  STR_INIT("Set"),    STR_INIT("String")};
    void *old;
    for (struct raw_common *c = b->raw->commons; c; c = c->next) {
        str full = qualify(b, c->space, c->name);
        for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
            if (str_eq(reserved[i], c->name))
                mistake(b->m, POLICY_FAULT_RESERVED, c->at, c->end, STR_NONE, "`%.*s` is a type of the language",
                        STR_ARG(c->name));
        if (!full.p || map_put(&b->commons, full, c, &old) != ERR_OK) return no_memory(b);
        if (old)
            mistake(b->m, POLICY_FAULT_DUPLICATE, c->at, c->end, STR_NONE, "the type `%.*s` is there twice",
                    STR_ARG(full));
    }
    for (struct raw_entity *e = b->raw->entities; e; e = e->next) {
        str full = qualify(b, e->space, e->name);
        if (!full.p || map_put(&b->entities, full, e, &old) != ERR_OK) return no_memory(b);
        if (old)
            mistake(b->m, POLICY_FAULT_DUPLICATE, e->at, e->end, STR_NONE, "the entity type `%.*s` is there twice",
                    STR_ARG(full));
        if (str_eq(e->name, STR("Action")))
            mistake(b->m, POLICY_FAULT_RESERVED, e->at, e->end, STR_NONE, "`Action` is the type of actions");
    }
    /* A name of a namespace may not hide one outside all namespaces. */
    for (const struct raw_entity *e = b->raw->entities; e; e = e->next)
        if (e->space.n && (map_get(&b->entities, e->name) || map_get(&b->commons, e->name)))
            mistake(b->m, POLICY_FAULT_DUPLICATE, e->at, e->end, STR_NONE,
                    "`%.*s` hides the type of that name outside the namespace", STR_ARG(e->name));
    for (const struct raw_common *c = b->raw->commons; c; c = c->next)
        if (c->space.n && (map_get(&b->entities, c->name) || map_get(&b->commons, c->name)))
            mistake(b->m, POLICY_FAULT_DUPLICATE, c->at, c->end, STR_NONE,
                    "`%.*s` hides the type of that name outside the namespace", STR_ARG(c->name));
    return ERR_OK;
}

static enum err build_entities(struct builder *b)
{
    uint32_t n = 0;
    for (const struct raw_entity *e = b->raw->entities; e; e = e->next) n++;
    b->s->type_list = arena_array(b->mem, n + 1, sizeof(const struct entity_type *));
    if (!b->s->type_list) return no_memory(b);
    for (const struct raw_entity *e = b->raw->entities; e; e = e->next) {
        struct entity_type *t = arena_zalloc(b->mem, sizeof *t);
        if (!t) return no_memory(b);
        t->name = qualify(b, e->space, e->name);
        t->at = e->at;
        t->end = e->end;
        t->is_enum = e->is_enum;
        t->shape = resolve_shape(b, e->space, e->shape);
        t->tags = e->tags ? resolve(b, e->space, e->tags, 0) : NULL;
        t->parents = resolve_list(b, e->space, e->parents, &t->parents_n);
        for (const struct raw_name *c = e->choices; c; c = c->next) t->choices_n++;
        str *choices = arena_array(b->mem, t->choices_n + 1, sizeof *choices);
        if (!choices || !t->name.p || !t->parents) return no_memory(b);
        uint32_t i = 0;
        for (const struct raw_name *c = e->choices; c; c = c->next) choices[i++] = c->id;
        t->choices = choices;
        b->s->type_list[b->s->types_n++] = t;
        if (map_put(&b->s->types, t->name, t, NULL) != ERR_OK) return no_memory(b);
    }
    for (uint32_t i = 0; i < b->s->types_n; i++) {
        const struct entity_type *t = b->s->type_list[i];
        for (uint32_t k = 0; k < t->parents_n; k++) {
            const struct entity_type *p = schema_entity(b->s, t->parents[k]);
            if (p && p->is_enum)
                mistake(b->m, POLICY_FAULT_TYPE, t->at, t->end, STR_NONE,
                        "the enumerated type `%.*s` can have no members", STR_ARG(p->name));
        }
    }
    return ERR_OK;
}

/* What one walk upwards needs: `seen` holds who came by last, the stack each type at most once. */
struct climb {
    struct map index;
    uint32_t *stack, *seen;
    bool fill; /* first all are counted, then written down */
};

/* Every type above the i-th gets it among its descendants. */
static void climb_types(struct climb *c, struct entity_type **types, uint32_t i)
{
    uint32_t depth = 0;
    c->stack[depth++] = i;
    while (depth) {
        const struct entity_type *t = types[c->stack[--depth]];
        for (uint32_t k = 0; k < t->parents_n; k++) {
            struct entity_type **p = map_get(&c->index, t->parents[k]);
            if (!p || c->seen[p - types] == i + 1) continue;
            c->seen[p - types] = i + 1;
            str *descendants = (str *)(uintptr_t)(*p)->descendants;
            if (c->fill) descendants[(*p)->descendants_n] = types[i]->name;
            (*p)->descendants_n++;
            c->stack[depth++] = (uint32_t)(p - types);
        }
    }
}

static enum err close_types(struct builder *b)
{
    uint32_t n = b->s->types_n;
    struct climb c = {.stack = arena_array(b->mem, n + 1, sizeof *c.stack),
                      .seen = arena_array(b->mem, n + 1, sizeof *c.seen)};
    struct entity_type **types = arena_array(b->mem, n + 1, sizeof *types);
    enum err err = types && c.stack && c.seen ? ERR_OK : no_memory(b);
    for (uint32_t i = 0; err == ERR_OK && i < n; i++) {
        types[i] = map_get(&b->s->types, b->s->type_list[i]->name);
        if (map_put(&c.index, types[i]->name, &types[i], NULL) != ERR_OK) err = no_memory(b);
    }
    for (uint32_t i = 0; err == ERR_OK && i < n; i++) climb_types(&c, types, i);
    for (uint32_t i = 0; err == ERR_OK && i < n; i++) {
        types[i]->descendants = arena_array(b->mem, types[i]->descendants_n + 1, sizeof(str));
        types[i]->descendants_n = 0;
        c.seen[i] = 0;
        if (!types[i]->descendants) err = no_memory(b);
    }
    c.fill = true;
    for (uint32_t i = 0; err == ERR_OK && i < n; i++) climb_types(&c, types, i);
    map_free(&c.index);
    return err;
}

/* ---- actions ---- */

static enum err declare_actions(struct builder *b)
{
    uint32_t n = 0;
    for (const struct raw_action *a = b->raw->actions; a; a = a->next) n++;
    b->s->action_list = arena_array(b->mem, n + 1, sizeof(const struct action_type *));
    if (!b->s->action_list) return no_memory(b);
    for (const struct raw_action *a = b->raw->actions; a; a = a->next) {
        struct action_type *t = arena_zalloc(b->mem, sizeof *t);
        struct buf key;
        void *old;
        str type = qualify(b, a->space, STR("Action"));
        if (!t || !type.p) return no_memory(b);
        t->uid = uid_new(b->mem, type, a->id);
        if (!t->uid) return no_memory(b);
        t->at = a->at;
        t->end = a->end;
        b->s->action_list[b->s->actions_n++] = t;
        buf_init(&key, 1 << 20);
        uid_print(t->uid, &key);
        str copy = key.bad ? STR_NONE : arena_copy(b->mem, buf_str(&key));
        buf_free(&key);
        if (!copy.p || map_put(&b->s->actions, copy, t, &old) != ERR_OK) return no_memory(b);
        if (old)
            mistake(b->m, POLICY_FAULT_DUPLICATE, a->at, a->end, STR_NONE, "the action %.*s is there twice",
                    STR_ARG(copy));
        const struct uid outside = {STR("Action"), a->id, uid_hash(STR("Action"), a->id)};
        if (a->space.n && schema_action(b->s, &outside))
            mistake(b->m, POLICY_FAULT_DUPLICATE, a->at, a->end, STR_NONE,
                    "the action \"%.*s\" hides the one outside the namespace", STR_ARG(a->id));
    }
    return ERR_OK;
}

static const struct uid *resolve_action(struct builder *b, str space, const struct raw_name *x)
{
    str type = x->path.n ? x->path : STR("Action");
    str tries[2] = {type, STR_NONE};
    if (space.n && !is_path(type)) {
        tries[0] = qualify(b, space, type);
        tries[1] = type;
    }
    for (int i = 0; i < 2 && tries[i].p; i++) {
        struct uid u = {tries[i], x->id, uid_hash(tries[i], x->id)};
        const struct action_type *a = schema_action(b->s, &u);
        if (a) return a->uid;
    }
    mistake(b->m, POLICY_FAULT_UNKNOWN, x->at, x->end, STR_NONE, "there is no action \"%.*s\"", STR_ARG(x->id));
    return NULL;
}

static enum err build_actions(struct builder *b)
{
    uint32_t i = 0;
    for (const struct raw_action *a = b->raw->actions; a; a = a->next) {
        struct action_type *t = (struct action_type *)(uintptr_t)b->s->action_list[i++];
        uint32_t n = 0;
        t->context = resolve_shape(b, a->space, a->context);
        t->principals = resolve_list(b, a->space, a->principals, &t->principals_n);
        t->resources = resolve_list(b, a->space, a->resources, &t->resources_n);
        for (const struct raw_name *x = a->parents; x; x = x->next) n++;
        t->parents = arena_array(b->mem, n + 1, sizeof(const struct uid *));
        if (!t->parents || !t->principals || !t->resources) return no_memory(b);
        for (const struct raw_name *x = a->parents; x; x = x->next) {
            const struct uid *u = resolve_action(b, a->space, x);
            if (u) t->parents[t->parents_n++] = u;
        }
    }
    return ERR_OK;
}

static str address(const struct uid *const *u)
{
    return str_make((const char *)u, sizeof *u);
}

/* As climb_types; meeting oneself is a cycle, which actions may not have. */
static void climb_actions(struct builder *b, struct climb *c, struct action_type **all, uint32_t i)
{
    uint32_t depth = 0;
    c->stack[depth++] = i;
    while (depth) {
        const struct action_type *t = all[c->stack[--depth]];
        for (uint32_t k = 0; k < t->parents_n; k++) {
            const struct uid *u = t->parents[k];
            struct action_type **p = map_get(&c->index, address(&u));
            if (!p || c->seen[p - all] == i + 1) continue;
            c->seen[p - all] = i + 1;
            if (*p == all[i] && !c->fill)
                mistake(b->m, POLICY_FAULT_CYCLE, (*p)->at, (*p)->end, STR_NONE, "the action \"%.*s\" is in itself",
                        STR_ARG((*p)->uid->id));
            if (c->fill) (*p)->descendants[(*p)->descendants_n] = all[i];
            (*p)->descendants_n++;
            c->stack[depth++] = (uint32_t)(p - all);
        }
    }
}

static enum err close_actions(struct builder *b)
{
    uint32_t n = b->s->actions_n;
    struct climb c = {.stack = arena_array(b->mem, n + 1, sizeof *c.stack),
                      .seen = arena_array(b->mem, n + 1, sizeof *c.seen)};
    struct action_type **all = arena_array(b->mem, n + 1, sizeof *all);
    enum err err = all && c.stack && c.seen ? ERR_OK : no_memory(b);
    for (uint32_t i = 0; err == ERR_OK && i < n; i++) {
        all[i] = (struct action_type *)(uintptr_t)b->s->action_list[i];
        if (map_put(&c.index, address(&all[i]->uid), &all[i], NULL) != ERR_OK) err = no_memory(b);
    }
    for (uint32_t i = 0; err == ERR_OK && i < n; i++) climb_actions(b, &c, all, i);
    for (uint32_t i = 0; err == ERR_OK && i < n; i++) {
        all[i]->descendants = arena_array(b->mem, all[i]->descendants_n + 1, sizeof(const struct action_type *));
        all[i]->descendants_n = 0;
        c.seen[i] = 0;
        if (!all[i]->descendants) err = no_memory(b);
    }
    c.fill = true;
    for (uint32_t i = 0; err == ERR_OK && i < n; i++) climb_actions(b, &c, all, i);
    map_free(&c.index);
    return err;
}

enum err schema_build(const struct raw_schema *raw, struct arena *mem, struct mistakes *m, struct schema **out)
{
    struct builder b = {.raw = raw, .mem = mem, .m = m, .s = arena_zalloc(mem, sizeof(struct schema))};
    uint32_t before = m->n;
    if (!b.s) return no_memory(&b);
    enum err e = declare(&b);
    if (e == ERR_OK) e = declare_actions(&b);
    if (e == ERR_OK) e = build_entities(&b);
    if (e == ERR_OK) e = build_actions(&b);
    if (e == ERR_OK) e = close_types(&b);
    if (e == ERR_OK) e = close_actions(&b);
    if (e == ERR_OK && m->n != before) e = mistakes_err(m);
    map_free(&b.commons);
    map_free(&b.entities);
    if (e == ERR_OK)
        *out = b.s;
    else
        schema_free(&b.s);
    return e;
}
