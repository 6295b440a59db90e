#include "config/fed.h"

#include "base/map.h"

#include <stdlib.h>

#define FIRST_CAP 64

/* Memory that readers may still see, waiting for them to go on. First member of all that is shared. */
struct garbage {
    struct garbage *next;
    uint64_t number; /* of the record behind which nobody sees it */
    size_t size;
};

struct entry {
    struct garbage garbage;
    uint64_t hash;
    struct fed_key key;
    char text[];
};

struct keys {
    struct garbage garbage;
    uint32_t cap, used, live; /* used: the gone ones too, whose places lead on */
    _Atomic(struct entry *) slots[];
};

struct mark {
    _Atomic uint64_t mark; /* 0: free, and the end of every search */
    _Atomic int64_t before_s;
};

struct marks {
    struct garbage garbage;
    uint32_t cap, used, live;
    struct mark slots[];
};

struct fed {
    _Atomic(struct keys *) keys;
    _Atomic(struct marks *) marks;
    _Atomic uint64_t until_ns;
    /* the writer's */
    struct keys *new_keys; /* being filled; NULL: the ones above are written */
    struct marks *new_marks;
    struct garbage *fresh, *sealed, **sealed_end;
    size_t bytes;
};

/* Stands where an entry was: a search goes on behind it. */
static struct entry gone;

uint64_t fed_mark(enum fed_kind kind, str issuer, str value)
{
    /* of hashes, so that no text has to be joined: as hard to steer as the hash itself */
    const uint64_t parts[3] = {(uint64_t)kind, map_hash(issuer), map_hash(value)};
    return map_hash(str_make((const char *)parts, sizeof parts));
}

/* --- memory --- */

static void *make(struct fed *f, size_t size)
{
    struct garbage *g = calloc(1, size);
    if (!g) return NULL;
    g->size = size;
    f->bytes += size;
    return g;
}

static void drop(struct fed *f, struct garbage *g)
{
    f->bytes -= g->size;
    free(g);
}

static void retire(struct fed *f, struct garbage *g)
{
    g->next = f->fresh;
    f->fresh = g;
}

void fed_seal(struct fed *f, uint64_t number)
{
    while (f->fresh) {
        struct garbage *g = f->fresh;
        f->fresh = g->next;
        g->next = NULL;
        g->number = number;
        *f->sealed_end = g;
        f->sealed_end = &g->next;
    }
}

void fed_reclaim(struct fed *f, uint64_t number)
{
    while (f->sealed && f->sealed->number <= number) {
        struct garbage *g = f->sealed;
        f->sealed = g->next;
        if (!f->sealed) f->sealed_end = &f->sealed;
        drop(f, g);
    }
}

/* --- places in a table: any capacity, not only powers of two --- */

static uint32_t place(uint64_t hash, uint32_t cap)
{
    return (uint32_t)(((hash >> 32) * cap) >> 32);
}

static uint32_t next_place(uint32_t at, uint32_t cap)
{
    return at + 1 == cap ? 0 : at + 1;
}

static bool full(uint32_t used, uint32_t cap)
{
    return used + 1 > cap - cap / 8;
}

/* Room for one more than are there, and half as many again. */
static uint32_t grown(uint32_t live)
{
    uint32_t cap = live + live / 2 + live / 4;
    return cap < FIRST_CAP ? FIRST_CAP : cap;
}

/* --- API keys --- */

static struct keys *keys_make(struct fed *f, uint32_t cap)
{
    struct keys *k = make(f, sizeof *k + (size_t)cap * sizeof k->slots[0]);
    if (k) k->cap = cap;
    return k;
}

static struct keys *keys_written(struct fed *f)
{
    return f->new_keys ? f->new_keys : atomic_load_explicit(&f->keys, memory_order_relaxed);
}

/* The place of that key, or the free one where its search ends. */
static uint32_t key_place(const struct keys *k, str id, uint64_t hash, struct entry **found)
{
    for (uint32_t at = place(hash, k->cap);; at = next_place(at, k->cap)) {
        struct entry *e = atomic_load_explicit(&k->slots[at], memory_order_acquire);
        if (!e || (e != &gone && e->hash == hash && str_eq(e->key.id, id))) {
            *found = e;
            return at;
        }
    }
}

const struct fed_key *fed_key_find(const struct fed *f, str id)
{
    struct entry *e;
    const struct keys *k = atomic_load_explicit(&f->keys, memory_order_acquire);
    key_place(k, id, map_hash(id), &e);
    return e ? &e->key : NULL;
}

static void keys_publish(struct fed *f, struct keys *old, struct keys *k)
{
    if (f->new_keys) {
        f->new_keys = k;
        drop(f, &old->garbage);
    } else {
        atomic_store_explicit(&f->keys, k, memory_order_release);
        retire(f, &old->garbage);
    }
}

