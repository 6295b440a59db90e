/* `sallyport why`: one decision explained, from the memory of the running product or from an access log. */
#include "serve/why.h"
#include "cli/control_print.h"

#include <errno.h>
#include <time.h>

enum { WHY_MS = 10000, LINE_MAX_BYTES = 65536 };

/* --- printing --- */
static void row(const char *name, str value)
{
    if (!value.n) return;
    printf("  %-9s ", name);
    print_text(stdout, value);
    putchar('\n');
}

static void inline_text(const char *before, str value, const char *after)
{
    if (!value.n) return;
    fputs(before, stdout);
    print_text(stdout, value);
    fputs(after, stdout);
}

static void print_head(const struct json *d)
{
    bool permit = str_eq(member_text(d, "decision"), STR("permit"));
    uint64_t status = member_number(d, "status");
    print_text(stdout, member_text(d, "decision_id"));
    printf(": %s at gate %llu", permit ? "permitted" : "denied", (unsigned long long)member_number(d, "gate"));
    if (status) printf(", answered %llu", (unsigned long long)status);
    inline_text(", ", member_text(d, "reason"), "\n");
}

static void print_request(const struct json *d)
{
    uint64_t us = member_number(d, "duration_us");
    inline_text("  request   ", member_text(d, "method"), " ");
    print_text(stdout, member_text(d, "path"));
    inline_text(", at ", member_text(d, "ts"), "");
    printf(", took %llu.%03llu ms\n", (unsigned long long)(us / 1000), (unsigned long long)(us % 1000));
}

/* An access log does not tell the roles; an empty list in memory means that there were none. */
static void print_caller(const struct json *d, bool roles_known)
{
    str sub = member_text(d, "sub"), roles = member_text(d, "roles"), product = member_text(d, "product");
    if (sub.n) {
        inline_text("  caller    ", sub, "");
        inline_text(" of issuer ", member_text(d, "issuer"), "");
        inline_text(" through client ", member_text(d, "client"), "");
        if (roles_known) inline_text(", roles ", roles.n ? roles : STR("none"), "");
        putchar('\n');
    }
    if (member_text(d, "caller").n) {
        inline_text("  kind      ", member_text(d, "caller"), "");
        inline_text(", by its ", member_text(d, "credential"), "\n");
    }
    row("product", product);
    row("from", member_text(d, "remote"));
}

static void print_action(const struct json *d, const struct json *action)
{
    str name = member_text(d, "action");
    if (!name.n) return;
    inline_text("  action    ", name, "");
    inline_text(": ", member_text(action, "match"), "");
    inline_text(" -> ", member_text(action, "service"), "");
    putchar('\n');
}

static void print_upstream(const struct json *d)
{
    uint64_t attempts = member_number(d, "attempts");
    if (!member_text(d, "upstream").n) return;
    inline_text("  upstream  ", member_text(d, "upstream"), "");
    if (attempts > 1) printf(", the last of %llu attempts", (unsigned long long)attempts);
    putchar('\n');
}

static void print_why(const struct json *v)
{
    const struct json *d = json_get(v, STR("decision"));
    uint64_t then = member_number(d, "generation"), now = member_number(v, "generation");
    print_head(d);
    print_request(d);
    print_caller(d, now > 0);
    print_action(d, json_get(v, STR("action")));
    print_upstream(d);
    row("fault", member_text(d, "fault"));
    row("why", member_text(v, "explanation"));
    row("rule", member_text(v, "rule"));
    if (now && then && now != then && member_text(v, "rule").n)
        printf("            (as configured now, generation %llu; decided under %llu)\n", (unsigned long long)now,
               (unsigned long long)then);
    if (!now)
        row("not told",
            STR("the user's roles, the rule, and the action as it was declared: an access log does not carry "
                "them"));
    row("remedy", member_text(v, "remedy"));
    row("trace", member_text(d, "trace_id"));
    row("correlate", member_text(d, "correlation_id"));
}

