/* The reader against jansson: both accept with the same tree, or both refuse, but for what either does not do. The
 * numbers of the tree are asked for as well. */
#include "json_compare.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const struct json *v, unsigned depth)
{
    int64_t n;
    bool fraction;
    if (depth > JSON_DEPTH_MAX || v->count > json_limits_document.max_members) abort();
    if (json_int(v, &n) == ERR_OK && v->type != JSON_NUMBER) abort();
    if (json_date(v, &n, &fraction) == ERR_OK && (n > (1LL << 53) || n < -(1LL << 53))) abort();
    if (json_text(v).p && !json_text(v).n != !v->text.n) abort();
    for (const struct json *c = v->first; c; c = c->next) ask(c, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf mine, theirs;
    buf_init(&mine, 16 << 20);
    buf_init(&theirs, 16 << 20);
    struct arena mem;
    arena_init(&mem, NULL, 0, 64 << 20);
    str in = str_make((const char *)data, size);
    if (json_compare(in, &json_limits_document, &mem, &mine, &theirs) == DISAGREE) abort();
    const struct json *v;
    arena_reset(&mem);
    if (json_parse(in, &json_limits_token, &mem, &v, NULL, NULL) == ERR_OK) ask(v, 0);
    arena_reset(&mem);
    buf_free(&mine);
    buf_free(&theirs);
    return 0;
}
