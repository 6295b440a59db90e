/* `sallyport upstreams`: services, their instances and breakers, as the running product has them. */
#include "cli/control_print.h"

enum { ASK_MS = 10000 };

static void column(str s, unsigned width)
{
    print_text(stdout, s.n ? s : STR("-"));
    for (size_t n = s.n ? s.n : 1; n < width; n++) putchar(' ');
    putchar(' ');
}

static void column_u64(uint64_t v, int width)
{
    printf("%*llu ", width, (unsigned long long)v);
}

/* "up", "down", "ejected 7 s": what keeps it from serving goes first. */
static void state_column(const struct json *i)
{
    uint64_t ejected_ms = member_number(i, "ejected_ms");
    char text[32];
    if (str_eq(member_text(i, "health"), STR("down")) || !ejected_ms) {
        column(member_text(i, "health"), 14);
        return;
    }
    int n = snprintf(text, sizeof text, "ejected %llu s", (unsigned long long)((ejected_ms + 999) / 1000));
    column(str_make(text, n > 0 ? (size_t)n : 0), 14);
}

static void print_instance(const struct json *i)
{
    str name = member_text(i, "name"), address = member_text(i, "address");
    fputs("  ", stdout);
    column(address, 24);
    column(member_text(i, "zone"), 8);
    column_u64(member_number(i, "weight"), 6);
    putchar(' ');
    state_column(i);
    column_u64(member_number(i, "open"), 6);
    column_u64(member_number(i, "in_flight"), 9);
    column_u64(member_number(json_get(i, STR("outcomes")), "answered"), 10);
    column_u64(member_number(i, "failed"), 8);
    column_u64(member_number(i, "ejections"), 9);
    if (!str_eq(name, address)) print_text(stdout, name);
    if (str_eq(member_text(i, "health"), STR("down"))) { /* why */
        fputs(str_eq(name, address) ? "(" : " (", stdout);
        print_text(stdout, member_text(i, "last_check"));
        putchar(')');
    }
    putchar('\n');
}

static void print_breaker(const struct json *b)
{
    uint64_t bound = member_number(b, "concurrent");
    fputs("  breaker ", stdout);
    column(member_text(b, "caller"), 12);
    column(member_text(b, "state"), 10);
    printf("%llu of %llu failed lately, opened %llu times, refused %llu",
           (unsigned long long)member_number(b, "errors"), (unsigned long long)member_number(b, "requests"),
           (unsigned long long)member_number(b, "opened"), (unsigned long long)member_number(b, "refused"));
    if (bound)
        printf(", %llu of %llu under way, %llu over it", (unsigned long long)member_number(b, "in_flight"),
               (unsigned long long)bound, (unsigned long long)member_number(b, "crowded"));
    putchar('\n');
}

static void print_service(const struct json *s)
{
    const struct json *panic = json_get(s, STR("panic")), *instances = json_get(s, STR("instances")),
                      *breakers = json_get(s, STR("breakers"));
    print_text(stdout, member_text(s, "name"));
    fputs(" (", stdout);
    print_text(stdout, member_text(s, "balance"));
    fputs(")", stdout);
    if (panic && panic->type == JSON_TRUE) fputs(": no instance serves, so all are tried", stdout);
    if (!instances || !instances->first) fputs(": no instance", stdout);
    putchar('\n');
    if (instances && instances->first)
        printf("  %-24s %-8s %6s  %-14s %6s %9s %10s %8s %9s\n", "address", "zone", "weight", "health", "open",
               "in flight", "answered", "failed", "ejections");
    for (const struct json *i = instances ? instances->first : NULL; i; i = i->next) print_instance(i);
    for (const struct json *b = breakers ? breakers->first : NULL; b; b = b->next) print_breaker(b);
    uint64_t over = member_number(s, "retries_refused"), pool = member_number(s, "pool_refusals");
    if (over) printf("  %llu retries were over the budget\n", (unsigned long long)over);
    if (pool) printf("  %llu requests found no connection in time\n", (unsigned long long)pool);
}

static int print_answer(const struct cli_args *args, str body)
{
    struct arena mem;
    const struct json *v;
    if (cli_flag(args, "json")) {
        print_json(stdout, body);
        return CLI_OK;
    }
    int code = CLI_OK;
    arena_init(&mem, NULL, 0, 64u << 20);
    if (json_parse(body, &control_json_limits, &mem, &v, NULL, NULL) == ERR_OK) {
        const struct json *services = json_get(v, STR("services"));
        for (const struct json *s = services ? services->first : NULL; s; s = s->next) print_service(s);
    } else {
        code = cli_failure(args, "the product's answer cannot be read");
    }
    arena_reset(&mem);
    return code;
}

static int answered(const struct cli_args *args, uint16_t status, str body)
{
    return status == 200 ? print_answer(args, body) : control_refused(args, status, body);
}

static int upstreams(const struct cli_args *args)
{
    return control_call(args, "GET", "/v1/upstreams", STR_NONE, ASK_MS, answered);
}

static const struct cli_option options[] = {
    {"json", NULL, "print what is known as one JSON object"},
    {"socket", "PATH", "the control socket of the running product"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_upstreams = {
    .name = "upstreams",
    .summary = "show the instances of services: who serves, and how loaded",
    .synopsis = "[--json] [--socket PATH]",
    .description =
        "For each instance its address, zone, weight and health: `up` and `down` are the word of health checks, "
        "`unknown` that there are none (it serves), `ejected` that it failed too often in a row and is left out for a "
        "while. Then the connections open to it, the requests it has now, those it answered, the attempts that failed, "
        "and how often it was ejected; all since the gateway knows it. Behind them the service's breakers, one for "
        "each kind of caller, when it has any.\n\n"
        "The product is found by --socket, else by SALLYPORT_SOCKET, else at ./.sallyport/cli.sock, "
        "/run/sallyport/cli.sock or /var/lib/sallyport/cli.sock. It answers the user it runs as, and root.",
    .examples = "sallyport upstreams\nsallyport upstreams --json",
    .options = options,
    .min_rest = 0,
    .max_rest = 0,
    .run = upstreams,
};
