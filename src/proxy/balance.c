/* Least request: two are drawn by weight, and the one with less under way on this worker, for its weight, is taken
 * (Mitzenmacher, The Power of Two Choices). What other workers have under way is not looked at: each sees a fair sample
 * of the traffic, and a shared count would cost every request two cache lines that bounce.
 *
 * Round robin: who is due first, by a heap; each is due again after 1/weight, beginning in the middle of its first
 * turn, so that a heavy one's turns are spread between those of light ones.
 *
 * Hash: a Maglev table (Eisenbud et al., 2016, §3.4) of all members of a level, filled in the order of their names, so
 * that neither the order in the file nor who serves changes it. A key whose instance does not serve looks at other
 * places of the same table, which its own hash names: nobody else's instance changes.
 *
 * Levels: what serves of a level carries 1.4 times its part of the whole before others are needed, as Envoy has it. */
#include "proxy/balance.h"

#include <stdlib.h>

#define WEIGHT_UNIT     100u /* of a member that is not in its slow start */
#define SLOW_START_MIN  10u  /* percent it begins with */
#define SLOW_START_TICK 20u  /* its weight is looked at so many times, */
#define SLOW_START_MS   50u  /* but not more often than that */
#define OVERPROVISION   140u /* percent */
#define STRIDE          (UINT64_C(1) << 26)
#define SHARE_ALL       UINT32_MAX
#define HASH_LOOKS      32u

struct turn {
    uint64_t at; /* compared as a difference: it may wrap */
    uint32_t member;
};

struct level {
    uint16_t priority;
    bool same_zone;
    uint32_t first, n;  /* of members[] */
    uint32_t n_serving; /* serving[first..] */
    uint32_t total;     /* of their weights */
    bool even;          /* all weigh the same */
    uint32_t until;     /* requests whose draw is at most this are ours */
    uint64_t now;       /* round robin: where its turns are */
    uint16_t *table;    /* hash: a member each */
    uint32_t table_n;
};

struct balancer {
    const struct snapshot_service *service;
    struct instance *const *all;
    unsigned worker;
    uint64_t random;
    uint32_t version;
    uint64_t again_ms; /* the lists are good until then */
    bool made, panic;
    uint32_t n_levels;
    struct level *levels;
    /* by place: what belongs to a level lies behind one another */
    uint32_t *members;    /* index into all */
    uint32_t *serving;    /* likewise */
    uint32_t *cumulative; /* of serving: sum of weights up to and with it */
    struct turn *heap;    /* round robin */
    /* by index into all */
    uint32_t *weight; /* of the moment; 0: does not serve */
    uint64_t *due;    /* round robin */
};

/* --- numbers --- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

uint64_t balance_hash(str key)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ key.n, word;
    for (; key.n >= sizeof word; key = str_from(key, sizeof word)) {
        memcpy(&word, key.p, sizeof word);
        h = (h ^ word) * 0x9fb21c651e98df25u;
        h ^= h >> 35;
    }
    word = 0;
    if (key.n) memcpy(&word, key.p, key.n);
    return mix((h ^ word) * 0x9fb21c651e98df25u);
}

/* Marsaglia's xorshift64*: good enough to spread, and nobody gains by guessing it. */
static uint32_t draw(struct balancer *b)
{
    uint64_t x = b->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    b->random = x;
    return (uint32_t)(x * 0x2545f4914f6cdd1du >> 32);
}

/* An even draw from 0 to n-1 out of 32 random bits. */
static uint32_t below(uint32_t bits, uint32_t n)
{
    return (uint32_t)((uint64_t)bits * n >> 32);
}

/* --- who serves, with which weight --- */

