/* `sallyport revoke`, `sallyport session …`, `sallyport keys …`: what was given out, and what it was signed with. */
#include "cli/admin_client.h"
#include "store/apikey_record.h"
#include "store/session_record.h"
#include "store/signing_key_record.h"

#include <unistd.h>

/* --- revoke --- */

static int send_revocation(const struct cli_args *args, const char *kind, const char *value, const char *what)
{
    static const char *const members[] = {"issuer", "base", "reason"};
    char text[400];
    struct buf b;
    struct admin_answer a = {0};
    buf_init(&b, 16384);
    record_begin(&b);
    record_put_str(&b, "kind", str_of(kind));
    if (value) record_put_str(&b, "value", str_of(value));
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (cli_value(args, members[i])) record_put_str(&b, members[i], str_of(cli_value(args, members[i])));
    admin_put_wait(args, &b);
    buf_putc(&b, '}');
    int code = b.bad ? cli_usage_error(args, "that is too long")
                     : admin_ask(args, "POST", "/v1/revocations", buf_str(&b), 2 * ADMIN_ASK_MS, &a);
    if (code == CLI_OK) {
        uint64_t sessions = member_number(a.v, "sessions");
        int n = snprintf(text, sizeof text, "%s%s%.256s is revoked", what, value ? " " : "", value ? value : "");
        if (sessions && (size_t)n < sizeof text)
            (void)snprintf(text + n, sizeof text - (size_t)n, ", %llu session%s ended", (unsigned long long)sessions,
                           sessions == 1 ? "" : "s");
        code = admin_await(args, &a, text);
    }
    admin_answer_free(&a);
    buf_free(&b);
    return code;
}

static int revoke_key(const struct cli_args *args, const char *id)
{
    char path[ADMIN_PATH], text[64];
    struct buf b;
    struct admin_answer a;
    const char *reason = cli_value(args, "reason");
    if (!apikey_record_id_ok(str_of(id)))
        return cli_usage_error(args, "an API key's id is 8 to 16 of a-z and 0-9, not '%.40s'", id);
    admin_path(path, sizeof path, "/v1/apikeys/%s/disable", id);
    buf_init(&b, 16384);
    record_begin(&b);
    record_put_str(&b, "reason", reason ? str_of(reason) : STR("revoked"));
    admin_put_wait(args, &b);
    buf_putc(&b, '}');
    int code = admin_ask(args, "POST", path, buf_str(&b), ADMIN_ASK_MS, &a);
    (void)snprintf(text, sizeof text, "API key %.20s is revoked", id);
    if (code == CLI_OK) code = admin_await(args, &a, text);
    admin_answer_free(&a);
    buf_free(&b);
    return code;
}

static int run_revoke(const struct cli_args *args)
{
    static const char *const kinds[] = {"user", "session", "token", "product"};
    const char *kind = args->rest[0], *value = args->rest_n > 1 ? args->rest[1] : NULL;
    if (strcmp(kind, "all") == 0)
        return value ? cli_usage_error(args, "`revoke all` takes no name")
                     : send_revocation(args, "all", NULL, "every token");
    bool known = strcmp(kind, "key") == 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) known |= strcmp(kind, kinds[i]) == 0;
    if (!known)
        return cli_usage_error(args, "what is revoked is a user, session, token, product, key, or all; not '%.30s'",
                               kind);
    if (!value) return cli_usage_error(args, "which %s?", kind);
    if (strcmp(kind, "key") == 0) return revoke_key(args, value);
    return send_revocation(args, kind, value, kind);
}

static const struct cli_option revoke_options[] = {
    {"reason", "TEXT", "why, for whoever looks at it later"},
    {"base", "NAME", "the user base of a user"},
    {"issuer", "NAME", "a user of another issuer: its name in the configuration"},
    ADMIN_WAIT_OPTION,
    ADMIN_OPTIONS,
    {0},
};

const struct cli_command cli_revoke = {
    .name = "revoke",
    .summary = "have tokens, sessions or keys refused everywhere, at once",
    .synopsis = "user NAME | session ID | token JTI | product NAME | key ID | all [--reason TEXT] [--wait SECONDS]",
    .description =
        "user      ends all sessions of a user and refuses all tokens given to them until now\n"
        "session   ends one session and refuses its tokens (`sallyport session list` shows the ids)\n"
        "token     refuses one token, by its `jti`\n"
        "product   refuses all tokens that name the product until now\n"
        "key       disables an API key\n"
        "all       refuses every token given out until now, whoever signed it\n\n"
        "Answers when every enforcer that is live has confirmed that it refuses them, and says how long that took. An "
        "enforcer that cannot be reached refuses everything by itself once its lease is over; until then it is named, "
        "and if --wait is over before that, the exit status is 1." ADMIN_TEXT,
    .examples =
        "sallyport revoke user alice --reason 'lost her phone'\nsallyport revoke token 01JDC4Z0V8QZ9GJ2N6YB7M3K5T\n"
        "sallyport revoke user 7f3a --issuer corp",
    .options = revoke_options,
    .min_rest = 1,
    .max_rest = 2,
    .run = run_revoke,
};

