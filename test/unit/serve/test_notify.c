/* The datagrams to the service manager. */
#include "unit.h"

#include "serve/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/sallyport-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(the_service_manager_is_told, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
