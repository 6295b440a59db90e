/* What a request may use: the rates of the edge, of its action and product, the product's quota, the size of its body
 * and the time of the whole exchange.
 *
 * The edge counts everything that arrives, before any credential is looked at. All other limits count what was
 * permitted, all of a request or none: what is refused by one costs nothing of the others, and a request that never
 * left us costs nothing of the quota. A limit for users counts who has no user by his key, who has none by his product,
 * and strangers by their address: no limit is ever without effect. */
#include "base/clock.h"
#include "base/log_line.h"
#include "base/map.h"
#include "identity/apikey.h"
#include "proxy/exchange.h"

#define QUOTA_WAIT_MS 2000 /* an answer of the store takes milliseconds */
#define CHARGES_MAX   (2 * LIMITS_EACH)
#define ONE_S         UINT64_C(1000000000)

/* --- who is counted --- */

/* An address as a number: IPv6 by its /64, which is what one customer has. No address of a client begins with ff
 * (RFC 4291 §2.7), so the two families do not meet. Neighbours: /32 and /16. */
static void charge_address(struct exchange *x, struct limiter_charge *c)
{
    struct net_peer p;
    exchange_client_address(x, &p);
    uint64_t word = 0;
    for (unsigned i = 0; i < (p.family == 4 ? 4 : 8); i++) word = word << 8 | p.ip[i];
    if (p.family == 6) {
        c->subject = word;
        c->among = word >> 32;
    } else {
        c->subject = p.family == 4 ? UINT64_C(0xff) << 56 | word : UINT64_MAX;
        c->among = UINT64_C(0xff) << 56 | word >> 16;
    }
}

/* The id of the key that was shown; 0: none. It was found good, or we would not be here. */
static uint64_t key_mark(const struct exchange *x)
{
    const struct field *key = fields_get(&x->down.request.fields, FIELD_APIKEY);
    struct apikey parts;
    return key && x->product && apikey_parse(key->value, &parts) == ERR_OK ? map_hash(parts.id) : 0;
}

static void charge_for(struct exchange *x, const struct limit_rule *r, struct limiter_charge *c)
{
    c->id = r->id;
    c->rate = r->rate;
    c->subject = 0;
    c->among = x->product ? x->product->mark : 0;
    switch (r->per) {
    case LIMIT_PER_ACTION: return;
    case LIMIT_PER_CALLER: c->subject = (uint64_t)x->caller; return;
    case LIMIT_PER_ADDRESS: charge_address(x, c); return;
    case LIMIT_PER_USER:
        if (x->token) {
            c->subject = x->token->marks[MARK_USER];
            return;
        }
        c->subject = key_mark(x);
        break;
    case LIMIT_PER_KEY: c->subject = key_mark(x); break;
    case LIMIT_PER_PRODUCT: break;
    }
    if (c->subject) return;
    if (x->product)
        c->subject = x->product->mark;
    else
        charge_address(x, c);
}

/* --- what is told --- */

static uint64_t seconds(uint64_t ns)
{
    return ns / ONE_S + (ns % ONE_S != 0);
}

/* draft-ietf-httpapi-ratelimit-headers §3: the limit that is nearest to its end; `t`: until it is whole again, or, when
 * it refuses, until the next would be let through. */
static void tell(struct exchange *x, const struct limit_rule *const *rules, size_t n, const struct limit_rule *tightest,
                 uint64_t left, uint64_t t_s)
{
    size_t room = tightest->policy.n + 64, policies = 0;
    for (size_t i = 0; i < n; i++) policies += rules[i]->policy.n + 2;
    char *at = arena_alloc(&x->mem, room + policies);
    if (!at) return; /* nothing is told; the limit holds all the same */
    struct log_line l = {at, 0, room, false};
    log_line_raw(&l, tightest->item);
    log_line_lit(&l, ";r=");
    log_line_u64(&l, left);
    log_line_lit(&l, ";t=");
    log_line_u64(&l, t_s);
    x->ratelimit = str_make(l.p, l.n);
    if (n == 1) { /* as most have it: no copy */
        x->ratelimit_policy = rules[0]->policy;
        return;
    }
    struct log_line all = {at + room, 0, policies, false};
    for (size_t i = 0; i < n; i++) {
        if (i) log_line_lit(&all, ", ");
        log_line_raw(&all, rules[i]->policy);
    }
    x->ratelimit_policy = str_make(all.p, all.n);
}

