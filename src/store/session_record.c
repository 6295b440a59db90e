#include "store/session_record.h"

static bool base62_ok(str s, size_t n)
{
    if (s.n != n) return false;
    for (size_t i = 0; i < n; i++) {
        char c = s.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z')) return false;
    }
    return true;
}

bool session_id_ok(str sid)
{
    return base62_ok(sid, SESSION_ID_LEN);
}

str session_record_key(struct record_key *k, str sid)
{
    return record_key_join(k, (const str[]){STR("session"), sid}, 2);
}

str session_of_key(struct record_key *k, str base, str name, str sid)
{
    return record_key_join(k, (const str[]){STR("session-of"), base, name, sid}, 4);
}

str session_of_prefix(struct record_key *k, str base, str name)
{
    return session_of_key(k, base, name, STR(""));
}

enum err session_key_read(str key, str *sid)
{
    if (!str_starts(key, STR("session/")) && !str_starts(key, STR("session-of/"))) return ERR_MALFORMED;
    if (key.n < SESSION_ID_LEN + 1) return ERR_MALFORMED;
    size_t at = key.n - SESSION_ID_LEN;
    if (key.p[at - 1] != '/' || !session_id_ok(str_from(key, at))) return ERR_MALFORMED;
    *sid = str_from(key, at);
    return ERR_OK;
}

enum err refresh_token_read(str text, str *sid, str *secret)
{
    if (text.n != REFRESH_TOKEN_LEN || !str_starts(text, STR("sr_"))) return ERR_MALFORMED;
    str s = str_make(text.p + 3, SESSION_ID_LEN), rest = str_from(text, 3 + SESSION_ID_LEN);
    if (!session_id_ok(s) || rest.p[0] != '_' || !base62_ok(str_from(rest, 1), SESSION_SECRET_LEN))
        return ERR_MALFORMED;
    *sid = s;
    *secret = str_from(rest, 1);
    return ERR_OK;
}

void refresh_token_put(char out[REFRESH_TOKEN_LEN], str sid, str secret)
{
    memcpy(out, "sr_", 3);
    memcpy(out + 3, sid.p, SESSION_ID_LEN);
    out[3 + SESSION_ID_LEN] = '_';
    memcpy(out + 3 + SESSION_ID_LEN + 1, secret.p, SESSION_SECRET_LEN);
}

static bool session_ok(const struct session_record *s)
{
    str base, name;
    return user_of_subject(s->sub, &base, &name) == ERR_OK && str_eq(base, s->base) && str_eq(name, s->name) &&
           record_name_ok(s->product) && s->client.n <= SESSION_CLIENT_MAX && record_text_ok(s->client) &&
           s->generation > 0;
}

enum err session_record_put(struct buf *out, const struct session_record *s)
{
    size_t start = out->n;
    if (!session_ok(s)) return ERR_MALFORMED;
    record_begin(out);
    record_put_str(out, "sub", s->sub);
    record_put_str(out, "base", s->base);
    record_put_str(out, "name", s->name);
    record_put_str(out, "product", s->product);
    record_put_str(out, "client", s->client);
    record_put_u64(out, "created_ms", s->created_ms);
    record_put_u64(out, "used_ms", s->used_ms);
    record_put_u64(out, "rotated_ms", s->rotated_ms);
    record_put_u64(out, "generation", s->generation);
    record_put_digest(out, "current", s->current);
    if (s->has_previous) record_put_digest(out, "previous", s->previous);
    record_put_str(out, "successor", s->successor);
    record_put_i64(out, "expires_s", s->expires_s);
    return record_end(out, start);
}

enum err session_record_read(str value, struct arena *mem, struct session_record *out)
{
    struct record_reader r;
    struct session_record s = {0};
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    s.sub = record_str(&r, "sub");
    s.base = record_str(&r, "base");
    s.name = record_str(&r, "name");
    s.product = record_str(&r, "product");
    s.client = record_str_if(&r, "client");
    s.created_ms = record_u64(&r, "created_ms");
    s.used_ms = record_u64(&r, "used_ms");
    s.rotated_ms = record_u64(&r, "rotated_ms");
    uint64_t generation = record_u64(&r, "generation");
    if (generation > UINT32_MAX) record_refuse(&r);
    s.generation = (uint32_t)generation;
    record_digest(&r, "current", s.current);
    s.has_previous = record_digest_if(&r, "previous", s.previous);
    s.successor = record_str_if(&r, "successor");
    s.expires_s = record_i64_if(&r, "expires_s");
    if (r.err == ERR_OK && !session_ok(&s)) record_refuse(&r);
    if (r.err == ERR_OK) *out = s;
    return r.err;
}
