/* The audit record: whatever is done to its files is found, whatever happens to its process is survived. */
#include "unit.h"

#include "audit/audit.h"
#include "audit/read.h"
#include "base/buf.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char key_bytes[AUDIT_KEY_LEN] = "0123456789abcdef0123456789abcde";
static const char other_key[AUDIT_KEY_LEN] = "0123456789abcdef0123456789abcdX";
#define KEY str_make(key_bytes, sizeof key_bytes)

/* --- a store that remembers one head --- */
struct fake {
    struct store store;
    struct loop *loop;
    struct store_job *job;
    struct mail mail;
    struct store_entry entry;
};
static struct {
    char value[256], key[64];
    size_t n, key_n;
    bool there, away; /* away: every job fails */
} kept;

static _Atomic int kept_puts; /* what another thread may look at while the chain runs */

static void fake_answer(struct mail *m, void *owner)
{
    struct fake *f = CONTAINER_OF(m, struct fake, mail);
    struct store_job *job = f->job;
    (void)owner;
    f->job = NULL;
    job->err = kept.away ? ERR_CLOSED : ERR_OK;
    if (!kept.away && job->kind == STORE_GET) {
        f->entry = (struct store_entry){.key = job->keys[0], .version = kept.there};
        f->entry.value = str_make(kept.value, kept.n);
        job->entries = &f->entry;
        job->n_entries = 1;
    } else if (!kept.away) {
        memcpy(kept.value, job->ops[0].value.p, kept.n = job->ops[0].value.n);
        memcpy(kept.key, job->ops[0].key.p, kept.key_n = job->ops[0].key.n);
        kept.there = true;
        kept_puts++;
    }
    job->done(job);
}

static void fake_submit(struct store *s, struct store_job *job)
{
    struct fake *f = CONTAINER_OF(s, struct fake, store);
    f->job = job;
    f->mail.on_mail = fake_answer;
    mail_post(f->loop, &f->mail);
}

static void fake_free(struct store *s)
{
    free(CONTAINER_OF(s, struct fake, store));
}

static const struct store_ops fake_ops = {.submit = fake_submit, .free = fake_free};

static struct store *fake_new(void *ctx, struct loop *loop)
{
    (void)ctx;
    struct fake *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->store.ops = &fake_ops;
    f->store.loop = f->loop = loop;
    return &f->store;
}

/* --- a folder for each test --- */
static char folder[64];
static struct rlimit size_limit;

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/sallyport-audit-XXXXXX");
    memset(&kept, 0, sizeof kept);
    return mkdtemp(folder) ? 0 : -1;
}

static void in_folder(char out[512], const char *name)
{
    (void)snprintf(out, 512, "%s/%s", folder, name);
}

static int teardown(void **state)
{
    (void)state;
    if (size_limit.rlim_cur) (void)setrlimit(RLIMIT_FSIZE, &size_limit);
    DIR *d = opendir(folder);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[512];
        in_folder(path, e->d_name);
        (void)unlink(path);
    }
    if (d) closedir(d);
    (void)chmod(folder, 0700);
    return rmdir(folder);
}

static struct audit *open_it(uint64_t segment_bytes, bool with_store)
{
    struct audit *a;
    enum audit_fault fault;
    struct audit_options o = {.folder = folder, .chain = "run", .key = KEY, .segment_bytes = segment_bytes};
    if (with_store) o.store_new = fake_new;
    enum err e = audit_open(&o, &a, &fault);
    if (e != ERR_OK) fail_msg("audit_open: %s: %s", err_name(e), audit_fault_text(fault));
    return a;
}

static struct audit_verdict verify_with(str key, bool head, bool later)
{
    struct audit_verdict v[AUDIT_CHAINS_MAX];
    struct audit_known_head h;
    size_t n = 0;
    struct audit_verify_options o = {.folder = folder, .key = key, .later = later};
    if (head) {
        assert_err(audit_known_head_read(str_make(kept.key, kept.key_n), str_make(kept.value, kept.n), &h), ERR_OK);
        o.heads = &h;
        o.n_heads = 1;
    }
    assert_err(audit_verify(&o, v, &n), ERR_OK);
    assert_int_equal(n, 1);
    return v[0];
}

