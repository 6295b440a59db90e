#include "suite_model.h"

#include "base/clock.h"

/* --- the map --- */

static size_t place(const struct model *m, str key)
{
    size_t i = 0;
    while (i < m->n && str_cmp(m->entries[i].key, key) < 0) i++;
    return i;
}

static str own(str s)
{
    char *p = test_malloc(s.n + 1);
    if (s.n) memcpy(p, s.p, s.n);
    return str_make(p, s.n);
}

static void disown(str s)
{
    union {
        const char *in;
        char *out;
    } plain = {.in = s.p};
    test_free(plain.out);
}

const struct model_entry *model_get(const struct model *m, str key)
{
    size_t i = place(m, key);
    return i < m->n && str_eq(m->entries[i].key, key) ? &m->entries[i] : NULL;
}

void model_put(struct model *m, const struct store_entry *e)
{
    size_t i = place(m, e->key);
    struct model_entry x = {own(e->key), own(e->value), e->version, e->expires_s};
    if (i < m->n && str_eq(m->entries[i].key, e->key)) {
        disown(m->entries[i].key);
        disown(m->entries[i].value);
    } else {
        m->entries = test_realloc(m->entries, (m->n + 1) * sizeof *m->entries);
        memmove(m->entries + i + 1, m->entries + i, (m->n - i) * sizeof *m->entries);
        m->n++;
    }
    m->entries[i] = x;
}

void model_remove(struct model *m, str key)
{
    size_t i = place(m, key);
    if (i == m->n || !str_eq(m->entries[i].key, key)) return;
    disown(m->entries[i].key);
    disown(m->entries[i].value);
    memmove(m->entries + i, m->entries + i + 1, (m->n - i - 1) * sizeof *m->entries);
    m->n--;
}

void model_free(struct model *m)
{
    while (m->n) model_remove(m, m->entries[m->n - 1].key);
    if (m->entries) test_free(m->entries);
    *m = (struct model){0};
}

/* --- the mirror --- */

static void on_change(struct store_watch *w, const struct store_change *c)
{
    struct mirror *m = (struct mirror *)(void *)w;
    switch (c->kind) {
    case STORE_RESYNC_BEGIN:
        model_free(&m->map);
        m->in_resync = true;
        m->resyncs++;
        return;
    case STORE_RESYNC_END: m->in_resync = false; break;
    case STORE_CHANGED:
        assert_true(str_starts(c->entry.key, w->prefix));
        assert_int_equal(c->entry.version, c->at.number);
        model_put(&m->map, &c->entry);
        m->changed += !m->in_resync;
        break;
    case STORE_REMOVED:
        assert_true(str_starts(c->entry.key, w->prefix));
        model_remove(&m->map, c->entry.key);
        m->removed += !m->in_resync;
        break;
    }
    if (m->in_resync) return;
    /* in order, none twice */
    if (c->kind != STORE_RESYNC_END && c->at.epoch == m->last.epoch) assert_true(c->at.number > m->last.number);
    m->last = c->at;
}

void mirror_start_from(struct mirror *m, struct store *s, enum store_space space, const char *prefix, const char *name,
                       uint32_t lease_ms, struct store_position from)
{
    *m = (struct mirror){.store = s, .last = from};
    m->watch = (struct store_watch){.space = space,
                                    .prefix = str_of(prefix),
                                    .name = str_of(name),
                                    .lease_ms = lease_ms,
                                    .from = from,
                                    .on_change = on_change};
    assert_err(store_watch_start(s, &m->watch), ERR_OK);
}

void mirror_start(struct mirror *m, struct store *s, enum store_space space, const char *prefix, const char *name,
                  uint32_t lease_ms)
{
    mirror_start_from(m, s, space, prefix, name, lease_ms, (struct store_position){0});
}

void mirror_until(struct mirror *m, uint64_t number)
{
    uint64_t end = clock_mono_ns() + UINT64_C(10000000000);
    while (m->in_resync || !m->watch.up || m->watch.seen.number < number) {
        if (clock_mono_ns() > end)
            fail_msg("change %llu did not come within 10 s, %llu did", (unsigned long long)number,
                     (unsigned long long)m->watch.seen.number);
        loop_turn(m->store->loop, 20);
    }
}

void mirror_stop(struct mirror *m)
{
    store_watch_stop(m->store, &m->watch);
    model_free(&m->map);
}

