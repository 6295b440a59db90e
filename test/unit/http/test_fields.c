#include "unit.h"

#include "http/field_name.h"
#include "http/message.h"
#include "http/scan.h"

static void every_known_name_is_found(void **state)
{
    (void)state;
    for (unsigned id = 1; id < FIELD_COUNT; id++) {
        str name = field_name((enum field_id)id);
        if (id == FIELD_X_IDENTITY_OTHER || id == FIELD_X_FORWARDED_OTHER) {
            assert_int_equal(name.n, 0);
            continue;
        }
        assert_true(name.n > 0);
        bool twin = true;
        char copy[64];
        assert_int_equal(field_intern(name, &twin), id);
        assert_false(twin);
        for (size_t i = 0; i < name.n; i++) copy[i] = (char)(i % 2 ? name.p[i] & ~0x20 : name.p[i]);
        for (size_t i = 0; i < name.n; i++)
            if (name.p[i] == '-' || (name.p[i] >= '0' && name.p[i] <= '9')) copy[i] = name.p[i];
        assert_int_equal(field_intern(str_make(copy, name.n), &twin), id);
        bool hyphen = false;
        for (size_t i = 0; i < name.n; i++) {
            copy[i] = name.p[i] == '-' ? '_' : name.p[i];
            hyphen = hyphen || name.p[i] == '-';
        }
        assert_int_equal(field_intern(str_make(copy, name.n), &twin), id);
        assert_int_equal(twin, hyphen);
        /* a byte more, a byte less, a byte other */
        memcpy(copy, name.p, name.n);
        copy[name.n] = 'q';
        enum field_id longer = field_intern(str_make(copy, name.n + 1), NULL);
        assert_true(longer != (enum field_id)id);
        assert_true(field_intern(str_first(name, name.n - 1), NULL) != (enum field_id)id);
        copy[name.n / 2] = copy[name.n / 2] == 'q' ? 'z' : 'q';
        assert_true(field_intern(str_make(copy, name.n), NULL) != (enum field_id)id);
    }
}

static void names_by_how_they_begin(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum field_id id;
        bool twin;
    } cases[] = {
        {"X-User-Name", FIELD_X_IDENTITY_OTHER, false},
        {"x-user-", FIELD_X_IDENTITY_OTHER, false},
        {"X_USER_EMAIL", FIELD_X_IDENTITY_OTHER, true},
        {"X-Sallyport-Anything", FIELD_X_IDENTITY_OTHER, false},
        {"x-identity-proof", FIELD_X_IDENTITY_OTHER, false},
        {"X-User-A-Name-That-Is-Longer-Than-Anything-We-Know-Of", FIELD_X_IDENTITY_OTHER, false},
        {"X_User_A_Name_That_Is_Longer_Than_Anything_We_Know_Of", FIELD_X_IDENTITY_OTHER, true},
        {"X-Forwarded-Server", FIELD_X_FORWARDED_OTHER, false},
        {"X-Forwarded", FIELD_OTHER, false},
        {"X-Caller-Kind", FIELD_X_IDENTITY_OTHER, false},
        {"Client-Cert", FIELD_X_FORWARDED_OTHER, false},
        {"client-cert-chain", FIELD_X_FORWARDED_OTHER, false},
        {"CLIENT_CERT", FIELD_X_FORWARDED_OTHER, true},
        {"SSL_CLIENT_S_DN", FIELD_X_FORWARDED_OTHER, true},
        {"Ssl-Client-Verify", FIELD_X_FORWARDED_OTHER, false},
        {"X-SSL-Client-Cert", FIELD_X_FORWARDED_OTHER, false},
        {"X-Client-Cert", FIELD_X_FORWARDED_OTHER, false},
        {"X-ARR-ClientCert", FIELD_X_FORWARDED_OTHER, false},
        {"X-Amzn-Mtls-Clientcert-Leaf", FIELD_X_FORWARDED_OTHER, false},
        {"X-TLS-Client-Subject", FIELD_X_FORWARDED_OTHER, false},
        {"Client-Certain", FIELD_X_FORWARDED_OTHER, false},
        {"Client-Cer", FIELD_OTHER, false},
        {"ssl-client", FIELD_OTHER, false},
        {"c", FIELD_OTHER, false},
        {"X-User", FIELD_OTHER, false},
        {"XX-User-ID", FIELD_OTHER, false},
        {"X-HTTP-Method", FIELD_X_HTTP_METHOD_OVERRIDE, false},
        {"x-method-override", FIELD_X_HTTP_METHOD_OVERRIDE, false},
        {"X-Method_Override", FIELD_X_HTTP_METHOD_OVERRIDE, true},
        {"my_field", FIELD_OTHER, false},
        {"x", FIELD_OTHER, false},
        {"", FIELD_OTHER, false},
        {"X-User-ID ", FIELD_OTHER, false},
        {"X-User-ID:", FIELD_OTHER, false},
        {"Ho\rt", FIELD_OTHER, false},
        {"x\ruser-id", FIELD_OTHER, false},
        {"x-user\x7fid", FIELD_OTHER, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool twin = !cases[i].twin;
        enum field_id id = field_intern(str_of(cases[i].name), &twin);
        if (id != cases[i].id || twin != cases[i].twin) fail_msg("%s: %d %d", cases[i].name, id, twin);
    }
    /* a folded name of 32 zeros-to-be must not be read as shorter */
    assert_int_equal(field_intern(str_make("host\0", 5), NULL), FIELD_OTHER);
}

