/* A dense array of series, found through a small table of indices that only the owner reads. The reader walks the
 * dense array up to the published count; a series never changes its key and never goes away. */
#include "serve/counters.h"

#include <stdio.h>
#include <sys/mman.h>

enum {
    SERIES = 16384,
    SLOTS = 2 * SERIES, /* of the index; a power of two */
    RESERVED = 1024,    /* the last ones take only what is counted under "other" */
    OTHER_CODE = 1000,  /* "other" */
    RECENT = 256        /* shortcuts by the address of the action's name */
};

struct series {
    struct counter count;
    uint16_t status;
    uint8_t effect, name_n;
    char name[72]; /* "{service}:invoke" is at most 71 */
};

struct counters {
    _Atomic uint32_t n;
    struct counter reasons[REASON_COUNT]; /* denials */
    struct counter callers[CALLER_KINDS << ACCEPT_BITS];
    struct histogram request, decision;
    struct series series[SERIES]; /* series[0]: what no other has room for */
    /* the owner's own */
    uint16_t index[SLOTS]; /* 0: free */
    uint16_t recent[RECENT];
};
_Static_assert(SERIES <= UINT16_MAX + 1, "an index fits 16 bits");

enum err counters_new(struct counters **out)
{
    struct counters *c =
        mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c == MAP_FAILED) return ERR_NO_MEMORY;
    memcpy(c->series[0].name, "other", 5);
    c->series[0].name_n = 5;
    c->series[0].status = OTHER_CODE;
    atomic_store_explicit(&c->n, 1, memory_order_release);
    *out = c;
    return ERR_OK;
}

void counters_free(struct counters **c)
{
    if (*c) munmap(*c, sizeof **c);
    *c = NULL;
}

struct key {
    str name;
    enum effect effect;
    uint16_t status;
};

static bool same(const struct series *s, const struct key *k)
{
    return s->status == k->status && s->effect == k->effect && str_eq(str_make(s->name, s->name_n), k->name);
}

static uint32_t mix(uint64_t h)
{
    h *= 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

/* Names come from the configuration, so nobody outside chooses what collides here. */
static uint32_t hash(const struct key *k)
{
    uint64_t h = (uint64_t)k->status << 8 | (uint64_t)k->effect;
    for (size_t i = 0; i < k->name.n; i++) h = (h ^ (unsigned char)k->name.p[i]) * 0x100000001b3u;
    return mix(h);
}

static struct series *find_or_add(struct counters *c, const struct key *k, uint32_t room)
{
    uint32_t n = atomic_load_explicit(&c->n, memory_order_relaxed);
    for (uint32_t i = hash(k) % SLOTS;; i = (i + 1) % SLOTS) {
        if (c->index[i] && !same(&c->series[c->index[i]], k)) continue;
        if (c->index[i]) return &c->series[c->index[i]];
        if (n >= room) return NULL;
        struct series *s = &c->series[n];
        memcpy(s->name, k->name.p, k->name.n);
        s->name_n = (uint8_t)k->name.n;
        s->status = k->status;
        s->effect = (uint8_t)k->effect;
        c->index[i] = (uint16_t)n;
        atomic_store_explicit(&c->n, n + 1, memory_order_release);
        return s;
    }
}

static void add(struct counters *c, str name, enum effect effect, uint16_t status, uint64_t by)
{
    struct key k = {str_first(name, sizeof c->series[0].name), effect, status < 1000 ? status : OTHER_CODE};
    uint16_t *recent = &c->recent[mix((uintptr_t)name.p ^ (uint64_t)status << 48 ^ (uint64_t)effect) % RECENT];
    struct series *s = &c->series[*recent];
    if (!same(s, &k)) {
        s = find_or_add(c, &k, SERIES - RESERVED);
        if (!s) {
            k.name = STR("other");
            s = find_or_add(c, &k, SERIES);
        }
        if (!s) s = &c->series[0];
        *recent = (uint16_t)(s - c->series);
    }
    counter_add(&s->count, by);
}

void counters_request(struct counters *c, const struct outcome *o, uint64_t decision_ns)
{
    add(c, o->action.n ? o->action : STR("none"), o->effect, o->status, 1);
    if (o->effect != EFFECT_PERMIT && (unsigned)o->reason < REASON_COUNT) counter_add(&c->reasons[o->reason], 1);
    unsigned who = (unsigned)o->caller << ACCEPT_BITS | o->credential;
    if (who < ARRAY_LEN(c->callers)) counter_add(&c->callers[who], 1);
    histogram_observe(&c->request, &histogram_request, (uint64_t)o->duration_us * 1000);
    if (decision_ns) histogram_observe(&c->decision, &histogram_decision, decision_ns);
}

static void merge(struct counters *to, const struct counters *from)
{
    uint32_t n = atomic_load_explicit(&from->n, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        const struct series *s = &from->series[i];
        uint64_t v = counter_get(&s->count);
        if (v) add(to, str_make(s->name, s->name_n), (enum effect)s->effect, s->status, v);
    }
    for (unsigned i = 0; i < REASON_COUNT; i++) counter_add(&to->reasons[i], counter_get(&from->reasons[i]));
    for (unsigned i = 0; i < ARRAY_LEN(to->callers); i++) counter_add(&to->callers[i], counter_get(&from->callers[i]));
    histogram_merge(&to->request, &from->request);
    histogram_merge(&to->decision, &from->decision);
}

static void render_requests(const struct counters *c, str role, struct buf *out)
{
    metrics_family(out, "sallyport_requests_total", METRIC_COUNTER,
                   "Requests by action, decision and status; code 0: the client left before an answer.");
    uint32_t n = atomic_load_explicit(&c->n, memory_order_relaxed);
    for (uint32_t i = 0; i < n && !out->bad; i++) {
        const struct series *s = &c->series[i];
        uint64_t v = counter_get(&s->count);
        if (!v) continue;
        char code[4] = {(char)('0' + s->status / 100 % 10), (char)('0' + s->status / 10 % 10),
                        (char)('0' + s->status % 10), '\0'};
        const struct metric_label labels[] = {
            {"role", role},
            {"action", str_make(s->name, s->name_n)},
            {"decision", s->effect == EFFECT_PERMIT ? STR("permit") : STR("deny")},
            {"code", s->status == OTHER_CODE ? STR("other")
                     : s->status             ? str_make(code, 3)
                                             : STR("0")},
        };
        metrics_u64(out, "sallyport_requests_total", labels, ARRAY_LEN(labels), v);
    }
}

static void render_denies(const struct counters *c, str gate, struct buf *out)
{
    metrics_family(out, "sallyport_denies_total", METRIC_COUNTER, "Denials by the reason code of `sallyport why`.");
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        uint64_t v = counter_get(&c->reasons[i]);
        const struct metric_label labels[] = {{"gate", gate}, {"policy", str_of(reason_code((enum reason)i))}};
        if (v) metrics_u64(out, "sallyport_denies_total", labels, ARRAY_LEN(labels), v);
    }
}

