#include "proxy/upstream.h"

#include <stdlib.h>

struct upstream *upstream_new(str text, const void *sockaddr, size_t len)
{
    struct upstream *u = calloc(1, sizeof *u + text.n + 1);
    if (!u) return NULL;
    char *copy = (char *)(u + 1);
    memcpy(copy, text.p, text.n);
    u->text = str_make(copy, text.n);
    memcpy(&u->addr.ss, sockaddr, len);
    u->addr.len = (socklen_t)len;
    u->refs = 1;
    return u;
}

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
    if (u->refs == 0 || u->n_idle >= UPSTREAM_IDLE_MAX) {
        h1_client_abandon(c);
        return;
    }
    h1_client_set_next(c, u->idle);
    u->idle = c;
    u->n_idle++;
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
    return true;
}
