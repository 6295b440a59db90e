/* `why`, `tap` and `reload` against the real control server in another process, and their client against servers that
 * trickle, stall, lie and hang up. */
#include "unit.h"

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/control_client.h"
#include "cli/control_print.h"
#include "net/unix_socket.h"
#include "serve/control_listener.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], sock[96];
static pid_t server;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/sallyport-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    (void)snprintf(sock, sizeof sock, "%s/cli.sock", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char file[96];
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        server = 0;
    }
    unlink(sock);
    (void)snprintf(file, sizeof file, "%s/log", folder);
    unlink(file);
    return rmdir(folder);
}

/* --- running a command, its output kept --- */
static struct {
    char *out, *err;
    size_t out_n, err_n;
} said;

static int command(const char *first, ...)
{
    char *argv[16] = {(char *)(uintptr_t) "sallyport", (char *)(uintptr_t)first};
    int argc = 2;
    va_list rest;
    va_start(rest, first);
    for (const char *a; (a = va_arg(rest, const char *)) && argc < 15;) argv[argc++] = (char *)(uintptr_t)a;
    va_end(rest);
    free(said.out);
    free(said.err);
    FILE *old_out = stdout, *old_err = stderr;
    stdout = open_memstream(&said.out, &said.out_n);
    stderr = open_memstream(&said.err, &said.err_n);
    int code = cli_main(argc, argv);
    fclose(stdout);
    fclose(stderr);
    stdout = old_out;
    stderr = old_err;
    return code;
}

#define assert_says(text, part)                                                                                        \
    do {                                                                                                               \
        if (!strstr((text), (part))) fail_msg("\"%s\" is not in: %s", (part), (text));                                 \
    } while (0)

/* --- a role behind the real server, in a process of its own --- */
static struct decision_ring *ring;
static int decided;

static bool role_started(void *ctx)
{
    (void)ctx;
    return true;
}

static size_t role_checks(void *ctx, struct arena *mem, struct control_check *out)
{
    (void)ctx;
    (void)mem;
    (void)out;
    return 0;
}

static void role_metrics(void *ctx, struct buf *out)
{
    (void)ctx;
    (void)out;
}

static void role_status(void *ctx, struct arena *mem, struct control_status *out)
{
    (void)ctx;
    (void)mem;
    out->generation = 8;
}

static size_t role_rings(void *ctx, const struct decision_ring **out)
{
    (void)ctx;
    out[0] = ring;
    return 1;
}

static bool role_facts(void *ctx, str action, struct arena *mem, struct control_facts *out)
{
    (void)ctx;
    (void)mem;
    if (!str_eq(action, STR("payOrder"))) return false;
    *out =
        (struct control_facts){.match = STR("POST /orders/{id}/pay"), .service = STR("orders"), .roles = STR("buyer")};
    return true;
}

/* Refused first, then taken. */
static void role_reload(void *ctx, struct control_reply *reply)
{
    static int asked;
    (void)ctx;
    struct control_reload r = {.ok = asked++ > 0, .generation = 8};
    if (r.ok) r.generation = 9;
    r.text = STR("gw.yaml:3:7: error: unknown key 'lsten'\n  \"lsten\": \x1b[31m\n   ^\n");
    r.findings = STR("[{\"code\":\"unknown_key\",\"line\":3}]");
    control_reload_done(reply, &r);
}

static void role_cancel(void *ctx, struct control_reply *reply)
{
    (void)ctx;
    (void)reply;
}

static void decide(const char *id, enum effect effect, enum reason reason, str path)
{
    struct outcome o = {.id = str_of(id),
                        .unix_ms = 1795171564123u + (unsigned)decided++,
                        .duration_us = 912,
                        .effect = effect,
                        .reason = reason,
                        .status = effect == EFFECT_PERMIT ? 200 : 403,
                        .gate = 1,
                        .generation = 7,
                        .method = STR("POST"),
                        .path = path,
                        .action = STR("payOrder"),
                        .product = STR("mobile-app"),
                        .issuer = STR("corp"),
                        .subject = STR("corp:alice"),
                        .roles = STR("support"),
                        .client = STR("web")};
    decision_ring_put(ring, &o);
}

