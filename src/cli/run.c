/* `sallyport run` and `sallyport gateway`: the product in the foreground, from a configuration file. */
#include "roles/run.h"
#include "cli/cli.h"

#define COMMON_OPTIONS                                                                                                 \
    {"config", "FILE", "the configuration (default: sallyport.yaml)"},                                                 \
        {"listen", "ADDRESS", "listen there instead of where `listen.gateway` says"},                                  \
        {"admin", "ADDRESS|none", "the admin listener's address instead of `listen.admin`"},                           \
        {"data", "DIR", "the data folder instead of `data`"}, {"workers", "N", "worker threads instead of `workers`"}, \
        {"next-port", NULL, "when a port is taken, say so and use the next free one"},                                 \
        {"no-sandbox", NULL, "without landlock and seccomp, whatever `sandbox` says: for debuggers"},

static int start(const struct cli_args *args, const char *product, int (*run_it)(const struct gateway_options *))
{
    struct gateway_options o = {.role = "gateway", .config_path = cli_value(args, "config"), .product = product};
    const char *workers = cli_value(args, "workers");
    uint64_t n = 0;
    if (!o.config_path) o.config_path = "sallyport.yaml";
    if (workers && (str_to_u64(str_of(workers), &n) != ERR_OK || n < 1 || n > CONFIG_MAX_WORKERS))
        return cli_usage_error(args, "--workers takes a number from 1 to %d", CONFIG_MAX_WORKERS);
    o.overrides = (struct config_overrides){.gateway = cli_value(args, "listen"),
                                            .admin = cli_value(args, "admin"),
                                            .data = cli_value(args, "data"),
                                            .workers = (uint32_t)n};
    o.next_port = cli_flag(args, "next-port");
    o.no_sandbox = cli_flag(args, "no-sandbox");
    return run_it(&o);
}

static int run(const struct cli_args *args)
{
    return start(args, NULL, run_roles);
}

static int run_gateway(const struct cli_args *args)
{
    return start(args, cli_value(args, "product"), run_gateway_role);
}

static const struct cli_option run_options[] = {COMMON_OPTIONS{NULL, NULL, NULL}};
static const struct cli_option gateway_options[] = {{"product", "NAME",
                                                     "only what concerns this product: its keys, routes and issuers"},
                                                    COMMON_OPTIONS{NULL, NULL, NULL}};

#define DAEMON                                                                                                         \
    "Stays in the foreground; logs as JSON lines on stderr (text on a terminal). SIGHUP and `sallyport reload` read "  \
    "the configuration anew and swap it whole or not at all. SIGTERM and SIGINT drain: readiness drops, requests "     \
    "under way get `timeouts.drain`; a second signal ends at once. SIGUSR2 and `sallyport upgrade` replace the "       \
    "program "                                                                                                         \
    "while it serves.\n\n"                                                                                             \
    "Two processes: a small one that opens the sockets, reads files and runs the commands of secrets, and one in a "   \
    "sandbox that serves. When the latter dies it is started again and clients wait; a service manager's sockets "     \
    "(LISTEN_FDS) are taken by name or address.\n\n"                                                                   \
    "Exit codes: 0 ended as told, 1 could not start, 2 usage, 78 the configuration is refused."

const struct cli_command cli_run = {
    .name = "run",
    .summary = "run the product from a configuration file",
    .synopsis = "[--config FILE] [--next-port]",
    .description =
        "Runs every role that the configuration asks for in one process: the gateway; with `authentication`, "
        "`store` or `feed` the store beside it, the audit record and the administration; with "
        "`authentication` the Authentication Service.\n\n" DAEMON,
    .examples = "sallyport run\nsallyport run --config /etc/sallyport/sallyport.yaml",
    .options = run_options,
    .run = run,
};

const struct cli_command cli_gateway = {
    .name = "gateway",
    .summary = "run one gateway",
    .synopsis = "[--config FILE] [--product NAME]",
    .description =
        "Runs gate 1 alone. With --product it receives only that product's keys, routes and issuers: a token "
        "or key of another product is not even known to it. When the configuration has a store, it follows that of "
        "`sallyport data` at its socket in the data folder; without it, it is not ready, and accepts neither tokens "
        "nor "
        "keys made at run time.\n\n" DAEMON,
    .examples = "sallyport gateway --config sallyport.yaml --product mobile-app",
    .options = gateway_options,
    .run = run_gateway,
};
