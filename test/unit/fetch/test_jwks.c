/* Background refresh of a key set: down at start, recovery, last good kept, unknown keys by the thousand. */
#include "peer.h"

#include "fetch/jwks.h"
#include "net/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct fetch_env env;
static bool have_node;

static int begin(void **state)
{
    (void)state;
    if (!certs_make()) return -1;
    struct peer probe;
    have_node = peer_start(&probe, 0);
    peer_stop(&probe);
    if (!have_node) print_message("skipped: no node to run the https peer\n");
    env.loop = loop_new(NULL);
    env.pool = offload_new(2, 16);
    return env.loop && env.pool ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    offload_free(&env.pool);
    loop_free(&env.loop);
    certs_remove();
    return 0;
}

static void need_node(void)
{
    if (!have_node) skip();
}

/* A port that nobody listens on at the moment. */
static unsigned free_port(void)
{
    struct net_addr a;
    int fd;
    assert_err(net_addr_parse(STR("127.0.0.1:0"), &a), ERR_OK);
    assert_err(net_listen(&a, false, &fd), ERR_OK);
    struct sockaddr_in in = {0};
    socklen_t len = sizeof in;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    close(fd);
    return ntohs(in.sin_port);
}

/* What the owner of the keys does with a document. */
struct keeper {
    unsigned taken;
    bool refuse;
    bool flag; /* set by each document taken */
    char text[256];
};

static enum err take(void *user, str json, const char **why)
{
    struct keeper *k = user;
    if (k->refuse) {
        *why = "no key set";
        return ERR_MALFORMED;
    }
    k->taken++;
    k->flag = true;
    snprintf(k->text, sizeof k->text, "%.*s", STR_ARG(json));
    return ERR_OK;
}

static struct jwks *start(struct keeper *k, unsigned port, const char *path, uint32_t refresh_ms, uint32_t min_ms)
{
    char url[128];
    snprintf(url, sizeof url, "https://localhost:%u%s", port, path);
    struct jwks_options o = {.name = STR("corp"),
                             .url = str_of(url),
                             .ca_file = str_of(ca_file),
                             .private_ok = true,
                             .refresh_ms = refresh_ms,
                             .min_interval_ms = min_ms,
                             .take = take,
                             .user = k};
    struct jwks *j;
    loop_turn(env.loop, 0);
    assert_err(jwks_new(&env, &o, &j), ERR_OK);
    return j;
}

static void turn_for(unsigned ms)
{
    bool never = false;
    turn_until(env.loop, &never, ms);
}

static struct jwks_status status_of(const struct jwks *j)
{
    struct jwks_status s;
    jwks_status(j, &s);
    return s;
}

static void fetched_at_once_and_refreshed(void **state)
{
    (void)state;
    need_node();
    struct peer p;
    assert_true(peer_start(&p, 0));
    struct keeper k = {0};
    struct jwks *j = start(&k, peer_port(&p, "good"), "/good", 300, 0);
    struct jwks_status s = status_of(j);
    assert_false(s.loaded || s.failing || s.fetching);
    assert_int_equal(s.last_ok_ms, 0);
    turn_until(env.loop, &k.flag, 2000);
    assert_string_equal(k.text, "{\"keys\":[]}");
    s = status_of(j);
    assert_true(s.loaded && !s.failing && !s.fetching);
    assert_int_equal(s.attempts, 1);
    assert_string_equal(s.last_error, "");
    assert_true(s.last_ok_ms >= s.last_try_ms && s.last_try_ms + 2000 > clock_wall_ms());
    assert_true(s.next_in_ms > 250 && s.next_in_ms <= 300); /* the interval less up to a tenth */
    turn_for(1000);
    assert_in_range(k.taken, 2, 5);
    jwks_free(&j);
    assert_null(j);
    unsigned taken = k.taken;
    turn_for(400);
    assert_int_equal(k.taken, taken);
    peer_stop(&p);
}

