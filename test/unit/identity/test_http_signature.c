/* The MACs were computed beside us (Python's hmac and base64) over bases written down by hand. */
#include "unit.h"

#include "base/buf.h"
#include "identity/http_signature.h"

#define BODY   "{\"username\":\"alice\",\"password\":\"x\"}"
#define DIGEST "sha-256=:42AGGeMIKIFW1I97WFjSI/pTBbmEBCT2FjFt19qjLF4=:"
#define NOW    1700000000
#define KEY    STR("ss_0123456789abcdef")
#define PLAIN                                                                                                          \
    "sig=(\"@method\" \"@target-uri\" \"content-digest\");created=1700000000;keyid=\"web\";alg=\"hmac-sha256\""
#define PLAIN_MAC "sig=:mw2Iha+8cm7D61DD1q1WYlIiWlmRB7IGJZwoXnSG5Tw=:"

static struct http_signature_field fields[8];

static struct http_signature_message message(const char *input, const char *signature)
{
    size_t n = 0;
    fields[n++] = (struct http_signature_field){STR("X-Two"), STR("a")};
    fields[n++] = (struct http_signature_field){STR("Content-Type"), STR(" application/json ")};
    fields[n++] = (struct http_signature_field){STR("Content-Digest"), STR(DIGEST)};
    fields[n++] = (struct http_signature_field){STR("x-two"), STR("b")};
    if (input) fields[n++] = (struct http_signature_field){STR("Signature-Input"), str_of(input)};
    if (signature) fields[n++] = (struct http_signature_field){STR("Signature"), str_of(signature)};
    return (struct http_signature_message){.method = STR("POST"),
                                           .scheme = STR("HTTPS"),
                                           .authority = STR("API.example.com:443"),
                                           .path = STR("/authentication/login"),
                                           .query = STR("x=1"),
                                           .has_query = true,
                                           .fields = fields,
                                           .n_fields = n,
                                           .body = STR(BODY)};
}

static enum http_signature_fault read_and_verify(const struct http_signature_message *m, str key, int64_t now)
{
    struct arena mem;
    struct http_signature s;
    enum http_signature_fault fault = HTTP_SIGNATURE_FAULT_NONE;
    arena_init(&mem, NULL, 0, 65536);
    enum err e = http_signature_read(m, &mem, &s, &fault);
    if (e == ERR_OK) e = http_signature_verify(&s, STR("web"), key, now, &fault);
    assert_int_equal(e == ERR_OK, fault == HTTP_SIGNATURE_FAULT_NONE);
    arena_reset(&mem);
    return fault;
}

