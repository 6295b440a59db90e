/* A Unix socket's file, and who gets in. */
#include "unit.h"

#include "net/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], path[96];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/sallyport-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/new/cli.sock", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char sub[80];
    unlink(path);
    snprintf(sub, sizeof sub, "%s/new", folder);
    rmdir(sub);
    return rmdir(folder);
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) == 0) return fd;
    close(fd);
    return -1;
}

static void made_for_its_owner_only(void **state)
{
    (void)state;
    struct stat st;
    struct unix_socket s;
    uint32_t uid = 1;
    int32_t pid = 0;
    mode_t before = umask(0); /* the worst one */
    assert_err(unix_socket_open(path, false, &s), ERR_OK);
    umask(before);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    char sub[80];
    snprintf(sub, sizeof sub, "%s/new", folder);
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_true(fcntl(s.fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
    int client = dial();
    assert_true(client >= 0);
    int server = accept(s.fd, NULL, NULL);
    assert_true(unix_socket_peer_ok(server));
    assert_true(unix_socket_peer_ok(client)); /* who listens */
    assert_true(unix_socket_peer(server, &uid, &pid));
    assert_int_equal(uid, geteuid());
    assert_int_equal(pid, getpid());
    assert_false(unix_socket_peer_ok(-1));
    assert_false(unix_socket_peer(-1, &uid, &pid));
    close(client);
    close(server);
    unix_socket_close(&s);
    assert_int_equal(s.fd, -1);
    assert_int_equal(lstat(path, &st), -1);
    unix_socket_close(&s);
}

static void for_others_where_it_is_said(void **state)
{
    (void)state;
    struct stat st;
    struct unix_socket s;
    mode_t before = umask(077);
    assert_err(unix_socket_open(path, true, &s), ERR_OK);
    umask(before);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    unix_socket_close(&s);
}

/* Another user is refused; needs root to become one. */
static void other_users_are_refused(void **state)
{
    (void)state;
    int pair[2], got = 0;
    if (geteuid() != 0) skip();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t child = fork();
    if (child == 0) {
        int there[2];
        if (setuid(65534) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, there) != 0) _exit(9);
        /* We are nobody now: root at the other end is let in, ourselves too. */
        bool root_in = unix_socket_peer_ok(pair[1]), self_in = unix_socket_peer_ok(there[0]);
        _exit((root_in ? 1 : 0) | (self_in ? 2 : 0));
    }
    assert_int_equal(waitpid(child, &got, 0), child);
    assert_int_equal(WEXITSTATUS(got), 3);
    close(pair[0]);
    close(pair[1]);
    struct unix_socket s; /* nobody dials us: refused, even where the file's mode would let it in */
    assert_err(unix_socket_open(path, true, &s), ERR_OK);
    chmod(folder, 0755);
    char sub[80];
    snprintf(sub, sizeof sub, "%s/new", folder);
    chmod(sub, 0755);
    child = fork();
    if (child == 0) {
        if (setuid(65534) != 0) _exit(9);
        int client = dial();
        _exit(client >= 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &got, 0), child);
    assert_int_equal(WEXITSTATUS(got), 0);
    int server = accept(s.fd, NULL, NULL);
    assert_true(server >= 0);
    assert_false(unix_socket_peer_ok(server));
    close(server);
    unix_socket_close(&s);
}

static void dead_sockets_are_replaced_live_ones_not(void **state)
{
    (void)state;
    struct stat st;
    struct unix_socket first, second = {.fd = -7};
    assert_err(unix_socket_open(path, false, &first), ERR_OK);
    assert_err(unix_socket_open(path, false, &second), ERR_CONFLICT);
    assert_int_equal(second.fd, -7);
    int client = dial();
    assert_true(client >= 0);
    close(client);
    close(first.fd); /* as after kill -9: the name stays */
    assert_int_equal(lstat(path, &st), 0);
    assert_err(unix_socket_open(path, false, &second), ERR_OK);
    /* Closing removes only our own name. */
    unlink(path);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(file);
    unix_socket_close(&second);
    assert_int_equal(lstat(path, &st), 0);
    assert_err(unix_socket_open(path, false, &second), ERR_CONFLICT); /* no socket: not ours to remove */
    assert_int_equal(lstat(path, &st), 0);
    char longer[200];
    memset(longer, 'a', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_err(unix_socket_open(longer, false, &second), ERR_LIMIT);
    assert_err(unix_socket_open("", false, &second), ERR_LIMIT);
    assert_err(unix_socket_open("/proc/nowhere/at/all.sock", false, &second), ERR_IO);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(made_for_its_owner_only),
        TEST(for_others_where_it_is_said),
        TEST(other_users_are_refused),
        TEST(dead_sockets_are_replaced_live_ones_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
