#include "harness.h"

#include "base/clock.h"
#include "crypto/mac.h"
#include "crypto/password.h"
#include "identity/http_signature.h"
#include "identity/http_signature_parse.h"
#include "identity/verify.h"
#include "store/product_record.h"
#include "store/session_record.h"

static struct harness h;

static int start(void **state)
{
    (void)state;
    harness_start(&h, NULL);
    harness_user(&h, "users", "alice", "correct horse", false);
    harness_user(&h, "users", "bob", "correct horse", true);
    harness_user(&h, "users", "nopass", NULL, false);
    harness_user(&h, "staff", "alice", "other horse", false);
    harness_wait_ready(&h);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    harness_stop(&h);
    return 0;
}

static bool says(const struct answer *a, const char *text)
{
    return strstr(a->body, text) != NULL || strstr(a->head, text) != NULL;
}

/* The token holds under what the service publishes. */
static void token_is_good(const char *token, const char *sub, const char *product)
{
    struct verify_ctx *ctx;
    struct keyset *keys;
    struct arena mem;
    enum jwt_fault fault;
    struct unverified_token t;
    struct answer jwks = harness_ask(&h, "GET", "/.well-known/jwks.json", NULL, NULL);
    assert_int_equal(jwks.status, 200);
    assert_err(keyset_from_jwks(str_of(jwks.body), false, &keys, NULL), ERR_OK);
    assert_err(verify_ctx_new(&ctx), ERR_OK);
    arena_init(&mem, NULL, 0, 1 << 20);
    struct jwt_expect expect = {.iss = STR("https://api.example.com"), .aud = STR("api"), .typ = TYP_AT_JWT};
    int64_t now = (int64_t)(loop_wall_ms(h.loop) / 1000);
    assert_err(jwt_check(ctx, keys, &expect, str_of(token), now, &mem, &fault), ERR_OK);
    assert_err(jwt_read_unverified(str_of(token), &mem, &t, &fault), ERR_OK);
    assert_str(json_text(json_get(t.payload, STR("sub"))), str_of(sub));
    assert_str(json_text(json_get(t.payload, STR("product"))), str_of(product));
    assert_str(json_text(json_get(t.payload, STR("client_id"))), str_of(product));
    assert_int_equal(json_get(t.payload, STR("roles"))->count, 1);
    arena_reset(&mem);
    verify_ctx_free(&ctx);
    keyset_unref(&keys);
}

static void a_login_gives_tokens(void **state)
{
    (void)state;
    struct answer a = harness_login(&h, "web", "Alice", "correct horse");
    assert_int_equal(a.status, 200);
    assert_true(says(&a, "Cache-Control: no-store"));
    assert_true(says(&a, "\"token_type\":\"Bearer\",\"expires_in\":600"));
    token_is_good(member(&a, "access_token", 0), "alice", "web");
    str sid, secret;
    assert_err(refresh_token_read(str_of(member(&a, "refresh_token", 1)), &sid, &secret), ERR_OK);
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, STR("session/")), 1);
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, STR("session-of/users/alice/")), 1);
}

static void every_failed_login_looks_the_same(void **state)
{
    static const struct {
        const char *name, *product, *user, *password;
    } cases[] = {{"wrong password", "web", "alice", "wrong"},     {"unknown", "web", "nobody", "correct horse"},
                 {"disabled", "web", "bob", "correct horse"},     {"no password", "web", "nopass", ""},
                 {"another base", "web", "alice", "other horse"}, {"no name", "web", "no body", "x"},
                 {"a slash", "web", "staff/alice", "other horse"}};
    (void)state;
    static char first[65536];
    first[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct answer a = harness_login(&h, cases[i].product, cases[i].user, cases[i].password);
        if (a.status != 401) fail_msg("%s: %d %s", cases[i].name, a.status, a.body);
        char *id = strstr(a.body, "\"decision_id\"");
        assert_non_null(id);
        *id = '\0';
        if (!first[0]) snprintf(first, sizeof first, "%s", a.body);
        assert_string_equal(a.body, first);
        assert_true(says(&a, "reason=\"login_failed\""));
    }
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, STR("session/")), 0);
}

