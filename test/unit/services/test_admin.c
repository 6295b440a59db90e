/* The administration's handlers over a store in memory: every change with every answer of the store refused in turn,
 * with somebody quicker, with nobody left to hear the answer, with a record that cannot be written. */
#include "unit.h"

#include "audit/audit.h"
#include "audit/read.h"
#include "codec/json.h"
#include "crypto/digest.h"
#include "net/offload.h"
#include "services/admin.h"
#include "store/apikey_record.h"
#include "store/keeper.h"
#include "store/local.h"
#include "store/product_record.h"
#include "store/user_record.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- a store between the administration and the real one: it can refuse a job, or let somebody else be quicker --- */
static struct between {
    struct store store;
    struct store *real;
    long refuse_at; /* the n-th job from now (0: the next) ends with `with`; -1: none */
    enum err with;
    void (*before)(struct store_job *job); /* called with each batch before it is handed on */
    long jobs;
    bool hold; /* jobs are kept, not answered */
    struct store_job *held[64];
    size_t n_held;
} between;

struct refusal {
    struct mail mail;
    struct store_job *job;
};

static void on_refusal(struct mail *m, void *owner)
{
    struct refusal *r = CONTAINER_OF(m, struct refusal, mail);
    struct store_job *job = r->job;
    (void)owner;
    free(r);
    job->done(job);
}

static void between_submit(struct store *s, struct store_job *job)
{
    (void)s;
    between.jobs++;
    if (between.hold) {
        assert_true(between.n_held < ARRAY_LEN(between.held));
        between.held[between.n_held++] = job;
        return;
    }
    bool conditions = false;
    for (uint32_t i = 0; job->kind == STORE_BATCH && i < job->n_ops; i++)
        conditions |= job->ops[i].condition != STORE_ANY;
    bool fits = between.with != ERR_CONFLICT || conditions; /* nobody else ever hears of a conflict */
    if (fits && between.refuse_at >= 0 && between.refuse_at-- == 0) {
        struct refusal *r = calloc(1, sizeof *r);
        assert_non_null(r);
        r->mail.on_mail = on_refusal;
        r->job = job;
        job->err = between.with;
        job->failed = 0;
        job->entries = NULL;
        job->n_entries = 0;
        job->result = NULL;
        mail_post(between.store.loop, &r->mail);
        return;
    }
    if (between.before && job->kind == STORE_BATCH) between.before(job);
    store_submit(between.real, job);
}

static const struct store_ops between_ops = {.submit = between_submit};

/* --- the world --- */
static struct {
    char folder[64];
    struct loop *loop;
    struct keeper *keeper;
    struct offload *pool;
    struct audit *audit;
    struct admin *admin;
    struct seal seal;
    struct control control;
    struct control_source source;
} w;

static bool extra(void *ctx, const struct control_peer *peer, const struct request *q, str body,
                  struct control_reply *r)
{
    (void)ctx;
    return admin_handle(w.admin, peer, q, body, r);
}

static void extra_cancel(void *ctx, struct control_reply *r, void *waiting)
{
    (void)ctx;
    if (w.admin) admin_cancel(w.admin, r, waiting);
}

