#include "identity/mint.h"

#include "base/rand.h"
#include "codec/base64url.h"
#include "crypto/secret.h"

#include "identity/verify.h"

enum { MINT_PAYLOAD_MAX = TOKEN_MAX_LEN };

static void put_base64url(struct buf *out, str bytes)
{
    size_t n = base64url_encoded_len(bytes.n);
    char *room = n ? buf_room(out, n) : NULL;
    if (!room) return;
    base64url_encode(bytes.p, bytes.n, room);
    out->n += n;
}

/* ,"name":"value" — the comma unless it is the first member. */
static void put_member(struct buf *out, const char *name, str value)
{
    buf_puts(out, out->n && out->p[out->n - 1] == '{' ? "\"" : ",\"");
    buf_puts(out, name);
    buf_puts(out, "\":\"");
    buf_put_json(out, value);
    buf_putc(out, '"');
}

static void put_member_if(struct buf *out, const char *name, str value)
{
    if (value.n) put_member(out, name, value);
}

static void put_number(struct buf *out, const char *name, str bytes)
{
    buf_printf(out, ",\"%s\":\"", name);
    put_base64url(out, bytes);
    buf_putc(out, '"');
}

/* A buffer says "bad" for want of room and of memory alike. */
static enum err buf_err(const struct buf *b, size_t wanted)
{
    return wanted > b->max ? ERR_LIMIT : ERR_NO_MEMORY;
}

enum err jws_mint(struct signer *s, str typ, str kid, str payload, struct buf *out)
{
    struct buf header;
    unsigned char signature[SIGNATURE_MAX_LEN];
    size_t n, start = out->n;
    buf_init(&header, TOKEN_MAX_LEN);
    buf_putc(&header, '{');
    put_member(&header, "alg", str_of(alg_name(signer_alg(s))));
    put_member_if(&header, "typ", typ);
    put_member_if(&header, "kid", kid);
    buf_putc(&header, '}');
    put_base64url(out, buf_str(&header));
    buf_putc(out, '.');
    put_base64url(out, payload);
    bool bad = header.bad || out->bad;
    size_t wanted = start + base64url_encoded_len(header.n) + 1 + base64url_encoded_len(payload.n);
    buf_free(&header);
    if (bad) return buf_err(out, wanted);
    enum err e = signer_sign(s, str_from(buf_str(out), start), signature, &n);
    if (e != ERR_OK) return e;
    buf_putc(out, '.');
    put_base64url(out, (str){(const char *)signature, n});
    return out->bad ? buf_err(out, wanted + 1 + base64url_encoded_len(n)) : ERR_OK;
}

static void put_rsa(struct buf *out, const struct rsa_private *k, bool with_private)
{
    put_number(out, "n", k->n);
    put_number(out, "e", k->e);
    if (!with_private) return;
    put_number(out, "d", k->d);
    put_number(out, "p", k->p);
    put_number(out, "q", k->q);
    put_number(out, "dp", k->dp);
    put_number(out, "dq", k->dq);
    put_number(out, "qi", k->qi);
}

/* Everything of a JWK but the closing brace. */
static void put_open_jwk(struct buf *out, const struct signer *s, str kid, bool with_private)
{
    static const char *const curves[] = {"P-256", "P-384", "P-521"};
    struct signer_numbers k = signer_numbers(s);
    buf_putc(out, '{');
    switch (k.type) {
    case KEY_RSA:
        put_member(out, "kty", STR("RSA"));
        put_rsa(out, &k.rsa, with_private);
        break;
    case KEY_EC:
        put_member(out, "kty", STR("EC"));
        put_member(out, "crv", str_of(curves[k.curve]));
        put_number(out, "x", k.x);
        put_number(out, "y", k.y);
        if (with_private) put_number(out, "d", k.d);
        break;
    case KEY_OKP:
        put_member(out, "kty", STR("OKP"));
        put_member(out, "crv", STR("Ed25519"));
        put_number(out, "x", k.x);
        if (with_private) put_number(out, "d", k.d);
        break;
    case KEY_OCT: /* has no public half: its only member is the secret, which a verifier needs too */
        put_member(out, "kty", STR("oct"));
        put_number(out, "k", k.secret);
        break;
    }
    put_member(out, "alg", str_of(alg_name(signer_alg(s))));
    if (!with_private) put_member(out, "use", STR("sig"));
    put_member_if(out, "kid", kid);
}

void jwk_put(struct buf *out, const struct signer *s, str kid, bool with_private)
{
    put_open_jwk(out, s, kid, with_private);
    buf_putc(out, '}');
}

void jwks_put(struct buf *out, const struct signer *s, str kid)
{
    buf_puts(out, "{\"keys\":[");
    jwk_put(out, s, kid, false);
    buf_puts(out, "]}");
}

enum err dev_issuer_new(struct arena *mem, str iss, str aud, str product, struct dev_issuer *out)
{
    struct dev_issuer d = {0};
    char kid[4 + 8];
    memcpy(kid, "dev-", 4);
    rand_hex(kid + 4, 4);
    d.kid = arena_copy(mem, str_make(kid, sizeof kid));
    d.iss = arena_copy(mem, iss);
    d.aud = arena_copy(mem, aud);
    d.product = arena_copy(mem, product);
    d.client = STR("sallyport-cli");
    if (!d.kid.p || !d.iss.p || !d.aud.p || !d.product.p) return ERR_NO_MEMORY;
    enum err e = signer_generate(ALG_ES256, 0, &d.signer);
    if (e == ERR_OK) *out = d;
    return e;
}

void dev_issuer_put(struct buf *out, const struct dev_issuer *d)
{
    put_open_jwk(out, d->signer, d->kid, true);
    put_member(out, "iss", d->iss);
    put_member(out, "aud", d->aud);
    put_member_if(out, "product", d->product);
    put_member_if(out, "client", d->client);
    buf_puts(out, "}\n");
}

void dev_issuer_free(struct dev_issuer *d)
{
    signer_free(&d->signer);
}

static void put_list(struct buf *out, const char *name, const str *values, uint32_t n)
{
    if (!n) return;
    buf_printf(out, ",\"%s\":[", name);
    for (uint32_t i = 0; i < n; i++) {
        buf_puts(out, i ? ",\"" : "\"");
        buf_put_json(out, values[i]);
        buf_putc(out, '"');
    }
    buf_putc(out, ']');
}

enum err dev_issuer_mint(const struct dev_issuer *d, const struct mint_claims *c, struct buf *out)
{
    struct buf payload;
    char jti[ULID_LEN];
    str client = c->client.n ? c->client : d->client;
    ulid_make(jti, (uint64_t)c->now_s * 1000);
    buf_init(&payload, MINT_PAYLOAD_MAX);
    buf_putc(&payload, '{');
    put_member(&payload, "iss", d->iss);
    put_member(&payload, "aud", c->aud.n ? c->aud : d->aud);
    put_member(&payload, "sub", c->sub);
    put_member_if(&payload, "client_id", client);
    put_member_if(&payload, "product", c->product);
    put_list(&payload, "roles", c->roles, c->n_roles);
    put_list(&payload, "permissions", c->permissions, c->n_permissions);
    buf_printf(&payload, ",\"iat\":%lld,\"exp\":%lld", (long long)c->now_s, (long long)(c->now_s + c->ttl_s));
    put_member(&payload, "jti", c->jti.n ? c->jti : str_make(jti, sizeof jti));
    buf_putc(&payload, '}');
    enum err e = payload.bad ? ERR_LIMIT : jws_mint(d->signer, STR("at+jwt"), d->kid, buf_str(&payload), out);
    buf_free(&payload);
    return e;
}
