/* The event log and its sink: what is written parses back as what was passed in; lines are whole, in each thread's
 * order, and counted when lost; nobody waits for a reader. jansson is the oracle for JSON. */
#include "unit.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/log_line.h"
#include "base/log_sink.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void open_log(int fd, enum log_form form)
{
    const struct log_options o = {.fd = fd, .form = form, .level = LOG_LEVEL_DEBUG, .role = "test"};
    assert_err(log_open(&o), ERR_OK);
}

/* Everything that can be read from fd until it is at its end, or quiet for `quiet_ms`. */
static size_t read_all(int fd, char *out, size_t cap, int quiet_ms)
{
    size_t n = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (n < cap && poll(&p, 1, quiet_ms) > 0) {
        ssize_t got = read(fd, out + n, cap - n);
        if (got <= 0) break;
        n += (size_t)got;
    }
    return n;
}

static json_t *parse(str line)
{
    json_error_t e;
    json_t *j = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    if (!j) fail_msg("%s in %.*s", e.text, STR_ARG(line));
    return j;
}

static str text_of(const json_t *j, const char *name)
{
    const json_t *v = json_object_get(j, name);
    return json_is_string(v) ? str_make(json_string_value(v), json_string_length(v)) : STR_NONE;
}

static json_t *render(enum log_level level, const struct log_field *fields, size_t n)
{
    char line[LOG_LINE_MAX];
    size_t len = log_render(line, level, "gateway", 1795171564123u, false, fields, n);
    assert_true(len > 0 && len <= LOG_LINE_MAX);
    assert_int_equal(line[len - 1], '\n');
    assert_null(memchr(line, '\n', len - 1));
    return parse(str_make(line, len));
}

/* --- what a line says --- */
static void line_has_its_keys(void **state)
{
    (void)state;
    const struct log_field f[] = {log_msg("keys fetched"),     log_trace(STR("0af7651916cd43dd8448eb211c80319c")),
                                  log_decision(STR("01J")),    log_gate(1),
                                  log_str("issuer", STR("c")), log_u64("big", UINT64_MAX / 2),
                                  log_i64("skew", -7),         log_bool("ok", true)};
    json_t *j = render(LOG_LEVEL_WARN, f, ARRAY_LEN(f));
    assert_str(text_of(j, "ts"), STR("2026-11-20T10:46:04.123Z"));
    assert_str(text_of(j, "level"), STR("warn"));
    assert_str(text_of(j, "role"), STR("gateway"));
    assert_str(text_of(j, "msg"), STR("keys fetched"));
    assert_str(text_of(j, "trace_id"), STR("0af7651916cd43dd8448eb211c80319c"));
    assert_str(text_of(j, "decision_id"), STR("01J"));
    assert_int_equal(json_integer_value(json_object_get(j, "gate")), 1);
    assert_int_equal(json_integer_value(json_object_get(j, "big")), (json_int_t)(UINT64_MAX / 2));
    assert_int_equal(json_integer_value(json_object_get(j, "skew")), -7);
    assert_true(json_is_true(json_object_get(j, "ok")));
    json_decref(j);
}

