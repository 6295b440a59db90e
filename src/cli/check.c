/* `sallyport check`: what is amiss with the running product, and between it and the files on the disk. The product
 * tells what it knows; what can be seen from outside (files, clock) is looked at here. */
#include "cli/control_print.h"
#include "config/findings.h"
#include "crypto/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum { CHECK_MS = 10000, FOUND_MAX = 1 << 20, FILE_BYTES = 16 << 20 };

/* Findings as text for people and as members of a JSON array, in the order in which they were found. */
struct report {
    struct buf text, json;
    unsigned errors, warnings;
};

static void put_member(struct buf *b, const char *name, str value)
{
    buf_puts(b, name);
    buf_putc(b, '"');
    buf_put_json(b, value);
    buf_putc(b, '"');
}

static void add(struct report *r, bool error, str code, str text, str fix)
{
    buf_printf(&r->text, "%s %.*s: %.*s\n", error ? "error  " : "warning", STR_ARG(code), STR_ARG(text));
    if (fix.n) buf_printf(&r->text, "        = %.*s\n", STR_ARG(fix));
    put_member(&r->json,
               r->errors + r->warnings ? ",{\"level\":" : "{\"level\":", error ? STR("error") : STR("warning"));
    put_member(&r->json, ",\"code\":", code);
    put_member(&r->json, ",\"text\":", text);
    put_member(&r->json, ",\"fix\":", fix);
    buf_putc(&r->json, '}');
    *(error ? &r->errors : &r->warnings) += 1;
}

/* --- files --- */

/* What is in a regular file; an errno otherwise. */
static int read_file(const char *path, struct buf *out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), e = 0;
    if (fd < 0) return errno;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) e = EINVAL;
    while (!e) {
        char *room = buf_room(out, 65536);
        ssize_t n = room ? read(fd, room, 65536) : -1;
        if (!room) e = EFBIG;
        if (n < 0 && room && errno != EINTR) e = errno;
        if (n > 0) out->n += (size_t)n;
        if (n == 0) break;
    }
    close(fd);
    return e;
}

static bool digest_is(str content, str hex)
{
    unsigned char d[SHA256_LEN];
    char text[2 * SHA256_LEN + 1];
    sha256(content, d);
    for (size_t i = 0; i < sizeof d; i++) snprintf(text + 2 * i, 3, "%02x", d[i]);
    return str_eq(str_make(text, 2 * SHA256_LEN), hex);
}

/* Whether the file is still what the product has read. */
static void compare(struct report *r, const char *path, str hex, bool config)
{
    struct buf content;
    buf_init(&content, FILE_BYTES);
    int e = read_file(path, &content);
    char text[4400];
    bool differs = !e && !digest_is(buf_str(&content), hex);
    buf_free(&content);
    if (e) {
        int n = snprintf(text, sizeof text, "%s cannot be compared with what is in force: %s", path, strerror(e));
        add(r, e == ENOENT, STR("file_unreadable"),
            str_make(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1),
            e == EACCES ? STR("run `sallyport check` as root or as the product's user") : STR("put it back"));
    } else if (differs) {
        int n = snprintf(text, sizeof text, "%s is not what is in force", path);
        add(r, config, config ? STR("config_differs") : STR("file_differs"),
            str_make(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1),
            STR("`sallyport reload` takes it (whole, or not at all); until then the one before counts"));
    }
}

/* --- the configuration on the disk: what `lint` says --- */
static void lint(struct report *r, const char *path)
{
    struct diags d;
    struct config *c = NULL;
    diags_init(&d, str_of(path));
    if (access(path, R_OK) == 0) {
        if (config_load(path, NULL, NULL, &d, &c) == ERR_OK) {
            config_findings(c, &d);
            config_file_findings(c, &d);
        }
        diags_sort(&d);
    }
    for (uint32_t i = 0; i < d.n; i++) {
        const struct diag *g = &d.v[i];
        struct buf text;
        buf_init(&text, 8192);
        buf_puts(&text, path);
        if (g->at.line) buf_printf(&text, ":%u:%u", g->at.line, g->at.column);
        buf_puts(&text, ": ");
        buf_put(&text, g->text);
        add(r, g->level == DIAG_ERROR, str_of(g->code), buf_str(&text), g->fix);
        buf_free(&text);
    }
    config_free(&c);
    diags_free(&d);
}

/* --- the clock --- */