static void assert_whole(struct audit_verdict v)
{
    if (v.broken) fail_msg("%s:%llu: %s", v.file, (unsigned long long)v.line, v.what);
}

static void slurp(const char *name, struct buf *out)
{
    char path[512], piece[4096];
    size_t n;
    in_folder(path, name);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    buf_init(out, 64 << 20);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0) buf_put(out, str_make(piece, n));
    (void)fclose(f);
}

static void spill(const char *name, str text)
{
    char path[512];
    in_folder(path, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    assert_int_equal(fclose(f), 0);
}

/* A chain of a few segments, ended in order. */
static void make_chain(uint64_t records, uint64_t segment_bytes)
{
    struct audit *a = open_it(segment_bytes, true);
    for (uint64_t i = 0; i < records; i++) {
        char who[32];
        int n = snprintf(who, sizeof who, "uid %llu", (unsigned long long)i);
        audit_event(a, &(struct audit_record){.event = AUDIT_USER_ADDED,
                                              .who = str_make(who, (size_t)n),
                                              .subject = STR("alice"),
                                              .detail = STR("a \"quoted\" name\n")});
        if (i % 8 == 7) usleep(2000); /* several writes, and segments between them */
    }
    audit_close(&a);
}

/* --- the good case --- */

static void goes_on_over_restarts_and_segments(void **state)
{
    (void)state;
    make_chain(40, 4096);
    make_chain(5, 4096);
    struct audit_verdict v = verify_with(KEY, true, false);
    assert_whole(v);
    assert_true(v.keyed && v.head_known);
    assert_true(v.segments > 2);
    assert_true(v.seals >= v.segments);
    assert_int_equal(v.unsealed, 0);
    assert_true(v.records >= 45 + 4); /* started, stopped */
    struct stat st;
    char path[512];
    in_folder(path, "run-000001.jsonl");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_whole(verify_with(STR_NONE, false, false));
}

static void another_key_is_found(void **state)
{
    (void)state;
    make_chain(3, 0);
    struct audit_verdict v = verify_with(str_make(other_key, sizeof other_key), false, false);
    assert_true(v.broken);
    assert_non_null(strstr(v.what, "seal"));
}

static void a_second_process_is_kept_out(void **state)
{
    (void)state;
    struct audit *a = open_it(0, false), *b;
    enum audit_fault fault;
    struct audit_options o = {.folder = folder, .chain = "run", .key = KEY};
    assert_err(audit_open(&o, &b, &fault), ERR_CONFLICT);
    assert_int_equal(fault, AUDIT_FAULT_TAKEN);
    audit_close(&a);
    assert_int_equal(chmod(folder, 0770), 0);
    assert_err(audit_open(&o, &b, &fault), ERR_DENIED);
    assert_int_equal(fault, AUDIT_FAULT_FOLDER);
    assert_int_equal(chmod(folder, 0700), 0);
    o.chain = "Run";
    assert_err(audit_open(&o, &b, &fault), ERR_MALFORMED);
    o.chain = "run";
    o.key = STR("short");
    assert_err(audit_open(&o, &b, &fault), ERR_MALFORMED);
    assert_int_equal(fault, AUDIT_FAULT_NAME);
}

/* --- tampering --- */
enum damage { CHANGE, REMOVE, SWAP, INSERT, DAMAGES };

static bool damaged(struct buf *out, str text, size_t line, enum damage how)
{
    str rest = text, lines[512];
    size_t n = 0;
    while (rest.n && n < ARRAY_LEN(lines)) lines[n++] = str_cut(&rest, '\n');
    if (line >= n || (how == SWAP && line + 1 >= n)) return false;
    for (size_t i = 0; i < n; i++) {
        str s = lines[i];
        if (i == line && how == REMOVE) continue;
        if (i == line && how == SWAP) s = lines[i + 1];
        if (i == line + 1 && how == SWAP) s = lines[i - 1];
        if (i == line && how == INSERT) {
            buf_put(out, s);
            buf_putc(out, '\n');
        }
        size_t at = out->n;
        buf_put(out, s);
        if (i == line && how == CHANGE) { /* one letter, and the line still parses */
            char *p = memmem(out->p + at, s.n, "\"outcome\":\"o", 12);
            assert_non_null(p);
            p[11] = 'x';
        }
        buf_putc(out, '\n');
    }
    return true;
}

static void every_damage_to_every_line_is_found(void **state)
{
    (void)state;
    make_chain(25, 4096);
    assert_whole(verify_with(KEY, true, false));
    size_t tried = 0;
    for (int segment = 1;; segment++) {
        char name[64], path[512];
        (void)snprintf(name, sizeof name, "run-%06d.jsonl", segment);
        in_folder(path, name);
        if (access(path, F_OK) != 0) break;
        struct buf good;
        slurp(name, &good);
        for (int how = 0; how < DAMAGES; how++) {
            for (size_t line = 0;; line++) {
                struct buf bad;
                buf_init(&bad, 64 << 20);
                if (!damaged(&bad, buf_str(&good), line, (enum damage)how)) {
                    buf_free(&bad);
                    break;
                }
                spill(name, buf_str(&bad));
                struct audit_verdict v = verify_with(KEY, true, false);
                if (!v.broken) fail_msg("%s line %zu damage %d is not found", name, line + 1, how);
                /* The place it names is the damaged one or the next, in this file or at the start of the next. */
                uint64_t at = line + 1;
                bool here = strcmp(v.file, name) == 0 && v.line >= at && v.line <= at + 1;
                bool next = strcmp(v.file, name) > 0 && v.line == 1;
                if (!here && !next)
                    fail_msg("%s line %zu damage %d is said to be at %s:%llu", name, line + 1, how, v.file,
                             (unsigned long long)v.line);
                buf_free(&bad);
                tried++;
            }
        }
        spill(name, buf_str(&good));
        buf_free(&good);
    }
    assert_true(tried > 100);
    assert_whole(verify_with(KEY, true, false));
}

static void every_changed_byte_is_found(void **state)
{
    (void)state;
    make_chain(2, 0);
    struct buf b;
    slurp("run-000001.jsonl", &b);
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] ^= 1;
        spill("run-000001.jsonl", buf_str(&b));
        if (!verify_with(KEY, true, false).broken) fail_msg("byte %zu can be changed", i);
        b.p[i] ^= 1;
    }
    buf_free(&b);
}

