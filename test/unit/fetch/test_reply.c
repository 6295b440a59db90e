#include "unit.h"

#include "fetch/reply.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define BIG     64 /* bytes allowed in these tests */

struct row {
    const char *name;
    str in;
    bool closed, clean; /* the connection ends behind `in` */
    enum err want;
    enum fetch_fault fault;
    uint16_t status;
    str body;
};

static const struct row rows[] = {
    {"length", STR_INIT(OK_HEAD "Content-Length: 8\r\n\r\n{\"a\":12}"), false, false, ERR_OK, FETCH_FAULT_NONE, 200,
     STR_INIT("{\"a\":12}")},
    {"length 0", STR_INIT(OK_HEAD "Content-Length: 0\r\n\r\n"), false, false, ERR_OK, FETCH_FAULT_NONE, 200,
     STR_INIT("")},
    {"more than the length", STR_INIT(OK_HEAD "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n"), false, false, ERR_OK,
     FETCH_FAULT_NONE, 200, STR_INIT("{}")},
    {"chunked", STR_INIT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"), false, false,
     ERR_OK, FETCH_FAULT_NONE, 200, STR_INIT("{}")},
    {"chunked with a trailer", STR_INIT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n"),
     false, false, ERR_OK, FETCH_FAULT_NONE, 200, STR_INIT("{}")},
    {"until close", STR_INIT(OK_HEAD "\r\n{\"k\":1}"), true, true, ERR_OK, FETCH_FAULT_NONE, 200,
     STR_INIT("{\"k\":1}")},
    {"until a close that nobody announced", STR_INIT(OK_HEAD "\r\n{}"), true, false, ERR_CLOSED, FETCH_FAULT_CUT, 200,
     STR_INIT("")},
    {"cut in the head", STR_INIT("HTTP/1.1 200 O"), true, true, ERR_CLOSED, FETCH_FAULT_CUT, 0, STR_INIT("")},
    {"nothing at all", STR_INIT(""), true, true, ERR_CLOSED, FETCH_FAULT_CUT, 0, STR_INIT("")},
    {"cut in the body", STR_INIT(OK_HEAD "Content-Length: 3\r\n\r\n{}"), true, true, ERR_CLOSED, FETCH_FAULT_CUT, 200,
     STR_INIT("")},
    {"cut before the last chunk", STR_INIT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), true, true,
     ERR_CLOSED, FETCH_FAULT_CUT, 200, STR_INIT("")},
    {"interim answers",
     STR_INIT("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\n\r\n" OK_HEAD "Content-Length: 2\r\n\r\n{}"),
     false, false, ERR_OK, FETCH_FAULT_NONE, 200, STR_INIT("{}")},
    {"too many interim answers",
     STR_INIT("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\n"
              "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 100 C\r\n\r\n"),
     false, false, ERR_MALFORMED, FETCH_FAULT_ANSWER, 0, STR_INIT("")},
    {"switching protocols", STR_INIT("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"), false,
     false, ERR_MALFORMED, FETCH_FAULT_ANSWER, 0, STR_INIT("")},
    {"redirect", STR_INIT("HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\nContent-Length: 2\r\n\r\n{}"), false,
     false, ERR_DENIED, FETCH_FAULT_REDIRECT, 302, STR_INIT("")},
    {"not modified", STR_INIT("HTTP/1.1 304 Not Modified\r\n\r\n"), false, false, ERR_DENIED, FETCH_FAULT_REDIRECT, 304,
     STR_INIT("")},
    {"not found", STR_INIT("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"), false, false, ERR_DENIED,
     FETCH_FAULT_STATUS, 404, STR_INIT("")},
    {"no content", STR_INIT("HTTP/1.1 204 No Content\r\n\r\n"), false, false, ERR_DENIED, FETCH_FAULT_STATUS, 204,
     STR_INIT("")},
    {"compressed", STR_INIT(OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), false, false, ERR_DENIED,
     FETCH_FAULT_CODING, 200, STR_INIT("")},
    {"said to be as it is", STR_INIT(OK_HEAD "Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}"), false, false,
     ERR_OK, FETCH_FAULT_NONE, 200, STR_INIT("{}")},
    {"announced too large", STR_INIT(OK_HEAD "Content-Length: 65\r\n\r\n{"), false, false, ERR_LIMIT, FETCH_FAULT_SIZE,
     200, STR_INIT("")},
    {"chunks too large",
     STR_INIT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
                      "28\r\n0123456789012345678901234567890123456789\r\n"
                      "28\r\n0123456789012345678901234567890123456789\r\n"),
     false, false, ERR_LIMIT, FETCH_FAULT_SIZE, 200, STR_INIT("")},
    {"until close, too large",
     STR_INIT(OK_HEAD "\r\n01234567890123456789012345678901234567890123456789012345678901234"), false, false, ERR_LIMIT,
     FETCH_FAULT_SIZE, 200, STR_INIT("")},
    {"no HTTP", STR_INIT("SSH-2.0-OpenSSH\r\n\r\n"), false, false, ERR_MALFORMED, FETCH_FAULT_ANSWER, 0, STR_INIT("")},
    {"both framings", STR_INIT(OK_HEAD "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
     false, false, ERR_MALFORMED, FETCH_FAULT_ANSWER, 0, STR_INIT("")},
    {"bad chunk size", STR_INIT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), false, false, ERR_MALFORMED,
     FETCH_FAULT_ANSWER, 200, STR_INIT("")},
};

