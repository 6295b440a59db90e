#include "crypto/mac.h"

#include "crypto/secret.h"

#include <sodium.h>

static void update(crypto_auth_hmacsha256_state *s, str part)
{
    crypto_auth_hmacsha256_update(s, (const unsigned char *)part.p, part.n);
}

static void begin(crypto_auth_hmacsha256_state *s, str key)
{
    crypto_auth_hmacsha256_init(s, (const unsigned char *)key.p, key.n);
}

void hmac_sha256(str key, str message, unsigned char out[SHA256_LEN])
{
    crypto_auth_hmacsha256_state s;
    begin(&s, key);
    update(&s, message);
    crypto_auth_hmacsha256_final(&s, out);
    secret_wipe(&s, sizeof s);
}

/* RFC 5869 §2.2 and §2.3. An empty salt is 32 zero bytes there; HMAC pads keys with zeros, so that empty is the same.
 */
enum err hkdf_sha256(str key, str salt, str info, unsigned char *out, size_t n)
{
    unsigned char prk[SHA256_LEN], block[SHA256_LEN];
    size_t have = 0, block_n = 0;
    if (n > (size_t)255 * SHA256_LEN) return ERR_LIMIT;
    hmac_sha256(salt, key, prk);
    for (unsigned char i = 1; have < n; i++) {
        crypto_auth_hmacsha256_state s;
        begin(&s, str_make((const char *)prk, sizeof prk));
        update(&s, str_make((const char *)block, block_n));
        update(&s, info);
        update(&s, str_make((const char *)&i, 1));
        crypto_auth_hmacsha256_final(&s, block);
        secret_wipe(&s, sizeof s);
        block_n = sizeof block;
        size_t part = n - have < sizeof block ? n - have : sizeof block;
        memcpy(out + have, block, part);
        have += part;
    }
    secret_wipe(prk, sizeof prk);
    secret_wipe(block, sizeof block);
    return ERR_OK;
}