static void values_parse_back(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        str in, want;
    } t[] = {
        {"empty", STR_INIT(""), STR_INIT("")},
        {"quote and backslash", STR_INIT("a\"b\\c\"},{"), STR_INIT("a\"b\\c\"},{")},
        {"line ends", STR_INIT("x\r\n{\"msg\":\"forged\"}\n"), STR_INIT("x\r\n{\"msg\":\"forged\"}\n")},
        {"controls", STR_INIT("\x01\x1f\x7f\x1b[31m\t\b"), STR_INIT("\x01\x1f\x7f\x1b[31m\t\b")},
        {"NUL", STR_INIT("a\0b"), STR_INIT("a\0b")},
        {"UTF-8", STR_INIT("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
         STR_INIT("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80")},
        {"stray byte", STR_INIT("a\x80z"), STR_INIT("a\xef\xbf\xbdz")},
        {"overlong", STR_INIT("\xc0\xaf"), STR_INIT("\xef\xbf\xbd\xef\xbf\xbd")},
        {"surrogate", STR_INIT("\xed\xa0\x80"), STR_INIT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
        {"cut character", STR_INIT("abcdefgh\xe2\x82"), STR_INIT("abcdefgh\xef\xbf\xbd\xef\xbf\xbd")},
        {"quote behind eight", STR_INIT("12345678\"2345678\\"), STR_INIT("12345678\"2345678\\")},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        const struct log_field f[] = {log_msg("m"), log_str("v", t[i].in)};
        json_t *j = render(LOG_LEVEL_INFO, f, 2);
        assert_str(text_of(j, "v"), t[i].want);
        json_decref(j);
    }
}

/* Every byte at every place of a value: the eight-at-once copy must not let one through. */
static void every_byte_everywhere(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++)
        for (size_t at = 0; at < 20; at++) {
            char v[20];
            memset(v, 'x', sizeof v);
            v[at] = (char)c;
            const struct log_field f[] = {log_msg("m"), log_str("v", str_make(v, sizeof v))};
            json_t *j = render(LOG_LEVEL_INFO, f, 2);
            if (c < 0x80)
                assert_str(text_of(j, "v"), str_make(v, sizeof v));
            else
                assert_int_equal(json_string_length(json_object_get(j, "v")), sizeof v + 2);
            json_decref(j);
        }
}

static void long_lines_are_cut_and_say_so(void **state)
{
    (void)state;
    char big[3 * LOG_VALUE_MAX];
    memset(big, 0x01, sizeof big); /* each takes six */
    const struct log_field f[] = {
        log_msg("m"),
        log_str("a", str_make(big, sizeof big)),
        log_str("b", str_make(big, sizeof big)),
        log_str("c", str_make(big, sizeof big)),
        log_str("d", str_make(big, sizeof big)),
        log_u64("last", 5),
    };
    for (size_t n = 2; n <= ARRAY_LEN(f); n++) {
        json_t *j = render(LOG_LEVEL_INFO, f, n);
        assert_true(json_is_true(json_object_get(j, "cut")));
        json_decref(j);
    }
    json_t *j = render(LOG_LEVEL_INFO, f, ARRAY_LEN(f));
    assert_int_equal(json_integer_value(json_object_get(j, "last")), 5);
    json_decref(j);
}

#define KEY     "sp_dev_abcdefgh_0123456789abcdefABCDEF"
#define JWS     "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
#define REFRESH "sr_0123456789abcdef_0123456789abcdefABCDEF0123456789"
#define SECRET  "ss_0123456789abcdefABCDEF0123456789abcdef01"
static void secrets_are_not_written(void **state)
{
    (void)state;
    static const struct {
        str in, want;
    } t[] = {
        {STR_INIT(JWS), STR_INIT("[redacted]")},
        {STR_INIT("Bearer " JWS ", x"), STR_INIT("Bearer [redacted], x")},
        {STR_INIT("/a/" KEY "/b"), STR_INIT("/a/[redacted]/b")},
        {STR_INIT(KEY " " JWS " " KEY), STR_INIT("[redacted] [redacted] [redacted]")},
        {STR_INIT("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9"), STR_INIT("[redacted]")},
        {STR_INIT("eyJhbGciOiJSUzI1NiJ9"), STR_INIT("eyJhbGciOiJSUzI1NiJ9")},
        {STR_INIT("/r/" REFRESH "/b"), STR_INIT("/r/[redacted]/b")},
        {STR_INIT(SECRET " " REFRESH), STR_INIT("[redacted] [redacted]")},
        {STR_INIT("sr_0123456789abcdefg_0123456789abcdefg"), STR_INIT("sr_0123456789abcdefg_0123456789abcdefg")},
        {STR_INIT("/class_0123456789/users_all_of_them"), STR_INIT("/class_0123456789/users_all_of_them")},
        {STR_INIT("/users/sp_dev_short_0123456789abcdef"), STR_INIT("/users/sp_dev_short_0123456789abcdef")},
        {STR_INIT("/orders/PROJECT_7/items_and_more"), STR_INIT("/orders/PROJECT_7/items_and_more")},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        const struct log_field f[] = {log_msg("m"), log_str("v", t[i].in)};
        json_t *j = render(LOG_LEVEL_INFO, f, 2);
        assert_str(text_of(j, "v"), t[i].want);
        json_decref(j);
    }
    /* Too small a room never lets a piece of a secret through. */
    for (size_t cap = 0; cap < 80; cap++) {
        char room[80];
        str got = log_redact(STR("k=" KEY " j=" JWS), room, cap);
        assert_true(got.n <= cap);
        assert_null(memmem(got.p, got.n, "sp_", 3));
        assert_null(memmem(got.p, got.n, "eyJ", 3));
    }
}

