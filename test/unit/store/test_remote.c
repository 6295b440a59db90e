/* The store from another process: every promise of store/store.h over a Unix socket, and what happens when the other
 * end goes away, says nothing, is somebody else or means harm. */
#include "suite.h"

#include "base/clock.h"
#include "net/unix_socket.h"
#include "store/listener.h"
#include "store/remote.h"
#include "store/wire.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Monotonic time can be moved on. */
static _Atomic uint64_t skew_ns;
uint64_t __real_clock_mono_ns(void);
uint64_t __wrap_clock_mono_ns(void);
uint64_t __wrap_clock_mono_ns(void)
{
    return __real_clock_mono_ns() + atomic_load(&skew_ns);
}
static struct loop *loop;
static void later(uint64_t ms)
{
    atomic_fetch_add(&skew_ns, ms * 1000000);
    loop_turn(loop, 0); /* or it would count from before the jump */
}

/* --- a data role: a keeper, and a listener on a thread of its own --- */

static char dir[64], path[96];
static struct keeper *keeper;
static struct store_listener *listener;
static struct loop *server_loop;
static pthread_t server;
static struct mail stop_mail;

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

static void listen_again(void)
{
    struct store_listener_options o = {.path = path, .keeper = keeper, .spaces = KEEPER_ALL};
    server_loop = loop_new(NULL);
    assert_non_null(server_loop);
    assert_err(store_listener_new(server_loop, &o, &listener), ERR_OK);
    assert_int_equal(pthread_create(&server, NULL, serve, NULL), 0);
}

static void listen_no_more(void)
{
    stop_mail.on_mail = on_stop;
    mail_post(server_loop, &stop_mail);
    pthread_join(server, NULL);
    store_listener_free(&listener);
    loop_free(&server_loop);
}

static void make_folder(void)
{
    snprintf(dir, sizeof dir, "/tmp/sallyport-remote-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/data.sock", dir);
}

static void remove_folder(void)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    assert_int_equal(rmdir(dir), 0);
}

static struct store *join(void *ctx, struct loop *its)
{
    (void)ctx;
    char address[128];
    struct store *s = NULL;
    snprintf(address, sizeof address, "unix:%s", path);
    assert_err(store_remote_new(its, str_of(address), STR("test"), &s), ERR_OK);
    return s;
}

static struct store *make(void *ctx, struct loop *its)
{
    char why[KEEPER_WHY];
    make_folder();
    struct keeper_config c = {.engine = *(const enum keeper_engine *)ctx,
                              .dir = dir,
                              .spaces = KEEPER_ALL & ~KEEPER_SPACE(STORE_TENANTS)};
    assert_err(keeper_new(&c, &keeper, why), ERR_OK);
    listen_again();
    return join(ctx, its);
}

static void end(void *ctx)
{
    (void)ctx;
    listen_no_more();
    keeper_free(&keeper);
    remove_folder();
}

/* --- by hand: the other end of a connection --- */

static struct store *store;
static struct buf out, in;
static size_t last; /* bytes of `in` that the frame handed out last takes */

static int up_server(void **state)
{
    static enum keeper_engine memory = KEEPER_MEMORY;
    (void)state;
    suite_clock_set(UINT64_C(1800000000000));
    buf_init(&out, (size_t)64 << 20);
    loop = loop_new(NULL);
    store = make(&memory, loop);
    return 0;
}

static int down_server(void **state)
{
    (void)state;
    store_free(&store);
    end(NULL);
    loop_free(&loop);
    buf_free(&out);
    buf_free(&in);
    return 0;
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* What is in `out`, blocking at most until the other end does not read for 200 ms. True: all of it. */
static bool send_out(int fd)
{
    size_t at = 0;
    while (at < out.n) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, 200) != 1) break;
        ssize_t n = send(fd, out.p + at, out.n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) break;
        at += (size_t)n;
    }
    bool all = at == out.n;
    buf_clear(&out);
    return all;
}

static void forget_input(void)
{
    buf_free(&in);
    buf_init(&in, (size_t)16 << 20);
    last = 0;
}

/* The next frame from that side, turning our own loop meanwhile. False: the connection has ended. */
static bool next_frame(int fd, enum wire_side from, struct wire_frame *f)
{
    if (last) buf_consume(&in, last);
    last = 0;
    for (int i = 0; i < 2000; i++) {
        size_t used;
        enum wire_fault fault;
        enum err e = wire_cut(buf_str(&in), from, WIRE_BODY_MAX, f, &used, &fault);
        if (e == ERR_OK) {
            last = used;
            return true;
        }
        assert_err(e, ERR_AGAIN);
        loop_turn(loop, 0);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 5) != 1) continue;
        char *room = buf_room(&in, 65536);
        ssize_t n = recv(fd, room, 65536, 0);
        if (n <= 0) return false;
        in.n += (size_t)n;
    }
    fail_msg("no frame came");
    return false;
}

