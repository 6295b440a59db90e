/* The frames between a store's client and the data role: what was written is read back, split anywhere; whatever else
 * comes is refused. */
#include "unit.h"

#include "store/wire.h"

static struct buf out;

static int setup(void **state)
{
    (void)state;
    buf_init(&out, (size_t)8 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_free(&out);
    return 0;
}

static struct wire_frame only(enum wire_side from, enum wire_type type, uint32_t id)
{
    struct wire_frame f = {0};
    size_t used = 0;
    enum wire_fault fault;
    assert_false(out.bad);
    assert_err(wire_cut(buf_str(&out), from, WIRE_BODY_MAX, &f, &used, &fault), ERR_OK);
    assert_int_equal(used, out.n);
    assert_int_equal(f.type, type);
    assert_int_equal(f.id, id);
    return f;
}

static const str keys[] = {STR_INIT("user/users/anna"), STR_INIT("k"), STR_INIT("\xff\x01")};
static const struct store_op ops[] = {
    {STORE_PUT, STORE_ABSENT, 0, STR_INIT("a"), STR_INIT("{\"x\":1}"), 0},
    {STORE_PUT, STORE_VERSION, UINT64_MAX, STR_INIT("b"), STR_INIT(""), INT64_MAX},
    {STORE_DELETE, STORE_PRESENT, 0, STR_INIT("c"), STR_INIT(""), 0},
    {STORE_CHECK, STORE_VERSION, 0, STR_INIT("d"), STR_INIT(""), 0},
    {STORE_DELETE, STORE_ANY, 0, STR_INIT("\x80"), STR_INIT(""), 0},
};
static const struct store_job questions[] = {
    {.kind = STORE_GET, .space = STORE_IDENTITY, .keys = keys, .n_keys = ARRAY_LEN(keys)},
    {.kind = STORE_GET, .space = STORE_TENANTS, .keys = keys, .n_keys = 1},
    {.kind = STORE_RANGE, .space = STORE_CONTROL, .from = STR_INIT("apikey/"), .to = STR_INIT("apikey0"), .limit = 7},
    {.kind = STORE_RANGE, .space = STORE_CONTROL, .reverse = true},
    {.kind = STORE_BATCH, .space = STORE_AUDIT, .ops = ops, .n_ops = ARRAY_LEN(ops)},
    {.kind = STORE_WATCHERS, .space = STORE_CONTROL},
    {.kind = STORE_WATCHERS, .space = STORE_CONTROL, .from = STR_INIT("gateway/"), .limit = 1000},
};

static void assert_same_question(const struct store_job *got, const struct store_job *want)
{
    assert_int_equal(got->kind, want->kind);
    assert_int_equal(got->space, want->space);
    assert_int_equal(got->n_keys, want->n_keys);
    for (uint32_t i = 0; i < want->n_keys; i++) assert_str(got->keys[i], want->keys[i]);
    assert_str(got->from, want->from);
    assert_str(got->to, want->to);
    assert_int_equal(got->limit, want->limit);
    assert_int_equal(got->reverse, want->reverse);
    assert_int_equal(got->n_ops, want->n_ops);
    for (uint32_t i = 0; i < want->n_ops; i++) {
        assert_int_equal(got->ops[i].verb, want->ops[i].verb);
        assert_int_equal(got->ops[i].condition, want->ops[i].condition);
        assert_int_equal(got->ops[i].version, want->ops[i].version);
        assert_int_equal(got->ops[i].expires_s, want->ops[i].expires_s);
        assert_str(got->ops[i].key, want->ops[i].key);
        assert_str(got->ops[i].value, want->ops[i].value);
    }
}

static void questions_come_through(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        struct store_job got = {0};
        struct arena mem;
        arena_init(&mem, NULL, 0, 1 << 16);
        buf_clear(&out);
        wire_put_request(&out, 77, &questions[i]);
        struct wire_frame f = only(WIRE_OF_CLIENT, WIRE_REQUEST, 77);
        assert_err(wire_request(f.body, &mem, &got), ERR_OK);
        assert_same_question(&got, &questions[i]);
        arena_reset(&mem);
    }
}

