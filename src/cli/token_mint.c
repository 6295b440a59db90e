/* `sallyport token mint --dev`: a token of the throw-away issuer that a running dev instance trusts. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/dev_files.h"
#include "cli/input.h"
#include "crypto/secret.h"
#include "identity/mint.h"

#include <errno.h>
#include <unistd.h>

enum { MAX_VALUES = 64, MINT_TTL_S = 3600, MINT_TTL_MAX_S = 86400, KEY_FILE_MAX = 65536, TOKEN_MAX = 32768 };

struct list {
    str v[MAX_VALUES];
    uint32_t n;
};

/* "a,b,c"; empty parts are left out. */
static enum err split(const char *text, struct list *out)
{
    out->n = 0;
    for (str rest = text ? str_of(text) : STR_NONE; rest.n;) {
        str part = str_trim(str_cut(&rest, ','));
        if (!part.n) continue;
        if (out->n == MAX_VALUES) return ERR_LIMIT;
        out->v[out->n++] = part;
    }
    return ERR_OK;
}

/* "90", "90s", "15m", "2h": 1 second to a day. */
static enum err ttl_of(const char *text, int64_t *out)
{
    static const struct {
        str unit;
        uint64_t seconds;
    } units[] = {{STR_INIT("s"), 1}, {STR_INIT("m"), 60}, {STR_INIT("h"), 3600}};
    *out = MINT_TTL_S;
    if (!text) return ERR_OK;
    str s = str_of(text);
    uint64_t factor = 1, v;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (str_ends(s, units[i].unit)) {
            factor = units[i].seconds;
            s.n--;
            break;
        }
    enum err e = str_to_u64(s, &v);
    if (e == ERR_OK && (v == 0 || v > MINT_TTL_MAX_S / factor)) e = ERR_LIMIT;
    if (e == ERR_OK) *out = (int64_t)(v * factor);
    return e;
}

static str value_of(const struct cli_args *args, const char *name)
{
    const char *v = cli_value(args, name);
    return v ? str_of(v) : STR_NONE;
}

/* The issuer of the dev instance whose data folder is `data`. CLI_OK or the exit code after a complaint. */
static int read_issuer(const struct cli_args *args, const char *data, struct arena *mem, struct buf *text,
                       struct dev_issuer *out)
{
    str path = arena_printf(mem, "%s/dev-issuer.jwk", data);
    const char *why = "";
    if (!path.p) return cli_failure(args, "out of memory");
    enum err e = input_read_secret(path.p, text, &why);
    if (e == ERR_DENIED) return cli_failure(args, "%s is not taken: %s", path.p, why);
    if (e == ERR_IO && errno == ENOENT)
        return cli_failure(args, "there is no %s: is `sallyport dev` running here? --data names its folder", path.p);
    if (e != ERR_OK)
        return cli_failure(args, "cannot read %s: %s", path.p, e == ERR_IO ? strerror(errno) : err_name(e));
    if (dev_issuer_read(buf_str(text), mem, out) != ERR_OK)
        return cli_failure(args, "%s holds no key of a dev instance", path.p);
    return CLI_OK;
}

/* --init: a fresh issuer unless the folder has one. */
static int make_issuer(const struct cli_args *args, const char *data)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/dev-issuer.jwk", data);
    if (n < 0 || (size_t)n >= sizeof path) return cli_usage_error(args, "--data is too long");
    if (access(path, F_OK) == 0) return CLI_OK;
    const char *aud = cli_value(args, "aud"), *why;
    if (dev_folder_make(data, &why) != ERR_OK)
        return cli_failure(args, "cannot make an issuer in %.200s: %s", data, why ? why : strerror(errno));
    if (dev_issuer_make(data, aud ? str_of(aud) : STR("dev"), value_of(args, "product")) != ERR_OK)
        return cli_failure(args, "cannot make an issuer in %s: %s", data, strerror(errno));
    return CLI_OK;
}

static int print_token(const struct cli_args *args, str token, const struct mint_claims *c)
{
    if (cli_flag(args, "json"))
        printf("{\"token\":\"%.*s\",\"exp\":%lld}\n", STR_ARG(token), (long long)(c->now_s + c->ttl_s));
    else
        printf("%.*s\n", STR_ARG(token));
    return fflush(stdout) == 0 ? CLI_OK : cli_failure(args, "cannot write it");
}

