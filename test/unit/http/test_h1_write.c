#include "unit.h"

#include "http/h1.h"

static void write_request(struct h1_out *o)
{
    h1_out_request_line(o, STR("GET"), STR("/a"), STR("b=c"), true);
    h1_out_field(o, STR("Host"), STR("a.example"));
    h1_out_field_u64(o, STR("Content-Length"), 0);
    h1_out_field(o, STR("Empty"), STR_NONE);
    h1_out_raw(o, STR("X: y\r\n"));
    h1_out_end(o);
}

#define REQUEST "GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nEmpty: \r\nX: y\r\n\r\n"

static void heads_are_written_whole_or_not_at_all(void **state)
{
    (void)state;
    for (size_t cap = 0; cap <= sizeof REQUEST; cap++) {
        char *room = malloc(cap + 1);
        assert_non_null(room);
        room[cap] = '#';
        struct h1_out o = {room, 0, cap, true};
        write_request(&o);
        assert_int_equal(o.ok, cap >= sizeof REQUEST - 1);
        assert_int_equal(room[cap], '#');
        if (o.ok) assert_str(str_make(room, o.n), STR(REQUEST));
        free(room);
    }
}

static void lines_have_their_form(void **state)
{
    (void)state;
    char room[400];
    struct h1_out o = {room, 0, sizeof room, true};
    h1_out_status_line(&o, 404);
    h1_out_status_line(&o, 299);
    h1_out_request_line(&o, STR("OPTIONS"), STR("*"), STR("ignored"), false);
    h1_out_request_line(&o, STR("GET"), STR("/"), STR(""), true);
    h1_out_field_u64(&o, STR("N"), UINT64_MAX);
    assert_true(o.ok);
    assert_str(str_make(room, o.n), STR("HTTP/1.1 404 Not Found\r\nHTTP/1.1 299 \r\nOPTIONS * HTTP/1.1\r\n"
                                        "GET /? HTTP/1.1\r\nN: 18446744073709551615\r\n"));
    h1_out_status_line(&o, 100);
    h1_out_status_line(&o, 999);
    assert_true(o.ok);
    h1_out_status_line(&o, 99);
    assert_false(o.ok);
}

static void no_value_begins_a_line(void **state)
{
    (void)state;
    static const str bad[] = {STR_INIT("a\r\nB: c"), STR_INIT("a\nb"), STR_INIT("a\rb"), STR_INIT("a\0b"),
                              STR_INIT("\x7f")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char room[100];
        struct h1_out o = {room, 0, sizeof room, true};
        h1_out_field(&o, STR("A"), bad[i]);
        assert_false(o.ok);
        assert_int_equal(o.n, 0);
        h1_out_field(&o, STR("A"), STR("b"));
        assert_int_equal(o.n, 0);
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char room[200];
    struct h1_out o = {room, 0, sizeof room, true};
    write_request(&o);
    struct field v[8];
    struct request r = {.fields = {v, 0, 8}};
    struct h1_head head;
    struct h1_scan scan = {0};
    enum http_fault fault;
    assert_err(h1_parse_request(str_make(room, o.n), &scan, &h1_limits_default, &r, &head, &fault), ERR_OK);
    assert_int_equal(head.size, o.n);
    assert_str(r.path, STR("/a"));
    assert_str(r.query, STR("b=c"));
    assert_int_equal(r.fields.n, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_written_whole_or_not_at_all),
        cmocka_unit_test(lines_have_their_form),
        cmocka_unit_test(no_value_begins_a_line),
        cmocka_unit_test(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
