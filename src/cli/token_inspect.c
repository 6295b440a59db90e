/* `sallyport token inspect`: what a token claims, shown to people, checked by nobody. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "identity/verify.h"

enum { TOKEN_INPUT_MAX = 1 << 20, OUT_MAX = 4 << 20 };

/* JSON text for a terminal: what buf_put_json leaves alone but a terminal acts upon (C1 controls, marks that turn the
 * direction of writing) is escaped too. The value comes from the JSON reader, so its UTF-8 is well formed. */
static void put_shown(struct buf *out, str s)
{
    for (size_t i = 0, from = 0; i <= s.n; i++) {
        unsigned char a = i < s.n ? (unsigned char)s.p[i] : 0, b = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0,
                      c = i + 2 < s.n ? (unsigned char)s.p[i + 2] : 0;
        unsigned code = 0;
        if (a == 0x7f) code = a;
        if (a == 0xc2 && b < 0xa0) code = b;
        if (a == 0xe2 && (b == 0x80 || b == 0x81)) code = 0x2000u | (b & 1u) << 6 | (c & 0x3fu);
        bool acts = code == 0x7f || (code >= 0x80 && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
                    (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f);
        if (i < s.n && !acts) continue;
        buf_put_json(out, str_first(str_from(s, from), i - from));
        if (i == s.n) return;
        buf_printf(out, "\\u%04x", code);
        i += code < 0x80 ? 0 : code < 0x800 ? 1 : 2;
        from = i + 1;
    }
}

static void put_break(struct buf *out, int depth)
{
    if (depth < 0) return;
    buf_putc(out, '\n');
    for (int i = 0; i < depth; i++) buf_puts(out, "  ");
}

/* Prints a value; depth < 0: on one line. The reader allows 32 levels, so this goes no deeper. */
static void put_value(struct buf *out, const struct json *v, int depth)
{
    static const char *const words[] = {[JSON_NULL] = "null", [JSON_FALSE] = "false", [JSON_TRUE] = "true"};
    switch (v->type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE: buf_puts(out, words[v->type]); return;
    case JSON_NUMBER: buf_put(out, v->text); return;
    case JSON_STRING:
        buf_putc(out, '"');
        put_shown(out, v->text);
        buf_putc(out, '"');
        return;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    bool object = v->type == JSON_OBJECT;
    int inner = depth < 0 ? depth : depth + 1;
    buf_putc(out, object ? '{' : '[');
    for (const struct json *m = v->first; m; m = m->next) {
        if (m != v->first) buf_putc(out, ',');
        put_break(out, inner);
        if (object) {
            buf_putc(out, '"');
            put_shown(out, m->name);
            buf_puts(out, depth < 0 ? "\":" : "\": ");
        }
        put_value(out, m, inner);
    }
    if (v->first) put_break(out, depth);
    buf_putc(out, object ? '}' : ']');
}

/* "exp 2026-11-20T10:46:04Z, 5 minutes ago" */
static void put_time(struct buf *out, const struct json *payload, str name, int64_t now_s)
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    int64_t at;
    bool fraction;
    char text[CLOCK_RFC3339_LEN];
    if (json_date(json_get(payload, name), &at, &fraction) != ERR_OK || at < 0 || at > 253402300799) return;
    clock_rfc3339(text, (uint64_t)at * 1000);
    int64_t away = at > now_s ? at - now_s : now_s - at;
    size_t u = 0;
    while (u + 1 < ARRAY_LEN(units) && away < 2 * units[u].seconds) u++;
    buf_printf(out, "%.*s  %.19sZ  %s%lld %s%s\n", STR_ARG(name), text, at > now_s ? "in " : "",
               (long long)(away / units[u].seconds), units[u].unit, at > now_s ? "" : " ago");
}

static void put_text(struct buf *out, const struct unverified_token *t, int64_t now_s)
{
    static const str times[] = {STR_INIT("iat"), STR_INIT("nbf"), STR_INIT("exp")};
    buf_puts(out, "UNVERIFIED: nobody has checked what follows; anybody can write it.\n\nheader\n");
    put_value(out, t->header, 0);
    buf_puts(out, "\n\npayload\n");
    if (t->payload)
        put_value(out, t->payload, 0);
    else
        buf_printf(out, "%zu bytes that are no JSON of the token profile", t->payload_text.n);
    buf_puts(out, "\n\n");
    for (size_t i = 0; i < ARRAY_LEN(times); i++) put_time(out, t->payload, times[i], now_s);
    buf_printf(out, "signature  %zu bytes, UNVERIFIED: `sallyport token verify --jwks FILE -` checks it\n",
               t->signature.n);
}

static void put_json(struct buf *out, const struct unverified_token *t)
{
    buf_puts(out, "{\"unverified\":true,\"header\":");
    put_value(out, t->header, -1);
    buf_puts(out, ",\"payload\":");
    if (t->payload)
        put_value(out, t->payload, -1);
    else
        buf_puts(out, "null");
    buf_printf(out, ",\"signature_bytes\":%zu}\n", t->signature.n);
}

static int inspect(const struct cli_args *args, str token)
{
    struct unverified_token t;
    enum jwt_fault fault = JWT_FAULT_NONE;
    struct arena mem;
    struct buf out;
    arena_init(&mem, NULL, 0, token_arena_need(token.n));
    buf_init(&out, OUT_MAX);
    int status = CLI_OK;
    if (jwt_read_unverified(token, &mem, &t, &fault) != ERR_OK) {
        status = cli_failure(args, "this cannot be taken apart: %s", jwt_fault_name(fault));
    } else {
        if (cli_flag(args, "json"))
            put_json(&out, &t);
        else
            put_text(&out, &t, clock_wall_s());
        if (out.bad || fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0)
            status = cli_failure(args, "cannot write it");
    }
    buf_free(&out);
    arena_reset(&mem);
    return status;
}

static int run_inspect(const struct cli_args *args)
{
    struct buf text;
    str token = str_of(args->rest[0]);
    int status = CLI_OK;
    buf_init(&text, TOKEN_INPUT_MAX);
    if (str_eq(token, STR("-"))) {
        if (input_read("-", &text) != ERR_OK) status = cli_failure(args, "cannot read the token");
        token = str_trim(buf_str(&text));
        while (str_ends(token, STR("\n")) || str_ends(token, STR("\r"))) token.n--;
    }
    if (status == CLI_OK) status = inspect(args, token);
    buf_free(&text);
    return status;
}

static const struct cli_option inspect_options[] = {
    {"json", NULL, "print one JSON object"},
    {0},
};

const struct cli_command cli_token_inspect = {
    .name = "token inspect",
    .summary = "show what a token claims, without checking it",
    .synopsis = "[--json] TOKEN|-",
    .description =
        "Takes a compact JWS apart and prints header and payload. Nothing is verified: what is shown may have "
        "been written by anybody. `sallyport token verify` checks.\n\n"
        "The token on the command line is visible to other users of the machine; give - to read it from "
        "standard input.",
    .examples = "sallyport token inspect - < token.txt\nsallyport token inspect --json - < token.txt",
    .options = inspect_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_inspect,
};
