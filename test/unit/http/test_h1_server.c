/* Server connections, driven over a socket pair: what a client sends, cut at every byte, and what it gets back. */
#include "unit.h"

#include "http/h1_server.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

uint64_t __real_clock_mono_ns(void);
uint64_t __wrap_clock_mono_ns(void);

static uint64_t fake_ns = 1000000000;

uint64_t __wrap_clock_mono_ns(void)
{
    return fake_ns;
}

/* --- a service: takes the whole body, then answers with what the path asks for --- */

struct stream {
    struct server_stream down; /* first */
    struct field fields[16], trailers[4], out[4];
    uint64_t body;
    bool answering;
    size_t to_write;
};

static struct loop *loop;
static struct http_io io;
static struct server_env env;
static int client;
static unsigned begun, ended, aborted;

static struct server_stream *stream_new(void *owner)
{
    (void)owner;
    struct stream *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->down.request.fields = (struct fields){x->fields, 0, 16};
    x->down.trailers = (struct fields){x->trailers, 0, 4};
    begun++;
    return &x->down;
}

static void stream_free(void *owner, struct server_stream *s)
{
    (void)owner;
    begun--;
    free(s);
}

static void done(struct stream *x)
{
    ended++;
    x->down.ops->done(&x->down);
}

static char filler[4096], large[1 << 20];

static void write_more(struct stream *x)
{
    while (x->to_write) {
        size_t n = x->to_write < sizeof filler ? x->to_write : sizeof filler;
        enum err e = x->down.ops->write(&x->down, str_make(filler, n), n == x->to_write, NULL);
        if (e == ERR_AGAIN) return;
        if (e != ERR_OK) break;
        x->to_write -= n;
    }
    done(x);
}

static void respond(struct stream *x, uint16_t status)
{
    char text[64];
    struct server_stream *s = &x->down;
    int n = snprintf(text, sizeof text, "%.*s %llu", STR_ARG(s->request.path), (unsigned long long)x->body);
    struct response r = {.status = status, .fields = {x->out, 0, 4}, .body = (uint64_t)n};
    x->answering = true;
    if (str_eq(s->request.path, STR("/unknown"))) r.body = BODY_UNKNOWN;
    if (str_eq(s->request.path, STR("/big"))) {
        r.body = x->to_write = 4 << 20;
        if (s->ops->respond(s, &r, STR_NONE, false) == ERR_OK)
            write_more(x);
        else
            done(x);
        return;
    }
    bool head = s->request.method_id == METHOD_HEAD;
    if (str_eq(s->request.path, STR("/cut"))) { /* an answer that is not whole */
        r.body = BODY_UNKNOWN;
        (void)!s->ops->respond(s, &r, str_make(text, (size_t)n), false);
    } else {
        (void)!s->ops->respond(s, &r, str_make(text, head ? 0 : (size_t)n), true);
    }
    done(x);
}

static void on_readable(struct server_stream *s)
{
    struct stream *x = (struct stream *)s;
    bool end = false;
    if (str_eq(s->request.path, STR("/early-big"))) {
        str data;
        bool last;
        assert_err(s->ops->peek(s, &data, &last), ERR_AGAIN);
        struct response r = {.status = 200, .fields = {x->out, 0, 4}, .body = sizeof large};
        assert_err(s->ops->respond(s, &r, str_make(large, sizeof large), true), ERR_OK);
        done(x);
        return;
    }
    if (str_eq(s->request.path, STR("/early"))) {
        respond(x, 403);
        return;
    }
    while (!end) {
        str data = STR_NONE;
        enum err e = s->ops->peek(s, &data, &end);
        if (e == ERR_AGAIN) return;
        if (e == ERR_CLOSED) {
            done(x);
            return;
        }
        if (e != ERR_OK) {
            respond(x, 400);
            return;
        }
        x->body += data.n;
        s->ops->consume(s, data.n);
    }
    respond(x, 200);
}

static void on_malformed(struct server_stream *s, int fault)
{
    respond((struct stream *)s, http_fault_status((enum http_fault)fault));
}

static void on_writable(struct server_stream *s)
{
    write_more((struct stream *)s);
}

static void on_abort(struct server_stream *s)
{
    aborted++;
    done((struct stream *)s);
}

static const struct server_handler handler = {.on_request = on_readable,
                                              .on_malformed = on_malformed,
                                              .on_readable = on_readable,
                                              .on_writable = on_writable,
                                              .on_abort = on_abort};

/* --- the client --- */

static void turns(int n)
{
    while (n-- > 0) loop_turn(loop, 0);
}