static void hello(int fd)
{
    struct wire_frame f;
    forget_input();
    wire_put_hello(&out, &(struct wire_hello){WIRE_VERSION, KEEPER_ALL, STR("by-hand")});
    assert_true(send_out(fd));
    assert_true(next_frame(fd, WIRE_OF_SERVER, &f));
    assert_int_equal(f.type, WIRE_WELCOME);
}

/* Whether the server hangs up within a second. */
static bool hung_up(int fd)
{
    char rest[4096];
    for (int i = 0; i < 200; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 5) == 1 && recv(fd, rest, sizeof rest, MSG_DONTWAIT) <= 0) return true;
    }
    return false;
}

static void assert_serves(void)
{
    assert_err(suite_put(store, STORE_CONTROL, "alive", "yes", 0, NULL), ERR_OK);
    assert_string_equal(suite_get(store, STORE_CONTROL, "alive"), "yes");
}

/* --- peers that mean harm --- */

static void put_text(str s)
{
    buf_put(&out, s);
}

static void put_good_hello(void)
{
    wire_put_hello(&out, &(struct wire_hello){WIRE_VERSION, KEEPER_ALL, STR("x")});
}

static const struct {
    const char *name;
    str bytes;
    bool hello_first;
} harm[] = {
    {"HTTP", STR_INIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), false},
    {"zeros", STR_INIT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), false},
    {"a request before hello", STR_INIT("\0\0\0\2\2\0\0\0\0\0\0\1\3\2"), false},
    {"a hello of a megabyte", STR_INIT("\0\020\0\0\1\0\0\0\0\0\0\0SPST"), false},
    {"a hello of something else", STR_INIT("\0\0\0\15\1\0\0\0\0\0\0\0XXXX\0\1\0\0\0\37\0\1a"), false},
    {"two hellos", STR_INIT("\0\0\0\15\1\0\0\0\0\0\0\0SPST\0\1\0\0\0\37\0\1a"), true},
    {"a body of four gigabytes", STR_INIT("\377\377\377\377\2\0\0\0\0\0\0\1"), true},
    {"an unknown type", STR_INIT("\0\0\0\0\11\0\0\0\0\0\0\1"), true},
    {"a server's frame", STR_INIT("\0\0\0\0\103\0\0\0\0\0\0\1"), true},
    {"an empty request", STR_INIT("\0\0\0\0\2\0\0\0\0\0\0\1"), true},
    {"a request of an unknown space", STR_INIT("\0\0\0\2\2\0\0\0\0\0\0\1\3\11"), true},
    {"a NEXT with a body", STR_INIT("\0\0\0\1\4\0\0\0\0\0\0\1x"), true},
};

static void what_breaks_the_protocol_is_hung_up_on_and_others_go_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(harm); i++) {
        struct store_listener_numbers before, after;
        store_listener_numbers(listener, &before);
        int fd = dial();
        if (harm[i].hello_first) put_good_hello();
        put_text(harm[i].bytes);
        (void)send_out(fd);
        if (!hung_up(fd)) fail_msg("%s: not hung up on", harm[i].name);
        close(fd);
        assert_serves();
        store_listener_numbers(listener, &after);
        if (after.malformed != before.malformed + 1) fail_msg("%s: not counted", harm[i].name);
    }
}

static void a_watch_has_a_number_of_its_own(void **state)
{
    (void)state;
    int fd = dial();
    hello(fd);
    for (int i = 0; i < 2; i++)
        wire_put_watch(&out, 5, &(struct wire_watch){STORE_CONTROL, STR(""), STR("twice"), 0, {0}, {0}});
    (void)send_out(fd);
    assert_true(hung_up(fd));
    close(fd);
    assert_serves();
}

static void another_version_is_told_ours(void **state)
{
    (void)state;
    struct wire_frame f;
    struct wire_refused r;
    int fd = dial();
    forget_input();
    wire_put_hello(&out, &(struct wire_hello){WIRE_VERSION + 1, KEEPER_ALL, STR("x")});
    assert_true(send_out(fd));
    assert_true(next_frame(fd, WIRE_OF_SERVER, &f));
    assert_int_equal(f.type, WIRE_REFUSED);
    assert_err(wire_refused(f.body, &r), ERR_OK);
    assert_int_equal(r.version, WIRE_VERSION);
    assert_true(hung_up(fd));
    close(fd);
}

static void who_says_no_hello_is_not_kept(void **state)
{
    (void)state;
    struct store_listener_numbers n;
    int half = dial(), silent = dial();
    put_text(STR("\0\0\0\15\1\0\0"));
    assert_true(send_out(half));
    assert_serves();
    assert_false(hung_up(silent));
    later(STORE_LISTENER_HELLO_MS + 100);
    assert_serves(); /* wakes the server's loop, whose clock has jumped */
    assert_true(hung_up(half));
    assert_true(hung_up(silent));
    close(half);
    close(silent);
    for (int i = 0; i < 100; i++) {
        store_listener_numbers(listener, &n);
        if (n.connections == 1) break;
        usleep(10000);
    }
    assert_int_equal(n.connections, 1);
}

