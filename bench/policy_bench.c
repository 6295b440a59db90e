/* What the Cedar engine costs: decisions a second of a core at 1 to 10,000 policies, loading them, loading a million
 * entities.
 *
 * policy_bench                      the figures, one line each
 * policy_bench --emit POLICIES      the policies, for another engine
 * policy_bench --emit-entities      the entities, for another engine
 *
 * The world: users in three roles each, orders owned by users. Policy i is about role i; a request is one of a
 * thousand users asking for one of a thousand orders, its uids hashed anew each time, as off the wire. */
#include "policy/eval.h"
#include "policy/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define USERS  1000
#define ORDERS 1000
#define MEMORY ((size_t)6 << 30)

static const uint32_t sizes[] = {1, 10, 100, 1000, 10000};

static void put_policies(struct buf *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        buf_printf(b,
                   "permit (principal in Role::\"r%u\", action == Action::\"a%u\", resource is Order)\n"
                   "when { resource.owner == principal || context.hour < 18 && resource.state == \"open\" };\n",
                   i, i % 20);
}

static void put_entities(struct buf *b, uint32_t users, uint32_t orders, uint32_t roles)
{
    buf_putc(b, '[');
    for (uint32_t i = 0; i < users; i++)
        buf_printf(b,
                   "%s{\"uid\":{\"type\":\"User\",\"id\":\"user-%u\"},\"attrs\":{\"level\":%u},\"parents\":["
                   "{\"type\":\"Role\",\"id\":\"r%u\"},{\"type\":\"Role\",\"id\":\"r%u\"},{\"type\":\"Role\",\"id\":"
                   "\"r%u\"}]}\n",
                   i ? "," : "", i, i % 10, i % roles, i * 7 % roles, i * 13 % roles);
    for (uint32_t i = 0; i < orders; i++)
        buf_printf(b,
                   ",{\"uid\":{\"type\":\"Order\",\"id\":\"order-%u\"},\"attrs\":{\"owner\":{\"__entity\":{\"type\":"
                   "\"User\",\"id\":\"user-%u\"}},"
                   "\"state\":\"%s\"},\"parents\":[]}\n",
                   i, i % (users ? users : 1), i % 3 ? "open" : "closed");
    buf_putc(b, ']');
}

static void give_up(const char *what)
{
    fprintf(stderr, "policy_bench: %s\n", what);
    exit(1);
}