static void bodies_that_are_no_login(void **state)
{
    static const struct {
        const char *name, *body;
        int status;
    } cases[] = {{"empty", "", 400},
                 {"no object", "[]", 400},
                 {"no password", "{\"username\":\"alice\"}", 400},
                 {"a number", "{\"username\":\"alice\",\"password\":1}", 400},
                 {"twice", "{\"username\":\"alice\",\"username\":\"bob\",\"password\":\"x\"}", 400},
                 {"a client that is none", "{\"username\":\"alice\",\"password\":\"x\",\"client\":7}", 400},
                 {"trailing", "{\"username\":\"alice\",\"password\":\"x\"}x", 400}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct answer a = harness_post(&h, "/authentication/login", "web", cases[i].body);
        if (a.status != cases[i].status) fail_msg("%s: %d %s", cases[i].name, a.status, a.body);
    }
    struct answer a = harness_login(&h, "plain", "alice", "correct horse");
    assert_int_equal(a.status, 403);
    a = harness_login(&h, "unknown", "alice", "correct horse");
    assert_int_equal(a.status, 403);
    a = harness_ask(&h, "POST", "/authentication/login", NULL, "{}");
    assert_int_equal(a.status, 403);
    a = harness_ask(&h, "GET", "/authentication/login", NULL, NULL);
    assert_int_equal(a.status, 405);
    assert_true(says(&a, "Allow: POST"));
    a = harness_ask(&h, "GET", "/nowhere", NULL, NULL);
    assert_int_equal(a.status, 404);
}

/* Gives the product an apisecret. */
static void set_secret(const char *product, const char *secret)
{
    struct record_key room, place;
    struct buf value, sealed;
    struct product_secret_record r = {.created_ms = 1};
    sha256(str_of(secret), r.sha256);
    buf_init(&value, RECORD_MAX);
    buf_init(&sealed, RECORD_MAX);
    str where = record_key_join(&place, (const str[]){STR("control"), STR("secret"), str_of(product)}, 3);
    assert_err(seal_put(&h.seal, where, str_of(secret), &sealed), ERR_OK);
    r.mac_key = buf_str(&sealed);
    assert_err(product_secret_put(&value, &r), ERR_OK);
    harness_put(&h, STORE_CONTROL, product_secret_key(&room, str_of(product)), buf_str(&value), 0);
    buf_free(&value);
    buf_free(&sealed);
}

#define STAFF "{\"username\":\"alice\",\"password\":\"other horse\"}"

static void basic_proves_the_product(void **state)
{
    static const struct {
        const char *name, *authorization, *code;
        int status;
    } cases[] =
        {{"none", "", "product_proof_missing", 401},
         {"bearer", "Authorization: Bearer x\r\n", "product_proof_missing", 401},
         /* back:ss_0123456789abcdef */
         {"right", "Authorization: Basic YmFjazpzc18wMTIzNDU2Nzg5YWJjZGVm\r\n", "access_token", 200},
         {"case of the scheme", "Authorization: bAsIc YmFjazpzc18wMTIzNDU2Nzg5YWJjZGVm\r\n", "access_token", 200},
         /* back:ss_0123456789abcdeg */
         {"another secret", "Authorization: Basic YmFjazpzc18wMTIzNDU2Nzg5YWJjZGVn\r\n", "product_proof_wrong", 401},
         /* web:ss_0123456789abcdef */
         {"another product", "Authorization: Basic d2ViOnNzXzAxMjM0NTY3ODlhYmNkZWY=\r\n", "product_proof_wrong", 401},
         {"no base64", "Authorization: Basic !!!!\r\n", "product_proof_wrong", 401},
         {"base64url", "Authorization: Basic YmFj-_==\r\n", "product_proof_wrong", 401},
         {"twice",
          "Authorization: Basic YmFjazpzc18wMTIzNDU2Nzg5YWJjZGVm\r\n"
          "Authorization: Basic YmFjazpzc18wMTIzNDU2Nzg5YWJjZGVm\r\n",
          "product_proof_missing", 401}};
    char fields[512];
    (void)state;
    struct answer a = harness_ask(&h, "POST", "/authentication/login", "X-Product: back\r\n", STAFF);
    assert_int_equal(a.status, 401); /* nobody gave it a secret yet: nothing proves it */
    set_secret("back", "ss_0123456789abcdef");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(fields, sizeof fields, "X-Product: back\r\n%s", cases[i].authorization);
        a = harness_ask(&h, "POST", "/authentication/login", fields, STAFF);
        if (a.status != cases[i].status || !says(&a, cases[i].code))
            fail_msg("%s: %d %s", cases[i].name, a.status, a.body);
    }
    /* refresh and logout ask for it as well */
    snprintf(fields, sizeof fields, "X-Product: back\r\n%s", cases[2].authorization);
    a = harness_ask(&h, "POST", "/authentication/login", fields, STAFF);
    assert_int_equal(harness_refresh(&h, "back", member(&a, "refresh_token", 0)).status, 401);
    char body[256];
    snprintf(body, sizeof body, "{\"refresh_token\":\"%s\"}", member(&a, "refresh_token", 0));
    assert_int_equal(harness_ask(&h, "POST", "/authentication/refresh", fields, body).status, 200);
}

