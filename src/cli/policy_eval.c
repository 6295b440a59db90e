/* `sallyport policy eval`: one decision with its reasons, or with --batch many from JSON lines. */
#include "cli/policy_batch.h"
#include "cli/policy_files.h"
#include "policy/eval.h"
#include "policy/parse.h"
#include "policy/partial.h"
#include "policy/print.h"
#include "policy/typecheck.h"

#define MEMORY_MAX ((size_t)8 << 30)

struct asked {
    struct arena mem;
    struct policy_set set;
    struct schema *schema;
    struct entities es;
    const struct uid *principal, *action, *resource;
    struct value context;
};

static bool read_uid(struct asked *a, const char *name, const char *text, const struct uid **out)
{
    struct mistakes m;
    if (!text) return true;
    mistakes_init(&m, &a->mem);
    if (uid_parse(str_of(text), &a->mem, &m, out) == ERR_OK) return true;
    policy_complain(&m, name, str_of(text));
    return false;
}

/* @FILE or the JSON itself. */
static bool read_context(struct asked *a, const char *given)
{
    struct mistakes m;
    str text = str_of(given ? given : "{}");
    const struct action_type *t = a->schema && a->action ? schema_action(a->schema, a->action) : NULL;
    if (text.n && text.p[0] == '@' && policy_read_file(text.p + 1, &a->mem, &text) != ERR_OK) {
        fprintf(stderr, "%s: cannot be read\n", given + 1);
        return false;
    }
    mistakes_init(&m, &a->mem);
    if (context_from_json(text, t ? t->context : NULL, &a->mem, &m, &a->context) == ERR_OK) return true;
    policy_complain(&m, "context", text);
    return false;
}

static bool load(struct asked *a, const struct cli_args *args)
{
    const char *schema = cli_value(args, "schema"), *entities = cli_value(args, "entities");
    if (policy_load(cli_value(args, "policies"), &a->mem, &a->set, NULL) != ERR_OK) return false;
    if (schema && policy_load_schema(schema, &a->mem, &a->schema) != ERR_OK) return false;
    if (entities && policy_load_entities(entities, a->schema, &a->es) != ERR_OK) return false;
    return read_uid(a, "--principal", cli_value(args, "principal"), &a->principal) &&
           read_uid(a, "--action", cli_value(args, "action"), &a->action) &&
           read_uid(a, "--resource", cli_value(args, "resource"), &a->resource) &&
           read_context(a, cli_value(args, "context"));
}

static void print_ids(const char *word, const struct policy *const *list, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) printf("%s %.*s\n", word, STR_ARG(list[i]->id));
}

static void print_faults(const struct decider *d)
{
    for (uint32_t i = 0; i < d->errors_n; i++) {
        struct buf b;
        buf_init(&b, 4096);
        expr_print(d->failures[i].at, &b);
        printf("error %.*s: %s at %.*s\n", STR_ARG(d->errors[i]->id), eval_fault_name(d->failures[i].fault),
               STR_ARG(buf_str(&b)));
        buf_free(&b);
    }
}

static int decide_and_print(struct asked *a)
{
    struct compiled *c = NULL;
    struct decider d = {0};
    struct decision out = {0};
    struct policy_request q = {a->principal, a->action, a->resource, a->context, NULL, 0};
    enum err e = compile(&a->set, &c);
    if (e == ERR_OK) e = decider_init(&d, c);
    if (e == ERR_OK) e = decide(&d, &a->es, &q, &out);
    if (e == ERR_OK) {
        printf("%s\n", out.effect == EFFECT_PERMIT ? "allow" : "deny");
        print_ids("because", out.reasons, out.reasons_n);
        print_faults(&d);
    } else {
        fprintf(stderr, "no decision: %s\n", err_name(e));
    }
    int code = e != ERR_OK ? CLI_CONFIG : out.effect == EFFECT_PERMIT ? CLI_OK : CLI_FAILED;
    decider_free(&d);
    compiled_free(&c);
    return code;
}

