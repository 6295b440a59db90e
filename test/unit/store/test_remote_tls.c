/* The store from another machine: every promise of store/store.h over mutual TLS, and who is not let in. */
#include "suite.h"

#include "crypto/x509.h"
#include "net/socket.h"
#include "store/listener.h"
#include "store/remote.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static char dir[64], path[96];
static struct keeper *keeper;
static struct store_listener *listener;
static struct loop *server_loop;
static pthread_t server;
static struct mail mail;

/* --- authorities and certificates, made by openssl(1) --- */

static char certificates[64];

static const char *file(const char *name)
{
    static char room[4][128];
    static unsigned turn;
    char *at = room[turn++ % ARRAY_LEN(room)];
    snprintf(at, sizeof room[0], "%s/%s", certificates, name);
    return at;
}

static void run(const char *command)
{
    char line[1024];
    snprintf(line, sizeof line, "cd %s && (%s) >log 2>&1", certificates, command);
    if (system(line) != 0) fail_msg("%s", line); /* NOLINT(cert-env33-c): a constant */
}

static void make_certificates(void)
{
    snprintf(certificates, sizeof certificates, "/tmp/sallyport-tls-XXXXXX");
    assert_non_null(mkdtemp(certificates));
    run("for a in ours theirs; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $a.key "
        "-out $a.pem -days 3650 -subj /CN=$a; done; "
        "make() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $2.key -out $2.csr -subj "
        "/CN=$2 "
        "&& printf \"subjectAltName=$3\\nextendedKeyUsage=$4\\n\" >$2.ext && openssl x509 -req -in $2.csr -CA $1.pem "
        "-CAkey $1.key -CAcreateserial -days 3650 -extfile $2.ext -out $2.pem; }; "
        "make ours data IP:127.0.0.1 serverAuth && make ours gateway DNS:gateway clientAuth && "
        "make ours other DNS:other clientAuth && make ours elsewhere DNS:elsewhere serverAuth && "
        "make theirs stranger DNS:gateway clientAuth");
}

static str slurp(const char *name, char room[8192])
{
    FILE *f = fopen(file(name), "r");
    assert_non_null(f);
    size_t n = fread(room, 1, 8192, f);
    fclose(f);
    return str_make(room, n);
}

static struct store_pin pin_of(const char *name)
{
    char room[8192];
    struct x509_chain *c;
    struct store_pin pin;
    assert_err(x509_chain_parse(slurp(name, room), &c, NULL), ERR_OK);
    x509_chain_spki_sha256(c, pin.spki_sha256);
    x509_chain_free(&c);
    return pin;
}

static struct tls_server *server_tls(const char *certificate, const char *key)
{
    char cert[8192], key_room[8192], ca[8192], why[256];
    struct tls_server_certificate one = {.cert_pem = slurp(certificate, cert),
                                         .key_pem = slurp(key, key_room),
                                         .label = STR("test")};
    struct tls_server_options o = {.certificates = &one, .n = 1, .clients_ca_pem = slurp("ours.pem", ca)};
    struct tls_server *t;
    assert_err(tls_server_new(&o, &t, why), ERR_OK);
    return t;
}

/* certificate NULL: shows none. */
static struct tls_upstream *client_tls(const char *authority, const char *certificate, const char *key)
{
    char ca[8192], cert[8192], key_room[8192], why[256];
    struct tls_upstream_options o = {.ca_pem = slurp(authority, ca), .name = STR("127.0.0.1")};
    if (certificate) {
        o.cert_pem = slurp(certificate, cert);
        o.key_pem = slurp(key, key_room);
    }
    struct tls_upstream *u;
    assert_err(tls_upstream_new(&o, &u, why), ERR_OK);
    return u;
}

/* --- a data role --- */

static void *serve(void *arg)
{
    (void)arg;
    loop_run(server_loop);
    return NULL;
}

static void on_stop(struct mail *m, void *owner)
{
    (void)m;
    (void)owner;
    loop_stop(server_loop);
}

static void start(const char *certificate, const char *key)
{
    struct tls_server *tls = server_tls(certificate, key);
    struct store_pin pins[] = {pin_of("gateway.pem"), pin_of("stranger.pem")};
    struct store_listener_options o = {.path = path,
                                       .keeper = keeper,
                                       .spaces = KEEPER_ALL,
                                       .address = STR("127.0.0.1:0"),
                                       .tls = tls,
                                       .pins = pins,
                                       .n_pins = ARRAY_LEN(pins)};
    server_loop = loop_new(NULL);
    assert_non_null(server_loop);
    assert_err(store_listener_new(server_loop, &o, &listener), ERR_OK);
    tls_server_unref(&tls);
    assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
}

