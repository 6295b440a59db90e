#include "identity/token.h"

#include "codec/base64url.h"

const char *jwt_fault_name(enum jwt_fault f)
{
    switch (f) {
    case JWT_FAULT_NONE: return "none";
    case JWT_FAULT_SIZE: return "too_long";
    case JWT_FAULT_FORM: return "not_a_jws";
    case JWT_FAULT_ENCRYPTED: return "encrypted";
    case JWT_FAULT_BASE64: return "bad_base64url";
    case JWT_FAULT_HEADER: return "bad_header";
    case JWT_FAULT_CRIT: return "extension_not_understood";
    case JWT_FAULT_ALG: return "algorithm_not_allowed";
    case JWT_FAULT_TYP: return "wrong_typ";
    case JWT_FAULT_PAYLOAD: return "bad_payload";
    case JWT_FAULT_ISS: return "bad_iss";
    case JWT_FAULT_UNKNOWN_ISSUER: return "unknown_issuer";
    case JWT_FAULT_KEYS_UNAVAILABLE: return "keys_unavailable";
    case JWT_FAULT_UNKNOWN_KID: return "unknown_kid";
    case JWT_FAULT_KEY_MISMATCH: return "key_does_not_fit";
    case JWT_FAULT_KEY_AMBIGUOUS: return "key_ambiguous";
    case JWT_FAULT_SIGNATURE: return "bad_signature";
    case JWT_FAULT_EXP: return "bad_exp";
    case JWT_FAULT_EXPIRED: return "expired";
    case JWT_FAULT_TIME: return "bad_time";
    case JWT_FAULT_NOT_YET: return "not_yet_valid";
    case JWT_FAULT_ISSUED_LATER: return "issued_in_future";
    case JWT_FAULT_AUD: return "wrong_audience";
    case JWT_FAULT_SUB: return "bad_subject";
    case JWT_FAULT_CLAIM: return "bad_claim";
    case JWT_FAULT_KIND: return "not_an_access_token";
    case JWT_FAULT_PRODUCT: return "product_not_allowed";
    case JWT_FAULT_BOUND: return "proof_of_possession_missing";
    case JWT_FAULT_MEMORY: return "out_of_memory";
    }
    return "unknown";
}

enum jwt_fault token_split(str token, struct token_parts *out)
{
    if (token.n > TOKEN_MAX_LEN) return JWT_FAULT_SIZE;
    size_t first = str_find(token, '.');
    str behind = str_from(token, first + 1);
    size_t second = str_find(behind, '.');
    if (first == token.n || second == behind.n) return JWT_FAULT_FORM;
    str last = str_from(behind, second + 1);
    if (str_has(last, '.')) {
        size_t dots = 2;
        for (size_t i = 0; i < last.n; i++) dots += last.p[i] == '.';
        return dots == 4 ? JWT_FAULT_ENCRYPTED : JWT_FAULT_FORM;
    }
    *out = (struct token_parts){.header = str_first(token, first),
                                .payload = str_first(behind, second),
                                .signature = last,
                                .signing_input = str_first(token, first + 1 + second)};
    return JWT_FAULT_NONE;
}

enum jwt_fault token_decode(str part, struct arena *mem, str *out)
{
    size_t n;
    unsigned char *room = arena_alloc(mem, base64url_decoded_max(part.n));
    if (!room) return JWT_FAULT_MEMORY;
    if (base64url_decode(part, room, &n) != ERR_OK) return JWT_FAULT_BASE64;
    *out = (str){(const char *)room, n};
    return JWT_FAULT_NONE;
}

