/* `sallyport user …`: the users of the Authentication Service. */
#include "cli/admin_client.h"
#include "crypto/secret.h"
#include "store/record.h"
#include "store/user_record.h"

#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

enum { GENERATED = 20, PASSWORD_ROOM = 2048 };

#define BASE_OPTION                                                                                                    \
    {                                                                                                                  \
        "base", "NAME", "the user base (default: the first of `authentication.user_bases`)"                            \
    }

/* --- what all of them read --- */

/* Folded into `room`; CLI_OK or a usage error. */
static int take_name(const struct cli_args *args, const char *said, char room[USER_NAME_MAX + 1])
{
    char folded[USER_NAME_MAX];
    str name;
    if (user_name_fold(str_of(said), folded, &name) != ERR_OK)
        return cli_usage_error(args, "a user's name is 1 to %d of a-z, 0-9 and . _ @ + -, not '%.40s'", USER_NAME_MAX,
                               said);
    memcpy(room, name.p, name.n);
    room[name.n] = '\0';
    return CLI_OK;
}

/* "&base=…" or nothing. */
static int take_base(const struct cli_args *args, char room[64])
{
    const char *base = cli_value(args, "base");
    room[0] = '\0';
    if (!base) return CLI_OK;
    if (!user_base_ok(str_of(base)))
        return cli_usage_error(args, "--base is a letter, then up to 31 of a-z, 0-9 and '-', not '%.40s'", base);
    (void)snprintf(room, 64, "?base=%s", base);
    return CLI_OK;
}

static int user_path(const struct cli_args *args, const char *verb, char path[ADMIN_PATH])
{
    char name[USER_NAME_MAX + 1], base[64];
    int code = take_name(args, args->rest[0], name);
    if (code == CLI_OK) code = take_base(args, base);
    if (code == CLI_OK) admin_path(path, ADMIN_PATH, "/v1/users/%s%s%s", name, verb, base);
    return code;
}

/* --- passwords --- */

static bool read_line(char *room, size_t size, size_t *n)
{
    if (!fgets(room, (int)size, stdin)) return false;
    *n = strcspn(room, "\r\n");
    room[*n] = '\0';
    return true;
}

/* Twice on a terminal, without showing it; else the first line. */
static int read_password(const struct cli_args *args, char room[PASSWORD_ROOM], size_t *n)
{
    struct termios before, quiet;
    bool terminal = isatty(0) && tcgetattr(0, &before) == 0;
    if (terminal) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        (void)tcsetattr(0, TCSAFLUSH, &quiet);
        fputs("password: ", stderr);
    }
    bool ok = read_line(room, PASSWORD_ROOM, n), same = true;
    if (terminal && ok) {
        char again[PASSWORD_ROOM];
        size_t m = 0;
        fputs("\nonce more: ", stderr);
        same = read_line(again, sizeof again, &m) && m == *n && memcmp(again, room, m) == 0;
        secret_wipe(again, sizeof again);
    }
    if (terminal) {
        (void)tcsetattr(0, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    if (!ok) return cli_usage_error(args, "no password came on standard input");
    if (!same) return cli_failure(args, "the two are not the same; nothing was changed");
    return CLI_OK;
}

/* The member "password" or "hash"; *generated: the password to be shown. `none` allows neither. */
static int put_password(const struct cli_args *args, struct buf *b, bool none, char room[PASSWORD_ROOM],
                        bool *generated)
{
    const char *hash = cli_value(args, "hash");
    size_t n = 0;
    *generated = false;
    if (none && (hash || cli_flag(args, "password-stdin"))) return cli_usage_error(args, "--no-password stands alone");
    if (hash && cli_flag(args, "password-stdin")) return cli_usage_error(args, "--hash or --password-stdin, not both");
    if (none) return CLI_OK;
    if (hash) {
        record_put_str(b, "hash", str_of(hash));
        return CLI_OK;
    }
    if (cli_flag(args, "password-stdin")) {
        int code = read_password(args, room, &n);
        if (code != CLI_OK) return code;
    } else {
        secret_base62(room, GENERATED);
        n = GENERATED;
        room[n] = '\0';
        *generated = true;
    }
    buf_puts(b, b->p[b->n - 1] == '{' ? "\"password\":\"" : ",\"password\":\"");
    buf_put_json(b, str_make(room, n));
    buf_putc(b, '"');
    return CLI_OK;
}

static void wipe(struct buf *b)
{
    if (b->p) secret_wipe(b->p, b->cap);
    buf_free(b);
}

/* --- printing --- */

static void print_user(const struct json *v)
{
    static const struct {
        const char *name, *label;
    } times[] = {{"created_ms", "created"},
                 {"changed_ms", "changed"},
                 {"password_ms", "password"},
                 {"deleted_ms", "deleted"}};
    printf("subject      ");
    print_text(stdout, member_text(v, "sub"));
    printf("\nbase         ");
    print_text(stdout, member_text(v, "base"));
    if (!member_number(v, "deleted_ms")) {
        printf("\nroles        ");
        admin_print_list(json_get(v, STR("roles")));
        printf("\npermissions  ");
        admin_print_list(json_get(v, STR("permissions")));
        printf("\nstate        %s", json_get(v, STR("disabled")) ? "disabled" : "active");
        if (!json_get(v, STR("password"))) printf(", no password");
    }
    putchar('\n');
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        if (!member_number(v, times[i].name)) continue;
        printf("%-12s ", times[i].label);
        admin_print_time(stdout, member_number(v, times[i].name));
        putchar('\n');
    }
}

