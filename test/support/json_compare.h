/* Our reader against jansson, one document: used by the unit test and the fuzz target. */
#ifndef SALLYPORT_TEST_JSON_COMPARE_H
#define SALLYPORT_TEST_JSON_COMPARE_H

#include "codec/json.h"
#include "json_oracle.h"

#include <stdlib.h>

static inline void json_put_string(struct buf *b, str s)
{
    buf_printf(b, "s%zu:", s.n);
    buf_put(b, s);
}

/* Our tree in the form json_oracle describes. Recursive: the documents were read with a depth limit. */
static inline void json_put_canonical(struct buf *b, const struct json *v)
{
    int64_t n;
    switch (v->type) {
    case JSON_NULL: buf_putc(b, 'n'); break;
    case JSON_TRUE: buf_putc(b, 't'); break;
    case JSON_FALSE: buf_putc(b, 'f'); break;
    case JSON_STRING: json_put_string(b, v->text); break;
    case JSON_NUMBER:
        if (json_int(v, &n) == ERR_OK) {
            buf_printf(b, "i%lld;", (long long)n);
        } else {
            char z[64] = {0};
            memcpy(z, v->text.p, v->text.n < sizeof z ? v->text.n : sizeof z - 1);
            buf_printf(b, "r%.17g;", strtod(z, NULL));
        }
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        buf_putc(b, v->type == JSON_ARRAY ? '[' : '{');
        for (const struct json *c = v->first; c; c = c->next) {
            if (v->type == JSON_OBJECT) json_put_string(b, c->name);
            json_put_canonical(b, c);
        }
        buf_putc(b, v->type == JSON_ARRAY ? ']' : '}');
        break;
    }
}

enum agreement { AGREE_ACCEPT, AGREE_REFUSE, AGREE_NOT_COMPARABLE, DISAGREE };

/* Limits of ours make a document not comparable; so does what jansson cannot say. `mine`, `theirs` hold the trees. */
static inline enum agreement json_compare(str in, const struct json_limits *limits, struct arena *mem, struct buf *mine,
                                          struct buf *theirs)
{
    const struct json *v = NULL;
    arena_reset(mem);
    buf_clear(mine);
    enum err e = json_parse(in, limits, mem, &v, NULL, NULL);
    enum oracle o = json_oracle(in, theirs, NULL);
    if (e == ERR_OK) json_put_canonical(mine, v);
    if (str_has(in, 0)) return e != ERR_OK ? AGREE_REFUSE : DISAGREE; /* jansson takes a raw NUL for the end */
    if (e == ERR_LIMIT || e == ERR_NO_MEMORY || o == ORACLE_CANNOT_SAY || mine->bad || theirs->bad)
        return AGREE_NOT_COMPARABLE;
    if (e == ERR_OK && o == ORACLE_ACCEPTS) return str_eq(buf_str(mine), buf_str(theirs)) ? AGREE_ACCEPT : DISAGREE;
    return e != ERR_OK && o == ORACLE_REFUSES ? AGREE_REFUSE : DISAGREE;
}

#endif
