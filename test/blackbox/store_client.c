/* A client of the store in a process of its own, for roles.py: speaks store/remote.h and tells on stdout what happens,
 * a line each.
 *
 *   store_client ADDRESS get SPACE KEY            value VERSION TEXT | none
 *   store_client ADDRESS put SPACE KEY TEXT       ok NUMBER | the error's name
 *   store_client ADDRESS count SPACE PREFIX       the number of entries
 *   store_client ADDRESS watchers SPACE           NAME STATE CONFIRMED LEASED, a line each
 *   store_client ADDRESS write SPACE PREFIX N     puts N keys, 8 at a time, each again until it is acknowledged: "ok I"
 *                                                 when it is, "again I ERROR" when it has to be
 *   store_client ADDRESS watch SPACE PREFIX NAME LEASE_MS   begin, end NUMBER, put KEY TEXT NUMBER, gone KEY NUMBER,
 *                                                 up, down, fresh, stale; confirms everything; until stdin ends
 */
#include "base/log.h"
#include "store/remote.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define AT_ONCE 8

static struct loop *loop;
static struct store *store;
static enum store_space space;

static int usage(void)
{
    fprintf(stderr, "usage: store_client ADDRESS get|put|count|watchers|write|watch SPACE …\n");
    return 2;
}

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

static void on_done(struct store_job *job)
{
    (void)job;
    loop_stop(loop);
}

static enum err ask(struct store_job *job)
{
    job->space = space;
    job->done = on_done;
    store_submit(store, job);
    loop_run(loop);
    return job->err;
}

static int get(const char *key)
{
    str k = str_of(key);
    struct store_job job = {.kind = STORE_GET, .keys = &k, .n_keys = 1};
    enum err e = ask(&job);
    if (e != ERR_OK)
        say("%s", err_name(e));
    else if (!job.entries[0].version)
        say("none");
    else
        say("value %llu %.*s", (unsigned long long)job.entries[0].version, STR_ARG(job.entries[0].value));
    store_job_clear(&job);
    return e != ERR_OK;
}

static int put(const char *key, const char *value)
{
    struct store_op op = {STORE_PUT, STORE_ANY, 0, str_of(key), str_of(value), 0};
    struct store_job job = {.kind = STORE_BATCH, .ops = &op, .n_ops = 1};
    enum err e = ask(&job);
    if (e == ERR_OK)
        say("ok %llu", (unsigned long long)job.at.number);
    else
        say("%s", err_name(e));
    return e != ERR_OK;
}

static int count(const char *prefix)
{
    char from[STORE_KEY_MAX + 1], to[STORE_KEY_MAX + 1];
    size_t n = 0, total = 0, len = strlen(prefix);
    if (len >= STORE_KEY_MAX) return usage();
    memcpy(from, prefix, len);
    n = len;
    memcpy(to, prefix, len);
    if (len) to[len - 1]++;
    for (;;) {
        struct store_job job = {.kind = STORE_RANGE, .from = str_make(from, n), .to = str_make(to, len)};
        enum err e = ask(&job);
        if (e != ERR_OK) {
            say("%s", err_name(e));
            return 1;
        }
        total += job.n_entries;
        bool more = job.more;
        if (more) {
            str last = job.entries[job.n_entries - 1].key;
            memcpy(from, last.p, last.n);
            from[last.n] = 0; /* the least key behind it */
            n = last.n + 1;
        }
        store_job_clear(&job);
        if (!more) break;
    }
    say("%zu", total);
    return 0;
}

static int watchers(void)
{
    struct store_job job = {.kind = STORE_WATCHERS};
    enum err e = ask(&job);
    if (e != ERR_OK) say("%s", err_name(e));
    for (uint32_t i = 0; e == ERR_OK && i < job.n_entries; i++) {
        const struct store_entry *w = &job.entries[i];
        say("%.*s %.*s %llu %s", STR_ARG(w->key), STR_ARG(w->value), (unsigned long long)w->version,
            w->expires_s ? "leased" : "free");
    }
    store_job_clear(&job);
    return e != ERR_OK;
}

/* --- writing --- */

static struct writer {
    struct store_job job;
    struct store_op op;
    char key[64], value[32];
    unsigned long i;
} writers[AT_ONCE];
static unsigned long next_i, all_n, done_n;
static const char *write_prefix;

static void on_written(struct store_job *job);

