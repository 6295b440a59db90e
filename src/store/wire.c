#include "store/wire.h"

#define MAGIC      UINT32_C(0x53505354) /* "SPST" */
#define ENTRY_HEAD (8 + 8 + 2 + 4)
#define RANGE_KEY  (STORE_KEY_MAX + 1) /* the end of a range may be one byte longer than a key */

/* What a kind of failure is called on the wire: by its place here, so that a new kind never moves an old one. */
static const enum err codes[] = {ERR_OK, ERR_CONFLICT, ERR_LIMIT,  ERR_MALFORMED,   ERR_DENIED,   ERR_NO_MEMORY,
                                 ERR_IO, ERR_TIMEOUT,  ERR_CLOSED, ERR_UNSUPPORTED, ERR_NOT_FOUND};

const char *wire_fault_name(enum wire_fault f)
{
    switch (f) {
    case WIRE_FAULT_NONE: return "none";
    case WIRE_FAULT_LENGTH: return "length";
    case WIRE_FAULT_TYPE: return "type";
    case WIRE_FAULT_RESERVED: return "reserved";
    case WIRE_FAULT_BODY: return "body";
    }
    return "unknown";
}

/* --- numbers into a buffer --- */

static void put(struct buf *b, uint64_t v, size_t bytes)
{
    char *p = buf_room(b, bytes);
    if (!p) return;
    for (size_t i = 0; i < bytes; i++) p[i] = (char)(v >> (8 * (bytes - 1 - i)));
    b->n += bytes;
}

static void put_err(struct buf *b, enum err e)
{
    size_t code = 0;
    while (code < ARRAY_LEN(codes) && codes[code] != e) code++;
    if (code == ARRAY_LEN(codes)) /* nothing a store says */
        for (code = 0; codes[code] != ERR_IO;) code++;
    put(b, code, 1);
}

static void put_at(struct buf *b, struct store_position at)
{
    put(b, at.epoch, 8);
    put(b, at.number, 8);
}

static void put_short(struct buf *b, str s)
{
    put(b, s.n, 2);
    buf_put(b, s);
}

static void put_entry(struct buf *b, const struct store_entry *e)
{
    put(b, e->version, 8);
    put(b, (uint64_t)e->expires_s, 8);
    put(b, e->key.n, 2);
    put(b, e->value.n, 4);
    buf_put(b, e->key);
    buf_put(b, e->value);
}

static size_t frame_begin(struct buf *b, enum wire_type type, uint32_t id)
{
    size_t at = b->n;
    put(b, 0, 4); /* the length comes at the end */
    put(b, type, 1);
    put(b, 0, 3);
    put(b, id, 4);
    return at;
}

static void frame_end(struct buf *b, size_t at)
{
    if (b->bad) return;
    size_t body = b->n - at - WIRE_HEAD;
    for (size_t i = 0; i < 4; i++) b->p[at + i] = (char)(body >> (8 * (3 - i)));
}

/* --- and out of a slice --- */

struct cursor {
    const unsigned char *p, *end;
    bool bad; /* something was missing or out of its range: what was taken since means nothing */
};

static struct cursor cursor(str body)
{
    const unsigned char *p = (const unsigned char *)(body.n ? body.p : "");
    return (struct cursor){p, p + body.n, false};
}

static uint64_t take(struct cursor *c, size_t bytes)
{
    uint64_t v = 0;
    if ((size_t)(c->end - c->p) < bytes) c->bad = true;
    if (c->bad) return 0;
    for (size_t i = 0; i < bytes; i++) v = v << 8 | *c->p++;
    return v;
}

/* A number of at most `max`. */
static uint64_t take_max(struct cursor *c, size_t bytes, uint64_t max)
{
    uint64_t v = take(c, bytes);
    if (v <= max) return v;
    c->bad = true;
    return 0;
}

static str take_bytes(struct cursor *c, size_t n)
{
    if ((size_t)(c->end - c->p) < n) c->bad = true;
    if (c->bad) return STR("");
    str s = str_make((const char *)c->p, n);
    c->p += n;
    return s;
}

