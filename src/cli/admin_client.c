#include "cli/admin_client.h"

#include "base/clock.h"

#include <stdlib.h>

static const char *const folders[] = {"./.sallyport", "/run/sallyport", "/var/lib/sallyport"};
/* A gateway alone is asked last: it has the least to do with it, and may hang when it is what one wants to be rid of.
 */
static const char *const sockets[] = {"authentication-cli.sock", "data-cli.sock", "cli.sock"};

enum { PLACES = ARRAY_LEN(folders) * ARRAY_LEN(sockets), WAIT_S = 900, ADMIN_WAITS_S = 10 };

struct places {
    char path[PLACES][512];
    size_t n;
};

static void add_folder(struct places *p, const char *folder)
{
    for (size_t i = 0; i < ARRAY_LEN(sockets); i++, p->n++)
        (void)snprintf(p->path[p->n], sizeof p->path[0], "%.400s/%s", folder, sockets[i]);
}

static void find_places(const struct cli_args *args, struct places *p)
{
    const char *socket = cli_value(args, "socket"), *data = cli_value(args, "data"), *env = getenv("SALLYPORT_SOCKET");
    p->n = 0;
    if (!socket && !data && env && *env) socket = env;
    if (socket)
        (void)snprintf(p->path[p->n++], sizeof p->path[0], "%s", socket);
    else if (data)
        add_folder(p, data);
    else
        for (size_t i = 0; i < ARRAY_LEN(folders); i++) add_folder(p, folders[i]);
}

/* Not of our interface at all, or told that another process does it: worth asking the next one. */
static bool elsewhere(const struct admin_answer *a)
{
    return a->status == 421 || (a->status == 404 && !member_text(a->v, "detail").n);
}

static void drop(struct admin_answer *a)
{
    buf_clear(&a->body);
    arena_reset(&a->mem);
    a->v = NULL;
    a->status = 0;
}

static enum err ask_at(const char *place, const char *method, const char *path, str json, uint32_t timeout_ms,
                       struct admin_answer *out, struct control_client *client)
{
    enum err e = control_client_open(place, client);
    if (e != ERR_OK) return e;
    e = control_client_ask(client, method, path, json, timeout_ms, &out->status, &out->body);
    control_client_close(client);
    if (e == ERR_OK && json_parse(buf_str(&out->body), &control_json_limits, &out->mem, &out->v, NULL, NULL) != ERR_OK)
        out->v = NULL;
    return e;
}

static int nobody(const struct cli_args *args, const struct places *p, const struct control_client *client)
{
    if (p->n == 1) return cli_failure(args, "%s", client->problem);
    return cli_failure(args,
                       "nothing runs here: nobody answers at %s … %s. Start the product (`sallyport run`), or name its "
                       "socket with --socket or its folder with --data",
                       p->path[0], p->path[p->n - 1]);
}

int admin_problem_print(const struct cli_args *args, const struct admin_answer *a)
{
    str title = member_text(a->v, "title"), place = member_text(a->v, "place"), detail = member_text(a->v, "detail"),
        remedy = member_text(a->v, "remedy");
    fprintf(stderr, "sallyport %s: ", args->command->name);
    if (!title.n && !detail.n) fprintf(stderr, "the product answered %u", a->status);
    if (place.n && detail.n) {
        print_text(stderr, place);
        fputs(": ", stderr);
    }
    print_text(stderr, detail.n ? detail : title);
    if (remedy.n) {
        fputs("\n  ", stderr);
        print_text(stderr, remedy);
    }
    fputc('\n', stderr);
    return CLI_FAILED;
}

int admin_ask(const struct cli_args *args, const char *method, const char *path, str json, uint32_t timeout_ms,
              struct admin_answer *out)
{
    struct places p;
    struct control_client client = {.fd = -1};
    bool met = false;
    *out = (struct admin_answer){0};
    buf_init(&out->body, CONTROL_ANSWER_MAX);
    arena_init(&out->mem, NULL, 0, 64u << 20);
    find_places(args, &p);
    for (size_t i = 0; i < p.n; i++) {
        struct control_client tried = {.fd = -1};
        drop(out);
        enum err e = ask_at(p.path[i], method, path, json, timeout_ms, out, &tried);
        if (e == ERR_OK && !elsewhere(out)) return out->status < 300 ? CLI_OK : admin_problem_print(args, out);
        if (e != ERR_OK && e != ERR_NOT_FOUND && p.n > 1 && !strstr(tried.problem, "too long"))
            return cli_failure(args, "%s", tried.problem);
        if (e == ERR_OK && i + 1 == p.n) return admin_problem_print(args, out);
        met |= e == ERR_OK;
        client = tried;
    }
    if (met)
        return cli_failure(args, "whoever runs here does not serve that: the configuration needs a section "
                                 "`authentication` or `store`, or the role that does it is not running");
    return nobody(args, &p, &client);
}

void admin_answer_free(struct admin_answer *a)
{
    buf_free(&a->body);
    arena_reset(&a->mem);
}

/* --- building --- */

void admin_put_list(struct buf *b, const char *name, const char *list)
{
    if (!list) return;
    buf_printf(b, "%s\"%s\":[", b->n && b->p[b->n - 1] == '{' ? "" : ",", name);
    bool any = false;
    for (str rest = str_of(list); rest.n;) {
        str one = str_trim(str_cut(&rest, ','));
        buf_puts(b, any ? ",\"" : "\"");
        buf_put_json(b, one);
        buf_putc(b, '"');
        any = true;
    }
    buf_putc(b, ']');
}