static enum step limited(struct exchange *x, const struct limit_rule *const *rules, size_t n,
                         const struct limiter_charge *c, size_t which)
{
    uint64_t s = seconds(c[which].retry_ns);
    x->retry_s = s < UINT32_MAX ? (uint32_t)s : UINT32_MAX;
    tell(x, rules, n, rules[which], 0, s);
    meter_limited(x->worker->meter, rules[which]->name);
    x->effect = EFFECT_DENY; /* whatever the grants said */
    return refuse(x, REASON_RATE_LIMITED, rules[which]->told);
}

/* --- the edge --- */

enum step edge_step(struct exchange *x)
{
    const struct limit_rules *edge = &x->config->limits->edge;
    struct limiter_charge c[LIMITS_EACH];
    const struct limit_rule *rules[LIMITS_EACH];
    size_t which = 0;
    if (LIKELY(!edge->n)) return STEP_NEXT;
    if (!x->worker->limiter) return refuse(x, REASON_INTERNAL, "limiter");
    for (uint32_t i = 0; i < edge->n; i++) {
        rules[i] = &edge->v[i];
        c[i].id = rules[i]->id;
        c[i].rate = rules[i]->rate;
        if (i == 0) {
            charge_address(x, &c[0]);
        } else {
            c[i].subject = c[0].subject;
            c[i].among = c[0].among;
        }
    }
    if (LIKELY(limiter_take(x->worker->limiter, c, edge->n, x->started_ns, &which) == ERR_OK)) return STEP_NEXT;
    return limited(x, rules, edge->n, c, which);
}

/* --- the quota --- */

static enum step quota_refuses(struct exchange *x, struct quota *q, enum quota_answer why)
{
    uint64_t until = quota_until_ms(q), now = x->started_ms;
    x->effect = EFFECT_DENY;
    if (why != QUOTA_EXHAUSTED) {
        x->retry_s = 1;
        return refuse(x, REASON_QUOTA_UNKNOWN, NULL);
    }
    uint64_t s = until > now ? (until - now + 999) / 1000 : 1;
    static const uint32_t windows_s[] = {[QUOTA_HOUR] = 3600, [QUOTA_DAY] = 86400, [QUOTA_MONTH] = 2592000};
    unsigned w = atomic_load(&q->window);
    x->retry_s = (uint32_t)s;
    str name = str_of(q->name);
    x->ratelimit = arena_printf(&x->mem, "\"quota-%.*s\";r=0;t=%llu", STR_ARG(name), (unsigned long long)s);
    x->ratelimit_policy =
        arena_printf(&x->mem, "\"quota-%.*s\";q=%llu;w=%u", STR_ARG(name),
                     (unsigned long long)atomic_load(&q->requests), w < ARRAY_LEN(windows_s) ? windows_s[w] : 0);
    str limit = arena_printf(&x->mem, "quota-%.*s", STR_ARG(name));
    if (limit.p) meter_limited(x->worker->meter, limit);
    str told = arena_printf(&x->mem, "%.*s: %llu each %s of UTC", STR_ARG(limit),
                            (unsigned long long)atomic_load(&q->requests), quota_window_name((enum quota_window)w));
    return refuse(x, REASON_QUOTA_EXHAUSTED, told.p);
}

static enum step take_quota(struct exchange *x)
{
    struct worker *w = x->worker;
    struct quota *q = x->product ? x->config->limits->quotas[x->product->index] : NULL;
    if (LIKELY(!q)) return STEP_NEXT;
    enum quota_answer a = quota_take(w->quotas, q, loop_wall_ms(w->loop));
    if (UNLIKELY(a == QUOTA_WAIT)) { /* once more when the answer is sure to be passed on: it may have come just now */
        atomic_store(&w->waits_for_quota, true);
        a = quota_take(w->quotas, q, loop_wall_ms(w->loop));
    }
    if (LIKELY(a == QUOTA_LET)) {
        x->quota = q;
        return STEP_NEXT;
    }
    uint64_t now = loop_now_ms(w->loop);
    if (!x->quota_until_ms) x->quota_until_ms = now + QUOTA_WAIT_MS;
    if (a != QUOTA_WAIT || now >= x->quota_until_ms) return quota_refuses(x, q, a == QUOTA_WAIT ? QUOTA_UNKNOWN : a);
    x->next_waiting = w->first_for_quota; /* as those who wait for keys do */
    x->waiting_link = &w->first_for_quota;
    if (w->first_for_quota) w->first_for_quota->waiting_link = &x->next_waiting;
    w->first_for_quota = x;
    exchange_stage(x, STAGE_QUOTA, x->quota_until_ms);
    return STEP_WAIT;
}

