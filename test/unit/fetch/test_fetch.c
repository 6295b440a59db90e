/* One GET against a real https server, well-behaved and otherwise. */
#include "peer.h"

#include "base/clock.h"
#include "net/socket.h"
#include "net/tls_client.h"

#include <dirent.h>
#include <poll.h>

static struct peer peer;
static struct fetch_env env;

static int begin(void **state)
{
    (void)state;
    if (!certs_make()) return -1;
    if (!peer_start(&peer, 0)) print_message("skipped: no node to run the https peer\n");
    env.loop = loop_new(NULL);
    env.pool = offload_new(2, 16);
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

static void need_peer(void)
{
    if (peer.n == 0) skip();
}

static struct outcome get(const char *pattern, const struct fetch_options *o)
{
    char url[256];
    struct outcome out = {0};
    struct fetch *f;
    loop_turn(env.loop, 0); /* the loop's clock is that of its last turn */
    assert_err(fetch_start(&env, peer_url(&peer, pattern, url), o, outcome_take, &out, &f), ERR_OK);
    assert_false(out.done); /* never from within fetch_start */
    turn_until(env.loop, &out.done, 8000);
    assert_true(out.done);
    loop_turn(env.loop, 0);
    return out;
}

static unsigned hits(void)
{
    struct fetch_options o = {.ca_file = ca_file, .private_ok = true};
    struct outcome out = get("https://localhost:{good}/hits", &o);
    assert_int_equal(out.fault, FETCH_FAULT_NONE);
    return (unsigned)strtoul(out.body, NULL, 10);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static void table(void **state)
{
    (void)state;
    need_peer();
    static const struct {
        const char *url;
        enum fetch_fault want;
        uint16_t status;
        unsigned timeout_ms;
    } rows[] = {
        {"https://localhost:{good}/good", FETCH_FAULT_NONE, 200, 0},
        {"https://127.0.0.1:{good}/good", FETCH_FAULT_NONE, 200, 0},
        {"https://[::ffff:127.0.0.1]:{good}/good", FETCH_FAULT_CERTIFICATE, 0, 0}, /* another name than 127.0.0.1 */
        {"https://LOCALHOST:{good}/good", FETCH_FAULT_NONE, 200, 0},
        {"https://localhost:{tls12}/good", FETCH_FAULT_NONE, 200, 0},
        {"https://localhost:{good}/bytes", FETCH_FAULT_NONE, 200, 0},
        {"https://localhost:{good}/chunked", FETCH_FAULT_NONE, 200, 0},
        {"https://localhost:{good}/close", FETCH_FAULT_NONE, 200, 0},
        {"https://localhost:{good}/interim", FETCH_FAULT_NONE, 200, 0},
        {"https://localhost:{good}/big-fits", FETCH_FAULT_NONE, 200, 0},

        {"https://localhost:{wrong-name}/good", FETCH_FAULT_CERTIFICATE, 0, 0},
        {"https://127.0.0.1:{wrong-name}/good", FETCH_FAULT_CERTIFICATE, 0, 0},
        {"https://localhost:{name-in-subject-only}/good", FETCH_FAULT_CERTIFICATE, 0, 0},
        {"https://localhost:{expired}/good", FETCH_FAULT_CERTIFICATE, 0, 0},
        {"https://localhost:{stranger}/good", FETCH_FAULT_CERTIFICATE, 0, 0},
        {"https://localhost:{not-a-server}/good", FETCH_FAULT_CERTIFICATE, 0, 0},
        {"https://localhost:{tls11}/good", FETCH_FAULT_TLS, 0, 0},
        {"https://localhost:{cbc}/good", FETCH_FAULT_TLS, 0, 0},
        {"https://localhost:{no-tls}/good", FETCH_FAULT_TLS, 0, 0},
        {"https://localhost:{plain}/good", FETCH_FAULT_TIME, 0, 300},

        {"https://localhost:{good}/redirect", FETCH_FAULT_REDIRECT, 302, 0},
        {"https://localhost:{good}/404", FETCH_FAULT_STATUS, 404, 0},
        {"https://localhost:{good}/503", FETCH_FAULT_STATUS, 503, 0},
        {"https://localhost:{good}/gzip", FETCH_FAULT_CODING, 200, 0},
        {"https://localhost:{good}/garbage", FETCH_FAULT_ANSWER, 0, 0},
        {"https://localhost:{good}/both", FETCH_FAULT_ANSWER, 0, 0},
        {"https://localhost:{good}/big-head", FETCH_FAULT_ANSWER, 0, 0},
        {"https://localhost:{good}/big-length", FETCH_FAULT_SIZE, 200, 0},
        {"https://localhost:{good}/big-chunked", FETCH_FAULT_SIZE, 200, 0},
        {"https://localhost:{good}/big-close", FETCH_FAULT_SIZE, 200, 0},
        {"https://localhost:{good}/cut-close", FETCH_FAULT_CUT, 200, 0},
        {"https://localhost:{good}/reset-close", FETCH_FAULT_CUT, 200, 0},
        {"https://localhost:{good}/cut-length", FETCH_FAULT_CUT, 200, 0},
        {"https://localhost:{good}/cut-head", FETCH_FAULT_CUT, 0, 0},

        {"https://localhost:{good}/slow", FETCH_FAULT_TIME, 0, 400},
        {"https://localhost:{good}/slow-body", FETCH_FAULT_TIME, 200, 400},
        {"https://localhost:{good}/mute", FETCH_FAULT_TIME, 0, 300},
        {"https://localhost:{silent}/good", FETCH_FAULT_TIME, 0, 300},
        {"https://localhost:1/good", FETCH_FAULT_CONNECT, 0, 0},
        {"https://127.0.0.1:1/good", FETCH_FAULT_CONNECT, 0, 0},
        {"https://no-such-host.invalid/", FETCH_FAULT_NAME, 0, 0},
    };
    unsigned before = open_descriptors();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fetch_options o = {.ca_file = ca_file, .private_ok = true, .timeout_ms = rows[i].timeout_ms};
        uint64_t from = clock_mono_ns();
        struct outcome out = get(rows[i].url, &o);
        uint64_t took_ms = (clock_mono_ns() - from) / 1000000;
        /* without a resolver to ask, looking up takes its own time to fail */
        if (rows[i].want == FETCH_FAULT_NAME && out.fault == FETCH_FAULT_TIME) continue;
        if (out.fault != rows[i].want || out.status != rows[i].status)
            fail_msg("%s: %s (%s), status %u", rows[i].url, fetch_fault_text(out.fault), out.detail, out.status);
        if (out.fault == FETCH_FAULT_NONE && !strstr(rows[i].url, "big"))
            assert_string_equal(out.body, "{\"keys\":[]}");
        if (strstr(rows[i].url, "big-fits")) assert_int_equal(out.body_n, 256 * 1024);
        if (out.fault != FETCH_FAULT_NONE) assert_int_equal(out.body_n, 0);
        if (rows[i].timeout_ms) assert_true(took_ms < rows[i].timeout_ms + 2000);
    }
    assert_int_equal(open_descriptors(), before);
}

static void nothing_but_the_request_is_said(void **state)
{
    (void)state;
    need_peer();
    struct fetch_options o = {.ca_file = ca_file, .private_ok = true, .accept = "application/json"};
    setenv("https_proxy", "http://127.0.0.1:1", 1); /* never heeded */
    struct outcome out = get("https://localhost:{good}/echo?x=%2f;y", &o);
    unsetenv("https_proxy");
    assert_int_equal(out.fault, FETCH_FAULT_NONE);
    char want[1024];
    snprintf(want, sizeof want,
             "{\"request\":\"GET /echo?x=%%2f;y HTTP/1.1\\r\\nHost: localhost:%u\\r\\nAccept: application/json\\r\\n"
             "Accept-Encoding: identity\\r\\nUser-Agent: sallyport/%s\\r\\nConnection: close\\r\\n\\r\\n\","
             "\"sni\":\"localhost\",\"alpn\":\"http/1.1\",\"version\":\"TLSv1.3\"}",
             peer_port(&peer, "good"), SALLYPORT_VERSION);
    assert_string_equal(out.body, want);
    out = get("https://127.0.0.1:{good}/echo", &o);
    assert_non_null(strstr(out.body, "\"sni\":false")); /* an address is no name (RFC 6066 §3) */
}

/* The names a stream asks the certificate for, past every resolver: connected to the right place all the same. */
static void names_are_compared_whole(void **state)
{
    (void)state;
    need_peer();
    static const struct {
        const char *listener, *host;
        bool is_ip;
        enum err want;
    } rows[] = {
        {"good", "localhost", false, ERR_OK},
        {"good", "LocalHost", false, ERR_OK},
        {"good", "localhost.", false, ERR_OK}, /* the root's dot */
        {"good", "127.0.0.1", true, ERR_OK},
        {"good", "::1", true, ERR_OK},
        {"good", "127.0.0.1", false, ERR_DENIED}, /* an address is no DNS name, */
        {"good", "localhos", false, ERR_DENIED},
        {"good", "xlocalhost", false, ERR_DENIED},
        {"good", "a.localhost", false, ERR_DENIED},
        {"good", "peer", false, ERR_DENIED}, /* the subject's common name does not count */
        {"wrong-name", "elsewhere.example", false, ERR_OK},
        {"wrong-name", "a.wild.example", false, ERR_OK}, /* *.wild.example */
        {"wrong-name", "a.b.wild.example", false, ERR_DENIED},
        {"wrong-name", "wild.example", false, ERR_DENIED},
        {"wrong-name", "partial.more.example", false, ERR_DENIED}, /* p*.more.example */
        {"wrong-name", "localhost", false, ERR_DENIED},
        {"wrong-name", "127.0.0.1", true, ERR_DENIED},
    };
    struct tls_trust *trust;
    assert_err(tls_trust_new(ca_file, &trust), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[64];
        struct net_addr a;
        struct tls_client *c;
        bool done;
        int fd;
        snprintf(text, sizeof text, "127.0.0.1:%u", peer_port(&peer, rows[i].listener));
        assert_err(net_addr_parse(str_of(text), &a), ERR_OK);
        assert_err(net_connect(&a, &fd, &done), ERR_OK);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        assert_int_equal(poll(&p, 1, 1000), 1);
        assert_err(tls_client_new(trust, fd, str_of(rows[i].host), rows[i].is_ip, &c), ERR_OK);
        enum err e;
        p.events = POLLIN;
        while ((e = tls_client_handshake(c)) == ERR_AGAIN) assert_int_equal(poll(&p, 1, 3000), 1);
        if (e != rows[i].want) fail_msg("%s: %s (%s)", rows[i].host, err_name(e), tls_client_reason(c));
        char byte;
        size_t n;
        /* what failed stays failed */
        if (e != ERR_OK) assert_err(tls_client_read(c, &byte, 1, &n), ERR_CLOSED);
        if (e != ERR_OK) assert_err(tls_client_handshake(c), ERR_CLOSED);
        tls_client_free(&c);
        assert_null(c);
        close(fd);
    }
    static const str no_names[] = {STR_INIT(""), STR_INIT("."), STR_INIT("a\0b")};
    struct tls_client *none;
    for (size_t i = 0; i < ARRAY_LEN(no_names); i++)
        assert_err(tls_client_new(trust, 0, no_names[i], false, &none), ERR_MALFORMED);
    assert_err(tls_client_new(trust, 0, STR("localhost"), true, &none), ERR_MALFORMED);
    tls_trust_free(&trust);
    assert_null(trust);
}

/* Each row names a place that must not be reached; the peer counts who comes. */
static void addresses_are_refused(void **state)
{
    (void)state;
    need_peer();
    static const struct {
        const char *url;
        bool private_ok, plain_ok;
        enum fetch_fault want;
    } rows[] = {
        {"https://127.0.0.1:{good}/good", false, false, FETCH_FAULT_ADDRESS},
        {"https://localhost:{good}/good", false, false, FETCH_FAULT_ADDRESS},
        {"https://[::1]:{good}/good", false, false, FETCH_FAULT_ADDRESS},
        {"https://[::ffff:127.0.0.1]:{good}/good", false, false, FETCH_FAULT_ADDRESS},
        {"https://[::ffff:7f00:1]:{good}/good", false, false, FETCH_FAULT_ADDRESS},
        {"https://[64:ff9b::7f00:1]:{good}/good", false, false, FETCH_FAULT_ADDRESS},
        {"https://2130706433:{good}/good", true, true, FETCH_FAULT_URL},
        {"https://0x7f000001:{good}/good", true, true, FETCH_FAULT_URL},
        {"https://0x7f.0.0.1:{good}/good", true, true, FETCH_FAULT_URL},
        {"https://0177.0.0.1:{good}/good", true, true, FETCH_FAULT_URL},
        {"https://127.1:{good}/good", true, true, FETCH_FAULT_URL},
        {"https://127.0.0.1.:{good}/good", true, true, FETCH_FAULT_URL},
        {"https://user@localhost:{good}/good", true, true, FETCH_FAULT_URL},
        {"https://localhost:{good}/good#x", true, true, FETCH_FAULT_URL},
        {"https://localhost:{good}/go\r\nX: y", true, true, FETCH_FAULT_URL},
        {"https:/localhost:{good}/good", true, true, FETCH_FAULT_URL},
        {"ftp://localhost:{good}/good", true, true, FETCH_FAULT_URL},
        {"file:///etc/passwd", true, true, FETCH_FAULT_URL},
        {"", true, true, FETCH_FAULT_URL},
        {"https://0.0.0.0:{good}/good", true, true, FETCH_FAULT_ADDRESS},
        {"https://[::]:{good}/good", true, true, FETCH_FAULT_ADDRESS},
        {"https://169.254.169.254/latest/meta-data/", true, true, FETCH_FAULT_ADDRESS},
        {"https://[::ffff:169.254.169.254]/latest/", true, true, FETCH_FAULT_ADDRESS},
        {"https://[fe80::1]/", true, true, FETCH_FAULT_ADDRESS},
        {"https://[fd00:ec2::254]/latest/", true, true, FETCH_FAULT_ADDRESS},
        {"https://100.100.100.200/latest/", true, true, FETCH_FAULT_ADDRESS},
        {"https://224.0.0.1/", true, true, FETCH_FAULT_ADDRESS},
        {"https://255.255.255.255/", true, true, FETCH_FAULT_ADDRESS},
        {"https://10.0.0.1/", false, false, FETCH_FAULT_ADDRESS},
        {"http://127.0.0.1:{plain}/good", true, false, FETCH_FAULT_PLAIN},
        {"http://10.0.0.1/", true, true, FETCH_FAULT_ADDRESS},
        {"http://8.8.8.8/", true, true, FETCH_FAULT_ADDRESS},
    };
    unsigned before = hits();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fetch_options o = {.ca_file = ca_file,
                                  .private_ok = rows[i].private_ok,
                                  .plain_ok = rows[i].plain_ok,
                                  .timeout_ms = 1000};
        struct outcome out = get(rows[i].url, &o);
        if (out.fault != rows[i].want) fail_msg("%s: %s (%s)", rows[i].url, fetch_fault_text(out.fault), out.detail);
    }
    struct fetch_options o = {.ca_file = ca_file, .private_ok = true};
    get("https://localhost:{good}/redirect", &o);
    assert_int_equal(hits(), before + 1); /* the redirect's own request */
}