static const struct store_entry entries[] = {
    {STR_INIT("a"), STR_INIT("1"), 1, 0},
    {STR_INIT("b"), STR_INIT(""), UINT64_MAX, INT64_MAX},
    {STR_INIT("c\xff"), STR_INIT("{}\0{}"), 3, 17},
};

static void assert_same_entry(const struct store_entry *got, const struct store_entry *want)
{
    assert_str(got->key, want->key);
    assert_str(got->value, want->value);
    assert_int_equal(got->version, want->version);
    assert_int_equal(got->expires_s, want->expires_s);
}

static void answers_come_through(void **state)
{
    (void)state;
    static const enum err errs[] = {ERR_OK,        ERR_CONFLICT, ERR_LIMIT,   ERR_MALFORMED, ERR_DENIED,
                                    ERR_NO_MEMORY, ERR_IO,       ERR_TIMEOUT, ERR_CLOSED};
    for (size_t i = 0; i < ARRAY_LEN(errs); i++) {
        struct store_job job = {.err = errs[i], .failed = 5, .at = {11, 12}, .more = true};
        struct wire_answer a = {0};
        job.entries = entries;
        job.n_entries = errs[i] == ERR_OK ? ARRAY_LEN(entries) : 0;
        buf_clear(&out);
        wire_put_answer(&out, 3, &job);
        struct wire_frame f = only(WIRE_OF_SERVER, WIRE_ANSWER, 3);
        assert_err(wire_answer(f.body, &a), ERR_OK);
        assert_int_equal(a.err, errs[i]);
        assert_int_equal(a.failed, 5);
        assert_int_equal(a.at.epoch, 11);
        assert_int_equal(a.at.number, 12);
        assert_true(a.more);
        assert_int_equal(a.n_entries, job.n_entries);
        struct store_entry e;
        for (uint32_t k = 0; k < job.n_entries; k++) {
            assert_err(wire_answer_entry(&a, &e), ERR_OK);
            assert_same_entry(&e, &entries[k]);
        }
        assert_err(wire_answer_entry(&a, &e), ERR_MALFORMED);
    }
    /* what no store says is a trouble of its disk to the other side, not silence */
    struct wire_answer a;
    buf_clear(&out);
    wire_put_answer(&out, 3, &(struct store_job){.err = ERR_INVARIANT});
    assert_err(wire_answer(only(WIRE_OF_SERVER, WIRE_ANSWER, 3).body, &a), ERR_OK);
    assert_int_equal(a.err, ERR_IO);
}

