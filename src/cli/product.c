/* `sallyport product …`, `sallyport secret …` and `sallyport key …` of a running product. */
#include "base/clock.h"
#include "cli/admin_client.h"
#include "crypto/secret.h"
#include "store/apikey_record.h"
#include "store/product_record.h"

/* --- what they share --- */

static int take_product(const struct cli_args *args, const char *name)
{
    if (record_name_ok(str_of(name))) return CLI_OK;
    return cli_usage_error(args, "a product is a letter, then up to 63 letters, digits, '_' or '-', not '%.40s'", name);
}

static int take_key_id(const struct cli_args *args, const char *id)
{
    if (apikey_record_id_ok(str_of(id))) return CLI_OK;
    return cli_usage_error(args, "an API key's id is 8 to 16 of a-z and 0-9, the third part of sp_…_ID_…, not '%.40s'",
                           id);
}

/* All pages of a list: each row by `print`, or each page as JSON. */
static int list_all(const struct cli_args *args, const char *path, const char *member,
                    void (*print)(const struct json *row))
{
    char page[ADMIN_PATH], after[128] = "";
    for (;;) {
        struct admin_answer a;
        admin_path(page, sizeof page, "%s%climit=200%s%s", path, strchr(path, '?') ? '&' : '?',
                   after[0] ? "&after=" : "", after);
        int code = admin_ask(args, "GET", page, STR_NONE, ADMIN_ASK_MS, &a);
        const struct json *rows = code == CLI_OK ? json_get(a.v, str_of(member)) : NULL;
        if (code == CLI_OK && cli_flag(args, "json")) print_json(stdout, buf_str(&a.body));
        for (const struct json *v = rows ? rows->first : NULL; v && !cli_flag(args, "json"); v = v->next) print(v);
        str next = code == CLI_OK ? member_text(a.v, "after") : STR("");
        bool more = next.n && next.n < sizeof after;
        if (more) {
            memcpy(after, next.p, next.n);
            after[next.n] = '\0';
        }
        admin_answer_free(&a);
        if (!more) return code;
    }
}

/* --- products --- */

static void print_product(const struct json *v)
{
    admin_print_column(member_text(v, "name"), 20);
    admin_print_column(member_text(v, "from"), 13);
    admin_print_column(member_text(v, "auth"), 6);
    fputs("login ", stdout);
    admin_print_column(member_text(v, "login"), 8);
    fputs("users ", stdout);
    admin_print_column(member_text(v, "users"), 8);
    fputs("secret ", stdout);
    admin_print_column(member_text(v, "secret"), 9);
    if (json_get(v, STR("may"))) {
        fputs("may ", stdout);
        admin_print_list(json_get(v, STR("may")));
    }
    putchar('\n');
}

static int run_product_list(const struct cli_args *args)
{
    return list_all(args, "/v1/products", "products", print_product);
}

static int run_product_show(const struct cli_args *args)
{
    char path[ADMIN_PATH];
    struct admin_answer a;
    int code = take_product(args, args->rest[0]);
    if (code != CLI_OK) return code;
    admin_path(path, sizeof path, "/v1/products/%s", args->rest[0]);
    code = admin_ask(args, "GET", path, STR_NONE, ADMIN_ASK_MS, &a);
    if (code == CLI_OK && cli_flag(args, "json"))
        print_json(stdout, buf_str(&a.body));
    else if (code == CLI_OK)
        print_product(a.v);
    admin_answer_free(&a);
    return code;
}

static int run_product_add(const struct cli_args *args)
{
    static const char *const words[] = {"auth", "login", "users", "secret"};
    struct buf b;
    struct admin_answer a;
    int code = take_product(args, args->rest[0]);
    if (code != CLI_OK) return code;
    buf_init(&b, 65536);
    record_begin(&b);
    record_put_str(&b, "name", str_of(args->rest[0]));
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (cli_value(args, words[i])) record_put_str(&b, words[i], str_of(cli_value(args, words[i])));
    admin_put_list(&b, "may", cli_value(args, "may"));
    buf_putc(&b, '}');
    code = admin_ask(args, "POST", "/v1/products", buf_str(&b), ADMIN_ASK_MS, &a);
    if (code == CLI_OK && cli_flag(args, "json"))
        print_json(stdout, buf_str(&a.body));
    else if (code == CLI_OK)
        print_product(a.v);
    admin_answer_free(&a);
    buf_free(&b);
    return code;
}

