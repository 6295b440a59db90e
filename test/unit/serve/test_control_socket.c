/* The control socket's file, who gets in, and the datagrams to the service manager. */
#include "unit.h"

#include "serve/control_socket.h"
#include "serve/notify.h"

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
    int fd = -1;
    mode_t before = umask(0); /* the worst one */
    assert_err(control_socket_open(path, &fd), ERR_OK);
    umask(before);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    char sub[80];
    snprintf(sub, sizeof sub, "%s/new", folder);
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    int client = dial();
    assert_true(client >= 0);
    int server = accept(fd, NULL, NULL);
    assert_true(control_socket_peer_ok(server));
    assert_false(control_socket_peer_ok(fd < 0 ? 0 : -1));
    close(client);
    close(server);
    control_socket_close(path, &fd);
    assert_int_equal(fd, -1);
    assert_int_equal(lstat(path, &st), -1);
    control_socket_close(path, &fd);
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
        int fd = -1, there[2];
        if (setuid(65534) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, there) != 0) _exit(9);
        /* We are nobody now: root at the other end is let in, ourselves too. */
        bool root_in = control_socket_peer_ok(pair[1]), self_in = control_socket_peer_ok(there[0]);
        (void)fd;
        _exit((root_in ? 1 : 0) | (self_in ? 2 : 0));
    }
    assert_int_equal(waitpid(child, &got, 0), child);
    assert_int_equal(WEXITSTATUS(got), 3);
    close(pair[0]);
    close(pair[1]);
    int fd = -1; /* nobody dials us: refused, even where the file's mode would let it in */
    assert_err(control_socket_open(path, &fd), ERR_OK);
    chmod(folder, 0755);
    char sub[80];
    snprintf(sub, sizeof sub, "%s/new", folder);
    chmod(sub, 0755);
    chmod(path, 0666);
    child = fork();
    if (child == 0) {
        if (setuid(65534) != 0) _exit(9);
        int client = dial();
        _exit(client >= 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &got, 0), child);
    assert_int_equal(WEXITSTATUS(got), 0);
    int server = accept(fd, NULL, NULL);
    assert_true(server >= 0);
    assert_false(control_socket_peer_ok(server));
    close(server);
    control_socket_close(path, &fd);
}

static void dead_sockets_are_replaced_live_ones_not(void **state)
{
    (void)state;
    struct stat st;
    int fd = -1, second = -1;
    assert_err(control_socket_open(path, &fd), ERR_OK);
    assert_err(control_socket_open(path, &second), ERR_CONFLICT);
    assert_int_equal(second, -1);
    int client = dial();
    assert_true(client >= 0);
    close(client);
    close(fd); /* as after kill -9: the name stays */
    assert_int_equal(lstat(path, &st), 0);
    assert_err(control_socket_open(path, &second), ERR_OK);
    /* Closing removes only our own name. */
    unlink(path);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(file);
    control_socket_close(path, &second);
    assert_int_equal(lstat(path, &st), 0);
    assert_err(control_socket_open(path, &fd), ERR_CONFLICT); /* no socket: not ours to remove */
    assert_int_equal(lstat(path, &st), 0);
    char longer[200];
    memset(longer, 'a', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_err(control_socket_open(longer, &fd), ERR_LIMIT);
    assert_err(control_socket_open("/proc/nowhere/at/all.sock", &fd), ERR_IO);
}

static str receive(int fd)
{
    static char got[512];
    ssize_t n = recv(fd, got, sizeof got, MSG_DONTWAIT);
    return n < 0 ? STR_NONE : str_make(got, (size_t)n);
}

static int manager(const char *name, bool abstract)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    memcpy(a.sun_path + (abstract ? 1 : 0), name, n);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (abstract ? 1 : 0));
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, len), 0);
    return fd;
}

static void the_service_manager_is_told(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    notify_ready();
    char name[80], env[81];
    for (int abstract = 0; abstract < 2; abstract++) {
        snprintf(name, sizeof name, "%s%s/notify", abstract ? "abstract" : "", folder);
        snprintf(env, sizeof env, "%s%s", abstract ? "@" : "", name);
        int fd = manager(name, abstract);
        setenv("NOTIFY_SOCKET", env, 1);
        notify_ready();
        assert_str(receive(fd), STR("READY=1"));
        notify_reloading(1234567890u);
        assert_str(receive(fd), STR("RELOADING=1\nMONOTONIC_USEC=1234567"));
        notify_stopping();
        assert_str(receive(fd), STR("STOPPING=1"));
        notify_status(STR("2 workers\nREADY=1"));
        assert_str(receive(fd), STR("STATUS=2 workers READY=1"));
        close(fd);
        notify_ready(); /* nobody there any more */
        if (!abstract) unlink(name);
    }
    static const char *const odd[] = {"", "@", "relative", "/"};
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        setenv("NOTIFY_SOCKET", odd[i], 1);
        notify_ready();
    }
    unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(made_for_its_owner_only),
        TEST(other_users_are_refused),
        TEST(dead_sockets_are_replaced_live_ones_not),
        TEST(the_service_manager_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