/* The fields of a signed POST to `path`. */
static void signed_fields(char *out, size_t cap, const char *path, const char *body, const char *key, int64_t created,
                          const char *nonce)
{
    struct buf digest, base, mac_text;
    unsigned char mac[SHA256_LEN];
    char params[512];
    buf_init(&digest, 256);
    buf_init(&base, 4096);
    buf_init(&mac_text, 256);
    content_digest_put(&digest, str_of(body));
    snprintf(params, sizeof params,
             "(\"@method\" \"@target-uri\" \"content-digest\");created=%lld;keyid=\"signed\";alg=\"hmac-sha256\";"
             "nonce=\"%s\"",
             (long long)created, nonce);
    buf_printf(&base,
               "\"@method\": POST\n\"@target-uri\": https://api.example.com%s\n\"content-digest\": %.*s\n"
               "\"@signature-params\": %s",
               path, STR_ARG(buf_str(&digest)), params);
    hmac_sha256(str_of(key), buf_str(&base), mac);
    sf_put_bytes(&mac_text, str_make((const char *)mac, sizeof mac));
    snprintf(out, cap,
             "X-Product: signed\r\nX-Forwarded-Host: api.example.com\r\nX-Forwarded-Proto: https\r\n"
             "Content-Digest: %.*s\r\nSignature-Input: sig=%s\r\nSignature: sig=%.*s\r\n",
             STR_ARG(buf_str(&digest)), params, STR_ARG(buf_str(&mac_text)));
    buf_free(&digest);
    buf_free(&base);
    buf_free(&mac_text);
}

static void a_signature_proves_the_product_once(void **state)
{
    static const char body[] = "{\"username\":\"alice\",\"password\":\"correct horse\"}";
    static const char path[] = "/authentication/login";
    char fields[2048];
    (void)state;
    int64_t now = (int64_t)(clock_wall_ms() / 1000);
    set_secret("signed", "ss_0123456789abcdef");
    signed_fields(fields, sizeof fields, path, body, "ss_0123456789abcdef", now, "1");
    assert_int_equal(harness_ask(&h, "POST", path, fields, body).status, 200);
    struct answer a = harness_ask(&h, "POST", path, fields, body);
    assert_int_equal(a.status, 401);
    assert_true(says(&a, "signature_replayed"));
    harness_second(&h); /* another process has not seen it, but the store has */
    harness_wait_ready(&h);
    h.use_second = true;
    a = harness_ask(&h, "POST", path, fields, body);
    assert_int_equal(a.status, 401);
    assert_true(says(&a, "signature_replayed"));
    signed_fields(fields, sizeof fields, path, body, "ss_0123456789abcdeg", now, "2");
    assert_true((a = harness_ask(&h, "POST", path, fields, body), says(&a, "product_proof_wrong")));
    signed_fields(fields, sizeof fields, path, "{}", "ss_0123456789abcdef", now, "3");
    assert_true((a = harness_ask(&h, "POST", path, fields, body), says(&a, "product_proof_wrong")));
    signed_fields(fields, sizeof fields, path, body, "ss_0123456789abcdef", now - 40, "4");
    assert_true((a = harness_ask(&h, "POST", path, fields, body), says(&a, "product_proof_wrong")));
    signed_fields(fields, sizeof fields, "/authentication/logout", body, "ss_0123456789abcdef", now, "5");
    assert_true((a = harness_ask(&h, "POST", path, fields, body), says(&a, "product_proof_wrong")));
    a = harness_login(&h, "signed", "alice", "correct horse");
    assert_true(says(&a, "product_proof_missing"));
}

