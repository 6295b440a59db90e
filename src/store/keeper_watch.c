#include "base/clock.h"
#include "store/job.h"
#include "store/keeper_private.h"

#include <stdlib.h>

/* A watcher is either asked for (`hungry`: the client wants a page, the page's memory is the keeper's) or has a page
 * out (the memory is the client's until keeper_watch_next). What the client says travels as one note that is filled
 * under the keeper's lock and posted once, however much is said before the keeper reads it. */

static uint64_t mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

static str name_of(const struct keeper_watch *w)
{
    return str_make(w->name, w->name_n);
}

static void watch_free(struct keeper_watch *w)
{
    atomic_fetch_sub(&w->keeper->watchers, 1);
    buf_free(&w->bytes);
    free(w->changes);
    free(w);
}

static void forget(struct keeper_watch *w)
{
    struct keeper_watch **link = &w->keeper->spaces[w->space].watches;
    while (*link && *link != w) link = &(*link)->next;
    if (*link) *link = w->next;
    watch_free(w);
}

/* --- what a watcher has in force, and what it owes --- */

/* A watcher of a prefix is not told of other keys: who confirmed all it was told has all that was looked through. */
static uint64_t in_force(const struct keeper_watch *w)
{
    bool all = !w->resync && w->confirmed >= w->delivered;
    return all && w->at.number > w->confirmed ? w->at.number : w->confirmed;
}

/* Called whenever the space moves on or the watcher does. owed_since: when the oldest change it lacks was made. */
void keeper_watch_reckon(struct keeper_watch *w, struct store_position head)
{
    uint64_t has = w->at.epoch == head.epoch ? in_force(w) : 0;
    if (has >= head.number && w->at.epoch == head.epoch) {
        w->owed_number = 0;
        w->later_since_ms = 0;
        return;
    }
    if (w->owed_number && has < w->owed_number) {
        if (head.number > w->owed_number && !w->later_since_ms) w->later_since_ms = mono_ms();
        return;
    }
    w->owed_since_ms = w->later_since_ms ? w->later_since_ms : mono_ms();
    w->owed_number = head.number ? head.number : 1;
    w->later_since_ms = 0;
}

void keeper_watches_feed(struct keeper *k, enum store_space s)
{
    for (struct keeper_watch *w = k->spaces[s].watches; w; w = w->next) keeper_page_feed(w);
}

/* --- leases --- */

/* Its name outlives a crash of this process, so that whoever waits for all watchers waits for it too. */
static void keep_lease(struct keeper_watch *w)
{
    struct engine *e = keeper_engine_of(w);
    if (!w->lease_ms || w->lease_kept || !e) return;
    w->lease_kept = e->ops->lease_put(e, name_of(w), w->lease_ms) == ERR_OK;
}

static bool name_leased(const struct keeper_watch *w)
{
    const struct keeper_watch *x = w->keeper->spaces[w->space].watches;
    while (x && !(x != w && x->lease_ms && str_eq(name_of(x), name_of(w)))) x = x->next;
    return x != NULL;
}

static void end_lease(struct keeper_watch *w)
{
    struct engine *e = keeper_engine_of(w);
    if (e && w->lease_kept && !name_leased(w)) (void)e->ops->lease_put(e, name_of(w), 0);
}

static void on_beat_mail(struct mail *m, void *owner)
{
    (void)owner;
    struct keeper_watch *w = CONTAINER_OF(m, struct keeper_watch, beat_mail);
    pthread_mutex_lock(&w->keeper->lock);
    uint64_t tag = w->answer_tag, held_ms = w->answer_held_ms;
    w->beat_sent = false;
    pthread_mutex_unlock(&w->keeper->lock);
    w->on_beat(w->owner, tag, held_ms);
}

/* The lease is renewed from when the oldest thing was made that the watcher owes: it ends at both sides if that stays
 * so. */