static str take_short(struct cursor *c, size_t max)
{
    return take_bytes(c, (size_t)take_max(c, 2, max));
}

static enum err take_err(struct cursor *c)
{
    return codes[take_max(c, 1, ARRAY_LEN(codes) - 1)];
}

static struct store_position take_at(struct cursor *c)
{
    struct store_position at = {0};
    at.epoch = take(c, 8);
    at.number = take(c, 8);
    return at;
}

static struct store_entry take_entry(struct cursor *c)
{
    struct store_entry e = {0};
    e.version = take(c, 8);
    e.expires_s = (int64_t)take_max(c, 8, INT64_MAX);
    size_t key = (size_t)take_max(c, 2, STORE_KEY_MAX), value = (size_t)take_max(c, 4, STORE_VALUE_MAX);
    e.key = take_bytes(c, key);
    e.value = take_bytes(c, value);
    return e;
}

static enum err ended(const struct cursor *c)
{
    return !c->bad && c->p == c->end ? ERR_OK : ERR_MALFORMED;
}

/* --- frames --- */

enum err wire_cut(str in, enum wire_side from, size_t max_body, struct wire_frame *out, size_t *used,
                  enum wire_fault *fault)
{
    if (in.n < WIRE_HEAD) {
        *used = WIRE_HEAD;
        return ERR_AGAIN;
    }
    struct cursor c = cursor(in);
    size_t body = (size_t)take(&c, 4);
    unsigned type = (unsigned)take(&c, 1);
    uint64_t reserved = take(&c, 3);
    uint32_t id = (uint32_t)take(&c, 4);
    bool of_client = type >= WIRE_HELLO && type <= WIRE_UNWATCH;
    bool of_server = type >= WIRE_WELCOME && type <= WIRE_BEATEN;
    *fault = body > max_body                                     ? WIRE_FAULT_LENGTH
             : !(from == WIRE_OF_CLIENT ? of_client : of_server) ? WIRE_FAULT_TYPE
             : reserved                                          ? WIRE_FAULT_RESERVED
                                                                 : WIRE_FAULT_NONE;
    if (*fault != WIRE_FAULT_NONE) return ERR_MALFORMED;
    *used = WIRE_HEAD + body;
    if (in.n < *used) return ERR_AGAIN;
    *out = (struct wire_frame){(enum wire_type)type, id, str_make(in.p + WIRE_HEAD, body)};
    return ERR_OK;
}

/* --- the beginning --- */

void wire_put_hello(struct buf *out, const struct wire_hello *h)
{
    size_t at = frame_begin(out, WIRE_HELLO, 0);
    put(out, MAGIC, 4);
    put(out, h->version, 2);
    put(out, h->spaces, 4);
    put_short(out, h->name);
    frame_end(out, at);
}

/* Of another version it reads what every version has in the same place: the version. */
enum err wire_hello(str body, struct wire_hello *out)
{
    struct cursor c = cursor(body);
    struct wire_hello h = {0};
    if (take(&c, 4) != MAGIC) return ERR_MALFORMED;
    h.version = (uint16_t)take(&c, 2);
    if (!c.bad && h.version != WIRE_VERSION) {
        *out = h;
        return ERR_OK;
    }
    h.spaces = (uint32_t)take(&c, 4);
    h.name = take_short(&c, STORE_NAME_MAX);
    if (ended(&c) != ERR_OK || !h.name.n) return ERR_MALFORMED;
    for (size_t i = 0; i < h.name.n; i++)
        if (h.name.p[i] <= ' ' || h.name.p[i] > '~') return ERR_MALFORMED;
    *out = h;
    return ERR_OK;
}

void wire_put_welcome(struct buf *out, const struct wire_welcome *w)
{
    size_t at = frame_begin(out, WIRE_WELCOME, 0);
    put(out, w->version, 2);
    put(out, w->spaces, 4);
    frame_end(out, at);
}

