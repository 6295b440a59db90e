#include "store/job.h"
#include "store/keeper_private.h"

/* What a watcher is told, page by page. A page is read from the engine when it is asked for: the history says which
 * keys changed, the entries what they hold now. */

#define SCAN_MAX  2048  /* changes looked through for one page */
#define TELL_EACH 10000 /* foreign changes after which an empty page moves the watcher on */

struct page_walk {
    struct keeper_watch *w;
    struct engine *engine;
    uint32_t scanned;
    uint64_t looked; /* the last number that was looked at */
    bool full;
    enum err err;
};

/* Slices are offsets until the page is whole. */
static str keep(struct buf *b, str s)
{
    size_t at = b->n;
    buf_put(b, s);
    return str_make((const char *)(uintptr_t)at, s.n);
}

static enum err add(struct keeper_watch *w, enum store_change_kind kind, struct store_position at,
                    const struct store_entry *e)
{
    struct store_change *c = &w->changes[w->page.n];
    *c = (struct store_change){.kind = kind, .at = at};
    if (e) c->entry = *e;
    c->entry.key = keep(&w->bytes, c->entry.key);
    c->entry.value = keep(&w->bytes, c->entry.value);
    if (w->bytes.bad) return ERR_NO_MEMORY;
    w->page.n++;
    return ERR_OK;
}

static bool page_full(const struct keeper_watch *w)
{
    return w->page.n >= KEEPER_PAGE_CHANGES - 2 || w->bytes.n >= KEEPER_PAGE_BYTES; /* two for the marks of a resync */
}

/* What the key holds now, told at the change that wrote it; what a later change overwrote is told there. */
static enum err tell_change(struct page_walk *p, const struct engine_change *c)
{
    struct store_entry e;
    enum err err = p->engine->ops->get(p->engine, c->key, (int64_t)keeper_now_s(p->w->keeper), &e);
    if (err != ERR_OK) return err;
    struct store_position at = {p->engine->ops->at(p->engine).epoch, c->number};
    if (c->removed && !e.version) {
        e.key = c->key;
        return add(p->w, STORE_REMOVED, at, &e);
    }
    return !c->removed && e.version == c->number ? add(p->w, STORE_CHANGED, at, &e) : ERR_OK;
}

static bool on_change(void *ctx, const struct engine_change *c)
{
    struct page_walk *p = ctx;
    p->full = page_full(p->w) || ++p->scanned > SCAN_MAX;
    if (p->full) return false;
    if (str_starts(c->key, str_make(p->w->prefix, p->w->prefix_n))) p->err = tell_change(p, c);
    if (p->err != ERR_OK) return false;
    p->looked = c->number;
    return true;
}

static enum err page_of_changes(struct keeper_watch *w, struct engine *e, bool *more)
{
    struct page_walk p = {w, e, 0, w->at.number, false, ERR_OK};
    enum err err = e->ops->changes(e, w->at.number, on_change, &p);
    if (err == ERR_OK) err = p.err;
    if (err != ERR_OK) return err;
    if (w->page.n) { /* what lies before the first of them is in force if all before it was confirmed */
        uint64_t before = w->page.changes[0].at.number - 1;
        if (w->confirmed >= w->delivered && before > w->confirmed) w->confirmed = before;
        w->delivered = w->page.changes[w->page.n - 1].at.number;
    }
    w->at.number = p.looked;
    w->page.at = w->at;
    *more = p.full;
    return ERR_OK;
}

static bool on_entry(void *ctx, const struct store_entry *e)
{
    struct page_walk *p = ctx;
    p->full = page_full(p->w);
    if (p->full) return false;
    p->err = add(p->w, STORE_CHANGED, (struct store_position){p->w->resync_at.epoch, e->version}, e);
    if (p->err != ERR_OK) return false;
    memcpy(p->w->cursor, e->key.p, e->key.n);
    p->w->cursor[e->key.n] = '\0'; /* the least key behind it; no key holds a NUL */
    p->w->cursor_n = e->key.n + 1;
    return true;
}