/* Who finds nothing joins the list again, which is why it is another one by then. */
void limit_wake(struct worker *w)
{
    struct exchange *all = w->first_for_quota;
    w->first_for_quota = NULL;
    atomic_store(&w->waits_for_quota, false);
    if (all) all->waiting_link = &all;
    while (all) {
        struct exchange *x = all;
        authenticate_cancel(x);
        exchange_resume(x);
    }
}

/* What ended before it was on its way to the service. */
static bool never_sent(enum reason r)
{
    return r == REASON_UPSTREAM_NONE || r == REASON_UPSTREAM_CONNECT || r == REASON_POOL_EXHAUSTED ||
           r == REASON_BREAKER_OPEN || r == REASON_CONCURRENCY_LIMIT;
}

void limit_end(struct exchange *x)
{
    if (UNLIKELY(x->quota != NULL) && never_sent(x->reason)) quota_give(x->quota);
    x->quota = NULL;
}

/* Our own words: good values by construction. */
void limit_tell(const struct exchange *x, struct fields *f)
{
    if (!x->ratelimit.n || f->n + 2 > f->cap) return;
    f->v[f->n++] = (struct field){.name = STR("RateLimit"), .value = x->ratelimit};
    if (x->ratelimit_policy.n)
        f->v[f->n++] = (struct field){.name = STR("RateLimit-Policy"), .value = x->ratelimit_policy};
}

/* --- the step --- */

static size_t gather(struct exchange *x, const struct limit_rule **rules, struct limiter_charge *c)
{
    const struct limit_book *book = x->config->limits;
    const struct limit_rules *of_action = &book->actions[x->action->index];
    size_t n = 0;
    for (uint32_t i = 0; i < of_action->n; i++, n++) {
        rules[n] = &of_action->v[i];
        charge_for(x, rules[n], &c[n]);
    }
    if (!x->product) return n;
    const struct limit_rules *of_product = &book->products[x->product->index];
    for (uint32_t i = 0; i < of_product->n; i++, n++) {
        rules[n] = &of_product->v[i];
        charge_for(x, rules[n], &c[n]);
    }
    return n;
}

static enum step take_limits(struct exchange *x)
{
    struct limiter_charge c[CHARGES_MAX];
    const struct limit_rule *rules[CHARGES_MAX];
    size_t n = gather(x, rules, c), which = 0;
    if (n == 0) return take_quota(x);
    struct limiter *l = x->worker->limiter;
    if (!l) return refuse(x, REASON_INTERNAL, "limiter");
    if (limiter_take(l, c, n, x->started_ns, &which) != ERR_OK) return limited(x, rules, n, c, which);
    enum step next = take_quota(x);
    if (UNLIKELY(next != STEP_NEXT)) {
        limiter_give(l, c, n, x->started_ns);
        return next;
    }
    which = n > 1 ? limiter_tightest(c, n) : 0;
    tell(x, rules, n, rules[which], limiter_left(&c[which]), seconds(c[which].whole_ns));
    return next;
}

enum step limit_step(struct exchange *x)
{
    uint64_t body = x->down.request.body;
    if (x->deciding_ns && !x->decided_ns) x->decided_ns = clock_mono_ns();
    if (body != BODY_UNKNOWN && body > x->action->body_max) return refuse(x, REASON_BODY_TOO_LARGE, NULL);
    if (x->deadline_ms == UINT64_MAX) x->deadline_ms = loop_now_ms(x->worker->loop) + x->action->timeout_ms;
    return take_limits(x);
}
