/* Revocations, sessions, and the wait until every enforcer has a change: a watcher of space control that holds a lease
 * either has confirmed the change or refuses by itself once its lease is over; until then it is named. */
#include "services/admin_private.h"

#include <stdio.h>

enum { FOREIGN_DAYS = 400, OWN_MIN_S = 86400, MARGIN_S = 60, SESSIONS_A_STEP = 100, DELETES = 2 * SESSIONS_A_STEP };

/* --- waiting for the enforcers --- */

bool admin_confirm_options(struct admin_call *c)
{
    int64_t ms = ADMIN_WAIT_MS;
    uint64_t said = 0;
    str asked = admin_query(c, "wait_ms");
    if (c->body && !admin_number(c, "wait_ms", 0, ADMIN_WAIT_MAX, &ms)) return false;
    if (asked.p && (str_to_u64(asked, &said) != ERR_OK || said > ADMIN_WAIT_MAX)) {
        admin_refuse(c, ADMIN_INPUT, "wait_ms", NULL, "is not a number up to %d", ADMIN_WAIT_MAX);
        return false;
    }
    if (asked.p) ms = (int64_t)said;
    uint64_t now = loop_now_ms(c->admin->o.loop);
    c->confirm = (struct admin_confirmation){.since_ms = now, .until_ms = now + (uint64_t)ms, .pause_ms = 2};
    return true;
}

static void ask_watchers(struct admin_call *c);

static void put_watcher(struct buf *b, const struct store_entry *e, bool missing)
{
    if (b->n > 1) buf_putc(b, ',');
    record_begin(b);
    record_put_str(b, "name", e->key);
    if (missing) {
        record_put_str(b, "state", e->value);
        record_put_i64(b, "lease_ends_s", e->expires_s);
    }
    buf_putc(b, '}');
}

/* Who holds no lease made no promise; whose lease is over refuses by itself. */
static bool look_at_watchers(struct admin_call *c, struct buf *confirmed, struct buf *missing)
{
    const struct admin_confirmation *f = &c->confirm;
    int64_t now_s = (int64_t)(loop_wall_ms(c->admin->o.loop) / 1000);
    bool all = c->job.at.epoch == f->at.epoch; /* of another epoch: the store was restored, the change may be gone */
    buf_putc(confirmed, '[');
    buf_putc(missing, '[');
    for (uint32_t i = 0; i < c->job.n_entries; i++) {
        const struct store_entry *e = &c->job.entries[i];
        if (e->expires_s == 0 || e->expires_s <= now_s) continue;
        bool has = e->version >= f->at.number;
        put_watcher(has ? confirmed : missing, e, !has);
        all &= has;
    }
    buf_putc(confirmed, ']');
    buf_putc(missing, ']');
    return all;
}

static void watchers_told(struct admin_call *c)
{
    struct admin_confirmation *f = &c->confirm;
    struct buf confirmed, missing;
    if (admin_store_failed(c)) return;
    buf_init(&confirmed, 1 << 20);
    buf_init(&missing, 1 << 20);
    f->complete = look_at_watchers(c, &confirmed, &missing);
    uint64_t now = loop_now_ms(c->admin->o.loop);
    f->ms = now - f->since_ms;
    if (!f->complete && now < f->until_ms) {
        f->pause_ms = f->pause_ms < 50 ? f->pause_ms * 2 : 50;
        admin_sleep(c, f->pause_ms, ask_watchers);
    } else {
        f->confirmed = arena_copy(&c->mem, buf_str(&confirmed));
        f->missing = arena_copy(&c->mem, buf_str(&missing));
        bool ok = f->confirmed.p && f->missing.p && !confirmed.bad && !missing.bad;
        if (ok)
            c->after(c);
        else
            admin_no_memory(c);
    }
    buf_free(&confirmed);
    buf_free(&missing);
}

static void ask_watchers(struct admin_call *c)
{
    admin_submit(c, &(struct store_job){.kind = STORE_WATCHERS, .space = STORE_CONTROL}, watchers_told);
}

void admin_confirm(struct admin_call *c, struct store_position at)
{
    c->confirm.at = at;
    ask_watchers(c);
}