enum err wire_welcome(str body, struct wire_welcome *out)
{
    struct cursor c = cursor(body);
    struct wire_welcome w = {.version = (uint16_t)take(&c, 2)};
    w.spaces = (uint32_t)take(&c, 4);
    if (ended(&c) != ERR_OK) return ERR_MALFORMED;
    *out = w;
    return ERR_OK;
}

void wire_put_refused(struct buf *out, const struct wire_refused *r)
{
    size_t at = frame_begin(out, WIRE_REFUSED, 0);
    put(out, r->version, 2);
    put_err(out, r->err);
    frame_end(out, at);
}

enum err wire_refused(str body, struct wire_refused *out)
{
    struct cursor c = cursor(body);
    struct wire_refused r = {.version = (uint16_t)take(&c, 2)};
    r.err = take_err(&c);
    if (ended(&c) != ERR_OK) return ERR_MALFORMED;
    *out = r;
    return ERR_OK;
}

/* --- questions --- */

/* Only what its verb and condition use is sent, so that one question has one form. */
static void put_op(struct buf *b, const struct store_op *op)
{
    bool puts = op->verb == STORE_PUT;
    put(b, op->verb, 1);
    put(b, op->condition, 1);
    put(b, op->condition == STORE_VERSION ? op->version : 0, 8);
    put(b, puts ? (uint64_t)op->expires_s : 0, 8);
    put(b, op->key.n, 2);
    put(b, puts ? op->value.n : 0, 4);
    buf_put(b, op->key);
    if (puts) buf_put(b, op->value);
}

static struct store_op take_op(struct cursor *c)
{
    struct store_op op = {0};
    op.verb = (enum store_verb)take_max(c, 1, STORE_DELETE);
    op.condition = (enum store_condition)take_max(c, 1, STORE_VERSION);
    op.version = take_max(c, 8, op.condition == STORE_VERSION ? UINT64_MAX : 0);
    op.expires_s = (int64_t)take_max(c, 8, op.verb == STORE_PUT ? INT64_MAX : 0);
    size_t key = (size_t)take_max(c, 2, STORE_KEY_MAX);
    size_t value = (size_t)take_max(c, 4, op.verb == STORE_PUT ? STORE_VALUE_MAX : 0);
    op.key = take_bytes(c, key);
    op.value = take_bytes(c, value);
    return op;
}

void wire_put_request(struct buf *out, uint32_t id, const struct store_job *job)
{
    size_t at = frame_begin(out, WIRE_REQUEST, id);
    put(out, job->kind, 1);
    put(out, job->space, 1);
    switch (job->kind) {
    case STORE_GET:
        put(out, job->n_keys, 2);
        for (uint32_t i = 0; i < job->n_keys; i++) put_short(out, job->keys[i]);
        break;
    case STORE_RANGE:
        put(out, job->reverse, 1);
        put(out, job->limit, 4);
        put_short(out, job->from);
        put_short(out, job->to);
        break;
    case STORE_BATCH:
        put(out, job->n_ops, 2);
        for (uint32_t i = 0; i < job->n_ops; i++) put_op(out, &job->ops[i]);
        break;
    case STORE_WATCHERS:
        put(out, job->limit, 4);
        put_short(out, job->from);
        break;
    }
    frame_end(out, at);
}

/* The count was bounded before; the array is no larger than the bytes that pay for it. */
static enum err take_keys(struct cursor *c, struct arena *mem, struct store_job *job)
{
    job->n_keys = (uint32_t)take_max(c, 2, STORE_RANGE_MAX);
    if (c->bad || (size_t)(c->end - c->p) < (size_t)job->n_keys * 2) return ERR_MALFORMED;
    str *keys = arena_array(mem, job->n_keys ? job->n_keys : 1, sizeof *keys);
    if (!keys) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < job->n_keys; i++) keys[i] = take_short(c, STORE_KEY_MAX);
    job->keys = keys;
    return ended(c);
}