static void a_refresh_rotates(void **state)
{
    (void)state;
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    const char *first = member(&a, "refresh_token", 0);
    struct answer b = harness_refresh(&h, "web", first);
    assert_int_equal(b.status, 200);
    const char *second = member(&b, "refresh_token", 1);
    assert_string_not_equal(first, second);
    token_is_good(member(&b, "access_token", 2), "alice", "web");
    struct answer again = harness_refresh(&h, "web", first); /* the answer was lost */
    assert_int_equal(again.status, 200);
    assert_string_equal(member(&again, "refresh_token", 3), second);
    struct answer c = harness_refresh(&h, "web", second);
    assert_int_equal(c.status, 200);
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, STR("session/")), 1);
}

static void an_old_token_ends_the_family(void **state)
{
    (void)state;
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    const char *first = member(&a, "refresh_token", 0);
    struct answer b = harness_refresh(&h, "web", first);
    const char *second = member(&b, "refresh_token", 1);
    harness_run(&h, 600); /* behind the grace */
    struct answer c = harness_refresh(&h, "web", first);
    assert_int_equal(c.status, 401);
    assert_true(says(&c, "refresh_reused"));
    c = harness_refresh(&h, "web", second);
    assert_int_equal(c.status, 401);
    assert_true(says(&c, "refresh_invalid"));
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, STR("session/")), 0);
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, STR("session-of/users/alice/")), 0);
    assert_int_equal(harness_count(&h, STORE_CONTROL, STR("revoked/session/")), 1);
}

static void a_token_two_generations_old_is_reuse_at_once(void **state)
{
    (void)state;
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    const char *first = member(&a, "refresh_token", 0);
    struct answer b = harness_refresh(&h, "web", first);
    struct answer c = harness_refresh(&h, "web", member(&b, "refresh_token", 1));
    assert_int_equal(c.status, 200);
    c = harness_refresh(&h, "web", first);
    assert_int_equal(c.status, 401);
    assert_true(says(&c, "refresh_reused"));
}

static void a_guess_ends_nothing(void **state)
{
    char guess[REFRESH_TOKEN_LEN + 1];
    (void)state;
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    const char *good = member(&a, "refresh_token", 0);
    snprintf(guess, sizeof guess, "%s", good);
    guess[strlen(guess) - 1] ^= 1;
    assert_int_equal(harness_refresh(&h, "web", guess).status, 401);
    snprintf(guess, sizeof guess, "%s", good);
    guess[25] = guess[25] == 'a' ? 'b' : 'a';
    assert_int_equal(harness_refresh(&h, "web", guess).status, 401);
    assert_int_equal(harness_refresh(&h, "web", "sr_x").status, 401);
    assert_int_equal(harness_refresh(&h, "web", good).status, 200);
}

static void another_product_cannot_use_it(void **state)
{
    (void)state;
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    const char *good = member(&a, "refresh_token", 0);
    assert_int_equal(harness_refresh(&h, "app", good).status, 401);
    char body[256];
    snprintf(body, sizeof body, "{\"refresh_token\":\"%s\"}", good);
    assert_int_equal(harness_post(&h, "/authentication/logout", "app", body).status, 204);
    assert_int_equal(harness_refresh(&h, "web", good).status, 200);
}

