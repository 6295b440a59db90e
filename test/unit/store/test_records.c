#include "unit.h"

#include "store/apikey_record.h"
#include "store/product_record.h"
#include "store/revocation_record.h"
#include "store/session_record.h"
#include "store/signing_key_record.h"
#include "store/user_record.h"

static struct arena mem;

static int start(void **state)
{
    (void)state;
    arena_init(&mem, NULL, 0, RECORD_ARENA);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    arena_reset(&mem);
    return 0;
}

static const str roles[] = {STR_INIT("buyer"), STR_INIT("orders:read")};

static struct user_record a_user(void)
{
    return (struct user_record){.sub = STR("staff/alice"),
                                .password = STR("$argon2id$x"),
                                .roles = roles,
                                .n_roles = 2,
                                .disabled = true,
                                .created_ms = 1,
                                .changed_ms = 2,
                                .password_ms = 3};
}

static struct session_record a_session(void)
{
    struct session_record s = {.sub = STR("staff/alice"),
                               .base = STR("staff"),
                               .name = STR("alice"),
                               .product = STR("web"),
                               .client = STR("a \"browser\" \xc3\xa9"),
                               .created_ms = 1,
                               .used_ms = 2,
                               .rotated_ms = 3,
                               .generation = 4,
                               .has_previous = true,
                               .successor = STR("v1.x"),
                               .expires_s = 5};
    memset(s.current, 0xab, sizeof s.current);
    memset(s.previous, 0xcd, sizeof s.previous);
    return s;
}

static void what_is_put_is_read(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, RECORD_MAX);

    struct user_record u = a_user(), u2;
    assert_err(user_record_put(&b, &u), ERR_OK);
    assert_str(buf_str(&b),
               STR("{\"sub\":\"staff/alice\",\"password\":\"$argon2id$x\",\"roles\":[\"buyer\","
                   "\"orders:read\"],\"permissions\":[],\"disabled\":true,\"created_ms\":1,\"changed_ms\":2,"
                   "\"password_ms\":3}"));
    assert_err(user_record_read(buf_str(&b), &mem, &u2), ERR_OK);
    assert_str(u2.sub, u.sub);
    assert_str(u2.password, u.password);
    assert_int_equal(u2.n_roles, 2);
    assert_str(u2.roles[1], roles[1]);
    assert_true(u2.disabled);
    assert_int_equal(u2.password_ms, 3);

    u.deleted_ms = 9;
    buf_clear(&b);
    assert_err(user_record_put(&b, &u), ERR_OK);
    assert_str(buf_str(&b), STR("{\"sub\":\"staff/alice\",\"deleted_ms\":9}"));
    assert_err(user_record_read(buf_str(&b), &mem, &u2), ERR_OK);
    assert_int_equal(u2.deleted_ms, 9);
    assert_int_equal(u2.password.n, 0);

    struct session_record s = a_session(), s2;
    buf_clear(&b);
    assert_err(session_record_put(&b, &s), ERR_OK);
    assert_err(session_record_read(buf_str(&b), &mem, &s2), ERR_OK);
    assert_str(s2.client, s.client);
    assert_memory_equal(s2.current, s.current, SHA256_LEN);
    assert_memory_equal(s2.previous, s.previous, SHA256_LEN);
    assert_int_equal(s2.generation, 4);
    assert_int_equal(s2.expires_s, 5);

    struct signing_key_record k = {.alg = ALG_ES256,
                                   .state = SIGNING_KEY_OLD,
                                   .jwk = STR("v1.x"),
                                   .created_ms = 1,
                                   .sign_from_ms = 2,
                                   .retired_ms = 3,
                                   .verify_until_s = 4},
                              k2;
    buf_clear(&b);
    assert_err(signing_key_record_put(&b, &k), ERR_OK);
    assert_err(signing_key_record_read(buf_str(&b), &mem, &k2), ERR_OK);
    assert_int_equal(k2.alg, k.alg);
    assert_int_equal(k2.state, k.state);
    assert_int_equal(k2.verify_until_s, 4);

    struct product_record p = {.auth = PRODUCT_RECORD_TOKEN,
                               .login = PRODUCT_RECORD_LOGIN_PASSWORD,
                               .users = STR("staff"),
                               .proof = PRODUCT_RECORD_PROOF_SIGNATURE,
                               .may = roles,
                               .n_may = 2,
                               .created_ms = 7},
                          p2;
    buf_clear(&b);
    assert_err(product_record_put(&b, &p), ERR_OK);
    assert_err(product_record_read(buf_str(&b), &mem, &p2), ERR_OK);
    assert_int_equal(p2.proof, p.proof);
    assert_int_equal(p2.auth, p.auth);
    assert_str(p2.users, p.users);
    assert_int_equal(p2.n_may, 2);

    struct apikey_record a = {.product = STR("web"),
                              .created_ms = 1,
                              .expires_s = 2,
                              .disabled = STR("lost"),
                              .label = STR("ci")},
                         a2;
    buf_clear(&b);
    assert_err(apikey_record_put(&b, &a), ERR_OK);
    assert_err(apikey_record_read(buf_str(&b), &mem, &a2), ERR_OK);
    assert_str(a2.disabled, a.disabled);
    assert_int_equal(a2.expires_s, 2);

    struct revocation_record v = {.before_s = 11, .reason = STR("lost laptop"), .by = STR("uid 0"), .at_ms = 12}, v2;
    buf_clear(&b);
    assert_err(revocation_record_put(&b, &v), ERR_OK);
    assert_err(revocation_record_read(buf_str(&b), &mem, &v2), ERR_OK);
    assert_int_equal(v2.before_s, 11);
    assert_str(v2.reason, v.reason);
    buf_free(&b);
}