/* --- sessions --- */

static void print_session(const struct json *v)
{
    admin_print_column(member_text(v, "id"), 16);
    admin_print_column(member_text(v, "product"), 16);
    admin_print_column(member_text(v, "client"), 16);
    fputs("since ", stdout);
    admin_print_time(stdout, member_number(v, "created_ms"));
    fputs(" used ", stdout);
    admin_print_time(stdout, member_number(v, "used_ms"));
    putchar('\n');
}

static int run_session_list(const struct cli_args *args)
{
    char name[USER_NAME_MAX], path[ADMIN_PATH], after[SESSION_ID_LEN + 1] = "";
    str folded;
    const char *base = cli_value(args, "base");
    if (user_name_fold(str_of(args->rest[0]), name, &folded) != ERR_OK)
        return cli_usage_error(args, "a user's name is 1 to %d of a-z, 0-9 and . _ @ + -", USER_NAME_MAX);
    if (base && !user_base_ok(str_of(base))) return cli_usage_error(args, "--base is no user base: '%.40s'", base);
    for (;;) {
        struct admin_answer a;
        admin_path(path, sizeof path, "/v1/sessions?limit=100&user=%.*s%s%s%s%s", STR_ARG(folded), base ? "&base=" : "",
                   base ? base : "", after[0] ? "&after=" : "", after);
        int code = admin_ask(args, "GET", path, STR_NONE, ADMIN_ASK_MS, &a);
        const struct json *rows = code == CLI_OK ? json_get(a.v, STR("sessions")) : NULL;
        if (code == CLI_OK && cli_flag(args, "json")) print_json(stdout, buf_str(&a.body));
        for (const struct json *v = rows ? rows->first : NULL; v && !cli_flag(args, "json"); v = v->next)
            print_session(v);
        str next = code == CLI_OK ? member_text(a.v, "after") : STR("");
        bool more = next.n == SESSION_ID_LEN;
        if (more) memcpy(after, next.p, next.n);
        admin_answer_free(&a);
        if (!more) return code;
    }
}

static int run_session_revoke(const struct cli_args *args)
{
    if (!session_id_ok(str_of(args->rest[0])))
        return cli_usage_error(args, "a session's id has 16 letters and digits; '%.40s' has not", args->rest[0]);
    return send_revocation(args, "session", args->rest[0], "session");
}

static const struct cli_option session_list_options[] =
    {{"base", "NAME", "the user base (default: the first of `authentication.user_bases`)"}, ADMIN_OPTIONS, {0}};

const struct cli_command cli_session_list = {
    .name = "session list",
    .summary = "list the sessions of a user",
    .synopsis = "USER [--base NAME] [--json]",
    .description =
        "A session is one login: its id, product, client, when it began and when it was used last." ADMIN_TEXT,
    .examples = "sallyport session list alice",
    .options = session_list_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_session_list,
};

const struct cli_command cli_session_revoke = {
    .name = "session revoke",
    .summary = "end a session and refuse its tokens",
    .synopsis = "ID [--reason TEXT] [--wait SECONDS]",
    .description = "The same as `sallyport revoke session ID`." ADMIN_TEXT,
    .examples = "sallyport session revoke 4fTz0aWq81LmNbX2",
    .options = revoke_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_session_revoke,
};

/* --- signing keys --- */

#define TAKEN_TRIES 50  /* tenths of a second */
#define GONE_TRIES  200 /* a successor is published to every gateway first */

static void print_keys(const struct json *v)
{
    const struct json *keys = json_get(v, STR("keys"));
    for (const struct json *k = keys ? keys->first : NULL; k; k = k->next) {
        str state = member_text(k, "state");
        admin_print_column(member_text(k, "kid"), 24);
        admin_print_column(member_text(k, "alg"), 6);
        admin_print_column(state, 8);
        fputs(str_eq(state, STR("next")) ? "signs from " : "signed from ", stdout);
        admin_print_time(stdout, member_number(k, "sign_from_ms"));
        if (member_number(k, "verify_until_s")) {
            fputs(", verifies until ", stdout);
            admin_print_time(stdout, member_number(k, "verify_until_s") * 1000);
        }
        putchar('\n');
    }
    uint64_t waiting = member_number(v, "waiting");
    if (waiting)
        fprintf(stderr, "%llu request%s waiting to be taken up\n", (unsigned long long)waiting,
                waiting == 1 ? "" : "s");
}