static void stop(void)
{
    mail.on_mail = on_stop;
    mail_post(server_loop, &mail);
    pthread_join(server, NULL);
    store_listener_free(&listener);
    loop_free(&server_loop);
}

static struct store *client(struct loop *its, const char *authority, const char *certificate, const char *key)
{
    struct store *s = NULL;
    struct tls_upstream *u = client_tls(authority, certificate, key);
    assert_err(store_remote_tls_new(its, store_listener_address(listener), u, STR("test"), &s), ERR_OK);
    tls_upstream_unref(&u);
    return s;
}

static void make_keeper(enum keeper_engine engine)
{
    char why[KEEPER_WHY];
    snprintf(dir, sizeof dir, "/tmp/sallyport-remote-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/data.sock", dir);
    struct keeper_config c = {.engine = engine, .dir = dir, .spaces = KEEPER_ALL & ~KEEPER_SPACE(STORE_TENANTS)};
    assert_err(keeper_new(&c, &keeper, why), ERR_OK);
}

static struct store *join(void *ctx, struct loop *its)
{
    (void)ctx;
    return client(its, "ours.pem", "gateway.pem", "gateway.key");
}

static struct store *make(void *ctx, struct loop *its)
{
    make_keeper(*(const enum keeper_engine *)ctx);
    start("data.pem", "data.key");
    return join(ctx, its);
}

static void end(void *ctx)
{
    char line[128];
    (void)ctx;
    stop();
    keeper_free(&keeper);
    snprintf(line, sizeof line, "rm -r %s", dir);
    assert_int_equal(system(line), 0); /* NOLINT(cert-env33-c): a folder of our own */
}

/* --- who is let in --- */

static int up(void **state)
{
    (void)state;
    suite_clock_set(UINT64_C(1800000000000));
    loop = loop_new(NULL);
    make_keeper(KEEPER_MEMORY);
    start("data.pem", "data.key");
    return 0;
}

static int down(void **state)
{
    (void)state;
    end(NULL);
    loop_free(&loop);
    return 0;
}

static bool got;

static void on_got(struct store_job *job)
{
    store_job_clear(job);
    got = true;
}

/* Refused clients try again and again: a second is enough to see that. */
static bool gets_in(struct store *s)
{
    str key = STR("a");
    struct store_job job = {.kind = STORE_GET, .space = STORE_CONTROL, .keys = &key, .n_keys = 1, .done = on_got};
    got = false;
    store_submit(s, &job);
    for (int i = 0; i < 100 && !got; i++) loop_turn(loop, 10);
    bool in = got && job.err == ERR_OK;
    store_free(&s); /* ends the job, if it has not ended */
    return in;
}

static void a_key_that_is_pinned_gets_in_and_no_other(void **state)
{
    static const struct {
        const char *authority, *certificate, *key;
        bool in;
    } rows[] = {
        {"ours.pem", "gateway.pem", "gateway.key", true},
        {"ours.pem", "other.pem", "other.key", false},       /* verified, but nobody named it */
        {"ours.pem", "stranger.pem", "stranger.key", false}, /* named, but of another authority */
        {"ours.pem", "data.pem", "data.key", false},         /* not for clients */
        {"ours.pem", NULL, NULL, false},                     /* shows none */
        {"theirs.pem", "gateway.pem", "gateway.key", false}, /* does not trust the server */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool in = gets_in(client(loop, rows[i].authority, rows[i].certificate, rows[i].key));
        if (in != rows[i].in) fail_msg("row %zu: %s", i, in ? "let in" : "refused");
    }
}

static void a_server_of_another_name_is_told_nothing(void **state)
{
    (void)state;
    stop();
    start("elsewhere.pem", "elsewhere.key");
    assert_false(gets_in(join(NULL, loop)));
}

static void set_pins(struct mail *m, void *owner)
{
    struct store_pin other = pin_of("other.pem");
    struct tls_server *tls = server_tls("data.pem", "data.key");
    (void)m;
    (void)owner;
    assert_err(store_listener_tls(listener, tls, &other, 1), ERR_OK);
    tls_server_unref(&tls);
}

