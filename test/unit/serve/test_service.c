/* The frame of our own services: what reaches a handler, who is answered when, what happens when one of the two sides
 * is gone. */
#include "unit.h"

#include "serve/service.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct loop *loop;
static struct service *service;
static char dir[64], path[96];
static struct service_call *held;
static unsigned ran, ended;

static void on_ended(struct service_call *call)
{
    (void)call;
    ended++;
}

static void answer_at_once(struct service_call *call, void *owner)
{
    char text[256];
    assert_string_equal(owner, "owner");
    ran++;
    int n = snprintf(text, sizeof text, "{\"tail\":\"%.*s\",\"body\":%zu,\"product\":\"%.*s\"}", STR_ARG(call->tail),
                     call->body.n, STR_ARG(service_field(call, FIELD_X_PRODUCT)));
    service_answer(call, 200, str_make(text, (size_t)n), NULL);
}

static void hold(struct service_call *call, void *owner)
{
    (void)owner;
    ran++;
    call->ended = on_ended;
    held = call;
}

static void take_json(struct service_call *call, void *owner)
{
    (void)owner;
    if (service_json(call)) service_answer(call, 204, STR_NONE, NULL);
}

static void refuse(struct service_call *call, void *owner)
{
    (void)owner;
    service_refuse(call, REASON_LOGIN_THROTTLED, 7, STR("only in dev"));
}

static const struct service_route routes[] = {{METHOD_GET, "/now", "now", answer_at_once},
                                              {METHOD_POST, "/now", "now", answer_at_once},
                                              {METHOD_DELETE, "/things/*", "thing", answer_at_once},
                                              {METHOD_POST, "/hold", "hold", hold},
                                              {METHOD_POST, "/json", "json", take_json},
                                              {METHOD_GET, "/refuse", "refuse", refuse}};