/* False: memory. */
static bool open_all(uint32_t rate)
{
    static const struct h1_limits limits = {1024, 512, 16};
    int pair[2];
    begun = ended = aborted = 0;
    loop = loop_new(NULL);
    if (!loop) return false;
    if (http_io_init(&io, loop, &limits, 512, 4) != ERR_OK) {
        loop_free(&loop);
        return false;
    }
    server_env_init(&env, &io, 2);
    env.handler = &handler;
    env.stream_new = stream_new;
    env.stream_free = stream_free;
    env.timeouts =
        (struct h1_timeouts){.idle_ms = 5000, .head_ms = 1000, .grace_ms = 3000, .rate = rate, .linger_ms = 500};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    client = pair[0];
    server_conn_open(&env, pair[1], &(struct net_peer){.family = 1}, NULL);
    turns(1);
    return true;
}

static void close_all(void)
{
    server_env_close_all(&env);
    turns(2);
    assert_int_equal(env.n_open, 0);
    assert_int_equal(begun, 0); /* every stream came back */
    assert_int_equal(io.buffers.in_use, 0);
    slab_free(&env.conns);
    http_io_close(&io);
    loop_free(&loop);
    close(client);
}

static void say(str s)
{
    assert_int_equal(send(client, s.p, s.n, MSG_NOSIGNAL), s.n);
}

static void say_often(const char *piece, unsigned times)
{
    static char all[32768];
    size_t n = 0, one = strlen(piece);
    for (; times; times--, n += one) memcpy(all + n, piece, one);
    say(str_make(all, n));
}

/* What came, as "200 /path 0|…": status and body of each answer; "." at the end: closed; "!": reset. */
static size_t hear(char *out, size_t cap)
{
    char got[65536];
    size_t n = 0, at = 0;
    bool closed = false;
    for (;;) {
        ssize_t r = recv(client, got + n, sizeof got - 1 - n, 0);
        if (r == 0) closed = true;
        if (r <= 0) break;
        n += (size_t)r;
    }
    got[n] = 0;
    out[0] = 0;
    for (char *p = got; (p = strstr(p, "HTTP/1.1 ")) != NULL;) {
        const char *body = strstr(p, "\r\n\r\n");
        const char *next = strstr(p + 1, "HTTP/1.1 ");
        size_t len = !body ? 0 : next ? (size_t)(next - body) - 4 : strlen(body + 4);
        at += (size_t)snprintf(out + at, cap - at, "%.3s %.*s%s|", p + 9, (int)len, body ? body + 4 : "",
                               body ? "" : "(head cut)");
        p += 9;
    }
    for (size_t i = 0; i < at; i++)
        if (out[i] == '\r' || out[i] == '\n') out[i] = '~';
    at += (size_t)snprintf(out + at, cap - at, "%s", closed ? "." : "");
    return at;
}

#define TALK(name, sent, want)                                                                                         \
    {                                                                                                                  \
        name, STR_INIT(sent), want                                                                                     \
    }

static const struct talk {
    const char *name;
    str sent;
    const char *want;
} talks[] = {
    TALK("one", "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", "200 /a 0|"),
    TALK("pipelined", "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", "200 /a 0|200 /b 0|"),
    TALK("empty line before", "\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n", "200 /a 0|"),
    TALK("behind a body",
         "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
         "200 /a 5|200 /b 0|"),
    TALK("behind chunks",
         "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n"
         "GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
         "200 /a 5|200 /b 0|"),
    TALK("close is heeded", "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
         "200 /a 0|."),
    TALK("HTTP/1.0 closes", "GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", "200 /a 0|."),
    TALK("HTTP/1.0 keeps alive when asked", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
         "200 /a 0|200 /b 0|."),
    TALK("malformed closes", "GET /a HTTP/1.1\r\nHost : h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", "400  0|."),
    TALK("malformed behind a good one", "GET /a HTTP/1.1\r\nHost: h\r\n\r\nG@T /b HTTP/1.1\r\n\r\n",
         "200 /a 0|400  0|."),
    TALK("bad chunk closes",
         "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nz\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
         "400 /a 0|."),
    TALK("HEAD has no body", "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", "200 |200 /b 0|"),
    TALK("unknown length, 1.0", "GET /unknown HTTP/1.0\r\n\r\n", "200 /unknown 0|."),
    TALK("a cut answer ends the connection", "GET /cut HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
         "200 6~~/cut 0~~|."),
};

/* `pieces`: cut at `cut`, or one byte at a time when cut is 0. */
static void talk_in_pieces(const struct talk *t, size_t cut, char *heard, size_t cap)
{
    for (size_t at = 0; at < t->sent.n;) {
        size_t n = !cut ? 1 : at < cut ? cut : t->sent.n - at;
        if (send(client, t->sent.p + at, n, MSG_NOSIGNAL) < 0) break; /* it has closed already */
        turns(3);
        at += n;
    }
    turns(3);
    (void)hear(heard, cap);
}

