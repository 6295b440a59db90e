/* How an attempt ended, and whether there is another. Who has asked may ask again only where that cannot make anything
 * happen twice (RFC 9110 §9.2.2), and only within the service's budget: those who try again are the first to crush a
 * service that is merely slow. */
#include "base/rand.h"
#include "proxy/dispatch.h"

#define PAUSE_MIN_MS 20

static struct service_state *state_of(const struct exchange *x)
{
    return x->config->instances->services[x->action->service];
}

/* --- the instance --- */

void attempt_enter(struct exchange *x)
{
    counter_add(&x->upstream->cell->in_flight, 1);
    x->under_way = true;
}

void attempt_leave(struct exchange *x)
{
    if (!x->under_way) return;
    counter_sub(&x->upstream->cell->in_flight, 1);
    x->under_way = false;
}

void attempt_report(struct exchange *x, enum instance_outcome outcome)
{
    const struct instance_set *set = x->config->instances;
    const struct snapshot_service *s = dispatch_service(x);
    instance_report(x->upstream->instance, x->worker->index, outcome, &s->eject, set->all + set->first[s->index],
                    s->n_instances, dispatch_now(x));
}

/* --- the breaker --- */

static void tell_breaker(const struct exchange *x, enum breaker_change change)
{
    static const struct {
        enum log_level level;
        const char *text;
    } words[] = {[BREAKER_OPENED] = {LOG_LEVEL_WARN, "a breaker opens: requests of that kind of caller are refused"},
                 [BREAKER_HALVED] = {LOG_LEVEL_INFO, "a breaker lets a trial through"},
                 [BREAKER_CLOSED_AGAIN] = {LOG_LEVEL_INFO, "a breaker is closed again"}};
    if (LIKELY(change == BREAKER_SAME)) return;
    log_event(words[change].level, log_msg(words[change].text), log_str("service", dispatch_service(x)->name),
              log_str("caller", str_of(caller_kind_name(x->caller))));
}

static enum step enter_breaker(struct exchange *x)
{
    enum breaker_change change;
    enum breaker_answer answer = breaker_begin(&state_of(x)->breakers[x->caller], &dispatch_service(x)->breaker,
                                               x->caller, dispatch_now(x), &x->breaker, &change);
    tell_breaker(x, change);
    if (LIKELY(answer == BREAKER_PASSED)) return STEP_NEXT;
    return refuse(x, answer == BREAKER_CROWDED ? REASON_CONCURRENCY_LIMIT : REASON_BREAKER_OPEN,
                  caller_kind_name(x->caller));
}

static void judge(struct exchange *x, bool good)
{
    if (!x->breaker.passed) return;
    tell_breaker(x, breaker_tell(&state_of(x)->breakers[x->caller], &dispatch_service(x)->breaker, dispatch_now(x),
                                 good, &x->breaker));
}

/* --- beginning --- */

static str header_named(const struct fields *f, str lower)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->v[i].name.n == lower.n && !f->v[i].drop && str_ieq(f->v[i].name, lower)) return f->v[i].value;
    return STR_NONE;
}

/* What does not have what it is to be hashed by is hashed by the next best: its product, its address. */
static uint64_t hash_key(struct exchange *x, const struct snapshot_service *s)
{
    str key = STR_NONE;
    switch (s->hash_by) {
    case HASH_BY_USER:
        if (x->token) key = x->token->caller.user_id;
        if (!key.n && x->product) key = x->product->name;
        break;
    case HASH_BY_PRODUCT:
        if (x->product) key = x->product->name;
        break;
    case HASH_BY_HEADER: key = header_named(&x->down.request.fields, s->hash_header); break;
    case HASH_BY_ADDRESS: break;
    }
    if (key.n) return balance_hash(key);
    /* the client's, not that of the proxy in front of us: else all of them would have one instance */
    char ip[NET_TEXT_MAX];
    struct net_peer client;
    exchange_client_address(x, &client);
    return balance_hash(str_make(ip, net_peer_ip_text(&client, ip)));
}

enum step attempt_begin(struct exchange *x)
{
    const struct snapshot_service *s = dispatch_service(x);
    if (!s->n_instances) return refuse(x, REASON_UPSTREAM_NONE, NULL);
    enum step next = s->breaker.on ? enter_breaker(x) : STEP_NEXT;
    if (next != STEP_NEXT) return next;
    if (s->balance == BALANCE_HASH) x->hash = hash_key(x, s);
    budget_request(&x->config->budgets[s->index], dispatch_now(x));
    return STEP_NEXT;
}

/* --- another attempt --- */

static void count_retry(struct exchange *x)
{
    x->again++;
    counter_add(&x->worker->numbers.retries, 1);
    counter_add(&x->upstream->cell->retries, 1);
}

