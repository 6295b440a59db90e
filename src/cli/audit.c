/* `sallyport audit verify` and `sallyport audit tail`. */
#include "audit/read.h"

#include "cli/admin_client.h"
#include "cli/input.h"
#include "crypto/secret.h"
#include "services/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { POLL_MS = 300, LAST = 10, LAST_MAX = 1000, PIECE = 256 << 10 };

/* --- verify --- */

/* "seal.key", or what --key names; false: there is none, or it is not to be used (said). */
static bool read_key(const char *folder, const char *named, unsigned char out[ADMIN_AUDIT_KEY_LEN])
{
    char path[4200];
    struct buf b;
    struct seal seal;
    const char *why = NULL;
    buf_init(&b, 65536);
    (void)snprintf(path, sizeof path, "%.4000s/seal.key", folder);
    enum err e = input_read_secret(named ? named : path, &b, &why);
    if (e != ERR_OK && (named || errno != ENOENT))
        fprintf(stderr, "%s: %s\n", named ? named : path, why ? why : strerror(errno));
    if (e == ERR_OK) {
        str text = buf_str(&b);
        if (str_ends(text, STR("\n"))) text.n--; /* as config/secret_source.h has it */
        e = seal_init(&seal, str_trim(text));
        if (e == ERR_OK) {
            admin_audit_key(&seal, out);
            seal_wipe(&seal);
        } else {
            fprintf(stderr, "%s: is no sealing key\n", named ? named : path);
        }
    }
    if (b.p) secret_wipe(b.p, b.cap);
    buf_free(&b);
    return e == ERR_OK;
}

struct verdict {
    str chain, file, what;
    uint64_t records, segments, first, unsealed, unfinished, line;
    bool keyed, head_known, broken;
};

static int print_verdict(const char *folder, const struct verdict *v)
{
    if (v->broken) {
        print_text(stdout, str_of(folder));
        putchar('/');
        print_text(stdout, v->file);
        printf(":%llu: ", (unsigned long long)v->line);
        print_text(stdout, v->what);
        putchar('\n');
        return CLI_FAILED;
    }
    print_text(stdout, v->chain);
    printf(": %llu records in %llu segment%s, whole", (unsigned long long)v->records, (unsigned long long)v->segments,
           v->segments == 1 ? "" : "s");
    if (v->first > 1) printf("; the segments before number %llu are not here", (unsigned long long)v->first);
    printf("; seals %s; end %s", v->keyed ? "checked" : "NOT checked (no key)",
           v->head_known ? "as the store knows it" : "NOT checked (the store was not asked)");
    if (v->unsealed) printf("; %llu records since the last seal", (unsigned long long)v->unsealed);
    if (v->unfinished) printf("; an unfinished record of %llu bytes at the end", (unsigned long long)v->unfinished);
    putchar('\n');
    return CLI_OK;
}

static int verify_files(const struct cli_args *args, const char *data)
{
    char folder[4200];
    unsigned char key[ADMIN_AUDIT_KEY_LEN];
    struct audit_verdict v[AUDIT_CHAINS_MAX];
    size_t n = 0;
    (void)snprintf(folder, sizeof folder, "%.4000s/" ADMIN_AUDIT_FOLDER, data);
    struct audit_verify_options o = {.folder = folder, .later = cli_flag(args, "later")};
    if (read_key(data, cli_value(args, "key"), key)) o.key = str_make((const char *)key, sizeof key);
    enum err e = audit_verify(&o, v, &n);
    secret_wipe(key, sizeof key);
    if (e == ERR_NOT_FOUND) return cli_failure(args, "there is no audit record at %s", folder);
    if (e != ERR_OK)
        return cli_failure(args, "cannot read %s: %s", folder, e == ERR_IO ? strerror(errno) : err_name(e));
    int code = n ? CLI_OK : cli_failure(args, "%s has no segments", folder);
    for (size_t i = 0; i < n; i++) {
        struct verdict x = {.chain = str_of(v[i].chain),
                            .file = str_of(v[i].file),
                            .what = str_of(v[i].what),
                            .records = v[i].records,
                            .segments = v[i].segments,
                            .first = v[i].first,
                            .unsealed = v[i].unsealed,
                            .unfinished = v[i].unfinished,
                            .line = v[i].line,
                            .keyed = v[i].keyed,
                            .broken = v[i].broken};
        if (print_verdict(folder, &x) != CLI_OK) code = CLI_FAILED;
    }
    return code;
}