static void plain_http_only_where_it_was_asked_for(void **state)
{
    (void)state;
    need_peer();
    struct fetch_options o = {.plain_ok = true};
    struct outcome out = get("http://127.0.0.1:{plain}/good", &o);
    assert_int_equal(out.fault, FETCH_FAULT_NONE);
    assert_string_equal(out.body, "{\"keys\":[]}");
    out = get("http://localhost:{plain}/chunked", &o);
    assert_int_equal(out.fault, FETCH_FAULT_NONE);
    out = get("http://localhost:{plain}/close", &o);
    assert_int_equal(out.fault, FETCH_FAULT_NONE);
    out = get("http://localhost:{plain}/reset-close", &o); /* an end, but not of the body */
    assert_int_equal(out.fault, FETCH_FAULT_CUT);
}

/* A body of any length arrives whole, over TLS and without; what is added to the head stands there. */
static void posts(void **state)
{
    (void)state;
    need_peer();
    static const struct {
        const char *url;
        size_t n;
        const char *sum; /* SHA-256 of n times 'x' */
    } rows[] = {
        {"https://localhost:{good}/posted", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"https://localhost:{good}/posted", 1, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
        {"https://localhost:{good}/posted", 2000000,
         "be8889d3b8893c11d290b8dcf682164c326a90e6998f6bddb25d9a3a02daf666"},
        {"http://127.0.0.1:{plain}/posted", 2000000,
         "be8889d3b8893c11d290b8dcf682164c326a90e6998f6bddb25d9a3a02daf666"},
    };
    char *body = malloc(2000000);
    assert_non_null(body);
    memset(body, 'x', 2000000);
    const struct fetch_header fields[] = {{STR_INIT("X-Api-Key"), STR_INIT("abc")}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fetch_options o = {.ca_file = ca_file,
                                  .private_ok = true,
                                  .plain_ok = true,
                                  .body = str_make(body, rows[i].n),
                                  .content_type = "application/x-protobuf",
                                  .headers = fields,
                                  .n_headers = 1};
        struct outcome out = get(rows[i].url, &o);
        if (out.fault != FETCH_FAULT_NONE)
            fail_msg("%s: %s (%s)", rows[i].url, fetch_fault_text(out.fault), out.detail);
        assert_non_null(strstr(out.body, rows[i].sum));
        assert_non_null(strstr(out.body, "POST /posted HTTP/1.1"));
        assert_non_null(strstr(out.body, "Content-Type: application/x-protobuf"));
        assert_non_null(strstr(out.body, "X-Api-Key: abc"));
    }
    free(body);
}

/* A field that would change whose message it is, or is none, is never sent. */
static void fields_of_others_are_checked(void **state)
{
    (void)state;
    need_peer();
    static const struct fetch_header rows[] = {
        {STR_INIT("Host"), STR_INIT("elsewhere")},
        {STR_INIT("content-length"), STR_INIT("5")},
        {STR_INIT("Transfer-Encoding"), STR_INIT("chunked")},
        {STR_INIT("Connection"), STR_INIT("keep-alive")},
        {STR_INIT("X Y"), STR_INIT("1")},
        {STR_INIT(""), STR_INIT("1")},
        {STR_INIT("X"), STR_INIT("1\r\nY: 2")},
        {STR_INIT("X:"), STR_INIT("1")},
    };
    unsigned before = hits();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fetch_options o = {.ca_file = ca_file, .private_ok = true, .headers = &rows[i], .n_headers = 1};
        struct outcome out = get("https://localhost:{good}/good", &o);
        if (out.fault != FETCH_FAULT_URL) fail_msg("row %zu: %s", i, fetch_fault_text(out.fault));
    }
    assert_int_equal(hits(), before);
}