static void serve(void)
{
    static const struct control_source source = {.started = role_started,
                                                 .checks = role_checks,
                                                 .metrics = role_metrics,
                                                 .status = role_status,
                                                 .rings = role_rings,
                                                 .facts = role_facts,
                                                 .reload = role_reload,
                                                 .reload_cancel = role_cancel};
    struct loop *loop = loop_new(NULL);
    struct control_server *s;
    if (!loop || decision_ring_new(&ring) != ERR_OK || control_server_new(loop, &source, &s) != ERR_OK ||
        control_server_local(s, sock) != ERR_OK)
        _exit(9);
    decide("01J00000000000000000000001", EFFECT_DENY, REASON_ACTION_NOT_GRANTED,
           STR("/orders/7/\x1b]0;x\x07\xe2\x80\xae"));
    decide("01J00000000000000000000002", EFFECT_PERMIT, REASON_GRANTED, STR("/orders/7/pay"));
    for (int i = 10;; i++) { /* and one of each every 50 ms, for `tap` */
        char id[ULID_LEN + 1];
        loop_turn(loop, 50);
        (void)snprintf(id, sizeof id, "01J%023d", 2 * i);
        decide(id, EFFECT_PERMIT, REASON_GRANTED, STR("/orders/8/pay"));
        (void)snprintf(id, sizeof id, "01J%023d", 2 * i + 1);
        decide(id, EFFECT_DENY, REASON_ACTION_NOT_GRANTED, STR("/orders/9/pay"));
    }
}

static void start_server(void)
{
    server = fork();
    if (server == 0) serve();
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", sock);
    for (int i = 0, answers = -1; answers != 0; i++) { /* the name is there a moment before somebody listens */
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        answers = connect(fd, (const struct sockaddr *)&a, sizeof a);
        close(fd);
        if (i > 1000) fail_msg("the server did not start");
        if (answers != 0) usleep(10000);
    }
}

static void why_explains(void **state)
{
    (void)state;
    start_server();
    assert_int_equal(command("why", "--socket", sock, "01j00000000000000000000001", NULL), CLI_OK);
    assert_says(said.out, "01J00000000000000000000001: denied at gate 1, answered 403, action_not_granted\n");
    assert_says(said.out,
                "request   POST /orders/7/\\u001b]0;x\\u0007\\u202e, at 2026-11-20T10:46:04.123Z, took 0.912 ms\n");
    assert_says(said.out, "caller    corp:alice of issuer corp through client web, roles support\n");
    assert_says(said.out, "action    payOrder: POST /orders/{id}/pay -> orders\n");
    assert_says(said.out, "rule      action payOrder is granted to role buyer; this token carries support\n");
    assert_says(said.out, "(as configured now, generation 8; decided under 7)");
    assert_says(said.out, "add payOrder to one of their roles");
    assert_int_equal(command("why", "--socket", sock, "01J00000000000000000000002", NULL), CLI_OK);
    assert_says(said.out, "permitted at gate 1, answered 200, granted");
    assert_int_equal(command("why", "--socket", sock, "last", NULL), CLI_OK);
    assert_says(said.out, "denied at gate 1");
    assert_int_equal(command("why", "--socket", sock, "--json", "01J00000000000000000000001", NULL), CLI_OK);
    assert_says(said.out, "\"rule\":\"action payOrder is granted to role buyer; this token carries support\"");
    assert_says(said.out, "\\u202e");
    for (size_t i = 0; i < said.out_n; i++) assert_true((unsigned char)said.out[i] < 0x7f);
    assert_int_equal(command("why", "--socket", sock, "01J00000000000000000009999", NULL), CLI_FAILED);
    assert_says(said.err, "is not in memory");
    assert_says(said.err, "--log FILE");
    assert_int_equal(command("why", "--socket", sock, "../v1/status", NULL), CLI_USAGE);
    assert_int_equal(command("why", "--socket", sock, NULL), CLI_USAGE);
}

