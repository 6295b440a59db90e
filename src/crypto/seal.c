#include "crypto/seal.h"

#include "codec/base64url.h"
#include "crypto/mac.h"

#include <sodium.h>
#include <stdlib.h>

#define NONCE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG   crypto_aead_xchacha20poly1305_ietf_ABYTES

static const str version = STR_INIT("v1.");

enum err seal_init(struct seal *s, str source)
{
    if (source.n < SEAL_SOURCE_MIN) return ERR_DENIED;
    if (sodium_init() < 0) return ERR_NO_MEMORY;
    return hkdf_sha256(source, STR("sallyport"), STR("seal v1"), s->key, sizeof s->key);
}

void seal_wipe(struct seal *s)
{
    secret_wipe(s, sizeof *s);
}

size_t seal_text_len(size_t n)
{
    return version.n + base64url_encoded_len(NONCE + n + TAG);
}

static const unsigned char *bytes(str s)
{
    return (const unsigned char *)s.p;
}

enum err seal_put(const struct seal *s, str place, str plain, struct buf *out)
{
    struct secret box;
    if (plain.n > SEAL_PLAIN_MAX || out->n + seal_text_len(plain.n) > out->max) return ERR_LIMIT;
    enum err e = secret_new(NONCE + plain.n + TAG, &box);
    if (e != ERR_OK) return e;
    randombytes_buf(box.p, NONCE);
    crypto_aead_xchacha20poly1305_ietf_encrypt(box.p + NONCE, NULL, bytes(plain), plain.n, bytes(place), place.n, NULL,
                                               box.p, s->key);
    size_t n = base64url_encoded_len(box.n);
    buf_put(out, version);
    char *room = buf_room(out, n);
    if (room) {
        base64url_encode(box.p, box.n, room);
        out->n += n;
    }
    secret_free(&box);
    return out->bad ? ERR_NO_MEMORY : ERR_OK;
}

static enum err open_box(const struct seal *s, str place, str box, struct secret *out)
{
    struct secret plain;
    enum err e = secret_new(box.n - NONCE - TAG, &plain);
    if (e != ERR_OK) return e;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain.p, NULL, NULL, bytes(box) + NONCE, box.n - NONCE, bytes(place),
                                                   place.n, bytes(box), s->key) != 0) {
        secret_free(&plain);
        return ERR_DENIED;
    }
    *out = plain;
    return ERR_OK;
}

enum err seal_open(const struct seal *s, str place, str text, struct secret *out)
{
    if (!str_starts(text, version)) return ERR_MALFORMED;
    if (text.n > seal_text_len(SEAL_PLAIN_MAX)) return ERR_LIMIT;
    str coded = str_from(text, version.n);
    unsigned char *box = malloc(base64url_decoded_max(coded.n));
    size_t n = 0;
    if (!box) return ERR_NO_MEMORY;
    enum err e = base64url_decode(coded, box, &n);
    if (e == ERR_OK && n < NONCE + TAG) e = ERR_MALFORMED;
    if (e == ERR_OK) e = open_box(s, place, str_make((const char *)box, n), out);
    free(box);
    return e;
}

/* Keys for sealing and for tags are kept apart: a tag's key is derived for its purpose. */
void seal_tag(const struct seal *s, str purpose, str message, unsigned char out[32])
{
    unsigned char key[SHA256_LEN];
    hmac_sha256(str_make((const char *)s->key, sizeof s->key), purpose, key);
    hmac_sha256(str_make((const char *)key, sizeof key), message, out);
    secret_wipe(key, sizeof key);
}