static enum err keys_room(struct fed *f)
{
    struct keys *old = keys_written(f), *k;
    if (!full(old->used, old->cap)) return ERR_OK;
    if (!(k = keys_make(f, grown(old->live + 1)))) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < old->cap; i++) {
        struct entry *e = atomic_load_explicit(&old->slots[i], memory_order_relaxed), *none;
        if (!e || e == &gone) continue;
        atomic_store_explicit(&k->slots[key_place(k, e->key.id, e->hash, &none)], e, memory_order_relaxed);
        k->used++;
    }
    k->live = k->used;
    keys_publish(f, old, k);
    return ERR_OK;
}

static struct entry *entry_make(struct fed *f, str id, const struct fed_key *key)
{
    struct entry *e = make(f, sizeof *e + id.n + key->product.n);
    if (!e) return NULL;
    e->hash = map_hash(id);
    memcpy(e->text, id.p, id.n);
    if (key->product.n) memcpy(e->text + id.n, key->product.p, key->product.n);
    e->key.id = str_make(e->text, id.n);
    e->key.product = str_make(e->text + id.n, key->product.n);
    memcpy(e->key.sha256, key->sha256, sizeof e->key.sha256);
    e->key.expires_s = key->expires_s;
    e->key.disabled = key->disabled;
    return e;
}

/* Nobody reads what is being filled, so what leaves it needs no waiting. */
static void entry_out(struct fed *f, struct entry *e)
{
    if (f->new_keys)
        drop(f, &e->garbage);
    else
        retire(f, &e->garbage);
}

enum err fed_key_put(struct fed *f, str id, const struct fed_key *key)
{
    if (keys_written(f)->live >= FED_KEYS_MAX) return ERR_LIMIT;
    enum err e = keys_room(f);
    struct entry *now = e == ERR_OK ? entry_make(f, id, key) : NULL, *old;
    if (!now) return ERR_NO_MEMORY;
    struct keys *k = keys_written(f);
    uint32_t at = key_place(k, id, now->hash, &old);
    atomic_store_explicit(&k->slots[at], now, memory_order_release);
    if (old) {
        entry_out(f, old);
    } else {
        k->used++;
        k->live++;
    }
    return ERR_OK;
}

void fed_key_remove(struct fed *f, str id)
{
    struct keys *k = keys_written(f);
    struct entry *old;
    uint32_t at = key_place(k, id, map_hash(id), &old);
    if (!old) return;
    atomic_store_explicit(&k->slots[at], &gone, memory_order_release);
    k->live--;
    entry_out(f, old);
}

static void keys_free(struct fed *f, struct keys *k, bool at_once)
{
    for (uint32_t i = 0; k && i < k->cap; i++) {
        struct entry *e = atomic_load_explicit(&k->slots[i], memory_order_relaxed);
        if (!e || e == &gone) continue;
        if (at_once)
            drop(f, &e->garbage);
        else
            retire(f, &e->garbage);
    }
    if (k && at_once)
        drop(f, &k->garbage);
    else if (k)
        retire(f, &k->garbage);
}

/* --- revocations --- */

static struct marks *marks_make(struct fed *f, uint32_t cap)
{
    struct marks *m = make(f, sizeof *m + (size_t)cap * sizeof m->slots[0]);
    if (m) m->cap = cap;
    return m;
}

static struct marks *marks_written(struct fed *f)
{
    return f->new_marks ? f->new_marks : atomic_load_explicit(&f->marks, memory_order_relaxed);
}

static uint32_t mark_place(const struct marks *m, uint64_t mark, bool *found)
{
    for (uint32_t at = place(mark, m->cap);; at = next_place(at, m->cap)) {
        uint64_t there = atomic_load_explicit(&m->slots[at].mark, memory_order_acquire);
        if (there && there != mark) continue;
        *found = there != 0;
        return at;
    }
}

int64_t fed_before(const struct fed *f, uint64_t mark)
{
    bool found;
    const struct marks *m = atomic_load_explicit(&f->marks, memory_order_acquire);
    uint32_t at = mark_place(m, mark, &found);
    return found ? atomic_load_explicit(&m->slots[at].before_s, memory_order_relaxed) : FED_NOT_MARKED;
}

static void mark_write(struct marks *m, uint32_t at, uint64_t mark, int64_t before_s)
{
    /* the time first: who sees the mark sees it too */
    atomic_store_explicit(&m->slots[at].before_s, before_s, memory_order_relaxed);
    atomic_store_explicit(&m->slots[at].mark, mark, memory_order_release);
}