static int setup(void **state)
{
    (void)state;
    char why[KEEPER_WHY];
    enum audit_fault fault;
    const char *quick = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; /* thousands of records, each synced */
    (void)snprintf(w.folder, sizeof w.folder, "%s/sallyport-admin-XXXXXX", quick);
    assert_non_null(mkdtemp(w.folder));
    w.loop = loop_new(NULL);
    w.pool = offload_new(1, 8);
    struct keeper_config k = {.engine = KEEPER_MEMORY, .spaces = KEEPER_ALL};
    assert_err(keeper_new(&k, &w.keeper, why), ERR_OK);
    assert_err(store_local_new(w.keeper, w.loop, KEEPER_ALL, &between.real), ERR_OK);
    between = (struct between){.store = {&between_ops, w.loop}, .real = between.real, .refuse_at = -1};
    char audit[128], key[AUDIT_KEY_LEN] = "";
    (void)snprintf(audit, sizeof audit, "%s/audit", w.folder);
    struct audit_options a = {.folder = audit, .chain = "run", .key = str_make(key, sizeof key)};
    assert_err(audit_open(&a, &w.audit, &fault), ERR_OK);
    assert_err(seal_init(&w.seal, STR("0123456789012345678901234567890123456789")), ERR_OK);
    struct admin_options o = {.loop = w.loop,
                              .store = &between.store,
                              .keeper = w.keeper,
                              .seal = &w.seal,
                              .audit = w.audit,
                              .pool = w.pool,
                              .data = w.folder};
    assert_err(admin_new(&o, &w.admin), ERR_OK);
    w.source = (struct control_source){.extra = extra, .extra_cancel = extra_cancel};
    w.control.source = &w.source;
    return 0;
}

static void remove_all(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char inner[512];
        (void)snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.' && unlink(inner) != 0) remove_all(inner);
    }
    if (d) closedir(d);
    (void)rmdir(path);
}

static bool pool_is_idle;

static void nothing(struct offload_job *job)
{
    (void)job;
}

static void on_idle(struct offload_job *job)
{
    (void)job;
    pool_is_idle = true;
}

/* What the pool was given before has come back: its one thread works in order. */
static void settle_pool(void)
{
    struct offload_job last = {.run = nothing, .done = on_idle};
    pool_is_idle = false;
    assert_err(offload_submit(w.pool, w.loop, &last), ERR_OK);
    while (!pool_is_idle) loop_turn(w.loop, 10);
}

static int teardown(void **state)
{
    (void)state;
    admin_free(&w.admin);
    store_free(&between.real);
    settle_pool();
    for (int i = 0; i < 5; i++) loop_turn(w.loop, 1);
    offload_free(&w.pool);
    audit_close(&w.audit);
    for (int i = 0; i < 5; i++) loop_turn(w.loop, 1);
    keeper_free(&w.keeper);
    loop_free(&w.loop);
    remove_all(w.folder);
    return 0;
}

/* --- asking --- */
struct answer {
    struct control_reply reply;
    bool ready;
};

static void on_ready(void *arg)
{
    ((struct answer *)arg)->ready = true;
}

static void begin(struct answer *a, const char *method, const char *target, const char *body)
{
    struct field type = {STR_INIT("Content-Type"), STR_INIT("application/json"), FIELD_CONTENT_TYPE, false, false};
    str t = str_of(target), path = str_cut(&t, '?');
    struct request q = {.method = str_of(method), .method_id = method_of(str_of(method)), .path = path, .query = t};
    q.has_query = t.n > 0;
    q.fields = (struct fields){&type, 1, 1};
    struct control_peer peer = {.face = CONTROL_LOCAL, .known = true, .uid = 4711, .pid = 42};
    memset(a, 0, sizeof *a);
    buf_init(&a->reply.body, CONTROL_REPLY_MAX);
    a->reply.ready = on_ready;
    a->reply.ready_arg = a;
    control_handle(&w.control, &peer, &q, str_of(body), &a->reply);
}

static bool finished(const struct answer *a)
{
    return a->reply.next != CONTROL_WAIT || a->ready;
}

static uint16_t ask(const char *method, const char *target, const char *body, struct answer *a)
{
    begin(a, method, target, body);
    for (int i = 0; i < 3000 && !finished(a); i++) loop_turn(w.loop, 5);
    if (!finished(a)) fail_msg("%s %s is not answered", method, target);
    return a->reply.status;
}

