#include "config/route_build.h"

/* 64 × 64 → 128 bits, folded: one multiplication stirs eight bytes. */
static inline uint64_t stir(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Who sends requests cannot add edges, only ask for them, and the seed is random: a fast hash is enough here. */
uint64_t route_hash(uint64_t seed, uint32_t parent, str text)
{
    uint64_t h = seed ^ (parent * UINT64_C(0x9e3779b97f4a7c15)), word;
    size_t i = 0;
    for (; i + 8 <= text.n; i += 8) {
        memcpy(&word, text.p + i, 8);
        h = stir(h ^ word, UINT64_C(0xa0761d6478bd642f));
    }
    word = (uint64_t)text.n << 56;
    for (unsigned shift = 0; i < text.n; i++, shift += 8) word ^= (uint64_t)(unsigned char)text.p[i] << shift;
    return stir(h ^ word, UINT64_C(0xe7037ed1a0b428db));
}

static uint32_t child_of(const struct route_table *t, uint32_t parent, str text)
{
    for (uint64_t i = route_hash(t->seed, parent, text);; i++) {
        const struct route_edge *e = &t->edges[i & t->mask];
        if (!e->child) return 0;
        if (e->parent == parent && str_eq(e->text, text)) return e->child;
    }
}

/* What a search has seen and chosen. */
struct search {
    const struct route_table *table;
    enum method method;
    str method_text, path;
    struct route *out;
    str values[ROUTE_PARAMS_MAX]; /* of the segments in braces on the way */
};

static bool method_fits(const struct search *s, const struct route_entry *e)
{
    if (s->method == METHOD_CONNECT || s->method == METHOD_TRACE) return false;
    if (e->any_method) return true;
    if (s->method != METHOD_OTHER) return e->methods >> s->method & 1;
    for (size_t i = 0; i < e->n_others; i++)
        if (str_eq(e->others[i], s->method_text)) return true;
    return false;
}

static void choose(const struct search *s, const struct route_entry *e)
{
    struct route *out = s->out;
    out->match = ROUTE_FOUND;
    out->action = e->action;
    out->allow = 0;
    out->n_params = e->n_params;
    for (size_t i = 0; i < e->n_params; i++) out->params[i] = (struct route_param){e->params[i], s->values[i]};
    out->forward = e->strip < s->path.n ? str_from(s->path, e->strip) : STR("/");
}

/* Takes the first of the entries that knows the method; notes what the others would allow. */
static bool pick(const struct search *s, uint32_t first)
{
    for (uint32_t i = first; i; i = s->table->entries[i - 1].next) {
        const struct route_entry *e = &s->table->entries[i - 1];
        if (method_fits(s, e)) {
            choose(s, e);
            return true;
        }
        if (s->out->match == ROUTE_NONE) s->out->action = e->action;
        s->out->match = ROUTE_METHOD;
        s->out->allow |= e->methods;
    }
    return false;
}

/* A node on the way with the segment that leads on from it. */
struct step {
    uint32_t node;
    uint32_t at, end; /* the segment is path[at..end); at > path.n: the path has ended */
    uint8_t stage;
    uint8_t n_values;
};

enum { TRY_LITERAL, TRY_PARAM, TRY_REST, DONE };

static struct step step_to(const struct search *s, uint32_t node, uint32_t at, uint8_t n_values)
{
    uint32_t end = at;
    if (at <= s->path.n) end = at + (uint32_t)str_find(str_from(s->path, at), '/');
    return (struct step){node, at, end, TRY_LITERAL, n_values};
}

/* Depth first in the order of precedence; the patterns' depth bounds the stack, the number of nodes the steps. */
static bool search_explicit(struct search *s)
{
    struct step stack[CONFIG_MAX_SEGMENTS + 1];
    size_t depth = 0;
    stack[depth++] = step_to(s, 0, 1, 0);
    while (depth) {
        struct step *f = &stack[depth - 1];
        const struct route_node *node = &s->table->nodes[f->node];
        bool ended = f->at > s->path.n;
        str segment = ended ? STR_NONE : str_make(s->path.p + f->at, f->end - f->at);
        uint32_t next = 0;
        uint8_t n_values = f->n_values;
        switch (f->stage++) {
        case TRY_LITERAL:
            if (ended && pick(s, node->end)) return true;
            if (!ended && node->edges) next = child_of(s->table, f->node, segment);
            break;
        case TRY_PARAM:
            if (ended || segment.n == 0 || !node->param) break;
            s->values[n_values++] = segment;
            next = node->param;
            break;
        case TRY_REST:
            if (!node->rest) break;
            s->values[n_values] = ended ? STR("") : str_from(s->path, f->at);
            if (pick(s, node->rest)) return true;
            break;
        default: depth--; break;
        }
        if (next) stack[depth++] = step_to(s, next, f->end + 1, n_values);
    }
    return false;
}

void route_find(const struct route_table *table, enum method method, str method_text, str path, struct route *out)
{
    out->match = ROUTE_NONE;
    out->action = 0;
    out->allow = 0;
    out->n_params = 0;
    out->forward = path;
    if (path.n == 0 || path.p[0] != '/' || path.n > UINT32_MAX / 2) return;
    struct search s = {.table = table, .method = method, .method_text = method_text, .path = path, .out = out};
    if (search_explicit(&s) || out->match != ROUTE_NONE) return;
    str service = str_from(path, 1);
    uint32_t node = child_of(table, 1, str_first(service, str_find(service, '/')));
    if (node) pick(&s, table->nodes[node].end);
}