static void however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
        const struct talk *t = &talks[i];
        for (size_t cut = 0; cut <= t->sent.n; cut++) {
            char heard[2048];
            assert_true(open_all(100));
            talk_in_pieces(t, cut, heard, sizeof heard);
            if (strcmp(heard, t->want) != 0) fail_msg("%s, cut at %zu: got %s, want %s", t->name, cut, heard, t->want);
            close_all();
        }
    }
}

static void early_answers_end_the_connection_unless_the_body_is_there(void **state)
{
    (void)state;
    char heard[512];
    assert_true(open_all(100));
    say(STR("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: h\r\n\r\n"));
    turns(3);
    (void)hear(heard, sizeof heard);
    assert_string_equal(heard, "403 /early 0|200 /b 0|");
    say(STR("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\nabc"));
    turns(3);
    (void)hear(heard, sizeof heard);
    assert_string_equal(heard, "403 /early 0|.");
    say(STR("GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"));
    turns(3);
    assert_int_equal(env.n_open, 1); /* reads off what still comes */
    fake_ns += UINT64_C(600000000);
    turns(3);
    assert_int_equal(env.n_open, 0);
    assert_int_equal(ended, 3);
    close_all();
}

static void one_connection_does_not_have_the_turn_for_itself(void **state)
{
    (void)state;
    static const char get[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", chunk[] = "1\r\nx\r\n";
    assert_true(open_all(100));
    say_often(get, 200);
    turns(1);
    assert_in_range(ended, 1, 64); /* by the event, and by the task behind it */
    turns(50);
    assert_int_equal(ended, 200);
    close_all();

    assert_true(open_all(100));
    say(STR("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
    say_often(chunk, 400);
    say(STR("0\r\n\r\n"));
    turns(2);
    assert_int_equal(ended, 0);
    turns(50);
    assert_int_equal(ended, 1);
    char heard[128];
    (void)hear(heard, sizeof heard);
    assert_string_equal(heard, "200 /a 400|");
    close_all();
}

/* Reads slowly, `ms` between two looks; returns how many bytes came. */
static size_t read_slowly(unsigned looks, unsigned ms)
{
    static char got[65536];
    size_t n = 0;
    for (unsigned i = 0; i < looks; i++) {
        ssize_t r = recv(client, got, sizeof got, 0);
        if (r == 0) break;
        if (r > 0) n += (size_t)r;
        fake_ns += (uint64_t)ms * 1000000;
        turns(2);
    }
    return n;
}

static void a_slow_reader_gets_all_of_the_last_answer(void **state)
{
    (void)state;
    assert_true(open_all(100));
    int small = 4096;
    (void)setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(STR("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    turns(2);
    size_t n = read_slowly(2000, 700); /* slower than linger_ms at each look */
    assert_in_range(n, 4 << 20, (4 << 20) + 400);
    close_all();
}

/* He never sends the body that he announced; the answer came early, and he reads it at a good pace. */
static void a_missing_body_does_not_cut_the_answer(void **state)
{
    (void)state;
    assert_true(open_all(100));
    say(STR("POST /early-big HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"));
    turns(2);
    size_t n = read_slowly(300, 700);
    assert_in_range(n, sizeof large, sizeof large + 400);
    close_all();
}

static void who_does_not_read_is_closed(void **state)
{
    (void)state;
    static const uint32_t rates[] = {100, 0};
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        assert_true(open_all(rates[i]));
        say(STR("GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
        turns(100);
        fake_ns += UINT64_C(600000000000);
        turns(3);
        if (rates[i]) {
            assert_int_equal(aborted, 1);
            assert_int_equal(env.n_open, 0);
        } else {
            assert_int_equal(env.n_open, 1); /* the handler's own deadline is all there is */
        }
        close_all();
    }
}

static void heads_and_idleness_have_their_time(void **state)
{
    (void)state;
    char heard[64];
    assert_true(open_all(100));
    say(STR("GET /a HTTP/1.1\r\n"));
    for (int i = 0; i < 9; i++) { /* a byte now and then renews nothing */
        turns(2);
        fake_ns += 100000000;
        say(STR("a"));
        turns(2);
        assert_int_equal(env.n_open, 1);
    }
    fake_ns += 200000000;
    turns(3);
    assert_int_equal(env.n_timed_out, 1);
    assert_true(hear(heard, sizeof heard) > 0);
    assert_ptr_equal(strstr(heard, "408 "), heard);
    assert_int_equal(env.n_open, 1); /* what it still sends is read off, but not for ever */
    fake_ns += 600000000;
    turns(3);
    assert_int_equal(env.n_open, 0);
    assert_int_equal(env.n_timed_out, 1);
    close_all();

    assert_true(open_all(100));
    say(STR("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
    turns(2);
    fake_ns += UINT64_C(4900000000);
    turns(2);
    assert_int_equal(env.n_open, 1);
    assert_int_equal(io.buffers.in_use, 0); /* an idle connection owns none */
    fake_ns += 200000000;
    turns(3);
    assert_int_equal(env.n_open, 0);
    close_all();

    assert_true(open_all(100));
    say(STR("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"));
    turns(2);
    fake_ns += UINT64_C(3100000000);
    turns(3);
    assert_int_equal(aborted, 1);
    assert_int_equal(env.n_open, 0);
    close_all();
}

static void a_client_that_goes_is_noticed(void **state)
{
    (void)state;
    static const str sent[] = {STR_INIT(""), STR_INIT("GET /a"), STR_INIT("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
                               STR_INIT("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab"),
                               STR_INIT("GET /big HTTP/1.1\r\nHost: h\r\n\r\n")};
    for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
        assert_true(open_all(100));
        if (sent[i].n) say(sent[i]);
        turns(2);
        close(client);
        client = -1;
        turns(4);
        assert_int_equal(env.n_open, 0);
        close_all();
    }
}

static void drained_connections_end(void **state)
{
    (void)state;
    char heard[256];
    assert_true(open_all(100));
    server_env_drain(&env);
    server_env_close_idle(&env); /* idle: gone */
    turns(2);
    assert_int_equal(env.n_open, 0);
    close_all();
    assert_true(open_all(100));
    say(STR("GET /a HTTP/1.1\r\nHost: h\r\n"));
    turns(2);
    server_env_drain(&env);
    server_env_close_idle(&env); /* in the middle of a head: not */
    say(STR("\r\n"));
    turns(3);
    (void)hear(heard, sizeof heard);
    assert_string_equal(heard, "200 /a 0|.");
    close_all();
}

/* With memory failing anywhere, what is heard is the beginning of what should be heard: no answer is left out, and none
 * stands in the place of another. */
static void no_memory_leaves_no_answer_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(talks); i++) {
        EACH_ALLOC_FAILING({
            char heard[2048];
            if (open_all(100)) {
                talk_in_pieces(&talks[i], talks[i].sent.n / 2, heard, sizeof heard);
                size_t n = strlen(heard);
                if (n && heard[n - 1] == '.') n--;
                if (strcmp(heard, "503 |.") != 0 && strncmp(heard, talks[i].want, n) != 0)
                    fail_msg("%s: got %s, want %s", talks[i].name, heard, talks[i].want);
                close_all();
            }
        });
    }
}

/* The socket is full when the answer comes, and there is no memory for what it does not take. */
static void what_cannot_be_kept_ends_the_connection(void **state)
{
    (void)state;
    assert_true(open_all(100));
    unsigned last = 0;
    say(STR("GET /a HTTP/1.1\r\nHost: h\r\n\r\n")); /* now the pools are warm */
    turns(2);
    for (int i = 0; i < 3000 && env.n_open; i++) {
        last = ended;
        if (send(client, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", 28, MSG_NOSIGNAL) < 0) break;
        alloc_fail_at(1); /* the stream, and then no more */
        turns(2);
        alloc_fail_at(-1);
    }
    assert_int_equal(env.n_open, 0);
    assert_true(last > 10);
    static char got[1 << 20];
    size_t n = 0, whole = 0;
    for (ssize_t r; (r = recv(client, got + n, sizeof got - 1 - n, 0)) > 0;) n += (size_t)r;
    got[n] = 0;
    for (const char *p = got; (p = strstr(p, "HTTP/1.1 200")) != NULL; p++) whole++;
    assert_in_range(whole, last, last + 1); /* nothing was left out in between */
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(however_it_is_cut),
        cmocka_unit_test(early_answers_end_the_connection_unless_the_body_is_there),
        cmocka_unit_test(one_connection_does_not_have_the_turn_for_itself),
        cmocka_unit_test(a_slow_reader_gets_all_of_the_last_answer),
        cmocka_unit_test(a_missing_body_does_not_cut_the_answer),
        cmocka_unit_test(who_does_not_read_is_closed),
        cmocka_unit_test(heads_and_idleness_have_their_time),
        cmocka_unit_test(a_client_that_goes_is_noticed),
        cmocka_unit_test(drained_connections_end),
        cmocka_unit_test(no_memory_leaves_no_answer_out),
        cmocka_unit_test(what_cannot_be_kept_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
