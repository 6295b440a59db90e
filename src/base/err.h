/* The kinds of failure the whole product shares, and the attributes every header uses.
 *
 * A function that can fail returns `enum err`; outputs come last and are written only on ERR_OK.
 * A module's finer cause is its own `enum x_fault`. Nothing here knows any module. */
#ifndef SALLYPORT_BASE_ERR_H
#define SALLYPORT_BASE_ERR_H

enum err {
    ERR_OK = 0,
    ERR_MALFORMED,   /* the input does not have the form it must have */
    ERR_LIMIT,       /* a documented bound was reached (size, depth, count, rate) */
    ERR_DENIED,      /* understood and refused */
    ERR_NOT_FOUND,   /* no such thing */
    ERR_AGAIN,       /* not now: wait for the event that the function names */
    ERR_CLOSED,      /* the other side is gone */
    ERR_TIMEOUT,     /* a deadline passed */
    ERR_NO_MEMORY,   /* an allocation failed */
    ERR_IO,          /* the operating system said no; errno tells */
    ERR_UNSUPPORTED, /* well formed, but not something we do */
    ERR_CONFLICT,    /* the state changed under the caller */
    ERR_INVARIANT    /* our own mistake; never caused by wire input */
};

/* A short, stable word for logs ("malformed"); never NULL. */
const char *err_name(enum err e);

#define MUST_USE               __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED                 __attribute__((unused))
#define LIKELY(x)              __builtin_expect(!!(x), 1)
#define UNLIKELY(x)            __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a)           (sizeof(a) / sizeof((a)[0]))

/* The object that holds `member` at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
