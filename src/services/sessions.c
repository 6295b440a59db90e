/* GET and DELETE /authentication/sessions: what a user is logged in with, and ending it. The gateway has verified the
 * token and says who it is (X-User-ID). */
#include "identity/principal.h"
#include "identity/verify.h"
#include "services/authentication_private.h"

#include "base/clock.h"

#define PAGE 100 /* sessions told at once; of more, those that come first by their id */

struct sessions {
    str base, name, sub;
    str *sids; /* of a page, in the call's arena */
    uint32_t n, at;
    str current; /* the session of the token that asks; empty: not told */
    bool all;
};

static struct sessions *of(struct flow *f)
{
    return f->more;
}

/* "" for the default issuer, else "authentication:": what our users carry in X-User-ID (identity/principal.h). */
static str own_prefix(const struct snapshot *s)
{
    for (uint32_t i = 0; i < s->n_issuers; i++)
        if (str_eq(s->issuers[i].name, STR(AUTHENTICATION_ISSUER))) return s->issuers[i].issuer->prefix;
    return STR(AUTHENTICATION_ISSUER);
}

static bool read_user(struct flow *f)
{
    struct sessions *s = of(f);
    str id = service_field(f->call, FIELD_X_USER_ID), prefix = own_prefix(f->snapshot);
    char *room = arena_alloc(&f->call->mem, id.n + 1);
    size_t n;
    if (prefix.n && (!str_starts(id, prefix) || id.n == prefix.n || id.p[prefix.n] != ':')) id = STR_NONE;
    if (prefix.n && id.n) id = str_from(id, prefix.n + 1);
    if (!room || !id.n || principal_part_decode(id, room, &n) != ERR_OK ||
        user_of_subject(str_make(room, n), &s->base, &s->name) != ERR_OK) {
        flow_refuse(f, REASON_ACTION_NOT_GRANTED, 0, STR("no user of this service"));
        return false;
    }
    s->sub = str_make(room, n);
    return true;
}

/* The session of the token that came, if the gateway passed it: it has verified it, here only `sid` is read. */
static void read_current(struct flow *f)
{
    struct unverified_token t;
    enum jwt_fault fault;
    str value = service_field(f->call, FIELD_AUTHORIZATION), scheme = str_cut(&value, ' ');
    if (!str_ieq(scheme, STR("Bearer"))) return;
    if (jwt_read_unverified(value, &f->call->mem, &t, &fault) != ERR_OK || !t.payload) return;
    str sid = json_text(json_get(t.payload, STR("sid")));
    if (session_id_ok(sid)) of(f)->current = sid;
}

/* The ids of a page of the index. */
static bool keep_page(struct flow *f)
{
    struct sessions *s = of(f);
    s->sids = arena_array(&f->call->mem, f->job.n_entries + 1, sizeof *s->sids);
    s->n = s->at = 0;
    for (uint32_t i = 0; s->sids && i < f->job.n_entries; i++) {
        str sid;
        if (session_key_read(f->job.entries[i].key, &sid) != ERR_OK) continue;
        if (!flow_copy(f, &sid)) return false;
        s->sids[s->n++] = sid;
    }
    if (s->sids) return true;
    flow_refuse(f, REASON_OVERLOADED, 1, STR_NONE);
    return false;
}

static void ask_page(struct flow *f, uint32_t limit, void (*step)(struct flow *f))
{
    struct sessions *s = of(f);
    str from = session_of_prefix(&f->keys[0], s->base, s->name), to = record_key_end(&f->keys[1], from);
    flow_range(f, STORE_AUTHENTICATION, from, to, limit, step);
}

/* --- the list --- */

static void put_time(struct buf *b, const char *name, uint64_t ms)
{
    char text[CLOCK_RFC3339_LEN];
    clock_rfc3339(text, ms);
    record_put_str(b, name, str_make(text, sizeof text));
}

static void put_session(struct buf *b, const struct sessions *s, str sid, const struct session_record *r)
{
    record_begin(b);
    record_put_str(b, "id", sid);
    record_put_str(b, "product", r->product);
    record_put_str(b, "client", r->client);
    put_time(b, "created", r->created_ms);
    put_time(b, "used", r->used_ms);
    buf_puts(b, str_eq(sid, s->current) ? ",\"current\":true}" : ",\"current\":false}");
}

