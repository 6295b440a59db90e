/* What every unit test includes: cmocka with its prerequisites, slices in assertions, allocation failure. */
#ifndef SALLYPORT_TEST_UNIT_H
#define SALLYPORT_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

#define assert_str(got, want)                                                                                          \
    do {                                                                                                               \
        str got_ = (got), want_ = (want);                                                                              \
        if (!str_eq(got_, want_)) fail_msg("got \"%.*s\", want \"%.*s\"", STR_ARG(got_), STR_ARG(want_));              \
    } while (0)

#define assert_err(got, want)                                                                                          \
    do {                                                                                                               \
        enum err got_ = (got), want_ = (want);                                                                         \
        if (got_ != want_) fail_msg("got %s, want %s", err_name(got_), err_name(want_));                               \
    } while (0)

/* Makes the n-th allocation from now (0: the next) and every later one fail; -1: none. Only allocations made by
 * objects linked into the test binary count (malloc, calloc, realloc are wrapped at link time). */
void alloc_fail_at(long n);
/* Whether an allocation was refused since alloc_fail_at. */
bool alloc_fail_hit(void);

/* Runs `body` with the 1st, 2nd, … allocation failing until a run gets through untouched. */
#define EACH_ALLOC_FAILING(...)                                                                                        \
    for (long n_ = 0;; n_++) {                                                                                         \
        alloc_fail_at(n_);                                                                                             \
        __VA_ARGS__;                                                                                                   \
        bool hit_ = alloc_fail_hit();                                                                                  \
        alloc_fail_at(-1);                                                                                             \
        if (!hit_) break;                                                                                              \
        if (n_ > 1000000) fail_msg("allocations without end");                                                         \
    }

#endif
