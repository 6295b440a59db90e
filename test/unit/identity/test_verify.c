/* Tokens of a request: which issuer, which of its keys, and what it may say of its users. */
#include "forge.h"

#include "identity/verify.h"

enum { NOW = 1700000000, ISSUERS = 3 };

static struct signer *corp_key, *partner_key, *hmac_key;
static struct keyset *keysets[ISSUERS];
static struct issuer issuers[ISSUERS];
static struct verify_ctx *ctx;
static struct arena config_mem;
static struct buf text;

static struct keyset *public_set(const struct signer *s, str kid)
{
    struct buf b;
    struct keyset *set;
    buf_init(&b, 4096);
    jwks_put(&b, s, kid);
    assert_err(keyset_from_jwks(buf_str(&b), false, &set, NULL), ERR_OK);
    buf_free(&b);
    return set;
}

static struct claim_paths paths(size_t n, const char *const *from)
{
    struct claim_path *v = arena_array(&config_mem, n, sizeof *v);
    for (size_t i = 0; i < n; i++) assert_err(claim_path_parse(&config_mem, str_of(from[i]), &v[i]), ERR_OK);
    return (struct claim_paths){v, (uint32_t)n};
}

static struct name_set names(size_t n, const str *from)
{
    struct name_set s;
    assert_err(name_set_make(&config_mem, from, n, false, &s), ERR_OK);
    return s;
}

static void describe(uint32_t index, const char *name, const char *iss, uint32_t algs, enum typ_rule typ)
{
    static const str audiences[] = {STR_INIT("api"), STR_INIT("https://api.example")};
    issuers[index] = (struct issuer){
        .index = index,
        .name = str_of(name),
        .prefix = str_of(name),
        .iss = str_of(iss),
        .audiences = audiences,
        .n_audiences = ARRAY_LEN(audiences),
        .algs = algs,
        .typ = typ,
        .roles.any = true,
        .permissions.any = true,
        .user = paths(1, (const char *const[]){"sub"}),
        .client = paths(2, (const char *const[]){"client_id", "azp"}),
        .roles_paths = paths(2, (const char *const[]){"roles", "realm_access.roles"}),
        .permissions_paths = paths(2, (const char *const[]){"permissions", "scope"}),
    };
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&config_mem, NULL, 0, 1 << 20);
    buf_init(&text, 1 << 20);
    assert_err(verify_ctx_new(&ctx), ERR_OK);
    assert_err(signer_generate(ALG_ES256, 0, &corp_key), ERR_OK);
    assert_err(signer_generate(ALG_EDDSA, 0, &partner_key), ERR_OK);
    assert_err(signer_generate(ALG_HS256, 0, &hmac_key), ERR_OK);
    keysets[0] = public_set(corp_key, STR("c1"));
    keysets[1] = public_set(partner_key, STR("p1"));
    assert_err(keyset_from_secret(signer_numbers(hmac_key).secret, ALGS_SYMMETRIC, &keysets[2]), ERR_OK);
    describe(0, "corp", "https://corp.example", ALGS_PUBLIC, TYP_AT_JWT);
    describe(1, "partner", "https://partner.example", ALGS_OKP, TYP_LEGACY);
    describe(2, "hmac", "https://hmac.example", 1u << ALG_HS256, TYP_LEGACY);
    issuers[0].prefix = STR_NONE;
    issuers[1].roles = names(2, (str[]){STR("buyer"), STR("guest")});
    issuers[1].permissions = names(1, (str[]){STR("orders:read")});
    issuers[1].products = names(1, (str[]){STR("shop")});
    issuers[2].products = names(2, (str[]){STR("shop"), STR("app")});
    issuers[2].product = paths(1, (const char *const[]){"https://x.example/product"});
    issuers[2].leeway_s = 30;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    signer_free(&corp_key);
    signer_free(&partner_key);
    signer_free(&hmac_key);
    for (int i = 0; i < ISSUERS; i++) keyset_unref(&keysets[i]);
    verify_ctx_free(&ctx);
    arena_reset(&config_mem);
    buf_free(&text);
    return 0;
}

