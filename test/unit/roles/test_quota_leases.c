/* Leases of quotas and metering, over a store that lives in an array here: it answers when, and as, a test says. The
 * wall clock is the test's (link with -Wl,--wrap=clock_wall_ms). */
#include "unit.h"

#include "config/fed.h"
#include "proxy/meter.h"
#include "roles/gateway_quota.h"
#include "roles/gateway_usage.h"
#include "store/usage_record.h"

#define HOUR_MS UINT64_C(3600000)

static uint64_t wall_ms;
uint64_t __wrap_clock_wall_ms(void);
uint64_t __wrap_clock_wall_ms(void)
{
    return wall_ms;
}

/* --- the store --- */

struct kept {
    char key[160], value[RECORD_MAX];
    uint64_t version;
};
static struct kept table[64];
static size_t n_table;
static enum err refusal; /* answered to every job */
static bool silent;      /* nothing is answered until `let_go` */
static struct store_job *held[8];
static size_t n_held;
static unsigned conflicts; /* so many writes find another version */
static struct store_entry answer;
static struct store the_store;

static struct kept *find(str key)
{
    for (size_t i = 0; i < n_table; i++)
        if (str_eq(str_of(table[i].key), key)) return &table[i];
    return NULL;
}

static enum err put(const struct store_op *op)
{
    struct kept *k = find(op->key);
    if (op->condition == STORE_VERSION && (conflicts ? conflicts-- : 0)) return ERR_CONFLICT;
    if (op->condition == STORE_VERSION && (k ? k->version : 0) != op->version) return ERR_CONFLICT;
    if (!k) k = &table[n_table++];
    assert_true(n_table < ARRAY_LEN(table) && op->key.n < sizeof k->key && op->value.n < sizeof k->value);
    memcpy(k->key, op->key.p, op->key.n);
    k->key[op->key.n] = '\0';
    memcpy(k->value, op->value.p, op->value.n);
    k->value[op->value.n] = '\0';
    k->version++;
    return ERR_OK;
}

static void run(struct store_job *job)
{
    job->err = refusal;
    if (refusal == ERR_OK && job->kind == STORE_GET) {
        struct kept *k = find(job->keys[0]);
        answer = (struct store_entry){.key = job->keys[0]};
        if (k) answer = (struct store_entry){job->keys[0], str_of(k->value), k->version, 0};
        job->entries = &answer;
        job->n_entries = 1;
    }
    for (uint32_t i = 0; refusal == ERR_OK && i < job->n_ops && job->err == ERR_OK; i++) job->err = put(&job->ops[i]);
    job->done(job);
}

static void submit(struct store *s, struct store_job *job)
{
    (void)s;
    assert_true(n_held < ARRAY_LEN(held));
    held[n_held++] = job;
}

/* Answers what was asked, and what that asks. */
static void let_go(void)
{
    while (n_held && !silent) run(held[--n_held]);
}

static const struct store_ops ops = {.submit = submit};

static uint64_t used(const char *key)
{
    struct kept *k = find(str_of(key));
    unsigned long long n = 0;
    if (k) assert_int_equal(sscanf(k->value, "{\"used\":%llu}", &n), 1);
    return n;
}

/* --- a gateway's --- */

static unsigned wakes;

static void answered(void *ctx)
{
    (void)ctx;
    wakes++;
}

static struct loop *loop;
static struct gateway_quota *quota;
static struct snapshot_product product;
static struct snapshot snap;

static void turn(void)
{
    loop_turn(loop, 0);
    let_go();
}

/* Until so much time has passed by the loop's clock. */
static void pass(uint64_t ms)
{
    uint64_t until = loop_now_ms(loop) + ms;
    while (loop_now_ms(loop) < until) loop_turn(loop, 5);
    let_go();
}

static struct quota *the_quota(void)
{
    return quotas_find(gateway_quota_all(quota), product.mark);
}

static void follow(uint64_t requests, enum quota_window w)
{
    product.quota = (struct snapshot_quota){requests, w};
    snap.products = &product;
    snap.n_products = 1;
    if (!snap.products_by_name.n) assert_err(map_put(&snap.products_by_name, product.name, &product, NULL), ERR_OK);
    assert_err(gateway_quota_follow(quota, &snap), ERR_OK);
    turn();
}

static void begin(uint64_t requests, enum quota_window w, bool with_store)
{
    wall_ms = UINT64_C(1795132800000); /* 2026-11-20T00:00:00Z */
    n_table = n_held = 0;
    refusal = ERR_OK;
    silent = false;
    conflicts = wakes = 0;
    memset(table, 0, sizeof table);
    product = (struct snapshot_product){.name = STR("shop"), .mark = fed_mark(FED_PRODUCT, STR_NONE, STR("shop"))};
    snap = (struct snapshot){0};
    loop = loop_new(NULL);
    assert_non_null(loop);
    the_store = (struct store){&ops, loop};
    struct gateway_quota_options o = {.loop = loop, .store = with_store ? &the_store : NULL, .answered = answered};
    assert_err(gateway_quota_new(&o, &quota), ERR_OK);
    loop_turn(loop, 0);
    if (requests) follow(requests, w);
}