static void frames_that_come_a_byte_at_a_time_are_the_same(void **state)
{
    (void)state;
    struct wire_frame f;
    struct wire_answer a;
    int fd = dial();
    str key = STR("trickle");
    forget_input();
    assert_err(suite_put(store, STORE_CONTROL, "trickle", "drop", 0, NULL), ERR_OK);
    put_good_hello();
    wire_put_request(&out, 9,
                     &(struct store_job){.kind = STORE_GET, .space = STORE_CONTROL, .keys = &key, .n_keys = 1});
    for (size_t i = 0; i < out.n; i++) {
        assert_int_equal(send(fd, out.p + i, 1, 0), 1);
        if (i % 7 == 0) usleep(500);
    }
    buf_clear(&out);
    assert_true(next_frame(fd, WIRE_OF_SERVER, &f));
    assert_int_equal(f.type, WIRE_WELCOME);
    assert_true(next_frame(fd, WIRE_OF_SERVER, &f));
    assert_int_equal(f.type, WIRE_ANSWER);
    assert_int_equal(f.id, 9);
    struct store_entry e;
    assert_err(wire_answer(f.body, &a), ERR_OK);
    assert_err(wire_answer_entry(&a, &e), ERR_OK);
    assert_str(e.value, STR("drop"));
    close(fd);
}

/* Asks for far more than it reads: is not read from, costs its budget, and gets every answer in the end. */
static void who_asks_without_reading_waits_alone(void **state)
{
    (void)state;
    enum { ASKED = 2000 };
    static char big[STORE_VALUE_MAX];
    struct store_listener_numbers n;
    struct wire_frame f;
    memset(big, 'x', sizeof big);
    struct store_op op = {STORE_PUT, STORE_ANY, 0, STR("big"), str_make(big, sizeof big), 0};
    struct store_job put = {.kind = STORE_BATCH, .space = STORE_AUDIT, .ops = &op, .n_ops = 1};
    assert_err(suite_do(store, &put), ERR_OK);
    int fd = dial();
    hello(fd);
    for (uint32_t i = 0; i < ASKED; i++)
        wire_put_request(&out, i, &(struct store_job){.kind = STORE_RANGE, .space = STORE_AUDIT, .limit = 10});
    bool all = send_out(fd);
    for (int i = 0; i < 20; i++) {
        assert_serves();
        store_listener_numbers(listener, &n);
        assert_true(n.requests <= STORE_LISTENER_BUDGET / STORE_VALUE_MAX + 2);
    }
    assert_true(n.answered < 200);
    for (uint32_t got = 0; got < (all ? ASKED : 1); got++) {
        assert_true(next_frame(fd, WIRE_OF_SERVER, &f));
        assert_int_equal(f.type, WIRE_ANSWER);
        assert_int_equal(f.id, got);
        assert_true(f.body.n > STORE_VALUE_MAX);
    }
    close(fd);
    assert_serves();
}

/* One that is not read from when it goes away is let go of all the same. */
static void who_goes_away_with_everything_unread_is_forgotten(void **state)
{
    (void)state;
    static char big[STORE_VALUE_MAX];
    struct store_listener_numbers n = {0};
    struct store_op op = {STORE_PUT, STORE_ANY, 0, STR("big"), str_make(big, sizeof big), 0};
    struct store_job put = {.kind = STORE_BATCH, .space = STORE_AUDIT, .ops = &op, .n_ops = 1};
    assert_err(suite_do(store, &put), ERR_OK);
    for (int round = 0; round < 5; round++) {
        int fd = dial();
        hello(fd);
        wire_put_watch(&out, 1, &(struct wire_watch){STORE_AUDIT, STR(""), STR("leaves"), 0, {0}, {0}});
        for (uint32_t i = 0; i < 3000; i++)
            wire_put_request(&out, i, &(struct store_job){.kind = STORE_RANGE, .space = STORE_AUDIT, .limit = 10});
        for (uint32_t i = 0; i < 60000; i++) wire_put_beat(&out, 1, i);
        assert_false(send_out(fd)); /* more than it takes */
        close(fd);
    }
    for (int i = 0; i < 300; i++) {
        store_listener_numbers(listener, &n);
        if (n.connections == 1) break;
        loop_turn(loop, 10);
    }
    assert_int_equal(n.connections, 1);
    assert_int_equal(n.watches, 0);
    assert_int_equal(n.requests, 0);
    assert_serves();
}

