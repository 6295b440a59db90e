#include "suite.h"
#include "suite_model.h"

#include "base/clock.h"
#include "store/job.h"
#include "store/keeper.h"

static const struct store_suite *suite;
static struct loop *loop;
static struct store *store;

static int up(void **state)
{
    (void)state;
    suite_clock_set(UINT64_C(1800000000000));
    loop = loop_new(NULL);
    store = loop ? suite->make(suite->ctx, loop) : NULL;
    return store ? 0 : -1;
}

static int down(void **state)
{
    (void)state;
    store_free(&store);
    suite->end(suite->ctx);
    loop_free(&loop);
    return 0;
}

/* --- batches and conditions --- */

struct given {
    const char *key, *value;
};

/* Before each row: "a" = 1 (its version in `va`), "gone" = an entry that has expired. */
static const struct {
    const char *name;
    struct store_op op; /* version 7777: stands for a's, 7778 for any other */
    enum err want;
    const char *a, *gone, *z; /* what they hold afterwards */
} conditions[] = {
    {"put, any", {STORE_PUT, STORE_ANY, 0, STR_INIT("a"), STR_INIT("2"), 0}, ERR_OK, "2", "", ""},
    {"put, absent, is there", {STORE_PUT, STORE_ABSENT, 0, STR_INIT("a"), STR_INIT("2"), 0}, ERR_CONFLICT, "1", "", ""},
    {"put, absent, is not", {STORE_PUT, STORE_ABSENT, 0, STR_INIT("z"), STR_INIT("2"), 0}, ERR_OK, "1", "", "2"},
    {"put, absent, expired", {STORE_PUT, STORE_ABSENT, 0, STR_INIT("gone"), STR_INIT("2"), 0}, ERR_OK, "1", "2", ""},
    {"put, present", {STORE_PUT, STORE_PRESENT, 0, STR_INIT("a"), STR_INIT("2"), 0}, ERR_OK, "2", "", ""},
    {"put, present, is not", {STORE_PUT, STORE_PRESENT, 0, STR_INIT("z"), STR_INIT("2"), 0}, ERR_CONFLICT, "1", "", ""},
    {"put, present, expired",
     {STORE_PUT, STORE_PRESENT, 0, STR_INIT("gone"), STR_INIT("2"), 0},
     ERR_CONFLICT,
     "1",
     "",
     ""},
    {"put, version", {STORE_PUT, STORE_VERSION, 7777, STR_INIT("a"), STR_INIT("2"), 0}, ERR_OK, "2", "", ""},
    {"put, other version",
     {STORE_PUT, STORE_VERSION, 7778, STR_INIT("a"), STR_INIT("2"), 0},
     ERR_CONFLICT,
     "1",
     "",
     ""},
    {"put, version 0, is there",
     {STORE_PUT, STORE_VERSION, 0, STR_INIT("a"), STR_INIT("2"), 0},
     ERR_CONFLICT,
     "1",
     "",
     ""},
    {"put, version 0, is not", {STORE_PUT, STORE_VERSION, 0, STR_INIT("z"), STR_INIT("2"), 0}, ERR_OK, "1", "", "2"},
    {"put, version 0, expired",
     {STORE_PUT, STORE_VERSION, 0, STR_INIT("gone"), STR_INIT("2"), 0},
     ERR_OK,
     "1",
     "2",
     ""},
    {"put, empty value", {STORE_PUT, STORE_ANY, 0, STR_INIT("a"), STR_INIT(""), 0}, ERR_OK, "", "", ""},
    {"delete", {STORE_DELETE, STORE_ANY, 0, STR_INIT("a"), STR_INIT(""), 0}, ERR_OK, "", "", ""},
    {"delete what is not there", {STORE_DELETE, STORE_ANY, 0, STR_INIT("z"), STR_INIT(""), 0}, ERR_OK, "1", "", ""},
    {"delete, present, is not",
     {STORE_DELETE, STORE_PRESENT, 0, STR_INIT("z"), STR_INIT(""), 0},
     ERR_CONFLICT,
     "1",
     "",
     ""},
    {"delete, version", {STORE_DELETE, STORE_VERSION, 7777, STR_INIT("a"), STR_INIT(""), 0}, ERR_OK, "", "", ""},
    {"delete, other version",
     {STORE_DELETE, STORE_VERSION, 7778, STR_INIT("a"), STR_INIT(""), 0},
     ERR_CONFLICT,
     "1",
     "",
     ""},
    {"check alone", {STORE_CHECK, STORE_VERSION, 7777, STR_INIT("a"), STR_INIT(""), 0}, ERR_OK, "1", "", ""},
    {"check alone, not so", {STORE_CHECK, STORE_ABSENT, 0, STR_INIT("a"), STR_INIT(""), 0}, ERR_CONFLICT, "1", "", ""},
    {"already expired", {STORE_PUT, STORE_ANY, 0, STR_INIT("a"), STR_INIT("2"), 1800000000}, ERR_OK, "", "", ""},
    {"expires in a second", {STORE_PUT, STORE_ANY, 0, STR_INIT("a"), STR_INIT("2"), 1800000001}, ERR_OK, "2", "", ""},
};

