#include "disk.h"
#include "suite_model.h"

#include "store/sqlite_private.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

/* One story of batches is told again and again, each time with another operation of the disk, or another allocation,
 * refused. Whatever happens, what was answered must be true: at once, after a kill, after a loss of power. */

#define STEPS    24
#define NOW_S    1000
#define BIG_STEP 5 /* and from here on values that take pages of their own */

static bool full_disk;
static char dir[64], crash[72], path[96];

static void empty(const char *name)
{
    DIR *d = opendir(name);
    for (struct dirent *e; d && (e = readdir(d));) unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
}

static int up(void **state)
{
    (void)state;
    /* nothing is really synced here, so memory does; many files come and go */
    snprintf(dir, sizeof dir, "%s/sallyport-faults-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(dir)) return -1;
    snprintf(crash, sizeof crash, "%s.crash", dir);
    snprintf(path, sizeof path, "%s/control.db", dir);
    return mkdir(crash, 0700);
}

static int down(void **state)
{
    (void)state;
    disk_mend();
    empty(dir);
    empty(crash);
    return rmdir(dir) | rmdir(crash);
}

/* --- the story --- */

static char big[9000];

struct step {
    struct store_op ops[3];
    uint32_t n;
};

/* Puts, an overwriting, a removal, and what must be refused. */
static struct step step_of(int i)
{
    static char keys[STEPS][8];
    static const char *const shared[] = {"shared/a", "shared/b"};
    snprintf(keys[i], sizeof keys[i], "k%d", i);
    memset(big, 'a' + i, sizeof big);
    str value = i >= BIG_STEP ? str_make(big, sizeof big) : str_make(big, 50);
    struct step s = {{{STORE_PUT, STORE_ANY, 0, str_of(keys[i]), value, 0},
                      {STORE_PUT, STORE_ANY, 0, str_of(shared[i % 2]), str_make(big, 20), 0},
                      {STORE_DELETE, STORE_ANY, 0, i ? str_of(keys[i - 1]) : STR("none"), STR(""), 0}},
                     3};
    if (i % 5 == 4) s.ops[2] = (struct store_op){STORE_CHECK, STORE_ABSENT, 0, STR("shared/a"), STR(""), 0};
    return s;
}

static void into_model(struct model *m, const struct step *s, uint64_t last)
{
    uint64_t changes = 0;
    for (uint32_t i = 0; i < s->n; i++)
        changes += s->ops[i].verb == STORE_PUT || (s->ops[i].verb == STORE_DELETE && model_get(m, s->ops[i].key));
    uint64_t number = last - changes;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct store_op *op = &s->ops[i];
        if (op->verb == STORE_DELETE && model_get(m, op->key)) {
            number++;
            model_remove(m, op->key);
        } else if (op->verb == STORE_PUT) {
            model_put(m, &(struct store_entry){op->key, op->value, ++number, op->expires_s});
        }
    }
}

struct compare {
    const struct model *m;
    size_t n;
    bool same;
};

static bool on_entry(void *ctx, const struct store_entry *e)
{
    struct compare *c = ctx;
    const struct model_entry *want = c->n < c->m->n ? &c->m->entries[c->n] : NULL;
    c->n++;
    c->same =
        c->same && want && str_eq(want->key, e->key) && str_eq(want->value, e->value) && want->version == e->version;
    return c->same;
}

static bool holds(struct engine *e, const struct model *m)
{
    struct compare c = {m, 0, true};
    enum err err = e->ops->range(e, STR(""), STR(""), false, NOW_S, on_entry, &c);
    if (err != ERR_OK) return false;
    return c.same && c.n == m->n;
}

/* The file in the folder holds the model, or the one with what is in doubt, and is sound. */
static void must_hold(const char *where, const struct model *m, const struct model *doubt, const char *what)
{
    char file[128], why[160] = "";
    struct engine *e = NULL;
    struct store_position at;
    atomic_bool stop = false;
    snprintf(file, sizeof file, "%s/control.db", where);
    enum err err = engine_sqlite_open(file, "control", &e, why);
    if (err != ERR_OK) fail_msg("%s: cannot be opened again: %s", what, why);
    bool ok = holds(e, m) || (doubt && holds(e, doubt));
    e->ops->close(e);
    if (!ok) fail_msg("%s: does not hold what was answered", what);
    err = engine_sqlite_check(file, "control", &stop, &at, why);
    if (err != ERR_OK) fail_msg("%s: %s: %s", what, err_name(err), why);
}

