#include "base/rand.h"
#include "store/engine.h"

#include <stdio.h>
#include <stdlib.h>

/* A skip list (ordered, no rebalancing) and a growing row of changes.
 *
 * Everything that can fail in a batch is done before the first thing is changed: pass 1 judges the conditions, pass 2
 * allocates, pass 3 only moves pointers. */
#define LEVELS 20u

struct node {
    char *value;
    size_t value_n;
    uint64_t version;
    int64_t expires_s;
    uint16_t key_n;
    uint8_t levels;
    struct node *next[]; /* levels of them, then the key's bytes */
};

struct change {
    char *key;
    uint16_t key_n;
    bool removed;
    int64_t at_s;
};

struct memory {
    struct engine engine;
    struct store_position at;
    uint64_t floor;
    struct node *head[LEVELS];
    struct change *history; /* of change floor + 1 + i at [first + i] */
    size_t first, n, cap;
    size_t bytes, max_bytes;
    int64_t soonest_s; /* nothing expires before it; INT64_MAX: nothing does */
    uint64_t applied, faults;
};

static struct memory *of(struct engine *e)
{
    return CONTAINER_OF(e, struct memory, engine);
}

static str key_of(const struct node *x)
{
    return str_make((const char *)&x->next[x->levels], x->key_n);
}

static size_t node_bytes(size_t levels, size_t key_n)
{
    return sizeof(struct node) + levels * sizeof(struct node *) + key_n;
}

static bool gone(const struct node *x, int64_t now_s)
{
    return x->expires_s && x->expires_s <= now_s;
}

/* links[i]: what points at the first node of level i whose key is not before `key`. */
static void find(struct memory *m, str key, struct node **links[LEVELS])
{
    struct node **row = m->head;
    for (unsigned i = LEVELS; i-- > 0;) {
        while (row[i] && str_cmp(key_of(row[i]), key) < 0) row = row[i]->next;
        links[i] = &row[i];
    }
}

static struct node *lookup(struct memory *m, str key)
{
    struct node **links[LEVELS];
    find(m, key, links);
    struct node *x = *links[0];
    return x && str_eq(key_of(x), key) ? x : NULL;
}

static unsigned draw_levels(void)
{
    unsigned levels = 1 + (unsigned)__builtin_ctzll(rand_u64() | UINT64_C(1) << 63) / 2;
    return levels < LEVELS ? levels : LEVELS;
}

static void node_free(struct memory *m, struct node *x)
{
    if (!x) return;
    m->bytes -= node_bytes(x->levels, x->key_n) + x->value_n;
    free(x->value);
    free(x);
}

static struct node *node_new(struct memory *m, const struct store_op *op)
{
    unsigned levels = draw_levels();
    size_t n = node_bytes(levels, op->key.n);
    if (m->bytes + n + op->value.n > m->max_bytes) return NULL;
    struct node *x = malloc(n);
    if (!x) return NULL;
    *x = (struct node){.key_n = (uint16_t)op->key.n, .levels = (uint8_t)levels, .expires_s = op->expires_s};
    memcpy((char *)&x->next[levels], op->key.p, op->key.n);
    if (op->value.n) {
        x->value = malloc(op->value.n);
        if (!x->value) {
            free(x);
            return NULL;
        }
        memcpy(x->value, op->value.p, op->value.n);
        x->value_n = op->value.n;
    }
    m->bytes += n + x->value_n;
    return x;
}

/* --- history --- */

static void change_free(struct memory *m, struct change *c)
{
    m->bytes -= sizeof *c + c->key_n;
    free(c->key);
}

/* Room for n changes behind the last. */
static bool history_room(struct memory *m, size_t n)
{
    if (m->first && m->first + m->n + n > m->cap) {
        memmove(m->history, m->history + m->first, m->n * sizeof *m->history);
        m->first = 0;
    }
    if (m->first + m->n + n <= m->cap) return true;
    size_t cap = m->cap ? m->cap : 64;
    while (cap < m->n + n) cap *= 2;
    struct change *history = realloc(m->history, cap * sizeof *history);
    if (!history) return false;
    m->history = history;
    m->cap = cap;
    return true;
}

static char *copy_key(struct memory *m, str key)
{
    if (m->bytes + sizeof(struct change) + key.n > m->max_bytes) return NULL;
    char *p = malloc(key.n);
    if (!p) return NULL;
    memcpy(p, key.p, key.n);
    m->bytes += sizeof(struct change) + key.n;
    return p;
}

/* Room and copy were made before. */
static uint64_t remember(struct memory *m, char *key, size_t key_n, bool removed, int64_t now_s)
{
    m->history[m->first + m->n++] = (struct change){key, (uint16_t)key_n, removed, now_s};
    return ++m->at.number;
}

/* --- batches --- */

