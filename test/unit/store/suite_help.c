#include "suite.h"

#include "base/clock.h"

#include <stdatomic.h>

static _Atomic uint64_t now_ms = UINT64_C(1800000000000);

uint64_t __wrap_clock_wall_ms(void);
uint64_t __wrap_clock_wall_ms(void)
{
    return atomic_load(&now_ms);
}

void suite_clock_set(uint64_t unix_ms)
{
    atomic_store(&now_ms, unix_ms);
}

void suite_until(struct loop *l, const bool *flag, const char *what)
{
    uint64_t end = clock_mono_ns() + UINT64_C(10000000000);
    while (!*flag) {
        if (clock_mono_ns() > end) fail_msg("%s did not come within 10 s", what);
        loop_turn(l, 20);
    }
}

struct waited {
    struct store_job *job;
    bool done;
};

static struct waited *suite_waited; /* one at a time */

static void on_done(struct store_job *job)
{
    assert_ptr_equal(suite_waited->job, job);
    assert_false(suite_waited->done); /* exactly once */
    suite_waited->done = true;
}

enum err suite_do(struct store *s, struct store_job *job)
{
    struct waited w = {job, false};
    suite_waited = &w;
    job->done = on_done;
    store_submit(s, job);
    assert_false(w.done); /* never from inside */
    suite_until(s->loop, &w.done, "the answer of a job");
    return job->err;
}

enum err suite_put(struct store *s, enum store_space space, const char *key, const char *value, int64_t expires_s,
                   struct store_position *at)
{
    struct store_op op = {STORE_PUT, STORE_ANY, 0, str_of(key), str_of(value), expires_s};
    struct store_job job = {.kind = STORE_BATCH, .space = space, .ops = &op, .n_ops = 1};
    enum err err = suite_do(s, &job);
    if (err == ERR_OK && at) *at = job.at;
    return err;
}

enum err suite_delete(struct store *s, enum store_space space, const char *key)
{
    struct store_op op = {.verb = STORE_DELETE, .key = str_of(key)};
    struct store_job job = {.kind = STORE_BATCH, .space = space, .ops = &op, .n_ops = 1};
    return suite_do(s, &job);
}

const char *suite_get(struct store *s, enum store_space space, const char *key)
{
    static char value[4096];
    str k = str_of(key);
    struct store_job job = {.kind = STORE_GET, .space = space, .keys = &k, .n_keys = 1};
    assert_err(suite_do(s, &job), ERR_OK);
    assert_int_equal(job.n_entries, 1);
    assert_str(job.entries[0].key, k);
    str v = job.entries[0].version ? job.entries[0].value : STR("");
    assert_true(v.n < sizeof value);
    if (v.n) memcpy(value, v.p, v.n);
    value[v.n] = '\0';
    store_job_clear(&job);
    store_job_clear(&job);
    return value;
}