static void the_beginning_and_the_watches_come_through(void **state)
{
    (void)state;
    struct wire_hello h;
    wire_put_hello(&out, &(struct wire_hello){WIRE_VERSION, 0x1f, STR("gateway/host/1")});
    assert_true(out.n <= WIRE_HEAD + WIRE_HELLO_MAX);
    assert_err(wire_hello(only(WIRE_OF_CLIENT, WIRE_HELLO, 0).body, &h), ERR_OK);
    assert_int_equal(h.version, WIRE_VERSION);
    assert_int_equal(h.spaces, 0x1f);
    assert_str(h.name, STR("gateway/host/1"));
    struct wire_welcome w;
    buf_clear(&out);
    wire_put_welcome(&out, &(struct wire_welcome){WIRE_VERSION, 5});
    assert_err(wire_welcome(only(WIRE_OF_SERVER, WIRE_WELCOME, 0).body, &w), ERR_OK);
    assert_int_equal(w.spaces, 5);
    struct wire_refused r;
    buf_clear(&out);
    wire_put_refused(&out, &(struct wire_refused){9, ERR_UNSUPPORTED});
    assert_err(wire_refused(only(WIRE_OF_SERVER, WIRE_REFUSED, 0).body, &r), ERR_OK);
    assert_int_equal(r.version, 9);
    assert_int_equal(r.err, ERR_UNSUPPORTED);
    struct wire_watch watch, asked = {STORE_CONTROL, STR("apikey/"), STR("gw"), 900000, {1, 2}, {3, 4}};
    buf_clear(&out);
    wire_put_watch(&out, 6, &asked);
    assert_err(wire_watch(only(WIRE_OF_CLIENT, WIRE_WATCH, 6).body, &watch), ERR_OK);
    assert_int_equal(watch.space, STORE_CONTROL);
    assert_str(watch.prefix, asked.prefix);
    assert_str(watch.name, asked.name);
    assert_int_equal(watch.lease_ms, 900000);
    assert_int_equal(watch.from.epoch, 1);
    assert_int_equal(watch.from.number, 2);
    assert_int_equal(watch.confirmed.epoch, 3);
    assert_int_equal(watch.confirmed.number, 4);
    enum err e = ERR_OK;
    buf_clear(&out);
    wire_put_watching(&out, 6, ERR_LIMIT);
    assert_err(wire_watching(only(WIRE_OF_SERVER, WIRE_WATCHING, 6).body, &e), ERR_OK);
    assert_int_equal(e, ERR_LIMIT);
    struct store_position at;
    buf_clear(&out);
    wire_put_position(&out, WIRE_PAGE, 6, (struct store_position){7, 8});
    assert_err(wire_position(only(WIRE_OF_SERVER, WIRE_PAGE, 6).body, &at), ERR_OK);
    assert_int_equal(at.epoch, 7);
    assert_int_equal(at.number, 8);
    buf_clear(&out);
    wire_put_bare(&out, WIRE_NEXT, 6);
    assert_err(wire_bare(only(WIRE_OF_CLIENT, WIRE_NEXT, 6).body), ERR_OK);
    uint64_t tag;
    buf_clear(&out);
    wire_put_beat(&out, 6, 99);
    assert_err(wire_beat(only(WIRE_OF_CLIENT, WIRE_BEAT, 6).body, &tag), ERR_OK);
    assert_int_equal(tag, 99);
    struct wire_beaten b;
    buf_clear(&out);
    wire_put_beaten(&out, 6, &(struct wire_beaten){99, 100});
    assert_err(wire_beaten(only(WIRE_OF_SERVER, WIRE_BEATEN, 6).body, &b), ERR_OK);
    assert_int_equal(b.tag, 99);
    assert_int_equal(b.held_ms, 100);
}