static int print_verdicts(const struct json *answer)
{
    int code = CLI_OK;
    char folder[4200];
    const struct json *chains = json_get(answer, STR("chains"));
    (void)snprintf(folder, sizeof folder, "%.*s", STR_ARG(member_text(answer, "folder")));
    for (const struct json *v = chains ? chains->first : NULL; v; v = v->next) {
        struct verdict x = {.chain = member_text(v, "chain"),
                            .file = member_text(v, "file"),
                            .what = member_text(v, "what"),
                            .records = member_number(v, "records"),
                            .segments = member_number(v, "segments"),
                            .first = member_number(v, "first"),
                            .unsealed = member_number(v, "unsealed"),
                            .unfinished = member_number(v, "unfinished"),
                            .line = member_number(v, "line"),
                            .keyed = json_get(v, STR("keyed")) != NULL,
                            .head_known = json_get(v, STR("head_known")) != NULL,
                            .broken = json_get(v, STR("broken")) != NULL};
        if (print_verdict(folder, &x) != CLI_OK) code = CLI_FAILED;
    }
    return code;
}

static bool any_broken(const struct json *answer)
{
    const struct json *chains = json_get(answer, STR("chains"));
    for (const struct json *v = chains ? chains->first : NULL; v; v = v->next)
        if (json_get(v, STR("broken"))) return true;
    return false;
}

static int run_verify(const struct cli_args *args)
{
    const char *data = cli_value(args, "data");
    struct admin_answer a;
    if (data) {
        if (cli_flag(args, "json"))
            return cli_usage_error(args, "--json is the running product's answer: without --data");
        return verify_files(args, data);
    }
    if (cli_value(args, "key")) return cli_usage_error(args, "--key goes with --data");
    const char *path = cli_flag(args, "later") ? "/v1/audit/verify?later=1" : "/v1/audit/verify";
    int code = admin_ask(args, "GET", path, STR_NONE, 600000, &a);
    if (code == CLI_OK && cli_flag(args, "json")) {
        print_json(stdout, buf_str(&a.body));
        code = any_broken(a.v) ? CLI_FAILED : CLI_OK;
    } else if (code == CLI_OK) {
        code = print_verdicts(a.v);
    }
    admin_answer_free(&a);
    return code;
}

static const struct cli_option verify_options[] = {
    {"json", NULL, "print the product's answer as JSON"},
    {"data", "DIR", "read the files of this data folder instead of asking the product"},
    {"key", "FILE", "with --data: what the sealing key is made from (default: DIR/seal.key)"},
    {"later", NULL, "older segments are kept elsewhere: begin with the first one here"},
    {"socket", "PATH", "the control socket of the running product"},
    {0},
};

const struct cli_command cli_audit_verify = {
    .name = "audit verify",
    .summary = "check that the audit record is whole",
    .synopsis = "[--data DIR [--key FILE]] [--later] [--json]",
    .description = "Names the first broken place of each chain as FILE:LINE with what is wrong: a record that was "
                   "changed, taken out, "
                   "put in or moved, a segment that is missing, a seal that was not made with the key, an end that is "
                   "not what the "
                   "store knows.\n\n"
                   "Without --data the running product reads its own files, with the sealing key and the ends that it "
                   "keeps in the "
                   "store. With --data the files are read here, whether anything runs or not: then the seals are "
                   "checked if the key "
                   "can be read, and the end cannot be.\n\n"
                   "Exit status: 0 whole, 1 broken or not to be read, 2 usage.",
    .examples = "sallyport audit verify\nsallyport audit verify --data /var/lib/sallyport",
    .options = verify_options,
    .run = run_verify,
};

/* --- tail --- */

struct tail {
    const struct cli_args *args;
    const char *event;
    bool json;
};

/* "2026-11-20 10:46:04 login_refused refused alice web … reason": what there is, in the order one reads it. */
static void print_record(const struct json *v)
{
    static const char *const columns[] = {"who", "from", "subject", "product", "action", "object", "reason"};
    str time = member_text(v, "time");
    printf("%.*s %.*s ", time.n >= 19 ? 10 : 0, time.p, time.n >= 19 ? 8 : 0, time.n >= 19 ? time.p + 11 : "");
    admin_print_column(member_text(v, "event"), 16);
    admin_print_column(member_text(v, "outcome"), 7);
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        str s = member_text(v, columns[i]);
        if (!s.n) continue;
        printf("%s=", columns[i]);
        print_text(stdout, s);
        putchar(' ');
    }
    if (member_number(v, "count")) printf("count=%llu ", (unsigned long long)member_number(v, "count"));
    if (member_text(v, "decision_id").n) {
        print_text(stdout, member_text(v, "decision_id"));
        putchar(' ');
    }
    print_text(stdout, member_text(v, "detail"));
    putchar('\n');
}

static void print_line(const struct tail *t, str line)
{
    struct arena mem;
    char first[8192];
    const struct json *v;
    if (t->json) {
        print_json(stdout, line);
        return;
    }
    arena_init(&mem, first, sizeof first, 1 << 20);
    if (json_parse(line, &control_json_limits, &mem, &v, NULL, NULL) == ERR_OK) print_record(v);
    arena_reset(&mem);
}

