#include "store/local.h"

#include <stdlib.h>

#define BEAT_MAX_MS 5000

struct local {
    struct store store;
    struct keeper_client *client;
    struct local_watch *watches;
};

/* One watch of a user: pages of the keeper handed on change by change, a heart that beats for the lease. */
struct local_watch {
    struct local *local;
    struct local_watch *next;
    struct store_watch *watch;
    struct keeper_watch *kept;
    struct timer beat;
    bool handing_on; /* within a page: the watch that is stopped meanwhile is let go afterwards */
    bool stopped;
};

static struct local *of(struct store *s)
{
    return CONTAINER_OF(s, struct local, store);
}

static void local_submit(struct store *s, struct store_job *job)
{
    keeper_submit(of(s)->client, job);
}

static void watch_end(struct local_watch *lw)
{
    keeper_watch_stop(&lw->kept, false);
    free(lw);
}

static void link_up(struct local_watch *lw)
{
    struct store_watch *w = lw->watch;
    if (w->up) return;
    w->up = true;
    if (w->on_link) w->on_link(w, true);
}

static void hand_on(struct local_watch *lw, const struct keeper_page *page)
{
    struct store_watch *w = lw->watch;
    link_up(lw);
    for (uint32_t i = 0; i < page->n && !lw->stopped; i++) {
        const struct store_change *c = &page->changes[i];
        if (c->kind == STORE_RESYNC_BEGIN)
            w->seen = (struct store_position){0}; /* until its end */
        else if (c->kind == STORE_RESYNC_END || w->seen.epoch)
            w->seen = c->at;
        w->on_change(w, c);
    }
    if (!lw->stopped && page->at.epoch) w->seen = page->at;
}

static void on_page(void *owner, const struct keeper_page *page)
{
    struct local_watch *lw = owner;
    lw->handing_on = true;
    hand_on(lw, page);
    lw->handing_on = false;
    if (lw->stopped)
        watch_end(lw);
    else
        keeper_watch_next(lw->kept);
}

static void beat(struct local_watch *lw)
{
    uint64_t now_ms = loop_now_ms(lw->local->store.loop), each_ms = lw->watch->lease_ms / 3;
    if (each_ms > BEAT_MAX_MS) each_ms = BEAT_MAX_MS;
    keeper_watch_beat(lw->kept, now_ms);
    timer_set(lw->local->store.loop, &lw->beat, now_ms + (each_ms ? each_ms : 1));
}

static void on_beat_time(struct timer *t)
{
    beat(CONTAINER_OF(t, struct local_watch, beat));
}

/* The tag is the time at which the beat was sent: the lease counts from there, so that it ends here first. */
static void on_beat(void *owner, uint64_t tag, uint64_t held_ms)
{
    struct store_watch *w = ((struct local_watch *)owner)->watch;
    uint64_t until_ms = held_ms < w->lease_ms ? tag - held_ms + w->lease_ms : 0;
    if (until_ms <= w->fresh_until_ms) return;
    w->fresh_until_ms = until_ms;
    if (w->on_fresh) w->on_fresh(w);
}

static enum err local_watch_start(struct store *s, struct store_watch *w)
{
    struct local_watch *lw = calloc(1, sizeof *lw);
    if (!lw) return ERR_NO_MEMORY;
    lw->local = of(s);
    lw->watch = w;
    lw->beat.on_time = on_beat_time;
    struct keeper_watch_spec spec = {w->space, w->prefix, w->name, w->lease_ms, w->from, w->from, lw, on_page, on_beat};
    enum err err = keeper_watch_start(lw->local->client, &spec, &lw->kept);
    if (err != ERR_OK) {
        free(lw);
        return err;
    }
    w->impl = lw;
    lw->next = lw->local->watches;
    lw->local->watches = lw;
    if (w->lease_ms) beat(lw);
    return ERR_OK;
}

static void local_watch_stop(struct store *s, struct store_watch *w)
{
    struct local_watch *lw = w->impl, **link = &of(s)->watches;
    while (*link != lw) link = &(*link)->next;
    *link = lw->next;
    timer_clear(s->loop, &lw->beat);
    lw->stopped = true;
    if (!lw->handing_on) watch_end(lw);
}

static void local_watch_confirm(struct store *s, struct store_watch *w, struct store_position at)
{
    (void)s;
    keeper_watch_confirm(((struct local_watch *)w->impl)->kept, at);
}

static void local_free(struct store *s)
{
    struct local *l = of(s);
    while (l->watches) store_watch_stop(s, l->watches->watch);
    keeper_client_free(&l->client);
    free(l);
}

static const struct store_ops local_ops = {local_submit, local_watch_start, local_watch_stop, local_watch_confirm,
                                           local_free};

enum err store_local_new(struct keeper *k, struct loop *loop, uint32_t spaces, struct store **out)
{
    struct local *l = calloc(1, sizeof *l);
    if (!l) return ERR_NO_MEMORY;
    l->store = (struct store){&local_ops, loop};
    enum err err = keeper_client_new(k, loop, spaces, &l->client);
    if (err != ERR_OK) {
        free(l);
        return err;
    }
    *out = &l->store;
    return ERR_OK;
}