/* Authorities as text do what the file does; text without any is refused, not taken for everybody. */
static void authorities_as_text(void **state)
{
    (void)state;
    need_peer();
    static char pem[65536];
    FILE *f = fopen(ca_file, "r");
    assert_non_null(f);
    size_t n = fread(pem, 1, sizeof pem, f);
    fclose(f);
    struct fetch_options o = {.ca_pem = str_make(pem, n), .private_ok = true};
    assert_int_equal(get("https://localhost:{good}/good", &o).fault, FETCH_FAULT_NONE);
    assert_int_equal(get("https://localhost:{stranger}/good", &o).fault, FETCH_FAULT_CERTIFICATE);
    o.ca_pem = STR("no certificate");
    assert_int_equal(get("https://localhost:{good}/good", &o).fault, FETCH_FAULT_TRUST);
    o.ca_pem = STR("");
    assert_int_equal(get("https://localhost:{good}/good", &o).fault, FETCH_FAULT_TRUST);
}

static void the_url_is_bounded(void **state)
{
    (void)state;
    static char url[5000] = "https://localhost/";
    memset(url + strlen(url), 'x', sizeof url - strlen(url) - 1);
    struct fetch_options o = {.private_ok = true};
    for (size_t n = 2045; n < sizeof url; n += n < 2055 ? 1 : 983) {
        struct outcome out = {0};
        struct fetch *f;
        assert_err(fetch_start(&env, str_make(url, n), &o, outcome_take, &out, &f), ERR_OK);
        turn_until(env.loop, &out.done, 6000);
        assert_int_equal(out.fault == FETCH_FAULT_URL, n > 2048);
    }
}

