#include "suite.h"

#include "store/local.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

/* Every kind of engine, through the client in one process. */

static struct keeper *keeper;
static char dir[64];

static struct store *join(void *ctx, struct loop *loop)
{
    (void)ctx;
    struct store *s = NULL;
    assert_err(store_local_new(keeper, loop, KEEPER_ALL, &s), ERR_OK);
    return s;
}

static struct store *make(void *ctx, struct loop *loop)
{
    const enum keeper_engine *engine = ctx;
    char why[KEEPER_WHY];
    snprintf(dir, sizeof dir, "/tmp/sallyport-store-XXXXXX");
    assert_non_null(mkdtemp(dir));
    struct keeper_config c = {.engine = *engine, .dir = dir, .spaces = KEEPER_ALL & ~KEEPER_SPACE(STORE_TENANTS)};
    assert_err(keeper_new(&c, &keeper, why), ERR_OK);
    return join(ctx, loop);
}

static void end(void *ctx)
{
    (void)ctx;
    keeper_free(&keeper);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    enum keeper_engine memory = KEEPER_MEMORY, sqlite = KEEPER_SQLITE;
    const struct store_suite suites[] = {
        {"memory", make, join, end, &memory},
        {"sqlite", make, join, end, &sqlite},
    };
    int failed = 0;
    for (size_t i = 0; i < ARRAY_LEN(suites); i++) failed += store_suite(&suites[i]);
    return failed;
}