/* A watcher that does not read: its pages stay where they are, and the others are told. */
static void a_slow_watcher_costs_a_page(void **state)
{
    (void)state;
    static char value[60000];
    struct wire_frame f;
    struct store_change c;
    memset(value, 'v', sizeof value);
    int fd = dial();
    hello(fd);
    for (uint32_t id = 1; id <= STORE_LISTENER_WATCHES + 1; id++)
        wire_put_watch(&out, id, &(struct wire_watch){STORE_AUDIT, STR(""), STR("slow"), 0, {0}, {0}});
    assert_true(send_out(fd));
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        struct store_op op = {STORE_PUT, STORE_ANY, 0, str_of(key), str_make(value, sizeof value), 0};
        struct store_job job = {.kind = STORE_BATCH, .space = STORE_AUDIT, .ops = &op, .n_ops = 1};
        assert_err(suite_do(store, &job), ERR_OK);
    }
    uint32_t watching = 0, refused = 0, pages = 0, seen = 0;
    while (seen < 100) { /* of the first watch; nobody deals with the pages of the others */
        enum err e = ERR_OK;
        assert_true(next_frame(fd, WIRE_OF_SERVER, &f));
        if (f.type == WIRE_WATCHING) {
            assert_err(wire_watching(f.body, &e), ERR_OK);
            *(e == ERR_OK ? &watching : &refused) += 1;
            if (e != ERR_OK) assert_err(e, ERR_LIMIT);
        } else if (f.type == WIRE_CHANGES && f.id == 1) {
            while ((e = wire_change(&f.body, &c)) == ERR_OK)
                if (c.kind == STORE_CHANGED) seen++;
        } else if (f.type == WIRE_PAGE && f.id == 1) {
            pages++;
            wire_put_bare(&out, WIRE_NEXT, 1);
            assert_true(send_out(fd));
        }
    }
    assert_int_equal(watching, STORE_LISTENER_WATCHES);
    assert_int_equal(refused, 1);
    assert_true(pages > 1);
    /* a NEXT without a page */
    wire_put_bare(&out, WIRE_NEXT, 2);
    wire_put_bare(&out, WIRE_NEXT, 2);
    (void)send_out(fd);
    assert_true(hung_up(fd));
    close(fd);
    assert_serves();
}

static void no_more_connections_than_there_may_be(void **state)
{
    (void)state;
    int fds[STORE_LISTENER_CONNECTIONS + 4];
    assert_serves(); /* one is ours */
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) fds[i] = dial();
    assert_true(hung_up(fds[ARRAY_LEN(fds) - 1]));
    assert_false(hung_up(fds[STORE_LISTENER_CONNECTIONS - 2]));
    assert_serves();
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) close(fds[i]);
}

/* --- a server that goes away, says nothing, or is somebody else's --- */

static struct unix_socket listening;

static int up_alone(void **state)
{
    (void)state;
    buf_init(&out, (size_t)16 << 20);
    forget_input();
    make_folder();
    listening.fd = -1;
    loop = loop_new(NULL);
    store = join(NULL, loop);
    return 0;
}

static int down_alone(void **state)
{
    (void)state;
    store_free(&store);
    loop_free(&loop);
    unix_socket_close(&listening);
    remove_folder();
    buf_free(&out);
    buf_free(&in);
    return 0;
}

static struct asked {
    struct store_job job;
    struct store_op op;
    str key;
    int done;
} first, second, third;

static void on_asked(struct store_job *job)
{
    CONTAINER_OF(job, struct asked, job)->done++;
}

static void ask(struct asked *a, enum store_kind kind)
{
    store_job_clear(&a->job);
    *a = (struct asked){.key = STR("k")};
    a->op = (struct store_op){STORE_PUT, STORE_ANY, 0, STR("k"), STR("v"), 0};
    a->job =
        (struct store_job){.kind = kind, .keys = &a->key, .n_keys = 1, .ops = &a->op, .n_ops = 1, .done = on_asked};
    store_submit(store, &a->job);
    assert_int_equal(a->done, 0);
}

static void until_done(const struct asked *a, enum err want)
{
    for (int i = 0; i < 1000 && !a->done; i++) loop_turn(loop, 10);
    assert_int_equal(a->done, 1);
    assert_err(a->job.err, want);
}

/* Waits for the client, reads its hello and bids it welcome. */
static int receive_client(void)
{
    struct wire_frame f;
    int fd = -1;
    forget_input();
    for (int i = 0; i < 1000 && fd < 0; i++) {
        loop_turn(loop, 10);
        fd = accept(listening.fd, NULL, NULL);
    }
    assert_true(fd >= 0);
    assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
    assert_int_equal(f.type, WIRE_HELLO);
    wire_put_welcome(&out, &(struct wire_welcome){WIRE_VERSION, KEEPER_ALL});
    assert_true(send_out(fd));
    return fd;
}