/* A part as a JSON object; `bad` is what anything else is called. */
static enum jwt_fault read_object(str part, struct arena *mem, enum jwt_fault bad, const struct json **out)
{
    str text;
    enum jwt_fault f = token_decode(part, mem, &text);
    if (f != JWT_FAULT_NONE) return f;
    const struct json *v;
    enum err e = json_parse(text, &json_limits_token, mem, &v, NULL, NULL);
    if (e == ERR_NO_MEMORY) return JWT_FAULT_MEMORY;
    if (e != ERR_OK || v->type != JSON_OBJECT) return bad;
    *out = v;
    return JWT_FAULT_NONE;
}

/* Members that change how a JWS is to be read. None of them is understood here, so none may be there: `crit` and `b64`
 * (RFC 7515 §4.1.11, RFC 7797 §3), `enc` and `zip`, which belong to JWE (RFC 7516 §9). */
static bool is_extension(str name)
{
    return str_eq(name, STR("crit")) || str_eq(name, STR("b64")) || str_eq(name, STR("enc")) ||
           str_eq(name, STR("zip"));
}

enum jwt_fault token_header_read(str part, struct arena *mem, struct token_header *out)
{
    const struct json *v;
    enum jwt_fault f = read_object(part, mem, JWT_FAULT_HEADER, &v);
    if (f != JWT_FAULT_NONE) return f;
    struct token_header h = {0};
    bool extension = false, has_alg = false;
    /* `jku`, `jwk`, `x5u`, `x5c` and whatever else is there is not looked at: a token does not say who to trust */
    for (const struct json *m = v->first; m; m = m->next) {
        str *text = NULL, alg;
        if (str_eq(m->name, STR("alg")))
            text = &alg;
        else if (str_eq(m->name, STR("typ")))
            text = &h.typ;
        else if (str_eq(m->name, STR("kid")))
            text = &h.kid;
        else
            extension |= is_extension(m->name);
        if (!text) continue;
        if (m->type != JSON_STRING) return JWT_FAULT_HEADER;
        *text = m->text.p ? m->text : STR(""); /* an empty name is a name, not a missing one */
        if (text == &alg) {
            has_alg = true;
            h.alg = alg_from_name(alg);
        }
    }
    if (extension) return JWT_FAULT_CRIT;
    if (!has_alg) return JWT_FAULT_HEADER;
    if (h.alg == ALG_INVALID) return JWT_FAULT_ALG;
    *out = h;
    return JWT_FAULT_NONE;
}

bool token_typ_ok(enum typ_rule rule, str typ)
{
    if (str_ieq(typ, STR("at+jwt")) || str_ieq(typ, STR("application/at+jwt"))) return true;
    return rule == TYP_LEGACY && (!typ.p || str_ieq(typ, STR("JWT")) || str_ieq(typ, STR("JOSE")));
}

enum jwt_fault token_payload_read(str part, struct arena *mem, const struct json **unverified)
{
    return read_object(part, mem, JWT_FAULT_PAYLOAD, unverified);
}

enum jwt_fault token_signature_check(struct verify_ctx *ctx, const struct keyset *keys, const struct token_parts *parts,
                                     const struct token_header *header)
{
    const struct key *key;
    enum err e = keyset_choose(keys, header->alg, header->kid, &key);
    if (e == ERR_CONFLICT) return JWT_FAULT_KEY_AMBIGUOUS;
    if (e == ERR_NOT_FOUND) return JWT_FAULT_UNKNOWN_KID;
    if (e != ERR_OK) return JWT_FAULT_KEY_MISMATCH;

    unsigned char room[SIGNATURE_MAX_LEN + 3];
    size_t n;
    if (base64url_decoded_max(parts->signature.n) > sizeof room) return JWT_FAULT_SIGNATURE;
    if (base64url_decode(parts->signature, room, &n) != ERR_OK) return JWT_FAULT_BASE64;
    e = key_verify(ctx, key, header->alg, parts->signing_input, (str){(const char *)room, n});
    if (e == ERR_OK) return JWT_FAULT_NONE;
    return e == ERR_NO_MEMORY ? JWT_FAULT_MEMORY : JWT_FAULT_SIGNATURE;
}