static void tap_shows_what_comes(void **state)
{
    (void)state;
    start_server();
    uint64_t started = clock_mono_ns();
    assert_int_equal(command("tap", "--for", "1", "--socket", sock, NULL), CLI_OK);
    assert_in_range((clock_mono_ns() - started) / 1000000, 950, 3000);
    assert_says(said.out, " DENY   403 action_not_granted   POST /orders/9/pay");
    assert_says(said.out, " permit 200 granted              POST /orders/8/pay");
    assert_int_equal(command("tap", "--deny", "--json", "--for", "1", "--socket", sock, NULL), CLI_OK);
    assert_null(strstr(said.out, "permit"));
    size_t lines = 0;
    for (str rest = str_make(said.out, said.out_n); rest.n; lines++) {
        struct arena mem;
        const struct json *v;
        arena_init(&mem, NULL, 0, 1 << 20);
        assert_err(json_parse(str_cut(&rest, '\n'), &control_json_limits, &mem, &v, NULL, NULL), ERR_OK);
        assert_str(member_text(v, "decision"), STR("deny"));
        arena_reset(&mem);
    }
    assert_true(lines >= 3);
    static const char *const odd[] = {"0", "-1", "x", "99999999999999999999", ""};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++)
        assert_int_equal(command("tap", "--for", odd[i], "--socket", sock, NULL), CLI_USAGE);
}

static void reload_says_what_became_of_it(void **state)
{
    (void)state;
    start_server();
    assert_int_equal(command("reload", "--socket", sock, NULL), CLI_CONFIG);
    assert_says(said.err, "gw.yaml:3:7: error: unknown key 'lsten'\n  \"lsten\": \\u001b[31m\n   ^\n");
    assert_says(said.err, "generation 8 stays in force");
    assert_int_equal(command("reload", "--socket", sock, NULL), CLI_OK);
    assert_string_equal(said.out, "generation 9 is in force\n");
    assert_int_equal(command("reload", "--json", "--socket", sock, NULL), CLI_OK);
    assert_string_equal(said.out, "{\"generation\":9}\n");
}

static void nobody_there_is_said_clearly(void **state)
{
    (void)state;
    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    unsetenv("SALLYPORT_SOCKET");
    assert_int_equal(chdir(folder), 0);
    if (access("/run/sallyport/cli.sock", F_OK) != 0) {
        assert_int_equal(command("why", "last", NULL), CLI_FAILED);
        assert_says(said.err, "nothing runs here");
        assert_says(said.err, "sallyport run");
    }
    assert_int_equal(chdir(here), 0);
    assert_int_equal(command("reload", "--socket", sock, NULL), CLI_FAILED);
    assert_says(said.err, "no such socket");
    setenv("SALLYPORT_SOCKET", "/nowhere/at/all", 1);
    assert_int_equal(command("tap", NULL), CLI_FAILED);
    assert_says(said.err, "/nowhere/at/all");
    unsetenv("SALLYPORT_SOCKET");
    struct unix_socket left;
    assert_err(unix_socket_open(sock, false, &left), ERR_OK);
    close(left.fd);
    assert_int_equal(command("tap", "--socket", sock, NULL), CLI_FAILED);
    assert_says(said.err, "left over");
    char longer[300];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(command("tap", "--socket", longer, NULL), CLI_FAILED);
    assert_says(said.err, "too long");
}