static void fifty_refreshes_make_one_successor(void **state)
{
    enum { N = 50 };
    static struct answer out[N];
    const char *bodies[N];
    char body[256], successor[128];
    (void)state;
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    snprintf(body, sizeof body, "{\"refresh_token\":\"%s\"}", member(&a, "refresh_token", 0));
    for (unsigned i = 0; i < N; i++) bodies[i] = body;
    harness_ask_many(&h, N, "POST", "/authentication/refresh", "X-Product: web\r\n", bodies, out);
    snprintf(successor, sizeof successor, "%s", member(&out[0], "refresh_token", 0));
    for (unsigned i = 0; i < N; i++) {
        if (out[i].status != 200) fail_msg("%u: %s", i, out[i].body);
        assert_string_equal(member(&out[i], "refresh_token", 1), successor);
    }
    assert_int_equal(harness_refresh(&h, "web", successor).status, 200);
}

static void so_do_two_processes(void **state)
{
    char body[256], successor[128];
    static struct answer out[20];
    const char *bodies[20];
    (void)state;
    harness_second(&h);
    harness_wait_ready(&h);
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    snprintf(body, sizeof body, "{\"refresh_token\":\"%s\"}", member(&a, "refresh_token", 0));
    for (unsigned i = 0; i < 20; i++) bodies[i] = body;
    harness_ask_many(&h, 10, "POST", "/authentication/refresh", "X-Product: web\r\n", bodies, out);
    h.use_second = true;
    harness_ask_many(&h, 10, "POST", "/authentication/refresh", "X-Product: web\r\n", bodies, out + 10);
    snprintf(successor, sizeof successor, "%s", member(&out[0], "refresh_token", 0));
    for (unsigned i = 0; i < 20; i++) assert_string_equal(member(&out[i], "refresh_token", 1), successor);
}

static void logout_ends_the_session(void **state)
{
    char body[256];
    (void)state;
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    snprintf(body, sizeof body, "{\"refresh_token\":\"%s\"}", member(&a, "refresh_token", 0));
    assert_int_equal(harness_post(&h, "/authentication/logout", "web", body).status, 204);
    assert_int_equal(harness_post(&h, "/authentication/logout", "web", body).status, 204);
    assert_int_equal(harness_refresh(&h, "web", member(&a, "refresh_token", 0)).status, 401);
    assert_int_equal(harness_count(&h, STORE_CONTROL, STR("revoked/session/")), 1);
}

static void sessions_are_told_and_ended(void **state)
{
    char path[128];
    (void)state;
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    struct answer b = harness_login(&h, "app", "alice", "correct horse");
    str sid, secret;
    assert_err(refresh_token_read(str_of(member(&a, "refresh_token", 0)), &sid, &secret), ERR_OK);
    struct answer list = harness_ask(&h, "GET", "/authentication/sessions", "X-User-ID: alice\r\n", NULL);
    assert_int_equal(list.status, 200);
    assert_true(says(&list, "\"product\":\"web\"") && says(&list, "\"product\":\"app\""));
    snprintf(path, sizeof path, "/authentication/sessions/%.*s", STR_ARG(sid));
    assert_int_equal(harness_ask(&h, "DELETE", path, "X-User-ID: staff%2Falice\r\n", NULL).status, 403);
    assert_int_equal(harness_ask(&h, "DELETE", path, "X-User-ID: staff/alice\r\n", NULL).status, 404);
    assert_int_equal(harness_ask(&h, "DELETE", path, "X-User-ID: corp:alice\r\n", NULL).status, 403);
    assert_int_equal(harness_ask(&h, "DELETE", path, "X-User-ID: alice\r\n", NULL).status, 204);
    assert_int_equal(harness_refresh(&h, "web", member(&a, "refresh_token", 0)).status, 401);
    assert_int_equal(harness_refresh(&h, "app", member(&b, "refresh_token", 0)).status, 200);
    assert_int_equal(harness_ask(&h, "DELETE", "/authentication/sessions", "X-User-ID: alice\r\n", NULL).status, 204);
    assert_int_equal(harness_count(&h, STORE_AUTHENTICATION, STR("session/")), 0);
    list = harness_ask(&h, "GET", "/authentication/sessions", "X-User-ID: alice\r\n", NULL);
    assert_string_equal(list.body, "{\"sessions\":[]}");
}

