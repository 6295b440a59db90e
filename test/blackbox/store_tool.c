/* Writes into space control of a data role's store, as the administration does, a command a line on stdin:
 *
 *   put EXPIRES_S KEY VALUE → ok NUMBER        many COUNT KEY VALUE → ok NUMBER   (KEY0 … KEYn-1, in batches)
 *   del KEY → ok NUMBER                        watchers → ok NAME STATE NUMBER EXPIRES_S; …
 *   wait NUMBER MS → ok MICROSECONDS: every watcher has confirmed it; err timeout
 *
 * Usage: store_tool unix:/…/data.sock */
#include "base/clock.h"
#include "store/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct loop *loop;
static struct store *store;
static bool done;

static void on_done(struct store_job *job)
{
    (void)job;
    done = true;
}

static void ask(struct store_job *job)
{
    done = false;
    job->space = STORE_CONTROL;
    job->done = on_done;
    store_submit(store, job);
    while (!done) loop_turn(loop, 1000);
}

static void say(struct store_job *job)
{
    if (job->err == ERR_OK)
        printf("ok %llu\n", (unsigned long long)job->at.number);
    else
        printf("err %s\n", err_name(job->err));
    store_job_clear(job);
}

static void change(enum store_verb verb, long long expires_s, char *key, char *value)
{
    struct store_op op = {.verb = verb, .key = str_of(key), .value = str_of(value), .expires_s = expires_s};
    struct store_job job = {.kind = STORE_BATCH, .ops = &op, .n_ops = 1};
    ask(&job);
    say(&job);
}

static void many(long count, const char *key, const char *value)
{
    static char names[STORE_OPS_MAX][128];
    struct store_op ops[STORE_OPS_MAX];
    struct store_job job = {0};
    for (long at = 0; at < count;) {
        uint32_t n = 0;
        for (; n < STORE_OPS_MAX && at < count; n++, at++) {
            snprintf(names[n], sizeof names[n], "%s%ld", key, at);
            ops[n] = (struct store_op){.verb = STORE_PUT, .key = str_of(names[n]), .value = str_of(value)};
        }
        store_job_clear(&job);
        job = (struct store_job){.kind = STORE_BATCH, .ops = ops, .n_ops = n};
        ask(&job);
        if (job.err != ERR_OK) break;
    }
    say(&job);
}

static void watchers(void)
{
    struct store_job job = {.kind = STORE_WATCHERS};
    ask(&job);
    if (job.err != ERR_OK) {
        say(&job);
        return;
    }
    printf("ok");
    for (uint32_t i = 0; i < job.n_entries; i++)
        printf(" %.*s %.*s %llu %lld;", STR_ARG(job.entries[i].key), STR_ARG(job.entries[i].value),
               (unsigned long long)job.entries[i].version, (long long)job.entries[i].expires_s);
    printf("\n");
    store_job_clear(&job);
}

static bool all_have(unsigned long long number, enum err *e)
{
    struct store_job job = {.kind = STORE_WATCHERS};
    ask(&job);
    bool all = job.err == ERR_OK && job.n_entries > 0;
    for (uint32_t i = 0; all && i < job.n_entries; i++) all = job.entries[i].version >= number;
    *e = job.err;
    store_job_clear(&job);
    return all;
}

static void wait_for(unsigned long long number, long ms)
{
    uint64_t start = clock_mono_ns();
    enum err e = ERR_OK;
    while (e == ERR_OK && clock_mono_ns() - start < (uint64_t)ms * 1000000) {
        if (all_have(number, &e)) {
            printf("ok %llu\n", (unsigned long long)((clock_mono_ns() - start) / 1000));
            return;
        }
    }
    printf("err %s\n", e == ERR_OK ? "timeout" : err_name(e));
}

int main(int argc, char **argv)
{
    static char line[1 << 17];
    if (argc != 2 || !(loop = loop_new(NULL)) ||
        store_remote_new(loop, str_of(argv[1]), STR("test"), &store) != ERR_OK) {
        fprintf(stderr, "usage: store_tool unix:/path/of/data.sock\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *rest = line, *verb = strsep(&rest, " "), *a = strsep(&rest, " ");
        if (strcmp(verb, "put") == 0) {
            char *key = strsep(&rest, " ");
            change(STORE_PUT, strtoll(a, NULL, 10), key, rest);
        } else if (strcmp(verb, "many") == 0) {
            char *key = strsep(&rest, " ");
            many(strtol(a, NULL, 10), key, rest);
        } else if (strcmp(verb, "del") == 0) {
            change(STORE_DELETE, 0, a, "");
        } else if (strcmp(verb, "watchers") == 0) {
            watchers();
        } else if (strcmp(verb, "wait") == 0) {
            wait_for(strtoull(a, NULL, 10), strtol(rest, NULL, 10));
        } else {
            printf("err command\n");
        }
    }
    store_free(&store);
    loop_free(&loop);
    return 0;
}