static void missing_segments_are_found(void **state)
{
    (void)state;
    char path[512];
    make_chain(60, 4096);
    in_folder(path, "run-000002.jsonl");
    assert_int_equal(unlink(path), 0);
    struct audit_verdict v = verify_with(KEY, true, false);
    assert_true(v.broken);
    assert_string_equal(v.file, "run-000002.jsonl");
    in_folder(path, "run-000001.jsonl");
    assert_int_equal(unlink(path), 0);
    v = verify_with(KEY, true, false);
    assert_true(v.broken); /* the oldest are missing, and nobody said that they are kept elsewhere */
    assert_whole(verify_with(KEY, true, true));
    teardown(NULL);
    assert_int_equal(mkdir(folder, 0700), 0);
    v = verify_with(KEY, true, false); /* nothing is left but what the store knows */
    assert_true(v.broken);
}

static void a_cut_off_tail_is_found_and_recorded(void **state)
{
    (void)state;
    make_chain(10, 0);
    struct buf b;
    slurp("run-000001.jsonl", &b);
    b.n--;
    while (b.n && b.p[b.n - 1] != '\n') b.n--; /* the seal */
    spill("run-000001.jsonl", buf_str(&b));
    buf_free(&b);
    assert_whole(verify_with(KEY, false, false)); /* the files alone cannot tell */
    struct audit_verdict v = verify_with(KEY, true, false);
    assert_true(v.broken);
    assert_non_null(strstr(v.what, "cut off"));
    make_chain(1, 0); /* and the next start says so for ever */
    slurp("run-000001.jsonl", &b);
    assert_non_null(memmem(b.p, b.n, "chain_broken", 12));
    buf_free(&b);
    assert_whole(verify_with(KEY, true, false));
}

static void a_rewritten_end_is_found_by_its_seal(void **state)
{
    (void)state;
    make_chain(4, 0);
    char path[512];
    in_folder(path, "run-000001.jsonl");
    assert_int_equal(unlink(path), 0);
    /* Somebody writes a whole chain of his own, with a key of his own. */
    struct audit *a;
    enum audit_fault fault;
    struct audit_options o = {.folder = folder, .chain = "run", .key = str_make(other_key, sizeof other_key)};
    assert_err(audit_open(&o, &a, &fault), ERR_OK);
    audit_close(&a);
    assert_true(verify_with(KEY, false, false).broken);
    assert_true(verify_with(STR_NONE, true, false).broken);
}

