/* What goes outward with a refusal: problem documents and challenges. jansson and a small reader of challenges judge.
 */
#include "unit.h"

#include "serve/problem.h"

#include <jansson.h>

static json_t *body_of(const struct problem *p)
{
    char out[PROBLEM_MAX];
    size_t n = problem_body(p, out, sizeof out);
    assert_true(n > 0);
    json_error_t e;
    json_t *j = json_loadb(out, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (!j) fail_msg("%s in %.*s", e.text, (int)n, out);
    return j;
}

static void every_reason_has_its_document(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        const struct reason_info *info = reason_info((enum reason)i);
        const struct problem p = {.reason = (enum reason)i,
                                  .gate = 1,
                                  .decision_id = STR("01JABCDEFGHJKMNPQRSTVWXYZ0"),
                                  .detail = STR("secret"),
                                  .rule = STR("secret rule")};
        json_t *j = body_of(&p);
        char type[128];
        snprintf(type, sizeof type, "urn:sallyport:problem:%s", info->code);
        assert_string_equal(json_string_value(json_object_get(j, "type")), type);
        assert_string_equal(json_string_value(json_object_get(j, "code")), info->code);
        assert_string_equal(json_string_value(json_object_get(j, "title")), info->title);
        assert_int_equal(json_integer_value(json_object_get(j, "status")), info->status ? info->status : 500);
        assert_int_equal(json_integer_value(json_object_get(j, "gate")), 1);
        assert_string_equal(json_string_value(json_object_get(j, "decision_id")), "01JABCDEFGHJKMNPQRSTVWXYZ0");
        assert_null(json_object_get(j, "detail")); /* not in dev mode: names no rule */
        assert_null(json_object_get(j, "rule"));
        json_decref(j);
    }
}

static void dev_mode_tells_the_rule(void **state)
{
    (void)state;
    char hostile[5000];
    for (size_t i = 0; i < sizeof hostile; i++) hostile[i] = (char)(i % 256);
    struct problem p = {.reason = REASON_ACTION_NOT_GRANTED,
                        .gate = 1,
                        .decision_id = STR("x"),
                        .dev = true,
                        .detail = STR("because"),
                        .rule = STR("action a is granted to roles \"b\"")};
    json_t *j = body_of(&p);
    assert_string_equal(json_string_value(json_object_get(j, "detail")), "because");
    assert_string_equal(json_string_value(json_object_get(j, "rule")), "action a is granted to roles \"b\"");
    json_decref(j);
    for (size_t n = 0; n < sizeof hostile; n += 37) {
        p.detail = p.rule = p.decision_id = str_make(hostile, n);
        json_decref(body_of(&p));
    }
    char small[PROBLEM_MAX];
    for (size_t cap = 0; cap < PROBLEM_MAX; cap++) assert_int_equal(problem_body(&p, small, cap), 0);
}

/* RFC 9110 §11.6.1: scheme SP params, each name="value", challenges separated by ", ". */
static bool challenge_is_well_formed(str s, str code)
{
    bool has_code = false;
    for (bool first = true; s.n; first = false) {
        str item = str_trim(str_cut(&s, ','));
        bool starts = str_starts(item, STR("Bearer ")) || str_starts(item, STR("ApiKey ")) ||
                      str_starts(item, STR("Signature ")) || str_starts(item, STR("Certificate "));
        if (starts)
            str_cut(&item, ' ');
        else if (first)
            return false;
        str name = str_cut(&item, '=');
        if (!name.n || item.n < 2 || item.p[0] != '"' || item.p[item.n - 1] != '"') return false;
        str value = str_make(item.p + 1, item.n - 2);
        if (str_has(value, '"') || str_has(value, '\\')) return false;
        if (str_eq(name, STR("reason"))) has_code = str_eq(value, code);
    }
    return has_code;
}

static void challenges_carry_the_code(void **state)
{
    (void)state;
    char out[CHALLENGE_MAX];
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        const struct reason_info *info = reason_info((enum reason)i);
        size_t n = problem_challenge((enum reason)i, 0, out, sizeof out);
        assert_int_equal(n > 0, info->challenge != CHALLENGE_NONE);
        if (n && !challenge_is_well_formed(str_make(out, n), str_of(info->code))) fail_msg("%.*s", (int)n, out);
        for (size_t cap = 0; cap < n; cap++) assert_int_equal(problem_challenge((enum reason)i, 0, out, cap), 0);
    }
    size_t n = problem_challenge(REASON_TOKEN_EXPIRED, 0, out, sizeof out);
    assert_str(str_make(out, n), STR("Bearer realm=\"sallyport\", error=\"invalid_token\", reason=\"token_expired\""));
    n = problem_challenge(REASON_NO_CREDENTIAL, 0, out, sizeof out);
    assert_str(str_make(out, n), STR("Bearer realm=\"sallyport\", reason=\"no_credential\", "
                                     "ApiKey realm=\"sallyport\", reason=\"no_credential\""));
}

/* A 401 always has a challenge (RFC 9110 §15.5.2), and names what would be taken, each once. */
static void challenges_name_what_is_accepted(void **state)
{
    (void)state;
    static const struct {
        uint8_t bit;
        const char *scheme;
    } schemes[] = {{SCHEME_BEARER, "Bearer "}, {SCHEME_APIKEY, "ApiKey "}, {SCHEME_SIGNATURE, "Signature "}};
    for (uint8_t accepted = 0; accepted < 16; accepted++) {
        char out[CHALLENGE_MAX + 1], body[PROBLEM_MAX + 1];
        size_t n = problem_challenge(REASON_CALLER_NOT_ACCEPTED, accepted, out, CHALLENGE_MAX);
        out[n] = 0;
        assert_true(challenge_is_well_formed(str_make(out, n), STR("caller_not_accepted")));
        for (size_t i = 0; accepted && i < ARRAY_LEN(schemes); i++) {
            const char *at = strstr(out, schemes[i].scheme);
            assert_int_equal(at != NULL, (accepted & schemes[i].bit) != 0);
            if (at) assert_null(strstr(at + 1, schemes[i].scheme));
        }
        assert_int_equal(strstr(out, "Certificate ") != NULL, accepted == SCHEME_CERTIFICATE);
        struct problem p = {.reason = REASON_CALLER_NOT_ACCEPTED, .gate = 1, .accepted = accepted};
        body[problem_body(&p, body, PROBLEM_MAX)] = 0;
        assert_int_equal(strstr(body, "mutual TLS") != NULL, (accepted & SCHEME_CERTIFICATE) != 0);
        p.reason = REASON_TOKEN_EXPIRED; /* what is wrong with a token, no certificate mends */
        body[problem_body(&p, body, PROBLEM_MAX)] = 0;
        assert_null(strstr(body, "mutual TLS"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_its_document),
        cmocka_unit_test(dev_mode_tells_the_rule),
        cmocka_unit_test(challenges_carry_the_code),
        cmocka_unit_test(challenges_name_what_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
