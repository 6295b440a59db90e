#include "identity/verify.h"

#include "identity/claims.h"
#include "identity/token.h"

/* Seconds beyond this are no time; within it no sum here can overflow. */
#define TIME_MAX_S ((int64_t)1 << 53)

static bool time_ok(int64_t now_s, int64_t leeway_s, int64_t skew_s)
{
    return now_s > -TIME_MAX_S && now_s < TIME_MAX_S && leeway_s >= 0 && leeway_s < TIME_MAX_S && skew_s >= 0 &&
           skew_s < TIME_MAX_S;
}

static enum err err_of(enum jwt_fault f)
{
    switch (f) {
    case JWT_FAULT_NONE: return ERR_OK;
    case JWT_FAULT_MEMORY: return ERR_NO_MEMORY;
    case JWT_FAULT_SIZE: return ERR_LIMIT;
    case JWT_FAULT_KEYS_UNAVAILABLE: return ERR_AGAIN;
    case JWT_FAULT_FORM:
    case JWT_FAULT_BASE64:
    case JWT_FAULT_HEADER:
    case JWT_FAULT_PAYLOAD: return ERR_MALFORMED;
    case JWT_FAULT_ENCRYPTED:
    case JWT_FAULT_CRIT:
    case JWT_FAULT_ALG:
    case JWT_FAULT_TYP:
    case JWT_FAULT_ISS:
    case JWT_FAULT_UNKNOWN_ISSUER:
    case JWT_FAULT_UNKNOWN_KID:
    case JWT_FAULT_KEY_MISMATCH:
    case JWT_FAULT_KEY_AMBIGUOUS:
    case JWT_FAULT_SIGNATURE:
    case JWT_FAULT_EXP:
    case JWT_FAULT_EXPIRED:
    case JWT_FAULT_TIME:
    case JWT_FAULT_NOT_YET:
    case JWT_FAULT_ISSUED_LATER:
    case JWT_FAULT_AUD:
    case JWT_FAULT_SUB:
    case JWT_FAULT_CLAIM:
    case JWT_FAULT_KIND:
    case JWT_FAULT_PRODUCT:
    case JWT_FAULT_BOUND: return ERR_DENIED;
    }
    return ERR_INVARIANT;
}

/* A token between its form and its claims. Everything in it is unverified until `verified` says otherwise. */
struct reading {
    struct token_parts parts;
    struct token_header header;
    const struct json *payload;
    struct claims_found found;
};

/* Form and header, the payload as JSON, and who it claims to be from. */
static enum jwt_fault read_form(const struct verifier *v, str token, struct arena *mem, struct reading *r,
                                const struct issuer **unverified_issuer)
{
    enum jwt_fault f = token_split(token, &r->parts);
    if (f == JWT_FAULT_NONE) f = token_header_read(r->parts.header, mem, &r->header);
    if (f == JWT_FAULT_NONE) f = token_payload_read(r->parts.payload, mem, &r->payload);
    if (f != JWT_FAULT_NONE) return f;
    r->found = claims_find(r->payload);
    if (!r->found.iss || r->found.iss->type != JSON_STRING) return JWT_FAULT_ISS;
    *unverified_issuer = v->find(v->of, r->found.iss->text);
    return *unverified_issuer ? JWT_FAULT_NONE : JWT_FAULT_UNKNOWN_ISSUER;
}

/* What the issuer's description asks of the header, then its key and the signature. */
static enum jwt_fault check_signature(const struct verifier *v, const struct issuer *issuer, const struct reading *r)
{
    if (!(issuer->algs & alg_bit(r->header.alg))) return JWT_FAULT_ALG;
    if (!token_typ_ok(issuer->typ, r->header.typ)) return JWT_FAULT_TYP;
    const struct keyset *keys = issuer->index < v->n_keysets ? v->keysets[issuer->index] : NULL;
    if (!keys) return JWT_FAULT_KEYS_UNAVAILABLE;
    return token_signature_check(v->ctx, keys, &r->parts, &r->header);
}

/* The signature holds: now the claims count. */
static enum jwt_fault check_claims(const struct verifier *v, const struct issuer *issuer, const struct reading *r,
                                   int64_t now_s, struct arena *mem, struct claims *out)
{
    struct claims_rule rule = {.audiences = issuer->audiences,
                               .n_audiences = issuer->n_audiences,
                               .typ = issuer->typ,
                               .now_s = now_s,
                               .leeway_s = issuer->leeway_s,
                               .skew_s = v->skew_s};
    enum jwt_fault f = JWT_FAULT_ISS;
    /* the lookup answered for this iss; asked again because nothing said before the signature is believed */
    if (str_eq(r->found.iss->text, issuer->iss)) f = claims_check(&r->found, &rule, &out->exp_s, &out->iat_s);
    if (f != JWT_FAULT_NONE) return f;
    if (!issuer->audiences || issuer->n_audiences == 0) return JWT_FAULT_AUD;
    /* RFC 7800: good only together with a proof, which nobody has asked for here */
    if (r->found.cnf) return JWT_FAULT_BOUND;
    return claims_map(r->payload, issuer, mem, out);
}