static void a_broken_connection_asks_reads_once_more_and_writes_never(void **state)
{
    (void)state;
    struct wire_frame f;
    assert_err(unix_socket_open(path, false, &listening), ERR_OK);
    ask(&first, STORE_GET);
    ask(&second, STORE_BATCH);
    ask(&third, STORE_GET);
    int fd = receive_client();
    for (int i = 0; i < 3; i++) {
        assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
        assert_int_equal(f.type, WIRE_REQUEST);
    }
    close(fd);
    until_done(&second, ERR_CLOSED);
    fd = receive_client();
    for (int i = 0; i < 2; i++) {
        assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
        assert_int_equal(f.type, WIRE_REQUEST);
        assert_int_equal(f.body.p[0], STORE_GET);
    }
    wire_put_answer(&out, f.id,
                    &(struct store_job){.err = ERR_OK,
                                        .entries = (struct store_entry[]){{STR("k"), STR("v"), 3, 0}},
                                        .n_entries = 1});
    wire_put_answer(&out, 999999, &(struct store_job){.err = ERR_OK}); /* nobody asked that */
    assert_true(send_out(fd));
    until_done(&third, ERR_OK);
    assert_int_equal(first.done, 0);
    assert_str(third.job.entries[0].value, STR("v"));
    close(fd);
    until_done(&first, ERR_CLOSED); /* twice is enough */
    store_job_clear(&third.job);
}

static void a_server_that_does_not_answer_is_a_timeout(void **state)
{
    (void)state;
    struct wire_frame f;
    /* nobody is there */
    ask(&first, STORE_GET);
    for (int i = 0; i < 20; i++) loop_turn(loop, 10);
    assert_int_equal(first.done, 0);
    later(STORE_REMOTE_DEADLINE_MS);
    until_done(&first, ERR_TIMEOUT);
    /* somebody is there and says nothing */
    assert_err(unix_socket_open(path, false, &listening), ERR_OK);
    ask(&first, STORE_BATCH);
    int fd = receive_client();
    assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
    later(STORE_REMOTE_DEADLINE_MS);
    until_done(&first, ERR_TIMEOUT);
    uint32_t late = f.id;
    ask(&second, STORE_BATCH);
    assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
    wire_put_answer(&out, late, &(struct store_job){.err = ERR_CONFLICT}); /* too late: nobody's any more */
    wire_put_answer(&out, f.id, &(struct store_job){.err = ERR_OK, .at = {5, 6}});
    assert_true(send_out(fd));
    until_done(&second, ERR_OK);
    assert_int_equal(second.job.at.number, 6);
    close(fd);
    /* it does not even greet */
    ask(&first, STORE_GET);
    for (int i = 0; i < 5; i++) loop_turn(loop, 10);
    later(STORE_REMOTE_DEADLINE_MS);
    until_done(&first, ERR_TIMEOUT);
}

static const struct {
    const char *name;
    str bytes;
} nonsense[] = {
    {"text", STR_INIT("HTTP/1.1 400 Bad Request\r\n\r\n")},
    {"an answer cut short", STR_INIT("\0\0\0\3\103\0\0\0\0\0\0\1abc")},
    {"a watch that was never", STR_INIT("\0\0\0\2\104\0\0\0\0\0\0\1aa")},
    {"a client's frame", STR_INIT("\0\0\0\0\4\0\0\0\0\0\0\1")},
    {"a second welcome", STR_INIT("\0\0\0\6\101\0\0\0\0\0\0\0\0\1\0\0\0\37")},
};

static void a_server_that_talks_nonsense_is_left(void **state)
{
    (void)state;
    struct wire_frame f;
    assert_err(unix_socket_open(path, false, &listening), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
        ask(&first, STORE_BATCH);
        int fd = receive_client();
        assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
        put_text(nonsense[i].bytes);
        assert_true(send_out(fd));
        until_done(&first, ERR_CLOSED);
        assert_false(store_remote_up(store));
        close(fd);
    }
}

static void pauses_grow_but_who_asks_need_not_wait_for_them(void **state)
{
    (void)state;
    struct store_watch w = {.space = STORE_CONTROL, .prefix = STR(""), .name = STR("w")};
    assert_err(store_watch_start(store, &w), ERR_OK);
    for (int i = 0; i < 100; i++) { /* a long time with nobody there */
        later(500);
        loop_turn(loop, 1);
    }
    assert_err(unix_socket_open(path, false, &listening), ERR_OK);
    later(200);
    loop_turn(loop, 0);
    assert_int_equal(accept(listening.fd, NULL, NULL), -1); /* the pause is 5 s by now */
    ask(&first, STORE_GET);
    int fd = -1;
    for (int i = 0; i < 20 && fd < 0; i++) {
        loop_turn(loop, 10);
        fd = accept(listening.fd, NULL, NULL);
    }
    assert_true(fd >= 0); /* at once */
    close(fd);
    store_watch_stop(store, &w);
    later(STORE_REMOTE_DEADLINE_MS);
    until_done(&first, ERR_TIMEOUT);
}