/* --- life and death of the process --- */

static void killed_it_goes_on_from_the_last_whole_record(void **state)
{
    (void)state;
    for (int round = 0; round < 25; round++) {
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct audit *a = open_it(16384, false);
            for (;;)
                for (int i = 0; i < 50; i++)
                    audit_event(a, &(struct audit_record){.event = AUDIT_LOGIN, .subject = STR("alice"), .count = 1});
        }
        char path[512];
        struct stat st = {0};
        in_folder(path, "run-000001.jsonl");
        while (stat(path, &st) != 0 || st.st_size == 0) usleep(500);
        usleep((useconds_t)(round * 1700));
        assert_int_equal(kill(child, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* it did not end by itself */
        assert_whole(verify_with(KEY, false, false));
    }
    struct audit *a = open_it(0, false);
    audit_close(&a);
    struct audit_verdict v = verify_with(KEY, false, false);
    assert_whole(v);
    assert_int_equal(v.unfinished, 0);
    assert_true(v.records > 100);
}

static void an_unfinished_line_is_cut_off(void **state)
{
    (void)state;
    struct buf b;
    make_chain(3, 0);
    slurp("run-000001.jsonl", &b);
    for (size_t cut = 1; cut < 400; cut += 37) {
        spill("run-000001.jsonl", str_first(buf_str(&b), b.n - cut));
        make_chain(1, 0);
        struct audit_verdict v = verify_with(KEY, false, false);
        assert_whole(v);
    }
    buf_free(&b);
    slurp("run-000001.jsonl", &b);
    assert_non_null(memmem(b.p, b.n, "were cut off", 12));
    buf_free(&b);
    spill("run-000001.jsonl", STR("no record\n"));
    struct audit *a;
    enum audit_fault fault;
    struct audit_options o = {.folder = folder, .chain = "run", .key = KEY};
    assert_err(audit_open(&o, &a, &fault), ERR_MALFORMED);
    assert_int_equal(fault, AUDIT_FAULT_CHAIN);
}

struct waiting {
    struct audit_wait wait;
    bool done;
};

static void on_done(struct audit_wait *w)
{
    CONTAINER_OF(w, struct waiting, wait)->done = true;
}

static enum err record_and_wait(struct audit *a, struct loop *loop)
{
    struct waiting w = {.wait = {.done = on_done}};
    audit_event_then(a, &(struct audit_record){.event = AUDIT_REVOKED, .subject = STR("alice")}, loop, &w.wait);
    assert_false(w.done);
    for (int i = 0; i < 500 && !w.done; i++) loop_turn(loop, 10);
    assert_true(w.done);
    return w.wait.err;
}

static void a_full_disk_is_told_and_overcome(void **state)
{
    (void)state;
    struct rlimit tight;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &size_limit), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    struct loop *loop = loop_new(NULL);
    struct audit *a = open_it(0, true);
    assert_err(record_and_wait(a, loop), ERR_OK);
    for (rlim_t room = 600; room < 1400; room += 250) {
        tight = size_limit;
        tight.rlim_cur = room;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        while (record_and_wait(a, loop) == ERR_OK) {
        }
        assert_false(audit_ready(a));
        assert_whole(verify_with(KEY, false, false)); /* nothing half of it is there */
        for (int i = 0; i < 10; i++) audit_event(a, &(struct audit_record){.event = AUDIT_LOGIN});
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &size_limit), 0);
        for (int i = 0; i < 400 && !audit_ready(a); i++) usleep(10000);
        assert_true(audit_ready(a));
        assert_err(record_and_wait(a, loop), ERR_OK);
    }
    struct audit_counts c;
    audit_count(a, &c);
    assert_true(c.lost > 0 && c.errors > 0);
    audit_close(&a);
    loop_free(&loop);
    assert_whole(verify_with(KEY, true, false));
    struct buf b;
    slurp("run-000001.jsonl", &b);
    assert_non_null(memmem(b.p, b.n, "records_lost", 12)); /* the gap is in the record */
    buf_free(&b);
}