static uint32_t weight_now(const struct balancer *b, uint32_t index, uint64_t now_ms, uint64_t *again_ms)
{
    const struct snapshot_service *s = b->service;
    uint32_t weight = s->instances[index].weight ? s->instances[index].weight : 1;
    uint64_t since = atomic_load_explicit(&b->all[index]->serves_since_ms, memory_order_relaxed);
    if (!s->slow_start_ms || !since || s->balance == BALANCE_HASH || now_ms >= since + s->slow_start_ms)
        return weight * WEIGHT_UNIT;
    uint64_t tick = s->slow_start_ms / SLOW_START_TICK;
    if (tick < SLOW_START_MS) tick = SLOW_START_MS;
    if (now_ms + tick < *again_ms) *again_ms = now_ms + tick;
    uint64_t age = now_ms > since ? now_ms - since : 0;
    uint32_t percent = (uint32_t)(age * 100 / s->slow_start_ms);
    return weight * (percent > SLOW_START_MIN ? percent : SLOW_START_MIN);
}

/* Notes when somebody's ejection ends, so that the lists are made anew then. */
static void note_return(struct balancer *b, uint32_t index, uint64_t now_ms)
{
    uint64_t until = atomic_load_explicit(&b->all[index]->ejected_until_ms, memory_order_relaxed);
    if (until > now_ms && until < b->again_ms) b->again_ms = until;
}

static bool look(struct balancer *b, uint64_t now_ms)
{
    bool any = false;
    for (uint32_t i = 0; i < b->service->n_instances; i++) {
        if (atomic_load_explicit(&b->all[i]->ejected_until_ms, memory_order_relaxed)) {
            (void)instance_return(b->all[i], now_ms);
            note_return(b, i, now_ms);
        }
        bool serves = instance_serves(b->all[i], now_ms);
        b->weight[i] = serves ? weight_now(b, i, now_ms, &b->again_ms) : 0;
        any |= serves;
    }
    if (any) return true;
    for (uint32_t i = 0; i < b->service->n_instances; i++)
        b->weight[i] = WEIGHT_UNIT * (b->service->instances[i].weight ? b->service->instances[i].weight : 1);
    return false;
}

/* Percent of a level's weight that serves, with what it can carry beyond its share. */
static uint32_t carries(const struct balancer *b, const struct level *l)
{
    uint64_t all = 0, serving = 0;
    for (uint32_t k = 0; k < l->n; k++) {
        uint32_t i = b->members[l->first + k], weight = b->service->instances[i].weight;
        all += weight ? weight : 1;
        if (b->weight[i]) serving += weight ? weight : 1;
    }
    uint64_t percent = all ? serving * OVERPROVISION / all : 0;
    return percent > 100 ? 100 : (uint32_t)percent;
}

/* The first level gets what it carries, the next ones the rest as far as they carry it; when all together carry less
 * than everything, each gets more, in proportion. */
static void share_out(struct balancer *b)
{
    uint32_t left = 100, given = 0, sum = 0;
    for (uint32_t i = 0; i < b->n_levels; i++) {
        uint32_t can = carries(b, &b->levels[i]), gets = can < left ? can : left;
        left -= gets;
        given += gets;
        b->levels[i].until = given; /* percent, for now */
    }
    for (uint32_t i = 0; i < b->n_levels; i++) {
        sum = b->levels[i].until;
        b->levels[i].until = given ? (uint32_t)((uint64_t)SHARE_ALL * sum / given) : SHARE_ALL;
    }
}

/* --- round robin --- */

static bool earlier(const struct turn *a, const struct turn *b)
{
    if (a->at != b->at) return (int64_t)(a->at - b->at) < 0;
    return a->member < b->member;
}