static void submit_one(struct writer *w)
{
    w->op = (struct store_op){STORE_PUT, STORE_ANY, 0, str_of(w->key), str_of(w->value), 0};
    w->job = (struct store_job){.kind = STORE_BATCH, .space = space, .ops = &w->op, .n_ops = 1, .done = on_written};
    store_submit(store, &w->job);
}

static void write_next(struct writer *w)
{
    if (next_i == all_n) return;
    w->i = next_i++;
    snprintf(w->key, sizeof w->key, "%s%lu", write_prefix, w->i);
    snprintf(w->value, sizeof w->value, "%lu", w->i);
    submit_one(w);
}

static void on_written(struct store_job *job)
{
    struct writer *w = CONTAINER_OF(job, struct writer, job);
    if (job->err != ERR_OK) {
        say("again %lu %s", w->i, err_name(job->err));
        submit_one(w);
        return;
    }
    say("ok %lu", w->i);
    if (++done_n == all_n) loop_stop(loop);
    write_next(w);
}

static int write_many(const char *prefix, unsigned long n)
{
    write_prefix = prefix;
    all_n = n;
    for (size_t i = 0; i < AT_ONCE; i++) write_next(&writers[i]);
    if (n) loop_run(loop);
    return 0;
}

/* --- watching --- */

static bool was_fresh;

static void on_change(struct store_watch *w, const struct store_change *c)
{
    unsigned long long at = c->at.number;
    switch (c->kind) {
    case STORE_RESYNC_BEGIN: say("begin"); break;
    case STORE_RESYNC_END: say("end %llu", at); break;
    case STORE_CHANGED: say("put %.*s %.*s %llu", STR_ARG(c->entry.key), STR_ARG(c->entry.value), at); break;
    case STORE_REMOVED: say("gone %.*s %llu", STR_ARG(c->entry.key), at); break;
    }
    if (w->seen.epoch) store_watch_confirm(store, w, w->seen);
}

static void on_link(struct store_watch *w, bool up)
{
    (void)w;
    say(up ? "up" : "down");
}

static void on_input(struct watch *w, uint32_t events)
{
    (void)w;
    if (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) loop_stop(loop);
}

static struct store_watch watching;

static void on_look(struct timer *t)
{
    bool fresh = loop_now_ms(loop) < watching.fresh_until_ms;
    if (fresh != was_fresh) say(fresh ? "fresh" : "stale");
    was_fresh = fresh;
    timer_set(loop, t, loop_now_ms(loop) + 20);
}

static int watch_it(const char *prefix, const char *name, unsigned long lease_ms)
{
    struct watch input = {on_input, 0};
    struct timer look = {.on_time = on_look};
    watching = (struct store_watch){.space = space,
                                    .prefix = str_of(prefix),
                                    .name = str_of(name),
                                    .lease_ms = (uint32_t)lease_ms,
                                    .on_change = on_change,
                                    .on_link = on_link};
    if (store_watch_start(store, &watching) != ERR_OK || watch_add(loop, &input, EPOLLIN | EPOLLRDHUP) != ERR_OK)
        return 1;
    timer_set(loop, &look, loop_now_ms(loop) + 20);
    loop_run(loop);
    store_watch_stop(store, &watching);
    return 0;
}

static int run(int n, char **args)
{
    const char *what = args[0];
    if (!strcmp(what, "get") && n == 3) return get(args[2]);
    if (!strcmp(what, "put") && n == 4) return put(args[2], args[3]);
    if (!strcmp(what, "count") && n == 3) return count(args[2]);
    if (!strcmp(what, "watchers") && n == 2) return watchers();
    if (!strcmp(what, "write") && n == 4) return write_many(args[2], strtoul(args[3], NULL, 10));
    if (!strcmp(what, "watch") && n == 5) return watch_it(args[2], args[3], strtoul(args[4], NULL, 10));
    return usage();
}

int main(int argc, char **argv)
{
    if (argc < 4) return usage();
    space = store_space_of(str_of(argv[3]));
    if (space == STORE_SPACES) return usage();
    log_set_level(LOG_LEVEL_ERROR);
    loop = loop_new(NULL);
    if (!loop || store_remote_new(loop, str_of(argv[1]), STR("store_client"), &store) != ERR_OK) return 1;
    int code = run(argc - 2, argv + 2);
    store_free(&store);
    loop_free(&loop);
    return code;
}