/* The status; the body is looked at for `part` unless that is NULL. */
static uint16_t asked(const char *method, const char *target, const char *body, const char *part)
{
    struct answer a;
    uint16_t status = ask(method, target, body, &a);
    str got = buf_str(&a.reply.body);
    if (part && !memmem(got.p, got.n, part, strlen(part)))
        fail_msg("%s %s: %u %.*s has no '%s'", method, target, status, STR_ARG(got), part);
    char first[4096];
    struct arena mem;
    const struct json *v;
    arena_init(&mem, first, sizeof first, 1 << 22);
    if (json_parse(got, &json_limits_document, &mem, &v, NULL, NULL) != ERR_OK)
        fail_msg("%s %s: no JSON: %.*s", method, target, STR_ARG(got));
    arena_reset(&mem);
    control_reply_free(&a.reply);
    return status;
}

#define SHORT_HASH "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

/* Every change there is; `before` makes what it needs. */
static const struct change {
    const char *name, *before[3][3], *ask[3];
    uint16_t want;
} changes[] = {
    {"add a user", {{NULL}}, {"POST", "/v1/users", "{\"name\":\"ann\",\"hash\":\"" SHORT_HASH "\"}"}, 201},
    {"add with a password", {{NULL}}, {"POST", "/v1/users", "{\"name\":\"ann\",\"password\":\"long enough\"}"}, 201},
    {"set a password",
     {{"POST", "/v1/users", "{\"name\":\"ann\"}"}},
     {"POST", "/v1/users/ann/password", "{\"hash\":\"" SHORT_HASH "\",\"end_sessions\":true}"},
     200},
    {"grant",
     {{"POST", "/v1/users", "{\"name\":\"ann\"}"}},
     {"POST", "/v1/users/ann/grants", "{\"add_roles\":[\"a\",\"b\"]}"},
     200},
    {"disable", {{"POST", "/v1/users", "{\"name\":\"ann\"}"}}, {"POST", "/v1/users/ann/disable", "{}"}, 200},
    {"enable", {{"POST", "/v1/users", "{\"name\":\"ann\"}"}}, {"POST", "/v1/users/ann/enable", "{}"}, 200},
    {"delete", {{"POST", "/v1/users", "{\"name\":\"ann\"}"}}, {"DELETE", "/v1/users/ann", ""}, 200},
    {"use a name again",
     {{"POST", "/v1/users", "{\"name\":\"ann\"}"}, {"DELETE", "/v1/users/ann", ""}},
     {"POST", "/v1/users", "{\"name\":\"ann\",\"reuse\":true}"},
     201},
    {"import",
     {{"POST", "/v1/users", "{\"name\":\"ann\"}"}},
     {"POST", "/v1/users/import", "{\"users\":[{\"name\":\"ann\"},{\"name\":\"bob\"},{\"name\":\"b ob\"}]}"},
     200},
    {"add a product", {{NULL}}, {"POST", "/v1/products", "{\"name\":\"web\",\"may\":[\"x\"]}"}, 201},
    {"remove a product",
     {{"POST", "/v1/products", "{\"name\":\"web\"}"}, {"POST", "/v1/apikeys", "{\"product\":\"web\"}"}},
     {"DELETE", "/v1/products/web", ""},
     200},
    {"add a key",
     {{"POST", "/v1/products", "{\"name\":\"web\"}"}},
     {"POST", "/v1/apikeys", "{\"product\":\"web\",\"label\":\"x\",\"expires_s\":9999999999}"},
     201},
    {"make a secret",
     {{"POST", "/v1/products", "{\"name\":\"web\"}"}},
     {"POST", "/v1/secrets", "{\"product\":\"web\"}"},
     201},
    {"confirm a secret",
     {{"POST", "/v1/products", "{\"name\":\"web\"}"}, {"POST", "/v1/secrets", "{\"product\":\"web\"}"}},
     {"POST", "/v1/secrets/web/confirm", "{}"},
     200},
    {"revoke a user",
     {{"POST", "/v1/users", "{\"name\":\"ann\"}"}},
     {"POST", "/v1/revocations", "{\"kind\":\"user\",\"value\":\"ann\"}"},
     200},
    {"revoke a token", {{NULL}}, {"POST", "/v1/revocations", "{\"kind\":\"token\",\"value\":\"jti/1 2\"}"}, 200},
    {"revoke a foreign user",
     {{NULL}},
     {"POST", "/v1/revocations", "{\"kind\":\"user\",\"issuer\":\"corp\",\"value\":\"x y\",\"reason\":\"left\"}"},
     200},
    {"revoke all", {{NULL}}, {"POST", "/v1/revocations", "{\"kind\":\"all\"}"}, 200},
    {"rotate", {{NULL}}, {"POST", "/v1/keys/rotate", "{\"alg\":\"EdDSA\"}"}, 200},
};