static void sift_down(struct turn *heap, uint32_t n, uint32_t at)
{
    struct turn moving = heap[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && earlier(&heap[child + 1], &heap[child])) child++;
        if (!earlier(&heap[child], &moving)) break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

/* Whoever is new, or was away, begins in the middle of a turn from now; the others keep theirs. */
static void make_turns(struct balancer *b, struct level *l, bool first_time)
{
    struct turn *heap = b->heap + l->first;
    for (uint32_t k = 0; k < l->n_serving; k++) {
        uint32_t i = b->serving[l->first + k];
        uint64_t stride = STRIDE / b->weight[i], wait = b->due[i] - l->now;
        if (first_time || wait > stride) b->due[i] = l->now + stride / 2;
        heap[k] = (struct turn){b->due[i], i};
    }
    for (uint32_t k = l->n_serving / 2; k-- > 0;) sift_down(heap, l->n_serving, k);
}

static uint32_t next_turn(struct balancer *b, struct level *l)
{
    struct turn *top = b->heap + l->first;
    uint32_t i = top->member;
    l->now = top->at;
    b->due[i] = top->at += STRIDE / b->weight[i];
    sift_down(top, l->n_serving, 0);
    return i;
}

/* --- the lists --- */

static void fill_level(struct balancer *b, struct level *l, bool first_time)
{
    uint32_t last = 0;
    l->n_serving = l->total = 0;
    l->even = true;
    for (uint32_t k = 0; k < l->n; k++) {
        uint32_t i = b->members[l->first + k], weight = b->weight[i];
        if (!weight) continue;
        if (l->n_serving && weight != last) l->even = false;
        last = weight;
        l->total += weight;
        b->cumulative[l->first + l->n_serving] = l->total;
        b->serving[l->first + l->n_serving++] = i;
    }
    if (b->heap) make_turns(b, l, first_time);
}

static void make_lists(struct balancer *b, uint64_t now_ms, uint32_t version)
{
    bool first_time = !b->made;
    b->made = true;
    b->version = version;
    b->again_ms = UINT64_MAX;
    b->panic = !look(b, now_ms);
    share_out(b);
    for (uint32_t i = 0; i < b->n_levels; i++) fill_level(b, &b->levels[i], first_time);
}

static void refresh(struct balancer *b, uint64_t now_ms)
{
    uint32_t version = atomic_load_explicit(&b->all[0]->service->version, memory_order_acquire);
    if (UNLIKELY(!b->made || version != b->version || now_ms >= b->again_ms)) make_lists(b, now_ms, version);
}

/* --- choosing --- */

static struct level *level_for(struct balancer *b, uint32_t bits)
{
    for (uint32_t i = 0; i + 1 < b->n_levels; i++)
        if (b->levels[i].n_serving && bits < b->levels[i].until) return &b->levels[i];
    uint32_t last = b->n_levels - 1;
    while (last && !b->levels[last].n_serving) last--;
    return &b->levels[last];
}

static uint32_t draw_by_weight(struct balancer *b, const struct level *l)
{
    const uint32_t *sums = b->cumulative + l->first;
    if (LIKELY(l->even)) return b->serving[l->first + below(draw(b), l->n_serving)];
    uint32_t want = below(draw(b), l->total), low = 0, high = l->n_serving - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (sums[middle] > want)
            high = middle;
        else
            low = middle + 1;
    }
    return b->serving[l->first + low];
}

static uint64_t under_way(const struct balancer *b, uint32_t i)
{
    return counter_get(&b->all[i]->cells[b->worker].in_flight);
}

static uint32_t least_of_two(struct balancer *b, const struct level *l)
{
    uint32_t one = draw_by_weight(b, l), two = one;
    if (l->n_serving < 2) return one;
    for (int tries = 0; tries < 3 && two == one; tries++) two = draw_by_weight(b, l);
    if (two == one) two = b->serving[l->first] == one ? b->serving[l->first + 1] : b->serving[l->first];
    return under_way(b, two) * b->weight[one] < under_way(b, one) * b->weight[two] ? two : one;
}