static void trust_must_be_readable(void **state)
{
    (void)state;
    char empty[80];
    snprintf(empty, sizeof empty, "%s/localhost.key", cert_dir); /* PEM without a certificate */
    struct fetch_options o = {.ca_file = "/nonexistent/ca.pem", .private_ok = true};
    assert_int_equal(get("https://127.0.0.1:1/", &o).fault, FETCH_FAULT_TRUST);
    o.ca_file = empty;
    assert_int_equal(get("https://127.0.0.1:1/", &o).fault, FETCH_FAULT_TRUST);
    if (peer.n == 0) return;
    o.ca_file = NULL; /* the system does not know the test's authority */
    assert_int_equal(get("https://localhost:{good}/good", &o).fault, FETCH_FAULT_CERTIFICATE);
}

/* A system that does know it, once by a file of all, once by a folder with hashed names. */
static void the_systems_authorities_count(void **state)
{
    (void)state;
    need_peer();
    struct fetch_options o = {.private_ok = true};
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
    setenv("SSL_CERT_FILE", ca_file, 1);
    assert_int_equal(get("https://localhost:{good}/good", &o).fault, FETCH_FAULT_NONE);
    assert_int_equal(get("https://localhost:{stranger}/good", &o).fault, FETCH_FAULT_CERTIFICATE);
    unsetenv("SSL_CERT_FILE");
    setenv("SSL_CERT_DIR", cert_dir, 1);
    assert_int_equal(get("https://localhost:{good}/good", &o).fault, FETCH_FAULT_NONE);
    assert_int_equal(get("https://localhost:{stranger}/good", &o).fault, FETCH_FAULT_CERTIFICATE);
    unsetenv("SSL_CERT_DIR");
}

