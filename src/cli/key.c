/* `sallyport key new`: an API key for a product, and the line the configuration needs to know it by. */
#include "cli/cli.h"
#include "crypto/secret.h"
#include "identity/apikey.h"

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

static int run_key_new(const struct cli_args *args)
{
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
    {"json", NULL, "print key, id and digest as JSON"},
    {0},
};

const struct cli_command cli_key_new = {
    .name = "key new",
    .summary = "make an API key for a product",
    .synopsis = "PRODUCT [--env ENV] [--json]",
    .description = "Prints a fresh key `sp_ENV_ID_…` and the line by which the configuration knows it: its id and the "
                   "SHA-256 of its text. The key itself is shown this once; whoever reads the configuration cannot use "
                   "it.\n\n"
                   "Nothing is changed: put the line under the product's `keys` and reload.",
    .examples = "sallyport key new mobile-app\nsallyport key new mobile-app --env dev --json",
    .options = key_new_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_key_new,
};