static uint32_t by_hash(const struct balancer *b, const struct level *l, uint64_t hash)
{
    uint32_t at = 0;
    for (uint32_t look = 0; look < HASH_LOOKS; look++) {
        at = below((uint32_t)(look ? mix(hash + look) : hash), l->table_n);
        uint32_t i = l->table[at];
        if (LIKELY(b->weight[i])) return i;
    }
    /* few of very many serve: the next one of the table */
    for (uint32_t k = 0; k < l->table_n; k++) {
        uint32_t i = l->table[(at + k) % l->table_n];
        if (b->weight[i]) return i;
    }
    return b->serving[l->first];
}

static bool was_tried(const struct balance_ask *ask, uint32_t i)
{
    for (uint32_t k = 0; k < ask->n_tried; k++)
        if (ask->tried[k] == i) return true;
    return false;
}

static bool is_last_resort(const struct balancer *b, const struct balance_ask *ask, uint32_t i)
{
    return ask->last_resort && !was_tried(ask, i) &&
           atomic_load_explicit(&b->all[i]->health, memory_order_relaxed) != INSTANCE_DOWN;
}

static uint32_t choose_once(struct balancer *b, uint64_t hash)
{
    bool hashed = b->service->balance == BALANCE_HASH;
    uint32_t bits = b->n_levels == 1 ? 0 : hashed ? (uint32_t)(mix(hash) >> 32) : draw(b);
    struct level *l = level_for(b, bits);
    if (hashed) return by_hash(b, l, hash);
    return b->heap ? next_turn(b, l) : least_of_two(b, l);
}

/* Not one of those that were tried: by drawing again, then the nearest one that is left. */
static uint32_t choose_other(struct balancer *b, const struct balance_ask *ask)
{
    uint32_t i = choose_once(b, ask->hash);
    for (uint32_t n = 1; n < 4 && was_tried(ask, i); n++) i = choose_once(b, mix(ask->hash + HASH_LOOKS + n));
    if (!was_tried(ask, i)) return i;
    for (uint32_t k = 0; k < b->n_levels; k++)
        for (uint32_t m = 0; m < b->levels[k].n_serving; m++) {
            uint32_t other = b->serving[b->levels[k].first + m];
            if (!was_tried(ask, other)) return other;
        }
    for (uint32_t k = 0; k < b->service->n_instances; k++)
        if (is_last_resort(b, ask, k)) return k;
    return i;
}

uint32_t balancer_choose(struct balancer *b, const struct balance_ask *ask, bool *panic)
{
    refresh(b, ask->now_ms);
    *panic = b->panic;
    return LIKELY(!ask->n_tried) ? choose_once(b, ask->hash) : choose_other(b, ask);
}

bool balancer_has_other(struct balancer *b, const struct balance_ask *ask)
{
    refresh(b, ask->now_ms);
    for (uint32_t i = 0; i < b->service->n_instances; i++)
        if ((b->weight[i] && !was_tried(ask, i)) || is_last_resort(b, ask, i)) return true;
    return false;
}

/* --- making one --- */

static uint32_t table_size(uint32_t members)
{
    static const uint32_t primes[] = {4093, 16381, 65521};
    for (size_t i = 0; i + 1 < ARRAY_LEN(primes); i++)
        if (primes[i] / 100 >= members) return primes[i];
    return primes[ARRAY_LEN(primes) - 1];
}

struct filler {
    uint32_t index, at, skip;
    uint64_t credit; /* a turn costs the greatest weight; each round brings its own */
};

static int by_name(const void *a, const void *b, void *all)
{
    struct instance *const *instances = all;
    str x = instances[((const struct filler *)a)->index]->text, y = instances[((const struct filler *)b)->index]->text;
    int order = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
    return order ? order : (x.n > y.n) - (x.n < y.n);
}

