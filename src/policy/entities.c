#include "policy/entities.h"

#include <stdlib.h>

void entities_init(struct entities *es, struct arena *mem)
{
    *es = (struct entities){.mem = mem};
}

void entities_free(struct entities *es)
{
    free(es->slots);
    map_free(&es->names);
    *es = (struct entities){.mem = es->mem};
}

str entities_name(struct entities *es, str name)
{
    str *known = map_get(&es->names, name);
    if (known) return *known;
    str *fresh = arena_alloc(es->mem, sizeof *fresh);
    if (!fresh) return STR_NONE;
    *fresh = arena_copy(es->mem, name);
    if (!fresh->p || map_put(&es->names, *fresh, fresh, NULL) != ERR_OK) return STR_NONE;
    return *fresh;
}

static void place(struct entity_slot *slots, size_t cap, struct entity *e)
{
    size_t at = e->uid.hash & (cap - 1);
    while (slots[at].hash) at = (at + 1) & (cap - 1);
    slots[at] = (struct entity_slot){e->uid.hash, e};
}

static bool grow(struct entities *es)
{
    size_t cap = es->cap ? es->cap * 2 : 64;
    struct entity_slot *slots = calloc(cap, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < es->cap; i++)
        if (es->slots[i].hash) place(slots, cap, es->slots[i].entity);
    free(es->slots);
    es->slots = slots;
    es->cap = cap;
    return true;
}

static struct entity *find(const struct entities *es, const struct uid *uid)
{
    if (!es->cap) return NULL;
    for (size_t at = uid->hash & (es->cap - 1); es->slots[at].hash; at = (at + 1) & (es->cap - 1))
        if (es->slots[at].hash == uid->hash && uid_eq(&es->slots[at].entity->uid, uid)) return es->slots[at].entity;
    return NULL;
}

const struct entity *entities_find(const struct entities *es, const struct uid *uid)
{
    const struct entity *e = find(es, uid);
    return e && e->defined ? e : NULL;
}

struct entity *entities_intern(struct entities *es, str type, str id)
{
    struct uid key = {type, id, uid_hash(type, id)};
    struct entity *e = find(es, &key);
    if (e) return e;
    if ((es->named + 1) * 4 > es->cap * 3 && !grow(es)) return NULL;
    e = arena_zalloc(es->mem, sizeof *e);
    if (!e) return NULL;
    e->uid = (struct uid){entities_name(es, type), arena_copy(es->mem, id), key.hash};
    if (!e->uid.type.p || !e->uid.id.p) return NULL;
    place(es->slots, es->cap, e);
    es->named++;
    return e;
}

bool entity_is_in(const struct entity *e, const struct uid *ancestor)
{
    uint32_t lo = 0, hi = e->ancestors_n;
    if (hi <= 8) {
        for (; lo < hi; lo++)
            if (uid_eq(e->ancestors[lo], ancestor)) return true;
        return false;
    }
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (e->ancestors[mid]->hash < ancestor->hash)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < e->ancestors_n && e->ancestors[lo]->hash == ancestor->hash; lo++)
        if (uid_eq(e->ancestors[lo], ancestor)) return true;
    return false;
}

/* By hash; the few are put in their place one by one. Twice the same does no harm. */
static void insert_by_hash(const struct uid **list, uint32_t n, const struct uid *u)
{
    for (; n > 0 && list[n - 1]->hash > u->hash; n--) list[n] = list[n - 1];
    list[n] = u;
}

enum err entity_make(const struct uid *uid, const struct value *record, const struct uid *const *parents,
                     uint32_t parents_n, const struct entities *es, struct arena *mem, struct entity *out)
{
    struct entity e = {.uid = *uid, .parents = parents, .parents_n = parents_n, .defined = true};
    size_t most = parents_n;
    for (uint32_t i = 0; es && i < parents_n; i++) {
        const struct entity *p = entities_find(es, parents[i]);
        if (p) most += p->ancestors_n;
    }
    if (most > ENTITY_OWN_ANCESTORS_MAX) return ERR_LIMIT;
    const struct uid **ancestors = arena_alloc(mem, most * sizeof *ancestors);
    if (!ancestors) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < parents_n; i++) {
        const struct entity *p = es ? entities_find(es, parents[i]) : NULL;
        insert_by_hash(ancestors, e.ancestors_n++, parents[i]);
        for (uint32_t k = 0; p && k < p->ancestors_n; k++) insert_by_hash(ancestors, e.ancestors_n++, p->ancestors[k]);
    }
    e.ancestors = ancestors;
    if (record && record->kind == VALUE_RECORD) {
        e.attrs = record->attrs;
        e.attrs_n = record->n;
    }
    *out = e;
    return ERR_OK;
}

