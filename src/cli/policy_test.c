/* `sallyport policy test`: tables of expected decisions, and which policies and conditions they reach. */
#include "cli/policy_files.h"
#include "codec/yaml.h"
#include "policy/eval.h"
#include "policy/parse.h"

#include <libgen.h>
#include <stdlib.h>

#define MEMORY_MAX ((size_t)4 << 30)

enum seen { SEEN_TRUE = 1, SEEN_FALSE = 2, SEEN_ERROR = 4 };

struct suite {
    const char *path;
    struct arena mem;
    const struct yaml *root;
    struct policy_set set;
    str text; /* of the policies, for places */
    char policies[4096];
    struct schema *schema;
    struct entities es;
    struct compiled *compiled;
    struct decider decider;
    uint8_t *conditions; /* enum seen, by compiled condition */
    bool *applied;       /* by policy: its scope fitted */
    uint32_t passed, failed;
};

static bool say(const struct suite *s, const struct yaml *y, const char *what)
{
    fprintf(stderr, "%s:%u:%u: %s\n", s->path, y ? y->at.line : 1, y ? y->at.column : 1, what);
    return false;
}

/* ---- loading ---- */

static bool beside(const struct suite *s, str name, char out[4096])
{
    char copy[4096];
    int n;
    if (name.n && name.p[0] == '/') {
        n = snprintf(out, 4096, "%.*s", STR_ARG(name));
    } else {
        snprintf(copy, sizeof copy, "%s", s->path);
        n = snprintf(out, 4096, "%s/%.*s", dirname(copy), STR_ARG(name));
    }
    return n > 0 && n < 4096;
}

/* Data written in YAML, as the JSON the readers take. The tree's depth is bounded by its reader. */
static void yaml_to_json(const struct yaml *y, struct buf *out)
{
    bool first = true;
    switch (y->type) {
    case YAML_NULL:
    case YAML_REFUSED: buf_puts(out, "null"); break;
    case YAML_BOOL: buf_puts(out, y->boolean ? "true" : "false"); break;
    case YAML_INT:
    case YAML_FLOAT: buf_put(out, y->text); break;
    case YAML_STRING:
        buf_putc(out, '"');
        buf_put_json(out, y->text);
        buf_putc(out, '"');
        break;
    case YAML_LIST:
    case YAML_MAP:
        buf_putc(out, y->type == YAML_LIST ? '[' : '{');
        for (const struct yaml *x = y->first; x; x = x->next) {
            if (!first) buf_putc(out, ',');
            first = false;
            if (y->type == YAML_MAP) {
                buf_putc(out, '"');
                buf_put_json(out, x->key);
                buf_puts(out, "\":");
            }
            yaml_to_json(x, out);
        }
        buf_putc(out, y->type == YAML_LIST ? ']' : '}');
        break;
    }
}

static bool known_keys(const struct suite *s, const struct yaml *y, const str *known, size_t n)
{
    if (!y || y->type != YAML_MAP) return say(s, y, "a map was expected");
    for (const struct yaml *x = y->first; x; x = x->next) {
        size_t i = 0;
        while (i < n && !str_eq(known[i], x->key)) i++;
        if (i < n) continue;
        fprintf(stderr, "%s:%u:%u: there is no key `%.*s` here\n", s->path, x->key_at.line, x->key_at.column,
                STR_ARG(x->key));
        return false;
    }
    return true;
}

static bool load_entities(struct suite *s, const struct yaml *y)
{
    char path[4096];
    struct mistakes m;
    struct buf b;
    if (!y) return true;
    if (y->type == YAML_STRING)
        return beside(s, y->text, path) && policy_load_entities(path, s->schema, &s->es) == ERR_OK;
    mistakes_init(&m, &s->mem);
    buf_init(&b, 64 << 20);
    yaml_to_json(y, &b);
    bool ok =
        !b.bad && entities_load(&s->es, buf_str(&b), s->schema, &m) == ERR_OK && entities_finish(&s->es, &m) == ERR_OK;
    if (!ok) policy_complain(&m, "entities", STR_NONE);
    buf_free(&b);
    return ok || say(s, y, "these entities cannot be used");
}