static enum err judge(struct memory *m, struct engine_batch *b, int64_t now_s)
{
    for (uint32_t i = 0; i < b->n_ops; i++) {
        const struct store_op *op = &b->ops[i];
        if (op->condition == STORE_ANY) continue;
        const struct node *x = lookup(m, op->key);
        uint64_t version = x && !gone(x, now_s) ? x->version : 0;
        bool holds = op->condition == STORE_ABSENT    ? version == 0
                     : op->condition == STORE_PRESENT ? version != 0
                                                      : version == op->version;
        if (!holds) {
            b->failed = i;
            return ERR_CONFLICT;
        }
    }
    return ERR_OK;
}

/* What an op will need. */
struct ready {
    struct node *node;
    char *key;
};

static void give_up(struct memory *m, const struct engine_batch *b, struct ready *ready, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        node_free(m, ready[i].node);
        if (!ready[i].key) continue;
        m->bytes -= sizeof(struct change) + b->ops[i].key.n;
        free(ready[i].key);
    }
    free(ready);
}

static enum err prepare(struct memory *m, const struct engine_batch *b, struct ready **out)
{
    struct ready *ready = calloc(b->n_ops, sizeof *ready);
    bool ok = ready && history_room(m, b->n_ops);
    for (uint32_t i = 0; ok && i < b->n_ops; i++) {
        const struct store_op *op = &b->ops[i];
        if (op->verb == STORE_CHECK) continue;
        ready[i].key = copy_key(m, op->key);
        if (ready[i].key && op->verb == STORE_PUT) ready[i].node = node_new(m, op);
        ok = ready[i].key && (op->verb == STORE_DELETE || ready[i].node);
    }
    if (ok) {
        *out = ready;
        return ERR_OK;
    }
    m->faults++;
    if (ready) give_up(m, b, ready, b->n_ops);
    return ERR_NO_MEMORY;
}

static void put(struct memory *m, struct ready *r, size_t key_n, int64_t now_s)
{
    struct node *x = r->node, **links[LEVELS];
    r->node = NULL;
    find(m, key_of(x), links);
    struct node *old = *links[0];
    uint64_t number = remember(m, r->key, key_n, false, now_s);
    r->key = NULL;
    if (x->expires_s && x->expires_s < m->soonest_s) m->soonest_s = x->expires_s;
    x->version = number;
    if (old && str_eq(key_of(old), key_of(x))) {
        for (unsigned i = 0; i < old->levels; i++) *links[i] = old->next[i];
        node_free(m, old);
        find(m, key_of(x), links);
    }
    for (unsigned i = 0; i < x->levels; i++) {
        x->next[i] = *links[i];
        *links[i] = x;
    }
}

static void unlink_node(struct memory *m, struct node *x)
{
    struct node **links[LEVELS];
    find(m, key_of(x), links);
    for (unsigned i = 0; i < x->levels; i++) *links[i] = x->next[i];
    node_free(m, x);
}

static void perform(struct memory *m, struct engine_batch *b, struct ready *ready, int64_t now_s)
{
    for (uint32_t i = 0; i < b->n_ops; i++) {
        const struct store_op *op = &b->ops[i];
        if (op->verb == STORE_PUT) {
            put(m, &ready[i], op->key.n, now_s);
        } else if (op->verb == STORE_DELETE) {
            struct node *x = lookup(m, op->key);
            if (!x || gone(x, now_s)) continue;
            remember(m, ready[i].key, op->key.n, true, now_s);
            ready[i].key = NULL;
            unlink_node(m, x);
        }
    }
    give_up(m, b, ready, b->n_ops);
    b->number = m->at.number;
}

static enum err memory_apply(struct engine *e, struct engine_batch *first, int64_t now_s)
{
    struct memory *m = of(e);
    for (struct engine_batch *b = first; b; b = b->next) {
        struct ready *ready = NULL;
        b->err = judge(m, b, now_s);
        if (b->err == ERR_OK) b->err = prepare(m, b, &ready);
        if (b->err == ERR_OK) perform(m, b, ready, now_s);
    }
    m->applied++;
    return ERR_OK;
}

/* --- reading --- */

static struct store_entry entry_of(const struct node *x)
{
    return (struct store_entry){key_of(x), str_make(x->value, x->value_n), x->version, x->expires_s};
}

static enum err memory_get(struct engine *e, str key, int64_t now_s, struct store_entry *out)
{
    const struct node *x = lookup(of(e), key);
    *out = x && !gone(x, now_s) ? entry_of(x) : (struct store_entry){0};
    return ERR_OK;
}

/* The last node before the end of the range (`to` empty: of all). */
static struct node *last_before(struct memory *m, str to)
{
    struct node *last = NULL, **row = m->head;
    for (unsigned i = LEVELS; i-- > 0;)
        while (row[i] && (!to.n || str_cmp(key_of(row[i]), to) < 0)) {
            last = row[i];
            row = last->next;
        }
    return last;
}

