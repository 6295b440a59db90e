#include "store/signing_key_record.h"

static const char *const states[] = {"next", "current", "old"};

const char *signing_key_state_name(enum signing_key_state s)
{
    return states[s];
}

bool signing_kid_ok(str kid)
{
    if (kid.n == 0 || kid.n > SIGNING_KID_MAX) return false;
    for (size_t i = 0; i < kid.n; i++) {
        char c = kid.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && c != '_' && c != '-')
            return false;
    }
    return true;
}

str signing_key_record_key(struct record_key *k, str kid)
{
    return record_key_join(k, (const str[]){STR("signing-key"), kid}, 2);
}

enum err signing_key_record_key_read(str key, str *kid)
{
    if (!str_starts(key, SIGNING_KEY_PREFIX)) return ERR_MALFORMED;
    str rest = str_from(key, SIGNING_KEY_PREFIX.n);
    if (!signing_kid_ok(rest)) return ERR_MALFORMED;
    *kid = rest;
    return ERR_OK;
}

enum err signing_key_record_put(struct buf *out, const struct signing_key_record *k)
{
    size_t start = out->n;
    if (k->alg == ALG_INVALID || !k->jwk.n || k->state > SIGNING_KEY_OLD) return ERR_MALFORMED;
    record_begin(out);
    record_put_str(out, "alg", str_of(alg_name(k->alg)));
    record_put_str(out, "state", str_of(states[k->state]));
    record_put_str(out, "jwk", k->jwk);
    record_put_u64(out, "created_ms", k->created_ms);
    record_put_u64(out, "sign_from_ms", k->sign_from_ms);
    if (k->retired_ms) record_put_u64(out, "retired_ms", k->retired_ms);
    if (k->verify_until_s) record_put_i64(out, "verify_until_s", k->verify_until_s);
    return record_end(out, start);
}

enum err signing_key_record_read(str value, struct arena *mem, struct signing_key_record *out)
{
    struct record_reader r;
    struct signing_key_record k = {0};
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    k.alg = alg_from_name(record_str(&r, "alg"));
    if (!(alg_bit(k.alg) & ALGS_PUBLIC)) record_refuse(&r);
    str state = record_str(&r, "state");
    unsigned s = 0;
    while (s < ARRAY_LEN(states) && !str_eq(state, str_of(states[s]))) s++;
    if (s == ARRAY_LEN(states)) record_refuse(&r);
    k.state = (enum signing_key_state)s;
    k.jwk = record_str(&r, "jwk");
    k.created_ms = record_u64(&r, "created_ms");
    k.sign_from_ms = record_u64(&r, "sign_from_ms");
    k.retired_ms = record_u64_if(&r, "retired_ms");
    k.verify_until_s = record_i64_if(&r, "verify_until_s");
    if (r.err == ERR_OK) *out = k;
    return r.err;
}

enum err issuer_keys_put(struct buf *out, str jwks, uint64_t turn)
{
    size_t start = out->n;
    record_begin(out);
    record_put_u64(out, "turn", turn);
    buf_puts(out, ",\"jwks\":");
    buf_put(out, jwks);
    return record_end(out, start);
}

enum err issuer_keys_read(str value, struct arena *mem, const struct json **jwks, uint64_t *turn)
{
    struct record_reader r;
    enum err e = record_open(&r, value, mem);
    if (e != ERR_OK) return e;
    uint64_t t = record_u64_if(&r, "turn");
    const struct json *v = json_get(r.object, STR("jwks"));
    if (!v || v->type != JSON_OBJECT) record_refuse(&r);
    if (r.err != ERR_OK) return r.err;
    *jwks = v;
    if (turn) *turn = t;
    return ERR_OK;
}