static void memory_may_be_out_when_it_opens(void **state)
{
    (void)state;
    EACH_ALLOC_FAILING({
        struct audit *a = NULL;
        enum audit_fault fault;
        struct audit_options o = {.folder = folder, .chain = "run", .key = KEY};
        enum err e = audit_open(&o, &a, &fault);
        if (e == ERR_OK)
            audit_close(&a);
        else if (e != ERR_NO_MEMORY || fault != AUDIT_FAULT_MEMORY)
            fail_msg("%s", err_name(e));
    });
    assert_whole(verify_with(KEY, false, false));
    EACH_ALLOC_FAILING({
        struct audit_verdict v[AUDIT_CHAINS_MAX];
        size_t n;
        enum err e = audit_verify(&(struct audit_verify_options){.folder = folder, .key = KEY}, v, &n);
        if (e != ERR_OK) assert_err(e, ERR_NO_MEMORY);
    });
}

/* --- what a record says --- */

static void floods_are_folded(void **state)
{
    (void)state;
    enum { SAME = 100000, DISTINCT = 3000 };
    struct audit *a = open_it(0, false);
    for (int i = 0; i < SAME; i++)
        audit_event(a, &(struct audit_record){.event = AUDIT_REFUSED,
                                              .outcome = AUDIT_NO,
                                              .reason = STR("token_expired"),
                                              .object = STR("/somewhere")});
    for (int i = 0; i < DISTINCT; i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "user%d", i);
        audit_event(a, &(struct audit_record){.event = AUDIT_LOGIN_REFUSED,
                                              .outcome = AUDIT_NO,
                                              .subject = str_make(text, (size_t)n)});
    }
    /* What is no refusal is never folded. */
    for (int i = 0; i < 20; i++) audit_event(a, &(struct audit_record){.event = AUDIT_REVOKED, .subject = STR("x")});
    audit_close(&a);
    struct buf b;
    slurp("run-000001.jsonl", &b);
    str rest = buf_str(&b);
    uint64_t lines = 0, refused = 0, logins = 0, revoked = 0;
    while (rest.n) {
        str line = str_cut(&rest, '\n');
        const char *count = memmem(line.p, line.n, ",\"count\":", 9);
        uint64_t n = 1;
        if (count) n = strtoull(count + 9, NULL, 10);
        if (memmem(line.p, line.n, "\"refused\",\"outcome\"", 19)) refused += n;
        if (memmem(line.p, line.n, "\"login_refused\",", 16)) logins += n;
        if (memmem(line.p, line.n, "\"revoked\",", 10)) revoked += n;
        lines++;
    }
    buf_free(&b);
    assert_int_equal(refused, SAME);
    assert_int_equal(logins, DISTINCT);
    assert_int_equal(revoked, 20);
    if (lines > 400) fail_msg("%llu lines", (unsigned long long)lines);
    assert_whole(verify_with(KEY, false, false));
}

static void secrets_and_long_values_stay_out(void **state)
{
    (void)state;
    char big[20000];
    memset(big, 1, sizeof big);
    for (size_t i = 0; i < 2000; i += 2) memcpy(big + i, "\xc3\xa4", 2);
    struct audit *a = open_it(0, false);
    audit_event(a, &(struct audit_record){.event = AUDIT_LOGIN,
                                          .who = str_make(big, sizeof big),
                                          .from = str_make(big + 5000, 5000),
                                          .subject = STR("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"),
                                          .object = STR("sp_prod_abcdefgh1234_0123456789012345678901230123ab"),
                                          .product = STR("\xff\xfe\"\\\n")});
    audit_close(&a);
    struct buf b;
    slurp("run-000001.jsonl", &b);
    assert_null(memmem(b.p, b.n, "eyJhbGci", 8));
    assert_null(memmem(b.p, b.n, "sp_prod", 7));
    assert_non_null(memmem(b.p, b.n, "…\"", 4));
    assert_true(b.n < 3 * AUDIT_LINE_MAX);
    buf_free(&b);
    assert_whole(verify_with(KEY, false, false));
}

static void *hammer(void *arg)
{
    for (int i = 0; i < 2000; i++)
        audit_event(arg, &(struct audit_record){.event = AUDIT_SESSION_ENDED, .subject = STR("alice")});
    return NULL;
}

