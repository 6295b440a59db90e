#include "config/route_build.h"

#include "base/rand.h"

#include <stdlib.h>

struct route_builder {
    struct arena mem; /* texts of entries */
    struct route_table table;
    struct route_node *nodes;
    struct route_edge *edges;
    struct route_entry *entries;
    uint32_t cap_nodes, cap_entries, n_edges;
};

#define BUILD_MEM   (32u << 20)
#define FIRST_SLOTS 16u

enum { ROOT, ROOT_IMPLICIT };

/* --- arrays that grow --- */

static enum err new_node(struct route_builder *b, uint32_t *out)
{
    if (b->table.n_nodes == b->cap_nodes) {
        uint32_t cap = b->cap_nodes ? b->cap_nodes * 2 : 16;
        struct route_node *nodes = realloc(b->nodes, cap * sizeof *nodes);
        if (!nodes) return ERR_NO_MEMORY;
        b->nodes = nodes;
        b->cap_nodes = cap;
    }
    *out = b->table.n_nodes++;
    b->nodes[*out] = (struct route_node){0};
    return ERR_OK;
}

static void put_edge(struct route_edge *edges, uint32_t mask, uint64_t seed, struct route_edge e)
{
    uint64_t i = route_hash(seed, e.parent, e.text);
    while (edges[i & mask].child) i++;
    edges[i & mask] = e;
}

/* At most a quarter full: nearly every step of a lookup is one probe, however many routes there are. */
static enum err grow_edges(struct route_builder *b)
{
    uint32_t slots = b->table.mask + 1;
    if (b->edges && (b->n_edges + 1) * 4 <= slots) return ERR_OK;
    slots = b->edges ? slots * 2 : FIRST_SLOTS;
    struct route_edge *edges = calloc(slots, sizeof *edges);
    if (!edges) return ERR_NO_MEMORY;
    for (uint32_t i = 0; b->edges && i <= b->table.mask; i++)
        if (b->edges[i].child) put_edge(edges, slots - 1, b->table.seed, b->edges[i]);
    free(b->edges);
    b->edges = edges;
    b->table.mask = slots - 1;
    return ERR_OK;
}

static enum err new_entry(struct route_builder *b, const struct route_entry *e, uint32_t *out)
{
    if (b->table.n_entries == b->cap_entries) {
        uint32_t cap = b->cap_entries ? b->cap_entries * 2 : 16;
        struct route_entry *entries = realloc(b->entries, cap * sizeof *entries);
        if (!entries) return ERR_NO_MEMORY;
        b->entries = entries;
        b->cap_entries = cap;
    }
    *out = b->table.n_entries++;
    b->entries[*out] = *e;
    return ERR_OK;
}

/* --- life --- */

enum err route_builder_new(struct route_builder **out)
{
    struct route_builder *b = calloc(1, sizeof *b);
    uint32_t root, implicit;
    if (!b) return ERR_NO_MEMORY;
    arena_init(&b->mem, NULL, 0, BUILD_MEM);
    b->table.seed = rand_u64();
    if (new_node(b, &root) != ERR_OK || new_node(b, &implicit) != ERR_OK || grow_edges(b) != ERR_OK) {
        route_builder_free(&b);
        return ERR_NO_MEMORY;
    }
    *out = b;
    return ERR_OK;
}

void route_builder_free(struct route_builder **b)
{
    if (!*b) return;
    arena_reset(&(*b)->mem);
    free((*b)->nodes);
    free((*b)->edges);
    free((*b)->entries);
    free(*b);
    *b = NULL;
}

/* --- adding --- */

static enum err literal_child(struct route_builder *b, uint32_t parent, str text, uint32_t *out)
{
    uint64_t i = route_hash(b->table.seed, parent, text);
    for (; b->edges[i & b->table.mask].child; i++) {
        const struct route_edge *e = &b->edges[i & b->table.mask];
        if (e->parent != parent || !str_eq(e->text, text)) continue;
        *out = e->child;
        return ERR_OK;
    }
    uint32_t child;
    enum err err = grow_edges(b);
    if (err == ERR_OK) err = new_node(b, &child);
    if (err != ERR_OK) return err;
    str copy = arena_copy(&b->mem, text);
    if (!copy.p) return ERR_NO_MEMORY;
    put_edge(b->edges, b->table.mask, b->table.seed, (struct route_edge){parent, child, copy});
    b->n_edges++;
    b->nodes[parent].edges++;
    *out = child;
    return ERR_OK;
}

static enum err param_child(struct route_builder *b, uint32_t parent, uint32_t *out)
{
    if (!b->nodes[parent].param) {
        uint32_t child;
        enum err e = new_node(b, &child);
        if (e != ERR_OK) return e;
        b->nodes[parent].param = child;
    }
    *out = b->nodes[parent].param;
    return ERR_OK;
}

static bool methods_meet(const struct route_entry *e, const struct pattern *p)
{
    struct pattern of = {.any_method = e->any_method, .methods = e->methods, .n_others = e->n_others};
    for (size_t i = 0; i < e->n_others; i++) of.others[i] = e->others[i];
    return pattern_methods_meet(&of, p);
}

