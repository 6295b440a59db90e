/* The loop under a clock of our own: what a timer wheel gets wrong shows after hours, not in a test's second. */
#include "unit.h"

#include "net/loop.h"
#include "net/offload.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

static uint64_t fake_ns = 1000000000;

uint64_t __wrap_clock_mono_ns(void);
uint64_t __wrap_clock_mono_ns(void)
{
    return fake_ns;
}

static uint64_t seed = 88172645463325252u;

static uint64_t random_below(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

/* --- timers against the obvious oracle: everything whose time has come, nothing else --- */

enum { N = 3000 };

struct probe {
    struct timer timer;
    bool wanted, fired;
};

static struct loop *l;
static struct probe probes[N];

static void on_time(struct timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    assert_true(p->wanted);
    assert_false(p->fired);
    if (loop_now_ms(l) < t->at_ms) fail_msg("early by %llu ms", (unsigned long long)(t->at_ms - loop_now_ms(l)));
    p->fired = true;
    p->wanted = false;
}

static void set_random(struct probe *p)
{
    static const uint64_t spans[] = {4, 100, 600, 40000, 3000000, 200000000, 3000000000};
    p->timer.on_time = on_time;
    p->fired = false;
    p->wanted = true;
    timer_set(l, &p->timer, loop_now_ms(l) + random_below(spans[random_below(ARRAY_LEN(spans))]));
}

static void none_is_overdue(uint64_t grace_ms)
{
    for (int i = 0; i < N; i++)
        if (probes[i].wanted && loop_now_ms(l) > probes[i].timer.at_ms + grace_ms)
            fail_msg("late by %llu ms", (unsigned long long)(loop_now_ms(l) - probes[i].timer.at_ms));
}

static void timers_fire_when_due(void **state)
{
    (void)state;
    static const uint64_t steps_ms[] = {0, 1, 7, 8, 9, 63, 511, 512, 513, 5000, 32768, 100000, 5000000, 400000000};
    l = loop_new(NULL);
    assert_non_null(l);
    for (int round = 0; round < 4000; round++) {
        struct probe *p = &probes[random_below(N)];
        if (random_below(4) == 0) {
            timer_clear(l, &p->timer);
            p->wanted = false;
        } else {
            set_random(p);
        }
        if (random_below(3)) continue;
        fake_ns += steps_ms[random_below(ARRAY_LEN(steps_ms))] * 1000000;
        loop_turn(l, 0);
        none_is_overdue(16); /* one tick, and one of rounding up */
    }
    fake_ns += UINT64_C(4000000000) * 1000000;
    for (int turn = 0; turn < 3; turn++) loop_turn(l, 0);
    for (int i = 0; i < N; i++) assert_false(probes[i].wanted);
    loop_free(&l);
}

static int order_at;
static void sets_itself_again(struct timer *t)
{
    if (++order_at < 5) timer_set(l, t, loop_now_ms(l));
}

static void a_timer_may_set_itself_for_now(void **state)
{
    (void)state;
    struct timer t = {.on_time = sets_itself_again};
    l = loop_new(NULL);
    timer_set(l, &t, loop_now_ms(l));
    for (int turn = 1; turn <= 5; turn++) {
        fake_ns += 8000000;
        loop_turn(l, 0);
        assert_int_equal(order_at, turn); /* not twice in one tick: no loop can be made of it */
    }
    assert_false(timer_is_set(&t));
    loop_free(&l);
}

/* --- mail --- */

enum { SENDERS = 4, LETTERS = 5000 };

struct letter {
    struct mail mail;
    int sender, number;
};

static struct letter letters[SENDERS][LETTERS];
static int got[SENDERS], total;

static void on_mail(struct mail *m, void *owner)
{
    struct letter *x = CONTAINER_OF(m, struct letter, mail);
    assert_ptr_equal(owner, got);
    assert_int_equal(x->number, got[x->sender]); /* letters of one sender arrive in order */
    got[x->sender]++;
    total++;
}

static void *send_all(void *arg)
{
    int sender = (int)(intptr_t)arg;
    for (int i = 0; i < LETTERS; i++) {
        letters[sender][i] = (struct letter){{.on_mail = on_mail}, sender, i};
        mail_post(l, &letters[sender][i].mail);
    }
    return NULL;
}

static void mail_arrives_once_and_in_order(void **state)
{
    (void)state;
    pthread_t threads[SENDERS];
    l = loop_new(got);
    for (intptr_t i = 0; i < SENDERS; i++) pthread_create(&threads[i], NULL, send_all, (void *)i);
    for (int turns = 0; total < SENDERS * LETTERS && turns < 1000000; turns++) loop_turn(l, 100);
    for (int i = 0; i < SENDERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(total, SENDERS * LETTERS);
    loop_free(&l);
}

static bool of_sender(struct mail *m, void *whose)
{
    return CONTAINER_OF(m, struct letter, mail)->sender == *(int *)whose;
}

static void letters_are_taken_back_in_order_and_the_others_still_come(void **state)
{
    (void)state;
    struct letter x[6];
    int whose = 1;
    total = got[0] = got[1] = 0;
    l = loop_new(got);
    assert_null(mail_take_back(l, of_sender, &whose));
    for (int i = 0; i < 6; i++) {
        x[i] = (struct letter){{.on_mail = on_mail}, i % 2, i / 2};
        mail_post(l, &x[i].mail);
        if (i != 3) continue;
        struct mail *first = mail_take_back(l, of_sender, &whose);
        assert_ptr_equal(first, &x[1].mail);
        assert_ptr_equal(first->next, &x[3].mail);
        assert_null(first->next->next);
    }
    assert_ptr_equal(mail_take_back(l, of_sender, &whose), &x[5].mail);
    loop_turn(l, 0);
    assert_int_equal(got[0], 3);
    assert_int_equal(got[1], 0);
    loop_free(&l);
}

static struct mail answer_letter;
static int answers;

static void on_answer(struct mail *m, void *owner)
{
    (void)m;
    (void)owner;
    answers++;
}

static void post_answer(struct mail *m, void *owner)
{
    (void)m;
    (void)owner;
    answer_letter.on_mail = on_answer;
    mail_post(l, &answer_letter);
}

static void a_letter_posted_while_others_are_delivered_does_not_wait(void **state)
{
    (void)state;
    struct timespec from, to;
    struct mail question = {.on_mail = post_answer};
    l = loop_new(NULL);
    mail_post(l, &question);
    loop_turn(l, 0); /* delivers the question, and only then hears both rings */
    clock_gettime(CLOCK_MONOTONIC, &from);
    loop_turn(l, 2000);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_int_equal(answers, 1);
    assert_true(to.tv_sec - from.tv_sec < 2);
    loop_free(&l);
}

/* --- descriptors and tasks --- */

struct pair {
    struct watch watch;
    struct pair *other;
    int events;
};

static void closes_the_other(struct watch *w, uint32_t events)
{
    struct pair *p = CONTAINER_OF(w, struct pair, watch);
    (void)events;
    p->events++;
    watch_close(&p->other->watch);
}

static void a_closed_watch_gets_no_event_of_its_turn(void **state)
{
    (void)state;
    int a[2], b[2];
    struct pair one = {.watch = {.on_event = closes_the_other}}, two = one;
    assert_int_equal(pipe(a) | pipe(b), 0);
    one.other = &two;
    two.other = &one;
    one.watch.fd = a[0];
    two.watch.fd = b[0];
    l = loop_new(NULL);
    assert_err(watch_add(l, &one.watch, EPOLLIN), ERR_OK);
    assert_err(watch_add(l, &two.watch, EPOLLIN), ERR_OK);
    assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
    loop_turn(l, 1000);
    assert_int_equal(one.events + two.events, 1);
    watch_close(&one.watch);
    watch_close(&two.watch);
    close(a[1]);
    close(b[1]);
    loop_free(&l);
}

static int ran[3], ran_n;
static struct task tasks[3];
static struct task *take_back;
static void run_task(struct task *t)
{
    ran[ran_n++] = (int)(t - tasks);
    if (t == &tasks[0]) loop_defer(l, &tasks[2]);
    if (t == &tasks[0] && take_back) loop_undefer(l, take_back);
}

static void tasks_run_once_in_order_and_what_they_defer_in_the_next_turn(void **state)
{
    (void)state;
    l = loop_new(NULL);
    for (int i = 0; i < 3; i++) tasks[i] = (struct task){.run = run_task};
    loop_defer(l, &tasks[0]);
    loop_defer(l, &tasks[1]);
    loop_defer(l, &tasks[0]);
    loop_turn(l, 0);
    assert_int_equal(ran_n, 2);
    loop_turn(l, -1); /* does not wait while there is a task */
    assert_int_equal(ran_n, 3);
    assert_true(ran[0] == 0 && ran[1] == 1 && ran[2] == 2);
    loop_free(&l);
}

static void tasks_are_taken_back_wherever_they_wait(void **state)
{
    (void)state;
    l = loop_new(NULL);
    for (int which = 0; which < 3; which++) {
        ran_n = 0;
        for (int i = 0; i < 3; i++) tasks[i] = (struct task){.run = run_task};
        loop_defer(l, &tasks[0]);
        loop_defer(l, &tasks[1]);
        take_back = which == 0 ? NULL : &tasks[which]; /* 1: waits in this turn; 2: in the next */
        if (which == 0) loop_undefer(l, &tasks[1]);    /* the last one: the next goes behind the right end */
        loop_undefer(l, &tasks[2]);                    /* idle */
        loop_turn(l, 0);
        loop_turn(l, 0);
        assert_int_equal(ran_n, 2);
        assert_int_equal(ran[0], 0);
        assert_int_equal(ran[1], which == 2 ? 1 : 2);
        assert_false(tasks[1].queued || tasks[2].queued);
    }
    take_back = NULL;
    loop_free(&l);
}

static struct watch *dropped;
static int events_n;
static void drop_the_other(struct watch *w, uint32_t events)
{
    (void)events;
    events_n++;
    for (int i = 0; i < 2; i++) {
        if (!dropped || dropped + i == w) continue;
        watch_drop(l, dropped + i);
        (dropped + i)->fd = 12345; /* as if the memory were another's by now */
    }
}

static void a_dropped_watch_is_never_looked_at_again(void **state)
{
    (void)state;
    int a[2], b[2];
    struct watch two[2];
    l = loop_new(NULL);
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    two[0] = (struct watch){drop_the_other, a[0]};
    two[1] = (struct watch){drop_the_other, b[0]};
    assert_err(watch_add(l, &two[0], EPOLLIN), ERR_OK);
    assert_err(watch_add(l, &two[1], EPOLLIN), ERR_OK);
    dropped = two;
    events_n = 0;
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    loop_turn(l, 0);
    assert_int_equal(events_n, 1);
    for (int i = 0; i < 2; i++)
        if (two[i].fd != 12345) watch_close(&two[i]);
    close(a[1]);
    close(b[1]);
    loop_free(&l);
}

/* --- offload --- */

struct work {
    struct offload_job job;
    int value;
};
static int done_n;

static void square(struct offload_job *job)
{
    struct work *w = CONTAINER_OF(job, struct work, job);
    usleep(100);
    w->value *= w->value;
}

static void count_done(struct offload_job *job)
{
    struct work *w = CONTAINER_OF(job, struct work, job);
    assert_int_equal(w->value, 49);
    done_n++;
}

static void slow_work_comes_back_to_its_loop(void **state)
{
    (void)state;
    enum { JOBS = 40, QUEUE = 16 };
    static struct work works[JOBS];
    int taken = 0, refused = 0;
    struct offload *o = offload_new(2, QUEUE);
    l = loop_new(NULL);
    for (int i = 0; i < JOBS; i++) {
        works[i] = (struct work){{.run = square, .done = count_done}, 7};
        enum err e = offload_submit(o, l, &works[i].job);
        if (e == ERR_OK)
            taken++;
        else if (e == ERR_LIMIT)
            refused++;
        else
            fail_msg("%s", err_name(e));
    }
    assert_true(taken >= QUEUE);
    assert_int_equal(taken + refused, JOBS);
    for (int turns = 0; done_n < taken && turns < 100000; turns++) loop_turn(l, 100);
    assert_int_equal(done_n, taken);
    offload_free(&o);
    loop_free(&l);
    EACH_ALLOC_FAILING({
        struct offload *f = offload_new(1, 1);
        assert_true(f || alloc_fail_hit());
        offload_free(&f);
        struct loop *g = loop_new(NULL);
        assert_true(g || alloc_fail_hit());
        loop_free(&g);
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_when_due),
        cmocka_unit_test(a_timer_may_set_itself_for_now),
        cmocka_unit_test(mail_arrives_once_and_in_order),
        cmocka_unit_test(letters_are_taken_back_in_order_and_the_others_still_come),
        cmocka_unit_test(a_letter_posted_while_others_are_delivered_does_not_wait),
        cmocka_unit_test(a_closed_watch_gets_no_event_of_its_turn),
        cmocka_unit_test(tasks_run_once_in_order_and_what_they_defer_in_the_next_turn),
        cmocka_unit_test(tasks_are_taken_back_wherever_they_wait),
        cmocka_unit_test(a_dropped_watch_is_never_looked_at_again),
        cmocka_unit_test(slow_work_comes_back_to_its_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
