#include "unit.h"

#include "http/h1.h"

struct verdict {
    enum err err;
    enum http_fault fault;
    struct h1_head head;
    struct response response;
    struct field fields[100];
    char *copy;
};

static void parse(struct verdict *v, str in, struct h1_scan *scan, enum method to)
{
    free(v->copy);
    v->copy = malloc(in.n + !in.n);
    assert_non_null(v->copy);
    memcpy(v->copy, in.p, in.n);
    v->response.fields = (struct fields){v->fields, 0, ARRAY_LEN(v->fields)};
    v->fault = HTTP_FAULT_NONE;
    v->err =
        h1_parse_response(str_make(v->copy, in.n), scan, &h1_limits_default, to, &v->response, &v->head, &v->fault);
}

static void check(const char *name, str in, enum method to, enum err err, enum http_fault fault, struct verdict *v)
{
    struct verdict w = {0};
    struct h1_scan scan = {0};
    parse(v, in, &scan, to);
    if (v->err != err || (err != ERR_OK && v->fault != fault))
        fail_msg("%s: %s (%s), want %s (%s)", name, err_name(v->err), http_fault_name(v->fault), err_name(err),
                 http_fault_name(fault));
    for (size_t step = 0; step <= in.n; step++) {
        bool decided = false; /* step 0: a byte at a time; else cut in two behind `step` bytes */
        scan = (struct h1_scan){0};
        for (size_t k = step ? step : 1; k < in.n && !decided; k = step ? in.n : k + 1) {
            parse(&w, str_first(in, k), &scan, to);
            decided = w.err != ERR_AGAIN;
        }
        if (!decided) parse(&w, in, &scan, to);
        if (w.err != err || (err != ERR_OK && w.fault != fault) || (err == ERR_OK && w.head.size != v->head.size))
            fail_msg("%s: cut at %zu: %s (%s)", name, step, err_name(w.err), http_fault_name(w.fault));
    }
    free(w.copy);
}

#define OK   "HTTP/1.1 200 OK\r\n"
#define BAD  ERR_MALFORMED
#define S(x) STR_INIT(x)

