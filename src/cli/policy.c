/* `sallyport policy check|fmt|show`: what can be said about policies without a request. */
#include "cli/policy_files.h"
#include "policy/format.h"
#include "policy/policy_json.h"
#include "policy/print.h"
#include "policy/typecheck.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_MAX ((size_t)8 << 30)

/* ---- check ---- */

static bool check_file(const char *path, const struct schema *schema, struct arena *mem)
{
    struct policy_set set;
    struct mistakes m;
    str text;
    if (policy_load(path, mem, &set, &text) != ERR_OK) return false;
    mistakes_init(&m, mem);
    enum err e = schema ? policies_validate(&set, schema, &m) : ERR_OK;
    if (m.first) policy_complain(&m, path, text);
    if (e == ERR_OK)
        printf("%s: %u policies, %u templates%s\n", path, set.n, set.templates_n,
               schema ? ", valid for the schema" : "");
    return e == ERR_OK;
}

static int check(const struct cli_args *args)
{
    const char *schema_path = cli_value(args, "schema"), *entities_path = cli_value(args, "entities");
    struct arena mem;
    struct schema *schema = NULL;
    struct entities es;
    bool ok = true;
    arena_init(&mem, NULL, 0, MEMORY_MAX);
    entities_init(&es, &mem);
    if (schema_path) ok = policy_load_schema(schema_path, &mem, &schema) == ERR_OK;
    if (ok && entities_path) {
        ok = policy_load_entities(entities_path, schema, &es) == ERR_OK;
        if (ok) printf("%s: %zu entities\n", entities_path, es.n);
    }
    for (int i = 0; ok && i < args->rest_n; i++)
        if (!check_file(args->rest[i], schema, &mem)) ok = false;
    entities_free(&es);
    schema_free(&schema);
    arena_reset(&mem);
    return ok ? CLI_OK : CLI_FAILED;
}

static const struct cli_option check_options[] =
    {{"schema", "FILE", "check types too: every attribute, action and type against this schema"},
     {"entities", "FILE", "check these entities against the schema"},
     {NULL, NULL, NULL}};

const struct cli_command cli_policy_check = {
    .name = "policy check",
    .summary = "Check Cedar policies, with a schema their types too",
    .synopsis = "[--schema FILE] [--entities FILE] FILE...",
    .description = "Reads each file of policies (text or JSON) and tells all mistakes at once, with line, column and "
                   "what may have been "
                   "meant.\n\nWith a schema (human or JSON syntax) the strict validator runs: a policy that passes can "
                   "fail at run time "
                   "only by integer overflow or a missing entity.",
    .examples = "sallyport policy check --schema app.cedarschema app.cedar",
    .options = check_options,
    .min_rest = 1,
    .max_rest = -1,
    .run = check,
};

/* ---- fmt ---- */

/* The new text takes the old one's place whole: a new file, then a rename. */
static bool replace_file(const char *path, const struct buf *b)
{
    char fresh[4096];
    struct stat st;
    int n = snprintf(fresh, sizeof fresh, "%s.XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof fresh || stat(path, &st) != 0) return false;
    int fd = mkstemp(fresh);
    if (fd < 0) return false;
    bool ok = write(fd, b->p, b->n) == (ssize_t)b->n && fchmod(fd, st.st_mode & 07777) == 0;
    ok = close(fd) == 0 && ok && rename(fresh, path) == 0;
    if (!ok) unlink(fresh);
    return ok;
}

static bool format_file(const struct cli_args *args, const char *path, struct arena *mem)
{
    struct mistakes m;
    struct buf b;
    str text;
    bool test = cli_flag(args, "check"), in_place = cli_flag(args, "write");
    if (policy_read_file(path, mem, &text) != ERR_OK) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return false;
    }
    mistakes_init(&m, mem);
    buf_init(&b, POLICY_OUTPUT_MAX);
    if (policies_format(text, mem, &m, &b) != ERR_OK) {
        policy_complain(&m, path, text);
        buf_free(&b);
        return false;
    }
    bool same = str_eq(buf_str(&b), text);
    if (!test && !in_place) return policy_put(&b);
    bool ok = same || (in_place && strcmp(path, "-") != 0 && replace_file(path, &b));
    if (!same) printf("%s%s\n", path, ok ? "" : test ? ": not formatted" : ": cannot be written");
    buf_free(&b);
    return ok;
}