static void classes_follow_the_groups(void **state)
{
    (void)state;
    static const struct {
        enum field_id id;
        enum field_class class;
    } cases[] = {
        {FIELD_OTHER, FIELD_PLAIN},
        {FIELD_CONNECTION, FIELD_HOP},
        {FIELD_TRANSFER_ENCODING, FIELD_HOP},
        {FIELD_HTTP2_SETTINGS, FIELD_HOP},
        {FIELD_CONTENT_LENGTH, FIELD_HOP},
        {FIELD_EXPECT, FIELD_HOP},
        {FIELD_HOST, FIELD_HOP},
        {FIELD_AUTHORIZATION, FIELD_CREDENTIAL},
        {FIELD_APIKEY, FIELD_CREDENTIAL},
        {FIELD_COOKIE, FIELD_CREDENTIAL},
        {FIELD_X_USER_ID, FIELD_IDENTITY},
        {FIELD_TXN_TOKEN, FIELD_IDENTITY},
        {FIELD_X_IDENTITY_OTHER, FIELD_IDENTITY},
        {FIELD_FORWARDED, FIELD_FORWARDING},
        {FIELD_X_FORWARDED_OTHER, FIELD_FORWARDING},
        {FIELD_VIA, FIELD_FORWARDING},
        {FIELD_CDN_LOOP, FIELD_FORWARDING},
        {FIELD_X_HTTP_METHOD_OVERRIDE, FIELD_OVERRIDE},
        {FIELD_X_REWRITE_URL, FIELD_OVERRIDE},
        {FIELD_TRACEPARENT, FIELD_PLAIN},
        {FIELD_CONTENT_TYPE, FIELD_PLAIN},
        {FIELD_LAST_EVENT_ID, FIELD_PLAIN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) assert_int_equal(field_class_of(cases[i].id), cases[i].class);
}

/* The fast scans against the plain ones: every byte at every place of a run, at the end of its memory. */
static void scans_agree(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 180; n += n < 70 ? 1 : 11) {
        char *room = malloc(n), *copy = malloc(n);
        assert_non_null(room);
        assert_non_null(copy);
        for (size_t at = 0; at < n; at++) {
            for (unsigned b = 0; b < 256; b++) {
                memset(room, 'a', n);
                for (size_t i = 0; i < n; i += 7) room[i] = "aZ09-_z"[i / 7 % 7];
                if (n > 70) room[b % n] = '\t';
                room[at] = (char)b;
                char f1[FIELD_FOLD], f2[FIELD_FOLD];
                bool u1, u2;
                assert_int_equal(scan_value(room, n), scan_value_portable(room, n));
                memset(copy, '#', n);
                assert_int_equal(scan_copy_value(copy, room, n), scan_value_portable(room, n) == n);
                assert_memory_equal(copy, room, n);
                assert_int_equal(scan_name(room, n, f1, &u1), scan_name_portable(room, n, f2, &u2));
                assert_memory_equal(f1, f2, sizeof f1);
                assert_int_equal(u1, u2);
            }
        }
        free(room);
        free(copy);
    }
    assert_true(scan_copy_value(NULL, NULL, 0));
}