static void every_condition_holds_or_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
        struct store_position va;
        struct store_op op = conditions[i].op;
        struct store_job job = {.kind = STORE_BATCH, .space = STORE_CONTROL, .ops = &op, .n_ops = 1};
        (void)suite_delete(store, STORE_CONTROL, "z");
        assert_err(suite_put(store, STORE_CONTROL, "gone", "x", 1700000000, NULL), ERR_OK);
        assert_err(suite_put(store, STORE_CONTROL, "a", "1", 0, &va), ERR_OK);
        if (op.version == 7777) op.version = va.number;
        if (op.version == 7778) op.version = va.number - 1;
        enum err err = suite_do(store, &job);
        if (err != conditions[i].want) fail_msg("%s: got %s", conditions[i].name, err_name(err));
        if (err == ERR_CONFLICT) assert_int_equal(job.failed, 0);
        if (err == ERR_OK) assert_int_equal(job.at.epoch, va.epoch);
        const struct given want[] = {{"a", conditions[i].a}, {"gone", conditions[i].gone}, {"z", conditions[i].z}};
        for (size_t w = 0; w < 3; w++) {
            const char *got = suite_get(store, STORE_CONTROL, want[w].key);
            if (strcmp(got, want[w].value) != 0) fail_msg("%s: %s holds %s", conditions[i].name, want[w].key, got);
        }
    }
}

static void a_batch_is_all_or_nothing_against_what_was_before(void **state)
{
    (void)state;
    struct store_position before, after;
    assert_err(suite_put(store, STORE_IDENTITY, "k", "1", 0, &before), ERR_OK);
    struct store_op ops[] = {
        {STORE_PUT, STORE_PRESENT, 0, STR("k"), STR("2"), 0},
        {STORE_DELETE, STORE_VERSION, before.number, STR("k"), STR(""), 0}, /* judged by what was before the batch */
        {STORE_PUT, STORE_ABSENT, 0, STR("n"), STR("3"), 0},
        {STORE_PUT, STORE_ABSENT, 0, STR("k"), STR("4"), 0}, /* there before: the whole batch is refused */
    };
    struct store_job job = {.kind = STORE_BATCH, .space = STORE_IDENTITY, .ops = ops, .n_ops = 4};
    assert_err(suite_do(store, &job), ERR_CONFLICT);
    assert_int_equal(job.failed, 3);
    assert_string_equal(suite_get(store, STORE_IDENTITY, "k"), "1");
    assert_string_equal(suite_get(store, STORE_IDENTITY, "n"), "");
    ops[3].condition = STORE_PRESENT;
    assert_err(suite_do(store, &job), ERR_OK);
    assert_int_equal(job.at.number, before.number + 4); /* each its own change, without gaps, none for the refused */
    assert_string_equal(suite_get(store, STORE_IDENTITY, "k"), "4");
    assert_err(suite_put(store, STORE_IDENTITY, "k", "5", 0, &after), ERR_OK);
    assert_int_equal(after.number, before.number + 5);
    assert_string_equal(suite_get(store, STORE_CONTROL, "k"), ""); /* spaces are apart */
}

