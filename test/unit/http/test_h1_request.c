#include "unit.h"

#include "http/h1.h"

/* One parse of bytes that end where their memory ends, so that a look behind them is seen by the sanitizer. */
struct verdict {
    enum err err;
    enum http_fault fault;
    struct h1_head head;
    struct request request;
    struct field fields[100];
    char *copy;
};

static void parse(struct verdict *v, str in, struct h1_scan *scan, const struct h1_limits *limits)
{
    free(v->copy);
    v->copy = malloc(in.n + !in.n);
    assert_non_null(v->copy);
    memcpy(v->copy, in.p, in.n);
    v->request.fields = (struct fields){v->fields, 0, ARRAY_LEN(v->fields)};
    v->fault = HTTP_FAULT_NONE;
    v->err = h1_parse_request(str_make(v->copy, in.n), scan, limits, &v->request, &v->head, &v->fault);
}

/* Whether the end of a head is there, or a line end that cannot be in one. */
static bool has_head(str in)
{
    for (size_t i = 0; i < in.n; i++) {
        if (in.n - i >= 4 && memcmp(in.p + i, "\r\n\r\n", 4) == 0) return true;
        if (in.p[i] == '\n' && (i == 0 || in.p[i - 1] != '\r')) return true;
    }
    return false;
}

/* However the bytes arrive, the verdict on the whole is the same, and before it there is none or the same refusal. */
static void same_when_split(const char *name, str in, const struct h1_limits *limits, const struct verdict *want)
{
    struct verdict v = {0};
    for (size_t step = 0; step <= in.n; step++) {
        struct h1_scan scan = {0};
        bool decided = false; /* step 0: a byte at a time; else cut in two behind `step` bytes */
        for (size_t k = step ? step : 1; k < in.n && !decided; k = step ? in.n : k + 1) {
            parse(&v, str_first(in, k), &scan, limits);
            decided = v.err != ERR_AGAIN;
        }
        if (!decided) parse(&v, in, &scan, limits);
        if (v.err == ERR_AGAIN && want->err != ERR_AGAIN && !has_head(in)) continue;
        if (v.err != want->err || (v.err != ERR_OK && v.fault != want->fault))
            fail_msg("%s: cut at %zu: %s (%s) instead of %s (%s)", name, step, err_name(v.err),
                     http_fault_name(v.fault), err_name(want->err), http_fault_name(want->fault));
        if (v.err == ERR_OK && (v.head.size != want->head.size || v.head.framing != want->head.framing))
            fail_msg("%s: cut at %zu: other framing", name, step);
    }
    free(v.copy);
}

static void check(const char *name, str in, enum err err, enum http_fault fault, struct verdict *v)
{
    struct h1_scan scan = {0};
    parse(v, in, &scan, &h1_limits_default);
    if (v->err != err || (err != ERR_OK && err != ERR_AGAIN && v->fault != fault))
        fail_msg("%s: %s (%s), want %s (%s)", name, err_name(v->err), http_fault_name(v->fault), err_name(err),
                 http_fault_name(fault));
    same_when_split(name, in, &h1_limits_default, v);
}

#define HOST "Host: a.example\r\n"
#define GET  "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST
#define BAD  ERR_MALFORMED
#define S(x) STR_INIT(x)

