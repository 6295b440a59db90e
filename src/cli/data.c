/* `sallyport data status|check|backup|restore` and `sallyport authentication status`. The roles themselves are
 * role_data.c's and the like. */
#include "cli/data_staged.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { LONG_MS = 3600 * 1000 };

static void print_bytes(uint64_t n)
{
    if (n >= (uint64_t)10 << 20)
        printf("%llu MB", (unsigned long long)(n >> 20));
    else
        printf("%llu kB", (unsigned long long)((n + 1023) >> 10));
}

static void print_space(const struct json *v)
{
    admin_print_column(member_text(v, "space"), 15);
    if (member_text(v, "why").n) {
        fputs("NOT SERVED: ", stdout);
        print_text(stdout, member_text(v, "why"));
        putchar('\n');
        return;
    }
    printf("change %llu of epoch ", (unsigned long long)member_number(v, "number"));
    print_text(stdout, member_text(v, "epoch"));
    if (member_number(v, "bytes")) {
        fputs(", ", stdout);
        print_bytes(member_number(v, "bytes"));
    }
    if (json_get(v, STR("batches"))) {
        printf(", %llu batches in %llu commits, %llu reads", (unsigned long long)member_number(v, "batches"),
               (unsigned long long)member_number(v, "commits"), (unsigned long long)member_number(v, "reads"));
        printf(", %llu watching", (unsigned long long)member_number(v, "watchers"));
        if (member_number(v, "away")) printf(" (%llu away)", (unsigned long long)member_number(v, "away"));
        if (member_number(v, "faults")) printf(", %llu FAULTS", (unsigned long long)member_number(v, "faults"));
    }
    putchar('\n');
}

static void print_spaces(const struct json *v)
{
    const struct json *spaces = json_get(v, STR("spaces"));
    for (const struct json *s = spaces ? spaces->first : NULL; s; s = s->next) print_space(s);
}

static int run_status(const struct cli_args *args)
{
    struct admin_answer a;
    int code = admin_ask(args, "GET", "/v1/data", STR_NONE, ADMIN_ASK_MS, &a);
    if (code == CLI_OK && cli_flag(args, "json"))
        print_json(stdout, buf_str(&a.body));
    else if (code == CLI_OK)
        print_spaces(a.v);
    admin_answer_free(&a);
    return code;
}

static int run_check(const struct cli_args *args)
{
    struct admin_answer a;
    int code = admin_ask(args, "POST", "/v1/data/check", STR("{}"), LONG_MS, &a);
    if (code == CLI_OK) {
        const struct json *whole = json_get(a.v, STR("whole"));
        bool ok = whole && whole->type == JSON_TRUE;
        if (cli_flag(args, "json")) {
            print_json(stdout, buf_str(&a.body));
        } else {
            fputs(ok ? "every space is whole" : "DAMAGED: ", stdout);
            if (!ok) print_text(stdout, member_text(a.v, "what"));
            putchar('\n');
        }
        if (!ok) code = CLI_FAILED;
    }
    admin_answer_free(&a);
    return code;
}

/* An absolute path of what the administrator named. */
static int find_dir(const struct cli_args *args, char out[1024])
{
    char here[4096] = "";
    const char *dir = args->rest[0];
    bool absolute = dir[0] == '/';
    if (!absolute && !getcwd(here, sizeof here)) return cli_failure(args, "the working folder: %s", strerror(errno));
    int n = snprintf(out, 1024, "%s%s%s", here, absolute ? "" : "/", dir);
    if (n < 0 || n > 1000) return cli_usage_error(args, "the path is too long");
    return CLI_OK;
}

/* {"dir": where the product does it, "for": what the administrator named} */
static int put_dirs(const struct cli_args *args, const struct staged *s, const char *dir, struct buf *b)
{
    buf_puts(b, "{\"dir\":\"");
    buf_put_json(b, str_of(s->dir));
    buf_puts(b, "\",\"for\":\"");
    buf_put_json(b, str_of(dir));
    buf_puts(b, "\"}");
    return b->bad ? cli_usage_error(args, "the path is too long") : CLI_OK;
}

static int run_backup(const struct cli_args *args)
{
    struct buf b;
    struct admin_answer a = {0};
    struct staged s = {""};
    char dir[1024];
    buf_init(&b, 16384);
    int code = find_dir(args, dir);
    if (code == CLI_OK) code = staged_open(args, &s);
    if (code == CLI_OK) code = put_dirs(args, &s, dir, &b);
    if (code == CLI_OK) code = admin_ask(args, "POST", "/v1/data/backup", buf_str(&b), LONG_MS, &a);
    if (code == CLI_OK) code = staged_take_out(args, &s, dir, json_get(a.v, STR("spaces")));
    if (code == CLI_OK && cli_flag(args, "json")) {
        print_json(stdout, buf_str(&a.body));
    } else if (code == CLI_OK) {
        fputs("saved in ", stdout);
        print_text(stdout, str_of(dir));
        putchar('\n');
        print_spaces(a.v);
    }
    staged_close(&s);
    admin_answer_free(&a);
    buf_free(&b);
    return code;
}