static bool load(struct suite *s)
{
    static const str known[] = {STR_INIT("policies"), STR_INIT("schema"), STR_INIT("entities"), STR_INIT("tests")};
    char path[4096];
    struct yaml_errors errors = {0};
    str text;
    if (policy_read_file(s->path, &s->mem, &text) != ERR_OK) return say(s, NULL, "cannot be read");
    if (yaml_parse(text, &yaml_limits_default, &s->mem, &errors, &s->root) != ERR_OK) {
        if (errors.n)
            fprintf(stderr, "%s:%u:%u: %s\n", s->path, errors.v[0].at.line, errors.v[0].at.column, errors.v[0].text);
        return false;
    }
    if (!known_keys(s, s->root, known, ARRAY_LEN(known))) return false;
    const struct yaml *policies = yaml_get(s->root, known[0]), *schema = yaml_get(s->root, known[1]);
    if (!policies || policies->type != YAML_STRING || !beside(s, policies->text, s->policies))
        return say(s, s->root, "`policies` must name a file");
    if (policy_load(s->policies, &s->mem, &s->set, &s->text) != ERR_OK) return false;
    if (schema && (schema->type != YAML_STRING || !beside(s, schema->text, path)))
        return say(s, schema, "`schema` must name a file");
    if (schema && policy_load_schema(path, &s->mem, &s->schema) != ERR_OK) return false;
    if (!load_entities(s, yaml_get(s->root, known[2]))) return false;
    if (compile(&s->set, &s->compiled) != ERR_OK || decider_init(&s->decider, s->compiled) != ERR_OK)
        return say(s, NULL, "out of memory");
    uint32_t conditions = 0;
    for (uint32_t i = 0; i < s->set.n; i++) conditions += s->set.policies[i]->conditions_n;
    s->conditions = arena_array(&s->mem, (size_t)conditions + 1, 1);
    s->applied = arena_array(&s->mem, (size_t)s->set.n + 1, sizeof *s->applied);
    return s->conditions && s->applied;
}

/* ---- one test ---- */

static bool read_uid(struct suite *s, const struct yaml *test, const char *name, const struct uid **out)
{
    const struct yaml *y = yaml_get(test, str_of(name));
    struct mistakes m;
    mistakes_init(&m, &s->mem);
    if (!y || y->type != YAML_STRING)
        return say(s, y ? y : test, "principal, action and resource are needed, each like User::\"alice\"");
    if (uid_parse(y->text, &s->mem, &m, out) == ERR_OK) return true;
    return say(s, y, "this is no entity: write it like User::\"alice\"");
}

static bool read_request(struct suite *s, const struct yaml *test, struct policy_request *q)
{
    if (!read_uid(s, test, "principal", &q->principal) || !read_uid(s, test, "action", &q->action) ||
        !read_uid(s, test, "resource", &q->resource))
        return false;
    const struct yaml *context = yaml_get(test, STR("context"));
    const struct action_type *a = s->schema ? schema_action(s->schema, q->action) : NULL;
    struct mistakes m;
    struct buf b;
    mistakes_init(&m, &s->mem);
    buf_init(&b, 1 << 20);
    if (context)
        yaml_to_json(context, &b);
    else
        buf_puts(&b, "{}");
    bool ok = !b.bad && context_from_json(buf_str(&b), a ? a->context : NULL, &s->mem, &m, &q->context) == ERR_OK;
    if (!ok) policy_complain(&m, "context", STR_NONE);
    buf_free(&b);
    return ok || say(s, context ? context : test, "this context cannot be used");
}

static bool same_ids(const struct yaml *want, const struct policy *const *got, uint32_t n)
{
    if (!want) return true;
    if (want->type != YAML_LIST || want->count != n) return false;
    for (const struct yaml *x = want->first; x; x = x->next) {
        uint32_t i = 0;
        while (i < n && !str_eq(got[i]->id, x->text)) i++;
        if (i == n) return false;
    }
    return true;
}

static void cover(struct suite *s, const struct policy_request *q)
{
    struct facts f = {.entities = &s->es, .scratch = &s->decider.scratch};
    for (uint32_t i = 0; i < s->set.n; i++) {
        const struct compiled_policy *p = &s->compiled->policies[i];
        if (!scope_fits(p->policy, q, &f)) continue;
        s->applied[i] = true;
        for (uint32_t k = 0; k < p->conditions_n; k++) {
            const struct expr *at;
            bool yes = false;
            enum eval_fault fault = evaluate_condition(&s->decider, &s->es, q, p->conditions + k, &yes, &at);
            s->conditions[p->conditions + k] |= fault ? SEEN_ERROR : yes ? SEEN_TRUE : SEEN_FALSE;
            if (fault || yes == p->policy->conditions[k].unless) break;
        }
    }
}

static void print_list(const char *what, const struct policy *const *list, uint32_t n)
{
    printf("; %s:", what);
    for (uint32_t i = 0; i < n; i++) printf(" %.*s", STR_ARG(list[i]->id));
    if (!n) printf(" none");
}

