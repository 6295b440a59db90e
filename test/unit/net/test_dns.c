#include "../../support/unit.h"

#include "name_server.h"
#include "net/dns.h"
#include "net/dns_hosts.h"

#include <unistd.h>

static struct name_server server;
static struct loop *loop;
static struct dns *dns;
static char folder[] = "/tmp/sallyport-dns-XXXXXX";
static char hosts[64], resolv[64], servers[64];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct dns *open_dns(const char *list, uint32_t timeout_ms)
{
    struct dns *d = NULL;
    struct dns_options o = {.servers = list, .hosts_path = hosts, .resolv_path = resolv, .timeout_ms = timeout_ms};
    assert_err(dns_new(loop, &o, &d), ERR_OK);
    return d;
}

/* --- one question, and its answer as text: "10.0.0.1:80 10.0.0.2:80", SRV with priority/weight --- */

struct got {
    bool there;
    enum dns_fault fault;
    uint32_t ttl_ms;
    size_t n, n_failed;
    bool left_out;
    char text[8192];
};

static void on_answer(void *user, const struct dns_answer *a)
{
    struct got *g = user;
    *g = (struct got){true, a->fault, a->ttl_ms, a->n, a->n_failed, a->left_out, ""};
    size_t at = 0;
    for (size_t i = 0; i < a->n; i++) {
        char one[NET_TEXT_MAX];
        net_addr_text(&a->v[i].addr, one);
        at += (size_t)snprintf(g->text + at, sizeof g->text - at, "%s%s", i ? " " : "", one);
        if (a->v[i].weight || a->v[i].priority)
            at += (size_t)snprintf(g->text + at, sizeof g->text - at, "/%u/%u", a->v[i].priority, a->v[i].weight);
    }
}

static void wait_for(struct dns *d, struct got *g)
{
    (void)d;
    for (int i = 0; i < 2000 && !g->there; i++) loop_turn(loop, 10);
    assert_true(g->there);
}

static struct got ask_of(struct dns *d, const char *name, bool service)
{
    static struct got g;
    struct dns_question *q = NULL;
    g = (struct got){0};
    assert_err(dns_ask(d, str_of(name), 80, service, on_answer, &g, &q), ERR_OK);
    assert_false(g.there); /* never from inside */
    wait_for(d, &g);
    return g;
}

