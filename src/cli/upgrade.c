/* `sallyport upgrade`: the running product replaces itself by the program that is at its path now. */
#include "cli/control_print.h"

enum { UPGRADE_MS = 300000 };

static void print_text_of(FILE *to, str body)
{
    struct arena mem;
    const struct json *v;
    arena_init(&mem, NULL, 0, 1u << 20);
    if (json_parse(body, &control_json_limits, &mem, &v, NULL, NULL) == ERR_OK) {
        print_lines(to, member_text(v, "text"));
        fputc('\n', to);
    }
    arena_reset(&mem);
}

static int answered(const struct cli_args *args, uint16_t status, str body)
{
    if (status != 200 && status != 409) return control_refused(args, status, body);
    print_text_of(status == 200 ? stdout : stderr, body);
    return status == 200 ? CLI_OK : cli_failure(args, "refused: what ran before goes on");
}

static int upgrade(const struct cli_args *args)
{
    return control_call(args, "POST", "/v1/upgrade", STR("{}"), UPGRADE_MS, answered);
}

static const struct cli_option options[] = {
    {"socket", "PATH", "the control socket of the running product"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_upgrade = {
    .name = "upgrade",
    .summary = "replace the running program, without a lost request",
    .synopsis = "[--socket PATH]",
    .description =
        "The program that is now where the running one was started from is tried with the same arguments; then the "
        "running process becomes it, keeps its process id and its listening sockets, and starts a new process that "
        "serves. When that is ready the old one ends what is under way (`timeouts.drain`). If the new one cannot "
        "begin, what ran before goes on and the reason is printed. SIGUSR2 does the same and tells the log.\n\n"
        "The product is found by --socket, else by SALLYPORT_SOCKET, else at ./.sallyport/cli.sock, else at "
        "/var/lib/sallyport/cli.sock or /run/sallyport/cli.sock. Of a role with a control socket of its own "
        "(`sallyport data`, `sallyport authentication`) say --socket DATA/data-cli.sock or "
        "DATA/authentication-cli.sock.\n\n"
        "Exit status: 0 the new one serves, 1 refused, or nobody answered.",
    .examples = "sallyport upgrade\nsallyport upgrade --socket /var/lib/sallyport/cli.sock",
    .options = options,
    .min_rest = 0,
    .max_rest = 0,
    .run = upgrade,
};
