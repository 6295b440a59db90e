/* `sallyport user import`: users with ready-made hashes, from CSV or NDJSON, streamed in batches. */
#include "base/clock.h"
#include "cli/admin_client.h"
#include "store/user_record.h"

#include <errno.h>
#include <stdlib.h>

enum { LINE_ROOM = 65536, BATCH_USERS = 256, BATCH_BYTES = 60000, BAD_SHOWN = 1000 };

struct import {
    const struct cli_args *args;
    FILE *in;
    bool csv, strict;
    struct buf batch;
    uint32_t in_batch;
    uint64_t line, imported, bad, told_ns;
    int code; /* CLI_OK while it goes on */
};

static void say_bad(struct import *x, uint64_t line, str name, str what)
{
    if (++x->bad > BAD_SHOWN) {
        if (x->bad == BAD_SHOWN + 1) fprintf(stderr, "… more bad lines are counted only\n");
        return;
    }
    fprintf(stderr, "line %llu", (unsigned long long)line);
    if (name.n) {
        fputs(" (", stderr);
        print_text(stderr, str_first(name, 128));
        fputc(')', stderr);
    }
    fputs(": ", stderr);
    print_text(stderr, what);
    fputc('\n', stderr);
}

static void progress(struct import *x, bool last)
{
    uint64_t now = clock_mono_ns();
    if (!last && now - x->told_ns < 1000000000u) return;
    x->told_ns = now;
    fprintf(stderr, "%llu imported, %llu bad\n", (unsigned long long)x->imported, (unsigned long long)x->bad);
}

/* --- sending --- */

static void begin_batch(struct import *x)
{
    const char *base = cli_value(x->args, "base");
    buf_clear(&x->batch);
    record_begin(&x->batch);
    if (base) record_put_str(&x->batch, "base", str_of(base));
    record_put_true(&x->batch, "strict", x->strict);
    buf_puts(&x->batch, x->batch.n == 1 ? "\"users\":[" : ",\"users\":[");
    x->in_batch = 0;
}

static void take_answer(struct import *x, const struct json *v)
{
    x->imported += member_number(v, "imported");
    const struct json *bad = json_get(v, STR("bad"));
    for (const struct json *m = bad ? bad->first : NULL; m; m = m->next)
        say_bad(x, member_number(m, "line"), member_text(m, "name"), member_text(m, "what"));
}

static void send_batch(struct import *x)
{
    struct admin_answer a;
    if (!x->in_batch || x->code != CLI_OK) return;
    buf_puts(&x->batch, "]}");
    x->code = admin_ask(x->args, "POST", "/v1/users/import", buf_str(&x->batch), 3 * ADMIN_ASK_MS, &a);
    if (x->code == CLI_OK) take_answer(x, a.v);
    admin_answer_free(&a);
    if (x->strict && x->bad) x->code = CLI_FAILED;
    progress(x, false);
    begin_batch(x);
}

/* One user as the inside of an object, its line number in front. */
static void add_user(struct import *x, str members)
{
    if (x->in_batch == BATCH_USERS || x->batch.n + members.n + 64 > BATCH_BYTES) send_batch(x);
    if (x->in_batch) buf_putc(&x->batch, ',');
    buf_printf(&x->batch, "{\"line\":%llu,", (unsigned long long)x->line);
    buf_put(&x->batch, members);
    buf_putc(&x->batch, '}');
    x->in_batch++;
}

/* --- NDJSON --- */

