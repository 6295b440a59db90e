#include "../../support/unit.h"

#include "../net/name_server.h"
#include "base/log.h"
#include "config/diag.h"
#include "roles/gateway_dns.h"
#include "roles/gateway_health.h"

#include <unistd.h>

/* Time that the test moves on, beside the real one that sockets need. */
static uint64_t skipped_ns;
uint64_t __real_clock_mono_ns(void);
uint64_t __wrap_clock_mono_ns(void);
uint64_t __wrap_clock_mono_ns(void)
{
    return __real_clock_mono_ns() + skipped_ns;
}

static struct name_server server;
static struct loop *loop;
static struct gateway_dns *names;
static struct config *config;
static struct snapshot *snap;
static unsigned changes, readies;
static bool refuse_change;
static char folder[] = "/tmp/sallyport-names-XXXXXX", hosts[64], resolv[64];

static void move_on(uint64_t ms)
{
    skipped_ns += ms * 1000000u;
    for (int i = 0; i < 3; i++) loop_turn(loop, 0);
}

/* Real time passes until `done`, which is a question's way through the sockets. */
#define TURN_UNTIL(done)                                                                                               \
    do {                                                                                                               \
        for (int i_ = 0; i_ < 1000 && !(done); i_++) loop_turn(loop, 5);                                               \
        assert_true(done);                                                                                             \
    } while (0)

static struct config *parse(const char *instances)
{
    char text[512];
    struct diags d;
    struct config *c = NULL;
    snprintf(
        text, sizeof text,
        "{\"sallyport\": 1, \"listen\": {\"gateway\": \"127.0.0.1:1\", \"admin\": \"none\"}, \"services\": {\"app\": "
        "{\"instances\": [%s]}}, \"actions\": {\"a\": {\"match\": \"GET /a\", \"to\": \"app\", \"public\": true}}, "
        "\"dns\": {\"servers\": [\"127.0.0.1:%u\"]}}",
        instances, server.port);
    diags_init(&d, STR("test"));
    if (config_parse(str_of(text), STR("/"), NULL, &d, &c) != ERR_OK) {
        struct buf b;
        buf_init(&b, 1 << 16);
        diags_print(&d, &b);
        fail_msg("%.*s", STR_ARG(buf_str(&b)));
    }
    diags_free(&d);
    return c;
}

static struct snapshot *compile(void)
{
    struct diags d;
    struct snapshot *s = NULL;
    const struct config_source source = {.names = gateway_dns_names, .names_ctx = names};
    diags_init(&d, STR("test"));
    assert_err(snapshot_build(config, &source, 1, &d, &s), ERR_OK);
    diags_free(&d);
    return s;
}

static enum err on_changed(void *ctx, const struct snapshot_addresses *now)
{
    struct diags d;
    struct snapshot *other = NULL;
    (void)ctx;
    changes++;
    if (refuse_change) return ERR_NO_MEMORY;
    diags_init(&d, STR("test"));
    assert_err(snapshot_readdress(config, snap, now, 2, &d, &other), ERR_OK);
    diags_free(&d);
    snapshot_unref(&snap);
    snap = other;
    gateway_dns_follow(names, snap);
    return ERR_OK;
}

static void on_ready(void *ctx)
{
    (void)ctx;
    readies++;
}

static void begin(const char *instances)
{
    const struct gateway_dns_env env = {.loop = loop,
                                        .hosts_path = hosts,
                                        .resolv_path = resolv,
                                        .changed = on_changed,
                                        .ready = on_ready};
    changes = readies = 0;
    refuse_change = false;
    assert_err(gateway_dns_new(&env, &names), ERR_OK);
    config = parse(instances);
    gateway_dns_first(names, config);
    snap = compile();
    gateway_dns_follow(names, snap);
}

static void end(void)
{
    gateway_dns_free(&names);
    snapshot_unref(&snap);
    config_free(&config);
}

static const char *shown(void)
{
    static char text[1024];
    size_t n = 0;
    const struct snapshot_service *s = &snap->services[0];
    text[0] = 0;
    for (uint32_t i = 0; i < s->n_instances; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i ? " " : "", STR_ARG(s->instances[i].shown));
    return text;
}

static struct gateway_dns_status status(void)
{
    struct gateway_dns_status s;
    gateway_dns_status(names, &s);
    return s;
}

static void first_and_fresh(void **state)
{
    (void)state;
    atomic_store(&server.turn, 1);
    begin("\"change.test:80\", \"a.test:81\", \"10.9.9.9:82\", \"a.hosts.test:83\"");
    assert_string_equal(shown(), "10.2.0.1:80 10.0.0.1:81 10.0.0.2:81 [fd00::1]:81 10.9.9.9:82 10.9.0.1:83");
    assert_int_equal(status().names, 3);
    uint64_t before = status().lookups;
    move_on(500);
    assert_int_equal(status().lookups, before); /* nobody's time is over */
    /* the same again is no change */
    move_on(600);
    TURN_UNTIL(status().lookups > before);
    for (int i = 0; i < 20; i++) loop_turn(loop, 5);
    assert_int_equal(changes, 0);
    atomic_store(&server.turn, 7);
    move_on(1000);
    TURN_UNTIL(changes);
    assert_string_equal(shown(), "10.2.0.7:80 10.0.0.1:81 10.0.0.2:81 [fd00::1]:81 10.9.9.9:82 10.9.0.1:83");
    /* what cannot be put into force is tried again */
    refuse_change = true;
    atomic_store(&server.turn, 8);
    move_on(1000);
    TURN_UNTIL(changes == 2);
    refuse_change = false;
    move_on(1000);
    TURN_UNTIL(changes >= 3);
    assert_int_equal(status().changes, 2);
    assert_memory_equal(shown(), "10.2.0.8:80", 11);
    end();
}