static char big[STORE_VALUE_MAX + 1];

static void what_is_out_of_bounds_changes_nothing(void **state)
{
    (void)state;
    memset(big, 'x', sizeof big);
    str key_max = str_make(big, STORE_KEY_MAX), too_long = str_make(big, STORE_KEY_MAX + 1);
    static struct store_op many[STORE_OPS_MAX + 1];
    static str many_keys[STORE_RANGE_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = (struct store_op){STORE_PUT, STORE_ANY, 0, STR("m"), STR("1"), 0};
    for (size_t i = 0; i < ARRAY_LEN(many_keys); i++) many_keys[i] = STR("m");
    struct store_op op = {STORE_PUT, STORE_ANY, 0, STR(""), STR("1"), 0};
    struct store_op full[5];
    for (size_t i = 0; i < 5; i++)
        full[i] = (struct store_op){STORE_PUT, STORE_ANY, 0, STR("f"), str_make(big, STORE_VALUE_MAX), 0};
    const struct {
        const char *name;
        struct store_job job;
        struct store_op op;
        enum err want;
    } rows[] = {
        {"empty key", {.kind = STORE_BATCH, .n_ops = 1}, {.verb = STORE_PUT, .key = STR("")}, ERR_MALFORMED},
        {"NUL in a key", {.kind = STORE_BATCH, .n_ops = 1}, {.verb = STORE_PUT, .key = STR("a\0b")}, ERR_MALFORMED},
        {"key at the bound", {.kind = STORE_BATCH, .n_ops = 1}, {.verb = STORE_PUT, .key = key_max}, ERR_OK},
        {"key too long", {.kind = STORE_BATCH, .n_ops = 1}, {.verb = STORE_PUT, .key = too_long}, ERR_LIMIT},
        {"value at the bound",
         {.kind = STORE_BATCH, .n_ops = 1},
         {.verb = STORE_PUT, .key = STR("v"), .value = str_make(big, STORE_VALUE_MAX)},
         ERR_OK},
        {"value too long",
         {.kind = STORE_BATCH, .n_ops = 1},
         {.verb = STORE_PUT, .key = STR("v"), .value = str_make(big, STORE_VALUE_MAX + 1)},
         ERR_LIMIT},
        {"negative time",
         {.kind = STORE_BATCH, .n_ops = 1},
         {.verb = STORE_PUT, .key = STR("v"), .expires_s = -1},
         ERR_MALFORMED},
        {"no verb", {.kind = STORE_BATCH, .n_ops = 1}, {.verb = (enum store_verb)9, .key = STR("v")}, ERR_MALFORMED},
        {"no condition",
         {.kind = STORE_BATCH, .n_ops = 1},
         {.condition = (enum store_condition)9, .key = STR("v")},
         ERR_MALFORMED},
        {"no ops", {.kind = STORE_BATCH, .ops = many}, {0}, ERR_MALFORMED},
        {"ops at the bound", {.kind = STORE_BATCH, .ops = many, .n_ops = STORE_OPS_MAX}, {0}, ERR_OK},
        {"too many ops", {.kind = STORE_BATCH, .ops = many, .n_ops = STORE_OPS_MAX + 1}, {0}, ERR_LIMIT},
        {"too many bytes", {.kind = STORE_BATCH, .ops = full, .n_ops = 5}, {0}, ERR_LIMIT},
        {"no keys", {.kind = STORE_GET, .keys = many_keys}, {0}, ERR_MALFORMED},
        {"keys at the bound", {.kind = STORE_GET, .keys = many_keys, .n_keys = STORE_RANGE_MAX}, {0}, ERR_OK},
        {"too many keys", {.kind = STORE_GET, .keys = many_keys, .n_keys = STORE_RANGE_MAX + 1}, {0}, ERR_LIMIT},
        {"range limit", {.kind = STORE_RANGE, .limit = STORE_RANGE_MAX + 1}, {0}, ERR_LIMIT},
        {"no kind", {.kind = (enum store_kind)9}, {0}, ERR_MALFORMED},
        {"no space", {.kind = STORE_RANGE, .space = (enum store_space)9}, {0}, ERR_DENIED},
        {"a space that is not served", {.kind = STORE_RANGE, .space = STORE_TENANTS}, {0}, ERR_DENIED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_job job = rows[i].job;
        op = rows[i].op;
        if (job.kind == STORE_BATCH && !job.ops) job.ops = &op;
        enum err err = suite_do(store, &job);
        if (err != rows[i].want) fail_msg("%s: got %s", rows[i].name, err_name(err));
        store_job_clear(&job);
    }
    assert_string_equal(suite_get(store, STORE_IDENTITY, "f"), "");
}

/* --- ranges --- */

static void fill(enum store_space space, int n)
{
    char keys[STORE_OPS_MAX][8];
    struct store_op ops[STORE_OPS_MAX];
    for (int i = 0; i < n; i++) {
        snprintf(keys[i], sizeof keys[i], "r/%03d", i);
        ops[i] = (struct store_op){STORE_PUT, STORE_ANY, 0, str_of(keys[i]), str_of(keys[i]), 0};
    }
    struct store_job job = {.kind = STORE_BATCH, .space = space, .ops = ops, .n_ops = (uint32_t)n};
    assert_err(suite_do(store, &job), ERR_OK);
}

static const struct {
    const char *name, *from, *to;
    uint32_t limit;
    bool reverse;
    int n, first, last;
    bool more;
} ranges[] = {
    {"all", "", "", 0, false, 100, 0, 99, false},
    {"all backwards", "", "", 0, true, 100, 99, 0, false},
    {"from, without to", "r/010", "r/013", 0, false, 3, 10, 12, false},
    {"backwards", "r/010", "r/013", 0, true, 3, 12, 10, false},
    {"between keys", "r/0105", "r/0125", 0, false, 2, 11, 12, false},
    {"limit", "r/", "r0", 7, false, 7, 0, 6, true},
    {"limit backwards", "r/", "r0", 7, true, 7, 99, 93, true},
    {"limit that is just enough", "r/090", "", 10, false, 10, 90, 99, false},
    {"empty", "r/010", "r/010", 0, false, 0, 0, 0, false},
    {"turned around", "r/020", "r/010", 0, false, 0, 0, 0, false},
    {"turned around, backwards", "r/020", "r/010", 0, true, 0, 0, 0, false},
    {"behind all", "s", "", 0, false, 0, 0, 0, false},
    {"before all", "", "r", 0, true, 0, 0, 0, false},
};

static void ranges_give_what_lies_between(void **state)
{
    (void)state;
    fill(STORE_AUDIT, 100);
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        struct store_job job = {.kind = STORE_RANGE,
                                .space = STORE_AUDIT,
                                .from = str_of(ranges[i].from),
                                .to = str_of(ranges[i].to),
                                .limit = ranges[i].limit,
                                .reverse = ranges[i].reverse};
        assert_err(suite_do(store, &job), ERR_OK);
        int n = (int)job.n_entries;
        if (n != ranges[i].n || job.more != ranges[i].more)
            fail_msg("%s: %d entries, more %d", ranges[i].name, n, job.more);
        char first[8], last[8];
        snprintf(first, sizeof first, "r/%03d", ranges[i].first);
        snprintf(last, sizeof last, "r/%03d", ranges[i].last);
        if (n) assert_str(job.entries[0].key, str_of(first));
        if (n) assert_str(job.entries[n - 1].value, str_of(last));
        assert_int_equal(job.at.number, 100);
        store_job_clear(&job);
    }
}

static void a_range_of_more_than_fits_is_cut_and_goes_on(void **state)
{
    (void)state;
    int got = 0;
    char from[16] = "";
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 6; i++) {
        char key[8];
        snprintf(key, sizeof key, "b%d", i);
        struct store_op op = {STORE_PUT, STORE_ANY, 0, str_of(key), str_make(big, STORE_VALUE_MAX), 0};
        struct store_job job = {.kind = STORE_BATCH, .space = STORE_AUDIT, .ops = &op, .n_ops = 1};
        assert_err(suite_do(store, &job), ERR_OK);
    }
    for (bool more = true; more;) {
        struct store_job job = {.kind = STORE_RANGE, .space = STORE_AUDIT, .from = str_of(from)};
        assert_err(suite_do(store, &job), ERR_OK);
        assert_in_range(job.n_entries, 1, 3); /* three and their keys fit in STORE_BATCH_MAX, a fourth does not */
        got += (int)job.n_entries;
        more = job.more;
        str last = job.entries[job.n_entries - 1].key;
        snprintf(from, sizeof from, "%.*s!", STR_ARG(last));
        store_job_clear(&job);
    }
    assert_int_equal(got, 6);
    str keys[6] = {STR("b0"), STR("b1"), STR("b2"), STR("b3"), STR("b4"), STR("b5")};
    struct store_job job = {.kind = STORE_GET, .space = STORE_AUDIT, .keys = keys, .n_keys = 6};
    assert_err(suite_do(store, &job), ERR_LIMIT);
    store_job_clear(&job);
}

