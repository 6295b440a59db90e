#include "unit.h"

#include "net/socket.h"

#include <unistd.h>

static void addresses_have_one_form(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* out NULL: refused */
        enum err err;
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1:80", ERR_OK},
        {"[::1]:8080", "[::1]:8080", ERR_OK},
        {":80", "[::]:80", ERR_OK},
        {"unix:/run/x.sock", "unix:/run/x.sock", ERR_OK},
        {"0.0.0.0:0", "0.0.0.0:0", ERR_OK},
        {"", NULL, ERR_MALFORMED},
        {"127.0.0.1", NULL, ERR_MALFORMED},
        {"127.0.0.1:", NULL, ERR_MALFORMED},
        {"127.0.0.1:65536", NULL, ERR_MALFORMED},
        {"127.0.0.1:+80", NULL, ERR_MALFORMED},
        {"127.1:80", NULL, ERR_MALFORMED},
        {"0x7f.0.0.1:80", NULL, ERR_MALFORMED},
        {"::1:80", NULL, ERR_MALFORMED},
        {"[::1]", NULL, ERR_MALFORMED},
        {"localhost:80", NULL, ERR_MALFORMED},
        {"unix:", NULL, ERR_MALFORMED},
        {"unix:/"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         NULL, ERR_LIMIT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_addr a;
        char text[NET_TEXT_MAX];
        assert_err(net_addr_parse(str_of(rows[i].in), &a), rows[i].err);
        if (!rows[i].out) continue;
        size_t n = net_addr_text(&a, text);
        assert_str(str_make(text, n), str_of(rows[i].out));
    }
}

static void peers_are_written_as_the_system_would(void **state)
{
    (void)state;
    static const struct {
        struct net_peer peer;
        const char *ip, *whole;
    } rows[] = {
        {{.family = 4, .port = 9, .ip = {127, 0, 0, 1}}, "127.0.0.1", "127.0.0.1:9"},
        {{.family = 4, .port = 65535, .ip = {255, 10, 100, 9}}, "255.10.100.9", "255.10.100.9:65535"},
        {{.family = 6, .port = 1, .ip = {[15] = 1}}, "::1", "[::1]:1"},
        {{.family = 6, .port = 1, .ip = {[10] = 255, [11] = 255, [12] = 10, [15] = 7}}, "10.0.0.7", "10.0.0.7:1"},
        {{.family = 1}, "unix", "unix"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[NET_TEXT_MAX];
        assert_str(str_make(text, net_peer_ip_text(&rows[i].peer, text)), str_of(rows[i].ip));
        assert_str(str_make(text, net_peer_text(&rows[i].peer, text)), str_of(rows[i].whole));
    }
}

static void a_live_socket_is_not_taken_and_a_dead_one_is(void **state)
{
    (void)state;
    char name[64];
    struct net_addr a;
    int first, second;
    snprintf(name, sizeof name, "unix:/tmp/sallyport-test-%d.sock", getpid());
    unlink(name + 5);
    assert_err(net_addr_parse(str_of(name), &a), ERR_OK);
    assert_err(net_listen(&a, false, &first), ERR_OK);
    assert_err(net_listen(&a, false, &second), ERR_CONFLICT);
    close(first); /* its file stays behind, as after a crash */
    assert_err(net_listen(&a, false, &second), ERR_OK);
    close(second);
    unlink(name + 5);
}

static void a_port_is_taken_once(void **state)
{
    (void)state;
    struct net_addr a;
    struct sockaddr_storage got;
    socklen_t len = sizeof got;
    int first, second;
    assert_err(net_addr_parse(STR("127.0.0.1:0"), &a), ERR_OK);
    assert_err(net_listen(&a, false, &first), ERR_OK);
    assert_int_equal(getsockname(first, (struct sockaddr *)&got, &len), 0);
    memcpy(&a.ss, &got, sizeof got);
    assert_err(net_listen(&a, false, &second), ERR_CONFLICT);
    assert_err(net_listen(&a, true, &second), ERR_CONFLICT);
    close(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_have_one_form),
        cmocka_unit_test(peers_are_written_as_the_system_would),
        cmocka_unit_test(a_live_socket_is_not_taken_and_a_dead_one_is),
        cmocka_unit_test(a_port_is_taken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