/* Pauses of 1, 2, 4, 8, 16, 30, 30 s, each up to a tenth shorter. */
static void back_off(void **state)
{
    static const uint64_t want_ms[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    (void)state;
    begin("\"fail.test:80\"");
    assert_string_equal(shown(), "");
    assert_int_equal(status().failing, 1);
    for (size_t i = 0; i < ARRAY_LEN(want_ms); i++) {
        uint64_t before = status().lookups, failures = status().failures, from = loop_now_ms(loop);
        while (status().lookups == before && loop_now_ms(loop) < from + 100000) move_on(50);
        uint64_t waited = loop_now_ms(loop) - from;
        if (waited < want_ms[i] * 9 / 10 - 150 || waited > want_ms[i] + 150)
            fail_msg("pause %zu: %lu ms, not %lu", i, (unsigned long)waited, (unsigned long)want_ms[i]);
        TURN_UNTIL(status().failures > failures);
    }
    end();
}

/* What is known in part is asked for again soon, whatever the time to live of that part is. */
static void in_part(void **state)
{
    (void)state;
    begin("\"partly.test:80\", \"old.test:80\"");
    assert_string_equal(shown(), "10.0.0.6:80 10.0.0.4:80");
    assert_int_equal(status().failing, 0);
    uint64_t before = status().lookups, from = loop_now_ms(loop);
    while (status().lookups == before && loop_now_ms(loop) < from + 100000) move_on(200);
    assert_in_range(loop_now_ms(loop) - from, 26000, 30500);
    end();
}

static void waiting(void **state)
{
    (void)state;
    begin("\"a.test:80\"");
    struct config *other = parse("\"a.test:80\", \"v4.test:80\", \"none.test:80\"");
    assert_false(gateway_dns_want(names, other));
    TURN_UNTIL(readies);
    assert_true(gateway_dns_want(names, other));
    assert_int_equal(readies, 1);
    config_free(&config);
    config = other;
    snapshot_unref(&snap);
    snap = compile();
    gateway_dns_follow(names, snap);
    assert_string_equal(shown(), "10.0.0.1:80 10.0.0.2:80 [fd00::1]:80 10.0.0.3:80");
    /* silence: after its time the answer is that there is none */
    struct config *silent = parse("\"dead.test:80\"");
    assert_false(gateway_dns_want(names, silent));
    move_on(4900);
    assert_int_equal(readies, 1);
    assert_false(gateway_dns_want(names, silent));
    move_on(200);
    TURN_UNTIL(readies == 2);
    assert_true(gateway_dns_want(names, silent));
    config_free(&silent);
    /* draining: no more of anything */
    gateway_dns_stop(names);
    uint64_t before = status().lookups;
    move_on(100000);
    assert_int_equal(status().lookups, before);
    end();
}

static void memory(void **state)
{
    (void)state;
    config = parse("\"change.test:80\", \"a.test:81\"");
    EACH_ALLOC_FAILING({
        const struct gateway_dns_env env = {.loop = loop,
                                            .hosts_path = hosts,
                                            .resolv_path = resolv,
                                            .changed = on_changed,
                                            .ready = on_ready};
        if (gateway_dns_new(&env, &names) == ERR_OK) {
            gateway_dns_first(names, config);
            gateway_dns_free(&names);
        }
    });
    config_free(&config);
}

static void judgement(void **state)
{
    /* results as they come, '+' and '-'; what the verdict is after each: U(nknown), u(p), d(own) */
    static const struct {
        const char *name;
        uint32_t healthy, unhealthy;
        const char *results, *verdicts;
    } table[] = {
        {"the first good one decides", 2, 3, "+", "u"},
        {"bad ones of an unknown instance are counted", 2, 3, "---", "UUd"},
        {"a good one between", 2, 3, "--+", "UUu"},
        {"three in a row", 2, 3, "+--+---", "uuuuuud"},
        {"two to come back", 2, 3, "---+-++", "UUddddu"},
        {"a bad one more changes nothing", 2, 3, "-----++",
         "UUdddd"
         "u"},
        {"one of each", 1, 1, "-+-+", "dudu"},
        {"nought counts as one", 0, 0, "-+-+", "dudu"},
        {"flapping below both", 3, 3, "+--+--+--+--", "uuuuuuuuuuuu"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct health_state s = {0};
        for (size_t k = 0; table[i].results[k]; k++) {
            enum instance_health before = s.verdict;
            bool turned = health_judge(&s, table[i].results[k] == '+', table[i].healthy, table[i].unhealthy);
            char got = s.verdict == INSTANCE_UP ? 'u' : s.verdict == INSTANCE_DOWN ? 'd' : 'U';
            if (got != table[i].verdicts[k] || turned != (before != s.verdict))
                fail_msg("%s: after %zu results '%c'", table[i].name, k + 1, got);
        }
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(hosts, sizeof hosts, "%s/hosts", folder);
    snprintf(resolv, sizeof resolv, "%s/resolv.conf", folder);
    write_file(hosts, "10.9.0.1 a.hosts.test\n");
    write_file(resolv, "nameserver 127.0.0.1\n");
    name_server_start(&server);
    loop = loop_new(NULL);
    log_set_level(LOG_LEVEL_OFF);
    return loop ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(&loop);
    name_server_stop(&server);
    unlink(hosts);
    unlink(resolv);
    rmdir(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(judgement), cmocka_unit_test(first_and_fresh),
                                       cmocka_unit_test(back_off),  cmocka_unit_test(in_part),
                                       cmocka_unit_test(waiting),   cmocka_unit_test(memory)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
