/* `sallyport usage`: what was used, by product, action, kind of caller and hour. */
#include "base/clock.h"
#include "cli/admin_client.h"

#include <stdlib.h>
#include <time.h>

static const char *const counts[] = {"requests", "permitted", "denied", "limited", "bytes_in", "bytes_out"};
static const char *const names[] = {"product", "action", "caller"};

/* "24h", "7d": so long ago. "2026-11-20", "2026-11-20T10:00" (UTC, a Z may stand behind it). Seconds since 1970. */
static bool parse_time(const char *s, int64_t now_s, int64_t *out)
{
    char *end, rest[3] = "";
    unsigned long long n = strtoull(s, &end, 10);
    if (s[0] >= '0' && s[0] <= '9' && end[0] && !end[1] && n <= 100000 && strchr("hd", end[0])) {
        *out = now_s - (int64_t)n * (end[0] == 'h' ? 3600 : 86400);
        return *out >= 0;
    }
    struct tm t = {0};
    int year = 0, month = 0, day = 0, hour = 0, minute = 0;
    bool whole = sscanf(s, "%4d-%2d-%2dT%2d:%2d%1[Z]%1s", &year, &month, &day, &hour, &minute, rest, rest + 1) >= 5 &&
                 strspn(s, "0123456789-T:Z") == strlen(s) && strlen(s) <= 17;
    bool date = !whole && strlen(s) == 10 && sscanf(s, "%4d-%2d-%2d", &year, &month, &day) == 3;
    if (!whole && !date) return false;
    if (year < 1970 || year > 2200 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59)
        return false;
    t.tm_year = year - 1900;
    t.tm_mon = month - 1;
    t.tm_mday = day;
    t.tm_hour = hour;
    t.tm_min = minute;
    *out = (int64_t)timegm(&t);
    return *out >= 0;
}

static void hour_text(uint64_t s, char out[CLOCK_RFC3339_LEN])
{
    clock_rfc3339(out, s * 1000);
}

/* RFC 4180. No name of ours holds a comma, a quote, or what a spreadsheet takes for a formula; if one did, it is
 * quoted, with an apostrophe in front. */
static void print_csv_name(str s)
{
    bool formula = s.n && strchr("=+-@\t", s.p[0]);
    bool quoted = formula || str_has(s, ',') || str_has(s, '"') || str_has(s, '\n') || str_has(s, '\r');
    if (quoted) fputs(formula ? "\"'" : "\"", stdout);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"') putchar('"');
        putchar(s.p[i]);
    }
    if (quoted) putchar('"');
}

static void print_csv(const struct json *v)
{
    const struct json *rows = json_get(v, STR("rows")), *first = rows ? rows->first : NULL;
    const char *sep = "";
    for (const struct json *m = first ? first->first : NULL; m; m = m->next) {
        printf("%s%.*s", sep, STR_ARG(str_eq(m->name, STR("hour_s")) ? STR("hour") : m->name));
        sep = ",";
    }
    if (first) fputs("\r\n", stdout);
    for (const struct json *row = first; row; row = row->next) {
        sep = "";
        for (const struct json *m = row->first; m; m = m->next) {
            fputs(sep, stdout);
            sep = ",";
            if (str_eq(m->name, STR("hour_s"))) {
                char hour[CLOCK_RFC3339_LEN];
                uint64_t s = 0;
                (void)!str_to_u64(m->text, &s);
                hour_text(s, hour);
                printf("%.19sZ", hour);
            } else {
                print_csv_name(m->text);
            }
        }
        fputs("\r\n", stdout);
    }
}

static void print_row(const struct json *row)
{
    if (json_get(row, STR("hour_s"))) {
        char hour[CLOCK_RFC3339_LEN];
        hour_text(member_number(row, "hour_s"), hour);
        printf("%.10s %.5sZ ", hour, hour + 11);
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_get(row, str_of(names[i]))) admin_print_column(member_text(row, names[i]), 24);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        printf("%*llu%s", i < 4 ? 11 : 14, (unsigned long long)member_number(row, counts[i]),
               i + 1 < ARRAY_LEN(counts) ? " " : "\n");
}