static void changes_are_cut_into_pieces(void **state)
{
    (void)state;
    static char big[STORE_VALUE_MAX];
    static struct store_change many[3000];
    memset(big, 'v', sizeof big);
    for (uint32_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = (struct store_change){i % 2 ? STORE_REMOVED : STORE_CHANGED,
                                        {4, i + 1},
                                        {STR("key"), i % 1000 == 7 ? str_make(big, sizeof big) : STR("value"), i, 0}};
    uint32_t done = 0, frames = 0;
    while (done < ARRAY_LEN(many)) {
        buf_clear(&out);
        uint32_t n = wire_put_changes(&out, 2, many + done, ARRAY_LEN(many) - done), seen = 0;
        struct wire_frame f = only(WIRE_OF_SERVER, WIRE_CHANGES, 2);
        assert_true(n > 0 && f.body.n < WIRE_PIECE_MAX + STORE_VALUE_MAX + STORE_KEY_MAX + 64);
        struct store_change c;
        enum err e;
        while ((e = wire_change(&f.body, &c)) == ERR_OK) {
            assert_int_equal(c.kind, many[done + seen].kind);
            assert_int_equal(c.at.number, many[done + seen].at.number);
            assert_same_entry(&c.entry, &many[done + seen].entry);
            seen++;
        }
        assert_err(e, ERR_NOT_FOUND);
        assert_int_equal(seen, n);
        done += n;
        frames++;
    }
    assert_true(frames > 3);
}

/* All kinds of frames of one side, one behind the other. */
static void put_all(enum wire_side side)
{
    buf_clear(&out);
    if (side == WIRE_OF_CLIENT) {
        wire_put_hello(&out, &(struct wire_hello){WIRE_VERSION, 3, STR("me")});
        for (size_t i = 0; i < ARRAY_LEN(questions); i++) wire_put_request(&out, (uint32_t)i, &questions[i]);
        wire_put_watch(&out, 6, &(struct wire_watch){STORE_CONTROL, STR("p"), STR("n"), 1, {1, 2}, {3, 4}});
        wire_put_bare(&out, WIRE_NEXT, 6);
        wire_put_position(&out, WIRE_CONFIRM, 6, (struct store_position){1, 2});
        wire_put_beat(&out, 6, 1);
        wire_put_bare(&out, WIRE_UNWATCH, 6);
        return;
    }
    struct store_job job = {.at = {1, 2}, .entries = entries, .n_entries = ARRAY_LEN(entries)};
    struct store_change c = {STORE_CHANGED, {1, 2}, entries[0]};
    wire_put_welcome(&out, &(struct wire_welcome){WIRE_VERSION, 3});
    wire_put_refused(&out, &(struct wire_refused){WIRE_VERSION, ERR_DENIED});
    wire_put_answer(&out, 1, &job);
    wire_put_watching(&out, 6, ERR_OK);
    wire_put_changes(&out, 6, &c, 1);
    wire_put_position(&out, WIRE_PAGE, 6, (struct store_position){1, 2});
    wire_put_beaten(&out, 6, &(struct wire_beaten){1, 2});
}

/* Reads a body as what its frame says, all of it. */
static enum err read_body(const struct wire_frame *f)
{
    char room[1 << 16];
    struct arena mem;
    arena_init(&mem, room, sizeof room, 0);
    struct store_job job;
    struct wire_answer a;
    struct store_entry entry;
    struct store_change c;
    str body = f->body;
    enum err e = ERR_OK;
    switch (f->type) {
    case WIRE_HELLO: return wire_hello(body, &(struct wire_hello){0});
    case WIRE_REQUEST: return wire_request(body, &mem, &job);
    case WIRE_WATCH: return wire_watch(body, &(struct wire_watch){0});
    case WIRE_NEXT:
    case WIRE_UNWATCH: return wire_bare(body);
    case WIRE_CONFIRM:
    case WIRE_PAGE: return wire_position(body, &(struct store_position){0});
    case WIRE_BEAT: return wire_beat(body, &(uint64_t){0});
    case WIRE_WELCOME: return wire_welcome(body, &(struct wire_welcome){0});
    case WIRE_REFUSED: return wire_refused(body, &(struct wire_refused){0});
    case WIRE_ANSWER:
        e = wire_answer(body, &a);
        while (e == ERR_OK && a.n_entries) e = wire_answer_entry(&a, &entry);
        return e;
    case WIRE_WATCHING: return wire_watching(body, &(enum err){0});
    case WIRE_CHANGES:
        while ((e = wire_change(&body, &c)) == ERR_OK) continue;
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    case WIRE_BEATEN: return wire_beaten(body, &(struct wire_beaten){0});
    }
    return ERR_INVARIANT;
}

static void a_stream_split_anywhere_gives_the_same_frames(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        put_all((enum wire_side)side);
        for (size_t split = 0; split <= out.n; split++) {
            size_t at = 0, have = split, frames = 0;
            while (at < out.n) {
                struct wire_frame f;
                size_t used = 0;
                enum wire_fault fault;
                char *piece = malloc(have - at + 1); /* its own memory: a look behind it is seen */
                memcpy(piece, out.p + at, have - at);
                enum err e =
                    wire_cut(str_make(piece, have - at), (enum wire_side)side, WIRE_BODY_MAX, &f, &used, &fault);
                if (e == ERR_AGAIN) {
                    assert_true(used > have - at);
                    assert_true(have < out.n);
                    have = out.n;
                } else {
                    assert_err(e, ERR_OK);
                    assert_err(read_body(&f), ERR_OK);
                    at += used;
                    frames++;
                }
                free(piece);
            }
            assert_int_equal(frames, side == WIRE_OF_CLIENT ? 6 + ARRAY_LEN(questions) : 7);
        }
    }
}