/* The bytes in two pieces, the first of `cut` bytes; or one by one. */
static void check(const struct row *w, size_t cut, bool singly)
{
    struct reply r;
    enum fetch_fault fault = FETCH_FAULT_NONE;
    enum err e = ERR_OK;
    reply_init(&r, BIG);
    for (size_t at = 0; at < w->in.n && e == ERR_OK;) {
        size_t n = singly ? 1 : at < cut ? cut : w->in.n - at;
        char *exact = malloc(n);
        assert_non_null(exact);
        memcpy(exact, w->in.p + at, n);
        e = reply_take(&r, str_make(exact, n), &fault);
        free(exact);
        at += n;
    }
    if (e == ERR_OK && w->closed) e = reply_end(&r, w->clean, &fault);
    if (e != w->want || fault != w->fault || r.status != w->status || r.whole != (w->want == ERR_OK))
        fail_msg("%s, cut at %zu%s: %s, \"%s\", %u", w->name, cut, singly ? " singly" : "", err_name(e),
                 fetch_fault_text(fault), r.status);
    if (e == ERR_OK) assert_str(buf_str(&r.body), w->body);
    reply_free(&r);
}

static void table_split_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t cut = 0; cut <= rows[i].in.n; cut++) check(&rows[i], cut, false);
        check(&rows[i], 0, true);
    }
}

static void the_head_is_bounded(void **state)
{
    (void)state;
    struct reply r;
    enum fetch_fault fault = FETCH_FAULT_NONE;
    char junk[1000];
    reply_init(&r, BIG);
    assert_err(reply_take(&r, STR("HTTP/1.1 200 OK\r\n"), &fault), ERR_OK);
    enum err e = ERR_OK;
    size_t sent = 0;
    for (int i = 0; i < 200 && e == ERR_OK; i++) {
        int n = snprintf(junk, sizeof junk, "X-%d: %0400d\r\n", i, i);
        e = reply_take(&r, str_make(junk, (size_t)n), &fault);
        sent += (size_t)n;
    }
    assert_err(e, ERR_MALFORMED);
    assert_int_equal(fault, FETCH_FAULT_ANSWER);
    assert_true(sent < 20000);
    reply_free(&r);
    /* one line without end */
    reply_init(&r, BIG);
    memset(junk, 'x', sizeof junk);
    e = ERR_OK;
    for (int i = 0; i < 100 && e == ERR_OK; i++) e = reply_take(&r, str_make(junk, sizeof junk), &fault);
    assert_err(e, ERR_MALFORMED);
    reply_free(&r);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        EACH_ALLOC_FAILING({
            struct reply r;
            enum fetch_fault fault = FETCH_FAULT_NONE;
            reply_init(&r, BIG);
            enum err e = reply_take(&r, rows[i].in, &fault);
            if (alloc_fail_hit()) {
                assert_err(e, ERR_NO_MEMORY);
                assert_int_equal(fault, FETCH_FAULT_MEMORY);
            }
            reply_free(&r);
        });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_split_at_every_byte),
        cmocka_unit_test(the_head_is_bounded),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
