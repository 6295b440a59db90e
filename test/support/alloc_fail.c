#include "unit.h"

#include <stdatomic.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

/* Other threads of the test allocate, too. */
static _Atomic long left = -1;
static _Atomic bool hit;

void alloc_fail_at(long n)
{
    left = n;
    hit = false;
}

bool alloc_fail_hit(void)
{
    return hit;
}

static bool refuse(void)
{
    long now = left;
    while (now > 0)
        if (atomic_compare_exchange_weak(&left, &now, now - 1)) return false;
    if (now < 0) return false;
    hit = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return refuse() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refuse() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return refuse() ? NULL : __real_realloc(p, n);
}
