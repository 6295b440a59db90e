/* So many sessions a user may have, then new ones take the place of those that were used least recently: nobody fills
 * the store by logging in.
 *
 * The index says when each was used. It is read, page by page, in one login of SESSIONS_LOOK, which costs the others
 * nothing and lets a user be that many over the bound at most, for each process; as many may go at once. */
#include "services/authentication_private.h"

#define SESSIONS_MAX  5000
#define SESSIONS_LOOK 64
#define PAGE          1000

struct indexed {
    uint64_t used_ms;
    char sid[SESSION_ID_LEN];
};

struct room {
    void (*next)(struct flow *f);
    str base, name;
    struct indexed oldest[SESSIONS_LOOK]; /* ascending */
    uint32_t n, at, all;
};

enum err session_index_put(struct flow *f, uint64_t used_ms, str *value)
{
    *value = arena_printf(&f->call->mem, "{\"used_ms\":%llu}", (unsigned long long)used_ms);
    return value->p ? ERR_OK : ERR_NO_MEMORY;
}

static uint64_t used_of(str value)
{
    struct record_reader r;
    char first[2048];
    struct arena mem;
    arena_init(&mem, first, sizeof first, RECORD_ARENA);
    uint64_t ms = record_open(&r, value, &mem) == ERR_OK ? record_u64_if(&r, "used_ms") : 0;
    arena_reset(&mem);
    return ms;
}

/* Among those used least recently so far, if it is one. */
static void keep(struct room *r, str sid, uint64_t used_ms)
{
    uint32_t i = r->n < SESSIONS_LOOK ? r->n++ : SESSIONS_LOOK - 1;
    if (r->all++ >= SESSIONS_LOOK && used_ms >= r->oldest[i].used_ms) return;
    for (; i > 0 && r->oldest[i - 1].used_ms > used_ms; i--) r->oldest[i] = r->oldest[i - 1];
    r->oldest[i].used_ms = used_ms;
    memcpy(r->oldest[i].sid, sid.p, sid.n);
}

static void end_next(struct flow *f)
{
    struct room *r = f->room;
    if (r->at == r->n || r->all < SESSIONS_MAX) {
        r->next(f);
        return;
    }
    r->all--;
    flow_session_end(f, str_make(r->oldest[r->at++].sid, SESSION_ID_LEN), r->base, r->name, "too_many_sessions",
                     end_next);
}

static void on_page(struct flow *f);

/* From behind the last key; sids have one length, so that nothing lies between. */
static void next_page(struct flow *f, str last)
{
    struct room *r = f->room;
    str prefix = session_of_prefix(&f->keys[1], r->base, r->name), from = prefix;
    if (last.n && last.n < sizeof f->keys[0].p) {
        memcpy(f->keys[0].p, last.p, last.n);
        f->keys[0].p[last.n] = '\x01';
        from = str_make(f->keys[0].p, last.n + 1);
    }
    flow_range(f, STORE_AUTHENTICATION, from, record_key_end(&f->keys[2], prefix), PAGE, on_page);
}

static void on_page(struct flow *f)
{
    struct room *r = f->room;
    for (uint32_t i = 0; i < f->job.n_entries; i++) {
        const struct store_entry *e = &f->job.entries[i];
        str sid;
        if (session_key_read(e->key, &sid) == ERR_OK) keep(r, sid, used_of(e->value));
    }
    bool more = f->job.more && f->job.n_entries && r->all < 2 * SESSIONS_MAX;
    if (more)
        next_page(f, f->job.entries[f->job.n_entries - 1].key);
    else
        end_next(f);
}

void session_make_room(struct flow *f, str base, str name, void (*next)(struct flow *f))
{
    if (f->a->n_looked++ % SESSIONS_LOOK) {
        next(f);
        return;
    }
    f->room = arena_zalloc(&f->call->mem, sizeof *f->room);
    if (!f->room) {
        flow_refuse(f, REASON_OVERLOADED, 1, STR_NONE);
        return;
    }
    *f->room = (struct room){.next = next, .base = base, .name = name};
    next_page(f, STR_NONE);
}