static int print_answer(const struct cli_args *args, str body)
{
    struct arena mem;
    const struct json *v;
    char first[8192];
    if (cli_flag(args, "json")) {
        print_json(stdout, body);
        return CLI_OK;
    }
    arena_init(&mem, first, sizeof first, 4 << 20);
    int code = CLI_OK;
    if (json_parse(body, &control_json_limits, &mem, &v, NULL, NULL) == ERR_OK)
        print_why(v);
    else
        code = cli_failure(args, "the product's answer cannot be read");
    arena_reset(&mem);
    return code;
}

/* --- from the running product --- */
static int not_in_memory(const struct cli_args *args, str id)
{
    if (str_eq(id, STR("last"))) return cli_failure(args, "nothing has been decided yet");
    return cli_failure(args,
                       "%.*s is not in memory: pushed out by later decisions, of another process, or from before the "
                       "last start. If the access log was kept: sallyport why %.*s --log FILE, or grep %.*s FILE",
                       STR_ARG(id), STR_ARG(id), STR_ARG(id));
}

static int from_memory(const struct cli_args *args, str id)
{
    struct control_client client;
    struct buf body;
    uint16_t status = 0;
    char path[64];
    (void)snprintf(path, sizeof path, "/v1/decisions/%.*s", STR_ARG(id));
    if (control_client_open(cli_value(args, "socket"), &client) != ERR_OK) return control_failed(args, &client);
    buf_init(&body, CONTROL_ANSWER_MAX);
    int code;
    if (control_client_ask(&client, "GET", path, STR_NONE, WHY_MS, &status, &body) != ERR_OK)
        code = control_failed(args, &client);
    else if (status == 200)
        code = print_answer(args, buf_str(&body));
    else if (status == 404)
        code = not_in_memory(args, id);
    else
        code = control_refused(args, status, buf_str(&body));
    buf_free(&body);
    control_client_close(&client);
    return code;
}

/* --- from an access log --- */

/* RFC 3339 with milliseconds, as the log has it; 0 if it is none. */
static uint64_t time_of(str ts)
{
    struct tm t = {0};
    char text[32];
    unsigned ms = 0;
    (void)snprintf(text, sizeof text, "%.*s", STR_ARG(str_first(ts, sizeof text - 1)));
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &t);
    if (!end || sscanf(end, ".%3uZ", &ms) != 1) return 0;
    time_t s = timegm(&t);
    return s < 0 ? 0 : (uint64_t)s * 1000 + ms;
}

static void record_of(const struct json *v, struct decision_record *out)
{
    struct outcome o = {
        .duration_us = (uint32_t)member_number(v, "duration_us"),
        .status = (uint16_t)member_number(v, "status"),
        .effect = str_eq(member_text(v, "decision"), STR("permit")) ? EFFECT_PERMIT : EFFECT_DENY,
        .gate = (uint8_t)member_number(v, "gate"),
        .attempts = (uint8_t)member_number(v, "attempts"),
        .id = member_text(v, "decision_id"),
        .trace_id = member_text(v, "trace_id"),
        .correlation_id = member_text(v, "correlation_id"),
        .action = member_text(v, "action"),
        .product = member_text(v, "product"),
        .client = member_text(v, "client"),
        .issuer = member_text(v, "issuer"),
        .subject = member_text(v, "sub"),
        .method = member_text(v, "method"),
        .path = member_text(v, "path"),
        .upstream = member_text(v, "upstream"),
        .remote = member_text(v, "remote"),
        .fault = member_text(v, "fault"),
    };
    uint64_t ended_ms = time_of(member_text(v, "ts")); /* the log tells when it ended, the record when it began */
    o.unix_ms = ended_ms > o.duration_us / 1000 ? ended_ms - o.duration_us / 1000 : ended_ms;
    if (reason_of(member_text(v, "reason"), &o.reason) != ERR_OK) o.reason = REASON_INTERNAL;
    for (unsigned k = CALLER_USER; k < CALLER_KINDS; k++)
        if (str_eq(member_text(v, "caller"), str_of(caller_kind_name((enum caller_kind)k)))) o.caller = (uint8_t)k;
    for (unsigned bit = 1; bit < 1u << ACCEPT_BITS; bit <<= 1)
        if (str_eq(member_text(v, "credential"), str_of(credential_name(bit)))) o.credential = (uint8_t)bit;
    decision_record_make(out, &o);
}