static void what_is_none_of_ours(void **state)
{
    static const char *const users[] = {"",
                                        "[]",
                                        "{}",
                                        "{\"sub\":1}",
                                        "{\"sub\":\"\",\"created_ms\":1,\"changed_ms\":1}",
                                        "{\"sub\":\"a/b/c\",\"created_ms\":1,\"changed_ms\":1}",
                                        "{\"sub\":\"users/a\",\"created_ms\":1,\"changed_ms\":1}",
                                        "{\"sub\":\"A\",\"created_ms\":1,\"changed_ms\":1}",
                                        "{\"sub\":\"a\",\"created_ms\":-1,\"changed_ms\":1}",
                                        "{\"sub\":\"a\",\"created_ms\":1.5,\"changed_ms\":1}",
                                        "{\"sub\":\"a\",\"created_ms\":\"1\",\"changed_ms\":1}",
                                        "{\"sub\":\"a\",\"created_ms\":1,\"changed_ms\":1,\"roles\":\"x\"}",
                                        "{\"sub\":\"a\",\"created_ms\":1,\"changed_ms\":1,\"roles\":[1]}",
                                        "{\"sub\":\"a\",\"created_ms\":1,\"changed_ms\":1,\"roles\":[\"a b\"]}",
                                        "{\"sub\":\"a\",\"created_ms\":1,\"changed_ms\":1,\"roles\":[\"\"]}",
                                        "{\"sub\":\"a\",\"created_ms\":1,\"changed_ms\":1,\"disabled\":1}",
                                        "{\"sub\":\"a\",\"sub\":\"a\",\"created_ms\":1,\"changed_ms\":1}"};
    static const char *const keys[] =
        {"{\"alg\":\"HS256\",\"state\":\"next\",\"jwk\":\"x\",\"created_ms\":1,\"sign_from_ms\":1}",
         "{\"alg\":\"none\",\"state\":\"next\",\"jwk\":\"x\",\"created_ms\":1,\"sign_from_ms\":1}",
         "{\"alg\":\"ES256\",\"state\":\"past\",\"jwk\":\"x\",\"created_ms\":1,\"sign_from_ms\":1}",
         "{\"alg\":\"ES256\",\"state\":\"next\",\"created_ms\":1,\"sign_from_ms\":1}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        struct user_record u;
        if (user_record_read(str_of(users[i]), &mem, &u) == ERR_OK) fail_msg("taken: %s", users[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct signing_key_record k;
        if (signing_key_record_read(str_of(keys[i]), &mem, &k) == ERR_OK) fail_msg("taken: %s", keys[i]);
    }
    struct session_record s = a_session();
    struct buf b;
    buf_init(&b, RECORD_MAX);
    s.name = STR("bob"); /* whose subject is another's */
    assert_err(session_record_put(&b, &s), ERR_MALFORMED);
    struct user_record u = a_user();
    u.sub = STR("nobody at all");
    assert_err(user_record_put(&b, &u), ERR_MALFORMED);
    assert_int_equal(b.n, 0);
    buf_free(&b);
    /* members that a later version may add are passed over */
    assert_err(user_record_read(STR("{\"sub\":\"a\",\"created_ms\":1,\"changed_ms\":1,\"later\":{\"x\":[1]}}"), &mem,
                                &u),
               ERR_OK);
}

static void names(void **state)
{
    static const struct {
        const char *in, *want;
    } cases[] = {{"Alice", "alice"}, {"a.b_c@d+e-9", "a.b_c@d+e-9"},
                 {"", NULL},         {"a b", NULL},
                 {"a/b", NULL},      {"\xc3\xa9", NULL},
                 {"a:b", NULL},      {"a%b", NULL}};
    char room[USER_NAME_MAX], longest[USER_NAME_MAX + 1], subject[USER_SUBJECT_MAX];
    str folded, base, name;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum err e = user_name_fold(str_of(cases[i].in), room, &folded);
        if ((e == ERR_OK) != (cases[i].want != NULL)) fail_msg("%s: %s", cases[i].in, err_name(e));
        if (e == ERR_OK) assert_str(folded, str_of(cases[i].want));
    }
    memset(longest, 'x', sizeof longest);
    assert_err(user_name_fold(str_make(longest, USER_NAME_MAX), room, &folded), ERR_OK);
    assert_err(user_name_fold(str_make(longest, USER_NAME_MAX + 1), room, &folded), ERR_MALFORMED);
    assert_str(user_subject(subject, STR("users"), STR("alice")), STR("alice"));
    assert_str(user_subject(subject, STR("staff"), STR("alice")), STR("staff/alice"));
    assert_err(user_of_subject(STR("staff/alice"), &base, &name), ERR_OK);
    assert_str(base, STR("staff"));
    assert_err(user_of_subject(STR("staff"), &base, &name), ERR_OK);
    assert_str(base, STR("users"));
    assert_err(user_of_subject(STR("users/alice"), &base, &name), ERR_MALFORMED); /* one subject, one spelling */
    assert_err(user_of_subject(STR("/alice"), &base, &name), ERR_MALFORMED);
    assert_err(user_of_subject(STR("a/b/c"), &base, &name), ERR_MALFORMED);
    assert_true(user_base_ok(STR("a-9")));
    assert_false(user_base_ok(STR("9a")));
    assert_false(user_base_ok(STR("")));
    assert_false(user_base_ok(STR("A")));
}

static void keys_of_records(void **state)
{
    struct record_key k;
    str base, name, sid;
    (void)state;
    assert_str(user_record_key(&k, STR("users"), STR("alice")), STR("user/users/alice"));
    assert_err(user_record_key_read(str_make(k.p, k.n), &base, &name), ERR_OK);
    assert_str(name, STR("alice"));
    assert_err(user_record_key_read(STR("user/users/"), &base, &name), ERR_MALFORMED);
    assert_err(user_record_key_read(STR("user/users/a/b"), &base, &name), ERR_MALFORMED);
    assert_str(user_record_prefix(&k, STR("users")), STR("user/users/"));
    assert_str(record_key_end(&k, STR("user/users/")), STR("user/users0"));
    /* the sessions of "staff" in the base "users" are not those of staff/… */
    assert_str(session_of_prefix(&k, STR("users"), STR("staff")), STR("session-of/users/staff/"));
    assert_err(session_key_read(STR("session/0123456789abcdeF"), &sid), ERR_OK);
    assert_err(session_key_read(STR("session-of/users/a/0123456789abcdeF"), &sid), ERR_OK);
    assert_str(sid, STR("0123456789abcdeF"));
    assert_err(session_key_read(STR("session/0123456789abcde"), &sid), ERR_MALFORMED);
    assert_err(session_key_read(STR("session/0123456789abcde-"), &sid), ERR_MALFORMED);
    static char big[STORE_KEY_MAX];
    memset(big, 'x', sizeof big);
    assert_int_equal(product_record_key(&k, str_make(big, sizeof big)).n, 0);
}

static void refresh_tokens(void **state)
{
    static const char good[] = "sr_0123456789abcdeF_0123456789abcdef0123456789abcdef";
    char text[REFRESH_TOKEN_LEN];
    str sid, secret;
    (void)state;
    assert_err(refresh_token_read(str_of(good), &sid, &secret), ERR_OK);
    assert_str(sid, STR("0123456789abcdeF"));
    refresh_token_put(text, sid, secret);
    assert_memory_equal(text, good, sizeof text);
    for (size_t i = 0; i < sizeof good - 1; i++) {
        char bad[sizeof good];
        assert_err(refresh_token_read(str_make(good, i), &sid, &secret), ERR_MALFORMED);
        memcpy(bad, good, sizeof good);
        bad[i] = '-';
        assert_err(refresh_token_read(str_of(bad), &sid, &secret), ERR_MALFORMED);
    }
    assert_err(refresh_token_read(STR("sr_0123456789abcdeF_0123456789abcdef0123456789abcdefx"), &sid, &secret),
               ERR_MALFORMED);
}

static void revocations(void **state)
{
    static const struct {
        struct revocation_target t;
        const char *want;
    } cases[] = {{{REVOCATION_TOKEN, STR_INIT(""), STR_INIT("01ARZ3")}, "revoked/token/01ARZ3"},
                 {{REVOCATION_SESSION, STR_INIT(""), STR_INIT("0123456789abcdeF")}, "revoked/session/0123456789abcdeF"},
                 {{REVOCATION_USER, STR_INIT("authentication"), STR_INIT("staff/alice")},
                  "revoked/user/authentication/staff%2Falice"},
                 {{REVOCATION_USER, STR_INIT("corp"), STR_INIT("a b%\xc3\xa9")}, "revoked/user/corp/a%20b%25%C3%A9"},
                 {{REVOCATION_PRODUCT, STR_INIT(""), STR_INIT("web")}, "revoked/product/web"},
                 {{REVOCATION_ALL, STR_INIT(""), STR_INIT("")}, "revoked/all/"}};
    static const char *const bad[] =
        {"revoked/",           "revoked/token",     "revoked/token/",    "revoked/nothing/x",  "revoked/user/alice",
         "revoked/user/corp/", "revoked/all/x",     "revoked/token/a%2", "revoked/token/a%2f", "revoked/token/a%41",
         "revoked/token/a b",  "revoked/token/a/b", "apikey/x"};
    struct record_key k;
    struct revocation_target t;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        str key = revocation_record_key(&k, &cases[i].t);
        assert_str(key, str_of(cases[i].want));
        assert_err(revocation_record_key_read(key, &mem, &t), ERR_OK);
        assert_int_equal(t.kind, cases[i].t.kind);
        assert_str(t.value, cases[i].t.value);
        assert_str(t.issuer, cases[i].t.issuer);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (revocation_record_key_read(str_of(bad[i]), &mem, &t) == ERR_OK) fail_msg("taken: %s", bad[i]);
    assert_int_equal(revocation_record_key(&k, &(struct revocation_target){REVOCATION_TOKEN, STR(""), STR("")}).n, 0);
    assert_int_equal(revocation_record_key(&k, &(struct revocation_target){REVOCATION_ALL, STR(""), STR("x")}).n, 0);
    assert_int_equal(revocation_record_key(&k, &(struct revocation_target){REVOCATION_USER, STR(""), STR("x")}).n, 0);
    static char big[300];
    memset(big, ' ', sizeof big);
    assert_int_equal(
        revocation_record_key(&k, &(struct revocation_target){REVOCATION_TOKEN, STR(""), str_make(big, 300)}).n, 0);
}

static void published_keys(void **state)
{
    struct buf b;
    const struct json *jwks;
    uint64_t turn;
    (void)state;
    buf_init(&b, RECORD_MAX);
    assert_err(issuer_keys_put(&b, STR("{\"keys\":[]}"), 7), ERR_OK);
    assert_str(buf_str(&b), STR("{\"turn\":7,\"jwks\":{\"keys\":[]}}"));
    assert_err(issuer_keys_read(buf_str(&b), &mem, &jwks, &turn), ERR_OK);
    assert_int_equal(turn, 7);
    assert_err(issuer_keys_read(STR("{\"jwks\":[]}"), &mem, &jwks, NULL), ERR_MALFORMED);
    buf_free(&b);
}

static void no_memory(void **state)
{
    (void)state;
    struct session_record s = a_session(), s2;
    struct user_record u = a_user(), u2;
    EACH_ALLOC_FAILING({
        struct buf b;
        struct arena m;
        buf_init(&b, RECORD_MAX);
        arena_init(&m, NULL, 0, RECORD_ARENA);
        enum err e = session_record_put(&b, &s);
        if (e == ERR_OK) e = session_record_read(buf_str(&b), &m, &s2);
        if (e == ERR_OK) {
            buf_clear(&b);
            e = user_record_put(&b, &u);
        }
        if (e == ERR_OK) e = user_record_read(buf_str(&b), &m, &u2);
        assert_true(e == ERR_OK || e == ERR_NO_MEMORY);
        assert_true(e == ERR_OK || alloc_fail_hit());
        arena_reset(&m);
        buf_free(&b);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(what_is_put_is_read, start, stop),
                                       cmocka_unit_test_setup_teardown(what_is_none_of_ours, start, stop),
                                       cmocka_unit_test(names),
                                       cmocka_unit_test(keys_of_records),
                                       cmocka_unit_test(refresh_tokens),
                                       cmocka_unit_test_setup_teardown(revocations, start, stop),
                                       cmocka_unit_test_setup_teardown(published_keys, start, stop),
                                       cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
