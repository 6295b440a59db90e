/* `sallyport dev`: a protected entry in front of an application, in one command and without a file.
 *
 * Everything it needs is made on the spot: a throw-away issuer, a product with a fresh API key, a configuration as
 * text that `--save` writes as it stands. Loopback only; it writes into its own folder and nowhere else. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"
#include "cli/cli.h"
#include "cli/dev_files.h"
#include "crypto/digest.h"
#include "identity/apikey.h"
#include "net/unix_socket.h"
#include "roles/run.h"
#include "services/echo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEXT_MAX 65536

struct dev {
    const struct cli_args *args;
    const char *data;
    struct buf config;
    char key[APIKEY_MAX_LEN];
    size_t key_n;
    char to[NET_TEXT_MAX + 8];
    char password[24]; /* of the throw-away user alice */
    const char *program;
    int echo_fd;
    struct echo *echo;
};

static enum err write_in_folder(const struct dev *d, const char *name, str text, mode_t mode)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", d->data, name);
    return n < 0 || (size_t)n >= sizeof path ? ERR_LIMIT : dev_file_write(path, text, mode);
}

/* "9000", ":9000", "localhost:9000", "127.0.0.1:9000", "unix:/path" as an instance of the configuration. */
static bool take_target(struct dev *d, const char *to)
{
    const char *digits = to[0] == ':' ? to + 1 : to;
    bool only_port = digits[0] && strspn(digits, "0123456789") == strlen(digits);
    int n = only_port ? snprintf(d->to, sizeof d->to, "127.0.0.1:%s", digits) : snprintf(d->to, sizeof d->to, "%s", to);
    return n > 0 && (size_t)n < sizeof d->to && !strpbrk(d->to, "\"\\\n");
}

static bool running_here(const struct dev *d)
{
    char path[128];
    struct net_addr a;
    int fd;
    bool done;
    int n = snprintf(path, sizeof path, "unix:%s/cli.sock", d->data);
    if (n < 0 || (size_t)n >= sizeof path || net_addr_parse(str_of(path), &a) != ERR_OK) return false;
    if (net_connect(&a, &fd, &done) != ERR_OK) return false;
    close(fd);
    return true;
}

/* `dev --save FILE` beside a running one: its configuration is kept. */
static int save_running(const struct dev *d, const char *file)
{
    char path[4096], text[TEXT_MAX];
    (void)snprintf(path, sizeof path, "%s/dev.yaml", d->data);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text, f) : 0;
    if (f) fclose(f);
    if (n == 0) return cli_failure(d->args, "the one that runs here left no %s", path);
    if (dev_file_write(file, str_make(text, n), 0644) != ERR_OK)
        return cli_failure(d->args, "cannot write %s: %s", file, strerror(errno));
    printf("%s written: start it with `%s run --config %s`\n", file, d->program, file);
    return CLI_OK;
}

static enum err make_config(struct dev *d)
{
    struct apikey parts;
    unsigned char digest[SHA256_LEN];
    struct buf *c = &d->config;
    enum err e = apikey_generate(STR("dev"), d->key, &d->key_n);
    if (e == ERR_OK) e = apikey_parse(str_make(d->key, d->key_n), &parts);
    if (e != ERR_OK) return e;
    sha256(str_make(d->key, d->key_n), digest);
    buf_printf(c, "sallyport: 1\n"
                  "environment: dev            # refusals name the rule; any other word keeps it inside\n"
                  "listen: {gateway: \"127.0.0.1:8080\", admin: \"127.0.0.1:8081\"}\n");
    buf_printf(c, "data: \"%s\"\n", d->data);
    buf_printf(c, "authentication:               # users who log in here; `sallyport user add` makes them\n"
                  "  issuer: http://127.0.0.1:8080\n"
                  "store: {engine: memory}       # gone when it ends; `sqlite` keeps it in `data`\n");
    buf_printf(c,
               "issuers:\n"
               "  dev:                      # throw-away: `sallyport token mint --dev` signs with its key\n"
               "    issuer: https://dev.sallyport.invalid\n"
               "    audience: [dev]\n"
               "    algorithms: [ES256]\n"
               "    keys: {file: \"%s/dev-issuer.jwks\"}\n"
               "    default: true\n"
               "    products: [dev]\n"
               "    roles: any\n"
               "    permissions: any\n",
               d->data);
    buf_printf(c, "products:\n  dev:\n    login: password\n    keys: [{id: \"%.*s\", sha256: \"", STR_ARG(parts.id));
    for (size_t i = 0; i < sizeof digest; i++) buf_printf(c, "%02x", digest[i]);
    buf_printf(c,
               "\"}]\n    may: [everything]\n"
               "services:\n  app: {instances: [\"%s\"], implicit: false}\n"
               "actions:\n  everything: {match: \"* /{path*}\", to: app, accept: [token, apikey]}\n"
               "roles:\n  user: [everything]\n",
               d->to);
    return c->bad ? ERR_NO_MEMORY : ERR_OK;
}