bool attempt_again_unsent(struct exchange *x)
{
    if (x->again >= dispatch_service(x)->retry.attempts) return false;
    count_retry(x);
    return true;
}

static bool within_budget(struct exchange *x)
{
    const struct snapshot_service *s = dispatch_service(x);
    uint64_t now = dispatch_now(x);
    if (budget_retry(&x->config->budgets[s->index], s->retry.budget, now)) return true;
    if (s->retry.budget && service_retry_floor(state_of(x), now)) return true;
    atomic_fetch_add_explicit(&state_of(x)->retries_over, 1, memory_order_relaxed);
    return false;
}

static bool may_repeat(struct exchange *x, enum client_failure why)
{
    if (x->responding || x->body_taken || !method_is_idempotent(x->down.request.method_id)) return false;
    if (why == CLIENT_FAILED_UNREAD) return true; /* nobody was burdened; it comes once, the next one is fresh */
    if (why != CLIENT_FAILED_STALE && why != CLIENT_FAILED_BROKEN) return false;
    return x->again < dispatch_service(x)->retry.attempts && within_budget(x);
}

/* With nobody else to ask the same one is, after a pause that is not the same for all who were cut off together. */
static void ask_the_same(struct exchange *x)
{
    uint64_t pause = (uint64_t)PAUSE_MIN_MS << (x->again < 4 ? x->again : 4);
    x->stay = x->turn = true;
    exchange_stage(x, STAGE_BACKOFF, dispatch_now(x) + pause / 2 + rand_u64() % pause);
}

void dispatch_failed(struct exchange *x, enum client_failure why)
{
    if (!may_repeat(x, why)) {
        exchange_refuse(x, why == CLIENT_FAILED_GARBAGE ? REASON_UPSTREAM_GARBAGE : REASON_UPSTREAM_CLOSED, NULL);
        return;
    }
    if (why == CLIENT_FAILED_BROKEN) attempt_report(x, OUTCOME_CLOSED);
    if (why != CLIENT_FAILED_UNREAD) count_retry(x);
    x->up_started = x->up_done = false;
    x->stage = STAGE_NONE;
    x->fresh = true;
    x->step = STEP_OF_DISPATCH;
    /* time spent waiting for the answer does not count as connecting */
    x->connect_until_ms = dispatch_now(x) + dispatch_service(x)->connect_ms;
    if (why == CLIENT_FAILED_BROKEN && (!dispatch_pass_over(x) || !dispatch_has_other(x)))
        ask_the_same(x);
    else
        exchange_resume(x);
}

/* --- the end --- */

void dispatch_answered(struct exchange *x)
{
    uint16_t status = x->up.response.status;
    bool good = status < 502 || status > 504;
    attempt_report(x, good ? OUTCOME_ANSWERED : OUTCOME_UNAVAILABLE);
    x->answered_well = good;
    judge(x, good);
}

/* What the exchange's end tells of the instance that had it last. (Attempts to connect were told as they failed.) */
static void report_end(struct exchange *x)
{
    switch ((unsigned)x->reason) {
    case REASON_UPSTREAM_CLOSED: attempt_report(x, OUTCOME_CLOSED); break;
    case REASON_UPSTREAM_GARBAGE: attempt_report(x, OUTCOME_GARBAGE); break;
    case REASON_UPSTREAM_TIMEOUT: attempt_report(x, OUTCOME_TIMEOUT); break;
    case REASON_UPSTREAM_CONNECT: break;
    case REASON_DEADLINE:
        if (x->stage != STAGE_ANSWER && x->stage != STAGE_CONNECT) return; /* the client is slow, or there is no room */
        if (x->stage == STAGE_CONNECT) upstream_refused(x->upstream, dispatch_now(x));
        attempt_report(x, x->stage == STAGE_CONNECT ? OUTCOME_CONNECT : OUTCOME_TIMEOUT);
        break;
    default:
        if (x->answered_well && x->answer_ended) instance_well(x->upstream->instance);
        return;
    }
    judge(x, false);
}

void dispatch_cancel(struct exchange *x)
{
    if (x->upstream) {
        report_end(x);
        attempt_leave(x);
        upstream_leave(&x->in_line);
    }
    if (x->connecting) {
        upstream_attempt_left(x->upstream);
        h1_client_abandon(x->connecting);
    }
    if (x->conn) h1_client_abandon(x->conn);
    if (x->up.conn) x->up.ops->release(&x->up);
    x->connecting = x->conn = NULL;
    if (x->dispatching) breaker_end(&state_of(x)->breakers[x->caller], &x->breaker);
}