static void end(void)
{
    silent = false;
    refusal = ERR_CLOSED;
    gateway_quota_stop(quota);
    while (n_held) run(held[--n_held]);
    gateway_quota_free(&quota);
    map_free(&snap.products_by_name);
    loop_free(&loop);
}

static uint64_t take_all(void)
{
    uint64_t let = 0;
    for (int waited = 0; waited < 3;) {
        enum quota_answer a = quota_take(gateway_quota_all(quota), the_quota(), wall_ms);
        if (a == QUOTA_LET) {
            let++;
            waited = 0;
        } else if (a == QUOTA_WAIT) {
            waited++;
            turn();
        } else {
            break;
        }
    }
    return let;
}

static void all_of_it_and_not_one_more(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 19, 20, 21, 1000, 20000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        begin(sizes[i], QUOTA_DAY, true);
        assert_int_equal(take_all(), sizes[i]);
        assert_int_equal(used("quota/shop/day/1795132800"), sizes[i]);
        assert_int_equal(quota_take(gateway_quota_all(quota), the_quota(), wall_ms), QUOTA_EXHAUSTED);
        end();
    }
}

static void a_block_is_a_twentieth_at_most(void **state)
{
    (void)state;
    begin(1000, QUOTA_HOUR, true);
    uint64_t let = 0, most = 0;
    while (let < 500) {
        let += quota_take(gateway_quota_all(quota), the_quota(), wall_ms) == QUOTA_LET;
        turn();
        uint64_t held_now = used("quota/shop/hour/1795132800") - let;
        if (held_now > most) most = held_now;
    }
    assert_true(most > 10 && most <= 50);
    end();
}

static void the_next_window_is_another_quota(void **state)
{
    (void)state;
    begin(50, QUOTA_HOUR, true);
    assert_int_equal(take_all(), 50);
    wall_ms += HOUR_MS - 1;
    loop_turn(loop, 0);
    assert_int_equal(quota_take(gateway_quota_all(quota), the_quota(), wall_ms), QUOTA_EXHAUSTED);
    turn();
    wall_ms += 1;
    loop_turn(loop, 0);
    assert_int_equal(take_all(), 50);
    assert_int_equal(used("quota/shop/hour/1795132800"), 50);
    assert_int_equal(used("quota/shop/hour/1795136400"), 50);
    /* a clock that is set back does not open the window before it */
    wall_ms -= 30 * 60000;
    loop_turn(loop, 0);
    assert_int_equal(take_all(), 0);
    assert_int_equal(used("quota/shop/hour/1795132800"), 50);
    end();
}

static void conflicts_are_read_again(void **state)
{
    (void)state;
    begin(100, QUOTA_DAY, true);
    conflicts = 3;
    assert_int_equal(take_all(), 100);
    assert_int_equal(used("quota/shop/day/1795132800"), 100);
    end();
}

static void without_an_answer_a_block_on_credit_that_is_booked(void **state)
{
    (void)state;
    begin(1000, QUOTA_DAY, true);
    for (int i = 0; i < 200; i++) {
        (void)quota_take(gateway_quota_all(quota), the_quota(), wall_ms);
        turn();
    }
    uint64_t booked = used("quota/shop/day/1795132800");
    silent = true;
    uint64_t let = take_all(), before = let; /* what is in hand */
    assert_true(before <= 50);
    pass(1100); /* nobody is kept waiting for longer */
    let += take_all();
    assert_true(let > before && let <= before + 50);
    pass(50);
    assert_int_equal(quota_take(gateway_quota_all(quota), the_quota(), wall_ms), QUOTA_UNKNOWN);
    assert_int_equal(used("quota/shop/day/1795132800"), booked);
    silent = false;
    turn();                                                                    /* the answer comes after all */
    assert_true(used("quota/shop/day/1795132800") >= booked + (let - before)); /* the credit is booked */
    wall_ms += 2000;
    loop_turn(loop, 0);
    let += take_all();
    assert_int_equal(used("quota/shop/day/1795132800"), 1000);
    end();
}

static void what_is_known_to_be_exhausted_has_no_credit(void **state)
{
    (void)state;
    begin(30, QUOTA_DAY, true);
    assert_int_equal(take_all(), 30);
    refusal = ERR_TIMEOUT;
    for (int i = 0; i < 5; i++) {
        wall_ms += 5000;
        loop_turn(loop, 0);
        assert_int_equal(take_all(), 0);
        turn();
    }
    assert_int_equal(quota_take(gateway_quota_all(quota), the_quota(), wall_ms), QUOTA_EXHAUSTED);
    end();
}