void admin_put_confirmation(struct admin_call *c)
{
    const struct admin_confirmation *f = &c->confirm;
    struct buf *b = &c->answer;
    buf_printf(b, ",\"complete\":%s,\"ms\":%llu,\"confirmed\":%.*s,\"missing\":%.*s,\"at\":{\"epoch\":\"%llu\",",
               f->complete ? "true" : "false", (unsigned long long)f->ms, STR_ARG(f->confirmed), STR_ARG(f->missing),
               (unsigned long long)f->at.epoch);
    buf_printf(b, "\"number\":\"%llu\"}", (unsigned long long)f->at.number);
}

/* --- the wait alone: for whoever had not enough of the first --- */

static void confirmation_answered(struct admin_call *c)
{
    buf_puts(&c->answer, "{\"asked\":true");
    admin_put_confirmation(c);
    buf_puts(&c->answer, "}\n");
    admin_done(c, 200);
}

static void confirmation_over(struct admin_call *c)
{
    if (!c->confirm.complete) {
        confirmation_answered(c);
        return;
    }
    admin_record(c,
                 &(struct audit_record){.event = AUDIT_REVOCATION_CONFIRMED,
                                        .detail = STR("by every live enforcer, or its lease is over")},
                 confirmation_answered);
}

void admin_confirmations(struct admin_call *c)
{
    struct store_position at;
    if (c->method != METHOD_GET) {
        admin_refuse(c, ADMIN_METHOD, NULL, NULL, "confirmations are only asked for");
        return;
    }
    if (str_to_u64(admin_query(c, "epoch"), &at.epoch) != ERR_OK ||
        str_to_u64(admin_query(c, "number"), &at.number) != ERR_OK) {
        admin_refuse(c, ADMIN_INPUT, "number", NULL, "epoch and number of a change are wanted");
        return;
    }
    if (!admin_confirm_options(c)) return;
    c->after = confirmation_over;
    admin_confirm(c, at);
}

/* --- writing a revocation --- */

struct admin_revoking {
    struct revocation_target target;
    struct store_op op;
    struct record_key key;
    struct store_position at;
    str prefix; /* of the sessions that end with it; empty: none do */
    struct record_key prefix_room;
    uint64_t ended;
    struct record_key keys[DELETES];
    struct store_op ops[DELETES];
};

int64_t admin_revocation_end_s(const struct admin_call *c)
{
    const struct snapshot *s = admin_snapshot(c);
    int64_t life = s && s->authentication.on ? (int64_t)s->authentication.access_s : 0;
    return admin_now_s(c) + (life > OWN_MIN_S ? life : OWN_MIN_S) + MARGIN_S;
}

static void next_sessions(struct admin_call *c);

static void sessions_deleted(struct admin_call *c)
{
    if (admin_store_failed(c)) return;
    next_sessions(c);
}

static void sessions_found(struct admin_call *c)
{
    struct admin_revoking *x = c->revoking;
    uint32_t n = 0;
    if (admin_store_failed(c)) return;
    for (uint32_t i = 0; i < c->job.n_entries && n + 2 <= DELETES; i++) {
        str sid, of = c->job.entries[i].key;
        memcpy(x->keys[n].p, of.p, of.n);
        x->ops[n] = (struct store_op){.verb = STORE_DELETE, .key = str_make(x->keys[n].p, of.n)};
        bool known = session_key_read(x->ops[n].key, &sid) == ERR_OK;
        n++;
        if (!known) continue;
        x->ops[n] = (struct store_op){.verb = STORE_DELETE};
        x->ops[n].key = session_record_key(&x->keys[n], sid);
        n++;
        x->ended++;
    }
    if (n)
        admin_batch(c, STORE_AUTHENTICATION, x->ops, n, sessions_deleted);
    else
        admin_confirm(c, x->at);
}

static void next_sessions(struct admin_call *c)
{
    admin_page(c, STORE_AUTHENTICATION, c->revoking->prefix, STR(""), SESSIONS_A_STEP, sessions_found);
}

/* The tokens first: who refreshes in between gets one that is newer, and loses the session all the same. */
static void revocation_written(struct admin_call *c)
{
    struct admin_revoking *x = c->revoking;
    if (admin_store_failed(c)) return;
    x->at = c->job.at;
    if (x->prefix.n)
        next_sessions(c);
    else
        admin_confirm(c, x->at);
}

static bool revoking_new(struct admin_call *c)
{
    c->revoking = arena_zalloc(&c->mem, sizeof *c->revoking);
    if (!c->revoking) admin_no_memory(c);
    return c->revoking != NULL;
}