static void answer_beat(struct keeper_watch *w, uint64_t tag)
{
    struct engine *e = keeper_engine_of(w);
    keep_lease(w);
    if (w->lease_ms && !w->lease_kept) return;
    if (e) keeper_watch_reckon(w, e->ops->at(e));
    uint64_t now_ms = mono_ms(), held_ms = w->owed_number ? now_ms - w->owed_since_ms : 0;
    if (held_ms < w->lease_ms && now_ms - held_ms + w->lease_ms > w->lease_until_ms)
        w->lease_until_ms = now_ms - held_ms + w->lease_ms;
    pthread_mutex_lock(&w->keeper->lock);
    w->answer_tag = tag;
    w->answer_held_ms = held_ms;
    if (!w->stop && !w->beat_sent) {
        w->beat_sent = true;
        w->beat_mail.on_mail = on_beat_mail;
        mail_post(w->client->loop, &w->beat_mail);
    }
    pthread_mutex_unlock(&w->keeper->lock);
}

void keeper_watches_tick(struct keeper *k, enum store_space s)
{
    uint64_t now_ms = mono_ms();
    for (struct keeper_watch *w = k->spaces[s].watches, *next; w; w = next) {
        next = w->next;
        if (!w->away) {
            keeper_page_feed(w);
        } else if (now_ms >= w->lease_until_ms) {
            end_lease(w);
            forget(w);
        }
    }
}

/* --- notes --- */

/* Whoever comes back under the name of one that is away takes its place. */
static void join(struct keeper_watch *w)
{
    struct space *sp = &w->keeper->spaces[w->space];
    for (struct keeper_watch *x = sp->watches, *next; x; x = next) {
        next = x->next;
        if (!x->away || !str_eq(name_of(x), name_of(w))) continue;
        if (x->at.epoch == w->at.epoch && x->confirmed > w->confirmed) w->confirmed = x->confirmed;
        w->lease_until_ms = x->lease_until_ms;
        forget(x);
    }
    w->next = sp->watches;
    sp->watches = w;
    w->known = true;
    w->hungry = true;
    w->delivered = w->at.number;
    keep_lease(w);
}

/* The watch that its client has begun under the same name before this one was known to be lost. */
static struct keeper_watch *successor(const struct keeper_watch *w)
{
    struct keeper_watch *x = w->keeper->spaces[w->space].watches;
    while (x && (x == w || x->away || !x->lease_ms || !str_eq(name_of(x), name_of(w)))) x = x->next;
    return x;
}

static void leave(struct keeper_watch *w, bool keeps_lease)
{
    struct keeper_watch *x = keeps_lease && w->known ? successor(w) : NULL;
    if (x) {
        if (x->lease_until_ms < w->lease_until_ms) x->lease_until_ms = w->lease_until_ms;
        forget(w);
        return;
    }
    if (keeps_lease && w->known && mono_ms() < w->lease_until_ms) {
        w->away = true;
        w->hungry = false;
        return;
    }
    if (w->known) end_lease(w);
    forget(w);
}

static void confirm(struct keeper_watch *w, struct store_position at)
{
    if (at.epoch == w->at.epoch && at.number > w->confirmed) w->confirmed = at.number;
}

static void on_note(struct mail *m, void *owner)
{
    (void)owner;
    struct keeper_watch *w = CONTAINER_OF(m, struct keeper_watch, note);
    pthread_mutex_lock(&w->keeper->lock);
    bool stop = w->stop, keeps = w->keep_lease, next = w->want_next, beat = w->want_beat, has = w->has_confirmed;
    uint64_t tag = w->beat_tag;
    struct store_position at = w->confirmed_at;
    w->noted = w->want_next = w->want_beat = w->has_confirmed = false;
    pthread_mutex_unlock(&w->keeper->lock);
    if (!w->known && !stop) join(w);
    if (has) confirm(w, at);
    if (stop) {
        leave(w, keeps);
        return;
    }
    if (next) {
        w->hungry = true;
        buf_free(&w->bytes);
    }
    keeper_page_feed(w);
    if (beat) answer_beat(w, tag);
}

/* With the lock held. */
static void post_note(struct keeper_watch *w)
{
    if (w->noted) return;
    w->noted = true;
    w->note.on_mail = on_note;
    mail_post(w->keeper->loop, &w->note);
}

/* --- the client's side --- */

