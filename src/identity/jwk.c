#include "identity/jwk.h"

#include "codec/base64url.h"
#include "crypto/secret.h"

const char *jwk_fault_name(enum jwk_fault f)
{
    switch (f) {
    case JWK_FAULT_NONE: return "none";
    case JWK_FAULT_FORM: return "malformed";
    case JWK_FAULT_TYPE: return "unknown_type";
    case JWK_FAULT_MISSING: return "member_missing";
    case JWK_FAULT_USE: return "not_for_verifying";
    case JWK_FAULT_ALG: return "algorithm_does_not_suit";
    case JWK_FAULT_PRIVATE: return "private_key_published";
    case JWK_FAULT_SYMMETRIC: return "symmetric_not_allowed";
    case JWK_FAULT_SIZE: return "wrong_size";
    case JWK_FAULT_NUMBER: return "bad_number";
    case JWK_FAULT_POINT: return "bad_point";
    case JWK_FAULT_MEMORY: return "out_of_memory";
    }
    return "unknown";
}

static enum jwk_fault from_key_fault(enum key_fault f)
{
    switch (f) {
    case KEY_FAULT_NONE: return JWK_FAULT_NONE;
    case KEY_FAULT_ALG: return JWK_FAULT_ALG;
    case KEY_FAULT_SIZE: return JWK_FAULT_SIZE;
    case KEY_FAULT_NUMBER:
    case KEY_FAULT_EXPONENT: return JWK_FAULT_NUMBER;
    case KEY_FAULT_NOT_ON_CURVE:
    case KEY_FAULT_SMALL_ORDER: return JWK_FAULT_POINT;
    case KEY_FAULT_MEMORY: return JWK_FAULT_MEMORY;
    }
    return JWK_FAULT_FORM;
}

enum jwk_fault jwk_bytes(const struct json *v, str name, unsigned char *room, str *out)
{
    const struct json *m = json_get(v, name);
    if (!m) return JWK_FAULT_MISSING;
    size_t n;
    if (m->type != JSON_STRING || base64url_decoded_max(m->text.n) > JWK_NUMBER_MAX ||
        base64url_decode(m->text, room, &n) != ERR_OK)
        return JWK_FAULT_FORM;
    *out = (str){(const char *)room, n};
    return JWK_FAULT_NONE;
}

enum jwk_fault jwk_curve(const struct json *v, enum key_curve *out)
{
    const struct json *m = json_get(v, STR("crv"));
    if (!m) return JWK_FAULT_MISSING;
    if (m->type != JSON_STRING) return JWK_FAULT_FORM;
    static const str names[] = {STR_INIT("P-256"), STR_INIT("P-384"), STR_INIT("P-521")};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(m->text, names[i])) {
            *out = (enum key_curve)i;
            return JWK_FAULT_NONE;
        }
    return JWK_FAULT_TYPE;
}

/* RFC 7517 §4.2 and §4.3: what is said about the use must allow verifying signatures. */
static enum jwk_fault check_use(const struct json *v)
{
    const struct json *use = json_get(v, STR("use")), *ops = json_get(v, STR("key_ops"));
    if (use) {
        if (use->type != JSON_STRING) return JWK_FAULT_FORM;
        if (!str_eq(use->text, STR("sig"))) return JWK_FAULT_USE;
    }
    if (!ops) return JWK_FAULT_NONE;
    if (ops->type != JSON_ARRAY) return JWK_FAULT_FORM;
    bool verify = false;
    for (const struct json *op = ops->first; op; op = op->next) {
        if (op->type != JSON_STRING) return JWK_FAULT_FORM;
        if (!str_eq(op->text, STR("verify"))) continue;
        if (verify) return JWK_FAULT_FORM; /* no value twice */
        verify = true;
    }
    return verify ? JWK_FAULT_NONE : JWK_FAULT_USE;
}

/* The mask of `alg`, all bits without one. */
static enum jwk_fault check_alg(const struct json *v, uint32_t *algs)
{
    const struct json *alg = json_get(v, STR("alg"));
    *algs = UINT32_MAX;
    if (!alg) return JWK_FAULT_NONE;
    if (alg->type != JSON_STRING) return JWK_FAULT_FORM;
    *algs = alg_bit(alg_from_name(alg->text));
    return *algs ? JWK_FAULT_NONE : JWK_FAULT_ALG;
}

/* A private key that was published: whoever signs with it may be anybody. */
static bool has_private(const struct json *v)
{
    static const str names[] = {STR_INIT("d"),  STR_INIT("p"),  STR_INIT("q"),  STR_INIT("dp"),
                                STR_INIT("dq"), STR_INIT("qi"), STR_INIT("oth")};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_get(v, names[i])) return true;
    return false;
}