static enum err memory_range(struct engine *e, str from, str to, bool reverse, int64_t now_s, engine_entry_fn *fn,
                             void *ctx)
{
    struct memory *m = of(e);
    struct node **links[LEVELS];
    find(m, from, links);
    struct node *x = reverse ? last_before(m, to) : *links[0];
    for (;;) {
        if (!x || str_cmp(key_of(x), from) < 0 || (!reverse && to.n && str_cmp(key_of(x), to) >= 0)) return ERR_OK;
        struct store_entry entry = entry_of(x);
        if (!gone(x, now_s) && !fn(ctx, &entry)) return ERR_OK;
        x = reverse ? last_before(m, key_of(x)) : x->next[0];
    }
}

static enum err memory_changes(struct engine *e, uint64_t after, engine_change_fn *fn, void *ctx)
{
    struct memory *m = of(e);
    if (after < m->floor || after > m->at.number) return ERR_NOT_FOUND;
    for (uint64_t n = after + 1; n <= m->at.number; n++) {
        const struct change *c = &m->history[m->first + (size_t)(n - m->floor - 1)];
        struct engine_change change = {n, str_make(c->key, c->key_n), c->removed};
        if (!fn(ctx, &change)) break;
    }
    return ERR_OK;
}

/* --- upkeep --- */

static enum err memory_compact(struct engine *e, const struct engine_history *h, bool *more)
{
    struct memory *m = of(e);
    uint32_t done = 0;
    /* the newest stays, as on disk */
    while (done < h->most && m->n > 1 && (m->n > h->keep || m->history[m->first].at_s <= h->after_s)) {
        change_free(m, &m->history[m->first]);
        m->first++;
        m->n--;
        m->floor++;
        done++;
    }
    *more = done == h->most;
    return ERR_OK;
}

static enum err memory_sweep(struct engine *e, int64_t now_s, uint32_t most, uint32_t *n)
{
    struct memory *m = of(e);
    uint32_t swept = 0;
    int64_t soonest_s = INT64_MAX;
    if (m->soonest_s > now_s) {
        *n = 0;
        return ERR_OK;
    }
    for (struct node *x = m->head[0], *next; x; x = next) {
        next = x->next[0];
        if (x->expires_s && (!gone(x, now_s) || swept == most)) {
            if (x->expires_s < soonest_s) soonest_s = x->expires_s;
        } else if (x->expires_s) {
            char *key = history_room(m, 1) ? malloc(x->key_n) : NULL;
            if (!key) return ERR_NO_MEMORY;
            memcpy(key, key_of(x).p, x->key_n);
            m->bytes += sizeof(struct change) + x->key_n; /* beyond the bound: the node goes */
            remember(m, key, x->key_n, true, now_s);
            unlink_node(m, x);
            swept++;
        }
    }
    m->soonest_s = soonest_s;
    *n = swept;
    return ERR_OK;
}

static void memory_tidy(struct engine *e)
{
    (void)e;
}

/* Whoever held a lease of a store that forgets was in a process that is gone. */
static enum err memory_lease_put(struct engine *e, str name, uint32_t lease_ms)
{
    (void)e;
    (void)name;
    (void)lease_ms;
    return ERR_OK;
}

static enum err memory_leases(struct engine *e, void (*fn)(void *ctx, str name, uint32_t lease_ms), void *ctx)
{
    (void)e;
    (void)fn;
    (void)ctx;
    return ERR_OK;
}

static struct store_position memory_at(struct engine *e)
{
    return of(e)->at;
}

static uint64_t memory_floor(struct engine *e)
{
    return of(e)->floor;
}

static void memory_status(struct engine *e, struct engine_status *out)
{
    const struct memory *m = of(e);
    *out = (struct engine_status){m->at, m->floor, m->bytes, m->applied, m->faults, ""};
    if (m->faults) snprintf(out->why, sizeof out->why, "memory was refused");
}

static void memory_close(struct engine *e)
{
    struct memory *m = of(e);
    for (struct node *x = m->head[0], *next; x; x = next) {
        next = x->next[0];
        node_free(m, x);
    }
    for (size_t i = 0; i < m->n; i++) change_free(m, &m->history[m->first + i]);
    free(m->history);
    free(m);
}

static const struct engine_ops memory_ops = {
    .apply = memory_apply,
    .get = memory_get,
    .range = memory_range,
    .changes = memory_changes,
    .compact = memory_compact,
    .sweep = memory_sweep,
    .tidy = memory_tidy,
    .lease_put = memory_lease_put,
    .leases = memory_leases,
    .at = memory_at,
    .floor = memory_floor,
    .status = memory_status,
    .close = memory_close,
};

enum err engine_memory_open(size_t max_bytes, struct engine **out)
{
    struct memory *m = calloc(1, sizeof *m);
    if (!m) return ERR_NO_MEMORY;
    m->engine.ops = &memory_ops;
    m->at.epoch = engine_epoch_draw();
    m->max_bytes = max_bytes;
    m->soonest_s = INT64_MAX;
    *out = &m->engine;
    return ERR_OK;
}