static void on_sessions(struct flow *f)
{
    struct sessions *s = of(f);
    struct buf b;
    buf_init(&b, 65536);
    buf_puts(&b, "{\"sessions\":[");
    bool first = true;
    for (uint32_t i = 0; i < f->job.n_entries; i++) {
        struct session_record r;
        const struct store_entry *e = &f->job.entries[i];
        struct arena mem; /* of one record: a page of them would be much for the call's */
        arena_init(&mem, NULL, 0, RECORD_ARENA);
        if (e->version && session_record_read(e->value, &mem, &r) == ERR_OK && str_eq(r.base, s->base) &&
            str_eq(r.name, s->name)) {
            if (!first) buf_putc(&b, ',');
            put_session(&b, s, s->sids[i], &r);
            first = false;
        }
        arena_reset(&mem);
    }
    buf_puts(&b, "]}");
    if (b.bad)
        flow_refuse(f, REASON_OVERLOADED, 1, STR_NONE);
    else
        flow_answer(f, 200, buf_str(&b));
    buf_free(&b);
}

static void on_list_page(struct flow *f)
{
    struct sessions *s = of(f);
    if (!keep_page(f)) return;
    if (!s->n) {
        flow_answer(f, 200, STR("{\"sessions\":[]}"));
        return;
    }
    struct record_key *rooms = arena_array(&f->call->mem, s->n, sizeof *rooms);
    str *asked = arena_array(&f->call->mem, s->n, sizeof *asked);
    if (!rooms || !asked) {
        flow_refuse(f, REASON_OVERLOADED, 1, STR_NONE);
        return;
    }
    for (uint32_t i = 0; i < s->n; i++) asked[i] = session_record_key(&rooms[i], s->sids[i]);
    flow_get_keys(f, STORE_AUTHENTICATION, asked, s->n, on_sessions);
}

void sessions_run(struct service_call *call, void *owner)
{
    struct flow *f = flow_new(owner, call, "sessions", sizeof(struct sessions));
    if (!f || !read_user(f)) return;
    read_current(f);
    ask_page(f, PAGE, on_list_page);
}

/* --- ending one, ending all --- */

static void on_all_page(struct flow *f);

static void end_next(struct flow *f)
{
    struct sessions *s = of(f);
    if (s->at > 0) flow_audit(f, AUDIT_SESSION_ENDED, AUDIT_OK, s->sub, NULL, s->sids[s->at - 1]);
    if (s->at < s->n)
        flow_session_end(f, s->sids[s->at++], s->base, s->name, "session_ended", end_next);
    else if (s->all && s->n)
        ask_page(f, 20, on_all_page);
    else
        flow_answer(f, 204, STR_NONE);
}

static void on_all_page(struct flow *f)
{
    if (keep_page(f)) end_next(f);
}

void sessions_delete_run(struct service_call *call, void *owner)
{
    struct flow *f = flow_new(owner, call, "sessions", sizeof(struct sessions));
    if (!f || !read_user(f)) return;
    of(f)->all = true;
    ask_page(f, 20, on_all_page);
}

static void on_one(struct flow *f)
{
    struct sessions *s = of(f);
    struct session_record r;
    const struct store_entry *e = &f->job.entries[0];
    enum err err = e->version ? session_record_read(e->value, &f->call->mem, &r) : ERR_NOT_FOUND;
    if (err != ERR_OK || !str_eq(r.base, s->base) || !str_eq(r.name, s->name))
        flow_refuse(f, REASON_NOT_FOUND, 0, STR_NONE); /* another's is as unknown as none */
    else
        end_next(f);
}

void session_delete_run(struct service_call *call, void *owner)
{
    struct flow *f = flow_new(owner, call, "sessions", sizeof(struct sessions));
    if (!f || !read_user(f)) return;
    struct sessions *s = of(f);
    s->sids = arena_array(&call->mem, 1, sizeof *s->sids);
    if (!s->sids || !session_id_ok(call->tail)) {
        flow_refuse(f, REASON_NOT_FOUND, 0, STR_NONE);
        return;
    }
    s->sids[0] = call->tail;
    s->n = 1;
    f->asked[0] = session_record_key(&f->keys[0], call->tail);
    flow_get(f, STORE_AUTHENTICATION, 1, on_one);
}