static const struct issuer *find(const void *of, str iss)
{
    (void)of;
    for (int i = 0; i < ISSUERS; i++)
        if (str_eq(issuers[i].iss, iss)) return &issuers[i];
    return NULL;
}

static struct verifier verifier(void)
{
    return (
        struct verifier){.ctx = ctx, .find = find, .keysets = keysets, .n_keysets = ISSUERS, .skew_s = TOKEN_SKEW_S};
}

static const struct {
    const char *header, *iss;
} kinds[] = {
    {"{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}", "https://corp.example"},
    {"{\"alg\":\"EdDSA\",\"kid\":\"p1\"}", "https://partner.example"},
    {"{\"alg\":\"HS256\",\"kid\":\"any\"}", "https://hmac.example"},
};

/* A good token of issuer `i` but for `more` (",\"roles\":[]"). */
static str token_of(int i, const char *more)
{
    static char payload[16384];
    struct signer *const s[] = {corp_key, partner_key, hmac_key};
    snprintf(payload, sizeof payload, "{\"iss\":\"%s\",\"aud\":\"api\",\"sub\":\"alice\",\"exp\":1700000060%s}",
             kinds[i].iss, more);
    return forge(&text, s[i], kinds[i].header, payload);
}

static enum jwt_fault verify(str token, struct arena *mem, struct claims *out)
{
    struct verifier v = verifier();
    struct jwt_refusal why = {0};
    arena_init(mem, NULL, 0, token_arena_need(token.n));
    enum err e = access_token_verify(&v, token, NOW, mem, out, &why);
    assert_true((e == ERR_OK) == (why.fault == JWT_FAULT_NONE));
    return why.fault;
}

static enum jwt_fault fault_of(str token)
{
    struct arena mem;
    struct claims c;
    enum jwt_fault f = verify(token, &mem, &c);
    arena_reset(&mem);
    return f;
}

static void expect_fault(const char *name, enum jwt_fault got, enum jwt_fault want)
{
    if (got != want) fail_msg("%s: %s, want %s", name, jwt_fault_name(got), jwt_fault_name(want));
}

static void a_good_token_says_who_it_is(void **state)
{
    (void)state;
    struct arena mem;
    struct claims c;
    str token = token_of(0, ",\"jti\":\"j1\",\"iat\":1699999990,\"client_id\":\"app\",\"azp\":\"other\","
                            "\"roles\":[\"buyer\",\"admin\"],\"scope\":\"orders:read  orders:write openid\"");
    expect_fault("good", verify(token, &mem, &c), JWT_FAULT_NONE);
    assert_int_equal(c.issuer, 0);
    assert_str(c.sub, STR("alice"));
    assert_str(c.client, STR("app"));
    assert_str(c.product, STR(""));
    assert_int_equal(c.n_roles, 2);
    assert_str(c.roles[0], STR("buyer"));
    assert_str(c.roles[1], STR("admin"));
    assert_int_equal(c.n_permissions, 3);
    assert_str(c.permissions[0], STR("orders:read"));
    assert_str(c.permissions[1], STR("orders:write"));
    assert_str(c.permissions[2], STR("openid"));
    assert_int_equal(c.filtered, 0);
    assert_int_equal(c.exp_s, 1700000060);
    assert_int_equal(c.iat_s, 1699999990);
    assert_str(c.jti, STR("j1"));
    assert_str(c.kid, STR("c1"));
    assert_int_equal(c.alg, ALG_ES256);
    assert_int_equal(c.keyset, keyset_serial(keysets[0]));
    arena_reset(&mem);
}

static void each_issuer_has_its_own_keys(void **state)
{
    (void)state;
    struct signer *const s[] = {corp_key, partner_key, hmac_key};
    for (int i = 0; i < ISSUERS; i++)
        for (int j = 0; j < ISSUERS; j++)
            for (int k = 0; k < ISSUERS; k++) {
                char payload[200];
                snprintf(payload, sizeof payload,
                         "{\"iss\":\"%s\",\"aud\":\"api\",\"sub\":\"alice\",\"exp\":1700000060}", kinds[i].iss);
                enum jwt_fault f = fault_of(forge(&text, s[j], kinds[k].header, payload));
                if ((f == JWT_FAULT_NONE) != (i == j && j == k))
                    fail_msg("iss %d, key %d, header %d: %s", i, j, k, jwt_fault_name(f));
            }
}

