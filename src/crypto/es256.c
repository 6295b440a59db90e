/* EC_GROUP_precompute_mult is marked deprecated because libcrypto's own callers have no use for it any more. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/es256.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <stdlib.h>

struct es256_key {
    EC_GROUP *group; /* P-256, but its generator is the key's point */
};

struct es256_ctx {
    EC_GROUP *curve;
    BN_CTX *bn;
    BN_MONT_CTX *order;
    EC_POINT *a, *b;
    BIGNUM *r, *s, *u, *v, *x;
};

/* The key's point as the generator of a group of its own, with the table of its multiples. */
static EC_GROUP *group_of(const unsigned char *point, size_t n)
{
    EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *q = g ? EC_POINT_new(g) : NULL;
    /* the order of every point but infinity is that of the curve: it is prime, the cofactor is 1 */
    bool made = q && EC_POINT_oct2point(g, q, point, n, NULL) == 1 && !EC_POINT_is_at_infinity(g, q) &&
                EC_GROUP_set_generator(g, q, EC_GROUP_get0_order(g), BN_value_one()) == 1 &&
                EC_GROUP_precompute_mult(g, NULL) == 1 && EC_GROUP_have_precompute_mult(g) == 1;
    EC_POINT_free(q);
    if (made) return g;
    EC_GROUP_free(g);
    return NULL;
}

struct es256_key *es256_key_new(EVP_PKEY *pkey)
{
    unsigned char point[1 + 2 * 32];
    size_t n = 0;
    struct es256_key *k = calloc(1, sizeof *k);
    if (k && EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &n) == 1)
        k->group = group_of(point, n);
    if (k && k->group) return k;
    free(k);
    ERR_clear_error();
    return NULL;
}

void es256_key_free(struct es256_key *k)
{
    if (!k) return;
    EC_GROUP_free(k->group);
    free(k);
}

struct es256_ctx *es256_ctx_new(void)
{
    struct es256_ctx *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    c->bn = BN_CTX_new();
    c->order = BN_MONT_CTX_new();
    c->r = BN_new();
    c->s = BN_new();
    c->u = BN_new();
    c->v = BN_new();
    c->x = BN_new();
    if (c->curve) {
        c->a = EC_POINT_new(c->curve);
        c->b = EC_POINT_new(c->curve);
    }
    if (c->curve && c->bn && c->order && c->r && c->s && c->u && c->v && c->x && c->a && c->b &&
        BN_MONT_CTX_set(c->order, EC_GROUP_get0_order(c->curve), c->bn) == 1)
        return c;
    es256_ctx_free(c);
    ERR_clear_error();
    return NULL;
}

void es256_ctx_free(struct es256_ctx *c)
{
    if (!c) return;
    EC_POINT_free(c->a);
    EC_POINT_free(c->b);
    BN_free(c->r);
    BN_free(c->s);
    BN_free(c->u);
    BN_free(c->v);
    BN_free(c->x);
    BN_MONT_CTX_free(c->order);
    BN_CTX_free(c->bn);
    EC_GROUP_free(c->curve);
    free(c);
}

static bool in_range(const BIGNUM *x, const BIGNUM *n)
{
    return !BN_is_zero(x) && BN_cmp(x, n) < 0;
}

/* u = digest / s, v = r / s, modulo the order. */
static bool scalars(struct es256_ctx *c, const BIGNUM *n)
{
    return BN_nnmod(c->u, c->u, n, c->bn) == 1 && BN_mod_inverse(c->s, c->s, n, c->bn) &&
           BN_to_montgomery(c->s, c->s, c->order, c->bn) == 1 &&
           BN_mod_mul_montgomery(c->u, c->u, c->s, c->order, c->bn) == 1 &&
           BN_mod_mul_montgomery(c->v, c->r, c->s, c->order, c->bn) == 1;
}

/* a = u * generator + v * key */
static bool point(struct es256_ctx *c, const struct es256_key *k)
{
    return EC_POINT_mul(c->curve, c->a, c->u, NULL, NULL, c->bn) == 1 &&
           EC_POINT_mul(k->group, c->b, c->v, NULL, NULL, c->bn) == 1 &&
           EC_POINT_add(c->curve, c->a, c->a, c->b, c->bn) == 1;
}

static enum err undecided(void)
{
    ERR_clear_error();
    return ERR_NO_MEMORY;
}

enum err es256_verify(struct es256_ctx *c, const struct es256_key *k, const unsigned char sig[ES256_SIGNATURE_LEN],
                      const unsigned char digest[ES256_DIGEST_LEN])
{
    const BIGNUM *n = EC_GROUP_get0_order(c->curve);
    if (!BN_bin2bn(sig, 32, c->r) || !BN_bin2bn(sig + 32, 32, c->s) || !BN_bin2bn(digest, ES256_DIGEST_LEN, c->u))
        return undecided();
    if (!in_range(c->r, n) || !in_range(c->s, n)) return ERR_DENIED;
    if (!scalars(c, n) || !point(c, k)) return undecided();
    if (EC_POINT_is_at_infinity(c->curve, c->a) == 1) return ERR_DENIED;
    if (EC_POINT_get_affine_coordinates(c->curve, c->a, c->x, NULL, c->bn) != 1 || BN_nnmod(c->x, c->x, n, c->bn) != 1)
        return undecided();
    return BN_cmp(c->x, c->r) == 0 ? ERR_OK : ERR_DENIED;
}
