#include "store/job.h"

#include <stdlib.h>

struct store_result {
    struct store_entry *entries;
    char *bytes;
};

enum err store_key_check(str key)
{
    if (key.n > STORE_KEY_MAX) return ERR_LIMIT;
    return key.n && !str_has(key, '\0') ? ERR_OK : ERR_MALFORMED;
}

static enum err check_keys(const struct store_job *job)
{
    if (job->n_keys > STORE_RANGE_MAX) return ERR_LIMIT;
    if (!job->n_keys) return ERR_MALFORMED;
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < job->n_keys && e == ERR_OK; i++) e = store_key_check(job->keys[i]);
    return e;
}

/* The ends of a range are no keys of entries: any bytes, `to` may be one longer than a key. */
static enum err check_range(const struct store_job *job)
{
    return job->from.n > STORE_KEY_MAX + 1 || job->to.n > STORE_KEY_MAX + 1 || job->limit > STORE_RANGE_MAX ? ERR_LIMIT
                                                                                                            : ERR_OK;
}

static enum err check_ops(const struct store_job *job)
{
    if (job->n_ops > STORE_OPS_MAX) return ERR_LIMIT;
    if (!job->n_ops) return ERR_MALFORMED;
    size_t bytes = 0;
    for (uint32_t i = 0; i < job->n_ops; i++) {
        const struct store_op *op = &job->ops[i];
        if ((unsigned)op->verb > STORE_DELETE || (unsigned)op->condition > STORE_VERSION) return ERR_MALFORMED;
        if (op->verb == STORE_PUT && (op->expires_s < 0 || op->value.n > STORE_VALUE_MAX))
            return op->expires_s < 0 ? ERR_MALFORMED : ERR_LIMIT;
        enum err e = store_key_check(op->key);
        if (e != ERR_OK) return e;
        bytes += op->key.n + (op->verb == STORE_PUT ? op->value.n : 0);
        if (bytes > STORE_BATCH_MAX) return ERR_LIMIT;
    }
    return ERR_OK;
}

enum err store_job_check(const struct store_job *job)
{
    if ((unsigned)job->space >= STORE_SPACES) return ERR_DENIED;
    switch (job->kind) {
    case STORE_GET: return check_keys(job);
    case STORE_RANGE: return check_range(job);
    case STORE_BATCH: return check_ops(job);
    case STORE_WATCHERS: return ERR_OK;
    }
    return ERR_MALFORMED;
}

void store_answer_init(struct store_answer *a)
{
    *a = (struct store_answer){0};
    buf_init(&a->bytes, STORE_BATCH_MAX);
}

/* An offset dressed as a slice until the bytes stop moving. Never followed before store_answer_give. */
static str put_bytes(struct buf *b, str s)
{
    size_t at = b->n;
    buf_put(b, s);
    return str_make((const char *)(uintptr_t)at, s.n);
}

static enum err grow(struct store_answer *a)
{
    if (a->n >= STORE_RANGE_MAX) return ERR_LIMIT;
    if (a->n < a->cap) return ERR_OK;
    uint32_t cap = a->cap ? a->cap * 4 : 4;
    struct store_entry *entries = realloc(a->entries, cap * sizeof *entries);
    if (!entries) return ERR_NO_MEMORY;
    a->entries = entries;
    a->cap = cap;
    return ERR_OK;
}

enum err store_answer_add(struct store_answer *a, const struct store_entry *e)
{
    if (a->bytes.n + e->key.n + e->value.n > STORE_BATCH_MAX) return ERR_LIMIT;
    enum err err = grow(a);
    if (err != ERR_OK) return err;
    size_t n = a->bytes.n;
    struct store_entry copy = *e;
    copy.key = put_bytes(&a->bytes, e->key);
    copy.value = put_bytes(&a->bytes, e->value);
    if (a->bytes.bad) {
        a->bytes.bad = false;
        a->bytes.n = n;
        return ERR_NO_MEMORY;
    }
    a->entries[a->n++] = copy;
    return ERR_OK;
}

static str resolve(const char *bytes, str s)
{
    return s.n ? str_make(bytes + (uintptr_t)s.p, s.n) : STR("");
}

enum err store_answer_give(struct store_answer *a, struct store_job *job)
{
    struct store_result *r = malloc(sizeof *r);
    if (!r) {
        store_answer_drop(a);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        a->entries[i].key = resolve(a->bytes.p, a->entries[i].key);
        a->entries[i].value = resolve(a->bytes.p, a->entries[i].value);
    }
    *r = (struct store_result){a->entries, a->bytes.p};
    job->entries = a->entries;
    job->n_entries = a->n;
    job->result = r;
    store_answer_init(a);
    return ERR_OK;
}

void store_answer_drop(struct store_answer *a)
{
    free(a->entries);
    buf_free(&a->bytes);
    store_answer_init(a);
}

void store_job_reset(struct store_job *job)
{
    job->err = ERR_OK;
    job->failed = 0;
    job->at = (struct store_position){0};
    job->entries = NULL;
    job->n_entries = 0;
    job->more = false;
    job->result = NULL;
    job->next = NULL;
}

void store_job_clear(struct store_job *job)
{
    if (job->result) {
        free(job->result->entries);
        free(job->result->bytes);
        free(job->result);
    }
    job->result = NULL;
    job->entries = NULL;
    job->n_entries = 0;
}

str store_prefix_end(str prefix, char room[STORE_KEY_MAX])
{
    size_t n = prefix.n;
    while (n && (unsigned char)prefix.p[n - 1] == 0xff) n--;
    if (!n) return STR("");
    memcpy(room, prefix.p, n);
    room[n - 1] = (char)((unsigned char)room[n - 1] + 1);
    return str_make(room, n);
}