static enum err take_ops(struct cursor *c, struct arena *mem, struct store_job *job)
{
    job->n_ops = (uint32_t)take_max(c, 2, STORE_OPS_MAX);
    if (c->bad || (size_t)(c->end - c->p) < (size_t)job->n_ops * ENTRY_HEAD) return ERR_MALFORMED;
    struct store_op *ops = arena_array(mem, job->n_ops ? job->n_ops : 1, sizeof *ops);
    if (!ops) return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < job->n_ops; i++) ops[i] = take_op(c);
    job->ops = ops;
    return ended(c);
}

enum err wire_request(str body, struct arena *mem, struct store_job *out)
{
    struct cursor c = cursor(body);
    struct store_job job = {0};
    job.kind = (enum store_kind)take_max(&c, 1, STORE_WATCHERS);
    job.space = (enum store_space)take_max(&c, 1, STORE_SPACES - 1);
    enum err e = c.bad ? ERR_MALFORMED : ERR_OK;
    if (e != ERR_OK) return e;
    switch (job.kind) {
    case STORE_GET: e = take_keys(&c, mem, &job); break;
    case STORE_RANGE:
        job.reverse = take_max(&c, 1, 1) != 0;
        job.limit = (uint32_t)take_max(&c, 4, STORE_RANGE_MAX);
        job.from = take_short(&c, RANGE_KEY);
        job.to = take_short(&c, RANGE_KEY);
        e = ended(&c);
        break;
    case STORE_BATCH: e = take_ops(&c, mem, &job); break;
    case STORE_WATCHERS:
        job.limit = (uint32_t)take_max(&c, 4, STORE_RANGE_MAX);
        job.from = take_short(&c, RANGE_KEY);
        e = ended(&c);
        break;
    }
    if (e == ERR_OK) *out = job;
    return e;
}

/* --- answers --- */

void wire_put_answer(struct buf *out, uint32_t id, const struct store_job *job)
{
    size_t at = frame_begin(out, WIRE_ANSWER, id);
    put_err(out, job->err);
    put(out, job->failed, 4);
    put_at(out, job->at);
    put(out, job->more, 1);
    put(out, job->n_entries, 2);
    for (uint32_t i = 0; i < job->n_entries; i++) put_entry(out, &job->entries[i]);
    frame_end(out, at);
}

enum err wire_answer(str body, struct wire_answer *out)
{
    struct cursor c = cursor(body);
    struct wire_answer a = {.err = take_err(&c)};
    a.failed = (uint32_t)take_max(&c, 4, STORE_OPS_MAX - 1);
    a.at = take_at(&c);
    a.more = take_max(&c, 1, 1) != 0;
    a.n_entries = (uint32_t)take_max(&c, 2, STORE_RANGE_MAX);
    if (c.bad || (a.n_entries == 0) != (c.p == c.end)) return ERR_MALFORMED;
    a.entries = str_make((const char *)c.p, (size_t)(c.end - c.p));
    *out = a;
    return ERR_OK;
}

enum err wire_answer_entry(struct wire_answer *a, struct store_entry *out)
{
    if (!a->n_entries) return ERR_MALFORMED;
    struct cursor c = cursor(a->entries);
    struct store_entry e = take_entry(&c);
    if (c.bad || (a->n_entries == 1) != (c.p == c.end)) return ERR_MALFORMED;
    a->entries = str_make((const char *)c.p, (size_t)(c.end - c.p));
    a->n_entries--;
    *out = e;
    return ERR_OK;
}

/* --- watches --- */

void wire_put_watch(struct buf *out, uint32_t id, const struct wire_watch *w)
{
    size_t at = frame_begin(out, WIRE_WATCH, id);
    put(out, w->space, 1);
    put(out, w->lease_ms, 4);
    put_at(out, w->from);
    put_at(out, w->confirmed);
    put_short(out, w->prefix);
    put_short(out, w->name);
    frame_end(out, at);
}