static enum err marks_room(struct fed *f)
{
    struct marks *old = marks_written(f), *m;
    if (!full(old->used, old->cap)) return ERR_OK;
    if (!(m = marks_make(f, grown(old->live + 1)))) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < old->cap; i++) {
        uint64_t mark = atomic_load_explicit(&old->slots[i].mark, memory_order_relaxed);
        int64_t before_s = atomic_load_explicit(&old->slots[i].before_s, memory_order_relaxed);
        bool found;
        if (!mark || before_s == FED_NOT_MARKED) continue;
        mark_write(m, mark_place(m, mark, &found), mark, before_s);
        m->used++;
    }
    m->live = m->used;
    if (f->new_marks) {
        f->new_marks = m;
        drop(f, &old->garbage);
    } else {
        atomic_store_explicit(&f->marks, m, memory_order_release);
        retire(f, &old->garbage);
    }
    return ERR_OK;
}

enum err fed_mark_put(struct fed *f, uint64_t mark, int64_t before_s)
{
    bool found;
    if (before_s == FED_NOT_MARKED) before_s++;
    if (marks_written(f)->live >= FED_MARKS_MAX) return ERR_LIMIT;
    if (marks_room(f) != ERR_OK) return ERR_NO_MEMORY;
    struct marks *m = marks_written(f);
    uint32_t at = mark_place(m, mark, &found);
    if (!found || atomic_load_explicit(&m->slots[at].before_s, memory_order_relaxed) == FED_NOT_MARKED) m->live++;
    m->used += !found;
    mark_write(m, at, mark, before_s);
    return ERR_OK;
}

/* The place stays taken, so that searches for others lead on; it is dropped when the table grows. */
void fed_mark_remove(struct fed *f, uint64_t mark)
{
    bool found;
    struct marks *m = marks_written(f);
    uint32_t at = mark_place(m, mark, &found);
    if (!found || atomic_load_explicit(&m->slots[at].before_s, memory_order_relaxed) == FED_NOT_MARKED) return;
    atomic_store_explicit(&m->slots[at].before_s, FED_NOT_MARKED, memory_order_relaxed);
    m->live--;
}

/* --- the lease --- */

uint64_t fed_until_ns(const struct fed *f)
{
    return atomic_load_explicit(&f->until_ns, memory_order_acquire);
}

void fed_until_set(struct fed *f, uint64_t until_ns)
{
    atomic_store_explicit(&f->until_ns, until_ns, memory_order_release);
}

/* --- everything anew --- */

static void fill_drop(struct fed *f)
{
    keys_free(f, f->new_keys, true);
    if (f->new_marks) drop(f, &f->new_marks->garbage);
    f->new_keys = NULL;
    f->new_marks = NULL;
}

enum err fed_fill_begin(struct fed *f)
{
    fill_drop(f);
    f->new_keys = keys_make(f, FIRST_CAP);
    f->new_marks = marks_make(f, FIRST_CAP);
    if (f->new_keys && f->new_marks) return ERR_OK;
    fill_drop(f);
    return ERR_NO_MEMORY;
}

void fed_fill_end(struct fed *f)
{
    if (!f->new_keys) return;
    struct keys *keys = atomic_exchange_explicit(&f->keys, f->new_keys, memory_order_acq_rel);
    struct marks *marks = atomic_exchange_explicit(&f->marks, f->new_marks, memory_order_acq_rel);
    f->new_keys = NULL;
    f->new_marks = NULL;
    keys_free(f, keys, false);
    retire(f, &marks->garbage);
}

/* --- life --- */

enum err fed_new(struct fed **out)
{
    struct fed *f = calloc(1, sizeof *f);
    if (!f) return ERR_NO_MEMORY;
    f->sealed_end = &f->sealed;
    struct keys *keys = keys_make(f, FIRST_CAP);
    struct marks *marks = marks_make(f, FIRST_CAP);
    atomic_init(&f->keys, keys);
    atomic_init(&f->marks, marks);
    if (!keys || !marks) {
        free(keys);
        free(marks);
        free(f);
        return ERR_NO_MEMORY;
    }
    *out = f;
    return ERR_OK;
}

void fed_free(struct fed **out)
{
    struct fed *f = *out;
    if (!f) return;
    fill_drop(f);
    keys_free(f, atomic_load(&f->keys), true);
    drop(f, &atomic_load(&f->marks)->garbage);
    fed_seal(f, 0);
    fed_reclaim(f, UINT64_MAX);
    free(f);
    *out = NULL;
}

size_t fed_keys(const struct fed *f)
{
    return atomic_load(&f->keys)->live;
}

size_t fed_marks(const struct fed *f)
{
    return atomic_load(&f->marks)->live;
}

size_t fed_bytes(const struct fed *f)
{
    return f->bytes;
}