static void what_happens_to_a_user_ends_refreshing(void **state)
{
    (void)state;
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    harness_run(&h, 20);
    harness_user(&h, "users", "alice", "new horse", false); /* another password */
    assert_int_equal(harness_refresh(&h, "web", member(&a, "refresh_token", 0)).status, 401);
    a = harness_login(&h, "web", "alice", "new horse");
    assert_int_equal(a.status, 200);
    const char *token = member(&a, "refresh_token", 1);
    harness_put(&h, STORE_CONTROL, STR("revoked/user/authentication/alice"),
                STR("{\"before_s\":99999999999,\"at_ms\":1}"), 0);
    assert_int_equal(harness_refresh(&h, "web", token).status, 401);
    harness_delete(&h, STORE_CONTROL, STR("revoked/user/authentication/alice"));
    assert_int_equal(harness_refresh(&h, "web", token).status, 200);
}

static void a_raised_cost_is_paid_at_the_next_login(void **state)
{
    char hash[PASSWORD_HASH_MAX], record[1024];
    (void)state;
    assert_err(password_hash(STR("weak horse"), (struct password_cost){8192, 1}, hash), ERR_OK);
    snprintf(record, sizeof record,
             "{\"sub\":\"carol\",\"password\":\"%s\",\"roles\":[],\"permissions\":[],\"created_ms\":1,\"changed_ms\":1,"
             "\"password_ms\":1}",
             hash);
    harness_put(&h, STORE_IDENTITY, STR("user/users/carol"), str_of(record), 0);
    assert_int_equal(harness_login(&h, "web", "carol", "wrong").status, 401);
    harness_run(&h, 100);
    assert_true(str_eq(harness_get(&h, STORE_IDENTITY, STR("user/users/carol")), str_of(record)));
    struct answer a = harness_login(&h, "web", "carol", "weak horse");
    assert_int_equal(a.status, 200);
    harness_run(&h, 300);
    str now = harness_get(&h, STORE_IDENTITY, STR("user/users/carol"));
    assert_non_null(memmem(now.p, now.n, "m=8192,t=1", 10));
    assert_non_null(memmem(now.p, now.n, "\"password_ms\":1}", 16));
    assert_int_equal(harness_login(&h, "web", "carol", "weak horse").status, 200);
    assert_int_equal(harness_refresh(&h, "web", member(&a, "refresh_token", 0)).status, 200);
}

static void a_crowd_is_told_to_come_back(void **state)
{
    enum { N = 120 };
    static struct answer out[N];
    const char *bodies[N];
    static char text[N][128];
    unsigned good = 0, busy = 0;
    (void)state;
    for (unsigned i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "{\"username\":\"alice\",\"password\":\"correct horse\"}");
        bodies[i] = text[i];
    }
    harness_ask_many(&h, N, "POST", "/authentication/login", "X-Product: web\r\n", bodies, out);
    for (unsigned i = 0; i < N; i++) {
        good += out[i].status == 200;
        if (out[i].status == 503) busy += says(&out[i], "Retry-After: ") && says(&out[i], "passwords_busy");
        if (out[i].status == 429) busy++; /* those under way count as failed until they are not */
    }
    assert_int_equal(good + busy, N);
    assert_true(good > 0 && busy > 0);
}

static void a_stranger_is_throttled_the_owner_is_not(void **state)
{
    unsigned refused = 0;
    (void)state;
    for (unsigned i = 0; i < 14; i++) {
        struct answer a = harness_login(&h, "web", "alice", "wrong");
        refused += a.status == 429;
        if (a.status == 429) assert_true(says(&a, "Retry-After: ") && says(&a, "login_throttled"));
    }
    assert_int_equal(refused, 4); /* 10/m */
    assert_int_equal(harness_login(&h, "web", "alice", "correct horse").status, 429);
    struct answer a = harness_ask(&h, "POST", "/authentication/login",
                                  "X-Product: web\r\nX-Forwarded-For: 192.0.2.1, 198.51.100.7\r\n",
                                  "{\"username\":\"alice\",\"password\":\"correct horse\"}");
    assert_int_equal(a.status, 200);
}