static void write_revocation(struct admin_call *c, str reason, int64_t end_s)
{
    struct admin_revoking *x = c->revoking;
    struct buf b;
    struct revocation_record r = {.before_s = admin_now_s(c),
                                  .reason = reason,
                                  .by = str_first(c->who, RECORD_TEXT_MAX),
                                  .at_ms = c->now_ms};
    x->op = (struct store_op){.verb = STORE_PUT, .expires_s = end_s};
    x->op.key = revocation_record_key(&x->key, &x->target);
    if (!x->op.key.n) {
        admin_refuse(c, ADMIN_INPUT, "value", NULL, "is missing, or too long to be revoked");
        return;
    }
    buf_init(&b, RECORD_MAX);
    enum err e = revocation_record_put(&b, &r);
    if (e == ERR_OK) x->op.value = arena_copy(&c->mem, buf_str(&b));
    buf_free(&b);
    if (e == ERR_OK && x->op.value.p)
        admin_batch(c, STORE_CONTROL, &x->op, 1, revocation_written);
    else
        admin_no_memory(c);
}

void admin_revoke(struct admin_call *c, const struct revocation_target *target, str reason, int64_t end_s)
{
    if (!revoking_new(c)) return;
    c->revoking->target = *target;
    write_revocation(c, reason, end_s);
}

void admin_revoke_user(struct admin_call *c, str base, str name, str reason)
{
    if (!revoking_new(c)) return;
    struct admin_revoking *x = c->revoking;
    char *room = arena_alloc(&c->mem, USER_SUBJECT_MAX);
    if (!room) {
        admin_no_memory(c);
        return;
    }
    x->target = (struct revocation_target){.kind = REVOCATION_USER,
                                           .issuer = REVOCATION_ISSUER_OWN,
                                           .value = user_subject(room, base, name)};
    x->prefix = session_of_prefix(&x->prefix_room, base, name);
    write_revocation(c, reason, admin_revocation_end_s(c));
}

/* --- POST /v1/revocations --- */

struct asked {
    struct revocation_target target;
    str reason, base, name, key;
    struct record_key room;
    bool own; /* a user of ours */
};

static void revoked_answered(struct admin_call *c)
{
    struct asked *x = c->own;
    struct buf *b = &c->answer;
    record_begin(b);
    record_put_str(b, "kind", str_of(revocation_kind_name(x->target.kind)));
    record_put_str(b, "issuer", x->target.issuer);
    record_put_str(b, "value", x->target.value);
    if (c->revoking) record_put_u64(b, "sessions", c->revoking->ended);
    admin_put_confirmation(c);
    buf_puts(b, "}\n");
    admin_done(c, 200);
}

static void revoked_confirmed(struct admin_call *c)
{
    const struct admin_confirmation *f = &c->confirm;
    str detail = f->complete ? arena_printf(&c->mem, "%llu ms", (unsigned long long)f->ms)
                             : arena_printf(&c->mem, "after %llu ms not by %.*s", (unsigned long long)f->ms,
                                            STR_ARG(f->missing));
    const struct asked *x = c->own;
    struct audit_record r = {.event = AUDIT_REVOCATION_CONFIRMED,
                             .outcome = f->complete ? AUDIT_OK : AUDIT_FAILED,
                             .subject = x->target.value,
                             .object = str_of(revocation_kind_name(x->target.kind)),
                             .detail = detail};
    admin_record(c, &r, revoked_answered);
}

static void revoke_recorded(struct admin_call *c)
{
    struct asked *x = c->own;
    c->after = revoked_confirmed;
    int64_t end_s = admin_revocation_end_s(c);
    bool foreign = x->target.kind == REVOCATION_PRODUCT || x->target.kind == REVOCATION_ALL ||
                   x->target.kind == REVOCATION_TOKEN ||
                   (x->target.kind == REVOCATION_USER && !str_eq(x->target.issuer, REVOCATION_ISSUER_OWN));
    if (foreign)
        end_s = admin_now_s(c) + (int64_t)FOREIGN_DAYS * 86400; /* nobody tells us how long others' tokens live */
    if (x->own)
        admin_revoke_user(c, x->base, x->name, x->reason);
    else
        admin_revoke(c, &x->target, x->reason, end_s);
}