static void print_row(const struct json *v)
{
    admin_print_column(member_text(v, "name"), 24);
    const char *state = member_number(v, "deleted_ms") ? "deleted"
                        : json_get(v, STR("disabled")) ? "disabled"
                        : json_get(v, STR("password")) ? "active"
                                                       : "no password";
    printf("%-11s ", state);
    admin_print_list(json_get(v, STR("roles")));
    putchar(' ');
    admin_print_list(json_get(v, STR("permissions")));
    putchar('\n');
}

/* Asks, prints JSON or the user, and what is to be said about it. */
static int ask_user(const struct cli_args *args, const char *method, const char *path, str json)
{
    struct admin_answer a;
    int code = admin_ask(args, method, path, json, ADMIN_ASK_MS, &a);
    if (code == CLI_OK && cli_flag(args, "json"))
        print_json(stdout, buf_str(&a.body));
    else if (code == CLI_OK)
        print_user(a.v);
    admin_answer_free(&a);
    return code;
}

/* --- add --- */

static int print_added(const struct cli_args *args, const struct admin_answer *a, const char *password)
{
    if (cli_flag(args, "json")) {
        struct buf b;
        buf_init(&b, CONTROL_ANSWER_MAX);
        buf_put(&b, str_trim(buf_str(&a->body)));
        while (b.n && b.p[b.n - 1] != '}') b.n--;
        if (password && b.n) {
            b.n--;
            buf_printf(&b, ",\"generated_password\":\"%s\"}", password);
        }
        print_json(stdout, buf_str(&b));
        wipe(&b);
        return CLI_OK;
    }
    if (password) {
        printf("%s\n", password);
        fprintf(stderr, "The password above is shown once and kept nowhere.\n");
    }
    fputs("user ", stderr);
    print_text(stderr, member_text(a->v, "sub"));
    fputs(" is added\n", stderr);
    return CLI_OK;
}

static int run_add(const struct cli_args *args)
{
    char name[USER_NAME_MAX + 1], base[64], password[PASSWORD_ROOM];
    struct buf b;
    struct admin_answer a;
    bool generated = false;
    int code = take_name(args, args->rest[0], name);
    if (code == CLI_OK) code = take_base(args, base);
    if (code != CLI_OK) return code;
    buf_init(&b, 65536);
    record_begin(&b);
    record_put_str(&b, "name", str_of(name));
    if (base[0]) record_put_str(&b, "base", str_of(cli_value(args, "base")));
    admin_put_list(&b, "roles", cli_value(args, "roles"));
    admin_put_list(&b, "permissions", cli_value(args, "permissions"));
    record_put_true(&b, "disabled", cli_flag(args, "disabled"));
    record_put_true(&b, "reuse", cli_flag(args, "reuse"));
    code = put_password(args, &b, cli_flag(args, "no-password"), password, &generated);
    buf_putc(&b, '}');
    if (code == CLI_OK) {
        code =
            b.bad ? cli_failure(args, "too long") : admin_ask(args, "POST", "/v1/users", buf_str(&b), ADMIN_ASK_MS, &a);
        if (!b.bad) {
            if (code == CLI_OK) code = print_added(args, &a, generated ? password : NULL);
            admin_answer_free(&a);
        }
    }
    secret_wipe(password, sizeof password);
    wipe(&b);
    return code;
}

