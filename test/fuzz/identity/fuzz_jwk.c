/* Key sets and private keys: every key is taken or left out with a reason; what is taken verifies nothing by chance and
 * is never symmetric where it must not be; what signs is accepted by its own public half. */
#include "identity/keyset.h"
#include "identity/mint.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct verify_ctx *ctx;

static void must(bool good)
{
    if (!good) abort();
}

static void try_set(str in, bool symmetric)
{
    struct keyset *set = NULL, *again = NULL;
    size_t notes;
    if (keyset_from_jwks(in, symmetric, &set, NULL) != ERR_OK) return;
    const struct jwk_note *note = keyset_notes(set, &notes);
    for (size_t i = 0; i < notes; i++) must(note[i].fault != JWK_FAULT_NONE && note[i].kid.n <= 64);
    must(keyset_count(set) + notes <= KEYSET_MAX_KEYS);
    must(symmetric || !(keyset_algs(set) & ALGS_SYMMETRIC));
    for (unsigned a = 1; a < ALG_COUNT; a++) {
        static const char zero[SIGNATURE_MAX_LEN];
        const struct key *key;
        if (keyset_choose(set, (enum alg)a, STR_NONE, &key) != ERR_OK) continue;
        must(key_algs(key) & alg_bit((enum alg)a));
        size_t n = key_type(key) == KEY_RSA ? (key_bits(key) + 7) / 8 : a == ALG_ES384 ? 96 : a == ALG_ES512 ? 132 : 64;
        must(key_verify(ctx, key, (enum alg)a, in, str_make(zero, n)) == ERR_DENIED);
    }
    must(keyset_from_jwks(in, symmetric, &again, NULL) == ERR_OK && keyset_equal(set, again));
    keyset_unref(&again);
    keyset_unref(&set);
    verify_ctx_clear(ctx);
}

static void try_private(str in)
{
    struct arena mem;
    struct signer *s = NULL;
    struct dev_issuer d = {0};
    str kid;
    arena_init(&mem, NULL, 0, 16 << 20);
    if (signer_from_jwk(in, &mem, &kid, &s) == ERR_OK) {
        struct key *key;
        must(signer_public(s, &key) == ERR_OK && key_algs(key) == alg_bit(signer_alg(s)));
        key_unref(&key);
        signer_free(&s);
    }
    must(!s);
    if (dev_issuer_read(in, &mem, &d) == ERR_OK) must(d.kid.n && d.iss.n && d.aud.n);
    dev_issuer_free(&d);
    arena_reset(&mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!ctx) must(verify_ctx_new(&ctx) == ERR_OK);
    str in = str_make((const char *)data, size);
    try_set(in, true);
    try_set(in, false);
    try_private(in);
    return 0;
}