static int fmt(const struct cli_args *args)
{
    bool ok = true;
    if (cli_flag(args, "check") && cli_flag(args, "write"))
        return cli_usage_error(args, "--check and --write exclude each other");
    for (int i = 0; i < args->rest_n; i++) {
        struct arena mem;
        arena_init(&mem, NULL, 0, MEMORY_MAX);
        if (!format_file(args, args->rest[i], &mem)) ok = false;
        arena_reset(&mem);
    }
    return ok ? CLI_OK : CLI_FAILED;
}

static const struct cli_option fmt_options[] = {{"check", NULL, "change nothing; fail if a file would change"},
                                                {"write", NULL, "write the result back to each file"},
                                                {NULL, NULL, NULL}};

const struct cli_command cli_policy_fmt = {
    .name = "policy fmt",
    .summary = "Lay out Cedar policies",
    .synopsis = "[--check|--write] FILE...|-",
    .description = "Writes the policies with 80 columns and two blanks of indentation to standard output. Comments "
                   "stay where they are; "
                   "nothing but blanks and line ends changes.",
    .examples = "sallyport policy fmt --write app.cedar",
    .options = fmt_options,
    .min_rest = 1,
    .max_rest = -1,
    .run = fmt,
};

/* ---- show ---- */

static void show_one(const struct policy *p, struct buf *out)
{
    buf_puts(out, "// ");
    buf_put(out, p->id);
    if (p->template) {
        buf_puts(out, ", linked from ");
        buf_put(out, p->template->id);
    }
    if (policy_is_template(p)) buf_puts(out, ", a template");
    buf_putc(out, '\n');
    policy_print(p, out);
    buf_putc(out, '\n');
}

static bool show_text(const struct policy_set *set, struct arena *mem, struct buf *out)
{
    struct buf raw;
    struct mistakes m;
    mistakes_init(&m, mem);
    buf_init(&raw, POLICY_OUTPUT_MAX);
    for (uint32_t i = 0; i < set->n; i++) show_one(set->policies[i], &raw);
    for (uint32_t i = 0; i < set->templates_n; i++) show_one(set->templates[i], &raw);
    bool ok = !raw.bad && policies_format(buf_str(&raw), mem, &m, out) == ERR_OK;
    buf_free(&raw);
    return ok;
}

static int show(const struct cli_args *args)
{
    struct arena mem;
    struct policy_set set;
    struct buf b;
    arena_init(&mem, NULL, 0, MEMORY_MAX);
    buf_init(&b, POLICY_OUTPUT_MAX);
    bool ok = policy_load(args->rest[0], &mem, &set, NULL) == ERR_OK;
    if (ok && cli_flag(args, "json")) {
        policies_print_json(&set, &b);
        buf_putc(&b, '\n');
    } else if (ok) {
        ok = show_text(&set, &mem, &b);
    }
    ok = policy_put(&b) && ok;
    arena_reset(&mem);
    return ok ? CLI_OK : CLI_FAILED;
}

static const struct cli_option show_options[] = {{"json", NULL, "as Cedar's JSON form"}, {NULL, NULL, NULL}};

const struct cli_command cli_policy_show = {
    .name = "policy show",
    .summary = "Print policies with their ids, as text or JSON",
    .synopsis = "[--json] FILE|-",
    .description = "Reads policies as text or JSON and writes them as text, each with its id, or with --json as JSON: "
                   "the way from one form "
                   "to the other.",
    .examples = "sallyport policy show --json app.cedar",
    .options = show_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = show,
};