static void text_cannot_steer_a_terminal(void **state)
{
    (void)state;
    char line[LOG_LINE_MAX];
    const struct log_field f[] = {log_msg("started"),
                                  log_str("path", STR("/a\x1b]0;x\x07\xc2\x9b"
                                                      "2J\xe2\x80\xae.\xef\xbb\xbf")),
                                  log_str("plain", STR("word")), log_str("none", STR_NONE), log_u64("n", 3)};
    size_t n = log_render(line, LOG_LEVEL_ERROR, "gateway", 1795171564123u, true, f, ARRAY_LEN(f));
    assert_str(str_make(line, n),
               STR("10:46:04.123 error started path=\"/a\\u001b]0;x\\u0007\\u009b2J\\u202e.\\ufeff\" "
                   "plain=word none=\"\" n=3\n"));
}

static void levels_have_names(void **state)
{
    (void)state;
    for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++) {
        enum log_level level;
        assert_err(log_level_of(str_of(log_level_name((enum log_level)i)), &level), ERR_OK);
        assert_int_equal(level, i);
    }
    enum log_level untouched = LOG_LEVEL_WARN;
    assert_err(log_level_of(STR("loud"), &untouched), ERR_MALFORMED);
    assert_err(log_level_of(STR("off"), &untouched), ERR_MALFORMED);
    assert_int_equal(untouched, LOG_LEVEL_WARN);
}

/* --- the sink --- */
static void events_arrive_and_levels_filter(void **state)
{
    (void)state;
    int p[2];
    char got[16384];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    open_log(p[1], LOG_FORM_AUTO);
    const struct log_options again = {.fd = p[1]};
    assert_err(log_open(&again), ERR_CONFLICT);
    assert_false(log_is_text());
    log_event(LOG_LEVEL_INFO, log_msg("one"));
    log_set_level(LOG_LEVEL_WARN);
    log_event(LOG_LEVEL_INFO, log_msg("hidden"));
    log_event(LOG_LEVEL_ERROR, log_msg("two"), log_u64("n", 2));
    log_set_level(LOG_LEVEL_OFF);
    log_event(LOG_LEVEL_ERROR, log_msg("hidden"));
    assert_err(log_close(), ERR_OK);
    assert_err(log_close(), ERR_OK);
    close(p[1]);
    str rest = str_make(got, read_all(p[0], got, sizeof got, 100));
    close(p[0]);
    for (int i = 0; i < 2; i++) {
        json_t *j = parse(str_cut(&rest, '\n'));
        assert_str(text_of(j, "msg"), i ? STR("two") : STR("one"));
        assert_str(text_of(j, "role"), STR("test"));
        json_decref(j);
    }
    assert_int_equal(rest.n, 0);
}

/* The journal's stream gets priorities; any other one, whatever the environment says, does not. */
static void priorities_for_the_journal(void **state)
{
    (void)state;
    static const struct {
        enum log_level level;
        const char *begins;
    } rows[] = {{LOG_LEVEL_DEBUG, "<7>{"},
                {LOG_LEVEL_INFO, "<6>{"},
                {LOG_LEVEL_WARN, "<4>{"},
                {LOG_LEVEL_ERROR, "<3>{"}};
    static const char *const other[] = {"", "1", "1:2", "1:2:3", ":", "x:y", "18446744073709551616:1"};
    char stream[64], got[4096];
    for (unsigned way = 0; way <= ARRAY_LEN(other); way++) {
        int p[2];
        struct stat st;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
        assert_int_equal(fstat(p[1], &st), 0);
        snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", way < ARRAY_LEN(other) ? other[way] : stream, 1), 0);
        open_log(p[1], LOG_FORM_AUTO);
        assert_int_equal(log_has_priority(), way == ARRAY_LEN(other));
        log_set_level(LOG_LEVEL_DEBUG);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) log_event(rows[i].level, log_msg("line"));
        assert_err(log_close(), ERR_OK);
        close(p[1]);
        str rest = str_make(got, read_all(p[0], got, sizeof got, 100));
        close(p[0]);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            str line = str_cut(&rest, '\n');
            bool with = way == ARRAY_LEN(other);
            assert_true(str_starts(line, with ? str_of(rows[i].begins) : STR("{")));
            json_decref(parse(str_from(line, with ? 3 : 0)));
        }
        assert_int_equal(rest.n, 0);
    }
    unsetenv("JOURNAL_STREAM");
}

