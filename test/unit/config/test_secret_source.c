#include "unit.h"

#include "base/clock.h"
#include "config/secret_source.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sallyport-secret-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static str put_file(const char *name, str bytes, mode_t mode)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.p, bytes.n), (ssize_t)bytes.n);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    return str_of(path);
}

static enum err fetch(enum secret_provider p, str value, struct secret *out, struct secret_why *why)
{
    struct config_secret from = {.provider = p, .value.s = value};
    *out = (struct secret){0};
    why->text[0] = 0;
    return secret_fetch(&from, out, why);
}

static void files_are_taken_when_they_are_private(void **state)
{
    (void)state;
    static const struct {
        const char *name, *bytes;
        mode_t mode;
        enum err want;
        const char *secret;
    } rows[] = {
        {"plain", "hunter2", 0600, ERR_OK, "hunter2"},
        {"newline", "hunter2\n", 0400, ERR_OK, "hunter2"},
        {"windows", "hunter2\r\n", 0640, ERR_OK, "hunter2"},
        {"two newlines", "hunter2\n\n", 0600, ERR_OK, "hunter2\n"},
        {"blanks stay", " hunter2 ", 0600, ERR_OK, " hunter2 "},
        {"world-readable", "hunter2", 0644, ERR_DENIED, NULL},
        {"world-writable", "hunter2", 0602, ERR_DENIED, NULL},
        {"empty", "", 0600, ERR_MALFORMED, NULL},
        {"only a newline", "\n", 0600, ERR_MALFORMED, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct secret s;
        struct secret_why why;
        str path = put_file(rows[i].name, str_of(rows[i].bytes), rows[i].mode);
        enum err e = fetch(SECRET_FILE, path, &s, &why);
        if (e != rows[i].want) fail_msg("%s: %s (%s)", rows[i].name, err_name(e), why.text);
        if (e == ERR_OK) assert_str(secret_view(&s), str_of(rows[i].secret));
        assert_null(strstr(why.text, "hunter"));
        secret_free(&s);
        if (rows[i].want == ERR_DENIED) assert_err(secret_file_check(path, &why), ERR_DENIED);
    }
}

static void files_are_bounded_and_regular(void **state)
{
    (void)state;
    static char bytes[SECRET_SOURCE_MAX + 2];
    struct secret s;
    struct secret_why why;
    memset(bytes, 'x', sizeof bytes);
    assert_err(fetch(SECRET_FILE, put_file("big", str_make(bytes, SECRET_SOURCE_MAX), 0600), &s, &why), ERR_OK);
    assert_int_equal(s.n, SECRET_SOURCE_MAX);
    secret_free(&s);
    assert_err(fetch(SECRET_FILE, put_file("bigger", str_make(bytes, SECRET_SOURCE_MAX + 1), 0600), &s, &why),
               ERR_LIMIT);
    assert_err(fetch(SECRET_FILE, str_of(dir), &s, &why), ERR_IO);
    assert_err(fetch(SECRET_FILE, STR("/dev/zero"), &s, &why), ERR_IO);
    char fifo[128];
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_err(fetch(SECRET_FILE, str_of(fifo), &s, &why), ERR_IO); /* and does not wait for a writer */
    assert_err(fetch(SECRET_FILE, STR("/none/none"), &s, &why), ERR_NOT_FOUND);
    assert_err(secret_file_check(STR("/none/none"), &why), ERR_NOT_FOUND);
}

static void the_environment_and_credentials(void **state)
{
    (void)state;
    struct secret s;
    struct secret_why why;
    assert_int_equal(setenv("SALLYPORT_TEST", "hunter2", 1), 0);
    assert_err(fetch(SECRET_ENV, STR("SALLYPORT_TEST"), &s, &why), ERR_OK);
    assert_str(secret_view(&s), STR("hunter2"));
    secret_free(&s);
    assert_int_equal(setenv("SALLYPORT_TEST", "", 1), 0);
    assert_err(fetch(SECRET_ENV, STR("SALLYPORT_TEST"), &s, &why), ERR_MALFORMED);
    assert_int_equal(unsetenv("SALLYPORT_TEST"), 0);
    assert_err(fetch(SECRET_ENV, STR("SALLYPORT_TEST"), &s, &why), ERR_NOT_FOUND);

    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_err(fetch(SECRET_CREDENTIAL, STR("corp"), &s, &why), ERR_NOT_FOUND);
    assert_non_null(strstr(why.text, "CREDENTIALS_DIRECTORY"));
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
    assert_err(fetch(SECRET_CREDENTIAL, STR("corp"), &s, &why), ERR_NOT_FOUND);
    put_file("corp", STR("hunter3\n"), 0400);
    assert_err(fetch(SECRET_CREDENTIAL, STR("corp"), &s, &why), ERR_OK);
    assert_str(secret_view(&s), STR("hunter3"));
    secret_free(&s);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static enum err run(struct secret *out, struct secret_why *why, const char *a, const char *b, const char *c)
{
    struct config_str argv[3] = {{.s = str_of(a)}, {.s = str_of(b)}, {.s = str_of(c)}};
    struct config_secret from = {.provider = SECRET_COMMAND, .argv = {.v = argv, .n = c ? 3 : b ? 2 : 1}};
    *out = (struct secret){0};
    why->text[0] = 0;
    return secret_fetch(&from, out, why);
}

static void commands_print_it(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script;
        enum err want;
        const char *secret, *said;
    } rows[] = {
        {"prints", "echo hunter2", ERR_OK, "hunter2", ""},
        {"no newline", "printf hunter2", ERR_OK, "hunter2", ""},
        {"in pieces", "printf hun; sleep 0.05; printf ter2", ERR_OK, "hunter2", ""},
        {"talks on stderr too", "echo hi >&2; echo hunter2", ERR_OK, "hunter2", ""},
        {"fails", "echo hunter2; echo no access >&2; exit 3", ERR_IO, NULL, "status 3: no access"},
        {"is killed", "echo hunter2; kill -9 $$", ERR_IO, NULL, "signal 9"},
        {"prints nothing", "true", ERR_MALFORMED, NULL, "empty"},
        {"reads nothing", "read x || echo hunter2", ERR_OK, "hunter2", ""}, /* stdin is at its end */
        {"too much", "head -c 70000 /dev/zero", ERR_LIMIT, NULL, "64 kB"},
        {"far too much", "head -c 9000000 /dev/zero", ERR_LIMIT, NULL, "64 kB"},
        {"much on stderr", "head -c 900000 /dev/zero >&2; echo hunter2", ERR_OK, "hunter2", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct secret s;
        struct secret_why why;
        enum err e = run(&s, &why, "sh", "-c", rows[i].script);
        if (e != rows[i].want) fail_msg("%s: %s (%s)", rows[i].name, err_name(e), why.text);
        if (e == ERR_OK) assert_str(secret_view(&s), str_of(rows[i].secret));
        if (!strstr(why.text, rows[i].said)) fail_msg("%s: %s", rows[i].name, why.text);
        assert_null(strstr(why.text, "hunter"));
        secret_free(&s);
    }
}

static void commands_are_run_without_a_shell(void **state)
{
    (void)state;
    struct secret s;
    struct secret_why why;
    assert_err(run(&s, &why, "echo", "$HOME `id`; exit", NULL), ERR_OK);
    assert_str(secret_view(&s), STR("$HOME `id`; exit"));
    secret_free(&s);
    /* valgrind forks where the C library counts on vfork, and then nobody learns why the exec failed */
    const char *loaded = getenv("LD_PRELOAD");
    enum err none = loaded && strstr(loaded, "vgpreload") ? ERR_IO : ERR_NOT_FOUND;
    assert_err(run(&s, &why, "/none/none", NULL, NULL), none);
    assert_err(run(&s, &why, "echo hunter2", NULL, NULL), none);
    assert_err(run(&s, &why, dir, NULL, NULL), ERR_IO);
}

static void a_command_that_does_not_end_is_ended(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "sleep 60 & echo $! > \"$0\"; wait",         /* with a child that holds the pipe */
        "exec >&- 2>&-; echo $$ > \"$0\"; sleep 60", /* silent and still there */
    };
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        char pid_file[128], line[32] = "";
        struct secret s;
        struct secret_why why;
        snprintf(pid_file, sizeof pid_file, "%s/pid%zu", dir, i);
        struct config_str argv[4] = {{.s = STR("sh")},
                                     {.s = STR("-c")},
                                     {.s = str_of(scripts[i])},
                                     {.s = str_of(pid_file)}};
        struct config_secret from = {.provider = SECRET_COMMAND, .argv = {.v = argv, .n = 4}};
        uint64_t began = clock_mono_ns();
        assert_err(secret_fetch(&from, &s, &why), ERR_TIMEOUT);
        uint64_t took_ms = (clock_mono_ns() - began) / 1000000;
        assert_true(took_ms >= SECRET_SOURCE_TIMEOUT_MS - 100 && took_ms < SECRET_SOURCE_TIMEOUT_MS + 3000);
        FILE *f = fopen(pid_file, "r");
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof line, f));
        fclose(f);
        uint64_t pid;
        assert_err(str_to_u64(str_first(str_of(line), str_find(str_of(line), '\n')), &pid), ERR_OK);
        for (int tries = 0; tries < 200 && kill((pid_t)pid, 0) == 0; tries++) usleep(10000);
        char stat[64], text[256] = "";
        snprintf(stat, sizeof stat, "/proc/%llu/stat", (unsigned long long)pid);
        f = fopen(stat, "r"); /* gone, or dead and waiting for a parent that nobody is */
        if (f) {
            assert_non_null(fgets(text, sizeof text, f));
            fclose(f);
            assert_non_null(strstr(text, ") Z "));
        }
    }
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    str path = put_file("alloc", STR("hunter2"), 0600);
    assert_int_equal(setenv("SALLYPORT_TEST", "hunter2", 1), 0);
    for (int i = 0; i < 3; i++) {
        EACH_ALLOC_FAILING({
            struct secret s;
            struct secret_why why;
            enum err e = i == 0   ? fetch(SECRET_FILE, path, &s, &why)
                         : i == 1 ? fetch(SECRET_ENV, STR("SALLYPORT_TEST"), &s, &why)
                                  : run(&s, &why, "echo", "hunter2", NULL);
            assert_err(e, alloc_fail_hit() ? ERR_NO_MEMORY : ERR_OK);
            secret_free(&s);
        });
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_taken_when_they_are_private),
        cmocka_unit_test(files_are_bounded_and_regular),
        cmocka_unit_test(the_environment_and_credentials),
        cmocka_unit_test(commands_print_it),
        cmocka_unit_test(commands_are_run_without_a_shell),
        cmocka_unit_test(a_command_that_does_not_end_is_ended),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("config/secret_source", tests, make_dir, remove_dir);
}