static const struct {
    const char *name;
    str in;
    enum err err;
    enum http_fault fault;
} refused[] = {
    {"not HTTP", S("SSH-2.0-x\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"an empty line first", S("\r\n" OK "\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"ICY", S("ICY 200 OK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"http/0.9", S("HTTP/0.9 200 OK\r\n\r\n"), BAD, HTTP_FAULT_VERSION},
    {"http/1.2", S("HTTP/1.2 200 OK\r\n\r\n"), BAD, HTTP_FAULT_VERSION},
    {"http/2.0", S("HTTP/2.0 200 OK\r\n\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_VERSION_MAJOR},
    {"two digits", S("HTTP/1.1 20 OK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"four digits", S("HTTP/1.1 2000 OK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"a colon for a digit", S("HTTP/1.1 2:0 OK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"a slash for a digit", S("HTTP/1.1 20/ OK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"status 99", S("HTTP/1.1 099 OK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"status 600", S("HTTP/1.1 600 OK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"two blanks", S("HTTP/1.1  200 OK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"tab", S("HTTP/1.1\t200 OK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"tab behind the status", S("HTTP/1.1 200\tOK\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"NUL in the reason", S("HTTP/1.1 200 O\0K\r\n\r\n"), BAD, HTTP_FAULT_STATUS_LINE},
    {"CR in the reason", S("HTTP/1.1 200 O\rK\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"line ends in LF", S("HTTP/1.1 200 OK\n\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"LF for a blank", S("HTTP/1.1\n200 OK\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"LF for a digit", S("HTTP/1.1 20\nOK\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"no reason and LF", S("HTTP/1.1 200\n\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"fold", S(OK "A: b\r\n c\r\n\r\n"), BAD, HTTP_FAULT_FOLD},
    {"blank before the colon", S(OK "A : b\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"bare LF", S(OK "A: b\nC: d\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"NUL", S(OK "A: b\0\r\n\r\n"), BAD, HTTP_FAULT_FIELD_VALUE},
    {"length and coding", S(OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD, HTTP_FAULT_FRAMING},
    {"two lengths", S(OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"hex length", S(OK "Content-Length: 0x3\r\n\r\n"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"coding twice", S(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD,
     HTTP_FAULT_TRANSFER_ENCODING},
    {"identity", S(OK "Transfer-Encoding: identity\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"coding in 1.0", S("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"gzip, chunked", S(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_CODING},
    {"204 with a coding", S("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD,
     HTTP_FAULT_TRANSFER_ENCODING},
    {"103 with a coding", S("HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"304 with both", S("HTTP/1.1 304 X\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD,
     HTTP_FAULT_FRAMING},
};

static void strange_responses_are_refused(void **state)
{
    (void)state;
    struct verdict v = {0};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        check(refused[i].name, refused[i].in, METHOD_GET, refused[i].err, refused[i].fault, &v);
    free(v.copy);
}

static const struct {
    const char *name;
    str in;
    enum method to;
    uint16_t status;
    const char *reason;
    enum h1_framing framing;
    uint64_t body;
    bool keep_alive;
} accepted[] = {
    {"length", S(OK "Content-Length: 5\r\n\r\nhello"), METHOD_GET, 200, "OK", H1_LENGTH, 5, true},
    {"length 0", S(OK "Content-Length: 0\r\n\r\n"), METHOD_GET, 200, "OK", H1_NO_BODY, 0, true},
    {"chunked", S(OK "Transfer-Encoding: Chunked\r\n\r\n"), METHOD_GET, 200, "OK", H1_CHUNKED, BODY_UNKNOWN, true},
    {"until close", S(OK "\r\n"), METHOD_GET, 200, "OK", H1_UNTIL_CLOSE, BODY_UNKNOWN, false},
    {"until close, though it says keep-alive", S(OK "Connection: keep-alive\r\n\r\n"), METHOD_GET, 200, "OK",
     H1_UNTIL_CLOSE, BODY_UNKNOWN, false},
    {"close", S(OK "Connection: close\r\nContent-Length: 5\r\n\r\n"), METHOD_GET, 200, "OK", H1_LENGTH, 5, false},
    {"1.0", S("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n"), METHOD_GET, 200, "OK", H1_LENGTH, 5, false},
    {"1.0 keep-alive", S("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n"), METHOD_GET, 200,
     "OK", H1_LENGTH, 5, true},
    {"no reason", S("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"), METHOD_GET, 404, "", H1_NO_BODY, 0, true},
    {"no blank either", S("HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n"), METHOD_GET, 404, "", H1_NO_BODY, 0, true},
    {"a strange reason", S("HTTP/1.1 404 \t\xc3\xa9 no: way \r\nContent-Length: 0\r\n\r\n"), METHOD_GET, 404,
     "\t\xc3\xa9 no: way ", H1_NO_BODY, 0, true},
    {"to HEAD", S(OK "Content-Length: 5\r\n\r\n"), METHOD_HEAD, 200, "OK", H1_NO_BODY, 0, true},
    {"to HEAD, chunked", S(OK "Transfer-Encoding: chunked\r\n\r\n"), METHOD_HEAD, 200, "OK", H1_NO_BODY, 0, true},
    {"to HEAD, nothing said", S(OK "\r\n"), METHOD_HEAD, 200, "OK", H1_NO_BODY, 0, true},
    {"204", S("HTTP/1.1 204 No\r\n\r\n"), METHOD_GET, 204, "No", H1_NO_BODY, 0, true},
    {"204 with length 0", S("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n"), METHOD_GET, 204, "No", H1_NO_BODY, 0,
     true},
    {"204 that may yet send a body", S("HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n"), METHOD_GET, 204, "No",
     H1_NO_BODY, 0, false},
    {"304 with length", S("HTTP/1.1 304 X\r\nContent-Length: 7\r\n\r\n"), METHOD_GET, 304, "X", H1_NO_BODY, 0, true},
    {"100", S("HTTP/1.1 100 Continue\r\n\r\n"), METHOD_POST, 100, "Continue", H1_NO_BODY, 0, true},
    {"101", S("HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), METHOD_GET, 101, "X", H1_NO_BODY, 0,
     false},
    {"two Host are the upstream's business", S("HTTP/1.1 204 X\r\nHost: a\r\nHost: b\r\nExpect: x\r\n\r\n"), METHOD_GET,
     204, "X", H1_NO_BODY, 0, true},
};

static void good_responses_are_understood(void **state)
{
    (void)state;
    struct verdict v = {0};
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        check(accepted[i].name, accepted[i].in, accepted[i].to, ERR_OK, HTTP_FAULT_NONE, &v);
        assert_int_equal(v.response.status, accepted[i].status);
        assert_str(v.response.reason, str_of(accepted[i].reason));
        assert_int_equal(v.head.framing, accepted[i].framing);
        assert_int_equal(v.response.body, accepted[i].body);
        if (v.head.keep_alive != accepted[i].keep_alive) fail_msg("%s: keep-alive", accepted[i].name);
    }
    free(v.copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strange_responses_are_refused),
        cmocka_unit_test(good_responses_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
