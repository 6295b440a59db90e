/* What a payload must say: times, issuer, audience, subject, kind. The same payloads in jws mode may be anything. */
#include "profile.h"

/* What the payload says, `…` being the members that are good anyway. */
struct claim_row {
    const char *name, *members;
    enum jwt_fault want;
};

static void check_rows(const struct claim_row *rows, size_t n, const char *rest)
{
    for (size_t i = 0; i < n; i++) {
        static char payload[4096];
        snprintf(payload, sizeof payload, "{%s%s}", rows[i].members, rest);
        if (!*rows[i].members) snprintf(payload, sizeof payload, "{%s}", rest + 1);
        str token = forge(&profile_text, profile_signers[ALG_ES256], ES256_HEADER, payload);
        expect_fault(rows[i].name, profile_check(token), rows[i].want);
        expect_fault(rows[i].name, profile_check_jws(token), JWT_FAULT_NONE); /* the payload may be anything */
    }
}

static void times_are_exact(void **state)
{
    (void)state;
    static const struct claim_row rows[] = {
        {"a minute left", "\"exp\":1700000060", JWT_FAULT_NONE},
        {"a second left", "\"exp\":1700000001", JWT_FAULT_NONE},
        {"half a second left", "\"exp\":1700000000.5", JWT_FAULT_NONE},
        {"a nanosecond left", "\"exp\":1700000000.000000001", JWT_FAULT_NONE},
        {"at the second", "\"exp\":1700000000", JWT_FAULT_EXPIRED},
        {"at the second, as a fraction", "\"exp\":1700000000.0", JWT_FAULT_EXPIRED},
        {"at the second, with an exponent", "\"exp\":17e8", JWT_FAULT_EXPIRED},
        {"with an exponent", "\"exp\":17.00000001e8", JWT_FAULT_NONE},
        {"half a second ago", "\"exp\":1699999999.5", JWT_FAULT_EXPIRED},
        {"a second ago", "\"exp\":1699999999", JWT_FAULT_EXPIRED},
        {"zero", "\"exp\":0", JWT_FAULT_EXPIRED},
        {"minus zero", "\"exp\":-0", JWT_FAULT_EXPIRED},
        {"negative", "\"exp\":-1700000060", JWT_FAULT_EXPIRED},
        {"no exp", "", JWT_FAULT_EXP},
        {"exp null", "\"exp\":null", JWT_FAULT_EXP},
        {"exp a string", "\"exp\":\"1700000060\"", JWT_FAULT_EXP},
        {"exp a list", "\"exp\":[1700000060]", JWT_FAULT_EXP},
        {"exp true", "\"exp\":true", JWT_FAULT_EXP},
        {"far future", "\"exp\":9007199254740991", JWT_FAULT_NONE},
        {"2^53", "\"exp\":9007199254740992", JWT_FAULT_EXP},
        {"2^63", "\"exp\":9223372036854775808", JWT_FAULT_EXP},
        {"2^64 + a bit", "\"exp\":18446744075409551676", JWT_FAULT_EXP},
        {"infinite", "\"exp\":1e400", JWT_FAULT_EXP},
        {"minus infinite", "\"exp\":-1e400", JWT_FAULT_EXP},
        {"almost nothing", "\"exp\":1e-400", JWT_FAULT_EXPIRED},
        {"Infinity", "\"exp\":Infinity", JWT_FAULT_PAYLOAD},
        {"NaN", "\"exp\":NaN", JWT_FAULT_PAYLOAD},
        {"hex", "\"exp\":0x6553f13c", JWT_FAULT_PAYLOAD},
        {"plus", "\"exp\":+1700000060", JWT_FAULT_PAYLOAD},
        {"leading zero", "\"exp\":01700000060", JWT_FAULT_PAYLOAD},
        {"31 characters", "\"exp\":1700000060.00000000000000000000", JWT_FAULT_PAYLOAD},
        {"nbf now", "\"exp\":1700000060,\"nbf\":1700000000", JWT_FAULT_NONE},
        {"nbf long ago", "\"exp\":1700000060,\"nbf\":-5", JWT_FAULT_NONE},
        {"nbf in half a second", "\"exp\":1700000060,\"nbf\":1700000000.5", JWT_FAULT_NOT_YET},
        {"nbf in a second", "\"exp\":1700000060,\"nbf\":1700000001", JWT_FAULT_NOT_YET},
        {"nbf a string", "\"exp\":1700000060,\"nbf\":\"1\"", JWT_FAULT_TIME},
        {"nbf null", "\"exp\":1700000060,\"nbf\":null", JWT_FAULT_TIME},
        {"nbf too large", "\"exp\":1700000060,\"nbf\":1e300", JWT_FAULT_TIME},
        {"iat now", "\"exp\":1700000060,\"iat\":1700000000", JWT_FAULT_NONE},
        {"iat in half a second", "\"exp\":1700000060,\"iat\":1700000000.5", JWT_FAULT_ISSUED_LATER},
        {"iat in a second", "\"exp\":1700000060,\"iat\":1700000001", JWT_FAULT_ISSUED_LATER},
        {"iat a string", "\"exp\":1700000060,\"iat\":\"1\"", JWT_FAULT_TIME},
        {"exp twice", "\"exp\":1,\"exp\":1700000060", JWT_FAULT_PAYLOAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static const char rest[] = ",\"iss\":\"https://idp.example\",\"aud\":\"api\",\"sub\":\"alice\"";
        struct claim_row row = rows[i];
        check_rows(&row, 1, rest);
    }
}

static void leeway_is_for_exp_and_skew_for_the_rest(void **state)
{
    (void)state;
    static const struct {
        const char *times;
        enum jwt_fault want;
    } rows[] = {
        {"\"exp\":1699999941", JWT_FAULT_NONE},
        {"\"exp\":1699999940.5", JWT_FAULT_NONE},
        {"\"exp\":1699999940", JWT_FAULT_EXPIRED},
        {"\"exp\":1700000060,\"nbf\":1700000005", JWT_FAULT_NONE},
        {"\"exp\":1700000060,\"nbf\":1700000005.1", JWT_FAULT_NOT_YET},
        {"\"exp\":1700000060,\"iat\":1700000005", JWT_FAULT_NONE},
        {"\"exp\":1700000060,\"iat\":1700000006", JWT_FAULT_ISSUED_LATER},
    };
    struct jwt_expect expect = {.typ = TYP_LEGACY, .leeway_s = 60, .skew_s = 5};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char payload[200];
        snprintf(payload, sizeof payload, "{\"sub\":\"alice\",%s}", rows[i].times);
        expect_fault(payload,
                     profile_check_with(profile_every, &expect,
                                        forge(&profile_text, profile_signers[ALG_ES256], ES256_HEADER, payload)),
                     rows[i].want);
    }
    static const int64_t nonsense[] = {-1, INT64_MAX, INT64_MIN, (int64_t)1 << 53};
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        expect.leeway_s = nonsense[i];
        expect_fault("leeway",
                     profile_check_with(profile_every, &expect,
                                        forge(&profile_text, profile_signers[ALG_ES256], ES256_HEADER, GOOD_PAYLOAD)),
                     JWT_FAULT_TIME);
    }
}