/* --- the story --- */

static uint64_t dice_state;

static uint64_t dice(uint64_t n)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state % n;
}

/* Few keys, so that they meet; some bytes that sort in odd places. */
static str draw_key(char room[24])
{
    static const char bytes[] = {'a', 'b', '/', '\x01', '\x7f', '\x80', '\xff'};
    size_t n = 1 + dice(3);
    for (size_t i = 0; i < n; i++) room[i] = bytes[dice(i ? sizeof bytes : 3)];
    return str_make(room, n);
}

struct drawn {
    struct store_op ops[4];
    char keys[4][24], values[4][700];
    uint32_t n;
};

static void draw_batch(struct drawn *d, const struct model *m, int64_t now_s)
{
    d->n = 1 + (uint32_t)dice(4);
    for (uint32_t i = 0; i < d->n; i++) {
        struct store_op *op = &d->ops[i];
        str key = draw_key(d->keys[i]);
        size_t value_n = dice(10) ? dice(20) : dice(sizeof d->values[i]);
        memset(d->values[i], (int)dice(256), value_n);
        *op = (struct store_op){.key = key, .value = str_make(d->values[i], value_n)};
        op->verb = dice(10) < 6 ? STORE_PUT : dice(4) ? STORE_DELETE : STORE_CHECK;
        op->condition = dice(2) ? STORE_ANY : (enum store_condition)(1 + dice(3));
        if (op->verb == STORE_PUT && !dice(3)) op->expires_s = now_s + (int64_t)dice(30) - 2;
        const struct model_entry *e = model_get(m, key);
        if (op->condition == STORE_VERSION) op->version = e && dice(4) ? e->version : dice(3);
    }
}

static void drop_expired(struct model *m, int64_t now_s)
{
    for (size_t i = m->n; i-- > 0;)
        if (m->entries[i].expires_s && m->entries[i].expires_s <= now_s) model_remove(m, m->entries[i].key);
}

/* What the batch must come to; `failed` as in the job. */
static enum err judge(const struct model *m, const struct drawn *d, uint32_t *failed)
{
    for (uint32_t i = 0; i < d->n; i++) {
        const struct model_entry *e = model_get(m, d->ops[i].key);
        uint64_t version = e ? e->version : 0;
        enum store_condition c = d->ops[i].condition;
        *failed = i;
        if ((c == STORE_ABSENT && version) || (c == STORE_PRESENT && !version) ||
            (c == STORE_VERSION && version != d->ops[i].version))
            return ERR_CONFLICT;
    }
    return ERR_OK;
}

/* Puts the batch into the model; its changes end with number `last` (sweeps may have taken numbers before it). */
static void perform(struct model *m, const struct drawn *d, uint64_t last, int64_t now_s)
{
    struct model counting = {0};
    uint64_t changes = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint64_t number = last - changes;
        /* pass 0 counts on a copy what pass 1 numbers */
        if (!pass)
            for (size_t i = 0; i < m->n; i++)
                model_put(&counting,
                          &(struct store_entry){m->entries[i].key, m->entries[i].value, 1, m->entries[i].expires_s});
        struct model *at = pass ? m : &counting;
        for (uint32_t i = 0; i < d->n; i++) {
            const struct store_op *op = &d->ops[i];
            if (op->verb == STORE_CHECK || (op->verb == STORE_DELETE && !model_get(at, op->key))) continue;
            changes += !pass;
            number++;
            if (op->verb == STORE_PUT)
                model_put(at, &(struct store_entry){op->key, op->value, number, op->expires_s});
            else
                model_remove(at, op->key);
            drop_expired(at, now_s); /* put with a time that is past: gone at once */
        }
    }
    model_free(&counting);
}

static void same_as_model(struct store *s, const struct model *m, struct store_job *job, size_t first, size_t last)
{
    assert_err(suite_do(s, job), ERR_OK);
    size_t n = last > first ? last - first : 0;
    if (job->limit && n > job->limit) n = job->limit;
    assert_int_equal(job->n_entries, n);
    assert_int_equal(job->more, last > first && last - first > n);
    for (size_t i = 0; i < n; i++) {
        const struct model_entry *want = &m->entries[job->reverse ? last - 1 - i : first + i];
        assert_str(job->entries[i].key, want->key);
        assert_str(job->entries[i].value, want->value);
        assert_int_equal(job->entries[i].version, want->version);
        assert_int_equal(job->entries[i].expires_s, want->expires_s);
    }
    store_job_clear(job);
}