/* Tokens' times are compared with this machine's clock to the second. */
static void clock_is_set(struct report *r)
{
    struct timex t = {.modes = 0};
    int state = adjtimex(&t);
    if (state < 0) return;
    if (state == TIME_ERROR || (t.status & STA_UNSYNC))
        add(r, false, STR("clock_unsynchronised"),
            STR("nothing keeps this machine's clock right: tokens would be refused or outlive their end when it "
                "drifts"),
            STR("run a time service: timedatectl set-ntp true, or chrony"));
    else if (t.maxerror > 5000000)
        add(r, false, STR("clock_skew"), STR("this machine's clock may be more than five seconds wrong"),
            STR("see what its time service says: timedatectl timesync-status, or chronyc tracking"));
}

/* --- the whole --- */

static void from_product(struct report *r, const struct json *v)
{
    const struct json *list = json_get(v, STR("findings"));
    for (const struct json *f = list ? list->first : NULL; f; f = f->next)
        add(r, str_eq(member_text(f, "level"), STR("error")), member_text(f, "code"), member_text(f, "text"),
            member_text(f, "fix"));
    str config = member_text(v, "config_file"), digest = member_text(v, "config_sha256");
    char path[4096];
    if (config.n && digest.n && snprintf(path, sizeof path, "%.*s", STR_ARG(config)) < (int)sizeof path) {
        compare(r, path, digest, true);
        lint(r, path);
    }
    const struct json *files = json_get(v, STR("files"));
    for (const struct json *f = files ? files->first : NULL; f; f = f->next)
        if (snprintf(path, sizeof path, "%.*s", STR_ARG(member_text(f, "path"))) < (int)sizeof path)
            compare(r, path, member_text(f, "sha256"), false);
}

static int print_report(const struct cli_args *args, struct report *r)
{
    if (r->text.bad || r->json.bad) return cli_failure(args, "there is more to say than memory");
    if (cli_flag(args, "json")) {
        struct buf out;
        buf_init(&out, 2 * FOUND_MAX);
        buf_printf(&out, "{\"ok\":%s,\"errors\":%u,\"warnings\":%u,\"findings\":[", r->errors ? "false" : "true",
                   r->errors, r->warnings);
        buf_put(&out, buf_str(&r->json));
        buf_puts(&out, "]}");
        print_json(stdout, buf_str(&out));
        buf_free(&out);
    } else {
        print_lines(stdout, buf_str(&r->text));
        if (!r->errors && !r->warnings)
            puts("nothing is amiss");
        else
            printf("%u error%s, %u warning%s\n", r->errors, r->errors == 1 ? "" : "s", r->warnings,
                   r->warnings == 1 ? "" : "s");
    }
    return r->errors ? CLI_FAILED : CLI_OK;
}

static int judge(const struct cli_args *args, str body)
{
    struct arena mem;
    const struct json *v;
    struct report r = {0};
    char first[8192];
    buf_init(&r.text, FOUND_MAX);
    buf_init(&r.json, FOUND_MAX);
    arena_init(&mem, first, sizeof first, 16 << 20);
    int code = CLI_FAILED;
    if (json_parse(body, &control_json_limits, &mem, &v, NULL, NULL) != ERR_OK) {
        code = cli_failure(args, "the product's answer cannot be read");
    } else {
        from_product(&r, v);
        clock_is_set(&r);
        code = print_report(args, &r);
    }
    arena_reset(&mem);
    buf_free(&r.text);
    buf_free(&r.json);
    return code;
}

static int answered(const struct cli_args *args, uint16_t status, str body)
{
    return status == 200 ? judge(args, body) : control_refused(args, status, body);
}

static int check(const struct cli_args *args)
{
    return control_call(args, "GET", "/v1/check", STR_NONE, CHECK_MS, answered);
}

static const struct cli_option check_options[] = {
    {"socket", "PATH", "the control socket of the running product"},
    {"json", NULL, "print the findings as one JSON object"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_check = {
    .name = "check",
    .summary = "find what is amiss with the running product",
    .synopsis = "[--socket PATH] [--json]",
    .description =
        "Asks the running gateway, looks at its files, and prints what deserves attention, each with what to do: a "
        "configuration or a certificate on the disk that is not the one in force, instances that do not serve, names "
        "that "
        "do not resolve, certificates that expire soon, issuers without keys, a store that is not heard, a part of the "
        "sandbox that is missing, too few open files, a full disk, a clock that nobody sets, and everything that "
        "`sallyport "
        "lint` says of the configuration on the disk.\n\n"
        "The product is found by --socket, else by SALLYPORT_SOCKET, else at ./.sallyport/cli.sock, "
        "/run/sallyport/cli.sock or /var/lib/sallyport/cli.sock. It answers the user it runs as, and root.\n\n"
        "Exit status: 0 nothing, or warnings only; 1 errors, or nobody answers.",
    .examples = "sallyport check\nsallyport check --json | jq -r '.findings[] | .code'",
    .options = check_options,
    .run = check,
};
