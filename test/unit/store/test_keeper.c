#include "suite.h"

#include "base/clock.h"
#include "store/local.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* What operators ask of a keeper, and what it does with damaged files, crashes in the middle and lost watchers. */

static char top[64], data[80], saved[80];
static struct loop *loop;
static struct keeper *keeper;
static struct store *store;

static void empty(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    rmdir(dir);
}

static void open_store(void)
{
    char why[KEEPER_WHY];
    struct keeper_config c = {.engine = KEEPER_SQLITE, .dir = data, .spaces = KEEPER_ALL};
    enum err err = keeper_new(&c, &keeper, why);
    if (err != ERR_OK) fail_msg("%s: %s", err_name(err), why);
    assert_err(store_local_new(keeper, loop, KEEPER_ALL, &store), ERR_OK);
}

static void close_store(void)
{
    store_free(&store);
    keeper_free(&keeper);
}

static int up(void **state)
{
    (void)state;
    suite_clock_set(UINT64_C(1800000000000));
    snprintf(top, sizeof top, "/tmp/sallyport-keeper-XXXXXX");
    if (!mkdtemp(top)) return -1;
    snprintf(data, sizeof data, "%s/data", top);
    snprintf(saved, sizeof saved, "%s/saved", top);
    loop = loop_new(NULL);
    open_store();
    return 0;
}

static int down(void **state)
{
    (void)state;
    close_store();
    loop_free(&loop);
    empty(data);
    empty(saved);
    rmdir(top);
    return 0;
}

static bool task_done;

static void on_task(struct keeper_task *t)
{
    (void)t;
    assert_false(task_done);
    task_done = true;
}

static enum err do_task(struct keeper_task *t)
{
    task_done = false;
    t->done = on_task;
    enum err err = keeper_task_submit(keeper, loop, t);
    if (err != ERR_OK) return err;
    assert_false(task_done);
    suite_until(loop, &task_done, "the end of a task");
    return t->err;
}

static void path_of(char out[160], const char *dir, const char *name)
{
    snprintf(out, 160, "%s/%s", dir, name);
}

static bool there(const char *dir, const char *name)
{
    char path[160];
    path_of(path, dir, name);
    return access(path, F_OK) == 0;
}

/* Overwrites the middle of every page of the file behind the first. */
static void damage(const char *dir, const char *name)
{
    char path[160];
    path_of(path, dir, name);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    off_t n = lseek(fd, 0, SEEK_END);
    for (off_t at = 4096 + 3; at < n; at += 4096) assert_int_equal(pwrite(fd, "\xde\xad\xbe\xef", 4, at), 4);
    close(fd);
}

static void fill(const char *prefix, int n, const char *value)
{
    for (int i = 0; i < n; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s%d", prefix, i);
        assert_err(suite_put(store, STORE_CONTROL, key, value, 0, NULL), ERR_OK);
    }
}

