/* POST /authentication/login: who the product is, how often it was tried, who the user is, the password, a session, a
 * token. Whatever is wrong with user or password looks the same from outside: body, status, and time, for every way
 * reads the store once and computes one hash. */
#include "crypto/secret.h"
#include "services/authentication_private.h"

#define SLOW_MAX 1024 /* logins made to wait at once */

struct login {
    str name; /* folded, or as given when it can be nobody's */
    bool name_ok;
    str client;
    char folded[USER_NAME_MAX];
    struct throttle_attempt who;
    bool charged, slow;
    struct flow_user user;
    uint64_t iat_ms; /* before the user was read: a revocation after that covers the token */
    struct password_check check;
    struct rehash *rehash;
    struct session_record session;
    char sid[SESSION_ID_LEN], secret[SESSION_SECRET_LEN];
    struct access_token token;
};

static struct login *of(struct flow *f)
{
    return f->more;
}

static void ended(struct flow *f)
{
    struct login *l = of(f);
    if (l->slow) f->a->n_slow--;
    if (l->charged) throttle_void(f->a->throttle, &l->who, flow_now_ms(f)); /* it came to no verdict */
    rehash_drop(l->rehash);
    secret_wipe(l->check.password, sizeof l->check.password);
    secret_wipe(l->secret, sizeof l->secret);
    access_token_free(&l->token);
}

/* For the record. What nobody can be named is not written down: it may be a password in the wrong place. */
static str subject_of(struct flow *f, char room[USER_SUBJECT_MAX])
{
    struct login *l = of(f);
    return l->name_ok ? user_subject(room, f->product.users, l->name) : STR("[no name]");
}

static void fail(struct flow *f, const char *why)
{
    struct login *l = of(f);
    char room[USER_SUBJECT_MAX];
    l->charged = false; /* the charge stays */
    counter_add(&f->a->counts.failed, 1);
    flow_audit(f, AUDIT_LOGIN_REFUSED, AUDIT_NO, subject_of(f, room), why, STR_NONE);
    flow_refuse(f, REASON_LOGIN_FAILED, 0, STR_NONE);
}

/* --- a session and its first tokens --- */

static void on_token(struct access_token *t)
{
    struct flow *f = t->owner;
    struct login *l = of(f);
    char text[REFRESH_TOKEN_LEN], room[USER_SUBJECT_MAX];
    str sid = str_make(l->sid, sizeof l->sid);
    if (t->err == ERR_OK) {
        counter_add(&f->a->counts.logins, 1);
        flow_audit(f, AUDIT_LOGIN, AUDIT_OK, subject_of(f, room), NULL, sid);
        rehash_go(l->rehash);
        l->rehash = NULL;
    }
    refresh_token_put(text, sid, str_make(l->secret, sizeof l->secret));
    tokens_answer(f, t, str_make(text, sizeof text), session_entry_expires(f, &l->session));
    secret_wipe(text, sizeof text);
}

static void create(struct flow *f);

static void on_created(struct flow *f)
{
    struct login *l = of(f);
    if (f->job.err == ERR_CONFLICT) {
        if (flow_replay_conflict(f))
            flow_refuse(f, REASON_SIGNATURE_REPLAYED, 0, STR_NONE);
        else
            flow_retry(f, create); /* another key signs now; or a sid was drawn twice */
        return;
    }
    const struct user_record *u = &l->user.record;
    l->token = (struct access_token){.sub = u->sub,
                                     .client = l->client,
                                     .product = f->product.name,
                                     .sid = str_make(l->sid, sizeof l->sid),
                                     .roles = u->roles,
                                     .n_roles = u->n_roles,
                                     .permissions = u->permissions,
                                     .n_permissions = u->n_permissions,
                                     .iat_ms = l->iat_ms,
                                     .done = on_token,
                                     .owner = f};
    access_token_make(f, &l->token);
}

/* Writes the session under a fresh id. */
static void create(struct flow *f)
{
    struct login *l = of(f);
    struct buf value;
    str sid = str_make(l->sid, sizeof l->sid);
    if (!signing_keys_current(f->a->keys)) {
        flow_refuse(f, REASON_SIGNING_KEY_NONE, 1, STR_NONE);
        return;
    }
    secret_base62(l->sid, sizeof l->sid);
    refresh_secret_make(f->a->o.seal, sid, l->secret);
    l->session = (struct session_record){.sub = l->user.record.sub,
                                         .base = f->product.users,
                                         .name = l->name,
                                         .product = f->product.name,
                                         .client = l->client,
                                         .created_ms = l->iat_ms,
                                         .used_ms = l->iat_ms,
                                         .rotated_ms = l->iat_ms,
                                         .generation = 1,
                                         .expires_s = (int64_t)(l->iat_ms / 1000) + f->settings->session_s};
    sha256(str_make(l->secret, sizeof l->secret), l->session.current);
    buf_init(&value, RECORD_MAX);
    enum err e = session_record_put(&value, &l->session);
    str text = buf_str(&value), used = STR_NONE;
    if (e == ERR_OK) e = session_index_put(f, l->iat_ms, &used);
    bool copied = e == ERR_OK && flow_copy(f, &text);
    buf_free(&value);
    if (e != ERR_OK) flow_refuse(f, REASON_INTERNAL, 0, STR_NONE);
    if (!copied) return;
    f->n_ops = 0;
    struct store_op *op = flow_op(f, STORE_PUT, STORE_ABSENT, session_record_key(&f->op_keys[0], sid));
    op->value = text;
    op->expires_s = session_entry_expires(f, &l->session);
    op = flow_op(f, STORE_PUT, STORE_ANY, session_of_key(&f->op_keys[1], f->product.users, l->name, sid));
    op->value = used;
    op->expires_s = session_entry_expires(f, &l->session);
    flow_session_conditions(f);
    flow_write(f, STORE_AUTHENTICATION, on_created);
}

