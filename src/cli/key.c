/* `sallyport key new`: an API key for a product. Either nothing is asked and the line is printed by which the
 * configuration knows it, or (--product) the running product keeps it in its store. */
#include "base/clock.h"
#include "cli/admin_client.h"
#include "crypto/secret.h"
#include "identity/apikey.h"
#include "store/record.h"

/* A name as the configuration takes it. */
static bool product_ok(str s)
{
    if (s.n == 0 || s.n > 64) return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '_' || c == '-'))) return false;
    }
    return true;
}

/* "90d", "12h" or seconds, from now on; 0: never. */
static int take_end(const struct cli_args *args, const char *text, int64_t *out)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    uint64_t n = 0, factor = 1;
    *out = 0;
    if (!text) return CLI_OK;
    str s = str_of(text);
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (s.n > 1 && s.p[s.n - 1] == units[i].unit) factor = units[i].seconds;
    if (s.n && (s.p[s.n - 1] < '0' || s.p[s.n - 1] > '9')) s.n--;
    bool unit_ok = s.n == strlen(text) || strchr("smhd", text[s.n]);
    if (!unit_ok || str_to_u64(s, &n) != ERR_OK || n < 1 || n > (uint64_t)36500 * 86400 / factor)
        return cli_usage_error(args, "--expires takes a time like 90d, 12h or 3600, not '%.30s'", text);
    *out = clock_wall_s() + (int64_t)(n * factor);
    return CLI_OK;
}

/* Made and kept by the running product. */
static int store_key(const struct cli_args *args, const char *product)
{
    const char *label = cli_value(args, "label"), *env = cli_value(args, "env");
    struct buf b;
    struct admin_answer a = {0};
    int64_t end_s;
    int code = take_end(args, cli_value(args, "expires"), &end_s);
    if (code != CLI_OK) return code;
    buf_init(&b, 16384);
    record_begin(&b);
    record_put_str(&b, "product", str_of(product));
    if (label) record_put_str(&b, "label", str_of(label));
    if (env) record_put_str(&b, "env", str_of(env));
    if (end_s) record_put_i64(&b, "expires_s", end_s);
    buf_putc(&b, '}');
    code = b.bad ? cli_usage_error(args, "--label is too long")
                 : admin_ask(args, "POST", "/v1/apikeys", buf_str(&b), ADMIN_ASK_MS, &a);
    if (code == CLI_OK && cli_flag(args, "json")) {
        print_json(stdout, buf_str(&a.body));
    } else if (code == CLI_OK) {
        print_text(stdout, member_text(a.v, "key"));
        putchar('\n');
        fflush(stdout);
        fprintf(stderr,
                "The key above is shown once and kept nowhere. Clients send it as the header `apikey`.\n"
                "It is good at every gateway in a moment; `sallyport key disable %.*s` ends it.\n",
                STR_ARG(member_text(a.v, "id")));
    }
    if (a.body.p) secret_wipe(a.body.p, a.body.cap);
    admin_answer_free(&a);
    buf_free(&b);
    return code;
}

static int run_key_new(const struct cli_args *args)
{
    const char *stored = cli_value(args, "product");
    if (stored && args->rest_n)
        return cli_usage_error(args, "either --product %.40s (the running product keeps the key) or %.40s alone",
                               stored, args->rest[0]);
    if (stored && !product_ok(str_of(stored)))
        return cli_usage_error(args, "a product is a letter, then up to 63 letters, digits, '_' or '-'");
    if (stored) return store_key(args, stored);
    if (!args->rest_n) return cli_usage_error(args, "something is missing: %s", args->command->synopsis);
    if (cli_value(args, "label") || cli_value(args, "expires") || cli_value(args, "socket") || cli_value(args, "data"))
        return cli_usage_error(args, "--label, --expires, --socket and --data go with --product");
    const char *product = args->rest[0], *env = cli_value(args, "env");
    char text[APIKEY_MAX_LEN], hex[2 * SHA256_LEN + 1];
    unsigned char digest[SHA256_LEN];
    struct apikey key;
    size_t n;
    if (!product_ok(str_of(product)))
        return cli_usage_error(args, "a product is a letter, then up to 63 letters, digits, '_' or '-'");
    if (apikey_generate(str_of(env ? env : "prod"), text, &n) != ERR_OK)
        return cli_usage_error(args, "--env is 1 to %d of a-z and 0-9", APIKEY_ENV_MAX);
    str whole = str_make(text, n);
    if (apikey_parse(whole, &key) != ERR_OK) return cli_failure(args, "made a key that is none"); /* ours to find */
    sha256(whole, digest);
    for (size_t i = 0; i < SHA256_LEN; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);

    if (cli_flag(args, "json")) {
        printf("{\"product\":\"%s\",\"key\":\"%.*s\",\"id\":\"%.*s\",\"sha256\":\"%s\"}\n", product, STR_ARG(whole),
               STR_ARG(key.id), hex);
    } else {
        printf("%.*s\n", STR_ARG(whole));
        fprintf(stderr,
                "The key above is shown once and kept nowhere. Clients send it as the header `apikey`.\n"
                "For products.%s in the configuration:\n",
                product);
        fflush(stderr);
        printf("keys: [{id: \"%.*s\", sha256: \"%s\"}]\n", STR_ARG(key.id), hex);
    }
    secret_wipe(text, sizeof text);
    return fflush(stdout) == 0 ? CLI_OK : cli_failure(args, "cannot write it");
}

static const struct cli_option key_new_options[] = {
    {"env", "ENV", "the environment named in the key, as `environment` in the configuration (default: prod)"},
    {"product", "NAME", "have the running product make the key and keep it in its store"},
    {"label", "TEXT", "with --product: whose it is, what it is for"},
    {"expires", "TIME", "with --product: good for so long (90d, 12h, 3600)"},
    {"json", NULL, "print key, id and digest as JSON"},
    {"data", "DIR", "with --product: the data folder of the running product"},
    {"socket", "PATH", "with --product: its control socket"},
    {0},
};

const struct cli_command cli_key_new = {
    .name = "key new",
    .summary = "make an API key for a product",
    .synopsis = "PRODUCT [--env ENV] [--json] | --product NAME [--label TEXT] [--expires TIME] [--json]",
    .description =
        "Prints a fresh key `sp_ENV_ID_…` and the line by which the configuration knows it: its id and the "
        "SHA-256 of its text. The key itself is shown this once; whoever reads the configuration cannot use "
        "it.\n\n"
        "Nothing is changed: put the line under the product's `keys` and reload.\n\n"
        "With --product the running product makes the key and keeps its digest in the store: it is good at "
        "every gateway at once, without a reload, and `sallyport key list|disable|delete` know it." ADMIN_TEXT,
    .examples = "sallyport key new mobile-app\nsallyport key new mobile-app --env dev --json\n"
                "sallyport key new --product mobile-app --label 'Android 4.2' --expires 90d",
    .options = key_new_options,
    .max_rest = 1,
    .run = run_key_new,
};
