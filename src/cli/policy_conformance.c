/* `sallyport policy conformance DIR`: runs a folder of Cedar's own integration tests.
 *
 * A test is a JSON file {"policies", "entities", "schema", "shouldValidate", "requests": […]}; the paths in it are
 * relative to DIR. It passes if every decision, set of reasons and set of errors is equal, and with --validate the
 * verdict of the validator too. Jobs are processes: a test that crashed one would be seen. */
#include "cli/cli.h"
#include "cli/policy_files.h"
#include "codec/json.h"
#include "policy/eval.h"
#include "policy/parse.h"
#include "policy/typecheck.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER_DEPTH_MAX 16
#define TESTS_MAX        1000000
#define JOBS_MAX         64

static const struct json_limits test_limits = {.max_bytes = 16u << 20,
                                               .max_depth = 64,
                                               .max_values = 1u << 20,
                                               .max_members = 1u << 16,
                                               .max_number = 30};

struct paths {
    char **list;
    size_t n, cap;
};

static bool add_path(struct paths *p, const char *path)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 256;
        char **grown = realloc(p->list, cap * sizeof *grown);
        if (!grown) return false;
        p->list = grown;
        p->cap = cap;
    }
    p->list[p->n] = strdup(path);
    return p->list[p->n] && ++p->n <= TESTS_MAX;
}

static bool is_test_name(const char *name)
{
    str s = str_of(name);
    return str_ends(s, STR(".json")) && !str_ends(s, STR(".entities.json"));
}

static bool collect(struct paths *p, const char *folder, unsigned depth)
{
    DIR *d = depth < FOLDER_DEPTH_MAX ? opendir(folder) : NULL;
    bool ok = d != NULL;
    for (struct dirent *e; ok && (e = readdir(d));) {
        char path[4096];
        struct stat st;
        if (e->d_name[0] == '.') continue;
        int n = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n < 0 || (size_t)n >= sizeof path || stat(path, &st) != 0) continue;
        if (S_ISDIR(st.st_mode))
            ok = collect(p, path, depth + 1);
        else if (is_test_name(e->d_name))
            ok = add_path(p, path);
    }
    if (d) closedir(d);
    return ok;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- one test ---- */

struct test {
    const char *root, *path;
    bool validate;
    struct arena mem;
    struct mistakes mistakes;
    struct schema *schema;
    struct entities entities;
    struct policy_set set;
    struct compiled *compiled;
    struct decider decider;
};

static bool fail(const struct test *t, const char *what)
{
    struct buf b;
    buf_init(&b, 65536);
    mistakes_print(&t->mistakes, STR("  "), STR_NONE, &b);
    printf("FAIL %s: %s\n%.*s", t->path, what, STR_ARG(buf_str(&b)));
    buf_free(&b);
    return false;
}

static bool read_relative(struct test *t, const struct json *j, str *out)
{
    char path[4096];
    str rel = json_text(j);
    int n = snprintf(path, sizeof path, "%s/%.*s", t->root, STR_ARG(rel));
    return rel.p && n > 0 && (size_t)n < sizeof path && policy_read_file(path, &t->mem, out) == ERR_OK;
}

/* Whether the array of strings names exactly these policies. */
static bool same_ids(const struct json *want, const struct policy *const *got, uint32_t n)
{
    if (!want || want->type != JSON_ARRAY || want->count != n) return false;
    for (const struct json *x = want->first; x; x = x->next) {
        uint32_t i = 0;
        while (i < n && !str_eq(got[i]->id, x->text)) i++;
        if (i == n) return false;
    }
    return true;
}

static bool request_passes(struct test *t, const struct json *j)
{
    struct policy_request q = {0};
    struct decision got;
    if (uid_from_json(json_get(j, STR("principal")), NULL, &t->mem, &t->mistakes, "principal", 0, &q.principal) ||
        uid_from_json(json_get(j, STR("action")), NULL, &t->mem, &t->mistakes, "action", 0, &q.action) ||
        uid_from_json(json_get(j, STR("resource")), NULL, &t->mem, &t->mistakes, "resource", 0, &q.resource))
        return fail(t, "the request cannot be read");
    const struct action_type *a = t->schema ? schema_action(t->schema, q.action) : NULL;
    if (value_from_json(json_get(j, STR("context")), a ? a->context : NULL, NULL, &t->mem, &t->mistakes, "context", 0,
                        &q.context))
        return fail(t, "the context cannot be read");
    if (decide(&t->decider, &t->entities, &q, &got) != ERR_OK) return fail(t, "no decision");
    bool allow = str_eq(json_text(json_get(j, STR("decision"))), STR("allow"));
    if (allow != (got.effect == EFFECT_PERMIT)) return fail(t, "another decision");
    if (!same_ids(json_get(j, STR("reason")), got.reasons, got.reasons_n)) return fail(t, "other reasons");
    if (!same_ids(json_get(j, STR("errors")), got.errors, got.errors_n)) return fail(t, "other errors");
    return true;
}