/* Whether the line is the access line of that decision. */
static bool line_matches(str line, str id, struct decision_record *out)
{
    struct arena mem;
    const struct json *v;
    char first[8192];
    if (!memmem(line.p, line.n, id.p, id.n)) return false;
    /* A service manager or a container runtime may have put something before the object. */
    size_t at = str_find(line, '{');
    arena_init(&mem, first, sizeof first, 1 << 20);
    bool found = json_parse(str_from(line, at), &control_json_limits, &mem, &v, NULL, NULL) == ERR_OK &&
                 str_eq(member_text(v, "decision_id"), id) && str_eq(member_text(v, "msg"), STR("access"));
    if (found) record_of(v, out);
    arena_reset(&mem);
    return found;
}

static bool search(FILE *f, str id, struct decision_record *out)
{
    char line[LINE_MAX_BYTES];
    bool whole = true; /* the last piece ended a line */
    while (fgets(line, sizeof line, f)) {
        str s = str_of(line);
        bool ends = str_ends(s, STR("\n"));
        if (whole && line_matches(str_trim(str_first(s, s.n - ends)), id, out)) return true;
        whole = ends;
    }
    return false;
}

static int from_log(const struct cli_args *args, str id, const char *path)
{
    struct decision_record r;
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!f) return cli_failure(args, "cannot read %s: %s", path, strerror(errno));
    bool found = search(f, id, &r);
    bool bad = ferror(f) != 0;
    if (f != stdin) (void)fclose(f);
    if (bad) return cli_failure(args, "cannot read %s: %s", path, strerror(errno));
    if (!found) return cli_failure(args, "%s has no access line of %.*s", path, STR_ARG(id));
    struct buf body;
    buf_init(&body, CONTROL_ANSWER_MAX);
    why_json(&r, NULL, 0, &body);
    int code = body.bad ? cli_failure(args, "out of memory") : print_answer(args, buf_str(&body));
    buf_free(&body);
    return code;
}

/* --- the command --- */

/* A ULID in either case becomes upper case; false if it is none. */
static bool take_id(const char *text, char out[ULID_LEN])
{
    if (strlen(text) != ULID_LEN) return false;
    for (size_t i = 0; i < ULID_LEN; i++) {
        char c = text[i];
        if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'))) return false;
        out[i] = c;
    }
    return true;
}

static int why(const struct cli_args *args)
{
    char id[ULID_LEN];
    const char *log = cli_value(args, "log");
    if (!log && strcmp(args->rest[0], "last") == 0) return from_memory(args, STR("last"));
    if (!take_id(args->rest[0], id))
        return cli_usage_error(args, "a decision id has 26 letters and digits; '%.40s' has not%s", args->rest[0],
                               log ? "" : " (`last` is the last denial)");
    return log ? from_log(args, str_make(id, sizeof id), log) : from_memory(args, str_make(id, sizeof id));
}

static const struct cli_option options[] = {
    {"log", "FILE", "look in this access log (- is standard input) instead of asking the running product"},
    {"json", NULL, "print what is known as one JSON object"},
    {"socket", "PATH", "the control socket of the running product"},
    {NULL, NULL, NULL},
};

const struct cli_command cli_why = {
    .name = "why",
    .summary = "explain a decision: what was asked, by which rule, what to do",
    .synopsis = "[--log FILE] [--json] [--socket PATH] ID|last",
    .description =
        "ID is the decision_id of a refusal's body, of an access log line or of `sallyport tap`; `last` is the last "
        "denial. Permitted requests are explained too. The rule is that of the configuration now in force; if it has "
        "changed since, that is said.\n\n"
        "The product keeps its last decisions in memory, denials apart so that permits cannot push them out. Older "
        "ones are found in the access log.\n\n"
        "The product is found by --socket, else by SALLYPORT_SOCKET, else at ./.sallyport/cli.sock, "
        "/run/sallyport/cli.sock or /var/lib/sallyport/cli.sock. It answers the user it runs as, and root.",
    .examples = "sallyport why last\nsallyport why 01JDC4Z0V8QZ9GJ2N6YB7M3K5T\n"
                "sallyport why 01JDC4Z0V8QZ9GJ2N6YB7M3K5T --log /var/log/sallyport.log",
    .options = options,
    .min_rest = 1,
    .max_rest = 1,
    .run = why,
};
