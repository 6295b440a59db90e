/* POST /authentication/logout: whoever holds a refresh token of a session, also an old one, may end it. The answer is
 * the same when there is nothing to end. */
#include "crypto/secret.h"
#include "services/authentication_private.h"

struct logout {
    str sid, secret;
    struct session_record session;
};

static struct logout *of(struct flow *f)
{
    return f->more;
}

static void done(struct flow *f)
{
    flow_answer(f, 204, STR_NONE);
}

static void on_ended(struct flow *f)
{
    struct logout *l = of(f);
    counter_add(&f->a->counts.logouts, 1);
    flow_audit(f, AUDIT_LOGOUT, AUDIT_OK, l->session.sub, NULL, l->sid);
    done(f);
}

static bool holds(struct flow *f)
{
    struct logout *l = of(f);
    unsigned char digest[SHA256_LEN];
    sha256(l->secret, digest);
    return secret_equal(digest, l->session.current, sizeof digest) ||
           (l->session.has_previous && secret_equal(digest, l->session.previous, sizeof digest)) ||
           refresh_secret_ours(f->a->o.seal, l->sid, l->secret);
}

static void on_session(struct flow *f)
{
    struct logout *l = of(f);
    str value = f->job.entries[0].value;
    if (!f->job.entries[0].version) {
        done(f);
        return;
    }
    if (!flow_copy(f, &value)) return;
    enum err e = session_record_read(value, &f->call->mem, &l->session);
    if (e != ERR_OK)
        flow_refuse(f, REASON_INTERNAL, 0, STR_NONE);
    else if (!str_eq(l->session.product, f->product.name) || !holds(f))
        done(f);
    else
        flow_session_end(f, l->sid, l->session.base, l->session.name, "logout", on_ended);
}

static void proved(struct flow *f)
{
    struct logout *l = of(f);
    const struct json *body = service_json(f->call);
    if (!body) return;
    str token = json_text(json_get(body, STR("refresh_token")));
    if (!token.p) {
        flow_refuse(f, REASON_BODY_MALFORMED, 0, STR("refresh_token"));
        return;
    }
    if (refresh_token_read(token, &l->sid, &l->secret) != ERR_OK) {
        done(f);
        return;
    }
    f->asked[0] = session_record_key(&f->keys[0], l->sid);
    flow_get(f, STORE_AUTHENTICATION, 1, on_session);
}

void logout_run(struct service_call *call, void *owner)
{
    struct flow *f = flow_new(owner, call, "logout", sizeof(struct logout));
    if (f) product_prove(f, proved);
}