static void answers(void **state)
{
    static const struct {
        const char *name;
        bool service;
        enum dns_fault fault;
        const char *text;
        uint32_t ttl_ms;
        size_t failed;
    } table[] = {
        {"a.test", false, DNS_FAULT_NONE, "10.0.0.1:80 10.0.0.2:80 [fd00::1]:80", 7000, 0},
        {"A.TEST.", false, DNS_FAULT_NONE, "10.0.0.1:80 10.0.0.2:80 [fd00::1]:80", 7000, 0},
        {"v4.test", false, DNS_FAULT_NONE, "10.0.0.3:80", 3000, 0},
        {"alias.test", false, DNS_FAULT_NONE, "10.0.0.1:80", 4000, 0},
        {"twice.test", false, DNS_FAULT_NONE, "10.0.0.1:80 10.0.0.2:80", 7000, 0},
        {"zero.test", false, DNS_FAULT_NONE, "10.0.0.4:80", 1000, 0},
        {"old.test", false, DNS_FAULT_NONE, "10.0.0.4:80", 3600000, 0},
        {"negative.test", false, DNS_FAULT_NONE, "10.0.0.4:80", 1000, 0},
        {"foreign.test", false, DNS_FAULT_NONE, "10.0.0.5:80", 7000, 0},
        {"wrongid.test", false, DNS_FAULT_NONE, "10.0.0.7:80", 7000, 0},
        {"wrongname.test", false, DNS_FAULT_NONE, "10.0.0.7:80", 7000, 0},
        {"half.test", false, DNS_FAULT_NONE, "10.0.0.6:80", 7000, 1},
        {"none.test", false, DNS_FAULT_NAME, "", 9000, 0},
        {"loop.test", false, DNS_FAULT_ANSWER, "", 0, 2},
        {"chain.test", false, DNS_FAULT_ANSWER, "", 0, 2},
        {"garbage.test", false, DNS_FAULT_ANSWER, "", 0, 2},
        {"fail.test", false, DNS_FAULT_SERVER, "", 0, 2},
        {"refused.test", false, DNS_FAULT_SERVER, "", 0, 2},
        /* the file counts before the servers */
        {"a.hosts.test", false, DNS_FAULT_NONE, "10.9.0.1:80 10.9.0.2:80 [fd09::1]:80", 10000, 0},
        {"localhost", false, DNS_FAULT_NONE, "127.0.0.1:80", 10000, 0},
        {"x.localhost", false, DNS_FAULT_NONE, "127.0.0.1:80", 10000, 0},
        /* the search list */
        {"short", false, DNS_FAULT_NONE, "10.0.0.3:80", 3000, 0},
        {"short.", false, DNS_FAULT_NAME, "", 9000, 0},
        {"nowhere", false, DNS_FAULT_NAME, "", 9000, 0},
        {"fail", false, DNS_FAULT_SERVER, "", 9000, 0},
        {"_http._tcp.svc.test", true, DNS_FAULT_NONE,
         "10.0.0.1:8001/10/60 10.0.0.2:8001/10/60 10.0.0.3:8002/10/40 [fd00::1]:8001/10/60 10.0.0.3:8003/20/0", 3000,
         0},
        {"_http._tcp.half.test", true, DNS_FAULT_NONE, "10.0.0.3:8001/10/1", 3000, 2},
        {"_http._tcp.not.test", true, DNS_FAULT_NAME, "", 20000, 0},
        {"_http._tcp.none.test", true, DNS_FAULT_NAME, "", 9000, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct got g = ask_of(dns, table[i].name, table[i].service);
        bool ttl = g.ttl_ms == table[i].ttl_ms || g.fault > DNS_FAULT_NAME;
        bool failed = g.n_failed == table[i].failed || g.fault > DNS_FAULT_NAME;
        if (g.fault != table[i].fault || strcmp(g.text, table[i].text) != 0 || !ttl || !failed)
            fail_msg("%s: %s \"%s\" ttl %u failed %zu", table[i].name, dns_fault_text(g.fault), g.text, g.ttl_ms,
                     g.n_failed);
    }
}

static void sizes(void **state)
{
    (void)state;
    unsigned before = atomic_load(&server.tcp_queries);
    struct got g = ask_of(dns, "big.test", false);
    assert_int_equal(g.n, 50); /* 800 bytes: by TCP */
    assert_false(g.left_out);
    assert_true(atomic_load(&server.tcp_queries) > before);
    g = ask_of(dns, "huge.test", false);
    assert_int_equal(g.n, DNS_ADDRESSES_MAX);
    assert_true(g.left_out);
    g = ask_of(dns, "_http._tcp.many.test", true);
    assert_int_equal(g.n, DNS_TARGETS_MAX);
    assert_true(g.left_out);
}

static void changes(void **state)
{
    (void)state;
    for (unsigned i = 1; i < 5; i++) {
        char want[32];
        atomic_store(&server.turn, i);
        snprintf(want, sizeof want, "10.2.0.%u:80", i);
        struct got g = ask_of(dns, "change.test", false);
        assert_string_equal(g.text, want);
    }
}

static void many_at_once(void **state)
{
    static struct got g[DNS_QUESTIONS_MAX];
    static struct dns_question *q[DNS_QUESTIONS_MAX], *more = NULL;
    (void)state;
    memset(g, 0, sizeof g);
    for (size_t i = 0; i < DNS_QUESTIONS_MAX; i++)
        assert_err(dns_ask(dns, i % 3 ? STR("a.test") : STR("big.test"), 80, false, on_answer, &g[i], &q[i]), ERR_OK);
    assert_err(dns_ask(dns, STR("a.test"), 80, false, on_answer, &g[0], &more), ERR_LIMIT);
    for (size_t i = 64; i < DNS_QUESTIONS_MAX; i++) dns_cancel(&q[i]); /* so many packets fit into the kernel's room */
    for (size_t i = 0; i < 64; i++) {
        wait_for(dns, &g[i]);
        assert_int_equal(g[i].n, i % 3 ? 3 : 50);
    }
    assert_int_equal(dns_under_way(dns), 0);
}

static void bad_names(void **state)
{
    static const char *const names[] = {"",
                                        ".",
                                        "..",
                                        "a..b",
                                        ".a",
                                        "a b",
                                        "a\nb",
                                        "a/b",
                                        "ä.test",
                                        "a.test..",
                                        "0123456789012345678901234567890123456789012345678901234567890123.test"};
    struct dns_question *q = NULL;
    struct got g;
    char longest[256];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_err(dns_ask(dns, str_of(names[i]), 80, false, on_answer, &g, &q), ERR_MALFORMED);
    assert_err(dns_ask(dns, (str){"a\0b", 3}, 80, false, on_answer, &g, &q), ERR_MALFORMED);
    for (size_t i = 0; i < sizeof longest; i++) longest[i] = i % 50 == 49 ? '.' : 'x';
    assert_err(dns_ask(dns, str_make(longest, 254), 80, false, on_answer, &g, &q), ERR_MALFORMED);
    g = ask_of(dns, "longest-label-012345678901234567890123456789012345678901234567.test", false);
    assert_int_equal(g.fault, DNS_FAULT_NAME);
}

/* A silent server: the question ends in its time, and not before c-ares has tried twice. */
static void silence(void **state)
{
    (void)state;
    struct dns *d = open_dns(servers, 600);
    uint64_t from = loop_now_ms(loop);
    unsigned before = atomic_load(&server.queries);
    struct got g = ask_of(d, "dead.test", false);
    uint64_t took = loop_now_ms(loop) - from;
    assert_int_equal(g.fault, DNS_FAULT_TIME);
    assert_in_range(took, 500, 1500);
    assert_int_equal(atomic_load(&server.queries) - before, 4); /* two families, twice */
    dns_free(&d);
    /* nobody at all: the kernel says so at once */
    d = open_dns("127.0.0.1:1", 600);
    g = ask_of(d, "a.test", false);
    assert_int_equal(g.fault, DNS_FAULT_SERVER);
    dns_free(&d);
    /* the first does not answer, the second does; IPv6 with a port is understood */
    char list[96];
    snprintf(list, sizeof list, "127.0.0.1:1,[::1]:1,%s", servers);
    d = open_dns(list, 3000);
    g = ask_of(d, "a.test", false);
    assert_int_equal(g.fault, DNS_FAULT_NONE);
    dns_free(&d);
}

static void cancelled(void **state)
{
    static struct got g;
    struct dns_question *q = NULL;
    (void)state;
    struct dns *d = open_dns(servers, 2000);
    g = (struct got){0};
    assert_err(dns_ask(d, STR("a.test"), 80, false, on_answer, &g, &q), ERR_OK);
    dns_cancel(&q); /* before it began */
    assert_null(q);
    assert_int_equal(dns_under_way(d), 0);
    assert_err(dns_ask(d, STR("dead.test"), 80, false, on_answer, &g, &q), ERR_OK);
    loop_turn(loop, 10);
    dns_cancel(&q); /* under way: c-ares still has it */
    assert_int_equal(dns_under_way(d), 1);
    assert_err(dns_ask(d, STR("dead.test"), 80, false, on_answer, &g, &q), ERR_OK);
    loop_turn(loop, 10);
    dns_free(&d); /* with questions of both kinds */
    for (int i = 0; i < 5; i++) loop_turn(loop, 5);
    assert_false(g.there);
}

static void no_list_of_servers(void **state)
{
    static const char *const lists[] = {"ns.example", "127.0.0.1:", "127.0.0.1:x", "1.2.3", "127.0.0.1:99999", ""};
    struct dns *d = NULL;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct dns_options o = {.servers = lists[i], .hosts_path = hosts, .resolv_path = resolv};
        enum err e = dns_new(loop, &o, &d);
        if (e == ERR_OK) fail_msg("\"%s\" was taken", lists[i]);
        assert_err(e, ERR_MALFORMED);
    }
}

