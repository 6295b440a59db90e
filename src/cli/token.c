/* `sallyport token verify`: the verifier of gate 1 on a token at hand, or on a batch of them. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "identity/verify.h"

#include <errno.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 16 << 20, BATCH_ARENA = 256 << 20, JWKS_MAX_BYTES = 262144, TOKEN_INPUT_MAX = 1 << 20 };

/* A line carries a key set and a token of any size: the bounds of the token itself are the verifier's to apply. */
static const struct json_limits batch_limits = {.max_bytes = LINE_MAX_BYTES,
                                                .max_depth = 32,
                                                .max_values = 65536,
                                                .max_members = 4096,
                                                .max_number = 30};

static void print_id(str id)
{
    for (size_t i = 0; i < id.n; i++) {
        unsigned char c = (unsigned char)id.p[i];
        putchar(c < 0x20 || c == 0x7f ? '?' : c);
    }
}

/* The id of a line that is no strict JSON: what stands behind "id": up to the closing quote. Only to say whose token is
 * refused. */
static str rough_id(str line)
{
    for (size_t i = 0; i + 4 < line.n; i++) {
        str at = str_from(line, i);
        if (!str_starts(at, STR("\"id\""))) continue;
        at = str_trim(str_from(at, 4));
        if (!str_starts(at, STR(":"))) continue;
        at = str_trim(str_from(at, 1));
        if (str_starts(at, STR("\""))) return str_first(str_from(at, 1), str_find(str_from(at, 1), '"'));
        size_t n = 0;
        while (n < at.n && at.p[n] >= '0' && at.p[n] <= '9') n++;
        return str_first(at, n);
    }
    return STR_NONE;
}

/* A member that may be null or absent (false), else must be a string. ERR_MALFORMED. */
static enum err optional_text(const struct json *v, str name, str *out)
{
    const struct json *m = json_get(v, name);
    *out = STR_NONE;
    if (!m || m->type == JSON_NULL) return ERR_OK;
    if (m->type != JSON_STRING) return ERR_MALFORMED;
    *out = m->text.p ? m->text : STR("");
    return ERR_OK;
}

static enum err optional_seconds(const struct json *v, str name, int64_t otherwise, int64_t *out)
{
    const struct json *m = json_get(v, name);
    bool fraction;
    *out = otherwise;
    return !m || m->type == JSON_NULL ? ERR_OK : json_date(m, out, &fraction);
}

static enum err mode_of(str text, enum jwt_mode *out)
{
    if (text.p && !str_eq(text, STR("jwt")) && !str_eq(text, STR("jws"))) return ERR_MALFORMED;
    *out = text.p && str_eq(text, STR("jws")) ? JWT_MODE_JWS : JWT_MODE_JWT;
    return ERR_OK;
}

/* One line of a batch: whether it asks for something and the answer is yes. */
static enum err check_line(struct verify_ctx *ctx, const struct json *v, struct arena *mem)
{
    struct jwt_expect expect = {.typ = TYP_LEGACY};
    const struct json *token = json_get(v, STR("token"));
    struct keyset *keys = NULL;
    enum jwt_fault fault;
    int64_t now_s;
    str mode;
    if (!token || token->type != JSON_STRING) return ERR_MALFORMED;
    enum err e = optional_text(v, STR("expected_iss"), &expect.iss);
    if (e == ERR_OK) e = optional_text(v, STR("expected_aud"), &expect.aud);
    if (e == ERR_OK) e = optional_text(v, STR("mode"), &mode);
    if (e == ERR_OK) e = mode_of(mode, &expect.mode);
    if (e == ERR_OK) e = optional_seconds(v, STR("now"), clock_wall_s(), &now_s);
    if (e == ERR_OK) e = optional_seconds(v, STR("leeway"), 0, &expect.leeway_s);
    if (e == ERR_OK) e = keyset_from_json(json_get(v, STR("keys")), true, &keys);
    if (e == ERR_OK) e = jwt_check(ctx, keys, &expect, token->text, now_s, mem, &fault);
    keyset_unref(&keys);
    return e;
}

/* Prints the answer for one line; false if the line does not even say whose answer it is. */
static bool answer_line(struct verify_ctx *ctx, str line, struct arena *mem)
{
    const struct json *v;
    str id = STR_NONE;
    bool accepted = false;
    if (json_parse(line, &batch_limits, mem, &v, NULL, NULL) == ERR_OK) {
        const struct json *m = json_get(v, STR("id"));
        if (m && (m->type == JSON_STRING || m->type == JSON_NUMBER)) id = m->text;
        accepted = id.p && check_line(ctx, v, mem) == ERR_OK;
    } else {
        id = rough_id(line);
    }
    if (!id.p) return false;
    print_id(id);
    fputs(accepted ? " accept\n" : " reject\n", stdout);
    return true;
}

