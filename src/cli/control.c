/* `sallyport reload` and `sallyport tap`: over the control socket of the running product. */
#include "cli/control_print.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { RELOAD_MS = 120000 };

#define SOCKET_OPTION                                                                                                  \
    {                                                                                                                  \
        "socket", "PATH", "the control socket of the running product"                                                  \
    }
#define SOCKET_TEXT                                                                                                    \
    "The product is found by --socket, else by SALLYPORT_SOCKET, else at ./.sallyport/cli.sock, "                      \
    "/run/sallyport/cli.sock or /var/lib/sallyport/cli.sock. It answers the user it runs as, and root."

/* --- reload --- */
static int print_refused(const struct cli_args *args, uint16_t status, str body)
{
    struct arena mem;
    const struct json *v;
    arena_init(&mem, NULL, 0, 64u << 20);
    if (json_parse(body, &control_json_limits, &mem, &v, NULL, NULL) != ERR_OK) {
        arena_reset(&mem);
        return control_refused(args, status, body);
    }
    print_lines(stderr, member_text(v, "text"));
    if (status == 422)
        cli_failure(args, "refused; generation %llu stays in force",
                    (unsigned long long)member_number(v, "generation"));
    arena_reset(&mem);
    return status == 422 ? CLI_CONFIG : control_refused(args, status, body);
}

static int print_reloaded(const struct cli_args *args, str body)
{
    struct arena mem;
    const struct json *v;
    char first[1024];
    arena_init(&mem, first, sizeof first, 65536);
    if (json_parse(body, &control_json_limits, &mem, &v, NULL, NULL) != ERR_OK)
        return cli_failure(args, "the product's answer cannot be read");
    printf("generation %llu is in force\n", (unsigned long long)member_number(v, "generation"));
    arena_reset(&mem);
    return CLI_OK;
}

static int reload_answered(const struct cli_args *args, uint16_t status, str body)
{
    if (status != 200 && status != 422 && status != 503) return control_refused(args, status, body);
    if (!cli_flag(args, "json")) return status == 200 ? print_reloaded(args, body) : print_refused(args, status, body);
    print_json(stdout, body);
    return status == 200 ? CLI_OK : status == 422 ? CLI_CONFIG : CLI_FAILED;
}

static int reload(const struct cli_args *args)
{
    return control_call(args, "POST", "/v1/reload", STR("{}"), RELOAD_MS, reload_answered);
}

static const struct cli_option reload_options[] = {
    SOCKET_OPTION,
    {"json", NULL, "print {\"generation\"}, or the refusal with its findings, as JSON"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_reload = {
    .name = "reload",
    .summary = "have the running product read its configuration again",
    .synopsis = "[--socket PATH] [--json]",
    .description = "The configuration is checked and swapped whole, or not at all: if it has mistakes they are all "
                   "printed, and the one in force stays. Requests under way end on the configuration they began with. "
                   "SIGHUP does the same, but tells only the log.\n\n" SOCKET_TEXT
                   "\n\nExit status: 0 the new configuration is in force, 78 it was refused, 1 nobody answered, or a "
                   "worker has not taken it yet (it is "
                   "sent again until it has).",
    .examples = "sallyport reload\nsallyport reload --json --socket /run/sallyport/cli.sock",
    .options = reload_options,
    .min_rest = 0,
    .max_rest = 0,
    .run = reload,
};

/* --- tap --- */
struct tap {
    bool json;
    uint64_t shown;
};

static void print_column(str s, unsigned width)
{
    print_text(stdout, s.n ? s : STR("-"));
    for (size_t n = s.n ? s.n : 1; n < width; n++) putchar(' ');
    putchar(' ');
}

/* "10:46:04.123 DENY   403 action_not_granted POST /orders/7/pay payOrder corp:alice mobile-app 01J…" */
static void print_decision(const struct json *v)
{
    str ts = member_text(v, "ts");
    bool permit = str_eq(member_text(v, "decision"), STR("permit"));
    print_column(ts.n == 24 ? str_make(ts.p + 11, 12) : ts, 12);
    printf("%s %3llu ", permit ? "permit" : "DENY  ", (unsigned long long)member_number(v, "status"));
    print_column(member_text(v, "reason"), 20);
    print_column(member_text(v, "method"), 4);
    print_column(member_text(v, "path"), 28);
    print_column(member_text(v, "action"), 12);
    print_column(member_text(v, "sub"), 8);
    print_column(member_text(v, "product"), 8);
    print_text(stdout, member_text(v, "decision_id"));
    putchar('\n');
}

static bool tap_line(void *ctx, str line)
{
    struct tap *tap = ctx;
    struct arena mem;
    const struct json *v;
    char first[8192];
    if (tap->json) {
        print_json(stdout, line);
    } else {
        arena_init(&mem, first, sizeof first, 1 << 20);
        if (json_parse(line, &control_json_limits, &mem, &v, NULL, NULL) == ERR_OK) {
            uint64_t missed = member_number(v, "missed");
            if (missed)
                printf("… %llu more came too fast to be shown\n", (unsigned long long)missed);
            else
                print_decision(v);
        }
        arena_reset(&mem);
    }
    tap->shown++;
    return fflush(stdout) == 0; /* nobody reads any more: end */
}

static int tap(const struct cli_args *args)
{
    struct control_client client;
    struct buf body;
    struct tap t = {.json = cli_flag(args, "json")};
    uint64_t seconds = 0;
    uint16_t status = 0;
    const char *span = cli_value(args, "for");
    if (span && (str_to_u64(str_of(span), &seconds) != ERR_OK || seconds == 0 || seconds > 31536000))
        return cli_usage_error(args, "--for takes a number of seconds, not '%.30s'", span);
    if (control_client_open(cli_value(args, "socket"), &client) != ERR_OK) return control_failed(args, &client);
    buf_init(&body, CONTROL_ANSWER_MAX);
    const char *path = cli_flag(args, "deny") ? "/v1/decisions?follow=1&deny=1" : "/v1/decisions?follow=1";
    enum err e = control_client_follow(&client, path, seconds * 1000, tap_line, &t, &status, &body);
    int code = CLI_OK;
    if (e != ERR_OK)
        code = control_failed(args, &client);
    else if (status != 200)
        code = control_refused(args, status, buf_str(&body));
    if (e == ERR_CLOSED && status == 200) code = CLI_OK; /* it has been said; what was to be shown was shown */
    buf_free(&body);
    control_client_close(&client);
    return code;
}

static const struct cli_option tap_options[] = {
    {"deny", NULL, "only what was denied"},
    {"json", NULL, "one JSON object a line"},
    {"for", "SECONDS", "end after that time; without it, on Ctrl-C"},
    SOCKET_OPTION,
    {NULL, NULL, NULL},
};

const struct cli_command cli_tap = {
    .name = "tap",
    .summary = "watch decisions as they are made",
    .synopsis = "[--deny] [--json] [--for SECONDS] [--socket PATH]",
    .description =
        "Prints a line for each decision from now on: when, what was decided and why (the reason code), the "
        "request, the action, who asked, and the id that `sallyport why` explains. Watching never slows a "
        "request down: where decisions come faster than they can be shown, a line says how many were "
        "passed over. When the product ends, that is said on standard error and tap ends too, with 0.\n\n" SOCKET_TEXT,
    .examples = "sallyport tap --deny\nsallyport tap --json --for 10 | jq .reason",
    .options = tap_options,
    .min_rest = 0,
    .max_rest = 0,
    .run = tap,
};