static struct keeper_watch *watch_new(struct keeper_client *c, const struct keeper_watch_spec *spec)
{
    struct keeper_watch *w = calloc(1, sizeof *w);
    struct store_change *changes = calloc(KEEPER_PAGE_CHANGES, sizeof *changes);
    if (!w || !changes) {
        free(w);
        free(changes);
        return NULL;
    }
    w->keeper = c->keeper;
    w->client = c;
    w->space = spec->space;
    w->name_n = spec->name.n;
    memcpy(w->name, spec->name.p, spec->name.n);
    w->prefix_n = spec->prefix.n;
    if (spec->prefix.n) memcpy(w->prefix, spec->prefix.p, spec->prefix.n);
    w->lease_ms = spec->lease_ms;
    w->owner = spec->owner;
    w->on_page = spec->on_page;
    w->on_beat = spec->on_beat;
    w->at = spec->from;
    if (spec->confirmed.epoch == spec->from.epoch) w->confirmed = spec->confirmed.number;
    w->changes = changes;
    w->page.changes = changes;
    buf_init(&w->bytes, KEEPER_PAGE_BYTES + STORE_KEY_MAX + STORE_VALUE_MAX);
    return w;
}

enum err keeper_watch_start(struct keeper_client *c, const struct keeper_watch_spec *spec, struct keeper_watch **out)
{
    struct keeper *k = c->keeper;
    if ((unsigned)spec->space >= STORE_SPACES || !(c->spaces & KEEPER_SPACE(spec->space)) ||
        !k->spaces[spec->space].served)
        return ERR_DENIED;
    if (!spec->name.n || spec->name.n > STORE_NAME_MAX || spec->prefix.n > STORE_KEY_MAX ||
        spec->lease_ms > KEEPER_LEASE_MAX_MS)
        return ERR_LIMIT;
    if (atomic_fetch_add(&k->watchers, 1) >= KEEPER_WATCHERS_MAX) {
        atomic_fetch_sub(&k->watchers, 1);
        return ERR_LIMIT;
    }
    struct keeper_watch *w = watch_new(c, spec);
    if (!w) {
        atomic_fetch_sub(&k->watchers, 1);
        return ERR_NO_MEMORY;
    }
    *out = w;
    pthread_mutex_lock(&k->lock);
    post_note(w);
    pthread_mutex_unlock(&k->lock);
    return ERR_OK;
}

void keeper_watch_next(struct keeper_watch *w)
{
    pthread_mutex_lock(&w->keeper->lock);
    w->want_next = true;
    post_note(w);
    pthread_mutex_unlock(&w->keeper->lock);
}

void keeper_watch_beat(struct keeper_watch *w, uint64_t tag)
{
    pthread_mutex_lock(&w->keeper->lock);
    w->want_beat = true;
    w->beat_tag = tag;
    post_note(w);
    pthread_mutex_unlock(&w->keeper->lock);
}

void keeper_watch_confirm(struct keeper_watch *w, struct store_position at)
{
    pthread_mutex_lock(&w->keeper->lock);
    if (!w->has_confirmed || w->confirmed_at.epoch != at.epoch || w->confirmed_at.number < at.number)
        w->confirmed_at = at;
    w->has_confirmed = true;
    post_note(w);
    pthread_mutex_unlock(&w->keeper->lock);
}

static bool is_letter_of(struct mail *m, void *whose)
{
    struct keeper_watch *w = whose;
    return m == &w->page_mail || m == &w->beat_mail;
}

void keeper_watch_stop(struct keeper_watch **watch, bool keeps_lease)
{
    struct keeper_watch *w = *watch;
    if (!w) return;
    *watch = NULL;
    struct keeper *k = w->keeper;
    struct loop *loop = w->client->loop;
    pthread_mutex_lock(&k->lock);
    w->stop = true; /* from here on the keeper posts nothing to this loop */
    w->keep_lease = keeps_lease;
    (void)mail_take_back(loop, is_letter_of, w);
    post_note(w); /* from the end of the lock on, it is the keeper's to free */
    pthread_mutex_unlock(&k->lock);
}

/* --- what others ask about watchers --- */