/* At most ten lines; each command in it works when it is pasted. */
static void banner(struct gateway *g, void *ctx)
{
    struct dev *d = ctx;
    str at = gateway_address(g, 0), admin = gateway_admin_address(g);
    if (d->echo_fd >= 0 && echo_start(gateway_loop(g), d->echo_fd, &d->echo) != ERR_OK)
        fprintf(stderr, "sallyport dev: the sample service could not start\n");
    printf("gateway http://%.*s -> %s%s   admin http://%.*s\n", STR_ARG(at), d->to,
           d->echo_fd >= 0 ? " (a sample service: name yours with --to)" : "", STR_ARG(admin));
    printf("denied:  curl -i http://%.*s/\n", STR_ARG(at));
    printf("allowed: curl -i -H 'apikey: %.*s' http://%.*s/\n", (int)d->key_n, d->key, STR_ARG(at));
    printf(
        "a user:  curl -i -H 'apikey: %.*s' -H \"Authorization: Bearer $(%s token mint --dev --data '%s' --sub alice "
        "--roles user)\" http://%.*s/\n",
        (int)d->key_n, d->key, d->program, d->data, STR_ARG(at));
    if (run_throw_away_user(g, STR("alice"), str_of(d->password), STR("user")) == ERR_OK)
        printf("login:   curl -i -H 'apikey: %.*s' -H 'Content-Type: application/json' -d "
               "'{\"username\":\"alice\",\"password\":\"%s\"}' http://%.*s/authentication/login\n",
               (int)d->key_n, d->key, d->password, STR_ARG(at));
    printf("why:     %s why --socket '%s' last\n", d->program, gateway_socket(g));
    printf("watch:   %s tap --socket '%s' --for 5\n", d->program, gateway_socket(g));
    printf("keep:    %s dev --data '%s' --save sallyport.yaml\n", d->program, d->data);
    printf("DEV MODE: loopback only, throw-away keys in %s. Still default-deny.\n", d->data);
    fflush(stdout);
}

static void stop_echo(void *ctx)
{
    struct dev *d = ctx;
    echo_free(&d->echo);
}

static const char *program_name(void)
{
    static char path[4096];
    extern char *program_invocation_name;
    if (!strchr(program_invocation_name, '/')) return "sallyport";
    return realpath(program_invocation_name, path) ? path : program_invocation_name;
}

static int run(const struct cli_args *args)
{
    struct dev d = {.args = args, .data = cli_value(args, "data"), .program = program_name(), .echo_fd = -1};
    const char *to = cli_value(args, "to"), *save = cli_value(args, "save");
    unsigned port = 0;
    if (!d.data) d.data = ".sallyport";
    if (strpbrk(d.data, "'\"\\\n")) return cli_usage_error(args, "--data takes a path without quotes and backslashes");
    if (running_here(&d)) {
        if (save) return save_running(&d, save);
        return cli_failure(args, "another one runs here: it answers at %s/cli.sock", d.data);
    }
    if (to && !take_target(&d, to)) return cli_usage_error(args, "--to takes HOST:PORT, :PORT or unix:/path");
    const char *why = "its path is too long for a socket in it";
    if (strlen(d.data) + sizeof "/cli.sock" > UNIX_SOCKET_PATH || dev_folder_make(d.data, &why) != ERR_OK)
        return cli_failure(args, "%.200s cannot be its folder: %s", d.data, why ? why : strerror(errno));
    if (!to) {
        if (echo_bind(&d.echo_fd, &port) != ERR_OK) return cli_failure(args, "no free port: %s", strerror(errno));
        (void)snprintf(d.to, sizeof d.to, "127.0.0.1:%u", port);
    }
    buf_init(&d.config, TEXT_MAX);
    rand_hex(d.password, 8);
    int code = CLI_FAILED;
    if (dev_issuer_make(d.data, STR("dev"), STR("dev")) != ERR_OK || make_config(&d) != ERR_OK) {
        code = cli_failure(args, "cannot write into %s: %s", d.data, strerror(errno));
    } else if (write_in_folder(&d, "dev.yaml", buf_str(&d.config), 0644) != ERR_OK ||
               (save && dev_file_write(save, buf_str(&d.config), 0644) != ERR_OK)) {
        code = cli_failure(args, "cannot write %s: %s", save ? save : d.data, strerror(errno));
    } else {
        struct gateway_options o = {.config_path = save ? save : "(dev)",
                                    .text = buf_str(&d.config),
                                    .text_dir = ".",
                                    .role = "gateway",
                                    .next_port = true,
                                    .same_image = true,
                                    .on_ready = banner,
                                    .on_stop = stop_echo,
                                    .ctx = &d};
        code = run_roles(&o);
    }
    buf_free(&d.config);
    return code;
}

static const struct cli_option options[] = {
    {"to", "HOST:PORT", "the application to protect; without it a sample service that shows what it is told"},
    {"save", "FILE", "write the configuration as a file that `sallyport run` takes"},
    {"data", "DIR", "the folder for its throw-away keys and its socket (default: .sallyport)"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_dev = {
    .name = "dev",
    .summary = "put a protected entry in front of an application, without a file",
    .synopsis = "[--to HOST:PORT] [--save FILE]",
    .description =
        "Starts a gateway on 127.0.0.1:8080 (or the next free port) that denies by default, with a throw-away issuer "
        "and "
        "a fresh API key, and prints commands that try it out.\n\n"
        "It listens on loopback only, writes into its own folder and nowhere else, and touches no trust store. With "
        "--save the configuration it runs on is written to FILE, a valid production file; beside an instance that runs "
        "already, `dev --save FILE` keeps that one's.",
    .examples = "sallyport dev --to :9000\nsallyport dev\nsallyport dev --save sallyport.yaml",
    .options = options,
    .run = run,
};