/* A body that is a byte shorter or longer, or has one byte changed, is refused or read; never read beyond its end. */
static void damaged_bodies_are_refused_or_harmless(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        put_all((enum wire_side)side);
        size_t at = 0;
        while (at < out.n) {
            struct wire_frame f;
            size_t used = 0;
            enum wire_fault fault;
            assert_err(wire_cut(str_from(buf_str(&out), at), (enum wire_side)side, WIRE_BODY_MAX, &f, &used, &fault),
                       ERR_OK);
            at += used;
            for (size_t n = 0; n < f.body.n; n++) {
                char *shorter = malloc(n + 1);
                memcpy(shorter, f.body.p, n);
                struct wire_frame cut = {f.type, f.id, str_make(shorter, n)};
                bool whole = f.type == WIRE_CHANGES && n == 0; /* none at all is a list, too */
                assert_err(read_body(&cut), whole ? ERR_OK : ERR_MALFORMED);
                free(shorter);
            }
            char *other = malloc(f.body.n + 1);
            memcpy(other, f.body.p, f.body.n);
            other[f.body.n] = 0;
            struct wire_frame longer = {f.type, f.id, str_make(other, f.body.n + 1)};
            assert_err(read_body(&longer), ERR_MALFORMED);
            for (size_t i = 0; i < f.body.n; i++) {
                for (int bit = 0; bit < 8; bit++) {
                    other[i] = (char)(f.body.p[i] ^ (1 << bit));
                    struct wire_frame changed = {f.type, f.id, str_make(other, f.body.n)};
                    enum err e = read_body(&changed);
                    assert_true(e == ERR_OK || e == ERR_MALFORMED);
                }
                other[i] = f.body.p[i];
            }
            free(other);
        }
    }
}

static const struct {
    const char *name;
    unsigned char head[WIRE_HEAD];
    enum wire_side from;
    size_t max_body;
    enum err want_err;
    enum wire_fault want_fault;
} heads[] = {
    {"an empty NEXT", {0, 0, 0, 0, WIRE_NEXT, 0, 0, 0, 0, 0, 0, 9}, WIRE_OF_CLIENT, 0, ERR_OK, WIRE_FAULT_NONE},
    {"a body of one byte more than allowed",
     {0, 0, 1, 1, WIRE_HELLO},
     WIRE_OF_CLIENT,
     256,
     ERR_MALFORMED,
     WIRE_FAULT_LENGTH},
    {"the longest body allowed", {0, 0, 1, 0, WIRE_HELLO}, WIRE_OF_CLIENT, 256, ERR_AGAIN, WIRE_FAULT_NONE},
    {"four gigabytes",
     {255, 255, 255, 255, WIRE_REQUEST},
     WIRE_OF_CLIENT,
     WIRE_BODY_MAX,
     ERR_MALFORMED,
     WIRE_FAULT_LENGTH},
    {"type 0", {0}, WIRE_OF_CLIENT, 256, ERR_MALFORMED, WIRE_FAULT_TYPE},
    {"type 8", {0, 0, 0, 0, 8}, WIRE_OF_CLIENT, 256, ERR_MALFORMED, WIRE_FAULT_TYPE},
    {"type 64", {0, 0, 0, 0, 64}, WIRE_OF_SERVER, 256, ERR_MALFORMED, WIRE_FAULT_TYPE},
    {"type 72", {0, 0, 0, 0, 72}, WIRE_OF_SERVER, 256, ERR_MALFORMED, WIRE_FAULT_TYPE},
    {"an answer from a client", {0, 0, 0, 0, WIRE_ANSWER}, WIRE_OF_CLIENT, 256, ERR_MALFORMED, WIRE_FAULT_TYPE},
    {"a request from a server", {0, 0, 0, 0, WIRE_REQUEST}, WIRE_OF_SERVER, 256, ERR_MALFORMED, WIRE_FAULT_TYPE},
    {"a reserved bit", {0, 0, 0, 0, WIRE_NEXT, 0, 1, 0}, WIRE_OF_CLIENT, 256, ERR_MALFORMED, WIRE_FAULT_RESERVED},
    {"HTTP",
     {'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P', '/', '1'},
     WIRE_OF_CLIENT,
     WIRE_BODY_MAX,
     ERR_MALFORMED,
     WIRE_FAULT_LENGTH},
};