/* --- time --- */

static void an_expired_entry_is_absent_at_that_second_and_swept_later(void **state)
{
    (void)state;
    struct mirror m;
    mirror_start(&m, store, STORE_AUTHENTICATION, "", "suite/ttl", 0);
    assert_err(suite_put(store, STORE_AUTHENTICATION, "t", "1", 1800000010, NULL), ERR_OK);
    suite_clock_set(UINT64_C(1800000009999));
    assert_string_equal(suite_get(store, STORE_AUTHENTICATION, "t"), "1");
    suite_clock_set(UINT64_C(1800000010000));
    assert_string_equal(suite_get(store, STORE_AUTHENTICATION, "t"), "");
    struct store_job job = {.kind = STORE_RANGE, .space = STORE_AUTHENTICATION};
    assert_err(suite_do(store, &job), ERR_OK);
    assert_int_equal(job.n_entries, 0);
    store_job_clear(&job);
    mirror_until(&m, 2); /* its removal is the second change */
    assert_int_equal(m.removed, 1);
    assert_int_equal(m.map.n, 0);
    mirror_stop(&m);
}

/* --- watching --- */

static void a_watch_is_told_all_that_is_there_then_every_change(void **state)
{
    (void)state;
    struct mirror m;
    fill(STORE_CONTROL, 200);
    for (int i = 0; i < 5; i++) fill(STORE_CONTROL, 200); /* more than a page of them */
    mirror_start(&m, store, STORE_CONTROL, "r/1", "suite/watch", 0);
    mirror_until(&m, 1200);
    assert_int_equal(m.resyncs, 1);
    assert_int_equal(m.map.n, 100);
    assert_true(m.watch.up);
    assert_err(suite_put(store, STORE_CONTROL, "r/150", "new", 0, NULL), ERR_OK);
    assert_err(suite_put(store, STORE_CONTROL, "other", "not told", 0, NULL), ERR_OK);
    assert_err(suite_delete(store, STORE_CONTROL, "r/151"), ERR_OK);
    mirror_until(&m, 1203);
    assert_int_equal(m.changed, 1);
    assert_int_equal(m.removed, 1);
    assert_int_equal(m.map.n, 99);
    assert_str(model_get(&m.map, STR("r/150"))->value, STR("new"));
    mirror_stop(&m);
    /* another goes on where it was, and is told nothing twice */
    struct store_position from = m.watch.seen;
    assert_err(suite_put(store, STORE_CONTROL, "r/152", "later", 0, NULL), ERR_OK);
    struct mirror later;
    mirror_start_from(&later, store, STORE_CONTROL, "r/1", "suite/watch", 0, from);
    mirror_until(&later, 1204);
    assert_int_equal(later.resyncs, 0);
    assert_int_equal(later.changed, 1);
    mirror_stop(&later);
    /* from another epoch everything comes anew */
    from.epoch++;
    mirror_start_from(&later, store, STORE_CONTROL, "r/1", "suite/watch", 0, from);
    mirror_until(&later, 1204);
    assert_int_equal(later.resyncs, 1);
    assert_int_equal(later.map.n, 99);
    mirror_stop(&later);
}