static void nothing_is_said_to_a_process_of_another_user(void **state)
{
    (void)state;
    int got = 0;
    if (geteuid() != 0) skip();
    assert_int_equal(chmod(dir, 0777), 0);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct unix_socket s;
        char byte;
        /* root would be believed by anybody: the client must be nobody's own, too, and listen() makes the identity */
        if (setuid(65534) != 0 || unix_socket_open(path, true, &s) != ERR_OK) _exit(9);
        (void)!write(ready[1], "x", 1);
        int fd = -1;
        for (int i = 0; i < 300 && fd < 0; i++) {
            usleep(10000);
            fd = accept(s.fd, NULL, NULL);
        }
        ssize_t n = fd < 0 ? -2 : recv(fd, &byte, 1, 0);
        unix_socket_close(&s);
        _exit(n == 0 ? 0 : n > 0 ? 1 : 2);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    ask(&first, STORE_GET);
    for (int i = 0; i < 20; i++) loop_turn(loop, 10);
    assert_false(store_remote_up(store));
    assert_int_equal(waitpid(child, &got, 0), child);
    assert_true(WIFEXITED(got));
    assert_int_equal(WEXITSTATUS(got), 0);
    later(STORE_REMOTE_DEADLINE_MS);
    until_done(&first, ERR_TIMEOUT);
    close(ready[0]);
    close(ready[1]);
}

/* --- leases and watches over broken connections --- */

static struct told {
    struct store_watch watch;
    int resyncs, changed, ups, downs, fresh;
    char last[32];
} told;

static void on_told(struct store_watch *w, const struct store_change *c)
{
    struct told *t = CONTAINER_OF(w, struct told, watch);
    if (c->kind == STORE_RESYNC_END) t->resyncs++;
    if (c->kind == STORE_CHANGED) {
        t->changed++;
        snprintf(t->last, sizeof t->last, "%.*s", STR_ARG(c->entry.value));
    }
    store_watch_confirm(store, w, c->at);
}

static void on_link(struct store_watch *w, bool up)
{
    struct told *t = CONTAINER_OF(w, struct told, watch);
    *(up ? &t->ups : &t->downs) += 1;
}

static void on_fresh(struct store_watch *w)
{
    struct told *t = CONTAINER_OF(w, struct told, watch);
    t->fresh++;
}

static void watch_told(uint32_t lease_ms)
{
    told = (struct told){.watch = {.space = STORE_CONTROL,
                                   .prefix = STR("k/"),
                                   .name = STR("told"),
                                   .lease_ms = lease_ms,
                                   .on_change = on_told,
                                   .on_link = on_link,
                                   .on_fresh = on_fresh}};
    assert_err(store_watch_start(store, &told.watch), ERR_OK);
}

static void a_lease_counts_from_when_the_beat_was_said(void **state)
{
    (void)state;
    struct wire_frame f;
    assert_err(unix_socket_open(path, false, &listening), ERR_OK);
    watch_told(9000);
    int fd = receive_client();
    assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
    assert_int_equal(f.type, WIRE_WATCH);
    uint32_t id = f.id;
    assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
    assert_int_equal(f.type, WIRE_BEAT);
    uint64_t tag, said = loop_now_ms(loop);
    assert_err(wire_beat(f.body, &tag), ERR_OK);
    assert_int_equal(told.watch.fresh_until_ms, 0);
    later(2000); /* the answer takes its time */
    wire_put_watching(&out, id, ERR_OK);
    wire_put_beaten(&out, id, &(struct wire_beaten){tag, 0});
    assert_true(send_out(fd));
    for (int i = 0; i < 100 && !told.watch.fresh_until_ms; i++) loop_turn(loop, 10);
    assert_true(told.watch.up);
    assert_true(told.watch.fresh_until_ms <= said + 9000);
    assert_true(told.watch.fresh_until_ms + 1000 >= said + 9000);
    /* it beats again within a third of the lease, and what it owes is taken off */
    later(1500);
    do assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
    while (f.type != WIRE_BEAT);
    uint64_t until = told.watch.fresh_until_ms;
    assert_err(wire_beat(f.body, &tag), ERR_OK);
    wire_put_beaten(&out, id, &(struct wire_beaten){tag, 8500});
    assert_true(send_out(fd));
    for (int i = 0; i < 10; i++) loop_turn(loop, 10);
    assert_int_equal(told.watch.fresh_until_ms, until); /* no later than it was, and no earlier */
    assert_int_equal(told.fresh, 1);
    /* a beat that nobody said */
    wire_put_beaten(&out, id, &(struct wire_beaten){loop_now_ms(loop) + 100000, 0});
    assert_true(send_out(fd));
    for (int i = 0; i < 100 && told.watch.up; i++) loop_turn(loop, 10);
    assert_false(told.watch.up);
    assert_int_equal(told.watch.fresh_until_ms, until); /* the lease holds without the connection */
    close(fd);
    store_watch_stop(store, &told.watch);
}

static void a_server_that_answers_no_beat_is_left(void **state)
{
    (void)state;
    struct wire_frame f;
    assert_err(unix_socket_open(path, false, &listening), ERR_OK);
    watch_told(0);
    int fd = receive_client();
    assert_true(next_frame(fd, WIRE_OF_CLIENT, &f));
    wire_put_watching(&out, f.id, ERR_OK);
    assert_true(send_out(fd));
    for (int i = 0; i < 100 && !told.ups; i++) loop_turn(loop, 10);
    assert_int_equal(told.ups, 1);
    for (int i = 0; i < 10; i++) {
        later(5000);
        loop_turn(loop, 1);
    }
    assert_int_equal(told.downs, 1);
    close(fd);
    store_watch_stop(store, &told.watch);
}