static int run_product_remove(const struct cli_args *args)
{
    char path[ADMIN_PATH], what[256];
    struct admin_answer a;
    int code = take_product(args, args->rest[0]);
    if (code != CLI_OK) return code;
    admin_path(path, sizeof path, "/v1/products/%s", args->rest[0]);
    struct buf b;
    buf_init(&b, 256);
    record_begin(&b);
    admin_put_wait(args, &b);
    buf_putc(&b, '}');
    code = admin_ask(args, "DELETE", path, buf_str(&b), 3 * ADMIN_ASK_MS, &a);
    buf_free(&b);
    if (code == CLI_OK) {
        (void)snprintf(what, sizeof what, "product %.64s is removed, with %llu API keys", args->rest[0],
                       (unsigned long long)member_number(a.v, "apikeys"));
        code = admin_await(args, &a, what);
    }
    admin_answer_free(&a);
    return code;
}

static const struct cli_option plain_options[] = {ADMIN_OPTIONS, {0}};
static const struct cli_option waiting_options[] = {ADMIN_WAIT_OPTION, ADMIN_OPTIONS, {0}};
static const struct cli_option product_add_options[] = {
    {"auth", "apikey|token", "how its clients say which product they are (default: apikey)"},
    {"login", "password|none", "whether its users log in at /authentication/login (default: none)"},
    {"users", "BASE", "their user base (default: the first of `authentication.user_bases`)"},
    {"secret", "none|basic|signature", "how it proves its apisecret at login, refresh and logout (default: none)"},
    {"may", "A,B", "the actions it may"},
    ADMIN_OPTIONS,
    {0},
};

const struct cli_command cli_product_add = {
    .name = "product add",
    .summary = "add a product to the running configuration",
    .synopsis = "NAME [--auth apikey|token] [--login password] [--users BASE] [--secret basic|signature] [--may A,B]",
    .description =
        "Beside the products of the configuration file there are those of the store: added and removed without "
        "a reload, known to every gateway within a moment. The actions that a product may are the "
        "configuration's." ADMIN_TEXT,
    .examples = "sallyport product add mobile-app --login password --may viewOrder,payOrder\n"
                "sallyport key new --product mobile-app",
    .options = product_add_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_product_add,
};

const struct cli_command cli_product_list = {
    .name = "product list",
    .summary = "list products",
    .synopsis = "[--json]",
    .description = "Those of the configuration file and those of the store." ADMIN_TEXT,
    .examples = "sallyport product list",
    .options = plain_options,
    .run = run_product_list,
};

const struct cli_command cli_product_show = {
    .name = "product show",
    .summary = "show a product",
    .synopsis = "NAME [--json]",
    .description = "Prints how the product's clients and users prove who they are, and what it may." ADMIN_TEXT,
    .examples = "sallyport product show mobile-app",
    .options = plain_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_product_show,
};

const struct cli_command cli_product_remove = {
    .name = "product remove",
    .summary = "remove a product of the store",
    .synopsis = "NAME [--wait SECONDS]",
    .description = "Its API keys and its apisecret go with it, and tokens that name it are refused. Answers when every "
                   "enforcer knows." ADMIN_TEXT,
    .examples = "sallyport product remove mobile-app",
    .options = waiting_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_product_remove,
};

/* --- apisecrets --- */