static const struct {
    const char *name;
    str in;
    enum err err;
    enum http_fault fault;
} refused[] = {
    /* request line */
    {"http/0.9", S("GET /\r\n\r\n"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"http/1.2", S("GET / HTTP/1.2\r\n" HOST "\r\n"), BAD, HTTP_FAULT_VERSION},
    {"http/0.9 named", S("GET / HTTP/0.9\r\n" HOST "\r\n"), BAD, HTTP_FAULT_VERSION},
    {"http/2.0", S("GET / HTTP/2.0\r\n" HOST "\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_VERSION_MAJOR},
    {"http/9.9", S("GET / HTTP/9.9\r\n" HOST "\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_VERSION_MAJOR},
    {"http/2", S("GET / HTTP/2\r\n" HOST "\r\n"), BAD, HTTP_FAULT_VERSION},
    {"http/1.10", S("GET / HTTP/1.10\r\n" HOST "\r\n"), BAD, HTTP_FAULT_VERSION},
    {"http/01.1", S("GET / HTTP/01.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_VERSION},
    {"http/+1.1", S("GET / HTTP/+1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_VERSION},
    {"lower case http", S("GET / http/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"blank behind the version", S("GET / HTTP/1.1 \r\n" HOST "\r\n"), BAD, HTTP_FAULT_VERSION},
    {"two blanks", S("GET  / HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"two blanks before the version", S("GET /  HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"blank in the target", S("GET /a b HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"tab for blank", S("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"tab before the version", S("GET /\tHTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"blank first", S(" GET / HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"bare LF first", S("\nGET / HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"two empty lines first", S("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"CR first", S("\rGET / HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"TLS hello", S("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"NUL in the method", S("G\0T / HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"unknown method", S("GETS / HTTP/1.1\r\n" HOST "\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_METHOD},
    {"lower case method", S("get / HTTP/1.1\r\n" HOST "\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_METHOD},
    {"endless method", S("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), ERR_UNSUPPORTED, HTTP_FAULT_METHOD},
    {"connect", S("CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_METHOD},
    {"preface of HTTP/2", S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_METHOD},
    {"line ends in LF", S("GET / HTTP/1.1\n" HOST "\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"lines end in LF", S("GET / HTTP/1.1\nHost: a.example\n\n"), BAD, HTTP_FAULT_LINE_END},
    {"line ends in CR", S("GET / HTTP/1.1\r" HOST "\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"LF in the target", S("GET /\n HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"LF behind the method", S("GET\n/ HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_LINE_END},
    /* target */
    {"no target", S("GET HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_REQUEST_LINE},
    {"relative", S("GET a HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"only a query", S("GET ?a HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"fragment", S("GET /#a HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"quote", S("GET /\" HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"angle", S("GET /< HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"backslash", S("GET /\\a HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"caret", S("GET /?^ HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"backquote", S("GET /` HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"brace", S("GET /{a} HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"bar", S("GET /?a|b HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"NUL", S("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"DEL", S("GET /\x7f HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"raw UTF-8", S("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"star for GET", S("GET * HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"star and more", S("OPTIONS *x HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"other scheme", S("GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"scheme without authority", S("GET http:/a HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"authority form", S("GET a.example:80 HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_TARGET},
    {"absolute against Host", S("GET http://b.example/ HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_HOST},
    {"absolute with userinfo", S("GET http://u@a.example/ HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_HOST},
    {"absolute, userinfo in both", S("GET http://u@a.example/ HTTP/1.1\r\nHost: u@a.example\r\n\r\n"), BAD,
     HTTP_FAULT_HOST},
    {"absolute with another port", S("GET http://a.example:81/ HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_HOST},
    {"absolute without Host", S("GET http://a.example/ HTTP/1.1\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"absolute, empty authority", S("GET http:///a HTTP/1.1\r\n" HOST "\r\n"), BAD, HTTP_FAULT_HOST},
    {"absolute, empty authority, 1.0", S("GET http:///a HTTP/1.0\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    /* Host */
    {"no Host", S("GET / HTTP/1.1\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"two Host", S(GET HOST "\r\n"), BAD, HTTP_FAULT_HOST},
    {"two Host, 1.0", S("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), BAD, HTTP_FAULT_HOST},
    {"empty Host", S("GET / HTTP/1.1\r\nHost:\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"empty Host, 1.0", S("GET / HTTP/1.0\r\nHost: \r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"only a twin of Host", S("GET / HTTP/1.1\r\nHost_: a\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with path", S("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with userinfo", S("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with query", S("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with blank", S("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host list", S("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with escape", S("GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with UTF-8", S("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with empty port", S("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with port 0", S("GET / HTTP/1.1\r\nHost: a:0\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with port 65536", S("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with two ports", S("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host with only a port", S("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host open bracket", S("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host bare IPv6", S("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host two dots", S("GET / HTTP/1.1\r\nHost: a..b\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    {"Host octal", S("GET / HTTP/1.1\r\nHost: 0177.0.0.1\r\n\r\n"), BAD, HTTP_FAULT_HOST},
    /* field lines */
    {"blank before the colon", S("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"tab before the colon", S(GET "A\t: b\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"no name", S(GET ": b\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"no colon", S(GET "abc\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"NUL in a name", S(GET "a\0b: c\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"UTF-8 in a name", S(GET "\xc3\xa9: c\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"CR in a name", S(GET "a\rb: c\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"brackets in a name", S(GET "a[b]: c\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"name ends in LF", S(GET "abc\nd: e\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"value ends in LF", S(GET "A: b\nC: d\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"bare CR in a value", S(GET "A: b\rC: d\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"CR CR LF", S(GET "A: b\r\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"NUL in a value", S(GET "A: b\0c\r\n\r\n"), BAD, HTTP_FAULT_FIELD_VALUE},
    {"control in a value", S(GET "A: b\x0b\r\n\r\n"), BAD, HTTP_FAULT_FIELD_VALUE},
    {"DEL in a value", S(GET "A: b\x7f\r\n\r\n"), BAD, HTTP_FAULT_FIELD_VALUE},
    {"fold", S(GET "A: b\r\n c\r\n\r\n"), BAD, HTTP_FAULT_FOLD},
    {"fold with tab", S(GET "A: b\r\n\tc\r\n\r\n"), BAD, HTTP_FAULT_FOLD},
    {"fold before any field", S("GET / HTTP/1.1\r\n " HOST "\r\n"), BAD, HTTP_FAULT_FOLD},
    {"empty line is LF", S(GET "\n"), BAD, HTTP_FAULT_LINE_END},
    {"empty line is CR and more", S(GET "\rX\r\n\r\n"), BAD, HTTP_FAULT_LINE_END},
    {"bad Connection", S(GET "Connection: close;x\r\n\r\n"), BAD, HTTP_FAULT_FIELD_VALUE},
    {"Connection without end", S(GET "Connection: ,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\r\n\r\n"), BAD,
     HTTP_FAULT_FIELD_VALUE},
    /* framing */
    {"two lengths", S(POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"the same length twice", S(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), BAD,
     HTTP_FAULT_CONTENT_LENGTH},
    {"length list", S(POST "Content-Length: 3, 3\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"length with plus", S(POST "Content-Length: +3\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"negative length", S(POST "Content-Length: -3\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"hex length", S(POST "Content-Length: 0x3\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"octal length", S(POST "Content-Length: 03\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"length with fraction", S(POST "Content-Length: 3.0\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"blank in the length", S(POST "Content-Length: 1 3\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"empty length", S(POST "Content-Length:\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"quoted length", S(POST "Content-Length: \"3\"\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"length 2^63", S(POST "Content-Length: 9223372036854775808\r\n\r\n"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"length 2^64-1", S(POST "Content-Length: 18446744073709551615\r\n\r\n"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"length 2^64+3", S(POST "Content-Length: 18446744073709551619\r\n\r\n"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"tab behind the length", S(POST "Content-Length: 3\t\r\n\r\nabc"), BAD, HTTP_FAULT_CONTENT_LENGTH},
    {"tab behind the coding", S(POST "Transfer-Encoding: chunked \t \r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"tab behind Connection", S(GET "Connection: keep-alive\t\r\n\r\n"), BAD, HTTP_FAULT_FIELD_VALUE},
    {"tab in Connection", S(GET "Connection: a,\tclose\r\n\r\n"), BAD, HTTP_FAULT_FIELD_VALUE},
    {"length and coding", S(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD, HTTP_FAULT_FRAMING},
    {"coding and length", S(POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"), BAD, HTTP_FAULT_FRAMING},
    {"coding twice", S(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD,
     HTTP_FAULT_TRANSFER_ENCODING},
    {"chunked, chunked", S(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"identity", S(POST "Transfer-Encoding: identity\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"chunked, identity", S(POST "Transfer-Encoding: chunked, identity\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"xchunked", S(POST "Transfer-Encoding: xchunked\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"chunked;q", S(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"comma chunked", S(POST "Transfer-Encoding: ,chunked\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"quoted chunked", S(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"empty coding", S(POST "Transfer-Encoding:\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"chunked, gzip", S(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"only gzip", S(POST "Transfer-Encoding: gzip\r\n\r\n"), BAD, HTTP_FAULT_TRANSFER_ENCODING},
    {"gzip, chunked", S(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_CODING},
    {"vertical tab before chunked",
     S(POST "Transfer-Encoding: \x0b"
            "chunked\r\n\r\n"),
     BAD, HTTP_FAULT_FIELD_VALUE},
    {"chunked in 1.0", S("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"), BAD,
     HTTP_FAULT_TRANSFER_ENCODING},
    {"coding with blank before the colon", S(POST "Transfer-Encoding : chunked\r\n\r\n"), BAD, HTTP_FAULT_FIELD_NAME},
    {"expectation", S(POST "Expect: the unexpected\r\n\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_EXPECT},
    {"expectation list", S(POST "Expect: 100-continue, x\r\n\r\n"), ERR_UNSUPPORTED, HTTP_FAULT_EXPECT},
    {"expectation twice", S(POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"), ERR_UNSUPPORTED,
     HTTP_FAULT_EXPECT},
};

static void strange_requests_are_refused(void **state)
{
    (void)state;
    struct verdict v = {0};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        check(refused[i].name, refused[i].in, refused[i].err, refused[i].fault, &v);
    free(v.copy);
}

static const struct {
    const char *name;
    str in;
    const char *method, *authority, *path, *query; /* query NULL: none */
    enum h1_framing framing;
    uint64_t body;
    uint32_t fields;
    bool keep_alive, expect, upgrade;
} accepted[] = {
    {"plain", S(GET "\r\n"), "GET", "a.example", "/", NULL, H1_NO_BODY, 0, 1, true, false, false},
    {"an empty line first", S("\r\n" GET "\r\n"), "GET", "a.example", "/", NULL, H1_NO_BODY, 0, 1, true, false, false},
    {"query", S("GET /a/b?c=d&e[]=%20;f?g HTTP/1.1\r\n" HOST "\r\n"), "GET", "a.example", "/a/b", "c=d&e[]=%20;f?g",
     H1_NO_BODY, 0, 1, true, false, false},
    {"empty query", S("GET /a? HTTP/1.1\r\n" HOST "\r\n"), "GET", "a.example", "/a", "", H1_NO_BODY, 0, 1, true, false,
     false},
    {"options star", S("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), "OPTIONS", "a.example", "*", NULL, H1_NO_BODY, 0, 1, true,
     false, false},
    {"absolute", S("GET http://a.example/x?y HTTP/1.1\r\n" HOST "\r\n"), "GET", "a.example", "/x", "y", H1_NO_BODY, 0,
     1, true, false, false},
    {"absolute, another case", S("GET HTTPS://A.Example HTTP/1.1\r\n" HOST "\r\n"), "GET", "a.example", "/", NULL,
     H1_NO_BODY, 0, 1, true, false, false},
    {"absolute, only a query", S("GET http://a.example?y HTTP/1.1\r\n" HOST "\r\n"), "GET", "a.example", "/", "y",
     H1_NO_BODY, 0, 1, true, false, false},
    {"absolute for options", S("OPTIONS http://a.example HTTP/1.1\r\n" HOST "\r\n"), "OPTIONS", "a.example", "*", NULL,
     H1_NO_BODY, 0, 1, true, false, false},
    {"absolute 1.0 without Host", S("GET http://a.example/ HTTP/1.0\r\n\r\n"), "GET", "a.example", "/", NULL,
     H1_NO_BODY, 0, 0, false, false, false},
    {"1.0 without Host", S("GET / HTTP/1.0\r\n\r\n"), "GET", "", "/", NULL, H1_NO_BODY, 0, 0, false, false, false},
    {"1.0 keep-alive", S("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), "GET", "", "/", NULL, H1_NO_BODY, 0, 1,
     true, false, false},
    {"1.0 keep-alive and close", S("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), "GET", "", "/", NULL,
     H1_NO_BODY, 0, 1, false, false, false},
    {"close", S(GET "Connection: x-foo , CLOSE,,\r\n\r\n"), "GET", "a.example", "/", NULL, H1_NO_BODY, 0, 2, false,
     false, false},
    {"close in the second", S(GET "Connection: keep-alive\r\nConnection: close\r\n\r\n"), "GET", "a.example", "/", NULL,
     H1_NO_BODY, 0, 3, false, false, false},
    {"not quite close", S(GET "Connection: closed\r\n\r\n"), "GET", "a.example", "/", NULL, H1_NO_BODY, 0, 2, true,
     false, false},
    {"host and port", S("GET / HTTP/1.1\r\nHost:[2001:db8::1]:65535 \t\r\n\r\n"), "GET", "[2001:db8::1]:65535", "/",
     NULL, H1_NO_BODY, 0, 1, true, false, false},
    {"length", S(POST "content-length:\t12 \r\n\r\nbody of 12 b"), "POST", "a.example", "/", NULL, H1_LENGTH, 12, 2,
     true, false, false},
    {"length 0", S(POST "Content-Length: 0\r\n\r\n"), "POST", "a.example", "/", NULL, H1_NO_BODY, 0, 2, true, false,
     false},
    {"length 2^63-1", S(POST "Content-Length: 9223372036854775807\r\n\r\n"), "POST", "a.example", "/", NULL, H1_LENGTH,
     INT64_MAX, 2, true, false, false},
    {"chunked", S(POST "transfer-encoding: ChunKed \r\n\r\n"), "POST", "a.example", "/", NULL, H1_CHUNKED, BODY_UNKNOWN,
     2, true, false, false},
    {"a twin of a length is no length", S(POST "Content_Length: 3\r\n\r\n"), "POST", "a.example", "/", NULL, H1_NO_BODY,
     0, 2, true, false, false},
    {"expect", S(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n"), "POST", "a.example", "/", NULL, H1_LENGTH,
     1, 3, true, true, false},
    {"expect without a body", S(POST "Expect: 100-continue\r\n\r\n"), "POST", "a.example", "/", NULL, H1_NO_BODY, 0, 2,
     true, false, false},
    {"expect in 1.0", S("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"), "POST", "", "/", NULL,
     H1_LENGTH, 1, 2, false, false, false},
    {"upgrade", S(GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), "GET", "a.example", "/", NULL, H1_NO_BODY, 0, 3,
     true, false, true},
    {"odd but fine fields", S(GET "!#$%&'*+-.^_`|~9: \t a b\t\xff \t\r\nEmpty:\r\nBlank: \t \r\n\r\n"), "GET",
     "a.example", "/", NULL, H1_NO_BODY, 0, 4, true, false, false},
    {"webdav", S("PROPFIND / HTTP/1.1\r\n" HOST "\r\n"), "PROPFIND", "a.example", "/", NULL, H1_NO_BODY, 0, 1, true,
     false, false},
};

static void good_requests_are_understood(void **state)
{
    (void)state;
    struct verdict v = {0};
    for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
        check(accepted[i].name, accepted[i].in, ERR_OK, HTTP_FAULT_NONE, &v);
        const struct request *r = &v.request;
        assert_str(r->method, str_of(accepted[i].method));
        assert_str(r->authority, str_of(accepted[i].authority));
        assert_str(r->path, str_of(accepted[i].path));
        assert_int_equal(r->has_query, accepted[i].query != NULL);
        assert_str(r->query, str_of(accepted[i].query));
        assert_int_equal(v.head.framing, accepted[i].framing);
        assert_int_equal(r->body, accepted[i].body);
        assert_int_equal(r->fields.n, accepted[i].fields);
        if (v.head.keep_alive != accepted[i].keep_alive || r->expect_continue != accepted[i].expect ||
            r->upgrade != accepted[i].upgrade)
            fail_msg("%s: keep-alive, expect or upgrade", accepted[i].name);
    }
    free(v.copy);
}

static void values_lose_their_blanks_and_nothing_else(void **state)
{
    (void)state;
    struct verdict v = {0};
    check("values", STR(GET "A:b\r\nX_User-Id: \t c\td \t \r\nBlank: \t \r\n\r\nrest"), ERR_OK, HTTP_FAULT_NONE, &v);
    const struct field *f = v.request.fields.v;
    assert_str(f[1].name, STR("A"));
    assert_str(f[1].value, STR("b"));
    assert_int_equal(f[1].id, FIELD_OTHER);
    assert_str(f[2].name, STR("X_User-Id"));
    assert_str(f[2].value, STR("c\td"));
    assert_int_equal(f[2].id, FIELD_X_USER_ID);
    assert_true(f[2].twin);
    assert_str(f[3].value, STR(""));
    assert_int_equal(v.head.size, sizeof GET "A:b\r\nX_User-Id: \t c\td \t \r\nBlank: \t \r\n\r\n" - 1);
    free(v.copy);
}

/* Every prefix of a good head wants more, except that it already is one. */
static void prefixes_want_more(void **state)
{
    (void)state;
    struct verdict v = {0};
    str in = STR("\r\nPOST http://a.example/a?b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nX: y \r\n\r\n");
    for (size_t n = 0; n < in.n; n++) {
        struct h1_scan scan = {0};
        parse(&v, str_first(in, n), &scan, &h1_limits_default);
        assert_err(v.err, ERR_AGAIN);
    }
    free(v.copy);
}

static void bounds_are_exact(void **state)
{
    (void)state;
    struct verdict v = {0};
    str in = STR("GET /abcdefg?h HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n");
    static const struct {
        struct h1_limits limits;
        enum http_fault fault;
    } cases[] = {
        {{.max_head = 42, .max_target = 10, .max_fields = 2}, HTTP_FAULT_NONE},
        {{.max_head = 41, .max_target = 10, .max_fields = 2}, HTTP_FAULT_HEAD_SIZE},
        {{.max_head = 42, .max_target = 9, .max_fields = 2}, HTTP_FAULT_TARGET_SIZE},
        {{.max_head = 42, .max_target = 10, .max_fields = 1}, HTTP_FAULT_FIELD_COUNT},
        {{.max_head = 42, .max_target = 10, .max_fields = 0}, HTTP_FAULT_FIELD_COUNT},
    };
    assert_int_equal(in.n, 42);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct h1_scan scan = {0};
        parse(&v, in, &scan, &cases[i].limits);
        assert_err(v.err, cases[i].fault ? ERR_LIMIT : ERR_OK);
        assert_int_equal(v.fault, cases[i].fault);
        same_when_split("bounds", in, &cases[i].limits, &v);
    }
    /* an endless target, an endless line and endless lines are cut off while they arrive */
    static char big[20000];
    memset(big, 'a', sizeof big);
    memcpy(big, "GET /", 5);
    struct h1_scan scan = {0};
    parse(&v, str_make(big, 8192 + 4 + 1), &scan, &h1_limits_default);
    assert_int_equal(v.fault, HTTP_FAULT_TARGET_SIZE);
    memcpy(big, GET "A: ", sizeof GET "A: " - 1);
    for (size_t n = 1000; n < 16384; n += 1000) {
        parse(&v, str_make(big, n), &scan, &h1_limits_default);
        assert_err(v.err, ERR_AGAIN);
    }
    parse(&v, str_make(big, 16384), &scan, &h1_limits_default);
    assert_int_equal(v.fault, HTTP_FAULT_HEAD_SIZE);
    free(v.copy);
}

static uint64_t seed = 20240131;
static size_t any(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % n);
}

/* Requests one behind the other, bodies between them: each begins where the one before ends. */
static void pipelines_keep_their_borders(void **state)
{
    (void)state;
    struct verdict v = {0};
    for (int round = 0; round < 200; round++) {
        char text[8192];
        size_t n = 0, ends[20], bodies[20], count = 1 + any(19);
        for (size_t i = 0; i < count; i++) {
            bodies[i] = any(3) ? 0 : any(60);
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s /%zu HTTP/1.1\r\nHost: h%zu\r\n",
                                  any(4) ? "" : "\r\n", any(2) ? "PUT" : "DELETE", i, i);
            for (size_t k = any(4); k > 0; k--)
                n += (size_t)snprintf(text + n, sizeof text - n, "Field-%zu: %.*s\r\n", k, (int)any(30),
                                      "GET / HTTP/1.1 Host: evil ......");
            n += (size_t)snprintf(text + n, sizeof text - n, "Content-Length: %zu\r\n\r\n", bodies[i]);
            ends[i] = n;
            memset(text + n, '\n', bodies[i]);
            n += bodies[i];
        }
        size_t from = 0, to = 0, i = 0;
        struct h1_scan scan = {0};
        while (i < count) {
            parse(&v, str_make(text + from, to - from), &scan, &h1_limits_default);
            if (v.err == ERR_AGAIN) {
                assert_true(to < n);
                to += 1 + any(n - to < 40 ? n - to : 40);
                continue;
            }
            assert_err(v.err, ERR_OK);
            assert_int_equal(from + v.head.size, ends[i]);
            assert_int_equal(v.request.body, bodies[i]);
            from = ends[i] + bodies[i];
            if (to < from) to = from;
            scan = (struct h1_scan){0};
            i++;
        }
        assert_int_equal(from, n);
    }
    free(v.copy);
}

static void nothing_is_written_when_refused(void **state)
{
    (void)state;
    struct field room[4];
    struct request r = {.path = STR("before"), .fields = {room, 3, 4}};
    struct h1_head h = {.size = 77};
    struct h1_scan scan = {0};
    enum http_fault fault = HTTP_FAULT_NONE;
    assert_err(h1_parse_request(STR(GET GET "\r\n"), &scan, &h1_limits_default, &r, &h, &fault), ERR_MALFORMED);
    assert_str(r.path, STR("before"));
    assert_int_equal(r.fields.n, 3);
    assert_int_equal(h.size, 77);
    /* the room is a bound of its own */
    assert_err(h1_parse_request(STR(GET "B:\r\nC:\r\nD:\r\nE:\r\n\r\n"), &scan, &h1_limits_default, &r, &h, &fault),
               ERR_LIMIT);
    assert_int_equal(fault, HTTP_FAULT_FIELD_COUNT);
}

static void faults_have_names_and_answers(void **state)
{
    (void)state;
    for (unsigned f = 1; f <= HTTP_FAULT_MEMORY; f++) {
        uint16_t want = f == HTTP_FAULT_METHOD || f == HTTP_FAULT_CODING           ? 501
                        : f == HTTP_FAULT_VERSION_MAJOR                            ? 505
                        : f == HTTP_FAULT_EXPECT                                   ? 417
                        : f == HTTP_FAULT_TARGET_SIZE                              ? 414
                        : f == HTTP_FAULT_HEAD_SIZE || f == HTTP_FAULT_FIELD_COUNT ? 431
                        : f == HTTP_FAULT_LATE                                     ? 408
                        : f == HTTP_FAULT_MEMORY                                   ? 500
                                                                                   : 400;
        assert_int_equal(http_fault_status((enum http_fault)f), want);
        assert_true(strlen(http_fault_name((enum http_fault)f)) > 0);
        assert_true(http_reason(want).n > 0);
    }
    assert_string_equal(http_fault_name(HTTP_FAULT_CONTENT_LENGTH), "content_length");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strange_requests_are_refused),
        cmocka_unit_test(good_requests_are_understood),
        cmocka_unit_test(values_lose_their_blanks_and_nothing_else),
        cmocka_unit_test(prefixes_want_more),
        cmocka_unit_test(bounds_are_exact),
        cmocka_unit_test(pipelines_keep_their_borders),
        cmocka_unit_test(nothing_is_written_when_refused),
        cmocka_unit_test(faults_have_names_and_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
