#include "services/signing_plan.h"

/* Beyond the life of a token: clocks that differ by 5 s either way, and the time from the commit of a session to the
 * signature of its token. */
#define MARGIN_S 15

enum alg signing_plan_alg(const struct signing_plan *p, const struct signing_policy *policy)
{
    return p->sticky != ALG_INVALID && p->sticky_over == policy->alg ? p->sticky : policy->alg;
}

int signing_plan_find(const struct signing_plan *p, enum signing_key_state state)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->keys[i].record.state == state) return (int)i;
    return -1;
}

int64_t signing_plan_until(const struct signing_policy *policy, uint64_t now_ms)
{
    return (int64_t)((now_ms + 999) / 1000) + policy->token_s + MARGIN_S;
}

static uint64_t ahead(const struct signing_policy *policy)
{
    return policy->ahead_ms < policy->rotate_ms / 2 ? policy->ahead_ms : policy->rotate_ms / 2;
}

static struct signing_action action(enum signing_step step, int key)
{
    return (struct signing_action){.step = step, .key = key < 0 ? 0 : (unsigned)key};
}

static struct signing_action done_with(struct signing_action a)
{
    a.takes_request = true;
    return a;
}

static int find_kid(const struct signing_plan *p, str kid)
{
    for (unsigned i = 0; i < p->n; i++)
        if (str_eq(str_make(p->keys[i].kid, p->keys[i].kid_n), kid)) return (int)i;
    return -1;
}

static struct signing_action make(enum alg alg, uint64_t at_ms)
{
    return (struct signing_action){.step = SIGNING_MAKE, .alg = alg, .at_ms = at_ms};
}

/* A request is taken in as many steps as it needs; the last one takes it away. */
static struct signing_action rotate(const struct signing_plan *p, const struct signing_policy *policy, uint64_t now_ms)
{
    enum alg alg = p->request.alg != ALG_INVALID ? p->request.alg : signing_plan_alg(p, policy);
    int next = signing_plan_find(p, SIGNING_KEY_NEXT);
    if (next >= 0 && p->keys[next].record.alg != alg) return action(SIGNING_REMOVE, next); /* it never signed */
    if (next >= 0) return done_with(action(SIGNING_HURRY, next));
    if (p->n >= SIGNING_KEYS_ROOM - 1) return done_with(action(SIGNING_DROP, -1));
    return done_with(make(alg, now_ms));
}

static struct signing_action retire(const struct signing_plan *p, const struct signing_policy *policy, uint64_t now_ms)
{
    int key = find_kid(p, p->request.kid), next = signing_plan_find(p, SIGNING_KEY_NEXT);
    if (key < 0) return done_with(action(SIGNING_DROP, -1));
    if (p->keys[key].record.state != SIGNING_KEY_CURRENT) return done_with(action(SIGNING_REMOVE, key));
    if (next < 0) return make(signing_plan_alg(p, policy), now_ms);
    if (p->keys[next].record.sign_from_ms > now_ms) return action(SIGNING_HURRY, next);
    return done_with(action(SIGNING_MARK, key));
}

static struct signing_action sooner(struct signing_action a, uint64_t at_ms)
{
    if (!a.at_ms || at_ms < a.at_ms) a.at_ms = at_ms;
    return a;
}

/* By the clock: removing first, for it makes room. */
static struct signing_action scheduled(const struct signing_plan *p, const struct signing_policy *policy,
                                       uint64_t now_ms)
{
    struct signing_action wait = action(SIGNING_WAIT, -1);
    for (unsigned i = 0; i < p->n; i++) {
        if (p->keys[i].record.state != SIGNING_KEY_OLD) continue;
        uint64_t until_ms = (uint64_t)p->keys[i].record.verify_until_s * 1000;
        if (now_ms >= until_ms) return action(SIGNING_REMOVE, (int)i);
        wait = sooner(wait, until_ms);
    }
    int next = signing_plan_find(p, SIGNING_KEY_NEXT), current = signing_plan_find(p, SIGNING_KEY_CURRENT);
    enum alg alg = signing_plan_alg(p, policy);
    if (next >= 0 && p->keys[next].record.alg != alg) return action(SIGNING_REMOVE, next);
    if (next >= 0 && !p->keys[next].readable) /* of two keys that do not open it is we who are wrong */
        return current >= 0 && !p->keys[current].readable ? action(SIGNING_STUCK, current)
                                                          : action(SIGNING_REMOVE, next);
    if (next >= 0 && now_ms >= p->keys[next].record.sign_from_ms) return action(SIGNING_PROMOTE, next);
    if (next >= 0) return sooner(wait, p->keys[next].record.sign_from_ms);
    if (current < 0) return make(alg, now_ms);
    const struct signing_plan_key *c = &p->keys[current];
    if (!c->readable) return action(SIGNING_STUCK, current);
    if (p->n >= SIGNING_KEYS_MAX) return wait;
    if (c->record.alg != alg) return make(alg, now_ms + ahead(policy));
    uint64_t due = c->record.sign_from_ms + policy->rotate_ms, from = due - ahead(policy);
    if (now_ms < from) return sooner(wait, from);
    return make(alg, due > now_ms ? due : now_ms);
}

struct signing_action signing_plan_next(const struct signing_plan *p, const struct signing_policy *policy,
                                        uint64_t now_ms)
{
    if (p->has_request && p->request.kind == SIGNING_REQUEST_RETIRE) return retire(p, policy, now_ms);
    if (p->has_request) return rotate(p, policy, now_ms);
    return scheduled(p, policy, now_ms);
}