static void what_is_missing_is_told(void **state)
{
    (void)state;
    struct verifier v = verifier();
    struct arena mem;
    struct jwt_refusal why;
    struct claims c;
    arena_init(&mem, NULL, 0, 1 << 20);
    struct keyset *without[ISSUERS] = {keysets[0], NULL, keysets[2]};
    v.keysets = without;
    assert_err(access_token_verify(&v, token_of(1, ""), NOW, &mem, &c, &why), ERR_AGAIN);
    expect_fault("not loaded", why.fault, JWT_FAULT_KEYS_UNAVAILABLE);
    assert_true(why.has_issuer);
    assert_int_equal(why.issuer, 1);
    assert_str(why.unverified_kid, STR("p1"));
    v.n_keysets = 1; /* a snapshot with more issuers than the worker has heard keys of */
    assert_err(access_token_verify(&v, token_of(2, ""), NOW, &mem, &c, &why), ERR_AGAIN);
    assert_int_equal(why.issuer, 2);
    v = verifier();
    str stranger = forge(&text, corp_key, "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c2\"}",
                         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"alice\",\"exp\":1700000060}");
    assert_err(access_token_verify(&v, stranger, NOW, &mem, &c, &why), ERR_DENIED);
    expect_fault("unknown kid", why.fault, JWT_FAULT_UNKNOWN_KID);
    assert_true(why.has_issuer);
    assert_int_equal(why.issuer, 0);
    assert_str(why.unverified_kid, STR("c2"));
    stranger = forge(&text, corp_key, kinds[0].header, "{\"iss\":\"https://evil.example\",\"exp\":1700000060}");
    assert_err(access_token_verify(&v, stranger, NOW, &mem, &c, &why), ERR_DENIED);
    expect_fault("unknown issuer", why.fault, JWT_FAULT_UNKNOWN_ISSUER);
    assert_false(why.has_issuer);
    arena_reset(&mem);
}

