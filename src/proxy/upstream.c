#include "proxy/upstream.h"

#include <stdlib.h>

#define KNOCK_MIN_MS 20
#define KNOCK_MAX_MS 200
#define LOOK_MS      10 /* how often who waits looks whether another worker has closed a connection */

static void on_wake(struct task *t);
static void on_look(struct timer *t);

struct upstream *upstream_new(struct instance *i, unsigned worker, struct loop *loop, const void *sockaddr, size_t len)
{
    struct upstream *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    u->instance = i;
    u->cell = &i->cells[worker];
    u->text = i->text;
    u->key = str_make((const char *)&u->instance, sizeof u->instance);
    u->loop = loop;
    memcpy(&u->addr.ss, sockaddr, len);
    u->addr.len = (socklen_t)len;
    u->refs = 1;
    u->last = &u->first;
    u->wake.run = on_wake;
    u->look.on_time = on_look;
    return u;
}

/* --- the line --- */

/* How many of the line would get on now. */
static uint32_t could_go(const struct upstream *u, uint64_t now_ms)
{
    if (u->refusals) return u->n_idle + (!u->knocking && now_ms >= u->knock_at_ms);
    uint32_t open = atomic_load_explicit(&u->instance->open, memory_order_relaxed);
    return u->n_idle + (open < u->bounds.open ? u->bounds.open - open : 0);
}

static void arrange_look(struct upstream *u)
{
    uint64_t now = loop_now_ms(u->loop), at = now + LOOK_MS;
    if (u->refusals && u->knock_at_ms > at) at = u->knock_at_ms;
    if (u->first && !timer_is_set(&u->look)) timer_set(u->loop, &u->look, at);
}

static void wake_later(struct upstream *u)
{
    if (u->first) loop_defer(u->loop, &u->wake);
}

/* All who can, at once: who came later must not find what was theirs. What they do may be the end of the upstream, so
 * nothing of it is looked at behind that. */
static void on_wake(struct task *t)
{
    struct upstream *u = CONTAINER_OF(t, struct upstream, wake);
    struct upstream_waiter *going = NULL, **end = &going;
    uint32_t here = could_go(u, loop_now_ms(u->loop)), n = here > u->disperse ? here : u->disperse;
    for (; n && u->first; n--) {
        struct upstream_waiter *who = u->first;
        upstream_leave(who);
        who->next = NULL;
        *end = who;
        end = &who->next;
    }
    u->disperse = 0;
    arrange_look(u);
    for (uint32_t i = 0; going; i++) {
        struct upstream_waiter *who = going;
        going = who->next;
        who->on_turn(who, i < here);
    }
}

static void on_look(struct timer *t)
{
    struct upstream *u = CONTAINER_OF(t, struct upstream, look);
    if (could_go(u, loop_now_ms(u->loop)))
        wake_later(u);
    else
        arrange_look(u);
}

enum err upstream_wait(struct upstream *u, struct upstream_waiter *who)
{
    if (u->n_waiting >= u->bounds.waiting) return ERR_LIMIT;
    who->upstream = u;
    who->next = NULL;
    who->link = u->last;
    *u->last = who;
    u->last = &who->next;
    u->n_waiting++;
    arrange_look(u);
    return ERR_OK;
}

void upstream_disperse(struct upstream *u)
{
    if (!u->first || !u->refusals) return;
    u->disperse = u->n_waiting;
    wake_later(u);
}

void upstream_leave(struct upstream_waiter *who)
{
    struct upstream *u = who->upstream;
    if (!u) return;
    *who->link = who->next;
    if (who->next)
        who->next->link = who->link;
    else
        u->last = who->link;
    u->n_waiting--;
    who->upstream = NULL;
}

/* --- room for another connection --- */

enum upstream_room upstream_room(struct upstream *u, uint64_t now_ms)
{
    if (u->refusals && (u->knocking || now_ms < u->knock_at_ms)) return UPSTREAM_REFUSES;
    if (!instance_open_take(u->instance, u->bounds.open)) return UPSTREAM_FULL;
    u->knocking = u->refusals > 0;
    return UPSTREAM_ROOM;
}

