/* Requests through the whole street of a worker, with the 1st, 2nd, … allocation failing on the way: whatever is
 * missing, a request is answered, or its connection ends; nobody who may not gets through; and with memory back the
 * same worker serves on. */
#include "unit.h"

#include "base/clock.h"
#include "codec/base64url.h"
#include "config/config.h"
#include "config/diag.h"
#include "crypto/mac.h"
#include "identity/apikey.h"
#include "identity/http_signature.h"
#include "proxy/exchange.h"
#include "proxy/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 2000
#define SECRET      "0123456789abcdef0123456789abcdef"

static char dir[] = "/tmp/sallyport-exchange-XXXXXX";
static struct snapshot *snap;
static struct instance_registry *registry;
static struct instance_set *instances;
static struct tls_set *tls;
static struct keyset *keys;
static char key[APIKEY_MAX_LEN], token[1024], bad_token[1024];
static size_t key_n;
static int listener = -1; /* of the service */

/* --- what there is once --- */

static void mint(const char *sub, const char *secret, char out[1024])
{
    static const char head[] = "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}";
    char claims[256];
    unsigned char mac[SHA256_LEN];
    int n = snprintf(claims, sizeof claims,
                     "{\"iss\":\"https://idp.test\",\"aud\":\"api\",\"sub\":\"%s\",\"exp\":4102444800,\"iat\":1000,"
                     "\"jti\":\"1\",\"client_id\":\"c\",\"roles\":[\"user\"]}",
                     sub);
    size_t at = base64url_encoded_len(sizeof head - 1);
    base64url_encode(head, sizeof head - 1, out);
    out[at++] = '.';
    base64url_encode(claims, (size_t)n, out + at);
    at += base64url_encoded_len((size_t)n);
    hmac_sha256(str_of(secret), str_make(out, at), mac);
    out[at++] = '.';
    base64url_encode(mac, sizeof mac, out + at);
    out[at + base64url_encoded_len(sizeof mac)] = 0;
}