/* Recorded before it is done: a revocation that went through is never without its record. */
static void record_revocation(struct admin_call *c)
{
    const struct asked *x = c->own;
    admin_record(c,
                 &(struct audit_record){.event = AUDIT_REVOKED,
                                        .subject = x->target.value,
                                        .object = str_of(revocation_kind_name(x->target.kind)),
                                        .reason = x->target.issuer,
                                        .detail = x->reason},
                 revoke_recorded);
}

static void user_looked_up(struct admin_call *c)
{
    const struct asked *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.entries[0].version)
        record_revocation(c);
    else
        admin_refuse(c, ADMIN_UNKNOWN, "value", "users of another issuer need --issuer", "there is no user '%.*s'",
                     STR_ARG(x->name));
}

static void product_looked_up(struct admin_call *c)
{
    const struct asked *x = c->own;
    if (admin_store_failed(c)) return;
    if (c->job.entries[0].version)
        record_revocation(c);
    else
        admin_refuse(c, ADMIN_UNKNOWN, "value", "`sallyport product list` lists them", "there is no product '%.*s'",
                     STR_ARG(x->target.value));
}

static bool known_issuer(const struct snapshot *s, str name)
{
    for (uint32_t i = 0; i < s->n_issuers; i++)
        if (str_eq(s->issuers[i].name, name)) return true;
    return false;
}

static void revoke_user(struct admin_call *c, struct asked *x, str issuer, str base)
{
    const struct snapshot *s = admin_snapshot(c);
    x->target.issuer = issuer.n ? issuer : REVOCATION_ISSUER_OWN;
    if (!str_eq(x->target.issuer, REVOCATION_ISSUER_OWN)) {
        if (s && !known_issuer(s, issuer))
            admin_refuse(c, ADMIN_UNKNOWN, "issuer", "its name in the configuration, not its `iss`",
                         "the configuration has no issuer '%.*s'", STR_ARG(issuer));
        else
            record_revocation(c);
        return;
    }
    char *room = arena_alloc(&c->mem, USER_SUBJECT_MAX);
    if (!room) {
        admin_no_memory(c);
        return;
    }
    if (!admin_base(c, base, &x->base) || !admin_user_name(c, x->target.value, &x->name)) return;
    x->target.value = user_subject(room, x->base, x->name);
    x->own = true;
    x->key = user_record_key(&x->room, x->base, x->name);
    admin_get(c, STORE_IDENTITY, &x->key, 1, user_looked_up);
}

static void revoke_product(struct admin_call *c, struct asked *x)
{
    const struct snapshot *s = admin_snapshot(c);
    if (!record_name_ok(x->target.value)) {
        admin_refuse(c, ADMIN_INPUT, "value", NULL, "is no product's name");
    } else if (s && snapshot_product(s, x->target.value)) {
        record_revocation(c);
    } else {
        x->key = product_record_key(&x->room, x->target.value);
        admin_get(c, STORE_CONTROL, &x->key, 1, product_looked_up);
    }
}

static void session_ended(struct session_end *e);

static void revoke_session(struct admin_call *c, struct asked *x)
{
    if (!session_id_ok(x->target.value)) {
        admin_refuse(c, ADMIN_INPUT, "value", "`sallyport session list USER` lists them", "is no session's id");
        return;
    }
    c->session = (struct session_end){.store = c->admin->o.store,
                                      .reason = x->reason,
                                      .by = str_first(c->who, RECORD_TEXT_MAX),
                                      .now_ms = c->now_ms,
                                      .access_token_s = admin_revocation_end_s(c) - admin_now_s(c),
                                      .done = session_ended};
    memcpy(c->session.sid, x->target.value.p, SESSION_ID_LEN);
    session_end(&c->session);
}

static void session_recorded(struct admin_call *c)
{
    admin_confirm(c, c->session.at);
}

static void session_ended(struct session_end *e)
{
    struct admin_call *c = CONTAINER_OF(e, struct admin_call, session);
    const struct asked *x = c->own;
    if (c->admin->closing) {
        admin_done(c, 503);
        return;
    }
    if (e->err != ERR_OK && e->err != ERR_NOT_FOUND) {
        c->job.err = e->err;
        if (!admin_store_failed(c)) admin_refuse(c, ADMIN_CHANGED, NULL, "ask again", "the session changed meanwhile");
        return;
    }
    if (e->err == ERR_NOT_FOUND) {
        admin_refuse(c, ADMIN_UNKNOWN, "value", "`sallyport session list USER` lists them",
                     "there is no session '%.*s' (tokens that it gave out are refused from now on all the same)",
                     STR_ARG(x->target.value));
        return;
    }
    c->after = revoked_confirmed;
    admin_record(c,
                 &(struct audit_record){.event = AUDIT_SESSION_ENDED, .object = x->target.value, .detail = x->reason},
                 session_recorded);
}