static void what_is_left_is_given_back(void **state)
{
    (void)state;
    begin(1000, QUOTA_DAY, true);
    uint64_t let = 0;
    for (int i = 0; i < 333; i++) {
        let += quota_take(gateway_quota_all(quota), the_quota(), wall_ms) == QUOTA_LET;
        turn();
    }
    assert_true(used("quota/shop/day/1795132800") > let);
    conflicts = 2;
    assert_false(gateway_quota_gone(quota));
    turn();
    assert_true(gateway_quota_gone(quota));
    assert_int_equal(used("quota/shop/day/1795132800"), let);
    end();
}

static void another_quota_in_the_file_counts_at_once(void **state)
{
    (void)state;
    begin(10, QUOTA_DAY, true);
    assert_int_equal(take_all(), 10);
    follow(25, QUOTA_DAY);
    assert_int_equal(take_all(), 15);
    follow(5, QUOTA_DAY);
    assert_int_equal(take_all(), 0);
    follow(0, QUOTA_DAY);
    assert_int_equal(quota_take(gateway_quota_all(quota), the_quota(), wall_ms), QUOTA_LET);
    end();
}

static void a_booking_that_is_none_lets_nobody_through_for_ever(void **state)
{
    (void)state;
    begin(0, QUOTA_DAY, true);
    snprintf(table[0].key, sizeof table[0].key, "quota/shop/day/1795132800");
    snprintf(table[0].value, sizeof table[0].value, "{\"used\":-1}");
    table[0].version = 1;
    n_table = 1;
    follow(1000, QUOTA_DAY);
    assert_true(take_all() <= 50);
    assert_int_equal(quota_take(gateway_quota_all(quota), the_quota(), wall_ms), QUOTA_UNKNOWN);
    end();
}

/* --- metering --- */

static uint64_t total(const char *hour, int count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n_table; i++) {
        struct usage_row rows[USAGE_ROWS_MAX];
        struct arena mem;
        uint32_t n;
        if (!str_starts(str_of(table[i].key), str_of(hour))) continue;
        arena_init(&mem, NULL, 0, 1 << 20);
        assert_err(usage_record_read(str_of(table[i].value), &mem, rows, &n), ERR_OK);
        for (uint32_t k = 0; k < n; k++) sum += rows[k].counts[count];
        arena_reset(&mem);
    }
    return sum;
}

static void count(struct meter *m, uint64_t action, int times)
{
    struct meter_name of = {STR("shop"), STR("view"), 5, action, CALLER_USER};
    while (times--) meter_request(m, &of, METER_END_PERMITTED, 1, 2);
}

static void hours_are_kept_apart_and_nothing_is_lost(void **state)
{
    (void)state;
    struct gateway_usage *u = NULL;
    struct meter *m[2] = {NULL, NULL};
    begin(0, QUOTA_DAY, true);
    assert_err(gateway_usage_new(loop, &the_store, &u), ERR_OK);
    for (int i = 0; i < 2; i++) {
        assert_err(meter_new(&m[i]), ERR_OK);
        assert_err(gateway_usage_meter(u, m[i]), ERR_OK);
    }
    count(m[0], 1, 3);
    count(m[1], 1, 4);
    assert_false(gateway_usage_gone(u));
    let_go();
    assert_true(gateway_usage_gone(u));
    assert_int_equal(total("usage/1795132800/", METER_REQUESTS), 7);
    assert_int_equal(n_table, 1);
    /* more rows than an entry takes, while the store refuses */
    refusal = ERR_TIMEOUT;
    for (uint64_t a = 2; a < 102; a++) count(m[0], a, 1);
    (void)gateway_usage_gone(u);
    let_go();
    assert_int_equal(total("usage/1795132800/", METER_REQUESTS), 7);
    count(m[1], 1, 2);
    wall_ms += HOUR_MS; /* what came before the next look is of the hour that was */
    loop_turn(loop, 0);
    (void)gateway_usage_gone(u);
    let_go();
    count(m[0], 1, 5);
    refusal = ERR_OK;
    for (int i = 0; i < 8 && !gateway_usage_gone(u); i++) let_go();
    assert_true(gateway_usage_gone(u));
    assert_int_equal(total("usage/1795132800/", METER_REQUESTS), 109);
    assert_int_equal(total("usage/1795132800/", METER_BYTES_OUT), 218);
    assert_int_equal(total("usage/1795136400/", METER_REQUESTS), 5);
    gateway_usage_stop(u);
    gateway_usage_free(&u);
    for (int i = 0; i < 2; i++) meter_free(&m[i]);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_and_not_one_more),
        cmocka_unit_test(a_block_is_a_twentieth_at_most),
        cmocka_unit_test(the_next_window_is_another_quota),
        cmocka_unit_test(conflicts_are_read_again),
        cmocka_unit_test(without_an_answer_a_block_on_credit_that_is_booked),
        cmocka_unit_test(what_is_known_to_be_exhausted_has_no_credit),
        cmocka_unit_test(what_is_left_is_given_back),
        cmocka_unit_test(another_quota_in_the_file_counts_at_once),
        cmocka_unit_test(a_booking_that_is_none_lets_nobody_through_for_ever),
        cmocka_unit_test(hours_are_kept_apart_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