enum err access_token_verify(const struct verifier *v, str token, int64_t now_s, struct arena *mem, struct claims *out,
                             struct jwt_refusal *why)
{
    struct reading r;
    const struct issuer *issuer = NULL;
    struct claims c = {0};
    enum jwt_fault f = JWT_FAULT_NONE;
    struct jwt_refusal refusal = {0};

    r.header = (struct token_header){0};
    f = read_form(v, token, mem, &r, &issuer);
    if (f == JWT_FAULT_NONE && !time_ok(now_s, issuer->leeway_s, v->skew_s)) f = JWT_FAULT_TIME;
    if (f == JWT_FAULT_NONE) f = check_signature(v, issuer, &r);
    if (f == JWT_FAULT_NONE) f = check_claims(v, issuer, &r, now_s, mem, &c);
    if (f != JWT_FAULT_NONE) {
        refusal.fault = f;
        refusal.has_issuer = issuer != NULL;
        refusal.issuer = issuer ? issuer->index : 0;
        refusal.unverified_kid = r.header.kid;
        *why = refusal;
        return err_of(f);
    }
    c.issuer = issuer->index;
    c.alg = r.header.alg;
    c.kid = r.header.kid;
    c.jti = json_text(r.found.jti);
    c.sid = json_text(r.found.sid);
    c.keyset = keyset_serial(v->keysets[issuer->index]);
    *out = c;
    return ERR_OK;
}

size_t token_arena_need(size_t token_n)
{
    /* a JSON value takes two bytes of text and 80 of memory; beside that the decoded parts, the lists made from them,
     * and blocks that are not full */
    return 16384 + 64 * token_n;
}

/* The claims of jwt_check: nothing is looked up, so `iss` is simply compared. */
static enum jwt_fault expect_claims(const struct json *payload, const struct jwt_expect *expect, int64_t now_s)
{
    struct claims_found found = claims_find(payload);
    struct claims_rule rule = {.audiences = expect->aud.p ? &expect->aud : NULL,
                               .n_audiences = expect->aud.p ? 1 : 0,
                               .typ = expect->typ,
                               .now_s = now_s,
                               .leeway_s = expect->leeway_s,
                               .skew_s = expect->skew_s};
    int64_t exp_s, iat_s;
    if (found.iss && found.iss->type != JSON_STRING) return JWT_FAULT_ISS;
    if (expect->iss.p && (!found.iss || !str_eq(found.iss->text, expect->iss))) return JWT_FAULT_ISS;
    return claims_check(&found, &rule, &exp_s, &iat_s);
}

enum err jwt_check(struct verify_ctx *ctx, const struct keyset *keys, const struct jwt_expect *expect, str token,
                   int64_t now_s, struct arena *mem, enum jwt_fault *fault)
{
    struct token_parts parts;
    struct token_header header;
    const struct json *payload = NULL;
    str bytes;
    enum jwt_fault f = token_split(token, &parts);
    if (f == JWT_FAULT_NONE) f = token_header_read(parts.header, mem, &header);
    if (f == JWT_FAULT_NONE && !token_typ_ok(expect->typ, header.typ)) f = JWT_FAULT_TYP;
    if (f == JWT_FAULT_NONE)
        f = expect->mode == JWT_MODE_JWS ? token_decode(parts.payload, mem, &bytes)
                                         : token_payload_read(parts.payload, mem, &payload);
    if (f == JWT_FAULT_NONE) f = token_signature_check(ctx, keys, &parts, &header);
    if (f == JWT_FAULT_NONE && expect->mode == JWT_MODE_JWT) {
        f = time_ok(now_s, expect->leeway_s, expect->skew_s) ? expect_claims(payload, expect, now_s) : JWT_FAULT_TIME;
    }
    if (f != JWT_FAULT_NONE) *fault = f;
    return err_of(f);
}

enum err jwt_read_unverified(str token, struct arena *mem, struct unverified_token *out, enum jwt_fault *fault)
{
    struct token_parts parts;
    struct unverified_token t = {0};
    enum json_fault ignored;
    enum jwt_fault f = token_split(token, &parts);
    if (f == JWT_FAULT_NONE) f = token_payload_read(parts.header, mem, &t.header);
    if (f == JWT_FAULT_PAYLOAD) f = JWT_FAULT_HEADER;
    if (f == JWT_FAULT_NONE) f = token_decode(parts.payload, mem, &t.payload_text);
    if (f == JWT_FAULT_NONE) f = token_decode(parts.signature, mem, &t.signature);
    if (f == JWT_FAULT_NONE &&
        json_parse(t.payload_text, &json_limits_token, mem, &t.payload, &ignored, NULL) == ERR_NO_MEMORY)
        f = JWT_FAULT_MEMORY;
    if (f != JWT_FAULT_NONE)
        *fault = f;
    else
        *out = t;
    return err_of(f);
}