static void until_last(const char *want)
{
    for (int i = 0; i < 1000 && strcmp(told.last, want) != 0; i++) loop_turn(loop, 10);
    assert_string_equal(told.last, want);
}

static void a_watch_goes_on_where_it_was_over_a_new_server(void **state)
{
    (void)state;
    watch_told(30000);
    assert_err(suite_put(store, STORE_CONTROL, "k/1", "one", 0, NULL), ERR_OK);
    until_last("one");
    int resyncs = told.resyncs, changed = told.changed;
    uint64_t fresh = 0;
    for (int i = 0; i < 500 && !fresh; i++) {
        loop_turn(loop, 10);
        fresh = told.watch.fresh_until_ms;
    }
    assert_true(fresh > loop_now_ms(loop));
    for (int round = 0; round < 3; round++) {
        char value[16];
        listen_no_more();
        for (int i = 0; i < 500 && told.downs <= round; i++) loop_turn(loop, 10);
        assert_int_equal(told.downs, round + 1);
        assert_true(told.watch.fresh_until_ms >= fresh);
        listen_again();
        snprintf(value, sizeof value, "round %d", round);
        assert_err(suite_put(store, STORE_CONTROL, "k/1", value, 0, NULL), ERR_OK);
        until_last(value);
    }
    assert_int_equal(told.resyncs, resyncs); /* nothing was told anew */
    assert_int_equal(told.changed, changed + 3);
    assert_int_equal(store_remote_connects(store), 4);
    store_watch_stop(store, &told.watch);
}

/* Whoever is lost keeps its lease until it is over; whoever stops gives it back. */
static const char *watcher_state(void)
{
    static char text[16];
    struct store_job job = {.kind = STORE_WATCHERS, .space = STORE_CONTROL};
    assert_err(suite_do(store, &job), ERR_OK);
    str value = job.n_entries ? job.entries[0].value : STR("none");
    snprintf(text, sizeof text, "%.*s%s", STR_ARG(value), job.n_entries > 1 ? "+" : "");
    store_job_clear(&job);
    return text;
}

static void until_state(const char *want)
{
    for (int i = 0; i < 300 && strcmp(watcher_state(), want) != 0; i++) loop_turn(loop, 10);
    assert_string_equal(watcher_state(), want);
}

static void a_lost_watcher_is_away_until_its_lease_is_over(void **state)
{
    (void)state;
    int fd = dial();
    hello(fd);
    wire_put_watch(&out, 1, &(struct wire_watch){STORE_CONTROL, STR(""), STR("lost"), 60000, {0}, {0}});
    wire_put_beat(&out, 1, 1);
    assert_true(send_out(fd));
    until_state("connected");
    struct wire_frame f;
    do assert_true(next_frame(fd, WIRE_OF_SERVER, &f));
    while (f.type != WIRE_BEATEN);
    close(fd);
    until_state("away");
    later(30000);
    assert_string_equal(watcher_state(), "away");
    later(31000);
    until_state("none");
    /* one that comes back under its name before its old connection is known to be lost */
    int old = dial();
    hello(old);
    wire_put_watch(&out, 1, &(struct wire_watch){STORE_CONTROL, STR(""), STR("lost"), 60000, {0}, {0}});
    wire_put_beat(&out, 1, 1);
    assert_true(send_out(old));
    do assert_true(next_frame(old, WIRE_OF_SERVER, &f));
    while (f.type != WIRE_BEATEN);
    fd = dial();
    hello(fd);
    wire_put_watch(&out, 1, &(struct wire_watch){STORE_CONTROL, STR(""), STR("lost"), 60000, {0}, {0}});
    assert_true(send_out(fd));
    until_state("connected+");
    close(old);
    until_state("connected"); /* nobody waits for one that is there again */
    close(fd);
    until_state("away"); /* and it has not lost the lease that it had */
    later(61000);
    until_state("none");
    /* one that says goodbye */
    fd = dial();
    hello(fd);
    wire_put_watch(&out, 1, &(struct wire_watch){STORE_CONTROL, STR(""), STR("leaves"), 60000, {0}, {0}});
    wire_put_beat(&out, 1, 1);
    assert_true(send_out(fd));
    until_state("connected");
    wire_put_bare(&out, WIRE_UNWATCH, 1);
    wire_put_bare(&out, WIRE_NEXT, 1); /* of a watch that is gone: passed over */
    assert_true(send_out(fd));
    close(fd);
    until_state("none");
}

/* --- names, bounds, memory --- */