enum err wire_watch(str body, struct wire_watch *out)
{
    struct cursor c = cursor(body);
    struct wire_watch w = {.space = (enum store_space)take_max(&c, 1, STORE_SPACES - 1)};
    w.lease_ms = (uint32_t)take(&c, 4);
    w.from = take_at(&c);
    w.confirmed = take_at(&c);
    w.prefix = take_short(&c, STORE_KEY_MAX);
    w.name = take_short(&c, STORE_NAME_MAX);
    if (ended(&c) != ERR_OK || !w.name.n) return ERR_MALFORMED;
    *out = w;
    return ERR_OK;
}

void wire_put_watching(struct buf *out, uint32_t id, enum err err)
{
    size_t at = frame_begin(out, WIRE_WATCHING, id);
    put_err(out, err);
    frame_end(out, at);
}

enum err wire_watching(str body, enum err *out)
{
    struct cursor c = cursor(body);
    enum err e = take_err(&c);
    if (ended(&c) != ERR_OK) return ERR_MALFORMED;
    *out = e;
    return ERR_OK;
}

void wire_put_bare(struct buf *out, enum wire_type type, uint32_t id)
{
    frame_end(out, frame_begin(out, type, id));
}

enum err wire_bare(str body)
{
    return body.n ? ERR_MALFORMED : ERR_OK;
}

void wire_put_position(struct buf *out, enum wire_type type, uint32_t id, struct store_position at)
{
    size_t begin = frame_begin(out, type, id);
    put_at(out, at);
    frame_end(out, begin);
}

enum err wire_position(str body, struct store_position *out)
{
    struct cursor c = cursor(body);
    struct store_position at = take_at(&c);
    if (ended(&c) != ERR_OK) return ERR_MALFORMED;
    *out = at;
    return ERR_OK;
}

void wire_put_beat(struct buf *out, uint32_t id, uint64_t tag)
{
    size_t at = frame_begin(out, WIRE_BEAT, id);
    put(out, tag, 8);
    frame_end(out, at);
}

enum err wire_beat(str body, uint64_t *tag)
{
    struct cursor c = cursor(body);
    uint64_t v = take(&c, 8);
    if (ended(&c) != ERR_OK) return ERR_MALFORMED;
    *tag = v;
    return ERR_OK;
}

void wire_put_beaten(struct buf *out, uint32_t id, const struct wire_beaten *b)
{
    size_t at = frame_begin(out, WIRE_BEATEN, id);
    put(out, b->tag, 8);
    put(out, b->held_ms, 8);
    frame_end(out, at);
}

enum err wire_beaten(str body, struct wire_beaten *out)
{
    struct cursor c = cursor(body);
    struct wire_beaten b = {.tag = take(&c, 8)};
    b.held_ms = take(&c, 8);
    if (ended(&c) != ERR_OK) return ERR_MALFORMED;
    *out = b;
    return ERR_OK;
}

uint32_t wire_put_changes(struct buf *out, uint32_t id, const struct store_change *changes, uint32_t n)
{
    uint32_t done = 0;
    size_t at = frame_begin(out, WIRE_CHANGES, id);
    while (done < n && !out->bad && (!done || out->n - at < WIRE_PIECE_MAX)) {
        const struct store_change *c = &changes[done++];
        put(out, c->kind, 1);
        put_at(out, c->at);
        put_entry(out, &c->entry);
    }
    frame_end(out, at);
    return done;
}

enum err wire_change(str *body, struct store_change *out)
{
    if (!body->n) return ERR_NOT_FOUND;
    struct cursor c = cursor(*body);
    struct store_change change = {.kind = (enum store_change_kind)take_max(&c, 1, STORE_RESYNC_END)};
    change.at = take_at(&c);
    change.entry = take_entry(&c);
    if (c.bad) return ERR_MALFORMED;
    *body = str_make((const char *)c.p, (size_t)(c.end - c.p));
    *out = change;
    return ERR_OK;
}