/* resolv.conf is read again when it has changed. */
static void resolv_changes(void **state)
{
    char text[128];
    (void)state;
    write_file(resolv, "search other.test\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
    struct dns *d = open_dns(servers, 1000);
    struct got g = ask_of(d, "short", false);
    assert_int_equal(g.fault, DNS_FAULT_NAME);
    snprintf(text, sizeof text, "search lan.test\nnameserver 127.0.0.1\n");
    write_file(resolv, text);
    for (int i = 0; i < 120; i++) loop_turn(loop, 10); /* it is looked at once a second */
    g = ask_of(d, "short", false);
    assert_int_equal(g.fault, DNS_FAULT_NONE);
    dns_free(&d);
}

static void hosts_lines(void **state)
{
    static const struct {
        const char *line;
        const char *want; /* NULL: not it */
    } table[] = {
        {"10.0.0.1 host", "10.0.0.1:0"},
        {"10.0.0.1\tother  HOST alias\n", "10.0.0.1:0"},
        {"fd00::1 host#comment", "[fd00::1]:0"},
        {"10.0.0.1 other # host", NULL},
        {"# 10.0.0.1 host", NULL},
        {"10.0.0.1", NULL},
        {"", NULL},
        {"host 10.0.0.1", NULL},
        {"10.0.0 host", NULL},
        {"10.0.0.1.1 host", NULL},
        {"fe80::1%eth0 host", NULL},
        {"00000000000000000000000000000000000000000000000000000000000000001 host", NULL},
        {"10.0.0.1 hostess", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct net_addr a;
        char text[NET_TEXT_MAX] = "";
        bool got = dns_hosts_line(str_of(table[i].line), STR("host"), &a);
        if (got) net_addr_text(&a, text);
        if (got != (table[i].want != NULL) || (got && strcmp(text, table[i].want) != 0))
            fail_msg("\"%s\": %d %s", table[i].line, got, text);
    }
}

static void memory(void **state)
{
    static struct got g;
    (void)state;
    EACH_ALLOC_FAILING({
        struct dns *d = NULL;
        struct dns_question *q = NULL;
        struct dns_options o = {.servers = servers, .hosts_path = hosts, .resolv_path = resolv, .timeout_ms = 1000};
        g = (struct got){0};
        if (dns_new(loop, &o, &d) == ERR_OK) {
            if (dns_ask(d, STR("_http._tcp.svc.test"), 0, true, on_answer, &g, &q) == ERR_OK) {
                wait_for(d, &g);
                assert_true(g.fault == DNS_FAULT_NONE || g.fault == DNS_FAULT_MEMORY);
            }
            dns_free(&d);
        }
    });
    assert_int_equal(g.fault, DNS_FAULT_NONE);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(hosts, sizeof hosts, "%s/hosts", folder);
    snprintf(resolv, sizeof resolv, "%s/resolv.conf", folder);
    write_file(hosts, "# names of the tests\n10.9.0.1 other.test a.hosts.test\nfd09::1\tA.hosts.test # and more\n"
                      "10.9.0.2 a.hosts.test\n10.9.0.1 a.hosts.test\n10.9.0.3 b.hosts.test a.hosts.test.not\n");
    write_file(resolv, "search lan.test\nnameserver 127.0.0.1\n");
    name_server_start(&server);
    snprintf(servers, sizeof servers, "127.0.0.1:%u", server.port);
    loop = loop_new(NULL);
    dns = open_dns(servers, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dns_free(&dns);
    loop_free(&loop);
    name_server_stop(&server);
    unlink(hosts);
    unlink(resolv);
    rmdir(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),        cmocka_unit_test(sizes),
        cmocka_unit_test(changes),        cmocka_unit_test(many_at_once),
        cmocka_unit_test(bad_names),      cmocka_unit_test(silence),
        cmocka_unit_test(cancelled),      cmocka_unit_test(no_list_of_servers),
        cmocka_unit_test(resolv_changes), cmocka_unit_test(hosts_lines),
        cmocka_unit_test(memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