/* --- why --log --- */
static void write_log(const char *text, size_t n)
{
    char file[96];
    (void)snprintf(file, sizeof file, "%s/log", folder);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static void why_reads_an_access_log(void **state)
{
    (void)state;
    char file[96];
    struct buf b;
    (void)snprintf(file, sizeof file, "%s/log", folder);
    buf_init(&b, 1 << 20);
    buf_puts(
        &b,
        "not json 01J00000000000000000000001\n{\"msg\":\"ready\",\"decision_id\":\"01J00000000000000000000001\"}\n");
    for (int i = 0; i < 200000; i++) buf_putc(&b, 'x'); /* a line longer than any of ours, with a forged tail */
    buf_puts(&b, "{\"msg\":\"access\",\"decision_id\":\"01J00000000000000000000001\",\"path\":\"/forged\"}\n");
    buf_puts(
        &b,
        "Nov 20 10:46:04 host sallyport[7]: {\"ts\":\"2026-11-20T10:46:04.123Z\",\"level\":\"info\",\"msg\":\"access\","
        "\"decision_id\":\"01J00000000000000000000001\",\"gate\":1,\"method\":\"POST\",\"path\":\"/orders/7/pay\","
        "\"status\":403,\"decision\":\"deny\",\"reason\":\"action_not_granted\",\"duration_us\":2500,"
        "\"action\":\"payOrder\",\"sub\":\"corp:alice\",\"issuer\":\"corp\"}\n");
    write_log(b.p, b.n);
    assert_int_equal(command("why", "--log", file, "01j00000000000000000000001", NULL), CLI_OK);
    assert_says(said.out, "denied at gate 1, answered 403, action_not_granted\n");
    assert_says(said.out, "request   POST /orders/7/pay, at 2026-11-20T10:46:04.121Z, took 2.500 ms\n");
    assert_says(said.out, "add payOrder to one of their roles");
    assert_null(strstr(said.out, "roles none")); /* a log does not tell the roles */
    assert_says(said.out, "not told  the user's roles, the rule");
    assert_null(strstr(said.out, "forged"));
    assert_int_equal(command("why", "--json", "--log", file, "01J00000000000000000000001", NULL), CLI_OK);
    assert_says(said.out, "\"action\":null");
    assert_says(said.out, "\"not_told\":[\"roles\",");
    assert_int_equal(command("why", "--log", file, "01J00000000000000000000002", NULL), CLI_FAILED);
    assert_says(said.err, "no access line");
    assert_int_equal(command("why", "--log", "/nowhere/at/all", "01J00000000000000000000002", NULL), CLI_FAILED);
    assert_int_equal(command("why", "--log", folder, "01J00000000000000000000002", NULL), CLI_FAILED);
    assert_int_equal(command("why", "--log", file, "last", NULL), CLI_USAGE);
    buf_free(&b);
}

/* --- the client against servers of all kinds --- */
struct script {
    const char *bytes; /* NULL: says nothing and waits */
    size_t step;       /* bytes a write; 0: all */
};

static void serve_script(const struct script *s)
{
    struct unix_socket listening;
    int fd;
    char got[4096];
    server = fork();
    if (server) return;
    if (unix_socket_open(sock, false, &listening) != ERR_OK) _exit(9);
    fcntl(listening.fd, F_SETFL, 0);
    fd = accept(listening.fd, NULL, NULL);
    if (read(fd, got, sizeof got) <= 0) _exit(9);
    if (!s->bytes) pause();
    for (str rest = str_of(s->bytes); rest.n;) {
        str piece = s->step ? str_first(rest, s->step) : rest;
        if (write(fd, piece.p, piece.n) != (ssize_t)piece.n) _exit(0);
        rest = str_from(rest, piece.n);
        if (s->step) usleep(200);
    }
    shutdown(fd, SHUT_WR);
    (void)!read(fd, got, sizeof got);
    _exit(0);
}

static void stop_script(void)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
    unlink(sock);
}

static void open_client(struct control_client *c)
{
    for (int i = 0; control_client_open(sock, c) != ERR_OK; i++) {
        if (i > 200) fail_msg("%s", c->problem);
        usleep(5000);
    }
}

