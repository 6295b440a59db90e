/* Tokens: as they are, or header and payload (a line each) signed with the key the verifier has, so that the claims are
 * reached. What is accepted must be what the simple checker accepts too, and must be safe to write into headers. */
#include "codec/base64url.h"
#include "identity/mint.h"
#include "identity/principal.h"
#include "identity/verify.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1700000000, LEEWAY = 7 };

static struct signer *signer;
static struct keyset *keys;
static struct verify_ctx *ctx;
static struct issuer issuer;
static struct arena config;

static void must(bool good)
{
    if (!good) abort();
}

static struct claim_paths paths(const char *a, const char *b)
{
    struct claim_path *v = arena_array(&config, 2, sizeof *v);
    must(v && claim_path_parse(&config, str_of(a), &v[0]) == ERR_OK &&
         claim_path_parse(&config, str_of(b), &v[1]) == ERR_OK);
    return (struct claim_paths){v, 2};
}

static void set_up(void)
{
    static const str audience = STR_INIT("api"), names[] = {STR_INIT("a"), STR_INIT("b")};
    static const str secret = STR_INIT("0123456789abcdef0123456789abcdef");
    arena_init(&config, NULL, 0, 1 << 20);
    must(signer_new_hmac(secret, ALG_HS256, &signer) == ERR_OK);
    must(keyset_from_secret(secret, ALGS_SYMMETRIC, &keys) == ERR_OK);
    must(verify_ctx_new(&ctx) == ERR_OK);
    issuer = (struct issuer){.prefix = STR("x"),
                             .iss = STR("i"),
                             .audiences = &audience,
                             .n_audiences = 1,
                             .algs = ALGS_SYMMETRIC,
                             .typ = TYP_LEGACY,
                             .leeway_s = LEEWAY,
                             .permissions.any = true,
                             .user = paths("sub", "u"),
                             .client = paths("client_id", "azp"),
                             .product = paths("https://p.example/p", "p"),
                             .roles_paths = paths("roles", "r.r"),
                             .permissions_paths = paths("permissions", "scope")};
    must(name_set_make(&config, names, 2, false, &issuer.roles) == ERR_OK);
    must(name_set_make(&config, names, 2, false, &issuer.products) == ERR_OK);
}

static const struct issuer *find(const void *of, str iss)
{
    (void)of;
    return str_eq(iss, issuer.iss) ? &issuer : NULL;
}

/* What goes into a header, `encoded`, decodes to itself and holds nothing a header may not hold. */
static void check_encoded(str value, str encoded, enum err (*decode)(str, char *, size_t *), struct arena *mem)
{
    char *back = arena_alloc(mem, encoded.n + 1);
    size_t n = 0;
    must(value.n && encoded.p && back);
    for (size_t i = 0; i < encoded.n; i++) must(encoded.p[i] > 0x20 && encoded.p[i] < 0x7f && encoded.p[i] != ',');
    must(decode(encoded, back, &n) == ERR_OK && str_eq(str_make(back, n), value));
    for (size_t i = 0; i < value.n; i++) must((unsigned char)value.p[i] >= 0x20 && value.p[i] != 0x7f);
}

static void check_value(str value, struct arena *mem)
{
    check_encoded(value, header_list_encode(&value, 1, mem), header_value_decode, mem);
}

static void check_claims(const struct claims *c, struct arena *mem)
{
    must(c->exp_s > NOW && c->alg >= ALG_HS256 && c->alg <= ALG_HS512);
    check_encoded(c->sub, principal_encode(STR_NONE, c->sub, mem), principal_part_decode, mem);
    if (c->client.n) check_value(c->client, mem);
    if (c->product.n) must(name_set_has(&issuer.products, c->product));
    must(c->n_roles <= 2);
    for (uint32_t i = 0; i < c->n_roles; i++) must(name_set_has(&issuer.roles, c->roles[i]));
    for (uint32_t i = 0; i < c->n_permissions; i++) {
        check_value(c->permissions[i], mem);
        for (uint32_t j = 0; j < i; j++) must(!str_eq(c->permissions[i], c->permissions[j]));
    }
}

static void try_token(str token)
{
    struct keyset *const sets[] = {keys};
    struct verifier v = {.ctx = ctx, .find = find, .keysets = sets, .n_keysets = 1, .skew_s = TOKEN_SKEW_S};
    struct jwt_expect expect = {.iss = issuer.iss,
                                .aud = issuer.audiences[0],
                                .typ = TYP_LEGACY,
                                .leeway_s = LEEWAY,
                                .skew_s = TOKEN_SKEW_S};
    struct arena mem;
    struct claims c;
    struct jwt_refusal why;
    struct unverified_token t;
    enum jwt_fault fault;
    arena_init(&mem, NULL, 0, token_arena_need(token.n) * 2);
    enum err full = access_token_verify(&v, token, NOW, &mem, &c, &why);
    if (full == ERR_OK) check_claims(&c, &mem);
    enum err simple = jwt_check(ctx, keys, &expect, token, NOW, &mem, &fault);
    must(full != ERR_NO_MEMORY && simple != ERR_NO_MEMORY);
    must(full != ERR_OK || simple == ERR_OK);
    expect.mode = JWT_MODE_JWS;
    enum err jws = jwt_check(ctx, keys, &expect, token, NOW, &mem, &fault);
    must(simple != ERR_OK || jws == ERR_OK);
    must(jws != ERR_OK || jwt_read_unverified(token, &mem, &t, &fault) == ERR_OK);
    arena_reset(&mem);
}

static void put_part(struct buf *out, str bytes)
{
    size_t n = base64url_encoded_len(bytes.n);
    char *room = n ? buf_room(out, n) : NULL;
    if (room) base64url_encode(bytes.p, bytes.n, room);
    out->n += room ? n : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!signer) set_up();
    str in = str_make((const char *)data, size);
    try_token(in);
    if (!str_has(in, '\n')) return 0;
    struct buf token;
    unsigned char sig[SIGNATURE_MAX_LEN];
    size_t n;
    str header = str_cut(&in, '\n');
    buf_init(&token, 1 << 20);
    put_part(&token, header);
    buf_putc(&token, '.');
    put_part(&token, in);
    must(token.bad || signer_sign(signer, buf_str(&token), sig, &n) == ERR_OK);
    buf_putc(&token, '.');
    if (!token.bad) put_part(&token, str_make((const char *)sig, n));
    if (!token.bad) try_token(buf_str(&token));
    buf_free(&token);
    return 0;
}
