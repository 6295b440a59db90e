/* What parent and child say: whole messages or none, descriptors only where they are wanted, nothing left open. */
#include "unit.h"

#include "net/handed.h"
#include "roles/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int pair[2];

static int setup(void **state)
{
    (void)state;
    return wire_pair(pair) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static size_t open_now(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct wire_message m;
    char long_text[2 * WIRE_TEXT];
    memset(long_text, 'x', sizeof long_text);
    assert_err(wire_send(pair[0], WIRE_READY, 42, STR("hello"), NULL, 0, false), ERR_OK);
    assert_err(wire_send(pair[0], WIRE_NO_BUNDLE, 0, str_make(long_text, sizeof long_text), NULL, 0, false), ERR_OK);
    assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_OK);
    assert_int_equal(m.kind, WIRE_READY);
    assert_int_equal(m.number, 42);
    assert_str(str_of(m.text), STR("hello"));
    assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_OK);
    assert_int_equal(strlen(m.text), WIRE_TEXT - 1); /* cut */
    assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_AGAIN);
    assert_true(wire_is(pair[1], getpid()));
    assert_false(wire_is(pair[1], getpid() + 1));
    assert_false(wire_is(0, getpid()));
    close(pair[0]);
    assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_CLOSED);
    assert_err(wire_send(pair[1], WIRE_READY, 0, STR(""), NULL, 0, false), ERR_CLOSED);
    pair[0] = dup(pair[1]);
}

static void test_malformed(void **state)
{
    (void)state;
    struct wire_message good, bad, m;
    assert_err(wire_send(pair[0], WIRE_READY, 1, STR("x"), NULL, 0, false), ERR_OK);
    assert_int_equal(recv(pair[1], &good, sizeof good, 0), sizeof good);
    for (size_t n = 1; n < sizeof good; n += 13) { /* too short, at every length or so */
        assert_int_equal(send(pair[0], &good, n, 0), n);
        assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_MALFORMED);
    }
    char longer[sizeof good + 1] = {0};
    memcpy(longer, &good, sizeof good);
    assert_int_equal(send(pair[0], longer, sizeof longer, 0), sizeof longer);
    assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_MALFORMED);
    bad = good;
    bad.magic ^= 1;
    assert_int_equal(send(pair[0], &bad, sizeof bad, 0), sizeof bad);
    assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_MALFORMED);
    bad = good;
    memset(bad.text, 'x', sizeof bad.text); /* no end */
    assert_int_equal(send(pair[0], &bad, sizeof bad, 0), sizeof bad);
    assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_MALFORMED);
    assert_int_equal(send(pair[0], &good, sizeof good, 0), sizeof good);
    assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_OK); /* the next one counts again */
}

static void test_descriptors(void **state)
{
    (void)state;
    struct wire_message m;
    int many[WIRE_FDS + 1], got[WIRE_FDS];
    size_t n = 0, before;
    for (size_t i = 0; i < ARRAY_LEN(many); i++) many[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    before = open_now();
    assert_err(wire_send(pair[0], WIRE_SOCKETS, 0, STR("gateway/0"), many, WIRE_FDS + 1, false), ERR_LIMIT);
    assert_err(wire_send(pair[0], WIRE_SOCKETS, 0, STR("gateway/0"), many, WIRE_FDS, false), ERR_OK);
    assert_err(wire_receive(pair[1], false, &m, got, &n), ERR_OK);
    assert_int_equal(n, WIRE_FDS);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
        close(got[i]);
    }
    /* who wants none opens none, as the parent does with what a child sends */
    assert_err(wire_send(pair[0], WIRE_READY, 0, STR(""), many, 3, false), ERR_OK);
    assert_err(wire_receive(pair[1], false, &m, NULL, NULL), ERR_OK);
    assert_int_equal(open_now(), before);
    /* of a message that is refused they are closed */
    struct iovec iov = {"short", 5};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), many, sizeof(int));
    assert_int_equal(sendmsg(pair[0], &h, 0), 5);
    assert_err(wire_receive(pair[1], false, &m, got, &n), ERR_MALFORMED);
    assert_int_equal(open_now(), before);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) close(many[i]);
}

static void test_who_does_not_read(void **state)
{
    (void)state;
    enum err e = ERR_OK;
    for (int i = 0; i < 100000 && e == ERR_OK; i++) e = wire_send(pair[0], WIRE_ALIVE, 0, STR(""), NULL, 0, false);
    assert_err(e, ERR_AGAIN); /* the sender is not held up */
}

static int listening(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(a.sun_path, path, sizeof a.sun_path - 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_handed(void **state)
{
    (void)state;
    char dir[] = "/tmp/sallyport-handed-XXXXXX", one[64], other[64], again[80];
    assert_non_null(mkdtemp(dir));
    snprintf(one, sizeof one, "%s/one", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    snprintf(again, sizeof again, "%s/../%s/one", dir, strrchr(dir, '/') + 1);
    int first = listening(one), second = listening(other), g0 = dup(first), g1 = dup(first);
    assert_err(handed_give(STR("gateway/0"), g0), ERR_OK);
    assert_err(handed_give(STR("gateway/0"), g1), ERR_OK);
    assert_err(handed_give(STR(HANDED_UNIX), first), ERR_OK);
    assert_err(handed_give(STR(HANDED_UNIX), second), ERR_OK);
    assert_err(handed_give(STR("a name that is much longer than any may be"), dup(first)), ERR_LIMIT);
    assert_int_equal(handed_take(STR("admin")), -1);
    assert_int_equal(handed_take(STR("gateway/0")), g0);
    assert_int_equal(handed_take(STR("gateway/0")), g1);
    assert_int_equal(handed_take(STR("gateway/0")), -1);
    assert_int_equal(handed_unix("/tmp/nobody-has-this"), -1);
    assert_int_equal(handed_unix(dir), -1);
    assert_int_equal(handed_unix(again), first); /* however it is written */
    assert_int_equal(handed_unix(one), -1);      /* once */
    handed_close();
    assert_int_equal(fcntl(second, F_GETFD), -1);
    close(first), close(g0), close(g1);
    unlink(one), unlink(other), rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_does_not_read, setup, teardown),
        cmocka_unit_test(test_handed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