/* One byte a second keeps no connection open beyond the five seconds, whatever was asked for. */
static void five_seconds_are_absolute(void **state)
{
    (void)state;
    need_peer();
    struct fetch_options o = {.ca_file = ca_file, .private_ok = true, .timeout_ms = 60000};
    uint64_t from = clock_mono_ns();
    struct outcome out = get("https://localhost:{good}/slow", &o);
    uint64_t took_ms = (clock_mono_ns() - from) / 1000000;
    assert_int_equal(out.fault, FETCH_FAULT_TIME);
    assert_string_equal(out.detail, "reading");
    assert_true(took_ms >= 4900 && took_ms < 7500);
}

static void cancelled_at_every_turn(void **state)
{
    (void)state;
    need_peer();
    struct fetch_options o = {.ca_file = ca_file, .private_ok = true};
    unsigned before = open_descriptors();
    bool finished = false;
    for (unsigned turns = 0; !finished; turns++) {
        char url[256];
        struct outcome out = {0};
        struct fetch *f;
        assert_err(fetch_start(&env, peer_url(&peer, "https://localhost:{good}/good", url), &o, outcome_take, &out, &f),
                   ERR_OK);
        for (unsigned i = 0; i < turns && !out.done; i++) loop_turn(env.loop, 50);
        finished = out.done;
        if (!out.done) {
            fetch_cancel(&f);
            assert_null(f);
            for (int i = 0; i < 4; i++) loop_turn(env.loop, 5);
            assert_false(out.done);
        }
        assert_true(turns < 200);
    }
    for (int i = 0; i < 10; i++) loop_turn(env.loop, 5); /* lookups that were left alone */
    assert_int_equal(open_descriptors(), before);
    fetch_cancel(&(struct fetch *){NULL});
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    need_peer();
    struct fetch_options o = {.ca_file = ca_file, .private_ok = true};
    unsigned before = open_descriptors();
    static const char *const urls[] = {"https://127.0.0.1:{good}/good", "https://localhost:{good}/chunked"};
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        char url[256];
        str u = peer_url(&peer, urls[i], url);
        EACH_ALLOC_FAILING({
            struct outcome out = {0};
            struct fetch *f;
            enum err e = fetch_start(&env, u, &o, outcome_take, &out, &f);
            if (e == ERR_OK) {
                turn_until(env.loop, &out.done, 6000);
                assert_true(out.done);
                assert_int_equal(out.fault, alloc_fail_hit() ? FETCH_FAULT_MEMORY : FETCH_FAULT_NONE);
            } else {
                assert_err(e, ERR_NO_MEMORY);
            }
            loop_turn(env.loop, 0);
        });
    }
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(nothing_but_the_request_is_said),
        cmocka_unit_test(names_are_compared_whole),
        cmocka_unit_test(addresses_are_refused),
        cmocka_unit_test(plain_http_only_where_it_was_asked_for),
        cmocka_unit_test(posts),
        cmocka_unit_test(fields_of_others_are_checked),
        cmocka_unit_test(authorities_as_text),
        cmocka_unit_test(the_url_is_bounded),
        cmocka_unit_test(trust_must_be_readable),
        cmocka_unit_test(the_systems_authorities_count),
        cmocka_unit_test(five_seconds_are_absolute),
        cmocka_unit_test(cancelled_at_every_turn),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