static void prepare(const struct change *c)
{
    for (size_t i = 0; i < ARRAY_LEN(c->before) && c->before[i][0]; i++) {
        uint16_t status = asked(c->before[i][0], c->before[i][1], c->before[i][2], NULL);
        if (status >= 300) fail_msg("%s: what it needs is %u", c->name, status);
    }
}

static void every_change_works(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        prepare(&changes[i]);
        uint16_t status = asked(changes[i].ask[0], changes[i].ask[1], changes[i].ask[2], NULL);
        if (status != changes[i].want) fail_msg("%s: %u", changes[i].name, status);
        teardown(state);
        setup(state);
    }
}

/* Each job of each change ends with each error once: an answer comes, it is a problem, and the next call works. */
static void every_job_of_every_change_may_fail(void **state)
{
    static const enum err errors[] = {ERR_IO, ERR_CLOSED, ERR_DENIED, ERR_NO_MEMORY, ERR_CONFLICT};
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        for (size_t e = 0; e < ARRAY_LEN(errors); e++) {
            for (long at = 0;; at++) {
                prepare(&changes[i]);
                between.refuse_at = at;
                between.with = errors[e];
                uint16_t status = asked(changes[i].ask[0], changes[i].ask[1], changes[i].ask[2], NULL);
                bool hit = between.refuse_at < 0;
                between.refuse_at = -1;
                bool may_work = errors[e] == ERR_CONFLICT; /* tried again */
                if (hit && !may_work && status < 400)
                    fail_msg("%s job %ld %s: %u", changes[i].name, at, err_name(errors[e]), status);
                if (!hit && status != changes[i].want) fail_msg("%s job %ld: %u", changes[i].name, at, status);
                if (status == 500 && errors[e] != ERR_NO_MEMORY)
                    fail_msg("%s job %ld %s: 500", changes[i].name, at, err_name(errors[e]));
                teardown(state);
                setup(state);
                if (!hit) break;
            }
        }
    }
}

static void memory_may_be_out_at_any_moment(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        for (long at = 0;; at++) {
            struct answer a;
            prepare(&changes[i]);
            alloc_fail_at(at);
            begin(&a, changes[i].ask[0], changes[i].ask[1], changes[i].ask[2]);
            bool hit = alloc_fail_hit(); /* only what is asked for at once: other threads allocate as well */
            alloc_fail_at(-1);
            for (int t = 0; t < 3000 && !finished(&a); t++) loop_turn(w.loop, 5);
            if (!finished(&a)) fail_msg("%s allocation %ld: not answered", changes[i].name, at);
            if (!hit && a.reply.status != changes[i].want) fail_msg("%s: %u", changes[i].name, a.reply.status);
            control_reply_free(&a.reply);
            teardown(state);
            setup(state);
            if (!hit) break;
        }
    }
}

/* --- somebody is quicker --- */
static int quicker;

static bool was_quicker;

static void on_quicker(struct store_job *job)
{
    store_job_clear(job);
    was_quicker = true;
}