/* Attempts after about 0, 0.5, 1.5 and 3.5 s; the provider comes up in between and is found within seconds. */
static void down_at_start_then_up(void **state)
{
    (void)state;
    need_node();
    unsigned port = free_port();
    struct keeper k = {0};
    struct jwks *j = start(&k, port, "/good", 60000, 50);
    turn_for(100);
    struct jwks_status s = status_of(j);
    assert_true(s.failing && !s.loaded);
    assert_int_equal(s.attempts, 1);
    assert_non_null(strstr(s.last_error, "no connection"));
    assert_in_range(s.next_in_ms, 200, 500);
    jwks_want(j); /* does not speed up a provider that is down */
    assert_in_range(status_of(j).next_in_ms, 200, 500);
    turn_for(900); /* at 1 s; more on a machine that stalls */
    s = status_of(j);
    assert_in_range(s.attempts, 2, 3);
    assert_in_range(s.next_in_ms, 200, 2000);

    struct peer p;
    assert_true(peer_start(&p, port));
    uint64_t from = clock_mono_ns();
    turn_until(env.loop, &k.flag, 5000);
    assert_int_equal(k.taken, 1);
    assert_true(clock_mono_ns() - from < 3000000000u);
    s = status_of(j);
    assert_true(s.loaded && !s.failing);
    assert_int_equal(s.failures, s.attempts - 1);
    assert_true(s.next_in_ms > 50000); /* back to the refresh interval */
    peer_stop(&p);
    jwks_free(&j);
}

static void last_good_set_is_kept(void **state)
{
    (void)state;
    need_node();
    unsigned port = free_port();
    struct peer p;
    assert_true(peer_start(&p, port));
    struct keeper k = {0};
    struct jwks *j = start(&k, port, "/good", 200, 0);
    turn_until(env.loop, &k.flag, 2000);
    peer_stop(&p);
    turn_for(600);
    struct jwks_status s = status_of(j);
    assert_true(s.loaded && s.failing); /* loaded says: there are keys */
    assert_string_equal(k.text, "{\"keys\":[]}");
    unsigned taken = k.taken;
    assert_true(peer_start(&p, port));
    k.flag = false;
    turn_until(env.loop, &k.flag, 5000);
    assert_int_equal(k.taken, taken + 1);
    assert_false(status_of(j).failing);

    k.refuse = true; /* a document that is fetched, but is no key set */
    turn_for(400);
    s = status_of(j);
    assert_true(s.loaded && s.failing);
    assert_string_equal(s.last_error, "the document is not acceptable: no key set");
    assert_int_equal(k.taken, taken + 1);
    peer_stop(&p);
    jwks_free(&j);
}

/* The text, with or without the address behind it: that is told where the name has more than one. */
static bool says(const char *got, const char *want)
{
    size_t n = strlen(want);
    return strncmp(got, want, n) == 0 && (got[n] == 0 || got[n] == ':');
}

static void a_fault_is_named(void **state)
{
    (void)state;
    need_node();
    static const struct {
        const char *path, *want;
    } rows[] = {
        {"/404", "the answer is not 200: status 404"},
        {"/redirect", "the answer is a redirect, which is not followed: status 302"},
        {"/big-length", "the answer is too large"},
        {"/garbage", "the answer is no acceptable HTTP/1.1"},
    };
    struct peer p;
    assert_true(peer_start(&p, 0));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct keeper k = {0};
        struct jwks *j = start(&k, peer_port(&p, "good"), rows[i].path, 0, 0);
        for (int turn = 0; turn < 200 && !status_of(j).failing; turn++) loop_turn(env.loop, 20);
        if (!says(status_of(j).last_error, rows[i].want)) fail_msg("\"%s\"", status_of(j).last_error);
        assert_int_equal(k.taken, 0);
        jwks_free(&j);
    }
    peer_stop(&p);
}

