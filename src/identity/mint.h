/* Making tokens, and JWKs in text: for tests, for the throw-away issuer of `sallyport dev`, and for whoever signs.
 *
 * No I/O and no clock. A private JWK is a secret: the caller wipes the buffer it was written to. */
#ifndef SALLYPORT_IDENTITY_MINT_H
#define SALLYPORT_IDENTITY_MINT_H

#include "base/arena.h"
#include "base/buf.h"
#include "crypto/key.h"

/* Appends the compact JWS of `payload` (any bytes) with the header {"alg","typ","kid"}; empty typ or kid are left out.
 * ERR_LIMIT (the buffer's bound), ERR_NO_MEMORY. */
MUST_USE enum err jws_mint(struct signer *s, str typ, str kid, str payload, struct buf *out);

/* Appends the JWK of the signer: public members, kid, alg, use; `with_private` adds the private ones. */
void jwk_put(struct buf *out, const struct signer *s, str kid, bool with_private);
/* {"keys":[…]} of one key, public. */
void jwks_put(struct buf *out, const struct signer *s, str kid);

/* A private JWK as jwk_put wrote it, or any of RFC 7517 with `alg`; other members are ignored. `kid_mem` gets the kid
 * (may be empty). ERR_MALFORMED, ERR_DENIED, ERR_NO_MEMORY. */
MUST_USE enum err signer_from_jwk(str json, struct arena *kid_mem, str *kid, struct signer **out);

/* The throw-away issuer: a fresh ES256 key and what its tokens say of themselves. The file holds a private JWK with
 * the members "iss", "aud", "product" and "client" beside it, so that `sallyport token mint --dev` needs nothing else.
 */
struct dev_issuer {
    struct signer *signer;
    str kid, iss, aud;
    str product; /* may be empty */
    str client;  /* default client of minted tokens */
};

/* Strings are copied into `mem`. ERR_NO_MEMORY. */
MUST_USE enum err dev_issuer_new(struct arena *mem, str iss, str aud, str product, struct dev_issuer *out);
/* The text of `<data>/dev-issuer.jwk` (mode 0600). */
void dev_issuer_put(struct buf *out, const struct dev_issuer *d);
MUST_USE enum err dev_issuer_read(str json, struct arena *mem, struct dev_issuer *out);
void dev_issuer_free(struct dev_issuer *d);

/* What to put into an access token (RFC 9068). Empty members are left out. */
struct mint_claims {
    str sub, client, product;
    const str *roles, *permissions;
    uint32_t n_roles, n_permissions;
    str aud; /* empty: the issuer's */
    int64_t now_s, ttl_s;
    str jti; /* empty: a fresh one */
};
MUST_USE enum err dev_issuer_mint(const struct dev_issuer *d, const struct mint_claims *c, struct buf *out);

#endif