static void after_a_crash(const struct model *m, const struct model *doubt, bool synced_only, const char *what)
{
    empty(crash);
    disk_snapshot(dir, crash, synced_only);
    must_hold(crash, m, doubt, what);
}

static void copy_model(struct model *to, const struct model *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct model_entry *x = &from->entries[i];
        model_put(to, &(struct store_entry){x->key, x->value, x->version, x->expires_s});
    }
}

struct tale {
    struct model m, doubt;
    bool doubtful;
    int refused, timeouts;
};

static void tell_step(struct engine *e, struct tale *t, int i, const char *what)
{
    struct step s = step_of(i);
    struct engine_batch b = {.ops = s.ops, .n_ops = s.n};
    uint64_t before = e->ops->at(e).number;
    enum err err = e->ops->apply(e, &b, NOW_S);
    if (err == ERR_OK) err = b.err;
    bool conflict = i % 5 == 4 && model_get(&t->m, STR("shared/a"));
    if (err == ERR_OK) {
        assert_false(conflict);
        into_model(&t->m, &s, b.number);
        t->doubtful = false;
    } else if (err == ERR_CONFLICT) {
        assert_true(conflict);
    } else {
        t->refused++;
        if (err != ERR_IO && err != ERR_NO_MEMORY && err != ERR_TIMEOUT) fail_msg("%s: %s", what, err_name(err));
        assert_int_equal(e->ops->at(e).number, before);
        t->timeouts += err == ERR_TIMEOUT;
        if (full_disk) assert_err(err, ERR_IO); /* nothing happened, for certain */
        if (err == ERR_TIMEOUT && !t->doubtful) {
            t->doubtful = true;
            model_free(&t->doubt);
            copy_model(&t->doubt, &t->m);
            into_model(&t->doubt, &s, before + 3 - (uint64_t)(i > 0 && !model_get(&t->m, s.ops[2].key)) - (i == 0));
        }
    }
    e->ops->tidy(e);
}

/* With the fault armed by the caller. What is read meanwhile must be true as well. */
static void tell(struct tale *t, const char *what)
{
    struct engine *e = NULL;
    char why[160];
    *t = (struct tale){0};
    enum err err = engine_sqlite_open(path, "control", &e, why);
    if (err != ERR_OK) return; /* refused as a whole; nothing was promised */
    CONTAINER_OF(e, struct sqlite_engine, engine)->checkpoint_frames = 20; /* some checkpoints, some logs begun anew */
    for (int i = 0; i < STEPS; i++) tell_step(e, t, i, what);
    disk_mend();
    disk_memory_fail_at(-1, false);
    if (!holds(e, &t->m)) fail_msg("%s: reads something else than was answered", what);
    after_a_crash(&t->m, t->doubtful ? &t->doubt : NULL, false, what);
    after_a_crash(&t->m, t->doubtful ? &t->doubt : NULL, true, what);
    /* it goes on as if nothing had been */
    struct store_op op = {STORE_PUT, STORE_ANY, 0, STR("last"), STR("last"), 0};
    struct engine_batch b = {.ops = &op, .n_ops = 1};
    err = e->ops->apply(e, &b, NOW_S);
    if (err != ERR_OK || b.err != ERR_OK) fail_msg("%s: does not recover: %s", what, err_name(err));
    model_put(&t->m, &(struct store_entry){op.key, op.value, b.number, 0});
    after_a_crash(&t->m, NULL, true, what);
    e->ops->close(e);
    must_hold(dir, &t->m, NULL, what);
}

static void end_tale(struct tale *t)
{
    model_free(&t->m);
    model_free(&t->doubt);
    empty(dir);
}