static void print_head(const struct json *row)
{
    if (json_get(row, STR("hour_s"))) printf("%-17s ", "hour");
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_get(row, str_of(names[i]))) printf("%-24s ", names[i]);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        printf("%*s%s", i < 4 ? 11 : 14, counts[i], i + 1 < ARRAY_LEN(counts) ? " " : "\n");
}

static void print_table(const struct json *v)
{
    const struct json *rows = json_get(v, STR("rows"));
    if (!rows || !rows->first) {
        puts("nothing was used in that time");
        return;
    }
    print_head(rows->first);
    for (const struct json *row = rows->first; row; row = row->next) print_row(row);
    if (member_number(v, "unreadable"))
        fprintf(stderr, "sallyport usage: %llu entries of the store could not be read\n",
                (unsigned long long)member_number(v, "unreadable"));
}

static int run_usage(const struct cli_args *args)
{
    const char *from = cli_value(args, "from"), *to = cli_value(args, "to"), *by = cli_value(args, "by");
    int64_t now = clock_wall_s(), from_s = now - 86400, to_s = now + 1;
    char path[ADMIN_PATH];
    struct admin_answer a;
    if (from && !parse_time(from, now, &from_s))
        return cli_usage_error(args, "--from is 2026-11-20, 2026-11-20T10:00 (UTC), 24h or 7d, not '%.30s'", from);
    if (to && !parse_time(to, now, &to_s))
        return cli_usage_error(args, "--to is 2026-11-20, 2026-11-20T10:00 (UTC), 24h or 7d, not '%.30s'", to);
    if (by && strspn(by, "abcdefghijklmnopqrstuvwxyz,") != strlen(by))
        return cli_usage_error(args, "--by is product, action, caller, hour, or several with commas");
    if (cli_flag(args, "json") && cli_flag(args, "csv")) return cli_usage_error(args, "--json or --csv, not both");
    admin_path(path, sizeof path, "/v1/usage?from=%lld&to=%lld&by=%.64s", (long long)from_s, (long long)to_s,
               by ? by : "product");
    int code = admin_ask(args, "GET", path, STR_NONE, ADMIN_ASK_MS, &a);
    if (code == CLI_OK && cli_flag(args, "json"))
        print_json(stdout, buf_str(&a.body));
    else if (code == CLI_OK && cli_flag(args, "csv"))
        print_csv(a.v);
    else if (code == CLI_OK)
        print_table(a.v);
    admin_answer_free(&a);
    return code;
}

static const struct cli_option usage_options[] = {
    {"from", "TIME", "since then (default: 24h): 2026-11-20, 2026-11-20T10:00, 24h, 7d"},
    {"to", "TIME", "until then (default: now)"},
    {"by", "WHAT", "product (default), action, caller, hour, or several: product,action"},
    {"csv", NULL, "print CSV"},
    ADMIN_OPTIONS,
    {0},
};

const struct cli_command cli_usage = {
    .name = "usage",
    .summary = "how much was used: requests and bytes by product, action, kind of caller and hour",
    .synopsis = "[--from TIME] [--to TIME] [--by product|action|caller|hour] [--csv|--json]",
    .description =
        "Every gateway that follows the store counts what it serves and writes it there, by the hour of UTC; hours are "
        "kept for 400 days. requests = permitted + denied + limited; bytes are those of requests and answers, heads "
        "included. A row without product "
        "or action is of requests that had none: strangers, unknown paths.\n\n"
        "What was counted in the last ten seconds may not be there yet, and is lost if a gateway is killed." ADMIN_TEXT,
    .examples = "sallyport usage\nsallyport usage --from 7d --by product,action\n"
                "sallyport usage --from 2026-11-01 --to 2026-12-01 --by hour,product --csv > november.csv",
    .options = usage_options,
    .run = run_usage,
};