static const struct cli_option add_options[] = {
    {"roles", "A,B", "what they may, by roles"},
    {"permissions", "A,B", "and by permissions"},
    {"password-stdin", NULL, "read the password from standard input (asked for twice on a terminal)"},
    {"hash", "PHC", "a ready-made argon2id hash instead of a password"},
    {"no-password", NULL, "no login by password"},
    {"disabled", NULL, "add it disabled"},
    {"reuse", NULL, "give the name of a deleted user out again"},
    BASE_OPTION,
    ADMIN_OPTIONS,
    {0},
};

const struct cli_command cli_user_add = {
    .name = "user add",
    .summary = "add a user",
    .synopsis = "NAME [--roles A,B] [--permissions A,B] [--password-stdin|--hash PHC|--no-password]",
    .description =
        "Without --password-stdin, --hash or --no-password a password is made and printed this once.\n\n"
        "The subject of a user is its name in the base `users`, else BASE/NAME. The name of a deleted user is "
        "not given out again, unless --reuse says so." ADMIN_TEXT,
    .examples = "sallyport user add alice --roles buyer\nprintf '%s' \"$PASSWORD\" | sallyport user add bob "
                "--password-stdin --base staff",
    .options = add_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_add,
};

/* --- show, list --- */

static int run_show(const struct cli_args *args)
{
    char path[ADMIN_PATH];
    int code = user_path(args, "", path);
    return code == CLI_OK ? ask_user(args, "GET", path, STR_NONE) : code;
}

static const struct cli_option user_options[] = {BASE_OPTION, ADMIN_OPTIONS, {0}};

const struct cli_command cli_user_show = {
    .name = "user show",
    .summary = "show a user",
    .synopsis = "NAME [--base NAME] [--json]",
    .description = "Prints what the product knows of the user; never the password's hash." ADMIN_TEXT,
    .examples = "sallyport user show alice\nsallyport user show bob --base staff --json",
    .options = user_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_show,
};

static int run_list(const struct cli_args *args)
{
    char base[64], path[ADMIN_PATH], after[USER_NAME_MAX + 1] = "";
    const char *from = cli_value(args, "after"), *limit = cli_value(args, "limit");
    uint64_t left = UINT64_MAX;
    int code = take_base(args, base);
    if (code == CLI_OK && from) code = take_name(args, from, after);
    if (code != CLI_OK) return code;
    if (limit && (str_to_u64(str_of(limit), &left) != ERR_OK || !left))
        return cli_usage_error(args, "--limit takes a number, not '%.30s'", limit);
    while (code == CLI_OK && left) {
        struct admin_answer a;
        unsigned page = left < 200 ? (unsigned)left : 200;
        admin_path(path, sizeof path, "/v1/users%s%slimit=%u%s%s", base, base[0] ? "&" : "?", page,
                   after[0] ? "&after=" : "", after);
        code = admin_ask(args, "GET", path, STR_NONE, ADMIN_ASK_MS, &a);
        const struct json *users = code == CLI_OK ? json_get(a.v, STR("users")) : NULL;
        for (const struct json *v = users ? users->first : NULL; v && !cli_flag(args, "json"); v = v->next)
            print_row(v);
        if (code == CLI_OK && cli_flag(args, "json")) print_json(stdout, buf_str(&a.body));
        str next = code == CLI_OK ? member_text(a.v, "after") : STR("");
        left -= users && users->count <= left ? users->count : left;
        bool more = next.n && next.n <= USER_NAME_MAX;
        if (more) {
            memcpy(after, next.p, next.n);
            after[next.n] = '\0';
        }
        admin_answer_free(&a);
        if (!more) break;
    }
    return code;
}

static const struct cli_option list_options[] = {{"after", "NAME", "begin behind this one"},
                                                 {"limit", "N", "at most so many (default: all)"},
                                                 BASE_OPTION,
                                                 ADMIN_OPTIONS,
                                                 {0}};

