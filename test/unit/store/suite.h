/* The promises of store/store.h as tests that every kind of store passes: give a maker, get a group of tests. The wall
 * clock is the suite's (link with -Wl,--wrap=clock_wall_ms). */
#ifndef SALLYPORT_TEST_STORE_SUITE_H
#define SALLYPORT_TEST_STORE_SUITE_H

#include "unit.h"

#include "store/store.h"

struct store_suite {
    const char *name;
    /* A client, on this loop, of a new and empty store that serves KEEPER_ALL but STORE_TENANTS. */
    struct store *(*make)(void *ctx, struct loop *loop);
    /* Another client of the same store. */
    struct store *(*join)(void *ctx, struct loop *loop);
    /* After its clients were freed. */
    void (*end)(void *ctx);
    void *ctx;
};

/* Runs all of it as one group; how many failed. */
int store_suite(const struct store_suite *suite);

/* The time of the store under test, Unix milliseconds. */
void suite_clock_set(uint64_t unix_ms);

/* Submits and turns the loop until it is done (10 s at most). */
enum err suite_do(struct store *s, struct store_job *job);
/* Turns the loop until *flag. */
void suite_until(struct loop *l, const bool *flag, const char *what);
/* One op as a batch; *at, if not NULL, gets where it stands. */
enum err suite_put(struct store *s, enum store_space space, const char *key, const char *value, int64_t expires_s,
                   struct store_position *at);
enum err suite_delete(struct store *s, enum store_space space, const char *key);
/* The value, "" when there is none; valid until the next call. */
const char *suite_get(struct store *s, enum store_space space, const char *key);

#endif