/* A sleeping sink notices a single line at once, however long it slept. */
static void sleeping_sink_is_woken(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    open_log(p[1], LOG_FORM_JSON);
    for (int i = 0; i < 12; i++) {
        char got[512];
        usleep((useconds_t)(i * 20000)); /* through running, napping and sleeping */
        log_event(LOG_LEVEL_INFO, log_msg("tick"));
        struct pollfd f = {.fd = p[0], .events = POLLIN};
        assert_int_equal(poll(&f, 1, 1000), 1);
        assert_true(read(p[0], got, sizeof got) > 0);
    }
    assert_err(log_close(), ERR_OK);
    close(p[0]);
    close(p[1]);
}

enum { THREADS = 4, LINES = 20000 };

/* Lines of very different length through a producer of its own, and an event (same producer) in between. */
static void *produce(void *arg)
{
    unsigned id = *(const unsigned *)arg;
    struct log_producer *p = log_attach();
    assert_non_null(p);
    assert_ptr_equal(p, log_attach());
    for (unsigned i = 0; i < LINES; i++) {
        size_t fill = (i * 2654435761u >> 8) % 700;
        char *room = log_room(p, fill + 64);
        if (room) {
            int n = snprintf(room, 64, "%u %u ", id, i);
            memset(room + n, 'a' + (int)id, fill);
            room[(size_t)n + fill] = '\n';
            log_commit(p, (size_t)n + fill + 1);
        }
        if (i % 16 == 0) log_turn(p);
        if (i % 512 == 0) usleep(1000);
    }
    log_turn(p);
    log_detach();
    log_detach();
    return NULL;
}

struct reader {
    int fd;
    unsigned long lines[THREADS];
    unsigned last[THREADS];
    unsigned long others, torn, disorder;
};

static void read_line(struct reader *r, str line)
{
    unsigned id = 99, i = 0;
    int at = 0;
    char copy[LOG_LINE_MAX];
    snprintf(copy, sizeof copy, "%.*s", STR_ARG(line));
    if (line.n && line.p[0] == '{') {
        r->others++;
        return;
    }
    if (sscanf(copy, "%u %u %n", &id, &i, &at) != 2 || id >= THREADS) {
        r->torn++;
        return;
    }
    if (line.n - (size_t)at != (i * 2654435761u >> 8) % 700) r->torn++;
    for (size_t k = (size_t)at; k < line.n; k++)
        if (line.p[k] != (char)('a' + (int)id)) r->torn++;
    if (r->lines[id] && i <= r->last[id]) r->disorder++;
    r->last[id] = i;
    r->lines[id]++;
}

static void *consume(void *arg)
{
    struct reader *r = arg;
    static char b[1 << 17];
    size_t n = 0;
    ssize_t got;
    while ((got = read(r->fd, b + n, sizeof b - n)) > 0) {
        n += (size_t)got;
        size_t from = 0;
        char *end;
        while ((end = memchr(b + from, '\n', n - from))) {
            read_line(r, str_make(b + from, (size_t)(end - b) - from));
            from = (size_t)(end - b) + 1;
        }
        memmove(b, b + from, n - from);
        n -= from;
    }
    if (n) r->torn++;
    return NULL;
}

/* Another process that has the same pipe for its own lines. */
static void *write_beside(void *arg)
{
    const int *fd = arg;
    for (int i = 0; i < 3000; i++) {
        if (write(*fd, "{\"beside\":1}\n", 13) != 13) break;
        if (i % 32 == 0) usleep(500);
    }
    return NULL;
}

