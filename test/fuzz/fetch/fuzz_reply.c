/* The answer of a provider: whole or byte by byte, it is the same answer, and never more than was allowed. */
#include "fetch/reply.h"

#include <stdlib.h>

#define ALLOWED 300

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err take(struct reply *r, const char *p, size_t n, size_t step, enum fetch_fault *fault)
{
    enum err e = ERR_OK;
    reply_init(r, ALLOWED);
    for (size_t at = 0; at < n && e == ERR_OK; at += step)
        e = reply_take(r, str_make(p + at, step < n - at ? step : n - at), fault);
    if (e == ERR_OK) e = reply_end(r, true, fault);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reply whole, singly;
    enum fetch_fault a = FETCH_FAULT_NONE, b = FETCH_FAULT_NONE;
    if (size > 30000) return 0;
    enum err e = take(&whole, (const char *)data, size, size ? size : 1, &a);
    enum err f = take(&singly, (const char *)data, size, 1, &b);
    /* a head that is bad may be seen to be so only when more of it is there: then its end comes first */
    bool late = (a == FETCH_FAULT_ANSWER && b == FETCH_FAULT_CUT) || (a == FETCH_FAULT_CUT && b == FETCH_FAULT_ANSWER);
    if (!late && (e != f || a != b)) abort();
    if (whole.status != singly.status || whole.whole != singly.whole || (e == ERR_OK) != whole.whole) abort();
    if (whole.body.n > ALLOWED || (e == ERR_OK && !str_eq(buf_str(&whole.body), buf_str(&singly.body)))) abort();
    reply_free(&whole);
    reply_free(&singly);
    return 0;
}