static bool run_test(struct suite *s, const struct yaml *test, uint32_t number)
{
    static const str known[] = {STR_INIT("name"),    STR_INIT("principal"), STR_INIT("action"),  STR_INIT("resource"),
                                STR_INIT("context"), STR_INIT("expect"),    STR_INIT("reasons"), STR_INIT("errors")};
    struct policy_request q = {0};
    struct decision d;
    if (!known_keys(s, test, known, ARRAY_LEN(known)) || !read_request(s, test, &q)) return false;
    const struct yaml *expect = yaml_get(test, STR("expect")), *name = yaml_get(test, STR("name"));
    bool allow = expect && str_eq(expect->text, STR("allow"));
    if (!expect || (!allow && !str_eq(expect->text, STR("deny"))))
        return say(s, expect ? expect : test, "`expect` is allow or deny");
    if (decide(&s->decider, &s->es, &q, &d) != ERR_OK) return say(s, test, "no decision");
    bool right = allow == (d.effect == EFFECT_PERMIT),
         reasons = same_ids(yaml_get(test, STR("reasons")), d.reasons, d.reasons_n),
         errors = same_ids(yaml_get(test, STR("errors")), d.errors, d.errors_n);
    bool ok = right && reasons && errors;
    s->passed += ok;
    s->failed += !ok;
    str title = name ? name->text : arena_printf(&s->mem, "test %u", number);
    printf("%s %.*s", ok ? "ok  " : "FAIL", STR_ARG(title));
    if (!ok) {
        printf(" (%s:%u): %s", s->path, test->at.line, d.effect == EFFECT_PERMIT ? "allowed" : "denied");
        print_list("reasons", d.reasons, d.reasons_n);
        print_list("errors", d.errors, d.errors_n);
    }
    putchar('\n');
    cover(s, &q);
    return true;
}

/* ---- coverage ---- */

static uint32_t line_of(str text, uint32_t at)
{
    uint32_t line = 1;
    for (uint32_t i = 0; i < at && i < text.n; i++) line += text.p[i] == '\n';
    return line;
}

/* Whether every policy was reached and every condition was seen both ways. */
static bool report(const struct suite *s)
{
    uint32_t reached = 0, conditions = 0, both = 0;
    for (uint32_t i = 0; i < s->set.n; i++) {
        const struct policy *p = s->set.policies[i];
        reached += s->applied[i];
        if (!s->applied[i])
            printf("%s:%u: no test reaches %.*s\n", s->policies, line_of(s->text, p->at), STR_ARG(p->id));
        for (uint32_t k = 0; k < p->conditions_n; k++, conditions++) {
            uint8_t seen = s->conditions[s->compiled->policies[i].conditions + k];
            bool full = (seen & SEEN_TRUE) && (seen & SEEN_FALSE);
            both += full;
            if (full || !s->applied[i]) continue;
            printf("%s:%u: this condition of %.*s was never %s\n", s->policies, line_of(s->text, p->conditions[k].at),
                   STR_ARG(p->id),
                   seen & SEEN_TRUE    ? "false"
                   : seen & SEEN_FALSE ? "true"
                                       : "computed");
        }
    }
    printf("%u of %u policies reached, %u of %u conditions seen true and false\n", reached, s->set.n, both, conditions);
    return reached == s->set.n && both == conditions;
}

static int run_suite(const struct cli_args *args, const char *path)
{
    struct suite s = {.path = path};
    uint32_t number = 0;
    arena_init(&s.mem, NULL, 0, MEMORY_MAX);
    entities_init(&s.es, &s.mem);
    bool ok = load(&s), covered = true;
    const struct yaml *tests = ok ? yaml_get(s.root, STR("tests")) : NULL;
    if (ok && (!tests || tests->type != YAML_LIST)) ok = say(&s, s.root, "`tests` must be a list");
    for (const struct yaml *t = ok ? tests->first : NULL; t; t = t->next)
        if (!run_test(&s, t, ++number)) ok = false;
    if (ok) covered = report(&s);
    printf("%u passed, %u failed\n", s.passed, s.failed);
    decider_free(&s.decider);
    compiled_free(&s.compiled);
    entities_free(&s.es);
    schema_free(&s.schema);
    arena_reset(&s.mem);
    if (!ok) return CLI_CONFIG;
    return s.failed || (cli_flag(args, "cover") && !covered) ? CLI_FAILED : CLI_OK;
}

static int test(const struct cli_args *args)
{
    int code = CLI_OK;
    for (int i = 0; i < args->rest_n; i++) {
        int one = run_suite(args, args->rest[i]);
        if (one > code) code = one;
    }
    return code;
}

static const struct cli_option options[] = {{"cover", NULL, "fail if a policy or a condition was not covered"},
                                            {NULL, NULL, NULL}};

const struct cli_command cli_policy_test = {
    .name = "policy test",
    .summary = "Run tables of expected decisions against policies",
    .synopsis = "[--cover] FILE...",
    .description =
        "Each file is YAML: `policies`, `schema` and `entities` name files (relative to it; entities may stand there "
        "in place), "
        "`tests` is a list of {name, principal, action, resource, context, expect: allow|deny, reasons, errors}.\n\n"
        "Prints a line for each test, then the policies that no test reaches and the conditions that were never true "
        "or never "
        "false.",
    .examples = "sallyport policy test --cover app.tests.yaml",
    .options = options,
    .min_rest = 1,
    .max_rest = -1,
    .run = test,
};