static void a_space_of_more_than_a_page_is_told_whole(void **state)
{
    (void)state;
    struct mirror m;
    char key[32];
    for (int i = 0; i < 8; i++) {
        struct store_op ops[STORE_OPS_MAX];
        static char keys[STORE_OPS_MAX][24];
        for (int j = 0; j < STORE_OPS_MAX; j++) {
            snprintf(keys[j], sizeof keys[j], "many/%d/%d", i, j);
            ops[j] = (struct store_op){STORE_PUT, STORE_ANY, 0, str_of(keys[j]), STR("v"), 0};
        }
        struct store_job job = {.kind = STORE_BATCH, .space = STORE_CONTROL, .ops = ops, .n_ops = STORE_OPS_MAX};
        assert_err(suite_do(store, &job), ERR_OK);
    }
    mirror_start(&m, store, STORE_CONTROL, "", "suite/pages", 0);
    mirror_until(&m, 8 * STORE_OPS_MAX);
    assert_int_equal(m.map.n, 8 * STORE_OPS_MAX);
    snprintf(key, sizeof key, "many/7/255");
    assert_non_null(model_get(&m.map, str_of(key)));
    mirror_stop(&m);
}

static struct store_watch *to_stop;

static void stops_itself(struct store_watch *w, const struct store_change *c)
{
    (void)c;
    store_watch_stop(store, w);
    to_stop = NULL;
}

