/* The bundle: what the configuration names and nothing else, with the errors of what could not be read; and one that is
 * not whole is none. */
#include "unit.h"

#include "roles/bundle.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void put(const char *name, const char *text, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/sallyport-bundle-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    put("corp.jwks", "{\"keys\":[]}", 0644);
    put("secret", "0123456789012345678901234567890123456789\n", 0600);
    put("open", "0123456789012345678901234567890123456789\n", 0644);
    put("other", "not named", 0600);
    return 0;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static const char text[] =
    "sallyport: 1\n"
    "listen: {gateway: [\"127.0.0.1:1\", \"unix:/tmp/x.sock\"], admin: \"127.0.0.1:2\"}\n"
    "workers: 3\n"
    "data: data\n"
    "sandbox: off\n"
    "issuers:\n"
    "  corp: {issuer: \"https://corp.test\", audience: [a], algorithms: [ES256], keys: {file: corp.jwks}}\n"
    "  mine: {issuer: \"https://mine.test\", audience: [a], algorithms: [HS256], secret: {file: secret}}\n"
    "  bad: {issuer: \"https://bad.test\", audience: [a], algorithms: [HS256], secret: {file: open}}\n"
    "  said: {issuer: \"https://said.test\", audience: [a], algorithms: [HS256],\n"
    "         secret: {command: [sh, -c, \"echo a secret of a command, long enough\"]}}\n";

static int made(const char *config, bool first)
{
    struct bundle_options o = {.role = BUNDLE_GATEWAY, .text = str_of(config), .text_dir = dir};
    int fd = memfd_create("test", 0);
    assert_true(fd >= 0);
    assert_err(bundle_make(&o, first, fd), ERR_OK);
    return fd;
}

static str path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return str_of(path);
}

static void test_what_is_named(void **state)
{
    (void)state;
    struct bundle *b;
    struct plan plan;
    struct buf out;
    struct secret secret;
    char why[SOURCE_WHY];
    str config, findings;
    int fd = made(text, true);
    assert_err(bundle_plan(fd, &plan), ERR_OK);
    assert_int_equal(plan.code, 0);
    assert_true(plan.good);
    assert_false(plan.sandbox);
    assert_int_equal(plan.workers, 3);
    assert_int_equal(plan.n_listeners, 2);
    assert_str(str_of(plan.listeners[1].text), STR("unix:/tmp/x.sock"));
    assert_true(plan.admin_on);
    assert_str(str_of(plan.data), path_of("data"));
    assert_err(bundle_open(fd, &b), ERR_OK);
    assert_true(bundle_config(b, &config, &findings));
    assert_str(config, str_of(text));
    buf_init(&out, 4096);
    const struct config_source *s = bundle_source(b);
    assert_err(source_file(s, path_of("corp.jwks"), 1000, &out, why), ERR_OK);
    assert_str(buf_str(&out), STR("{\"keys\":[]}"));
    assert_err(source_file(s, path_of("corp.jwks"), 5, &out, why), ERR_LIMIT);
    assert_err(source_file(s, path_of("other"), 1000, &out, why), ERR_NOT_FOUND);
    assert_err(source_file(s, STR("/etc/passwd"), 1000, &out, why), ERR_NOT_FOUND);
    buf_free(&out);
    struct config_secret from = {.provider = SECRET_FILE, .value.s = path_of("secret")};
    assert_err(source_secret(s, &from, &secret, why), ERR_OK);
    assert_str(secret_view(&secret), STR("0123456789012345678901234567890123456789"));
    secret_free(&secret);
    from.value.s = path_of("open"); /* everybody may read it: the refusal travels as it was */
    assert_err(source_secret(s, &from, &secret, why), ERR_DENIED);
    assert_non_null(strstr(why, "everybody may read it"));
    from.value.s = path_of("other");
    assert_err(source_secret(s, &from, &secret, why), ERR_NOT_FOUND);
    struct config_str argv[] = {{.s = STR("sh")},
                                {.s = STR("-c")},
                                {.s = STR("echo a secret of a command, long enough")}};
    struct config_secret command = {.provider = SECRET_COMMAND, .argv = {.v = argv, .n = 3}};
    assert_err(source_secret(s, &command, &secret, why), ERR_OK);
    assert_str(secret_view(&secret), STR("a secret of a command, long enough"));
    secret_free(&secret);
    argv[2].s = STR("echo another"); /* nothing is run here */
    assert_err(source_secret(s, &command, &secret, why), ERR_NOT_FOUND);
    bundle_rest(b);
    assert_true(bundle_config(b, &config, &findings));
    assert_str(config, str_of(text));
    bundle_free(&b);
}

static void test_mistakes(void **state)
{
    (void)state;
    struct bundle *b;
    struct plan plan;
    str said, findings;
    int fd = made("sallyport: 1\nnonsense: 2\n", false);
    assert_err(bundle_plan(fd, &plan), ERR_OK);
    assert_false(plan.good);
    assert_err(bundle_open(fd, &b), ERR_OK);
    assert_false(bundle_config(b, &said, &findings));
    assert_non_null(memmem(said.p, said.n, ":2:1: ", 6));
    assert_true(str_starts(findings, STR("[{")));
    bundle_free(&b);
}

/* Cut anywhere, changed anywhere: refused, or entries are missing; never read beyond its end. */
static void test_not_whole(void **state)
{
    (void)state;
    struct stat st;
    int whole = made(text, true);
    assert_int_equal(fstat(whole, &st), 0);
    size_t n = (size_t)st.st_size;
    char *bytes = malloc(n);
    assert_non_null(bytes);
    assert_int_equal(pread(whole, bytes, n, 0), n);
    for (size_t at = 0; at<n; at += at> sizeof(struct plan) ? 7 : 997) {
        for (int change = 0; change < 2; change++) {
            struct bundle *b = NULL;
            str said, findings;
            char why[SOURCE_WHY];
            struct buf out;
            int fd = memfd_create("test", 0);
            char saved = bytes[at];
            if (change) bytes[at] = (char)0xff;
            assert_int_equal(write(fd, bytes, change ? n : at), change ? n : at);
            bytes[at] = saved;
            if (bundle_open(fd, &b) != ERR_OK) continue;
            (void)bundle_config(b, &said, &findings);
            buf_init(&out, 4096);
            (void)!source_file(bundle_source(b), path_of("corp.jwks"), 1000, &out, why);
            buf_free(&out);
            bundle_free(&b);
        }
    }
    free(bytes);
    close(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_named),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_not_whole),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
