/* Access tokens: RFC 9068, signed on the loop where that takes microseconds, beside it where it takes more (RSA). */
#include "identity/mint.h"
#include "identity/verify.h"
#include "services/authentication_private.h"

#include "base/rand.h"

static void put_str(struct buf *b, const char *name, str value)
{
    if (!value.n) return;
    buf_puts(b, b->n == 1 ? "\"" : ",\"");
    buf_puts(b, name);
    buf_puts(b, "\":\"");
    buf_put_json(b, value);
    buf_putc(b, '"');
}

static void put_list(struct buf *b, const char *name, const str *values, uint32_t n)
{
    if (n) record_put_list(b, name, values, n);
}

static void put_payload(const struct flow *f, struct access_token *t)
{
    const struct authentication_settings *s = f->settings;
    struct buf *b = &t->payload;
    char jti[ULID_LEN];
    int64_t iat_s = (int64_t)(t->iat_ms / 1000), exp_s = (int64_t)((t->iat_ms + 999) / 1000) + s->access_s;
    ulid_make(jti, t->iat_ms);
    t->life_s = s->access_s; /* at least: what is cut off the time of issue does not shorten it */
    buf_putc(b, '{');
    put_str(b, "iss", s->issuer);
    put_str(b, "sub", t->sub);
    if (s->n_audience == 1)
        put_str(b, "aud", s->audience[0]);
    else
        put_list(b, "aud", s->audience, s->n_audience);
    put_str(b, "client_id", t->client.n ? t->client : t->product);
    buf_printf(b, ",\"iat\":%lld,\"exp\":%lld", (long long)iat_s, (long long)exp_s);
    put_str(b, "jti", str_make(jti, sizeof jti));
    put_str(b, "sid", t->sid);
    put_str(b, "product", t->product);
    put_list(b, "roles", t->roles, t->n_roles);
    put_list(b, "permissions", t->permissions, t->n_permissions);
    buf_putc(b, '}');
}

static void sign(struct access_token *t)
{
    const struct signing_key *k = t->key;
    t->err = jws_mint(k->signer, STR("at+jwt"), str_make(k->kid, k->kid_n), buf_str(&t->payload), &t->text);
}

static void run(struct offload_job *job)
{
    sign(CONTAINER_OF(job, struct access_token, job));
}

static void done(struct offload_job *job)
{
    struct access_token *t = CONTAINER_OF(job, struct access_token, job);
    t->done(t);
}

void access_token_make(struct flow *f, struct access_token *t)
{
    struct signing_key *key = signing_keys_current(f->a->keys);
    buf_init(&t->payload, TOKEN_MAX_LEN);
    buf_init(&t->text, TOKEN_MAX_LEN);
    t->key = NULL;
    t->err = ERR_AGAIN;
    if (key) {
        t->key = signing_key_ref(key);
        put_payload(f, t);
        t->err = t->payload.bad ? ERR_LIMIT : ERR_OK;
    }
    if (t->err == ERR_OK && alg_bit(key->alg) & ALGS_RSA) {
        t->job.run = run;
        t->job.done = done;
        enum err e = offload_submit(f->a->signers, f->call->loop, &t->job);
        if (e == ERR_OK) return; /* it is the pool's now */
        t->err = e;
    } else if (t->err == ERR_OK) {
        sign(t);
    }
    t->done(t);
}

void access_token_free(struct access_token *t)
{
    buf_free(&t->payload);
    buf_free(&t->text);
    signing_key_unref(&t->key);
}