/* Puts a new entry behind the others of its shape. */
static enum err link_entry(struct route_builder *b, uint32_t node, bool rest, const struct pattern *p,
                           struct route_entry *e, uint32_t *other)
{
    uint32_t others = p->n_others, last = 0, index;
    uint32_t first = rest ? b->nodes[node].rest : b->nodes[node].end;
    for (uint32_t i = first; i; i = b->entries[i - 1].next) {
        others += b->entries[i - 1].n_others;
        last = i;
        if (!methods_meet(&b->entries[i - 1], p)) continue;
        *other = i - 1;
        return ERR_CONFLICT;
    }
    if (others > ROUTE_OTHERS_MAX) return ERR_LIMIT;
    enum err err = new_entry(b, e, &index);
    if (err != ERR_OK) return err;
    if (last)
        b->entries[last - 1].next = index + 1;
    else if (rest)
        b->nodes[node].rest = index + 1;
    else
        b->nodes[node].end = index + 1;
    return ERR_OK;
}

static enum err copy_texts(struct arena *mem, const str *from, size_t n, const str **out)
{
    str *to = arena_array(mem, n ? n : 1, sizeof *to);
    if (!to) return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        to[i] = arena_copy(mem, from[i]);
        if (!to[i].p) return ERR_NO_MEMORY;
    }
    *out = to;
    return ERR_OK;
}

enum err route_add(struct route_builder *b, const struct pattern *p, uint32_t action, size_t strip, uint32_t *other)
{
    str names[CONFIG_MAX_PARAMS];
    struct route_entry entry = {.action = action,
                                .methods = p->methods,
                                .strip = (uint16_t)strip,
                                .any_method = p->any_method};
    uint32_t node = ROOT;
    bool rest = false;
    if (strip > UINT16_MAX) return ERR_LIMIT;
    for (size_t i = 0; i < p->n_segments; i++) {
        const struct segment *s = &p->segments[i];
        enum err e = ERR_OK;
        if (s->kind != SEGMENT_LITERAL) names[entry.n_params++] = s->text;
        if (s->kind == SEGMENT_LITERAL)
            e = literal_child(b, node, s->text, &node);
        else if (s->kind == SEGMENT_PARAM)
            e = param_child(b, node, &node);
        else
            rest = true;
        if (e != ERR_OK) return e;
    }
    entry.n_others = p->n_others;
    if (copy_texts(&b->mem, p->others, p->n_others, &entry.others) != ERR_OK) return ERR_NO_MEMORY;
    if (copy_texts(&b->mem, names, entry.n_params, &entry.params) != ERR_OK) return ERR_NO_MEMORY;
    return link_entry(b, node, rest, p, &entry, other);
}

enum err route_add_implicit(struct route_builder *b, str service, uint32_t action)
{
    const struct pattern any = {.any_method = true};
    struct route_entry entry = {.action = action, .any_method = true, .strip = (uint16_t)(service.n + 1)};
    uint32_t node, other;
    enum err e = literal_child(b, ROOT_IMPLICIT, service, &node);
    return e == ERR_OK ? link_entry(b, node, false, &any, &entry, &other) : e;
}

/* --- freezing --- */

static enum err freeze_edges(const struct route_builder *b, struct arena *mem, struct route_table *t)
{
    struct route_edge *edges = arena_array(mem, (size_t)t->mask + 1, sizeof *edges);
    if (!edges) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i <= t->mask; i++) {
        edges[i] = b->edges[i];
        if (!edges[i].child) continue;
        edges[i].text = arena_copy(mem, b->edges[i].text);
        if (!edges[i].text.p) return ERR_NO_MEMORY;
    }
    t->edges = edges;
    return ERR_OK;
}

static enum err freeze_entries(const struct route_builder *b, struct arena *mem, struct route_table *t)
{
    struct route_entry *entries = arena_array(mem, t->n_entries ? t->n_entries : 1, sizeof *entries);
    if (!entries) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < t->n_entries; i++) {
        struct route_entry *e = &entries[i];
        *e = b->entries[i];
        if (e->n_others && copy_texts(mem, e->others, e->n_others, &e->others) != ERR_OK) return ERR_NO_MEMORY;
        if (e->n_params && copy_texts(mem, e->params, e->n_params, &e->params) != ERR_OK) return ERR_NO_MEMORY;
        if (!e->n_others) e->others = NULL;
        if (!e->n_params) e->params = NULL;
    }
    t->entries = entries;
    return ERR_OK;
}

enum err route_build(const struct route_builder *b, struct arena *mem, struct route_table **out)
{
    struct route_table *t = arena_zalloc(mem, sizeof *t);
    struct route_node *nodes = arena_array(mem, b->table.n_nodes, sizeof *nodes);
    if (!t || !nodes) return ERR_NO_MEMORY;
    *t = b->table;
    memcpy(nodes, b->nodes, b->table.n_nodes * sizeof *nodes);
    t->nodes = nodes;
    enum err e = freeze_edges(b, mem, t);
    if (e == ERR_OK) e = freeze_entries(b, mem, t);
    if (e == ERR_OK) *out = t;
    return e;
}
