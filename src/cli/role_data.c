/* `sallyport data`: the role data as a process of its own. */
#include "cli/cli.h"
#include "roles/data.h"

/* "identity,control" as bits. ERR_MALFORMED: *bad is no space. */
static enum err read_spaces(str list, uint32_t *out, str *bad)
{
    uint32_t spaces = 0;
    if (!list.n) *bad = list;
    while (list.n) {
        str name = str_cut(&list, ',');
        enum store_space s = store_space_of(name);
        *bad = name;
        if (s == STORE_SPACES) return ERR_MALFORMED;
        spaces |= KEEPER_SPACE(s);
    }
    *out = spaces;
    return spaces ? ERR_OK : ERR_MALFORMED;
}

static enum err read_uids(str list, struct data_options *o, str *bad)
{
    while (list.n) {
        uint64_t uid;
        *bad = str_cut(&list, ',');
        if (o->n_uids == DATA_UIDS_MAX) return ERR_LIMIT;
        if (str_to_u64(*bad, &uid) != ERR_OK || uid > UINT32_MAX - 1) return ERR_MALFORMED;
        o->uids[o->n_uids++] = (uint32_t)uid;
    }
    return ERR_OK;
}

static int run_data(const struct cli_args *args)
{
    struct process_options process = {.config_path = cli_value(args, "config")};
    struct data_options o = {0};
    const char *spaces = cli_value(args, "spaces"), *uids = cli_value(args, "allow-uid");
    str bad;
    if (!process.config_path) process.config_path = "sallyport.yaml";
    process.overrides.data = cli_value(args, "data");
    process.overrides.admin = cli_value(args, "admin");
    process.no_sandbox = cli_flag(args, "no-sandbox");
    if (spaces && read_spaces(str_of(spaces), &o.spaces, &bad) != ERR_OK)
        return cli_usage_error(
            args,
            "--spaces: there is no space \"%.*s\": they are identity, authentication, control, audit "
            "and tenants",
            STR_ARG(bad));
    if (uids && read_uids(str_of(uids), &o, &bad) != ERR_OK)
        return cli_usage_error(args, "--allow-uid takes up to %d numbers of users, not \"%.*s\"", DATA_UIDS_MAX,
                               STR_ARG(bad));
    return data_role_run(&o, &process);
}

static const struct cli_option options[] = {
    {"config", "FILE", "the configuration (default: sallyport.yaml)"},
    {"data", "DIR", "the data folder instead of `data`"},
    {"spaces", "LIST", "open these spaces only: identity, authentication, control, audit, tenants"},
    {"allow-uid", "LIST", "let processes of these users in, too, besides our own user and root"},
    {"admin", "ADDRESS", "an admin listener there: /livez, /readyz, /metrics"},
    {"no-sandbox", NULL, "without landlock and seccomp, whatever `sandbox` says: for debuggers"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_data = {
    .name = "data",
    .summary = "run the role that keeps the store",
    .synopsis = "[--config FILE] [--spaces LIST]",
    .description =
        "Opens the store's files in DATA/store and serves them at the Unix socket DATA/data.sock, where gateways and "
        "the "
        "Authentication Service of other processes are its clients. It is the only role that opens a database. Only "
        "processes of the same user, of root, and of the users named by --allow-uid get in; our own roles believe a "
        "data role of their own user or of root only.\n\n"
        "`sallyport run` has this role within; there a data process of its own is not needed, and a second one on the "
        "same "
        "folder is refused.\n\n"
        "Stays in the foreground; logs as JSON lines on stderr (text on a terminal). SIGHUP reads the configuration "
        "anew. "
        "SIGTERM and SIGINT end it; what was answered is on the disk either way. Its control socket is "
        "DATA/data-cli.sock.\n\n"
        "Exit codes: 0 ended as told, 1 could not start, 2 usage, 78 the configuration is refused.",
    .examples = "sallyport data --config sallyport.yaml\nsallyport data --spaces identity,authentication",
    .options = options,
    .run = run_data,
};
