/* Client connections against a server by hand: what it answers, cut at every byte, and what becomes of the connection.
 */
#include "unit.h"

#include "http/h1_client.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop *loop;
static struct http_io io;
static struct client_env env;
static struct net_addr address;
static int listener, server;
static struct h1_client *conn, *idle;

/* What was told, as text: "i103 " an interim head, "r200 " the final one, the body, "." its end, "F3" a failure. */
static char told[4096];
static size_t told_n;
static bool wait_to_read;

struct asking {
    struct client_stream up; /* first */
    struct field fields[16], trailers[4];
    bool over;
};
static struct asking *asking;

static void tell(str s)
{
    assert_true(told_n + s.n < sizeof told);
    memcpy(told + told_n, s.p, s.n);
    told_n += s.n;
    told[told_n] = 0;
}

static void tell_number(char what, unsigned n)
{
    char text[16];
    tell(str_make(text, (size_t)snprintf(text, sizeof text, "%c%u ", what, n)));
}

static void over(void)
{
    free(asking); /* as an exchange does: nothing may touch it afterwards */
    asking = NULL;
}

static void on_readable(struct client_stream *c)
{
    bool end = false;
    while (!end) {
        str data = STR_NONE;
        enum err e = c->ops->peek(c, &data, &end);
        if (e == ERR_AGAIN) return;
        if (e != ERR_OK) {
            tell(e == ERR_CLOSED ? STR("C") : e == ERR_NO_MEMORY ? STR("M") : STR("G"));
            break;
        }
        tell(data);
        c->ops->consume(c, data.n);
    }
    if (end) {
        for (uint32_t i = 0; i < c->trailers.n; i++) tell(c->trailers.v[i].value);
        tell(STR("."));
    }
    c->ops->release(c);
    over();
}

static void on_response(struct client_stream *c)
{
    tell_number('r', c->response.status);
    if (!wait_to_read) on_readable(c);
}

static void on_interim(struct client_stream *c)
{
    tell_number('i', c->response.status);
}

static void on_writable(struct client_stream *c)
{
    (void)c;
}

static void on_failure(struct client_stream *c, enum client_failure why)
{
    assert_null(c->conn);
    tell_number('F', why);
    over();
}

static const struct client_handler handler = {on_response, on_interim, on_readable, on_writable, on_failure};

static void on_connect(struct h1_client *c, enum err e, void *user)
{
    *(enum err *)user = e;
    conn = e == ERR_OK ? c : NULL;
}

static void on_idle(struct h1_client *c, void *pool)
{
    (void)pool;
    idle = c;
}

static void on_idle_closed(struct h1_client *c, void *pool)
{
    (void)pool;
    assert_ptr_equal(c, idle);
    idle = NULL;
}

static void turns(int n)
{
    while (n-- > 0) loop_turn(loop, 0);
}

static bool open_all(void)
{
    static const struct h1_limits limits = {512, 256, 16};
    loop = loop_new(NULL);
    conn = idle = NULL;
    server = -1;
    if (!loop) return false;
    if (http_io_init(&io, loop, &limits, 512, 4) != ERR_OK) {
        loop_free(&loop);
        return false;
    }
    client_env_init(&env, &io, 2);
    env.on_idle = on_idle;
    env.on_idle_closed = on_idle_closed;
    return true;
}

static void close_all(void)
{
    if (asking) {
        asking->up.ops->release(&asking->up);
        over();
    }
    if (idle) h1_client_abandon(idle);
    turns(2);
    assert_int_equal(env.n_open, 0);
    assert_int_equal(io.buffers.in_use, 0);
    slab_free(&env.conns);
    http_io_close(&io);
    loop_free(&loop);
    if (server >= 0) close(server);
}

static enum err connect_to(const struct net_addr *to)
{
    enum err got = ERR_AGAIN;
    struct h1_client *c;
    enum err e = h1_client_open(&env, to, NULL, on_connect, &got, &c);
    if (e != ERR_OK) return e;
    turns(2);
    return got;
}