static void a_folder_is_kept_by_one(void **state)
{
    (void)state;
    char why[KEEPER_WHY];
    struct keeper *second = NULL;
    struct stat st;
    struct keeper_config c = {.engine = KEEPER_SQLITE, .dir = data, .spaces = KEEPER_ALL};
    assert_err(keeper_new(&c, &second, why), ERR_CONFLICT);
    assert_true(strstr(why, "another process") != NULL);
    assert_int_equal(stat(data, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    const char *const files[] = {"identity.db", "control.db-wal"};
    for (size_t i = 0; i < 2; i++) {
        char path[160];
        path_of(path, data, files[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    c.dir = "/proc/none/such";
    assert_err(keeper_new(&c, &second, why), ERR_IO);
    c.dir = "";
    assert_err(keeper_new(&c, &second, why), ERR_IO);
}

static void what_was_written_is_there_when_it_is_opened_again(void **state)
{
    (void)state;
    struct store_position before, after;
    assert_err(suite_put(store, STORE_IDENTITY, "k", "v", 0, &before), ERR_OK);
    close_store();
    open_store();
    assert_string_equal(suite_get(store, STORE_IDENTITY, "k"), "v");
    assert_err(suite_put(store, STORE_IDENTITY, "k", "w", 0, &after), ERR_OK);
    assert_int_equal(after.epoch, before.epoch);
    assert_int_equal(after.number, before.number + 1);
}

static void status_tells_sizes_numbers_and_counts(void **state)
{
    (void)state;
    fill("k", 10, "v");
    struct keeper_task t = {.kind = KEEPER_STATUS};
    assert_err(do_task(&t), ERR_OK);
    struct keeper_space_status *c = &t.status[STORE_CONTROL];
    assert_true(c->served);
    assert_string_equal(c->why, "");
    assert_int_equal(c->at.number, 10);
    assert_int_equal(c->batches, 10);
    assert_int_equal(c->floor, 0);
    assert_true(c->commits >= 1 && c->commits <= 10 && c->bytes > 4096 && c->faults == 0);
}

static void tasks_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct keeper_task none = {.kind = KEEPER_CHECK}, nowhere = {.kind = KEEPER_BACKUP, .spaces = 1};
    struct keeper_task unknown = {.kind = KEEPER_CHECK, .spaces = 1u << 9};
    assert_err(do_task(&none), ERR_MALFORMED);
    assert_err(do_task(&nowhere), ERR_MALFORMED);
    assert_err(do_task(&unknown), ERR_MALFORMED);
}

static void check_finds_damage_and_names_the_space(void **state)
{
    (void)state;
    fill("k", 200, "some value that fills pages, some value that fills pages, some value that fills pages");
    struct keeper_task t = {.kind = KEEPER_CHECK, .spaces = KEEPER_ALL};
    enum err err = do_task(&t);
    if (err != ERR_OK) fail_msg("%s: %s", err_name(err), t.why);
    close_store();
    damage(data, "control.db");
    open_store();
    err = do_task(&t);
    assert_err(err, ERR_MALFORMED);
    assert_true(strncmp(t.why, "control.db: ", 12) == 0);
    t.spaces = KEEPER_ALL & ~KEEPER_SPACE(STORE_CONTROL);
    assert_err(do_task(&t), ERR_OK);
}

static void a_space_that_cannot_be_opened_says_so_and_leaves_the_others(void **state)
{
    (void)state;
    assert_err(suite_put(store, STORE_IDENTITY, "k", "v", 0, NULL), ERR_OK);
    close_store();
    char path[160];
    path_of(path, data, "audit.db");
    int fd = open(path, O_RDWR | O_TRUNC);
    char noise[8192];
    memset(noise, 'n', sizeof noise);
    assert_int_equal(write(fd, noise, sizeof noise), sizeof noise);
    close(fd);
    open_store();
    char why[KEEPER_WHY];
    keeper_why(keeper, STORE_AUDIT, why);
    assert_true(strncmp(why, "audit.db: ", 10) == 0);
    keeper_why(keeper, STORE_IDENTITY, why);
    assert_string_equal(why, "");
    assert_err(suite_put(store, STORE_AUDIT, "k", "v", 0, NULL), ERR_IO);
    assert_string_equal(suite_get(store, STORE_IDENTITY, "k"), "v");
}

/* --- backup and restore --- */

static void backup_all(void)
{
    struct keeper_task t = {.kind = KEEPER_BACKUP, .spaces = KEEPER_ALL, .dir = saved};
    enum err err = do_task(&t);
    if (err != ERR_OK) fail_msg("%s: %s", err_name(err), t.why);
    assert_true(t.status[STORE_CONTROL].bytes > 4096);
}

static void a_backup_is_whole_and_leaves_nothing_else(void **state)
{
    (void)state;
    fill("k", 300, "v");
    backup_all();
    backup_all(); /* takes the place of the first */
    int files = 0;
    DIR *d = opendir(saved);
    for (struct dirent *e; (e = readdir(d));) files += e->d_name[0] != '.';
    closedir(d);
    assert_int_equal(files, STORE_SPACES);
    struct keeper_task t = {.kind = KEEPER_BACKUP, .spaces = 1, .dir = "/proc/none"};
    assert_err(do_task(&t), ERR_IO);
    assert_true(t.why[0] != '\0');
}

static int named;
static char named_keys[8][32];
static bool named_sure[8];

static bool disable(struct keeper_task *t, enum store_space s, const struct store_entry *then,
                    const struct store_entry *now, struct buf *value)
{
    (void)t;
    assert_int_equal(s, STORE_CONTROL);
    assert_true(then->version > 0);
    if (named < 8) {
        snprintf(named_keys[named], sizeof named_keys[named], "%.*s", STR_ARG(then->key));
        named_sure[named] = now != NULL;
    }
    named++;
    if (str_eq(then->key, STR("apikey/3"))) return false; /* left as it was */
    buf_put(value, STR("disabled, was "));
    buf_put(value, then->value);
    return true;
}

static const struct keeper_compare compare[] = {{STORE_CONTROL, STR_INIT("apikey/")}};

static struct keeper_task restore_task(void)
{
    static const struct store_op ops[] = {{STORE_PUT, STORE_ANY, 0, STR_INIT("revoked/all/"), STR_INIT("{}"), 0}};
    named = 0;
    return (struct keeper_task){.kind = KEEPER_RESTORE,
                                .spaces = KEEPER_ALL,
                                .dir = saved,
                                .compare = compare,
                                .n_compare = 1,
                                .on_changed = disable,
                                .ops = {[STORE_CONTROL] = ops},
                                .n_ops = {[STORE_CONTROL] = 1}};
}

static struct store_position told[4];
static int tellings;

static void on_change(struct store_watch *w, const struct store_change *c)
{
    (void)w;
    if (c->kind == STORE_RESYNC_END && tellings < 4) told[tellings++] = c->at;
}

static void a_restore_brings_back_what_was_and_names_what_has_changed_since(void **state)
{
    (void)state;
    struct store_position before, after;
    struct store_watch w = {.space = STORE_CONTROL, .name = STR("keeper/watch"), .on_change = on_change};
    tellings = 0;
    assert_err(store_watch_start(store, &w), ERR_OK);
    fill("apikey/", 5, "then");
    assert_err(suite_put(store, STORE_IDENTITY, "user", "then", 0, NULL), ERR_OK);
    backup_all();
    assert_err(suite_put(store, STORE_CONTROL, "apikey/1", "now", 0, NULL), ERR_OK);
    assert_err(suite_delete(store, STORE_CONTROL, "apikey/3"), ERR_OK);
    assert_err(suite_delete(store, STORE_CONTROL, "apikey/4"), ERR_OK);
    assert_err(suite_put(store, STORE_CONTROL, "apikey/new", "now", 0, NULL), ERR_OK);
    assert_err(suite_put(store, STORE_CONTROL, "other", "now", 0, &before), ERR_OK);
    assert_err(suite_put(store, STORE_IDENTITY, "user", "now", 0, NULL), ERR_OK);

    struct keeper_task t = restore_task();
    enum err err = do_task(&t);
    if (err != ERR_OK) fail_msg("%s: %s", err_name(err), t.why);
    assert_int_equal(t.changed, 3);
    assert_false(t.unsure);
    assert_string_equal(named_keys[0], "apikey/1");
    assert_string_equal(named_keys[1], "apikey/3");
    assert_string_equal(named_keys[2], "apikey/4");
    assert_true(named_sure[0] && named_sure[1] && named_sure[2]);
    assert_string_equal(suite_get(store, STORE_CONTROL, "apikey/0"), "then");
    assert_string_equal(suite_get(store, STORE_CONTROL, "apikey/1"), "disabled, was then");
    assert_string_equal(suite_get(store, STORE_CONTROL, "apikey/3"), "then");
    assert_string_equal(suite_get(store, STORE_CONTROL, "apikey/4"), "disabled, was then");
    assert_string_equal(suite_get(store, STORE_CONTROL, "apikey/new"), "");
    assert_string_equal(suite_get(store, STORE_CONTROL, "revoked/all/"), "{}");
    assert_string_equal(suite_get(store, STORE_IDENTITY, "user"), "then");
    assert_err(suite_put(store, STORE_CONTROL, "k", "v", 0, &after), ERR_OK);
    assert_int_not_equal(after.epoch, before.epoch);
    assert_int_equal(t.status[STORE_CONTROL].at.epoch, after.epoch);
    for (int i = 0; i < 500 && w.seen.epoch != after.epoch; i++) loop_turn(loop, 20);
    assert_int_equal(tellings, 2); /* at the start and after the restore everything came anew */
    assert_int_equal(told[1].epoch, after.epoch);
    store_watch_stop(store, &w);
    assert_true(there(data, "control.db.before"));
    assert_false(there(data, "restore.note"));
    assert_false(there(data, "control.db.restore"));
    /* all of it is still so when opened again */
    close_store();
    open_store();
    assert_string_equal(suite_get(store, STORE_CONTROL, "apikey/1"), "disabled, was then");
    struct keeper_task check = {.kind = KEEPER_CHECK, .spaces = KEEPER_ALL};
    assert_err(do_task(&check), ERR_OK);
}

static struct store_job waiting;
static int waited;

static void on_waited(struct store_job *job)
{
    assert_ptr_equal(job, &waiting);
    waited++;
}

/* Between the question and the answer of a restore: `waiting` is put while the space is frozen. */
static void restore_with_a_write_behind_it(struct keeper_task *t, bool let_go)
{
    static const struct store_op op = {STORE_PUT, STORE_ANY, 0, STR_INIT("late"), STR_INIT("v"), 0};
    waiting =
        (struct store_job){.kind = STORE_BATCH, .space = STORE_CONTROL, .ops = &op, .n_ops = 1, .done = on_waited};
    waited = 0;
    *t = restore_task();
    t->done = on_task;
    task_done = false;
    assert_err(keeper_task_submit(keeper, loop, t), ERR_OK);
    store_submit(store, &waiting);
    if (let_go) store_free(&store);
    suite_until(loop, &task_done, "the end of a restore");
}

static void what_is_asked_during_a_restore_is_answered_behind_it(void **state)
{
    (void)state;
    fill("apikey/", 2, "then");
    backup_all();
    struct keeper_task t;
    restore_with_a_write_behind_it(&t, false);
    assert_err(t.err, ERR_OK);
    for (int i = 0; i < 500 && !waited; i++) loop_turn(loop, 20);
    assert_int_equal(waited, 1);
    assert_err(waiting.err, ERR_OK);
    assert_int_equal(waiting.at.epoch, t.status[STORE_CONTROL].at.epoch);
    restore_with_a_write_behind_it(&t, true); /* a client that goes away meanwhile */
    assert_err(t.err, ERR_OK);
    assert_int_equal(waited, 1);
    assert_true(waiting.err == ERR_CLOSED || waiting.err == ERR_OK);
    assert_err(store_local_new(keeper, loop, KEEPER_ALL, &store), ERR_OK);
}

static void a_damaged_backup_is_refused_and_nothing_changes(void **state)
{
    (void)state;
    struct store_position before, after;
    fill("k", 200, "some value that fills pages, some value that fills pages, some value that fills pages");
    backup_all();
    assert_err(suite_put(store, STORE_IDENTITY, "user", "now", 0, &before), ERR_OK);
    damage(saved, "control.db");
    struct keeper_task t = restore_task();
    enum err err = do_task(&t);
    assert_err(err, ERR_MALFORMED);
    assert_true(strncmp(t.why, "control.db: ", 12) == 0);
    assert_string_equal(suite_get(store, STORE_IDENTITY, "user"), "now"); /* none of the spaces */
    assert_err(suite_put(store, STORE_IDENTITY, "user", "later", 0, &after), ERR_OK);
    assert_int_equal(after.epoch, before.epoch);
    assert_false(there(data, "identity.db.restore"));
    /* a file of another space, of another program, none at all */
    char from[160], to[160];
    path_of(from, saved, "identity.db");
    path_of(to, saved, "control.db");
    assert_int_equal(rename(from, to), 0);
    t = restore_task();
    t.spaces = KEEPER_SPACE(STORE_CONTROL);
    assert_err(do_task(&t), ERR_UNSUPPORTED);
    damage(saved, "control.db");
    int fd = open(to, O_RDWR | O_TRUNC);
    close(fd);
    assert_err(do_task(&t), ERR_UNSUPPORTED);
    unlink(to);
    assert_err(do_task(&t), ERR_IO);
}

static void where_today_cannot_be_read_everything_counts_as_changed(void **state)
{
    (void)state;
    fill("apikey/", 5, "then");
    for (int i = 0; i < 100; i++)
        fill("fill/", 1, "something long enough that there are pages to damage, and some more");
    backup_all();
    fill("x/", 300, "something long enough that there are pages to damage, and some more");
    close_store();
    damage(data, "control.db");
    open_store();
    struct keeper_task t = restore_task();
    enum err err = do_task(&t);
    if (err != ERR_OK) fail_msg("%s: %s", err_name(err), t.why);
    assert_true(t.unsure);
    assert_int_equal(t.changed, 5);
    assert_false(named_sure[0]);
    assert_string_equal(suite_get(store, STORE_CONTROL, "apikey/0"), "disabled, was then");
    char why[KEEPER_WHY];
    keeper_why(keeper, STORE_CONTROL, why);
    assert_string_equal(why, "");
}

/* A crash at each point of the moving: what the next start finds, and what it makes of it. */
static void a_restore_that_was_interrupted_is_finished_or_undone(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool note, moved_away, moved_in;
        const char *want;
    } rows[] = {
        {"before the note", false, false, false, "now"},
        {"behind the note", true, false, false, "then"},
        {"the old file moved away", true, true, false, "then"},
        {"all moved, the note still there", true, true, true, "then"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char file[160], copy[160], before[160], from[160], note[160];
        assert_err(suite_put(store, STORE_CONTROL, "k", "then", 0, NULL), ERR_OK);
        backup_all();
        assert_err(suite_put(store, STORE_CONTROL, "k", "now", 0, NULL), ERR_OK);
        close_store();
        path_of(file, data, "control.db");
        path_of(copy, data, "control.db.restore");
        path_of(before, data, "control.db.before");
        path_of(from, saved, "control.db");
        path_of(note, data, "restore.note");
        assert_int_equal(rename(from, copy), 0);
        int fd = rows[i].note ? open(note, O_RDWR | O_CREAT, 0600) : -1;
        if (rows[i].note) assert_int_equal(write(fd, "4\n", 2), 2); /* KEEPER_SPACE(STORE_CONTROL) */
        if (fd >= 0) close(fd);
        if (rows[i].moved_away) assert_int_equal(rename(file, before), 0);
        if (rows[i].moved_in) assert_int_equal(rename(copy, file), 0);
        open_store();
        const char *got = suite_get(store, STORE_CONTROL, "k");
        if (strcmp(got, rows[i].want) != 0) fail_msg("%s: %s", rows[i].name, got);
        assert_false(there(data, "restore.note"));
        assert_false(there(data, "control.db.restore"));
    }
}

static void a_task_under_way_ends_with_the_keeper(void **state)
{
    (void)state;
    fill("k", 50, "v");
    struct keeper_task t[3] = {{.kind = KEEPER_CHECK, .spaces = KEEPER_ALL, .done = on_task},
                               {.kind = KEEPER_BACKUP, .spaces = KEEPER_ALL, .dir = saved, .done = on_task},
                               {.kind = KEEPER_CHECK, .spaces = KEEPER_ALL, .done = on_task}};
    task_done = false;
    for (size_t i = 0; i < 3; i++) assert_err(keeper_task_submit(keeper, loop, &t[i]), ERR_OK);
    close_store();
    for (size_t i = 0; i < 3; i++) {
        task_done = false;
        t[i].done(&t[i]); /* the letters are in the loop's box; what they say is there */
        assert_true(t[i].err == ERR_OK || t[i].err == ERR_CLOSED);
    }
    loop_free(&loop);
    loop = loop_new(NULL);
    open_store();
}

/* --- history and leases --- */

static void history_that_was_compacted_away_is_a_resync(void **state)
{
    (void)state;
    close_store();
    struct keeper_config c = {.engine = KEEPER_SQLITE, .dir = data, .spaces = KEEPER_ALL, .history_max = 50};
    char why[KEEPER_WHY];
    assert_err(keeper_new(&c, &keeper, why), ERR_OK);
    assert_err(store_local_new(keeper, loop, KEEPER_ALL, &store), ERR_OK);
    struct store_position early, at;
    assert_err(suite_put(store, STORE_CONTROL, "first", "v", 0, &early), ERR_OK);
    fill("k", 200, "v");
    struct keeper_task t = {.kind = KEEPER_STATUS};
    uint64_t end = clock_mono_ns() + UINT64_C(5000000000);
    do {
        assert_true(clock_mono_ns() < end);
        assert_err(do_task(&t), ERR_OK);
    } while (t.status[STORE_CONTROL].floor < 201 - 56); /* an eighth more than what is kept may gather */
    assert_in_range(t.status[STORE_CONTROL].floor, 201 - 56, 201 - 50);
    tellings = 0;
    struct store_watch w = {.space = STORE_CONTROL, .name = STR("keeper/late"), .on_change = on_change, .from = early};
    assert_err(store_watch_start(store, &w), ERR_OK);
    for (int i = 0; i < 500 && !tellings; i++) loop_turn(loop, 20);
    assert_int_equal(tellings, 1);
    store_watch_stop(store, &w);
    /* the numbering goes on after all but the last was forgotten */
    close_store();
    open_store();
    assert_err(suite_put(store, STORE_CONTROL, "next", "v", 0, &at), ERR_OK);
    assert_int_equal(at.number, 202);
    struct keeper_task check = {.kind = KEEPER_CHECK, .spaces = KEEPER_ALL};
    assert_err(do_task(&check), ERR_OK);
}

static void no_page(void *owner, const struct keeper_page *page)
{
    (void)owner;
    (void)page;
}

static int beats;

static void on_beat(void *owner, uint64_t tag, uint64_t held_ms)
{
    (void)owner;
    (void)held_ms;
    assert_int_equal(tag, 77);
    beats++;
}

static const char *state_of(const char *name)
{
    static char found[16];
    struct store_job job = {.kind = STORE_WATCHERS, .space = STORE_CONTROL};
    assert_err(suite_do(store, &job), ERR_OK);
    found[0] = '\0';
    for (uint32_t i = 0; i < job.n_entries; i++)
        if (str_eq(job.entries[i].key, str_of(name)))
            snprintf(found, sizeof found, "%.*s%s", STR_ARG(job.entries[i].value), job.entries[i].expires_s ? "+" : "");
    store_job_clear(&job);
    return found;
}

static void who_is_lost_with_a_lease_is_away_until_it_ends_even_over_a_restart(void **state)
{
    (void)state;
    struct keeper_client *client = NULL;
    struct keeper_watch *w = NULL;
    assert_err(keeper_client_new(keeper, loop, KEEPER_ALL, &client), ERR_OK);
    struct keeper_watch_spec spec = {.space = STORE_CONTROL,
                                     .prefix = STR(""),
                                     .name = STR("gateway/1"),
                                     .lease_ms = 2500,
                                     .on_page = no_page,
                                     .on_beat = on_beat};
    beats = 0;
    assert_err(keeper_watch_start(client, &spec, &w), ERR_OK);
    keeper_watch_beat(w, 77);
    for (int i = 0; i < 500 && !beats; i++) loop_turn(loop, 20);
    assert_string_equal(state_of("gateway/1"), "connected+");
    keeper_watch_stop(&w, true);
    assert_string_equal(state_of("gateway/1"), "away+");
    /* comes back under its name */
    assert_err(keeper_watch_start(client, &spec, &w), ERR_OK);
    for (int i = 0; i < 500 && strcmp(state_of("gateway/1"), "connected+") != 0; i++) loop_turn(loop, 20);
    assert_string_equal(state_of("gateway/1"), "connected+");
    keeper_watch_stop(&w, true);
    keeper_client_free(&client);
    close_store();
    open_store();
    assert_string_equal(state_of("gateway/1"), "away+");
    uint64_t start = clock_mono_ns();
    while (strcmp(state_of("gateway/1"), "") != 0 && clock_mono_ns() - start < UINT64_C(9000000000))
        loop_turn(loop, 100);
    uint64_t took_ms = (clock_mono_ns() - start) / 1000000;
    assert_in_range(took_ms, 1500, 8000);
    close_store();
    open_store();
    assert_string_equal(state_of("gateway/1"), "");
}

/* --- memory --- */

static void watchers_are_told_in_the_order_of_names_a_part_at_a_time(void **state)
{
    (void)state;
    static const char *const names[] = {"w/3", "w/1", "w/0", "w/2"};
    struct store_watch w[4];
    for (size_t i = 0; i < 4; i++) {
        w[i] = (struct store_watch){.space = STORE_CONTROL, .name = str_of(names[i]), .on_change = on_change};
        assert_err(store_watch_start(store, &w[i]), ERR_OK);
    }
    struct store_job job = {.kind = STORE_WATCHERS, .space = STORE_CONTROL, .limit = 3};
    for (int i = 0; i < 100 && job.n_entries < 3; i++) {
        store_job_clear(&job);
        assert_err(suite_do(store, &job), ERR_OK);
    }
    assert_int_equal(job.n_entries, 3);
    assert_true(job.more);
    assert_str(job.entries[0].key, STR("w/0"));
    assert_str(job.entries[2].key, STR("w/2"));
    assert_int_equal(job.entries[0].expires_s, 0);
    store_job_clear(&job);
    job.from = STR("w/3");
    assert_err(suite_do(store, &job), ERR_OK);
    assert_int_equal(job.n_entries, 1);
    assert_false(job.more);
    store_job_clear(&job);
    for (size_t i = 0; i < 4; i++) store_watch_stop(store, &w[i]);
}

static enum err keeper_life(void)
{
    char why[KEEPER_WHY];
    struct keeper *k = NULL;
    struct store *s = NULL;
    struct keeper_config c = {.engine = KEEPER_MEMORY, .spaces = KEEPER_ALL};
    enum err err = keeper_new(&c, &k, why);
    if (err == ERR_OK) err = store_local_new(k, loop, KEEPER_ALL, &s);
    store_free(&s);
    keeper_free(&k);
    return err;
}

static void a_keeper_that_gets_no_memory_says_so(void **state)
{
    (void)state;
    enum err err = ERR_OK;
    EACH_ALLOC_FAILING({
        err = keeper_life();
        if (alloc_fail_hit() && err != ERR_OK) assert_err(err, ERR_NO_MEMORY);
    });
    assert_err(err, ERR_OK);
}

static int changes;

static void count_change(struct store_watch *w, const struct store_change *c)
{
    (void)w;
    (void)c;
    changes++;
}

/* Whatever allocation fails: an answer comes, a refused batch changed nothing, and the next try is whole. */
static void a_job_that_gets_no_memory_says_so(void **state)
{
    (void)state;
    fill("k", 20, "some value");
    str keys[] = {STR("k0"), STR("k1"), STR("none")};
    struct store_op op = {STORE_PUT, STORE_ANY, 0, STR("new"), STR("v"), 0};
    struct store_job kinds[] = {
        {.kind = STORE_GET, .space = STORE_CONTROL, .keys = keys, .n_keys = 3},
        {.kind = STORE_RANGE, .space = STORE_CONTROL},
        {.kind = STORE_WATCHERS, .space = STORE_CONTROL},
        {.kind = STORE_BATCH, .space = STORE_CONTROL, .ops = &op, .n_ops = 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        enum err err = ERR_OK;
        EACH_ALLOC_FAILING({
            struct store_job job = kinds[i];
            err = suite_do(store, &job);
            if (err != ERR_OK) assert_err(err, ERR_NO_MEMORY);
            if (err != ERR_OK) assert_int_equal(job.n_entries, 0);
            store_job_clear(&job);
        });
        assert_err(err, ERR_OK);
    }
    EACH_ALLOC_FAILING({
        struct store_watch w = {.space = STORE_CONTROL, .name = STR("keeper/poor"), .on_change = count_change};
        bool started = store_watch_start(store, &w) == ERR_OK;
        changes = 0;
        for (int i = 0; i < 20 && started && !changes; i++) loop_turn(loop, 5);
        bool hit = alloc_fail_hit();
        alloc_fail_at(-1);
        /* what could not be told then is told later, from the beginning */
        for (int i = 0; i < 200 && started && changes < 23; i++) loop_turn(loop, 20);
        if (started) assert_int_equal(changes, 23); /* 21 entries, the beginning, the end */
        store_watch_stop(store, &w);
        if (hit) alloc_fail_at(0);
        if (hit) free(malloc(1)); /* tells the loop to go on */
    });
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(a_folder_is_kept_by_one),
        T(what_was_written_is_there_when_it_is_opened_again),
        T(status_tells_sizes_numbers_and_counts),
        T(tasks_that_make_no_sense_are_refused),
        T(check_finds_damage_and_names_the_space),
        T(a_space_that_cannot_be_opened_says_so_and_leaves_the_others),
        T(a_backup_is_whole_and_leaves_nothing_else),
        T(a_restore_brings_back_what_was_and_names_what_has_changed_since),
        T(what_is_asked_during_a_restore_is_answered_behind_it),
        T(a_damaged_backup_is_refused_and_nothing_changes),
        T(where_today_cannot_be_read_everything_counts_as_changed),
        T(a_restore_that_was_interrupted_is_finished_or_undone),
        T(a_task_under_way_ends_with_the_keeper),
        T(history_that_was_compacted_away_is_a_resync),
        T(who_is_lost_with_a_lease_is_away_until_it_ends_even_over_a_restart),
        T(watchers_are_told_in_the_order_of_names_a_part_at_a_time),
        T(a_keeper_that_gets_no_memory_says_so),
        T(a_job_that_gets_no_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