static void four_threads_one_descriptor(void **state)
{
    (void)state;
    int p[2];
    pthread_t threads[THREADS], reading, beside;
    unsigned ids[THREADS];
    struct reader r = {0};
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    r.fd = p[0];
    assert_int_equal(pthread_create(&beside, NULL, write_beside, &p[1]), 0);
    uint64_t before = log_dropped();
    open_log(p[1], LOG_FORM_JSON);
    assert_int_equal(pthread_create(&reading, NULL, consume, &r), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        ids[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &ids[i]), 0);
    }
    for (int i = 0; i < 200; i++) log_event(LOG_LEVEL_INFO, log_msg("between")); /* through the shared producer */
    for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    assert_err(log_close(), ERR_OK);
    pthread_join(beside, NULL);
    close(p[1]);
    pthread_join(reading, NULL);
    close(p[0]);
    unsigned long sum = r.others;
    for (int i = 0; i < THREADS; i++) sum += r.lines[i];
    uint64_t lost = log_dropped() - before;
    assert_int_equal(r.torn, 0);
    assert_int_equal(r.disorder, 0);
    /* The sink may have said up to a few times that lines were lost: those come on top. */
    assert_in_range(sum + lost, THREADS * LINES + 3200, THREADS * LINES + 3200 + 30);
    if (!lost) assert_int_equal(sum, THREADS * LINES + 3200);
    assert_true(lost < THREADS * LINES);
}

/* Nobody reads: producing goes on at full speed, what is lost is counted, and said once somebody reads again. */
static void full_pipe_drops_and_counts(void **state)
{
    (void)state;
    int p[2];
    static char got[4 << 20];
    enum { N = 50000 };
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    uint64_t before = log_dropped();
    open_log(p[1], LOG_FORM_JSON);
    struct log_producer *own = log_attach();
    assert_non_null(own);
    uint64_t started = clock_mono_ns(), kept = 0;
    for (unsigned i = 0; i < N; i++) {
        char *room = log_room(own, 100);
        if (room) {
            memset(room, 'q', 99);
            room[99] = '\n';
            log_commit(own, 100);
            kept++;
        }
        log_turn(own);
    }
    assert_true(clock_mono_ns() - started < 2000000000u);
    assert_int_equal(log_dropped() - before, N - kept);
    assert_true(kept < N && kept > 100);
    usleep(1100000); /* the report of what was lost waits a second after the last one */
    size_t n = 0;
    for (int i = 0; i < 20; i++) { /* reading makes room, a new line wakes the sink */
        n += read_all(p[0], got + n, sizeof got - n, 20);
        log_event(LOG_LEVEL_INFO, log_msg("again"));
    }
    log_detach();
    assert_err(log_close(), ERR_OK);
    n += read_all(p[0], got + n, sizeof got - n, 20);
    close(p[0]);
    close(p[1]);
    uint64_t lines = 0, reports = 0;
    for (str rest = str_make(got, n); rest.n;) {
        str line = str_cut(&rest, '\n');
        if (line.n && line.p[0] == '{') {
            json_t *j = parse(line);
            if (json_object_get(j, "lines_since_start")) {
                reports++;
                assert_int_equal(json_integer_value(json_object_get(j, "lines_since_start")), (json_int_t)(N - kept));
            }
            json_decref(j);
            continue;
        }
        assert_int_equal(line.n, 99);
        lines++;
    }
    assert_int_equal(lines, kept);
    assert_true(reports >= 1);
}

static void close_is_bounded(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    open_log(p[1], LOG_FORM_JSON);
    for (unsigned i = 0; i < 3000; i++) log_event(LOG_LEVEL_INFO, log_msg("nobody reads this"));
    uint64_t started = clock_mono_ns();
    assert_err(log_close(), ERR_TIMEOUT);
    uint64_t took = clock_mono_ns() - started;
    assert_in_range(took / 1000000u, 1900, 3000);
    close(p[0]); /* lets the abandoned thread go on and end */
    usleep(50000);
}

static void reader_that_left_is_no_signal(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    uint64_t before = log_dropped();
    open_log(p[1], LOG_FORM_JSON);
    close(p[0]);
    for (unsigned i = 0; i < 10; i++) log_event(LOG_LEVEL_INFO, log_msg("gone"));
    assert_err(log_close(), ERR_OK);
    assert_int_equal(log_dropped() - before, 10);
    close(p[1]);
}