/* A user has a bounded number of sessions; those that were used least recently make room. */
static void too_many_sessions_push_the_oldest_out(void **state)
{
    char key[64], value[64];
    (void)state;
    for (unsigned i = 0; i < 5020; i++) {
        snprintf(key, sizeof key, "session-of/users/alice/%016u", i);
        snprintf(value, sizeof value, "{\"used_ms\":%u}", i == 300 ? 0 : i + 1); /* the 301st is the oldest */
        harness_put(&h, STORE_AUTHENTICATION, str_of(key), str_of(value), 0);
    }
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    assert_int_equal(a.status, 200);
    assert_int_equal(harness_get(&h, STORE_AUTHENTICATION, STR("session-of/users/alice/0000000000000300")).n, 0);
    assert_int_equal(harness_get(&h, STORE_AUTHENTICATION, STR("session-of/users/alice/0000000000000019")).n, 0);
    assert_true(harness_get(&h, STORE_AUTHENTICATION, STR("session-of/users/alice/0000000000000020")).n > 0);
    assert_int_equal(harness_refresh(&h, "web", member(&a, "refresh_token", 0)).status, 200);
}

#define LOGIN "{\"username\":\"alice\",\"password\":\"correct horse\"}"

/* Clients that leave at any moment: what must be finished is finished, and nothing is left. */
static void clients_may_leave_at_any_moment(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 12; turns++) {
        harness_leave(&h, 4, "POST", "/authentication/login", "X-Product: web\r\n", LOGIN, turns);
        harness_run(&h, 60);
    }
    for (unsigned i = 0; i < 200 && !authentication_idle(h.service); i++) harness_run(&h, 10);
    assert_true(authentication_idle(h.service));
    assert_int_equal(harness_login(&h, "web", "alice", "correct horse").status, 200);
}

/* The service goes while requests are on their way: each is let go of, none comes back. */
static void it_may_stop_at_any_moment(void **state)
{
    struct answer a = harness_login(&h, "web", "alice", "correct horse");
    char body[256];
    (void)state;
    snprintf(body, sizeof body, "{\"refresh_token\":\"%s\"}", member(&a, "refresh_token", 0));
    for (unsigned turns = 0; turns < 16; turns++) {
        harness_leave(&h, 8, "POST", "/authentication/login", "X-Product: web\r\n", LOGIN, turns / 2);
        harness_leave(&h, 8, "POST", turns % 2 ? "/authentication/refresh" : "/authentication/logout",
                      "X-Product: web\r\n", body, turns);
        harness_stop(&h);
        harness_start(&h, NULL);
        harness_user(&h, "users", "alice", "correct horse", false);
        harness_wait_ready(&h);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {T(a_login_gives_tokens),
                                       T(every_failed_login_looks_the_same),
                                       T(bodies_that_are_no_login),
                                       T(basic_proves_the_product),
                                       T(a_signature_proves_the_product_once),
                                       T(a_refresh_rotates),
                                       T(an_old_token_ends_the_family),
                                       T(a_token_two_generations_old_is_reuse_at_once),
                                       T(a_guess_ends_nothing),
                                       T(another_product_cannot_use_it),
                                       T(fifty_refreshes_make_one_successor),
                                       T(so_do_two_processes),
                                       T(logout_ends_the_session),
                                       T(sessions_are_told_and_ended),
                                       T(what_happens_to_a_user_ends_refreshing),
                                       T(a_raised_cost_is_paid_at_the_next_login),
                                       T(a_crowd_is_told_to_come_back),
                                       T(a_stranger_is_throttled_the_owner_is_not),
                                       T(too_many_sessions_push_the_oldest_out),
                                       T(clients_may_leave_at_any_moment),
                                       T(it_may_stop_at_any_moment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
