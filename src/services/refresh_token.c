/* Secrets of refresh tokens: 22 random characters and 10 by which we know our own.
 *
 * Of a family only the present and the last token are kept (as hashes). An older one must be told from a guess all the
 * same: it is reuse, and ends the session; a guess must end nothing, for a session's id is no secret. So each secret
 * carries a tag that only a holder of the seal can make. The tag is no proof of being let in: that is the hash. */
#include "crypto/secret.h"
#include "services/authentication_private.h"

#define RANDOM_LEN 22
#define TAG_LEN    (SESSION_SECRET_LEN - RANDOM_LEN)

static void tag_of(const struct seal *seal, str sid, str random, char out[TAG_LEN])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char text[SESSION_ID_LEN + RANDOM_LEN];
    unsigned char tag[32];
    memcpy(text, sid.p, SESSION_ID_LEN);
    memcpy(text + SESSION_ID_LEN, random.p, RANDOM_LEN);
    seal_tag(seal, STR("refresh token"), str_make(text, sizeof text), tag);
    for (size_t i = 0; i < TAG_LEN; i++) out[i] = digits[tag[i] % 62];
    secret_wipe(tag, sizeof tag);
    secret_wipe(text, sizeof text);
}

void refresh_secret_make(const struct seal *seal, str sid, char out[SESSION_SECRET_LEN])
{
    secret_base62(out, RANDOM_LEN);
    tag_of(seal, sid, str_make(out, RANDOM_LEN), out + RANDOM_LEN);
}

bool refresh_secret_ours(const struct seal *seal, str sid, str secret)
{
    char tag[TAG_LEN];
    tag_of(seal, sid, str_first(secret, RANDOM_LEN), tag);
    return secret.n == SESSION_SECRET_LEN && secret_equal(tag, secret.p + RANDOM_LEN, TAG_LEN);
}

static str place_of(struct record_key *room, str sid)
{
    return record_key_join(room, (const str[]){STR("authentication"), STR("session"), sid}, 3);
}

enum err refresh_secret_seal(struct flow *f, str sid, str secret, str *sealed)
{
    struct record_key room;
    struct buf b;
    buf_init(&b, 512);
    enum err e = seal_put(f->a->o.seal, place_of(&room, sid), secret, &b);
    if (e == ERR_OK) *sealed = arena_copy(&f->call->mem, buf_str(&b));
    if (e == ERR_OK && !sealed->p) e = ERR_NO_MEMORY;
    buf_free(&b);
    return e;
}

enum err refresh_secret_open(struct flow *f, str sid, str sealed, char out[SESSION_SECRET_LEN])
{
    struct record_key room;
    struct secret plain;
    enum err e = seal_open(f->a->o.seal, place_of(&room, sid), sealed, &plain);
    if (e != ERR_OK) return e;
    if (plain.n == SESSION_SECRET_LEN)
        memcpy(out, plain.p, plain.n);
    else
        e = ERR_MALFORMED;
    secret_free(&plain);
    return e;
}

static void put_tokens(struct buf *b, const struct access_token *t, str refresh_token, int64_t refresh_expires_in)
{
    buf_puts(b, "{\"access_token\":\"");
    buf_put(b, buf_str(&t->text));
    buf_printf(b, "\",\"token_type\":\"Bearer\",\"expires_in\":%lld,\"refresh_token\":\"", (long long)t->life_s);
    buf_put(b, refresh_token);
    buf_printf(b, "\",\"refresh_expires_in\":%lld}", (long long)refresh_expires_in);
}

void tokens_answer(struct flow *f, struct access_token *t, str refresh_token, int64_t refresh_expires_s)
{
    struct buf b;
    if (t->err != ERR_OK) {
        enum reason why = t->err == ERR_AGAIN                     ? REASON_SIGNING_KEY_NONE
                          : t->err == ERR_LIMIT && t->payload.bad ? REASON_INTERNAL
                                                                  : REASON_OVERLOADED;
        flow_refuse(f, why, why == REASON_INTERNAL ? 0 : 1, STR_NONE);
        return;
    }
    buf_init(&b, 32768);
    int64_t now_s = (int64_t)(flow_now_ms(f) / 1000);
    put_tokens(&b, t, refresh_token, refresh_expires_s > now_s ? refresh_expires_s - now_s : 0);
    if (b.bad)
        flow_refuse(f, REASON_OVERLOADED, 1, STR_NONE);
    else
        flow_answer(f, 200, buf_str(&b));
    if (b.p) secret_wipe(b.p, b.cap);
    buf_free(&b);
}

int64_t session_entry_expires(const struct flow *f, const struct session_record *s)
{
    int64_t idle = (int64_t)(flow_now_ms(f) / 1000) + f->settings->refresh_s;
    return idle < s->expires_s ? idle : s->expires_s;
}