static int run_batch(const struct cli_args *args)
{
    struct verify_ctx *ctx;
    struct arena mem;
    char *line = NULL;
    size_t room = 0;
    unsigned long number = 0;
    int status = CLI_OK;
    if (verify_ctx_new(&ctx) != ERR_OK) return cli_failure(args, "out of memory");
    arena_init(&mem, NULL, 0, BATCH_ARENA);
    for (ssize_t n; (n = getline(&line, &room, stdin)) >= 0;) {
        str text = str_make(line, (size_t)n);
        number++;
        if (str_ends(text, STR("\n"))) text.n--;
        if (str_trim(text).n == 0) continue;
        if (!answer_line(ctx, text, &mem)) status = cli_usage_error(args, "line %lu has no readable \"id\"", number);
        arena_reset(&mem);
    }
    free(line);
    verify_ctx_free(&ctx);
    if (fflush(stdout) != 0) return cli_failure(args, "cannot write: %s", strerror(errno));
    return status;
}

/* The set in `path`; CLI_OK or the exit code after a complaint. What was left out of it is told. */
static int read_keys(const struct cli_args *args, const char *path, struct keyset **out)
{
    struct buf text;
    enum json_fault fault = JSON_FAULT_NONE;
    buf_init(&text, JWKS_MAX_BYTES);
    enum err e = input_read(path, &text);
    if (e != ERR_OK) {
        buf_free(&text);
        return cli_usage_error(args, "cannot read %s: %s", path, e == ERR_IO ? strerror(errno) : err_name(e));
    }
    e = keyset_from_jwks(buf_str(&text), true, out, &fault);
    buf_free(&text);
    if (e != ERR_OK)
        return cli_usage_error(args, "%s is no JWKS: %s", path, fault ? json_fault_name(fault) : err_name(e));
    size_t n;
    const struct jwk_note *notes = keyset_notes(*out, &n);
    for (size_t i = 0; i < n; i++) {
        struct buf kid;
        buf_init(&kid, 1024);
        buf_put_json(&kid, notes[i].kid);
        fprintf(stderr, "key %u (kid \"%.*s\") is not used: %s\n", notes[i].index, STR_ARG(buf_str(&kid)),
                jwk_fault_name(notes[i].fault));
        buf_free(&kid);
    }
    return CLI_OK;
}

/* --now and --leeway: decimal digits. */
static enum err seconds(const char *text, int64_t otherwise, int64_t *out)
{
    uint64_t v;
    *out = otherwise;
    if (!text) return ERR_OK;
    enum err e = str_to_u64(str_of(text), &v);
    if (e == ERR_OK && v >= (uint64_t)1 << 53) e = ERR_LIMIT;
    if (e == ERR_OK) *out = (int64_t)v;
    return e;
}

static int say(const struct cli_args *args, bool accepted, enum jwt_fault fault)
{
    if (cli_flag(args, "json")) {
        if (accepted)
            puts("{\"accepted\":true}");
        else
            printf("{\"accepted\":false,\"fault\":\"%s\"}\n", jwt_fault_name(fault));
    } else if (accepted) {
        puts("accepted");
    } else {
        fprintf(stderr, "refused: %s\n", jwt_fault_name(fault));
    }
    return accepted ? CLI_OK : CLI_FAILED;
}

static int verify_one(const struct cli_args *args, const struct keyset *keys, const struct jwt_expect *expect,
                      int64_t now_s, str token)
{
    struct verify_ctx *ctx;
    struct arena mem;
    enum jwt_fault fault = JWT_FAULT_NONE;
    if (verify_ctx_new(&ctx) != ERR_OK) return cli_failure(args, "out of memory");
    arena_init(&mem, NULL, 0, token_arena_need(token.n));
    enum err e = jwt_check(ctx, keys, expect, token, now_s, &mem, &fault);
    arena_reset(&mem);
    verify_ctx_free(&ctx);
    return say(args, e == ERR_OK, fault);
}

