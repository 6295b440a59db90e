/* A writer that is meant to be killed, and the one who looks afterwards what is there (soak/store_kill.py).
 *
 * store_writer write FOLDER FIRST   writes FIRST, FIRST+1, … without end, 32 at a time, each into slot n % SLOTS; a
 * line "n" when it was acknowledged, "- n what" when it was refused for certain,
 *                                   "? n what" when it is in doubt
 * store_writer look FOLDER          a line "slot n" for each slot; then the keeper's own check; "sound" at the end
 *
 * Lines are written at once, in one write(2) each. */
#include "base/rand.h"
#include "store/local.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SLOTS       1000
#define OUTSTANDING 32
#define VALUE_MAX   700

static struct loop *loop;
static struct keeper *keeper;
static struct store *store;

static void give_up(const char *what)
{
    fprintf(stderr, "store_writer: %s\n", what);
    exit(2);
}

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void say(const char *fmt, ...)
{
    char line[128];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (write(STDOUT_FILENO, line, (size_t)n) != n) _exit(3);
}

static void open_store(const char *dir)
{
    char why[KEEPER_WHY];
    struct keeper_config c = {.engine = KEEPER_SQLITE,
                              .dir = dir,
                              .spaces = KEEPER_SPACE(STORE_IDENTITY),
                              .history_max = 2000};
    loop = loop_new(NULL);
    if (!loop || keeper_new(&c, &keeper, why) != ERR_OK) give_up(loop ? why : "memory");
    keeper_why(keeper, STORE_IDENTITY, why);
    if (why[0]) give_up(why);
    if (store_local_new(keeper, loop, KEEPER_ALL, &store) != ERR_OK) give_up("memory");
}

/* --- writing --- */

struct slot_write {
    struct store_job job;
    struct store_op op;
    uint64_t n;
    char key[16], value[VALUE_MAX];
};

static uint64_t next_n;

static void submit(struct slot_write *w)
{
    w->n = next_n++;
    int key_n = snprintf(w->key, sizeof w->key, "slot/%04u", (unsigned)(w->n % SLOTS));
    int value_n = snprintf(w->value, sizeof w->value, "%llu ", (unsigned long long)w->n);
    size_t more = (size_t)(rand_u64() % (VALUE_MAX - 32)) / 2;
    rand_hex(w->value + value_n, more);
    w->op = (struct store_op){.verb = STORE_PUT,
                              .key = str_make(w->key, (size_t)key_n),
                              .value = str_make(w->value, (size_t)value_n + 2 * more)};
    store_submit(store, &w->job);
}

static void on_done(struct store_job *job)
{
    struct slot_write *w = CONTAINER_OF(job, struct slot_write, job);
    if (job->err == ERR_OK)
        say("%llu\n", (unsigned long long)w->n);
    else
        say("%c %llu %s\n", job->err == ERR_TIMEOUT ? '?' : '-', (unsigned long long)w->n, err_name(job->err));
    store_job_clear(job);
    submit(w);
}

static void write_on(uint64_t first)
{
    static struct slot_write writes[OUTSTANDING];
    next_n = first;
    for (size_t i = 0; i < OUTSTANDING; i++) {
        writes[i].job = (struct store_job){.kind = STORE_BATCH,
                                           .space = STORE_IDENTITY,
                                           .ops = &writes[i].op,
                                           .n_ops = 1,
                                           .done = on_done};
        submit(&writes[i]);
    }
    loop_run(loop);
}

/* --- looking --- */

static void on_read(struct store_job *job)
{
    if (job->err != ERR_OK) give_up(err_name(job->err));
    for (uint32_t i = 0; i < job->n_entries; i++) {
        str value = job->entries[i].value, n = str_cut(&value, ' ');
        say("%.*s %.*s\n", STR_ARG(str_from(job->entries[i].key, sizeof "slot/" - 1)), STR_ARG(n));
    }
    store_job_clear(job);
    loop_stop(loop);
}

static void on_checked(struct keeper_task *t)
{
    if (t->err != ERR_OK) give_up(t->why);
    loop_stop(loop);
}

static void look(void)
{
    struct store_job job = {.kind = STORE_RANGE,
                            .space = STORE_IDENTITY,
                            .from = STR("slot/"),
                            .to = STR("slot0"),
                            .done = on_read};
    struct keeper_task check = {.kind = KEEPER_CHECK, .spaces = KEEPER_SPACE(STORE_IDENTITY), .done = on_checked};
    store_submit(store, &job);
    loop_run(loop);
    if (keeper_task_submit(keeper, loop, &check) != ERR_OK) give_up("the check was refused");
    loop_run(loop);
    store_free(&store);
    keeper_free(&keeper);
    loop_free(&loop);
    say("sound\n");
}

int main(int argc, char **argv)
{
    if (argc < 3) give_up("usage: store_writer write|look FOLDER [FIRST]");
    open_store(argv[2]);
    if (str_eq(str_of(argv[1]), STR("write")))
        write_on(argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
    else
        look();
    return 0;
}