static void issuer_and_audience_are_exact(void **state)
{
    (void)state;
    static const struct claim_row rows[] = {
        {"good", "\"iss\":\"https://idp.example\",\"aud\":\"api\"", JWT_FAULT_NONE},
        {"another issuer", "\"iss\":\"https://evil.example\",\"aud\":\"api\"", JWT_FAULT_ISS},
        {"a slash more", "\"iss\":\"https://idp.example/\",\"aud\":\"api\"", JWT_FAULT_ISS},
        {"another case", "\"iss\":\"https://IDP.example\",\"aud\":\"api\"", JWT_FAULT_ISS},
        {"a prefix", "\"iss\":\"https://idp.exampl\",\"aud\":\"api\"", JWT_FAULT_ISS},
        {"NUL behind", "\"iss\":\"https://idp.example\\u0000\",\"aud\":\"api\"", JWT_FAULT_ISS},
        {"a list", "\"iss\":[\"https://idp.example\"],\"aud\":\"api\"", JWT_FAULT_ISS},
        {"no issuer", "\"aud\":\"api\"", JWT_FAULT_ISS},
        {"issuer null", "\"iss\":null,\"aud\":\"api\"", JWT_FAULT_ISS},
        {"among others", "\"iss\":\"https://idp.example\",\"aud\":[\"a\",\"api\",\"b\"]", JWT_FAULT_NONE},
        {"not among others", "\"iss\":\"https://idp.example\",\"aud\":[\"a\",\"b\"]", JWT_FAULT_AUD},
        {"empty list", "\"iss\":\"https://idp.example\",\"aud\":[]", JWT_FAULT_AUD},
        {"a number in the list", "\"iss\":\"https://idp.example\",\"aud\":[\"api\",1]", JWT_FAULT_AUD},
        {"a list in the list", "\"iss\":\"https://idp.example\",\"aud\":[[\"api\"]]", JWT_FAULT_AUD},
        {"an object", "\"iss\":\"https://idp.example\",\"aud\":{\"api\":\"api\"}", JWT_FAULT_AUD},
        {"no audience", "\"iss\":\"https://idp.example\"", JWT_FAULT_AUD},
        {"audience null", "\"iss\":\"https://idp.example\",\"aud\":null", JWT_FAULT_AUD},
        {"empty audience", "\"iss\":\"https://idp.example\",\"aud\":\"\"", JWT_FAULT_AUD},
        {"several in a string", "\"iss\":\"https://idp.example\",\"aud\":\"api other\"", JWT_FAULT_AUD},
        {"another case", "\"iss\":\"https://idp.example\",\"aud\":\"API\"", JWT_FAULT_AUD},
        {"a prefix", "\"iss\":\"https://idp.example\",\"aud\":\"api2\"", JWT_FAULT_AUD},
    };
    check_rows(rows, ARRAY_LEN(rows), ",\"sub\":\"alice\",\"exp\":1700000060");
    static const struct jwt_expect nobody = {.typ = TYP_LEGACY};
    static const struct claim_row unasked[] = {
        {"neither", "\"x\":1", JWT_FAULT_NONE},
        {"any", "\"iss\":\"a\",\"aud\":\"b\"", JWT_FAULT_NONE},
        {"issuer a number", "\"iss\":1", JWT_FAULT_ISS},
        {"audience a number", "\"aud\":1", JWT_FAULT_AUD},
        {"audience with a number", "\"aud\":[\"a\",1]", JWT_FAULT_AUD},
    };
    for (size_t i = 0; i < ARRAY_LEN(unasked); i++) {
        char payload[200];
        snprintf(payload, sizeof payload, "{%s,\"sub\":\"alice\",\"exp\":1700000060}", unasked[i].members);
        expect_fault(unasked[i].name,
                     profile_check_with(profile_every, &nobody,
                                        forge(&profile_text, profile_signers[ALG_ES256], ES256_HEADER, payload)),
                     unasked[i].want);
    }
}