/* The quick way knows fewer names, but never another: every byte in every place of every name. */
static void a_line_names_the_same_field(void **state)
{
    (void)state;
    unsigned found = 0;
    for (int id = 1; id < FIELD_COUNT; id++) {
        str name = field_name((enum field_id)id);
        for (size_t at = 0; at < name.n; at++) {
            for (unsigned b = 0; b < 256; b++) {
                char *line = malloc(32); /* no more may be read */
                assert_non_null(line);
                memset(line, 'x', 32);
                memcpy(line, name.p, name.n);
                line[name.n] = ':';
                line[at] = (char)b;
                size_t n = 0;
                bool twin = false, want_twin = false;
                enum field_id quick = field_intern_line(line, &n, &twin);
                if (quick != FIELD_OTHER) {
                    found++;
                    assert_true(n < 32 && line[n] == ':');
                    assert_int_equal(quick, field_intern(str_make(line, n), &want_twin));
                    assert_int_equal(twin, want_twin);
                }
                free(line);
            }
        }
    }
#if defined(__SSE2__)
    assert_true(found > 1000); /* each name in both cases of each letter, at the least */
#else
    (void)found;
#endif
}

static void tables_are_the_grammar(void **state)
{
    (void)state;
    for (int b = 0; b < 256; b++) {
        bool alnum = (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z');
        bool tchar = alnum || (b && strchr("!#$%&'*+-.^_`|~", b));
        bool value = b == '\t' || (b >= 0x20 && b != 0x7f);
        assert_int_equal((http_class[b] & HTTP_TCHAR) != 0, tchar);
        assert_int_equal((http_class[b] & HTTP_VALUE) != 0, value);
    }
}

static void fields_are_found_appended_and_dropped(void **state)
{
    (void)state;
    struct field v[5] = {{.name = STR("X_User_Id"), .value = STR("eve"), .id = FIELD_X_USER_ID, .twin = true}};
    struct fields f = {v, 1, 5};
    assert_null(fields_get(&f, FIELD_X_USER_ID));
    assert_int_equal(fields_count(&f, FIELD_X_USER_ID), 0);
    fields_drop(&f, FIELD_X_USER_ID);
    assert_true(v[0].drop);

    static const char *const bad[] = {" a", "a ", "a\tb\t", "a\r\nb", "a\nb", "a\rb", "\x7f", "a\x01"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(fields_append(&f, FIELD_X_USER_ID, STR_NONE, str_of(bad[i])), ERR_MALFORMED);
    assert_err(fields_append(&f, FIELD_X_USER_ID, STR_NONE, str_make("a\0b", 3)), ERR_MALFORMED);
    assert_err(fields_append(&f, FIELD_OTHER, STR("a b"), STR("x")), ERR_MALFORMED);
    assert_err(fields_append(&f, FIELD_OTHER, STR("a:"), STR("x")), ERR_MALFORMED);
    assert_err(fields_append(&f, FIELD_OTHER, STR_NONE, STR("x")), ERR_MALFORMED);
    assert_int_equal(f.n, 1);

    assert_err(fields_append(&f, FIELD_X_USER_ID, STR_NONE, STR("alice")), ERR_OK);
    v[0].twin = false;
    assert_ptr_equal(fields_get(&f, FIELD_X_USER_ID), &v[0]);
    assert_int_equal(fields_count(&f, FIELD_X_USER_ID), 2);
    v[0].twin = true;
    assert_str(v[1].name, STR("X-User-ID"));
    assert_str(fields_get(&f, FIELD_X_USER_ID)->value, STR("alice"));
    assert_err(fields_append(&f, FIELD_OTHER, STR("A"), STR("a\tb \xc3\xa9")), ERR_OK);
    assert_err(fields_append(&f, FIELD_OTHER, STR("B"), STR("")), ERR_OK);
    assert_err(fields_append(&f, FIELD_X_USER_ID, STR_NONE, STR("bob")), ERR_OK);
    assert_int_equal(fields_count(&f, FIELD_X_USER_ID), 2);
    assert_err(fields_append(&f, FIELD_OTHER, STR("C"), STR("")), ERR_LIMIT);
}

static void field_put(struct fields *f, const char *name, const char *value)
{
    bool twin;
    enum field_id id = field_intern(str_of(name), &twin);
    f->v[f->n++] = (struct field){.name = str_of(name), .value = str_of(value), .id = (uint16_t)id, .twin = twin};
}

static void connection_names_only_plain_fields(void **state)
{
    (void)state;
    struct field v[20];
    struct fields f = {v, 0, 20};
    field_put(&f, "Connection", "close, X-Trace ,,authorization, x-user-id, host, Content-Length");
    field_put(&f, "connection", "x-forwarded-for,content-type,X-Original-URL");
    field_put(&f, "x-trace", "1");
    field_put(&f, "X-Trace", "2");
    field_put(&f, "Content-Type", "text/plain");
    field_put(&f, "Authorization", "Bearer x");
    field_put(&f, "X-User-ID", "eve");
    field_put(&f, "Host", "a");
    field_put(&f, "Content-Length", "0");
    field_put(&f, "X-Forwarded-For", "1.2.3.4");
    field_put(&f, "X-Original-URL", "/admin");
    field_put(&f, "Accept", "*/*");
    fields_drop_nominated(&f);
    for (uint32_t i = 0; i < f.n; i++) assert_int_equal(v[i].drop, i >= 2 && i <= 4);
}

static void methods(void **state)
{
    (void)state;
    static const char *const names[] = {"",       "GET",   "HEAD",    "POST",  "PUT",
                                        "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"};
    for (unsigned m = METHOD_GET; m <= METHOD_CONNECT; m++) {
        char text[16];
        size_t n = (size_t)snprintf(text, sizeof text, "%sX", names[m]) - 1;
        assert_int_equal(method_of(str_make(text, n)), m);
        assert_true(method_known(str_make(text, n)));
        for (size_t k = 0; k <= n; k++) { /* another byte at each place, one more, one less */
            assert_int_equal(method_of(str_make(text, k == n ? n + 1 : k)), METHOD_OTHER);
            char c = text[k];
            text[k] = 'x';
            if (k < n) assert_int_equal(method_of(str_make(text, n)), METHOD_OTHER);
            text[k] = c;
        }
    }
    assert_int_equal(method_of(STR("get")), METHOD_OTHER);
    assert_int_equal(method_of(STR("CONNECT")), METHOD_CONNECT);
    assert_int_equal(method_of(STR("")), METHOD_OTHER);
    assert_true(method_known(STR("PROPFIND")));
    assert_true(method_known(STR("M-SEARCH")));
    assert_false(method_known(STR("PRI")));
    assert_false(method_known(STR("get")));
    assert_true(method_is_safe(METHOD_HEAD) && method_is_idempotent(METHOD_HEAD));
    assert_true(!method_is_safe(METHOD_DELETE) && method_is_idempotent(METHOD_DELETE));
    assert_true(!method_is_safe(METHOD_POST) && !method_is_idempotent(METHOD_POST));
    assert_true(!method_is_safe(METHOD_OTHER) && !method_is_idempotent(METHOD_OTHER));
    assert_true(!method_is_safe(METHOD_PATCH) && !method_is_idempotent(METHOD_PATCH));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_name_is_found),
        cmocka_unit_test(names_by_how_they_begin),
        cmocka_unit_test(classes_follow_the_groups),
        cmocka_unit_test(scans_agree),
        cmocka_unit_test(a_line_names_the_same_field),
        cmocka_unit_test(tables_are_the_grammar),
        cmocka_unit_test(fields_are_found_appended_and_dropped),
        cmocka_unit_test(connection_names_only_plain_fields),
        cmocka_unit_test(methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
