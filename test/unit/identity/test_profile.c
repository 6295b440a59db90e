/* Form, header, key and signature, class by class, in both modes. */
#include "profile.h"

/* Signed by i, named as j, algorithm of k: good only if all three are the same. */
static void every_key_against_every_token(void **state)
{
    (void)state;
    for (unsigned i = 1; i < ALG_COUNT; i++)
        for (unsigned j = 1; j < ALG_COUNT; j++)
            for (unsigned k = 1; k < ALG_COUNT; k++) {
                char header[100], name[60];
                snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg_name((enum alg)k),
                         alg_name((enum alg)j));
                snprintf(name, sizeof name, "%s signs, kid %s, alg %s", alg_name((enum alg)i), alg_name((enum alg)j),
                         alg_name((enum alg)k));
                enum jwt_fault want = i == j && j == k ? JWT_FAULT_NONE
                                      : j == k         ? JWT_FAULT_SIGNATURE
                                                       : JWT_FAULT_KEY_MISMATCH;
                str token = forge(&profile_text, profile_signers[i], header, GOOD_PAYLOAD);
                expect_fault(name, profile_check(token), want);
                expect_fault(name, profile_check_jws(token), want);
            }
}

static void the_form_is_three_parts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *token;
        enum jwt_fault want;
    } rows[] = {
        {"nothing", "", JWT_FAULT_FORM},
        {"a word", "token", JWT_FAULT_FORM},
        {"two parts", "e30.e30", JWT_FAULT_FORM},
        {"four parts", "e30.e30.e30.e30", JWT_FAULT_FORM},
        {"five parts", "e30.e30.e30.e30.e30", JWT_FAULT_ENCRYPTED},
        {"six parts", "e30.e30.e30.e30.e30.e30", JWT_FAULT_FORM},
        {"only dots", "..", JWT_FAULT_HEADER},
        {"five empty parts", "....", JWT_FAULT_ENCRYPTED},
        {"an empty object", "e30.e30.", JWT_FAULT_HEADER},
        {"JSON form", "{\"payload\":\"e30\"}", JWT_FAULT_FORM},
        {"garbage", "abc.def.ghi", JWT_FAULT_HEADER},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        expect_fault(rows[i].name, profile_check(str_of(rows[i].token)), rows[i].want);
        expect_fault(rows[i].name, profile_check_jws(str_of(rows[i].token)), rows[i].want);
    }
}

