/* Frames of the store between processes: the first byte says whose they are, the rest is a stream. The frames are the
 * same however the stream arrives; a body that is read and written again is the same bytes. */
#include "store/wire.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok) abort();
}

static void again_is(const struct buf *out, const struct wire_frame *f)
{
    check(!out->bad && out->n == WIRE_HEAD + f->body.n);
    check(str_eq(str_from(buf_str(out), WIRE_HEAD), f->body));
}

static void request(const struct wire_frame *f, struct buf *out)
{
    struct arena mem;
    struct store_job job;
    arena_init(&mem, NULL, 0, (size_t)64 << 10);
    enum err e = wire_request(f->body, &mem, &job);
    check(e == ERR_OK || e == ERR_MALFORMED);
    if (e == ERR_OK) {
        wire_put_request(out, f->id, &job);
        again_is(out, f);
    }
    arena_reset(&mem);
}

static void answer(const struct wire_frame *f, struct buf *out)
{
    static struct store_entry entries[STORE_RANGE_MAX];
    struct wire_answer a;
    enum err e = wire_answer(f->body, &a);
    uint32_t n = e == ERR_OK ? a.n_entries : 0;
    for (uint32_t i = 0; i < n && e == ERR_OK; i++) e = wire_answer_entry(&a, &entries[i]);
    if (e != ERR_OK) return;
    wire_put_answer(out, f->id,
                    &(struct store_job){.err = a.err,
                                        .failed = a.failed,
                                        .at = a.at,
                                        .more = a.more,
                                        .entries = entries,
                                        .n_entries = n});
    again_is(out, f);
}

static void changes(const struct wire_frame *f)
{
    str body = f->body;
    struct store_change c;
    size_t before = body.n;
    while (wire_change(&body, &c) == ERR_OK) {
        check(body.n < before && c.entry.key.n <= STORE_KEY_MAX && c.entry.value.n <= STORE_VALUE_MAX);
        before = body.n;
    }
}

static void frame(const struct wire_frame *f)
{
    struct buf out;
    struct wire_hello h;
    struct wire_welcome w;
    struct wire_refused r;
    struct wire_watch watch;
    struct wire_beaten b;
    struct store_position at;
    enum err err;
    uint64_t tag;
    buf_init(&out, WIRE_BODY_MAX * 2);
    switch (f->type) {
    case WIRE_HELLO:
        if (wire_hello(f->body, &h) != ERR_OK || h.version != WIRE_VERSION) break;
        wire_put_hello(&out, &h);
        again_is(&out, f);
        break;
    case WIRE_REQUEST: request(f, &out); break;
    case WIRE_WATCH:
        if (wire_watch(f->body, &watch) != ERR_OK) break;
        wire_put_watch(&out, f->id, &watch);
        again_is(&out, f);
        break;
    case WIRE_NEXT:
    case WIRE_UNWATCH: check((wire_bare(f->body) == ERR_OK) == (f->body.n == 0)); break;
    case WIRE_CONFIRM:
    case WIRE_PAGE:
        if (wire_position(f->body, &at) != ERR_OK) break;
        wire_put_position(&out, f->type, f->id, at);
        again_is(&out, f);
        break;
    case WIRE_BEAT:
        if (wire_beat(f->body, &tag) != ERR_OK) break;
        wire_put_beat(&out, f->id, tag);
        again_is(&out, f);
        break;
    case WIRE_WELCOME:
        if (wire_welcome(f->body, &w) != ERR_OK) break;
        wire_put_welcome(&out, &w);
        again_is(&out, f);
        break;
    case WIRE_REFUSED:
        if (wire_refused(f->body, &r) != ERR_OK) break;
        wire_put_refused(&out, &r);
        again_is(&out, f);
        break;
    case WIRE_ANSWER: answer(f, &out); break;
    case WIRE_WATCHING:
        if (wire_watching(f->body, &err) != ERR_OK) break;
        wire_put_watching(&out, f->id, err);
        again_is(&out, f);
        break;
    case WIRE_CHANGES: changes(f); break;
    case WIRE_BEATEN:
        if (wire_beaten(f->body, &b) != ERR_OK) break;
        wire_put_beaten(&out, f->id, &b);
        again_is(&out, f);
        break;
    }
    buf_free(&out);
}

struct seen {
    uint64_t sum;
    size_t frames, used;
    enum err err;
    enum wire_fault fault;
};

/* The stream in pieces of `step` bytes. */
static struct seen walk(str in, enum wire_side side, size_t step, bool read)
{
    struct seen s = {.err = ERR_AGAIN};
    size_t have = 0;
    for (;;) {
        struct wire_frame f;
        size_t used = 0;
        char *piece = malloc(have - s.used + 1); /* its own memory, so that a look behind it is seen */
        check(piece != NULL);
        if (have > s.used) memcpy(piece, in.p + s.used, have - s.used);
        s.err = wire_cut(str_make(piece, have - s.used), side, WIRE_BODY_MAX, &f, &used, &s.fault);
        if (s.err == ERR_OK) {
            check(used == WIRE_HEAD + f.body.n && used <= have - s.used);
            s.sum = s.sum * 31 + f.type + f.id + f.body.n;
            s.frames++;
            s.used += used;
            if (read) frame(&f);
        }
        free(piece);
        if (s.err == ERR_OK) continue;
        if (s.err != ERR_AGAIN || have == in.n) return s;
        check(used > have - s.used);
        have = in.n - have < step ? in.n : have + step;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) return 0;
    enum wire_side side = data[0] & 1 ? WIRE_OF_SERVER : WIRE_OF_CLIENT;
    str in = str_make((const char *)data + 1, size - 1);
    struct seen whole = walk(in, side, in.n ? in.n : 1, true), split = walk(in, side, 1 + data[0] / 2, false);
    check(whole.err == split.err && whole.frames == split.frames && whole.sum == split.sum && whole.used == split.used);
    return 0;
}