static void a_watch_may_be_stopped_from_its_own_call(void **state)
{
    (void)state;
    fill(STORE_CONTROL, 10);
    struct store_watch w = {.space = STORE_CONTROL,
                            .prefix = STR(""),
                            .name = STR("suite/stops"),
                            .on_change = stops_itself};
    to_stop = &w;
    assert_err(store_watch_start(store, &w), ERR_OK);
    for (int i = 0; i < 200 && to_stop; i++) loop_turn(loop, 20);
    assert_null(to_stop);
    store_watch_stop(store, &w); /* again is fine */
    assert_string_equal(suite_get(store, STORE_CONTROL, "r/001"), "r/001");
    struct store_watch bad = w;
    bad.name = STR("");
    assert_err(store_watch_start(store, &bad), ERR_LIMIT);
    bad.name = str_make(big, STORE_NAME_MAX + 1);
    assert_err(store_watch_start(store, &bad), ERR_LIMIT);
}

/* The one watcher of that name: connected, away, or NULL; what it has confirmed, whether it holds a lease. */
static const char *watcher(const char *name, uint64_t *confirmed, bool *leased)
{
    static char state[16];
    struct store_job job = {.kind = STORE_WATCHERS, .space = STORE_CONTROL};
    assert_err(suite_do(store, &job), ERR_OK);
    const char *found = NULL;
    for (uint32_t i = 0; i < job.n_entries; i++) {
        const struct store_entry *e = &job.entries[i];
        if (!str_eq(e->key, str_of(name))) continue;
        assert_null(found);
        snprintf(state, sizeof state, "%.*s", STR_ARG(e->value));
        found = state;
        *confirmed = e->version;
        *leased = e->expires_s != 0;
        if (*leased) assert_in_range(e->expires_s, 1800000000, 1800000000 + 61);
    }
    store_job_clear(&job);
    return found;
}

