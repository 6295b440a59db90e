/* Durable writes a second of the store beside bare SQLite, in the same run, on the same disk.
 *
 * store_bench FOLDER [PAIRS] [MILLISECONDS]
 *
 * Pairs of rounds, each of ten slices in turns; each line is JSON: the writes a second of one pair, then the median of
 * each row.
 *
 *   one at a time    ours: a batch of one put is submitted when the last was answered.
 *                    bare: a transaction of one put.
 *   64 outstanding   ours: 64 batches of one put are always under way.
 *                    bare: transactions of 32 puts; of 64, which is the most that ours can gather.
 *
 * Bare is one connection, prepared statements, WAL, synchronous=FULL, checkpoints as SQLite makes them. `kv` has a
 * table of keys and values and nothing else. `same` writes what we write: version and time of expiry beside the value,
 * and a row of history. Keys come in a random order out of 100,000; no value is like another, as SQLite skips pages
 * that stay as they are. */
#include "base/clock.h"
#include "base/rand.h"
#include "store/local.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS        100000
#define VALUE       200
#define GROUP       32
#define OUTSTANDING 64
#define PAIRS_MAX   101

#define SLICES 10 /* of a round: the speed of a shared disk changes faster than a round lasts */

struct rate {
    uint64_t writes, ns;
};

static const char *folder;
static uint64_t slice_ns;

static double per_second(const struct rate *r)
{
    return (double)r->writes * 1e9 / (double)r->ns;
}

static void give_up(const char *what)
{
    fprintf(stderr, "store_bench: %s\n", what);
    exit(1);
}

struct write {
    char key[24], value[VALUE];
    struct store_op op;
    struct store_job job;
};

static void draw(struct write *w)
{
    int n = snprintf(w->key, sizeof w->key, "user/users/%06u", (unsigned)(rand_u64() % KEYS));
    rand_hex(w->value, VALUE / 2);
    w->op =
        (struct store_op){.verb = STORE_PUT, .key = str_make(w->key, (size_t)n), .value = str_make(w->value, VALUE)};
}

/* --- bare --- */

struct bare {
    sqlite3 *db;
    sqlite3_stmt *begin, *put, *remember, *commit;
    int64_t number;
    bool same;
};

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) give_up(sqlite3_errmsg(db));
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *text)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK) give_up(sqlite3_errmsg(db));
    return s;
}

static void unlink_old(const char *path)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    char full[4200];
    for (size_t i = 0; i < 3; i++) {
        snprintf(full, sizeof full, "%s%s", path, tails[i]);
        unlink(full);
    }
}

