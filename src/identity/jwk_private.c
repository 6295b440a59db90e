/* Reading private keys of our own: the throw-away issuer's file, and keys that a signer is configured with. */
#include "codec/json.h"
#include "crypto/secret.h"
#include "identity/jwk.h"
#include "identity/mint.h"

enum { PRIVATE_ARENA = 1 << 20 };

/* The numbers of one JWK, decoded side by side; wiped by the caller. */
struct numbers {
    unsigned char room[8][JWK_NUMBER_MAX];
    str v[8];
};

static bool take(const struct json *v, const str *names, size_t n, struct numbers *out)
{
    for (size_t i = 0; i < n; i++)
        if (jwk_bytes(v, names[i], out->room[i], &out->v[i]) != JWK_FAULT_NONE) return false;
    return true;
}

static enum err signer_of(const struct json *v, struct numbers *n, struct signer **out)
{
    static const str rsa[] = {STR_INIT("n"), STR_INIT("e"),  STR_INIT("d"),  STR_INIT("p"),
                              STR_INIT("q"), STR_INIT("dp"), STR_INIT("dq"), STR_INIT("qi")};
    static const str ec[] = {STR_INIT("x"), STR_INIT("y"), STR_INIT("d")};
    static const str okp[] = {STR_INIT("x"), STR_INIT("d")};
    static const str oct[] = {STR_INIT("k")};
    enum alg alg = alg_from_name(json_text(json_get(v, STR("alg"))));
    str kty = json_text(json_get(v, STR("kty")));
    enum key_curve curve;

    if (str_eq(kty, STR("RSA")) && take(v, rsa, ARRAY_LEN(rsa), n)) {
        struct rsa_private k = {.n = n->v[0],
                                .e = n->v[1],
                                .d = n->v[2],
                                .p = n->v[3],
                                .q = n->v[4],
                                .dp = n->v[5],
                                .dq = n->v[6],
                                .qi = n->v[7]};
        return signer_new_rsa(&k, alg, out);
    }
    if (str_eq(kty, STR("EC")) && jwk_curve(v, &curve) == JWK_FAULT_NONE && take(v, ec, ARRAY_LEN(ec), n))
        return signer_new_ec(curve, n->v[0], n->v[1], n->v[2], out);
    if (str_eq(kty, STR("OKP")) && str_eq(json_text(json_get(v, STR("crv"))), STR("Ed25519")) &&
        take(v, okp, ARRAY_LEN(okp), n))
        return signer_new_ed25519(n->v[0], n->v[1], out);
    if (str_eq(kty, STR("oct")) && take(v, oct, ARRAY_LEN(oct), n)) return signer_new_hmac(n->v[0], alg, out);
    return ERR_DENIED;
}

/* A JWK whose `alg`, where the type leaves a choice or where it is given, is what the signer signs with. */
static enum err signer_from_json(const struct json *v, struct signer **out)
{
    struct numbers *n = NULL;
    struct secret room;
    struct signer *s = NULL;
    if (v->type != JSON_OBJECT) return ERR_MALFORMED;
    enum err e = secret_new(sizeof *n, &room); /* too large for a stack, and wiped when it goes */
    if (e != ERR_OK) return e;
    n = (struct numbers *)(void *)room.p;
    e = signer_of(v, n, &s);
    secret_free(&room);
    if (e != ERR_OK) return e;
    const struct json *alg = json_get(v, STR("alg"));
    if (alg && alg_from_name(json_text(alg)) != signer_alg(s)) {
        signer_free(&s);
        return ERR_DENIED;
    }
    *out = s;
    return ERR_OK;
}

enum err signer_from_jwk(str json, struct arena *kid_mem, str *kid, struct signer **out)
{
    struct arena mem;
    const struct json *v;
    arena_init(&mem, NULL, 0, PRIVATE_ARENA);
    enum err e = json_parse(json, &json_limits_document, &mem, &v, NULL, NULL);
    if (e == ERR_OK) {
        str name = arena_copy(kid_mem, json_text(json_get(v, STR("kid"))));
        e = name.p ? signer_from_json(v, out) : ERR_NO_MEMORY;
        if (e == ERR_OK) *kid = name;
    }
    arena_reset(&mem);
    return e;
}

enum err dev_issuer_read(str json, struct arena *mem, struct dev_issuer *out)
{
    struct dev_issuer d = {0};
    const struct json *v;
    enum err e = json_parse(json, &json_limits_document, mem, &v, NULL, NULL);
    if (e != ERR_OK) return e;
    static const str names[] = {STR_INIT("kid"), STR_INIT("iss"), STR_INIT("aud"), STR_INIT("product"),
                                STR_INIT("client")};
    str *members[] = {&d.kid, &d.iss, &d.aud, &d.product, &d.client};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        /* copied: what has no escapes is still the caller's text */
        *members[i] = arena_copy(mem, json_text(json_get(v, names[i])));
        if (!members[i]->p) return ERR_NO_MEMORY;
    }
    if (!d.kid.n || !d.iss.n || !d.aud.n) return ERR_MALFORMED;
    e = signer_from_json(v, &d.signer);
    if (e == ERR_OK) *out = d;
    return e;
}