const char *admin_path(char *room, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(room, size, fmt, ap);
    va_end(ap);
    return room;
}

/* --- printing --- */

void admin_print_time(FILE *out, uint64_t unix_ms)
{
    char text[CLOCK_RFC3339_LEN];
    if (!unix_ms) {
        fputs("-", out);
        return;
    }
    clock_rfc3339(text, unix_ms);
    fprintf(out, "%.10s %.8sZ", text, text + 11);
}

void admin_print_column(str text, int width)
{
    print_text(stdout, text.n ? text : STR("-"));
    for (int n = text.n ? (int)text.n : 1; n < width; n++) putchar(' ');
    putchar(' ');
}

void admin_print_list(const struct json *list)
{
    bool any = false;
    for (const struct json *v = list ? list->first : NULL; v; v = v->next) {
        if (any) putchar(',');
        print_text(stdout, json_text(v));
        any = true;
    }
    if (!any) putchar('-');
}

/* --- waiting for enforcers --- */

static bool complete(const struct json *v)
{
    const struct json *m = json_get(v, STR("complete"));
    return m && m->type == JSON_TRUE;
}

static void print_missing(const struct json *v)
{
    const struct json *list = json_get(v, STR("missing"));
    for (const struct json *m = list ? list->first : NULL; m; m = m->next) {
        fputs("not confirmed: ", stderr);
        print_text(stderr, member_text(m, "name"));
        fputs(" (", stderr);
        print_text(stderr, member_text(m, "state"));
        fputs("; it refuses by itself from ", stderr);
        admin_print_time(stderr, member_number(m, "lease_ends_s") * 1000);
        fputs(")\n", stderr);
    }
}

static int report(const struct cli_args *args, const struct json *v, const char *what, uint64_t ms)
{
    const struct json *list = json_get(v, STR("confirmed"));
    uint32_t n = list ? list->count : 0;
    if (!complete(v)) {
        print_missing(v);
        return cli_failure(args, "%s, but not every enforcer has confirmed it after %llu ms", what,
                           (unsigned long long)ms);
    }
    printf("%s; ", what);
    if (n)
        printf("in force at every enforcer (%u) after %llu ms: ", n, (unsigned long long)ms);
    else
        printf("no enforcer is live (%llu ms)", (unsigned long long)ms);
    for (const struct json *m = list ? list->first : NULL; m; m = m->next) {
        print_text(stdout, member_text(m, "name"));
        if (m->next) fputs(", ", stdout);
    }
    putchar('\n');
    return CLI_OK;
}

void admin_put_wait(const struct cli_args *args, struct buf *b)
{
    const char *wait = cli_value(args, "wait");
    uint64_t seconds;
    if (wait && str_to_u64(str_of(wait), &seconds) == ERR_OK && seconds < ADMIN_WAITS_S)
        buf_printf(b, "%s\"wait_ms\":%llu", b->p[b->n - 1] == '{' ? "" : ",", (unsigned long long)seconds * 1000);
}

int admin_await(const struct cli_args *args, const struct admin_answer *a, const char *what)
{
    const char *wait = cli_value(args, "wait");
    uint64_t seconds = WAIT_S, begin = clock_mono_ns(), ms = member_number(a->v, "ms");
    const struct json *at = json_get(a->v, STR("at"));
    if (wait && (str_to_u64(str_of(wait), &seconds) != ERR_OK || seconds > 86400))
        return cli_usage_error(args, "--wait takes a number of seconds up to a day, not '%.30s'", wait);
    if (cli_flag(args, "json") && (complete(a->v) || !seconds)) {
        print_json(stdout, buf_str(&a->body));
        return complete(a->v) ? CLI_OK : CLI_FAILED;
    }
    if (complete(a->v) || !at) return report(args, a->v, what, ms);
    char path[ADMIN_PATH];
    bool told = false;
    for (;;) {
        struct admin_answer more;
        uint64_t passed = (clock_mono_ns() - begin) / 1000000u;
        uint64_t left = passed < seconds * 1000 ? seconds * 1000 - passed : 0;
        bool last = left == 0;
        admin_path(path, sizeof path, "/v1/confirmations?epoch=%.*s&number=%.*s&wait_ms=%llu",
                   STR_ARG(member_text(at, "epoch")), STR_ARG(member_text(at, "number")),
                   (unsigned long long)(left < ADMIN_WAITS_S * 1000 ? left : ADMIN_WAITS_S * 1000));
        int code = admin_ask(args, "GET", path, STR_NONE, ADMIN_ASK_MS, &more);
        if (code == CLI_OK && (last || complete(more.v))) {
            if (cli_flag(args, "json"))
                print_json(stdout, buf_str(&more.body));
            else
                code = report(args, more.v, what, ms + (clock_mono_ns() - begin) / 1000000u);
            if (!complete(more.v)) code = CLI_FAILED;
        } else if (code == CLI_OK && !told) {
            print_missing(more.v);
            fputs("waiting for them …\n", stderr);
            told = true;
        }
        bool end = code != CLI_OK || last || complete(more.v);
        admin_answer_free(&more);
        if (end) return code;
    }
}