static void take_json(struct import *x, str line)
{
    static const struct json_limits limits = {.max_bytes = LINE_ROOM,
                                              .max_depth = 3,
                                              .max_values = 600,
                                              .max_members = 300,
                                              .max_number = 20};
    struct arena mem;
    char first[8192];
    const struct json *v;
    arena_init(&mem, first, sizeof first, 1 << 20);
    bool ok = json_parse(line, &limits, &mem, &v, NULL, NULL) == ERR_OK && v->type == JSON_OBJECT && v->count;
    bool numbered = ok && json_get(v, STR("line"));
    arena_reset(&mem);
    if (!ok || numbered) {
        say_bad(x, x->line, STR(""), ok ? STR("has a member that is not known (line)") : STR("is no JSON object"));
        return;
    }
    str inside = str_trim(str_from(line, str_find(line, '{') + 1));
    while (inside.n && inside.p[inside.n - 1] != '}') inside.n--;
    inside.n--;
    if (inside.n > BATCH_BYTES - 200)
        say_bad(x, x->line, STR(""), STR("is too long"));
    else
        add_user(x, inside);
}

/* --- CSV (RFC 4180): name,hash[,roles[,permissions]]; several roles are separated by blanks or ';' --- */

/* The next field into `room`; *rest moves behind its comma. False: a quote without its end, or text behind one. */
static bool csv_field(str *rest, struct buf *room, bool *more)
{
    buf_clear(room);
    if (rest->n && rest->p[0] == '"') {
        size_t i = 1;
        for (;; i++) {
            if (i >= rest->n) return false;
            if (rest->p[i] != '"') {
                buf_putc(room, rest->p[i]);
            } else if (i + 1 < rest->n && rest->p[i + 1] == '"') {
                buf_putc(room, '"');
                i++;
            } else {
                break;
            }
        }
        *rest = str_from(*rest, i + 1);
        if (rest->n && rest->p[0] != ',') return false;
        *more = rest->n > 0;
        *rest = str_from(*rest, 1);
        return true;
    }
    size_t n = str_find(*rest, ',');
    str plain = str_first(*rest, n);
    if (str_has(plain, '"')) return false;
    buf_put(room, str_trim(plain));
    *more = n < rest->n;
    *rest = str_from(*rest, n + 1);
    return true;
}

static void put_words(struct buf *out, const char *name, str words)
{
    bool any = false;
    buf_printf(out, ",\"%s\":[", name);
    while (words.n) {
        size_t n = 0;
        while (n < words.n && words.p[n] != ' ' && words.p[n] != ';') n++;
        str one = str_first(words, n);
        words = str_from(words, n + 1);
        if (!one.n) continue;
        buf_puts(out, any ? ",\"" : "\"");
        buf_put_json(out, one);
        buf_putc(out, '"');
        any = true;
    }
    buf_putc(out, ']');
}

static void take_csv(struct import *x, str line)
{
    static const char *const members[] = {"name", "hash", "roles", "permissions"};
    struct buf out, field;
    bool more = true, ok = true;
    if (x->line == 1 && (str_eq(line, STR("name")) || str_starts(line, STR("name,")))) return; /* the heading */
    buf_init(&out, LINE_ROOM);
    buf_init(&field, LINE_ROOM);
    for (size_t i = 0; ok && more && i < ARRAY_LEN(members); i++) {
        ok = csv_field(&line, &field, &more);
        if (!ok || (i && !field.n)) continue;
        if (i >= 2) {
            put_words(&out, members[i], buf_str(&field));
            continue;
        }
        buf_printf(&out, "%s\"%s\":\"", i ? "," : "", members[i]);
        buf_put_json(&out, buf_str(&field));
        buf_putc(&out, '"');
    }
    if (!ok || more || out.bad || field.bad)
        say_bad(x, x->line, STR(""),
                ok && more ? STR("has more than name, hash, roles, permissions (a hash has commas: put it into quotes)")
                           : STR("has a quote in the wrong place, or is too long"));
    else
        add_user(x, buf_str(&out));
    buf_free(&out);
    buf_free(&field);
}

/* --- the file --- */