static void heads_are_judged_before_their_bodies_come(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct wire_frame f;
        size_t used = 0;
        enum wire_fault fault = WIRE_FAULT_NONE;
        enum err e = wire_cut(str_make((const char *)heads[i].head, WIRE_HEAD), heads[i].from, heads[i].max_body, &f,
                              &used, &fault);
        if (e != heads[i].want_err || fault != heads[i].want_fault)
            fail_msg("%s: %s, %s", heads[i].name, err_name(e), wire_fault_name(fault));
    }
}

static const struct {
    const char *name, *body;
    size_t n;
} bad_requests[] = {
#define B(s) s, sizeof(s) - 1
    {"nothing", B("")},
    {"an unknown kind", B("\4\0")},
    {"an unknown space", B("\3\5")},
    {"a space that wraps", B("\3\377")},
    {"more keys than there may be", B("\0\0\3\351")},
    {"more keys than bytes", B("\0\0\0\5\0\1a")},
    {"a key longer than keys may be", B("\0\0\0\1\2\1")},
    {"a flag that is 2", B("\1\0\2\0\0\0\1\0\0\0\0")},
    {"a limit above the bound", B("\1\0\0\0\0\3\351\0\0\0\0")},
    {"more operations than there may be", B("\2\0\1\1")},
    {"a verb that is none", B("\2\0\0\1\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0k")},
    {"a condition that is none", B("\2\0\0\1\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0k")},
    {"a version nobody asked for", B("\2\0\0\1\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\1\0\0\0\0k")},
    {"a value with a delete", B("\2\0\0\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\1kv")},
    {"an expiry before all time", B("\2\0\0\1\1\0\0\0\0\0\0\0\0\0\200\0\0\0\0\0\0\0\0\1\0\0\0\1kv")},
    {"an expiry with a check", B("\2\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\1\0\0\0\0k")},
    {"a value of 256 MB", B("\2\0\0\1\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\20\0\0\0k")},
#undef B
};

static void requests_out_of_range_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
        struct arena mem;
        struct store_job job;
        arena_init(&mem, NULL, 0, 1 << 16);
        enum err e = wire_request(str_make(bad_requests[i].body, bad_requests[i].n), &mem, &job);
        if (e != ERR_MALFORMED) fail_msg("%s: %s", bad_requests[i].name, err_name(e));
        if (mem.used > 8192) fail_msg("%s: took %zu bytes", bad_requests[i].name, mem.used);
        arena_reset(&mem);
    }
}