static void render_callers(const struct counters *c, struct buf *out)
{
    metrics_family(out, "sallyport_callers_total", METRIC_COUNTER,
                   "Requests whose caller was known, by kind of caller and the credential that made it.");
    for (unsigned i = 1u << ACCEPT_BITS; i < ARRAY_LEN(c->callers); i++) {
        uint64_t v = counter_get(&c->callers[i]);
        const struct metric_label labels[] = {{"caller",
                                               str_of(caller_kind_name((enum caller_kind)(i >> ACCEPT_BITS)))},
                                              {"credential", str_of(credential_name(i & ((1u << ACCEPT_BITS) - 1)))}};
        if (v) metrics_u64(out, "sallyport_callers_total", labels, ARRAY_LEN(labels), v);
    }
}

void counters_render(const struct counters *const *all, size_t n, const char *role, unsigned gate, struct buf *out)
{
    struct counters *sum;
    if (counters_new(&sum) != ERR_OK) {
        out->bad = true;
        return;
    }
    for (size_t i = 0; i < n; i++) merge(sum, all[i]);
    char digits[12];
    int len = snprintf(digits, sizeof digits, "%u", gate);
    const struct metric_label by_role = {"role", str_of(role)}, by_gate = {"gate", str_make(digits, (size_t)len)};
    render_requests(sum, by_role.value, out);
    render_denies(sum, by_gate.value, out);
    render_callers(sum, out);
    metrics_family(out, "sallyport_request_duration_seconds", METRIC_HISTOGRAM,
                   "From the first byte of a request to the last of its answer.");
    metrics_histogram(out, "sallyport_request_duration_seconds", &by_role, 1, &histogram_request, &sum->request);
    metrics_family(out, "sallyport_decision_duration_seconds", METRIC_HISTOGRAM,
                   "From the head of a request to the decision on it, of one request in eight.");
    metrics_histogram(out, "sallyport_decision_duration_seconds", &by_gate, 1, &histogram_decision, &sum->decision);
    counters_free(&sum);
}
