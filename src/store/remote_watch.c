#include "store/remote_private.h"

#include "base/log.h"

#include <stdlib.h>

#define BEAT_MAX_MS 5000  /* between two beats, and one third of a lease at most */
#define SILENCE_MS  15000 /* a server that answers no beat for so long is lost */

static uint64_t beat_every(const struct remote *r)
{
    uint64_t ms = BEAT_MAX_MS;
    for (const struct remote_watch *w = r->watches; w; w = w->next)
        if (w->watch->lease_ms && w->watch->lease_ms / 3 < ms) ms = w->watch->lease_ms / 3;
    return ms ? ms : 1;
}

static void beat(struct remote *r, struct remote_watch *w)
{
    wire_put_beat(wire_link_out(&r->link), w->id, loop_now_ms(r->loop)); /* the tag is when it was said */
}

static void tell_watch(struct remote *r, struct remote_watch *w)
{
    const struct store_watch *s = w->watch;
    w->id = ++r->last_id;
    w->told_ms = loop_now_ms(r->loop);
    wire_put_watch(wire_link_out(&r->link), w->id,
                   &(struct wire_watch){.space = s->space,
                                        .prefix = s->prefix,
                                        .name = s->name,
                                        .lease_ms = s->lease_ms,
                                        .from = s->seen,
                                        .confirmed = w->confirmed});
    beat(r, w);
}

void remote_on_beat_time(struct timer *t)
{
    struct remote *r = CONTAINER_OF(t, struct remote, beat);
    uint64_t now = loop_now_ms(r->loop);
    if (r->state != UP || !r->watches) return;
    if (now > r->heard_ms + SILENCE_MS) {
        r->link.on_end(&r->link, ERR_TIMEOUT);
        return;
    }
    for (struct remote_watch *w = r->watches; w; w = w->next) {
        if (!w->id)
            tell_watch(r, w); /* it was refused: perhaps there is room now */
        else
            beat(r, w);
    }
    timer_set(r->loop, t, now + beat_every(r));
}

enum err remote_watch_start(struct store *s, struct store_watch *watch)
{
    struct remote *r = remote_of(s);
    if (r->n_watches >= STORE_REMOTE_WATCHES) return ERR_LIMIT;
    struct remote_watch *w = calloc(1, sizeof *w);
    if (!w) return ERR_NO_MEMORY;
    w->remote = r;
    w->watch = watch;
    w->confirmed = watch->from;
    w->next = r->watches;
    r->watches = w;
    r->n_watches++;
    watch->impl = w;
    if (r->state == UP) {
        uint64_t at = loop_now_ms(r->loop) + beat_every(r);
        tell_watch(r, w);
        if (!timer_is_set(&r->beat) || r->beat.at_ms > at) timer_set(r->loop, &r->beat, at);
    }
    remote_want(r);
    return ERR_OK;
}

void remote_watch_stop(struct store *s, struct store_watch *watch)
{
    struct remote *r = remote_of(s);
    struct remote_watch *w = watch->impl, **at = &r->watches;
    if (r->state == UP && w->id) wire_put_bare(wire_link_out(&r->link), WIRE_UNWATCH, w->id);
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    r->n_watches--;
    if (r->delivering == w) r->delivering = NULL;
    free(w);
}

void remote_watch_confirm(struct store *s, struct store_watch *watch, struct store_position at)
{
    struct remote *r = remote_of(s);
    struct remote_watch *w = watch->impl;
    w->confirmed = at;
    if (r->state == UP && w->id) wire_put_position(wire_link_out(&r->link), WIRE_CONFIRM, w->id, at);
}

/* NULL: stopped, and the server did not know yet when it wrote the frame. */
static struct remote_watch *find_watch(struct remote *r, uint32_t id)
{
    struct remote_watch *w = r->watches;
    while (w && w->id != id) w = w->next;
    return w;
}

enum err remote_on_watching(struct remote *r, const struct wire_frame *f)
{
    enum err answer = ERR_OK, e = wire_watching(f->body, &answer);
    struct remote_watch *w = find_watch(r, f->id);
    if (e != ERR_OK || !w) return e;
    if (answer != ERR_OK) {
        log_event(LOG_LEVEL_WARN, log_msg("the store refuses a watch: asked again later"),
                  log_str("watcher", w->watch->name), log_str("why", str_of(err_name(answer))));
        w->id = 0;
        return ERR_OK;
    }
    w->watch->up = true;
    if (w->watch->on_link) w->watch->on_link(w->watch, true);
    return ERR_OK;
}

static void deliver(struct remote_watch *w, const struct store_change *c)
{
    struct store_watch *s = w->watch;
    if (c->kind == STORE_RESYNC_BEGIN) {
        w->resyncing = true;
        s->seen = (struct store_position){0};
    }
    if (c->kind == STORE_RESYNC_END) w->resyncing = false;
    if (!w->resyncing) s->seen = c->at;
    s->on_change(s, c);
}

enum err remote_on_changes(struct remote *r, const struct wire_frame *f)
{
    struct remote_watch *w = find_watch(r, f->id);
    str body = f->body;
    struct store_change c;
    enum err e;
    r->delivering = w;
    while ((e = wire_change(&body, &c)) == ERR_OK)
        if (r->delivering) deliver(w, &c);
    r->delivering = NULL;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err remote_on_page(struct remote *r, const struct wire_frame *f)
{
    struct store_position at = {0};
    enum err e = wire_position(f->body, &at);
    struct remote_watch *w = find_watch(r, f->id);
    if (e != ERR_OK || !w) return e;
    if (!w->resyncing && at.epoch) w->watch->seen = at; /* what others changed is behind us, too */
    wire_put_bare(wire_link_out(&r->link), WIRE_NEXT, w->id);
    return ERR_OK;
}

enum err remote_on_beaten(struct remote *r, const struct wire_frame *f)
{
    struct wire_beaten b;
    enum err e = wire_beaten(f->body, &b);
    struct remote_watch *w = find_watch(r, f->id);
    if (e != ERR_OK || !w) return e;
    if (b.tag < w->told_ms || b.tag > loop_now_ms(r->loop)) return ERR_MALFORMED; /* no beat of ours */
    uint64_t until = b.tag + w->watch->lease_ms;
    until = b.held_ms < until ? until - b.held_ms : 0;
    if (!w->watch->lease_ms || until <= w->watch->fresh_until_ms) return ERR_OK;
    w->watch->fresh_until_ms = until;
    if (w->watch->on_fresh) w->watch->on_fresh(w->watch);
    return ERR_OK;
}

/* Each is marked before it is told: whoever is told may stop any of them. */
void remote_watches_broke(struct remote *r)
{
    struct remote_watch *w;
    for (w = r->watches; w; w = w->next) w->id = 0;
    do {
        for (w = r->watches; w && !w->watch->up;) w = w->next;
        if (!w) return;
        w->watch->up = false;
        if (w->watch->on_link) w->watch->on_link(w->watch, false);
    } while (w);
}

void remote_watches_up(struct remote *r)
{
    for (struct remote_watch *w = r->watches; w; w = w->next) tell_watch(r, w);
    timer_set(r->loop, &r->beat, loop_now_ms(r->loop) + beat_every(r));
}