static enum err ask(str method, str body, bool end)
{
    struct request r = {.method = method,
                        .method_id = method_of(method),
                        .path = STR("/p"),
                        .authority = STR("h"),
                        .minor = 1,
                        .body = end ? body.n : BODY_UNKNOWN};
    struct h1_client *c = conn ? conn : idle;
    told_n = 0;
    told[0] = 0;
    conn = idle = NULL;
    asking = calloc(1, sizeof *asking);
    if (!asking) {
        h1_client_abandon(c);
        return ERR_NO_MEMORY;
    }
    asking->up.handler = &handler;
    asking->up.response.fields = (struct fields){asking->fields, 0, 16};
    asking->up.trailers = (struct fields){asking->trailers, 0, 4};
    enum err e = h1_client_start(c, &asking->up, &r, body, end);
    if (e != ERR_OK) over();
    return e;
}

static void take_server(void)
{
    if (server >= 0) close(server);
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(server >= 0);
}

static size_t server_hears(char *out, size_t cap)
{
    size_t n = 0;
    for (ssize_t r; n < cap - 1 && (r = recv(server, out + n, cap - 1 - n, 0)) > 0;) n += (size_t)r;
    out[n] = 0;
    return n;
}

#define ANSWER(name, method, sent, closes, want, reused)                                                               \
    {                                                                                                                  \
        name, STR_INIT(method), STR_INIT(sent), closes, want, reused                                                   \
    }