static int run_secret_new(const struct cli_args *args)
{
    struct buf b;
    struct admin_answer a;
    int code = take_product(args, args->rest[0]);
    if (code != CLI_OK) return code;
    buf_init(&b, 1024);
    record_begin(&b);
    record_put_str(&b, "product", str_of(args->rest[0]));
    buf_putc(&b, '}');
    code = admin_ask(args, "POST", "/v1/secrets", buf_str(&b), ADMIN_ASK_MS, &a);
    if (code == CLI_OK && cli_flag(args, "json")) {
        print_json(stdout, buf_str(&a.body));
    } else if (code == CLI_OK) {
        print_text(stdout, member_text(a.v, "secret"));
        putchar('\n');
        fprintf(stderr,
                "The apisecret above is shown once; one that %s had before is no good any more.\n"
                "Its server proves it by HTTP Basic (%s:APISECRET) or signs with it, as the product's `secret` says.\n",
                args->rest[0], args->rest[0]);
    }
    if (a.body.p) secret_wipe(a.body.p, a.body.cap);
    admin_answer_free(&a);
    buf_free(&b);
    return code;
}

static int secret_change(const struct cli_args *args, const char *method, const char *verb, const char *what)
{
    char path[ADMIN_PATH];
    struct admin_answer a;
    int code = take_product(args, args->rest[0]);
    if (code != CLI_OK) return code;
    admin_path(path, sizeof path, "/v1/secrets/%s%s", args->rest[0], verb);
    code = admin_ask(args, method, path, strcmp(method, "POST") == 0 ? STR("{}") : STR_NONE, ADMIN_ASK_MS, &a);
    if (code == CLI_OK && cli_flag(args, "json"))
        print_json(stdout, buf_str(&a.body));
    else if (code == CLI_OK)
        printf("the apisecret of %s is %s\n", args->rest[0], what);
    admin_answer_free(&a);
    return code;
}

static int run_secret_confirm(const struct cli_args *args)
{
    return secret_change(args, "POST", "/confirm", "good (again)");
}

static int run_secret_delete(const struct cli_args *args)
{
    return secret_change(args, "DELETE", "", "deleted");
}

const struct cli_command cli_secret_new = {
    .name = "secret new",
    .summary = "make an apisecret for a product",
    .synopsis = "PRODUCT [--json]",
    .description =
        "An apisecret is for clients that can keep one: servers. It proves at login, refresh and logout that "
        "it is really the product's server that asks, by HTTP Basic or by a signature (RFC 9421), as the "
        "product's `secret` says. A new one takes the place of the old one at once.\n\n"
        "The store keeps its SHA-256 and, sealed, the key of signatures." ADMIN_TEXT,
    .examples = "sallyport secret new backoffice",
    .options = plain_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_secret_new,
};

const struct cli_command cli_secret_confirm = {
    .name = "secret confirm",
    .summary = "let a restored apisecret count again",
    .synopsis = "PRODUCT",
    .description =
        "After `sallyport data restore` an apisecret that is not what it was at the backup proves nothing until "
        "somebody confirms it." ADMIN_TEXT,
    .examples = "sallyport secret confirm backoffice",
    .options = plain_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_secret_confirm,
};

const struct cli_command cli_secret_delete = {
    .name = "secret delete",
    .summary = "delete a product's apisecret",
    .synopsis = "PRODUCT",
    .description = "A product that must prove one cannot log anybody in without it." ADMIN_TEXT,
    .examples = "sallyport secret delete backoffice",
    .options = plain_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_secret_delete,
};

/* --- API keys of the store; `key new` is key.c's --- */

static void print_key(const struct json *v)
{
    admin_print_column(member_text(v, "id"), 16);
    admin_print_column(member_text(v, "product"), 20);
    str disabled = member_text(v, "disabled");
    uint64_t expires = member_number(v, "expires_s");
    if (disabled.n) {
        fputs("disabled: ", stdout);
        print_text(stdout, disabled);
    } else {
        fputs(expires && (int64_t)expires <= clock_wall_s() ? "expired" : "good", stdout);
    }
    if (expires) {
        fputs(", until ", stdout);
        admin_print_time(stdout, expires * 1000);
    }
    if (member_text(v, "label").n) {
        fputs("  # ", stdout);
        print_text(stdout, member_text(v, "label"));
    }
    putchar('\n');
}