static int partial_and_print(struct asked *a, bool context_known)
{
    struct partial_request q = {.principal = a->principal,
                                .action = a->action,
                                .resource = a->resource,
                                .context = context_known ? &a->context : NULL};
    struct partial_decision d;
    if (partial_decide(&a->set, &a->es, &q, &a->mem, &d) != ERR_OK) {
        fprintf(stderr, "no decision: out of memory\n");
        return CLI_CONFIG;
    }
    printf("%s\n", !d.decided ? "unknown" : d.effect == EFFECT_PERMIT ? "allow" : "deny");
    for (uint32_t i = 0; i < d.n; i++) {
        const struct partial_policy *p = &d.policies[i];
        struct buf b;
        if (p->truth == PARTIAL_TRUE) printf("because %.*s\n", STR_ARG(p->policy->id));
        if (p->truth == PARTIAL_ERROR) printf("error %.*s: %s\n", STR_ARG(p->policy->id), eval_fault_name(p->fault));
        if (p->truth != PARTIAL_RESIDUAL) continue;
        buf_init(&b, POLICY_OUTPUT_MAX);
        buf_puts(&b, "// left of ");
        buf_put(&b, p->policy->id);
        buf_putc(&b, '\n');
        policy_print(p->residual, &b);
        if (!policy_put(&b)) return CLI_CONFIG;
    }
    return !d.decided || d.effect != EFFECT_PERMIT ? CLI_FAILED : CLI_OK;
}

static int eval(const struct cli_args *args)
{
    struct asked a = {0};
    if (cli_flag(args, "batch")) return policy_batch(stdin, stdout) ? CLI_OK : CLI_FAILED;
    if (!cli_value(args, "policies")) return cli_usage_error(args, "--policies is missing");
    bool partial = cli_flag(args, "partial");
    bool whole = cli_value(args, "principal") && cli_value(args, "action") && cli_value(args, "resource");
    if (!partial && !whole)
        return cli_usage_error(args,
                               "--principal, --action and --resource are needed; with --partial some may be missing");
    arena_init(&a.mem, NULL, 0, MEMORY_MAX);
    entities_init(&a.es, &a.mem);
    int code = CLI_CONFIG;
    if (load(&a, args))
        code = partial ? partial_and_print(&a, cli_value(args, "context") != NULL) : decide_and_print(&a);
    entities_free(&a.es);
    schema_free(&a.schema);
    arena_reset(&a.mem);
    return code;
}

static const struct cli_option options[] = {{"policies", "FILE", "the policies, text or JSON"},
                                            {"schema", "FILE", "the schema, human syntax or JSON"},
                                            {"entities", "FILE", "the entities, JSON"},
                                            {"principal", "UID", "who: User::\"alice\""},
                                            {"action", "UID", "does what: Action::\"view\""},
                                            {"resource", "UID", "to what: Photo::\"a.jpg\""},
                                            {"context", "JSON", "an object, or @FILE"},
                                            {"partial", NULL,
                                             "what is not given is unknown; prints what is left of each policy"},
                                            {"batch", NULL,
                                             "read tasks as JSON lines from standard input, one answer a line"},
                                            {NULL, NULL, NULL}};

const struct cli_command cli_policy_eval = {
    .name = "policy eval",
    .summary = "Decide one request by Cedar policies, and say why",
    .synopsis = "--policies FILE [--schema FILE] [--entities FILE] --principal UID --action UID --resource UID "
                "[--context JSON]",
    .description =
        "Prints allow or deny, the determining policies, and the policies that could not be evaluated with the place "
        "that failed. "
        "Exits with 0 if allowed, 1 if denied, 78 if something cannot be read.\n\n"
        "With --partial whatever is not given is unknown; the answer may then be `unknown`, followed by what is left "
        "of the "
        "policies, as policies.\n\n"
        "With --batch every line of standard input is a JSON object {\"op\": "
        "\"authorize\"|\"partial\"|\"validate\"|\"json\"|\"text\"|"
        "\"format\", \"policies\": TEXT, \"schema\": TEXT, \"entities\": TEXT, \"principal\": {\"type\", \"id\"}, …}.",
    .examples = "sallyport policy eval --policies app.cedar --entities app.json --principal 'User::\"alice\"' --action "
                "'Action::\"view\"' "
                "--resource 'Photo::\"a.jpg\"'",
    .options = options,
    .min_rest = 0,
    .max_rest = 0,
    .run = eval,
};