static void change_it_first(struct store_job *job)
{
    static struct store_op op;
    static struct store_job mine;
    static bool under_way;
    if (!quicker || job->space != STORE_IDENTITY || under_way) return;
    quicker--;
    op = (struct store_op){.verb = STORE_PUT, .key = job->ops[0].key};
    op.value = STR("{\"sub\":\"ann\",\"roles\":[\"x\"],\"permissions\":[],\"created_ms\":1,\"changed_ms\":1}");
    mine = (struct store_job){.kind = STORE_BATCH, .space = STORE_IDENTITY, .ops = &op, .n_ops = 1};
    struct store *s;
    struct loop *l = loop_new(NULL);
    under_way = true;
    assert_err(store_local_new(w.keeper, l, KEEPER_ALL, &s), ERR_OK);
    mine.done = on_quicker;
    was_quicker = false;
    store_submit(s, &mine);
    for (int i = 0; i < 1000 && !was_quicker; i++) loop_turn(l, 10);
    store_free(&s);
    loop_free(&l);
    under_way = false;
}

static void a_change_is_made_on_what_is_there_now(void **state)
{
    (void)state;
    assert_int_equal(asked("POST", "/v1/users", "{\"name\":\"ann\"}", NULL), 201);
    between.before = change_it_first;
    quicker = 3;
    assert_int_equal(asked("POST", "/v1/users/ann/grants", "{\"add_roles\":[\"y\"]}", "[\"x\",\"y\"]"), 200);
    quicker = 1000;
    assert_int_equal(asked("POST", "/v1/users/ann/grants", "{\"add_roles\":[\"z\"]}", "\"changed\""), 409);
    quicker = 1;
    assert_int_equal(asked("POST", "/v1/users", "{\"name\":\"bob\"}", "\"exists\""), 409);
    quicker = 1;
    assert_int_equal(asked("POST", "/v1/users/import", "{\"users\":[{\"name\":\"eve\"},{\"name\":\"dan\"}]}",
                           "{\"imported\":1,\"bad\":[{\"line\":1,\"name\":\"eve\""),
                     200);
    quicker = 0;
}

/* --- nobody is left --- */

static void an_asker_may_go_at_any_moment(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        for (int turns = 0; turns < 6; turns++) {
            struct answer a;
            prepare(&changes[i]);
            begin(&a, changes[i].ask[0], changes[i].ask[1], changes[i].ask[2]);
            for (int t = 0; t < turns; t++) loop_turn(w.loop, 1);
            control_reply_free(&a.reply);
            memset(&a, 0xa5, sizeof a);
            for (int t = 0; t < 12; t++) loop_turn(w.loop, 1);
            teardown(state);
            setup(state);
        }
    }
}

static void the_administration_may_end_at_any_moment(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        for (int turns = 0; turns < 6; turns++) {
            struct answer a;
            prepare(&changes[i]);
            begin(&a, changes[i].ask[0], changes[i].ask[1], changes[i].ask[2]);
            for (int t = 0; t < turns; t++) loop_turn(w.loop, 1);
            admin_free(&w.admin);
            control_reply_free(&a.reply);
            teardown(state);
            setup(state);
        }
    }
}

/* --- the record --- */

static bool recorded(const char *what)
{
    char folder[128];
    struct audit_cursor c;
    struct buf b;
    bool more, found = false;
    (void)snprintf(folder, sizeof folder, "%s/audit", w.folder);
    buf_init(&b, 1 << 20);
    if (audit_cursor_last(folder, 1000, &c) == ERR_OK &&
        audit_read_on(folder, &c, AUDIT_KINDS, 1 << 19, &b, &more) == ERR_OK)
        found = memmem(b.p, b.n, what, strlen(what)) != NULL;
    buf_free(&b);
    return found;
}