static const struct answer {
    const char *name;
    str method, sent;
    bool closes;
    const char *want;
    bool reused;
} answers[] = {
    ANSWER("a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, "r200 hello.", true),
    ANSWER("no body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "r200 .", true),
    ANSWER("204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, "r204 .", true),
    ANSWER("304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, "r304 .", true),
    ANSWER("HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false, "r200 .", true),
    ANSWER("HEAD of chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, "r200 .", true),
    ANSWER("chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
           false, "r200 hello.", true),
    ANSWER("trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\nX-A: tr\r\n\r\n",
           false, "r200 hetr.", true),
    ANSWER("close after a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhe", false,
           "r200 he.", false),
    ANSWER("HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhe", false, "r200 he.", false),
    ANSWER("until close", "GET", "HTTP/1.1 200 OK\r\n\r\nhello", true, "r200 hello.", false),
    ANSWER("interim heads", "GET",
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
           false, "i103 r200 x.", true),
    ANSWER("switching protocols", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false, "F6 ", false),
    ANSWER("garbage", "GET", "SSH-2.0-server\r\n", false, "F6 ", false),
    ANSWER("two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", false, "F6 ",
           false),
    ANSWER("a bad chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", false, "r200 G", false),
    ANSWER("closed without a word", "GET", "", true, "F4 ", false),
    ANSWER("closed within the head", "GET", "HTTP/1.1 200", true, "F5 ", false),
    ANSWER("closed within a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", true, "r200 helC",
           false),
    ANSWER("closed within chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", true,
           "r200 helC", false),
};

static void answer_in_pieces(str sent, size_t cut, bool closes)
{
    for (size_t at = 0; at < sent.n;) {
        size_t n = !cut ? 1 : at < cut ? cut : sent.n - at;
        if (send(server, sent.p + at, n, MSG_NOSIGNAL) < 0) break;
        turns(2);
        at += n;
    }
    if (closes) {
        char heard[1024];
        server_hears(heard, sizeof heard); /* what is left unread would make it a reset */
        close(server);
        server = -1;
    }
    turns(2);
}

static void however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        const struct answer *a = &answers[i];
        for (size_t cut = 0; cut <= a->sent.n; cut++) {
            assert_true(open_all());
            assert_err(connect_to(&address), ERR_OK);
            take_server();
            assert_err(ask(a->method, STR(""), true), ERR_OK);
            answer_in_pieces(a->sent, cut, a->closes);
            if (strcmp(told, a->want) != 0) fail_msg("%s, cut at %zu: got %s, want %s", a->name, cut, told, a->want);
            if ((idle != NULL) != a->reused) fail_msg("%s, cut at %zu: reused %d", a->name, cut, idle != NULL);
            close_all();
        }
    }
}

static void what_is_said_unasked_ends_an_idle_connection(void **state)
{
    (void)state;
    static const str answer = STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhe");
    static const str poison = STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    char both[256];
    int n = snprintf(both, sizeof both, "%.*s%.*s", STR_ARG(answer), STR_ARG(poison));
    for (size_t cut = answer.n; cut <= (size_t)n; cut++) { /* with the answer, or behind it */
        assert_true(open_all());
        assert_err(connect_to(&address), ERR_OK);
        take_server();
        assert_err(ask(STR("GET"), STR(""), true), ERR_OK);
        answer_in_pieces(str_make(both, (size_t)n), cut, false);
        assert_string_equal(told, "r200 he.");
        assert_null(idle);
        close_all();
    }
    assert_true(open_all()); /* an end of the other side, too */
    assert_err(connect_to(&address), ERR_OK);
    take_server();
    assert_err(ask(STR("GET"), STR(""), true), ERR_OK);
    answer_in_pieces(answer, 0, false);
    assert_non_null(idle);
    assert_int_equal(h1_client_uses(idle), 1);
    close(server);
    server = -1;
    turns(2);
    assert_null(idle);
    close_all();
}

static void ask_by_mail(struct mail *m, void *owner)
{
    (void)m;
    (void)owner;
    assert_err(ask(STR("GET"), STR(""), true), ERR_OK);
}

static void what_was_said_before_the_request_is_no_answer_to_it(void **state)
{
    (void)state;
    static const str answer = STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhe");
    for (int in_time = 0; in_time <= 1; in_time++) {
        assert_true(open_all());
        assert_err(connect_to(&address), ERR_OK);
        take_server();
        assert_err(ask(STR("GET"), STR(""), true), ERR_OK);
        answer_in_pieces(answer, 0, false);
        assert_non_null(idle);
        /* letters are delivered before the events of their turn: the connection is taken while its event waits */
        struct mail m = {.on_mail = ask_by_mail};
        if (!in_time) assert_int_equal(send(server, answer.p, answer.n, MSG_NOSIGNAL), answer.n);
        mail_post(loop, &m);
        turns(1);
        if (in_time) assert_int_equal(send(server, answer.p, answer.n, MSG_NOSIGNAL), answer.n);
        turns(2);
        assert_string_equal(told, in_time ? "r200 he." : "F2 ");
        assert_int_equal(CLIENT_FAILED_UNREAD, 2);
        assert_int_equal(idle != NULL, in_time);
        close_all();
    }
}

static void who_speaks_first_is_no_http_server(void **state)
{
    (void)state;
    static const str answer = STR_INIT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhe");
    assert_true(open_all());
    enum err got = ERR_AGAIN;
    struct h1_client *c;
    assert_err(h1_client_open(&env, &address, NULL, on_connect, &got, &c), ERR_OK);
    take_server();
    assert_int_equal(send(server, answer.p, answer.n, MSG_NOSIGNAL), answer.n);
    turns(2);
    assert_err(got, ERR_CLOSED);
    assert_null(conn);
    close_all();
}

static void a_reused_connection_that_breaks_is_stale(void **state)
{
    (void)state;
    char heard[1024];
    assert_true(open_all());
    assert_err(connect_to(&address), ERR_OK);
    take_server();
    assert_err(ask(STR("GET"), STR(""), true), ERR_OK);
    answer_in_pieces(STR("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 0, false);
    assert_err(ask(STR("POST"), STR("body"), true), ERR_OK);
    server_hears(heard, sizeof heard);
    assert_string_equal(heard,
                        "GET /p HTTP/1.1\r\nHost: h\r\n\r\nPOST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
                        "body");
    answer_in_pieces(STR(""), 0, true);
    assert_string_equal(told, "F3 ");
    assert_int_equal(CLIENT_FAILED_STALE, 3);
    close_all();
}

static void an_early_answer_leaves_no_connection_behind(void **state)
{
    (void)state;
    assert_true(open_all());
    assert_err(connect_to(&address), ERR_OK);
    take_server();
    assert_err(ask(STR("POST"), STR("half"), false), ERR_OK); /* more would follow */
    answer_in_pieces(STR("HTTP/1.1 413 No\r\nContent-Length: 1\r\n\r\nx"), 0, false);
    assert_string_equal(told, "r413 x.");
    assert_null(idle);
    close_all();
}

static void chunks_share_the_turn(void **state)
{
    (void)state;
    char text[4096];
    size_t n = (size_t)snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 300; i++) n += (size_t)snprintf(text + n, sizeof text - n, "1\r\nx\r\n");
    n += (size_t)snprintf(text + n, sizeof text - n, "0\r\n\r\n");
    assert_true(open_all());
    assert_err(connect_to(&address), ERR_OK);
    take_server();
    assert_err(ask(STR("GET"), STR(""), true), ERR_OK);
    assert_int_equal(send(server, text, n, MSG_NOSIGNAL), n);
    turns(1);
    assert_non_null(asking);
    assert_in_range(told_n, 5, 5 + 64);
    turns(20);
    assert_null(asking);
    assert_int_equal(told_n, 5 + 300 + 1);
    close_all();
}

static void a_body_waits_until_it_is_wanted(void **state)
{
    (void)state;
    assert_true(open_all());
    assert_err(connect_to(&address), ERR_OK);
    take_server();
    wait_to_read = true;
    assert_err(ask(STR("GET"), STR(""), true), ERR_OK);
    answer_in_pieces(STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 0, false);
    wait_to_read = false;
    assert_string_equal(told, "r200 ");
    on_readable(&asking->up);
    assert_string_equal(told, "r200 hello.");
    close_all();
}

static void connecting_fails_and_is_given_up(void **state)
{
    (void)state;
    struct net_addr nobody;
    struct h1_client *c;
    enum err got = ERR_AGAIN;
    assert_err(net_addr_parse(STR("127.0.0.1:1"), &nobody), ERR_OK);
    assert_true(open_all());
    enum err e = connect_to(&nobody);
    assert_true(e == ERR_CLOSED || e == ERR_IO);
    turns(1);
    assert_err(h1_client_open(&env, &address, NULL, on_connect, &got, &c), ERR_OK);
    h1_client_abandon(c);
    turns(2);
    assert_err(got, ERR_AGAIN); /* nobody was told */
    take_server();
    close_all();
}

static void no_memory_is_a_failure_and_no_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        const struct answer *a = &answers[i];
        EACH_ALLOC_FAILING({
            if (open_all()) {
                if (connect_to(&address) == ERR_OK) {
                    take_server();
                    if (ask(a->method, STR(""), true) == ERR_OK) answer_in_pieces(a->sent, a->sent.n / 2, a->closes);
                } else {
                    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                }
                close_all();
            }
        });
    }
}

static int set_up(void **state)
{
    char text[NET_TEXT_MAX];
    (void)state;
    int n = snprintf(text, sizeof text, "unix:/tmp/sallyport-test-h1-client-%d.sock", (int)getpid());
    if (net_addr_parse(str_make(text, (size_t)n), &address) != ERR_OK) return -1;
    return net_listen(&address, false, &listener) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    close(listener);
    return unlink(((const struct sockaddr_un *)&address.ss)->sun_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(however_it_is_cut),
        cmocka_unit_test(what_is_said_unasked_ends_an_idle_connection),
        cmocka_unit_test(what_was_said_before_the_request_is_no_answer_to_it),
        cmocka_unit_test(who_speaks_first_is_no_http_server),
        cmocka_unit_test(a_reused_connection_that_breaks_is_stale),
        cmocka_unit_test(an_early_answer_leaves_no_connection_behind),
        cmocka_unit_test(chunks_share_the_turn),
        cmocka_unit_test(a_body_waits_until_it_is_wanted),
        cmocka_unit_test(connecting_fails_and_is_given_up),
        cmocka_unit_test(no_memory_is_a_failure_and_no_more),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
