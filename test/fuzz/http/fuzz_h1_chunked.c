/* The chunked coding: the same data and the same end however it arrives, and the same again when coded anew. */
#include "http/h1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) abort();
}

struct decoded {
    enum err err;
    enum http_fault fault;
    bool end;
    size_t used, n;
    char *data;
};

static void decode(struct decoded *d, str in, size_t step, bool trailers)
{
    struct h1_chunked c = {0};
    struct field room[40];
    struct fields f = {room, 0, 40};
    size_t to = 0;
    d->end = false;
    d->used = d->n = 0;
    d->data = malloc(in.n + 1);
    check(d->data != NULL);
    for (;;) {
        size_t used = 0;
        str data = STR_NONE;
        char *piece = malloc(to - d->used + 1); /* its own memory, so that a look behind it is seen */
        check(piece != NULL);
        memcpy(piece, in.p + d->used, to - d->used);
        d->err = h1_chunked_decode(&c, str_make(piece, to - d->used), &h1_limits_default, &used, &data, &d->end,
                                   trailers ? &f : NULL, &d->fault);
        if (d->err == ERR_OK) {
            check(used <= to - d->used && data.n <= used);
            if (data.n) memcpy(d->data + d->n, data.p, data.n);
            d->n += data.n;
            d->used += used;
        }
        if (d->err == ERR_OK && d->end && trailers)
            for (uint32_t i = 0; i < f.n; i++) check(http_token_ok(f.v[i].name) && field_value_ok(f.v[i].value));
        free(piece);
        if (d->err != ERR_OK || d->end) return;
        if (used) continue;
        if (to == in.n) return;
        to = in.n - to < step ? in.n : to + step;
    }
}

static void same_when_coded(const struct decoded *d)
{
    struct decoded again;
    size_t n = 0;
    char *text = malloc(d->n + H1_CHUNK_LINE_MAX + 16);
    check(text != NULL);
    if (d->n) {
        n = h1_chunk_line(text, d->n);
        memcpy(text + n, d->data, d->n);
        n += d->n;
        memcpy(text + n, "\r\n", 2);
        n += 2;
    }
    memcpy(text + n, "0\r\n\r\n", 5);
    n += 5;
    decode(&again, str_make(text, n), n, false);
    check(again.err == ERR_OK && again.end && again.used == n && again.n == d->n);
    check(memcmp(again.data, d->data, d->n) == 0);
    free(again.data);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct decoded whole, pieces;
    if (size == 0) return 0;
    str in = str_make((const char *)data, size);
    decode(&whole, in, size, true);
    decode(&pieces, in, 1 + size % 13, false);
    if (pieces.err != ERR_OK || pieces.end || whole.err == ERR_OK) {
        check(whole.err == pieces.err && whole.end == pieces.end);
        if (whole.err != ERR_OK) check(whole.fault == pieces.fault);
    }
    if (whole.err == ERR_OK && whole.end) {
        check(whole.used == pieces.used && whole.n == pieces.n && memcmp(whole.data, pieces.data, whole.n) == 0);
        same_when_coded(&whole);
    }
    free(whole.data);
    free(pieces.data);
    return 0;
}