static bool listed(const struct json *v, str kid)
{
    const struct json *keys = json_get(v, STR("keys"));
    for (const struct json *k = keys ? keys->first : NULL; k; k = k->next)
        if (kid.n && str_eq(member_text(k, "kid"), kid)) return true;
    return false;
}

/* until_taken: the answer is waited for; gone: and until that key is none any more (STR_NONE: no key is waited for). */
static int ask_keys(const struct cli_args *args, const char *method, const char *path, str json, bool until_taken,
                    str gone)
{
    struct admin_answer a;
    int code = admin_ask(args, method, path, json, ADMIN_ASK_MS, &a);
    for (int i = 0; code == CLI_OK && until_taken &&
                    ((member_number(a.v, "waiting") && i < TAKEN_TRIES) || (listed(a.v, gone) && i < GONE_TRIES));
         i++) {
        admin_answer_free(&a);
        usleep(100000);
        code = admin_ask(args, "GET", "/v1/keys", STR_NONE, ADMIN_ASK_MS, &a);
    }
    if (code == CLI_OK && cli_flag(args, "json"))
        print_json(stdout, buf_str(&a.body));
    else if (code == CLI_OK)
        print_keys(a.v);
    if (code == CLI_OK && until_taken && member_number(a.v, "waiting"))
        code = cli_failure(args, "asked for and recorded, but no Authentication Service has taken it up yet");
    else if (code == CLI_OK && listed(a.v, gone))
        code = cli_failure(args, "asked for and recorded, but the key still verifies: its successor is not at every "
                                 "gateway yet; `sallyport keys list` shows when it is gone");
    admin_answer_free(&a);
    return code;
}

static int run_keys_list(const struct cli_args *args)
{
    return ask_keys(args, "GET", "/v1/keys", STR_NONE, false, STR_NONE);
}

static int run_keys_rotate(const struct cli_args *args)
{
    const char *alg = cli_value(args, "alg");
    struct buf b;
    buf_init(&b, 256);
    record_begin(&b);
    if (alg) record_put_str(&b, "alg", str_of(alg));
    buf_putc(&b, '}');
    int code = b.bad ? cli_usage_error(args, "--alg is ES256, ES384, RS256, PS256 or EdDSA")
                     : ask_keys(args, "POST", "/v1/keys/rotate", buf_str(&b), true, STR_NONE);
    buf_free(&b);
    return code;
}

static int run_keys_retire(const struct cli_args *args)
{
    struct buf b;
    if (!signing_kid_ok(str_of(args->rest[0])))
        return cli_usage_error(args, "'%.40s' is no key's id; `sallyport keys list` lists them", args->rest[0]);
    buf_init(&b, 256);
    record_begin(&b);
    record_put_str(&b, "kid", str_of(args->rest[0]));
    buf_putc(&b, '}');
    int code = ask_keys(args, "POST", "/v1/keys/retire", buf_str(&b), true, str_of(args->rest[0]));
    buf_free(&b);
    return code;
}

static const struct cli_option keys_options[] = {ADMIN_OPTIONS, {0}};
static const struct cli_option rotate_options[] = {{"alg", "ALG",
                                                    "ES256, ES384, RS256, PS256 or EdDSA (default: as it is)"},
                                                   ADMIN_OPTIONS,
                                                   {0}};

const struct cli_command cli_keys_list = {
    .name = "keys list",
    .summary = "list the keys that sign access tokens",
    .synopsis = "[--json]",
    .description =
        "next: published, signs when every verifier has it. current: signs. old: verifies until its last token is "
        "gone. The keys themselves are sealed in the store and never shown." ADMIN_TEXT,
    .examples = "sallyport keys list",
    .options = keys_options,
    .run = run_keys_list,
};

const struct cli_command cli_keys_rotate = {
    .name = "keys rotate",
    .summary = "have a new key sign access tokens",
    .synopsis = "[--alg ALG]",
    .description =
        "The new key is published first and signs when every verifier has it; the old one verifies until its "
        "last token is gone. No valid token is refused on the way." ADMIN_TEXT,
    .examples = "sallyport keys rotate\nsallyport keys rotate --alg EdDSA",
    .options = rotate_options,
    .run = run_keys_rotate,
};

const struct cli_command cli_keys_retire = {
    .name = "keys retire",
    .summary = "let a signing key verify no longer",
    .synopsis = "KID",
    .description =
        "For a key that somebody else may have: tokens that it signed are refused. If it is the one that signs, "
        "a new one comes first; the command returns when the key is gone." ADMIN_TEXT,
    .examples = "sallyport keys retire 3fKx90aQ",
    .options = keys_options,
    .min_rest = 1,
    .max_rest = 1,
    .run = run_keys_retire,
};