static void what_is_done_is_on_the_record_when_the_answer_comes(void **state)
{
    (void)state;
    assert_int_equal(asked("POST", "/v1/users", "{\"name\":\"ann\"}", NULL), 201);
    assert_true(
        recorded("\"event\":\"user_added\",\"outcome\":\"ok\",\"who\":\"uid 4711 (?), pid 42\",\"subject\":\"ann\""));
    assert_int_equal(asked("POST", "/v1/users", "{\"name\":\"ann\"}", NULL), 409);
    for (int i = 0; i < 100 && !recorded("\"admin_refused\""); i++) usleep(10000);
    assert_true(recorded("\"admin_refused\""));
    assert_int_equal(asked("POST", "/v1/revocations", "{\"kind\":\"token\",\"value\":\"t1\"}", "\"complete\":true"),
                     200);
    assert_true(recorded("\"event\":\"revoked\""));
    assert_int_equal(asked("GET", "/v1/audit/verify", "", "\"chain\":\"run\""), 200);
    assert_int_equal(asked("GET", "/v1/audit?last=5&event=revoked", "", "\"event\":\"revoked\""), 200);
}

static void what_cannot_be_recorded_is_not_done(void **state)
{
    (void)state;
    struct rlimit before, tight;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    audit_event(w.audit, &(struct audit_record){.event = AUDIT_LOGIN});
    for (int i = 0; i < 300 && audit_ready(w.audit); i++) usleep(10000);
    assert_false(audit_ready(w.audit));
    long jobs = between.jobs;
    uint16_t status = asked("POST", "/v1/users", "{\"name\":\"ann\"}", "audit_unavailable");
    assert_int_equal(asked("GET", "/v1/users", "", "\"users\":[]"), 200); /* looking goes on */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, 503);
    assert_int_equal(between.jobs, jobs + 1);
    for (int i = 0; i < 300 && !audit_ready(w.audit); i++) usleep(10000);
    assert_int_equal(asked("POST", "/v1/users", "{\"name\":\"ann\"}", NULL), 201);
}

/* --- revocations and who must hear of them --- */

static struct store_watch watch;

static void on_change(struct store_watch *x, const struct store_change *c)
{
    (void)x;
    (void)c;
}

static void a_revocation_waits_for_whoever_holds_a_lease(void **state)
{
    (void)state;
    watch = (struct store_watch){.space = STORE_CONTROL,
                                 .prefix = STR(""),
                                 .name = STR("gateway/test/1"),
                                 .lease_ms = 60000,
                                 .on_change = on_change};
    assert_err(store_watch_start(between.real, &watch), ERR_OK);
    for (int i = 0; i < 20; i++) loop_turn(w.loop, 5);
    assert_int_equal(asked("POST", "/v1/revocations", "{\"kind\":\"token\",\"value\":\"t1\",\"wait_ms\":50}",
                           "\"complete\":false"),
                     200);
    struct answer a;
    begin(&a, "POST", "/v1/revocations", "{\"kind\":\"token\",\"value\":\"t2\",\"wait_ms\":10000}");
    for (int i = 0; i < 20; i++) loop_turn(w.loop, 5);
    assert_false(finished(&a));
    store_watch_confirm(between.real, &watch, watch.seen);
    for (int i = 0; i < 500 && !finished(&a); i++) loop_turn(w.loop, 5);
    assert_true(finished(&a));
    static const str want = STR_INIT("\"confirmed\":[{\"name\":\"gateway/test/1\"}]");
    assert_non_null(memmem(a.reply.body.p, a.reply.body.n, want.p, want.n));
    control_reply_free(&a.reply);
    store_watch_stop(between.real, &watch);
    for (int i = 0; i < 20; i++) loop_turn(w.loop, 5);
    assert_int_equal(asked("POST", "/v1/revocations", "{\"kind\":\"all\"}", "\"confirmed\":[],\"missing\":[]"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_change_works, setup, teardown),
        cmocka_unit_test_setup_teardown(every_job_of_every_change_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_is_made_on_what_is_there_now, setup, teardown),
        cmocka_unit_test_setup_teardown(an_asker_may_go_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(the_administration_may_end_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_done_is_on_the_record_when_the_answer_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_recorded_is_not_done, setup, teardown),
        cmocka_unit_test_setup_teardown(a_revocation_waits_for_whoever_holds_a_lease, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