const struct cli_command cli_user_list = {
    .name = "user list",
    .summary = "list users",
    .synopsis = "[--base NAME] [--after NAME] [--limit N] [--json]",
    .description =
        "One line a user: name, state, roles, permissions, in the order of names. The product is asked page by "
        "page; with --json each page is one JSON object." ADMIN_TEXT,
    .examples = "sallyport user list\nsallyport user list --after m --limit 20",
    .options = list_options,
    .run = run_list,
};

/* --- password --- */

static int print_password_set(const struct cli_args *args, const struct admin_answer *a, const char *password)
{
    if (password && !cli_flag(args, "json")) {
        printf("%s\n", password);
        fprintf(stderr, "The password above is shown once and kept nowhere.\n");
    }
    if (json_get(a->v, STR("complete"))) return admin_await(args, a, "the password is set, all sessions are ended");
    if (cli_flag(args, "json"))
        print_json(stdout, buf_str(&a->body));
    else
        fprintf(stderr,
                "the password is set; sessions from before end with their access tokens (at once: --end-sessions)\n");
    return CLI_OK;
}

static int run_password(const struct cli_args *args)
{
    char path[ADMIN_PATH], password[PASSWORD_ROOM];
    struct buf b;
    struct admin_answer a;
    bool generated = false;
    int code = user_path(args, "/password", path);
    if (code != CLI_OK) return code;
    buf_init(&b, 65536);
    record_begin(&b);
    record_put_true(&b, "end_sessions", cli_flag(args, "end-sessions"));
    admin_put_wait(args, &b);
    code = put_password(args, &b, false, password, &generated);
    if (code == CLI_OK && generated && cli_flag(args, "json"))
        code = cli_usage_error(args, "--json with a password that is made would not show it: --password-stdin");
    buf_putc(&b, '}');
    if (code == CLI_OK) {
        code = admin_ask(args, "POST", path, buf_str(&b), ADMIN_ASK_MS, &a);
        if (code == CLI_OK) code = print_password_set(args, &a, generated ? password : NULL);
        admin_answer_free(&a);
    }
    secret_wipe(password, sizeof password);
    wipe(&b);
    return code;
}

static const struct cli_option password_options[] = {
    {"password-stdin", NULL, "read it from standard input (asked for twice on a terminal)"},
    {"hash", "PHC", "a ready-made argon2id hash instead"},
    {"end-sessions", NULL, "end all sessions, refuse all tokens of this user"},
    ADMIN_WAIT_OPTION,
    BASE_OPTION,
    ADMIN_OPTIONS,
    {0},
};

const struct cli_command cli_user_password = {
    .name = "user password",
    .summary = "set a user's password",
    .synopsis = "NAME [--password-stdin|--hash PHC] [--end-sessions]",
    .description = "Without --password-stdin or --hash a password is made and printed this once. Sessions from before "
                   "are not renewed "
                   "any more, so they end with the access tokens that are out; with --end-sessions these are refused "
                   "at once." ADMIN_TEXT,
    .examples = "sallyport user password alice --end-sessions\nsallyport user password bob --password-stdin < file",
    .options = password_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_password,
};

/* --- grants --- */

static int run_grant(const struct cli_args *args)
{
    char path[ADMIN_PATH];
    struct buf b;
    struct admin_answer a;
    int code = user_path(args, "/grants", path);
    if (code != CLI_OK) return code;
    buf_init(&b, 65536);
    record_begin(&b);
    admin_put_list(&b, "add_roles", cli_value(args, "roles"));
    admin_put_list(&b, "remove_roles", cli_value(args, "remove-roles"));
    admin_put_list(&b, "add_permissions", cli_value(args, "permissions"));
    admin_put_list(&b, "remove_permissions", cli_value(args, "remove-permissions"));
    if (b.n == 1) {
        buf_free(&b);
        return cli_usage_error(args, "--roles, --permissions, --remove-roles or --remove-permissions is wanted");
    }
    record_put_true(&b, "end_sessions", cli_flag(args, "end-sessions"));
    admin_put_wait(args, &b);
    buf_putc(&b, '}');
    code = admin_ask(args, "POST", path, buf_str(&b), ADMIN_ASK_MS, &a);
    if (code == CLI_OK && json_get(a.v, STR("complete"))) {
        code = admin_await(args, &a, "granted, all sessions are ended");
    } else if (code == CLI_OK && cli_flag(args, "json")) {
        print_json(stdout, buf_str(&a.body));
    } else if (code == CLI_OK) {
        print_user(a.v);
        fprintf(stderr, "tokens that are out say what they said; new ones say this (--end-sessions)\n");
    }
    admin_answer_free(&a);
    buf_free(&b);
    return code;
}