static void subjects_are_names(void **state)
{
    (void)state;
    static const struct claim_row rows[] = {
        {"good", "\"sub\":\"alice\"", JWT_FAULT_NONE},
        {"one character", "\"sub\":\"a\"", JWT_FAULT_NONE},
        {"an address", "\"sub\":\"auth0|1,2:3%41@x\"", JWT_FAULT_NONE},
        {"UTF-8", "\"sub\":\"J\xc3\xbcrgen \xf0\x9f\x98\x80\"", JWT_FAULT_NONE},
        {"escaped", "\"sub\":\"\\ud83d\\ude00\"", JWT_FAULT_NONE},
        {"none", "\"x\":1", JWT_FAULT_SUB},
        {"empty", "\"sub\":\"\"", JWT_FAULT_SUB},
        {"blank", "\"sub\":\"   \"", JWT_FAULT_SUB},
        {"blank in Unicode", "\"sub\":\"\xc2\xa0\xe2\x80\x83\xe3\x80\x80\"", JWT_FAULT_SUB},
        {"null", "\"sub\":null", JWT_FAULT_SUB},
        {"number", "\"sub\":1", JWT_FAULT_SUB},
        {"list", "\"sub\":[\"alice\"]", JWT_FAULT_SUB},
        {"object", "\"sub\":{\"a\":1}", JWT_FAULT_SUB},
        {"CR", "\"sub\":\"alice\\r\"", JWT_FAULT_SUB},
        {"LF", "\"sub\":\"alice\\nX-User-Roles: admin\"", JWT_FAULT_SUB},
        {"NUL", "\"sub\":\"alice\\u0000\"", JWT_FAULT_SUB},
        {"tab", "\"sub\":\"a\\tb\"", JWT_FAULT_SUB},
        {"escape", "\"sub\":\"\\u001b[2J\"", JWT_FAULT_SUB},
        {"DEL", "\"sub\":\"a\\u007f\"", JWT_FAULT_SUB},
        {"C1", "\"sub\":\"a\\u0085b\"", JWT_FAULT_SUB},
    };
    check_rows(rows, ARRAY_LEN(rows), ",\"iss\":\"https://idp.example\",\"aud\":\"api\",\"exp\":1700000060");
    static const char *const letters[] = {"a", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t l = 0; l < ARRAY_LEN(letters); l++)
        for (int n = 255; n <= 258; n++) {
            struct buf b;
            buf_init(&b, 4096);
            buf_puts(&b, "{\"iss\":\"https://idp.example\",\"aud\":\"api\",\"exp\":1700000060,\"sub\":\"");
            for (int i = 0; i < n; i++) buf_puts(&b, letters[l]);
            buf_puts(&b, "\"}");
            expect_fault(letters[l],
                         profile_check(
                             forge_bytes(&profile_text, profile_signers[ALG_ES256], STR(ES256_HEADER), buf_str(&b))),
                         n <= 256 ? JWT_FAULT_NONE : JWT_FAULT_SUB);
            buf_free(&b);
        }
}

