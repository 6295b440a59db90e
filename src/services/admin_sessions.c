/* Sessions of a user, listed; ending one is a revocation of it. */
#include "services/admin_private.h"

struct listing {
    str base, name;
    struct record_key prefix, after;
    struct record_key rooms[ADMIN_PAGE_MAX];
    str keys[ADMIN_PAGE_MAX];
    bool more;
    str last; /* sid */
};

static void put_session(struct buf *b, str sid, const struct session_record *s)
{
    record_begin(b);
    record_put_str(b, "id", sid);
    record_put_str(b, "sub", s->sub);
    record_put_str(b, "product", s->product);
    record_put_str(b, "client", s->client);
    record_put_u64(b, "created_ms", s->created_ms);
    record_put_u64(b, "used_ms", s->used_ms);
    record_put_u64(b, "generation", s->generation);
    record_put_i64(b, "expires_s", s->expires_s);
    buf_putc(b, '}');
}

static void answer(struct admin_call *c)
{
    struct listing *x = c->own;
    struct buf *b = &c->answer;
    bool any = false;
    if (admin_store_failed(c)) return;
    buf_puts(b, "{\"sessions\":[");
    for (uint32_t i = 0; c->job_used && c->job.kind == STORE_GET && i < c->job.n_entries; i++) {
        char first[4096];
        struct arena mem;
        struct session_record s;
        str sid;
        const struct store_entry *e = &c->job.entries[i];
        arena_init(&mem, first, sizeof first, RECORD_ARENA);
        if (e->version && session_key_read(e->key, &sid) == ERR_OK &&
            session_record_read(e->value, &mem, &s) == ERR_OK) {
            if (any) buf_putc(b, ',');
            any = true;
            put_session(b, sid, &s);
        }
        arena_reset(&mem);
    }
    buf_puts(b, "]");
    if (x->more) record_put_str(b, "after", x->last);
    buf_puts(b, "}\n");
    admin_done(c, 200);
}

static void found(struct admin_call *c)
{
    struct listing *x = c->own;
    uint32_t n = 0;
    if (admin_store_failed(c)) return;
    for (uint32_t i = 0; i < c->job.n_entries && n < ADMIN_PAGE_MAX; i++) {
        str sid;
        if (session_key_read(c->job.entries[i].key, &sid) != ERR_OK) continue;
        x->last = arena_copy(&c->mem, sid);
        if (!x->last.p) {
            admin_no_memory(c);
            return;
        }
        x->keys[n] = session_record_key(&x->rooms[n], sid);
        n++;
    }
    x->more = c->job.more;
    if (n)
        admin_get(c, STORE_AUTHENTICATION, x->keys, n, answer);
    else
        answer(c);
}

static void list(struct admin_call *c)
{
    struct listing *x = arena_zalloc(&c->mem, sizeof *x);
    str user = admin_query(c, "user"), after = admin_query(c, "after"), behind = STR("");
    uint32_t limit;
    if (!x) {
        admin_no_memory(c);
        return;
    }
    c->own = x;
    if (!user.n) {
        admin_refuse(c, ADMIN_INPUT, "user", NULL, "whose sessions?");
        return;
    }
    if (!admin_base(c, admin_query(c, "base"), &x->base) || !admin_user_name(c, user, &x->name) ||
        !admin_limit(c, &limit))
        return;
    if (after.n && !session_id_ok(after)) {
        admin_refuse(c, ADMIN_INPUT, "after", NULL, "is no session's id");
        return;
    }
    if (after.n) behind = session_of_key(&x->after, x->base, x->name, after);
    admin_page(c, STORE_AUTHENTICATION, session_of_prefix(&x->prefix, x->base, x->name), behind, limit, found);
}

void admin_sessions(struct admin_call *c)
{
    if (c->n_path == 1 && c->method == METHOD_GET)
        list(c);
    else
        admin_refuse(c, ADMIN_METHOD, NULL, "end one by POST /v1/revocations", "sessions are listed here");
}