static bool reason_ok(struct admin_call *c, str reason)
{
    if (record_text_ok(reason)) return true;
    admin_refuse(c, ADMIN_INPUT, "reason", NULL, "has more than %d bytes, or control characters", RECORD_TEXT_MAX);
    return false;
}

static void revoke(struct admin_call *c)
{
    static const char *const names[] = {"kind", "value", "issuer", "base", "reason", "wait_ms", NULL};
    struct asked *x = arena_zalloc(&c->mem, sizeof *x);
    str kind = STR(""), issuer = STR(""), base = STR("");
    if (!x) {
        admin_no_memory(c);
        return;
    }
    c->own = x;
    if (!admin_members(c, names) || !admin_text(c, "kind", true, &kind) ||
        !admin_text(c, "value", false, &x->target.value) || !admin_text(c, "issuer", false, &issuer) ||
        !admin_text(c, "base", false, &base) || !admin_text(c, "reason", false, &x->reason) ||
        !reason_ok(c, x->reason) || !admin_confirm_options(c))
        return;
    x->target.kind = revocation_kind_of(kind);
    switch (x->target.kind) {
    case REVOCATION_USER: revoke_user(c, x, issuer, base); return;
    case REVOCATION_SESSION: revoke_session(c, x); return;
    case REVOCATION_PRODUCT: revoke_product(c, x); return;
    case REVOCATION_TOKEN:
    case REVOCATION_ALL: record_revocation(c); return;
    case REVOCATION_KINDS: break;
    }
    admin_refuse(c, ADMIN_INPUT, "kind", NULL, "is none of token, session, user, product, all");
}

/* --- GET /v1/revocations --- */

static void revocations_listed(struct admin_call *c)
{
    struct buf *b = &c->answer;
    bool any = false;
    if (admin_store_failed(c)) return;
    buf_puts(b, "{\"revocations\":[");
    for (uint32_t i = 0; i < c->job.n_entries; i++) {
        char first[2048];
        struct arena mem;
        struct revocation_target t;
        struct revocation_record r;
        const struct store_entry *e = &c->job.entries[i];
        arena_init(&mem, first, sizeof first, RECORD_ARENA);
        if (revocation_record_key_read(e->key, &mem, &t) == ERR_OK &&
            revocation_record_read(e->value, &mem, &r) == ERR_OK) {
            if (any) buf_putc(b, ',');
            any = true;
            record_begin(b);
            record_put_str(b, "kind", str_of(revocation_kind_name(t.kind)));
            record_put_str(b, "issuer", t.issuer);
            record_put_str(b, "value", t.value);
            record_put_i64(b, "before_s", r.before_s);
            record_put_i64(b, "ends_s", e->expires_s);
            record_put_u64(b, "at_ms", r.at_ms);
            record_put_str(b, "by", r.by);
            record_put_str(b, "reason", r.reason);
            buf_putc(b, '}');
        }
        arena_reset(&mem);
    }
    buf_puts(b, "]");
    if (c->job.more) record_put_str(b, "after", c->job.entries[c->job.n_entries - 1].key);
    buf_puts(b, "}\n");
    admin_done(c, 200);
}

void admin_revocations(struct admin_call *c)
{
    uint32_t limit;
    if (c->n_path == 1 && c->method == METHOD_POST) {
        revoke(c);
    } else if (c->n_path == 1 && c->method == METHOD_GET) {
        /* `after` is a key of this list; one that is none only begins elsewhere */
        str after = admin_query(c, "after");
        if (after.n && !str_starts(after, REVOCATION_PREFIX)) after = STR("");
        if (admin_limit(c, &limit)) admin_page(c, STORE_CONTROL, REVOCATION_PREFIX, after, limit, revocations_listed);
    } else {
        admin_refuse(c, ADMIN_METHOD, NULL, NULL, "revocations are listed and made");
    }
}