static void read_some(struct store *s, const struct model *m)
{
    char from[24], to[24];
    struct store_job job = {.kind = STORE_RANGE,
                            .space = STORE_CONTROL,
                            .reverse = dice(2),
                            .limit = (uint32_t)dice(6)};
    if (dice(3)) job.from = draw_key(from);
    if (dice(3)) job.to = draw_key(to);
    same_as_model(s, m, &job, place(m, job.from), job.to.n ? place(m, job.to) : m->n);
    struct store_job all = {.kind = STORE_RANGE, .space = STORE_CONTROL};
    if (!dice(20)) same_as_model(s, m, &all, 0, m->n);
    str key = draw_key(from);
    const struct model_entry *e = model_get(m, key);
    struct store_job get = {.kind = STORE_GET, .space = STORE_CONTROL, .keys = &key, .n_keys = 1};
    assert_err(suite_do(s, &get), ERR_OK);
    assert_int_equal(get.n_entries, 1);
    assert_int_equal(get.entries[0].version, e ? e->version : 0);
    if (e) assert_str(get.entries[0].value, e->value);
    store_job_clear(&get);
}

/* The mirror holds what the store holds, once all expired ones are swept. */
static void same_as_mirror(struct mirror *mirror, const struct model *m)
{
    uint64_t end = clock_mono_ns() + UINT64_C(10000000000);
    for (;;) {
        bool same = !mirror->in_resync && mirror->map.n == m->n;
        for (size_t i = 0; same && i < m->n; i++)
            same = str_eq(m->entries[i].key, mirror->map.entries[i].key) &&
                   m->entries[i].version == mirror->map.entries[i].version &&
                   str_eq(m->entries[i].value, mirror->map.entries[i].value);
        if (same) return;
        if (clock_mono_ns() > end) fail_msg("the mirror has %zu entries, the map %zu", mirror->map.n, m->n);
        loop_turn(mirror->store->loop, 20);
    }
}

void model_story(struct store *s, struct store *(*join)(void *ctx, struct loop *loop), void *ctx, int steps)
{
    const char *seed = getenv("STORE_SEED");
    dice_state = seed ? strtoull(seed, NULL, 10) : clock_mono_ns() | 1;
    print_message("STORE_SEED=%llu\n", (unsigned long long)dice_state);
    struct store *other = join(ctx, s->loop);
    struct model m = {0};
    struct mirror whole, part;
    int64_t now_s = 1800000000;
    uint64_t number = 0;
    mirror_start(&whole, other, STORE_CONTROL, "", "story/whole", 0);
    mirror_start(&part, s, STORE_CONTROL, "a", "story/part", 0);
    for (int i = 0; i < steps; i++) {
        struct drawn d;
        uint32_t failed = 0;
        if (!dice(8)) suite_clock_set((uint64_t)(now_s += (int64_t)dice(5)) * 1000);
        drop_expired(&m, now_s);
        draw_batch(&d, &m, now_s);
        struct store_job job = {.kind = STORE_BATCH, .space = STORE_CONTROL, .ops = d.ops, .n_ops = d.n};
        enum err want = judge(&m, &d, &failed), got = suite_do(dice(2) ? s : other, &job);
        if (got != want) fail_msg("step %d: got %s, want %s", i, err_name(got), err_name(want));
        if (got == ERR_CONFLICT) assert_int_equal(job.failed, failed);
        if (got == ERR_OK) {
            assert_true(job.at.number >= number);
            number = job.at.number;
            perform(&m, &d, number, now_s);
        }
        if (!dice(3)) read_some(dice(2) ? s : other, &m);
        if (!dice(100)) { /* goes away, comes back, goes on */
            struct store_position seen = part.watch.seen;
            struct model kept = part.map;
            store_watch_stop(s, &part.watch);
            mirror_start_from(&part, s, STORE_CONTROL, "a", "story/part", 0, seen);
            part.map = kept;
        }
    }
    same_as_mirror(&whole, &m);
    mirror_stop(&whole);
    for (size_t i = m.n; i-- > 0;)
        if (m.entries[i].key.p[0] != 'a') model_remove(&m, m.entries[i].key);
    same_as_mirror(&part, &m);
    mirror_stop(&part);
    model_free(&m);
    store_free(&other);
}
