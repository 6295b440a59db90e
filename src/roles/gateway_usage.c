#include "roles/gateway_usage.h"

#include "base/log.h"
#include "base/rand.h"
#include "store/usage_record.h"

#include <stdlib.h>

#define LOOK_MS     10000
#define METERS_MAX  64
#define SUMS_MAX    (METER_ROWS * 2)
#define PARTS_MAX   ((SUMS_MAX + USAGE_ROWS_MAX - 1) / USAGE_ROWS_MAX)
#define WAITING_MAX 1024 /* entries of hours that are over */
#define BATCH_MAX   16   /* entries of one write */

_Static_assert((int)METER_COUNTS == USAGE_COUNTS, "what is counted is what is kept");

struct sum {
    uint64_t key;
    const struct meter_row *names; /* of the worker that had it first */
    uint64_t counts[METER_COUNTS]; /* of this hour */
};

/* A worker's meter, and what of it has been counted. */
struct seen {
    const struct meter *meter;
    uint64_t (*counts)[METER_COUNTS]; /* by row */
};

/* An entry of an hour that is over, written once. */
struct waiting {
    struct waiting *next;
    struct record_key key;
    str name;
    int64_t hour_s;
    struct buf value;
};

struct gateway_usage {
    struct loop *loop;
    struct store *store;
    struct timer timer;
    char process[ULID_LEN];
    struct seen seen[METERS_MAX];
    size_t n_seen;
    int64_t hour_s; /* that the sums are of; 0: not yet */
    struct sum *sums;
    uint32_t n_sums;
    uint16_t index[SUMS_MAX * 2]; /* by key: which sum, plus one */
    bool dirty[PARTS_MAX];
    struct waiting *first, **last;
    size_t n_waiting;
    /* the write under way */
    struct store_job job;
    struct store_op ops[BATCH_MAX];
    struct record_key keys[BATCH_MAX];
    struct buf values[BATCH_MAX];
    uint32_t n_ops, n_of_waiting, parts[BATCH_MAX];
    bool busy, failing, stopped;
};

/* --- counting --- */

static struct sum *sum_of(struct gateway_usage *u, const struct meter_row *row, uint64_t key)
{
    for (uint64_t i = key >> 16;; i++) {
        uint16_t *at = &u->index[i % ARRAY_LEN(u->index)];
        if (*at && u->sums[*at - 1].key == key) return &u->sums[*at - 1];
        if (*at) continue;
        if (u->n_sums >= SUMS_MAX) return &u->sums[0]; /* the first is the one without names */
        struct sum *s = &u->sums[u->n_sums++];
        *s = (struct sum){.key = key, .names = row};
        *at = (uint16_t)u->n_sums;
        return s;
    }
}

static void collect_one(struct gateway_usage *u, struct seen *seen)
{
    const struct meter *m = seen->meter;
    uint32_t n = atomic_load_explicit(&m->n_used, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        uint16_t r = m->used[i];
        const struct meter_row *row = &m->rows[r];
        struct sum *s = NULL;
        for (int k = 0; k < METER_COUNTS; k++) {
            uint64_t now = counter_get(&row->counts[k]), more = now - seen->counts[r][k];
            if (!more) continue;
            if (!s) s = sum_of(u, row, atomic_load_explicit(&row->key, memory_order_relaxed));
            s->counts[k] += more;
            seen->counts[r][k] = now;
            u->dirty[(size_t)(s - u->sums) / USAGE_ROWS_MAX] = true;
        }
    }
}

static void collect(struct gateway_usage *u)
{
    for (size_t i = 0; i < u->n_seen; i++) collect_one(u, &u->seen[i]);
}

/* --- entries --- */

static enum err put_part(const struct gateway_usage *u, uint32_t part, struct buf *out)
{
    struct usage_row rows[USAGE_ROWS_MAX];
    uint32_t n = 0;
    for (uint32_t i = part * USAGE_ROWS_MAX; i < u->n_sums && i < (part + 1) * USAGE_ROWS_MAX; i++) {
        const struct sum *s = &u->sums[i];
        if (!s->counts[METER_REQUESTS]) continue;
        bool named = s->names->product_n || s->names->action_n || i;
        rows[n] = (struct usage_row){.product = str_make(s->names->product, s->names->product_n),
                                     .action = str_make(s->names->action, s->names->action_n),
                                     .caller = named ? str_of(caller_kind_name((enum caller_kind)s->names->caller))
                                                     : STR("")};
        memcpy(rows[n++].counts, s->counts, sizeof s->counts);
    }
    return usage_record_put(out, rows, n);
}

static void drop_first(struct gateway_usage *u)
{
    struct waiting *w = u->first;
    u->first = w->next;
    if (!u->first) u->last = &u->first;
    u->n_waiting--;
    buf_free(&w->value);
    free(w);
}

/* The hour is over: what is not written yet waits, and the sums begin anew. */
static void close_hour(struct gateway_usage *u)
{
    for (uint32_t part = 0; part < PARTS_MAX; part++) {
        if (!u->dirty[part]) continue;
        u->dirty[part] = false;
        struct waiting *w = calloc(1, sizeof *w);
        if (w) {
            buf_init(&w->value, RECORD_MAX);
            w->hour_s = u->hour_s;
            w->name = usage_record_key(&w->key, u->hour_s, str_make(u->process, sizeof u->process), part);
        }
        bool full = u->n_waiting >= WAITING_MAX;
        if (!w || full || put_part(u, part, &w->value) != ERR_OK) {
            log_event(LOG_LEVEL_ERROR, log_msg("usage is lost: the store has not taken it for too long"),
                      log_i64("hour", u->hour_s));
            if (w) buf_free(&w->value);
            free(w);
            continue;
        }
        *u->last = w;
        u->last = &w->next;
        u->n_waiting++;
    }
    for (uint32_t i = 0; i < u->n_sums; i++) memset(u->sums[i].counts, 0, sizeof u->sums[i].counts);
}