/* However many tokens name however many unknown keys: one fetch in each interval. */
static void unknown_keys_cost_one_fetch_an_interval(void **state)
{
    (void)state;
    need_node();
    struct peer p;
    assert_true(peer_start(&p, 0));
    struct keeper k = {0};
    struct jwks *j = start(&k, peer_port(&p, "good"), "/good", 60000, 300);
    for (int i = 0; i < 1000; i++) jwks_want(j); /* before the first fetch began: it is coming anyway */
    turn_until(env.loop, &k.flag, 2000);
    assert_int_equal(status_of(j).attempts, 1);
    turn_for(400);
    assert_int_equal(status_of(j).attempts, 1); /* nobody asks, nothing happens */

    k.flag = false;
    jwks_want(j); /* the interval is over: at once */
    turn_until(env.loop, &k.flag, 2000);
    assert_int_equal(k.taken, 2);

    uint64_t from = clock_mono_ns(), asked = 0;
    while (clock_mono_ns() - from < 1500000000u) {
        for (int i = 0; i < 100; i++, asked++) jwks_want(j);
        loop_turn(env.loop, 5);
    }
    struct jwks_status s = status_of(j);
    assert_true(asked > 5000);
    assert_in_range(s.attempts, 2 + 2, 2 + 5); /* 1.5 s in pieces of 0.3 s */
    assert_int_equal(s.failures, 0);
    jwks_free(&j);
    peer_stop(&p);
}

static void wanting_never_puts_a_refresh_off(void **state)
{
    (void)state;
    need_node();
    struct peer p;
    assert_true(peer_start(&p, 0));
    struct keeper k = {0};
    struct jwks *j = start(&k, peer_port(&p, "good"), "/good", 200, 60000);
    turn_until(env.loop, &k.flag, 2000);
    k.flag = false;
    for (int turn = 0; turn < 400 && !k.flag; turn++) {
        jwks_want(j);
        loop_turn(env.loop, 5);
    }
    assert_true(k.flag);
    jwks_free(&j);
    peer_stop(&p);
}

static void no_second_fetch_beside_the_first(void **state)
{
    (void)state;
    need_node();
    struct peer p;
    assert_true(peer_start(&p, 0));
    struct keeper k = {0};
    struct jwks *j = start(&k, peer_port(&p, "good"), "/mute", 60000, 20);
    turn_for(100);
    assert_true(status_of(j).fetching);
    for (int turn = 0; turn < 40; turn++) {
        jwks_want(j);
        loop_turn(env.loop, 10);
    }
    assert_true(status_of(j).fetching);
    assert_int_equal(status_of(j).attempts, 1);
    jwks_free(&j);
    peer_stop(&p);
}

static void freed_at_any_time(void **state)
{
    (void)state;
    need_node();
    struct peer p;
    assert_true(peer_start(&p, 0));
    for (int turns = 0; turns < 12; turns++) {
        struct keeper k = {0};
        struct jwks *j = start(&k, peer_port(&p, "good"), "/good", 100, 0);
        for (int i = 0; i < turns; i++) loop_turn(env.loop, 10);
        jwks_free(&j);
        k.refuse = true;
        unsigned taken = k.taken;
        turn_for(30);
        assert_int_equal(k.taken, taken);
    }
    peer_stop(&p);
    jwks_free(&(struct jwks *){NULL});
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    need_node();
    struct peer p;
    assert_true(peer_start(&p, 0));
    char url[128];
    struct keeper k;
    struct jwks_options o = {.name = STR("corp"),
                             .ca_file = str_of(ca_file),
                             .private_ok = true,
                             .take = take,
                             .user = &k};
    snprintf(url, sizeof url, "https://localhost:%u/good", peer_port(&p, "good"));
    o.url = str_of(url);
    EACH_ALLOC_FAILING({
        k = (struct keeper){0};
        struct jwks *j = NULL;
        assert_err(jwks_new(&env, &o, &j), j ? ERR_OK : ERR_NO_MEMORY);
        for (int i = 0; j && i < 100 && !k.flag && !status_of(j).failing; i++) loop_turn(env.loop, 20);
        assert_true(k.flag != alloc_fail_hit());
        if (j) assert_true(says(status_of(j).last_error, alloc_fail_hit() ? "out of memory" : ""));
        jwks_free(&j);
        loop_turn(env.loop, 0);
    });
    peer_stop(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetched_at_once_and_refreshed),
        cmocka_unit_test(down_at_start_then_up),
        cmocka_unit_test(last_good_set_is_kept),
        cmocka_unit_test(a_fault_is_named),
        cmocka_unit_test(unknown_keys_cost_one_fetch_an_interval),
        cmocka_unit_test(wanting_never_puts_a_refresh_off),
        cmocka_unit_test(no_second_fetch_beside_the_first),
        cmocka_unit_test(freed_at_any_time),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