static void who_is_no_longer_pinned_loses_its_connection(void **state)
{
    (void)state;
    struct store *s = join(NULL, loop);
    static struct mail change;
    assert_err(suite_put(s, STORE_CONTROL, "a", "1", 0, NULL), ERR_OK);
    change.on_mail = set_pins;
    mail_post(server_loop, &change);
    for (int i = 0; i < 200 && store_remote_up(s); i++) loop_turn(loop, 10);
    assert_false(store_remote_up(s));
    for (int i = 0; i < 50; i++) loop_turn(loop, 10); /* it tries again */
    assert_false(store_remote_up(s));
    struct tls_upstream *other = client_tls("ours.pem", "other.pem", "other.key");
    store_remote_tls_set(s, other);
    tls_upstream_unref(&other);
    assert_err(suite_put(s, STORE_CONTROL, "a", "3", 0, NULL), ERR_OK);
    store_free(&s);
}

static int dial(void)
{
    struct net_addr a;
    assert_err(net_addr_parse(store_listener_address(listener), &a), ERR_OK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a.ss, a.len), 0);
    return fd;
}

/* A hello in clear text, noise, nothing at all: nobody else notices, and none of it costs more than its connection. */
static void noise_is_hung_up_on_and_others_go_on(void **state)
{
    static const char *const said[] = {"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x40\x00\x01",
                                       "\x01\0\0\0\0\0\0\0\0\0\0\0"};
    int fds[16];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        const char *what = said[i % ARRAY_LEN(said)];
        if (*what) assert_true(send(fds[i], what, strlen(what) + (what[0] == 1 ? 6u : 0u), MSG_NOSIGNAL) > 0);
    }
    assert_true(gets_in(join(NULL, loop)));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) close(fds[i]);
    assert_true(gets_in(join(NULL, loop)));
}

static void addresses_and_pins_are_checked(void **state)
{
    struct tls_upstream *u = client_tls("ours.pem", "gateway.pem", "gateway.key");
    struct store *s;
    (void)state;
    assert_err(store_remote_tls_new(loop, STR("unix:/tmp/x"), u, STR("a"), &s), ERR_MALFORMED);
    assert_err(store_remote_tls_new(loop, STR("nowhere"), u, STR("a"), &s), ERR_MALFORMED);
    assert_err(store_remote_new(loop, STR("127.0.0.1:1"), STR("a"), &s), ERR_MALFORMED);
    tls_upstream_unref(&u);
    struct store_listener *l = NULL;
    char second[128];
    snprintf(second, sizeof second, "%s/second.sock", dir);
    struct tls_server *tls = server_tls("data.pem", "data.key");
    struct store_listener_options o = {.path = second,
                                       .keeper = keeper,
                                       .spaces = KEEPER_ALL,
                                       .address = STR("127.0.0.1:0"),
                                       .tls = tls};
    assert_err(store_listener_new(loop, &o, &l), ERR_MALFORMED); /* nobody may come in: that is a mistake */
    struct store_pin pin = pin_of("gateway.pem");
    o.pins = &pin;
    o.n_pins = 1;
    o.address = store_listener_address(listener);
    assert_err(store_listener_new(loop, &o, &l), ERR_CONFLICT);
    tls_server_unref(&tls);
}

int main(void)
{
    static enum keeper_engine memory = KEEPER_MEMORY, sqlite = KEEPER_SQLITE;
    const struct store_suite suites[] = {
        {"remote memory over TLS", make, join, end, &memory},
        {"remote sqlite over TLS", make, join, end, &sqlite},
    };
    int failed = 0;
    make_certificates();
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) failed += store_suite(&suites[i]);
#define SERVED(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        SERVED(a_key_that_is_pinned_gets_in_and_no_other),
        SERVED(a_server_of_another_name_is_told_nothing),
        SERVED(who_is_no_longer_pinned_loses_its_connection),
        SERVED(noise_is_hung_up_on_and_others_go_on),
        SERVED(addresses_and_pins_are_checked),
    };
    failed += cmocka_run_group_tests_name("remote over TLS", tests, NULL, NULL);
    char line[128];
    snprintf(line, sizeof line, "rm -r %s", certificates);
    return system(line) == 0 ? failed : 1; /* NOLINT(cert-env33-c): a folder of our own */
}