static void headers_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *name, *header;
        enum jwt_fault want;
    } rows[] = {
        {"good", ES256_HEADER, JWT_FAULT_NONE},
        {"blanks", " { \"alg\" : \"ES256\" ,\n\"kid\":\"ES256\"}\t", JWT_FAULT_NONE},
        {"escapes", "{\"\\u0061lg\":\"ES\\u0032\\u003556\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"escapes that fit", "{\"\\u0061lg\":\"ES2\\u00356\",\"kid\":\"ES256\"}", JWT_FAULT_NONE},
        {"none", "{\"alg\":\"none\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"None", "{\"alg\":\"None\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"NONE", "{\"alg\":\"NONE\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"nOnE", "{\"alg\":\"nOnE\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"none and a blank", "{\"alg\":\"none \",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"none and NUL", "{\"alg\":\"none\\u0000\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"empty", "{\"alg\":\"\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"lower case", "{\"alg\":\"es256\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"a blank before", "{\"alg\":\" ES256\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"NUL behind", "{\"alg\":\"ES256\\u0000\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"ES256K", "{\"alg\":\"ES256K\",\"kid\":\"ES256\"}", JWT_FAULT_ALG},
        {"no alg", "{\"kid\":\"ES256\"}", JWT_FAULT_HEADER},
        {"Alg", "{\"Alg\":\"ES256\",\"kid\":\"ES256\"}", JWT_FAULT_HEADER},
        {"alg null", "{\"alg\":null,\"kid\":\"ES256\"}", JWT_FAULT_HEADER},
        {"alg a list", "{\"alg\":[\"ES256\"],\"kid\":\"ES256\"}", JWT_FAULT_HEADER},
        {"alg twice", "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"ES256\"}", JWT_FAULT_HEADER},
        {"alg twice, once escaped", "{\"alg\":\"none\",\"\\u0061lg\":\"ES256\",\"kid\":\"ES256\"}", JWT_FAULT_HEADER},
        {"a duplicate deep inside", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"x\":{\"a\":1,\"a\":1}}", JWT_FAULT_HEADER},
        {"trailing bytes", ES256_HEADER "x", JWT_FAULT_HEADER},
        {"two values", ES256_HEADER ES256_HEADER, JWT_FAULT_HEADER},
        {"trailing comma", "{\"alg\":\"ES256\",\"kid\":\"ES256\",}", JWT_FAULT_HEADER},
        {"byte order mark", "\xef\xbb\xbf" ES256_HEADER, JWT_FAULT_HEADER},
        {"bad UTF-8", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"x\":\"\xff\"}", JWT_FAULT_HEADER},
        {"lone surrogate", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"x\":\"\\ud800\"}", JWT_FAULT_HEADER},
        {"huge number", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"x\":1111111111111111111111111111111}",
         JWT_FAULT_HEADER},
        {"30 digits", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"x\":111111111111111111111111111111}", JWT_FAULT_NONE},
        {"a list", "[\"ES256\"]", JWT_FAULT_HEADER},
        {"a string", "\"ES256\"", JWT_FAULT_HEADER},
        {"kid a number", "{\"alg\":\"ES256\",\"kid\":1}", JWT_FAULT_HEADER},
        {"kid null", "{\"alg\":\"ES256\",\"kid\":null}", JWT_FAULT_HEADER},
        {"kid empty", "{\"alg\":\"ES256\",\"kid\":\"\"}", JWT_FAULT_UNKNOWN_KID},
        {"kid a path", "{\"alg\":\"ES256\",\"kid\":\"../../etc/passwd\"}", JWT_FAULT_UNKNOWN_KID},
        {"kid SQL", "{\"alg\":\"ES256\",\"kid\":\"ES256' OR '1'='1\"}", JWT_FAULT_UNKNOWN_KID},
        {"kid and NUL", "{\"alg\":\"ES256\",\"kid\":\"ES256\\u0000\"}", JWT_FAULT_UNKNOWN_KID},
        {"kid in lower case", "{\"alg\":\"ES256\",\"kid\":\"es256\"}", JWT_FAULT_UNKNOWN_KID},
        {"no kid, one key fits", "{\"alg\":\"ES256\"}", JWT_FAULT_NONE},
        {"crit", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"crit\":[\"exp\"],\"exp\":1}", JWT_FAULT_CRIT},
        {"crit empty", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"crit\":[]}", JWT_FAULT_CRIT},
        {"crit null", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"crit\":null}", JWT_FAULT_CRIT},
        {"b64 false", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}", JWT_FAULT_CRIT},
        {"b64 true", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"b64\":true}", JWT_FAULT_CRIT},
        {"zip", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"zip\":\"DEF\"}", JWT_FAULT_CRIT},
        {"enc", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"enc\":\"A128GCM\"}", JWT_FAULT_CRIT},
        {"JWE algorithm", "{\"alg\":\"PBES2-HS256+A128KW\",\"p2c\":2147483647}", JWT_FAULT_ALG},
        {"addresses are not followed",
         "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"jku\":\"https://evil.example\",\"x5u\":\"https://evil.example\","
         "\"x5c\":[\"AA==\"],\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"}}",
         JWT_FAULT_NONE},
        {"typ JWT", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"JWT\"}", JWT_FAULT_NONE},
        {"typ jwt", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"jwt\"}", JWT_FAULT_NONE},
        {"typ at+jwt", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"at+jwt\"}", JWT_FAULT_NONE},
        {"typ AT+JWT", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"AT+JWT\"}", JWT_FAULT_NONE},
        {"typ application/at+jwt", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"application/at+jwt\"}",
         JWT_FAULT_NONE},
        {"typ JOSE", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"JOSE\"}", JWT_FAULT_NONE},
        {"typ empty", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"\"}", JWT_FAULT_TYP},
        {"typ with a blank", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"JWT \"}", JWT_FAULT_TYP},
        {"typ null", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":null}", JWT_FAULT_HEADER},
        {"typ a list", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":[\"JWT\"]}", JWT_FAULT_HEADER},
        {"transaction token", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"txntoken+jwt\"}", JWT_FAULT_TYP},
        {"DPoP proof", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"dpop+jwt\"}", JWT_FAULT_TYP},
        {"logout token", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"logout+jwt\"}", JWT_FAULT_TYP},
        {"security event", "{\"alg\":\"ES256\",\"kid\":\"ES256\",\"typ\":\"secevent+jwt\"}", JWT_FAULT_TYP},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        str token = forge(&profile_text, profile_signers[ALG_ES256], rows[i].header, GOOD_PAYLOAD);
        expect_fault(rows[i].name, profile_check(token), rows[i].want);
        expect_fault(rows[i].name, profile_check_jws(token), rows[i].want);
    }
    expect_fault("Ed25519 by its other name",
                 profile_check(forge(&profile_text, profile_signers[ALG_EDDSA],
                                     "{\"alg\":\"Ed25519\",\"kid\":\"EdDSA\"}", GOOD_PAYLOAD)),
                 JWT_FAULT_NONE);
}

/* Two keys under one name, or without one: neither is taken, whichever of them signed. */
static void ambiguous_keys_are_not_guessed_among(void **state)
{
    (void)state;
    static const struct {
        const char *kids[2], *header;
        enum jwt_fault want;
    } rows[] = {
        {{"a", "a"}, "{\"alg\":\"EdDSA\",\"kid\":\"a\"}", JWT_FAULT_KEY_AMBIGUOUS},
        {{"a", "b"}, "{\"alg\":\"EdDSA\",\"kid\":\"a\"}", JWT_FAULT_NONE},
        {{"a", "b"}, "{\"alg\":\"EdDSA\",\"kid\":\"b\"}", JWT_FAULT_SIGNATURE},
        {{"a", "b"}, "{\"alg\":\"EdDSA\"}", JWT_FAULT_KEY_AMBIGUOUS},
        {{"", ""}, "{\"alg\":\"EdDSA\"}", JWT_FAULT_KEY_AMBIGUOUS},
        {{"", ""}, "{\"alg\":\"EdDSA\",\"kid\":\"\"}", JWT_FAULT_UNKNOWN_KID},
    };
    struct signer *other;
    assert_err(signer_generate(ALG_EDDSA, 0, &other), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static const struct jwt_expect expect = {.typ = TYP_LEGACY};
        struct keyset *set;
        struct buf b;
        buf_init(&b, 4096);
        buf_puts(&b, "{\"keys\":[");
        jwk_put(&b, profile_signers[ALG_EDDSA], str_of(rows[i].kids[0]), false);
        buf_putc(&b, ',');
        jwk_put(&b, other, str_of(rows[i].kids[1]), false);
        buf_puts(&b, "]}");
        assert_err(keyset_from_jwks(buf_str(&b), false, &set, NULL), ERR_OK);
        str token = forge(&profile_text, profile_signers[ALG_EDDSA], rows[i].header, GOOD_PAYLOAD);
        expect_fault(rows[i].header, profile_check_with(set, &expect, token), rows[i].want);
        keyset_unref(&set);
        buf_free(&b);
    }
    signer_free(&other);
}

static void at_jwt_takes_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *typ;
        enum jwt_fault want;
    } rows[] = {
        {"", JWT_FAULT_TYP},
        {",\"typ\":\"JWT\"", JWT_FAULT_TYP},
        {",\"typ\":\"JOSE\"", JWT_FAULT_TYP},
        {",\"typ\":\"at+jwt\"", JWT_FAULT_NONE},
        {",\"typ\":\"At+Jwt\"", JWT_FAULT_NONE},
        {",\"typ\":\"application/at+jwt\"", JWT_FAULT_NONE},
        {",\"typ\":\"application/jwt\"", JWT_FAULT_TYP},
        {",\"typ\":\"rt+jwt\"", JWT_FAULT_TYP},
    };
    static const struct jwt_expect expect = {.typ = TYP_AT_JWT};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char header[100];
        snprintf(header, sizeof header, "{\"alg\":\"ES256\"%s}", rows[i].typ);
        expect_fault(header,
                     profile_check_with(profile_every, &expect,
                                        forge(&profile_text, profile_signers[ALG_ES256], header, GOOD_PAYLOAD)),
                     rows[i].want);
    }
}

/* Somebody takes a public key, in whatever spelling, for an HMAC secret. */
static void a_public_key_is_no_secret(void **state)
{
    (void)state;
    struct signer_numbers n = signer_numbers(profile_signers[ALG_RS256]);
    static char pem[2048];
    struct buf b;
    buf_init(&b, 4096);
    buf_puts(&b, " -----BEGIN PUBLIC KEY-----\n");
    forge_part(&b, n.rsa.n.p, n.rsa.n.n);
    buf_puts(&b, "\n-----END PUBLIC KEY-----\n");
    memcpy(pem, b.p, b.n);
    const str secrets[] = {str_make(pem, b.n), str_make(pem + 1, b.n - 1), n.rsa.n, str_make(n.rsa.n.p, 64),
                           STR("{\"kty\":\"RSA\",\"n\":\"…\",\"e\":\"AQAB\"} and so on")};
    static const enum alg algs[] = {ALG_HS256, ALG_HS384, ALG_HS512};
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        for (size_t a = 0; a < ARRAY_LEN(algs); a++) {
            struct signer *s;
            char header[100];
            if (signer_new_hmac(secrets[i], algs[a], &s) != ERR_OK) continue;
            static const char *const kids[] = {"RS256", "ES256", "EdDSA"};
            for (size_t k = 0; k < ARRAY_LEN(kids); k++) {
                snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", alg_name(algs[a]), kids[k]);
                expect_fault(header, profile_check(forge(&profile_text, s, header, GOOD_PAYLOAD)),
                             JWT_FAULT_KEY_MISMATCH);
            }
            snprintf(header, sizeof header, "{\"alg\":\"%s\"}", alg_name(algs[a]));
            static const struct jwt_expect any = {.typ = TYP_LEGACY};
            expect_fault(header,
                         profile_check_with(profile_public, &any, forge(&profile_text, s, header, GOOD_PAYLOAD)),
                         JWT_FAULT_UNKNOWN_KID);
            signer_free(&s);
        }
    buf_free(&b);
}

static void base64url_is_canonical(void **state)
{
    (void)state;
    str good = forge(&profile_text, profile_signers[ALG_ES256], ES256_HEADER, GOOD_PAYLOAD);
    static char room[4096];
    size_t dots[2], n = 0;
    for (size_t i = 0; i < good.n; i++)
        if (good.p[i] == '.') dots[n++] = i;
    assert_int_equal(profile_check(good), JWT_FAULT_NONE);
    static const char *const insertions[] = {"=", "==", " ", "\n", "\t", "+", "/", "%", "\xff", "A", "AAA"};
    const size_t places[] = {0, dots[0], dots[0] + 1, dots[1], dots[1] + 1, good.n};
    for (size_t i = 0; i < ARRAY_LEN(insertions); i++)
        for (size_t p = 0; p < ARRAY_LEN(places); p++) {
            size_t k = strlen(insertions[i]);
            memcpy(room, good.p, places[p]);
            memcpy(room + places[p], insertions[i], k);
            memcpy(room + places[p] + k, good.p + places[p], good.n - places[p]);
            assert_int_not_equal(profile_check(str_make(room, good.n + k)), JWT_FAULT_NONE);
        }
    /* every other character in every place: also those that only change the unused bits at the end of a part */
    memcpy(room, good.p, good.n);
    for (size_t i = 0; i < good.n; i++)
        for (unsigned c = 0; c < 256; c += i % 3 ? 1 : 1 + c % 5) {
            char was = room[i];
            if ((char)c == was) continue;
            room[i] = (char)c;
            assert_int_not_equal(profile_check(str_make(room, good.n)), JWT_FAULT_NONE);
            room[i] = was;
        }
    for (size_t i = 0; i < good.n; i++) assert_int_not_equal(profile_check(str_first(good, i)), JWT_FAULT_NONE);
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    static char payload[20000];
    for (size_t pad = 11900; pad < 12300; pad++) {
        size_t n = (size_t)snprintf(payload, sizeof payload,
                                    "{\"sub\":\"alice\",\"exp\":1700000060,\"iss\":"
                                    "\"https://idp.example\",\"aud\":\"api\",\"x\":\"");
        memset(payload + n, 'x', pad);
        memcpy(payload + n + pad, "\"}", 3);
        str token = forge(&profile_text, profile_signers[ALG_HS256], "{\"alg\":\"HS256\",\"kid\":\"HS256\"}", payload);
        expect_fault("long", profile_check(token), token.n <= TOKEN_MAX_LEN ? JWT_FAULT_NONE : JWT_FAULT_SIZE);
    }
    static char deep[400];
    for (int depth = 30; depth <= 34; depth++) {
        struct buf b;
        buf_init(&b, sizeof deep);
        buf_puts(&b, "{\"sub\":\"alice\",\"exp\":1700000060,\"iss\":\"https://idp.example\",\"aud\":\"api\",\"x\":");
        for (int i = 1; i < depth; i++) buf_putc(&b, '[');
        for (int i = 1; i < depth; i++) buf_putc(&b, ']');
        buf_putc(&b, '}');
        expect_fault("deep",
                     profile_check(
                         forge_bytes(&profile_text, profile_signers[ALG_ES256], STR(ES256_HEADER), buf_str(&b))),
                     depth <= 32 ? JWT_FAULT_NONE : JWT_FAULT_PAYLOAD);
        buf_free(&b);
    }
    for (int claims = 254; claims <= 258; claims++) {
        struct buf b;
        buf_init(&b, 16000);
        buf_puts(&b, "{\"sub\":\"alice\",\"exp\":1700000060,\"iss\":\"https://idp.example\",\"aud\":\"api\"");
        for (int i = 4; i < claims; i++) buf_printf(&b, ",\"c%d\":1", i);
        buf_putc(&b, '}');
        expect_fault("claims",
                     profile_check(
                         forge_bytes(&profile_text, profile_signers[ALG_ES256], STR(ES256_HEADER), buf_str(&b))),
                     claims <= 256 ? JWT_FAULT_NONE : JWT_FAULT_PAYLOAD);
        buf_free(&b);
    }
    for (int audiences = 62; audiences <= 66; audiences++) {
        struct buf b;
        buf_init(&b, 16000);
        buf_puts(&b, "{\"sub\":\"alice\",\"exp\":1700000060,\"iss\":\"https://idp.example\",\"aud\":[\"api\"");
        for (int i = 1; i < audiences; i++) buf_printf(&b, ",\"a%d\"", i);
        buf_puts(&b, "]}");
        expect_fault("audiences",
                     profile_check(
                         forge_bytes(&profile_text, profile_signers[ALG_ES256], STR(ES256_HEADER), buf_str(&b))),
                     audiences <= 64 ? JWT_FAULT_NONE : JWT_FAULT_AUD);
        buf_free(&b);
    }
}

static void good_tokens_fit_into_the_arena_promised(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 16000);
    buf_puts(&b, "{\"sub\":\"alice\",\"exp\":1700000060,\"iss\":\"https://idp.example\",\"aud\":\"api\"");
    for (int i = 0; i < 15; i++) {
        buf_printf(&b, ",\"%c\":[0", 'a' + i);
        for (int j = 1; j < 256; j++) buf_puts(&b, ",0");
        buf_putc(&b, ']');
    }
    buf_putc(&b, '}');
    expect_fault("many values",
                 profile_check(forge_bytes(&profile_text, profile_signers[ALG_ES256], STR(ES256_HEADER), buf_str(&b))),
                 JWT_FAULT_NONE);
    buf_free(&b);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    static const struct jwt_expect expect = {.typ = TYP_LEGACY};
    str token = forge(&profile_text, profile_signers[ALG_ES256], ES256_HEADER, GOOD_PAYLOAD);
    EACH_ALLOC_FAILING({
        struct arena mem;
        struct verify_ctx *fresh = NULL;
        enum jwt_fault fault = JWT_FAULT_NONE;
        arena_init(&mem, NULL, 0, 1 << 20);
        enum err e = verify_ctx_new(&fresh);
        if (e == ERR_OK) e = jwt_check(fresh, profile_every, &expect, token, NOW, &mem, &fault);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && alloc_fail_hit()));
        assert_true(fault == JWT_FAULT_NONE || fault == JWT_FAULT_MEMORY);
        verify_ctx_free(&fresh);
        arena_reset(&mem);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_against_every_token),
        cmocka_unit_test(the_form_is_three_parts),
        cmocka_unit_test(headers_are_exact),
        cmocka_unit_test(ambiguous_keys_are_not_guessed_among),
        cmocka_unit_test(at_jwt_takes_nothing_else),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(base64url_is_canonical),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(good_tokens_fit_into_the_arena_promised),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, profile_set_up, profile_tear_down);
}