static enum jwk_fault read_rsa(const struct json *v, uint32_t algs, struct key **out)
{
    unsigned char n_room[JWK_NUMBER_MAX], e_room[JWK_NUMBER_MAX];
    str n, e;
    enum jwk_fault f = jwk_bytes(v, STR("n"), n_room, &n);
    if (f == JWK_FAULT_NONE) f = jwk_bytes(v, STR("e"), e_room, &e);
    if (f != JWK_FAULT_NONE) return f;
    enum key_fault why = KEY_FAULT_NONE;
    return key_new_rsa(n, e, algs, out, &why) == ERR_OK ? JWK_FAULT_NONE : from_key_fault(why);
}

static enum jwk_fault read_ec(const struct json *v, uint32_t algs, struct key **out)
{
    unsigned char x_room[JWK_NUMBER_MAX], y_room[JWK_NUMBER_MAX];
    enum key_curve curve;
    str x, y;
    enum jwk_fault f = jwk_curve(v, &curve);
    if (f == JWK_FAULT_NONE) f = jwk_bytes(v, STR("x"), x_room, &x);
    if (f == JWK_FAULT_NONE) f = jwk_bytes(v, STR("y"), y_room, &y);
    if (f != JWK_FAULT_NONE) return f;
    enum key_fault why = KEY_FAULT_NONE;
    return key_new_ec(curve, x, y, algs, out, &why) == ERR_OK ? JWK_FAULT_NONE : from_key_fault(why);
}

static enum jwk_fault read_okp(const struct json *v, uint32_t algs, struct key **out)
{
    unsigned char room[JWK_NUMBER_MAX];
    const struct json *crv = json_get(v, STR("crv"));
    if (!crv) return JWK_FAULT_MISSING;
    if (crv->type != JSON_STRING) return JWK_FAULT_FORM;
    if (!str_eq(crv->text, STR("Ed25519"))) return JWK_FAULT_TYPE;
    if (!(algs & ALGS_OKP)) return JWK_FAULT_ALG;
    str x;
    enum jwk_fault f = jwk_bytes(v, STR("x"), room, &x);
    if (f != JWK_FAULT_NONE) return f;
    enum key_fault why = KEY_FAULT_NONE;
    return key_new_ed25519(x, out, &why) == ERR_OK ? JWK_FAULT_NONE : from_key_fault(why);
}

static enum jwk_fault read_oct(const struct json *v, uint32_t algs, struct key **out)
{
    unsigned char room[JWK_NUMBER_MAX];
    str k;
    enum jwk_fault f = jwk_bytes(v, STR("k"), room, &k);
    if (f != JWK_FAULT_NONE) return f;
    enum key_fault why = KEY_FAULT_NONE;
    enum err e = key_new_hmac(k, algs, out, &why);
    secret_wipe(room, sizeof room);
    return e == ERR_OK ? JWK_FAULT_NONE : from_key_fault(why);
}

static enum jwk_fault read_fit(const struct json *v, bool symmetric, struct key **out)
{
    const struct json *kty = json_get(v, STR("kty")), *kid = json_get(v, STR("kid"));
    if (v->type != JSON_OBJECT || (kid && kid->type != JSON_STRING)) return JWK_FAULT_FORM;
    if (!kty) return JWK_FAULT_MISSING;
    if (kty->type != JSON_STRING) return JWK_FAULT_FORM;
    uint32_t algs;
    enum jwk_fault f = check_use(v);
    if (f == JWK_FAULT_NONE) f = check_alg(v, &algs);
    if (f != JWK_FAULT_NONE) return f;
    if (str_eq(kty->text, STR("oct"))) return symmetric ? read_oct(v, algs, out) : JWK_FAULT_SYMMETRIC;
    if (has_private(v)) return JWK_FAULT_PRIVATE;
    if (str_eq(kty->text, STR("RSA"))) return read_rsa(v, algs, out);
    if (str_eq(kty->text, STR("EC"))) return read_ec(v, algs, out);
    if (str_eq(kty->text, STR("OKP"))) return read_okp(v, algs, out);
    return JWK_FAULT_TYPE;
}

enum err jwk_read(const struct json *v, bool symmetric, str *kid, struct jwk *out, enum jwk_fault *fault)
{
    struct key *key = NULL;
    *kid = json_text(json_get(v, STR("kid")));
    enum jwk_fault f = read_fit(v, symmetric, &key);
    if (f == JWK_FAULT_NONE) {
        *out = (struct jwk){.key = key, .kid = *kid};
        return ERR_OK;
    }
    *fault = f;
    return f == JWK_FAULT_MEMORY ? ERR_NO_MEMORY : ERR_DENIED;
}