void upstream_not_opened(struct upstream *u)
{
    instance_open_give(u->instance);
    u->knocking = false;
}

void upstream_connected(struct upstream *u)
{
    u->refusals = 0;
    u->knocking = false;
    wake_later(u);
}

void upstream_refused(struct upstream *u, uint64_t now_ms)
{
    uint64_t pause = (uint64_t)KNOCK_MIN_MS << (u->refusals < 8 ? u->refusals : 8);
    u->refusals++;
    u->knocking = false;
    u->knock_at_ms = now_ms + (pause < KNOCK_MAX_MS ? pause : KNOCK_MAX_MS);
    arrange_look(u);
}

void upstream_attempt_left(struct upstream *u)
{
    u->knocking = false;
    wake_later(u);
}

void upstream_secure(struct upstream *u, struct tls_upstream *tls, str host)
{
    str name = str_first(host, sizeof u->tls_name - 1);
    bool same_name = str_eq(name, str_of(u->tls_name));
    if (LIKELY(u->tls == tls && (same_name || !tls))) return;
    upstream_reap(u, UINT64_MAX); /* the others are given up when they come back, see upstream_on_idle */
    tls_session_free(&u->session);
    tls_upstream_unref(&u->tls);
    u->tls = tls ? tls_upstream_ref(tls) : NULL;
    memcpy(u->tls_name, name.p ? name.p : "", name.n);
    u->tls_name[name.n] = 0;
}

/* --- idle connections --- */

struct h1_client *upstream_take(struct upstream *u)
{
    struct h1_client *c = u->idle;
    if (!c) return NULL;
    u->idle = h1_client_next(c);
    u->n_idle--;
    return c;
}

void upstream_on_idle(struct h1_client *c, void *pool)
{
    struct upstream *u = pool;
    uint32_t share = u->bounds.open / u->instance->service->workers;
    uint32_t most = u->bounds.idle < share ? u->bounds.idle : share;
    if (u->refs == 0 || (u->n_idle >= most && u->n_idle >= u->n_waiting) || UNLIKELY(h1_client_tls(c) != u->tls)) {
        h1_client_abandon(c);
        return;
    }
    h1_client_set_next(c, u->idle);
    u->idle = c;
    u->n_idle++;
    wake_later(u);
}

void upstream_on_closed(void *pool)
{
    struct upstream *u = pool;
    instance_open_give(u->instance);
    if (u->refs) wake_later(u);
}

void upstream_on_idle_closed(struct h1_client *c, void *pool)
{
    struct upstream *u = pool;
    struct h1_client *before = NULL;
    for (struct h1_client *i = u->idle; i; before = i, i = h1_client_next(i)) {
        if (i != c) continue;
        if (before)
            h1_client_set_next(before, h1_client_next(i));
        else
            u->idle = h1_client_next(i);
        u->n_idle--;
        return;
    }
}

void upstream_reap(struct upstream *u, uint64_t before_ms)
{
    /* newest first: everything behind the first old one is older */
    struct h1_client *last_young = NULL, *c = u->idle;
    while (c && h1_client_idle_since_ms(c) >= before_ms) {
        last_young = c;
        c = h1_client_next(c);
    }
    if (last_young)
        h1_client_set_next(last_young, NULL);
    else
        u->idle = NULL;
    while (c) {
        struct h1_client *next = h1_client_next(c);
        h1_client_abandon(c);
        u->n_idle--;
        c = next;
    }
}

bool upstream_unref(struct upstream *u)
{
    if (--u->refs > 0) return false;
    upstream_reap(u, UINT64_MAX);
    timer_clear(u->loop, &u->look);
    loop_undefer(u->loop, &u->wake);
    tls_session_free(&u->session);
    tls_upstream_unref(&u->tls);
    return true;
}
