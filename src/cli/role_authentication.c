/* `sallyport authentication`: the Authentication Service as a process of its own. */
#include "cli/cli.h"
#include "roles/authentication.h"
#include "roles/process.h"

static int run_authentication(const struct cli_args *args)
{
    struct process_options process = {.config_path = cli_value(args, "config")};
    if (!process.config_path) process.config_path = "sallyport.yaml";
    process.overrides.data = cli_value(args, "data");
    process.overrides.admin = cli_value(args, "admin");
    process.no_sandbox = cli_flag(args, "no-sandbox");
    return authentication_role_run(&process);
}

static const struct cli_option options[] = {
    {"config", "FILE", "the configuration (default: sallyport.yaml)"},
    {"data", "DIR", "the data folder instead of `data`"},
    {"admin", "ADDRESS", "an admin listener there: /livez, /readyz, /metrics"},
    {"no-sandbox", NULL, "without landlock and seccomp, whatever `sandbox` says: for debuggers"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_authentication = {
    .name = "authentication",
    .summary = "run the Authentication Service",
    .synopsis = "[--config FILE]",
    .description =
        "Logs users in, renews and ends their sessions, keeps the signing keys. It listens at the Unix socket "
        "DATA/authentication.sock, where only gateways of the same user (or root) get in, and is a client of the data "
        "role "
        "at DATA/data.sock: `sallyport data` must run on the same folder. It opens no database.\n\n"
        "`sallyport run` has this role within when the configuration has the section `authentication`.\n\n"
        "Stays in the foreground; logs as JSON lines on stderr (text on a terminal). SIGHUP reads the configuration "
        "anew. "
        "SIGTERM and SIGINT end it when calls under way are answered; a second signal ends it at once. Its control "
        "socket "
        "is DATA/authentication-cli.sock.\n\n"
        "Exit codes: 0 ended as told, 1 could not start, 2 usage, 78 the configuration is refused.",
    .examples = "sallyport authentication --config sallyport.yaml",
    .options = options,
    .run = run_authentication,
};
