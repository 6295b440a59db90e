/* POST /authentication/refresh: a refresh token is good once. It is changed for its successor by a conditional write,
 * so that of any number of requests at once, in any number of processes, one makes the successor and the others find
 * it.
 *
 *   the present token                            → a successor
 *   the one before, soon, from the same client   → the same successor again: its answer was lost, or tabs raced
 *   the one before, later; any older one         → somebody else has it: the session ends, its tokens are revoked
 *   anything else                                → refused, and nothing happens to the session */
#include "crypto/secret.h"
#include "services/authentication_private.h"

#define GRACE_MS 10000

struct refresh {
    str sid, secret;
    str client; /* what the client called itself now; .p NULL: it did not */
    struct session_record session;
    uint64_t version;
    bool again; /* the successor exists */
    struct flow_user user;
    uint64_t iat_ms;
    char next[SESSION_SECRET_LEN];
    struct access_token token;
};

static struct refresh *of(struct flow *f)
{
    return f->more;
}

static void ended(struct flow *f)
{
    struct refresh *r = of(f);
    secret_wipe(r->next, sizeof r->next);
    access_token_free(&r->token);
}

static void load(struct flow *f);

static void refuse(struct flow *f, const char *why)
{
    struct refresh *r = of(f);
    counter_add(&f->a->counts.refresh_refused, 1);
    flow_audit(f, AUDIT_REFRESH_REFUSED, AUDIT_NO, r->session.sub, why, r->sid);
    flow_refuse(f, REASON_REFRESH_INVALID, 0, STR_NONE);
}

/* --- reuse --- */

static void on_family_ended(struct flow *f)
{
    flow_refuse(f, REASON_REFRESH_REUSED, 0, STR_NONE);
}

static void reused(struct flow *f)
{
    struct refresh *r = of(f);
    counter_add(&f->a->counts.reuses, 1);
    flow_audit(f, AUDIT_REFRESH_REUSED, AUDIT_NO, r->session.sub, "refresh_reused", r->sid);
    log_event(LOG_LEVEL_WARN, log_msg("a refresh token was used a second time: its session is ended"),
              log_str("session", r->sid), log_str("sub", r->session.sub), log_decision(f->call->id));
    flow_session_end(f, r->sid, r->session.base, r->session.name, "refresh_reused", on_family_ended);
}

/* --- the tokens --- */

static void on_token(struct access_token *t)
{
    struct flow *f = t->owner;
    struct refresh *r = of(f);
    char text[REFRESH_TOKEN_LEN];
    if (t->err == ERR_OK) {
        counter_add(r->again ? &f->a->counts.again : &f->a->counts.refreshes, 1);
        flow_audit(f, AUDIT_REFRESH, AUDIT_OK, r->session.sub, r->again ? "again" : NULL, r->sid);
    }
    refresh_token_put(text, r->sid, str_make(r->next, sizeof r->next));
    tokens_answer(f, t, str_make(text, sizeof text), session_entry_expires(f, &r->session));
    secret_wipe(text, sizeof text);
}

static void make_token(struct flow *f)
{
    struct refresh *r = of(f);
    const struct user_record *u = &r->user.record;
    r->token = (struct access_token){.sub = u->sub,
                                     .client = r->session.client,
                                     .product = r->session.product,
                                     .sid = r->sid,
                                     .roles = u->roles,
                                     .n_roles = u->n_roles,
                                     .permissions = u->permissions,
                                     .n_permissions = u->n_permissions,
                                     .iat_ms = r->iat_ms,
                                     .done = on_token,
                                     .owner = f};
    access_token_make(f, &r->token);
}

static void on_written(struct flow *f)
{
    if (f->job.err == ERR_OK)
        make_token(f);
    else if (flow_replay_conflict(f))
        flow_refuse(f, REASON_SIGNATURE_REPLAYED, 0, STR_NONE);
    else
        flow_retry(f, load); /* another request was first, or another key signs: look again */
}

/* The successor takes the place of the token that came. */
static bool put_successor(struct flow *f)
{
    struct refresh *r = of(f);
    struct session_record s = r->session;
    struct buf value;
    refresh_secret_make(f->a->o.seal, r->sid, r->next);
    str next = str_make(r->next, sizeof r->next);
    memcpy(s.previous, s.current, sizeof s.previous);
    s.has_previous = true;
    sha256(next, s.current);
    s.used_ms = s.rotated_ms = r->iat_ms;
    s.generation++;
    buf_init(&value, RECORD_MAX);
    enum err e = refresh_secret_seal(f, r->sid, next, &s.successor);
    if (e == ERR_OK) e = session_record_put(&value, &s);
    str used = STR_NONE;
    if (e == ERR_OK) e = session_index_put(f, s.used_ms, &used);
    str text = e == ERR_OK ? arena_copy(&f->call->mem, buf_str(&value)) : STR_NONE;
    buf_free(&value);
    if (!text.p) {
        flow_refuse(f, e == ERR_MALFORMED ? REASON_INTERNAL : REASON_OVERLOADED, 0, STR_NONE);
        return false;
    }
    struct store_op *op = flow_op(f, STORE_PUT, STORE_VERSION, session_record_key(&f->op_keys[0], r->sid));
    op->version = r->version;
    op->value = text;
    op->expires_s = session_entry_expires(f, &s);
    op = flow_op(f, STORE_PUT, STORE_ANY, session_of_key(&f->op_keys[1], s.base, s.name, r->sid));
    op->value = used;
    op->expires_s = session_entry_expires(f, &s);
    return true;
}