static bool make_table(struct balancer *b, struct level *l)
{
    uint32_t left = l->table_n = table_size(l->n), heaviest = 1;
    struct filler *f = calloc(l->n, sizeof *f);
    bool *taken = calloc(left, sizeof *taken);
    l->table = calloc(left, sizeof *l->table);
    for (uint32_t k = 0; f && k < l->n; k++) {
        uint32_t i = b->members[l->first + k], weight = b->service->instances[i].weight;
        uint64_t h = balance_hash(b->all[i]->text);
        f[k] = (struct filler){i, (uint32_t)(h % left), (uint32_t)((h >> 32) % (left - 1)) + 1, 0};
        if (weight > heaviest) heaviest = weight;
    }
    bool whole = f && taken && l->table;
    if (whole) qsort_r(f, l->n, sizeof *f, by_name, (void *)(uintptr_t)b->all);
    for (uint32_t k = 0; whole && left; k = (k + 1) % l->n) {
        uint32_t weight = b->service->instances[f[k].index].weight;
        f[k].credit += weight ? weight : 1;
        if (f[k].credit < heaviest) continue;
        f[k].credit -= heaviest;
        while (taken[f[k].at]) f[k].at = (f[k].at + f[k].skip) % l->table_n;
        taken[f[k].at] = true;
        l->table[f[k].at] = (uint16_t)f[k].index;
        left--;
    }
    free(f);
    free(taken);
    return whole;
}

static bool before(const struct snapshot_instance *a, const struct snapshot_instance *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->same_zone && !b->same_zone;
}

/* Orders the members by level, stably, and counts the levels. (Insertion: made once, mostly few.) */
static uint32_t order_members(struct balancer *b)
{
    const struct snapshot_instance *v = b->service->instances;
    uint32_t n = b->service->n_instances, levels = 1;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t at = k;
        for (; at > 0 && before(&v[k], &v[b->members[at - 1]]); at--) b->members[at] = b->members[at - 1];
        b->members[at] = k;
    }
    for (uint32_t k = 1; k < n; k++) levels += before(&v[b->members[k - 1]], &v[b->members[k]]);
    return levels;
}

static bool make_levels(struct balancer *b)
{
    const struct snapshot_instance *v = b->service->instances;
    struct level *l = b->levels;
    *l = (struct level){0};
    for (uint32_t k = 0; k < b->service->n_instances; k++) {
        if (k && before(&v[b->members[k - 1]], &v[b->members[k]])) *++l = (struct level){.first = k};
        l->priority = v[b->members[k]].priority;
        l->same_zone = v[b->members[k]].same_zone;
        l->n++;
    }
    bool whole = true;
    for (uint32_t i = 0; i < b->n_levels && b->service->balance == BALANCE_HASH; i++)
        whole = whole && make_table(b, &b->levels[i]);
    return whole;
}

struct balancer *balancer_new(const struct snapshot_service *s, struct instance *const *all, unsigned worker,
                              uint64_t seed)
{
    uint32_t n = s->n_instances;
    struct balancer *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->service = s;
    b->all = all;
    b->worker = worker;
    b->random = seed ? seed : 1;
    b->members = calloc(n, sizeof *b->members);
    b->serving = calloc(n, sizeof *b->serving);
    b->cumulative = calloc(n, sizeof *b->cumulative);
    b->weight = calloc(n, sizeof *b->weight);
    b->due = calloc(n, sizeof *b->due);
    bool turns = s->balance == BALANCE_ROUND_ROBIN, whole = b->members && b->serving && b->cumulative && b->weight;
    if (turns) b->heap = calloc(n, sizeof *b->heap);
    if (whole && b->due && (!turns || b->heap)) {
        b->n_levels = order_members(b);
        b->levels = calloc(b->n_levels, sizeof *b->levels);
    }
    if (!b->levels || !make_levels(b)) balancer_free(&b);
    return b;
}

void balancer_free(struct balancer **out)
{
    struct balancer *b = *out;
    if (!b) return;
    for (uint32_t i = 0; i < b->n_levels && b->levels; i++) free(b->levels[i].table);
    free(b->levels);
    free(b->members);
    free(b->serving);
    free(b->cumulative);
    free(b->heap);
    free(b->weight);
    free(b->due);
    free(b);
    *out = NULL;
}
