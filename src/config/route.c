#include "config/route_build.h"

#include <endian.h>

/* 64 × 64 → 128 bits, folded: one multiplication stirs eight bytes. */
static inline uint64_t stir(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#define STIR_WORD UINT64_C(0xa0761d6478bd642f)
#define STIR_END  UINT64_C(0xe7037ed1a0b428db)
#define STIR_NODE UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t with_parent(uint64_t h, size_t n, uint32_t parent)
{
    return stir(h ^ n ^ parent * STIR_NODE, STIR_END);
}

/* Eight bytes as a little-endian number, so that the first byte is the lowest wherever we run. */
static inline uint64_t load8(const char *p)
{
    uint64_t w;
    memcpy(&w, p, 8);
    return le64toh(w);
}

static uint64_t load_few(const char *p, size_t n)
{
    uint64_t w = 0;
    for (size_t i = 0; i < n; i++) w |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return w;
}

/* Who sends requests cannot add edges, only ask for them, and the seed is random: a fast hash is enough here. */
uint64_t route_hash(uint64_t seed, uint32_t parent, str text)
{
    uint64_t h = seed;
    size_t i = 0;
    for (; i + 8 <= text.n; i += 8) h = stir(h ^ load8(text.p + i), STIR_WORD);
    if (i < text.n) h = stir(h ^ load_few(text.p + i, text.n - i), STIR_WORD);
    return with_parent(h, text.n, parent);
}

/* The segment that begins at path[at]: its length, and route_hash before its last step. */
struct segment_scan {
    size_t n;
    uint64_t hash;
};

/* In one pass, eight bytes at a time. */
static inline struct segment_scan scan_segment(str path, size_t at, uint64_t seed)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), slashes = ones * '/';
    struct segment_scan s = {.hash = seed};
    for (;;) {
        size_t left = path.n - at - s.n;
        uint64_t word;
        if (LIKELY(left >= 8))
            word = load8(path.p + at + s.n);
        else if (left == 0)
            return s;
        else if (LIKELY(path.n >= 8))
            word = load8(path.p + path.n - 8) >> (8 * (8 - left));
        else
            word = load_few(path.p + at + s.n, left);
        uint64_t x = word ^ slashes, hit = (x - ones) & ~x & (ones << 7);
        size_t before = hit ? (size_t)__builtin_ctzll(hit) / 8 : 8;
        if (before > left) before = left;
        if (before == 0) return s;
        if (before < 8) word &= (UINT64_C(1) << (8 * before)) - 1;
        s.hash = stir(s.hash ^ word, STIR_WORD);
        s.n += before;
        if (before < 8) return s;
    }
}

static inline uint32_t child_of(const struct route_table *t, uint32_t parent, str text, uint64_t hash)
{
    for (uint64_t i = with_parent(hash, text.n, parent);; i++) {
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

/* Where another way was left untried: from this node and place, at this stage. */
struct retry {
    uint32_t node, at;
    uint8_t stage, n_values;
};

enum { TRY_LITERAL, TRY_PARAM, TRY_REST };

/* What a node tries at the end of the path: the patterns that end here, then those with an empty {rest*}. */
static bool pick_ended(struct search *s, const struct route_node *node, uint8_t n_values)
{
    if (node->end && pick(s, node->end)) return true;
    if (!node->rest) return false;
    s->values[n_values] = STR("");
    return pick(s, node->rest);
}

/* Depth first in the order of precedence. The patterns' depth bounds the stack, the number of nodes the steps; with
 * patterns as people write them there is nothing to go back to. */
static bool search_explicit(struct search *s)
{
    struct retry stack[CONFIG_MAX_SEGMENTS + 1], here = {.at = 1};
    size_t depth = 0;
    for (;;) {
        const struct route_node *node = &s->table->nodes[here.node];
        uint32_t next = 0;
        if (here.at > s->path.n) {
            if (pick_ended(s, node, here.n_values)) return true;
        } else {
            struct segment_scan seg = scan_segment(s->path, here.at, s->table->seed);
            str text = str_make(s->path.p + here.at, seg.n);
            struct retry later = here;
            if (here.stage == TRY_LITERAL && node->edges) next = child_of(s->table, here.node, text, seg.hash);
            if (next) {
                later.stage = TRY_PARAM;
            } else if (here.stage <= TRY_PARAM && node->param && seg.n) {
                s->values[here.n_values++] = text;
                next = node->param;
                later.stage = TRY_REST;
            } else if (node->rest) {
                s->values[here.n_values] = str_from(s->path, here.at);
                if (pick(s, node->rest)) return true;
            }
            if (next) {
                if (node->rest || (later.stage == TRY_PARAM && node->param)) stack[depth++] = later;
                here = (struct retry){next, here.at + (uint32_t)seg.n + 1, TRY_LITERAL, here.n_values};
                continue;
            }
        }
        if (depth == 0) return false;
        here = stack[--depth];
    }
}

void route_find(const struct route_table *table, enum method method, str method_text, str path, struct route *out)
{
    out->match = ROUTE_NONE;
    out->action = 0;
    out->allow = 0;
    out->n_params = 0;
    out->forward = path;
    if (path.n == 0 || path.p[0] != '/' || path.n > UINT32_MAX / 2) return;
    struct search s;
    s.table = table;
    s.method = method;
    s.method_text = method_text;
    s.path = path;
    s.out = out;
    if (search_explicit(&s) || out->match != ROUTE_NONE) return;
    struct segment_scan seg = scan_segment(path, 1, table->seed);
    uint32_t node = child_of(table, 1, str_make(path.p + 1, seg.n), seg.hash);
    if (node) pick(&s, table->nodes[node].end);
}