static const char *const kinds[] = {"write", "sync", "open", "truncate"};

static void no_fault_of_the_disk_makes_an_answer_untrue(void **state)
{
    (void)state;
    int told = 0, refused = 0, timeouts = 0;
    for (int mode = 0; mode < 3; mode++)
        for (enum disk_fault kind = DISK_WRITE; kind < DISK_FAULTS; kind++)
            for (long n = 0;; n++) {
                struct tale t;
                char what[80];
                bool on = mode > 0, full = mode == 2;
                if (full && kind != DISK_WRITE) break;
                snprintf(what, sizeof what, "%s %ld refused%s%s", kinds[kind], n, on ? " and all behind it" : "",
                         full ? ", full" : "");
                /* large values make many alike: the later ones are tried in strides */
                long at = n < 60 ? n : 60 + (n - 60) * 37;
                full_disk = full;
                disk_fail_at(kind, at, on, full);
                tell(&t, what);
                bool hit = disk_failed();
                disk_mend();
                told++;
                refused += t.refused;
                timeouts += t.timeouts;
                end_tale(&t);
                full_disk = false;
                if (!hit) break;
            }
    print_message("%d tales, %d batches refused, %d in doubt\n", told, refused, timeouts);
    assert_true(told > 100 && refused > 50);
}

static void no_allocation_of_sqlite_that_fails_makes_an_answer_untrue(void **state)
{
    (void)state;
    int told = 0, refused = 0;
    for (int on = 0; on < 2; on++)
        for (long n = 0;; n++) {
            struct tale t;
            char what[64];
            snprintf(what, sizeof what, "allocation %ld%s", n, on ? " and all behind it" : "");
            disk_memory_fail_at(n < 40 ? n : 40 + (n - 40) * 7, on);
            tell(&t, what);
            bool hit = disk_memory_failed();
            disk_memory_fail_at(-1, false);
            told++;
            refused += t.refused;
            end_tale(&t);
            if (!hit) break;
        }
    print_message("%d tales, %d batches refused\n", told, refused);
    assert_true(told > 50 && refused > 10);
}

static void memory_that_is_refused_leaves_the_engine_in_memory_as_it_was(void **state)
{
    (void)state;
    EACH_ALLOC_FAILING({
        struct engine *e = NULL;
        struct model m = {0};
        if (engine_memory_open((size_t)64 << 20, &e) == ERR_OK) {
            for (int i = 0; i < STEPS; i++) {
                struct step s = step_of(i);
                struct engine_batch b = {.ops = s.ops, .n_ops = s.n};
                assert_err(e->ops->apply(e, &b, NOW_S), ERR_OK);
                if (b.err == ERR_OK) {
                    long n = n_;
                    bool hit = alloc_fail_hit();
                    alloc_fail_at(-1); /* the model's memory is not what is asked here */
                    into_model(&m, &s, b.number);
                    if (!hit) alloc_fail_at(n);
                } else if (b.err != ERR_CONFLICT) {
                    assert_err(b.err, ERR_NO_MEMORY);
                }
                assert_true(holds(e, &m));
            }
            e->ops->close(e);
        }
        model_free(&m);
    });
    /* and a bound on it */
    struct engine *e = NULL;
    assert_err(engine_memory_open(1000, &e), ERR_OK);
    struct store_op op = {STORE_PUT, STORE_ANY, 0, STR("k"), str_make(big, 2000), 0};
    struct engine_batch b = {.ops = &op, .n_ops = 1};
    assert_err(e->ops->apply(e, &b, NOW_S), ERR_OK);
    assert_err(b.err, ERR_NO_MEMORY);
    op.value.n = 100;
    assert_err(e->ops->apply(e, &b, NOW_S), ERR_OK);
    assert_err(b.err, ERR_OK);
    e->ops->close(e);
}

int main(void)
{
    disk_install();
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(no_fault_of_the_disk_makes_an_answer_untrue),
        T(no_allocation_of_sqlite_that_fails_makes_an_answer_untrue),
        T(memory_that_is_refused_leaves_the_engine_in_memory_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