static void answers_in_every_framing(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *body;
        enum err want;
    } t[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", ERR_OK},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", ERR_OK},
        {"HTTP/1.1 204 No Content\r\n\r\n", "", ERR_OK},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", "to the end", ERR_OK},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello", ERR_OK},
        {"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", NULL, ERR_CLOSED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", NULL, ERR_CLOSED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NULL, ERR_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Le", NULL, ERR_CLOSED},
        {"SSH-2.0-OpenSSH\r\n\r\n", NULL, ERR_MALFORMED},
        {"", NULL, ERR_CLOSED},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++)
        for (size_t step = 0; step <= 1; step++) {
            struct control_client c;
            struct buf body;
            uint16_t status = 0;
            serve_script(&(struct script){t[i].bytes, step});
            open_client(&c);
            buf_init(&body, 1 << 20);
            enum err e = control_client_ask(&c, "GET", "/x", STR_NONE, 5000, &status, &body);
            if (e != t[i].want) fail_msg("%s: %s (%s)", t[i].bytes, err_name(e), c.problem);
            if (e == ERR_OK)
                assert_str(buf_str(&body), str_of(t[i].body));
            else
                assert_true(c.problem[0] != '\0');
            buf_free(&body);
            control_client_close(&c);
            stop_script();
        }
}

static void answers_come_in_bounded_time_and_size(void **state)
{
    (void)state;
    struct control_client c;
    struct buf body;
    uint16_t status = 0;
    serve_script(&(struct script){NULL, 0});
    open_client(&c);
    buf_init(&body, 1 << 20);
    uint64_t started = clock_mono_ns();
    assert_err(control_client_ask(&c, "GET", "/x", STR_NONE, 300, &status, &body), ERR_TIMEOUT);
    assert_in_range((clock_mono_ns() - started) / 1000000, 290, 1500);
    assert_says(c.problem, "in time");
    control_client_close(&c);
    stop_script();
    serve_script(&(struct script){"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
                                  "0123456789012345678901234567890123456789012345678901234567890123456789",
                                  0});
    open_client(&c);
    buf_init(&body, 32);
    assert_err(control_client_ask(&c, "GET", "/x", STR_NONE, 3000, &status, &body), ERR_LIMIT);
    buf_free(&body);
    control_client_close(&c);
}

static bool three_lines(void *ctx, str line)
{
    struct buf *b = ctx;
    buf_put(b, line);
    buf_putc(b, '|');
    return b->n < 12;
}

static void lines_are_whole_however_they_arrive(void **state)
{
    (void)state;
    for (size_t step = 0; step <= 7; step++) {
        struct control_client c;
        struct buf body, lines;
        uint16_t status = 0;
        serve_script(&(struct script){"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                      "5\r\n{1}\n{\r\n1\r\n2\r\n5\r\n}\n\n{3\r\nf\r\n}\n{4}\n{5}\n{unfi\r\n0\r\n\r\n",
                                      step});
        open_client(&c);
        buf_init(&body, 1 << 20);
        buf_init(&lines, 1 << 20);
        assert_err(control_client_follow(&c, "/x", 0, three_lines, &lines, &status, &body), ERR_OK);
        assert_str(buf_str(&lines), STR("{1}|{2}|{3}|"));
        buf_free(&body);
        buf_free(&lines);
        control_client_close(&c);
        stop_script();
    }
}

static void printing_escapes_what_deceives(void **state)
{
    (void)state;
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    print_text(f, STR("a\x1b[2J\x7f \"q\" \\ caf\xc3\xa9 \xc2\x9b \xe2\x80\xae \xff\n"));
    fputc('|', f);
    print_json(f, STR("{\"a\":\"\xc3\xa9\xf0\x9f\x98\x80\xc2\x9b\x1b\"}\n"));
    fclose(f);
    assert_string_equal(out, "a\\u001b[2J\\u007f \"q\" \\ caf\xc3\xa9 \\u009b \\u202e \\ufffd\\u000a|"
                             "{\"a\":\"\\u00e9\\ud83d\\ude00\\u009b\"}\n");
    free(out);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(why_explains),
        TEST(tap_shows_what_comes),
        TEST(reload_says_what_became_of_it),
        TEST(nobody_there_is_said_clearly),
        TEST(why_reads_an_access_log),
        TEST(answers_in_every_framing),
        TEST(answers_come_in_bounded_time_and_size),
        TEST(lines_are_whole_however_they_arrive),
        TEST(printing_escapes_what_deceives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