static enum err page_of_resync(struct keeper_watch *w, struct engine *e)
{
    char room[STORE_KEY_MAX];
    struct page_walk p = {w, e, 0, 0, false, ERR_OK};
    enum err err = ERR_OK;
    if (!w->cursor_n) {
        err = add(w, STORE_RESYNC_BEGIN, w->resync_at, NULL);
        memcpy(w->cursor, w->prefix, w->prefix_n);
        w->cursor_n = w->prefix_n;
    }
    str to = store_prefix_end(str_make(w->prefix, w->prefix_n), room);
    if (err == ERR_OK)
        err = e->ops->range(e, str_make(w->cursor, w->cursor_n), to, false, (int64_t)keeper_now_s(w->keeper), on_entry,
                            &p);
    if (err == ERR_OK) err = p.err;
    w->page.at = (struct store_position){0};
    if (err != ERR_OK || p.full) return err;
    err = add(w, STORE_RESYNC_END, w->resync_at, NULL);
    if (err != ERR_OK) return err;
    w->resync = false;
    w->page.at = w->at = w->resync_at;
    w->delivered = w->at.number;
    return ERR_OK;
}

static void begin_resync(struct keeper_watch *w, struct engine *e)
{
    w->resync = true;
    w->resync_at = e->ops->at(e);
    w->at = (struct store_position){w->resync_at.epoch, 0};
    w->cursor_n = 0;
    w->confirmed = 0;
    w->delivered = UINT64_MAX;
}

static void on_page_mail(struct mail *m, void *owner)
{
    (void)owner;
    struct keeper_watch *w = CONTAINER_OF(m, struct keeper_watch, page_mail);
    w->on_page(w->owner, &w->page);
}

static void send_page(struct keeper_watch *w)
{
    for (uint32_t i = 0; i < w->page.n; i++) {
        struct store_entry *e = &w->changes[i].entry;
        e->key.p = e->key.n ? w->bytes.p + (uintptr_t)e->key.p : "";
        e->value.p = e->value.n ? w->bytes.p + (uintptr_t)e->value.p : "";
    }
    w->hungry = false;
    w->told = true;
    w->told_number = w->at.number;
    pthread_mutex_lock(&w->keeper->lock);
    if (!w->stop) {
        w->page_mail.on_mail = on_page_mail;
        mail_post(w->client->loop, &w->page_mail);
    }
    pthread_mutex_unlock(&w->keeper->lock);
}

/* One page, if there is anything to tell. On a failure the watcher stays hungry and is tried again at the next tick;
 * what the page would have told is told then, as the watcher's place is only moved on with it. */
void keeper_page_feed(struct keeper_watch *w)
{
    struct engine *e = keeper_engine_of(w);
    if (!e) return;
    struct store_position head = e->ops->at(e);
    if (w->hungry && (w->at.epoch != head.epoch || (!w->resync && w->at.number > head.number))) begin_resync(w, e);
    bool more = w->hungry;
    while (more && (w->resync || w->at.number < head.number || !w->told)) {
        w->page.n = 0;
        buf_clear(&w->bytes);
        char cursor[sizeof w->cursor];
        size_t cursor_n = w->cursor_n;
        memcpy(cursor, w->cursor, cursor_n);
        more = false;
        enum err err = w->resync ? page_of_resync(w, e) : page_of_changes(w, e, &more);
        if (err == ERR_NOT_FOUND) {
            begin_resync(w, e);
            more = true;
            continue;
        }
        if (err != ERR_OK) {
            memcpy(w->cursor, cursor, cursor_n);
            w->cursor_n = cursor_n;
            break;
        }
        if (w->page.n || !w->told || w->at.number - w->told_number >= TELL_EACH) {
            send_page(w);
            break;
        }
    }
    keeper_watch_reckon(w, head);
}