static void print_restored(const struct json *v)
{
    static const struct {
        const char *name, *text;
    } lines[] = {{"apikeys_disabled", "API keys are disabled: `sallyport key list`, `sallyport key confirm ID`"},
                 {"secrets_disabled", "apisecrets prove nothing: `sallyport secret confirm PRODUCT`"},
                 {"signing_keys_retired", "signing keys and key sets are retired; new ones follow"},
                 {"users_kept_out", "users that were disabled or deleted since stay so"},
                 {"sessions_ended", "sessions are ended"},
                 {"unreadable", "records of the backup cannot be read; nobody believes them"}};
    print_spaces(v);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (member_number(v, lines[i].name))
            printf("%llu %s\n", (unsigned long long)member_number(v, lines[i].name), lines[i].text);
    puts("every token from before is refused: everybody logs in anew");
    if (json_get(v, STR("unsure"))) puts("what was there could not be read, so everything counts as changed since");
}

static int run_restore(const struct cli_args *args)
{
    struct buf b;
    struct admin_answer a = {0};
    if (!cli_flag(args, "yes"))
        return cli_usage_error(args,
                               "this puts the backup in the place of today's users, keys and products; say --yes");
    struct staged s = {""};
    char dir[1024];
    buf_init(&b, 16384);
    int code = find_dir(args, dir);
    if (code == CLI_OK) code = staged_open(args, &s);
    if (code == CLI_OK) code = staged_put_in(args, &s, dir);
    if (code == CLI_OK) code = put_dirs(args, &s, dir, &b);
    if (code == CLI_OK) code = admin_ask(args, "POST", "/v1/data/restore", buf_str(&b), LONG_MS, &a);
    staged_close(&s);
    if (code == CLI_OK && !cli_flag(args, "json")) print_restored(a.v);
    if (code == CLI_OK) code = admin_await(args, &a, "the backup is restored");
    admin_answer_free(&a);
    buf_free(&b);
    return code;
}

static const struct cli_option plain_options[] = {ADMIN_OPTIONS, {0}};
static const struct cli_option restore_options[] = {{"yes", NULL,
                                                     "yes, today's data shall go (it stays beside, as *.db.before)"},
                                                    ADMIN_WAIT_OPTION,
                                                    ADMIN_OPTIONS,
                                                    {0}};

const struct cli_command cli_data_status = {
    .name = "data status",
    .summary = "show how the store is",
    .synopsis = "[--json]",
    .description = "Each space with where it stands (epoch and change), its size, what was asked of it, who watches "
                   "it." ADMIN_TEXT,
    .examples = "sallyport data status",
    .options = plain_options,
    .run = run_status,
};

const struct cli_command cli_store_status = {
    .name = "store status",
    .summary = "the same as `data status`",
    .synopsis = "[--json]",
    .description = "The same as `sallyport data status`." ADMIN_TEXT,
    .examples = "sallyport store status",
    .options = plain_options,
    .run = run_status,
};

const struct cli_command cli_data_check = {
    .name = "data check",
    .summary = "check that the store is whole",
    .synopsis = "[--json]",
    .description = "Reads every space from end to end, beside what is being served." ADMIN_TEXT,
    .examples = "sallyport data check",
    .options = plain_options,
    .run = run_check,
};

const struct cli_command cli_data_backup = {
    .name = "data backup",
    .summary = "save the store, while it serves",
    .synopsis = "DIR [--json]",
    .description =
        "Writes one file a space into DIR (made, 0700, if it is not there), as they are at one moment. The product "
        "writes them: DIR is a folder of its machine, for its user. What is sealed stays sealed: the sealing key "
        "(seal.key) is not in a backup, keep it apart." ADMIN_TEXT,
    .examples = "sallyport data backup /backup/$(date +%F)",
    .options = plain_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_backup,
};

const struct cli_command cli_data_restore = {
    .name = "data restore",
    .summary = "put a backup in the place of what is there",
    .synopsis = "DIR --yes [--wait SECONDS]",
    .description =
        "The spaces identity, authentication and control become what they were, all or none, and a new epoch begins. "
        "The past "
        "opens no door that was shut since:\n\n"
        "- every token and every session from before is refused; everybody logs in anew\n"
        "- API keys and apisecrets that are not today what they were at the backup are disabled until `sallyport key "
        "confirm` or `sallyport secret confirm`\n"
        "- signing keys that changed since are retired, new ones take their place\n"
        "- users that were disabled or deleted since stay so\n\n"
        "What was there stays beside it as SPACE.db.before. Begun and done, it is in the audit record." ADMIN_TEXT,
    .examples = "sallyport data restore /backup/2026-11-20 --yes",
    .options = restore_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_restore,
};

/* --- authentication status --- */

static int run_authentication_status(const struct cli_args *args)
{
    struct admin_answer a;
    int code = admin_ask(args, "GET", "/v1/authentication", STR_NONE, ADMIN_ASK_MS, &a);
    if (code == CLI_OK && cli_flag(args, "json")) {
        print_json(stdout, buf_str(&a.body));
    } else if (code == CLI_OK) {
        for (const struct json *m = a.v->first; m; m = m->next) {
            admin_print_column(m->name, 22);
            if (m->type == JSON_ARRAY)
                admin_print_list(m);
            else if (m->type == JSON_TRUE || m->type == JSON_FALSE)
                fputs(m->type == JSON_TRUE ? "yes" : "no", stdout);
            else
                print_text(stdout, m->text);
            putchar('\n');
        }
    }
    admin_answer_free(&a);
    return code;
}

const struct cli_command cli_authentication_status = {
    .name = "authentication status",
    .summary = "show how the Authentication Service is",
    .synopsis = "[--json]",
    .description = "Whether a key signs, what it is set to, what it has counted since it started." ADMIN_TEXT,
    .examples = "sallyport authentication status",
    .options = plain_options,
    .run = run_authentication_status,
};