static bool load_and_run(struct test *t, const struct json *j)
{
    str text;
    if (json_get(j, STR("schema"))) {
        if (!read_relative(t, json_get(j, STR("schema")), &text)) return fail(t, "no schema");
        if (schema_parse(text, &t->mem, &t->mistakes, &t->schema)) return fail(t, "the schema cannot be read");
    }
    if (!read_relative(t, json_get(j, STR("policies")), &text)) return fail(t, "no policies");
    if (policies_parse(text, 0, &t->mem, &t->mistakes, &t->set)) return fail(t, "the policies cannot be read");
    if (!read_relative(t, json_get(j, STR("entities")), &text)) return fail(t, "no entities");
    if (entities_load(&t->entities, text, t->schema, &t->mistakes)) return fail(t, "the entities cannot be read");
    if (entities_finish(&t->entities, &t->mistakes)) return fail(t, "the entities cannot be used");
    if (compile(&t->set, &t->compiled) || decider_init(&t->decider, t->compiled)) return fail(t, "out of memory");
    const struct json *requests = json_get(j, STR("requests"));
    for (const struct json *x = requests ? requests->first : NULL; x; x = x->next)
        if (!request_passes(t, x)) return false;
    if (!t->validate || !t->schema) return true;
    struct mistakes found;
    mistakes_init(&found, &t->mem);
    bool valid = policies_validate(&t->set, t->schema, &found) == ERR_OK;
    const struct json *should = json_get(j, STR("shouldValidate"));
    if (should && valid != (should->type == JSON_TRUE)) {
        t->mistakes = found;
        return fail(t, valid ? "validates but should not" : "does not validate but should");
    }
    return true;
}

/* 1 passed, 0 failed, -1 this is no test. */
static int run_test(const char *root, const char *path, bool validate)
{
    struct test t = {.root = root, .path = path, .validate = validate};
    const struct json *j;
    str text;
    int result = -1;
    arena_init(&t.mem, NULL, 0, (size_t)1 << 30);
    mistakes_init(&t.mistakes, &t.mem);
    entities_init(&t.entities, &t.mem);
    if (policy_read_file(path, &t.mem, &text) == ERR_OK &&
        json_parse(text, &test_limits, &t.mem, &j, NULL, NULL) == ERR_OK && json_get(j, STR("requests")))
        result = load_and_run(&t, j);
    decider_free(&t.decider);
    compiled_free(&t.compiled);
    entities_free(&t.entities);
    schema_free(&t.schema);
    arena_reset(&t.mem);
    return result;
}

/* ---- jobs ---- */

struct counts {
    uint32_t passed, failed;
};

static struct counts run_share(const char *root, const struct paths *p, bool validate, size_t job, size_t jobs)
{
    struct counts c = {0};
    for (size_t i = job; i < p->n; i += jobs) {
        int r = run_test(root, p->list[i], validate);
        c.passed += r == 1;
        c.failed += r == 0;
    }
    fflush(stdout);
    return c;
}

static bool start_job(const char *root, const struct paths *p, bool validate, size_t job, size_t jobs, int *from)
{
    int ends[2];
    if (pipe(ends) != 0) return false;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct counts c = run_share(root, p, validate, job, jobs);
        _exit(write(ends[1], &c, sizeof c) == (ssize_t)sizeof c ? 0 : 1);
    }
    close(ends[1]);
    *from = ends[0];
    return pid > 0;
}

static int conformance(const struct cli_args *args)
{
    const char *jobs_text = cli_value(args, "jobs");
    uint64_t jobs = 1;
    struct paths p = {0};
    struct counts total = {0};
    int from[JOBS_MAX];
    bool crashed = false;
    if (jobs_text && (str_to_u64(str_of(jobs_text), &jobs) != ERR_OK || jobs == 0 || jobs > JOBS_MAX))
        return cli_usage_error(args, "--jobs is a number from 1 to %d", JOBS_MAX);
    if (!collect(&p, args->rest[0], 0)) return cli_failure(args, "cannot read the folder %s", args->rest[0]);
    if (p.n) qsort(p.list, p.n, sizeof *p.list, by_name);
    bool validate = cli_flag(args, "validate");
    if (jobs == 1) {
        total = run_share(args->rest[0], &p, validate, 0, 1);
    } else {
        for (size_t i = 0; i < jobs; i++)
            if (!start_job(args->rest[0], &p, validate, i, jobs, &from[i]))
                return cli_failure(args, "cannot start a job");
        for (size_t i = 0; i < jobs; i++) {
            struct counts c = {0};
            if (read(from[i], &c, sizeof c) != (ssize_t)sizeof c) crashed = true;
            total.passed += c.passed;
            total.failed += c.failed;
            close(from[i]);
        }
        while (wait(NULL) > 0) continue;
    }
    for (size_t i = 0; i < p.n; i++) free(p.list[i]);
    free(p.list);
    if (crashed) fprintf(stderr, "a job ended without a result\n");
    printf("%u passed, %u failed\n", total.passed, total.failed);
    return crashed || total.failed || !total.passed ? CLI_FAILED : CLI_OK;
}

static const struct cli_option options[] = {{"validate", NULL, "compare the validator's verdict too"},
                                            {"jobs", "N", "run in N processes"},
                                            {NULL, NULL, NULL}};

const struct cli_command cli_policy_conformance = {
    .name = "policy conformance",
    .summary = "Run a folder of Cedar integration tests",
    .synopsis = "[--validate] [--jobs N] DIR",
    .description =
        "Runs every test file below DIR: a JSON object that names policies, entities and a schema by paths relative to "
        "DIR, and lists requests with the decision, the determining policies and the erring policies expected.\n\n"
        "Prints a line for each test that fails and ends with how many passed and failed.",
    .examples = "sallyport policy conformance --validate --jobs 2 cedar-integration-tests",
    .options = options,
    .min_rest = 1,
    .max_rest = 1,
    .run = conformance,
};
