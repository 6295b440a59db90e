/* What a resolver may say: the test's own stands in for the system's (getaddrinfo is wrapped at link time). */
#include "peer.h"

#include "net/socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out);
void __wrap_freeaddrinfo(struct addrinfo *list);

static struct peer peer;
static struct fetch_env env;
static atomic_uint asked; /* the resolver runs on the pool's threads */

static const struct answer {
    const char *host;
    unsigned sleep_ms;
    const char *ip[10];
} answers[] = {
    {"one.peer.test", 0, {"127.0.0.1"}},
    {"refusing-first.peer.test", 0, {"127.0.0.2", "127.0.0.1"}},
    {"silent-first.peer.test", 0, {"127.0.0.3", "127.0.0.1"}},
    {"forbidden-first.peer.test", 0, {"169.254.169.254", "0.0.0.0", "127.0.0.1"}},
    {"metadata.peer.test", 0, {"169.254.169.254"}},
    {"nobody.peer.test", 0, {NULL}},
    {"slow.peer.test", 600, {"127.0.0.1"}},
    {"many.peer.test",
     0,
     {"127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.2",
      "127.0.0.1"}},
    {"private.peer.test", 0, {"10.1.2.3", "192.168.1.1"}},
};

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)hints;
    atomic_fetch_add(&asked, 1);
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        if (strcmp(answers[i].host, host) != 0) continue;
        usleep(answers[i].sleep_ms * 1000);
        struct addrinfo *list = NULL, **last = &list;
        for (size_t a = 0; a < ARRAY_LEN(answers[i].ip) && answers[i].ip[a]; a++) {
            struct {
                struct addrinfo info;
                struct net_addr addr;
            } *piece = calloc(1, sizeof *piece);
            char text[64];
            snprintf(text, sizeof text, "%s:%s", answers[i].ip[a], port);
            if (!piece || net_addr_parse(str_of(text), &piece->addr) != ERR_OK) abort();
            piece->info.ai_addr = (struct sockaddr *)&piece->addr.ss;
            piece->info.ai_addrlen = piece->addr.len;
            *last = &piece->info;
            last = &piece->info.ai_next;
        }
        *out = list;
        return 0;
    }
    return EAI_NONAME;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    while (list) {
        struct addrinfo *next = list->ai_next;
        free(list);
        list = next;
    }
}

static int begin(void **state)
{
    (void)state;
    if (!certs_make()) return -1;
    if (!peer_start(&peer, 0)) print_message("skipped: no node to run the https peer\n");
    env.loop = loop_new(NULL);
    env.pool = offload_new(1, 2);
    return env.loop && env.pool ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    offload_free(&env.pool);
    loop_free(&env.loop);
    peer_stop(&peer);
    certs_remove();
    return 0;
}

static struct outcome get(const char *host, bool private_ok, unsigned timeout_ms)
{
    char url[256];
    struct outcome out = {0};
    struct fetch *f;
    struct fetch_options o = {.ca_file = ca_file, .private_ok = private_ok, .timeout_ms = timeout_ms};
    snprintf(url, sizeof url, "https://%s:%u/good", host, peer_port(&peer, "good"));
    loop_turn(env.loop, 0);
    assert_err(fetch_start(&env, str_of(url), &o, outcome_take, &out, &f), ERR_OK);
    turn_until(env.loop, &out.done, 8000);
    loop_turn(env.loop, 0);
    return out;
}

static void need_peer(void)
{
    if (peer.n == 0) skip();
}

/* Something that listens on 127.0.0.3 and takes nobody in any more: what asks next gets no answer. */
static void fill_up(unsigned port, int fds[8])
{
    char text[64];
    struct net_addr a;
    bool done;
    snprintf(text, sizeof text, "127.0.0.3:%u", port);
    assert_err(net_addr_parse(str_of(text), &a), ERR_OK);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fds[0], (struct sockaddr *)&a.ss, a.len), 0);
    assert_int_equal(listen(fds[0], 0), 0);
    for (int i = 1; i < 8; i++) assert_err(net_connect(&a, &fds[i], &done), ERR_OK);
}

static void table(void **state)
{
    (void)state;
    need_peer();
    static const struct {
        const char *host;
        bool private_ok;
        unsigned timeout_ms;
        enum fetch_fault want;
        const char *detail;
    } rows[] = {
        {"one.peer.test", true, 0, FETCH_FAULT_NONE, ""},
        {"one.peer.test", false, 0, FETCH_FAULT_ADDRESS, "127.0.0.1:"},
        {"refusing-first.peer.test", true, 0, FETCH_FAULT_NONE, ""},
        {"silent-first.peer.test", true, 0, FETCH_FAULT_NONE, ""},
        {"forbidden-first.peer.test", true, 0, FETCH_FAULT_NONE, ""},
        {"metadata.peer.test", true, 0, FETCH_FAULT_ADDRESS, "169.254.169.254:"},
        {"private.peer.test", false, 0, FETCH_FAULT_ADDRESS, "192.168.1.1:"},
        {"nobody.peer.test", true, 0, FETCH_FAULT_NAME, "no address"},
        {"unknown.peer.test", true, 0, FETCH_FAULT_NAME, "not known"},
        {"many.peer.test", true, 0, FETCH_FAULT_CONNECT, "127.0.0.2:"}, /* the ninth is not looked at */
        {"slow.peer.test", true, 200, FETCH_FAULT_TIME, "looking the name up"},
    };
    int fds[8];
    fill_up(peer_port(&peer, "good"), fds);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned before = atomic_load(&asked);
        struct outcome out = get(rows[i].host, rows[i].private_ok, rows[i].timeout_ms);
        if (out.fault != rows[i].want || !strstr(out.detail, rows[i].detail))
            fail_msg("%s: %s (%s)", rows[i].host, fetch_fault_text(out.fault), out.detail);
        assert_int_equal(atomic_load(&asked), before + 1); /* once: a second answer could be another */
    }
    for (int i = 0; i < 8; i++) close(fds[i]);
}

/* One slow lookup holds the only thread, two wait, the next is told so. All end, cancelled or not. */
static void lookups_are_bounded(void **state)
{
    (void)state;
    need_peer();
    struct outcome out[6] = {0};
    struct fetch *f[6];
    struct fetch_options o = {.ca_file = ca_file, .private_ok = true};
    char url[128];
    snprintf(url, sizeof url, "https://slow.peer.test:%u/good", peer_port(&peer, "good"));
    for (int i = 0; i < 50; i++) loop_turn(env.loop, 20); /* what earlier tests left on the pool */
    unsigned before = atomic_load(&asked);
    for (int i = 0; i < 6; i++) {
        assert_err(fetch_start(&env, str_of(url), &o, outcome_take, &out[i], &f[i]), ERR_OK);
        loop_turn(env.loop, 0);
        while (atomic_load(&asked) == before) loop_turn(env.loop, 5); /* the first has left the queue */
    }
    loop_turn(env.loop, 0);
    unsigned busy = 0;
    for (int i = 0; i < 6; i++) busy += out[i].done && out[i].fault == FETCH_FAULT_BUSY;
    assert_int_equal(busy, 3);
    assert_false(out[0].done || out[1].done || out[2].done);
    fetch_cancel(&f[1]); /* while it waits */
    turn_until(env.loop, &out[2].done, 6000);
    assert_int_equal(out[0].fault, FETCH_FAULT_NONE);
    assert_false(out[1].done);
    assert_int_equal(out[2].fault, FETCH_FAULT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(lookups_are_bounded),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
