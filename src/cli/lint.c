/* `sallyport lint`: what is wrong with a configuration, and what in it deserves a look. Starts nothing, runs no
 * command of the file, resolves no name. */
#include "cli/cli.h"
#include "config/findings.h"
#include "config/schema.h"

#define REPORT_MAX (8u << 20)

static const char *plural(uint32_t n)
{
    return n == 1 ? "" : "s";
}

static void put_summary(const struct diags *d, const struct config *c, struct buf *out)
{
    buf_printf(out, "%.*s: ", STR_ARG(d->file));
    if (c) {
        /* what the file says; what comes by itself is not counted */
        uint32_t services = c->n_services, actions = c->n_actions, issuers = c->n_issuers;
        for (uint32_t i = 0; i < c->n_services; i++) services -= c->services[i].builtin;
        for (uint32_t i = 0; i < c->n_actions; i++) actions -= c->actions[i].builtin;
        for (uint32_t i = 0; i < c->n_issuers; i++) issuers -= c->issuers[i].builtin;
        buf_printf(out, "%u service%s, %u action%s, %u product%s, %u issuer%s%s: ", services, plural(services), actions,
                   plural(actions), c->n_products, plural(c->n_products), issuers, plural(issuers),
                   c->authentication.on ? ", logins" : "");
    }
    if (d->errors)
        buf_printf(out, "%u error%s", d->errors, plural(d->errors));
    else
        buf_puts(out, diags_ok(d) ? "ok" : "not read to the end");
    if (d->warnings) buf_printf(out, ", %u warning%s", d->warnings, plural(d->warnings));
    buf_putc(out, '\n');
}

static void put_json(const struct diags *d, struct buf *out)
{
    buf_puts(out, "{\"file\":\"");
    buf_put_json(out, d->file);
    buf_printf(out, "\",\"ok\":%s,\"errors\":%u,\"warnings\":%u,\"findings\":", diags_ok(d) ? "true" : "false",
               d->errors, d->warnings);
    diags_print_json(d, out);
    out->n--; /* its newline */
    buf_puts(out, "}\n");
}

static int lint(const struct cli_args *args, const char *path)
{
    struct diags d;
    struct config *c = NULL;
    struct buf out;
    diags_init(&d, str_of(path));
    buf_init(&out, REPORT_MAX);
    if (config_load(path, NULL, NULL, &d, &c) == ERR_OK) {
        config_findings(c, &d);
        config_file_findings(c, &d);
    }
    if (cli_flag(args, "json")) {
        put_json(&d, &out);
    } else {
        diags_print(&d, &out);
        put_summary(&d, c, &out);
    }
    bool ok = diags_ok(&d);
    bool written = !out.bad && fwrite(out.p, 1, out.n, stdout) == out.n && fflush(stdout) == 0;
    config_free(&c);
    buf_free(&out);
    diags_free(&d);
    if (!written) return cli_failure(args, "cannot write the report");
    return ok ? CLI_OK : CLI_CONFIG;
}

static int run_lint(const struct cli_args *args)
{
    if (!cli_flag(args, "schema")) return lint(args, args->rest_n ? args->rest[0] : "sallyport.yaml");
    if (args->rest_n) return cli_usage_error(args, "--schema takes no file");
    if (fwrite(config_schema, 1, config_schema_len, stdout) != config_schema_len || fflush(stdout) != 0)
        return cli_failure(args, "cannot write the schema");
    return CLI_OK;
}

static const struct cli_option lint_options[] = {
    {"json", NULL, "print the findings as one JSON object"},
    {"schema", NULL, "print the JSON Schema of the configuration, for editors"},
    {0},
};

const struct cli_command cli_lint = {
    .name = "lint",
    .summary = "check a configuration file",
    .synopsis = "[--json] [--schema] [FILE]",
    .description =
        "Reads the file (default: sallyport.yaml) and reports every mistake with its place and a hint, and what is "
        "allowed but deserves a look: actions that nobody can reach or that anybody can, products without keys, "
        "issuers that may assert nothing, implicit routes that are granted, files that are not there.\n\n"
        "Nothing is started, no name is resolved and no command in the file is run.\n\n"
        "Exit codes: 0 when there are no errors (warnings do not count), 78 when there are.",
    .examples = "sallyport lint\nsallyport lint --json /etc/sallyport/sallyport.yaml\n"
                "sallyport lint --schema > sallyport.schema.json",
    .options = lint_options,
    .max_rest = 1,
    .run = run_lint,
};