static int tail_files(const struct tail *t, const char *data, uint64_t last, bool follow)
{
    char folder[4200];
    struct audit_cursor cursor;
    (void)snprintf(folder, sizeof folder, "%.4000s/" ADMIN_AUDIT_FOLDER, data);
    enum err e = audit_cursor_last(folder, last, &cursor);
    for (bool more = false; e == ERR_OK;) {
        struct buf b;
        buf_init(&b, 2 * PIECE);
        enum audit_kind kind = t->event ? audit_kind_of(str_of(t->event)) : AUDIT_KINDS;
        e = audit_read_on(folder, &cursor, kind, PIECE, &b, &more);
        for (str rest = buf_str(&b); rest.n;) print_line(t, str_cut(&rest, '\n'));
        buf_free(&b);
        if (fflush(stdout) != 0 || (!more && !follow)) return CLI_OK;
        if (!more) usleep(POLL_MS * 1000);
    }
    if (e == ERR_NOT_FOUND) return cli_failure(t->args, "there is no audit record at %s", folder);
    return cli_failure(t->args, "cannot read %s: %s", folder, e == ERR_IO ? strerror(errno) : err_name(e));
}

static void print_records(const struct tail *t, const struct admin_answer *a)
{
    const struct json *records = json_get(a->v, STR("records"));
    for (const struct json *v = records ? records->first : NULL; v; v = v->next) {
        if (!t->json) {
            print_record(v);
            continue;
        }
        /* As it came: from where it begins to where the next one does. */
        str text = str_from(buf_str(&a->body), v->offset);
        size_t n = v->next ? v->next->offset - v->offset : text.n;
        text = str_first(text, n);
        size_t end = text.n;
        while (end && text.p[end - 1] != '}') end--;
        if (!v->next) { /* "]}" of the answer follows */
            while (end && text.p[end - 1] != ']') end--;
            end -= end > 0;
        }
        print_json(stdout, str_first(text, end));
    }
}

static int tail_product(const struct tail *t, uint64_t last, bool follow)
{
    char cursor[AUDIT_CURSOR_TEXT] = "", path[AUDIT_CURSOR_TEXT + 256];
    for (;;) {
        struct admin_answer a;
        int n = snprintf(path, sizeof path, "/v1/audit?last=%llu%s%s%s%s", (unsigned long long)last,
                         t->event ? "&event=" : "", t->event ? t->event : "", cursor[0] ? "&cursor=" : "", cursor);
        int code = (size_t)n < sizeof path ? admin_ask(t->args, "GET", path, STR_NONE, ADMIN_ASK_MS, &a)
                                           : cli_failure(t->args, "too many chains");
        bool more = false;
        if (code == CLI_OK) {
            const struct json *m = json_get(a.v, STR("more"));
            str next = member_text(a.v, "cursor");
            more = m && m->type == JSON_TRUE;
            print_records(t, &a);
            (void)snprintf(cursor, sizeof cursor, "%.*s", STR_ARG(next));
        }
        admin_answer_free(&a);
        if (code != CLI_OK || fflush(stdout) != 0 || (!more && !follow)) return code;
        if (!more) usleep(POLL_MS * 1000);
    }
}

static int run_tail(const struct cli_args *args)
{
    struct tail t = {.args = args, .event = cli_value(args, "event"), .json = cli_flag(args, "json")};
    const char *data = cli_value(args, "data"), *n = cli_value(args, "n");
    uint64_t last = LAST;
    if (n && (str_to_u64(str_of(n), &last) != ERR_OK || last > LAST_MAX))
        return cli_usage_error(args, "-n takes a number up to %d, not '%.30s'", LAST_MAX, n);
    if (t.event && audit_kind_of(str_of(t.event)) == AUDIT_KINDS) {
        fputs("events:", stderr);
        for (int k = 0; k < AUDIT_KINDS; k++) fprintf(stderr, " %s", audit_kind_name((enum audit_kind)k));
        fputc('\n', stderr);
        return cli_usage_error(args, "--event: there is no event '%.40s'", t.event);
    }
    bool follow = cli_flag(args, "follow");
    return data ? tail_files(&t, data, last, follow) : tail_product(&t, last, follow);
}

static const struct cli_option tail_options[] = {
    {"n", "N", "how many of each chain to begin with (default: 10)"},
    {"follow", NULL, "go on with what comes, until Ctrl-C"},
    {"event", "NAME", "only this kind: login_refused, revoked, user_added, …"},
    {"json", NULL, "the records as they stand in the file"},
    {"data", "DIR", "read the files of this data folder instead of asking the product"},
    {"socket", "PATH", "the control socket of the running product"},
    {0},
};

const struct cli_command cli_audit_tail = {
    .name = "audit tail",
    .summary = "show the last records of the audit record",
    .synopsis = "[-n N] [--follow] [--event NAME] [--json] [--data DIR]",
    .description =
        "Who did what, with what outcome: logins, refusals, changes, revocations. The running product is asked; with "
        "--data the files are read, whether anything runs or not. An unknown --event lists those there are.\n\n"
        "Exit status: 0 done, 1 not to be read, 2 usage.",
    .examples = "sallyport audit tail --follow --event login_refused\nsallyport audit tail -n 100 --json | jq -r .who",
    .options = tail_options,
    .run = run_tail,
};