static void hellos_must_be_ours(void **state)
{
    (void)state;
    struct wire_hello h;
    static const struct {
        str body;
        enum err want;
        uint16_t version;
    } all[] = {
        {STR_INIT("SPST\0\1\0\0\0\37\0\1a"), ERR_OK, 1},
        {STR_INIT("SPST\0\2whatever"), ERR_OK, 2}, /* of a later version only the version is read */
        {STR_INIT("SPST\0"), ERR_MALFORMED, 0},
        {STR_INIT("SPSU\0\1\0\0\0\37\0\1a"), ERR_MALFORMED, 0},
        {STR_INIT("SPST\0\1\0\0\0\37\0\0"), ERR_MALFORMED, 0}, /* without a name */
        {STR_INIT("SPST\0\1\0\0\0\37\0\1\n"), ERR_MALFORMED, 0},
        {STR_INIT("SPST\0\1\0\0\0\37\0\1\200"), ERR_MALFORMED, 0},
        {STR_INIT("SPST\0\1\0\0\0\37\0\1 "), ERR_MALFORMED, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        assert_err(wire_hello(all[i].body, &h), all[i].want);
        if (all[i].want == ERR_OK) assert_int_equal(h.version, all[i].version);
    }
}

static void the_largest_fit_a_frame_and_no_more(void **state)
{
    (void)state;
    static str most[STORE_RANGE_MAX];
    static struct store_op batch[STORE_OPS_MAX];
    static struct store_entry full[STORE_RANGE_MAX];
    static char bytes[STORE_BATCH_MAX];
    memset(bytes, 'k', sizeof bytes);
    for (size_t i = 0; i < STORE_RANGE_MAX; i++) most[i] = str_make(bytes, STORE_KEY_MAX);
    for (size_t i = 0; i < STORE_OPS_MAX; i++)
        batch[i] = (struct store_op){.verb = STORE_PUT, .key = str_make(bytes, 16), .value = str_make(bytes, 4080)};
    for (size_t i = 0; i < STORE_RANGE_MAX; i++)
        full[i] = (struct store_entry){str_make(bytes, 48), str_make(bytes, 1000), 1, 0};
    wire_put_request(&out, 1, &(struct store_job){.kind = STORE_GET, .keys = most, .n_keys = STORE_RANGE_MAX});
    (void)only(WIRE_OF_CLIENT, WIRE_REQUEST, 1);
    buf_clear(&out);
    wire_put_request(&out, 1, &(struct store_job){.kind = STORE_BATCH, .ops = batch, .n_ops = STORE_OPS_MAX});
    (void)only(WIRE_OF_CLIENT, WIRE_REQUEST, 1);
    buf_clear(&out);
    wire_put_answer(&out, 1, &(struct store_job){.entries = full, .n_entries = STORE_RANGE_MAX});
    (void)only(WIRE_OF_SERVER, WIRE_ANSWER, 1);
}

static void no_memory_is_an_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        buf_clear(&out);
        wire_put_request(&out, 77, &questions[i]);
        struct wire_frame f = only(WIRE_OF_CLIENT, WIRE_REQUEST, 77);
        EACH_ALLOC_FAILING({
            struct arena mem;
            struct store_job got = {.limit = 4711};
            arena_init(&mem, NULL, 0, 1 << 16);
            enum err e = wire_request(f.body, &mem, &got);
            if (e != ERR_OK) assert_err(e, ERR_NO_MEMORY);
            if (e != ERR_OK) assert_int_equal(got.limit, 4711);
            arena_reset(&mem);
        });
    }
    EACH_ALLOC_FAILING({
        struct buf b;
        buf_init(&b, 1 << 20);
        wire_put_request(&b, 1, &questions[4]);
        assert_true(!b.bad || alloc_fail_hit());
        buf_free(&b);
    });
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(questions_come_through),
        TEST(answers_come_through),
        TEST(the_beginning_and_the_watches_come_through),
        TEST(changes_are_cut_into_pieces),
        TEST(a_stream_split_anywhere_gives_the_same_frames),
        TEST(damaged_bodies_are_refused_or_harmless),
        TEST(heads_are_judged_before_their_bodies_come),
        TEST(requests_out_of_range_are_refused),
        TEST(hellos_must_be_ours),
        TEST(the_largest_fit_a_frame_and_no_more),
        TEST(no_memory_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