static void many_threads_write_one_chain(void **state)
{
    (void)state;
    pthread_t threads[4];
    struct audit *a = open_it(65536, true);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) assert_int_equal(pthread_create(&threads[i], NULL, hammer, a), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) pthread_join(threads[i], NULL);
    struct audit_counts c = {0};
    audit_lost(a, 7);
    audit_close(&a);
    struct audit_verdict v = verify_with(KEY, true, false);
    assert_whole(v);
    (void)c;
    assert_true(v.records >= 4 * 2000 / 2); /* what did not fit the queue is counted instead */
}

static void the_store_may_be_away_for_a_while(void **state)
{
    (void)state;
    make_chain(3, 0);
    size_t n = kept.n;
    char before[256];
    memcpy(before, kept.value, n);
    kept.away = true;
    make_chain(3, 0); /* ends in bounded time and overwrites no evidence */
    assert_int_equal(kept.n, n);
    assert_memory_equal(kept.value, before, n);
    kept.away = false;
    int puts = kept_puts;
    struct audit *a = open_it(0, true);
    for (int i = 0; i < 300 && kept_puts == puts; i++) usleep(10000);
    audit_close(&a);
    assert_whole(verify_with(KEY, true, false));
}

/* --- reading on --- */

static uint64_t count_lines(str s, const char *what)
{
    uint64_t n = 0;
    while (s.n) {
        str line = str_cut(&s, '\n');
        n += !what || memmem(line.p, line.n, what, strlen(what));
    }
    return n;
}

static void tail_follows_over_segments(void **state)
{
    (void)state;
    struct audit_cursor c, again;
    char text[AUDIT_CURSOR_TEXT];
    bool more = true;
    make_chain(30, 4096);
    struct audit_verdict v = verify_with(KEY, true, false);
    memset(&c, 0, sizeof c);
    uint64_t lines = 0;
    while (more) {
        struct buf b;
        buf_init(&b, 1 << 20);
        assert_err(audit_read_on(folder, &c, AUDIT_KINDS, 2000, &b, &more), ERR_OK);
        lines += count_lines(buf_str(&b), NULL);
        audit_cursor_put(&c, text); /* as the command line carries it */
        assert_err(audit_cursor_read(str_of(text), &again), ERR_OK);
        c = again;
        buf_free(&b);
    }
    assert_int_equal(lines, v.records);
    make_chain(2, 4096);
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_err(audit_read_on(folder, &c, AUDIT_USER_ADDED, 100000, &b, &more), ERR_OK);
    assert_int_equal(count_lines(buf_str(&b), NULL), 2);
    assert_false(more);
    buf_clear(&b);
    assert_err(audit_cursor_last(folder, 3, &c), ERR_OK);
    assert_err(audit_read_on(folder, &c, AUDIT_KINDS, 100000, &b, &more), ERR_OK);
    assert_int_equal(count_lines(buf_str(&b), NULL), 3);
    buf_free(&b);
    static const char *const bad[] = {"run",      "run:0:0",    "run:1",
                                      "run:1:-1", "Run:1:1",    "run:1:x",
                                      ":1:1",     "../etc:1:1", "run:1:99999999999999999999",
                                      "run:1:1,,"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (audit_cursor_read(str_of(bad[i]), &c) == ERR_OK) fail_msg("'%s' is taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(goes_on_over_restarts_and_segments, setup, teardown),
        cmocka_unit_test_setup_teardown(another_key_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_process_is_kept_out, setup, teardown),
        cmocka_unit_test_setup_teardown(every_damage_to_every_line_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(every_changed_byte_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(missing_segments_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cut_off_tail_is_found_and_recorded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rewritten_end_is_found_by_its_seal, setup, teardown),
        cmocka_unit_test_setup_teardown(killed_it_goes_on_from_the_last_whole_record, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unfinished_line_is_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told_and_overcome, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out_when_it_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(floods_are_folded, setup, teardown),
        cmocka_unit_test_setup_teardown(secrets_and_long_values_stay_out, setup, teardown),
        cmocka_unit_test_setup_teardown(many_threads_write_one_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(the_store_may_be_away_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(tail_follows_over_segments, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
