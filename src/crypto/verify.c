/* Verifying with contexts that are made once a thread and key, then reused: setting one up costs more than an HMAC. */
#include "crypto/key_private.h"

#include <openssl/err.h>
#include <sodium.h>
#include <stdlib.h>

/* Contexts are found by key id and algorithm in sets of two. Ids are counted up, so keys loaded together fall into
 * different sets; of two that do not, the one used less lately makes room. */
enum { SETS = 512, WAYS = 2 };

struct slot {
    uint64_t tag; /* key id and algorithm; 0: free */
    EVP_PKEY_CTX *pkey;
    EVP_MAC_CTX *mac;
};

struct verify_ctx {
    struct slot slots[SETS][WAYS]; /* the first of a set was used last */
    struct es256_ctx *es256;       /* made with the first key that has a table */
};

enum err verify_ctx_new(struct verify_ctx **out)
{
    struct verify_ctx *c = calloc(1, sizeof *c);
    if (!c) return ERR_NO_MEMORY;
    *out = c;
    return ERR_OK;
}

static void slot_clear(struct slot *s)
{
    EVP_PKEY_CTX_free(s->pkey);
    EVP_MAC_CTX_free(s->mac); /* wipes the key schedule */
    *s = (struct slot){0};
}

void verify_ctx_clear(struct verify_ctx *ctx)
{
    for (size_t i = 0; i < SETS; i++)
        for (size_t j = 0; j < WAYS; j++)
            if (ctx->slots[i][j].tag) slot_clear(&ctx->slots[i][j]);
}

void verify_ctx_free(struct verify_ctx **ctx)
{
    if (!*ctx) return;
    verify_ctx_clear(*ctx);
    es256_ctx_free((*ctx)->es256);
    free(*ctx);
    *ctx = NULL;
}

/* The context for (key, alg), made if need be; NULL: memory. The key has passed the check of its mask. */
static struct slot *slot_of(struct verify_ctx *ctx, const struct key *k, enum alg alg)
{
    uint64_t tag = k->id << 4 | alg;
    struct slot *set = ctx->slots[(k->id + alg * 37u) % SETS];
    if (LIKELY(set[0].tag == tag)) return &set[0];
    struct slot last = set[1];
    if (last.tag != tag) {
        struct slot fresh = {.tag = tag};
        if (k->type == KEY_OCT)
            fresh.mac = mac_ctx_new(secret_view(&k->secret), alg_info(alg)->digest);
        else
            fresh.pkey = pkey_ctx_new(k->pkey, alg, false);
        if (!fresh.mac && !fresh.pkey) {
            ERR_clear_error();
            return NULL;
        }
        slot_clear(&last);
        last = fresh;
    }
    set[1] = set[0];
    set[0] = last;
    return &set[0];
}

/* One INTEGER of an ECDSA-Sig-Value; returns its end. `n` fits one length byte. */
static unsigned char *der_integer(unsigned char *at, const unsigned char *number, size_t n)
{
    while (n > 1 && *number == 0) number++, n--;
    size_t pad = *number >> 7; /* a set top bit would make it negative */
    *at++ = 0x02;
    *at++ = (unsigned char)(n + pad);
    if (pad) *at++ = 0;
    memcpy(at, number, n);
    return at + n;
}

/* r||s as RFC 7518 §3.4 has it, into the DER that OpenSSL takes (RFC 3279 §2.2.3). */
static size_t der_from_raw(const unsigned char *raw, size_t half, unsigned char *der)
{
    unsigned char body[2 * (EC_MAX_BYTES + 3)];
    unsigned char *end = der_integer(der_integer(body, raw, half), raw + half, half);
    size_t n = (size_t)(end - body), at = 0;
    der[at++] = 0x30;
    if (n > 127) der[at++] = 0x81;
    der[at++] = (unsigned char)n;
    memcpy(der + at, body, n);
    return at + n;
}

static enum err verdict(bool good)
{
    if (LIKELY(good)) return ERR_OK;
    ERR_clear_error();
    return ERR_DENIED;
}

static enum err verify_hmac(struct verify_ctx *ctx, const struct key *key, enum alg alg, str message, str sig)
{
    enum digest d = alg_info(alg)->digest;
    if (sig.n != digest_len(d)) return ERR_DENIED;
    struct slot *s = slot_of(ctx, key, alg);
    if (!s) return ERR_NO_MEMORY;
    unsigned char want[DIGEST_MAX_LEN];
    size_t n = 0;
    /* init without a key starts over with the one the context has */
    bool made = EVP_MAC_init(s->mac, NULL, 0, NULL) == 1 &&
                EVP_MAC_update(s->mac, (const unsigned char *)message.p, message.n) == 1 &&
                EVP_MAC_final(s->mac, want, &n, sizeof want) == 1 && n == sig.n;
    enum err e = verdict(made && secret_equal(want, sig.p, n));
    secret_wipe(want, sizeof want); /* on a forged token this is the signature it should have had */
    return e;
}

/* By the key's table. ERR_NO_MEMORY: by the long way, then. */
static enum err verify_es256(struct verify_ctx *ctx, const struct es256_key *key, str message, str sig)
{
    unsigned char digest[SHA256_LEN];
    if (sig.n != ES256_SIGNATURE_LEN) return ERR_DENIED;
    if (!ctx->es256) ctx->es256 = es256_ctx_new();
    if (!ctx->es256) return ERR_NO_MEMORY;
    sha256(message, digest);
    return es256_verify(ctx->es256, key, (const unsigned char *)sig.p, digest);
}

static enum err verify_pkey(struct verify_ctx *ctx, const struct key *key, enum alg alg, str message, str sig)
{
    const struct alg_info *info = alg_info(alg);
    unsigned char der[2 * (EC_MAX_BYTES + 3) + 3];
    const unsigned char *s = (const unsigned char *)sig.p;
    size_t s_n = sig.n;
    const struct es256_key *es256 = atomic_load_explicit(&key->es256, memory_order_acquire);
    if (es256) {
        enum err e = verify_es256(ctx, es256, message, sig);
        if (e != ERR_NO_MEMORY) return e;
    }
    if (key->type == KEY_EC) {
        size_t half = curve_bytes(key->curve);
        if (sig.n != 2 * half) return ERR_DENIED;
        s_n = der_from_raw(s, half, der);
        s = der;
    } else if (sig.n != (key->bits + 7) / 8) {
        return ERR_DENIED;
    }
    struct slot *slot = slot_of(ctx, key, alg);
    if (!slot) return ERR_NO_MEMORY;
    unsigned char digest[DIGEST_MAX_LEN];
    digest_of(info->digest, message, digest);
    return verdict(EVP_PKEY_verify(slot->pkey, s, s_n, digest, digest_len(info->digest)) == 1);
}

enum err key_verify(struct verify_ctx *ctx, const struct key *key, enum alg alg, str message, str sig)
{
    if (!(key->algs & alg_bit(alg))) return ERR_DENIED;
    switch (key->type) {
    case KEY_OCT: return verify_hmac(ctx, key, alg, message, sig);
    case KEY_RSA:
    case KEY_EC: return verify_pkey(ctx, key, alg, message, sig);
    case KEY_OKP:
        /* libsodium refuses S >= L and small-order R (RFC 8032 §5.1.7) */
        return sig.n == crypto_sign_BYTES &&
                       crypto_sign_verify_detached((const unsigned char *)sig.p, (const unsigned char *)message.p,
                                                   message.n, key->ed) == 0
                   ? ERR_OK
                   : ERR_DENIED;
    }
    return ERR_DENIED;
}