static void take_file(struct import *x, char *room)
{
    bool cut = false; /* the line before had no end in the room */
    while (x->code == CLI_OK && fgets(room, LINE_ROOM, x->in)) {
        str line = str_of(room);
        bool whole = str_ends(line, STR("\n")) || feof(x->in);
        if (!cut) x->line++;
        if (cut || !whole) {
            if (!cut) say_bad(x, x->line, STR(""), STR("is too long"));
            cut = !whole;
            continue;
        }
        while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r')) line.n--;
        if (!str_trim(line).n) continue;
        if (x->csv)
            take_csv(x, line);
        else
            take_json(x, line);
        if (x->strict && x->bad) x->code = CLI_FAILED;
    }
    send_batch(x);
}

static bool is_csv(const char *path, const char *format)
{
    if (format) return strcmp(format, "csv") == 0;
    return str_ends(str_of(path), STR(".csv"));
}

static int run_import(const struct cli_args *args)
{
    const char *path = args->rest[0], *format = cli_value(args, "format"), *base = cli_value(args, "base");
    struct import x = {.args = args, .strict = cli_flag(args, "strict"), .csv = is_csv(path, format)};
    if (format && strcmp(format, "csv") != 0 && strcmp(format, "ndjson") != 0)
        return cli_usage_error(args, "--format is csv or ndjson, not '%.30s'", format);
    if (base && !user_base_ok(str_of(base)))
        return cli_usage_error(args, "--base is a letter, then up to 31 of a-z, 0-9 and '-', not '%.40s'", base);
    char *room = malloc(LINE_ROOM);
    if (!room) return cli_failure(args, "out of memory");
    x.in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!x.in) {
        free(room);
        return cli_failure(args, "cannot read %s: %s", path, strerror(errno));
    }
    buf_init(&x.batch, 2 * LINE_ROOM);
    begin_batch(&x);
    x.told_ns = clock_mono_ns();
    take_file(&x, room);
    bool bad_read = ferror(x.in) != 0;
    if (x.in != stdin) (void)fclose(x.in);
    buf_free(&x.batch);
    free(room);
    progress(&x, true);
    if (cli_flag(args, "json"))
        printf("{\"imported\":%llu,\"bad\":%llu,\"lines\":%llu}\n", (unsigned long long)x.imported,
               (unsigned long long)x.bad, (unsigned long long)x.line);
    if (bad_read) return cli_failure(args, "cannot read %s to its end", path);
    if (x.code != CLI_OK)
        return cli_failure(args, "stopped at line %llu; what is imported stays: the rest can be imported again",
                           (unsigned long long)x.line);
    return x.bad ? CLI_FAILED : CLI_OK;
}

static const struct cli_option import_options[] = {
    {"base", "NAME", "the user base (default: the first of `authentication.user_bases`)"},
    {"format", "csv|ndjson", "what FILE is (default: by its name, .csv or not)"},
    {"strict", NULL, "stop at the first bad line"},
    ADMIN_OPTIONS,
    {0},
};

const struct cli_command cli_user_import = {
    .name = "user import",
    .summary = "import users with ready-made hashes",
    .synopsis = "FILE|- [--base NAME] [--format csv|ndjson] [--strict]",
    .description =
        "NDJSON: a line a user, {\"name\", \"hash\", \"roles\": [], \"permissions\": [], \"disabled\"}; only the name "
        "is "
        "required. CSV (RFC 4180): name,hash,roles,permissions, where roles are separated by blanks or ';'; a first "
        "line "
        "that begins with `name` is the heading. A hash is argon2id in PHC text; it has commas, so in CSV it stands in "
        "quotes.\n\n"
        "A bad line is named by its number on stderr and left out; the rest goes on, and the exit status is 1. A user "
        "that is there already is a bad line and stays as it is, so that an import can be run again. With --strict the "
        "first bad line ends it; the batches (of up to 256 users) before it stay." ADMIN_TEXT,
    .examples = "sallyport user import users.csv\nzcat users.ndjson.gz | sallyport user import - --base staff",
    .options = import_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_import,
};