static int run_single(const struct cli_args *args)
{
    struct jwt_expect expect = {.typ = TYP_LEGACY};
    const char *jwks = cli_value(args, "jwks"), *mode = cli_value(args, "mode");
    int64_t now_s;
    if (!jwks) return cli_usage_error(args, "--jwks FILE is missing: a token alone proves nothing");
    if (args->rest_n != 1) return cli_usage_error(args, "which token? Give it, or - for standard input");
    if (mode_of(mode ? str_of(mode) : STR_NONE, &expect.mode) != ERR_OK)
        return cli_usage_error(args, "--mode is jwt or jws, not %s", mode);
    if (seconds(cli_value(args, "now"), clock_wall_s(), &now_s) != ERR_OK)
        return cli_usage_error(args, "--now is a number of seconds since 1970");
    if (seconds(cli_value(args, "leeway"), 0, &expect.leeway_s) != ERR_OK)
        return cli_usage_error(args, "--leeway is a number of seconds");
    if (cli_value(args, "iss")) expect.iss = str_of(cli_value(args, "iss"));
    if (cli_value(args, "aud")) expect.aud = str_of(cli_value(args, "aud"));

    struct buf text;
    struct keyset *keys = NULL;
    buf_init(&text, TOKEN_INPUT_MAX);
    int status = CLI_OK;
    str token = str_of(args->rest[0]);
    if (str_eq(token, STR("-"))) {
        if (strcmp(jwks, "-") == 0) return cli_usage_error(args, "keys and token cannot both be standard input");
        enum err e = input_read("-", &text);
        if (e == ERR_IO || e == ERR_NO_MEMORY) status = cli_usage_error(args, "cannot read the token");
        token = buf_str(&text);
        if (str_ends(token, STR("\n"))) token.n--;
        if (str_ends(token, STR("\r"))) token.n--;
    }
    if (status == CLI_OK) status = read_keys(args, jwks, &keys);
    if (status == CLI_OK) status = verify_one(args, keys, &expect, now_s, token);
    keyset_unref(&keys);
    buf_free(&text);
    return status;
}

static int run_verify(const struct cli_args *args)
{
    const char *gate = cli_value(args, "gate");
    if (gate && strcmp(gate, "2") == 0) return cli_usage_error(args, "--gate 2: comes with gate 2");
    if (gate && strcmp(gate, "1") != 0) return cli_usage_error(args, "--gate is 1 or 2, not %s", gate);
    if (!cli_flag(args, "batch")) return run_single(args);
    static const char *const single[] = {"jwks", "iss", "aud", "now", "leeway", "mode", "json"};
    for (size_t i = 0; i < ARRAY_LEN(single); i++)
        if (cli_value(args, single[i]))
            return cli_usage_error(args, "--%s and --batch do not go together: each line says it", single[i]);
    if (args->rest_n && strcmp(args->rest[0], "-") != 0)
        return cli_usage_error(args, "--batch reads lines from standard input");
    return run_batch(args);
}

static const struct cli_option verify_options[] = {
    {"jwks", "FILE", "the issuer's keys, a JWKS document"},
    {"iss", "ISS", "what `iss` must be, exactly (default: not checked)"},
    {"aud", "AUD", "what `aud` must hold, exactly (default: not checked)"},
    {"now", "SECONDS", "the time to check at, seconds since 1970 (default: the clock)"},
    {"leeway", "SECONDS", "how long behind `exp` a token still passes (default: 0)"},
    {"mode", "jwt|jws", "jws: header, key and signature only, the payload may be any bytes (default: jwt)"},
    {"gate", "1|2", "whose verifier to ask (default: 1)"},
    {"batch", NULL, "read JSON lines from standard input, print `ID accept` or `ID reject` for each"},
    {"json", NULL, "print the answer as JSON"},
    {0},
};

const struct cli_command cli_token_verify = {
    .name = "token verify",
    .summary = "check a token with gate 1's own verifier",
    .synopsis = "--jwks FILE [--iss ISS] [--aud AUD] [--now SECONDS] [--leeway S] [--mode jwt|jws] TOKEN|-\n--batch",
    .description =
        "Checks a compact JWS exactly as a gateway would: form, header, key, signature, claims. Exits with 0 "
        "if it is accepted, 1 if it is refused (the reason is on standard error), 2 if the question was "
        "wrong.\n\n"
        "The typ header may be absent, JWT, at+jwt, application/at+jwt or JOSE. Nothing is fetched: the "
        "keys are those of the file. The token on the command line is visible to other users of the "
        "machine; give - to read it from standard input.\n\n"
        "With --batch every line of standard input is an object with the members id, token, keys, now, "
        "expected_iss, expected_aud, leeway and mode; null is the default of the option.",
    .examples = "sallyport token verify --jwks keys.jwks --iss https://idp.example --aud api - < token.txt\n"
                "sallyport token verify --batch < tokens.jsonl",
    .options = verify_options,
    .min_rest = 0,
    .max_rest = 1,
    .run = run_verify,
};