static void make_snapshot(void)
{
    char text[4096], hex[2 * SHA256_LEN + 1], file[96];
    unsigned char digest[SHA256_LEN];
    struct apikey parts;
    struct diags d;
    struct config *c = NULL;
    assert_err(apikey_generate(STR("test"), key, &key_n), ERR_OK);
    assert_err(apikey_parse(str_make(key, key_n), &parts), ERR_OK);
    sha256(str_make(key, key_n), digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    snprintf(file, sizeof file, "%s/secret", dir);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    fputs(SECRET, f);
    fclose(f);
    snprintf(text, sizeof text,
             "sallyport: 1\nworkers: 1\nlisten: {gateway: \"unix:%s/gw\"}\nlimits: {connections: 16}\n"
             "timeouts: {connect: 200ms}\n"
             "issuers: {corp: {issuer: \"https://idp.test\", audience: api, algorithms: HS256, secret: {file: %s},\n"
             "  default: true, products: shop, roles: any, permissions: any}}\n"
             "products: {shop: {keys: [{id: \"%.*s\", sha256: \"%s\"}], signature: {file: %s}, may: [user, signed]}}\n"
             "services: {app: {instances: [\"unix:%s/app\"]}}\n"
             "actions:\n  open: {match: \"* /public/{rest*}\", to: app, public: true}\n"
             "  signed: {match: \"* /signed/{rest*}\", to: app, accept: signature}\n"
             "  user: {match: \"* /user/{rest*}\", to: app}\nroles: {user: [user]}\n",
             dir, file, STR_ARG(parts.id), hex, file, dir);
    diags_init(&d, STR("test.yaml"));
    enum err e = config_parse(str_of(text), str_of(dir), NULL, &d, &c);
    if (e == ERR_OK) e = snapshot_build(c, NULL, 1, &d, &snap);
    for (uint32_t i = 0; e != ERR_OK && i < d.n; i++) fprintf(stderr, "%.*s\n", STR_ARG(d.v[i].text));
    assert_err(e, ERR_OK);
    config_free(&c);
    assert_err(instance_registry_new(1, &registry), ERR_OK);
    assert_err(instance_set_new(registry, snap, 1, &instances), ERR_OK);
    char why[256];
    assert_err(tls_set_new(snap, NULL, NULL, &tls, why), ERR_OK);
    diags_free(&d);
    assert_err(keyset_from_secret(snap->issuers[0].secret, snap->issuers[0].issuer->algs, &keys), ERR_OK);
}

static int set_up(void **state)
{
    (void)state;
    struct net_addr a;
    char where[96];
    if (!mkdtemp(dir)) return -1;
    snprintf(where, sizeof where, "unix:%s/app", dir);
    if (net_addr_parse(str_of(where), &a) != ERR_OK || net_listen(&a, false, &listener) != ERR_OK) return -1;
    make_snapshot();
    mint("alice", SECRET, token);
    mint("alice", "another secret, as long as it is: 32", bad_token);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char path[96];
    static const char *const files[] = {"app", "secret"};
    keyset_unref(&keys);
    tls_set_unref(&tls);
    instance_set_unref(&instances);
    instance_registry_free(&registry);
    snapshot_unref(&snap);
    close(listener);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

/* --- one worker, one client, the service: all on this thread --- */

static struct worker *worker;
static struct replay *replay;
static int client = -1, service = -1;
static char heard[1 << 20], seen[1 << 20]; /* by the client, by the service */
static size_t heard_n, seen_n, said_n;     /* said: of the answer, by the service */
static bool closed;
static char answer[400000];
static size_t answer_n;

static void open_worker(void)
{
    assert_err(worker_new(0, snap, NULL, &worker), ERR_OK);
    assert_err(replay_new(64, &replay), ERR_OK);
    worker->replay = replay;
    struct worker_delivery *d = calloc(1, sizeof *d + sizeof d->keysets[0]);
    assert_non_null(d);
    d->snap = snapshot_ref(snap);
    d->instances = instance_set_ref(instances);
    d->tls = tls_set_ref(tls);
    d->n = 1;
    d->keysets[0] = keyset_ref(keys);
    struct feed_record r = {.epoch = 1, .number = 1, .kind = FEED_SNAPSHOT, .generation = 1, .payload = d};
    assert_err(worker_feed(worker, &r), ERR_OK);
    loop_turn(worker->loop, 0);
    assert_non_null(worker->current);
}

static void open_client(void)
{
    static const struct net_peer peer = {.family = 1};
    int pair[2];
    if (client >= 0) close(client);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    client = pair[0];
    heard_n = seen_n = said_n = 0;
    closed = false;
    server_conn_open(&worker->server, pair[1], &peer, NULL);
}

static void close_all(void)
{
    close(client);
    if (service >= 0) close(service);
    client = service = -1;
    worker_free(&worker);
    replay_free(&replay);
}

static size_t receive(int fd, char *to, size_t n, size_t room, bool *ended)
{
    ssize_t got;
    while ((got = recv(fd, to + n, room - 1 - n, 0)) > 0) n += (size_t)got;
    *ended = got == 0 || (got < 0 && errno != EAGAIN);
    to[n] = 0;
    return n;
}

/* A whole message: its head, and as many bytes as it announces. */
static bool whole(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4), *length = strstr(p, "Content-Length: ");
    if (!end) return false;
    return !length || length > end || n - (size_t)(end + 4 - p) >= strtoul(length + 16, NULL, 10);
}

/* The service: one connection at a time, one request, the answer as far as it goes. */
static void serve(void)
{
    bool ended = false;
    struct net_peer peer;
    if (service < 0) {
        if (net_accept(listener, &service, &peer) != ERR_OK) {
            service = -1;
            return;
        }
        seen_n = said_n = 0;
    }
    seen_n = receive(service, seen, seen_n, sizeof seen, &ended);
    if (!ended && whole(seen, seen_n) && said_n < answer_n) {
        ssize_t n = send(service, answer + said_n, answer_n - said_n, MSG_NOSIGNAL);
        if (n > 0) said_n += (size_t)n;
    }
    if (ended) {
        close(service);
        service = -1;
    }
}

/* Until there is an answer, or the end. False: neither comes. `hurried`: the client reads at once. */
static bool converse(str request, bool hurried)
{
    uint64_t until = clock_mono_ns() + PATIENCE_MS * UINT64_C(1000000);
    size_t sent = 0;
    for (unsigned turn = 0; clock_mono_ns() < until; turn++) {
        ssize_t n = sent < request.n ? send(client, request.p + sent, request.n - sent, MSG_NOSIGNAL) : 0;
        if (n > 0) sent += (size_t)n;
        loop_turn(worker->loop, turn < 20 ? 0 : 1);
        if (turn % 4 == 3) serve(); /* slowly, so that what it is sent waits */
        if (hurried || turn > 40) heard_n = receive(client, heard, heard_n, sizeof heard, &closed);
        if (closed || whole(heard, heard_n)) return true;
    }
    return false;
}

static unsigned status(void)
{
    return heard_n > 12 ? (unsigned)strtoul(heard + 9, NULL, 10) : 0;
}

/* --- the requests --- */

static const struct scenario {
    const char *name, *head;
    size_t body, answer;
    bool with_key, with_token, bad, slow_client;
    unsigned want;
    bool reaches; /* the service */
    enum { UNSIGNED = 0, SIGNED, SIGNED_OTHERWISE /* another body */ } sign;
} scenarios[] = {
    {"public", "GET /public/a HTTP/1.1\r\n", 0, 10, false, false, false, false, 200, true, UNSIGNED},
    {"a path that is rewritten", "GET /public/%61%62c HTTP/1.1\r\n", 0, 10, false, false, false, false, 200, true,
     UNSIGNED},
    {"a user", "GET /user/a HTTP/1.1\r\n", 0, 10, true, true, false, false, 200, true, UNSIGNED},
    {"a user with a body", "POST /user/a HTTP/1.1\r\n", 300000, 10, true, true, false, false, 200, true, UNSIGNED},
    {"a large answer to who does not read", "GET /user/a HTTP/1.1\r\n", 0, 300000, true, true, false, true, 200, true,
     UNSIGNED},
    {"a bad signature", "GET /user/a HTTP/1.1\r\n", 0, 10, true, true, true, false, 401, false, UNSIGNED},
    {"no token", "GET /user/a HTTP/1.1\r\n", 0, 10, true, false, false, false, 401, false, UNSIGNED},
    {"no key", "GET /user/a HTTP/1.1\r\n", 0, 10, false, true, false, false, 401, false, UNSIGNED},
    {"no route", "GET /none HTTP/1.1\r\n", 0, 10, true, true, false, false, 404, false, UNSIGNED},
    {"signed", "GET /signed/a HTTP/1.1\r\n", 0, 10, false, false, false, false, 200, true, SIGNED},
    {"a signed body", "POST /signed/a HTTP/1.1\r\n", 9000, 10, false, false, false, false, 200, true, SIGNED},
    {"another body than was signed", "POST /signed/a HTTP/1.1\r\n", 9000, 10, false, false, false, false, 401, false,
     SIGNED_OTHERWISE},
    {"malformed", "GET /public/a b HTTP/1.1\r\n", 0, 10, false, false, false, false, 400, false, UNSIGNED},
};

/* The fields of a signature, each time another. */
static int put_signature(const struct scenario *s, char *out, size_t room)
{
    static char body[400000];
    static unsigned count;
    struct arena mem;
    struct http_signature_fields f;
    char nonce[16];
    str head = str_of(s->head), method = str_cut(&head, ' '), path = str_cut(&head, ' ');
    struct http_signature_message m = {.method = method, .scheme = STR("http"), .authority = STR("h"), .path = path};
    memset(body, 'b', s->body);
    if (s->sign == SIGNED_OTHERWISE) body[s->body - 1] = 'c';
    m.body = str_make(body, s->body);
    arena_init(&mem, NULL, 0, 1 << 20);
    int n = snprintf(nonce, sizeof nonce, "n%u", count++);
    assert_err(http_signature_make(&m, STR("shop"), STR(SECRET), str_make(nonce, (size_t)n), clock_wall_s(), &mem, &f),
               ERR_OK);
    n = f.digest.n ? snprintf(out, room, "Content-Digest: %.*s\r\n", STR_ARG(f.digest)) : 0;
    n += snprintf(out + n, room - (size_t)n, "Signature-Input: %.*s\r\nSignature: %.*s\r\n", STR_ARG(f.input),
                  STR_ARG(f.signature));
    arena_reset(&mem);
    return n;
}

static str request_of(const struct scenario *s)
{
    static char text[400000];
    int n = snprintf(text, sizeof text, "%sHost: h\r\nX-User-ID: root\r\n", s->head);
    if (s->with_key) n += snprintf(text + n, sizeof text - (size_t)n, "apikey: %.*s\r\n", (int)key_n, key);
    if (s->with_token)
        n += snprintf(text + n, sizeof text - (size_t)n, "Authorization: Bearer %s\r\n", s->bad ? bad_token : token);
    if (s->sign) n += put_signature(s, text + n, sizeof text - (size_t)n);
    if (s->body) n += snprintf(text + n, sizeof text - (size_t)n, "Content-Length: %zu\r\n", s->body);
    n += snprintf(text + n, sizeof text - (size_t)n, "\r\n");
    memset(text + n, 'b', s->body);
    int head = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", s->answer);
    memset(answer + head, 'a', s->answer);
    answer_n = (size_t)head + s->answer;
    return str_make(text, (size_t)n + s->body);
}

/* What a service may have seen, however little memory there was. */
static void check_seen(const struct scenario *s, long n)
{
    if (!seen_n) return;
    if (!s->reaches) fail_msg("%s, allocation %ld: the service saw %.*s", s->name, n, (int)seen_n, seen);
    assert_null(strstr(seen, "root"));
    assert_null(strstr(seen, "apikey"));
    assert_null(strstr(seen, "Bearer"));
    if (s->with_token && whole(seen, seen_n) && !strstr(seen, "X-User-ID: alice\r\n"))
        fail_msg("%s, allocation %ld: the service saw %.*s", s->name, n, (int)(seen_n < 2000 ? seen_n : 2000), seen);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(scenarios); i++) {
        const struct scenario *s = &scenarios[i];
        long n = 0;
        for (bool hit = true; hit; n++) {
            str request = request_of(s);
            open_worker();
            alloc_fail_at(n);
            open_client();
            bool over = converse(request, !s->slow_client);
            hit = alloc_fail_hit();
            alloc_fail_at(-1);
            unsigned got = status();
            if (!over) fail_msg("%s, allocation %ld: neither an answer nor an end", s->name, n);
            if (got != s->want && !(hit && (got == 0 || got >= 500)))
                fail_msg("%s, allocation %ld: %u: %.*s", s->name, n, got, (int)heard_n, heard);
            check_seen(s, n);
            /* with memory back the same worker does all of it */
            request = request_of(s);
            if (service >= 0) close(service);
            service = -1;
            open_client();
            if (!converse(request, !s->slow_client)) fail_msg("%s, after allocation %ld: no answer", s->name, n);
            if (status() != s->want)
                fail_msg("%s, after allocation %ld: %u: %.*s", s->name, n, status(), (int)heard_n, heard);
            assert_int_equal(seen_n > 0, s->reaches);
            check_seen(s, n);
            close_all();
        }
        assert_true(n > 2); /* something was allocated on the way */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("proxy/exchange", tests, set_up, tear_down);
}