static void bare_open(struct bare *b, const char *name, bool same)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.db", folder, name);
    unlink_old(path);
    *b = (struct bare){.same = same};
    if (sqlite3_open_v2(path, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        give_up("cannot open");
    sql(b->db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-8192");
    sql(b->db,
        same ? "CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB, version INTEGER, expires INTEGER) WITHOUT ROWID;"
               "CREATE TABLE change(number INTEGER PRIMARY KEY, key BLOB, removed INTEGER, at INTEGER)"
             : "CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID");
    b->begin = prepare(b->db, "BEGIN IMMEDIATE");
    b->commit = prepare(b->db, "COMMIT");
    b->put =
        prepare(b->db, same ? "INSERT INTO kv(key, value, version, expires) VALUES(?1, ?2, ?3, 0) ON CONFLICT(key) "
                              "DO UPDATE SET value = ?2, version = ?3, expires = 0"
                            : "INSERT INTO kv(key, value) VALUES(?1, ?2) ON CONFLICT(key) DO UPDATE SET value = ?2");
    if (same)
        b->remember = prepare(b->db, "INSERT INTO change(number, key, removed, at) VALUES(?1, ?2, 0, 1800000000)");
}

static void step(struct bare *b, sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_DONE) give_up(sqlite3_errmsg(b->db));
    sqlite3_reset(s);
}

static void bare_put(struct bare *b)
{
    struct write w;
    draw(&w);
    b->number++;
    sqlite3_bind_blob(b->put, 1, w.op.key.p, (int)w.op.key.n, SQLITE_STATIC);
    sqlite3_bind_blob(b->put, 2, w.op.value.p, (int)w.op.value.n, SQLITE_STATIC);
    if (b->same) sqlite3_bind_int64(b->put, 3, b->number);
    step(b, b->put);
    if (!b->same) return;
    sqlite3_bind_int64(b->remember, 1, b->number);
    sqlite3_bind_blob(b->remember, 2, w.op.key.p, (int)w.op.key.n, SQLITE_STATIC);
    step(b, b->remember);
}

/* A slice in transactions of n. */
static void bare_slice(struct bare *b, int n, struct rate *r)
{
    uint64_t start = clock_mono_ns(), now, done = 0;
    while ((now = clock_mono_ns()) - start < slice_ns) {
        step(b, b->begin);
        for (int i = 0; i < n; i++) bare_put(b);
        step(b, b->commit);
        done += (uint64_t)n;
    }
    r->writes += done;
    r->ns += now - start;
}

static void bare_close(struct bare *b)
{
    sqlite3_finalize(b->begin);
    sqlite3_finalize(b->put);
    sqlite3_finalize(b->remember);
    sqlite3_finalize(b->commit);
    sqlite3_close(b->db);
}

/* --- ours --- */

static struct loop *loop;
static struct store *store;
static uint64_t answered, under_way, end_ns;

static void submit(struct write *w)
{
    draw(w);
    store_submit(store, &w->job);
    under_way++;
}

static void on_done(struct store_job *job)
{
    if (job->err != ERR_OK) give_up(err_name(job->err));
    store_job_clear(job);
    answered++;
    under_way--;
    if (clock_mono_ns() < end_ns) submit(CONTAINER_OF(job, struct write, job));
}

static void our_slice(int outstanding, struct rate *r)
{
    static struct write writes[OUTSTANDING];
    uint64_t start = clock_mono_ns();
    answered = 0;
    end_ns = start + slice_ns;
    for (int i = 0; i < outstanding; i++) {
        writes[i].job = (struct store_job){.kind = STORE_BATCH,
                                           .space = STORE_IDENTITY,
                                           .ops = &writes[i].op,
                                           .n_ops = 1,
                                           .done = on_done};
        submit(&writes[i]);
    }
    while (under_way) loop_turn(loop, -1);
    r->writes += answered;
    r->ns += clock_mono_ns() - start;
}

/* --- rows --- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(double *v, int n, double at)
{
    qsort(v, (size_t)n, sizeof *v, by_size);
    return v[(int)((double)(n - 1) * at + 0.5)];
}

static void row(const char *name, struct bare *bare, int group, int outstanding, int pairs)
{
    static double ratios[PAIRS_MAX], ours[PAIRS_MAX], theirs[PAIRS_MAX];
    for (int i = 0; i < pairs; i++) {
        struct rate our = {0}, their = {0};
        for (int slice = 0; slice < SLICES; slice++) {
            bool first = slice % 2;
            if (first) our_slice(outstanding, &our);
            bare_slice(bare, group, &their);
            if (!first) our_slice(outstanding, &our);
        }
        ours[i] = per_second(&our);
        theirs[i] = per_second(&their);
        ratios[i] = ours[i] / theirs[i];
        printf("{\"row\":\"%s\",\"ours\":%.0f,\"bare\":%.0f,\"ratio\":%.3f}\n", name, ours[i], theirs[i], ratios[i]);
        fflush(stdout);
    }
    double low = quantile(ratios, pairs, 0.25), high = quantile(ratios, pairs, 0.75);
    printf("{\"median\":\"%s\",\"pairs\":%d,\"ours\":%.0f,\"bare\":%.0f,\"ratio\":%.3f,\"low\":%.3f,\"high\":%.3f}\n",
           name, pairs, quantile(ours, pairs, 0.5), quantile(theirs, pairs, 0.5), quantile(ratios, pairs, 0.5), low,
           high);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 2) give_up("usage: store_bench FOLDER [PAIRS] [MILLISECONDS]");
    folder = argv[1];
    int pairs = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 9;
    slice_ns = (argc > 3 ? strtoull(argv[3], NULL, 10) : 1000) * 1000000 / SLICES;
    if (pairs < 1 || pairs > PAIRS_MAX) give_up("1 to 101 pairs");
    char dir[4096], why[KEEPER_WHY];
    mkdir(folder, 0700);
    snprintf(dir, sizeof dir, "%s/store", folder);
    char identity[4200];
    snprintf(identity, sizeof identity, "%s/identity.db", dir);
    unlink_old(identity);
    struct keeper *keeper = NULL;
    struct keeper_config config = {.engine = KEEPER_SQLITE, .dir = dir, .spaces = KEEPER_SPACE(STORE_IDENTITY)};
    if (keeper_new(&config, &keeper, why) != ERR_OK) give_up(why);
    loop = loop_new(NULL);
    if (!loop || store_local_new(keeper, loop, KEEPER_ALL, &store) != ERR_OK) give_up("no memory");
    struct bare kv, same;
    bare_open(&kv, "kv", false);
    bare_open(&same, "same", true);
    for (int i = 0; i < 3 * SLICES; i++) { /* grow all to their size */
        struct rate unused = {0};
        our_slice(OUTSTANDING, &unused);
        bare_slice(&kv, GROUP, &unused);
        bare_slice(&same, GROUP, &unused);
    }
    row("one at a time, kv", &kv, 1, 1, pairs);
    row("one at a time, same", &same, 1, 1, pairs);
    row("64 outstanding, kv", &kv, GROUP, OUTSTANDING, pairs);
    row("64 outstanding, same", &same, GROUP, OUTSTANDING, pairs);
    row("64 outstanding, kv, 64 a transaction", &kv, OUTSTANDING, OUTSTANDING, pairs);
    bare_close(&kv);
    bare_close(&same);
    store_free(&store);
    keeper_free(&keeper);
    loop_free(&loop);
    return 0;
}