static int mint(const struct cli_args *args, const struct dev_issuer *issuer, const struct mint_claims *c)
{
    struct buf token;
    buf_init(&token, TOKEN_MAX);
    enum err e = dev_issuer_mint(issuer, c, &token);
    int status =
        e == ERR_OK ? print_token(args, buf_str(&token), c) : cli_failure(args, "cannot mint it: %s", err_name(e));
    buf_free(&token);
    return status;
}

static int run_mint(const struct cli_args *args)
{
    struct list roles, permissions;
    struct mint_claims c = {.sub = value_of(args, "sub"),
                            .client = value_of(args, "client"),
                            .product = value_of(args, "product"),
                            .aud = value_of(args, "aud"),
                            .now_s = clock_wall_s()};
    if (!cli_flag(args, "dev"))
        return cli_usage_error(args, "only --dev: a gateway holds no key that signs users' tokens, so there is none to "
                                     "mint with but the throw-away one of `sallyport dev`");
    if (!c.sub.n) c.sub = STR("alice");
    if (ttl_of(cli_value(args, "ttl"), &c.ttl_s) != ERR_OK)
        return cli_usage_error(args, "--ttl is 1s to 24h, such as 300, 90s, 15m or 2h");
    if (split(cli_value(args, "roles"), &roles) != ERR_OK ||
        split(cli_value(args, "permissions"), &permissions) != ERR_OK)
        return cli_usage_error(args, "at most %d roles and permissions each", MAX_VALUES);
    c.roles = roles.v;
    c.n_roles = roles.n;
    c.permissions = permissions.v;
    c.n_permissions = permissions.n;

    struct arena mem;
    struct buf text;
    struct dev_issuer issuer = {0};
    const char *data = cli_value(args, "data");
    if (!data) data = "./.sallyport";
    int status = cli_flag(args, "init") ? make_issuer(args, data) : CLI_OK;
    if (status != CLI_OK) return status;
    arena_init(&mem, NULL, 0, 1 << 20);
    buf_init(&text, KEY_FILE_MAX);
    status = read_issuer(args, data, &mem, &text, &issuer);
    if (status == CLI_OK) status = mint(args, &issuer, &c);
    dev_issuer_free(&issuer);
    if (text.p) secret_wipe(text.p, text.cap);
    buf_free(&text);
    arena_reset(&mem);
    return status;
}

static const struct cli_option mint_options[] = {
    {"dev", NULL, "with the throw-away key of a running `sallyport dev`; nothing else is possible"},
    {"sub", "USER", "the user (default: alice)"},
    {"roles", "ROLE,…", "roles of the user"},
    {"permissions", "NAME,…", "permissions of the user"},
    {"client", "ID", "the client the token was given to"},
    {"product", "NAME", "the product it is for"},
    {"aud", "AUD", "the audience (default: what the dev instance expects)"},
    {"ttl", "TIME", "how long it lives: 300, 90s, 15m, 2h (default: 1h, at most 24h)"},
    {"init", NULL, "make such a key in the data folder first, if there is none"},
    {"data", "DIR", "the dev instance's data folder (default: ./.sallyport)"},
    {"json", NULL, "print token and expiry as JSON"},
    {0},
};

const struct cli_command cli_token_mint = {
    .name = "token mint",
    .summary = "make a user's token for a running `sallyport dev`",
    .synopsis = "--dev [--sub USER] [--roles A,B] [--permissions A,B] [--client ID] [--product NAME] [--aud AUD] "
                "[--ttl TIME] [--data DIR] [--init]",
    .description =
        "Prints an access token (RFC 9068, ES256) signed with the key that a running `sallyport dev` made for "
        "itself and keeps in its data folder, readable by its user only. No other instance accepts it, and "
        "this one only until it stops.\n\n"
        "To try a configuration of your own, --init makes such a key beforehand: DIR/dev-issuer.jwks is then the key "
        "file of an issuer " DEV_ISSUER_URL " that you declare. Nothing trusts it that does not name it.\n\n"
        "In production tokens come from the issuers of the configuration; nothing here can make one.",
    .examples = "sallyport token mint --dev --sub alice --roles buyer\n"
                "curl -H \"Authorization: Bearer $(sallyport token mint --dev)\" localhost:8080/",
    .options = mint_options,
    .min_rest = 0,
    .max_rest = 0,
    .run = run_mint,
};