/* --- the store --- */

static void flush(struct gateway_usage *u);

static void on_written(struct store_job *job)
{
    struct gateway_usage *u = CONTAINER_OF(job, struct gateway_usage, job);
    bool good = job->err == ERR_OK;
    u->busy = false;
    store_job_clear(job);
    if (!good && !u->failing && !u->stopped)
        log_event(LOG_LEVEL_WARN, log_msg("usage cannot be written: it waits"),
                  log_str("why", str_of(err_name(job->err))));
    u->failing = !good;
    for (uint32_t i = 0; i < u->n_ops; i++) {
        bool waiting = i < u->n_of_waiting;
        if (good && waiting) drop_first(u);
        if (!good && !waiting) u->dirty[u->parts[i]] = true;
        if (!waiting) buf_free(&u->values[i]);
    }
    u->n_ops = u->n_of_waiting = 0;
    if (good) flush(u);
}

static void add(struct gateway_usage *u, str key, str value, int64_t hour_s)
{
    u->ops[u->n_ops++] =
        (struct store_op){.verb = STORE_PUT, .key = key, .value = value, .expires_s = hour_s + USAGE_KEEP_S};
}

/* What waits first, then the parts of this hour that have grown. */
static void flush(struct gateway_usage *u)
{
    if (u->busy || u->stopped) return;
    for (struct waiting *w = u->first; w && u->n_ops < BATCH_MAX; w = w->next) {
        add(u, w->name, buf_str(&w->value), w->hour_s);
        u->n_of_waiting++;
    }
    for (uint32_t part = 0; part < PARTS_MAX && u->n_ops < BATCH_MAX; part++) {
        if (!u->dirty[part]) continue;
        struct buf *value = &u->values[u->n_ops];
        buf_init(value, RECORD_MAX);
        if (put_part(u, part, value) != ERR_OK) {
            buf_free(value);
            continue; /* memory: next time */
        }
        u->dirty[part] = false;
        u->parts[u->n_ops] = part;
        str key = usage_record_key(&u->keys[u->n_ops], u->hour_s, str_make(u->process, sizeof u->process), part);
        add(u, key, buf_str(value), u->hour_s);
    }
    if (!u->n_ops) return;
    u->busy = true;
    u->job = (struct store_job){.kind = STORE_BATCH,
                                .space = STORE_AUDIT,
                                .ops = u->ops,
                                .n_ops = u->n_ops,
                                .done = on_written};
    store_submit(u->store, &u->job);
}

/* --- time --- */

static int64_t hour_of(const struct gateway_usage *u)
{
    return (int64_t)(loop_wall_ms(u->loop) / 1000) / USAGE_HOUR_S * USAGE_HOUR_S;
}

static void look(struct gateway_usage *u)
{
    int64_t hour = hour_of(u);
    collect(u); /* what came since the last look belongs to the hour that was */
    if (!u->hour_s) u->hour_s = hour;
    if (hour != u->hour_s && !u->busy) { /* a write under way is of the old one */
        close_hour(u);
        u->hour_s = hour;
    }
    flush(u);
}

static void on_time(struct timer *t)
{
    struct gateway_usage *u = CONTAINER_OF(t, struct gateway_usage, timer);
    look(u);
    uint64_t wall = loop_wall_ms(u->loop), hour_ms = (uint64_t)USAGE_HOUR_S * 1000;
    uint64_t rest = hour_ms - wall % hour_ms;
    timer_set(u->loop, t, loop_now_ms(u->loop) + (rest < LOOK_MS ? rest + 1 : LOOK_MS));
}

/* --- life --- */

enum err gateway_usage_new(struct loop *loop, struct store *store, struct gateway_usage **out)
{
    struct gateway_usage *u = calloc(1, sizeof *u);
    if (u) u->sums = calloc(SUMS_MAX, sizeof *u->sums);
    if (!u || !u->sums) {
        free(u);
        return ERR_NO_MEMORY;
    }
    u->loop = loop;
    u->store = store;
    u->last = &u->first;
    u->timer.on_time = on_time;
    ulid_make(u->process, loop_wall_ms(loop));
    timer_set(loop, &u->timer, loop_now_ms(loop) + LOOK_MS);
    *out = u;
    return ERR_OK;
}

enum err gateway_usage_meter(struct gateway_usage *u, const struct meter *m)
{
    if (u->n_seen == METERS_MAX) return ERR_LIMIT;
    struct seen *s = &u->seen[u->n_seen];
    s->counts = calloc(METER_ROWS, sizeof *s->counts);
    if (!s->counts) return ERR_NO_MEMORY;
    s->meter = m;
    u->n_seen++;
    if (!u->n_sums) (void)sum_of(u, &m->rows[0], 1);
    return ERR_OK;
}

bool gateway_usage_gone(struct gateway_usage *u)
{
    look(u);
    return !u->busy && !u->n_ops && !u->first;
}

void gateway_usage_store(struct gateway_usage *u, struct store *store)
{
    u->store = store;
}

void gateway_usage_stop(struct gateway_usage *u)
{
    u->stopped = true;
    timer_clear(u->loop, &u->timer);
}

void gateway_usage_free(struct gateway_usage **out)
{
    struct gateway_usage *u = *out;
    *out = NULL;
    if (!u) return;
    while (u->first) drop_first(u);
    for (uint32_t i = u->n_of_waiting; i < u->n_ops; i++) buf_free(&u->values[i]);
    for (size_t i = 0; i < u->n_seen; i++) free(u->seen[i].counts);
    free(u->sums);
    free(u);
}