/* A non-blocking socket with little room: every write is partial, some are refused. */
static void partial_writes_tear_nothing(void **state)
{
    (void)state;
    int s[2], small = 4096;
    pthread_t reading;
    struct reader r = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
    setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    assert_int_equal(fcntl(s[0], F_SETFL, 0), 0);
    r.fd = s[0];
    uint64_t before = log_dropped();
    open_log(s[1], LOG_FORM_JSON);
    assert_int_equal(pthread_create(&reading, NULL, consume, &r), 0);
    unsigned id = 2;
    produce(&id);
    assert_err(log_close(), ERR_OK);
    close(s[1]);
    pthread_join(reading, NULL);
    close(s[0]);
    assert_int_equal(r.torn, 0);
    assert_int_equal(r.disorder, 0);
    assert_in_range(r.lines[2] + (log_dropped() - before), LINES, LINES);
}

/* Once attached, a line costs no allocation. */
static void hot_path_allocates_nothing(void **state)
{
    (void)state;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    open_log(null, LOG_FORM_JSON);
    struct log_producer *own = log_attach();
    assert_non_null(own);
    alloc_fail_at(0);
    for (unsigned i = 0; i < 10000; i++) {
        char *room = log_room(own, 200);
        if (room) {
            memset(room, '\n', 200);
            log_commit(own, 200);
        }
        log_turn(own);
        log_event(LOG_LEVEL_INFO, log_msg("event"), log_str("v", STR("\"\"\"")));
    }
    bool hit = alloc_fail_hit();
    alloc_fail_at(-1);
    assert_false(hit);
    log_detach();
    assert_err(log_close(), ERR_OK);
    close(null);
}

static void opening_survives_lack_of_memory(void **state)
{
    (void)state;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    const struct log_options o = {.fd = null, .form = LOG_FORM_JSON, .level = LOG_LEVEL_INFO};
    unsigned failed = 0;
    EACH_ALLOC_FAILING({
        enum err e = log_open(&o);
        alloc_fail_at(-1);
        if (e != ERR_OK) {
            assert_err(e, ERR_NO_MEMORY);
            failed++;
            alloc_fail_at(0);
            void *burnt UNUSED = malloc(1); /* so that the loop goes on */
        }
        log_event(LOG_LEVEL_DEBUG, log_msg("below the level: not written, sink or not"));
        assert_err(log_close(), ERR_OK);
    });
    assert_true(failed > 0);
    close(null);
}

static void numbers_of_every_length(void **state)
{
    (void)state;
    for (uint64_t power = 1, last = 0; power > last; last = power, power *= power > UINT64_MAX / 10 ? 0 : 10) {
        const uint64_t values[] = {power - 1, power, power + 1, power * 7 + 3, UINT64_MAX - power};
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            char room[64], want[32];
            struct log_line l = {.p = room, .cap = sizeof room};
            int n = snprintf(want, sizeof want, "%llu", (unsigned long long)values[i]);
            log_line_u64(&l, values[i]);
            assert_str(str_make(room, l.n), str_make(want, (size_t)n));
            struct log_line tight = {.p = room, .cap = (size_t)n - 1};
            log_line_u64(&tight, values[i]);
            assert_true(tight.cut && tight.n == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_every_length),
        cmocka_unit_test(line_has_its_keys),
        cmocka_unit_test(values_parse_back),
        cmocka_unit_test(every_byte_everywhere),
        cmocka_unit_test(long_lines_are_cut_and_say_so),
        cmocka_unit_test(secrets_are_not_written),
        cmocka_unit_test(text_cannot_steer_a_terminal),
        cmocka_unit_test(levels_have_names),
        cmocka_unit_test(events_arrive_and_levels_filter),
        cmocka_unit_test(priorities_for_the_journal),
        cmocka_unit_test(sleeping_sink_is_woken),
        cmocka_unit_test(four_threads_one_descriptor),
        cmocka_unit_test(full_pipe_drops_and_counts),
        cmocka_unit_test(close_is_bounded),
        cmocka_unit_test(reader_that_left_is_no_signal),
        cmocka_unit_test(partial_writes_tear_nothing),
        cmocka_unit_test(hot_path_allocates_nothing),
        cmocka_unit_test(opening_survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