static void good_ones(void **state)
{
    static const struct {
        const char *input, *signature;
    } cases[] =
        {{PLAIN, PLAIN_MAC},
         {"app1=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\" \"content-type\" \"x-two\");"
          "alg=\"hmac-sha256\";created=1700000000;expires=1700000100;nonce=\"n\";keyid=\"web\";tag=\"app\"",
          "app1=:4Tkf4M72p0tafqszUi01P3RK5H7O4lbl/G6aXkzUxhE=:"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_signature_message m = message(cases[i].input, cases[i].signature);
        assert_int_equal(read_and_verify(&m, KEY, NOW), HTTP_SIGNATURE_FAULT_NONE);
        assert_int_equal(read_and_verify(&m, KEY, NOW + 30), HTTP_SIGNATURE_FAULT_NONE);
        assert_int_equal(read_and_verify(&m, KEY, NOW - 30), HTTP_SIGNATURE_FAULT_NONE);
        assert_int_equal(read_and_verify(&m, KEY, NOW + 31), HTTP_SIGNATURE_FAULT_TIME);
        assert_int_equal(read_and_verify(&m, KEY, NOW - 31), HTTP_SIGNATURE_FAULT_TIME);
        assert_int_equal(read_and_verify(&m, STR("ss_0123456789abcdeg"), NOW), HTTP_SIGNATURE_FAULT_SIGNATURE);
    }
}

#define PARAMS ";created=1700000000;keyid=\"web\";alg=\"hmac-sha256\""
#define COVER  "sig=(\"@method\" \"@target-uri\" \"content-digest\")"

static void bad_ones(void **state)
{
    static const struct {
        const char *input, *signature;
        enum http_signature_fault want;
    } cases[] =
        {{NULL, NULL, HTTP_SIGNATURE_FAULT_MISSING},
         {PLAIN, NULL, HTTP_SIGNATURE_FAULT_MISSING},
         {NULL, PLAIN_MAC, HTTP_SIGNATURE_FAULT_MISSING},
         {"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_FORM},
         {PLAIN, "", HTTP_SIGNATURE_FAULT_FORM},
         {PLAIN " ", PLAIN_MAC, HTTP_SIGNATURE_FAULT_FORM},
         {PLAIN ", two=(\"@method\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_LABEL},
         {PLAIN, PLAIN_MAC ", two=:AA==:", HTTP_SIGNATURE_FAULT_LABEL},
         {PLAIN, "gis=:mw2Iha+8cm7D61DD1q1WYlIiWlmRB7IGJZwoXnSG5Tw=:", HTTP_SIGNATURE_FAULT_LABEL},
         {PLAIN, "sig=:mw2Iha+8cm7D61DD1q1WYlIiWlmRB7IGJZwoXnSG5Tw:", HTTP_SIGNATURE_FAULT_FORM},
         {PLAIN, "sig=:mw2Iha-8cm7D61DD1q1WYlIiWlmRB7IGJZwoXnSG5Tw=:", HTTP_SIGNATURE_FAULT_FORM},
         {PLAIN, "sig=:mw2Iha+8cm7D61DD1q1WYlIiWlmRB7IGJZwoXnSG5Tx=:", HTTP_SIGNATURE_FAULT_FORM}, /* tail bits */
         {PLAIN, "sig=:AAAA:", HTTP_SIGNATURE_FAULT_SIGNATURE},
         {PLAIN, "sig=mw2I", HTTP_SIGNATURE_FAULT_FORM},
         {"SIG=()" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_FORM},
         {"sig=( \"@method\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_FORM},
         {"sig=(\"@method\"  \"@path\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_FORM},
         {"sig=(\"@method\"\"@path\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_FORM},
         {"sig=(\"@method\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_FORM},
         {"sig=(\"@method\" \"@method\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COMPONENT},
         {"sig=(\"@nothing\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COMPONENT},
         {"sig=(\"@status\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COMPONENT},
         {"sig=(\"absent\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COMPONENT},
         {"sig=(\"Content-Type\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COMPONENT},
         {"sig=(\"content-type\";bs)" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COMPONENT},
         {"sig=(\"@query-param\";name=\"x\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COMPONENT},
         {"sig=()" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COVERAGE},
         {"sig=(\"@target-uri\" \"content-digest\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COVERAGE},
         {"sig=(\"@method\" \"content-digest\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COVERAGE},
         {"sig=(\"@method\" \"@target-uri\")" PARAMS, PLAIN_MAC, HTTP_SIGNATURE_FAULT_COVERAGE},
         {"sig=(\"@method\" \"@authority\" \"@path\" \"content-digest\")" PARAMS, PLAIN_MAC,
          HTTP_SIGNATURE_FAULT_COVERAGE}, /* the query is not covered */
         {COVER, PLAIN_MAC, HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";created=1700000000;alg=\"hmac-sha256\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";keyid=\"web\";alg=\"hmac-sha256\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";created=1700000000;keyid=\"web\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";created=1700000000;keyid=\"\";alg=\"hmac-sha256\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";created=\"1700000000\";keyid=\"web\";alg=\"hmac-sha256\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";created=01700000000;keyid=\"web\";alg=\"hmac-sha256\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";created=-1;keyid=\"web\";alg=\"hmac-sha256\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";created=17000000001700000000;keyid=\"web\";alg=\"hmac-sha256\"", PLAIN_MAC,
          HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";created=1700000000;created=1700000000;keyid=\"web\";alg=\"hmac-sha256\"", PLAIN_MAC,
          HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER PARAMS ";unknown=1", PLAIN_MAC, HTTP_SIGNATURE_FAULT_PARAMETER},
         {COVER ";created=1700000000;keyid=\"web\";alg=\"ed25519\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_ALGORITHM},
         {COVER ";created=1700000000;keyid=\"web\";alg=\"none\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_ALGORITHM},
         {COVER ";created=1700000000;keyid=\"app\";alg=\"hmac-sha256\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_KEYID},
         {COVER ";created=1700000001;keyid=\"web\";alg=\"hmac-sha256\"", PLAIN_MAC, HTTP_SIGNATURE_FAULT_SIGNATURE}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http_signature_message m = message(cases[i].input, cases[i].signature);
        enum http_signature_fault got = read_and_verify(&m, KEY, NOW);
        if (got != cases[i].want)
            fail_msg("%zu %s: %s, want %s", i, cases[i].input ? cases[i].input : "-", http_signature_fault_name(got),
                     http_signature_fault_name(cases[i].want));
    }
}

static void what_is_made_is_accepted(void **state)
{
    (void)state;
    for (int with_body = 0; with_body < 2; with_body++) {
        struct arena mem;
        struct http_signature_fields f = {0};
        struct http_signature s;
        enum http_signature_fault fault = HTTP_SIGNATURE_FAULT_NONE;
        struct http_signature_message m = message(NULL, NULL);
        arena_init(&mem, NULL, 0, 1 << 18);
        if (!with_body) m.body = STR_NONE;
        assert_err(http_signature_make(&m, STR("web"), KEY, STR("n1"), NOW, &mem, &f), ERR_OK);
        assert_int_equal(f.digest.n > 0, with_body);
        const struct http_signature_field sent[] = {{STR("signature-input"), f.input},
                                                    {STR("signature"), f.signature},
                                                    {STR("content-digest"), f.digest}};
        m.fields = sent;
        m.n_fields = with_body ? 3 : 2;
        assert_err(http_signature_read(&m, &mem, &s, &fault), ERR_OK);
        assert_str(s.nonce, STR("n1"));
        assert_err(http_signature_verify(&s, STR("web"), KEY, NOW, &fault), ERR_OK);
        assert_err(http_signature_verify(&s, STR("web"), STR("another key of thirty-two bytes!"), NOW, &fault),
                   ERR_DENIED);
        assert_err(http_signature_make(&m, STR("a\"b"), KEY, STR("n"), NOW, &mem, &f), ERR_MALFORMED);
        arena_reset(&mem);
    }
}

/* Whoever has only the head yet learns whether it is signed, and gets the digest that the body must have. */
static void a_body_that_follows(void **state)
{
    static const struct {
        const char *name, *input;
        bool without_field;
        enum http_signature_fault want;
    } cases[] = {{"good", PLAIN, false, HTTP_SIGNATURE_FAULT_NONE},
                 {"the digest is not covered", "sig=(\"@method\" \"@target-uri\")" PARAMS, false,
                  HTTP_SIGNATURE_FAULT_COVERAGE},
                 {"the digest is not there", PLAIN, true, HTTP_SIGNATURE_FAULT_COMPONENT},
                 {"another MAC", COVER ";created=1700000001;keyid=\"web\";alg=\"hmac-sha256\"", false,
                  HTTP_SIGNATURE_FAULT_SIGNATURE}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena mem;
        struct http_signature s = {0};
        enum http_signature_fault fault = HTTP_SIGNATURE_FAULT_NONE;
        struct http_signature_message m = message(cases[i].input, PLAIN_MAC);
        m.body = STR_NONE;
        m.body_follows = true;
        if (cases[i].without_field) fields[2].name = STR("X-Digest");
        arena_init(&mem, NULL, 0, 65536);
        enum err e = http_signature_read(&m, &mem, &s, &fault);
        if (e == ERR_OK) e = http_signature_verify(&s, STR("web"), KEY, NOW, &fault);
        if (fault != cases[i].want) fail_msg("%s: %s", cases[i].name, http_signature_fault_name(fault));
        if (e == ERR_OK) {
            assert_str(s.digest, STR(DIGEST));
            assert_err(content_digest_check(s.digest, STR(BODY)), ERR_OK);
            assert_err(content_digest_check(s.digest, str_first(STR(BODY), sizeof BODY - 2)), ERR_DENIED);
            assert_err(content_digest_check(s.digest, STR("")), ERR_DENIED);
        }
        arena_reset(&mem);
    }
}

static void every_part_of_the_message_counts(void **state)
{
    (void)state;
    struct http_signature_message m = message(PLAIN, PLAIN_MAC);
    m.method = STR("PUT");
    assert_int_equal(read_and_verify(&m, KEY, NOW), HTTP_SIGNATURE_FAULT_SIGNATURE);
    m = message(PLAIN, PLAIN_MAC);
    m.path = STR("/authentication/logout");
    assert_int_equal(read_and_verify(&m, KEY, NOW), HTTP_SIGNATURE_FAULT_SIGNATURE);
    m = message(PLAIN, PLAIN_MAC);
    m.query = STR("x=2");
    assert_int_equal(read_and_verify(&m, KEY, NOW), HTTP_SIGNATURE_FAULT_SIGNATURE);
    m = message(PLAIN, PLAIN_MAC);
    m.authority = STR("api.example.com:444");
    assert_int_equal(read_and_verify(&m, KEY, NOW), HTTP_SIGNATURE_FAULT_SIGNATURE);
    m = message(PLAIN, PLAIN_MAC);
    m.scheme = STR("http");
    assert_int_equal(read_and_verify(&m, KEY, NOW), HTTP_SIGNATURE_FAULT_SIGNATURE);
    m = message(PLAIN, PLAIN_MAC);
    m.body = STR("{}");
    assert_int_equal(read_and_verify(&m, KEY, NOW), HTTP_SIGNATURE_FAULT_DIGEST);
    m = message(PLAIN, PLAIN_MAC);
    fields[2].value = STR("md5=:AAAA:");
    assert_int_equal(read_and_verify(&m, KEY, NOW), HTTP_SIGNATURE_FAULT_DIGEST);
}

static void digests(void **state)
{
    static const struct {
        const char *value;
        enum err want;
    } cases[] = {{DIGEST, ERR_OK},
                 {"sha-512=:xYLwpznlr6tO14G6ywUe0GFuPMzaTd9/eAXvZwrHlR5lISuQtA/4lI8tzaPRiwOs6wk/oGoivIUolizUy+ymzQ==:",
                  ERR_OK},
                 {"md5=:AAAA:, " DIGEST, ERR_OK},
                 {DIGEST ", sha-512=:AAAA:", ERR_DENIED},
                 {"sha-256=:AAAA:", ERR_DENIED},
                 {"md5=:AAAA:", ERR_DENIED},
                 {"", ERR_MALFORMED},
                 {"sha-256", ERR_MALFORMED},
                 {DIGEST ",", ERR_MALFORMED},
                 {DIGEST " x", ERR_MALFORMED}};
    struct buf b;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum err e = content_digest_check(str_of(cases[i].value), STR(BODY));
        if (e != cases[i].want) fail_msg("%s: %s", cases[i].value, err_name(e));
    }
    buf_init(&b, 256);
    content_digest_put(&b, STR(BODY));
    assert_str(buf_str(&b), STR(DIGEST));
    buf_free(&b);
}

static struct http_signature numbered(unsigned n, int64_t created)
{
    struct http_signature s = {.created_s = created};
    memcpy(s.mac, &n, sizeof n);
    return s;
}

static void a_signature_is_good_once(void **state)
{
    struct http_signature_seen *seen;
    unsigned taken = 0;
    (void)state;
    assert_err(http_signature_seen_new(64, &seen), ERR_OK);
    struct http_signature one = numbered(1, NOW);
    assert_err(http_signature_first(seen, &one, NOW), ERR_OK);
    assert_err(http_signature_first(seen, &one, NOW), ERR_CONFLICT);
    assert_err(http_signature_first(seen, &one, NOW + 30), ERR_CONFLICT);
    for (unsigned i = 2; i < 200; i++) {
        struct http_signature s = numbered(i, NOW);
        enum err e = http_signature_first(seen, &s, NOW);
        assert_true(e == ERR_OK || e == ERR_LIMIT);
        taken += e == ERR_OK;
    }
    assert_int_equal(taken, 63); /* full: what cannot be remembered is refused */
    assert_err(http_signature_first(seen, &one, NOW), ERR_CONFLICT);
    struct http_signature late = numbered(1000, NOW + 60);
    assert_err(http_signature_first(seen, &late, NOW + 60), ERR_OK); /* the others are too old to be taken */
    http_signature_seen_free(&seen);
}

static void no_memory(void **state)
{
    (void)state;
    struct http_signature_message m = message(PLAIN, PLAIN_MAC);
    EACH_ALLOC_FAILING({
        enum http_signature_fault f = read_and_verify(&m, KEY, NOW);
        assert_true(f == HTTP_SIGNATURE_FAULT_NONE || f == HTTP_SIGNATURE_FAULT_MEMORY);
    });
}

/* Every cut of a good pair is refused, and nothing is read behind it. */
static void cut_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof PLAIN - 1; i++) {
        struct http_signature_message m = message(PLAIN, PLAIN_MAC);
        char *cut = malloc(i ? i : 1);
        assert_non_null(cut);
        memcpy(cut, PLAIN, i);
        fields[4].value = str_make(cut, i);
        assert_int_not_equal(read_and_verify(&m, KEY, NOW), HTTP_SIGNATURE_FAULT_NONE);
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_ones),
                                       cmocka_unit_test(bad_ones),
                                       cmocka_unit_test(what_is_made_is_accepted),
                                       cmocka_unit_test(a_body_that_follows),
                                       cmocka_unit_test(every_part_of_the_message_counts),
                                       cmocka_unit_test(digests),
                                       cmocka_unit_test(a_signature_is_good_once),
                                       cmocka_unit_test(no_memory),
                                       cmocka_unit_test(cut_anywhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