/* Processor time of this thread: what a core would give if it did nothing else. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0) give_up("no clock");
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static double ms_since(uint64_t start)
{
    return (double)(cpu_ns() - start) / 1e6;
}

struct world {
    struct arena mem;
    struct entities es;
    struct policy_set set;
    struct compiled *compiled;
    struct decider decider;
    double load_ms;
};

static void load_policies(struct world *w, uint32_t n)
{
    struct buf b;
    struct mistakes m;
    buf_init(&b, 64 << 20);
    put_policies(&b, n);
    mistakes_init(&m, &w->mem);
    uint64_t start = cpu_ns();
    if (policies_parse(buf_str(&b), 0, &w->mem, &m, &w->set) != ERR_OK || compile(&w->set, &w->compiled) != ERR_OK)
        give_up("policies");
    w->load_ms = ms_since(start);
    if (decider_init(&w->decider, w->compiled) != ERR_OK) give_up("memory");
    buf_free(&b);
}

static void load_entities(struct world *w, uint32_t users, uint32_t orders, uint32_t roles, double *ms)
{
    struct buf b;
    struct mistakes m;
    buf_init(&b, (size_t)1 << 30);
    put_entities(&b, users, orders, roles);
    mistakes_init(&m, &w->mem);
    uint64_t start = cpu_ns();
    if (b.bad || entities_load(&w->es, buf_str(&b), NULL, &m) != ERR_OK || entities_finish(&w->es, &m) != ERR_OK)
        give_up("entities");
    *ms = ms_since(start);
    buf_free(&b);
}

static void start(struct world *w)
{
    *w = (struct world){0};
    arena_init(&w->mem, NULL, 0, MEMORY);
    entities_init(&w->es, &w->mem);
}

static void stop(struct world *w)
{
    decider_free(&w->decider);
    compiled_free(&w->compiled);
    entities_free(&w->es);
    arena_reset(&w->mem);
}

struct names {
    char user[USERS][16], order[ORDERS][16], action[20][8];
};

/* Decides until 0.5 s are over; decisions a second. */
static double decisions(struct world *w, const struct names *names, uint32_t policies, uint64_t *allowed,
                        uint64_t *judged)
{
    struct attr hour = {STR("hour"), value_long(12)};
    struct value context;
    if (!value_record(&hour, 1, &context)) give_up("context");
    uint64_t begin = cpu_ns(), n = 0, end = begin + UINT64_C(500000000);
    *allowed = *judged = 0;
    while (cpu_ns() < end)
        for (uint32_t k = 0; k < 1000; k++, n++) {
            uint32_t u = (uint32_t)(n % USERS);
            str user = str_of(names->user[u]), order = str_of(names->order[n * 31 % ORDERS]),
                action = str_of(names->action[u % policies % 20]);
            struct uid p = {STR("User"), user, uid_hash(STR("User"), user)},
                       a = {STR("Action"), action, uid_hash(STR("Action"), action)},
                       r = {STR("Order"), order, uid_hash(STR("Order"), order)};
            struct policy_request q = {&p, &a, &r, context, NULL, 0};
            struct decision d;
            if (decide(&w->decider, &w->es, &q, &d) != ERR_OK) give_up("decision");
            *allowed += d.effect == EFFECT_PERMIT;
            *judged += w->decider.judged;
        }
    double seconds = (double)(cpu_ns() - begin) / 1e9;
    if (!n) give_up("no decision");
    *allowed = *allowed * 100 / n;
    *judged = *judged * 10 / n;
    return (double)n / seconds;
}

static void measure(void)
{
    static struct names names;
    for (uint32_t i = 0; i < USERS; i++) snprintf(names.user[i], sizeof names.user[i], "user-%u", i);
    for (uint32_t i = 0; i < ORDERS; i++) snprintf(names.order[i], sizeof names.order[i], "order-%u", i);
    for (uint32_t i = 0; i < 20; i++) snprintf(names.action[i], sizeof names.action[i], "a%u", i);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct world w;
        uint64_t allowed, judged;
        double ms;
        start(&w);
        load_entities(&w, USERS, ORDERS, sizes[i], &ms);
        load_policies(&w, sizes[i]);
        double rate = decisions(&w, &names, sizes[i], &allowed, &judged);
        printf("%6u policies: %9.0f decisions/s, %5.0f ns each, %3.1f policies judged, %2lu %% allowed, loaded in %.1f "
               "ms\n",
               sizes[i], rate, 1e9 / rate, (double)judged / 10, (unsigned long)allowed, w.load_ms);
        stop(&w);
    }
    struct world w;
    double ms;
    start(&w);
    load_entities(&w, 500000, 500000, 1000, &ms);
    printf("%zu entities loaded in %.0f ms, %.0f bytes each\n", w.es.n, ms,
           (double)(w.mem.used + w.es.cap * sizeof *w.es.slots) / (double)w.es.n);
    stop(&w);
}

int main(int argc, char **argv)
{
    struct buf b;
    uint64_t n;
    if (argc == 1) {
        measure();
        return 0;
    }
    buf_init(&b, 64 << 20);
    if (argc == 3 && strcmp(argv[1], "--emit") == 0 && str_to_u64(str_of(argv[2]), &n) == ERR_OK && n <= 1000000)
        put_policies(&b, (uint32_t)n);
    else if (argc == 3 && strcmp(argv[1], "--emit-entities") == 0 && str_to_u64(str_of(argv[2]), &n) == ERR_OK && n &&
             n <= 1000000)
        put_entities(&b, USERS, ORDERS, (uint32_t)n);
    else
        give_up("usage: policy_bench [--emit POLICIES | --emit-entities POLICIES]");
    fwrite(b.p, 1, b.n, stdout);
    buf_free(&b);
    return 0;
}