static void the_issuer_rules_header_and_claims(void **state)
{
    (void)state;
    static const struct {
        const char *name, *header, *payload;
        enum jwt_fault want;
    } rows[] = {
        {"legacy typ at an at+jwt issuer", "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060}", JWT_FAULT_TYP},
        {"no typ", "{\"alg\":\"ES256\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060}", JWT_FAULT_TYP},
        {"HS256 at a public issuer", "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060}", JWT_FAULT_ALG},
        {"ES256 at an EdDSA issuer", "{\"alg\":\"ES256\",\"kid\":\"p1\"}",
         "{\"iss\":\"https://partner.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060}", JWT_FAULT_ALG},
        {"no iss", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}", "{\"sub\":\"a\",\"exp\":1700000060}",
         JWT_FAULT_ISS},
        {"iss a list", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":[\"https://corp.example\"],\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060}", JWT_FAULT_ISS},
        {"second audience", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"https://api.example\",\"sub\":\"a\",\"exp\":1700000060}",
         JWT_FAULT_NONE},
        {"no audience", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"sub\":\"a\",\"exp\":1700000060}", JWT_FAULT_AUD},
        {"the client as audience", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"app\",\"azp\":\"app\",\"sub\":\"a\",\"exp\":1700000060}",
         JWT_FAULT_AUD},
        {"skew for iat", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060,\"iat\":1700000005}",
         JWT_FAULT_NONE},
        {"more than skew", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060,\"nbf\":1700000006}",
         JWT_FAULT_NOT_YET},
        {"no leeway", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000000}", JWT_FAULT_EXPIRED},
        {"nonce at an at+jwt issuer is no matter", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060,\"nonce\":\"n\"}",
         JWT_FAULT_NONE},
        {"bound to a key", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060,\"cnf\":{\"jkt\":\"x\"}}",
         JWT_FAULT_BOUND},
        {"bound to nothing", "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"c1\"}",
         "{\"iss\":\"https://corp.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":1700000060,\"cnf\":null}",
         JWT_FAULT_BOUND},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct signer *s = strstr(rows[i].payload, "partner") ? partner_key : corp_key;
        expect_fault(rows[i].name, fault_of(forge(&text, s, rows[i].header, rows[i].payload)), rows[i].want);
    }
    static const struct {
        const char *exp;
        enum jwt_fault want;
        int64_t until;
    } leeway[] = {
        {"1699999971", JWT_FAULT_NONE, 1700000001},
        {"1699999970.5", JWT_FAULT_NONE, 1700000001},
        {"1699999970", JWT_FAULT_EXPIRED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(leeway); i++) {
        char payload[200];
        struct arena mem;
        struct claims c;
        snprintf(payload, sizeof payload, "{\"iss\":\"https://hmac.example\",\"aud\":\"api\",\"sub\":\"a\",\"exp\":%s}",
                 leeway[i].exp);
        expect_fault(leeway[i].exp, verify(forge(&text, hmac_key, kinds[2].header, payload), &mem, &c), leeway[i].want);
        if (leeway[i].want == JWT_FAULT_NONE) assert_int_equal(c.exp_s, leeway[i].until);
        arena_reset(&mem);
    }
}

/* "a|b" of what is left, and how many were left out. */
static void expect_list(const char *name, const str *v, uint32_t n, const char *want)
{
    struct buf b;
    buf_init(&b, 65536);
    for (uint32_t i = 0; i < n; i++) {
        if (i) buf_putc(&b, '|');
        buf_put(&b, v[i]);
    }
    if (!str_eq(buf_str(&b), str_of(want))) fail_msg("%s: \"%.*s\", want \"%s\"", name, STR_ARG(buf_str(&b)), want);
    buf_free(&b);
}

static void roles_and_permissions_are_mapped_and_narrowed(void **state)
{
    (void)state;
    static const struct {
        int issuer;
        const char *more, *roles, *permissions;
        uint32_t filtered;
    } rows[] = {
        {0, "", "", "", 0},
        {0, ",\"roles\":[\"a\",\"b\"]", "a|b", "", 0},
        {0, ",\"roles\":[\"a\",\"b\",\"a\"]", "a|b", "", 0},
        {0, ",\"roles\":\"sales manager\"", "sales manager", "", 0},
        {0, ",\"roles\":[\"a\"],\"realm_access\":{\"roles\":[\"b\",\"a\",\"c\"]}", "a|b|c", "", 0},
        {0, ",\"realm_access\":{\"roles\":[\"b\"]},\"realm_access.roles\":[\"whole\"]", "whole", "", 0},
        {0, ",\"realm_access.roles\":null,\"realm_access\":{\"roles\":[\"b\"]}", "", "", 0},
        {0, ",\"realm_access\":[\"b\"]", "", "", 0},
        {0, ",\"realm_access\":{\"roles\":{\"b\":1}}", "", "", 1},
        {0, ",\"roles\":[\"a\",1,null,{},[\"b\"],\"\"]", "a", "", 5},
        {0, ",\"roles\":{\"admin\":true}", "", "", 1},
        {0, ",\"roles\":true", "", "", 1},
        {0, ",\"roles\":null", "", "", 0},
        {0, ",\"scope\":\"a b\"", "", "a|b", 0},
        {0, ",\"scope\":\"  a   b  \"", "", "a|b", 0},
        {0, ",\"scope\":\"\"", "", "", 0},
        {0, ",\"scope\":[\"a b\",\"c\"]", "", "a b|c", 0},
        {0, ",\"permissions\":[\"x\"],\"scope\":\"a x\"", "", "x|a", 0},
        {0, ",\"permissions\":\"x y\"", "", "x|y", 0},
        {0, ",\"roles\":[\"J\xc3\xbcrgen\",\"a,b\",\"c:d\"]", "J\xc3\xbcrgen|a,b|c:d", "", 0},
        {1, ",\"roles\":[\"buyer\",\"admin\",\"guest\",\"root\"]", "buyer|guest", "", 2},
        {1, ",\"roles\":[\"Buyer\",\"buyer \",\"buye\"]", "", "", 3},
        {1, ",\"scope\":\"openid orders:read orders:write\"", "", "orders:read", 2},
        {1, ",\"roles\":[\"admin\"],\"permissions\":[\"orders:read\"]", "", "orders:read", 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena mem;
        struct claims c;
        expect_fault(rows[i].more, verify(token_of(rows[i].issuer, rows[i].more), &mem, &c), JWT_FAULT_NONE);
        expect_list(rows[i].more, c.roles, c.n_roles, rows[i].roles);
        expect_list(rows[i].more, c.permissions, c.n_permissions, rows[i].permissions);
        if (c.filtered != rows[i].filtered) fail_msg("%s: %u left out", rows[i].more, c.filtered);
        arena_reset(&mem);
    }
}

static void other_claims_that_are_mapped(void **state)
{
    (void)state;
    static const struct {
        int issuer;
        const char *more;
        enum jwt_fault want;
        const char *client, *product;
    } rows[] = {
        {0, ",\"azp\":\"web\"", JWT_FAULT_NONE, "web", ""},
        {0, ",\"client_id\":null,\"azp\":\"web\"", JWT_FAULT_NONE, "web", ""},
        {0, ",\"client_id\":\"\"", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"client_id\":7", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"client_id\":[\"a\"]", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"client_id\":\"a\\nb\"", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"roles\":[\"a\\r\\nX-User-Roles: admin\"]", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"roles\":[\"a\\u0000\"]", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"roles\":[\"a\\u0085\"]", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"roles\":\"a\\tb\"", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"scope\":\"a\\tb\"", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"scope\":\"a b\\u007f\"", JWT_FAULT_CLAIM, "", ""},
        {1, ",\"roles\":[\"not even one of its own\\u0001\"]", JWT_FAULT_CLAIM, "", ""},
        {0, ",\"product\":\"shop\"", JWT_FAULT_NONE, "", ""},
        {1, "", JWT_FAULT_NONE, "", "shop"},
        {1, ",\"product\":\"app\"", JWT_FAULT_NONE, "", "shop"},
        {2, "", JWT_FAULT_NONE, "", ""},
        {2, ",\"https://x.example/product\":\"app\"", JWT_FAULT_NONE, "", "app"},
        {2, ",\"https://x.example/product\":\"bank\"", JWT_FAULT_PRODUCT, "", ""},
        {2, ",\"https://x.example/product\":[\"app\"]", JWT_FAULT_CLAIM, "", ""},
        {2, ",\"https://x\":{\"example/product\":\"app\"}", JWT_FAULT_NONE, "", "app"},
        {2, ",\"nonce\":\"n\"", JWT_FAULT_KIND, "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena mem;
        struct claims c;
        expect_fault(rows[i].more, verify(token_of(rows[i].issuer, rows[i].more), &mem, &c), rows[i].want);
        if (rows[i].want == JWT_FAULT_NONE) {
            assert_str(c.client, str_of(rows[i].client));
            assert_str(c.product, str_of(rows[i].product));
        }
        arena_reset(&mem);
    }
}

static void the_user_may_be_another_claim(void **state)
{
    (void)state;
    struct issuer was = issuers[0];
    issuers[0].user = paths(2, (const char *const[]){"https://x.example/login", "email"});
    static const struct {
        const char *more;
        enum jwt_fault want;
        const char *user;
    } rows[] = {
        {",\"email\":\"alice@x.example\"", JWT_FAULT_NONE, "alice@x.example"},
        {",\"email\":\"a@x.example\",\"https://x.example/login\":\"al\"", JWT_FAULT_NONE, "al"},
        {"", JWT_FAULT_SUB, ""},
        {",\"email\":null", JWT_FAULT_SUB, ""},
        {",\"email\":\"\"", JWT_FAULT_SUB, ""},
        {",\"email\":\" \"", JWT_FAULT_SUB, ""},
        {",\"email\":\"a\\nb\"", JWT_FAULT_SUB, ""},
        {",\"email\":1", JWT_FAULT_SUB, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct arena mem;
        struct claims c;
        expect_fault(rows[i].more, verify(token_of(0, rows[i].more), &mem, &c), rows[i].want);
        if (rows[i].want == JWT_FAULT_NONE) assert_str(c.sub, str_of(rows[i].user));
        arena_reset(&mem);
    }
    issuers[0] = was;
}

static void lists_are_bounded(void **state)
{
    (void)state;
    for (int n = TOKEN_MAX_VALUES - 1; n <= TOKEN_MAX_VALUES + 1; n++) {
        struct buf more;
        struct arena mem;
        struct claims c;
        buf_init(&more, 8192);
        buf_puts(&more, ",\"scope\":\"p0");
        for (int i = 1; i < n; i++) buf_printf(&more, " p%d", i);
        buf_put(&more, str_make("\"\0", 2));
        expect_fault("scope", verify(token_of(0, more.p), &mem, &c),
                     n <= TOKEN_MAX_VALUES ? JWT_FAULT_NONE : JWT_FAULT_CLAIM);
        if (n <= TOKEN_MAX_VALUES) assert_int_equal(c.n_permissions, n);
        arena_reset(&mem);
        buf_free(&more);
    }
}

/* Whatever is cut off or changed in a token: refused, and `out` stays as it was. */
static void nothing_leaves_a_refused_token(void **state)
{
    (void)state;
    str token = token_of(1, ",\"roles\":[\"buyer\"]");
    static char room[2048];
    memcpy(room, token.p, token.n);
    struct verifier v = verifier();
    for (size_t i = 0; i < token.n; i++) {
        struct arena mem;
        struct claims c, before;
        struct jwt_refusal why;
        memset(&c, 0x5a, sizeof c);
        memcpy(&before, &c, sizeof c);
        arena_init(&mem, NULL, 0, 1 << 20);
        assert_true(access_token_verify(&v, str_make(room, i), NOW, &mem, &c, &why) != ERR_OK);
        room[i] ^= 1;
        assert_true(access_token_verify(&v, str_make(room, token.n), NOW, &mem, &c, &why) != ERR_OK);
        room[i] ^= 1;
        assert_memory_equal(&c, &before, sizeof c);
        assert_int_not_equal(why.fault, JWT_FAULT_NONE);
        arena_reset(&mem);
    }
    struct verifier wrong_clock = v;
    struct arena mem;
    struct claims c;
    struct jwt_refusal why;
    arena_init(&mem, NULL, 0, 1 << 20);
    assert_true(access_token_verify(&wrong_clock, token, INT64_MIN, &mem, &c, &why) != ERR_OK);
    assert_true(access_token_verify(&wrong_clock, token, INT64_MAX, &mem, &c, &why) != ERR_OK);
    assert_err(access_token_verify(&v, token, NOW, &mem, &c, &why), ERR_OK);
    arena_reset(&mem);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    str token = token_of(0, ",\"roles\":[\"a\",\"b\"],\"scope\":\"x y\"");
    EACH_ALLOC_FAILING({
        struct verifier v = verifier();
        struct arena mem;
        struct claims c;
        struct jwt_refusal why = {0};
        arena_init(&mem, NULL, 0, 1 << 20);
        v.ctx = NULL;
        enum err e = verify_ctx_new(&v.ctx);
        if (e == ERR_OK) e = access_token_verify(&v, token, NOW, &mem, &c, &why);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && alloc_fail_hit()));
        verify_ctx_free(&v.ctx);
        arena_reset(&mem);
    });
    /* a cap on the arena is a bound of the same kind, wherever it falls */
    for (size_t cap = 0;; cap += 64) {
        struct verifier v = verifier();
        struct arena mem;
        struct claims c;
        struct jwt_refusal why;
        char first[64];
        arena_init(&mem, first, sizeof first, cap);
        enum err e = access_token_verify(&v, token, NOW, &mem, &c, &why);
        arena_reset(&mem);
        if (e == ERR_OK) break;
        assert_err(e, ERR_NO_MEMORY);
        assert_int_equal(why.fault, JWT_FAULT_MEMORY);
        assert_true(cap < token_arena_need(token.n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_says_who_it_is),
        cmocka_unit_test(each_issuer_has_its_own_keys),
        cmocka_unit_test(what_is_missing_is_told),
        cmocka_unit_test(the_issuer_rules_header_and_claims),
        cmocka_unit_test(roles_and_permissions_are_mapped_and_narrowed),
        cmocka_unit_test(other_claims_that_are_mapped),
        cmocka_unit_test(the_user_may_be_another_claim),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(nothing_leaves_a_refused_token),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