static const struct cli_option grant_options[] = {
    {"roles", "A,B", "roles to give"},
    {"permissions", "A,B", "permissions to give"},
    {"remove-roles", "A,B", "roles to take away"},
    {"remove-permissions", "A,B", "permissions to take away"},
    {"end-sessions", NULL, "end all sessions, refuse all tokens: counts at once"},
    ADMIN_WAIT_OPTION,
    BASE_OPTION,
    ADMIN_OPTIONS,
    {0},
};

const struct cli_command cli_user_grant = {
    .name = "user grant",
    .summary = "give a user roles and permissions, or take them away",
    .synopsis = "NAME [--roles A,B] [--permissions A,B] [--remove-roles A,B] [--remove-permissions A,B]",
    .description = "Access tokens carry roles and permissions: what changes here counts from the user's next token on, "
                   "at once with --end-sessions." ADMIN_TEXT,
    .examples = "sallyport user grant alice --roles support\nsallyport user grant alice --remove-roles support "
                "--end-sessions",
    .options = grant_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_grant,
};

/* --- disable, enable, delete --- */

static int switch_user(const struct cli_args *args, const char *method, const char *verb, const char *what)
{
    char path[ADMIN_PATH], text[64 + USER_NAME_MAX];
    struct buf b;
    struct admin_answer a;
    int code = user_path(args, verb, path);
    if (code != CLI_OK) return code;
    buf_init(&b, 256);
    record_begin(&b);
    admin_put_wait(args, &b);
    buf_putc(&b, '}');
    code = admin_ask(args, method, path, buf_str(&b), ADMIN_ASK_MS, &a);
    buf_free(&b);
    (void)snprintf(text, sizeof text, "user %.128s is %s", args->rest[0], what);
    if (code == CLI_OK && json_get(a.v, STR("complete")))
        code = admin_await(args, &a, text);
    else if (code == CLI_OK && cli_flag(args, "json"))
        print_json(stdout, buf_str(&a.body));
    else if (code == CLI_OK)
        printf("%s\n", text);
    admin_answer_free(&a);
    return code;
}

static int run_disable(const struct cli_args *args)
{
    return switch_user(args, "POST", "/disable", "disabled, its sessions and tokens are ended");
}

static int run_enable(const struct cli_args *args)
{
    return switch_user(args, "POST", "/enable", "enabled");
}

static int run_delete(const struct cli_args *args)
{
    return switch_user(args, "DELETE", "", "deleted, its sessions and tokens are ended");
}

static const struct cli_option switch_options[] = {ADMIN_WAIT_OPTION, BASE_OPTION, ADMIN_OPTIONS, {0}};

const struct cli_command cli_user_disable = {
    .name = "user disable",
    .summary = "shut a user out, at once",
    .synopsis = "NAME [--base NAME] [--wait SECONDS]",
    .description =
        "No login, no refresh; all sessions end, all tokens are refused. Answers when every enforcer refuses "
        "them." ADMIN_TEXT,
    .examples = "sallyport user disable alice",
    .options = switch_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_disable,
};

const struct cli_command cli_user_enable = {
    .name = "user enable",
    .summary = "let a disabled user in again",
    .synopsis = "NAME [--base NAME]",
    .description = "The user may log in again; sessions that were ended stay so." ADMIN_TEXT,
    .examples = "sallyport user enable alice",
    .options = switch_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_enable,
};

const struct cli_command cli_user_delete = {
    .name = "user delete",
    .summary = "delete a user",
    .synopsis = "NAME [--base NAME] [--wait SECONDS]",
    .description =
        "All that is known of the user goes, but for the subject, so that nobody else gets it unasked. Sessions "
        "end and tokens are refused, as with `sallyport user disable`." ADMIN_TEXT,
    .examples = "sallyport user delete alice",
    .options = switch_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_delete,
};