static void other_kinds_of_tokens_are_refused(void **state)
{
    (void)state;
    static const struct claim_row rows[] = {
        {"ID token", "\"nonce\":\"n\"", JWT_FAULT_KIND},
        {"ID token of a hybrid flow", "\"c_hash\":\"n\"", JWT_FAULT_KIND},
        {"ID token with the access token's hash", "\"at_hash\":\"n\"", JWT_FAULT_KIND},
        {"nonce null", "\"nonce\":null", JWT_FAULT_KIND},
        {"Keycloak ID", "\"typ\":\"ID\"", JWT_FAULT_KIND},
        {"Keycloak refresh", "\"typ\":\"Refresh\"", JWT_FAULT_KIND},
        {"Keycloak offline", "\"typ\":\"Offline\"", JWT_FAULT_KIND},
        {"Keycloak access", "\"typ\":\"Bearer\"", JWT_FAULT_NONE},
        {"Cognito ID", "\"token_use\":\"id\"", JWT_FAULT_KIND},
        {"Cognito access", "\"token_use\":\"access\"", JWT_FAULT_NONE},
        {"logout token", "\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}", JWT_FAULT_KIND},
        {"jti", "\"jti\":\"1\"", JWT_FAULT_NONE},
        {"jti a number", "\"jti\":1", JWT_FAULT_CLAIM},
    };
    check_rows(rows, ARRAY_LEN(rows),
               ",\"sub\":\"alice\",\"iss\":\"https://idp.example\",\"aud\":\"api\",\"exp\":1700000060");
}

static void payloads_are_strict_objects(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "\"alice\"",
        "1",
        (GOOD_PAYLOAD "x"),
        (GOOD_PAYLOAD GOOD_PAYLOAD),
        ("\xef\xbb\xbf" GOOD_PAYLOAD),
        "{\"sub\":\"a\",\"sub\":\"b\"}",
        "{\"a\":\"\xc0\xaf\"}",
        "{\"a\":\"\\udc00\"}",
        "{'a':1}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":1,}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        str token = forge(&profile_text, profile_signers[ALG_ES256], ES256_HEADER, bad[i]);
        expect_fault(bad[i], profile_check(token), JWT_FAULT_PAYLOAD);
        expect_fault(bad[i], profile_check_jws(token), JWT_FAULT_NONE);
    }
    str token = forge_bytes(&profile_text, profile_signers[ALG_ES256], STR(ES256_HEADER), str_make("\0\xff\x80{", 4));
    expect_fault("bytes", profile_check(token), JWT_FAULT_PAYLOAD);
    expect_fault("bytes", profile_check_jws(token), JWT_FAULT_NONE);
}

/* Nothing behind the signature decides anything before it: claims that are all wrong do not even get a word. */
static void the_signature_comes_before_the_claims(void **state)
{
    (void)state;
    str token =
        forge(&profile_text, profile_signers[ALG_ES384], ES256_HEADER, "{\"exp\":1,\"iss\":\"evil\",\"nonce\":1}");
    expect_fault("signature first", profile_check(token), JWT_FAULT_SIGNATURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_exact),
        cmocka_unit_test(leeway_is_for_exp_and_skew_for_the_rest),
        cmocka_unit_test(issuer_and_audience_are_exact),
        cmocka_unit_test(subjects_are_names),
        cmocka_unit_test(other_kinds_of_tokens_are_refused),
        cmocka_unit_test(payloads_are_strict_objects),
        cmocka_unit_test(the_signature_comes_before_the_claims),
    };
    return cmocka_run_group_tests(tests, profile_set_up, profile_tear_down);
}