/* --- the password --- */

static void on_checked(struct password_check *c)
{
    struct login *l = CONTAINER_OF(c, struct login, check);
    struct flow *f = c->owner;
    const struct user_record *u = &l->user.record;
    if (f->a->closing || c->err == ERR_NO_MEMORY || c->err == ERR_LIMIT) {
        flow_refuse(f, REASON_PASSWORDS_BUSY, 1, STR_NONE);
        return;
    }
    if (c->err != ERR_OK || !l->user.there || u->disabled) {
        fail(f, !l->user.there ? "unknown_user" : c->err != ERR_OK ? "wrong_password" : "disabled");
        return;
    }
    l->charged = false;
    throttle_good(f->a->throttle, &l->who, flow_now_ms(f));
    if (f->call->gone) /* nobody would learn the tokens */
        flow_refuse(f, REASON_CLIENT_CLOSED, 0, STR_NONE);
    else
        session_make_room(f, f->product.users, l->name, create);
}

static void on_user(struct flow *f)
{
    struct login *l = of(f);
    const struct store_entry *e = &f->job.entries[0];
    str password = str_make(l->check.password, l->check.password_n);
    if (!flow_user_read(f, e, &l->user)) return;
    str hash = l->user.there ? l->user.record.password : STR_NONE;
    if (hash.n && hash.n < sizeof l->check.hash) {
        memcpy(l->check.hash, hash.p, hash.n);
        l->rehash = rehash_begin(f->a, f->product.users, l->name, e, hash, password);
    }
    l->check.done = on_checked;
    l->check.owner = f;
    if (passwords_check(f->a->passwords, &l->check) == ERR_OK) return;
    counter_add(&f->a->counts.busy, 1);
    flow_refuse(f, REASON_PASSWORDS_BUSY, 1, STR_NONE);
}

static void read_user(struct flow *f)
{
    struct login *l = of(f);
    l->iat_ms = flow_now_ms(f);
    /* a name that nobody can have is looked for all the same */
    f->asked[0] = user_record_key(&f->keys[0], f->product.users, l->name_ok ? l->name : STR("%"));
    flow_get(f, STORE_IDENTITY, 1, on_user);
}

/* --- what comes before --- */

static void on_pause(struct timer *t)
{
    read_user(CONTAINER_OF(t, struct flow, timer));
}

static void throttle(struct flow *f)
{
    struct login *l = of(f);
    uint32_t delay_ms = 0;
    uint64_t retry_ms;
    char room[USER_SUBJECT_MAX];
    l->who = throttle_attempt(f->product.users, l->name, f->address);
    if (throttle_begin(f->a->throttle, &l->who, flow_now_ms(f), &delay_ms, &retry_ms) != ERR_OK) {
        counter_add(&f->a->counts.throttled, 1);
        flow_audit(f, AUDIT_LOGIN_REFUSED, AUDIT_NO, subject_of(f, room), "login_throttled", STR_NONE);
        flow_refuse(f, REASON_LOGIN_THROTTLED, (uint32_t)(retry_ms / 1000 + 1), STR_NONE);
        return;
    }
    l->charged = true;
    if (!delay_ms) {
        read_user(f);
        return;
    }
    if (f->a->n_slow >= SLOW_MAX) {
        flow_refuse(f, REASON_PASSWORDS_BUSY, 2, STR_NONE);
        return;
    }
    l->slow = true;
    f->a->n_slow++;
    f->timer.on_time = on_pause;
    timer_set(f->call->loop, &f->timer, loop_now_ms(f->call->loop) + delay_ms);
}

static void proved(struct flow *f)
{
    struct login *l = of(f);
    if (f->product.login != LOGIN_PASSWORD) {
        flow_refuse(f, REASON_LOGIN_NOT_ALLOWED, 0, STR_NONE);
        return;
    }
    const struct json *body = service_json(f->call);
    if (!body) return; /* answered */
    str username = json_text(json_get(body, STR("username"))), password = json_text(json_get(body, STR("password")));
    const struct json *client = json_get(body, STR("client"));
    l->client = json_text(client);
    if (!username.p || !password.p || !username.n || username.n > USER_NAME_MAX || password.n > PASSWORD_MAX ||
        (client && !l->client.p) || l->client.n > SESSION_CLIENT_MAX || !record_text_ok(l->client)) {
        flow_refuse(f, REASON_BODY_MALFORMED, 0,
                    STR("username (1..128 bytes) and password (at most 1024), client (at most 64) if any"));
        return;
    }
    l->name_ok = user_name_fold(username, l->folded, &l->name) == ERR_OK;
    if (!l->name_ok) l->name = username;
    memcpy(l->check.password, password.p, password.n);
    l->check.password_n = password.n;
    throttle(f);
}

void login_run(struct service_call *call, void *owner)
{
    struct flow *f = flow_new(owner, call, "login", sizeof(struct login));
    if (!f) return;
    f->ended = ended;
    product_prove(f, proved);
}