static int run_key_list(const struct cli_args *args)
{
    char path[ADMIN_PATH] = "/v1/apikeys";
    const char *product = cli_value(args, "product");
    if (product) {
        int code = take_product(args, product);
        if (code != CLI_OK) return code;
        admin_path(path, sizeof path, "/v1/apikeys?product=%s", product);
    }
    return list_all(args, path, "apikeys", print_key);
}

static int key_change(const struct cli_args *args, const char *method, const char *verb, const char *what)
{
    char path[ADMIN_PATH], text[128];
    struct buf b;
    struct admin_answer a;
    int code = take_key_id(args, args->rest[0]);
    if (code != CLI_OK) return code;
    admin_path(path, sizeof path, "/v1/apikeys/%s%s", args->rest[0], verb);
    buf_init(&b, 4096);
    const char *reason = strcmp(verb, "/disable") == 0 ? cli_value(args, "reason") : NULL;
    record_begin(&b);
    if (reason) record_put_str(&b, "reason", str_of(reason));
    admin_put_wait(args, &b);
    buf_putc(&b, '}');
    code = b.bad ? cli_usage_error(args, "--reason is too long")
                 : admin_ask(args, method, path, buf_str(&b), ADMIN_ASK_MS, &a);
    (void)snprintf(text, sizeof text, "API key %.20s is %s", args->rest[0], what);
    if (code == CLI_OK) code = admin_await(args, &a, text);
    if (!b.bad) admin_answer_free(&a);
    buf_free(&b);
    return code;
}

static int run_key_disable(const struct cli_args *args)
{
    return key_change(args, "POST", "/disable", "disabled");
}

static int run_key_confirm(const struct cli_args *args)
{
    return key_change(args, "POST", "/enable", "good (again)");
}

static int run_key_delete(const struct cli_args *args)
{
    return key_change(args, "DELETE", "", "deleted");
}

static const struct cli_option key_list_options[] = {{"product", "NAME", "only those of this product"},
                                                     ADMIN_OPTIONS,
                                                     {0}};
static const struct cli_option key_disable_options[] = {{"reason", "TEXT", "why, for whoever looks at it later"},
                                                        ADMIN_WAIT_OPTION,
                                                        ADMIN_OPTIONS,
                                                        {0}};

const struct cli_command cli_key_list = {
    .name = "key list",
    .summary = "list the API keys of the store",
    .synopsis = "[--product NAME] [--json]",
    .description = "Id, product, state, end and label of each. Keys that stand in the configuration file are not "
                   "listed." ADMIN_TEXT,
    .examples = "sallyport key list --product mobile-app",
    .options = key_list_options,
    .run = run_key_list,
};

const struct cli_command cli_key_disable = {
    .name = "key disable",
    .summary = "refuse an API key, at once",
    .synopsis = "ID [--reason TEXT] [--wait SECONDS]",
    .description = "Answers when every enforcer refuses it. `sallyport key confirm` takes it back." ADMIN_TEXT,
    .examples = "sallyport key disable k3v9w2x8q1m5 --reason 'seen in a public repository'",
    .options = key_disable_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_key_disable,
};

const struct cli_command cli_key_confirm = {
    .name = "key confirm",
    .summary = "let a disabled API key count again",
    .synopsis = "ID",
    .description =
        "For a key that was disabled by hand, or by `sallyport data restore` because it is not what it was at "
        "the backup." ADMIN_TEXT,
    .examples = "sallyport key confirm k3v9w2x8q1m5",
    .options = waiting_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_key_confirm,
};

const struct cli_command cli_key_delete = {
    .name = "key delete",
    .summary = "delete an API key",
    .synopsis = "ID [--wait SECONDS]",
    .description = "Answers when every enforcer refuses it." ADMIN_TEXT,
    .examples = "sallyport key delete k3v9w2x8q1m5",
    .options = waiting_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_key_delete,
};