static void a_waiter_sees_what_each_watcher_has_in_force(void **state)
{
    (void)state;
    struct mirror m;
    uint64_t confirmed = 0;
    bool leased = false;
    struct store_position at;
    fill(STORE_CONTROL, 3);
    mirror_start(&m, store, STORE_CONTROL, "r/", "suite/enforcer", 60000);
    mirror_until(&m, 3);
    for (int i = 0; i < 200 && !m.watch.fresh_until_ms; i++) loop_turn(loop, 20);
    assert_in_range(m.watch.fresh_until_ms, loop_now_ms(loop) + 50000, loop_now_ms(loop) + 60000);
    assert_string_equal(watcher("suite/enforcer", &confirmed, &leased), "connected");
    assert_true(leased);
    assert_int_equal(confirmed, 0);
    store_watch_confirm(store, &m.watch, m.watch.seen);
    for (int i = 0; i < 200 && confirmed != 3; i++) (void)watcher("suite/enforcer", &confirmed, &leased);
    assert_int_equal(confirmed, 3);
    /* what it does not watch, it need not confirm */
    assert_err(suite_put(store, STORE_CONTROL, "x", "1", 0, &at), ERR_OK);
    for (int i = 0; i < 200 && confirmed != 4; i++) (void)watcher("suite/enforcer", &confirmed, &leased);
    assert_int_equal(confirmed, 4);
    assert_err(suite_put(store, STORE_CONTROL, "r/000", "1", 0, &at), ERR_OK);
    mirror_until(&m, 5);
    (void)watcher("suite/enforcer", &confirmed, &leased);
    assert_int_equal(confirmed, 4);
    store_watch_confirm(store, &m.watch, at);
    for (int i = 0; i < 200 && confirmed != 5; i++) (void)watcher("suite/enforcer", &confirmed, &leased);
    assert_int_equal(confirmed, 5);
    mirror_stop(&m); /* gives the lease back */
    const char *left = "";
    for (int i = 0; i < 200 && left; i++) left = watcher("suite/enforcer", &confirmed, &leased);
    assert_null(left);
}

static void a_watcher_that_confirms_nothing_loses_its_lease(void **state)
{
    (void)state;
    struct mirror m;
    mirror_start(&m, store, STORE_CONTROL, "", "suite/lazy", 400);
    assert_err(suite_put(store, STORE_CONTROL, "k", "1", 0, NULL), ERR_OK);
    mirror_until(&m, 1);
    uint64_t end = clock_mono_ns() / 1000000 + 1500;
    while (clock_mono_ns() / 1000000 < end) loop_turn(loop, 20);
    assert_true(m.watch.fresh_until_ms < loop_now_ms(loop)); /* it beats all the time */
    store_watch_confirm(store, &m.watch, m.watch.seen);
    for (int i = 0; i < 200 && m.watch.fresh_until_ms <= loop_now_ms(loop); i++) loop_turn(loop, 20);
    assert_true(m.watch.fresh_until_ms > loop_now_ms(loop));
    mirror_stop(&m);
}

/* --- many at once, and the end --- */

enum { MANY = 500 };

static int done_n, ok_n, closed_n;

static void on_one_done(struct store_job *job)
{
    done_n++;
    ok_n += job->err == ERR_OK;
    closed_n += job->err == ERR_CLOSED;
    store_job_clear(job);
}

static struct store_job jobs[MANY];
static struct store_op ops_of[MANY];
static char keys_of[MANY][16];