static int by_name(const void *a, const void *b)
{
    return str_cmp(name_of(*(struct keeper_watch *const *)a), name_of(*(struct keeper_watch *const *)b));
}

/* What a waiter needs to know of one. A lease that is over is none. */
static struct store_entry told_of(const struct keeper_watch *w)
{
    struct keeper *k = w->keeper;
    const struct space *sp = &k->spaces[w->space];
    uint64_t now_ms = mono_ms();
    bool same = w->at.epoch == sp->engine->ops->at(sp->engine).epoch;
    struct store_entry e = {name_of(w), w->away ? STR("away") : STR("connected"), same ? in_force(w) : 0, 0};
    if (w->lease_until_ms > now_ms)
        e.expires_s = (int64_t)((loop_wall_ms(k->loop) + w->lease_until_ms - now_ms + 999) / 1000);
    return e;
}

static enum err answer_sorted(struct keeper_watch **all, uint32_t n, struct store_job *job)
{
    struct store_answer a;
    uint32_t limit = job->limit ? job->limit : STORE_RANGE_MAX;
    enum err err = ERR_OK;
    store_answer_init(&a);
    qsort(all, n, sizeof(struct keeper_watch *), by_name);
    for (uint32_t i = 0; i < n && err == ERR_OK && !job->more; i++) {
        if (str_cmp(name_of(all[i]), job->from) < 0) continue;
        struct store_entry e = told_of(all[i]);
        job->more = a.n == limit;
        if (!job->more) err = store_answer_add(&a, &e);
    }
    if (err == ERR_OK) err = store_answer_give(&a, job);
    store_answer_drop(&a);
    return err;
}

enum err keeper_watchers_answer(struct keeper *k, struct store_job *job)
{
    struct space *sp = &k->spaces[job->space];
    uint32_t n = 0, i = 0;
    for (const struct keeper_watch *w = sp->watches; w; w = w->next) n++;
    struct keeper_watch **all = malloc((n + 1) * sizeof *all);
    if (!all) return ERR_NO_MEMORY;
    for (struct keeper_watch *w = sp->watches; w; w = w->next) all[i++] = w;
    enum err err = answer_sorted(all, n, job);
    free(all);
    if (err == ERR_OK) job->at = sp->engine->ops->at(sp->engine);
    return err;
}

void keeper_watches_count(const struct keeper *k, enum store_space s, uint32_t *connected, uint32_t *away)
{
    *connected = *away = 0;
    for (const struct keeper_watch *w = k->spaces[s].watches; w; w = w->next) (*(w->away ? away : connected))++;
}

/* --- opening and closing of a space --- */

struct opening {
    struct keeper *keeper;
    enum store_space space;
    enum err err;
};

static void on_lease(void *ctx, str name, uint32_t lease_ms)
{
    struct opening *o = ctx;
    struct space *sp = &o->keeper->spaces[o->space];
    for (const struct keeper_watch *x = sp->watches; x; x = x->next)
        if (x->lease_ms && str_eq(name_of(x), name)) return;
    struct keeper_watch *w = name.n <= STORE_NAME_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w) {
        o->err = ERR_NO_MEMORY;
        return;
    }
    atomic_fetch_add(&o->keeper->watchers, 1);
    w->keeper = o->keeper;
    w->space = o->space;
    w->name_n = name.n;
    memcpy(w->name, name.p, name.n);
    w->lease_ms = lease_ms;
    w->lease_until_ms = mono_ms() + lease_ms;
    w->known = w->away = w->lease_kept = true;
    w->next = sp->watches;
    sp->watches = w;
}

enum err keeper_watches_opened(struct keeper *k, enum store_space s)
{
    struct opening o = {k, s, ERR_OK};
    struct engine *e = k->spaces[s].engine;
    for (struct keeper_watch *w = k->spaces[s].watches; w; w = w->next) {
        w->lease_kept = false;
        keep_lease(w);
    }
    enum err err = e->ops->leases(e, on_lease, &o);
    return err == ERR_OK ? o.err : err;
}

void keeper_watches_free(struct keeper *k)
{
    for (unsigned s = 0; s < STORE_SPACES; s++)
        while (k->spaces[s].watches) forget(k->spaces[s].watches);
}