const struct value *entity_attr(const struct entity *e, str name)
{
    return value_attr(e->attrs, e->attrs_n, name);
}

const struct value *entity_tag(const struct entity *e, str name)
{
    return value_attr(e->tags, e->tags_n, name);
}

/* ---- ancestors: a walk upwards with a stack of our own; a chain of a million is as good as one of two ---- */

enum { UNSEEN = 0, OPEN, DONE };

struct frame {
    struct entity *e;
    uint32_t next; /* parent to look at next */
};

struct closure {
    struct entities *es;
    struct mistakes *m;
    struct frame *stack;
    size_t depth, cap;
    const struct uid **room; /* what one entity's ancestors are gathered in */
    size_t room_cap, total;
};

static enum err push(struct closure *c, struct entity *e)
{
    if (c->depth == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        struct frame *grown = realloc(c->stack, cap * sizeof *grown);
        if (!grown) return ERR_NO_MEMORY;
        c->stack = grown;
        c->cap = cap;
    }
    e->visit = OPEN;
    c->stack[c->depth++] = (struct frame){e, 0};
    return ERR_OK;
}

static int by_hash(const void *a, const void *b)
{
    const struct uid *x = *(const struct uid *const *)a, *y = *(const struct uid *const *)b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x < y ? -1 : x > y; /* interned: the same uid is the same address */
}

static struct entity *entity_of(const struct uid *u)
{
    return CONTAINER_OF((uintptr_t)u, struct entity, uid);
}

/* All parents are done: their ancestors and they themselves are e's. */
static enum err gather(struct closure *c, struct entity *e)
{
    size_t most = 0, n = 0;
    for (uint32_t i = 0; i < e->parents_n; i++) most += 1 + entity_of(e->parents[i])->ancestors_n;
    e->visit = DONE;
    if (most == 0) return ERR_OK;
    if (most > c->room_cap) {
        const struct uid **grown = realloc(c->room, most * 2 * sizeof *grown);
        if (!grown) return ERR_NO_MEMORY;
        c->room = grown;
        c->room_cap = most * 2;
    }
    for (uint32_t i = 0; i < e->parents_n; i++) {
        const struct entity *p = entity_of(e->parents[i]);
        c->room[n++] = &p->uid;
        for (uint32_t j = 0; j < p->ancestors_n; j++) c->room[n++] = p->ancestors[j];
    }
    if (n > 1) qsort(c->room, n, sizeof *c->room, by_hash);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || c->room[kept - 1] != c->room[i]) c->room[kept++] = c->room[i];
    c->total += kept;
    if (kept > ENTITIES_ANCESTORS_MAX || c->total > ENTITIES_CLOSURE_MAX) {
        mistake(c->m, POLICY_FAULT_LIMIT, 0, 0, STR_NONE, "too many ancestors at %.*s::\"%.*s\"", STR_ARG(e->uid.type),
                STR_ARG(e->uid.id));
        return ERR_LIMIT;
    }
    const struct uid **copy = arena_alloc(c->es->mem, kept * sizeof *copy);
    if (!copy) return ERR_NO_MEMORY;
    memcpy(copy, c->room, kept * sizeof *copy);
    e->ancestors = copy;
    e->ancestors_n = (uint32_t)kept;
    return ERR_OK;
}

static enum err climb(struct closure *c, struct entity *from)
{
    enum err err = push(c, from);
    while (err == ERR_OK && c->depth) {
        struct frame *f = &c->stack[c->depth - 1];
        if (f->next == f->e->parents_n) {
            err = gather(c, f->e);
            c->depth--;
            continue;
        }
        struct entity *p = entity_of(f->e->parents[f->next++]);
        if (p->visit == UNSEEN) {
            err = push(c, p);
        } else if (p->visit == OPEN) {
            mistake(c->m, POLICY_FAULT_CYCLE, 0, 0, STR_NONE, "%.*s::\"%.*s\" is its own ancestor",
                    STR_ARG(p->uid.type), STR_ARG(p->uid.id));
            err = ERR_MALFORMED;
        }
    }
    return err;
}

enum err entities_finish(struct entities *es, struct mistakes *m)
{
    struct closure c = {.es = es, .m = m};
    enum err err = ERR_OK;
    for (size_t i = 0; i < es->cap; i++)
        if (es->slots[i].hash) es->slots[i].entity->visit = UNSEEN;
    for (size_t i = 0; i < es->cap && err == ERR_OK; i++)
        if (es->slots[i].hash && es->slots[i].entity->visit == UNSEEN) err = climb(&c, es->slots[i].entity);
    free(c.stack);
    free(c.room);
    return err;
}