static void submit_many(void)
{
    done_n = ok_n = closed_n = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(keys_of[i], sizeof keys_of[i], "many%d", i);
        ops_of[i] = (struct store_op){STORE_PUT, STORE_ANY, 0, str_of(keys_of[i]), str_of(keys_of[i]), 0};
        jobs[i] = (struct store_job){.kind = STORE_BATCH,
                                     .space = STORE_IDENTITY,
                                     .ops = &ops_of[i],
                                     .n_ops = 1,
                                     .done = on_one_done};
        store_submit(store, &jobs[i]);
    }
    assert_int_equal(done_n, 0);
}

static void many_at_once_are_all_answered_and_numbered_without_gaps(void **state)
{
    (void)state;
    submit_many();
    for (int i = 0; i < 1000 && done_n < MANY; i++) loop_turn(loop, 20);
    assert_int_equal(done_n, MANY);
    assert_int_equal(ok_n, MANY);
    bool seen[MANY + 1] = {false};
    for (int i = 0; i < MANY; i++) {
        assert_in_range(jobs[i].at.number, 1, MANY);
        assert_false(seen[jobs[i].at.number]);
        seen[jobs[i].at.number] = true;
    }
}

static void freeing_ends_what_is_under_way(void **state)
{
    (void)state;
    struct mirror m;
    mirror_start(&m, store, STORE_IDENTITY, "", "suite/free", 1000);
    submit_many();
    store_watch_stop(store, &m.watch);
    store_free(&store);
    assert_int_equal(done_n, MANY);
    assert_int_equal(ok_n + closed_n, MANY);
    model_free(&m.map);
    store = suite->join(suite->ctx, loop);
    assert_non_null(store);
    struct store_job job = {.kind = STORE_RANGE, .space = STORE_IDENTITY};
    assert_err(suite_do(store, &job), ERR_OK);
    assert_true((int)job.n_entries >= ok_n); /* what was answered is there */
    store_job_clear(&job);
}

static void two_clients_of_one_store_see_each_other(void **state)
{
    (void)state;
    struct store *other = suite->join(suite->ctx, loop);
    assert_non_null(other);
    assert_err(suite_put(store, STORE_CONTROL, "k", "1", 0, NULL), ERR_OK);
    assert_string_equal(suite_get(other, STORE_CONTROL, "k"), "1");
    assert_err(suite_put(other, STORE_CONTROL, "k", "2", 0, NULL), ERR_OK);
    assert_string_equal(suite_get(store, STORE_CONTROL, "k"), "2");
    store_free(&other);
}

static void a_long_random_story_is_told_like_by_a_plain_map(void **state)
{
    (void)state;
    model_story(store, suite->join, suite->ctx, 2000);
}

int store_suite(const struct store_suite *s)
{
    suite = s;
#define T(f)                                                                                                           \
    {                                                                                                                  \
#f, f, up, down, NULL                                                                                          \
    }
    const struct CMUnitTest tests[] = {
        T(every_condition_holds_or_refuses),
        T(a_batch_is_all_or_nothing_against_what_was_before),
        T(what_is_out_of_bounds_changes_nothing),
        T(ranges_give_what_lies_between),
        T(a_range_of_more_than_fits_is_cut_and_goes_on),
        T(an_expired_entry_is_absent_at_that_second_and_swept_later),
        T(a_watch_is_told_all_that_is_there_then_every_change),
        T(a_space_of_more_than_a_page_is_told_whole),
        T(a_watch_may_be_stopped_from_its_own_call),
        T(a_waiter_sees_what_each_watcher_has_in_force),
        T(a_watcher_that_confirms_nothing_loses_its_lease),
        T(many_at_once_are_all_answered_and_numbered_without_gaps),
        T(freeing_ends_what_is_under_way),
        T(two_clients_of_one_store_see_each_other),
        T(a_long_random_story_is_told_like_by_a_plain_map),
    };
    return cmocka_run_group_tests_name(s->name, tests, NULL, NULL);
}
