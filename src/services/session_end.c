#include "services/session_end.h"

#define MARGIN_S 30 /* clocks that differ, and a refresh that was committed but is not signed yet */

static void finish(struct session_end *e, enum err err)
{
    e->err = err;
    store_job_clear(&e->job);
    buf_free(&e->value);
    e->done(e);
}

static void submit(struct session_end *e, struct store_job job, void (*done)(struct store_job *))
{
    store_job_clear(&e->job);
    e->job = job;
    e->job.done = done;
    store_submit(e->store, &e->job);
}

static str sid_of(const struct session_end *e)
{
    return str_make(e->sid, sizeof e->sid);
}

static void on_index_deleted(struct store_job *job)
{
    finish(CONTAINER_OF(job, struct session_end, job), job->err == ERR_OK ? ERR_NOT_FOUND : job->err);
}

static void on_deleted(struct store_job *job)
{
    struct session_end *e = CONTAINER_OF(job, struct session_end, job);
    if (job->err != ERR_CONFLICT) {
        finish(e, job->err);
        return;
    }
    /* somebody was quicker, or there is only an index left, which shall not stay */
    submit(e, (struct store_job){.kind = STORE_BATCH, .space = STORE_AUTHENTICATION, .ops = e->ops + 1, .n_ops = 1},
           on_index_deleted);
}

static void delete_both(struct session_end *e)
{
    e->ops[0] = (struct store_op){.verb = STORE_DELETE,
                                  .condition = STORE_PRESENT,
                                  .key = session_record_key(&e->keys[0], sid_of(e))};
    e->ops[1] =
        (struct store_op){.verb = STORE_DELETE, .key = session_of_key(&e->keys[1], e->base, e->name, sid_of(e))};
    submit(e, (struct store_job){.kind = STORE_BATCH, .space = STORE_AUTHENTICATION, .ops = e->ops, .n_ops = 2},
           on_deleted);
}

/* Whose it is, for its index. */
static void on_session(struct store_job *job)
{
    struct session_end *e = CONTAINER_OF(job, struct session_end, job);
    struct arena mem;
    struct session_record s;
    if (job->err != ERR_OK || !job->entries[0].version) {
        finish(e, job->err != ERR_OK ? job->err : ERR_NOT_FOUND);
        return;
    }
    arena_init(&mem, NULL, 0, RECORD_ARENA);
    enum err err = session_record_read(job->entries[0].value, &mem, &s);
    if (err == ERR_OK) {
        memcpy(e->user, s.base.p, s.base.n);
        memcpy(e->user + s.base.n, s.name.p, s.name.n);
        e->base = str_make(e->user, s.base.n);
        e->name = str_make(e->user + s.base.n, s.name.n);
    }
    arena_reset(&mem);
    if (err != ERR_OK)
        finish(e, err);
    else
        delete_both(e);
}

static void on_revoked(struct store_job *job)
{
    struct session_end *e = CONTAINER_OF(job, struct session_end, job);
    if (job->err != ERR_OK) {
        finish(e, job->err);
        return;
    }
    e->at = job->at;
    if (e->base.n) {
        delete_both(e);
        return;
    }
    e->asked = session_record_key(&e->keys[0], sid_of(e));
    submit(e, (struct store_job){.kind = STORE_GET, .space = STORE_AUTHENTICATION, .keys = &e->asked, .n_keys = 1},
           on_session);
}

/* A sid is never used again, so whatever it was given is refused whenever it was issued, until the last of it would
 * have ended by itself. */
void session_end(struct session_end *e)
{
    int64_t until_s = (int64_t)(e->now_ms / 1000) + e->access_token_s + MARGIN_S;
    struct revocation_target target = {.kind = REVOCATION_SESSION, .value = sid_of(e)};
    struct revocation_record r = {.before_s = until_s, .reason = e->reason, .by = e->by, .at_ms = e->now_ms};
    buf_init(&e->value, RECORD_MAX);
    e->job = (struct store_job){0};
    enum err err = revocation_record_put(&e->value, &r);
    /* what could not be written down gets no key, which the store refuses: `done` says so */
    str key = err == ERR_OK ? revocation_record_key(&e->keys[0], &target) : STR_NONE;
    e->ops[0] = (struct store_op){.verb = STORE_PUT, .key = key, .value = buf_str(&e->value), .expires_s = until_s};
    submit(e, (struct store_job){.kind = STORE_BATCH, .space = STORE_CONTROL, .ops = e->ops, .n_ops = 1}, on_revoked);
}