static void addresses_and_names_are_checked(void **state)
{
    (void)state;
    static char longer[200];
    struct store *s = NULL;
    memset(longer, 'a', sizeof longer);
    memcpy(longer, "unix:/", 6);
    assert_err(store_remote_new(loop, STR("127.0.0.1:80"), STR("x"), &s), ERR_MALFORMED);
    assert_err(store_remote_new(loop, STR("unix:"), STR("x"), &s), ERR_MALFORMED);
    assert_err(store_remote_new(loop, str_make(longer, sizeof longer), STR("x"), &s), ERR_LIMIT);
    assert_err(store_remote_new(loop, STR("unix:/tmp/x"), STR(""), &s), ERR_MALFORMED);
    assert_err(store_remote_new(loop, STR("unix:/tmp/x"), STR("a b"), &s), ERR_MALFORMED);
    assert_err(store_remote_new(loop, STR("unix:/tmp/x"), str_make(longer + 6, STORE_NAME_MAX + 1), &s), ERR_LIMIT);
    assert_null(s);
    EACH_ALLOC_FAILING({
        struct store *one = NULL;
        enum err e = store_remote_new(loop, STR("unix:/tmp/x"), STR("x"), &one);
        assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && alloc_fail_hit()));
        store_free(&one);
    });
}

static void too_many_jobs_and_watches_are_refused(void **state)
{
    (void)state;
    static struct asked many[STORE_REMOTE_JOBS + 1];
    static struct store_watch watches[STORE_REMOTE_WATCHES + 1];
    for (size_t i = 0; i < ARRAY_LEN(many); i++) ask(&many[i], STORE_GET);
    loop_turn(loop, 0);
    assert_int_equal(many[STORE_REMOTE_JOBS].done, 1);
    assert_err(many[STORE_REMOTE_JOBS].job.err, ERR_LIMIT);
    assert_int_equal(many[0].done, 0);
    for (size_t i = 0; i < ARRAY_LEN(watches); i++) {
        watches[i] = (struct store_watch){.space = STORE_CONTROL, .name = STR("w"), .on_change = on_told};
        assert_err(store_watch_start(store, &watches[i]), i < STORE_REMOTE_WATCHES ? ERR_OK : ERR_LIMIT);
    }
    store_free(&store);
    for (size_t i = 0; i < STORE_REMOTE_JOBS; i++) {
        assert_int_equal(many[i].done, 1);
        assert_err(many[i].job.err, ERR_CLOSED);
    }
}

/* Whatever allocation fails on whichever side: the job ends, with an error or without, and the next one is fine. */
static void no_memory_ends_a_job_and_nothing_else(void **state)
{
    (void)state;
    for (int kind = STORE_GET; kind <= STORE_WATCHERS; kind++) {
        assert_serves();
        for (long n = 0; n < 40; n++) {
            ask(&first, (enum store_kind)kind);
            alloc_fail_at(n);
            for (int i = 0; i < 300 && !first.done; i++) loop_turn(loop, 10);
            alloc_fail_at(-1);
            if (!first.done) later(STORE_REMOTE_DEADLINE_MS);
            for (int i = 0; i < 300 && !first.done; i++) loop_turn(loop, 10);
            assert_int_equal(first.done, 1);
            store_job_clear(&first.job);
        }
    }
    assert_serves();
}

int main(void)
{
    enum keeper_engine memory = KEEPER_MEMORY, sqlite = KEEPER_SQLITE;
    const struct store_suite suites[] = {
        {"remote memory", make, join, end, &memory},
        {"remote sqlite", make, join, end, &sqlite},
    };
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) failed += store_suite(&suites[i]);
#define SERVED(f) cmocka_unit_test_setup_teardown(f, up_server, down_server)
#define ALONE(f)  cmocka_unit_test_setup_teardown(f, up_alone, down_alone)
    const struct CMUnitTest tests[] = {
        SERVED(what_breaks_the_protocol_is_hung_up_on_and_others_go_on),
        SERVED(a_watch_has_a_number_of_its_own),
        SERVED(another_version_is_told_ours),
        SERVED(who_says_no_hello_is_not_kept),
        SERVED(frames_that_come_a_byte_at_a_time_are_the_same),
        SERVED(who_asks_without_reading_waits_alone),
        SERVED(who_goes_away_with_everything_unread_is_forgotten),
        SERVED(a_slow_watcher_costs_a_page),
        SERVED(no_more_connections_than_there_may_be),
        SERVED(a_watch_goes_on_where_it_was_over_a_new_server),
        SERVED(a_lost_watcher_is_away_until_its_lease_is_over),
        SERVED(no_memory_ends_a_job_and_nothing_else),
        ALONE(a_broken_connection_asks_reads_once_more_and_writes_never),
        ALONE(a_server_that_does_not_answer_is_a_timeout),
        ALONE(a_server_that_talks_nonsense_is_left),
        ALONE(pauses_grow_but_who_asks_need_not_wait_for_them),
        ALONE(nothing_is_said_to_a_process_of_another_user),
        ALONE(a_lease_counts_from_when_the_beat_was_said),
        ALONE(a_server_that_answers_no_beat_is_left),
        ALONE(addresses_and_names_are_checked),
        ALONE(too_many_jobs_and_watches_are_refused),
    };
    failed += cmocka_run_group_tests_name("remote", tests, NULL, NULL);
    return failed;
}