static void rotate(struct flow *f)
{
    struct refresh *r = of(f);
    if (!signing_keys_current(f->a->keys)) {
        flow_refuse(f, REASON_SIGNING_KEY_NONE, 1, STR_NONE);
        return;
    }
    f->n_ops = 0;
    if (r->again && refresh_secret_open(f, r->sid, r->session.successor, r->next) != ERR_OK) {
        refuse(f, "successor_sealed_with_another_key");
        return;
    }
    if (!r->again && !put_successor(f)) return;
    flow_session_conditions(f);
    flow_write(f, STORE_AUTHENTICATION, on_written);
}

/* --- whether the session still holds --- */

/* Whatever was revoked since the session began, or with everything before it. */
static void on_revocations(struct flow *f)
{
    struct refresh *r = of(f);
    for (uint32_t i = 0; i < f->job.n_entries; i++) {
        struct revocation_record v;
        const struct store_entry *e = &f->job.entries[i];
        if (!e->version) continue;
        enum err err = revocation_record_read(e->value, &f->call->mem, &v);
        if (err != ERR_OK || v.before_s >= (int64_t)(r->session.created_ms / 1000)) {
            refuse(f, "revoked");
            return;
        }
    }
    rotate(f);
}

static void ask_revocations(struct flow *f)
{
    struct refresh *r = of(f);
    const struct revocation_target targets[] = {{.kind = REVOCATION_SESSION, .value = r->sid},
                                                {.kind = REVOCATION_USER,
                                                 .issuer = REVOCATION_ISSUER_OWN,
                                                 .value = r->session.sub},
                                                {.kind = REVOCATION_PRODUCT, .value = r->session.product},
                                                {.kind = REVOCATION_ALL}};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) f->asked[i] = revocation_record_key(&f->keys[i], &targets[i]);
    flow_get(f, STORE_CONTROL, ARRAY_LEN(targets), on_revocations);
}

static void on_user(struct flow *f)
{
    struct refresh *r = of(f);
    if (!flow_user_read(f, &f->job.entries[0], &r->user)) return;
    const struct user_record *u = &r->user.record;
    if (!r->user.there || u->disabled || !str_eq(u->sub, r->session.sub))
        refuse(f, r->user.there ? "disabled" : "unknown_user");
    else if (u->created_ms > r->session.created_ms || u->password_ms > r->session.created_ms)
        refuse(f, "password_changed"); /* what was begun with the old one ends with it */
    else
        ask_revocations(f);
}

/* What the token that came is to the session. */
static void judge(struct flow *f)
{
    struct refresh *r = of(f);
    const struct session_record *s = &r->session;
    unsigned char digest[SHA256_LEN];
    sha256(r->secret, digest);
    bool current = secret_equal(digest, s->current, sizeof digest);
    bool previous = s->has_previous && secret_equal(digest, s->previous, sizeof digest);
    bool same_client = !r->client.p || str_eq(r->client, s->client);
    uint64_t grace = f->a->o.grace_ms ? f->a->o.grace_ms : GRACE_MS;
    bool soon = r->iat_ms <= s->rotated_ms + grace;
    r->again = previous && soon && same_client && s->successor.n;
    if (!current && !r->again) {
        if (previous || refresh_secret_ours(f->a->o.seal, r->sid, r->secret))
            reused(f);
        else
            refuse(f, "unknown_token");
        return;
    }
    if (!same_client) {
        refuse(f, "another_client");
        return;
    }
    f->asked[0] = user_record_key(&f->keys[0], s->base, s->name);
    flow_get(f, STORE_IDENTITY, 1, on_user);
}

static void on_session(struct flow *f)
{
    struct refresh *r = of(f);
    const struct store_entry *e = &f->job.entries[0];
    str value = e->value;
    r->version = e->version;
    if (!e->version) {
        refuse(f, "unknown_session");
        return;
    }
    if (!flow_copy(f, &value)) return;
    enum err err = session_record_read(value, &f->call->mem, &r->session);
    if (err != ERR_OK) {
        flow_refuse(f, err == ERR_NO_MEMORY ? REASON_OVERLOADED : REASON_INTERNAL, 0, STR_NONE);
        return;
    }
    if (!str_eq(r->session.product, f->product.name))
        refuse(f, "another_product");
    else if (r->session.expires_s <= (int64_t)(r->iat_ms / 1000))
        refuse(f, "expired");
    else
        judge(f);
}

static void load(struct flow *f)
{
    struct refresh *r = of(f);
    r->iat_ms = flow_now_ms(f);
    f->asked[0] = session_record_key(&f->keys[0], r->sid);
    flow_get(f, STORE_AUTHENTICATION, 1, on_session);
}

static void proved(struct flow *f)
{
    struct refresh *r = of(f);
    if (f->product.login != LOGIN_PASSWORD) {
        flow_refuse(f, REASON_LOGIN_NOT_ALLOWED, 0, STR_NONE);
        return;
    }
    const struct json *body = service_json(f->call);
    if (!body) return;
    str token = json_text(json_get(body, STR("refresh_token")));
    r->client = json_text(json_get(body, STR("client")));
    if (!token.p) {
        flow_refuse(f, REASON_BODY_MALFORMED, 0, STR("refresh_token"));
        return;
    }
    if (refresh_token_read(token, &r->sid, &r->secret) != ERR_OK)
        refuse(f, "malformed");
    else
        load(f);
}

void refresh_run(struct service_call *call, void *owner)
{
    struct flow *f = flow_new(owner, call, "refresh", sizeof(struct refresh));
    if (!f) return;
    f->ended = ended;
    product_prove(f, proved);
}