static int start(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sallyport-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s.sock", dir);
    loop = loop_new(NULL);
    assert_non_null(loop);
    ran = ended = 0;
    held = NULL;
    struct service_options o = {.loop = loop,
                                .socket_path = path,
                                .routes = routes,
                                .n_routes = ARRAY_LEN(routes),
                                .owner = (void *)(uintptr_t) "owner",
                                .deadline_ms = 150};
    assert_err(service_new(&o, &service), ERR_OK);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    service_free(&service);
    loop_free(&loop);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static int connect_to(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void send_all(int fd, const char *text, size_t n)
{
    while (n) {
        ssize_t sent = write(fd, text, n);
        if (sent < 0) assert_int_equal(errno, EAGAIN);
        if (sent > 0) {
            text += sent;
            n -= (size_t)sent;
        }
        loop_turn(loop, 1);
    }
}

/* Everything until the peer closes, or 2 s. */
static const char *receive(int fd)
{
    static char text[100000];
    size_t n = 0;
    for (unsigned i = 0; i < 400 && n < sizeof text - 1; i++) {
        loop_turn(loop, 5);
        ssize_t got = read(fd, text + n, sizeof text - 1 - n);
        if (got == 0) break;
        if (got > 0) n += (size_t)got;
    }
    text[n] = '\0';
    return text;
}

static const char *ask(const char *request)
{
    int fd = connect_to();
    send_all(fd, request, strlen(request));
    const char *text = receive(fd);
    close(fd);
    return text;
}

#define HOST "Host: x\r\nConnection: close\r\n"

static void requests_find_their_handler(void **state)
{
    static const struct {
        const char *request, *status, *also;
    } cases[] = {{"GET /now HTTP/1.1\r\n" HOST "X-Product: web\r\n\r\n", "200", "\"product\":\"web\""},
                 {"GET /now HTTP/1.1\r\n" HOST "X-Product: web\r\nX-Product: app\r\n\r\n", "200", "\"product\":\"\""},
                 {"HEAD /now HTTP/1.1\r\n" HOST "\r\n", "200", "Content-Length: "},
                 {"POST /now HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", "200", "\"body\":5"},
                 {"POST /now HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "200",
                  "\"body\":3"},
                 {"PUT /now HTTP/1.1\r\n" HOST "\r\n", "405", "Allow: GET, HEAD, POST"},
                 {"DELETE /things/7 HTTP/1.1\r\n" HOST "\r\n", "200", "\"tail\":\"7\""},
                 {"DELETE /things/ HTTP/1.1\r\n" HOST "\r\n", "404", "not_found"},
                 {"DELETE /things/7/8 HTTP/1.1\r\n" HOST "\r\n", "404", "not_found"},
                 {"GET /nothing HTTP/1.1\r\n" HOST "\r\n", "404", "not_found"},
                 {"GET /refuse HTTP/1.1\r\n" HOST "\r\n", "429", "Retry-After: 7"},
                 {"POST /json HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", "415", "media_type_refused"},
                 {"POST /json HTTP/1.1\r\n" HOST
                  "Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
                  "204", ""},
                 {"POST /json HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]", "400",
                  "body_malformed"},
                 {"POST /json HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: 3\r\n\r\n{}x",
                  "400", "body_malformed"},
                 {"GET /now HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400", "request_malformed"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = ask(cases[i].request);
        if (strncmp(got + 9, cases[i].status, 3) != 0 || !strstr(got, cases[i].also))
            fail_msg("%s\n%s", cases[i].request, got);
        if (strstr(got, "only in dev")) fail_msg("tells too much: %s", got);
    }
}

static void a_body_has_a_bound(void **state)
{
    static char text[SERVICE_BODY_MAX + 300];
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        size_t n = SERVICE_BODY_MAX + more;
        int head = snprintf(text, sizeof text, "POST /now HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", n);
        memset(text + head, 'x', n);
        int fd = connect_to();
        for (size_t at = 0; at < (size_t)head + n;) { /* the service may close before it has everything */
            ssize_t sent = send(fd, text + at, (size_t)head + n - at, MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) break;
            if (sent > 0) at += (size_t)sent;
            loop_turn(loop, 1);
        }
        const char *got = receive(fd);
        if (strncmp(got + 9, more ? "413" : "200", 3) != 0) fail_msg("%zu: %s", n, got);
        close(fd);
    }
    assert_int_equal(ran, 1);
}

#define HOLD "POST /hold HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx"

static void an_answer_may_come_later(void **state)
{
    (void)state;
    int fd = connect_to();
    send_all(fd, HOLD, sizeof HOLD - 1);
    for (unsigned i = 0; i < 20 && !held; i++) loop_turn(loop, 5);
    assert_non_null(held);
    assert_str(held->body, STR("x"));
    assert_int_equal(service_calls(service), 1);
    service_answer(held, 200, STR("{}"), "max-age=1");
    assert_int_equal(ended, 1);
    assert_int_equal(service_calls(service), 0);
    assert_non_null(strstr(receive(fd), "Cache-Control: max-age=1"));
    close(fd);
}

static void a_client_may_leave_before_its_answer(void **state)
{
    (void)state;
    int fd = connect_to();
    send_all(fd, HOLD, sizeof HOLD - 1);
    for (unsigned i = 0; i < 20 && !held; i++) loop_turn(loop, 5);
    assert_false(held->gone);
    close(fd);
    for (unsigned i = 0; i < 10; i++) loop_turn(loop, 5);
    assert_str(held->request.path, STR("/hold")); /* the call stands on its own */
    assert_int_equal(ended, 0);
    service_answer(held, 200, STR("{}"), NULL);
    assert_int_equal(ended, 1);
}

static void a_handler_has_a_deadline(void **state)
{
    (void)state;
    const char *got = ask(HOLD);
    if (strncmp(got + 9, "504", 3) != 0) fail_msg("%s", got);
    assert_true(held->gone);
    assert_int_equal(ended, 0);
    service_refuse(held, REASON_STORE_UNAVAILABLE, 1, STR_NONE);
    assert_int_equal(ended, 1);
}

static void the_service_may_go_before_its_calls(void **state)
{
    (void)state;
    int fd = connect_to();
    send_all(fd, HOLD, sizeof HOLD - 1);
    for (unsigned i = 0; i < 20 && !held; i++) loop_turn(loop, 5);
    service_free(&service);
    assert_true(held->gone);
    service_answer(held, 200, STR("{}"), NULL);
    assert_int_equal(ended, 1);
    close(fd);
}

static void draining_takes_no_more(void **state)
{
    (void)state;
    int fd = connect_to();
    send_all(fd, HOLD, sizeof HOLD - 1);
    for (unsigned i = 0; i < 20 && !held; i++) loop_turn(loop, 5);
    service_drain(service);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int late = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_not_equal(connect(late, (struct sockaddr *)&a, sizeof a), 0);
    close(late);
    service_answer(held, 200, STR("{}"), NULL);
    assert_non_null(strstr(receive(fd), "200 OK"));
    close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {T(requests_find_their_handler), T(a_body_has_a_bound),
                                       T(an_answer_may_come_later),    T(a_client_may_leave_before_its_answer),
                                       T(a_handler_has_a_deadline),    T(the_service_may_go_before_its_calls),
                                       T(draining_takes_no_more)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
