#include "audit/head.h"

#include "base/arena.h"
#include "base/clock.h"
#include "codec/json.h"
#include "crypto/digest.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { AGAIN_MS = 1000 };

static const struct json_limits head_limits = {.max_bytes = HEAD_VALUE_MAX,
                                               .max_depth = 2,
                                               .max_values = 8,
                                               .max_members = 8,
                                               .max_number = 20};

str audit_head_prefix(char room[AUDIT_HEAD_PREFIX_MAX], const char *folder)
{
    char host[HOST_NAME_MAX + 1] = "", path[PATH_MAX], text[HOST_NAME_MAX + 1 + PATH_MAX + 1];
    unsigned char digest[SHA256_LEN];
    (void)gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "%s\n%s", host, realpath(folder, path) ? path : folder);
    sha256(str_make(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1), digest);
    n = snprintf(room, AUDIT_HEAD_PREFIX_MAX, "head/");
    for (size_t i = 0; i < AUDIT_PLACE_BYTES; i++)
        n += snprintf(room + n, AUDIT_HEAD_PREFIX_MAX - (size_t)n, "%02x", digest[i]);
    room[n++] = '/';
    return str_make(room, (size_t)n);
}

str audit_head_key(char room[HEAD_KEY_MAX], const char *folder, str chain)
{
    str prefix = audit_head_prefix(room, folder), name = str_first(chain, AUDIT_CHAIN_MAX);
    memcpy(room + prefix.n, name.p, name.n);
    return str_make(room, prefix.n + name.n);
}

enum err audit_head_read(str value, struct audit_chain *out)
{
    char first[1024];
    struct arena mem;
    const struct json *v;
    int64_t sequence;
    arena_init(&mem, first, sizeof first, 65536);
    enum err e = json_parse(value, &head_limits, &mem, &v, NULL, NULL);
    if (e == ERR_OK) {
        str hash = json_text(json_get(v, STR("hash")));
        if (json_int(json_get(v, STR("sequence")), &sequence) != ERR_OK || sequence < 0 || hash.n != CHAIN_HASH_LEN) {
            e = ERR_MALFORMED;
        } else {
            out->sequence = (uint64_t)sequence;
            memcpy(out->hash, hash.p, CHAIN_HASH_LEN);
        }
    }
    arena_reset(&mem);
    return e == ERR_LIMIT ? ERR_MALFORMED : e;
}

static void submit(struct audit_head *h);

/* Whatever went wrong (the store is away, its disk is full), the newest head is written as soon as it can be. */
static void on_again(struct timer *t)
{
    struct audit_head *h = CONTAINER_OF(t, struct audit_head, again);
    if (!h->busy) submit(h);
}

static void on_read(struct store_job *job)
{
    struct audit_head *h = CONTAINER_OF(job, struct audit_head, job);
    struct audit_chain at = {0};
    h->busy = false;
    if (job->err == ERR_OK) {
        bool found = job->n_entries == 1 && job->entries[0].version != 0;
        /* One that cannot be read is no evidence of anything; the next one takes its place. */
        if (found && audit_head_read(job->entries[0].value, &at) != ERR_OK) found = false;
        h->known = true;
        store_job_clear(job);
        h->on_known(h->ctx, found, &at);
        if (h->dirty && !h->busy) submit(h);
        return;
    }
    store_job_clear(job);
    timer_set(h->loop, &h->again, loop_now_ms(h->loop) + AGAIN_MS);
}

static void on_written(struct store_job *job)
{
    struct audit_head *h = CONTAINER_OF(job, struct audit_head, job);
    bool ok = job->err == ERR_OK;
    h->busy = false;
    store_job_clear(job);
    if (!ok) h->dirty = true;
    if (ok && h->dirty) submit(h);
    if (!ok) timer_set(h->loop, &h->again, loop_now_ms(h->loop) + AGAIN_MS);
}

static void submit(struct audit_head *h)
{
    h->busy = true;
    h->job = (struct store_job){.kind = STORE_GET, .space = STORE_AUDIT, .keys = &h->key, .n_keys = 1, .done = on_read};
    if (h->known) {
        int n = snprintf(h->value, sizeof h->value, "{\"sequence\":%llu,\"hash\":\"%.*s\"}",
                         (unsigned long long)h->latest.sequence, CHAIN_HASH_LEN, h->latest.hash);
        h->op = (struct store_op){.verb = STORE_PUT, .key = h->key, .value = str_make(h->value, (size_t)n)};
        h->job = (struct store_job){.kind = STORE_BATCH,
                                    .space = STORE_AUDIT,
                                    .ops = &h->op,
                                    .n_ops = 1,
                                    .done = on_written};
        h->dirty = false;
    }
    store_submit(h->store, &h->job);
}

void audit_head_start(struct audit_head *h)
{
    h->again = (struct timer){.on_time = on_again};
    if (h->store) submit(h);
}

void audit_head_set(struct audit_head *h, const struct audit_chain *at)
{
    if (!h->store) return;
    h->latest = *at;
    h->dirty = true;
    if (h->known && !h->busy && !timer_is_set(&h->again)) submit(h);
}

void audit_head_finish(struct audit_head *h, uint64_t most_ms)
{
    if (!h->store) return;
    uint64_t until = clock_mono_ns() + most_ms * 1000000u;
    while ((h->busy || h->dirty) && clock_mono_ns() < until) loop_turn(h->loop, 10);
    timer_clear(h->loop, &h->again);
    store_free(&h->store); /* a job under way ends before it returns */
    timer_clear(h->loop, &h->again);
}
